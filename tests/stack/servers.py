"""Starting one of the sandbox's servers as the stack starts it: as a process."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from stack.environment import REPOSITORY
from stack.processes import Launch, last_lines, start


@contextmanager
def server(*arguments: str, home: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``python -m …`` until the block ends; it answers at ``home`` by then."""
    launch = Launch(command=[sys.executable, "-m", *arguments], folder=REPOSITORY)
    process = start(launch, log=log)
    try:
        _await_answer(process, home, log)
        yield process
    finally:
        process.terminate()
        process.wait(10)


def _await_answer(process: subprocess.Popen[bytes], home: str, log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            httpx.get(f"{home}/healthz", trust_env=False)
            return
        except httpx.TransportError:
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise AssertionError(last_lines(log, 20)) from None
            time.sleep(0.02)
