"""Orders, subscriptions and entitlements: what a proven charge owes the buyer.

Every insert is write-once with a derived id and a unique constraint, so that a retry, a
zombie and a repair all arrive at the row that is already there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.checkouts import CheckoutNotFound, end_attempt
from database.tables import (
    checkouts,
    emails,
    entitlements,
    orders,
    purchase_changes,
    refunds,
    second_charges,
    subscriptions,
)
from domain.cadence import FIRST_WORD_AFTER
from domain.emails import EmailKind
from domain.identifiers import derived_id
from domain.messages import Charge, GrantEntitlement, OrderWritten, WriteOrder
from domain.plans import add_months
from domain.states import (
    AccessState,
    EmailState,
    EntitlementState,
    MoneyState,
    Stage,
)

RECEIPT = EmailKind.RECEIPT


class ChargeDisagrees(Exception):
    """The row is charged by another PaymentIntent, or for another amount.

    Nothing was written. A person must look: it may be a second charge.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What the company's application is told about one entitlement."""

    entitlement_id: UUID
    checkout_id: UUID
    reference_code: str
    email: str
    plan_id: str
    starts_at: datetime
    ends_at: datetime
    #: Access is over: it must not be opened, however late a call comes.
    is_ended: bool = False
    #: The number of the newest change that these facts hold; 0 without any.
    change: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """What a charged checkout is owed."""

    plan_id: str
    months: int


async def mark_charged(
    connection: AsyncConnection, checkout_id: UUID, charge: Charge
) -> Bought:
    """Write the proof of the charge on the checkout: `* -> charged`, never left.

    Returns:
        What was bought, as the row has it.

    Raises:
        CheckoutNotFound: There is no such checkout.
        ChargeDisagrees: Another charge stands there, or the amount differs.
    """
    moved = await connection.execute(
        update(checkouts)
        .where(
            checkouts.c.checkout_id == checkout_id,
            checkouts.c.stage != Stage.CHARGED,
            *_same_price(charge),
        )
        .values(
            stage=Stage.CHARGED,
            money_state=MoneyState.CHARGED,
            access_state=AccessState.PENDING,
            payment_intent_id=charge.payment_intent_id,
            charged_at=charge.charged_at,
            card_brand=charge.card_brand,
            card_last4=charge.card_last4,
            not_charged_reason=None,
            decline_class=None,
            next_action_url=None,
            next_message_at=charge.charged_at + FIRST_WORD_AFTER,
            updated_at=func.now(),
        )
        .returning(
            checkouts.c.buyer_attempt, checkouts.c.plan_id, checkouts.c.plan_months
        )
    )
    now = moved.one_or_none()
    if now is not None:
        await end_attempt(connection, checkout_id, now.buyer_attempt, "charged")
        return Bought(plan_id=now.plan_id, months=now.plan_months)
    return await _find_charged(connection, checkout_id, charge)


async def _find_charged(
    connection: AsyncConnection, checkout_id: UUID, charge: Charge
) -> Bought:
    """Read a checkout that this very charge should have paid before."""
    found = await connection.execute(
        select(checkouts).where(checkouts.c.checkout_id == checkout_id)
    )
    row = found.one_or_none()
    if row is None:
        raise CheckoutNotFound(str(checkout_id))
    same = (row.payment_intent_id, row.amount_minor, row.currency) == (
        charge.payment_intent_id,
        charge.price.amount_minor,
        charge.price.currency,
    )
    if not same:
        msg = f"checkout {checkout_id} does not agree with {charge.payment_intent_id}"
        raise ChargeDisagrees(msg)
    return Bought(plan_id=row.plan_id, months=row.plan_months)


def _same_price(charge: Charge) -> tuple[ColumnElement[bool], ...]:
    return (
        checkouts.c.amount_minor == charge.price.amount_minor,
        checkouts.c.currency == charge.price.currency,
    )


async def write_order(connection: AsyncConnection, order: WriteOrder) -> OrderWritten:
    """Write order, subscription, entitlement and owed receipt, or find them written.

    Raises:
        CheckoutNotFound: There is no such checkout.
        ChargeDisagrees: Another charge stands there, or the amount differs.
    """
    bought = await mark_charged(connection, order.checkout_id, order.charge)
    is_new = await _insert_order(connection, order, bought)
    found = await connection.execute(
        select(
            orders.c.order_id,
            entitlements.c.entitlement_id,
            entitlements.c.state.label("entitlement_state"),
            emails.c.email_id,
            emails.c.state.label("email_state"),
            checkouts.c.money_state,
            or_(
                exists().where(refunds.c.checkout_id == orders.c.checkout_id),
                exists().where(second_charges.c.checkout_id == orders.c.checkout_id),
                and_(
                    checkouts.c.access_state != AccessState.ENDED,
                    exists().where(
                        purchase_changes.c.checkout_id == orders.c.checkout_id,
                        purchase_changes.c.told_at.is_(None),
                    ),
                ),
            ).label("has_aftermath"),
            (subscriptions.c.ends_at <= func.clock_timestamp()).label("is_over"),
        )
        .join(checkouts, checkouts.c.checkout_id == orders.c.checkout_id)
        .join(subscriptions, subscriptions.c.order_id == orders.c.order_id)
        .join(entitlements, entitlements.c.order_id == orders.c.order_id)
        .join(emails, emails.c.checkout_id == orders.c.checkout_id)
        .where(orders.c.checkout_id == order.checkout_id, emails.c.kind == RECEIPT)
    )
    row = found.one()
    return OrderWritten(
        order_id=row.order_id,
        entitlement_id=row.entitlement_id,
        receipt_id=row.email_id,
        is_granted=row.entitlement_state != EntitlementState.PENDING
        and not row.is_over,
        is_receipt_sent=row.email_state == EmailState.SENT,
        is_receipt_refused=row.email_state == EmailState.FAILED,
        is_new=is_new,
        has_aftermath=row.has_aftermath or row.is_over,
        is_access_ended=row.entitlement_state == EntitlementState.ENDED,
        money=MoneyState(row.money_state),
    )


