"""Ten thousand payments on both sides, and every kind of difference among them.

`make bench-reconciliation` does the same with a million.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.books import BooksActivities
from activities.ledger import EngineLedger, LedgerActivities
from activities.repairs import RepairActivities
from bench.books import NumberedBooks, Numbers
from bench.reconciliation import found_by, numbers_of
from bench.rows import load
from database import reconciliation
from domain.messages import CheckoutInput, RepairRequest
from domain.on_record import CheckoutOnRecord
from domain.payments import ListCharges
from domain.reconciliation import (
    MOST_REPAIRS,
    PERSONS_KINDS,
    Difference,
    DiscrepancyKind,
    ReconcileInput,
    ReconcileResult,
)
from tests.conftest import Database
from workflows import policies
from workflows.reconciliation import ReconciliationWorkflow

pytestmark = [pytest.mark.temporal, pytest.mark.postgres]


@pytest.fixture
def payments() -> int:
    """How many there are on both sides."""
    return 2_000


@pytest.fixture
def numbers(database: Database, payments: int) -> Numbers:
    """Both sides of the payments, a hundredth of them different; ours is loaded."""
    numbers = numbers_of(payments, payments // 100)
    with database.connect_as_owner() as connection:
        load(connection, numbers)
    return numbers


@asynccontextmanager
async def working(
    skipping: WorkflowEnvironment, engine: AsyncEngine, numbers: Numbers
) -> AsyncIterator[list[RepairRequest]]:
    """Run a worker; yields the repairs that are asked for."""
    asked: list[RepairRequest] = []

    async def take_note(_checkout: CheckoutInput, repair: RepairRequest) -> None:
        asked.append(repair)

    def digest(record: CheckoutOnRecord) -> bytes:
        return record.checkout_id.bytes * 2

    ledger = EngineLedger(engine, digest, lambda _: True, is_account_shared=False)
    books = BooksActivities(NumberedBooks(numbers), ledger)
    own, repairs = LedgerActivities(engine), RepairActivities(take_note)
    async with Worker(
        skipping.client,
        task_queue="at-scale",
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
        graceful_shutdown_timeout=timedelta(seconds=1),
        # The sandbox has policies of its own, which no test could change.
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        yield asked


async def run(skipping: WorkflowEnvironment) -> ReconcileResult:
    """Carry out one run."""
    return await skipping.client.execute_workflow(
        ReconciliationWorkflow.run,
        ReconcileInput(),
        id=f"reconciliation-{uuid4()}",
        task_queue="at-scale",
    )


@pytest.mark.parametrize("payments", [10_000])
async def test_every_planted_difference_is_found_and_nothing_else(
    skipping: WorkflowEnvironment,
    engine: AsyncEngine,
    database: Database,
    numbers: Numbers,
) -> None:
    """All that was planted among ten thousand payments is found; what agrees is not."""
    async with working(skipping, engine, numbers) as asked:
        result = await run(skipping)

    with database.connect_as_owner() as connection:
        found = found_by(connection)
    assert found == numbers.expected()
    assert sum(result.tally.found.values()) == len(found)
    assert len(asked) == result.repairs == MOST_REPAIRS
    persons = [p for p in numbers.planted.values() if p.kind in PERSONS_KINDS]
    assert result.cases == len(persons)


async def test_run_that_is_handed_over_finds_the_same(
    skipping: WorkflowEnvironment,
    engine: AsyncEngine,
    database: Database,
    numbers: Numbers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run too long for one execution goes on in another at the very page."""
    monkeypatch.setattr(policies, "HANDS_OVER_AFTER", timedelta(0))
    monkeypatch.setattr(policies, "PAGES_AT_ONCE", 5)
    async with working(skipping, engine, numbers):
        result = await run(skipping)

    with database.connect_as_owner() as connection:
        found = found_by(connection)
        runs = connection.execute("SELECT run_id, state FROM reconciliation_runs")
        assert runs.fetchall() == [(result.run_id, "finished")]
    assert found == numbers.expected()


