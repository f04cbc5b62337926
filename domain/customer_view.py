"""What the customer is told: one catalogue of states, one pure function of the facts.

`CATALOGUE` is read from left to right: what the person feels, what we claim in answer,
what proves the claim, what they have to do, and when they hear from us next.
`customer_view` picks the entry and fills it in; it is total over every pair of money
state and access state. Pages and the JSON API print what it returns; no handler writes
a sentence about money of its own. "You have not been charged" and the pay button can
only come out of `NOT_CHARGED`, which the database lets stand in the stage `open` alone.

A sentence whose facts are not known is not said: that is how no page names a time that
nobody promised.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.deadlines import (
    BANK_CHECK_FOR,
    CONFIRMING_FOR,
    MAY_LEAVE_AFTER,
    SMOOTH_WITHIN,
    UNKNOWN_FOR,
    in_words,
)
from domain.money import Money
from domain.refunds import Returned
from domain.states import (
    NEVER_ASKED,
    AccessState,
    DeclineClass,
    MoneyState,
    NotChargedReason,
)
from domain.words import (
    BANKS,
    at_in_words,
    by_in_words,
    day_in_words,
    moment_in_words,
)


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
    ALREADY_PAID = "already_paid"
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
        bank_answered_at: When the bank's question of this attempt was answered.
        reason: Why the last attempt ended without a charge; None when there was none.
        decline: How it was declined, when it was.
        proven_at: When the last attempt was closed without a charge.
        asked_at: When the processor was last asked about a payment in doubt.
        charged_at: When the money moved.
        access_until: When the bought time ends.
        was_late: The access came so late that the buyer is owed an apology.
        next_message_at: When our next mail leaves at the latest; a timer keeps it.
        paused_at: Since when no new payments are taken; None while they are.
        returned: What went back of the charge that the order stands for.
        second_returned: What went back of second charges.
        email_masked: Where mails go, as much of it as a page may show.
        asked_again: The buyer tried to pay what is paid, and is worried.
    """

    money: MoneyState
    access: AccessState
    price: Money
    plan_name: str
    now: datetime
    pay_requested_at: datetime | None = None
    bank_answered_at: datetime | None = None
    reason: NotChargedReason | None = None
    decline: DeclineClass | None = None
    proven_at: datetime | None = None
    asked_at: datetime | None = None
    charged_at: datetime | None = None
    access_until: datetime | None = None
    was_late: bool | None = None
    next_message_at: datetime | None = None
    paused_at: datetime | None = None
    returned: Returned | None = None
    second_returned: Returned | None = None
    email_masked: str | None = None
    asked_again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerView:
    """What to tell the customer.

    Attributes:
        page: Which page this is.
        state: The entry of the catalogue that it was written from.
        title: Begins with the fact; for the browser's tab.
        headline: The claim: the money fact in the customer's words.
        sentences: What they must do, what we do, when they hear next; in this order.
        to_do: What is left for them to do, for programs.
        next_message_at: The time that the last sentence names; None when none is named.
        pay_label: Text of the pay button; None where paying must not be offered.
        bank_check: The page must offer the way to the bank's question.
        is_settled: Nothing will change by waiting; the page need not follow.
    """

    page: Page
    state: str
    title: str
    headline: str
    sentences: tuple[str, ...]
    to_do: ToDo
    next_message_at: datetime | None = None
    pay_label: str | None = None
    bank_check: bool = False
    is_settled: bool = False


#: One sentence, or several that say it with fewer and fewer facts: the first whose
#: facts are all known is said, and none when there is none.
Words = str | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageState:
    """One entry of the catalogue: from what a person feels to what we say.

    Attributes:
        page: The page it is a moment of.
        feeling: What the person in front of it feels. The words answer this.
        title: Begins with the fact; for the browser's tab.
        claim: The money fact; the headline.
        proof: What makes the claim true whatever broke. For readers of this file.
        what_to_do: What the person must do, and what we do meanwhile.
        to_do: The same for programs.
        next_message: When they hear from us next; said when the time is known.
        pay_label: Text of the pay button, where a charge is proven impossible.
        is_settled: Nothing will change by waiting.
    """

    page: Page
    feeling: str
    title: Words
    claim: Words
    proof: str
    what_to_do: tuple[Words, ...]
    to_do: ToDo = ToDo.NOTHING
    next_message: Words = ()
    pay_label: str | None = None
    is_settled: bool = False


