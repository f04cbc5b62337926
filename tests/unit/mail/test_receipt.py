"""The receipt: what was paid and where to enter, the same in text and HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.message import EmailMessage
from html.parser import HTMLParser

import pytest

from domain.money import Money
from mail import receipt, sign_in
from mail.receipt import ReceiptFacts
from mail.sign_in import SignInFacts

PAGE = "https://shop.acme.test/c/q3vXo0-1pZcKf9_LmN7bTs5RwYhU2jGdEaI8kQxVn4A"
ENTER = "https://app.acme.test/enter?from=receipt&plan=one-year"
FACTS = ReceiptFacts(
    company_name="Acme",
    plan_name="Acme one-year plan",
    price=Money(amount_minor=24900, currency="usd"),
    reference_code="ORD-7K2M-9QXD",
    card_brand="visa",
    card_last4="4242",
    charged_at=datetime(2026, 11, 23, 14, 32, tzinfo=UTC),
    access_until=datetime(2027, 11, 23, 14, 32, tzinfo=UTC),
    page_url=PAGE,
    access_url=ENTER,
    support_email="support@acme.test",
    support_hours="Monday to Friday, 09:00 to 17:00 UTC",
    statement_descriptor="ACME PLAN",
    may_have_seen_an_error=False,
)
SIGN_IN = SignInFacts(
    company_name="Acme",
    sign_in_url="https://shop.acme.test/account/sign-in?t=abc",
    valid_for=timedelta(minutes=10),
    support_email="support@acme.test",
    support_hours="Monday to Friday, 09:00 to 17:00 UTC",
)
ERROR_SENTENCE = "If you saw an error page, everything is in place now."


class _Reader(HTMLParser):
    """What a person sees of an HTML mail, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag in {"style", "title"} or "display:none" in (
            dict(attrs).get("style") or ""
        ):
            self._hidden += 1
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        if self._hidden and tag in {"style", "title", "div"}:
            self._hidden -= 1
        if tag in {"p", "h1", "th", "td"}:
            self.words.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def _build(facts: ReceiptFacts = FACTS) -> EmailMessage:
    return receipt.build(
        facts,
        to="mara@example.com",
        sender="Acme payments <pay@acme.test>",
        message_id="<receipt.ord-7k2m-9qxd@acme.test>",
    )


def _build_sign_in(facts: SignInFacts = SIGN_IN) -> EmailMessage:
    return sign_in.build(
        facts,
        to="mara@example.com",
        sender="Acme payments <pay@acme.test>",
        message_id="<sign-in.1@acme.test>",
    )


def _text(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def _html(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def _seen(message: EmailMessage) -> _Reader:
    reader = _Reader()
    reader.feed(_html(message))
    return reader


def _one_line(text: str) -> str:
    return " ".join(text.split())


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

    assert said in _one_line(_text(message))
    assert said in _one_line("".join(_seen(message).words))


@pytest.mark.parametrize("is_receipt", [True, False])
def test_text_and_html_carry_the_same_facts(is_receipt: bool) -> None:
    """No number, time, amount, reference or link is in one variant only."""
    message = _build() if is_receipt else _build_sign_in()
    text, seen = _text(message), _seen(message)
    facts = re.compile(r"[$€£]?\d[\d.,:]*\d|ORD-[\w-]+|\b\d\b")
    links = {link for link in seen.links if not link.startswith("mailto:")}
    without_links = re.sub(r"https?://\S+", "", text)

    assert set(re.findall(r"https?://\S+", text)) == links
    assert set(facts.findall(without_links)) == set(facts.findall(" ".join(seen.words)))


@pytest.mark.parametrize("is_receipt", [True, False])
def test_both_variants_have_the_same_sentences(is_receipt: bool) -> None:
    """Every sentence of the HTML stands in the text."""
    message = (
        _build(replace(FACTS, may_have_seen_an_error=True))
        if is_receipt
        else _build_sign_in()
    )
    paragraphs = "".join(_seen(message).words).splitlines()
    sentences = [
        sentence.strip().rstrip(".:")
        for paragraph in paragraphs
        for sentence in re.split(r"(?<=[.?])\s", paragraph)
        if sentence.strip()
    ]

    assert len(sentences) > 6
    for sentence in sentences:
        assert sentence in _one_line(_text(message))


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
    subject = _build(replace(FACTS, company_name=company, price=price))["Subject"]

    assert len(subject) <= 50
    assert str(price) in subject


def test_an_error_page_is_mentioned_only_when_it_may_have_been_seen() -> None:
    """A smooth purchase is not worried; a rough one is told that all is well."""
    rough = _build(replace(FACTS, may_have_seen_an_error=True))
    smooth = _build()

    for read in (_text, _html):
        assert ERROR_SENTENCE in read(rough)
        assert "error" not in read(smooth).lower()
    assert "You do not need to pay again." in _text(rough)


def test_a_payment_without_card_has_no_card_line() -> None:
    """What the processor did not name is not made up."""
    message = _build(replace(FACTS, card_brand=None, card_last4=None))

    assert "ending" not in _text(message)
    assert "None" not in _text(message) + _html(message)


def test_times_are_told_in_utc() -> None:
    """Whatever zone an instant came in, the mail names the zone it shows."""
    lisbon = timezone(timedelta(hours=1))
    message = _build(
        replace(FACTS, charged_at=datetime(2026, 11, 24, 0, 30, tzinfo=lisbon))
    )

    assert "23 Nov 2026, 23:30 UTC" in _text(message)


def test_markup_in_a_name_stays_text() -> None:
    """A name can add neither an element nor a paragraph."""
    message = _build(
        replace(
            FACTS,
            company_name='<img src=x onerror="alert(1)">',
            plan_name="Plan\n\nYour refund: https://thief.example",
        )
    )

    assert "img" not in _seen(message).tags
    assert "Plan Your refund: https://thief.example" in _text(message)


@pytest.mark.parametrize("message", [_build(), _build_sign_in()])
def test_the_html_fetches_nothing(message: EmailMessage) -> None:
    """No picture, script, form, font or style comes from anywhere."""
    html = _html(message)

    assert not _seen(message).tags & {
        "img",
        "script",
        "form",
        "input",
        "link",
        "iframe",
    }
    assert not re.search(r"url\(|@import|src=", html)
    assert 'lang="en"' in html
    assert len(html) < 12_000


def test_a_mail_has_one_button() -> None:
    """One purpose, one button: beside it only the page and the support address."""
    assert _seen(_build()).links == [ENTER, PAGE, "mailto:support@acme.test"]
    assert _seen(_build_sign_in()).links == [
        SIGN_IN.sign_in_url,
        "mailto:support@acme.test",
    ]


@pytest.mark.parametrize("message", [_build(), _build_sign_in()])
def test_no_mail_uses_banned_words(message: EmailMessage) -> None:
    """The words are those of a person who wants to help."""
    banned = re.compile(
        r"oops|something went wrong|technical|webhook|workflow|!|unfortunately|"
        r"inconvenience|stripe|noreply|unsubscribe",
        re.IGNORECASE,
    )

    assert not banned.search(_text(message))


def test_the_sign_in_mail_says_how_long_and_where_it_works() -> None:
    """Ten minutes, the same browser, and nothing to do for who did not ask."""
    text = _one_line(_text(_build_sign_in()))

    assert "for 10 minutes, in the same browser that asked for it" in text
    assert "If you did not ask for this, you need not do anything." in text
    assert _build_sign_in()["Subject"] == "Your sign-in link for Acme"
    assert len(_build_sign_in(replace(SIGN_IN, company_name="A" * 90))["Subject"]) <= 50
