"""Indexes for what the console and the desk look for, however many rows there are."""

from alembic import op
import sqlalchemy as sa

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_processor_events_checkout_id", "processor_events", ["checkout_id"]
    )
    op.create_index(
        "ix_checkouts_charged_at",
        "checkouts",
        ["charged_at"],
        postgresql_where=sa.text("charged_at IS NOT NULL"),
    )
    op.create_index(
        "ix_checkouts_on_statement",
        "checkouts",
        [sa.text("coalesce(charged_at, pay_requested_at, created_at)")],
    )
    op.create_index(
        "ix_staff_actions_deeds",
        "staff_actions",
        ["action_id"],
        postgresql_where=sa.text("action <> 'sign_in'"),
    )
    op.create_index(
        "ix_staff_actions_sign_ins",
        "staff_actions",
        ["action_id"],
        postgresql_where=sa.text("action = 'sign_in'"),
    )


def downgrade() -> None:
    msg = "Holdfast only migrates forward; restore a backup to go back."
    raise NotImplementedError(msg)
