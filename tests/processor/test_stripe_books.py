"""Everything that the processor made, page by page, through the Stripe adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import stripe

from domain.money import Money
from domain.payments import ListCharges, Page, ProcessorCharge
from domain.refunds import ListDisputesMade, ListRefundsMade
from processor.port import OutcomeUnknown, ProcessorBooks, RefusedByOurFault, Throttled
from processor.stripe_adapter import StripeProcessor
from processor.stripe_bodies import charge_of, page_of
from tests.processor.test_stripe_adapter import ADDRESSES
from tests.sandbox.processor_server import API_KEY, Buyer, Processor
from tests.specimens.records import on_record

#: Whole seconds, long past: each test has a span of its own in there.
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processor]:
    """A sandbox processor of this module's own."""
    processor = Processor(data=tmp_path_factory.mktemp("books") / "processor.sqlite")
    processor.start()
    yield processor
    processor.close()


@pytest.fixture
async def books(server: Processor) -> AsyncIterator[ProcessorBooks]:
    """The adapter, as who compares sees it."""
    made = StripeProcessor(API_KEY, ADDRESSES, api_base=server.url)
    yield made
    await made.close()


def pay(server: Processor, at: datetime | None = None, **more: Any) -> dict[str, Any]:
    """Make a payment past the shop, and return its charge."""
    created = {} if at is None else {"created": int(at.timestamp())}
    return server.tell("payments", **created, **more)


def leap(server: Processor) -> datetime:
    """Let a day pass, and return an instant between what was and what comes."""
    now = server.tell("clock", advance_seconds=86_400)["now"]
    return datetime.fromtimestamp(now, UTC) - timedelta(hours=1)


def change(server: Processor, path: str, **form: Any) -> None:
    """Do with Stripe's own API what a person does in the dashboard."""
    httpx.post(
        f"{server.url}/v1/{path}",
        data=form,
        headers={"authorization": f"Bearer {API_KEY}"},
        trust_env=False,
    ).raise_for_status()


async def walk(
    books: ProcessorBooks, request: ListCharges
) -> list[Page[ProcessorCharge]]:
    """Read every page, to the end."""
    pages = [await books.list_charges(request)]
    while pages[-1].next_cursor is not None:
        cursor = pages[-1].next_cursor
        pages.append(await books.list_charges(replace(request, starting_after=cursor)))
    return pages


def ids_on(pages: list[Page[ProcessorCharge]]) -> list[str]:
    """Return the ids of all charges, in the order of the pages."""
    return [charge.charge_id for page in pages for charge in page.made]


async def test_charge_tells_whose_it_is_and_what_became_of_it(
    books: ProcessorBooks, server: Processor
) -> None:
    """A charge carries all that its lost row had, and how much went back."""
    at = LONG_AGO
    record = on_record(uuid4())
    made = pay(server, at, metadata=record.to_metadata())
    change(server, "refunds", charge=made["id"], amount=4900)

    page = await books.list_charges(
        ListCharges(created_from=at, created_before=at + SECOND)
    )

    assert page == Page(
        made=(
            ProcessorCharge(
                charge_id=made["id"],
                payment_intent_id=made["payment_intent"],
                amount=Money(amount_minor=24900, currency="usd"),
                refunded_minor=4900,
                is_disputed=False,
                charged_at=at,
                checkout_id=record.checkout_id,
                on_record=record,
                card_brand="visa",
                card_last4="4242",
            ),
        ),
        next_cursor=None,
        oldest_at=at,
    )


async def test_span_has_its_beginning_and_not_its_end(
    books: ProcessorBooks, server: Processor
) -> None:
    """Spans that touch share nothing and leave nothing out, also within a second."""
    at = LONG_AGO + timedelta(hours=1)
    made = [pay(server, at + n * SECOND)["id"] for n in range(3)]
    middle = at + SECOND

    async def between(start: datetime, end: datetime) -> list[str]:
        request = ListCharges(created_from=start, created_before=end)
        return ids_on([await books.list_charges(request)])

    assert await between(at, middle) == [made[0]]
    assert await between(middle, at + 3 * SECOND) == [made[2], made[1]]
    in_it = middle + timedelta(milliseconds=400)
    assert await between(at, in_it) == [made[1], made[0]]
    assert await between(in_it, at + 3 * SECOND) == [made[2]]


async def test_pages_hold_each_of_many_in_one_second_once(
    books: ProcessorBooks, server: Processor
) -> None:
    """Charges of one second are told apart by the cursor, on pages of two."""
    at = LONG_AGO + timedelta(hours=2)
    made = [pay(server, at)["id"] for _ in range(5)]
    span = ListCharges(created_from=at, created_before=at + SECOND, limit=2)

    pages = await walk(books, span)

    assert [len(page.made) for page in pages] == [2, 2, 1]
    assert ids_on(pages) == made[::-1]


async def test_what_is_made_meanwhile_shifts_no_page(
    books: ProcessorBooks, server: Processor
) -> None:
    """Charges between two pages belong to the next span, or to the newest second."""
    at = LONG_AGO + timedelta(hours=3)
    made = [pay(server, at)["id"] for _ in range(3)]
    span = ListCharges(created_from=at, created_before=at + SECOND, limit=2)
    first = await books.list_charges(span)
    pay(server, at + SECOND)
    pay(server)

    second = await books.list_charges(replace(span, starting_after=first.next_cursor))

    assert ids_on([first, second]) == made[::-1]
    assert second.next_cursor is None


