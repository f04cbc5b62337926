"""Reading the processor's books for the reconciliation, page by page.

This class holds the processor; the ledger that it compares with comes as a port whose
methods are one transaction each, so a page is listed with no transaction open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from temporalio import activity

from activities.failures import sorted_failures
from domain.payments import (
    UNKNOWN_TO_PROCESSOR,
    ListCharges,
    ListMade,
    Page,
    PaymentIntent,
    ProcessorCharge,
    Verdict,
    judge,
)
from domain.reconciliation import (
    NOTHING_FOUND,
    AskAboutIntents,
    ComparePages,
    Cursor,
    Difference,
    DiscrepancyKind,
    Listing,
    OpenIntent,
    PagesCompared,
    PaidOrder,
    RunPlan,
    Span,
    Tally,
    is_settled,
    tally_of,
)
from domain.refunds import (
    Dispute,
    ListDisputesMade,
    ListRefundsMade,
    Refund,
)
from observability.logs import get_logger
from processor.port import (
    OutcomeUnknown,
    PaymentProcessor,
    ProcessorBooks,
    RefusedByOurFault,
)

#: The processor's largest page.
PAGE = 100

_SECOND = timedelta(seconds=1)

L = TypeVar("L", bound=ListMade)

#: The adapter's word for a status that is newer than it.
_NOT_UNDERSTOOD = "status_not_understood"

_log = get_logger()


class Processor(PaymentProcessor, ProcessorBooks, Protocol):
    """A processor that can be asked about one payment and about all of them."""


class Ledger(Protocol):
    """Our side of the comparison; each method is one transaction."""

    async def compare_charges(
        self, plan: RunPlan, page: Page[ProcessorCharge]
    ) -> Tally:
        """Compare a page, note what differs, and make lost rows anew."""
        ...

    async def compare_refunds(self, plan: RunPlan, page: Page[Refund]) -> Tally:
        """Compare a page and note what differs."""
        ...

    async def compare_disputes(self, plan: RunPlan, page: Page[Dispute]) -> Tally:
        """Compare a page and note what differs."""
        ...

    async def list_unseen_orders(
        self, span: Span, seen: Sequence[str]
    ) -> list[PaidOrder]:
        """Read the orders of a span whose charge was not shown."""
        ...

    async def list_open_intents(self, limit: int) -> list[OpenIntent]:
        """Read PaymentIntents whose end we do not know."""
        ...

    async def note(self, plan: RunPlan, differences: Sequence[Difference]) -> None:
        """Write differences down; a dry run writes nothing."""
        ...

    async def mark_intent_closed(self, intent: OpenIntent) -> None:
        """The processor shows it canceled."""
        ...

    async def show_life(self, plan: RunPlan, tally: Tally | None) -> None:
        """Say that the run is alive, and how far it has come if that is at hand."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turned:
    """One page, compared."""

    tally: Tally
    cursor: Cursor | None


