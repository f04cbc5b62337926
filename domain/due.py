"""What is due at the on-call desk at a moment, and when to look again.

`plan` is pure. A plan that was carried out leaves nothing due, whatever came of it,
until the moment at which it asks to be looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID, uuid5

from domain.alerts import Consequence, DigestFacts, body_of, notice_of, title_of
from domain.desk import Desk, Errand, ErrandKind, IncidentRecord, Plan
from domain.oncall import (
    GROWS_WITHIN,
    Finding,
    FindingKind,
    Hour,
    Incident,
    Level,
    decide,
    is_silenced,
    lead_of,
)
from domain.rota import People

#: Findings of one cause come in flocks; the first alert counts them all.
GROUP_WAIT = timedelta(seconds=60)

#: Nobody has answered the page: the second person is woken.
SECOND_AFTER = timedelta(minutes=5)

#: Nobody has answered at all: the machine takes the safe action.
PAUSE_AFTER = timedelta(minutes=15)

#: Nobody has answered a push.
SECOND_PUSH_AFTER = timedelta(hours=2)

#: What still lasts is told again by day; at night once is enough.
REPEAT_AFTER = timedelta(hours=4)

#: Who has taken an incident is left alone with it.
ACKNOWLEDGED_FOR = timedelta(minutes=60)

#: Shorter quiet is a lull, not an end.
RESOLVE_AFTER = timedelta(minutes=15)

#: What lasts for so long after somebody said that it is over is told again: the rows
#: of what they mended have followed by then.
RAISE_AFTER = timedelta(minutes=15)

#: A page that reached nobody rings again; a push or a mail has more time.
_PAGE_RETRY = timedelta(minutes=2)
_RETRY = timedelta(minutes=5)
_DIGEST_RETRY = timedelta(minutes=15)

#: A row or a pause that the database did not take.
_DATABASE_RETRY = timedelta(minutes=1)

#: When the morning is told; later for those who were woken.
DIGEST_AT = time(8, 30)
LATE_DIGEST_AT = time(10, 0)

#: Who was woken so often within so long a time sleeps for the rest of the night: the
#: machine pauses checkout instead.
SAFE_MODE_PAGES = 2
SAFE_MODE_WITHIN = timedelta(hours=12)

#: Two people cannot be on call all month; what would wake them a third time has to be
#: mended by day instead.
NIGHT_PAGES_A_MONTH = 2

#: A channel that nobody rehearsed for longer may be broken.
DRILL_EVERY = timedelta(days=35)

#: So many charges without a single webhook are no coincidence.
SILENT_FROM = 3

#: The shop itself is looked at as often, whatever else is due.
_LOOK_EVERY = timedelta(minutes=15)

#: Whom it harms when it is the shop's own trouble; findings in rows have other words.
_SHOP = "the shop"

_DIGEST_LOOKS_AHEAD_DAYS = 100

_FOUND = UUID("9d0e5a0e-2f4f-4d3e-8a57-0d1a3c1f6b22")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the settings say about the desk.

    Attributes:
        people: Who is there when.
        link: Where an alert leads.
        beat_every: How often the outside watcher hears of us; None for never.
        night_pages_a_month: The budget.
    """

    people: People
    link: str
    beat_every: timedelta | None = None
    night_pages_a_month: int = NIGHT_PAGES_A_MONTH


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """A desk at a moment."""

    desk: Desk
    setup: Setup
    hour: Hour

    @property
    def now(self) -> datetime:
        return self.hour.now

    @property
    def people(self) -> tuple[str, ...]:
        """Who may be asked, in order; who was woken last night is asked last."""
        present = self.setup.people.present(self.now)
        if self.hour.is_working:
            return present
        tonight = self.setup.people.day_of(self.now)
        tired = {
            one.person
            for one in self.desk.wakings
            if self.setup.people.day_of(one.at) == tonight - timedelta(days=1)
        }
        return tuple(sorted(present, key=lambda name: name in tired))

    @property
    def is_sleep_spent(self) -> bool:
        """Nobody may be woken any more: this night, or this month."""
        first = [one.at for one in self.desk.wakings if one.is_first]
        lately = sum(self.now - at < SAFE_MODE_WITHIN for at in first)
        month = _month_of(self.setup.people, self.now)
        in_month = sum(_month_of(self.setup.people, at) == month for at in first)
        return lately >= SAFE_MODE_PAGES or in_month >= self.setup.night_pages_a_month


