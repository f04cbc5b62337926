"""The on-call desk's workflow: what it tells whom while hours pass in a blink."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from temporalio import activity, workflow
from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker

from activities.observed import ActivityLog
from domain.desk import (
    Answer,
    Answered,
    Desk,
    Errand,
    ErrandKind,
    Plan,
    SendAlert,
    Told,
)
from domain.due import Setup, plan
from domain.oncall import RULES, Finding, FindingKind, Rule
from domain.rota import People, Use
from workflows.desk import OnCallDesk
from workflows.on_call import OnCallWorkflow

pytestmark = pytest.mark.temporal

#: Every day is a working day, so that any day the server has come to will do.
PEOPLE = People.parse(
    "Monday to Sunday, 08:00 to 20:00 UTC", "Dana, Eli from 2026-11-02", ""
)
SETUP = Setup(people=PEOPLE, link="https://shop.example/support")


@dataclass
class Office:
    """The outside of the desk: people, rows and the switch, as activities.

    Attributes:
        now: The server's clock.
        deaf: Who cannot be reached.
        is_database_away: Rows and the switch fail.
        heard: Who heard what when.
        taken_over: When the desks opened that took the rows over.
    """

    now: Callable[[], Awaitable[datetime]]
    setup: Setup = SETUP
    deaf: set[str] = field(default_factory=set)
    is_database_away: bool = False
    paused_at: datetime | None = None
    heard: list[tuple[str, Use, str]] = field(default_factory=list)
    alerts: list[SendAlert] = field(default_factory=list)
    rows: dict[UUID, int] = field(default_factory=dict)
    taken_over: list[datetime] = field(default_factory=list)
    beats: int = 0
    busy: int = 0

    @activity.defn
    async def look_at_desk(self, desk: Desk, now: datetime) -> Plan:
        """Decide as the real one does, with a digest that says nothing."""
        due = plan(replace(desk, paused_at=self.paused_at), self.setup, now)
        return replace(
            due,
            errands=tuple(
                replace(one, title="0 cases wait", body="Nobody is waiting.")
                if one.kind is ErrandKind.DIGEST
                else one
                for one in due.errands
            ),
        )

    @activity.defn
    async def record_desk(self, errand: Errand) -> None:
        """Keep the newest version of each incident."""
        await self._pass()
        if errand.takes_over_at is not None:
            self.taken_over.append(errand.takes_over_at)
        for record in errand.records:
            self.rows[record.incident_id] = record.version

    @activity.defn
    async def pause_checkout(self, _reason: str) -> None:
        """Pause new payments."""
        await self._pass()
        self.paused_at = await self.now()
        await self._note("shop", Use.PAGE, "paused")

    @activity.defn
    async def send_alert(self, alert: SendAlert) -> Told:
        """Reach whoever is not deaf."""
        self.alerts.append(alert)
        if alert.person in self.deaf:
            return Told(person=alert.person)
        await self._note(alert.person, alert.use, "told")
        return Told(person=alert.person, channel=f"{alert.person} 1")

    @activity.defn
    async def beat(self) -> bool:
        """Count signs of life."""
        self.beats += 1
        return True

    async def _pass(self) -> None:
        if self.is_database_away:
            raise ApplicationError("scripted", type="DatabaseAway", non_retryable=True)

    async def _note(self, person: str, use: Use, what: str) -> None:
        at = await self.now()
        self.heard.append((f"{at:%H:%M} {what}", use, person))

    @property
    def is_paused(self) -> bool:
        """Whether new payments are paused."""
        return self.paused_at is not None

    @property
    def loud(self) -> list[tuple[str, str]]:
        """What was heard but the mails, as `("02:01 told", "Eli")`."""
        return [(at, who) for at, use, who in self.heard if use is not Use.DIGEST]


class Rests:
    """The rests of whoever keeps the desk open: each lasts until a test ends it."""

    def __init__(self) -> None:
        self._begun: asyncio.Queue[float] = asyncio.Queue()
        self._ended: asyncio.Queue[None] = asyncio.Queue()

    async def rest(self, seconds: float) -> None:
        """Rest, as `OnCallDesk` asks to."""
        await self._begun.put(seconds)
        await self._ended.get()

    async def end_next(self) -> None:
        """Wait for the next rest, and end it."""
        await self._begun.get()
        await self._ended.put(None)

    async def begun(self) -> None:
        """Wait for the next rest, and leave it."""
        await self._begun.get()


@dataclass
class Running:
    """A desk at work."""

    office: Office
    desk: OnCallDesk
    handle: WorkflowHandle[OnCallWorkflow, None]
    pass_time: Callable[[timedelta], Awaitable[None]]
    rests: Rests

    async def only_code(self) -> str:
        """Return what people call the only open incident."""
        (incident,) = (await self.state()).open_incidents
        return incident.code

    async def end(self) -> None:
        """End the desk at rest.

        The test server never skips time again when an activity is outstanding at a
        workflow's end. https://github.com/temporalio/sdk-java/issues/1138
        """
        for _ in range(500):
            # Only the workflow knows when it has taken an activity's answer in.
            if await self._is_at_rest():
                break
        await self.handle.terminate()

    async def _is_at_rest(self) -> bool:
        state = await self.state()
        seen = replace(state, paused_at=self.office.paused_at)
        due = plan(seen, self.office.setup, await self.office.now())
        return not due.errands

    async def state(self) -> Desk:
        """Ask the desk for all it knows."""
        return await self.handle.query(OnCallWorkflow.desk)


Begin = Callable[..., Awaitable[Running]]


@pytest.fixture
async def begin(skipping: WorkflowEnvironment) -> AsyncIterator[Begin]:
    """Start a desk at the next night's 02:00, and end it at rest."""
    async with AsyncExitStack() as parts:

        async def start(
            at_hour: int = 2, desk: Desk | None = None, **changes: object
        ) -> Running:
            now = await skipping.get_current_time()
            start_at = now.replace(hour=at_hour, minute=0, second=0, microsecond=0)
            if start_at <= now:
                start_at += timedelta(days=1)
            await skipping.sleep(start_at - now)
            office = Office(now=skipping.get_current_time, **changes)  # type: ignore[arg-type]  # The fields of Office.
            queue, name = str(uuid4()), f"on-call-{uuid4()}"
            rests = Rests()
            await parts.enter_async_context(
                Worker(
                    skipping.client,
                    task_queue=queue,
                    workflows=[OnCallWorkflow],
                    activities=[
                        office.look_at_desk,
                        office.record_desk,
                        office.pause_checkout,
                        office.send_alert,
                        office.beat,
                    ],
                    # As in `worker.py`: what watches activities must bear with ours.
                    interceptors=[ActivityLog()],
                )
            )
            door = OnCallDesk(
                skipping.client,
                queue,
                name,
                deadline=timedelta(seconds=20),
                rest=rests.rest,
            )
            if desk is None:
                await door.open()
            else:
                await skipping.client.start_workflow(
                    OnCallWorkflow.run, desk, id=name, task_queue=queue
                )
            handle = skipping.client.get_workflow_handle_for(OnCallWorkflow.run, name)

            async def pass_time(span: timedelta) -> None:
                await skipping.sleep(span)

            running = Running(
                office=office,
                desk=door,
                handle=handle,
                pass_time=pass_time,
                rests=rests,
            )
            parts.push_async_callback(running.end)
            return running

        yield start


