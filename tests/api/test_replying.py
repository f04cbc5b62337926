"""Answering a customer from the console: one letter, once, in the thread, on record."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from email import message_from_bytes
from html import unescape
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.starter import Starter
from database.cases import open_case
from database.console import resolve_case
from database.correspondence import plan_correspondence
from database.emails import record_email
from domain.cadence import PROMISE_GRACE
from domain.identifiers import derived_id
from domain.messages import EmailOutcome, OpenCase, PlanCorrespondence, RecordEmail
from domain.working_hours import WorkingHours
from mail.sender import MailDeferred, MailRefused
from tests.api.doubles import Opened, Shop, text_of
from tests.api.staffing import Colleague, actions, hire

pytestmark = pytest.mark.postgres

HOURS = WorkingHours.parse("Monday to Friday, 09:00 to 17:00 UTC")


@pytest.fixture
async def dana(shop: Shop) -> Colleague:
    """Somebody of support who is signed in."""
    return await hire(shop)


async def asking(shop: Shop, *, access: str = "ACTIVE") -> Opened:
    """A customer who paid and wrote to us."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging' WHERE stage='requested'")
    shop.charge(opened, access=access)
    await shop.browser.post(
        f"{opened.path}/message", data={"text": "I paid, I see nothing."}
    )
    return opened


def editor_of(opened: Opened) -> str:
    """Return the address of the reply."""
    return f"/support/checkouts/{opened.checkout_id}/reply"


def fields_of(html: str) -> dict[str, str]:
    """Return what the editor's form would send, unconfirmed."""
    form = html[html.index('<form class="editor"') :]
    hidden = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)
    opening = re.search(r'name="opening"[^>]*>(.*?)</textarea>', form, re.DOTALL)
    fields = {name: unescape(value) for name, value in hidden}
    return fields | {"opening": unescape(opening[1]) if opening else ""}


async def press(colleague: Colleague, opened: Opened, **changes: str) -> httpx.Response:
    """Open the editor, confirm the opening, and send."""
    shown = await colleague.browser.get(editor_of(opened))
    fields = fields_of(shown.text) | {"confirmed": "true", "step": "send"} | changes
    return await colleague.browser.post(editor_of(opened), data=fields)


def replies(shop: Shop) -> list[tuple[Any, ...]]:
    """Return author, situation, whether it left, and the refusal of each letter."""
    return shop.sql(
        "SELECT author, situation, sent_at IS NOT NULL, refused FROM replies"
    )


def cause(shop: Shop) -> list[tuple[Any, ...]]:
    """Return state and cause of the one case."""
    return shop.sql("SELECT state, cause FROM cases")


async def test_one_press_sends_what_was_shown(shop: Shop, dana: Colleague) -> None:
    """The letter that leaves is the one of the preview, on record in three places."""
    opened = await asking(shop)
    shown = await dana.browser.get(editor_of(opened))
    said = unescape(text_of(shown.text))
    assert "I paid, I see nothing." in said

    answer = await press(dana, opened)

    assert answer.headers["location"].endswith("?said=reply-sent")
    (letter,) = shop.mailer.letters
    part = letter.get_body(("plain",))
    assert part is not None
    text = re.sub(r"\s+", " ", str(part.get_content())).strip()
    assert text in re.sub(r"\s+", " ", said)
    assert letter["To"] == "mara@example.com"
    assert replies(shop) == [("dana", "went-through", True, None)]
    ((_, _, _, about),) = [one for one in actions(shop) if one[1] == "reply.signed"]
    assert about["situation"] == "went-through"
    assert cause(shop) == [("resolved", "CustomerWrote")]
    page = await dana.browser.get(answer.headers["location"])
    told = unescape(text_of(page.text))
    assert "wrote: I paid, I see nothing." in told
    assert "it has left" in told
    assert "Waits for an answer" not in told


async def test_an_opening_that_nobody_read_does_not_leave(
    shop: Shop, dana: Colleague
) -> None:
    """Without the tick the letter stays, and the words beside the field say why."""
    opened = await asking(shop)

    answer = await press(dana, opened, confirmed="false")

    assert "Confirm it, or change it." in unescape(text_of(answer.text))
    assert shop.mailer.letters == []


