"""Mails in turns, the promises they make, and when a customer must hear next."""

from alembic import op
import sqlalchemy as sa

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "checkouts",
        sa.Column("next_message_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.add_column(
        "checkouts", sa.Column("heard_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_index(
        "ix_checkouts_next_message_at",
        "checkouts",
        ["next_message_at"],
        unique=False,
        postgresql_where=sa.text("next_message_at IS NOT NULL"),
    )
    op.add_column(
        "emails",
        sa.Column("sequence", sa.Integer(), server_default="1", nullable=False),
    )
    op.add_column(
        "emails", sa.Column("promised_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.drop_constraint(op.f("uq_emails_checkout_id_kind"), "emails", type_="unique")
    op.create_unique_constraint(
        op.f("uq_emails_checkout_id_kind_sequence"),
        "emails",
        ["checkout_id", "kind", "sequence"],
    )
    op.create_check_constraint(
        op.f("ck_emails_sequence_counts"), "emails", "sequence > 0"
    )
    op.drop_constraint(op.f("ck_emails_state_known"), "emails", type_="check")
    op.create_check_constraint(
        op.f("ck_emails_state_known"),
        "emails",
        "state IN ('pending', 'sent', 'failed', 'needless')",
    )
    op.create_table(
        "promises",
        sa.Column("email_id", sa.Uuid(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by_person", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("kept_by", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(kept_at IS NULL) = (kept_by IS NULL)",
            name=op.f("ck_promises_kept_by_something"),
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id"],
            ["checkouts.checkout_id"],
            name=op.f("fk_promises_checkout_id"),
        ),
        sa.ForeignKeyConstraint(
            ["email_id"], ["emails.email_id"], name=op.f("fk_promises_email_id")
        ),
        sa.PrimaryKeyConstraint("email_id", name=op.f("pk_promises")),
    )
    op.create_index(
        "ix_promises_open",
        "promises",
        ["checkout_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("kept_at IS NULL"),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON promises TO holdfast_app")


def downgrade() -> None:
    msg = "Holdfast only migrates forward; restore a backup to go back."
    raise NotImplementedError(msg)
