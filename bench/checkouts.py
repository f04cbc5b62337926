"""`make bench`: N checkouts at a given concurrency, through the HTTP API, as JSON.

Each buyer makes a checkout, pays, and asks for the page's status until access is open,
then the next one comes. The latency from Pay to access is read from the database's own
clock, from the moment the request is written to the moment access is: asking often
enough to see it from outside would be most of the load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
from temporalio.client import Client

from stack.driver import Stack, fresh_data_folder, run_stack

#: Buyers who have not got access by then are counted as failed.
PATIENCE_SECONDS = 60.0
_ASK_EVERY_SECONDS = 0.05
#: Histories that are read to count events per checkout.
_SAMPLED_HISTORIES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the machine has spent so far.

    Attributes:
        cpu_seconds: By child of the stack, user and system together.
        fsyncs: That PostgreSQL made of its write-ahead log.
        transactions: Of the product's database, those of the buyers' asking too.
    """

    cpu_seconds: dict[str, float]
    fsyncs: int
    transactions: int


async def buy(client: httpx.AsyncClient, number: int) -> bool:
    """Buy once; False when access did not come."""
    made = await client.post(
        "/checkouts", data={"plan": "one-year", "email": f"bench{number}@example.com"}
    )
    page = made.headers["location"]
    started = time.perf_counter()
    paid = await client.post(f"{page}/pay", data={"payment_method": "pm_card_visa"})
    if paid.status_code != httpx.codes.SEE_OTHER:
        return False
    while time.perf_counter() - started < PATIENCE_SECONDS:
        status = await client.get(f"{page}/status")
        if status.is_success and status.json()["page"] == "success":
            return True
        await asyncio.sleep(_ASK_EVERY_SECONDS)
    return False


async def buy_many(shop: str, count: int, concurrency: int) -> list[bool]:
    """Let `concurrency` buyers share `count` purchases."""
    numbers = iter(range(count))
    results: list[bool] = []
    limits = httpx.Limits(max_connections=concurrency)
    async with httpx.AsyncClient(
        base_url=shop,
        headers={"Origin": shop},
        trust_env=False,
        timeout=PATIENCE_SECONDS,
        limits=limits,
    ) as client:

        async def buyer() -> None:
            for number in numbers:
                results.append(await buy(client, number))

        await asyncio.gather(*(buyer() for _ in range(concurrency)))
    return results


def _database(stack: Stack) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(stack.at.owner_database_url.replace("+psycopg", ""))


def spent(stack: Stack, names: list[str]) -> Cost:
    """Read the machine's meters."""
    cpu = {}
    for name in names:
        process = psutil.Process(stack.pid(name))
        family = [process, *process.children(recursive=True)]
        times = [member.cpu_times() for member in family]
        # Ended backends are counted in their parent's children times.
        own = process.cpu_times()
        cpu[name] = sum(t.user + t.system for t in times)
        cpu[name] += own.children_user + own.children_system
    with _database(stack) as connection:
        row = connection.execute(
            "SELECT (SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal'),"
            " (SELECT xact_commit FROM pg_stat_database"
            "  WHERE datname = current_database())"
        ).fetchone() or (0, 0)
    return Cost(cpu_seconds=cpu, fsyncs=int(row[0] or 0), transactions=int(row[1]))


async def history_events(stack: Stack) -> float:
    """Return the mean number of history events of some finished checkouts."""
    client = await Client.connect(
        stack.at.temporal_address, namespace=stack.at.temporal_namespace
    )
    lengths = [
        execution.history_length
        async for execution in client.list_workflows(
            "ExecutionStatus = 'Completed'", limit=_SAMPLED_HISTORIES
        )
    ]
    return statistics.fmean(lengths) if lengths else 0.0


