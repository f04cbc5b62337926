"""What a case page says: where the three accounts differ, and the one repair.

Pure functions of the facts. A repair takes no payment but the one that the customer
asked for, and sends no second copy of what was sent: it has the checkout's workflow
look afresh and do what is missing. So its button can say what it will do, and what it
will not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from domain.emails import TO_OTHERS, EmailKind
from domain.money import Money
from domain.payments import PaymentIntent, PaymentIntentStatus
from domain.states import (
    MONEY_TAKEN,
    AccessState,
    EmailState,
    MoneyState,
    Stage,
)

#: Makes the id of the one repair of a case as somebody sees it.
_REPAIRS = UUID("5f0b6f0a-95c8-4d5c-8a53-2d1b86b6c0c7")

#: A webhook or the next look brings it; before that it is no difference.
_SOON = timedelta(minutes=2)

#: The processor's word, for a person.
_STATUS: dict[PaymentIntentStatus, str] = {
    PaymentIntentStatus.SUCCEEDED: "the money was taken",
    PaymentIntentStatus.CANCELED: "closed: it can never be charged",
    PaymentIntentStatus.PROCESSING: "the bank is at it",
    PaymentIntentStatus.REQUIRES_ACTION: "waits for the customer at their bank",
    PaymentIntentStatus.REQUIRES_CAPTURE: "held on the card, not taken",
    PaymentIntentStatus.REQUIRES_CONFIRMATION: "never confirmed: no money moved",
    PaymentIntentStatus.REQUIRES_PAYMENT_METHOD: "no money moved; it waits for a card",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldMail:
    """A mail that we sent, or owe."""

    kind: EmailKind
    state: EmailState
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFacts:
    """All that is known of one checkout, by us and by the processor.

    Attributes:
        intent: What the processor showed this moment; None when it was not asked, or
            could not be.
        refunded_there: What the processor shows as returned; None if not asked.
        refunded_here: What our rows say was returned.
        mails: What we told, oldest first.
        promise_due_at: The earliest word that we owe.
        is_receipt_owed: The receipt has not left.
        repairs_done: Repairs that were finished.
        customer_email: Masked.
    """

    checkout_id: UUID
    stage: Stage
    money: MoneyState
    access: AccessState
    buyer_attempt: int
    price: Money
    customer_email: str
    now: datetime
    charged_at: datetime | None = None
    intent: PaymentIntent | None = None
    refunded_there: int | None = None
    refunded_here: int = 0
    mails: tuple[ToldMail, ...] = ()
    promise_due_at: datetime | None = None
    is_receipt_owed: bool = False
    repairs_done: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The one repair that is proposed.

    Attributes:
        repair_id: The same for everybody who sees the case like this, so that pressing
            twice, or both of two people pressing, is one repair.
        button: Its effect.
        will: What it does.
        will_not: What it never does.
        mail: The mail that it sends, in words; None when it sends none.
    """

    repair_id: UUID
    button: str
    will: tuple[str, ...]
    will_not: tuple[str, ...]
    mail: str | None = None


def status_in_words(status: PaymentIntentStatus) -> str:
    """Write the processor's word for a person."""
    return _STATUS[status]


def repair_id_of(facts: CaseFacts) -> UUID:
    """Return the id of the repair of a checkout as it stands now."""
    version = (
        facts.stage,
        facts.money,
        facts.access,
        facts.buyer_attempt,
        facts.is_receipt_owed,
        facts.repairs_done,
    )
    return uuid5(_REPAIRS, f"{facts.checkout_id}:{':'.join(map(str, version))}")


def differences(facts: CaseFacts) -> tuple[str, ...]:
    """Say where the processor, our rows and what the customer heard do not agree."""
    found = (*_with_processor(facts), *_with_customer(facts))
    return tuple(sentence for sentence in found if sentence)


def propose(facts: CaseFacts) -> Proposal | None:
    """Return the repair that these facts call for; None when nothing is missing."""
    match facts.money:
        case MoneyState.CHARGED | MoneyState.DUPLICATE:
            return _for_charged(facts)
        case MoneyState.UNKNOWN | MoneyState.ACTION_NEEDED:
            return _for_unknown(facts)
        case MoneyState.NOT_CHARGED:
            return _for_not_charged(facts)
        case _:
            return _proposal(
                facts,
                "Ask the processor how the refund stands",
                (
                    "ask the processor for every refund of this payment",
                    "write down what it shows, and tell the customer what is due",
                ),
                ("send money that was not asked back",),
            )


