"""Keeping the customer informed: durable timers beside the steps of a checkout.

While the steps run, a timer waits for the time of the next mail; after them, the run
stays open for a mail that is near and leaves a far one to the row, from which the sweep
starts the workflow again. When all is well nothing here asks for an activity.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    FailureError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from activities.correspondence import CorrespondenceActivities
    from activities.emails import EmailActivities
    from activities.orders import OrderActivities
    from domain.cadence import FIRST_WORD_AFTER
    from domain.causes import Cause
    from domain.deadlines import GIVE_MAIL_UP_AFTER, rung
    from domain.messages import (
        Correspondence,
        EmailOutcome,
        PlanCorrespondence,
        RecordEmail,
        SendEmail,
        UnsentEmail,
    )
    from workflows import policies
    from workflows.policies import Step
    from workflows.steps import Steps, kind_of, reason_of


class Correspondent:
    """Says what the outbox owes, when it is due.

    Attributes:
        has_spoken: Some mail beside the receipt has left or was tried.
        is_stuck: What is owed could not be handed over, or found out, so far.

    Args:
        checkout_id: Whose customer.
        steps: Tells of changes, and calls for a person.
        unsent: What an earlier part of the run could not hand over.
    """

    def __init__(
        self, checkout_id: UUID, steps: Steps, unsent: tuple[UnsentEmail, ...] = ()
    ) -> None:
        self._checkout_id = checkout_id
        self._steps = steps
        # `catch_up` may be called while `_keep_up` is in the middle of a mail; two of
        # them side by side would send the same one twice.
        self._speaking = asyncio.Lock()
        self._beside: asyncio.Task[None] | None = None
        self._is_over = False
        self._rounds = 0
        #: After a round that did not get through: when the next one is, and what news
        #: were seen by then. Later ones make it come at once.
        self._retry_at: datetime | None = None
        self._seen = (0, 0)
        self._was_overdue = False
        #: Since when a mail could not be handed over, as far as this run knows.
        self._unsent_since = {mail.email_id: mail.since for mail in unsent}
        self._done: list[str] = []
        self.has_spoken = False

    @property
    def unsent(self) -> tuple[UnsentEmail, ...]:
        """What could not be handed over so far."""
        return tuple(
            UnsentEmail(email_id=email_id, since=since)
            for email_id, since in self._unsent_since.items()
        )

    @property
    def is_stuck(self) -> bool:
        """See the class."""
        return self._rounds > 0

    def take_done(self) -> list[str]:
        """Return what was sent since the last call, in words."""
        done, self._done = self._done, []
        return done

    def begin(self) -> None:
        """Speak when it is time, beside the steps, until `end` is called."""
        if self._beside is None:
            self._is_over = False
            self._beside = asyncio.create_task(self._keep_up())

    async def end(self) -> None:
        """Stop speaking beside the steps; a mail that is being sent is finished."""
        self._is_over = True
        if self._beside is not None:
            beside, self._beside = self._beside, None
            await beside

    async def _keep_up(self) -> None:
        next_at: datetime | None = None
        while not self._is_over:
            wait = (next_at or workflow.now() + FIRST_WORD_AFTER) - workflow.now()
            if await self._is_stirred(max(wait, policies.LEAST_WAIT)):
                # A change is given two minutes to end well; the time that a page named
                # before is not put off by it.
                soon = workflow.now() + FIRST_WORD_AFTER
                next_at = next_at if next_at is not None and next_at < soon else None
            else:
                planned = await self.catch_up()
                next_at = planned or workflow.now() + policies.NOTHING_IN_SIGHT

    async def catch_up(self) -> datetime | None:
        """Send what is due; return when the next is, or None when none is in sight."""
        async with self._speaking:
            if self._retry_at is not None and not self._is_worth_it(self._retry_at):
                return self._retry_at
            plan = await self._plan()
            if plan is None:
                return self._later()
            if plan.is_promise_overdue and not self._was_overdue:
                self._was_overdue = True
                await self._steps.call_for_attention(
                    policies.PLAN_MAIL, Cause.PROMISE_OVERDUE, keep=True
                )
            # One mail that cannot be handed over must not keep the others back.
            sent = [await self._send(email_id) for email_id in plan.email_ids]
            if not all(sent):
                return self._later(plan.next_at)
            self._rounds, self._retry_at = 0, None
            if plan.email_ids:
                # What was found needless may leave another word due in its place.
                plan = await self._plan() or plan
            return plan.next_at

    async def send_receipt(self, email_id: UUID) -> None:
        """Send the receipt as a step of the checkout; unsent, `catch_up` has it."""
        async with self._speaking:
            outcome = await self._steps.attempt(
                policies.SEND_RECEIPT,
                EmailActivities.send_email,
                SendEmail(email_id=email_id),
            )
            if outcome is None:
                return
            await self._steps.durably(
                policies.RECORD_EMAIL,
                OrderActivities.record_email,
                RecordEmail(email_id=email_id, outcome=outcome),
            )
            await self._look_at(policies.SEND_RECEIPT, outcome)

    async def _is_stirred(self, wait: timedelta) -> bool:
        """Wait for a change, the end or the time; False when it was the time."""
        seen = self._steps.changes
        try:
            await workflow.wait_condition(
                lambda: self._is_over or self._steps.changes != seen,
                timeout=wait,
                timeout_summary="the time of the next mail",
            )
        except TimeoutError:
            return False
        return True

    async def _plan(self) -> Correspondence | None:
        try:
            return await self._steps.regularly(
                policies.PLAN_MAIL,
                CorrespondenceActivities.plan_correspondence,
                PlanCorrespondence(checkout_id=self._checkout_id, now=workflow.now()),
                policies.ROUND_LASTS,
            )
        except ActivityError as error:
            await self._stumble(error)
            return None

    async def _send(self, email_id: UUID) -> bool:
        """Send one mail and write down what became of it; False to try again later."""
        try:
            outcome = await self._hand_over(email_id)
            await self._steps.regularly(
                policies.RECORD_EMAIL,
                OrderActivities.record_email,
                RecordEmail(email_id=email_id, outcome=outcome),
                policies.ROUND_LASTS,
            )
        except ActivityError as error:
            await self._stumble(error)
            return False
        self._unsent_since.pop(email_id, None)
        self.has_spoken = self.has_spoken or not outcome.is_needless
        await self._look_at(policies.SEND_MAIL, outcome)
        return True

    async def _hand_over(self, email_id: UUID) -> EmailOutcome:
        """Send one mail, or give it up when that has not succeeded for days.

        Raises:
            ActivityError: It could not be handed over so far.
        """
        was_put_off = email_id in self._unsent_since
        try:
            outcome = await self._steps.regularly(
                policies.SEND_MAIL,
                EmailActivities.send_email,
                SendEmail(email_id=email_id),
                policies.ONE_RUNG if was_put_off else policies.ROUND_LASTS,
            )
        except ActivityError as error:
            since = self._unsent_since.setdefault(email_id, workflow.now())
            is_hopeless = workflow.now() - since >= GIVE_MAIL_UP_AFTER
            if is_cancelled_exception(error) or not is_hopeless:
                raise
            outcome = EmailOutcome(is_sent=False, refusal=_given_up(error))
        return outcome

    async def _look_at(self, step: Step, outcome: EmailOutcome) -> None:
        """A mail that cannot reach the customer is silence: a person must see it."""
        if outcome.is_sent:
            is_receipt = step is policies.SEND_RECEIPT
            self._done.append("sent the receipt" if is_receipt else "sent a mail")
        elif not (outcome.is_needless or outcome.is_held or outcome.is_no_loss):
            await self._steps.call_for_attention(
                step, Cause.MAIL_REFUSED, why=outcome.refusal or "", keep=True
            )

    async def _stumble(self, error: ActivityError) -> None:
        if is_cancelled_exception(error):
            # An owner canceled the workflow in the Temporal UI: that must go through.
            raise error
        await self._steps.call_for_attention(policies.SEND_MAIL, error)

    def _later(self, next_at: datetime | None = None) -> datetime:
        """Return when to try again: after a rung, or when another mail is due."""
        wait = rung(policies.BETWEEN_ROUNDS, self._rounds)
        self._rounds += 1
        self._retry_at = workflow.now() + wait
        if next_at is not None:
            soonest = workflow.now() + policies.LEAST_WAIT
            self._retry_at = min(self._retry_at, max(next_at, soonest))
        self._seen = (self._steps.news, self._steps.changes)
        return self._retry_at

    def _is_worth_it(self, retry_at: datetime) -> bool:
        """Whether it is time for the next round, or there was news since the last.

        The timer beside the steps and the end of the run both ask for one.
        """
        is_news = self._seen != (self._steps.news, self._steps.changes)
        return is_news or workflow.now() >= retry_at


def _given_up(error: FailureError) -> str:
    """Say why a mail was given up, in the words of its last try."""
    days = GIVE_MAIL_UP_AFTER.days
    return f"put off for {days} days: {kind_of(error)} {reason_of(error)}".strip()
