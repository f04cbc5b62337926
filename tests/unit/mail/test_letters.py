"""The words of every mail: what a customer may rely on, whichever mail it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from typing import Any
from urllib.parse import urlsplit

import pytest

from domain.emails import TO_OTHERS, EmailKind
from domain.money import Money
from domain.words import card_in_words, moment_in_words
from domain.working_hours import WorkingHours
from mail.letter import Letter
from mail.letters import write_letter
from tests.specimens.mails import COMPANY, PAGE, Specimen, build, specimens, stressed
from tests.unit.mail.reading import (
    grade,
    html_of,
    in_one_line,
    prose,
    seen,
    sentences_in,
    text_of,
)

#: Mails for whom no money moved, by proof. In all others money may have been taken.
NOT_CHARGED = {EmailKind.NOT_CHARGED, EmailKind.DECLINED, EmailKind.OPEN_AGAIN}

#: `customer-communication.md`, section 1.
BANNED = re.compile(
    r"oops|something went wrong|technical|webhook|workflow|order record|\b500\b|"
    r"unfortunately|inconvenience|apologi[sz]e|stripe|noreply|unsubscribe|maintenance|"
    r"try again later|contact us to resolve|\bsystem\b|\berror code\b|!",
    re.IGNORECASE,
)

#: Never said of money that was taken.
BANNED_OF_MONEY_TAKEN = re.compile(r"\bpending\b|\bfail(ed|ure|s)?\b", re.IGNORECASE)

#: How somebody is told not to pay; what is left must not ask for it.
NOT_TO_PAY = re.compile(
    r"please don't pay again|don't pay again|you do not need to pay again",
    re.IGNORECASE,
)
PAY_AGAIN = re.compile(
    r"pay again|pay now|try again|once more|another card|retry|complete your payment",
    re.IGNORECASE,
)

#: How a mail speaks of a later word of ours.
PROMISE = re.compile(r"\bby (\d|tomorrow)|with or without news|next e-mail", re.I)

#: A hurried promise without a time.
VAGUE = re.compile(
    r"\b(soon|shortly|in a moment|as soon as possible|asap|within)\b", re.I
)
#: What banks take is said with their usual range.
BANKS = "Banks usually show it within 5 to 10 business days."

TIME = re.compile(r"(?:\d{1,2} \w{3} \d{4}, )?\d\d:\d\d UTC")

EVERY = pytest.mark.parametrize(
    "specimen", [pytest.param(one, id=one.name) for one in specimens()]
)
OWED = pytest.mark.parametrize(
    "specimen", [pytest.param(one, id=one.name) for one in specimens() if one.kind]
)
#: All but the notice that a stranger may read.
TO_CUSTOMERS = pytest.mark.parametrize(
    "specimen",
    [
        pytest.param(one, id=one.name)
        for one in specimens()
        if one.kind and one.kind not in TO_OTHERS
    ],
)


def _everything(letter: Letter) -> str:
    """All words of a mail, its subject and preheader too."""
    return "\n".join((letter.subject, letter.preheader, *_visible(letter)))


def _visible(letter: Letter) -> Iterator[str]:
    yield from prose(letter)
    yield from (f"{label}: {value}" for label, value in letter.rows)
    if letter.button:
        yield letter.button.label


def test_every_kind_has_a_letter() -> None:
    """There is no kind of mail that we could owe and not write."""
    assert {one.kind for one in specimens() if one.kind} == set(EmailKind)
    names = [one.name for one in specimens()]
    assert len(set(names)) == len(names)


@EVERY
def test_no_mail_uses_banned_words(specimen: Specimen) -> None:
    """The words are those of a person who wants to help."""
    said = _everything(specimen.letter)

    assert not BANNED.search(said)
    assert not BANNED.search(text_of(specimen.message))
    if specimen.kind not in NOT_CHARGED:
        assert not BANNED_OF_MONEY_TAKEN.search(said)


@EVERY
def test_every_mail_is_easy_to_read(specimen: Specimen) -> None:
    """No sentence is longer than 20 words, and a child of ten understands all of it."""
    paragraphs = prose(specimen.letter)

    for sentence in sentences_in(*paragraphs, specimen.letter.preheader):
        assert len(sentence.split()) <= 20, sentence
    assert grade(*paragraphs) <= 4


def test_the_measure_of_reading_ease_can_fail() -> None:
    """What an office would write does not pass."""
    office = (
        "Notwithstanding the aforementioned circumstances, confirmation regarding your "
        "transaction's authorisation remains outstanding at the present juncture."
    )

    assert grade(office) > 12


@EVERY
def test_we_say_sorry_once_at_the_most(specimen: Specimen) -> None:
    """An apology that is repeated is decoration."""
    assert " ".join(prose(specimen.letter)).lower().count("sorry") <= 1


@OWED
def test_we_say_sorry_where_it_was_our_fault(specimen: Specimen) -> None:
    """Who waited for us reads it; who declined to answer the bank does not."""
    is_told = "sorry" in " ".join(prose(specimen.letter)).lower()
    name = specimen.name

    if name.startswith(("received", "checking", "charged-twice", "got-in")):
        assert is_told
    if name.startswith(("receipt-late", "receipt-next-day", "receipt-after-checking")):
        assert is_told
    if name in {"receipt", "not-charged-declined", "not-charged-bank-check-expired"}:
        assert not is_told
    if name.startswith(("declined", "ending", "refund")):
        assert not is_told


@EVERY
def test_the_subject_fits_and_stands_alone(specimen: Specimen) -> None:
    """A phone shows all of it, and what follows it in a list is written on purpose."""
    letter = specimen.letter

    assert 10 <= len(letter.subject) <= 50
    assert letter.subject == specimen.message["Subject"]
    assert 15 <= len(letter.preheader) <= 130
    assert letter.preheader not in letter.headline
    assert letter.preheader in html_of(specimen.message).replace("&#39;", "'")


@TO_CUSTOMERS
def test_every_mail_has_the_facts(specimen: Specimen) -> None:
    """Amount, reference, card, page, and where a person answers, in both variants."""
    facts, amount = specimen.facts, str(specimen.facts.price)
    if facts.refund is not None:
        amount = str(facts.refund.amount)
    card = card_in_words(facts.card_brand, facts.card_last4)

    for said in (
        in_one_line(text_of(specimen.message)),
        in_one_line("".join(seen(specimen.message).words)),
    ):
        assert amount in said
        assert facts.reference_code in said
        assert facts.plan_name in said
        assert card is None or card in said
        assert COMPANY.support_email in said
        assert COMPANY.support_hours in said
        assert "We never ask for card numbers by e-mail." in said
        assert "None" not in said
    assert PAGE in text_of(specimen.message)
    assert PAGE in seen(specimen.message).links


@EVERY
def test_text_and_html_carry_the_same_facts(specimen: Specimen) -> None:
    """No number, time, amount, reference or link is in one variant only."""
    text, html = text_of(specimen.message), seen(specimen.message)
    facts = re.compile(r"[$€£]?\d[\d.,:]*\d|ORD-[\w-]+|\b\d\b")
    links = {link for link in html.links if not link.startswith("mailto:")}
    without_links = re.sub(r"https?://\S+", "", text)

    assert set(re.findall(r"https?://\S+", text)) == links
    assert set(facts.findall(without_links)) == set(facts.findall(" ".join(html.words)))


@EVERY
def test_both_variants_have_the_same_sentences(specimen: Specimen) -> None:
    """Every sentence of the HTML stands in the text."""
    paragraphs = "".join(seen(specimen.message).words).splitlines()
    sentences = [part.strip().rstrip(".:") for part in sentences_in(*paragraphs)]

    assert len(sentences) > 6
    for sentence in sentences:
        assert sentence in in_one_line(text_of(specimen.message))


@EVERY
def test_a_promise_names_its_time(specimen: Specimen) -> None:
    """A mail speaks of a next one exactly when a timer will make sure of it."""
    letter, promised_at = specimen.letter, specimen.facts.promised_at
    said = _everything(letter).replace(BANKS, "")

    assert letter.promised_at == promised_at
    assert bool(PROMISE.search(said)) == (promised_at is not None)
    assert not VAGUE.search(said)
    if promised_at is not None:
        in_full = moment_in_words(promised_at)
        assert dict(letter.rows)["Next e-mail"] == f"by {in_full}"
        sentence = " ".join(letter.paragraphs)
        assert f"by {in_full}," in sentence or f"by {in_full[-9:]}," in sentence


@EVERY
def test_no_other_time_to_come_is_named(specimen: Specimen) -> None:
    """Times to come are the promised one, and when somebody is there to act then."""
    facts = specimen.facts
    known = [facts.pay_requested_at, facts.charged_at, facts.access_at]
    known += [facts.promised_at, facts.asked_at, facts.bank_asked_at]
    if facts.refund is not None:
        known.append(facts.refund.returned_at)
    hours = WorkingHours.parse(facts.company.support_hours)
    for at in (facts.written_at, facts.promised_at):
        if at is not None and hours.next_moment(at) > at:
            known.append(hours.next_moment(at))
    words = [moment_in_words(moment) for moment in known if moment]
    # `HH:MM UTC`, and where the day matters the day before it.
    allowed = {*words, *(word[-9:] for word in words)}

    for time in TIME.findall(_everything(specimen.letter)):
        assert time in allowed


def test_asking_is_claimed_only_since_the_mail_before() -> None:
    """What was asked before the first mail is nothing that was done since."""
    said = {one.name: " ".join(one.letter.paragraphs) for one in specimens()}

    since = "We have asked the card processor since, last at 15:09 UTC,"
    assert since in said["checking-still"]
    for name in ("checking-still-never-asked", "checking-still-not-asked-since"):
        assert "We have asked" not in said[name]
        assert "no clear answer from the card processor yet" in said[name]


def test_no_person_is_said_to_act_while_nobody_is_there() -> None:
    """At night a mail says from when somebody looks; by day it says today."""
    said = {one.name: " ".join(one.letter.paragraphs) for one in specimens()}

    opening = "from 24 Nov 2026, 09:00 UTC on"
    assert f"will look into it {opening}." in said["checking-still-overnight"]
    assert f"will take it over {opening}." in said["received-still-overnight"]
    for name, does in (
        ("checking-person", "looks into it"),
        ("received-person", "takes it over"),
    ):
        assert f"{does} today." in said[name]
        assert f"{does} from 09:00 UTC on." in said[f"{name}-at-night"]
    assert "will look into it." in said["checking-still"]


@EVERY
def test_nobody_who_may_have_paid_is_asked_to_pay(specimen: Specimen) -> None:
    """No words and no link lead to a second payment while there may be a first."""
    labels = [label.lower() for label in seen(specimen.message).labels]

    assert not [label for label in labels if re.search(r"\bpay\b", label)]
    if specimen.kind not in NOT_CHARGED:
        said = NOT_TO_PAY.sub("", _everything(specimen.letter))
        assert not PAY_AGAIN.search(said)


@EVERY
def test_not_charged_is_said_with_proof_only(specimen: Specimen) -> None:
    """The sentence stands in the mails of a proven end, and in no other."""
    said = _everything(specimen.letter).lower()
    claims = "not been charged" in said or "not charged" in said

    assert claims == (specimen.kind in NOT_CHARGED)


@EVERY
def test_nothing_is_fetched_or_followed(specimen: Specimen) -> None:
    """No picture, script or style from anywhere; links lead to our own hosts."""
    html = html_of(specimen.message)
    hosts = {"shop.acme.test", "app.acme.test"}

    assert not seen(specimen.message).tags & {
        "img",
        "script",
        "form",
        "input",
        "link",
        "iframe",
        "video",
        "object",
    }
    assert not re.search(r"url\(|@import|src=", html)
    assert 'lang="en"' in html
    assert len(html) < 12_000
    for link in seen(specimen.message).links:
        parts = urlsplit(link)
        assert parts.hostname in hosts or link == f"mailto:{COMPANY.support_email}"
        assert "utm_" not in link


@TO_CUSTOMERS
def test_a_mail_has_one_button(specimen: Specimen) -> None:
    """One purpose, one button; a link beside it leads to the order's page only."""
    first, *others = seen(specimen.message).links

    assert specimen.letter.button is not None
    assert first == specimen.letter.button.url
    assert others in (
        [f"mailto:{COMPANY.support_email}"],
        [PAGE, f"mailto:{COMPANY.support_email}"],
    )


