"""Access that outlives its money: what the sweep looks for once a minute."""

from alembic import op
import sqlalchemy as sa

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let the sweep find it without reading every checkout."""
    op.create_index(
        "ix_checkouts_refunded_with_access",
        "checkouts",
        ["updated_at"],
        unique=False,
        postgresql_where=sa.text(
            "money_state = 'REFUNDED' AND access_state = 'ACTIVE'"
        ),
    )


def downgrade() -> None:
    msg = "Holdfast only migrates forward; restore a backup to go back."
    raise NotImplementedError(msg)
