"""Payment activities: the only code that asks the processor to move money.

This class holds the processor and a reader. A processor call inside a database
transaction can therefore not be written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

from temporalio import activity

from activities.failures import sorted_failures
from activities.heartbeat import heartbeating
from domain.messages import (
    CancelPaymentIntent,
    ConfirmPaymentIntent,
    CreatePaymentIntent,
    PreparePaymentIntent,
)
from domain.on_record import CheckoutOnRecord
from domain.payments import PaymentIntent
from domain.refunds import Dispute, Refund, RefundPaymentIntent
from processor.port import PaymentProcessor

#: Of which checkout, and for which of the buyer's tries.
ReadRecord = Callable[[UUID, int], Awaitable[CheckoutOnRecord]]


class PaymentActivities:
    """What a checkout asks of the processor.

    Args:
        processor: The port; its methods end within 20 seconds and never retry.
        read_record: Reads what the processor is told of a checkout, in a transaction
            that is closed before the call: it names the buyer, who must not travel
            through workflow histories. It reads the same at every repeat.
    """

    def __init__(self, processor: PaymentProcessor, read_record: ReadRecord) -> None:
        self._processor = processor
        self._read_record = read_record

    @activity.defn
    async def create_payment_intent(
        self, request: CreatePaymentIntent
    ) -> PaymentIntent:
        """Make a PaymentIntent that says whose it is; it moves no money.

        Repeat: the same key and the same words return the same PaymentIntent for a day;
            later, another is made. Only the one that is stored is ever confirmed.
        Survives: a crash leaves at most an unconfirmed PaymentIntent.

        Raises:
            ApplicationError: `OutcomeUnknown`, `Throttled` and `DatabaseAway` are
                repeated, `RefusedByOurFault` and `RowMissing` are not.
        """
        with sorted_failures():
            async with heartbeating():
                record = await self._read_record(
                    request.checkout_id, request.buyer_attempt
                )
                return await self._processor.create(request, record)

    @activity.defn
    async def prepare_payment_intent(
        self, request: PreparePaymentIntent
    ) -> PaymentIntent:
        """Ready a declined PaymentIntent for the buyer's next card.

        Repeat: changes nothing more.
        Survives: a crash leaves the PaymentIntent ready or declined; neither moves
            money.

        Raises:
            ApplicationError: `OutcomeUnknown` and `Throttled` are repeated,
                `RefusedByOurFault` is not.
        """
        with sorted_failures():
            async with heartbeating():
                return await self._processor.prepare(request)

    @activity.defn
    async def confirm_payment_intent(
        self, request: ConfirmPaymentIntent
    ) -> PaymentIntent:
        """Ask the processor to move the money, and return what it says.

        Repeat: a PaymentIntent succeeds at most once. Under the same key the processor
            replays its answer; under another it says how things stand.
        Survives: a crash after the processor acted loses only the answer, and
            `look_up_payment_intent` has it.

        Raises:
            ApplicationError: `OutcomeUnknown` is not repeated: the workflow looks up
                first. `Throttled` is repeated, `RefusedByOurFault` is not.
        """
        with sorted_failures(moves_money=True):
            async with heartbeating():
                return await self._processor.confirm(request)

    @activity.defn
    async def look_up_payment_intent(self, payment_intent_id: str) -> PaymentIntent:
        """Ask the processor how things stand.

        Repeat: reads again.
        Survives: leaves nothing.

        Raises:
            ApplicationError: As `prepare_payment_intent`.
        """
        with sorted_failures():
            async with heartbeating():
                return await self._processor.look_up(payment_intent_id)

    @activity.defn
    async def cancel_payment_intent(
        self, request: CancelPaymentIntent
    ) -> PaymentIntent:
        """Close a PaymentIntent, and return what the processor says of it afterwards.

        Repeat: a canceled PaymentIntent stays canceled, a succeeded one succeeded.
        Survives: a crash loses only the answer.

        Raises:
            ApplicationError: `OutcomeUnknown` is not repeated: the workflow looks up
                first. `Throttled` is repeated, `RefusedByOurFault` is not.
        """
        with sorted_failures(moves_money=True):
            async with heartbeating():
                return await self._processor.cancel(request)

    @activity.defn
    async def refund_payment_intent(self, request: RefundPaymentIntent) -> Refund:
        """Ask the processor to give money back, and return what it says.

        Repeat: the same key returns the same refund for a day.
        Survives: a crash after the processor acted loses only the answer, and
            `list_refunds` has it.

        Raises:
            ApplicationError: `OutcomeUnknown` is not repeated: the workflow looks
                first. `Throttled` is repeated, `RefusedByOurFault` is not.
        """
        with sorted_failures(moves_money=True):
            async with heartbeating():
                return await self._processor.refund(request)

    @activity.defn
    async def list_refunds(self, payment_intent_id: str) -> list[Refund]:
        """Ask the processor which refunds a PaymentIntent has, whoever made them.

        Repeat: reads again.
        Survives: leaves nothing.

        Raises:
            ApplicationError: As `look_up_payment_intent`.
        """
        with sorted_failures():
            async with heartbeating():
                return await self._processor.list_refunds(payment_intent_id)

    @activity.defn
    async def list_disputes(self, payment_intent_id: str) -> list[Dispute]:
        """Ask the processor which disputes a PaymentIntent has.

        Repeat: reads again.
        Survives: leaves nothing.

        Raises:
            ApplicationError: As `look_up_payment_intent`.
        """
        with sorted_failures():
            async with heartbeating():
                return await self._processor.list_disputes(payment_intent_id)
