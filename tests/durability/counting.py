"""One purchase, and what there is of it, each thing counted where it really is."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
from temporalio.client import Client

from domain.identifiers import workflow_id_of
from stack.buyer import Buyer
from stack.driver import Stack
from tests.durability.watching import SUCCESS, Watcher, assert_truthful

VISA = "pm_card_visa"

#: No recovery may take longer; nearly all take half of it.
WHOLE_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a purchase is made of. Exactly one of each, whatever happened."""

    #: Succeeded charges at the processor.
    charges: int = 1
    #: PaymentIntents at the processor, whatever became of them.
    payment_intents: int = 1
    orders: int = 1
    subscriptions: int = 1
    active_entitlements: int = 1
    #: Calls that had an effect in the company's application.
    grants: int = 1
    #: Distinct Message-IDs of receipts in the mailbox.
    receipts: int = 1
    #: Mails with them. A second can follow only a lost acknowledgement.
    receipt_copies: int = 1
    #: Receipts that our own rows say are sent.
    receipts_sent: int = 1
    #: Idempotency keys that stood for two different requests.
    reused_keys: int = 0
    workflow: str = "COMPLETED"


class Purchase:
    """One buyer's checkout in a running stack.

    Attributes:
        stack: Where it is bought.
        email: The buyer's own, so that everything can be told apart by it.
        buyer: The buyer's browser, on the checkout's page.
        watcher: Reloads the page meanwhile.
        checkout_id: From the database.
    """

    def __init__(self, stack: Stack, email: str, buyer: Buyer) -> None:
        self.stack = stack
        self.email = email
        self.buyer = buyer
        buyer.submit("/checkouts", email=email)
        self.address = buyer.address
        self.checkout_id = self._find_checkout_id()
        self.watcher = Watcher(self.address)

    def pay(self, payment_method: str = VISA) -> None:
        """Press Pay as a browser does."""
        self.buyer.submit("/pay", payment_method=payment_method)

    def post_pay(self, payment_method: str = VISA) -> httpx.Response:
        """Press Pay, and do not follow where the answer leads."""
        url = httpx.URL(self.address)
        origin = str(url.copy_with(raw_path=b"/"))[:-1]
        return httpx.post(
            f"{self.address}/pay",
            data={"payment_method": payment_method},
            headers={"Origin": origin},
            trust_env=False,
            timeout=10,
        )

    def row(self, column: str) -> Any:
        """Read one value of the checkout's row."""
        query = f"SELECT {column} FROM checkouts WHERE checkout_id = %s"  # noqa: S608  # The tests' own words.
        return self._one(query)

    def charges(self) -> list[dict[str, Any]]:
        """Return the succeeded charges at the processor."""
        summary = get_json(f"{self.stack.at.processor}/sandbox/summary")
        found: list[dict[str, Any]] = summary["checkouts"].get(
            str(self.checkout_id), []
        )
        return found

    def charged_at(self) -> float | None:
        """Return when the money moved, by the processor's own record."""
        return min((charge["charged_at"] for charge in self.charges()), default=None)

    def wait_whole(self, *, limit_seconds: float = WHOLE_WITHIN_SECONDS) -> float:
        """Wait until everything is in place; the monotonic second at which it was."""
        deadline = time.monotonic() + limit_seconds
        self.watcher.wait_for(SUCCESS, limit_seconds=limit_seconds)
        left = max(1.0, deadline - time.monotonic())
        found = get_json(
            f"{self.stack.at.mailbox}/api/mails/wait",
            to=self.email,
            kind="receipt",
            timeout=str(left),
        )
        assert found["complete"], "The receipt did not come."
        asyncio.run(self._await_end(max(1.0, deadline - time.monotonic())))
        return time.monotonic()

    def assert_whole(self, *, most_copies: int = 1) -> None:
        """Assert exactly one of everything, and that every page told the truth.

        Args:
            most_copies: Mails with the one receipt; 2 only where the test itself lost
                the mail server's acknowledgement.
        """
        counts = self.count()
        copies = min(max(1, counts.receipt_copies), most_copies)
        assert counts == Counts(receipt_copies=copies), counts
        assert_truthful(self.watcher.sightings, self.charged_at())

    def count(self) -> Counts:
        """Count from outside."""
        at, checkout_id = self.stack.at, str(self.checkout_id)
        intents = get_json(
            f"{at.processor}/sandbox/payment_intents", checkout_id=checkout_id
        )
        access = get_json(f"{at.application}/api/entitlements", email=self.email)
        mails = self.receipts()
        return Counts(
            charges=len(self.charges()),
            payment_intents=len(intents["data"]),
            grants=sum(entry["grants"] for entry in access["entitlements"]),
            receipts=len({mail["message_id"] for mail in mails}),
            receipt_copies=len(mails),
            reused_keys=self._reused_keys(),
            workflow=asyncio.run(self._workflow_state()),
            **{name: self.count_rows(name) for name in _ROWS},
        )

    def count_rows(self, name: str) -> int:
        """Count one of the kinds of rows that a purchase has in the database."""
        return int(self._one(_ROWS[name]))

    def receipts(self) -> list[dict[str, Any]]:
        """Return the receipts in the mailbox."""
        found = get_json(
            f"{self.stack.at.mailbox}/api/mails", to=self.email, kind="receipt"
        )
        mails: list[dict[str, Any]] = found["mails"]
        return mails

    def application_calls(self) -> int:
        """Return how often the company's application was called."""
        access = get_json(
            f"{self.stack.at.application}/api/entitlements", email=self.email
        )
        return sum(entry["calls"] for entry in access["entitlements"])

    def requests(self) -> list[dict[str, Any]]:
        """Return what the processor was asked for this checkout."""
        found = get_json(
            f"{self.stack.at.processor}/sandbox/requests",
            checkout_id=str(self.checkout_id),
        )
        lines: list[dict[str, Any]] = found["data"]
        return lines

    def _reused_keys(self) -> int:
        bodies: dict[str, set[str]] = defaultdict(set)
        for line in self.requests():
            if line["idempotency_key"]:
                bodies[line["idempotency_key"]].add(line["body_sha256"])
        return sum(len(different) > 1 for different in bodies.values())

    def _find_checkout_id(self) -> UUID:
        with connect_owner(self.stack) as connection:
            found = connection.execute(
                "SELECT checkout_id FROM checkouts WHERE email = %s", [self.email]
            ).fetchone()
        assert found is not None, f"{self.email} has no checkout."
        return UUID(str(found[0]))

    def _one(self, query: str) -> Any:
        with connect_owner(self.stack) as connection:
            found = connection.execute(query.encode(), [self.checkout_id]).fetchone()
        return found and found[0]

    async def _await_end(self, limit_seconds: float) -> None:
        client = await self._temporal()
        handle = client.get_workflow_handle(workflow_id_of(self.checkout_id))
        await asyncio.wait_for(handle.result(), limit_seconds)

    async def _workflow_state(self) -> str:
        client = await self._temporal()
        handle = client.get_workflow_handle(workflow_id_of(self.checkout_id))
        state = (await handle.describe()).status
        return state.name if state else "UNKNOWN"

    async def _temporal(self) -> Client:
        at = self.stack.at
        return await Client.connect(
            at.temporal_address, namespace=at.temporal_namespace
        )


