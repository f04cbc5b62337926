"""Access activities: having the company's own application open, change or end access.

The call is signed as Standard Webhooks says (https://www.standardwebhooks.com): headers
`webhook-id`, `webhook-timestamp`, `webhook-signature` over id, time and body. The id is
the idempotency key: the application answers a repeated one as it did the first time.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from standardwebhooks.webhooks import Webhook
from temporalio import activity

from activities.failures import ApplicationAway, ApplicationRefused, sorted_failures
from activities.heartbeat import heartbeating
from database.orders import Grant
from domain.cadence import first_reminder
from domain.changes import ChangeEntitlement
from domain.identifiers import provisioning_key
from domain.links import web_address
from domain.messages import GrantEntitlement
from domain.refunds import EndEntitlement
from observability import metrics

#: The application opens access in its own database; ten seconds is already trouble.
REQUEST_TIMEOUT_SECONDS = 10.0

#: What the application may answer at the most; an address fits many times.
_MAX_ANSWER_BYTES = 16 * 1024
_MAX_URL_LENGTH = 2_000

#: Answers that may change by themselves: time-outs, conflicts, rate limits.
_PASSING = frozenset({408, 409, 425, 429})

ReadGrant = Callable[[UUID], Awaitable[Grant]]
#: Whose access, the address that the application told, when the customer hears next.
RecordAccess = Callable[
    [GrantEntitlement, str | None, datetime | None], Awaitable[datetime | None]
]
RecordAccessEnded = Callable[[EndEntitlement], Awaitable[None]]
#: Whose access was changed, and the number of the newest change that is known now.
RecordChangeTold = Callable[[ChangeEntitlement, int], Awaitable[None]]


class AccessActivities:
    """What a checkout asks of the company's application.

    Args:
        client: HTTP client without redirects; its time-out is set here.
        url: Where the application listens.
        secret: `whsec_...`, shared with the application.
        read_grant: Reads what to tell it, in a transaction that is closed before the
            call: the buyer's address must not travel through workflow histories.
        record_access: Writes that access is open, in one transaction after the call:
            the address that the application answers with opens an account, and must
            not travel through histories either.
        record_access_ended: Writes that access is over, in one transaction.
        record_change_told: Writes which changes the application knows, likewise.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        secret: str,
        *,
        read_grant: ReadGrant,
        record_access: RecordAccess,
        record_access_ended: RecordAccessEnded,
        record_change_told: RecordChangeTold,
    ) -> None:
        self._client = client
        self._url = url
        self._webhook = Webhook(secret)
        self._read_grant = read_grant
        self._record_access = record_access
        self._record_access_ended = record_access_ended
        self._record_change_told = record_change_told

    @activity.defn
    async def grant_entitlement(self, grant: GrantEntitlement) -> None:
        """Ask the application to open access, and write that it did.

        Repeat: the same key; the application opens once and answers the same, and the
            row is found written.
        Survives: a crash after the application acted loses only its answer; the next
            run asks again.

        Raises:
            ApplicationError: `ApplicationAway` and `DatabaseAway` are repeated,
                `ApplicationRefused` is not: a person must look at the application.
        """
        with sorted_failures():
            told = await self._read_grant(grant.entitlement_id)
            if told.is_ended:
                # A try that was held up until after the refund.
                return
            async with heartbeating():
                access_url = await self._tell("granted", told)
                charged_at = await self._record_access(
                    grant, access_url, first_reminder(told.starts_at, told.ends_at)
                )
        if charged_at is not None:
            _measure(charged_at)

    @activity.defn
    async def end_entitlement(self, end: EndEntitlement) -> None:
        """Tell the application that access is over, and write that it knows.

        Access that was never opened is ended too: the application then refuses a call
        to open it that was held up on its way.

        Repeat: the same key; the application closes once, and the row is found written.
        Survives: a crash after the application acted loses only its answer.

        Raises:
            ApplicationError: As `grant_entitlement`.
        """
        with sorted_failures():
            told = await self._read_grant(end.entitlement_id)
            async with heartbeating():
                await self._tell("ended", told)
                await self._record_access_ended(end)

    @activity.defn
    async def change_entitlement(self, change: ChangeEntitlement) -> None:
        """Tell the application how access stands after what a person changed.

        The number of the newest change goes along, and is part of the key: what is told
        under one key is always the same, and a late call is known as the older one.

        Repeat: the same key, or that of a change made since, which holds this one too;
            the rows are found written.
        Survives: a crash after the application acted loses only its answer; the next
            run tells the same again.

        Raises:
            ApplicationError: As `grant_entitlement`.
        """
        with sorted_failures():
            told = await self._read_grant(change.entitlement_id)
            if told.is_ended or not told.change:
                # A try that was held up until after the end.
                return
            async with heartbeating():
                await self._tell("changed", told, number=told.change)
                await self._record_change_told(change, told.change)

    async def _tell(
        self, effect: str, told: Grant, *, number: int | None = None
    ) -> str | None:
        turn = "" if number is None else f"-{number}"
        key = provisioning_key(told.entitlement_id, f"{effect}{turn}")
        now = datetime.now(UTC)
        content = _body(effect, told, now, number)
        body = json.dumps(content, separators=(",", ":"))
        try:
            async with self._client.stream(
                "POST",
                self._url,
                content=body,
                headers={
                    "content-type": "application/json",
                    "webhook-id": key,
                    "webhook-timestamp": str(int(now.timestamp())),
                    "webhook-signature": self._webhook.sign(key, now, body),
                },
                timeout=REQUEST_TIMEOUT_SECONDS,
                follow_redirects=False,
            ) as answer:
                _check(answer.status_code)
                return await _access_url(answer)
        except httpx.HTTPError as error:
            raise ApplicationAway(type(error).__name__) from None


def _measure(charged_at: datetime) -> None:
    # The processor tells whole seconds, so "at once" may come out negative.
    waited = max(timedelta(), datetime.now(UTC) - charged_at)
    activity.metric_meter().create_histogram_float(
        metrics.CHARGE_TO_ACCESS_SECONDS.name,
        metrics.CHARGE_TO_ACCESS_SECONDS.description,
    ).record(waited.total_seconds())


def _body(
    effect: str, told: Grant, now: datetime, number: int | None
) -> dict[str, object]:
    counted = {} if number is None else {"change": number}
    return {
        "type": f"entitlement.{effect}",
        "timestamp": now.isoformat(),
        "data": {
            "entitlement_id": str(told.entitlement_id),
            "order_reference": told.reference_code,
            "email": told.email,
            "plan": told.plan_id,
            "starts_at": told.starts_at.isoformat(),
            "ends_at": told.ends_at.isoformat(),
            **counted,
        },
    }


def _check(status: int) -> None:
    if httpx.codes.is_success(status):
        return
    if httpx.codes.is_server_error(status) or status in _PASSING:
        raise ApplicationAway(f"HTTP {status}")
    raise ApplicationRefused(f"HTTP {status}")


async def _access_url(answer: httpx.Response) -> str | None:
    """Read where the customer enters; an answer that says nothing usable is fine.

    The application is trusted to open access, not to fill our memory or our pages: a
    large answer is not read to its end, and only a web address is kept.
    """
    raw = b""
    async for chunk in answer.aiter_bytes():
        raw += chunk
        if len(raw) > _MAX_ANSWER_BYTES:
            return None
    try:
        url = json.loads(raw)["access_url"]
    except (ValueError, KeyError, TypeError):
        return None
    is_short = isinstance(url, str) and len(url) <= _MAX_URL_LENGTH
    return web_address(url) if is_short else None
