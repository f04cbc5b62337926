"""Idempotency keys as Stripe documents them."""

import socket
import uuid

import httpx
import pytest
import stripe

from tests.sandbox.processor_server import (
    API_KEY,
    Buyer,
    Processor,
    error_body,
    in_thread,
)

DAY_SECONDS = 24 * 3600


@pytest.fixture
def key() -> str:
    """A key no other test uses."""
    return f"checkout:{uuid.uuid4()}:charge:1"


def test_the_same_key_gets_the_same_answer(
    buyer: Buyer, processor: Processor, key: str
) -> None:
    """A repeated create answers the first object and says it is a replay."""
    first = buyer.intent("co_replay", key=key)
    second = buyer.intent("co_replay", key=key)

    assert second.id == first.id
    assert first.last_response is not None
    assert second.last_response is not None
    headers = second.last_response.headers
    assert "idempotent-replayed" not in first.last_response.headers
    assert headers["idempotent-replayed"] == "true"
    assert headers["original-request"] == first.last_response.request_id
    assert headers["idempotency-key"] == key
    found = processor.get("payment_intents", checkout_id="co_replay")["data"]
    assert [intent["id"] for intent in found] == [first.id]
    assert [line["replayed"] for line in processor.log_of(first.id)] == [False, True]


def test_half_a_request_is_none(buyer: Buyer, processor: Processor, key: str) -> None:
    """What a client sent that died meanwhile neither acts nor binds its key."""
    form = b"amount=24900&currency=usd&metadata[checkout_id]=co_half"
    head = (
        "POST /v1/payment_intents HTTP/1.1\r\nHost: sandbox\r\n"
        f"Authorization: Bearer {API_KEY}\r\nIdempotency-Key: {key}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(form) + 1}\r\n\r\n"
    )
    address = httpx.URL(processor.url)
    with socket.create_connection((address.host, address.port or 0), 10) as client:
        client.sendall(head.encode() + form)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1024) == b""

    made = buyer.intent("co_half", key=key)

    found = processor.get("payment_intents", checkout_id="co_half")["data"]
    assert [intent["id"] for intent in found] == [made.id]
    asked = processor.get("requests", limit=50)["data"]
    assert [line["status"] for line in asked if line["idempotency_key"] == key] == [200]


def test_a_replay_shows_the_past(buyer: Buyer, key: str) -> None:
    """The kept answer is the one of then, though the object has moved on."""
    intent = buyer.intent(key=key)
    buyer.confirm(intent)

    assert buyer.intent(key=key).status == "requires_payment_method"
    assert buyer.read(intent).status == "succeeded"


def test_a_decline_is_replayed(buyer: Buyer, key: str) -> None:
    """A card error is a result like any other and no second charge is tried."""
    intent = buyer.intent()
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            buyer.confirm(intent, "pm_card_chargeDeclined", key=key)

    assert caught.value.headers is not None
    assert caught.value.headers["idempotent-replayed"] == "true"
    charges = buyer.client.v1.charges.list({"payment_intent": intent.id})
    assert len(charges.data) == 1


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("error_500_before", "requires_payment_method"),
        ("error_500_after", "succeeded"),
    ],
)
def test_a_500_is_replayed_and_a_new_key_finds_the_truth(
    buyer: Buyer, processor: Processor, key: str, action: str, status: str
) -> None:
    """The kept 500 comes back under its key, whether or not it had charged."""
    intent = buyer.intent(f"co_{action}")
    processor.fault(action)

    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            buyer.confirm(intent, key=key)
        assert caught.value.http_status == 500
        assert caught.value.headers is not None
        assert caught.value.headers["stripe-should-retry"] == "false"

    assert (caught.value.headers or {})["idempotent-replayed"] == "true"
    assert buyer.read(intent).status == status
    if status != "succeeded":
        assert buyer.confirm(intent, key=f"{key}:again").status == "succeeded"
    assert len(processor.get("summary")["checkouts"][f"co_{action}"]) == 1


def test_other_parameters_under_a_key_are_an_error(buyer: Buyer, key: str) -> None:
    """A changed amount or another endpoint under the key answers idempotency_error."""
    intent = buyer.intent(key=key)

    with pytest.raises(stripe.IdempotencyError, match="same parameters") as caught:
        buyer.intent(amount=100, key=key)
    with pytest.raises(stripe.IdempotencyError):
        buyer.confirm(intent, key=key)

    assert caught.value.http_status == 400
    assert error_body(caught.value)["type"] == "idempotency_error"


