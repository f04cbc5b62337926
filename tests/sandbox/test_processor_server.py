"""The server itself: what survives a kill, how it ends, what it shows to people."""

import hashlib
import signal
import subprocess
import sys
import time
from urllib.parse import urlencode

import pytest
import stripe

from tests.sandbox.processor_server import (
    API_KEY,
    ROOT,
    Buyer,
    Processor,
    in_thread,
    is_alive,
)

CONFIRM = {"path_regex": "/confirm$"}


def test_everything_survives_kill_9(own_processor: Processor) -> None:
    """Killed between effect and reply: payment, key, log, faults and clock are kept."""
    processor = own_processor
    processor.tell("clock", advance_seconds=3600)
    buyer = Buyer(processor.client())
    intent = buyer.intent("co_killed")
    fault = processor.fault("act_then_hold", match=CONFIRM)
    with in_thread(lambda: buyer.confirm(intent, key="kept")) as outcome:
        processor.hit(fault)
        processor.end(signal.SIGKILL)
    assert isinstance(outcome.error, stripe.APIConnectionError)

    processor.start()
    after = Buyer(processor.client())

    replayed = after.confirm(intent.id, key="kept")
    assert replayed.status == after.read(intent.id).status == "succeeded"
    assert replayed.last_response is not None
    assert replayed.last_response.headers["idempotent-replayed"] == "true"
    (charge,) = processor.get("summary")["checkouts"]["co_killed"]
    assert charge["payment_intent"] == intent.id
    assert [
        line["path"].rsplit("/", 1)[-1] for line in processor.log_of(intent.id)
    ] == [
        "payment_intents",
        "confirm",
        "confirm",
        intent.id,
    ]
    assert processor.get(f"faults/{fault}")["hits"] == 1
    assert processor.get("clock")["offset_seconds"] == 3600


def test_a_kill_before_the_effect_leaves_nothing(own_processor: Processor) -> None:
    """Killed while the request is held before acting: it never happened."""
    processor = own_processor
    buyer = Buyer(processor.client())
    intent = buyer.intent()
    fault = processor.fault("hold_then_act", match=CONFIRM)
    with in_thread(lambda: buyer.confirm(intent, key="never")) as outcome:
        processor.hit(fault)
        processor.end(signal.SIGKILL)
    assert isinstance(outcome.error, stripe.APIConnectionError)

    processor.start()
    after = Buyer(processor.client())

    assert after.read(intent.id).status == "requires_payment_method"
    assert after.confirm(intent.id, key="never").status == "succeeded"


def test_a_processing_payment_settles_after_a_restart(
    own_processor: Processor,
) -> None:
    """A timer set before the kill fires in the next run."""
    processor = own_processor
    processor.tell("settings", processing_seconds=60)
    buyer = Buyer(processor.client())
    intent = buyer.confirm(buyer.intent(), "pm_sandbox_processingThenSuccess")
    processor.end(signal.SIGKILL)

    processor.start()
    processor.tell("clock", advance_seconds=61)

    assert Buyer(processor.client()).read(intent.id).status == "succeeded"


def test_it_stops_cleanly_within_two_seconds(own_processor: Processor) -> None:
    """SIGTERM ends it with code 0, held requests and long polls notwithstanding."""
    processor = own_processor
    buyer = Buyer(processor.client())
    intent = buyer.intent()
    fault = processor.fault("hold_then_act", match=CONFIRM)
    with in_thread(lambda: buyer.confirm(intent)) as outcome:
        processor.hit(fault)
        before = time.monotonic()
        code = processor.end()
        took = time.monotonic() - before

    assert code == 0
    assert took < 2
    assert not is_alive(processor.pid)
    assert isinstance(outcome.error, stripe.APIConnectionError)


def test_a_taken_port_is_said_plainly(own_processor: Processor) -> None:
    """A second server on the port ends with a sentence, not a stack trace."""
    port = own_processor.url.rsplit(":", 1)[-1]
    command = [sys.executable, "-m", "sandbox.processor", "--port", port]
    command += ["--data", str(own_processor.data), "--api-key", API_KEY]

    second = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert second.returncode == 1
    assert f"cannot listen on {port}" in second.stderr
    assert "Traceback" not in second.stderr


