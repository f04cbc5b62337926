"""`cli.py staff` and `cli.py audit`, as an operator types them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Database

pytestmark = pytest.mark.postgres

REPOSITORY = Path(__file__).parents[2]

SETTINGS = {
    "HOLDFAST_ENV_FILE": "",
    "HOLDFAST_ENVIRONMENT": "development",
    "HOLDFAST_PUBLIC_URL": "https://shop.example",
    "HOLDFAST_SECRET_KEYS": "Xq3vXo01pZcKf9LmN7bTs5RwYhU2jGdEaI8",
    "STRIPE_API_KEY": "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
    "HOLDFAST_PROVISIONING_URL": "https://app.acme.test/holdfast",
    "HOLDFAST_PROVISIONING_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "HOLDFAST_APPLICATION_URL": "https://app.acme.test/",
}


def cli(
    database: Database, *arguments: str, has_owner: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command of `cli.py` on a database."""
    environment = SETTINGS | {
        "PATH": os.environ["PATH"],
        "HOLDFAST_DATABASE_URL": database.app_url,
    }
    if has_owner:
        environment["HOLDFAST_MIGRATION_DATABASE_URL"] = database.owner_url
    return subprocess.run(
        [sys.executable, "cli.py", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_an_operator_makes_lists_resets_and_closes(database: Database) -> None:
    """Link and code are told once, and everything is in the audit."""
    act = ("--actor", "olga")
    made = cli(database, "staff", "add", "dana", "--role", "support", *act)
    again = cli(database, "staff", "add", "dana", "--role", "owner", *act)
    listed = cli(database, "staff", "list")
    reset = cli(database, "staff", "reset", "dana", *act)
    closed = cli(database, "staff", "disable", "dana", *act)
    unknown = cli(database, "staff", "disable", "eve", *act)
    after = cli(database, "staff", "list")
    audit = cli(database, "audit", "verify")

    link = r"https://shop\.example/support/setup/([\w-]{43})\n"
    first, second = re.search(link, made.stdout), re.search(link, reset.stdout)
    assert first is not None, made.stdout + made.stderr
    assert second is not None, reset.stdout + reset.stderr
    assert first[1] != second[1]
    assert "otpauth://totp/Acme:dana?secret=" in made.stdout
    assert "works once, within 24 hours" in made.stdout
    assert again.returncode == 1
    assert "staff reset dana" in again.stderr
    assert re.search(r"dana +support +Dana +may be set up until", listed.stdout)
    assert "signed out everywhere" in closed.stdout
    assert "No account is called eve" in unknown.stderr
    assert re.search(r"dana +support +Dana +closed", after.stdout)
    assert audit.stdout.startswith("The chain holds: 3 rows."), audit.stderr
    with database.connect_as_owner() as owner:
        rows = owner.execute(
            "SELECT actor, action, about ->> 'account' FROM staff_actions"
            " ORDER BY action_id"
        ).fetchall()
    assert rows == [
        ("olga", "account.added", "dana"),
        ("olga", "account.reset", "dana"),
        ("olga", "account.disabled", "dana"),
    ]


def test_no_secret_is_kept_or_repeated(database: Database) -> None:
    """Neither link nor code can be read from the database afterwards."""
    made = cli(database, "staff", "add", "dana", "--role", "read", "--actor", "olga")
    token = re.search(r"setup/([\w-]{43})", made.stdout)
    secret = re.search(r"secret=(\w+)", made.stdout)
    assert token is not None
    assert secret is not None

    with database.connect_as_owner() as owner:
        kept = str(owner.execute("SELECT s::text FROM staff s").fetchall())
        told = str(owner.execute("SELECT a::text FROM staff_actions a").fetchall())

    for word in (token[1], secret[1]):
        assert word not in kept + told
    assert secret[1] not in cli(database, "staff", "list").stdout


def test_without_the_owning_role_no_account_is_made(database: Database) -> None:
    """One sentence says which setting is missing, and why."""
    answer = cli(database, "staff", "add", "dana", "--role", "owner", has_owner=False)

    assert answer.returncode == 1
    assert answer.stderr.startswith("HOLDFAST_MIGRATION_DATABASE_URL is not set")


@pytest.mark.parametrize("name", ["Dana", "d", "dana smith", "dana'--", "1dana"])
def test_a_name_that_cannot_be_one_is_refused(database: Database, name: str) -> None:
    """Names stand in the audit for ever, so they are plain."""
    answer = cli(database, "staff", "add", name, "--role", "read", "--actor", "olga")

    assert answer.returncode == 1
    assert "small letters" in answer.stderr


def test_a_broken_chain_is_told_row_by_row(database: Database) -> None:
    """Exit code 1, and where; a noted row that is gone is noticed too."""
    for name in ("dana", "eli", "kim"):
        cli(database, "staff", "add", name, "--role", "read", "--actor", "olga")
    whole = cli(database, "audit", "verify")
    head = whole.stdout.splitlines()[-1].strip()
    with database.connect_as_owner() as owner:
        owner.execute("ALTER TABLE staff_actions DISABLE TRIGGER refuse_rewriting")
        owner.execute("UPDATE staff_actions SET actor = 'eve' WHERE action_id = 2")
        owner.execute("DELETE FROM staff_actions WHERE action_id = 3")
        owner.execute("ALTER TABLE staff_actions ENABLE TRIGGER refuse_rewriting")

    broken = cli(database, "audit", "verify", "--noted", head)
    typo = cli(database, "audit", "verify", "--noted", "3:nonsense")

    assert head.startswith("3:")
    assert (whole.returncode, broken.returncode, typo.returncode) == (0, 1, 2)
    assert broken.stdout.splitlines() == [
        "The chain is broken.",
        "Row 2 is not as it was written.",
        "The end was cut off: row 3 was noted, and the last is 2.",
    ]
