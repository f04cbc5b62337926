"""What customers write to us on their page, and when a letter of ours was last tried."""

from alembic import op
import sqlalchemy as sa

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "customer_messages",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column(
            "written_at", _INSTANT, server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("text", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "length(text) BETWEEN 1 AND 4000",
            name=op.f("ck_customer_messages_text_is_short"),
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id"],
            ["checkouts.checkout_id"],
            name=op.f("fk_customer_messages_checkout_id"),
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_customer_messages")),
    )
    op.create_index(
        op.f("ix_customer_messages_checkout_id"), "customer_messages", ["checkout_id"]
    )
    op.add_column("replies", sa.Column("tried_at", _INSTANT, nullable=True))
    op.execute(_GRANTS)


#: What they wrote stands as they wrote it.
_GRANTS = """
GRANT SELECT, INSERT ON customer_messages TO holdfast_app;
GRANT UPDATE (tried_at) ON replies TO holdfast_app;
"""


def downgrade() -> None:
    msg = "Holdfast only migrates forward; restore a backup to go back."
    raise NotImplementedError(msg)
