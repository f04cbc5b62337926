"""The table of differences in the documentation is the one in the code."""

from __future__ import annotations

from pathlib import Path

from domain.reconciliation import RULES, DiscrepancyKind, Remedy, Side

_DOCS = Path(__file__).parents[2] / "docs" / "reconciliation.md"

_FOUND_FROM = {Side.PROCESSOR: "the processor", Side.OURS: "our rows"}
_DONE = {
    Remedy.REPAIR: "repair",
    Remedy.REBUILD: "made again, then repair",
    Remedy.PERSON: "case for a person",
}


def table() -> str:
    """Write the rules as the documentation shows them."""
    rows = [
        "| kind | what is true | found from | what is done | what it comes to |",
        "|---|---|---|---|---|",
    ]
    rows += [
        f"| `{kind}` | {rule.means} | {_FOUND_FROM[rule.starts_from]} "
        f"| {_DONE[rule.remedy]} | {rule.comes_to} |"
        for kind, rule in RULES.items()
    ]
    return "\n".join(rows)


def test_every_kind_has_a_rule() -> None:
    """No difference can be found for which nobody wrote down what is done."""
    assert set(RULES) == set(DiscrepancyKind)


def test_the_table_of_kinds_is_the_codes() -> None:
    """Whoever reads the documentation reads what the machine does."""
    written = _DOCS.read_text().split("<!-- kinds -->")[1].split("<!-- /kinds -->")[0]

    assert written.strip() == table()
