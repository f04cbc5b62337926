"""The orders table is locked for some seconds: a migration, a backup, a mistake."""

from __future__ import annotations

import time

import pytest

from stack.driver import Stack
from tests.durability.breaking import OrdersLocked, processor_fault
from tests.durability.conftest import Recoveries
from tests.durability.counting import Purchase
from tests.durability.watching import HOLDING, RECEIVED

_LOCKED_SECONDS = 6.0


@pytest.mark.parametrize(
    ("mode", "meanwhile"), [("EXCLUSIVE", RECEIVED), ("ACCESS EXCLUSIVE", HOLDING)]
)
def test_locked_orders_table_delays_and_loses_nothing(
    stack: Stack, purchase: Purchase, recoveries: Recoveries, mode: str, meanwhile: str
) -> None:
    """The page tells of the money while it can be read, and the order follows."""
    with processor_fault(purchase, "act_then_hold") as charge:
        purchase.pay()
        charge.wait()
        with OrdersLocked(stack, mode):
            locked_at = time.monotonic()
            charge.let_go()
            purchase.watcher.wait_for(meanwhile)
            left = _LOCKED_SECONDS - (time.monotonic() - locked_at)
            purchase.watcher.wait_seconds(max(0.0, left))
        unlocked_at = time.monotonic()

    recoveries[f"orders unlocked ({mode})"] = purchase.wait_whole() - unlocked_at
    purchase.assert_whole()
