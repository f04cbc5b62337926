"""The letters that a person signs: what a customer may rely on, what is kept back."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identifiers import mail_of
from domain.money import Money
from domain.replies import (
    FITS,
    TYPED,
    WHERE,
    Blocked,
    Draft,
    Fact,
    Purchase,
    ReplyFacts,
    Situation,
    Verified,
    needs,
    prepare,
    proof_of_no_charge,
    suggest,
    times_of,
)
from domain.states import AccessState, MoneyState, NotChargedReason
from domain.words import moment_in_words
from gallery.replies import DOCS_PAGE, replies_page
from mail.replies import ReplyRefused, ReplyRequest, check_reply, write_reply
from mail.replies.guide import GUIDES, PAIRS
from mail.replies.lint import INSTEAD, MOST_WORDS, grade
from mail.replies.writing import kept_of, letter_of, message_id_of, promised_at
from tests.specimens.mails import COMPANY, PAGE
from tests.specimens.replies import (
    BROKE,
    CHARGED,
    FACTS,
    IN,
    NEXT,
    NOT_CHARGED,
    NOW,
    RETURNED,
    SECOND,
    UNKNOWN,
    WAITING,
    ReplySpecimen,
    replies,
    reply_to,
    with_purchase,
)
from tests.unit.mail import reading
from tests.unit.mail.reading import in_one_line, seen, sentences_in, text_of
from tests.unit.mail.test_letters import BANKS, BANNED, BANNED_OF_MONEY_TAKEN, TIME

EVERY = pytest.mark.parametrize(
    "specimen", [pytest.param(one, id=one.name) for one in replies()]
)
SITUATIONS = pytest.mark.parametrize("situation", Situation)

#: What takes each fact away again.
WITHOUT: dict[Fact, dict[str, Any]] = {
    Fact.REFUND: {"refunds": ()},
    Fact.SECOND_REFUND: {"refunds": (RETURNED,)},
    Fact.NEXT_MESSAGE: {"next_message_at": None},
    Fact.VERIFIED: {"verified": None},
    Fact.NEW_ADDRESS: {"address_corrected_at": None},
    Fact.INVOICE: {"invoice": None},
    Fact.ADDED_DAYS: {"added": None},
    Fact.DISPUTE: {"dispute": None},
    Fact.WROTE_AT: {"wrote_at": None},
    Fact.TIMELINE: {"timeline": ()},
    Fact.WHAT_BROKE: {"what_broke": "  "},
    Fact.WHAT_CHANGED: {"what_changed": None},
}
#: Likewise, of the purchase.
PURCHASE_WITHOUT: dict[Fact, dict[str, Any]] = {
    Fact.CHARGE: {"charged_at": None},
    Fact.ONE_PAYMENT: {"payments_shown": 2},
    Fact.DECLINE: {"reason": NotChargedReason.CANCELED},
    Fact.ATTEMPT: {"pay_requested_at": None},
    Fact.ACCESS: {"access_url": None},
    Fact.RECEIPT: {"receipt_left_at": None},
}


def _usual(situation: Situation) -> ReplyRequest:
    """The first specimen of a situation."""
    return next(one.request for one in replies() if one.request.situation is situation)


def _without(facts: ReplyFacts, fact: Fact) -> ReplyFacts:
    if fact in WITHOUT:
        return replace(facts, **WITHOUT[fact])
    assert facts.purchase is not None
    return replace(facts, purchase=replace(facts.purchase, **PURCHASE_WITHOUT[fact]))


def _rules(request: ReplyRequest) -> set[str]:
    """The names of the rules that a reply breaks."""
    remarks = check_reply(request)
    assert not isinstance(remarks, Blocked), remarks
    return {remark.rule for remark in remarks}


def _typed(situation: Situation, opening: str, facts: ReplyFacts) -> set[str]:
    return _rules(reply_to(situation, facts, opening=opening))


# The letters.


def test_every_situation_has_a_letter_and_a_guide() -> None:
    """Eighteen situations, and for each what to write and when."""
    assert len(Situation) == 18
    assert {one.request.situation for one in replies()} == set(Situation)
    assert set(GUIDES) == set(Situation) == set(FITS)
    assert len({one.name for one in replies()}) == len(replies())


@EVERY
def test_every_letter_may_leave(specimen: ReplySpecimen) -> None:
    """With its own opening, confirmed, nothing is wrong with any letter of ours."""
    assert check_reply(specimen.request) == ()


@EVERY
def test_no_letter_uses_banned_words(specimen: ReplySpecimen) -> None:
    """The same words are banned as in every other mail of ours."""
    message = write_reply(specimen.request)
    purchase = specimen.request.facts.purchase
    said = text_of(message)

    assert not BANNED.search(said)
    assert not BANNED.search(message["Subject"])
    assert purchase is not None
    if purchase.money not in {MoneyState.NOT_CHARGED}:
        assert not BANNED_OF_MONEY_TAKEN.search(said)


@EVERY
def test_every_letter_is_easy_and_short(specimen: ReplySpecimen) -> None:
    """Sentences of 20 words at the most, for a child of ten, on two small screens."""
    letter = letter_of(specimen.request)

    for sentence in sentences_in(*letter.prose):
        assert len(sentence.split()) <= 20, sentence
    assert reading.grade(*letter.prose) <= 4
    assert grade(*letter.prose) == reading.grade(*letter.prose)
    assert len(" ".join(letter.prose).split()) <= MOST_WORDS


@EVERY
def test_the_first_three_sentences_are_money_to_do_and_what_comes(
    specimen: ReplySpecimen,
) -> None:
    """Whoever reads only the beginning has read what matters."""
    request = specimen.request
    letter = letter_of(request)
    money, to_do, *_ = sentences_in(*letter.opening)
    facts = request.facts
    assert facts.purchase is not None

    if request.situation is Situation.SOMEBODY_ELSE:
        assert "payment" in money
    else:
        refunds = {str(one.amount) for one in facts.refunds}
        amounts = {str(facts.purchase.price), *refunds}
        assert any(amount and amount in money for amount in amounts)
    assert re.search(r"\b(you|your|please|card)\b", to_do, re.IGNORECASE)
    if facts.next_message_at is not None and _promises(letter.prose):
        assert "I'll write to you by" in letter.paragraphs[0]


@EVERY
def test_we_say_sorry_once_at_the_most(specimen: ReplySpecimen) -> None:
    """An apology that is repeated is decoration."""
    said = " ".join(letter_of(specimen.request).prose).lower()

    assert said.count("sorry") <= 1
    assert "apolog" not in said


@EVERY
def test_every_time_in_a_letter_is_a_fact(specimen: ReplySpecimen) -> None:
    """No clock and no day is named that the facts do not hold."""
    facts = specimen.request.facts
    words = {moment_in_words(moment) for moment in times_of(facts)}
    allowed = {*words, *(word[-9:] for word in words)}

    said = text_of(write_reply(specimen.request)).replace(COMPANY.support_hours, "")
    for time in TIME.findall(in_one_line(said)):
        assert time in allowed


@EVERY
def test_a_promise_is_the_one_that_something_keeps(specimen: ReplySpecimen) -> None:
    """The next letter is promised with its time, in text and rows, or not at all."""
    request = specimen.request
    letter = letter_of(request)
    kept = promised_at(request)

    assert _promises(letter.prose) == (kept is not None)
    assert ("Next e-mail" in dict(letter.rows)) == (kept is not None)
    if kept is not None:
        assert kept == request.facts.next_message_at
        assert dict(letter.rows)["Next e-mail"] == f"by {moment_in_words(kept)}"
    assert "within" not in " ".join(letter.prose).replace(BANKS, "")


@EVERY
def test_not_charged_is_said_with_the_proof_of_the_page_only(
    specimen: ReplySpecimen,
) -> None:
    """The sentence stands where the page says it too, and nowhere else."""
    facts = specimen.request.facts
    assert facts.purchase is not None
    said = " ".join(letter_of(specimen.request).prose)

    if re.search(r"not been charged|not charged", said):
        view = proof_of_no_charge(facts.purchase, NOW)
        assert view is not None
        assert "You have not been charged" in view.headline


@EVERY
def test_nobody_who_may_have_paid_is_asked_to_pay(specimen: ReplySpecimen) -> None:
    """Only a proven end offers to try again."""
    purchase = specimen.request.facts.purchase
    assert purchase is not None
    said = " ".join(letter_of(specimen.request).prose).lower()
    said = said.replace("please don't pay again", "").replace(
        "you don't need to pay again", ""
    )

    if purchase.money is not MoneyState.NOT_CHARGED:
        assert not re.search(r"pay again|try again|pay now|another card", said)


@EVERY
def test_every_letter_has_the_facts_of_the_purchase(specimen: ReplySpecimen) -> None:
    """Amount, reference, plan and card stand in both variants, for looking up."""
    request, message = specimen.request, write_reply(specimen.request)
    bought = request.facts.purchase
    assert bought is not None

    for said in (
        in_one_line(text_of(message)),
        in_one_line("".join(seen(message).words)),
    ):
        assert "Dana" in said
        assert COMPANY.support_hours in said
        assert "We never ask for card numbers by e-mail." in said
        assert "None" not in said
        if request.situation is not Situation.SOMEBODY_ELSE:
            assert str(bought.price) in said
            assert bought.reference_code in said
            assert bought.plan_name in said
            assert bought.card_last4 is None or bought.card_last4 in said


@EVERY
def test_text_and_html_carry_the_same_facts(specimen: ReplySpecimen) -> None:
    """No sentence, number, time or link is in one variant only."""
    message = write_reply(specimen.request)
    text, html = text_of(message), seen(message)
    facts = re.compile(r"[$€£]?\d[\d.,:]*\d|ORD-[\w-]+|\b\d\b")
    without_links = re.sub(r"https?://\S+", "", text)

    assert set(re.findall(r"https?://\S+", text)) == set(html.links)
    assert set(facts.findall(without_links)) == set(facts.findall(" ".join(html.words)))
    for sentence in sentences_in(*"".join(html.words).splitlines()):
        assert sentence.strip().rstrip(".:") in in_one_line(text)


@EVERY
def test_one_button_leads_to_our_own_hosts(specimen: ReplySpecimen) -> None:
    """One purpose, one link; nothing is fetched and nobody is followed."""
    message = write_reply(specimen.request)
    links = seen(message).links

    assert len(links) == (specimen.request.situation is not Situation.SOMEBODY_ELSE)
    for link in links:
        assert urlsplit(link).hostname in {"shop.acme.test", "app.acme.test"}
        assert "utm_" not in link
    assert not seen(message).tags & {"img", "script", "form", "link", "iframe"}


def test_somebody_else_learns_nothing() -> None:
    """The refusal is the same whether we know such a payment, or none."""
    known = write_reply(_usual(Situation.SOMEBODY_ELSE))
    unknown = write_reply(
        reply_to(
            Situation.SOMEBODY_ELSE,
            replace(FACTS, customer_name=None, purchase=None),
            _usual(Situation.SOMEBODY_ELSE).reply_id.int,
            earlier=(),
        )
    )
    said = text_of(known) + known["Subject"] + known["Message-ID"]

    assert text_of(unknown) == text_of(known)
    assert unknown["Message-ID"] == known["Message-ID"]
    for secret in ("249", "4242", "7k2m", "one-year", "23 Nov", PAGE):
        assert secret not in said.lower()


def test_the_letter_about_money_that_goes_back_does_not_argue() -> None:
    """Done, when, which number; no reason is asked for and nothing is offered."""
    text = text_of(write_reply(_usual(Situation.MONEY_BACK)))

    assert "Done: we returned your $249.00 at 09:05 UTC." in text
    assert "74627885231234567890123" in text
    assert "You don't owe us a reason." in text


def test_the_angry_letter_tells_it_minute_by_minute() -> None:
    """Each line of what happened stands there with its time, in order."""
    request = _usual(Situation.ANGRY)
    text = text_of(write_reply(request))
    places = [text.index(f": {line.what}") for line in request.facts.timeline]

    assert places == sorted(places)
    assert "reply with the word “refund” and I'll return all of it" in text


# What keeps a letter here.


@pytest.mark.parametrize(
    ("situation", "fact"),
    [
        (situation, fact)
        for situation in Situation
        if situation is not Situation.SOMEBODY_ELSE
        for request in [_usual(situation)]
        if request.facts.purchase is not None
        for fact in needs(situation, request.facts.purchase)
        if fact is not Fact.PROOF
    ],
)
def test_a_letter_that_lacks_a_fact_is_blocked(
    situation: Situation, fact: Fact
) -> None:
    """It names the fact in words, and where to get it; nothing is made up."""
    request = _usual(situation)
    lacking = replace(request, facts=_without(request.facts, fact))
    blocked = check_reply(lacking)

    assert isinstance(blocked, Blocked)
    missing = {one.fact: one for one in blocked.missing}
    assert fact in missing
    assert (missing[fact].what, missing[fact].where) == WHERE[fact]
    with pytest.raises(ReplyRefused) as refused:
        write_reply(lacking)
    assert refused.value.blocked == blocked
    assert missing[fact].what in str(refused.value)


def test_a_letter_about_nothing_asks_for_the_purchase() -> None:
    """Without a purchase there is one letter: the one that tells nothing."""
    facts = replace(FACTS, purchase=None)
    blocked = prepare(Situation.WENT_THROUGH, facts)

    assert isinstance(blocked, Blocked)
    assert [one.fact for one in blocked.missing] == [Fact.PURCHASE]
    assert blocked.instead == suggest(facts) == (Situation.SOMEBODY_ELSE,)


@pytest.mark.parametrize("money", MoneyState)
@SITUATIONS
def test_no_letter_is_written_that_the_money_does_not_bear_out(
    situation: Situation, money: MoneyState
) -> None:
    """Whatever else is known, a letter that cannot be true is not written."""
    usual = _usual(situation).facts
    assert usual.purchase is not None
    facts = replace(usual, purchase=replace(usual.purchase, money=money))
    drafted = prepare(situation, facts)

    if money not in FITS[situation]:
        assert isinstance(drafted, Blocked)
        assert drafted.untrue.startswith("The money is ")
        assert situation not in drafted.instead
    if isinstance(drafted, Draft):
        assert write_reply(reply_to(situation, facts))["Message-ID"]


@pytest.mark.parametrize("reason", [None])
def test_not_charged_is_not_said_of_a_checkout_where_nobody_paid(
    reason: None,
) -> None:
    """There is no attempt, so there is nothing that was proven about it."""
    facts = with_purchase(replace(NOT_CHARGED, reason=reason))
    blocked = prepare(Situation.NOT_CHARGED, facts)

    assert isinstance(blocked, Blocked)
    assert blocked.untrue == "Nobody has tried to pay in this checkout."


def test_a_promise_that_has_passed_holds_nothing() -> None:
    """A letter of today does not name the time that was kept yesterday."""
    facts = with_purchase(UNKNOWN, next_message_at=NOW - timedelta(minutes=1))
    blocked = prepare(Situation.STILL_UNKNOWN, facts)

    assert isinstance(blocked, Blocked)
    assert [one.fact for one in blocked.missing] == [Fact.NEXT_MESSAGE]


def test_another_address_learns_nothing_until_it_is_known_who_writes() -> None:
    """Whoever names a purchase from elsewhere is asked first, whatever the letter."""
    stranger = replace(FACTS, email="thief@example.net")
    for situation in Situation:
        blocked = prepare(situation, replace(_usual(situation).facts, verified=None))
        stolen = replace(
            _usual(situation).facts, email="thief@example.net", verified=None
        )
        assert isinstance(prepare(situation, stolen), Blocked) == (
            situation is not Situation.SOMEBODY_ELSE
        )
        assert isinstance(blocked, Draft) == (situation is not Situation.WRONG_ADDRESS)
    drafted = prepare(Situation.WENT_THROUGH, stranger)
    assert isinstance(drafted, Blocked)
    assert [one.fact for one in drafted.missing] == [Fact.VERIFIED]
    known = replace(stranger, verified=Verified.CARD_AND_DAY)
    assert isinstance(prepare(Situation.WENT_THROUGH, known), Draft)
    upper = replace(FACTS, email="Mara@Example.com")
    assert isinstance(prepare(Situation.WENT_THROUGH, upper), Draft)


def test_every_fact_says_where_it_comes_from() -> None:
    """Nobody is told that something is missing and left alone with it."""
    assert set(WHERE) == set(Fact)
    assert set(Fact) >= TYPED
    titles = {guide.title for guide in GUIDES.values()}
    for what, where in WHERE.values():
        assert what[0].isupper()
        assert where.endswith(".")
        assert set(re.findall(r"“([^”]+)”", where)) <= titles
    for guide in GUIDES.values():
        assert set(re.findall(r"use “([^”]+)”", guide.use_when)) <= titles


def test_our_opening_waits_for_a_person() -> None:
    """Left as it is, it must be confirmed; changed, it has been read."""
    request = replace(_usual(Situation.WENT_THROUGH), is_confirmed=False)
    edited = replace(
        request,
        opening="Yes, your $249.00 arrived. You need not pay again, whatever the "
        "blank page made you fear.",
    )

    assert _rules(request) == {"confirm"}
    with pytest.raises(ReplyRefused) as refused:
        write_reply(request)
    assert [remark.rule for remark in refused.value.remarks] == ["confirm"]
    assert _rules(edited) == set()
    assert "whatever the blank page made you fear" in text_of(write_reply(edited))


@pytest.mark.parametrize(
    ("rule", "opening"),
    [
        ("money-first", "Thank you for your letter. You do not need to do anything."),
        ("to-do", "We received your $249.00."),
        ("to-do", "..."),
        ("banned", "We apologise: your $249.00 is here. You need not do anything."),
        ("banned", "We received your $249.00! You need not do anything."),
        ("banned", "Your $249.00 is here. It was a technical fault, so do nothing."),
        ("banned", "We have your $249.00. You should have waited, so do nothing."),
        ("promise", "We have your $249.00. You hear from me soon."),
        ("promise", "We have your $249.00. You hear from me by Friday."),
        ("promise", "We have your $249.00. You are in by 17:40 UTC."),
        ("promise", "We have your $249.00. It is back in two days."),
        ("promise", "We have your $249.00. You hear from me in half an hour."),
        ("promise", "We have your $249.00. You hear from me in two working days."),
        ("promise", "We have your $249.00. I'll look at your bank's line today."),
        ("promise", "We have your $249.00. You hear from me by 23 Nov 2026."),
        ("once", "There was only one payment of $249.00. You need do nothing."),
        ("twice", "We charged you twice: $249.00 each. You need do nothing."),
        ("not-charged", "We did not charge you $249.00. You need do nothing."),
        ("not-charged", "No money left your account for $249.00. Do nothing."),
        ("time", "We have your $249.00. You hear from me by 15:15 UTC."),
        ("time", "We have your $249.00. You hear from me on 5 Jan."),
        ("amount", "We have your $249.00. You get $25.00 of it."),
        ("returned", "We refunded your $249.00. You need not do anything."),
        ("not-charged", "Your $249.00: you were not charged. Do nothing."),
        ("not-charged", "No money was taken of your $249.00. Do nothing."),
        ("pay-again", "We have your $249.00. Please pay again with another card."),
        ("taken", "Your $249.00 is pending. You need not do anything."),
        ("card", "We have your $249.00. Send me a photo of your card."),
        ("hole", "We have your $249.00. You can open [link]."),
        ("hole", "We have your $249.00. You can ask {name}."),
        ("link", "We have your $249.00. Look at https://shop.acme.test/c/1 please."),
        ("sorry", "I am sorry about your $249.00. I am sorry, and you do nothing."),
        (
            "long-sentence",
            "We have your $249.00. You do not need to do anything at all about any of "
            "it now or on some other day of this or any other year.",
        ),
        (
            "ease",
            "Notwithstanding aforementioned circumstances, confirmation of $249.00 "
            "exists. Acknowledgement requires administrative consideration.",
        ),
        ("length", "We have your $249.00. " + "You need not do a thing. " * 30),
    ],
)
def test_what_a_person_types_is_read_before_it_leaves(rule: str, opening: str) -> None:
    """Tired hands at night cannot promise, claim or ask what they should not."""
    bought = replace(IN, payments_shown=None)
    facts = with_purchase(bought, next_message_at=NEXT)

    assert rule in _typed(Situation.WENT_THROUGH, opening, facts)


@pytest.mark.parametrize(
    "opening",
    [
        "We have your $249, and you were not charged twice. You need do nothing.",
        "We took your $249.00 on 23 Nov, at 14:32 UTC. I'll write to you by 16:00 UTC.",
        "Your $249.00 is here. I'll write to you by 24 Nov 2026, 16:00 UTC.",
        "I opened your access on Monday at 17:40 UTC for your $249.00. Just go in.",
        "Your $249.00 is safe, and your plan runs until 23 Nov 2027. Do nothing.",
        "Your $249.00 came once. Please never send me a picture of your card.",
    ],
)
def test_what_a_person_types_well_passes(opening: str) -> None:
    """The checks are for slips; a plain answer with facts of the case goes out."""
    facts = replace(FACTS, next_message_at=NEXT)

    assert _typed(Situation.WENT_THROUGH, opening, facts) == set()


def test_the_second_charge_may_be_named_when_it_is_proven() -> None:
    """With both charges shown, "we charged you twice" is the truth."""
    opening = "Yes, we charged you twice: the second $249.00 went back. Do nothing."

    assert (
        _typed(Situation.PAID_TWICE, opening, replace(FACTS, refunds=(SECOND,)))
        == set()
    )


@given(opening=st.text(), name=st.none() | st.text())
def test_whatever_is_typed_is_answered_or_sent(opening: str, name: str | None) -> None:
    """No text breaks the reading; what passes is a mail with plain headers."""
    facts = replace(FACTS, customer_name=name)
    request = reply_to(
        Situation.WENT_THROUGH,
        facts,
        opening=f"Your $249.00 is here. You need do nothing. {opening}",
    )
    if check_reply(request):
        with pytest.raises(ReplyRefused):
            write_reply(request)
        return
    message = write_reply(request)
    assert message.as_bytes().partition(b"\n\n")[0].isascii()


def test_a_strange_name_keeps_no_letter_here() -> None:
    """What others chose, a long name or a shouted one, is nobody's fault here."""
    company = replace(
        COMPANY,
        company_name="Technical Systems & Maintenance Holding International AG",
        statement_descriptor="STRIPE TECHNICAL SYSTEM",
        support_hours="Monday to Friday, from nine in the morning to five, and more!",
    )
    for specimen in replies():
        request = replace(specimen.request, company=company)
        assert check_reply(request) == ()


