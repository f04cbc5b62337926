"""Days and addresses from the console: once, by whom it may be, and told to all."""

from __future__ import annotations

import asyncio
import io
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import httpx
import pytest

from api.starter import Starter
from api.telling import WHY
from domain.changes import change_id_of
from domain.staff import Role
from tests.api.doubles import Opened, Shop, text_of
from tests.api.staffing import Colleague, actions, form_token_of, hire
from tests.api.test_console import checkout_of, make_stale, said_by
from tests.api.test_replying import editor_of, fields_of

pytestmark = pytest.mark.postgres

NEW = "mara@example.org"


@pytest.fixture
async def dana(shop: Shop) -> Colleague:
    """Somebody of support who is signed in."""
    return await hire(shop)


async def bought(shop: Shop, *, access: str = "ACTIVE") -> Opened:
    """A customer who paid an hour ago and is in."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging' WHERE stage='requested'")
    at = (datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=0)
    shop.charge(opened, access=access, charged_at=at.isoformat())
    return opened


async def press(
    who: Colleague, opened: Opened, what: str, **fields: str
) -> httpx.Response:
    """Open the page and send one of its two forms."""
    page = await who.browser.get(checkout_of(opened))
    form = page.text.partition(f'action="{checkout_of(opened)}/{what}"')[2]
    turn = re.search(r'name="turn" value="(\d+)"', form)
    data = {
        "form_token": form_token_of(page.text),
        "turn": turn[1] if turn else "0",
        "reason": "lost an evening",
    }
    if what == "address":
        data |= {"email": NEW, "verified": "card_and_day"}
    else:
        data |= {"days": "14"}
    return await who.browser.post(f"{checkout_of(opened)}/{what}", data=data | fields)


def ends_at(shop: Shop) -> timedelta:
    """Return how much longer than a year the plan runs."""
    ((more,),) = shop.sql(
        "SELECT ends_at - (starts_at + interval '12 months') FROM subscriptions"
    )
    assert isinstance(more, timedelta)
    return more


def did(shop: Shop, action: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return actor, outcome and facts of each such row of the audit."""
    return [
        (actor, outcome, dict(about))
        for actor, name, outcome, about in actions(shop)
        if name == action
    ]


# Days


async def test_days_are_added_and_told(shop: Shop, dana: Colleague) -> None:
    """The end moves, the workflow is told by a repair, and the page says all of it."""
    opened = await bought(shop)

    answer = await press(dana, opened, "days")

    assert answer.headers["location"].endswith("?said=days-added")
    assert ends_at(shop) == timedelta(days=14)
    ((_, repair),) = shop.door.repairs
    assert repair.repair_id == change_id_of(opened.checkout_id, 0)
    assert (repair.actor, repair.reason) == ("dana", WHY)
    assert shop.sql("SELECT reason, told_at IS NOT NULL FROM repairs") == [
        ("days were added to the plan", True)
    ]
    ((actor, outcome, about),) = did(shop, "days.added")
    assert (actor, outcome, about["days"]) == ("dana", "done", 14)
    shown = said_by(await dana.browser.get(answer.headers["location"]))
    assert "added 14 days to the plan: lost an evening" in shown
    assert "the plan runs until" in shown


async def test_a_double_press_adds_once(shop: Shop, dana: Colleague) -> None:
    """The same form twice at once is one change, told as done both times."""
    opened = await bought(shop)

    answers = await asyncio.gather(
        *(press(dana, opened, "days", turn="0") for _ in range(2))
    )

    assert [one.headers["location"][-15:] for one in answers] == ["said=days-added"] * 2
    assert ends_at(shop) == timedelta(days=14)
    assert len(did(shop, "days.added")) == 1


async def test_two_people_add_once(shop: Shop, dana: Colleague) -> None:
    """Both have the page open, both press: one change, and the second is told."""
    eli, opened = await hire(shop, "eli"), await bought(shop)

    answers = await asyncio.gather(
        press(dana, opened, "days", turn="0"), press(eli, opened, "days", turn="0")
    )

    said = sorted(one.headers["location"].partition("said=")[2] for one in answers)
    assert said == ["change-by-other", "days-added"]
    assert ends_at(shop) == timedelta(days=14)
    assert [row[1] for row in did(shop, "days.added")] == ["done", "refused"]


