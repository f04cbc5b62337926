"""What starts the reconciliation: its schedule, or a person.

A Temporal that comes back empty has lost the schedule, and a worker notices nothing of
that: it goes on asking for tasks. So it makes it anew whenever it is missing.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowHandle,
)
from temporalio.common import WorkflowIDConflictPolicy

from domain.reconciliation import ReconcileInput, ReconcileResult
from workflows import policies
from workflows.reconciliation import ReconciliationWorkflow

SCHEDULE_ID = "reconciliation"

EVERY = timedelta(minutes=5)

#: Temporal was away: one tick is made up for. More would be in vain, since a run goes
#: back to the watermark, however long ago that was.
_CATCH_UP = timedelta(minutes=5)

_NOTE = "Compares the processor's books with ours. Paused here, nothing is compared."


async def bring_up_to_date(client: Client, task_queue: str) -> None:
    """Make the schedule, or bring it up to date; a pause by a person stays.

    Workers that start at once may all do this: each writes the same.

    Raises:
        RPCError: Temporal did not take it.
    """
    if await make_schedule(client, task_queue):
        return
    wanted = _schedule(task_queue)

    def with_its_state(found: ScheduleUpdateInput) -> ScheduleUpdate:
        wanted.state = found.description.schedule.state
        return ScheduleUpdate(wanted)

    await client.get_schedule_handle(SCHEDULE_ID).update(with_its_state)


async def make_schedule(client: Client, task_queue: str) -> bool:
    """Make the schedule where there is none; False where there is one.

    Raises:
        RPCError: Temporal did not take it.
    """
    try:
        await client.create_schedule(SCHEDULE_ID, _schedule(task_queue))
    except ScheduleAlreadyRunningError:
        return False
    return True


async def start_run(
    client: Client, asked: ReconcileInput, task_queue: str
) -> WorkflowHandle[ReconciliationWorkflow, ReconcileResult]:
    """Start a run by hand; the same `run_id` twice is one run.

    Raises:
        RPCError: Temporal did not take it.
    """
    return await client.start_workflow(
        ReconciliationWorkflow.run,
        asked,
        id=f"{SCHEDULE_ID}-{asked.run_id}",
        task_queue=task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        run_timeout=policies.RUN_LASTS,
        static_summary=f"Compare the processor's books with ours, for {asked.actor}",
    )


def _schedule(task_queue: str) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            ReconciliationWorkflow.run,
            ReconcileInput(),
            id=SCHEDULE_ID,
            task_queue=task_queue,
            run_timeout=policies.RUN_LASTS,
            static_summary="Compare the processor's books with ours",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=EVERY)]),
        policy=SchedulePolicy(
            overlap=ScheduleOverlapPolicy.SKIP,
            catchup_window=_CATCH_UP,
            # A run that failed is no reason to look no more.
            pause_on_failure=False,
        ),
        state=ScheduleState(note=_NOTE),
    )
