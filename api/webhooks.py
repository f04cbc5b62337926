"""The processor's webhook: verify the raw bytes, commit the row, answer, then hint.

An event is a hint to look, never the truth itself: nothing here changes a checkout. A
charge that no order can be found for becomes a case for support. An event of another
account is kept and ignored, whatever it names: our key could not look there.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.parts import TheParts
from api.records import RecordsUnavailable
from api.repairs import Unfinished, look_or_repair
from api.telling import Messenger
from database.aftermath import suspect_second_charge
from database.cases import open_payment_case
from database.checkouts import (
    CheckoutNotFound,
    CheckoutRow,
    find_checkout_of_payment,
    read_checkout,
)
from database.inbox import InboxEvent, mark_applied, receive_event
from domain.causes import Cause
from domain.messages import CheckoutInput, RepairRequest
from domain.states import MoneyState, Stage
from observability import logs, metrics
from processor.webhook_signature import (
    EventRefused,
    ProcessorEvent,
    SignatureRefused,
    parse,
    verify,
)
from workflows.door import DoorClosed

router = APIRouter(include_in_schema=False)

PATH = "/webhooks/stripe"

_SUCCEEDED = "payment_intent.succeeded"

#: What a case of ours names as the step that is stuck.
_STEP = "match the charge with an order"

#: Nobody has to be told of a PaymentIntent that was made: it was us.
_NO_NEWS = "payment_intent.created"

#: News of money that goes back: a refund made past us, one that ends, a dispute.
_AFTERMATH = frozenset(
    {
        "charge.refunded",
        "refund.updated",
        "refund.failed",
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.closed",
    }
)

#: Makes a repair's id from an event's: news of a charge that no attempt is open for.
_REPAIRS = UUID("0b9f7a8e-52a4-4e0c-8f3e-3a4b2f4f6d55")

_log = logs.get_logger("api.webhooks")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Misfit:
    """A charge that no order of ours stands for, as support reads of it."""

    payment_intent_id: str
    cause: str
    detail: str


@router.post(PATH)
async def receive(request: Request, parts: TheParts) -> Response:
    """Take one event."""
    body = await request.body()
    secrets = [s.get_secret_value() for s in parts.settings.stripe_webhook_secrets]
    try:
        verify(body, request.headers.get("stripe-signature"), secrets, parts.clock())
        event = parse(body)
    # A signed body can be nested deeper than the parser can follow.
    except (SignatureRefused, EventRefused, RecursionError) as refused:
        return _refused(type(refused).__name__, str(refused))
    if event.is_live != parts.settings.is_live:
        return _refused("WrongWorld", "live and test events do not mix")
    kept = _kept(event)
    received = await parts.records.write(
        lambda connection: receive_event(
            connection,
            kept,
            needs_hint=_needs_hint(kept),
            ignored_reason=_why_ignored(event),
        )
    )
    outcome = "accepted" if received.is_new else "repeated"
    if event.account_id is not None:
        outcome = "foreign"
    metrics.WEBHOOKS.labels(outcome=outcome).inc()
    if received.is_waiting:
        hinting = pass_on(parts, kept, is_fresh=True)
        parts.background.start(hinting, name="webhook hint")
    return JSONResponse({"received": True})


async def pass_on(
    parts: Messenger, event: InboxEvent, *, is_fresh: bool = False
) -> None:
    """Tell the checkout's workflow to look; what cannot be told now stays waiting.

    Args:
        parts: The way to the database and to the workflows.
        event: A row of the inbox that still waits.
        is_fresh: It arrived just now, so the workflow may be hearing the same from the
            processor's own answer.
    """
    try:
        await apply_event(parts, event, is_fresh=is_fresh)
    except (DoorClosed, RecordsUnavailable) as error:
        _log.warning(
            "hint waits for the starter loop",
            event_id=event.event_id,
            kind=event.kind,
            cause=type(error).__name__,
        )
    except Exception:
        # It stays waiting as well; the other hints of the same round have theirs.
        _log.exception(
            "hint could not be passed on", event_id=event.event_id, kind=event.kind
        )


async def apply_event(
    parts: Messenger, event: InboxEvent, *, is_fresh: bool = False
) -> None:
    """Do what `pass_on` does, and tell what stands in the way.

    Raises:
        DoorClosed: Temporal did not take it. Safe to repeat.
        RecordsUnavailable: Unknown whether it was applied. Safe to repeat.
    """
    checkout = await parts.records.read(lambda c: find_checkout(c, event))
    if misfit := _misfit(event, checkout):
        await _tell_support(parts, event, misfit)
        if misfit.cause == Cause.SECOND_CHARGE and checkout is not None:
            await _have_it_proven(parts, event, checkout, misfit)
    elif checkout is not None:
        if is_fresh and (_is_being_confirmed(checkout) or _is_aftermath(event)):
            # A signal in the middle of a workflow task makes the whole task run
            # again. In two seconds the loop passes the hint on, if it still is one.
            return
        logs.bind(checkout_id=checkout.checkout_id)
        await _tell(parts, event, checkout)
    await parts.records.write(lambda c: mark_applied(c, event.event_id))


async def _tell(parts: Messenger, event: InboxEvent, checkout: CheckoutRow) -> None:
    """Give the hint; have a charge put right that no workflow is looking after.

    Raises:
        DoorClosed: Temporal did not take it.
    """
    is_aftermath = _is_aftermath(event)
    if checkout.stage is Stage.CHARGED and not is_aftermath:
        return  # Its charge is known.
    if checkout.stage is Stage.OPEN and event.kind != _SUCCEEDED:
        return  # The attempt has ended with a proof; this is the news of that.
    is_open = checkout.stage is Stage.OPEN
    await look_or_repair(
        parts.door,
        Unfinished.of(checkout),
        actor="webhook",
        reason=f"{event.kind} and no workflow running",
        # The attempt's own repair may be over and recorded.
        repair_id=uuid5(_REPAIRS, event.event_id) if is_open or is_aftermath else None,
    )


async def _have_it_proven(
    parts: Messenger, event: InboxEvent, checkout: CheckoutRow, misfit: _Misfit
) -> None:
    """Have the workflow ask the processor for both charges; a second one goes back.

    Raises:
        DoorClosed: Temporal did not take it. Safe to repeat.
        RecordsUnavailable: Unknown whether it is noted. Safe to repeat.
    """
    await parts.records.write(
        lambda c: suspect_second_charge(
            c, checkout.checkout_id, misfit.payment_intent_id
        )
    )
    await parts.door.request_repair(
        CheckoutInput(
            checkout_id=checkout.checkout_id, reference_code=checkout.reference_code
        ),
        RepairRequest(
            repair_id=uuid5(_REPAIRS, event.event_id),
            actor="webhook",
            reason="the processor tells of a second charge",
        ),
    )


def _is_aftermath(event: InboxEvent) -> bool:
    return event.kind in _AFTERMATH


def _misfit(event: InboxEvent, checkout: CheckoutRow | None) -> _Misfit | None:
    """Say why no order of ours stands for a charge; None when all is well.

    Without our metadata a payment that we do not know is somebody else's on the same
    account. With it, it is ours and its checkout was lost: as after a restore from an
    older backup.
    """
    payment = event.payment_intent_id
    if event.kind != _SUCCEEDED or payment is None:
        return None
    if checkout is None:
        if event.checkout_id is None:
            return None
        return _Misfit(
            payment_intent_id=payment,
            cause=Cause.CHARGE_WITHOUT_CHECKOUT,
            detail=f"The processor tells of a charge for checkout {event.checkout_id}, "
            "which is not in our records.",
        )
    if checkout.stage is not Stage.CHARGED or payment == checkout.payment_intent_id:
        return None
    return _Misfit(
        payment_intent_id=payment,
        cause=Cause.SECOND_CHARGE,
        detail=f"{checkout.reference_code} was charged by "
        f"{checkout.payment_intent_id}, and the processor tells of another charge. It "
        "is being asked for both; a second charge that it shows is returned by itself.",
    )


async def _tell_support(parts: Messenger, event: InboxEvent, misfit: _Misfit) -> None:
    """Open a case for the payment: a person decides whether it goes back.

    Raises:
        RecordsUnavailable: Unknown whether the case is open. Safe to repeat.
    """
    is_new = await parts.records.write(
        lambda c: open_payment_case(
            c, misfit.payment_intent_id, _STEP, misfit.cause, misfit.detail
        )
    )
    if is_new:
        _log.error(
            "charge without an order: a case was opened",
            cause=misfit.cause,
            payment_intent_id=misfit.payment_intent_id,
            checkout_id=str(event.checkout_id),
            event_id=event.event_id,
        )


async def find_checkout(
    connection: AsyncConnection, event: InboxEvent
) -> CheckoutRow | None:
    """Find the checkout an event is about, by its metadata or by its payment."""
    if event.checkout_id is not None:
        try:
            return await read_checkout(connection, event.checkout_id)
        except CheckoutNotFound:
            pass  # Metadata can be written by hand; the payment's id cannot.
    if event.payment_intent_id is None:
        return None
    checkout_id = await find_checkout_of_payment(connection, event.payment_intent_id)
    return None if checkout_id is None else await read_checkout(connection, checkout_id)


def _is_being_confirmed(checkout: CheckoutRow) -> bool:
    return checkout.money_state is MoneyState.UNKNOWN


def _kept(event: ProcessorEvent) -> InboxEvent:
    try:
        checkout_id = UUID(event.checkout_id) if event.checkout_id else None
    except ValueError:
        checkout_id = None
    return InboxEvent(
        event_id=event.event_id,
        kind=event.kind,
        payment_intent_id=event.payment_intent_id,
        checkout_id=checkout_id,
    )


def _needs_hint(event: InboxEvent) -> bool:
    is_of_payment = event.kind.startswith("payment_intent.")
    return (is_of_payment and event.kind != _NO_NEWS) or _is_aftermath(event)


def _why_ignored(event: ProcessorEvent) -> str | None:
    if event.account_id is None:
        return None
    return f"it is of the account {event.account_id}, not of ours"


def _refused(kind: str, cause: str) -> Response:
    metrics.WEBHOOKS.labels(outcome="refused").inc()
    _log.warning("webhook refused", kind=kind, cause=cause)
    return JSONResponse({"error": "this event was refused"}, status_code=400)
