"""What the customer is told: true for every pair of states, in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from domain.customer_view import (
    CATALOGUE,
    CustomerFacts,
    CustomerView,
    Page,
    customer_view,
    may_have_seen_an_error,
)
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
    MONEY_TAKEN,
    AccessState,
    DeclineClass,
    MoneyState,
    NotChargedReason,
)

NOW = datetime(2026, 11, 23, 14, 32, tzinfo=UTC)
PLAIN = CustomerFacts(
    money=MoneyState.NOT_CHARGED,
    access=AccessState.NONE,
    price=Money(amount_minor=24900, currency="usd"),
    plan_name="Acme one-year plan",
    now=NOW,
)

#: From the rules for pages: jargon, blame, and words that say nothing.
BANNED = re.compile(
    r"oops|something went wrong|technical difficult|webhook|workflow|order record|"
    r"\b50\d\b|!|unfortunately|inconvenience|stripe|server error|exception",
    re.IGNORECASE,
)


#: What may be known besides, in the ways that change the words.
BESIDE: tuple[dict[str, Any], ...] = (
    {},
    {"charged_at": NOW, "asked_again": True, "email_masked": "m•••@example.com"},
    {
        "charged_at": NOW - timedelta(minutes=4),
        "was_late": True,
        "next_message_at": NOW + timedelta(minutes=18),
        "asked_at": NOW - timedelta(minutes=1),
        "proven_at": NOW - timedelta(minutes=1),
    },
    {
        "charged_at": NOW - timedelta(days=3),
        "returned": Returned(
            amount=PLAIN.price, at=NOW - timedelta(days=1), reference="24011346328"
        ),
        "asked_again": True,
        "next_message_at": NOW + timedelta(days=2),
    },
    {
        "charged_at": NOW,
        "returned": Returned(
            amount=Money(amount_minor=5000, currency="usd"), at=NOW, reference="re_1"
        ),
        "second_returned": Returned(amount=PLAIN.price, at=NOW),
    },
    {"paused_at": NOW - timedelta(hours=12), "email_masked": "m•••@example.com"},
)


def _every_view() -> Iterator[tuple[CustomerFacts, CustomerView]]:
    """All pairs of states with all that can vary beside them."""
    for money, access, reason, decline, asked, until, beside in product(
        MoneyState,
        AccessState,
        [None, *NotChargedReason],
        [None, *DeclineClass],
        [None, NOW, *(NOW - timedelta(hours=hours) for hours in (1 / 61, 19, 21))],
        [None, NOW + timedelta(days=365)],
        BESIDE,
    ):
        facts = replace(
            PLAIN,
            money=money,
            access=access,
            reason=reason,
            decline=decline,
            pay_requested_at=asked,
            access_until=until,
            **beside,
        )
        yield facts, customer_view(facts)


EVERY_VIEW = tuple(_every_view())


def _words(view: CustomerView) -> str:
    return " ".join((view.title, view.headline, *view.sentences, view.pay_label or ""))


def test_there_is_a_page_for_every_pair_of_states() -> None:
    """The function is total, and no page of the list is out of reach."""
    assert {view.page for _, view in EVERY_VIEW} == set(Page)
    assert {view.state for _, view in EVERY_VIEW} == set(CATALOGUE) - {"holding"}
    for _, view in EVERY_VIEW:
        assert view.title
        assert view.headline
        assert view.sentences


def test_only_a_proven_not_charged_offers_to_pay() -> None:
    """No other state has a pay button or says "try again"."""
    for facts, view in EVERY_VIEW:
        if facts.money is not MoneyState.NOT_CHARGED:
            assert view.pay_label is None, facts
            assert "try again" not in _words(view).lower(), facts


def test_only_a_proven_not_charged_says_so() -> None:
    """The sentence "you have not been charged" is never said on a guess."""
    claim = re.compile(
        r"not (been )?charged|no money|nothing was (charged|taken)", re.I
    )
    for facts, view in EVERY_VIEW:
        is_proven = facts.money is MoneyState.NOT_CHARGED and (
            facts.reason is not None or facts.paused_at is not None
        )
        if not is_proven:
            assert not claim.search(_words(view)), facts


def test_money_that_was_taken_is_never_called_pending_or_failed() -> None:
    """Who paid is told so, and never asked to pay."""
    for facts, view in EVERY_VIEW:
        if facts.money in MONEY_TAKEN:
            assert not re.search(
                r"pending|failed|declined", _words(view), re.IGNORECASE
            ), facts


def test_who_lost_the_access_is_not_told_to_keep_it() -> None:
    """A second charge may go back after the plan has ended: nothing is kept then."""
    for facts, view in EVERY_VIEW:
        if facts.access is AccessState.ENDED:
            assert "you keep what you bought" not in _words(view), facts


def test_an_unknown_outcome_asks_not_to_pay_again() -> None:
    """While we do not know, the page says so and asks for patience."""
    for facts, view in EVERY_VIEW:
        if facts.money is MoneyState.UNKNOWN:
            assert re.search(r"do not pay|don't pay", _words(view)), facts


def test_no_page_uses_banned_words() -> None:
    """Every sentence is one that a person would say to a person."""
    for _, view in EVERY_VIEW:
        assert not BANNED.search(_words(view)), view


def test_sentences_are_short() -> None:
    """No sentence has more than twenty words."""
    for _, view in EVERY_VIEW:
        for sentence in re.split(r"(?<=[.?])\s", " ".join(view.sentences)):
            assert len(sentence.split()) <= 20, sentence


def test_a_decline_never_shows_why_the_bank_said_no() -> None:
    """A lost or stolen card reads like any other decline."""
    for decline in (None, *DeclineClass):
        view = customer_view(
            replace(PLAIN, reason=NotChargedReason.DECLINED, decline=decline)
        )
        assert view.page is Page.DECLINED
        assert not re.search(
            r"fraud|stolen|lost|insufficient|funds", _words(view), re.IGNORECASE
        )


@pytest.mark.parametrize("reason", list(NotChargedReason))
def test_a_proof_names_how_we_know(reason: NotChargedReason) -> None:
    """Each way of not being charged has its own words and offers to pay."""
    view = customer_view(replace(PLAIN, reason=reason))

    assert "You have not been charged" in view.headline
    assert view.pay_label is not None
    assert "$249.00" in view.pay_label


def test_the_spinner_becomes_words_after_a_minute() -> None:
    """Up to a minute the page confirms; from then on it says what is not known."""
    facts = replace(PLAIN, money=MoneyState.UNKNOWN, pay_requested_at=NOW)
    before = CONFIRMING_FOR - timedelta(microseconds=1)

    assert customer_view(replace(facts, now=NOW + before)).page is Page.CONFIRMING
    assert customer_view(replace(facts, now=NOW + CONFIRMING_FOR)).page is Page.UNKNOWN


def test_no_time_is_named_before_the_reader_may_leave() -> None:
    """A decline that comes at once is told here: no mail is promised beside it."""
    facts = replace(
        PLAIN,
        money=MoneyState.UNKNOWN,
        pay_requested_at=NOW,
        next_message_at=NOW + timedelta(minutes=5),
    )

    early = customer_view(replace(facts, now=NOW + timedelta(seconds=9)))
    later = customer_view(replace(facts, now=NOW + MAY_LEAVE_AFTER))

    assert early.next_message_at is None
    assert "UTC" not in _words(early)
    assert later.next_message_at == NOW + timedelta(minutes=5)


def test_after_ten_seconds_the_reader_may_leave() -> None:
    """Permission to close the page comes before patience ends, with the address."""
    facts = replace(
        PLAIN,
        money=MoneyState.UNKNOWN,
        pay_requested_at=NOW,
        email_masked="m•••@example.com",
    )
    leave = "You can close this page. We will e-mail m•••@example.com."

    early = customer_view(replace(facts, now=NOW + timedelta(seconds=9)))
    later = customer_view(replace(facts, now=NOW + MAY_LEAVE_AFTER))

    assert leave not in early.sentences
    assert leave in later.sentences
    assert early.headline == later.headline


def test_a_promised_time_is_named_with_its_zone_and_handed_on() -> None:
    """Where a mail is promised, the sentence and the typed value name one time."""
    soon = NOW + timedelta(minutes=18)
    for facts, view in EVERY_VIEW:
        said = "We will write to you by" in _words(view)
        assert said is (view.next_message_at is not None), facts
        if said:
            assert view.next_message_at == facts.next_message_at
    waiting = replace(PLAIN, money=MoneyState.CHARGED, next_message_at=soon)
    words = "We will write to you by 14:50 UTC, with or without news."

    assert words in _words(customer_view(waiting))
    tomorrow = replace(waiting, next_message_at=NOW + timedelta(hours=12))
    assert "by 24 Nov 2026, 02:32 UTC" in _words(customer_view(tomorrow))


def test_a_time_that_has_passed_is_not_promised() -> None:
    """At the minute itself the promise is due, and no longer a promise."""
    facts = replace(PLAIN, money=MoneyState.CHARGED, next_message_at=NOW)

    assert customer_view(facts).next_message_at is None
    assert "We will write to you by" not in _words(customer_view(facts))


@pytest.mark.parametrize("reason", [None, *NotChargedReason])
def test_while_payments_are_paused_nobody_is_offered_to_pay(
    reason: NotChargedReason | None,
) -> None:
    """The page says since when, that nothing was charged, and that we will write."""
    view = customer_view(
        replace(
            PLAIN,
            reason=reason,
            paused_at=NOW.replace(hour=2, minute=10),
            email_masked="m•••@example.com",
        )
    )

    assert view.page is Page.PAUSED
    assert view.headline == (
        "We paused new payments at 02:10 UTC. You have not been charged."
    )
    assert view.pay_label is None
    assert "We will write to m•••@example.com once, when it is open." in view.sentences


def test_a_pause_changes_nothing_for_who_has_asked_to_pay() -> None:
    """Whatever was asked for before the pause is told as it stands."""
    for money in set(MoneyState) - {MoneyState.NOT_CHARGED}:
        plain = replace(PLAIN, money=money, charged_at=NOW)
        assert customer_view(replace(plain, paused_at=NOW)) == customer_view(plain)


def test_no_second_payment_is_claimed_only_where_none_was_made() -> None:
    """After a returned second charge the sentence would be a lie, and is not said."""
    for facts, view in EVERY_VIEW:
        if "No second payment was made" in _words(view):
            assert facts.asked_again
            assert facts.money is MoneyState.CHARGED
            assert facts.returned is None
            assert facts.second_returned is None
    again = replace(
        PLAIN,
        money=MoneyState.CHARGED,
        access=AccessState.ACTIVE,
        charged_at=NOW,
        asked_again=True,
    )
    view = customer_view(again)
    assert view.headline == "You already paid for this. No second payment was made."
    assert view.sentences[0] == "You paid $249.00 at 14:32 UTC."


def test_we_are_sorry_only_for_what_went_wrong() -> None:
    """An apology where all went well would be the first doubt."""
    sorry = {view.state for _, view in EVERY_VIEW if "sorry" in _words(view)}

    assert sorry == {
        "unknown_longer",
        "received_late",
        "success_late",
        "duplicate",
        "duplicate_returned",
    }


def test_a_returned_payment_is_told_with_amount_time_and_reference() -> None:
    """Both charged twice and refunded name what left us, when, and its reference."""
    plain = replace(PLAIN, access=AccessState.ACTIVE, charged_at=NOW)
    back = Returned(
        amount=PLAIN.price, at=NOW.replace(minute=45), reference="ARN 24011346328"
    )
    twice = replace(plain, second_returned=back)
    for facts in (
        replace(twice, money=MoneyState.DUPLICATE),
        replace(twice, money=MoneyState.CHARGED),
        replace(plain, money=MoneyState.REFUNDED, returned=back),
    ):
        words = _words(customer_view(facts))
        assert "$249.00 at 14:45 UTC" in words
        assert "ARN 24011346328" in words
    part = replace(back, amount=Money(amount_minor=5000, currency="usd"))
    charged = replace(plain, money=MoneyState.CHARGED, returned=part)

    words = _words(customer_view(charged))
    both = _words(customer_view(replace(charged, second_returned=back)))

    assert "We returned $50.00 of it to you at 14:45 UTC." in words
    assert "twice" not in words
    assert "We returned $50.00 of it" in both
    assert "We returned the second $249.00 at 14:45 UTC." in both
    assert "reference" not in both


def test_a_part_of_the_first_payment_is_not_the_second_one() -> None:
    """While the second charge is owed, nothing that went back of the first hides it."""
    part = Returned(amount=Money(amount_minor=2000, currency="usd"), at=NOW)
    owed = replace(
        PLAIN, money=MoneyState.DUPLICATE, access=AccessState.ACTIVE, returned=part
    )

    view = customer_view(owed)

    assert view.headline == "You were charged twice. We return the second $249.00."
    assert "$20.00" not in _words(view)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_entry_says_what_is_felt_and_what_proves_the_claim(name: str) -> None:
    """Whoever writes words for a page has to say first whom they answer."""
    entry = CATALOGUE[name]

    assert entry.feeling.endswith((".", "?"))
    assert entry.proof.endswith(".")
    assert (
        entry.is_settled
        or entry.next_message
        or entry.page is Page.BANK_CHECK
        or (name == "holding")
    )


def test_the_page_promises_the_deadline_that_is_kept() -> None:
    """The hours and minutes on the pages are the workflow's own numbers."""
    unknown = replace(
        PLAIN, money=MoneyState.UNKNOWN, pay_requested_at=NOW - timedelta(hours=1)
    )
    bank = replace(PLAIN, money=MoneyState.ACTION_NEEDED)

    assert in_words(UNKNOWN_FOR) in _words(customer_view(unknown))
    assert in_words(BANK_CHECK_FOR) in _words(customer_view(bank))
    assert customer_view(bank).bank_check


