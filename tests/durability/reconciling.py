"""A stack whose reconciliation is started by hand, and many buyers at once.

The schedule is paused, so that nothing but the test starts a run. The processor's clock
goes a little slow: its charges are then old enough to be compared as soon as they are
made, and no test has to wait for the minute that a run leaves alone.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
from temporalio.client import Client

from domain.identifiers import workflow_id_of
from domain.reconciliation import ReconcileInput, ReconcileResult, Trigger
from stack.driver import Stack
from tests.durability.breaking import wait_until
from tests.durability.counting import VISA, connect_owner, get_json
from workflows.door import TASK_QUEUE
from workflows.reconciliation import ReconciliationWorkflow
from workflows.schedule import SCHEDULE_ID

B = TypeVar("B")
T = TypeVar("T")

#: More than the minute that a run leaves alone, less than what makes a page say "late".
_SLOW_SECONDS = 70

#: Buyers at the same time.
_CONCURRENCY = 12

#: What may change beside a run that finds nothing: its own row, how far it came, and
#: what the on-call desk writes in its own time.
_OWN_TABLES = {
    "reconciliation_runs",
    "reconciliation_state",
    "findings",
    "incidents",
    "notifications",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """All that was bought in a stack, each thing counted where it really is."""

    #: Checkouts with a succeeded charge at the processor, and those charges.
    paid: int
    charges: int
    orders: int
    subscriptions: int
    entitlements: int
    #: Calls that had an effect in the company's application.
    grants: int
    #: Distinct Message-IDs of receipts in the mailbox; None where mail is held.
    receipts: int | None
    #: Rows that wait for the processor, or for access.
    stuck: int = 0
    #: Rows that say something else of the money than the processor does.
    untrue: int = 0

    @classmethod
    def whole(cls, count: int, *, with_mail: bool = True) -> Totals:
        """Return what `count` paid checkouts come to when all is right."""
        return cls(
            paid=count,
            charges=count,
            orders=count,
            subscriptions=count,
            entitlements=count,
            grants=count,
            receipts=count if with_mail else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A checkout whose buyer has not pressed Pay."""

    email: str
    page: str


