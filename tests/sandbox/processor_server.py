"""The sandbox processor as tests meet it: a real process, the official SDK."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import requests
import stripe
from stripe import PaymentIntent, StripeClient

API_KEY = "sk_test_sandbox"
WEBHOOK_SECRET = "whsec_sandbox"
RETURN_URL = "https://shop.example/c/tok?lang=en"
ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 10.0

Json = dict[str, Any]


@dataclass(frozen=True)
class Delivery:
    """One webhook as it arrived."""

    payload: bytes
    signature: str

    @property
    def event(self) -> stripe.Event:
        """The event, its signature verified by the official SDK."""
        verified: stripe.Event = stripe.Webhook.construct_event(
            self.payload, self.signature, WEBHOOK_SECRET
        )
        return verified

    @property
    def subject(self) -> str:
        """The PaymentIntent the event is about."""
        thing = json.loads(self.payload)["data"]["object"]
        return str(thing.get("payment_intent") or thing["id"])


class Receiver:
    """A webhook endpoint on a real port that keeps what it gets."""

    def __init__(self, port: int = 0) -> None:
        self._arrived: queue.Queue[Delivery] = queue.Queue()
        self._refusals: dict[str, int] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                payload = self.rfile.read(length)
                delivery = Delivery(payload, self.headers["Stripe-Signature"])
                self.send_response(receiver.take(delivery))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhooks"

    def take(self, delivery: Delivery) -> int:
        """Keep a delivery and choose the status it is answered with."""
        self._arrived.put(delivery)
        left = self._refusals.get(delivery.subject, 0)
        self._refusals[delivery.subject] = left - 1
        return 500 if left > 0 else 200

    def refuse(self, intent_id: str, times: int) -> None:
        """Answer 500 to the next events about a PaymentIntent."""
        self._refusals[intent_id] = times

    def collect(self, intent_id: str, count: int) -> list[Delivery]:
        """Wait for so many deliveries about a PaymentIntent; others are let go."""
        found: list[Delivery] = []
        while len(found) < count:
            delivery = self._arrived.get(timeout=PATIENCE_SECONDS)
            if delivery.subject == intent_id:
                found.append(delivery)
        return found

    def kinds(self, intent_id: str, count: int) -> list[str]:
        """The types of so many events about a PaymentIntent, sorted."""
        deliveries = self.collect(intent_id, count)
        return sorted(delivery.event.type for delivery in deliveries)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Processor:
    """The server's process and the clients that talk to it."""

    data: Path
    webhook_url: str | None = None
    process: "subprocess.Popen[str] | None" = None
    url: str = ""
    control: httpx.Client = field(default_factory=httpx.Client)
    _sessions: list[requests.Session] = field(default_factory=list)

    def start(self) -> None:
        """Start the server and wait for the line that says it is ready."""
        command = [sys.executable, "-W", "error", "-m", "sandbox.processor"]
        command += ["--port", "0", "--data", str(self.data), "--api-key", API_KEY]
        command += ["--merchant", "Holdfast Ltd"]
        if self.webhook_url:
            command += ["--webhook-url", self.webhook_url]
            command += ["--webhook-secret", WEBHOOK_SECRET]
        self._let_go()
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        assert "ready on" in ready, ready
        self.url = ready.split()[-1]
        self.control.close()
        self.control = httpx.Client(base_url=self.url, timeout=30)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, wait for the end, return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=PATIENCE_SECONDS)
        self._let_go()
        return code

    def _let_go(self) -> None:
        """Close our end of its output: also of one that died by itself."""
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()

    def close(self) -> None:
        """End everything that was started here."""
        if self.process is not None and self.process.poll() is None:
            self.end()
        self._let_go()
        self.control.close()
        for session in self._sessions:
            session.close()

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self.process is not None
        return self.process.pid

    def client(
        self, api_key: str = API_KEY, *, timeout_seconds: float = 20
    ) -> StripeClient:
        """The official SDK, told nothing but the base address."""
        session = requests.Session()
        self._sessions.append(session)
        return StripeClient(
            api_key,
            base_addresses={"api": self.url},
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=timeout_seconds, session=session),
        )

    def get(self, path: str, **query: Any) -> Json:
        """Ask the control API."""
        answer = self.control.get(f"/sandbox/{path}", params=query)
        answer.raise_for_status()
        body: Json = answer.json()
        return body

    def tell(self, path: str, **body: Any) -> Json:
        """Turn something by the control API."""
        answer = self.control.post(f"/sandbox/{path}", json=body)
        answer.raise_for_status()
        decoded: Json = answer.json()
        return decoded

    def fault(self, action: str, **more: Any) -> str:
        """Set a fault switch; returns its id."""
        return str(self.tell("faults", action=action, **more)["id"])

    def hit(self, fault: str, hits: int = 1) -> Json:
        """Wait until a fault was hit."""
        found = self.get(f"faults/{fault}", wait="hit", timeout=10, hits=hits)
        assert found["hits"] >= hits, found
        return found

    def calm(self) -> None:
        """Turn every switch back, for the next test."""
        self.control.delete("/sandbox/faults").raise_for_status()
        self.tell(
            "webhooks",
            mode="on",
            duplicate=0,
            delay_seconds=0,
            shuffle=False,
            retry_seconds=[0.05, 0.05],
        )
        self.tell("settings", refund_mode="succeed", processing_seconds=3)

    def log_of(self, intent_id: str) -> list[Json]:
        """The request log's lines about a PaymentIntent."""
        lines: list[Json] = self.get("requests", payment_intent=intent_id)["data"]
        return lines