def _month_of(people: People, moment: datetime) -> tuple[int, int]:
    """Return the month of the budget; it begins when the hours open, not at night."""
    day = people.day_of(moment)
    return day.year, day.month


def plan(desk: Desk, setup: Setup, now: datetime) -> Plan:
    """Say what is due at this moment, and when to look again."""
    view = _View(
        desk=desk,
        setup=setup,
        hour=Hour(
            now=now,
            is_working=setup.people.is_working(now),
            paused_at=desk.paused_at,
        ),
    )
    errands = [
        errand for one in desk.open_incidents for errand in _errands_of(one, view)
    ]
    errands += [
        _silent(ErrandKind.RAISE, one)
        for one, raised_at in _ended_too_soon(desk)
        if now >= raised_at
    ]
    # One pause serves every incident that asks for it.
    pauses = [one for one in errands if one.kind is ErrandKind.PAUSE]
    errands = [one for one in errands if one not in pauses[1:]]
    if not view.hour.is_working:
        # Each waking is counted before the next is decided on: a night has two.
        wakings = [
            one for one in errands if one.kind is ErrandKind.PAGE and not one.is_second
        ]
        errands = [one for one in errands if one not in wakings[1:]]
    errands += [*_digest(view), *_record(view), *_beat(view)]
    moments = [moment for moment in _moments(view) if moment > now]
    return Plan(
        errands=tuple(errands),
        look_again_at=min(moments).astimezone(UTC),
        paused_at=desk.paused_at,
    )


def _ended_too_soon(desk: Desk) -> Iterator[tuple[Incident, datetime]]:
    """Yield what lasts although somebody ended its incident, and when it is raised."""
    for one in desk.incidents:
        if one.resolved_at is not None and one.waiting:
            yield one, one.resolved_at + RAISE_AFTER


def _errands_of(incident: Incident, view: _View) -> list[Errand]:
    if not incident.waiting:
        since = incident.over_since or view.now
        is_over = view.now - since >= RESOLVE_AFTER
        return [_silent(ErrandKind.CLOSE, incident)] if is_over else []
    is_gathering = view.now - incident.gathers_from < GROUP_WAIT
    if is_gathering or is_silenced(incident, view.hour):
        return []
    if incident.paused_at is not None and incident.noticed_at is None:
        return _notice(incident, view)
    decision = decide(incident, view.desk.open_incidents, view.hour)
    errands = _loud(incident, decision.level, view)
    if not errands and decision.level >= Level.PUSH and view.hour.is_working:
        return _push(incident, view)
    return errands


def _loud(incident: Incident, level: Level, view: _View) -> list[Errand]:
    """Say what is due of a page, once it was decided on: a promise is kept."""
    if incident.is_acknowledged(Level.PAGE):
        return []
    if incident.paged_at is not None:
        return _escalation(incident, incident.paged_at, view)
    return _first_page(incident, view) if level is Level.PAGE else []


def _first_page(incident: Incident, view: _View) -> list[Errand]:
    """Wake the first person, or take the safe action in their stead."""
    may_wake = view.hour.is_working or not view.is_sleep_spent
    if view.people and may_wake:
        return [_page(incident, view, view.people[0])]
    if _may_pause(incident, view):
        return _pause(incident, view)
    if not view.people and incident.noticed_at is None:
        return _notice(incident, view)
    return []


def _escalation(incident: Incident, paged_at: datetime, view: _View) -> list[Errand]:
    """Nobody has answered yet: the second person, then the pause."""
    is_late = view.now >= paged_at + PAUSE_AFTER
    if is_late and incident.rule.selling_on_harms and _may_pause(incident, view):
        return _pause(incident, view)
    others = [name for name in view.people if name != incident.paged_person]
    is_waited_for = incident.is_paged or not others
    second_at = paged_at + (SECOND_AFTER if is_waited_for else timedelta())
    if incident.second_paged_at is None and view.now >= second_at:
        # Alone on the rota, the first person hears it once more.
        name = (*others, incident.paged_person)[0]
        return [_page(incident, view, name, is_second=True)]
    tried_at = incident.tried_at or paged_at
    if not incident.is_paged and not is_late and view.now - tried_at >= _PAGE_RETRY:
        return [_page(incident, view, incident.paged_person)]
    return []


