"""A charge whose row is lost: the row is made anew from what the processor has."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from database.checkouts import (
    CheckoutNotFound,
    NewCheckout,
    claim_payment,
    find_by_token,
    insert_checkout,
    read_checkout,
    request_payment,
)
from database.orders import read_grant, write_order
from database.rebuilding import Rebuilding, read_record, rebuild_checkout
from database.sweeps import list_stale
from database.tables import audit, checkouts, payment_attempts
from domain.addresses import PageAddresses, token_digest
from domain.messages import Charge, WriteOrder
from domain.money import Money
from domain.on_record import CheckoutOnRecord
from domain.payments import ProcessorCharge
from domain.states import MoneyState, Stage
from tests.conftest import Database
from tests.database.conftest import CHARGED_AT, new_checkout

pytestmark = pytest.mark.postgres

ADDRESSES = PageAddresses("https://shop.example", ["k" * 40])


def ready_checkout() -> NewCheckout:
    """A checkout with the address that the shop would give it."""
    new = new_checkout()
    token = ADDRESSES.new_token(new.checkout_id)
    return replace(new, token_hash=token_digest(token.token), token_key_id=token.key_id)


async def recorded(engine: AsyncEngine, new: NewCheckout) -> CheckoutOnRecord:
    """Open a checkout, and read what the processor is told of it."""
    async with engine.begin() as connection:
        await insert_checkout(connection, new)
    async with engine.begin() as connection:
        return await read_record(connection, new.checkout_id, 2)


async def lose(database: Database, checkout_id: UUID) -> None:
    """Delete a row as only the owner can, or as an older backup does."""
    owner = create_async_engine(database.owner_url)
    async with owner.begin() as connection:
        await connection.execute(
            delete(checkouts).where(checkouts.c.checkout_id == checkout_id)
        )
        await connection.execute(delete(audit))
    await owner.dispose()


def charge_of(record: CheckoutOnRecord, intent_id: str = "pi_lost") -> ProcessorCharge:
    """The charge of a record, as the processor lists it."""
    return ProcessorCharge(
        charge_id="ch_lost",
        payment_intent_id=intent_id,
        amount=record.price,
        refunded_minor=0,
        is_disputed=False,
        charged_at=CHARGED_AT,
        checkout_id=record.checkout_id,
        on_record=record,
        card_brand="visa",
        card_last4="4242",
    )


async def rebuild(
    engine: AsyncEngine, record: CheckoutOnRecord, charge: ProcessorCharge
) -> Rebuilding:
    """Make the row anew, in a transaction of its own."""
    digest = ADDRESSES.digest(record.checkout_id, record.token_key_id)
    async with engine.begin() as connection:
        return await rebuild_checkout(connection, record, charge, digest)


@pytest.fixture
async def lost(engine: AsyncEngine, database: Database) -> CheckoutOnRecord:
    """What the processor has of a checkout whose row is gone."""
    record = await recorded(engine, ready_checkout())
    await lose(database, record.checkout_id)
    return record


async def test_record_says_the_same_at_every_repeat(
    engine: AsyncEngine, database: Database
) -> None:
    """Whatever happens to the row, and in any time zone: the same words."""
    new = ready_checkout()
    before = await recorded(engine, new)
    async with engine.begin() as connection:
        await request_payment(connection, new.checkout_id, "pm_card_visa")
        await claim_payment(connection, new.checkout_id)
    elsewhere = create_async_engine(
        database.app_url, connect_args={"options": "-c timezone=Asia/Tokyo"}
    )
    async with elsewhere.begin() as connection:
        after = await read_record(connection, new.checkout_id, 2)
    await elsewhere.dispose()

    assert after.to_metadata() == before.to_metadata()
    assert CheckoutOnRecord.from_metadata(after.to_metadata()) == before


async def test_nothing_is_told_of_a_checkout_that_is_not_there(
    engine: AsyncEngine,
) -> None:
    """No PaymentIntent is made for a row that nobody has."""
    async with engine.begin() as connection:
        with pytest.raises(CheckoutNotFound):
            await read_record(connection, uuid4(), 1)


async def test_rebuilt_row_is_the_row_that_was_lost(
    engine: AsyncEngine, database: Database
) -> None:
    """Buyer, plan, price, reference, date and address are the old ones."""
    new = ready_checkout()
    record = await recorded(engine, new)
    told = (
        "reference_code, token_hash, token_key_id, email, plan_id, plan_name,"
        " plan_months, amount_minor, currency, created_at"
    )
    query = text(f"SELECT {told} FROM checkouts")  # noqa: S608  # Constants.
    async with engine.connect() as connection:
        was = (await connection.execute(query)).one()
    await lose(database, new.checkout_id)

    assert await rebuild(engine, record, charge_of(record)) is Rebuilding.REBUILT

    async with engine.connect() as connection:
        assert (await connection.execute(query)).one() == was
        found = await find_by_token(connection, new.token_hash)
    assert found is not None
    assert found.checkout_id == new.checkout_id


async def test_rebuilt_row_never_says_that_nothing_was_charged(
    engine: AsyncEngine, lost: CheckoutOnRecord
) -> None:
    """Until the repair has looked, the page neither denies the charge nor sells."""
    await rebuild(engine, lost, charge_of(lost))

    async with engine.begin() as connection:
        row = await read_checkout(connection, lost.checkout_id)
        press = await request_payment(connection, lost.checkout_id, "pm_card_visa")
    assert (row.stage, row.money_state) == (Stage.CHARGING, MoneyState.UNKNOWN)
    assert row.next_message_at is not None
    assert press.is_new is False


async def test_repair_of_a_rebuilt_row_delivers(
    engine: AsyncEngine, lost: CheckoutOnRecord
) -> None:
    """The claim names the PaymentIntent to look at; its charge makes the order."""
    await rebuild(engine, lost, charge_of(lost))

    async with engine.begin() as connection:
        claim = await claim_payment(connection, lost.checkout_id)
    assert claim.stage is Stage.CHARGING
    assert claim.payment_intent_id == "pi_lost"
    assert claim.is_prepared
    assert claim.buyer_attempt == lost.buyer_attempt
    assert claim.token_key_id == lost.token_key_id
    assert claim.charge is None

    proof = Charge(
        payment_intent_id="pi_lost",
        price=lost.price,
        charged_at=CHARGED_AT,
        card_brand="visa",
        card_last4="4242",
    )
    async with engine.begin() as connection:
        order = await write_order(
            connection, WriteOrder(checkout_id=lost.checkout_id, charge=proof)
        )
        grant = await read_grant(connection, order.entitlement_id)
        attempts = await connection.execute(select(payment_attempts))
    assert order.is_new
    assert (grant.email, grant.plan_id) == (lost.email, lost.plan_id)
    assert [attempt.outcome for attempt in attempts] == ["charged"]


async def test_rebuilt_row_is_taken_up_even_if_nobody_asks_for_a_repair(
    engine: AsyncEngine, lost: CheckoutOnRecord
) -> None:
    """A crash between the rebuilding and the repair leaves a row the sweep finds."""
    await rebuild(engine, lost, charge_of(lost))

    async with engine.connect() as connection:
        stale = await list_stale(connection, timedelta(), 10)
    assert [row.checkout_id for row in stale] == [lost.checkout_id]


async def test_rebuilding_leaves_a_line_in_the_audit(
    engine: AsyncEngine, lost: CheckoutOnRecord
) -> None:
    """Who made the row anew, and from which charge, can be read for ever."""
    await rebuild(engine, lost, charge_of(lost))

    async with engine.connect() as connection:
        lines = (
            await connection.execute(
                select(audit)
                .where(audit.c.checkout_id == lost.checkout_id)
                .order_by(audit.c.audit_id)
            )
        ).all()
    assert [(line.actor, line.action) for line in lines] == [
        ("tests", "checkout.opened"),
        ("reconciliation", "checkout.rebuilt"),
    ]
    assert lines[1].after == {"charge": "ch_lost", "payment_intent": "pi_lost"}


async def test_two_rebuildings_at_once_make_one_row(
    engine: AsyncEngine, lost: CheckoutOnRecord
) -> None:
    """A manual run beside the scheduled one changes nothing more."""
    outcomes = await asyncio.gather(
        *(rebuild(engine, lost, charge_of(lost)) for _ in range(8))
    )

    assert outcomes.count(Rebuilding.REBUILT) == 1
    assert outcomes.count(Rebuilding.ALREADY_THERE) == 7
    async with engine.connect() as connection:
        attempts = await connection.execute(select(payment_attempts))
        assert len(attempts.all()) == 1


async def test_row_that_is_there_is_left_alone(engine: AsyncEngine) -> None:
    """A checkout in any stage is not touched, whatever the record says of it."""
    record = await recorded(engine, ready_checkout())
    async with engine.connect() as connection:
        before = (await connection.execute(select(checkouts))).one()

    outcome = await rebuild(engine, record, charge_of(record))

    assert outcome is Rebuilding.ALREADY_THERE
    async with engine.connect() as connection:
        assert (await connection.execute(select(checkouts))).one() == before


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"amount": Money(amount_minor=100, currency="usd")}, "price_differs"),
        ({"amount": Money(amount_minor=24900, currency="eur")}, "price_differs"),
        ({"checkout_id": UUID(int=7)}, "not_its_charge"),
        ({"checkout_id": None}, "not_its_charge"),
        ({"payment_intent_id": None}, "not_its_charge"),
    ],
)
async def test_charge_that_does_not_fit_makes_no_row(
    engine: AsyncEngine,
    lost: CheckoutOnRecord,
    changes: dict[str, Any],
    outcome: str,
) -> None:
    """Another amount or another checkout is for a person, and nothing is written."""
    charge = replace(charge_of(lost), **changes)

    assert await rebuild(engine, lost, charge) == outcome

    async with engine.connect() as connection:
        assert (await connection.execute(select(checkouts))).all() == []


async def test_value_that_another_checkout_has_is_named(
    engine: AsyncEngine, lost: CheckoutOnRecord
) -> None:
    """A reference code, an address or a PaymentIntent that was given again since."""
    other = replace(ready_checkout(), reference_code=lost.reference_code)
    async with engine.begin() as connection:
        await insert_checkout(connection, other)
    assert await rebuild(engine, lost, charge_of(lost)) is Rebuilding.REFERENCE_TAKEN
    own = replace(lost, reference_code="ORD-9999-9999")

    async with engine.begin() as connection:
        taken = await rebuild_checkout(
            connection, own, charge_of(own), other.token_hash
        )
    assert taken is Rebuilding.ADDRESS_TAKEN

    second = replace(lost, checkout_id=uuid4(), reference_code="ORD-8888-8888")
    assert await rebuild(engine, second, charge_of(second)) is Rebuilding.REBUILT
    assert await rebuild(engine, own, charge_of(own)) is Rebuilding.PAYMENT_TAKEN
