"""Temporal is away around the press on Pay, and while the charge is under way."""

from __future__ import annotations

import time

import httpx

from stack.driver import Stack
from tests.durability.breaking import kept_down, processor_fault
from tests.durability.conftest import Recoveries
from tests.durability.counting import Purchase, connect_owner
from tests.durability.watching import CONFIRMING, WITHDRAWN

#: The start has a second; the rest is for the row and the way.
_ANSWERED_WITHIN_SECONDS = 1.5


def test_press_while_temporal_is_down_is_answered_and_kept(
    stack: Stack, purchase: Purchase, recoveries: Recoveries
) -> None:
    """The answer comes at once, the page confirms, and the start follows."""
    with kept_down(stack, "temporal", roughly=True):
        pressed_at = time.monotonic()
        reply = purchase.post_pay()
        answered_after = time.monotonic() - pressed_at
        purchase.watcher.wait_for(CONFIRMING)
    up_at = time.monotonic()
    recoveries["Temporal down at the press, up again"] = purchase.wait_whole() - up_at

    assert reply.status_code == httpx.codes.SEE_OTHER
    assert answered_after < _ANSWERED_WITHIN_SECONDS
    purchase.assert_whole()


def test_temporal_killed_right_before_the_press_loses_nothing(
    stack: Stack, purchase: Purchase, recoveries: Recoveries
) -> None:
    """The supervisor brings it back; the buyer only waits."""
    killed = stack.kill("temporal")
    died_at = time.monotonic()
    reply = purchase.post_pay()
    seconds = purchase.wait_whole() - died_at
    stack.wait_restarted("temporal", after_pid=killed)

    recoveries["Temporal killed right before the press"] = seconds
    assert reply.status_code == httpx.codes.SEE_OTHER
    purchase.assert_whole()


def test_temporal_killed_while_the_charge_is_held_charges_once(
    stack: Stack, purchase: Purchase, recoveries: Recoveries
) -> None:
    """What Temporal forgot of the charge is looked up at the processor."""
    with processor_fault(purchase, "act_then_hold") as charge:
        purchase.pay()
        charge.wait()
        killed = stack.kill("temporal")
        died_at = time.monotonic()
        stack.wait_restarted("temporal", after_pid=killed)
        charge.let_go()
        seconds = purchase.wait_whole() - died_at

    recoveries["Temporal killed after the charge"] = seconds
    purchase.assert_whole()


def test_request_older_than_two_minutes_is_withdrawn_with_proof(
    stack: Stack, purchase: Purchase
) -> None:
    """Nobody claimed it, so "not charged" is proven, and paying again is safe."""
    with kept_down(stack, "temporal"):
        purchase.post_pay()
        purchase.watcher.wait_for(CONFIRMING)
        _make_old(purchase)
        page = purchase.watcher.wait_for(WITHDRAWN)
        assert page.offers_payment
        assert purchase.requests() == []
    purchase.pay()
    purchase.wait_whole()

    purchase.assert_whole()


def _make_old(purchase: Purchase) -> None:
    """Let two minutes pass for the row alone."""
    with connect_owner(purchase.stack) as connection:
        connection.execute(
            "UPDATE checkouts SET pay_requested_at = now() - interval '3 minutes'"
            " WHERE checkout_id = %s",
            [purchase.checkout_id],
        )
