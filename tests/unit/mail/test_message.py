"""Messages: the headers of automatic mail, and no way to smuggle one in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.letter import (
    MOST_SUBJECT_CHARACTERS,
    Letter,
    Link,
    first_that_fits,
    one_line,
)
from mail.message import MessageRefused, build_message

LETTER = Letter(
    subject="Your sign-in link for Acme",
    preheader="Valid for 10 minutes.",
    company_name="Acme",
    headline="Here is your sign-in link for Acme.",
    paragraphs=("It works once.",),
    button=Link(label="Sign in", url="https://shop.acme.test/sign-in"),
    support_email="support@acme.test",
    support_hours="Monday to Friday",
)


def _build(**changes: Any) -> EmailMessage:
    values: dict[str, Any] = {
        "letter": LETTER,
        "to": "mara@example.com",
        "sender": "Acme payments <pay@acme.test>",
        "message_id": "<sign-in.1@acme.test>",
        "date": datetime(2026, 11, 23, 14, 32, tzinfo=UTC),
    }
    return build_message(**(values | changes))


def test_the_headers_are_those_of_automatic_mail() -> None:
    """Nobody's out-of-office reply comes back, and nobody unsubscribes."""
    message = _build()

    assert dict(message.items()) | {"Content-Type": ""} == {
        "From": "Acme payments <pay@acme.test>",
        "To": "mara@example.com",
        "Subject": "Your sign-in link for Acme",
        "Date": "Mon, 23 Nov 2026 14:32:00 +0000",
        "Message-ID": "<sign-in.1@acme.test>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "OOF, AutoReply",
        "MIME-Version": "1.0",
        "Content-Type": "",
    }


def test_a_message_has_a_text_and_an_html_part() -> None:
    """Text comes first, so that a reader of plain text needs nothing else."""
    message = _build()
    kinds = [part.get_content_type() for part in message.iter_parts()]

    assert message.get_content_type() == "multipart/alternative"
    assert kinds == ["text/plain", "text/html"]


def test_a_message_survives_the_wire() -> None:
    """Read back from its bytes, the message says the same; no line is too long."""
    message = _build(sender="Søren & Söhne, Inc. <pay@acme.test>")
    raw = message.as_bytes(policy=policy.SMTP)
    again = message_from_bytes(raw, policy=policy.default)

    assert isinstance(again, EmailMessage)
    assert str(again["From"].addresses[0].display_name) == "Søren & Söhne, Inc."
    assert len(again["From"].addresses) == 1
    for kind in ("plain", "html"):
        sent, received = message.get_body((kind,)), again.get_body((kind,))
        assert sent is not None
        assert received is not None
        assert received.get_content().splitlines() == sent.get_content().splitlines()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x00", "\u2028", "\x85"])
@pytest.mark.parametrize("header", ["to", "sender", "subject", "message_id", "earlier"])
def test_a_line_end_in_a_header_is_refused(header: str, end: str) -> None:
    """No value can add a header, and the error does not repeat the value."""
    poison = f"x{end}Bcc: thief@example.net"
    changes: dict[str, Any] = {
        "to": {"to": f"mara@example.com{poison}"},
        "sender": {"sender": f"Acme{poison} <pay@acme.test>"},
        "subject": {"letter": replace(LETTER, subject=poison)},
        "message_id": {"message_id": f"<a@b{poison}>"},
        "earlier": {"earlier": [f"<a@b{poison}>"]},
    }

    with pytest.raises(MessageRefused, match=header) as refused:
        _build(**changes[header])
    assert "thief" not in str(refused.value)


@given(st.text(min_size=1, max_size=60))
def test_no_recipient_adds_a_header_or_a_second_recipient(text: str) -> None:
    """Whatever stands in the field, one message has one recipient, or there is none."""
    try:
        message = _build(to=f"{text}@example.com")
    except MessageRefused:
        return

    assert len(message["To"].addresses) == 1
    assert message["Bcc"] is None
    assert message["To"].addresses[0].domain == "example.com"


@pytest.mark.parametrize(
    "to",
    [
        "",
        "mara",
        "@example.com",
        "mara@",
        "mara@example.com, thief@example.net",
        "mara@example.com thief@example.net",
        "Mara <mara@example.com>",
        "mara@thief@example.com",
        # Encoded words: a header would read `x` and two mailboxes there.
        "=?utf-8?q?x?=@b.test",
        "=?utf-8?q?x=40evil.test=2Cy?=@b.test",
        "=?utf-8?b?eA==?=@b.test",
        "mara@=?utf-8?q?b?=.test",
        "mara@" + "a" * 70 + ".com\u0101",
    ],
)
def test_what_is_not_one_address_is_refused(to: str) -> None:
    """A message goes to exactly one mailbox."""
    with pytest.raises(MessageRefused, match="to: not one e-mail address"):
        _build(to=to)


@pytest.mark.parametrize("local", ["mara=shop", "mara?shop", "mara?=shop"])
def test_no_other_local_part_is_decoded(local: str) -> None:
    """What is no encoded word reaches the mailbox that it names, after the wire too."""
    raw = _build(to=f"{local}@example.com").as_bytes(policy=policy.SMTP)
    again = message_from_bytes(raw, policy=policy.default)

    assert again["To"].addresses[0].username == local


@pytest.mark.parametrize(
    ("domain", "written"),
    [
        ("müller.example", "xn--mller-kva.example"),
        # Older rules would send it to strasse.example, which is somebody else's.
        ("straße.example", "xn--strae-oqa.example"),
        ("Example.COM", "example.com"),
        ("my_host.example", "my_host.example"),
        ("localhost", "localhost"),
    ],
)
def test_a_domain_is_written_as_mail_servers_know_it(domain: str, written: str) -> None:
    """The domain becomes its ASCII form; nothing else changes."""
    assert _build(to=f"Mara@{domain}")["To"].lower() == f"mara@{written}"


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "/sign-in",
        "https:///path",
        "//thief.example",
        "https://shop.acme.test/\r\nBcc: x",
        "https://shop.acme.test/ x",
        "",
    ],
)
def test_a_link_leads_to_a_page(link: str) -> None:
    """A mail never carries a link that is something else than a page's address."""
    poisoned = Link(label="Sign in", url=link)

    for place in ("button", "aside"):
        changes: dict[str, Any] = {place: poisoned}
        with pytest.raises(MessageRefused, match=place):
            _build(letter=replace(LETTER, **changes))


@pytest.mark.parametrize("message_id", ["", "a@b", "<a>", "<a@b> <c@d>", "<a b@c>"])
def test_a_message_id_has_its_form(message_id: str) -> None:
    """A broken Message-ID would make each copy look like another mail."""
    with pytest.raises(MessageRefused, match="message_id"):
        _build(message_id=message_id)


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_subject_always_fits(first: str, second: str) -> None:
    """Long names shorten the subject; they never stop the mail."""
    subject = first_that_fits(first, second)

    assert len(subject) <= MOST_SUBJECT_CHARACTERS
    first, second = one_line(first), one_line(second)
    assert subject in (first, second) or second.startswith(subject[:-1].rstrip())


@given(st.text())
def test_one_line_is_one_line(text: str) -> None:
    """A name with line ends cannot add a paragraph to a mail."""
    assert len(one_line(text).splitlines()) <= 1
