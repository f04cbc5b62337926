"""What follows a charge: refunds as the processor shows them, disputes, second charges.

Every write locks the checkout's row first, as `database.refunds` does for what is asked
for. The money state follows in the same transaction, by the domain's rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

from sqlalchemy import Row, and_, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.cases import (
    open_case,
    open_payment_case,
    tell_payment_case,
)
from database.refunds import (
    insert_refund,
    lock_paid,
    money_of,
    read_refunds,
)
from database.tables import (
    checkouts,
    disputes,
    entitlements,
    orders,
    purchase_changes,
    refunds,
    second_charges,
    subscriptions,
)
from domain.causes import Cause
from domain.messages import OpenCase
from domain.money import Money
from domain.refunds import (
    DISPUTE_IS_LOST,
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
    is_made_again,
    is_mended,
    look_after,
    money_after,
    needs_person,
    next_submission,
    runs_out,
    still_owed,
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


async def next_refund_step(
    connection: AsyncConnection, ask: AskNextRefundStep
) -> RefundStep:
    """Say what is due, and mark it as begun; see `domain.refunds.due_step`.

    Repeat: a step whose answer was lost is found begun; what was to be sent is then
    looked for first.

    Raises:
        CheckoutNotFound: There is no such checkout.
    """
    paid = await lock_paid(connection, ask.checkout_id)
    aftermath = await read_aftermath(connection, paid)
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
        payment_intent_ids=(aftermath.payment_intent_id, *aftermath.second_charges),
        is_over=runs_out(aftermath),
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
    paid = await lock_paid(connection, record.checkout_id)
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
    first_seen = zip(record.refunds or (), news, strict=True)
    await _tell_of_failures_past_us(
        connection, paid, [shown for shown, new in first_seen if new is None]
    )
    await _owe_second_charges(connection, paid, record.now)
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
        return None if await _insert_outside(connection, paid, record, shown) else ""
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
            connection, record.checkout_id, money_of(row), shown.failure or "failed"
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
) -> bool:
    """Write down a refund that was made past us.

    Also one that carries an id of ours whose row was lost, as after a restore.

    Returns:
        Whether it is of a charge that is ours: one that was refuted is a person's, who
        may well give it back at the processor.
    """
    state = STATE_OF_STATUS[shown.status]
    captured = await _captured(connection, paid, shown.payment_intent_id)
    if captured is None:
        return False
    await connection.execute(
        upsert(refunds)
        .values(
            refund_id=_outside_id(shown),
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
    return True


async def _captured(
    connection: AsyncConnection,
    paid: Row[tuple[object, ...]],
    payment_intent_id: str,
) -> int | None:
    """Return what a charge of this checkout took; None for one that is not proven."""
    if payment_intent_id == paid.payment_intent_id:
        price: int = paid.amount_minor
        return price
    found = await connection.execute(
        select(second_charges.c.amount_minor).where(
            second_charges.c.payment_intent_id == payment_intent_id,
            second_charges.c.checkout_id == paid.checkout_id,
            second_charges.c.state == SecondChargeState.PROVEN,
        )
    )
    return found.scalar_one_or_none()


def _outside_id(shown: Refund) -> UUID:
    return uuid5(_OUTSIDE, shown.processor_refund_id)


async def _tell_of_failures_past_us(
    connection: AsyncConnection,
    paid: Row[tuple[object, ...]],
    first_seen: Sequence[Refund],
) -> None:
    """Tell of refunds made past us that had failed by the time we saw them.

    Asked once all that the processor shows is written: whoever made the refund may have
    made it again, and then nothing is missing.
    """
    why = {
        _outside_id(shown): shown.failure or "failed"
        for shown in first_seen
        if STATE_OF_STATUS[shown.status] is RefundState.FAILED
    }
    if not why:
        return
    aftermath = await read_aftermath(connection, paid)
    for failed in aftermath.refunds:
        if failed.refund_id not in why or is_mended(failed, aftermath):
            continue
        await _tell_of_failure(
            connection, paid.checkout_id, failed.amount, why[failed.refund_id]
        )
        if not is_made_again(failed, aftermath):
            # It was on its way once: the customer hears that it came back.
            await connection.execute(
                update(refunds)
                .where(refunds.c.refund_id == failed.refund_id)
                .values(accepted_at=refunds.c.requested_at)
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
            cause=Cause.DISPUTE_OPENED,
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
        connection, record.checkout_id, money_of(row), record.refusal or "refused"
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
            cause=Cause.REFUND_FAILED,
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
    unasked = 0
    for row in rows:
        is_unsent = row.state == RefundState.REQUESTED or (
            # Begun, and never posted: the look that goes before has shown another.
            row.state == RefundState.SUBMITTING
            and row.posted_at is None
            and record.is_complete
        )
        if excess > 0 and is_unsent:
            excess -= row.amount_minor
            unasked += row.amount_minor if row.purpose == RefundPurpose.ASKED else 0
            await connection.execute(
                update(refunds)
                .where(refunds.c.refund_id == row.refund_id)
                .values(
                    state=RefundState.CANCELED,
                    finished_at=record.now,
                    failure="the money was given back at the processor meanwhile",
                )
            )
    rest = min(unasked, -excess)
    if rest > 0:
        money = Money(amount_minor=rest, currency=rows[0].currency)
        await _leave_rest_to_a_person(connection, record.checkout_id, money)


async def _leave_rest_to_a_person(
    connection: AsyncConnection, checkout_id: UUID, rest: Money
) -> None:
    """Say what a request that was taken back would have given beyond the other."""
    await open_case(
        connection,
        OpenCase(
            checkout_id=checkout_id,
            step="give the money back",
            cause=Cause.REFUND_FAILED,
            detail="A refund that was asked for was not sent: part of the money was "
            "given back at the processor meanwhile, and both are more than was taken. "
            f"{rest} of it did not go back. Ask for that refund anew, or close the "
            "case if the customer is to keep what they have.",
        ),
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
    paid = await lock_paid(connection, record.checkout_id)
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
        await _leave_to_a_person(connection, paid.reference_code, record)
    await connection.execute(
        update(second_charges)
        .where(second_charges.c.payment_intent_id == record.payment_intent_id)
        .values(values)
    )
    return False


async def _leave_to_a_person(
    connection: AsyncConnection, reference_code: str, record: RecordSecondCharge
) -> None:
    """What called itself a second charge and is none may be money of somebody else."""
    detail = (
        f"A payment that names {reference_code} is no second charge of it: asked for "
        f"{record.payment_intent_id}, the processor shows that it did not succeed, or "
        "that it is of another checkout. Nothing is returned by itself. Look at it at "
        "the processor; if money was taken for nothing, give it back there."
    )
    await open_payment_case(
        connection,
        record.payment_intent_id,
        "prove a second charge",
        Cause.SECOND_CHARGE,
        detail,
    )
    await tell_payment_case(connection, record.payment_intent_id, detail, is_done=False)


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
    owed = await _owe_second_charges(connection, paid, record.now)
    await tell_payment_case(
        connection,
        record.payment_intent_id,
        f"{paid.reference_code} was charged twice: the processor shows "
        f"{paid.payment_intent_id} and {record.payment_intent_id} succeeded. "
        + (
            f"The second, {taken}, is being returned by itself."
            if record.payment_intent_id in owed
            else "The buyer's bank disputes the second, so it is not returned by us."
        ),
        is_done=False,
    )
    await _settle(connection, paid)


async def _owe_second_charges(
    connection: AsyncConnection, paid: Row[tuple[object, ...]], now: datetime
) -> set[str]:
    """Write down the refunds that the machine owes: a second charge, or its rest.

    Part of one may have gone back past us, which takes back what was to return it
    whole; or its bank has decided a dispute for us.

    Returns:
        The charges for which one was written.
    """
    aftermath = await read_aftermath(connection, paid)
    owed = still_owed(aftermath)
    for payment_intent_id, rest in owed:
        found = await connection.execute(
            select(second_charges).where(
                second_charges.c.payment_intent_id == payment_intent_id
            )
        )
        charge = found.one()
        turn = sum(
            refund.payment_intent_id == payment_intent_id
            and refund.purpose is RefundPurpose.DUPLICATE
            for refund in aftermath.refunds
        )
        # The first is named by the charge alone: after a restore from an older backup
        # the look that goes before finds it at the processor.
        name = f"{payment_intent_id}:{turn}" if turn else payment_intent_id
        await insert_refund(
            connection,
            paid.checkout_id,
            payment_intent_id,
            RefundRequest(
                refund_id=uuid5(_DUPLICATE, name),
                amount=Money(amount_minor=rest, currency=charge.currency),
                actor=MACHINE,
                reason="the second charge of one checkout",
                ends_access=False,
            ),
            captured_minor=charge.amount_minor,
            purpose=RefundPurpose.DUPLICATE,
            not_before=now,
            knocked_at=func.clock_timestamp(),
        )
    return {payment_intent_id for payment_intent_id, _ in owed}


async def record_access_ended(
    connection: AsyncConnection, ended: EndEntitlement
) -> None:
    """Write that access is over, once: entitlement, checkout and subscription.

    The subscription is `expired` by its time and `canceled` with its money.

    The rows are taken in the order of `record_access`: a late try of that one would
    otherwise wait for us while we wait for it.
    """
    await connection.execute(
        update(checkouts)
        .where(
            checkouts.c.checkout_id == ended.checkout_id,
            checkouts.c.access_state != AccessState.ENDED,
        )
        .values(access_state=AccessState.ENDED, updated_at=func.now())
    )
    await connection.execute(
        update(entitlements)
        .where(
            entitlements.c.entitlement_id == ended.entitlement_id,
            entitlements.c.state != EntitlementState.ENDED,
        )
        .values(state=EntitlementState.ENDED, ended_at=func.clock_timestamp())
    )
    await connection.execute(
        update(subscriptions)
        .where(
            subscriptions.c.order_id == orders.c.order_id,
            orders.c.checkout_id == ended.checkout_id,
            subscriptions.c.state == SubscriptionState.ACTIVE,
        )
        .values(
            state=SubscriptionState.EXPIRED
            if ended.is_over
            else SubscriptionState.CANCELED
        )
    )


async def read_aftermath(
    connection: AsyncConnection, paid: Row[tuple[object, ...]]
) -> Aftermath:
    """Read all that followed a charge, of a row that `lock_paid` returned."""
    checkout_id = paid.checkout_id
    ordered = await connection.execute(
        select(
            entitlements.c.entitlement_id,
            (subscriptions.c.ends_at <= func.clock_timestamp()).label("is_over"),
        )
        .join(orders, orders.c.order_id == entitlements.c.order_id)
        .join(subscriptions, subscriptions.c.order_id == orders.c.order_id)
        .where(orders.c.checkout_id == checkout_id)
    )
    order = ordered.one_or_none()
    untold = await connection.execute(
        select(
            exists().where(
                purchase_changes.c.checkout_id == checkout_id,
                purchase_changes.c.told_at.is_(None),
            )
        )
    )
    holder = checkouts.alias()
    charges = await connection.execute(
        select(
            second_charges,
            exists()
            .where(
                holder.c.payment_intent_id == second_charges.c.payment_intent_id,
                holder.c.checkout_id != checkout_id,
            )
            .label("is_anothers"),
        ).where(second_charges.c.checkout_id == checkout_id)
    )
    disputed = await connection.execute(
        select(disputes).where(disputes.c.checkout_id == checkout_id)
    )
    known = disputed.all()
    rows = await read_refunds(connection, refunds.c.checkout_id == checkout_id)
    second = charges.all()
    by_bank = {
        dispute.payment_intent_id
        for dispute in known
        if dispute.closed_at is None or dispute.status == DISPUTE_IS_LOST
    }
    return Aftermath(
        payment_intent_id=paid.payment_intent_id,
        price=money_of(paid),
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
        second_charges=tuple(
            charge.payment_intent_id
            for charge in second
            # One that is not proven yet is asked about by itself.
            if charge.state != SecondChargeState.SUSPECTED and not charge.is_anothers
        ),
        entitlement_id=None if order is None else order.entitlement_id,
        is_disputed=any(dispute.closed_at is None for dispute in known),
        is_over=order is not None and order.is_over,
        is_changed=order is not None and untold.scalar_one(),
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
    aftermath = await read_aftermath(connection, paid)
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