#: The one promise with a time. Its time is a timer of the checkout's own workflow.
_BY = "We will write to you by {next_message_by}, with or without news."
_LEAVE = (
    "You can close this page. We will e-mail {email}.",
    "You can close this page. We will e-mail you.",
)
_LEAVE_UNTIL_IN = (
    "You can close this page. We will e-mail {email} when you are in.",
    "You can close this page. We will e-mail you when you are in.",
)
_HOLD = (
    "If your bank shows a pending line, that is a hold, not a payment. "
    "It vanishes by itself."
)
#: While nothing is known, the line may be the payment itself.
_MAY_BE_HOLD = (
    "If your bank shows a pending line, it may be a hold. A hold vanishes by itself."
)
_REFERENCE = "The refund's reference is {refund_reference}."
_IN: Words = ("You're in. Your plan runs until {access_until}.", "You're in.")
_PAID = "We received your {price}. There is nothing more to pay."
_RECEIPT: Words = (
    "Your receipt goes to {email}. This page stays yours: keep its address.",
    "Your receipt comes by e-mail. This page stays yours: keep its address.",
)
_KEEPS: Words = (
    "You do not need to do anything. {plan_over}",
    "You do not need to do anything, and you keep what you bought.",
)
_RECEIVED = "We received your {price}. You do not need to pay again."


def _and_by(words: tuple[str, ...]) -> tuple[str, ...]:
    """Add the promise with its time, where there is one."""
    return (*(f"{wording} {_BY}" for wording in words), *words)