async def test_what_was_changed_is_shown_before_it_leaves(
    shop: Shop, dana: Colleague
) -> None:
    """A press after an edit shows the new letter; the next press sends it."""
    opened = await asking(shop)
    words = "Yes, we have your $249.00. You don't need to do anything."

    first = await press(dana, opened, opening=words)
    assert "press once more" in unescape(text_of(first.text))
    assert shop.mailer.letters == []
    fields = fields_of(first.text) | {"confirmed": "true", "step": "send"}
    await dana.browser.post(editor_of(opened), data=fields)

    assert shop.sql("SELECT opening FROM replies") == [(words,)]
    assert len(shop.mailer.letters) == 1


async def test_hard_words_keep_the_letter(shop: Shop, dana: Colleague) -> None:
    """The lint speaks beside the field, and nothing leaves."""
    opened = await asking(shop)

    answer = await press(dana, opened, opening="We apologize for the inconvenience!")

    said = unescape(text_of(answer.text))
    assert "“inconvenience”" in said
    assert 'aria-invalid="true"' in answer.text
    assert replies(shop) == []


async def test_two_people_pressing_at_once_are_one_mail(
    shop: Shop, dana: Colleague
) -> None:
    """Both have the editor open: one letter leaves, and the other is told."""
    kim, opened = await hire(shop, "kim"), await asking(shop)
    pages = [await one.browser.get(editor_of(opened)) for one in (dana, kim)]
    forms = [
        fields_of(page.text) | {"confirmed": "true", "step": "send"} for page in pages
    ]

    answers = await asyncio.gather(
        *(
            one.browser.post(editor_of(opened), data=form)
            for one, form in zip((dana, kim), forms, strict=True)
        )
    )
    await shop.settle()

    assert forms[0]["reply_id"] == forms[1]["reply_id"]
    said = sorted(one.headers["location"].partition("said=")[2] for one in answers)
    assert said == ["reply-by-other", "reply-sent"]
    assert len(shop.mailer.letters) == len(replies(shop)) == 1


async def test_pressed_twice_it_is_one_mail(shop: Shop, dana: Colleague) -> None:
    """The same form again finds the letter that left."""
    opened = await asking(shop)
    shown = await dana.browser.get(editor_of(opened))
    form = fields_of(shown.text) | {"confirmed": "true", "step": "send"}
    await dana.browser.post(editor_of(opened), data=form)

    again = await dana.browser.post(editor_of(opened), data=form)

    assert again.headers["location"].endswith("?said=reply-twice")
    assert len(shop.mailer.letters) == 1


async def test_a_letter_that_lacks_a_fact_names_it(shop: Shop, dana: Colleague) -> None:
    """Before access is open a letter waits for a time; choosing it holds the case."""
    opened = await asking(shop, access="PENDING")
    address = f"{editor_of(opened)}?situation=went-through"

    shown = await dana.browser.get(address)
    assert "By when they hear from us next" in text_of(shown.text)
    form = fields_of(shown.text) | {"next_key": "4h", "step": "show", "opening": ""}
    shown = await dana.browser.post(editor_of(opened), data=form)
    form = fields_of(shown.text) | {
        **{"next_key": "4h", "step": "send", "confirmed": "true"}
    }
    answer = await dana.browser.post(editor_of(opened), data=form)

    assert answer.headers["location"].endswith("?said=reply-sent"), answer.text
    held = "SELECT held_until = promised_at FROM cases JOIN replies USING (checkout_id)"
    assert shop.sql(held) == [(True,)]
    assert cause(shop)[0][0] != "resolved"


async def test_a_crash_before_the_mail_is_made_good(
    shop: Shop, dana: Colleague
) -> None:
    """The row stands first: the starter loop hands the same mail over, under its id."""
    opened = await asking(shop)
    shop.mailer.refusal = MailDeferred("421")
    answer = await press(dana, opened)
    assert answer.headers["location"].endswith("?said=reply-waits")
    shop.mailer.refusal = None
    starter = Starter(shop.parts)

    await starter.round()
    await shop.settle()
    assert shop.mailer.letters == []  # Somebody is at it for a minute.
    shop.sql("UPDATE replies SET tried_at = now() - interval '2 minutes'")
    for _ in range(2):
        await starter.round()
        await shop.settle()

    (letter,) = shop.mailer.letters
    ((raw, named),) = shop.sql("SELECT message, message_id FROM replies")
    assert letter["Message-ID"] == named
    assert letter.as_bytes() == message_from_bytes(bytes(raw)).as_bytes()
    assert replies(shop) == [("dana", "went-through", True, None)]


