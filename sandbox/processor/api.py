"""Stripe's API over HTTP: who asks, under which key, and what goes wrong on the way.

A request is authenticated, matched with what its idempotency key kept, then meets the
fault set for it, if any. Effect, kept result, log line and fault count commit in one
transaction before the reply is sent.
"""

import asyncio
import base64
import binascii
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from sandbox.processor import (
    errors,
    lists,
    parameters,
    payment_methods,
    request_log,
    routes,
)
from sandbox.processor.errors import ApiError, Json
from sandbox.processor.faults import Fault, Faults
from sandbox.processor.idempotency import Keys, StoredResult
from sandbox.processor.parameters import Parameters
from sandbox.processor.routes import Route
from sandbox.processor.storage import encode
from sandbox.processor.work import API_VERSION, Call, World, new_id

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_SETTLED_BEFORE_ACTING: dict[str, Callable[[], ApiError]] = {
    "throttle": errors.rate_limited,
    "lock_timeout": errors.lock_timeout,
    "error_503": errors.unavailable,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it came."""

    id: str
    method: str
    path: str
    pairs: parameters.Pairs
    key: str | None
    """The idempotency key; None for GET, where Stripe says it has no effect."""
    authorization: str | None
    version: str

    @property
    def fingerprint(self) -> str:
        """What must be the same for the same idempotency key."""
        return parameters.fingerprint(self.method, self.path, pairs=self.pairs)


@dataclass(slots=True, kw_only=True)
class Reply:
    """What is answered; ``status`` None means the connection is closed instead."""

    status: int | None
    body: str = ""
    is_kept: bool = False
    is_dropped: bool = False
    replay_of: str | None = None
    should_retry: bool | None = None
    error_code: str | None = None
    intent_id: str | None = None
    sequence: int = field(default=0)

    @classmethod
    def of(cls, error: ApiError, request: Request, intent_id: str | None) -> "Reply":
        """The reply that carries an error."""
        url = f"https://dashboard.stripe.com/test/logs/{request.id}"
        body = {"error": {**error.error, "request_log_url": url}}
        return cls(
            status=error.status,
            body=encode(body),
            is_kept=error.is_stored,
            should_retry=error.should_retry,
            error_code=error.error.get("code") or error.error["type"],
            intent_id=intent_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """An admitted request: where it goes and what its key kept."""

    request: Request
    route: Route
    path_id: str
    params: Parameters
    earlier: StoredResult | None


class Api:
    """The ASGI application under ``/v1/``."""

    def __init__(
        self, world: World, faults: Faults, keys: Keys, on_change: Callable[[], None]
    ) -> None:
        self._world = world
        self._faults = faults
        self._keys = keys
        self._on_change = on_change

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = await _read(scope, receive)
        if request is None:
            return
        reply = await self._answer(request, receive)
        if reply.status is None or reply.is_dropped:
            await _close(scope, receive)
        else:
            await _send(request, reply, send)

    async def _answer(self, request: Request, receive: Receive) -> Reply:
        try:
            task = self._admit(request)
        except ApiError as error:
            with self._world.storage.transaction():
                return self._logged(request, Reply.of(error, request, None), None)
        fault = self._faults.take(
            request.method,
            request.path,
            self._checkout_of(task),
            is_replay=task.earlier is not None,
        )
        with self._keys.in_flight(request.key):
            await self._before(task, fault)
            if self._faults.is_stopping:
                return Reply(status=None)
            reply = self._act(task, fault)
            if fault is not None:
                await self._after(fault, reply, receive)
            return reply

    def _admit(self, request: Request) -> _Task:
        """Everything that is refused at the door, under no key and by no fault."""
        self._authenticate(request.authorization)
        route, path_id = routes.find(request.method, request.path)
        earlier = None
        if request.key is not None:
            earlier = self._keys.earlier(request.key, request.fingerprint)
        return _Task(
            request=request,
            route=route,
            path_id=path_id,
            params=Parameters(parameters.nest(request.pairs)),
            earlier=earlier,
        )

    def _authenticate(self, authorization: str | None) -> None:
        presented = _presented_key(authorization)
        expected = self._world.options.api_key
        if presented is None or not hmac.compare_digest(
            presented.encode(), expected.encode()
        ):
            raise errors.unauthorized(presented)

    def _checkout_of(self, task: _Task) -> str | None:
        """The checkout a request is about, by its metadata or its PaymentIntent."""
        metadata = task.params.value("metadata")
        if isinstance(metadata, dict) and "checkout_id" in metadata:
            return str(metadata["checkout_id"])
        named = task.path_id or task.params.value("payment_intent")
        rows = self._world.storage.rows(
            "SELECT checkout_id FROM objects WHERE id = :id",
            {"id": named if isinstance(named, str) else None},
        )
        return rows[0]["checkout_id"] if rows else None

    async def _before(self, task: _Task, fault: Fault | None) -> None:
        """What happens before anything is done: waiting."""
        if fault is not None and fault.action == "hold_then_act":
            await self._hit(fault)
            await self._faults.hold(fault)
        elif fault is not None and fault.action == "delay":
            await self._faults.pause(fault.seconds)
        method = payment_methods.find(str(task.params.value("payment_method")))
        if method is not None and method.is_slow and task.earlier is None:
            await self._faults.pause(self._world.switches.settings.slow_seconds)

    async def _hit(self, fault: Fault) -> None:
        with self._world.storage.transaction():
            self._faults.count(fault)
        await self._faults.announce(fault)

    def _act(self, task: _Task, fault: Fault | None) -> Reply:
        """Do it, keep it under the key and log it, all in one transaction."""
        request = task.request
        with self._world.storage.transaction():
            reply = self._outcome(task, fault)
            if reply.is_kept and request.key is not None:
                kept = StoredResult(
                    status=reply.status or HTTPStatus.INTERNAL_SERVER_ERROR,
                    body=reply.body,
                    request_id=request.id,
                    intent_id=reply.intent_id,
                )
                self._keys.keep(request.key, request.fingerprint, kept)
            if fault is not None and fault.action != "hold_then_act":
                self._faults.count(fault)
            self._logged(request, reply, fault)
        self._on_change()
        return reply

    def _outcome(self, task: _Task, fault: Fault | None) -> Reply:
        """The reply that the fault, the key or the endpoint gives."""
        request = task.request
        action = fault.action if fault else None
        if action == "refuse":
            return Reply(status=None, is_dropped=True, intent_id=_intent_in(task))
        if action in _SETTLED_BEFORE_ACTING:
            error = _SETTLED_BEFORE_ACTING[action]()
            return Reply.of(error, request, _intent_in(task))
        if action == "error_500_before":
            return Reply.of(errors.internal(request.id), request, _intent_in(task))
        if task.earlier is not None:
            reply = _replayed(task.earlier)
        else:
            reply = self._execute(task)
        if action == "error_500_after":
            reply = Reply.of(errors.internal(request.id), request, reply.intent_id)
        reply.is_dropped = action == "act_then_drop_reply"
        return reply

    def _execute(self, task: _Task) -> Reply:
        """Run the endpoint; what it wrote stays unless it refused to begin."""
        request, route = task.request, task.route
        call = Call(
            world=self._world,
            request_id=request.id,
            idempotency_key=request.key,
            params=task.params,
            path_id=task.path_id,
        )
        try:
            paths = lists.check_expansions(
                route.kind, task.params, is_list=route.is_list
            )
            with self._world.storage.savepoint():
                thing = route.handler(call)
        except ApiError as error:
            return Reply.of(error, request, call.intent_id)
        body = encode(lists.expand(self._world.storage, thing, paths))
        is_kept = request.method == "POST"
        return Reply(
            status=HTTPStatus.OK, body=body, is_kept=is_kept, intent_id=call.intent_id
        )

    def _logged(self, request: Request, reply: Reply, fault: Fault | None) -> Reply:
        entry = request_log.Entry(
            request_id=request.id,
            method=request.method,
            path=request.path,
            idempotency_key=request.key,
            body_sha256=parameters.fingerprint(pairs=request.pairs),
            status=reply.status,
            error_code=reply.error_code,
            replayed=reply.replay_of is not None,
            reply_dropped=reply.is_dropped,
            fault=fault.action if fault else None,
            payment_intent=reply.intent_id,
        )
        reply.sequence = request_log.write(self._world.storage, entry)
        return reply

    async def _after(self, fault: Fault, reply: Reply, receive: Receive) -> None:
        """What happens between the effect and the reply."""
        await self._faults.announce(fault)
        self._faults.finished(fault)
        if fault.action == "act_then_delay":
            await self._faults.pause(fault.seconds)
        elif fault.action == "act_then_hold":
            is_gone = await self._held(fault, receive)
            self._faults.finished(fault)
            if is_gone:
                reply.is_dropped = True
                request_log.mark_dropped(self._world.storage, reply.sequence)

    async def _held(self, fault: Fault, receive: Receive) -> bool:
        """Hold the reply until release; true when the client went away first.

        A client that is gone frees its key at once: its retry must not meet a 409
        from a request that nobody waits for.
        """
        release = asyncio.create_task(self._faults.hold(fault))
        departure = asyncio.create_task(_gone(receive))
        await asyncio.wait({release, departure}, return_when=asyncio.FIRST_COMPLETED)
        is_gone = departure.done() and not release.done()
        for task in (release, departure):
            task.cancel()
        await asyncio.gather(release, departure, return_exceptions=True)
        return is_gone


def _presented_key(authorization: str | None) -> str | None:
    """The API key in a Bearer or a Basic header; Basic has it as the user name."""
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip() or None
    if scheme.lower() != "basic":
        return None
    try:
        user = base64.b64decode(value, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user or None


def _intent_in(task: _Task) -> str | None:
    return task.path_id if task.path_id.startswith("pi_") else None


def _replayed(earlier: StoredResult) -> Reply:
    code = None
    if earlier.status >= HTTPStatus.BAD_REQUEST:
        error: Json = json.loads(earlier.body)["error"]
        code = error.get("code") or error["type"]
    is_server_error = earlier.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return Reply(
        status=earlier.status,
        body=earlier.body,
        replay_of=earlier.request_id,
        should_retry=False if is_server_error else None,
        error_code=code,
        intent_id=earlier.intent_id,
    )


async def _read(scope: Scope, receive: Receive) -> Request | None:
    """The whole request; None when the client died while it was sending.

    Half a request is none: its key must not stand for what was never asked.
    """
    headers = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
    }
    body = bytearray()
    is_open = True
    while is_open:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        is_open = message.get("more_body", False)
    query = scope["query_string"].decode("latin-1")
    form = body.decode(errors="replace")
    pairs = parameters.pairs_of(query) + parameters.pairs_of(form)
    method = scope["method"]
    return Request(
        id=new_id("req"),
        method=method,
        path=scope["path"],
        pairs=pairs,
        key=(headers.get("idempotency-key") or None) if method == "POST" else None,
        authorization=headers.get("authorization"),
        version=headers.get("stripe-version", API_VERSION),
    )


async def _send(request: Request, reply: Reply, send: Send) -> None:
    body = reply.body.encode()
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-cache, no-store",
        "Request-Id": request.id,
        "Stripe-Version": request.version,
    }
    if request.key is not None:
        headers["Idempotency-Key"] = request.key
    if reply.replay_of is not None:
        headers["Idempotent-Replayed"] = "true"
        headers["Original-Request"] = reply.replay_of
    if reply.should_retry is not None:
        headers["Stripe-Should-Retry"] = str(reply.should_retry).lower()
    if reply.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Basic realm="Stripe"'
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": [
                (name.lower().encode(), value.encode())
                for name, value in headers.items()
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def _close(scope: Scope, receive: Receive) -> None:
    """Close the connection without an answer; the server put it in the state."""
    scope["state"]["transport"].abort()
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
