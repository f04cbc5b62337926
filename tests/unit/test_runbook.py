"""The runbook can be followed: each command, button and word in it is real."""

from __future__ import annotations

import ast
import asyncio
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import cli
from domain.alerts import WORDS
from domain.oncall import RULES, FindingKind
from settings import Settings
from tests.conftest import Database

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "runbook.md").read_text()

#: Commands that nobody needs at night: they are about a machine of one's own.
_OF_ONES_OWN_MACHINE = {"run", "demo", "doctor"}

#: Commands that need the database and nothing else.
_DATABASE_ONLY = {
    "pause",
    "resume",
    "status",
    "events list",
    "reconcile status",
    "reconcile hold",
    "reconcile release",
    "reconcile let-mail-go",
    "staff list",
    "audit verify",
    "on-call show",
}

COMMANDS = sorted(set(re.findall(r"`cli\.py ([^`]+)`", TEXT)))
BUTTONS = sorted(set(re.findall(r"\*\*\[([^\]]+)\]\*\*", TEXT)))


def _leaves(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Return every command that can be given, with its whole name."""
    for name, one in getattr(command, "commands", {}).items():
        whole = f"{path} {name}".strip()
        if hasattr(one, "commands"):
            yield from _leaves(one, whole)
        else:
            yield whole, one


LEAVES = dict(_leaves(get_command(cli.app)))


def _resolve(line: str) -> tuple[str, Any, list[str]]:
    """Split a line into the command's name, the command and what it is given."""
    words = shlex.split(line)
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in LEAVES:
            return name, LEAVES[name], words[length:]
    pytest.fail(f"cli.py {line}: there is no such command")


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line: str) -> None:
    """Who types a line of the runbook meets no unknown option and no missing one."""
    name, command, given = _resolve(line)

    with command.make_context(name, given) as context:
        assert context.params


def test_every_command_stands_in_the_runbook() -> None:
    """A new command is explained to whoever needs it at night."""
    told = {_resolve(line)[0] for line in COMMANDS}

    assert told == set(LEAVES) - _OF_ONES_OWN_MACHINE


@pytest.mark.postgres
async def test_what_needs_the_database_alone_works(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these lines does its work on a real database, with nothing else there."""
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database.app_url)
    lines = [
        line
        for line in COMMANDS
        if _resolve(line)[0] in _DATABASE_ONLY and "--noted" not in line
    ]
    answers = {
        line: await asyncio.to_thread(CliRunner().invoke, cli.app, shlex.split(line))
        for line in lines
    }

    assert {_resolve(line)[0] for line in lines} == _DATABASE_ONLY
    assert [line for line, one in answers.items() if one.exit_code] == []
    assert [line for line, one in answers.items() if not one.stdout.strip()] == []


def _plain(text: str) -> str:
    """Bring both sides into one shape: what varies is …, blanks are one."""
    text = re.sub(r"\{[{%#].*?[%#}]\}|<[^>]*>|\d+", "…", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", text).strip()


def _written(folder: str) -> Iterator[str]:
    """Return the texts that the code of a folder, or one file, writes."""
    top = ROOT / folder
    for path in [top] if top.is_file() else sorted(top.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield _plain(node.value)
            elif isinstance(node, ast.JoinedStr):
                yield _plain(
                    "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "…"
                        for part in node.values
                    )
                )


@cache
def _templates() -> list[str]:
    names = ("console*.html", "staff*.html")
    folder = ROOT / "api" / "templates"
    return [path.read_text() for name in names for path in sorted(folder.glob(name))]


@cache
def _buttons() -> set[str]:
    """Return what can be pressed in the console, as it is called."""
    pressed = r"<(button|summary|a)\b[^>]*>(.*?)</\1>"
    found = set(_written("domain/case_view.py")) | set(_written("api/support/pages.py"))
    for text in _templates():
        for _, inner in re.findall(pressed, text, re.DOTALL):
            found.add(_plain(inner))
            found |= {_plain(words) for words in re.findall(r'"([^"]*)"', inner)}
    return found


@pytest.mark.parametrize("button", BUTTONS)
def test_every_button_is_there(button: str) -> None:
    """Who looks for a button of the runbook finds it under that name."""
    assert _plain(button) in _buttons()


def _quoted() -> list[str]:
    """Return what the runbook says one reads: in the console, and of a command."""
    in_console = re.findall(r"(?<![*\w])\*([^*\[\]\n]+)\*(?![*\w])", TEXT)
    of_command = re.findall(r"`([A-Z][a-z']* [^`]*)`", TEXT)
    return sorted({*in_console, *of_command})


@cache
def _said() -> list[str]:
    """Return what the console and the commands say."""
    return [
        *(_plain(text) for text in _templates()),
        *(" ".join(re.findall(r'"([^"]*)"', text)) for text in _templates()),
        *_written("api/support"),
        *_written("database/refunds.py"),
        *_written("operating"),
    ]


@pytest.mark.parametrize("words", _quoted())
def test_what_one_should_see_is_what_is_said(words: str) -> None:
    """A sentence that is promised to a tired person is the one that appears."""
    assert any(_plain(words).rstrip(".… ") in text for text in _said())


#: Nothing finds it by itself: a person knows, and reads "leaked".
_FOUND_BY_NOBODY = {FindingKind.KEY_LEAKED}

ALERTS = [
    kind
    for kind, rule in RULES.items()
    if rule.push_after is not None and kind not in _FOUND_BY_NOBODY
]


@pytest.mark.parametrize("kind", ALERTS)
def test_every_alert_is_found_by_its_words(kind: FindingKind) -> None:
    """Who was woken by a message finds its own words in the table at the start."""
    state = WORDS[kind].state

    assert re.search(rf"^\| `[^|]*, {re.escape(state)}`.*\|", TEXT, re.MULTILINE)


def test_settings_are_called_as_they_are() -> None:
    """A misspelt name would silently change nothing."""
    named = set(re.findall(r"\b(?:HOLDFAST|STRIPE)_[A-Z_]+", TEXT))
    real = {name.upper() for name in Settings.model_fields}

    assert {name.removeprefix("HOLDFAST_") for name in named} <= real


def test_containers_are_called_as_they_are() -> None:
    """Each name that `docker compose` is given stands in its file."""
    compose = (ROOT / "docker-compose.yml").read_text().split("\nservices:\n")[1]
    services = set(re.findall(r"^  ([a-z-]+):$", compose, re.MULTILINE))
    given = re.findall(
        r"docker compose (?:stop|restart|up -d|logs --tail 50|run --rm|exec -T)"
        r"((?: [a-z]+)*)",
        TEXT,
    )
    named = {word for words in given for word in words.split()}

    assert {"api", "worker", "postgres", "temporal", "migrate"} <= named
    assert named - {"pg", "status"} <= services


def test_links_lead_somewhere() -> None:
    """Every heading and file that a step sends one to exists."""
    headings = {
        re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-")
        for line in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    }
    targets = re.findall(r"\]\(([^)]+)\)", TEXT)

    assert {one[1:] for one in targets if one.startswith("#")} <= headings
    files = [one for one in targets if not one.startswith("#")]
    assert [one for one in files if not (ROOT / "docs" / one).exists()] == []
