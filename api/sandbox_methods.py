"""The means of payment that the pay page offers in the sandbox, in plain words.

They are the processor's own test names (https://docs.stripe.com/testing); those that
begin with `pm_sandbox_` exist in our sandbox alone. Shown only while no publishable key
is set, which production refuses.
"""

from __future__ import annotations

from typing import NamedTuple


class SandboxMethod(NamedTuple):
    """One choice of the pay form."""

    payment_method: str
    label: str


SANDBOX_METHODS = (
    SandboxMethod("pm_card_visa", "Visa that pays at once"),
    SandboxMethod("pm_card_mastercard", "Mastercard that pays at once"),
    SandboxMethod(
        "pm_card_authenticationRequired",
        "Visa whose bank asks you to approve (3-D Secure)",
    ),
    SandboxMethod(
        "pm_card_threeDSecureRequiredChargeDeclined",
        "Visa approved at the bank's page, then declined",
    ),
    SandboxMethod(
        "pm_card_visa_chargeDeclined", "Visa that is declined, without reason"
    ),
    SandboxMethod(
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        "Visa that is declined: not enough money",
    ),
    SandboxMethod(
        "pm_card_chargeDeclinedExpiredCard", "Visa that is declined: it has expired"
    ),
    SandboxMethod(
        "pm_card_chargeDeclinedIncorrectCvc",
        "Visa that is declined: wrong security code",
    ),
    SandboxMethod(
        "pm_card_chargeDeclinedProcessingError",
        "Visa that is declined: the bank's system stumbled",
    ),
    SandboxMethod("pm_card_visa_chargeDeclinedLostCard", "Visa that was reported lost"),
    SandboxMethod(
        "pm_sandbox_processingThenSuccess", "Takes a few seconds to process, then pays"
    ),
    SandboxMethod(
        "pm_sandbox_processingThenFailure",
        "Takes a few seconds to process, then is declined",
    ),
    SandboxMethod("pm_sandbox_slow", "Pays, but the processor answers slowly"),
)

#: Every name that the pay form may send in the sandbox: those above, and the others
#: that the sandbox processor knows, which no page offers but a developer may try.
SANDBOX_NAMES = frozenset(method.payment_method for method in SANDBOX_METHODS) | {
    "pm_card_amex",
    "pm_card_threeDSecure2Required",
    "pm_card_threeDSecureRequired",
    "pm_card_chargeDeclined",
    "pm_card_chargeDeclinedInsufficientFunds",
    "pm_card_chargeDeclinedLostCard",
    "pm_card_chargeDeclinedStolenCard",
    "pm_card_visa_chargeDeclinedStolenCard",
    "pm_card_visa_chargeDeclinedExpiredCard",
    "pm_card_visa_chargeDeclinedIncorrectCvc",
    "pm_card_visa_chargeDeclinedProcessingError",
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
    "pm_card_radarBlock",
    "pm_card_chargeDeclinedFraudulent",
    "pm_card_visa_chargeDeclinedFraudulent",
    "pm_card_createDispute",
    "pm_card_pendingRefund",
    "pm_card_refundFail",
}
