"""Lists: order, cursors, filters, expansion."""

import uuid
from typing import Any

import pytest
import stripe

from tests.sandbox.processor_server import Buyer, Processor


@pytest.fixture
def customer(buyer: Buyer) -> str:
    """A customer of the test's own."""
    return buyer.client.v1.customers.create({"email": "a@example.com"}).id


@pytest.fixture
def five(buyer: Buyer, customer: str) -> list[str]:
    """Five PaymentIntents of one customer, newest first, as lists have them."""
    made = [buyer.intent(customer=customer).id for _ in range(5)]
    return made[::-1]


def test_pages_follow_each_other_to_the_end(
    buyer: Buyer, customer: str, five: list[str]
) -> None:
    """Newest first, ``starting_after`` goes on, ``has_more`` tells the truth."""
    intents = buyer.client.v1.payment_intents
    first = intents.list({"customer": customer, "limit": 3})
    rest = intents.list(
        {"customer": customer, "limit": 3, "starting_after": first.data[-1].id}
    )

    assert [it.id for it in first.data] == five[:3]
    assert first.has_more is True
    assert [it.id for it in rest.data] == five[3:]
    assert rest.has_more is False
    assert first.url == "/v1/payment_intents"


def test_ending_before_pages_backwards(
    buyer: Buyer, customer: str, five: list[str]
) -> None:
    """``ending_before`` answers the neighbours just above the cursor."""
    page = buyer.client.v1.payment_intents.list(
        {"customer": customer, "limit": 2, "ending_before": five[4]}
    )

    assert [it.id for it in page.data] == five[2:4]
    assert page.has_more is True


def test_the_sdk_pages_by_itself(buyer: Buyer, customer: str, five: list[str]) -> None:
    """Auto-pagination sees every object once."""
    page = buyer.client.v1.payment_intents.list({"customer": customer, "limit": 2})

    assert [it.id for it in page.auto_paging_iter()] == five


def test_created_bounds_a_list(buyer: Buyer, processor: Processor) -> None:
    """``created`` takes gt, gte, lt, lte and an exact second."""
    intents = buyer.client.v1.payment_intents
    processor.tell("clock", advance_seconds=100)
    old = buyer.intent()
    processor.tell("clock", advance_seconds=100)
    new = buyer.intent()

    def found(**bounds: int) -> set[str]:
        params: Any = {"created": bounds}
        page = intents.list(params)
        return {it.id for it in page.data} & {old.id, new.id}

    assert found(gt=old.created) == {new.id}
    assert found(gte=old.created) == {old.id, new.id}
    assert found(gte=old.created, lt=new.created) == {old.id}
    assert found(gte=old.created, lte=new.created) == {old.id, new.id}
    assert [it.id for it in intents.list({"created": old.created})] == [old.id]


def test_bad_cursors_and_limits_are_refused(buyer: Buyer) -> None:
    """An unknown cursor and a limit outside 1 to 100 answer 400."""
    intents = buyer.client.v1.payment_intents

    with pytest.raises(stripe.InvalidRequestError) as caught:
        intents.list({"starting_after": "pi_nobody"})
    assert caught.value.param == "starting_after"
    for limit in (0, 101):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            intents.list({"limit": limit})
        assert caught.value.param == "limit"


def test_charges_are_listed_by_intent_with_expansion(buyer: Buyer) -> None:
    """Charges of an intent, each with its intent expanded inside the list."""
    intent = buyer.paid()

    page = buyer.client.v1.charges.list(
        {"payment_intent": intent.id, "expand": ["data.payment_intent"]}
    )

    (charge,) = page.data
    assert isinstance(charge.payment_intent, stripe.PaymentIntent)
    assert charge.payment_intent.id == intent.id
    assert charge.id == intent.latest_charge


def test_events_are_stored_and_listed_by_type(buyer: Buyer) -> None:
    """Every change left an event that can be read later."""
    name = uuid.uuid4().hex
    intent = buyer.paid(name)
    events = buyer.client.v1.events

    page = events.list({"type": "payment_intent.succeeded", "limit": 1})

    (event,) = page.data
    assert event.type == "payment_intent.succeeded"
    assert event.data.object["id"] == intent.id
    assert event.data.object["status"] == "succeeded"
    assert event.request is not None
    assert event.request.id is not None
    assert events.retrieve(event.id).id == event.id
    with pytest.raises(stripe.InvalidRequestError):
        events.retrieve("evt_nobody")
