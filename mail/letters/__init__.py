"""The letters: a pure function from facts to words for every kind of mail we owe."""

from __future__ import annotations

from collections.abc import Callable

from domain.emails import EmailKind
from mail.facts import LetterFacts
from mail.letter import Letter
from mail.letters import answers, bank, care, checking, moved, receipt, refunds, waiting

#: Who writes what. A test holds it against all kinds.
_WRITERS: dict[EmailKind, Callable[[LetterFacts], Letter]] = {
    EmailKind.RECEIPT: receipt.receipt,
    EmailKind.RECEIVED: waiting.received,
    EmailKind.RECEIVED_STILL: waiting.received_still,
    EmailKind.RECEIVED_PERSON: waiting.received_person,
    EmailKind.CHECKING: checking.checking,
    EmailKind.CHECKING_STILL: checking.checking_still,
    EmailKind.CHECKING_PERSON: checking.checking_person,
    EmailKind.CHECKING_LATE: checking.checking_late,
    EmailKind.BANK_CHECK: bank.bank_check,
    EmailKind.NOT_CHARGED: answers.not_charged,
    EmailKind.DECLINED: answers.declined,
    EmailKind.OPEN_AGAIN: answers.open_again,
    EmailKind.CHARGED_TWICE: refunds.charged_twice,
    EmailKind.REFUNDED: refunds.refunded,
    EmailKind.REFUND_FAILED: refunds.refund_failed,
    EmailKind.REFUND_ARRIVED: refunds.refund_arrived,
    EmailKind.GOT_IN: care.got_in,
    EmailKind.ENDING_IN_30: care.ending,
    EmailKind.ENDING_IN_7: care.ending,
    EmailKind.ADDRESS_CHANGED: moved.address_changed,
}


def write_letter(kind: EmailKind, facts: LetterFacts) -> Letter:
    """Return what a mail of this kind says.

    Raises:
        mail.facts.LetterNotDue: A fact is missing without which it would be untrue.
    """
    return _WRITERS[kind](facts)
