"""The data folder: its lock, its secrets, its addresses, its log files.

Secrets and ports are kept between runs, so that a link in a mail sent yesterday still
opens today. A port somebody else took meanwhile is replaced, and said so.
"""

import base64
import fcntl
import json
import math
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Self

from stack.errors import StackError

#: Below the kernel's ephemeral range, so that no outgoing connection of another
#: program sits on a remembered port when the stack starts again.
PORT_RANGE = range(20000, 32000)

#: A log longer than this is put aside when the stack starts; one older copy stays.
LOG_LIMIT_BYTES = 5_000_000

#: How often a wait for another process's work is told, and looked at.
_SPEAK_EVERY_SECONDS = 15
_LOCK_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What the parts of one stack share and nobody else may know."""

    postgres_password: str
    owner_password: str
    app_password: str
    secret_key: str
    api_key: str
    stripe_api_key: str
    stripe_webhook_secret: str
    provisioning_secret: str
    temporal_password: str

    @classmethod
    def random(cls) -> Self:
        """Fresh secrets, each in the form its reader expects."""
        return cls(
            postgres_password=secrets.token_urlsafe(24),
            owner_password=secrets.token_urlsafe(24),
            app_password=secrets.token_urlsafe(24),
            secret_key=secrets.token_urlsafe(48),
            api_key=f"hf_{secrets.token_urlsafe(24)}",
            stripe_api_key=f"sk_test_{secrets.token_hex(16)}",
            stripe_webhook_secret=_webhook_secret(),
            provisioning_secret=_webhook_secret(),
            temporal_password=secrets.token_urlsafe(24),
        )


def _webhook_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


@dataclass(frozen=True, slots=True)
class DataFolder:
    """One stack's folder. Everything the stack remembers is below it."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> Self:
        """The folder at ``root``, made if needed.

        Raises:
            StackError: it cannot be made or written to.
        """
        folder = cls(root.expanduser().resolve())
        try:
            folder.logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StackError(
                f"The data folder {root} cannot be made: {error.strerror}. "
                "Choose another with --data."
            ) from error
        return folder

    @property
    def logs(self) -> Path:
        """Where each child's output goes."""
        return self.root / "logs"

    @property
    def control_socket(self) -> Path:
        """The UNIX socket that steers a running stack."""
        return self.root / "control.sock"

    def log_file(self, name: str) -> Path:
        """The log of one child, put aside when it has grown long."""
        path = self.logs / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    def secrets(self) -> Secrets:
        """The folder's secrets, drawn on the first run.

        Raises:
            StackError: the file is damaged, or gone while its database is still there.
        """
        path = self.root / "secrets.json"
        if path.exists():
            return _read_secrets(path)
        if (self.root / "postgres").exists():
            raise StackError(
                f"{path} is missing, and the database beside it cannot be opened "
                "without it. Put the file back, or remove the data folder."
            )
        drawn = Secrets.random()
        write_private(path, {f.name: getattr(drawn, f.name) for f in fields(drawn)})
        return drawn


def _read_secrets(path: Path) -> Secrets:
    try:
        known = json.loads(path.read_text())
        if "temporal_password" not in known:
            # A folder from before Temporal could use this PostgreSQL: nobody has the
            # password yet, so it may be drawn late. No other may.
            known["temporal_password"] = Secrets.random().temporal_password
            write_private(path, known)
        return Secrets(**known)
    except (ValueError, TypeError) as error:
        raise StackError(
            f"{path} cannot be read. Put a copy back, or remove the data folder."
        ) from error


def write_private(path: Path, content: Mapping[str, object]) -> None:
    """Write JSON that only its owner can read; never half of it.

    The new file takes the old one's place in one step, so a crash leaves one or the
    other.
    """
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


