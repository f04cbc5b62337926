"""The first tables, with the guard on transitions, the audit and the grants."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account_sessions",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "last_seen_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_account_sessions")),
    )
    op.create_table(
        "audit",
        sa.Column(
            "audit_id", sa.BigInteger(), sa.Identity(always=True), nullable=False
        ),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=True),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("pk_audit")),
    )
    op.create_index(
        op.f("ix_audit_checkout_id"), "audit", ["checkout_id"], unique=False
    )
    op.create_table(
        "checkouts",
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("reference_code", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("token_key_id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("plan_name", sa.Text(), nullable=False),
        sa.Column("plan_months", sa.Integer(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), server_default="open", nullable=False),
        sa.Column(
            "money_state", sa.Text(), server_default="NOT_CHARGED", nullable=False
        ),
        sa.Column("access_state", sa.Text(), server_default="NONE", nullable=False),
        sa.Column("buyer_attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("pay_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("payment_intent_id", sa.Text(), nullable=True),
        sa.Column("next_action_url", sa.Text(), nullable=True),
        sa.Column("not_charged_reason", sa.Text(), nullable=True),
        sa.Column("decline_class", sa.Text(), nullable=True),
        sa.Column("charged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("card_brand", sa.Text(), nullable=True),
        sa.Column("card_last4", sa.Text(), nullable=True),
        sa.Column("interrupted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attention_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(stage = 'open' AND money_state IN ('NOT_CHARGED')) OR (stage = 'requested' AND money_state IN ('UNKNOWN')) OR (stage = 'charging' AND money_state IN ('ACTION_NEEDED', 'UNKNOWN')) OR (stage = 'charged' AND money_state IN ('CHARGED', 'DUPLICATE', 'REFUNDED', 'REFUNDING'))",
            name=op.f("ck_checkouts_money_matches_stage"),
        ),
        sa.CheckConstraint(
            "access_state IN ('NONE', 'PENDING', 'ACTIVE', 'ENDED')",
            name=op.f("ck_checkouts_access_state_known"),
        ),
        sa.CheckConstraint(
            "currency ~ '^[a-z]{3}$'", name=op.f("ck_checkouts_currency_iso4217")
        ),
        sa.CheckConstraint(
            "money_state <> 'ACTION_NEEDED' OR next_action_url IS NOT NULL",
            name=op.f("ck_checkouts_action_has_address"),
        ),
        sa.CheckConstraint(
            "money_state IN ('NOT_CHARGED', 'ACTION_NEEDED', 'UNKNOWN', 'CHARGED', 'DUPLICATE', 'REFUNDING', 'REFUNDED')",
            name=op.f("ck_checkouts_money_state_known"),
        ),
        sa.CheckConstraint(
            "stage <> 'charged' OR (payment_intent_id IS NOT NULL AND charged_at IS NOT NULL)",
            name=op.f("ck_checkouts_charged_has_proof"),
        ),
        sa.CheckConstraint(
            "stage = 'charged' OR access_state = 'NONE'",
            name=op.f("ck_checkouts_access_needs_charge"),
        ),
        sa.CheckConstraint(
            "stage IN ('open', 'requested', 'charging', 'charged')",
            name=op.f("ck_checkouts_stage_known"),
        ),
        sa.CheckConstraint(
            "stage NOT IN ('requested', 'charging') OR pay_requested_at IS NOT NULL",
            name=op.f("ck_checkouts_request_has_time"),
        ),
        sa.CheckConstraint(
            "amount_minor > 0", name=op.f("ck_checkouts_amount_positive")
        ),
        sa.CheckConstraint(
            "buyer_attempt >= 0", name=op.f("ck_checkouts_buyer_attempt_counts")
        ),
        sa.CheckConstraint(
            "length(token_hash) = 32", name=op.f("ck_checkouts_token_hash_is_sha256")
        ),
        sa.CheckConstraint(
            "plan_months > 0", name=op.f("ck_checkouts_plan_months_positive")
        ),
        sa.PrimaryKeyConstraint("checkout_id", name=op.f("pk_checkouts")),
        sa.UniqueConstraint(
            "checkout_id", "amount_minor", "currency", name="uq_checkouts_price"
        ),
        sa.UniqueConstraint(
            "payment_intent_id", name=op.f("uq_checkouts_payment_intent_id")
        ),
        sa.UniqueConstraint("reference_code", name=op.f("uq_checkouts_reference_code")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_checkouts_token_hash")),
    )
    op.create_index(
        "ix_checkouts_email",
        "checkouts",
        [sa.literal_column("lower(email)")],
        unique=False,
    )
    op.create_index(
        "ix_checkouts_requested",
        "checkouts",
        ["pay_requested_at"],
        unique=False,
        postgresql_where=sa.text("stage = 'requested'"),
    )
    op.create_index(
        "ix_checkouts_unfinished",
        "checkouts",
        ["updated_at"],
        unique=False,
        postgresql_where=sa.text(
            "(stage = 'charging' AND money_state = 'UNKNOWN')"
            " OR (stage = 'charged' AND access_state = 'PENDING')"
        ),
    )
    op.create_table(
        "processor_events",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payment_intent_id", sa.Text(), nullable=True),
        sa.Column("checkout_id", sa.Uuid(), nullable=True),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_processor_events")),
    )
    op.create_index(
        "ix_processor_events_waiting",
        "processor_events",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("applied_at IS NULL"),
    )
    op.create_table(
        "sign_in_links",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("browser_hash", sa.LargeBinary(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_sign_in_links")),
    )
    op.create_table(
        "api_requests",
        sa.Column("api_key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "length(idempotency_key) BETWEEN 1 AND 255",
            name=op.f("ck_api_requests_idempotency_key_length"),
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id"],
            ["checkouts.checkout_id"],
            name=op.f("fk_api_requests_checkout_id"),
        ),
        sa.PrimaryKeyConstraint(
            "api_key_hash", "idempotency_key", name=op.f("pk_api_requests")
        ),
    )
    op.create_table(
        "cases",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=True),
        sa.Column("payment_intent_id", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column(
            "opened_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'resolved') = (resolved_at IS NOT NULL)",
            name=op.f("ck_cases_resolved_has_time"),
        ),
        sa.CheckConstraint(
            "state IN ('open', 'in_progress', 'resolved')",
            name=op.f("ck_cases_state_known"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(checkout_id, payment_intent_id) = 1",
            name=op.f("ck_cases_one_subject"),
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id"],
            ["checkouts.checkout_id"],
            name=op.f("fk_cases_checkout_id"),
        ),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_cases")),
        sa.UniqueConstraint("checkout_id", name=op.f("uq_cases_checkout_id")),
        sa.UniqueConstraint(
            "payment_intent_id", name=op.f("uq_cases_payment_intent_id")
        ),
    )
    op.create_table(
        "emails",
        sa.Column("email_id", sa.Uuid(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state <> 'failed' OR refusal IS NOT NULL",
            name=op.f("ck_emails_failed_has_word"),
        ),
        sa.CheckConstraint(
            "state <> 'sent' OR sent_at IS NOT NULL",
            name=op.f("ck_emails_sent_has_time"),
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'sent', 'failed')", name=op.f("ck_emails_state_known")
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id"],
            ["checkouts.checkout_id"],
            name=op.f("fk_emails_checkout_id"),
        ),
        sa.PrimaryKeyConstraint("email_id", name=op.f("pk_emails")),
        sa.UniqueConstraint(
            "checkout_id", "kind", name=op.f("uq_emails_checkout_id_kind")
        ),
    )
    op.create_table(
        "orders",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("payment_intent_id", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("charged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id", "amount_minor", "currency"],
            ["checkouts.checkout_id", "checkouts.amount_minor", "checkouts.currency"],
            name="fk_orders_price_agrees",
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_orders")),
        sa.UniqueConstraint("checkout_id", name=op.f("uq_orders_checkout_id")),
        sa.UniqueConstraint(
            "payment_intent_id", name=op.f("uq_orders_payment_intent_id")
        ),
    )
    op.create_table(
        "payment_attempts",
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("buyer_attempt", sa.Integer(), nullable=False),
        sa.Column("payment_method", sa.Text(), nullable=False),
        sa.Column("payment_intent_id", sa.Text(), nullable=True),
        sa.Column(
            "requested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(outcome IS NULL) = (ended_at IS NULL)",
            name=op.f("ck_payment_attempts_outcome_has_time"),
        ),
        sa.CheckConstraint(
            "buyer_attempt > 0", name=op.f("ck_payment_attempts_buyer_attempt_counts")
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id"],
            ["checkouts.checkout_id"],
            name=op.f("fk_payment_attempts_checkout_id"),
        ),
        sa.PrimaryKeyConstraint(
            "checkout_id", "buyer_attempt", name=op.f("pk_payment_attempts")
        ),
    )
    op.create_index(
        op.f("ix_payment_attempts_payment_intent_id"),
        "payment_attempts",
        ["payment_intent_id"],
        unique=False,
    )
    op.create_index(
        "uq_payment_attempts_running",
        "payment_attempts",
        ["checkout_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "repairs",
        sa.Column("repair_id", sa.Uuid(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "requested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(outcome IS NULL) = (finished_at IS NULL)",
            name=op.f("ck_repairs_outcome_has_time"),
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id"],
            ["checkouts.checkout_id"],
            name=op.f("fk_repairs_checkout_id"),
        ),
        sa.PrimaryKeyConstraint("repair_id", name=op.f("pk_repairs")),
    )
    op.create_index(
        "ix_repairs_waiting",
        "repairs",
        ["requested_at"],
        unique=False,
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_table(
        "entitlements",
        sa.Column("entitlement_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("access_url", sa.Text(), nullable=True),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state <> 'active' OR granted_at IS NOT NULL",
            name=op.f("ck_entitlements_active_has_time"),
        ),
        sa.CheckConstraint(
            "state <> 'ended' OR ended_at IS NOT NULL",
            name=op.f("ck_entitlements_ended_has_time"),
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'active', 'ended')",
            name=op.f("ck_entitlements_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.order_id"], name=op.f("fk_entitlements_order_id")
        ),
        sa.PrimaryKeyConstraint("entitlement_id", name=op.f("pk_entitlements")),
        sa.UniqueConstraint("order_id", name=op.f("uq_entitlements_order_id")),
    )
    op.create_table(
        "subscriptions",
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="active", nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('active', 'canceled', 'expired')",
            name=op.f("ck_subscriptions_state_known"),
        ),
        sa.CheckConstraint(
            "ends_at > starts_at", name=op.f("ck_subscriptions_ends_after_start")
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.order_id"], name=op.f("fk_subscriptions_order_id")
        ),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint("order_id", name=op.f("uq_subscriptions_order_id")),
    )
    op.execute(_GUARD)
    op.execute(_AUDIT)
    op.execute(_GRANTS)


#: What no caller, no psql session and no bug may do to a checkout.
_GUARD = """
CREATE FUNCTION guard_checkout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.stage <> OLD.stage AND (OLD.stage, NEW.stage) NOT IN (
        ('open', 'requested'), ('open', 'charged'),
        ('requested', 'charging'), ('requested', 'open'), ('requested', 'charged'),
        ('charging', 'open'), ('charging', 'charged')
    ) THEN
        RAISE EXCEPTION 'checkout % may not go from % to %',
            OLD.checkout_id, OLD.stage, NEW.stage
            USING ERRCODE = 'check_violation', CONSTRAINT = 'checkouts_transition';
    END IF;
    IF OLD.stage = 'charged' AND (NEW.payment_intent_id, NEW.charged_at)
        IS DISTINCT FROM (OLD.payment_intent_id, OLD.charged_at) THEN
        RAISE EXCEPTION 'the charge of checkout % may not be rewritten', OLD.checkout_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'checkouts_charge_is_final';
    END IF;
    IF (NEW.amount_minor, NEW.currency) <> (OLD.amount_minor, OLD.currency) THEN
        RAISE EXCEPTION 'the price of checkout % may not change', OLD.checkout_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'checkouts_price_is_final';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_checkout BEFORE UPDATE ON checkouts
    FOR EACH ROW EXECUTE FUNCTION guard_checkout();
