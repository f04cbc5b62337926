"""The test payment methods: Stripe's own names, and three that are the sandbox's.

Names starting ``pm_card_`` are from https://docs.stripe.com/testing, and each one has
the same outcome there. Names starting ``pm_sandbox_`` exist here only: Stripe reaches
those states with bank debits, over days.
"""

from dataclasses import dataclass
from enum import StrEnum

from sandbox.processor.errors import Json


class Outcome(StrEnum):
    """What a confirmation with this payment method leads to."""

    SUCCEED = "succeed"
    DECLINE = "decline"
    AUTHENTICATE = "authenticate"
    AUTHENTICATE_THEN_DECLINE = "authenticate_then_decline"
    PROCESS_THEN_SUCCEED = "process_then_succeed"
    PROCESS_THEN_DECLINE = "process_then_decline"


class AfterSuccess(StrEnum):
    """What happens to the money later on."""

    NOTHING = "nothing"
    DISPUTE = "dispute"
    REFUND_PENDING = "refund_pending"
    REFUND_FAILS = "refund_fails"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline:
    """A refusal in Stripe's words.

    https://docs.stripe.com/declines/codes
    """

    code: str
    decline_code: str
    message: str
    advice_code: str | None = "try_again_later"
    network_decline_code: str | None = "01"
    param: str | None = None
    is_blocked: bool = False
    """True when Stripe's own fraud rules refused and the bank was never asked."""


