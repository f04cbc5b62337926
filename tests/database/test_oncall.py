"""Findings: written with their case, told until known, ended with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from database.cases import close_case, open_case, open_payment_case, tell_payment_case
from database.checkouts import record_not_charged, withdraw_requests
from database.inbox import InboxEvent, receive_event
from database.oncall import (
    NewFinding,
    count_night_pages,
    end_findings,
    list_findings_to_tell,
    mark_findings_told,
    read_desk,
    read_digest_facts,
    read_signs,
    take_over,
    write_drill,
    write_finding,
    write_incidents,
    write_notifications,
)
from database.pauses import pause_payments
from database.reconciliation import begin_run, finish_run
from database.tables import cases, findings
from domain.alerts import CaseCount
from domain.desk import IncidentRecord, Notification
from domain.messages import OpenCase, RecordNotCharged
from domain.oncall import Finding, FindingKind
from domain.reconciliation import FinishRun, ReconcileInput, Tally
from domain.rota import Use
from domain.states import NotChargedReason, Stage
from tests.conftest import Database
from tests.database.conftest import CHARGED_AT, OpenCheckout

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)


async def _open(
    engine: AsyncEngine, checkout_id: UUID, step: str, cause: str = "ApplicationAway"
) -> None:
    async with engine.begin() as connection:
        await open_case(
            connection,
            OpenCase(checkout_id=checkout_id, step=step, cause=cause, detail="It is."),
        )


async def _to_tell(engine: AsyncEngine) -> list[Finding]:
    async with engine.connect() as connection:
        return await list_findings_to_tell(connection, 100)


async def _told(engine: AsyncEngine) -> None:
    found = await _to_tell(engine)
    async with engine.begin() as connection:
        await mark_findings_told(connection, found)


async def test_a_case_and_its_finding_are_one_commit(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Rounds of the same trouble are one finding, with what is at stake."""
    checkout_id = await open_checkout(Stage.CHARGED)
    for _ in range(3):
        await _open(engine, checkout_id, "open access in the application")

    (finding,) = await _to_tell(engine)
    assert finding == Finding(
        finding_id=finding.finding_id,
        kind=FindingKind.PAID_WITHOUT_ACCESS,
        step="open access in the application",
        error="ApplicationAway",
        subject=str(checkout_id),
        since=CHARGED_AT,
        amount_minor=24900,
        currency="usd",
    )


