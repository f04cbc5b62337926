"""Refunds: whole or in part, at once, later, or failing after all."""

from sandbox.processor import errors, methods
from sandbox.processor import objects as shapes
from sandbox.processor.errors import Json
from sandbox.processor.money import format_money
from sandbox.processor.payment_methods import AfterSuccess
from sandbox.processor.words import names
from sandbox.processor.work import Call, Work

#: The timer that ends a refund.
SETTLE_TIMER = "settle_refund"
_CREATE = names(
    "amount charge expand instructions_email metadata payment_intent reason"
)
_UNSUPPORTED = names("currency customer origin refund_application_fee reverse_transfer")
_REASONS = ("duplicate", "fraudulent", "requested_by_customer")


def create(call: Call) -> Json:
    """``POST /v1/refunds``."""
    params = call.params
    params.allow(_CREATE, _UNSUPPORTED)
    reason = params.choice("reason", _REASONS)
    metadata = params.metadata()
    asked = params.whole("amount")
    if asked is not None and asked < 1:
        raise errors.invalid(
            "This value must be greater than or equal to 1.",
            code="parameter_invalid_integer",
            param="amount",
        )
    charge = _charge_of(call)
    amount = _refundable(charge, asked)
    refund = shapes.refund(
        call, charge, amount=amount, reason=reason, metadata=metadata
    )
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    mode = _mode(call, charge)
    if mode != "pending":
        refund |= {"status": "succeeded"}
    if mode != "succeed":
        seconds = call.world.switches.settings.refund_seconds
        call.later(seconds, SETTLE_TIMER, refund["id"])
    call.save(charge)
    call.save(refund, private={"mode": mode})
    call.emit("refund.created", refund)
    call.emit("charge.refunded", charge)
    return refund


def retrieve(call: Call) -> Json:
    """``GET /v1/refunds/{id}``."""
    call.params.allow({"expand"})
    return find(call, call.path_id)


def update(call: Call) -> Json:
    """``POST /v1/refunds/{id}``: its metadata."""
    call.params.allow({"expand", "metadata"})
    refund = find(call, call.path_id)
    refund["metadata"] = call.params.metadata(refund["metadata"])
    call.save(refund)
    call.emit("refund.updated", refund)
    return refund


def find(work: Work, identifier: str) -> Json:
    """The refund in the path, or Stripe's 404."""
    refund = work.world.storage.get(identifier, "refund")
    if refund is None:
        raise errors.no_such("refund", identifier, param="refund", in_path=True)
    work.intent_id = refund["payment_intent"]
    return refund


def settle(work: Work, identifier: str, *, succeeds: bool | None = None) -> Json:
    """End a refund as its mode says, or as told; a failed one gives the money back."""
    refund = find(work, identifier)
    mode = work.world.storage.private(identifier).get("mode")
    if succeeds is None:
        succeeds = mode == "pending"
    if refund["status"] in ("failed", "canceled"):
        return refund
    if succeeds:
        if refund["status"] == "pending":
            refund["status"] = "succeeded"
            work.save(refund)
            _tell(work, refund, "refund.updated", "charge.refund.updated")
        return refund
    _take_back(work, refund)
    return refund


def _take_back(work: Work, refund: Json) -> None:
    """The buyer's bank could not take it: the money is the merchant's again."""
    refund |= {
        "status": "failed",
        "failure_reason": "unknown",
        "failure_balance_transaction": None,
    }
    work.save(refund)
    charge = work.world.storage.get(refund["charge"], "charge")
    if charge is not None:
        charge["amount_refunded"] -= refund["amount"]
        charge["refunded"] = False
        work.save(charge)
    _tell(work, refund, "refund.updated", "refund.failed", "charge.refund.updated")


def _tell(work: Work, refund: Json, *kinds: str) -> None:
    for kind in kinds:
        work.emit(kind, refund)


def _charge_of(call: Call) -> Json:
    """The charge the request names, directly or by its PaymentIntent."""
    charge_id = call.params.text("charge")
    intent_id = call.params.text("payment_intent")
    if charge_id is None and intent_id is None:
        message = "One of the following params should be provided for this request: "
        raise errors.invalid(message + "payment_intent or charge.")
    if charge_id is None and intent_id is not None:
        return _charge_of_intent(call, intent_id)
    charge = call.world.storage.get(charge_id or "", "charge")
    if charge is None:
        raise errors.no_such("charge", charge_id or "", param="charge", in_path=False)
    call.intent_id = charge["payment_intent"]
    if charge["status"] != "succeeded":
        raise errors.refused(
            f"Charge {charge_id} is not refundable: its status is {charge['status']}."
        )
    return charge


def _charge_of_intent(call: Call, intent_id: str) -> Json:
    intent = call.world.storage.get(intent_id, "payment_intent")
    if intent is None:
        raise errors.no_such(
            "payment_intent", intent_id, param="payment_intent", in_path=False
        )
    call.intent_id = intent_id
    charge = call.world.storage.get(intent["latest_charge"] or "", "charge")
    if charge is None or charge["status"] != "succeeded":
        raise errors.refused(
            f"This PaymentIntent ({intent_id}) does not have a successful charge to "
            "refund.",
            code="payment_intent_unexpected_state",
            payment_intent=intent,
        )
    return charge


def _refundable(charge: Json, asked: int | None) -> int:
    """The amount to give back, or the reason it cannot be."""
    left = charge["amount"] - charge["amount_refunded"]
    if charge["disputed"]:
        raise errors.refused(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    if left == 0:
        raise errors.refused(
            f"Charge {charge['id']} has already been refunded.",
            code="charge_already_refunded",
        )
    if asked is not None and asked > left:
        currency = charge["currency"]
        raise errors.refused(
            f"Refund amount ({format_money(asked, currency)}) is greater than "
            f"unrefunded amount on charge ({format_money(left, currency)})",
            param="amount",
        )
    return asked or left


def _mode(call: Call, charge: Json) -> str:
    """What becomes of this refund: by its card, else by the switch."""
    by_card = {
        AfterSuccess.REFUND_PENDING: "pending",
        AfterSuccess.REFUND_FAILS: "fail_later",
    }
    method = methods.behind(call, charge["payment_method"])
    by_switch: str = call.world.switches.settings.refund_mode
    return by_card.get(method.after_success, by_switch)
