"""The supervisor: starts every process in order, keeps each alive, stops them in order.

    postgres ┐                    ┌ api
    temporal ┼─ migrations (once) ┤
    sandbox  ┘                    ├ worker, worker-2, …
                                  └ edge (with --edge)

The left column starts together; nothing in it needs anything else, except that a
Temporal server on PostgreSQL waits for PostgreSQL. The supervisor runs on one thread,
which is the one that starts the children (see ``processes.start``).
"""

import asyncio
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.caddy import Edge, find_caddy
from stack.child import Child, Recipe
from stack.control import ControlServer
from stack.environment import REPOSITORY, Addresses, Blueprint, local
from stack.errors import StackError
from stack.health import answers_ok, database_is_usable, is_listening, takes_work
from stack.leftovers import Leftovers
from stack.places import DataFolder, Ports, RunLock
from stack.postgres import clear_remains, prepare_cluster
from stack.processes import Reaper, last_lines, signal_group
from stack.temporal import is_usable
from stack.temporal_choice import TemporalKind, draw_temporal, get_temporal
from stack.terminal import Tail, Terminal, follow

#: The order of an ordered stop: first who takes work, last who keeps it. The shares of
#: time (see the recipes) add up to less than ten seconds.
_STOP_ORDER = (
    "edge", "worker", "api", "application", "mailbox", "processor", "temporal",
    "postgres",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What ``cli.py run`` was asked for."""

    data: Path
    as_json: bool = False
    verbose: bool = False
    workers: int = 1
    api_port: int | None = None
    temporal: TemporalKind = TemporalKind.DEV
    #: Whether Caddy stands in front of the API, as in production.
    edge: bool = False
    #: Where the product's code is; tests put stand-ins there.
    repository: Path = REPOSITORY


def run(options: RunOptions) -> int:
    """Run the stack until it is asked to end; the process's exit code.

    Raises:
        StackError: it cannot run here, or not now.
    """
    terminal = Terminal(as_json=options.as_json)
    folder = DataFolder.open(options.data)
    lock = RunLock(folder)
    lock.take()
    try:
        started = time.monotonic()
        with _interruptible():
            blueprint = _draw(folder, options, terminal)
        lock.describe(shop=local(blueprint.addresses.shop))
        return asyncio.run(_supervise(blueprint, options, terminal, started))
    except KeyboardInterrupt:
        terminal.say("Stopped before anything was started.")
        return 0
    except OSError as error:
        raise StackError(f"The data folder cannot be used: {error}") from error
    finally:
        lock.release()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM interrupt the preparations as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _draw(folder: DataFolder, options: RunOptions, terminal: Terminal) -> Blueprint:
    """Decide everything, get what is missing; no server runs yet."""
    ended = Leftovers(folder).end()
    if ended:
        terminal.say(f"Ended {len(ended)} processes that a killed run left behind.")
    get_temporal(options.temporal, folder, terminal.progress)
    caddy = find_caddy(terminal.progress) if options.edge else None
    ports = Ports(folder, terminal.say)
    addresses = Addresses.choose(
        ports, api_port=options.api_port, has_edge=options.edge
    )
    for number in range(1, options.workers + 1):
        name = worker_name(number)
        addresses.worker_metrics[name] = ports.get(f"{name}_metrics")
    if not (folder.root / "postgres").exists():
        terminal.say("First run: making the database …")
    cluster = prepare_cluster(folder, ports.get("postgres"))
    return Blueprint(
        folder=folder,
        secrets=folder.secrets(),
        addresses=addresses,
        cluster=cluster,
        temporal=draw_temporal(options.temporal, folder, cluster, ports),
        edge=_draw_edge(caddy, folder, addresses),
        repository=options.repository,
    )


def _draw_edge(
    caddy: Path | None, folder: DataFolder, addresses: Addresses
) -> Edge | None:
    if caddy is None:
        return None
    return Edge(
        program=caddy,
        folder=folder.root,
        port=addresses.shop,
        upstream_port=addresses.api,
    )


def worker_name(number: int) -> str:
    """The first worker is `worker`, the next `worker-2`."""
    return "worker" if number == 1 else f"worker-{number}"


async def _supervise(
    blueprint: Blueprint, options: RunOptions, terminal: Terminal, started: float
) -> int:
    """Start, wait for the request to end, stop."""
    supervisor = Supervisor(blueprint, terminal, verbose=options.verbose)
    requests = _EndRequests(supervisor, terminal)
    requests.install()
    control = ControlServer(blueprint.folder, supervisor.obey)
    starting = asyncio.create_task(supervisor.start())
    try:
        await requests.wait(unless=starting)
        if not requests.received:
            starting.result()  # Raises what went wrong.
            await control.start()
            terminal.event("ready", supervisor.status())
            terminal.welcome(supervisor.status(), time.monotonic() - started)
            await requests.wait()
    finally:
        starting.cancel()
        await asyncio.wait({starting})
        control.stop()
        await supervisor.stop()
    return 0


class _EndRequests:
    """Ctrl-C and SIGTERM: the first stops in order, the second at once."""

    def __init__(self, supervisor: "Supervisor", terminal: Terminal) -> None:
        self._supervisor = supervisor
        self._terminal = terminal
        self._first = asyncio.Event()

    @property
    def received(self) -> bool:
        return self._first.is_set()

    def install(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._receive)

    async def wait(self, *, unless: asyncio.Task[None] | None = None) -> None:
        """Until a request comes, or the other task is done."""
        request = asyncio.create_task(self._first.wait())
        others = {unless} if unless else set()
        await asyncio.wait({request, *others}, return_when=asyncio.FIRST_COMPLETED)
        request.cancel()

    def _receive(self) -> None:
        if self.received:
            self._terminal.say("Ending everything now.")
            self._supervisor.kill()
            return
        self._terminal.say("Stopping in order (once more Ctrl-C: at once) …")
        self._first.set()


class Supervisor:
    """All children of one stack."""

    def __init__(
        self, blueprint: Blueprint, terminal: Terminal, *, verbose: bool
    ) -> None:
        self._blueprint = blueprint
        self._terminal = terminal
        self._verbose = verbose
        self._reaper = Reaper()
        self._leftovers = Leftovers(blueprint.folder)
        self._children: dict[str, Child] = {}
        self._followers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start everything; all are healthy on return.

        Raises:
            StackError: a child or the migrations failed.
        """
        self._reaper.install()
        ground = [self._add(recipe) for recipe in self._ground()]
        await asyncio.gather(*(self._start_on_ground(child) for child in ground))
        await self._migrate()
        above = [self._add(recipe) for recipe in self._product()]
        await self._start_all(above)

    async def stop(self) -> None:
        """Stop everything in order, within ten seconds."""
        for group in self._stop_groups():
            await asyncio.gather(*(child.stop() for child in group))
        for follower in self._followers:
            follower.cancel()
        self._leftovers.forget()
        self._terminal.say("Everything has stopped.")

    def kill(self) -> None:
        """End everything this moment."""
        for child in self._children.values():
            child.kill()

    def status(self) -> dict[str, Any]:
        """Addresses, and each child's pid; None for one that is down."""
        children = {name: child.pid for name, child in self._children.items()}
        return {**self._blueprint.published(), "children": children}

    async def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command of the control socket; see ``control``."""
        if "stop" in command:
            child = self._child(command["stop"])
            number = command.get("signal")
            await child.stop(signal.Signals[number] if number else None)
            self._terminal.say(f"{child.name} is stopped and kept down, as asked.")
        elif "start" in command:
            child = self._child(command["start"])
            await child.start()
            self._terminal.say(f"{child.name} runs again as pid {child.pid}, as asked.")
        elif "add_worker" in command:
            child = await self._add_worker()
        else:
            return self.status()
        return {**self.status(), "name": child.name, "pid": child.pid}

    def say(self, line: str) -> None:
        """One line for a person."""
        self._terminal.say(line)

    def spawned(self, child: Child) -> None:
        """Note it, so that it cannot outlive us unseen."""
        if child.pid is not None:
            self._leftovers.note(child.pid)

    def died(self, child: Child, fate: str) -> None:
        """Tell the programs that follow; people are told with the restart."""
        what = {**self.status(), "name": child.name, "fate": fate}
        self._terminal.event("died", what)

    def restarted(self, child: Child, previous_pid: int, seconds: float) -> None:
        """Tell the programs that follow."""
        self._terminal.event(
            "restarted",
            {
                **self.status(),
                "name": child.name,
                "pid": child.pid,
                "previous_pid": previous_pid,
                "seconds": round(seconds, 3),
            },
        )

    def _ground(self) -> list[Recipe]:
        """What needs nothing else of the stack."""
        plan, at = self._blueprint, self._blueprint.addresses
        cluster, temporal = plan.cluster, plan.temporal
        return [
            Recipe(
                name="postgres",
                launch=cluster.launch,
                before_start=lambda: clear_remains(cluster),
                is_ready=lambda: database_is_usable(cluster),
                stop_signal=signal.SIGINT,
                stop_share_seconds=1.5,
            ),
            Recipe(
                name="temporal",
                launch=temporal.launch,
                before_start=temporal.prepare,
                is_ready=lambda: is_usable(temporal.address),
                stop_share_seconds=2.0,
            ),
            Recipe(
                name="processor",
                launch=plan.processor,
                is_ready=lambda: answers_ok(at.processor, "/sandbox/summary"),
            ),
            Recipe(
                name="mailbox",
                launch=plan.mailbox,
                is_ready=lambda: answers_ok(at.mailbox, "/healthz"),
            ),
            Recipe(
                name="application",
                launch=plan.application,
                is_ready=lambda: answers_ok(at.application, "/healthz"),
            ),
        ]

    def _product(self) -> list[Recipe]:
        """What is Holdfast itself."""
        plan, at = self._blueprint, self._blueprint.addresses
        api = Recipe(
            name="api",
            launch=plan.api,
            is_ready=lambda: answers_ok(at.api, "/readyz"),
            stop_share_seconds=1.5,
        )
        workers = [self._worker(name) for name in at.worker_metrics]
        return [api, *workers, *self._edge()]

    def _edge(self) -> list[Recipe]:
        """Caddy in front, where it is wanted. It needs nobody to be ready itself."""
        edge = self._blueprint.edge
        if edge is None:
            return []
        port = edge.port
        return [
            Recipe(name="edge", launch=edge.launch, is_ready=lambda: is_listening(port))
        ]

    def _worker(self, name: str) -> Recipe:
        port = self._blueprint.addresses.worker_metrics[name]
        return Recipe(
            name=name,
            launch=lambda: self._blueprint.worker(name),
            is_ready=lambda: takes_work(port),
            stop_share_seconds=3.5,
        )

    async def _add_worker(self) -> Child:
        workers = self._blueprint.addresses.worker_metrics
        name = worker_name(len(workers) + 1)
        ports = Ports(self._blueprint.folder, self._terminal.say)
        workers[name] = ports.get(f"{name}_metrics")
        child = self._add(self._worker(name))
        await child.start()
        self._terminal.say(f"{name} runs as pid {child.pid}, as asked.")
        return child

    def _add(self, recipe: Recipe) -> Child:
        log = self._blueprint.folder.log_file(recipe.name)
        child = Child(recipe, log=log, reaper=self._reaper, events=self)
        self._children[recipe.name] = child
        self._follow(recipe.name, log)
        return child

    def _follow(self, name: str, log: Path) -> None:
        if self._verbose:
            following = follow(Tail(log), name, self._terminal)
            self._followers.append(asyncio.create_task(following))

    def _child(self, name: object) -> Child:
        child = self._children.get(str(name))
        if child is None:
            known = ", ".join(self._children)
            raise StackError(f"There is no child {name}; there are {known}.")
        return child

    async def _start_on_ground(self, child: Child) -> None:
        """Start one of the left column; Temporal after PostgreSQL where it must."""
        if child.name == "temporal" and self._blueprint.temporal.needs_postgres:
            await self._children["postgres"].start()
        await child.start()

    async def _start_all(self, children: Iterable[Child]) -> None:
        """Start several at once; the first that fails decides."""
        await asyncio.gather(*(child.start() for child in children))

    async def _migrate(self) -> None:
        log = self._blueprint.folder.log_file("migrations")
        self._follow("migrations", log)
        step = self._reaper.start(self._blueprint.migrations(), log=log)
        try:
            await step.exited.wait()
        finally:
            # Asked to end meanwhile: its transaction is undone by the database.
            signal_group(step.pid, signal.SIGKILL)
        if step.process.returncode != 0:
            raise StackError(
                f"The migrations failed ({step.fate}). The end of {log}:\n"
                f"{last_lines(log)}"
            )

    def _stop_groups(self) -> list[list[Child]]:
        """The children in the order of their stop; all workers together."""
        return [
            [c for c in self._children.values() if c.name.split("-")[0] == kind]
            for kind in _STOP_ORDER
        ]
