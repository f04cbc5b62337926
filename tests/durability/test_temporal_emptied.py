"""Temporal's storage is deleted while purchases are under way."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from domain.reconciliation import DiscrepancyKind
from stack.temporal import DATABASE_FILE
from tests.durability.breaking import wait_until
from tests.durability.conftest import Recoveries
from tests.durability.counting import get_json
from tests.durability.reconciling import Drill, Totals, visas

_DONE = 30
#: Charged, and the answer was lost: their runs wait to ask again.
_CHARGED = 8
#: The question never arrived, so nothing was charged yet.
_UNASKED = 3
#: Pressed Pay while Temporal was away.
_PRESSED = 5

_CONFIRMATION = {"method": "POST", "path_regex": "/confirm$"}
_LOOK = {"method": "GET", "path_regex": "^/v1/payment_intents/"}


@pytest.mark.timeout(400)
def test_emptied_temporal_is_filled_again_from_our_rows(
    drill: Drill, recoveries: Recoveries
) -> None:
    """Every purchase ends well, by a run and the sweep, and the schedule is back.

    No webhook tells of anything, and nobody but Temporal is started again.
    """
    drill.buy_many(visas(_DONE))
    drill.wait_settled()
    faults = [
        drill.fault("error_503", match=_LOOK, times=-1),
        _caught(drill, "act_then_drop_reply", _CHARGED),
        _caught(drill, "refuse", _UNASKED),
    ]
    worker = drill.stack.pid("worker")
    drill.stack.stop_child("temporal", roughly=True)
    _delete_storage(drill)
    drill.buy_many(visas(_PRESSED))
    for fault in faults:
        httpx.delete(fault, trust_env=False).raise_for_status()
    drill.stack.start_child("temporal")
    up_at = time.monotonic()
    wait_until(drill.has_schedule, "the schedule to be made anew", limit_seconds=60)
    recoveries["Temporal emptied: the schedule is back"] = time.monotonic() - up_at
    drill.pause_schedule()
    drill.wait_settled(besides=_CHARGED + _UNASKED)

    first = drill.reconcile()
    drill.wait_settled(besides=_UNASKED)
    recoveries["... what was charged is delivered"] = time.monotonic() - up_at
    _let_minutes_pass(drill)
    drill.wait_settled()
    recoveries["... and what was not asked yet, by the sweep"] = (
        time.monotonic() - up_at
    )
    second = drill.reconcile()

    assert drill.stack.pid("worker") == worker
    assert first.tally.found == {DiscrepancyKind.CHARGE_WITHOUT_ORDER: _CHARGED}
    assert second.tally.found == {}
    assert drill.totals() == Totals.whole(_DONE + _CHARGED + _UNASKED + _PRESSED)


def _caught(drill: Drill, action: str, count: int) -> str:
    """Sell so many, each of which meets the fault; returns the fault's address."""
    fault = drill.fault(action, match=_CONFIRMATION, times=count)
    drill.buy_many(visas(count))
    found = get_json(fault, wait="hit", hits=str(count), timeout="60")
    assert found["hits"] == count, found
    return fault


def _delete_storage(drill: Drill) -> None:
    """Delete all that the dev server keeps; it is down."""
    kept = list(Path(drill.stack.at.data).glob(f"{DATABASE_FILE}*"))
    assert kept
    for file in kept:
        file.unlink()


def _let_minutes_pass(drill: Drill) -> None:
    """Make what has not moved old enough for the sweep, which looks each minute."""
    drill.write(
        "UPDATE checkouts SET updated_at = updated_at - interval '3 minutes'"
        " WHERE stage = 'charging'"
    )
