"""What a bank's decline means for the buyer, in one table.

Codes: https://docs.stripe.com/declines/codes. Lost, stolen and fraudulent cards read
like any other decline: the person at the keyboard may be the thief.
"""

from __future__ import annotations

from domain.states import DeclineClass

_CLASS_OF_CODE = {
    DeclineClass.CHECK_DETAILS: (
        "expired_card incorrect_cvc incorrect_number incorrect_zip invalid_cvc "
        "invalid_expiry_month invalid_expiry_year invalid_number"
    ),
    DeclineClass.OTHER_CARD: (
        "card_not_supported card_velocity_exceeded currency_not_supported "
        "insufficient_funds withdrawal_count_limit_exceeded"
    ),
    DeclineClass.ASK_BANK: (
        "authentication_required call_issuer do_not_honor not_permitted "
        "payment_intent_authentication_failure revocation_of_all_authorizations "
        "revocation_of_authorization security_violation service_not_allowed "
        "transaction_not_allowed"
    ),
    DeclineClass.TRY_AGAIN: (
        "approve_with_id issuer_not_available processing_error reenter_transaction "
        "try_again_later"
    ),
}
_BY_CODE = {
    code: decline for decline, codes in _CLASS_OF_CODE.items() for code in codes.split()
}


def decline_class(code: str | None, decline_code: str | None) -> DeclineClass:
    """Return what a decline means for the buyer.

    Args:
        code: The error's code, as `card_declined` or `expired_card`.
        decline_code: The bank's own code, as `insufficient_funds`; goes first.
    """
    for known in (decline_code, code):
        if known in _BY_CODE:
            return _BY_CODE[known]
    return DeclineClass.GENERIC
