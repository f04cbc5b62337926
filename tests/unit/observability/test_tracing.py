"""Traces: one span per request that carries over, and no personal data in any."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from temporalio.client import OutboundInterceptor, StartWorkflowInput
from temporalio.contrib.opentelemetry import TracingInterceptor
from temporalio.converter import PayloadConverter

from observability import tracing

TOKEN = "q3vXo0-1pZcKf9_LmN7bTs5RwYhU2jGdEaI8kQxVn4A"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """Keeps the spans that would be sent."""
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> trace.Tracer:
    """A tracer of this test's own; the process's provider stays untouched."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(
        SimpleSpanProcessor(tracing.RedactingExporter(exporter))
    )
    return provider.get_tracer("tests")


@pytest.fixture
async def client(tracer: trace.Tracer) -> AsyncIterator[httpx.AsyncClient]:
    """A small application behind the middleware."""
    app = FastAPI()

    @app.post("/c/{token}/pay")
    async def pay(token: str) -> dict[str, str]:
        return {"headers": str(await _start_workflow(tracer)), "token": token}

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("mara@example.com")

    transport = httpx.ASGITransport(
        tracing.instrument(app, tracer), raise_app_exceptions=False
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as made:
        yield made


class _Recorder(OutboundInterceptor):
    """Stands for the Temporal client: keeps the headers that it would send."""

    def __init__(self) -> None:
        self.headers: dict[str, Any] = {}

    async def start_workflow(self, input: StartWorkflowInput) -> Any:
        self.headers = dict(input.headers)


async def _start_workflow(tracer: trace.Tracer) -> str:
    """Start a workflow through the interceptor; return the trace it would carry."""
    recorder = _Recorder()
    call: Any = type("Call", (), {})()
    call.headers, call.id, call.workflow = {}, "checkout-1", "CheckoutWorkflow"
    call.start_signal = None
    interceptor = TracingInterceptor(tracer).intercept_client(recorder)
    await interceptor.start_workflow(call)
    (payload,) = recorder.headers.values()
    carrier = PayloadConverter.default.from_payload(payload)
    return str(carrier["traceparent"])


async def test_a_posts_span_carries_over_to_the_workflow(
    client: httpx.AsyncClient, exporter: InMemorySpanExporter
) -> None:
    """The workflow is started inside the trace of the POST that asked for it."""
    answer = await client.post(f"/c/{TOKEN}/pay")

    start, post = exporter.get_finished_spans()
    assert post.name == "POST /c/{token}/pay"
    assert post.parent is None
    assert start.parent is not None
    assert start.parent.span_id == post.context.span_id
    assert f"{post.context.trace_id:032x}" in answer.json()["headers"]


async def test_spans_hold_no_path_and_no_personal_data(
    client: httpx.AsyncClient, exporter: InMemorySpanExporter
) -> None:
    """Neither an address's token nor an exception's text is in any span."""
    await client.post(f"/c/{TOKEN}/pay?email=mara@example.com")
    await client.get("/broken")
    await client.get(f"/nowhere/{TOKEN}")

    spans = exporter.get_finished_spans()
    text = " ".join(span.to_json() for span in spans)
    assert TOKEN not in text
    assert "mara" not in text
    assert [span.name for span in spans][-1] == "GET (no route)"


async def test_an_error_of_ours_is_marked(
    client: httpx.AsyncClient, exporter: InMemorySpanExporter
) -> None:
    """A request that ended in an exception is an error span, named by its class."""
    await client.get("/broken")

    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.name == "GET /broken"


async def test_a_strangers_trace_is_not_continued(
    client: httpx.AsyncClient, exporter: InMemorySpanExporter
) -> None:
    """A `traceparent` from outside chooses neither our trace id nor our sampling."""
    foreign = "4bf92f3577b34da6a3ce929d0e0e4736"
    await client.post(
        f"/c/{TOKEN}/pay",
        headers={"traceparent": f"00-{foreign}-00f067aa0ba902b7-00"},
    )

    assert len(exporter.get_finished_spans()) == 2
    assert foreign not in " ".join(s.to_json() for s in exporter.get_finished_spans())


async def test_an_unknown_method_is_no_name(
    client: httpx.AsyncClient, exporter: InMemorySpanExporter
) -> None:
    """A stranger cannot fill the trace store with names."""
    await client.request("MARA", "/broken")

    assert exporter.get_finished_spans()[0].name.startswith("OTHER ")


def test_an_exceptions_text_in_a_span_is_redacted(
    tracer: trace.Tracer, exporter: InMemorySpanExporter
) -> None:
    """Temporal's interceptor records exceptions; their text goes through the net."""
    with (
        pytest.raises(ValueError, match="mara"),
        tracer.start_as_current_span("RunActivity:send_receipt"),
    ):
        raise ValueError("refused by mara@example.com")

    (span,) = exporter.get_finished_spans()
    assert span.events[0].name == "exception"
    assert "mara" not in span.to_json()
    assert "refused by [removed]" in span.to_json()


def test_switched_off_nothing_is_wrapped() -> None:
    """Without the setting there is no middleware, no interceptor and no provider."""
    app = FastAPI()
    tracing.configure(enabled=False, service="holdfast-api")

    assert tracing.instrument(app) is app
    assert tracing.temporal_interceptors() == []


def test_switched_on_there_is_an_interceptor() -> None:
    """With the setting, spans go to the endpoint in the environment.

    In a process of its own, because a provider cannot be taken back.
    """
    program = (
        "from observability import tracing\n"
        "tracing.configure(enabled=True, service='holdfast-api')\n"
        "assert len(tracing.temporal_interceptors()) == 1\n"
        "async def app(scope, receive, send): ...\n"
        "assert tracing.instrument(app) is not app\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
