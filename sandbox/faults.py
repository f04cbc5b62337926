"""Fault switches over HTTP for the mailbox and the demo application.

A test arms a fault, provokes it, awaits the moment it is hit, and releases what it
held. ``POST /sandbox/faults`` takes

    {"action": "act_then_hold", "times": 1, "seconds": 300, <matcher>: "value"}

``GET /sandbox/faults/{id}?wait=hit&timeout=10`` answers once the fault was hit, or with
what is known when the time is up; ``?wait=free`` once it holds nobody any more: who
died is let go when the connection is seen to be closed.
``POST /sandbox/faults/{id}/release`` lets go what it holds. Faults live in memory: a
server that is started again behaves well.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

#: A hold nobody releases ends by itself, so that no server is stuck for ever.
DEFAULT_SECONDS = 300.0

#: Long polls look this often whether the server is asked to stop.
_STOP_CHECK_SECONDS = 0.2

_LONGEST_POLL_SECONDS = 120.0


@dataclass(slots=True, kw_only=True, eq=False)
class Fault:
    """One armed fault.

    Attributes:
        id: its number, as text.
        action: what happens; the server says which it knows.
        match: the request's facts that must be equal; empty matches every request.
        remaining: how many more requests it will meet.
        seconds: length of a delay, or the longest a hold may last.
        hits: how many requests it has met; counted when it has happened, so for an
            ``act_then_…`` after the effect is stored.
        held: how many requests it holds now.
    """

    id: str
    action: str
    match: dict[str, str]
    remaining: int
    seconds: float = DEFAULT_SECONDS
    hits: int = 0
    held: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def describe(self) -> dict[str, Any]:
        """As the HTTP interface shows it."""
        return {
            "id": self.id,
            "action": self.action,
            **self.match,
            "remaining": self.remaining,
            "seconds": self.seconds,
            "hits": self.hits,
            "held": self.held,
        }


class Changes:
    """Wakes those who wait for something to happen in this process."""

    def __init__(self, is_stopping: Callable[[], bool]) -> None:
        self._is_stopping = is_stopping
        self._changed = asyncio.Condition()

    async def announce(self) -> None:
        """Something happened: let the waiting look."""
        async with self._changed:
            self._changed.notify_all()

    async def wait_until(self, is_so: Callable[[], bool], seconds: float) -> None:
        """Return when it is so, the time is up, or the server stops."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(seconds, _LONGEST_POLL_SECONDS)
        async with self._changed:
            while not is_so() and not self._is_stopping() and loop.time() < deadline:
                left = min(_STOP_CHECK_SECONDS, deadline - loop.time())
                try:
                    await asyncio.wait_for(self._changed.wait(), left)
                except TimeoutError:
                    continue