def test_money_and_access_are_claimed_with_proof_only() -> None:
    """While nothing is known, neither "received" nor "open" passes."""
    facts = with_purchase(UNKNOWN, next_message_at=NEXT)
    situation = Situation.STILL_UNKNOWN

    assert "received" in _typed(situation, "We received your $249.00. Wait.", facts)
    assert "received" in _typed(
        situation, "Your payment of $249.00: your payment went through. Wait.", facts
    )
    assert "open" in _typed(situation, "For your $249.00 you're in. Wait.", facts)
    assert "pay-again" in _typed(
        situation, "I don't know about your $249.00. Please try again.", facts
    )


def test_what_a_person_types_below_the_opening_is_read_too() -> None:
    """The cause and the lines of what happened are typed by hurried people as well."""
    broke = replace(FACTS, what_broke="A webhook timed out. It is repaired tomorrow.")
    rules = _rules(reply_to(Situation.BLANK_PAGE, broke))

    assert {"banned", "promise"} <= rules


def test_the_time_that_is_kept_may_be_promised() -> None:
    """With a timer behind it, the same words pass."""
    facts = replace(FACTS, next_message_at=NEXT)
    opening = "We have your $249.00. I write to you by 16:00 UTC, so do nothing."

    assert _typed(Situation.WENT_THROUGH, opening, facts) == set()


