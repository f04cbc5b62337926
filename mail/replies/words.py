"""What several replies say: where a purchase stands, when it was, and our promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from domain.customer_view import CustomerView, Page
from domain.deadlines import BANK_CHECK_FOR, in_words
from domain.money import Money
from domain.replies import Purchase, ReplyFacts, proof_of_no_charge
from domain.states import AccessState, DeclineClass, MoneyState
from domain.words import (
    BANKS,
    at_in_words,
    by_in_words,
    card_in_words,
    day_in_words,
    moment_in_words,
)
from mail.facts import Company, LetterNotDue
from mail.letter import Link

Rows = tuple[tuple[str, datetime | str | None], ...]

NOTHING_TO_DO = "You don't need to do anything."
NOT_AGAIN = "You don't need to pay again."
BY_NUMBER = "Your bank can find it by the refund number below."
BY_NUMBERS = "Your bank can find it by the refund numbers below."
COMES_TO_ME = "just reply: your answer comes to me."
OUR_FAULT = "That was our fault, and I'm sorry."

#: A weekday names a day for less than a week; longer ago it needs its date.
_NAMED_FOR = timedelta(days=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one letter says, before the person's opening takes the place of ours.

    Attributes:
        subjects: The first that fits is taken.
        fact: The first sentence: what is true of the money.
        to_do: The second: what they must do, which mostly is nothing.
        next_step: The third: what we do, or when they hear from us.
        more: What follows in the same paragraph, and the paragraphs after it.
        steps: What happened, in lines.
        after: Paragraphs after those lines.
        button: The one thing to press.
        rows: Facts beside those that every letter shows.
        is_private: Nothing of the purchase may be told.
    """

    subjects: tuple[str, ...]
    fact: str
    to_do: str
    next_step: str
    more: tuple[str, ...] = ()
    steps: tuple[tuple[str, str], ...] = ()
    after: tuple[str, ...] = ()
    button: Link | None = None
    rows: Rows = ()
    is_private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a purchase stands, in the first three sentences of a letter.

    Attributes:
        short: The fact as a clause, without its full stop.
    """

    short: str
    fact: str
    to_do: str
    next_step: str


def standing(facts: ReplyFacts) -> Standing:
    """Say where the money and the access of a purchase stand."""
    bought = purchase(facts)
    match bought.money:
        case MoneyState.NOT_CHARGED:
            return _not_charged(facts, bought)
        case MoneyState.UNKNOWN:
            return _standing(
                f"I don't know yet if your {bought.price} went through, "
                "and I won't guess",
                "Please don't pay again.",
                promise(facts),
                short=f"I don't know yet if your {bought.price} went through",
            )
        case MoneyState.ACTION_NEEDED:
            return _standing(
                f"Your {bought.price} is paid only after you approve it at your bank",
                "You can do that from your order's page.",
                promise(facts),
            )
        case MoneyState.DUPLICATE:
            return _standing(
                f"We charged you {bought.price} twice, and the second is going back",
                NOTHING_TO_DO,
                promise(facts),
                short=f"We charged you {bought.price} twice",
            )
        case MoneyState.REFUNDING | MoneyState.REFUNDED:
            back = returned(facts)
            return _standing(
                f"We returned your {back.amount}{back.when}", NOTHING_TO_DO, BANKS
            )
        case MoneyState.CHARGED:
            return _charged(facts, bought)


def _charged(facts: ReplyFacts, bought: Purchase) -> Standing:
    received = f"We received your {bought.price} {on(known(bought.charged_at), facts)}"
    match bought.access:
        case AccessState.ACTIVE:
            return _standing(
                f"{received}, and your access is open",
                NOT_AGAIN,
                f"Nothing more is due, {and_runs_until(bought)}.",
                short=received,
            )
        case AccessState.ENDED:
            return _standing(
                f"{received}, and your plan has ended since",
                NOTHING_TO_DO,
                "Nothing more will be charged.",
                short=received,
            )
        case AccessState.NONE | AccessState.PENDING:
            return _standing(received, NOT_AGAIN, opening_access(facts))


def _not_charged(facts: ReplyFacts, bought: Purchase) -> Standing:
    view = proof_of_no_charge(bought, facts.now)
    if view is None:
        raise LetterNotDue("nothing proves that no money moved")
    if view.page is Page.DECLINED:
        return _standing(
            f"Your bank declined the card, and you have not been charged the "
            f"{bought.price}",
            _advice(bought, view),
            "We keep your order as it is, so you can go on where you were.",
        )
    return _standing(
        f"You have not been charged the {bought.price}",
        "If you still want it, you can safely try again from your order's page.",
        view.sentences[0],
    )


def _advice(bought: Purchase, view: CustomerView) -> str:
    """Return the page's advice; what they can do stands in the second sentence."""
    if bought.decline is DeclineClass.TRY_AGAIN:
        return "You can use the card again. Your bank could not answer just then."
    return view.sentences[0]


def _standing(fact: str, to_do: str, next_step: str, *, short: str = "") -> Standing:
    return Standing(
        short=short or fact, fact=f"{fact}.", to_do=to_do, next_step=next_step
    )


