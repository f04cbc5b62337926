"""What comes after a charge: refunds, disputes, changes, and the end of access.

The database says what is due; this asks the processor and the application for it, one
step after the other. The checkout's own workflow does it, so that a refund never races
the opening of access: there is a single writer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.access import AccessActivities
    from activities.payments import PaymentActivities
    from activities.refunds import RefundActivities
    from domain.causes import Cause
    from domain.changes import ChangeEntitlement
    from domain.deadlines import rung
    from domain.payments import PaymentIntent, Verdict, judge
    from domain.refunds import (
        AskNextRefundStep,
        EndEntitlement,
        RecordRefunds,
        RecordSecondCharge,
        Refund,
        RefundPaymentIntent,
        RefundStep,
        RefundStepKind,
    )
    from domain.states import AccessState
    from workflows import policies
    from workflows.policies import LocalStep
    from workflows.steps import Steps

S = TypeVar("S")


class RefundAsked(Exception):
    """While the application could not be told, something was asked for: look first."""


class Aftercare:
    """Tends one checkout after its charge.

    Costs nothing while nobody asks: no row, no signal, no repair.

    Args:
        checkout_id: The charged checkout.
        steps: Carries out the steps.

    Attributes:
        has_aftermath: The database has, or may have, something to do.
        is_knocked: Somebody asked since the database was last asked.
        owes_look: The processor has not answered what somebody had us ask.
    """

    def __init__(self, checkout_id: UUID, steps: Steps) -> None:
        self._checkout_id = checkout_id
        self._steps = steps
        self._is_late_told = False
        self._did: list[str] = []
        self._has_news = False
        #: When the processor is asked again what it has not answered; None when it has.
        self._look_at: datetime | None = None
        self._unanswered = 0
        self.has_aftermath = False
        self.is_knocked = False

    @property
    def has_ended_access(self) -> bool:
        """Access is over, and never opens again."""
        return self._steps.access is AccessState.ENDED

    @property
    def owes_look(self) -> bool:
        """See the class."""
        return self._look_at is not None

    def knock(self) -> None:
        """Somebody asks for a refund; the row says which."""
        self.is_knocked = self.has_aftermath = True
        self._steps.news += 1

    def hear(self) -> None:
        """The processor may know more: telling the application is left for a look."""
        self._has_news = True

    def take_done(self) -> list[str]:
        """Return what was done since the last call, in words."""
        done, self._did = self._did, []
        return done

    def leave_if_asked(self) -> None:
        """End the attempts to open or end access while a refund may have to go first.

        Raises:
            RefundAsked: There is something to look at first.
        """
        if self.is_knocked:
            raise RefundAsked

    def _leave_if_heard(self) -> None:
        """Likewise when there is news, which may be a dispute.

        Raises:
            RefundAsked: There is something to look at first.
        """
        self.leave_if_asked()
        if self._has_news or self._is_look_due():
            raise RefundAsked

    def _is_look_due(self) -> bool:
        return self._look_at is not None and workflow.now() >= self._look_at

    async def holds_access(self, *, look_afresh: bool) -> timedelta | None:
        """Do what is due before access is opened.

        Args:
            look_afresh: As in `tend`.

        Returns:
            How long access must stay closed before this is asked again: the whole
            price may be going back. None when it may be opened, or has ended.
        """
        if look_afresh:
            # Who has paid does not wait for the processor's answer: it is asked again.
            await self._look_afresh(is_patient=False)
        wait, step = await self._tend()
        return wait if step.holds_access and not self.has_ended_access else None

    async def tend(self, *, look_afresh: bool) -> timedelta | None:
        """Do what is due, and say how long until more is; None when nothing is left.

        Args:
            look_afresh: Somebody has news, or asks for a repair: also what was made
                past us at the processor must be found.
        """
        if look_afresh or self._is_look_due():
            await self._look_afresh(is_patient=True)
        wait, _ = await self._tend()
        if self._look_at is not None:
            look = max(self._look_at - workflow.now(), policies.LEAST_WAIT)
            wait = look if wait is None else min(wait, look)
        self.has_aftermath = wait is not None or self.is_knocked
        return wait

    async def _tend(self) -> tuple[timedelta | None, RefundStep]:
        while True:
            self.is_knocked = False
            step = await self._next()
            match step.kind:
                case RefundStepKind.PROVE:
                    await self._prove(step)
                case RefundStepKind.LOOK:
                    await self._look(step.payment_intent_id or "")
                case RefundStepKind.SUBMIT if step.submit is not None:
                    await self._submit(step.submit)
                case RefundStepKind.END_ACCESS if step.entitlement_id is not None:
                    # An application that is down must not keep money from going back.
                    await self._unless_heard(
                        self._end_access(step.entitlement_id, is_over=step.is_over)
                    )
                case RefundStepKind.TELL_CHANGE if step.entitlement_id is not None:
                    await self._unless_heard(
                        self._tell_change(step.entitlement_id, step.until)
                    )
                case RefundStepKind.WAIT if step.until is not None:
                    wait = step.until - workflow.now()
                    return max(wait, policies.LEAST_WAIT_FOR_MONEY), step
                case _:
                    return None, step

    async def _unless_heard(self, telling: Awaitable[None]) -> None:
        """Tell the application, and look afresh where that was left for news."""
        self._has_news = False
        try:
            await telling
        except RefundAsked:
            if self._has_news or self._is_look_due():
                await self._look_afresh(is_patient=False)

    async def _next(self) -> RefundStep:
        step = await self._steps.durably(
            policies.NEXT_REFUND_STEP,
            RefundActivities.next_refund_step,
            AskNextRefundStep(checkout_id=self._checkout_id, now=workflow.now()),
        )
        self._steps.now_stands(step.money, step.access)
        if step.needs_person:
            self._steps.leave_to_a_person()
        if step.is_late and not self._is_late_told:
            self._is_late_told = True
            await self._steps.call_for_attention(
                policies.REFUND, Cause.REFUND_STILL_UNKNOWN
            )
        return step

    async def _submit(self, request: RefundPaymentIntent) -> None:
        """Send it, and write what came back; a lost answer is looked for later."""
        refund = await self._steps.attempt(
            policies.REFUND, PaymentActivities.refund_payment_intent, request
        )
        if refund is not None:
            await self._record(request.payment_intent_id, (refund,))
        elif self._steps.refusal is not None:
            await self._look(request.payment_intent_id, refused=request.refund_id)

    async def _look(
        self, payment_intent_id: str, *, refused: UUID | None = None
    ) -> None:
        """Ask the processor what it has; unanswered, the next look comes later."""
        why = self._steps.refused_why
        shown = await self._steps.attempt(
            policies.LIST_REFUNDS, PaymentActivities.list_refunds, payment_intent_id
        )
        await self._record(
            payment_intent_id,
            None if shown is None else tuple(shown),
            is_complete=shown is not None,
            refused=refused,
            refusal=why,
        )

    async def _look_afresh(self, *, is_patient: bool) -> None:
        """Ask for everything that may have been made past us.

        Args:
            is_patient: Stay with it for a round; otherwise an answer that does not come
                at once is asked for later.
        """
        self._look_at = None
        step = await self._next()
        for payment_intent_id in step.payment_intent_ids:
            if not await self._look_at_charge(payment_intent_id, is_patient):
                wait = rung(policies.BETWEEN_ROUNDS, self._unanswered)
                self._look_at = workflow.now() + wait
                self._unanswered += 1
                return
        self._unanswered = 0

    async def _look_at_charge(self, payment_intent_id: str, is_patient: bool) -> bool:
        """Write down what the processor shows of a charge; False to ask it again."""
        disputes = await self._ask(
            policies.LIST_DISPUTES,
            PaymentActivities.list_disputes,
            payment_intent_id,
            is_patient,
        )
        if disputes is None and workflow.patched(policies.LOOKS_ARE_CARRIED_OUT):
            return False
        refunds = await self._ask(
            policies.LIST_REFUNDS,
            PaymentActivities.list_refunds,
            payment_intent_id,
            is_patient,
        )
        recorded = await self._steps.durably(
            policies.RECORD_REFUNDS,
            RefundActivities.record_refunds,
            RecordRefunds(
                checkout_id=self._checkout_id,
                payment_intent_id=payment_intent_id,
                now=workflow.now(),
                refunds=None if refunds is None else tuple(refunds),
                is_complete=refunds is not None,
                disputes=tuple(disputes or ()),
            ),
        )
        if recorded.outside:
            self._did.append("found a refund that was made past us")
        if recorded.disputes:
            self._did.append("found a dispute")
        return refunds is not None or not workflow.patched(
            policies.LOOKS_ARE_CARRIED_OUT
        )

    async def _ask(
        self,
        step: LocalStep,
        activity: Callable[[Any, str], Awaitable[list[S]]],
        payment_intent_id: str,
        is_patient: bool,
    ) -> list[S] | None:
        """Return what the processor lists; None when it has not answered."""
        shown = await self._steps.attempt(step, activity, payment_intent_id)
        if shown is not None or not workflow.patched(policies.LOOKS_ARE_CARRIED_OUT):
            return shown
        if self._steps.is_unknown_there:
            self._did.append(f"the processor does not know {payment_intent_id}")
            return []
        if not is_patient:
            return None
        return await self._steps.for_a_round(step, activity, payment_intent_id)

    async def _record(
        self,
        payment_intent_id: str,
        refunds: tuple[Refund, ...] | None,
        *,
        is_complete: bool = False,
        refused: UUID | None = None,
        refusal: str = "",
    ) -> None:
        recorded = await self._steps.durably(
            policies.RECORD_REFUNDS,
            RefundActivities.record_refunds,
            RecordRefunds(
                checkout_id=self._checkout_id,
                payment_intent_id=payment_intent_id,
                now=workflow.now(),
                refunds=refunds,
                is_complete=is_complete,
                refused_refund_id=refused,
                refusal=refusal,
            ),
        )
        if recorded.returned:
            self._did.append("gave money back")
        if recorded.failed:
            self._did.append("found that a refund failed")

    async def _prove(self, step: RefundStep) -> None:
        """Return a second charge only when the processor itself shows both."""
        suspect = step.payment_intent_id or ""
        own = step.payment_intent_ids[0]
        second, first = await self._look_up(suspect), await self._look_up(own)
        is_known = second is not None and first is not None
        is_proven = is_known and self._is_ours(first) and self._is_ours(second)
        proven = await self._steps.durably(
            policies.RECORD_SECOND_CHARGE,
            RefundActivities.record_second_charge,
            RecordSecondCharge(
                checkout_id=self._checkout_id,
                payment_intent_id=suspect,
                now=workflow.now(),
                taken=second.price if second is not None else None,
                is_proven=is_proven,
                is_refuted=is_known and not is_proven,
            ),
        )
        if proven:
            self._did.append("proved a second charge")

    async def _look_up(self, payment_intent_id: str) -> PaymentIntent | None:
        return await self._steps.attempt(
            policies.LOOK_UP,
            PaymentActivities.look_up_payment_intent,
            payment_intent_id,
        )

    def _is_ours(self, intent: PaymentIntent | None) -> bool:
        return (
            intent is not None
            and judge(intent) is Verdict.CHARGED
            and intent.checkout_id == self._checkout_id
        )

    async def _end_access(self, entitlement_id: UUID, *, is_over: bool) -> None:
        await self._steps.durably(
            policies.END_ACCESS,
            AccessActivities.end_entitlement,
            EndEntitlement(
                checkout_id=self._checkout_id,
                entitlement_id=entitlement_id,
                is_over=is_over,
            ),
            before_round=self._leave_if_heard,
        )
        self._did.append("ended access" + (": its time is over" if is_over else ""))

    async def _tell_change(self, entitlement_id: UUID, until: datetime | None) -> None:
        """Have the application follow what a person changed, however long it is away.

        Money goes first: a refund that is asked for meanwhile, or whose time comes.
        """

        def leave_for_money() -> None:
            self._leave_if_heard()
            if until is not None and workflow.now() >= until:
                raise RefundAsked

        await self._steps.durably(
            policies.TELL_CHANGE,
            AccessActivities.change_entitlement,
            ChangeEntitlement(
                checkout_id=self._checkout_id, entitlement_id=entitlement_id
            ),
            before_round=leave_for_money,
            wake_at=until,
        )
        self._did.append("told the application what was changed")
