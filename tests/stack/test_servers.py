"""PostgreSQL and Temporal as the stack and the tests start them."""

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psycopg
import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

from stack.driver import fresh_data_folder
from stack.errors import StackError
from stack.places import DataFolder
from stack.postgres import APP_ROLE, OWNER_ROLE, PostgresHandle, postgres
from stack.temporal import SEARCH_ATTRIBUTES, find_temporal_cli, temporal
from stack.temporal_choice import TemporalKind, get_temporal
from stack.temporal_programs import find_server_programs
from stack.testserver import find_test_server


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresHandle]:
    """One PostgreSQL for the tests of this file."""
    with fresh_data_folder() as folder, postgres(folder) as handle:
        yield handle


def _connect(handle: PostgresHandle, role: str) -> "psycopg.Connection[tuple[object]]":
    return psycopg.connect(handle.cluster.url(role, driver=""), autocommit=True)


@pytest.mark.postgres
def test_application_role_cannot_change_the_schema(database: PostgresHandle) -> None:
    """Code that serves the public may not create, and not even read unasked."""
    with _connect(database, OWNER_ROLE) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS secret (id int)")
    with _connect(database, APP_ROLE) as app:
        for forbidden in ("CREATE TABLE mine (id int)", "SELECT * FROM secret"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(forbidden.encode())


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("listen_addresses", "127.0.0.1"),
        ("password_encryption", "scram-sha-256"),
        ("TimeZone", "UTC"),
    ],
)
def test_server_is_as_durable_and_closed_as_in_production(
    database: PostgresHandle, setting: str, value: str
) -> None:
    """The embedded server takes no shortcut that a real one would not take."""
    with _connect(database, APP_ROLE) as app:
        found = app.execute("SELECT current_setting(%s)", [setting]).fetchone()

    assert found == (value,)


@pytest.mark.postgres
def test_nobody_enters_without_the_password(database: PostgresHandle) -> None:
    """Being on the same machine is no permission."""
    url = database.cluster.url(APP_ROLE, driver="")
    wrong = url.replace(database.cluster.secrets.app_password, "guess")

    with pytest.raises(psycopg.OperationalError, match="password authentication"):
        psycopg.connect(wrong)


@pytest.mark.postgres
def test_secrets_are_for_their_owner_only(database: PostgresHandle) -> None:
    """The file with the passwords has mode 0600."""
    path = database.folder.root / "secrets.json"

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["stripe_api_key"].startswith("sk_test_")


@pytest.mark.postgres
def test_new_database_is_empty_and_belongs_to_the_owner(
    database: PostgresHandle,
) -> None:
    """Tests may have databases of their own beside the first."""
    owner_url, app_url = database.new_database("beside")

    with psycopg.connect(owner_url.replace("+psycopg", "")) as owner:
        owner.execute("CREATE TABLE here (id int)")
    assert app_url.endswith("/beside")


@pytest.mark.postgres
@pytest.mark.skipif(os.geteuid() != 0, reason="Only root has to step down.")
def test_root_may_keep_its_data_folder_closed(tmp_path: Path) -> None:
    """A data folder below a closed home works for root: the cluster is sheltered."""
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)

    with postgres(closed / "data") as handle:
        assert handle.cluster.account is not None
        assert (closed / "data/postgres").is_symlink()
    with postgres(closed / "data") as again:
        assert again.cluster.home == handle.cluster.home


def test_password_that_came_later_is_drawn_for_an_older_folder(tmp_path: Path) -> None:
    """A folder from before Temporal could use PostgreSQL goes on as it is."""
    folder = DataFolder(tmp_path)
    known = folder.secrets()
    older = asdict(known)
    del older["temporal_password"]
    (tmp_path / "secrets.json").write_text(json.dumps(older))

    upgraded = folder.secrets()

    assert replace(upgraded, temporal_password="") == replace(
        known, temporal_password=""
    )
    assert upgraded.temporal_password
    assert upgraded == folder.secrets()


def test_lost_secrets_are_said_instead_of_drawn_anew(tmp_path: Path) -> None:
    """New passwords for an old database would only look like a cure."""
    (tmp_path / "postgres").mkdir()

    with pytest.raises(StackError, match="is missing, and the database beside it"):
        DataFolder.open(tmp_path).secrets()


@pytest.mark.temporal
async def test_namespace_is_the_same_after_a_second_start() -> None:
    """Thirty days of retention and our search attributes, first start or later."""
    with fresh_data_folder() as folder:
        for _ in range(2):
            async with temporal(folder) as handle:
                described = await handle.client.workflow_service.describe_namespace(
                    DescribeNamespaceRequest(namespace=handle.namespace)
                )
                listed = await handle.client.operator_service.list_search_attributes(
                    ListSearchAttributesRequest(namespace=handle.namespace)
                )
                kept = described.config.workflow_execution_retention_ttl
                assert kept.ToTimedelta().days == 30
                assert set(SEARCH_ATTRIBUTES) <= set(listed.custom_attributes)


