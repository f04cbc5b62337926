"""Refunds, disputes and second charges, with the guard on their sum and the audit."""

from alembic import op
import sqlalchemy as sa

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)
_NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "refunds",
        sa.Column("refund_id", sa.Uuid(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("payment_intent_id", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("captured_minor", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ends_access", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), server_default="requested", nullable=False),
        sa.Column("processor_refund_id", sa.Text(), nullable=True),
        sa.Column("bank_reference", sa.Text(), nullable=True),
        sa.Column("requested_at", _INSTANT, server_default=_NOW, nullable=False),
        sa.Column("not_before", _INSTANT, nullable=False),
        sa.Column("submitted_at", _INSTANT, nullable=True),
        sa.Column("posted_at", _INSTANT, nullable=True),
        sa.Column("submission", sa.Integer(), server_default="0", nullable=False),
        sa.Column("looked_at", _INSTANT, nullable=True),
        sa.Column("looks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_look_at", _INSTANT, nullable=True),
        sa.Column("accepted_at", _INSTANT, nullable=True),
        sa.Column("finished_at", _INSTANT, nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("knocked_at", _INSTANT, nullable=True),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_refunds_amount_positive")),
        sa.CheckConstraint(
            "amount_minor <= captured_minor", name=op.f("ck_refunds_amount_captured")
        ),
        sa.CheckConstraint(
            "currency ~ '^[a-z]{3}$'", name=op.f("ck_refunds_currency_iso4217")
        ),
        sa.CheckConstraint(
            "state IN ('requested', 'submitting', 'pending', 'succeeded', 'failed', 'canceled')",
            name=op.f("ck_refunds_state_known"),
        ),
        sa.CheckConstraint(
            "purpose IN ('asked', 'duplicate', 'outside')",
            name=op.f("ck_refunds_purpose_known"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('pending', 'succeeded') OR (processor_refund_id IS NOT NULL AND accepted_at IS NOT NULL)",
            name=op.f("ck_refunds_accepted_has_proof"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('submitting', 'pending') OR next_look_at IS NOT NULL",
            name=op.f("ck_refunds_open_is_watched"),
        ),
        sa.CheckConstraint(
            "(state IN ('succeeded', 'failed', 'canceled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_refunds_finished_has_time"),
        ),
        sa.CheckConstraint(
            "state <> 'failed' OR failure IS NOT NULL",
            name=op.f("ck_refunds_failed_has_word"),
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id"],
            ["checkouts.checkout_id"],
            name=op.f("fk_refunds_checkout_id"),
        ),
        sa.PrimaryKeyConstraint("refund_id", name=op.f("pk_refunds")),
        sa.UniqueConstraint(
            "processor_refund_id", name=op.f("uq_refunds_processor_refund_id")
        ),
    )
    op.create_index(op.f("ix_refunds_checkout_id"), "refunds", ["checkout_id"])
    op.create_index(
        op.f("ix_refunds_payment_intent_id"), "refunds", ["payment_intent_id"]
    )
    op.create_index(
        "ix_refunds_open",
        "refunds",
        ["knocked_at"],
        postgresql_where=sa.text("state IN ('requested', 'submitting', 'pending')"),
    )
    op.create_table(
        "disputes",
        sa.Column("dispute_id", sa.Text(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("payment_intent_id", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("due_by", _INSTANT, nullable=True),
        sa.Column("opened_at", _INSTANT, nullable=False),
        sa.Column("closed_at", _INSTANT, nullable=True),
        sa.Column("noticed_at", _INSTANT, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["checkout_id"],
            ["checkouts.checkout_id"],
            name=op.f("fk_disputes_checkout_id"),
        ),
        sa.PrimaryKeyConstraint("dispute_id", name=op.f("pk_disputes")),
    )
    op.create_index(op.f("ix_disputes_checkout_id"), "disputes", ["checkout_id"])
    op.create_index(
        op.f("ix_disputes_payment_intent_id"), "disputes", ["payment_intent_id"]
    )
    op.create_table(
        "second_charges",
        sa.Column("payment_intent_id", sa.Text(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="suspected", nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("noticed_at", _INSTANT, server_default=_NOW, nullable=False),
        sa.Column("looks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_look_at", _INSTANT, server_default=_NOW, nullable=False),
        sa.CheckConstraint(
            "state IN ('suspected', 'proven', 'refuted')",
            name=op.f("ck_second_charges_state_known"),
        ),
        sa.CheckConstraint(
            "state <> 'proven' OR (amount_minor > 0 AND currency IS NOT NULL)",
            name=op.f("ck_second_charges_proven_has_amount"),
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id"],
            ["checkouts.checkout_id"],
            name=op.f("fk_second_charges_checkout_id"),
        ),
        sa.PrimaryKeyConstraint("payment_intent_id", name=op.f("pk_second_charges")),
    )
    op.create_index(
        op.f("ix_second_charges_checkout_id"), "second_charges", ["checkout_id"]
    )
    op.execute(_GUARD)
    op.execute(_AUDIT)
    op.execute(_GRANTS)


#: What no caller, no psql session and no bug may do to a refund. The checkout's row is
#: locked first, so that two requests at once are added up one after the other; each
#: statement of the function then sees what the other has committed.
_GUARD = """
CREATE FUNCTION guard_refund() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    paid record;
    captured bigint;
    promised bigint;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.refund_id, NEW.checkout_id, NEW.payment_intent_id, NEW.amount_minor,
            NEW.currency, NEW.captured_minor, NEW.purpose, NEW.actor, NEW.reason,
            NEW.ends_access)
            IS DISTINCT FROM
            (OLD.refund_id, OLD.checkout_id, OLD.payment_intent_id, OLD.amount_minor,
            OLD.currency, OLD.captured_minor, OLD.purpose, OLD.actor, OLD.reason,
            OLD.ends_access)
            OR (OLD.processor_refund_id IS NOT NULL
                AND NEW.processor_refund_id IS DISTINCT FROM OLD.processor_refund_id)
        THEN
            RAISE EXCEPTION 'what refund % is may not be rewritten', OLD.refund_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'refunds_are_final';
        END IF;
        IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
            ('requested', 'submitting'), ('requested', 'pending'),
            ('requested', 'succeeded'), ('requested', 'failed'),
            ('requested', 'canceled'),
            ('submitting', 'pending'), ('submitting', 'succeeded'),
            ('submitting', 'failed'), ('submitting', 'canceled'),
            ('pending', 'succeeded'), ('pending', 'failed'), ('pending', 'canceled'),
            ('succeeded', 'failed')
        ) THEN
            RAISE EXCEPTION 'refund % may not go from % to %',
                OLD.refund_id, OLD.state, NEW.state
                USING ERRCODE = 'check_violation', CONSTRAINT = 'refunds_transition';
        END IF;
    ELSE
        SELECT stage, payment_intent_id, amount_minor, currency INTO paid
            FROM checkouts WHERE checkout_id = NEW.checkout_id FOR UPDATE;
        IF paid.stage IS DISTINCT FROM 'charged' THEN
            RAISE EXCEPTION 'checkout % is not charged', NEW.checkout_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'refunds_need_a_charge';
        END IF;
        IF NEW.payment_intent_id = paid.payment_intent_id THEN
            captured := paid.amount_minor;
        ELSE
            SELECT amount_minor INTO captured FROM second_charges
                WHERE payment_intent_id = NEW.payment_intent_id
                AND checkout_id = NEW.checkout_id AND state = 'proven';
        END IF;
        IF captured IS DISTINCT FROM NEW.captured_minor THEN
            RAISE EXCEPTION '% took no such amount for checkout %',
                NEW.payment_intent_id, NEW.checkout_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'refunds_need_a_charge';
        END IF;
        -- A refund made past us is the processor's fact, and it keeps the sum itself.
        SELECT coalesce(sum(amount_minor), 0) INTO promised FROM refunds
            WHERE payment_intent_id = NEW.payment_intent_id
            AND state IN ('requested', 'submitting', 'pending', 'succeeded');
        IF NEW.purpose <> 'outside' AND promised + NEW.amount_minor > captured THEN
            RAISE EXCEPTION 'the refunds of % would exceed what it took',
                NEW.payment_intent_id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'refunds_within_charge';
        END IF;
    END IF;
    IF NEW.purpose <> 'outside'
        AND (TG_OP = 'INSERT' OR (OLD.state, NEW.state) = ('requested', 'submitting'))
        AND EXISTS (SELECT FROM disputes
            WHERE payment_intent_id = NEW.payment_intent_id AND closed_at IS NULL)
    THEN
        RAISE EXCEPTION '% is disputed: its refunds are frozen', NEW.payment_intent_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'refunds_frozen';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_refund BEFORE INSERT OR UPDATE ON refunds
    FOR EACH ROW EXECUTE FUNCTION guard_refund();
"""

#: Who asked for the refund, and every move of it after that.
_AUDIT = """
CREATE FUNCTION audit_refund() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.state = OLD.state THEN
            RETURN NULL;
        END IF;
        before := jsonb_build_object('refund', OLD.refund_id, 'state', OLD.state);
    END IF;
    INSERT INTO audit (actor, action, checkout_id, before, after)
    VALUES (
        CASE TG_OP WHEN 'INSERT' THEN NEW.actor
            ELSE current_setting('application_name') END,
        CASE TG_OP WHEN 'INSERT' THEN 'refund.asked' ELSE 'refund.moved' END,
        NEW.checkout_id, before,
        jsonb_build_object('refund', NEW.refund_id, 'state', NEW.state,
            'purpose', NEW.purpose, 'payment_intent', NEW.payment_intent_id,
            'amount', NEW.amount_minor, 'currency', NEW.currency,
            'reason', NEW.reason, 'ends_access', NEW.ends_access,
            'processor_refund', NEW.processor_refund_id, 'failure', NEW.failure));
    RETURN NULL;
END $$;
CREATE TRIGGER audit_refund AFTER INSERT OR UPDATE ON refunds
    FOR EACH ROW EXECUTE FUNCTION audit_refund();
"""

_GRANTS = """
GRANT SELECT, INSERT, UPDATE ON refunds, disputes, second_charges TO holdfast_app;
"""


def downgrade() -> None:
    msg = "Holdfast only migrates forward; restore a backup to go back."
    raise NotImplementedError(msg)
