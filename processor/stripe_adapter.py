"""Stripe behind the port, through its official SDK; nothing here knows the sandbox.

The SDK's own retries are off: Temporal retries, visibly, and knows when to look first.
Reference: https://docs.stripe.com/api/payment_intents, .../api/errors
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import stripe

from domain.addresses import PageAddresses
from domain.identifiers import (
    cancel_key,
    confirm_key,
    create_key,
    prepare_key,
    refund_key,
)
from domain.messages import (
    CancelPaymentIntent,
    ConfirmPaymentIntent,
    CreatePaymentIntent,
    PreparePaymentIntent,
)
from domain.money import Money
from domain.payments import PaymentIntent, PaymentIntentStatus
from domain.refunds import Dispute, Refund, RefundPaymentIntent, RefundStatus
from domain.states import RefundPurpose
from processor.declines import decline_class
from processor.port import MethodRefused, OutcomeUnknown, RefusedByOurFault, Throttled

#: Longer than any bank takes, shorter than an activity's own limit.
REQUEST_TIMEOUT_SECONDS = 20.0

_EXPAND = ["latest_charge"]
#: Refunds and disputes of one PaymentIntent are a handful; more than a page of them is
#: beyond what we understand, and a partial list would be taken for a whole one.
_PAGE = 100
#: Stripe.js makes these in the buyer's browser; the card's number stays there.
_CONFIRMATION_TOKEN_PREFIX = "ctoken_"  # noqa: S105  # A prefix, not a secret.


class StripeProcessor:
    """A `PaymentProcessor` on Stripe's API.

    Args:
        api_key: Secret or restricted key.
        addresses: Where the bank sends the buyer back to.
        api_base: Another server that speaks Stripe's API; None for Stripe's own.
    """

    def __init__(
        self,
        api_key: str,
        addresses: PageAddresses,
        *,
        api_base: str | None = None,
    ) -> None:
        # The SDK would otherwise send timings of one request with the next.
        stripe.enable_telemetry = False
        self._http = stripe.HTTPXClient(timeout=REQUEST_TIMEOUT_SECONDS)
        services = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base} if api_base else None,
            max_network_retries=0,
            http_client=self._http,
        ).v1
        self._intents = services.payment_intents
        self._refunds, self._disputes = services.refunds, services.disputes
        self._addresses = addresses

    async def close(self) -> None:
        """Let go of the connections; the processor is not used afterwards."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def create(self, request: CreatePaymentIntent) -> PaymentIntent:
        """Make a PaymentIntent; see the port."""
        params: stripe.params.PaymentIntentCreateParams = {
            "amount": request.price.amount_minor,
            "currency": request.price.currency,
            "automatic_payment_methods": {"enabled": True},
            "description": request.reference_code,
            "metadata": {
                "checkout_id": str(request.checkout_id),
                "reference_code": request.reference_code,
                "buyer_attempt": str(request.buyer_attempt),
            },
            "expand": _EXPAND,
        }
        key = create_key(request.checkout_id, request.buyer_attempt)
        return await _answer(
            self._intents.create_async(params, {"idempotency_key": key})
        )

    async def prepare(self, request: PreparePaymentIntent) -> PaymentIntent:
        """Ready a declined PaymentIntent; Stripe clears its last error on an update."""
        key = prepare_key(request.checkout_id, request.buyer_attempt)
        return await _answer(
            self._intents.update_async(
                request.payment_intent_id,
                {
                    "metadata": {"buyer_attempt": str(request.buyer_attempt)},
                    "expand": _EXPAND,
                },
                {"idempotency_key": key},
            )
        )

    async def confirm(self, request: ConfirmPaymentIntent) -> PaymentIntent:
        """Ask for the money to be moved; see the port."""
        params: stripe.params.PaymentIntentConfirmParams = {
            "return_url": self._addresses.bank_return(
                request.checkout_id, request.token_key_id
            ),
            "expand": _EXPAND,
        }
        if request.payment_method.startswith(_CONFIRMATION_TOKEN_PREFIX):
            params["confirmation_token"] = request.payment_method
        else:
            params["payment_method"] = request.payment_method
        key = confirm_key(
            request.checkout_id, request.buyer_attempt, request.submission
        )
        return await _answer(
            self._intents.confirm_async(
                request.payment_intent_id, params, {"idempotency_key": key}
            )
        )

    async def look_up(self, payment_intent_id: str) -> PaymentIntent:
        """Return a PaymentIntent as it stands now."""
        return await _answer(
            self._intents.retrieve_async(payment_intent_id, {"expand": _EXPAND})
        )

    async def cancel(self, request: CancelPaymentIntent) -> PaymentIntent:
        """Close a PaymentIntent; see the port."""
        key = cancel_key(request.checkout_id, request.buyer_attempt, request.submission)
        return await _answer(
            self._intents.cancel_async(
                request.payment_intent_id,
                {"cancellation_reason": "abandoned", "expand": _EXPAND},
                {"idempotency_key": key},
            )
        )

    async def refund(self, request: RefundPaymentIntent) -> Refund:
        """Ask for money to be given back; see the port."""
        is_duplicate = request.purpose is RefundPurpose.DUPLICATE
        params: stripe.params.RefundCreateParams = {
            "payment_intent": request.payment_intent_id,
            "amount": request.amount.amount_minor,
            "reason": "duplicate" if is_duplicate else "requested_by_customer",
            "metadata": {
                "refund_id": str(request.refund_id),
                "checkout_id": str(request.checkout_id),
            },
        }
        key = refund_key(request.refund_id, request.submission)
        with _sorted():
            made = await self._refunds.create_async(params, {"idempotency_key": key})
        return _refund_of(made.to_dict())

    async def look_up_refund(self, processor_refund_id: str) -> Refund:
        """Return a refund as it stands now."""
        with _sorted():
            found = await self._refunds.retrieve_async(processor_refund_id)
        return _refund_of(found.to_dict())

    async def list_refunds(self, payment_intent_id: str) -> list[Refund]:
        """Return every refund of a PaymentIntent, newest first."""
        with _sorted():
            page = await self._refunds.list_async(
                {"payment_intent": payment_intent_id, "limit": _PAGE}
            )
        return [_refund_of(body) for body in _whole(page.to_dict())]

    async def list_disputes(self, payment_intent_id: str) -> list[Dispute]:
        """Return every dispute of a PaymentIntent, newest first."""
        with _sorted():
            page = await self._disputes.list_async(
                {"payment_intent": payment_intent_id, "limit": _PAGE}
            )
        return [_dispute_of(body) for body in _whole(page.to_dict())]


