"""The table of failure modes names tests that exist, and each failure once."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "failure-modes.md").read_text()

ROWS = re.findall(r"^\| ([FLN]\d\d) \| (.+) \|$", TEXT, re.MULTILINE)
PROOFS = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", TEXT)))


@cache
def _tests_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


@pytest.mark.parametrize(("path", "name"), PROOFS)
def test_every_proof_exists(path: str, name: str) -> None:
    """Who doubts a row can run the test that it names."""
    assert name.startswith("test_")
    assert name in _tests_of(path)


def test_every_id_stands_once() -> None:
    """An id that is quoted in a case or a commit means one failure."""
    ids = Counter(re.findall(r"^\| ([A-Z]\d+) \|", TEXT, re.MULTILINE))

    assert [one for one, count in ids.items() if count > 1] == []
    assert len(ids) == len(ROWS)


def test_every_resolved_failure_has_a_proof() -> None:
    """What is claimed to be resolved names the test; what is not, does not claim it."""
    unproven = [
        one for one, cells in ROWS if one.startswith("F") and ".py::test_" not in cells
    ]
    untested = [one for one, cells in ROWS if one.startswith("N") and ".py::" in cells]

    assert (unproven, untested) == ([], [])


def test_the_ids_that_a_row_points_to_exist() -> None:
    """A reference from one row to another leads somewhere."""
    ids = {one for one, _ in ROWS}

    assert set(re.findall(r"\(([FLN]\d\d)\)", TEXT)) <= ids


def _words_of_ours() -> str:
    """Return all that pages say, what varies in them as …."""
    written = [
        node.value
        for path in ("domain/customer_view.py", "api/notices.py")
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return re.sub(r"\{\w+\}", "…", "\n".join(written))


def test_what_the_customer_reads_is_what_pages_say() -> None:
    """The words in the third column are those of a page, not of a wish."""
    said = _words_of_ours()
    columns = [cells.split(" | ")[1] for one, cells in ROWS if one.startswith("F")]
    quoted = [words for cell in columns for words in re.findall("“([^”]+)”", cell)]

    assert [words for words in quoted if words not in said] == []
    assert quoted
