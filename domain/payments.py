"""What the processor says about a PaymentIntent, and what follows from it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.money import Money
from domain.states import DeclineClass


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
