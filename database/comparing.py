"""Comparing: pages of the processor's books against our rows, a page per statement.

Each statement takes a whole page as arrays and returns only what differs, so its cost
follows the page and not the tables. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import BigInteger, Boolean, Text, TypeEngine, Uuid

from domain.money import Money
from domain.payments import ProcessorCharge
from domain.reconciliation import (
    MOST_UNSEEN,
    Difference,
    DiscrepancyKind,
    PaidOrder,
    Span,
    Tally,
    tally_of,
)
from domain.refunds import STATE_OF_STATUS, Dispute, Refund


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What one page came to."""

    tally: Tally
    differences: tuple[Difference, ...]


def _arrays(statement: str, **columns: TypeEngine[Any]) -> TextClause:
    """Return a statement that takes each column of a page as one array."""
    return text(statement).bindparams(
        *(bindparam(name, type_=ARRAY(kind)) for name, kind in columns.items())
    )


#: The order of the branches is the order in which differences are put right: a refund
#: of a charge without order can be written down only once the order is there.
_CHARGES = _arrays(
    """
    WITH page AS (
        SELECT * FROM unnest(
            :charges, :intents, :checkouts, :amounts, :currencies, :refunded,
            :disputed
        ) WITH ORDINALITY AS page (
            charge_id, payment_intent_id, named_id, amount_minor, currency,
            refunded_minor, is_disputed, place
        )
    ), joined AS (
        SELECT
            page.*,
            orders.order_id,
            own.checkout_id,
            holder.checkout_id IS NOT NULL AS is_named,
            own.reference_code,
            own.amount_minor AS price_minor,
            own.currency AS price_currency,
            other.payment_intent_id AS other_intent,
            second_charges.state AS second_state,
            coalesce(given.minor, 0)::bigint AS given_minor,
            coalesce(given.sending_minor, 0)::bigint AS sending_minor,
            dispute.dispute_id,
            EXISTS (
                SELECT FROM processor_events AS event
                WHERE event.payment_intent_id = page.payment_intent_id
            ) AS is_told
        FROM page
        LEFT JOIN orders ON orders.payment_intent_id = page.payment_intent_id
        LEFT JOIN checkouts AS holder
            ON holder.payment_intent_id = page.payment_intent_id
        LEFT JOIN checkouts AS own ON own.checkout_id = coalesce(
            orders.checkout_id, holder.checkout_id, page.named_id
        )
        LEFT JOIN orders AS other
            ON other.checkout_id = own.checkout_id AND orders.order_id IS NULL
        LEFT JOIN second_charges
            ON second_charges.payment_intent_id = page.payment_intent_id
        LEFT JOIN LATERAL (
            SELECT
                sum(amount_minor) FILTER (WHERE state IN ('pending', 'succeeded'))
                    AS minor,
                sum(amount_minor) FILTER (WHERE state = 'submitting')
                    AS sending_minor
            FROM refunds
            WHERE refunds.payment_intent_id = page.payment_intent_id
        ) AS given ON true
        LEFT JOIN LATERAL (
            SELECT disputes.dispute_id FROM disputes
            WHERE disputes.payment_intent_id = page.payment_intent_id LIMIT 1
        ) AS dispute ON true
    )
    SELECT
        *,
        CASE
            WHEN checkout_id IS NULL AND named_id IS NULL THEN 'foreign_charge'
            WHEN checkout_id IS NULL THEN 'charge_without_checkout'
            WHEN other_intent IS NOT NULL AND second_state IS NULL
                THEN 'duplicate_charge'
            WHEN other_intent IS NULL
                AND (amount_minor, currency) <> (price_minor, price_currency)
                THEN 'amount_mismatch'
            WHEN other_intent IS NULL AND order_id IS NULL
                AND refunded_minor >= amount_minor THEN 'amount_mismatch'
            WHEN other_intent IS NULL AND order_id IS NULL THEN 'charge_without_order'
            -- What is being sent may have arrived already.
            WHEN refunded_minor NOT BETWEEN given_minor AND given_minor + sending_minor
                -- A person has the case of what was refuted, and may give it back.
                AND second_state IS DISTINCT FROM 'refuted'
                THEN 'refund_not_recorded'
            WHEN is_disputed AND dispute_id IS NULL THEN 'dispute_opened'
        END AS kind
    FROM joined
    ORDER BY place
    """,
    charges=Text(),
    intents=Text(),
    checkouts=Uuid(),
    amounts=BigInteger(),
    currencies=Text(),
    refunded=BigInteger(),
    disputed=Boolean(),
)

