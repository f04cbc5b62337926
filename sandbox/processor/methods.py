"""Which payment method a request chose, by name, by id or by confirmation token."""

from dataclasses import dataclass

from sandbox.processor import errors, objects, payment_methods
from sandbox.processor.errors import Json
from sandbox.processor.payment_methods import TestMethod
from sandbox.processor.work import Call, Work, new_id

_TOKEN_LIFE_SECONDS = 12 * 3600  # https://docs.stripe.com/api/confirmation_tokens


@dataclass(slots=True, kw_only=True)
class Chosen:
    """A payment method found but not yet stored.

    Attributes:
        method: The test method behind it.
        existing: The PaymentMethod, when it was there before this request.
        token: The confirmation token it came by.
        return_url: The return address the token carried.
    """

    method: TestMethod
    existing: Json | None = None
    token: Json | None = None
    return_url: str | None = None


def chosen(call: Call, customer: str | None) -> Chosen | None:
    """Read ``payment_method`` or ``confirmation_token``; writes nothing."""
    name = call.params.text("payment_method")
    token = call.params.text("confirmation_token")
    if name and token:
        message = (
            "You may only specify one of these parameters: "
            "payment_method, confirmation_token."
        )
        raise errors.invalid(message)
    if token:
        return _by_token(call, token)
    return None if name is None else _by_name(call, name, customer)


def _by_name(call: Call, name: str, customer: str | None) -> Chosen:
    method = payment_methods.find(name)
    if method is not None:
        return Chosen(method=method)
    existing = call.world.storage.get(name, "payment_method")
    if existing is None:
        raise errors.no_such(
            "PaymentMethod", name, param="payment_method", in_path=False
        )
    if existing["customer"] not in (None, customer):
        message = (
            f"The customer does not have a payment method with the ID {name}. The "
            "payment method must be attached to the customer."
        )
        raise errors.invalid(message, code="resource_missing", param="payment_method")
    return Chosen(method=behind(call, name), existing=existing)


def _by_token(call: Call, identifier: str) -> Chosen:
    token = call.world.storage.get(identifier, "confirmation_token")
    if token is None:
        raise errors.no_such(
            "confirmationtoken", identifier, param="confirmation_token", in_path=False
        )
    if token["payment_intent"] not in (None, call.path_id or None):
        message = (
            "This ConfirmationToken was already used with another PaymentIntent and "
            "cannot be used again."
        )
        raise errors.invalid(message, param="confirmation_token")
    if token["expires_at"] < call.now():
        message = "This ConfirmationToken has expired."
        raise errors.invalid(message, param="confirmation_token")
    facts = call.world.storage.private(identifier)
    method = payment_methods.find(facts["method"])
    if method is None:
        raise LookupError(f"{identifier} was made from no test method")
    return Chosen(method=method, token=token, return_url=token["return_url"])


def behind(work: Work, identifier: str) -> TestMethod:
    """The test method a stored PaymentMethod was made from."""
    name = work.world.storage.private(identifier).get("method")
    method = payment_methods.find(name)
    if method is None:
        raise LookupError(f"{identifier} was made from no test method")
    return method


def attach(call: Call, intent: Json, chosen: Chosen) -> None:
    """Store the payment method and make it the intent's own."""
    stored = chosen.existing
    if stored is None:
        stored = objects.payment_method(call, chosen.method, intent["customer"])
        call.save(stored, private={"method": chosen.method.id})
    if chosen.token is not None:
        call.save({**chosen.token, "payment_intent": intent["id"]})
    intent["payment_method"] = stored["id"]
    if intent["status"] == "requires_payment_method":
        intent["status"] = "requires_confirmation"


def check_return_url(call: Call, intent: Json, chosen: Chosen | None) -> None:
    """Automatic payment methods may redirect, so Stripe wants a way back."""
    has_address = "return_url" in call.params or (chosen and chosen.return_url)
    automatic = intent["automatic_payment_methods"] or {}
    if has_address or automatic.get("allow_redirects", "never") == "never":
        return
    raise errors.invalid(
        "This PaymentIntent is configured to accept payment methods enabled in your "
        "Dashboard. Because some of these payment methods might redirect your "
        "customer off of your page, you must provide a `return_url`. If you don't "
        "want to accept redirect-based payment methods, set "
        "`automatic_payment_methods[enabled]` to `true` and "
        "`automatic_payment_methods[allow_redirects]` to `never` when creating Setup "
        "Intents and Payment Intents."
    )


def retrieve(call: Call) -> Json:
    """``GET /v1/payment_methods/{id}``."""
    call.params.allow({"expand"})
    found = call.world.storage.get(call.path_id, "payment_method")
    if found is None:
        raise errors.no_such(
            "PaymentMethod", call.path_id, param="payment_method", in_path=True
        )
    return found


def create_token(call: Call) -> Json:
    """``POST /v1/test_helpers/confirmation_tokens``: what Stripe.js does in a page."""
    call.params.allow({"expand", "payment_method", "return_url"})
    name = call.params.text("payment_method")
    method = payment_methods.find(name)
    if method is None:
        if name is None:
            raise errors.missing_parameter("payment_method")
        raise errors.no_such(
            "PaymentMethod", name, param="payment_method", in_path=False
        )
    preview = objects.payment_method(call, method, None)
    token = {
        "id": new_id("ctoken"),
        "object": "confirmation_token",
        "created": call.now(),
        "expires_at": call.now() + _TOKEN_LIFE_SECONDS,
        "livemode": False,
        "mandate_data": None,
        "payment_intent": None,
        "payment_method_options": None,
        "payment_method_preview": {
            name: preview[name]
            for name in ("allow_redisplay", "billing_details", "card", "type")
        },
        "return_url": call.params.text("return_url"),
        "setup_future_usage": None,
        "setup_intent": None,
        "shipping": None,
        "use_stripe_sdk": True,
    }
    call.save(token, private={"method": method.id})
    return token


def retrieve_token(call: Call) -> Json:
    """``GET /v1/confirmation_tokens/{id}``."""
    call.params.allow({"expand"})
    found = call.world.storage.get(call.path_id, "confirmation_token")
    if found is None:
        raise errors.no_such(
            "confirmationtoken", call.path_id, param="confirmation_token", in_path=True
        )
    return found
