"""A Temporal server that skips time: twenty hours of waiting in a blink."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from temporalio.worker._workflow_instance import _TimerHandle, _WorkflowInstanceImpl

from domain.identifiers import workflow_id_of
from domain.messages import CheckoutInput, CheckoutResult, RepairRequest
from stack.testserver import find_test_server
from tests.workflows.world import World
from workflows import search_attributes
from workflows.checkout import CheckoutWorkflow

Handle = WorkflowHandle[CheckoutWorkflow, CheckoutResult]
Start = Callable[..., Awaitable[Handle]]


#: The SDK's own download of the test server: 30 MB. The limit of a test counts it too.
_DOWNLOAD_LIMIT_SECONDS = 60

#: Starts of a server that is there and comes up too late.
_START_TRIES = 4


async def start_skipping() -> WorkflowEnvironment:
    """Start the time-skipping test server, or have the SDK download one.

    Without any the tests are skipped; in CI they fail, where nobody reads of a skip.
    """
    server = find_test_server()
    if server.program is not None:
        return await _start(str(server.program))
    try:
        async with asyncio.timeout(_DOWNLOAD_LIMIT_SECONDS):
            return await WorkflowEnvironment.start_time_skipping()
    except (RuntimeError, TimeoutError) as error:
        cause = str(error) or f"not done after {_DOWNLOAD_LIMIT_SECONDS} s"
        reason = f"{server.reason} The SDK's own download: {cause}."
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


async def _start(program: str) -> WorkflowEnvironment:
    """Start it; the SDK gives a JVM five seconds, which a busy machine does not."""
    for left in reversed(range(_START_TRIES)):
        try:
            return await WorkflowEnvironment.start_time_skipping(
                test_server_existing_path=program
            )
        except RuntimeError as error:
            if not left or "did not start" not in str(error):
                raise
    raise AssertionError


@pytest.fixture(scope="session")
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """The time-skipping test server."""
    async with await start_skipping() as environment:
        await register_attributes(environment)
        yield environment


async def register_attributes(environment: WorkflowEnvironment) -> None:
    """Let the server know what support filters on."""
    await environment.client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace="default",
            search_attributes={
                pair.key.name: IndexedValueType.ValueType(
                    pair.key.indexed_value_type.value
                )
                for pair in search_attributes.at_start("ORD").search_attributes
            },
        )
    )


def history_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server suggest, at the next look, that a run goes on in another."""
    is_suggested = iter([True])
    monkeypatch.setattr(
        workflow.Info,
        "is_continue_as_new_suggested",
        lambda _info: next(is_suggested, False),
    )


async def pass_days(skipping: WorkflowEnvironment, days: int) -> None:
    """Let days pass, six hours in a call: a call has 30 s, and retries fill each."""
    for _ in range(4 * days):
        await skipping.sleep(timedelta(hours=6))


@contextmanager
def timers_run_out() -> Iterator[None]:
    """Leave a timer that nobody waits for to fire unheard, instead of cancelling it.

    When a timer fires while the workflow task that cancels it is under way, the
    time-skipping server refuses the task and never gives it out again: the run stands
    still for ever. Skipped time makes such meetings common. A real server takes the
    cancellation; the tests on one (`tests/durability`) cancel as the product does.
    https://github.com/temporalio/sdk-java/issues/2606, .../issues/3088
    """

    def forget(instance: _WorkflowInstanceImpl, handle: _TimerHandle) -> None:
        instance._pending_timers.pop(handle._seq, None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_WorkflowInstanceImpl, "_timer_handle_cancelled", forget)
        yield


@pytest.fixture(autouse=True)
def _timers_run_out() -> Iterator[None]:
    """Cancel no timer in skipped time."""
    with timers_run_out():
        yield


@pytest.fixture
async def start(skipping: WorkflowEnvironment) -> AsyncIterator[Start]:
    """Start a checkout's workflow in a world of its own.

    At the end every time that its mails named must have had its follow-up: the next
    mail, or a person who was told that nothing came.
    """
    worlds: list[World] = []
    async with AsyncExitStack() as workers:

        async def begin(world: World, repair: RepairRequest | None = None) -> Handle:
            queue = str(uuid4())
            world.now = skipping.get_current_time
            worlds.append(world)
            await workers.enter_async_context(
                Worker(
                    skipping.client,
                    task_queue=queue,
                    workflows=[CheckoutWorkflow],
                    activities=world.activities,
                )
            )
            return await skipping.client.start_workflow(
                CheckoutWorkflow.run,
                CheckoutInput(
                    checkout_id=world.checkout_id, reference_code="ORD-7K2M-9QXD"
                ),
                id=workflow_id_of(world.checkout_id),
                task_queue=queue,
                start_signal="request_repair" if repair else None,
                start_signal_args=[repair] if repair else [],
            )

        yield begin
        now = await skipping.get_current_time()
        for world in worlds:
            is_told = "PromiseOverdue" in [case.cause for case in world.cases]
            assert is_told or world.post.overdue(now) == []
