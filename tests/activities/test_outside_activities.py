"""Provisioning and mail against real servers that misbehave on demand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.exceptions import ApplicationError

from activities.access import AccessActivities
from activities.emails import EmailActivities
from activities.failures import FailureKind
from activities.letters import Letters
from database.aftermath import record_access_ended
from database.changes import (
    Wish,
    add_days,
    correct_address,
    list_changes,
    record_change_told,
)
from database.emails import OwedEmail, read_owed_email
from database.orders import Grant, read_grant, record_access
from domain.changes import ChangeEntitlement
from domain.emails import EmailKind
from domain.identifiers import derived_id
from domain.messages import (
    EmailOutcome,
    GrantEntitlement,
    OrderWritten,
    RecordEmail,
    SendEmail,
)
from domain.refunds import EndEntitlement
from domain.replies import Verified
from mail.facts import Company
from mail.sender import SmtpMailer
from stack.places import free_port
from tests.activities.conftest import ADDRESSES, EMAIL, Paid, run
from tests.conftest import Database
from tests.stack.servers import server

pytestmark = pytest.mark.postgres

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
COMPANY = Company(
    company_name="Acme",
    statement_descriptor="ACME PLAN",
    support_email="support@acme.test",
    support_hours="Monday to Friday, 09:00 to 17:00 UTC",
    support_name="Dana",
    mail_from="Acme payments <pay@acme.test>",
    mail_domain="acme.test",
    application_url="https://app.example",
)


class Server:
    """A sandbox server and what it can be told and asked."""

    def __init__(self, home: str, smtp_port: int = 0) -> None:
        self.home = home
        self.smtp_port = smtp_port

    def arm(self, **fault: Any) -> None:
        """Let the next request go wrong."""
        url = f"{self.home}/sandbox/faults"
        httpx.post(url, json=fault, trust_env=False).raise_for_status()

    def seen(self, path: str, **asked: str) -> dict[str, Any]:
        """Ask what arrived."""
        answer = httpx.get(f"{self.home}{path}", params=asked, trust_env=False)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The company's application."""
    folder, port = tmp_path_factory.mktemp("application"), free_port()
    command = ["sandbox.application", "--port", str(port), "--secret", SECRET]
    command += ["--data", str(folder / "application.db")]
    home = f"http://127.0.0.1:{port}"
    with server(*command, home=home, log=folder / "log"):
        yield Server(home)


