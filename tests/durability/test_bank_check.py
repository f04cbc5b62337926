"""The buyer is asked by the bank, or declined, and the worker is dead meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from stack.driver import Stack
from tests.durability.breaking import kept_down
from tests.durability.counting import Purchase
from tests.durability.watching import BANK_CHECK

_ASKS = "pm_card_threeDSecure2Required"
_DECLINED = "Your bank declined the card. You have not been charged."


@contextmanager
def _webhooks(stack: Stack, mode: str) -> Iterator[None]:
    """Have the processor's events delivered, or withheld and never sent."""
    switches = f"{stack.at.processor}/sandbox/webhooks"
    httpx.post(switches, json={"mode": mode}, trust_env=False).raise_for_status()
    try:
        yield
    finally:
        httpx.post(switches, json={"mode": "on"}, trust_env=False)


def _approve(purchase: Purchase) -> str:
    """Answer the bank's question with yes; where the bank sends the buyer then."""
    look = purchase.watcher.wait_for(BANK_CHECK)
    assert "Go to your bank's page" in look.text
    answer = httpx.post(
        purchase.row("next_action_url"), data={"answer": "approve"}, trust_env=False
    )
    assert answer.status_code == httpx.codes.SEE_OTHER
    return answer.headers["location"]


@pytest.mark.parametrize("news", ["webhook", "return", "none"])
def test_approval_while_the_worker_is_dead_is_found(
    stack: Stack, purchase: Purchase, news: str
) -> None:
    """The webhook tells, or the buyer's return, or the workflow looks by itself."""
    with _webhooks(stack, "on" if news == "webhook" else "off"):
        purchase.pay(_ASKS)
        purchase.watcher.wait_for(BANK_CHECK)
        with kept_down(stack, "worker", roughly=True):
            back = _approve(purchase)
            if news == "return":
                httpx.get(back, follow_redirects=True, trust_env=False)
        purchase.wait_whole()

    purchase.assert_whole()


def test_declined_then_killed_then_another_card_is_one_charge(
    stack: Stack, purchase: Purchase
) -> None:
    """After a decline the next card meets a new worker, and the same PaymentIntent."""
    purchase.pay("pm_card_visa_chargeDeclined")
    purchase.watcher.wait_for(_DECLINED)
    stack.kill_and_wait("worker")
    purchase.pay()
    purchase.wait_whole()

    purchase.assert_whole()
