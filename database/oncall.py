"""Findings, incidents, alerts and drills: what the on-call desk is told, and tells.

A finding is written in the transaction that opens its case, and passed on to the desk
by the starter loop until the desk has it: no crash in between loses it. The trigger
`end_findings` ends it with its case, whoever resolves that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import (
    ColumnElement,
    Row,
    ScalarSelect,
    and_,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as insert_or_find
from sqlalchemy.ext.asyncio import AsyncConnection

from database.audit import StaffAction, digest_of, record_action
from database.pauses import PAUSED_AT
from database.tables import (
    cases,
    checkouts,
    drills,
    findings,
    incidents,
    notifications,
    orders,
    payment_attempts,
    processor_events,
    promises,
)
from domain.alerts import CaseCount, DigestFacts
from domain.desk import IncidentRecord, Notification
from domain.due import Signs
from domain.oncall import Finding, FindingKind
from domain.rota import Use
from domain.states import NEVER_ASKED, CaseState, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFinding:
    """What is wrong, before it has an id.

    Attributes:
        subject: Whom it harms: a checkout's or payment's id, or a word like `shop`.
        since: Since when; None for now.
        case_id: The case that it ends with; None for what has none.
    """

    kind: FindingKind
    step: str
    error: str
    subject: str
    since: datetime | None = None
    amount_minor: int = 0
    currency: str | None = None
    case_id: UUID | None = None


async def write_finding(connection: AsyncConnection, new: NewFinding) -> None:
    """Write that something is wrong; while it lasts, once (`uq_findings_lasting`)."""
    await connection.execute(
        insert_or_find(findings)
        .values(
            finding_id=uuid4(),
            case_id=new.case_id,
            kind=new.kind,
            step=new.step,
            error=new.error,
            subject=new.subject,
            since_at=new.since or func.clock_timestamp(),
            amount_minor=new.amount_minor,
            currency=new.currency,
        )
        .on_conflict_do_nothing()
    )


async def end_findings(
    connection: AsyncConnection,
    subject: str,
    *,
    kind: FindingKind | None = None,
    unless: Sequence[str] = (),
    but: tuple[str, str, str] | None = None,
) -> None:
    """Write that what was wrong with a subject is over.

    Args:
        connection: In a transaction.
        subject: As in the findings.
        kind: Which of its findings; None for all.
        unless: Errors that only a person can end.
        but: Kind, step and error of what goes on.
    """
    conditions: list[ColumnElement[bool]] = [
        findings.c.subject == subject,
        findings.c.over_at.is_(None),
        findings.c.error.not_in(unless),
    ]
    if kind is not None:
        conditions.append(findings.c.kind == kind)
    if but is not None:
        other_kind, step, error = but
        conditions.append(
            or_(
                findings.c.kind != other_kind,
                findings.c.step != step,
                findings.c.error != error,
            )
        )
    await connection.execute(
        update(findings).where(*conditions).values(over_at=func.clock_timestamp())
    )


async def list_findings_to_tell(
    connection: AsyncConnection, limit: int
) -> list[Finding]:
    """Read what the desk does not know yet, oldest first (`ix_findings_waiting`).

    Several API replicas may read the same ones: the desk counts each once.
    """
    result = await connection.execute(
        select(findings)
        .where(
            or_(
                findings.c.told_at.is_(None),
                and_(
                    findings.c.over_at.is_not(None), findings.c.told_over_at.is_(None)
                ),
            )
        )
        .order_by(findings.c.found_at)
        .limit(limit)
    )
    return [
        Finding(
            finding_id=row.finding_id,
            kind=FindingKind(row.kind),
            step=row.step,
            error=row.error,
            subject=row.subject,
            since=row.since_at,
            amount_minor=row.amount_minor,
            currency=row.currency,
            is_over=row.over_at is not None,
        )
        for row in result
    ]


async def mark_findings_told(
    connection: AsyncConnection, told: Sequence[Finding]
) -> None:
    """Write that the desk has them; an end that came meanwhile still waits."""
    now = func.clock_timestamp()
    await connection.execute(
        update(findings)
        .where(findings.c.finding_id.in_([one.finding_id for one in told]))
        .values(told_at=func.coalesce(findings.c.told_at, now))
    )
    over = [one.finding_id for one in told if one.is_over]
    await connection.execute(
        update(findings)
        .where(findings.c.finding_id.in_(over), findings.c.told_over_at.is_(None))
        .values(told_over_at=now)
    )


async def take_over(connection: AsyncConnection, opened_at: datetime) -> None:
    """Begin with a new desk: what a lost one knew, nobody knows any more.

    Whatever lasts is told again, and the incidents that the lost desk kept open are
    over, since nobody can answer them.

    Args:
        connection: In a transaction, before the new desk's own rows.
        opened_at: When the new desk opened.
    """
    await connection.execute(
        update(findings)
        .where(findings.c.over_at.is_(None), findings.c.told_at < opened_at)
        .values(told_at=None)
    )
    await connection.execute(
        update(incidents)
        .where(incidents.c.resolved_at.is_(None), incidents.c.opened_at < opened_at)
        .values(
            resolved_at=func.clock_timestamp(),
            why="the desk that kept it was lost: what lasts is told again",
        )
    )


async def write_incidents(
    connection: AsyncConnection, records: Sequence[IncidentRecord]
) -> None:
    """Bring incidents' rows up to date; an older version changes nothing.

    The first finding names an incident, so a desk that is told of it anew has the same
    one from its beginning: what opened later counts as newer.

    What people answered is written into the audit of staff by the same transaction:
    the rows show what is new in it, so that a repeat writes nothing twice.
    """
    answers: list[StaffAction] = []
    for record in records:
        answers += await _write_incident(connection, record)
    for answer in answers:
        await record_action(connection, answer)


async def _write_incident(
    connection: AsyncConnection, record: IncidentRecord
) -> list[StaffAction]:
    """Write one row; returns what people said of it since it was written last."""
    found = await connection.execute(
        select(incidents)
        .where(incidents.c.incident_id == record.incident_id)
        .with_for_update()
    )
    before = found.one_or_none()
    fresh = {
        column.name: getattr(record, column.name)
        for column in incidents.c
        if column.name != "incident_id"
    }
    statement = insert_or_find(incidents).values(
        incident_id=record.incident_id, **fresh
    )
    written = await connection.execute(
        statement.on_conflict_do_update(
            constraint="pk_incidents",
            set_=fresh,
            where=tuple_(incidents.c.opened_at, incidents.c.version)
            < tuple_(record.opened_at, record.version),
        ).returning(incidents.c.incident_id)
    )
    return [] if written.one_or_none() is None else _answers(before, record)


def _answers(
    before: Row[tuple[object, ...]] | None, record: IncidentRecord
) -> list[StaffAction]:
    """Return what a record says of people that its row did not say yet.

    What the machine does by itself names nobody.
    """
    said: tuple[tuple[str, str, str, dict[str, str]], ...] = (
        ("acknowledged", record.acknowledged_by, "acknowledged_at", {}),
        (
            "snoozed",
            record.snoozed_by,
            "snoozed_until",
            {"reason_sha256": digest_of(record.snooze_reason)},
        ),
        ("resolved", record.resolved_by, "resolved_at", {}),
    )
    return [
        StaffAction(
            actor=who,
            role=None,
            action=f"incident.{what}",
            about={
                "by": "on-call desk",
                "incident": str(record.incident_id),
                column: moment.isoformat(),
                **more,
            },
        )
        for what, who, column, more in said
        if who
        and (moment := getattr(record, column)) is not None
        and moment != getattr(before, column, None)
    ]


async def write_notifications(
    connection: AsyncConnection, rows: Sequence[Notification]
) -> None:
    """Keep who was told, and who could not be; the same one twice is one row."""
    for row in rows:
        values = {c.name: getattr(row, c.name) for c in notifications.c}
        await connection.execute(
            insert_or_find(notifications).values(**values).on_conflict_do_nothing()
        )


#: A webhook comes within seconds; by then it is missing.
_TOLD_WITHIN = timedelta(minutes=15)

#: A quiet shop sells little in an hour; what is older says nothing about now.
_LOOKS_BACK = timedelta(hours=6)

#: Then nobody has tried for so long that we do not know.
_LOST_WITHIN = timedelta(minutes=30)


async def read_signs(connection: AsyncConnection) -> Signs:
    """Read what the desk sees of the shop itself: pause, silent webhooks, lost sales.

    Uses `ix_checkouts_charged_at`, `ix_payment_attempts_lost` and
    `ix_processor_events_payment_intent_id`: beyond the statement's timeout it would
    read as a database that is away.
    """
    # An index is of no use to a clock that moves while the statement runs.
    now = func.statement_timestamp()
    # One event, not `EXISTS`: that might be answered by reading all events first.
    of_payment = (
        select(processor_events.c.event_id)
        .where(processor_events.c.payment_intent_id == checkouts.c.payment_intent_id)
        .limit(1)
        .correlate(checkouts)
        .scalar_subquery()
    )
    found = await connection.execute(
        select(
            PAUSED_AT.label("paused_at"),
            func.count().label("charges"),
            func.count(of_payment).label("charges_told"),
            func.min(checkouts.c.charged_at).label("first_charge_at"),
            _lost_since(now).label("lost_since"),
        ).where(
            checkouts.c.stage == Stage.CHARGED,
            checkouts.c.charged_at.between(now - _LOOKS_BACK, now - _TOLD_WITHIN),
        )
    )
    row = found.one()
    return Signs(
        answers=True,
        paused_at=row.paused_at,
        charges=row.charges,
        charges_told=row.charges_told,
        first_charge_at=row.first_charge_at,
        lost_since=row.lost_since,
    )


def _lost_since(now: ColumnElement[datetime]) -> ScalarSelect[datetime | None]:
    """Return since when, after the newest charge, requests to pay come to nothing."""
    newest_charge = select(func.max(checkouts.c.charged_at)).scalar_subquery()
    return (
        select(func.min(payment_attempts.c.ended_at))
        .where(
            payment_attempts.c.outcome.in_(sorted(NEVER_ASKED)),
            payment_attempts.c.ended_at
            > func.greatest(now - _LOST_WITHIN, newest_charge),
        )
        .scalar_subquery()
    )


async def read_digest_facts(
    connection: AsyncConnection,
    *,
    since: datetime,
    until: datetime,
    month_began: datetime,
) -> DigestFacts:
    """Count for the morning what happened and what waits.

    Args:
        connection: For reading.
        since: From when on payments, incidents and alerts count.
        until: Until when promised words count.
        month_began: From when on the night's pages count.
    """
    charged = checkouts.c.stage == Stage.CHARGED
    has_order = exists().where(orders.c.checkout_id == checkouts.c.checkout_id)
    counts = await connection.execute(
        select(
            _count(checkouts, charged, checkouts.c.charged_at >= since).label(
                "payments"
            ),
            _count(
                orders.join(checkouts, checkouts.c.checkout_id == orders.c.checkout_id),
                checkouts.c.charged_at >= since,
            ).label("orders"),
            _count(checkouts, charged, ~has_order).label("without_order"),
            _count(cases, cases.c.resolved_at >= since).label("resolved"),
            _count(
                promises, promises.c.kept_at.is_(None), promises.c.due_at <= until
            ).label("promises_due"),
            _count(incidents, incidents.c.opened_at >= since).label("incidents"),
            _count(
                notifications,
                notifications.c.sent_at >= since,
                notifications.c.incident_id.is_not(None),
            ).label("notifications"),
            PAUSED_AT.label("paused_at"),
            select(func.max(drills.c.at)).scalar_subquery().label("drilled_at"),
        )
    )
    row = counts.one()
    return DigestFacts(
        answers=True,
        payments=row.payments,
        orders=row.orders,
        without_order=row.without_order,
        waiting=await _list_waiting_cases(connection),
        resolved=row.resolved,
        promises_due=row.promises_due,
        incidents=row.incidents,
        notifications=row.notifications,
        pages_this_month=await count_night_pages(connection, month_began),
        paused_at=row.paused_at,
        drilled_at=row.drilled_at,
    )


def _count(table: object, *conditions: ColumnElement[bool]) -> ColumnElement[int]:
    counted = select(func.count()).select_from(table).where(*conditions)  # type: ignore[arg-type]  # A table or a join.
    return counted.scalar_subquery()


async def _list_waiting_cases(connection: AsyncConnection) -> tuple[CaseCount, ...]:
    result = await connection.execute(
        select(cases.c.step, cases.c.cause, func.count().label("n"))
        .where(cases.c.state != CaseState.RESOLVED)
        .group_by(cases.c.step, cases.c.cause)
        .order_by(func.count().desc(), cases.c.step, cases.c.cause)
    )
    return tuple(
        CaseCount(step=row.step, cause=row.cause, count=row.n) for row in result
    )


async def count_night_pages(connection: AsyncConnection, since: datetime) -> int:
    """Count the incidents that woke somebody, once each."""
    found = await connection.execute(
        select(func.count(notifications.c.incident_id.distinct())).where(
            notifications.c.use == Use.PAGE,
            notifications.c.is_at_night,
            notifications.c.is_delivered,
            notifications.c.sent_at >= since,
        )
    )
    return found.scalar_one()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskOverview:
    """What `cli.py on-call show` says.

    Attributes:
        incidents: Open ones, the newest first.
        findings_waiting: Findings that the desk does not know yet.
        night_pages: Incidents that woke somebody since the month began.
        undelivered: Alerts of the last day that no channel took.
        drilled_at: When the channels were last rehearsed.
    """

    incidents: tuple[OpenIncident, ...]
    findings_waiting: int
    night_pages: int
    undelivered: int
    drilled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIncident:
    """One open incident's row, as far as people read it."""

    incident_id: UUID
    title: str
    level: str
    why: str
    opened_at: datetime
    told_at: datetime | None
    acknowledged_by: str
    snoozed_until: datetime | None
    paused_at: datetime | None

    @property
    def code(self) -> str:
        """What people call it; as `domain.oncall.Incident.code`."""
        return self.incident_id.hex[:6]