@pytest.fixture(scope="module")
def mailbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A mail server."""
    folder, port, smtp = tmp_path_factory.mktemp("mailbox"), free_port(), free_port()
    command = ["sandbox.mailbox", "--smtp-port", str(smtp), "--http-port", str(port)]
    command += ["--data", str(folder / "mailbox.db")]
    home = f"http://127.0.0.1:{port}"
    with server(*command, home=home, log=folder / "log"):
        yield Server(home, smtp)


@pytest.fixture
async def access(
    application: Server, engine: AsyncEngine
) -> AsyncIterator[AccessActivities]:
    """What asks the application."""

    async def read(entitlement_id: UUID) -> Grant:
        async with engine.begin() as connection:
            return await read_grant(connection, entitlement_id)

    async def record(
        grant: GrantEntitlement,
        access_url: str | None,
        next_message_at: datetime | None,
    ) -> datetime | None:
        async with engine.begin() as connection:
            return await record_access(connection, grant, access_url, next_message_at)

    async def record_ended(ended: EndEntitlement) -> None:
        async with engine.begin() as connection:
            await record_access_ended(connection, ended)

    async def record_told(change: ChangeEntitlement, number: int) -> None:
        async with engine.begin() as connection:
            await record_change_told(connection, change, number)

    async with httpx.AsyncClient(trust_env=False) as client:
        url = f"{application.home}/holdfast/entitlements"
        yield AccessActivities(
            client,
            url,
            SECRET,
            read_grant=read,
            record_access=record,
            record_access_ended=record_ended,
            record_change_told=record_told,
        )


@pytest.fixture
def emails(mailbox: Server, engine: AsyncEngine) -> EmailActivities:
    """What speaks to the mail server."""

    async def read(email_id: UUID) -> OwedEmail:
        async with engine.begin() as connection:
            return await read_owed_email(connection, email_id)

    mailer = SmtpMailer(host="127.0.0.1", port=mailbox.smtp_port)
    return EmailActivities(mailer, read, Letters(COMPANY, ADDRESSES).write)


def grants(application: Server, entitlement_id: UUID) -> list[int]:
    """Return how often access was opened for an entitlement."""
    return [
        entry["grants"]
        for entry in application.seen("/api/entitlements")["entitlements"]
        if entry["entitlement_id"] == str(entitlement_id)
    ]


def request_for(paid: Paid, order: OrderWritten) -> GrantEntitlement:
    """Return what the workflow asks for."""
    return GrantEntitlement(
        checkout_id=paid.checkout_id,
        entitlement_id=order.entitlement_id,
        was_interrupted=False,
    )


async def test_access_is_opened_once_however_often_it_is_asked(
    access: AccessActivities, application: Server, database: Database, paid: Paid
) -> None:
    """A repeated call opens access once, and the row keeps the first answer."""
    order = await paid.written()
    request = request_for(paid, order)

    await run(access.grant_entitlement, request)
    once = _entitlement(database)
    await run(access.grant_entitlement, request)

    assert _entitlement(database) == once
    assert once[0] == "active"
    assert str(once[1]).startswith("http://127.0.0.1")
    assert grants(application, order.entitlement_id) == [1]


async def test_address_of_the_access_stays_out_of_the_history(
    access: AccessActivities, paid: Paid
) -> None:
    """What the application answers opens an account, so nothing of it is returned."""
    order = await paid.written()
    told: object = await run(access.grant_entitlement, request_for(paid, order))

    assert told is None


def _entitlement(database: Database) -> tuple[object, ...]:
    with database.connect_as_owner() as connection:
        row = connection.execute(
            "SELECT state, access_url, granted_at FROM entitlements"
        ).fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("action", "kind", "is_final"),
    [
        ("error_500", FailureKind.APPLICATION_AWAY, False),
        ("act_then_drop_reply", FailureKind.APPLICATION_AWAY, False),
        ("refuse", FailureKind.APPLICATION_AWAY, False),
        ("gone_410", FailureKind.APPLICATION_REFUSED, True),
    ],
)
async def test_application_in_trouble_is_told_and_the_next_try_works(
    access: AccessActivities,
    application: Server,
    paid: Paid,
    action: str,
    kind: FailureKind,
    *,
    is_final: bool,
) -> None:
    """Each trouble says whether waiting helps; afterwards access opens once."""
    order = await paid.written()
    request = request_for(paid, order)
    application.arm(action=action)

    with pytest.raises(ApplicationError) as failed:
        await run(access.grant_entitlement, request)
    await run(access.grant_entitlement, request)

    assert (failed.value.type, failed.value.non_retryable) == (kind, is_final)
    assert EMAIL not in str(failed.value)
    assert grants(application, order.entitlement_id) == [1]


def ends(database: Database) -> tuple[object, ...]:
    """Return the states of subscription, entitlement and access."""
    with database.connect_as_owner() as connection:
        row = connection.execute(
            "SELECT subscriptions.state, entitlements.state, access_state"
            " FROM checkouts JOIN orders USING (checkout_id)"
            " JOIN subscriptions USING (order_id) JOIN entitlements USING (order_id)"
        ).fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize(
    "action", ["error_500", "act_then_drop_reply", "refuse", "gone_410"]
)
async def test_the_end_is_told_again_until_the_application_has_said_yes(
    access: AccessActivities,
    application: Server,
    database: Database,
    paid: Paid,
    action: str,
) -> None:
    """Until then the rows call it active; a late call to open it opens nothing."""
    order = await paid.written()
    await run(access.grant_entitlement, request_for(paid, order))
    end = EndEntitlement(
        checkout_id=paid.checkout_id, entitlement_id=order.entitlement_id, is_over=True
    )
    application.arm(action=action)

    with pytest.raises(ApplicationError):
        await run(access.end_entitlement, end)
    in_between = ends(database)
    for _ in range(2):
        await run(access.end_entitlement, end)
    await run(access.grant_entitlement, request_for(paid, order))

    assert in_between == ("active", "active", "ACTIVE")
    assert ends(database) == ("expired", "ended", "ENDED")
    (known,) = (
        entry
        for entry in application.seen("/api/entitlements")["entitlements"]
        if entry["entitlement_id"] == str(order.entitlement_id)
    )
    assert known["state"] == "ended"


async def add(engine: AsyncEngine, paid: Paid, turn: int = 0) -> None:
    """Make the plan a day longer."""
    wish = Wish(turn=turn, actor="dana", reason="lost an evening")
    async with engine.begin() as connection:
        await add_days(connection, paid.checkout_id, wish, 1)


def known_to(application: Server, order: OrderWritten) -> dict[str, Any]:
    """Return what the application knows of an entitlement."""
    (known,) = (
        entry
        for entry in application.seen("/api/entitlements")["entitlements"]
        if entry["entitlement_id"] == str(order.entitlement_id)
    )
    return dict(known)


@pytest.mark.parametrize(
    "action", ["error_500", "act_then_drop_reply", "refuse", "gone_410"]
)
async def test_a_change_is_told_until_the_application_has_said_yes(
    access: AccessActivities,
    application: Server,
    engine: AsyncEngine,
    paid: Paid,
    *,
    action: str,
) -> None:
    """Whatever got lost, it is followed once, and the row says so afterwards alone."""
    order = await paid.written()
    await run(access.grant_entitlement, request_for(paid, order))
    await add(engine, paid)
    change = ChangeEntitlement(
        checkout_id=paid.checkout_id, entitlement_id=order.entitlement_id
    )
    application.arm(action=action)

    with pytest.raises(ApplicationError) as failed:
        await run(access.change_entitlement, change)
    async with engine.begin() as connection:
        (untold,) = await list_changes(connection, paid.checkout_id)
        grant = await read_grant(connection, order.entitlement_id)
    for _ in range(2):
        await run(access.change_entitlement, change)
    async with engine.begin() as connection:
        (told,) = await list_changes(connection, paid.checkout_id)

    assert EMAIL not in str(failed.value)
    assert untold.told_at is None
    assert told.told_at is not None
    known = known_to(application, order)
    assert (known["change"], known["changes"]) == (grant.change, 1)
    assert datetime.fromisoformat(known["ends_at"]) == grant.ends_at
    assert known["email"] == EMAIL


async def test_a_change_that_was_held_up_until_the_end_tells_nothing(
    access: AccessActivities, application: Server, engine: AsyncEngine, paid: Paid
) -> None:
    """A late try finds access over, and leaves the application alone."""
    order = await paid.written()
    await run(access.grant_entitlement, request_for(paid, order))
    await add(engine, paid)
    end = EndEntitlement(
        checkout_id=paid.checkout_id, entitlement_id=order.entitlement_id
    )
    await run(access.end_entitlement, end)

    change = ChangeEntitlement(
        checkout_id=paid.checkout_id, entitlement_id=order.entitlement_id
    )
    await run(access.change_entitlement, change)

    known = known_to(application, order)
    assert (known["state"], known["changes"]) == ("ended", 0)


async def delivered(engine: AsyncEngine, paid: Paid) -> OrderWritten:
    """Open the access: a receipt does not leave before."""
    order = await paid.written()
    async with engine.begin() as connection:
        await record_access(connection, request_for(paid, order), None, None)
    return order


async def test_receipt_leaves_once_its_row_says_so(
    emails: EmailActivities, mailbox: Server, paid: Paid, engine: AsyncEngine
) -> None:
    """Once the row says sent, nothing is sent again; before, a copy looks the same."""
    order = await delivered(engine, paid)
    send = SendEmail(email_id=order.receipt_id)

    await run(emails.send_email, send)
    await run(emails.send_email, send)
    sent = RecordEmail(email_id=order.receipt_id, outcome=EmailOutcome(is_sent=True))
    await run(paid.orders.record_email, sent)
    await run(emails.send_email, send)

    mails = mailbox.seen("/api/mails", to=EMAIL)["mails"][-2:]
    assert len({mail["message_id"] for mail in mails}) == 1
    assert len({mail["text"] for mail in mails}) == 1


async def test_refused_receipt_is_an_outcome_without_the_address(
    emails: EmailActivities, mailbox: Server, paid: Paid, engine: AsyncEngine
) -> None:
    """A mail server's final no is kept for support, without the customer's address."""
    order = await delivered(engine, paid)
    mailbox.arm(action="permanent_550")

    outcome: EmailOutcome = await run(
        emails.send_email, SendEmail(email_id=order.receipt_id)
    )

    assert not outcome.is_sent
    assert outcome.refusal is not None
    assert EMAIL not in outcome.refusal


async def test_a_notice_goes_to_the_address_that_was_given_up(
    emails: EmailActivities, mailbox: Server, paid: Paid, engine: AsyncEngine
) -> None:
    """Not to the new one; refused there, it says that nobody has lost anything."""
    await delivered(engine, paid)
    old, new = EMAIL, "canary@example.org"
    wish = Wish(turn=0, actor="dana", reason="a letter was missing")
    async with engine.begin() as connection:
        await correct_address(
            connection, paid.checkout_id, wish, new, Verified.PAGE_LINK
        )
    notice = derived_id(paid.checkout_id, f"{EmailKind.ADDRESS_CHANGED}:1")
    mailbox.arm(action="permanent_550")

    refused: EmailOutcome = await run(emails.send_email, SendEmail(email_id=notice))
    sent: EmailOutcome = await run(emails.send_email, SendEmail(email_id=notice))

    assert (refused.is_sent, refused.is_no_loss) == (False, True)
    assert sent.is_sent
    subjects = [mail["subject"] for mail in mailbox.seen("/api/mails", to=old)["mails"]]
    assert subjects.count("Your order has another e-mail address now") == 1
    assert mailbox.seen("/api/mails", to=new)["mails"] == []


async def test_refused_mail_leaves_no_more_by_itself(
    emails: EmailActivities, mailbox: Server, paid: Paid, engine: AsyncEngine
) -> None:
    """Once its row says that it was refused, only an operator has it sent."""
    order = await delivered(engine, paid)
    refused = EmailOutcome(is_sent=False, refusal="550 5.1.1")
    await run(
        paid.orders.record_email,
        RecordEmail(email_id=order.receipt_id, outcome=refused),
    )
    before = len(mailbox.seen("/api/mails", to=EMAIL)["mails"])

    outcome: EmailOutcome = await run(
        emails.send_email, SendEmail(email_id=order.receipt_id)
    )

    assert outcome == refused
    assert len(mailbox.seen("/api/mails", to=EMAIL)["mails"]) == before


async def test_receipt_that_is_put_off_is_repeated(
    emails: EmailActivities, mailbox: Server, paid: Paid, engine: AsyncEngine
) -> None:
    """A temporary no is an error that Temporal repeats, and the next try goes out."""
    order = await delivered(engine, paid)
    send = SendEmail(email_id=order.receipt_id)
    mailbox.arm(action="temporary_451")

    with pytest.raises(ApplicationError) as failed:
        await run(emails.send_email, send)
    outcome: EmailOutcome = await run(emails.send_email, send)

    assert failed.value.type == FailureKind.MAIL_DEFERRED
    assert not failed.value.non_retryable
    assert outcome.is_sent


async def test_receipt_that_is_not_true_does_not_leave(
    emails: EmailActivities, mailbox: Server, paid: Paid
) -> None:
    """A mail is compared with the row as it leaves: no "you're in" before one is in."""
    order = await paid.written()
    before = len(mailbox.seen("/api/mails", to=EMAIL)["mails"])

    outcome: EmailOutcome = await run(
        emails.send_email, SendEmail(email_id=order.receipt_id)
    )

    assert outcome == EmailOutcome(is_sent=False, is_needless=True)
    assert len(mailbox.seen("/api/mails", to=EMAIL)["mails"]) == before