def test_what_a_stranger_may_read_opens_and_proves_nothing() -> None:
    """A notice to a mistyped address has no link, no card, no amount and no day."""
    (notice,) = (one for one in specimens() if one.kind in TO_OTHERS)
    facts, said = notice.facts, text_of(notice.message)

    assert seen(notice.message).links == [f"mailto:{COMPANY.support_email}"]
    assert "http" not in said
    assert facts.moved_to is not None
    assert facts.moved_to in said
    assert facts.reference_code in said
    assert facts.charged_at is not None
    for secret in (facts.card_last4, str(facts.price), f"{facts.charged_at:%d %b}"):
        assert str(secret) not in said


@EVERY
def test_headers_are_plain(specimen: Specimen) -> None:
    """What stands before the mail on the wire is ASCII, and reads back the same."""
    raw = specimen.message.as_bytes(policy=policy.SMTP)
    head = raw.partition(b"\r\n\r\n")[0]
    again = message_from_bytes(raw, policy=policy.default)

    assert head.isascii()
    assert again["Subject"] == specimen.message["Subject"]
    assert again["Auto-Submitted"] == "auto-generated"
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998


@OWED
def test_every_copy_has_the_same_bytes(specimen: Specimen) -> None:
    """A mail that is written again after a crash is the same, its date included."""
    assert specimen.kind is not None
    again = build(specimen.kind, specimen.facts)

    assert again.as_bytes() == specimen.message.as_bytes()
    assert again["Date"].datetime == specimen.facts.written_at


