"""The Temporal server on PostgreSQL, under the supervisor, beside stand-ins.

Nothing is built here: without the programs these tests are skipped.
"""

import asyncio
import stat
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)

from stack.driver import Stack, fresh_data_folder
from stack.places import Ports
from stack.postgres import DATABASE, TEMPORAL_ROLE, has_database, postgres
from stack.temporal import SEARCH_ATTRIBUTES
from stack.temporal_postgres import VISIBILITY_DATABASE, ServerOnPostgres
from stack.temporal_programs import find_server_programs, known_server_programs
from tests.stack.conftest import RunStandins

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.temporal,
    pytest.mark.skipif(
        known_server_programs() is None,
        reason="The Temporal server for PostgreSQL is not built on this machine; "
        "`python cli.py run --temporal postgres` builds it once.",
    ),
]

MONEY_STATE = SearchAttributeKey.for_keyword("MoneyState")
NEEDS_ATTENTION = SearchAttributeKey.for_bool("NeedsAttention")


@pytest.fixture(scope="module")
def stack(run_standins: RunStandins) -> Iterator[Stack]:
    """One stack on this server for the tests of this file."""
    with (
        fresh_data_folder() as folder,
        run_standins(folder, "--temporal", "postgres") as running,
    ):
        yield running


async def _connect(stack: Stack) -> Client:
    return await Client.connect(
        stack.at.temporal_address, namespace=stack.at.temporal_namespace
    )


async def test_namespace_is_as_on_the_dev_server(stack: Stack) -> None:
    """Thirty days of retention and our search attributes, from the first start on."""
    client = await _connect(stack)
    described = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=client.namespace)
    )
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )

    kept = described.config.workflow_execution_retention_ttl
    assert kept.ToTimedelta() == timedelta(days=30)
    assert set(listed.custom_attributes) == set(SEARCH_ATTRIBUTES)


async def test_workflow_is_found_by_its_search_attributes(stack: Stack) -> None:
    """Ready means that attributes can be written and asked for, not just listed."""
    client = await _connect(stack)
    await client.start_workflow(
        "Nobody",
        id="findable",
        task_queue="none",
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(MONEY_STATE, "CHARGED"),
                SearchAttributePair(NEEDS_ATTENTION, True),
            ]
        ),
    )

    asked = "MoneyState = 'CHARGED' AND NeedsAttention = true"
    # The list of workflows follows the workflows themselves within moments.
    deadline = time.monotonic() + 10
    found: list[str] = []
    while not found and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
        found = [run.id async for run in client.list_workflows(asked)]
    assert found == ["findable"]


@pytest.mark.parametrize("name", ["temporal", "postgres"])
async def test_workflows_survive_a_killed_server(stack: Stack, name: str) -> None:
    """Whichever of the two dies, the workflow is there and new ones are taken."""
    client = await _connect(stack)
    started = await client.start_workflow("Nobody", id=name, task_queue="none")

    stack.kill_and_wait(name, limit_seconds=30)

    again = await _connect(stack)
    described = await again.get_workflow_handle(name).describe()
    assert described.run_id == started.first_execution_run_id
    await again.start_workflow("Nobody", id=f"after-{name}", task_queue="none")


async def test_server_stopped_by_command_is_back_on_command(stack: Stack) -> None:
    """It is a child like any other: a test can keep it away."""
    before = stack.pid("temporal")

    stack.stop_child("temporal")
    with pytest.raises(RuntimeError):
        await _connect(stack)

    assert stack.start_child("temporal") != before
    await _connect(stack)


def test_program_that_follows_is_told_that_there_is_no_ui(stack: Stack) -> None:
    """An address that nobody answers would be worse than none."""
    assert stack.at.temporal_ui is None


def test_passwords_of_the_server_are_for_their_owner_only(stack: Stack) -> None:
    """The configuration holds one, so nobody else may read it."""
    config = Path(stack.at.data) / "temporal-server.yaml"

    assert stat.S_IMODE(config.stat().st_mode) == 0o600


def test_product_and_temporal_do_not_see_each_others_tables(stack: Stack) -> None:
    """They share the server, not the data."""
    url = stack.at.owner_database_url.replace("+psycopg", "").removesuffix(DATABASE)
    for name in ("temporal", VISIBILITY_DATABASE):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(f"{url}{name}")


def test_start_killed_half_way_through_the_tables_is_done_again() -> None:
    """A draft left behind is thrown away; Temporal's role cannot enter our database."""
    with fresh_data_folder() as folder, postgres(folder) as handle:
        server = ServerOnPostgres.draw(
            find_server_programs(),
            handle.cluster,
            handle.folder,
            Ports(handle.folder, print),
        )
        with handle.cluster.connect() as connection:
            connection.execute("CREATE DATABASE temporal_draft")
            server.prepare()
            assert has_database(connection, "temporal")
            assert has_database(connection, VISIBILITY_DATABASE)
            assert not has_database(connection, "temporal_draft")
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(
                handle.cluster.url(TEMPORAL_ROLE, driver="", database=DATABASE)
            )
