"""Sends the API's own mails: sign-in links, and letters that a person signed.

A link that does not arrive costs nothing: the customer asks again. A letter is a row
before it is a mail; see `api.letters`.
"""

from __future__ import annotations

import secrets
from email.message import EmailMessage
from urllib.parse import urlsplit

from database.accounts import LINK_VALID_FOR
from domain.identifiers import message_id
from mail.sender import Mailer
from mail.sign_in import SignInFacts, build
from settings import Settings


class ApiMailer:
    """Builds sign-in mails, and gives mails to the mail server.

    Args:
        settings: Names and addresses that the mail carries.
        mailer: What takes messages to customers.
    """

    def __init__(self, settings: Settings, mailer: Mailer) -> None:
        self._settings = settings
        self._mailer = mailer

    async def send_sign_in_link(self, to: str, link: str) -> None:
        """Send the link.

        Raises:
            mail.sender.MailError: The mail server did not take it.
        """
        settings = self._settings
        host = urlsplit(settings.public_url).hostname or "localhost"
        await self._mailer.send(
            build(
                SignInFacts(
                    company_name=settings.company_name,
                    sign_in_url=link,
                    valid_for=LINK_VALID_FOR,
                    support_email=settings.support_email,
                    support_hours=settings.support_hours,
                ),
                to=to,
                sender=settings.mail_from,
                # Each link is a mail of its own; the link itself stays out of the id.
                message_id=message_id(secrets.token_hex(8), "sign-in", host),
            )
        )

    async def send_letter(self, message: EmailMessage) -> None:
        """Hand over a letter; see `api.parts.Mailer`."""
        await self._mailer.send(message)
