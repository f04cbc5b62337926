"""The list of what is open, in the order of harm, and the search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import Query
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import RedirectResponse, Response

from api.parts import TheParts
from api.staff.guard import Staff, TheStaff, allows, console_router
from api.support.pages import LANES, Alike, Group, Tab
from api.support.views import QueueLine, queue_line
from database import console
from database.audit import Among, read_page
from database.console import CaseRow
from database.pauses import Pause, read_pause
from domain.search import MOST_CHARACTERS, parse
from domain.staff import Access
from domain.triage import Lane, cause_in_words, lane_of, order_of
from domain.words import by_in_words

router = console_router()

#: More of one cause than this are offered together.
_MANY = 5

#: As far as PostgreSQL counts.
_MOST_ROWS = 2**63 - 1

#: No row holds a NUL character, and PostgreSQL refuses to look for one.
_NO_NUL = r"^[^\x00]*$"


@router.api_route("", methods=["GET", "HEAD"])
@allows(Access.READ)
async def show_queue(
    parts: TheParts, staff: TheStaff, lane: Lane = Lane.NEEDS_YOU
) -> Response:
    """Show a list, the most harm first."""

    async def read(connection: AsyncConnection) -> list[CaseRow]:
        return [
            *await console.list_cases(connection),
            *await console.list_healing(connection),
        ]

    rows = sorted(
        await parts.records.read(read), key=lambda row: order_of(row.standing)
    )
    lanes = {one: [row for row in rows if lane_of(row.standing) is one] for one in Lane}
    tabs = [
        Tab(
            lane=one,
            name=LANES[one][0],
            count=len(lanes[one]),
            is_here=one is lane,
        )
        for one in LANES
    ]
    shown = lanes[lane]
    groups = _by_owner(shown, staff) if lane is Lane.NEEDS_YOU else _whole(shown, staff)
    pause = await parts.records.read(read_pause)
    return parts.console.queue(
        staff,
        tabs,
        groups,
        LANES[lane][1],
        alike=_alike(lanes[Lane.NEEDS_YOU]),
        paused="" if pause is None else _in_words(pause, parts.clock()),
    )


@router.api_route("/search", methods=["GET", "HEAD"])
@allows(Access.READ)
async def search(
    parts: TheParts,
    staff: TheStaff,
    q: Annotated[str, Query(max_length=MOST_CHARACTERS, pattern=_NO_NUL)] = "",
) -> Response:
    """Find checkouts; a single one is shown at once."""
    wanted = parse(q, parts.clock().date())
    found = await parts.records.read(lambda c: console.search(c, wanted))
    payment = wanted.payment_intent_id
    if not found and payment is not None:
        case_id = await parts.records.read(lambda c: console.find_orphan(c, payment))
        if case_id is not None:
            return RedirectResponse(f"/support/cases/{case_id}", status_code=303)
    lines = [queue_line(row) for row, _ in found]
    if len(lines) == 1:
        return RedirectResponse(lines[0].path, status_code=303)
    return parts.console.found(
        staff, q, lines, payment=payment, is_understood=not wanted.is_nothing()
    )


@router.api_route("/audit", methods=["GET", "HEAD"])
@allows(Access.OWN)
async def show_audit(
    parts: TheParts,
    staff: TheStaff,
    among: Among = Among.DEEDS,
    before: Annotated[int | None, Query(ge=1, le=_MOST_ROWS)] = None,
) -> Response:
    """Show what everybody did, refused actions too, a page at a time."""
    page = await parts.records.read(lambda c: read_page(c, among, before))
    return parts.console.audit(staff, page)


def _alike(rows: Sequence[CaseRow]) -> list[Alike]:
    """Return the causes that are better looked at together, the most frequent first."""
    counts = Counter(
        (row.standing.cause, row.standing.step)
        for row in rows
        if row.checkout_id is not None and row.standing.cause is not None
    )
    causes: Counter[str] = Counter()
    for (cause, _), count in counts.items():
        causes[str(cause)] += count
    steps: dict[str, str] = {}
    for cause, step in counts:
        # The rows stand in the order of harm: the first says what it is about.
        steps.setdefault(str(cause), step)
    return [
        Alike(cause=cause, words=cause_in_words(cause, steps[cause]), count=count)
        for cause, count in causes.most_common()
        if count > _MANY
    ]


def _in_words(pause: Pause, now: datetime) -> str:
    since = by_in_words(pause.paused_at, now=now)
    return f"paused since {since} by {pause.actor}: {pause.reason}"


def _by_owner(rows: Sequence[CaseRow], staff: Staff) -> list[Group]:
    parted: dict[str, list[QueueLine]] = {"Yours": [], "Free": [], "With others": []}
    for row in rows:
        if row.owner == staff.name:
            name = "Yours"
        else:
            name = "Free" if row.owner is None else "With others"
        parted[name].append(queue_line(row, staff.name))
    return [Group(name=name, lines=lines) for name, lines in parted.items() if lines]


def _whole(rows: Sequence[CaseRow], staff: Staff) -> list[Group]:
    lines = [queue_line(row, staff.name) for row in rows]
    return [Group(name="", lines=lines)] if lines else []
