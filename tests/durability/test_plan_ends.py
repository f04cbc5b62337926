"""A plan's time is over, and what has to end it dies in the middle of doing so."""

from __future__ import annotations

import time

import pytest

from stack.driver import Stack
from tests.durability.breaking import application_fault, wait_until
from tests.durability.conftest import Recoveries
from tests.durability.counting import Purchase, connect_owner, get_json

ENDED = "Your plan has ended."

#: A worker is back within seconds; the held call has ten of its own.
_WITHIN_SECONDS = 60.0


@pytest.mark.parametrize("action", ["hold_then_act", "act_then_hold"])
def test_killed_worker_ends_a_plan_once(
    stack: Stack, purchase: Purchase, recoveries: Recoveries, action: str
) -> None:
    """API and worker die at the end of a year; access ends once, and stays ended."""
    purchase.pay()
    purchase.wait_whole()
    with application_fault(purchase, action) as end:
        _let_the_year_pass(purchase)
        # A starter loop that begins sweeps at once; the minute is not waited for.
        stack.wait_restarted("api", after_pid=stack.kill("api"))
        end.wait()
        killed = stack.kill("worker")
        died_at = time.monotonic()
        end.let_go()
        purchase.watcher.wait_for(ENDED, limit_seconds=_WITHIN_SECONDS)
        recoveries[f"worker killed at the end of a plan ({action})"] = (
            time.monotonic() - died_at
        )
    stack.wait_restarted("worker", after_pid=killed)
    wait_until(lambda: bool(_outcomes(purchase)), "the repair to be recorded")

    assert _states(purchase) == [("expired", "ended", "ENDED", "CHARGED")]
    assert _outcomes(purchase) == ["ended: ended access: its time is over"]
    (access,) = get_json(
        f"{stack.at.application}/api/entitlements", email=purchase.email
    )["entitlements"]
    assert (access["state"], access["grants"]) == ("ended", 1)
    assert len(purchase.charges()) == 1


def _let_the_year_pass(purchase: Purchase) -> None:
    with connect_owner(purchase.stack) as connection:
        connection.execute(
            "UPDATE subscriptions SET starts_at = now() - interval '1 year',"
            " ends_at = now() FROM orders"
            " WHERE orders.order_id = subscriptions.order_id AND checkout_id = %s",
            [purchase.checkout_id],
        )


def _states(purchase: Purchase) -> list[tuple[object, ...]]:
    with connect_owner(purchase.stack) as connection:
        return connection.execute(
            "SELECT subscriptions.state, entitlements.state, access_state, money_state"
            " FROM checkouts JOIN orders USING (checkout_id)"
            " JOIN subscriptions USING (order_id) JOIN entitlements USING (order_id)"
            " WHERE checkout_id = %s",
            [purchase.checkout_id],
        ).fetchall()


def _outcomes(purchase: Purchase) -> list[str]:
    with connect_owner(purchase.stack) as connection:
        found = connection.execute(
            "SELECT outcome FROM repairs"
            " WHERE checkout_id = %s AND outcome IS NOT NULL",
            [purchase.checkout_id],
        )
        return [outcome for (outcome,) in found.fetchall()]
