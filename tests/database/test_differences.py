"""What becomes of one difference over several runs, with a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from database.cases import record_repair
from database.checkouts import insert_checkout
from database.reconciliation import (
    begin_run,
    decide,
    finish_run,
    hold,
    let_go,
    let_mail_go,
    list_mail_held,
    look_locally,
    note_differences,
    read_age,
)
from domain.messages import RecordRepair, RepairRequest
from domain.reconciliation import (
    BULK_FROM,
    MOST_REPAIRS,
    MOST_REPAIRS_OF_ONE,
    NOTHING_FOUND,
    AskForRepair,
    Decided,
    Difference,
    DiscrepancyKind,
    FinishRun,
    ReconcileInput,
    RunPlan,
)
from tests.conftest import Database
from tests.database.conftest import new_checkout

pytestmark = pytest.mark.postgres


def difference(
    kind: DiscrepancyKind, checkout_id: UUID, payment: str = "pi_lasting"
) -> Difference:
    """Return one that is seen again and again."""
    return Difference(
        kind=kind,
        subject=payment,
        checkout_id=checkout_id,
        payment_intent_id=payment,
        amount=None,
        detail="It lasts.",
        is_settled=True,
    )


async def see_once_more(engine: AsyncEngine, *seen: Difference) -> Decided:
    """Carry out a run that finds these differences."""
    async with engine.begin() as connection:
        plan = await begin_run(connection, uuid4(), ReconcileInput())
        assert plan is not None
        await note_differences(connection, plan, seen)
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
    """Make all that happened so far a quarter of an hour older."""
    with database.connect_as_owner() as connection:
        connection.execute(
            "UPDATE discrepancies SET asked_at = asked_at - interval '15 min',"
            " last_seen_at = last_seen_at - interval '15 min'"
        )
        connection.execute(
            "UPDATE reconciliation_runs SET started_at = started_at - interval '15 min'"
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


async def lose(
    engine: AsyncEngine, database: Database, kind: DiscrepancyKind, count: int
) -> list[Difference]:
    """Have checkouts that the processor charged; lost ones were just made anew."""
    ids = [await an_open_checkout(engine) for _ in range(count)]
    if kind is DiscrepancyKind.CHARGE_WITHOUT_CHECKOUT:
        with database.connect_as_owner() as connection:
            connection.execute(
                "UPDATE checkouts SET mail_held_at = now() WHERE checkout_id = ANY(%s)",
                [ids],
            )
    return [difference(kind, one, f"pi_{one}") for one in ids]


async def answer(engine: AsyncEngine, decided: Decided) -> None:
    """The workflows have done what they were asked for."""
    async with engine.begin() as connection:
        for asked in decided.repairs:
            await record_repair(
                connection,
                RecordRepair(
                    checkout_id=asked.checkout_id,
                    repair=RepairRequest(
                        repair_id=asked.repair_id, actor="nobody", reason="none"
                    ),
                    outcome="delivered",
                ),
            )


async def held(engine: AsyncEngine) -> set[UUID]:
    """Return the checkouts whose mail waits for a person."""
    async with engine.begin() as connection:
        return {one for one, _ in await list_mail_held(connection, limit=500)}


async def test_bulk_repair_holds_nobody_who_was_put_right_before(
    database: Database, engine: AsyncEngine
) -> None:
    """A customer whose repair is over hears of their refund, whatever is repaired now.

    One whose repair is still under way does not: it may be of the same making.
    """
    kind = DiscrepancyKind.CHARGE_WITHOUT_ORDER
    over, under_way = await lose(engine, database, kind, 2)
    await answer(engine, await see_once_more(engine, over))
    await see_once_more(engine, under_way)
    now = await lose(engine, database, kind, BULK_FROM)

    decided = await see_once_more(engine, *now)

    assert decided.is_bulk
    assert await held(engine) == {one.checkout_id for one in [under_way, *now]}


async def test_mail_that_was_let_go_is_not_held_again_by_the_next_bulk_repair(
    database: Database, engine: AsyncEngine
) -> None:
    """A person's word about a bulk repair stands, however many more follow it."""
    kind = DiscrepancyKind.CHARGE_WITHOUT_ORDER
    first = await lose(engine, database, kind, BULK_FROM)
    await answer(engine, await see_once_more(engine, *first))
    async with engine.begin() as connection:
        assert (await let_mail_go(connection)).count == BULK_FROM
    second = await lose(engine, database, kind, BULK_FROM)

    await see_once_more(engine, *second)

    assert await held(engine) == {one.checkout_id for one in second}


async def test_last_few_of_a_bulk_repair_wait_for_a_person_too(
    database: Database, engine: AsyncEngine
) -> None:
    """What the cap leaves to the next run is no small repair: nobody is mailed of it.

    Once a person has let the mail go, a few lost rows speak like all others.
    """
    kind = DiscrepancyKind.CHARGE_WITHOUT_CHECKOUT
    lost = await lose(engine, database, kind, MOST_REPAIRS + 5)
    first = await see_once_more(engine, *lost)
    await answer(engine, first)

    rest = await see_once_more(engine)

    assert (len(first.repairs), len(rest.repairs)) == (MOST_REPAIRS, 5)
    assert await held(engine) == {one.checkout_id for one in lost}
    async with engine.begin() as connection:
        await let_mail_go(connection)
    await see_once_more(engine, *await lose(engine, database, kind, 2))
    assert await held(engine) == set()


