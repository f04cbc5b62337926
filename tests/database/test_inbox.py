"""The inbox on real rows: what waits, for how long, and who may end the waiting."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from database.inbox import (
    OVERDUE_AFTER,
    InboxEvent,
    ignore_event,
    list_overdue,
    list_unapplied,
    list_waiting,
    mark_applied,
    read_event,
    receive_event,
)
from database.tables import processor_events
from tests.conftest import Database

pytestmark = pytest.mark.postgres


async def arrive(engine: AsyncEngine, name: str, age: timedelta = timedelta()) -> None:
    """Let an event have arrived so long ago."""
    event = InboxEvent(
        event_id=name,
        kind="payment_intent.succeeded",
        payment_intent_id=f"pi_{name}",
        checkout_id=uuid4(),
    )
    async with engine.begin() as connection:
        await receive_event(connection, event, needs_hint=True)
        await connection.execute(
            text(
                "UPDATE processor_events SET received_at = now() - :age"
                " WHERE event_id = :name"
            ),
            {"age": age, "name": name},
        )


async def ignore(engine: AsyncEngine, name: str, actor: str = "dana") -> bool:
    """Ignore as the command does."""
    async with engine.begin() as connection:
        return await ignore_event(
            connection, name, actor=actor, reason="of a test endpoint"
        )


async def test_every_waiting_event_has_somebody_who_applies_it(
    engine: AsyncEngine,
) -> None:
    """What the starter loop leaves alone for its age is what the other list holds."""
    ages = {
        "fresh": timedelta(minutes=1),
        "nearly": OVERDUE_AFTER - timedelta(minutes=1),
        "late": OVERDUE_AFTER + timedelta(minutes=1),
        "very-late": timedelta(days=40),
    }
    for name, age in ages.items():
        await arrive(engine, name, age)
    for name in ("applied", "ignored"):
        await arrive(engine, name, timedelta(days=2))
    await ignore(engine, "ignored")

    async with engine.begin() as connection:
        await mark_applied(connection, "applied")
        of_the_loop = await list_waiting(
            connection,
            older_than=timedelta(seconds=2),
            younger_than=OVERDUE_AFTER,
            limit=10,
        )
        overdue = await list_overdue(connection, OVERDUE_AFTER, 10)
        first = await list_overdue(connection, OVERDUE_AFTER, 1)

    assert [one.event_id for one in of_the_loop] == ["nearly", "fresh"]
    assert [one.event_id for one in overdue] == ["very-late", "late"]
    assert [one.event_id for one in first] == ["very-late"]


async def test_an_event_is_ignored_once_by_one_person(
    engine: AsyncEngine, database: Database
) -> None:
    """Twenty at once: the row and the audit have one name and one reason."""
    await arrive(engine, "evt_1")

    done = await asyncio.gather(
        *(ignore(engine, "evt_1", f"person-{number}") for number in range(20))
    )

    assert sorted(done) == [False] * 19 + [True]
    with database.connect_as_owner() as owner:
        ((by, reason),) = owner.execute(
            "SELECT ignored_by, ignored_reason FROM processor_events"
        ).fetchall()
        lines = owner.execute(
            "SELECT actor, after->>'event', after->>'reason' FROM audit"
            " WHERE action = 'event.ignored'"
        ).fetchall()
    assert lines == [(by, "evt_1", reason)]


async def test_only_what_waits_can_be_ignored(engine: AsyncEngine) -> None:
    """An event that was told, and one that never came, are left as they are."""
    await arrive(engine, "told")
    async with engine.begin() as connection:
        await mark_applied(connection, "told")

    assert not await ignore(engine, "told")
    assert not await ignore(engine, "never-came")
    async with engine.begin() as connection:
        told = await read_event(connection, "told")
        assert await read_event(connection, "never-came") is None
    assert told is not None
    assert told.ignored_at is None


async def test_the_operator_sees_what_waits_and_what_was_ignored(
    engine: AsyncEngine,
) -> None:
    """Newest first; what was applied is not shown."""
    for age, name in enumerate(("newest", "ignored", "applied", "oldest")):
        await arrive(engine, name, timedelta(days=age))
    await ignore(engine, "ignored")
    async with engine.begin() as connection:
        await mark_applied(connection, "applied")

        shown = await list_unapplied(connection, 10)

    assert [(one.event.event_id, one.is_waiting) for one in shown] == [
        ("newest", True),
        ("ignored", False),
        ("oldest", True),
    ]


@pytest.mark.parametrize("missing", ["ignored_by", "ignored_reason"])
async def test_an_event_is_not_ignored_without_a_name_and_a_reason(
    engine: AsyncEngine, missing: str
) -> None:
    """The row itself refuses to be ignored by nobody, or for nothing."""
    await arrive(engine, "evt_1")
    ignored = {"ignored_at": text("now()"), "ignored_by": "x", "ignored_reason": "x"}
    ignored[missing] = None

    with pytest.raises(IntegrityError, match="ignored_by_somebody"):
        async with engine.begin() as connection:
            await connection.execute(update(processor_events).values(ignored))
