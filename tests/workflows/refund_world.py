"""A world for refunds: the real database and activities, and a bank made of memory.

Only the outside is scripted: the processor keeps Stripe's promises about idempotency
keys and limits, and the application never opens again what has ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.cases import CaseActivities
from activities.correspondence import CorrespondenceActivities
from activities.letters import Letters
from activities.orders import OrderActivities
from activities.payments import PaymentActivities
from activities.refunds import RefundActivities
from database.aftermath import record_access_ended
from database.changes import record_change_told
from database.emails import read_owed_email
from database.orders import Grant, read_grant, record_access
from database.refunds import request_refund
from database.tables import refunds
from domain.addresses import PageAddresses
from domain.changes import ChangeEntitlement
from domain.emails import EmailKind, is_still_true
from domain.identifiers import refund_key
from domain.messages import (
    CancelPaymentIntent,
    ConfirmPaymentIntent,
    CreatePaymentIntent,
    EmailOutcome,
    GrantEntitlement,
    PreparePaymentIntent,
    SendEmail,
)
from domain.money import Money
from domain.on_record import CheckoutOnRecord
from domain.payments import PaymentIntent, PaymentIntentStatus
from domain.refunds import (
    CANCEL_WITHIN,
    Dispute,
    EndEntitlement,
    Refund,
    RefundPaymentIntent,
    RefundRequest,
    RefundStatus,
)
from processor.port import OutcomeUnknown, RefusedByOurFault
from tests.database.conftest import CHARGED_AT, PRICE
from tests.specimens.mails import COMPANY
from tests.specimens.records import read_on_record
from tests.workflows.post import HOURS

_ADDRESSES = PageAddresses("https://shop.test", ["k" * 40])
_LETTERS = Letters(COMPANY, _ADDRESSES)


@dataclass
class Bank:
    """A `PaymentProcessor` in memory.

    Attributes:
        first_status: What a new refund is.
        lose_replies: How many answers to a refund get lost after it was made.
        lose_requests: How many requests for a refund never arrive.
        is_away: Nothing can be asked.
    """

    first_status: RefundStatus = RefundStatus.SUCCEEDED
    lose_replies: int = 0
    lose_requests: int = 0
    is_away: bool = False
    intents: dict[str, PaymentIntent] = field(default_factory=dict)
    refunds: list[Refund] = field(default_factory=list)
    disputes: list[Dispute] = field(default_factory=list)
    keys: dict[str, Refund] = field(default_factory=dict)
    posts: list[RefundPaymentIntent] = field(default_factory=list)

    async def create(
        self, request: CreatePaymentIntent, record: CheckoutOnRecord
    ) -> PaymentIntent:
        assert record.checkout_id == request.checkout_id
        intent = PaymentIntent(
            payment_intent_id=f"pi_{request.checkout_id.hex}",
            status=PaymentIntentStatus.REQUIRES_PAYMENT_METHOD,
            price=request.price,
            checkout_id=request.checkout_id,
        )
        return self.intents.setdefault(intent.payment_intent_id, intent)

    async def prepare(self, request: PreparePaymentIntent) -> PaymentIntent:
        return self.intents[request.payment_intent_id]

    async def confirm(self, request: ConfirmPaymentIntent) -> PaymentIntent:
        return self.charge(request.payment_intent_id)

    async def look_up(self, payment_intent_id: str) -> PaymentIntent:
        self._ask()
        return self.intents[payment_intent_id]

    async def cancel(self, request: CancelPaymentIntent) -> PaymentIntent:
        return self.intents[request.payment_intent_id]

    async def refund(self, request: RefundPaymentIntent) -> Refund:
        self._ask()
        self.posts.append(request)
        if self.lose_requests:
            self.lose_requests -= 1
            raise OutcomeUnknown("no_reply")
        key = refund_key(request.refund_id, request.submission)
        if key not in self.keys:
            self.keys[key] = self.give_back(
                request.payment_intent_id, request.amount, request.refund_id
            )
        if self.lose_replies:
            self.lose_replies -= 1
            raise OutcomeUnknown("no_reply")
        return self.keys[key]

    async def list_refunds(self, payment_intent_id: str) -> list[Refund]:
        self._ask()
        return [r for r in self.refunds if r.payment_intent_id == payment_intent_id]

    async def list_disputes(self, payment_intent_id: str) -> list[Dispute]:
        self._ask()
        return [d for d in self.disputes if d.payment_intent_id == payment_intent_id]

    def charge(self, payment_intent_id: str) -> PaymentIntent:
        """Move the money."""
        self.intents[payment_intent_id] = replace(
            self.intents[payment_intent_id],
            status=PaymentIntentStatus.SUCCEEDED,
            charged_at=CHARGED_AT,
        )
        return self.intents[payment_intent_id]

    def give_back(
        self, payment_intent_id: str, amount: Money, refund_id: UUID | None = None
    ) -> Refund:
        """Make a refund, by us or past us, within what was taken."""
        given = sum(
            r.amount.amount_minor
            for r in self.refunds
            if r.payment_intent_id == payment_intent_id
            and r.status is not RefundStatus.FAILED
        )
        if given + amount.amount_minor > PRICE.amount_minor:
            raise RefusedByOurFault("charge_already_refunded")
        refund = Refund(
            processor_refund_id=f"re_{uuid4().hex}",
            payment_intent_id=payment_intent_id,
            amount=amount,
            status=self.first_status,
            created_at=datetime.now(UTC),
            refund_id=refund_id,
        )
        self.refunds.append(refund)
        return refund

    def decide(self, status: RefundStatus) -> None:
        """Let every refund end like this."""
        failure = "expired_or_canceled_card" if status is RefundStatus.FAILED else None
        self.refunds = [
            replace(r, status=status, failure=failure) for r in self.refunds
        ]

    def _ask(self) -> None:
        if self.is_away:
            raise OutcomeUnknown("no_reply")


@dataclass
class RefundWorld:
    """One requested checkout in the database, and the outside that answers for it."""

    engine: AsyncEngine
    checkout_id: UUID
    #: The Temporal server's clock, which skips ahead of the database's.
    clock: Callable[[], Awaitable[datetime]]
    bank: Bank = field(default_factory=Bank)
    #: What the application says of each entitlement: `active`, `ended` or nothing.
    application: dict[UUID, str] = field(default_factory=dict)
    is_application_away: bool = False
    #: What the application was told of changes, and acted on, in this order.
    told: list[Grant] = field(default_factory=list)
    #: How many answers of the application get lost after it acted.
    lose_answers: int = 0
    mails: list[EmailKind] = field(default_factory=list)
    #: To whom each of them went.
    recipients: list[str] = field(default_factory=list)
    #: The mail server's final no to every mail from now on.
    refusal: str | None = None
    #: What happens while a mail is on its way.
    while_mailing: Callable[[], Awaitable[object]] | None = None

    @property
    def intent_id(self) -> str:
        """The PaymentIntent of the order."""
        return f"pi_{self.checkout_id.hex}"

    @property
    def activities(self) -> list[Callable[..., Any]]:
        """Return what a worker registers."""
        payments = PaymentActivities(self.bank, read_on_record)
        orders = OrderActivities(self.engine)
        aftermath = RefundActivities(self.engine)
        cases = CaseActivities(self.engine)
        return [
            payments.create_payment_intent,
            payments.prepare_payment_intent,
            payments.confirm_payment_intent,
            payments.look_up_payment_intent,
            payments.cancel_payment_intent,
            payments.refund_payment_intent,
            payments.list_refunds,
            payments.list_disputes,
            orders.claim_payment,
            orders.store_payment_intent,
            orders.record_charge,
            orders.write_order,
            orders.record_email,
            aftermath.next_refund_step,
            aftermath.record_refunds,
            aftermath.record_second_charge,
            CorrespondenceActivities(self.engine, HOURS).plan_correspondence,
            cases.open_case,
            cases.close_case,
            cases.record_repair,
            self.grant_entitlement,
            self.end_entitlement,
            self.change_entitlement,
            self.send_email,
        ]

    async def ask(
        self, amount_minor: int = 24900, *, ends_access: bool = True
    ) -> RefundRequest:
        """Write a person's request, as the command line does before it knocks."""
        request = RefundRequest(
            refund_id=uuid4(),
            amount=Money(amount_minor=amount_minor, currency="usd"),
            actor="dana",
            reason="the customer changed their mind",
            ends_access=ends_access,
        )
        async with self.engine.begin() as connection:
            await request_refund(connection, self.checkout_id, request)
            await connection.execute(
                update(refunds)
                .where(refunds.c.refund_id == request.refund_id)
                .values(not_before=await self.clock() + CANCEL_WITHIN)
            )
        return request

    @activity.defn
    async def grant_entitlement(self, grant: GrantEntitlement) -> None:
        """Fake application, real rows."""
        if self.is_application_away:
            raise ApplicationError("scripted", type="ApplicationAway")
        self.application.setdefault(grant.entitlement_id, "active")
        async with self.engine.begin() as connection:
            await record_access(connection, grant, None, None)

    @activity.defn
    async def end_entitlement(self, end: EndEntitlement) -> None:
        """Fake application, real rows."""
        if self.is_application_away:
            raise ApplicationError("scripted", type="ApplicationAway")
        self.application[end.entitlement_id] = "ended"
        async with self.engine.begin() as connection:
            await record_access_ended(connection, end)

    @activity.defn
    async def change_entitlement(self, change: ChangeEntitlement) -> None:
        """Fake application, real rows."""
        if self.is_application_away:
            raise ApplicationError("scripted", type="ApplicationAway")
        async with self.engine.begin() as connection:
            told = await read_grant(connection, change.entitlement_id)
        self.told.append(told)
        if self.lose_answers:
            self.lose_answers -= 1
            raise ApplicationError("scripted", type="ApplicationAway")
        async with self.engine.begin() as connection:
            await record_change_told(connection, change, told.change)

    @activity.defn
    async def send_email(self, send: SendEmail) -> EmailOutcome:
        """Fake mail server, real rows: what is not true any more does not leave."""
        async with self.engine.begin() as connection:
            owed = await read_owed_email(connection, send.email_id)
        checkout = owed.checkout
        if checkout.mail_held_at is not None:
            return EmailOutcome(is_sent=False, is_held=True)
        if not is_still_true(owed.kind, checkout.money_state, checkout.access_state):
            return EmailOutcome(is_sent=False, is_needless=True)
        key_id = _ADDRESSES.new_token(self.checkout_id).key_id
        mail = _LETTERS.write(
            replace(owed, checkout=replace(checkout, token_key_id=key_id))
        )
        if self.refusal is not None:
            return EmailOutcome(
                is_sent=False,
                refusal=self.refusal,
                is_no_loss=owed.recipient is not None,
            )
        self.mails.append(owed.kind)
        self.recipients.append(str(mail["To"]))
        if self.while_mailing is not None:
            happens, self.while_mailing = self.while_mailing, None
            await happens()
        return EmailOutcome(is_sent=True)
