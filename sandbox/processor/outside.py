"""Payments made past the shop: by another integration, a dashboard, or a lost database.

They are planted by the control API, for whoever wants to see them found.
"""

from dataclasses import dataclass, field

from sandbox.processor import attempts, errors, objects, payment_methods
from sandbox.processor.errors import Json
from sandbox.processor.parameters import Parameters
from sandbox.processor.payment_methods import TestMethod
from sandbox.processor.work import Work

_KNOWN = frozenset(
    {"amount", "created", "currency", "is_legacy", "metadata", "payment_method"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A payment to be made.

    Attributes:
        amount: In minor units.
        currency: Lower-case ISO 4217 code.
        method: The test payment method it is made with.
        metadata: The PaymentIntent's; the charge gets a copy, as it does at Stripe.
        created: Epoch seconds; None for now. It is listed where that belongs.
        is_legacy: Made by the Charges API alone, without a PaymentIntent.
    """

    amount: int
    currency: str
    method: TestMethod
    metadata: Json = field(default_factory=dict)
    created: int | None = None
    is_legacy: bool = False

    @classmethod
    def read(cls, body: Json) -> "Wanted":
        """Read the control request: 24900 usd by visa unless it says otherwise."""
        simple = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in body.items()
            if name not in ("metadata", "payment_method")
        }
        params = Parameters({**simple, "metadata": body.get("metadata")})
        params.allow(_KNOWN)
        currency = params.currency() or "usd"
        name = str(body.get("payment_method", "pm_card_visa"))
        method = payment_methods.find(name)
        if method is None:
            raise errors.no_such(
                "PaymentMethod", name, param="payment_method", in_path=False
            )
        return cls(
            amount=params.amount("amount", currency) or 24900,
            currency=currency,
            method=method,
            metadata=params.metadata(),
            created=params.whole("created"),
            is_legacy=params.flag("is_legacy"),
        )


def pay(work: Work, wanted: Wanted) -> Json:
    """Make the payment and return its charge."""
    method = objects.payment_method(work, wanted.method, None)
    work.save(method, private={"method": wanted.method.id})
    created = work.now() if wanted.created is None else wanted.created
    intent = objects.payment_intent(
        work,
        amount=wanted.amount,
        currency=wanted.currency,
        created=created,
        metadata=wanted.metadata,
        payment_method=method["id"],
    )
    charge = objects.charge(work, intent, method, with_3ds=False)
    charge["created"] = created
    if wanted.is_legacy:
        charge["payment_intent"] = None
        attempts.take(work, charge)
        work.emit("charge.succeeded", charge)
        return charge
    work.save(intent)
    work.emit("payment_intent.created", intent)
    attempts.succeed(work, intent, charge=charge)
    return charge
