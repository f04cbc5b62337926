"""Why a case is open, as far as we name it ourselves.

A case's cause is one of these, or the class of a failure (`activities.failures`), which
is found only when it happens. Findings have it as their error.
"""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """What people must see, or what a step has come to."""

    #: Our mail came back.
    MAIL_BOUNCED = "MailBounced"
    #: A mail did not reach the customer: the mail server's final no.
    MAIL_REFUSED = "MailRefused"
    #: Likewise a letter that a person signed, which no later mail makes good.
    LETTER_REFUSED = "LetterRefused"
    CUSTOMER_WROTE = "CustomerWrote"
    #: A mail or a letter of ours named a time, and nobody wrote by then.
    PROMISE_OVERDUE = "PromiseOverdue"
    #: The customer does not have the money that we said goes back.
    REFUND_FAILED = "RefundFailed"
    #: The processor cannot say whether it has a refund.
    REFUND_STILL_UNKNOWN = "RefundStillUnknown"
    #: The processor still cannot say whether it was paid.
    OUTCOME_STILL_UNKNOWN = "OutcomeStillUnknown"
    #: Whoever had an address before says that it was not they who changed it.
    ADDRESS_DISPUTED = "AddressDisputed"
    #: A payment calls itself a second one of a checkout.
    SECOND_CHARGE = "SecondCharge"
    STAFF_OPENED = "StaffOpened"

    # The differences of a reconciliation: `domain.reconciliation.cause_of`.
    CHARGE_WITHOUT_ORDER = "ChargeWithoutOrder"
    CHARGE_WITHOUT_CHECKOUT = "ChargeWithoutCheckout"
    FOREIGN_CHARGE = "ForeignCharge"
    AMOUNT_MISMATCH = "AmountMismatch"
    DUPLICATE_CHARGE = "DuplicateCharge"
    REFUND_NOT_RECORDED = "RefundNotRecorded"
    DISPUTE_OPENED = "DisputeOpened"
    ORDER_WITHOUT_CHARGE = "OrderWithoutCharge"
    ORDER_WITHOUT_ACCESS = "OrderWithoutAccess"
    ORDER_WITHOUT_RECEIPT = "OrderWithoutReceipt"
    STUCK_CHECKOUT = "StuckCheckout"
