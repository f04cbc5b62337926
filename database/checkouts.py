"""Checkouts and their payment attempts: every transition is a compare-and-set.

A transition names the stage it leaves in its WHERE clause, so that a late, repeated or
concurrent caller changes nothing and learns what stands there instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    Row,
    and_,
    case,
    func,
    insert,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import LateralFromClause

from database.pauses import (
    PAUSED_AT,
    TELLS_WHEN_OPEN,
    hold_switch,
    wait_for_reopening,
)
from database.tables import (
    checkouts,
    entitlements,
    orders,
    payment_attempts,
    refunds,
    subscriptions,
)
from domain.cadence import CHECKING_AFTER, DECLINED_AFTER
from domain.deadlines import MAY_LEAVE_AFTER
from domain.messages import (
    Charge,
    PaymentClaim,
    PayRequest,
    RecordActionNeeded,
    RecordAsked,
    RecordNotCharged,
    RecordProcessing,
    StorePaymentIntent,
)
from domain.money import Money
from domain.refunds import Returned
from domain.states import (
    ACCEPTED_REFUNDS,
    AccessState,
    DeclineClass,
    MoneyState,
    NotChargedReason,
    Stage,
)

#: A buyer needs a few cards at the most; a card tester needs hundreds.
MOST_BUYER_ATTEMPTS = 10


class CheckoutNotFound(Exception):
    """No checkout has this id."""


class AttemptMovedOn(Exception):
    """The attempt ended, or uses another PaymentIntent: this caller comes too late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCheckout:
    """A buyer's wish to buy, before anything was asked of anybody."""

    checkout_id: UUID
    reference_code: str
    token_hash: bytes
    token_key_id: str
    email: str
    plan_id: str
    plan_name: str
    plan_months: int
    price: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutRow:
    """Everything that is known of one checkout, as one consistent read.

    Attributes:
        next_message_at: When the customer hears from us next, news or not.
        now: The database's clock at the read; ages are counted against it.
        order_id: Set once the order is written.
        proven_at: When the last attempt was closed without a charge.
        asked_at: When the processor was last asked about a payment in doubt.
        bank_asked_at: When the bank asked the buyer of this attempt.
        bank_answered_at: When its question was answered.
        mail_held_at: Since when nothing is mailed, after a bulk repair.
        paused_at: Since when no new payments are taken; None while they are.
        returned: What went back of the charge that the order stands for.
        second_returned: What went back of second charges.
        tells_when_open: The buyer is written to when the pause ends.
    """

    checkout_id: UUID
    reference_code: str
    token_key_id: str
    email: str
    plan_id: str
    plan_name: str
    price: Money
    stage: Stage
    money_state: MoneyState
    access_state: AccessState
    buyer_attempt: int
    pay_requested_at: datetime | None
    payment_intent_id: str | None
    next_action_url: str | None
    not_charged_reason: NotChargedReason | None
    decline_class: DeclineClass | None
    charged_at: datetime | None
    card_brand: str | None
    card_last4: str | None
    interrupted_at: datetime | None
    attention_at: datetime | None
    next_message_at: datetime | None = None
    created_at: datetime
    now: datetime
    order_id: UUID | None
    access_url: str | None
    access_granted_at: datetime | None
    access_until: datetime | None
    proven_at: datetime | None = None
    asked_at: datetime | None = None
    bank_asked_at: datetime | None = None
    bank_answered_at: datetime | None = None
    mail_held_at: datetime | None = None
    paused_at: datetime | None = None
    returned: Returned | None = None
    second_returned: Returned | None = None
    tells_when_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRequested:
    """What a press on Pay came to.

    Attributes:
        is_new: This press made the request; False when one was there already.
        stage: Where the checkout stands now.
        buyer_attempt: The attempt that is running, or ran.
        too_many: The buyer has used up all attempts; nothing was changed.
        is_paused: The shop takes no new payments; nothing was changed, and the buyer is
            told when it does again.
    """

    is_new: bool
    stage: Stage
    buyer_attempt: int
    too_many: bool = False
    is_paused: bool = False


