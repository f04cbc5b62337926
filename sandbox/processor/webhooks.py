"""Webhooks: signed, delivered apart from the request that caused them, retried.

Signed as Stripe does, with real time, so that a receiver's tolerance works.
https://docs.stripe.com/webhooks/signature
"""

import asyncio
import hashlib
import hmac
import logging
import random
import time
from dataclasses import dataclass
from http import HTTPStatus

from sandbox.processor.errors import Json
from sandbox.processor.post import BadReply, Poster
from sandbox.processor.work import World

_TIMEOUT_SECONDS = 20.0
_AT_ONCE = 16
_BATCH = 64
_LONGEST_SLEEP_SECONDS = 60.0
_ERROR_LENGTH = 200
_logger = logging.getLogger(__name__)

_DUE = """
SELECT deliveries.id AS id, event, attempts, next_at, objects.body AS body
FROM deliveries JOIN objects ON objects.id = deliveries.event
WHERE state = 'pending' AND next_at <= :now ORDER BY deliveries.id LIMIT :limit
"""
_NEXT = "SELECT min(next_at) AS next_at FROM deliveries WHERE state = 'pending'"
_OWED = "SELECT 1 FROM deliveries WHERE state = 'pending' LIMIT 1"
_RESULT = """
UPDATE deliveries SET state = :state, attempts = :attempts, next_at = :next_at,
       last_status = :last_status, last_error = :last_error
WHERE id = :id
"""
_ALL_AGAIN = """
UPDATE deliveries SET state = 'pending', attempts = 0, next_at = :now
WHERE state IN ('withheld', 'given_up')
"""
_ONE_AGAIN = """
INSERT INTO deliveries (event, state, next_at)
SELECT id, 'pending', :now FROM objects WHERE kind = 'event' AND id = :event
"""
_RECENT = """
SELECT deliveries.id AS id, event, state, attempts, next_at, last_status, last_error,
       objects.status AS type
FROM deliveries JOIN objects ON objects.id = deliveries.event
ORDER BY deliveries.id DESC LIMIT :limit
"""


def signature(payload: bytes, secret: str, timestamp: int) -> str:
    """The ``Stripe-Signature`` header for a body sent at that time."""
    signed = b"%d." % timestamp + payload
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


@dataclass(frozen=True, slots=True)
class _Attempt:
    """How one attempt to deliver went."""

    status: int | None
    error: str | None

    @property
    def is_accepted(self) -> bool:
        """Tell whether the receiver took the event: any 2xx."""
        return self.status is not None and HTTPStatus(200) <= self.status < HTTPStatus(
            300
        )


