"""What the company's application answers, as far as a row keeps it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest

from activities.access import AccessActivities
from database.orders import Grant
from domain.changes import ChangeEntitlement
from domain.messages import GrantEntitlement
from domain.refunds import EndEntitlement
from tests.activities.conftest import run

STARTS_AT = datetime(2026, 11, 23, 14, 32, tzinfo=UTC)
GRANT = Grant(
    entitlement_id=UUID(int=2),
    checkout_id=UUID(int=1),
    reference_code="ORD-7K2M-9QXD",
    email="mara@example.com",
    plan_id="one-year",
    starts_at=STARTS_AT,
    ends_at=STARTS_AT + timedelta(days=365),
)


async def _kept_of(answer: str) -> list[str | None]:
    """Open access at an application that answers so, and return what was kept."""
    kept: list[str | None] = []

    async def read(_: UUID) -> Grant:
        return GRANT

    async def record(
        _: GrantEntitlement, access_url: str | None, __: datetime | None
    ) -> None:
        kept.append(access_url)

    async def unasked(_: EndEntitlement) -> None:
        raise AssertionError

    async def unasked_change(_: ChangeEntitlement, __: int) -> None:
        raise AssertionError

    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, json={"access_url": answer})
    )
    async with httpx.AsyncClient(transport=transport) as client:
        activities = AccessActivities(
            client,
            "https://app.test/holdfast",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            read_grant=read,
            record_access=record,
            record_access_ended=unasked,
            record_change_told=unasked_change,
        )
        request = GrantEntitlement(
            checkout_id=GRANT.checkout_id,
            entitlement_id=GRANT.entitlement_id,
            was_interrupted=False,
        )
        await run(activities.grant_entitlement, request)
    return kept


@pytest.mark.parametrize(
    "answer",
    ["https:///x", "https://[bad", "javascript:x", "", f"https://a/{'x' * 2000}"],
)
async def test_an_address_that_leads_nowhere_is_not_kept(answer: str) -> None:
    """What no page can show and no mail can carry never reaches a row."""
    assert await _kept_of(answer) == [None]


async def test_where_the_customer_enters_is_kept_as_it_is_told() -> None:
    """The way in is the application's own."""
    assert await _kept_of("https://app.test/in?a=1") == ["https://app.test/in?a=1"]