async def insert_checkout(connection: AsyncConnection, new: NewCheckout) -> None:
    """Write a new checkout, in stage `open`; in a pause it waits for its end."""
    await connection.execute(
        insert(checkouts).values(
            checkout_id=new.checkout_id,
            reference_code=new.reference_code,
            token_hash=new.token_hash,
            token_key_id=new.token_key_id,
            email=new.email,
            plan_id=new.plan_id,
            plan_name=new.plan_name,
            plan_months=new.plan_months,
            amount_minor=new.price.amount_minor,
            currency=new.price.currency,
        )
    )
    await wait_for_reopening(connection, new.checkout_id)


def _returned(name: str, *, is_own: bool) -> LateralFromClause:
    """Sum up what went back, as far as the processor has taken it; NULLs for nothing.

    Of the charge that the order stands for, or of others: whoever is told that a second
    payment went back must not be told it of a part of the first.
    """
    own = refunds.c.payment_intent_id == checkouts.c.payment_intent_id
    reference = func.coalesce(refunds.c.bank_reference, refunds.c.processor_refund_id)
    return (
        select(
            func.sum(refunds.c.amount_minor).label("minor"),
            func.max(refunds.c.currency).label("currency"),
            func.max(refunds.c.accepted_at).label("at"),
            case((func.count() == 1, func.max(reference))).label("reference"),
        )
        .where(
            refunds.c.checkout_id == checkouts.c.checkout_id,
            refunds.c.state.in_(ACCEPTED_REFUNDS),
            own if is_own else not_(own),
        )
        .lateral(name)
    )


_OWN_RETURNED = _returned("own_returned", is_own=True)
_SECOND_RETURNED = _returned("second_returned", is_own=False)

#: When the attempt that the row tells of was closed without a charge.
_PROVEN_AT = (
    select(payment_attempts.c.ended_at)
    .where(
        payment_attempts.c.checkout_id == checkouts.c.checkout_id,
        payment_attempts.c.buyer_attempt == checkouts.c.buyer_attempt,
        checkouts.c.stage == Stage.OPEN,
    )
    .correlate(checkouts)
    .scalar_subquery()
)

_READ = (
    select(
        checkouts,
        # Not now(): that is the transaction's start, and a page wants this instant.
        func.clock_timestamp().label("now"),
        orders.c.order_id,
        entitlements.c.access_url,
        entitlements.c.granted_at.label("access_granted_at"),
        subscriptions.c.ends_at.label("access_until"),
        _PROVEN_AT.label("proven_at"),
        PAUSED_AT.label("paused_at"),
        *(
            column.label(f"{part.name}_{column.name}")
            for part in (_OWN_RETURNED, _SECOND_RETURNED)
            for column in part.c
        ),
        TELLS_WHEN_OPEN.label("tells_when_open"),
    )
    .outerjoin(orders, orders.c.checkout_id == checkouts.c.checkout_id)
    .outerjoin(entitlements, entitlements.c.order_id == orders.c.order_id)
    .outerjoin(subscriptions, subscriptions.c.order_id == orders.c.order_id)
    .outerjoin(_OWN_RETURNED, true())
    .outerjoin(_SECOND_RETURNED, true())
)


#: The buyer of a running attempt has waited so long that the page let them go, and
#: named the time of a mail.
_MAY_HAVE_LEFT = (
    func.clock_timestamp()
    - func.coalesce(checkouts.c.bank_answered_at, checkouts.c.pay_requested_at)
    >= MAY_LEAVE_AFTER
)


#: A charge of unknown outcome, or one without access: its run has work left, and no
#: buyer at the bank is waited for (`ix_checkouts_unfinished`).
IN_WORK = or_(
    and_(
        checkouts.c.stage == Stage.CHARGING,
        checkouts.c.money_state == MoneyState.UNKNOWN,
    ),
    and_(
        checkouts.c.stage == Stage.CHARGED,
        checkouts.c.access_state == AccessState.PENDING,
    ),
)


async def find_by_token(
    connection: AsyncConnection, token_hash: bytes
) -> CheckoutRow | None:
    """Read the checkout that a customer's address names (`uq_checkouts_token_hash`)."""
    result = await connection.execute(_READ.where(checkouts.c.token_hash == token_hash))
    row = result.one_or_none()
    return None if row is None else _checkout_row(row)


async def read_checkout(connection: AsyncConnection, checkout_id: UUID) -> CheckoutRow:
    """Read one checkout.

    Raises:
        CheckoutNotFound: There is none with this id.
    """
    result = await connection.execute(
        _READ.where(checkouts.c.checkout_id == checkout_id)
    )
    row = result.one_or_none()
    if row is None:
        raise CheckoutNotFound(str(checkout_id))
    return _checkout_row(row)


