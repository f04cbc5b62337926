"""The door to the on-call desk: how findings and answers reach it.

Whoever finds something wrong writes a row in its own transaction
(`database.oncall.write_finding`); the starter loop brings it through this door. The
call starts the desk if it is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from domain.desk import Answer, Answered, Desk
from domain.oncall import Finding
from observability import logs
from workflows.door import (
    DEADLINE,
    TASK_QUEUE,
    TASK_TIMEOUT,
    DoorClosed,
    within_deadline,
)
from workflows.on_call import OnCallWorkflow

WORKFLOW_ID = "on-call"

#: How often to look whether Temporal still has the desk: one call, of which nothing is
#: kept.
_KEPT_SECONDS = 30.0

#: Until it is open, nobody is told of anything.
_AGAIN_SECONDS = 5.0

_SUMMARY = "On-call desk: incidents, alerts, digest, heartbeat"

#: An answer waits for a worker; whoever gives it sits at a terminal.
_ANSWERS_WITHIN = timedelta(seconds=10)

R = TypeVar("R")

_log = logs.get_logger()


class OnCallDesk:
    """Messages to the on-call desk.

    Args:
        client: A Temporal client; may be connected lazily.
        task_queue: Where the workers listen.
        workflow_id: The desk's; tests have desks of their own.
        deadline: How long a call may take; a loop that calls again has little time.
        rest: Waits so many seconds.
    """

    def __init__(
        self,
        client: Client,
        task_queue: str = TASK_QUEUE,
        workflow_id: str = WORKFLOW_ID,
        *,
        deadline: timedelta = DEADLINE,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._id = workflow_id
        self._deadline = deadline
        self._rest = rest

    async def keep_open(self) -> None:
        """Open the desk, and open it again whatever Temporal loses; for ever.

        Temporal may come back with nothing in it, and a shop in which nothing new goes
        wrong would then have no desk: no digest, no sign of life, and nothing of what
        lasts.
        """
        while True:
            wait = _KEPT_SECONDS
            try:
                await self.open()
            except DoorClosed as closed:
                _log.warning("desk_not_open_yet", reason=str(closed))
                wait = _AGAIN_SECONDS
            await self._rest(wait)

    async def open(self) -> None:
        """Start the desk, or find it started.

        Raises:
            DoorClosed: No answer within the deadline.
        """
        await self._start(())

    async def report(self, findings: Sequence[Finding]) -> None:
        """Tell the desk of findings; safe to repeat, for each counts once.

        Raises:
            DoorClosed: No answer within the deadline; it may have them.
        """
        if findings:
            await self._start(findings)

    async def acknowledge(self, answer: Answer) -> Answered:
        """Take an incident.

        Raises:
            DoorClosed: No answer in time; it may have been taken.
        """
        handle = self._handle()
        return await _bounded(handle.execute_update(OnCallWorkflow.acknowledge, answer))

    async def snooze(self, answer: Answer) -> Answered:
        """Silence an incident until a time; raises as `acknowledge`."""
        handle = self._handle()
        return await _bounded(handle.execute_update(OnCallWorkflow.snooze, answer))

    async def resolve(self, answer: Answer) -> Answered:
        """End an incident; raises as `acknowledge`."""
        handle = self._handle()
        return await _bounded(handle.execute_update(OnCallWorkflow.resolve, answer))

    def _handle(self) -> WorkflowHandle[OnCallWorkflow, None]:
        return self._client.get_workflow_handle_for(OnCallWorkflow.run, self._id)

    async def _start(self, findings: Sequence[Finding]) -> None:
        async with within_deadline(self._deadline):
            await self._client.start_workflow(
                OnCallWorkflow.run,
                Desk(is_new=True),
                id=self._id,
                task_queue=self._task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                static_summary=_SUMMARY,
                task_timeout=TASK_TIMEOUT,
                start_signal="report" if findings else None,
                start_signal_args=[list(findings)] if findings else [],
                rpc_timeout=self._deadline,
            )


async def _bounded(call: Awaitable[R]) -> R:
    async with within_deadline(_ANSWERS_WITHIN):
        answer = await call
    return answer  # noqa: RET504  # mypy holds that the block may swallow errors.