async def _answer(call: Awaitable[stripe.PaymentIntent]) -> PaymentIntent:
    """Wait for the SDK, and return the PaymentIntent: also the one in a refusal.

    Raises:
        ProcessorError: As `_sorted` says.
    """
    with _sorted():
        try:
            return _intent_of((await call).to_dict())
        except stripe.CardError as error:
            # The bank declined: the truth is the PaymentIntent that comes with it.
            return _intent_in(error)
        except stripe.InvalidRequestError as error:
            if error.code == "payment_intent_unexpected_state":
                # It moved on without us: succeeded, canceled or under way already.
                return _intent_in(error)
            raise


@contextmanager
def _sorted() -> Iterator[None]:
    """Sort what the SDK raises: the one place that does.

    Raises:
        OutcomeUnknown: No reply, a 5xx, or a 409: another request under our key is
            still running. Any of them may have taken effect.
        Throttled: 429, a rate limit or a locked object: turned away beforehand.
        MethodRefused: 400 or 404 about the payment method or confirmation token.
        RefusedByOurFault: Any other 4xx: our key, our parameters, our permissions.
    """
    try:
        yield
    except stripe.APIConnectionError as error:
        raise OutcomeUnknown("no_reply", _request_id(error)) from None
    except stripe.RateLimitError as error:
        raise Throttled(error.code or "rate_limit", _request_id(error)) from None
    except stripe.InvalidRequestError as error:
        refusal = MethodRefused if _is_about_method(error) else RefusedByOurFault
        raise refusal(_reason(error), _request_id(error)) from None
    except stripe.APIError as error:
        raise OutcomeUnknown(f"http_{error.http_status}", _request_id(error)) from None
    except stripe.StripeError as error:
        raise RefusedByOurFault(_reason(error), _request_id(error)) from None


def _is_about_method(error: stripe.InvalidRequestError) -> bool:
    param = str(error.param or "")
    return param.startswith(("payment_method", "confirmation_token"))


def _intent_in(error: stripe.StripeError) -> PaymentIntent:
    body: Any = error.json_body
    intent = (body or {}).get("error", {}).get("payment_intent")
    if not intent:
        raise OutcomeUnknown(_reason(error), _request_id(error)) from None
    return _intent_of(intent)


def _reason(error: stripe.StripeError) -> str:
    return error.code or type(error).__name__


def _request_id(error: stripe.StripeError) -> str | None:
    return error.request_id


def _intent_of(body: dict[str, Any]) -> PaymentIntent:
    charge = body.get("latest_charge")
    charge = charge if isinstance(charge, dict) else {}
    card = (charge.get("payment_method_details") or {}).get("card") or {}
    problem = body.get("last_payment_error")
    status = _status_of(body["status"])
    has_charge = status is PaymentIntentStatus.SUCCEEDED
    created = charge.get("created", body["created"])
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
        charged_at=datetime.fromtimestamp(created, UTC) if has_charge else None,
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


def _next_action_url(action: dict[str, Any]) -> str | None:
    url = (action.get("redirect_to_url") or {}).get("url")
    return str(url) if url else None


def _whole(page: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a list's objects, or raise "unknown" when they are not all of them.

    Raises:
        OutcomeUnknown: There are more: what is missing here may still be there.
    """
    if page["has_more"]:
        raise OutcomeUnknown("more_than_a_page")
    bodies: list[dict[str, Any]] = page["data"]
    return bodies


def _refund_of(body: dict[str, Any]) -> Refund:
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
        created_at=datetime.fromtimestamp(body["created"], UTC),
        refund_id=_id_in(body.get("metadata") or {}, "refund_id"),
        failure=body.get("failure_reason"),
        bank_reference=reference,
    )


def _dispute_of(body: dict[str, Any]) -> Dispute:
    due_by = (body.get("evidence_details") or {}).get("due_by")
    return Dispute(
        dispute_id=body["id"],
        payment_intent_id=body["payment_intent"],
        amount=Money(amount_minor=body["amount"], currency=body["currency"]),
        reason=body["reason"],
        status=body["status"],
        opened_at=datetime.fromtimestamp(body["created"], UTC),
        due_by=datetime.fromtimestamp(due_by, UTC) if due_by else None,
    )