def test_the_private_letter_stays_private_whatever_is_typed() -> None:
    """Amount, card and reference are held back even when a person typed them."""
    for said in ("$249.00", "the card 4242", "ORD-7K2M-9QXD"):
        opening = f"I can speak of {said} only with the payer. Reply with your page."
        assert "private" in _typed(Situation.SOMEBODY_ELSE, opening, FACTS)


@pytest.mark.parametrize("bad", [bad for bad, _ in PAIRS])
def test_the_bad_examples_are_refused_and_the_good_ones_are_not(bad: str) -> None:
    """What stands beside the editor under "not so" does not get through it."""
    good = dict(PAIRS)[bad]

    assert any(
        re.search(pattern, bad, re.IGNORECASE) for pattern, _ in INSTEAD
    ) or _typed(Situation.WENT_THROUGH, f"Your $249.00 is here. {bad}", FACTS)
    assert not any(re.search(pattern, good, re.IGNORECASE) for pattern, _ in INSTEAD)


# Which letter.


@pytest.mark.parametrize(
    ("first", "facts"),
    [
        (Situation.BLANK_PAGE, FACTS),
        (Situation.WENT_THROUGH, with_purchase(replace(IN, was_interrupted=False))),
        (Situation.WENT_THROUGH, with_purchase(WAITING)),
        (Situation.NO_MAIL, with_purchase(replace(IN, receipt_came_back=True))),
        (Situation.PAID_TWICE, replace(FACTS, refunds=(SECOND,))),
        (
            Situation.PAID_TWICE,
            with_purchase(replace(IN, money=MoneyState.DUPLICATE)),
        ),
        (Situation.STILL_UNKNOWN, with_purchase(UNKNOWN)),
        (
            Situation.STILL_UNKNOWN,
            with_purchase(replace(UNKNOWN, money=MoneyState.ACTION_NEEDED)),
        ),
        (Situation.NOT_CHARGED, with_purchase(NOT_CHARGED)),
        (
            Situation.DECLINED,
            with_purchase(replace(NOT_CHARGED, reason=NotChargedReason.DECLINED)),
        ),
        (
            Situation.MONEY_BACK,
            with_purchase(replace(IN, money=MoneyState.REFUNDED), refunds=(RETURNED,)),
        ),
        (Situation.SLOW_ANSWER, replace(FACTS, wrote_at=NOW - timedelta(days=3))),
        (Situation.DISPUTE, _usual(Situation.DISPUTE).facts),
        (Situation.AFTER_THE_FIX, _usual(Situation.AFTER_THE_FIX).facts),
        (Situation.INVOICE, _usual(Situation.INVOICE).facts),
        (Situation.COMPENSATION, _usual(Situation.COMPENSATION).facts),
        (Situation.WRONG_ADDRESS, _usual(Situation.WRONG_ADDRESS).facts),
    ],
)
def test_the_likeliest_letter_comes_first(first: Situation, facts: ReplyFacts) -> None:
    """Who opens a case finds the letter that it asks for on top."""
    purchase = facts.purchase
    assert purchase is not None
    # A dispute of last week was asked about last week too.
    suggested = [one for one in suggest(facts) if one is not Situation.SLOW_ANSWER]

    assert first in (suggest(facts)[0], suggested[0])


