"""One trace tells the whole purchase, from the press on Pay to the receipt."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from stack.driver import fresh_data_folder, run_stack
from tests.durability.breaking import wait_until
from tests.durability.counting import open_purchase

_PRESS = "POST /c/{token}/pay"
_PRESSES = 3
_LAST_STEP = "RunActivity:record_email"


class Collector:
    """Takes spans by OTLP over HTTP, as any tracing back end does."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        #: Names of the spans of each trace.
        self.traces: dict[bytes, set[str]] = {}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def take(self, body: bytes) -> None:
        """Keep what one export carries."""
        self.raw.append(body)
        exported = ExportTraceServiceRequest()
        exported.ParseFromString(body)
        for resource in exported.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.traces.setdefault(span.trace_id, set()).add(span.name)

    def from_press_to_receipt(self) -> set[str]:
        """Return the names of all spans of a trace that holds both; or nothing yet."""
        ends = {_PRESS, _LAST_STEP}
        return next(
            (names for names in [*self.traces.values()] if ends <= names), set()
        )


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector on a free port."""
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def test_one_trace_leads_from_the_press_to_the_receipt(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """API, workflow and every activity stand in one trace, and no person does."""
    address = f"http://127.0.0.1:{collector.server.server_port}"
    monkeypatch.setenv("HOLDFAST_TRACES", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    with fresh_data_folder() as data, run_stack(Path(data)) as stack:
        names: set[str] = set()
        # A press that Temporal was too busy for is started by the loop, in a trace of
        # its own: the next one is not.
        for _ in range(_PRESSES):
            with open_purchase(stack) as purchase:
                purchase.pay()
                purchase.wait_whole()
                with suppress(AssertionError):
                    wait_until(
                        lambda: bool(collector.from_press_to_receipt()),
                        "the trace to arrive",
                        limit_seconds=10,
                    )
            if names := collector.from_press_to_receipt():
                break

    token = purchase.address.rpartition("/c/")[2]
    assert {
        "StartWorkflow:CheckoutWorkflow",
        "RunWorkflow:CheckoutWorkflow",
        "RunActivity:confirm_payment_intent",
        "RunActivity:write_order",
        "RunActivity:grant_entitlement",
        "RunActivity:send_email",
    } <= names
    for private in (purchase.email, token):
        assert all(private.encode() not in body for body in collector.raw)