class Drill:
    """A running stack whose reconciliation is in the test's hands."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def reconcile(self, **asked: Any) -> ReconcileResult:
        """Carry out one run, and wait until its repairs have their outcome."""
        result = self.result_of(self.start(**asked))
        assert not result.is_busy, "The row of another run is open."
        self.wait_repaired()
        return result

    def wait_repaired(self) -> None:
        """Wait until every repair that was asked for has its outcome."""
        wait_until(lambda: self.one(_UNANSWERED) == 0, "the repairs", limit_seconds=90)

    def reconcile_until_nothing(self, *, most: int) -> list[ReconcileResult]:
        """Carry out runs until one finds nothing; that one is the last returned."""
        runs = [self.reconcile()]
        while runs[-1].tally.found or runs[-1].repairs or runs[-1].withheld:
            assert len(runs) < most, [run.tally.found for run in runs]
            runs.append(self.reconcile())
        return runs

    def start(self, **asked: Any) -> str:
        """Start a run by hand; its workflow's id."""
        wanted = ReconcileInput(trigger=Trigger.PERSON, actor="dana", **asked)
        workflow_id = f"reconciliation-{uuid4()}"

        async def begin(client: Client) -> None:
            await client.start_workflow(
                ReconciliationWorkflow.run,
                wanted,
                id=workflow_id,
                task_queue=TASK_QUEUE,
            )

        self.with_temporal(begin)
        return workflow_id

    def result_of(
        self, workflow_id: str, *, limit_seconds: float = 120
    ) -> ReconcileResult:
        """Wait for the end of a run."""

        async def wait(client: Client) -> ReconcileResult:
            handle = client.get_workflow_handle_for(
                ReconciliationWorkflow.run, workflow_id
            )
            return await asyncio.wait_for(handle.result(), limit_seconds)

        return self.with_temporal(wait)

    def terminate(self, workflow_id: str) -> None:
        """End a workflow as a person can in Temporal's UI: it learns nothing of it."""

        async def end(client: Client) -> None:
            await client.get_workflow_handle(workflow_id).terminate("drill")

        self.with_temporal(end)

    def with_temporal(self, do: Callable[[Client], Awaitable[T]]) -> T:
        """Do something with a client of the stack's Temporal."""
        at = self.stack.at

        async def connected() -> T:
            client = await Client.connect(
                at.temporal_address, namespace=at.temporal_namespace
            )
            return await do(client)

        return asyncio.run(connected())

    def pause_schedule(self) -> None:
        """Keep the schedule from starting a run of its own; it is there by then."""

        async def pause(client: Client) -> None:
            await client.get_schedule_handle(SCHEDULE_ID).pause(note="drill")

        wait_until(self.has_schedule, "the schedule")
        self.with_temporal(pause)

    def trigger_schedule(self) -> None:
        """Have the schedule start a run now, as its next tick would."""

        async def trigger(client: Client) -> None:
            await client.get_schedule_handle(SCHEDULE_ID).trigger()

        self.with_temporal(trigger)

    def has_schedule(self) -> bool:
        """Whether Temporal has the schedule of the reconciliation."""

        async def look(client: Client) -> bool:
            return SCHEDULE_ID in [
                listed.id async for listed in await client.list_schedules()
            ]

        return self.with_temporal(look)

    def one(self, query: str, *values: object) -> Any:
        """Read one value from the database."""
        with connect_owner(self.stack) as connection:
            found = connection.execute(query.encode(), values).fetchone()
        return found and found[0]

    def all(self, query: str) -> set[tuple[Any, ...]]:
        """Read rows from the database."""
        with connect_owner(self.stack) as connection:
            return set(connection.execute(query.encode()).fetchall())

    def write(self, statement: str, *values: object) -> None:
        """Change rows past the application, as time or a person would."""
        with connect_owner(self.stack) as connection:
            connection.execute(statement.encode(), values)

    def rows(self) -> Counter[str]:
        """Return every row of every table but those that a run may write."""
        found: Counter[str] = Counter()
        with connect_owner(self.stack) as connection:
            names = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
            for (name,) in names:
                if name not in _OWN_TABLES:
                    query = f"SELECT {name}::text FROM {name}"  # noqa: S608
                    for (row,) in connection.execute(query.encode()):
                        found[f"{name}: {row}"] += 1
        return found

    def charges(self) -> dict[UUID, list[dict[str, Any]]]:
        """Return the succeeded charges at the processor, by checkout."""
        summary = get_json(f"{self.stack.at.processor}/sandbox/summary")
        return {UUID(name): made for name, made in summary["checkouts"].items()}

    def totals(self, *, with_mail: bool = True) -> Totals:
        """Count everything from outside."""
        at, charges = self.stack.at, self.charges()
        access = get_json(f"{at.application}/api/entitlements")["entitlements"]
        receipts: int | None = None
        if with_mail:
            mails = get_json(f"{at.mailbox}/api/mails", kind="receipt")["mails"]
            receipts = len({mail["message_id"] for mail in mails})
        paid = list(charges)
        return Totals(
            paid=len(charges),
            charges=sum(len(made) for made in charges.values()),
            orders=self.one("SELECT count(*) FROM orders"),
            subscriptions=self.one("SELECT count(*) FROM subscriptions"),
            entitlements=self.one(
                "SELECT count(*) FROM entitlements WHERE state <> 'pending'"
            ),
            grants=sum(entry["grants"] for entry in access),
            receipts=receipts,
            stuck=self.one(_STUCK),
            untrue=self.one(_UNTRUE, paid, paid),
        )

    def unsettled(self) -> int:
        """Count the checkouts that have not come to their end."""
        return int(self.one(_UNFINISHED))

    def wait_settled(self, *, besides: int = 0, limit_seconds: float = 120) -> None:
        """Wait until all but so many checkouts have come to their end by themselves."""
        wait_until(
            lambda: self.unsettled() <= besides,
            "the checkouts to settle",
            limit_seconds=limit_seconds,
        )

    def buy_many(self, methods: Sequence[str]) -> list[UUID]:
        """Let one buyer for each means of payment press Pay, several at a time.

        None of them looks at a page again, so none helps his checkout on.
        """
        opened = self.open_many(len(methods))
        self.pay_many(opened, methods)
        return [self._find(checkout.email) for checkout in opened]

    def wait_charges(self, count: int) -> None:
        """Wait until the processor has made so many charges."""
        summary = f"{self.stack.at.processor}/sandbox/summary"
        wait_until(
            lambda: get_json(summary)["succeeded_charges"] >= count,
            f"{count} charges",
            limit_seconds=60,
        )

    def open_many(self, count: int) -> list[Opened]:
        """Let so many buyers come as far as the page with the button."""
        emails = [f"many-{uuid4().hex[:12]}@example.com" for _ in range(count)]
        return asyncio.run(_side_by_side(self.stack.at.shop, _open, emails))

    def pay_many(self, opened: Sequence[Opened], methods: Sequence[str]) -> None:
        """Let each buyer press Pay."""
        pressing = list(zip(opened, methods, strict=True))
        asyncio.run(_side_by_side(self.stack.at.shop, _pay, pressing))

    def lose_runs(self, count: int) -> list[UUID]:
        """Sell so many and lose each one's run: charged, and nobody looks after it.

        Each is terminated in the moment after the charge, so the row knows of none, and
        the worker dies then: it would go on to the end of what it is at.
        """
        confirmation = {"method": "POST", "path_regex": "/confirm$"}
        held = self.fault("act_then_hold", match=confirmation, times=count)
        bought = self.buy_many(visas(count))
        found = get_json(held, wait="hit", hits=str(count), timeout="60")
        assert found["hits"] == count, found
        for checkout_id in bought:
            self.terminate(workflow_id_of(checkout_id))
        killed = self.stack.kill("worker")
        httpx.delete(held, trust_env=False).raise_for_status()
        self.stack.wait_restarted("worker", after_pid=killed)
        return bought

    def fault(self, action: str, **more: Any) -> str:
        """Arm a fault at the processor for whoever comes; its address."""
        faults = f"{self.stack.at.processor}/sandbox/faults"
        reply = httpx.post(faults, json={"action": action, **more}, trust_env=False)
        reply.raise_for_status()
        return f"{faults}/{reply.json()['id']}"

    def switch_webhooks(self, mode: str) -> None:
        """Have the processor's events delivered, or withheld and never sent."""
        switches = f"{self.stack.at.processor}/sandbox/webhooks"
        httpx.post(switches, json={"mode": mode}, trust_env=False).raise_for_status()

    def _find(self, email: str) -> UUID:
        query = "SELECT checkout_id FROM checkouts WHERE email = %s"
        return UUID(str(self.one(query, email)))