_REFUNDS = _arrays(
    """
    SELECT
        page.*, refunds.state AS our_state,
        coalesce(orders.checkout_id, second_charges.checkout_id) AS checkout_id
    FROM unnest(:refunds, :intents, :amounts, :currencies, :states) AS page (
        processor_refund_id, payment_intent_id, amount_minor, currency, state
    )
    LEFT JOIN refunds ON refunds.processor_refund_id = page.processor_refund_id
    LEFT JOIN orders ON orders.payment_intent_id = page.payment_intent_id
    LEFT JOIN second_charges
        ON second_charges.payment_intent_id = page.payment_intent_id
        AND second_charges.state <> 'refuted'
    WHERE refunds.state IS DISTINCT FROM page.state
    """,
    refunds=Text(),
    intents=Text(),
    amounts=BigInteger(),
    currencies=Text(),
    states=Text(),
)

_DISPUTES = _arrays(
    """
    SELECT
        page.*, disputes.status AS our_status,
        coalesce(orders.checkout_id, second_charges.checkout_id) AS checkout_id
    FROM unnest(:disputes, :intents, :amounts, :currencies, :statuses) AS page (
        dispute_id, payment_intent_id, amount_minor, currency, status
    )
    LEFT JOIN disputes ON disputes.dispute_id = page.dispute_id
    LEFT JOIN orders ON orders.payment_intent_id = page.payment_intent_id
    LEFT JOIN second_charges
        ON second_charges.payment_intent_id = page.payment_intent_id
    WHERE disputes.status IS DISTINCT FROM page.status
    """,
    disputes=Text(),
    intents=Text(),
    amounts=BigInteger(),
    currencies=Text(),
    statuses=Text(),
)

_UNSEEN = text(
    """
    SELECT orders.checkout_id, checkouts.reference_code, orders.payment_intent_id,
        orders.amount_minor, orders.currency, orders.charged_at
    FROM orders JOIN checkouts ON checkouts.checkout_id = orders.checkout_id
    LEFT JOIN discrepancies AS known ON known.kind = 'order_without_charge'
        AND known.subject = orders.payment_intent_id
    WHERE orders.charged_at >= :seen_from AND orders.charged_at < :seen_before
    AND orders.payment_intent_id <> ALL (:seen)
    -- Those that a person has already come after those that nobody knows of.
    ORDER BY coalesce(known.state = 'with_person', false), orders.charged_at
    LIMIT :most
    """
).bindparams(
    bindparam("seen", type_=ARRAY(Text())),
    bindparam("seen_from", type_=TIMESTAMP(timezone=True)),
    bindparam("seen_before", type_=TIMESTAMP(timezone=True)),
)


async def compare_charges(
    connection: AsyncConnection, charges: Sequence[ProcessorCharge]
) -> Compared:
    """Compare a page of charges with orders, prices, refunds and disputes."""
    result = await connection.execute(
        _CHARGES,
        {
            "charges": [charge.charge_id for charge in charges],
            "intents": [charge.payment_intent_id for charge in charges],
            "checkouts": [charge.checkout_id for charge in charges],
            "amounts": [charge.amount.amount_minor for charge in charges],
            "currencies": [charge.amount.currency for charge in charges],
            "refunded": [charge.refunded_minor for charge in charges],
            "disputed": [charge.is_disputed for charge in charges],
        },
    )
    rows = result.all()
    differences = tuple(_of_charge(row) for row in rows if row.kind is not None)
    told = sum(1 for row in rows if row.is_told)
    return Compared(
        tally=tally_of(differences, compared=len(rows), charges=len(rows), told=told),
        differences=differences,
    )


async def compare_refunds(
    connection: AsyncConnection, refunds: Sequence[Refund]
) -> Compared:
    """Compare a page of refunds; those of payments that are none of ours are left."""
    result = await connection.execute(
        _REFUNDS,
        {
            "refunds": [refund.processor_refund_id for refund in refunds],
            "intents": [refund.payment_intent_id for refund in refunds],
            "amounts": [refund.amount.amount_minor for refund in refunds],
            "currencies": [refund.amount.currency for refund in refunds],
            "states": [STATE_OF_STATUS[refund.status].value for refund in refunds],
        },
    )
    differences = tuple(
        Difference(
            kind=DiscrepancyKind.REFUND_NOT_RECORDED,
            # A refund has several ends: `succeeded` today and `failed` in a week.
            subject=f"{row.processor_refund_id}:{row.state}",
            checkout_id=row.checkout_id,
            payment_intent_id=row.payment_intent_id,
            amount=Money(amount_minor=row.amount_minor, currency=row.currency),
            detail=f"The processor shows the refund as {row.state}; we have "
            f"{row.our_state or 'none'}.",
        )
        for row in result
        if row.checkout_id is not None
    )
    return Compared(
        tally=tally_of(differences, compared=len(refunds)), differences=differences
    )


