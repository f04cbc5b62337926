"""Until when a case may wait: a few choices, counted with the hours that we keep."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from api.support.choices import Option
from domain.words import by_in_words
from domain.working_hours import WorkingHours

_MORNING = time(9)
_HOURS = (1, 4, 24)


def hold_options(now: datetime, hours: WorkingHours) -> list[Option]:
    """Return the choices, each with the time that it means."""
    return [
        Option(value=key, name=f"until {by_in_words(until, now=now)}")
        for key, until in _choices(now, hours).items()
    ]


def held_until(key: str, now: datetime, hours: WorkingHours) -> datetime | None:
    """Return the time of a choice; None for what is none."""
    return _choices(now, hours).get(key)


def _choices(now: datetime, hours: WorkingHours) -> dict[str, datetime]:
    choices = {f"{count}h": now + timedelta(hours=count) for count in _HOURS}
    choices["morning"] = hours.next_day_at(now, _MORNING)
    choices["3days"] = hours.business_days_after(now, 3)
    return choices
