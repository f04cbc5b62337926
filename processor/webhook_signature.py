"""Webhooks: who sent these bytes, and when. The only processor code the API imports.

Scheme: https://docs.stripe.com/webhooks#verify-manually. The SDK refuses only old
timestamps; ours must be fresh both ways, or a signature made ahead could be kept.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, TypeGuard

TOLERANCE = timedelta(seconds=300)

#: Ids and kinds: visible ASCII, as long as the processor says that its ids can get.
#: https://docs.stripe.com/upgrades
_WORD = re.compile(r"[\x21-\x7e]{1,255}")


class SignatureRefused(Exception):
    """The bytes were not signed by a secret of ours, or not lately."""


class EventRefused(Exception):
    """The bytes are signed, but they are no event that we can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorEvent:
    """What we keep of an event: a hint where to look.

    Attributes:
        event_id: The processor's id; a redelivery carries the same one.
        kind: As `payment_intent.succeeded`.
        is_live: Whether it speaks of real money.
        account_id: The connected account that it comes from; None for our own.
        payment_intent_id: What it is about; None for events of other objects.
        checkout_id: Our id from the object's metadata, as text. None when there is
            none, or what stands there cannot be one: anybody may write metadata.
    """

    event_id: str
    kind: str
    is_live: bool
    account_id: str | None
    payment_intent_id: str | None
    checkout_id: str | None


def verify(
    body: bytes, header: str | None, secrets: Sequence[str], now: datetime
) -> None:
    """Check that the raw bytes were signed lately by one of our secrets.

    Args:
        body: The request's bytes as they came; re-encoded JSON does not verify.
        header: `Stripe-Signature`: `t=<unix seconds>,v1=<hex>`, several v1 allowed.
        secrets: All that are valid now; two while one is rotated.
        now: The receiver's clock.

    Raises:
        SignatureRefused: Missing, malformed, too old, too new or wrong.
    """
    fields = [part.partition("=") for part in (header or "").split(",")]
    stamps = [value for name, _, value in fields if name.strip() == "t"]
    signatures = [value for name, _, value in fields if name.strip() == "v1"]
    if len(stamps) != 1 or not stamps[0].isdecimal() or not stamps[0].isascii():
        raise SignatureRefused("no timestamp")
    if len(stamps[0]) > 12 or abs(now.timestamp() - int(stamps[0])) > (  # noqa: PLR2004  # Twelve digits reach beyond the year 30000.
        TOLERANCE.total_seconds()
    ):
        raise SignatureRefused("not lately")
    signed = stamps[0].encode() + b"." + body
    expected = [hmac.new(s.encode(), signed, sha256).hexdigest() for s in secrets]
    for signature in signatures:
        for candidate in expected:
            if hmac.compare_digest(signature.encode(), candidate.encode()):
                return
    raise SignatureRefused("no matching signature")


def parse(body: bytes) -> ProcessorEvent:
    """Read the few fields of an event that we use.

    Raises:
        EventRefused: Not an event, or its ids are no ids: a database could not keep a
            NUL or half a surrogate pair.
    """
    try:
        event: Any = json.loads(body)
        subject = event["data"]["object"]
        intent = (
            subject["id"]
            if subject.get("object") == "payment_intent"
            else subject.get("payment_intent")
        )
        checkout_id = (subject.get("metadata") or {}).get("checkout_id")
        return ProcessorEvent(
            event_id=_word(event["id"]),
            kind=_word(event["type"]),
            is_live=bool(event["livemode"]),
            # https://docs.stripe.com/api/events/object#event_object-account
            account_id=_word(event["account"]) if event.get("account") else None,
            payment_intent_id=_word(intent) if intent else None,
            checkout_id=checkout_id if _is_word(checkout_id) else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EventRefused(type(error).__name__) from None


def _word(value: object) -> str:
    if not _is_word(value):
        raise EventRefused("an id is not of the form of ids")
    return value


def _is_word(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None
