"""The causes that we name ourselves: spelt in one place, and known to all who read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from database.cases import FOR_PEOPLE
from domain.causes import Cause
from domain.reconciliation import DiscrepancyKind, cause_of
from domain.triage import cause_in_words

REPOSITORY = Path(__file__).parents[3]
PRODUCT = ("domain", "database", "activities", "workflows", "api", "operating")
HOME = REPOSITORY / "domain" / "causes.py"


def _spelt_out() -> Iterator[str]:
    for package in PRODUCT:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            if path == HOME:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and node.value in set(Cause):
                    yield f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.value}"


def test_a_cause_is_spelt_in_one_place() -> None:
    """A misspelt one would silently be no matter for people, and no alarm."""
    assert list(_spelt_out()) == []


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_words(cause: Cause) -> None:
    """Whoever opens the case reads what is wrong, not the name that we gave it."""
    assert cause.value not in cause_in_words(cause, "a step")


def test_what_only_people_close_is_named_by_us() -> None:
    """A failure is a step's, which may get on; none of them is for people alone."""
    assert all(isinstance(cause, Cause) for cause in FOR_PEOPLE)
    assert {cause_of(kind).value for kind in DiscrepancyKind} <= set(Cause)
