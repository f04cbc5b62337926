"""Rota, holidays and channels: read from one line each, or refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.rota import (
    Channel,
    Holiday,
    LineNotUnderstood,
    People,
    Rota,
    Use,
    parse_channels,
    parse_holidays,
    ways_to,
    who_would_hear,
)

HOURS = "Monday to Friday, 08:00 to 20:00 Europe/Lisbon"
ROTA = "Dana, Eli from 2026-11-02"
PEOPLE = People.parse(HOURS, ROTA, "2026-12-24 to 2026-12-27; 2026-12-31 Dana")


def at(day: str, clock: str = "10:00") -> datetime:
    """A moment in November or December, when Lisbon is on UTC."""
    return datetime.fromisoformat(f"{day}T{clock}+00:00")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Dana, Eli",
        "Dana, Eli from 2026-11-03",
        "Dana, Eli from 2026-02-30",
        "Dana, Dana from 2026-11-02",
        "Dana, all from 2026-11-02",
        "dana@acme.test from 2026-11-02",
    ],
)
def test_a_rota_in_another_form_is_refused(line: str) -> None:
    """A week begins on a Monday, and nobody is two people."""
    with pytest.raises(LineNotUnderstood, match="write it as"):
        Rota.parse(line)


@pytest.mark.parametrize(
    "line",
    [
        "Christmas",
        "2026-12-27 to 2026-12-24",
        "2026-12-24 to 2027-12-27",
        "2026-13-01",
        "2026-12-24, 2026-12-25",
    ],
)
def test_a_holiday_in_another_form_is_refused(line: str) -> None:
    """A mistyped year would leave nobody on call for months."""
    with pytest.raises(LineNotUnderstood, match="write it as"):
        parse_holidays(line)


def test_holidays_are_read_one_by_one() -> None:
    """Spans and single days, with a name and without."""
    assert parse_holidays(" 2026-12-24 to 2026-12-27 ; 2026-12-31 Dana; ") == (
        Holiday(first=date(2026, 12, 24), last=date(2026, 12, 27)),
        Holiday(first=date(2026, 12, 31), last=date(2026, 12, 31), name="Dana"),
    )


def test_a_stranger_has_no_holiday() -> None:
    """A mistyped name would be away from nothing."""
    with pytest.raises(LineNotUnderstood, match="Dan is away but not on the rota"):
        People.parse(HOURS, ROTA, "2026-12-31 Dan")


@pytest.mark.parametrize(
    ("moment", "present"),
    [
        (at("2026-11-02"), ("Dana", "Eli")),
        (at("2026-11-09"), ("Eli", "Dana")),
        # The night to Monday still belongs to last week's first person.
        (at("2026-11-09", "07:59"), ("Dana", "Eli")),
        (at("2026-11-09", "08:00"), ("Eli", "Dana")),
        # Before the first week the turn goes on backwards.
        (at("2026-10-30"), ("Eli", "Dana")),
        (at("2026-12-25"), ()),
        (at("2026-12-28", "07:59"), ()),
        (at("2026-12-28"), ("Dana", "Eli")),
        (at("2026-12-31"), ("Eli",)),
    ],
)
def test_who_is_asked_changes_each_monday_when_the_hours_open(
    moment: datetime, present: tuple[str, ...]
) -> None:
    """Nobody hands over in their sleep, and who is away is not asked."""
    assert PEOPLE.present(moment) == present


@pytest.mark.parametrize(
    ("after", "opens"),
    [
        (at("2026-11-24", "02:00"), at("2026-11-24", "08:00")),
        (at("2026-11-24", "12:00"), at("2026-11-24", "12:00")),
        (at("2026-11-27", "20:00"), at("2026-11-30", "08:00")),
        (at("2026-12-23", "21:00"), at("2026-12-28", "08:00")),
        # In summer, eight in Lisbon is seven UTC.
        (at("2026-07-01", "02:00"), at("2026-07-01", "07:00")),
    ],
)
def test_the_next_morning_skips_weekends_and_holidays(
    after: datetime, opens: datetime
) -> None:
    """What is held for the morning is told when somebody is there."""
    assert PEOPLE.next_working(after) == opens
    assert PEOPLE.is_working(opens)


@given(
    st.integers(min_value=0, max_value=60 * 24 * 120).map(
        lambda minutes: datetime(2026, 10, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    )
)
def test_the_next_morning_is_never_missed(moment: datetime) -> None:
    """Between a moment and the next working one, nobody is there."""
    opens = PEOPLE.next_working(moment)

    assert opens >= moment
    assert PEOPLE.is_working(opens)
    if opens > moment:
        assert not PEOPLE.is_working(moment + (opens - moment) * 0.99)


def test_channels_are_read_in_their_order() -> None:
    """An address may hold anything but a blank."""
    line = (
        "Dana.page=ntfys://host/a?priority=max,x;y=1  Dana.page=pover://u@t\n"
        "all.digest=mailto://u:p@host?to=a@b.test,c@d.test"
    )
    assert parse_channels(line) == (
        Channel(
            owner="Dana",
            use=Use.PAGE,
            url="ntfys://host/a?priority=max,x;y=1",
            label="Dana.page 1 (ntfys)",
        ),
        Channel(
            owner="Dana", use=Use.PAGE, url="pover://u@t", label="Dana.page 2 (pover)"
        ),
        Channel(
            owner="all",
            use=Use.DIGEST,
            url="mailto://u:p@host?to=a@b.test,c@d.test",
            label="all.digest 1 (mailto)",
        ),
    )


@pytest.mark.parametrize(
    "line",
    [
        "ntfys://host/secret-topic",
        "Dana=ntfys://host/secret-topic",
        "Dana.ring=ntfys://host/secret-topic",
        "Dana.page=secret-topic",
    ],
)
def test_a_channel_in_another_form_is_refused_without_its_address(line: str) -> None:
    """An address opens the channel: no message repeats it."""
    with pytest.raises(LineNotUnderstood, match="entry 1") as refused:
        parse_channels(line)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (Use.PAGE, ["Dana.page 1 (a)", "all.page 1 (d)", "Dana.push 1 (b)"]),
        (Use.PUSH, ["Dana.push 1 (b)", "Dana.digest 1 (c)", "Dana.page 1 (a)"]),
        # A digest never rings.
        (Use.DIGEST, ["Dana.digest 1 (c)", "Dana.push 1 (b)"]),
    ],
)
def test_the_next_best_channel_follows(use: Use, expected: list[str]) -> None:
    """Own before shared, meant for it before the next best use."""
    channels = parse_channels(
        "Dana.page=a://x Dana.push=b://x Dana.digest=c://x all.page=d://x Eli.page=e://x"
    )
    labels = [way.label for way in ways_to(channels, "Dana", use)]

    assert labels[: len(expected)] == expected
    assert not any(label.startswith("Eli") for label in labels)
    if use is Use.DIGEST:
        assert labels == expected


@pytest.mark.parametrize(
    ("line", "gap"),
    [
        ("", "Nobody would be told: no on-call channel is set."),
        ("Dana.page=a://x", "Nobody would reach Eli: no channel of theirs is set."),
        ("Dana.page=a://x all.digest=b://x", "No page would ring for Eli"),
        ("Dana.page=a://x Eli.page=b://x", None),
        ("all.page=a://x Mara.page=b://x", "Mara has a channel but is not on the rota"),
    ],
)
def test_a_gap_is_a_sentence(line: str, gap: str | None) -> None:
    """Who would not be reached is known by day."""
    found = who_would_hear(PEOPLE, parse_channels(line))

    assert (found or "").startswith(gap or "")
    assert (found is None) == (gap is None)


def test_without_a_rota_everybodys_channels_are_asked() -> None:
    """A single person need not write a rota."""
    alone = People.parse(HOURS, "", "")

    assert alone.present(at("2026-11-24")) == ("all",)
    assert who_would_hear(alone, parse_channels("all.page=a://x")) is None
