"""A page of the processor's books against our rows: every kind of difference."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from database.aftermath import suspect_second_charge
from database.comparing import (
    Compared,
    compare_charges,
    compare_disputes,
    compare_refunds,
    list_unseen_orders,
)
from database.orders import write_order
from database.tables import (
    checkouts,
    discrepancies,
    disputes,
    refunds,
    second_charges,
)
from domain.messages import WriteOrder
from domain.money import Money
from domain.payments import ProcessorCharge
from domain.reconciliation import DiscrepancyKind, Span
from domain.refunds import Dispute, Refund, RefundStatus
from domain.states import RefundPurpose, RefundState, SecondChargeState, Stage
from tests.database.conftest import CHARGED_AT, PRICE, OpenCheckout, charge

pytestmark = pytest.mark.postgres


def shown(
    intent: str | None,
    checkout_id: UUID | None,
    *,
    amount: Money = PRICE,
    refunded_minor: int = 0,
    is_disputed: bool = False,
    charged_at: datetime = CHARGED_AT,
) -> ProcessorCharge:
    """A charge as the processor lists it."""
    return ProcessorCharge(
        charge_id=f"ch_{intent or uuid4().hex}",
        payment_intent_id=intent,
        amount=amount,
        refunded_minor=refunded_minor,
        is_disputed=is_disputed,
        charged_at=charged_at,
        checkout_id=checkout_id,
    )


async def compare(engine: AsyncEngine, *page: ProcessorCharge) -> Compared:
    """Compare one page in a transaction of its own."""
    async with engine.begin() as connection:
        return await compare_charges(connection, page)


def kinds(compared: Compared) -> list[tuple[DiscrepancyKind, UUID | None]]:
    """Return what was found, and about which checkout."""
    return [(one.kind, one.checkout_id) for one in compared.differences]


async def add_refund(
    engine: AsyncEngine,
    checkout_id: UUID,
    intent: str,
    state: RefundState,
    amount_minor: int = 24900,
) -> str:
    """Write a refund row past the workflow; returns the processor's id."""
    processor_refund_id = f"re_{uuid4().hex}"
    is_accepted = state in {RefundState.PENDING, RefundState.SUCCEEDED}
    async with engine.begin() as connection:
        await connection.execute(
            insert(refunds).values(
                refund_id=uuid4(),
                checkout_id=checkout_id,
                payment_intent_id=intent,
                amount_minor=amount_minor,
                currency="usd",
                captured_minor=24900,
                purpose=RefundPurpose.ASKED,
                actor="dana",
                reason="asked",
                ends_access=True,
                state=state,
                not_before=CHARGED_AT,
                processor_refund_id=processor_refund_id if is_accepted else None,
                accepted_at=CHARGED_AT if is_accepted else None,
                next_look_at=CHARGED_AT,
                finished_at=CHARGED_AT if state is RefundState.SUCCEEDED else None,
            )
        )
    return processor_refund_id


