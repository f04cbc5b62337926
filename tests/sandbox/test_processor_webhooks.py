"""Webhooks: signed, stored, retried, and wrong on demand."""

import signal
import time
from pathlib import Path

import pytest
import stripe

from tests.sandbox.processor_server import (
    WEBHOOK_SECRET,
    Buyer,
    Delivery,
    Processor,
    Receiver,
    in_thread,
)

PAID = ["charge.succeeded", "payment_intent.created", "payment_intent.succeeded"]


def test_events_are_signed_as_the_sdk_verifies(
    buyer: Buyer, receiver: Receiver
) -> None:
    """The official verifier takes each delivery, and refuses a changed body."""
    intent = buyer.paid("co_hook")

    deliveries = receiver.collect(intent.id, 3)

    assert sorted(delivery.event.type for delivery in deliveries) == PAID
    paid = next(
        it.event for it in deliveries if it.event.type == "payment_intent.succeeded"
    )
    assert paid.data.object["metadata"]["checkout_id"] == "co_hook"
    assert paid.livemode is False
    assert paid.api_version == stripe.api_version
    forged = deliveries[0].payload.replace(b"24900", b"1")
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(forged, deliveries[0].signature, WEBHOOK_SECRET)


def test_the_signature_is_of_real_time(
    buyer: Buyer, processor: Processor, receiver: Receiver
) -> None:
    """Far ahead by its own clock, the processor still signs with the real time."""
    processor.tell("clock", advance_seconds=7 * 24 * 3600)
    intent = buyer.intent()

    (delivery,) = receiver.collect(intent.id, 1)

    signed_at = int(delivery.signature.split(",")[0].removeprefix("t="))
    assert signed_at == pytest.approx(time.time(), abs=10)
    assert intent.created > signed_at + 24 * 3600


def test_every_kind_of_change_is_told(
    buyer: Buyer, processor: Processor, receiver: Receiver
) -> None:
    """Declines, bank questions, processing, cancellation, refunds, disputes."""
    declined, asked, slow, paid = (buyer.intent() for _ in range(4))
    with pytest.raises(stripe.CardError):
        buyer.confirm(declined, "pm_card_chargeDeclined")
    buyer.client.v1.payment_intents.cancel(declined.id)
    buyer.confirm(asked, "pm_card_authenticationRequired")
    processor.tell("settings", processing_seconds=60, refund_mode="fail_later")
    buyer.confirm(slow, "pm_sandbox_processingThenSuccess")
    buyer.confirm(paid)
    refund = buyer.client.v1.refunds.create({"payment_intent": paid.id, "amount": 100})
    processor.tell(f"refunds/{refund.id}/settle", outcome="failed")
    processor.tell("disputes", payment_intent=paid.id)
    processor.tell("clock", advance_seconds=61)

    kinds = {
        event.type
        for event in buyer.client.v1.events.list({"limit": 40})
        if _subject(event) in {declined.id, asked.id, slow.id, paid.id}
    }

    assert kinds == {
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        "payment_intent.canceled",
        "payment_intent.requires_action",
        "charge.pending",
        "payment_intent.processing",
        "charge.succeeded",
        "payment_intent.succeeded",
        "refund.created",
        "charge.refunded",
        "refund.updated",
        "refund.failed",
        "charge.refund.updated",
        "charge.dispute.created",
    }
    assert receiver.collect(slow.id, 5)


def _subject(event: stripe.Event) -> str:
    thing = event.data.object.to_dict()
    return str(thing.get("payment_intent") or thing["id"])


def test_a_refused_delivery_is_tried_again(
    buyer: Buyer, processor: Processor, receiver: Receiver
) -> None:
    """An answer other than 2xx is retried with the same event until taken."""
    processor.tell("webhooks", mode="off")
    intent = buyer.intent()
    receiver.refuse(intent.id, times=2)
    processor.tell("webhooks", mode="on")
    processor.tell("webhooks/send_again")

    deliveries = receiver.collect(intent.id, 3)

    assert len({delivery.event.id for delivery in deliveries}) == 1


