"""What all tests share: one real PostgreSQL, one migrated database, real commits."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from database.engine import make_engine
from database.migrate import migrate
from database.tables import metadata
from stack.postgres import PostgresHandle, start_postgres

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
    """A migrated database: the application's way in, and the owner's."""

    app_url: str
    owner_url: str

    def connect_as_owner(self) -> psycopg.Connection[tuple[object, ...]]:
        """Open a plain connection past the application's privileges."""
        return psycopg.connect(
            self.owner_url.replace("postgresql+psycopg://", "postgresql://"),
            autocommit=True,
        )


@pytest.fixture(scope="session")
def migrated(postgres: PostgresHandle) -> Database:
    """The schema, made once by the migrations."""
    migrate(postgres.owner_url)
    return Database(app_url=postgres.app_url, owner_url=postgres.owner_url)


@pytest.fixture
def database(migrated: Database) -> Database:
    """The migrated database without a row in it."""
    tables = ", ".join(table.name for table in metadata.sorted_tables)
    with migrated.connect_as_owner() as connection:
        connection.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE".encode())
        # The migration's own row.
        connection.execute("INSERT INTO reconciliation_state DEFAULT VALUES")
    return migrated


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    """The application's own engine on the empty database."""
    made = make_engine(database.app_url, pool_size=20, application_name="tests")
    yield made
    await made.dispose()