class BooksActivities:
    """The reconciliation's view of the processor.

    Args:
        processor: The port; its methods end within 20 seconds and never retry.
        ledger: Our side.
    """

    def __init__(self, processor: Processor, ledger: Ledger) -> None:
        self._processor = processor
        self._ledger = ledger

    @activity.defn
    async def compare_pages(self, pages: ComparePages) -> PagesCompared:
        """Compare pages of one listing, newest first, until its end or `most_pages`.

        Repeat: goes on at the page of the last heartbeat; a page that is compared twice
            in one run is noted once.
        Survives: a crash between two pages leaves the pages before compared and noted.

        Raises:
            ApplicationError: `OutcomeUnknown`, `Throttled` and `DatabaseAway` are
                repeated, `RefusedByOurFault` is not.
        """
        done = _resumed(pages)
        with sorted_failures():
            for _ in range(pages.most_pages):
                turned = await self._turn(pages, done.cursor)
                done = PagesCompared(
                    tally=done.tally.plus(turned.tally), cursor=turned.cursor
                )
                await self._ledger.show_life(pages.plan, done.tally)
                if turned.cursor is None:
                    break
                activity.heartbeat(_kept(done))
        return done

    @activity.defn
    async def ask_about_intents(self, ask: AskAboutIntents) -> Tally:
        """Ask the processor about PaymentIntents whose end we do not know.

        As many as `most`, chosen by chance.

        Repeat: asks about those that are still open, once more.
        Survives: leaves those that were asked about noted.

        Raises:
            ApplicationError: As `compare_pages`.
        """
        found: list[Difference] = []
        with sorted_failures():
            intents = await self._ledger.list_open_intents(ask.most)
            for intent in intents:
                activity.heartbeat()
                await self._ledger.show_life(ask.plan, None)
                difference = await self._ask_about(ask.plan, intent)
                if difference is not None:
                    # At once: what comes after may fail.
                    await self._ledger.note(ask.plan, [difference])
                    found.append(difference)
        return tally_of(found, compared=len(intents))

    async def _ask_about(self, plan: RunPlan, intent: OpenIntent) -> Difference | None:
        shown = await self._look_up(intent.payment_intent_id)
        if isinstance(shown, str):
            _log.warning(
                "the processor does not show a payment",
                payment_intent_id=intent.payment_intent_id,
                why=f"it {shown}",
            )
            return None
        verdict = judge(shown)
        if verdict is Verdict.CHARGED:
            return Difference(
                kind=DiscrepancyKind.CHARGE_WITHOUT_ORDER,
                subject=intent.payment_intent_id,
                checkout_id=intent.checkout_id,
                payment_intent_id=intent.payment_intent_id,
                amount=shown.price,
                detail=f"The processor took {shown.price}; no order.",
            )
        is_over = verdict is Verdict.CANCELED and not intent.is_attempt_open
        if is_over and not plan.is_dry:
            await self._ledger.mark_intent_closed(intent)
        return None

    async def _look_up(self, payment_intent_id: str) -> PaymentIntent | str:
        """Ask for one payment; in words what the processor does that shows none.

        One that it does not know, or shows in words that we do not, must not keep the
        run from all the others: it would be met again by every run after.
        """
        try:
            return await self._processor.look_up(payment_intent_id)
        except RefusedByOurFault as refused:
            if refused.reason != UNKNOWN_TO_PROCESSOR:
                raise
            return "does not know it"
        except OutcomeUnknown as unknown:
            if unknown.reason != _NOT_UNDERSTOOD:
                raise
            return "shows it in words that we do not know"

    async def _turn(self, pages: ComparePages, cursor: Cursor | None) -> _Turned:
        match pages.listing:
            case Listing.CHARGES:
                return await self._turn_charges(pages.plan, cursor)
            case Listing.REFUNDS:
                request = _request(ListRefundsMade, pages.plan, cursor)
                refunds = await self._processor.list_refunds_made(request)
                tally = await self._ledger.compare_refunds(pages.plan, refunds)
                return _Turned(tally=tally, cursor=_next(refunds, cursor))
            case Listing.DISPUTES:
                asked = _request(ListDisputesMade, pages.plan, cursor)
                disputes = await self._processor.list_disputes_made(asked)
                tally = await self._ledger.compare_disputes(pages.plan, disputes)
                return _Turned(tally=tally, cursor=_next(disputes, cursor))

    async def _turn_charges(self, plan: RunPlan, cursor: Cursor | None) -> _Turned:
        """Compare one page of charges in both directions.

        The page covers the time from its oldest charge to the page before: an order of
        ours from that time must be on it. The oldest second itself may go on on the
        next page, so it is left to that one, with what was seen of it.
        """
        page = await self._processor.list_charges(_request(ListCharges, plan, cursor))
        tally = await self._ledger.compare_charges(plan, page)
        intents = [c.payment_intent_id for c in page.made if c.payment_intent_id]
        edge = cursor.edge if cursor else ()
        span = _span(plan, page, cursor)
        if span is not None:
            unseen = await self._ledger.list_unseen_orders(span, [*intents, *edge])
            found = [
                difference
                for order in unseen
                if (difference := await self._prove_missing(plan, order)) is not None
            ]
            await self._ledger.note(plan, found)
            tally = tally.plus(tally_of(found))
        return _Turned(tally=tally, cursor=_charge_cursor(page, cursor))

    async def _prove_missing(
        self, plan: RunPlan, order: PaidOrder
    ) -> Difference | None:
        """Ask for the one payment: a list that left it out proves nothing."""
        activity.heartbeat(*activity.info().heartbeat_details)
        await self._ledger.show_life(plan, None)
        shown = await self._look_up(order.payment_intent_id)
        if not isinstance(shown, str):
            if judge(shown) is Verdict.CHARGED:
                return None
            shown = f"shows it as {shown.status}"
        return Difference(
            kind=DiscrepancyKind.ORDER_WITHOUT_CHARGE,
            subject=order.payment_intent_id,
            checkout_id=order.checkout_id,
            payment_intent_id=order.payment_intent_id,
            amount=order.price,
            detail=f"{order.reference_code} has an order for {order.price}, and the "
            f"processor {shown}.",
            is_settled=is_settled(plan, order.charged_at),
        )


