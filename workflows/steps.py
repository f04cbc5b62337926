"""Carrying out one step until it is done: first quickly, then in durable rounds.

A step is tried once as a local activity. At the first trouble it becomes a regular one,
visible in the Temporal UI, and is repeated for a round of some minutes. After a round
the checkout needs attention: search attribute, case, metric. Then the next round or a
repair tries again, for as long as it takes. A charged customer is never given up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from activities.cases import CaseActivities
    from activities.failures import FailureKind
    from domain.deadlines import rung
    from domain.messages import CloseCase, OpenCase
    from domain.payments import UNKNOWN_TO_PROCESSOR
    from domain.states import AccessState, MoneyState
    from observability import metrics
    from workflows import policies, search_attributes
    from workflows.policies import LocalStep, Step

A = TypeVar("A")
R = TypeVar("R")


class HistoryGrown(Exception):
    """The run goes on in another: what it did is in the rows, and its history long."""


class Steps:
    """What one run of a checkout's workflow does, and what it shows of itself.

    Attributes:
        doing: The step under way, in words.
        waiting_for: What the run waits for; empty while it works.
        met_trouble: Some step did not succeed at once.
        news: Counts hints and repairs; whoever waits compares it with what it saw.
        changes: Counts moves of money and access, likewise.
        refusal: The kind of the last `attempt`'s final refusal; None when there was
            none, or when the outcome is unknown.
        refused_why: In what words it was refused.
        is_answered: The last `attempt` succeeded.
    """

    def __init__(self, checkout_id: UUID, reference_code: str) -> None:
        self._checkout_id = checkout_id
        self._reference_code = reference_code
        self._needs_attention = False
        self._keep_attention = False
        self._last_trouble = ""
        self._money = MoneyState.UNKNOWN
        self._access = AccessState.NONE
        self._indexed = (self._money, self._access)
        self._times_grown = 0
        self.doing = "begin"
        self.waiting_for = ""
        self.met_trouble = False
        self.news = 0
        self.changes = 0
        self.refusal: str | None = None
        self.refused_why = ""
        self.is_answered = False

    @property
    def is_unknown_there(self) -> bool:
        """Whether the last `attempt` was about what the processor does not have."""
        return (
            self.refusal == FailureKind.REFUSED_BY_OUR_FAULT
            and self.refused_why.startswith(UNKNOWN_TO_PROCESSOR)
        )

    @property
    def money(self) -> MoneyState:
        """What happened to the money, as far as this run knows."""
        return self._money

    @property
    def access(self) -> AccessState:
        """What happened to the access, as far as this run knows."""
        return self._access

    def now_stands(self, money: MoneyState, access: AccessState) -> None:
        """Note where money and access stand; the index follows at the next pause."""
        if (money, access) != (self._money, self._access):
            self.changes += 1
        self._money, self._access = money, access

    async def durably(
        self,
        step: LocalStep,
        activity: Callable[[Any, A], Awaitable[R]],
        argument: A,
        *,
        before_round: Callable[[], None] | None = None,
        wake_at: datetime | None = None,
    ) -> R:
        """Carry a step out until it succeeds, however long that takes.

        Args:
            step: What it is called, and how long it may take.
            activity: What does it.
            argument: With what.
            before_round: May leave, by an exception of its own, before each round.
            wake_at: When it must be asked at the latest; no wait goes beyond it.

        Raises:
            HistoryGrown: Between two rounds, as `leave_when_grown`.
        """
        self._begin(step)
        if not self.met_trouble:
            try:
                return await self._locally(step, activity, argument)
            except FailureError as error:
                self._note_trouble(step, error)
        rounds = 0
        while True:
            if before_round is not None:
                before_round()
            try:
                result = await self.regularly(
                    step, activity, argument, policies.ROUND_LASTS
                )
            except FailureError as error:
                rounds += 1
                self._note_trouble(step, error)
                metrics.count(workflow.metric_meter(), metrics.ROUNDS, step=step.name)
                await self.call_for_attention(step, error)
                self.leave_when_grown(step)
                await self.pause(
                    _between_rounds(rounds, wake_at),
                    f"round {rounds + 1} of: {step.name}",
                )
            else:
                if rounds:
                    await self.got_on()
                return result

    async def attempt(
        self, step: LocalStep, activity: Callable[[Any, A], Awaitable[R]], argument: A
    ) -> R | None:
        """Carry a step out once; None when it did not succeed, or may not have.

        For what moves money: the caller must look before it tries anything else, and
        finds in `refusal` whether repeating can help. A final refusal that the buyer
        cannot mend is shown to a person.
        """
        self.refusal, self.is_answered = None, False
        self._begin(step)
        try:
            if not self.met_trouble:
                result = await self._locally(step, activity, argument)
            else:
                result = await self.regularly(
                    step, activity, argument, policies.ONE_RUNG
                )
        except FailureError as error:
            self._note_trouble(step, error)
            self.refusal = refusal_in(error)
            self.refused_why = reason_of(error).strip("()")
            if self.refusal not in {None, FailureKind.METHOD_REFUSED}:
                await self.call_for_attention(step, error)
            return None
        self.is_answered = True
        return result

    async def for_a_round(
        self, step: Step, activity: Callable[[Any, A], Awaitable[R]], argument: A
    ) -> R | None:
        """Carry a step out for a round; None when that did not do, and people see it.

        For what must not keep other steps waiting: the caller comes back to it.
        """
        try:
            return await self.regularly(step, activity, argument, policies.ROUND_LASTS)
        except FailureError as error:
            self._note_trouble(step, error)
            metrics.count(workflow.metric_meter(), metrics.ROUNDS, step=step.name)
            await self.call_for_attention(step, error)
            return None

    async def pause(self, duration: timedelta, reason: str) -> bool:
        """Wait for a hint, a repair or the end of `duration`; True when one came."""
        seen = self.news
        self.waiting_for = reason
        self._show()
        self._index()
        try:
            await workflow.wait_condition(
                lambda: self.news != seen, timeout=duration, timeout_summary=reason
            )
        except TimeoutError:
            return False
        finally:
            self.waiting_for = ""
        return True

    def leave_when_grown(self, waiting_for: Step | None = None) -> None:
        """Leave the run before a wait once its history has grown.

        An application that is away for weeks takes a round each hour, and the server
        ends a run whose history has no end.

        Args:
            waiting_for: The step whose next round is waited for.

        Raises:
            HistoryGrown: It has.
        """
        if not workflow.info().is_continue_as_new_suggested():
            return
        if waiting_for is policies.RECORD_EMAIL:
            return  # The next run would not know that the mail has left.
        self._times_grown += 1
        # Runs that had grown before there was this door have passed it by: each look
        # has a name of its own, so that only the first that is not replayed leaves.
        if workflow.patched(f"a grown history is left behind ({self._times_grown})"):
            raise HistoryGrown

    def inherit_attention(self) -> None:
        """Take over an earlier run's call for attention, to take it back in the end."""
        self._needs_attention = True

    def leave_to_a_person(self) -> None:
        """Keep the case that the database has opened: getting on does not mend it."""
        self._keep_attention = True
        if not self._needs_attention:
            self._needs_attention = True
            workflow.upsert_search_attributes(search_attributes.attention(needed=True))

    async def call_for_attention(
        self,
        step: Step,
        cause: FailureError | str,
        *,
        why: str = "",
        keep: bool = False,
    ) -> None:
        """Show the checkout to people; without them the next round still comes.

        Args:
            step: What does not get on.
            cause: The failure, or the name of what is wrong.
            why: What a name alone does not say.
            keep: Only a person can put this right: it outlasts the run.
        """
        self._needs_attention = True
        self._keep_attention = self._keep_attention or keep
        workflow.upsert_search_attributes(search_attributes.attention(needed=True))
        kind = cause if isinstance(cause, str) else kind_of(cause)
        reason = why if isinstance(cause, str) else reason_of(cause)
        metrics.count(workflow.metric_meter(), metrics.ATTENTION, step=step.name)
        case = OpenCase(
            checkout_id=self._checkout_id,
            step=step.name,
            cause=kind,
            detail=f"{step.name}: {kind} {reason}".strip(),
        )
        try:
            await self.regularly(
                policies.OPEN_CASE, CaseActivities.open_case, case, policies.ONE_RUNG
            )
        except FailureError as unable:
            # The database may be the trouble itself. The search attribute is set, and
            # the next round tries again.
            self._note_trouble(policies.OPEN_CASE, unable)

    async def finish(self) -> None:
        """Bring the index up to date and take back the call for attention, if any.

        Whether a person is still needed the row knows: one may have settled it.
        """
        self._keep_attention = False
        await self.got_on()
        self.doing = "nothing more"
        self._index()
        self._show()

    async def got_on(self) -> None:
        """Take back the call for attention, unless only a person can put it right."""
        if not self._needs_attention or self._keep_attention:
            return
        self._needs_attention = False
        close = CloseCase(checkout_id=self._checkout_id)
        is_needed = await self.durably(
            policies.CLOSE_CASE, CaseActivities.close_case, close
        )
        if self._needs_attention:
            # A mail beside the steps has called for a person meanwhile.
            return
        self._needs_attention = self._keep_attention = bool(is_needed)
        workflow.upsert_search_attributes(
            search_attributes.attention(needed=self._needs_attention)
        )

    async def _locally(
        self, step: LocalStep, activity: Callable[[Any, A], Awaitable[R]], argument: A
    ) -> R:
        return await workflow.execute_local_activity_method(
            activity,
            argument,
            start_to_close_timeout=step.local_timeout,
            retry_policy=policies.FIRST_TRY,
            summary=step.name,
        )

    async def regularly(
        self,
        step: Step,
        activity: Callable[[Any, A], Awaitable[R]],
        argument: A,
        lasts: timedelta,
    ) -> R:
        """Carry a step out where anyone can watch it, repeated for so long.

        Raises:
            ActivityError: It did not succeed in that time, or finally.
        """
        return await workflow.execute_activity_method(
            activity,
            argument,
            start_to_close_timeout=step.timeout,
            schedule_to_close_timeout=lasts,
            heartbeat_timeout=step.heartbeat,
            retry_policy=policies.REPEATED,
            summary=step.name,
        )

    def _begin(self, step: Step) -> None:
        self.doing = step.name
        self._show()

    def _note_trouble(self, step: Step, error: FailureError) -> None:
        if is_cancelled_exception(error):
            # An owner canceled the workflow in the Temporal UI: that must go through.
            raise error
        self.met_trouble = True
        self._last_trouble = f"{step.name}: {kind_of(error)} {reason_of(error)}".strip()
        metrics.count(workflow.metric_meter(), metrics.RETRIES, step=step.name)
        workflow.logger.warning(
            "step met trouble", extra={"step": step.name, "kind": kind_of(error)}
        )

    def _index(self) -> None:
        """Write the states where support filters, when they changed."""
        states = (self._money, self._access)
        if states != self._indexed:
            self._indexed = states
            workflow.upsert_search_attributes(search_attributes.states(*states))

    def _show(self) -> None:
        """Tell the reader of the Temporal UI how things stand, in plain words."""
        attention = "yes, see the case" if self._needs_attention else "no"
        lines = [
            f"**{self._reference_code}**",
            # Without a line between them, the UI's Markdown runs the list together.
            "",
            f"- Money: {_MONEY_WORDS[self._money]}",
            f"- Access: {_ACCESS_WORDS[self._access]}",
            f"- Doing: {self.doing}",
            f"- Waiting for: {self.waiting_for or 'nothing'}",
            f"- Last trouble: {self._last_trouble or 'none'}",
            f"- Needs a person: {attention}",
        ]
        workflow.set_current_details("\n".join(lines))