async def findings(office: Office, count: int, first: int = 1) -> list[Finding]:
    """So many customers who paid twelve minutes ago and have no access."""
    now = await office.now()
    return [
        Finding(
            finding_id=UUID(int=number),
            kind=FindingKind.PAID_WITHOUT_ACCESS,
            step="open access in the application",
            error="ApplicationAway",
            subject=f"checkout-{number}",
            since=now - timedelta(minutes=12),
            amount_minor=24900,
            currency="usd",
        )
        for number in range(first, first + count)
    ]


async def test_two_hundred_failures_of_one_cause(begin: Begin) -> None:
    """One incident, one notification, one page at night; told twice is told once."""
    running = await begin()
    found = await findings(running.office, 200)
    for first in range(0, 200, 20):
        await running.desk.report(found[first : first + 20])
    await running.desk.report(found)
    await running.pass_time(timedelta(minutes=2))
    answered = await running.desk.acknowledge(
        Answer(code=await running.only_code(), who="Dana")
    )
    await running.pass_time(timedelta(hours=5))

    assert answered.is_done
    assert len(running.office.loud) == 1
    (alert,) = running.office.alerts
    assert alert.title.startswith("200 customers, $49,800.00")
    assert len(running.office.rows) == 1


async def test_one_stuck_customer_at_night(begin: Begin) -> None:
    """No page: the first anybody hears is at eight, and the digest tells of it."""
    running = await begin()
    await running.desk.report(await findings(running.office, 1))
    await running.pass_time(timedelta(hours=5, minutes=55))
    assert running.office.heard == []
    await running.pass_time(timedelta(minutes=40))

    assert [at for at, _ in running.office.loud] == ["08:00 told"]
    digests = [who for _, use, who in running.office.heard if use is Use.DIGEST]
    assert digests == ["Dana", "Eli"]


async def test_nobody_answers(begin: Begin) -> None:
    """The second person, then checkout is paused, then the morning."""
    running = await begin()
    await running.desk.report(await findings(running.office, 5))
    await running.pass_time(timedelta(hours=6, minutes=10))

    moments = [at for at, _ in running.office.loud]
    assert moments == [
        "02:01 told",
        "02:06 told",
        "02:16 paused",
        "08:00 told",
    ]
    first, second = (who for _, who in running.office.loud[:2])
    assert {first, second} == {"Dana", "Eli"}


async def test_an_answer_stops_the_clock(begin: Begin) -> None:
    """Who has it is trusted: nobody else is woken, and nothing is paused."""
    running = await begin()
    await running.desk.report(await findings(running.office, 5))
    await running.pass_time(timedelta(minutes=4))
    code = await running.only_code()
    await running.desk.acknowledge(Answer(code=code, who="Dana"))
    await running.pass_time(timedelta(hours=1))

    assert [at for at, _ in running.office.loud] == ["02:01 told"]
    assert not running.office.is_paused


