"""The console at work: what is found, what is said, and what a press comes to."""

from __future__ import annotations

import asyncio
import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from api.starter import Starter
from api.support import asking, batch
from database.customer_messages import write_message
from database.engine import make_engine
from domain.identifiers import derived_id
from domain.payments import PaymentIntent, PaymentIntentStatus
from domain.staff import Role
from tests.api.doubles import NOW, Opened, Shop, text_of
from tests.api.staffing import Colleague, actions, form_token_of, hire, seen_by
from tests.specimens.pages import PRICE

#: What a page of `stuck` shows that its case is open for.
SEEN = "ApplicationAway"


@pytest.fixture
async def dana(shop: Shop) -> Colleague:
    """Somebody of support who is signed in."""
    return await hire(shop)


async def stuck(shop: Shop, email: str = "mara@example.com") -> Opened:
    """A customer who paid and has no access, with a case."""
    opened = await shop.open(email)
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging' WHERE stage='requested'")
    shop.charge(opened, access="PENDING")
    shop.sql(
        "UPDATE payment_attempts SET payment_intent_id='pi_' || checkout_id,"
        " outcome='charged', ended_at=now() WHERE checkout_id=%s",
        opened.checkout_id,
    )
    open_case(shop, opened)
    return opened


def open_case(shop: Shop, opened: Opened, **changes: Any) -> None:
    """Open a checkout's case as the workflow does."""
    values = {"cause": "ApplicationAway", "state": "open"} | changes
    shop.sql(
        "INSERT INTO cases (case_id, checkout_id, state, step, cause, detail)"
        " VALUES (%s, %s, %s, 'open access in the application', %s, 'no answer')",
        case_of(opened),
        opened.checkout_id,
        values["state"],
        values["cause"],
    )


def case_of(opened: Opened) -> UUID:
    """Return the id of a checkout's case."""
    return derived_id(opened.checkout_id, "case")


def page_of(opened: Opened) -> str:
    """Return the address of a case's page."""
    return f"/support/cases/{case_of(opened)}"


def checkout_of(opened: Opened) -> str:
    """Return the address of a checkout's page."""
    return f"/support/checkouts/{opened.checkout_id}"


def said_by(answer: httpx.Response) -> str:
    """Return what a page says, as a person reads it."""
    return unescape(text_of(answer.text))


def taken(opened: Opened, **changes: Any) -> PaymentIntent:
    """What the processor shows of a payment that was taken."""
    values: dict[str, Any] = {
        "payment_intent_id": f"pi_{opened.checkout_id}",
        "status": PaymentIntentStatus.SUCCEEDED,
        "price": PRICE,
        "checkout_id": opened.checkout_id,
        "charged_at": NOW,
        "card_brand": "visa",
        "card_last4": "4242",
    }
    return PaymentIntent(**values | changes)


# Lists and searches


async def test_an_empty_list_says_so(dana: Colleague) -> None:
    """Nobody is waiting: no table without rows, no blank page."""
    answer = await dana.browser.get("/support")

    assert "Nobody is waiting." in said_by(answer)
    for lane in ("held", "healing", "done"):
        shown = await dana.browser.get("/support", params={"lane": lane})
        assert shown.status_code == 200
        assert 'class="empty"' in shown.text


async def test_the_list_begins_with_the_most_harm(shop: Shop, dana: Colleague) -> None:
    """Not knowing, then paid without access, then the rest; addresses are masked."""
    other = await stuck(shop, "carl@example.com")
    shop.sql(
        "UPDATE checkouts SET access_state='ACTIVE' WHERE checkout_id=%s",
        other.checkout_id,
    )
    await stuck(shop, "bob@example.com")
    unknown = await shop.open("ann@example.com")
    await shop.pay(unknown)
    open_case(shop, unknown, cause="OutcomeStillUnknown")

    answer = await dana.browser.get("/support")

    names = re.findall(r'class="who">(.)•••@example\.com', answer.text)
    assert names == ["a", "b", "c"]
    assert "ann@" not in answer.text
    assert "the processor still cannot say whether it was paid" in said_by(answer)


async def test_what_the_machine_is_at_stands_apart(shop: Shop, dana: Colleague) -> None:
    """Unfinished for half a minute and without a case: healing, nobody is needed."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging' WHERE stage='requested'")
    shop.sql("UPDATE checkouts SET updated_at = now() - interval '1 minute'")

    needs = await dana.browser.get("/support")
    healing = await dana.browser.get("/support", params={"lane": "healing"})

    assert "Nobody is waiting." in said_by(needs)
    assert checkout_of(opened) in healing.text
    assert "the machine is at it" in said_by(healing)


@pytest.mark.parametrize(
    "query",
    [
        "mara@example.com",
        "  MARA@Example.COM ",
        "From: Mara <mara@example.com>",
        "{reference}",
        "{reference_lower}",
        "{payment}",
        "https://dashboard.stripe.com/payments/{payment}",
        "4242 23 Nov",
        "4242 2026-11-23",
        "4242 24.11.2026",
        "249.00 23 Nov",
        "$249 23 November",
        "Nov 23 249",
    ],
)
async def test_a_customer_is_found_by_what_they_can_say(
    shop: Shop, dana: Colleague, query: str
) -> None:
    """Address, reference, payment, card and day, amount and day lead to the case."""
    opened = await stuck(shop)
    await shop.open("eve@example.com")
    code = shop.sql(
        "SELECT reference_code FROM checkouts WHERE checkout_id=%s", opened.checkout_id
    )[0][0]
    typed = query.format(
        reference=code,
        reference_lower=code.lower().replace("-", ""),
        payment=f"pi_{opened.checkout_id}".replace("-", "_"),
    )
    shop.sql(
        "UPDATE payment_attempts SET payment_intent_id='pi_' || replace("
        "checkout_id::text, '-', '_') WHERE checkout_id=%s",
        opened.checkout_id,
    )

    answer = await dana.browser.get("/support/search", params={"q": typed})

    assert answer.status_code == 303, said_by(answer)
    assert answer.headers["location"] == page_of(opened)


async def test_several_are_listed(shop: Shop, dana: Colleague) -> None:
    """Two checkouts of one customer: both stand there, with what they lack."""
    await stuck(shop)
    await shop.open("mara@example.com")

    answer = await dana.browser.get("/support/search", params={"q": "mara@example.com"})

    assert "2 checkouts" in said_by(answer)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("nobody@example.com", "None of our records fits"),
        ("where is it", "Look for what?"),
        ("", "Look for what?"),
        ("4242", "Look for what?"),
        ("4242 31 Feb", "Look for what?"),
        ("%' OR 1=1 --", "Look for what?"),
        ("pi_3QxA", "Ask the processor"),
    ],
)
async def test_nothing_found_is_no_dead_end(
    dana: Colleague, query: str, words: str
) -> None:
    """The page says what else finds somebody, and offers the processor."""
    answer = await dana.browser.get("/support/search", params={"q": query})

    assert answer.status_code == 200
    assert words in said_by(answer)
    assert 'action="/support/payments"' in answer.text


async def test_a_charge_that_nobody_knows_becomes_a_case(
    shop: Shop, dana: Colleague
) -> None:
    """The processor is asked by the payment's id; what took money gets a case, once."""
    opened = Opened(path="", checkout_id=uuid4())
    shop.processor.intents["pi_lost"] = taken(
        opened, payment_intent_id="pi_lost", checkout_id=None
    )
    page = "/support/payments?payment_intent=pi_lost"

    shown = await dana.browser.get(page)
    made = await dana.post("/support/payments/case", page, payment_intent="pi_lost")
    again = await dana.browser.get("/support/search", params={"q": "pi_lost"})
    case = await dana.browser.get(made.headers["location"])

    assert "the money was taken" in said_by(shown)
    assert "nothing of ours stands for it" in said_by(shown)
    assert made.status_code == 303
    assert again.headers["location"] == made.headers["location"].partition("?")[0]
    assert "no checkout of ours does" in said_by(case)
    assert "Paid, no order" in said_by(case)