CATALOGUE: dict[str, PageState] = {
    "checkout": PageState(
        page=Page.CHECKOUT,
        feeling="Hopeful, slightly guarded: is this the whole price, and what if it "
        "breaks?",
        title="{plan}: {price}",
        claim="{plan}",
        proof="Stage `open` without an attempt: nobody was ever asked for money.",
        what_to_do=(
            "If anything breaks while you pay, this page's address finds your payment "
            "again.",
        ),
        to_do=ToDo.PAY,
        pay_label="Pay {price}",
        is_settled=True,
    ),
    "paused": PageState(
        page=Page.PAUSED,
        feeling="Puzzled: is the shop closed, and did my card go through?",
        title="New payments are paused: you have not been charged",
        claim="We paused new payments {paused}. You have not been charged.",
        proof="Stage `open`: no attempt, or the last one ended with a terminal proof.",
        what_to_do=("You do not need to do anything. Your checkout stays here.",),
        next_message=(
            "We will write to {email} once, when it is open.",
            "We will write to you once, when it is open.",
        ),
    ),
    "declined": PageState(
        page=Page.DECLINED,
        feeling="Embarrassed; perhaps somebody looks over the shoulder.",
        title="Declined: you have not been charged",
        claim="Your bank declined the card. You have not been charged.",
        proof="The PaymentIntent says that the bank declined, and it was let go.",
        what_to_do=("{advice}",),
        to_do=ToDo.PAY,
        pay_label="Pay {price}",
        is_settled=True,
    ),
    "not_charged": PageState(
        page=Page.NOT_CHARGED,
        feeling="Mildly irritated, and in doubt whether trying again costs twice.",
        title="You have not been charged",
        claim="You have not been charged. You can safely try again.",
        proof="The processor confirmed the cancellation, or it was never asked; the "
        "reason is in the row.",
        what_to_do=(
            "{how_we_know}",
            "We have known this for certain since {proven_since}.",
            "{hold_note}",
        ),
        to_do=ToDo.PAY,
        pay_label="Try again: {price}",
        is_settled=True,
    ),
    "confirming": PageState(
        page=Page.CONFIRMING,
        feeling="Counts the seconds.",
        title="Confirming your {price}",
        claim="We are confirming your {price} with your bank.",
        proof="A request to pay stands in the row, without an outcome.",
        what_to_do=(
            "You do not need to do anything. Please do not pay a second time.",
        ),
        # No time is named before the page lets anybody go: whoever watches is answered
        # here, and a mail by that time would be one more.
        next_message="Asking your bank takes a few seconds.",
    ),
    "confirming_longer": PageState(
        page=Page.CONFIRMING,
        feeling="Wonders whether it hangs, and whether it is safe to leave.",
        title="Confirming your {price}",
        claim="We are confirming your {price} with your bank.",
        proof="A request to pay stands in the row, without an outcome; whatever it "
        "comes to, a mail follows.",
        what_to_do=(
            "You do not need to do anything. Please do not pay a second time.",
        ),
        next_message=_and_by(_LEAVE),
    ),
    "unknown": PageState(
        page=Page.UNKNOWN,
        feeling="Anxious for not knowing, and tempted to try once more.",
        title="We don't know yet if your payment went through",
        claim="We don't know yet if your payment went through.",
        proof="It claims nothing. The attempt is closed before the processor forgets "
        "its keys, so an answer comes.",
        what_to_do=(
            "Please don't pay again. If it went through, we will finish your order. "
            "If not, we will tell you and nothing is owed.",
            (
                "We are finding out with the card processor, and last asked {asked}. "
                "We close the attempt at the latest {unknown_for} after you pressed "
                "Pay.",
                "We are finding out with the card processor. We close the attempt at "
                "the latest {unknown_for} after you pressed Pay.",
            ),
            _MAY_BE_HOLD,
        ),
        next_message=_and_by(_LEAVE),
    ),
    "unknown_longer": PageState(
        page=Page.UNKNOWN,
        feeling="Was promised an end, watched it pass, and trusts nothing more.",
        title="We don't know yet if your payment went through",
        claim="We don't know yet if your payment went through.",
        proof="It claims nothing. The deadline of the attempt has passed, and the "
        "processor has not confirmed that it is closed.",
        what_to_do=(
            "Please don't pay again. If it went through, we will finish your order. "
            "If not, we will tell you and nothing is owed.",
            "We wanted to close the attempt {unknown_for} after you pressed Pay. "
            "The card processor has not let us yet, and we are sorry.",
            "We keep asking it to.",
            _MAY_BE_HOLD,
        ),
        next_message=_and_by(_LEAVE),
    ),
    "bank_check": PageState(
        page=Page.BANK_CHECK,
        feeling="Tense: the bank wants something.",
        title="Your bank wants to confirm it is you",
        claim="Your bank wants to confirm it is you.",
        proof="The PaymentIntent is `requires_action`: it cannot succeed before the "
        "bank's question is answered.",
        what_to_do=(
            "The {price} is paid only after you approve it at your bank.",
            "If you close this page, you can come back to it. We close the attempt "
            "when {bank_check_for} pass without an answer.",
        ),
        to_do=ToDo.ANSWER_BANK,
    ),
    "received": PageState(
        page=Page.RECEIVED,
        feeling="Relieved about the money, and waits for the door to open.",
        title="We received your {price}",
        claim=_RECEIVED,
        proof="The processor shows a succeeded charge; the stage `charged` is never "
        "left.",
        what_to_do=(
            "{already_paid}",
            "We are opening your access. It takes seconds; when something breaks on "
            "our side, minutes.",
        ),
        next_message=_and_by(_LEAVE_UNTIL_IN),
    ),
    "received_late": PageState(
        page=Page.RECEIVED,
        feeling="Afraid and angry: the money is gone, nothing came. Pay again, or "
        "call the bank?",
        title="We received your {price}",
        claim=_RECEIVED,
        proof="The processor shows a succeeded charge; the workflow goes on until the "
        "access is open.",
        what_to_do=(
            "{already_paid}",
            "Your bank confirmed it {charged}. Your access should be ready by now. "
            "That is our fault, and we are sorry.",
            "We are finishing your order. It normally takes minutes. "
            "You do not need to prove anything.",
        ),
        next_message=_and_by(_LEAVE_UNTIL_IN),
    ),
    "success": PageState(
        page=Page.SUCCESS,
        feeling="Relieved; wants in.",
        title="You're in",
        claim=_IN,
        proof="The charge is proven, and the application confirmed the access.",
        what_to_do=("{already_paid}", _PAID, "{returned}", _REFERENCE, _RECEIPT),
        to_do=ToDo.USE_ACCESS,
        is_settled=True,
    ),
    "success_late": PageState(
        page=Page.SUCCESS,
        feeling="Relieved, but has waited; wants to hear that we noticed.",
        title="You're in",
        claim=_IN,
        proof="The charge is proven, and the application confirmed the access.",
        what_to_do=(
            "{already_paid}",
            "Your access took longer than it should. "
            "That was our fault, and we are sorry.",
            _PAID,
            "{returned}",
            _REFERENCE,
            _RECEIPT,
        ),
        to_do=ToDo.USE_ACCESS,
        is_settled=True,
    ),
    "already_paid": PageState(
        page=Page.ALREADY_PAID,
        feeling="Worried: did the second press cost a second time?",
        title="You already paid for this",
        claim="You already paid for this. No second payment was made.",
        proof="One checkout is charged at most once: its stage `charged` is never "
        "left, and nothing was ever returned here.",
        what_to_do=(
            "You paid {price} {charged}.",
            ("Your plan runs until {access_until}.", "Your access is open."),
            _RECEIPT,
        ),
        to_do=ToDo.USE_ACCESS,
        is_settled=True,
    ),
    "duplicate": PageState(
        page=Page.DUPLICATE,
        feeling="Angry: the same thing was charged twice.",
        title="You were charged twice: we return the second payment",
        claim="You were charged twice. We return the second {refund}.",
        proof="The processor shows two succeeded charges of one checkout.",
        what_to_do=(
            _KEEPS,
            "It should not have happened, and we are sorry.",
            "Banks usually show a returned payment within 5 to 10 business days.",
        ),
        next_message=_BY,
    ),
    "duplicate_returned": PageState(
        page=Page.DUPLICATE,
        feeling="Angry, and wants to see the money on its way.",
        title="You were charged twice: we returned the second payment",
        claim="You were charged twice. We returned the second {refund} {refunded}.",
        proof="The processor accepted the refund of the second charge.",
        what_to_do=(
            _KEEPS,
            "It should not have happened, and we are sorry.",
            BANKS,
            _REFERENCE,
        ),
        is_settled=True,
    ),
    "refunding": PageState(
        page=Page.REFUNDING,
        feeling="Wants to be sure that it was really sent.",
        title="Your {refund} is on its way back",
        claim="Your {refund} is on its way back to you.",
        proof="A refund was asked for by a named person; its end is watched.",
        what_to_do=(
            f"We asked the card processor to return it. {BANKS}",
            _REFERENCE,
            "{access_over}",
        ),
        next_message=_BY,
    ),
    "refunded": PageState(
        page=Page.REFUNDED,
        feeling="Looks at the statement and wonders where it is.",
        title="We returned your {refund}",
        claim=("We returned your {refund} {refunded}.", "We returned your {refund}."),
        proof="The processor shows the refund as succeeded.",
        what_to_do=(BANKS, _REFERENCE, "{access_over}"),
        is_settled=True,
    ),
    "ended": PageState(
        page=Page.ENDED,
        feeling="Calm or surprised: is anything still charged?",
        title="Your plan has ended",
        claim="Your plan has ended.",
        proof="The bought time is over, and nothing renews by itself.",
        what_to_do=(
            "{already_paid}",
            "You paid {price} for it. Nothing more is charged.",
            "{returned}",
            _REFERENCE,
        ),
        is_settled=True,
    ),
    "holding": PageState(
        # Never of a row: what its address says when it cannot be read.
        page=Page.UNKNOWN,
        feeling="Afraid: the page looks broken, and the card may be charged.",
        title="Please don't pay again yet",
        claim="Please don't pay again yet.",
        proof="It claims nothing: a reply that was lost may hide a charge.",
        what_to_do=(
            "We can't show your payment this second. If your card was charged, we "
            "will find it and finish your order.",
            "Keep this page's address.",
        ),
    ),
}


