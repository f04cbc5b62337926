"""Payments by the official SDK: what succeeds, what is declined, what is refused."""

import time
from typing import Any

import httpx
import pytest
import stripe

from tests.sandbox.processor_server import (
    API_KEY,
    RETURN_URL,
    Buyer,
    Processor,
    error_body,
    in_thread,
)

DECLINES = [
    ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
    (
        "pm_card_chargeDeclinedInsufficientFunds",
        "card_declined",
        "insufficient_funds",
    ),
    ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
    ("pm_card_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
    ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
    ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
    (
        "pm_card_chargeDeclinedProcessingError",
        "processing_error",
        "processing_error",
    ),
    (
        "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
        "card_declined",
        "card_velocity_exceeded",
    ),
    ("pm_card_chargeDeclinedFraudulent", "card_declined", "fraudulent"),
    ("pm_card_radarBlock", "card_declined", "fraudulent"),
]


def test_a_confirmed_intent_is_charged_once_and_says_so(buyer: Buyer) -> None:
    """Create, confirm, retrieve: one succeeded charge with the intent's metadata."""
    intent = buyer.intent("co_happy")
    assert intent.status == "requires_payment_method"
    assert intent.client_secret is not None
    assert intent.client_secret.startswith(intent.id)

    confirmed = buyer.confirm(intent)
    found = buyer.read(intent, expand=["latest_charge", "payment_method"])

    assert confirmed.status == found.status == "succeeded"
    assert found.amount_received == found.amount == 24900
    assert found.livemode is False
    charge = found.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (charge.status, charge.paid, charge.refunded) == ("succeeded", True, False)
    assert charge.metadata["checkout_id"] == "co_happy"
    assert charge.payment_intent == intent.id
    assert charge.payment_method_details is not None
    card = charge.payment_method_details.card
    assert card is not None
    assert (card.brand, card.last4, card.exp_month) == ("visa", "4242", 12)
    assert charge.outcome is not None
    assert charge.outcome.network_status == "approved_by_network"
    method = found.payment_method
    assert isinstance(method, stripe.PaymentMethod)
    assert method.card is not None
    assert method.card.last4 == "4242"


def test_one_call_may_create_and_confirm(buyer: Buyer) -> None:
    """``confirm=true`` on create pays at once."""
    intent = buyer.intent(
        confirm=True, payment_method="pm_card_mastercard", return_url=RETURN_URL
    )

    assert intent.status == "succeeded"


def test_a_payment_method_given_at_creation_waits_for_confirmation(
    buyer: Buyer,
) -> None:
    """A payment method on create leads to requires_confirmation, then pays."""
    intent = buyer.intent(payment_method="pm_card_visa")
    assert intent.status == "requires_confirmation"

    client = buyer.client.v1.payment_intents
    confirmed = client.confirm(intent.id, {"return_url": RETURN_URL})

    assert confirmed.status == "succeeded"


@pytest.mark.parametrize(("method", "code", "decline_code"), DECLINES)
def test_a_decline_is_a_card_error_with_the_intent(
    buyer: Buyer, method: str, code: str, decline_code: str
) -> None:
    """Each declining method answers 402 with its codes and the full PaymentIntent."""
    intent = buyer.intent()

    with pytest.raises(stripe.CardError) as caught:
        buyer.confirm(intent, method)

    assert caught.value.http_status == 402
    error = error_body(caught.value)
    assert (error["code"], error["decline_code"]) == (code, decline_code)
    assert error["type"] == "card_error"
    assert error["message"]
    assert error["payment_intent"]["id"] == intent.id
    found = buyer.read(intent)
    assert found.status == "requires_payment_method"
    assert found.payment_method is None
    last = found.last_payment_error
    assert last is not None
    assert (last.code, last.decline_code) == (code, decline_code)
    assert last.payment_method is not None
    assert last.charge == found.latest_charge
    charge = buyer.client.v1.charges.retrieve(str(found.latest_charge))
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, code)


