"""Idempotency keys as Stripe documents them.

The first result whose execution began is kept, whatever it was, and the same key gets
it again for 24 hours of the sandbox's clock.
https://docs.stripe.com/api/idempotent_requests
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sandbox.processor import errors
from sandbox.processor.work import World

KEY_LENGTH = 255  # "Idempotency keys are up to 255 characters long."
KEY_RETENTION_SECONDS = 24 * 3600  # "... after they're at least 24 hours old."


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResult:
    """The answer kept under a key."""

    status: int
    body: str
    request_id: str
    intent_id: str | None


class Keys:
    """Keys in flight, in memory, and results kept, in storage."""

    def __init__(self, world: World) -> None:
        self._world = world
        # A killed server forgets these, and rightly: nothing is under way any more.
        self._in_flight: set[str] = set()

    def earlier(self, key: str, fingerprint: str) -> StoredResult | None:
        """The result kept under this key.

        Raises:
            ApiError: The key is in flight (409), too long, or was first used for
                another request (400).
        """
        if len(key) > KEY_LENGTH:
            raise errors.key_too_long(KEY_LENGTH)
        if key in self._in_flight:
            raise errors.key_in_use(key)
        row = self._world.storage.connection.execute(
            "SELECT * FROM idempotency WHERE key = ? AND created > ?",
            (key, self._oldest()),
        ).fetchone()
        if row is None:
            return None
        if row["fingerprint"] != fingerprint:
            raise errors.key_reused(key)
        return StoredResult(
            status=row["status"],
            body=row["body"],
            request_id=row["request_id"],
            intent_id=row["payment_intent"],
        )

    @contextmanager
    def in_flight(self, key: str | None) -> Iterator[None]:
        """Hold the key until the request has been answered."""
        if key is None:
            yield
            return
        self._in_flight.add(key)
        try:
            yield
        finally:
            self._in_flight.discard(key)

    def keep(self, key: str, fingerprint: str, result: StoredResult) -> None:
        """Keep a result; the caller's transaction holds its effect too."""
        self._world.storage.connection.execute(
            "INSERT OR REPLACE INTO idempotency (key, fingerprint, status, body, "
            "request_id, payment_intent, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                fingerprint,
                result.status,
                result.body,
                result.request_id,
                result.intent_id,
                self._world.clock.now(),
            ),
        )

    def prune(self) -> int:
        """Forget the keys that are old enough; returns how many."""
        return self._world.storage.connection.execute(
            "DELETE FROM idempotency WHERE created <= ?", (self._oldest(),)
        ).rowcount

    def _oldest(self) -> float:
        return self._world.clock.now() - KEY_RETENTION_SECONDS