class Webhooks:
    """Sends what is owed, and sleeps until the next is due."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._changed = asyncio.Event()
        self._recorded = asyncio.Event()
        self._active: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(_AT_ONCE)

    def wake(self) -> None:
        """Events were recorded or a switch was turned."""
        self._changed.set()

    def send_again(self, event: str | None) -> int:
        """Owe one more copy of the event; without one, all withheld or given up."""
        query = _ALL_AGAIN if event is None else _ONE_AGAIN
        with self._world.storage.transaction():
            cursor = self._world.storage.connection.execute(
                query, {"now": time.time(), "event": event}
            )
        self.wake()
        return cursor.rowcount

    def recent(self, limit: int) -> list[Json]:
        """The newest deliveries, for tests and for the human page."""
        return self._world.storage.rows(_RECENT, {"limit": limit})

    async def wait_until_settled(self, timeout: float) -> None:  # noqa: ASYNC109 - It is the long poll's own parameter.
        """Return once nothing is owed any more, or the time is up."""
        try:
            async with asyncio.timeout(timeout):
                while self._active or self._world.storage.rows(_OWED):
                    await self._recorded.wait()
        except TimeoutError:
            return

    async def run(self) -> None:
        """Deliver until cancelled; what an earlier run owed comes first."""
        poster = Poster(self._world.options.webhook_url or "")
        try:
            while True:
                await self._round(poster)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            poster.close()

    async def _round(self, poster: Poster) -> None:
        self._changed.clear()
        if self._world.switches.webhooks.shuffle:
            await self._send_shuffled(poster)
        else:
            self._start_due(poster)
        try:
            async with asyncio.timeout(self._seconds_to_next()):
                await self._changed.wait()
        except TimeoutError:
            return

    def _start_due(self, poster: Poster) -> None:
        for delivery in self._due():
            self._active.add(delivery["id"])
            task = asyncio.create_task(self._deliver(poster, delivery))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send_shuffled(self, poster: Poster) -> None:
        """Gather for a moment, then send one by one in another order."""
        switches = self._world.switches.webhooks
        if not self._due():
            return
        await asyncio.sleep(switches.shuffle_window_seconds)
        batch = self._due()
        order = list(batch)
        random.Random(switches.shuffle_seed).shuffle(order)  # noqa: S311 - Not secret.
        if order == batch:
            order.reverse()
        for delivery in order:
            self._active.add(delivery["id"])
            await self._deliver(poster, delivery)

    def _due(self) -> list[Json]:
        if self._world.switches.webhooks.mode == "off":
            return []
        room = _BATCH - len(self._active)
        if room <= 0:
            return []
        values = {"now": time.time(), "limit": _BATCH}
        due = self._world.storage.rows(_DUE, values)
        return [row for row in due if row["id"] not in self._active]

    def _seconds_to_next(self) -> float:
        if self._world.switches.webhooks.mode == "off" or self._active:
            return _LONGEST_SLEEP_SECONDS  # The end of an attempt wakes the loop.
        next_at = self._world.storage.rows(_NEXT)[0]["next_at"]
        if next_at is None:
            return _LONGEST_SLEEP_SECONDS
        return float(min(max(next_at - time.time(), 0.0), _LONGEST_SLEEP_SECONDS))

    async def _deliver(self, poster: Poster, delivery: Json) -> None:
        try:
            async with self._places:
                attempt = await self._post(poster, delivery["body"])
            self._record(delivery, attempt)
        finally:
            self._active.discard(delivery["id"])
            self.wake()
            # Those who wait now look again; those who come later wait anew.
            self._recorded.set()
            self._recorded = asyncio.Event()

    async def _post(self, poster: Poster, body: str) -> _Attempt:
        options = self._world.options
        payload = body.encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(
                payload, options.webhook_secret, int(time.time())
            ),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                status = await poster.post(payload, headers)
        except (OSError, BadReply) as error:  # A TimeoutError is an OSError.
            message = f"{type(error).__name__}: {error}"
            return _Attempt(status=None, error=message[:_ERROR_LENGTH])
        return _Attempt(status=status, error=None)

    def _record(self, delivery: Json, attempt: _Attempt) -> None:
        """Store how it went and when to try again."""
        attempts = delivery["attempts"] + 1
        waits = self._world.switches.webhooks.retry_seconds
        state, next_at = "delivered", delivery["next_at"]
        if not attempt.is_accepted and attempts <= len(waits):
            state, next_at = "pending", time.time() + waits[attempts - 1]
        elif not attempt.is_accepted:
            state = "given_up"
            _logger.warning("Event %s was given up", delivery["event"])
        with self._world.storage.transaction():
            self._world.storage.connection.execute(
                _RESULT,
                {
                    "id": delivery["id"],
                    "state": state,
                    "attempts": attempts,
                    "next_at": next_at,
                    "last_status": attempt.status,
                    "last_error": attempt.error,
                },
            )
            if state == "delivered":
                self._count_down(delivery["event"])

    def _count_down(self, event_id: str) -> None:
        """One receiver fewer is waited for, as the event itself tells."""
        event = self._world.storage.get(event_id, "event")
        if event is not None and event["pending_webhooks"] > 0:
            event["pending_webhooks"] -= 1
            self._world.storage.put(event)