def test_another_card_after_a_decline_pays_once(
    buyer: Buyer, processor: Processor
) -> None:
    """A declined intent takes another card; one charge succeeds, one failed."""
    intent = buyer.intent("co_second_card")
    with pytest.raises(stripe.CardError):
        buyer.confirm(intent, "pm_card_chargeDeclined")

    confirmed = buyer.confirm(intent, "pm_card_visa")

    assert confirmed.status == "succeeded"
    assert confirmed.last_payment_error is None
    charges = buyer.client.v1.charges.list({"payment_intent": intent.id})
    assert [charge.status for charge in charges] == ["succeeded", "failed"]
    summary = processor.get("summary")
    (counted,) = summary["checkouts"]["co_second_card"]
    assert counted["amount"] == 24900
    assert counted["charged_at"] == pytest.approx(time.time(), abs=5)


def test_a_confirmation_token_pays(buyer: Buyer) -> None:
    """A token made as Stripe.js makes one confirms, and serves one intent only."""
    tokens = buyer.client.v1.test_helpers.confirmation_tokens
    token = tokens.create({"payment_method": "pm_card_visa", "return_url": RETURN_URL})
    intents = buyer.client.v1.payment_intents
    intent, other = buyer.intent(), buyer.intent()

    confirmed = intents.confirm(intent.id, {"confirmation_token": token.id})

    assert confirmed.status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError, match="already used"):
        intents.confirm(other.id, {"confirmation_token": token.id})


def test_a_return_url_is_needed_where_a_redirect_may_come(buyer: Buyer) -> None:
    """Automatic payment methods need a return_url unless redirects are off."""
    intents = buyer.client.v1.payment_intents
    params: Any = {"payment_method": "pm_card_visa"}

    with pytest.raises(stripe.InvalidRequestError, match="must provide a `return_url`"):
        intents.confirm(buyer.intent().id, params)

    without = buyer.intent(
        automatic_payment_methods={"enabled": True, "allow_redirects": "never"}
    )
    assert intents.confirm(without.id, params).status == "succeeded"


def test_processing_ends_by_the_sandbox_clock(
    buyer: Buyer, processor: Processor
) -> None:
    """A processing payment succeeds or fails once the clock has moved far enough."""
    good, bad = buyer.intent("co_slow_good"), buyer.intent("co_slow_bad")
    processor.tell("settings", processing_seconds=60)

    assert buyer.confirm(good, "pm_sandbox_processingThenSuccess").status == (
        "processing"
    )
    assert buyer.confirm(bad, "pm_sandbox_processingThenFailure").status == "processing"
    assert "co_slow_good" not in processor.get("summary")["checkouts"]
    moved = processor.tell("clock", advance_seconds=61)

    assert moved["timers_fired"] == 2
    assert buyer.read(good).status == "succeeded"
    assert len(processor.get("summary")["checkouts"]["co_slow_good"]) == 1
    failed = buyer.read(bad)
    assert failed.status == "requires_payment_method"
    assert failed.last_payment_error is not None
    assert failed.last_payment_error.decline_code == "generic_decline"


def test_processing_may_be_ended_by_hand(buyer: Buyer, processor: Processor) -> None:
    """The control API settles a processing payment the way a test wants it."""
    processor.tell("settings", processing_seconds=600)
    intent = buyer.confirm(buyer.intent(), "pm_sandbox_processingThenSuccess")

    processor.tell(f"payment_intents/{intent.id}/settle", outcome="failed")

    assert buyer.read(intent).status == "requires_payment_method"


def test_the_slow_method_holds_its_key_while_it_waits(
    buyer: Buyer, processor: Processor
) -> None:
    """While the slow method waits nothing has happened, and its key is in flight."""
    processor.tell("settings", slow_seconds=0.4)
    intent = buyer.intent()

    with in_thread(lambda: buyer.confirm(intent, "pm_sandbox_slow")) as outcome:
        assert buyer.read(intent).status == "requires_payment_method"

    assert outcome.value.status == "succeeded"


