"""The roles that `docker-compose.yml` makes: each reaches its own database alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from database.migrate import migrate
from stack.postgres import PostgresHandle, find_programs, start_postgres

pytestmark = pytest.mark.postgres

SCRIPT = Path(__file__).parents[2] / "deploy" / "postgres" / "10-roles.sh"
PASSWORDS = {
    "HOLDFAST_OWNER_PASSWORD": "owners",
    "HOLDFAST_APP_PASSWORD": "apps' own",
    "TEMPORAL_DB_PASSWORD": "temporals",
}


@pytest.fixture(scope="module")
def empty_cluster(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PostgresHandle]:
    """A PostgreSQL of its own, without the embedded stack's roles."""
    handle = start_postgres(Path(tmp_path_factory.mktemp("roles")))
    with handle.cluster.connect() as connection:
        connection.execute("DROP DATABASE holdfast")
        connection.execute("DROP ROLE holdfast_owner, holdfast_app")
    yield handle
    handle.stop()


def _run(handle: PostgresHandle, passwords: dict[str, str]) -> tuple[int, str]:
    with handle.cluster.connect() as connection:
        port, password = connection.info.port, connection.info.password
    done = subprocess.run(
        ["/bin/sh", str(SCRIPT)],
        env={
            "PATH": f"{find_programs()}:/usr/bin:/bin",
            "POSTGRES_USER": "postgres",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(port),
            "PGPASSWORD": password,
            **passwords,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


def _reaches(handle: PostgresHandle, role: str, password: str, database: str) -> bool:
    with handle.cluster.connect() as connection:
        port = connection.info.port
    try:
        psycopg.connect(
            host="127.0.0.1",
            port=port,
            user=role,
            password=password,
            dbname=database,
        ).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize("missing", sorted(PASSWORDS))
def test_a_missing_password_is_named(
    empty_cluster: PostgresHandle, missing: str
) -> None:
    """No role is ever made with an empty password."""
    code, error = _run(empty_cluster, PASSWORDS | {missing: ""})

    assert code == 1
    assert error.startswith(f"{missing} is not set")


def test_each_role_reaches_its_own_database_alone(
    empty_cluster: PostgresHandle,
) -> None:
    """The migrations run as the owner, and nobody looks into another's store."""
    assert _run(empty_cluster, PASSWORDS) == (0, "")
    with empty_cluster.cluster.connect() as connection:
        port = connection.info.port
    migrate(f"postgresql+psycopg://holdfast_owner:owners@127.0.0.1:{port}/holdfast")

    app, temporal = PASSWORDS["HOLDFAST_APP_PASSWORD"], "temporals"
    assert _reaches(empty_cluster, "holdfast_app", app, "holdfast")
    assert _reaches(empty_cluster, "temporal", temporal, "temporal")
    assert _reaches(empty_cluster, "temporal", temporal, "temporal_visibility")
    assert not _reaches(empty_cluster, "temporal", temporal, "holdfast")
    assert not _reaches(empty_cluster, "holdfast_app", app, "temporal")
    assert not _reaches(empty_cluster, "holdfast_app", "guess", "holdfast")