# A case


async def test_a_case_tells_three_accounts_and_where_they_differ(
    shop: Shop, dana: Colleague
) -> None:
    """The processor this moment, our rows, what the customer heard; then in words."""
    opened = await stuck(shop)
    shop.processor.intents[f"pi_{opened.checkout_id}"] = taken(opened)

    said = said_by(await dana.browser.get(page_of(opened)))

    assert shop.processor.asked == [f"pi_{opened.checkout_id}"]
    for words in (
        "The processor says Payment the money was taken",
        "Visa ending 4242",
        "Money charged",
        "Their page says: “We received your $249.00.",
        "What they may feel: ",
        "The customer paid and cannot get in.",
        "Give m•••@example.com access and send the receipt",
        "It will not charge the card",
        "Pay was pressed (try 1)",
    ):
        assert words in said, words
    assert f"pi_{opened.checkout_id}" in said


async def test_a_silent_processor_is_said_within_three_seconds(
    shop: Shop, dana: Colleague, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page does not wait for it, and claims nothing in its name."""
    opened = await stuck(shop)
    monkeypatch.setattr(asking, "WITHIN", asking.WITHIN / 30)
    shop.processor.takes = 30

    answer = await dana.browser.get(page_of(opened))

    assert answer.status_code == 200
    assert "It could not be asked" in said_by(answer)
    assert "The processor says Payment" not in said_by(answer)
    assert answer.elapsed.total_seconds() < 3


async def test_a_processor_that_refuses_breaks_no_page(
    shop: Shop, dana: Colleague
) -> None:
    """An unknown payment, a wrong key: the rows are shown all the same."""
    opened = await stuck(shop)

    answer = await dana.browser.get(page_of(opened))

    assert answer.status_code == 200
    assert "It could not be asked: it refused" in said_by(answer)


async def test_what_the_processor_knows_better_is_said(
    shop: Shop, dana: Colleague
) -> None:
    """It took the money and our row calls it not charged: the page begins with that."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.decline(opened)
    shop.sql(
        "UPDATE payment_attempts SET payment_intent_id='pi_' || checkout_id"
        " WHERE checkout_id=%s",
        opened.checkout_id,
    )
    shop.processor.intents[f"pi_{opened.checkout_id}"] = taken(opened)

    said = said_by(await dana.browser.get(checkout_of(opened)))

    assert "The processor took the money, and our row does not know it." in said
    assert "Finish the order of m•••@example.com" in said


@pytest.mark.parametrize("path", ["cases", "checkouts"])
async def test_an_unknown_address_is_a_clear_page(dana: Colleague, path: str) -> None:
    """No case, no checkout, no id at all: never a fault."""
    for name in (str(uuid4()), "x", "1"):
        answer = await dana.browser.get(f"/support/{path}/{name}")
        assert answer.status_code in {404, 422}
        assert 'href="/support"' in answer.text


async def test_a_nul_character_is_a_clear_page(
    shop: Shop, dana: Colleague, log_lines: io.StringIO
) -> None:
    """No row can hold one: each form and the search refuse it, and nothing is at fault.

    Whoever is not signed in gets the same answer.
    """
    opened = await stuck(shop)
    page, checkout = page_of(opened), checkout_of(opened)
    stranger = shop.new_browser()
    token = form_token_of((await stranger.get("/support/sign-in")).text)
    reason = {"reason": "a\0b"}
    before = log_lines.tell()

    answers = [
        await dana.browser.get("/support/search", params={"q": "mara\0@example.com"}),
        await dana.post(f"{page}/claim", page, expected="da\0na"),
        await dana.post(f"{page}/hand-over", page, to="e\0li"),
        await dana.post(f"{page}/notes", page, text="a\0b"),
        await dana.post(f"{page}/hold", page, until="4h", **reason),
        await dana.post(f"{page}/close", page, **reason),
        await dana.post(f"{checkout}/case", page, **reason),
        await dana.post(f"{checkout}/days", page, days="1", turn="0", **reason),
        await refund(dana, opened, **reason),
        await dana.post("/support/pause", "/support", **reason),
        await dana.post("/support/reconciliation/hold", "/support", **reason),
        await stranger.post(
            "/support/sign-in",
            data={"form_token": token, "name": "da\0na", "password": "x", "code": "1"},
        ),
        await stranger.get("/support/setup/a%00b"),
    ]

    assert [answer.status_code for answer in answers[:-1]] == [422] * 12
    assert 400 <= answers[-1].status_code < 500
    assert "Traceback" not in log_lines.getvalue()[before:]
    assert '"level": "error"' not in log_lines.getvalue()[before:]
    assert shop.sql("SELECT owner, state FROM cases") == [(None, "open")]


async def test_blanks_are_no_reason(shop: Shop, dana: Colleague) -> None:
    """Whoever asks later why it was done finds words: blanks do nothing anywhere."""
    opened = await stuck(shop)
    page, checkout = page_of(opened), checkout_of(opened)
    before = len(actions(shop))
    blank = {"reason": " \t "}

    answers = [
        await dana.post(f"{page}/close", page, **blank),
        await dana.post(f"{page}/hold", page, until="4h", **blank),
        await dana.post(f"{page}/notes", page, text=" \n "),
        await dana.post(f"{checkout}/case", page, **blank),
        await dana.post(f"{checkout}/days", page, days="1", turn="0", **blank),
        await refund(dana, opened, **blank),
        await dana.post("/support/pause", "/support", **blank),
        await dana.post("/support/reconciliation/hold", "/support", **blank),
    ]

    assert [answer.status_code for answer in answers] == [422] * 8
    assert {row[2] for row in actions(shop)[before:]} <= {"refused"}
    assert shop.sql("SELECT state FROM cases") == [("open",)]


async def test_what_people_write_stays_text(shop: Shop, dana: Colleague) -> None:
    """A note with markup is shown as it was typed."""
    opened = await stuck(shop)
    markup = "<script>alert(1)</script> <img src=x onerror=alert(1)>"

    await dana.post(f"{page_of(opened)}/notes", page_of(opened), text=markup)
    answer = await dana.browser.get(page_of(opened))

    assert markup not in answer.text
    assert f"noted: {markup}" in unescape(answer.text)


# Taking, handing over, holding, closing


async def test_a_case_is_taken_handed_over_and_put_back(
    shop: Shop, dana: Colleague
) -> None:
    """Each step is one row of the audit, and the list says with whom it is."""
    eli = await hire(shop, "eli")
    opened = await stuck(shop)
    page = page_of(opened)

    took = await dana.post(f"{page}/claim", page, expected="")
    gave = await dana.post(f"{page}/hand-over", page, expected="dana", to="eli")
    elis = await eli.browser.get("/support")
    back = await eli.post(f"{page}/release", page, expected="eli")

    assert [answer.status_code for answer in (took, gave, back)] == [303] * 3
    assert "handed-over" in gave.headers["location"]
    assert "Yours" in said_by(elis)
    rows = [row for row in actions(shop) if row[1].startswith("case.")]
    assert [(row[0], row[1], row[3]["after"]) for row in rows] == [
        ("dana", "case.claimed", "dana"),
        ("dana", "case.handed_over", "eli"),
        ("eli", "case.released", None),
    ]
    assert shop.sql("SELECT owner, state FROM cases") == [(None, "open")]


async def test_of_two_who_take_a_case_one_gets_it(shop: Shop, dana: Colleague) -> None:
    """The other is told, changes nothing, and the audit has both."""
    eli = await hire(shop, "eli")
    opened = await stuck(shop)
    page = page_of(opened)

    answers = await asyncio.gather(
        *(who.post(f"{page}/claim", page, expected="") for who in (dana, eli))
    )

    places = sorted(a.headers["location"].partition("said=")[2] for a in answers)
    assert places == ["claimed", "moved"]
    claims = [row for row in actions(shop) if row[1] == "case.claimed"]
    assert sorted(row[2] for row in claims) == ["done", "refused"]


async def test_a_case_is_not_handed_to_who_cannot_act(
    shop: Shop, dana: Colleague
) -> None:
    """Readers, closed accounts and strangers take no case."""
    await hire(shop, "rita", Role.READ)
    opened = await stuck(shop)
    page = page_of(opened)

    for name in ("rita", "nobody"):
        answer = await dana.post(f"{page}/hand-over", page, expected="", to=name)
        assert answer.status_code == 409
        assert "Nothing was changed." in said_by(answer)
        assert actions(shop)[-1][1:3] == ("case.handed_over", "refused")
    assert actions(shop)[-1][3]["after"] is None
    assert shop.sql("SELECT owner FROM cases") == [(None,)]


async def test_a_held_case_comes_back(shop: Shop, dana: Colleague) -> None:
    """Out of the list until its time, or until the customer writes; never lost."""
    opened = await stuck(shop)
    page = page_of(opened)
    # Holds end by the database's clock, so this one runs with it.
    shop.clock.now = datetime.now(UTC)

    held = await dana.post(f"{page}/hold", page, until="4h", reason="bank answers")
    away = await dana.browser.get("/support")
    there = await dana.browser.get("/support", params={"lane": "held"})
    shop.sql("UPDATE checkouts SET heard_at = now()")
    heard = await dana.browser.get("/support")
    without = await dana.post(f"{page}/hold", page, until="4h", reason=" ")
    refused = actions(shop)[-1][1:3]
    ended = await dana.post(f"{page}/hold", page, until="")

    assert "said=held" in held.headers["location"]
    assert "Nobody is waiting." in said_by(away)
    assert "bank answers" in said_by(there)
    assert page in heard.text
    assert without.status_code == 422
    assert refused == ("case.held", "refused")
    assert "said=not-held" in ended.headers["location"]
    assert shop.sql("SELECT held_until, held_at, hold_reason FROM cases") == [
        (None, None, None)
    ]


async def test_a_closed_case_is_done_and_stays_findable(
    shop: Shop, dana: Colleague
) -> None:
    """It leaves the list, calls for no attention, and can be opened again by hand."""
    opened = await stuck(shop)
    shop.sql("UPDATE checkouts SET attention_at = now()")
    page = page_of(opened)

    await dana.post(f"{page}/close", page, reason="they are in")
    again = await dana.post(f"{page}/close", page, reason="again", seen=SEEN)
    done = await dana.browser.get("/support", params={"lane": "done"})
    shown = await dana.browser.get(page)
    reopened = await dana.post(
        f"{checkout_of(opened)}/case", checkout_of(opened), reason="she wrote again"
    )

    assert page in done.text
    assert "said=moved" in again.headers["location"]
    assert "noted: Closed: they are in" in said_by(shown)
    assert "said=opened" in reopened.headers["location"]
    assert shop.sql("SELECT attention_at FROM checkouts") == [(None,)]
    assert shop.sql("SELECT state, owner, cause FROM cases") == [
        ("in_progress", "dana", "StaffOpened")
    ]


@pytest.mark.parametrize(
    ("what", "fields", "action"),
    [
        ("close", {"reason": "they are in"}, "case.closed"),
        ("hold", {"until": "4h", "reason": "bank answers"}, "case.held"),
        ("hold", {"until": ""}, "case.hold_ended"),
    ],
)
async def test_an_older_page_buries_no_message(
    shop: Shop, dana: Colleague, what: str, fields: dict[str, str], action: str
) -> None:
    """Whoever closes or holds what they read leaves open what came after it."""
    opened = await stuck(shop)
    page = page_of(opened)
    shop.clock.now = datetime.now(UTC)
    before = (await dana.browser.get(page)).text
    seen = seen_by(before, f"{page}/{what}")
    shop.sql("UPDATE cases SET cause = 'CustomerWrote'")
    other_cause = await dana.post(f"{page}/{what}", page, **seen, **fields)
    shown = seen_by((await dana.browser.get(page)).text, f"{page}/{what}")
    shop.sql("UPDATE checkouts SET heard_at = now()")
    wrote_again = await dana.post(f"{page}/{what}", page, **shown, **fields)
    kept = shop.sql("SELECT state, held_until FROM cases")
    notes = shop.sql("SELECT count(*) FROM case_notes")
    as_seen = await dana.post(f"{page}/{what}", page, **fields)

    assert seen == {"seen": SEEN}
    for stale in (other_cause, wrote_again):
        assert stale.headers["location"] == f"{page}?said=moved"
    assert kept == [("open", None)]
    assert notes == [(0,)]
    assert "said=moved" not in as_seen.headers["location"]
    assert [row[1:3] for row in actions(shop)][-3:] == [
        (action, "refused"),
        (action, "refused"),
        (action, "done"),
    ]


async def test_a_message_of_the_same_moment_is_not_closed(
    shop: Shop, dana: Colleague
) -> None:
    """A press that meets a message on its way waits for it, and then does nothing."""
    opened = await stuck(shop)
    page = page_of(opened)
    engine = make_engine(
        shop.database.owner_url, pool_size=1, application_name="tests of the console"
    )
    async with engine.begin() as connection:
        await write_message(
            connection, opened.checkout_id, uuid4(), "Where is it?", repair=None
        )
        press = asyncio.create_task(dana.post(f"{page}/close", page, reason="done"))
        await asyncio.sleep(0.5)
        waited = not press.done()
    closed = await press
    await engine.dispose()

    assert waited
    assert closed.headers["location"] == f"{page}?said=moved"
    assert shop.sql("SELECT state, cause FROM cases") == [("open", "CustomerWrote")]


async def test_who_only_looks_sees_no_button(shop: Shop) -> None:
    """A reader's page has everything but what would change something."""
    rita = await hire(shop, "rita", Role.READ)
    opened = await stuck(shop)

    answer = await rita.browser.get(page_of(opened))

    posts = re.findall(r'method="post" action="([^"]+)"', answer.text)
    assert posts == ["/support/sign-out"]
    assert "Your account looks and does not act." in said_by(answer)


# The repair


async def press(who: Colleague, opened: Opened) -> httpx.Response:
    """Open the case and press its one button."""
    page = await who.browser.get(checkout_of(opened))
    return await press_on(who, opened, page.text)


async def press_on(who: Colleague, opened: Opened, html: str) -> httpx.Response:
    """Press the button of a page that may be old."""
    found = re.search(r'name="repair_id" value="([^"]+)"', html)
    assert found is not None
    return await who.browser.post(
        f"{checkout_of(opened)}/repair",
        data={"form_token": form_token_of(html), "repair_id": found[1]},
    )


async def test_twenty_presses_of_two_people_are_one_repair(
    shop: Shop, dana: Colleague
) -> None:
    """One row, one id at the workflow's door; the second is told who was first."""
    eli = await hire(shop, "eli")
    opened = await stuck(shop)
    pages = {
        who.name: (await who.browser.get(checkout_of(opened))).text
        for who in (dana, eli)
    }

    first = await press_on(dana, opened, pages["dana"])
    answers = await asyncio.gather(
        *(
            press_on(who, opened, pages[who.name])
            for who in (dana, eli)
            for _ in range(10)
        )
    )
    elis = [a for a in answers[10:]]

    assert first.status_code == 303
    assert {a.headers["location"].partition("said=")[2] for a in elis} == {
        "repair-by-other"
    }
    ids = {repair.repair_id for _, repair in shop.door.repairs}
    assert len(ids) == 1
    assert {repair.actor for _, repair in shop.door.repairs} == {"dana"}
    assert shop.sql("SELECT count(*), min(actor) FROM repairs") == [(1, "dana")]
    asked = [row for row in actions(shop) if row[1] == "repair.asked"]
    assert sum(row[3]["is_new"] for row in asked) == 1


async def test_a_repair_that_ends_at_once_is_told_at_once(
    shop: Shop, dana: Colleague, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page that follows the press says what it found and did."""
    opened = await stuck(shop)

    async def finish(*_: object) -> None:
        shop.sql("UPDATE repairs SET outcome='opened access', finished_at=now()")

    monkeypatch.setattr(shop.door, "request_repair", finish)

    answer = await press(dana, opened)
    shown = await dana.browser.get(answer.headers["location"])

    assert "said=repair-done" in answer.headers["location"]
    assert "dana, just now: opened access" in said_by(shown)


async def test_after_a_repair_the_next_is_another(shop: Shop, dana: Colleague) -> None:
    """What did not help can be asked for again; an old page asks for the old one."""
    opened = await stuck(shop)
    old = (await dana.browser.get(checkout_of(opened))).text
    await press_on(dana, opened, old)
    shop.sql("UPDATE repairs SET outcome='nothing was missing', finished_at=now()")

    again = await press_on(dana, opened, old)
    new = await press(dana, opened)

    assert "said=repair-done" in again.headers["location"]
    assert "said=repair-asked" in new.headers["location"]
    assert shop.sql("SELECT count(*) FROM repairs") == [(2,)]


async def test_a_page_that_the_case_has_outrun_does_nothing(
    shop: Shop, dana: Colleague
) -> None:
    """Access came while somebody read: the press is told so, and asks for nothing."""
    opened = await stuck(shop)
    old = (await dana.browser.get(checkout_of(opened))).text
    shop.sql("UPDATE checkouts SET access_state='ACTIVE'")

    answer = await press_on(dana, opened, old)

    assert "said=repair-stale" in answer.headers["location"]
    assert shop.door.repairs == []
    assert shop.sql("SELECT count(*) FROM repairs") == [(0,)]
    assert actions(shop)[-1][1:3] == ("repair.asked", "refused")


async def test_a_repair_outlives_a_temporal_that_is_away(
    shop: Shop, dana: Colleague
) -> None:
    """It is written down and said; the second press reaches the same one."""
    opened = await stuck(shop)
    shop.door.is_closed = True
    waits = await press(dana, opened)
    shop.door.is_closed = False
    asked = await press(dana, opened)

    assert "said=repair-waits" in waits.headers["location"]
    assert "said=repair-asked" in asked.headers["location"]
    assert shop.sql("SELECT count(*) FROM repairs") == [(1,)]
    assert len(shop.door.repairs) == 1


async def test_a_repair_of_another_checkout_is_not_taken(
    shop: Shop, dana: Colleague
) -> None:
    """A form that names another's repair changes neither."""
    mara, eve = await stuck(shop), await stuck(shop, "eve@example.com")
    html = (await dana.browser.get(checkout_of(mara))).text

    answer = await press_on(dana, eve, html)

    assert "said=repair-stale" in answer.headers["location"]
    assert shop.door.repairs == []


# Refunds


async def refund(who: Colleague, opened: Opened, **fields: str) -> httpx.Response:
    """Fill in the refund form."""
    page = await who.browser.get(checkout_of(opened))
    turn = re.search(r'name="turn" value="(\d+)"', page.text)
    data = {
        "form_token": form_token_of(page.text),
        "amount": "249.00",
        "reason": "asked for it",
        "turn": turn[1] if turn else "0",
    }
    return await who.browser.post(f"{checkout_of(opened)}/refund", data=data | fields)


def offered_back(page: httpx.Response) -> dict[int, str]:
    """Return the refunds that a page offers to take back: id by minor units."""
    lines = re.findall(
        r"<li>\$([0-9.]+), asked for.*?name=\"refund_id\" value=\"([^\"]+)\"",
        page.text,
        re.DOTALL,
    )
    return {round(float(amount) * 100): refund_id for amount, refund_id in lines}


async def take_back(who: Colleague, opened: Opened, refund_id: str) -> httpx.Response:
    """Press the button beside a refund."""
    return await who.post(
        f"{checkout_of(opened)}/refund/take-back",
        checkout_of(opened),
        refund_id=refund_id,
    )


def make_stale(shop: Shop) -> None:
    """Let the last code be older than money allows."""
    shop.sql("UPDATE staff_sessions SET code_at = now() - interval '6 minutes'")


async def test_money_takes_a_fresh_code(shop: Shop, dana: Colleague) -> None:
    """Without one nothing happens and nothing is lost; with it the refund is asked."""
    opened = await stuck(shop)
    make_stale(shop)

    asked = await refund(dana, opened)
    wrong = await refund(dana, opened, code="000000")
    none = shop.sql("SELECT count(*) FROM refunds")
    shop.clock.move(seconds=60)
    code = dana.code()
    done = await refund(dana, opened, code=code)
    make_stale(shop)
    replayed = await refund(dana, opened, code=code)

    assert asked.status_code == 403
    assert "Nothing was done so far." in said_by(asked)
    assert 'name="amount" value="249.00"' in asked.text
    assert f'action="{checkout_of(opened)}/refund"' in asked.text
    assert "not right, or was used before" in said_by(wrong)
    assert none == [(0,)]
    assert "said=refund-asked" in done.headers["location"]
    assert replayed.status_code == 403
    assert shop.sql("SELECT actor, amount_minor, state FROM refunds") == [
        ("dana", 24900, "requested")
    ]
    assert len(shop.door.refunds) == 1
    rows = [(row[1], row[2]) for row in actions(shop)]
    assert ("refused", "refused") in rows
    assert rows.count(("code.given", "done")) == 1
    assert ("refund.asked", "done") in rows


async def test_guessing_codes_ends_the_session(shop: Shop, dana: Colleague) -> None:
    """After five wrong ones whoever sits there has to sign in again."""
    opened = await stuck(shop)
    make_stale(shop)

    answers = [await refund(dana, opened, code=f"00000{n}") for n in range(6)]

    assert [answer.status_code for answer in answers] == [403] * 5 + [303]
    assert (await dana.browser.get("/support")).status_code == 303
    assert shop.sql("SELECT count(*) FROM refunds") == [(0,)]


async def test_a_refund_can_be_taken_back_in_time(shop: Shop, dana: Colleague) -> None:
    """Ten minutes: the page says until when, one press takes it back, once."""
    opened = await stuck(shop)
    await refund(dana, opened, amount="50")
    shown = await dana.browser.get(checkout_of(opened))
    beside = offered_back(shown)

    back = await take_back(dana, opened, beside[5000])
    again = await take_back(dana, opened, beside[5000])

    assert "$50.00, asked for by dana: can still be taken back until" in said_by(shown)
    assert "$199.00 can still go back." in said_by(shown)
    assert "said=refund-taken-back" in back.headers["location"]
    assert "said=refund-taken-before" in again.headers["location"]
    assert shop.sql("SELECT state FROM refunds") == [("canceled",)]
    assert [row[1:3] for row in actions(shop)][-2:] == [
        ("refund.taken_back", "done"),
        ("refund.taken_back", "refused"),
    ]


async def test_a_button_takes_back_the_refund_beside_it(
    shop: Shop, dana: Colleague
) -> None:
    """Two who mean the same one take it back once; the other goes on its way."""
    eli = await hire(shop, "eli")
    opened = await stuck(shop)
    for amount in ("50.00", "100.00"):
        await refund(dana, opened, amount=amount)
    beside = offered_back(await dana.browser.get(checkout_of(opened)))

    answers = [await take_back(who, opened, beside[10000]) for who in (dana, eli)]
    other = await take_back(eli, await stuck(shop, "eve@example.com"), beside[5000])

    said = [one.headers["location"].partition("said=")[2] for one in (*answers, other)]
    assert said == ["refund-taken-back", "refund-taken-before", "repair-stale"]
    assert dict(shop.sql("SELECT amount_minor, state FROM refunds")) == {
        5000: "requested",
        10000: "canceled",
    }


async def test_what_was_sent_is_not_taken_back(shop: Shop, dana: Colleague) -> None:
    """Who presses too late is told that it is with the bank."""
    opened = await stuck(shop)
    await refund(dana, opened, amount="50.00")
    beside = offered_back(await dana.browser.get(checkout_of(opened)))
    move_refund(shop, UUID(beside[5000]), "submitting")

    late = await take_back(dana, opened, beside[5000])

    assert "said=refund-too-late" in late.headers["location"]
    assert shop.sql("SELECT state FROM refunds") == [("submitting",)]


async def test_two_people_refund_once(shop: Shop, dana: Colleague) -> None:
    """Both have the page open, both press: one refund, the second is told."""
    eli = await hire(shop, "eli")
    opened = await stuck(shop)

    await refund(dana, opened, amount="100.00", turn="0")
    again = await refund(dana, opened, amount="100.00", turn="0")
    second = await refund(eli, opened, amount="100.00", turn="0")

    assert "said=refund-asked" in again.headers["location"]
    assert "said=refund-by-other" in second.headers["location"]
    assert shop.sql("SELECT actor, amount_minor FROM refunds") == [("dana", 10000)]
    assert [row[:3] for row in actions(shop) if row[1] == "refund.asked"] == [
        ("dana", "refund.asked", "done"),
        ("eli", "refund.asked", "refused"),
    ]


def move_refund(shop: Shop, refund_id: UUID, *states: str) -> None:
    """Bring a refund on as the workflow does, a state at a time."""
    for state in states:
        shop.sql(
            "UPDATE refunds SET state=%s, processor_refund_id='re_1', failure='x',"
            " accepted_at=now(), next_look_at=now(), submitted_at=now(),"
            " finished_at=CASE WHEN %s IN ('succeeded', 'failed', 'canceled')"
            " THEN now() END WHERE refund_id=%s",
            state,
            state,
            refund_id,
        )


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (["submitting"], "refund-sent-before"),
        (["submitting", "succeeded"], "refund-sent-before"),
        (["submitting", "failed"], "refund-came-back"),
        (["canceled"], "refund-was-taken-back"),
    ],
)
async def test_a_press_that_finds_an_old_refund_says_so(
    shop: Shop, dana: Colleague, states: list[str], said: str
) -> None:
    """From a page of before, nothing is added, promised or told to the workflow."""
    opened = await stuck(shop)
    await refund(dana, opened, amount="100.00", turn="0")
    ((refund_id,),) = shop.sql("SELECT refund_id FROM refunds")
    move_refund(shop, refund_id, *states)

    again = await refund(dana, opened, amount="100.00", turn="0")

    assert again.headers["location"].endswith(f"?said={said}")
    assert shop.sql("SELECT state FROM refunds") == [(states[-1],)]
    assert len(shop.door.refunds) == 1
    asked = [row for row in actions(shop) if row[1] == "refund.asked"]
    assert [row[2] for row in asked] == ["done", "refused"]
    assert asked[1][3]["why"] == f"found one {states[-1]}"