async def test_charge_that_has_its_order_is_no_difference(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """What agrees is counted and not reported, with metadata and without."""
    first = await open_checkout(Stage.CHARGED)
    second = await open_checkout(Stage.CHARGED)

    compared = await compare(
        engine, shown(f"pi_{first}", first), shown(f"pi_{second}", None)
    )

    assert compared.differences == ()
    assert compared.tally.compared == compared.tally.charges == 2


@pytest.mark.parametrize("stage", [Stage.OPEN, Stage.REQUESTED, Stage.CHARGING])
async def test_charge_of_a_checkout_in_any_stage_has_no_order(
    engine: AsyncEngine, open_checkout: OpenCheckout, stage: Stage
) -> None:
    """A charge is found whatever our row says of the checkout."""
    checkout_id = await open_checkout(stage)

    compared = await compare(engine, shown("pi_lost", checkout_id))

    assert kinds(compared) == [(DiscrepancyKind.CHARGE_WITHOUT_ORDER, checkout_id)]
    assert compared.differences[0].payment_intent_id == "pi_lost"
    assert compared.differences[0].amount == PRICE


async def test_charge_without_metadata_is_known_by_its_payment(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Metadata that somebody deleted does not hide whose charge it is."""
    checkout_id = await open_checkout(Stage.CHARGING)
    async with engine.begin() as connection:
        await connection.execute(
            update(checkouts)
            .where(checkouts.c.checkout_id == checkout_id)
            .values(payment_intent_id="pi_known")
        )

    compared = await compare(engine, shown("pi_known", None))

    assert kinds(compared) == [(DiscrepancyKind.CHARGE_WITHOUT_ORDER, checkout_id)]


async def test_charge_of_a_lost_checkout_and_of_nobody(engine: AsyncEngine) -> None:
    """A name that we do not have is a lost row; no name at all is somebody's money."""
    lost = uuid4()

    compared = await compare(
        engine, shown("pi_a", lost), shown("pi_b", None), shown(None, None)
    )

    assert kinds(compared) == [
        (DiscrepancyKind.CHARGE_WITHOUT_CHECKOUT, lost),
        (DiscrepancyKind.FOREIGN_CHARGE, None),
        (DiscrepancyKind.FOREIGN_CHARGE, None),
    ]
    # A charge without a PaymentIntent is named by its own id.
    assert str(compared.differences[2].payment_intent_id).startswith("ch_")


@pytest.mark.parametrize(
    "amount",
    [
        Money(amount_minor=24901, currency="usd"),
        Money(amount_minor=24900, currency="eur"),
    ],
)
@pytest.mark.parametrize("stage", [Stage.CHARGING, Stage.CHARGED])
async def test_another_amount_is_a_mismatch(
    engine: AsyncEngine, open_checkout: OpenCheckout, amount: Money, stage: Stage
) -> None:
    """One cent, or another currency, is never delivered as if it were the price."""
    checkout_id = await open_checkout(stage)
    intent = f"pi_{checkout_id}" if stage is Stage.CHARGED else "pi_new"

    compared = await compare(engine, shown(intent, checkout_id, amount=amount))

    assert kinds(compared) == [(DiscrepancyKind.AMOUNT_MISMATCH, checkout_id)]


async def test_second_charge_is_found_once(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A second charge is a difference until we have written it down."""
    checkout_id = await open_checkout(Stage.CHARGED)
    page = shown("pi_second", checkout_id)

    before = await compare(engine, page)
    async with engine.begin() as connection:
        await suspect_second_charge(connection, checkout_id, "pi_second")
    after = await compare(engine, page)

    assert kinds(before) == [(DiscrepancyKind.DUPLICATE_CHARGE, checkout_id)]
    assert after.differences == ()


async def test_refund_of_a_refuted_second_charge_is_a_persons_doing(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Whoever has its case gives it back at the processor: no repair can note that."""
    checkout_id = await open_checkout(Stage.CHARGED)
    async with engine.begin() as connection:
        await suspect_second_charge(connection, checkout_id, "pi_second")
        await connection.execute(
            update(second_charges).values(state=SecondChargeState.REFUTED)
        )
    refund = Refund(
        processor_refund_id="re_by_hand",
        payment_intent_id="pi_second",
        amount=PRICE,
        status=RefundStatus.SUCCEEDED,
        created_at=CHARGED_AT,
    )

    charges = await compare(
        engine, shown("pi_second", checkout_id, refunded_minor=24900)
    )
    async with engine.begin() as connection:
        listed = await compare_refunds(connection, [refund])

    assert charges.differences == ()
    assert listed.differences == ()


@pytest.mark.parametrize(
    ("state", "shown_minor", "is_found"),
    [
        (None, 0, False),
        (None, 24900, True),
        (None, 100, True),
        (RefundState.SUCCEEDED, 24900, False),
        (RefundState.PENDING, 24900, False),
        (RefundState.SUCCEEDED, 0, True),
        # It may have arrived already, or not yet.
        (RefundState.SUBMITTING, 24900, False),
        (RefundState.SUBMITTING, 0, False),
        # Asked for and not sent: nothing can be there.
        (RefundState.REQUESTED, 24900, True),
    ],
)
async def test_refunded_sum_is_compared(
    engine: AsyncEngine,
    open_checkout: OpenCheckout,
    state: RefundState | None,
    shown_minor: int,
    is_found: bool,
) -> None:
    """What went back at the processor went back in our rows, or it is a difference."""
    checkout_id = await open_checkout(Stage.CHARGED)
    intent = f"pi_{checkout_id}"
    if state is not None:
        await add_refund(engine, checkout_id, intent, state)

    compared = await compare(
        engine, shown(intent, checkout_id, refunded_minor=shown_minor)
    )

    found = [(DiscrepancyKind.REFUND_NOT_RECORDED, checkout_id)] if is_found else []
    assert kinds(compared) == found


async def test_dispute_on_a_charge_is_compared(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A disputed charge without a dispute of ours is a difference."""
    checkout_id = await open_checkout(Stage.CHARGED)
    page = shown(f"pi_{checkout_id}", checkout_id, is_disputed=True)

    before = await compare(engine, page)
    async with engine.begin() as connection:
        await connection.execute(
            insert(disputes).values(
                dispute_id="dp_1",
                checkout_id=checkout_id,
                payment_intent_id=f"pi_{checkout_id}",
                amount_minor=24900,
                currency="usd",
                reason="fraudulent",
                status="needs_response",
                opened_at=CHARGED_AT,
            )
        )
    after = await compare(engine, page)

    assert kinds(before) == [(DiscrepancyKind.DISPUTE_OPENED, checkout_id)]
    assert after.differences == ()


async def test_listed_refunds_are_compared_by_state(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A refund that we lack, or that ended otherwise, is found; others' are left."""
    known, lacking = (
        await open_checkout(Stage.CHARGED),
        await open_checkout(Stage.CHARGED),
    )
    refund_id = await add_refund(engine, known, f"pi_{known}", RefundState.PENDING)

    def listed(refund_id: str, intent: str, status: RefundStatus) -> Refund:
        return Refund(
            processor_refund_id=refund_id,
            payment_intent_id=intent,
            amount=PRICE,
            status=status,
            created_at=CHARGED_AT,
        )

    async with engine.begin() as connection:
        compared = await compare_refunds(
            connection,
            [
                listed(refund_id, f"pi_{known}", RefundStatus.PENDING),
                listed("re_past_us", f"pi_{lacking}", RefundStatus.SUCCEEDED),
                listed("re_others", "pi_of_somebody", RefundStatus.SUCCEEDED),
            ],
        )
        ended = await compare_refunds(
            connection, [listed(refund_id, f"pi_{known}", RefundStatus.FAILED)]
        )

    assert kinds(compared) == [(DiscrepancyKind.REFUND_NOT_RECORDED, lacking)]
    assert compared.tally.compared == 3
    assert kinds(ended) == [(DiscrepancyKind.REFUND_NOT_RECORDED, known)]
    # Its end is another difference than its beginning.
    assert ended.differences[0].subject == f"{refund_id}:failed"


async def test_listed_disputes_are_compared_by_status(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A dispute that we lack is found; one of a payment that is none of ours is not."""
    checkout_id = await open_checkout(Stage.CHARGED)

    def listed(dispute_id: str, intent: str) -> Dispute:
        return Dispute(
            dispute_id=dispute_id,
            payment_intent_id=intent,
            amount=PRICE,
            reason="fraudulent",
            status="needs_response",
            opened_at=CHARGED_AT,
            due_by=None,
        )

    async with engine.begin() as connection:
        compared = await compare_disputes(
            connection,
            [listed("dp_1", f"pi_{checkout_id}"), listed("dp_2", "pi_of_somebody")],
        )

    assert kinds(compared) == [(DiscrepancyKind.DISPUTE_OPENED, checkout_id)]


async def test_orders_that_a_page_did_not_show_are_listed(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The other direction: which orders of a span have no charge on the page."""
    seen, unseen, later = [await open_checkout(Stage.CHARGING) for _ in range(3)]
    second = timedelta(seconds=1)
    for checkout_id, at in (
        (seen, CHARGED_AT),
        (unseen, CHARGED_AT + second),
        (later, CHARGED_AT + 2 * second),
    ):
        proof = replace(charge(f"pi_{checkout_id}"), charged_at=at)
        async with engine.begin() as connection:
            await write_order(
                connection, WriteOrder(checkout_id=checkout_id, charge=proof)
            )

    span = Span(begin=CHARGED_AT, before=CHARGED_AT + 2 * second)
    async with engine.begin() as connection:
        orders = await list_unseen_orders(connection, span, [f"pi_{seen}"])

    assert [order.checkout_id for order in orders] == [unseen]
    assert orders[0].charged_at == CHARGED_AT + second
    assert orders[0].price == PRICE


async def test_orders_that_a_person_has_already_are_asked_about_last(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Of a list that leaves everything out, each run takes up some, and new ones."""
    known, unknown = [await open_checkout(Stage.CHARGED) for _ in range(2)]
    span = Span(begin=CHARGED_AT, before=CHARGED_AT + timedelta(seconds=1))
    async with engine.begin() as connection:
        await connection.execute(
            insert(discrepancies).values(
                discrepancy_id=uuid4(),
                kind=DiscrepancyKind.ORDER_WITHOUT_CHARGE,
                subject=f"pi_{known}",
                checkout_id=known,
                detail="none",
                state="with_person",
                run_id=uuid4(),
            )
        )
        first = await list_unseen_orders(connection, span, [], most=1)
        both = await list_unseen_orders(connection, span, [])

    assert [order.checkout_id for order in first] == [unknown]
    assert [order.checkout_id for order in both] == [unknown, known]
