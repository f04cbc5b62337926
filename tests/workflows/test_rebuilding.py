"""A row made anew from its charge: the repair then does all that is missing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from database.checkouts import read_checkout
from database.rebuilding import Rebuilding, rebuild_checkout
from database.reconciliation import let_mail_go
from domain.addresses import PageAddresses
from domain.emails import EmailKind
from domain.identifiers import workflow_id_of
from domain.messages import CheckoutEnd, CheckoutInput, RepairRequest
from domain.payments import PaymentIntent, PaymentIntentStatus, ProcessorCharge
from domain.states import AccessState, MoneyState
from tests.conftest import Database
from tests.database.conftest import CHARGED_AT, PRICE
from tests.specimens.records import on_record
from tests.workflows.conftest import register_attributes, start_skipping
from tests.workflows.refund_world import RefundWorld
from workflows.checkout import CheckoutWorkflow

pytestmark = [pytest.mark.temporal, pytest.mark.postgres]

_ADDRESSES = PageAddresses("https://shop.test", ["k" * 40])


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server of this test's own: its clock must not run ahead of the database's."""
    async with await start_skipping() as environment:
        await register_attributes(environment)
        yield environment


@pytest.fixture
async def world(engine: AsyncEngine, skipping: WorkflowEnvironment) -> RefundWorld:
    """A charge at the bank, and its row as it was made anew."""
    checkout_id = uuid4()
    world = RefundWorld(
        engine=engine, checkout_id=checkout_id, clock=skipping.get_current_time
    )
    world.bank.intents[world.intent_id] = PaymentIntent(
        payment_intent_id=world.intent_id,
        status=PaymentIntentStatus.SUCCEEDED,
        price=PRICE,
        checkout_id=checkout_id,
        charged_at=CHARGED_AT,
        card_brand="visa",
        card_last4="4242",
    )
    record = on_record(checkout_id)
    charge = ProcessorCharge(
        charge_id="ch_lost",
        payment_intent_id=world.intent_id,
        amount=PRICE,
        refunded_minor=0,
        is_disputed=False,
        charged_at=CHARGED_AT,
        checkout_id=checkout_id,
        on_record=record,
    )
    digest = _ADDRESSES.digest(checkout_id, _ADDRESSES.new_token(checkout_id).key_id)
    async with engine.begin() as connection:
        made = await rebuild_checkout(connection, record, charge, digest)
        # What a run decides when few were made anew: their customers are written to.
        await let_mail_go(connection)
    assert made is Rebuilding.REBUILT
    return world


@pytest.mark.parametrize("is_repaired", [True, False], ids=["repair", "sweep"])
async def test_rebuilt_checkout_is_delivered(
    skipping: WorkflowEnvironment,
    database: Database,
    world: RefundWorld,
    is_repaired: bool,
) -> None:
    """Order, access and receipt follow, also when only the sweep starts the run."""
    repair = RepairRequest(repair_id=uuid4(), actor="reconciliation", reason="no row")
    async with Worker(
        skipping.client,
        task_queue="rebuilding",
        workflows=[CheckoutWorkflow],
        activities=world.activities,
        graceful_shutdown_timeout=timedelta(seconds=1),
    ):
        handle = await skipping.client.start_workflow(
            CheckoutWorkflow.run,
            CheckoutInput(
                checkout_id=world.checkout_id, reference_code="ORD-7K2M-9QXD"
            ),
            id=workflow_id_of(world.checkout_id),
            task_queue="rebuilding",
            start_signal="request_repair" if is_repaired else "look_again",
            start_signal_args=[repair] if is_repaired else [],
        )
        result = await handle.result()

    assert result.end is CheckoutEnd.DELIVERED
    async with world.engine.begin() as connection:
        row = await read_checkout(connection, world.checkout_id)
    assert (row.money_state, row.access_state) == (
        MoneyState.CHARGED,
        AccessState.ACTIVE,
    )
    assert row.order_id == result.order_id
    assert row.charged_at == CHARGED_AT
    # Who waited since Monday is asked later whether they got in.
    assert [kind for kind in world.mails if kind is not EmailKind.GOT_IN] == [
        EmailKind.RECEIPT
    ]
    with database.connect_as_owner() as connection:
        outcomes = connection.execute("SELECT outcome FROM repairs").fetchall()
    assert len(outcomes) == int(is_repaired)
    assert all("confirmed the charge" in str(outcome) for (outcome,) in outcomes)
