"""Work that goes on after the answer was sent: hints and sign-in mails.

Nothing here may be the only memory of anything: a process can die at any line. What
must happen is durable in a row first, and the starter loop finds what was left undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from observability.logs import get_logger

_log = get_logger("api.background")


class Background:
    """The tasks of this process that no request waits for."""

    def __init__(self) -> None:
        # asyncio itself keeps only weak references to tasks.
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run the work beside the requests; an error ends in a log line."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def drain(self, seconds: float) -> None:
        """Let running work finish for so long, then cancel it; for the shutdown."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        if error := task.exception():
            _log.error("background work failed", work=task.get_name(), exc_info=error)
