"""Our side of the reconciliation: what the comparison reads and writes of our rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from temporalio import activity

from activities.failures import sorted_failures
from database import comparing, reconciliation
from database.cases import tell_payment_case
from database.comparing import Compared
from database.rebuilding import Rebuilding, rebuild_checkout
from domain.addresses import AddressKeyMissing
from domain.on_record import CheckoutOnRecord
from domain.payments import Page, ProcessorCharge
from domain.reconciliation import (
    BeginRun,
    Decided,
    Difference,
    DiscrepancyKind,
    FinishRun,
    OpenIntent,
    PaidOrder,
    RunPlan,
    Span,
    Tally,
    is_settled,
    tally_of,
)
from domain.refunds import Dispute, Refund
from observability import logs, metrics

#: Hashes the address that a buyer was given: which checkout, which of the secrets.
DigestAddress = Callable[[CheckoutOnRecord], bytes]

Vouch = Callable[[CheckoutOnRecord], bool]

_log = logs.get_logger()


class EngineLedger:
    """The `Ledger` on PostgreSQL; each method is one transaction.

    Args:
        engine: The application role's database.
        digest: Hashes the address of a checkout's page.
        is_vouched_for: Whether a record bears the seal that we gave it.
        is_account_shared: Others charge on the processor's account too: a payment
            that names no checkout is theirs.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        digest: DigestAddress,
        is_vouched_for: Vouch,
        *,
        is_account_shared: bool,
    ) -> None:
        self._engine = engine
        self._digest = digest
        self._is_vouched_for = is_vouched_for
        self._is_account_shared = is_account_shared

    async def compare_charges(
        self, plan: RunPlan, page: Page[ProcessorCharge]
    ) -> Tally:
        """Compare a page, note what differs, and make lost rows anew."""
        async with self._engine.begin() as connection:
            compared = await comparing.compare_charges(connection, page.made)
            charges = {c.payment_intent_id or c.charge_id: c for c in page.made}
            found = [
                self._seen(
                    plan, difference, charges[difference.payment_intent_id or ""]
                )
                for difference in compared.differences
            ]
            found = [one for one in found if not self._is_anothers(one)]
            found += _unreadable(DiscrepancyKind.FOREIGN_CHARGE, page.not_understood)
            if plan.is_acting:
                for difference in found:
                    await self._rebuild(connection, difference, charges)
            await reconciliation.note_differences(connection, plan, found)
        return tally_of(
            found,
            compared=compared.tally.compared,
            charges=compared.tally.charges,
            told=compared.tally.told,
        )

    async def compare_refunds(self, plan: RunPlan, page: Page[Refund]) -> Tally:
        """Compare a page and note what differs."""
        async with self._engine.begin() as connection:
            compared = await comparing.compare_refunds(connection, page.made)
            unreadable = _unreadable(
                DiscrepancyKind.REFUND_NOT_RECORDED, page.not_understood
            )
            return await _noted(connection, plan, compared, unreadable)

    async def compare_disputes(self, plan: RunPlan, page: Page[Dispute]) -> Tally:
        """Compare a page and note what differs."""
        async with self._engine.begin() as connection:
            compared = await comparing.compare_disputes(connection, page.made)
            unreadable = _unreadable(
                DiscrepancyKind.DISPUTE_OPENED, page.not_understood
            )
            return await _noted(connection, plan, compared, unreadable)

    async def list_unseen_orders(
        self, span: Span, seen: Sequence[str]
    ) -> list[PaidOrder]:
        """Read the orders of a span whose charge was not shown."""
        async with self._engine.begin() as connection:
            return await comparing.list_unseen_orders(connection, span, seen)

    async def list_open_intents(self, limit: int) -> list[OpenIntent]:
        """Read PaymentIntents whose end we do not know."""
        async with self._engine.begin() as connection:
            return await reconciliation.list_open_intents(connection, limit)

    async def note(self, plan: RunPlan, differences: Sequence[Difference]) -> None:
        """Write differences down; a dry run writes nothing."""
        async with self._engine.begin() as connection:
            await reconciliation.note_differences(connection, plan, differences)

    async def mark_intent_closed(self, intent: OpenIntent) -> None:
        """The processor shows it canceled."""
        async with self._engine.begin() as connection:
            await reconciliation.mark_intent_closed(connection, intent)

    async def show_life(self, plan: RunPlan, tally: Tally | None) -> None:
        """Say that the run is alive, and how far it has come if that is at hand."""
        if plan.is_dry:
            return
        async with self._engine.begin() as connection:
            await reconciliation.touch_run(connection, plan.run_id, tally)

    def _seen(
        self, plan: RunPlan, difference: Difference, charge: ProcessorCharge
    ) -> Difference:
        """Say how much a difference can be relied on.

        One that our row does not name is this checkout's only by its metadata, which
        anyone with the processor's dashboard can write: it must bear our seal.
        """
        seen = replace(difference, is_settled=is_settled(plan, charge.charged_at))
        is_claimed = (
            seen.kind is DiscrepancyKind.CHARGE_WITHOUT_ORDER
            and not seen.is_named_by_row
        )
        if is_claimed and not self._is_own(charge, seen.checkout_id):
            return replace(seen, kind=DiscrepancyKind.FOREIGN_CHARGE)
        return seen

    def _is_own(self, charge: ProcessorCharge, checkout_id: UUID | None) -> bool:
        record = charge.on_record
        return (
            record is not None
            and record.checkout_id == checkout_id
            and self._is_vouched_for(record)
        )

    def _is_anothers(self, difference: Difference) -> bool:
        is_foreign = difference.kind is DiscrepancyKind.FOREIGN_CHARGE
        return is_foreign and self._is_account_shared

    async def _rebuild(
        self,
        connection: AsyncConnection,
        difference: Difference,
        charges: dict[str, ProcessorCharge],
    ) -> None:
        """Make a lost row anew; what cannot be made stays for a person."""
        if difference.kind is not DiscrepancyKind.CHARGE_WITHOUT_CHECKOUT:
            return
        charge = charges[difference.payment_intent_id or ""]
        record = charge.on_record
        if charge.refunded_minor >= charge.amount.amount_minor:
            # Nothing is owed any more.
            return
        if record is None or not self._is_vouched_for(record):
            # Too little is known, or somebody else wrote it: a person decides.
            return
        try:
            address = self._digest(record)
        except AddressKeyMissing:
            # Its secret was taken out of the settings: the buyer's address leads to
            # nothing, so a person decides.
            return
        outcome = await rebuild_checkout(connection, record, charge, address)
        _log.warning(
            "a lost checkout was found at the processor",
            checkout_id=str(record.checkout_id),
            payment_intent_id=charge.payment_intent_id,
            outcome=outcome.value,
        )
        if outcome is Rebuilding.REBUILT:
            await tell_payment_case(
                connection,
                difference.payment_intent_id or "",
                "The checkout was made again from what the processor keeps, and is "
                "being delivered.",
                is_done=True,
            )


