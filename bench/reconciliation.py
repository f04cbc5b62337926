"""`make bench-reconciliation`: whole runs over many payments, as JSON.

For each size a PostgreSQL database is filled with that many checkouts, a processor's
books with as many payments, and a thousand differences of all kinds are planted. Then
`ReconciliationWorkflow` runs on a Temporal dev server, its activities in a process of
their own whose peak of memory is read, and what it wrote down is held against what was
planted. The processor is `bench.books`: pages are made in memory, since a million
payments over HTTP would measure a stand-in. Repairs are decided and not carried out:
their cost is that of a checkout each, and one run asks for fifty at the most.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.books import BooksActivities
from activities.ledger import EngineLedger, LedgerActivities
from activities.repairs import RepairActivities
from bench.books import NumberedBooks, Numbers, seconds_of
from bench.rows import load
from database.engine import make_engine
from database.migrate import migrate
from domain.messages import CheckoutInput, RepairRequest
from domain.on_record import CheckoutOnRecord
from domain.reconciliation import ReconcileInput, ReconcileResult
from observability.logs import configure
from stack.driver import fresh_data_folder
from stack.errors import StackError
from stack.postgres import PostgresHandle, postgres
from stack.temporal import TemporalHandle, temporal
from workflows import policies
from workflows.door import connect
from workflows.reconciliation import ReconciliationWorkflow

_QUEUE = "bench-reconciliation"
_DATABASE = "BENCH_DATABASE_URL"
#: The youngest payment is older than all that a run gives time to.
_AGO_SECONDS = 2 * 60 * 60
#: What the issue allows.
MOST_MEGABYTES = 300
#: The default number of planted differences, and their largest share of the payments.
DIFFERENCES, LARGEST_SHARE = 1_000, 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run, and the process that carried it out.

    Attributes:
        seconds: From its start to its result.
        by_step: Seconds that each activity took, by its name.
        cpu_seconds: Of the worker's process and of PostgreSQL: what other load on the
            machine does not change.
        peak_megabytes: The most memory that the worker's process ever held.
    """

    result: ReconcileResult
    seconds: float
    by_step: dict[str, float]
    cpu_seconds: dict[str, float]
    peak_megabytes: float


