"""Cards, addresses, times as a customer reads them: the same on pages and in mails."""

from __future__ import annotations

from datetime import UTC, datetime

#: As the brands write themselves; the processor has one word for each.
#: https://docs.stripe.com/api/charges/object#charge_object-payment_method_details-card
_BRANDS = {
    "amex": "American Express",
    "cartes_bancaires": "Cartes Bancaires",
    "diners": "Diners Club",
    "discover": "Discover",
    "eftpos_au": "eftpos",
    "jcb": "JCB",
    "mastercard": "Mastercard",
    "unionpay": "UnionPay",
    "visa": "Visa",
}

#: When a bank writes money that went back on a statement; wherever we tell of it.
BANKS = "Banks usually show it within 5 to 10 business days."


def card_in_words(brand: str | None, last4: str | None) -> str | None:
    """Write a card as its owner knows it: `Visa ending 4242`; None without digits."""
    if not last4:
        return None
    return f"{_BRANDS.get(brand or '', 'Card')} ending {last4}"


def masked(email: str) -> str:
    """Write an address so that its owner knows it, and others learn little."""
    name, _, host = email.rpartition("@")
    return f"{name[:1]}•••@{host}"


def moment_in_words(moment: datetime) -> str:
    """Write an instant with its zone: `23 Nov 2026, 14:32 UTC`."""
    return f"{day_in_words(moment)}, {moment.astimezone(UTC):%H:%M} UTC"


def day_in_words(moment: datetime) -> str:
    """Write the day of an instant in UTC: `23 Nov 2026`."""
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%b %Y}"


def at_in_words(moment: datetime, *, now: datetime) -> str:
    """Write when something was: `at 14:32 UTC`, or `on 23 Nov 2026, 14:32 UTC`."""
    if _same_day(moment, now):
        return f"at {moment.astimezone(UTC):%H:%M} UTC"
    return f"on {moment_in_words(moment)}"


def by_in_words(moment: datetime, *, now: datetime) -> str:
    """Write a time after "by" or "since": `14:50 UTC`, with the day if not today."""
    if _same_day(moment, now):
        return f"{moment.astimezone(UTC):%H:%M} UTC"
    return moment_in_words(moment)


def _same_day(moment: datetime, now: datetime) -> bool:
    return moment.astimezone(UTC).date() == now.astimezone(UTC).date()