async def test_nobody_can_be_reached_and_the_database_is_away(begin: Begin) -> None:
    """Both are tried at once; the pause comes as soon as it can."""
    running = await begin(deaf={"Dana", "Eli"}, is_database_away=True)
    await running.desk.report(await findings(running.office, 5))
    await running.pass_time(timedelta(minutes=20))
    was_paused = running.office.is_paused
    assert {one.person for one in running.office.alerts} == {"Dana", "Eli"}
    running.office.is_database_away = False
    await running.pass_time(timedelta(minutes=3))

    assert (was_paused, running.office.is_paused) == (False, True)
    assert len(running.office.rows) == 1


async def test_the_digest_is_sent_when_empty(begin: Begin) -> None:
    """Nothing to say is said, every working day, to everybody."""
    running = await begin()
    await running.pass_time(timedelta(days=2, hours=7))

    assert [(at, who) for at, _, who in running.office.heard] == [
        ("08:30 told", "Dana"),
        ("08:30 told", "Eli"),
    ] * 3
    assert {one.body for one in running.office.alerts} == {"Nobody is waiting."}


async def test_the_beat_goes_on(begin: Begin) -> None:
    """The outside watcher hears of the desk as often as agreed."""
    setup = replace(SETUP, beat_every=timedelta(minutes=5))
    running = await begin(setup=setup)
    await running.pass_time(timedelta(minutes=31))

    assert running.office.beats == 7


async def test_answers_to_nothing_say_so(begin: Begin) -> None:
    """A mistyped code and a snooze without reason change nothing."""
    running = await begin(at_hour=10)
    await running.desk.report(await findings(running.office, 1))
    code = await running.only_code()
    later = await running.office.now() + timedelta(hours=3)
    mistyped = await running.desk.acknowledge(Answer(code="ffffffff", who="Dana"))
    reasonless = await running.desk.snooze(Answer(code=code, who="Dana", until=later))
    snoozed = await running.desk.snooze(
        Answer(code=code, who="Dana", until=later, reason="they know")
    )
    resolved = await running.desk.resolve(Answer(code=code, who="Dana"))

    assert mistyped == Answered(
        is_done=False, text="No single open incident is called 'ffffffff'."
    )
    assert not reasonless.is_done
    assert snoozed.is_done
    assert resolved.is_done
    assert (await running.state()).open_incidents == ()


async def test_a_fresh_history_remembers_everything(begin: Begin) -> None:
    """What a run hands on is whole: a repeated finding still counts once."""
    running = await begin(at_hour=10)
    found = await findings(running.office, 3)
    await running.desk.report(found)
    await running.pass_time(timedelta(minutes=25))
    heard = len(running.office.heard)
    handed_on = await running.state()
    next_run = await begin(at_hour=11, desk=handed_on)
    await next_run.desk.report(found)
    await next_run.pass_time(timedelta(minutes=30))

    assert heard == 1
    assert next_run.office.loud == []
    (incident,) = (await next_run.state()).open_incidents
    assert incident.total == 3


async def test_a_desk_that_was_lost_is_opened_again_and_takes_over(
    begin: Begin,
) -> None:
    """Nothing new need go wrong for it: whoever keeps it open finds it gone."""
    running = await begin(at_hour=10)
    keeping = asyncio.create_task(running.desk.keep_open())
    await running.desk.report(await findings(running.office, 1))
    await running.pass_time(timedelta(minutes=2))
    first = await running.state()
    await running.end()
    await running.rests.end_next()
    await running.rests.begun()
    await running.pass_time(timedelta(minutes=2))
    second = await running.state()
    keeping.cancel()

    assert (len(first.incidents), second.incidents) == (1, ())
    assert running.office.taken_over == [first.opened_at, second.opened_at]
    assert not second.is_new


async def test_a_grown_history_is_left_behind(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The desk goes on in another run, and nobody hears of anything twice."""
    running = await begin(at_hour=10)
    found = await findings(running.office, 3)
    await running.desk.report(found)
    await running.pass_time(timedelta(minutes=25))
    before = await running.handle.describe()
    is_suggested = iter([True])
    monkeypatch.setattr(
        workflow.Info,
        "is_continue_as_new_suggested",
        lambda _info: next(is_suggested, False),
    )
    await running.desk.report(found)
    await running.pass_time(timedelta(minutes=30))
    after = await running.handle.describe()

    assert before.run_id != after.run_id
    assert len(running.office.loud) == 1
    (incident,) = (await running.state()).open_incidents
    assert incident.total == 3


async def test_a_release_with_other_rules_meets_a_running_desk(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was decided stands in the history: no new threshold can stop the desk."""
    running = await begin()
    await running.desk.report(await findings(running.office, 5))
    await running.pass_time(timedelta(minutes=20))
    assert running.office.is_paused
    history = await running.handle.fetch_history()
    for kind in FindingKind:
        monkeypatch.setitem(RULES, kind, Rule())

    await Replayer(workflows=[OnCallWorkflow]).replay_workflow(history)
