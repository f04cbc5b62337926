"""Giving messages to a mail server.

MailError
├── MailRefused   the mail server's final no to this message
└── MailDeferred  no final answer: try again; it may have been taken
"""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import suppress
from datetime import timedelta
from email.message import EmailMessage
from functools import cache
from typing import TYPE_CHECKING, Protocol, Self

import aiosmtplib

if TYPE_CHECKING:
    from settings import Settings

#: A mail server greets slowly on purpose at times; longer than this it is not well.
TIMEOUT = timedelta(seconds=15)

#: On this port the connection is TLS from its first byte. RFC 8314, section 7.3.
_TLS_PORT = 465

#: Replies from here on are a final no. RFC 5321, section 4.2.1.
_FINAL = 500

#: The machine-readable part of a reply, as `5.1.1`. RFC 3463.
_ENHANCED_CODE = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")


class MailError(Exception):
    """Root of what may come instead of "taken".

    The text is a reply code, as `550 5.1.1`, or the kind of failure. The mail server's
    own words are left out, since they quote the customer's address.
    """


class MailRefused(MailError):
    """The mail server's final no to this message or its recipient.

    Repeating cannot help; a person must see it, for the customer hears nothing from us.
    """


class MailDeferred(MailError):
    """No final answer: try again later.

    When the connection broke at the end, the message may have been taken all the same.
    A repeat then makes a second copy, with the same Message-ID.
    """


class Mailer(Protocol):
    """What takes messages to customers.

    `send` returns when a mail server has taken responsibility for the message, and not
    before. It retries nothing by itself and ends within 15 seconds.
    """

    async def send(self, message: EmailMessage) -> None:
        """Hand one message over.

        Raises:
            MailRefused: A final no; do not repeat.
            MailDeferred: Repeat later, with the same message.
        """
        ...


class SmtpMailer:
    """A `Mailer` on any SMTP server; one connection per message.

    Args:
        host: The mail server.
        port: Its port; on 465 the connection is TLS from the start.
        username: Login; None for a server that asks for none.
        password: Its password.
        starttls: Upgrade the connection to TLS, and give up where that fails.
        timeout: Limit for the whole hand-over.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        username: str | None = None,
        password: str | None = None,
        starttls: bool = False,
        timeout: timedelta = TIMEOUT,
    ) -> None:
        self._host = host
        self._port = port
        self._username = username or None
        self._password = password or None
        self._starttls = starttls
        self._timeout = timeout.total_seconds()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the mailer that the settings ask for."""
        password = settings.smtp_password
        return cls(
            host=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username,
            password=password.get_secret_value() if password else None,
            starttls=settings.smtp_starttls,
        )

    async def send(self, message: EmailMessage) -> None:
        """Hand one message over; see `Mailer`."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._hand_over(message)
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _answer(error.recipients[0]) from None
        except aiosmtplib.SMTPDataError as error:
            raise _answer(error) from None
        except aiosmtplib.SMTPNotSupported:
            # The address needs an extension (RFC 6531) that this server lacks.
            raise MailRefused("address not supported by the mail server") from None
        except aiosmtplib.SMTPResponseException as error:
            # A no to our greeting, login or sender is about our settings, not about
            # this message: it goes out once they are right.
            raise MailDeferred(_code(error)) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailDeferred(type(error).__name__) from None

    async def _hand_over(self, message: EmailMessage) -> None:
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=self._username,
            password=self._password,
            use_tls=self._port == _TLS_PORT,
            start_tls=self._starttls,
            timeout=self._timeout,
            # Asks the name server, so it may block; the library would ask every time.
            local_hostname=await asyncio.to_thread(_own_name),
        )
        try:
            await client.connect()
            await client.send_message(message)
        finally:
            # It is taken, or not, whatever becomes of the good-bye.
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit()
            client.close()


@cache
def _own_name() -> str:
    """Return how this machine greets; an address where it has no full name."""
    name = socket.getfqdn()
    return name if "." in name else "[127.0.0.1]"


def _answer(error: aiosmtplib.SMTPResponseException) -> MailError:
    kind = MailRefused if error.code >= _FINAL else MailDeferred
    return kind(_code(error))


def _code(error: aiosmtplib.SMTPResponseException) -> str:
    enhanced = _ENHANCED_CODE.search(error.message)
    return f"{error.code} {enhanced[0]}" if enhanced else str(error.code)