def _program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache, an empty PATH and no network; its PATH folder."""
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.delenv("TEMPORAL_CLI", raising=False)
    monkeypatch.delenv("TEMPORAL_TEST_SERVER", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tools))
    offline = "import sys; sys.exit('error sending request')"
    monkeypatch.setattr("stack.temporal._DOWNLOAD_PROGRAM", offline)
    return tools


def test_temporal_is_built_once_where_it_cannot_be_downloaded(
    bare_machine: Path,
) -> None:
    """No network costs one plain line; Go builds the server, and only once."""
    said: list[str] = []
    script = 'echo x > "$GOBIN/temporal"; /bin/chmod +x "$GOBIN/temporal"'
    _program(bare_machine / "go", f'/bin/mkdir -p "$GOBIN"; {script}')

    first = find_temporal_cli(said.append)
    (bare_machine / "go").unlink()

    assert first == find_temporal_cli(said.append)
    assert [line for line in said if "cannot be downloaded" in line] == [
        "The Temporal server cannot be downloaded: error sending request."
    ]


def test_machine_without_any_way_to_temporal_is_told_what_to_do(
    bare_machine: Path,
) -> None:
    """The last word names three ways out."""
    assert not list(bare_machine.iterdir())

    with pytest.raises(
        StackError, match=r"Install the .* or install Go .* TEMPORAL_CLI"
    ):
        find_temporal_cli(lambda _: None)


_GO = """
if [ "$1" = list ]; then echo "$(dirname "$0")/module"; exit; fi
/bin/mkdir -p "$GOBIN"
for program in server sql; do echo x > "$GOBIN/$program"; done
/bin/chmod +x "$GOBIN"/*
"""

_STEP = """CREATE EXTENSION btree_gin;
CREATE INDEX by_text ON executions_visibility USING GIN (namespace_id, Text01);
"""


def test_temporal_for_postgres_is_built_once(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Go builds it on first use; its tables are those that our PostgreSQL can make."""
    schema = "module/schema/postgresql/v12/visibility/versioned/v1.0/step.sql"
    (bare_machine / schema).parent.mkdir(parents=True)
    (bare_machine / schema).write_text(_STEP)
    _program(bare_machine / "go", _GO.replace("$(dirname", "$(/usr/bin/dirname"))
    monkeypatch.chdir(bare_machine)

    first = find_server_programs(lambda _: None)
    (bare_machine / "go").unlink()

    assert first == find_server_programs()
    step = (first.visibility_schema / "v1.0/step.sql").read_text()
    assert "EXTENSION" not in step
    assert "USING GIN (Text01);" in step


def test_machine_without_go_is_told_what_to_do(bare_machine: Path) -> None:
    """The server on PostgreSQL is optional: the sentence names the other."""
    assert not list(bare_machine.iterdir())

    with pytest.raises(StackError, match=r"Install Go .* --temporal dev"):
        find_server_programs(lambda _: None)


@pytest.mark.parametrize(
    ("trace", "asked"),
    [
        ("temporal.db", TemporalKind.POSTGRES),
        ("temporal-server.yaml", TemporalKind.DEV),
    ],
)
def test_data_folder_stays_with_its_temporal_server(
    tmp_path: Path, trace: str, asked: TemporalKind
) -> None:
    """Checkouts under way would be lost to a server that never heard of them."""
    (tmp_path / trace).touch()

    with pytest.raises(StackError, match="are kept by the other Temporal server"):
        get_temporal(asked, DataFolder(tmp_path), print)


def test_own_temporal_comes_first(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TEMPORAL_CLI beats PATH, and a wrong one is said rather than passed over."""
    on_path = _program(bare_machine / "temporal", "")
    own = _program(bare_machine / "own/temporal", "")

    assert find_temporal_cli() == on_path
    monkeypatch.setenv("TEMPORAL_CLI", str(own))
    assert find_temporal_cli() == own
    monkeypatch.setenv("TEMPORAL_CLI", "/nowhere")
    with pytest.raises(StackError, match="TEMPORAL_CLI is /nowhere"):
        find_temporal_cli()


def test_missing_test_server_is_a_reason_not_an_error(bare_machine: Path) -> None:
    """Tests that skip time are skipped with a sentence where they cannot run."""
    assert not list(bare_machine.iterdir())

    assert find_test_server().reason == "`java` is not installed."
