"""When people are there: read from the same words that customers read.

The words of the setting are the data, so a page can never name other hours than the
ones that a promised answer is counted with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_DAYS = (
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
)
_WORDS = re.compile(
    r"(?P<first>[A-Z][a-z]+) to (?P<last>[A-Z][a-z]+), "
    r"(?P<opens>\d\d:\d\d) to (?P<closes>\d\d:\d\d) (?P<zone>[A-Za-z_/+-]+)"
)
#: Longer than any week; a search for the next working moment ends here.
_A_WEEK_AND_A_DAY = 8


class HoursNotUnderstood(ValueError):
    """The words do not say when somebody is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingHours:
    """A week of people.

    Attributes:
        days: Weekdays on which somebody is there; Monday is 0.
        opens: Local time of the first minute.
        closes: Local time of the last.
        zone: Where that time is read from the clock.
    """

    days: frozenset[int]
    opens: time
    closes: time
    zone: tzinfo

    @classmethod
    def parse(cls, words: str) -> WorkingHours:
        """Read `Monday to Friday, 09:00 to 17:00 UTC` or `... Europe/Lisbon`.

        Raises:
            HoursNotUnderstood: The words have another form.
        """
        found = _WORDS.fullmatch(words.strip())
        try:
            if found is None:
                raise ValueError(words)
            first, last = _DAYS.index(found["first"]), _DAYS.index(found["last"])
            opens, closes = (time.fromisoformat(found[n]) for n in ("opens", "closes"))
            zone = UTC if found["zone"] == "UTC" else ZoneInfo(found["zone"])
            if first > last or opens >= closes:
                raise ValueError(words)
        except (ValueError, ZoneInfoNotFoundError) as error:
            msg = "write it as: Monday to Friday, 09:00 to 17:00 UTC"
            raise HoursNotUnderstood(msg) from error
        days = frozenset(range(first, last + 1))
        return cls(days=days, opens=opens, closes=closes, zone=zone)

    def next_moment(self, after: datetime) -> datetime:
        """Return the first moment from `after` on in which somebody is there."""
        local = after.astimezone(self.zone)
        for ahead in range(_A_WEEK_AND_A_DAY):
            day = local.date() + timedelta(days=ahead)
            if day.weekday() not in self.days:
                continue
            opens = datetime.combine(day, self.opens, self.zone)
            closes = datetime.combine(day, self.closes, self.zone)
            if local < closes:
                return max(opens, local).astimezone(UTC)
        raise AssertionError(self)  # Some day of every week is a working day.

    def back_in_words(self, now: datetime) -> str | None:
        """Write when somebody is there again; None while somebody is.

        `today at 09:00 UTC`, or `on Monday at 09:00 UTC`: of the people's own clock.
        """
        opens = self.next_moment(now).astimezone(self.zone)
        if opens <= now:
            return None
        is_today = opens.date() == now.astimezone(self.zone).date()
        day = "today" if is_today else f"on {_DAYS[opens.weekday()]}"
        return f"{day} at {opens:%H:%M} {self.zone}"

    def answer_in_words(self, now: datetime) -> str:
        """Say when somebody is there to answer, as a sentence; it promises no answer.

        `Somebody is here until 17:00 UTC today.`, or `Somebody is here again on Monday
        at 09:00 UTC.`: of the people's own clock.
        """
        back = self.back_in_words(now)
        if back is not None:
            return f"Somebody is here again {back}."
        closes = self.close_after(now).astimezone(self.zone)
        return f"Somebody is here until {closes:%H:%M} {self.zone} today."

    def next_day_at(self, after: datetime, at: time) -> datetime:
        """Return `at` on the next working day after the day of `after`."""
        day = after.astimezone(self.zone).date() + timedelta(days=1)
        while day.weekday() not in self.days:
            day += timedelta(days=1)
        return datetime.combine(day, at, self.zone).astimezone(UTC)

    def close_after(self, after: datetime) -> datetime:
        """Return when the working day ends that `after` falls in, or the next one."""
        opens = self.next_moment(after).astimezone(self.zone)
        return datetime.combine(opens.date(), self.closes, self.zone).astimezone(UTC)

    def business_days_after(self, after: datetime, count: int) -> datetime:
        """Return the same local time `count` working days later."""
        local = after.astimezone(self.zone)
        left = count
        while left:
            local += timedelta(days=1)
            left -= local.weekday() in self.days
        return local.astimezone(UTC)
