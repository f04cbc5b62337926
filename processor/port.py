"""The port to a payment processor: what Holdfast asks of one, and what may come back.

    ProcessorError
    ├── OutcomeUnknown     the request may or may not have taken effect
    ├── Throttled          the request was turned away before it took effect
    ├── MethodRefused      what the buyer entered cannot be used; nothing was charged
    └── RefusedByOurFault  the request is wrong, or our key is; repeating cannot help

A decline is not an error: it is a PaymentIntent whose `decline` is set.
"""

from __future__ import annotations

from typing import Protocol

from domain.messages import (
    CancelPaymentIntent,
    ConfirmPaymentIntent,
    CreatePaymentIntent,
    PreparePaymentIntent,
)
from domain.payments import PaymentIntent
from domain.refunds import Dispute, Refund, RefundPaymentIntent


class ProcessorError(Exception):
    """Root of what a processor may answer instead of a PaymentIntent.

    Attributes:
        reason: The processor's error code or the kind of failure; no personal data.
        request_id: The processor's name for the request, for its support; may be None.
    """

    def __init__(self, reason: str, request_id: str | None = None) -> None:
        super().__init__(f"{reason} (request {request_id or 'without id'})")
        self.reason = reason
        self.request_id = request_id


class OutcomeUnknown(ProcessorError):
    """The request may or may not have taken effect: look before anything else."""


class Throttled(ProcessorError):
    """Too many requests, or the object is locked; this request took no effect."""


class MethodRefused(ProcessorError):
    """The means of payment is unknown, used up or expired; no effect was had."""


class RefusedByOurFault(ProcessorError):
    """The request or our key is wrong. A person must look; repeating cannot help."""


class PaymentProcessor(Protocol):
    """What moves money. Every method is safe to repeat with the same argument.

    A method that changes something sends an idempotency key derived from its argument,
    never a random one. No method retries by itself, and each ends within 20 seconds.
    Any method can raise any `ProcessorError`; those that change something leave the
    truth to `look_up` after `OutcomeUnknown`.
    """

    async def create(self, request: CreatePaymentIntent) -> PaymentIntent:
        """Make a PaymentIntent. It moves no money until it is confirmed."""
        ...

    async def prepare(self, request: PreparePaymentIntent) -> PaymentIntent:
        """Ready a declined PaymentIntent for another attempt.

        Afterwards it shows no decline until the new attempt is declined too.
        """
        ...

    async def confirm(self, request: ConfirmPaymentIntent) -> PaymentIntent:
        """Ask for the money to be moved.

        A PaymentIntent succeeds at most once, whatever is sent how often. One that is
        already succeeded, canceled or under way is returned as it stands.
        """
        ...

    async def look_up(self, payment_intent_id: str) -> PaymentIntent:
        """Return a PaymentIntent as it stands now."""
        ...

    async def cancel(self, request: CancelPaymentIntent) -> PaymentIntent:
        """Close a PaymentIntent; afterwards it can never move money.

        One that cannot be closed any more is returned as it stands, so the caller reads
        the truth in its status.
        """
        ...

    async def refund(self, request: RefundPaymentIntent) -> Refund:
        """Ask for money to be given back.

        The same key gives the same refund for a day. After `OutcomeUnknown`, and before
        anything is sent under another key, the truth is in `list_refunds`.
        """
        ...

    async def look_up_refund(self, processor_refund_id: str) -> Refund:
        """Return a refund as it stands now."""
        ...

    async def list_refunds(self, payment_intent_id: str) -> list[Refund]:
        """Return every refund of a PaymentIntent, whoever made it, newest first."""
        ...

    async def list_disputes(self, payment_intent_id: str) -> list[Dispute]:
        """Return every dispute of a PaymentIntent, open and decided, newest first."""
        ...