PART = replace(
    RETURNED, amount=Money(amount_minor=10000, currency="usd"), ends_access=False
)
REST = replace(
    RETURNED,
    amount=Money(amount_minor=14900, currency="usd"),
    returned_at=RETURNED.returned_at + timedelta(minutes=5),
    reference="74627885231234567890124",
)


def test_money_back_in_parts_is_told_as_a_whole() -> None:
    """Two parts that make the price are the price, each with the bank's number."""
    gone = replace(IN, money=MoneyState.REFUNDED, access=AccessState.ENDED)
    facts = with_purchase(gone, refunds=(PART, REST))

    letter = letter_of(reply_to(Situation.MONEY_BACK, facts))

    said = " ".join(letter.prose)
    assert "Done: we returned your $249.00, the last part" in said
    assert "by the refund numbers below" in said
    shown = [value for label, value in letter.rows if label == "Refund number"]
    assert shown == [PART.reference, REST.reference]


def test_a_later_refund_leaves_the_other_letter_true() -> None:
    """A part that went back hides no second charge, and a second charge no part."""
    part_last = replace(FACTS, refunds=(SECOND, PART))
    second_last = replace(FACTS, refunds=(PART, replace(SECOND, returned_at=NOW)))

    for facts in (part_last, second_last):
        twice, back = (
            " ".join(letter_of(reply_to(situation, facts)).prose)
            for situation in (Situation.PAID_TWICE, Situation.MONEY_BACK)
        )
        assert "we charged you twice, and the second $249.00 went back" in twice
        assert "Done: we returned $100.00 of your $249.00" in back
    assert suggest(part_last)[:2] == (Situation.MONEY_BACK, Situation.PAID_TWICE)
    assert suggest(second_last)[:2] == (Situation.PAID_TWICE, Situation.MONEY_BACK)


