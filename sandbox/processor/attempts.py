"""One attempt to pay a PaymentIntent: what each test payment method leads to.

Money moves in ``take`` and nowhere else.
"""

from collections.abc import Callable

from sandbox.processor import disputes, methods, objects, payment_methods
from sandbox.processor.errors import Json
from sandbox.processor.payment_methods import AfterSuccess, Decline, Outcome
from sandbox.processor.work import Call, Work, new_id

#: The timer that ends a processing payment.
SETTLE_TIMER = "settle_payment_intent"
_AUTHENTICATION_FAILED = (
    "The provided PaymentMethod has failed authentication. You can provide "
    "payment_method_data or a new PaymentMethod to attempt to fulfill this "
    "PaymentIntent again."
)


def begin(call: Call, intent: Json, *, return_url: str | None) -> None:
    """Confirm the intent with the payment method it has; the intent is changed."""
    method = methods.behind(call, intent["payment_method"])
    intent |= {"next_action": None, "last_payment_error": None}
    if method.outcome in (Outcome.AUTHENTICATE, Outcome.AUTHENTICATE_THEN_DECLINE):
        unattended = _unattended_decline(call)
        if unattended is None:
            _challenge(call, intent, return_url)
        else:
            _decline(call, intent, unattended)
        return
    endings: dict[Outcome, Callable[[], None]] = {
        Outcome.SUCCEED: lambda: succeed(call, intent),
        Outcome.DECLINE: lambda: _decline(call, intent, method.decline),
        Outcome.PROCESS_THEN_SUCCEED: lambda: _process(call, intent),
        Outcome.PROCESS_THEN_DECLINE: lambda: _process(call, intent),
    }
    endings[method.outcome]()


def _unattended_decline(call: Call) -> Decline | None:
    """With nobody there to approve, a card that asks for approval is declined."""
    if call.params.flag("off_session"):
        return payment_methods.AUTHENTICATION_REQUIRED
    if call.params.flag("error_on_requires_action"):
        return payment_methods.AUTHENTICATION_NOT_HANDLED
    return None


def approve(work: Work, intent: Json) -> None:
    """The buyer approved at the bank's page."""
    method = methods.behind(work, intent["payment_method"])
    intent["next_action"] = None
    if method.outcome is Outcome.AUTHENTICATE_THEN_DECLINE:
        _decline(work, intent, method.decline, with_3ds=True)
    else:
        succeed(work, intent, with_3ds=True)


def refuse(work: Work, intent: Json) -> None:
    """The buyer refused at the bank's page: no charge was attempted."""
    failure = {
        "code": "payment_intent_authentication_failure",
        "doc_url": "https://docs.stripe.com/error-codes/"
        "payment-intent-authentication-failure",
        "message": _AUTHENTICATION_FAILED,
        "payment_method": _stored_method(work, intent),
        "type": "invalid_request_error",
    }
    _fail(work, intent, failure)


def settle(work: Work, intent: Json, *, succeeds: bool | None) -> None:
    """End a processing payment; by its method's nature unless told otherwise."""
    method = methods.behind(work, intent["payment_method"])
    if succeeds is None:
        succeeds = method.outcome is Outcome.PROCESS_THEN_SUCCEED
    pending = work.world.storage.get(intent["latest_charge"], "charge")
    if succeeds:
        succeed(work, intent, charge=pending)
    else:
        _decline(work, intent, method.decline, charge=pending)


def take(work: Work, charge: Json) -> None:
    """Move the money: the one place where a charge succeeds."""
    receipt = f"{work.world.options.public_url}/receipts/{charge['id']}"
    charge |= {
        "amount_captured": charge["amount"],
        "captured": True,
        "outcome": objects.outcome(None),
        "paid": True,
        "receipt_url": receipt,
        "status": "succeeded",
    }
    work.save(charge)


