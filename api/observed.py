"""Each request seen from outside: one log line, one measurement, one id.

The line carries the route's template, never the path: addresses of checkouts and
sign-in links are secrets, and query strings hold what strangers wrote.
"""

from __future__ import annotations

import secrets
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from observability import logs, metrics

_ID_BYTES = 8

#: Other words would let a stranger make metrics without end.
_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}
)

#: Set in the scope of an answer that takes long because it shall: its seconds say
#: nothing about how fast we are.
LASTS_ON_PURPOSE = "holdfast.lasts_on_purpose"

#: Asked every second by probes and open pages: measured, but not worth a line.
_QUIET_ROUTES = frozenset(
    {"/healthz", "/readyz", "/c/{token}/status", "/static/{name}"}
)

_FIRST_ERROR = 400

_log = logs.get_logger("api.requests")


def request_id_of(scope: Scope) -> str:
    """Return the id under which a request is logged."""
    request_id: str = scope.get("holdfast.request_id", "")
    return request_id


class Observed:
    """The outermost layer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and write down what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.perf_counter()
        request_id = secrets.token_hex(_ID_BYTES)
        scope["holdfast.request_id"] = request_id
        logs.clear()
        logs.bind(request_id=request_id)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            _record(scope, status, time.perf_counter() - started_at)


def _record(scope: Scope, status: int, seconds: float) -> None:
    # A route that a stranger made up is no label.
    route = getattr(scope.get("route"), "path", "(no route)")
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"
    if not scope.get(LASTS_ON_PURPOSE):
        metrics.HTTP_REQUESTS.labels(route=route, method=method, status=status).observe(
            seconds
        )
    if route in _QUIET_ROUTES and status < _FIRST_ERROR:
        return
    _log.info(
        "request",
        route=route,
        method=method,
        status=status,
        ms=round(seconds * 1000, 1),
    )
