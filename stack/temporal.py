"""The Temporal dev server with its UI: finding or getting the program, running it.

What is true of every Temporal server is here too: the namespace, and the questions a
server must answer before anything relies on it. The other server, on PostgreSQL, is in
``temporal_postgres``.

The program is looked for in this order: ``TEMPORAL_CLI``, ``temporal`` on PATH, the
cache, the SDK's own download, ``go install`` where Go is present. The last two put it
into the cache, so they happen once per machine.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    DescribeNamespaceRequest,
    DescribeTaskQueueRequest,
    RegisterNamespaceRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from stack.errors import StackError
from stack.places import DataFolder, Ports, cache_folder, exclusive
from stack.processes import Launch, last_lines, signal_group, start

NAMESPACE = "holdfast"

#: In the data folder: all that the dev server keeps.
DATABASE_FILE = "temporal.db"

#: How long a closed checkout stays visible to support in the UI. The dev server's own
#: default is one day.
RETENTION = timedelta(days=30)

SEARCH_ATTRIBUTES = {
    "MoneyState": "Keyword",
    "AccessState": "Keyword",
    "NeedsAttention": "Bool",
    "ReferenceCode": "Keyword",
}

#: Each of the server's services reads new attributes from its database on a beat of
#: its own. Only one of them can be asked from outside, so this time is given to all;
#: see `system.namespaceCacheRefreshInterval` in ``temporal_postgres``.
SERVICES_LEARN_SECONDS = 1.5

_INDEXED_TYPES = {
    "Keyword": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "Bool": IndexedValueType.INDEXED_VALUE_TYPE_BOOL,
}

#: The newest release that `go install` accepts; later modules have a replace directive.
GO_PACKAGE = "github.com/temporalio/cli/cmd/temporal@v1.5.1"

#: A download that takes longer is given up for the next way.
DOWNLOAD_LIMIT_SECONDS = 120
#: A build takes about three minutes on two cores.
BUILD_LIMIT_SECONDS = 1200

#: What the SDK runs to download its server: started once for nothing else.
_DOWNLOAD_PROGRAM = """
import asyncio, sys
from temporalio.testing import WorkflowEnvironment
async def main():
    try:
        env = await WorkflowEnvironment.start_local(download_dest_dir=sys.argv[1])
    except RuntimeError as error:
        sys.exit(str(error))
    await env.shutdown()
