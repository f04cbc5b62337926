"""Alerts over real HTTP and real SMTP, decisions with real rows."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.exceptions import ApplicationError

from activities.alerts import (
    AlertActivities,
    ChannelNotUnderstood,
    DeskActivities,
    WatcherActivities,
    check_channels,
)
from database.engine import make_engine
from database.oncall import (
    NewFinding,
    list_findings_to_tell,
    mark_findings_told,
    write_finding,
)
from database.pauses import read_pause
from domain.desk import Desk, Errand, ErrandKind, SendAlert, Told, take
from domain.due import Setup
from domain.oncall import Finding, FindingKind
from domain.rota import People, Use, parse_channels, ways_to
from operating.drill import WATCHER, rehearse, report_of
from stack.places import free_port
from tests.activities.conftest import run
from tests.stack.servers import server

#: apprise looks for a module of old Pythons while it loads its services.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")

PEOPLE = People.parse(
    "Monday to Friday, 08:00 to 20:00 UTC", "Dana, Eli from 2026-11-02", ""
)
SETUP = Setup(people=PEOPLE, link="https://shop.example/support")
NOBODY_LISTENS = "postgresql+psycopg://holdfast_app:x@127.0.0.1:1/holdfast"

#: A Tuesday, half past eight.
MORNING = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)

ALERT = SendAlert(
    person="Dana",
    use=Use.PAGE,
    title="5 customers, $1,245.00, paid, without access, oldest 12 min",
    body="Already done: all of it.\nIf you do nothing: checkout pauses at 02:16 UTC.",
)


@dataclass
class Receiver:
    """An HTTP server that keeps what it is sent, and answers as it is told."""

    port: int
    status: int = 200
    got: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def way(self, owner: str = "Dana", use: str = "page") -> str:
        """A channel that leads here."""
        return f"{owner}.{use}=json://127.0.0.1:{self.port}/{owner}/{use}"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver on a free port."""
    # The machine's proxy, if it has one, must not be asked for this machine.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Receiver(port=free_port())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802, RUF100  # The library's name.
            length = int(self.headers["content-length"])
            made.got.append(json.loads(self.rfile.read(length)))
            self.do_GET()

        def do_GET(self) -> None:  # noqa: N802, RUF100  # The library's name.
            made.asked.append(self.path)
            self.send_response(made.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", made.port), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield made
        listening.shutdown()
        thread.join()


def closed() -> str:
    """An address where nobody listens."""
    return f"json://127.0.0.1:{free_port()}/"


async def test_a_page_arrives_as_it_was_written(receiver: Receiver) -> None:
    """Title and text come through the service as they are."""
    alerts = AlertActivities(parse_channels(receiver.way()))

    told = await run(alerts.send_alert, ALERT)

    assert told == Told(person="Dana", channel="Dana.page 1 (json)")
    (got,) = receiver.got
    assert got["title"] == ALERT.title
    assert got["message"] == ALERT.body


async def test_a_channel_that_refuses_is_followed_by_the_next(
    receiver: Receiver,
) -> None:
    """A 500 is no delivery, however politely it is answered."""
    receiver.status = 500
    line = f"{receiver.way()} Dana.push={closed()} all.digest={closed()}"
    alerts = AlertActivities(parse_channels(line))

    told = await run(alerts.send_alert, ALERT)
    receiver.status = 200
    again = await run(alerts.send_alert, ALERT)

    assert told == Told(person="Dana")
    assert not told.is_reached
    assert again.channel == "Dana.page 1 (json)"


async def test_a_channel_that_is_down_is_followed_by_the_next(
    receiver: Receiver,
) -> None:
    """The second page channel, then the push, then what everybody reads."""
    line = f"Dana.page={closed()} Dana.push={closed()} {receiver.way('all', 'digest')}"
    alerts = AlertActivities(parse_channels(line))

    told = await run(alerts.send_alert, ALERT)

    assert told.channel == "all.digest 1 (json)"
    assert receiver.asked == ["/all/digest"]


async def test_without_channels_the_log_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nobody set a channel: the alert stands where somebody may still read it."""
    told = await run(AlertActivities(()).send_alert, ALERT)

    assert told == Told(person="Dana", has_channels=False)
    assert ALERT.title in capsys.readouterr().out


async def test_a_mail_arrives_in_a_real_mailbox(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The digest goes by SMTP; a mail server that says no is no delivery."""
    folder, web, smtp = tmp_path_factory.mktemp("mailbox"), free_port(), free_port()
    home = f"http://127.0.0.1:{web}"
    command = ["sandbox.mailbox", "--smtp-port", str(smtp), "--http-port", str(web)]
    command += ["--data", str(folder / "mailbox.db")]
    way = f"mailto://127.0.0.1:{smtp}?from=desk@acme.test&to=dana@acme.test"
    alerts = AlertActivities(parse_channels(f"Dana.digest={way}"))
    digest = SendAlert(
        person="Dana", use=Use.DIGEST, title="0 cases wait", body="Nobody is waiting."
    )

    with (
        server(*command, home=home, log=folder / "log"),
    ):
        told = await run(alerts.send_alert, digest)
        async with httpx.AsyncClient(base_url=home, trust_env=False) as asking:
            found = (await asking.get("/api/mails")).json()["mails"]
    gone = await run(alerts.send_alert, digest)

    assert told.channel == "Dana.digest 1 (mailto)"
    (mail,) = found
    assert mail["subject"] == "0 cases wait"
    assert "Nobody is waiting." in json.dumps(mail)
    assert not gone.is_reached


def test_an_address_that_no_service_understands_stops_the_start() -> None:
    """The mistake is found by day; its address is not repeated."""
    good = parse_channels("Dana.page=json://127.0.0.1/x")
    check_channels(good)
    wrong = parse_channels("Dana.page=nonsense://secret-token")

    with pytest.raises(ChannelNotUnderstood, match=r"Dana\.page 1") as refused:
        check_channels(wrong)
    assert "secret-token" not in str(refused.value)
    assert "secret-token" not in repr(wrong)


async def test_the_watcher_hears_of_us(receiver: Receiver) -> None:
    """A sign of life is a plain request; what it answers is known, not raised."""
    async with httpx.AsyncClient(trust_env=False) as client:
        url = f"http://127.0.0.1:{receiver.port}/ping"
        assert await run(WatcherActivities(client, url).beat)
        receiver.status = 500
        assert not await run(WatcherActivities(client, url).beat)
        away = WatcherActivities(client, f"http://127.0.0.1:{free_port()}/")
        assert not await run(away.beat)
        assert not await run(WatcherActivities(client, None).beat)

    assert receiver.asked == ["/ping", "/ping"]


async def test_a_drill_goes_down_every_channel(receiver: Receiver) -> None:
    """Not only until one works: each is tried, and each is named."""
    line = f"{receiver.way()} {receiver.way(use='push')} Eli.page={closed()}"

    results = await rehearse(parse_channels(line), "A rehearsal.")
    said = report_of(results | {WATCHER: True}, None)

    assert results == {
        "Dana.page 1 (json)": True,
        "Dana.push 1 (json)": True,
        "Eli.page 1 (json)": False,
    }
    assert "NOT TAKEN  Eli.page 1 (json)" in said
    assert [got["title"] for got in receiver.got] == ["1 drill, nothing is wrong"] * 2


def stuck(count: int, since: datetime) -> Desk:
    """A desk that knows of so many customers without access."""
    desk = Desk(opened_at=MORNING - timedelta(days=3))
    for number in range(count):
        finding = Finding(
            finding_id=UUID(int=number + 1),
            kind=FindingKind.PAID_WITHOUT_ACCESS,
            step="open access in the application",
            error="ApplicationAway",
            subject=f"checkout-{number}",
            since=since,
        )
        desk = take(desk, finding, since)
    return desk


@pytest.fixture
async def nowhere() -> AsyncIterator[AsyncEngine]:
    """A database that does not answer."""
    engine = make_engine(NOBODY_LISTENS, pool_size=1, application_name="tests")
    yield engine
    await engine.dispose()


@pytest.mark.postgres
async def test_a_look_sees_the_pause_and_writes_the_digest(engine: AsyncEngine) -> None:
    """The rows are read where the decision is made."""
    activities = DeskActivities(engine, SETUP)
    await run(activities.pause_checkout, "nobody answered: 5 customers")
    await run(activities.pause_checkout, "nobody answered: 5 customers")

    looked = await run(activities.look_at_desk, stuck(0, MORNING), MORNING)

    async with engine.connect() as connection:
        pause = await read_pause(connection)
    assert pause is not None
    assert pause.actor == "on-call"
    assert looked.paused_at == pause.paused_at
    (digest,) = looked.errands
    assert digest.kind is ErrandKind.DIGEST
    assert digest.title == "0 cases wait, 0 payments, 0 orders, all matched"
    assert "Nobody is waiting." in digest.body
    assert "Pages at night this month: 0 of 2." in digest.body
    assert "New payments are paused since" in digest.body


@pytest.mark.postgres
async def test_a_new_desk_begins_with_what_lasts(engine: AsyncEngine) -> None:
    """A lost desk takes nothing with it: what lasts waits to be told once more."""
    new = NewFinding(
        kind=FindingKind.BOOKS_DIFFER, step="", error="MailHeld", subject="shop"
    )
    async with engine.begin() as connection:
        await write_finding(connection, new)
        await mark_findings_told(connection, await list_findings_to_tell(connection, 9))
    opened_at = datetime.now(UTC) + timedelta(seconds=1)
    errand = Errand(kind=ErrandKind.RECORD, takes_over_at=opened_at)
    await run(DeskActivities(engine, SETUP).record_desk, errand)

    async with engine.connect() as connection:
        found = await list_findings_to_tell(connection, 9)
    assert [one.error for one in found] == ["MailHeld"]


async def test_a_database_that_is_away_keeps_nobody_from_being_told(
    nowhere: AsyncEngine,
) -> None:
    """It may be what the alert is about; the digest says that it was asked in vain."""
    watched = replace(SETUP, beat_every=timedelta(minutes=5))
    activities = DeskActivities(nowhere, watched)
    desk = stuck(5, MORNING - timedelta(minutes=30))

    looked = await run(activities.look_at_desk, desk, MORNING)

    kinds = {one.kind for one in looked.errands}
    assert kinds == {ErrandKind.PAGE, ErrandKind.DIGEST, ErrandKind.RECORD}
    (digest,) = (one for one in looked.errands if one.kind is ErrandKind.DIGEST)
    # No beat: the watcher outside is to notice. And soon another look.
    assert looked.look_again_at == MORNING + timedelta(minutes=1)
    (finding,) = looked.findings
    assert finding.kind is FindingKind.RECORDS_AWAY
    assert not finding.is_over
    assert digest.title == "0 numbers today: the database did not answer"
    assert "who waits is not known" in digest.body
    with pytest.raises(ApplicationError) as refused:
        await run(activities.record_desk, Errand(kind=ErrandKind.RECORD))
    assert refused.value.type == "DatabaseAway"


@pytest.mark.postgres
async def test_a_database_that_is_back_is_noticed(
    engine: AsyncEngine, nowhere: AsyncEngine
) -> None:
    """The desk finds by itself what no row could tell, and takes it back."""
    desk, later = stuck(0, MORNING), MORNING + timedelta(minutes=1)
    away = await run(DeskActivities(nowhere, SETUP).look_at_desk, desk, MORNING)
    desk = take(desk, away.findings[0], MORNING)
    still = await run(DeskActivities(nowhere, SETUP).look_at_desk, desk, later)
    back = await run(DeskActivities(engine, SETUP).look_at_desk, desk, later)

    assert still.findings == ()
    assert [one.is_over for one in back.findings] == [True]
    assert take(desk, back.findings[0], later).incidents[0].waiting == ()


@pytest.mark.postgres
async def test_a_drill_that_is_long_ago_is_found(engine: AsyncEngine) -> None:
    """A channel that nobody rehearsed may be broken; that is told like anything."""
    activities = DeskActivities(engine, SETUP)
    desk = Desk(opened_at=MORNING - timedelta(days=36))

    looked = await run(activities.look_at_desk, desk, MORNING)

    (finding,) = looked.findings
    assert finding.kind is FindingKind.DRILL_OVERDUE


def test_channels_are_tried_in_the_order_of_their_line() -> None:
    """What a person owns comes before what everybody reads."""
    line = "all.page=json://a/ Dana.page=json://b/ Dana.page=json://c/ Eli.page=json://"
    channels = parse_channels(f"{line}d/")
    ways = ways_to(channels, "Dana", Use.PAGE)

    assert [way.label for way in ways] == [
        "Dana.page 1 (json)",
        "Dana.page 2 (json)",
        "all.page 1 (json)",
    ]
