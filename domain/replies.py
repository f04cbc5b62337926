"""What a person answers: eighteen situations, what each must know, and what is missing.

Pure: from the facts of a case to the letters that are true of them. The words are in
`mail/replies`. A letter whose facts are not all known is `Blocked`, and says for each
missing fact what it is and where to get it. So no letter names a refund that nobody
made, a time that nobody keeps, or a charge that nobody proved.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum

from domain.customer_view import CustomerFacts, CustomerView, Page, customer_view
from domain.money import Money
from domain.states import (
    MONEY_TAKEN,
    AccessState,
    DeclineClass,
    MoneyState,
    NotChargedReason,
)

#: Later than this, an answer begins with the wait: money was at stake meanwhile.
SLOW_AFTER = timedelta(hours=24)

#: A change of the purchase is what a letter is likely about for so long.
NEWS_FOR = timedelta(days=7)

#: What an invoice's address and the name on it may have at the most.
MOST_INVOICE_URL = 500
MOST_INVOICE_NAME = 120
_HTTPS = re.compile(r"https://[^/?#@\\]+([/?#].*)?", re.IGNORECASE)


class Situation(StrEnum):
    """What a customer writes about, or what we write to them about."""

    WENT_THROUGH = "went-through"
    BLANK_PAGE = "blank-page"
    PAID_TWICE = "paid-twice"
    SECOND_LINE_IS_HOLD = "second-line-is-hold"
    STILL_UNKNOWN = "still-unknown"
    NOT_CHARGED = "not-charged"
    DECLINED = "declined"
    MONEY_BACK = "money-back"
    ANGRY = "angry"
    WRONG_ADDRESS = "wrong-address"
    NO_MAIL = "no-mail"
    INVOICE = "invoice"
    COMPENSATION = "compensation"
    SOMEBODY_ELSE = "somebody-else"
    DISPUTE = "dispute"
    MANY_PEOPLE = "many-people"
    SLOW_ANSWER = "slow-answer"
    AFTER_THE_FIX = "after-the-fix"


class Verified(StrEnum):
    """How we know that who writes is who paid; never by a picture of a card."""

    #: They wrote from the order's page, or named its address.
    PAGE_LINK = "page_link"
    #: They named the card's last four digits and the day of the payment.
    CARD_AND_DAY = "card_and_day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """The checkout that a letter is about, as its row says it.

    Attributes:
        email: The address on the order; a letter to another one tells nothing of it
            until it is known who writes.
        asked_at: When the processor was last asked about this purchase.
        payments_shown: How many payments it showed then; None when it was not asked.
        was_interrupted: A step broke on the way, so an error page may have been seen.
        access_url: Where the customer enters; None while there is no way in.
        receipt_left_at: When our mail server handed the receipt over.
        receipt_came_back: The customer's mail server refused it, then or later.
    """

    reference_code: str
    email: str
    plan_name: str
    price: Money
    page_url: str
    money: MoneyState
    access: AccessState
    pay_requested_at: datetime | None = None
    reason: NotChargedReason | None = None
    decline: DeclineClass | None = None
    proven_at: datetime | None = None
    asked_at: datetime | None = None
    payments_shown: int | None = None
    charged_at: datetime | None = None
    card_brand: str | None = None
    card_last4: str | None = None
    was_interrupted: bool = False
    access_at: datetime | None = None
    access_until: datetime | None = None
    access_url: str | None = None
    receipt_left_at: datetime | None = None
    receipt_came_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedMoney:
    """A refund that the processor took.

    Attributes:
        reference: The bank's number for it; None while there is none.
        is_second_charge: It returns the second of two charges.
        ends_access: The plan ends with it.
    """

    amount: Money
    returned_at: datetime
    reference: str | None = None
    is_second_charge: bool = False
    ends_access: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """An invoice that stands ready: where, and to whom it is made out."""

    url: str
    made_out_to: str


def invoice_of(url: str, made_out_to: str) -> Invoice | None:
    """Return an invoice as somebody typed it; None unless a letter can show it.

    Args:
        url: Where it is: a web address that is encrypted on its way.
        made_out_to: The name on it.
    """
    url, name = url.strip(), " ".join(made_out_to.split())
    is_address = (
        len(url) <= MOST_INVOICE_URL
        and url.isascii()
        and url.isprintable()
        and " " not in url
        and _HTTPS.fullmatch(url) is not None
    )
    is_name = 0 < len(name) <= MOST_INVOICE_NAME and name.isprintable()
    return Invoice(url=url, made_out_to=name) if is_address and is_name else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedDays:
    """Days that were added to a plan, when, and until when it runs now."""

    days: int
    until: datetime
    added_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDispute:
    """A dispute that the customer's bank has not decided."""

    amount: Money
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One line of what happened, in words that a customer understands."""

    at: datetime
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyFacts:
    """Everything that a reply may say; what is not known is None.

    Attributes:
        now: The moment that the letter speaks of.
        email: Where it goes.
        purchase: What it is about; None when no purchase was found.
        customer_name: How they signed; never guessed from an address.
        wrote_at: When the letter that is being answered came in.
        next_message_at: By when we write next; something must be set to keep it.
        refunds: Those that the processor took and no bank sent back, oldest first.
        invoice: A finished invoice.
        added: Days that were added.
        dispute: An undecided dispute.
        wrong_address: The address with the typing error, masked as on pages.
        address_corrected_at: When the purchase got the address of this letter.
        verified: How we know who writes.
        timeline: What happened, oldest first.
        what_broke: One or two sentences, written by a person.
        what_changed: Likewise, so that it does not happen again.
    """

    now: datetime
    email: str
    purchase: Purchase | None = None
    customer_name: str | None = None
    wrote_at: datetime | None = None
    next_message_at: datetime | None = None
    refunds: tuple[ReturnedMoney, ...] = ()
    invoice: Invoice | None = None
    added: AddedDays | None = None
    dispute: OpenDispute | None = None
    wrong_address: str | None = None
    address_corrected_at: datetime | None = None
    verified: Verified | None = None
    timeline: tuple[Happening, ...] = ()
    what_broke: str | None = None
    what_changed: str | None = None

    def returned(self, *, second: bool) -> tuple[ReturnedMoney, ...]:
        """Return what went back: of a second charge, or of what the order stands for.

        A letter speaks of one of them; whatever went back since of the other leaves it
        as true as before.
        """
        return tuple(one for one in self.refunds if one.is_second_charge is second)


class Fact(StrEnum):
    """What a letter cannot be written without."""

    PURCHASE = "purchase"
    CHARGE = "charge"
    ONE_PAYMENT = "one_payment"
    PROOF = "proof"
    DECLINE = "decline"
    ATTEMPT = "attempt"
    ACCESS = "access"
    NEXT_MESSAGE = "next_message"
    REFUND = "refund"
    SECOND_REFUND = "second_refund"
    RECEIPT = "receipt"
    VERIFIED = "verified"
    NEW_ADDRESS = "new_address"
    INVOICE = "invoice"
    ADDED_DAYS = "added_days"
    DISPUTE = "dispute"
    WROTE_AT = "wrote_at"
    TIMELINE = "timeline"
    WHAT_BROKE = "what_broke"
    WHAT_CHANGED = "what_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A fact that a letter lacks: what it is, and where to get it."""

    fact: Fact
    what: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """A letter that cannot be written now.

    Attributes:
        missing: The facts that it lacks.
        untrue: Why it would not be true even with them; empty when it would.
        instead: The letters that are true of the purchase as it stands.
    """

    situation: Situation
    missing: tuple[Missing, ...] = ()
    untrue: str = ""
    instead: tuple[Situation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A letter whose facts are all known. Only `prepare` makes one."""

    situation: Situation
    facts: ReplyFacts


#: For each fact: what it is, and where a person gets it.
WHERE: dict[Fact, tuple[str, str]] = {
    Fact.PURCHASE: (
        "Which purchase it is about",
        "Search by address, by reference, or by the card's last four digits and the "
        "day; then open the reply from its page.",
    ),
    Fact.CHARGE: (
        "Proof that the money arrived, with its time",
        "It stands in the case. If the processor shows it and we do not, press the "
        "repair there. Until the charge is proven, use “Still unknown”.",
    ),
    Fact.ONE_PAYMENT: (
        "The processor's word that there is one payment, and no second",
        "It is asked as this letter opens. If it did not answer, open the letter "
        "again; if the case has several payments, this is not the letter.",
    ),
    Fact.PROOF: (
        "Proof that nothing was charged, and never will be",
        "The attempt must be closed: ask for a repair, and wait until the case says "
        "why the attempt ended.",
    ),
    Fact.DECLINE: (
        "The bank's no",
        "Look at the last attempt in the case. If it ended in another way, use "
        "“Not charged”.",
    ),
    Fact.ATTEMPT: (
        "When Pay was pressed",
        "It stands in the case. If nobody pressed Pay, nothing is unknown.",
    ),
    Fact.ACCESS: (
        "Open access, and its address",
        "Press the repair in the case, and wait until access is open.",
    ),
    Fact.NEXT_MESSAGE: (
        "By when they hear from us next",
        "Hold the case until a time that you will keep; it comes back to you then.",
    ),
    Fact.REFUND: (
        "A refund that the processor took",
        "Refund from the case. The letter can go once the processor has taken it, "
        "ten minutes later.",
    ),
    Fact.SECOND_REFUND: (
        "The refund of the second charge",
        "It goes back by itself once both charges are proven. The repair in the case "
        "asks the processor at once.",
    ),
    Fact.RECEIPT: (
        "What became of the receipt",
        "Look at the mails in the case. If it never left, press the repair there.",
    ),
    Fact.VERIFIED: (
        "That who writes is who paid",
        "Ask for the address of the order's page, or for the card's last four digits "
        "and the day. “Somebody else's payment” does; send it from the support mailbox "
        "unless they wrote from the order's address. Never ask for a picture.",
    ),
    Fact.NEW_ADDRESS: (
        "The right address on the purchase",
        "Correct the address in the case first, so that later mails go there too.",
    ),
    Fact.INVOICE: (
        "The finished invoice and the name on it",
        "Make it in your invoicing tool, with the name and number from their letter. "
        "Then paste its link, which begins with https://, and the name.",
    ),
    Fact.ADDED_DAYS: (
        "The days, added to the plan",
        "Add the days in the case first. Two weeks need nobody's consent.",
    ),
    Fact.DISPUTE: (
        "The open dispute",
        "It stands in the case once the processor told us. `cli.py repair` asks the "
        "processor at once.",
    ),
    Fact.WROTE_AT: (
        "When they wrote",
        "Type the time at which their letter came in.",
    ),
    Fact.TIMELINE: (
        "What happened, line by line",
        "Take the lines from the case's timeline, and put each into plain words.",
    ),
    Fact.WHAT_BROKE: (
        "What broke",
        "Write one or two sentences that a customer understands; the case's cause and "
        "its timeline say what it was.",
    ),
    Fact.WHAT_CHANGED: (
        "What we changed",
        "Write one or two sentences. If nothing is changed yet, this letter waits.",
    ),
}

#: Only a person has them, so no button finds them: the rest is read from the case.
TYPED = frozenset(
    {
        Fact.WROTE_AT,
        Fact.TIMELINE,
        Fact.WHAT_BROKE,
        Fact.WHAT_CHANGED,
        Fact.INVOICE,
    }
)

_ALL = frozenset(MoneyState)
_PAID = frozenset({MoneyState.CHARGED, MoneyState.DUPLICATE})
#: Something is still to come, so nothing can be told as over.
_IN_THE_AIR = frozenset(
    {MoneyState.UNKNOWN, MoneyState.ACTION_NEEDED, MoneyState.DUPLICATE}
)
_SHUT = frozenset({AccessState.NONE, AccessState.PENDING})

#: The money states in which a letter can be true.
FITS: dict[Situation, frozenset[MoneyState]] = {
    Situation.WENT_THROUGH: frozenset({MoneyState.CHARGED}),
    Situation.BLANK_PAGE: frozenset({MoneyState.CHARGED}),
    Situation.PAID_TWICE: _PAID,
    Situation.SECOND_LINE_IS_HOLD: frozenset({MoneyState.CHARGED}),
    Situation.STILL_UNKNOWN: frozenset({MoneyState.UNKNOWN, MoneyState.ACTION_NEEDED}),
    Situation.NOT_CHARGED: frozenset({MoneyState.NOT_CHARGED}),
    Situation.DECLINED: frozenset({MoneyState.NOT_CHARGED}),
    Situation.MONEY_BACK: MONEY_TAKEN - {MoneyState.DUPLICATE},
    Situation.ANGRY: _ALL,
    Situation.WRONG_ADDRESS: _PAID,
    Situation.NO_MAIL: _PAID,
    Situation.INVOICE: MONEY_TAKEN,
    Situation.COMPENSATION: _PAID,
    Situation.SOMEBODY_ELSE: _ALL,
    Situation.DISPUTE: MONEY_TAKEN,
    Situation.MANY_PEOPLE: _ALL,
    Situation.SLOW_ANSWER: _ALL,
    Situation.AFTER_THE_FIX: _ALL - _IN_THE_AIR,
}

_NEEDS: dict[Situation, tuple[Fact, ...]] = {
    Situation.WENT_THROUGH: (),
    Situation.BLANK_PAGE: (Fact.CHARGE, Fact.ACCESS, Fact.WHAT_BROKE),
    Situation.PAID_TWICE: (Fact.CHARGE, Fact.SECOND_REFUND),
    Situation.SECOND_LINE_IS_HOLD: (
        Fact.CHARGE,
        Fact.ONE_PAYMENT,
        Fact.NEXT_MESSAGE,
    ),
    Situation.STILL_UNKNOWN: (Fact.ATTEMPT,),
    Situation.NOT_CHARGED: (),
    Situation.DECLINED: (Fact.DECLINE,),
    Situation.MONEY_BACK: (Fact.REFUND,),
    Situation.ANGRY: (Fact.TIMELINE,),
    Situation.WRONG_ADDRESS: (
        Fact.CHARGE,
        Fact.ACCESS,
        Fact.VERIFIED,
        Fact.NEW_ADDRESS,
    ),
    Situation.NO_MAIL: (Fact.CHARGE, Fact.ACCESS, Fact.RECEIPT),
    Situation.INVOICE: (Fact.CHARGE, Fact.INVOICE),
    Situation.COMPENSATION: (Fact.CHARGE, Fact.ACCESS, Fact.ADDED_DAYS),
    Situation.SOMEBODY_ELSE: (),
    Situation.DISPUTE: (Fact.CHARGE, Fact.DISPUTE),
    Situation.MANY_PEOPLE: (Fact.WHAT_BROKE,),
    Situation.SLOW_ANSWER: (Fact.WROTE_AT,),
    Situation.AFTER_THE_FIX: (Fact.WHAT_BROKE, Fact.WHAT_CHANGED),
}

#: These say where the purchase stands, whatever that is, and need what it takes.
_TELLS_STANDING = frozenset(
    {
        Situation.WENT_THROUGH,
        Situation.STILL_UNKNOWN,
        Situation.NOT_CHARGED,
        Situation.ANGRY,
        Situation.MANY_PEOPLE,
        Situation.SLOW_ANSWER,
        Situation.AFTER_THE_FIX,
    }
)


def prepare(situation: Situation, facts: ReplyFacts) -> Draft | Blocked:
    """Return a draft when every fact of a letter is known, else what is missing."""
    if situation is Situation.SOMEBODY_ELSE:
        # Says nothing of any purchase, so nothing can be missing.
        return Draft(situation=situation, facts=facts)
    if facts.purchase is None:
        return Blocked(
            situation=situation,
            missing=(_missing(Fact.PURCHASE),),
            instead=(Situation.SOMEBODY_ELSE,),
        )
    untrue = _why_untrue(situation, facts.purchase)
    lacking = dict.fromkeys(
        _missing(fact)
        for fact in (*_who(facts, facts.purchase), *needs(situation, facts.purchase))
        if not _KNOWN[fact](facts, facts.purchase)
    )
    if untrue or lacking:
        return Blocked(
            situation=situation,
            missing=() if untrue else tuple(lacking),
            untrue=untrue,
            instead=tuple(one for one in suggest(facts) if one is not situation),
        )
    return Draft(situation=situation, facts=facts)


def needs(situation: Situation, purchase: Purchase) -> tuple[Fact, ...]:
    """Return the facts that a letter needs for a purchase as it stands."""
    standing = _standing_needs(purchase) if situation in _TELLS_STANDING else ()
    return tuple(dict.fromkeys((*standing, *_NEEDS[situation])))


def _who(facts: ReplyFacts, purchase: Purchase) -> tuple[Fact, ...]:
    """Ask who writes before a purchase is spoken of to an address that is not its."""
    is_own = facts.email.casefold() == purchase.email.casefold()
    return () if is_own else (Fact.VERIFIED,)


def suggest(facts: ReplyFacts) -> tuple[Situation, ...]:
    """Return the situations that these facts look like, the likeliest first.

    Only letters that could be true of the money; some may lack a fact.
    """
    purchase = facts.purchase
    if purchase is None:
        return (Situation.SOMEBODY_ELSE,)
    likely = [situation for situation, signs in _SIGNS if signs(facts, purchase)]
    return tuple(
        situation
        for situation in dict.fromkeys((*likely, *_USUAL[purchase.money]))
        if not _why_untrue(situation, purchase)
    )


def proof_of_no_charge(purchase: Purchase, now: datetime) -> CustomerView | None:
    """Return the page that says "you have not been charged", where it is proven.

    The words of the letter are the words of that page, and there are none without it.
    """
    view = customer_view(
        CustomerFacts(
            money=purchase.money,
            access=purchase.access,
            price=purchase.price,
            plan_name=purchase.plan_name,
            now=now,
            pay_requested_at=purchase.pay_requested_at,
            reason=purchase.reason,
            decline=purchase.decline,
            proven_at=purchase.proven_at,
        )
    )
    return view if view.page in {Page.NOT_CHARGED, Page.DECLINED} else None


def times_of(facts: ReplyFacts) -> tuple[datetime, ...]:
    """Return every instant that the facts hold; a letter may name no other."""
    beside = (facts.purchase, facts.added, facts.dispute)
    parts = (facts, *beside, *facts.refunds, *facts.timeline)
    return tuple(
        value
        for part in parts
        if part is not None
        for field in fields(part)
        if isinstance(value := getattr(part, field.name), datetime)
    )


def _missing(fact: Fact) -> Missing:
    what, where = WHERE[fact]
    return Missing(fact=fact, what=what, where=where)


def _why_untrue(situation: Situation, purchase: Purchase) -> str:
    if purchase.money not in FITS[situation]:
        return f"The money is {_MONEY_WORDS[purchase.money]}."
    if situation is Situation.NOT_CHARGED and purchase.reason is None:
        return "Nobody has tried to pay in this checkout."
    is_shut = purchase.money is MoneyState.CHARGED and purchase.access in _SHUT
    if situation is Situation.AFTER_THE_FIX and is_shut:
        return "Access is not open yet, so it is not over."
    return ""


_MONEY_WORDS = {
    MoneyState.NOT_CHARGED: "not charged",
    MoneyState.ACTION_NEEDED: "not decided: the bank waits for an answer",
    MoneyState.UNKNOWN: "unknown: the processor has no clear answer yet",
    MoneyState.CHARGED: "with us, charged once",
    MoneyState.DUPLICATE: "with us, charged twice",
    MoneyState.REFUNDING: "on its way back",
    MoneyState.REFUNDED: "back with the customer",
}


def _standing_needs(purchase: Purchase) -> tuple[Fact, ...]:
    match purchase.money:
        case MoneyState.NOT_CHARGED:
            return (Fact.PROOF,)
        case MoneyState.UNKNOWN | MoneyState.ACTION_NEEDED:
            return (Fact.NEXT_MESSAGE,)
        case MoneyState.REFUNDING | MoneyState.REFUNDED:
            return (Fact.CHARGE, Fact.REFUND)
        case MoneyState.DUPLICATE:
            return (Fact.CHARGE, Fact.NEXT_MESSAGE)
        case MoneyState.CHARGED:
            is_waiting = purchase.access in _SHUT
            return (Fact.CHARGE, Fact.NEXT_MESSAGE) if is_waiting else (Fact.CHARGE,)


_Test = Callable[[ReplyFacts, Purchase], bool]

#: Whether a fact is there. A promise whose time has passed holds nothing any more.
_KNOWN: dict[Fact, _Test] = {
    Fact.PURCHASE: lambda _, __: True,
    Fact.CHARGE: lambda _, p: p.money in MONEY_TAKEN and p.charged_at is not None,
    Fact.ONE_PAYMENT: lambda _, p: p.asked_at is not None and p.payments_shown == 1,
    Fact.PROOF: lambda f, p: proof_of_no_charge(p, f.now) is not None,
    Fact.DECLINE: lambda _, p: p.reason is NotChargedReason.DECLINED,
    Fact.ATTEMPT: lambda _, p: p.pay_requested_at is not None,
    Fact.ACCESS: lambda _, p: (
        p.access is AccessState.ACTIVE and None not in {p.access_url, p.access_at}
    ),
    Fact.NEXT_MESSAGE: lambda f, _: (
        f.next_message_at is not None and f.next_message_at > f.now
    ),
    Fact.REFUND: lambda f, _: bool(f.returned(second=False)),
    Fact.SECOND_REFUND: lambda f, _: bool(f.returned(second=True)),
    Fact.RECEIPT: lambda _, p: p.receipt_left_at is not None,
    Fact.VERIFIED: lambda f, _: f.verified is not None,
    Fact.NEW_ADDRESS: lambda f, _: (
        None not in {f.wrong_address, f.address_corrected_at}
    ),
    Fact.INVOICE: lambda f, _: f.invoice is not None,
    Fact.ADDED_DAYS: lambda f, _: f.added is not None,
    Fact.DISPUTE: lambda f, _: f.dispute is not None,
    Fact.WROTE_AT: lambda f, _: f.wrote_at is not None,
    Fact.TIMELINE: lambda f, _: bool(f.timeline),
    Fact.WHAT_BROKE: lambda f, _: bool((f.what_broke or "").strip()),
    Fact.WHAT_CHANGED: lambda f, _: bool((f.what_changed or "").strip()),
}


def _is_news(at: datetime | None, facts: ReplyFacts) -> bool:
    return at is None or facts.now - at < NEWS_FOR


#: What the facts themselves speak of, before the usual letters of a money state.
_SIGNS: tuple[tuple[Situation, _Test], ...] = (
    (Situation.DISPUTE, lambda f, _: f.dispute is not None),
    (
        Situation.SLOW_ANSWER,
        lambda f, _: f.wrote_at is not None and f.now - f.wrote_at > SLOW_AFTER,
    ),
    (Situation.AFTER_THE_FIX, _KNOWN[Fact.WHAT_CHANGED]),
    # What went back last is what they mostly write about.
    (
        Situation.PAID_TWICE,
        lambda f, _: bool(f.refunds) and f.refunds[-1].is_second_charge,
    ),
    (Situation.MONEY_BACK, _KNOWN[Fact.REFUND]),
    (Situation.PAID_TWICE, _KNOWN[Fact.SECOND_REFUND]),
    (
        Situation.COMPENSATION,
        lambda f, _: f.added is not None and _is_news(f.added.added_at, f),
    ),
    (Situation.INVOICE, _KNOWN[Fact.INVOICE]),
    (
        Situation.WRONG_ADDRESS,
        lambda f, _: (
            f.wrong_address is not None and _is_news(f.address_corrected_at, f)
        ),
    ),
    (Situation.NO_MAIL, lambda _, p: p.receipt_came_back),
    (
        Situation.BLANK_PAGE,
        lambda _, p: p.was_interrupted and p.access is AccessState.ACTIVE,
    ),
    (Situation.DECLINED, _KNOWN[Fact.DECLINE]),
)

_AFTER_A_CHARGE = (
    Situation.WENT_THROUGH,
    Situation.NO_MAIL,
    Situation.SECOND_LINE_IS_HOLD,
    Situation.MONEY_BACK,
    Situation.WRONG_ADDRESS,
    Situation.INVOICE,
    Situation.ANGRY,
    Situation.COMPENSATION,
)
_ALWAYS = (Situation.SLOW_ANSWER, Situation.SOMEBODY_ELSE)

#: The letters that a money state mostly asks for, the likeliest first.
_USUAL: dict[MoneyState, tuple[Situation, ...]] = {
    MoneyState.NOT_CHARGED: (Situation.NOT_CHARGED, Situation.ANGRY, *_ALWAYS),
    MoneyState.ACTION_NEEDED: (Situation.STILL_UNKNOWN, *_ALWAYS),
    MoneyState.UNKNOWN: (Situation.STILL_UNKNOWN, Situation.ANGRY, *_ALWAYS),
    MoneyState.CHARGED: (*_AFTER_A_CHARGE, *_ALWAYS),
    MoneyState.DUPLICATE: (Situation.PAID_TWICE, Situation.ANGRY, *_ALWAYS),
    MoneyState.REFUNDING: (Situation.MONEY_BACK, Situation.ANGRY, *_ALWAYS),
    MoneyState.REFUNDED: (Situation.MONEY_BACK, Situation.ANGRY, *_ALWAYS),
}
