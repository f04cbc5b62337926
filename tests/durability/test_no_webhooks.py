"""Two hundred checkouts and no webhook: lost replies, lost runs, a worker killed."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

from domain.reconciliation import BULK_FROM, DiscrepancyKind
from tests.durability.breaking import wait_until
from tests.durability.conftest import Recoveries
from tests.durability.counting import get_json
from tests.durability.reconciling import Drill, Totals, visas

_ASKS = "pm_card_threeDSecure2Required"
_DECLINED = "pm_card_chargeDeclined"

_COUNT = 200
#: Of them.
_DECLINES, _BANK_QUESTIONS = 12, 12
#: Fewer than make a bulk repair, whose mail a person has to let go.
_LOST_RUNS = BULK_FROM - 2
_KILLS = 3

_CONFIRMATION = {"method": "POST", "path_regex": "/confirm$"}


@pytest.mark.timeout(400)
def test_all_is_right_after_two_runs_without_any_webhook(
    drill: Drill, recoveries: Recoveries
) -> None:
    """What no webhook tells of is found and put right, and a third run writes nothing.

    The worker is killed three times on the way, and once with the lost runs.
    """
    for action, times in (("act_then_drop_reply", 15), ("error_500_after", 5)):
        drill.fault(action, match=_CONFIRMATION, times=times)
    killer = threading.Thread(target=_kill_workers, args=(drill,))
    killer.start()
    started = time.monotonic()
    drill.buy_many(_methods())
    recoveries["200 checkouts without webhooks: pressed"] = time.monotonic() - started
    killer.join()
    _answer_banks(drill)
    drill.wait_settled()
    drill.lose_runs(_LOST_RUNS)
    settled_at = time.monotonic()
    recoveries["... settled, but for the lost runs"] = settled_at - started

    first = drill.reconcile()
    second = drill.reconcile()
    right_at = time.monotonic()
    before = drill.rows()
    third = drill.reconcile()

    recoveries["... right, after two runs, in"] = right_at - settled_at
    assert len(drill.stack.restarts) == _KILLS + 1
    assert drill.totals() == Totals.whole(_COUNT - _DECLINES)
    assert first.tally.found == {DiscrepancyKind.CHARGE_WITHOUT_ORDER: _LOST_RUNS}
    assert (first.tally.told, second.repairs, third.repairs) == (0, 0, 0)
    assert any("webhooks look broken" in told for told in first.warnings)
    assert drill.rows() == before


def _methods() -> list[str]:
    """Return the buyers' cards, the odd ones among the others."""
    methods = visas(_COUNT - _LOST_RUNS)
    for number in range(_DECLINES):
        methods[number * 16 + 3] = _DECLINED
    for number in range(_BANK_QUESTIONS):
        methods[number * 16 + 9] = _ASKS
    return methods


def _kill_workers(drill: Drill) -> None:
    """Kill the worker each time that so many more were charged."""
    for kill in range(1, _KILLS + 1):
        drill.wait_charges(kill * _COUNT // (_KILLS + 2))
        drill.stack.kill_and_wait("worker")


def _answer_banks(drill: Drill) -> None:
    """Let each buyer say yes at the bank, and never come back."""
    query = "SELECT count(*) FROM checkouts WHERE money_state = 'ACTION_NEEDED'"
    wait_until(
        lambda: drill.one(query) == _BANK_QUESTIONS,
        "the bank's questions",
        limit_seconds=60,
    )
    waiting = get_json(f"{drill.stack.at.processor}/sandbox/payment_intents")["data"]
    for intent in waiting:
        if intent["status"] == "requires_action":
            settle = f"/sandbox/payment_intents/{intent['id']}/settle"
            httpx.post(
                f"{drill.stack.at.processor}{settle}",
                json={"outcome": "succeeded"},
                trust_env=False,
            ).raise_for_status()
