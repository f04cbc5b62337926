"""The chain of what staff did: it holds, and every way to break it is seen."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from database.audit import (
    Link,
    Outcome,
    StaffAction,
    Verdict,
    list_actions,
    parse_link,
    record_action,
    verify,
)
from tests.conftest import Database

pytestmark = pytest.mark.postgres

Record = Callable[..., Awaitable[Link]]


def action(number: int = 0, **about: str | int | bool | None) -> StaffAction:
    """An action with some of everything."""
    return StaffAction(
        actor="dana",
        role="support",
        action="case.noted",
        outcome=Outcome.DONE,
        case_id=uuid4(),
        checkout_id=uuid4(),
        request_id="0d7c3f5e8a914b62",
        about={"number": number, "ok": True, "none": None} | about,
    )


@pytest.fixture
def record(engine: AsyncEngine) -> Record:
    """Writes one action in a transaction of its own."""

    async def write(one: StaffAction | None = None) -> Link:
        async with engine.begin() as connection:
            return await record_action(connection, one or action())

    return write


def tamper(database: Database, statement: str) -> None:
    """Change what is never changed, as somebody with the owner's password would."""
    with database.connect_as_owner() as owner:
        owner.execute("ALTER TABLE staff_actions DISABLE TRIGGER refuse_rewriting")
        owner.execute(statement.encode())
        owner.execute("ALTER TABLE staff_actions ENABLE TRIGGER refuse_rewriting")


async def walk(engine: AsyncEngine, noted: Link | None = None) -> Verdict:
    """Verify."""
    async with engine.connect() as connection:
        return await verify(connection, noted)


async def test_an_empty_chain_holds(engine: AsyncEngine) -> None:
    """Before anybody did anything nothing is broken."""
    assert await walk(engine) == Verdict(rows=0, head=None, faults=())


async def test_the_chain_holds_and_tells_its_newest(
    engine: AsyncEngine, record: Record
) -> None:
    """Words of all kinds come back as they were hashed; the head can be noted."""
    for words in ("plain", "ünï 漢字 🙂", 'quote " \\ \n\r\t', "nul \0 gone", "\ud800"):
        await record(action(1, words=words))
    last = await record()

    verdict = await walk(engine, last)

    assert (verdict.rows, verdict.head, verdict.faults) == (6, last, ())
    assert parse_link(str(last)) == last


async def test_the_hash_can_be_computed_by_anybody(
    engine: AsyncEngine, record: Record, database: Database
) -> None:
    """SHA-256 over the previous hash and the row as canonical JSON; nothing secret."""
    first = await record()
    second = await record()
    with database.connect_as_owner() as owner:
        row = owner.execute(
            "SELECT to_jsonb(a) - 'hash' - 'previous_hash' ||"
            " jsonb_build_object('at', to_char(at AT TIME ZONE 'UTC',"
            ' \'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"\'))'
            " FROM staff_actions a WHERE action_id = 2"
        ).fetchone()
    assert row is not None

    canonical = json.dumps(row[0], sort_keys=True, separators=(",", ":"))

    assert hashlib.sha256(first.hash + canonical.encode()).digest() == second.hash
    del engine


@pytest.mark.parametrize(
    "column",
    [
        "at = at + interval '1 second'",
        "actor = 'eve'",
        "role = 'owner'",
        "role = NULL",
        "action = 'case.claimed'",
        "outcome = 'refused'",
        "case_id = NULL",
        "checkout_id = gen_random_uuid()",
        "request_id = 'x'",
        "about = about || '{\"number\": 7}'",
        "about = '{}'",
    ],
)
async def test_a_changed_row_is_named(
    engine: AsyncEngine, record: Record, database: Database, column: str
) -> None:
    """Whatever is changed of a row, by whomever, the walk says which row it is."""
    for _ in range(3):
        await record()
    tamper(database, f"UPDATE staff_actions SET {column} WHERE action_id = 2")  # noqa: S608  # Ours.

    assert (await walk(engine)).faults == ("Row 2 is not as it was written.",)


