"""What the customer is told: true for every pair of states, in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from domain.customer_view import (
    CustomerFacts,
    CustomerView,
    Page,
    customer_view,
    may_have_seen_an_error,
)
from domain.deadlines import (
    BANK_CHECK_FOR,
    CONFIRMING_FOR,
    SMOOTH_WITHIN,
    UNKNOWN_FOR,
    in_words,
)
from domain.money import Money
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


def _every_view() -> Iterator[tuple[CustomerFacts, CustomerView]]:
    """All pairs of states with all that can vary beside them."""
    for money, access, reason, decline, asked, until in product(
        MoneyState,
        AccessState,
        [None, *NotChargedReason],
        [None, *DeclineClass],
        [None, NOW, NOW - timedelta(seconds=59), NOW - timedelta(hours=19)],
        [None, NOW + timedelta(days=365)],
    ):
        facts = replace(
            PLAIN,
            money=money,
            access=access,
            reason=reason,
            decline=decline,
            pay_requested_at=asked,
            access_until=until,
        )
        yield facts, customer_view(facts)


EVERY_VIEW = tuple(_every_view())


def _words(view: CustomerView) -> str:
    return " ".join((view.title, view.headline, *view.sentences, view.pay_label or ""))


def test_there_is_a_page_for_every_pair_of_states() -> None:
    """The function is total, and no page of the list is out of reach."""
    paused = customer_view(replace(PLAIN, paused_at=NOW))
    assert {view.page for _, view in EVERY_VIEW} | {paused.page} == set(Page)
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
        if facts.money is not MoneyState.NOT_CHARGED or facts.reason is None:
            assert not claim.search(_words(view)), facts


def test_money_that_was_taken_is_never_called_pending_or_failed() -> None:
    """Who paid is told so, and never asked to pay."""
    for facts, view in EVERY_VIEW:
        if facts.money in MONEY_TAKEN:
            assert not re.search(
                r"pending|failed|declined", _words(view), re.IGNORECASE
            ), facts


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


def test_the_page_promises_the_deadline_that_is_kept() -> None:
    """The hours and minutes on the pages are the workflow's own numbers."""
    unknown = replace(
        PLAIN, money=MoneyState.UNKNOWN, pay_requested_at=NOW - timedelta(hours=1)
    )
    bank = replace(PLAIN, money=MoneyState.ACTION_NEEDED)

    assert in_words(UNKNOWN_FOR) in _words(customer_view(unknown))
    assert in_words(BANK_CHECK_FOR) in _words(customer_view(bank))
    assert customer_view(bank).bank_check


def test_pages_that_wait_are_followed_and_others_are_not() -> None:
    """Only a page that may change by itself asks again."""
    settled = {view.page for _, view in EVERY_VIEW if view.is_settled}

    assert settled == {
        Page.CHECKOUT,
        Page.DECLINED,
        Page.NOT_CHARGED,
        Page.SUCCESS,
        Page.ENDED,
        Page.REFUNDED,
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
