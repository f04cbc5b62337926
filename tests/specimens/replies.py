"""Every reply that a person can sign, with the facts of a believable week.

The lints in `tests/unit/mail/test_replies.py` read all of them, and `docs/replies.md`
shows the first of each situation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from domain.money import Money
from domain.replies import (
    AddedDays,
    Draft,
    Happening,
    Invoice,
    OpenDispute,
    Purchase,
    ReplyFacts,
    ReturnedMoney,
    Situation,
    Verified,
    prepare,
)
from domain.states import AccessState, DeclineClass, MoneyState, NotChargedReason
from mail.replies import ReplyRequest, suggested_opening
from tests.specimens.mails import COMPANY, ENTER, PAGE

PRICE = Money(amount_minor=24900, currency="usd")
#: Monday, 23 November 2026: Pay was pressed at 14:31, the bank said yes at 14:32.
PRESSED = datetime(2026, 11, 23, 14, 31, tzinfo=UTC)
CHARGED = datetime(2026, 11, 23, 14, 32, tzinfo=UTC)
#: Tuesday morning: Dana answers.
NOW = datetime(2026, 11, 24, 9, 12, tzinfo=UTC)
#: By when she writes again.
NEXT = datetime(2026, 11, 24, 16, 0, tzinfo=UTC)
_UNTIL = datetime(2027, 11, 23, 14, 32, tzinfo=UTC)
_LATE = datetime(2026, 11, 23, 17, 40, tzinfo=UTC)

#: Nobody knows yet.
UNKNOWN = Purchase(
    reference_code="ORD-7K2M-9QXD",
    email="mara@example.com",
    plan_name="Acme one-year plan",
    price=PRICE,
    page_url=PAGE,
    money=MoneyState.UNKNOWN,
    access=AccessState.NONE,
    pay_requested_at=PRESSED,
    asked_at=datetime(2026, 11, 24, 9, 5, tzinfo=UTC),
)
#: Paid, and the door is shut.
WAITING = replace(
    UNKNOWN,
    money=MoneyState.CHARGED,
    access=AccessState.PENDING,
    charged_at=CHARGED,
    card_brand="visa",
    card_last4="4242",
    access_until=_UNTIL,
    payments_shown=1,
)
#: Paid and open, after three hours.
IN = replace(
    WAITING,
    access=AccessState.ACTIVE,
    access_at=_LATE,
    access_url=ENTER,
    was_interrupted=True,
    receipt_left_at=_LATE + timedelta(minutes=1),
)
NOT_CHARGED = replace(
    UNKNOWN,
    money=MoneyState.NOT_CHARGED,
    reason=NotChargedReason.CANCELED,
    proven_at=datetime(2026, 11, 24, 8, 40, tzinfo=UTC),
)
DECLINED = replace(
    NOT_CHARGED, reason=NotChargedReason.DECLINED, decline=DeclineClass.ASK_BANK
)
RETURNED = ReturnedMoney(
    amount=PRICE,
    returned_at=datetime(2026, 11, 24, 9, 5, tzinfo=UTC),
    reference="74627885231234567890123",
)
SECOND = replace(
    RETURNED,
    returned_at=datetime(2026, 11, 23, 15, 10, tzinfo=UTC),
    is_second_charge=True,
    ends_access=False,
)
BROKE = (
    "Our server stopped right after your bank said yes, before it had written down "
    "your order."
)
CHANGED = (
    "The server now writes an order down before it asks the bank. When it stops, it "
    "goes on by itself."
)
TIMELINE = (
    Happening(at=PRESSED, what="You pressed Pay."),
    Happening(at=CHARGED, what="Your bank said yes to $249.00."),
    Happening(at=CHARGED, what="Our server stopped, so you got a blank page."),
    Happening(at=_LATE, what="The server was back, and your access opened."),
)

FACTS = ReplyFacts(
    now=NOW,
    email="mara@example.com",
    purchase=IN,
    customer_name="Mara",
    wrote_at=datetime(2026, 11, 23, 18, 10, tzinfo=UTC),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplySpecimen:
    """One reply as it could leave.

    Attributes:
        name: Unique, and fit for the name of a file.
        request: With the opening that we suggest, confirmed.
    """

    name: str
    request: ReplyRequest


@cache
def replies() -> tuple[ReplySpecimen, ...]:
    """Return every reply, each in its variants; the first is the usual one."""
    return tuple(
        _specimen(number, name, situation, facts)
        for number, (name, situation, facts) in enumerate(_variants(), start=1)
    )


def reply_to(
    situation: Situation, facts: ReplyFacts, number: int = 1, **changes: Any
) -> ReplyRequest:
    """Return a request with our own opening, confirmed."""
    draft = prepare(situation, facts)
    assert isinstance(draft, Draft), draft
    request = ReplyRequest(
        reply_id=UUID(int=number),
        situation=situation,
        facts=facts,
        company=COMPANY,
        author="Dana",
        opening=suggested_opening(draft, COMPANY),
        is_confirmed=True,
        earlier=("<received.ord-7k2m-9qxd@acme.test>",),
    )
    return replace(request, **changes)


def with_purchase(purchase: Purchase, **changes: Any) -> ReplyFacts:
    """Return the facts of another purchase."""
    return replace(FACTS, purchase=purchase, **changes)


def _specimen(
    number: int, name: str, situation: Situation, facts: ReplyFacts
) -> ReplySpecimen:
    return ReplySpecimen(name=name, request=reply_to(situation, facts, number))


Variant = tuple[str, Situation, ReplyFacts]


def _variants() -> list[Variant]:
    return [*_about_money(), *_about_access(), *_about_people(), *_in_every_state()]


def _about_money() -> list[Variant]:
    return [*_paid(), *_in_doubt(), *_not_paid(), *_given_back()]


def _paid() -> list[Variant]:
    hold_over = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
    unnamed = replace(SECOND, reference=None)
    s = Situation
    return [
        ("went-through", s.WENT_THROUGH, FACTS),
        (
            "went-through-waiting",
            s.WENT_THROUGH,
            with_purchase(WAITING, next_message_at=NEXT),
        ),
        (
            "went-through-ended",
            s.WENT_THROUGH,
            with_purchase(replace(IN, access=AccessState.ENDED)),
        ),
        ("paid-twice", s.PAID_TWICE, replace(FACTS, refunds=(SECOND,))),
        (
            "paid-twice-with-cause",
            s.PAID_TWICE,
            replace(FACTS, refunds=(unnamed,), what_broke=BROKE),
        ),
        (
            "paid-twice-after-the-plan",
            s.PAID_TWICE,
            replace(
                FACTS, refunds=(SECOND,), purchase=replace(IN, access=AccessState.ENDED)
            ),
        ),
        (
            "second-line-is-hold",
            s.SECOND_LINE_IS_HOLD,
            replace(FACTS, next_message_at=hold_over),
        ),
    ]


def _in_doubt() -> list[Variant]:
    at_bank = replace(UNKNOWN, money=MoneyState.ACTION_NEEDED)
    s = Situation
    return [
        (
            "still-unknown",
            s.STILL_UNKNOWN,
            with_purchase(UNKNOWN, next_message_at=NEXT),
        ),
        (
            "still-unknown-at-the-bank",
            s.STILL_UNKNOWN,
            with_purchase(at_bank, next_message_at=NEXT),
        ),
    ]


def _not_paid() -> list[Variant]:
    s = Situation
    return [
        *(
            (
                f"not-charged-{reason.value.replace('_', '-')}",
                s.NOT_CHARGED,
                with_purchase(
                    replace(
                        NOT_CHARGED,
                        reason=reason,
                        decline=(
                            DeclineClass.GENERIC
                            if reason is NotChargedReason.DECLINED
                            else None
                        ),
                    )
                ),
            )
            for reason in sorted(
                NotChargedReason, key=lambda one: one is not NotChargedReason.CANCELED
            )
        ),
        *(
            (
                f"declined-{decline.value.replace('_', '-')}",
                s.DECLINED,
                with_purchase(replace(DECLINED, decline=decline)),
            )
            for decline in sorted(
                DeclineClass, key=lambda one: one is not DeclineClass.ASK_BANK
            )
        ),
    ]


def _given_back() -> list[Variant]:
    part = replace(RETURNED, amount=Money(amount_minor=10000, currency="usd"))
    rest = replace(
        RETURNED,
        amount=Money(amount_minor=14900, currency="usd"),
        returned_at=datetime(2026, 11, 24, 9, 10, tzinfo=UTC),
        reference="74627885231234567890124",
    )
    gone = replace(IN, money=MoneyState.REFUNDED, access=AccessState.ENDED)
    going = replace(IN, money=MoneyState.REFUNDING)
    s = Situation
    return [
        ("money-back", s.MONEY_BACK, with_purchase(gone, refunds=(RETURNED,))),
        (
            "money-back-on-its-way",
            s.MONEY_BACK,
            with_purchase(going, refunds=(RETURNED,)),
        ),
        (
            "money-back-in-part",
            s.MONEY_BACK,
            replace(FACTS, refunds=(replace(part, ends_access=False),)),
        ),
        (
            "money-back-in-parts",
            s.MONEY_BACK,
            with_purchase(
                gone, refunds=(SECOND, replace(part, ends_access=False), rest)
            ),
        ),
        (
            "dispute",
            s.DISPUTE,
            replace(
                FACTS,
                now=datetime(2026, 12, 3, 10, 0, tzinfo=UTC),
                dispute=OpenDispute(
                    amount=PRICE, opened_at=datetime(2026, 12, 2, 11, 20, tzinfo=UTC)
                ),
            ),
        ),
        (
            "invoice",
            s.INVOICE,
            replace(
                FACTS,
                invoice=Invoice(
                    url="https://shop.acme.test/invoices/7K2M9QXD",
                    made_out_to="Bartholomew & Söhne GmbH",
                ),
            ),
        ),
    ]


def _about_access() -> list[Variant]:
    s = Situation
    verified = replace(
        FACTS,
        wrong_address="m•••@exmaple.com",
        address_corrected_at=datetime(2026, 11, 24, 9, 8, tzinfo=UTC),
        verified=Verified.CARD_AND_DAY,
    )
    added = AddedDays(days=14, until=datetime(2027, 12, 7, 14, 32, tzinfo=UTC))
    return [
        ("blank-page", s.BLANK_PAGE, replace(FACTS, what_broke=BROKE)),
        (
            "blank-page-not-asked",
            s.BLANK_PAGE,
            with_purchase(replace(IN, payments_shown=None), what_broke=BROKE),
        ),
        ("wrong-address", s.WRONG_ADDRESS, verified),
        (
            "wrong-address-from-the-page",
            s.WRONG_ADDRESS,
            replace(verified, verified=Verified.PAGE_LINK),
        ),
        ("no-mail", s.NO_MAIL, FACTS),
        (
            "no-mail-came-back",
            s.NO_MAIL,
            with_purchase(replace(IN, receipt_came_back=True)),
        ),
        ("compensation", s.COMPENSATION, replace(FACTS, added=added)),
        (
            "compensation-next-day",
            s.COMPENSATION,
            with_purchase(
                replace(IN, access_at=datetime(2026, 11, 24, 8, 2, tzinfo=UTC)),
                added=AddedDays(days=1, until=_UNTIL + timedelta(days=1)),
            ),
        ),
    ]


def _about_people() -> list[Variant]:
    s = Situation
    friday = datetime(2026, 11, 20, 16, 2, tzinfo=UTC)
    monday = datetime(2026, 11, 23, 9, 5, tzinfo=UTC)
    bought = replace(
        IN,
        pay_requested_at=friday,
        charged_at=friday,
        access_at=friday + timedelta(seconds=4),
        access_until=datetime(2027, 11, 20, 16, 2, tzinfo=UTC),
        asked_at=None,
        payments_shown=None,
        receipt_left_at=friday + timedelta(seconds=5),
        was_interrupted=False,
    )
    late = with_purchase(bought, now=monday, wrote_at=friday + timedelta(minutes=128))
    return [
        ("angry", s.ANGRY, replace(FACTS, timeline=TIMELINE, what_changed=CHANGED)),
        ("somebody-else", s.SOMEBODY_ELSE, replace(FACTS, customer_name=None)),
        (
            "many-people",
            s.MANY_PEOPLE,
            replace(FACTS, what_broke=BROKE),
        ),
        ("slow-answer", s.SLOW_ANSWER, late),
        (
            "after-the-fix",
            s.AFTER_THE_FIX,
            replace(FACTS, what_broke=BROKE, what_changed=CHANGED),
        ),
    ]


#: Nothing is still to come.
_OVER = {"not-charged", "returned"}


def _in_every_state() -> list[Variant]:
    """Yield the letters that tell where a purchase stands, for every money state."""
    told = replace(
        FACTS,
        next_message_at=NEXT,
        timeline=TIMELINE[:2],
        what_broke=BROKE,
        what_changed=CHANGED,
    )
    states = {
        "unknown": replace(told, purchase=UNKNOWN),
        "at-the-bank": replace(
            told, purchase=replace(UNKNOWN, money=MoneyState.ACTION_NEEDED)
        ),
        "waiting": replace(told, purchase=WAITING),
        "twice": replace(told, purchase=replace(IN, money=MoneyState.DUPLICATE)),
        "not-charged": replace(told, purchase=NOT_CHARGED, next_message_at=None),
        "returned": replace(
            told,
            purchase=replace(IN, money=MoneyState.REFUNDED, access=AccessState.ENDED),
            refunds=(RETURNED,),
            next_message_at=None,
        ),
    }
    return [
        (f"{situation}-{name}", situation, facts)
        for situation in (
            Situation.ANGRY,
            Situation.MANY_PEOPLE,
            Situation.SLOW_ANSWER,
            Situation.AFTER_THE_FIX,
        )
        for name, facts in states.items()
        if situation is not Situation.AFTER_THE_FIX or name in _OVER
    ]