GENERIC = Decline(
    code="card_declined",
    decline_code="generic_decline",
    message="Your card was declined.",
)
AUTHENTICATION_REQUIRED = Decline(
    code="authentication_required",
    decline_code="authentication_required",
    message="Your card was declined. This transaction requires authentication.",
    advice_code=None,
    network_decline_code=None,
)
AUTHENTICATION_NOT_HANDLED = Decline(
    code="card_declined",
    decline_code="authentication_not_handled",
    message="Your card was declined. This transaction requires authentication.",
    advice_code=None,
    network_decline_code=None,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestMethod:
    """One test payment method and what becomes of a payment with it."""

    id: str
    label: str
    """Plain words for the person who picks it."""
    brand: str = "visa"
    last4: str = "4242"
    outcome: Outcome = Outcome.SUCCEED
    decline: Decline = GENERIC
    after_success: AfterSuccess = AfterSuccess.NOTHING
    is_slow: bool = False
    """True when the processor takes its time before it acts on a confirmation."""
    aliases: tuple[str, ...] = ()

    @property
    def is_stripe_name(self) -> bool:
        """Tell whether Stripe has this payment method too."""
        return not self.id.startswith("pm_sandbox_")


def _declined(
    name: str, label: str, last4: str, decline: Decline, *aliases: str
) -> TestMethod:
    return TestMethod(
        id=name,
        label=label,
        last4=last4,
        outcome=Outcome.DECLINE,
        decline=decline,
        aliases=aliases,
    )


def _hard(decline_code: str) -> Decline:
    return Decline(
        code="card_declined",
        decline_code=decline_code,
        message="Your card was declined.",
        advice_code="do_not_try_again",
    )


_SUCCESSES = (
    TestMethod(id="pm_card_visa", label="Visa that pays at once"),
    TestMethod(
        id="pm_card_mastercard",
        label="Mastercard that pays at once",
        brand="mastercard",
        last4="4444",
    ),
    TestMethod(
        id="pm_card_amex",
        label="American Express that pays at once",
        brand="amex",
        last4="8431",
    ),
)
_AUTHENTICATIONS = (
    TestMethod(
        id="pm_card_authenticationRequired",
        label="Card whose bank always asks the buyer to approve (3-D Secure)",
        last4="3184",
        outcome=Outcome.AUTHENTICATE,
    ),
    TestMethod(
        id="pm_card_threeDSecure2Required",
        label="Card that must pass 3-D Secure 2",
        last4="3220",
        outcome=Outcome.AUTHENTICATE,
        aliases=("pm_card_threeDSecureRequired",),
    ),
    TestMethod(
        id="pm_card_threeDSecureRequiredChargeDeclined",
        label="Card approved at the bank's page, then declined",
        last4="1629",
        outcome=Outcome.AUTHENTICATE_THEN_DECLINE,
    ),
)
_DECLINES = (
    _declined(
        "pm_card_visa_chargeDeclined",
        "Declined, no reason given",
        "0002",
        GENERIC,
        "pm_card_chargeDeclined",
    ),
    _declined(
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        "Declined: not enough money",
        "9995",
        Decline(
            code="card_declined",
            decline_code="insufficient_funds",
            message="Your card has insufficient funds.",
        ),
        "pm_card_chargeDeclinedInsufficientFunds",
    ),
    _declined(
        "pm_card_visa_chargeDeclinedLostCard",
        "Declined: reported lost",
        "9987",
        _hard("lost_card"),
        "pm_card_chargeDeclinedLostCard",
    ),
    _declined(
        "pm_card_visa_chargeDeclinedStolenCard",
        "Declined: reported stolen",
        "9979",
        _hard("stolen_card"),
        "pm_card_chargeDeclinedStolenCard",
    ),
    _declined(
        "pm_card_chargeDeclinedExpiredCard",
        "Declined: card has expired",
        "0069",
        Decline(
            code="expired_card",
            decline_code="expired_card",
            message="Your card has expired.",
            advice_code="do_not_try_again",
            param="exp_month",
        ),
        "pm_card_visa_chargeDeclinedExpiredCard",
    ),
    _declined(
        "pm_card_chargeDeclinedIncorrectCvc",
        "Declined: wrong security code",
        "0127",
        Decline(
            code="incorrect_cvc",
            decline_code="incorrect_cvc",
            message="Your card's security code is incorrect.",
            param="cvc",
        ),
        "pm_card_visa_chargeDeclinedIncorrectCvc",
    ),
    _declined(
        "pm_card_chargeDeclinedProcessingError",
        "Declined: error while processing, try again",
        "0119",
        Decline(
            code="processing_error",
            decline_code="processing_error",
            message="An error occurred while processing your card. Try again in a "
            "little bit.",
        ),
        "pm_card_visa_chargeDeclinedProcessingError",
    ),
    _declined(
        "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
        "Declined: too many attempts",
        "6975",
        Decline(
            code="card_declined",
            decline_code="card_velocity_exceeded",
            message="Your card was declined for making repeated attempts too "
            "frequently or exceeding its amount limit.",
        ),
    ),
    _declined(
        "pm_card_radarBlock",
        "Blocked: looks fraudulent",
        "0019",
        Decline(
            code="card_declined",
            decline_code="fraudulent",
            message="Your card was declined.",
            advice_code="do_not_try_again",
            network_decline_code=None,
            is_blocked=True,
        ),
        "pm_card_chargeDeclinedFraudulent",
        "pm_card_visa_chargeDeclinedFraudulent",
    ),
)
_LATER = (
    TestMethod(
        id="pm_card_createDispute",
        label="Pays, and the buyer's bank disputes it at once",
        last4="0259",
        after_success=AfterSuccess.DISPUTE,
    ),
    TestMethod(
        id="pm_card_pendingRefund",
        label="Pays; a refund stays pending for a while",
        last4="7726",
        after_success=AfterSuccess.REFUND_PENDING,
    ),
    TestMethod(
        id="pm_card_refundFail",
        label="Pays; a refund seems to work and fails later",
        last4="5126",
        after_success=AfterSuccess.REFUND_FAILS,
    ),
)
_SANDBOX_ONLY = (
    TestMethod(
        id="pm_sandbox_processingThenSuccess",
        label="Takes a few seconds to process, then pays",
        last4="4021",
        outcome=Outcome.PROCESS_THEN_SUCCEED,
    ),
    TestMethod(
        id="pm_sandbox_processingThenFailure",
        label="Takes a few seconds to process, then is declined",
        last4="4022",
        outcome=Outcome.PROCESS_THEN_DECLINE,
    ),
    TestMethod(
        id="pm_sandbox_slow",
        label="Pays, but the processor answers slowly",
        last4="4023",
        is_slow=True,
    ),
)

#: Every test payment method, in the order a person is offered them.
CATALOGUE = _SUCCESSES + _AUTHENTICATIONS + _SANDBOX_ONLY + _DECLINES + _LATER

_BY_NAME = {
    name: method for method in CATALOGUE for name in (method.id, *method.aliases)
}


def find(name: str | None) -> TestMethod | None:
    """The test payment method with this name or alias."""
    return _BY_NAME.get(name) if name else None


def as_choice(method: TestMethod) -> Json:
    """One line of ``GET /sandbox/payment_methods``."""
    return {
        "id": method.id,
        "label": method.label,
        "brand": method.brand,
        "last4": method.last4,
        "outcome": method.outcome.value,
        "decline_code": (
            method.decline.decline_code if "decline" in method.outcome else None
        ),
        "is_stripe_name": method.is_stripe_name,
        "aliases": list(method.aliases),
    }