def _page(
    incident: Incident, view: _View, person: str, *, is_second: bool = False
) -> Errand:
    paged_at = incident.paged_at or view.now
    before = (
        f"{incident.paged_person} was paged at {_clock(paged_at, view)} and has not "
        "answered."
        if is_second and incident.is_paged and person != incident.paged_person
        else ""
    )
    others = [name for name in view.people if name != person]
    consequence = Consequence(
        second=(others[0], paged_at + SECOND_AFTER)
        if others and not is_second
        else None,
        pauses_at=paged_at + PAUSE_AFTER
        if incident.rule.selling_on_harms and _may_pause(incident, view)
        else None,
        paused_at=view.desk.paused_at,
    )
    return _told(
        ErrandKind.PAGE,
        incident,
        view,
        person=person,
        consequence=consequence,
        before=before,
        is_second=is_second,
    )


def _push(incident: Incident, view: _View) -> list[Errand]:
    if incident.tried_at is not None and view.now - incident.tried_at < _RETRY:
        return []
    if not _is_push_due(incident, view):
        return []
    is_second = _is_second_push(incident, view)
    is_next = is_second or (incident.told_at is None and incident.pushed_person)
    others = [name for name in view.people if name != incident.pushed_person]
    person = (*others, *view.people)[0] if is_next else view.people[0]
    rest = [name for name in view.people if name != person]
    consequence = Consequence(
        second=(rest[0], view.now + SECOND_PUSH_AFTER)
        if rest and incident.pushed_at is None
        else None,
        paused_at=view.desk.paused_at,
    )
    return [
        _told(
            ErrandKind.PUSH,
            incident,
            view,
            person=person,
            consequence=consequence,
            is_second=is_second,
        )
    ]


def _is_push_due(incident: Incident, view: _View) -> bool:
    told_at = incident.told_at
    if told_at is None:
        return not incident.is_acknowledged(Level.PUSH)
    taken_at = incident.acknowledged_at
    if taken_at is None:
        # What was told at night to nobody awake is told again in the morning.
        was_at_night = told_at < view.setup.people.opening(view.now)
        if was_at_night or _is_second_push(incident, view):
            return True
    elif view.now - taken_at < ACKNOWLEDGED_FOR:
        return False
    return view.now - told_at >= REPEAT_AFTER


def _is_second_push(incident: Incident, view: _View) -> bool:
    return (
        incident.acknowledged_at is None
        and incident.pushed_at is not None
        and incident.second_pushed_at is None
        and view.now - incident.pushed_at >= SECOND_PUSH_AFTER
    )


def _told(
    kind: ErrandKind,
    incident: Incident,
    view: _View,
    *,
    person: str,
    consequence: Consequence,
    before: str = "",
    is_second: bool = False,
) -> Errand:
    followers = [
        one
        for one in view.desk.open_incidents
        if one.waiting and lead_of(one, view.desk.open_incidents, view.hour) == incident
    ]
    return Errand(
        kind=kind,
        incident_id=incident.incident_id,
        people=(person,),
        is_second=is_second,
        is_at_night=not view.hour.is_working,
        title=title_of(incident, view.now),
        body=body_of(
            incident,
            followers=followers,
            consequence=consequence,
            link=view.setup.link,
            now=view.now,
            zone=view.setup.people.hours.zone,
            before=before,
        ),
    )


def _may_pause(incident: Incident, view: _View) -> bool:
    """Once for an incident: whoever resumes payments meanwhile knows why."""
    return view.desk.paused_at is None and incident.paused_at is None


def _pause(incident: Incident, view: _View) -> list[Errand]:
    tried_at = view.desk.pause_tried_at
    if tried_at is not None and view.now - tried_at < _DATABASE_RETRY:
        return []
    why = "nobody answered" if incident.paged_at else "nobody was to be woken"
    title = title_of(incident, view.now)
    errand = _silent(ErrandKind.PAUSE, incident)
    return [replace(errand, title=title, body=f"{why}: {title}")]


def _notice(incident: Incident, view: _View) -> list[Errand]:
    if incident.tried_at is not None and view.now - incident.tried_at < _RETRY:
        # After a page that reached nobody, or a mail that did not leave.
        return []
    zone = view.setup.people.hours.zone
    return [
        Errand(
            kind=ErrandKind.NOTICE,
            incident_id=incident.incident_id,
            people=view.setup.people.names,
            is_at_night=not view.hour.is_working,
            title=title_of(incident, view.now),
            body=notice_of(incident, view.setup.link, zone),
        )
    ]


def _silent(kind: ErrandKind, incident: Incident) -> Errand:
    return Errand(kind=kind, incident_id=incident.incident_id)


def _clock(moment: datetime, view: _View) -> str:
    return f"{moment.astimezone(view.setup.people.hours.zone):%H:%M}"


