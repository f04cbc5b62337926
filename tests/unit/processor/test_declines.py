"""Declines: the bank's code becomes the buyer's next step, and nothing more."""

from __future__ import annotations

import pytest

from domain.states import DeclineClass
from processor.declines import decline_class


@pytest.mark.parametrize(
    ("code", "decline_code", "expected"),
    [
        ("incorrect_cvc", None, DeclineClass.CHECK_DETAILS),
        ("expired_card", "expired_card", DeclineClass.CHECK_DETAILS),
        ("card_declined", "insufficient_funds", DeclineClass.OTHER_CARD),
        ("card_declined", "do_not_honor", DeclineClass.ASK_BANK),
        ("payment_intent_authentication_failure", None, DeclineClass.ASK_BANK),
        ("processing_error", "processing_error", DeclineClass.TRY_AGAIN),
        ("card_declined", "generic_decline", DeclineClass.GENERIC),
        ("card_declined", "a_code_of_next_year", DeclineClass.GENERIC),
        (None, None, DeclineClass.GENERIC),
    ],
)
def test_a_code_has_one_meaning_for_the_buyer(
    code: str | None, decline_code: str | None, expected: DeclineClass
) -> None:
    """The bank's own code goes first; what nobody knows is generic."""
    assert decline_class(code, decline_code) is expected


@pytest.mark.parametrize(
    "decline_code",
    [
        "fraudulent",
        "lost_card",
        "merchant_blacklist",
        "pickup_card",
        "restricted_card",
        "stolen_card",
    ],
)
def test_a_thief_learns_nothing(decline_code: str) -> None:
    """Lost, stolen and fraudulent cards read like any other decline."""
    assert decline_class("card_declined", decline_code) is DeclineClass.GENERIC