async def test_no_history_keeps_what_people_typed(shop: Shop, dana: Colleague) -> None:
    """Temporal is told that it was asked for; a row, which can be erased, says why."""
    opened = await stuck(shop)
    words = "Mara Lind telephoned"
    html = (await dana.browser.get(checkout_of(opened))).text
    repair_id = re.search(r'name="repair_id" value="([^"]+)"', html)
    assert repair_id is not None
    await dana.post(
        f"{checkout_of(opened)}/repair",
        checkout_of(opened),
        repair_id=repair_id[1],
        reason=words,
    )
    await refund(dana, opened, reason=words)
    signals = len(shop.door.repairs), len(shop.door.refunds)
    for table in ("repairs SET told_at", "refunds SET knocked_at"):
        shop.sql(f"UPDATE {table} = NULL, requested_at = now() - interval '9 s'")
    await Starter(shop.parts).round()

    assert signals == (1, 1)
    assert (len(shop.door.repairs), len(shop.door.refunds)) == (2, 2)
    assert words not in repr((shop.door.repairs, shop.door.refunds))
    assert shop.sql("SELECT reason FROM repairs") == [(words,)]
    assert shop.sql("SELECT reason FROM refunds") == [(words,)]


async def test_of_two_who_refund_at_once_one_did(shop: Shop, dana: Colleague) -> None:
    """The audit says of each what became of it, however close they pressed."""
    eli = await hire(shop, "eli")
    opened = await stuck(shop)

    answers = await asyncio.gather(
        *(refund(who, opened, amount="100.00", turn="0") for who in (dana, eli))
    )

    said = sorted(one.headers["location"].partition("said=")[2] for one in answers)
    assert said == ["refund-asked", "refund-by-other"]
    asked = [row for row in actions(shop) if row[1] == "refund.asked"]
    assert [row[2] for row in asked] == ["done", "refused"]
    assert shop.sql("SELECT actor FROM refunds") == [(asked[0][0],)]


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("249.01", "more than what is left"),
        ("0", "more than nothing"),
        ("-5", "is not an amount"),
        ("24,90", "is not an amount"),
        ("abc", "is not an amount"),
        ("1e2", "is not an amount"),
        ("٢٤٩", "is not an amount"),
    ],
)
async def test_a_wrong_amount_is_refused_in_words(
    shop: Shop, dana: Colleague, amount: str, words: str
) -> None:
    """Nothing is sent, the sentence says why, and the audit has the try."""
    opened = await stuck(shop)

    answer = await refund(dana, opened, amount=amount)

    assert answer.status_code == 409
    assert words in said_by(answer)
    assert shop.sql("SELECT count(*) FROM refunds") == [(0,)]
    _, action, outcome, about = actions(shop)[-1]
    assert (action, outcome) == ("refund.asked", "refused")
    # The field takes any words; a row that is never erased has none of them.
    assert amount not in about.values()


