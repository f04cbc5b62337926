"""Log lines: what they carry, and what they never show."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.observed import ActivityLog
from domain.messages import SendEmail
from observability import logs
from observability.redaction import is_secret_key, redact, redact_text

CHECKOUT_ID = "5f0c1c43-5c43-4b5e-8f0d-6f3f9a1d2c11"
PAGE_TOKEN = "q3vXo0-1pZcKf9_LmN7bTs5RwYhU2jGdEaI8kQxVn4A"
CARD = "4242424242424242"

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def json_lines() -> Iterator[Lines]:
    """Lines written as JSON while the test runs; the process is as before after it."""
    stream = io.StringIO()
    with _UntouchedLogging():
        logs.configure("json", stream=stream)
        yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def console() -> Iterator[io.StringIO]:
    """The text that a terminal would show."""
    stream = io.StringIO()
    with _UntouchedLogging():
        logs.configure("console", stream=stream)
        yield stream


class _UntouchedLogging:
    """Put the process's logging back as it was."""

    def __enter__(self) -> None:
        root = logging.getLogger()
        self._before = (
            root.handlers[:],
            root.level,
            sys.excepthook,
            threading.excepthook,
        )

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        root.handlers[:], level, sys.excepthook, threading.excepthook = self._before
        root.setLevel(level)
        logging.captureWarnings(capture=False)
        structlog.contextvars.clear_contextvars()
        structlog.reset_defaults()


def test_a_line_carries_the_bound_ids(json_lines: Lines) -> None:
    """Every line of a request names the checkout, PaymentIntent, order and request."""
    logs.bind(checkout_id=CHECKOUT_ID, payment_intent_id="pi_1", order_id="o1")
    logs.bind(request_id="r1", workflow_id=f"checkout-{CHECKOUT_ID}")
    logs.get_logger().info("order written", step="write order")

    line = json_lines()[0]
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "order written",
        "level": "info",
        "logger": "holdfast",
        "step": "write order",
        "checkout_id": CHECKOUT_ID,
        "payment_intent_id": "pi_1",
        "order_id": "o1",
        "request_id": "r1",
        "workflow_id": f"checkout-{CHECKOUT_ID}",
    }


def test_ids_end_with_clear(json_lines: Lines) -> None:
    """A request's ids never stand on another request's lines."""
    logs.bind(request_id="r1", checkout_id=CHECKOUT_ID)
    logs.clear()
    logs.get_logger().info("later")

    assert "request_id" not in json_lines()[0]
    assert "checkout_id" not in json_lines()[0]


def test_libraries_write_through_the_same_pipeline(json_lines: Lines) -> None:
    """A library's line is JSON too, with its logger's name and the bound ids."""
    logs.bind(checkout_id=CHECKOUT_ID)
    logging.getLogger("uvicorn.error").warning("slow %s", "start")

    line = json_lines()[0]
    assert line["event"] == "slow start"
    assert line["logger"] == "uvicorn.error"
    assert line["checkout_id"] == CHECKOUT_ID


@pytest.mark.parametrize("name", ["httpx", "stripe", "sqlalchemy.engine.Engine"])
def test_chatty_libraries_are_quiet_below_warning(json_lines: Lines, name: str) -> None:
    """Lines per request and per statement stay out, and their parameters with them."""
    logging.getLogger(name).info("HTTP Request: POST /v1/payment_intents")
    logging.getLogger(name).warning("trouble")

    assert [line["event"] for line in json_lines()] == ["trouble"]


def test_secret_fields_are_dropped_and_secret_texts_cut_out(json_lines: Lines) -> None:
    """Whoever logs a whole row or header map by mistake writes no secret with it."""
    logs.get_logger().info(
        "mara@example.com pressed Pay with 4242 4242 4242 4242",
        email="mara@example.com",
        token=PAGE_TOKEN,
        headers={"Authorization": "Bearer abc", "X-Api-Key": "k", "Accept": "*/*"},
        cookies=["a=b"],
        number=int(CARD),
        path=f"/c/{PAGE_TOKEN}/pay",
        email_id=CHECKOUT_ID,
    )

    line = json_lines()[0]
    assert line["event"] == "[removed] pressed Pay with [removed]"
    assert line["headers"] == {"Accept": "*/*"}
    assert line["number"] == "[removed]"
    assert line["path"] == "/c/[removed]/pay"
    assert line["email_id"] == CHECKOUT_ID
    assert {"email", "token", "cookies"}.isdisjoint(line)


def test_tracebacks_are_filtered(json_lines: Lines) -> None:
    """An exception's text and source lines go through the same net as fields."""
    try:
        try:
            raise ValueError("no row for mara@example.com")
        except ValueError as error:
            raise RuntimeError("Authorization: Bearer abcdefghijklmnop") from error
    except RuntimeError:
        logs.get_logger().exception("write order failed")

    text = json.dumps(json_lines())
    assert "ValueError" in text
    assert "RuntimeError" in text
    assert "mara" not in text
    assert "abcdefghijklmnop" not in text


def test_an_uncaught_exception_is_filtered(json_lines: Lines) -> None:
    """Not even a crash prints past the net."""
    error = RuntimeError("postgresql+psycopg://app:hunter22@db/holdfast")
    sys.excepthook(RuntimeError, error, None)

    line = json_lines()[0]
    assert line["level"] == "critical"
    assert "hunter22" not in json.dumps(line)
    assert "@db/holdfast" in line["exception"]


