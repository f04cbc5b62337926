"""News of money that goes back: webhooks, and the knocks that got lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from api.starter import Starter
from database.refunds import request_refund
from domain.money import Money
from domain.refunds import RefundRequest
from tests.api.doubles import Opened, Shop
from tests.api.test_webhooks import deliver, event, later

pytestmark = pytest.mark.postgres


async def charged(shop: Shop) -> Opened:
    """A checkout that was paid for and delivered."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging'")
    shop.charge(opened)
    return opened


async def asked(shop: Shop, opened: Opened, age: timedelta) -> RefundRequest:
    """Write a request, and make it older."""
    request = RefundRequest(
        refund_id=uuid4(),
        amount=Money(amount_minor=100, currency="usd"),
        actor="dana",
        reason="the customer asked",
    )
    async with shop.parts.engine.begin() as connection:
        await request_refund(connection, opened.checkout_id, request)
    shop.sql("UPDATE refunds SET requested_at = now() - %s", age)
    return request


@pytest.mark.parametrize(
    "kind", ["charge.refunded", "refund.failed", "charge.dispute.created"]
)
async def test_news_of_the_aftermath_is_passed_on(shop: Shop, kind: str) -> None:
    """A refund or dispute made past us is looked at, two seconds after it came."""
    opened = await charged(shop)

    await deliver(shop, event(opened, kind=kind))
    await shop.settle()
    at_once = list(shop.door.hinted)
    await later(shop)

    assert at_once == []
    assert shop.door.hinted == [opened.checkout_id]


async def test_news_of_the_aftermath_starts_an_ended_run(shop: Shop) -> None:
    """Most refunds come long after the run has ended: a repair looks afresh."""
    opened = await charged(shop)
    shop.door.is_listening = False

    await deliver(shop, event(opened, kind="charge.dispute.created"))
    await later(shop)

    ((_, repair),) = shop.door.repairs
    assert repair.actor == "webhook"


async def test_a_second_charge_is_noted_and_has_to_be_proven(shop: Shop) -> None:
    """A webhook returns no money: it has the workflow ask the processor."""
    opened = await charged(shop)

    for number in range(2):
        await deliver(shop, event(opened, payment="pi_2", event_id=f"evt_{number}"))
    await shop.settle()

    assert shop.sql("SELECT payment_intent_id, state FROM second_charges") == [
        ("pi_2", "suspected")
    ]
    assert shop.sql("SELECT * FROM refunds") == []
    assert {c.checkout_id for c, _ in shop.door.repairs} == {opened.checkout_id}


async def test_a_lost_knock_is_given_again(shop: Shop) -> None:
    """A request whose process died before it told the workflow is told anyway, once."""
    opened = await charged(shop)
    request = await asked(shop, opened, timedelta(seconds=4))

    for _ in range(2):
        await Starter(shop.parts).round()

    ((checkout, told),) = shop.door.refunds
    assert checkout.checkout_id == opened.checkout_id
    # A workflow's history cannot be erased: what a person typed stays in the row.
    assert told == replace(request, reason="its row says why")
    assert shop.sql("SELECT reason FROM refunds") == [(request.reason,)]


async def test_a_knock_at_a_closed_door_waits(shop: Shop) -> None:
    """While Temporal is down the request waits, and is told when it is back."""
    opened = await charged(shop)
    await asked(shop, opened, timedelta(seconds=4))
    shop.door.is_closed = True
    await Starter(shop.parts).round()
    shop.door.is_closed = False

    await Starter(shop.parts).round()

    assert len(shop.door.refunds) == 1


async def test_a_refund_whose_run_is_gone_is_told_again(shop: Shop) -> None:
    """What is long due and does not move may have lost its workflow."""
    opened = await charged(shop)
    await asked(shop, opened, timedelta(hours=1))
    shop.sql(
        "UPDATE refunds SET knocked_at = now() - interval '11 min',"
        " not_before = now() - interval '1 min'"
    )

    for _ in range(2):
        await Starter(shop.parts).round()

    assert len(shop.door.refunds) == 1
