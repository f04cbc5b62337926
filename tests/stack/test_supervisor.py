"""The supervisor: what runs keeps running, and what stops stops in order.

PostgreSQL and Temporal are the real ones; the product is replaced by stand-ins.
"""

import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from temporalio.client import Client

from stack.driver import Stack, run_stack
from stack.errors import StackError
from stack.processes import is_alive, wait_gone
from tests.stack.conftest import RunStandins

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

CHILDREN = (
    "postgres",
    "temporal",
    "processor",
    "mailbox",
    "application",
    "api",
    "worker",
)


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


def _processes(stack: Stack) -> list[psutil.Process]:
    return [psutil.Process(stack.pid(name)) for name in CHILDREN]


def test_every_child_runs_when_the_stack_is_ready(stack: Stack) -> None:
    """Ready means that every address answers and every pid is alive."""
    assert all(is_alive(process) for process in _processes(stack))
    for address in (stack.at.shop, stack.at.processor, stack.at.mailbox):
        assert httpx.get(address, trust_env=False).status_code == 200
    with psycopg.connect(_plain(stack.at.database_url)) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_child_that_never_breaks_is_restarted_within_a_fifth_of_a_second(
    stack: Stack,
) -> None:
    """The first death costs no waiting: the time lost is the child's own start."""
    restart = stack.kill_and_wait("application")

    (line,) = [line for line in stack.lines if f"pid {restart.pid} after" in line]
    assert float(line.rsplit("after ", 1)[1].removesuffix(" s")) <= 0.2


@pytest.mark.parametrize("name", CHILDREN)
def test_killed_child_is_started_again_at_once(stack: Stack, name: str) -> None:
    """Any child killed with -9 is healthy again within seconds, with a visible line."""
    restart = stack.kill_and_wait(name, limit_seconds=20)

    assert stack.pid(name) == restart.pid != restart.previous_pid
    assert restart.seconds < 10
    said = f"{name} (pid {restart.previous_pid}) died by SIGKILL; started again as pid"
    assert any(said in line for line in stack.lines)


def test_data_survives_a_killed_postgres_with_open_sessions(stack: Stack) -> None:
    """What was committed is there after kill -9, whoever was connected."""
    url = _plain(stack.at.owner_database_url)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (id int)")
        connection.execute("INSERT INTO kept VALUES (7)")
        connection.commit()
        stack.kill_and_wait("postgres")
        with suppress(psycopg.OperationalError):
            connection.rollback()

    with psycopg.connect(url) as again:
        assert again.execute("SELECT id FROM kept").fetchone() == (7,)


def test_child_stopped_by_command_stays_down_until_started(stack: Stack) -> None:
    """A test can keep PostgreSQL away for as long as it wants."""
    before = stack.pid("postgres")

    stack.stop_child("postgres")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(_plain(stack.at.database_url), connect_timeout=2)
    with pytest.raises(StackError, match="not running"):
        stack.pid("postgres")

    assert stack.start_child("postgres") != before
    with psycopg.connect(_plain(stack.at.database_url)) as connection:
        connection.execute("SELECT 1")


def test_unknown_command_is_answered_with_a_sentence(stack: Stack) -> None:
    """A misspelt child is named together with those there are."""
    with pytest.raises(StackError, match="no child postgers; there are postgres"):
        stack.stop_child("postgers")


async def test_workflows_survive_a_killed_temporal(stack: Stack) -> None:
    """A workflow that was accepted is known after kill -9 of Temporal."""
    client = await Client.connect(
        stack.at.temporal_address, namespace=stack.at.temporal_namespace
    )
    started = await client.start_workflow("Nobody", id="kept", task_queue="none")

    stack.kill_and_wait("temporal")

    again = await Client.connect(
        stack.at.temporal_address, namespace=stack.at.temporal_namespace
    )
    described = await again.get_workflow_handle("kept").describe()
    assert described.run_id == started.first_execution_run_id


