"""Payments paused: no press slips through, nobody in flight is harmed, all are told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from database.checkouts import (
    MOST_BUYER_ATTEMPTS,
    PaymentRequested,
    claim_payment,
    insert_checkout,
    read_checkout,
    request_payment,
)
from database.pauses import (
    Pause,
    list_waiters_to_tell,
    mark_told,
    pause_payments,
    read_pause,
    resume_payments,
    wait_for_reopening,
)
from domain.states import Stage
from tests.conftest import Database
from tests.database.conftest import OpenCheckout, new_checkout

pytestmark = pytest.mark.postgres

PRESSES = 20


async def _pause(engine: AsyncEngine) -> Pause:
    async with engine.begin() as connection:
        return await pause_payments(connection, reason="charged twice", actor="dana")


async def _resume(engine: AsyncEngine) -> Pause | None:
    async with engine.begin() as connection:
        return await resume_payments(connection, actor="dana")


async def _press(engine: AsyncEngine, checkout_id: UUID) -> PaymentRequested:
    async with engine.begin() as connection:
        return await request_payment(connection, checkout_id, "pm_card_visa")


async def _waiters(engine: AsyncEngine) -> list[UUID]:
    """List who is to be told, and let go of them again."""
    async with engine.begin() as connection:
        found = await list_waiters_to_tell(connection, 100)
        return [waiter.checkout_id for waiter in found]


async def _open_for(engine: AsyncEngine, email: str) -> UUID:
    new = replace(new_checkout(), email=email)
    async with engine.begin() as connection:
        await insert_checkout(connection, new)
    return new.checkout_id


async def test_a_press_during_a_pause_makes_nothing_durable(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """The row stays open, no attempt is written, and the buyer is told so."""
    checkout_id = await open_checkout()
    paused = await _pause(engine)

    pressed = await _press(engine, checkout_id)

    async with engine.begin() as connection:
        row = await read_checkout(connection, checkout_id)
    assert (pressed.is_new, pressed.is_paused, pressed.too_many) == (False, True, False)
    assert (row.stage, row.buyer_attempt) == (Stage.OPEN, 0)
    assert row.paused_at == paused.paused_at
    assert row.tells_when_open is True
    with database.connect_as_owner() as owner:
        found = owner.execute("SELECT count(*) FROM payment_attempts").fetchone()
    assert found == (0,)


async def test_twenty_presses_that_race_with_a_pause_are_before_it_or_refused(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """Whatever the switch let through was committed before it; nothing comes after."""
    buyers = [await open_checkout() for _ in range(PRESSES)]
    at_the_switch: list[int] = []

    async def switch() -> None:
        # In the middle of the crowd: some presses are on their way by then.
        await _press(engine, buyers[0])
        await _pause(engine)
        at_the_switch.append(_requested(database))

    presses, _ = await asyncio.gather(
        asyncio.gather(*(_press(engine, buyer) for buyer in buyers[1:])), switch()
    )

    let_through = 1 + sum(press.is_new for press in presses)
    assert at_the_switch == [let_through]
    assert _requested(database) == let_through
    assert let_through + sum(press.is_paused for press in presses) == PRESSES


async def test_a_press_that_came_first_is_waited_for(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A pause is not done while a press that it did not stop is still uncommitted."""
    first, second = await open_checkout(), await open_checkout()
    async with engine.begin() as connection:
        pressed = await request_payment(connection, first, "pm_card_visa")
        pausing = asyncio.create_task(_pause(engine))
        while not await _is_waited_for(engine):
            assert not pausing.done()
        # Behind the waiting switch, a later press waits too, and is then refused.
        late = asyncio.create_task(_press(engine, second))
    await pausing

    assert pressed.is_new
    assert (await late).is_paused
    async with engine.begin() as connection:
        assert (await read_checkout(connection, first)).stage is Stage.REQUESTED


