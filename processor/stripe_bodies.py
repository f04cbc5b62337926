"""Stripe's objects as the domain knows them; pure reading, no request.

What is written in words newer than this code proves nothing, and is said to be unknown.
Reference: https://docs.stripe.com/api/charges/object, .../api/refunds/object
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from domain.money import Money
from domain.on_record import CheckoutOnRecord
from domain.payments import (
    Made,
    Page,
    PaymentIntent,
    PaymentIntentStatus,
    ProcessorCharge,
)
from domain.refunds import Dispute, Refund, RefundStatus
from processor.declines import decline_class
from processor.port import OutcomeUnknown

Body = dict[str, Any]

#: Words for a charge that moved no money, or not yet.
_MOVED_NOTHING = frozenset({"pending", "failed"})


def intent_of(body: Body) -> PaymentIntent:
    """Return a PaymentIntent.

    Raises:
        OutcomeUnknown: Its status is a word that we do not know.
    """
    found = body.get("latest_charge")
    charge: Body = found if isinstance(found, dict) else {}
    card = (charge.get("payment_method_details") or {}).get("card") or {}
    problem = body.get("last_payment_error")
    status = _status_of(body["status"])
    has_charge = status is PaymentIntentStatus.SUCCEEDED
    moved_at = created_at(charge or body)
    return PaymentIntent(
        payment_intent_id=body["id"],
        status=status,
        price=Money(amount_minor=body["amount"], currency=body["currency"]),
        checkout_id=_id_in(body.get("metadata") or {}, "checkout_id"),
        decline=(
            decline_class(problem.get("code"), problem.get("decline_code"))
            if problem
            else None
        ),
        next_action_url=_next_action_url(body.get("next_action") or {}),
        charged_at=moved_at if has_charge else None,
        card_brand=card.get("brand"),
        card_last4=card.get("last4"),
    )


def _status_of(word: str) -> PaymentIntentStatus:
    """Return the status, or raise "unknown": a word that we cannot read proves nothing.

    Raises:
        OutcomeUnknown: The processor uses a word that is newer than this adapter.
    """
    try:
        return PaymentIntentStatus(word)
    except ValueError:
        raise OutcomeUnknown("status_not_understood") from None


def _id_in(metadata: dict[str, str], name: str) -> UUID | None:
    try:
        return UUID(metadata[name])
    except (KeyError, ValueError):
        # Made by somebody else's integration on the same account.
        return None


def _next_action_url(action: Body) -> str | None:
    url = (action.get("redirect_to_url") or {}).get("url")
    return str(url) if url else None


def whole(page: Body) -> list[Body]:
    """Return a list's objects, or raise "unknown" when they are not all of them.

    Raises:
        OutcomeUnknown: There are more: what is missing here may still be there.
    """
    if page["has_more"]:
        raise OutcomeUnknown("more_than_a_page")
    bodies: list[Body] = page["data"]
    return bodies


def refund_of(body: Body) -> Refund:
    """Return a refund.

    Raises:
        OutcomeUnknown: Its status is a word that we do not know.
    """
    try:
        status = RefundStatus(body["status"])
    except ValueError:
        raise OutcomeUnknown("status_not_understood") from None
    details = body.get("destination_details") or {}
    reference = (details.get(details.get("type")) or {}).get("reference")
    return Refund(
        processor_refund_id=body["id"],
        payment_intent_id=body["payment_intent"],
        amount=Money(amount_minor=body["amount"], currency=body["currency"]),
        status=status,
        created_at=created_at(body),
        refund_id=_id_in(body.get("metadata") or {}, "refund_id"),
        failure=body.get("failure_reason"),
        bank_reference=reference,
    )


def dispute_of(body: Body) -> Dispute:
    """Return a dispute."""
    due_by = (body.get("evidence_details") or {}).get("due_by")
    return Dispute(
        dispute_id=body["id"],
        payment_intent_id=body["payment_intent"],
        amount=Money(amount_minor=body["amount"], currency=body["currency"]),
        reason=body["reason"],
        status=body["status"],
        opened_at=created_at(body),
        due_by=datetime.fromtimestamp(due_by, UTC) if due_by else None,
    )


def charge_of(body: Body) -> ProcessorCharge | None:
    """Return a charge whose `payment_intent` is expanded; None when it moved no money.

    Raises:
        OutcomeUnknown: Its status is a word that we do not know.
    """
    if body["status"] in _MOVED_NOTHING or not body["captured"]:
        return None
    if body["status"] != "succeeded":
        raise OutcomeUnknown("status_not_understood")
    intent = body["payment_intent"] or {}
    metadata = _metadata_of_charge(body, intent)
    card = (body.get("payment_method_details") or {}).get("card") or {}
    return ProcessorCharge(
        charge_id=body["id"],
        payment_intent_id=intent.get("id"),
        amount=Money(amount_minor=body["amount_captured"], currency=body["currency"]),
        refunded_minor=body["amount_refunded"],
        is_disputed=body["disputed"],
        charged_at=created_at(body),
        checkout_id=_id_in(metadata, "checkout_id"),
        on_record=CheckoutOnRecord.from_metadata(metadata),
        card_brand=card.get("brand"),
        card_last4=card.get("last4"),
    )


def _metadata_of_charge(body: Body, intent: Body) -> dict[str, str]:
    """Return what a charge says of its checkout, itself or by its PaymentIntent.

    Stripe copies the PaymentIntent's metadata once, when the charge is made. What was
    written there later, and all that was taken from the charge since, is not copied.
    """
    own: dict[str, str] = body.get("metadata") or {}
    if "checkout_id" in own:
        return own
    return intent.get("metadata") or own


def created_at(body: Body) -> datetime:
    """Return when an object was made, in whole seconds."""
    return datetime.fromtimestamp(body["created"], UTC)


def of_an_intent(read: Callable[[Body], Made]) -> Callable[[Body], Made | None]:
    """Leave out what has no PaymentIntent: a legacy charge's refund or dispute."""
    return lambda body: read(body) if body["payment_intent"] else None


def page_of(page: Body, read: Callable[[Body], Made | None]) -> Page[Made]:
    """Read a page's objects; those that cannot be read are named, not dropped.

    One strange object must not keep the others from being seen, for ever.

    Args:
        page: Newest first.
        read: Returns None for what does not belong into the list.
    """
    made: list[Made] = []
    not_understood: list[str] = []
    bodies: list[Body] = page["data"]
    for body in bodies:
        try:
            found = read(body)
        except OutcomeUnknown:
            not_understood.append(body["id"])
            continue
        if found is not None:
            made.append(found)
    return Page(
        made=tuple(made),
        next_cursor=bodies[-1]["id"] if page["has_more"] else None,
        oldest_at=min(map(created_at, bodies), default=None),
        not_understood=tuple(not_understood),
    )
