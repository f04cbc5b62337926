"""Following a checkout: server-sent events, and requests that wait for a change.

Both look at the row again and again, one cheap read each; nothing is kept in memory
that another replica would miss, so a client may go on anywhere. A stream ends by itself
when the checkout is settled, after some minutes, and at once when the process shuts
down; `Last-Event-ID` then resumes it without a repeat.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.buying import read_to_show
from api.observed import LASTS_ON_PURPOSE
from api.parts import Parts
from api.records import RecordsUnavailable
from api.resources import CheckoutResource
from database.checkouts import CheckoutNotFound, CheckoutRow, read_checkout

#: What a look found; None when the database did not answer.
Look = CheckoutResource | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often a follower looks, and how long it lasts; all in seconds.

    Attributes:
        looks: Pairs of an age and the pause between two looks until it is reached.
        late_look: The pause from then on.
        look_deadline: A look without an answer by then is an outage. Shorter than the
            time that a shutdown leaves.
        heartbeat: A stream is not silent for longer, so that proxies keep it.
        lasts: The life of a stream; a replica that is drained is free by then.
        retry: How long a client waits before it connects again.
    """

    looks: tuple[tuple[float, float], ...] = ((10, 0.5), (60, 1))
    late_look: float = 3
    look_deadline: float = 2
    heartbeat: float = 15
    lasts: float = 300
    retry: float = 2

    def pause_at(self, age: float) -> float:
        """Return how long a follower of this age waits until it looks again."""
        for reached, pause in self.looks:
            if age < reached:
                return pause
        return self.late_look


PACE = Pace()

#: Says nothing about money: what was true before may have changed meanwhile.
_UNAVAILABLE = {
    "detail": "We cannot read this checkout this second. Keep what you show, offer no "
    "payment, and leave the stream open: it goes on by itself."
}
_NOT_FOUND = {"detail": "There is no checkout with this id."}


class EventStream(StreamingResponse):
    """A checkout's states as server-sent events.

    Args:
        parts: The parts of this process.
        key: Whose follower it is.
        checkout_id: What is followed.
        first: The look that was taken already.
        seen: The version that the client has; empty when it has none.
    """

    media_type = "text/event-stream"

    def __init__(
        self, parts: Parts, *, key: bytes, checkout_id: UUID, first: Look, seen: str
    ) -> None:
        super().__init__(
            _events(parts, checkout_id, first, seen),
            # Proxies would otherwise collect events until a buffer is full.
            headers={"x-accel-buffering": "no"},
        )
        self._parts = parts
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the stream ends or the client goes away.

        Raises:
            TooManyFollowers: Nothing was sent.
        """
        scope[LASTS_ON_PURPOSE] = True
        # Held here and not by the generator, which is never entered, and so never left,
        # when the client goes away before the first byte.
        with self._parts.followers.hold(self._key):
            await super().__call__(scope, receive, send)


async def look_at(parts: Parts, checkout_id: UUID) -> Look:
    """Read a checkout once, for a follower.

    Raises:
        CheckoutNotFound: There is none with this id.
    """

    async def find(connection: AsyncConnection) -> CheckoutRow | None:
        return await read_checkout(connection, checkout_id)

    deadline = timedelta(seconds=PACE.look_deadline)
    try:
        row = await read_to_show(parts, find, deadline=deadline)
    except RecordsUnavailable:
        return None
    return None if row is None else CheckoutResource.of(row, parts)


async def wait_for_change(
    parts: Parts,
    checkout_id: UUID,
    *,
    unless_version: str,
    seconds: float,
    has_left: Callable[[], Awaitable[bool]],
) -> CheckoutResource:
    """Return a checkout as soon as it is another version, or as it is in the end.

    Raises:
        CheckoutNotFound: There is none with this id.
        RecordsUnavailable: The last look got no answer.
    """
    look = await look_at(parts, checkout_id)
    looks = _look_on(parts, checkout_id, look, lasts=seconds)
    async for look in looks:
        if look is not None and look.version != unless_version:
            break
        if await has_left():
            break
    if look is None:
        raise RecordsUnavailable("no look of a waiting request was answered")
    return look


async def _look_on(
    parts: Parts, checkout_id: UUID, first: Look, *, lasts: float
) -> AsyncIterator[Look]:
    """Look again and again, until the time is over or the process shuts down."""
    clock = asyncio.get_running_loop().time
    began_at = clock()
    yield first
    while (age := clock() - began_at) < lasts:
        if not await parts.followers.pause(min(PACE.pause_at(age), lasts - age)):
            return
        yield await look_at(parts, checkout_id)


async def _events(
    parts: Parts, checkout_id: UUID, first: Look, seen: str
) -> AsyncIterator[str]:
    """Write the state now, each change, and a heartbeat in between."""
    clock = asyncio.get_running_loop().time
    yield f"retry: {round(PACE.retry * 1000)}\n\n"
    said_at, is_out = clock(), False
    try:
        async for look in _look_on(parts, checkout_id, first, lasts=PACE.lasts):
            text = ""
            if look is None:
                text = "" if is_out else _event("unavailable", json.dumps(_UNAVAILABLE))
            elif is_out or look.version != seen:
                # After an outage also what stands as it stood: the client was told not
                # to rely on it.
                text = _event("checkout", look.model_dump_json(), look.version)
                seen = look.version
            # The next look would come too late for it.
            if not text and clock() - said_at + PACE.late_look > PACE.heartbeat:
                text = ": still here\n\n"
            is_out = look is None
            if text:
                yield text
                said_at = clock()
            if look is not None and look.is_settled:
                return
    except CheckoutNotFound:
        yield _event("not_found", json.dumps(_NOT_FOUND))


def _event(name: str, data: str, version: str | None = None) -> str:
    # JSON is one line, so one `data` field holds it. Without an `id` the client keeps
    # the version that it has.
    mark = "" if version is None else f"id: {version}\n"
    return f"event: {name}\n{mark}data: {data}\n\n"