def succeed(
    work: Work, intent: Json, *, with_3ds: bool = False, charge: Json | None = None
) -> None:
    """Pay the intent with the charge given, or with a new one."""
    charge = charge or _new_charge(work, intent, with_3ds=with_3ds)
    take(work, charge)
    intent |= {
        "amount_received": intent["amount"],
        "latest_charge": charge["id"],
        "next_action": None,
        "status": "succeeded",
    }
    work.save(intent)
    work.emit("charge.succeeded", charge)
    work.emit("payment_intent.succeeded", intent)
    method = methods.behind(work, charge["payment_method"])
    if method.after_success is AfterSuccess.DISPUTE:
        disputes.open_dispute(work, charge, reason="fraudulent")


def _decline(
    work: Work,
    intent: Json,
    decline: Decline,
    *,
    with_3ds: bool = False,
    charge: Json | None = None,
) -> None:
    """The bank, or Stripe itself, refused: a failed charge is kept as evidence."""
    charge = charge or _new_charge(work, intent, with_3ds=with_3ds)
    charge |= {
        "failure_code": decline.code,
        "failure_message": decline.message,
        "outcome": objects.outcome(decline),
        "status": "failed",
    }
    work.save(charge)
    work.emit("charge.failed", charge)
    failure = {
        "charge": charge["id"],
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": f"https://docs.stripe.com/error-codes/{_dashed(decline.code)}",
        "message": decline.message,
        "payment_method": _stored_method(work, intent),
        "type": "card_error",
    }
    optional = {
        "advice_code": decline.advice_code,
        "network_decline_code": decline.network_decline_code,
        "param": decline.param,
    }
    failure |= {name: value for name, value in optional.items() if value is not None}
    intent["latest_charge"] = charge["id"]
    _fail(work, intent, failure)


def _fail(work: Work, intent: Json, failure: Json) -> None:
    """Back to asking for a payment method, with the reason on the intent."""
    intent |= {
        "last_payment_error": failure,
        "next_action": None,
        "payment_method": None,
        "status": "requires_payment_method",
    }
    work.save(intent)
    work.emit("payment_intent.payment_failed", intent)


def _process(work: Work, intent: Json) -> None:
    """Neither paid nor refused yet; a timer decides."""
    charge = _new_charge(work, intent, with_3ds=False)
    work.save(charge)
    intent |= {"latest_charge": charge["id"], "status": "processing"}
    work.save(intent)
    work.emit("charge.pending", charge)
    work.emit("payment_intent.processing", intent)
    seconds = work.world.switches.settings.processing_seconds
    work.later(seconds, SETTLE_TIMER, intent["id"])


def _challenge(work: Work, intent: Json, return_url: str | None) -> None:
    """Send the buyer to the bank; without a way back, only Stripe.js could do it."""
    challenge = {
        "id": new_id("payatt"),
        "object": "bank_challenge",
        "created": work.now(),
        "payment_intent": intent["id"],
        "return_url": return_url,
    }
    work.save(challenge)
    url = f"{work.world.options.public_url}/bank/{challenge['id']}"
    if return_url:
        intent["next_action"] = {
            "redirect_to_url": {"return_url": return_url, "url": url},
            "type": "redirect_to_url",
        }
    else:
        intent["next_action"] = {
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {"stripe_js": url, "type": "three_d_secure_redirect"},
        }
    intent["status"] = "requires_action"
    work.save(intent)
    work.emit("payment_intent.requires_action", intent)


def _new_charge(work: Work, intent: Json, *, with_3ds: bool) -> Json:
    method = _stored_method(work, intent)
    return objects.charge(work, intent, method, with_3ds=with_3ds)


def _stored_method(work: Work, intent: Json) -> Json:
    method = work.world.storage.get(intent["payment_method"], "payment_method")
    if method is None:
        raise LookupError(f"{intent['id']} has no stored payment method")
    return method


def _dashed(code: str) -> str:
    return code.replace("_", "-")