async def test_a_letter_is_not_put_off_for_ever(shop: Shop, dana: Colleague) -> None:
    """After five days of trying, ever less often, a person hears that it did not go."""
    opened = await asking(shop)
    shop.mailer.refusal = MailDeferred("421 4.7.0")
    await press(dana, opened)
    starter = Starter(shop.parts)
    # It has waited for 40 minutes, so the next try comes ten minutes after the last.
    shop.sql(
        "UPDATE replies SET created_at = now() - interval '45 minutes',"
        " tried_at = now() - interval '5 minutes'"
    )
    await starter.round()
    await shop.settle()
    ((waits,),) = shop.sql("SELECT tried_at < now() - interval '4 min' FROM replies")
    shop.sql(
        "UPDATE replies SET created_at = now() - interval '5 days',"
        " tried_at = now() - interval '1 hour 1 min'"
    )

    await starter.round()
    await shop.settle()

    assert waits
    ((_, _, has_left, refused),) = replies(shop)
    assert not has_left
    assert "five days" in refused
    assert "421 4.7.0" in refused
    assert cause(shop) == [("open", "LetterRefused")]


async def test_a_final_refusal_opens_the_case_again(
    shop: Shop, dana: Colleague
) -> None:
    """The person is told, the letter's row says why, and somebody has to look."""
    opened = await asking(shop)
    shop.mailer.refusal = MailRefused("550 5.1.1")

    answer = await press(dana, opened)

    assert answer.headers["location"].endswith("?said=reply-refused")
    assert replies(shop) == [("dana", "went-through", False, "550 5.1.1")]
    assert cause(shop) == [("open", "LetterRefused")]


async def test_a_letter_keeps_what_was_promised(shop: Shop, dana: Colleague) -> None:
    """Earlier promises are kept by it, and an overdue one calls nobody any more."""
    opened, email_id = await asking(shop), uuid4()
    shop.sql(
        "INSERT INTO emails (email_id, checkout_id, kind, sequence, state, sent_at)"
        " VALUES (%s, %s, 'received', 1, 'sent', now())",
        email_id,
        opened.checkout_id,
    )
    shop.sql(
        "INSERT INTO promises (promise_id, email_id, checkout_id, due_at, by_person)"
        " VALUES (%s, %s, %s, now() - interval '1 hour', true)",
        email_id,
        email_id,
        opened.checkout_id,
    )
    shop.sql("UPDATE cases SET cause = 'PromiseOverdue'")

    await press(dana, opened)

    assert shop.sql("SELECT kept_by FROM promises") == [("reply",)]
    assert cause(shop) == [("resolved", "PromiseOverdue")]
    assert shop.sql("SELECT count(*) FROM findings WHERE over_at IS NULL") == [(0,)]
    named = shop.mailer.letters[0]["In-Reply-To"]
    assert str(named).startswith("<received.ord-")


async def with_time(colleague: Colleague, opened: Opened) -> httpx.Response:
    """Sign a letter that says that we write again within four hours."""
    chosen = {"next_key": "4h", "step": "show", "opening": ""}
    shown = await colleague.browser.get(f"{editor_of(opened)}?situation=went-through")
    shown = await colleague.browser.post(
        editor_of(opened), data=fields_of(shown.text) | chosen
    )
    sending = {"next_key": "4h", "step": "send", "confirmed": "true"}
    return await colleague.browser.post(
        editor_of(opened), data=fields_of(shown.text) | sending
    )


