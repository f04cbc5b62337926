"""Counts when all is quiet, from outside: each thing where it really is."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from chaos.audit import Bought, Charge, Evidence
from chaos.plan import Trouble
from chaos.shoppers import Visit
from domain.addresses import token_digest
from domain.identifiers import mail_of, workflow_id_of
from stack.driver import Stack
from tests.durability.counting import connect_owner, get_json
from tests.durability.watching import find_lies
from tests.promises import unkept_promises
from workflows.checkout import CheckoutWorkflow

#: Histories that are replayed; the others are only measured.
_REPLAYED = 200
#: What the processor's log of requests gives at once.
_MOST_REQUESTS = 10_000

#: A PaymentIntent that still may take money, whoever confirms or answers it.
_MAY_TAKE = {"requires_action", "requires_confirmation", "processing"}

#: What can cost the mail server's acknowledgement, after which a copy must be sent.
_DISTURBING = {
    Trouble.KILL,
    Trouble.FREEZE,
    Trouble.DOWN,
    Trouble.CUT,
    Trouble.MAIL,
    Trouble.LOST_RUN,
}

_CHECKOUTS = """
SELECT c.checkout_id::text AS checkout_id, c.token_hash AS token_hash,
       c.reference_code AS name, c.stage,
       c.money_state AS money, c.access_state AS access, c.amount_minor AS amount,
       c.buyer_attempt AS attempts,
       (SELECT count(*) FROM orders o WHERE o.checkout_id = c.checkout_id) AS orders,
       (SELECT count(*) FROM subscriptions s JOIN orders o USING (order_id)
         WHERE o.checkout_id = c.checkout_id) AS subscriptions,
       (SELECT count(*) FROM entitlements e JOIN orders o USING (order_id)
         WHERE o.checkout_id = c.checkout_id AND e.state = 'active') AS active,
       (SELECT coalesce(sum(r.amount_minor), 0)::bigint FROM refunds r
         WHERE r.checkout_id = c.checkout_id AND r.state = 'succeeded') AS refunded,
       EXISTS (SELECT FROM cases k WHERE k.checkout_id = c.checkout_id
                                     AND k.state = 'open') AS has_case
  FROM checkouts c
"""

#: Checkouts whose workflow has something to wait for: the time of a mail, a refund.
_AWAITING = """
SELECT checkout_id FROM checkouts WHERE next_message_at IS NOT NULL
UNION SELECT checkout_id FROM refunds
       WHERE state IN ('requested', 'submitting', 'pending')
"""

_WAITING_EVENTS = """
SELECT count(*) FROM processor_events WHERE applied_at IS NULL AND ignored_at IS NULL
"""

_UNANSWERED_REPAIRS = "SELECT count(*) FROM repairs WHERE outcome IS NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What is known of a run besides what can be counted now.

    Attributes:
        visits: What became of each buyer.
        happened: The troubles that happened.
        not_back: Children that did not come back by themselves.
        unsettled: Checkouts that did not come to their end in time.
        last_run: What the second reconciliation found, by kind.
    """

    visits: Sequence[Visit]
    happened: Sequence[Trouble]
    not_back: Sequence[str]
    unsettled: int
    last_run: dict[str, int]


def gather(stack: Stack, course: Course) -> Evidence:
    """Count everything."""
    summary = get_json(f"{stack.at.processor}/sandbox/summary")["checkouts"]
    rows = _rows(stack)
    running, longest, failures = asyncio.run(_workflows(stack))
    with connect_owner(stack) as database:
        awaiting = {workflow_id_of(row) for (row,) in database.execute(_AWAITING)}
        waiting = _count(database, _WAITING_EVENTS)
        unanswered = _count(database, _UNANSWERED_REPAIRS)
        unkept = unkept_promises(database)
    return Evidence(
        bought=_bought(stack, rows, summary, course.visits),
        without_page=sum(not visit.address for visit in course.visits),
        orphans=_orphans(summary, {row["checkout_id"] for row in rows}),
        reused_keys=tuple(_reused_keys(stack)),
        waiting_events=waiting,
        unanswered=unanswered,
        idle=len(running - awaiting),
        longest_history=longest,
        replay_failures=tuple(failures),
        last_run=course.last_run,
        unkept_promises=tuple(unkept),
        leaks=tuple(_leaks(stack, course.visits)),
        not_back=tuple(course.not_back),
        unsettled=course.unsettled,
        disturbances=sum(trouble in _DISTURBING for trouble in course.happened),
    )


def _count(database: psycopg.Connection[Any], query: str) -> int:
    found = database.execute(query.encode()).fetchone()
    return int(found[0]) if found else 0


def _rows(stack: Stack) -> list[dict[str, Any]]:
    with connect_owner(stack) as database:
        cursor = database.execute(_CHECKOUTS)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def _orphans(summary: dict[str, list[Any]], known: set[str]) -> int:
    return sum(len(made) for name, made in summary.items() if name not in known)


