"""Mail that comes back: bounces, answers, and everything that only looks like them."""

from __future__ import annotations

import io
import time
from typing import Any
from uuid import uuid4

import httpx
import pytest

from domain.identifiers import message_id
from mail.inbound import read_mail
from tests.api.doubles import BEARER, Opened, Shop

pytestmark = pytest.mark.postgres

TYPE = {"content-type": "message/rfc822"}
CANARY = "the canary of this test"


async def hand_in(shop: Shop, mail: str | bytes, **headers: str) -> httpx.Response:
    """Send a mail as the MTA's pipe does."""
    raw = mail.encode() if isinstance(mail, str) else mail
    return await shop.browser.post(
        "/v1/mail", content=raw, headers=BEARER | TYPE | headers
    )


async def owe(shop: Shop, state: str = "sent", kind: str = "declined") -> Opened:
    """Open a checkout whose customer got a mail."""
    opened = await shop.open()
    shop.sql(
        "INSERT INTO emails (email_id, checkout_id, kind, sequence, state, sent_at)"
        " VALUES (%s, %s, %s, 2, %s, now())",
        uuid4(),
        opened.checkout_id,
        kind,
        state,
    )
    return opened


def id_of(shop: Shop, opened: Opened, kind: str = "declined") -> str:
    """Return the Message-ID of what `owe` wrote."""
    ((reference,),) = shop.sql(
        "SELECT reference_code FROM checkouts WHERE checkout_id=%s", opened.checkout_id
    )
    return message_id(reference, kind, "acme.test", 2)


def bounce(
    named: str,
    *,
    action: str = "failed",
    status: str = "5.1.1",
    returned: str = "message/rfc822",
    own: str = "<b1@mx.example>",
    top: str = "",
) -> str:
    """Write a delivery status notification as mail servers do."""
    return (
        f"From: MAILER-DAEMON@mx.example\nMessage-ID: {own}\n{top}"
        "Auto-Submitted: auto-replied\nMIME-Version: 1.0\n"
        "Content-Type: multipart/report; report-type=delivery-status;"
        ' boundary="b"\n\n'
        f"--b\nContent-Type: text/plain\n\n{CANARY}\n"
        "--b\nContent-Type: message/delivery-status\n\n"
        "Reporting-MTA: dns; mx.example\n\n"
        f"Final-Recipient: rfc822; mara@example.com\nAction: {action}\n"
        f"Status: {status}\nDiagnostic-Code: smtp; 550 {CANARY}\n\n"
        f"--b\nContent-Type: {returned}\n\n"
        f"Subject: {CANARY}\nMessage-ID: {named}\n\n{CANARY}\n--b--\n"
    )


def reply(named: str, *, own: str = "<r1@example.com>", top: str = "") -> str:
    """Write a customer's answer."""
    return (
        f"From: mara@example.com\nMessage-ID: {own}\nIn-Reply-To: {named}\n{top}"
        f"Subject: Re: {CANARY}\n\n{CANARY}\n"
    )


def stands(shop: Shop) -> tuple[Any, ...]:
    """Return state and refusal of the mail, the case's cause and who was heard."""
    ((state, refusal),) = shop.sql("SELECT state, refusal FROM emails")
    causes = shop.sql("SELECT cause FROM cases")
    ((is_heard, is_seen),) = shop.sql(
        "SELECT heard_at IS NOT NULL, attention_at IS NOT NULL FROM checkouts"
    )
    return state, refusal, [cause for (cause,) in causes], is_heard, is_seen


def everything(shop: Shop) -> str:
    """Return every row that may be written because of a mail."""
    tables = ("processor_events", "emails", "cases", "checkouts", "audit")
    return repr([shop.sql(f"SELECT t::text FROM {t} t") for t in tables])  # noqa: S608  # Our own names.


@pytest.mark.parametrize(
    "returned",
    ["message/rfc822", "text/rfc822-headers", "message/rfc822-headers"],
)
async def test_a_bounce_opens_a_case(
    shop: Shop, log_lines: io.StringIO, returned: str
) -> None:
    """The mail has failed although it was sent; nothing that others wrote is kept."""
    opened = await owe(shop)

    answer = await hand_in(shop, bounce(id_of(shop, opened), returned=returned))

    assert (answer.status_code, answer.json()) == (202, {"outcome": "bounced"})
    assert stands(shop) == ("failed", "5.1.1", ["MailBounced"], False, True)
    ((step, detail),) = shop.sql("SELECT step, detail FROM cases")
    assert (step, detail) == ("send a mail", "declined:2 came back (5.1.1).")
    assert CANARY not in everything(shop) + log_lines.getvalue()
    assert "mara@" not in log_lines.getvalue()