@pytest.mark.parametrize(
    "method", [None, "pm_card_chargeDeclined", "pm_card_authenticationRequired"]
)
def test_an_open_intent_can_be_canceled_and_never_charged(
    buyer: Buyer, method: str | None
) -> None:
    """Cancellation ends an open intent for good, with its reason."""
    intent = buyer.intent()
    if method == "pm_card_chargeDeclined":
        with pytest.raises(stripe.CardError):
            buyer.confirm(intent, method)
    elif method:
        assert buyer.confirm(intent, method).status == "requires_action"

    intents = buyer.client.v1.payment_intents
    canceled = intents.cancel(intent.id, {"cancellation_reason": "abandoned"})

    assert canceled.status == "canceled"
    assert canceled.cancellation_reason == "abandoned"
    assert canceled.canceled_at is not None
    assert canceled.next_action is None
    for act in (buyer.confirm, lambda it: intents.cancel(it.id)):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            act(intent)
        assert caught.value.code == "payment_intent_unexpected_state"
        assert error_body(caught.value)["payment_intent"]["status"] == "canceled"


@pytest.mark.parametrize("status", ["succeeded", "processing"])
def test_a_paid_or_processing_intent_cannot_be_canceled(
    buyer: Buyer, processor: Processor, status: str
) -> None:
    """Cancel answers 400 unexpected state, and the error carries the intent."""
    processor.tell("settings", processing_seconds=600)
    methods = {
        "succeeded": "pm_card_visa",
        "processing": "pm_sandbox_processingThenSuccess",
    }
    intent = buyer.confirm(buyer.intent(), methods[status])

    with pytest.raises(stripe.InvalidRequestError) as caught:
        buyer.client.v1.payment_intents.cancel(intent.id)

    assert caught.value.http_status == 400
    assert caught.value.code == "payment_intent_unexpected_state"
    assert error_body(caught.value)["payment_intent"]["status"] == status
    assert buyer.read(intent).status == status


def test_a_succeeded_intent_cannot_be_confirmed_again(
    buyer: Buyer, processor: Processor
) -> None:
    """A second confirmation under a fresh key is refused and moves nothing."""
    intent = buyer.paid("co_twice")

    with pytest.raises(stripe.InvalidRequestError, match="already succeeded") as caught:
        buyer.confirm(intent, key="another-key")

    assert caught.value.code == "payment_intent_unexpected_state"
    assert error_body(caught.value)["payment_intent"]["status"] == "succeeded"
    assert len(processor.get("summary")["checkouts"]["co_twice"]) == 1


def test_metadata_and_amount_can_be_changed_while_open(buyer: Buyer) -> None:
    """Metadata is merged and unset by an empty value; a paid amount stays."""
    intents = buyer.client.v1.payment_intents
    intent = buyer.intent("co_meta", description="One year")

    changed = intents.update(
        intent.id, {"amount": 9900, "metadata": {"plan": "year", "checkout_id": ""}}
    )

    assert changed.amount == 9900
    assert changed.metadata.to_dict() == {"plan": "year"}
    buyer.confirm(intent)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        intents.update(intent.id, {"amount": 100})
    assert caught.value.code == "payment_intent_unexpected_state"
    assert intents.update(intent.id, {"metadata": {"a": "b"}}).metadata["a"] == "b"


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"currency": "usd"}, "parameter_missing", "amount"),
        ({"amount": 500}, "parameter_missing", "currency"),
        (
            {"amount": 500, "currency": "usd", "colour": "red"},
            "parameter_unknown",
            "colour",
        ),
        ({"amount": 0, "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": "2.49", "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": 49, "currency": "usd"}, "amount_too_small", "amount"),
        ({"amount": 100_000_000, "currency": "usd"}, "amount_too_large", "amount"),
        ({"amount": 500, "currency": "xxx"}, None, "currency"),
        (
            {"amount": 500, "currency": "usd", "customer": "cus_0"},
            "resource_missing",
            "customer",
        ),
        (
            {"amount": 500, "currency": "usd", "payment_method": "pm_0"},
            "resource_missing",
            "payment_method",
        ),
        (
            {"amount": 500, "currency": "usd", "metadata": {"a": "x" * 501}},
            None,
            "metadata[a]",
        ),
        ({"amount": 500, "currency": "usd", "expand": ["color"]}, None, "expand"),
        (
            {"amount": 500, "currency": "usd", "capture_method": "manual"},
            None,
            "capture_method=manual",
        ),
    ],
)
def test_bad_parameters_are_refused_by_name(
    buyer: Buyer, params: Any, code: str | None, param: str
) -> None:
    """A parameter that is missing, unknown or wrong answers 400 and names it."""
    with pytest.raises(stripe.InvalidRequestError) as caught:
        buyer.client.v1.payment_intents.create(params)

    assert caught.value.http_status == 400
    assert (caught.value.code, caught.value.param) == (code, param)