@pytest.mark.parametrize("access", AccessState)
@pytest.mark.parametrize("money", MoneyState)
def test_there_is_a_letter_for_every_pair_of_states(
    money: MoneyState, access: AccessState
) -> None:
    """Nobody stands before a case without a letter, and none is offered twice."""
    offered = suggest(with_purchase(replace(IN, money=money, access=access)))

    assert offered
    assert len(set(offered)) == len(offered)
    assert Situation.SOMEBODY_ELSE in offered
    for situation in offered:
        assert money in FITS[situation]


# The mail.


def test_a_reply_is_no_automatic_mail() -> None:
    """A person's letter carries no header that makes programs look away."""
    message = write_reply(_usual(Situation.WENT_THROUGH))

    assert message["Auto-Submitted"] is None
    assert message["X-Auto-Response-Suppress"] is None
    assert message["List-Unsubscribe"] is None
    assert message["From"] == COMPANY.mail_from
    assert message["To"] == "mara@example.com"
    assert message["Date"].datetime == NOW


def test_a_reply_stands_in_the_thread_of_the_incident() -> None:
    """It follows our own mails, one of which the customer answered."""
    request = _usual(Situation.MANY_PEOPLE)
    ours = ("<received.ord-7k2m-9qxd@acme.test>", "<receipt.ord-7k2m-9qxd@acme.test>")
    message = write_reply(replace(request, earlier=ours))

    assert message["Subject"] == "What broke on our side, and your $249.00"
    assert message["In-Reply-To"] == ours[-1]
    assert message["References"].split() == [*ours]