async def test_a_notice_that_comes_back_is_nobodys_case(shop: Shop) -> None:
    """It went to an address that was given up; that it is wrong was known before."""
    opened = await owe(shop, kind="address-changed")
    shop.sql("UPDATE emails SET recipient='mara@exmaple.com'")

    answer = await hand_in(shop, bounce(id_of(shop, opened, "address-changed")))

    assert answer.status_code == 202
    assert stands(shop) == ("failed", "5.1.1", [], False, False)


async def test_whoever_answers_a_notice_is_heard(shop: Shop) -> None:
    """Somebody did not want their order to have another address: it is a case."""
    opened = await owe(shop, kind="address-changed")
    shop.sql("UPDATE emails SET recipient='mara@example.com'")

    await hand_in(shop, reply(id_of(shop, opened, "address-changed")))

    assert stands(shop)[2] == ["AddressDisputed"]
    # It is not the customer's word, as far as anybody knows.
    assert shop.sql("SELECT heard_at FROM checkouts") == [(None,)]


@pytest.mark.parametrize(
    ("action", "status", "after"),
    [
        ("failed", "4.4.7", ("failed", "4.4.7", ["MailBounced"], False, True)),
        ("FAILED", "none", ("failed", "bounced", ["MailBounced"], False, True)),
        ("delayed", "4.4.1", ("sent", None, [], False, False)),
        ("relayed", "2.0.0", ("sent", None, [], False, False)),
        ("", "5.1.1", ("sent", None, [], False, False)),
    ],
)
async def test_only_a_last_word_is_a_bounce(
    shop: Shop, action: str, status: str, after: tuple[Any, ...]
) -> None:
    """Who gave up has failed, whatever its code; who still tries has not."""
    opened = await owe(shop)

    answer = await hand_in(
        shop, bounce(id_of(shop, opened), action=action, status=status)
    )

    assert answer.status_code == 202
    assert stands(shop) == after
    # It is noted as applied: no hint waits for anybody.
    assert shop.sql("SELECT applied_at IS NOT NULL FROM processor_events") == [(True,)]


async def test_a_bounce_may_name_our_mail_in_its_headers(shop: Shop) -> None:
    """Without the returned mail, In-Reply-To tells what came back."""
    named = id_of(shop, await owe(shop))

    mail = bounce("<x@y>", top=f"In-Reply-To: {named}\n")

    assert (await hand_in(shop, mail)).json() == {"outcome": "bounced"}


async def test_a_mail_that_has_not_left_cannot_come_back(shop: Shop) -> None:
    """A forged bounce does not keep a mail from leaving; a person looks at it."""
    opened = await owe(shop, state="pending")

    await hand_in(shop, bounce(id_of(shop, opened)))

    assert stands(shop) == ("pending", None, ["MailBounced"], False, True)


@pytest.mark.parametrize("header", ["In-Reply-To", "References"])
async def test_an_answer_is_heard_and_shown_to_a_person(
    shop: Shop, log_lines: io.StringIO, header: str
) -> None:
    """Who wrote needs no reminder; what they wrote stays in the mailbox."""
    named = id_of(shop, await owe(shop))
    mail = reply(f"<a@b>\n {named.upper()}").replace("In-Reply-To", header)

    answer = await hand_in(shop, mail)

    assert (answer.status_code, answer.json()) == (202, {"outcome": "reply"})
    assert stands(shop) == ("sent", None, ["CustomerWrote"], True, True)
    assert CANARY not in everything(shop) + log_lines.getvalue()


@pytest.mark.parametrize(
    "top",
    [
        "Auto-Submitted: auto-replied (vacation)\n",
        "X-Auto-Response-Suppress: All\n",
        "Precedence: bulk\n",
        "Precedence: auto_reply\n",
        "Return-Path: <>\n",
    ],
)
async def test_a_program_is_not_a_person(shop: Shop, top: str) -> None:
    """An absence note cancels no reminder and opens no case."""
    named = id_of(shop, await owe(shop))

    answer = await hand_in(shop, reply(named, top=top))

    assert answer.json() == {"outcome": "automatic"}
    assert stands(shop) == ("sent", None, [], False, False)


async def test_auto_submitted_no_is_a_person(shop: Shop) -> None:
    """RFC 3834 has a word for mail that a person wrote."""
    named = id_of(shop, await owe(shop))

    answer = await hand_in(shop, reply(named, top="Auto-Submitted: no\n"))

    assert answer.json() == {"outcome": "reply"}


@pytest.mark.parametrize("own", ["<m1@example.com>", "none"])
@pytest.mark.parametrize("write", [bounce, reply])
async def test_the_same_mail_twice_counts_once(
    shop: Shop, write: Any, own: str
) -> None:
    """A second copy changes no row, also after a person has closed the case."""
    mail = write(id_of(shop, await owe(shop)), own=own)
    first = await hand_in(shop, mail)
    shop.sql("UPDATE cases SET state='resolved', resolved_at=now()")
    before = shop.fingerprint()

    again = await hand_in(shop, mail)

    assert again.json() == first.json()
    assert shop.fingerprint() == before
    assert shop.sql("SELECT state FROM cases") == [("resolved",)]


