"""Letters that a person signed, word for word."""

from alembic import op
import sqlalchemy as sa

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "replies",
        sa.Column("reply_id", sa.Uuid(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=True),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("situation", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("opening", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("promised_at", _INSTANT, nullable=True),
        sa.Column(
            "created_at", _INSTANT, server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("sent_at", _INSTANT, nullable=True),
        sa.Column("refused", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "num_nonnulls(checkout_id, case_id) >= 1",
            name=op.f("ck_replies_has_subject"),
        ),
        sa.CheckConstraint(
            "situation IN ('went-through', 'blank-page', 'paid-twice', 'second-line-is-hold', 'still-unknown', 'not-charged', 'declined', 'money-back', 'angry', 'wrong-address', 'no-mail', 'invoice', 'compensation', 'somebody-else', 'dispute', 'many-people', 'slow-answer', 'after-the-fix')",
            name=op.f("ck_replies_situation_known"),
        ),
        sa.CheckConstraint(
            "length(body_hash) = 32", name=op.f("ck_replies_body_hash_is_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["case_id"], ["cases.case_id"], name=op.f("fk_replies_case_id")
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id"],
            ["checkouts.checkout_id"],
            name=op.f("fk_replies_checkout_id"),
        ),
        sa.PrimaryKeyConstraint("reply_id", name=op.f("pk_replies")),
        sa.UniqueConstraint("message_id", name=op.f("uq_replies_message_id")),
    )
    op.create_index(
        op.f("ix_replies_checkout_id"), "replies", ["checkout_id"], unique=False
    )
    op.create_index(op.f("ix_replies_case_id"), "replies", ["case_id"], unique=False)
    op.create_index(
        "ix_replies_waiting",
        "replies",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("sent_at IS NULL AND refused IS NULL"),
    )
    # What a letter says stands once it is written; the application may say only that it
    # left, or came back. Columns are granted one by one for that.
    op.execute("GRANT SELECT, INSERT ON replies TO holdfast_app")
    op.execute("GRANT UPDATE (sent_at, refused) ON replies TO holdfast_app")


def downgrade() -> None:
    msg = "Holdfast only migrates forward; restore a backup to go back."
    raise NotImplementedError(msg)