async def test_nothing_is_refunded_that_was_not_charged(
    shop: Shop, dana: Colleague
) -> None:
    """The page offers no refund, and a form made by hand is refused."""
    opened = await shop.open()

    page = await dana.browser.get(checkout_of(opened))
    answer = await refund(dana, opened)

    assert "Give this amount back" not in said_by(page)
    assert answer.status_code == 409
    assert "was not charged" in said_by(answer)


async def test_the_audit_is_the_owners_to_read(shop: Shop, dana: Colleague) -> None:
    """Every action of the day, refused ones too, in words."""
    olga = await hire(shop, "olga", Role.OWNER)
    opened = await stuck(shop)
    await press(dana, opened)
    await dana.browser.get("/support/audit")

    said = said_by(await olga.browser.get("/support/audit"))

    assert "dana asked for a repair" in said
    assert "dana was kept out: refused (role)" in said


def fill_audit(shop: Shop, action: str, count: int) -> None:
    """Write so many more rows; their hashes are not looked at here."""
    shop.sql(
        "INSERT INTO staff_actions"
        " (action_id, at, actor, action, outcome, about, previous_hash, hash)"
        " SELECT last.action_id + n, now(), 'unknown', %s, 'refused', '{}',"
        " CASE n WHEN 1 THEN last.hash"
        " ELSE sha256((last.action_id + n - 1)::text::bytea) END,"
        " sha256((last.action_id + n)::text::bytea)"
        " FROM (SELECT * FROM staff_actions ORDER BY action_id DESC LIMIT 1) AS last,"
        " generate_series(1, %s) AS n",
        action,
        count,
    )