def test_worker_can_be_added(stack: Stack) -> None:
    """A second worker joins a running stack and is supervised like the first."""
    name = stack.add_worker()

    assert name == "worker-2"
    assert stack.kill_and_wait(name).name == name


def test_frozen_child_is_left_alone(stack: Stack) -> None:
    """SIGSTOP is a test's tool: the supervisor neither kills nor replaces it."""
    before = stack.kill("worker", signal.SIGSTOP)

    stack.kill_and_wait("application")  # The supervisor has been at work meanwhile.

    assert psutil.Process(before).status() == psutil.STATUS_STOPPED
    stack.kill("worker", signal.SIGCONT)
    assert stack.pid("worker") == before


def test_second_run_on_the_folder_is_refused(
    stack: Stack, run_standins: RunStandins
) -> None:
    """Two stacks never share a data folder; the line names the one that runs."""
    with (
        pytest.raises(StackError) as refused,
        run_standins(Path(stack.at.data)) as second,
    ):
        second.pid("postgres")

    assert f"(pid {stack.process.pid}, shop at {stack.at.shop})" in str(refused.value)


def test_real_command_line_refuses_it_too(stack: Stack) -> None:
    """``python cli.py run`` ends with one line and exit code 1."""
    with (
        pytest.raises(StackError, match="Holdfast already runs on"),
        run_stack(Path(stack.at.data)) as second,
    ):
        second.pid("postgres")


def test_ctrl_c_stops_everything_in_order(
    run_standins: RunStandins, data: Path
) -> None:
    """One Ctrl-C ends everything within ten seconds, the last process included."""
    with run_standins(data) as stack:
        processes = _processes(stack)
        # A frozen child must not keep the others waiting.
        stack.kill("worker", signal.SIGSTOP)
        started = time.monotonic()
        code = stack.stop(signal.SIGINT)

    assert code == 0
    assert time.monotonic() - started < 10
    assert not [process for process in processes if is_alive(process)]


def test_second_ctrl_c_ends_everything_at_once(
    run_standins: RunStandins, data: Path
) -> None:
    """Whoever presses Ctrl-C twice is obeyed at once, and nothing is left behind."""
    with run_standins(data) as stack:
        processes = _processes(stack)
        stack.process.send_signal(signal.SIGINT)
        started = time.monotonic()
        stack.stop(signal.SIGINT)

    assert time.monotonic() - started < 3
    assert wait_gone(processes, 3) == []


def test_children_do_not_outlive_a_killed_supervisor(
    run_standins: RunStandins, data: Path
) -> None:
    """After kill -9 of the supervisor all children end, and the next run is whole."""
    with run_standins(data) as stack:
        processes = _processes(stack)
        os.kill(stack.process.pid, signal.SIGKILL)
        stack.process.wait()
        left = wait_gone(processes, 5)
        address = stack.at.shop
    with run_standins(data) as again:
        assert again.at.shop == address

    assert left == []


def test_second_run_keeps_every_address_that_is_still_free(
    run_standins: RunStandins, data: Path
) -> None:
    """Links keep working; a port somebody took meanwhile costs one line."""
    with run_standins(data) as first:
        shop = httpx.URL(first.at.shop)
    with (
        socket.create_server(("127.0.0.1", shop.port or 0)),
        run_standins(data) as second,
    ):
        assert second.at.shop != first.at.shop
        assert second.at.mailbox == first.at.mailbox
        assert any(f"Port {shop.port} of api is taken now" in s for s in second.lines)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("migrations", "table checkouts is in the way"),
        ("api", "api ended with exit code 3 3 times before it was ready"),
    ],
)
def test_stack_that_cannot_start_says_why_and_ends(
    run_standins: RunStandins, repository: Path, data: Path, broken: str, said: str
) -> None:
    """A start that fails ends with exit code 1 and the end of the log that explains."""
    mark = repository / f"broken-{broken}"
    mark.touch()
    try:
        with pytest.raises(StackError) as failed, run_standins(data) as stack:
            stack.pid("api")
    finally:
        mark.unlink()

    assert said in str(failed.value)
