"""Payments paused: the switch that stops new presses on Pay, and who waits for its end.

A press and the switch meet at one advisory lock: presses share it, the switch takes it
alone. Once `pause_payments` has committed, every press is either committed already or
sees the pause. What is already requested goes on; nobody in flight is harmed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Row, and_, exists, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as insert_or_find
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import audit, checkouts, pause_waiters, shop_pauses
from domain.states import Stage

#: Names the lock; any number that nothing else in this database uses.
_SWITCH = 0x50617573  # "Paus"

#: Longer than PostgreSQL lets a frozen process sit in its transaction, so that one dead
#: API cannot keep an operator from pausing.
_PATIENCE = "15s"

_open_pause = shop_pauses.alias("open_pause")

#: When payments were paused, while they are; NULL otherwise (`uq_shop_pauses_open`).
PAUSED_AT = (
    select(_open_pause.c.paused_at)
    .where(_open_pause.c.resumed_at.is_(None))
    .correlate(None)
    .scalar_subquery()
)

#: Whether the open pause's end will be told to this checkout's buyer.
TELLS_WHEN_OPEN = exists(
    select(pause_waiters.c.checkout_id)
    .join(shop_pauses, shop_pauses.c.pause_id == pause_waiters.c.pause_id)
    .where(
        shop_pauses.c.resumed_at.is_(None),
        pause_waiters.c.checkout_id == checkouts.c.checkout_id,
    )
    .correlate(checkouts)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A time without new payments.

    Attributes:
        is_new: This call made the change; False when it stood like that already.
        resumed_at: None while it lasts.
    """

    pause_id: UUID
    paused_at: datetime
    reason: str
    actor: str
    resumed_at: datetime | None
    resumed_by: str | None
    is_new: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseWaiter:
    """A buyer to be told that payments are taken again."""

    pause_id: UUID
    checkout_id: UUID


async def pause_payments(
    connection: AsyncConnection, *, reason: str, actor: str
) -> Pause:
    """Stop new payments; a second call finds the first one's pause.

    Waits for the presses that are being committed in this moment.
    """
    await _take_switch(connection)
    found = await read_pause(connection)
    if found is not None:
        return found
    made = await connection.execute(
        insert(shop_pauses)
        .values(
            pause_id=uuid4(),
            # Not now(): the wait for the switch lies between, and presses in it.
            paused_at=func.clock_timestamp(),
            reason=reason,
            actor=actor,
        )
        .returning(shop_pauses)
    )
    await _write_down(connection, actor, "payments.paused", reason)
    return _pause(made.one(), is_new=True)


async def resume_payments(connection: AsyncConnection, *, actor: str) -> Pause | None:
    """Take payments again; None when they were not paused."""
    await _take_switch(connection)
    ended = await connection.execute(
        update(shop_pauses)
        .where(shop_pauses.c.resumed_at.is_(None))
        .values(resumed_at=func.clock_timestamp(), resumed_by=actor)
        .returning(shop_pauses)
    )
    row = ended.one_or_none()
    if row is None:
        return None
    await _write_down(connection, actor, "payments.resumed", row.reason)
    return _pause(row, is_new=True)


async def read_pause(connection: AsyncConnection) -> Pause | None:
    """Read the pause that lasts; None while payments are taken."""
    result = await connection.execute(
        select(shop_pauses).where(shop_pauses.c.resumed_at.is_(None))
    )
    row = result.one_or_none()
    return None if row is None else _pause(row)


async def hold_switch(connection: AsyncConnection) -> None:
    """Keep the switch as it is until this transaction ends; for a press on Pay.

    The statement after this one sees every pause that was made before.
    """
    await connection.execute(select(func.pg_advisory_xact_lock_shared(_SWITCH)))


