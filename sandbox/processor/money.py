"""Money as people read it: an amount in minor units and a currency, as a string."""

from sandbox.processor.words import names

#: Currencies without minor units. https://docs.stripe.com/currencies#zero-decimal
ZERO_DECIMAL = names("bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf")
#: The currencies the sandbox takes; Stripe takes more.
SUPPORTED = ZERO_DECIMAL | names(
    "aud brl cad chf czk dkk eur gbp hkd huf ils inr mxn myr nok nzd php pln ron "
    "sek sgd thb try twd usd zar"
)
#: Stripe's smallest charge, in minor units, where it is not 50.
#: https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
MINIMUM = {"jpy": 50, "gbp": 30, "mxn": 1000, "dkk": 250, "nok": 300, "sek": 300}
DEFAULT_MINIMUM = 50
#: "The amount value supports up to eight digits".
MAXIMUM = 99_999_999
_SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}


def format_money(amount: int, currency: str) -> str:
    """Write minor units the way a person reads them, such as ``$249.00``."""
    number = f"{amount:,}" if currency in ZERO_DECIMAL else f"{amount / 100:,.2f}"
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{number}" if symbol else f"{number} {currency.upper()}"
