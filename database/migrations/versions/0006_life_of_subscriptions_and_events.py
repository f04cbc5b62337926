"""Whose time is over is found by an index, moves of subscriptions are audited, and
events that nobody shall be told of say by whose word."""

from alembic import op
import sqlalchemy as sa

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("subscriptions", sa.Column("end_asked_at", _INSTANT, nullable=True))
    op.create_index(
        "ix_subscriptions_running",
        "subscriptions",
        ["ends_at"],
        postgresql_where=sa.text("state = 'active'"),
    )
    op.add_column("processor_events", sa.Column("ignored_at", _INSTANT, nullable=True))
    op.add_column("processor_events", sa.Column("ignored_by", sa.Text(), nullable=True))
    op.add_column(
        "processor_events", sa.Column("ignored_reason", sa.Text(), nullable=True)
    )
    op.create_check_constraint(
        op.f("ck_processor_events_ignored_by_somebody"),
        "processor_events",
        "num_nonnulls(ignored_at, ignored_by, ignored_reason) IN (0, 3)",
    )
    op.drop_index("ix_processor_events_waiting", "processor_events")
    op.create_index(
        "ix_processor_events_waiting",
        "processor_events",
        ["received_at"],
        postgresql_where=sa.text("applied_at IS NULL AND ignored_at IS NULL"),
    )
    op.execute(_AUDIT)


#: The end of a subscription leaves a line, whoever wrote it. The buying of one is in
#: its checkout's line already.
_AUDIT = """
CREATE FUNCTION audit_subscription() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit (actor, action, checkout_id, before, after)
    SELECT current_setting('application_name'), 'subscription.moved',
        orders.checkout_id,
        jsonb_build_object('subscription', OLD.subscription_id, 'state', OLD.state,
            'ends_at', OLD.ends_at),
        jsonb_build_object('subscription', NEW.subscription_id, 'state', NEW.state,
            'ends_at', NEW.ends_at)
    FROM orders WHERE orders.order_id = NEW.order_id;
    RETURN NULL;
END $$;
CREATE TRIGGER audit_subscription AFTER UPDATE ON subscriptions
    FOR EACH ROW
    WHEN ((OLD.state, OLD.ends_at) IS DISTINCT FROM (NEW.state, NEW.ends_at))
    EXECUTE FUNCTION audit_subscription();
"""


def downgrade() -> None:
    msg = "Holdfast only migrates forward; restore a backup to go back."
    raise NotImplementedError(msg)