asyncio.run(main())
"""

Say = Callable[[str], None]


def known_temporal_cli() -> Path | None:
    """The program where it is already on this machine; None where it must be got.

    Raises:
        StackError: ``TEMPORAL_CLI`` names something that is no program.
    """
    chosen = os.environ.get("TEMPORAL_CLI")
    if chosen:
        if not os.access(chosen, os.X_OK):
            raise StackError(f"TEMPORAL_CLI is {chosen}, which is no program.")
        return Path(chosen)
    on_path = shutil.which("temporal")
    if on_path:
        return Path(on_path)
    cached = _cached_program()
    return cached if os.access(cached, os.X_OK) else None


def find_temporal_cli(say: Say = print) -> Path:
    """The program, fetched or built if need be; ``say`` gets the progress.

    Raises:
        StackError: no way led to it; says what to do.
    """
    known = known_temporal_cli()
    if known:
        return known
    with exclusive(cache_folder() / "temporal.lock", say):
        # Another start may have brought it while this one waited.
        found = known_temporal_cli() or _download(say) or _build(say)
    if found:
        return found
    raise StackError(
        "The Temporal server program is missing and could not be fetched. Install the "
        "`temporal` command (https://docs.temporal.io/cli), or install Go 1.24 or "
        "newer so that it can be built, or set TEMPORAL_CLI to its path."
    )


def _cached_program() -> Path:
    return cache_folder() / "bin" / "temporal"


def _download(say: Say) -> Path | None:
    """Let the SDK fetch it. A failure costs one line, never the start."""
    target = cache_folder() / "download"
    target.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _DOWNLOAD_PROGRAM, str(target)]
    failure = run_with_progress(
        "Fetching the Temporal server", command, DOWNLOAD_LIMIT_SECONDS, say
    )
    fetched = sorted(target.glob("temporal-*"))
    if failure or not fetched:
        say(f"The Temporal server cannot be downloaded: {failure or 'no file came'}.")
        return None
    return _keep(fetched[-1])


def _build(say: Say) -> Path | None:
    go = shutil.which("go")
    if go is None:
        say("Go is not installed, so the Temporal server cannot be built either.")
        return None
    target = cache_folder() / "build"
    failure = run_with_progress(
        "Building the Temporal server (about 3 minutes, once)",
        [go, "install", GO_PACKAGE],
        BUILD_LIMIT_SECONDS,
        say,
        environment={**os.environ, "GOBIN": str(target)},
    )
    if failure or not (target / "temporal").exists():
        say(f"The Temporal server cannot be built: {failure or 'no file came'}.")
        return None
    return _keep(target / "temporal")


def _keep(program: Path) -> Path:
    """Move a finished program to its place in the cache in one step."""
    kept = _cached_program()
    kept.parent.mkdir(parents=True, exist_ok=True)
    program.replace(kept)
    return kept


def run_with_progress(
    what: str,
    command: list[str],
    limit_seconds: int,
    say: Say,
    *,
    environment: dict[str, str] | None = None,
) -> str | None:
    """Run a program to its end, saying every 15 s that it still works.

    Returns None when it succeeded, otherwise the last line it wrote.
    """
    say(f"{what} …")
    started, output = time.monotonic(), ""
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        while True:
            # Asked also of one that has ended already: its last line says why.
            with suppress(subprocess.TimeoutExpired):
                output, _ = process.communicate(timeout=15)
                break
            elapsed = round(time.monotonic() - started)
            if elapsed > limit_seconds:
                return f"not done after {elapsed} s"
            say(f"{what}: {elapsed} s so far …")
    finally:
        # Also when a person gives up with Ctrl-C: no build goes on behind their back.
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if process.returncode == 0:
        return None
    return (output.strip().splitlines() or [f"exit code {process.returncode}"])[-1]


class TemporalServer(Protocol):
    """A Temporal server that is to run, of whatever kind."""

    @property
    def address(self) -> str:
        """Where workers and clients connect."""

    @property
    def ui(self) -> str | None:
        """The UI, opened at our namespace; None where the server has none."""

    @property
    def needs_postgres(self) -> bool:
        """Whether it can start only when PostgreSQL runs."""

    def prepare(self) -> None:
        """Blocking work before each start; safe to repeat.

        Raises:
            StackError: the server cannot be started now.
        """

    def launch(self) -> Launch:
        """How to run it in the foreground."""


@dataclass(frozen=True, slots=True)
class DevServer:
    """A dev server that is to run, and where."""

    program: Path
    database_file: Path
    port: int
    ui_port: int

    @property
    def address(self) -> str:
        """Where workers and clients connect."""
        return f"127.0.0.1:{self.port}"

    @property
    def ui(self) -> str:
        """The UI, opened at our namespace."""
        return f"http://127.0.0.1:{self.ui_port}/namespaces/{NAMESPACE}/workflows"

    @property
    def needs_postgres(self) -> bool:
        """It keeps everything in a file of its own."""
        return False

    def prepare(self) -> None:
        """It makes its file by itself."""

    def launch(self) -> Launch:
        """How to run it in the foreground."""
        attributes = [
            flag
            for name, kind in SEARCH_ATTRIBUTES.items()
            for flag in ("--search-attribute", f"{name}={kind}")
        ]
        return Launch(
            command=[
                str(self.program), "server", "start-dev",
                "--db-filename", str(self.database_file),
                "--ip", "127.0.0.1",
                "--port", str(self.port),
                "--ui-port", str(self.ui_port),
                "--namespace", NAMESPACE,
                "--log-level", "error",
                # Off by default in this release; see the measurements in the notes.
                "--dynamic-config-value", "system.enableActivityEagerExecution=true",
                *attributes,
            ],
            environment=neutral_environment(),
            folder=self.database_file.parent,
        )  # fmt: skip


def neutral_environment() -> dict[str, str]:
    """Without TEMPORAL_*: a user's profile must not steer our server."""
    return {k: v for k, v in os.environ.items() if not k.startswith("TEMPORAL_")}


async def prepare_namespace(address: str) -> Client:
    """Make the namespace as it must be, and prove it; safe to repeat.

    Raises:
        RuntimeError, RPCError: the server does not answer yet; ask again.
    """
    client = await Client.connect(address, namespace=NAMESPACE)
    wanted = Duration()
    wanted.FromTimedelta(RETENTION)
    if await _retention(client) != wanted:
        await client.workflow_service.update_namespace(
            UpdateNamespaceRequest(
                namespace=NAMESPACE,
                config=NamespaceConfig(workflow_execution_retention_ttl=wanted),
            ),
            timeout=timedelta(seconds=5),
        )
    await _add_missing_search_attributes(client)
    await _use_search_attributes(client)
    await _reach_services(client)
    return client


