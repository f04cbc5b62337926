"""What a case page says: the differences, and the one repair with its limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from domain.case_view import (
    CaseFacts,
    ToldMail,
    differences,
    propose,
    repair_id_of,
    status_in_words,
)
from domain.emails import EmailKind
from domain.money import Money
from domain.payments import PaymentIntent, PaymentIntentStatus
from domain.states import MONEY_OF_STAGE, AccessState, EmailState, MoneyState, Stage

NOW = datetime(2026, 11, 23, 14, 32, tzinfo=UTC)
PRICE = Money(amount_minor=24900, currency="usd")


def intent(
    status: PaymentIntentStatus = PaymentIntentStatus.SUCCEEDED, price: Money = PRICE
) -> PaymentIntent:
    """What the processor showed."""
    return PaymentIntent(payment_intent_id="pi_1", status=status, price=price)


def facts(**changes: Any) -> CaseFacts:
    """A customer who paid, is in and was told so."""
    values: dict[str, Any] = {
        "checkout_id": UUID(int=1),
        "stage": Stage.CHARGED,
        "money": MoneyState.CHARGED,
        "access": AccessState.ACTIVE,
        "buyer_attempt": 1,
        "price": PRICE,
        "customer_email": "m•••@example.com",
        "now": NOW,
        "charged_at": NOW - timedelta(minutes=30),
        "intent": intent(),
        "refunded_there": 0,
        "mails": (told(),),
    }
    return CaseFacts(**values | changes)


def told(
    kind: EmailKind = EmailKind.RECEIPT, state: EmailState = EmailState.SENT
) -> ToldMail:
    """A mail of ten minutes ago."""
    return ToldMail(kind=kind, state=state, at=NOW - timedelta(minutes=10))


def test_where_all_agree_nothing_is_said_or_proposed() -> None:
    """A case that is well has no difference and no button."""
    assert differences(facts()) == ()
    assert propose(facts()) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"stage": Stage.OPEN, "money": MoneyState.NOT_CHARGED},
            "The processor took the money, and our row does not know it.",
        ),
        (
            {"intent": intent(PaymentIntentStatus.CANCELED)},
            "Our row says charged, and the processor says: closed: it can never be "
            "charged.",
        ),
        (
            {"intent": intent(price=Money(amount_minor=100, currency="usd"))},
            "The processor has $1.00, our row $249.00.",
        ),
        (
            {"refunded_there": 5000},
            "The processor returned $50.00, our rows say $0.00.",
        ),
        ({"access": AccessState.PENDING}, "The customer paid and cannot get in."),
        ({"mails": ()}, "The customer paid and has heard nothing from us."),
        (
            {"mails": (told(state=EmailState.FAILED),)},
            "Our last mail did not arrive.",
        ),
        (
            {"promise_due_at": NOW - timedelta(minutes=1)},
            "The word that we promised is overdue.",
        ),
    ],
)
def test_each_difference_is_a_sentence(changes: dict[str, Any], words: str) -> None:
    """Text says it, not a colour."""
    assert words in differences(facts(**changes))


def test_a_processor_that_was_not_asked_is_not_quoted() -> None:
    """Without its answer nothing is claimed of it."""
    unasked = facts(
        intent=None, refunded_there=None, stage=Stage.OPEN, money=MoneyState.NOT_CHARGED
    )

    assert [one for one in differences(unasked) if "rocessor" in one] == []


def test_two_minutes_after_the_charge_silence_is_no_difference() -> None:
    """The happy path sends its first word within that."""
    fresh = facts(mails=(), charged_at=NOW - timedelta(seconds=90))

    assert "heard nothing" not in " ".join(differences(fresh))


def test_every_repair_says_what_it_will_and_will_not_do() -> None:
    """Whatever stands there: an effect on the button, limits beside it, no charge."""
    for stage in Stage:
        for money, access in product(MONEY_OF_STAGE[stage], AccessState):
            proposal = propose(facts(stage=stage, money=money, access=access))
            if proposal is None:
                continue
            assert proposal.button[0].isupper()
            assert proposal.will
            assert proposal.will_not
            promised = " ".join((proposal.button, *proposal.will)).casefold()
            assert "charge the card" not in promised


def test_nothing_is_proposed_where_nobody_pressed_pay() -> None:
    """A look for a payment that was never asked for would only cost time."""
    untouched = facts(
        stage=Stage.OPEN,
        money=MoneyState.NOT_CHARGED,
        access=AccessState.NONE,
        buyer_attempt=0,
    )

    assert propose(untouched) is None


def test_a_repair_is_the_same_until_the_case_moves() -> None:
    """Two people who see the same case ask for the same repair; afterwards not."""
    seen = facts(access=AccessState.PENDING)
    moved = [
        facts(access=AccessState.ACTIVE),
        facts(access=AccessState.PENDING, repairs_done=1),
        facts(access=AccessState.PENDING, buyer_attempt=2),
        facts(access=AccessState.PENDING, is_receipt_owed=True),
        facts(access=AccessState.PENDING, checkout_id=UUID(int=2)),
    ]

    later = facts(access=AccessState.PENDING, now=NOW + timedelta(hours=3), intent=None)
    assert repair_id_of(seen) == repair_id_of(later)
    assert repair_id_of(seen) not in {repair_id_of(one) for one in moved}


def test_every_status_has_words() -> None:
    """Nobody has to know the processor's own."""
    for status in PaymentIntentStatus:
        assert "_" not in status_in_words(status)