async def test_a_time_that_a_letter_names_is_a_promise(
    shop: Shop, dana: Colleague
) -> None:
    """It has a row of its own, which no automatic mail keeps and the next letter does.

    A person is told when nobody wrote by then, and who closes that case ends it.
    """
    opened = await asking(shop, access="PENDING")
    answer = await with_time(dana, opened)
    page = unescape(text_of((await dana.browser.get(answer.headers["location"])).text))
    ((due_at, by_person, next_at),) = shop.sql(
        "SELECT due_at, by_person, next_message_at FROM promises"
        " JOIN checkouts USING (checkout_id)"
    )
    first = PlanCorrespondence(checkout_id=opened.checkout_id, now=due_at)
    async with shop.parts.engine.begin() as connection:
        owed = await plan_correspondence(connection, first, HOURS)
        for email_id in owed.email_ids:
            sent = RecordEmail(email_id=email_id, outcome=EmailOutcome(is_sent=True))
            await record_email(connection, sent)
        late = replace(first, now=due_at + PROMISE_GRACE)
        overdue = await plan_correspondence(connection, late, HOURS)
    open_letters = "SELECT kept_by FROM promises WHERE reply_id IS NOT NULL"

    assert by_person
    assert next_at <= due_at
    assert "a person writes by" in page
    assert owed.email_ids
    assert overdue.is_promise_overdue
    assert shop.sql(open_letters) == [(None,)]
    await with_time(dana, opened)
    assert sorted(shop.sql(open_letters), key=str) == [("reply",), (None,)]
    shop.sql("UPDATE promises SET due_at = now() WHERE kept_at IS NULL")
    async with shop.parts.engine.begin() as connection:
        await resolve_case(connection, derived_id(opened.checkout_id, "case"))
    assert shop.sql(f"{open_letters} AND kept_by <> 'reply'") == [("case closed",)]


async def test_who_wrote_again_meanwhile_is_not_answered(
    shop: Shop, dana: Colleague
) -> None:
    """A message that came after the letter was signed keeps the case open."""
    opened = await asking(shop)
    shop.mailer.refusal = MailDeferred("421")
    await press(dana, opened)
    await shop.browser.post(f"{opened.path}/message", data={"text": "Any news?"})
    shop.mailer.refusal = None
    shop.sql("UPDATE replies SET tried_at = now() - interval '2 minutes'")

    await Starter(shop.parts).round()
    await shop.settle()

    assert len(shop.mailer.letters) == 1
    assert cause(shop) == [("open", "CustomerWrote")]


async def test_every_letter_opens_in_the_editor(shop: Shop, dana: Colleague) -> None:
    """Each of the eighteen is shown, ready, blocked or untrue, and none breaks."""
    opened = await asking(shop)
    page = await dana.browser.get(editor_of(opened))

    paths = set(re.findall(r'href="([^"]+/reply\?situation=[a-z-]+)"', page.text))

    assert len(paths) == 18
    for path in paths:
        assert (await dana.browser.get(path)).status_code == 200, path


async def test_no_such_checkout_has_no_editor(dana: Colleague) -> None:
    """An address that somebody guessed leads nowhere."""
    answer = await dana.browser.get(f"/support/checkouts/{uuid4()}/reply")

    assert answer.status_code == 404


async def test_an_answer_closes_nothing_else(shop: Shop, dana: Colleague) -> None:
    """A refund that failed is still ours to settle when the customer was answered."""
    opened = await asking(shop)
    case = OpenCase(
        checkout_id=opened.checkout_id, step="refund", cause="RefundFailed", detail="."
    )
    async with shop.parts.engine.begin() as connection:
        await open_case(connection, case)
        await open_case(connection, replace(case, cause="CustomerWrote", step="answer"))

    await press(dana, opened)
    await shop.settle()

    assert replies(shop)[0][2]
    assert cause(shop) == [("open", "RefundFailed")]
    assert shop.sql("SELECT error FROM findings WHERE over_at IS NULL") == [
        ("RefundFailed",)
    ]


async def test_a_letter_whose_promise_has_passed_stays(
    shop: Shop, dana: Colleague
) -> None:
    """A mail server that was away for long makes us say no time that is over."""
    opened = await asking(shop, access="PENDING")
    shop.mailer.refusal = MailDeferred("421")
    await press(dana, opened)
    shop.mailer.refusal = None
    shop.sql(
        "UPDATE replies SET tried_at = now() - interval '2 hours',"
        " promised_at = now() - interval '1 hour'"
    )
    starter = Starter(shop.parts)

    await starter.round()
    await shop.settle()

    assert shop.mailer.letters == []
    ((_, _, has_left, refused),) = replies(shop)
    assert (has_left, "time that it names passed" in refused) == (False, True)
    assert cause(shop) == [("open", "LetterRefused")]