class Ports:
    """The stack's ports by name, remembered in ``addresses.json``."""

    def __init__(self, folder: DataFolder, say: Callable[[str], None]) -> None:
        self._path = folder.root / "addresses.json"
        self._say = say
        self._known: dict[str, int] = {}
        if self._path.exists():
            self._known = {k: int(v) for k, v in _numbers(self._path).items()}

    def get(self, name: str, *, wanted: int | None = None) -> int:
        """The port for ``name``: the one asked for, the one remembered, or a free one.

        Raises:
            StackError: the port asked for is taken.
        """
        if wanted is not None and not is_free(wanted):
            raise StackError(
                f"Port {wanted} is taken. Stop what uses it or choose another."
            )
        port = wanted or self._known.get(name) or self._unused()
        if not is_free(port):
            taken, port = port, self._unused()
            self._say(f"Port {taken} of {name} is taken now; it listens on {port}.")
        if self._known.get(name) != port:
            self._known[name] = port
            write_private(self._path, self._known)
        return port

    def _unused(self) -> int:
        return free_port(exclude=set(self._known.values()))


def remembered_port(folder: DataFolder, name: str) -> int | None:
    """The port that ``name`` listened on last; None before the first run."""
    path = folder.root / "addresses.json"
    known = _numbers(path).get(name) if path.exists() else None
    return None if known is None else int(known)


def _numbers(path: Path) -> dict[str, int]:
    """The remembered ports; a damaged file costs new addresses, nothing else."""
    try:
        content = json.loads(path.read_text())
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        # A connection in TIME_WAIT does not hinder a server, so it must not here.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port(*, exclude: set[int] | frozenset[int] = frozenset()) -> int:
    """A port nobody listens on, below the kernel's ephemeral range."""
    for port in random.sample(PORT_RANGE, 500):
        if port not in exclude and is_free(port):
            return port
    raise StackError(
        f"No free port between {PORT_RANGE.start} and {PORT_RANGE.stop} was found."
    )


class RunLock:
    """At most one stack per data folder.

    The kernel drops the lock when its holder dies, however it dies, so a crash leaves
    nothing to clean up. Python opens files close-on-exec: no child inherits it.
    """

    def __init__(self, folder: DataFolder) -> None:
        self._path = folder.root / "lock"
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Take the lock and write this process's id into it.

        Raises:
            StackError: another run holds it; names that run's pid and shop.
        """
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read()
            file.close()
            raise StackError(self._refusal(holder)) from None
        self._file = file
        self.describe(shop=None)

    def describe(self, *, shop: str | None) -> None:
        """Say who holds the lock, for the one who is refused."""
        if self._file is None:
            raise RuntimeError("the lock is described by its holder only")
        self._file.truncate(0)
        self._file.write(json.dumps({"pid": os.getpid(), "shop": shop}))
        self._file.flush()

    def release(self) -> None:
        """Let the next run in."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _refusal(self, holder: str) -> str:
        try:
            running = json.loads(holder)
        except ValueError:
            running = {}
        shop = running.get("shop")
        where = f", shop at {shop}" if shop else ", still starting"
        return (
            f"Holdfast already runs on {self._path.parent} "
            f"(pid {running.get('pid', 'unknown')}{where})."
        )


@contextmanager
def exclusive(path: Path, say: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold a lock file while two processes must not do the same work at once.

    Args:
        path: The lock file; made if missing.
        say: Gets a line every 15 s while another process does the work. Without it
            the wait is silent, which suits work of a moment only.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        if say is not None:
            _wait_aloud(file, say)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _wait_aloud(file: IO[str], say: Callable[[str], None]) -> None:
    """Return when the lock is ours, or was free a moment ago."""
    started, spoke = time.monotonic(), -math.inf
    while not _takes(file):
        waited = time.monotonic() - started
        if waited - spoke >= _SPEAK_EVERY_SECONDS:
            say(f"Waiting for another run that gets it: {waited:.0f} s so far …")
            spoke = waited
        time.sleep(_LOCK_POLL_SECONDS)


def _takes(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def cache_folder() -> Path:
    """Where fetched and built servers are kept for every checkout of this user."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "holdfast"
