"""Many cases of one cause, repaired together: looked at first, then one press.

Nothing is sent to anybody from here. Each case gets the very repair that its own page
proposes, with the same id, so that a batch and a single press are one repair too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Form, Query
from pydantic import Field
from starlette.responses import RedirectResponse, Response

from api.parts import Parts, TheParts
from api.records import RecordsUnavailable
from api.staff.guard import Staff, StaffForm, TheStaff, allows, console_router
from api.support.pages import BatchPage
from api.support.repairing import knock, write_repair
from api.support.views import queue_line, repair_facts
from database import console
from database.audit import Outcome, record_action
from database.checkouts import CheckoutRow
from database.console import Asked, CaseRow
from domain.case_view import CaseFacts, propose
from domain.messages import RepairRequest
from domain.money import Money
from domain.staff import Access
from domain.triage import Lane, cause_in_words, lane_of, order_of

router = console_router()

#: So many at a time: a repair that is wrong must not be wrong for everybody.
MOST_AT_ONCE = 100
#: Looked at before anything is pressed.
_SAMPLES = 5

#: Side by side, so that one slow answer holds up few others.
KNOCKS_AT_ONCE = 10

#: Who presses waits for this and no longer, however many cases there are.
KNOCKS_WITHIN = timedelta(seconds=3)

_REASON = "asked for with others of the same cause"

Cause = Annotated[str, Query(max_length=80)]


class BatchForm(StaffForm):
    """What the page showed when it was pressed."""

    cause: str = Field(max_length=80)
    count: int = Field(ge=1, le=MOST_AT_ONCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """What a press came to."""

    asked: int = 0
    waiting: int = 0
    needless: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Needed:
    """A checkout, and what decides its repair."""

    row: CheckoutRow
    facts: CaseFacts


@router.api_route("/batch", methods=["GET", "HEAD"])
@allows(Access.READ)
async def show_batch(
    parts: TheParts,
    staff: TheStaff,
    cause: Cause,
    done: Annotated[str, Query(pattern=r"^(\d{1,3}-\d{1,3}-\d{1,3})?$")] = "",
) -> Response:
    """Show how many there are, what they sum up to, and what would be done."""
    page = await _page(parts, cause)
    return parts.console.batch(staff, replace(page, told=_told(done)))


@router.post("/batch")
@allows(Access.ACT)
async def repair_batch(
    parts: TheParts, staff: TheStaff, form: Annotated[BatchForm, Form()]
) -> Response:
    """Ask for the repair of each, unless there are more or fewer than was shown."""
    rows = (await _of_cause(parts, form.cause))[:MOST_AT_ONCE]
    if len(rows) != form.count:
        stale = staff.did(
            "batch.asked",
            outcome=Outcome.REFUSED,
            # As it was sent it may be anything; of a case it is one of ours.
            cause=form.cause if rows else None,
            shown=form.count,
            count=len(rows),
        )
        await parts.records.write(lambda c: record_action(c, stale))
        return parts.console.batch(staff, await _page(parts, form.cause, is_stale=True))
    done = await _repair_all(parts, staff, rows)
    action = staff.did(
        "batch.asked",
        cause=form.cause,
        asked=done.asked,
        waiting=done.waiting,
        needless=done.needless,
    )
    await parts.records.write(lambda c: record_action(c, action))
    told = f"{done.asked}-{done.waiting}-{done.needless}"
    query = urlencode({"cause": form.cause, "done": told})
    return RedirectResponse(f"/support/batch?{query}", status_code=303)


async def _repair_all(parts: Parts, staff: Staff, rows: Sequence[CaseRow]) -> _Done:
    """Write every repair down, then knock: no outage in between loses one."""
    needed = await _needed(parts, rows)
    written: list[tuple[CheckoutRow, Asked]] = []
    wanted = 0
    for row in rows:
        one = needed.get(row.checkout_id)
        if one is None or (proposal := propose(one.facts)) is None:
            continue
        wanted += 1
        request = RepairRequest(
            repair_id=proposal.repair_id, actor=staff.name, reason=_REASON
        )
        asked = await write_repair(parts, staff, row.case_id, one.facts, request)
        if asked is not None:
            written.append((one.row, asked))
    told = await _knock_at_all(parts, written)
    return _Done(asked=told, waiting=wanted - told, needless=len(rows) - wanted)


async def _knock_at_all(
    parts: Parts, written: Sequence[tuple[CheckoutRow, Asked]]
) -> int:
    """Have the workflows told, as many as the time allows, and count them.

    The starter loop tells the others: their rows say that nobody did.
    """
    turn = asyncio.Semaphore(KNOCKS_AT_ONCE)
    told: list[UUID] = []

    async def tell(row: CheckoutRow, asked: Asked) -> None:
        async with turn:
            # Told and not marked so: the starter loop tells it again, which is one.
            with suppress(RecordsUnavailable):
                if await knock(parts, row, asked):
                    told.append(asked.repair_id)

    with suppress(TimeoutError):
        async with asyncio.timeout(KNOCKS_WITHIN.total_seconds()):
            async with asyncio.TaskGroup() as knocks:
                for row, asked in written:
                    knocks.create_task(tell(row, asked))
    return len(told)


async def _of_cause(parts: Parts, cause: str) -> list[CaseRow]:
    rows = await parts.records.read(console.list_cases)
    found = [
        row
        for row in rows
        if row.standing.cause == cause
        and row.checkout_id is not None
        and lane_of(row.standing) is Lane.NEEDS_YOU
    ]
    return sorted(found, key=lambda row: order_of(row.standing))


async def _page(parts: Parts, cause: str, *, is_stale: bool = False) -> BatchPage:
    rows = await _of_cause(parts, cause)
    step = rows[0].standing.step if rows else ""
    at_once = rows[:MOST_AT_ONCE]
    needed = await _needed(parts, at_once)
    effects = Counter(_effect(one.facts) for one in needed.values())
    return BatchPage(
        cause=cause,
        words=cause_in_words(cause, step),
        count=len(at_once),
        more=len(rows) - len(at_once),
        total=_sum(at_once),
        samples=[queue_line(row) for row in at_once[:_SAMPLES]],
        effects=sorted(effects.items(), key=lambda pair: -pair[1]),
        is_stale=is_stale,
    )


async def _needed(parts: Parts, rows: Sequence[CaseRow]) -> dict[UUID | None, _Needed]:
    """Read at once what decides the repairs of cases, by checkout."""
    ids = [row.checkout_id for row in rows if row.checkout_id is not None]
    found = await parts.records.read(lambda c: console.list_repairable(c, ids))
    return {
        checkout_id: _Needed(
            row=one.row, facts=repair_facts(one.row, one.mails, one.repairs)
        )
        for checkout_id, one in found.items()
    }


def _effect(facts: CaseFacts) -> str:
    """Say what the repair would do, without saying for whom."""
    proposal = propose(facts)
    if proposal is None:
        return "Nothing: nothing is missing"
    return proposal.button.replace(facts.customer_email, "each")


def _told(done: str) -> str:
    """Write what a press came to, from the three numbers in the address."""
    if not done:
        return ""
    asked, waiting, needless = (int(number) for number in done.split("-"))
    repairs = "repair is" if asked == 1 else "repairs are"
    said = [f"{asked} {repairs} under way. This list empties as they end."]
    if waiting:
        wait, told = (
            ("waits", "This one is told by itself")
            if waiting == 1
            else ("wait", "They are told by themselves")
        )
        said.append(
            f"{waiting} {wait}: Temporal does not answer. {told} as soon as it does."
        )
    if needless:
        them = "it" if needless == 1 else "them one by one"
        said.append(f"{needless} needed nothing: look at {them}.")
    return " ".join(said)


def _sum(rows: Sequence[CaseRow]) -> str:
    sums: Counter[str] = Counter()
    for row in rows:
        if row.standing.amount is not None:
            sums[row.standing.amount.currency] += row.standing.amount.amount_minor
    amounts = (
        str(Money(amount_minor=minor, currency=currency))
        for currency, minor in sorted(sums.items())
    )
    return " and ".join(amounts)
