"""The command line's first impression."""

import subprocess
import sys

import pytest

from stack.environment import REPOSITORY


def _cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "cli.py", *arguments]
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "demo",
        "doctor",
        "pause",
        "resume",
        "status",
        "resend",
        "repair",
        "reconcile",
        "drill",
        "on-call",
        "staff",
        "audit",
    ],
)
def test_every_command_explains_itself(command: str) -> None:
    """``--help`` answers, whatever else is missing on the machine."""
    answer = _cli(command, "--help")

    assert answer.returncode == 0
    assert "Usage: cli.py" in answer.stdout


def test_doctor_finds_what_the_stack_needs() -> None:
    """Where the tests run, Holdfast runs; doctor says so and exits 0."""
    answer = _cli("doctor")

    assert answer.returncode == 0, answer.stdout
    assert "Holdfast can run here" in answer.stdout
    # Needed by no machine, and yet the first thing that a real shop lacks.
    assert "On call" in answer.stdout


def test_refusal_is_one_line_without_a_trace() -> None:
    """A data folder that cannot be made costs a sentence, not a stack trace."""
    answer = _cli("run", "--data", "/dev/null/holdfast")

    assert answer.returncode == 1
    assert answer.stderr.startswith("The data folder /dev/null/holdfast cannot be made")
    assert len(answer.stderr.splitlines()) == 1
