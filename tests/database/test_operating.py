"""The operator's commands, as an operator gives them, on a real database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.places import DataFolder, write_private
from stack.postgres import APP_ROLE, app_url_of
from tests.conftest import Database
from tests.database.conftest import OpenCheckout
from tests.unit.test_operators_image import in_the_image

pytestmark = pytest.mark.postgres

REPOSITORY = Path(__file__).parents[2]


def cli(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `cli.py` on a database."""
    return subprocess.run(
        [sys.executable, "cli.py", *arguments],
        cwd=REPOSITORY,
        env={
            "PATH": os.environ["PATH"],
            "HOLDFAST_ENV_FILE": "",
            "HOLDFAST_DATABASE_URL": database_url,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_an_operator_pauses_looks_and_resumes(
    database: Database, open_checkout: OpenCheckout
) -> None:
    """Three commands, each saying what is true now; the audit has who and why."""
    await open_checkout()

    paused = cli(
        database.app_url, "pause", "--reason", "charged twice", "--actor", "dana"
    )
    again = cli(database.app_url, "pause", "--reason", "me too", "--actor", "eli")
    looked = cli(database.app_url, "status")
    as_json = json.loads(cli(database.app_url, "status", "--json").stdout)
    resumed = cli(database.app_url, "resume", "--actor", "dana")
    nothing = cli(database.app_url, "resume", "--actor", "dana")

    assert paused.stdout.startswith("New payments are paused since ")
    assert "already, by dana: charged twice" in again.stdout
    assert "by dana: charged twice" in looked.stdout
    assert "money NOT_CHARGED, access NONE" in looked.stdout
    assert as_json["paused"]["actor"] == "dana"
    assert as_json["checkouts"] == [
        {"money": "NOT_CHARGED", "access": "NONE", "count": 1}
    ]
    assert as_json["promises_overdue"] == 0
    assert "taken again" in resumed.stdout
    assert "were not paused" in nothing.stdout
    done = (paused, again, looked, resumed, nothing)
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 5
    with database.connect_as_owner() as owner:
        lines = owner.execute(
            "SELECT actor, action FROM audit WHERE action LIKE 'payments.%%'"
            " ORDER BY audit_id"
        ).fetchall()
    assert lines == [("dana", "payments.paused"), ("dana", "payments.resumed")]


def test_the_image_holds_what_the_commands_need(database: Database) -> None:
    """They do their work with the production image's packages and folders alone."""
    done = [
        in_the_image(*words, database_url=database.app_url)
        for words in (
            ("pause", "--reason", "x", "--actor", "dana"),
            ("status", "--json"),
            ("events", "list"),
            ("resume", "--actor", "dana"),
        )
    ]

    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 4
    assert json.loads(done[1].stdout)["paused"]["actor"] == "dana"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+psycopg://x:hunter22@127.0.0.1:1/none", "did not answer"),
        ("", "HOLDFAST_DATABASE_URL must be set"),
        ("postgresql://x:hunter22@127.0.0.1:1/none", "must be set, and begin with"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(url: str, said: str) -> None:
    """No trace and no password at three in the morning; the exit code says so too."""
    done = cli(url, "pause", "--reason", "x")

    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "hunter22" not in done.stderr


def test_a_stack_of_ones_own_is_found_by_its_folder(tmp_path: Path) -> None:
    """`--data` leads to the database that `run` started there, and to no other."""
    with pytest.raises(StackError, match="No stack has run"):
        app_url_of(tmp_path / "elsewhere")
    folder = DataFolder.open(tmp_path)
    password = folder.secrets().app_password
    write_private(tmp_path / "addresses.json", {"postgres": 20001})

    found = app_url_of(tmp_path)

    assert found == (
        f"postgresql+psycopg://{APP_ROLE}:{password}@127.0.0.1:20001/holdfast"
    )
    assert not (tmp_path / "elsewhere").exists()