@dataclass(frozen=True)
class Buyer:
    """What the tests do over and over, through the SDK."""

    client: StripeClient

    def intent(
        self, checkout_id: str = "co_1", *, key: str | None = None, **more: Any
    ) -> PaymentIntent:
        """Make the $249.00 PaymentIntent of a checkout."""
        params: Any = {
            "amount": 24900,
            "currency": "usd",
            "metadata": {"checkout_id": checkout_id},
            **more,
        }
        options: Any = {"idempotency_key": key} if key else {}
        return self.client.v1.payment_intents.create(params, options)

    def confirm(
        self,
        intent: PaymentIntent | str,
        method: str = "pm_card_visa",
        *,
        key: str | None = None,
        **more: Any,
    ) -> PaymentIntent:
        """Confirm a PaymentIntent with a payment method."""
        identifier = intent if isinstance(intent, str) else intent.id
        params: Any = {"payment_method": method, "return_url": RETURN_URL, **more}
        options: Any = {"idempotency_key": key} if key else {}
        return self.client.v1.payment_intents.confirm(identifier, params, options)

    def paid(self, checkout_id: str = "co_1", **more: Any) -> PaymentIntent:
        """A PaymentIntent that succeeded."""
        return self.confirm(self.intent(checkout_id), **more)

    def read(self, intent: PaymentIntent | str, **more: Any) -> PaymentIntent:
        """Retrieve a PaymentIntent."""
        identifier = intent if isinstance(intent, str) else intent.id
        params: Any = more
        return self.client.v1.payment_intents.retrieve(identifier, params)


def error_body(error: stripe.StripeError) -> Json:
    """The ``error`` object of a failed call."""
    body: Any = error.json_body
    found: Json = body["error"]
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def in_thread(act: Callable[[], Any]) -> Iterator["Outcome"]:
    """Do something at the same time; the outcome is there after the block."""
    outcome = Outcome()

    def run() -> None:
        try:
            outcome.value = act()
        except Exception as error:
            outcome.error = error
        outcome.is_over = True

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield outcome
    finally:
        thread.join(timeout=PATIENCE_SECONDS)
        assert not thread.is_alive()


@dataclass
class Outcome:
    """What came of something done in a thread."""

    value: Any = None
    error: Exception | None = None
    is_over: bool = False