async def compare_disputes(
    connection: AsyncConnection, disputes: Sequence[Dispute]
) -> Compared:
    """Compare a page of disputes; those of payments that are none of ours are left."""
    result = await connection.execute(
        _DISPUTES,
        {
            "disputes": [dispute.dispute_id for dispute in disputes],
            "intents": [dispute.payment_intent_id for dispute in disputes],
            "amounts": [dispute.amount.amount_minor for dispute in disputes],
            "currencies": [dispute.amount.currency for dispute in disputes],
            "statuses": [dispute.status for dispute in disputes],
        },
    )
    differences = tuple(
        Difference(
            kind=DiscrepancyKind.DISPUTE_OPENED,
            subject=f"{row.dispute_id}:{row.status}",
            checkout_id=row.checkout_id,
            payment_intent_id=row.payment_intent_id,
            amount=Money(amount_minor=row.amount_minor, currency=row.currency),
            detail=f"The processor shows the dispute as {row.status}; we have "
            f"{row.our_status or 'none'}.",
        )
        for row in result
        if row.checkout_id is not None
    )
    return Compared(
        tally=tally_of(differences, compared=len(disputes)), differences=differences
    )


async def list_unseen_orders(
    connection: AsyncConnection,
    span: Span,
    seen: Sequence[str],
    most: int = MOST_UNSEEN,
) -> list[PaidOrder]:
    """Read the orders of a span whose charge the processor's list did not show.

    Args:
        connection: Reads only.
        span: The time that the page has shown all charges of.
        seen: The PaymentIntents that the page showed, and its neighbours' of the same
            second.
        most: Orders at the most.
    """
    result = await connection.execute(
        _UNSEEN,
        {
            "seen_from": span.begin,
            "seen_before": span.before,
            "seen": list(seen),
            "most": most,
        },
    )
    return [
        PaidOrder(
            checkout_id=row.checkout_id,
            reference_code=row.reference_code,
            payment_intent_id=row.payment_intent_id,
            price=Money(amount_minor=row.amount_minor, currency=row.currency),
            charged_at=row.charged_at,
        )
        for row in result
    ]


def _of_charge(row: Row[Any]) -> Difference:
    kind = DiscrepancyKind(row.kind)
    return Difference(
        kind=kind,
        subject=_subject(kind, row),
        checkout_id=row.checkout_id or row.named_id,
        payment_intent_id=row.payment_intent_id or row.charge_id,
        amount=Money(amount_minor=row.amount_minor, currency=row.currency),
        detail=_detail(kind, row),
        is_named_by_row=row.is_named,
    )


def _subject(kind: DiscrepancyKind, row: Row[Any]) -> str:
    """Name the difference; a second refund of one charge is a second difference."""
    if kind is DiscrepancyKind.REFUND_NOT_RECORDED:
        return f"{row.payment_intent_id}:{row.refunded_minor}"
    return str(row.payment_intent_id or row.charge_id)


def _detail(kind: DiscrepancyKind, row: Row[Any]) -> str:
    taken = Money(amount_minor=row.amount_minor, currency=row.currency)
    took = f"The processor took {taken}"
    told: dict[DiscrepancyKind, str] = {
        DiscrepancyKind.FOREIGN_CHARGE: f"{took} and names no checkout of ours.",
        DiscrepancyKind.CHARGE_WITHOUT_CHECKOUT: f"{took} for checkout {row.named_id}, "
        "which is not in our records.",
        DiscrepancyKind.DUPLICATE_CHARGE: f"{took} once more for {row.reference_code}, "
        f"which {row.other_intent} paid for.",
        DiscrepancyKind.CHARGE_WITHOUT_ORDER: f"{took} for {row.reference_code}, which "
        "has no order.",
        DiscrepancyKind.DISPUTE_OPENED: f"The processor shows a dispute of {taken}; we "
        "have none.",
    }
    if kind is DiscrepancyKind.AMOUNT_MISMATCH:
        price = Money(amount_minor=row.price_minor, currency=row.price_currency)
        if taken == price:
            return f"{took} for {row.reference_code} and gave it back; no order."
        return f"{took} for {row.reference_code}, whose price is {price}."
    if kind is DiscrepancyKind.REFUND_NOT_RECORDED:
        gave = Money(amount_minor=row.refunded_minor, currency=row.currency)
        ours = Money(amount_minor=row.given_minor, currency=row.currency)
        return f"The processor gave {gave} back; we have {ours}."
    return told[kind]
