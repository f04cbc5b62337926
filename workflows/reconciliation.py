"""Reconciliation: the processor's books against ours, in both directions.

A run is: begin, compare charges, refunds and disputes page by page, ask about open
PaymentIntents, look at our own rows, decide, ask for repairs, finish. It writes no
order and sends no mail: each repair goes through the checkout's own workflow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.books import BooksActivities
    from activities.ledger import LedgerActivities
    from activities.repairs import RepairActivities
    from domain.reconciliation import (
        MOST_INTENTS,
        NOTHING_FOUND,
        AskAboutIntents,
        BeginRun,
        ComparePages,
        Decided,
        FinishRun,
        Listing,
        Progress,
        ReconcileInput,
        ReconcileResult,
        RunPlan,
    )
    from workflows import policies
    from workflows.policies import Step

A = TypeVar("A")
R = TypeVar("R")

_LISTINGS = tuple(Listing)


@workflow.defn
class ReconciliationWorkflow:
    """One run. What it had compared when it died is compared again by the next."""

    @workflow.run
    async def run(self, asked: ReconcileInput) -> ReconcileResult:
        """Compare everything since the watermark, and have it put right."""
        run_id = asked.run_id or UUID(workflow.info().first_execution_run_id)
        progress = asked.progress or await self._begin(run_id, asked)
        if progress is None:
            workflow.set_current_details("Another run is under way.")
            return ReconcileResult(run_id=run_id, tally=NOTHING_FOUND, is_busy=True)
        if asked.progress is not None and workflow.patched(
            "what a part of a run found is put right before the next"
        ):
            progress = await self._put_right_so_far(progress)
        progress = await self._compare(asked, progress)
        plan, tally = progress.plan, progress.tally
        tally = tally.plus(
            await _do(
                policies.ASK_ABOUT_INTENTS,
                BooksActivities.ask_about_intents,
                AskAboutIntents(plan=plan, most=MOST_INTENTS),
            )
        )
        tally = tally.plus(
            await _do(policies.LOOK_LOCALLY, LedgerActivities.look_locally, plan)
        )
        decided = await self._put_right(plan)
        return await self._finish(replace(progress, tally=tally), decided)

    async def _put_right(self, plan: RunPlan) -> Decided:
        """Decide about all that was found, and ask for the repairs."""
        decided = Decided()
        if not plan.is_dry:
            decided = await _do(policies.DECIDE, LedgerActivities.decide, plan)
        if decided.repairs:
            await _do(
                policies.ASK_FOR_REPAIRS,
                RepairActivities.ask_for_repairs,
                list(decided.repairs),
            )
        return decided

    async def _put_right_so_far(self, progress: Progress) -> Progress:
        """Let no customer of an earlier page wait for the last: that takes an hour."""
        decided = await self._put_right(progress.plan)
        return replace(
            progress,
            plan=replace(
                progress.plan,
                decided_at=decided.decided_at or progress.plan.decided_at,
            ),
            repairs=progress.repairs + len(decided.repairs),
            cases=progress.cases + decided.cases,
            is_bulk=progress.is_bulk or decided.is_bulk,
        )

    async def _begin(self, run_id: UUID, asked: ReconcileInput) -> Progress | None:
        plan = await _do(
            policies.BEGIN_RUN,
            LedgerActivities.begin_run,
            BeginRun(run_id=run_id, asked=asked),
        )
        if plan is None:
            return None
        return Progress(
            plan=plan, listing=_LISTINGS[0], cursor=None, tally=NOTHING_FOUND
        )

    async def _compare(self, asked: ReconcileInput, begun: Progress) -> Progress:
        """Go through what is left of the listings, part by part."""
        progress = begun
        for listing in _LISTINGS[_LISTINGS.index(begun.listing) :]:
            cursor = progress.cursor
            while True:
                workflow.set_current_details(_told(progress))
                part = await _do(
                    policies.COMPARE_PAGES,
                    BooksActivities.compare_pages,
                    ComparePages(
                        plan=progress.plan,
                        listing=listing,
                        cursor=cursor,
                        most_pages=policies.PAGES_AT_ONCE,
                    ),
                )
                cursor = part.cursor
                progress = replace(
                    progress,
                    listing=listing,
                    cursor=cursor,
                    tally=progress.tally.plus(part.tally),
                )
                if cursor is None:
                    break
                if _has_gone_on_for_long():
                    workflow.continue_as_new(replace(asked, progress=progress))
        return progress

    async def _finish(self, progress: Progress, decided: Decided) -> ReconcileResult:
        tally = progress.tally
        repairs = progress.repairs + len(decided.repairs)
        cases = progress.cases + decided.cases
        warnings = await _do(
            policies.FINISH_RUN,
            LedgerActivities.finish_run,
            FinishRun(
                plan=progress.plan,
                tally=tally,
                repairs=repairs,
                cases=cases,
                withheld=decided.withheld,
                is_bulk=progress.is_bulk or decided.is_bulk,
            ),
        )
        workflow.set_current_details(_told(progress))
        return ReconcileResult(
            run_id=progress.plan.run_id,
            tally=tally,
            is_dry=progress.plan.is_dry,
            repairs=repairs,
            cases=cases,
            withheld=decided.withheld,
            warnings=tuple(warnings),
        )


async def _do(step: Step, activity: Callable[[Any, A], Awaitable[R]], argument: A) -> R:
    """Carry out one step; a run that cannot is failed, and the next takes over."""
    return await workflow.execute_activity_method(
        activity,
        argument,
        start_to_close_timeout=step.timeout,
        schedule_to_close_timeout=policies.STEP_OF_RUN,
        heartbeat_timeout=step.heartbeat,
        retry_policy=policies.REPEATED,
        summary=step.name,
    )


def _has_gone_on_for_long() -> bool:
    info = workflow.info()
    lasted = workflow.now() - info.start_time
    return info.is_continue_as_new_suggested() or lasted >= policies.HANDS_OVER_AFTER


def _told(progress: Progress) -> str:
    plan, tally = progress.plan, progress.tally
    found = ", ".join(f"{count} {kind}" for kind, count in tally.found.items())
    return (
        f"**{'Dry run' if plan.is_dry else 'Run'}** over what the processor made from "
        f"{plan.compare_from} until {plan.compare_before}\n\n"
        f"Compared: {tally.compared} ({progress.listing})\n\n"
        f"Found: {found or 'nothing'}"
    )