def _request(kind: type[L], plan: RunPlan, cursor: Cursor | None) -> L:
    return kind(
        created_from=plan.compare_from,
        created_before=plan.compare_before,
        starting_after=cursor.after if cursor else None,
        limit=PAGE,
    )


def _span(
    plan: RunPlan, page: Page[ProcessorCharge], cursor: Cursor | None
) -> Span | None:
    """Say which time a page has shown all charges of; None when there is none yet."""
    before = plan.compare_before if cursor is None else cursor.seen_down_to + _SECOND
    begin = plan.compare_from
    if page.next_cursor is not None and page.oldest_at is not None:
        begin = page.oldest_at + _SECOND
    return Span(begin=begin, before=before) if begin < before else None


def _charge_cursor(page: Page[ProcessorCharge], before: Cursor | None) -> Cursor | None:
    if page.next_cursor is None or page.oldest_at is None:
        return None
    edge = tuple(
        charge.payment_intent_id
        for charge in page.made
        if charge.payment_intent_id and charge.charged_at == page.oldest_at
    )
    if before is not None and before.seen_down_to == page.oldest_at:
        edge = (*before.edge, *edge)
    return Cursor(after=page.next_cursor, seen_down_to=page.oldest_at, edge=edge)


def _next(page: Page[Refund] | Page[Dispute], before: Cursor | None) -> Cursor | None:
    if page.next_cursor is None:
        return None
    seen = page.oldest_at or (before.seen_down_to if before else None)
    if seen is None:
        return None
    return Cursor(after=page.next_cursor, seen_down_to=seen)


def _kept(done: PagesCompared) -> dict[str, Any]:
    """Return what a heartbeat keeps; `_resumed` reads it."""
    cursor, tally = done.cursor, done.tally
    return {
        "after": cursor.after if cursor else None,
        "seen_down_to": cursor.seen_down_to.isoformat() if cursor else None,
        "edge": list(cursor.edge) if cursor else [],
        "found": tally.found,
        "figures": [tally.compared, tally.charges, tally.told],
        "examples": list(tally.examples),
    }


def _resumed(pages: ComparePages) -> PagesCompared:
    """Go on where the last try of this activity stopped, or where it was asked to."""
    details = activity.info().heartbeat_details
    if not details:
        return PagesCompared(tally=NOTHING_FOUND, cursor=pages.cursor)
    kept: dict[str, Any] = details[0]
    compared, charges, told = kept["figures"]
    return PagesCompared(
        tally=Tally(
            found=kept["found"],
            compared=compared,
            charges=charges,
            told=told,
            examples=tuple(kept["examples"]),
        ),
        cursor=Cursor(
            after=kept["after"],
            seen_down_to=datetime.fromisoformat(kept["seen_down_to"]),
            edge=tuple(kept["edge"]),
        ),
    )
