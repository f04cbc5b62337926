"""The states of a checkout, and which may follow which.

Two facts are kept apart everywhere: what happened to the money and what happened to
the access. `Stage` is the third, inner one: how far the machine has come. The database
holds the same rules as constraints and a trigger; `tests/database` compares the two.
"""

from __future__ import annotations

from enum import StrEnum


class MoneyState(StrEnum):
    """What happened to the money. Only the processor's evidence moves it."""

    NOT_CHARGED = "NOT_CHARGED"
    ACTION_NEEDED = "ACTION_NEEDED"
    UNKNOWN = "UNKNOWN"
    CHARGED = "CHARGED"
    DUPLICATE = "DUPLICATE"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"


class AccessState(StrEnum):
    """What happened to the access that was bought."""

    NONE = "NONE"
    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    ENDED = "ENDED"


class Stage(StrEnum):
    """How far the machine has come with the buyer's wish to pay."""

    #: Nothing is asked of the processor: never asked, or proven not charged.
    OPEN = "open"
    #: The buyer pressed Pay; no workflow has claimed it. May still be withdrawn.
    REQUESTED = "requested"
    #: A workflow claimed it; the processor may be moving money.
    CHARGING = "charging"
    #: The processor confirmed the charge. Never left.
    CHARGED = "charged"


class NotChargedReason(StrEnum):
    """Why an attempt ended without a charge. Each is a terminal proof."""

    #: The bank declined; the PaymentIntent says so.
    DECLINED = "declined"
    #: The buyer did not answer the bank's question; the PaymentIntent was canceled.
    BANK_CHECK_EXPIRED = "bank_check_expired"
    #: The outcome stayed unknown until the deadline; the PaymentIntent was canceled.
    CANCELED = "canceled"
    #: The processor could not use what the buyer entered; the PaymentIntent was
    #: canceled.
    METHOD_REFUSED = "method_refused"
    #: The processor could not be reached before the deadline, and no PaymentIntent was
    #: stored for the attempt: nothing was ever confirmed.
    NOT_SENT = "not_sent"
    #: No workflow ever claimed the request, so the processor was never asked.
    WITHDRAWN = "withdrawn"


#: After these the processor was never asked for the money.
NEVER_ASKED = frozenset({NotChargedReason.NOT_SENT, NotChargedReason.WITHDRAWN})

#: In these our side, or our way to the processor, was what broke.
OUR_FAULT = NEVER_ASKED | {NotChargedReason.CANCELED}


class DeclineClass(StrEnum):
    """What a decline means for the buyer's next step. Never the bank's raw code."""

    #: Check the number, the date or the security code.
    CHECK_DETAILS = "check_details"
    #: Use another card.
    OTHER_CARD = "other_card"
    #: The bank must be asked, or the bank's own check was refused.
    ASK_BANK = "ask_bank"
    #: The processor had a hiccup; the same card may work in a minute.
    TRY_AGAIN = "try_again"
    #: Nothing more may be said: lost, stolen and fraudulent cards read like this too.
    GENERIC = "generic"


class SubscriptionState(StrEnum):
    """The life of the time that was bought."""

    ACTIVE = "active"
    CANCELED = "canceled"
    EXPIRED = "expired"


class EntitlementState(StrEnum):
    """Whether the company's application has been told to open access."""

    PENDING = "pending"
    ACTIVE = "active"
    ENDED = "ended"


class EmailState(StrEnum):
    """Whether a message that we owe has left."""

    PENDING = "pending"
    SENT = "sent"
    #: The mail server refused it for good, or it bounced.
    FAILED = "failed"
    #: Not sent: what it says had stopped being true before it left.
    NEEDLESS = "needless"


class CaseState(StrEnum):
    """Where support stands with a case."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    RESOLVED = "resolved"


class RefundState(StrEnum):
    """How far money has come on its way back."""

    #: Asked for; may be taken back until it is sent.
    REQUESTED = "requested"
    #: The processor is, or was, being asked: unknown until it shows the refund.
    SUBMITTING = "submitting"
    #: The processor accepted it; the bank has not.
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class RefundPurpose(StrEnum):
    """Why money goes back."""

    #: A named person asked.
    ASKED = "asked"
    #: The second charge of a checkout: it is returned without being asked for.
    DUPLICATE = "duplicate"
    #: Made past us, as in the processor's own dashboard; we only write it down.
    OUTSIDE = "outside"


class SecondChargeState(StrEnum):
    """What is known of a charge on a checkout that another PaymentIntent paid."""

    #: We were told of it; the processor has not been asked.
    SUSPECTED = "suspected"
    #: The processor shows both PaymentIntents succeeded for this checkout.
    PROVEN = "proven"
    #: The processor shows otherwise.
    REFUTED = "refuted"


#: The money states that each stage may show.
MONEY_OF_STAGE: dict[Stage, frozenset[MoneyState]] = {
    Stage.OPEN: frozenset({MoneyState.NOT_CHARGED}),
    Stage.REQUESTED: frozenset({MoneyState.UNKNOWN}),
    Stage.CHARGING: frozenset({MoneyState.UNKNOWN, MoneyState.ACTION_NEEDED}),
    Stage.CHARGED: frozenset(
        {
            MoneyState.CHARGED,
            MoneyState.DUPLICATE,
            MoneyState.REFUNDING,
            MoneyState.REFUNDED,
        }
    ),
}

#: Which stage may follow which. `CHARGED` is reached from every stage, because a charge
#: that the processor shows is true whatever our row said before, and it is never left.
NEXT_STAGES: dict[Stage, frozenset[Stage]] = {
    Stage.OPEN: frozenset({Stage.REQUESTED, Stage.CHARGED}),
    Stage.REQUESTED: frozenset({Stage.CHARGING, Stage.OPEN, Stage.CHARGED}),
    Stage.CHARGING: frozenset({Stage.OPEN, Stage.CHARGED}),
    Stage.CHARGED: frozenset(),
}

#: Money states that a charge has been proven for. No page in these may offer to pay.
MONEY_TAKEN: frozenset[MoneyState] = MONEY_OF_STAGE[Stage.CHARGED]

#: Which state of a refund may follow which. The processor may show a refund that a
#: restored row still calls requested, and a bank may send back what had succeeded.
NEXT_REFUND_STATES: dict[RefundState, frozenset[RefundState]] = {
    RefundState.REQUESTED: frozenset(
        {
            RefundState.SUBMITTING,
            RefundState.PENDING,
            RefundState.SUCCEEDED,
            RefundState.FAILED,
            RefundState.CANCELED,
        }
    ),
    RefundState.SUBMITTING: frozenset(
        {
            RefundState.PENDING,
            RefundState.SUCCEEDED,
            RefundState.FAILED,
            RefundState.CANCELED,
        }
    ),
    RefundState.PENDING: frozenset(
        {RefundState.SUCCEEDED, RefundState.FAILED, RefundState.CANCELED}
    ),
    RefundState.SUCCEEDED: frozenset({RefundState.FAILED}),
    RefundState.FAILED: frozenset(),
    RefundState.CANCELED: frozenset(),
}

#: Refunds that have given money back, or may yet: their sum has a limit.
LIVE_REFUNDS: frozenset[RefundState] = frozenset(
    {
        RefundState.REQUESTED,
        RefundState.SUBMITTING,
        RefundState.PENDING,
        RefundState.SUCCEEDED,
    }
)

#: Refunds that the processor took on.
ACCEPTED_REFUNDS: frozenset[RefundState] = frozenset(
    {RefundState.PENDING, RefundState.SUCCEEDED}
)
