"""Doubles of what the API talks to, and a shop in which everything can be looked at."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.app import ROUTERS
from api.parts import Parts
from domain.messages import CheckoutInput, PayRequest, RepairRequest
from domain.payments import PaymentIntent
from domain.reconciliation import ReconcileInput
from domain.refunds import Refund, RefundRequest
from settings import Settings
from tests.conftest import Database
from tests.specimens.pages import specimen_settings
from workflows.door import DoorClosed

PUBLIC_URL = "https://shop.example"
API_KEY = "key-0123456789abcdefghijklmnopqrstuv"
WEBHOOK_SECRET = "whsec_webhook-secret-of-these-tests"
NOW = datetime(2026, 11, 23, 14, 32, tzinfo=UTC)

#: What a browser sends with a form of the page's own.
OWN_PAGE = {"sec-fetch-site": "same-origin"}
BEARER = {"authorization": f"Bearer {API_KEY}"}

PAN = "4242424242424242"


def make_settings(**changes: Any) -> Settings:
    """Return development settings, unless told otherwise; no file is read."""
    values: dict[str, Any] = {
        "api_keys": API_KEY,
        "public_url": PUBLIC_URL,
        "stripe_webhook_secrets": WEBHOOK_SECRET,
    }
    return specimen_settings(**values | changes)


@dataclass
class FakeDoor:
    """A door that writes down what came through it."""

    is_closed: bool = False
    is_listening: bool = True
    paid: list[PayRequest] = field(default_factory=list)
    hinted: list[UUID] = field(default_factory=list)
    #: Checkouts whose run was asked after, and not told anything.
    asked_after: list[UUID] = field(default_factory=list)
    repairs: list[tuple[CheckoutInput, RepairRequest]] = field(default_factory=list)
    refunds: list[tuple[CheckoutInput, RefundRequest]] = field(default_factory=list)
    runs: list[ReconcileInput] = field(default_factory=list)
    #: Raised by every call, for errors that nobody expects.
    error: Exception | None = None

    async def pay(self, request: PayRequest) -> None:
        self._pass()
        self.paid.append(request)

    async def look_again(self, checkout_id: UUID) -> bool:
        self._pass()
        self.hinted.append(checkout_id)
        return self.is_listening

    async def is_running(self, checkout_id: UUID) -> bool:
        self._pass()
        self.asked_after.append(checkout_id)
        return self.is_listening

    async def request_repair(
        self, checkout: CheckoutInput, repair: RepairRequest
    ) -> None:
        self._pass()
        self.repairs.append((checkout, repair))

    async def request_refund(
        self, checkout: CheckoutInput, refund: RefundRequest
    ) -> None:
        self._pass()
        self.refunds.append((checkout, refund))

    async def reconcile(self, asked: ReconcileInput) -> None:
        self._pass()
        self.runs.append(asked)

    async def is_open(self) -> bool:
        return not self.is_closed

    def _pass(self) -> None:
        if self.error is not None:
            raise self.error
        if self.is_closed:
            raise DoorClosed("TimeoutError")


@dataclass
class FakeMailer:
    """A mailer that keeps what it was given."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    letters: list[EmailMessage] = field(default_factory=list)
    #: Raised instead of taking a letter.
    refusal: Exception | None = None

    async def send_letter(self, message: EmailMessage) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.letters.append(message)

    async def send_sign_in_link(self, to: str, link: str) -> None:
        self.sent.append((to, link))


@dataclass
class FakeProcessor:
    """A processor with the payments that a test gave it."""

    intents: dict[str, PaymentIntent] = field(default_factory=dict)
    refunds: list[Refund] = field(default_factory=list)
    #: Seconds that an answer takes.
    takes: float = 0
    asked: list[str] = field(default_factory=list)

    async def look_up(self, payment_intent_id: str) -> PaymentIntent:
        self.asked.append(payment_intent_id)
        await asyncio.sleep(self.takes)
        return self.intents[payment_intent_id]

    async def list_refunds(self, payment_intent_id: str) -> list[Refund]:
        del payment_intent_id
        return self.refunds


@dataclass
class FakeClock:
    """A clock that stands until it is moved."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A checkout that a buyer has opened."""

    path: str
    checkout_id: UUID