def _digest(view: _View) -> list[Errand]:
    """The morning's mail; its text is written where the rows are."""
    day = _local_day(view.setup.people, view.now)
    due = _digest_time(view, day)
    tried_at = view.desk.digest_tried_at
    is_fresh_try = tried_at is not None and view.now - tried_at < _DIGEST_RETRY
    if due is None or view.now < due or is_fresh_try:
        return []
    if not _owes_digest(view, day, due):
        return []
    return [
        Errand(
            kind=ErrandKind.DIGEST,
            people=view.setup.people.names,
            day=day.isoformat(),
        )
    ]


def _owes_digest(view: _View, day: date, due: datetime) -> bool:
    opened_at = view.desk.opened_at or view.now
    return view.desk.digest_for != day.isoformat() and opened_at < due


def _digest_time(view: _View, day: date) -> datetime | None:
    """Return when a day's digest is due; None on a day without one."""
    people = view.setup.people
    if not people.is_working_day(day):
        return None
    night = day - timedelta(days=1)
    was_woken = any(people.day_of(one.at) == night for one in view.desk.wakings)
    return people.on_day(day, LATE_DIGEST_AT if was_woken else DIGEST_AT)


def _local_day(people: People, moment: datetime) -> date:
    return moment.astimezone(people.hours.zone).date()


def _beat(view: _View) -> list[Errand]:
    every, beat_at = view.setup.beat_every, view.desk.beat_at
    if every is None or (beat_at is not None and view.now - beat_at < every):
        return []
    return [Errand(kind=ErrandKind.BEAT)]


def _record(view: _View) -> list[Errand]:
    stale = [one for one in view.desk.incidents if one.version != one.recorded]
    tried_at = view.desk.record_tried_at
    is_fresh_try = tried_at is not None and view.now - tried_at < _DATABASE_RETRY
    if is_fresh_try or not (stale or view.desk.unsaved or view.desk.is_new):
        return []
    return [
        Errand(
            kind=ErrandKind.RECORD,
            records=tuple(_record_of(one, view) for one in stale),
            notifications=view.desk.unsaved,
            takes_over_at=view.desk.opened_at if view.desk.is_new else None,
        )
    ]


