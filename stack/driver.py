"""Driving a stack from a program: durability tests, benchmarks, the demo.

    with run_stack(data) as stack:
        before = stack.pid("worker")
        stack.kill("worker")
        restart = stack.wait_restarted("worker", after_pid=before)

The stack runs as ``cli.py run --json`` in a process of its own, exactly as a person
runs it; the driver reads its lines in a thread. Every wait is for an event and has a
limit; none of them sleeps. All methods may be called from any thread; from a coroutine
use ``asyncio.to_thread``.
"""

import json
import os
import select
import signal as signals
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self, TypeVar

from stack.control import Control
from stack.environment import REPOSITORY
from stack.errors import StackError

T = TypeVar("T")

#: An ordered stop takes ten seconds at most; the rest is for a loaded machine.
_STOP_LIMIT_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StackAddresses:
    """Where everything is; the same in every event of one run."""

    shop: str
    #: The API itself: the shop's own address when no edge stands in front.
    api: str
    processor: str
    mailbox: str
    #: host:port
    smtp: str
    application: str
    #: None where the Temporal server has no UI.
    temporal_ui: str | None
    #: host:port
    temporal_address: str
    temporal_namespace: str
    #: The application's role.
    database_url: str
    #: The role that owns the tables; for looking and for clearing between tests.
    owner_database_url: str
    api_metrics: str
    worker_metrics: str
    api_key: str
    #: The data folder.
    data: str

    @classmethod
    def read(cls, event: dict[str, Any]) -> Self:
        """The addresses in a ready line."""
        return cls(**{field.name: event[field.name] for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class Restart:
    """A child that died and is healthy again."""

    name: str
    previous_pid: int
    pid: int
    #: From its death until it was healthy again.
    seconds: float


class Stack:
    """A running stack.

    Attributes:
        at: its addresses.
        control: for what signals cannot do: keep a child down, add a worker.
        process: the supervisor.
    """

    def __init__(self, process: subprocess.Popen[str], *, limit_seconds: float) -> None:
        self.process = process
        #: What it said to people, for a failing test's message.
        self.lines: deque[str] = deque(maxlen=200)
        self._changed = threading.Condition()
        self._pids: dict[str, int | None] = {}
        #: For each pid, how many restarts had been seen when it became known.
        self._known_since: dict[int, int] = {}
        self._restarts: list[Restart] = []
        self._ready: dict[str, Any] | None = None
        #: When it last told that a program is still being fetched or built.
        self._progressed_at = 0.0
        self._ended = False
        self._readers = [self._read(self._hear), self._read(self._note)]
        event = self._wait_ready(limit_seconds)
        self.at = StackAddresses.read(event)
        self.control = Control(Path(self.at.data))

    def pid(self, name: str) -> int:
        """The child's process now.

        Raises:
            StackError: there is no such child, or it is down.
        """
        with self._changed:
            pid = self._pids.get(name)
        if pid is None:
            raise StackError(f"{name} is not running.")
        return pid

    @property
    def restarts(self) -> tuple[Restart, ...]:
        """All restarts so far, oldest first."""
        with self._changed:
            return tuple(self._restarts)

    def kill(self, name: str, number: int = signals.SIGKILL) -> int:
        """Send the child a signal; returns the pid that got it.

        SIGKILL has done its work on return: no thread of it runs, and its connections
        are closed. Sending alone is not enough, since a process may live on for a
        moment and do what its caller believes impossible by then.
        """
        pid = self.pid(name)
        descriptor = os.pidfd_open(pid)
        try:
            signals.pidfd_send_signal(descriptor, number)
            if number == signals.SIGKILL:
                select.select([descriptor], [], [], _STOP_LIMIT_SECONDS)
        finally:
            os.close(descriptor)
        return pid

    def kill_and_wait(self, name: str, *, limit_seconds: float = 60) -> Restart:
        """Kill a child and return when it is healthy again."""
        return self.wait_restarted(
            name, after_pid=self.kill(name), limit_seconds=limit_seconds
        )

    def wait_restarted(
        self, name: str, *, after_pid: int, limit_seconds: float = 60
    ) -> Restart:
        """Wait until the child that had ``after_pid`` is healthy with another."""

        def found() -> Restart | None:
            since = self._restarts[self._known_since.get(after_pid, 0) :]
            return next((r for r in since if r.name == name), None)

        return self._wait(found, limit_seconds, f"{name} to be restarted")

    def stop_child(self, name: str, *, roughly: bool = False) -> None:
        """Stop a child and keep it down until :meth:`start_child`."""
        self._take(self.control.stop(name, signal="SIGKILL" if roughly else None))

    def start_child(self, name: str) -> int:
        """Start a stopped child; it is healthy on return. Its new pid."""
        self._take(self.control.start(name))
        return self.pid(name)

    def add_worker(self) -> str:
        """Start one more worker; it is healthy on return. Its name."""
        answer = self.control.add_worker()
        self._take(answer)
        return str(answer["name"])

    def log(self, name: str) -> str:
        """What a child has written so far."""
        path = Path(self.at.data) / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self, number: int = signals.SIGTERM) -> int:
        """Stop the whole stack in order; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(_STOP_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code

    def _read(self, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        return thread

    def _hear(self) -> None:
        """Follow the JSON lines until the stack ends."""
        for line in self.process.stdout or ():
            event = json.loads(line)
            with self._changed:
                if event["event"] == "ready":
                    self._ready = event
                elif event["event"] == "progress":
                    self._progressed_at = time.monotonic()
                elif event["event"] == "restarted":
                    self._restarts.append(_restart(event))
                self._learn(event["children"])
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _note(self) -> None:
        for line in self.process.stderr or ():
            self.lines.append(line.rstrip())

    def _take(self, answer: dict[str, Any]) -> None:
        with self._changed:
            self._learn(answer["children"])

    def _learn(self, pids: dict[str, int | None]) -> None:
        self._pids.update(pids)
        for pid in pids.values():
            if pid is not None:
                self._known_since.setdefault(pid, len(self._restarts))

    def _wait_ready(self, limit_seconds: float) -> dict[str, Any]:
        try:
            return self._wait(lambda: self._ready, limit_seconds, "the stack")
        except StackError:
            self.stop()
            raise

    def _wait(self, found: Callable[[], T | None], limit: float, what: str) -> T:
        started = time.monotonic()
        with self._changed:
            while (result := found()) is None:
                # Getting programs takes minutes and has limits of its own.
                since = max(started, self._progressed_at)
                left = since + limit - time.monotonic()
                if self._ended or left <= 0:
                    why = "it has ended" if self._ended else f"{limit:.0f} s are over"
                    said = "\n".join(self.lines)
                    raise StackError(f"Waited for {what}, but {why}. It said:\n{said}")
                self._changed.wait(left)
            return result


def _restart(event: dict[str, Any]) -> Restart:
    return Restart(event["name"], event["previous_pid"], event["pid"], event["seconds"])


@contextmanager
def run_stack(
    data: Path,
    *options: str,
    program: Sequence[str] = (str(REPOSITORY / "cli.py"), "run"),
    limit_seconds: float = 120,
) -> Iterator[Stack]:
    """Run a stack on a data folder; it is stopped in order at the end.

    Args:
        data: made if missing; ``fresh_data_folder`` gives a temporary one.
        options: further options of ``cli.py run``, such as ``"--workers", "2"``.
        program: what Python runs; tests of the supervisor give another.
        limit_seconds: how long it may take to become ready, once every program that it
            needs has been fetched or built.
    """
    process = subprocess.Popen(
        [sys.executable, *program, "--data", str(data), "--json", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        # A Ctrl-C on the terminal must not stop the stack under its driver's feet.
        start_new_session=True,
    )
    stack = Stack(process, limit_seconds=limit_seconds)
    try:
        yield stack
    finally:
        stack.stop()


@contextmanager
def fresh_data_folder() -> Iterator[Path]:
    """A temporary data folder that an unprivileged PostgreSQL can reach.

    pytest's own ``tmp_path`` is closed to other users; as root the cluster would be
    sheltered elsewhere (see ``postgres``), which works but is left behind.
    """
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        path = Path(folder)
        path.chmod(0o711)
        yield path