async def rows_behind(who: Colleague, path: str) -> list[list[int]]:
    """Follow the links to older rows; returns the numbers that each page shows."""
    pages = []
    while path:
        shown = (await who.browser.get(path)).text
        pages.append([int(number) for number in re.findall(r"Row (\d+)<", shown)])
        older = re.search(r'href="([^"]+)">Older rows', shown)
        path = unescape(older[1]) if older else ""
    return pages


async def test_strangers_push_nothing_out_of_the_audit(
    shop: Shop, dana: Colleague
) -> None:
    """However many sign-ins fail, deeds come first; those are counted, and a link."""
    olga = await hire(shop, "olga", Role.OWNER)
    await press(dana, await stuck(shop))
    before = len(actions(shop))
    fill_audit(shop, "sign_in", 450)

    said = said_by(await olga.browser.get("/support/audit"))
    sign_ins = await rows_behind(olga, "/support/audit?among=sign-ins")

    assert "dana asked for a repair" in said
    assert "450 failed sign-ins in the same time are left out." in said
    assert [len(page) for page in sign_ins] == [200, 200, 50]
    numbers = [number for page in sign_ins for number in page]
    assert numbers == list(range(before + 450, before, -1))


async def test_older_rows_of_the_audit_are_reached(shop: Shop) -> None:
    """Each row is on one page, down to the first; sign-ins between are counted."""
    olga = await hire(shop, "olga", Role.OWNER)
    for action, count in (("sign_in", 3), ("case.noted", 250), ("sign_in", 2)):
        fill_audit(shop, action, count)
    deeds = [row for row in actions(shop) if row[1] != "sign_in"]

    newest = said_by(await olga.browser.get("/support/audit"))
    pages = await rows_behind(olga, "/support/audit")

    assert "2 failed sign-ins in the same time are left out." in newest
    assert [len(page) for page in pages] == [200, len(deeds) - 200]
    assert pages[-1][-1] == 1


