"""PostgreSQL goes away at the worst moment: the money moved, nothing is written."""

from __future__ import annotations

import time

import pytest

from stack.driver import Stack
from tests.durability.breaking import kept_down, processor_fault
from tests.durability.conftest import Recoveries
from tests.durability.counting import Purchase
from tests.durability.watching import HOLDING

_DOWN_SECONDS = 30.0


def test_killed_right_after_the_charge_loses_nothing(
    stack: Stack, purchase: Purchase, recoveries: Recoveries
) -> None:
    """It recovers from its log, and the order is written after all."""
    with processor_fault(purchase, "act_then_hold") as charge:
        purchase.pay()
        charge.wait()
        killed = stack.kill("postgres")
        died_at = time.monotonic()
        charge.let_go()
        seconds = purchase.wait_whole() - died_at
    stack.wait_restarted("postgres", after_pid=killed)

    recoveries["PostgreSQL killed after the charge"] = seconds
    purchase.assert_whole()


@pytest.mark.timeout(180)
def test_down_for_thirty_seconds_after_the_charge_loses_nothing(
    stack: Stack, purchase: Purchase, recoveries: Recoveries
) -> None:
    """All the while the page asks not to pay again; then the purchase goes on."""
    with processor_fault(purchase, "act_then_hold") as charge:
        purchase.pay()
        charge.wait()
        with kept_down(stack, "postgres", roughly=True):
            charge.let_go()
            down_at = purchase.watcher.wait_for(HOLDING).ended_at
            purchase.watcher.wait_seconds(_DOWN_SECONDS)
            up_at, up = time.time(), time.monotonic()

    recoveries["PostgreSQL up after 30 s down"] = purchase.wait_whole() - up
    told = {
        look.headline
        for look in purchase.watcher.sightings
        if down_at <= look.began_at and look.ended_at <= up_at
    }
    assert told == {HOLDING}
    purchase.assert_whole()