def test_the_message_id_is_that_of_the_reply() -> None:
    """Every copy is the same mail, and an answer to it finds its order."""
    request = _usual(Situation.WENT_THROUGH)
    other = replace(request, reply_id=UUID(int=99))
    first, again = write_reply(request), write_reply(request)
    name = mail_of(first["Message-ID"])

    assert first.as_bytes() == again.as_bytes()
    assert (name.reference, name.domain) == ("ORD-7K2M-9QXD", "acme.test")
    assert name.kind == f"reply-{request.reply_id.hex}"
    assert message_id_of(other) != message_id_of(request)


def test_what_was_sent_is_kept_word_for_word() -> None:
    """The record holds the text that the customer got, and its digest."""
    request = _usual(Situation.BLANK_PAGE)
    message = write_reply(request)
    text, digest = kept_of(request, message)

    assert text == text_of(message)
    assert BROKE in text
    assert digest == hashlib.sha256(text.encode()).digest()


@EVERY
def test_headers_are_plain_ascii(specimen: ReplySpecimen) -> None:
    """What stands before the mail on the wire reads back the same."""
    message = write_reply(specimen.request)
    raw = message.as_bytes(policy=policy.SMTP)
    again = message_from_bytes(raw, policy=policy.default)

    assert raw.partition(b"\r\n\r\n")[0].isascii()
    assert again["Subject"] == message["Subject"]
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", " ", "\x85"])
def test_no_name_adds_a_header(end: str) -> None:
    """What a stranger wrote stays on its line, or is left out."""
    poison = f"x{end}Bcc: thief@example.net{end}{end}<b>Hi</b>"
    request = _usual(Situation.WENT_THROUGH)
    message = write_reply(
        replace(
            request,
            facts=replace(request.facts, customer_name=poison),
            author=poison,
        )
    )
    again = message_from_bytes(
        message.as_bytes(policy=policy.SMTP), policy=policy.default
    )

    assert again["Bcc"] is None
    assert again["In-Reply-To"] == "<received.ord-7k2m-9qxd@acme.test>"
    assert "b" not in seen(message).tags
    assert not [
        line for line in text_of(message).splitlines() if line.startswith("Bcc:")
    ]


