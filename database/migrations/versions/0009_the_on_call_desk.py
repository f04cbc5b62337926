"""What is wrong, what the on-call desk made of it, who was told, and the rehearsals."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

KINDS = (
    "kind IN ('charged_twice', 'paid_without_access', 'charge_without_order',"
    " 'key_leaked', 'outcome_unknown', 'refund_failed', 'dispute_opened',"
    " 'mail_bounced', 'books_differ', 'reconciliation_late', 'webhooks_silent',"
    " 'records_away',"
    " 'drill_overdue', 'customer_wrote', 'step_stuck', 'healed', 'noted')"
)


def instant(name: str, **options: object) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), **options)


def upgrade() -> None:
    op.create_table(
        "findings",
        sa.Column("finding_id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        instant("since_at", nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        instant("found_at", server_default=sa.text("now()"), nullable=False),
        instant("told_at", nullable=True),
        instant("over_at", nullable=True),
        instant("told_over_at", nullable=True),
        sa.CheckConstraint(KINDS, name=op.f("ck_findings_kind_known")),
        sa.CheckConstraint(
            "told_over_at IS NULL OR over_at IS NOT NULL",
            name=op.f("ck_findings_told_over_is_over"),
        ),
        sa.ForeignKeyConstraint(
            ["case_id"], ["cases.case_id"], name=op.f("fk_findings_case_id")
        ),
        sa.PrimaryKeyConstraint("finding_id", name=op.f("pk_findings")),
    )
    op.create_index(op.f("ix_findings_case_id"), "findings", ["case_id"])
    op.create_index(
        "uq_findings_lasting",
        "findings",
        ["subject", "kind", "step", "error"],
        unique=True,
        postgresql_where=sa.text("over_at IS NULL"),
    )
    op.create_index(
        "ix_findings_waiting",
        "findings",
        ["found_at"],
        postgresql_where=sa.text(
            "told_at IS NULL OR (over_at IS NOT NULL AND told_over_at IS NULL)"
        ),
    )
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        instant("opened_at", nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("came_back", sa.Integer(), nullable=False),
        instant("told_at", nullable=True),
        sa.Column("told_level", sa.Text(), nullable=False),
        instant("acknowledged_at", nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=False),
        instant("snoozed_until", nullable=True),
        sa.Column("snoozed_by", sa.Text(), nullable=False),
        sa.Column("snooze_reason", sa.Text(), nullable=False),
        instant("paused_at", nullable=True),
        instant("resolved_at", nullable=True),
        sa.Column("resolved_by", sa.Text(), nullable=False),
        sa.CheckConstraint(KINDS, name=op.f("ck_incidents_kind_known")),
        sa.PrimaryKeyConstraint("incident_id", name=op.f("pk_incidents")),
    )
    op.create_index(
        "ix_incidents_open",
        "incidents",
        ["opened_at"],
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "notifications",
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=True),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("is_delivered", sa.Boolean(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        instant("sent_at", nullable=False),
        sa.Column("is_at_night", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "use IN ('page', 'push', 'digest')",
            name=op.f("ck_notifications_use_known"),
        ),
        sa.PrimaryKeyConstraint("notification_id", name=op.f("pk_notifications")),
    )
    op.create_index(op.f("ix_notifications_sent_at"), "notifications", ["sent_at"])
    op.create_table(
        "drills",
        sa.Column("drill_id", sa.Uuid(), nullable=False),
        instant("at", server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("results", postgresql.JSONB(), nullable=False),
        sa.Column("is_whole", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("drill_id", name=op.f("pk_drills")),
    )
    # Whoever resolves a case ends what was found with it, in the same commit.
    op.execute(
        """
        CREATE FUNCTION end_findings_of_case() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE findings SET over_at = clock_timestamp()
            WHERE case_id = NEW.case_id AND over_at IS NULL;
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER end_findings AFTER UPDATE OF state ON cases FOR EACH ROW
        WHEN (NEW.state = 'resolved' AND OLD.state <> 'resolved')
        EXECUTE FUNCTION end_findings_of_case()
        """
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON findings, incidents TO holdfast_app")
    op.execute("GRANT SELECT, INSERT ON notifications, drills TO holdfast_app")


def downgrade() -> None:
    msg = "Holdfast only migrates forward; restore a backup to go back."
    raise NotImplementedError(msg)
