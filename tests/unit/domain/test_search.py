"""What somebody typed into the search, read as what they look for."""

from __future__ import annotations

from datetime import date

import pytest

from domain.search import Wanted, parse

TODAY = date(2026, 11, 24)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Mara@Example.com", Wanted(email="mara@example.com")),
        ("Mara <mara@example.com>", Wanted(email="mara@example.com")),
        ("ORD-7K2M-9QXD", Wanted(reference="ORD-7K2M-9QXD")),
        (" ord7k2m9qxd ", Wanted(reference="ORD-7K2M-9QXD")),
        ("7k2m-9qxd", Wanted(reference="ORD-7K2M-9QXD")),
        ("see pi_3QxA7m2e, please", Wanted(payment_intent_id="pi_3QxA7m2e")),
        (
            "4242 23 Nov",
            Wanted(last4="4242", amounts=(424200, 4242), day=date(2026, 11, 23)),
        ),
        (
            "0042 2026-01-05",
            Wanted(last4="0042", amounts=(4200, 42), day=date(2026, 1, 5)),
        ),
        ("249.00 23 Nov", Wanted(amounts=(24900,), day=date(2026, 11, 23))),
        ("249,00 23.11.2026", Wanted(amounts=(24900,), day=date(2026, 11, 23))),
        ("$249 today", Wanted(amounts=(24900, 249), day=TODAY)),
        ("€5.50 yesterday", Wanted(amounts=(550,), day=date(2026, 11, 23))),
        ("23 Nov 249", Wanted(amounts=(24900, 249), day=date(2026, 11, 23))),
        ("November 23 249", Wanted(amounts=(24900, 249), day=date(2026, 11, 23))),
        ("249 24.12.", Wanted(amounts=(24900, 249), day=date(2025, 12, 24))),
        ("249 29 Feb", Wanted(amounts=(24900, 249), day=date(2024, 2, 29))),
    ],
)
def test_what_people_type_is_understood(text: str, wanted: Wanted) -> None:
    """Addresses, references, ids, and numbers with a day, as people write them."""
    assert parse(text, TODAY) == wanted
    assert not wanted.is_nothing()


@pytest.mark.parametrize(
    "text",
    ["", " ", "mara", "4242", "249.00", "23 Nov", "4242 31 Feb", "x 23 Nov", "%", "@"],
)
def test_what_says_nothing_is_nothing(text: str) -> None:
    """Half a question is not guessed at: a list of strangers would be worse."""
    assert parse(text, TODAY).is_nothing()


def test_a_long_text_costs_nothing() -> None:
    """What is pasted by mistake is cut, not searched through."""
    assert parse("a" * 1_000_000 + "@example.com", TODAY).is_nothing()
