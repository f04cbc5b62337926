"""Sending: taken means taken, and every other answer is sorted without addresses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP as Server
from aiosmtpd.smtp import AuthResult, Envelope, Session

from mail.sender import MailDeferred, MailRefused, SmtpMailer
from tests.specimens.pages import specimen_settings

LATER = timedelta(milliseconds=500)


class _Mailbox:
    """A mail server's behaviour, with an answer that can be set for each step."""

    def __init__(self, *, rcpt: str = "", data: str = "", sender: str = "") -> None:
        self.taken: list[Envelope] = []
        self._rcpt, self._data, self._sender = rcpt, data, sender

    async def handle_MAIL(
        self, _server: Server, _session: Session, envelope: Envelope, *rest: Any
    ) -> str:
        envelope.mail_from = rest[0]
        envelope.mail_options.extend(rest[1])
        return self._sender or "250 OK"

    async def handle_RCPT(
        self, _server: Server, _session: Session, envelope: Envelope, *rest: Any
    ) -> str:
        envelope.rcpt_tos.append(rest[0])
        return self._rcpt or "250 OK"

    async def handle_DATA(
        self, _server: Server, _session: Session, envelope: Envelope
    ) -> str:
        if not self._data:
            self.taken.append(envelope)
        return self._data or "250 2.0.0 taken"


@contextmanager
def _serving(mailbox: _Mailbox, **options: Any) -> Iterator[int]:
    controller = Controller(mailbox, hostname="127.0.0.1", port=_free_port(), **options)
    controller.start()
    try:
        yield int(controller.port)
    finally:
        controller.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _message(to: str = "mara@example.com") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Acme payments <pay@acme.test>"
    message["To"] = to
    message["Subject"] = "Your Acme plan is ready"
    message["Message-ID"] = "<receipt.1@acme.test>"
    message.set_content("We received your €249.00.", cte="quoted-printable")
    return message


def _mailer(port: int, **options: Any) -> SmtpMailer:
    return SmtpMailer(host="127.0.0.1", port=port, **options)


async def test_a_message_is_taken_as_it_was_built() -> None:
    """The mail server gets the one recipient, the headers and the text."""
    mailbox = _Mailbox()
    with _serving(mailbox) as port:
        await _mailer(port).send(_message())

    (envelope,) = mailbox.taken
    assert envelope.mail_from == "pay@acme.test"
    assert envelope.rcpt_tos == ["mara@example.com"]
    assert isinstance(envelope.content, bytes)
    assert b"Message-ID: <receipt.1@acme.test>" in envelope.content
    assert b"=E2=82=AC249.00" in envelope.content


async def test_the_mail_server_is_the_one_of_the_settings() -> None:
    """API and worker hand their mail to the same place."""
    mailbox = _Mailbox()
    with _serving(mailbox) as port:
        settings = specimen_settings(smtp_host="127.0.0.1", smtp_port=port)
        await SmtpMailer.of(settings).send(_message())

    assert len(mailbox.taken) == 1


@pytest.mark.parametrize(
    ("answers", "kind", "text"),
    [
        (
            {"rcpt": "550 5.1.1 <mara@example.com>: no such user"},
            MailRefused,
            "550 5.1.1",
        ),
        ({"rcpt": "553 mara@example.com is not here"}, MailRefused, "553"),
        ({"rcpt": "451 4.3.0 try later, mara"}, MailDeferred, "451 4.3.0"),
        ({"data": "554 5.7.1 spam for mara@example.com"}, MailRefused, "554 5.7.1"),
        ({"data": "452 4.2.2 mailbox full"}, MailDeferred, "452 4.2.2"),
        ({"sender": "550 5.7.1 pay@acme.test not ours"}, MailDeferred, "550 5.7.1"),
    ],
)
async def test_an_answer_is_sorted_and_shows_no_address(
    answers: dict[str, str], kind: type[Exception], text: str
) -> None:
    """A no to the message is final, a no to our settings or for now is not."""
    with _serving(_Mailbox(**answers)) as port, pytest.raises(kind) as raised:
        await _mailer(port).send(_message())

    assert str(raised.value) == text
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


async def test_a_wrong_password_is_not_the_customers_fault() -> None:
    """A refused login defers the message: it goes out once the password is right."""

    def refuse(*_: Any) -> AuthResult:
        return AuthResult(success=False, handled=False)

    with (
        _serving(
            _Mailbox(),
            authenticator=refuse,
            auth_require_tls=False,
        ) as port,
        pytest.raises(MailDeferred, match="535"),
    ):
        await _mailer(port, username="acme", password="hunter22").send(_message())


async def test_a_missing_starttls_stops_the_hand_over() -> None:
    """Where TLS was asked for, nothing is sent without it."""
    mailbox = _Mailbox()
    with _serving(mailbox) as port, pytest.raises(MailDeferred):
        await _mailer(port, starttls=True).send(_message())

    assert mailbox.taken == []


async def test_an_address_that_the_server_cannot_write_is_refused() -> None:
    """Without SMTPUTF8 an address outside ASCII has no way to its owner."""
    with (
        _serving(_Mailbox(), enable_SMTPUTF8=False) as port,
        pytest.raises(MailRefused, match="not supported"),
    ):
        await _mailer(port).send(_message("jörg@example.com"))


async def test_an_address_outside_ascii_arrives() -> None:
    """A mail server that knows SMTPUTF8 gets the address as it is written."""
    mailbox = _Mailbox()
    with _serving(mailbox, enable_SMTPUTF8=True) as port:
        await _mailer(port).send(_message("jörg@example.com"))

    assert mailbox.taken[0].rcpt_tos == ["jörg@example.com"]


async def test_no_server_is_deferred() -> None:
    """Where nobody listens, the message waits."""
    with pytest.raises(MailDeferred, match="SMTPConnectError"):
        await _mailer(_free_port()).send(_message())


Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


async def _against(behaviour: Connected, limit: timedelta) -> None:
    async with await asyncio.start_server(behaviour, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await _mailer(port, timeout=limit).send(_message())


async def test_a_silent_server_is_deferred_in_time() -> None:
    """A server that never greets holds the hand-over for its limit, not longer."""

    async def silent(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read()
        writer.close()

    started = asyncio.get_running_loop().time()
    with pytest.raises(MailDeferred):
        await _against(silent, LATER)

    assert asyncio.get_running_loop().time() - started < 5


async def test_a_lost_acknowledgement_is_deferred() -> None:
    """The connection breaks after the last dot: taken or not, nobody can tell."""

    async def breaks(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"220 ready\r\n")
        answers = [b"250 hello\r\n", b"250 sender\r\n", b"250 recipient\r\n"]
        for answer in (*answers, b"354 go on\r\n"):
            await reader.readline()
            writer.write(answer)
        await reader.readuntil(b"\r\n.\r\n")
        writer.close()

    with pytest.raises(MailDeferred):
        await _against(breaks, timedelta(seconds=5))


async def test_a_lost_goodbye_does_not_undo_the_acceptance() -> None:
    """Once the server said 250, the message is sent, whatever follows."""

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        answers = [b"250 hello\r\n", b"250 sender\r\n", b"250 recipient\r\n"]
        for answer in (*answers, b"354 go on\r\n"):
            await reader.readline()
            writer.write(answer)
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"250 2.0.0 taken\r\n")
        writer.close()

    await _against(rude, timedelta(seconds=5))