def and_runs_until(bought: Purchase) -> str:
    """Say until when the plan runs, where it is known."""
    if bought.access_until is None:
        return "and your access is open"
    return f"and your plan runs until {day_in_words(bought.access_until)}"


def opening_access(facts: ReplyFacts) -> str:
    """Say that we are at it, with the time of the next word."""
    return f"We are opening your access, and {_promised(facts)}"


def promise(facts: ReplyFacts) -> str:
    """Return the sentence that names the time of our next letter."""
    sentence = _promised(facts)
    return f"{sentence[0].upper()}{sentence[1:]}"


def _promised(facts: ReplyFacts) -> str:
    by = by_in_words(known(facts.next_message_at), now=facts.now)
    return f"I'll write to you by {by}, with or without news."


def on(moment: datetime, facts: ReplyFacts) -> str:
    """Write when something was, as a person says it: `on Monday at 14:32 UTC`."""
    moment, now = moment.astimezone(UTC), facts.now.astimezone(UTC)
    is_this_week = timedelta() <= now - moment < _NAMED_FOR
    if moment.date() != now.date() and is_this_week:
        return f"on {moment:%A} at {moment:%H:%M} UTC"
    return at_in_words(moment, now=now)


def purchase(facts: ReplyFacts) -> Purchase:
    """Return what the letter is about.

    Raises:
        LetterNotDue: It is about nothing.
    """
    if facts.purchase is None:
        raise LetterNotDue("no purchase is known: this letter is not due")
    return facts.purchase


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """What went back, in one refund or in several, as one letter tells it.

    Attributes:
        amount: All of it.
        when: When, or when the last part did; goes on after the amount.
        banks: When a bank shows it, and how it finds it.
        ends_access: The plan ends with it.
    """

    amount: Money
    when: str
    banks: str
    ends_access: bool


def returned(facts: ReplyFacts, *, second: bool = False) -> Back:
    """Return what went back of the payment, or of a second one.

    Raises:
        LetterNotDue: Nothing did.
    """
    parts = facts.returned(second=second)
    if not parts:
        raise LetterNotDue("refund is not known: this letter is not due")
    last = parts[-1]
    amount = sum(part.amount.amount_minor for part in parts)
    at = on(last.returned_at, facts)
    numbers = sum(part.reference is not None for part in parts)
    by_number = ("", BY_NUMBER, BY_NUMBERS)[min(numbers, 2)]
    return Back(
        amount=Money(amount_minor=amount, currency=last.amount.currency),
        when=f" {at}" if len(parts) == 1 else f", the last part {at}",
        banks=f"{BANKS} {by_number}".strip(),
        ends_access=last.ends_access,
    )


def known(moment: datetime | None) -> datetime:
    """Return an instant without which a letter would be untrue.

    Raises:
        LetterNotDue: There is none.
    """
    if moment is None:
        raise LetterNotDue("a time is not known: this letter is not due")
    return moment


def sentences(*parts: str) -> tuple[str, ...]:
    """Return paragraphs without the empty ones."""
    return tuple(part.strip() for part in parts if part.strip())


def way_in(facts: ReplyFacts, company: Company) -> Link:
    """Return the button that opens the application, or the order's page before that."""
    bought = purchase(facts)
    if bought.access is AccessState.ACTIVE and bought.access_url:
        return Link(label=f"Open {company.company_name}", url=bought.access_url)
    if bought.money is MoneyState.NOT_CHARGED:
        return Link(label="Back to your order", url=bought.page_url)
    if bought.money is MoneyState.ACTION_NEEDED:
        return Link(label="Go to your bank's question", url=bought.page_url)
    return to_page(facts)


def to_page(facts: ReplyFacts) -> Link:
    """Return the button that shows where the purchase stands."""
    return Link(label="See your order", url=purchase(facts).page_url)


def rows(
    facts: ReplyFacts, more: Rows, promised_at: datetime | None
) -> tuple[tuple[str, str], ...]:
    """Return the facts that every letter shows, below its signature."""
    bought = purchase(facts)
    not_charged = bought.money is MoneyState.NOT_CHARGED
    amount = f"{bought.price}, not charged" if not_charged else str(bought.price)
    all_rows: Rows = (
        ("Reference", bought.reference_code),
        ("Plan", bought.plan_name),
        ("Amount", amount),
        ("Card", card_in_words(bought.card_brand, bought.card_last4)),
        ("Paid", bought.charged_at),
        *_returned_rows(facts),
        *more,
        ("Next e-mail", promised_at and f"by {moment_in_words(promised_at)}"),
    )
    return tuple(
        (label, moment_in_words(value) if isinstance(value, datetime) else value)
        for label, value in all_rows
        if value
    )


def _returned_rows(facts: ReplyFacts) -> Iterator[tuple[str, str | None]]:
    """Write each refund with its number: a bank finds one at a time."""
    for one in facts.refunds:
        yield "Returned", f"{one.amount}, {moment_in_words(one.returned_at)}"
        yield "Refund number", one.reference


def bank_check_for() -> str:
    """Return how long we wait for the answer to a bank's question."""
    return in_words(BANK_CHECK_FOR)
