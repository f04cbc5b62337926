"""On-call activities: deciding with the rows, telling people, and being heard outside.

Three classes, since they hold three outside systems: the database, the channels to
people, and the watcher that notices when all of this is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import httpx
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity

from activities.failures import sorted_failures
from activities.heartbeat import heartbeating
from database.oncall import (
    read_digest_facts,
    read_signs,
    take_over,
    write_incidents,
    write_notifications,
)
from database.pauses import pause_payments
from domain.alerts import DigestFacts, digest_body, digest_title
from domain.desk import Desk, Errand, ErrandKind, Plan, SendAlert, Told
from domain.due import (
    Setup,
    Signs,
    drill_findings,
    plan,
    shop_findings,
    without_records,
)
from domain.oncall import Finding
from domain.rota import Channel, ways_to
from observability.logs import get_logger

#: Who pauses new payments in the audit when nobody answered.
ACTOR = "on-call"

#: One channel's time. Three of them fit into a page before the second person's turn.
CHANNEL_SECONDS = 15

#: The watcher is asked for a sign of life only; it has no time to think.
_BEAT_SECONDS = 8

_MOST_DIGEST_DAYS = timedelta(days=4)

_log = get_logger()


class DeskActivities:
    """What the desk reads from and writes into the database.

    Args:
        engine: The application role's database.
        setup: What the settings say; a worker's restart brings new ones into force.
    """

    def __init__(self, engine: AsyncEngine, setup: Setup) -> None:
        self._engine = engine
        self._setup = setup

    @activity.defn
    async def look_at_desk(self, desk: Desk, now: datetime) -> Plan:
        """Decide what is due, and write the digest's text if it is.

        The decision is an activity so that its outcome stands in the history: a release
        that changes a threshold meets a running desk without disturbing it. A database
        that is away is no obstacle: it may be what the alert is about.

        Repeat: decides again; nothing was carried out.
        Survives: everything; it changes nothing.
        """
        signs = await self._signs()
        if signs.answers:
            desk = replace(desk, paused_at=signs.paused_at)
        due = plan(desk, self._setup, now)
        if not signs.answers:
            due = without_records(due, now)
        found = shop_findings(desk, signs, now)
        if not any(one.kind is ErrandKind.DIGEST for one in due.errands):
            return replace(due, findings=found)
        facts = DigestFacts(paused_at=desk.paused_at)
        if signs.answers:
            facts = await self._facts(desk, now)
        found += drill_findings(desk, facts, now)
        return self._with_digest(due, facts, desk, now, found)

    async def _signs(self) -> Signs:
        try:
            async with self._engine.connect() as connection:
                return await read_signs(connection)
        except (SQLAlchemyError, OSError) as error:
            _log.warning("desk_without_database", kind=type(error).__name__)
            return Signs()

    def _with_digest(
        self,
        due: Plan,
        facts: DigestFacts,
        desk: Desk,
        now: datetime,
        found: tuple[Finding, ...],
    ) -> Plan:
        return replace(
            due,
            errands=tuple(
                self._written(one, facts, desk, now)
                if one.kind is ErrandKind.DIGEST
                else one
                for one in due.errands
            ),
            findings=found,
        )

    def _written(
        self, errand: Errand, facts: DigestFacts, desk: Desk, now: datetime
    ) -> Errand:
        return replace(
            errand,
            title=digest_title(facts),
            body=digest_body(
                facts,
                desk.open_incidents,
                night_pages_a_month=self._setup.night_pages_a_month,
                link=self._setup.link,
                now=now,
                zone=self._setup.people.hours.zone,
            ),
        )

    async def _facts(self, desk: Desk, now: datetime) -> DigestFacts:
        """Read the morning's counts, since the day of the digest before."""
        people = self._setup.people
        today = people.on_day(now.astimezone(people.hours.zone).date(), _MIDNIGHT)
        since = max(
            _digest_before(desk, self._setup) or today - timedelta(days=1),
            today - _MOST_DIGEST_DAYS,
        )
        try:
            async with self._engine.connect() as connection:
                return await read_digest_facts(
                    connection,
                    since=since,
                    until=today + timedelta(days=1),
                    month_began=today.replace(day=1),
                )
        except (SQLAlchemyError, OSError) as error:
            _log.warning("digest_without_database", kind=type(error).__name__)
            return DigestFacts(answers=False, paused_at=desk.paused_at)

    @activity.defn
    async def record_desk(self, errand: Errand) -> None:
        """Bring the rows of incidents and alerts up to date, or take them over first.

        Repeat: finds the same rows; an older state never overwrites a newer. A second
            taking over has what was told in between told once more; the desk counts
            each finding once.
        Survives: a crash leaves the rows behind; the desk writes them again.

        Raises:
            ApplicationError: `DatabaseAway`; the desk tries again in a minute.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                if errand.takes_over_at is not None:
                    await take_over(connection, errand.takes_over_at)
                await write_notifications(connection, errand.notifications)
                # Last: what people answered goes into the audit, whose writers wait
                # for each other.
                await write_incidents(connection, errand.records)

    @activity.defn
    async def pause_checkout(self, reason: str) -> None:
        """Stop new payments, because nobody answered.

        Repeat: finds the pause that lasts.
        Survives: a crash after the commit loses only the answer.

        Raises:
            ApplicationError: `DatabaseAway`; the desk tries again in a minute.
        """
        with sorted_failures():
            async with self._engine.begin() as connection:
                made = await pause_payments(connection, reason=reason, actor=ACTOR)
        if made.is_new:
            _log.error("payments_paused", actor=ACTOR, reason=reason)


def _digest_before(desk: Desk, setup: Setup) -> datetime | None:
    if not desk.digest_for:
        return None
    day = datetime.fromisoformat(desk.digest_for).date()
    return setup.people.on_day(day, _MIDNIGHT)


_MIDNIGHT = datetime.min.time()

#: Sends one text down one channel; True when it was taken.
Send = Callable[[Channel, str, str], Awaitable[bool]]


class ChannelNotUnderstood(ValueError):
    """A channel's address is none that apprise knows; the message names its label."""


