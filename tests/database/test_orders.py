"""Orders: written once, whoever writes, and never against the processor's word."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from database.checkouts import CheckoutNotFound, read_checkout
from database.emails import read_owed_email, record_email
from database.orders import (
    ChargeDisagrees,
    mark_charged,
    read_grant,
    record_access,
    write_order,
)
from database.tables import (
    emails,
    entitlements,
    orders,
    payment_attempts,
    subscriptions,
)
from domain.messages import (
    Charge,
    EmailOutcome,
    GrantEntitlement,
    OrderWritten,
    RecordEmail,
    WriteOrder,
)
from domain.money import Money
from domain.plans import add_months
from domain.states import AccessState, EmailState, MoneyState, Stage
from tests.database.conftest import CHARGED_AT, OpenCheckout, charge

pytestmark = pytest.mark.postgres


async def _write(
    engine: AsyncEngine, checkout_id: UUID, proof: Charge | None = None
) -> OrderWritten:
    async with engine.begin() as connection:
        return await write_order(
            connection, WriteOrder(checkout_id=checkout_id, charge=proof or charge())
        )


async def _counts(engine: AsyncEngine) -> dict[str, int]:
    async with engine.connect() as connection:
        return {
            table.name: (
                await connection.execute(select(func.count()).select_from(table))
            ).scalar_one()
            for table in (orders, subscriptions, entitlements, emails)
        }


ONE_OF_EACH = {"orders": 1, "subscriptions": 1, "entitlements": 1, "emails": 1}
NONE_OF_ANY = dict.fromkeys(ONE_OF_EACH, 0)


@pytest.mark.parametrize("stage", [Stage.OPEN, Stage.REQUESTED, Stage.CHARGING])
async def test_an_order_is_written_from_every_stage(
    engine: AsyncEngine, open_checkout: OpenCheckout, stage: Stage
) -> None:
    """A charge that the processor shows is true, whatever our row said before."""
    checkout_id = await open_checkout(stage)
    await _write(engine, checkout_id)

    async with engine.connect() as connection:
        row = await read_checkout(connection, checkout_id)
    assert (row.stage, row.money_state) == (Stage.CHARGED, MoneyState.CHARGED)
    assert row.access_state is AccessState.PENDING
    assert (row.charged_at, row.card_last4) == (CHARGED_AT, "4242")
    assert row.access_until == add_months(CHARGED_AT, 12)
    assert await _counts(engine) == ONE_OF_EACH


async def test_a_second_write_finds_the_first(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A retry, a zombie and a repair all arrive at the row that is there."""
    checkout_id = await open_checkout(Stage.CHARGING)
    first = await _write(engine, checkout_id)
    second = await _write(engine, checkout_id)

    assert (first.is_new, second.is_new) == (True, False)
    assert replace(second, is_new=True) == first
    assert not second.is_granted
    assert not second.is_receipt_sent
    assert await _counts(engine) == ONE_OF_EACH


