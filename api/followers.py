"""The streams and waiting requests of this process: how many, and until when."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from observability import metrics

#: Each look costs a connection for about a millisecond. A process has ten of them by
#: default, which this many followers keep busy for less than a fifth of the time.
MOST_IN_ALL = 200
#: One embedder leaves room for another.
MOST_PER_KEY = 100


class TooManyFollowers(Exception):
    """So many are open that no other is taken.

    Attributes:
        is_of_key: The key's own share is used up; otherwise the process's.
    """

    def __init__(self, *, is_of_key: bool) -> None:
        super().__init__("of this key" if is_of_key else "of this process")
        self.is_of_key = is_of_key


class Followers:
    """Counts who follows a checkout, and ends them when the process shuts down.

    Args:
        most_per_key: Followers that one API key may have.
        most_in_all: Followers that this process takes.
    """

    def __init__(
        self, *, most_per_key: int = MOST_PER_KEY, most_in_all: int = MOST_IN_ALL
    ) -> None:
        self._most_per_key = most_per_key
        self._most_in_all = most_in_all
        self._open: Counter[bytes] = Counter()
        self._closing = asyncio.Event()

    @contextmanager
    def hold(self, key: bytes) -> Iterator[None]:
        """Count one follower while it lasts.

        Args:
            key: The digest of the API key that it came with.

        Raises:
            TooManyFollowers: It is not taken.
        """
        if self._open[key] >= self._most_per_key:
            raise TooManyFollowers(is_of_key=True)
        if self.count >= self._most_in_all:
            raise TooManyFollowers(is_of_key=False)
        self._open[key] += 1
        metrics.FOLLOWERS.inc()
        try:
            yield
        finally:
            metrics.FOLLOWERS.dec()
            self._open[key] -= 1

    @property
    def count(self) -> int:
        """How many are open."""
        return self._open.total()

    def close(self) -> None:
        """End them all now: the process shuts down, and no new one lasts either."""
        self._closing.set()

    async def pause(self, seconds: float) -> bool:
        """Wait between two looks; False, and at once, when the process shuts down."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)
        return not self._closing.is_set()