_LATELY = timedelta(days=1)


async def read_desk(connection: AsyncConnection, month_began: datetime) -> DeskOverview:
    """Read what is open, and how often somebody was woken."""
    found = await connection.execute(
        select(incidents)
        .where(incidents.c.resolved_at.is_(None))
        .order_by(incidents.c.opened_at.desc())
    )
    counts = await connection.execute(
        select(
            _count(findings, findings.c.told_at.is_(None)).label("waiting"),
            _count(
                notifications,
                ~notifications.c.is_delivered,
                notifications.c.sent_at > func.clock_timestamp() - _LATELY,
            ).label("undelivered"),
            select(func.max(drills.c.at)).scalar_subquery().label("drilled_at"),
        )
    )
    row = counts.one()
    return DeskOverview(
        incidents=tuple(_open_incident(one) for one in found),
        findings_waiting=row.waiting,
        night_pages=await count_night_pages(connection, month_began),
        undelivered=row.undelivered,
        drilled_at=row.drilled_at,
    )


def _open_incident(row: Row[tuple[object, ...]]) -> OpenIncident:
    return OpenIncident(
        incident_id=row.incident_id,
        title=row.title,
        level=row.level,
        why=row.why,
        opened_at=row.opened_at,
        told_at=row.told_at,
        acknowledged_by=row.acknowledged_by,
        snoozed_until=row.snoozed_until,
        paused_at=row.paused_at,
    )


async def write_drill(
    connection: AsyncConnection, actor: str, results: Mapping[str, bool]
) -> None:
    """Keep what became of a rehearsal; whole, when every channel took its test."""
    await connection.execute(
        insert(drills).values(
            drill_id=uuid4(),
            actor=actor,
            results=dict(results),
            is_whole=bool(results) and all(results.values()),
        )
    )
