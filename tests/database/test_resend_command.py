"""The operator's `resend` command, on real rows and with Temporal down."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from database.emails import record_email
from domain.emails import EmailKind
from domain.identifiers import derived_id
from domain.messages import EmailOutcome, RecordEmail
from domain.states import Stage
from operating import mails
from operating.address import ShopAddress
from operating.database import NotDone
from tests.conftest import Database
from tests.database.conftest import OpenCheckout

pytestmark = pytest.mark.postgres


async def test_refused_mail_is_sent_again_once_somebody_asks(
    shop: ShopAddress,
    database: Database,
    engine: AsyncEngine,
    open_checkout: OpenCheckout,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The row is owed again although Temporal is down, and it is kept who asked."""
    checkout_id = await open_checkout(Stage.CHARGED)

    def send_again() -> None:
        mails.send_again(shop, str(checkout_id), actor="dana", as_json=False)

    with pytest.raises(NotDone, match="no mail that was refused"):
        await asyncio.to_thread(send_again)
    async with engine.begin() as connection:
        await record_email(
            connection,
            RecordEmail(
                email_id=derived_id(checkout_id, EmailKind.RECEIPT),
                outcome=EmailOutcome(is_sent=False, refusal="550 5.1.1"),
            ),
        )

    await asyncio.to_thread(send_again)

    said = capsys.readouterr()
    assert "gets again: receipt. Temporal does not answer" in said.out
    with database.connect_as_owner() as owner:
        assert owner.execute("SELECT state, refusal FROM emails").fetchall() == [
            ("pending", None)
        ]
        assert owner.execute("SELECT actor, reason FROM repairs").fetchall() == [
            ("dana", "send again: receipt")
        ]
