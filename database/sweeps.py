"""Sweeps: what a loop looks for because nobody else would notice."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import and_, func, or_, select, union, update
from sqlalchemy.ext.asyncio import AsyncConnection

from database.checkouts import IN_WORK
from database.tables import (
    checkouts,
    orders,
    refunds,
    second_charges,
    subscriptions,
)
from domain.states import (
    AccessState,
    MoneyState,
    RefundState,
    SecondChargeState,
    Stage,
    SubscriptionState,
)

#: Who was asked to end a subscription is asked again after this: its run may be gone,
#: or it waits in rounds for an application that is down, and each question grows its
#: history a little.
ASK_AGAIN_AFTER = timedelta(hours=1)


#: A run looks at a suspected second charge when it is time; so much later, it is gone.
_LOOKED_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleCheckout:
    """A checkout that has not moved for a while although its run has work left.

    Attributes:
        owes_word: The customer should have heard from us by now.
    """

    checkout_id: UUID
    reference_code: str
    buyer_attempt: int
    owes_word: bool


_UNKNOWN = and_(
    checkouts.c.stage == Stage.CHARGING, checkouts.c.money_state == MoneyState.UNKNOWN
)
_WITHOUT_ACCESS = and_(
    checkouts.c.stage == Stage.CHARGED, checkouts.c.access_state == AccessState.PENDING
)

#: The newest refund says whether access goes with the money (`domain.refunds`).
_ENDS_ACCESS = (
    select(refunds.c.ends_access)
    .where(
        refunds.c.payment_intent_id == checkouts.c.payment_intent_id,
        refunds.c.state == RefundState.SUCCEEDED,
    )
    .order_by(refunds.c.requested_at.desc(), refunds.c.refund_id.desc())
    .limit(1)
    .correlate(checkouts)
    .scalar_subquery()
)
#: All the money went back, and the application was not told.
_REFUNDED_WITH_ACCESS = and_(
    checkouts.c.money_state == MoneyState.REFUNDED,
    checkouts.c.access_state == AccessState.ACTIVE,
    _ENDS_ACCESS,
)


async def list_stale(
    connection: AsyncConnection,
    older_than: timedelta,
    limit: int,
    *,
    besides: Collection[UUID] = (),
) -> list[StaleCheckout]:
    """Find checkouts that do not move although something is left to do.

    Charges of unknown outcome, charges without access, second charges that nobody has
    asked about, access that the money was taken back for. And customers who should have
    heard from us by now: a running workflow has a timer for that, so its run is gone,
    or it ended because the time was far.

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
    before = func.clock_timestamp() - older_than
    owes_word = checkouts.c.next_message_at < before
    # Each has an index of its own, which one condition for all would not use.
    left = union(
        select(checkouts.c.checkout_id).where(IN_WORK, checkouts.c.updated_at < before),
        select(checkouts.c.checkout_id).where(owes_word),
        select(checkouts.c.checkout_id).where(
            _REFUNDED_WITH_ACCESS, checkouts.c.updated_at < before
        ),
        select(second_charges.c.checkout_id).where(
            second_charges.c.state == SecondChargeState.SUSPECTED,
            second_charges.c.next_look_at < func.clock_timestamp() - _LOOKED_WITHIN,
        ),
    )
    result = await connection.execute(
        select(
            checkouts.c.checkout_id,
            checkouts.c.reference_code,
            checkouts.c.buyer_attempt,
            func.coalesce(owes_word, False).label("owes_word"),
        )
        .where(
            checkouts.c.checkout_id.in_(left), checkouts.c.checkout_id.not_in(besides)
        )
        .order_by(func.random())
        .limit(limit)
    )
    return [
        StaleCheckout(
            checkout_id=row.checkout_id,
            reference_code=row.reference_code,
            buyer_attempt=row.buyer_attempt,
            owes_word=row.owes_word,
        )
        for row in result
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSubscription:
    """A subscription whose time is over although its row does not say so yet."""

    subscription_id: UUID
    checkout_id: UUID
    reference_code: str
    ends_at: datetime


async def take_ended_subscriptions(
    connection: AsyncConnection, limit: int
) -> list[EndedSubscription]:
    """Find subscriptions past their end, longest past first, and mark them as asked.

    Replicas that sweep at the same time take different ones. The end itself is written
    by the checkout's workflow alone (`ix_subscriptions_running`).

    Args:
        connection: In a transaction.
        limit: Rows at the most.
    """
    now = func.clock_timestamp()
    ended = (
        select(subscriptions.c.subscription_id)
        .where(
            subscriptions.c.state == SubscriptionState.ACTIVE,
            subscriptions.c.ends_at <= now,
            or_(
                subscriptions.c.end_asked_at.is_(None),
                subscriptions.c.end_asked_at < now - ASK_AGAIN_AFTER,
            ),
        )
        .order_by(subscriptions.c.ends_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    asked = await connection.execute(
        update(subscriptions)
        .where(
            subscriptions.c.subscription_id.in_(ended),
            orders.c.order_id == subscriptions.c.order_id,
            checkouts.c.checkout_id == orders.c.checkout_id,
        )
        .values(end_asked_at=now)
        .returning(
            subscriptions.c.subscription_id,
            checkouts.c.checkout_id,
            checkouts.c.reference_code,
            subscriptions.c.ends_at,
        )
    )
    return [
        EndedSubscription(
            subscription_id=row.subscription_id,
            checkout_id=row.checkout_id,
            reference_code=row.reference_code,
            ends_at=row.ends_at,
        )
        for row in asked
    ]


async def unmark_asked(connection: AsyncConnection, subscription_id: UUID) -> None:
    """The workflow could not be asked: the next sweep does it."""
    await connection.execute(
        update(subscriptions)
        .where(subscriptions.c.subscription_id == subscription_id)
        .values(end_asked_at=None)
    )
