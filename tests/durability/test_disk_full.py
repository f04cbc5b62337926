"""The disk that holds everything is full: database, Temporal, sandbox, logs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psycopg
import pytest

from stack.driver import Stack, fresh_data_folder, run_stack
from stack.environment import REPOSITORY
from tests.durability.breaking import processor_fault
from tests.durability.conftest import Recoveries
from tests.durability.counting import open_purchase
from tests.durability.watching import HOLDING

#: A cluster, its first log segments, and little more.
_DISK_MEGABYTES = 200
_FULL_SECONDS = 5.0

_LOGS = """
from observability import logs
logs.configure("console")
logs.get_logger().warning("nobody will read this")
print("went on")
"""


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    """Mount a small disk on the folder, where that is permitted."""
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if mount is None or unmount is None:
        pytest.skip("A small disk needs mount(8) and umount(8).")
    options = f"size={_DISK_MEGABYTES}m,mode=0711"
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", options, "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"A small disk cannot be mounted here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run([unmount, "--lazy", folder], check=True)


@pytest.fixture
def stack_on_small_disk() -> Iterator[Stack]:
    """A stack of its own, all of it on a small disk."""
    with (
        fresh_data_folder() as data,
        _small_disk(data),
        run_stack(data) as running,
    ):
        yield running


@pytest.mark.timeout(180)
def test_full_disk_loses_nothing(
    stack_on_small_disk: Stack, recoveries: Recoveries
) -> None:
    """Charged while the disk is full: honest pages, and whole once there is room."""
    stack = stack_on_small_disk
    with (
        open_purchase(stack) as purchase,
        processor_fault(purchase, "act_then_hold") as charge,
    ):
        purchase.pay()
        charge.wait()
        ballast = _fill(stack)
        charge.let_go()
        purchase.watcher.wait_for(HOLDING)
        purchase.watcher.wait_seconds(_FULL_SECONDS)
        refused = _open_another(stack)
        ballast.unlink()
        freed_at = time.monotonic()
        seconds = purchase.wait_whole() - freed_at

        recoveries["room on a full disk again"] = seconds
        assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert "No payment was started here." in refused.text
        purchase.assert_whole()


def test_log_that_cannot_be_written_stops_nothing() -> None:
    """A line is lost on a full disk; the work that it tells of is not."""
    with Path("/dev/full").open("w") as full:
        told = subprocess.run(
            [sys.executable, "-c", _LOGS],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
        )

    assert told.stdout == "went on\n"


def _fill(stack: Stack) -> Path:
    """Fill the disk to the last byte, and use up what PostgreSQL has set aside."""
    ballast = Path(stack.at.data) / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(os.sysconf("SC_PAGE_SIZE")))
    with pytest.raises(psycopg.Error):
        _use_up_set_aside(stack)
    return ballast


def _use_up_set_aside(stack: Stack) -> None:
    """Write into PostgreSQL's log until a segment is full and the next has no room."""
    with _connect_superuser(stack) as connection:
        for _ in range(_DISK_MEGABYTES):
            connection.execute(
                "SELECT pg_logical_emit_message(true, '', repeat('x', 1000000))"
            )


def _connect_superuser(stack: Stack) -> psycopg.Connection[tuple[object, ...]]:
    known = json.loads((Path(stack.at.data) / "secrets.json").read_text())
    return psycopg.connect(
        stack.at.owner_database_url.replace("+psycopg", ""),
        user="postgres",
        password=known["postgres_password"],
        autocommit=True,
    )


def _open_another(stack: Stack) -> httpx.Response:
    """Try to begin another purchase."""
    return httpx.post(
        f"{stack.at.shop}/checkouts",
        data={"plan": "one-year", "email": "late@example.com"},
        headers={"Origin": stack.at.shop},
        trust_env=False,
        timeout=10,
    )