async def test_who_is_in_flight_is_not_harmed(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """What was requested before the pause is claimed and charged during it."""
    checkout_id = await open_checkout(Stage.REQUESTED)
    await _pause(engine)

    again = await _press(engine, checkout_id)
    async with engine.begin() as connection:
        claim = await claim_payment(connection, checkout_id)

    assert (again.is_paused, again.stage) == (False, Stage.REQUESTED)
    assert claim.stage is Stage.CHARGING
    await _resume(engine)
    assert await _waiters(engine) == []


async def test_pausing_and_resuming_twice_is_once(
    engine: AsyncEngine, database: Database
) -> None:
    """The second call finds what stands, and the audit has one line for each change."""
    first, second = await _pause(engine), await _pause(engine)
    resumed, nothing = await _resume(engine), await _resume(engine)

    assert (first.is_new, second.is_new) == (True, False)
    assert second.pause_id == first.pause_id
    assert resumed is not None
    assert resumed.resumed_by == "dana"
    assert nothing is None
    async with engine.begin() as connection:
        assert await read_pause(connection) is None
    with database.connect_as_owner() as owner:
        lines = owner.execute(
            "SELECT actor, action, after ->> 'reason' FROM audit ORDER BY audit_id"
        ).fetchall()
    assert lines == [
        ("dana", "payments.paused", "charged twice"),
        ("dana", "payments.resumed", "charged twice"),
    ]


async def test_operators_who_pause_at_once_make_one_pause(engine: AsyncEngine) -> None:
    """Two people at two consoles, and the machine itself: one pause."""
    pauses = await asyncio.gather(*(_pause(engine) for _ in range(5)))

    assert len({pause.pause_id for pause in pauses}) == 1
    assert [pause.is_new for pause in pauses].count(True) == 1


async def test_the_database_allows_one_open_pause(engine: AsyncEngine) -> None:
    """Uniqueness is the database's word, whoever writes."""
    await _pause(engine)
    with pytest.raises(IntegrityError, match="uq_shop_pauses_open"):
        async with engine.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO shop_pauses (pause_id, reason, actor)"
                    " VALUES (gen_random_uuid(), 'again', 'eve')"
                )
            )


async def test_who_waited_is_told_once_and_only_when_it_is_open(
    engine: AsyncEngine,
) -> None:
    """Opened in the pause, stopped at Pay, or asked for it: these, and nobody else."""
    before, stopped, asked = [await _open_for(engine, f"{n}@a.test") for n in range(3)]
    await _pause(engine)
    opened = await _open_for(engine, "3@a.test")
    await _press(engine, stopped)
    async with engine.begin() as connection:
        await wait_for_reopening(connection, asked)
        await wait_for_reopening(connection, asked)
    during = await _waiters(engine)
    await _resume(engine)

    after = await _waiters(engine)
    async with engine.begin() as connection:
        for waiter in await list_waiters_to_tell(connection, 100):
            await mark_told(connection, waiter)

    assert during == []
    assert set(after) == {stopped, asked, opened}
    assert before not in after
    assert await _waiters(engine) == []


async def test_who_came_back_by_themselves_is_not_written_to(
    engine: AsyncEngine,
) -> None:
    """Whoever has pressed Pay since the reopening knows that it is open."""
    await _pause(engine)
    back, away = (
        await _open_for(engine, "a@a.test"),
        await _open_for(engine, "b@a.test"),
    )
    await _resume(engine)

    await _press(engine, back)

    assert await _waiters(engine) == [away]


async def test_an_address_reads_it_once_however_many_checkouts_it_has(
    engine: AsyncEngine,
) -> None:
    """Three tries in one pause are one mail, for the newest of them."""
    await _pause(engine)
    tries = [await _open_for(engine, e) for e in ("m@a.test", "M@a.test", "m@a.test")]
    await _resume(engine)

    listed = await _waiters(engine)
    async with engine.begin() as connection:
        (waiter,) = await list_waiters_to_tell(connection, 100)
        await mark_told(connection, waiter)

    assert listed == [tries[-1]]
    assert await _waiters(engine) == []


async def test_two_who_tell_at_once_tell_each_waiter_once(engine: AsyncEngine) -> None:
    """What one caller has locked, another passes by."""
    await _pause(engine)
    waiting = {await _open_for(engine, f"{n}@a.test") for n in range(4)}
    await _resume(engine)

    async with engine.begin() as one, engine.begin() as other:
        mine = await list_waiters_to_tell(one, 2)
        others = await list_waiters_to_tell(other, 4)

    told = [waiter.checkout_id for waiter in (*mine, *others)]
    assert len(told) == len(set(told)) == 4
    assert set(told) == waiting


async def test_a_second_pause_holds_the_mails_back(engine: AsyncEngine) -> None:
    """Nobody is called back to a shop that has closed again meanwhile."""
    await _pause(engine)
    waiting = await _open_for(engine, "m@a.test")
    await _resume(engine)
    await _pause(engine)

    during = await _waiters(engine)
    await _resume(engine)

    assert during == []
    assert await _waiters(engine) == [waiting]


async def test_used_up_tries_are_told_as_such_also_in_a_pause(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """Waiting for the reopening would lead nowhere, so it is not promised."""
    checkout_id = await open_checkout()
    with database.connect_as_owner() as owner:
        owner.execute("UPDATE checkouts SET buyer_attempt = %s", [MOST_BUYER_ATTEMPTS])
    await _pause(engine)

    pressed = await _press(engine, checkout_id)

    assert (pressed.too_many, pressed.is_paused) == (True, False)


def _requested(database: Database) -> int:
    with database.connect_as_owner() as owner:
        row = owner.execute(
            "SELECT count(*) FROM checkouts WHERE stage = 'requested'"
        ).fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]


async def _is_waited_for(engine: AsyncEngine) -> bool:
    """Say whether somebody waits for an advisory lock, as PostgreSQL sees it."""
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        )
        return found.first() is not None
