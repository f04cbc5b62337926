"""``POST /holdfast/entitlements``: the signed call that opens, changes, closes access.

Standard Webhooks: the headers webhook-id, webhook-timestamp and webhook-signature; the
same webhook-id again answers the same and changes nothing. A change has a number that
grows: one that was held up on its way does not undo a newer one.

Fault actions; those that hold wait for release:

    error_500              500, nothing done
    gone_410               410, nothing done
    refuse                 connection cut, nothing done
    delay                  waits ``seconds``, then works
    act_then_drop_reply    works, then the connection is cut
    hold_then_act          waits, then works
    act_then_hold          works, then waits before it answers
    huge_answer            works, then answers three megabytes
"""

import json
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from sandbox.application.store import FIELDS, AccessStore
from sandbox.faults import Fault, Faults

ACTIONS = frozenset(
    {
        "error_500",
        "gone_410",
        "refuse",
        "delay",
        "act_then_drop_reply",
        "hold_then_act",
        "act_then_hold",
        "huge_answer",
    }
)
MATCHERS = frozenset({"type", "entitlement_id", "order_reference", "email"})

#: More than a Temporal history takes in one piece (2 MB).
_HUGE_BYTES = 3_000_000

_TYPES = ("entitlement.granted", "entitlement.changed", "entitlement.ended")

_REFUSALS = {"error_500": 500, "gone_410": 410}


class Provisioning:
    """The endpoint."""

    def __init__(self, store: AccessStore, faults: Faults, secret: str) -> None:
        self._store = store
        self._faults = faults
        self._webhook = Webhook(secret)

    async def receive(self, request: Request) -> Response:
        """Verify, misbehave if told to, act, answer."""
        try:
            body = self._verified(await request.body(), request)
        except ClientDisconnect:
            return Response(status_code=400)
        if body is None:
            self._store.count_rejected()
            return _problem(401, "The signature does not fit.")
        wrong = _mistake(body)
        if wrong:
            return _problem(422, wrong)
        facts = {"type": body["type"], **body["data"]}
        fault = self._faults.take(facts)
        if fault is None:
            return self._act(request, body)
        return await self._act_with(fault, request, body)

    def _verified(self, raw: bytes, request: Request) -> Any:
        """The body, or None when its signature does not fit."""
        try:
            return self._webhook.verify(raw, dict(request.headers))
        # The library lets malformed signatures out as plain ValueErrors.
        except (WebhookVerificationError, ValueError):
            return None

    async def _act_with(
        self, fault: Fault, request: Request, body: dict[str, Any]
    ) -> Response:
        if fault.action in _REFUSALS:
            await self._faults.hit(fault)
            return _problem(_REFUSALS[fault.action], "Told to fail by the sandbox.")
        if fault.action in ("hold_then_act", "delay"):
            await self._faults.hold(fault)
            # A caller who died meanwhile has still sent the call: it counts.
            return self._act(request, body)
        refused = fault.action == "refuse"
        answer = Response() if refused else self._act(request, body)
        if fault.action == "act_then_hold":
            await self._faults.hold(fault)
        elif fault.action == "huge_answer":
            await self._faults.hit(fault)
            return JSONResponse({"padding": "x" * _HUGE_BYTES})
        else:
            await self._faults.hit(fault)
            request.scope["drop"]()
        return answer

    def _act(self, request: Request, body: dict[str, Any]) -> Response:
        webhook_id, data = request.headers["webhook-id"], body["data"]
        if body["type"] == "entitlement.ended":
            self._store.end(webhook_id, data)
            return JSONResponse({"ended": data["entitlement_id"]})
        if body["type"] == "entitlement.changed":
            self._store.change(webhook_id, data)
            return JSONResponse({"changed": data["entitlement_id"]})
        access = self._store.grant(webhook_id, data)
        url = request.url_for("welcome", token=access.token)
        return JSONResponse({"access_url": str(url)})


def _mistake(body: Any) -> str | None:
    """What is wrong with a verified body, in a sentence."""
    if not isinstance(body, dict) or not isinstance(body.get("data"), dict):
        return "The body is an object with type, timestamp and data."
    if body.get("type") not in _TYPES:
        return f"The type {json.dumps(body.get('type'))} is unknown here."
    missing = [name for name in FIELDS if not isinstance(body["data"].get(name), str)]
    if missing:
        return f"data lacks {', '.join(missing)}."
    number = body["data"].get("change")
    if body["type"] == "entitlement.changed" and not _counts(number):
        return "data.change is a whole number above 0."
    return None


def _counts(number: object) -> bool:
    """Whether it can number a change; it need not go up by one."""
    return isinstance(number, int) and not isinstance(number, bool) and number > 0


def _problem(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status_code=status)