async def test_long_run_puts_right_what_it_found_before_it_goes_on(
    skipping: WorkflowEnvironment,
    engine: AsyncEngine,
    numbers: Numbers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody whose charge is on the first page waits for the last, an hour later."""
    monkeypatch.setattr(policies, "HANDS_OVER_AFTER", timedelta(0))
    monkeypatch.setattr(policies, "PAGES_AT_ONCE", 5)
    monkeypatch.setattr(reconciliation, "MOST_REPAIRS", 1)
    async with working(skipping, engine, numbers) as asked:
        result = await run(skipping)

    assert result.repairs == len(asked) >= 3
    assert len({repair.repair_id for repair in asked}) == len(asked)


@pytest.mark.usefixtures("numbers")
async def test_repairs_and_cases_of_one_run_are_bounded(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deciding takes the same time whatever was found; the rest has later runs."""
    monkeypatch.setattr(reconciliation, "MOST_CASES", 2)
    monkeypatch.setattr(reconciliation, "MOST_REPAIRS", 3)
    async with engine.begin() as connection:
        plan = await reconciliation.begin_run(connection, uuid4(), ReconcileInput())
        assert plan is not None
        local = await reconciliation.look_locally(connection)
        await reconciliation.note_differences(
            connection, plan, [*local, *(foreign(number) for number in range(3))]
        )
        held = replace(plan, is_acting=False)
        first = await reconciliation.decide(connection, held)
        second = await reconciliation.decide(connection, plan)
        again = await reconciliation.decide(connection, plan)

    assert (first.repairs, first.withheld, first.cases) == ((), len(local), 0)
    assert (len(second.repairs), second.cases) == (3, 2)
    assert second.withheld == len(local) - 3
    # The third case had to wait for its turn.
    assert again == replace(second, cases=1)


@pytest.mark.usefixtures("numbers")
async def test_run_without_news_reads_no_table_from_end_to_end(
    engine: AsyncEngine, database: Database
) -> None:
    """A run every five minutes costs what is unfinished, and not all that ever was."""
    with database.connect_as_owner() as owner:
        owner.execute("UPDATE reconciliation_state SET watermark_at = now()")
        owner.execute("UPDATE reconciliation_state SET deep_at = now()")
        before = _read_from_end_to_end(owner)
        async with engine.begin() as connection:
            plan = await reconciliation.begin_run(connection, uuid4(), ReconcileInput())
            found = await reconciliation.look_locally(connection)
            intents = await reconciliation.list_open_intents(connection, 200)
            await connection.execute(select(func.pg_stat_force_next_flush()))
        after = _read_from_end_to_end(owner)

    assert plan is not None
    assert not plan.is_deep
    assert found
    assert intents
    assert after == before


def _read_from_end_to_end(owner: psycopg.Connection[tuple[object, ...]]) -> object:
    """Return how often that happened to each of the tables that grow."""
    return owner.execute(
        "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname IN"
        " ('checkouts', 'orders', 'entitlements', 'emails', 'processor_events')"
        " ORDER BY 1"
    ).fetchall()


async def test_checkout_made_again_in_a_long_run_is_found_once(
    engine: AsyncEngine, database: Database, numbers: Numbers
) -> None:
    """What waits for its repair until a long run is over is not stuck as well."""

    def digest(record: CheckoutOnRecord) -> bytes:
        return record.checkout_id.bytes * 2

    ledger = EngineLedger(engine, digest, lambda _: True, is_account_shared=False)
    async with engine.begin() as connection:
        plan = await reconciliation.begin_run(connection, uuid4(), ReconcileInput())
    assert plan is not None
    page = await NumberedBooks(numbers).list_charges(
        ListCharges(
            created_from=plan.compare_from,
            created_before=plan.compare_before,
            limit=numbers.objects,
        )
    )
    before = await ledger.list_open_intents(1_000)
    tally = await ledger.compare_charges(plan, page)
    with database.connect_as_owner() as connection_of_owner:
        connection_of_owner.execute(
            "UPDATE checkouts SET updated_at = now() - interval '1 hour'"
        )
    async with engine.begin() as connection:
        local = await reconciliation.look_locally(connection)
    after = await ledger.list_open_intents(1_000)

    assert tally.found[DiscrepancyKind.CHARGE_WITHOUT_CHECKOUT] > 0
    assert {(d.kind.value, d.subject) for d in local} <= numbers.expected()
    assert sorted(before, key=str) == sorted(after, key=str)


def foreign(number: int) -> Difference:
    """Return a charge of nobody's that was seen long enough."""
    return Difference(
        kind=DiscrepancyKind.FOREIGN_CHARGE,
        subject=f"pi_foreign_{number}",
        checkout_id=None,
        payment_intent_id=f"pi_foreign_{number}",
        amount=None,
        detail="The processor took 249.00 USD and names no checkout of ours.",
        is_settled=True,
    )
