"""The inbox: processor events received, one row each, keyed by the processor's id.

A webhook commits its row, answers 200, and only then passes the hint on. A row without
`applied_at` is a hint that still waits: the process died in between, or Temporal was
down. The starter loop passes such rows on again while they are young; an older one has
been overtaken by the reconciliation.

Mails that came back are rows here too (`database.inbound`), applied as they arrive.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import processor_events


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


async def receive_event(
    connection: AsyncConnection, event: InboxEvent, *, needs_hint: bool
) -> Received:
    """Write an event down, or find it written (`pk_processor_events`).

    Args:
        connection: In a transaction.
        event: What was delivered.
        needs_hint: Whether somebody must be told; if not, the row is closed at once.
    """
    written = await connection.execute(
        insert(processor_events)
        .values(
            event_id=event.event_id,
            kind=event.kind,
            payment_intent_id=event.payment_intent_id,
            checkout_id=event.checkout_id,
            applied_at=None if needs_hint else func.clock_timestamp(),
        )
        .on_conflict_do_nothing()
        .returning(processor_events.c.event_id)
    )
    if written.scalar_one_or_none() is not None:
        return Received(is_new=True, is_waiting=needs_hint)
    found = await connection.execute(
        select(processor_events.c.applied_at).where(
            processor_events.c.event_id == event.event_id
        )
    )
    return Received(is_new=False, is_waiting=found.scalar_one() is None)


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
            processor_events.c.applied_at.is_(None),
            processor_events.c.received_at < now - older_than,
            processor_events.c.received_at > now - younger_than,
        )
        .order_by(processor_events.c.received_at)
        .limit(limit)
    )
    return [
        InboxEvent(
            event_id=row.event_id,
            kind=row.kind,
            payment_intent_id=row.payment_intent_id,
            checkout_id=row.checkout_id,
        )
        for row in result
    ]