async def _retention(client: Client) -> Duration:
    """The namespace's retention; the namespace is made where it is missing.

    The dev server makes it by itself, the server on PostgreSQL waits to be asked.
    """
    try:
        described = await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=NAMESPACE), timeout=timedelta(seconds=2)
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        retention = Duration()
        retention.FromTimedelta(RETENTION)
        await client.workflow_service.register_namespace(
            RegisterNamespaceRequest(
                namespace=NAMESPACE, workflow_execution_retention_period=retention
            ),
            timeout=timedelta(seconds=5),
        )
        return retention
    return described.config.workflow_execution_retention_ttl


async def _add_missing_search_attributes(client: Client) -> None:
    """The dev server's flags register them; this is the proof on every start."""
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=NAMESPACE), timeout=timedelta(seconds=5)
    )
    missing = {
        name: _INDEXED_TYPES[kind]
        for name, kind in SEARCH_ATTRIBUTES.items()
        if name not in listed.custom_attributes
    }
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=NAMESPACE, search_attributes=missing),
            timeout=timedelta(seconds=10),
        )
        await asyncio.sleep(SERVICES_LEARN_SECONDS)


async def _use_search_attributes(client: Client) -> None:
    """Ask with each of them: a server that lists them may not know them yet."""
    asked = " AND ".join(f"{name} IS NULL" for name in SEARCH_ATTRIBUTES)
    await client.workflow_service.count_workflow_executions(
        CountWorkflowExecutionsRequest(namespace=NAMESPACE, query=asked),
        timeout=timedelta(seconds=5),
    )


async def _reach_services(client: Client) -> None:
    """Ask what only the services behind the one that answers can know.

    After a move to other ports they may take seconds to find each other.
    """
    try:
        await client.get_workflow_handle("nobody").describe(
            rpc_timeout=timedelta(seconds=2)
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
    await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=NAMESPACE,
            task_queue=TaskQueue(name="nobody"),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        ),
        timeout=timedelta(seconds=2),
    )


async def is_usable(address: str) -> bool:
    """Whether the server answers and the namespace is as it must be."""
    try:
        await asyncio.wait_for(prepare_namespace(address), timeout=10)
    except (RuntimeError, RPCError, TimeoutError):
        return False
    return True


class TemporalHandle:
    """A running dev server for tests.

    Attributes:
        server: its addresses.
        process: may be signalled by its ``pid``.
        client: connected to the namespace.
    """

    def __init__(
        self, server: DevServer, process: subprocess.Popen[bytes], client: Client
    ) -> None:
        self.server = server
        self.process = process
        self.client = client

    @property
    def address(self) -> str:
        """Where workers and clients connect."""
        return self.server.address

    @property
    def namespace(self) -> str:
        """The namespace prepared for Holdfast."""
        return NAMESPACE

    def stop(self) -> None:
        """End it; its database file stays."""
        signal_group(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            signal_group(self.process.pid, signal.SIGKILL)
            self.process.wait()


async def start_temporal(data: Path) -> TemporalHandle:
    """Start a dev server on ``data`` for tests; its namespace is ready on return."""
    folder = DataFolder.open(data)
    ports = Ports(folder, print)
    server = DevServer(
        await asyncio.to_thread(find_temporal_cli),
        folder.root / DATABASE_FILE,
        ports.get("temporal"),
        ports.get("temporal_ui"),
    )
    log = folder.log_file("temporal")
    process = start(server.launch(), log=log)
    deadline = time.monotonic() + 60
    while not await is_usable(server.address):
        if process.poll() is not None or time.monotonic() > deadline:
            signal_group(process.pid, signal.SIGKILL)
            process.wait()
            raise StackError(f"Temporal did not start:\n{last_lines(log)}")
        await asyncio.sleep(0.05)
    client = await Client.connect(server.address, namespace=NAMESPACE)
    return TemporalHandle(server, process, client)


@asynccontextmanager
async def temporal(data: Path) -> AsyncIterator[TemporalHandle]:
    """:func:`start_temporal`, stopped at the end of the block."""
    handle = await start_temporal(data)
    try:
        yield handle
    finally:
        handle.stop()
