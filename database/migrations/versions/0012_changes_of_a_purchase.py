"""Days that are added to a plan, and addresses that are put right."""

from alembic import op
import sqlalchemy as sa

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "purchase_changes",
        sa.Column("change_id", sa.Uuid(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=True),
        sa.Column("old_email", sa.Text(), nullable=True),
        sa.Column("new_email", sa.Text(), nullable=True),
        sa.Column("verified", sa.Text(), nullable=True),
        sa.Column(
            "created_at", _INSTANT, server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("told_at", _INSTANT, nullable=True),
        sa.CheckConstraint(
            "sequence > 0", name=op.f("ck_purchase_changes_sequence_counts")
        ),
        sa.CheckConstraint(
            "kind IN ('days', 'address')", name=op.f("ck_purchase_changes_kind_known")
        ),
        sa.CheckConstraint(
            "verified IN ('page_link', 'card_and_day')",
            name=op.f("ck_purchase_changes_verified_known"),
        ),
        sa.CheckConstraint(
            "length(reason) BETWEEN 1 AND 300",
            name=op.f("ck_purchase_changes_reason_is_short"),
        ),
        sa.CheckConstraint(
            "(kind = 'days') = (days IS NOT NULL) AND days BETWEEN 1 AND 90",
            name=op.f("ck_purchase_changes_days_count"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(old_email, new_email, verified)"
            " = CASE kind WHEN 'address' THEN 3 ELSE 0 END",
            name=op.f("ck_purchase_changes_address_is_whole"),
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id"],
            ["checkouts.checkout_id"],
            name=op.f("fk_purchase_changes_checkout_id"),
        ),
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_purchase_changes")),
        sa.UniqueConstraint(
            "checkout_id",
            "sequence",
            name=op.f("uq_purchase_changes_checkout_id_sequence"),
        ),
        sa.UniqueConstraint(
            "checkout_id",
            "number",
            name=op.f("uq_purchase_changes_checkout_id_number"),
        ),
    )
    op.create_index(
        "ix_purchase_changes_old_email",
        "purchase_changes",
        [sa.text("lower(old_email)")],
    )
    op.add_column("emails", sa.Column("recipient", sa.Text(), nullable=True))
    op.execute(_GRANTS)


#: What was changed, by whom and why stands as it was written; that the application was
#: told is noted on it.
_GRANTS = """
GRANT SELECT, INSERT, UPDATE (told_at) ON purchase_changes TO holdfast_app;
"""


def downgrade() -> None:
    msg = "Holdfast only migrates forward; restore a backup to go back."
    raise NotImplementedError(msg)
