"""Fault switches: each does what it says, to whom it says, as often as it says."""

import time
from typing import Any

import pytest
import stripe

from tests.durability.breaking import wait_until
from tests.sandbox.processor_server import Buyer, Processor, error_body, in_thread

CONFIRM = {"method": "POST", "path_regex": "/confirm$"}


def test_a_lost_reply_is_a_connection_error_after_the_charge(
    buyer: Buyer, processor: Processor
) -> None:
    """The money moved, the SDK knows nothing, and the same key finds out."""
    intent = buyer.intent("co_lost")
    processor.fault("act_then_drop_reply", match=CONFIRM)

    with pytest.raises(stripe.APIConnectionError):
        buyer.confirm(intent, key=f"lost:{intent.id}")

    assert buyer.read(intent).status == "succeeded"
    assert buyer.confirm(intent, key=f"lost:{intent.id}").status == "succeeded"
    assert len(processor.get("summary")["checkouts"]["co_lost"]) == 1
    confirmations = [
        (line["status"], line["reply_dropped"], line["replayed"], line["fault"])
        for line in processor.log_of(intent.id)
        if line["path"].endswith("/confirm")
    ]
    assert confirmations == [
        (200, True, False, "act_then_drop_reply"),
        (200, False, True, None),
    ]


def test_a_refused_connection_did_nothing(buyer: Buyer, processor: Processor) -> None:
    """The connection closes without an answer and nothing moved."""
    intent = buyer.intent()
    processor.fault("refuse", match=CONFIRM)

    with pytest.raises(stripe.APIConnectionError):
        buyer.confirm(intent)

    assert buyer.read(intent).status == "requires_payment_method"
    refused = [it for it in processor.log_of(intent.id) if it["fault"] == "refuse"]
    assert [(it["status"], it["reply_dropped"]) for it in refused] == [(None, True)]


@pytest.mark.parametrize(
    ("action", "status", "code", "should_retry"),
    [
        ("throttle", 429, "rate_limit", None),
        ("lock_timeout", 429, "lock_timeout", "true"),
        ("error_503", 503, None, None),
    ],
)
def test_an_error_at_the_door_did_nothing(
    buyer: Buyer,
    processor: Processor,
    *,
    action: str,
    status: int,
    code: str | None,
    should_retry: str | None,
) -> None:
    """429 and 503 come in Stripe's shape and leave everything as it was."""
    intent = buyer.intent()
    processor.fault(action, match=CONFIRM)

    kind = stripe.RateLimitError if status == 429 else stripe.APIError
    with pytest.raises(kind) as caught:
        buyer.confirm(intent)

    assert caught.value.http_status == status
    assert error_body(caught.value).get("code") == code
    assert (caught.value.headers or {}).get("stripe-should-retry") == should_retry
    assert buyer.read(intent).status == "requires_payment_method"


@pytest.mark.parametrize("action", ["delay", "act_then_delay"])
def test_a_delay_delays(buyer: Buyer, processor: Processor, action: str) -> None:
    """The answer comes late, with the effect before or after the wait."""
    intent = buyer.intent()
    fault = processor.fault(action, match=CONFIRM, seconds=0.4)
    before = time.monotonic()

    with in_thread(lambda: buyer.confirm(intent)) as outcome:
        if action == "act_then_delay":
            processor.hit(fault)
            assert buyer.read(intent).status == "succeeded"
            assert not outcome.is_over

    assert time.monotonic() - before >= 0.4
    assert outcome.value.status == "succeeded"


def test_a_request_can_be_held_before_it_acts(
    buyer: Buyer, processor: Processor
) -> None:
    """Held: nothing has happened. Released: it has, by the time release answers."""
    intent = buyer.intent()
    fault = processor.fault("hold_then_act", match=CONFIRM)

    with in_thread(lambda: buyer.confirm(intent)) as outcome:
        assert processor.hit(fault)["held"] == 1
        assert buyer.read(intent).status == "requires_payment_method"
        processor.tell(f"faults/{fault}/release")
        assert buyer.read(intent).status == "succeeded"

    assert outcome.value.status == "succeeded"


