"""Staff accounts in the database: who may make them, what ends with them, races."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from database import staff_sessions
from database.engine import make_engine
from database.staff import (
    NewCredentials,
    NoSuchStaff,
    StaffExists,
    StaffRow,
    add_staff,
    disable_staff,
    find_by_setup,
    find_staff,
    list_staff,
    reset_staff,
    set_up,
    spend_code,
)
from database.staff_sessions import Try, count_try, find_session, open_session
from domain.staff import CodeSource, Role
from tests.conftest import Database

pytestmark = pytest.mark.postgres

DIGEST = "$argon2id$v=19$m=47104,t=2,p=1$c2FsdA$aGFzaA"
SETUP = b"s" * 32
TOKEN = b"t" * 32


def credentials(setup: bytes = SETUP) -> NewCredentials:
    """Fresh ones."""
    return NewCredentials(
        source=CodeSource(key_id="01234567", salt=secrets.token_bytes(32)),
        setup_hash=setup,
    )


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[AsyncEngine]:
    """The operator's engine, with the owning role."""
    made = make_engine(database.owner_url, pool_size=2, application_name="tests")
    yield made
    await made.dispose()


@pytest.fixture
async def dana(owner: AsyncEngine, engine: AsyncEngine) -> StaffRow:
    """An account that is set up."""
    async with owner.begin() as connection:
        await add_staff(
            connection,
            name="dana",
            display_name="Dana",
            role=Role.SUPPORT,
            credentials=credentials(),
        )
    async with engine.begin() as connection:
        assert await set_up(connection, setup_hash=SETUP, password_hash=DIGEST, step=10)
        row = await find_staff(connection, "dana")
    assert row is not None
    return row


async def test_an_account_is_set_up_once(engine: AsyncEngine, dana: StaffRow) -> None:
    """The link is used up, and the code with it."""
    assert dana.password_hash == DIGEST
    async with engine.begin() as connection:
        assert await find_by_setup(connection, SETUP) is None
        assert not await set_up(
            connection, setup_hash=SETUP, password_hash=DIGEST, step=11
        )
        assert not await spend_code(connection, dana.staff_id, 10)
        assert await spend_code(connection, dana.staff_id, 11)


async def test_a_name_is_given_once_for_ever(
    owner: AsyncEngine, dana: StaffRow
) -> None:
    """The audit, cases and refunds name people by it, also when they have left."""
    async with owner.begin() as connection:
        await disable_staff(connection, dana.name)
        with pytest.raises(StaffExists):
            await add_staff(
                connection,
                name="dana",
                display_name="Another Dana",
                role=Role.OWNER,
                credentials=credentials(b"x" * 32),
            )
        assert [row.display_name for row in await list_staff(connection)] == ["Dana"]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO staff SELECT gen_random_uuid(), 'eve', 'Eve', 'owner', NULL,"
        " code_key_id, code_salt FROM staff",
        "UPDATE staff SET role = 'owner'",
        "UPDATE staff SET disabled_at = NULL",
        "UPDATE staff SET name = 'eve'",
        "UPDATE staff SET code_salt = code_salt",
        "UPDATE staff SET display_name = 'Eve'",
    ],
)
async def test_the_application_makes_no_account(
    database: Database, dana: StaffRow, statement: str
) -> None:
    """Whatever takes the application over cannot make itself an owner."""
    del dana
    url = database.app_url.replace("+psycopg", "")
    with (
        psycopg.connect(url, autocommit=True) as app,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        app.execute(statement.encode())


async def test_the_query_of_the_operator_needs_the_owning_role(
    engine: AsyncEngine, dana: StaffRow
) -> None:
    """The same queries fail with the application's role."""
    async with engine.connect() as connection:
        with pytest.raises(ProgrammingError):
            await disable_staff(connection, dana.name)


@pytest.mark.parametrize("how", ["disable", "reset"])
async def test_closing_an_account_ends_its_sessions(
    owner: AsyncEngine, engine: AsyncEngine, dana: StaffRow, how: str
) -> None:
    """Wherever they are signed in, the next request finds nobody."""
    async with engine.begin() as connection:
        await open_session(connection, token_hash=TOKEN, staff_id=dana.staff_id)
    async with engine.connect() as connection:
        assert await find_session(connection, TOKEN) is not None

    async with owner.begin() as connection:
        if how == "disable":
            await disable_staff(connection, "dana")
        else:
            await reset_staff(connection, "dana", credentials(b"n" * 32))

    async with engine.connect() as connection:
        assert await find_session(connection, TOKEN) is None
        row = await find_staff(connection, "dana")
    assert row is not None
    assert row.is_disabled is (how == "disable")
    assert (row.password_hash is None) is (how == "reset")


async def test_a_reset_opens_a_closed_account_with_another_factor(
    owner: AsyncEngine, dana: StaffRow
) -> None:
    """Who comes back starts from a new link and a new code."""
    async with owner.begin() as connection:
        await disable_staff(connection, "dana")
        assert await find_by_setup(connection, SETUP) is None
        await reset_staff(connection, "dana", credentials(b"n" * 32))
        row = await find_by_setup(connection, b"n" * 32)
        with pytest.raises(NoSuchStaff):
            await reset_staff(connection, "eve", credentials())
        with pytest.raises(NoSuchStaff):
            await disable_staff(connection, "eve")

    assert row is not None
    assert not row.is_disabled
    assert row.source != dana.source


async def test_two_uses_of_one_code_at_once_are_one(
    engine: AsyncEngine, dana: StaffRow
) -> None:
    """The row's lock lets one through; the other finds the step spent."""

    async def spend() -> bool:
        async with engine.begin() as connection:
            return await spend_code(connection, dana.staff_id, 99)

    assert sorted(await asyncio.gather(*(spend() for _ in range(5)))) == [
        *[False] * 4,
        True,
    ]


async def test_tries_are_counted_together(engine: AsyncEngine) -> None:
    """Twenty replicas at once let exactly so many through as one would."""

    async def once() -> Try:
        async with engine.begin() as connection:
            return await count_try(
                connection, "account:dana", most=5, within=timedelta(minutes=15)
            )

    tries = await asyncio.gather(*(once() for _ in range(20)))

    passed = [one for one in tries if one.retry_after_seconds is None]
    refused = [one for one in tries if one.retry_after_seconds is not None]
    assert len(passed) == 5
    assert {850 < (one.retry_after_seconds or 0) <= 900 for one in refused} == {True}
    assert sum(one.is_first_refused for one in refused) == 1


async def test_what_is_counted_names_nobody(
    engine: AsyncEngine, database: Database
) -> None:
    """Of names and addresses only digests are kept."""
    async with engine.begin() as connection:
        await count_try(
            connection, "account:dana", most=5, within=timedelta(minutes=15)
        )
        await staff_sessions.forget_tries(connection, "account:dana")
    with database.connect_as_owner() as owner:
        rows = owner.execute("SELECT t::text, tries FROM staff_tries t").fetchall()

    assert [tries for _, tries in rows] == [0]
    assert "dana" not in str(rows)