async def test_an_older_page_adds_nothing(shop: Shop, dana: Colleague) -> None:
    """Somebody who comes back to a page from before a change learns of the change."""
    opened = await bought(shop)
    await press(dana, opened, "days", days="3")

    again = await press(dana, opened, "days", days="7", turn="0")
    address = await press(dana, opened, "address", turn="0")

    assert "said=change-by-other" in again.headers["location"]
    assert "said=change-by-other" in address.headers["location"]
    assert ends_at(shop) == timedelta(days=3)
    assert shop.sql("SELECT email FROM checkouts") == [("mara@example.com",)]


@pytest.mark.parametrize(
    ("role", "days", "words"),
    [
        (Role.SUPPORT, "15", "Ask an owner for 15."),
        (Role.SUPPORT, "0", "It is 1 to 14 days."),
        (Role.OWNER, "91", "It is 1 to 90 days."),
        (Role.OWNER, "90", ""),
    ],
)
async def test_each_role_has_its_limit(
    shop: Shop, role: Role, days: str, words: str
) -> None:
    """More than that is refused in words, on the page and in the audit."""
    who, opened = await hire(shop, "pat", role), await bought(shop)
    page = said_by(await who.browser.get(checkout_of(opened)))

    answer = await press(who, opened, "days", days=days)

    assert f"You may add 1 to {14 if role is Role.SUPPORT else 90}" in page
    assert ("an owner up to 90" in page) == (role is Role.SUPPORT)
    outcome = did(shop, "days.added")[-1][1]
    if not words:
        assert (answer.status_code, outcome) == (303, "done")
        return
    assert (answer.status_code, outcome) == (409, "refused")
    assert words in said_by(answer)
    assert ends_at(shop) == timedelta()
    assert shop.sql("SELECT count(*) FROM repairs") == [(0,)]


@pytest.mark.parametrize("access", ["PENDING", "ENDED"])
async def test_no_days_without_open_access(
    shop: Shop, dana: Colleague, access: str
) -> None:
    """The page says why instead of a form, and a form made by hand is refused."""
    opened = await bought(shop, access=access)
    page = said_by(await dana.browser.get(checkout_of(opened)))

    answer = await press(dana, opened, "days")

    assert "Add these days" not in page
    assert ("not open yet" if access == "PENDING" else "never opens again") in page
    assert answer.status_code == 409
    assert did(shop, "days.added")[-1][1] == "refused"


async def test_nothing_is_changed_of_what_nobody_paid(
    shop: Shop, dana: Colleague
) -> None:
    """The page offers neither, and forms made by hand are refused in words."""
    opened = await shop.open()
    page = said_by(await dana.browser.get(checkout_of(opened)))

    answers = [await press(dana, opened, what) for what in ("days", "address")]

    assert "Add days" not in page
    assert "Correct the address" not in page
    assert [one.status_code for one in answers] == [409, 409]
    assert "orders anew" in said_by(answers[1])


async def test_temporal_away_is_told_later(shop: Shop, dana: Colleague) -> None:
    """The change stands at once, the page says so, and the starter knocks once."""
    opened = await bought(shop)
    shop.door.is_closed = True

    answer = await press(dana, opened, "address")
    waits = said_by(await dana.browser.get(answer.headers["location"]))
    shop.door.is_closed = False
    shop.sql("UPDATE repairs SET requested_at = now() - interval '6 s'")
    for _ in range(2):
        await Starter(shop.parts).round()

    assert "Temporal does not answer this second" in waits
    assert shop.sql("SELECT email FROM checkouts") == [(NEW,)]
    ((_, repair),) = shop.door.repairs
    assert repair.repair_id == change_id_of(opened.checkout_id, 0)


# The address


async def test_an_address_takes_a_fresh_code(shop: Shop, dana: Colleague) -> None:
    """Without one nothing happens and nothing is lost; with it the address moves."""
    opened = await bought(shop)
    make_stale(shop)

    asked = await press(dana, opened, "address")
    wrong = await press(dana, opened, "address", code="000000")
    before = shop.sql("SELECT email FROM checkouts")
    shop.clock.move(seconds=60)
    done = await press(dana, opened, "address", code=dana.code())

    assert asked.status_code == 403
    assert f'name="email" value="{NEW}"' in asked.text
    assert "not right, or was used before" in said_by(wrong)
    assert before == [("mara@example.com",)]
    assert "said=address-corrected" in done.headers["location"]
    assert shop.sql("SELECT email FROM checkouts") == [(NEW,)]
    assert shop.sql("SELECT recipient FROM emails WHERE recipient IS NOT NULL") == [
        ("mara@example.com",)
    ]


