"""A worker is frozen past its time, another one finishes, then it is thawed.

A process that comes back from SIGSTOP does not know that it was gone: it goes on in the
middle of the call it was frozen in, and its answers come too late.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from stack.driver import Stack
from tests.durability.breaking import (
    application_fault,
    catch,
    frozen,
    second_worker,
)
from tests.durability.conftest import Recoveries
from tests.durability.counting import Purchase, open_purchase


@pytest.mark.parametrize(
    ("step", "moment", "first_try_fails"),
    [
        ("charge", "after", False),
        # The second try is a regular activity, with heartbeats and a task of its own.
        ("provision", "after", True),
        ("receipt", "before", False),
    ],
    ids=["charge", "provision-retried", "receipt"],
)
def test_thawed_worker_repeats_nothing(
    stack: Stack,
    purchase: Purchase,
    recoveries: Recoveries,
    step: str,
    moment: str,
    *,
    first_try_fails: bool,
) -> None:
    """Late answers of a thawed worker change nothing that another has finished."""
    with ExitStack() as during:
        if first_try_fails:
            during.enter_context(application_fault(purchase, "error_500"))
        caught = during.enter_context(catch(purchase, step, moment))
        purchase.pay()
        caught.wait()
        with frozen(stack.pid("worker")):
            frozen_at = time.monotonic()
            during.enter_context(second_worker(stack))
            seconds = purchase.wait_whole() - frozen_at
            caught.let_go()
    _assert_alive_alone(stack)

    tried = "retried " if first_try_fails else ""
    recoveries[f"worker frozen at the {tried}{step}, another one added"] = seconds
    # The frozen worker had handed its mail over, and nobody took the answer.
    purchase.assert_whole(most_copies=2 if step == "receipt" else 1)


def _assert_alive_alone(stack: Stack) -> None:
    """The thawed worker, now the only one, delivers: it has come through its past."""
    with open_purchase(stack) as another:
        another.pay()
        another.wait_whole()
        another.assert_whole()
