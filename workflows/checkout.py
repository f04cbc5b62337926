"""The checkout's workflow: charge, write the order, provision, send the receipt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.access import AccessActivities
    from activities.cases import CaseActivities
    from activities.orders import OrderActivities
    from activities.payments import PaymentActivities
    from domain.causes import Cause
    from domain.deadlines import MAY_LEAVE_AFTER, rung
    from domain.messages import (
        CancelPaymentIntent,
        Charge,
        CheckoutEnd,
        CheckoutInput,
        CheckoutResult,
        CheckoutStatus,
        GrantEntitlement,
        OrderWritten,
        PaymentClaim,
        RecordRepair,
        RepairRequest,
        WriteOrder,
        charge_of,
    )
    from domain.payments import PaymentIntent, Verdict, judge
    from domain.refunds import RefundRequest
    from domain.states import AccessState, MoneyState, Stage
    from observability import metrics
    from workflows import policies
    from workflows.aftercare import Aftercare, RefundAsked
    from workflows.charging import Charging
    from workflows.correspondence import Correspondent
    from workflows.steps import HistoryGrown, Steps


@workflow.defn
class CheckoutWorkflow:
    """Owns one checkout: whatever happens to it, happens here.

    It starts from the row, not from its arguments, so it can be started anew at any
    time: after an end, a loss, a reset. It then looks at what stands and does exactly
    what is missing.

    Signals:
        pay_requested: The buyer pressed Pay again, with another card.
        look_again: The processor may have news (webhook, return from the bank).
        request_refund: Money goes back; its row says how much and when.
        request_repair: Put right what is not; recorded with actor, reason, outcome.
    Query:
        status: Where the run stands, in words.
    """

    @workflow.init
    def __init__(self, checkout: CheckoutInput) -> None:
        self._checkout = checkout
        self._steps = Steps(checkout.checkout_id, checkout.reference_code)
        self._aftercare = Aftercare(checkout.checkout_id, self._steps)
        self._correspondent = Correspondent(
            checkout.checkout_id, self._steps, checkout.unsent
        )
        self._is_pay_requested = False
        self._repairs = list(checkout.repairs)
        self._repaired = {str(repair.repair_id) for repair in checkout.repairs}
        self._told_of = [
            repair.payment_intent_id
            for repair in checkout.repairs
            if repair.payment_intent_id is not None
        ]
        self._did = list(checkout.done)
        self._may_owe_word = checkout.is_continued
        if checkout.is_continued:
            self._aftercare.knock()
        self._news_seen = 0
        self._stays_until = workflow.now()

    @workflow.run
    async def run(self, _checkout: CheckoutInput) -> CheckoutResult:
        """See the class. `__init__` took the argument, before any signal."""
        try:
            return await self._deliver()
        except HistoryGrown:
            await self._correspondent.end()
            await workflow.wait_condition(workflow.all_handlers_finished)
            # As at the end of a run: nothing is awaited from here on, and the server
            # refuses to leave a signal unseen.
            workflow.continue_as_new(self._carried())
        finally:
            await self._correspondent.end()

    def _carried(self) -> CheckoutInput:
        """Return what the rows do not have, for the run that goes on."""
        return replace(
            self._checkout,
            is_continued=True,
            repairs=tuple(self._repairs),
            done=(
                *self._did,
                *self._aftercare.take_done(),
                *self._correspondent.take_done(),
            ),
            unsent=self._correspondent.unsent,
        )

    async def _deliver(self) -> CheckoutResult:
        """Charge, write the order, provision, send the receipt."""
        self._correspondent.begin()
        while (charge := await self._charge()) is None:
            result = await self._end(self._end_without_charge())
            if not (self._is_pay_requested or self._is_news()):
                return result
            # The buyer pressed Pay, or the processor has news, while this run was
            # staying for a mail or ending.
            self._correspondent.begin()
        order = await self._write_order(charge)
        if await self._provision(order):
            await self._send_receipt(order)
        self._may_owe_word = self._may_owe_word or not order.is_new
        return await self._end(
            CheckoutResult(end=CheckoutEnd.DELIVERED, order_id=order.order_id)
        )

    @workflow.signal
    def pay_requested(self) -> None:
        """Take up the buyer's next attempt; the row says which."""
        self._is_pay_requested = True
        self._steps.news += 1

    @workflow.signal
    def look_again(self) -> None:
        """End a wait: the processor may know more now. A hint, never the truth."""
        self._steps.news += 1
        self._aftercare.hear()

    @workflow.signal
    def request_refund(self, _refund: RefundRequest) -> None:
        """End a wait: a refund stands in the database, or was taken back."""
        self._aftercare.knock()

    @workflow.signal
    def request_repair(self, repair: RepairRequest) -> None:
        """End a wait and record the outcome; the same id twice is one repair."""
        if str(repair.repair_id) in self._repaired:
            return
        self._repaired.add(str(repair.repair_id))
        self._repairs.append(repair)
        if repair.payment_intent_id is not None:
            self._told_of.append(repair.payment_intent_id)
        # It looks at everything, the mails included.
        self._may_owe_word = True
        # Before access is opened, too, a repair may have to do with money going back.
        self._aftercare.hear()
        self._aftercare.knock()
        if workflow.patched("a repair stirs the mails"):
            # A notice that was written with it does not wait for the next mail's time.
            self._steps.changes += 1

    @workflow.query
    def status(self) -> CheckoutStatus:
        """Say where the run stands."""
        return CheckoutStatus(
            step=self._steps.doing,
            waiting_for=self._steps.waiting_for,
            money=self._steps.money,
            access=self._steps.access,
            repairs_pending=len(self._repairs),
        )

    async def _charge(self) -> Charge | None:
        """Carry out the buyer's attempts until one is charged or no more come."""
        while True:
            self._is_pay_requested = False
            claim = await self._claim()
            if claim.charge is not None:
                return claim.charge
            if (told := await self._look_at_told(claim)) is not None:
                return told
            if claim.stage is Stage.CHARGING:
                outcome = await self._settle(claim)
                if outcome is not None:
                    return outcome
                continue
            # Nothing is asked for. What the row calls not charged is looked at again
            # whenever there is news: the processor has the last word.
            charge = await self._late_charge(claim)
            # A press ended what a repair has us ask: it is asked again after the claim.
            is_put_off = bool(self._repairs) and self._is_pay_requested
            if charge is not None or not self._did or is_put_off:
                return charge
            await self._answer_repairs(CheckoutEnd.NOT_CHARGED)
            if not await self._another_card():
                return await self._close(claim)

    async def _claim(self) -> PaymentClaim:
        claim = await self._steps.durably(
            policies.CLAIM, OrderActivities.claim_payment, self._checkout.checkout_id
        )
        if claim.needs_attention:
            self._steps.inherit_attention()
        return claim

    async def _settle(self, claim: PaymentClaim) -> Charge | None:
        """Charge, or record that nothing was charged."""
        self._steps.now_stands(MoneyState.UNKNOWN, AccessState.NONE)
        outcome = await Charging(
            self._checkout.checkout_id,
            self._checkout.reference_code,
            claim,
            self._steps,
        ).settle()
        if isinstance(outcome, Charge):
            self._did.append("confirmed the charge")
            return outcome
        if outcome is None:
            # The attempt moved on without us; the next claim says where it stands.
            await self._steps.pause(policies.UNKNOWN_LADDER[0], "the row to settle")
            return None
        await self._steps.durably(
            policies.RECORD_NOT_CHARGED, OrderActivities.record_not_charged, outcome
        )
        self._steps.now_stands(MoneyState.NOT_CHARGED, AccessState.NONE)
        await self._steps.got_on()
        self._did.append(f"proved that nothing was charged ({outcome.reason})")
        if self._correspondent.has_spoken or self._is_slow(claim):
            # Who waited, or was told that we do not know, hears the answer at once.
            await self._correspondent.catch_up()
        self._count(outcome.reason)
        self._news_seen = self._steps.news
        self._stays_until = workflow.now() + policies.ANOTHER_CARD_WITHIN
        return None

    def _is_slow(self, claim: PaymentClaim) -> bool:
        return workflow.now() - (claim.claimed_at or workflow.now()) > MAY_LEAVE_AFTER

    async def _late_charge(self, claim: PaymentClaim) -> Charge | None:
        """Ask whether a PaymentIntent that was declined has succeeded after all."""
        is_news = not self._did or self._is_news()
        self._news_seen = self._steps.news
        if claim.payment_intent_id is None or not is_news:
            return None
        if self._repairs:
            return await self._ask_about(
                claim.payment_intent_id, but_not_beyond=lambda: self._is_pay_requested
            )
        return await self._look_at(claim.payment_intent_id)

    async def _look_at_told(self, claim: PaymentClaim) -> Charge | None:
        """Ask about the charges that somebody saw, before anything else is asked for.

        The row may not name them, as after a restore: what it names instead must not be
        settled, nor charged, while the money is here already.
        """
        while self._told_of:
            told = self._told_of[0]
            if told == claim.payment_intent_id:
                # It is asked about for as long as it takes below.
                charge = await self._look_at(told)
            else:
                charge = await self._ask_about(told)
            self._told_of = [one for one in self._told_of if one != told]
            if charge is not None:
                return charge
        return None

    async def _ask_about(
        self,
        payment_intent_id: str,
        *,
        but_not_beyond: Callable[[], bool] = lambda: False,
    ) -> Charge | None:
        """Ask about a charge that somebody saw, until the processor answers.

        Args:
            payment_intent_id: What they saw.
            but_not_beyond: Ends it without an answer.
        """
        begun_at, rungs, is_called = workflow.now(), 0, False
        while True:
            charge = await self._look_at(payment_intent_id)
            is_answered = self._steps.is_answered or self._steps.is_unknown_there
            if is_answered or not workflow.patched(policies.LOOKS_ARE_CARRIED_OUT):
                return charge
            is_late = workflow.now() - begun_at >= policies.UNKNOWN_ATTENTION_AFTER
            if is_late and not is_called:
                is_called = True
                await self._steps.call_for_attention(
                    policies.LOOK_UP, Cause.OUTCOME_STILL_UNKNOWN
                )
            self._steps.leave_when_grown()
            wait = rung(policies.UNKNOWN_LADDER, rungs)
            if not await self._steps.pause(wait, "the processor to tell of a charge"):
                rungs += 1
            if but_not_beyond():
                return None

    async def _look_at(self, payment_intent_id: str) -> Charge | None:
        return self._found(
            await self._steps.attempt(
                policies.LOOK_UP,
                PaymentActivities.look_up_payment_intent,
                payment_intent_id,
            )
        )

    async def _another_card(self) -> bool:
        """Stay for a while after a decline; False when the time is over."""
        left = self._stays_until - workflow.now()
        if left.total_seconds() <= 0:
            return False
        await self._steps.pause(left, "the buyer to try another card")
        return True

    async def _close(self, claim: PaymentClaim) -> Charge | None:
        """Close the declined PaymentIntent, so that it can never charge unseen."""
        if claim.payment_intent_id is None:
            return None
        closed = await self._steps.attempt(
            policies.CANCEL,
            PaymentActivities.cancel_payment_intent,
            CancelPaymentIntent(
                checkout_id=self._checkout.checkout_id,
                payment_intent_id=claim.payment_intent_id,
                buyer_attempt=claim.buyer_attempt,
            ),
        )
        return self._found(closed)

    def _found(self, intent: PaymentIntent | None) -> Charge | None:
        if intent is None or judge(intent) is not Verdict.CHARGED:
            return None
        if intent.checkout_id != self._checkout.checkout_id:
            return None
        self._did.append("found a charge that the row did not know")
        return charge_of(intent)

    async def _write_order(self, charge: Charge) -> OrderWritten:
        self._steps.now_stands(MoneyState.CHARGED, AccessState.PENDING)
        owed = WriteOrder(checkout_id=self._checkout.checkout_id, charge=charge)
        order = await self._steps.attempt(
            policies.WRITE_ORDER, OrderActivities.write_order, owed
        )
        if order is None:
            # The order may have to wait, but not the truth: the page can say at once
            # that the money arrived.
            await self._steps.attempt(
                policies.RECORD_CHARGE, OrderActivities.record_charge, owed
            )
            order = await self._steps.durably(
                policies.WRITE_ORDER, OrderActivities.write_order, owed
            )
        if order.is_new:
            self._did.append("wrote the order")
        self._aftercare.has_aftermath |= order.has_aftermath
        return order

    async def _provision(self, order: OrderWritten) -> bool:
        """Open access, unless the money goes back first; False when access is over."""
        if order.is_access_ended:
            self._steps.now_stands(order.money, AccessState.ENDED)
            return False
        while not order.is_granted:
            await self._let_refund_go_first()
            if self._aftercare.has_ended_access:
                return False
            try:
                await self._grant(order)
            except RefundAsked:
                continue
            break
        self._steps.now_stands(order.money, AccessState.ACTIVE)
        return True

    async def _grant(self, order: OrderWritten) -> None:
        await self._steps.durably(
            policies.GRANT,
            AccessActivities.grant_entitlement,
            GrantEntitlement(
                checkout_id=self._checkout.checkout_id,
                entitlement_id=order.entitlement_id,
                was_interrupted=self._steps.met_trouble,
            ),
            before_round=self._aftercare.leave_if_asked,
        )
        self._did.append("opened access")
        self._count("delivered")

    async def _let_refund_go_first(self) -> None:
        """Open nothing while the whole price may be going back, and access with it.

        A repair may come days late: the money may have gone back past us since.
        """
        look_afresh = bool(self._repairs) or self._checkout.is_continued
        while self._aftercare.has_aftermath:
            wait = await self._aftercare.holds_access(look_afresh=look_afresh)
            look_afresh = False
            self._did += self._aftercare.take_done()
            if wait is None:
                return
            await self._answer_looked_at(CheckoutEnd.DELIVERED)
            self._steps.leave_when_grown()
            await self._steps.pause(wait, "the refund, before access is opened")

    async def _send_receipt(self, order: OrderWritten) -> None:
        """Send the receipt, unless it left or an operator must decide about it.

        A mail server that is away holds nothing else up: what does not leave at once is
        owed like any other mail, and refunds go on meanwhile.
        """
        if order.is_receipt_sent or order.is_receipt_refused:
            return
        await self._correspondent.send_receipt(order.receipt_id)
        self._did += self._correspondent.take_done()

    async def _end(self, result: CheckoutResult) -> CheckoutResult:
        """Answer the repairs, leave the index true, and let no signal be lost."""
        is_news = self._checkout.is_continued
        while True:
            if result.order_id is None and self._is_news():
                # It may be a charge: who has none must look before anything else.
                return result
            news_seen = self._steps.news
            wait = await self._tend(result, look_afresh=is_news)
            if self._aftercare.has_ended_access:
                result = replace(result, end=self._end_of_access())
            next_word = await self._until_next_word()
            await self._answer_looked_at(result.end)
            if wait is None and not self._correspondent.is_stuck:
                # What was put right is so now, whatever mail may still be to come.
                await self._steps.got_on()
            wait = _sooner(wait, next_word)
            if self._steps.news != news_seen:
                # It came while the mail was seen to. The next wait may be of weeks.
                is_news = True
                continue
            if wait is not None:
                self._steps.leave_when_grown()
                is_news = await self._steps.pause(wait, "a refund or the next mail")
                continue
            await self._steps.finish()
            await self._correspondent.end()
            await workflow.wait_condition(workflow.all_handlers_finished)
            # Nothing is awaited between this look and the end of the run, and the
            # server refuses to end a run that has a signal unseen: none is lost.
            if not self._repairs and not self._aftercare.has_aftermath:
                return result
            self._correspondent.begin()

    def _is_news(self) -> bool:
        """Whether a hint or a repair came since the processor was last asked."""
        return self._steps.news != self._news_seen

    async def _until_next_word(self) -> timedelta | None:
        """Say what is owed; how long to stay for the next, None to leave it to the row.

        When nothing went wrong in this run there is nothing to look for.
        """
        if self._is_pay_requested or not self._needs_word():
            return None
        next_at = await self._correspondent.catch_up()
        self._did += self._correspondent.take_done()
        if next_at is None or next_at - workflow.now() > policies.STAYS_FOR_MAIL:
            return None
        return max(next_at - workflow.now(), policies.LEAST_WAIT)

    def _needs_word(self) -> bool:
        is_smooth = self._steps.money is MoneyState.CHARGED and not (
            self._may_owe_word
            or self._steps.met_trouble
            or self._correspondent.has_spoken
        )
        return not is_smooth

    async def _tend(
        self, result: CheckoutResult, *, look_afresh: bool
    ) -> timedelta | None:
        """Do what is due about refunds; how long until more is, None for nothing."""
        # What the processor has not answered has a time of its own.
        is_asked = look_afresh or (
            bool(self._repairs) and not self._aftercare.owes_look
        )
        if result.order_id is None:
            # Without a charge there is nothing to give back.
            self._aftercare.has_aftermath = False
            return None
        if not is_asked and not self._aftercare.has_aftermath:
            return None
        wait = await self._aftercare.tend(look_afresh=is_asked)
        done = self._aftercare.take_done()
        self._may_owe_word = self._may_owe_word or bool(done)
        self._did += done
        return wait

    async def _answer_looked_at(self, end: CheckoutEnd) -> None:
        """Answer the repairs, unless the look that they ask for is owed still."""
        if not self._aftercare.owes_look:
            await self._answer_repairs(end)

    async def _answer_repairs(self, end: CheckoutEnd) -> None:
        while self._repairs:
            repair = self._repairs[0]
            done = ", ".join(self._did) or "found nothing missing"
            await self._steps.durably(
                policies.RECORD_REPAIR,
                CaseActivities.record_repair,
                RecordRepair(
                    checkout_id=self._checkout.checkout_id,
                    repair=repair,
                    outcome=f"{end}: {done}",
                ),
            )
            # Not before: a run that is left meanwhile carries it along.
            self._repairs.pop(0)

    def _end_of_access(self) -> CheckoutEnd:
        is_returned = self._steps.money is MoneyState.REFUNDED
        return CheckoutEnd.REFUNDED if is_returned else CheckoutEnd.ENDED

    def _end_without_charge(self) -> CheckoutResult:
        self._steps.now_stands(MoneyState.NOT_CHARGED, AccessState.NONE)
        end = CheckoutEnd.NOT_CHARGED if self._did else CheckoutEnd.NOTHING_REQUESTED
        return CheckoutResult(end=end)

    def _count(self, outcome: str) -> None:
        metrics.count(workflow.metric_meter(), metrics.CHECKOUTS, outcome=outcome)


def _sooner(one: timedelta | None, other: timedelta | None) -> timedelta | None:
    return min((wait for wait in (one, other) if wait is not None), default=None)
