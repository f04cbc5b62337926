"""The tables, and every uniqueness and state rule as a named constraint.

Uniqueness is the database's word: a workflow id is forgotten with the namespace's
retention, a row is not. The trigger functions that guard transitions and keep the audit
are in the migrations; `tests/database` holds both against `domain.states`.
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from domain.changes import MOST_DAYS, ChangeKind
from domain.oncall import FindingKind
from domain.reconciliation import DiscrepancyKind, DiscrepancyState, RunState
from domain.replies import Situation, Verified
from domain.rota import Use
from domain.staff import Role
from domain.states import (
    MONEY_OF_STAGE,
    AccessState,
    CaseState,
    EmailState,
    EntitlementState,
    MoneyState,
    RefundPurpose,
    RefundState,
    SecondChargeState,
    Stage,
    SubscriptionState,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

Instant = DateTime(timezone=True)
_NOW = text("now()")


def _one_of(column: str, states: type[StrEnum]) -> CheckConstraint:
    """Allow only the domain's own words in a state column."""
    words = ", ".join(f"'{state.value}'" for state in states)
    return CheckConstraint(f"{column} IN ({words})", name=f"{column}_known")


def _money_matches_stage() -> CheckConstraint:
    """Allow a money state only in the stages that can prove it."""
    pairs = " OR ".join(
        "(stage = '{}' AND money_state IN ({}))".format(
            stage.value, ", ".join(sorted(f"'{money.value}'" for money in allowed))
        )
        for stage, allowed in MONEY_OF_STAGE.items()
    )
    return CheckConstraint(pairs, name="money_matches_stage")