async def test_what_is_told_of_an_address_is_true_after_access_has_ended(
    shop: Shop, dana: Colleague
) -> None:
    """Nobody tells the application then: the page promises it of open access alone."""
    opened = await bought(shop)
    shop.sql("UPDATE checkouts SET access_state='ENDED'")

    done = await press(dana, opened, "address")
    told = said_by(await dana.browser.get(done.headers["location"]))

    assert "said=address-corrected" in done.headers["location"]
    assert "while access is open the application is told by itself." in told


async def test_the_page_tells_of_the_correction(shop: Shop, dana: Colleague) -> None:
    """Masked, by whom, how it was verified and why; the old address finds it too."""
    opened = await bought(shop)
    await press(dana, opened, "address", reason="a letter was missing")

    page = said_by(await dana.browser.get(checkout_of(opened)))
    found = await dana.browser.get(
        "/support/search", params={"q": "Mara@Example.com"}, follow_redirects=True
    )

    assert (
        "corrected the address from m•••@example.com to m•••@example.org; they named "
        "the card and the day: a letter was missing"
    ) in page
    assert "The notice to the old address is owed" in page
    assert "m•••@example.org" in unescape(text_of(found.text)) or NEW in found.text


@pytest.mark.parametrize(
    ("email", "words"),
    [
        ("mara.example.org", "An e-mail address has an @-sign."),
        ("mara@", "Something is missing after the @-sign."),
        ("Mara@example.com", "It has this address already."),
    ],
)
async def test_a_wrong_address_is_refused_in_words(
    shop: Shop, dana: Colleague, email: str, words: str
) -> None:
    """As in the shop; nothing is changed, and the audit has the try without it."""
    opened = await bought(shop)

    answer = await press(dana, opened, "address", email=email)

    assert answer.status_code == 409
    assert words in said_by(answer)
    assert shop.sql("SELECT email FROM checkouts") == [("mara@example.com",)]
    assert did(shop, "address.corrected")[-1][1] == "refused"
    assert "example" not in repr(did(shop, "address.corrected"))


async def test_nothing_personal_leaves_the_rows(
    shop: Shop, dana: Colleague, log_lines: io.StringIO
) -> None:
    """No address in the logs, the staff's audit, the repair or what is signalled."""
    opened = await bought(shop)
    await press(dana, opened, "address", reason="Mara wrote from elsewhere")

    kept = shop.sql("SELECT t::text FROM staff_actions t")
    kept += shop.sql("SELECT t::text FROM repairs t")
    everything = f"{kept} {shop.door.repairs} {log_lines.getvalue()}"

    assert len(shop.door.repairs) == 1
    assert "example.org" not in everything
    assert "example.com" not in everything
    assert "Mara wrote" not in everything


async def test_an_account_follows_the_address(shop: Shop, dana: Colleague) -> None:
    """Whoever signs in with the new address sees the order; with the old one, none."""
    opened = await bought(shop)
    await press(dana, opened, "address")

    seen = {}
    for email in ("mara@example.com", NEW):
        browser = shop.new_browser()
        await browser.post("/account/sign-in", data={"email": email})
        await shop.settle()
        if shop.mailer.sent and shop.mailer.sent[-1][0] == email:
            await browser.post(shop.mailer.sent[-1][1])
        seen[email] = "ORD-" in (await browser.get("/account")).text

    assert seen == {"mara@example.com": False, NEW: True}


# The letters


async def reply(
    who: Colleague, opened: Opened, situation: str, **typed: str
) -> httpx.Response:
    """Choose a letter, have it shown with what was typed, and send it."""
    path = editor_of(opened)
    shown = await who.browser.get(path, params={"situation": situation})
    fields = fields_of(shown.text) | typed
    shown = await who.browser.post(path, data=fields | {"step": "show"})
    fields = fields_of(shown.text) | typed | {"confirmed": "true", "step": "send"}
    return await who.browser.post(path, data=fields)


async def test_days_for_the_wait_can_leave(shop: Shop, dana: Colleague) -> None:
    """After the press the letter names the days and the new end."""
    opened = await bought(shop)
    page = await dana.browser.get(
        editor_of(opened), params={"situation": "compensation"}
    )
    assert "Add the days in the case first." in said_by(page)
    await press(dana, opened, "days")

    answer = await reply(dana, opened, "compensation")

    assert answer.headers["location"].endswith("?said=reply-sent")
    (letter,) = shop.mailer.letters
    assert letter["Subject"] == "14 more days on your plan"


