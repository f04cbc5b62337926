"""The processor asked while somebody waits: three seconds, then the page says so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from api.parts import Parts
from domain.payments import PaymentIntent
from domain.refunds import Refund
from observability.logs import get_logger

#: A person looks at the page; the rows are there to be read meanwhile.
WITHIN = timedelta(seconds=3)

_log = get_logger("api.support")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the processor showed this moment, or why it did not.

    Attributes:
        intent: None when it was not asked or did not answer.
        refunds: All that it has of this payment.
        why_not: In a sentence; empty when it answered.
    """

    intent: PaymentIntent | None = None
    refunds: tuple[Refund, ...] = ()
    why_not: str = ""


NOTHING_SENT = Shown(why_not="Nothing was ever sent to the processor.")


async def ask_processor(parts: Parts, payment_intent_id: str | None) -> Shown:
    """Ask for a payment and its refunds; whatever happens, there is an answer."""
    if payment_intent_id is None:
        return NOTHING_SENT
    processor = parts.processor
    if processor is None:
        return Shown(why_not="This server has no way to the processor.")
    try:
        async with asyncio.timeout(WITHIN.total_seconds()):
            intent, refunds = await asyncio.gather(
                processor.look_up(payment_intent_id),
                processor.list_refunds(payment_intent_id),
            )
    except TimeoutError:
        seconds = int(WITHIN.total_seconds())
        return Shown(why_not=f"It could not be asked: no answer in {seconds} seconds.")
    except Exception as error:
        # Its own words may quote what we sent; the log has the kind alone.
        _log.warning("the processor could not be asked", cause=type(error).__name__)
        return Shown(
            why_not="It could not be asked: it refused, or knows no such payment."
        )
    return Shown(intent=intent, refunds=tuple(refunds))