def test_a_reply_can_be_held_after_the_effect(
    buyer: Buyer, processor: Processor
) -> None:
    """At the moment the hit is told the charge stands and the caller still waits."""
    intent = buyer.intent("co_held")
    fault = processor.fault("act_then_hold", match=CONFIRM)

    with in_thread(lambda: buyer.confirm(intent)) as outcome:
        processor.hit(fault)
        assert len(processor.get("summary")["checkouts"]["co_held"]) == 1
        assert not outcome.is_over
        processor.tell(f"faults/{fault}/release")

    assert outcome.value.status == "succeeded"


def test_a_client_that_goes_away_frees_its_key(
    buyer: Buyer, processor: Processor
) -> None:
    """A held reply nobody waits for ends: the retry gets the result, not a 409."""
    intent = buyer.intent("co_gone")
    fault = processor.fault("act_then_hold", match=CONFIRM)
    impatient = processor.client(timeout_seconds=0.3)
    key = f"gone:{intent.id}"

    with pytest.raises(stripe.APIConnectionError):
        Buyer(impatient).confirm(intent, key=key)

    assert processor.hit(fault)["hits"] == 1
    wait_until(
        lambda: any(line["reply_dropped"] for line in processor.log_of(intent.id)),
        "the server to notice that nobody waits",
    )
    assert buyer.confirm(intent, key=key).status == "succeeded"
    assert len(processor.get("summary")["checkouts"]["co_gone"]) == 1
    dropped = [line["reply_dropped"] for line in processor.log_of(intent.id)]
    assert dropped == [False, True, False]


def test_a_fault_is_for_whom_it_names(buyer: Buyer, processor: Processor) -> None:
    """Only the checkout named is met, on create by metadata, on confirm by intent."""
    mine, other = buyer.intent("co_mine"), buyer.intent("co_other")
    processor.fault("error_503", match={"checkout_id": "co_mine"}, times=-1)

    assert buyer.confirm(other).status == "succeeded"
    for act in (
        lambda: buyer.intent("co_mine"),
        lambda: buyer.confirm(mine),
        lambda: buyer.read(mine),
        lambda: buyer.client.v1.refunds.create({"payment_intent": mine.id}),
    ):
        with pytest.raises(stripe.APIError):
            act()


def test_a_fault_is_spent_after_its_times(buyer: Buyer, processor: Processor) -> None:
    """Twice means twice; the count of hits is there to read."""
    fault = processor.fault("throttle", times=2)

    for _ in range(2):
        with pytest.raises(stripe.RateLimitError):
            buyer.intent()
    assert buyer.intent().id

    found = processor.get(f"faults/{fault}")
    assert (found["hits"], found["remaining"], found["is_armed"]) == (2, 0, False)


def test_faults_can_be_cleared(buyer: Buyer, processor: Processor) -> None:
    """One is removed by its id, or all at once."""
    one = processor.fault("throttle", times=-1)
    processor.fault("refuse", times=-1, match={"path_regex": "/cancel$"})

    processor.control.delete(f"/sandbox/faults/{one}").raise_for_status()

    assert buyer.intent().id
    assert len(processor.get("faults")["data"]) == 1
    processor.control.delete("/sandbox/faults").raise_for_status()
    assert processor.get("faults")["data"] == []


def test_a_long_poll_ends_without_a_hit(processor: Processor) -> None:
    """Waiting for a hit that does not come ends at its timeout with no hits."""
    fault = processor.fault("refuse", match={"checkout_id": "co_never"})

    found = processor.get(f"faults/{fault}", wait="hit", timeout=0.05)

    assert found["hits"] == 0


def test_a_long_poll_wakes_at_the_hit(buyer: Buyer, processor: Processor) -> None:
    """Whoever waits for a hit hears of it when it happens."""
    fault = processor.fault("throttle", match={"checkout_id": "co_awaited"})
    with (
        in_thread(lambda: processor.hit(fault)) as heard,
        pytest.raises(stripe.RateLimitError),
    ):
        buyer.intent("co_awaited")
    assert heard.value["hits"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {"action": "explode"},
        {"action": "refuse", "times": 0},
        {"action": "refuse", "match": {"colour": "red"}},
        {"action": "refuse", "match": {"path_regex": "("}},
        {"action": "delay", "seconds": -1},
        {"action": "refuse", "unknown": 1},
    ],
)
def test_a_bad_fault_is_refused_with_a_sentence(
    processor: Processor, body: dict[str, Any]
) -> None:
    """A switch that makes no sense answers 400 and sets nothing."""
    answer = processor.control.post("/sandbox/faults", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert processor.get("faults")["data"] == []
