"""What the demo makes of what it measured; the demo itself is a durability test."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from stack.demo import Counts, Result
from stack.driver import Restart

WHOLE = Result(
    counts=Counts(charges=1, orders=1, subscriptions=1, entitlements=1, receipts=1),
    seconds=5.93251,
    headlines=[(0.0, None), (5.93251, "You're in.")],
    restarts=[Restart("worker", 11, 12, 1.7)],
)


def test_a_program_reads_the_whole_story() -> None:
    """The JSON says what was counted, how fast, and what the buyer saw."""
    assert json.loads(json.dumps(WHOLE.as_json())) == {
        "ok": True,
        "mistakes": [],
        "counts": {
            "charges": 1,
            "orders": 1,
            "subscriptions": 1,
            "entitlements": 1,
            "receipts": 1,
        },
        "seconds_to_whole": 5.933,
        "headlines": [
            {"seconds": 0.0, "headline": None},
            {"seconds": 5.933, "headline": "You're in."},
        ],
        "restarts": [{"name": "worker", "previous_pid": 11, "pid": 12, "seconds": 1.7}],
    }


@pytest.mark.parametrize(
    ("result", "mistake"),
    [
        (replace(WHOLE, seconds=None), "Not whole 60 s after the crash."),
        (
            replace(WHOLE, counts=replace(WHOLE.counts, charges=2)),
            "There is 2 charges, 1 order, 1 subscription, 1 entitlement, 1 receipt.",
        ),
        (
            replace(WHOLE, headlines=[(1.0, "You have not been charged.")]),
            "The page said “You have not been charged.” although the card was charged.",
        ),
    ],
)
def test_a_broken_promise_is_no_success(result: Result, mistake: str) -> None:
    """Late, doubled or told wrongly: each is named, and the demo is not ok."""
    assert result.as_json()["ok"] is False
    assert result.mistakes() == [mistake]