def customer_view(facts: CustomerFacts) -> CustomerView:
    """Say what is true for these facts; total over all pairs of states."""
    return _tell(_state_of(facts), _known(facts), facts.next_message_at)


def _tell(
    name: str, known: dict[str, str], promised_at: datetime | None
) -> CustomerView:
    """Fill an entry of the catalogue in with what is known."""
    state = CATALOGUE[name]
    said = [_say(words, known) for words in state.what_to_do]
    said.append(_say(state.next_message, known))
    names_a_time = "next_message_by" in known and known["next_message_by"] in said[-1]
    return CustomerView(
        page=state.page,
        state=name,
        title=_say(state.title, known),
        headline=_say(state.claim, known),
        sentences=tuple(sentence for sentence in said if sentence),
        to_do=state.to_do,
        next_message_at=promised_at if names_a_time else None,
        pay_label=_say(state.pay_label or (), known) or None,
        bank_check=state.page is Page.BANK_CHECK,
        is_settled=state.is_settled,
    )


def may_have_seen_an_error(
    charged_at: datetime, access_at: datetime, *, was_interrupted: bool
) -> bool:
    """Say whether the receipt shall mention an error page that may have been seen.

    The clock starts at the charge: what a buyer spends at the bank is no trouble.
    """
    return was_interrupted or access_at - charged_at > SMOOTH_WITHIN