async def wait_for_reopening(connection: AsyncConnection, checkout_id: UUID) -> None:
    """Have a buyer told when payments are taken again; nothing while they are.

    Whoever shows a paused checkout does this first: the page promises that mail.
    """
    await connection.execute(
        insert_or_find(pause_waiters)
        .from_select(
            ["pause_id", "checkout_id"],
            select(shop_pauses.c.pause_id, checkouts.c.checkout_id)
            .join(checkouts, shop_pauses.c.resumed_at.is_(None))
            .where(
                checkouts.c.checkout_id == checkout_id,
                checkouts.c.stage == Stage.OPEN,
            ),
        )
        .on_conflict_do_nothing()
    )


async def list_waiters_to_tell(
    connection: AsyncConnection, limit: int
) -> list[PauseWaiter]:
    """List buyers who are still to be told that payments are taken again.

    One per address, its newest checkout: who tried three times reads it once. Buyers
    who have pressed Pay since, or paid, know it already. Empty while payments are
    paused. The rows stay locked, and other callers pass them by, until the transaction
    ends; it should owe each mail and call `mark_told`.
    """
    newest = (
        select(pause_waiters.c.pause_id, pause_waiters.c.checkout_id)
        .join(shop_pauses, shop_pauses.c.pause_id == pause_waiters.c.pause_id)
        .join(checkouts, checkouts.c.checkout_id == pause_waiters.c.checkout_id)
        .where(
            pause_waiters.c.told_at.is_(None),
            PAUSED_AT.is_(None),
            checkouts.c.stage == Stage.OPEN,
            or_(
                checkouts.c.pay_requested_at.is_(None),
                checkouts.c.pay_requested_at < shop_pauses.c.resumed_at,
            ),
        )
        .ext(distinct_on(func.lower(checkouts.c.email)))
        .order_by(
            func.lower(checkouts.c.email),
            checkouts.c.created_at.desc(),
            pause_waiters.c.waiting_since.desc(),
        )
        .limit(limit)
        .subquery()
    )
    result = await connection.execute(
        select(pause_waiters.c.pause_id, pause_waiters.c.checkout_id)
        .join(
            newest,
            (newest.c.pause_id == pause_waiters.c.pause_id)
            & (newest.c.checkout_id == pause_waiters.c.checkout_id),
        )
        # Again, for a row that somebody else told while its lock was waited for.
        .where(pause_waiters.c.told_at.is_(None))
        .order_by(pause_waiters.c.waiting_since)
        .with_for_update(of=pause_waiters, skip_locked=True)
    )
    return [
        PauseWaiter(pause_id=row.pause_id, checkout_id=row.checkout_id)
        for row in result
    ]


async def mark_told(connection: AsyncConnection, waiter: PauseWaiter) -> None:
    """Write that a buyer's mail is owed: none of their other checkouts needs one."""
    told = checkouts.alias("told")
    address = (
        select(func.lower(told.c.email))
        .where(told.c.checkout_id == waiter.checkout_id)
        .scalar_subquery()
    )
    await connection.execute(
        update(pause_waiters)
        .where(
            pause_waiters.c.told_at.is_(None),
            pause_waiters.c.checkout_id == checkouts.c.checkout_id,
            func.lower(checkouts.c.email) == address,
        )
        .values(
            told_at=func.clock_timestamp(),
            is_written_to=and_(
                pause_waiters.c.pause_id == waiter.pause_id,
                pause_waiters.c.checkout_id == waiter.checkout_id,
            ),
        )
    )


async def _take_switch(connection: AsyncConnection) -> None:
    await connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
    await connection.execute(text(f"SET LOCAL statement_timeout = '{_PATIENCE}'"))
    await connection.execute(select(func.pg_advisory_xact_lock(_SWITCH)))


async def _write_down(
    connection: AsyncConnection, actor: str, action: str, reason: str
) -> None:
    await connection.execute(
        insert(audit).values(actor=actor, action=action, after={"reason": reason})
    )


def _pause(row: Row[tuple[object, ...]], *, is_new: bool = False) -> Pause:
    return Pause(
        pause_id=row.pause_id,
        paused_at=row.paused_at,
        reason=row.reason,
        actor=row.actor,
        resumed_at=row.resumed_at,
        resumed_by=row.resumed_by,
        is_new=is_new,
    )