async def test_removed_rows_are_named(
    engine: AsyncEngine, record: Record, database: Database
) -> None:
    """A gap is told with its numbers; what stands behind it is not blamed."""
    for _ in range(6):
        await record()
    tamper(database, "DELETE FROM staff_actions WHERE action_id IN (2, 4, 5)")

    assert (await walk(engine)).faults == (
        "Missing: 2, in front of row 3.",
        "Missing: 4-5, in front of row 6.",
    )


async def test_a_rewritten_row_breaks_its_successor(
    engine: AsyncEngine, record: Record, database: Database
) -> None:
    """Whoever also computes the changed row's hash anew is seen at the next row."""
    first = await record()
    await record()
    tamper(
        database, "UPDATE staff_actions SET hash = sha256('mine') WHERE action_id = 1"
    )

    assert (await walk(engine)).faults == (
        "Row 1 is not as it was written.",
        "Row 2 does not follow from the row before it.",
    )
    assert "another hash" in (await walk(engine, first)).faults[-1]


async def test_an_end_that_was_cut_off_is_seen_by_a_noted_link(
    engine: AsyncEngine, record: Record, database: Database
) -> None:
    """A chain cannot miss its own end; a link that was noted elsewhere does."""
    await record()
    last = await record()
    tamper(database, "DELETE FROM staff_actions WHERE action_id = 2")

    assert (await walk(engine)).faults == ()
    assert (await walk(engine, last)).faults == (
        "The end was cut off: row 2 was noted, and the last is 1.",
    )


async def test_twenty_at_once_make_one_line(
    engine: AsyncEngine, record: Record
) -> None:
    """Writers of all replicas wait for each other: no gap, no fork, nothing lost."""
    await asyncio.gather(*(record() for _ in range(20)))

    verdict = await walk(engine)

    assert (verdict.rows, verdict.faults) == (20, ())


async def test_what_is_rolled_back_leaves_no_gap(
    engine: AsyncEngine, record: Record
) -> None:
    """Numbers are given under the lock, not drawn from a sequence."""
    await record()
    async with engine.connect() as connection:
        await record_action(connection, action())
        await connection.rollback()
    await record()

    assert (await walk(engine)).faults == ()


async def test_no_two_rows_follow_the_same_one(
    engine: AsyncEngine, record: Record, database: Database
) -> None:
    """A second beginning and a fork are refused by the database itself."""
    await record()
    await record()
    with database.connect_as_owner() as owner:
        for number in (1, 9):
            with pytest.raises(psycopg.errors.IntegrityError):
                owner.execute(
                    "INSERT INTO staff_actions (action_id, at, actor, action, outcome,"
                    " about, previous_hash, hash) SELECT %s, now(), 'x', 'x', 'done',"
                    " '{}', CASE WHEN %s > 1 THEN hash END, sha256('x')"
                    " FROM staff_actions WHERE action_id = 1",
                    [number, number],
                )
    del engine


async def test_nobody_rewrites_it_by_accident(
    record: Record, database: Database
) -> None:
    """The application has no right to; the owner meets a trigger that says no."""
    await record()
    app = database.app_url.replace("+psycopg", "")
    for statement in (
        "UPDATE staff_actions SET actor = 'nobody'",
        "DELETE FROM staff_actions",
    ):
        with (
            psycopg.connect(app, autocommit=True) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement.encode())
        with (
            database.connect_as_owner() as owner,
            pytest.raises(psycopg.errors.RestrictViolation),
        ):
            owner.execute(statement.encode())


async def test_the_newest_actions_of_a_case_come_first(
    engine: AsyncEngine, record: Record
) -> None:
    """The case page shows its own actions alone."""
    wanted = action(1)
    await record(wanted)
    await record(action(2))

    async with engine.connect() as connection:
        of_case = await list_actions(connection, case_id=wanted.case_id)
        everything = await list_actions(connection)

    assert [one.action for one in of_case] == [wanted]
    assert [one.action_id for one in everything] == [2, 1]


@pytest.mark.parametrize(
    "text", ["", "x", "1:zz", "1:", ":" + "0" * 64, "1:" + "0" * 62]
)
def test_a_noted_link_is_read_exactly(text: str) -> None:
    """What is no link is refused, not searched for."""
    with pytest.raises(ValueError, match=r".+"):
        parse_link(text)
