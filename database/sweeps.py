"""Sweeps: what a loop looks for because nobody else would notice."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import checkouts
from domain.states import AccessState, MoneyState, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleCheckout:
    """A checkout that has not moved for a while although its run has work left."""

    checkout_id: UUID
    reference_code: str
    buyer_attempt: int


async def list_stale(
    connection: AsyncConnection,
    older_than: timedelta,
    limit: int,
    *,
    besides: Collection[UUID] = (),
) -> list[StaleCheckout]:
    """Find charges of unknown outcome and charges without access that do not move.

    And customers who should have heard from us by now: a running workflow has a timer
    for that, so its run is gone, or it ended because the time was far.

    They may be waiting in good order: a row does not tell. A buyer at the bank is left
    out, since that wait is long by its nature and ends by a webhook or a return.

    The choice among many is random, so that rows which cannot get on, however old,
    never keep the others from being looked at, and replicas look at different ones.

    Args:
        connection: Reads only.
        older_than: How long a row has not moved.
        limit: Rows at the most.
        besides: Checkouts that were looked at lately.
    """
    unknown = and_(
        checkouts.c.stage == Stage.CHARGING,
        checkouts.c.money_state == MoneyState.UNKNOWN,
    )
    without_access = and_(
        checkouts.c.stage == Stage.CHARGED,
        checkouts.c.access_state == AccessState.PENDING,
    )
    result = await connection.execute(
        select(
            checkouts.c.checkout_id,
            checkouts.c.reference_code,
            checkouts.c.buyer_attempt,
        )
        .where(
            or_(
                and_(
                    or_(unknown, without_access),
                    checkouts.c.updated_at < func.clock_timestamp() - older_than,
                ),
                checkouts.c.next_message_at < func.clock_timestamp() - older_than,
            ),
            checkouts.c.checkout_id.not_in(besides),
        )
        .order_by(func.random())
        .limit(limit)
    )
    return [
        StaleCheckout(
            checkout_id=row.checkout_id,
            reference_code=row.reference_code,
            buyer_attempt=row.buyer_attempt,
        )
        for row in result
    ]
