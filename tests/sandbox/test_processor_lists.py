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


def test_cursor_is_not_shifted_by_what_is_made_meanwhile(
    buyer: Buyer, processor: Processor
) -> None:
    """What is made between two pages is on neither; every other charge is on one."""
    made = [processor.tell("payments", created=1_700_000_000)["id"] for _ in range(5)]
    bounds: Any = {"created": {"gte": 1_700_000_000, "lt": 1_700_000_001}, "limit": 2}
    charges = buyer.client.v1.charges
    found: list[str] = []
    cursor: Any = {}

    while True:
        params: Any = {**bounds, **cursor}
        page = charges.list(params)
        found += [charge.id for charge in page.data]
        processor.tell("payments", created=1_700_000_001)
        processor.tell("payments")
        if not page.has_more:
            break
        cursor = {"starting_after": page.data[-1].id}

    assert found == made[::-1]


def test_cursor_stays_where_it_is_when_the_bounds_leave_it_out(
    buyer: Buyer, processor: Processor
) -> None:
    """A cursor names a place in the whole list; the bounds choose from what follows."""
    old, new = (
        processor.tell("payments", created=created)["id"]
        for created in (1_700_000_100, 1_700_000_200)
    )
    bounds: Any = {"gte": 1_700_000_100, "lt": 1_700_000_101}

    page = buyer.client.v1.charges.list({"created": bounds, "starting_after": new})

    assert [charge.id for charge in page.data] == [old]


@pytest.mark.parametrize("kind", ["charges", "refunds", "disputes"])
def test_unknown_cursor_is_refused_in_every_list(buyer: Buyer, kind: str) -> None:
    """An id of nothing, or of another kind, is no place in a list."""
    intent = buyer.paid()
    listed: Any = getattr(buyer.client.v1, kind)

    for cursor in ("xx_nobody", intent.id):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            listed.list({"starting_after": cursor})
        assert caught.value.param == "starting_after"
        assert caught.value.code == "resource_missing"


def test_refunds_and_disputes_are_listed_by_their_own_time(
    buyer: Buyer, processor: Processor
) -> None:
    """``created`` bounds each list by when its own objects were made."""
    paid = processor.tell("payments", created=1_700_000_300)
    other = processor.tell("payments", created=1_700_000_300)
    refund = buyer.client.v1.refunds.create({"charge": paid["id"], "amount": 100})
    dispute = processor.tell("disputes", charge=other["id"])
    long_ago: Any = {"lt": 1_700_000_400}
    now: Any = {"gte": refund.created}

    refunds, disputes = buyer.client.v1.refunds, buyer.client.v1.disputes

    assert refunds.list({"created": long_ago}).data == []
    assert refund.id in [it.id for it in refunds.list({"created": now}).data]
    assert disputes.list({"created": long_ago}).data == []
    assert dispute["id"] in [it.id for it in disputes.list({"created": now}).data]


def test_charge_keeps_the_metadata_that_its_intent_had_then(buyer: Buyer) -> None:
    """Metadata is copied once, when the charge is made, and not kept in step."""
    intent = buyer.paid("co_copied")
    buyer.client.v1.payment_intents.update(intent.id, {"metadata": {"later": "yes"}})

    charge = buyer.client.v1.charges.retrieve(str(intent.latest_charge))

    assert charge.metadata.to_dict() == {"checkout_id": "co_copied"}


def test_payment_past_the_shop_is_planted_as_wanted(
    buyer: Buyer, processor: Processor
) -> None:
    """Amount, currency, metadata and card are the test's own; the money has moved."""
    made = processor.tell(
        "payments",
        amount=4900,
        currency="eur",
        metadata={"checkout_id": "co_planted"},
        payment_method="pm_card_mastercard",
    )

    intent = buyer.read(made["payment_intent"], expand=["latest_charge"])

    assert (intent.status, intent.amount, intent.currency) == ("succeeded", 4900, "eur")
    assert isinstance(intent.latest_charge, stripe.Charge)
    assert intent.latest_charge.id == made["id"]
    assert intent.latest_charge.metadata.to_dict() == {"checkout_id": "co_planted"}
    (found,) = processor.get("payment_intents", checkout_id="co_planted")["data"]
    assert found["id"] == intent.id


def test_payment_past_the_shop_may_have_no_intent(
    buyer: Buyer, processor: Processor
) -> None:
    """The Charges API's own payments are listed like the others."""
    made = processor.tell("payments", is_legacy=True)

    charge = buyer.client.v1.charges.retrieve(made["id"])

    assert charge.payment_intent is None
    assert charge.paid is True
    assert charge.metadata.to_dict() == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 1},
        {"currency": "doubloon"},
        {"payment_method": "pm_nobody"},
        {"metadata": {"n": 1}},
        {"colour": "red"},
    ],
)
def test_payment_that_cannot_be_is_not_planted(
    processor: Processor, wrong: dict[str, Any]
) -> None:
    """A mistyped wish is refused in words, and no money moves."""
    before = processor.get("summary")["succeeded_charges"]

    answer = processor.control.post("/sandbox/payments", json=wrong)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert processor.get("summary")["succeeded_charges"] == before