def _state_of(facts: CustomerFacts) -> str:
    """Return the name of the entry that these facts are."""
    match facts.money:
        case MoneyState.NOT_CHARGED:
            return _not_charged(facts)
        case MoneyState.UNKNOWN:
            return _unknown(facts)
        case MoneyState.ACTION_NEEDED:
            return "bank_check"
        case MoneyState.CHARGED:
            return _charged(facts)
        case MoneyState.DUPLICATE:
            is_back = facts.second_returned is not None
            return "duplicate_returned" if is_back else "duplicate"
        case MoneyState.REFUNDING | MoneyState.REFUNDED:
            return facts.money.value.lower()


def _not_charged(facts: CustomerFacts) -> str:
    if facts.paused_at is not None:
        return "paused"
    if facts.reason is None:
        return "checkout"
    is_declined = facts.reason is NotChargedReason.DECLINED
    return "declined" if is_declined else "not_charged"


def _unknown(facts: CustomerFacts) -> str:
    since = facts.bank_answered_at or facts.pay_requested_at or facts.now
    waited = facts.now - since
    if waited < MAY_LEAVE_AFTER:
        return "confirming"
    if waited < CONFIRMING_FOR:
        return "confirming_longer"
    pressed_at = facts.pay_requested_at or facts.now
    # A minute for the closing itself: the page says at once what it came to.
    is_late = facts.now - pressed_at > UNKNOWN_FOR + CONFIRMING_FOR
    return "unknown_longer" if is_late else "unknown"


def _charged(facts: CustomerFacts) -> str:
    match facts.access:
        case AccessState.ACTIVE:
            if _is_charged_once(facts):
                return "already_paid"
            return "success_late" if facts.was_late else "success"
        case AccessState.ENDED:
            return "ended"
        case AccessState.NONE | AccessState.PENDING:
            return "received_late" if _is_late(facts) else "received"


def _is_charged_once(facts: CustomerFacts) -> bool:
    """Whether "no second payment was made" is asked for, and true.

    A payment that was returned may have been a second one.
    """
    is_asked = facts.asked_again and facts.charged_at is not None
    return is_asked and facts.returned is None and facts.second_returned is None


def _is_late(facts: CustomerFacts) -> bool:
    if facts.charged_at is None:
        return False
    return facts.now - facts.charged_at > SMOOTH_WITHIN


