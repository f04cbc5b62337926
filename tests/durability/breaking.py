"""Where a process can be caught: at an effect, before it or after it.

Each catch waits for the very moment, holds the world there, and lets go. None sleeps;
where PostgreSQL knows no event, its own view of waiting locks is asked again and again.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, Self

import httpx

from stack.driver import Stack
from tests.durability.counting import Purchase, connect_owner, get_json

#: A process that has not come here by then is not going to.
_REACHED_WITHIN_SECONDS = 30.0
_POLL_SECONDS = 0.02


class Catch(Protocol):
    """A place in the flow that can be reached and let go."""

    def wait(self) -> None:
        """Return when a process is caught there."""

    def let_go(self) -> None:
        """Let it go on, if it still lives."""


class Fault:
    """A fault switch of one of the sandbox's servers; gone when the block ends."""

    def __init__(self, server: str, wanted: dict[str, Any]) -> None:
        faults = f"{server}/sandbox/faults"
        reply = httpx.post(faults, json=wanted, trust_env=False)
        reply.raise_for_status()
        self._address = f"{faults}/{reply.json()['id']}"

    def __enter__(self) -> Self:
        """It is armed already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Disarm it, and let go what it holds."""
        httpx.delete(self._address, trust_env=False)

    def wait(self) -> None:
        """Return when it was hit."""
        found = get_json(
            self._address, wait="hit", timeout=str(_REACHED_WITHIN_SECONDS)
        )
        assert found["hits"] >= 1, f"Nobody met the fault {found}."

    def wait_deserted(self) -> None:
        """Return when the server has seen that those whom it held are dead.

        A signal only asks for a death. A mail server that is let go sooner still
        believes in its sender, and keeps the mail.
        """
        found = get_json(
            self._address, wait="free", timeout=str(_REACHED_WITHIN_SECONDS)
        )
        assert found["held"] == 0, f"Somebody still waits at {found}."

    def let_go(self) -> None:
        """Release what it holds."""
        reply = httpx.post(f"{self._address}/release", trust_env=False, timeout=20)
        reply.raise_for_status()

    @property
    def hits(self) -> int:
        """How often it was met."""
        return int(get_json(self._address)["hits"])


def processor_fault(
    purchase: Purchase, action: str, *, path: str = "/confirm$", **more: Any
) -> Fault:
    """Arm a fault for this checkout at the processor: for its confirmation, or so."""
    match = {
        "method": "POST",
        "path_regex": path,
        "checkout_id": str(purchase.checkout_id),
    }
    wanted = {"action": action, "match": match, **more}
    return Fault(purchase.stack.at.processor, wanted)


def application_fault(purchase: Purchase, action: str, **more: Any) -> Fault:
    """Arm a fault for this buyer in the company's application."""
    wanted = {"action": action, "email": purchase.email, **more}
    return Fault(purchase.stack.at.application, wanted)


def mailbox_fault(purchase: Purchase, action: str, **more: Any) -> Fault:
    """Arm a fault for mails to this buyer."""
    wanted = {"action": action, "to": purchase.email, **more}
    return Fault(purchase.stack.at.mailbox, wanted)


class OrdersLocked:
    """The orders table, locked by its owner until let go.

    Args:
        stack: Where.
        mode: `EXCLUSIVE` keeps writers out, `ACCESS EXCLUSIVE` readers too.
    """

    def __init__(self, stack: Stack, mode: str = "EXCLUSIVE") -> None:
        self._stack = stack
        self._connection = connect_owner(stack)
        self._connection.autocommit = False
        self._connection.execute(f"LOCK TABLE orders IN {mode} MODE".encode())

    def __enter__(self) -> Self:
        """It is locked already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unlock it."""
        self._connection.close()

    def wait(self) -> None:
        """Return when a writer waits for the table."""
        _wait_for_lock(
            self._stack,
            "locktype = 'relation' AND relation = 'orders'::regclass"
            " AND mode = 'RowExclusiveLock'",
        )

    def let_go(self) -> None:
        """Unlock it."""
        self._connection.rollback()