"""

#: Every move of a checkout leaves a line, whoever made it.
_AUDIT = """
CREATE FUNCTION audit_checkout() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb;
    after jsonb;
BEGIN
    after := jsonb_build_object('stage', NEW.stage, 'money', NEW.money_state,
        'access', NEW.access_state, 'attempt', NEW.buyer_attempt,
        'reason', NEW.not_charged_reason, 'payment_intent', NEW.payment_intent_id);
    IF TG_OP = 'UPDATE' THEN
        before := jsonb_build_object('stage', OLD.stage, 'money', OLD.money_state,
            'access', OLD.access_state, 'attempt', OLD.buyer_attempt,
            'reason', OLD.not_charged_reason, 'payment_intent', OLD.payment_intent_id);
        IF before = after THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO audit (actor, action, checkout_id, before, after)
    VALUES (current_setting('application_name'),
        CASE TG_OP WHEN 'INSERT' THEN 'checkout.opened' ELSE 'checkout.moved' END,
        NEW.checkout_id, before, after);
    RETURN NULL;
END $$;
CREATE TRIGGER audit_checkout AFTER INSERT OR UPDATE ON checkouts
    FOR EACH ROW EXECUTE FUNCTION audit_checkout();
"""

#: The application's role reads and writes rows. It deletes nothing, alters nothing, and
#: of the audit it can only add to and read.
_GRANTS = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_app') THEN
        RAISE EXCEPTION 'the role holdfast_app is missing: create it with a password';
    END IF;
END $$;
GRANT USAGE ON SCHEMA public TO holdfast_app;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO holdfast_app;
REVOKE UPDATE ON audit FROM holdfast_app;
REVOKE ALL ON alembic_version FROM holdfast_app;
GRANT SELECT ON alembic_version TO holdfast_app;
"""


def downgrade() -> None:
    msg = "Holdfast only migrates forward; restore a backup to go back."
    raise NotImplementedError(msg)
