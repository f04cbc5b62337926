"""The rules of what a person changes of a purchase: how much, when, and named once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain.changes import (
    MOST_DAYS,
    WHY,
    ChangeKind,
    change_id_of,
    days_problem,
    why_no_correction,
    why_no_days,
)
from domain.refunds import Aftermath, RefundStepKind, due_step
from domain.replies import (
    MOST_INVOICE_NAME,
    MOST_INVOICE_URL,
    NEWS_FOR,
    AddedDays,
    Invoice,
    Situation,
    invoice_of,
    suggest,
)
from domain.staff import Role
from domain.states import AccessState, RefundState
from tests.specimens.replies import FACTS
from tests.unit.domain.test_refunds import NOW, after, row

CHANGED = after(is_changed=True, access=AccessState.ACTIVE, entitlement_id=UUID(int=1))


@pytest.mark.parametrize(
    ("role", "days", "is_theirs"),
    [
        (Role.SUPPORT, 1, True),
        (Role.SUPPORT, 14, True),
        (Role.SUPPORT, 15, False),
        (Role.OWNER, 90, True),
        (Role.OWNER, 91, False),
        (Role.OWNER, 0, False),
        (Role.SUPPORT, -3, False),
        (Role.READ, 1, False),
    ],
)
def test_each_role_gives_so_many_days(
    role: Role, days: int, *, is_theirs: bool
) -> None:
    """Support gives two weeks alone, an owner a quarter, and nobody takes days away."""
    assert (days_problem(role, days) == "") == is_theirs


def test_who_may_not_is_told_who_may() -> None:
    """Above two weeks the sentence names an owner, while one could."""
    assert "Ask an owner for 30." in days_problem(Role.SUPPORT, 30)
    assert days_problem(Role.SUPPORT, 91) == "It is 1 to 14 days."
    assert set(MOST_DAYS) == set(Role)


@pytest.mark.parametrize("access", AccessState)
def test_days_are_added_to_open_access_alone(access: AccessState) -> None:
    """Everywhere else a sentence says why not, also in the minute after the end."""
    is_open = access is AccessState.ACTIVE

    assert (why_no_days(access, is_over=False) == "") == is_open
    assert why_no_days(access, is_over=True)


def test_an_address_is_corrected_once_money_is_here() -> None:
    """Before that the buyer orders anew, and the processor keeps what it was told."""
    assert why_no_correction(is_charged=True) == ""
    assert "orders anew" in why_no_correction(is_charged=False)


def test_a_turn_names_one_change() -> None:
    """Two people with the same page mean the same row; the next page means another."""
    one, other = UUID(int=1), UUID(int=2)

    assert change_id_of(one, 0) == change_id_of(one, 0)
    assert len({change_id_of(c, n) for c in (one, other) for n in range(3)}) == 6


def test_a_repair_is_asked_for_in_words_of_ours() -> None:
    """What histories keep holds nothing that anybody typed."""
    assert set(WHY) == set(ChangeKind)


def test_a_change_is_told_while_access_is_open() -> None:
    """Before that the call that opens it tells all; afterwards there is nothing."""
    kinds = {
        access: due_step(replace(CHANGED, access=access), NOW)[0]
        for access in AccessState
    }

    assert kinds.pop(AccessState.ACTIVE) is RefundStepKind.TELL_CHANGE
    assert set(kinds.values()) == {RefundStepKind.NOTHING}


@pytest.mark.parametrize(
    ("aftermath", "kind"),
    [
        (replace(CHANGED, is_over=True), RefundStepKind.END_ACCESS),
        (
            replace(CHANGED, refunds=(row(RefundState.SUCCEEDED),)),
            RefundStepKind.END_ACCESS,
        ),
        (
            replace(CHANGED, refunds=(row(RefundState.REQUESTED),)),
            RefundStepKind.LOOK,
        ),
        (
            replace(
                CHANGED,
                refunds=(
                    row(RefundState.REQUESTED, not_before=NOW + timedelta(minutes=9)),
                ),
            ),
            RefundStepKind.TELL_CHANGE,
        ),
    ],
)
def test_money_and_the_end_go_before_a_change(
    aftermath: Aftermath, kind: RefundStepKind
) -> None:
    """What is due about money is done first; what only waits holds no change up."""
    assert due_step(aftermath, NOW)[0] is kind


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://bills.example/7K2M", "Acme GmbH"),
        ("https://", "Acme GmbH"),
        ("https://bills.example/a b", "Acme GmbH"),
        ("https://bills.example@evil.example/", "Acme GmbH"),
        ("javascript:alert(1)", "Acme GmbH"),
        ("https://bills.example/\u202egpj", "Acme GmbH"),
        ("https://bills.example/" + "a" * MOST_INVOICE_URL, "Acme GmbH"),
        ("https://bills.example/7K2M", "  "),
        ("https://bills.example/7K2M", "a" * (MOST_INVOICE_NAME + 1)),
        ("https://bills.example/7K2M", "Acme\u202eHbmG"),
        ("", ""),
    ],
)
def test_an_invoice_that_a_letter_cannot_show_is_none(url: str, name: str) -> None:
    """A letter leads to an encrypted address with a name that can be read, or waits."""
    assert invoice_of(url, name) is None


def test_an_invoice_is_taken_as_it_was_pasted() -> None:
    """Blanks that came along with it are left out."""
    assert invoice_of(
        " https://bills.example/7K2M?a=1#x ", " Söhne  & Co. "
    ) == Invoice(url="https://bills.example/7K2M?a=1#x", made_out_to="Söhne & Co.")


def test_a_change_is_news_for_a_week() -> None:
    """Then other letters are likelier again, and these can still be chosen."""
    at = datetime(2026, 11, 24, 9, 8, tzinfo=UTC)
    added = AddedDays(days=14, until=at + timedelta(days=379), added_at=at)
    told = replace(
        FACTS,
        added=added,
        wrong_address="m•••@x.example",
        address_corrected_at=at,
        wrote_at=None,
    )
    soon = replace(told, now=at + NEWS_FOR - timedelta(seconds=1))
    later = replace(told, now=at + NEWS_FOR)

    assert suggest(soon)[:2] == (Situation.COMPENSATION, Situation.WRONG_ADDRESS)
    assert suggest(later)[0] not in {Situation.COMPENSATION, Situation.WRONG_ADDRESS}
