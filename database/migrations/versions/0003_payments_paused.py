"""Pausing new payments, and who is told when they are taken again."""

from alembic import op
import sqlalchemy as sa

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shop_pauses",
        sa.Column("pause_id", sa.Uuid(), nullable=False),
        sa.Column(
            "paused_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("resumed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resumed_by", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(resumed_at IS NULL) = (resumed_by IS NULL)",
            name=op.f("ck_shop_pauses_resumed_has_actor"),
        ),
        sa.PrimaryKeyConstraint("pause_id", name=op.f("pk_shop_pauses")),
    )
    op.create_index(
        "uq_shop_pauses_open",
        "shop_pauses",
        [sa.text("(resumed_at IS NULL)")],
        unique=True,
        postgresql_where=sa.text("resumed_at IS NULL"),
    )
    op.create_table(
        "pause_waiters",
        sa.Column("pause_id", sa.Uuid(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column(
            "waiting_since",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "is_written_to", sa.Boolean(), server_default="false", nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id"],
            ["checkouts.checkout_id"],
            name=op.f("fk_pause_waiters_checkout_id"),
        ),
        sa.ForeignKeyConstraint(
            ["pause_id"],
            ["shop_pauses.pause_id"],
            name=op.f("fk_pause_waiters_pause_id"),
        ),
        sa.PrimaryKeyConstraint(
            "pause_id", "checkout_id", name=op.f("pk_pause_waiters")
        ),
    )
    op.create_index(
        "ix_pause_waiters_waiting",
        "pause_waiters",
        ["pause_id"],
        unique=False,
        postgresql_where=sa.text("told_at IS NULL"),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON shop_pauses, pause_waiters TO holdfast_app")


def downgrade() -> None:
    msg = "Holdfast only migrates forward; restore a backup to go back."
    raise NotImplementedError(msg)
