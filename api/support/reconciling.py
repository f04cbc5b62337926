"""The reconciliation in the console: how far it has come, and what a person may do.

What a run does to customers it does through their checkouts' own workflows; the hold
and the held mail are rows, so neither needs Temporal.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Form, Query
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import RedirectResponse, Response

from api.parts import Parts, TheParts
from api.staff.guard import ReasonForm, StaffForm, TheStaff, allows, console_router
from api.support.pages import ReconciliationPage, RunLine
from api.support.said import Said, in_words, look_for_a_moment
from database import reconciliation
from database.audit import Outcome, digest_of, record_action
from database.reconciliation import Reconciled, RunRow
from domain.reconciliation import (
    DiscrepancyKind,
    ReconcileInput,
    RunState,
    Trigger,
    cause_of,
)
from domain.staff import Access
from domain.triage import age_in_words, cause_in_words
from domain.words import moment_in_words
from workflows.door import DoorClosed

router = console_router()

#: A run without much to compare is over within a second or two.
_LOOKS = 15


class RunForm(StaffForm):
    """How far back a run goes."""

    is_deep: bool = False


class MailForm(StaffForm):
    """Which held mail the page showed; see `HeldMail.seen`."""

    seen: str = Field(max_length=60)


@router.api_route("/reconciliation", methods=["GET", "HEAD"])
@allows(Access.READ)
async def show_reconciliation(
    parts: TheParts, staff: TheStaff, said: Annotated[str, Query(max_length=40)] = ""
) -> Response:
    """Show how far the processor's books and ours were compared, and the last runs."""

    async def read(
        connection: AsyncConnection,
    ) -> ReconciliationPage:
        return _page(
            await reconciliation.read_reconciled(connection),
            await reconciliation.list_runs(connection),
            await reconciliation.list_mail_held(connection),
        )

    page = await parts.records.read(read)
    return parts.console.reconciliation(staff, page, in_words(said))


@router.post("/reconciliation/run")
@allows(Access.ACT)
async def run_now(
    parts: TheParts, staff: TheStaff, form: Annotated[RunForm, Form()]
) -> Response:
    """Have a run begin now; while another one is under way, it ends by itself."""
    run_id = uuid4()
    asked = ReconcileInput(
        run_id=run_id,
        trigger=Trigger.PERSON,
        actor=staff.name,
        is_deep=form.is_deep,
    )
    row = staff.did("reconciliation.asked", run=str(run_id), deep=form.is_deep)
    await parts.records.write(lambda c: record_action(c, row))
    try:
        await parts.door.reconcile(asked)
    except DoorClosed:
        return _back(Said.RUN_NOT_BEGUN)
    return _back(await _said(parts, run_id))


@router.post("/reconciliation/hold")
@allows(Access.ACT)
async def hold(
    parts: TheParts, staff: TheStaff, form: Annotated[ReasonForm, Form()]
) -> Response:
    """Find and count, and ask for no repair until it is let go."""

    async def work(connection: AsyncConnection) -> bool:
        is_new = await reconciliation.hold(connection, staff.name, form.reason)
        row = staff.did(
            "reconciliation.held", is_new=is_new, reason_sha256=digest_of(form.reason)
        )
        await record_action(connection, row)
        return is_new

    is_new = await parts.records.write(work)
    return _back(Said.REPAIRS_HELD if is_new else Said.REPAIRS_HELD_BEFORE)


@router.post("/reconciliation/release")
@allows(Access.ACT)
async def release(
    parts: TheParts, staff: TheStaff, form: Annotated[StaffForm, Form()]
) -> Response:
    """Ask for repairs again; the next run takes up what was withheld."""
    del form  # The guard has looked at it.

    async def work(connection: AsyncConnection) -> None:
        is_new = await reconciliation.let_go(connection)
        row = staff.did("reconciliation.released", is_new=is_new)
        await record_action(connection, row)

    await parts.records.write(work)
    return _back(Said.REPAIRS_RELEASED)


@router.post("/reconciliation/let-mail-go")
@allows(Access.ACT)
async def let_mail_go(
    parts: TheParts, staff: TheStaff, form: Annotated[MailForm, Form()]
) -> Response:
    """Let the mails leave that a bulk repair has held back, if they are those."""

    async def work(connection: AsyncConnection) -> None:
        held = await reconciliation.let_mail_go(connection)
        if held.seen != form.seen:
            raise _OtherMail(held.count)
        await record_action(connection, staff.did("mail.let_go", checkouts=held.count))

    try:
        await parts.records.write(work)
    except _OtherMail as other:
        row = staff.did(
            "mail.let_go",
            outcome=Outcome.REFUSED,
            why="the list changed",
            checkouts=other.count,
        )
        await parts.records.write(lambda c: record_action(c, row))
        return _back(Said.MAIL_CHANGED if other.count else Said.NO_MAIL_HELD)
    return _back(Said.MAIL_LET_GO)


class _OtherMail(Exception):
    """Other mail is held than the page showed."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count


def _back(said: Said) -> RedirectResponse:
    return RedirectResponse(f"/support/reconciliation?said={said}", status_code=303)


async def _said(parts: Parts, run_id: UUID) -> Said:
    """Wait a moment for the run, so that the page that follows can tell of it."""
    row = await look_for_a_moment(
        lambda: parts.records.read(lambda c: reconciliation.find_run(c, run_id)),
        lambda row: row is not None and row.state is not RunState.RUNNING,
        looks=_LOOKS,
    )
    if row is None:
        return Said.RUN_WAITS
    return Said.RUN_GOES_ON if row.state is RunState.RUNNING else Said.RUN_DONE


def _page(
    found: Reconciled,
    runs: tuple[RunRow, ...],
    held_mail: tuple[tuple[UUID, str], ...],
) -> ReconciliationPage:
    held = found.held
    return ReconciliationPage(
        compared_until=_moment(found.watermark_at),
        age=age_in_words(found.age),
        is_late=found.is_late,
        held=""
        if held is None
        else f"since {moment_in_words(held.since)} by {held.actor}: {held.reason}",
        mail_held=found.mail_held.count,
        mail_seen=found.mail_held.seen,
        samples=[
            (f"/support/checkouts/{checkout_id}", reference)
            for checkout_id, reference in held_mail
        ],
        warnings=found.last_warnings,
        runs=[_line(run) for run in runs],
    )


def _line(run: RunRow) -> RunLine:
    return RunLine(
        began=moment_in_words(run.started_at),
        told=_told(run),
        who=("four months back, " if run.is_deep else "") + f"by {_who(run)}",
        found=[
            f"{count} × {cause_in_words(cause_of(DiscrepancyKind(kind)), '')}"
            for kind, count in run.found.items()
        ],
    )


def _who(run: RunRow) -> str:
    # By the trigger: a colleague may be called "schedule".
    return "the schedule" if run.trigger is Trigger.SCHEDULE else run.actor


def _told(run: RunRow) -> str:
    if run.state is RunState.RUNNING:
        return f"under way: {run.compared} compared so far"
    if run.state is RunState.LOST:
        return f"died after {run.compared}; the next began where it began"
    count = sum(run.found.values())
    if not count:
        return f"{run.compared} compared, nothing differs"
    done = [
        f"{number} {one if number == 1 else more}"
        for number, one, more in (
            (run.repairs, "repair asked for", "repairs asked for"),
            (run.cases, "case opened", "cases opened"),
            (run.withheld, "repair waits", "repairs wait"),
        )
        if number
    ]
    return ", ".join([f"{run.compared} compared, {count} differ", *done])


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else moment_in_words(moment)
