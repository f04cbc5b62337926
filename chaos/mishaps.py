"""Makes the planned mishaps happen, one after the other, and all well at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import httpx
import psycopg
from temporalio.client import Client
from temporalio.service import RPCError

from chaos.plan import Mishap, Trouble
from stack.driver import Stack
from stack.environment import REPOSITORY
from stack.errors import StackError
from tests.durability.counting import connect_owner

#: A child that is not healthy by then is a finding of its own.
_BACK_WITHIN_SECONDS = 90.0

_QUIET_WEBHOOKS = {
    "mode": "on",
    "duplicate": 0,
    "shuffle": False,
    "delay_seconds": 0.0,
}

_CUT = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE pid <> pg_backend_pid() AND usename = current_user
"""


_CHARGED_LAST = """
SELECT reference_code FROM checkouts WHERE stage = 'charged'
 ORDER BY charged_at DESC LIMIT 1
"""


def run_command(stack: Stack, *arguments: str) -> None:
    """Run one of the operator's commands against the stack.

    Raises:
        subprocess.CalledProcessError: It ended with another code than 0.
    """
    subprocess.run(
        [sys.executable, "cli.py", *arguments, "--data", stack.at.data],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        timeout=60,
    )


class _NothingToBreak(Exception):
    """What the mishap is for was not there."""


#: How it shows that what a mishap was meant for is down, or not there, at the moment.
_IMPOSSIBLE = (
    httpx.HTTPError,
    psycopg.Error,
    RPCError,
    subprocess.CalledProcessError,
    _NothingToBreak,
)


class Mishaps:
    """Carries out a plan's mishaps against a stack, in a thread of its own.

    Attributes:
        log: A line for each that happened, with its second.
        done: The mishaps that happened.
        not_back: Children that did not come back in time, each in a sentence.
    """

    def __init__(
        self, stack: Stack, planned: tuple[Mishap, ...], tell: Callable[[str], None]
    ) -> None:
        self._stack = stack
        self._planned = planned
        self._tell = tell
        self.log: list[str] = []
        self.done: list[Mishap] = []
        self.not_back: list[str] = []
        self._stop = threading.Event()
        self._started = time.monotonic()
        #: When the webhooks behave again, in monotonic seconds.
        self._webhooks_until: float | None = None

    def run(self) -> None:
        """Let them happen in their time; those that take long move the later ones."""
        self._started = time.monotonic()
        for mishap in self._planned:
            self._wait_until(self._started + mishap.at)
            if self._stop.is_set():
                return
            try:
                self._happen(mishap)
            except _IMPOSSIBLE as error:
                self._note(f"{mishap}: not possible now ({type(error).__name__})")
                continue
            self.done.append(mishap)
            self._note(str(mishap))

    def stop(self) -> None:
        """Let no further mishap happen."""
        self._stop.set()

    def calm(self) -> None:
        """Disarm everything, and wait until every child is up."""
        for name in self._stack.control.status()["children"]:
            self._wait_up(name)
        at = self._stack.at
        for server in (at.processor, at.application, at.mailbox):
            httpx.delete(
                f"{server}/sandbox/faults", trust_env=False, timeout=20
            ).raise_for_status()
        self._switch_webhooks(_QUIET_WEBHOOKS)

    def _happen(self, mishap: Mishap) -> None:
        acts: dict[Trouble, Callable[[Mishap], None]] = {
            Trouble.KILL: self._kill,
            Trouble.FREEZE: self._freeze,
            Trouble.DOWN: self._keep_down,
            Trouble.CUT: self._cut,
            Trouble.LOST_RUN: self._lose_a_run,
            Trouble.REPAIR: self._repair,
            Trouble.WEBHOOKS: self._disturb_webhooks,
            Trouble.PROCESSOR: lambda it: self._arm(self._stack.at.processor, it),
            Trouble.APPLICATION: lambda it: self._arm(self._stack.at.application, it),
            Trouble.MAIL: lambda it: self._arm(self._stack.at.mailbox, it),
        }
        acts[mishap.trouble](mishap)

    def _kill(self, mishap: Mishap) -> None:
        """Kill them all at once; the supervisor starts them again."""
        for name in mishap.targets:
            self._stack.kill(name)
        for name in mishap.targets:
            self._wait_up(name)

    def _keep_down(self, mishap: Mishap) -> None:
        for name in mishap.targets:
            self._stack.stop_child(name, roughly=True)
        self._wait_until(time.monotonic() + mishap.seconds)
        for name in mishap.targets:
            self._stack.start_child(name)

    def _cut(self, _: Mishap) -> None:
        # The application's role may end its own sessions, and no others.
        url = self._stack.at.database_url.replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            connection.execute(_CUT.encode())

    def _lose_a_run(self, _: Mishap) -> None:
        asyncio.run(self._terminate_newest())

    def _repair(self, _: Mishap) -> None:
        """Ask for a repair of what was charged last, as a colleague in a hurry does."""
        with connect_owner(self._stack) as connection:
            found = connection.execute(_CHARGED_LAST.encode()).fetchone()
        if found is None:
            raise _NothingToBreak
        why = ("--reason", "chaos", "--actor", "dana")
        run_command(self._stack, "repair", str(found[0]), *why)

    def _disturb_webhooks(self, mishap: Mishap) -> None:
        self._switch_webhooks({**_QUIET_WEBHOOKS, **mishap.asks})
        self._webhooks_until = time.monotonic() + mishap.seconds

    def _freeze(self, mishap: Mishap) -> None:
        pids = [self._stack.pid(name) for name in mishap.targets]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            self._wait_until(time.monotonic() + mishap.seconds)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def _arm(self, server: str, mishap: Mishap) -> None:
        reply = httpx.post(
            f"{server}/sandbox/faults", json=mishap.asks, trust_env=False, timeout=20
        )
        reply.raise_for_status()

    def _switch_webhooks(self, switches: dict[str, object]) -> None:
        reply = httpx.post(
            f"{self._stack.at.processor}/sandbox/webhooks",
            json=switches,
            trust_env=False,
            timeout=20,
        )
        reply.raise_for_status()

    async def _terminate_newest(self) -> None:
        """End the newest running checkout as a person can in Temporal's UI."""
        at = self._stack.at
        client = await Client.connect(
            at.temporal_address, namespace=at.temporal_namespace
        )
        query = "WorkflowType = 'CheckoutWorkflow' AND ExecutionStatus = 'Running'"
        async for running in client.list_workflows(query, limit=1):
            handle = client.get_workflow_handle(running.id, run_id=running.run_id)
            await handle.terminate("chaos")
            return
        raise _NothingToBreak

    def _wait_up(self, name: str) -> None:
        deadline = time.monotonic() + _BACK_WITHIN_SECONDS
        while time.monotonic() < deadline:
            children = self._stack.control.status()["children"]
            if children[name] is not None:
                try:
                    # It is known to the driver only once it is healthy.
                    if self._stack.pid(name) == children[name]:
                        return
                except StackError:
                    pass
            time.sleep(0.05)
        self.not_back.append(f"{name} is not up after {_BACK_WITHIN_SECONDS:.0f} s")

    def _wait_until(self, at: float) -> None:
        while (left := at - time.monotonic()) > 0 and not self._stop.is_set():
            due = self._webhooks_until
            if due is not None and due <= time.monotonic():
                self._webhooks_until = None
                self._switch_webhooks(_QUIET_WEBHOOKS)
            self._stop.wait(min(left, 0.25))

    def _note(self, line: str) -> None:
        second = time.monotonic() - self._started
        self.log.append(f"{second:6.1f} s  {line}")
        self._tell(self.log[-1])