async def list_checkouts(
    connection: AsyncConnection, checkout_ids: Sequence[UUID]
) -> list[CheckoutRow]:
    """Read several checkouts at once, in no order; those that are gone are left out."""
    result = await connection.execute(
        _READ.where(checkouts.c.checkout_id.in_(checkout_ids))
    )
    return [_checkout_row(row) for row in result]


async def find_by_reference(
    connection: AsyncConnection, reference_code: str
) -> CheckoutRow | None:
    """Read the checkout that a customer quotes (`uq_checkouts_reference_code`)."""
    result = await connection.execute(
        _READ.where(checkouts.c.reference_code == reference_code)
    )
    row = result.one_or_none()
    return None if row is None else _checkout_row(row)


async def list_by_email(connection: AsyncConnection, email: str) -> list[CheckoutRow]:
    """Read a customer's checkouts, newest first (`ix_checkouts_email`)."""
    result = await connection.execute(
        _READ.where(func.lower(checkouts.c.email) == email.lower())
        .order_by(checkouts.c.created_at.desc())
        .limit(100)
    )
    return [_checkout_row(row) for row in result]


async def request_payment(
    connection: AsyncConnection, checkout_id: UUID, payment_method: str
) -> PaymentRequested:
    """Make the buyer's press on Pay durable: `open -> requested`, a new attempt.

    Twenty presses at once make one request: the row's lock puts them in a line, and all
    but the first find the stage changed. While payments are paused nothing is
    requested: the switch is held from before the look at it until the commit, so no
    press can slip through behind a pause.

    Raises:
        CheckoutNotFound: There is no such checkout.
    """
    await hold_switch(connection)
    moved = await connection.execute(
        update(checkouts)
        .where(
            checkouts.c.checkout_id == checkout_id,
            checkouts.c.stage == Stage.OPEN,
            checkouts.c.buyer_attempt < MOST_BUYER_ATTEMPTS,
            PAUSED_AT.is_(None),
        )
        .values(
            stage=Stage.REQUESTED,
            money_state=MoneyState.UNKNOWN,
            buyer_attempt=checkouts.c.buyer_attempt + 1,
            pay_requested_at=func.clock_timestamp(),
            bank_asked_at=None,
            bank_answered_at=None,
            asked_at=None,
            next_message_at=func.clock_timestamp() + CHECKING_AFTER,
            not_charged_reason=None,
            decline_class=None,
            next_action_url=None,
            updated_at=func.now(),
        )
        .returning(checkouts.c.buyer_attempt)
    )
    attempt = moved.scalar_one_or_none()
    if attempt is None:
        return await _not_requested(connection, checkout_id)
    await connection.execute(
        insert(payment_attempts).values(
            checkout_id=checkout_id,
            buyer_attempt=attempt,
            payment_method=payment_method,
        )
    )
    return PaymentRequested(is_new=True, stage=Stage.REQUESTED, buyer_attempt=attempt)


async def _not_requested(
    connection: AsyncConnection, checkout_id: UUID
) -> PaymentRequested:
    """Say why a press changed nothing; who was stopped by a pause is told its end."""
    row = await read_checkout(connection, checkout_id)
    too_many = row.stage is Stage.OPEN and row.buyer_attempt >= MOST_BUYER_ATTEMPTS
    is_paused = row.stage is Stage.OPEN and row.paused_at is not None and not too_many
    if is_paused:
        await wait_for_reopening(connection, checkout_id)
    return PaymentRequested(
        is_new=False,
        stage=row.stage,
        buyer_attempt=row.buyer_attempt,
        too_many=too_many,
        is_paused=is_paused,
    )


async def claim_payment(connection: AsyncConnection, checkout_id: UUID) -> PaymentClaim:
    """Claim the request for one workflow, `requested -> charging`, or say what stands.

    From here on the request can no longer be withdrawn, so only the processor's word
    can make it "not charged" again.

    Raises:
        CheckoutNotFound: There is no such checkout.
    """
    moved = await connection.execute(
        update(checkouts)
        .where(
            checkouts.c.checkout_id == checkout_id,
            checkouts.c.stage == Stage.REQUESTED,
        )
        .values(stage=Stage.CHARGING, updated_at=func.now())
        .returning(checkouts.c.buyer_attempt)
    )
    attempt = moved.scalar_one_or_none()
    if attempt is not None:
        await connection.execute(
            update(payment_attempts)
            .where(
                payment_attempts.c.checkout_id == checkout_id,
                payment_attempts.c.buyer_attempt == attempt,
            )
            .values(claimed_at=func.clock_timestamp())
        )
    return await _read_claim(connection, checkout_id)


