"""Our side of `bench.books`: the rows of as many checkouts, loaded in bulk.

Attempts, subscriptions and the audit are left out: the comparison reads none of them.
"""

from __future__ import annotations

from typing import Any

import psycopg

from bench.books import (
    DISPUTE_EVERY,
    GIVEN_MINOR,
    LEFT_WITH_INTENT,
    PRICE,
    REFUND_EVERY,
    Numbers,
    checkout_of,
    intent_of,
    reference_of,
)

_TABLES = "checkouts, orders, entitlements, emails, processor_events, refunds, disputes"

_NUMBERS = """
CREATE UNLOGGED TABLE numbers (
    number bigint, checkout_id uuid, reference_code text, payment_intent_id text,
    charged_at timestamptz, kind text, variant integer
)
"""

_CHECKOUTS = """
INSERT INTO checkouts (
    checkout_id, reference_code, token_hash, token_key_id, email, plan_id, plan_name,
    plan_months, amount_minor, currency, stage, money_state, access_state,
    buyer_attempt, pay_requested_at, payment_intent_id, next_action_url, charged_at,
    card_brand, card_last4, created_at, updated_at
)
SELECT
    checkout_id, reference_code, sha256(checkout_id::text::bytea), '01234567',
    'buyer' || number || '@example.com', 'one-year', 'One year', 12,
    %(price)s, 'usd', stage,
    CASE
        WHEN stage = 'charged' THEN 'CHARGED'
        WHEN stage = 'open' THEN 'NOT_CHARGED'
        WHEN variant = 1 THEN 'ACTION_NEEDED'
        ELSE 'UNKNOWN'
    END,
    CASE
        WHEN stage <> 'charged' THEN 'NONE'
        WHEN kind = 'order_without_access' THEN 'PENDING'
        ELSE 'ACTIVE'
    END,
    CASE WHEN stage = 'open' THEN 0 ELSE 1 END,
    CASE WHEN stage <> 'open' THEN charged_at END,
    CASE WHEN stage <> 'open' OR has_intent THEN payment_intent_id END,
    CASE WHEN stage = 'charging' AND variant = 1 THEN 'https://bank.test' END,
    CASE WHEN stage = 'charged' THEN charged_at END,
    CASE WHEN stage = 'charged' THEN 'visa' END,
    CASE WHEN stage = 'charged' THEN '4242' END,
    charged_at, charged_at
FROM (
    SELECT
        numbers.*,
        number BETWEEN %(payments)s AND %(last_with_intent)s AS has_intent,
        CASE
            WHEN number >= %(payments)s THEN 'open'
            WHEN kind IN ('charge_without_order', 'amount_mismatch') THEN 'open'
            WHEN kind = 'stuck_checkout' THEN 'charging'
            ELSE 'charged'
        END AS stage
    FROM numbers
    WHERE kind IS NULL OR kind NOT IN (
        'charge_without_checkout', 'foreign_charge', 'duplicate_charge'
    )
) AS known
"""

_ORDERS = """
INSERT INTO orders (
    order_id, checkout_id, payment_intent_id, amount_minor, currency, charged_at,
    created_at
)
SELECT
    md5('order' || checkout_id)::uuid, checkout_id, payment_intent_id, amount_minor,
    currency, charged_at, charged_at
FROM checkouts WHERE stage = 'charged'
"""

_ENTITLEMENTS = """
INSERT INTO entitlements (entitlement_id, order_id, state, granted_at)
SELECT
    md5('entitlement' || checkout_id)::uuid, order_id,
    CASE access_state WHEN 'ACTIVE' THEN 'active' ELSE 'pending' END,
    CASE access_state WHEN 'ACTIVE' THEN orders.charged_at END
FROM orders JOIN checkouts USING (checkout_id)
"""

_EMAILS = """
INSERT INTO emails (email_id, checkout_id, kind, state, created_at, sent_at)
SELECT
    md5('receipt' || checkout_id)::uuid, checkout_id, 'receipt',
    CASE WHEN is_sent THEN 'sent' ELSE 'pending' END, charged_at,
    CASE WHEN is_sent THEN charged_at END
FROM (
    SELECT
        orders.checkout_id, orders.charged_at,
        coalesce(
            kind NOT IN ('order_without_access', 'order_without_receipt'), true
        ) AS is_sent
    FROM orders JOIN numbers USING (checkout_id)
) AS receipts
"""

