"""Refunds, disputes and second charges: the rows behind money that goes back.

Every write locks the checkout's row first, so that requests, the workflow's records and
the guard's sum come one after the other. The money state follows in the same
transaction, by the domain's rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from sqlalchemy import ColumnElement, Row, and_, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.cases import open_case, tell_payment_case
from database.checkouts import CheckoutNotFound
from database.tables import (
    checkouts,
    disputes,
    entitlements,
    orders,
    refunds,
    second_charges,
    subscriptions,
)
from domain.messages import OpenCase
from domain.money import Money
from domain.refunds import (
    CANCEL_WITHIN,
    STATE_OF_STATUS,
    Aftermath,
    AskNextRefundStep,
    Dispute,
    EndEntitlement,
    RecordRefunds,
    RecordSecondCharge,
    Refund,
    RefundPaymentIntent,
    RefundRequest,
    RefundRow,
    RefundsRecorded,
    RefundStep,
    RefundStepKind,
    SecondCharge,
    due_step,
    holds_access,
    is_late,
    look_after,
    money_after,
    needs_person,
    next_submission,
)
from domain.states import (
    ACCEPTED_REFUNDS,
    LIVE_REFUNDS,
    NEXT_REFUND_STATES,
    AccessState,
    EntitlementState,
    RefundPurpose,
    RefundState,
    SecondChargeState,
    Stage,
    SubscriptionState,
)

#: Makes a row's id from the processor's, for refunds that were made past us; and from a
#: PaymentIntent's, for the one refund of a second charge.
_OUTSIDE = UUID("6b1a7e0e-7c3f-4d58-9a0d-2f1f8f0f7a61")
_DUPLICATE = UUID("e2f0f6c3-1d0b-4a0c-8c8e-58e0a7b7d2aa")

#: Who returns a second charge.
MACHINE = "holdfast"

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
        keeps_access: Access stays although money went back.
    """

    sequence: int
    purpose: RefundPurpose
    amount: Money
    accepted_at: datetime | None
    failed_at: datetime | None
    reference: str
    is_confirmed: bool
    keeps_access: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRefund:
    """A refund whose workflow has to be told, or told again."""

    checkout_id: UUID
    reference_code: str
    request: RefundRequest


async def request_refund(
    connection: AsyncConnection, checkout_id: UUID, request: RefundRequest
) -> RefundRow:
    """Make a person's request durable; the same id twice is one refund.

    Raises:
        CheckoutNotFound: There is no such checkout.
        RefundRefused: Nothing, or less, is left to give back; or it is disputed.
    """
    paid = await _lock(connection, checkout_id)
    known = await _rows(connection, refunds.c.refund_id == request.refund_id)
    if known:
        return known[0]
    if paid.stage != Stage.CHARGED:
        msg = (
            f"{paid.reference_code} was not charged, so there is nothing to give back."
        )
        raise RefundRefused(msg)
    if request.amount.amount_minor <= 0:
        raise RefundRefused("A refund is more than nothing.")
    await _refuse_if_frozen(connection, paid)
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
    await _insert(
        connection,
        checkout_id,
        paid.payment_intent_id,
        request,
        captured_minor=paid.amount_minor,
        purpose=RefundPurpose.ASKED,
        not_before=func.clock_timestamp() + CANCEL_WITHIN,
    )
    (row,) = await _rows(connection, refunds.c.refund_id == request.refund_id)
    return row