def test_a_receiver_that_was_down_gets_everything_once_it_is_up(
    tmp_path: Path,
) -> None:
    """Events of an outage, and of a killed processor, are delivered afterwards."""
    brief = Receiver()
    port = int(brief.url.split(":")[2].split("/")[0])
    brief.close()
    processor = Processor(data=tmp_path / "p.sqlite", webhook_url=brief.url)
    processor.start()
    processor.tell("webhooks", retry_seconds=[0.05] * 100)
    intent = Buyer(processor.client()).paid()
    processor.end(signal.SIGKILL)
    processor.start()

    receiver = Receiver(port)
    try:
        assert receiver.kinds(intent.id, 3) == PAID
    finally:
        processor.close()
        receiver.close()


def test_a_delivery_that_is_never_taken_is_given_up(
    buyer: Buyer, processor: Processor, receiver: Receiver
) -> None:
    """After the last retry the event stays stored, and can be sent again."""
    processor.tell("webhooks", retry_seconds=[0.01])
    intent = buyer.client.v1.payment_intents.create({"amount": 500, "currency": "usd"})
    (first,) = receiver.collect(intent.id, 1)
    receiver.refuse(intent.id, times=2)
    processor.tell("webhooks/send_again", event=first.event.id)
    receiver.collect(intent.id, 2)
    settled = processor.get("deliveries", wait="settled", limit=1)["data"]
    assert [(row["state"], row["attempts"]) for row in settled] == [("given_up", 2)]

    processor.tell("webhooks/send_again", event=first.event.id)

    (again,) = receiver.collect(intent.id, 1)
    assert again.event.id == first.event.id


def test_duplicates_are_the_same_event(
    buyer: Buyer, processor: Processor, receiver: Receiver
) -> None:
    """With two extra copies, each event comes three times under one id."""
    processor.tell("webhooks", duplicate=2)
    intent = buyer.intent()

    deliveries = receiver.collect(intent.id, 3)

    assert len({delivery.event.id for delivery in deliveries}) == 1


def test_switched_off_nothing_is_sent_but_all_is_kept(
    buyer: Buyer, processor: Processor, receiver: Receiver
) -> None:
    """Off: events are withheld, and sent only when asked for."""
    processor.tell("webhooks", mode="off")
    intent = buyer.paid()
    states = {row["state"] for row in processor.get("deliveries", limit=3)["data"]}
    assert states == {"withheld"}

    processor.tell("webhooks", mode="on")
    processor.tell("webhooks/send_again")

    assert receiver.kinds(intent.id, 3) == PAID


def test_shuffled_events_come_out_of_order(
    buyer: Buyer, processor: Processor, receiver: Receiver
) -> None:
    """Gathered for a moment, then one by one in an order that is not theirs."""
    processor.tell("webhooks", shuffle=True, shuffle_window_seconds=0.3)
    intent = buyer.paid()

    deliveries = receiver.collect(intent.id, 3)

    arrived = [delivery.event.type for delivery in deliveries]
    assert sorted(arrived) == PAID
    assert arrived != [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]


def test_delayed_events_come_late(
    buyer: Buyer, processor: Processor, receiver: Receiver
) -> None:
    """An event waits at least as long as told before its first attempt."""
    processor.tell("webhooks", delay_seconds=0.3)
    before = time.monotonic()
    intent = buyer.intent()

    receiver.collect(intent.id, 1)

    assert time.monotonic() - before >= 0.3


def test_an_event_may_arrive_before_the_reply(
    buyer: Buyer, processor: Processor, receiver: Receiver
) -> None:
    """While a reply is held back, its events are delivered already."""
    intent = buyer.intent()
    fault = processor.fault("act_then_hold", match={"path_regex": "/confirm$"})

    with in_thread(lambda: buyer.confirm(intent)) as outcome:
        deliveries: list[Delivery] = receiver.collect(intent.id, 3)
        assert not outcome.is_over
        processor.tell(f"faults/{fault}/release")

    assert "payment_intent.succeeded" in {it.event.type for it in deliveries}
    assert outcome.value.status == "succeeded"


def test_a_bad_switch_is_refused_with_a_sentence(processor: Processor) -> None:
    """An unknown switch or value changes nothing and says what is wrong."""
    for body in ({"mode": "sometimes"}, {"loud": True}, {"duplicate": -1}):
        answer = processor.control.post("/sandbox/webhooks", json=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]
    assert processor.get("webhooks")["mode"] == "on"