#: A webhook told of every payment that the processor has.
_EVENTS = """
INSERT INTO processor_events (
    event_id, kind, payment_intent_id, checkout_id, received_at, applied_at
)
SELECT
    'evt_' || md5(payment_intent_id), 'payment_intent.succeeded', payment_intent_id,
    checkout_id, charged_at, charged_at
FROM numbers
WHERE number < %(payments)s
AND (kind IS NULL OR kind NOT IN ('order_without_charge', 'stuck_checkout'))
"""

_REFUNDS = """
INSERT INTO refunds (
    refund_id, checkout_id, payment_intent_id, amount_minor, currency, captured_minor,
    purpose, actor, reason, ends_access, state, processor_refund_id, requested_at,
    not_before, next_look_at, accepted_at, finished_at
)
SELECT
    md5('refund' || checkout_id)::uuid, checkout_id, payment_intent_id, %(given)s,
    'usd', %(price)s, 'asked', 'dana', 'asked for', false,
    CASE WHEN kind IS NULL THEN 'succeeded' ELSE 'pending' END,
    're_' || lpad(to_hex(number), 12, '0'), charged_at, charged_at,
    CASE WHEN kind IS NOT NULL THEN now() END, charged_at,
    CASE WHEN kind IS NULL THEN charged_at END
FROM numbers
WHERE number < %(payments)s
AND (
    (kind IS NULL AND number %% %(refund_every)s = %(refund_every)s / 2)
    OR (kind = 'refund_not_recorded' AND variant = 1)
)
"""

_DISPUTES = """
INSERT INTO disputes (
    dispute_id, checkout_id, payment_intent_id, amount_minor, currency, reason, status,
    opened_at
)
SELECT
    'du_' || lpad(to_hex(number), 12, '0'), checkout_id, payment_intent_id, %(price)s,
    'usd', 'fraudulent',
    CASE WHEN kind IS NULL THEN 'under_review' ELSE 'needs_response' END, charged_at
FROM numbers
WHERE number < %(payments)s
AND (
    (kind IS NULL AND number %% %(dispute_every)s = %(dispute_every)s / 4)
    OR (kind = 'dispute_opened' AND variant = 1)
)
"""


def load(connection: psycopg.Connection[Any], numbers: Numbers) -> None:
    """Write the rows of every number, and let the planner count them.

    Args:
        connection: As the owner: the triggers that watch over single rows rest
            meanwhile. The constraints do not.
        numbers: What the processor's books are made of.
    """
    values = {
        "payments": numbers.payments,
        "last_with_intent": numbers.payments + LEFT_WITH_INTENT - 1,
        "price": PRICE.amount_minor,
        "given": GIVEN_MINOR,
        "refund_every": REFUND_EVERY,
        "dispute_every": DISPUTE_EVERY,
    }
    with connection.transaction():
        connection.execute(_NUMBERS)
        _copy(connection, numbers)
        connection.execute("ALTER TABLE checkouts DISABLE TRIGGER USER")
        connection.execute("ALTER TABLE refunds DISABLE TRIGGER USER")
        for statement in (_CHECKOUTS, _ORDERS, _ENTITLEMENTS, _EMAILS):
            connection.execute(statement, values)
        for statement in (_EVENTS, _REFUNDS, _DISPUTES):
            connection.execute(statement, values)
    with connection.transaction():
        connection.execute("ALTER TABLE checkouts ENABLE TRIGGER USER")
        connection.execute("ALTER TABLE refunds ENABLE TRIGGER USER")
        connection.execute("DROP TABLE numbers")
        connection.execute(f"ANALYZE {_TABLES}".encode())


def _copy(connection: psycopg.Connection[Any], numbers: Numbers) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY numbers FROM STDIN") as copy:
        for number in range(numbers.left.stop):
            planted = numbers.planted.get(number)
            copy.write_row(
                (
                    number,
                    checkout_of(number),
                    reference_of(number),
                    intent_of(number),
                    numbers.charged_at(min(number, numbers.payments - 1)),
                    planted.kind.value if planted else None,
                    planted.variant if planted else None,
                )
            )