# Many of one cause


async def test_many_of_one_cause_are_repaired_together(
    shop: Shop, dana: Colleague
) -> None:
    """Looked at first: how many, the sum, five of them, the effect; then one press."""
    for number in range(7):
        await stuck(shop, f"buyer{number}@example.com")
    held = await stuck(shop, "held@example.com")
    await dana.browser.get("/support")
    shop.sql(
        "UPDATE cases SET held_until = now() + interval '1 day', held_at = now(),"
        " hold_reason = 'x' WHERE checkout_id=%s",
        held.checkout_id,
    )
    path = "/support/batch?cause=ApplicationAway"

    listed = await dana.browser.get("/support")
    shown = await dana.browser.get(path)
    dry = shop.sql("SELECT count(*) FROM repairs")
    pressed = await dana.post(
        "/support/batch", path, cause="ApplicationAway", count="7"
    )
    told = await dana.browser.get(pressed.headers["location"])
    await dana.post("/support/batch", path, cause="ApplicationAway", count="7")

    assert "7 cases of one cause" in said_by(listed)
    assert "$1,743.00 in all" in said_by(shown)
    assert "7 × Give each access and send the receipt" in said_by(shown)
    assert shown.text.count('class="rank-3"') == 5
    assert dry == [(0,)]
    assert "7 repairs are under way." in said_by(told)
    assert shop.sql("SELECT count(*) FROM repairs") == [(7,)]
    assert len({repair.repair_id for _, repair in shop.door.repairs}) == 7
    assert held.checkout_id not in {c.checkout_id for c, _ in shop.door.repairs}
    last = actions(shop)[-1]
    assert (last[1], last[3]["asked"]) == ("batch.asked", 7)