def _record_of(incident: Incident, view: _View) -> IncidentRecord:
    decision = decide(incident, view.desk.open_incidents, view.hour)
    return IncidentRecord(
        incident_id=incident.incident_id,
        version=incident.version,
        kind=incident.kind,
        step=incident.step,
        error=incident.error,
        title=title_of(incident, view.now),
        level=decision.level.name.lower(),
        why=decision.why,
        opened_at=incident.opened_at,
        waiting=incident.subjects,
        total=incident.total,
        came_back=incident.came_back,
        told_at=incident.told_at,
        told_level=incident.told_level.name.lower(),
        acknowledged_at=incident.acknowledged_at,
        acknowledged_by=incident.acknowledged_by,
        snoozed_until=incident.snoozed_until,
        snoozed_by=incident.snoozed_by,
        snooze_reason=incident.snooze_reason,
        paused_at=incident.paused_at,
        resolved_at=incident.resolved_at,
        resolved_by=incident.resolved_by,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What the desk sees of the shop itself, whenever it looks.

    Attributes:
        answers: The database answered; without it the others mean nothing.
        paused_at: Since when new payments are paused.
        charges: Charges of the last hours that are old enough to have been told of.
        charges_told: Those of them of which a webhook told.
        first_charge_at: When the first of them was.
        lost_since: When the first request to pay since the newest charge came to
            nothing, because it could not be passed on; None when none did of late.
    """

    answers: bool = False
    paused_at: datetime | None = None
    charges: int = 0
    charges_told: int = 0
    first_charge_at: datetime | None = None
    lost_since: datetime | None = None


def shop_findings(desk: Desk, signs: Signs, now: datetime) -> tuple[Finding, ...]:
    """Find by the desk's own look what no case tells of, or that it is over."""
    away = _found(
        desk,
        FindingKind.RECORDS_AWAY,
        None if signs.answers else now,
        error="DatabaseAway",
    )
    if not signs.answers:
        return away
    is_silent = signs.charges >= SILENT_FROM and not signs.charges_told
    since = (signs.first_charge_at or now) if is_silent else None
    return (
        *away,
        *_found(desk, FindingKind.WEBHOOKS_SILENT, since),
        *_found(desk, FindingKind.SALES_LOST, signs.lost_since),
    )


def drill_findings(
    desk: Desk, facts: DigestFacts, now: datetime
) -> tuple[Finding, ...]:
    """Find that the channels were not rehearsed for too long, or that they were."""
    if not facts.answers:
        return ()
    since = facts.drilled_at or desk.opened_at or now
    is_overdue = now - since > DRILL_EVERY
    return _found(desk, FindingKind.DRILL_OVERDUE, since if is_overdue else None)


def _found(
    desk: Desk, kind: FindingKind, since: datetime | None, *, error: str = ""
) -> tuple[Finding, ...]:
    """Return what is new about one thing of the shop: that it began, or is over.

    Args:
        desk: Knows what is so already.
        kind: What it is about.
        since: Since when it is wrong; None when it is not.
        error: Class of the failure, if there is one.
    """
    lasting = [
        one
        # Those that somebody ended too soon are raised again by themselves.
        for incident in desk.incidents
        if incident.kind is kind
        for one in incident.waiting
        if one.subject == _SHOP
    ]
    if (since is not None) == bool(lasting):
        return ()
    if since is not None:
        ids = [uuid5(_FOUND, f"{kind}/{since.isoformat()}/{len(desk.seen)}")]
    else:
        ids = [one.finding_id for one in lasting]
    return tuple(
        Finding(
            finding_id=finding_id,
            kind=kind,
            step="",
            error=error,
            subject=_SHOP,
            since=since or lasting[0].since,
            is_over=since is None,
        )
        for finding_id in ids
    )


def without_records(due: Plan, now: datetime) -> Plan:
    """Hold the heartbeat back while the database is away, and look again soon.

    The outside watcher then calls as it does when all of us is gone: at night nobody
    else may wake anybody for it.
    """
    return replace(
        due,
        errands=tuple(one for one in due.errands if one.kind is not ErrandKind.BEAT),
        look_again_at=min(due.look_again_at, now + _DATABASE_RETRY),
    )


# --- When to look again -----------------------------------------------------------


def _moments(view: _View) -> Iterator[datetime]:
    """Every moment at which something may become due without news; some are past."""
    people = view.setup.people
    opening = people.opening(view.now)
    # Rota, rest and the budget's month change then, working day or not.
    yield from (opening, opening + timedelta(days=1))
    yield view.now + _LOOK_EVERY
    yield (
        people.hours.close_after(view.now)
        if view.hour.is_working
        else people.next_working(view.now)
    )
    yield from _digest_moments(view)
    if view.setup.beat_every is not None:
        yield (view.desk.beat_at or view.now) + view.setup.beat_every
    yield from _after_tries(view.desk)
    for waking in view.desk.wakings:
        yield waking.at + SAFE_MODE_WITHIN
    for incident in view.desk.open_incidents:
        yield from _moments_of(incident)
    for _, raised_at in _ended_too_soon(view.desk):
        yield raised_at


def _after_tries(desk: Desk) -> Iterator[datetime]:
    tries = (
        (desk.digest_tried_at, _DIGEST_RETRY),
        (desk.record_tried_at, _DATABASE_RETRY),
        (desk.pause_tried_at, _DATABASE_RETRY),
    )
    yield from _sums(tries)


def _digest_moments(view: _View) -> Iterator[datetime]:
    today = _local_day(view.setup.people, view.now)
    for ahead in range(_DIGEST_LOOKS_AHEAD_DAYS):
        day = today + timedelta(days=ahead)
        due = _digest_time(view, day)
        if due is not None and due > view.now:
            yield due
            return


def _moments_of(incident: Incident) -> Iterator[datetime]:
    rule = incident.rule
    if incident.snoozed_until is not None:
        yield incident.snoozed_until
    spans: list[tuple[datetime | None, timedelta | None]] = [
        (incident.gathers_from, GROUP_WAIT),
        (incident.over_since, RESOLVE_AFTER),
        (incident.grew_at, GROWS_WITHIN),
        (incident.paged_at, SECOND_AFTER),
        (incident.paged_at, PAUSE_AFTER),
        (incident.tried_at, _PAGE_RETRY),
        (incident.tried_at, _RETRY),
        (incident.told_at, REPEAT_AFTER),
        (incident.pushed_at, SECOND_PUSH_AFTER),
        (incident.acknowledged_at, ACKNOWLEDGED_FOR),
    ]
    for one in incident.waiting:
        spans += [(one.since, rule.page_after), (one.since, rule.push_after)]
    yield from _sums(spans)


def _sums(
    spans: Iterable[tuple[datetime | None, timedelta | None]],
) -> Iterator[datetime]:
    for moment, span in spans:
        if moment is not None and span is not None:
            yield moment + span