@OWED
def test_long_names_and_other_currencies_keep_the_promises(specimen: Specimen) -> None:
    """Whatever a company is called and sells for, the mail can be built and read."""
    assert specimen.kind is not None
    for facts in stressed(specimen.facts):
        letter = write_letter(specimen.kind, facts)
        message = build(specimen.kind, facts)

        assert len(letter.subject) <= 50
        assert facts.reference_code in text_of(message)
        if specimen.kind not in TO_OTHERS:
            amount = facts.refund.amount if facts.refund else facts.price
            assert str(amount) in text_of(message)
        assert message.as_bytes().partition(b"\n\n")[0].isascii()


POISON = "x\r\nBcc: thief@example.net\r\n\r\n<b>Your refund:</b> https://thief.example"


@OWED
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\u2028", "\x85"])
def test_no_name_adds_a_header_or_a_paragraph(specimen: Specimen, end: str) -> None:
    """A name with line ends or markup stays a name on one line."""
    assert specimen.kind is not None
    poison = POISON.replace("\r\n", end)
    changes: dict[str, Any] = {
        "company_name": poison,
        "support_name": poison,
        "support_hours": poison,
        "support_email": f"{poison}@acme.test",
        "statement_descriptor": poison,
    }
    refund = specimen.facts.refund
    facts = replace(
        specimen.facts,
        company=replace(COMPANY, **changes),
        plan_name=poison,
        reference_code=specimen.facts.reference_code,
        refund=refund and replace(refund, reference=poison),
    )
    message = build(specimen.kind, facts)
    again = message_from_bytes(
        message.as_bytes(policy=policy.SMTP), policy=policy.default
    )

    assert again["Bcc"] is None
    assert again.keys() == specimen.message.keys()
    assert again["To"].addresses[0].addr_spec == "mara@example.com"
    assert "b" not in seen(message).tags
    lines = text_of(message).splitlines()
    assert not [line for line in lines if line.startswith(("Bcc:", "<b>"))]


