"""The inbox: processor events received, one row each, keyed by the processor's id.

A webhook commits its row, answers 200, and only then passes the hint on. A row without
`applied_at` is a hint that still waits: the process died in between, or Temporal was
down. The starter loop passes such rows on again while they are younger than a day
(`list_waiting`); the reconciliation applies those that are older (`list_overdue`), and
an operator may replay any. A row with `ignored_at` waits no more: its event is of
another account, or a person decided so, and the row says why.

Mails that came back are rows here too (`database.inbound`), applied as they arrive.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import audit, processor_events

#: A hint that waits longer than this is the reconciliation's. Until then the processor
#: delivers it again by itself, and whatever kept it waiting may pass.
OVERDUE_AFTER = timedelta(days=1)

#: Who ignores what can be none of ours.
MACHINE = "holdfast"


#: Somebody must still be told (`ix_processor_events_waiting`).
_IS_WAITING: ColumnElement[bool] = and_(
    processor_events.c.applied_at.is_(None), processor_events.c.ignored_at.is_(None)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxEvent:
    """What is kept of an event: a hint where to look, never the truth itself.

    Attributes:
        event_id: The processor's id; a redelivery carries the same one.
        kind: As `payment_intent.succeeded`.
        payment_intent_id: What it is about; None for events of other objects.
        checkout_id: From the object's metadata; it may name no checkout of ours.
    """

    event_id: str
    kind: str
    payment_intent_id: str | None
    checkout_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What became of an event on arrival.

    Attributes:
        is_new: This delivery wrote the row; False for a redelivery.
        is_waiting: Its hint has not been passed on yet.
    """

    is_new: bool
    is_waiting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRow:
    """An event as an operator sees it.

    Attributes:
        received_at: When its first delivery was written.
        applied_at: When its hint was passed on; None while it waits for that.
        ignored_at: When it was decided that nobody is told; None otherwise.
        ignored_by: Who decided.
        ignored_reason: Why.
    """

    event: InboxEvent
    received_at: datetime
    applied_at: datetime | None
    ignored_at: datetime | None
    ignored_by: str | None
    ignored_reason: str | None

    @property
    def is_waiting(self) -> bool:
        """Whether somebody must still be told."""
        return self.applied_at is None and self.ignored_at is None


async def receive_event(
    connection: AsyncConnection,
    event: InboxEvent,
    *,
    needs_hint: bool,
    ignored_reason: str | None = None,
) -> Received:
    """Write an event down, or find it written (`pk_processor_events`).

    Args:
        connection: In a transaction.
        event: What was delivered.
        needs_hint: Whether somebody must be told; if not, the row is closed at once.
        ignored_reason: Why nobody may be told, whatever it says; None for ours.
    """
    is_hint = needs_hint and ignored_reason is None
    ignored: dict[str, object] = {}
    if ignored_reason is not None:
        ignored = _ignored(MACHINE, ignored_reason)
    written = await connection.execute(
        insert(processor_events)
        .values(
            event_id=event.event_id,
            kind=event.kind,
            payment_intent_id=event.payment_intent_id,
            checkout_id=event.checkout_id,
            applied_at=None if is_hint or ignored_reason else func.clock_timestamp(),
            **ignored,
        )
        .on_conflict_do_nothing()
        .returning(processor_events.c.event_id)
    )
    if written.scalar_one_or_none() is not None:
        return Received(is_new=True, is_waiting=is_hint)
    found = await connection.execute(
        select(_IS_WAITING).where(processor_events.c.event_id == event.event_id)
    )
    return Received(is_new=False, is_waiting=bool(found.scalar_one()))


def _ignored(actor: str, reason: str) -> dict[str, object]:
    return {
        "ignored_at": func.clock_timestamp(),
        "ignored_by": actor,
        "ignored_reason": reason,
    }


async def mark_applied(connection: AsyncConnection, event_id: str) -> None:
    """The hint was passed on, or there is nobody to tell; the first time stays."""
    await connection.execute(
        update(processor_events)
        .where(
            processor_events.c.event_id == event_id,
            processor_events.c.applied_at.is_(None),
        )
        .values(applied_at=func.clock_timestamp())
    )


