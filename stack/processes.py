"""Starting a child process that cannot outlive its parent."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from stack.errors import StackError

#: Linux: ask the kernel for a signal when the parent dies. See prctl(2).
PR_SET_PDEATHSIG = 1

#: Loaded before any fork: a child between fork and exec must not import.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system's user a process runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Everything needed to start one process."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    folder: Path | None = None
    account: Account | None = None
    #: Sent by the kernel when the supervisor dies without a word.
    orphan_signal: signal.Signals = signal.SIGKILL


def start(launch: Launch, *, log: Path) -> subprocess.Popen[bytes]:
    """Start the process in a session of its own, its output appended to ``log``.

    Call it from the main thread only: the kernel's death signal fires when the
    *thread* that forked ends, and only the main thread lives as long as the process.

    Raises:
        StackError: the program cannot be started.
    """
    account = launch.account
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                list(launch.command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(launch.environment),
                cwd=launch.folder,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                # Mails and tokens lie in these files: they are for their owner only.
                umask=0o077,
                # Ctrl-C on the terminal reaches the supervisor alone; it stops the
                # others in order.
                start_new_session=True,
                preexec_fn=_die_with_parent(launch.orphan_signal),  # noqa: PLW1509 - it calls the kernel only.
            )
    except OSError as error:
        raise StackError(f"{launch.command[0]} cannot be started: {error}") from error


def _die_with_parent(orphan_signal: signal.Signals) -> Callable[[], None] | None:
    """What the child does between fork and exec.

    Popen changes the user first; a change of user after it would drop the request.
    """
    if _LIBC is None:
        return None
    prctl, parent = _LIBC.prctl, os.getpid()

    def ask_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, int(orphan_signal), 0, 0, 0)
        if os.getppid() != parent:  # It died before the request was made.
            os._exit(1)

    return ask_kernel


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a process and what it started; a process already gone is no error."""
    with suppress(ProcessLookupError):
        os.killpg(pid, number)


class Watched:
    """A process whose end can be awaited.

    Attributes:
        exited: set once it has ended and was reaped.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.exited = asyncio.Event()

    @property
    def pid(self) -> int:
        """The operating system's number for it."""
        return self.process.pid

    @property
    def fate(self) -> str:
        """How it ended, as a person says it."""
        code = self.process.returncode
        if code is None:
            return "is running"
        if code < 0:
            return f"died by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def notice(self) -> None:
        """Look whether it has ended."""
        if self.process.poll() is not None:
            self.exited.set()


class Reaper:
    """Turns the kernel's SIGCHLD into awaitable ends of processes."""

    def __init__(self) -> None:
        self._watched: set[Watched] = set()

    def install(self) -> None:
        """Listen for SIGCHLD in the running loop."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._notice_all)

    def start(self, launch: Launch, *, log: Path) -> Watched:
        """Start a process and watch it."""
        watched = Watched(start(launch, log=log))
        self._watched.add(watched)
        # It may have ended before it was added: that SIGCHLD told nobody.
        watched.notice()
        return watched

    def _notice_all(self) -> None:
        for watched in tuple(self._watched):
            watched.notice()
            if watched.exited.is_set():
                self._watched.discard(watched)


async def end(watched: Watched, number: signal.Signals, share_seconds: float) -> None:
    """Ask a process to end; make it end when its share of time is over."""
    signal_group(watched.pid, number)
    # A frozen process (SIGSTOP) would keep the request waiting for ever.
    signal_group(watched.pid, signal.SIGCONT)
    try:
        await asyncio.wait_for(watched.exited.wait(), share_seconds)
    except TimeoutError:
        signal_group(watched.pid, signal.SIGKILL)
        await watched.exited.wait()


def processes_at_home(name: str, folder: Path) -> list[psutil.Process]:
    """Living processes called ``name`` whose working folder is ``folder``."""
    found = []
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error):
            named = process.info["name"] == name and is_alive(process)
            if named and Path(process.cwd()) == folder:
                found.append(process)
    return found


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs. One that nobody has buried does not.

    A container's first process often reaps nobody, so a dead orphan may stay listed
    for ever; waiting for it to vanish would be waiting for nothing.
    """
    try:
        running: bool = process.is_running()
        return running and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_gone(
    processes: list[psutil.Process], limit_seconds: float
) -> list[psutil.Process]:
    """Wait for processes that are not our children; those still alive at the end."""
    deadline = time.monotonic() + limit_seconds
    alive = [process for process in processes if is_alive(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(0.01)
        alive = [process for process in alive if is_alive(process)]
    return alive


def last_lines(log: Path, count: int = 5) -> str:
    """The end of a log, for an error that has to explain itself."""
    if not log.exists():
        return ""
    text = log.read_bytes()[-8000:].decode(errors="replace")
    return "\n".join(text.strip().splitlines()[-count:])