def test_no_end_is_named_that_has_passed() -> None:
    """Once the deadline is over, the page says that it is, and not when it would be."""
    late = replace(
        PLAIN,
        money=MoneyState.UNKNOWN,
        pay_requested_at=NOW - timedelta(hours=21),
        asked_at=NOW - timedelta(hours=2),
    )

    view = customer_view(late)

    assert "at the latest" not in _words(view)
    assert "has not let us yet" in _words(view)
    assert "last asked" not in _words(view)
    assert re.search(r"don't pay again", _words(view))


def test_pages_that_wait_are_followed_and_others_are_not() -> None:
    """Only a page that may change by itself asks again."""
    waiting = {view.state for _, view in EVERY_VIEW if not view.is_settled}

    assert waiting == {
        "paused",
        "confirming",
        "confirming_longer",
        "unknown",
        "unknown_longer",
        "bank_check",
        "received",
        "received_late",
        "duplicate",
        "refunding",
    }


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (timedelta(minutes=1), "1 minute"),
        (timedelta(minutes=30), "30 minutes"),
        (timedelta(minutes=60), "1 hour"),
        (timedelta(hours=20), "20 hours"),
        (timedelta(minutes=90), "90 minutes"),
    ],
)
def test_a_deadline_is_written_in_words(duration: timedelta, words: str) -> None:
    """Whole hours as hours, all else as minutes, one as one."""
    assert in_words(duration) == words


