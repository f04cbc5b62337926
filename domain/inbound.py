"""Mail that comes back: what is kept of one, which is nothing that anybody wrote."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.identifiers import MailName


class InboundKind(StrEnum):
    """What a mail is that names one of ours."""

    #: A mail server has given up: the customer never got our mail.
    BOUNCED = "bounced"
    #: A mail server still tries.
    DELAYED = "delayed"
    #: An absence note, a read receipt, news of a delivery: no person wrote it.
    AUTOMATIC = "automatic"
    #: A person wrote it.
    REPLY = "reply"


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundMail:
    """A mail that names one of ours. Everything in it may be forged.

    Attributes:
        kind: What it is.
        about: The mail of ours that it names.
        digest: Hexadecimal SHA-256 of its own Message-ID: a second copy has the same.
        status: The enhanced status code of a bounce, as `5.1.1`; empty if none is told.
    """

    kind: InboundKind
    about: MailName
    digest: str
    status: str = ""
