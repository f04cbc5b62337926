"""The times that signed letters name are promises, like those of our own mails."""

from alembic import op
import sqlalchemy as sa

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("promises", sa.Column("promise_id", sa.Uuid(), nullable=True))
    op.add_column("promises", sa.Column("reply_id", sa.Uuid(), nullable=True))
    op.execute("UPDATE promises SET promise_id = email_id")
    op.drop_constraint("pk_promises", "promises")
    op.alter_column("promises", "promise_id", nullable=False)
    op.create_primary_key(op.f("pk_promises"), "promises", ["promise_id"])
    op.alter_column("promises", "email_id", nullable=True)
    op.create_unique_constraint(
        op.f("uq_promises_email_id"), "promises", ["email_id"]
    )
    op.create_unique_constraint(
        op.f("uq_promises_reply_id"), "promises", ["reply_id"]
    )
    op.create_foreign_key(
        op.f("fk_promises_reply_id"), "promises", "replies", ["reply_id"], ["reply_id"]
    )
    op.create_check_constraint(
        op.f("ck_promises_one_word"), "promises", "num_nonnulls(email_id, reply_id) = 1"
    )
    op.create_check_constraint(
        op.f("ck_promises_letter_is_by_person"),
        "promises",
        "by_person OR reply_id IS NULL",
    )
    # Letters that left before this was written down: their time may be still to come.
    op.execute(_OF_LETTERS)
    op.execute(_LOOKED_AT)


#: Only the newest letter of a checkout: each keeps what those before it promised.
_OF_LETTERS = """
INSERT INTO promises (promise_id, reply_id, checkout_id, due_at, by_person)
SELECT reply_id, reply_id, checkout_id, promised_at, true
FROM (
    SELECT DISTINCT ON (checkout_id) * FROM replies
    WHERE sent_at IS NOT NULL AND checkout_id IS NOT NULL
    ORDER BY checkout_id, sent_at DESC
) AS newest
WHERE promised_at > now()
"""

#: The sweep looks then whether somebody wrote.
_LOOKED_AT = """
UPDATE checkouts SET next_message_at = least(next_message_at, due_at)
FROM promises
WHERE promises.checkout_id = checkouts.checkout_id AND reply_id IS NOT NULL
"""


def downgrade() -> None:
    msg = "Holdfast only migrates forward; restore a backup to go back."
    raise NotImplementedError(msg)