def _between_rounds(rounds: int, wake_at: datetime | None) -> timedelta:
    wait = rung(policies.BETWEEN_ROUNDS, rounds - 1)
    if wake_at is None:
        return wait
    return max(min(wait, wake_at - workflow.now()), policies.LEAST_WAIT)


_MONEY_WORDS = {
    MoneyState.NOT_CHARGED: "not charged, proven by the processor",
    MoneyState.ACTION_NEEDED: "the buyer is asked by the bank",
    MoneyState.UNKNOWN: "not known yet; the processor is being asked",
    MoneyState.CHARGED: "charged",
    MoneyState.DUPLICATE: "charged twice",
    MoneyState.REFUNDING: "on its way back",
    MoneyState.REFUNDED: "returned",
}
_ACCESS_WORDS = {
    AccessState.NONE: "none",
    AccessState.PENDING: "owed, not open yet",
    AccessState.ACTIVE: "open",
    AccessState.ENDED: "ended",
}


def kind_of(failure: FailureError) -> str:
    """Return the `FailureKind`, or class name, behind an activity's failure.

    A regular activity's failure is wrapped in an `ActivityError`, a local one's is not;
    a round whose time ran out carries its last try's own failure, which says more.
    """
    told = _told_by_activity(failure)
    if told is not None:
        return told.type or "ApplicationError"
    cause = failure.cause if isinstance(failure, ActivityError) else failure
    return type(cause).__name__


def refusal_in(failure: FailureError) -> str | None:
    """Return the kind of a final refusal; None where repeating or looking can help."""
    told = _told_by_activity(failure)
    is_final = told is not None and told.non_retryable
    kind = kind_of(failure)
    return kind if is_final and kind != FailureKind.OUTCOME_UNKNOWN else None


def reason_of(failure: FailureError) -> str:
    """Return the failure's own words; activities keep them free of personal data."""
    told = _told_by_activity(failure)
    return f"({told.message})" if told else ""


def _told_by_activity(failure: FailureError) -> ApplicationError | None:
    cause: BaseException | None = failure
    while cause is not None and not isinstance(cause, ApplicationError):
        cause = cause.__cause__
    return cause
