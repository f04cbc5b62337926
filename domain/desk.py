"""The on-call desk: which incidents there are, and what was done about them.

`take` keeps the incidents, `after` notes what became of an errand; what is due when is
decided in `domain.due`. The desk is a value: its workflow only orders.

Annotations are evaluated here, not postponed, as in `domain.oncall`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from domain.oncall import Finding, Incident, Level, Waiting, severity_of
from domain.rota import Use

#: What comes back within this is the same incident, and is not told anew.
COMES_BACK_WITHIN = timedelta(hours=1)

#: Ids of findings that are remembered, so that one told twice is one. Six weeks of a
#: bad month; beyond, a repeat of an old one would count again.
_MOST_SEEN = 5_000

#: More details of one incident than this are no use to anybody; the state of the desk
#: must fit into a payload.
_MOST_WAITING = 1_000

#: A list of alerts that the database does not take must not grow for ever either.
_MOST_UNSAVED = 500

#: Longer than any month, so that the budget's count is whole.
_KEEPS_WAKINGS = timedelta(days=62)

_INCIDENTS = UUID("0b6f6f5e-3d0b-4d53-9f5a-6a0f7f0c7b11")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waking:
    """Somebody was woken.

    Attributes:
        is_first: Nobody else was woken for the same incident before; the budget counts
            these.
    """

    at: datetime
    person: str
    is_first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One alert to one person, and how it went."""

    notification_id: UUID
    incident_id: UUID | None
    use: Use
    person: str
    channel: str
    is_delivered: bool
    title: str
    sent_at: datetime
    is_at_night: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """All that the desk knows; it outlives every run of its workflow.

    Attributes:
        opened_at: When it first looked; None before.
        incidents: Open ones, and those that ended within the hour.
        seen: Ids of findings taken or ended, the oldest first.
        wakings: Who was woken when, for budget and rest.
        digest_for: The day, as an ISO date, whose digest was sent.
        paused_at: Since when new payments are paused, as last seen.
        unsaved: Alerts that are not in the rows yet.
        is_new: Another desk may have been lost before it opened, with all that it knew;
            the first rows that this one writes take over from it.
    """

    opened_at: datetime | None = None
    incidents: tuple[Incident, ...] = ()
    seen: tuple[UUID, ...] = ()
    wakings: tuple[Waking, ...] = ()
    digest_for: str = ""
    digest_tried_at: datetime | None = None
    beat_at: datetime | None = None
    paused_at: datetime | None = None
    pause_tried_at: datetime | None = None
    unsaved: tuple[Notification, ...] = ()
    record_tried_at: datetime | None = None
    is_new: bool = False

    @property
    def open_incidents(self) -> tuple[Incident, ...]:
        """Those that nobody and nothing has ended."""
        return tuple(one for one in self.incidents if one.is_open)


class ErrandKind(StrEnum):
    """What the workflow can be asked to carry out."""

    PAGE = "page"
    PUSH = "push"
    #: Tell everybody by mail what the machine did by itself.
    NOTICE = "notice"
    #: Pause new payments.
    PAUSE = "pause"
    #: An incident is over; nothing is sent.
    CLOSE = "close"
    #: Somebody ended an incident, and it is not over: what lasts is another one.
    RAISE = "raise"
    DIGEST = "digest"
    #: Let the outside watcher hear of us.
    BEAT = "beat"
    #: Bring the rows up to date.
    RECORD = "record"