def numbers_of(payments: int, differences: int) -> Numbers:
    """Return payments of which the youngest is hours old."""
    began_at = int(time.time()) - _AGO_SECONDS - seconds_of(payments + payments // 40)
    share = max(1, int(payments * LARGEST_SHARE))
    return Numbers(payments, min(differences, share), began_at)


def found_by(connection: psycopg.Connection[Any]) -> set[tuple[str, str]]:
    """Return kind and subject of everything that runs wrote down."""
    rows = connection.execute("SELECT kind, subject FROM discrepancies").fetchall()
    return {(str(kind), str(subject)) for kind, subject in rows}


async def serve(database: str, address: str, namespace: str, numbers: Numbers) -> None:
    """Be the worker until the standard input ends; then tell the peak of memory."""
    engine = make_engine(database, pool_size=10, application_name="bench")

    def digest(record: CheckoutOnRecord) -> bytes:
        return record.checkout_id.bytes * 2

    ledger = EngineLedger(engine, digest, is_account_shared=False)
    books = BooksActivities(NumberedBooks(numbers), ledger)
    own, repairs = LedgerActivities(engine), RepairActivities(_take_note)
    worker = Worker(
        await connect(address, namespace, lazy=False),
        task_queue=_QUEUE,
        workflows=[ReconciliationWorkflow],
        activities=[
            books.compare_pages,
            books.ask_about_intents,
            own.begin_run,
            own.look_locally,
            own.decide,
            own.finish_run,
            repairs.ask_for_repairs,
        ],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    # The standard output is for the figures.
    configure("console")
    async with worker:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
    await engine.dispose()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak / (1024**2 if sys.platform == "darwin" else 1024))


async def _take_note(_checkout: CheckoutInput, _repair: RepairRequest) -> None:
    """Ask nobody: the checkouts' workflows are not part of this measurement."""


@asynccontextmanager
async def _serving(
    database: str, *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.reconciliation",
        "--serve",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # A password in an argument is everybody's to read.
        env={**os.environ, _DATABASE: database},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run_once(
    handle: TemporalHandle, server: PostgresHandle, url: str, numbers: Numbers
) -> Run:
    """Carry out one run in a fresh process.

    Raises:
        StackError: The process did not start; its error is on the standard error.
    """
    client = handle.client
    told = [str(numbers.payments), str(numbers.differences), str(numbers.began_at)]
    async with _serving(url, handle.address, handle.namespace, *told) as process:
        if process.stdout is None or not await process.stdout.readline():
            raise StackError("the worker did not start")
        pids = {"worker": process.pid, "postgres": server.process.pid}
        before = {name: _spent(pid) for name, pid in pids.items()}
        started = time.perf_counter()
        run = await client.start_workflow(
            ReconciliationWorkflow.run,
            ReconcileInput(),
            id=f"reconciliation-{uuid4()}",
            task_queue=_QUEUE,
            run_timeout=policies.RUN_LASTS,
        )
        result = await run.result()
        seconds = time.perf_counter() - started
        spent = {name: _spent(pid) - before[name] for name, pid in pids.items()}
        told_by_it, _ = await process.communicate(b"")
    return Run(
        result=result,
        seconds=seconds,
        by_step=await _by_step(client, run),
        cpu_seconds=spent,
        peak_megabytes=float(told_by_it),
    )


def _spent(pid: int) -> float:
    """Return the processor time of a process and its children, ended ones too."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    own = times[0]
    ended = own.children_user + own.children_system
    return float(sum(one.user + one.system for one in times) + ended)


async def _by_step(
    client: Client, handle: WorkflowHandle[Any, Any]
) -> dict[str, float]:
    """Read off the histories, those continued as new too, how long each step took."""
    seconds: dict[str, float] = {}
    run_id = handle.first_execution_run_id
    while run_id:
        begun: dict[int, tuple[str, float]] = {}
        part = client.get_workflow_handle(handle.id, run_id=run_id)
        run_id = None
        async for event in part.fetch_history_events():
            at = event.event_time.ToNanoseconds() / 1e9
            if event.HasField("activity_task_scheduled_event_attributes"):
                kind = event.activity_task_scheduled_event_attributes.activity_type
                begun[event.event_id] = (kind.name, at)
            elif event.HasField("activity_task_completed_event_attributes"):
                done = event.activity_task_completed_event_attributes
                name, since = begun[done.scheduled_event_id]
                seconds[name] = seconds.get(name, 0.0) + at - since
            elif event.HasField("workflow_execution_continued_as_new_event_attributes"):
                new = event.workflow_execution_continued_as_new_event_attributes
                run_id = new.new_execution_run_id
    return seconds


def report(numbers: Numbers, run: Run, found: set[tuple[str, str]]) -> dict[str, Any]:
    """Put the figures together."""
    expected = numbers.expected()
    tally = run.result.tally
    comparing = run.by_step["compare_pages"]
    return {
        "payments": numbers.payments,
        "objects_compared": tally.compared,
        "planted": numbers.differences,
        "differences_expected": len(expected),
        "missed": sorted(expected - found),
        "false": sorted(found - expected),
        "found": dict(tally.found),
        "seconds": round(run.seconds, 2),
        "payments_per_second": round(tally.charges / comparing),
        "microseconds_per_payment": round(comparing / tally.charges * 1e6, 1),
        "cpu_microseconds_per_payment": {
            name: round(spent / tally.charges * 1e6, 1)
            for name, spent in run.cpu_seconds.items()
        },
        "seconds_by_step": {name: round(took, 3) for name, took in run.by_step.items()},
        "peak_megabytes": round(run.peak_megabytes, 1),
        "repairs": run.result.repairs,
        "withheld": run.result.withheld,
        "cases": run.result.cases,
    }


async def measure(
    server: PostgresHandle, data: Path, sizes: list[int], differences: int
) -> list[dict[str, Any]]:
    """Fill a database for each size, and let one run compare it."""
    reports = []
    async with temporal(data) as handle:
        for payments in sizes:
            owner_url, app_url = server.new_database(f"payments_{payments}")
            await asyncio.to_thread(migrate, owner_url)
            numbers = numbers_of(payments, differences)
            with psycopg.connect(
                owner_url.replace("+psycopg", ""), autocommit=True
            ) as owner:
                started = time.perf_counter()
                await asyncio.to_thread(load, owner, numbers)
                loaded = time.perf_counter() - started
                run = await run_once(handle, server, app_url, numbers)
                figures = report(numbers, run, found_by(owner))
            figures |= {
                "seconds_to_load": round(loaded, 1),
                "load_average": [round(load, 2) for load in os.getloadavg()],
            }
            sys.stderr.write(f"{json.dumps(figures)}\n")
            reports.append(figures)
    return reports


def _is_right(figures: dict[str, Any]) -> bool:
    return (
        not figures["missed"]
        and not figures["false"]
        and figures["peak_megabytes"] < MOST_MEGABYTES
    )


def main() -> int:
    """Run the benchmark; exit code 1 when a run was wrong or took too much memory."""
    parser = argparse.ArgumentParser(
        prog="make bench-reconciliation", description=__doc__
    )
    parser.add_argument(
        "--payments",
        type=int,
        nargs="+",
        default=[10_000, 100_000, 1_000_000],
        metavar="N",
        help="payments, one run for each (default 10000 100000 1000000)",
    )
    parser.add_argument(
        "--differences",
        type=int,
        default=DIFFERENCES,
        help="planted, fiftieth of the payments at the most (default 1000)",
    )
    parser.add_argument("--serve", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        address, namespace, *numbers = asked.serve
        told = Numbers(*(int(number) for number in numbers))
        asyncio.run(serve(os.environ[_DATABASE], address, namespace, told))
        return 0
    with fresh_data_folder() as data, postgres(data) as server:
        runs = asyncio.run(measure(server, data, asked.payments, asked.differences))
    print(json.dumps({"runs": runs}, indent=2))
    return 0 if all(_is_right(figures) for figures in runs) else 1


if __name__ == "__main__":
    raise SystemExit(main())
