"""Money: an integer of minor units and its currency, always together."""

from dataclasses import dataclass

#: Symbols written before the amount; other currencies are written as "249.00 CHF".
_SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£"}

#: Currencies without a minor unit. https://docs.stripe.com/currencies#zero-decimal
_ZERO_DECIMAL = {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg"} | {
    "rwf",
    "ugx",
    "vnd",
    "vuv",
    "xaf",
    "xof",
    "xpf",
}

#: Currencies with a third decimal, which amounts are not printed or typed with here.
#: https://docs.stripe.com/currencies#three-decimal
_THREE_DECIMAL = {"bhd", "iqd", "jod", "kwd", "lyd", "omr", "tnd"}


def is_written_right(currency: str) -> bool:
    """Say whether amounts of a currency are printed as they are charged."""
    return currency not in _THREE_DECIMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount that can be compared, sent and printed.

    Attributes:
        amount_minor: Whole minor units of `currency`: 24900 is $249.00.
        currency: Lower-case ISO 4217 code.
    """

    amount_minor: int
    currency: str

    def __str__(self) -> str:
        """Return the amount as a customer reads it: `$249.00`."""
        return format_money(self)


def parse_money(text: str, currency: str) -> Money:
    """Read an amount as a person types it: `249.00` or `249` in dollars.

    Raises:
        ValueError: It is not a plain amount of this currency.
    """
    digits = 0 if currency in _ZERO_DECIMAL else 2
    major, dot, minor = text.strip().partition(".")
    is_plain = (major + minor).isdecimal() and (major + minor).isascii()
    if not is_plain or not major or (dot and len(minor) != digits):
        example = "249.00" if digits else "249"
        msg = f"{text!r} is not an amount in {currency.upper()}: write it as {example}."
        raise ValueError(msg)
    return Money(
        amount_minor=int(major) * 10**digits + int(minor or 0), currency=currency
    )


def format_money(money: Money) -> str:
    """Write an amount for a person: `$249.00`, `1200 JPY`, `-€5.00`."""
    sign = "-" if money.amount_minor < 0 else ""
    if money.currency in _ZERO_DECIMAL:
        number = f"{abs(money.amount_minor):,}"
    else:
        major, minor = divmod(abs(money.amount_minor), 100)
        number = f"{major:,}.{minor:02d}"
    symbol = _SYMBOLS.get(money.currency)
    if symbol is None:
        return f"{sign}{number} {money.currency.upper()}"
    return f"{sign}{symbol}{number}"