_UNANSWERED = """
    SELECT count(*) FROM discrepancies
    LEFT JOIN repairs USING (repair_id)
    WHERE discrepancies.state = 'repairing' AND repairs.outcome IS NULL
"""

_STUCK = """
    SELECT count(*) FROM checkouts
    WHERE stage IN ('requested', 'charging')
    OR stage = 'charged' AND access_state = 'PENDING'
"""

#: The workflow's last word on a purchase is that its receipt has left.
_UNFINISHED = """
    SELECT count(*) FROM checkouts
    WHERE stage IN ('requested', 'charging')
    OR stage = 'charged' AND NOT EXISTS (
        SELECT FROM emails
        WHERE emails.checkout_id = checkouts.checkout_id
        AND kind = 'receipt' AND state = 'sent'
    )
"""

_UNTRUE = """
    SELECT count(*) FROM checkouts
    WHERE (checkout_id = ANY (%s)) <> (stage = 'charged')
    OR (checkout_id = ANY (%s)) AND money_state = 'NOT_CHARGED'
"""


async def _side_by_side(
    shop: str,
    act: Callable[[httpx.AsyncClient, B], Awaitable[T]],
    buyers: Sequence[B],
) -> list[T]:
    """Let the buyers act, several at a time; what came of each, in their order."""
    turns = iter(enumerate(buyers))
    results: dict[int, T] = {}
    async with httpx.AsyncClient(
        base_url=shop, headers={"Origin": shop}, trust_env=False, timeout=30
    ) as browser:

        async def act_in_turn() -> None:
            for number, buyer in turns:
                results[number] = await act(browser, buyer)

        await asyncio.gather(*(act_in_turn() for _ in range(_CONCURRENCY)))
    return [results[number] for number in range(len(buyers))]


async def _open(browser: httpx.AsyncClient, email: str) -> Opened:
    made = await browser.post("/checkouts", data={"plan": "one-year", "email": email})
    return Opened(email=email, page=made.headers["location"])


async def _pay(browser: httpx.AsyncClient, pressing: tuple[Opened, str]) -> None:
    opened, method = pressing
    paid = await browser.post(f"{opened.page}/pay", data={"payment_method": method})
    assert paid.status_code == httpx.codes.SEE_OTHER, paid.text


def slow_the_processor(stack: Stack) -> None:
    """Set the processor's clock back before it has made anything.

    Its own control moves the clock forward only: lists go by creation.
    """
    stack.stop_child("processor")
    with closing(sqlite3.connect(Path(stack.at.data) / "processor.db")) as storage:
        storage.execute(
            "INSERT INTO settings (name, value) VALUES ('clock_offset_seconds', ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (f"{-_SLOW_SECONDS}.0",),
        )
        storage.commit()
    stack.start_child("processor")


def visas(count: int) -> list[str]:
    """Return as many cards that pay at once."""
    return [VISA] * count