def check_channels(channels: Sequence[Channel]) -> None:
    """Refuse at the start what would be found out at night.

    Raises:
        ChannelNotUnderstood: Some address is not understood.
    """
    if not channels:
        return
    import apprise

    for channel in channels:
        if apprise.Apprise.instantiate(channel.url) is None:
            msg = f"The address of the on-call channel {channel.label} is not one."
            raise ChannelNotUnderstood(msg)


async def send_by_apprise(channel: Channel, title: str, body: str) -> bool:
    """Send one text down one channel, and say whether it was taken.

    Everything but a plain success counts as not taken: a refusal, silence for 15
    seconds, an address that no service of apprise's understands.
    """
    # Late: it is large, and the API, which only names these activities, needs none.
    import apprise

    # It logs addresses, which open the channel, and answers, which are not ours.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    sender = apprise.Apprise()
    if not sender.add(channel.url):
        return False
    try:
        async with asyncio.timeout(CHANNEL_SECONDS):
            result = await sender.async_notify(
                title=title, body=body, body_format=apprise.NotifyFormat.TEXT
            )
    except TimeoutError:
        return False
    return bool(result)


class AlertActivities:
    """The channels to people.

    Args:
        channels: Of all people; empty where nobody has set any.
        send: Sends one text down one channel.
    """

    def __init__(
        self, channels: Sequence[Channel], send: Send = send_by_apprise
    ) -> None:
        self._channels = tuple(channels)
        self._send = send

    @activity.defn
    async def send_alert(self, alert: SendAlert) -> Told:
        """Tell one person, by the first channel that takes it.

        Repeat: a second copy may arrive; too much is better than nothing.
        Survives: a crash after a channel took it leads to that copy.
        """
        ways = ways_to(self._channels, alert.person, alert.use)
        if not ways:
            # Whoever reads the logs is told what nobody else is.
            _log.error("nobody_told", person=alert.person, title=alert.title)
            return Told(person=alert.person, has_channels=False)
        async with heartbeating():
            for way in ways:
                if await self._send(way, alert.title, alert.body):
                    _log.warning("alert_sent", channel=way.label, title=alert.title)
                    return Told(person=alert.person, channel=way.label)
                _log.error("channel_down", channel=way.label, title=alert.title)
        return Told(person=alert.person)


class WatcherActivities:
    """The watcher outside, which calls when it hears nothing from us.

    Args:
        client: HTTP client without redirects.
        url: What is asked for as a sign of life; None where nobody watches.
    """

    def __init__(self, client: httpx.AsyncClient, url: str | None) -> None:
        self._client = client
        self._url = url

    @activity.defn
    async def beat(self) -> bool:
        """Let the watcher hear of us; says whether it did.

        Its silence means that Temporal, the worker or the network is gone, since the
        workflow asks for every beat.

        Repeat: one more sign of life.
        Survives: a crash loses one; the watcher waits for several.
        """
        if self._url is None:
            return False
        try:
            answer = await self._client.get(
                self._url, timeout=_BEAT_SECONDS, follow_redirects=False
            )
        except httpx.HTTPError as error:
            _log.warning("watcher_did_not_hear", kind=type(error).__name__)
            return False
        return answer.is_success