async def _read_claim(connection: AsyncConnection, checkout_id: UUID) -> PaymentClaim:
    result = await connection.execute(
        select(
            checkouts,
            payment_attempts.c.payment_method,
            payment_attempts.c.claimed_at,
            payment_attempts.c.payment_intent_id.label("prepared_intent_id"),
        )
        .outerjoin(
            payment_attempts,
            and_(
                payment_attempts.c.checkout_id == checkouts.c.checkout_id,
                payment_attempts.c.buyer_attempt == checkouts.c.buyer_attempt,
            ),
        )
        .where(checkouts.c.checkout_id == checkout_id)
    )
    row = result.one_or_none()
    if row is None:
        raise CheckoutNotFound(str(checkout_id))
    stage, price = Stage(row.stage), _price(row)
    charge = None
    if stage is Stage.CHARGED:
        charge = Charge(
            payment_intent_id=row.payment_intent_id,
            price=price,
            charged_at=row.charged_at,
            card_brand=row.card_brand,
            card_last4=row.card_last4,
        )
    return PaymentClaim(
        stage=stage,
        price=price,
        buyer_attempt=row.buyer_attempt,
        claimed_at=row.claimed_at,
        payment_method=row.payment_method,
        token_key_id=row.token_key_id,
        payment_intent_id=row.payment_intent_id,
        is_prepared=row.prepared_intent_id is not None,
        needs_attention=row.attention_at is not None,
        charge=charge,
    )


async def store_payment_intent(
    connection: AsyncConnection, store: StorePaymentIntent
) -> None:
    """Write down the PaymentIntent before it is confirmed.

    From here on, confirming anew is safe for ever: a PaymentIntent succeeds at most
    once, while an idempotency key is forgotten after a day. An attempt takes one
    PaymentIntent and keeps it, so a run that was reset, or a worker that was frozen,
    cannot bring a second one to confirmation.

    Raises:
        AttemptMovedOn: Nothing was written, and nothing may be confirmed.
    """
    # The checkout's row first, as everywhere: two that meet would wait for each other.
    checkout = await connection.execute(
        update(checkouts)
        .where(
            checkouts.c.checkout_id == store.checkout_id,
            checkouts.c.stage == Stage.CHARGING,
            checkouts.c.buyer_attempt == store.buyer_attempt,
        )
        .values(
            payment_intent_id=store.payment_intent_id,
            intent_closed_at=None,
            updated_at=func.now(),
        )
        .returning(checkouts.c.checkout_id)
    )
    attempt = await connection.execute(
        update(payment_attempts)
        .where(
            payment_attempts.c.checkout_id == store.checkout_id,
            payment_attempts.c.buyer_attempt == store.buyer_attempt,
            payment_attempts.c.ended_at.is_(None),
            or_(
                payment_attempts.c.payment_intent_id.is_(None),
                payment_attempts.c.payment_intent_id == store.payment_intent_id,
            ),
        )
        .values(payment_intent_id=store.payment_intent_id)
        .returning(payment_attempts.c.buyer_attempt)
    )
    if attempt.one_or_none() is None or checkout.one_or_none() is None:
        msg = f"attempt {store.buyer_attempt} of checkout {store.checkout_id}"
        raise AttemptMovedOn(msg)


async def record_action_needed(
    connection: AsyncConnection, record: RecordActionNeeded
) -> None:
    """Send the buyer to the bank: `UNKNOWN -> ACTION_NEEDED`.

    Who may have left the page by then still hears from us by the time that it named.
    """
    is_there_already = checkouts.c.money_state == MoneyState.ACTION_NEEDED
    await connection.execute(
        update(checkouts)
        .where(
            checkouts.c.checkout_id == record.checkout_id,
            checkouts.c.stage == Stage.CHARGING,
            checkouts.c.buyer_attempt == record.buyer_attempt,
        )
        .values(
            money_state=MoneyState.ACTION_NEEDED,
            next_action_url=record.next_action_url,
            bank_asked_at=case(
                (is_there_already, checkouts.c.bank_asked_at),
                else_=func.clock_timestamp(),
            ),
            next_message_at=case(
                (is_there_already | _MAY_HAVE_LEFT, checkouts.c.next_message_at),
                else_=None,
            ),
            updated_at=func.now(),
        )
    )


