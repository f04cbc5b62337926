"""Charging: from a claimed request to a proven charge or a proven nothing.

The PaymentIntent is created, stored, then confirmed by its id. It succeeds at most
once, so whatever is lost, repeated or reset on the way, there is one charge. A lost
reply is *unknown*, never *failed*: the processor is asked again on a ladder, and only
its own word ends the attempt.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.orders import OrderActivities
    from activities.payments import PaymentActivities
    from domain.causes import Cause
    from domain.deadlines import (
        BANK_CHECK_FOR,
        MAY_LEAVE_AFTER,
        PREPARE_WITHIN,
        UNKNOWN_FOR,
        rung,
    )
    from domain.messages import (
        CancelPaymentIntent,
        Charge,
        ConfirmPaymentIntent,
        CreatePaymentIntent,
        PaymentClaim,
        PreparePaymentIntent,
        RecordActionNeeded,
        RecordAsked,
        RecordNotCharged,
        RecordProcessing,
        StorePaymentIntent,
        charge_of,
    )
    from domain.payments import PaymentIntent, Verdict, judge
    from domain.states import AccessState, MoneyState, NotChargedReason
    from workflows import policies
    from workflows.steps import Steps


class Charging:
    """Settles one attempt of the buyer.

    Args:
        checkout_id: The checkout that pays.
        reference_code: What the processor's own pages show.
        claim: The claimed attempt.
        steps: Carries out the steps.
    """

    def __init__(
        self, checkout_id: UUID, reference_code: str, claim: PaymentClaim, steps: Steps
    ) -> None:
        self._checkout_id = checkout_id
        self._reference_code = reference_code
        self._claim = claim
        self._steps = steps
        self._intent_id = claim.payment_intent_id or ""
        self._begun_at = claim.claimed_at or workflow.now()
        self._deadline = self._begun_at + UNKNOWN_FOR
        self._asked_for_attention = False
        #: Set while, and after, the buyer was sent to the bank.
        self._bank_deadline: datetime | None = None
        self._is_at_bank = False
        #: We closed the attempt while the buyer was there.
        self._closed_at_bank = False
        self._is_refused = False
        self._confirmations = 0
        self._cancellations = 0
        self._rung = 0

    async def settle(self) -> Charge | RecordNotCharged | None:
        """Return the proven charge, or the proof that nothing was charged.

        None when the attempt has moved on without this run: the row tells how.
        """
        if self._claim.is_prepared:
            # An earlier run may have confirmed it: look before sending anything.
            intent: PaymentIntent | None = await self._look()
        else:
            intent = await self._prepare()
            if intent is None:
                return self._not_charged(NotChargedReason.NOT_SENT)
            if not await self._store(intent):
                return None
        return await self._follow(intent)

    async def _follow(self, intent: PaymentIntent | None) -> Charge | RecordNotCharged:
        """Do what the PaymentIntent asks for, until it proves something."""
        while True:
            verdict = judge(intent) if intent else Verdict.PENDING
            match verdict:
                case Verdict.CHARGED if intent:
                    return charge_of(intent)
                case Verdict.DECLINED if intent:
                    return self._not_charged(NotChargedReason.DECLINED, intent)
                case Verdict.CANCELED:
                    return self._not_charged(self._why_canceled())
                case Verdict.UNCONFIRMED if not self._is_overdue():
                    intent = await self._confirm()
                case Verdict.ACTION_NEEDED if intent and intent.next_action_url:
                    intent = await self._wait_for_bank(intent)
                case _:
                    intent = await self._wait_for_outcome()

    async def _prepare(self) -> PaymentIntent | None:
        """Have a PaymentIntent for this attempt; None when it cannot be had in time.

        Until its id is stored nothing can have been confirmed, so giving up here is a
        proof that no money moved. A run that begins late tries as long as any other.
        """
        until = workflow.now() + PREPARE_WITHIN
        while True:
            intent = await self._ready_kept()
            if intent is None or judge(intent) is Verdict.CANCELED:
                intent = await self._create()
            if intent is not None:
                return intent
            if workflow.now() + rung(policies.UNKNOWN_LADDER, self._rung) > until:
                return None
            await self._climb("the processor to take the request")

    async def _ready_kept(self) -> PaymentIntent | None:
        """Ready the PaymentIntent that an earlier attempt left, if one did."""
        if self._claim.payment_intent_id is None:
            return None
        return await self._steps.attempt(
            policies.PREPARE_INTENT,
            PaymentActivities.prepare_payment_intent,
            PreparePaymentIntent(
                checkout_id=self._checkout_id,
                payment_intent_id=self._claim.payment_intent_id,
                buyer_attempt=self._claim.buyer_attempt,
            ),
        )

    async def _create(self) -> PaymentIntent | None:
        return await self._steps.attempt(
            policies.CREATE_INTENT,
            PaymentActivities.create_payment_intent,
            CreatePaymentIntent(
                checkout_id=self._checkout_id,
                reference_code=self._reference_code,
                buyer_attempt=self._claim.buyer_attempt,
                price=self._claim.price,
            ),
        )

    async def _store(self, intent: PaymentIntent) -> bool:
        """Store the PaymentIntent's id before any money can move under it."""
        self._intent_id = intent.payment_intent_id
        return await self._steps.durably(
            policies.STORE_INTENT,
            OrderActivities.store_payment_intent,
            StorePaymentIntent(
                checkout_id=self._checkout_id,
                buyer_attempt=self._claim.buyer_attempt,
                payment_intent_id=intent.payment_intent_id,
            ),
        )

    async def _look(self) -> PaymentIntent | None:
        return await self._steps.attempt(
            policies.LOOK_UP, PaymentActivities.look_up_payment_intent, self._intent_id
        )

    async def _confirm(self) -> PaymentIntent | None:
        """Ask for the charge; None when the answer was lost.

        The first two go out under one key: the second replays the first's answer. After
        that the processor has shown the PaymentIntent unconfirmed twice, so a stored
        500 is being replayed, and only a new key gets through.
        """
        submission = max(0, self._confirmations - 1)
        if self._confirmations > 1:
            await self._steps.pause(
                self._not_past_deadline(
                    rung(policies.UNKNOWN_LADDER, self._confirmations)
                ),
                "the processor to take the charge",
            )
            if self._is_overdue() and workflow.patched("no charge past the deadline"):
                return None
        self._confirmations += 1
        confirmed = await self._steps.attempt(
            policies.CONFIRM,
            PaymentActivities.confirm_payment_intent,
            ConfirmPaymentIntent(
                checkout_id=self._checkout_id,
                payment_intent_id=self._intent_id,
                buyer_attempt=self._claim.buyer_attempt,
                payment_method=self._claim.payment_method or "",
                token_key_id=self._claim.token_key_id,
                submission=submission,
            ),
        )
        if self._steps.refusal is None:
            return confirmed
        return await self._close_refused()

    async def _close_refused(self) -> PaymentIntent | None:
        """After a final refusal close what the processor shows unconfirmed.

        The buyer must not wait hours for an attempt that cannot succeed any more.
        """
        intent = await self._look()
        if intent is None or judge(intent) is not Verdict.UNCONFIRMED:
            return intent
        self._is_refused = True
        return await self._cancel()

    async def _wait_for_bank(self, intent: PaymentIntent) -> PaymentIntent | None:
        """Wait until the buyer answered the bank, or close the attempt when time is up.

        The processor decides the race between a late answer and our cancellation.
        """
        if not self._is_at_bank:
            await self._send_to_bank(intent)
        deadline = self._bank_deadline or workflow.now()
        left = deadline - workflow.now()
        if left.total_seconds() <= 0:
            return await self._cancel()
        wait = min(rung(policies.BANK_LADDER, self._rung), left)
        if not await self._steps.pause(wait, "the buyer to answer the bank"):
            self._rung += 1
        after = await self._look()
        if after is not None and judge(after) is Verdict.PENDING:
            await self._leave_bank()
        return after or intent

    async def _send_to_bank(self, intent: PaymentIntent) -> None:
        self._is_at_bank = True
        self._rung = 0
        self._bank_deadline = workflow.now() + BANK_CHECK_FOR
        self._steps.now_stands(MoneyState.ACTION_NEEDED, AccessState.NONE)
        await self._steps.durably(
            policies.RECORD_ACTION,
            OrderActivities.record_action_needed,
            RecordActionNeeded(
                checkout_id=self._checkout_id,
                buyer_attempt=self._claim.buyer_attempt,
                next_action_url=intent.next_action_url or "",
            ),
        )

    async def _leave_bank(self) -> None:
        self._is_at_bank = False
        self._rung = 0
        self._steps.now_stands(MoneyState.UNKNOWN, AccessState.NONE)
        await self._steps.durably(
            policies.RECORD_PROCESSING,
            OrderActivities.record_processing,
            RecordProcessing(
                checkout_id=self._checkout_id,
                buyer_attempt=self._claim.buyer_attempt,
            ),
        )

    async def _wait_for_outcome(self) -> PaymentIntent | None:
        """Climb one rung, then ask; past the deadline close, and believe the answer."""
        await self._climb("the processor to know the outcome")
        await self._ask_for_attention_when_late()
        intent = await self._look()
        if intent is not None and _is_final(intent):
            return intent
        if self._is_overdue():
            return await self._cancel()
        await self._note_asked()
        return intent

    async def _note_asked(self) -> None:
        """Let page and mails say when we last asked; who waits for seconds needs none.

        Nothing hangs on it, so the ladder goes on when it cannot be written.
        """
        if workflow.now() - self._begun_at < MAY_LEAVE_AFTER:
            return
        await self._steps.attempt(
            policies.RECORD_ASKED,
            OrderActivities.record_asked,
            RecordAsked(
                checkout_id=self._checkout_id,
                buyer_attempt=self._claim.buyer_attempt,
                asked_at=workflow.now(),
            ),
        )

    async def _climb(self, reason: str) -> None:
        """Wait on this rung; a hint ends the wait and must not make the next longer."""
        wait = self._not_past_deadline(rung(policies.UNKNOWN_LADDER, self._rung))
        if not await self._steps.pause(wait, reason):
            self._rung += 1

    def _not_past_deadline(self, wait: timedelta) -> timedelta:
        """Shorten a wait that would pass the deadline, which pages and mails name.

        Beyond it there is nothing to wait for: closing has a ladder of its own.
        """
        left = self._deadline - workflow.now()
        return max(min(wait, left), policies.LEAST_WAIT)

    async def _ask_for_attention_when_late(self) -> None:
        late_at = self._begun_at + policies.UNKNOWN_ATTENTION_AFTER
        if not self._asked_for_attention and workflow.now() >= late_at:
            self._asked_for_attention = True
            await self._steps.call_for_attention(
                policies.LOOK_UP, Cause.OUTCOME_STILL_UNKNOWN
            )

    async def _cancel(self) -> PaymentIntent | None:
        """Close the PaymentIntent; the answer may still be that it succeeded."""
        self._closed_at_bank = self._is_at_bank
        submission = self._cancellations
        self._cancellations += 1
        canceled = await self._steps.attempt(
            policies.CANCEL,
            PaymentActivities.cancel_payment_intent,
            CancelPaymentIntent(
                checkout_id=self._checkout_id,
                payment_intent_id=self._intent_id,
                buyer_attempt=self._claim.buyer_attempt,
                submission=submission,
            ),
        )
        if canceled is None or not _is_final(canceled):
            await self._steps.pause(
                rung(policies.UNKNOWN_LADDER, submission + 2),
                "the processor to close the PaymentIntent",
            )
            return await self._look()
        return canceled

    def _is_overdue(self) -> bool:
        return workflow.now() >= self._deadline

    def _why_canceled(self) -> NotChargedReason:
        if self._is_refused:
            return NotChargedReason.METHOD_REFUSED
        if self._closed_at_bank:
            return NotChargedReason.BANK_CHECK_EXPIRED
        return NotChargedReason.CANCELED

    def _not_charged(
        self, reason: NotChargedReason, intent: PaymentIntent | None = None
    ) -> RecordNotCharged:
        return RecordNotCharged(
            checkout_id=self._checkout_id,
            buyer_attempt=self._claim.buyer_attempt,
            reason=reason,
            decline=intent.decline if intent else None,
        )


def _is_final(intent: PaymentIntent) -> bool:
    return judge(intent) in {Verdict.CHARGED, Verdict.CANCELED, Verdict.DECLINED}
