"""The shapes of Stripe's objects as they are first made."""

from typing import Any

from sandbox.processor.errors import Json
from sandbox.processor.payment_methods import Decline, TestMethod
from sandbox.processor.words import names
from sandbox.processor.work import Work, new_id, random_text

EXPIRY_MONTH = 12
EXPIRY_YEAR = 2034
_NO_ADDRESS = dict.fromkeys(names("city country line1 line2 postal_code state"))


def billing_details() -> Json:
    """Nothing known about the buyer, in Stripe's shape."""
    return {
        "address": dict(_NO_ADDRESS),
        "email": None,
        "name": None,
        "phone": None,
        "tax_id": None,
    }


def payment_intent(work: Work, *, amount: int, currency: str, **more: Any) -> Json:
    """A PaymentIntent that has no payment method yet."""
    identifier = new_id("pi")
    return {
        "id": identifier,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{identifier}_secret_{random_text(25)}",
        "confirmation_method": "automatic",
        "created": work.now(),
        "currency": currency,
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {
            "card": {
                "installments": None,
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            }
        },
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
        **more,
    }


def payment_method(work: Work, method: TestMethod, customer: str | None) -> Json:
    """The PaymentMethod that Stripe makes anew each time a test name is used."""
    return {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing_details(),
        "card": {
            "brand": method.brand,
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": "unchecked",
            },
            "country": "US",
            "display_brand": method.brand,
            "exp_month": EXPIRY_MONTH,
            "exp_year": EXPIRY_YEAR,
            "fingerprint": f"sandbox{method.last4}",
            "funding": "credit",
            "generated_from": None,
            "last4": method.last4,
            "networks": {"available": [method.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": work.now(),
        "customer": customer,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def charge(work: Work, intent: Json, method: Json, *, with_3ds: bool) -> Json:
    """A charge that has been asked for and not decided; metadata is the intent's."""
    identifier = new_id("ch")
    return {
        "id": identifier,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "SANDBOX",
        "captured": False,
        "created": work.now(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": None,
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _method_details(intent, method, with_3ds=with_3ds),
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "pending",
        "transfer_data": None,
        "transfer_group": None,
    }


def _method_details(intent: Json, method: Json, *, with_3ds: bool) -> Json:
    card = method["card"]
    authentication = {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": random_text(20),
        "version": "2.2.0",
    }
    return {
        "type": "card",
        "card": {
            "amount_authorized": intent["amount"],
            "authorization_code": None,
            "brand": card["brand"],
            "checks": card["checks"],
            "country": card["country"],
            "exp_month": card["exp_month"],
            "exp_year": card["exp_year"],
            "extended_authorization": {"status": "disabled"},
            "fingerprint": card["fingerprint"],
            "funding": card["funding"],
            "incremental_authorization": {"status": "unavailable"},
            "installments": None,
            "last4": card["last4"],
            "mandate": None,
            "multicapture": {"status": "unavailable"},
            "network": card["brand"],
            "network_token": {"used": False},
            "network_transaction_id": random_text(15),
            "overcapture": {
                "maximum_amount_capturable": intent["amount"],
                "status": "unavailable",
            },
            "regulated_status": "unregulated",
            "three_d_secure": authentication if with_3ds else None,
            "wallet": None,
        },
    }


def outcome(decline: Decline | None) -> Json:
    """A charge's ``outcome``: what the network said of it."""
    if decline is None:
        status, kind = "approved_by_network", "authorized"
        message = "Payment complete."
    elif decline.is_blocked:
        status, kind = "not_sent_to_network", "blocked"
        message = "Stripe blocked this payment as too risky."
    else:
        status, kind = "declined_by_network", "issuer_declined"
        message = "The bank did not return any further details with this decline."
    is_blocked = kind == "blocked"
    return {
        "advice_code": decline.advice_code if decline else None,
        "network_advice_code": None,
        "network_decline_code": decline.network_decline_code if decline else None,
        "network_status": status,
        "reason": decline.decline_code if decline else None,
        "risk_level": "highest" if is_blocked else "normal",
        "risk_score": 95 if is_blocked else 12,
        "seller_message": message,
        "type": kind,
    }


def refund(work: Work, charge: Json, *, amount: int, **more: Any) -> Json:
    """A refund that has not been decided."""
    return {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": work.now(),
        "currency": charge["currency"],
        "customer": None,
        "customer_account": None,
        "destination_details": {
            "card": {"type": "refund", "reference_status": "pending"},
            "type": "card",
        },
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "pending",
        "transfer_reversal": None,
        **more,
    }


def dispute(work: Work, charge: Json, *, reason: str) -> Json:
    """A dispute of the whole charge, waiting for an answer."""
    due_in_seconds = 9 * 86_400
    card = charge["payment_method_details"]["card"]
    return {
        "id": new_id("dp"),
        "object": "dispute",
        "amount": charge["amount"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": work.now(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": work.now() + due_in_seconds,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": card["brand"],
                "case_type": "chargeback",
                "network_reason_code": "10.4",
            },
            "type": "card",
        },
        "reason": reason,
        "status": "needs_response",
    }


def customer(work: Work, **more: Any) -> Json:
    """A customer with nothing but what was sent."""
    return {
        "id": new_id("cus"),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": work.now(),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": random_text(8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
        **more,
    }
