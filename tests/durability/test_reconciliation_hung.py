"""A run that hangs, is killed or terminated, or was missed for an hour."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from domain.reconciliation import LATE_AFTER, RUN_IS_DEAD_AFTER, DiscrepancyKind
from stack.driver import Stack
from tests.durability.breaking import wait_until
from tests.durability.conftest import Recoveries
from tests.durability.counting import get_json
from tests.durability.reconciling import Drill, Totals, visas

_LISTING = {"method": "GET", "path_regex": "^/v1/charges$"}

#: More than the processor's largest page.
_TWO_PAGES = 120


@pytest.mark.timeout(300)
def test_run_killed_between_pages_goes_on_at_its_page(
    drill: Drill, recoveries: Recoveries
) -> None:
    """The worker dies at the second page; the next one lists that page, not the first.

    Nothing is compared twice, and the run ends as if nobody had died.
    """
    drill.buy_many(visas(_TWO_PAGES))
    drill.wait_settled()
    drill.fault("delay", match=_LISTING, seconds=0)
    held = drill.fault("hold_then_act", match=_LISTING)
    seen = _pages_listed(drill.stack)
    run = drill.start()
    _wait_hit(held)
    killed = drill.stack.kill("worker")
    _let_go(held)
    restart = drill.stack.wait_restarted("worker", after_pid=killed)
    result = drill.result_of(run)

    recoveries["a run whose worker died between two pages"] = restart.seconds
    assert result.tally.charges == _TWO_PAGES
    # The first page once; the second for the dead worker, and for the next.
    assert len(_pages_listed(drill.stack)) - len(seen) == 3
    assert drill.totals() == Totals.whole(_TWO_PAGES)


@pytest.mark.timeout(300)
def test_hung_run_keeps_others_out_until_it_counts_as_dead(drill: Drill) -> None:
    """A frozen processor holds a run; the next takes over, and what it did stands.

    The hung run shows no life for three minutes, which are given to its row here. Let
    go at last, it changes nothing: neither its row, nor the watermark, nor a repair.
    """
    lost = drill.lose_runs(3)
    held = drill.fault("hold_then_act", match=_LISTING)
    hung = drill.start()
    _wait_hit(held)
    kept_out = drill.result_of(drill.start())
    _age_runs(drill, RUN_IS_DEAD_AFTER)
    taken_over = drill.start()
    wait_until(lambda: drill.one(_STATES, "lost") == 1, "the next run to take over")
    _let_go(held)
    result = drill.result_of(taken_over)
    watermark = drill.one("SELECT watermark_at FROM reconciliation_state")
    drill.result_of(hung)
    drill.wait_repaired()
    drill.wait_settled()

    assert kept_out.is_busy
    assert not result.is_busy
    assert drill.one("SELECT watermark_at FROM reconciliation_state") == watermark
    assert drill.one(_STATES, "lost") == 1
    asked = drill.one("SELECT sum(repairs_asked) FROM discrepancies")
    assert asked == len(lost)
    assert drill.one("SELECT count(*) FROM repairs") == len(lost)
    paid = len(drill.charges())
    assert drill.totals() == Totals.whole(paid)


@pytest.mark.timeout(300)
def test_terminated_run_is_taken_over_by_the_next(drill: Drill) -> None:
    """Terminated, a run leaves its row open; others are kept out for three minutes."""
    held = drill.fault("hold_then_act", match=_LISTING)
    run = drill.start()
    _wait_hit(held)
    drill.terminate(run)
    _let_go(held)
    kept_out = drill.result_of(drill.start())
    before = drill.one(_STATES, "lost")
    _age_runs(drill, RUN_IS_DEAD_AFTER)
    drill.reconcile()

    assert kept_out.is_busy
    assert drill.one(_STATES, "lost") == before + 1
    assert drill.one(_STATES, "running") == 0


@pytest.mark.timeout(300)
def test_hour_that_was_missed_is_made_up_for_by_one_run(drill: Drill) -> None:
    """However long nobody looked: the next tick goes back to the watermark.

    Who asks how old the watermark is knows after a quarter of an hour.
    """
    hour = timedelta(hours=1)
    drill.write("UPDATE reconciliation_state SET watermark_at = now() - %s", hour)
    lost = drill.lose_runs(2)
    drill.write("UPDATE reconciliation_runs SET started_at = started_at - %s", hour)
    age = drill.one("SELECT now() - watermark_at FROM reconciliation_state")

    drill.trigger_schedule()
    wait_until(lambda: drill.one(_REPAIRED) >= 2, "the repairs", limit_seconds=60)
    drill.wait_settled()

    assert age > LATE_AFTER
    assert drill.one("SELECT now() - watermark_at FROM reconciliation_state") < hour
    found = drill.one(
        "SELECT count(*) FROM discrepancies WHERE checkout_id = ANY (%s) AND kind = %s",
        lost,
        DiscrepancyKind.CHARGE_WITHOUT_ORDER,
    )
    assert found == len(lost)


_STATES = "SELECT count(*) FROM reconciliation_runs WHERE state = %s"

_REPAIRED = """
    SELECT count(*) FROM discrepancies JOIN repairs USING (repair_id)
    WHERE outcome IS NOT NULL
    AND discrepancies.last_seen_at > now() - interval '30 seconds'
"""


def _wait_hit(fault: str) -> None:
    assert get_json(fault, wait="hit", timeout="30")["held"] >= 1


def _let_go(fault: str) -> None:
    httpx.delete(fault, trust_env=False).raise_for_status()


def _age_runs(drill: Drill, by: timedelta) -> None:
    """Let so much time pass for the rows of runs alone, and a little more."""
    drill.write(
        "UPDATE reconciliation_runs SET touched_at = touched_at - %s"
        " WHERE finished_at IS NULL",
        by + timedelta(seconds=1),
    )


def _pages_listed(stack: Stack) -> list[object]:
    """Return the requests for pages of charges that the processor has had."""
    found = get_json(f"{stack.at.processor}/sandbox/requests", limit="10000")
    return [line for line in found["data"] if line["path"] == "/v1/charges"]