@pytest.mark.parametrize(
    "mail",
    [
        "",
        "\x00",
        "Subject: hello\n\nhello",
        reply("<declined.ord-7k2m-9qxd.2@acme.test>"),
        reply("<declined.ord-7k2m-9qxd.2@evil.example>"),
        bounce("<declined.ord-7k2m-9qxd.2@acme.test>"),
        bounce("<x@y>"),
        "Content-Type: multipart/report; boundary=\n\n--\n--\n",
        "Content-Type: message/rfc822\nContent-Type: é\n\n\n",
    ],
)
async def test_what_names_no_mail_of_ours_is_let_go(shop: Shop, mail: str) -> None:
    """It is answered, so that nobody sends it again, and leaves nothing."""
    await owe(shop)
    before = shop.fingerprint()

    answer = await hand_in(shop, mail)

    assert (answer.status_code, answer.json()) == (202, {"outcome": "not ours"})
    assert shop.fingerprint() == before


async def test_a_long_mail_is_a_clear_problem(shop: Shop) -> None:
    """256 KiB are read, and the answer names the limit."""
    named = id_of(shop, await owe(shop))
    mail = reply(named).encode()

    fits = await hand_in(shop, mail + b"x" * (256 * 1024 - len(mail)))
    longer = await hand_in(shop, mail + b"x" * (256 * 1024 - len(mail) + 1))

    assert fits.json() == {"outcome": "reply"}
    assert longer.status_code == 413
    assert longer.headers["content-type"] == "application/problem+json"
    assert "256 KiB" in longer.json()["detail"]


@pytest.mark.parametrize("kind", ["application/json", "text/plain", ""])
async def test_only_mail_is_taken(shop: Shop, kind: str) -> None:
    """Another media type is refused with what to send instead."""
    answer = await hand_in(shop, "{}", **{"content-type": kind})

    assert answer.status_code == 415
    assert "message/rfc822" in answer.json()["detail"]


NESTED = b"".join(
    b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n)
    for n in range(4_000)
)


@pytest.mark.parametrize(
    "raw",
    [
        NESTED,
        b"Content-Type: message/rfc822\n\n" * 8_000,
        b"Content-Type: multipart/mixed; boundary=" + b"(" * 60_000 + b"\n\n",
        b"Content-Type: text/plain; a*0*=" + b"%27" * 20_000 + b"\n\n",
        b"In-Reply-To: " + b"<" * 60_000 + b"\n\n",
        b"References: " + b"<a@b" * 15_000 + b"\n\n",
        b"A: b\n" * 50_000,
    ],
    ids=["nested", "mails", "comments", "parameters", "angles", "ids", "headers"],
)
def test_a_hostile_mail_is_read_in_no_time(raw: bytes) -> None:
    """Depth and length of what strangers write cost neither stack nor seconds."""
    began = time.process_time()

    assert read_mail(raw[: 256 * 1024], "acme.test") is None

    assert time.process_time() - began < 2


async def _letter(shop: Shop) -> tuple[Opened, str]:
    """Open a checkout whose customer got a letter that a person signed."""
    opened, reply_id = await shop.open(), uuid4()
    ((reference,),) = shop.sql(
        "SELECT reference_code FROM checkouts WHERE checkout_id=%s", opened.checkout_id
    )
    named = message_id(reference, f"reply-{reply_id.hex}", "acme.test")
    shop.sql(
        "INSERT INTO replies (reply_id, checkout_id, situation, author, recipient,"
        " subject, opening, body, body_hash, message, message_id, sent_at)"
        " VALUES (%s, %s, 'went-through', 'dana', 'mara@example.com', 's', 'o', 'b',"
        " sha256('b'), 'm', %s, now())",
        reply_id,
        opened.checkout_id,
        named,
    )
    return opened, named


async def test_an_answer_to_a_persons_letter_opens_the_case(shop: Shop) -> None:
    """What comes back to a letter that somebody signed finds its order, too."""
    opened, named = await _letter(shop)

    answer = await hand_in(shop, reply(named))

    assert answer.json() == {"outcome": "reply"}
    found = shop.sql("SELECT checkout_id, cause FROM cases")
    assert found == [(opened.checkout_id, "CustomerWrote")]


async def test_a_persons_letter_that_came_back_is_refused(shop: Shop) -> None:
    """The letter's row says so, and its case is open for somebody."""
    _, named = await _letter(shop)

    answer = await hand_in(shop, bounce(named))

    assert answer.json() == {"outcome": "bounced"}
    assert shop.sql("SELECT refused FROM replies") == [("5.1.1",)]
    assert shop.sql("SELECT cause FROM cases") == [("MailBounced",)]