@dataclass(kw_only=True)
class Shop:
    """A running API with its doubles, a browser, and the owner's view of the rows."""

    app: FastAPI
    parts: Parts
    door: FakeDoor
    mailer: FakeMailer
    clock: FakeClock
    processor: FakeProcessor
    database: Database
    new_browser: Callable[[], httpx.AsyncClient]
    browser: httpx.AsyncClient

    async def open(self, email: str = "mara@example.com") -> Opened:
        """Open a checkout as a buyer does."""
        answer = await self.browser.post(
            "/checkouts", data={"plan": "one-year", "email": email}
        )
        assert answer.status_code == 303, answer.text
        path = answer.headers["location"]
        digest = hashlib.sha256(path.removeprefix("/c/").encode()).digest()
        rows = self.sql("SELECT checkout_id FROM checkouts WHERE token_hash=%s", digest)
        return Opened(path=path, checkout_id=rows[0][0])

    async def pay(
        self, opened: Opened, payment_method: str = "pm_card_visa"
    ) -> httpx.Response:
        """Press Pay."""
        return await self.browser.post(
            f"{opened.path}/pay", data={"payment_method": payment_method}
        )

    async def settle(self) -> None:
        """Let the work behind answers finish."""
        await self.parts.background.drain(10)

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the owner."""
        return self.database.sql(statement, *values)

    def charge(
        self,
        opened: Opened,
        *,
        access: str = "ACTIVE",
        charged_at: str = "2026-11-23 14:32Z",
    ) -> None:
        """Write what the workflow writes when all goes well."""
        identity = (opened.checkout_id,)
        self.sql(
            "UPDATE checkouts SET stage='charged', money_state='CHARGED',"
            " access_state=%s, payment_intent_id='pi_' || checkout_id,"
            " charged_at=%s::timestamptz, card_brand='visa', card_last4='4242'"
            " WHERE checkout_id=%s",
            access,
            charged_at,
            *identity,
        )
        self.sql(
            "INSERT INTO orders SELECT checkout_id, checkout_id, payment_intent_id,"
            " amount_minor, currency, charged_at FROM checkouts WHERE checkout_id=%s",
            *identity,
        )
        self.sql(
            "INSERT INTO subscriptions SELECT checkout_id, checkout_id, plan_id,"
            " 'active', charged_at, charged_at + interval '12 months',"
            # The year may be over when these tests are run: nobody shall be asked.
            " 'infinity'"
            " FROM checkouts WHERE checkout_id=%s",
            *identity,
        )
        self.sql(
            "INSERT INTO entitlements SELECT checkout_id, checkout_id, %s,"
            " 'https://app.example/enter', now(), now() FROM checkouts"
            " WHERE checkout_id=%s",
            {"ACTIVE": "active", "ENDED": "ended"}.get(access, "pending"),
            *identity,
        )

    def decline(self, opened: Opened) -> None:
        """Write what the workflow writes after a decline."""
        self.sql(
            "UPDATE checkouts SET stage='charging' WHERE checkout_id=%s",
            opened.checkout_id,
        )
        self.sql(
            "UPDATE checkouts SET stage='open', money_state='NOT_CHARGED',"
            " not_charged_reason='declined', decline_class='generic'"
            " WHERE checkout_id=%s",
            opened.checkout_id,
        )
        self.sql(
            "UPDATE payment_attempts SET outcome='declined', ended_at=now()"
            " WHERE checkout_id=%s",
            opened.checkout_id,
        )

    def fingerprint(self) -> str:
        """Return a digest of every row of every table."""
        tables = self.sql(
            "SELECT tablename FROM pg_tables WHERE schemaname='public' ORDER BY 1"
        )
        found = [
            self.sql(f"SELECT t::text FROM {name} t ORDER BY 1")  # noqa: S608  # Our own tables' names.
            for (name,) in tables
        ]
        return hashlib.sha256(repr(found).encode()).hexdigest()


def all_routes() -> list[APIRoute]:
    """Return every route of the application."""
    return [
        route
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
    ]


def text_of(html: str) -> str:
    """Return what a page says, without its tags."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare))
