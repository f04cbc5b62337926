"""Refunds and disputes through the Stripe adapter, against a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from domain.messages import ConfirmPaymentIntent
from domain.money import Money
from domain.refunds import RefundPaymentIntent, RefundStatus
from domain.states import RefundPurpose
from processor.port import OutcomeUnknown, RefusedByOurFault
from processor.stripe_adapter import StripeProcessor
from tests.processor.test_stripe_adapter import ADDRESSES, KEY_ID
from tests.sandbox.processor_server import API_KEY, Processor
from tests.specimens.records import PRICE, creation, on_record


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processor]:
    """A sandbox processor of this module's own."""
    processor = Processor(data=tmp_path_factory.mktemp("refunds") / "processor.sqlite")
    processor.start()
    yield processor
    processor.close()


@pytest.fixture
async def adapter(server: Processor) -> AsyncIterator[StripeProcessor]:
    """The adapter, told of another server only by its address."""
    made = StripeProcessor(API_KEY, ADDRESSES, api_base=server.url)
    yield made
    await made.close()


def tell(server: Processor, path: str, **body: Any) -> None:
    """Turn one of the sandbox's switches."""
    httpx.post(
        f"{server.url}/sandbox/{path}", json=body, trust_env=False
    ).raise_for_status()


def refund_in_dashboard(server: Processor, intent_id: str) -> None:
    """Give money back past us."""
    httpx.post(
        f"{server.url}/v1/refunds",
        data={"payment_intent": intent_id, "amount": "900"},
        headers={"authorization": f"Bearer {API_KEY}"},
        trust_env=False,
    ).raise_for_status()


async def charged(adapter: StripeProcessor, method: str = "pm_card_visa") -> str:
    """Return a PaymentIntent that succeeded."""
    checkout_id = uuid4()
    record = on_record(checkout_id)
    intent = await adapter.create(creation(record), record)
    await adapter.confirm(
        ConfirmPaymentIntent(
            checkout_id=checkout_id,
            payment_intent_id=intent.payment_intent_id,
            buyer_attempt=1,
            payment_method=method,
            token_key_id=KEY_ID,
        )
    )
    return intent.payment_intent_id


def wish(intent_id: str, amount_minor: int = 24900) -> RefundPaymentIntent:
    """Return a request to give money back."""
    return RefundPaymentIntent(
        refund_id=uuid4(),
        checkout_id=UUID(int=1),
        payment_intent_id=intent_id,
        amount=Money(amount_minor=amount_minor, currency="usd"),
        purpose=RefundPurpose.ASKED,
    )


async def test_refund_carries_our_id(adapter: StripeProcessor) -> None:
    """What comes back names our row, so that a lost reply can be found again."""
    request = wish(await charged(adapter), 4900)

    refund = await adapter.refund(request)

    assert refund.refund_id == request.refund_id
    assert refund.amount == request.amount
    assert refund.status is RefundStatus.SUCCEEDED
    assert await adapter.list_refunds(request.payment_intent_id) == [refund]


async def test_repeated_refund_is_one_refund(adapter: StripeProcessor) -> None:
    """The same request twice gives the money back once."""
    request = wish(await charged(adapter), 4900)

    first, second = [await adapter.refund(request) for _ in range(2)]

    assert first.processor_refund_id == second.processor_refund_id
    assert len(await adapter.list_refunds(request.payment_intent_id)) == 1


async def test_lost_reply_is_unknown_and_the_list_tells(
    adapter: StripeProcessor, server: Processor
) -> None:
    """A refund whose reply was lost raises "unknown", and the list shows it."""
    request = wish(await charged(adapter))
    tell(
        server,
        "faults",
        action="act_then_drop_reply",
        match={"method": "POST", "path_regex": "/refunds$"},
    )

    with pytest.raises(OutcomeUnknown):
        await adapter.refund(request)

    (found,) = await adapter.list_refunds(request.payment_intent_id)
    assert found.refund_id == request.refund_id


async def test_stored_500_is_left_behind_by_the_next_key(
    adapter: StripeProcessor, server: Processor
) -> None:
    """A stored 500 replays under its key; the next one gets through."""
    request = wish(await charged(adapter))
    tell(
        server,
        "faults",
        action="error_500_before",
        match={"method": "POST", "path_regex": "/refunds$"},
    )
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await adapter.refund(request)

    refund = await adapter.refund(replace(request, submission=1))

    assert refund.status is RefundStatus.SUCCEEDED


async def test_more_than_was_taken_is_refused(adapter: StripeProcessor) -> None:
    """The processor's own limit comes back as a final no."""
    intent_id = await charged(adapter)
    await adapter.refund(wish(intent_id, 15000))

    with pytest.raises(RefusedByOurFault):
        await adapter.refund(wish(intent_id, 15000))


async def test_whole_refund_twice_is_refused_by_its_name(
    adapter: StripeProcessor,
) -> None:
    """Support reads the processor's word for why a refund was refused."""
    intent_id = await charged(adapter)
    await adapter.refund(wish(intent_id))

    with pytest.raises(RefusedByOurFault) as refused:
        await adapter.refund(wish(intent_id))

    assert refused.value.reason == "charge_already_refunded"


async def test_refund_that_fails_later_says_so(
    adapter: StripeProcessor, server: Processor
) -> None:
    """The bank may send back what had succeeded: the look shows it failed."""
    refund = await adapter.refund(
        wish(await charged(adapter, "pm_card_refundFail"), 4900)
    )
    tell(server, "clock", advance_seconds=10)

    (after,) = await adapter.list_refunds(refund.payment_intent_id)

    assert refund.status is RefundStatus.SUCCEEDED
    assert after.status is RefundStatus.FAILED
    assert after.failure == "unknown"


async def test_refund_of_somebody_else_has_no_id_of_ours(
    adapter: StripeProcessor, server: Processor
) -> None:
    """A refund made in the dashboard is listed, and is told from our own."""
    intent_id = await charged(adapter)
    refund_in_dashboard(server, intent_id)

    (found,) = await adapter.list_refunds(intent_id)

    assert found.refund_id is None
    assert found.amount.amount_minor == 900


async def test_dispute_is_listed_with_its_deadline(adapter: StripeProcessor) -> None:
    """A dispute says how much, why, and until when we can answer."""
    intent_id = await charged(adapter, "pm_card_createDispute")

    (dispute,) = await adapter.list_disputes(intent_id)

    assert dispute.is_open
    assert dispute.amount == PRICE
    assert dispute.due_by is not None
    assert dispute.due_by - datetime.now(UTC) > timedelta(days=1)
    assert await adapter.list_disputes(await charged(adapter)) == []
