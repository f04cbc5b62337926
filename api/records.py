"""The database as a request sees it: one piece of work, one deadline, one error.

Every outage (refused, frozen, locked, disk full, pool exhausted) becomes
`RecordsUnavailable`. For a write that error is *unknown, never failed*: the connection
may have died after the commit took effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]

#: The engine bounds each wait of its own; this bounds their sum, and a server that was
#: frozen in the middle of an answer, which no timeout of PostgreSQL's own can end.
DEADLINE = timedelta(seconds=6)

#: `InternalError` is what a server in recovery says to a write.
_OUTAGES = (OperationalError, InterfaceError, InternalError, PoolTimeout, OSError)


class RecordsUnavailable(Exception):
    """The database did not answer. A write may or may not have taken effect."""


class Records:
    """Reads and writes with a deadline.

    Args:
        engine: The process's engine; it connects on first use.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # One statement is consistent by itself; BEGIN and COMMIT around it would be two
        # more round trips on the page that every waiting buyer asks for each second.
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def read(self, work: Work[T], *, deadline: timedelta | None = None) -> T:
        """Run a piece of work that only reads.

        Raises:
            RecordsUnavailable: No answer in time.
        """
        return await _bounded(self._read(work), deadline or DEADLINE)

    async def write(self, work: Work[T], *, deadline: timedelta | None = None) -> T:
        """Run a piece of work in one transaction and commit it.

        Raises:
            RecordsUnavailable: No answer in time; the commit may have happened.
        """
        return await _bounded(self._write(work), deadline or DEADLINE)

    async def answers(self, within: timedelta) -> bool:
        """Say whether the database answers in time; for readiness."""
        try:
            await self.read(lambda c: c.execute(text("SELECT 1")), deadline=within)
        except RecordsUnavailable:
            return False
        return True

    async def _read(self, work: Work[T]) -> T:
        async with self._reading.connect() as connection:
            return await work(connection)

    async def _write(self, work: Work[T]) -> T:
        async with self._engine.begin() as connection:
            return await work(connection)


async def _bounded(work: Coroutine[Any, Any, T], deadline: timedelta) -> T:
    """Wait for the work, but no longer than the deadline, whatever it is doing.

    `asyncio.timeout` would wait for the cancelled driver, which waits for the server.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=deadline.total_seconds())
    except asyncio.CancelledError:
        _abandon(task)
        raise
    if not done:
        _abandon(task)
        raise RecordsUnavailable("deadline")
    try:
        return task.result()
    except _OUTAGES as error:
        raise RecordsUnavailable(type(error).__name__) from error


def _abandon(task: asyncio.Future[T]) -> None:
    # Its end is read by nobody else, and asyncio complains about unread errors.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    task.cancel()