_ROWS = {
    "orders": "SELECT count(*) FROM orders WHERE checkout_id = %s",
    "subscriptions": (
        "SELECT count(*) FROM subscriptions JOIN orders USING (order_id)"
        " WHERE checkout_id = %s"
    ),
    "active_entitlements": (
        "SELECT count(*) FROM entitlements JOIN orders USING (order_id)"
        " WHERE checkout_id = %s AND entitlements.state = 'active'"
    ),
    "receipts_sent": (
        "SELECT count(*) FROM emails"
        " WHERE checkout_id = %s AND kind = 'receipt' AND state = 'sent'"
    ),
}


@contextmanager
def open_purchase(stack: Stack) -> Iterator[Purchase]:
    """Open a checkout for a new buyer, and watch its page until the block ends."""
    email = f"buyer-{uuid4().hex[:12]}@example.com"
    with Buyer(stack.at.shop) as buyer:
        purchase = Purchase(stack, email, buyer)
        with purchase.watcher:
            yield purchase


def connect_owner(stack: Stack) -> psycopg.Connection[Any]:
    """Open a connection of the role that owns the tables."""
    url = stack.at.owner_database_url.replace("+psycopg", "")
    return psycopg.connect(url, autocommit=True, connect_timeout=5)


def get_json(url: str, **asked: str) -> dict[str, Any]:
    """Ask one of the sandbox's servers; long polls may take their time."""
    reply = httpx.get(url, params=asked, trust_env=False, timeout=130)
    reply.raise_for_status()
    answer: dict[str, Any] = reply.json()
    return answer
