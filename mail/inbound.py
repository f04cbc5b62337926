"""Reading mail that comes back. Everything in it may be forged, cut off or hostile.

Nothing of it leaves this module but which mail of ours it names, what kind of mail it
is, a status code and a digest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from email import policy
from email.message import Message
from email.parser import BytesParser

from domain.identifiers import MailName, mail_of
from domain.inbound import InboundKind, InboundMail

#: Beyond these only the headers on top are read: the parser's time grows with depth.
_MOST_BOUNDARIES = 32
_MOST_HEADER_BYTES = 64 * 1024
#: A thread of ours is shorter; of a longer list the last ones are read.
_MOST_NAMES = 50
_MOST_RECIPIENTS = 20

_MESSAGE_ID = re.compile(r"<[^<>\s@]{1,200}@[^<>\s@]{1,255}>")
_STATUS = re.compile(r"\s*([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9.])")
_BOUNDARY = re.compile(rb"boundary\s*\*?[0-9]?\*?\s*=", re.IGNORECASE)
_HEADERS_END = re.compile(rb"\r?\n\r?\n")

#: How the returned mail, or only its headers, is attached (RFC 3462, RFC 6533).
_RETURNED = frozenset({"message/rfc822", "message/global"})
_RETURNED_HEADERS = frozenset(
    {"text/rfc822-headers", "message/rfc822-headers", "message/global-headers"}
)


def read_mail(raw: bytes, domain: str) -> InboundMail | None:
    """Return what a mail says about one of ours; None when it names none.

    Args:
        raw: As it came in, whole or cut off at the end.
        domain: Where our Message-IDs end.
    """
    message = _parse(raw)
    if message is None:
        return None
    kind, status = _sort(message)
    # What a person attaches is not what they answer.
    returned = () if kind is InboundKind.REPLY else _returned_ids(message)
    texts = [*returned, *_answered_ids(message)]
    about = _first_of_ours(texts, domain)
    if about is None:
        return None
    own = _MESSAGE_ID.search(_header(message, "message-id"))
    named = own[0].encode("utf-8", "backslashreplace") if own else raw
    digest = hashlib.sha256(named).hexdigest()
    return InboundMail(kind=kind, about=about, digest=digest, status=status)


def _parse(raw: bytes, *, headers_only: bool = False) -> Message | None:
    top = _HEADERS_END.split(raw, maxsplit=1)[0]
    if len(top) > _MOST_HEADER_BYTES:
        return None
    many = len(_BOUNDARY.findall(raw)) > _MOST_BOUNDARIES
    try:
        return BytesParser(policy=policy.default).parsebytes(
            top + b"\n\n" if many or headers_only else raw, headersonly=headers_only
        )
    # The standard library's parser trips over hostile headers in many ways.
    except Exception:
        return None


def _sort(message: Message) -> tuple[InboundKind, str]:
    """Say what a mail is, with the status code of a bounce."""
    if _content_type(message) == "multipart/report":
        return _sort_report(message)
    return (InboundKind.AUTOMATIC if _is_automatic(message) else InboundKind.REPLY), ""


def _sort_report(message: Message) -> tuple[InboundKind, str]:
    """Read a delivery status notification (RFC 3464); other reports say nothing.

    `Action: failed` is the mail server's last word whatever its code: a temporary
    trouble that lasted too long ends as `failed` with 4.x.x.
    """
    actions = dict(_actions(message))
    if "failed" in actions:
        return InboundKind.BOUNCED, actions["failed"]
    if "delayed" in actions:
        return InboundKind.DELAYED, ""
    return InboundKind.AUTOMATIC, ""


def _actions(message: Message) -> Iterator[tuple[str, str]]:
    """Read what was done for each recipient, and the code that tells why."""
    for part in _parts(message):
        if _content_type(part) != "message/delivery-status":
            continue
        # The first block of fields is about the mail, the others about recipients.
        for fields in _parts(part)[: _MOST_RECIPIENTS + 1]:
            status = _STATUS.match(_header(fields, "status"))
            action = _header(fields, "action").strip().lower()
            yield action, status[1] if status else ""


def _is_automatic(message: Message) -> bool:
    """Say whether a program wrote it (RFC 3834, and what programs really send)."""
    submitted = _header(message, "auto-submitted").partition(";")[0].strip().lower()
    precedence = _header(message, "precedence").strip().lower()
    return (
        submitted not in {"", "no"}
        or precedence in {"bulk", "auto_reply", "junk", "list"}
        or bool(_header(message, "x-auto-response-suppress").strip())
        # Nobody to answer: old mail servers' bounces, which have no form.
        or _header(message, "return-path").strip() == "<>"
    )


def _returned_ids(message: Message) -> Iterator[str]:
    for part in _parts(message):
        kind = _content_type(part)
        if kind in _RETURNED:
            yield from (_header(one, "message-id") for one in _parts(part)[:1])
        elif kind in _RETURNED_HEADERS:
            returned = _parse(_bytes_of(part), headers_only=True)
            if returned is not None:
                yield _header(returned, "message-id")


def _answered_ids(message: Message) -> Iterator[str]:
    yield _header(message, "in-reply-to")
    yield _header(message, "references")


def _first_of_ours(texts: list[str], domain: str) -> MailName | None:
    """Return the mail of ours that is named first; in each text the last counts."""
    for text in texts:
        for found in _MESSAGE_ID.findall(text)[: -_MOST_NAMES - 1 : -1]:
            try:
                # Ours are written small; some programs do not keep that.
                name = mail_of(found.lower())
            except ValueError:
                continue
            if name.domain == domain.lower():
                return name
    return None


def _header(message: Message, name: str) -> str:
    """Return the first such header as it was written: parsing it is not safe."""
    for key, value in message.raw_items():
        if key.lower() == name:
            return str(value)
    return ""


def _content_type(message: Message) -> str:
    written = _header(message, "content-type").partition(";")[0]
    return written.strip().lower()


def _parts(message: Message) -> list[Message]:
    payload = message.get_payload()
    if not isinstance(payload, list):
        return []
    return [part for part in payload if isinstance(part, Message)]


def _bytes_of(part: Message) -> bytes:
    inner = _parts(part)
    if inner:
        # The parser takes every `message/...` for a mail, and has read its headers.
        head = "".join(f"{key}: {value}\n" for key, value in inner[0].raw_items())
        return head.encode("utf-8", "backslashreplace")
    try:
        payload = part.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError):
        return b""
    return payload if isinstance(payload, bytes) else b""
