"""The on-call desk's workflow: one entity that is always there, and only orders.

What is due is decided by `domain.due` inside an activity, what became of it is noted by
`domain.desk`. Nothing here knows a threshold, so that a release which changes one meets
a running desk without disturbing its history.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.alerts import (
        AlertActivities,
        DeskActivities,
        WatcherActivities,
    )
    from domain import desk as states
    from domain.desk import (
        USE_OF,
        Answer,
        Answered,
        Desk,
        Errand,
        ErrandKind,
        Outcome,
        Plan,
        SendAlert,
        Told,
    )
    from domain.oncall import Finding, Incident
    from workflows import policies
    from workflows.policies import Step

A = TypeVar("A")
R = TypeVar("R")


@workflow.defn
class OnCallWorkflow:
    """Owns the on-call desk: incidents, who is told of them, the digest, the beat.

    It starts from its own state and hands that on when its history has grown, so that a
    finding told twice stays one for as long as it is remembered. It never ends.

    Signal:
        report: Something is wrong, or is so no more.
    Updates:
        acknowledge: Somebody has it.
        snooze: Somebody knows why it may be silent until a time.
        resolve: Somebody says that it is over.
    Query:
        desk: All that the desk knows.
    """

    @workflow.init
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._news = 0

    @workflow.run
    async def run(self, _desk: Desk) -> None:
        """See the class. `__init__` took the argument, before any signal."""
        if self._desk.opened_at is None:
            self._desk = replace(self._desk, opened_at=workflow.now())
        while True:
            seen, look_again_at = await self._settle()
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(self._desk)
            await self._rest(seen, look_again_at)

    @workflow.signal
    def report(self, findings: list[Finding]) -> None:
        """Take findings in; each counts once, however often it is told."""
        for finding in findings:
            self._desk = states.take(self._desk, finding, workflow.now())
        self._news += 1

    @workflow.update
    def acknowledge(self, answer: Answer) -> Answered:
        """Leave an incident to whoever takes it: no second person, no pause."""

        def taken(incident: Incident) -> str:
            self._desk = states.acknowledge(
                self._desk, incident.incident_id, answer.who, workflow.now()
            )
            return f"{answer.who} has incident {incident.code}."

        return self._answered(answer, taken)

    @workflow.update
    def snooze(self, answer: Answer) -> Answered:
        """Be silent about an incident until a time, or until it is worth a page."""
        until = answer.until
        if until is None or until <= workflow.now() or not answer.reason.strip():
            return Answered(
                is_done=False, text="A snooze needs a reason, and a time to come."
            )

        def snoozed(incident: Incident) -> str:
            self._desk = states.snooze(
                self._desk, incident.incident_id, answer, workflow.now()
            )
            return (
                f"Incident {incident.code} is silent until {until:%d %b, %H:%M} UTC, "
                "unless it grows into a page."
            )

        return self._answered(answer, snoozed)

    @workflow.update
    def resolve(self, answer: Answer) -> Answered:
        """End an incident on somebody's word."""

        def resolved(incident: Incident) -> str:
            self._desk = states.resolve(
                self._desk, incident.incident_id, answer.who, workflow.now()
            )
            return (
                f"Incident {incident.code} is over; more of it is another one, and "
                "so is what lasts in a quarter of an hour."
            )

        return self._answered(answer, resolved)

    @workflow.query
    def desk(self) -> Desk:
        """Say all that the desk knows."""
        return self._desk

    def _answered(self, answer: Answer, act: Callable[[Incident], str]) -> Answered:
        incident = states.find(self._desk, answer.code)
        if incident is None:
            text = f"No single open incident is called {answer.code!r}."
            return Answered(is_done=False, text=text)
        self._news += 1
        return Answered(is_done=True, text=act(incident))

    async def _settle(self) -> tuple[int, datetime]:
        """Carry out what is due until nothing is.

        Returns:
            How much news it took into account, and when to look again.
        """
        looks = 0
        while looks < policies.MOST_LOOKS:
            seen = self._news
            due = await self._look()
            self._desk = replace(self._desk, paused_at=due.paused_at)
            for finding in due.findings:
                self._desk = states.take(self._desk, finding, workflow.now())
            if not (due.errands or due.findings):
                self._show()
                return seen, due.look_again_at
            for turn, errand in enumerate(due.errands):
                if turn and self._news != seen:
                    # Somebody may have answered: what was due is perhaps no more. The
                    # first is carried out all the same, or a flock of findings would
                    # keep the desk from telling anybody.
                    break
                outcome = await self._carry_out(errand)
                self._desk = states.after(self._desk, errand, outcome, workflow.now())
            looks = looks + 1 if self._news == seen else 0
        # A plan that never ends is a fault of ours; the desk must outlive it.
        workflow.logger.error("the desk does not come to rest")
        return self._news, workflow.now() + policies.DESK_FAULT_WAIT

    async def _look(self) -> Plan:
        return await workflow.execute_local_activity_method(
            DeskActivities.look_at_desk,
            args=[self._desk, workflow.now()],
            start_to_close_timeout=policies.LOOK_AT_DESK.timeout,
            retry_policy=policies.REPEATED,
            summary=policies.LOOK_AT_DESK.name,
        )

    async def _rest(self, seen: int, look_again_at: datetime) -> None:
        wait = max(policies.LEAST_WAIT, look_again_at - workflow.now())
        try:
            await workflow.wait_condition(
                lambda: self._news != seen,
                timeout=wait,
                timeout_summary="look at the desk again",
            )
        except TimeoutError:
            return

    async def _carry_out(self, errand: Errand) -> Outcome:
        if errand.kind in USE_OF:
            told = [await self._tell(errand, person) for person in errand.people]
            is_done = any(one.is_reached for one in told)
            return Outcome(is_done=is_done, told=tuple(told))
        match errand.kind:
            case ErrandKind.PAUSE:
                is_done = await self._try(
                    policies.PAUSE_CHECKOUT,
                    DeskActivities.pause_checkout,
                    errand.body,
                )
            case ErrandKind.RECORD:
                is_done = await self._try(
                    policies.RECORD_DESK, DeskActivities.record_desk, errand
                )
            case ErrandKind.BEAT:
                is_done = await self._beat()
            case _:
                is_done = True
        return Outcome(is_done=is_done)

    async def _tell(self, errand: Errand, person: str) -> Told:
        alert = SendAlert(
            person=person,
            use=USE_OF[errand.kind],
            title=errand.title,
            body=errand.body,
        )
        told = await self._attempt(
            policies.SEND_ALERT, AlertActivities.send_alert, alert
        )
        return told or Told(person=person)

    async def _try(
        self, step: Step, activity: Callable[[Any, A], Awaitable[None]], argument: A
    ) -> bool:
        try:
            await self._regularly(step, activity, argument)
        except ActivityError as error:
            self._stumble(step, error)
            return False
        return True

    async def _attempt(
        self, step: Step, activity: Callable[[Any, A], Awaitable[R]], argument: A
    ) -> R | None:
        try:
            return await self._regularly(step, activity, argument)
        except ActivityError as error:
            self._stumble(step, error)
            return None

    async def _regularly(
        self, step: Step, activity: Callable[[Any, A], Awaitable[R]], argument: A
    ) -> R:
        return await workflow.execute_activity_method(
            activity,
            argument,
            start_to_close_timeout=step.timeout,
            schedule_to_close_timeout=policies.DESK_ROUND,
            heartbeat_timeout=step.heartbeat,
            retry_policy=policies.REPEATED,
            summary=step.name,
        )

    async def _beat(self) -> bool:
        """One sign of life, once: it comes from this loop, which it vouches for."""
        try:
            return await workflow.execute_activity_method(
                WatcherActivities.beat,
                start_to_close_timeout=policies.BEAT.timeout,
                schedule_to_close_timeout=policies.BEAT.timeout,
                retry_policy=policies.FIRST_TRY,
                summary=policies.BEAT.name,
            )
        except ActivityError as error:
            self._stumble(policies.BEAT, error)
            return False

    def _stumble(self, step: Step, error: ActivityError) -> None:
        if is_cancelled_exception(error):
            # An owner canceled the workflow in the Temporal UI: that must go through.
            raise error
        workflow.logger.warning("desk met trouble", extra={"step": step.name})

    def _show(self) -> None:
        """Tell the reader of the Temporal UI what is open."""
        lines = [
            f"- {one.code}: {one.kind}, {one.subjects} waiting"
            for one in self._desk.open_incidents
        ]
        workflow.set_current_details("\n".join(lines) or "Nothing is wrong.")
