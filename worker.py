"""The worker: settings -> database, processor, mailer -> activities -> Temporal Worker.

A composition root: it makes every part and hands it on. Nothing imports it.
"""

from __future__ import annotations

import asyncio
import hmac
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.access import (
    AccessActivities,
    ReadGrant,
    RecordAccess,
    RecordAccessEnded,
    RecordChangeTold,
)
from activities.alerts import (
    AlertActivities,
    ChannelNotUnderstood,
    DeskActivities,
    WatcherActivities,
    check_channels,
)
from activities.books import BooksActivities
from activities.cases import CaseActivities
from activities.correspondence import CorrespondenceActivities
from activities.emails import EmailActivities, ReadOwedEmail
from activities.ledger import (
    DigestAddress,
    EngineLedger,
    LedgerActivities,
    Vouch,
)
from activities.letters import Letters
from activities.observed import ActivityLog
from activities.orders import OrderActivities
from activities.payments import PaymentActivities, ReadRecord
from activities.refunds import RefundActivities
from activities.repairs import RepairActivities
from database.aftermath import record_access_ended
from database.changes import record_change_told
from database.emails import OwedEmail, read_owed_email
from database.engine import make_engine
from database.orders import Grant, read_grant, record_access
from database.rebuilding import read_record
from domain.addresses import AddressKeyMissing, PageAddresses
from domain.changes import ChangeEntitlement
from domain.messages import GrantEntitlement
from domain.on_record import CheckoutOnRecord
from domain.refunds import EndEntitlement
from mail.facts import Company
from mail.sender import SmtpMailer
from observability import logs, metrics, tracing
from processor.stripe_adapter import StripeProcessor
from settings import Settings, SettingsError, load_settings
from workflows.checkout import CheckoutWorkflow
from workflows.desk import OnCallDesk
from workflows.door import TASK_QUEUE, CheckoutDoor, connect
from workflows.on_call import OnCallWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.schedule import bring_up_to_date, make_schedule

#: A workflow whose worker died waits this long for it before another may go on. The
#: SDK's default of ten seconds is most of a customer's patience.
STICKY_TIMEOUT = timedelta(seconds=2)

#: Each open poll of a frozen worker swallows one retry and costs it a heartbeat
#: time-out: with the SDK's five polls another worker had the step after 20 to 35
#: seconds, with two after 27 at the most (measured). The happy path does not wait for
#: polls: its activities are local.
ACTIVITY_POLLS = 2

#: On SIGTERM, running activities get this long to end by themselves. The whole stack
#: stops within ten seconds; what is cut off is repeated elsewhere, safely.
GRACEFUL_SHUTDOWN = timedelta(seconds=3)

#: How often to knock while Temporal is not there yet.
_CONNECT_EVERY_SECONDS = 0.5

#: Until it is there, only what each checkout's own workflow knows is put right.
_SCHEDULE_AGAIN_SECONDS = 5.0

#: How often to look whether Temporal still has it: one call, of which nothing is kept.
_SCHEDULE_KEPT_SECONDS = 30.0

#: Activities, as a worker takes them.
_Steps = list[Callable[..., Any]]

_log = logs.get_logger()