async def test_wrong_address_can_leave(shop: Shop, dana: Colleague) -> None:
    """After the correction it goes to the new address and names the old one masked."""
    opened = await bought(shop)
    page = await dana.browser.get(
        editor_of(opened), params={"situation": "wrong-address"}
    )
    assert "Correct the address in the case first" in said_by(page)
    await press(dana, opened, "address")

    answer = await reply(dana, opened, "wrong-address", verified="card_and_day")

    assert answer.headers["location"].endswith("?said=reply-sent")
    (letter,) = shop.mailer.letters
    assert letter["To"] == NEW
    part = letter.get_body(("plain",))
    assert part is not None
    assert "m•••@example.com" in str(part.get_content())


async def test_an_invoice_can_leave(shop: Shop, dana: Colleague) -> None:
    """Its link and the name on it are pasted beside the letter, which shows both."""
    opened = await bought(shop)
    blocked = await dana.browser.get(editor_of(opened), params={"situation": "invoice"})
    assert "Make it in your invoicing tool" in said_by(blocked)
    assert 'name="invoice_url"' in blocked.text
    typed = {"invoice_url": "https://bills.example/7K2M", "invoice_name": "Söhne GmbH"}

    answer = await reply(dana, opened, "invoice", **typed)

    assert answer.headers["location"].endswith("?said=reply-sent")
    (letter,) = shop.mailer.letters
    part = letter.get_body(("plain",))
    assert part is not None
    text = str(part.get_content())
    assert "https://bills.example/7K2M" in text
    assert "Söhne GmbH" in text


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://bills.example/7K2M", "Söhne GmbH"),
        ("https://bills.example/7K2M", "[name of the company]"),
        ("https://bills.example/7K2M", "see www.bills.example"),
        ("https://bills.example/7K2M", ""),
    ],
)
async def test_a_wrong_invoice_keeps_the_letter(
    shop: Shop, dana: Colleague, url: str, name: str
) -> None:
    """An open address, a hole or a link in the name: nothing leaves."""
    opened = await bought(shop)

    answer = await reply(dana, opened, "invoice", invoice_url=url, invoice_name=name)

    assert answer.status_code == 200
    assert shop.mailer.letters == []


async def test_only_the_invoice_asks_for_an_invoice(
    shop: Shop, dana: Colleague
) -> None:
    """The two fields stand in the one editor that needs them."""
    opened = await bought(shop)

    page = await dana.browser.get(editor_of(opened), params={"situation": "angry"})

    assert "invoice_url" not in page.text


async def test_two_weeks_are_two_weeks_in_all(shop: Shop, dana: Colleague) -> None:
    """Pressing again is no way round the limit; an owner may go on."""
    opened = await bought(shop)
    olga = await hire(shop, "olga", role=Role.OWNER)
    await press(dana, opened, "days")

    second = await press(dana, opened, "days", days="1")
    owners = await press(olga, opened, "days", days="30")

    assert second.status_code == 409
    assert "14 days were added to this plan before" in said_by(second)
    assert owners.status_code == 303
    assert ends_at(shop) == timedelta(days=44)


async def test_no_days_for_a_price_that_goes_back(shop: Shop, dana: Colleague) -> None:
    """From the moment the whole price is asked back, no plan is made longer."""
    opened = await bought(shop)
    path = checkout_of(opened)
    page = await dana.browser.get(path)
    asked = await dana.browser.post(
        f"{path}/refund",
        data={
            "form_token": form_token_of(page.text),
            "turn": "0",
            "amount": "249.00",
            "reason": "asked for it",
        },
    )

    answer = await press(dana, opened, "days")

    assert asked.status_code == 303
    assert "The whole price goes back" in said_by(answer)
    assert ends_at(shop) == timedelta(0)


async def test_an_old_page_proves_nothing_after_a_move(
    shop: Shop, dana: Colleague
) -> None:
    """The first address got the page's link as well: it cannot move the order back."""
    opened = await bought(shop)
    await press(dana, opened, "address")

    back = await press(
        dana, opened, "address", email="mara@example.com", verified="page_link"
    )

    assert back.status_code == 409
    assert "proves nothing here" in said_by(back)
    assert shop.sql("SELECT email FROM checkouts") == [(NEW,)]
