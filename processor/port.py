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
from domain.on_record import CheckoutOnRecord
from domain.payments import ListCharges, Page, PaymentIntent, ProcessorCharge
from domain.refunds import (
    Dispute,
    ListDisputesMade,
    ListRefundsMade,
    Refund,
    RefundPaymentIntent,
)


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


class AnswerStored(OutcomeUnknown):
    """The processor repeats a 5xx that it keeps under this key, and goes on to."""


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

    async def create(
        self, request: CreatePaymentIntent, record: CheckoutOnRecord
    ) -> PaymentIntent:
        """Make a PaymentIntent. It moves no money until it is confirmed.

        Args:
            request: What to charge.
            record: What the PaymentIntent, and any charge of it, says of the checkout.
                Safe to repeat only with an equal one.
        """
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

    async def list_refunds(self, payment_intent_id: str) -> list[Refund]:
        """Return every refund of a PaymentIntent, whoever made it, newest first."""
        ...

    async def list_disputes(self, payment_intent_id: str) -> list[Dispute]:
        """Return every dispute of a PaymentIntent, open and decided, newest first."""
        ...


class ProcessorBooks(Protocol):
    """What a processor tells of everything that was made, whoever asked for it.

    Every method reads, returns one page, and never retries by itself; each ends within
    20 seconds and can raise any `ProcessorError`. The same request returns the same
    page but for what has changed since in the objects on it: what is made later is
    newer than the span, and a cursor names an object, not a place.
    """

    async def list_charges(self, request: ListCharges) -> Page[ProcessorCharge]:
        """Return a page of the charges that moved money, with their checkouts' records.

        A charge counts at the time it was made. One that was pending then is found only
        by who reads the same span again later.

        Raises:
            RefusedByOurFault: Also when the cursor names no charge.
        """
        ...

    async def list_refunds_made(self, request: ListRefundsMade) -> Page[Refund]:
        """Return a page of refunds.

        Raises:
            RefusedByOurFault: Also when the cursor names no refund.
        """
        ...

    async def list_disputes_made(self, request: ListDisputesMade) -> Page[Dispute]:
        """Return a page of disputes.

        Raises:
            RefusedByOurFault: Also when the cursor names no dispute.
        """
        ...
