"""Stripe behind the port, through its official SDK; nothing here knows the sandbox.

The SDK's own retries are off: Temporal retries, visibly, and knows when to look first.
Reference: https://docs.stripe.com/api/payment_intents, .../api/errors
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from math import ceil
from typing import TYPE_CHECKING, Any, Final, Self

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
from domain.on_record import CheckoutOnRecord
from domain.payments import (
    ListCharges,
    ListMade,
    Page,
    PaymentIntent,
    ProcessorCharge,
)
from domain.refunds import (
    Dispute,
    ListDisputesMade,
    ListRefundsMade,
    Refund,
    RefundPaymentIntent,
)
from domain.states import RefundPurpose
from processor.port import (
    AnswerStored,
    MethodRefused,
    OutcomeUnknown,
    RefusedByOurFault,
    Throttled,
)
from processor.stripe_bodies import (
    charge_of,
    dispute_of,
    intent_of,
    of_an_intent,
    page_of,
    refund_of,
    whole,
)

if TYPE_CHECKING:
    from settings import Settings

#: Longer than any bank takes, shorter than an activity's own limit.
REQUEST_TIMEOUT_SECONDS = 20.0

#: Stored 5xx that are left behind in one call: more are no accident of one minute.
_MOST_SUBMISSIONS = 10

_EXPAND = ["latest_charge"]
#: Whatever the Dashboard allows. Other methods settle in days, or ask on another screen
#: for what is no page to be sent to: our pages would say "we don't know" all the while.
#: The pay page's form must offer the same: `stripe_payment.js`. The older
#: `payment_method_types` is refused by the API version of this SDK.
#: https://docs.stripe.com/api/payment_intents/create
_CARDS_ONLY: Final = ("card",)
#: Refunds and disputes of one PaymentIntent are a handful; more than a page of them is
#: beyond what we understand, and a partial list would be taken for a whole one.
_PAGE = 100
#: Stripe.js makes these in the buyer's browser; the card's number stays there.
_CONFIRMATION_TOKEN_PREFIX = "ctoken_"  # noqa: S105  # A prefix, not a secret.


class StripeProcessor:
    """A `PaymentProcessor`, and its `ProcessorBooks`, on Stripe's API.

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
        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base} if api_base else None,
            max_network_retries=0,
            http_client=self._http,
        )
        services = self._client.v1
        self._intents = services.payment_intents
        self._refunds, self._disputes = services.refunds, services.disputes
        self._addresses = addresses

    @classmethod
    def of(cls, settings: Settings, addresses: PageAddresses) -> Self:
        """Return the processor that the settings name."""
        return cls(
            settings.stripe_api_key.get_secret_value(),
            addresses,
            api_base=settings.stripe_api_base,
        )

    async def close(self) -> None:
        """Let go of the connections; the processor is not used afterwards."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def create(
        self, request: CreatePaymentIntent, record: CheckoutOnRecord
    ) -> PaymentIntent:
        """Make a PaymentIntent; see the port."""
        params: stripe.params.PaymentIntentCreateParams = {
            "amount": request.price.amount_minor,
            "currency": request.price.currency,
            "allowed_payment_method_types": [*_CARDS_ONLY],
            "description": request.reference_code,
            "metadata": record.to_metadata(),
            "expand": _EXPAND,
        }

        def send(submission: int) -> Awaitable[stripe.PaymentIntent]:
            key = create_key(request.checkout_id, request.buyer_attempt, submission)
            return self._intents.create_async(params, {"idempotency_key": key})

        return await _under_fresh_keys(send)

    async def prepare(self, request: PreparePaymentIntent) -> PaymentIntent:
        """Ready a declined PaymentIntent; Stripe clears its last error on an update."""

        def send(submission: int) -> Awaitable[stripe.PaymentIntent]:
            key = prepare_key(request.checkout_id, request.buyer_attempt, submission)
            return self._intents.update_async(
                request.payment_intent_id,
                {
                    "metadata": {"buyer_attempt": str(request.buyer_attempt)},
                    "expand": _EXPAND,
                },
                {"idempotency_key": key},
            )

        return await _under_fresh_keys(send)

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
        return refund_of(made.to_dict())

    async def list_refunds(self, payment_intent_id: str) -> list[Refund]:
        """Return every refund of a PaymentIntent, newest first."""
        with _sorted():
            page = await self._refunds.list_async(
                {"payment_intent": payment_intent_id, "limit": _PAGE}
            )
        return [refund_of(body) for body in whole(page.to_dict())]

    async def list_disputes(self, payment_intent_id: str) -> list[Dispute]:
        """Return every dispute of a PaymentIntent, newest first."""
        with _sorted():
            page = await self._disputes.list_async(
                {"payment_intent": payment_intent_id, "limit": _PAGE}
            )
        return [dispute_of(body) for body in whole(page.to_dict())]

    async def list_charges(self, request: ListCharges) -> Page[ProcessorCharge]:
        """Return a page of the charges that moved money; see the port."""
        body = await self._list("charges", request, expand=["data.payment_intent"])
        return page_of(body, charge_of)

    async def list_refunds_made(self, request: ListRefundsMade) -> Page[Refund]:
        """Return a page of refunds; see the port."""
        return page_of(await self._list("refunds", request), of_an_intent(refund_of))

    async def list_disputes_made(self, request: ListDisputesMade) -> Page[Dispute]:
        """Return a page of disputes; see the port."""
        return page_of(await self._list("disputes", request), of_an_intent(dispute_of))

    async def _list(self, what: str, request: ListMade, **more: Any) -> dict[str, Any]:
        """Return a page as plain JSON.

        The SDK's typed objects would cost a tenth of a second of CPU for a page of a
        hundred charges, in which no checkout of this worker gets on.
        """
        with _sorted():
            answer = await self._client.raw_request_async(
                "get", f"/v1/{what}", **_span(request), **more
            )
        body: dict[str, Any] = answer.data
        return body


def _span(request: ListMade) -> dict[str, Any]:
    """Return what all of Stripe's lists take.

    Stripe counts whole seconds: what was made in a second that the span begins or ends
    within was made at its start.
    """
    params: dict[str, Any] = {
        "created": {
            "gte": ceil(request.created_from.timestamp()),
            "lt": ceil(request.created_before.timestamp()),
        },
        "limit": request.limit,
    }
    if request.starting_after is not None:
        params["starting_after"] = request.starting_after
    return params


async def _under_fresh_keys(
    send: Callable[[int], Awaitable[stripe.PaymentIntent]],
) -> PaymentIntent:
    """Send under the first key that is not bound to a stored 5xx, in a fixed order.

    Only for what moves no money: a processor repeats such an answer for 24 hours, and
    the buyer would wait as long. A repeated call goes the same way, to the same answer.
    https://docs.stripe.com/api/idempotent_requests

    Raises:
        ProcessorError: As `_sorted` says.
    """
    for submission in range(_MOST_SUBMISSIONS - 1):
        with suppress(AnswerStored):
            return await _answer(send(submission))
    return await _answer(send(_MOST_SUBMISSIONS - 1))


async def _answer(call: Awaitable[stripe.PaymentIntent]) -> PaymentIntent:
    """Wait for the SDK, and return the PaymentIntent: also the one in a refusal.

    Raises:
        ProcessorError: As `_sorted` says.
    """
    with _sorted():
        try:
            return intent_of((await call).to_dict())
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
        AnswerStored: A 5xx of before, which is all that this key will ever bring.
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
        unknown = AnswerStored if _is_replayed(error) else OutcomeUnknown
        raise unknown(f"http_{error.http_status}", _request_id(error)) from None
    except stripe.StripeError as error:
        raise RefusedByOurFault(_reason(error), _request_id(error)) from None


def _is_replayed(error: stripe.APIError) -> bool:
    headers = error.headers or {}
    return any(
        name.lower() == "idempotent-replayed" and value == "true"
        for name, value in headers.items()
    )


def _is_about_method(error: stripe.InvalidRequestError) -> bool:
    param = str(error.param or "")
    return param.startswith(("payment_method", "confirmation_token"))


def _intent_in(error: stripe.StripeError) -> PaymentIntent:
    body: Any = error.json_body
    intent = (body or {}).get("error", {}).get("payment_intent")
    if not intent:
        raise OutcomeUnknown(_reason(error), _request_id(error)) from None
    return intent_of(intent)


def _reason(error: stripe.StripeError) -> str:
    return error.code or type(error).__name__


def _request_id(error: stripe.StripeError) -> str | None:
    return error.request_id