def test_a_line_cannot_be_forged(console: io.StringIO) -> None:
    """A line end, an escape sequence or a traceback never starts a line of its own."""
    forged = "x\n2026-01-01T00:00:00Z [info] refund approved\x1b[2K\r"
    logs.get_logger().info(forged, reason=forged)
    try:
        raise ValueError(forged)
    except ValueError:
        logs.get_logger().exception("failed")

    lines = console.getvalue().splitlines()
    assert "\x1b" not in console.getvalue()
    assert not [line for line in lines if line.startswith("2026-01-01T00:00:00Z")]
    assert "\\x1b[2K" in lines[0]


def test_a_pipe_gets_no_colours(console: io.StringIO) -> None:
    """Console lines are plain text where no terminal reads them."""
    logs.get_logger().warning("plain", step="charge")

    assert "\x1b" not in console.getvalue()
    assert "plain" in console.getvalue()
    assert "step=charge" in console.getvalue()


def test_a_line_that_cannot_be_written_raises_nothing(
    json_lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    """Logging never stops a payment, and says that a line is missing, not its text."""

    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("mara@example.com")

    logs.get_logger().info("event", value=Hostile())

    assert json_lines() == []
    assert capsys.readouterr().err == (
        "a log line of holdfast could not be written: RuntimeError\n"
    )


@pytest.mark.parametrize(
    "secret",
    [
        "mara@example.com",
        "mara.o'neil+shop@mail.example.co.uk",
        "mara%40example.com",
        "jörg@müller.example",
        "sk_test_51Habcdef",
        "sk_live_51Habcdef",
        "rk_live_51Habcdef",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "ctoken_1NnQUf2eZvKYlo2CIObdtbnb",
        "pi_3Mt_secret_YrKJUKribcBjcG8HVhfZluoGH",
        "Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc",
        "Basic bWFyYTpodW50ZXIyMg==",
        PAGE_TOKEN,
        f"/c/{PAGE_TOKEN}",
        CARD,
        "4242 4242 4242 4242",
        "4242-4242-4242-4242",
        "378282246310005",
        "5555555555554444",
        "token=abc123",
        "password=hunter2",
    ],
)
@pytest.mark.parametrize("frame", ["{}", "before {} after", '{{"a": "{}"}}', "<{}>"])
def test_a_secret_is_found_wherever_it_stands(secret: str, frame: str) -> None:
    """Each kind of secret is cut out of plain text, JSON and markup."""
    words = secret.removeprefix("/c/").split("=", 1)[-1] if "=" in secret else secret
    words = words.removeprefix("/c/").removeprefix("Bearer ").removeprefix("Basic ")

    assert words not in redact_text(frame.format(secret))


@pytest.mark.parametrize(
    "text",
    [
        CHECKOUT_ID,
        "12345678-1234-4123-8123-123456789012",
        f"checkout-{CHECKOUT_ID}",
        "pi_3MtwBwLkdIwHu7ix28a3tqPa",
        "ORD-7K2M-9QXD",
        "2026-11-23T14:32:10.123456Z",
        "$249.00",
        "GET /c/{token} 200",
        "checkout.charge_payment_intent",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "1234567890123",
    ],
)
def test_what_support_needs_stays(text: str) -> None:
    """Ids, references, times and amounts are not taken for secrets."""
    assert redact_text(text) == text


@given(st.text(), st.text())
@example("a" * 100, "")
def test_redaction_takes_any_text(before: str, after: str) -> None:
    """Whatever stands around it, an address does not come through."""
    assert "mara@example.com" not in redact_text(f"{before} mara@example.com {after}")


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "piece", ["a", "1", "1 ", "a@", "/c/", "_secret_", "\n", "A1-"]
)
def test_redaction_of_a_huge_text_is_quick(piece: str) -> None:
    """A text that a stranger chose cannot hold the process up."""
    text = redact_text(piece * 1_000_000)

    assert len(text) < 100_000


def test_nested_and_odd_values_become_plain() -> None:
    """Any value can be logged: sets, bytes, deep nesting, objects."""
    value = redact({"a": {"b": {"c": {"d": {"email": "mara@example.com"}}}}, "e": {1}})

    assert "mara" not in repr(value)
    assert redact(b"mara@example.com") == "b'[removed]'"
    assert redact(None) is None
    assert redact(True) is True


def test_ids_of_secret_things_are_no_secrets() -> None:
    """`email_id` is a row's id; `email` is an address."""
    assert not is_secret_key("email_id")
    assert not is_secret_key("token_key_id")
    assert is_secret_key("email")
    assert is_secret_key("Set-Cookie")
    assert is_secret_key("stripe_api_key")
    assert is_secret_key("smtp_password")


class _Inside(ActivityInboundInterceptor):
    """The activity itself."""

    def __init__(self) -> None:
        """Stand at the end of the chain."""

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        return input.fn(*input.args)


async def test_a_line_of_an_activity_names_it_and_what_it_is_about(
    json_lines: Lines,
) -> None:
    """Whoever reads one line knows the activity, its try, its workflow and checkout."""
    at_work = ActivityEnvironment()
    at_work.info = replace(
        at_work.info, activity_type="send_email", workflow_id=f"checkout-{CHECKOUT_ID}"
    )
    line_writer = ActivityLog().intercept_activity(_Inside())
    about = SendEmail(email_id=UUID(int=3))
    order = ExecuteActivityInput(
        fn=lambda _: None, args=[about], executor=None, headers={}
    )
    await at_work.run(line_writer.execute_activity, order)

    line = json_lines()[-1]
    assert (line["activity"], line["attempt"]) == ("send_email", 1)
    assert line["workflow_id"] == f"checkout-{CHECKOUT_ID}"
    assert line["checkout_id"] == CHECKOUT_ID
    assert (line["email_id"], line["outcome"]) == (str(UUID(int=3)), "done")