async def _insert_order(
    connection: AsyncConnection, order: WriteOrder, bought: Bought
) -> bool:
    """Insert the four rows that follow from a charge; each is kept if it is there.

    Returns whether the order was written now.
    """
    checkout_id, charge = order.checkout_id, order.charge
    order_id = derived_id(checkout_id, "order")
    written = await connection.execute(
        insert(orders)
        .values(
            order_id=order_id,
            checkout_id=checkout_id,
            payment_intent_id=charge.payment_intent_id,
            amount_minor=charge.price.amount_minor,
            currency=charge.price.currency,
            charged_at=charge.charged_at,
        )
        .on_conflict_do_nothing(constraint="uq_orders_checkout_id")
        .returning(orders.c.order_id)
    )
    is_new = written.scalar_one_or_none() is not None
    rows = (
        insert(subscriptions).values(
            subscription_id=derived_id(checkout_id, "subscription"),
            order_id=order_id,
            plan_id=bought.plan_id,
            starts_at=charge.charged_at,
            ends_at=add_months(charge.charged_at, bought.months),
        ),
        insert(entitlements).values(
            entitlement_id=derived_id(checkout_id, "entitlement"), order_id=order_id
        ),
        insert(emails).values(
            email_id=derived_id(checkout_id, RECEIPT),
            checkout_id=checkout_id,
            kind=RECEIPT,
        ),
    )
    for row in rows:
        await connection.execute(row.on_conflict_do_nothing())
    return is_new


async def read_grant(connection: AsyncConnection, entitlement_id: UUID) -> Grant:
    """Read what the company's application must be told, all of one moment.

    One statement, so that the number of the newest change is never ahead of the facts.

    Raises:
        sqlalchemy.exc.NoResultFound: There is no such entitlement.
    """
    found = await connection.execute(
        select(
            entitlements.c.entitlement_id,
            entitlements.c.state,
            checkouts.c.checkout_id,
            checkouts.c.reference_code,
            checkouts.c.email,
            subscriptions.c.plan_id,
            subscriptions.c.starts_at,
            subscriptions.c.ends_at,
            select(func.coalesce(func.max(purchase_changes.c.number), 0))
            .where(purchase_changes.c.checkout_id == checkouts.c.checkout_id)
            .correlate(checkouts)
            .scalar_subquery()
            .label("change"),
        )
        .join(orders, orders.c.order_id == entitlements.c.order_id)
        .join(subscriptions, subscriptions.c.order_id == orders.c.order_id)
        .join(checkouts, checkouts.c.checkout_id == orders.c.checkout_id)
        .where(entitlements.c.entitlement_id == entitlement_id)
    )
    row = found.one()
    return Grant(
        entitlement_id=row.entitlement_id,
        checkout_id=row.checkout_id,
        reference_code=row.reference_code,
        email=row.email,
        plan_id=row.plan_id,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        is_ended=row.state == EntitlementState.ENDED,
        change=row.change,
    )


async def record_access(
    connection: AsyncConnection,
    grant: GrantEntitlement,
    access_url: str | None,
    next_message_at: datetime | None,
) -> datetime | None:
    """Write that access is open, once: `pending -> active`.

    The checkout's row is taken first, as in `write_order`: a late try of that one
    would otherwise wait for us while we wait for it.

    Args:
        connection: In a transaction.
        grant: Whose access.
        access_url: Where the customer enters, as the application told it.
        next_message_at: When the customer hears next, if all stays well.

    Returns:
        When the money had moved, if access was opened by this call.
    """
    interrupted = case(
        (
            checkouts.c.interrupted_at.is_(None) & grant.was_interrupted,
            func.clock_timestamp(),
        ),
        else_=checkouts.c.interrupted_at,
    )
    moved = await connection.execute(
        update(checkouts)
        .where(
            checkouts.c.checkout_id == grant.checkout_id,
            checkouts.c.access_state == AccessState.PENDING,
        )
        .values(
            access_state=AccessState.ACTIVE,
            interrupted_at=interrupted,
            next_message_at=next_message_at,
            updated_at=func.now(),
        )
        .returning(checkouts.c.charged_at)
    )
    opened = await connection.execute(
        update(entitlements)
        .where(
            entitlements.c.entitlement_id == grant.entitlement_id,
            entitlements.c.state == EntitlementState.PENDING,
        )
        .values(
            state=EntitlementState.ACTIVE,
            access_url=access_url,
            granted_at=func.clock_timestamp(),
        )
        .returning(entitlements.c.entitlement_id)
    )
    charged_at = moved.scalar_one_or_none()
    return charged_at if opened.one_or_none() is not None else None
