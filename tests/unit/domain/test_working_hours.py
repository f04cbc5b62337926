"""When people are there, read from the words that customers read."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from domain.working_hours import HoursNotUnderstood, WorkingHours

HOURS = WorkingHours.parse("Monday to Friday, 09:00 to 17:00 Europe/Lisbon")
#: A Friday in November: Lisbon is on UTC.
FRIDAY = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.mark.parametrize(
    ("after", "opens"),
    [
        (FRIDAY.replace(hour=8), FRIDAY.replace(hour=9)),
        (FRIDAY.replace(hour=12, minute=5), FRIDAY.replace(hour=12, minute=5)),
        (FRIDAY.replace(hour=17), FRIDAY.replace(hour=9) + timedelta(days=3)),
        (FRIDAY + timedelta(days=1), FRIDAY.replace(hour=9) + timedelta(days=3)),
    ],
)
def test_next_moment_is_the_first_in_which_somebody_is_there(
    after: datetime, opens: datetime
) -> None:
    """Before opening, within hours, after closing, at the weekend."""
    assert HOURS.next_moment(after) == opens


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (FRIDAY.replace(hour=8), "today at 09:00 Europe/Lisbon"),
        (FRIDAY.replace(hour=12, minute=5), None),
        (FRIDAY.replace(hour=17), "on Monday at 09:00 Europe/Lisbon"),
        (datetime(2026, 7, 1, 23, 30, tzinfo=UTC), "today at 09:00 Europe/Lisbon"),
    ],
)
def test_closed_says_when_somebody_is_back(now: datetime, words: str | None) -> None:
    """By the people's own clock and calendar; while somebody is there, nothing."""
    assert HOURS.back_in_words(now) == words


def test_clock_change_moves_the_hours_with_the_people() -> None:
    """Nine in Lisbon is eight UTC in summer: people come by their own clock."""
    summer = datetime(2026, 7, 1, tzinfo=UTC)

    assert HOURS.next_moment(summer) == summer.replace(hour=8)


def test_days_are_counted_as_working_days() -> None:
    """Ten working days from a Friday are two weeks; the next day is Monday."""
    assert HOURS.business_days_after(FRIDAY, 10) == FRIDAY + timedelta(days=14)
    assert HOURS.next_day_at(FRIDAY, time(10)) == FRIDAY.replace(hour=10) + timedelta(
        days=3
    )
    assert HOURS.close_after(FRIDAY.replace(hour=16)) == FRIDAY.replace(hour=17)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "always",
        "Monday to Friday, 9 to 5 UTC",
        "Friday to Monday, 09:00 to 17:00 UTC",
        "Monday to Friday, 17:00 to 09:00 UTC",
        "Monday to Friday, 09:00 to 17:00 Atlantis/Center",
        "Monday to Friday, 25:00 to 26:00 UTC",
        "Montag to Friday, 09:00 to 17:00 UTC",
    ],
)
def test_words_that_name_no_hours_are_refused_with_an_example(words: str) -> None:
    """A promise must not be counted with hours that nobody understood."""
    with pytest.raises(HoursNotUnderstood, match="Monday to Friday"):
        WorkingHours.parse(words)


def test_when_somebody_answers_is_a_sentence() -> None:
    """Within hours until when, outside them from when."""
    assert HOURS.answer_in_words(FRIDAY.replace(hour=12)) == (
        "Somebody is here until 17:00 Europe/Lisbon today."
    )
    assert HOURS.answer_in_words(FRIDAY.replace(hour=18)) == (
        "Somebody is here again on Monday at 09:00 Europe/Lisbon."
    )
