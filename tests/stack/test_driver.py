"""How long a program waits for a stack: building does not count, silence does."""

from __future__ import annotations

import fcntl
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest

from stack import places
from stack.driver import Stack, StackAddresses, run_stack
from stack.errors import StackError
from stack.places import exclusive

#: Tells of its progress for longer than anybody would wait in silence, then is ready.
_SLOW = """
import json, sys, time
for _ in range(int(sys.argv[1])):
    print(json.dumps({"event": "progress", "line": "Building …", "children": {}}))
    sys.stdout.flush()
    time.sleep(0.5)
print(sys.argv[2], flush=True)
sys.stdin.read()
time.sleep(60)
"""

_LIMIT_SECONDS = 1.5


@contextmanager
def _slow_stack(data: Path, steps: int, last_line: str) -> Iterator[Stack]:
    program = ("-c", _SLOW, str(steps), last_line)
    with run_stack(data, program=program, limit_seconds=_LIMIT_SECONDS) as stack:
        yield stack


def test_building_does_not_count_against_the_limit(tmp_path: Path) -> None:
    """A machine without the programs gets its stack, however long they take."""
    addresses = {field.name: "x" for field in fields(StackAddresses)}
    ready = json.dumps({"event": "ready", "children": {"api": 1}, **addresses})

    with _slow_stack(tmp_path, 6, ready) as stack:
        assert stack.pid("api") == 1


def test_silence_counts(tmp_path: Path) -> None:
    """A stack that tells nothing any more is given up."""
    nothing = json.dumps({"event": "progress", "children": {}})

    with (
        pytest.raises(StackError, match="2 s are over"),
        _slow_stack(tmp_path, 0, nothing),
    ):
        pass


def test_waiting_for_another_runs_build_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two starts at once build once, and the second says why it waits."""
    monkeypatch.setattr(places, "_SPEAK_EVERY_SECONDS", 0)
    spoke, said = threading.Event(), []
    entered = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        spoke.set()

    def wait_for_it() -> None:
        with exclusive(tmp_path / "lock", say):
            entered.set()

    with (tmp_path / "lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = threading.Thread(target=wait_for_it)
        waiting.start()
        assert spoke.wait(10)
        assert not entered.is_set()
    waiting.join(10)

    assert entered.is_set()
    assert said[0].startswith("Waiting for another run that gets it")
