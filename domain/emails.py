"""The mails that we owe: their kinds, and what must still be true when one leaves."""

from __future__ import annotations

from enum import StrEnum

from domain.states import AccessState, MoneyState


class EmailKind(StrEnum):
    """What a mail is for; part of its Message-ID and unique per checkout and turn."""

    #: Access is open: receipt and door in one mail. Late, it says sorry for the wait.
    RECEIPT = "receipt"
    #: The money arrived and access is not open yet.
    RECEIVED = "received"
    #: Access is still not open: the first promised word.
    RECEIVED_STILL = "received-still"
    #: A named person opens the access by hand.
    RECEIVED_PERSON = "received-person"
    #: It is not known whether the payment went through.
    CHECKING = "checking"
    #: It is still not known: the first promised word.
    CHECKING_STILL = "checking-still"
    #: A named person looks into it.
    CHECKING_PERSON = "checking-person"
    #: The answer did not come in the time that was named; a person has the next word.
    CHECKING_LATE = "checking-late"
    #: The bank asks the buyer, who may have left the page by then.
    BANK_CHECK = "bank-check"
    #: The answer after not knowing: nothing was charged.
    NOT_CHARGED = "not-charged"
    #: The bank declined and the buyer has not come back: the way to go on.
    DECLINED = "declined"
    #: The buyer was charged twice and the second payment goes back.
    CHARGED_TWICE = "charged-twice"
    #: The money goes back, as a person asked.
    REFUNDED = "refunded"
    #: The refund failed at the bank; a person finds another way.
    REFUND_FAILED = "refund-failed"
    #: The refund should be on the statement by now.
    REFUND_ARRIVED = "refund-arrived"
    #: A person asks whether the buyer got in after a long repair.
    GOT_IN = "got-in"
    #: The plan ends in 30 days.
    ENDING_IN_30 = "ending-in-30"
    #: The plan ends in 7 days.
    ENDING_IN_7 = "ending-in-7"
    #: Payments were paused while this checkout waited; they are taken again.
    OPEN_AGAIN = "open-again"
    #: To the address that an order had before: mail about it goes to another one now.
    ADDRESS_CHANGED = "address-changed"


#: These go to somebody who is not the customer, or not any more.
TO_OTHERS = frozenset({EmailKind.ADDRESS_CHANGED})

_WAITING_FOR_ACCESS = {(MoneyState.CHARGED, AccessState.PENDING)}
_UNKNOWN = {(MoneyState.UNKNOWN, AccessState.NONE)}
_AT_BANK = {(MoneyState.ACTION_NEEDED, AccessState.NONE)}
_NOT_CHARGED = {(MoneyState.NOT_CHARGED, AccessState.NONE)}
_IN = {
    (MoneyState.CHARGED, AccessState.ACTIVE),
    (MoneyState.DUPLICATE, AccessState.ACTIVE),
}

#: The pairs of states in which a mail says the truth. Kinds that are not named here
#: tell of something that happened, which stays true.
_TRUE_IN: dict[EmailKind, set[tuple[MoneyState, AccessState]]] = {
    EmailKind.RECEIPT: _IN,
    EmailKind.RECEIVED: _WAITING_FOR_ACCESS,
    EmailKind.RECEIVED_STILL: _WAITING_FOR_ACCESS,
    EmailKind.RECEIVED_PERSON: _WAITING_FOR_ACCESS,
    EmailKind.CHECKING: _UNKNOWN,
    EmailKind.CHECKING_STILL: _UNKNOWN,
    EmailKind.CHECKING_PERSON: _UNKNOWN,
    EmailKind.CHECKING_LATE: _UNKNOWN,
    EmailKind.BANK_CHECK: _AT_BANK,
    EmailKind.NOT_CHARGED: _NOT_CHARGED,
    EmailKind.DECLINED: _NOT_CHARGED,
    EmailKind.OPEN_AGAIN: _NOT_CHARGED,
    EmailKind.GOT_IN: _IN,
    EmailKind.ENDING_IN_30: _IN,
    EmailKind.ENDING_IN_7: _IN,
}


#: Their turn is the buyer's attempt.
_ABOUT_ATTEMPT = {
    EmailKind.CHECKING,
    EmailKind.CHECKING_STILL,
    EmailKind.CHECKING_PERSON,
    EmailKind.CHECKING_LATE,
    EmailKind.BANK_CHECK,
    EmailKind.NOT_CHARGED,
}


def is_about_attempt(kind: EmailKind) -> bool:
    """Whether a mail speaks of one attempt, and so not of a later one."""
    return kind in _ABOUT_ATTEMPT


def is_still_true(kind: EmailKind, money: MoneyState, access: AccessState) -> bool:
    """Say whether a mail may leave: what it says must hold in this moment."""
    pairs = _TRUE_IN.get(kind)
    return pairs is None or (money, access) in pairs