async def test_a_batch_and_a_single_press_are_one_repair(
    shop: Shop, dana: Colleague
) -> None:
    """Whoever was first: the id is made of the case, not of the button."""
    opened = await stuck(shop)
    await press(dana, opened)
    await dana.post(
        "/support/batch",
        "/support/batch?cause=ApplicationAway",
        cause="ApplicationAway",
        count="1",
    )

    assert shop.sql("SELECT count(*) FROM repairs") == [(1,)]


async def test_a_batch_that_grew_is_looked_at_again(
    shop: Shop, dana: Colleague
) -> None:
    """Nobody repairs what they have not seen."""
    await stuck(shop)
    await stuck(shop, "eve@example.com")

    answer = await dana.post(
        "/support/batch",
        "/support/batch?cause=ApplicationAway",
        cause="ApplicationAway",
        count="1",
    )

    assert answer.status_code == 409
    assert "Nothing was done." in said_by(answer)
    assert "2 cases of one cause" in said_by(answer)
    assert actions(shop)[-1][1:3] == ("batch.asked", "refused")
    assert shop.door.repairs == []


async def test_a_batch_outlives_a_temporal_that_is_away(
    shop: Shop, dana: Colleague
) -> None:
    """What could not be told is counted, and nobody has to press for it again."""
    await stuck(shop)
    shop.door.is_closed = True
    path = "/support/batch?cause=ApplicationAway"

    pressed = await dana.post(
        "/support/batch", path, cause="ApplicationAway", count="1"
    )
    told = await dana.browser.get(pressed.headers["location"])

    assert "0 repairs are under way." in said_by(told)
    assert "1 waits: Temporal does not answer." in said_by(told)
    assert "This one is told by itself as soon as it does." in said_by(told)


