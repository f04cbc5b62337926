"""`cli.py on-call show` and `cli.py drill`, as an operator gives them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from database.oncall import write_incidents
from stack.places import free_port
from tests.conftest import Database
from tests.database.test_oncall import _record
from tests.unit.test_settings import GOOD

pytestmark = pytest.mark.postgres

REPOSITORY = Path(__file__).parents[2]


def cli(
    database: Database, *arguments: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of `cli.py` with these settings."""
    return subprocess.run(
        [sys.executable, "cli.py", *arguments],
        cwd=REPOSITORY,
        env={
            **GOOD,
            "PATH": os.environ["PATH"],
            "NO_PROXY": "127.0.0.1",
            "HOLDFAST_ENV_FILE": "",
            "HOLDFAST_DATABASE_URL": database.app_url,
            **settings,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_what_is_open_and_the_budget_are_shown(
    database: Database, engine: AsyncEngine
) -> None:
    """Also with Temporal away, and with nothing to show."""
    empty = cli(database, "on-call", "show")
    async with engine.begin() as connection:
        await write_incidents(connection, [_record(1, "3 customers, $747.00")])
    shown = cli(database, "on-call", "show")
    as_json = json.loads(cli(database, "on-call", "show", "--json").stdout)

    assert empty.stdout.startswith("Nothing is wrong.")
    assert "000000  3 customers, $747.00" in shown.stdout
    assert "0 of 2 pages at night this month" in shown.stdout
    assert "Nobody would be told: no on-call channel is set." in shown.stdout
    assert as_json["incidents"][0]["code"] == "000000"
    assert as_json["night_pages_a_month"] == 2
    assert as_json["gap"].startswith("Nobody")


async def test_an_answer_without_temporal_is_one_sentence(database: Database) -> None:
    """Unknown, never failed; and where to look."""
    away = {"TEMPORAL_ADDRESS": f"127.0.0.1:{free_port()}"}
    done = cli(database, "on-call", "ack", "000000", "--actor", "dana", **away)

    assert (done.returncode, done.stdout) == (1, "")
    assert "it may have been taken" in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def test_a_drill_keeps_what_did_not_arrive(database: Database) -> None:
    """A rehearsal that failed is a result as well, and the exit code says so."""
    way = f"all.page=json://127.0.0.1:{free_port()}/"
    done = cli(database, "drill", "--actor", "dana", HOLDFAST_ON_CALL_CHANNELS=way)
    without = cli(database, "drill", "--actor", "dana")

    assert done.returncode == 1
    assert "NOT TAKEN  all.page 1 (json)" in done.stdout
    assert "Nobody would be told" in without.stdout
    assert without.returncode == 1
    with database.connect_as_owner() as owner:
        rows = owner.execute(
            "SELECT actor, results, is_whole FROM drills ORDER BY at"
        ).fetchall()
    assert rows == [
        ("dana", {"all.page 1 (json)": False}, False),
        ("dana", {}, False),
    ]
