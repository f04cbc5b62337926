"""What the customer is told: one pure function of the two facts.

`customer_view` is total over every pair of money state and access state. Pages and the
JSON API print what it returns; no handler writes a sentence about money of its own.
"You have not been charged" and the pay button can only come out of `NOT_CHARGED`, which
the database lets stand in the stage `open` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.deadlines import (
    BANK_CHECK_FOR,
    CONFIRMING_FOR,
    SMOOTH_WITHIN,
    UNKNOWN_FOR,
    in_words,
)
from domain.money import Money
from domain.states import (
    AccessState,
    DeclineClass,
    MoneyState,
    NotChargedReason,
)
from domain.words import at_in_words, day_in_words


class Page(StrEnum):
    """The page that a pair of states shows; also the label of the pages metric."""

    CHECKOUT = "checkout"
    PAUSED = "paused"
    DECLINED = "declined"
    NOT_CHARGED = "not_charged"
    CONFIRMING = "confirming"
    BANK_CHECK = "bank_check"
    UNKNOWN = "unknown"
    RECEIVED = "received"
    SUCCESS = "success"
    DUPLICATE = "duplicate"
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    ENDED = "ended"


class ToDo(StrEnum):
    """What is left for the customer to do. Nearly always nothing."""

    NOTHING = "nothing"
    PAY = "pay"
    ANSWER_BANK = "answer_bank"
    USE_ACCESS = "use_access"


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerFacts:
    """Everything a page may say about one checkout, read in one go from its row.

    Attributes:
        money: What happened to the money.
        access: What happened to the access.
        price: What was, or would be, charged.
        plan_name: What is bought.
        now: The moment the page speaks of, from the database's clock.
        pay_requested_at: When the buyer last pressed Pay; None before.
        reason: Why the last attempt ended without a charge; None when there was none.
        decline: How it was declined, when it was.
        charged_at: When the money moved.
        access_until: When the bought time ends.
        next_message_at: When our next mail leaves at the latest; a timer keeps it.
        paused_at: Since when no new payments are taken; None while they are.
    """

    money: MoneyState
    access: AccessState
    price: Money
    plan_name: str
    now: datetime
    pay_requested_at: datetime | None = None
    reason: NotChargedReason | None = None
    decline: DeclineClass | None = None
    charged_at: datetime | None = None
    access_until: datetime | None = None
    next_message_at: datetime | None = None
    paused_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerView:
    """What to tell the customer.

    Attributes:
        page: Which page this is.
        title: Begins with the fact; for the browser's tab.
        headline: The money fact in the customer's words.
        sentences: What they must do, what we do, when they hear next; in this order.
        pay_label: Text of the pay button; None where paying must not be offered.
        bank_check: The page must offer the way to the bank's question.
        is_settled: Nothing will change by waiting; the page need not follow.
        to_do: What is left for them to do, for programs.
        next_message_at: When they hear next; None when no time is named.
    """

    page: Page
    title: str
    headline: str
    sentences: tuple[str, ...]
    pay_label: str | None = None
    bank_check: bool = False
    is_settled: bool = False
    to_do: ToDo = ToDo.NOTHING
    next_message_at: datetime | None = None


def customer_view(facts: CustomerFacts) -> CustomerView:
    """Say what is true for these facts; total over all pairs of states."""
    match facts.money:
        case MoneyState.NOT_CHARGED:
            return _not_charged(facts)
        case MoneyState.UNKNOWN:
            return _unknown(facts)
        case MoneyState.ACTION_NEEDED:
            return _bank_check(facts)
        case MoneyState.CHARGED:
            return _charged(facts)
        case MoneyState.DUPLICATE:
            return _duplicate(facts)
        case MoneyState.REFUNDING | MoneyState.REFUNDED:
            return _refund(facts)


def may_have_seen_an_error(
    charged_at: datetime, access_at: datetime, *, was_interrupted: bool
) -> bool:
    """Say whether the receipt shall mention an error page that may have been seen.

    The clock starts at the charge: what a buyer spends at the bank is no trouble.
    """
    return was_interrupted or access_at - charged_at > SMOOTH_WITHIN


def _paused(facts: CustomerFacts, paused_at: datetime) -> CustomerView:
    at = at_in_words(paused_at, now=facts.now)
    return CustomerView(
        page=Page.PAUSED,
        title="New payments are paused: you have not been charged",
        headline=f"We paused new payments {at}. You have not been charged.",
        sentences=(
            "You do not need to do anything. Your checkout stays here.",
            "We write to you once, when it is open.",
        ),
    )


def _not_charged(facts: CustomerFacts) -> CustomerView:
    if facts.paused_at is not None:
        return _paused(facts, facts.paused_at)
    if facts.reason is None:
        return CustomerView(
            page=Page.CHECKOUT,
            title=f"{facts.plan_name}: {facts.price}",
            headline=facts.plan_name,
            sentences=(
                "If anything breaks while you pay, this page's address finds your "
                "payment again.",
            ),
            to_do=ToDo.PAY,
            pay_label=f"Pay {facts.price}",
            is_settled=True,
        )
    if facts.reason is NotChargedReason.DECLINED:
        return CustomerView(
            page=Page.DECLINED,
            title="Declined: you have not been charged",
            headline="Your bank declined the card. You have not been charged.",
            sentences=(_decline_advice(facts.decline),),
            to_do=ToDo.PAY,
            pay_label=f"Pay {facts.price}",
            is_settled=True,
        )
    return CustomerView(
        page=Page.NOT_CHARGED,
        title="You have not been charged",
        headline="You have not been charged. You can safely try again.",
        sentences=_proof(facts.reason),
        to_do=ToDo.PAY,
        pay_label=f"Try again: {facts.price}",
        is_settled=True,
    )


_PROOF = {
    NotChargedReason.BANK_CHECK_EXPIRED: (
        "Your bank's question was not answered in time, so we closed the attempt with "
        "the card processor."
    ),
    NotChargedReason.CANCELED: (
        "The attempt was closed with the card processor before any money moved. "
        "It can no longer charge you."
    ),
    NotChargedReason.METHOD_REFUSED: (
        "The card processor could not use what was entered, so we closed the attempt. "
        "Please enter the card once more, or use another one."
    ),
    NotChargedReason.NOT_SENT: (
        "We could not reach the card processor, so it was never asked for the money. "
        "We have closed the attempt."
    ),
    NotChargedReason.WITHDRAWN: (
        "Our server could not pass your request on, so the card processor was never "
        "asked. We have taken the request back."
    ),
}

#: After these the processor was never asked, so no hold can show up at the bank.
_NEVER_ASKED = {NotChargedReason.WITHDRAWN, NotChargedReason.NOT_SENT}


def _proof(reason: NotChargedReason) -> tuple[str, ...]:
    if reason in _NEVER_ASKED:
        return (_PROOF[reason],)
    return (_PROOF[reason], _HOLD_NOTE)


_HOLD_NOTE = (
    "If your bank shows a pending line, that is a hold, not a payment. "
    "It vanishes by itself."
)


def _decline_advice(decline: DeclineClass | None) -> str:
    match decline:
        case DeclineClass.CHECK_DETAILS:
            return "Please check the card's number, date and security code."
        case DeclineClass.OTHER_CARD:
            return "Another card should work."
        case DeclineClass.ASK_BANK:
            return "Your bank can say why. Another card may work right away."
        case DeclineClass.TRY_AGAIN:
            return "The bank could not process it just now. You can use the card again."
        case _:
            return "Please use another card, or ask your bank about this one."


def _unknown(facts: CustomerFacts) -> CustomerView:
    asked_at = facts.pay_requested_at or facts.now
    if facts.now - asked_at < CONFIRMING_FOR:
        return CustomerView(
            page=Page.CONFIRMING,
            title=f"Confirming your {facts.price}",
            headline=f"We are confirming your {facts.price} with your bank.",
            sentences=(
                "You do not need to do anything. Please do not pay a second time.",
                "You can close this page. We will e-mail you.",
            ),
        )
    return CustomerView(
        page=Page.UNKNOWN,
        title="We don't know yet if your payment went through",
        headline="We don't know yet if your payment went through.",
        sentences=(
            "Please don't pay again. If it went through, we will finish your order. "
            "If not, we will tell you and nothing is owed.",
            "We keep asking the card processor, and close the attempt at the latest "
            f"{in_words(UNKNOWN_FOR)} after you pressed Pay.",
            _HOLD_NOTE,
        ),
    )


def _bank_check(facts: CustomerFacts) -> CustomerView:
    return CustomerView(
        page=Page.BANK_CHECK,
        title="Your bank wants to confirm it is you",
        headline="Your bank wants to confirm it is you.",
        sentences=(
            f"The {facts.price} is paid only after you approve it at your bank.",
            "If you close this page, you can come back to it. We close the attempt "
            f"when {in_words(BANK_CHECK_FOR)} pass without an answer.",
        ),
        to_do=ToDo.ANSWER_BANK,
        bank_check=True,
    )


def _charged(facts: CustomerFacts) -> CustomerView:
    match facts.access:
        case AccessState.ACTIVE:
            until = "" if facts.access_until is None else _until(facts.access_until)
            return CustomerView(
                page=Page.SUCCESS,
                title="You're in",
                headline=f"You're in.{until}",
                sentences=(
                    f"We received your {facts.price} for {facts.plan_name}. "
                    "There is nothing more to pay.",
                    "Your receipt comes by e-mail. This page stays yours: "
                    "keep its address.",
                ),
                to_do=ToDo.USE_ACCESS,
                is_settled=True,
            )
        case AccessState.ENDED:
            return CustomerView(
                page=Page.ENDED,
                title="Your plan has ended",
                headline="Your plan has ended.",
                sentences=(f"You paid {facts.price} for it. Nothing more is charged.",),
                is_settled=True,
            )
        case AccessState.NONE | AccessState.PENDING:
            return CustomerView(
                page=Page.RECEIVED,
                title=f"We received your {facts.price}",
                headline=(
                    f"We received your {facts.price}. You do not need to pay again."
                ),
                sentences=(
                    "We are opening your access. It takes seconds; when something "
                    "breaks on our side, minutes.",
                    "You can close this page. We will e-mail you when you are in.",
                ),
            )


def _until(until: datetime) -> str:
    return f" Your plan runs until {day_in_words(until)}."


def _duplicate(facts: CustomerFacts) -> CustomerView:
    return CustomerView(
        page=Page.DUPLICATE,
        title="You were charged twice: we return the second payment",
        headline=f"You were charged twice. We return the second {facts.price}.",
        sentences=(
            "You do not need to do anything, and you keep what you bought.",
            "Banks usually show a returned payment within 5 to 10 business days.",
        ),
    )


def _refund(facts: CustomerFacts) -> CustomerView:
    if facts.money is MoneyState.REFUNDING:
        return CustomerView(
            page=Page.REFUNDING,
            title=f"Your {facts.price} is on its way back",
            headline=f"Your {facts.price} is on its way back to you.",
            sentences=(f"We asked the card processor to return it. {_BANKS}",),
        )
    return CustomerView(
        page=Page.REFUNDED,
        title=f"We returned your {facts.price}",
        headline=f"We returned your {facts.price}.",
        sentences=(_BANKS,),
        is_settled=True,
    )


_BANKS = "Banks usually show it within 5 to 10 business days."
