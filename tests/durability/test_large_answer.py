"""Killing is not the only death: an answer larger than a history may hold."""

from __future__ import annotations

from tests.durability.breaking import application_fault
from tests.durability.counting import Purchase


def test_answer_of_three_megabytes_loses_nothing(purchase: Purchase) -> None:
    """What the application says too much is not kept; that it opened access is."""
    with application_fault(purchase, "huge_answer") as fault:
        purchase.pay()
        fault.wait()
        purchase.wait_whole()

    purchase.assert_whole()
    # The one large answer was understood as a yes, so nobody asked again.
    assert purchase.application_calls() == 1