class Faults:
    """The armed faults of one server."""

    def __init__(
        self, *, actions: frozenset[str], matchers: frozenset[str], changes: Changes
    ) -> None:
        self._actions = actions
        self._matchers = matchers
        self._changes = changes
        self._numbers = itertools.count(1)
        self._faults: dict[str, Fault] = {}

    def arm(self, wanted: Mapping[str, Any]) -> Fault:
        """Arm a fault; ValueError says in a sentence what is wrong with it."""
        unknown = set(wanted) - self._matchers - {"action", "times", "seconds"}
        if unknown:
            raise ValueError(f"A fault has no {', '.join(sorted(unknown))}.")
        if wanted.get("action") not in self._actions:
            raise ValueError(f"action is one of {', '.join(sorted(self._actions))}.")
        fault = Fault(
            id=str(next(self._numbers)),
            action=wanted["action"],
            match={n: str(wanted[n]) for n in self._matchers if wanted.get(n)},
            remaining=int(wanted.get("times", 1)),
            seconds=float(wanted.get("seconds", DEFAULT_SECONDS)),
        )
        self._faults[fault.id] = fault
        return fault

    def take(self, facts: Mapping[str, str], *actions: str) -> Fault | None:
        """The first fault meant for a request with these facts; one use is spent.

        With ``actions`` only those are considered.
        """
        for fault in self._faults.values():
            meant = all(facts.get(n) == value for n, value in fault.match.items())
            if (
                meant
                and fault.remaining > 0
                and (fault.action in actions or not actions)
            ):
                fault.remaining -= 1
                return fault
        return None

    async def hit(self, fault: Fault) -> None:
        """It has happened: count it and wake who waits for it."""
        fault.hits += 1
        await self._changes.announce()

    async def hold(self, fault: Fault) -> None:
        """Count the hit, then wait for release or for the longest allowed time."""
        fault.held += 1
        await self.hit(fault)
        try:
            await asyncio.wait_for(fault.released.wait(), fault.seconds)
        except TimeoutError:
            return
        finally:
            fault.held -= 1
            await self._changes.announce()

    def routes(self) -> list[Route]:
        """The HTTP interface described in this module's text."""
        return [
            Route("/sandbox/faults", self._all, methods=["GET"]),
            Route("/sandbox/faults", self._arm, methods=["POST"]),
            Route("/sandbox/faults", self._disarm_all, methods=["DELETE"]),
            Route("/sandbox/faults/{id}", self._one, methods=["GET"]),
            Route("/sandbox/faults/{id}", self._disarm, methods=["DELETE"]),
            Route("/sandbox/faults/{id}/release", self._release, methods=["POST"]),
        ]

    async def _all(self, _: Request) -> Response:
        return JSONResponse({"faults": [f.describe() for f in self._faults.values()]})

    async def _arm(self, request: Request) -> Response:
        try:
            wanted = await request.json()
            if not isinstance(wanted, dict):
                raise ValueError("A fault is a JSON object.")
            fault = self.arm(wanted)
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse(fault.describe(), status_code=201)

    async def _one(self, request: Request) -> Response:
        fault = self._faults.get(request.path_params["id"])
        if fault is None:
            return _unknown()
        seconds = number(request, "timeout", 30)
        if request.query_params.get("wait") == "hit":
            wanted = number(request, "hits", 1)
            await self._changes.wait_until(lambda: fault.hits >= wanted, seconds)
        elif request.query_params.get("wait") == "free":
            await self._changes.wait_until(lambda: fault.held == 0, seconds)
        return JSONResponse(fault.describe())

    async def _release(self, request: Request) -> Response:
        fault = self._faults.get(request.path_params["id"])
        if fault is None:
            return _unknown()
        fault.released.set()
        return JSONResponse(fault.describe())

    async def _disarm(self, request: Request) -> Response:
        fault = self._faults.pop(request.path_params["id"], None)
        if fault is None:
            return _unknown()
        fault.released.set()
        return JSONResponse({"disarmed": 1})

    async def _disarm_all(self, _: Request) -> Response:
        for fault in self._faults.values():
            fault.released.set()
        count = len(self._faults)
        self._faults.clear()
        return JSONResponse({"disarmed": count})


def _unknown() -> Response:
    return JSONResponse({"error": "There is no such fault."}, status_code=404)


def number(request: Request, name: str, default: float) -> float:
    """A number from the query string; what is no number counts as absent."""
    try:
        return float(request.query_params.get(name, default))
    except ValueError:
        return default


Drop = Callable[[], None]


class Droppable:
    """Lets an endpoint cut its connection: ``request.scope["drop"]()``.

    ASGI knows no lost reply. The server's ``send`` is a method of the object that
    holds the connection, and that object's transport can be cut.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add ``drop`` to the scope of every HTTP request."""
        if scope["type"] == "http":
            scope["drop"] = lambda: _transport(send).abort()
        await self._app(scope, receive, send)


def _transport(send: Callable[[Any], Awaitable[None]]) -> asyncio.Transport:
    transport: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]
    return transport