def _with_processor(facts: CaseFacts) -> tuple[str | None, ...]:
    intent = facts.intent
    if intent is None:
        return ()
    is_taken_there = intent.status is PaymentIntentStatus.SUCCEEDED
    is_taken_here = facts.money in MONEY_TAKEN
    return (
        "The processor took the money, and our row does not know it."
        if is_taken_there and not is_taken_here
        else None,
        f"Our row says charged, and the processor says: {_STATUS[intent.status]}."
        if is_taken_here and not is_taken_there
        else None,
        f"The processor has {intent.price}, our row {facts.price}."
        if intent.price != facts.price
        else None,
        _refunds_differ(facts),
    )


def _refunds_differ(facts: CaseFacts) -> str | None:
    there = facts.refunded_there
    if there is None or there == facts.refunded_here:
        return None
    currency = facts.price.currency
    shown = Money(amount_minor=there, currency=currency)
    known = Money(amount_minor=facts.refunded_here, currency=currency)
    return f"The processor returned {shown}, our rows say {known}."


def _with_customer(facts: CaseFacts) -> tuple[str | None, ...]:
    mails = [mail for mail in facts.mails if mail.kind not in TO_OTHERS]
    lacks = facts.access in {AccessState.NONE, AccessState.PENDING}
    is_paid = facts.money in {MoneyState.CHARGED, MoneyState.DUPLICATE}
    return (
        "The customer paid and cannot get in." if is_paid and lacks else None,
        "The customer paid and has heard nothing from us."
        if is_paid and _is_silent(facts)
        else None,
        "Our last mail did not arrive."
        if mails and mails[-1].state is EmailState.FAILED
        else None,
        "The word that we promised is overdue."
        if facts.promise_due_at is not None and facts.promise_due_at < facts.now
        else None,
    )


def _is_silent(facts: CaseFacts) -> bool:
    if facts.charged_at is None or facts.now - facts.charged_at < _SOON:
        return False
    return not any(
        mail.state is EmailState.SENT and mail.at >= facts.charged_at
        for mail in facts.mails
        if mail.kind not in TO_OTHERS
    )


def _for_charged(facts: CaseFacts) -> Proposal | None:
    never = (
        "charge the card",
        "send a receipt that was sent",
        "give money back that nobody asked for",
    )
    if facts.access in {AccessState.NONE, AccessState.PENDING}:
        return _proposal(
            facts,
            f"Give {facts.customer_email} access and send the receipt",
            (
                "ask the processor and our rows afresh",
                "write the order if it is missing",
                "open access in the application, then send the receipt",
            ),
            never,
            f"The receipt for {facts.price}, with the way in and a word on the wait.",
        )
    if facts.access is AccessState.ACTIVE and facts.is_receipt_owed:
        return _proposal(
            facts,
            f"Send {facts.customer_email} the receipt",
            ("hand the receipt to the mail server once more", "note what became of it"),
            never,
            f"The receipt for {facts.price}.",
        )
    if facts.money is MoneyState.DUPLICATE:
        return _proposal(
            facts,
            "See that the second payment goes back",
            (
                "ask the processor for both payments",
                "return the second one if it is proven and has not gone back",
            ),
            ("touch the first payment", "end the access"),
            "That the second payment is on its way back, if that was not said.",
        )
    return None


def _for_unknown(facts: CaseFacts) -> Proposal:
    return _proposal(
        facts,
        "Ask the processor and finish what it says",
        (
            "ask the processor about the one payment that the customer asked for",
            "if it was taken: write the order, open access, send the receipt",
            "if it was not: go on with it or close it, and tell how it ended",
        ),
        ("take more than that one payment", "say “not charged” without proof"),
        "The receipt, or that nothing was charged: whichever is true.",
    )


def _for_not_charged(facts: CaseFacts) -> Proposal | None:
    if facts.buyer_attempt == 0:
        return None
    was_taken = (
        facts.intent is not None
        and facts.intent.status is PaymentIntentStatus.SUCCEEDED
    )
    button = (
        f"Finish the order of {facts.customer_email}"
        if was_taken
        else "Look once more for a payment"
    )
    return _proposal(
        facts,
        button,
        (
            "ask the processor about the last payment",
            "if it was taken after all: write the order, open access, send the receipt",
            "if not: leave everything as it is",
        ),
        ("charge the card", "ask the customer for anything"),
        "The receipt, if the money was taken." if was_taken else None,
    )


def _proposal(
    facts: CaseFacts,
    button: str,
    will: tuple[str, ...],
    will_not: tuple[str, ...],
    mail: str | None = None,
) -> Proposal:
    return Proposal(
        repair_id=repair_id_of(facts),
        button=button,
        will=will,
        will_not=will_not,
        mail=mail,
    )
