"""Refunds as they are asked for, taken back and told: the rows behind money on its way.

Every write locks the checkout's row first, so that requests, the workflow's records and
the guard's sum come one after the other. What the processor shows of them, and what
follows for money and access, is in `database.aftermath`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from database.checkouts import CheckoutNotFound
from database.tables import (
    checkouts,
    disputes,
    refunds,
)
from domain.money import Money
from domain.refunds import (
    CANCEL_WITHIN,
    RefundRequest,
    RefundRow,
)
from domain.states import (
    ACCEPTED_REFUNDS,
    LIVE_REFUNDS,
    AccessState,
    RefundPurpose,
    RefundState,
    Stage,
)

#: A knock that nothing followed is given again after this.
_KNOCK_AGAIN_AFTER = timedelta(minutes=10)
#: The request's own knock has a second; two more leave the process that wrote it time.
_KNOCK_AFTER = timedelta(seconds=3)


class RefundRefused(Exception):
    """The refund cannot be asked for; the message says why, in a sentence for staff."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldRefund:
    """What the customer is told of a refund that the processor decided on.

    Attributes:
        sequence: Counts the refunds of the checkout in the order of the asking, from 1.
        accepted_at: When the processor took it on.
        failed_at: When it came back: the money is with us.
        reference: By which a bank finds it: its own number, else the processor's id.
        is_confirmed: The bank has given it a number of its own.
        keeps_access: Access stays although money went back: less than the whole price
            has by this one, or it was asked for so.
        is_second_charge: It returns a charge that the order does not stand for.
    """

    sequence: int
    purpose: RefundPurpose
    amount: Money
    accepted_at: datetime | None
    failed_at: datetime | None
    reference: str
    is_confirmed: bool
    keeps_access: bool
    is_second_charge: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRefund:
    """A refund whose workflow has to be told, or told again."""

    checkout_id: UUID
    reference_code: str
    request: RefundRequest


async def request_refund(
    connection: AsyncConnection,
    checkout_id: UUID,
    request: RefundRequest,
    *,
    nth: int | None = None,
) -> tuple[RefundRow, bool]:
    """Make a person's request durable; the same id twice is one refund.

    Args:
        connection: In a transaction.
        checkout_id: Whose money.
        request: Who wants what.
        nth: For who has no id of a page's: which refund of this amount it is, so that
            the same wish given twice goes back once. None asks for no such count.

    Returns:
        The refund as it stands, and whether this call asked for it: of the same id
        another may have been asked for before, which may be over by now.

    Raises:
        CheckoutNotFound: There is no such checkout.
        RefundRefused: Nothing, or less, is left to give back; it is disputed; or an
            equal one stands already.
    """
    paid = await lock_paid(connection, checkout_id)
    known = await read_refunds(connection, refunds.c.refund_id == request.refund_id)
    if known:
        return known[0], False
    if paid.stage != Stage.CHARGED:
        msg = (
            f"{paid.reference_code} was not charged, so there is nothing to give back."
        )
        raise RefundRefused(msg)
    if request.amount.amount_minor <= 0:
        raise RefundRefused("A refund is more than nothing.")
    await _refuse_if_frozen(connection, paid)
    if nth is not None:
        await _refuse_if_equal(connection, paid, request.amount, nth)
    left = await left_to_refund(connection, checkout_id)
    if request.amount.currency != left.currency:
        raise RefundRefused(f"It was paid in {left.currency.upper()}.")
    if request.amount.amount_minor > left.amount_minor:
        most = f"at most {left}" if left.amount_minor else "nothing"
        msg = (
            f"{request.amount} is more than what is left: {most} of "
            f"{paid.reference_code} can still be given back."
        )
        raise RefundRefused(msg)
    await insert_refund(
        connection,
        checkout_id,
        paid.payment_intent_id,
        request,
        captured_minor=paid.amount_minor,
        purpose=RefundPurpose.ASKED,
        not_before=func.clock_timestamp() + CANCEL_WITHIN,
    )
    (row,) = await read_refunds(connection, refunds.c.refund_id == request.refund_id)
    return row, True


async def cancel_refund(
    connection: AsyncConnection, checkout_id: UUID, refund_id: UUID, actor: str
) -> tuple[RefundRow | None, bool]:
    """Take one request back, unless it was sent: `requested -> canceled`.

    The checkout's lock puts this and the workflow's first step in a line: exactly one
    of them finds it requested. It is named, so that two who mean the same one do not
    take another back.

    Returns:
        The refund as it stands now, None when the checkout has no such one; and whether
        this call took it back.

    Raises:
        CheckoutNotFound: There is no such checkout.
    """
    await lock_paid(connection, checkout_id)
    this = (refunds.c.refund_id == refund_id, refunds.c.checkout_id == checkout_id)
    moved = await connection.execute(
        update(refunds)
        .where(
            *this,
            refunds.c.state == RefundState.REQUESTED,
            refunds.c.purpose == RefundPurpose.ASKED,
        )
        .values(
            state=RefundState.CANCELED,
            finished_at=func.clock_timestamp(),
            failure=f"taken back by {actor}",
        )
        .returning(refunds.c.refund_id)
    )
    is_taken = moved.scalar_one_or_none() is not None
    found = await read_refunds(connection, *this)
    return (found[0] if found else None), is_taken