async def test_what_moved_nothing_is_left_out_and_counted(
    books: ProcessorBooks, server: Processor
) -> None:
    """A decline and a pending charge take their places; the walk goes on past them."""
    buyer = Buyer(server.client())
    server.tell("settings", processing_seconds=86400)
    start = leap(server)
    paid = pay(server)["id"]
    with pytest.raises(stripe.CardError):
        buyer.confirm(buyer.intent(), "pm_card_chargeDeclined")
    buyer.confirm(buyer.intent(), "pm_sandbox_processingThenSuccess")
    span = ListCharges(
        created_from=start, created_before=start + timedelta(hours=2), limit=1
    )

    pages = await walk(books, span)

    assert [len(page.made) for page in pages] == [0, 0, 1]
    assert all(page.oldest_at is not None for page in pages)
    assert ids_on(pages) == [paid]


async def test_charge_without_a_record_is_told_as_it_is(
    books: ProcessorBooks, server: Processor
) -> None:
    """No metadata, no PaymentIntent, a foreign id: each is shown and none is ours."""
    at = LONG_AGO + timedelta(hours=4)
    checkout_id = uuid4()
    pay(server, at)
    pay(server, at + SECOND, is_legacy=True)
    pay(server, at + 2 * SECOND, metadata={"checkout_id": "order-17"})
    pay(server, at + 3 * SECOND, metadata={"checkout_id": str(checkout_id)})

    page = await books.list_charges(
        ListCharges(created_from=at, created_before=at + 4 * SECOND)
    )

    assert [charge.checkout_id for charge in page.made] == [
        checkout_id,
        None,
        None,
        None,
    ]
    assert [charge.payment_intent_id is None for charge in page.made] == [
        False,
        False,
        True,
        False,
    ]
    assert {charge.on_record for charge in page.made} == {None}


async def test_metadata_that_the_charge_lacks_comes_from_its_payment_intent(
    books: ProcessorBooks, server: Processor
) -> None:
    """What was written on the PaymentIntent after the charge is found all the same."""
    at = LONG_AGO + timedelta(hours=5)
    record = on_record(uuid4())
    made = pay(server, at)
    change(
        server,
        f"payment_intents/{made['payment_intent']}",
        **{f"metadata[{name}]": text for name, text in record.to_metadata().items()},
    )

    (charge,) = (
        await books.list_charges(
            ListCharges(created_from=at, created_before=at + SECOND)
        )
    ).made

    assert charge.on_record == record


async def test_refunds_are_listed_by_when_they_were_made(
    books: ProcessorBooks, server: Processor
) -> None:
    """Every refund of a span, ours or not, once, on pages of two."""
    made = pay(server)
    change(server, "refunds", charge=made["id"], amount=100)
    start = leap(server)
    for amount in (200, 300, 400):
        change(server, "refunds", charge=made["id"], amount=amount)
    legacy = pay(server, is_legacy=True)
    change(server, "refunds", charge=legacy["id"])
    span = ListRefundsMade(
        created_from=start, created_before=start + timedelta(hours=2), limit=2
    )

    first = await books.list_refunds_made(span)
    second = await books.list_refunds_made(
        replace(span, starting_after=first.next_cursor)
    )

    found = [*first.made, *second.made]
    assert [refund.amount.amount_minor for refund in found] == [400, 300, 200]
    assert {refund.payment_intent_id for refund in found} == {made["payment_intent"]}
    assert second.next_cursor is None


async def test_disputes_are_listed_by_when_they_were_opened(
    books: ProcessorBooks, server: Processor
) -> None:
    """A dispute counts at its own time, however old its charge is."""
    made = pay(server)
    start = leap(server)
    server.tell("disputes", charge=made["id"])
    span = ListDisputesMade(
        created_from=start, created_before=start + timedelta(hours=2)
    )

    page = await books.list_disputes_made(span)

    (dispute,) = page.made
    assert dispute.payment_intent_id == made["payment_intent"]
    assert page.oldest_at == dispute.opened_at
    assert page.next_cursor is None
    later = replace(span, created_from=span.created_before + SECOND)
    assert await books.list_disputes_made(
        replace(later, created_before=later.created_from + SECOND)
    ) == replace(page, made=(), oldest_at=None)


async def test_lists_fail_as_everything_else_does(
    books: ProcessorBooks, server: Processor
) -> None:
    """A cursor of nothing is our fault; a 503 is unknown; a 429 is for later."""
    span = ListCharges(created_from=LONG_AGO, created_before=LONG_AGO + SECOND)
    with pytest.raises(RefusedByOurFault):
        await books.list_charges(replace(span, starting_after="ch_nobody"))
    for action, error in (("error_503", OutcomeUnknown), ("throttle", Throttled)):
        for path in ("charges", "refunds", "disputes"):
            server.fault(action, match={"method": "GET", "path_regex": f"/{path}$"})
        with pytest.raises(error):
            await books.list_charges(span)
        with pytest.raises(error):
            await books.list_refunds_made(
                ListRefundsMade(created_from=LONG_AGO, created_before=LONG_AGO + SECOND)
            )
        with pytest.raises(error):
            await books.list_disputes_made(
                ListDisputesMade(
                    created_from=LONG_AGO, created_before=LONG_AGO + SECOND
                )
            )


def test_object_in_unknown_words_is_named_and_hides_no_other() -> None:
    """One charge in a word of tomorrow neither stops the walk nor is passed over."""
    known = {
        "id": "ch_1",
        "status": "succeeded",
        "captured": True,
        "amount_captured": 900,
        "amount_refunded": 0,
        "currency": "usd",
        "disputed": False,
        "created": 1_767_225_600,
        "payment_intent": None,
    }
    strange = {**known, "id": "ch_2", "status": "settled_by_moonlight"}

    page = page_of({"data": [strange, known], "has_more": True}, charge_of)

    assert [charge.charge_id for charge in page.made] == ["ch_1"]
    assert page.not_understood == ("ch_2",)
    assert page.next_cursor == "ch_1"
