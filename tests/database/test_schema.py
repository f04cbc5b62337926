"""The schema: migrations, named rules, and what the application's role may not do."""

from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import sql
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from database import tables
from database.migrate import migrate
from domain.states import MONEY_OF_STAGE, NEXT_STAGES, MoneyState, Stage
from stack.postgres import PostgresHandle
from tests.conftest import Database
from tests.database.conftest import OpenCheckout

pytestmark = pytest.mark.postgres

REPOSITORY = Path(__file__).parents[2]
TABLES = sorted(tables.metadata.tables)

#: Every rule that the design counts on, by the name that errors show.
RULES = {
    "checkouts": {
        "pk_checkouts",
        "uq_checkouts_reference_code",
        "uq_checkouts_token_hash",
        "uq_checkouts_payment_intent_id",
        "uq_checkouts_price",
        "ck_checkouts_token_hash_is_sha256",
        "ck_checkouts_amount_positive",
        "ck_checkouts_currency_iso4217",
        "ck_checkouts_plan_months_positive",
        "ck_checkouts_buyer_attempt_counts",
        "ck_checkouts_stage_known",
        "ck_checkouts_money_state_known",
        "ck_checkouts_access_state_known",
        "ck_checkouts_money_matches_stage",
        "ck_checkouts_charged_has_proof",
        "ck_checkouts_access_needs_charge",
        "ck_checkouts_request_has_time",
        "ck_checkouts_action_has_address",
    },
    "payment_attempts": {
        "pk_payment_attempts",
        "fk_payment_attempts_checkout_id",
        "ck_payment_attempts_buyer_attempt_counts",
        "ck_payment_attempts_outcome_has_time",
    },
    "orders": {
        "pk_orders",
        "uq_orders_checkout_id",
        "uq_orders_payment_intent_id",
        "fk_orders_price_agrees",
    },
    "subscriptions": {
        "pk_subscriptions",
        "uq_subscriptions_order_id",
        "fk_subscriptions_order_id",
        "ck_subscriptions_state_known",
        "ck_subscriptions_ends_after_start",
    },
    "entitlements": {
        "pk_entitlements",
        "uq_entitlements_order_id",
        "fk_entitlements_order_id",
        "ck_entitlements_state_known",
        "ck_entitlements_active_has_time",
        "ck_entitlements_ended_has_time",
    },
    "emails": {
        "pk_emails",
        "uq_emails_checkout_id_kind_sequence",
        "ck_emails_sequence_counts",
        "fk_emails_checkout_id",
        "ck_emails_state_known",
        "ck_emails_sent_has_time",
        "ck_emails_failed_has_word",
    },
    "promises": {
        "pk_promises",
        "uq_promises_email_id",
        "uq_promises_reply_id",
        "fk_promises_email_id",
        "fk_promises_reply_id",
        "fk_promises_checkout_id",
        "ck_promises_kept_by_something",
        "ck_promises_one_word",
        "ck_promises_letter_is_by_person",
    },
    "processor_events": {
        "pk_processor_events",
        "ck_processor_events_ignored_by_somebody",
    },
    "cases": {
        "pk_cases",
        "uq_cases_checkout_id",
        "uq_cases_payment_intent_id",
        "fk_cases_checkout_id",
        "ck_cases_state_known",
        "ck_cases_one_subject",
        "ck_cases_resolved_has_time",
        "ck_cases_hold_has_reason",
    },
    "repairs": {
        "pk_repairs",
        "fk_repairs_checkout_id",
        "ck_repairs_outcome_has_time",
    },
    "refunds": {
        "pk_refunds",
        "uq_refunds_processor_refund_id",
        "fk_refunds_checkout_id",
        "ck_refunds_amount_positive",
        "ck_refunds_amount_captured",
        "ck_refunds_currency_iso4217",
        "ck_refunds_state_known",
        "ck_refunds_purpose_known",
        "ck_refunds_accepted_has_proof",
        "ck_refunds_open_is_watched",
        "ck_refunds_finished_has_time",
        "ck_refunds_failed_has_word",
    },
    "disputes": {"pk_disputes", "fk_disputes_checkout_id"},
    "second_charges": {
        "pk_second_charges",
        "fk_second_charges_checkout_id",
        "ck_second_charges_state_known",
        "ck_second_charges_proven_has_amount",
    },
    "reconciliation_state": {
        "pk_reconciliation_state",
        "ck_reconciliation_state_one_row",
        "ck_reconciliation_state_held_by_someone",
    },
    "reconciliation_runs": {
        "pk_reconciliation_runs",
        "ck_reconciliation_runs_state_known",
        "ck_reconciliation_runs_span_has_length",
        "ck_reconciliation_runs_finished_has_time",
    },
    "discrepancies": {
        "pk_discrepancies",
        "uq_discrepancies_kind_subject",
        "ck_discrepancies_kind_known",
        "ck_discrepancies_state_known",
        "ck_discrepancies_asked_has_id",
        "ck_discrepancies_repairing_has_time",
    },
    "replies": {
        "pk_replies",
        "uq_replies_message_id",
        "fk_replies_checkout_id",
        "fk_replies_case_id",
        "ck_replies_situation_known",
        "ck_replies_has_subject",
        "ck_replies_body_hash_is_sha256",
    },
    "audit": {"pk_audit"},
    "api_requests": {
        "pk_api_requests",
        "fk_api_requests_checkout_id",
        "ck_api_requests_idempotency_key_length",
    },
    "sign_in_links": {"pk_sign_in_links"},
    "account_sessions": {"pk_account_sessions"},
    "shop_pauses": {"pk_shop_pauses", "ck_shop_pauses_resumed_has_actor"},
    "findings": {
        "pk_findings",
        "fk_findings_case_id",
        "ck_findings_kind_known",
        "ck_findings_told_over_is_over",
    },
    "incidents": {"pk_incidents", "ck_incidents_kind_known"},
    "notifications": {"pk_notifications", "ck_notifications_use_known"},
    "drills": {"pk_drills"},
    "pause_waiters": {
        "pk_pause_waiters",
        "fk_pause_waiters_pause_id",
        "fk_pause_waiters_checkout_id",
    },
    "staff": {
        "pk_staff",
        "uq_staff_name",
        "uq_staff_setup_hash",
        "ck_staff_role_known",
        "ck_staff_name_is_plain",
        "ck_staff_code_salt_is_long",
        "ck_staff_setup_has_end",
        "ck_staff_password_is_argon2id",
    },
    "staff_sessions": {"pk_staff_sessions", "fk_staff_sessions_staff_id"},
    "staff_tries": {"pk_staff_tries", "ck_staff_tries_tries_count"},
    "staff_actions": {
        "pk_staff_actions",
        "uq_staff_actions_hash",
        "uq_staff_actions_previous_hash",
        "ck_staff_actions_outcome_known",
        "ck_staff_actions_hash_is_sha256",
        "ck_staff_actions_first_follows_none",
    },
    "case_notes": {
        "pk_case_notes",
        "fk_case_notes_case_id",
        "ck_case_notes_text_is_short",
    },
    "purchase_changes": {
        "pk_purchase_changes",
        "uq_purchase_changes_checkout_id_sequence",
        "uq_purchase_changes_checkout_id_number",
        "fk_purchase_changes_checkout_id",
        "ck_purchase_changes_sequence_counts",
        "ck_purchase_changes_kind_known",
        "ck_purchase_changes_verified_known",
        "ck_purchase_changes_reason_is_short",
        "ck_purchase_changes_days_count",
        "ck_purchase_changes_address_is_whole",
    },
    "customer_messages": {
        "pk_customer_messages",
        "fk_customer_messages_checkout_id",
        "ck_customer_messages_text_is_short",
    },
}


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The owner's connection, past the application's privileges."""
    with database.connect_as_owner() as connection:
        yield connection


@pytest.fixture
def app(database: Database) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A plain connection with the application's own privileges."""
    url = database.app_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def test_the_migrations_make_what_the_tables_say(migrated: Database) -> None:
    """No column, index or constraint is in one of the two only."""
    engine = create_engine(migrated.owner_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        differences = compare_metadata(context, tables.metadata)
    engine.dispose()

    assert differences == []


def test_a_second_migration_changes_nothing(
    owner: psycopg.Connection[tuple[object, ...]], migrated: Database
) -> None:
    """The step may run before every start."""
    before = _definitions(owner)
    migrate(migrated.owner_url)

    assert _definitions(owner) == before


def test_two_migrations_at_once_are_one(postgres: PostgresHandle) -> None:
    """Two replicas that start together do not migrate against each other."""
    url, _ = postgres.new_database("migrated_twice")
    steps = [
        subprocess.Popen(
            [sys.executable, "-m", "database.migrate"],
            env={"HOLDFAST_MIGRATION_DATABASE_URL": url, "PATH": "/usr/bin"},
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]

    assert [step.wait(timeout=60) for step in steps] == [0, 0]
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    assert len(found) == 1


async def test_a_database_error_quotes_no_value(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The text of an error, which logs show, holds no customer's address."""
    await open_checkout()
    with pytest.raises(ProgrammingError) as refused:
        async with engine.begin() as connection:
            await connection.execute(
                text("SELECT nothing FROM checkouts WHERE email = :email"),
                {"email": "mara@example.com"},
            )

    assert "mara" not in str(refused.value)


def test_the_step_says_what_became_of_it(migrated: Database) -> None:
    """One line and an exit code; a wrong address shows no password."""

    def run(url: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "database.migrate"],
            env={"HOLDFAST_MIGRATION_DATABASE_URL": url, "PATH": "/usr/bin"},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    assert run(migrated.owner_url) == (0, "the schema is up to date\n", "")
    assert run("")[0] == 2
    code, out, error = run("postgresql+psycopg://owner:hunter22@127.0.0.1:1/holdfast")
    assert (code, out) == (1, "")
    assert "could not be brought up to date" in error
    assert "hunter22" not in error


@pytest.mark.parametrize("table", TABLES)
def test_every_rule_is_there_by_its_name(
    owner: psycopg.Connection[tuple[object, ...]], table: str
) -> None:
    """Uniqueness, states and references are the database's word."""
    found = owner.execute(
        "SELECT conname FROM pg_constraint"
        " WHERE conrelid = %s::regclass AND contype <> 'n'",
        [table],
    ).fetchall()

    assert {name for (name,) in found} == RULES[table]


def test_one_attempt_runs_at_a_time(
    owner: psycopg.Connection[tuple[object, ...]],
) -> None:
    """The index that allows one running attempt per checkout is unique and partial."""
    (definition,) = owner.execute(
        "SELECT pg_get_indexdef('uq_payment_attempts_running'::regclass)"
    ).fetchone() or ("",)

    assert "UNIQUE" in str(definition)
    assert "ended_at IS NULL" in str(definition)


@pytest.mark.parametrize(("old", "new"), list(product(Stage, Stage)))
async def test_the_trigger_allows_the_domains_transitions_and_no_other(
    database: Database, open_checkout: OpenCheckout, old: Stage, new: Stage
) -> None:
    """Not even the owner at a psql prompt can make a move that the domain forbids."""
    checkout_id = await open_checkout(old)
    money = sorted(MONEY_OF_STAGE[new])[-1]
    with database.connect_as_owner() as owner:
        broken = _rule_broken_by(
            lambda: owner.execute(
                "UPDATE checkouts SET stage = %s, money_state = %s,"
                " access_state = CASE %s WHEN 'charged' THEN access_state"
                "   ELSE 'NONE' END,"
                " pay_requested_at = coalesce(pay_requested_at, now()),"
                " payment_intent_id = coalesce(payment_intent_id, 'pi_new'),"
                " charged_at = coalesce(charged_at, now()),"
                " next_action_url = 'https://bank.test'"
                " WHERE checkout_id = %s",
                [new, money, new, checkout_id],
            )
        )

    allowed = old == new or new in NEXT_STAGES[old]
    assert broken == (None if allowed else "checkouts_transition")


@pytest.mark.parametrize(("stage", "money"), list(product(Stage, MoneyState)))
async def test_the_constraint_allows_the_domains_money_states_and_no_other(
    database: Database, open_checkout: OpenCheckout, stage: Stage, money: MoneyState
) -> None:
    """No row can say something about money that its stage does not prove."""
    checkout_id = await open_checkout(stage)
    with database.connect_as_owner() as owner:
        broken = _rule_broken_by(
            lambda: owner.execute(
                "UPDATE checkouts SET money_state = %s,"
                " next_action_url = 'https://bank.test' WHERE checkout_id = %s",
                [money, checkout_id],
            )
        )

    allowed = money in MONEY_OF_STAGE[stage]
    assert broken == (None if allowed else "ck_checkouts_money_matches_stage")


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("payment_intent_id = 'pi_other'", "checkouts_charge_is_final"),
        ("payment_intent_id = NULL", "checkouts_charge_is_final"),
        ("charged_at = now()", "checkouts_charge_is_final"),
        ("amount_minor = 1", "checkouts_price_is_final"),
        ("currency = 'eur'", "checkouts_price_is_final"),
    ],
)
async def test_a_charge_and_its_price_cannot_be_rewritten(
    database: Database,
    open_checkout: OpenCheckout,
    change: LiteralString,
    constraint: str,
) -> None:
    """What was charged stays what was charged."""
    await open_checkout(Stage.CHARGED)
    with (
        database.connect_as_owner() as owner,
        pytest.raises(psycopg.errors.CheckViolation) as refused,
    ):
        owner.execute(sql.SQL("UPDATE checkouts SET {}").format(sql.SQL(change)))

    assert refused.value.diag.constraint_name == constraint


async def test_an_orders_price_is_its_checkouts_price(
    database: Database, open_checkout: OpenCheckout
) -> None:
    """Amounts agree by constraint, not by care."""
    checkout_id = await open_checkout(Stage.CHARGING)
    with (
        database.connect_as_owner() as owner,
        pytest.raises(psycopg.errors.ForeignKeyViolation) as refused,
    ):
        owner.execute(
            "INSERT INTO orders (order_id, checkout_id, payment_intent_id,"
            " amount_minor, currency, charged_at)"
            " VALUES (gen_random_uuid(), %s, 'pi_1', 1, 'usd', now())",
            [checkout_id],
        )

    assert refused.value.diag.constraint_name == "fk_orders_price_agrees"


@pytest.mark.parametrize("table", TABLES)
def test_the_application_deletes_nothing(
    app: psycopg.Connection[tuple[object, ...]], table: str
) -> None:
    """Whatever takes the application over cannot remove a row (S23)."""
    name = sql.Identifier(table)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(sql.SQL("DELETE FROM {}").format(name))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(sql.SQL("TRUNCATE {}").format(name))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE mine",
        "ALTER TABLE checkouts ADD COLUMN mine int",
        "ALTER TABLE checkouts DISABLE TRIGGER ALL",
        "ALTER TABLE checkouts DROP CONSTRAINT uq_checkouts_token_hash",
        "DROP TABLE checkouts",
        "DROP TRIGGER guard_checkout ON checkouts",
        "CREATE OR REPLACE FUNCTION guard_checkout() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RETURN NEW; END $$",
        "SET session_replication_role = replica",
        "UPDATE alembic_version SET version_num = 'x'",
        "COPY checkouts TO PROGRAM 'true'",
        "COPY checkouts TO '/tmp/checkouts'",
    ],
)
def test_the_application_changes_no_structure(
    app: psycopg.Connection[tuple[object, ...]], statement: str
) -> None:
    """Neither tables nor rules can be changed from the application (S23)."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(statement.encode())


async def test_the_audit_can_only_be_added_to(
    app: psycopg.Connection[tuple[object, ...]], open_checkout: OpenCheckout
) -> None:
    """No line of the audit can be changed or taken away by the application (S18)."""
    await open_checkout()

    app.execute("INSERT INTO audit (actor, action) VALUES ('dana', 'case.noted')")
    (lines,) = app.execute("SELECT count(*) FROM audit").fetchone() or (0,)
    assert lines == 2
    for statement in ("UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(statement.encode())


async def test_every_move_leaves_a_line(
    app: psycopg.Connection[tuple[object, ...]],
    database: Database,
    open_checkout: OpenCheckout,
) -> None:
    """The audit tells who moved what from where to where, psql sessions included."""
    checkout_id = await open_checkout(Stage.CHARGED)
    with database.connect_as_owner() as owner:
        owner.execute("SET application_name = 'psql by dana'")
        owner.execute("UPDATE checkouts SET money_state = 'REFUNDING'")
        # A change that moves nothing is no move.
        owner.execute("UPDATE checkouts SET attention_at = now()")

    lines = app.execute(
        "SELECT actor, action, before ->> 'stage', after ->> 'stage',"
        " after ->> 'money' FROM audit WHERE checkout_id = %s ORDER BY audit_id",
        [checkout_id],
    ).fetchall()
    assert lines == [
        ("tests", "checkout.opened", None, "open", "NOT_CHARGED"),
        ("tests", "checkout.moved", "open", "requested", "UNKNOWN"),
        ("tests", "checkout.moved", "requested", "charging", "UNKNOWN"),
        ("tests", "checkout.moved", "charging", "charged", "CHARGED"),
        ("psql by dana", "checkout.moved", "charged", "charged", "REFUNDING"),
    ]


async def test_the_audit_names_no_person(
    app: psycopg.Connection[tuple[object, ...]], open_checkout: OpenCheckout
) -> None:
    """The lines that the database writes hold states and ids, no address."""
    await open_checkout(Stage.CHARGED)

    for (line,) in app.execute("SELECT to_json(audit)::text FROM audit").fetchall():
        assert "mara" not in str(line)


async def test_a_locked_table_is_an_error_within_three_seconds(
    database: Database, engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A lock that somebody holds becomes a retried step, not a silent wait."""
    await open_checkout()
    started = asyncio.get_running_loop().time()
    with database.connect_as_owner() as owner, owner.transaction():
        owner.execute("LOCK TABLE checkouts IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(OperationalError) as refused:
            async with engine.begin() as connection:
                await connection.execute(text("SELECT * FROM checkouts"))

    assert isinstance(refused.value.orig, psycopg.errors.LockNotAvailable)
    assert asyncio.get_running_loop().time() - started < 3


async def test_a_slow_statement_ends_by_itself(engine: AsyncEngine) -> None:
    """No statement holds a connection for longer than its limit."""
    with pytest.raises(OperationalError) as refused:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_sleep(30)"))

    assert isinstance(refused.value.orig, psycopg.errors.QueryCanceled)


def test_statements_are_written_in_one_place() -> None:
    """Outside `database/`, no product code builds a statement."""
    builders = {"text", "select", "insert", "update", "delete"}
    # Readiness asks `SELECT 1`, which is no statement about anything.
    allowed = ["api/records.py: text"]
    offenders = [
        f"{path.relative_to(REPOSITORY)}: {alias.name}"
        for folder in ("activities", "api", "workflows", "mail", "processor", "domain")
        for path in (REPOSITORY / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "sqlalchemy"
        for alias in node.names
        if alias.name in builders
    ]

    assert [offender for offender in offenders if offender not in allowed] == []


def _rule_broken_by(statement: Callable[[], object]) -> str | None:
    """Run a statement; return the constraint that refused it, or None."""
    try:
        statement()
    except psycopg.errors.CheckViolation as error:
        return error.diag.constraint_name
    return None


def _definitions(
    owner: psycopg.Connection[tuple[object, ...]],
) -> list[tuple[object, ...]]:
    """Everything the schema consists of, as PostgreSQL writes it down."""
    return owner.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " UNION ALL SELECT indexname, indexdef FROM pg_indexes"
        " UNION ALL SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public'"
        " UNION ALL SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger"
        " UNION ALL SELECT 'version', version_num FROM alembic_version"
        " ORDER BY 1, 2"
    ).fetchall()