class LedgerActivities:
    """The reconciliation's own book-keeping.

    Args:
        engine: The application role's database.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @activity.defn
    async def begin_run(self, begin: BeginRun) -> RunPlan | None:
        """Say what to compare, and write the run's row; None while another runs.

        Repeat: finds its own row, and returns what that says.
        Survives: a crash leaves the row or none.

        Raises:
            ApplicationError: `DatabaseAway` is repeated.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                return await reconciliation.begin_run(
                    connection, begin.run_id, begin.asked
                )

    @activity.defn
    async def look_locally(self, plan: RunPlan) -> Tally:
        """Note what our rows alone show to be stuck.

        Repeat: notes the same, once.
        Survives: leaves all or none of it noted.

        Raises:
            ApplicationError: `DatabaseAway` is repeated.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                found = await reconciliation.look_locally(connection)
                await reconciliation.note_differences(connection, plan, found)
        return tally_of(found)

    @activity.defn
    async def decide(self, plan: RunPlan) -> Decided:
        """Choose this run's repairs, and open the cases.

        Repeat: returns the same repairs; opened cases are found open.
        Survives: a crash leaves all of it or nothing. A repair that nobody was told of
            is a row, which the API's starter loop tells its workflow.

        Raises:
            ApplicationError: `DatabaseAway` is repeated.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                return await reconciliation.decide(connection, plan)

    @activity.defn
    async def finish_run(self, finish: FinishRun) -> tuple[str, ...]:
        """Close the run's row, move the watermark, and say what looks broken.

        Repeat: changes nothing more.
        Survives: a crash leaves the row open; the next run starts from the same
            watermark.

        Raises:
            ApplicationError: `DatabaseAway` is repeated.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                warnings = await reconciliation.finish_run(connection, finish)
        for kind, count in finish.tally.found.items():
            metrics.count(
                activity.metric_meter(), metrics.DISCREPANCIES, by=count, kind=kind
            )
        for warning in warnings:
            _log.error("reconciliation_warns", warning=warning)
        return warnings


async def _noted(
    connection: AsyncConnection,
    plan: RunPlan,
    compared: Compared,
    unreadable: list[Difference],
) -> Tally:
    found = [*compared.differences, *unreadable]
    await reconciliation.note_differences(connection, plan, found)
    return compared.tally.plus(tally_of(unreadable))


def _unreadable(kind: DiscrepancyKind, names: Sequence[str]) -> list[Difference]:
    """What the adapter cannot read may be money all the same: a person looks."""
    return [
        Difference(
            kind=kind,
            subject=name,
            checkout_id=None,
            payment_intent_id=name,
            amount=None,
            detail="The processor tells of it in words that we do not know.",
            # It will be as unreadable in five minutes.
            is_settled=True,
        )
        for name in names
    ]
