"""What the pieces share: the sandbox as a whole, and one unit of work on it."""

import secrets
import string
import time
from dataclasses import dataclass, field

from sandbox.processor.clock import Clock
from sandbox.processor.errors import Json
from sandbox.processor.parameters import Parameters
from sandbox.processor.storage import Storage
from sandbox.processor.switches import Switches

#: The version of Stripe's API whose shapes these are, as in stripe-python 16.1.0.
API_VERSION = "2026-10-28.endive"
_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str) -> str:
    """An id in Stripe's manner, such as ``pi_3Kx...``."""
    return f"{prefix}_3{random_text(23)}"


def random_text(length: int) -> str:
    """Letters and digits nobody can guess."""
    number = int.from_bytes(secrets.token_bytes(length))
    letters = []
    for _ in range(length):
        number, rest = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[rest])
    return "".join(letters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    api_key: str
    webhook_url: str | None
    webhook_secret: str
    webhook_events: frozenset[str]
    """Event types the receiver subscribed to; empty means all of them."""
    public_url: str
    """Where a browser reaches this server; bank pages are under it."""
    merchant: str
    """The name on the bank's page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything one running processor knows."""

    options: Options
    storage: Storage
    clock: Clock
    switches: Switches


@dataclass(slots=True, kw_only=True)
class Work:
    """One change of the world, inside one transaction.

    Attributes:
        world: What is changed.
        request_id: The API request behind the change; None for a timer or a bank page.
        idempotency_key: That request's key.
        intent_id: The PaymentIntent it concerned, for the request log.
    """

    world: World
    request_id: str | None = None
    idempotency_key: str | None = None
    intent_id: str | None = None

    def now(self) -> int:
        """Whole epoch seconds by the sandbox's clock."""
        return int(self.world.clock.now())

    def save(self, thing: Json, *, private: Json | None = None) -> None:
        """Store an object; a PaymentIntent becomes the one the log names."""
        if thing["object"] == "payment_intent":
            self.intent_id = thing["id"]
        is_money = thing["object"] == "charge" and thing["status"] == "succeeded"
        settled_at = time.time() if is_money else None
        self.world.storage.put(thing, private=private, settled_at=settled_at)

    def later(self, seconds: float, kind: str, subject: str) -> None:
        """Ask for a timer by the sandbox's clock."""
        self.world.storage.connection.execute(
            "INSERT INTO timers (due, kind, subject) VALUES (?, ?, ?)",
            (self.world.clock.now() + seconds, kind, subject),
        )

    def emit(self, kind: str, thing: Json) -> None:
        """Record an event about the object as it is now, and owe its delivery."""
        event_id = new_id("evt")
        copies = self._copies_owed(kind)
        self.world.storage.put(
            {
                "id": event_id,
                "object": "event",
                "api_version": API_VERSION,
                "created": self.now(),
                "data": {"object": thing},
                "livemode": False,
                "pending_webhooks": copies,
                "request": {
                    "id": self.request_id,
                    "idempotency_key": self.idempotency_key,
                },
                "type": kind,
            }
        )
        switches = self.world.switches.webhooks
        state = "pending" if switches.mode == "on" else "withheld"
        next_at = time.time() + switches.delay_seconds
        for _ in range(copies):
            self.world.storage.connection.execute(
                "INSERT INTO deliveries (event, state, next_at) VALUES (?, ?, ?)",
                (event_id, state, next_at),
            )

    def _copies_owed(self, kind: str) -> int:
        options = self.world.options
        is_wanted = not options.webhook_events or kind in options.webhook_events
        if options.webhook_url is None or not is_wanted:
            return 0
        return 1 + self.world.switches.webhooks.duplicate


@dataclass(slots=True, kw_only=True)
class Call(Work):
    """A unit of work asked for by an API request."""

    params: Parameters = field(default_factory=lambda: Parameters({}))
    path_id: str = ""
    """The id in the path, where the endpoint has one."""
