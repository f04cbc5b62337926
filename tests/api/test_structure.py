"""What the API may reach, and what its pages are made of."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from api.parts import Processor
from api.sandbox_methods import SANDBOX_METHODS, SANDBOX_NAMES
from sandbox.processor.payment_methods import CATALOGUE, find

API = Path(__file__).parents[2] / "api"
SOURCES = sorted(API.rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    """Return every module that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(API)))
def test_the_api_moves_no_money_itself(path: Path) -> None:
    """Of the processor it knows the signature alone; of workflows only the doors."""
    modules = imports_of(path)

    assert not {m for m in modules if m.split(".")[0] in {"activities", "worker"}}
    known = {"processor.webhook_signature"}
    if path.name == "__main__.py":
        # The composition root hands the console what it looks with.
        known.add("processor.stripe_adapter")
    assert {m for m in modules if m.startswith("processor")} <= known
    doors = {"workflows.door", "workflows.desk"}
    assert {m for m in modules if m.startswith("workflows")} <= doors
    assert "stripe" not in modules


def test_what_the_console_asks_the_processor_changes_nothing() -> None:
    """Of everything that the adapter can do, the API's own port has two looks."""
    methods = {name for name in vars(Processor) if not name.startswith("_")}

    assert methods == {"look_up", "list_refunds"}


def test_the_offered_test_cards_exist() -> None:
    """Every choice of the pay form is a payment method of the sandbox processor."""
    for method in SANDBOX_METHODS:
        assert find(method.payment_method) is not None, method
    labels = [method.label for method in SANDBOX_METHODS]
    assert len(set(labels)) == len(labels)
    assert SANDBOX_METHODS[0].payment_method == "pm_card_visa"


def test_the_accepted_test_cards_are_all_that_exist() -> None:
    """What the pay form may send is what the sandbox processor knows, no more."""
    known = {name for method in CATALOGUE for name in (method.id, *method.aliases)}

    assert known == SANDBOX_NAMES


def test_pages_load_our_own_files_and_stripes_script_alone() -> None:
    """No third-party script, font or style is in any template."""
    text = "".join(path.read_text() for path in (API / "templates").iterdir())

    hosts = set(re.findall(r"https?://([^/\"' ]+)", text))
    assert hosts == {"js.stripe.com"}
    assert "|safe" not in re.sub(r"\s", "", text)
    assert "http-equiv" not in text


def test_scripts_write_no_markup() -> None:
    """Scripts move nodes that the server rendered; none builds HTML from text."""
    text = "".join(path.read_text() for path in (API / "static").glob("*.js"))

    for sink in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("):
        assert sink not in text
    assert json.dumps(text)