async def test_the_row_that_is_charged_is_not_read_again_for_its_plan(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A buyer waits for these statements; what the first one returns is not asked."""
    checkout_id = await open_checkout(Stage.CHARGING)
    asked: list[str] = []

    def note(*execution: Any) -> None:
        asked.append(" ".join(str(execution[2]).split()))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        await _write(engine, checkout_id)
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)

    reads = [statement for statement in asked if statement.startswith("SELECT")]
    # The one that brings together what was written.
    assert len(reads) == 1


async def test_sixteen_writers_at_once_write_one_order(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Whoever comes first writes; all learn the same ids."""
    checkout_id = await open_checkout(Stage.CHARGING)
    written = await asyncio.gather(*(_write(engine, checkout_id) for _ in range(16)))

    assert [one.is_new for one in written].count(True) == 1
    assert len({replace(one, is_new=True) for one in written}) == 1
    assert await _counts(engine) == ONE_OF_EACH
    async with engine.connect() as connection:
        attempt = (await connection.execute(select(payment_attempts))).one()
    assert attempt.outcome == "charged"


@pytest.mark.parametrize(
    "other",
    [
        charge("pi_other"),
        charge(price=Money(amount_minor=24901, currency="usd")),
        charge(price=Money(amount_minor=24900, currency="eur")),
    ],
)
async def test_a_charge_that_disagrees_writes_nothing(
    engine: AsyncEngine, open_checkout: OpenCheckout, other: Charge
) -> None:
    """A second charge or another amount is for a person to look at."""
    checkout_id = await open_checkout(Stage.CHARGING)
    await _write(engine, checkout_id)

    with pytest.raises(ChargeDisagrees, match=str(checkout_id)):
        await _write(engine, checkout_id, other)
    async with engine.connect() as connection:
        row = await read_checkout(connection, checkout_id)
    assert row.payment_intent_id == "pi_1"
    assert await _counts(engine) == ONE_OF_EACH


async def test_a_wrong_amount_is_no_charge_of_this_checkout(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The amount is compared before anything is written."""
    checkout_id = await open_checkout(Stage.CHARGING)
    cheap = charge(price=Money(amount_minor=1, currency="usd"))

    with pytest.raises(ChargeDisagrees):
        await _write(engine, checkout_id, cheap)
    assert await _counts(engine) == NONE_OF_ANY
    async with engine.connect() as connection:
        assert (await read_checkout(connection, checkout_id)).stage is Stage.CHARGING


async def test_an_unknown_checkout_gets_no_order(engine: AsyncEngine) -> None:
    """A charge of nobody's writes nothing."""
    with pytest.raises(CheckoutNotFound):
        await _write(engine, uuid4())
    assert await _counts(engine) == NONE_OF_ANY


async def test_a_proven_charge_alone_is_kept_without_an_order(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The page can say "we received it" before the order can be written."""
    checkout_id = await open_checkout(Stage.CHARGING)
    async with engine.begin() as connection:
        await mark_charged(connection, checkout_id, charge())
        await mark_charged(connection, checkout_id, charge())
        row = await read_checkout(connection, checkout_id)

    assert row.money_state is MoneyState.CHARGED
    assert row.order_id is None
    await _write(engine, checkout_id)
    assert await _counts(engine) == ONE_OF_EACH


async def test_one_payment_makes_one_order_of_one_checkout(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The same PaymentIntent cannot pay for two checkouts."""
    await _write(engine, await open_checkout(Stage.CHARGING))

    with pytest.raises(IntegrityError, match="uq_checkouts_payment_intent_id"):
        await _write(engine, await open_checkout(Stage.CHARGING))
    assert await _counts(engine) == ONE_OF_EACH


async def test_access_is_recorded_once(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The first answer of the application stands; a repeat changes nothing."""
    checkout_id = await open_checkout(Stage.CHARGED)
    proof = charge(f"pi_{checkout_id}")
    written = await _write(engine, checkout_id, proof)
    for url, was_interrupted in (
        ("https://app.test/1", True),
        ("https://b.test", False),
    ):
        async with engine.begin() as connection:
            await record_access(
                connection,
                GrantEntitlement(
                    checkout_id=checkout_id,
                    entitlement_id=written.entitlement_id,
                    was_interrupted=was_interrupted,
                ),
                url,
                None,
            )

    async with engine.connect() as connection:
        row = await read_checkout(connection, checkout_id)
    assert row.access_state is AccessState.ACTIVE
    assert row.access_url == "https://app.test/1"
    assert row.interrupted_at is not None
    assert (await _write(engine, checkout_id, proof)).is_granted


async def test_a_grant_tells_the_application_what_was_bought(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Plan, time and customer come from the rows, not from a request."""
    checkout_id = await open_checkout(Stage.CHARGING)
    written = await _write(engine, checkout_id)
    async with engine.connect() as connection:
        grant = await read_grant(connection, written.entitlement_id)

    assert (grant.checkout_id, grant.plan_id) == (checkout_id, "one-year")
    assert (grant.email, grant.starts_at) == ("mara@example.com", CHARGED_AT)
    assert grant.ends_at == add_months(CHARGED_AT, 12)


async def test_a_sent_receipt_stays_sent(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A late refusal of a second copy does not undo the first."""
    checkout_id = await open_checkout(Stage.CHARGING)
    written = await _write(engine, checkout_id)
    for outcome in (
        EmailOutcome(is_sent=True),
        EmailOutcome(is_sent=False, refusal="550 5.1.1"),
    ):
        async with engine.begin() as connection:
            await record_email(
                connection, RecordEmail(email_id=written.receipt_id, outcome=outcome)
            )

    async with engine.connect() as connection:
        owed = await read_owed_email(connection, written.receipt_id)
    assert (owed.kind, owed.state) == ("receipt", EmailState.SENT)
    assert owed.checkout.checkout_id == checkout_id
    assert (await _write(engine, checkout_id)).is_receipt_sent


async def test_a_refused_receipt_keeps_the_reason(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Support sees what the mail server said; a later success clears the failure."""
    written = await _write(engine, await open_checkout(Stage.CHARGING))
    async with engine.begin() as connection:
        refused = EmailOutcome(is_sent=False, refusal="550 5.1.1")
        await record_email(
            connection, RecordEmail(email_id=written.receipt_id, outcome=refused)
        )
        row = (await connection.execute(select(emails))).one()

    assert (row.state, row.refusal, row.sent_at) == ("failed", "550 5.1.1", None)


async def test_a_refused_receipt_is_final_for_every_later_run(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Who finds the order written hears that the receipt is not theirs to send."""
    checkout_id = await open_checkout(Stage.CHARGING)
    first = await _write(engine, checkout_id)
    async with engine.begin() as connection:
        refused = EmailOutcome(is_sent=False, refusal="550 5.1.1")
        await record_email(
            connection, RecordEmail(email_id=first.receipt_id, outcome=refused)
        )
    second = await _write(engine, checkout_id)

    assert (first.is_receipt_refused, second.is_receipt_refused) == (False, True)
    assert not second.is_receipt_sent
