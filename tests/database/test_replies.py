"""Replies in the database: written once, sent as they stand, kept word for word."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from database.cases import open_case
from database.checkouts import read_checkout
from database.replies import (
    NewReply,
    OtherReply,
    find_replied,
    list_replies,
    list_waiting_replies,
    mark_reply_refused,
    mark_reply_sent,
    read_reply,
    write_reply_row,
)
from database.tables import cases
from domain.identifiers import mail_of, message_id
from domain.messages import OpenCase
from domain.replies import Situation
from domain.states import Stage
from mail.replies import ReplyRequest, kept_of, write_reply
from mail.replies.writing import promised_at
from tests.conftest import Database
from tests.database.conftest import OpenCheckout
from tests.specimens.replies import FACTS, NEXT, WAITING, reply_to, with_purchase

pytestmark = pytest.mark.postgres

REQUEST = reply_to(Situation.WENT_THROUGH, with_purchase(WAITING, next_message_at=NEXT))


def new_reply(checkout_id: UUID | None, request: ReplyRequest = REQUEST) -> NewReply:
    """A row as the console will write it."""
    request = replace(request, reply_id=uuid4())
    message = write_reply(request)
    body, digest = kept_of(request, message)
    return NewReply(
        reply_id=request.reply_id,
        checkout_id=checkout_id,
        situation=request.situation,
        author="dana",
        recipient=request.facts.email,
        subject=message["Subject"],
        opening=request.opening,
        body=body,
        body_hash=digest,
        message=message.as_bytes(),
        message_id=message["Message-ID"],
        promised_at=promised_at(request),
    )


async def test_a_letter_is_kept_word_for_word(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """What comes out is what went in: text, digest, mail and promise."""
    new = new_reply(await open_checkout(Stage.CHARGED))
    async with engine.begin() as connection:
        assert await write_reply_row(connection, new)
        kept = await read_reply(connection, new.reply_id)

    assert kept is not None
    for name in NewReply.__dataclass_fields__:
        assert getattr(kept, name) == getattr(new, name)
    assert kept.promised_at == NEXT
    assert (kept.sent_at, kept.refused) == (None, None)


async def test_pressing_twice_is_one_letter(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The same id with the same mail changes nothing, and is told so."""
    new = new_reply(await open_checkout(Stage.CHARGED))
    async with engine.begin() as connection:
        written = [await write_reply_row(connection, new) for _ in range(2)]
        kept = await list_replies(connection, _checkout(new))

    assert written == [True, False]
    assert [row.reply_id for row in kept] == [new.reply_id]


async def test_an_id_names_one_letter_for_ever(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """Other words under a used id, or a used Message-ID, are refused, not sent."""
    new = new_reply(await open_checkout(Stage.CHARGED))
    async with engine.begin() as connection:
        await write_reply_row(connection, new)
        for other in (
            replace(new, message=b"Subject: other\n\n"),
            replace(new, reply_id=uuid4()),
        ):
            with pytest.raises(OtherReply):
                await write_reply_row(connection, other)


async def test_a_letter_is_marked_sent_once(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """The time of the first hand-over stands; until then it waits."""
    new = new_reply(await open_checkout(Stage.CHARGED))
    async with engine.begin() as connection:
        await write_reply_row(connection, new)
        waiting = await list_waiting_replies(connection)
        marked = [await mark_reply_sent(connection, new.reply_id) for _ in range(2)]
        after = await list_waiting_replies(connection)
        kept = await read_reply(connection, new.reply_id)

    assert (waiting, after) == ((new.reply_id,), ())
    assert marked == [True, False]
    assert kept is not None
    assert kept.sent_at is not None


async def test_a_letter_that_came_back_says_so(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """It was sent, and it did not arrive: both stay written, the first word stands."""
    new = new_reply(await open_checkout(Stage.CHARGED))
    async with engine.begin() as connection:
        await write_reply_row(connection, new)
        await mark_reply_sent(connection, new.reply_id)
        marked = [
            await mark_reply_refused(connection, new.reply_id, code)
            for code in ("550 5.1.1", "5.2.2")
        ]
        kept = await read_reply(connection, new.reply_id)

    assert marked == [True, False]
    assert kept is not None
    assert kept.refused == "550 5.1.1"
    assert kept.sent_at is not None


async def test_letters_are_listed_in_their_order(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A case shows what was written, oldest first, and nothing of another customer."""
    mine, other = await open_checkout(Stage.CHARGED), await open_checkout(Stage.CHARGED)
    new = [new_reply(mine), new_reply(other), new_reply(mine)]
    for one in new:
        async with engine.begin() as connection:
            await write_reply_row(connection, one)

    async with engine.connect() as connection:
        kept = await list_replies(connection, mine)
    assert [row.reply_id for row in kept] == [new[0].reply_id, new[2].reply_id]


async def test_a_letter_without_a_purchase_belongs_to_a_case(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """A stranger is answered too; a letter about nothing at all is not kept."""
    checkout_id = await open_checkout(Stage.CHARGED)
    request = reply_to(Situation.SOMEBODY_ELSE, replace(FACTS, purchase=None))
    async with engine.begin() as connection:
        await open_case(
            connection,
            OpenCase(checkout_id=checkout_id, step="x", cause="Wrote", detail="."),
        )
        case_id = (await connection.execute(select(cases.c.case_id))).scalar_one()
        new = replace(new_reply(None, request), case_id=case_id)
        await write_reply_row(connection, new)
        kept = await read_reply(connection, new.reply_id)

    assert kept is not None
    assert (kept.case_id, kept.checkout_id) == (case_id, None)
    with pytest.raises(IntegrityError, match="ck_replies_has_subject"):
        async with engine.begin() as connection:
            await write_reply_row(connection, new_reply(None, request))


async def test_an_answer_to_a_letter_finds_it(
    engine: AsyncEngine, open_checkout: OpenCheckout
) -> None:
    """By its Message-ID, and only together with the order that it names."""
    new = new_reply(await open_checkout(Stage.CHARGED))
    kind = f"reply-{new.reply_id.hex}"
    async with engine.begin() as connection:
        await write_reply_row(connection, new)
        row = await read_checkout(connection, _checkout(new))
        names = [
            mail_of(message_id(reference, kind, "acme.test"))
            for reference in (row.reference_code, "ORD-2222-3333")
        ]
        found = [await find_replied(connection, name) for name in names]
        none = await find_replied(connection, replace(names[0], kind="receipt"))

    assert found == [(new.reply_id, new.checkout_id), None]
    assert none is None


async def test_the_application_cannot_rewrite_what_was_said(
    engine: AsyncEngine, database: Database, open_checkout: OpenCheckout
) -> None:
    """Only that it left or came back may be added; the words stand as they were."""
    new = new_reply(await open_checkout(Stage.CHARGED))
    async with engine.begin() as connection:
        await write_reply_row(connection, new)
    url = database.app_url.replace("postgresql+psycopg://", "postgresql://")

    with psycopg.connect(url, autocommit=True) as app:
        for statement in (
            "UPDATE replies SET body = 'x'",
            "UPDATE replies SET author = 'x'",
            "UPDATE replies SET message = ''",
            "DELETE FROM replies",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement.encode())


def _checkout(new: NewReply) -> UUID:
    assert new.checkout_id is not None
    return new.checkout_id
