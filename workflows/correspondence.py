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
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.correspondence import CorrespondenceActivities
    from activities.emails import EmailActivities
    from activities.orders import OrderActivities
    from domain.cadence import FIRST_WORD_AFTER
    from domain.deadlines import rung
    from domain.messages import (
        Correspondence,
        EmailOutcome,
        PlanCorrespondence,
        RecordEmail,
        SendEmail,
    )
    from workflows import policies
    from workflows.steps import Steps


class Correspondent:
    """Says what the outbox owes, when it is due.

    Attributes:
        has_spoken: Some mail beside the receipt has left or was tried.

    Args:
        checkout_id: Whose customer.
        steps: Tells of changes, and calls for a person.
    """

    def __init__(self, checkout_id: UUID, steps: Steps) -> None:
        self._checkout_id = checkout_id
        self._steps = steps
        # `catch_up` may be called while `_keep_up` is in the middle of a mail; two of
        # them side by side would send the same one twice.
        self._speaking = asyncio.Lock()
        self._beside: asyncio.Task[None] | None = None
        self._is_over = False
        self._rounds = 0
        self._was_overdue = False
        self.has_spoken = False

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
                next_at = None
            else:
                planned = await self.catch_up()
                next_at = planned or workflow.now() + policies.NOTHING_IN_SIGHT

    async def catch_up(self) -> datetime | None:
        """Send what is due; return when the next is, or None when none is in sight."""
        async with self._speaking:
            plan = await self._plan()
            if plan is None:
                return workflow.now() + self._next_round()
            if plan.is_promise_overdue and not self._was_overdue:
                self._was_overdue = True
                await self._steps.call_for_attention(
                    policies.PLAN_MAIL, "PromiseOverdue", keep=True
                )
            for email_id in plan.email_ids:
                if not await self._send(email_id):
                    return workflow.now() + self._next_round()
            self._rounds = 0
            if plan.email_ids:
                # What was found needless may leave another word due in its place.
                plan = await self._plan() or plan
            return plan.next_at

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
            outcome = await self._steps.regularly(
                policies.SEND_MAIL,
                EmailActivities.send_email,
                SendEmail(email_id=email_id),
                policies.ROUND_LASTS,
            )
            await self._steps.regularly(
                policies.RECORD_EMAIL,
                OrderActivities.record_email,
                RecordEmail(email_id=email_id, outcome=outcome),
                policies.ROUND_LASTS,
            )
        except ActivityError as error:
            await self._stumble(error)
            return False
        self.has_spoken = self.has_spoken or not outcome.is_needless
        await self._look_at(outcome)
        return True

    async def _look_at(self, outcome: EmailOutcome) -> None:
        """A mail that cannot reach the customer is silence: a person must see it."""
        if not outcome.is_sent and not outcome.is_needless:
            await self._steps.call_for_attention(
                policies.SEND_MAIL, "MailRefused", keep=True
            )

    async def _stumble(self, error: ActivityError) -> None:
        if is_cancelled_exception(error):
            # An owner canceled the workflow in the Temporal UI: that must go through.
            raise error
        await self._steps.call_for_attention(policies.SEND_MAIL, error)

    def _next_round(self) -> timedelta:
        self._rounds += 1
        return rung(policies.BETWEEN_ROUNDS, self._rounds - 1)
