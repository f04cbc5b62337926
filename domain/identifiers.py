"""Ids and their inverse: one spelling for API, worker, support and tests.

Everything here is derived. A random id would double a charge on the first retry, and an
id made from a workflow run would do so on the first reset.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID, uuid5

_WORKFLOW_PREFIX = "checkout-"

#: No 0, O, 1, I or L: the code is read out on the phone.
_REFERENCE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
#: Eight characters of 31: 8.5e11 codes. A reference names a case; it never opens one.
_REFERENCE_LENGTH = 8

_REFERENCE_CODE = re.compile(
    rf"ORD-[{_REFERENCE_ALPHABET}]{{4}}-[{_REFERENCE_ALPHABET}]{{4}}"
)
_REFERENCE_LETTER = f"[{_REFERENCE_ALPHABET.lower()}]"
_MESSAGE_ID = re.compile(
    r"<(?P<kind>[a-z0-9]+(?:-[a-z0-9]+)*)"
    rf"\.(?P<reference>ord-{_REFERENCE_LETTER}{{4}}-{_REFERENCE_LETTER}{{4}})"
    # The first of its kind has no number; the bound is that of the rows.
    r"(?:\.(?P<sequence>[2-9]|[1-9][0-9]{1,8}))?"
    r"@(?P<domain>[^\s<>@]{1,255})>"
)

#: Namespace of the ids that follow from a checkout's id, so that a second run of a step
#: arrives at the same row.
_DERIVED = UUID("5f0c1c43-5c43-4b5e-8f0d-6f3f9a1d2c11")


def workflow_id_of(checkout_id: UUID) -> str:
    """Return the id of the workflow that owns a checkout."""
    return f"{_WORKFLOW_PREFIX}{checkout_id}"


def checkout_id_of(workflow_id: str) -> UUID:
    """Return the checkout that a workflow id names; the inverse of `workflow_id_of`.

    Raises:
        ValueError: The id is not one of a checkout's workflow.
    """
    if not workflow_id.startswith(_WORKFLOW_PREFIX):
        msg = f"not a checkout's workflow id: {workflow_id!r}"
        raise ValueError(msg)
    return UUID(workflow_id.removeprefix(_WORKFLOW_PREFIX))


def reference_code(raw: bytes) -> str:
    """Return the code that a customer quotes, as `ORD-7K2M-9QXD`, from random bytes."""
    number = int.from_bytes(raw, "big")
    letters = []
    for _ in range(_REFERENCE_LENGTH):
        number, index = divmod(number, len(_REFERENCE_ALPHABET))
        letters.append(_REFERENCE_ALPHABET[index])
    code = "".join(letters)
    return f"ORD-{code[:4]}-{code[4:]}"


def is_reference_code(text: str) -> bool:
    """Tell whether a text is a code as `reference_code` makes them."""
    return _REFERENCE_CODE.fullmatch(text) is not None


def derived_id(checkout_id: UUID, purpose: str) -> UUID:
    """Return the id of a checkout's one `order`, `subscription`, `entitlement`, ..."""
    return uuid5(_DERIVED, f"{checkout_id}:{purpose}")


def create_key(checkout_id: UUID, buyer_attempt: int, submission: int = 0) -> str:
    """Idempotency key under which an attempt's PaymentIntent is created.

    Args:
        checkout_id: The checkout that will pay.
        buyer_attempt: As in `confirm_key`.
        submission: Raised only where the processor itself said that it repeats a stored
            5xx. A PaymentIntent that it made all the same can never be confirmed: its
            id is known to nobody.
    """
    suffix = f":{submission}" if submission else ""
    return f"checkout:{checkout_id}:create:{buyer_attempt}{suffix}"


def prepare_key(checkout_id: UUID, buyer_attempt: int, submission: int = 0) -> str:
    """Idempotency key under which a used PaymentIntent is readied for a new attempt.

    `submission` as in `create_key`: readying twice changes nothing more.
    """
    suffix = f":{submission}" if submission else ""
    return f"checkout:{checkout_id}:prepare:{buyer_attempt}{suffix}"


def confirm_key(checkout_id: UUID, buyer_attempt: int, submission: int) -> str:
    """Idempotency key of one confirmation.

    Args:
        checkout_id: The checkout that pays.
        buyer_attempt: Counts the buyer's own tries (cards), from 1.
        submission: 0 for the first confirmation and its retries. Raised only after the
            processor was asked and showed the PaymentIntent unconfirmed, because a
            processor replays a stored 500 under the same key for 24 hours. A
            PaymentIntent succeeds at most once, so a new key cannot charge twice.
            https://docs.stripe.com/api/idempotent_requests
    """
    suffix = f":{submission}" if submission else ""
    return f"checkout:{checkout_id}:confirm:{buyer_attempt}{suffix}"


def cancel_key(checkout_id: UUID, buyer_attempt: int, submission: int = 0) -> str:
    """Idempotency key of one cancellation; `submission` as in `confirm_key`."""
    suffix = f":{submission}" if submission else ""
    return f"checkout:{checkout_id}:cancel:{buyer_attempt}{suffix}"


def refund_key(refund_id: UUID, submission: int = 0) -> str:
    """Idempotency key of one refund.

    Args:
        refund_id: The refund's row.
        submission: Raised only after a look showed that the processor does not have
            the refund, and long after it was last sent: a stored 500 is replayed under
            the same key for 24 hours.
    """
    suffix = f":{submission}" if submission else ""
    return f"refund:{refund_id}{suffix}"


def provisioning_key(entitlement_id: UUID, effect: str) -> str:
    """Idempotency key of a call to the company's application, sent as `webhook-id`."""
    return f"entitlement:{entitlement_id}:{effect}"


def message_id(reference: str, kind: str, domain: str, sequence: int = 1) -> str:
    """Return the Message-ID of a mail we owe once, so that copies can be merged.

    Args:
        reference: What customer and support call the order.
        kind: What the mail is for.
        domain: The sender's domain.
        sequence: Which mail of this kind it is, from 1.
    """
    turn = "" if sequence == 1 else f".{sequence}"
    return f"<{kind}.{reference.lower()}{turn}@{domain}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailName:
    """What a Message-ID of ours says; the attributes are `message_id`'s arguments."""

    reference: str
    kind: str
    domain: str
    sequence: int = 1


def mail_of(message_id: str) -> MailName:
    """Return the mail that a Message-ID names; the inverse of `message_id`.

    Raises:
        ValueError: It is not one of ours.
    """
    found = _MESSAGE_ID.fullmatch(message_id)
    if found is None:
        raise ValueError("not the Message-ID of a mail of ours")
    return MailName(
        reference=found["reference"].upper(),
        kind=found["kind"],
        domain=found["domain"],
        sequence=int(found["sequence"] or 1),
    )
