"""A small world for workflow tests: the activities' names, with scripted answers.

The fakes keep the promises of the real activities' docstrings, chiefly that a
PaymentIntent succeeds at most once, and write down everything they were asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.failures import FailureKind
from database.cases import FOR_PEOPLE
from domain.causes import Cause
from domain.emails import EmailKind
from domain.messages import (
    CancelPaymentIntent,
    CloseCase,
    ConfirmPaymentIntent,
    Correspondence,
    CreatePaymentIntent,
    EmailOutcome,
    GrantEntitlement,
    OpenCase,
    OrderWritten,
    PaymentClaim,
    PlanCorrespondence,
    PreparePaymentIntent,
    RecordActionNeeded,
    RecordAsked,
    RecordEmail,
    RecordNotCharged,
    RecordProcessing,
    RecordRepair,
    SendEmail,
    StorePaymentIntent,
    WriteOrder,
    charge_of,
)
from domain.money import Money
from domain.payments import PaymentIntent, PaymentIntentStatus
from domain.refunds import (
    AskNextRefundStep,
    Dispute,
    RecordRefunds,
    Refund,
    RefundsRecorded,
    RefundStep,
    RefundStepKind,
)
from domain.states import (
    AccessState,
    DeclineClass,
    MoneyState,
    NotChargedReason,
    Stage,
)
from tests.workflows.post import Post

PRICE = Money(amount_minor=24900, currency="usd")

Answer = Callable[[PaymentIntent], PaymentIntent]


def lost(_intent: PaymentIntent) -> PaymentIntent:
    """Lose the reply; whatever happened before stays."""
    raise ApplicationError(
        "no_reply", type=FailureKind.OUTCOME_UNKNOWN, non_retryable=True
    )


def refused(_intent: PaymentIntent) -> PaymentIntent:
    """Refuse the request by our own fault."""
    raise ApplicationError(
        "invalid_api_key", type=FailureKind.REFUSED_BY_OUR_FAULT, non_retryable=True
    )


def refuses_method(_intent: PaymentIntent) -> PaymentIntent:
    """Say that what the buyer entered cannot be used."""
    raise ApplicationError(
        "resource_missing", type=FailureKind.METHOD_REFUSED, non_retryable=True
    )


def succeeds(intent: PaymentIntent) -> PaymentIntent:
    """Move the money."""
    return replace(
        intent,
        status=PaymentIntentStatus.SUCCEEDED,
        charged_at=datetime(2026, 11, 23, 14, 32, tzinfo=UTC),
        card_brand="visa",
        card_last4="4242",
        decline=None,
        next_action_url=None,
    )


def declines(intent: PaymentIntent) -> PaymentIntent:
    """Decline the card."""
    return replace(
        intent,
        status=PaymentIntentStatus.REQUIRES_PAYMENT_METHOD,
        decline=DeclineClass.OTHER_CARD,
    )


def asks_bank(intent: PaymentIntent) -> PaymentIntent:
    """Send the buyer to the bank."""
    return replace(
        intent,
        status=PaymentIntentStatus.REQUIRES_ACTION,
        next_action_url="http://bank.test/1",
    )


def processes(intent: PaymentIntent) -> PaymentIntent:
    """Stay at it."""
    return replace(intent, status=PaymentIntentStatus.PROCESSING, next_action_url=None)


def succeeds_but_reply_lost(world: World) -> Answer:
    """Move the money and lose the reply."""

    def answer(intent: PaymentIntent) -> PaymentIntent:
        world.intent = succeeds(intent)
        return lost(intent)

    return answer


def stays(intent: PaymentIntent) -> PaymentIntent:
    """Show it as it stands."""
    return intent


def cancels(intent: PaymentIntent) -> PaymentIntent:
    """Close it, unless it succeeded already."""
    if intent.status is PaymentIntentStatus.SUCCEEDED:
        return intent
    return replace(intent, status=PaymentIntentStatus.CANCELED, next_action_url=None)


async def _machine_time() -> datetime:
    return datetime.now(UTC)


@dataclass
class World:
    """One checkout and the outside that answers for it.

    Attributes:
        confirm: What each confirmation does, in turn; the last one repeats.
        look: What each look shows, in turn; the last one repeats.
        cancel: Likewise for cancellations.
        deferred: Mails that the mail server puts off for ever.
        failing: Activity names that fail while they are in it, with the error type.
        asked: Every activity call, in order.
    """

    confirm: Sequence[Answer] = (succeeds,)
    look: Sequence[Answer] = (stays,)
    cancel: Sequence[Answer] = (cancels,)
    failing: dict[str, str] = field(default_factory=dict)
    receipt_refusal: str | None = None
    deferred: set[UUID] = field(default_factory=set)
    checkout_id: UUID = field(default_factory=uuid4)
    stage: Stage = Stage.REQUESTED
    attempt: int = 1
    is_prepared: bool = False
    intent: PaymentIntent | None = None
    charge: Any = None
    is_ordered: bool = False
    is_granted: bool = False
    is_receipt_sent: bool = False
    is_receipt_refused: bool = False
    not_charged: list[RecordNotCharged] = field(default_factory=list)
    cases: list[OpenCase] = field(default_factory=list)
    is_case_open: bool = False
    open_for: str = ""
    repairs: list[RecordRepair] = field(default_factory=list)
    confirmations: list[ConfirmPaymentIntent] = field(default_factory=list)
    asked: list[tuple[str, datetime]] = field(default_factory=list)
    post: Post = field(default_factory=Post)
    #: The server's clock, which skips; the machine's own does not.
    now: Callable[[], Awaitable[datetime]] = _machine_time

    def count(self, name: str) -> int:
        """Return how often an activity was asked."""
        return sum(1 for asked, _ in self.asked if asked == name)

    def pay_again(self) -> None:
        """Let the buyer press Pay once more."""
        self.stage, self.attempt, self.is_prepared = (
            Stage.REQUESTED,
            self.attempt + 1,
            False,
        )

    def _note(self, name: str) -> None:
        self.asked.append((name, datetime.now(UTC)))
        if name in self.failing:
            raise ApplicationError("scripted", type=self.failing[name])

    def _next(self, answers: Sequence[Answer], turn: int) -> PaymentIntent:
        assert self.intent is not None
        self.intent = answers[min(turn, len(answers) - 1)](self.intent)
        return self.intent

    @property
    def activities(self) -> list[Callable[..., Any]]:
        """Return the fakes, for a Worker."""
        return [
            value
            for name in dir(type(self))
            if hasattr(
                value := getattr(type(self), name), "__temporal_activity_definition"
            )
            and (value := getattr(self, name))
        ]

    @activity.defn
    async def claim_payment(self, checkout_id: UUID) -> PaymentClaim:
        """Fake."""
        self._note("claim_payment")
        assert checkout_id == self.checkout_id
        if self.stage is Stage.REQUESTED:
            self.stage = Stage.CHARGING
            self.post.stands(
                money=MoneyState.UNKNOWN,
                buyer_attempt=self.attempt,
                pay_requested_at=await self.now(),
                bank_asked_at=None,
                bank_answered_at=None,
            )
        return PaymentClaim(
            stage=self.stage,
            price=PRICE,
            buyer_attempt=self.attempt,
            claimed_at=None,
            payment_method="pm_card_visa",
            payment_intent_id=self.intent.payment_intent_id if self.intent else None,
            token_key_id="k",
            is_prepared=self.is_prepared,
            needs_attention=self.is_case_open,
            charge=self.charge,
        )

    @activity.defn
    async def create_payment_intent(
        self, request: CreatePaymentIntent
    ) -> PaymentIntent:
        """Fake."""
        self._note("create_payment_intent")
        self.intent = PaymentIntent(
            payment_intent_id=f"pi_{request.buyer_attempt}",
            status=PaymentIntentStatus.REQUIRES_PAYMENT_METHOD,
            price=request.price,
            checkout_id=request.checkout_id,
        )
        return self.intent

    @activity.defn
    async def prepare_payment_intent(
        self, request: PreparePaymentIntent
    ) -> PaymentIntent:
        """Fake."""
        self._note("prepare_payment_intent")
        assert self.intent is not None
        assert self.intent.payment_intent_id == request.payment_intent_id
        self.intent = replace(self.intent, decline=None)
        return self.intent

    @activity.defn
    async def store_payment_intent(self, store: StorePaymentIntent) -> bool:
        """Fake."""
        self._note("store_payment_intent")
        if self.stage is not Stage.CHARGING:
            return False
        assert store.buyer_attempt == self.attempt
        self.is_prepared = True
        return True

    @activity.defn
    async def confirm_payment_intent(
        self, request: ConfirmPaymentIntent
    ) -> PaymentIntent:
        """Fake; refuses to confirm what was not stored first."""
        self._note("confirm_payment_intent")
        assert self.is_prepared
        self.confirmations.append(request)
        return self._next(self.confirm, len(self.confirmations) - 1)

    @activity.defn
    async def look_up_payment_intent(self, payment_intent_id: str) -> PaymentIntent:
        """Fake."""
        self._note("look_up_payment_intent")
        assert self.intent is not None
        assert self.intent.payment_intent_id == payment_intent_id
        return self._next(self.look, self.count("look_up_payment_intent") - 1)

    @activity.defn
    async def cancel_payment_intent(
        self, request: CancelPaymentIntent
    ) -> PaymentIntent:
        """Fake."""
        self._note("cancel_payment_intent")
        assert request.checkout_id == self.checkout_id
        return self._next(self.cancel, self.count("cancel_payment_intent") - 1)

    @activity.defn
    async def record_action_needed(self, record: RecordActionNeeded) -> None:
        """Fake."""
        self._note("record_action_needed")
        assert record.next_action_url == "http://bank.test/1"
        self.post.stands(money=MoneyState.ACTION_NEEDED, bank_asked_at=await self.now())

    @activity.defn
    async def record_processing(self, record: RecordProcessing) -> None:
        """Fake."""
        self._note("record_processing")
        assert record.buyer_attempt == self.attempt
        self.post.stands(money=MoneyState.UNKNOWN, bank_answered_at=await self.now())

    @activity.defn
    async def record_asked(self, record: RecordAsked) -> None:
        """Fake."""
        self._note("record_asked")
        assert record.buyer_attempt == self.attempt

    @activity.defn
    async def record_not_charged(self, record: RecordNotCharged) -> None:
        """Fake."""
        self._note("record_not_charged")
        self.not_charged.append(record)
        self.stage = Stage.OPEN
        self.post.stands(
            money=MoneyState.NOT_CHARGED,
            ended_at=await self.now(),
            reason=record.reason,
        )
        if record.reason is not NotChargedReason.DECLINED:
            self.intent = None

    @activity.defn
    async def record_charge(self, order: WriteOrder) -> None:
        """Fake."""
        self._note("record_charge")
        self.charge = order.charge
        await self._arrive()

    @activity.defn
    async def write_order(self, order: WriteOrder) -> OrderWritten:
        """Fake."""
        self._note("write_order")
        assert self.intent is not None
        assert order.charge == charge_of(self.intent)
        is_new, self.is_ordered = not self.is_ordered, True
        self.stage, self.charge = Stage.CHARGED, order.charge
        await self._arrive()
        return OrderWritten(
            order_id=self.checkout_id,
            entitlement_id=self.checkout_id,
            receipt_id=self.checkout_id,
            is_granted=self.is_granted,
            is_receipt_sent=self.is_receipt_sent,
            is_receipt_refused=self.is_receipt_refused,
            is_new=is_new,
        )

    @activity.defn
    async def grant_entitlement(self, grant: GrantEntitlement) -> None:
        """Fake."""
        self._note("grant_entitlement")
        assert grant.entitlement_id == self.checkout_id
        self.is_granted = True
        self.post.stands(access=AccessState.ACTIVE, granted_at=await self.now())

    async def _arrive(self) -> None:
        """Let the world know that the money is there, from now on."""
        if self.post.standing.money is not MoneyState.CHARGED:
            self.post.stands(
                money=MoneyState.CHARGED,
                access=AccessState.ACTIVE if self.is_granted else AccessState.PENDING,
                charged_at=await self.now(),
            )

    @activity.defn
    async def plan_correspondence(self, plan: PlanCorrespondence) -> Correspondence:
        """Fake; the cadence is the real one."""
        self._note("plan_correspondence")
        assert plan.checkout_id == self.checkout_id
        planned = self.post.plan(plan.checkout_id, plan.now)
        is_settled = self.is_receipt_sent or self.is_receipt_refused
        if not self.is_granted or is_settled:
            return planned
        return replace(planned, email_ids=(self.checkout_id, *planned.email_ids))

    @activity.defn
    async def next_refund_step(self, ask: AskNextRefundStep) -> RefundStep:
        """Fake: nothing is ever due; `test_refunds` has the real one."""
        self._note("next_refund_step")
        assert ask.checkout_id == self.checkout_id
        return RefundStep(
            kind=RefundStepKind.NOTHING,
            money=MoneyState.CHARGED,
            access=AccessState.ACTIVE,
            payment_intent_ids=("pi_1",),
        )

    @activity.defn
    async def list_refunds(self, payment_intent_id: str) -> list[Refund]:
        """Fake."""
        self._note("list_refunds")
        assert payment_intent_id == "pi_1"
        return []

    @activity.defn
    async def list_disputes(self, payment_intent_id: str) -> list[Dispute]:
        """Fake."""
        self._note("list_disputes")
        assert payment_intent_id == "pi_1"
        return []

    @activity.defn
    async def record_refunds(self, record: RecordRefunds) -> RefundsRecorded:
        """Fake."""
        self._note("record_refunds")
        assert record.checkout_id == self.checkout_id
        return RefundsRecorded()

    @activity.defn
    async def send_email(self, send: SendEmail) -> EmailOutcome:
        """Fake."""
        self._note("send_email")
        if send.email_id in self.deferred:
            # One try a round: over days the time-skipping server can lose the timer
            # that ends a round of many, and then tries for ever.
            raise ApplicationError(
                "450 4.2.0", type=FailureKind.MAIL_DEFERRED, non_retryable=True
            )
        if send.email_id != self.checkout_id:
            return self.post.send(send.email_id)
        if self.receipt_refusal:
            return EmailOutcome(is_sent=False, refusal=self.receipt_refusal)
        return EmailOutcome(is_sent=True)

    @activity.defn
    async def record_email(self, record: RecordEmail) -> None:
        """Fake: the case of a refused mail closes when none is missing any more."""
        self._note("record_email")
        outcome = record.outcome
        if record.email_id == self.checkout_id:
            if outcome.is_sent:
                self.post.leaves(EmailKind.RECEIPT, await self.now())
            self.is_receipt_sent = outcome.is_sent
            self.is_receipt_refused = not outcome.is_sent
        else:
            self.post.record(record.email_id, outcome, await self.now())
        is_missing = self.is_receipt_refused or self.post.has_refused
        if outcome.is_sent and self.open_for == Cause.MAIL_REFUSED and not is_missing:
            self.is_case_open = False

    @activity.defn
    async def open_case(self, case: OpenCase) -> None:
        """Fake: a step's trouble does not take the place of what a person settles."""
        self._note("open_case")
        self.cases.append(case)
        if not (self.is_case_open and self.open_for in FOR_PEOPLE):
            self.open_for = case.cause
        self.is_case_open = True

    @activity.defn
    async def close_case(self, case: CloseCase) -> bool:
        """Fake: what only a person can settle stays."""
        self._note("close_case")
        assert case.checkout_id == self.checkout_id
        if self.open_for not in FOR_PEOPLE:
            self.is_case_open = False
        return self.is_case_open

    @activity.defn
    async def record_repair(self, record: RecordRepair) -> None:
        """Fake."""
        self._note("record_repair")
        self.repairs.append(record)