async def test_what_did_not_happen_is_not_found(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A case that was rolled back takes its finding with it."""
    checkout_id = await open_checkout(Stage.CHARGED)
    async with engine.connect() as connection:
        case = OpenCase(checkout_id=checkout_id, step="s", cause="c", detail="d")
        await open_case(connection, case)
        await connection.rollback()

    assert await _to_tell(engine) == []


async def test_another_step_ends_what_was_found_before(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The desk is told both: that one is over, and that one began."""
    checkout_id = await open_checkout(Stage.CHARGED)
    await _open(engine, checkout_id, "write the order", "DatabaseAway")
    await _told(engine)
    await _open(engine, checkout_id, "open access in the application")

    found = {one.step: one.is_over for one in await _to_tell(engine)}
    assert found == {"write the order": True, "open access in the application": False}
    await _told(engine)
    assert await _to_tell(engine) == []


async def test_getting_on_ends_the_steps_but_not_what_people_must_see(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A letter stays unanswered, whatever the machine has mended."""
    checkout_id = await open_checkout(Stage.CHARGED)
    await _open(engine, checkout_id, "read the mailbox", "CustomerWrote")
    await _open(engine, checkout_id, "open access in the application")
    async with engine.begin() as connection:
        await close_case(connection, checkout_id)

    found = {one.error: one.is_over for one in await _to_tell(engine)}
    assert found == {"CustomerWrote": False, "ApplicationAway": True}


async def test_whoever_resolves_a_case_ends_its_findings(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The rule is the database's, so that no way of resolving forgets the desk."""
    checkout_id = await open_checkout(Stage.CHARGED)
    await _open(engine, checkout_id, "read the mailbox", "CustomerWrote")
    async with engine.begin() as connection:
        await connection.execute(
            update(cases).values(state="resolved", resolved_at=NOW)
        )
    assert [one.is_over for one in await _to_tell(engine)] == [True]

    await _told(engine)
    await _open(engine, checkout_id, "read the mailbox", "CustomerWrote")
    assert [one.is_over for one in await _to_tell(engine)] == [False]


async def test_an_end_that_comes_while_the_desk_is_told_is_told_too(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Between reading and marking anything may happen."""
    checkout_id = await open_checkout(Stage.CHARGED)
    await _open(engine, checkout_id, "open access in the application")
    read_before = await _to_tell(engine)
    async with engine.begin() as connection:
        await close_case(connection, checkout_id)
    async with engine.begin() as connection:
        await mark_findings_told(connection, read_before)

    assert [one.is_over for one in await _to_tell(engine)] == [True]


async def test_a_payment_without_an_order_is_found_once(engine: AsyncEngine) -> None:
    """The processor's repeated news opens one case and one finding."""
    for _ in range(2):
        async with engine.begin() as connection:
            await open_payment_case(
                connection, "pi_1", "look at a payment", "SecondCharge", "Twice."
            )

    (finding,) = await _to_tell(engine)
    assert (finding.kind, finding.subject) == (FindingKind.CHARGED_TWICE, "pi_1")
    async with engine.begin() as connection:
        await tell_payment_case(connection, "pi_1", "Returned.", is_done=True)
    assert [one.is_over for one in await _to_tell(engine)] == [True]


async def test_the_shop_itself_may_have_trouble(engine: AsyncEngine) -> None:
    """What belongs to no case is found through the same table."""
    new = NewFinding(
        kind=FindingKind.WEBHOOKS_SILENT, step="", error="", subject="shop"
    )
    for _ in range(2):
        async with engine.begin() as connection:
            await write_finding(connection, new)

    assert [one.subject for one in await _to_tell(engine)] == ["shop"]


@pytest.mark.parametrize("kind", FindingKind)
async def test_whatever_can_be_found_can_be_written(
    engine: AsyncEngine, kind: FindingKind
) -> None:
    """The rows know every kind that the domain knows."""
    async with engine.begin() as connection:
        new = NewFinding(kind=kind, step="", error="", subject="shop")
        await write_finding(connection, new)
        await write_incidents(connection, [replace(_record(1), kind=kind)])

    assert [one.kind for one in await _to_tell(engine)] == [kind]


def _record(version: int, title: str = "1 customer") -> IncidentRecord:
    return IncidentRecord(
        incident_id=UUID(int=1),
        version=version,
        kind="paid_without_access",
        step="open access in the application",
        error="ApplicationAway",
        title=title,
        level="push",
        why="within hours",
        opened_at=NOW,
        waiting=1,
        total=1,
        came_back=0,
        told_at=None,
        told_level="record",
        acknowledged_at=None,
        acknowledged_by="",
        snoozed_until=None,
        snoozed_by="",
        snooze_reason="",
        paused_at=None,
        resolved_at=None,
        resolved_by="",
    )


async def test_an_older_state_never_overwrites_a_newer(engine: AsyncEngine) -> None:
    """A try that was held up comes too late to change a row."""
    for version, title in ((2, "new"), (1, "old"), (3, "newest"), (3, "again")):
        async with engine.begin() as connection:
            await write_incidents(connection, [_record(version, title)])

    async with engine.connect() as connection:
        found = await read_desk(connection, NOW)
    assert [one.title for one in found.incidents] == ["newest"]


async def test_a_new_desk_hears_of_all_that_lasts(engine: AsyncEngine) -> None:
    """What a lost desk was told is told again; its incidents are over, but new ones."""
    opened_at = datetime.now(UTC) + timedelta(seconds=1)
    subjects = ("lasts", "is over", "is new")
    async with engine.begin() as connection:
        for subject in subjects:
            await write_finding(
                connection,
                NewFinding(
                    kind=FindingKind.BOOKS_DIFFER, step="", error="", subject=subject
                ),
            )
        told = await list_findings_to_tell(connection, 9)
        await mark_findings_told(connection, told)
        await end_findings(connection, "is over")
        await mark_findings_told(connection, await list_findings_to_tell(connection, 9))
        await connection.execute(
            update(findings)
            .where(findings.c.subject == "is new")
            .values(told_at=opened_at + timedelta(seconds=1))
        )
        await write_incidents(connection, [_record(37, "of the lost desk")])
        await take_over(connection, opened_at)
        found = await list_findings_to_tell(connection, 9)
        left = await read_desk(connection, NOW)
        # The first finding names the incident: the new desk's has the same id.
        same = replace(_record(1, "of the new desk"), opened_at=opened_at)
        await write_incidents(connection, [same])
        await write_incidents(connection, [_record(38, "of the lost desk")])
        shown = await read_desk(connection, NOW)

    assert [one.subject for one in found] == ["lasts"]
    assert left.incidents == ()
    assert [one.title for one in shown.incidents] == ["of the new desk"]


def _page(minutes: int, incident: int, *, delivered: bool = True) -> Notification:
    return Notification(
        notification_id=uuid4(),
        incident_id=UUID(int=incident),
        use=Use.PAGE,
        person="Dana",
        channel="Dana.page 1 (ntfys)" if delivered else "",
        is_delivered=delivered,
        title="5 customers",
        sent_at=NOW + timedelta(minutes=minutes),
        is_at_night=True,
    )


async def test_a_night_page_counts_once_for_each_incident(engine: AsyncEngine) -> None:
    """First and second person are one waking; what nobody heard is none."""
    pages = [_page(1, 1), _page(6, 1), _page(9, 2), _page(9, 3, delivered=False)]
    for _ in range(2):
        async with engine.begin() as connection:
            await write_notifications(connection, pages)

    async with engine.connect() as connection:
        assert await count_night_pages(connection, NOW) == 2
        assert await count_night_pages(connection, NOW + timedelta(minutes=8)) == 1


async def test_the_morning_counts_what_happened_and_what_waits(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """Payments and orders agree, cases are grouped, pause and drill are seen."""
    paid = await open_checkout(Stage.CHARGED)
    await open_checkout(Stage.CHARGED)
    await _open(engine, paid, "open access in the application")
    async with engine.begin() as connection:
        await pause_payments(connection, reason="r", actor="on-call")
        await write_drill(connection, "dana", {"Dana.page 1 (ntfys)": True})
        await write_notifications(connection, [_page(-5, 1)])

    async with engine.connect() as connection:
        facts = await read_digest_facts(
            connection,
            since=CHARGED_AT - timedelta(days=1),
            until=NOW + timedelta(days=1),
            month_began=NOW.replace(day=1),
        )
    assert (facts.payments, facts.orders, facts.without_order) == (2, 2, 0)
    assert facts.waiting == (
        CaseCount(
            step="open access in the application", cause="ApplicationAway", count=1
        ),
    )
    assert (facts.notifications, facts.pages_this_month) == (1, 1)
    assert facts.paused_at is not None
    assert facts.drilled_at is not None
    with database.connect_as_owner() as owner:
        found = owner.execute("SELECT results, is_whole FROM drills").fetchall()
    assert found == [({"Dana.page 1 (ntfys)": True}, True)]


@pytest.mark.parametrize("table", ["notifications", "drills"])
def test_who_was_told_cannot_be_rewritten(database: Database, table: str) -> None:
    """What was sent, and how a drill went, is only ever added to."""
    with database.connect_as_owner() as owner:
        granted = owner.execute(
            "SELECT privilege_type FROM information_schema.role_table_grants"
            " WHERE table_name = %s AND grantee = 'holdfast_app' ORDER BY 1",
            [table],
        ).fetchall()

    assert granted == [("INSERT",), ("SELECT",)]


async def test_webhooks_that_do_not_come_are_seen(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """Charges old enough to have been told of, and how many were."""
    told, silent, young = [await open_checkout(Stage.CHARGED) for _ in range(3)]
    with database.connect_as_owner() as owner:
        # Fixed by the guard in life: only the owner of a test may turn the clock.
        owner.execute("ALTER TABLE checkouts DISABLE TRIGGER USER")
        for checkout_id, minutes in ((told, 60), (silent, 90), (young, 1)):
            owner.execute(
                "UPDATE checkouts SET charged_at = now() - %s WHERE checkout_id = %s",
                [timedelta(minutes=minutes), checkout_id],
            )
        owner.execute("ALTER TABLE checkouts ENABLE TRIGGER USER")
    async with engine.begin() as connection:
        await receive_event(
            connection,
            InboxEvent(
                event_id="evt_1",
                kind="payment_intent.succeeded",
                payment_intent_id=f"pi_{told}",
                checkout_id=told,
            ),
            needs_hint=False,
        )
        signs = await read_signs(connection)

    assert (signs.answers, signs.charges, signs.charges_told) == (True, 2, 1)
    assert signs.paused_at is None


async def test_buyers_who_cannot_pay_are_seen_until_one_has_paid(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """What cannot be passed on is a sign; a decline is none, and a charge ends it."""
    waiting = [
        await open_checkout(Stage.REQUESTED),
        await open_checkout(Stage.CHARGING),
    ]
    declined = await open_checkout(Stage.CHARGING)
    seen = []
    async with engine.begin() as connection:
        await record_not_charged(
            connection, _ended(declined, NotChargedReason.DECLINED)
        )
        seen.append((await read_signs(connection)).lost_since)
        await record_not_charged(
            connection, _ended(waiting[1], NotChargedReason.NOT_SENT)
        )
        first = (await read_signs(connection)).lost_since
        assert await withdraw_requests(connection, timedelta()) == waiting[:1]
        assert (await read_signs(connection)).lost_since == first is not None
    _charge_now(database, await open_checkout(Stage.CHARGED))
    async with engine.begin() as connection:
        seen.append((await read_signs(connection)).lost_since)

    assert seen == [None, None]


async def test_buyers_who_could_not_pay_long_ago_are_no_sign(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """When nobody tries any more, it is not known whether it would come to nothing."""
    lost = await open_checkout(Stage.CHARGING)
    async with engine.begin() as connection:
        await record_not_charged(connection, _ended(lost, NotChargedReason.NOT_SENT))
    database.sql("UPDATE payment_attempts SET ended_at = now() - interval '31 minutes'")

    async with engine.begin() as connection:
        assert (await read_signs(connection)).lost_since is None


def _ended(checkout_id: UUID, reason: NotChargedReason) -> RecordNotCharged:
    return RecordNotCharged(checkout_id=checkout_id, buyer_attempt=1, reason=reason)


def _charge_now(database: Database, checkout_id: UUID) -> None:
    with database.connect_as_owner() as owner:
        # Fixed by the guard in life: only the owner of a test may turn the clock.
        owner.execute("ALTER TABLE checkouts DISABLE TRIGGER USER")
        owner.execute(
            "UPDATE checkouts SET charged_at = now() WHERE checkout_id = %s",
            [checkout_id],
        )
        owner.execute("ALTER TABLE checkouts ENABLE TRIGGER USER")


async def test_a_trouble_of_ours_that_lasts_is_one_finding(
    database: Database, engine: AsyncEngine
) -> None:
    """Runs that see the same every five minutes do not end it and find it anew."""
    for told in (0, 0, 9):
        async with engine.begin() as connection:
            plan = await begin_run(connection, uuid4(), ReconcileInput())
            assert plan is not None
            tally = Tally(compared=9, charges=9, told=told, found={})
            run = FinishRun(
                plan=plan, tally=tally, repairs=0, cases=0, withheld=0, is_bulk=False
            )
            await finish_run(connection, run)

    with database.connect_as_owner() as owner:
        rows = owner.execute(
            "SELECT error, over_at IS NOT NULL FROM findings"
        ).fetchall()
    assert rows == [("WebhooksLookBroken", True)]