async def list_meant_to_take_back(
    connection: AsyncConnection, checkout_id: UUID
) -> list[RefundRow]:
    """Return the refunds that somebody may mean who wants to take one back.

    Those that a person asked for and that were not sent; and those that were taken back
    as lately as that was possible: a colleague may have meant the same one.
    """
    return await read_refunds(
        connection,
        refunds.c.checkout_id == checkout_id,
        refunds.c.purpose == RefundPurpose.ASKED,
        or_(
            refunds.c.state == RefundState.REQUESTED,
            and_(
                refunds.c.state == RefundState.CANCELED,
                refunds.c.finished_at > func.clock_timestamp() - CANCEL_WITHIN,
            ),
        ),
    )


async def left_to_refund(connection: AsyncConnection, checkout_id: UUID) -> Money:
    """Return how much of the charge no live refund gives back."""
    found = await connection.execute(
        select(
            checkouts.c.amount_minor
            - func.coalesce(func.sum(refunds.c.amount_minor), 0).label("left"),
            checkouts.c.currency,
        )
        .outerjoin(
            refunds,
            and_(
                refunds.c.payment_intent_id == checkouts.c.payment_intent_id,
                refunds.c.state.in_(LIVE_REFUNDS),
            ),
        )
        .where(checkouts.c.checkout_id == checkout_id)
        .group_by(checkouts.c.checkout_id)
    )
    left, currency = found.one()
    return Money(amount_minor=max(0, int(left)), currency=currency)


async def list_told_refunds(
    connection: AsyncConnection, checkout_id: UUID
) -> list[ToldRefund]:
    """Read the refunds that the processor took on, or that failed, as asked for."""
    found = await connection.execute(
        select(
            refunds,
            checkouts.c.access_state,
            checkouts.c.payment_intent_id.label("paid_by"),
        )
        .join(checkouts, checkouts.c.checkout_id == refunds.c.checkout_id)
        .where(refunds.c.checkout_id == checkout_id)
        .order_by(refunds.c.requested_at, refunds.c.refund_id)
    )
    told: list[ToldRefund] = []
    returned: Counter[str] = Counter()
    for sequence, row in enumerate(found, 1):
        if row.state in ACCEPTED_REFUNDS:
            returned[row.payment_intent_id] += row.amount_minor
        elif row.state != RefundState.FAILED:
            continue
        is_whole = returned[row.payment_intent_id] >= row.captured_minor
        told.append(_told(sequence, row, is_whole=is_whole))
    return told


def _told(sequence: int, row: Row[tuple[object, ...]], *, is_whole: bool) -> ToldRefund:
    failed = row.state == RefundState.FAILED
    return ToldRefund(
        sequence=sequence,
        purpose=RefundPurpose(row.purpose),
        amount=money_of(row),
        accepted_at=row.accepted_at,
        failed_at=row.finished_at if failed else None,
        reference=row.bank_reference or row.processor_refund_id or str(row.refund_id),
        is_confirmed=row.bank_reference is not None,
        keeps_access=row.access_state != AccessState.ENDED
        and not (row.ends_access and is_whole and not failed),
        is_second_charge=row.payment_intent_id != row.paid_by,
    )


