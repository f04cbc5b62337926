"""Staff accounts, their sessions, the chained audit, and what they write on cases."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)
_NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "staff",
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("code_key_id", sa.Text(), nullable=False),
        sa.Column("code_salt", sa.LargeBinary(), nullable=False),
        sa.Column(
            "last_code_step", sa.BigInteger(), server_default="0", nullable=False
        ),
        sa.Column("setup_hash", sa.LargeBinary(), nullable=True),
        sa.Column("setup_until", _INSTANT, nullable=True),
        sa.Column("created_at", _INSTANT, server_default=_NOW, nullable=False),
        sa.Column("disabled_at", _INSTANT, nullable=True),
        sa.CheckConstraint(
            "role IN ('read', 'support', 'owner')", name=op.f("ck_staff_role_known")
        ),
        sa.CheckConstraint(
            "name ~ '^[a-z][a-z0-9-]{1,30}$'", name=op.f("ck_staff_name_is_plain")
        ),
        sa.CheckConstraint(
            "length(code_salt) >= 16", name=op.f("ck_staff_code_salt_is_long")
        ),
        sa.CheckConstraint(
            "(setup_hash IS NULL) = (setup_until IS NULL)",
            name=op.f("ck_staff_setup_has_end"),
        ),
        sa.CheckConstraint(
            "password_hash IS NULL OR password_hash LIKE '$argon2id$%'",
            name=op.f("ck_staff_password_is_argon2id"),
        ),
        sa.PrimaryKeyConstraint("staff_id", name=op.f("pk_staff")),
        sa.UniqueConstraint("name", name=op.f("uq_staff_name")),
        sa.UniqueConstraint("setup_hash", name=op.f("uq_staff_setup_hash")),
    )
    op.create_table(
        "staff_sessions",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", _INSTANT, server_default=_NOW, nullable=False),
        sa.Column("last_seen_at", _INSTANT, server_default=_NOW, nullable=False),
        sa.Column("code_at", _INSTANT, server_default=_NOW, nullable=False),
        sa.Column("ended_at", _INSTANT, nullable=True),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.staff_id"], name=op.f("fk_staff_sessions_staff_id")
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_staff_sessions")),
    )
    op.create_index(op.f("ix_staff_sessions_staff_id"), "staff_sessions", ["staff_id"])
    op.create_table(
        "staff_tries",
        sa.Column("bucket", sa.LargeBinary(), nullable=False),
        sa.Column("window_began_at", _INSTANT, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.CheckConstraint("tries >= 0", name=op.f("ck_staff_tries_tries_count")),
        sa.PrimaryKeyConstraint("bucket", name=op.f("pk_staff_tries")),
    )
    op.create_table(
        "staff_actions",
        sa.Column("action_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("checkout_id", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("about", postgresql.JSONB(), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=True),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('done', 'refused')",
            name=op.f("ck_staff_actions_outcome_known"),
        ),
        sa.CheckConstraint(
            "length(hash) = 32", name=op.f("ck_staff_actions_hash_is_sha256")
        ),
        sa.CheckConstraint(
            "(action_id = 1) = (previous_hash IS NULL)",
            name=op.f("ck_staff_actions_first_follows_none"),
        ),
        sa.PrimaryKeyConstraint("action_id", name=op.f("pk_staff_actions")),
        sa.UniqueConstraint("hash", name=op.f("uq_staff_actions_hash")),
        sa.UniqueConstraint(
            "previous_hash",
            name=op.f("uq_staff_actions_previous_hash"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(op.f("ix_staff_actions_case_id"), "staff_actions", ["case_id"])
    op.create_index(
        op.f("ix_staff_actions_checkout_id"), "staff_actions", ["checkout_id"]
    )
    op.create_table(
        "case_notes",
        sa.Column("note_id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("written_at", _INSTANT, server_default=_NOW, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "length(text) BETWEEN 1 AND 4000",
            name=op.f("ck_case_notes_text_is_short"),
        ),
        sa.ForeignKeyConstraint(
            ["case_id"], ["cases.case_id"], name=op.f("fk_case_notes_case_id")
        ),
        sa.PrimaryKeyConstraint("note_id", name=op.f("pk_case_notes")),
    )
    op.create_index(op.f("ix_case_notes_case_id"), "case_notes", ["case_id"])
    op.add_column("cases", sa.Column("claimed_at", _INSTANT, nullable=True))
    op.add_column("cases", sa.Column("held_until", _INSTANT, nullable=True))
    op.add_column("cases", sa.Column("held_at", _INSTANT, nullable=True))
    op.add_column("cases", sa.Column("hold_reason", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_cases_hold_has_reason"),
        "cases",
        "num_nonnulls(held_until, held_at, hold_reason) IN (0, 3)",
    )
    op.execute(_APPEND_ONLY)
    op.execute(_GRANTS)


#: The application has no right to change these rows. The trigger says no to everybody
#: else, so that it takes an intention, and leaves a broken chain, to do it.
_APPEND_ONLY = """
CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed or removed', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER refuse_rewriting BEFORE UPDATE OR DELETE ON staff_actions
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER refuse_rewriting BEFORE UPDATE OR DELETE ON case_notes
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
"""

#: Whatever takes the application over cannot make itself an account, give one another
#: role or open a disabled one: that is for who has the owning role's address.
_GRANTS = """
GRANT SELECT, UPDATE (password_hash, last_code_step, setup_hash, setup_until)
    ON staff TO holdfast_app;
GRANT SELECT, INSERT, UPDATE ON staff_sessions, staff_tries TO holdfast_app;
GRANT SELECT, INSERT ON staff_actions, case_notes TO holdfast_app;
"""


def downgrade() -> None:
    msg = "Holdfast only migrates forward; restore a backup to go back."
    raise NotImplementedError(msg)
