"""The on-call desk as a value: grouping, waking, escalating, and never spinning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.desk import (
    Answer,
    Desk,
    Errand,
    ErrandKind,
    Outcome,
    Told,
    acknowledge,
    after,
    find,
    resolve,
    snooze,
    take,
)
from domain.due import Setup, Signs, plan, shop_findings
from domain.oncall import Finding, FindingKind, Level
from domain.rota import People

#: Tuesday, 02:00 and 10:00 UTC.
NIGHT = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
DAY = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)

PEOPLE = People.parse(
    "Monday to Friday, 08:00 to 20:00 UTC", "Dana, Eli from 2026-11-02", ""
)
SETUP = Setup(people=PEOPLE, link="https://shop.example/support")

#: Says what becomes of an errand.
Fate = Callable[[Errand, datetime], Outcome]


def finding(
    number: int,
    since: datetime,
    kind: FindingKind = FindingKind.PAID_WITHOUT_ACCESS,
    error: str = "ApplicationAway",
    step: str = "open access in the application",
) -> Finding:
    """One customer's trouble."""
    return Finding(
        finding_id=UUID(int=number),
        kind=kind,
        step=step,
        error=error,
        subject=f"checkout-{number}",
        since=since,
        amount_minor=24900,
        currency="usd",
    )


def all_is_well(errand: Errand, _now: datetime) -> Outcome:
    """Every channel works, and the database answers."""
    told = tuple(Told(person=name, channel=f"{name} 1") for name in errand.people)
    return Outcome(is_done=True, told=told)


def nothing_works(errand: Errand, _now: datetime) -> Outcome:
    """No channel works, nor does the database."""
    return Outcome(is_done=False, told=tuple(Told(person=n) for n in errand.people))


