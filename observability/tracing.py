"""Traces: from the POST through the workflow to each activity, when switched on.

Spans carry route templates and ids, never a path, an address or a name. Exceptions'
texts, which Temporal's interceptor adds to its spans, go through the same net as logs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue
from temporalio.contrib.opentelemetry import TracingInterceptor

from observability.redaction import redact_text

_SCOPE = "holdfast"

#: From this status on, a request failed by our fault.
_SERVER_ERROR = 500

#: Anything else as a span's name would let strangers fill the trace store with names.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class AsgiApp(Protocol):
    """An ASGI application."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one connection."""
        ...


def configure(enabled: bool, service: str) -> None:
    """Switch traces on for this process; once, before anything is traced.

    Args:
        enabled: False leaves everything as it is: no span is made, nothing is sent.
        service: Name of this process in the traces, as `holdfast-api`.
    """
    if not enabled:
        return
    # Takes seconds of import; whoever does not trace does not pay for it.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}))
    exporter = RedactingExporter(OTLPSpanExporter())
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def is_enabled() -> bool:
    """Say whether `configure` switched traces on."""
    return isinstance(trace.get_tracer_provider(), TracerProvider)


def temporal_interceptors() -> list[TracingInterceptor]:
    """Return what a Temporal client needs to carry traces; a worker uses its client's.

    Give them to `Client.connect(interceptors=...)`.
    """
    return [TracingInterceptor()] if is_enabled() else []


def instrument(app: AsgiApp, tracer: trace.Tracer | None = None) -> AsgiApp:
    """Wrap an ASGI application so that each request is one server span.

    Args:
        app: The application; its router leaves the matched route in the scope.
        tracer: For tests; None takes the configured one, or does without a wrapper.
    """
    if tracer is None and not is_enabled():
        return app
    return _Traced(app, tracer or trace.get_tracer(_SCOPE))


class _Traced:
    """One server span per request, named by method and route template."""

    def __init__(self, app: AsgiApp, tracer: trace.Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        with self._tracer.start_as_current_span(
            method,
            # A stranger's `traceparent` must not choose our trace ids or our sampling.
            context=Context(),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            await self._answer(scope, receive, send, span, method)

    async def _answer(
        self, scope: Any, receive: Any, send: Any, span: trace.Span, method: str
    ) -> None:
        status = 0

        async def send_and_look(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_look)
        except BaseException as error:
            # The class alone: a message may hold what a customer typed.
            span.set_status(StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            route = getattr(scope.get("route"), "path", "(no route)")
            span.update_name(f"{method} {route}")
            span.set_attribute("http.route", route)
            if status:
                span.set_attribute("http.response.status_code", status)
            if status >= _SERVER_ERROR:
                span.set_status(StatusCode.ERROR)


class RedactingExporter(SpanExporter):
    """Passes spans on with every text in them redacted."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export the redacted spans."""
        return self._exporter.export([_redacted(span) for span in spans])

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is held back."""
        return self._exporter.force_flush(timeout_millis)


def _redacted(span: ReadableSpan) -> ReadableSpan:
    description = span.status.description
    return ReadableSpan(
        name=redact_text(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_redacted_attributes(span.attributes),
        events=[
            Event(
                redact_text(event.name),
                _redacted_attributes(event.attributes),
                event.timestamp,
            )
            for event in span.events
        ],
        links=span.links,
        kind=span.kind,
        status=Status(
            span.status.status_code, description and redact_text(description)
        ),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _redacted_attributes(
    attributes: Any,
) -> dict[str, AttributeValue]:
    return {
        key: redact_text(value, keep_lines=True) if isinstance(value, str) else value
        for key, value in (attributes or {}).items()
    }