def test_an_unknown_outcome_ends_before_the_keys_are_forgotten() -> None:
    """The processor keeps idempotency keys for 24 hours; we are done before."""
    keys_are_kept_for = timedelta(hours=24)

    assert BANK_CHECK_FOR < UNKNOWN_FOR < keys_are_kept_for


@pytest.mark.parametrize(
    ("wait", "was_interrupted", "expected"),
    [
        (timedelta(seconds=1), False, False),
        (SMOOTH_WITHIN, False, False),
        (SMOOTH_WITHIN + timedelta(seconds=1), False, True),
        (timedelta(seconds=1), True, True),
    ],
)
def test_the_receipt_speaks_of_an_error_only_when_one_may_have_been_seen(
    wait: timedelta, was_interrupted: bool, expected: bool
) -> None:
    """A smooth purchase is not worried by a sentence about errors."""
    seen = may_have_seen_an_error(NOW, NOW + wait, was_interrupted=was_interrupted)

    assert seen is expected


@pytest.mark.parametrize(
    ("until", "sentence"),
    [
        (NOW + timedelta(days=30), "Your access has ended with it."),
        (NOW - timedelta(days=30), "Your access has ended."),
        (None, "Your access has ended with it."),
    ],
)
def test_access_ends_with_the_money_only_while_there_was_some_left(
    until: datetime | None, sentence: str
) -> None:
    """Money may go back and access stay until its year is over: both are then true."""
    facts = replace(
        PLAIN,
        money=MoneyState.REFUNDED,
        access=AccessState.ENDED,
        returned=Returned(amount=PLAIN.price, at=NOW),
        access_until=until,
    )

    assert sentence in customer_view(facts).sentences


def test_a_year_that_ran_out_speaks_of_no_refund() -> None:
    """Nothing went back, so no sentence lets anybody look for it on a statement."""
    facts = replace(
        PLAIN,
        money=MoneyState.CHARGED,
        access=AccessState.ENDED,
        charged_at=NOW - timedelta(days=366),
        access_until=NOW - timedelta(days=1),
    )
    view = customer_view(facts)

    assert (view.page, view.headline) == (Page.ENDED, "Your plan has ended.")
    assert not re.search("refund|return|back", " ".join(view.sentences).lower())