async def ignore_event(
    connection: AsyncConnection, event_id: str, *, actor: str, reason: str
) -> bool:
    """Let an event wait no more, for a reason that its row and the audit keep.

    Returns:
        False when it does not wait: there is none of this id, it was passed on, or it
        is ignored already. Nothing was written then.
    """
    moved = await connection.execute(
        update(processor_events)
        .where(processor_events.c.event_id == event_id, _IS_WAITING)
        .values(**_ignored(actor, reason))
        .returning(processor_events.c.kind, processor_events.c.checkout_id)
    )
    row = moved.one_or_none()
    if row is None:
        return False
    await connection.execute(
        audit.insert().values(
            actor=actor,
            action="event.ignored",
            checkout_id=row.checkout_id,
            after={"event": event_id, "kind": row.kind, "reason": reason},
        )
    )
    return True


async def note_replay(
    connection: AsyncConnection, event: InboxEvent, *, actor: str
) -> None:
    """Keep in the audit by whose wish an event was told again."""
    await connection.execute(
        audit.insert().values(
            actor=actor,
            action="event.replayed",
            checkout_id=event.checkout_id,
            after={"event": event.event_id, "kind": event.kind},
        )
    )


async def read_event(connection: AsyncConnection, event_id: str) -> InboxRow | None:
    """Read one event; None when it never arrived."""
    result = await connection.execute(
        select(processor_events).where(processor_events.c.event_id == event_id)
    )
    row = result.one_or_none()
    return None if row is None else _inbox_row(row)


async def list_unapplied(connection: AsyncConnection, limit: int) -> list[InboxRow]:
    """Read what waits and what was ignored, newest first, for an operator."""
    result = await connection.execute(
        select(processor_events)
        .where(
            or_(_IS_WAITING, processor_events.c.ignored_at.is_not(None)),
        )
        .order_by(processor_events.c.received_at.desc(), processor_events.c.event_id)
        .limit(limit)
    )
    return [_inbox_row(row) for row in result]


async def list_overdue(
    connection: AsyncConnection, older_than: timedelta, limit: int
) -> list[InboxEvent]:
    """Read hints that have waited for too long, oldest first.

    For the reconciliation, which looks at their payments afresh and then calls
    `mark_applied`: the starter loop leaves them alone (`ix_processor_events_waiting`).

    Args:
        connection: Reads only.
        older_than: How long they have waited at least; `OVERDUE_AFTER` leaves no gap.
        limit: Rows at the most.
    """
    result = await connection.execute(
        select(processor_events)
        .where(
            _IS_WAITING,
            processor_events.c.received_at <= func.clock_timestamp() - older_than,
        )
        .order_by(processor_events.c.received_at, processor_events.c.event_id)
        .limit(limit)
    )
    return [_event(row) for row in result]


async def list_waiting(
    connection: AsyncConnection,
    *,
    older_than: timedelta,
    younger_than: timedelta,
    limit: int,
) -> list[InboxEvent]:
    """Read hints that still wait, oldest first (`ix_processor_events_waiting`).

    Several API replicas may read the same ones: a hint may be given twice.
    """
    now = func.clock_timestamp()
    result = await connection.execute(
        select(processor_events)
        .where(
            _IS_WAITING,
            processor_events.c.received_at < now - older_than,
            processor_events.c.received_at > now - younger_than,
        )
        .order_by(processor_events.c.received_at)
        .limit(limit)
    )
    return [_event(row) for row in result]


def _event(row: Row[tuple[object, ...]]) -> InboxEvent:
    return InboxEvent(
        event_id=row.event_id,
        kind=row.kind,
        payment_intent_id=row.payment_intent_id,
        checkout_id=row.checkout_id,
    )


def _inbox_row(row: Row[tuple[object, ...]]) -> InboxRow:
    return InboxRow(
        event=_event(row),
        received_at=row.received_at,
        applied_at=row.applied_at,
        ignored_at=row.ignored_at,
        ignored_by=row.ignored_by,
        ignored_reason=row.ignored_reason,
    )