def _bought(
    stack: Stack,
    rows: list[dict[str, Any]],
    summary: dict[str, list[dict[str, Any]]],
    visits: Sequence[Visit],
) -> tuple[Bought, ...]:
    """Put together what belongs to one checkout.

    An address has one visit and may have several checkouts: the answer that named the
    first may have been lost. The visit's page is told by the address in it.
    """
    at = stack.at
    intents = _by(
        get_json(f"{at.processor}/sandbox/payment_intents")["data"],
        lambda intent: intent["metadata"].get("checkout_id", ""),
    )
    access = _by(
        get_json(f"{at.application}/api/entitlements")["entitlements"],
        lambda entry: entry["order_reference"],
    )
    mails = _by(get_json(f"{at.mailbox}/api/mails")["mails"], _reference_in)
    pages = {_page_of(visit): visit for visit in visits}
    return tuple(
        _one(
            row,
            charges=summary.get(row["checkout_id"], []),
            intents=intents[row["checkout_id"]],
            access=access[row["name"]],
            mails=mails[row["name"]],
            visit=pages.get(bytes(row["token_hash"])),
        )
        for row in rows
    )


def _one(
    row: dict[str, Any],
    *,
    charges: list[dict[str, Any]],
    intents: list[dict[str, Any]],
    access: list[dict[str, Any]],
    mails: list[dict[str, Any]],
    visit: Visit | None,
) -> Bought:
    copies = _by(mails, lambda mail: mail["message_id"])
    charged_at = min((charge["charged_at"] for charge in charges), default=None)
    identity = ("checkout_id", "token_hash")
    return Bought(
        **{name: value for name, value in row.items() if name not in identity},
        charges=tuple(
            Charge(amount=charge["amount"], refunded=charge["amount_refunded"])
            for charge in charges
        ),
        may_take=sum(intent["status"] in _MAY_TAKE for intent in intents),
        grants=sum(entry["grants"] for entry in access),
        has_access=any(entry["state"] == "active" for entry in access),
        receipts=len({m["message_id"] for m in mails if m["kind"] == "receipt"}),
        mails=tuple(len(same) for same in copies.values()),
        altered=sum(
            len({(mail["text"], mail["html"]) for mail in same}) > 1
            for same in copies.values()
        ),
        is_accepted=visit is not None and visit.accepted,
        lies=_lies(visit, charged_at) if visit else (),
    )


def _lies(visit: Visit, charged_at: float | None) -> tuple[str, ...]:
    """Return what the visit's pages said that was not true.

    A look that nobody answered says nothing; what comes after the money was given
    back is another story, with other sentences.
    """
    end = visit.taken_back_at or float("inf")
    looks = [
        look
        for look in visit.sightings
        if look.status is not None and look.began_at < end
    ]
    return tuple(find_lies(looks, charged_at))


def _page_of(visit: Visit) -> bytes:
    """The digest of the page's token, as the row keeps it."""
    return token_digest(visit.address.rpartition("/c/")[2])


def _reference_in(mail: dict[str, Any]) -> str:
    """The reference code of the checkout that the mail is about."""
    try:
        return mail_of(mail["message_id"] or "").reference
    except ValueError:
        return ""


def _leaks(stack: Stack, visits: Sequence[Visit]) -> Iterator[str]:
    """Yield where a log names a buyer or opens a page."""
    for child in ("api", "worker"):
        log = stack.log(child)
        for visit in visits:
            if visit.shopper.email in log:
                yield f"the {child}'s log has the address of {visit.shopper.number}"
            token = visit.address.rpartition("/c/")[2]
            if token and token in log:
                yield f"the {child}'s log has the page of {visit.shopper.number}"


def _by(found: list[dict[str, Any]], key: Any) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in found:
        groups[key(one)].append(one)
    return groups


def _reused_keys(stack: Stack) -> Iterator[str]:
    """Yield each idempotency key that came with two bodies, and what was asked."""
    lines = get_json(
        f"{stack.at.processor}/sandbox/requests", limit=str(_MOST_REQUESTS)
    )["data"]
    by_key = _by(lines, lambda line: line["idempotency_key"] or "")
    by_key.pop("", None)
    for key, same in by_key.items():
        if len({line["body_sha256"] for line in same}) > 1:
            asked = ", ".join(f"{line['path']} {line['status']}" for line in same)
            yield f"the key {key} stood for: {asked}"


async def _workflows(stack: Stack) -> tuple[set[str], int, list[str]]:
    """Return which checkouts run, the longest history, and what does not replay."""
    at = stack.at
    client = await Client.connect(at.temporal_address, namespace=at.temporal_namespace)
    running: set[str] = set()
    longest = 0
    histories: list[WorkflowHistory] = []
    async for found in client.list_workflows("WorkflowType = 'CheckoutWorkflow'"):
        if found.close_time is None:
            running.add(found.id)
        longest = max(longest, found.history_length)
        if len(histories) < _REPLAYED:
            handle = client.get_workflow_handle(found.id, run_id=found.run_id)
            histories.append(await handle.fetch_history())
    replayer = Replayer(
        workflows=[CheckoutWorkflow], workflow_runner=UnsandboxedWorkflowRunner()
    )
    results = await replayer.replay_workflows(
        _each(histories), raise_on_replay_failure=False
    )
    failures = [
        f"run {run} does not replay: {type(error).__name__}"
        for run, error in results.replay_failures.items()
    ]
    return running, longest, failures


async def _each(histories: list[WorkflowHistory]) -> Any:
    for history in histories:
        yield history
