"""The worker dies by SIGKILL, before and after each effect of a purchase."""

from __future__ import annotations

import time

import pytest

from stack.driver import Stack
from tests.durability.breaking import Fault, catch
from tests.durability.conftest import Recoveries
from tests.durability.counting import Purchase

#: The aim is ten; the rest is for a machine that does other things besides.
_AT_MOST_SECONDS = 15.0


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["charge", "order", "provision", "receipt"])
def test_killed_worker_leaves_exactly_one_of_everything(
    stack: Stack, purchase: Purchase, recoveries: Recoveries, step: str, moment: str
) -> None:
    """Killed at any effect, the purchase is whole within seconds, and only once."""
    with catch(purchase, step, moment) as caught:
        purchase.pay()
        caught.wait()
        killed = stack.kill("worker")
        died_at = time.monotonic()
        if step == "receipt" and moment == "before":
            # Or the mail that nobody is sending any more would be kept after all.
            assert isinstance(caught, Fault)
            caught.wait_deserted()
        caught.let_go()
        if step == "charge":
            # The worker is dead, and yet the request it sent has moved the money.
            assert len(purchase.charges()) == 1

        seconds = purchase.wait_whole() - died_at
    stack.wait_restarted("worker", after_pid=killed)

    recoveries[f"worker killed {moment} the {step}"] = seconds
    lost_acknowledgement = (step, moment) == ("receipt", "after")
    purchase.assert_whole(most_copies=2 if lost_acknowledgement else 1)
    assert seconds <= _AT_MOST_SECONDS
