"""Plans: when the bought time ends."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.plans import add_months

instants = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001  # The zone is added by the strategy.
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@pytest.mark.parametrize(
    ("start", "months", "expected"),
    [
        ("2026-11-23", 12, "2027-11-23"),
        ("2028-02-29", 12, "2029-02-28"),
        ("2024-02-29", 48, "2028-02-29"),
        ("2027-02-28", 12, "2028-02-28"),
        ("2026-01-31", 1, "2026-02-28"),
        ("2028-01-31", 1, "2028-02-29"),
        ("2026-12-31", 1, "2027-01-31"),
        ("2026-10-31", 1, "2026-11-30"),
        ("2026-11-23", 1, "2026-12-23"),
        ("2026-11-23", 13, "2027-12-23"),
    ],
)
def test_a_plan_ends_on_the_same_day(start: str, months: int, expected: str) -> None:
    """The same day of a later month, or that month's last day."""
    begun = datetime.fromisoformat(f"{start}T14:32:00+00:00")

    assert add_months(begun, months).isoformat() == f"{expected}T14:32:00+00:00"


def test_the_day_is_counted_in_utc() -> None:
    """How an instant was written, in which zone, does not move the end by a day."""
    here = datetime.fromisoformat("2026-12-31T20:00:00-05:00")

    end = add_months(here, 1)

    assert end == add_months(here.astimezone(UTC), 1)
    assert end.isoformat() == "2027-02-01T01:00:00+00:00"


@given(instants, st.integers(1, 120))
def test_nobody_loses_a_day_that_exists(start: datetime, months: int) -> None:
    """The month is exactly right, and the day is as late as that month allows."""
    end = add_months(start, months)
    whole = (end.year - start.year) * 12 + end.month - start.month

    assert whole == months
    assert end.day == min(start.day, calendar.monthrange(end.year, end.month)[1])
    assert end.timetz() == start.timetz()
    assert end > start


@given(instants, instants, st.integers(1, 120))
def test_who_pays_later_ends_no_sooner(
    one: datetime, other: datetime, months: int
) -> None:
    """A later charge never ends before an earlier one."""
    first, second = sorted((one, other))

    assert add_months(first, months) <= add_months(second, months) or (
        # Two days that fall together on a short month's last day keep their hours.
        add_months(first, months).date() == add_months(second, months).date()
    )
