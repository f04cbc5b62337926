"""Many cases of one cause, repaired together: looked at first, then one press.

Nothing is sent to anybody from here. Each case gets the very repair that its own page
proposes, with the same id, so that a batch and a single press are one repair too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Form, Query
from pydantic import Field
from starlette.responses import RedirectResponse, Response

from api.parts import Parts, TheParts
from api.staff.guard import Staff, StaffForm, TheStaff, allows, console_router
from api.support.asking import Shown
from api.support.case import read_case_facts
from api.support.pages import BatchPage
from api.support.repairing import knock, write_repair
from api.support.views import facts_of, queue_line
from database import console
from database.audit import Outcome, record_action
from database.console import CaseRow
from domain.case_view import propose
from domain.messages import RepairRequest
from domain.money import Money
from domain.staff import Access
from domain.triage import Lane, cause_in_words, lane_of, order_of

router = console_router()

#: So many at a time: a repair that is wrong must not be wrong for everybody.
MOST_AT_ONCE = 100
#: Looked at before anything is pressed.
_SAMPLES = 5

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
    done = _Done()
    for row in rows:
        assert row.checkout_id is not None  # noqa: S101  # `_of_cause` left others out.
        done = await _repair_one(parts, staff, row.checkout_id, done)
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


async def _repair_one(
    parts: Parts, staff: Staff, checkout_id: UUID, done: _Done
) -> _Done:
    found = await read_case_facts(parts, checkout_id)
    proposal = propose(facts_of(found[1], found[2], Shown()))
    if proposal is None:
        return _Done(asked=done.asked, waiting=done.waiting, needless=done.needless + 1)
    request = RepairRequest(
        repair_id=proposal.repair_id, actor=staff.name, reason=_REASON
    )
    asked = await write_repair(parts, staff, found, request)
    is_told = asked is not None and await knock(parts, found[1], asked)
    return _Done(
        asked=done.asked + is_told,
        waiting=done.waiting + (not is_told),
        needless=done.needless,
    )


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
    effects = Counter(
        [await _effect(parts, row.checkout_id) for row in at_once if row.checkout_id]
    )
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


async def _effect(parts: Parts, checkout_id: UUID) -> str:
    """Say what the repair would do, without saying for whom."""
    _, row, record = await read_case_facts(parts, checkout_id)
    facts = facts_of(row, record, Shown())
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
