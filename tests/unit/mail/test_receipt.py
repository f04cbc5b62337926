"""The receipt: what was paid and where to enter, and what it says after a rough way."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.message import EmailMessage

import pytest

from domain.emails import EmailKind
from domain.money import Money
from mail import sign_in
from mail.facts import LetterFacts, LetterNotDue
from mail.letters import write_letter
from mail.sign_in import SignInFacts
from tests.specimens.mails import COMPANY, ENTER, IN, PAGE, SIGN_IN, build
from tests.unit.mail.reading import html_of, in_one_line, seen, text_of

ERROR_SENTENCE = "If you saw an error page, everything is in place now."


def _build(facts: LetterFacts = IN) -> EmailMessage:
    return build(EmailKind.RECEIPT, facts)


def _build_sign_in(facts: SignInFacts = SIGN_IN) -> EmailMessage:
    return sign_in.build(
        facts,
        to="mara@example.com",
        sender="Acme payments <pay@acme.test>",
        message_id="<sign-in.1@acme.test>",
    )


#: Everything that the receipt must say, as a customer reads it.
SAID = [
    "We received your $249.00",
    "ORD-7K2M-9QXD",
    "Acme one-year plan",
    "Visa ending 4242",
    "23 Nov 2026, 14:32 UTC",
    "Your plan runs until 23 Nov 2027.",
    "This will appear as ACME PLAN on your statement. No payment is due.",
    "support@acme.test",
    "Monday to Friday, 09:00 to 17:00 UTC",
    "We never ask for card numbers by e-mail.",
]


@pytest.mark.parametrize("said", SAID)
def test_text_and_html_say_it(said: str) -> None:
    """Each fact stands in both variants, in the same words."""
    message = _build()

    assert said in in_one_line(text_of(message))
    assert said in in_one_line("".join(seen(message).words))


def test_the_subject_holds_the_fact() -> None:
    """Who sees the subject only knows that all is well and what was paid."""
    assert _build()["Subject"] == "Your Acme plan is ready: receipt $249.00"


@pytest.mark.parametrize(
    "company", ["A" * 80, "Bartholomew & Söhne Widgets GmbH", "B C"]
)
@pytest.mark.parametrize("minor", [24900, 99_999_999])
def test_a_long_name_keeps_the_amount_in_the_subject(company: str, minor: int) -> None:
    """The subject gets shorter, the amount stays."""
    price = Money(amount_minor=minor, currency="usd")
    subject = _build(
        replace(IN, company=replace(COMPANY, company_name=company), price=price)
    )["Subject"]

    assert len(subject) <= 50
    assert str(price) in subject


def test_an_error_page_is_mentioned_only_when_it_may_have_beenseen() -> None:
    """A smooth purchase is not worried; a rough one is told that all is well."""
    rough = _build(replace(IN, was_interrupted=True))
    smooth = _build()

    for read in (text_of, html_of):
        assert ERROR_SENTENCE in read(rough)
        assert "error" not in read(smooth).lower()
    assert "You do not need to pay again." in text_of(rough)


def test_a_payment_without_card_has_no_card_line() -> None:
    """What the processor did not name is not made up."""
    message = _build(replace(IN, card_brand=None, card_last4=None))

    assert "ending" not in text_of(message)
    assert "None" not in text_of(message) + html_of(message)


def test_times_are_told_in_utc() -> None:
    """Whatever zone an instant came in, the mail names the zone it shows."""
    lisbon = timezone(timedelta(hours=1))
    message = _build(
        replace(IN, charged_at=datetime(2026, 11, 24, 0, 30, tzinfo=lisbon))
    )

    assert "23 Nov 2026, 23:30 UTC" in text_of(message)


def test_markup_in_a_name_staystext_of() -> None:
    """A name can add neither an element nor a paragraph."""
    message = _build(
        replace(
            IN,
            company=replace(COMPANY, company_name='<img src=x onerror="alert(1)">'),
            plan_name="Plan\n\nYour refund: https://thief.example",
        )
    )

    assert "img" not in seen(message).tags
    assert "Plan Your refund: https://thief.example" in text_of(message)


def test_a_mail_has_one_button() -> None:
    """One purpose, one button: beside it only the page and the support address."""
    assert seen(_build()).links == [ENTER, PAGE, "mailto:support@acme.test"]
    assert seen(_build_sign_in()).links == [
        SIGN_IN.sign_in_url,
        "mailto:support@acme.test",
    ]


def test_the_sign_in_mail_says_how_long_and_where_it_works() -> None:
    """Ten minutes, the same browser, and nothing to do for who did not ask."""
    text = in_one_line(text_of(_build_sign_in()))

    assert "for 10 minutes, in the same browser that asked for it" in text
    assert "If you did not ask for this, you need not do anything." in text
    assert _build_sign_in()["Subject"] == "Your sign-in link for Acme"
    assert len(_build_sign_in(replace(SIGN_IN, company_name="A" * 90))["Subject"]) <= 50


@pytest.mark.parametrize(
    ("after", "earlier", "subject"),
    [
        (timedelta(minutes=2), (), "Your Acme plan is ready: receipt $249.00"),
        (
            timedelta(minutes=2, seconds=1),
            (),
            "Sorry for the wait: your Acme plan is ready",
        ),
        (
            timedelta(seconds=5),
            (EmailKind.RECEIVED,),
            "Sorry for the wait: your Acme plan is ready",
        ),
        (
            timedelta(seconds=5),
            (EmailKind.CHECKING,),
            "Your payment went through: you're in",
        ),
        (
            timedelta(hours=3),
            (EmailKind.CHECKING, EmailKind.RECEIVED_PERSON),
            "Sorry for the wait: your Acme plan is ready",
        ),
    ],
)
def test_the_receipt_follows_what_was_said_before(
    after: timedelta, earlier: tuple[EmailKind, ...], subject: str
) -> None:
    """A wait is explained once; who was left without an answer gets it first."""
    assert IN.charged_at is not None
    facts = replace(IN, access_at=IN.charged_at + after, earlier=earlier)

    assert _build(facts)["Subject"] == subject


def test_a_wait_is_told_with_both_times() -> None:
    """The gap is explained by when the money came and when the door opened."""
    assert IN.charged_at is not None
    same_day = replace(IN, access_at=IN.charged_at + timedelta(minutes=38))
    next_day = replace(IN, access_at=IN.charged_at + timedelta(hours=19))

    assert (
        "You paid on 23 Nov 2026, 14:32 UTC. Your access opened on 23 Nov 2026, "
        "15:10 UTC."
    ) in text_of(_build(same_day))
    assert "Your access opened on 24 Nov 2026, 09:32 UTC." in text_of(_build(next_day))


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        (EmailKind.RECEIPT, {"charged_at": None}),
        (EmailKind.RECEIPT, {"access_until": None}),
        (EmailKind.RECEIVED, {"charged_at": None}),
        (EmailKind.CHECKING, {"pay_requested_at": None}),
        (EmailKind.GOT_IN, {"access_at": None}),
        (EmailKind.REFUNDED, {"refund": None}),
    ],
)
def test_a_letter_is_not_written_without_its_fact(
    kind: EmailKind, missing: dict[str, None]
) -> None:
    """Rather no mail than one that says what is not known."""
    with pytest.raises(LetterNotDue):
        write_letter(kind, replace(IN, **missing))  # type: ignore[arg-type]