async def test_however_much_differs_is_noted(
    database: Database, engine: AsyncEngine
) -> None:
    """A day without workflows, or another account's list, does not stop the run."""
    checkout_id = await an_open_checkout(engine)
    kind = DiscrepancyKind.STUCK_CHECKOUT
    seen = [difference(kind, checkout_id, f"{number}") for number in range(7000)]
    async with engine.begin() as asked:
        plan = await begin_run(asked, uuid4(), ReconcileInput())
        assert plan is not None
        await note_differences(asked, plan, seen)

    with database.connect_as_owner() as connection:
        noted = connection.execute("SELECT count(*) FROM discrepancies").fetchone()
    assert noted == (7000,)


async def test_a_run_takes_up_so_many_of_a_kind_and_no_more(
    database: Database, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run finds in our own rows is bounded, and each has its chance."""
    monkeypatch.setattr("database.reconciliation.MOST_LOCAL", 2)
    for _ in range(3):
        await an_open_checkout(engine)
    with database.connect_as_owner() as connection:
        connection.execute(
            "UPDATE checkouts SET stage = 'requested', money_state = 'UNKNOWN',"
            " pay_requested_at = now()"
        )
        connection.execute(
            "UPDATE checkouts SET stage = 'charging',"
            " updated_at = now() - interval '10 min'"
        )
    found: set[UUID | None] = set()
    for _ in range(50):
        async with engine.begin() as asked:
            some = await look_locally(asked)
        assert len(some) == 2
        found |= {one.checkout_id for one in some}

    assert len(found) == 3


async def begun(engine: AsyncEngine) -> RunPlan:
    """Begin a run; its plan."""
    async with engine.begin() as connection:
        plan = await begin_run(connection, uuid4(), ReconcileInput())
    assert plan is not None
    return plan


async def test_deep_pass_under_the_kill_switch_is_not_repeated_each_time(
    database: Database, engine: AsyncEngine
) -> None:
    """A pass of an hour comes once a day, held or not; released, it comes at once.

    Meanwhile it has made no lost row anew.
    """
    with database.connect_as_owner() as connection:
        connection.execute(
            "UPDATE reconciliation_state SET watermark_at = now() - interval '1 hour',"
            " deep_at = now() - interval '2 days'"
        )
    async with engine.begin() as asked:
        await hold(asked, "dana", "a drill")
    passes = []
    for is_released in (False, False, True, True):
        if is_released:
            async with engine.begin() as asked:
                await let_go(asked)
        plan = await begun(engine)
        passes.append((plan.is_deep, plan.is_acting))
        async with engine.begin() as asked:
            await finish_run(
                asked,
                FinishRun(
                    plan=plan,
                    tally=NOTHING_FOUND,
                    repairs=0,
                    cases=0,
                    withheld=0,
                    is_bulk=False,
                ),
            )

    assert passes == [(True, False), (False, False), (True, True), (False, True)]


async def test_run_that_moves_is_not_late(
    database: Database, engine: AsyncEngine
) -> None:
    """An hour of comparing alarms nobody, unless it stands still or follows a dead one.

    Then the age is that of the watermark.
    """
    an_hour_ago = "now() - interval '1 hour'"
    with database.connect_as_owner() as connection:
        connection.execute(
            f"UPDATE reconciliation_state SET watermark_at = {an_hour_ago}".encode()  # noqa: S608  # Our words.
        )

    async def age_after(statement: str) -> timedelta:
        with database.connect_as_owner() as connection:
            connection.execute(statement.encode())
        async with engine.begin() as asked:
            return await read_age(asked)

    await begun(engine)
    moves = await age_after(
        f"UPDATE reconciliation_runs SET started_at = {an_hour_ago}"  # noqa: S608  # Our words.
    )
    stands = await age_after(
        "UPDATE reconciliation_runs SET touched_at = now() - interval '4 min'"
    )
    await begun(engine)
    follows = await age_after("SELECT 1")

    assert moves < timedelta(minutes=1)
    assert min(stands, follows) >= timedelta(hours=1)


async def test_parts_of_a_long_run_are_one_bulk_repair(
    database: Database, engine: AsyncEngine
) -> None:
    """Each part asks for its own repairs once, and their customers count together."""
    kind = DiscrepancyKind.CHARGE_WITHOUT_ORDER
    first = await lose(engine, database, kind, BULK_FROM - 1)
    plan = await begun(engine)
    async with engine.begin() as connection:
        await note_differences(connection, plan, first)
        earlier = await decide(connection, plan)
    second = await lose(engine, database, kind, 1)
    plan = replace(plan, decided_at=earlier.decided_at)
    let_time_pass(database)
    async with engine.begin() as connection:
        await note_differences(connection, plan, second)
        later = await decide(connection, plan)
        again = await decide(connection, plan)

    assert (len(earlier.repairs), earlier.is_bulk) == (BULK_FROM - 1, False)
    assert [one.checkout_id for one in later.repairs] == [second[0].checkout_id]
    assert later.is_bulk
    assert again == later
    assert await held(engine) >= {second[0].checkout_id}
