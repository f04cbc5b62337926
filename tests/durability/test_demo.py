"""The story that everything is built from, as a person plays it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from stack.environment import REPOSITORY
from tests.durability.conftest import Recoveries

#: The aim is ten; the rest is for a machine that does other things besides.
_AT_MOST_SECONDS = 15.0


@pytest.mark.timeout(180)
def test_demo_keeps_its_promise(recoveries: Recoveries) -> None:
    """Worker and API killed at the worst moment: one of everything, in seconds."""
    played = subprocess.run(
        [sys.executable, "cli.py", "demo", "--json"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    assert played.returncode == 0, played.stdout + played.stderr
    told = json.loads(played.stdout)
    recoveries["the demo: worker and API killed"] = told["seconds_to_whole"]
    assert set(told["counts"].values()) == {1}
    assert told["seconds_to_whole"] <= _AT_MOST_SECONDS