class RowLocked:
    """The checkout's row, locked by the owner until let go."""

    def __init__(self, purchase: Purchase) -> None:
        self._stack = purchase.stack
        self._connection = connect_owner(purchase.stack)
        self._connection.autocommit = False
        self._connection.execute(
            "SELECT 1 FROM checkouts WHERE checkout_id = %s FOR UPDATE",
            [purchase.checkout_id],
        )

    def __enter__(self) -> Self:
        """It is locked already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unlock it."""
        self._connection.close()

    def wait(self) -> None:
        """Return when a writer waits for the row."""
        _wait_for_lock(self._stack, "locktype = 'transactionid'")

    def let_go(self) -> None:
        """Unlock it."""
        self._connection.rollback()


class CommitHeld:
    """The order's COMMIT, held inside PostgreSQL by a deferred trigger.

    The trigger waits for an advisory lock of ours, so the writer has sent its COMMIT
    and hears nothing. PostgreSQL does not notice that the client has died meanwhile:
    let go, the commit takes effect.
    """

    _LOCK = 7_231

    def __init__(self, purchase: Purchase) -> None:
        self._purchase = purchase
        self._stack = purchase.stack
        self._connection = connect_owner(purchase.stack)
        for statement in (
            f"SELECT pg_advisory_lock({self._LOCK})",
            "CREATE FUNCTION hold_commit() RETURNS trigger LANGUAGE plpgsql AS"
            f" 'BEGIN PERFORM pg_advisory_xact_lock({self._LOCK});"
            " RETURN NULL; END'",
            "CREATE CONSTRAINT TRIGGER hold_commit AFTER INSERT ON orders"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
            f" WHEN (NEW.checkout_id = '{purchase.checkout_id}')"
            " EXECUTE FUNCTION hold_commit()",
        ):
            self._connection.execute(statement.encode())

    def __enter__(self) -> Self:
        """It waits already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the trigger away again."""
        self._connection.execute("DROP FUNCTION hold_commit() CASCADE")
        self._connection.close()

    def wait(self) -> None:
        """Return when a session is inside its COMMIT."""
        _wait_for_lock(self._stack, f"locktype = 'advisory' AND objid = {self._LOCK}")

    def let_go(self) -> None:
        """Let the commit take effect; the order is there on return."""
        self._connection.execute(f"SELECT pg_advisory_unlock({self._LOCK})".encode())
        # Nobody else can have written it: a new worker needs seconds to come here.
        wait_until(
            lambda: self._purchase.count_rows("orders") == 1,
            "the held commit to take effect",
            limit_seconds=3,
        )


def _wait_for_lock(stack: Stack, condition: str) -> None:
    query = f"SELECT 1 FROM pg_locks WHERE NOT granted AND {condition}"  # noqa: S608  # The tests' own words.
    with connect_owner(stack) as connection:
        wait_until(
            lambda: connection.execute(query.encode()).fetchone() is not None,
            f"a session to wait for: {condition}",
        )


def wait_until(
    is_so: Callable[[], bool],
    what: str,
    *,
    limit_seconds: float = _REACHED_WITHIN_SECONDS,
) -> None:
    """Ask again and again, where there is no event to wait for."""
    deadline = time.monotonic() + limit_seconds
    while not is_so():
        assert time.monotonic() < deadline, f"Waited {limit_seconds} s for {what}."
        time.sleep(_POLL_SECONDS)


@contextmanager
def catch(purchase: Purchase, step: str, moment: str) -> Iterator[Catch]:
    """Arm the catch at a step's effect, `before` or `after` it."""
    if step == "order":
        stack = purchase.stack
        caught = OrdersLocked(stack) if moment == "before" else CommitHeld(purchase)
        with caught:
            yield caught
        return
    arm, before, after = {
        "charge": (processor_fault, "hold_then_act", "act_then_hold"),
        "provision": (application_fault, "hold_then_act", "act_then_hold"),
        "receipt": (mailbox_fault, "hold_before_accept", "accept_then_hold"),
    }[step]
    with arm(purchase, before if moment == "before" else after) as fault:
        yield fault


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Freeze a process for the time of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def kept_down(stack: Stack, name: str, *, roughly: bool = False) -> Iterator[None]:
    """Keep a child down for the time of the block; it is healthy afterwards."""
    stack.stop_child(name, roughly=roughly)
    try:
        yield
    finally:
        stack.start_child(name)


@contextmanager
def second_worker(stack: Stack) -> Iterator[str]:
    """Have one more worker for the time of the block; its name."""
    name = "worker-2"
    with ExitStack() as cleanup:
        cleanup.callback(lambda: stack.stop_child(name))
        if name in stack.control.status()["children"]:
            stack.start_child(name)
        else:
            assert stack.add_worker() == name
        yield name