@dataclass
class Night:
    """Drives a desk as its workflow does, and writes down what was carried out."""

    now: datetime
    setup: Setup = SETUP
    desk: Desk = field(default_factory=Desk)
    fate: Fate = all_is_well
    did: list[tuple[datetime, Errand]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.desk = replace(self.desk, opened_at=self.now)

    def settle(self) -> datetime:
        """Carry out what is due until nothing is; return when to look again."""
        for _ in range(20):
            due = plan(self.desk, self.setup, self.now)
            if not due.errands:
                assert due.look_again_at > self.now
                return due.look_again_at
            for errand in due.errands:
                self.did.append((self.now, errand))
                outcome = self.fate(errand, self.now)
                self.desk = after(self.desk, errand, outcome, self.now)
        raise AssertionError([errand.kind for _, errand in self.did[-20:]])

    def report(self, findings: Sequence[Finding]) -> None:
        """Take findings in."""
        for one in findings:
            self.desk = take(self.desk, one, self.now)
        self.settle()

    def until(self, end: datetime) -> None:
        """Let time pass, looking whenever the plan asks to."""
        while (at := self.settle()) <= end:
            self.now = at
        self.now = end
        self.settle()

    def kinds(self, *kinds: ErrandKind) -> list[tuple[str, str, tuple[str, ...]]]:
        """Return what was carried out, as `("02:01", "page", ("Dana",))`."""
        return [
            (f"{at:%H:%M}", errand.kind.value, errand.people)
            for at, errand in self.did
            if errand.kind in kinds
        ]

    @property
    def loud(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Everything that somebody noticed, but the digest."""
        return self.kinds(
            ErrandKind.PAGE, ErrandKind.PUSH, ErrandKind.PAUSE, ErrandKind.NOTICE
        )

    def acknowledge(self, who: str) -> None:
        """Let somebody take the only incident."""
        (incident,) = self.desk.open_incidents
        self.desk = acknowledge(self.desk, incident.incident_id, who, self.now)


def many(count: int, since: datetime) -> list[Finding]:
    """So many customers with the same trouble."""
    return [finding(number, since) for number in range(1, count + 1)]


def test_two_hundred_failures_of_one_cause_are_one_page() -> None:
    """One incident, one notification, one page at night, with the right number."""
    night = Night(NIGHT)
    night.report(many(200, NIGHT - timedelta(minutes=12)))
    night.until(NIGHT + timedelta(minutes=2))
    night.acknowledge("Eli")
    night.until(NIGHT + timedelta(hours=5, minutes=59))

    assert len(night.desk.incidents) == 1
    assert night.loud == [("02:01", "page", ("Eli",))]
    (page,) = [errand for _, errand in night.did if errand.kind is ErrandKind.PAGE]
    assert page.title == (
        "200 customers, $49,800.00, paid, without access, oldest 13 min"
    )
    assert "If you do nothing: Dana is told at 02:06 UTC" in page.body
    assert "checkout pauses by itself at 02:16 UTC" in page.body
    assert page.body.count("https://") == 1


def test_one_stuck_customer_at_night_wakes_nobody() -> None:
    """The machine heals it or the morning does; the digest tells of it."""
    night = Night(NIGHT)
    night.report([finding(1, NIGHT - timedelta(minutes=12))])
    night.until(NIGHT.replace(hour=8, minute=31))

    assert night.loud == [("08:00", "push", ("Eli",))]
    assert night.kinds(ErrandKind.DIGEST) == [("08:30", "digest", ("Dana", "Eli"))]


def test_nobody_answers() -> None:
    """The second person, then the pause, then the morning."""
    night = Night(NIGHT)
    night.report(many(5, NIGHT - timedelta(minutes=12)))
    night.until(NIGHT.replace(hour=8, minute=29))

    assert night.loud == [
        ("02:01", "page", ("Eli",)),
        ("02:06", "page", ("Dana",)),
        ("02:16", "pause", ()),
        # A mail, which wakes nobody.
        ("02:16", "notice", ("Dana", "Eli")),
        ("08:00", "push", ("Eli",)),
    ]
    pages = [errand for _, errand in night.did if errand.kind is ErrandKind.PAGE]
    assert "Eli was paged at 02:01 and has not answered." in pages[1].body
    assert "checkout pauses by itself at 02:16 UTC" in pages[1].body
    (push,) = [errand for _, errand in night.did if errand.kind is ErrandKind.PUSH]
    assert "checkout stays paused, as it is since 02:16 UTC" in push.body


def test_whoever_resumes_payments_is_not_overruled() -> None:
    """The machine pauses once for an incident; then a person knows better."""
    night = Night(NIGHT)
    night.report(many(5, NIGHT - timedelta(minutes=12)))
    night.until(NIGHT + timedelta(minutes=30))
    night.desk = replace(night.desk, paused_at=None)
    night.until(NIGHT + timedelta(hours=3))

    assert [kind for _, kind, _ in night.loud].count("pause") == 1


def test_no_channel_works_at_all() -> None:
    """Everybody is tried, and then the machine takes the safe action all the same."""

    def deaf(errand: Errand, now: datetime) -> Outcome:
        is_message = bool(errand.people)
        return nothing_works(errand, now) if is_message else all_is_well(errand, now)

    night = Night(NIGHT, fate=deaf)
    night.report(many(5, NIGHT - timedelta(minutes=12)))
    night.until(NIGHT + timedelta(minutes=17))

    assert night.loud[:3] == [
        ("02:01", "page", ("Eli",)),
        ("02:01", "page", ("Dana",)),
        ("02:03", "page", ("Eli",)),
    ]
    assert ("02:16", "pause", ()) in night.loud
    assert night.desk.wakings == ()


def test_by_day_the_first_person_gets_a_push_and_after_two_hours_the_second() -> None:
    """A single customer is worth a message after half an hour."""
    day = Night(DAY)
    day.report([finding(1, DAY)])
    day.until(DAY + timedelta(hours=3))

    assert day.loud == [("10:30", "push", ("Eli",)), ("12:30", "push", ("Dana",))]


def test_what_is_taken_is_left_alone_and_told_again_after_four_hours() -> None:
    """Who has it is not nagged; what lasts is not forgotten."""
    day = Night(DAY)
    day.report([finding(1, DAY - timedelta(hours=1))])
    day.until(DAY + timedelta(minutes=5))
    day.acknowledge("Eli")
    day.until(DAY + timedelta(hours=8))

    assert [at for at, _, _ in day.loud] == ["10:01", "14:01"]


def test_a_snooze_is_silence_until_its_time() -> None:
    """Somebody said why; afterwards it is told again."""
    day = Night(DAY)
    day.report([finding(1, DAY - timedelta(hours=1))])
    (incident,) = day.desk.incidents
    day.desk = snooze(
        day.desk, incident.incident_id, silent(DAY + timedelta(hours=3)), day.now
    )
    day.until(DAY + timedelta(hours=4))

    assert [at for at, _, _ in day.loud] == ["13:00"]


def silent(until: datetime) -> Answer:
    """Eli's word that it may be silent until then."""
    return Answer(code="", who="Eli", until=until, reason="known")


def test_a_snooze_for_one_customer_does_not_hold_for_two_hundred() -> None:
    """What nobody knew when it was snoozed wakes people, and pauses checkout."""
    night = Night(NIGHT)
    night.report([finding(1, NIGHT - timedelta(minutes=12))])
    (incident,) = night.desk.incidents
    until = NIGHT + timedelta(hours=8)
    night.desk = snooze(night.desk, incident.incident_id, silent(until), night.now)
    night.until(NIGHT + timedelta(hours=1))
    quiet = list(night.loud)
    night.report([finding(number, night.now) for number in range(2, 202)])
    night.until(NIGHT + timedelta(hours=2))

    assert quiet == []
    assert [(at, kind) for at, kind, _ in night.loud] == [
        ("03:10", "page"),
        ("03:15", "page"),
        ("03:25", "pause"),
        ("03:25", "notice"),
    ]


@pytest.mark.parametrize("count", [1, 5])
def test_a_snooze_holds_for_what_it_was_given_to(count: int) -> None:
    """Neither age nor what was worth a page already breaks it."""
    night = Night(NIGHT)
    night.report(many(count, NIGHT - timedelta(minutes=12)))
    (incident,) = night.desk.incidents
    until = NIGHT + timedelta(hours=8)
    night.desk = snooze(night.desk, incident.incident_id, silent(until), night.now)
    night.until(NIGHT + timedelta(hours=8, minutes=30))

    assert night.loud[0][0] == "10:00"


def test_an_incident_ends_after_a_quarter_of_an_hour_without_trouble() -> None:
    """A lull is no end; what comes back within the hour is the same incident."""
    day = Night(DAY)
    trouble = finding(1, DAY - timedelta(hours=1))
    day.report([trouble])
    day.until(DAY + timedelta(minutes=2))
    day.report([replace(trouble, is_over=True)])
    day.until(DAY + timedelta(minutes=16))
    lull = len(day.desk.open_incidents)
    day.until(DAY + timedelta(minutes=18))
    ended = len(day.desk.open_incidents)

    day.report([finding(2, DAY - timedelta(hours=1))])
    day.until(DAY + timedelta(hours=1))

    (incident,) = day.desk.open_incidents
    assert (lull, ended) == (1, 0)
    assert incident.came_back == 1
    assert [at for at, _, _ in day.loud] == ["10:01"]


def test_what_a_person_ended_begins_anew() -> None:
    """Resolved by hand is resolved; more of it is another incident."""
    day = Night(DAY)
    day.report([finding(1, DAY - timedelta(hours=1))])
    (first,) = day.desk.incidents
    day.desk = resolve(day.desk, first.incident_id, "Eli", day.now)
    day.report([finding(2, DAY - timedelta(hours=1))])

    (second,) = day.desk.open_incidents
    assert second.incident_id != first.incident_id
    assert find(day.desk, second.code) == second
    assert find(day.desk, first.code) is None
    assert find(day.desk, "") is None


def test_what_outlasts_the_word_that_it_is_over_is_told_again() -> None:
    """Who ends an incident too soon hears of what is left, and of that alone."""
    night = Night(NIGHT)
    night.report(many(9, NIGHT - timedelta(minutes=12)))
    night.until(NIGHT + timedelta(minutes=2))
    (first,) = night.desk.open_incidents
    night.desk = resolve(night.desk, first.incident_id, "Eli", night.now)
    mended = many(4, NIGHT - timedelta(minutes=12))
    night.report([replace(one, is_over=True) for one in mended])
    quiet = night.desk.open_incidents
    night.until(NIGHT + timedelta(minutes=18))

    (second,) = night.desk.open_incidents
    assert quiet == ()
    assert (second.subjects, second.came_back) == (5, 1)
    assert second.incident_id != first.incident_id
    assert night.loud[:2] == [("02:01", "page", ("Eli",)), ("02:17", "page", ("Eli",))]
    night.report([replace(one, is_over=True) for one in many(9, NIGHT)])
    night.until(NIGHT + timedelta(hours=2))
    assert night.desk.open_incidents == ()


def test_what_outlasts_an_end_joins_what_came_since() -> None:
    """One cause is one incident, whoever ended it in between."""
    day = Night(DAY)
    day.report([finding(1, DAY - timedelta(hours=1))])
    (first,) = day.desk.open_incidents
    day.desk = resolve(day.desk, first.incident_id, "Eli", day.now)
    day.now += timedelta(minutes=5)
    day.report([finding(2, DAY)])
    day.until(DAY + timedelta(minutes=16))

    (second,) = day.desk.open_incidents
    assert (second.subjects, second.total) == (2, 2)


def test_an_end_by_hand_is_the_end_once_nothing_lasts() -> None:
    """Whoever was right hears no more of it, of the shop's own trouble neither."""
    day = Night(DAY)
    away = shop_findings(day.desk, Signs(), DAY - timedelta(hours=1))
    day.report([*away, finding(1, DAY - timedelta(hours=1))])
    day.until(DAY + timedelta(minutes=2))
    for one in day.desk.open_incidents:
        day.desk = resolve(day.desk, one.incident_id, "Eli", day.now)
    told = len(day.loud)
    again = shop_findings(day.desk, Signs(), day.now)
    back = shop_findings(day.desk, Signs(answers=True), day.now)
    day.report([*back, replace(finding(1, DAY), is_over=True)])
    day.until(DAY + timedelta(hours=2))

    assert again == ()
    assert [one.is_over for one in back] == [True]
    assert (day.desk.open_incidents, len(day.loud)) == ((), told)


def test_a_new_desk_takes_the_rows_over_once() -> None:
    """A desk that was lost left rows behind; they are taken over when they can be."""
    night = Night(NIGHT, desk=Desk(is_new=True), fate=nothing_works)
    night.until(NIGHT + timedelta(minutes=1))
    night.fate = all_is_well
    night.until(NIGHT + timedelta(hours=2))

    rows = [errand for _, errand in night.did if errand.kind is ErrandKind.RECORD]
    assert [one.takes_over_at for one in rows] == [NIGHT] * len(rows)
    assert len(rows) == 3
    assert not night.desk.is_new


def test_the_third_night_page_of_a_month_is_none() -> None:
    """The budget is spent: the machine pauses checkout, and people sleep."""
    night = Night(NIGHT)
    for week in range(3):
        night.now = NIGHT - timedelta(days=14 - 7 * week)
        night.desk = replace(night.desk, incidents=(), paused_at=None)
        since = night.now - timedelta(minutes=12)
        night.report([finding(100 * week + number, since) for number in range(1, 6)])
        night.until(night.now + timedelta(minutes=2))

    assert [kind for _, kind, _ in night.loud] == ["page", "page", "pause", "notice"]


def test_everybody_is_away() -> None:
    """Nobody is woken on a holiday: checkout pauses at once, and a mail says so."""
    away = Setup(
        people=People.parse(
            "Monday to Friday, 08:00 to 20:00 UTC",
            "Dana, Eli from 2026-11-02",
            "2026-11-23 to 2026-11-24",
        ),
        link=SETUP.link,
    )
    night = Night(NIGHT, setup=away)
    night.report(many(5, NIGHT - timedelta(minutes=12)))
    night.until(NIGHT + timedelta(hours=10))

    assert night.loud == [
        ("02:01", "pause", ()),
        ("02:01", "notice", ("Dana", "Eli")),
    ]
    assert night.kinds(ErrandKind.DIGEST) == []


def test_who_was_woken_last_night_is_asked_last_and_told_later() -> None:
    """A night's page gives the next night off, and moves the digest to ten."""
    night = Night(NIGHT)
    night.report(many(5, NIGHT - timedelta(minutes=12)))
    night.until(NIGHT + timedelta(minutes=2))
    night.acknowledge("Eli")
    night.until(NIGHT.replace(hour=11))
    night.desk = replace(night.desk, incidents=())
    night.now = NIGHT + timedelta(days=1)
    night.settle()
    since = night.now - timedelta(minutes=12)
    night.report([finding(number, since) for number in range(11, 16)])
    night.until(night.now + timedelta(minutes=2))

    assert night.kinds(ErrandKind.PAGE) == [
        ("02:01", "page", ("Eli",)),
        ("02:01", "page", ("Dana",)),
    ]
    assert night.kinds(ErrandKind.DIGEST) == [("10:00", "digest", ("Dana", "Eli"))]


def test_a_consequence_is_told_with_its_root() -> None:
    """Four causes with one processor behind them are one push."""
    day = Night(DAY)
    since = DAY - timedelta(hours=2)
    unknown = FindingKind.OUTCOME_UNKNOWN
    day.report(
        [
            finding(1, since, unknown, "OutcomeUnknown", "ask for the charge"),
            finding(2, since, unknown, "Throttled", "create the PaymentIntent"),
            finding(3, since, FindingKind.WEBHOOKS_SILENT, "", ""),
            finding(4, since, FindingKind.RECONCILIATION_LATE, "", ""),
        ]
    )
    day.until(DAY + timedelta(minutes=30))

    assert len(day.desk.incidents) == 4
    assert day.loud == [("10:01", "push", ("Eli",))]
    (push,) = [errand for _, errand in day.did if errand.kind is ErrandKind.PUSH]
    assert "1 webhook endpoint" in push.body
    assert "1 reconciliation" in push.body


@pytest.mark.parametrize(("left", "pages"), [(1, 2), (5, 1)])
def test_what_is_left_of_a_lead_speaks_for_nobody_new(left: int, pages: int) -> None:
    """A page that was answered covers what follows only while it is as bad."""
    night = Night(NIGHT)
    old = many(6, NIGHT - timedelta(minutes=12))
    night.report(old)
    night.until(NIGHT + timedelta(minutes=2))
    night.acknowledge("Eli")
    night.report([replace(one, is_over=True) for one in old[left:]])
    night.until(NIGHT + timedelta(hours=1))
    since = night.now - timedelta(minutes=12)
    night.report(
        [
            finding(number, since, error="ApplicationRefused")
            for number in range(100, 130)
        ]
    )
    night.until(NIGHT + timedelta(minutes=62))

    assert [kind for _, kind, _ in night.loud] == ["page"] * pages


def test_the_digest_comes_every_working_day() -> None:
    """Nothing to say is said, so that silence is news; weekends are free."""
    week = Night(datetime(2026, 11, 20, 12, 0, tzinfo=UTC))  # A Friday.
    week.until(datetime(2026, 11, 25, 12, 0, tzinfo=UTC))

    days = [at.date().isoformat() for at, e in week.did if e.kind is ErrandKind.DIGEST]
    assert days == ["2026-11-23", "2026-11-24", "2026-11-25"]


def test_the_digest_follows_the_clock_on_the_wall() -> None:
    """When summer time ends over the weekend, half past eight stays half past eight."""
    people = People.parse("Monday to Friday, 08:00 to 20:00 Europe/Lisbon", "", "")
    setup = replace(SETUP, people=people)
    week = Night(datetime(2026, 10, 23, 0, 0, tzinfo=UTC), setup=setup)
    week.until(datetime(2026, 10, 26, 12, 0, tzinfo=UTC))

    assert [at for at, _, _ in week.kinds(ErrandKind.DIGEST)] == ["07:30", "08:30"]


@pytest.mark.parametrize(
    ("signs", "kinds"),
    [
        (Signs(answers=True), []),
        (Signs(), [FindingKind.RECORDS_AWAY]),
        (Signs(answers=True, charges=2), []),
        (Signs(answers=True, charges=3), [FindingKind.WEBHOOKS_SILENT]),
        (Signs(answers=True, charges=30, charges_told=1), []),
        (Signs(answers=True, lost_since=NIGHT), [FindingKind.SALES_LOST]),
    ],
)
def test_the_shops_own_trouble_is_found_and_taken_back(
    signs: Signs, kinds: list[FindingKind]
) -> None:
    """Found once while it lasts, over when it is over, and found again afterwards."""
    desk = Desk()
    for _ in range(2):
        found = shop_findings(desk, signs, NIGHT)
        assert [one.kind for one in found] == kinds
        for one in found:
            desk = take(desk, one, NIGHT)
        assert shop_findings(desk, signs, NIGHT) == ()
        well = shop_findings(desk, Signs(answers=True, charges_told=9), NIGHT)
        assert [one.is_over for one in well] == [True] * len(kinds)
        for one in well:
            desk = take(desk, one, NIGHT)
    assert all(not one.waiting for one in desk.incidents)


def test_a_digest_that_nobody_took_is_tried_again() -> None:
    """An hour of trouble with the mail server delays it, and loses nothing."""

    def late(errand: Errand, now: datetime) -> Outcome:
        works = now >= NIGHT.replace(hour=9, minute=15)
        return all_is_well(errand, now) if works else nothing_works(errand, now)

    night = Night(NIGHT, fate=late)
    night.until(NIGHT.replace(hour=12))

    assert [at for at, _, _ in night.kinds(ErrandKind.DIGEST)] == [
        "08:30",
        "08:45",
        "09:00",
        "09:15",
    ]


def test_the_watcher_hears_of_us_as_often_as_agreed() -> None:
    """Its silence means that something is gone; so it is never late."""
    night = Night(NIGHT, setup=replace(SETUP, beat_every=timedelta(minutes=5)))
    night.until(NIGHT + timedelta(minutes=21))

    beats = [at for at, _, _ in night.kinds(ErrandKind.BEAT)]
    assert beats == ["02:00", "02:05", "02:10", "02:15", "02:20"]


def test_rows_follow_and_wait_for_the_database() -> None:
    """What the database did not take is written when it can."""
    night = Night(NIGHT, fate=nothing_works)
    night.report([finding(1, NIGHT)])
    night.until(NIGHT + timedelta(minutes=3))
    night.fate = all_is_well
    night.until(NIGHT + timedelta(minutes=5))

    assert all(one.version == one.recorded for one in night.desk.incidents)
    assert night.desk.unsaved == ()


FINDINGS = st.builds(
    finding,
    st.integers(min_value=1, max_value=60),
    st.integers(min_value=0, max_value=240).map(
        lambda minutes: NIGHT - timedelta(minutes=minutes)
    ),
    st.sampled_from(FindingKind),
    st.sampled_from(["ApplicationAway", "OutcomeUnknown", "DatabaseAway", ""]),
    st.sampled_from(["write the order", "ask for the charge"]),
)


@given(st.lists(FINDINGS, max_size=40))
def test_a_finding_told_twice_is_one(findings: list[Finding]) -> None:
    """Signals may come twice and late; the second one changes nothing."""
    once = Desk()
    for one in findings:
        once = take(once, one, NIGHT)
    twice = once
    for one in findings:
        twice = take(twice, one, NIGHT + timedelta(minutes=1))

    assert twice == once
    ids = [w.finding_id for i in once.incidents for w in i.waiting]
    assert len(ids) == len(set(ids)) == len({one.finding_id for one in findings})
    assert len({i.cause for i in once.incidents}) == len(once.incidents)


@given(st.lists(FINDINGS, max_size=20, unique_by=lambda one: one.finding_id))
def test_an_end_may_come_before_its_beginning(findings: list[Finding]) -> None:
    """Two replicas pass findings on side by side; a late one opens nothing."""
    desk = Desk()
    for one in findings:
        desk = take(desk, replace(one, is_over=True), NIGHT)
        desk = take(desk, one, NIGHT)

    assert desk.incidents == ()


HOURS = st.integers(min_value=0, max_value=24 * 9).map(
    lambda hours: datetime(2026, 11, 20, tzinfo=UTC) + timedelta(hours=hours)
)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(FINDINGS, min_size=1, max_size=40),
    HOURS,
    st.sampled_from([all_is_well, nothing_works]),
    st.lists(st.booleans(), max_size=3),
)
def test_whatever_happens_the_desk_comes_to_rest(
    findings: list[Finding], start: datetime, fate: Fate, taken: list[bool]
) -> None:
    """No plan spins, none asks to look into the past, and nights stay quiet."""
    night = Night(start, fate=fate)
    night.report([replace(one, since=start) for one in findings])
    for is_taken in taken:
        night.until(night.now + timedelta(minutes=20))
        for incident in night.desk.open_incidents if is_taken else ():
            night.desk = acknowledge(
                night.desk, incident.incident_id, "Dana", night.now
            )
    night.until(night.now + timedelta(hours=14 if fate is all_is_well else 3))

    wakings = [one for one in night.desk.wakings if one.is_first]
    assert len(wakings) <= 2
    for at, errand in night.did:
        if errand.kind is ErrandKind.PUSH:
            assert PEOPLE.is_working(at)
        if errand.kind in {ErrandKind.PAGE, ErrandKind.PUSH}:
            assert errand.title[0].isdigit()
            assert errand.body.count("https://") == 1
            assert errand.body.count("If you do nothing: ") == 1


def test_many_causes_at_once_wake_nobody_more_often_than_one() -> None:
    """Four causes worth a page, found in one minute: two pages, then the pause."""
    night = Night(NIGHT)
    night.report(
        [
            finding(number, NIGHT, FindingKind.KEY_LEAKED, f"Leak{number}", "")
            for number in range(4)
        ]
    )
    night.until(NIGHT + timedelta(minutes=4))

    assert [kind for _, kind, _ in night.loud] == ["page", "page", "pause", "notice"]


@settings(deadline=None, max_examples=25)
@given(st.lists(FINDINGS, min_size=1, max_size=30), HOURS, st.integers(0, 600))
def test_nothing_is_missed_between_two_looks(
    findings: list[Finding], start: datetime, minutes: int
) -> None:
    """Before the moment that a plan names, nothing else becomes due."""
    night = Night(start)
    night.report([replace(one, since=start) for one in findings])
    night.until(start + timedelta(minutes=minutes))
    again = night.settle()

    for share in (0.1, 0.5, 0.9, 0.999):
        between = night.now + (again - night.now) * share
        assert plan(night.desk, SETUP, between).errands == ()


@pytest.mark.parametrize("level", [Level.PUSH, Level.PAGE])
def test_an_answer_counts_for_what_it_was_given_to(level: Level) -> None:
    """Who took a push is paged all the same when it becomes worth a page."""
    day = Night(DAY)
    count = 1 if level is Level.PUSH else 5
    since = DAY - timedelta(hours=1)
    day.report(many(count, since))
    day.until(DAY + timedelta(minutes=2))
    day.acknowledge("Eli")
    day.report([finding(number, since) for number in range(10, 20)])
    day.until(DAY + timedelta(minutes=10))

    pages = [kind for _, kind, _ in day.loud if kind == "page"]
    assert len(pages) == (2 if level is Level.PUSH else 1)
