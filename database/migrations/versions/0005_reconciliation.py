"""The reconciliation: how far it came, its runs, what differed, and held mail."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)
_NOW = sa.text("now()")
_NONE_YET = {"server_default": "0", "nullable": False}


def upgrade() -> None:
    op.add_column("repairs", sa.Column("told_at", _INSTANT, nullable=True))
    op.add_column("checkouts", sa.Column("mail_held_at", _INSTANT, nullable=True))
    op.add_column("checkouts", sa.Column("intent_closed_at", _INSTANT, nullable=True))
    op.create_index(
        "ix_checkouts_open_intent",
        "checkouts",
        ["updated_at"],
        unique=False,
        postgresql_where=sa.text(
            "payment_intent_id IS NOT NULL AND stage <> 'charged'"
            " AND intent_closed_at IS NULL"
        ),
    )
    op.create_index(
        "ix_checkouts_mail_held",
        "checkouts",
        ["mail_held_at"],
        unique=False,
        postgresql_where=sa.text("mail_held_at IS NOT NULL"),
    )
    op.create_index(
        "ix_checkouts_charging",
        "checkouts",
        ["updated_at"],
        unique=False,
        postgresql_where=sa.text("stage = 'charging'"),
    )
    op.create_index(
        "ix_emails_pending",
        "emails",
        ["checkout_id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index("ix_orders_charged_at", "orders", ["charged_at"], unique=False)
    op.create_index(
        "ix_processor_events_payment_intent_id",
        "processor_events",
        ["payment_intent_id"],
        unique=False,
    )
    _create_state()
    _create_runs()
    _create_discrepancies()
    op.execute(_GRANTS)


def _create_state() -> None:
    op.create_table(
        "reconciliation_state",
        sa.Column("is_only", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("watermark_at", _INSTANT, nullable=True),
        sa.Column("deep_at", _INSTANT, nullable=True),
        sa.Column("held_at", _INSTANT, nullable=True),
        sa.Column("held_by", sa.Text(), nullable=True),
        sa.Column("held_reason", sa.Text(), nullable=True),
        sa.CheckConstraint("is_only", name=op.f("ck_reconciliation_state_one_row")),
        sa.CheckConstraint(
            "num_nonnulls(held_at, held_by, held_reason) IN (0, 3)",
            name=op.f("ck_reconciliation_state_held_by_someone"),
        ),
        sa.PrimaryKeyConstraint("is_only", name=op.f("pk_reconciliation_state")),
    )


def _create_runs() -> None:
    op.create_table(
        "reconciliation_runs",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("is_deep", sa.Boolean(), nullable=False),
        sa.Column("started_at", _INSTANT, server_default=_NOW, nullable=False),
        sa.Column("touched_at", _INSTANT, server_default=_NOW, nullable=False),
        sa.Column("finished_at", _INSTANT, nullable=True),
        sa.Column("compare_from", _INSTANT, nullable=False),
        sa.Column("compare_before", _INSTANT, nullable=False),
        sa.Column("compared", sa.Integer(), **_NONE_YET),
        sa.Column("charges", sa.Integer(), **_NONE_YET),
        sa.Column("told", sa.Integer(), **_NONE_YET),
        sa.Column(
            "found", postgresql.JSONB(), server_default="{}", nullable=False
        ),
        sa.Column("repairs", sa.Integer(), **_NONE_YET),
        sa.Column("cases", sa.Integer(), **_NONE_YET),
        sa.Column("withheld", sa.Integer(), **_NONE_YET),
        sa.Column(
            "warnings", postgresql.JSONB(), server_default="[]", nullable=False
        ),
        sa.Column("state", sa.Text(), server_default="running", nullable=False),
        sa.CheckConstraint(
            "state IN ('running', 'finished', 'lost')",
            name=op.f("ck_reconciliation_runs_state_known"),
        ),
        sa.CheckConstraint(
            "compare_from < compare_before",
            name=op.f("ck_reconciliation_runs_span_has_length"),
        ),
        sa.CheckConstraint(
            "(state = 'running') = (finished_at IS NULL)",
            name=op.f("ck_reconciliation_runs_finished_has_time"),
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_reconciliation_runs")),
    )
    op.create_index(
        "uq_reconciliation_runs_running",
        "reconciliation_runs",
        [sa.text("(finished_at IS NULL)")],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index(
        "ix_reconciliation_runs_started_at",
        "reconciliation_runs",
        ["started_at"],
        unique=False,
    )


def _create_discrepancies() -> None:
    op.create_table(
        "discrepancies",
        sa.Column("discrepancy_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=True),
        sa.Column("payment_intent_id", sa.Text(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="seen", nullable=False),
        sa.Column("sightings", sa.Integer(), server_default="1", nullable=False),
        sa.Column("first_seen_at", _INSTANT, server_default=_NOW, nullable=False),
        sa.Column("last_seen_at", _INSTANT, server_default=_NOW, nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("repairs_asked", sa.Integer(), **_NONE_YET),
        sa.Column("asked_at", _INSTANT, nullable=True),
        sa.Column("repair_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('charge_without_order', 'charge_without_checkout', 'foreign_charge', 'amount_mismatch', 'duplicate_charge', 'refund_not_recorded', 'dispute_opened', 'order_without_charge', 'order_without_access', 'order_without_receipt', 'stuck_checkout')",
            name=op.f("ck_discrepancies_kind_known"),
        ),
        sa.CheckConstraint(
            "state IN ('seen', 'repairing', 'with_person')",
            name=op.f("ck_discrepancies_state_known"),
        ),
        sa.CheckConstraint(
            "(asked_at IS NULL) = (repair_id IS NULL)",
            name=op.f("ck_discrepancies_asked_has_id"),
        ),
        sa.CheckConstraint(
            "state <> 'repairing' OR asked_at IS NOT NULL",
            name=op.f("ck_discrepancies_repairing_has_time"),
        ),
        sa.PrimaryKeyConstraint("discrepancy_id", name=op.f("pk_discrepancies")),
        sa.UniqueConstraint(
            "kind", "subject", name=op.f("uq_discrepancies_kind_subject")
        ),
    )
    op.create_index(
        op.f("ix_discrepancies_checkout_id"), "discrepancies", ["checkout_id"], unique=False
    )
    op.create_index(
        op.f("ix_discrepancies_payment_intent_id"),
        "discrepancies",
        ["payment_intent_id"],
        unique=False,
    )
    op.create_index(
        "ix_discrepancies_open",
        "discrepancies",
        ["last_seen_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('seen', 'repairing')"),
    )


#: The one row of the state is there from the start; nobody adds or removes one.
_GRANTS = """
INSERT INTO reconciliation_state DEFAULT VALUES;
GRANT SELECT, UPDATE ON reconciliation_state TO holdfast_app;
GRANT SELECT, INSERT, UPDATE ON reconciliation_runs, discrepancies TO holdfast_app;
"""


def downgrade() -> None:
    msg = "Holdfast only migrates forward; restore a backup to go back."
    raise NotImplementedError(msg)
