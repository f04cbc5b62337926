"""The dataclasses that cross a Temporal boundary: workflow and activity arguments.

They are stored in histories that run for weeks and can be read by anyone who may open
the Temporal UI. So: no e-mail, no name, no token; and every field added later needs a
default, because a running history was written without it.

Annotations are evaluated here, not postponed: inside the workflow sandbox the converter
cannot look their names up in this module.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.money import Money
from domain.payments import PaymentIntent
from domain.states import DeclineClass, MoneyState, NotChargedReason, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairRequest:
    """A request to put a checkout right: look afresh, do exactly what is missing.

    Attributes:
        repair_id: Names the request; the same id twice is one repair.
        actor: Who asked: a staff account's name, `reconciliation`, `webhook`, `cli`.
        reason: Why, in the actor's words.
        payment_intent_id: A charge of this checkout that the actor saw at the
            processor; the row may not know it.
    """

    repair_id: UUID
    actor: str
    reason: str
    payment_intent_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsentEmail:
    """A mail that could not be handed over so far.

    Attributes:
        since: When that was first tried, by the workflow's clock.
    """

    email_id: UUID
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutInput:
    """What a checkout's workflow starts from. All else is read from the row.

    Attributes:
        checkout_id: The checkout; the workflow's id is derived from it.
        reference_code: What customer and support call it, as `ORD-7K2M-9QXD`.
        is_continued: An earlier run left its grown history behind. It may have heard
            of news that it had no time to look for.
        repairs: Those that it had not answered.
        done: What it had done, for their record.
        unsent: What it could not hand over.
    """

    checkout_id: UUID
    reference_code: str
    is_continued: bool = False
    repairs: tuple[RepairRequest, ...] = ()
    done: tuple[str, ...] = ()
    unsent: tuple[UnsentEmail, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PayRequest:
    """A press on Pay, as the door is told of it; it stays within this process.

    Attributes:
        checkout_id: The checkout whose request to pay is durable in its row.
        reference_code: What customer and support call it.
        plan_name: For the one-line summary in the Temporal UI.
        price: Likewise.
        buyer_attempt: The attempt that was requested, from 1.
    """

    checkout_id: UUID
    reference_code: str
    plan_name: str
    price: Money
    buyer_attempt: int


class CheckoutEnd(StrEnum):
    """How a checkout's workflow ended."""

    DELIVERED = "delivered"
    #: The whole price went back, and access with it.
    REFUNDED = "refunded"
    #: The bought time ran out, and access with it.
    ENDED = "ended"
    NOT_CHARGED = "not_charged"
    NOTHING_REQUESTED = "nothing_requested"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutResult:
    """The last word of a checkout's workflow."""

    end: CheckoutEnd
    order_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutStatus:
    """Answer of the workflow's `status` query, in plain words for support."""

    step: str
    waiting_for: str
    money: str
    access: str
    repairs_pending: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A proven movement of money: the processor showed it succeeded."""

    payment_intent_id: str
    price: Money
    charged_at: datetime
    card_brand: str | None = None
    card_last4: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentClaim:
    """What a workflow found when it claimed the buyer's request to pay.

    Attributes:
        stage: `charging`: this workflow charges now. `charged`: it was charged before.
            `open`: nothing is asked, or it was withdrawn.
        price: What to charge, from the row, which had it from the plan.
        buyer_attempt: Counts the buyer's tries, from 1; 0 when there was none.
        claimed_at: When the attempt was first claimed: the deadline counts from it.
        payment_method: What the processor calls the buyer's means of payment.
        payment_intent_id: Stored by an earlier try or attempt; None before the first.
        token_key_id: Which secret made the checkout's address; not the secret itself.
        needs_attention: An earlier run called for a person; who puts it right takes
            that back.
        is_prepared: This attempt's PaymentIntent was stored, so it may have been
            confirmed: the processor must be asked before anything is sent again.
        charge: Set when `stage` is `charged`.
    """

    stage: Stage
    price: Money
    buyer_attempt: int = 0
    claimed_at: datetime | None = None
    payment_method: str | None = None
    payment_intent_id: str | None = None
    token_key_id: str = ""
    is_prepared: bool = False
    needs_attention: bool = False
    charge: Charge | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePaymentIntent:
    """Ask the processor for a PaymentIntent; moves no money."""

    checkout_id: UUID
    reference_code: str
    buyer_attempt: int
    price: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparePaymentIntent:
    """Ready a PaymentIntent that was declined for the buyer's next attempt."""

    checkout_id: UUID
    payment_intent_id: str
    buyer_attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePaymentIntent:
    """Write down which PaymentIntent an attempt uses, before it is confirmed."""

    checkout_id: UUID
    buyer_attempt: int
    payment_intent_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmPaymentIntent:
    """Ask the processor to move the money."""

    checkout_id: UUID
    payment_intent_id: str
    buyer_attempt: int
    payment_method: str
    token_key_id: str
    submission: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelPaymentIntent:
    """Ask the processor to close a PaymentIntent, so that it can never charge."""

    checkout_id: UUID
    payment_intent_id: str
    buyer_attempt: int
    submission: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordActionNeeded:
    """The buyer of this attempt must answer the bank at this address."""

    checkout_id: UUID
    buyer_attempt: int
    next_action_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordProcessing:
    """The bank was answered; the outcome of this attempt is open."""

    checkout_id: UUID
    buyer_attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAsked:
    """The processor was asked about this attempt; the outcome is still open.

    Attributes:
        asked_at: When, by the workflow's clock.
    """

    checkout_id: UUID
    buyer_attempt: int
    asked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordNotCharged:
    """An attempt ended with proof that no money moved."""

    checkout_id: UUID
    buyer_attempt: int
    reason: NotChargedReason
    decline: DeclineClass | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOrder:
    """Write what a proven charge owes the buyer."""

    checkout_id: UUID
    charge: Charge


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderWritten:
    """What stands in the database after the order was written, by this run or before.

    Attributes:
        order_id: The one order of the checkout.
        entitlement_id: The one entitlement of the order.
        receipt_id: The owed receipt in the outbox.
        is_new: This call wrote it; False when it was there before.
        is_granted: The company's application has already opened access, and the bought
            time is not over: there is nothing left to open or to end.
        is_receipt_sent: The receipt has already left.
        is_receipt_refused: It was refused or came back; an operator may send it again.
        has_aftermath: Refunds, or a second charge, are known of, or the bought time is
            over: the workflow must ask what is due. For all others it asks nothing.
        is_access_ended: Access is over, and never opens again.
        money: Where the money stands.
    """

    order_id: UUID
    entitlement_id: UUID
    receipt_id: UUID
    is_granted: bool
    is_receipt_sent: bool
    is_new: bool = False
    has_aftermath: bool = False
    is_access_ended: bool = False
    money: MoneyState = MoneyState.CHARGED
    is_receipt_refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantEntitlement:
    """Ask the company's application to open access, and write that it did.

    Attributes:
        was_interrupted: The workflow met trouble on its way, so the buyer may have
            seen an error page or a wait.
    """

    checkout_id: UUID
    entitlement_id: UUID
    was_interrupted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SendEmail:
    """Send one owed message of the outbox."""

    email_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailOutcome:
    """What became of one try to send.

    Attributes:
        is_sent: The mail server took it, now or before.
        refusal: The mail server's final no, in its words without addresses.
        is_needless: What it says is not true any more, so it was not sent.
        is_held: A person must let the mails of this checkout go first.
        is_no_loss: It told an address that is not the customer's any more; nobody has
            to find another way when that refuses it.
    """

    is_sent: bool
    refusal: str | None = None
    is_needless: bool = False
    is_held: bool = False
    is_no_loss: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEmail:
    """Write down what became of an owed message."""

    email_id: UUID
    outcome: EmailOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCorrespondence:
    """Find out what a customer must hear, now and next.

    Attributes:
        now: The moment by the workflow's clock, which its timers follow.
    """

    checkout_id: UUID
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Correspondence:
    """What a customer must hear.

    Attributes:
        email_ids: Mails that are owed and have not left, oldest first; the receipt is
            among them once access is open.
        next_at: When to ask again; None when nothing is in sight.
        is_promise_overdue: A mail of ours named a time, and nothing followed by then.
    """

    email_ids: tuple[UUID, ...] = ()
    next_at: datetime | None = None
    is_promise_overdue: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCase:
    """Mark a checkout as needing attention, for support to find.

    Attributes:
        checkout_id: The checkout.
        step: The step that does not get on, as `write order`.
        cause: Error class, for grouping: no ids, no personal data.
        detail: One sentence for support.
    """

    checkout_id: UUID
    step: str
    cause: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseCase:
    """The checkout got on: nothing is left for a person to do."""

    checkout_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRepair:
    """Write down what a repair found and did."""

    checkout_id: UUID
    repair: RepairRequest
    outcome: str


def charge_of(intent: PaymentIntent) -> Charge:
    """Return the charge that a succeeded PaymentIntent proves.

    Raises:
        ValueError: The PaymentIntent does not prove a charge.
    """
    if intent.charged_at is None:
        msg = f"{intent.payment_intent_id} is {intent.status}: it proves no charge"
        raise ValueError(msg)
    return Charge(
        payment_intent_id=intent.payment_intent_id,
        price=intent.price,
        charged_at=intent.charged_at,
        card_brand=intent.card_brand,
        card_last4=intent.card_last4,
    )
