"""PaymentIntents: made, changed, confirmed, canceled, and settled later.

The states and the words of the refusals are Stripe's.
https://docs.stripe.com/payments/paymentintents/lifecycle
"""

from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sandbox.processor import attempts, errors, methods, objects
from sandbox.processor.errors import Json
from sandbox.processor.methods import Chosen
from sandbox.processor.words import names
from sandbox.processor.work import Call, Work

_COMMON = names(
    "customer description expand metadata payment_method payment_method_options "
    "receipt_email setup_future_usage shipping statement_descriptor "
    "statement_descriptor_suffix"
)
_CREATE = _COMMON | names(
    "allowed_payment_method_types amount automatic_payment_methods capture_method "
    "confirm confirmation_method confirmation_token currency "
    "error_on_requires_action off_session return_url use_stripe_sdk"
)
_UPDATE = _COMMON | {"amount", "currency"}
_CONFIRM = names(
    "amount_to_confirm confirmation_token error_on_requires_action expand off_session "
    "payment_method payment_method_options receipt_email return_url "
    "setup_future_usage shipping use_stripe_sdk"
)
#: Stripe has these; ignoring them would charge something else than was asked for.
_UNSUPPORTED = names(
    "allowed_payment_method_types amount_details application_fee_amount "
    "capture_method customer_account excluded_payment_method_types hooks mandate "
    "mandate_data on_behalf_of payment_details payment_method_configuration "
    "payment_method_data radar_options transfer_data transfer_group"
)
_PLAIN_TEXTS = (
    "description",
    "receipt_email",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
)
_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCELABLE = (
    "requires_payment_method, requires_capture, requires_confirmation, requires_action"
)
_CANCELLATION_REASONS = (
    "abandoned",
    "duplicate",
    "fraudulent",
    "requested_by_customer",
)


def find(work: Work, identifier: str) -> Json:
    """The PaymentIntent in the path, or Stripe's 404."""
    intent = work.world.storage.get(identifier, "payment_intent")
    if intent is None:
        raise errors.no_such("payment_intent", identifier, param="intent", in_path=True)
    work.intent_id = identifier
    return intent


def retrieve(call: Call) -> Json:
    """``GET /v1/payment_intents/{id}``."""
    call.params.allow({"expand", "client_secret"})
    return find(call, call.path_id)


def create(call: Call) -> Json:
    """``POST /v1/payment_intents``, and its confirmation when ``confirm=true``."""
    params = call.params
    params.allow(_CREATE, _UNSUPPORTED)
    currency = params.currency()
    amount = params.amount("amount", currency or "usd")
    if amount is None:
        raise errors.missing_parameter("amount")
    if currency is None:
        raise errors.missing_parameter("currency")
    is_confirmed = params.flag("confirm")
    fields = {**_plain_fields(call), **_arrangement(call)}
    chosen = methods.chosen(call, fields.get("customer"))
    intent = objects.payment_intent(call, amount=amount, currency=currency, **fields)
    if is_confirmed:
        methods.check_return_url(call, intent, chosen)
    elif "return_url" in params:
        message = "You can only pass `return_url` when `confirm` is true."
        raise errors.invalid(message, param="return_url")
    if chosen is not None:
        methods.attach(call, intent, chosen)
    call.save(intent)
    call.emit("payment_intent.created", intent)
    return _confirmed(call, intent, chosen) if is_confirmed else intent


def update(call: Call) -> Json:
    """``POST /v1/payment_intents/{id}``."""
    params = call.params
    intent = find(call, call.path_id)
    params.allow(_UPDATE, _UNSUPPORTED)
    currency = params.currency() or intent["currency"]
    amount = params.amount("amount", currency) or intent["amount"]
    fields = _plain_fields(call, intent)
    chosen = methods.chosen(call, fields.get("customer", intent["customer"]))
    for name in ("amount", "currency", "payment_method"):
        if name in params and intent["status"] not in _OPEN:
            raise errors.unexpected_state(
                f"This PaymentIntent's {name} could not be updated because it has a "
                f"status of {intent['status']}. You may only update the {name} of a "
                "PaymentIntent with one of the following statuses: "
                f"{', '.join(_OPEN)}.",
                intent,
            )
    # "It will be cleared if the PaymentIntent is later updated for any reason."
    # https://docs.stripe.com/api/payment_intents/object#last_payment_error
    intent |= {**fields, "amount": amount, "currency": currency}
    intent["last_payment_error"] = None
    if chosen is not None:
        methods.attach(call, intent, chosen)
    call.save(intent)
    return intent


def confirm(call: Call) -> Json:
    """``POST /v1/payment_intents/{id}/confirm``."""
    params = call.params
    intent = find(call, call.path_id)
    params.allow(_CONFIRM, _UNSUPPORTED)
    fields = _plain_fields(call, intent)
    expected = params.whole("amount_to_confirm")
    chosen = methods.chosen(call, intent["customer"])
    _require_open(intent)
    if expected not in (None, intent["amount"]):
        raise errors.refused(
            f"The `amount_to_confirm` ({expected}) is not the PaymentIntent's amount "
            f"({intent['amount']}).",
            param="amount_to_confirm",
        )
    methods.check_return_url(call, intent, chosen)
    intent |= fields
    if chosen is not None:
        methods.attach(call, intent, chosen)
    return _confirmed(call, intent, chosen)