def test_the_log_tells_what_was_asked_and_answered(
    buyer: Buyer, processor: Processor
) -> None:
    """Each line has its number, time, key, digest, answer and resulting status."""
    started = time.time()
    intent = buyer.intent("co_logged", key="logged:create")
    with pytest.raises(stripe.CardError):
        buyer.confirm(intent, "pm_card_chargeDeclined", key="logged:confirm")

    created, confirmed = processor.log_of(intent.id)

    sent = [("amount", "24900"), ("currency", "usd")]
    canonical = "\n" + urlencode(
        sorted([*sent, ("metadata[checkout_id]", "co_logged")])
    )
    assert created["body_sha256"] == hashlib.sha256(canonical[1:].encode()).hexdigest()
    assert created["idempotency_key"] == "logged:create"
    assert (created["method"], created["path"]) == ("POST", "/v1/payment_intents")
    assert (created["status"], created["payment_intent_status"]) == (
        200,
        "requires_payment_method",
    )
    assert (confirmed["status"], confirmed["error_code"]) == (402, "card_declined")
    assert confirmed["checkout_id"] == "co_logged"
    assert confirmed["sequence"] > created["sequence"]
    assert created["at"] == pytest.approx(started, abs=5)
    later = processor.get(
        "requests", since=created["sequence"], checkout_id="co_logged"
    )
    assert later["data"] == [confirmed]


def test_the_summary_counts(own_processor: Processor) -> None:
    """Counts by status, and each checkout's succeeded charges with their times."""
    processor = own_processor
    buyer = Buyer(processor.client())
    started = time.time()
    buyer.paid("co_a")
    buyer.paid("co_a")
    buyer.intent("co_b")
    with pytest.raises(stripe.CardError):
        buyer.paid("co_b", method="pm_card_chargeDeclined")

    summary = processor.get("summary")

    assert summary["payment_intents"] == {"requires_payment_method": 2, "succeeded": 2}
    assert summary["charges"] == {"failed": 1, "succeeded": 2}
    assert summary["succeeded_charges"] == 2
    assert summary["requests"] == 7
    assert list(summary["checkouts"]) == ["co_a"]
    for charge in summary["checkouts"]["co_a"]:
        assert charge["amount"] == 24900
        assert started <= charge["charged_at"] <= time.time()


def test_the_front_page_shows_payments_and_turns_switches(
    buyer: Buyer, processor: Processor
) -> None:
    """A person sees the payments and sets the common faults with a button."""
    buyer.paid("co_<seen>")
    client = processor.control
    page = client.get("/")
    assert page.status_code == 200
    assert "co_&lt;seen&gt;" in page.text
    assert "$249.00" in page.text
    assert "http://" not in page.text

    turned = client.post("/", data={"switch": "lose_reply"})

    assert turned.status_code == 303
    (fault,) = processor.get("faults")["data"]
    assert (fault["action"], fault["match"]) == (
        "act_then_drop_reply",
        {"method": "POST", "path_regex": "/confirm$"},
    )
    shown = " ".join(client.get("/").text.split())
    assert "then lose the reply: one more request" in shown
    client.post("/", data={"switch": "clear", "fault": fault["id"]})
    assert processor.get("faults")["data"] == []
    client.post("/", data={"switch": "webhooks_off"})
    assert "Off: events are kept and not sent." in client.get("/").text


def test_the_log_page_and_the_receipt_are_for_people(
    buyer: Buyer, processor: Processor
) -> None:
    """The request log is a page too, and a charge's receipt_url leads somewhere."""
    intent = buyer.paid("co_page")
    charge = buyer.client.v1.charges.retrieve(str(intent.latest_charge))

    log = processor.control.get("/requests")
    receipt = processor.control.get(str(charge.receipt_url))

    assert f"POST /v1/payment_intents/{intent.id}/confirm" in log.text
    assert "$249.00 paid to Holdfast Ltd with Visa ending in 4242." in receipt.text
