"""What pages and `/v1` both do to sell: open a checkout, make a press on Pay durable.

The order is always the same: first the row, then the message to the workflow. When the
message does not get through, the starter loop finds the row.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from email_validator import EmailNotValidError, validate_email
from sqlalchemy.ext.asyncio import AsyncConnection

from api.limits import TooOften
from api.parts import Parts
from api.repairs import Unfinished, is_unfinished, look_or_repair
from database.checkouts import (
    CheckoutRow,
    NewCheckout,
    PaymentRequested,
    request_payment,
)
from database.pauses import wait_for_reopening
from domain.addresses import PageToken, token_digest
from domain.identifiers import reference_code
from domain.messages import PayRequest
from domain.plans import Plan
from domain.states import Stage
from observability import logs, metrics
from settings import Environment
from workflows.door import DoorClosed

#: What the processor calls a means of payment or a confirmation token. Card numbers
#: cannot pass: they are neither expected nor let through.
PAYMENT_METHOD = r"^(pm|ctoken)_[A-Za-z0-9_]{1,200}$"

#: Begins an encoded word (RFC 2047). A local part may hold it, but mail programs decode
#: it in a header: to another mailbox, or to two.
ENCODED_WORD = "=?"

#: Bytes of randomness in a reference code.
_REFERENCE_BYTES = 8

_log = logs.get_logger("api.buying")


#: Reads the checkout that a request names; None when there is none.
Find = Callable[[AsyncConnection], Awaitable[CheckoutRow | None]]


class EmailRefused(Exception):
    """The e-mail address cannot receive mail; the text tells the buyer why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """What a press on Pay came to, with the checkout as it was before."""

    checkout: CheckoutRow
    requested: PaymentRequested


def checked_email(parts: Parts, typed: str) -> str:
    """Return the address in the form that mail servers understand.

    Raises:
        EmailRefused: It is not an address that mail can reach.
    """
    try:
        found = validate_email(
            typed,
            check_deliverability=False,
            # Not every mail server takes such names, and a receipt must arrive.
            allow_smtputf8=False,
            # Addresses at `.test`, which never reach anybody, are for trying.
            test_environment=parts.settings.environment is Environment.DEVELOPMENT,
        )
    except EmailNotValidError:
        # The library's own words are for programmers.
        raise EmailRefused(_what_is_wrong(typed.strip())) from None
    address = found.ascii_email or found.normalized
    if ENCODED_WORD in address:
        raise EmailRefused(
            "The address must not have “=?” in it: mail programs would read it as "
            "another one."
        )
    return address


def _what_is_wrong(typed: str) -> str:
    """Say what a slip of the finger most likely was, and nothing that may be wrong."""
    name, at, host = typed.rpartition("@")
    slips = (
        (not at, "An e-mail address has an @-sign."),
        (not name, "Something is missing before the @-sign."),
        (not host, "Something is missing after the @-sign."),
        ("@" in name, "There is more than one @-sign."),
        (any(letter.isspace() for letter in typed), "There is a space in it."),
        (
            "." not in host.strip("."),
            "The part after the @-sign should have a period, as in example.com.",
        ),
    )
    cannot = (
        "Mail cannot reach this address as it is written. Please check each letter."
    )
    return next((words for is_so, words in slips if is_so), cannot)


def new_checkout(parts: Parts, plan: Plan, email: str) -> tuple[NewCheckout, PageToken]:
    """Return a checkout that is not written yet, and the token of its address."""
    checkout_id = uuid4()
    token = parts.addresses.new_token(checkout_id)
    return (
        NewCheckout(
            checkout_id=checkout_id,
            reference_code=reference_code(secrets.token_bytes(_REFERENCE_BYTES)),
            token_hash=token_digest(token.token),
            token_key_id=token.key_id,
            email=email,
            plan_id=plan.plan_id,
            plan_name=plan.name,
            plan_months=plan.months,
            price=plan.price,
        ),
        token,
    )


async def press_pay(
    parts: Parts,
    find: Find,
    payment_method: str,
) -> Pressed | None:
    """Make a press on Pay durable and pass it on; None when there is no checkout.

    Twenty presses at once are one request. Whoever finds the request made already
    passes nothing on: the first one does, or the starter loop.

    Raises:
        RecordsUnavailable: Unknown, never failed: the press may be durable.
    """

    async def work(connection: AsyncConnection) -> Pressed | None:
        checkout = await find(connection)
        if checkout is None:
            return None
        requested = await request_payment(
            connection, checkout.checkout_id, payment_method
        )
        return Pressed(checkout=checkout, requested=requested)

    pressed = await parts.records.write(work)
    if pressed is None:
        return None
    logs.bind(checkout_id=pressed.checkout.checkout_id)
    metrics.PAY_REQUESTS.labels(outcome=_outcome(pressed.requested)).inc()
    if pressed.requested.is_new:
        await _start(parts, pressed)
    return pressed


async def read_to_show(
    parts: Parts, find: Find, *, deadline: timedelta | None = None
) -> CheckoutRow | None:
    """Read a checkout whose words are shown next; None when there is none.

    In a pause the words promise a mail at its end, so it is owed before they are said.

    Raises:
        RecordsUnavailable: Nothing may be said.
    """
    row = await parts.records.read(find, deadline=deadline)
    if row is None or not _promises_a_mail(row):
        return row
    checkout_id = row.checkout_id

    async def work(connection: AsyncConnection) -> CheckoutRow | None:
        await wait_for_reopening(connection, checkout_id)
        # Read again: where the pause has just ended, its words are not true any more.
        return await find(connection)

    return await parts.records.write(work, deadline=deadline)


def _promises_a_mail(row: CheckoutRow) -> bool:
    is_stopped = row.paused_at is not None and row.stage is Stage.OPEN
    return is_stopped and not row.tells_when_open


async def hint(parts: Parts, checkout: CheckoutRow) -> bool:
    """Tell a checkout's workflow to look at the processor; best effort.

    When none is running although something is left to do, it is started by a repair.

    Returns:
        False when it was told very often already, so nothing was sent.
    """
    try:
        parts.limits.hints.enter(str(checkout.checkout_id))
    except TooOften:
        return False
    try:
        if is_unfinished(checkout):
            await look_or_repair(parts.door, Unfinished.of(checkout), actor="api")
        else:
            await parts.door.look_again(checkout.checkout_id)
    except DoorClosed as closed:
        _log.warning("hint not passed on", cause=str(closed))
    return True


async def _start(parts: Parts, pressed: Pressed) -> None:
    request = PayRequest(
        checkout_id=pressed.checkout.checkout_id,
        reference_code=pressed.checkout.reference_code,
        plan_name=pressed.checkout.plan_name,
        price=pressed.checkout.price,
        buyer_attempt=pressed.requested.buyer_attempt,
    )
    try:
        await parts.door.pay(request)
    except DoorClosed as closed:
        # The request is in its row: the starter loop goes on from here.
        metrics.STARTS.labels(by="request", outcome="deferred").inc()
        _log.warning("start left to the starter loop", cause=str(closed))
    else:
        metrics.STARTS.labels(by="request", outcome="started").inc()


def _outcome(requested: PaymentRequested) -> str:
    if requested.too_many:
        return "too_many"
    if requested.is_paused:
        return "paused"
    return "new" if requested.is_new else "repeated"
