"""The door to a checkout's workflow: how pages, webhooks and repairs reach it.

Every call has a deadline of its own. The SDK's `rpc_timeout` is per try, not a
deadline: with the server down, a call of 3 seconds came back after 10.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from temporalio.client import (
    Client,
    Interceptor,
    WorkflowExecutionStatus,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.envconfig import ClientConfig
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from domain.identifiers import workflow_id_of
from domain.messages import CheckoutInput, PayRequest, RepairRequest
from domain.reconciliation import ReconcileInput
from domain.refunds import RefundRequest
from workflows import search_attributes
from workflows.checkout import CheckoutWorkflow
from workflows.schedule import start_run

TASK_QUEUE = "checkout"

#: A buyer waits for this: the answer to Pay comes within a second, whatever is down.
DEADLINE = timedelta(seconds=1)

#: A workflow task runs the happy path's local activities. When its worker dies, nothing
#: happens until this has passed, so it bounds the recovery; a live worker renews it.
TASK_TIMEOUT = timedelta(seconds=5)


class DoorClosed(Exception):
    """Temporal did not take the message in time. It may have: unknown, never failed."""


#: What the SDK raises when Temporal is away, slow, or was never connected to, or when
#: an update ends without its answer.
_NO_ANSWER = (
    RPCError,
    TimeoutError,
    RuntimeError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)


@asynccontextmanager
async def within_deadline(deadline: timedelta = DEADLINE) -> AsyncIterator[None]:
    """Bound a call of Temporal; every way of having no answer is one error.

    Raises:
        DoorClosed: No answer within the deadline.
    """
    try:
        async with asyncio.timeout(deadline.total_seconds()):
            yield
    except _NO_ANSWER as error:
        raise DoorClosed(type(error).__name__) from None


async def connect(
    address: str,
    namespace: str,
    *,
    runtime: Runtime | None = None,
    interceptors: Sequence[Interceptor] = (),
    lazy: bool = True,
) -> Client:
    """Return a client of Temporal.

    TLS, API key and the like come from the SDK's environment configuration.

    Args:
        address: Host and port of the gRPC frontend.
        namespace: Where the checkouts run.
        runtime: Metrics and logs of the SDK's core.
        interceptors: For tracing.
        lazy: Connect on first use, so that Temporal may be down now. A worker needs
            a connected client.

    Raises:
        RuntimeError: Not lazy, and Temporal does not answer.
    """
    profile = ClientConfig.load_client_connect_config()
    profile["target_host"] = address
    profile["namespace"] = namespace
    return await Client.connect(
        **profile, lazy=lazy, runtime=runtime, interceptors=interceptors
    )


class CheckoutDoor:
    """Messages to checkout workflows.

    Args:
        client: A Temporal client; may be connected lazily.
        task_queue: Where the workers listen.
    """

    def __init__(self, client: Client, task_queue: str = TASK_QUEUE) -> None:
        self._client = client
        self._task_queue = task_queue

    async def pay(self, request: PayRequest) -> None:
        """Have the requested attempt carried out; safe to repeat at any time.

        A first attempt starts the workflow. A later one signals it, or starts it anew
        when it has ended.

        Raises:
            DoorClosed: No answer within the deadline; the row keeps the request.
        """
        signal = request.buyer_attempt > 1
        async with within_deadline():
            await self._client.start_workflow(
                CheckoutWorkflow.run,
                CheckoutInput(
                    checkout_id=request.checkout_id,
                    reference_code=request.reference_code,
                ),
                id=workflow_id_of(request.checkout_id),
                task_queue=self._task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                # An ended run is no obstacle: a declined buyer comes back after
                # hours. That a charge happens once is the row's word, not the id's.
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                search_attributes=search_attributes.at_start(request.reference_code),
                static_summary=(
                    f"{request.plan_name} {request.price} · {request.reference_code}"
                ),
                task_timeout=TASK_TIMEOUT,
                start_signal="pay_requested" if signal else None,
                rpc_timeout=DEADLINE,
            )

    async def look_again(self, checkout_id: UUID) -> bool:
        """Hint that the processor has news; False when nobody is listening any more.

        Raises:
            DoorClosed: No answer within the deadline.
        """
        handle = self._client.get_workflow_handle_for(
            CheckoutWorkflow.run, workflow_id_of(checkout_id)
        )
        async with within_deadline():
            try:
                await handle.signal(CheckoutWorkflow.look_again, rpc_timeout=DEADLINE)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                return False
        return True

    async def is_running(self, checkout_id: UUID) -> bool:
        """Say whether a run looks after a checkout; it is told nothing.

        Raises:
            DoorClosed: No answer within the deadline.
        """
        handle = self._client.get_workflow_handle(workflow_id_of(checkout_id))
        async with within_deadline():
            try:
                found = await handle.describe(rpc_timeout=DEADLINE)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                return False
        return found.status is WorkflowExecutionStatus.RUNNING

    async def request_repair(
        self, checkout: CheckoutInput, repair: RepairRequest
    ) -> None:
        """Ask for a repair; works on a running, an ended and a lost workflow alike.

        Raises:
            DoorClosed: No answer within the deadline; ask again with the same id.
        """
        await self._start_with(checkout, "Repair", "request_repair", repair)

    async def request_refund(
        self, checkout: CheckoutInput, refund: RefundRequest
    ) -> None:
        """Have a refund tended whose row is written, or was taken back.

        Works on a running, an ended and a lost workflow alike.

        Raises:
            DoorClosed: No answer within the deadline; the row waits.
        """
        await self._start_with(checkout, "Refund", "request_refund", refund)

    async def _start_with(
        self,
        checkout: CheckoutInput,
        summary: str,
        signal: str,
        argument: RepairRequest | RefundRequest,
    ) -> None:
        async with within_deadline():
            await self._client.start_workflow(
                CheckoutWorkflow.run,
                checkout,
                id=workflow_id_of(checkout.checkout_id),
                task_queue=self._task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                search_attributes=search_attributes.at_start(checkout.reference_code),
                static_summary=f"{summary} · {checkout.reference_code}",
                task_timeout=TASK_TIMEOUT,
                start_signal=signal,
                start_signal_args=[argument],
                rpc_timeout=DEADLINE,
            )

    async def reconcile(self, asked: ReconcileInput) -> None:
        """Begin a run of the reconciliation by hand; the same `run_id` twice is one.

        Raises:
            DoorClosed: No answer within the deadline; it may begin all the same.
        """
        async with within_deadline():
            await start_run(self._client, asked, self._task_queue)

    async def is_open(self) -> bool:
        """Say whether Temporal answers, within the deadline; for readiness."""
        try:
            async with within_deadline():
                is_healthy = await self._client.service_client.check_health()
        except DoorClosed:
            return False
        return is_healthy
