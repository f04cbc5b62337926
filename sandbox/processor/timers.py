"""Timers by the sandbox's clock: payments and refunds that are decided later."""

import asyncio
import logging
from collections.abc import Callable

from sandbox.processor import attempts, intents, refunds
from sandbox.processor.errors import Json
from sandbox.processor.work import Work, World

_LONGEST_SLEEP_SECONDS = 60.0  # A check now and then, should a clock have been set.
_logger = logging.getLogger(__name__)
_SETTLERS: dict[str, Callable[[Work, str], Json]] = {
    attempts.SETTLE_TIMER: intents.settle,
    refunds.SETTLE_TIMER: refunds.settle,
}


class Timers:
    """Fires what is due, and sleeps until the next."""

    def __init__(self, world: World, on_change: Callable[[], None]) -> None:
        self._world = world
        self._on_change = on_change
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """A timer was set or the clock moved."""
        self._changed.set()

    def fire_due(self) -> int:
        """Settle everything that is due by now; returns how many."""
        due = self._world.storage.rows(
            "SELECT id, kind, subject FROM timers WHERE due <= :now ORDER BY due, id",
            {"now": self._world.clock.now()},
        )
        for timer in due:
            with self._world.storage.transaction():
                query = "DELETE FROM timers WHERE id = ?"
                self._world.storage.connection.execute(query, (timer["id"],))
                _SETTLERS[timer["kind"]](Work(world=self._world), timer["subject"])
        if due:
            self._on_change()
        return len(due)

    async def run(self) -> None:
        """Fire timers until cancelled; those of an earlier run come first."""
        while True:
            self._changed.clear()
            try:
                self.fire_due()
            except Exception:
                _logger.exception("A timer could not be fired")
            try:
                async with asyncio.timeout(self._seconds_to_next()):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _seconds_to_next(self) -> float:
        rows = self._world.storage.rows("SELECT min(due) AS due FROM timers")
        due = rows[0]["due"]
        if due is None:
            return _LONGEST_SLEEP_SECONDS
        left = due - self._world.clock.now()
        # Never zero: a timer that cannot be fired must not spin.
        return float(min(max(left, 0.01), _LONGEST_SLEEP_SECONDS))