async def take_waiting_refunds(
    connection: AsyncConnection, limit: int
) -> list[WaitingRefund]:
    """Find refunds whose workflow was not told, or does not get on, and mark them.

    A request whose process died before its knock waits for three seconds; one that is
    long due, or still unknown, may have lost its workflow (`ix_refunds_open`).
    """
    now = func.clock_timestamp()
    is_untold = and_(
        refunds.c.knocked_at.is_(None), refunds.c.requested_at < now - _KNOCK_AFTER
    )
    is_overdue = and_(
        refunds.c.knocked_at < now - _KNOCK_AGAIN_AFTER,
        or_(
            refunds.c.state == RefundState.SUBMITTING,
            and_(refunds.c.state == RefundState.REQUESTED, refunds.c.not_before < now),
            and_(refunds.c.state == RefundState.PENDING, refunds.c.next_look_at < now),
        ),
    )
    waiting = (
        select(refunds.c.refund_id)
        .where(
            refunds.c.state.in_(
                [RefundState.REQUESTED, RefundState.SUBMITTING, RefundState.PENDING]
            ),
            or_(is_untold, is_overdue),
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = await connection.execute(
        update(refunds)
        .where(
            refunds.c.refund_id.in_(waiting),
            refunds.c.checkout_id == checkouts.c.checkout_id,
        )
        .values(knocked_at=now)
        .returning(refunds, checkouts.c.reference_code)
    )
    return [
        WaitingRefund(
            checkout_id=row.checkout_id,
            reference_code=row.reference_code,
            request=RefundRequest(
                refund_id=row.refund_id,
                amount=money_of(row),
                actor=row.actor,
                reason=row.reason,
                ends_access=row.ends_access,
            ),
        )
        for row in taken
    ]


async def mark_knocked(connection: AsyncConnection, refund_id: UUID) -> None:
    """The workflow was told."""
    await connection.execute(
        update(refunds)
        .where(refunds.c.refund_id == refund_id)
        .values(knocked_at=func.clock_timestamp())
    )


async def unmark_knocked(connection: AsyncConnection, refund_id: UUID) -> None:
    """The workflow could not be told: it is tried again."""
    await connection.execute(
        update(refunds).where(refunds.c.refund_id == refund_id).values(knocked_at=None)
    )


async def _refuse_if_frozen(
    connection: AsyncConnection, paid: Row[tuple[object, ...]]
) -> None:
    if await is_disputed(connection, paid.payment_intent_id):
        msg = (
            f"The buyer's bank disputes {paid.reference_code}: it takes the money "
            "itself if it decides so. Refunds are frozen until then."
        )
        raise RefundRefused(msg)


async def _refuse_if_equal(
    connection: AsyncConnection,
    paid: Row[tuple[object, ...]],
    amount: Money,
    nth: int,
) -> None:
    equal = await read_refunds(
        connection,
        refunds.c.payment_intent_id == paid.payment_intent_id,
        refunds.c.amount_minor == amount.amount_minor,
        refunds.c.currency == amount.currency,
        refunds.c.state.in_(LIVE_REFUNDS),
    )
    if nth == len(equal) + 1:
        return
    if not equal:
        msg = f"No refund of {amount} of {paid.reference_code} stands: leave --nth out."
        raise RefundRefused(msg)
    last = equal[-1]
    times = "once" if len(equal) == 1 else f"{len(equal)} times"
    msg = (
        f"{amount} of {paid.reference_code} goes back {times} already, the last as "
        f"{last.actor} asked on {last.requested_at:%d %b at %H:%M} UTC. Nothing was "
        f"added. If it shall go back once more, add: --nth {len(equal) + 1}"
    )
    raise RefundRefused(msg)


async def lock_paid(
    connection: AsyncConnection, checkout_id: UUID
) -> Row[tuple[object, ...]]:
    """Lock the checkout's row and read it: all writes about refunds begin here.

    Raises:
        CheckoutNotFound: There is no such checkout.
    """
    found = await connection.execute(
        select(checkouts)
        .where(checkouts.c.checkout_id == checkout_id)
        .with_for_update()
    )
    row = found.one_or_none()
    if row is None:
        raise CheckoutNotFound(str(checkout_id))
    return row


async def insert_refund(
    connection: AsyncConnection,
    checkout_id: UUID,
    payment_intent_id: str,
    request: RefundRequest,
    **columns: object,
) -> None:
    """Write a refund down, asked for now."""
    await connection.execute(
        insert(refunds).values(
            refund_id=request.refund_id,
            checkout_id=checkout_id,
            payment_intent_id=payment_intent_id,
            amount_minor=request.amount.amount_minor,
            currency=request.amount.currency,
            actor=request.actor,
            reason=request.reason,
            ends_access=request.ends_access,
            requested_at=func.clock_timestamp(),
            **columns,
        )
    )


async def read_refunds(
    connection: AsyncConnection, *conditions: ColumnElement[bool]
) -> list[RefundRow]:
    """Read refunds in the order in which they were asked for."""
    found = await connection.execute(
        select(refunds)
        .where(*conditions)
        .order_by(refunds.c.requested_at, refunds.c.refund_id)
    )
    return [
        RefundRow(
            refund_id=row.refund_id,
            payment_intent_id=row.payment_intent_id,
            amount=money_of(row),
            purpose=RefundPurpose(row.purpose),
            state=RefundState(row.state),
            actor=row.actor,
            ends_access=row.ends_access,
            requested_at=row.requested_at,
            not_before=row.not_before,
            submitted_at=row.submitted_at,
            posted_at=row.posted_at,
            submission=row.submission,
            looked_at=row.looked_at,
            looks=row.looks,
            next_look_at=row.next_look_at,
        )
        for row in found
    ]


async def is_disputed(connection: AsyncConnection, payment_intent_id: str) -> bool:
    """Whether the buyer's bank disputes this payment now."""
    found = await connection.execute(
        select(disputes.c.dispute_id).where(
            disputes.c.payment_intent_id == payment_intent_id,
            disputes.c.closed_at.is_(None),
        )
    )
    return found.first() is not None


def money_of(row: Row[tuple[object, ...]]) -> Money:
    """Return the amount and currency of a row."""
    return Money(amount_minor=row.amount_minor, currency=row.currency)
