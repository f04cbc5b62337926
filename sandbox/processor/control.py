"""The control API under ``/sandbox/``: oracle, fault switches, clock. No key needed.

It is meant for loopback: tests, the demo and the person at the screen.
"""

import asyncio
import json
from dataclasses import asdict
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.processor import (
    disputes,
    intents,
    outside,
    payment_methods,
    refunds,
    request_log,
)
from sandbox.processor.errors import ApiError, Json
from sandbox.processor.faults import Fault, Faults
from sandbox.processor.idempotency import Keys
from sandbox.processor.timers import Timers
from sandbox.processor.webhooks import Webhooks
from sandbox.processor.work import Work, World

_LONGEST_POLL_SECONDS = 60.0
_MOST_ROWS = 10_000


class Control:
    """The routes' handlers and what they turn."""

    def __init__(
        self,
        world: World,
        *,
        faults: Faults,
        keys: Keys,
        timers: Timers,
        webhooks: Webhooks,
    ) -> None:
        self._world = world
        self._faults = faults
        self._keys = keys
        self._timers = timers
        self._webhooks = webhooks

    def routes(self) -> list[Route]:
        """Every route of the control API."""
        table = [
            ("GET", "health", self.health),
            ("GET", "payment_methods", self.payment_methods),
            ("GET", "requests", self.requests),
            ("GET", "summary", self.summary),
            ("GET", "payment_intents", self.payment_intents),
            ("POST", "payments", self.plant_payment),
            ("POST", "payment_intents/{id}/settle", self.settle_intent),
            ("POST", "refunds/{id}/settle", self.settle_refund),
            ("POST", "disputes", self.open_dispute),
            ("GET", "faults", self.list_faults),
            ("POST", "faults", self.set_fault),
            ("DELETE", "faults", self.remove_faults),
            ("GET", "faults/{id}", self.show_fault),
            ("DELETE", "faults/{id}", self.remove_faults),
            ("POST", "faults/{id}/release", self.release_fault),
            ("GET", "webhooks", self.show_webhooks),
            ("POST", "webhooks", self.change_webhooks),
            ("POST", "webhooks/send_again", self.send_again),
            ("GET", "deliveries", self.deliveries),
            ("GET", "settings", self.show_settings),
            ("POST", "settings", self.change_settings),
            ("GET", "clock", self.show_clock),
            ("POST", "clock", self.advance_clock),
        ]
        return [
            Route(f"/sandbox/{path}", handler, methods=[method])
            for method, path, handler in table
        ]

    async def health(self, request: Request) -> Response:
        """The server answers and its storage can be read."""
        self._world.storage.setting("clock_offset_seconds", 0.0)
        return JSONResponse({"status": "ok", "path": request.url.path})

    async def payment_methods(self, _request: Request) -> Response:
        """The test payment methods, for a shop page to offer by name."""
        choices = [payment_methods.as_choice(it) for it in payment_methods.CATALOGUE]
        return JSONResponse({"data": choices})

    async def requests(self, request: Request) -> Response:
        """The request log, oldest line first."""
        query = request.query_params
        lines = request_log.read(
            self._world.storage,
            since=int(query.get("since", "0")),
            limit=min(int(query.get("limit", "1000")), _MOST_ROWS),
            checkout_id=query.get("checkout_id"),
            payment_intent=query.get("payment_intent"),
        )
        return JSONResponse({"data": lines})

    async def summary(self, _request: Request) -> Response:
        """Counts, and the succeeded charges of every checkout."""
        return JSONResponse(request_log.summary(self._world.storage))

    async def payment_intents(self, request: Request) -> Response:
        """PaymentIntents of a checkout, newest first."""
        found = self._world.storage.select(
            "payment_intent",
            limit=_MOST_ROWS,
            checkout_id=request.query_params.get("checkout_id"),
        )
        return JSONResponse({"data": found})

    async def plant_payment(self, request: Request) -> Response:
        """Make a payment that no shop asked for; answers with its charge."""
        wanted = outside.Wanted.read(await _body(request))
        with self._world.storage.transaction():
            charge = outside.pay(Work(world=self._world), wanted)
        self._webhooks.wake()
        return JSONResponse(charge, HTTPStatus.CREATED)

    async def settle_intent(self, request: Request) -> Response:
        """End a payment that is processing, or answer for the buyer at the bank."""
        succeeds = await _outcome(request)
        identifier = request.path_params["id"]
        with self._world.storage.transaction():
            work = Work(world=self._world)
            challenges = self._world.storage.select(
                "bank_challenge", limit=1, payment_intent=identifier
            )
            intent = intents.settle(work, identifier, succeeds=succeeds)
            if challenges and intent["status"] == "requires_action":
                approved = succeeds is not False
                intent = intents.authenticate(work, challenges[0], approved=approved)
        self._webhooks.wake()
        return JSONResponse(intent)

    async def settle_refund(self, request: Request) -> Response:
        """End a refund now; a failed one gives the money back to the merchant."""
        succeeds = await _outcome(request)
        with self._world.storage.transaction():
            refund = refunds.settle(
                Work(world=self._world), request.path_params["id"], succeeds=succeeds
            )
        self._webhooks.wake()
        return JSONResponse(refund)

    async def open_dispute(self, request: Request) -> Response:
        """Open a dispute of a charge, or of a PaymentIntent's charge."""
        wanted = await _body(request)
        storage = self._world.storage
        charge_id = wanted.get("charge")
        if charge_id is None:
            intent = storage.get(str(wanted.get("payment_intent")), "payment_intent")
            charge_id = intent["latest_charge"] if intent else None
        charge = storage.get(charge_id or "", "charge")
        if charge is None or charge["status"] != "succeeded":
            raise ValueError("Name a charge, or a payment_intent, that has succeeded.")
        reason = str(wanted.get("reason", "fraudulent"))
        with storage.transaction():
            work = Work(world=self._world)
            dispute = disputes.open_dispute(work, charge, reason=reason)
        self._webhooks.wake()
        return JSONResponse(dispute)

    async def list_faults(self, _request: Request) -> Response:
        """Every fault switch, spent ones too."""
        faults = [self._faults.describe(fault) for fault in self._faults.all()]
        return JSONResponse({"data": faults})

    async def set_fault(self, request: Request) -> Response:
        """Set a fault switch."""
        fault = self._faults.set(await _body(request))
        return JSONResponse(self._faults.describe(fault), HTTPStatus.CREATED)

    async def remove_faults(self, request: Request) -> Response:
        """Remove one switch or all; requests held there go on."""
        removed = self._faults.remove(request.path_params.get("id"))
        return JSONResponse({"removed": removed})

    async def show_fault(self, request: Request) -> Response:
        """One switch; with ``wait=hit``, once it was hit or the time is up."""
        fault = self._fault(request)
        query = request.query_params
        if query.get("wait") == "hit":
            patience = min(float(query.get("timeout", "20")), _LONGEST_POLL_SECONDS)
            hits = int(query.get("hits", "1"))
            await self._faults.wait_for_hits(fault, hits, patience)
        return JSONResponse(self._faults.describe(fault))

    async def release_fault(self, request: Request) -> Response:
        """Let the held requests go, and answer when they are done."""
        fault = self._fault(request)
        await self._faults.release(fault)
        return JSONResponse(self._faults.describe(fault))

    def _fault(self, request: Request) -> Fault:
        fault = self._faults.get(request.path_params["id"])
        if fault is None:
            raise ValueError(f"There is no fault {request.path_params['id']}.")
        return fault

    async def show_webhooks(self, _request: Request) -> Response:
        """How events are delivered."""
        return JSONResponse(asdict(self._world.switches.webhooks))

    async def change_webhooks(self, request: Request) -> Response:
        """Change how events are delivered."""
        changes = await _body(request)
        with self._world.storage.transaction():
            self._world.switches.change_webhooks(changes)
        self._webhooks.wake()
        return await self.show_webhooks(request)

    async def send_again(self, request: Request) -> Response:
        """Send one event again, or all that were withheld or given up."""
        event = (await _body(request)).get("event")
        return JSONResponse({"owed": self._webhooks.send_again(event)})

    async def deliveries(self, request: Request) -> Response:
        """The newest deliveries; with ``wait=settled``, once nothing is owed."""
        query = request.query_params
        if query.get("wait") == "settled":
            patience = min(float(query.get("timeout", "20")), _LONGEST_POLL_SECONDS)
            await self._webhooks.wait_until_settled(patience)
        limit = min(int(query.get("limit", "100")), _MOST_ROWS)
        return JSONResponse({"data": self._webhooks.recent(limit)})

    async def show_settings(self, _request: Request) -> Response:
        """How long slow outcomes take and what refunds do."""
        return JSONResponse(asdict(self._world.switches.settings))

    async def change_settings(self, request: Request) -> Response:
        """Change how long slow outcomes take or what refunds do."""
        changes = await _body(request)
        with self._world.storage.transaction():
            self._world.switches.change_settings(changes)
        return await self.show_settings(request)

    async def show_clock(self, _request: Request) -> Response:
        """The sandbox's time and how far it is ahead of real time."""
        clock = self._world.clock
        return JSONResponse(
            {"now": clock.now(), "offset_seconds": clock.offset_seconds}
        )

    async def advance_clock(self, request: Request) -> Response:
        """Move the clock; what falls due has happened when this answers."""
        wanted = await _body(request)
        seconds = float(wanted.get("advance_seconds", 0))
        with self._world.storage.transaction():
            self._world.clock.advance(seconds)
            pruned = self._keys.prune()
        fired = self._timers.fire_due()
        self._timers.wake()
        return JSONResponse(
            {
                "now": self._world.clock.now(),
                "offset_seconds": self._world.clock.offset_seconds,
                "timers_fired": fired,
                "idempotency_keys_pruned": pruned,
            }
        )


async def _body(request: Request) -> Json:
    raw = await request.body()
    if not raw:
        return {}
    decoded = json.loads(raw)
    if not isinstance(decoded, dict):
        raise ValueError("Send a JSON object.")
    return decoded


async def _outcome(request: Request) -> bool | None:
    """``{"outcome": "succeeded" | "failed"}``; absent means by its own nature."""
    wanted = (await _body(request)).get("outcome")
    known = {None: None, "succeeded": True, "failed": False}
    if wanted not in known:
        raise ValueError("outcome is succeeded or failed.")
    return known[wanted]


async def explain(_request: Request, error: Exception) -> Response:
    """A sentence about what is wrong with a control request."""
    status = error.status if isinstance(error, ApiError) else HTTPStatus.BAD_REQUEST
    return JSONResponse({"error": {"message": str(error)}}, status)


async def run_for_ever(timers: Timers, webhooks: Webhooks) -> None:
    """Timers and deliveries, until cancelled."""
    async with asyncio.TaskGroup() as group:
        group.create_task(timers.run())
        group.create_task(webhooks.run())
