"""What the processor says about payments, and what follows from it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar
from uuid import UUID

from domain.money import Money
from domain.on_record import CheckoutOnRecord
from domain.states import DeclineClass

#: The processor's word for an id that it does not have: an answer, and a final one.
UNKNOWN_TO_PROCESSOR = "resource_missing"
Made = TypeVar("Made")


class PaymentIntentStatus(StrEnum):
    """The processor's own words.

    https://docs.stripe.com/payments/paymentintents/lifecycle
    """

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    CANCELED = "canceled"
    SUCCEEDED = "succeeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentIntent:
    """A PaymentIntent as the processor showed it at one moment.

    Attributes:
        payment_intent_id: The processor's id, as `pi_...`.
        status: The processor's word at that moment.
        price: Amount and currency that it moves, or moved.
        checkout_id: From its metadata; None when it is not one of ours.
        decline: Set when its last confirmation was declined.
        next_action_url: Where the buyer answers the bank, while it requires action.
        charged_at: When the money moved; set once `succeeded`.
        card_brand: As `visa`, once a card was used.
        card_last4: The last four digits, once a card was used.
    """

    payment_intent_id: str
    status: PaymentIntentStatus
    price: Money
    checkout_id: UUID | None = None
    decline: DeclineClass | None = None
    next_action_url: str | None = None
    charged_at: datetime | None = None
    card_brand: str | None = None
    card_last4: str | None = None


class Verdict(StrEnum):
    """What a PaymentIntent means for the attempt that is being settled."""

    CHARGED = "charged"
    DECLINED = "declined"
    CANCELED = "canceled"
    #: The buyer must answer the bank.
    ACTION_NEEDED = "action_needed"
    #: The processor holds it unconfirmed: our confirmation did not take effect.
    UNCONFIRMED = "unconfirmed"
    #: The processor is still at it, or uses a word that we cannot act on.
    PENDING = "pending"


def judge(intent: PaymentIntent) -> Verdict:
    """Say what a PaymentIntent proves.

    Only `DECLINED` and `CANCELED` prove that no money moved, and only `CHARGED` proves
    that it did. A decline counts only while the PaymentIntent waits for another payment
    method: the processor clears its last error when the PaymentIntent is readied for
    the buyer's next attempt.
    """
    match intent.status:
        case PaymentIntentStatus.SUCCEEDED:
            return Verdict.CHARGED
        case PaymentIntentStatus.CANCELED:
            return Verdict.CANCELED
        case PaymentIntentStatus.REQUIRES_ACTION:
            return Verdict.ACTION_NEEDED
        case PaymentIntentStatus.REQUIRES_CONFIRMATION:
            return Verdict.UNCONFIRMED
        case PaymentIntentStatus.REQUIRES_PAYMENT_METHOD:
            return Verdict.DECLINED if intent.decline else Verdict.UNCONFIRMED
        case PaymentIntentStatus.PROCESSING | PaymentIntentStatus.REQUIRES_CAPTURE:
            return Verdict.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMade:
    """Ask for a page of what the processor made in a span of time, newest first.

    The upper bound is closed before the first page is asked for, so what is made while
    one reads belongs to the next span and shifts no page of this one.

    Attributes:
        created_from: Where the span begins; what was made then is in it.
        created_before: Where it ends; what was made then is not in it. A moment that
            has passed: the processor still makes things within a running second.
        starting_after: The `next_cursor` of the page before; None for the first page.
        limit: Objects on a page, 1 to 100.
    """

    created_from: datetime
    created_before: datetime
    starting_after: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCharges(ListMade):
    """Ask for charges. The time is when one was made, not when its money moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorCharge:
    """Money that moved, as the processor showed it at one moment.

    It may name the buyer (`on_record`), so it never crosses a Temporal boundary.

    Attributes:
        charge_id: The processor's id, as `ch_...`.
        payment_intent_id: None for a charge that was made without one: not one of ours.
        amount: What was taken.
        refunded_minor: How much of it went back, in minor units.
        is_disputed: The buyer's bank took, or may take, the money back.
        charged_at: When the charge was made, in whole seconds.
        checkout_id: From the metadata; None when there is none, or no UUID.
        on_record: From the metadata; None when it is not whole.
        card_brand: As `visa`; None when no card was used.
        card_last4: The last four digits; None when no card was used.
    """

    charge_id: str
    payment_intent_id: str | None
    amount: Money
    refunded_minor: int
    is_disputed: bool
    charged_at: datetime
    checkout_id: UUID | None = None
    on_record: CheckoutOnRecord | None = None
    card_brand: str | None = None
    card_last4: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Made]):
    """A page of what was made at the processor, newest first.

    Of charges, failed, pending and uncaptured ones are left out; of refunds and
    disputes, those of a charge without a PaymentIntent, which is none of ours.

    Attributes:
        made: There may be none although more pages follow.
        next_cursor: To go on with; None at the end.
        oldest_at: When the oldest on the page was made, those left out too; None when
            the page is empty.
        not_understood: Ids of objects in words that the adapter does not know. What
            became of their money is unknown: a person must look.
    """

    made: tuple[Made, ...]
    next_cursor: str | None
    oldest_at: datetime | None
    not_understood: tuple[str, ...] = ()
