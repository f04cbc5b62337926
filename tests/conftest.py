"""What all tests share: one real PostgreSQL, one migrated database, real commits."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from database.engine import make_engine
from database.migrate import migrate
from database.tables import metadata
from stack.postgres import DATABASE, PostgresHandle, start_postgres

#: Tests that start whole stacks share two processes, so that few measurements meet.
#: Each takes minutes, most of them waiting: they begin first.
_KILLS, _STACKS = "1 kills", "2 stacks"

#: Drills of the reconciliation bring stacks of their own.
_DRILLS = {
    "test_no_webhooks.py",
    "test_reconciliation_hung.py",
    "test_restored.py",
    "test_temporal_emptied.py",
}


#: Under this name a test of `tests/durability` hands on how long a recovery took.
RECOVERIES = "recoveries"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how long it took from each death until everything was in place."""
    recoveries: dict[str, float] = {}
    # Reports travel here from whichever process ran the test.
    for report in terminalreporter.getreports(""):
        for name, measured in report.user_properties:
            if name == RECOVERIES:
                recoveries |= measured
    if not recoveries:
        return
    terminalreporter.section("seconds from the death until whole")
    for name, seconds in recoveries.items():
        terminalreporter.write_line(f"{seconds:6.1f}  {name}")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the two long groups begin at once."""
    items.sort(key=lambda item: _group_of(item.nodeid) not in {_KILLS, _STACKS})
    items.sort(key=lambda item: _group_of(item.nodeid) != _KILLS)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SideBySide:
    """Give tests out by our groups when several processes run them (`-n 3`)."""
    return SideBySide(config, log)


class SideBySide(LoadScopeScheduling):  # type: ignore[misc]  # It has no types.
    """Gives each group to one process."""

    def _split_scope(self, nodeid: str) -> str:
        return _group_of(nodeid)


def _group_of(nodeid: str) -> str:
    """Return the group of a test: its stacks' or, for all others, its file."""
    file = PurePosixPath(nodeid.partition("::")[0])
    if file.parent.name == "durability" and file.name not in _DRILLS:
        return _KILLS
    is_of_stacks = file.parent.name in {"durability", "browser", "stack"}
    return _STACKS if is_of_stacks else str(file)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_this_machine() -> Iterator[None]:
    """Neither this shell's settings nor a `.env` of the checkout reach a test."""
    with pytest.MonkeyPatch.context() as environment:
        for name in list(os.environ):
            if name.startswith(("HOLDFAST_", "STRIPE_")):
                environment.delenv(name)
        environment.setenv("HOLDFAST_ENV_FILE", "")
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresHandle]:
    """A real PostgreSQL of this session's own, on a free port."""
    handle = start_postgres(Path(tmp_path_factory.mktemp("postgres")))
    yield handle
    handle.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A migrated database: the application's way in, and the owner's.

    Attributes:
        owner: A connection that stays open, for single statements.
    """

    app_url: str
    owner_url: str
    owner: psycopg.Connection[tuple[Any, ...]]

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement as the owner."""
        cursor = self.owner.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def connect_as_owner(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a plain connection past the application's privileges."""
        return _connect(self.owner_url)


def _connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


@pytest.fixture(scope="session")
def migrated(postgres: PostgresHandle) -> Iterator[Database]:
    """The schema, made once by the migrations."""
    migrate(postgres.owner_url)
    with _connect(postgres.owner_url) as owner:
        yield Database(
            app_url=postgres.app_url, owner_url=postgres.owner_url, owner=owner
        )


#: `TRUNCATE` makes every table's files anew, which takes 25 times as long as deleting
#: a test's few rows. Of a table that has outgrown its first page the files are made
#: anew all the same: tests read rows in the order in which they were written.
_SWEEP = """
DO $$
DECLARE grown text;
BEGIN
    -- As TRUNCATE does: what a test left behind under way is waited for.
    LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE;
    SELECT string_agg(name, ', ') INTO grown
        FROM unnest(string_to_array('{names}', ', ')) AS name
        WHERE pg_relation_size(name::regclass) > 8192;
    IF grown IS NOT NULL THEN
        EXECUTE 'TRUNCATE ' || grown || ' CASCADE';
    END IF;
    {deletes}
    PERFORM setval(seqrelid::regclass, 1, false) FROM pg_sequence;
    -- The migration's own row.
    INSERT INTO reconciliation_state DEFAULT VALUES;
END $$
"""


@pytest.fixture(scope="session")
def _sweep(
    migrated: Database, postgres: PostgresHandle
) -> Iterator[Callable[[], object]]:
    """Removes every row."""
    del migrated  # First the tables.
    names = [table.name for table in metadata.sorted_tables]
    deletes = "\n    ".join(f"DELETE FROM {name};" for name in names)  # noqa: S608
    sweep = _SWEEP.format(names=", ".join(names), deletes=deletes).encode()
    with postgres.cluster.connect(DATABASE) as connection:
        # Past triggers and foreign keys.
        connection.execute("SET session_replication_role = replica")
        yield lambda: connection.execute(sweep)


@pytest.fixture
def database(migrated: Database, _sweep: Callable[[], object]) -> Database:
    """The migrated database without a row in it."""
    _sweep()
    return migrated


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    """The application's own engine on the empty database."""
    made = make_engine(database.app_url, pool_size=20, application_name="tests")
    yield made
    await made.dispose()