def _known(facts: CustomerFacts) -> dict[str, str]:
    """Return the facts in words, by the names that the catalogue uses; no unknown."""
    is_twice = facts.money is MoneyState.DUPLICATE
    returned = facts.second_returned if is_twice else facts.returned
    words: dict[str, str | None] = {
        "price": str(facts.price),
        "plan": facts.plan_name,
        "email": facts.email_masked,
        "unknown_for": in_words(UNKNOWN_FOR),
        "bank_check_for": in_words(BANK_CHECK_FOR),
        "advice": _ADVICE[facts.decline or DeclineClass.GENERIC],
        "how_we_know": _PROOF.get(facts.reason) if facts.reason else None,
        "hold_note": None if facts.reason in NEVER_ASKED else _HOLD,
        "paused": _at(facts.paused_at, facts.now),
        "proven_since": _since(facts.proven_at, facts.now),
        "asked": _at(facts.asked_at, facts.now),
        "charged": _at(facts.charged_at, facts.now),
        "refunded": _at(returned.at if returned else None, facts.now),
        "refund": str(returned.amount if returned else facts.price),
        "refund_reference": _reference(facts, returned),
        "next_message_by": _by(facts),
        "access_until": _day(facts.access_until),
        "access_over": _access_over(facts),
        "plan_over": _plan_over(facts),
        "already_paid": _already_paid(facts),
        "returned": _returned(facts),
    }
    return {name: text for name, text in words.items() if text is not None}


def _say(words: Words, known: dict[str, str]) -> str:
    """Return the first of the wordings whose facts are all known, or nothing."""
    for wording in (words,) if isinstance(words, str) else words:
        try:
            return wording.format_map(known)
        except KeyError:
            continue
    return ""


def _by(facts: CustomerFacts) -> str | None:
    """Write the promised time; one that has passed is no promise any more."""
    if facts.next_message_at is None or facts.next_message_at <= facts.now:
        return None
    return by_in_words(facts.next_message_at, now=facts.now)


def _at(moment: datetime | None, now: datetime) -> str | None:
    return None if moment is None else at_in_words(moment, now=now)


def _since(moment: datetime | None, now: datetime) -> str | None:
    return None if moment is None else by_in_words(moment, now=now)


def _day(moment: datetime | None) -> str | None:
    return None if moment is None else day_in_words(moment)


def _plan_over(facts: CustomerFacts) -> str | None:
    return "Your plan has ended." if facts.access is AccessState.ENDED else None


def _access_over(facts: CustomerFacts) -> str | None:
    if facts.access is not AccessState.ENDED:
        return None
    # Money may go back and access stay, until the bought time runs out.
    is_past = facts.access_until is not None and facts.access_until <= facts.now
    return "Your access has ended." if is_past else "Your access has ended with it."


def _already_paid(facts: CustomerFacts) -> str | None:
    if not facts.asked_again or facts.charged_at is None:
        return None
    paid = f"You already paid for this on {moment_in_words(facts.charged_at)}."
    return f"{paid} No second payment was made." if _is_charged_once(facts) else paid


def _returned(facts: CustomerFacts) -> str | None:
    """Say what was returned beside a charge that stands, and of it."""
    own, second = facts.returned, facts.second_returned
    said = []
    if second is not None:
        at = at_in_words(second.at, now=facts.now)
        said.append(
            f"You were charged twice. We returned the second {second.amount} {at}."
        )
    if own is not None:
        at = at_in_words(own.at, now=facts.now)
        said.append(f"We returned {own.amount} of it to you {at}.")
    return " ".join(said) or None


def _reference(facts: CustomerFacts, told: Returned | None) -> str | None:
    """Return the reference of the one refund that the page tells of, if it is one."""
    if facts.money is not MoneyState.CHARGED:
        return None if told is None else told.reference
    both = [one for one in (facts.returned, facts.second_returned) if one is not None]
    return both[0].reference if len(both) == 1 else None


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

_ADVICE = {
    DeclineClass.CHECK_DETAILS: (
        "Please check the card's number, date and security code."
    ),
    DeclineClass.OTHER_CARD: "Another card should work.",
    DeclineClass.ASK_BANK: "Your bank can say why. Another card may work right away.",
    DeclineClass.TRY_AGAIN: (
        "The bank could not process it just now. You can use the card again."
    ),
    DeclineClass.GENERIC: "Please use another card, or ask your bank about this one.",
}

#: What an address says whose row cannot be read.
HOLDING = _tell("holding", {}, None)
