"""Messages: text and HTML with the same facts, and the headers of automatic mail.

No List-Unsubscribe: nobody can unsubscribe from the receipt of what they paid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import urlsplit

import idna
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

#: More is cut off on a phone.
MOST_SUBJECT_CHARACTERS = 50

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_MESSAGE_ID = re.compile(r"<[^<>\s@]+@[^<>\s@]+>")
#: What separates addresses, what begins a comment or a name, and `=?`, which begins an
#: encoded word (RFC 2047): the header would be read as the address it decodes to.
_NOT_IN_ADDRESS = re.compile(r"[\s,;:<>()\"\\@]|=\?")
_SENDER = re.compile(r"(?:(?P<name>[^<>]*)<(?P<inner>[^<>]+)>|(?P<bare>[^<>]+))")

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


class MessageRefused(ValueError):
    """A message cannot be built from these values; the text names the field only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a message says; both variants are written from it.

    Attributes:
        template: Name of the two templates, without their endings.
        subject: The fact, in 50 characters at the most.
        preheader: What a list of mails shows behind the subject.
        values: What the templates print; every text is one line.
        links: Those of `values` that are addresses of pages.
    """

    template: str
    subject: str
    preheader: str
    values: dict[str, object]
    links: tuple[str, ...] = ()


def build_message(
    content: Content,
    *,
    to: str,
    sender: str,
    message_id: str,
    date: datetime | None = None,
) -> EmailMessage:
    """Return the message, ready to be sent.

    Args:
        content: What it says.
        to: The one recipient's address.
        sender: As `Acme payments <pay@acme.test>`.
        message_id: With its angle brackets; the same for every copy.
        date: When it was written; now unless told otherwise.

    Raises:
        MessageRefused: A header would hold a line end, an address is none, or a link
            does not lead to a page.
    """
    if len(content.subject) > MOST_SUBJECT_CHARACTERS:
        raise MessageRefused("subject: longer than 50 characters")
    if not _MESSAGE_ID.fullmatch(message_id):
        raise MessageRefused("message_id: not of the form <local@domain>")
    for name in content.links:
        _check_link(name, content.values[name])
    message = EmailMessage()
    message["From"] = _sender(sender)
    message["To"] = _address("to", to)
    message["Subject"] = _header("subject", content.subject)
    message["Date"] = format_datetime(date or datetime.now(UTC))
    message["Message-ID"] = message_id
    # RFC 3834, and what Exchange reads: no out-of-office replies to a receipt.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    values = content.values | {
        "subject": content.subject,
        "preheader": content.preheader,
    }
    text = _TEMPLATES.get_template(f"{content.template}.txt").render(values)
    html = _TEMPLATES.get_template(f"{content.template}.html").render(values)
    # Quoted-printable passes every mail server, whatever the length of a line.
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    return message


def one_line(text: str) -> str:
    """Return a text without line ends, so that a name cannot add a paragraph."""
    return " ".join(_CONTROL.sub(" ", text).split())


def first_that_fits(*subjects: str) -> str:
    """Return the first subject that is short enough; the last is cut if it must be."""
    for subject in subjects:
        if len(subject) <= MOST_SUBJECT_CHARACTERS:
            return subject
    return subjects[-1][: MOST_SUBJECT_CHARACTERS - 1].rstrip() + "…"


def _header(name: str, text: str) -> str:
    if _CONTROL.search(text):
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


def _check_link(name: str, value: object) -> None:
    parts = urlsplit(str(value))
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = f"{name}: not the address of a page"
        raise MessageRefused(msg)
    if _CONTROL.search(str(value)) or " " in str(value):
        msg = f"{name}: an address must not hold a blank or a line end"
        raise MessageRefused(msg)
