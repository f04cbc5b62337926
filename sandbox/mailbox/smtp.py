"""The SMTP side: keeps what it accepts, and misbehaves when a fault says so.

Actions, all at the end of DATA unless said otherwise:

    accept_then_drop_before_250   kept, then the connection is cut without a word
    temporary_451                 refused for now
    permanent_550                 refused for good
    refuse_recipient_550          refused for good already at RCPT TO
    hang                          no answer for ``seconds``, then the connection is cut
    delay                         answered after ``seconds``
    hold_before_accept            waits for release, then keeps it
    accept_then_hold              keeps it, then waits for release before the 250

A sender that dies while it is held has sent the mail only if it was kept before.
"""

import asyncio
from typing import Protocol

from aiosmtpd.smtp import SMTP, Envelope, Session

from sandbox.faults import Changes, Fault, Faults
from sandbox.mailbox.store import MailStore

_AT_RECIPIENT = "refuse_recipient_550"
_AT_DATA = (
    "accept_then_drop_before_250",
    "temporary_451",
    "permanent_550",
    "hang",
    "delay",
    "hold_before_accept",
    "accept_then_hold",
)
ACTIONS = frozenset({_AT_RECIPIENT, *_AT_DATA})

_ACCEPTED = "250 2.0.0 Kept for reading"
_REFUSALS = {
    "temporary_451": "451 4.3.0 Not now, try again later",
    "permanent_550": "550 5.7.1 This mail is refused",
}


class _Connection(Protocol):
    """What the handler needs of aiosmtpd's server object."""

    transport: asyncio.Transport | None


class MailHandler:
    """What happens at each step of an SMTP session; aiosmtpd calls it by name."""

    def __init__(self, store: MailStore, faults: Faults, changes: Changes) -> None:
        self._store = store
        self._faults = faults
        self._changes = changes

    async def handle_RCPT(  # noqa: N802, RUF100 - the library's name.
        self,
        server: SMTP,  # noqa: ARG002
        session: Session,  # noqa: ARG002
        envelope: Envelope,
        address: str,
        rcpt_options: list[str],
    ) -> str:
        """Take the recipient, or refuse it when told to."""
        fault = self._faults.take({"to": address.lower()}, _AT_RECIPIENT)
        if fault is not None:
            await self._faults.hit(fault)
            return "550 5.1.1 No such mailbox here"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(rcpt_options)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802, RUF100 - the library's name.
        self,
        server: _Connection,
        session: Session,  # noqa: ARG002
        envelope: Envelope,
    ) -> str:
        """Keep the mail, unless a fault says otherwise."""
        fault = self._fault_for(envelope)
        if fault is None:
            return await self._keep(envelope)
        if fault.action in _REFUSALS:
            await self._faults.hit(fault)
            return _REFUSALS[fault.action]
        if fault.action in ("accept_then_hold", "accept_then_drop_before_250"):
            return await self._keep_first(envelope, fault, server)
        return await self._wait_first(envelope, fault, server)

    def _fault_for(self, envelope: Envelope) -> Fault | None:
        for recipient in envelope.rcpt_tos:
            fault = self._faults.take({"to": recipient.lower()}, *_AT_DATA)
            if fault is not None:
                return fault
        return None

    async def _keep(self, envelope: Envelope) -> str:
        raw = envelope.content
        content = raw.encode() if isinstance(raw, str) else raw or b""
        self._store.add(envelope.mail_from or "", envelope.rcpt_tos, content)
        await self._changes.announce()
        return _ACCEPTED

    async def _keep_first(
        self, envelope: Envelope, fault: Fault, server: _Connection
    ) -> str:
        answer = await self._keep(envelope)
        if fault.action == "accept_then_hold":
            await self._faults.hold(fault)
        else:
            await self._faults.hit(fault)
            _cut(server)
        return answer

    async def _wait_first(
        self, envelope: Envelope, fault: Fault, server: _Connection
    ) -> str:
        # A hang or a delay is a hold that somebody may cut short by releasing it.
        await self._faults.hold(fault)
        if fault.action == "hang":
            _cut(server)
            return _REFUSALS["temporary_451"]
        return await self._keep(envelope)


def _cut(server: _Connection) -> None:
    """End the connection without another byte."""
    if server.transport is not None:
        server.transport.abort()


async def listen(handler: MailHandler, host: str, port: int) -> asyncio.Server:
    """Accept SMTP sessions in the running loop."""
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        return SMTP(
            handler,
            hostname="mailbox.test",
            ident="Holdfast mailbox",
            enable_SMTPUTF8=True,
            loop=loop,
        )

    return await loop.create_server(session, host, port)
