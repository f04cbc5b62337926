"""The desk sees that nobody can pay."""

from alembic import op
import sqlalchemy as sa

revision = "0018"
down_revision = "0014"
branch_labels = None
depends_on = None

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