def latencies(stack: Stack, since: str) -> list[float]:
    """Return the seconds from Pay to access of all purchases since then, sorted."""
    with _database(stack) as connection:
        rows = connection.execute(
            "SELECT extract(epoch FROM granted_at - pay_requested_at)"
            " FROM checkouts JOIN orders USING (checkout_id)"
            " JOIN entitlements USING (order_id)"
            " WHERE granted_at IS NOT NULL AND checkouts.created_at >= %s",
            (since,),
        ).fetchall()
    return sorted(float(row[0]) for row in rows)


def report(
    results: list[bool], done: list[float], seconds: float, before: Cost, after: Cost
) -> dict[str, Any]:
    """Put the figures together, per checkout where that makes sense."""
    count = sum(results) or 1
    cpu = {
        name: round((after.cpu_seconds[name] - before.cpu_seconds[name]) / count, 5)
        for name in after.cpu_seconds
    }
    return {
        "checkouts": len(results),
        "failed": len(results) - sum(results),
        "seconds": round(seconds, 3),
        "checkouts_per_second": round(sum(results) / seconds, 2),
        "pay_to_access_ms": {
            f"p{percent}": round(_percentile(done, percent) * 1000, 1)
            for percent in (50, 95, 99)
        },
        "cpu_seconds_per_checkout": cpu | {"all": round(sum(cpu.values()), 5)},
        "wal_fsyncs_per_checkout": round((after.fsyncs - before.fsyncs) / count, 2),
        "transactions_per_checkout": round(
            (after.transactions - before.transactions) / count, 2
        ),
    }


def _percentile(ordered: list[float], percent: int) -> float:
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def measure(stack: Stack, count: int, concurrency: int) -> dict[str, Any]:
    """Warm up, then buy, and read the meters before and after."""
    names = ["postgres", "temporal", "processor", "mailbox", "application"]
    names += ["api", "worker"]
    asyncio.run(buy_many(stack.at.shop, min(20, count), min(4, concurrency)))
    before = spent(stack, names)
    since = datetime.now(UTC).isoformat()
    started = time.perf_counter()
    results = asyncio.run(buy_many(stack.at.shop, count, concurrency))
    seconds = time.perf_counter() - started
    after = spent(stack, names)
    figures = report(results, latencies(stack, since), seconds, before, after)
    events = asyncio.run(history_events(stack))
    return figures | {"history_events_per_checkout": round(events, 1)}


def main() -> int:
    """Run the benchmark; exit code 1 when a purchase did not end in access."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--checkouts",
        type=int,
        default=200,
        help="purchases per run (default 200); a run with one buyer makes a quarter",
    )
    parser.add_argument(
        "--concurrency",
        type=int,
        nargs="+",
        default=[1, 8, 32],
        metavar="C",
        help="buyers at the same time, one run for each (default 1 8 32)",
    )
    parser.add_argument(
        "--temporal",
        choices=["dev", "postgres"],
        default="dev",
        help="the dev server on SQLite, or a server on PostgreSQL as in production",
    )
    asked = parser.parse_args()
    # One address buys everything here; the limit is for strangers.
    os.environ["HOLDFAST_RATE_LIMIT_PER_MINUTE"] = "1000000"
    # The buyers ask for the plan that is sold by default.
    os.environ.pop("HOLDFAST_PLANS", None)
    runs = []
    with fresh_data_folder() as data, _stack(data, asked.temporal) as stack:
        for concurrency in asked.concurrency:
            count = max(asked.checkouts // (1 if concurrency > 1 else 4), 1)
            figures = measure(stack, count, concurrency)
            runs.append({"concurrency": concurrency} | figures)
            sys.stderr.write(f"{json.dumps(runs[-1])}\n")
    print(json.dumps({"temporal": asked.temporal, "runs": runs}, indent=2))
    return 1 if any(run["failed"] for run in runs) else 0


def _stack(data: Path, temporal: str) -> AbstractContextManager[Stack]:
    options = ["--temporal", temporal] if temporal != "dev" else []
    return run_stack(data, *options, limit_seconds=1200)


if __name__ == "__main__":
    raise SystemExit(main())
