"""Messages: a letter in its two variants, and the headers of automatic mail.

Every copy of a message has the same bytes: a second one can only follow a lost answer
of the mail server, and nobody shall wonder which is the right one.

No List-Unsubscribe: nobody can unsubscribe from the receipt of what they paid.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Protocol

import idna

from domain.links import web_address
from mail.letter import MOST_SUBJECT_CHARACTERS, Link, has_control

_MESSAGE_ID = re.compile(r"<[^<>\s@]+@[^<>\s@]+>")
#: What separates addresses, what begins a comment or a name, and `=?`, which begins an
#: encoded word (RFC 2047): the header would be read as the address it decodes to.
_NOT_IN_ADDRESS = re.compile(r"[\s,;:<>()\"\\@]|=\?")
_SENDER = re.compile(r"(?:(?P<name>[^<>]*)<(?P<inner>[^<>]+)>|(?P<bare>[^<>]+))")


class Written(Protocol):
    """What a message is built from: a `Letter`, or one that a person signs."""

    @property
    def subject(self) -> str:
        """The fact."""
        ...

    @property
    def button(self) -> Link | None:
        """The one thing to press."""
        ...

    @property
    def aside(self) -> Link | None:
        """A second link."""
        ...

    def as_text(self) -> str:
        """Return the variant for readers of plain text."""
        ...

    def as_html(self) -> str:
        """Return the variant for everybody else."""
        ...


class MessageRefused(ValueError):
    """A message cannot be built from these values; the text names the field only."""


def build_message(
    letter: Written,
    *,
    to: str,
    sender: str,
    message_id: str,
    date: datetime | None = None,
    earlier: Sequence[str] = (),
    by_person: bool = False,
) -> EmailMessage:
    """Return the message, ready to be sent.

    Args:
        letter: What it says.
        to: The one recipient's address.
        sender: As `Acme payments <pay@acme.test>`.
        message_id: With its angle brackets; the same for every copy.
        date: When it was written; now unless told otherwise.
        earlier: Message-IDs of the mails that it follows, oldest first: mail programs
            show them as one thread.
        by_person: A person signs it: no header calls it automatic.

    Raises:
        MessageRefused: A header would hold a line end, an address is none, or a link
            does not lead to a page.
    """
    if len(letter.subject) > MOST_SUBJECT_CHARACTERS:
        raise MessageRefused("subject: longer than 50 characters")
    for name, link in (("button", letter.button), ("aside", letter.aside)):
        if link is not None:
            _check_link(name, link.url)
    message = EmailMessage()
    message["From"] = _sender(sender)
    message["To"] = _address("to", to)
    message["Subject"] = _header("subject", letter.subject)
    message["Date"] = format_datetime(date or datetime.now(UTC))
    message["Message-ID"] = _message_id("message_id", message_id)
    if earlier:
        # RFC 5322, section 3.6.4.
        ids = [_message_id("earlier", before) for before in earlier]
        message["In-Reply-To"] = ids[-1]
        message["References"] = " ".join(ids)
    if not by_person:
        # RFC 3834, and what Exchange reads: no out-of-office replies to a receipt.
        message["Auto-Submitted"] = "auto-generated"
        message["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    # Quoted-printable passes every mail server, whatever the length of a line.
    message.set_content(letter.as_text(), cte="quoted-printable")
    message.add_alternative(letter.as_html(), subtype="html", cte="quoted-printable")
    # A random one would make other bytes of each copy.
    message.set_boundary(f"=_{hashlib.sha256(message_id.encode()).hexdigest()[:32]}")
    return message


def _message_id(name: str, text: str) -> str:
    if not _MESSAGE_ID.fullmatch(text):
        msg = f"{name}: not of the form <local@domain>"
        raise MessageRefused(msg)
    return text


def _header(name: str, text: str) -> str:
    if has_control(text):
        msg = f"{name}: a header must not hold a line end or a control character"
        raise MessageRefused(msg)
    return text


def _sender(sender: str) -> Address:
    parts = _SENDER.fullmatch(_header("sender", sender).strip())
    if parts is None:
        raise MessageRefused("sender: not of the form Name <address>")
    address = _address("sender", (parts["inner"] or parts["bare"]).strip())
    name = (parts["name"] or "").strip().strip('"')
    return Address(name, address.username, address.domain)


def _address(name: str, text: str) -> Address:
    """Read exactly one address; a comma would make two recipients of one."""
    local, _, domain = _header(name, text).rpartition("@")
    if not local or not domain or _NOT_IN_ADDRESS.search(local + domain):
        msg = f"{name}: not one e-mail address"
        raise MessageRefused(msg)
    try:
        return Address(username=local, domain=_ascii_domain(domain))
    except (UnicodeError, idna.IDNAError):
        msg = f"{name}: not one e-mail address"
        raise MessageRefused(msg) from None


def _ascii_domain(domain: str) -> str:
    """Write a domain as mail servers know it.

    Not with the standard library's codec: its older rules take straße.example for
    strasse.example, which is somebody else's.
    """
    if domain.isascii():
        return domain
    return idna.encode(domain, uts46=True).decode("ascii")


def _check_link(name: str, url: str) -> None:
    if web_address(url) is None:
        msg = f"{name}: not the address of a page"
        raise MessageRefused(msg)