@EVERY
def test_long_names_and_other_currencies_can_be_written(
    specimen: ReplySpecimen,
) -> None:
    """Whatever a company is called and sells for, the letter can be built and read."""
    request = specimen.request
    bought = request.facts.purchase
    assert bought is not None
    yen = Money(amount_minor=36000, currency="jpy")
    facts = replace(
        request.facts,
        purchase=_renamed(bought, yen),
        refunds=tuple(replace(one, amount=yen) for one in request.facts.refunds),
        timeline=(),
    )
    company = replace(
        COMPANY,
        company_name="Bartholomew & Söhne Widgets GmbH",
        statement_descriptor="BARTHOLOMEW WIDGETS",
    )
    if request.situation is Situation.ANGRY:
        facts = replace(facts, timeline=request.facts.timeline[:1])
    message = write_reply(reply_to(request.situation, facts, company=company))

    assert len(message["Subject"]) <= 50
    if request.situation is not Situation.SOMEBODY_ELSE:
        assert "36,000 JPY" in text_of(message)


def test_a_moment_is_written_as_a_person_says_it() -> None:
    """This week's days have names; a time of today stands alone; others are dated."""
    cases = {
        NOW: "at 14:32 UTC" if NOW.date() == CHARGED.date() else "on Monday at 14:32",
        datetime(2026, 11, 23, 20, 0, tzinfo=UTC): "$249.00 at 14:32 UTC",
        datetime(2026, 12, 24, 9, 0, tzinfo=UTC): "on 23 Nov 2026, 14:32 UTC",
    }
    for now, said in cases.items():
        request = reply_to(Situation.WENT_THROUGH, replace(FACTS, now=now))
        assert said in request.opening


def test_the_docs_show_every_letter_as_it_is() -> None:
    """Whoever changes a letter runs `python -m gallery.replies`."""
    assert DOCS_PAGE.read_text() == replies_page(replies())


def _renamed(bought: Purchase, price: Money) -> Purchase:
    return replace(
        bought,
        price=price,
        plan_name="Bartholomew & Söhne team plan with everything, for five people",
        card_brand=None,
        card_last4=None,
    )


def _promises(prose: tuple[str, ...]) -> bool:
    return "with or without news" in " ".join(prose)