checkouts = Table(
    "checkouts",
    metadata,
    Column("checkout_id", Uuid, primary_key=True),
    Column("reference_code", Text, nullable=False, unique=True),
    #: SHA-256 of the token in the customer's address; the token itself is not kept.
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    #: Which of the installation's secrets made the token, so that mails can name it.
    Column("token_key_id", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("plan_id", Text, nullable=False),
    Column("plan_name", Text, nullable=False),
    Column("plan_months", Integer, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("stage", Text, nullable=False, server_default=Stage.OPEN),
    Column("money_state", Text, nullable=False, server_default=MoneyState.NOT_CHARGED),
    Column("access_state", Text, nullable=False, server_default=AccessState.NONE),
    #: Counts the buyer's tries; 0 until Pay was pressed.
    Column("buyer_attempt", Integer, nullable=False, server_default="0"),
    Column("pay_requested_at", Instant),
    #: When the bank asked the buyer of this attempt.
    Column("bank_asked_at", Instant),
    #: When its question was answered: the wait starts anew.
    Column("bank_answered_at", Instant),
    #: When the processor was last asked about this attempt, while it is in doubt.
    Column("asked_at", Instant),
    #: The PaymentIntent in use; set before it is confirmed, cleared when canceled.
    Column("payment_intent_id", Text, unique=True),
    Column("next_action_url", Text),
    Column("not_charged_reason", Text),
    Column("decline_class", Text),
    Column("charged_at", Instant),
    Column("card_brand", Text),
    Column("card_last4", Text),
    #: Something made the buyer wait or may have shown an error page.
    Column("interrupted_at", Instant),
    #: A person is needed, or may be soon; cleared when the checkout gets on.
    Column("attention_at", Instant),
    #: When the customer must hear from us next, news or not; None when never. A running
    #: workflow has a timer for it; without one the sweep starts it then.
    Column("next_message_at", Instant),
    #: When the customer last wrote to us or signed in.
    Column("heard_at", Instant),
    #: A bulk repair: nothing is mailed until a person lets it go.
    Column("mail_held_at", Instant),
    #: When the processor showed the PaymentIntent of an ended attempt canceled.
    Column("intent_closed_at", Instant),
    Column("created_at", Instant, nullable=False, server_default=_NOW),
    Column("updated_at", Instant, nullable=False, server_default=_NOW),
    CheckConstraint("length(token_hash) = 32", name="token_hash_is_sha256"),
    CheckConstraint("amount_minor > 0", name="amount_positive"),
    CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency_iso4217"),
    CheckConstraint("plan_months > 0", name="plan_months_positive"),
    CheckConstraint("buyer_attempt >= 0", name="buyer_attempt_counts"),
    _one_of("stage", Stage),
    _one_of("money_state", MoneyState),
    _one_of("access_state", AccessState),
    _money_matches_stage(),
    CheckConstraint(
        "stage <> 'charged' OR (payment_intent_id IS NOT NULL"
        " AND charged_at IS NOT NULL)",
        name="charged_has_proof",
    ),
    CheckConstraint(
        "stage = 'charged' OR access_state = 'NONE'", name="access_needs_charge"
    ),
    CheckConstraint(
        "stage NOT IN ('requested', 'charging') OR pay_requested_at IS NOT NULL",
        name="request_has_time",
    ),
    CheckConstraint(
        "money_state <> 'ACTION_NEEDED' OR next_action_url IS NOT NULL",
        name="action_has_address",
    ),
    #: Target of the orders' foreign key, which makes amounts agree by constraint.
    UniqueConstraint(
        "checkout_id", "amount_minor", "currency", name="uq_checkouts_price"
    ),
    Index(
        "ix_checkouts_requested",
        "pay_requested_at",
        postgresql_where=text("stage = 'requested'"),
    ),
    #: What the sweep asks for once a minute: few rows at any time.
    Index(
        "ix_checkouts_unfinished",
        "updated_at",
        postgresql_where=text(
            "(stage = 'charging' AND money_state = 'UNKNOWN')"
            " OR (stage = 'charged' AND access_state = 'PENDING')"
        ),
    ),
    #: And whose money is back while access is open: few, and most of them by choice.
    Index(
        "ix_checkouts_refunded_with_access",
        "updated_at",
        postgresql_where=text("money_state = 'REFUNDED' AND access_state = 'ACTIVE'"),
    ),
    #: What the sweep asks for as well: who must hear from us and has not.
    Index(
        "ix_checkouts_next_message_at",
        "next_message_at",
        postgresql_where=text("next_message_at IS NOT NULL"),
    ),
    #: What the reconciliation asks the processor about one by one: few at any time.
    Index(
        "ix_checkouts_open_intent",
        "updated_at",
        postgresql_where=text(
            "payment_intent_id IS NOT NULL AND stage <> 'charged'"
            " AND intent_closed_at IS NULL"
        ),
    ),
    Index(
        "ix_checkouts_mail_held",
        "mail_held_at",
        postgresql_where=text("mail_held_at IS NOT NULL"),
    ),
    #: What the reconciliation looks through for requests that do not move.
    Index(
        "ix_checkouts_charging",
        "updated_at",
        postgresql_where=text("stage = 'charging'"),
    ),
    Index("ix_checkouts_email", text("lower(email)")),
    #: What the desk counts every few minutes.
    Index(
        "ix_checkouts_charged_at",
        "charged_at",
        postgresql_where=text("charged_at IS NOT NULL"),
    ),
    #: The day that a bank statement shows, by which support searches.
    Index(
        "ix_checkouts_on_statement",
        text("coalesce(charged_at, pay_requested_at, created_at)"),
    ),
)

payment_attempts = Table(
    "payment_attempts",
    metadata,
    Column("checkout_id", Uuid, ForeignKey(checkouts.c.checkout_id), primary_key=True),
    Column("buyer_attempt", Integer, primary_key=True),
    #: The processor's name of the means of payment; never card data.
    Column("payment_method", Text, nullable=False),
    Column("payment_intent_id", Text, index=True),
    Column("requested_at", Instant, nullable=False, server_default=_NOW),
    Column("claimed_at", Instant),
    Column("ended_at", Instant),
    #: `charged`, or a `NotChargedReason`; None while it is running.
    Column("outcome", Text),
    CheckConstraint("buyer_attempt > 0", name="buyer_attempt_counts"),
    CheckConstraint("(outcome IS NULL) = (ended_at IS NULL)", name="outcome_has_time"),
    #: What the on-call desk asks for: requests to pay that could not be passed on.
    Index(
        "ix_payment_attempts_lost",
        "ended_at",
        postgresql_where=text("outcome IN ('not_sent', 'withdrawn')"),
    ),
    #: At most one attempt of a checkout is running.
    Index(
        "uq_payment_attempts_running",
        "checkout_id",
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
    ),
)

orders = Table(
    "orders",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("checkout_id", Uuid, nullable=False, unique=True),
    Column("payment_intent_id", Text, nullable=False, unique=True),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("charged_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=_NOW),
    ForeignKeyConstraint(
        ["checkout_id", "amount_minor", "currency"],
        ["checkouts.checkout_id", "checkouts.amount_minor", "checkouts.currency"],
        name="fk_orders_price_agrees",
    ),
    #: The reconciliation asks which orders of a span the processor did not show.
    Index("ix_orders_charged_at", "charged_at"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("subscription_id", Uuid, primary_key=True),
    Column(
        "order_id", Uuid, ForeignKey(orders.c.order_id), nullable=False, unique=True
    ),
    Column("plan_id", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=SubscriptionState.ACTIVE),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    #: When the checkout's workflow was last asked to end it; None before its time.
    Column("end_asked_at", Instant),
    _one_of("state", SubscriptionState),
    CheckConstraint("ends_at > starts_at", name="ends_after_start"),
    #: What the sweep asks for once a minute: whose time is over.
    Index(
        "ix_subscriptions_running",
        "ends_at",
        postgresql_where=text("state = 'active'"),
    ),
)

entitlements = Table(
    "entitlements",
    metadata,
    Column("entitlement_id", Uuid, primary_key=True),
    Column(
        "order_id", Uuid, ForeignKey(orders.c.order_id), nullable=False, unique=True
    ),
    Column("state", Text, nullable=False, server_default=EntitlementState.PENDING),
    Column("access_url", Text),
    Column("granted_at", Instant),
    Column("ended_at", Instant),
    _one_of("state", EntitlementState),
    CheckConstraint(
        "state <> 'active' OR granted_at IS NOT NULL", name="active_has_time"
    ),
    CheckConstraint("state <> 'ended' OR ended_at IS NOT NULL", name="ended_has_time"),
)

emails = Table(
    "emails",
    metadata,
    Column("email_id", Uuid, primary_key=True),
    Column("checkout_id", Uuid, ForeignKey(checkouts.c.checkout_id), nullable=False),
    Column("kind", Text, nullable=False),
    #: Its turn of this kind: mails about an attempt count as the attempts do.
    Column("sequence", Integer, nullable=False, server_default="1"),
    Column("state", Text, nullable=False, server_default=EmailState.PENDING),
    Column("created_at", Instant, nullable=False, server_default=_NOW),
    #: The time that the mail names for the next word; its promise is a row too.
    Column("promised_at", Instant),
    #: When the processor had last been asked, as the mail says it: equal in each copy.
    Column("asked_at", Instant),
    Column("sent_at", Instant),
    #: The mail server's final no, without addresses.
    Column("refusal", Text),
    #: For a notice to whom the purchase was taken from: their address, which is not the
    #: checkout's any more. None for all other mail, which goes where the checkout says.
    Column("recipient", Text),
    UniqueConstraint("checkout_id", "kind", "sequence"),
    CheckConstraint("sequence > 0", name="sequence_counts"),
    _one_of("state", EmailState),
    CheckConstraint("state <> 'sent' OR sent_at IS NOT NULL", name="sent_has_time"),
    CheckConstraint("state <> 'failed' OR refusal IS NOT NULL", name="failed_has_word"),
    #: Receipts that have not left, which the reconciliation looks for: few at any time.
    Index(
        "ix_emails_pending",
        "checkout_id",
        postgresql_where=text("state = 'pending'"),
    ),
)

#: What our mails promised: the next word by a time that they name. One row per mail.
promises = Table(
    "promises",
    metadata,
    #: The id of the mail or letter that names the time.
    Column("promise_id", Uuid, primary_key=True),
    Column("email_id", Uuid, ForeignKey(emails.c.email_id), unique=True),
    #: A letter that a person signed: only another one keeps its word.
    Column("reply_id", Uuid, ForeignKey("replies.reply_id"), unique=True),
    Column("checkout_id", Uuid, ForeignKey(checkouts.c.checkout_id), nullable=False),
    Column("due_at", Instant, nullable=False),
    #: A person must speak by then; otherwise the checkout's own timer does.
    Column("by_person", Boolean, nullable=False, server_default="false"),
    #: When a mail, a person's or an automatic one, was handed over afterwards.
    Column("kept_at", Instant),
    Column("kept_by", Text),
    CheckConstraint("(kept_at IS NULL) = (kept_by IS NULL)", name="kept_by_something"),
    CheckConstraint("num_nonnulls(email_id, reply_id) = 1", name="one_word"),
    CheckConstraint("by_person OR reply_id IS NULL", name="letter_is_by_person"),
    Index(
        "ix_promises_open",
        "checkout_id",
        "due_at",
        postgresql_where=text("kept_at IS NULL"),
    ),
)

processor_events = Table(
    "processor_events",
    metadata,
    #: The processor's own event id: a redelivery finds its row.
    Column("event_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("payment_intent_id", Text),
    Column("checkout_id", Uuid),
    Column("received_at", Instant, nullable=False, server_default=_NOW),
    #: When its hint was passed on; None while it still waits for that.
    Column("applied_at", Instant),
    #: Nobody is told of it, by whose word and why; a replay still may.
    Column("ignored_at", Instant),
    Column("ignored_by", Text),
    Column("ignored_reason", Text),
    CheckConstraint(
        "num_nonnulls(ignored_at, ignored_by, ignored_reason) IN (0, 3)",
        name="ignored_by_somebody",
    ),
    Index("ix_processor_events_payment_intent_id", "payment_intent_id"),
    Index("ix_processor_events_checkout_id", "checkout_id"),
    Index(
        "ix_processor_events_waiting",
        "received_at",
        postgresql_where=text("applied_at IS NULL AND ignored_at IS NULL"),
    ),
)

cases = Table(
    "cases",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("checkout_id", Uuid, ForeignKey(checkouts.c.checkout_id), unique=True),
    #: For a payment that no checkout of ours knows.
    Column("payment_intent_id", Text, unique=True),
    Column("state", Text, nullable=False, server_default=CaseState.OPEN),
    Column("step", Text, nullable=False),
    #: Error class, for grouping; no ids, no personal data.
    Column("cause", Text, nullable=False),
    Column("detail", Text, nullable=False),
    #: The staff account that works on it.
    Column("owner", Text),
    Column("opened_at", Instant, nullable=False, server_default=_NOW),
    Column("resolved_at", Instant),
    Column("claimed_at", Instant),
    #: Until when nobody needs to look again, and why.
    Column("held_until", Instant),
    Column("held_at", Instant),
    Column("hold_reason", Text),
    _one_of("state", CaseState),
    CheckConstraint(
        "num_nonnulls(held_until, held_at, hold_reason) IN (0, 3)",
        name="hold_has_reason",
    ),
    CheckConstraint(
        "num_nonnulls(checkout_id, payment_intent_id) = 1", name="one_subject"
    ),
    CheckConstraint(
        "(state = 'resolved') = (resolved_at IS NOT NULL)", name="resolved_has_time"
    ),
)

repairs = Table(
    "repairs",
    metadata,
    Column("repair_id", Uuid, primary_key=True),
    Column("checkout_id", Uuid, ForeignKey(checkouts.c.checkout_id), nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_at", Instant, nullable=False, server_default=_NOW),
    #: A charge that the actor saw at the processor; the row may not know it.
    Column("payment_intent_id", Text),
    #: When its workflow was last told; None while it still has to be.
    Column("told_at", Instant),
    Column("finished_at", Instant),
    Column("outcome", Text),
    CheckConstraint(
        "(outcome IS NULL) = (finished_at IS NULL)", name="outcome_has_time"
    ),
    Index(
        "ix_repairs_waiting", "requested_at", postgresql_where=text("outcome IS NULL")
    ),
)

#: Money on its way back. A trigger keeps the sum of a PaymentIntent's live refunds
#: within what it captured, and freezes new ones while a dispute is open.
refunds = Table(
    "refunds",
    metadata,
    #: Also the processor's idempotency key, and in its metadata.
    Column("refund_id", Uuid, primary_key=True),
    Column(
        "checkout_id",
        Uuid,
        ForeignKey(checkouts.c.checkout_id),
        nullable=False,
        index=True,
    ),
    Column("payment_intent_id", Text, nullable=False, index=True),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    #: What the PaymentIntent took: the limit of the sum.
    Column("captured_minor", BigInteger, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    #: Whether access ends when this refund makes the sum whole.
    Column("ends_access", Boolean, nullable=False),
    Column("state", Text, nullable=False, server_default=RefundState.REQUESTED),
    Column("processor_refund_id", Text, unique=True),
    #: The bank's own number (ARN), by which the customer's bank finds it.
    Column("bank_reference", Text),
    Column("requested_at", Instant, nullable=False, server_default=_NOW),
    #: Not sent before this instant: the time in which it may be taken back.
    Column("not_before", Instant, nullable=False),
    Column("submitted_at", Instant),
    #: When it was last sent, and under which of its keys.
    Column("posted_at", Instant),
    Column("submission", Integer, nullable=False, server_default="0"),
    #: When the processor last showed, after that, that it does not have it.
    Column("looked_at", Instant),
    Column("looks", Integer, nullable=False, server_default="0"),
    Column("next_look_at", Instant),
    Column("accepted_at", Instant),
    Column("finished_at", Instant),
    Column("failure", Text),
    #: When its workflow was last told; None while it still has to be.
    Column("knocked_at", Instant),
    CheckConstraint("amount_minor > 0", name="amount_positive"),
    CheckConstraint("amount_minor <= captured_minor", name="amount_captured"),
    CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency_iso4217"),
    _one_of("state", RefundState),
    _one_of("purpose", RefundPurpose),
    CheckConstraint(
        "state NOT IN ('pending', 'succeeded')"
        " OR (processor_refund_id IS NOT NULL AND accepted_at IS NOT NULL)",
        name="accepted_has_proof",
    ),
    CheckConstraint(
        "state NOT IN ('submitting', 'pending') OR next_look_at IS NOT NULL",
        name="open_is_watched",
    ),
    CheckConstraint(
        "(state IN ('succeeded', 'failed', 'canceled')) = (finished_at IS NOT NULL)",
        name="finished_has_time",
    ),
    CheckConstraint("state <> 'failed' OR failure IS NOT NULL", name="failed_has_word"),
    Index(
        "ix_refunds_open",
        "knocked_at",
        postgresql_where=text("state IN ('requested', 'submitting', 'pending')"),
    ),
)

disputes = Table(
    "disputes",
    metadata,
    #: The processor's own id.
    Column("dispute_id", Text, primary_key=True),
    Column(
        "checkout_id",
        Uuid,
        ForeignKey(checkouts.c.checkout_id),
        nullable=False,
        index=True,
    ),
    Column("payment_intent_id", Text, nullable=False, index=True),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("reason", Text, nullable=False),
    #: The processor's word; new ones come.
    Column("status", Text, nullable=False),
    #: Until when we can answer; None when there is nothing to answer.
    Column("due_by", Instant),
    Column("opened_at", Instant, nullable=False),
    #: When we learned that it is decided; refunds are frozen until then.
    Column("closed_at", Instant),
    Column("noticed_at", Instant, nullable=False, server_default=_NOW),
)

#: Charges that name a checkout which another PaymentIntent paid for.
second_charges = Table(
    "second_charges",
    metadata,
    Column("payment_intent_id", Text, primary_key=True),
    Column(
        "checkout_id",
        Uuid,
        ForeignKey(checkouts.c.checkout_id),
        nullable=False,
        index=True,
    ),
    Column("state", Text, nullable=False, server_default=SecondChargeState.SUSPECTED),
    #: What the processor showed; None before it was asked.
    Column("amount_minor", BigInteger),
    Column("currency", Text),
    Column("noticed_at", Instant, nullable=False, server_default=_NOW),
    Column("looks", Integer, nullable=False, server_default="0"),
    Column("next_look_at", Instant, nullable=False, server_default=_NOW),
    _one_of("state", SecondChargeState),
    CheckConstraint(
        "state <> 'proven' OR (amount_minor > 0 AND currency IS NOT NULL)",
        name="proven_has_amount",
    ),
)

#: One row: how far the processor and we have been compared, and the kill switch.
reconciliation_state = Table(
    "reconciliation_state",
    metadata,
    Column("is_only", Boolean, primary_key=True, server_default="true"),
    #: All that the processor made before has been compared; None before the first run.
    Column("watermark_at", Instant),
    #: When the last deep pass ended.
    Column("deep_at", Instant),
    #: While set, differences are found and told, and no repair is asked for.
    Column("held_at", Instant),
    Column("held_by", Text),
    Column("held_reason", Text),
    CheckConstraint("is_only", name="one_row"),
    CheckConstraint(
        "num_nonnulls(held_at, held_by, held_reason) IN (0, 3)", name="held_by_someone"
    ),
)

reconciliation_runs = Table(
    "reconciliation_runs",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("trigger", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("is_deep", Boolean, nullable=False),
    Column("started_at", Instant, nullable=False, server_default=_NOW),
    #: The last sign of life; a run that shows none is taken over by the next.
    Column("touched_at", Instant, nullable=False, server_default=_NOW),
    Column("finished_at", Instant),
    Column("compare_from", Instant, nullable=False),
    Column("compare_before", Instant, nullable=False),
    #: Objects of the processor that were compared; how many were charges, and how many
    #: of those a webhook had told of.
    Column("compared", Integer, nullable=False, server_default="0"),
    Column("charges", Integer, nullable=False, server_default="0"),
    Column("told", Integer, nullable=False, server_default="0"),
    #: How often each kind was found.
    Column("found", JSONB, nullable=False, server_default="{}"),
    Column("repairs", Integer, nullable=False, server_default="0"),
    Column("cases", Integer, nullable=False, server_default="0"),
    Column("withheld", Integer, nullable=False, server_default="0"),
    #: What looks broken about ourselves, in sentences.
    Column("warnings", JSONB, nullable=False, server_default="[]"),
    Column("state", Text, nullable=False, server_default=RunState.RUNNING),
    _one_of("state", RunState),
    CheckConstraint("compare_from < compare_before", name="span_has_length"),
    CheckConstraint(
        "(state = 'running') = (finished_at IS NULL)", name="finished_has_time"
    ),
    #: At most one run is under way.
    Index(
        "uq_reconciliation_runs_running",
        text("(finished_at IS NULL)"),
        unique=True,
        postgresql_where=text("finished_at IS NULL"),
    ),
    Index("ix_reconciliation_runs_started_at", "started_at"),
)

#: Differences between the processor and us, each once for ever.
discrepancies = Table(
    "discrepancies",
    metadata,
    Column("discrepancy_id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    #: With the kind it names the difference; see `domain.reconciliation.Difference`.
    Column("subject", Text, nullable=False),
    #: May name a checkout that we do not have.
    Column("checkout_id", Uuid, index=True),
    Column("payment_intent_id", Text, index=True),
    Column("amount_minor", BigInteger),
    Column("currency", Text),
    Column("detail", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=DiscrepancyState.SEEN),
    Column("sightings", Integer, nullable=False, server_default="1"),
    Column("first_seen_at", Instant, nullable=False, server_default=_NOW),
    Column("last_seen_at", Instant, nullable=False, server_default=_NOW),
    #: The run that saw it last.
    Column("run_id", Uuid, nullable=False),
    Column("repairs_asked", Integer, nullable=False, server_default="0"),
    Column("asked_at", Instant),
    #: The repair that was asked for last; its outcome is in `repairs`.
    Column("repair_id", Uuid),
    UniqueConstraint("kind", "subject"),
    _one_of("kind", DiscrepancyKind),
    _one_of("state", DiscrepancyState),
    CheckConstraint("(asked_at IS NULL) = (repair_id IS NULL)", name="asked_has_id"),
    CheckConstraint(
        "state <> 'repairing' OR asked_at IS NOT NULL", name="repairing_has_time"
    ),
    Index(
        "ix_discrepancies_open",
        "last_seen_at",
        postgresql_where=text("state IN ('seen', 'repairing')"),
    ),
)

#: Letters that a person signed, kept word for word. The application may write them, and
#: then only when they left and whether they came back.
replies = Table(
    "replies",
    metadata,
    #: Made by the editor, so that pressing twice is one letter.
    Column("reply_id", Uuid, primary_key=True),
    Column("checkout_id", Uuid, ForeignKey(checkouts.c.checkout_id), index=True),
    #: For a letter about a payment that no checkout of ours knows.
    Column("case_id", Uuid, ForeignKey(cases.c.case_id), index=True),
    Column("situation", Text, nullable=False),
    #: The staff account's name.
    Column("author", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("subject", Text, nullable=False),
    #: What the person confirmed or wrote.
    Column("opening", Text, nullable=False),
    #: The whole text as the customer got it, and its SHA-256.
    Column("body", Text, nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    #: The mail itself: facts move on, so it could not be written again the same.
    Column("message", LargeBinary, nullable=False),
    Column("message_id", Text, nullable=False, unique=True),
    #: By when it says that we write again; None when it does not.
    Column("promised_at", Instant),
    Column("created_at", Instant, nullable=False, server_default=_NOW),
    #: When it was last begun to be handed over.
    Column("tried_at", Instant),
    Column("sent_at", Instant),
    #: The mail server's final no, or the code of a bounce; without addresses.
    Column("refused", Text),
    _one_of("situation", Situation),
    CheckConstraint("num_nonnulls(checkout_id, case_id) >= 1", name="has_subject"),
    CheckConstraint("length(body_hash) = 32", name="body_hash_is_sha256"),
    Index(
        "ix_replies_waiting",
        "created_at",
        postgresql_where=text("sent_at IS NULL AND refused IS NULL"),
    ),
)

#: Append-only: the application's role may insert and read, nothing else.
audit = Table(
    "audit",
    metadata,
    Column("audit_id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", Instant, nullable=False, server_default=_NOW),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("checkout_id", Uuid, index=True),
    Column("before", JSONB),
    Column("after", JSONB),
)

api_requests = Table(
    "api_requests",
    metadata,
    #: SHA-256 of the API key, so that two embedders' keys never meet.
    Column("api_key_hash", LargeBinary, primary_key=True),
    Column("idempotency_key", Text, primary_key=True),
    Column("body_hash", LargeBinary, nullable=False),
    Column("checkout_id", Uuid, ForeignKey(checkouts.c.checkout_id), nullable=False),
    Column("created_at", Instant, nullable=False, server_default=_NOW),
    CheckConstraint(
        "length(idempotency_key) BETWEEN 1 AND 255", name="idempotency_key_length"
    ),
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    #: Of the cookie of the browser that asked; only that browser may use the link.
    Column("browser_hash", LargeBinary, nullable=False),
    Column("email", Text, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=_NOW),
    Column("used_at", Instant),
)

account_sessions = Table(
    "account_sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("email", Text, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=_NOW),
    Column("last_seen_at", Instant, nullable=False, server_default=_NOW),
    Column("ended_at", Instant),
)

shop_pauses = Table(
    "shop_pauses",
    metadata,
    Column("pause_id", Uuid, primary_key=True),
    Column("paused_at", Instant, nullable=False, server_default=_NOW),
    #: For staff; no customer reads it.
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("resumed_at", Instant),
    Column("resumed_by", Text),
    CheckConstraint(
        "(resumed_at IS NULL) = (resumed_by IS NULL)", name="resumed_has_actor"
    ),
    #: At most one pause is open.
    Index(
        "uq_shop_pauses_open",
        text("(resumed_at IS NULL)"),
        unique=True,
        postgresql_where=text("resumed_at IS NULL"),
    ),
)

#: Who was stopped by a pause and is told, once, when payments are taken again.
pause_waiters = Table(
    "pause_waiters",
    metadata,
    Column("pause_id", Uuid, ForeignKey(shop_pauses.c.pause_id), primary_key=True),
    Column("checkout_id", Uuid, ForeignKey(checkouts.c.checkout_id), primary_key=True),
    Column("waiting_since", Instant, nullable=False, server_default=_NOW),
    #: When the mail was owed; also set when another checkout's mail to the same address
    #: has told it.
    Column("told_at", Instant),
    #: The mail that told it was about this checkout.
    Column("is_written_to", Boolean, nullable=False, server_default="false"),
    Index(
        "ix_pause_waiters_waiting", "pause_id", postgresql_where=text("told_at IS NULL")
    ),
)

#: What is wrong, one row each, written with the case it comes from; passed on to the
#: on-call desk afterwards, and once more when it is over.
findings = Table(
    "findings",
    metadata,
    Column("finding_id", Uuid, primary_key=True),
    #: The case it comes from; None for what is wrong with the shop itself.
    Column("case_id", Uuid, ForeignKey(cases.c.case_id), index=True),
    Column("kind", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("error", Text, nullable=False),
    #: Whom it harms: a checkout's or payment's id, or a word.
    Column("subject", Text, nullable=False),
    Column("since_at", Instant, nullable=False),
    Column("amount_minor", BigInteger, nullable=False, server_default="0"),
    Column("currency", Text),
    Column("found_at", Instant, nullable=False, server_default=_NOW),
    #: When the desk was told of it; None while it waits.
    Column("told_at", Instant),
    Column("over_at", Instant),
    #: When the desk was told that it is over.
    Column("told_over_at", Instant),
    _one_of("kind", FindingKind),
    CheckConstraint(
        "told_over_at IS NULL OR over_at IS NOT NULL", name="told_over_is_over"
    ),
    #: The same trouble of the same subject is found once while it lasts.
    Index(
        "uq_findings_lasting",
        "subject",
        "kind",
        "step",
        "error",
        unique=True,
        postgresql_where=text("over_at IS NULL"),
    ),
    Index(
        "ix_findings_waiting",
        "found_at",
        postgresql_where=text(
            "told_at IS NULL OR (over_at IS NOT NULL AND told_over_at IS NULL)"
        ),
    ),
)

#: What the desk made of them; the desk's own memory is its workflow.
incidents = Table(
    "incidents",
    metadata,
    Column("incident_id", Uuid, primary_key=True),
    #: The desk's count of changes; an older one never overwrites a newer.
    Column("version", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("title", Text, nullable=False),
    #: How loudly it was to be told when it was written, and why.
    Column("level", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("waiting", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("came_back", Integer, nullable=False),
    Column("told_at", Instant),
    Column("told_level", Text, nullable=False),
    Column("acknowledged_at", Instant),
    Column("acknowledged_by", Text, nullable=False),
    Column("snoozed_until", Instant),
    Column("snoozed_by", Text, nullable=False),
    Column("snooze_reason", Text, nullable=False),
    #: When the desk paused new payments because of it.
    Column("paused_at", Instant),
    Column("resolved_at", Instant),
    Column("resolved_by", Text, nullable=False),
    _one_of("kind", FindingKind),
    Index(
        "ix_incidents_open", "opened_at", postgresql_where=text("resolved_at IS NULL")
    ),
)

#: Every alert to every person, delivered or not. Append-only, as `drills`.
notifications = Table(
    "notifications",
    metadata,
    Column("notification_id", Uuid, primary_key=True),
    #: None for a digest. No reference: an alert leaves before its incident's row.
    Column("incident_id", Uuid),
    Column("use", Text, nullable=False),
    Column("person", Text, nullable=False),
    #: The channel's label, never its address; empty when none took it.
    Column("channel", Text, nullable=False),
    Column("is_delivered", Boolean, nullable=False),
    Column("title", Text, nullable=False),
    Column("sent_at", Instant, nullable=False, index=True),
    Column("is_at_night", Boolean, nullable=False),
    _one_of("use", Use),
)

#: Rehearsals: a test down every channel, and what came of it.
drills = Table(
    "drills",
    metadata,
    Column("drill_id", Uuid, primary_key=True),
    Column("at", Instant, nullable=False, server_default=_NOW),
    Column("actor", Text, nullable=False),
    #: By channel's label: whether it took the test.
    Column("results", JSONB, nullable=False),
    Column("is_whole", Boolean, nullable=False),
)

#: Accounts of the console; made, reset and disabled by `cli.py staff` alone.
staff = Table(
    "staff",
    metadata,
    Column("staff_id", Uuid, primary_key=True),
    #: What the audit, cases and refunds call them; never given to anybody else.
    Column("name", Text, nullable=False, unique=True),
    #: The name that they sign with.
    Column("display_name", Text, nullable=False),
    Column("role", Text, nullable=False),
    #: Argon2id; None until the account is set up.
    Column("password_hash", Text),
    #: Of what the second factor is derived; see `domain.staff.StaffSecrets`.
    Column("code_key_id", Text, nullable=False),
    Column("code_salt", LargeBinary, nullable=False),
    #: The newest half minute whose code was used: no code is taken twice.
    Column("last_code_step", BigInteger, nullable=False, server_default="0"),
    #: SHA-256 of the one-time link's token; None once it was used.
    Column("setup_hash", LargeBinary, unique=True),
    Column("setup_until", Instant),
    Column("created_at", Instant, nullable=False, server_default=_NOW),
    Column("disabled_at", Instant),
    _one_of("role", Role),
    CheckConstraint("name ~ '^[a-z][a-z0-9-]{1,30}$'", name="name_is_plain"),
    CheckConstraint("length(code_salt) >= 16", name="code_salt_is_long"),
    CheckConstraint(
        "(setup_hash IS NULL) = (setup_until IS NULL)", name="setup_has_end"
    ),
    CheckConstraint(
        "password_hash IS NULL OR password_hash LIKE '$argon2id$%'",
        name="password_is_argon2id",
    ),
)

staff_sessions = Table(
    "staff_sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("staff_id", Uuid, ForeignKey(staff.c.staff_id), nullable=False, index=True),
    Column("created_at", Instant, nullable=False, server_default=_NOW),
    Column("last_seen_at", Instant, nullable=False, server_default=_NOW),
    #: When a code was last given in it: money needs a fresh one.
    Column("code_at", Instant, nullable=False, server_default=_NOW),
    Column("ended_at", Instant),
)

#: How often somebody tried to get in, counted for all replicas together.
staff_tries = Table(
    "staff_tries",
    metadata,
    #: SHA-256 of what is counted: an account, or an address. It names nobody.
    Column("bucket", LargeBinary, primary_key=True),
    Column("window_began_at", Instant, nullable=False),
    Column("tries", Integer, nullable=False),
    CheckConstraint("tries >= 0", name="tries_count"),
)

#: What staff did and was refused: append-only, and each row holds the hash of the one
#: before. `database.audit` writes and verifies it.
staff_actions = Table(
    "staff_actions",
    metadata,
    #: Counts from 1 without a gap.
    Column("action_id", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    #: The actor's role at that moment; None where nobody was signed in.
    Column("role", Text),
    Column("action", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("case_id", Uuid, index=True),
    Column("checkout_id", Uuid, index=True),
    #: The log line's id of the request.
    Column("request_id", Text),
    #: Ids, states and digests; no personal data, so that nothing has to be erased.
    Column("about", JSONB, nullable=False),
    #: None for the first row alone.
    Column("previous_hash", LargeBinary),
    Column("hash", LargeBinary, nullable=False, unique=True),
    #: No two rows follow the same one, and only one follows none.
    UniqueConstraint("previous_hash", postgresql_nulls_not_distinct=True),
    CheckConstraint("outcome IN ('done', 'refused')", name="outcome_known"),
    CheckConstraint("length(hash) = 32", name="hash_is_sha256"),
    CheckConstraint(
        "(action_id = 1) = (previous_hash IS NULL)", name="first_follows_none"
    ),
    #: Failed sign-ins, which strangers write, apart from all else.
    Index(
        "ix_staff_actions_deeds",
        "action_id",
        postgresql_where=text("action <> 'sign_in'"),
    ),
    Index(
        "ix_staff_actions_sign_ins",
        "action_id",
        postgresql_where=text("action = 'sign_in'"),
    ),
)

#: What staff tell each other about a case. Append-only.
case_notes = Table(
    "case_notes",
    metadata,
    Column("note_id", Uuid, primary_key=True),
    Column("case_id", Uuid, ForeignKey(cases.c.case_id), nullable=False, index=True),
    Column("author", Text, nullable=False),
    Column("written_at", Instant, nullable=False, server_default=_NOW),
    Column("text", Text, nullable=False),
    CheckConstraint("length(text) BETWEEN 1 AND 4000", name="text_is_short"),
)

#: What customers wrote with the form of their page, word for word; what they wrote by
#: mail is in the mailbox. Append-only.
customer_messages = Table(
    "customer_messages",
    metadata,
    #: Made of the words and their day: sent twice, they are one message.
    Column("message_id", Uuid, primary_key=True),
    Column(
        "checkout_id",
        Uuid,
        ForeignKey(checkouts.c.checkout_id),
        nullable=False,
        index=True,
    ),
    Column("written_at", Instant, nullable=False, server_default=_NOW),
    Column("text", Text, nullable=False),
    CheckConstraint("length(text) BETWEEN 1 AND 4000", name="text_is_short"),
)

#: What a person changed of a purchase: days added, the address put right. Append-only
#: but for `told_at`. It has the addresses, so that the customer can be told.
purchase_changes = Table(
    "purchase_changes",
    metadata,
    #: Made of the checkout and its turn: pressed twice, or by two, it is one change.
    Column("change_id", Uuid, primary_key=True),
    Column("checkout_id", Uuid, ForeignKey(checkouts.c.checkout_id), nullable=False),
    #: Counts the checkout's changes from 1.
    Column("sequence", Integer, nullable=False),
    #: What the application is told, and by which it knows a late call as an older one:
    #: the milliseconds of the change, and higher than the one before. It grows also
    #: after a backup was restored that has fewer changes than the application has seen.
    Column("number", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    #: The staff account's name.
    Column("actor", Text, nullable=False),
    #: In the actor's words.
    Column("reason", Text, nullable=False),
    Column("days", Integer),
    Column("old_email", Text),
    Column("new_email", Text),
    #: How it was known that who asked is who paid.
    Column("verified", Text),
    Column("created_at", Instant, nullable=False, server_default=_NOW),
    #: When the application had acted on it; None while it still has to be told.
    Column("told_at", Instant),
    UniqueConstraint("checkout_id", "sequence"),
    UniqueConstraint("checkout_id", "number"),
    CheckConstraint("sequence > 0", name="sequence_counts"),
    _one_of("kind", ChangeKind),
    _one_of("verified", Verified),
    CheckConstraint("length(reason) BETWEEN 1 AND 300", name="reason_is_short"),
    CheckConstraint(
        "(kind = 'days') = (days IS NOT NULL)"
        f" AND days BETWEEN 1 AND {max(MOST_DAYS.values())}",
        name="days_count",
    ),
    CheckConstraint(
        "num_nonnulls(old_email, new_email, verified)"
        " = CASE kind WHEN 'address' THEN 3 ELSE 0 END",
        name="address_is_whole",
    ),
    #: Whoever writes from the address that was corrected is found by it.
    Index("ix_purchase_changes_old_email", text("lower(old_email)")),
)