async def cancel_refund(
    connection: AsyncConnection, refund_id: UUID, actor: str
) -> bool:
    """Take a request back, unless it was sent: `requested -> canceled`.

    The checkout's lock puts this and the workflow's first step in a line: exactly one
    of them finds it requested.
    """
    await connection.execute(
        select(checkouts.c.checkout_id)
        .join(refunds, refunds.c.checkout_id == checkouts.c.checkout_id)
        .where(refunds.c.refund_id == refund_id)
        .with_for_update(of=checkouts)
    )
    moved = await connection.execute(
        update(refunds)
        .where(
            refunds.c.refund_id == refund_id,
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
    return moved.scalar_one_or_none() is not None


async def cancellable_refund(
    connection: AsyncConnection, checkout_id: UUID
) -> RefundRow | None:
    """Return the newest request of a person that was not sent yet."""
    rows = await _rows(
        connection,
        refunds.c.checkout_id == checkout_id,
        refunds.c.state == RefundState.REQUESTED,
        refunds.c.purpose == RefundPurpose.ASKED,
    )
    return rows[-1] if rows else None


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


async def next_refund_step(
    connection: AsyncConnection, ask: AskNextRefundStep
) -> RefundStep:
    """Say what is due, and mark it as begun; see `domain.refunds.due_step`.

    Repeat: a step whose answer was lost is found begun; what was to be sent is then
    looked for first.

    Raises:
        CheckoutNotFound: There is no such checkout.
    """
    paid = await _lock(connection, ask.checkout_id)
    aftermath = await _read_aftermath(connection, paid)
    kind, subject = due_step(aftermath, ask.now)
    submit: RefundPaymentIntent | None = None
    payment_intent_id: str | None = None
    if isinstance(subject, RefundRow):
        payment_intent_id = subject.payment_intent_id
        if kind is RefundStepKind.SUBMIT:
            submit = await _begin_to_send(connection, ask, subject)
        elif subject.state is RefundState.REQUESTED:
            await _begin(connection, ask, subject)
    elif isinstance(subject, str):
        payment_intent_id = subject
    return RefundStep(
        kind=kind,
        money=money_after(aftermath),
        access=aftermath.access,
        payment_intent_id=payment_intent_id,
        submit=submit,
        entitlement_id=aftermath.entitlement_id,
        until=subject if isinstance(subject, datetime) else None,
        holds_access=holds_access(aftermath),
        is_late=is_late(aftermath.refunds, ask.now),
        needs_person=needs_person(aftermath),
        payment_intent_ids=(
            aftermath.payment_intent_id,
            *(charge for charge, _ in aftermath.unreturned),
        ),
    )


async def _begin(
    connection: AsyncConnection, ask: AskNextRefundStep, refund: RefundRow
) -> None:
    """From here on it cannot be taken back: `requested -> submitting`."""
    await connection.execute(
        update(refunds)
        .where(
            refunds.c.refund_id == refund.refund_id,
            refunds.c.state == RefundState.REQUESTED,
        )
        .values(
            state=RefundState.SUBMITTING,
            submitted_at=ask.now,
            looks=0,
            next_look_at=ask.now,
        )
    )


async def _begin_to_send(
    connection: AsyncConnection, ask: AskNextRefundStep, refund: RefundRow
) -> RefundPaymentIntent:
    """Note that it is sent now, so that whoever comes next looks first."""
    submission = next_submission(refund, ask.now)
    await connection.execute(
        update(refunds)
        .where(refunds.c.refund_id == refund.refund_id)
        .values(
            posted_at=ask.now,
            submission=submission,
            looked_at=None,
            looks=refund.looks + 1,
            next_look_at=ask.now + look_after(RefundState.SUBMITTING, refund.looks),
        )
    )
    return RefundPaymentIntent(
        refund_id=refund.refund_id,
        checkout_id=ask.checkout_id,
        payment_intent_id=refund.payment_intent_id,
        amount=refund.amount,
        purpose=refund.purpose,
        submission=submission,
    )


async def record_refunds(
    connection: AsyncConnection, record: RecordRefunds
) -> RefundsRecorded:
    """Write down what the processor shows of one PaymentIntent, and what follows.

    Repeat: what stands there already is no news.

    Raises:
        CheckoutNotFound: There is no such checkout.
    """
    paid = await _lock(connection, record.checkout_id)
    news = [
        await _record_shown(connection, paid, record, shown)
        for shown in record.refunds or ()
    ]
    opened = [
        await _record_dispute(connection, paid, dispute) for dispute in record.disputes
    ]
    refused = await _record_refusal(connection, record)
    await _note_look(connection, record)
    await _cancel_what_no_longer_fits(connection, record)
    await _settle(connection, paid)
    failed = news.count(RefundState.FAILED) + refused
    return RefundsRecorded(
        returned=news.count(RefundState.SUCCEEDED) + news.count(RefundState.PENDING),
        failed=failed,
        outside=news.count(None),
        disputes=sum(opened),
    )


async def _record_shown(
    connection: AsyncConnection,
    paid: Row[tuple[object, ...]],
    record: RecordRefunds,
    shown: Refund,
) -> RefundState | str | None:
    """Bring one row up to what is shown.

    Returns:
        The new state; "" when that is no news; None when the row was not there.
    """
    state = STATE_OF_STATUS[shown.status]
    found = await connection.execute(
        select(refunds).where(
            refunds.c.checkout_id == record.checkout_id,
            refunds.c.payment_intent_id == shown.payment_intent_id,
            or_(
                refunds.c.processor_refund_id == shown.processor_refund_id,
                and_(
                    refunds.c.processor_refund_id.is_(None),
                    refunds.c.refund_id == shown.refund_id,
                    # Metadata can be written by hand; the amount then tells.
                    refunds.c.amount_minor == shown.amount.amount_minor,
                ),
            ),
        )
    )
    row = found.one_or_none()
    if row is None:
        await _insert_outside(connection, paid, record, shown)
        return None
    known = {
        "processor_refund_id": shown.processor_refund_id,
        "bank_reference": shown.bank_reference or row.bank_reference,
    }
    is_news = state in NEXT_REFUND_STATES[RefundState(row.state)]
    if is_news:
        known |= _as_of(state, record.now, row.accepted_at, shown)
    await connection.execute(
        update(refunds).where(refunds.c.refund_id == row.refund_id).values(known)
    )
    if is_news and state is RefundState.FAILED:
        await _tell_of_failure(
            connection, record.checkout_id, _money(row), shown.failure or "failed"
        )
    return state if is_news else ""


def _as_of(
    state: RefundState, now: datetime, accepted_at: datetime | None, shown: Refund
) -> dict[str, object]:
    """Return the columns that follow from a state."""
    columns: dict[str, object] = {"state": state}
    if state in ACCEPTED_REFUNDS:
        columns["accepted_at"] = accepted_at or shown.created_at
    if state is RefundState.PENDING:
        columns |= {"looks": 0, "next_look_at": now + look_after(state, 0)}
    else:
        columns["finished_at"] = now
    if state in {RefundState.FAILED, RefundState.CANCELED}:
        columns["failure"] = shown.failure or state.value
    return columns


async def _insert_outside(
    connection: AsyncConnection,
    paid: Row[tuple[object, ...]],
    record: RecordRefunds,
    shown: Refund,
) -> None:
    """Write down a refund that was made past us.

    Also one that carries an id of ours whose row was lost, as after a restore.
    """
    state = STATE_OF_STATUS[shown.status]
    captured = paid.amount_minor
    if shown.payment_intent_id != paid.payment_intent_id:
        found = await connection.execute(
            select(second_charges.c.amount_minor).where(
                second_charges.c.payment_intent_id == shown.payment_intent_id
            )
        )
        captured = found.scalar_one()
    await connection.execute(
        upsert(refunds)
        .values(
            refund_id=uuid5(_OUTSIDE, shown.processor_refund_id),
            checkout_id=record.checkout_id,
            payment_intent_id=shown.payment_intent_id,
            amount_minor=shown.amount.amount_minor,
            currency=shown.amount.currency,
            captured_minor=captured,
            purpose=RefundPurpose.OUTSIDE,
            actor="processor",
            reason="made at the processor, not through Holdfast",
            ends_access=True,
            processor_refund_id=shown.processor_refund_id,
            bank_reference=shown.bank_reference,
            requested_at=shown.created_at,
            not_before=shown.created_at,
            submitted_at=shown.created_at,
            # Nobody waits for a knock: the workflow itself has found it.
            knocked_at=func.clock_timestamp(),
            **_as_of(state, record.now, None, shown),
        )
        .on_conflict_do_nothing()
    )


async def _record_dispute(
    connection: AsyncConnection, paid: Row[tuple[object, ...]], dispute: Dispute
) -> bool:
    """Write a dispute down; an open one freezes refunds and is a person's case."""
    closed_at = None if dispute.is_open else func.clock_timestamp()
    written = await connection.execute(
        upsert(disputes)
        .values(
            dispute_id=dispute.dispute_id,
            checkout_id=paid.checkout_id,
            payment_intent_id=dispute.payment_intent_id,
            amount_minor=dispute.amount.amount_minor,
            currency=dispute.amount.currency,
            reason=dispute.reason,
            status=dispute.status,
            due_by=dispute.due_by,
            opened_at=dispute.opened_at,
            closed_at=closed_at,
        )
        .on_conflict_do_nothing()
        .returning(disputes.c.dispute_id)
    )
    is_new = written.scalar_one_or_none() is not None
    if not is_new:
        await connection.execute(
            update(disputes)
            .where(disputes.c.dispute_id == dispute.dispute_id)
            .values(
                status=dispute.status,
                due_by=dispute.due_by,
                closed_at=None
                if dispute.is_open
                else func.coalesce(disputes.c.closed_at, func.clock_timestamp()),
            )
        )
    if dispute.is_open:
        await _freeze(connection, dispute)
    if is_new and dispute.is_open:
        await _open_dispute_case(connection, paid.checkout_id, dispute)
    return is_new


async def _freeze(connection: AsyncConnection, dispute: Dispute) -> None:
    """Take back what was not sent: the bank takes the money already."""
    await connection.execute(
        update(refunds)
        .where(
            refunds.c.payment_intent_id == dispute.payment_intent_id,
            refunds.c.state == RefundState.REQUESTED,
        )
        .values(
            state=RefundState.CANCELED,
            finished_at=func.clock_timestamp(),
            failure="the buyer's bank disputes the charge",
        )
    )


async def _open_dispute_case(
    connection: AsyncConnection, checkout_id: UUID, dispute: Dispute
) -> None:
    due = f"{dispute.due_by:%d %b %Y %H:%M} UTC" if dispute.due_by else "no date"
    await open_case(
        connection,
        OpenCase(
            checkout_id=checkout_id,
            step="answer the dispute",
            cause="DisputeOpened",
            detail=f"The buyer's bank disputes {dispute.amount} "
            f"({dispute.reason}). Answer by {due}. Refunds are frozen until then.",
        ),
    )


async def _record_refusal(connection: AsyncConnection, record: RecordRefunds) -> int:
    """A final no of the processor, after a look: `submitting -> failed`."""
    if record.refused_refund_id is None or not record.is_complete:
        return 0
    moved = await connection.execute(
        update(refunds)
        .where(
            refunds.c.refund_id == record.refused_refund_id,
            refunds.c.state == RefundState.SUBMITTING,
        )
        .values(
            state=RefundState.FAILED,
            finished_at=record.now,
            failure=record.refusal or "refused",
        )
        .returning(refunds)
    )
    row = moved.one_or_none()
    if row is None:
        return 0
    await _tell_of_failure(
        connection, record.checkout_id, _money(row), record.refusal or "refused"
    )
    return 1


async def _tell_of_failure(
    connection: AsyncConnection, checkout_id: UUID, amount: Money, why: str
) -> None:
    """Open the case in the same commit: no crash may lose that a person is needed."""
    await open_case(
        connection,
        OpenCase(
            checkout_id=checkout_id,
            step="give the money back",
            cause="RefundFailed",
            detail=f"The refund of {amount} failed ({why}). The customer does not have "
            "the money: find another way, and tell them.",
        ),
    )


async def _note_look(connection: AsyncConnection, record: RecordRefunds) -> None:
    """Set when to look again; what a whole list does not show, is not there."""
    found = await connection.execute(
        select(refunds).where(
            refunds.c.checkout_id == record.checkout_id,
            refunds.c.payment_intent_id == record.payment_intent_id,
            refunds.c.next_look_at <= record.now,
            refunds.c.state.in_([RefundState.SUBMITTING, RefundState.PENDING]),
        )
    )
    for row in found.all():
        state = RefundState(row.state)
        if state is RefundState.SUBMITTING and record.is_complete:
            # It is due at once: to be sent.
            seen: dict[str, object] = {"looked_at": record.now}
        else:
            wait = look_after(state, row.looks + 1)
            seen = {"looks": row.looks + 1, "next_look_at": record.now + wait}
        await connection.execute(
            update(refunds).where(refunds.c.refund_id == row.refund_id).values(seen)
        )


async def _cancel_what_no_longer_fits(
    connection: AsyncConnection, record: RecordRefunds
) -> None:
    """After a refund past us, take back requests that would now give too much."""
    found = await connection.execute(
        select(refunds)
        .where(
            refunds.c.payment_intent_id == record.payment_intent_id,
            refunds.c.state.in_(LIVE_REFUNDS),
        )
        .order_by(refunds.c.requested_at.desc())
    )
    rows = found.all()
    excess = sum(row.amount_minor for row in rows) - (
        rows[0].captured_minor if rows else 0
    )
    for row in rows:
        if excess > 0 and row.state == RefundState.REQUESTED:
            excess -= row.amount_minor
            await connection.execute(
                update(refunds)
                .where(refunds.c.refund_id == row.refund_id)
                .values(
                    state=RefundState.CANCELED,
                    finished_at=record.now,
                    failure="the money was given back at the processor meanwhile",
                )
            )


async def suspect_second_charge(
    connection: AsyncConnection, checkout_id: UUID, payment_intent_id: str
) -> bool:
    """Note a charge that names a checkout which another PaymentIntent paid for.

    Returns:
        Whether it was not known before.
    """
    written = await connection.execute(
        upsert(second_charges)
        .values(payment_intent_id=payment_intent_id, checkout_id=checkout_id)
        .on_conflict_do_nothing()
        .returning(second_charges.c.payment_intent_id)
    )
    return written.scalar_one_or_none() is not None


async def record_second_charge(
    connection: AsyncConnection, record: RecordSecondCharge
) -> bool:
    """Write down what the processor showed; a proven one is returned by itself.

    Returns:
        Whether it is proven.
    """
    paid = await _lock(connection, record.checkout_id)
    found = await connection.execute(
        select(second_charges).where(
            second_charges.c.payment_intent_id == record.payment_intent_id,
            second_charges.c.checkout_id == record.checkout_id,
            second_charges.c.state == SecondChargeState.SUSPECTED,
        )
    )
    charge = found.one_or_none()
    if charge is None:
        return False
    if record.is_proven and record.taken is not None:
        await _return_second_charge(connection, paid, record, record.taken)
        return True
    values: dict[str, object] = {
        "looks": charge.looks + 1,
        "next_look_at": record.now + look_after(RefundState.SUBMITTING, charge.looks),
    }
    if record.is_refuted:
        values["state"] = SecondChargeState.REFUTED
    await connection.execute(
        update(second_charges)
        .where(second_charges.c.payment_intent_id == record.payment_intent_id)
        .values(values)
    )
    return False


async def _return_second_charge(
    connection: AsyncConnection,
    paid: Row[tuple[object, ...]],
    record: RecordSecondCharge,
    taken: Money,
) -> None:
    await connection.execute(
        update(second_charges)
        .where(second_charges.c.payment_intent_id == record.payment_intent_id)
        .values(
            state=SecondChargeState.PROVEN,
            amount_minor=taken.amount_minor,
            currency=taken.currency,
        )
    )
    disputed = await _is_disputed(connection, record.payment_intent_id)
    if not disputed:
        await _insert(
            connection,
            record.checkout_id,
            record.payment_intent_id,
            RefundRequest(
                refund_id=uuid5(_DUPLICATE, record.payment_intent_id),
                amount=taken,
                actor=MACHINE,
                reason="the second charge of one checkout",
                ends_access=False,
            ),
            captured_minor=taken.amount_minor,
            purpose=RefundPurpose.DUPLICATE,
            not_before=record.now,
            knocked_at=func.clock_timestamp(),
        )
    await tell_payment_case(
        connection,
        record.payment_intent_id,
        f"{paid.reference_code} was charged twice: the processor shows "
        f"{paid.payment_intent_id} and {record.payment_intent_id} succeeded. "
        + (
            "The buyer's bank disputes the second, so it is not returned by us."
            if disputed
            else f"The second, {taken}, is being returned by itself."
        ),
        is_done=False,
    )
    await _settle(connection, paid)


async def record_access_ended(
    connection: AsyncConnection, ended: EndEntitlement
) -> None:
    """Write that access is over, once: entitlement, checkout and subscription.

    The rows are taken in the order of `record_access`: a late try of that one would
    otherwise wait for us while we wait for it.
    """
    await connection.execute(
        update(entitlements)
        .where(
            entitlements.c.entitlement_id == ended.entitlement_id,
            entitlements.c.state != EntitlementState.ENDED,
        )
        .values(state=EntitlementState.ENDED, ended_at=func.clock_timestamp())
    )
    await connection.execute(
        update(checkouts)
        .where(
            checkouts.c.checkout_id == ended.checkout_id,
            checkouts.c.access_state != AccessState.ENDED,
        )
        .values(access_state=AccessState.ENDED, updated_at=func.now())
    )
    await connection.execute(
        update(subscriptions)
        .where(
            subscriptions.c.order_id == orders.c.order_id,
            orders.c.checkout_id == ended.checkout_id,
            subscriptions.c.state == SubscriptionState.ACTIVE,
        )
        .values(state=SubscriptionState.CANCELED)
    )


async def list_told_refunds(
    connection: AsyncConnection, checkout_id: UUID
) -> list[ToldRefund]:
    """Read the refunds that the processor took on, or that failed, as asked for."""
    found = await connection.execute(
        select(refunds, checkouts.c.access_state)
        .join(checkouts, checkouts.c.checkout_id == refunds.c.checkout_id)
        .where(refunds.c.checkout_id == checkout_id)
        .order_by(refunds.c.requested_at, refunds.c.refund_id)
    )
    return [
        _told(sequence, row)
        for sequence, row in enumerate(found, 1)
        if row.state in {*ACCEPTED_REFUNDS, RefundState.FAILED}
    ]


def _told(sequence: int, row: Row[tuple[object, ...]]) -> ToldRefund:
    failed = row.state == RefundState.FAILED
    is_whole = row.amount_minor == row.captured_minor
    return ToldRefund(
        sequence=sequence,
        purpose=RefundPurpose(row.purpose),
        amount=_money(row),
        accepted_at=row.accepted_at,
        failed_at=row.finished_at if failed else None,
        reference=row.bank_reference or row.processor_refund_id or str(row.refund_id),
        is_confirmed=row.bank_reference is not None,
        keeps_access=row.access_state != AccessState.ENDED
        and not (row.ends_access and is_whole and not failed),
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
                amount=_money(row),
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


async def _lock(
    connection: AsyncConnection, checkout_id: UUID
) -> Row[tuple[object, ...]]:
    found = await connection.execute(
        select(checkouts)
        .where(checkouts.c.checkout_id == checkout_id)
        .with_for_update()
    )
    row = found.one_or_none()
    if row is None:
        raise CheckoutNotFound(str(checkout_id))
    return row


async def _insert(
    connection: AsyncConnection,
    checkout_id: UUID,
    payment_intent_id: str,
    request: RefundRequest,
    **columns: object,
) -> None:
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


async def _refuse_if_frozen(
    connection: AsyncConnection, paid: Row[tuple[object, ...]]
) -> None:
    if await _is_disputed(connection, paid.payment_intent_id):
        msg = (
            f"The buyer's bank disputes {paid.reference_code}: it takes the money "
            "itself if it decides so. Refunds are frozen until then."
        )
        raise RefundRefused(msg)


async def _is_disputed(connection: AsyncConnection, payment_intent_id: str) -> bool:
    found = await connection.execute(
        select(disputes.c.dispute_id).where(
            disputes.c.payment_intent_id == payment_intent_id,
            disputes.c.closed_at.is_(None),
        )
    )
    return found.first() is not None


async def _read_aftermath(
    connection: AsyncConnection, paid: Row[tuple[object, ...]]
) -> Aftermath:
    checkout_id = paid.checkout_id
    entitlement = await connection.execute(
        select(entitlements.c.entitlement_id)
        .join(orders, orders.c.order_id == entitlements.c.order_id)
        .where(orders.c.checkout_id == checkout_id)
    )
    charges = await connection.execute(
        select(second_charges).where(
            second_charges.c.checkout_id == checkout_id,
            second_charges.c.state != SecondChargeState.REFUTED,
        )
    )
    disputed = await connection.execute(
        select(disputes).where(disputes.c.checkout_id == checkout_id)
    )
    known = disputed.all()
    rows = await _rows(connection, refunds.c.checkout_id == checkout_id)
    second = charges.all()
    by_bank = {dispute.payment_intent_id for dispute in known}
    return Aftermath(
        payment_intent_id=paid.payment_intent_id,
        price=_money(paid),
        access=AccessState(paid.access_state),
        refunds=tuple(rows),
        unproven=tuple(
            SecondCharge(
                payment_intent_id=charge.payment_intent_id,
                next_look_at=charge.next_look_at,
            )
            for charge in second
            if charge.state == SecondChargeState.SUSPECTED
        ),
        unreturned=tuple(
            (charge.payment_intent_id, charge.amount_minor - _given(rows, charge))
            for charge in second
            if charge.state == SecondChargeState.PROVEN
            # What its bank takes back itself, we do not owe.
            and charge.payment_intent_id not in by_bank
        ),
        entitlement_id=entitlement.scalar_one_or_none(),
        is_disputed=any(dispute.closed_at is None for dispute in known),
    )


def _given(rows: list[RefundRow], charge: Row[tuple[object, ...]]) -> int:
    return sum(
        row.amount.amount_minor
        for row in rows
        if row.payment_intent_id == charge.payment_intent_id
        and row.state in ACCEPTED_REFUNDS
    )


async def _settle(connection: AsyncConnection, paid: Row[tuple[object, ...]]) -> None:
    """Let the money state follow, and close the cases of returned second charges."""
    if paid.stage != Stage.CHARGED:
        return
    aftermath = await _read_aftermath(connection, paid)
    money = money_after(aftermath)
    await connection.execute(
        update(checkouts)
        .where(
            checkouts.c.checkout_id == paid.checkout_id,
            checkouts.c.money_state != money,
        )
        .values(money_state=money, updated_at=func.now())
    )
    for payment_intent_id, owed in aftermath.unreturned:
        if owed <= 0:
            await tell_payment_case(
                connection,
                payment_intent_id,
                f"{paid.reference_code} was charged twice: the second charge, "
                f"{payment_intent_id}, was returned by itself.",
                is_done=True,
            )


async def _rows(
    connection: AsyncConnection, *conditions: ColumnElement[bool]
) -> list[RefundRow]:
    found = await connection.execute(
        select(refunds)
        .where(*conditions)
        .order_by(refunds.c.requested_at, refunds.c.refund_id)
    )
    return [
        RefundRow(
            refund_id=row.refund_id,
            payment_intent_id=row.payment_intent_id,
            amount=_money(row),
            purpose=RefundPurpose(row.purpose),
            state=RefundState(row.state),
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


def _money(row: Row[tuple[object, ...]]) -> Money:
    return Money(amount_minor=row.amount_minor, currency=row.currency)