def cancel(call: Call) -> Json:
    """``POST /v1/payment_intents/{id}/cancel``."""
    params = call.params
    intent = find(call, call.path_id)
    params.allow({"cancellation_reason", "expand"})
    reason = params.choice("cancellation_reason", _CANCELLATION_REASONS)
    if intent["status"] not in _OPEN:
        raise errors.unexpected_state(
            "You cannot cancel this PaymentIntent because it has a status of "
            f"{intent['status']}. Only a PaymentIntent with one of the following "
            f"statuses may be canceled: {_CANCELABLE}.",
            intent,
        )
    intent |= {
        "status": "canceled",
        "canceled_at": call.now(),
        "cancellation_reason": reason,
        "next_action": None,
    }
    call.save(intent)
    call.emit("payment_intent.canceled", intent)
    return intent


def _plain_fields(call: Call, intent: Json | None = None) -> Json:
    """The parameters that are stored as they came."""
    params = call.params
    fields: Json = {name: params.text(name) for name in _PLAIN_TEXTS if name in params}
    if "shipping" in params:
        fields["shipping"] = params.value("shipping")
    if "customer" in params:
        fields["customer"] = _known_customer(call, params.text("customer"))
    fields["metadata"] = params.metadata(intent["metadata"] if intent else None)
    return fields


def _known_customer(call: Call, identifier: str | None) -> str | None:
    if identifier and call.world.storage.get(identifier, "customer") is None:
        raise errors.no_such("customer", identifier, param="customer", in_path=False)
    return identifier


def _arrangement(call: Call) -> Json:
    """Which payment methods the new intent takes and how it is captured."""
    params = call.params
    if params.choice("capture_method", ("automatic", "automatic_async", "manual")) == (
        "manual"
    ):
        raise errors.not_in_sandbox("capture_method=manual")
    confirmation = params.choice("confirmation_method", ("automatic", "manual"))
    fields: Json = {
        "capture_method": params.text("capture_method") or "automatic_async",
        "confirmation_method": confirmation or "automatic",
    }
    allowed_types = params.words("allowed_payment_method_types")
    if allowed_types:
        return {**fields, "payment_method_types": allowed_types}
    automatic = params.value("automatic_payment_methods")
    if automatic is None:
        automatic = {}
    elif not isinstance(automatic, dict):
        raise errors.invalid("Invalid object", param="automatic_payment_methods")
    redirects = automatic.get("allow_redirects", "always")
    if redirects not in ("always", "never"):
        param = "automatic_payment_methods[allow_redirects]"
        raise errors.invalid(f"Invalid {param}: must be always or never", param=param)
    is_enabled = automatic.get("enabled", "true") == "true"
    settings = {"allow_redirects": redirects, "enabled": True} if is_enabled else None
    return {**fields, "automatic_payment_methods": settings}


def _require_open(intent: Json) -> None:
    status = intent["status"]
    if status in _OPEN:
        return
    if status == "succeeded":
        message = (
            "You cannot confirm this PaymentIntent because it has already succeeded "
            "after being previously confirmed."
        )
    else:
        message = (
            "You cannot confirm this PaymentIntent because it has a status of "
            f"{status}. Only a PaymentIntent with one of the following statuses may "
            "be confirmed: requires_confirmation, requires_action."
        )
    raise errors.unexpected_state(message, intent)


def _confirmed(call: Call, intent: Json, chosen: Chosen | None) -> Json:
    """Try to pay with the intent's payment method."""
    if intent["payment_method"] is None:
        raise errors.unexpected_state(
            "You cannot confirm this PaymentIntent because it's missing a payment "
            "method. You can either update the PaymentIntent with a payment method "
            "and then confirm it again, or confirm it again directly with a payment "
            "method or ConfirmationToken.",
            intent,
        )
    return_url = call.params.text("return_url")
    if return_url is None and chosen is not None:
        return_url = chosen.return_url
    attempts.begin(call, intent, return_url=return_url)
    if intent["status"] == "requires_payment_method":
        raise errors.card_error(intent["last_payment_error"], intent)
    return intent


def settle(work: Work, identifier: str, *, succeeds: bool | None = None) -> Json:
    """End an intent that is processing, as its payment method says or as told."""
    intent = find(work, identifier)
    if intent["status"] == "processing":
        attempts.settle(work, intent, succeeds=succeeds)
    return intent


def authenticate(work: Work, challenge: Json, *, approved: bool) -> Json:
    """The buyer's answer at the bank's page; no effect once the question is void."""
    intent = find(work, challenge["payment_intent"])
    if is_asking(intent, challenge):
        answer: Callable[[Work, Json], None] = (
            attempts.approve if approved else attempts.refuse
        )
        answer(work, intent)
    return intent


def is_asking(intent: Json, challenge: Json) -> bool:
    """Tell whether the intent still waits for this very challenge."""
    return bool(
        intent["status"] == "requires_action"
        and challenge["id"] in str(intent["next_action"])
    )


def return_address(challenge: Json, intent: Json) -> str | None:
    """Where the bank sends the buyer back to, with the parameters Stripe appends."""
    if challenge["return_url"] is None:
        return None
    parts = urlsplit(challenge["return_url"])
    has_paid = intent["status"] in ("succeeded", "processing")
    query = [
        *parse_qsl(parts.query, keep_blank_values=True),
        ("payment_intent", intent["id"]),
        ("payment_intent_client_secret", intent["client_secret"]),
        ("redirect_status", "succeeded" if has_paid else "failed"),
    ]
    return urlunsplit(parts._replace(query=urlencode(query)))
