"""What the processor is told of a checkout, and the row made anew from it.

A charge whose checkout has no row here was paid for all the same: the database came
back from an older backup, or somebody deleted what must not be deleted.
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy import insert as insert_only
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.checkouts import CheckoutNotFound
from database.tables import audit, checkouts, payment_attempts
from domain.cadence import CHECKING_AFTER
from domain.money import Money
from domain.on_record import CheckoutOnRecord
from domain.payments import ProcessorCharge
from domain.states import MoneyState, Stage

#: Who makes rows anew, in the audit.
ACTOR = "reconciliation"

#: Stands where the means of payment was, which the processor does not give back. It is
#: none: should the PaymentIntent ask to be confirmed after all, this cannot pay.
UNKNOWN_METHOD = "unknown"


class Rebuilding(StrEnum):
    """What a try to make a row anew came to. All but `rebuilt` wrote nothing."""

    #: The row is there, and a repair can begin.
    REBUILT = "rebuilt"
    #: The checkout has a row: a repair is enough.
    ALREADY_THERE = "already_there"
    #: The charge and the record do not name the same checkout.
    NOT_ITS_CHARGE = "not_its_charge"
    #: The charge is not what the buyer agreed to pay. Only a person can decide.
    PRICE_DIFFERS = "price_differs"
    #: Another checkout has this reference code, made after the row was lost.
    REFERENCE_TAKEN = "reference_taken"
    #: Another checkout has this address.
    ADDRESS_TAKEN = "address_taken"
    #: Another checkout uses this PaymentIntent.
    PAYMENT_TAKEN = "payment_taken"


async def read_record(
    connection: AsyncConnection, checkout_id: UUID, buyer_attempt: int
) -> CheckoutOnRecord:
    """Read what the processor is told with an attempt of the buyer.

    Only columns that never change are read: the processor refuses a repeated request
    that says anything else than the first.

    Raises:
        CheckoutNotFound: There is no such checkout.
    """
    found = await connection.execute(
        select(
            checkouts.c.reference_code,
            checkouts.c.plan_id,
            checkouts.c.plan_name,
            checkouts.c.plan_months,
            checkouts.c.amount_minor,
            checkouts.c.currency,
            checkouts.c.token_key_id,
            checkouts.c.email,
            checkouts.c.created_at,
        ).where(checkouts.c.checkout_id == checkout_id)
    )
    row = found.one_or_none()
    if row is None:
        raise CheckoutNotFound(str(checkout_id))
    return CheckoutOnRecord(
        checkout_id=checkout_id,
        reference_code=row.reference_code,
        buyer_attempt=buyer_attempt,
        plan_id=row.plan_id,
        plan_name=row.plan_name,
        plan_months=row.plan_months,
        price=Money(amount_minor=row.amount_minor, currency=row.currency),
        token_key_id=row.token_key_id,
        email=row.email,
        created_at=row.created_at,
    )


async def rebuild_checkout(
    connection: AsyncConnection,
    record: CheckoutOnRecord,
    charge: ProcessorCharge,
    token_hash: bytes,
) -> Rebuilding:
    """Make the row of a charge whose checkout is not here.

    The row says that the outcome is unknown, with the PaymentIntent as the one in use:
    true until the checkout's workflow has asked the processor and written the order,
    and no page can offer to pay meanwhile. Should nobody start the workflow, the sweep
    does, as for every charge of unknown outcome that does not move.

    Two at once make one row: the second waits for the first and finds it.

    Args:
        connection: In a transaction.
        record: What the processor has on record.
        charge: The charge, as the processor shows it.
        token_hash: Of the address that the buyer was given; `PageAddresses.digest`.
    """
    intent_id = charge.payment_intent_id
    if intent_id is None or charge.checkout_id != record.checkout_id:
        return Rebuilding.NOT_ITS_CHARGE
    if charge.amount != record.price:
        return Rebuilding.PRICE_DIFFERS
    if not await _insert_checkout(connection, record, intent_id, token_hash):
        return await _in_the_way(connection, record, intent_id, token_hash)
    await connection.execute(
        insert_only(payment_attempts).values(
            checkout_id=record.checkout_id,
            buyer_attempt=record.buyer_attempt,
            payment_method=UNKNOWN_METHOD,
            payment_intent_id=intent_id,
            requested_at=charge.charged_at,
            claimed_at=func.clock_timestamp(),
        )
    )
    await connection.execute(
        insert_only(audit).values(
            actor=ACTOR,
            action="checkout.rebuilt",
            checkout_id=record.checkout_id,
            after={"charge": charge.charge_id, "payment_intent": intent_id},
        )
    )
    return Rebuilding.REBUILT


async def _insert_checkout(
    connection: AsyncConnection,
    record: CheckoutOnRecord,
    payment_intent_id: str,
    token_hash: bytes,
) -> bool:
    """Insert the row unless anything of it is taken; False when nothing was written."""
    written = await connection.execute(
        insert(checkouts)
        .values(
            checkout_id=record.checkout_id,
            reference_code=record.reference_code,
            token_hash=token_hash,
            token_key_id=record.token_key_id,
            email=record.email,
            plan_id=record.plan_id,
            plan_name=record.plan_name,
            plan_months=record.plan_months,
            amount_minor=record.price.amount_minor,
            currency=record.price.currency,
            stage=Stage.CHARGING,
            money_state=MoneyState.UNKNOWN,
            buyer_attempt=record.buyer_attempt,
            payment_intent_id=payment_intent_id,
            pay_requested_at=func.clock_timestamp(),
            next_message_at=func.clock_timestamp() + CHECKING_AFTER,
            # The buyer waited, and may have seen a page that did not know them.
            interrupted_at=func.clock_timestamp(),
            # The run decides whether it is one of many: until then nothing is mailed.
            mail_held_at=func.clock_timestamp(),
            created_at=record.created_at,
        )
        .on_conflict_do_nothing()
        .returning(checkouts.c.checkout_id)
    )
    return written.one_or_none() is not None


async def _in_the_way(
    connection: AsyncConnection,
    record: CheckoutOnRecord,
    payment_intent_id: str,
    token_hash: bytes,
) -> Rebuilding:
    """Say which of the row's unique values was taken; its own id goes before others."""
    found = await connection.execute(
        select(
            func.bool_or(checkouts.c.checkout_id == record.checkout_id).label("own"),
            func.bool_or(checkouts.c.payment_intent_id == payment_intent_id).label(
                "payment"
            ),
            func.bool_or(checkouts.c.token_hash == token_hash).label("address"),
        ).where(
            or_(
                checkouts.c.checkout_id == record.checkout_id,
                checkouts.c.payment_intent_id == payment_intent_id,
                checkouts.c.token_hash == token_hash,
                checkouts.c.reference_code == record.reference_code,
            )
        )
    )
    row = found.one()
    if row.own:
        return Rebuilding.ALREADY_THERE
    if row.payment:
        return Rebuilding.PAYMENT_TAKEN
    return Rebuilding.ADDRESS_TAKEN if row.address else Rebuilding.REFERENCE_TAKEN
