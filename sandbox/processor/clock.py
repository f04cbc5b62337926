"""The sandbox's own clock: real time plus an offset that only grows.

It rules what Stripe's servers would rule: ``created``, the 24 hours of idempotency
keys, and the timers of payments and refunds that settle later. Webhook signatures and
the request log use real time, since the receiver checks them against its own clock.
"""

import time

from sandbox.processor.storage import Storage


class Clock:
    """Reads and moves the sandbox's time."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.offset_seconds = float(storage.setting("clock_offset_seconds", 0.0))

    def now(self) -> float:
        """Epoch seconds by the sandbox's clock."""
        return time.time() + self.offset_seconds

    def advance(self, seconds: float) -> None:
        """Move forward. Never back: lists are ordered by creation."""
        if seconds < 0:
            raise ValueError("The clock only moves forward.")
        self.offset_seconds += seconds
        self._storage.set_setting("clock_offset_seconds", self.offset_seconds)
