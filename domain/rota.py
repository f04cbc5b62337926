"""Who is told of an alert, when somebody is there, and by which channels.

The lines of the settings are the data: hours, rota, holidays and channels are each
written in one line, and a line that cannot be read stops the start.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from domain.working_hours import WorkingHours

#: Stands for everybody in a line of channels, and for whoever reads them when nobody is
#: on a rota.
EVERYBODY = "all"

_NAME = r"[A-Za-z][A-Za-z0-9_-]{0,39}"
_ROTA = re.compile(
    rf"(?P<names>{_NAME}(?:\s*,\s*{_NAME})*)\s+from\s+(?P<since>\d{{4}}-\d\d-\d\d)"
)
_HOLIDAY = re.compile(
    r"(?P<first>\d{4}-\d\d-\d\d)(?:\s+to\s+(?P<last>\d{4}-\d\d-\d\d))?"
    rf"(?:\s+(?P<name>{_NAME}))?"
)
_CHANNEL = re.compile(
    rf"(?P<name>{_NAME})\.(?P<use>[a-z]+)=(?P<url>[a-z][a-z0-9+.-]*://\S+)"
)

#: A longer absence than this is a mistyped year.
_LONGEST_HOLIDAY = timedelta(days=60)

#: Days to look ahead for somebody who is there; longer than any holiday and a week.
_LOOK_AHEAD_DAYS = 400

_MONDAY = 0


class LineNotUnderstood(ValueError):
    """A line of the settings has another form; the message shows the right one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rota:
    """Who is first and who is second, a week at a time.

    Attributes:
        names: In turn: the first of the list is first in the first week.
        since: The Monday of the first week.
    """

    names: tuple[str, ...]
    since: date

    @classmethod
    def parse(cls, line: str) -> Rota:
        """Read `Dana, Eli from 2026-11-02`.

        Raises:
            LineNotUnderstood: The line has another form, names somebody twice, or does
                not begin on a Monday.
        """
        found = _ROTA.fullmatch(line.strip())
        since = _day(found["since"]) if found else None
        names = tuple(re.findall(_NAME, found["names"])) if found else ()
        is_fit = since is not None and since.weekday() == _MONDAY
        if since is None or not is_fit or not _are_people(names):
            raise LineNotUnderstood(
                "write it as: Dana, Eli from 2026-11-02, the date being a Monday"
            )
        return cls(names=names, since=since)

    def order_on(self, day: date) -> tuple[str, ...]:
        """Return everybody, the first person of that day's week in front."""
        turn = ((day - self.since).days // 7) % len(self.names)
        return self.names[turn:] + self.names[:turn]


def _are_people(names: Sequence[str]) -> bool:
    return len(set(names)) == len(names) and EVERYBODY not in names


@dataclass(frozen=True, slots=True, kw_only=True)
class Holiday:
    """Days on which one person, or everybody, is away."""

    first: date
    last: date
    name: str = EVERYBODY

    def covers(self, day: date, name: str) -> bool:
        """Say whether this person is away on that day by this line."""
        return self.first <= day <= self.last and self.name in {EVERYBODY, name}


def parse_holidays(line: str) -> tuple[Holiday, ...]:
    """Read `2026-12-24 to 2026-12-27; 2026-12-31 Dana`; without a name, all are away.

    Raises:
        LineNotUnderstood: Some entry has another form.
    """
    return tuple(_holiday(part) for part in line.split(";") if part.strip())


def _holiday(part: str) -> Holiday:
    found = _HOLIDAY.fullmatch(part.strip())
    first = _day(found["first"]) if found else None
    last = _day(found["last"] or found["first"]) if found else None
    if not found or first is None or last is None or not _is_span(first, last):
        raise LineNotUnderstood(
            "write it as: 2026-12-24 to 2026-12-27; 2026-12-31 Dana "
            f"({_LONGEST_HOLIDAY.days} days at the most)"
        )
    return Holiday(first=first, last=last, name=found["name"] or EVERYBODY)


def _is_span(first: date, last: date) -> bool:
    return timedelta(0) <= last - first <= _LONGEST_HOLIDAY


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Who is there when.

    Attributes:
        hours: When pushes are welcome; outside of them only a page may come.
        rota: Who is first; None where nobody has written one: then whoever reads the
            channels of `all` is asked.
        holidays: Who is away.
    """

    hours: WorkingHours
    rota: Rota | None = None
    holidays: tuple[Holiday, ...] = ()

    @classmethod
    def parse(cls, hours: str, rota: str, holidays: str) -> People:
        """Read the three lines of the settings; an empty rota is none.

        Raises:
            LineNotUnderstood: The rota or the holidays have another form, or a holiday
                names somebody who is not on the rota.
            HoursNotUnderstood: The hours have another form.
        """
        read = cls(
            hours=WorkingHours.parse(hours),
            rota=Rota.parse(rota) if rota.strip() else None,
            holidays=parse_holidays(holidays),
        )
        strangers = {one.name for one in read.holidays} - {EVERYBODY, *read.names}
        if strangers:
            names = ", ".join(sorted(strangers))
            raise LineNotUnderstood(f"{names} is away but not on the rota")
        return read

    @property
    def names(self) -> tuple[str, ...]:
        """Everybody who may be asked, in the order of the rota's line."""
        return self.rota.names if self.rota else (EVERYBODY,)

    def day_of(self, moment: datetime) -> date:
        """Return the day that a moment belongs to; the night belongs to the day before.

        Rota and holidays change when the hours open, not at midnight: nobody hands over
        in their sleep.
        """
        local = moment.astimezone(self.hours.zone)
        is_before = local.time() < self.hours.opens
        return local.date() - timedelta(days=is_before)

    def present(self, moment: datetime) -> tuple[str, ...]:
        """Return who may be asked, in order; empty while everybody is away."""
        day = self.day_of(moment)
        order = self.rota.order_on(day) if self.rota else (EVERYBODY,)
        return tuple(name for name in order if not self._is_away(day, name))

    def is_working(self, moment: datetime) -> bool:
        """Say whether it is within hours on a day on which somebody is there."""
        return self.hours.next_moment(moment) == moment and bool(self.present(moment))

    def next_working(self, after: datetime) -> datetime:
        """Return the first moment from `after` on in which somebody is there."""
        moment = self.hours.next_moment(after)
        for _ in range(_LOOK_AHEAD_DAYS):
            if self.present(moment):
                return moment
            moment = self.hours.next_day_at(moment, self.hours.opens)
        return moment

    def opening(self, moment: datetime) -> datetime:
        """Return when the hours opened that `moment` lies in, or would have."""
        local = moment.astimezone(self.hours.zone)
        return datetime.combine(local.date(), self.hours.opens, self.hours.zone)

    def on_day(self, day: date, at: time) -> datetime:
        """Return a local time of a day as an instant."""
        return datetime.combine(day, at, self.hours.zone)

    def is_working_day(self, day: date) -> bool:
        """Say whether somebody is there on that day."""
        noon = self.on_day(day, self.hours.opens)
        return day.weekday() in self.hours.days and bool(self.present(noon))

    def _is_away(self, day: date, name: str) -> bool:
        return any(one.covers(day, name) for one in self.holidays)


class Use(StrEnum):
    """What a channel is for."""

    #: May wake: it rings until somebody looks.
    PAGE = "page"
    #: A message that is seen within the hour.
    PUSH = "push"
    #: A mail: what is read in the morning.
    DIGEST = "digest"


#: Where an alert goes, in order, when the channels meant for it did not take it.
_NEXT_BEST = {
    Use.PAGE: (Use.PAGE, Use.PUSH, Use.DIGEST),
    Use.PUSH: (Use.PUSH, Use.DIGEST, Use.PAGE),
    Use.DIGEST: (Use.DIGEST, Use.PUSH),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One way to one person.

    Attributes:
        owner: A name of the rota, or `all`.
        use: What it is for.
        url: As apprise reads it; it opens the channel, so it is never shown.
        label: What it is called where people read: `Dana.push 1 (ntfys)`.
    """

    owner: str
    use: Use
    url: str = field(repr=False)
    label: str


def parse_channels(line: str) -> tuple[Channel, ...]:
    """Read `Dana.page=ntfys://… Dana.push=… all.digest=mailto://…`, blanks between.

    Raises:
        LineNotUnderstood: Some entry has another form; its address is not repeated.
    """
    channels: list[Channel] = []
    for index, part in enumerate(line.split(), 1):
        found = _CHANNEL.fullmatch(part)
        if found is None or found["use"] not in set(Use):
            raise LineNotUnderstood(
                f"entry {index} is not like Dana.push=ntfys://host/topic; after the "
                "name stands page, push or digest"
            )
        use = Use(found["use"])
        number = 1 + sum(c.owner == found["name"] and c.use is use for c in channels)
        scheme = found["url"].partition("://")[0]
        channels.append(
            Channel(
                owner=found["name"],
                use=use,
                url=found["url"],
                label=f"{found['name']}.{use} {number} ({scheme})",
            )
        )
    return tuple(channels)


def ways_to(channels: Sequence[Channel], person: str, use: Use) -> tuple[Channel, ...]:
    """Return the channels to try for one person, in order.

    The person's own of that use come first, then those of `all`; then the next best
    use. A digest never rings.
    """
    return tuple(
        channel
        for tried in _NEXT_BEST[use]
        for owner in dict.fromkeys((person, EVERYBODY))
        for channel in channels
        if channel.use is tried and channel.owner == owner
    )


def who_would_hear(people: People, channels: Sequence[Channel]) -> str | None:
    """Say in a sentence what is wrong with the ways to people; None if nothing is."""
    if not channels:
        return "Nobody would be told: no on-call channel is set."
    deaf = [name for name in people.names if not ways_to(channels, name, Use.PAGE)]
    if deaf:
        return f"Nobody would reach {' or '.join(deaf)}: no channel of theirs is set."
    asleep = [name for name in people.names if not _rings(channels, name)]
    if asleep:
        return f"No page would ring for {' or '.join(asleep)}: set a page channel."
    strangers = {c.owner for c in channels} - {EVERYBODY, *people.names}
    if strangers:
        names = ", ".join(sorted(strangers))
        return f"{names} has a channel but is not on the rota, and is never told."
    return None


def _rings(channels: Sequence[Channel], name: str) -> bool:
    """A page may end up in a mail, but nobody wakes up from one."""
    return any(way.use is Use.PAGE for way in ways_to(channels, name, Use.PAGE))