#: The channels of each kind that is sent to people.
USE_OF = {
    ErrandKind.PAGE: Use.PAGE,
    ErrandKind.PUSH: Use.PUSH,
    ErrandKind.NOTICE: Use.DIGEST,
    ErrandKind.DIGEST: Use.DIGEST,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRecord:
    """An incident as its row has it."""

    incident_id: UUID
    version: int
    kind: str
    step: str
    error: str
    title: str
    level: str
    why: str
    opened_at: datetime
    waiting: int
    total: int
    came_back: int
    told_at: datetime | None
    told_level: str
    acknowledged_at: datetime | None
    acknowledged_by: str
    snoozed_until: datetime | None
    snoozed_by: str
    snooze_reason: str
    paused_at: datetime | None
    resolved_at: datetime | None
    resolved_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One thing to carry out.

    Attributes:
        people: Who is told, in the rota's names.
        is_second: The first person did not answer.
        is_at_night: It is outside of hours.
        day: Whose digest it is, as an ISO date.
        records: Rows to write, for `RECORD`.
        notifications: Likewise.
        takes_over_at: Likewise, of a new desk: when it opened. What was told, or kept
            open, before that was another desk's.
    """

    kind: ErrandKind
    incident_id: UUID | None = None
    people: tuple[str, ...] = ()
    is_second: bool = False
    is_at_night: bool = False
    day: str = ""
    title: str = ""
    body: str = ""
    records: tuple[IncidentRecord, ...] = ()
    notifications: tuple[Notification, ...] = ()
    takes_over_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SendAlert:
    """One alert to one person.

    Attributes:
        person: A name of the rota.
        use: Which channels are meant for it.
        title: With a number and a noun.
        body: Without personal data.
    """

    person: str
    use: Use
    title: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What somebody says to an incident.

    Attributes:
        code: What people call the incident; its beginning is enough.
        who: Who says it.
        until: Until when it may be silent; for a snooze.
        reason: Why; for a snooze.
    """

    code: str
    who: str
    until: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What became of an answer.

    Attributes:
        is_done: It was taken.
        text: A sentence for whoever gave it.
    """

    is_done: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How telling one person went.

    Attributes:
        channel: The label of the one that took it; empty when none did.
        has_channels: There was one to try.
    """

    person: str
    channel: str = ""
    has_channels: bool = True

    @property
    def is_reached(self) -> bool:
        """Some channel took it."""
        return bool(self.channel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an errand.

    Attributes:
        is_done: It had its effect; for what is told, somebody was reached.
        told: How it went with each person.
    """

    is_done: bool
    told: tuple[Told, ...] = ()

    @property
    def is_final(self) -> bool:
        """Trying again would change nothing: it is done, or there is no channel."""
        return self.is_done or not any(one.has_channels for one in self.told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is due now.

    Attributes:
        errands: In this order.
        look_again_at: When something may be due without news.
        paused_at: What the look saw of the pause.
        findings: What the look itself found.
    """

    errands: tuple[Errand, ...]
    look_again_at: datetime
    paused_at: datetime | None = None
    findings: tuple[Finding, ...] = ()


# --- Findings ---------------------------------------------------------------------


def take(desk: Desk, finding: Finding, now: datetime) -> Desk:
    """Take a finding in; told twice it counts once, and its end may come first."""
    if finding.is_over:
        return _end(desk, finding.finding_id, now)
    if finding.finding_id in desk.seen:
        return desk
    known = _same_cause(desk, finding, now)
    incident = known or _new_incident(finding, now)
    grown = _grown(incident, finding, now)
    others = (one for one in desk.incidents if one.incident_id != grown.incident_id)
    remembered = _remember(desk, finding.finding_id)
    return replace(remembered, incidents=(*others, grown))


def _end(desk: Desk, finding_id: UUID, now: datetime) -> Desk:
    """Take a finding out; when none is left, its incident has begun to be over."""

    def without(incident: Incident) -> Incident:
        left = tuple(one for one in incident.waiting if one.finding_id != finding_id)
        if len(left) == len(incident.waiting):
            return incident
        over_since = incident.over_since if left else now
        return _changed(incident, waiting=left, over_since=over_since)

    desk = replace(desk, incidents=tuple(without(one) for one in desk.incidents))
    return desk if finding_id in desk.seen else _remember(desk, finding_id)


def _remember(desk: Desk, finding_id: UUID) -> Desk:
    return replace(desk, seen=(*desk.seen, finding_id)[-_MOST_SEEN:])


def _same_cause(desk: Desk, finding: Finding, now: datetime) -> Incident | None:
    """Find the incident of a cause that is open, or ended by itself just now."""
    for one in reversed(desk.incidents):
        if one.cause != finding.cause:
            continue
        if one.resolved_at is None:
            return one
        if not one.resolved_by and now - one.resolved_at <= COMES_BACK_WITHIN:
            return one
    return None


def _new_incident(finding: Finding, now: datetime) -> Incident:
    return Incident(
        # Derived: whoever replays the desk's history arrives at the same id.
        incident_id=uuid5(_INCIDENTS, f"{finding.cause}/{finding.finding_id}"),
        kind=finding.kind,
        step=finding.step,
        error=finding.error,
        opened_at=now,
        gathers_from=now,
        grew_at=now,
    )


def _grown(incident: Incident, finding: Finding, now: datetime) -> Incident:
    waiting = Waiting(
        finding_id=finding.finding_id,
        subject=finding.subject,
        since=min(finding.since, now),
        found_at=now,
        amount_minor=finding.amount_minor,
        currency=finding.currency,
    )
    return _changed(
        incident if incident.is_open else _back(incident, now),
        waiting=(*incident.waiting, waiting)[:_MOST_WAITING],
        grew_at=now,
        over_since=None,
        total=incident.total + 1,
    )


def _back(incident: Incident, now: datetime) -> Incident:
    """Open an incident again: what was told stays told, a page may ring once more."""
    return replace(
        incident,
        gathers_from=now,
        came_back=incident.came_back + 1,
        resolved_at=None,
        paused_at=None,
        noticed_at=None,
        paged_at=None,
        paged_person="",
        is_paged=False,
        second_paged_at=None,
        acknowledged_at=None,
        acknowledged_by="",
        acknowledged_level=Level.RECORD,
    )


def _changed(incident: Incident, **changes: Any) -> Incident:
    return replace(incident, version=incident.version + 1, **changes)


# --- What people do ---------------------------------------------------------------


def find(desk: Desk, code: str) -> Incident | None:
    """Return the open incident that a code names; None when none or several."""
    wanted = code.strip().lower()
    found = [
        one
        for one in desk.open_incidents
        if wanted and one.incident_id.hex.startswith(wanted)
    ]
    return found[0] if len(found) == 1 else None


def acknowledge(desk: Desk, incident_id: UUID, who: str, now: datetime) -> Desk:
    """Somebody has it: no second person, no pause, an hour of quiet."""

    def taken(incident: Incident) -> Incident:
        severity = severity_of(incident, desk.paused_at, now)
        return _changed(
            incident,
            acknowledged_at=now,
            acknowledged_by=who,
            acknowledged_level=max(severity, incident.told_level),
        )

    return _with(desk, incident_id, taken)


def snooze(desk: Desk, incident_id: UUID, answer: Answer, now: datetime) -> Desk:
    """Somebody knows why it may be silent until then, as loud as it is."""

    def silenced(incident: Incident) -> Incident:
        severity = severity_of(incident, desk.paused_at, now)
        return _changed(
            incident,
            snoozed_until=answer.until,
            snoozed_by=answer.who,
            snooze_reason=answer.reason,
            # By age alone each becomes worth a push, and that is no news.
            snoozed_level=max(severity, Level.PUSH),
        )

    return _with(desk, incident_id, silenced)


def resolve(desk: Desk, incident_id: UUID, who: str, now: datetime) -> Desk:
    """Somebody says that it is over; what comes afterwards is a new incident.

    What it waited for is kept: they may be wrong, and of what lasts nobody would hear
    again.
    """
    return _with(
        desk,
        incident_id,
        lambda incident: _changed(incident, resolved_at=now, resolved_by=who),
    )


def _with(
    desk: Desk, incident_id: UUID | None, change: Callable[[Incident], Incident]
) -> Desk:
    return replace(
        desk,
        incidents=tuple(
            change(one) if one.incident_id == incident_id else one
            for one in desk.incidents
        ),
    )


# --- What became of it ------------------------------------------------------------


def after(desk: Desk, errand: Errand, outcome: Outcome, now: datetime) -> Desk:
    """Note what became of an errand; whatever did, it is not due again at once."""
    noted = _noted(desk, errand, outcome, now)
    return _AFTER[errand.kind](noted, errand, outcome, now)


def _after_page(desk: Desk, errand: Errand, outcome: Outcome, now: datetime) -> Desk:
    person = errand.people[0]
    known = (i for i in desk.incidents if i.incident_id == errand.incident_id)
    incident = next(known, None)
    if incident is None:
        return desk
    is_first = not incident.is_paged and outcome.is_done
    if errand.is_at_night and outcome.is_done:
        waking = Waking(at=now, person=person, is_first=is_first)
        desk = replace(desk, wakings=(*desk.wakings, waking))
    changes: dict[str, Any] = {"tried_at": now}
    if incident.paged_at is None:
        changes |= {"paged_at": now, "paged_person": person}
    if errand.is_second:
        changes |= {"second_paged_at": now}
    if outcome.is_done:
        changes |= {"is_paged": True, "told_at": now, "told_level": Level.PAGE}
    return _with(desk, errand.incident_id, lambda i: _changed(i, **changes))


def _after_push(desk: Desk, errand: Errand, outcome: Outcome, now: datetime) -> Desk:
    def pushed(incident: Incident) -> Incident:
        changes: dict[str, Any] = {"tried_at": now, "pushed_person": errand.people[0]}
        if errand.is_second:
            changes |= {"second_pushed_at": now}
        if outcome.is_done:
            changes |= {
                "told_at": now,
                "told_level": max(incident.told_level, Level.PUSH),
            }
            if incident.pushed_at is None:
                changes |= {"pushed_at": now}
        return _changed(incident, **changes)

    return _with(desk, errand.incident_id, pushed)


def _after_pause(desk: Desk, errand: Errand, outcome: Outcome, now: datetime) -> Desk:
    if not outcome.is_done:
        return replace(desk, pause_tried_at=now)
    desk = replace(desk, paused_at=now, pause_tried_at=None)
    return _with(desk, errand.incident_id, lambda i: _changed(i, paused_at=now))


def _after_digest(desk: Desk, errand: Errand, outcome: Outcome, now: datetime) -> Desk:
    if not outcome.is_final:
        return replace(desk, digest_tried_at=now)
    return replace(desk, digest_tried_at=None, digest_for=errand.day)


def _after_close(desk: Desk, errand: Errand, _outcome: Outcome, now: datetime) -> Desk:
    def closed(incident: Incident) -> Incident:
        return _changed(incident, resolved_at=now)

    return _pruned(_with(desk, errand.incident_id, closed), now)


def _after_raise(desk: Desk, errand: Errand, _outcome: Outcome, now: datetime) -> Desk:
    """Go on with what outlasted the word of whoever ended its incident."""
    ended = next(
        (i for i in desk.incidents if i.incident_id == errand.incident_id), None
    )
    if ended is None or ended.resolved_at is None:
        return desk
    same = (one for one in desk.open_incidents if one.cause == ended.cause)
    known = next(same, None) or _raised(ended, ended.resolved_at, now)
    grown = _changed(
        known,
        waiting=(*ended.waiting, *known.waiting)[:_MOST_WAITING],
        grew_at=now,
        over_since=None,
        total=known.total + len(ended.waiting),
    )
    others = (one for one in desk.incidents if one.incident_id != grown.incident_id)
    left = replace(desk, incidents=(*others, grown))
    return _with(left, ended.incident_id, lambda one: _changed(one, waiting=()))


def _raised(ended: Incident, ended_at: datetime, now: datetime) -> Incident:
    return Incident(
        incident_id=uuid5(_INCIDENTS, f"{ended.incident_id}/{ended_at.isoformat()}"),
        kind=ended.kind,
        step=ended.step,
        error=ended.error,
        opened_at=now,
        # It has gathered ever since: there is nothing more to wait for.
        gathers_from=ended_at,
        grew_at=now,
        came_back=ended.came_back + 1,
    )


def _after_notice(desk: Desk, errand: Errand, outcome: Outcome, now: datetime) -> Desk:
    def noticed(incident: Incident) -> Incident:
        at = now if outcome.is_final else None
        return _changed(incident, tried_at=now, noticed_at=at)

    return _with(desk, errand.incident_id, noticed)


def _after_beat(desk: Desk, _errand: Errand, _outcome: Outcome, now: datetime) -> Desk:
    return replace(desk, beat_at=now)


def _after_record(desk: Desk, errand: Errand, outcome: Outcome, now: datetime) -> Desk:
    if not outcome.is_done:
        return replace(desk, record_tried_at=now)
    written = {one.incident_id: one.version for one in errand.records}
    saved = {one.notification_id for one in errand.notifications}
    return replace(
        desk,
        record_tried_at=None,
        is_new=desk.is_new and errand.takes_over_at is None,
        incidents=tuple(
            replace(one, recorded=written.get(one.incident_id, one.recorded))
            for one in desk.incidents
        ),
        unsaved=tuple(n for n in desk.unsaved if n.notification_id not in saved),
    )


def _noted(desk: Desk, errand: Errand, outcome: Outcome, now: datetime) -> Desk:
    """Keep a row for each person who was told, or was to be."""
    use = USE_OF.get(errand.kind)
    if use is None:
        return desk
    rows = tuple(
        Notification(
            notification_id=uuid5(
                _INCIDENTS, f"{errand.incident_id}/{use}/{one.person}/{now.isoformat()}"
            ),
            incident_id=errand.incident_id,
            use=use,
            person=one.person,
            channel=one.channel,
            is_delivered=one.is_reached,
            title=errand.title,
            sent_at=now,
            is_at_night=errand.is_at_night,
        )
        for one in outcome.told
    )
    return replace(desk, unsaved=(*desk.unsaved, *rows)[-_MOST_UNSAVED:])


def _pruned(desk: Desk, now: datetime) -> Desk:
    """Forget what nothing can refer to any more; the rows have it."""
    return replace(
        desk,
        incidents=tuple(
            one
            for one in desk.incidents
            if one.resolved_at is None
            or one.waiting
            or one.version != one.recorded
            or now - one.resolved_at <= COMES_BACK_WITHIN
        ),
        wakings=tuple(one for one in desk.wakings if now - one.at <= _KEEPS_WAKINGS),
    )


_AFTER: dict[ErrandKind, Callable[[Desk, Errand, Outcome, datetime], Desk]] = {
    ErrandKind.PAGE: _after_page,
    ErrandKind.PUSH: _after_push,
    ErrandKind.NOTICE: _after_notice,
    ErrandKind.PAUSE: _after_pause,
    ErrandKind.CLOSE: _after_close,
    ErrandKind.RAISE: _after_raise,
    ErrandKind.DIGEST: _after_digest,
    ErrandKind.BEAT: _after_beat,
    ErrandKind.RECORD: _after_record,
}