def test_an_unknown_id_is_not_found(buyer: Buyer) -> None:
    """An id nobody has answers 404 resource_missing with its parameter."""
    for act in (buyer.read, buyer.confirm):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            act("pi_nobody")
        assert caught.value.http_status == 404
        assert (caught.value.code, caught.value.param) == ("resource_missing", "intent")


def test_an_unknown_address_is_not_found(processor: Processor) -> None:
    """A path Stripe does not have, or the sandbox has not, answers 404."""
    headers = {"Authorization": f"Bearer {API_KEY}"}
    answer = httpx.get(f"{processor.url}/v1/payouts", headers=headers)

    assert answer.status_code == 404
    assert "Unrecognized request URL (GET: /v1/payouts)" in answer.text


def test_the_api_key_is_checked(processor: Processor, buyer: Buyer) -> None:
    """No key or a wrong one answers 401; Basic works as Bearer does."""
    wrong = Buyer(processor.client("sk_test_wrong_key_9999"))
    with pytest.raises(stripe.AuthenticationError, match=r"sk_test_\*+9999"):
        wrong.intent()

    url = f"{processor.url}/v1/payment_intents"
    nobody = httpx.get(url)
    assert nobody.status_code == 401
    assert nobody.json()["error"]["type"] == "invalid_request_error"
    assert httpx.get(url, auth=(API_KEY, "")).status_code == 200
    assert buyer.intent().id


def test_every_answer_has_a_request_id(buyer: Buyer) -> None:
    """Successes and errors alike carry a Request-Id of their own."""
    intent = buyer.intent()
    assert intent.last_response is not None
    with pytest.raises(stripe.InvalidRequestError) as caught:
        buyer.read("pi_nobody")

    first, second = intent.last_response.request_id, caught.value.request_id
    assert first is not None
    assert second is not None
    assert first.startswith("req_")
    assert second.startswith("req_")
    assert first != second


def test_customers_can_be_made_and_named(buyer: Buyer) -> None:
    """A customer is kept, and an intent may be theirs."""
    customers = buyer.client.v1.customers
    customer = customers.create({"email": "buyer@example.com", "name": "Kim"})

    intent = buyer.intent(customer=customer.id)

    assert customers.retrieve(customer.id).email == "buyer@example.com"
    assert buyer.read(intent).customer == customer.id


def test_the_payment_methods_are_offered_in_plain_words(processor: Processor) -> None:
    """The shop page finds every test method with a label and its outcome."""
    offered = processor.get("payment_methods")["data"]

    by_id = {choice["id"]: choice for choice in offered}
    assert by_id["pm_card_visa"]["label"] == "Visa that pays at once"
    assert by_id["pm_card_visa"]["outcome"] == "succeed"
    assert by_id["pm_sandbox_slow"]["is_stripe_name"] is False
    assert len({choice["label"] for choice in offered}) == len(offered)