def test_the_order_of_parameters_does_not_matter(
    buyer: Buyer, processor: Processor, key: str
) -> None:
    """The same parameters sent in another order are the same request."""
    headers = {"Authorization": f"Bearer {API_KEY}", "Idempotency-Key": key}
    url = f"{processor.url}/v1/payment_intents"

    one = httpx.post(url, content="amount=500&currency=usd", headers=headers)
    two = httpx.post(url, content="currency=usd&amount=500", headers=headers)

    assert one.status_code == two.status_code == 200
    assert one.json()["id"] == two.json()["id"]
    assert buyer.read(one.json()["id"]).amount == 500


def test_a_key_in_flight_is_a_conflict_and_then_a_replay(
    buyer: Buyer, processor: Processor, key: str
) -> None:
    """While a request runs its key answers 409; afterwards its result."""
    intent = buyer.intent("co_in_flight")
    fault = processor.fault("hold_then_act", match={"path_regex": "/confirm$"})
    second = Buyer(processor.client())

    with in_thread(lambda: buyer.confirm(intent, key=key)) as outcome:
        processor.hit(fault)
        with pytest.raises(stripe.APIError) as caught:
            second.confirm(intent, key=key)
        processor.tell(f"faults/{fault}/release")

    assert caught.value.http_status == 409
    assert error_body(caught.value)["code"] == "idempotency_key_in_use"
    assert outcome.value.status == "succeeded"
    assert second.confirm(intent, key=key).status == "succeeded"
    assert len(processor.get("summary")["checkouts"]["co_in_flight"]) == 1


def test_a_key_is_forgotten_after_24_hours(
    buyer: Buyer, processor: Processor, key: str
) -> None:
    """Just before the day is over the key replays; after it, the request runs anew."""
    first = buyer.intent(key=key)

    processor.tell("clock", advance_seconds=DAY_SECONDS - 60)
    assert buyer.intent(key=key).id == first.id
    moved = processor.tell("clock", advance_seconds=61)

    assert moved["idempotency_keys_pruned"] >= 1
    second = buyer.intent(key=key)
    assert second.id != first.id
    assert second.created - first.created >= DAY_SECONDS


def test_a_confirmed_intent_survives_its_forgotten_key(
    buyer: Buyer, processor: Processor, key: str
) -> None:
    """With the key gone, confirming the same intent again is refused, not charged."""
    intent = buyer.intent("co_forgotten")
    buyer.confirm(intent, key=key)
    processor.tell("clock", advance_seconds=DAY_SECONDS + 1)

    with pytest.raises(stripe.InvalidRequestError) as caught:
        buyer.confirm(intent, key=key)

    assert caught.value.code == "payment_intent_unexpected_state"
    assert len(processor.get("summary")["checkouts"]["co_forgotten"]) == 1


def test_a_failed_validation_keeps_nothing(buyer: Buyer, key: str) -> None:
    """A request refused before it executes may be corrected under the same key."""
    with pytest.raises(stripe.InvalidRequestError):
        buyer.intent(amount=1, key=key)

    assert buyer.intent(key=key).amount == 24900


def test_an_unexpected_state_is_kept(buyer: Buyer, key: str) -> None:
    """A refusal that came while executing is the key's result."""
    intent = buyer.paid()
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            buyer.confirm(intent, key=key)

    assert caught.value.headers is not None
    assert caught.value.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("action", ["throttle", "lock_timeout", "error_503"])
def test_a_refusal_at_the_door_keeps_nothing(
    buyer: Buyer, processor: Processor, key: str, action: str
) -> None:
    """429 and 503 did nothing: the same key then does it."""
    processor.fault(action)
    with pytest.raises(stripe.StripeError):
        buyer.intent(key=key)

    intent = buyer.intent(key=key)

    assert intent.last_response is not None
    assert "idempotent-replayed" not in intent.last_response.headers


def test_a_key_has_at_most_255_characters(buyer: Buyer) -> None:
    """255 characters are a key; 256 are refused."""
    unique = uuid.uuid4().hex
    assert buyer.intent(key=unique.ljust(255, "x"))

    with pytest.raises(stripe.IdempotencyError, match="255 characters"):
        buyer.intent(key=unique.ljust(256, "x"))


def test_a_key_means_nothing_to_get(buyer: Buyer, processor: Processor) -> None:
    """GET ignores the header, so one key reads many objects."""
    headers = {"Authorization": f"Bearer {API_KEY}", "Idempotency-Key": "same"}
    one, two = buyer.intent(), buyer.intent()

    answers = [
        httpx.get(f"{processor.url}/v1/payment_intents/{it.id}", headers=headers)
        for it in (one, two)
    ]

    assert [answer.json()["id"] for answer in answers] == [one.id, two.id]
