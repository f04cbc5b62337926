"""Cards, days and instants in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from domain.words import card_in_words, day_in_words, moment_in_words


@pytest.mark.parametrize(
    ("brand", "last4", "words"),
    [
        ("visa", "4242", "Visa ending 4242"),
        ("amex", "0005", "American Express ending 0005"),
        ("brand_of_next_year", "1111", "Card ending 1111"),
        (None, "1111", "Card ending 1111"),
        ("visa", None, None),
    ],
)
def test_a_card_is_named_as_its_owner_knows_it(
    brand: str | None, last4: str | None, words: str | None
) -> None:
    """Brand and last four digits; a new brand is still a card."""
    assert card_in_words(brand, last4) == words


def test_an_instant_of_another_zone_is_told_in_utc() -> None:
    """The zone that is named is the zone that is shown, across midnight too."""
    evening = datetime(2026, 11, 23, 23, 30, tzinfo=timezone(timedelta(hours=-2)))

    assert moment_in_words(evening) == "24 Nov 2026, 01:30 UTC"
    assert day_in_words(evening.astimezone(UTC)) == "24 Nov 2026"