async def run(settings: Settings) -> None:
    """Work until SIGTERM or Ctrl-C, then finish what is under way."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runtime = metrics.worker_runtime(
        settings.metrics_host, settings.worker_metrics_port
    )
    client = await _connect(settings, runtime, stop)
    if client is None:
        return
    async with AsyncExitStack() as parts:
        outside = await _outside(settings, parts)
        async with _worker(settings, client, outside):
            _log.info("worker_ready", task_queue=TASK_QUEUE)
            scheduling = asyncio.create_task(_keep_schedule(client))
            _say_who_hears(settings)
            desk = asyncio.create_task(
                OnCallDesk(client).keep_open(), name="keep the desk open"
            )
            await stop.wait()
            desk.cancel()
            _log.info("worker_stopping")
            scheduling.cancel()
    _log.info("worker_stopped")


async def _connect(
    settings: Settings, runtime: Runtime, stop: asyncio.Event
) -> Client | None:
    """Knock until Temporal answers; None when we are told to stop before."""
    is_told = False
    while not stop.is_set():
        try:
            return await connect(
                settings.temporal_address,
                settings.temporal_namespace,
                runtime=runtime,
                interceptors=tracing.temporal_interceptors(),
                lazy=False,
            )
        except RuntimeError as error:
            if not is_told:
                _log.warning("temporal_not_there_yet", reason=str(error))
                is_told = True
        try:
            await asyncio.wait_for(stop.wait(), _CONNECT_EVERY_SECONDS)
        except TimeoutError:
            continue
    return None


async def _keep_schedule(client: Client) -> None:
    """Keep the schedule of the reconciliation, whatever Temporal loses.

    It may have to come back first; and it may come back with nothing in it.
    """
    is_first = True
    while True:
        wait = _SCHEDULE_KEPT_SECONDS
        try:
            if is_first:
                await bring_up_to_date(client, TASK_QUEUE)
                is_first = False
            elif await make_schedule(client, TASK_QUEUE):
                _log.error("schedule_was_lost", made="anew")
        except RPCError as error:
            _log.warning("schedule_not_kept_yet", reason=error.status.name)
            wait = _SCHEDULE_AGAIN_SECONDS
        await asyncio.sleep(wait)


def _say_who_hears(settings: Settings) -> None:
    if settings.on_call_gap is not None:
        _log.warning("on_call_gap", reason=settings.on_call_gap)
    if settings.on_call_heartbeat_url is None:
        _log.warning("on_call_unwatched", reason="no heartbeat address is set")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outside:
    """The outside systems, each connected once."""

    addresses: PageAddresses
    engine: AsyncEngine
    http: httpx.AsyncClient
    processor: StripeProcessor


async def _outside(settings: Settings, parts: AsyncExitStack) -> _Outside:
    """Make the outside systems; `parts` lets go of them at the end."""
    addresses = PageAddresses(
        settings.public_url, [key.get_secret_value() for key in settings.secret_keys]
    )
    engine = make_engine(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        application_name="holdfast-worker",
    )
    parts.push_async_callback(engine.dispose)
    processor = StripeProcessor.of(settings, addresses)
    parts.push_async_callback(processor.close)
    http = await parts.enter_async_context(httpx.AsyncClient())
    return _Outside(addresses=addresses, engine=engine, http=http, processor=processor)


def _worker(settings: Settings, client: Client, outside: _Outside) -> Worker:
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[CheckoutWorkflow, ReconciliationWorkflow, OnCallWorkflow],
        activities=[
            *_steps_of_checkout(settings, outside),
            *_steps_of_mail(settings, outside),
            *_steps_of_reconciliation(settings, client, outside),
            *_steps_of_on_call(settings, outside),
        ],
        # The sandbox costs a third of a workflow's time. The tests run every workflow
        # inside it, and the linter bans what it would catch. docs/decisions/0003.
        workflow_runner=UnsandboxedWorkflowRunner(),
        interceptors=[ActivityLog()],
        max_concurrent_activity_task_polls=ACTIVITY_POLLS,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
    )


def _steps_of_checkout(settings: Settings, outside: _Outside) -> _Steps:
    engine = outside.engine
    payments = PaymentActivities(
        outside.processor, _record_reader(engine, outside.addresses)
    )
    orders, cases = OrderActivities(engine), CaseActivities(engine)
    refunds = RefundActivities(engine)
    access = AccessActivities(
        outside.http,
        settings.provisioning_url,
        settings.provisioning_secret.get_secret_value(),
        read_grant=_grant_reader(engine),
        record_access=_access_recorder(engine),
        record_access_ended=_access_end_recorder(engine),
        record_change_told=_change_recorder(engine),
    )
    return [
        payments.create_payment_intent,
        payments.prepare_payment_intent,
        payments.confirm_payment_intent,
        payments.look_up_payment_intent,
        payments.cancel_payment_intent,
        payments.refund_payment_intent,
        payments.list_refunds,
        payments.list_disputes,
        orders.claim_payment,
        orders.store_payment_intent,
        orders.record_action_needed,
        orders.record_processing,
        orders.record_asked,
        orders.record_not_charged,
        orders.record_charge,
        orders.write_order,
        orders.record_email,
        refunds.next_refund_step,
        refunds.record_refunds,
        refunds.record_second_charge,
        access.grant_entitlement,
        access.end_entitlement,
        access.change_entitlement,
        cases.open_case,
        cases.close_case,
        cases.record_repair,
    ]


def _steps_of_mail(settings: Settings, outside: _Outside) -> _Steps:
    correspondence = CorrespondenceActivities(outside.engine, settings.support_times)
    emails = EmailActivities(
        SmtpMailer.of(settings),
        _email_reader(outside.engine),
        Letters(Company.of(settings), outside.addresses).write,
    )
    return [emails.send_email, correspondence.plan_correspondence]


def _steps_of_reconciliation(
    settings: Settings, client: Client, outside: _Outside
) -> _Steps:
    ledger = EngineLedger(
        outside.engine,
        _address_digester(outside.addresses),
        _voucher(outside.addresses),
        is_account_shared=settings.stripe_account_is_shared,
    )
    books = BooksActivities(outside.processor, ledger)
    own = LedgerActivities(outside.engine)
    repairs = RepairActivities(CheckoutDoor(client).request_repair)
    return [
        books.compare_pages,
        books.ask_about_intents,
        own.begin_run,
        own.look_locally,
        own.decide,
        own.finish_run,
        repairs.ask_for_repairs,
    ]


def _steps_of_on_call(settings: Settings, outside: _Outside) -> _Steps:
    desk = DeskActivities(outside.engine, settings.on_call_setup)
    alerts = AlertActivities(settings.on_call_ways)
    watcher = WatcherActivities(outside.http, _watcher(settings))
    return [
        desk.look_at_desk,
        desk.record_desk,
        desk.pause_checkout,
        alerts.send_alert,
        watcher.beat,
    ]


def _address_digester(addresses: PageAddresses) -> DigestAddress:
    def digest(record: CheckoutOnRecord) -> bytes:
        return addresses.digest(record.checkout_id, record.token_key_id)

    return digest


def _voucher(addresses: PageAddresses) -> Vouch:
    def is_vouched_for(record: CheckoutOnRecord) -> bool:
        try:
            seal = addresses.seal(record.token_key_id, record.to_seal())
        except AddressKeyMissing:
            return False
        return hmac.compare_digest(seal.encode(), record.seal.encode())

    return is_vouched_for


def _record_reader(engine: AsyncEngine, addresses: PageAddresses) -> ReadRecord:
    async def read(checkout_id: UUID, buyer_attempt: int) -> CheckoutOnRecord:
        async with engine.begin() as connection:
            record = await read_record(connection, checkout_id, buyer_attempt)
        seal = addresses.seal(record.token_key_id, record.to_seal())
        return replace(record, seal=seal)

    return read


def _watcher(settings: Settings) -> str | None:
    url = settings.on_call_heartbeat_url
    return url.get_secret_value() if url else None


def _grant_reader(engine: AsyncEngine) -> ReadGrant:
    async def read(entitlement_id: UUID) -> Grant:
        async with engine.begin() as connection:
            return await read_grant(connection, entitlement_id)

    return read


def _access_recorder(engine: AsyncEngine) -> RecordAccess:
    async def record(
        grant: GrantEntitlement,
        access_url: str | None,
        next_message_at: datetime | None,
    ) -> datetime | None:
        async with engine.begin() as connection:
            return await record_access(connection, grant, access_url, next_message_at)

    return record


def _access_end_recorder(engine: AsyncEngine) -> RecordAccessEnded:
    async def record(ended: EndEntitlement) -> None:
        async with engine.begin() as connection:
            await record_access_ended(connection, ended)

    return record


def _change_recorder(engine: AsyncEngine) -> RecordChangeTold:
    async def record(change: ChangeEntitlement, number: int) -> None:
        async with engine.begin() as connection:
            await record_change_told(connection, change, number)

    return record


def _email_reader(engine: AsyncEngine) -> ReadOwedEmail:
    async def read(email_id: UUID) -> OwedEmail:
        async with engine.begin() as connection:
            return await read_owed_email(connection, email_id)

    return read


def main() -> int:
    """Run the process; wrong settings are told in a sentence."""
    try:
        settings = load_settings()
        check_channels(settings.on_call_ways)
    except (SettingsError, ChannelNotUnderstood) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logs.configure(settings.log_format)
    tracing.configure(settings.traces, "holdfast-worker")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings))
    except metrics.MetricsAddressTaken as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
