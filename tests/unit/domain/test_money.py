"""Money: printed as a customer reads it, whatever the currency."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import Money, format_money


@pytest.mark.parametrize(
    ("amount_minor", "currency", "expected"),
    [
        (24900, "usd", "$249.00"),
        (5, "usd", "$0.05"),
        (0, "usd", "$0.00"),
        (123456789, "usd", "$1,234,567.89"),
        (-500, "eur", "-€5.00"),
        (1999, "gbp", "£19.99"),
        (24900, "chf", "249.00 CHF"),
        (1200, "jpy", "1,200 JPY"),
        (-1200, "jpy", "-1,200 JPY"),
    ],
)
def test_an_amount_is_written_as_its_reader_knows_it(
    amount_minor: int, currency: str, expected: str
) -> None:
    """Symbol or code, two digits or none, the sign in front."""
    assert str(Money(amount_minor=amount_minor, currency=currency)) == expected


@given(st.integers(-(10**12), 10**12), st.sampled_from(["usd", "eur", "chf", "jpy"]))
def test_no_digit_is_lost_or_made_up(amount_minor: int, currency: str) -> None:
    """The printed digits are exactly the minor units, padded to a whole unit."""
    printed = format_money(Money(amount_minor=amount_minor, currency=currency))
    digits = "".join(re.findall(r"\d", printed))

    assert int(digits) == abs(amount_minor)
    assert printed.startswith("-") == (amount_minor < 0)


def test_money_cannot_be_changed() -> None:
    """An amount that was agreed on stays as it is."""
    money = Money(amount_minor=24900, currency="usd")

    with pytest.raises(AttributeError):
        money.amount_minor = 1  # type: ignore[misc]  # That is the point.
