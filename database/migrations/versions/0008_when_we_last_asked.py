"""When the processor was last asked about a payment in doubt; mails keep what they say."""

from alembic import op
import sqlalchemy as sa

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "checkouts", sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "emails", sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True)
    )


def downgrade() -> None:
    msg = "Holdfast only migrates forward; restore a backup to go back."
    raise NotImplementedError(msg)