async def record_processing(
    connection: AsyncConnection, record: RecordProcessing
) -> None:
    """The bank was answered, the outcome is open: `ACTION_NEEDED -> UNKNOWN`.

    The buyer's wait starts anew; when they pressed Pay stays what it was.
    """
    await connection.execute(
        update(checkouts)
        .where(
            checkouts.c.checkout_id == record.checkout_id,
            checkouts.c.buyer_attempt == record.buyer_attempt,
            checkouts.c.money_state == MoneyState.ACTION_NEEDED,
        )
        .values(
            money_state=MoneyState.UNKNOWN,
            bank_answered_at=func.clock_timestamp(),
            next_message_at=func.clock_timestamp() + CHECKING_AFTER,
            next_action_url=None,
            updated_at=func.now(),
        )
    )


async def record_asked(connection: AsyncConnection, record: RecordAsked) -> None:
    """Write when the processor was asked last, while the outcome is still open.

    `updated_at` stays: nothing has moved.
    """
    await connection.execute(
        update(checkouts)
        .where(
            checkouts.c.checkout_id == record.checkout_id,
            checkouts.c.stage == Stage.CHARGING,
            checkouts.c.buyer_attempt == record.buyer_attempt,
        )
        .values(asked_at=record.asked_at)
    )


async def record_not_charged(
    connection: AsyncConnection, record: RecordNotCharged
) -> None:
    """End an attempt with proof that no money moved: `charging -> open`.

    A PaymentIntent that is still open at the processor is kept, for the buyer's next
    card or to be closed; a canceled one is let go, since it can never be used again.
    """
    keep = record.reason in {NotChargedReason.DECLINED, NotChargedReason.NOT_SENT}
    later = func.clock_timestamp() + DECLINED_AFTER
    await connection.execute(
        update(checkouts)
        .where(
            checkouts.c.checkout_id == record.checkout_id,
            checkouts.c.stage == Stage.CHARGING,
            checkouts.c.buyer_attempt == record.buyer_attempt,
        )
        .values(
            stage=Stage.OPEN,
            money_state=MoneyState.NOT_CHARGED,
            not_charged_reason=record.reason,
            decline_class=record.decline,
            next_action_url=None,
            next_message_at=case(
                (_MAY_HAVE_LEFT, func.least(checkouts.c.next_message_at, later)),
                else_=later,
            ),
            payment_intent_id=checkouts.c.payment_intent_id if keep else None,
            updated_at=func.now(),
        )
    )
    await end_attempt(
        connection, record.checkout_id, record.buyer_attempt, record.reason
    )


async def end_attempt(
    connection: AsyncConnection, checkout_id: UUID, buyer_attempt: int, outcome: str
) -> None:
    """Write how an attempt ended, once."""
    await connection.execute(
        update(payment_attempts)
        .where(
            payment_attempts.c.checkout_id == checkout_id,
            payment_attempts.c.buyer_attempt == buyer_attempt,
            payment_attempts.c.ended_at.is_(None),
        )
        .values(outcome=outcome, ended_at=func.clock_timestamp())
    )


async def withdraw_requests(
    connection: AsyncConnection, older_than: timedelta
) -> list[UUID]:
    """Take back requests that no workflow claimed in time: `requested -> open`.

    The stage in the WHERE clause races `claim_payment` on the row's lock: exactly one
    of them wins, so a withdrawn request was provably never sent to the processor.
    """
    moved = await connection.execute(
        update(checkouts)
        .where(
            checkouts.c.stage == Stage.REQUESTED,
            checkouts.c.pay_requested_at < func.clock_timestamp() - older_than,
        )
        .values(
            stage=Stage.OPEN,
            money_state=MoneyState.NOT_CHARGED,
            not_charged_reason=NotChargedReason.WITHDRAWN,
            # The page told who waited that a mail would come. No run is there to send
            # it, so the sweep starts one.
            next_message_at=func.clock_timestamp(),
            updated_at=func.now(),
        )
        .returning(checkouts.c.checkout_id, checkouts.c.buyer_attempt)
    )
    withdrawn = moved.all()
    for row in withdrawn:
        await end_attempt(
            connection, row.checkout_id, row.buyer_attempt, NotChargedReason.WITHDRAWN
        )
    return [row.checkout_id for row in withdrawn]


