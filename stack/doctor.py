"""``cli.py doctor``: what this machine has, what is missing, what to do about it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from settings import SettingsError, load_on_call
from stack.caddy import find_caddy, known_caddy
from stack.errors import StackError
from stack.postgres import find_programs
from stack.temporal import Say, find_temporal_cli, known_temporal_cli
from stack.temporal_programs import known_server_programs
from stack.testserver import find_test_server, known_test_server

_OLDEST_PYTHON = (3, 11)

#: What systems call the browser that the browser tests drive.
_CHROMIUM_COMMANDS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        name: what it is.
        is_there: whether it was found.
        is_needed: whether Holdfast cannot run without it.
        remark: where it is, or what to do.
    """

    name: str
    is_there: bool
    is_needed: bool
    remark: str

    @property
    def line(self) -> str:
        """For the terminal."""
        missing = "missing" if self.is_needed else "none"
        return f"{'ok' if self.is_there else missing:8} {self.name:22} {self.remark}"


def examine(*, fetch: bool = False) -> int:
    """Print every finding; exit code 1 when something needed is missing.

    Args:
        fetch: Get the programs first that runs and tests would get when they need them.

    Raises:
        StackError: the Temporal server was to be got and could not be.
    """
    if fetch:
        fetch_programs()
    findings = list(_findings())
    for finding in findings:
        print(finding.line)
    lacking = [f.name for f in findings if f.is_needed and not f.is_there]
    print()
    if lacking:
        print(f"Holdfast cannot run here yet: {', '.join(lacking)}.")
        return 1
    print("Holdfast can run here: make run")
    return 0


def fetch_programs(say: Say = print) -> None:
    """Get what is not here yet, so that nothing that has a time limit waits for it.

    The Temporal server on PostgreSQL is left out: only benchmarks ask for it.

    Raises:
        StackError: the Temporal server could not be got. What is not needed costs a
            line.
    """
    find_temporal_cli(say)
    try:
        find_caddy(say)
    except StackError as error:
        say(str(error))
    found = find_test_server(say)
    if found.program is None:
        say(f"The time-skipping test server is not here: {found.reason}")


def _findings() -> Iterator[Finding]:
    yield _python()
    yield _postgres()
    yield _temporal()
    yield _temporal_on_postgres()
    yield _caddy()
    yield _test_server()
    yield _chromium()
    yield _on_call()


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    enough = sys.version_info >= _OLDEST_PYTHON
    return Finding("Python", enough, True, f"{version}; 3.11 or newer is needed")


def _postgres() -> Finding:
    try:
        program = find_programs() / "postgres"
        version = _version(str(program))
    except (StackError, OSError) as error:
        return Finding("PostgreSQL", False, True, str(error))
    who = "runs as an unprivileged user" if os.geteuid() == 0 else "runs as you"
    return Finding("PostgreSQL", True, True, f"{version}; {who}")


def _temporal() -> Finding:
    name = "Temporal server"
    try:
        program = known_temporal_cli()
    except StackError as error:
        return Finding(name, False, True, str(error))
    if program is not None:
        return Finding(name, True, True, str(program))
    if shutil.which("go"):
        return Finding(name, True, True, "downloaded, or built with Go, on first run")
    return Finding(name, True, True, "downloaded on first run, if the network allows")


def _temporal_on_postgres() -> Finding:
    name = "Temporal on PostgreSQL"
    programs = known_server_programs()
    if programs is not None:
        return Finding(name, True, False, str(programs.server))
    if shutil.which("go"):
        remark = "built with Go when asked for: run --temporal postgres"
        return Finding(name, True, False, remark)
    return Finding(name, False, False, "needs Go; benchmarks can use the dev server")


def _caddy() -> Finding:
    return _optional(
        "Caddy, the edge",
        known_caddy,
        ("go",),
        "run --edge needs it: install `caddy`, or Go so that it can be built",
    )


def _test_server() -> Finding:
    name = "Time-skipping tests"
    return _optional(
        name,
        known_test_server,
        ("java", "mvn"),
        "needs Java and Maven, TEMPORAL_TEST_SERVER or a download; else skipped",
    )


def _optional(
    name: str, known: Callable[[], object], tools: tuple[str, ...], otherwise: str
) -> Finding:
    try:
        place = known()
    except StackError as error:
        return Finding(name, False, False, str(error))
    if place is not None:
        return Finding(name, True, False, str(place))
    if all(shutil.which(tool) for tool in tools):
        return Finding(name, True, False, f"got with {tools[-1]} when needed")
    return Finding(name, False, False, otherwise)


def _chromium() -> Finding:
    place = find_chromium()
    if place:
        return Finding("Chromium", True, False, place)
    return Finding("Chromium", False, False, "browser tests are skipped without it")


def _on_call() -> Finding:
    """Whether the settings of this folder name somebody to tell."""
    name = "On call"
    try:
        settings = load_on_call()
    except SettingsError as error:
        return Finding(name, False, False, str(error))
    if settings.on_call_gap is not None:
        return Finding(name, False, False, f"{settings.on_call_gap} For a real shop.")
    people = ", ".join(settings.on_call_people.names)
    return Finding(name, True, False, f"{people}; rehearse: cli.py drill")


def find_chromium() -> str | None:
    """Return the browser that the browser tests drive; None where there is none."""
    found = (shutil.which(command) for command in _CHROMIUM_COMMANDS)
    return next((place for place in found if place), None)


def _version(program: str) -> str:
    finished = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=True
    )
    return finished.stdout.strip()
