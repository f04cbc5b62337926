"""The check that other tests end with: no promise of ours without its follow-up."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from database.cases import open_case
from database.correspondence import plan_correspondence
from database.emails import record_email
from domain.cadence import FIRST_WORD_AFTER
from domain.messages import EmailOutcome, OpenCase, PlanCorrespondence, RecordEmail
from domain.states import Stage
from domain.working_hours import WorkingHours
from tests.conftest import Database
from tests.database.conftest import CHARGED_AT, OpenCheckout
from tests.promises import assert_no_promise_is_overdue, unkept_promises

pytestmark = pytest.mark.postgres

HOURS = WorkingHours.parse("Monday to Friday, 09:00 to 17:00 UTC")


async def test_promise_without_follow_up_is_found(
    database: Database, engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Something must be there to keep it; past its time only a case excuses."""
    checkout_id = await open_checkout(Stage.CHARGED)
    at = CHARGED_AT + FIRST_WORD_AFTER
    async with engine.begin() as connection:
        owed = await plan_correspondence(
            connection, PlanCorrespondence(checkout_id=checkout_id, now=at), HOURS
        )
        await record_email(
            connection,
            RecordEmail(email_id=owed.email_ids[0], outcome=EmailOutcome(is_sent=True)),
        )
        await connection.execute(
            text("UPDATE emails SET state = 'needless' WHERE state = 'pending'")
        )
    found = []
    with database.connect_as_owner() as owner:
        for change in (
            "UPDATE promises SET due_at = now() + interval '1 hour'",
            "UPDATE checkouts SET next_message_at = now() + interval '9 minutes'",
            "UPDATE checkouts SET next_message_at = now() + interval '1 day'",
            "UPDATE promises SET due_at = now() - interval '1 minute'",
            "UPDATE promises SET due_at = now() - interval '1 hour'",
        ):
            owner.execute(change.encode())
            found.append(len(unkept_promises(owner)))
        async with engine.begin() as connection:
            await open_case(
                connection,
                OpenCase(
                    checkout_id=checkout_id,
                    step="find out what the customer must hear",
                    cause="PromiseOverdue",
                    detail=".",
                ),
            )
        assert_no_promise_is_overdue(owner)

    assert found == [0, 0, 1, 0, 1]
