"""What people look at first, and in which words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from domain.causes import Cause
from domain.changes import TELL_STEP
from domain.money import Money
from domain.reconciliation import DiscrepancyKind, cause_of
from domain.states import AccessState, CaseState, MoneyState
from domain.triage import (
    Lane,
    Standing,
    Urgency,
    age_in_words,
    cause_in_words,
    lane_of,
    order_of,
    trouble_in_words,
    urgency,
)

NOW = datetime(2026, 11, 23, 14, 32, tzinfo=UTC)


def standing(**changes: Any) -> Standing:
    """Somebody who paid and has no access."""
    values: dict[str, Any] = {
        "cause": "ApplicationAway",
        "step": "open access in the application",
        "state": CaseState.OPEN,
        "money": MoneyState.CHARGED,
        "access": AccessState.PENDING,
        "amount": Money(amount_minor=24900, currency="usd"),
        "since": NOW - timedelta(minutes=12),
        "now": NOW,
    }
    return Standing(**values | changes)


OPEN = {"access": AccessState.ACTIVE}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"money": MoneyState.DUPLICATE}, Urgency.CHARGED_TWICE),
        ({"money": None, "cause": "SecondCharge"}, Urgency.CHARGED_TWICE),
        ({"money": MoneyState.UNKNOWN}, Urgency.UNKNOWN),
        ({}, Urgency.PAID_WITHOUT_ACCESS),
        ({"access": AccessState.NONE}, Urgency.PAID_WITHOUT_ACCESS),
        (
            {"money": None, "access": None, "cause": "ChargeWithoutCheckout"},
            Urgency.PAID_WITHOUT_ACCESS,
        ),
        (OPEN | {"cause": "MailBounced"}, Urgency.WITHOUT_WORD),
        (OPEN | {"cause": Cause.CUSTOMER_WROTE}, Urgency.WITHOUT_WORD),
        (OPEN | {"cause": "RefundFailed"}, Urgency.REFUND),
        (OPEN | {"cause": "AmountMismatch"}, Urgency.BOOKS),
        (OPEN | {"cause": "SomethingNew"}, Urgency.OTHER),
    ],
)
def test_harm_decides(changes: dict[str, Any], expected: Urgency) -> None:
    """Charged twice, not knowing, paid without access; bookkeeping last."""
    assert urgency(standing(**changes)) is expected


def test_inside_a_class_who_wrote_comes_first() -> None:
    """Then the word promised soonest, then the oldest, then the dearest."""
    dear = Money(amount_minor=99900, currency="usd")
    due = NOW + timedelta(minutes=5)
    in_order = [
        standing(money=MoneyState.UNKNOWN),
        standing(cause=Cause.CUSTOMER_WROTE),
        standing(promise_due_at=due),
        standing(promise_due_at=due + timedelta(minutes=1)),
        standing(since=NOW - timedelta(hours=5)),
        standing(amount=dear),
        standing(),
    ]

    assert sorted(reversed(in_order), key=order_of) == in_order


@pytest.mark.parametrize(
    ("changes", "lane"),
    [
        ({}, Lane.NEEDS_YOU),
        ({"state": CaseState.IN_PROGRESS}, Lane.NEEDS_YOU),
        ({"state": CaseState.RESOLVED}, Lane.DONE),
        ({"state": None, "cause": None}, Lane.HEALING),
        ({"held_until": NOW + timedelta(hours=1), "held_at": NOW}, Lane.HELD),
        ({"held_until": NOW, "held_at": NOW - timedelta(hours=1)}, Lane.NEEDS_YOU),
        (
            {
                "held_until": NOW + timedelta(hours=1),
                "held_at": NOW - timedelta(hours=1),
                "heard_at": NOW,
            },
            Lane.NEEDS_YOU,
        ),
        (
            {
                "held_until": NOW + timedelta(hours=1),
                "held_at": NOW,
                "heard_at": NOW - timedelta(hours=1),
            },
            Lane.HELD,
        ),
    ],
)
def test_each_stands_in_one_list(changes: dict[str, Any], lane: Lane) -> None:
    """A hold ends by its time, and by a customer who writes after it."""
    assert lane_of(standing(**changes)) is lane


def test_every_pair_of_states_has_words() -> None:
    """No line of the list is empty, and none claims access that is not open."""
    for money, access in product([None, *MoneyState], [None, *AccessState]):
        words = trouble_in_words(standing(money=money, access=access, cause=None))
        assert words
        if access is not AccessState.ACTIVE:
            assert "access open" not in words


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (Cause.CUSTOMER_WROTE, "waits for an answer"),
        ("RefundFailed", "has not got the refund"),
        ("MailBounced", "our mail does not reach them"),
    ],
)
def test_with_access_open_the_cause_says_what_is_missing(
    cause: str, words: str
) -> None:
    """“Paid, access open” would say that all is well."""
    assert trouble_in_words(standing(access=AccessState.ACTIVE, cause=cause)) == words


@pytest.mark.parametrize("kind", DiscrepancyKind)
def test_every_difference_has_words(kind: DiscrepancyKind) -> None:
    """What the reconciliation finds is never told by its code."""
    assert kind.value not in cause_in_words(cause_of(kind), "")
    assert cause_of(kind) not in cause_in_words(cause_of(kind), "")


def test_a_cause_that_nobody_described_is_told_by_its_step() -> None:
    """New kinds of trouble are never hidden behind a word of ours."""
    assert cause_in_words("BrandNew", "send the receipt") == (
        "it does not get on at: send the receipt (BrandNew)"
    )
    assert cause_in_words(None, "") == "the machine is at it"
    assert cause_in_words("ApplicationAway", TELL_STEP) == (
        "the application does not know yet what was changed"
    )


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=12), "12 min"),
        (timedelta(minutes=89), "89 min"),
        (timedelta(minutes=90), "1 h"),
        (timedelta(hours=47), "47 h"),
        (timedelta(hours=48), "2 days"),
    ],
)
def test_ages_read_at_a_glance(age: timedelta, words: str) -> None:
    """One number with one unit."""
    assert age_in_words(age) == words
