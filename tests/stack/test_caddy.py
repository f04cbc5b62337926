"""Which Caddy is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack.caddy import find_caddy, known_caddy
from stack.errors import StackError


def _program(folder: Path, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / "caddy"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    return program


@pytest.fixture(autouse=True)
def _bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_CADDY", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_a_caddy_on_the_path_is_used_where_it_is_new_enough(tmp_path: Path) -> None:
    """What a distribution ships may be too old to read the Caddyfile."""
    program = _program(tmp_path / "bin", "2.6.2")
    assert known_caddy() is None

    program.write_text("#!/bin/sh\necho v2.8.4 h1:x=\n")
    assert known_caddy() == program


def test_the_one_that_is_named_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting decides, and a wrong one is a sentence."""
    _program(tmp_path / "bin", "v2.11.9")
    named = _program(tmp_path / "named", "v2.11.9")
    monkeypatch.setenv("HOLDFAST_CADDY", str(named))
    assert known_caddy() == named

    monkeypatch.setenv("HOLDFAST_CADDY", str(tmp_path / "nowhere"))
    with pytest.raises(StackError, match="which is no program"):
        known_caddy()


def test_without_any_way_it_says_what_to_do() -> None:
    """No Caddy and no Go: the sentence names what to install."""
    with pytest.raises(StackError, match="Install the `caddy` command"):
        find_caddy()
