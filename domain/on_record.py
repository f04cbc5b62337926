"""What the processor is told of a checkout: enough to make a lost row anew.

It travels as the PaymentIntent's metadata, and the processor copies it to the charge.
When the database comes back from an older backup, or a row is gone for another reason,
the charge itself then says who paid, for what, and under which address.

It names the buyer. So it never crosses a Temporal boundary: the activity that needs it
reads it from the database, or from the processor, and hands it on in memory.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from domain.identifiers import is_reference_code
from domain.money import Money

#: Characters in one value. https://docs.stripe.com/api/metadata
_LONGEST_VALUE = 500
#: Characters in an address that mail servers understand. RFC 5321, 4.5.3.1.3.
_LONGEST_EMAIL = 254

#: Far above all that we make, far below what the columns and the calendar can hold.
_MOST_ATTEMPTS = 1_000
_MOST_MONTHS = 1_200
_MOST_MINOR = 10**15

#: A PaymentIntent that is readied for another card says so in its metadata.
_UNSEALED = {"seal", "buyer_attempt"}

_CURRENCY = re.compile(r"[a-z]{3}")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
#: An integer as we write it: no sign, no separators, no other alphabet's digits.
_WHOLE = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutOnRecord:
    """A checkout as the processor has it on record.

    All but `buyer_attempt` are columns that do not change while a request may be
    repeated: it must say the same, byte for byte, or the processor refuses it under its
    idempotency key. The address may be corrected once the charge is proven, so that a
    record can hold the one before.

    Attributes:
        buyer_attempt: Which of the buyer's tries made the PaymentIntent, from 1.
        plan_name: What the buyer read; its first 500 characters.
        plan_months: How long access lasts.
        price: What the buyer agreed to. The charge must agree.
        token_key_id: Which secret made the address of the buyer's page.
        email: The buyer's; left out of the text that `repr` makes.
        created_at: When the checkout was opened.
        seal: Proves that we wrote it; see `PageAddresses.seal`. Left out of `repr`.
    """

    checkout_id: UUID
    reference_code: str
    buyer_attempt: int
    plan_id: str
    plan_name: str
    plan_months: int
    price: Money
    token_key_id: str
    email: str = field(repr=False)
    created_at: datetime
    seal: str = field(default="", repr=False)

    def to_seal(self) -> str:
        """Return the text that is sealed: all but the attempt, which may change."""
        facts = self.to_metadata()
        return json.dumps(
            {name: facts[name] for name in sorted(facts) if name not in _UNSEALED}
        )

    def to_metadata(self) -> dict[str, str]:
        """Return the texts that `from_metadata` reads; equal records, equal texts."""
        return ({"seal": self.seal} if self.seal else {}) | {
            "checkout_id": str(self.checkout_id),
            "reference_code": self.reference_code,
            "buyer_attempt": str(self.buyer_attempt),
            "plan_id": self.plan_id,
            "plan_name": self.plan_name[:_LONGEST_VALUE],
            "plan_months": str(self.plan_months),
            "amount_minor": str(self.price.amount_minor),
            "currency": self.price.currency,
            "token_key_id": self.token_key_id,
            "email": self.email,
            # In UTC, wherever the reading process stands.
            "created_at": self.created_at.astimezone(UTC).isoformat(),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object]) -> "CheckoutOnRecord | None":
        """Read a record; None when anything is missing or malformed. Never raises.

        Anyone with the processor's dashboard can write metadata, so nothing that a row
        or a mail could not hold gets through.
        """
        try:
            record = cls(
                checkout_id=UUID(_text(metadata, "checkout_id")),
                reference_code=_text(metadata, "reference_code"),
                buyer_attempt=_whole(metadata, "buyer_attempt", _MOST_ATTEMPTS),
                plan_id=_text(metadata, "plan_id"),
                plan_name=_text(metadata, "plan_name"),
                plan_months=_whole(metadata, "plan_months", _MOST_MONTHS),
                price=Money(
                    amount_minor=_whole(metadata, "amount_minor", _MOST_MINOR),
                    currency=_text(metadata, "currency"),
                ),
                token_key_id=_text(metadata, "token_key_id"),
                email=_text(metadata, "email"),
                created_at=_instant(metadata, "created_at"),
                seal=_text(metadata, "seal") if "seal" in metadata else "",
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        return record if record._is_sound() else None

    def _is_sound(self) -> bool:
        return (
            is_reference_code(self.reference_code)
            and _CURRENCY.fullmatch(self.price.currency) is not None
            and _EMAIL.fullmatch(self.email) is not None
            and self.email.isprintable()
            and len(self.email) <= _LONGEST_EMAIL
        )


def _text(metadata: Mapping[str, object], name: str) -> str:
    """Return a text that a column can hold, or raise what `from_metadata` expects."""
    value = metadata[name]
    if not isinstance(value, str):
        raise TypeError(name)
    value.encode()
    if not 0 < len(value) <= _LONGEST_VALUE or "\0" in value:
        raise ValueError(name)
    return value


def _whole(metadata: Mapping[str, object], name: str, most: int) -> int:
    text = _text(metadata, name)
    if not _WHOLE.fullmatch(text) or not 0 < int(text) <= most:
        raise ValueError(name)
    return int(text)


def _instant(metadata: Mapping[str, object], name: str) -> datetime:
    instant = datetime.fromisoformat(_text(metadata, name))
    if instant.tzinfo is None:
        raise ValueError(name)
    return instant.astimezone(UTC)
