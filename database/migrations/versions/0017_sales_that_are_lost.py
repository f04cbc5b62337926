"""The desk sees that nobody can pay."""

from alembic import op
import sqlalchemy as sa

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

KINDS = (
    "kind IN ('charged_twice', 'paid_without_access', 'charge_without_order',"
    " 'key_leaked', 'outcome_unknown', 'refund_failed', 'dispute_opened',"
    " 'mail_bounced', 'books_differ', 'reconciliation_late', 'webhooks_silent',"
    " 'sales_lost', 'records_away',"
    " 'drill_overdue', 'customer_wrote', 'step_stuck')"
)

_TABLES = ("findings", "incidents")


def upgrade() -> None:
    for table in _TABLES:
        name = f"ck_{table}_kind_known"
        op.drop_constraint(op.f(name), table)
        op.create_check_constraint(op.f(name), table, KINDS)
    op.create_index(
        "ix_payment_attempts_lost",
        "payment_attempts",
        ["ended_at"],
        postgresql_where=sa.text("outcome IN ('not_sent', 'withdrawn')"),
    )


def downgrade() -> None:
    msg = "Holdfast only migrates forward; restore a backup to go back."
    raise NotImplementedError(msg)