def test_a_mail_about_one_purchase_is_one_thread() -> None:
    """The first mail starts it, the others follow it in order."""
    (first,) = [one for one in specimens() if one.name == "received"]
    (third,) = [one for one in specimens() if one.name == "received-person"]

    assert first.message["In-Reply-To"] is None
    assert first.message["References"] is None
    assert third.message["In-Reply-To"] == "<received-still.ord-7k2m-9qxd@acme.test>"
    assert third.message["References"].split() == [
        "<received.ord-7k2m-9qxd@acme.test>",
        "<received-still.ord-7k2m-9qxd@acme.test>",
    ]


def test_the_amount_stands_in_every_subject_that_has_room() -> None:
    """Who sees the subject only knows what happened to how much."""
    price = str(Money(amount_minor=24900, currency="usd"))
    subjects = {one.name: one.letter.subject for one in specimens()}

    assert subjects["receipt"] == f"Your Acme plan is ready: receipt {price}"
    assert subjects["receipt-late"] == "Sorry for the wait: your Acme plan is ready"
    assert subjects["receipt-after-checking"] == "Your payment went through: you're in"
    assert subjects["received"] == f"We received your {price}: don't pay again"
    assert subjects["received-still"] == (
        f"Your {price} is safe: still opening your access"
    )
    assert subjects["received-person"] == "Still not open: Dana takes over"
    assert subjects["checking"] == "Checking your payment: please don't pay again"
    assert subjects["checking-still"] == "Still checking your payment of 14:31 UTC"
    assert subjects["checking-person"] == "Still no answer: Dana looks into it"
    assert subjects["not-charged-canceled"] == "You were not charged"
    assert subjects["declined-generic"] == "Your card was declined: nothing was charged"
    assert subjects["charged-twice"] == f"We charged you twice and returned {price}"
    assert subjects["refunded"] == f"We returned your {price}"
    assert subjects["refund-failed"] == f"Your {price} came back to us"
    assert subjects["refund-arrived"] == "Has your refund arrived?"
    assert subjects["got-in"] == "Dana here: did you get in?"
    assert subjects["ending-in-7"] == "Your Acme plan ends on 23 Nov 2027"


@pytest.mark.parametrize(
    ("name", "headline"),
    [
        ("received", "We received your $249.00. You do not need to pay again."),
        ("received-person", "We received your $249.00. You do not need to pay again."),
        ("checking", "We don't know yet if your payment went through."),
        ("checking-still", "We don't know yet if your payment went through."),
        (
            "not-charged-canceled",
            "You have not been charged. You can safely try again.",
        ),
        (
            "not-charged-declined",
            "Your bank declined the card. You have not been charged.",
        ),
        (
            "declined-ask-bank",
            "Your bank declined the card. You have not been charged.",
        ),
    ],
)
def test_a_mail_begins_with_the_words_of_the_page(name: str, headline: str) -> None:
    """Who reads both never wonders which of them is right."""
    (specimen,) = [one for one in specimens() if one.name == name]

    assert specimen.letter.headline == headline
    assert text_of(specimen.message).startswith(headline)
