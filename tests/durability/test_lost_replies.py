"""The processor, the application or the mail server answers wrongly, late, never."""

from __future__ import annotations

from typing import Any

import pytest

from tests.durability.breaking import (
    application_fault,
    mailbox_fault,
    processor_fault,
)
from tests.durability.counting import Purchase


@pytest.mark.parametrize(
    ("action", "more"),
    [
        ("act_then_drop_reply", {}),
        ("act_then_drop_reply", {"times": 2}),
        ("refuse", {}),
        ("error_500_after", {}),
        ("error_500_before", {}),
        ("error_503", {"times": 2}),
        ("throttle", {"times": 3}),
        ("lock_timeout", {"times": 2}),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.get("times", 1)),
)
def test_lost_or_wrong_reply_to_the_charge_is_one_charge(
    purchase: Purchase, action: str, more: dict[str, Any]
) -> None:
    """Whatever the processor answers, the truth is looked up and charged once."""
    with processor_fault(purchase, action, **more) as fault:
        purchase.pay()
        fault.wait()
        purchase.wait_whole()

    purchase.assert_whole()


@pytest.mark.parametrize("action", ["act_then_drop_reply", "error_500", "refuse"])
def test_lost_or_wrong_reply_of_the_application_is_one_grant(
    purchase: Purchase, action: str
) -> None:
    """The application is asked again under the same key, and opens access once."""
    with application_fault(purchase, action) as fault:
        purchase.pay()
        fault.wait()
        purchase.wait_whole()

    purchase.assert_whole()


def test_deferred_mail_is_sent_once_later(purchase: Purchase) -> None:
    """A mail server that says "later" gets the receipt later, once."""
    with mailbox_fault(purchase, "temporary_451") as fault:
        purchase.pay()
        fault.wait()
        purchase.wait_whole()

    purchase.assert_whole()


def test_lost_acknowledgement_of_the_mail_is_one_message(purchase: Purchase) -> None:
    """A second copy carries the same Message-ID, so mail programs show one."""
    with mailbox_fault(purchase, "accept_then_drop_before_250") as fault:
        purchase.pay()
        fault.wait()
        purchase.wait_whole()

    purchase.assert_whole(most_copies=2)