@dataclass
class Silence:
    """A call that nobody answers, and that counts who waits."""

    waiting: int = 0
    most: int = 0

    async def __call__(self, *_: object) -> None:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await asyncio.Event().wait()
        finally:
            self.waiting -= 1


async def test_whoever_presses_for_many_does_not_wait_for_each(
    shop: Shop, dana: Colleague, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One deadline for all; those in front of no answer are told by the loop later."""
    for number in range(batch.KNOCKS_AT_ONCE + 2):
        await stuck(shop, f"buyer{number}@example.com")
    silence = Silence()
    monkeypatch.setattr(shop.door, "request_repair", silence)
    monkeypatch.setattr(batch, "KNOCKS_WITHIN", timedelta(milliseconds=50))

    pressed = await dana.post(
        "/support/batch",
        "/support/batch?cause=ApplicationAway",
        cause="ApplicationAway",
        count="12",
    )

    assert pressed.headers["location"].endswith("done=0-12-0")
    assert (silence.most, silence.waiting) == (batch.KNOCKS_AT_ONCE, 0)
    untold = shop.sql("SELECT count(*) FROM repairs WHERE told_at IS NULL")
    assert untold == [(12,)]


async def test_the_page_of_a_cause_reads_many_cases_like_one(
    shop: Shop, dana: Colleague, engine: AsyncEngine
) -> None:
    """A list of a hundred is asked for with as many statements as a list of one."""
    counted: list[int] = []
    for emails in (["mara@example.com"], ["eve@example.com", "ada@example.com"]):
        for email in emails:
            await stuck(shop, email)
        asked: list[str] = []

        def count(*execution: Any, asked: list[str] = asked) -> None:
            asked.append(str(execution[2]))

        event.listen(engine.sync_engine, "before_cursor_execute", count)
        await dana.browser.get("/support/batch?cause=ApplicationAway")
        event.remove(engine.sync_engine, "before_cursor_execute", count)
        counted.append(len(asked))

    assert counted[0] == counted[1] > 0


async def test_new_payments_are_paused_and_taken_again(
    shop: Shop, dana: Colleague
) -> None:
    """The first thing to do when harm grows is one form away, and said on the list."""
    paused = await dana.post("/support/pause", "/support", reason="charged twice")
    shown = await dana.browser.get("/support")
    opened = await shop.open()
    pressed = await shop.pay(opened)
    resumed = await dana.post("/support/resume", "/support")
    after = await dana.browser.get("/support")

    assert (paused.status_code, resumed.status_code) == (303, 303)
    assert "by dana: charged twice" in said_by(shown)
    assert shop.door.paid == []
    assert pressed.status_code == 303
    assert "New payments are paused" not in said_by(after)
    assert [row[1] for row in actions(shop)][-2:] == [
        "payments.paused",
        "payments.resumed",
    ]


async def test_a_note_on_a_payment_is_read_by_the_next(
    shop: Shop, dana: Colleague
) -> None:
    """A payment without a checkout has a case too, and what is written stays on it."""
    await dana.post("/support/payments/case", "/support", payment_intent="pi_9")
    ((case_id,),) = shop.sql("SELECT case_id FROM cases")
    path = f"/support/cases/{case_id}"
    await dana.post(f"{path}/notes", path, text="Mara's; I gave it back.")
    await dana.post(f"{path}/close", path, reason="given back at the processor")

    eli = await hire(shop, "eli")
    told = said_by(await eli.browser.get(path))

    assert "Mara's; I gave it back." in told
    assert "Paid, no order" in told


async def test_a_second_charge_is_not_called_a_strangers(
    shop: Shop, dana: Colleague
) -> None:
    """Nobody is told to give back by hand what goes back by itself."""
    detail = "ORD-7K2M-9QXD was charged twice. The second is returned by itself."
    shop.sql(
        "INSERT INTO cases (case_id, payment_intent_id, step, cause, detail)"
        " VALUES (%s, 'pi_2', 'look at a payment', 'SecondCharge', %s)",
        uuid4(),
        detail,
    )
    ((case_id,),) = shop.sql("SELECT case_id FROM cases")

    shown = await dana.browser.get(f"/support/cases/{case_id}")

    told = said_by(shown)
    assert detail in told
    assert "give nothing back by hand" in told
    assert "no checkout of ours does" not in told
    assert 'href="/support/search?q=pi_2"' in shown.text


async def test_a_receipt_that_came_back_leaves_by_one_press(
    shop: Shop, dana: Colleague
) -> None:
    """The button that says it sends the receipt does, also after a final refusal."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging' WHERE stage='requested'")
    shop.charge(opened)
    shop.sql(
        "INSERT INTO emails (email_id, checkout_id, kind, sequence, state, refusal)"
        " VALUES (%s, %s, 'receipt', 1, 'failed', '5.1.1')"
        " ON CONFLICT DO NOTHING",
        uuid4(),
        opened.checkout_id,
    )
    shop.sql("UPDATE emails SET state='failed', refusal='5.1.1' WHERE kind='receipt'")
    path = f"/support/checkouts/{opened.checkout_id}"
    shown = await dana.browser.get(path)
    repair_id = re.search(r'name="repair_id" value="([^"]+)"', shown.text)
    assert repair_id is not None

    await dana.post(f"{path}/repair", path, repair_id=repair_id[1])

    assert shop.sql("SELECT state FROM emails WHERE kind='receipt'") == [("pending",)]


async def test_held_mail_is_no_receipt_to_send(shop: Shop, dana: Colleague) -> None:
    """After a repair of many the page says why nothing left, and proposes nothing."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging' WHERE stage='requested'")
    shop.charge(opened)
    shop.sql("UPDATE checkouts SET mail_held_at = now()")
    shop.sql("UPDATE emails SET state='pending', sent_at=NULL WHERE kind='receipt'")

    told = said_by(await dana.browser.get(f"/support/checkouts/{opened.checkout_id}"))

    assert "Their mail is held since a repair of many: see Books" in told
    assert "Nothing is missing that a repair could add." in told
