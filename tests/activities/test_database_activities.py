"""Every activity on the database: twice is once, and away is told as away."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.exceptions import ApplicationError

from activities.cases import CaseActivities
from activities.failures import FailureKind
from activities.orders import OrderActivities
from database.engine import make_engine
from database.tables import metadata
from domain.messages import (
    CloseCase,
    EmailOutcome,
    OpenCase,
    RecordActionNeeded,
    RecordAsked,
    RecordEmail,
    RecordNotCharged,
    RecordProcessing,
    RecordRepair,
    RepairRequest,
    StorePaymentIntent,
)
from domain.states import NotChargedReason
from tests.activities.conftest import EMAIL, Paid, run
from tests.conftest import Database

pytestmark = pytest.mark.postgres

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

#: Each activity's name and the argument that belongs to a paid checkout. A new activity
#: without a line here fails `test_every_activity_is_listed`.
Argument = Callable[[Paid, Any], Any]
ARGUMENTS: dict[str, Argument] = {
    "claim_payment": lambda paid, _: paid.checkout_id,
    "store_payment_intent": lambda paid, _: StorePaymentIntent(
        checkout_id=paid.checkout_id,
        buyer_attempt=1,
        payment_intent_id=paid.charge.payment_intent_id,
    ),
    "record_action_needed": lambda paid, _: RecordActionNeeded(
        checkout_id=paid.checkout_id,
        buyer_attempt=1,
        next_action_url="https://bank.example/1",
    ),
    "record_processing": lambda paid, _: RecordProcessing(
        checkout_id=paid.checkout_id, buyer_attempt=1
    ),
    "record_asked": lambda paid, _: RecordAsked(
        checkout_id=paid.checkout_id, buyer_attempt=1, asked_at=NOON
    ),
    "record_not_charged": lambda paid, _: RecordNotCharged(
        checkout_id=paid.checkout_id,
        buyer_attempt=1,
        reason=NotChargedReason.CANCELED,
    ),
    "record_charge": lambda paid, _: paid.owed,
    "write_order": lambda paid, _: paid.owed,
    "record_email": lambda _, order: RecordEmail(
        email_id=order.receipt_id, outcome=EmailOutcome(is_sent=True)
    ),
    "open_case": lambda paid, _: OpenCase(
        checkout_id=paid.checkout_id,
        step="write the order",
        cause="DatabaseAway",
        detail="write the order: DatabaseAway",
    ),
    "close_case": lambda paid, _: CloseCase(checkout_id=paid.checkout_id),
    "record_repair": lambda paid, _: RecordRepair(
        checkout_id=paid.checkout_id,
        repair=RepairRequest(
            repair_id=UUID(int=1), actor="dana", reason="customer wrote"
        ),
        outcome="delivered: found nothing missing",
    ),
}
#: These need an order to work on.
_AFTER_ORDER = {"record_email"}


def activities_of(engine: AsyncEngine) -> dict[str, Callable[..., Awaitable[Any]]]:
    """Return every database activity by name."""
    return {
        name: method
        for holder in (OrderActivities(engine), CaseActivities(engine))
        for name, method in inspect.getmembers(holder, inspect.ismethod)
        if hasattr(method, "__temporal_activity_definition")
    }


def snapshot(database: Database) -> dict[str, list[Any]]:
    """Return every row of every table but the clock's own columns."""
    clocks = {"updated_at", "claimed_at", "at"}
    found = {}
    with database.connect_as_owner() as connection:
        for table in metadata.sorted_tables:
            columns = [c.name for c in table.columns if c.name not in clocks]
            query = sql.SQL("SELECT {} FROM {} ORDER BY 1").format(
                sql.SQL(", ").join(map(sql.Identifier, columns)),
                sql.Identifier(table.name),
            )
            found[table.name] = connection.execute(query).fetchall()
    return found


async def test_every_activity_is_listed(engine: AsyncEngine) -> None:
    """No database activity escapes the two promises below."""
    assert activities_of(engine).keys() == ARGUMENTS.keys()


@pytest.mark.parametrize("name", ARGUMENTS)
async def test_a_second_run_changes_nothing(
    engine: AsyncEngine, database: Database, paid: Paid, name: str
) -> None:
    """Each activity's second run leaves every row as the first one left it."""
    order = await paid.written() if name in _AFTER_ORDER else None
    activity, argument = activities_of(engine)[name], ARGUMENTS[name](paid, order)

    await run(activity, argument)
    once = snapshot(database)
    await run(activity, argument)

    assert snapshot(database) == once


@pytest.mark.parametrize("name", ARGUMENTS)
async def test_a_database_that_is_away_is_told_as_away(paid: Paid, name: str) -> None:
    """Without a database each activity fails in a way that Temporal repeats."""
    order = await paid.written() if name in _AFTER_ORDER else None
    nowhere = make_engine(
        "postgresql+psycopg://nobody:nothing@127.0.0.1:1/none",
        pool_size=1,
        application_name="tests",
    )

    with pytest.raises(ApplicationError) as failed:
        await run(activities_of(nowhere)[name], ARGUMENTS[name](paid, order))

    await nowhere.dispose()
    assert failed.value.type == FailureKind.DATABASE_AWAY
    assert not failed.value.non_retryable
    assert EMAIL not in str(failed.value)


async def test_a_locked_table_is_told_within_seconds(
    database: Database, paid: Paid
) -> None:
    """A table that somebody locks turns into a repeated step, not a silent wait."""
    with psycopg.connect(database.owner_url.replace("+psycopg", "")) as holder:
        holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")

        with pytest.raises(ApplicationError) as failed:
            await run(paid.orders.write_order, paid.owed)

        holder.rollback()
    assert failed.value.type == FailureKind.DATABASE_AWAY
    assert (await paid.written()).is_new


async def test_an_attempt_takes_one_payment_intent_and_keeps_it(paid: Paid) -> None:
    """A second PaymentIntent for an attempt is not stored, so it is never confirmed."""
    other = StorePaymentIntent(
        checkout_id=paid.checkout_id, buyer_attempt=1, payment_intent_id="pi_other"
    )

    assert not await run(paid.orders.store_payment_intent, other)


async def test_an_ended_attempt_takes_no_payment_intent(
    database: Database, paid: Paid
) -> None:
    """A late store writes nothing once the attempt is charged."""
    await paid.written()
    before = snapshot(database)
    same = ARGUMENTS["store_payment_intent"](paid, None)

    assert not await run(paid.orders.store_payment_intent, same)
    assert snapshot(database) == before


async def test_another_charge_is_never_written_over(paid: Paid) -> None:
    """A second PaymentIntent for a charged checkout is refused for a person to see."""
    await paid.written()
    other = paid.owed
    object.__setattr__(other.charge, "payment_intent_id", "pi_other")

    with pytest.raises(ApplicationError) as failed:
        await run(paid.orders.write_order, other)

    assert failed.value.type == FailureKind.CHARGE_DISAGREES
    assert failed.value.non_retryable


async def test_a_checkout_of_nobody_is_final(engine: AsyncEngine) -> None:
    """A row that is not there is not waited for."""
    with pytest.raises(ApplicationError) as failed:
        await run(OrderActivities(engine).claim_payment, uuid4())

    assert failed.value.type == FailureKind.ROW_MISSING
    assert failed.value.non_retryable
