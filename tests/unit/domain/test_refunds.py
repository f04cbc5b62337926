"""The rules of money that goes back, for every sum and every state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest

from domain.money import Money
from domain.refunds import (
    KEY_FOR,
    QUIET_FOR,
    STATE_OF_STATUS,
    Aftermath,
    RefundRow,
    RefundStatus,
    RefundStepKind,
    due_step,
    holds_access,
    look_after,
    money_after,
    needs_person,
    next_submission,
    runs_out,
)
from domain.states import AccessState, MoneyState, RefundPurpose, RefundState

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
PRICE = Money(amount_minor=24900, currency="usd")


def row(
    state: RefundState, amount_minor: int = 24900, number: int = 1, **changes: object
) -> RefundRow:
    """Return a refund of the charge that the order stands for."""
    plain = RefundRow(
        refund_id=UUID(int=number),
        payment_intent_id="pi_1",
        amount=Money(amount_minor=amount_minor, currency="usd"),
        purpose=RefundPurpose.ASKED,
        state=state,
        ends_access=True,
        requested_at=NOW + timedelta(seconds=number),
        not_before=NOW,
        next_look_at=NOW,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def after(*refunds: RefundRow, **changes: object) -> Aftermath:
    """Return what came after a charge."""
    plain = Aftermath(
        payment_intent_id="pi_1",
        price=PRICE,
        access=AccessState.ACTIVE,
        refunds=refunds,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "money"),
    [
        (RefundState.REQUESTED, MoneyState.CHARGED),
        (RefundState.SUBMITTING, MoneyState.CHARGED),
        (RefundState.PENDING, MoneyState.REFUNDING),
        (RefundState.SUCCEEDED, MoneyState.REFUNDED),
        (RefundState.FAILED, MoneyState.CHARGED),
        (RefundState.CANCELED, MoneyState.CHARGED),
    ],
)
def test_the_whole_price_moves_the_money_state(
    state: RefundState, money: MoneyState
) -> None:
    """Money is on its way once the processor took it on, and back once it says so."""
    assert money_after(after(row(state))) is money


def test_money_is_never_called_returned_beyond_what_was() -> None:
    """Over all pairs of parts: returned needs the whole, and every part succeeded."""
    for first, second, amount in product(RefundState, RefundState, (9900, 15000)):
        both = after(row(first, amount, 1), row(second, 24900 - amount, 2))
        is_back = {first, second} == {RefundState.SUCCEEDED}

        assert (money_after(both) is MoneyState.REFUNDED) == is_back


def test_a_second_charge_goes_before_all_else() -> None:
    """While we owe a second charge, nothing else is the customer's first sentence."""
    twice = after(row(RefundState.PENDING), unreturned=(("pi_2", 24900),))
    returned = after(unreturned=(("pi_2", 0),))

    assert money_after(twice) is MoneyState.DUPLICATE
    assert money_after(returned) is MoneyState.CHARGED


def test_the_newest_refund_decides_about_access() -> None:
    """The one that makes the sum whole says whether access goes with it."""
    ends, keeps = row(RefundState.PENDING, 9900, 1), row(RefundState.PENDING, 15000, 2)

    assert holds_access(after(ends, keeps))
    assert not holds_access(after(ends, replace(keeps, ends_access=False)))
    assert not holds_access(after(ends))


def test_an_unknown_refund_is_looked_for_before_it_is_sent() -> None:
    """Nothing is ever sent without a look that showed it missing."""
    due = row(RefundState.REQUESTED)
    begun = row(RefundState.SUBMITTING)
    missing = row(RefundState.SUBMITTING, looked_at=NOW)

    assert due_step(after(due), NOW) == (RefundStepKind.LOOK, due)
    assert due_step(after(begun), NOW) == (RefundStepKind.LOOK, begun)
    assert due_step(after(missing), NOW) == (RefundStepKind.SUBMIT, missing)


