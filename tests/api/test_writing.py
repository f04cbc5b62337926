"""What customers write on their page: kept once, acted on, acknowledged with facts."""

from __future__ import annotations

import io
from html import unescape

import httpx
import pytest

from api.starter import Starter
from tests.api.conftest import MakeShop
from tests.api.doubles import Opened, Shop, text_of

pytestmark = pytest.mark.postgres

WORDS = "I paid, and I see nothing.\n\nMara"


async def write(shop: Shop, opened: Opened, text: str = WORDS) -> httpx.Response:
    """Send the form of a checkout's page."""
    return await shop.browser.post(f"{opened.path}/message", data={"text": text})


async def paid_without_access(shop: Shop) -> Opened:
    """A customer who paid and waits."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging' WHERE stage='requested'")
    shop.charge(opened, access="PENDING")
    return opened


async def test_a_message_opens_the_case_and_asks_for_a_repair(shop: Shop) -> None:
    """Their words are kept, somebody sees them, and it is looked afresh at once."""
    opened = await paid_without_access(shop)

    answer = await write(shop, opened)

    assert answer.headers["location"] == f"{opened.path}/message"
    assert shop.sql("SELECT text FROM customer_messages") == [(WORDS,)]
    assert shop.sql("SELECT cause FROM cases") == [("CustomerWrote",)]
    assert shop.sql("SELECT heard_at IS NOT NULL FROM checkouts") == [(True,)]
    ((repair_id,),) = shop.sql("SELECT repair_id FROM repairs")
    assert repair_id in {repair.repair_id for _, repair in shop.door.repairs}


async def test_a_message_is_one_signal(shop: Shop) -> None:
    """The repair looks at everything a hint would, and is told no second time."""
    opened = await paid_without_access(shop)

    await write(shop, opened)

    ((repair_id, is_told),) = shop.sql(
        "SELECT repair_id, told_at IS NOT NULL FROM repairs"
    )
    assert is_told
    assert [repair.repair_id for _, repair in shop.door.repairs] == [repair_id]
    assert shop.door.hinted == []


async def test_the_acknowledgement_has_the_facts_and_the_hours(shop: Shop) -> None:
    """The page's own words about the money, and when somebody is there."""
    opened = await paid_without_access(shop)
    await write(shop, opened)

    said = unescape(text_of((await shop.browser.get(f"{opened.path}/message")).text))

    assert "We have your message." in said
    assert "You wrote it at " in said
    assert "We received your $249.00. You do not need to pay again." in said
    assert "Somebody is here until 17:00 UTC today." in said


async def test_no_message_is_acknowledged_that_we_do_not_have(shop: Shop) -> None:
    """After a send that failed, a reload leads back to the form and claims nothing."""
    opened = await paid_without_access(shop)

    answer = await shop.browser.get(f"{opened.path}/message")

    assert answer.status_code == 303
    assert answer.headers["location"] == opened.path


async def test_sent_twice_it_is_one_message(shop: Shop) -> None:
    """A second press with the same words keeps, opens and asks for nothing more."""
    opened = await paid_without_access(shop)
    await write(shop, opened)
    asked = len(shop.door.repairs)

    await write(shop, opened)

    assert shop.sql("SELECT count(*) FROM customer_messages") == [(1,)]
    assert len(shop.door.repairs) == asked


async def test_without_temporal_the_message_is_kept_and_the_repair_follows(
    shop: Shop,
) -> None:
    """The customer is acknowledged all the same; the starter loop knocks later."""
    opened = await paid_without_access(shop)
    shop.door.is_closed = True
    assert (await write(shop, opened)).status_code == 303
    shop.door.is_closed = False
    shop.sql("UPDATE repairs SET requested_at = now() - interval '6 seconds'")

    await Starter(shop.parts).round()

    ((repair_id, reason),) = shop.sql("SELECT repair_id, reason FROM repairs")
    assert reason == "the customer wrote"
    assert shop.door.repairs[-1][1].repair_id == repair_id


async def test_before_the_first_press_there_is_nothing_to_repair(shop: Shop) -> None:
    """A question before paying opens a case alone."""
    opened = await shop.open()

    await write(shop, opened, "Is there a discount?")

    assert shop.sql("SELECT cause FROM cases") == [("CustomerWrote",)]
    assert shop.door.repairs == []


@pytest.mark.parametrize("text", ["", "  \n ", "\x00", "x" * 4001])
async def test_no_words_or_too_many_are_refused(shop: Shop, text: str) -> None:
    """Nothing is kept, and the way back is shown."""
    opened = await shop.open()

    answer = await write(shop, opened, text)

    assert answer.status_code == 422
    assert shop.sql("SELECT count(*) FROM customer_messages") == [(0,)]


async def test_one_checkout_fills_no_timeline(make_shop: MakeShop) -> None:
    """From many addresses, too, a page takes so many messages and no more."""
    shop = make_shop()
    opened = await shop.open()

    codes = [(await write(shop, opened, f"{n}")).status_code for n in range(11)]

    assert codes == [303] * 10 + [429]


async def test_what_they_wrote_is_not_logged(
    shop: Shop, log_lines: io.StringIO
) -> None:
    """The log says that somebody wrote, and none of their words."""
    opened = await shop.open()
    await write(shop, opened)

    assert "I paid" not in log_lines.getvalue()


async def test_the_same_words_after_our_answer_ask_again(shop: Shop) -> None:
    """Who writes "any news?" twice a day is heard twice, and a double press is once."""
    opened = await paid_without_access(shop)
    await write(shop, opened)
    shop.sql(
        "UPDATE cases SET state='resolved', resolved_at=now() + interval '1 second'"
    )

    for _ in range(2):
        await write(shop, opened)

    assert shop.sql("SELECT text FROM customer_messages") == [(WORDS,), (WORDS,)]
    assert shop.sql("SELECT state, cause FROM cases") == [("open", "CustomerWrote")]