async def take_unclaimed_requests(
    connection: AsyncConnection, older_than: timedelta, limit: int
) -> list[PayRequest]:
    """Find requests whose workflow start was lost, and mark them as interrupted.

    The mark is what lets the receipt say "if you saw an error page".
    """
    late = (
        select(checkouts.c.checkout_id)
        .where(
            checkouts.c.stage == Stage.REQUESTED,
            checkouts.c.pay_requested_at < func.clock_timestamp() - older_than,
        )
        .order_by(checkouts.c.pay_requested_at)
        .limit(limit)
        # Several API replicas run this loop; each takes what the others do not hold.
        .with_for_update(skip_locked=True)
    )
    result = await connection.execute(
        update(checkouts)
        .where(checkouts.c.checkout_id.in_(late))
        .values(
            interrupted_at=func.coalesce(
                checkouts.c.interrupted_at, func.clock_timestamp()
            )
        )
        .returning(checkouts)
    )
    return [
        PayRequest(
            checkout_id=row.checkout_id,
            reference_code=row.reference_code,
            price=_price(row),
            plan_name=row.plan_name,
            buyer_attempt=row.buyer_attempt,
        )
        for row in result
    ]


async def find_checkout_of_payment(
    connection: AsyncConnection, payment_intent_id: str
) -> UUID | None:
    """Return the checkout that uses, or once used, a PaymentIntent."""
    result = await connection.execute(
        select(checkouts.c.checkout_id)
        .outerjoin(
            payment_attempts,
            payment_attempts.c.checkout_id == checkouts.c.checkout_id,
        )
        .where(
            or_(
                checkouts.c.payment_intent_id == payment_intent_id,
                payment_attempts.c.payment_intent_id == payment_intent_id,
            )
        )
        .limit(1)
    )
    return result.scalar_one_or_none()


def _price(row: Row[tuple[object, ...]]) -> Money:
    return Money(amount_minor=row.amount_minor, currency=row.currency)


def _read_returned(row: Row[tuple[object, ...]], part: str) -> Returned | None:
    minor, currency, at, reference = (
        getattr(row, f"{part}_{name}")
        for name in ("minor", "currency", "at", "reference")
    )
    if minor is None:
        return None
    amount = Money(amount_minor=int(minor), currency=currency)
    return Returned(amount=amount, at=at, reference=reference)


def _checkout_row(row: Row[tuple[object, ...]]) -> CheckoutRow:
    reason, decline = row.not_charged_reason, row.decline_class
    return CheckoutRow(
        checkout_id=row.checkout_id,
        reference_code=row.reference_code,
        token_key_id=row.token_key_id,
        email=row.email,
        plan_id=row.plan_id,
        plan_name=row.plan_name,
        price=_price(row),
        stage=Stage(row.stage),
        money_state=MoneyState(row.money_state),
        access_state=AccessState(row.access_state),
        buyer_attempt=row.buyer_attempt,
        pay_requested_at=row.pay_requested_at,
        payment_intent_id=row.payment_intent_id,
        next_action_url=row.next_action_url,
        not_charged_reason=NotChargedReason(reason) if reason else None,
        decline_class=DeclineClass(decline) if decline else None,
        charged_at=row.charged_at,
        card_brand=row.card_brand,
        card_last4=row.card_last4,
        interrupted_at=row.interrupted_at,
        attention_at=row.attention_at,
        next_message_at=row.next_message_at,
        created_at=row.created_at,
        now=row.now,
        order_id=row.order_id,
        access_url=row.access_url,
        access_granted_at=row.access_granted_at,
        access_until=row.access_until,
        proven_at=row.proven_at,
        asked_at=row.asked_at,
        bank_asked_at=row.bank_asked_at,
        bank_answered_at=row.bank_answered_at,
        mail_held_at=row.mail_held_at,
        paused_at=row.paused_at,
        returned=_read_returned(row, _OWN_RETURNED.name),
        second_returned=_read_returned(row, _SECOND_RETURNED.name),
        tells_when_open=row.tells_when_open,
    )