def test_nothing_due_says_until_when() -> None:
    """The earliest instant at which something is due ends the wait."""
    soon = row(RefundState.REQUESTED, 100, 1, not_before=NOW + timedelta(minutes=10))
    later = row(RefundState.PENDING, 100, 2, next_look_at=NOW + timedelta(hours=6))

    assert due_step(after(soon, later), NOW) == (
        RefundStepKind.WAIT,
        NOW + timedelta(minutes=10),
    )
    assert due_step(after(), NOW) == (RefundStepKind.NOTHING, None)


def test_access_ends_once() -> None:
    """Access that has ended is not ended again."""
    back = row(RefundState.SUCCEEDED)

    assert due_step(after(back), NOW)[0] is RefundStepKind.END_ACCESS
    ended = after(back, access=AccessState.ENDED)
    assert due_step(ended, NOW)[0] is RefundStepKind.NOTHING


def test_access_ends_with_its_time() -> None:
    """When the bought time is over access ends, unless it has ended before."""
    waiting = row(RefundState.REQUESTED, not_before=NOW + timedelta(minutes=10))

    assert due_step(after(is_over=True), NOW)[0] is RefundStepKind.END_ACCESS
    assert due_step(after(waiting, is_over=True), NOW)[0] is RefundStepKind.END_ACCESS
    ended = after(waiting, is_over=True, access=AccessState.ENDED)
    assert due_step(ended, NOW)[0] is RefundStepKind.WAIT


def test_money_that_is_due_goes_before_the_end_of_access() -> None:
    """An end that cannot be told yet must never keep money from going back."""
    for state in (RefundState.REQUESTED, RefundState.SUBMITTING, RefundState.PENDING):
        due = row(state)

        assert due_step(after(due, is_over=True), NOW) == (RefundStepKind.LOOK, due)


@pytest.mark.parametrize("state", RefundState)
def test_access_runs_out_unless_it_went_with_the_money(state: RefundState) -> None:
    """Only a whole price that has gone back makes an end something else than time."""
    whole, part = after(row(state), is_over=True), after(row(state, 100), is_over=True)
    kept = after(row(state, ends_access=False), is_over=True)

    assert runs_out(whole) is (state is not RefundState.SUCCEEDED)
    assert runs_out(part)
    assert runs_out(kept)
    assert not runs_out(after(row(state)))


def test_a_new_key_needs_an_hour_and_quiet() -> None:
    """Neither a young refund nor one that may still be on its way gets a new key."""
    sent = row(RefundState.SUBMITTING, submitted_at=NOW, posted_at=NOW)
    late = NOW + KEY_FOR

    assert next_submission(sent, NOW + KEY_FOR - timedelta(seconds=1)) == 0
    assert next_submission(sent, late) == 1
    just_sent = replace(sent, posted_at=late - QUIET_FOR / 2)
    assert next_submission(just_sent, late) == 0


def test_no_key_is_used_for_twenty_hours() -> None:
    """Long before the processor may forget a key, another is used."""
    sent = row(RefundState.SUBMITTING, submitted_at=NOW, posted_at=NOW)
    keys = [next_submission(sent, NOW + timedelta(hours=h)) for h in range(48)]

    assert max(keys.count(key) for key in keys) < 20


@pytest.mark.parametrize(
    ("later", "needed"),
    [
        (None, True),
        (row(RefundState.REQUESTED, 5000, 2), False),
        (row(RefundState.SUCCEEDED, 5000, 2, purpose=RefundPurpose.OUTSIDE), True),
        (row(RefundState.SUCCEEDED, 24900, 2, purpose=RefundPurpose.OUTSIDE), False),
    ],
)
def test_a_failed_refund_needs_a_person_until_it_is_mended(
    later: RefundRow | None, needed: bool
) -> None:
    """Only a later request, or nothing left to give, takes it off a person's list."""
    rows = [row(RefundState.FAILED, 5000, 1), *([later] if later else [])]

    assert needs_person(after(*rows)) is needed


def test_every_word_of_the_processor_has_a_state() -> None:
    """No status is left to chance, and every state's ladder has a first rung."""
    assert set(STATE_OF_STATUS) == set(RefundStatus)
    for state in (RefundState.SUBMITTING, RefundState.PENDING):
        waits = [look_after(state, looks) for looks in range(20)]
        assert waits == sorted(waits)
        assert waits[0] > timedelta()
