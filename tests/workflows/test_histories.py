"""Recorded histories of every path replay on the current code.

`python -m tests.workflows.record_histories` records them anew: after a change that old
runs cannot follow, once such runs are known to be over, or patched for.

Most paths wait for hours and are recorded in skipped time. There a cancelled timer is
left to fire unheard (see `_timers_run_out`), so those histories hold no cancellation
and are replayed under the same rule. The paths that need no waiting are recorded on a
real server too, and replayed as the product runs.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from domain.messages import CheckoutInput, CheckoutResult
from tests.workflows.conftest import timers_run_out
from tests.workflows.histories import FOLDER, REAL, SKIPPED, Recorded, read, texts
from workflows.checkout import CheckoutWorkflow
from workflows.on_call import OnCallWorkflow
from workflows.reconciliation import ReconciliationWorkflow

#: What the paths must be, whatever the tests are called.
_PATHS = (
    "checkout.all_well",
    "checkout.lost_reply",
    "checkout.decline_then_another_card",
    "checkout.decline_without_another_card",
    "checkout.bank_answer_is_taken_up",
    "checkout.unanswered_bank_check",
    "checkout.processing_after_the_bank",
    "checkout.unknown_is_closed_after_twenty_hours",
    "checkout.order_that_cannot_be_written",
    "checkout.repair_of_a_finished_checkout",
    "correspondence.access_three_minutes_late",
    "refunds.whole_refund",
    "refunds.part_of_the_price",
    "refunds.refund_that_fails",
    "refunds.proven_second_charge",
    "refunds.dispute_freezes",
    "rebuilding.rebuilt_checkout",
    "subscription_life.a_year_that_is_over",
    "changes.an_address_is_told_once",
    "changes.money_goes_back_although",
    "reconciliation.charge_without_order",
    "reconciliation.every_kind_is_found",
    "reconciliation.run_after_the_repairs",
    "reconciliation.run_under_way",
    "on_call.nobody_answers",
    "on_call.an_answer_stops_the_clock",
)


@pytest.fixture(autouse=True)
def _timers_run_out() -> None:
    """Leave the product as it is here; the test of skipped time says otherwise."""


@workflow.defn(name="CheckoutWorkflow")
class Changed(CheckoutWorkflow):
    """A release that waits before all else, as none did when these were recorded."""

    @workflow.run
    async def run(self, checkout: CheckoutInput) -> CheckoutResult:
        """Wait, then go on as ever."""
        await workflow.sleep(timedelta(seconds=1))
        return await super().run(checkout)


async def failures(
    recorded: list[Recorded],
    *,
    checkout: type[Any] = CheckoutWorkflow,
) -> dict[str, Exception]:
    """Replay histories as the product's worker would; returns what failed, by name."""
    replayer = Replayer(
        workflows=[checkout, ReconciliationWorkflow, OnCallWorkflow],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    results = await replayer.replay_workflows(
        _each(recorded), raise_on_replay_failure=False
    )
    names = {one.history.run_id: one.name for one in recorded}
    return {names[run]: error for run, error in results.replay_failures.items()}


async def _each(recorded: list[Recorded]) -> Any:
    for one in recorded:
        yield one.history


@pytest.mark.parametrize("folder", [REAL, SKIPPED], ids=lambda folder: folder.name)
async def test_every_recorded_path_replays(folder: Path) -> None:
    """A run that was begun by the code of then is carried on by the code of now."""
    recorded = read(folder)
    with timers_run_out() if folder == SKIPPED else nullcontext():
        failed = await failures(recorded)

    assert recorded
    assert failed == {}


async def test_a_changed_workflow_is_noticed() -> None:
    """A workflow that asks for other things than it did then fails the replay."""
    bought = [one for one in read(REAL) if one.name.startswith("checkout.all_well")]

    failed = await failures(bought, checkout=Changed)

    assert [type(error) for error in failed.values()] == [NondeterminismError]


@pytest.mark.parametrize("path", _PATHS)
def test_path_is_recorded(path: str) -> None:
    """No path goes missing when the tests that are recorded get other names."""
    assert list(SKIPPED.glob(f"{path}*.json"))


def test_histories_tell_of_nobody() -> None:
    """No address, no name and no place of the recording machine is in a history."""
    tell_tale = re.compile(r'@|mara|example\.com|Traceback|", line |/(?:home|root)/')
    found = {
        (file.name, word)
        for file in FOLDER.glob("*/*.json")
        for text in texts(file)
        for word in tell_tale.findall(text)
    }
    assert found == set()
