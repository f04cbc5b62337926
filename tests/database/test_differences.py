"""What becomes of one difference over several runs, with a real PostgreSQL."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from database.checkouts import insert_checkout
from database.reconciliation import begin_run, decide, finish_run, note_differences
from domain.reconciliation import (
    MOST_REPAIRS_OF_ONE,
    NOTHING_FOUND,
    AskForRepair,
    Decided,
    Difference,
    DiscrepancyKind,
    FinishRun,
    ReconcileInput,
)
from tests.conftest import Database
from tests.database.conftest import new_checkout

pytestmark = pytest.mark.postgres


def difference(kind: DiscrepancyKind, checkout_id: UUID) -> Difference:
    """Return one that is seen again and again."""
    return Difference(
        kind=kind,
        subject="pi_lasting",
        checkout_id=checkout_id,
        payment_intent_id="pi_lasting",
        amount=None,
        detail="It lasts.",
        is_settled=True,
    )


async def see_once_more(engine: AsyncEngine, seen: Difference) -> Decided:
    """Carry out a run that finds this one difference."""
    async with engine.begin() as connection:
        plan = await begin_run(connection, uuid4(), ReconcileInput())
        assert plan is not None
        await note_differences(connection, plan, [seen])
        decided = await decide(connection, plan)
        await finish_run(
            connection,
            FinishRun(
                plan=plan,
                tally=NOTHING_FOUND,
                repairs=len(decided.repairs),
                cases=decided.cases,
                withheld=decided.withheld,
                is_bulk=decided.is_bulk,
            ),
        )
    return decided


async def an_open_checkout(engine: AsyncEngine) -> UUID:
    """Insert a checkout; its id."""
    checkout = new_checkout()
    async with engine.begin() as connection:
        await insert_checkout(connection, checkout)
    return checkout.checkout_id


def let_time_pass(database: Database) -> None:
    """Make every repair and every closed case a quarter of an hour older."""
    with database.connect_as_owner() as connection:
        connection.execute(
            "UPDATE discrepancies SET asked_at = asked_at - interval '15 min'"
        )
        connection.execute(
            "UPDATE cases SET resolved_at = resolved_at - interval '15 min'"
        )


def close_the_case(database: Database) -> None:
    """A person says that it is done."""
    with database.connect_as_owner() as connection:
        connection.execute(
            "UPDATE cases SET state = 'resolved', resolved_at = clock_timestamp()"
        )


def the_case(database: Database) -> object:
    """Return the state of the only case."""
    with database.connect_as_owner() as connection:
        (row,) = connection.execute("SELECT state FROM cases").fetchall()
    return row[0]


async def test_difference_that_outlives_its_case_opens_it_again(
    database: Database, engine: AsyncEngine
) -> None:
    """A case that was closed while the customer still has nothing does not stay so."""
    checkout_id = await an_open_checkout(engine)
    seen = difference(DiscrepancyKind.CHARGE_WITHOUT_ORDER, checkout_id)
    repairs: list[AskForRepair] = []
    for _ in range(MOST_REPAIRS_OF_ONE):
        repairs += (await see_once_more(engine, seen)).repairs
        let_time_pass(database)
    with_person = await see_once_more(engine, seen)
    close_the_case(database)

    at_once = await see_once_more(engine, seen)
    let_time_pass(database)
    later = await see_once_more(engine, seen)

    assert len({asked.repair_id for asked in repairs}) == MOST_REPAIRS_OF_ONE
    assert (with_person.repairs, with_person.cases) == ((), 1)
    # The person's own repair is given its time.
    assert at_once.cases == 0
    assert later.cases == 1
    assert the_case(database) == "open"


async def test_what_a_person_settled_stays_settled(
    database: Database, engine: AsyncEngine
) -> None:
    """Closing the case of a wrong amount is the decision: nobody is asked again."""
    checkout_id = await an_open_checkout(engine)
    seen = difference(DiscrepancyKind.AMOUNT_MISMATCH, checkout_id)
    first = await see_once_more(engine, seen)
    close_the_case(database)
    let_time_pass(database)

    later = await see_once_more(engine, seen)

    assert (first.cases, later.cases) == (1, 0)
    assert the_case(database) == "resolved"
