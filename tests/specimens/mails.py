"""Every mail that can leave, with the facts of a believable day.

The lints in `tests/unit/mail` read all of them, and a gallery can render them: each
has a name that is fit for a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import cache

from domain.emails import EmailKind
from domain.identifiers import message_id
from domain.money import Money
from domain.states import DeclineClass, NotChargedReason
from mail import sign_in
from mail.facts import Company, LetterFacts, Refund
from mail.letter import Letter
from mail.letters import write_letter
from mail.message import build_message
from mail.sign_in import SignInFacts

COMPANY = Company(
    company_name="Acme",
    statement_descriptor="ACME PLAN",
    support_email="support@acme.test",
    support_hours="Monday to Friday, 09:00 to 17:00 UTC",
    support_name="Dana",
    mail_from="Acme payments <pay@acme.test>",
    mail_domain="acme.test",
    application_url="https://app.acme.test/",
)
PAGE = "https://shop.acme.test/c/q3vXo0-1pZcKf9_LmN7bTs5RwYhU2jGdEaI8kQxVn4A"
ENTER = "https://app.acme.test/enter?from=receipt&plan=one-year"
SIGN_IN = SignInFacts(
    company_name="Acme",
    sign_in_url="https://shop.acme.test/account/sign-in?t=abc",
    valid_for=timedelta(minutes=10),
    support_email=COMPANY.support_email,
    support_hours=COMPANY.support_hours,
)

#: A Monday. Pay was pressed at 14:31, the bank said yes at 14:32.
_PRESSED = datetime(2026, 11, 23, 14, 31, tzinfo=UTC)
_CHARGED = datetime(2026, 11, 23, 14, 32, tzinfo=UTC)
_UNTIL = datetime(2027, 11, 23, 14, 32, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)

#: Before anything is known of the money.
ASKED = LetterFacts(
    company=COMPANY,
    plan_name="Acme one-year plan",
    price=Money(amount_minor=24900, currency="usd"),
    reference_code="ORD-7K2M-9QXD",
    page_url=PAGE,
    access_url=ENTER,
    written_at=_PRESSED + 5 * _MINUTE,
    pay_requested_at=_PRESSED,
)

#: Charged, and access is not open.
CHARGED = replace(
    ASKED,
    written_at=_CHARGED + 2 * _MINUTE,
    card_brand="visa",
    card_last4="4242",
    charged_at=_CHARGED,
    access_until=_UNTIL,
)

#: All is well.
IN = replace(
    CHARGED,
    written_at=_CHARGED + timedelta(seconds=3),
    access_at=_CHARGED + timedelta(seconds=2),
)

#: Nothing was charged.
NOT_CHARGED = replace(
    ASKED, written_at=_PRESSED + 20 * _HOUR, reason=NotChargedReason.CANCELED
)

REFUND = Refund(
    amount=Money(amount_minor=24900, currency="usd"),
    returned_at=datetime(2026, 11, 24, 10, 5, tzinfo=UTC),
    reference="74627885231234567890123",
)

#: The money went back.
RETURNED = replace(
    IN, written_at=REFUND.returned_at + timedelta(seconds=4), refund=REFUND
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """One mail as it could leave.

    Attributes:
        name: Unique, and fit for the name of a file.
        kind: What it is for; None for the sign-in link, which no row stands for.
        letter: What it says.
        facts: What it was written from.
        message: The mail itself.
    """

    name: str
    kind: EmailKind | None
    letter: Letter
    facts: LetterFacts
    message: EmailMessage


@cache
def specimens() -> tuple[Specimen, ...]:
    """Return every mail, each in its realistic variants."""
    found = [
        _specimen(name, kind, facts)
        for kind, variants in _variants().items()
        for name, facts in variants.items()
    ]
    message = sign_in.build(
        SIGN_IN,
        to="mara@example.com",
        sender=COMPANY.mail_from,
        message_id="<sign-in.1@acme.test>",
        date=_PRESSED,
    )
    link = Specimen(
        name="sign-in",
        kind=None,
        letter=sign_in.letter(SIGN_IN),
        facts=ASKED,
        message=message,
    )
    return (*found, link)


def stressed(facts: LetterFacts) -> Iterator[LetterFacts]:
    """Yield the same facts for other companies, currencies and cards."""
    yield replace(facts, card_brand=None, card_last4=None)
    for minor, currency in ((99_999_999, "usd"), (24900, "chf"), (36000, "jpy")):
        price = Money(amount_minor=minor, currency=currency)
        refund = facts.refund and replace(facts.refund, amount=price)
        yield replace(facts, price=price, refund=refund)
    yield replace(
        facts,
        plan_name="Bartholomew & Söhne team plan with everything, for five people",
        company=replace(
            facts.company,
            company_name="Bartholomew & Söhne Widgets GmbH",
            support_name="Maximiliane-Katharina",
            support_email="customer-support@bartholomew-und-soehne.example",
        ),
    )


def build(kind: EmailKind, facts: LetterFacts) -> EmailMessage:
    """Return the mail of a kind, as the outbox would send it."""
    reference, domain = facts.reference_code, facts.company.mail_domain
    return build_message(
        write_letter(kind, facts),
        to="mara@example.com",
        sender=facts.company.mail_from,
        message_id=message_id(reference, kind, domain),
        date=facts.written_at,
        earlier=[message_id(reference, before, domain) for before in facts.earlier],
    )


def _specimen(name: str, kind: EmailKind, facts: LetterFacts) -> Specimen:
    return Specimen(
        name=name,
        kind=kind,
        letter=write_letter(kind, facts),
        facts=facts,
        message=build(kind, facts),
    )


Variants = dict[str, LetterFacts]


def _variants() -> dict[EmailKind, Variants]:
    return {
        EmailKind.RECEIPT: _receipts(),
        **_waiting(),
        **_checking(),
        **_answers(),
        **_refunds(),
        **_care(),
        **_moved(),
    }


def _receipts() -> Variants:
    late = replace(IN, access_at=_CHARGED + 38 * _MINUTE, written_at=_at(38))
    checked = replace(
        IN,
        charged_at=_CHARGED + 18 * _MINUTE,
        access_at=_CHARGED + 18 * _MINUTE,
        written_at=_at(18),
        earlier=(EmailKind.CHECKING,),
    )
    return {
        "receipt": IN,
        "receipt-after-a-hiccup": replace(IN, was_interrupted=True),
        "receipt-late": late,
        "receipt-late-after-received": replace(late, earlier=(EmailKind.RECEIVED,)),
        "receipt-next-day": replace(
            late,
            access_at=_CHARGED + 19 * _HOUR,
            written_at=_at(19 * 60),
            earlier=(
                EmailKind.RECEIVED,
                EmailKind.RECEIVED_STILL,
                EmailKind.RECEIVED_PERSON,
            ),
        ),
        "receipt-after-checking": checked,
        "receipt-after-checking-and-received": replace(
            late, earlier=(EmailKind.CHECKING, EmailKind.RECEIVED)
        ),
    }


def _waiting() -> dict[EmailKind, Variants]:
    first = replace(CHARGED, promised_at=_at(60))
    second = replace(
        CHARGED,
        written_at=_at(60),
        promised_at=_at(120),
        earlier=(EmailKind.RECEIVED,),
    )
    third = replace(
        CHARGED,
        written_at=_at(120),
        promised_at=datetime(2026, 11, 24, 11, 0, tzinfo=UTC),
        earlier=(EmailKind.RECEIVED, EmailKind.RECEIVED_STILL),
    )
    return {
        EmailKind.RECEIVED: {
            "received": first,
            "received-without-promise": replace(first, promised_at=None),
            "received-after-checking": replace(first, earlier=(EmailKind.CHECKING,)),
        },
        EmailKind.RECEIVED_STILL: {
            "received-still": second,
            "received-still-overnight": replace(
                second, promised_at=datetime(2026, 11, 24, 2, 32, tzinfo=UTC)
            ),
            "received-still-without-promise": replace(second, promised_at=None),
        },
        EmailKind.RECEIVED_PERSON: {
            "received-person": third,
            "received-person-at-night": replace(
                third,
                written_at=datetime(2026, 11, 24, 2, 32, tzinfo=UTC),
                promised_at=datetime(2026, 11, 24, 17, 0, tzinfo=UTC),
            ),
            "received-person-without-promise": replace(third, promised_at=None),
        },
    }


def _checking() -> dict[EmailKind, Variants]:
    first = replace(ASKED, promised_at=_PRESSED + _HOUR)
    second = replace(
        ASKED,
        written_at=_PRESSED + _HOUR,
        asked_at=_PRESSED + 38 * _MINUTE,
        promised_at=_PRESSED + 2 * _HOUR,
        earlier=(EmailKind.CHECKING,),
        told_at=_PRESSED + 5 * _MINUTE,
    )
    third = replace(
        ASKED,
        written_at=_PRESSED + 2 * _HOUR,
        asked_at=_PRESSED + 108 * _MINUTE,
        promised_at=_PRESSED + 21 * _HOUR,
        earlier=(EmailKind.CHECKING, EmailKind.CHECKING_STILL),
    )
    late = replace(
        third,
        written_at=_PRESSED + 21 * _HOUR,
        asked_at=_PRESSED + 19 * _HOUR,
        promised_at=datetime(2026, 11, 24, 17, 0, tzinfo=UTC),
        earlier=(*third.earlier, EmailKind.CHECKING_PERSON),
    )
    return {
        EmailKind.CHECKING: {
            "checking": first,
            "checking-with-card": replace(first, card_brand="visa", card_last4="4242"),
            "checking-without-promise": replace(first, promised_at=None),
        },
        EmailKind.CHECKING_STILL: {
            "checking-still": second,
            "checking-still-overnight": replace(
                second, promised_at=datetime(2026, 11, 24, 2, 31, tzinfo=UTC)
            ),
            "checking-still-without-promise": replace(second, promised_at=None),
            "checking-still-never-asked": replace(second, asked_at=None),
            "checking-still-not-asked-since": replace(
                second, asked_at=_PRESSED + 4 * _MINUTE
            ),
        },
        EmailKind.CHECKING_PERSON: {
            "checking-person": third,
            "checking-person-at-night": replace(
                third, written_at=datetime(2026, 11, 24, 2, 31, tzinfo=UTC)
            ),
            "checking-person-without-promise": replace(third, promised_at=None),
        },
        EmailKind.CHECKING_LATE: {
            "checking-late": late,
            "checking-late-without-promise": replace(late, promised_at=None),
        },
    }


def _answers() -> dict[EmailKind, Variants]:
    told = (EmailKind.CHECKING, EmailKind.CHECKING_STILL, EmailKind.CHECKING_PERSON)
    declined = replace(
        NOT_CHARGED,
        written_at=_PRESSED + 30 * _MINUTE,
        reason=NotChargedReason.DECLINED,
    )
    reasons = {
        f"not-charged-{reason.value.replace('_', '-')}": replace(
            NOT_CHARGED,
            reason=reason,
            decline=(
                DeclineClass.GENERIC if reason is NotChargedReason.DECLINED else None
            ),
            written_at=_PRESSED + 3 * _MINUTE,
        )
        for reason in NotChargedReason
    }
    return {
        EmailKind.BANK_CHECK: {
            "bank-check": replace(
                ASKED,
                bank_asked_at=_PRESSED + _MINUTE,
                written_at=_PRESSED + 3 * _MINUTE,
            ),
            "bank-check-after-checking": replace(
                ASKED,
                bank_asked_at=_PRESSED + 18 * _MINUTE,
                written_at=_PRESSED + 20 * _MINUTE,
                earlier=(EmailKind.CHECKING,),
            ),
        },
        EmailKind.NOT_CHARGED: {
            "not-charged-after-checking": replace(NOT_CHARGED, earlier=told),
            **reasons,
        },
        EmailKind.DECLINED: {
            f"declined-{decline.value.replace('_', '-')}": replace(
                declined, decline=decline
            )
            for decline in DeclineClass
        },
        EmailKind.OPEN_AGAIN: {
            "open-again": replace(ASKED, pay_requested_at=None),
            "open-again-after-a-try": replace(ASKED, reason=NotChargedReason.WITHDRAWN),
        },
    }


def _refunds() -> dict[EmailKind, Variants]:
    part = replace(REFUND, amount=Money(amount_minor=10000, currency="usd"))
    arrived = replace(
        RETURNED,
        written_at=datetime(2026, 12, 8, 10, 5, tzinfo=UTC),
        earlier=(EmailKind.RECEIPT, EmailKind.REFUNDED),
    )
    unnamed = replace(REFUND, reference=None)
    return {
        EmailKind.CHARGED_TWICE: {
            "charged-twice": replace(
                RETURNED,
                refund=replace(REFUND, keeps_access=True),
                earlier=(EmailKind.RECEIPT,),
            ),
            "charged-twice-without-reference": replace(
                RETURNED, refund=replace(unnamed, keeps_access=True)
            ),
            "charged-twice-after-the-plan": replace(
                RETURNED, earlier=(EmailKind.RECEIPT,)
            ),
        },
        EmailKind.REFUNDED: {
            "refunded": RETURNED,
            "refunded-without-reference": replace(RETURNED, refund=unnamed),
            "refunded-keeps-access": replace(
                RETURNED, refund=replace(REFUND, keeps_access=True)
            ),
            "refunded-in-part": replace(
                RETURNED, refund=replace(part, keeps_access=True)
            ),
        },
        EmailKind.REFUND_FAILED: {
            "refund-failed": arrived,
            "refund-failed-with-promise": replace(
                arrived, promised_at=datetime(2026, 12, 9, 17, 0, tzinfo=UTC)
            ),
        },
        EmailKind.REFUND_ARRIVED: {
            "refund-arrived": arrived,
            "refund-arrived-without-reference": replace(arrived, refund=unnamed),
        },
    }


def _care() -> dict[EmailKind, Variants]:
    repaired = replace(
        IN,
        access_at=_CHARGED + 3 * _HOUR,
        written_at=datetime(2026, 11, 24, 10, 0, tzinfo=UTC),
        earlier=(EmailKind.RECEIVED, EmailKind.RECEIVED_STILL, EmailKind.RECEIPT),
    )
    return {
        EmailKind.GOT_IN: {
            "got-in": repaired,
            "got-in-next-day": replace(repaired, access_at=_CHARGED + 19 * _HOUR),
        },
        EmailKind.ENDING_IN_30: {
            "ending-in-30": replace(IN, written_at=_UNTIL - timedelta(days=30))
        },
        EmailKind.ENDING_IN_7: {
            "ending-in-7": replace(IN, written_at=_UNTIL - timedelta(days=7))
        },
    }


def _moved() -> dict[EmailKind, Variants]:
    """The notice to the address that an order had before."""
    moved = replace(
        IN,
        written_at=datetime(2026, 11, 24, 9, 8, tzinfo=UTC),
        moved_to="m•••@example.com",
        earlier=(EmailKind.RECEIPT,),
    )
    return {EmailKind.ADDRESS_CHANGED: {"address-changed": moved}}


def _at(minutes: int) -> datetime:
    """Return the moment so many minutes after the charge."""
    return _CHARGED + minutes * _MINUTE
