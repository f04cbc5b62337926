"""Buying: from the plan to the request to pay."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from tests.api.conftest import MakeShop
from tests.api.doubles import Shop, text_of


async def test_the_plan_says_all_that_will_be_charged(shop: Shop) -> None:
    """Before anybody types anything, the page says price, length, end and renewal."""
    answer = await shop.browser.get("/")

    said = text_of(answer.text)
    assert answer.status_code == 200
    assert "$249.00 once, for 12 months, until 23 Nov 2027" in said
    assert "It does not renew by itself" in said
    assert "ACME PLAN" in said
    assert answer.text.count('class="primary"') == 1


async def test_opening_writes_a_durable_row_without_the_token(shop: Shop) -> None:
    """The buyer has an address before money moves; the database cannot tell it."""
    opened = await shop.open("Mara@Example.com")

    row = shop.sql(
        "SELECT email, plan_id, amount_minor, currency, stage, c::text FROM checkouts c"
    )[0]
    assert row[:5] == ("Mara@example.com", "one-year", 24900, "usd", "open")
    assert opened.path.removeprefix("/c/") not in row[5]
    assert re.fullmatch(r"/c/[A-Za-z0-9_-]{43}", opened.path)


@pytest.mark.parametrize(
    "email",
    [
        "",
        "mara",
        "mara@",
        "@example.com",
        "mara@example",
        "a b@example.com",
        "a@b@example.com",
        "mära@example.com",
        "x" * 400 + "@example.com",
        "mara@example.com, eve@example.com",
        "mara@example.com\r\nBcc: eve@example.com",
        "=?utf-8?q?mara?=@example.com",
        "=?utf-8?q?mara=40evil.test=2Cy?=@example.com",
        "=?utf-8?B?bWFyYQ==?=@example.com",
        "mara=?x@example.com",
    ],
)
async def test_a_broken_address_is_refused_with_a_sentence(
    shop: Shop, email: str
) -> None:
    """An address that mail cannot reach opens nothing, and the page says why."""
    answer = await shop.browser.post(
        "/checkouts", data={"plan": "one-year", "email": email}
    )

    assert answer.status_code == 422
    assert "<h1" in answer.text
    assert shop.sql("SELECT count(*) FROM checkouts") == [(0,)]


async def test_an_address_that_would_be_decoded_is_told_why(shop: Shop) -> None:
    """An encoded word would reach another mailbox than the one on the page."""
    answer = await shop.browser.post(
        "/checkouts", data={"plan": "one-year", "email": "=?utf-8?q?x?=@example.com"}
    )

    said = text_of(answer.text)
    assert "The address must not have “=?” in it" in said
    assert "another one" in said


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("mara", "An e-mail address has an @-sign."),
        ("@example.com", "Something is missing before the @-sign."),
        ("mara@", "Something is missing after the @-sign."),
        ("mara@home@example.com", "There is more than one @-sign."),
        ("mara smith@example.com", "There is a space in it."),
        ("mara@example", "The part after the @-sign should have a period"),
        ("mara@-example.com", "Mail cannot reach this address as it is written."),
        ("mara@localhost.", "The part after the @-sign should have a period"),
    ],
)
async def test_a_slip_of_the_finger_is_named_in_our_own_words(
    shop: Shop, typed: str, sentence: str
) -> None:
    """What was mistyped is said plainly, and stays in the field to be mended."""
    for path, form in (
        ("/checkouts", {"plan": "one-year"}),
        ("/account/sign-in", {}),
    ):
        answer = await shop.browser.post(path, data=form | {"email": typed})
        said = text_of(answer.text)

        assert answer.status_code == 422
        assert sentence in said
        assert "email" not in said.lower().replace("e-mail", "")
        assert f'value="{typed}"' in answer.text


@pytest.mark.parametrize("email", ["a=b@example.com", "a?b@example.com"])
async def test_single_signs_of_an_encoded_word_are_fine(shop: Shop, email: str) -> None:
    """Mailing lists write senders with `=`; only the two together are refused."""
    await shop.open(email)

    assert shop.sql("SELECT email FROM checkouts") == [(email,)]


async def test_an_unknown_plan_is_refused(shop: Shop) -> None:
    """A plan that is not for sale opens nothing."""
    answer = await shop.browser.post(
        "/checkouts", data={"plan": "for-free", "email": "mara@example.com"}
    )

    assert answer.status_code == 422
    assert shop.sql("SELECT count(*) FROM checkouts") == [(0,)]


async def test_the_checkout_page_offers_to_pay_exactly_once(shop: Shop) -> None:
    """The first page has one pay button with the price on it, and masks the address."""
    opened = await shop.open()

    answer = await shop.browser.get(opened.path)

    assert answer.status_code == 200
    assert "Pay $249.00" in answer.text
    assert answer.text.count(f'action="{opened.path}/pay"') == 1
    assert "m•••@example.com" in answer.text
    assert "mara@example.com" not in answer.text
    assert 'value="pm_card_visa"' in answer.text


async def test_pay_is_durable_then_passed_on_then_answered(shop: Shop) -> None:
    """After the 303 the request stands in its row, and the workflow was told."""
    opened = await shop.open()

    answer = await shop.pay(opened)

    assert (answer.status_code, answer.headers["location"]) == (303, opened.path)
    assert shop.sql("SELECT stage, money_state, buyer_attempt FROM checkouts") == [
        ("requested", "UNKNOWN", 1)
    ]
    assert shop.sql("SELECT payment_method FROM payment_attempts") == [
        ("pm_card_visa",)
    ]
    assert [request.checkout_id for request in shop.door.paid] == [opened.checkout_id]
    page = await shop.browser.get(opened.path)
    assert "/pay" not in page.text


async def test_twenty_presses_at_once_are_one_request(shop: Shop) -> None:
    """However often Pay is pressed at once: one attempt, one start."""
    opened = await shop.open()

    answers = await asyncio.gather(*(shop.pay(opened) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {303}
    assert len(shop.door.paid) == 1
    assert shop.sql("SELECT count(*) FROM payment_attempts") == [(1,)]


async def test_pressing_again_later_changes_nothing(shop: Shop) -> None:
    """A reload or a second tab finds the first request and the charge."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging'")
    shop.charge(opened)
    before = shop.fingerprint()

    answer = await shop.pay(opened, "pm_card_mastercard")

    assert answer.status_code == 303
    assert len(shop.door.paid) == 1
    assert shop.fingerprint() == before


async def test_a_decline_then_another_card_is_a_second_attempt(shop: Shop) -> None:
    """After a decline the same page takes another card, as attempt two."""
    opened = await shop.open()
    await shop.pay(opened, "pm_card_visa_chargeDeclined")
    shop.decline(opened)
    declined = await shop.browser.get(opened.path)

    await shop.pay(opened)

    assert "Your bank declined the card. You have not been charged." in text_of(
        declined.text
    )
    assert "Pay $249.00" in declined.text
    assert [request.buyer_attempt for request in shop.door.paid] == [1, 2]


async def test_used_up_tries_are_told_and_end_the_pay_form(shop: Shop) -> None:
    """A card tester's eleventh try gets a clear page, and so does every look at it."""
    opened = await shop.open()
    shop.sql(
        "UPDATE checkouts SET buyer_attempt=10, not_charged_reason='declined',"
        " decline_class='generic'"
    )

    pressed = await shop.pay(opened)
    page = await shop.browser.get(opened.path)

    assert (pressed.status_code, page.status_code) == (429, 200)
    for answer in (pressed, page):
        assert "its tries are used up" in text_of(answer.text)
        assert f"{opened.path}/pay" not in answer.text
    assert shop.door.paid == []


async def test_a_get_of_the_pay_address_leads_back(shop: Shop) -> None:
    """A reload after a crashed press leads to the page, not to "resend form"."""
    opened = await shop.open()

    answer = await shop.browser.get(f"{opened.path}/pay")

    assert (answer.status_code, answer.headers["location"]) == (303, opened.path)


async def test_the_bank_return_trusts_no_query(shop: Shop) -> None:
    """Whatever the address claims on the way back, it is a hint to look, no more."""
    opened = await shop.open()
    await shop.pay(opened)
    before = shop.fingerprint()

    answer = await shop.browser.get(
        f"{opened.path}/return?redirect_status=succeeded&next=//evil.example"
    )

    assert (answer.status_code, answer.headers["location"]) == (303, opened.path)
    assert shop.door.hinted == [opened.checkout_id]
    assert shop.fingerprint() == before


async def test_the_bank_return_survives_a_closed_door(shop: Shop) -> None:
    """The buyer gets back to the page even when Temporal is down."""
    opened = await shop.open()
    shop.door.is_closed = True

    answer = await shop.browser.get(f"{opened.path}/return")

    assert answer.status_code == 303


async def test_check_now_hints_and_is_limited(shop: Shop) -> None:
    """The buyer may have the processor asked, but not fill a workflow's history."""
    opened = await shop.open()

    answers = [await shop.browser.post(f"{opened.path}/check") for _ in range(13)]

    assert [answer.status_code for answer in answers] == [303] * 12 + [429]
    assert answers[-1].headers["retry-after"] == "10"
    assert shop.door.hinted == [opened.checkout_id] * 12


async def test_status_changes_its_version_with_the_page(shop: Shop) -> None:
    """An open page learns that it is no longer the true one, and only then."""
    opened = await shop.open()
    status = f"{opened.path}/status"
    first = (await shop.browser.get(status)).json()
    again = (await shop.browser.get(status)).json()

    await shop.pay(opened)
    paid = (await shop.browser.get(status)).json()
    shop.sql("UPDATE checkouts SET stage='charging'")
    shop.charge(opened)
    done = (await shop.browser.get(status)).json()

    assert first == again
    assert [first["page"], paid["page"], done["page"]] == [
        "checkout",
        "confirming",
        "success",
    ]
    assert len({first["version"], paid["version"], done["version"]}) == 3
    assert (paid["settled"], done["settled"]) == (False, True)
    page = await shop.browser.get(opened.path)
    assert f'data-version="{done["version"]}"' in page.text


@pytest.mark.parametrize(
    "token", ["x", "A" * 43, "A" * 42, "A" * 44, "%00" * 43, "ORD-7K2M-9QXD", "é" * 43]
)
async def test_no_other_token_opens_anything(shop: Shop, token: str) -> None:
    """Unknown, foreign and malformed addresses look alike: a page leading nowhere."""
    await shop.open()

    answers = [
        await shop.browser.get(f"/c/{token}"),
        await shop.browser.get(f"/c/{token}/status"),
        await shop.browser.get(f"/c/{token}/return"),
        await shop.browser.post(
            f"/c/{token}/pay", data={"payment_method": "pm_card_visa"}
        ),
        await shop.browser.post(f"/c/{token}/check"),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1
    assert shop.door.paid == []


async def test_with_a_publishable_key_the_page_takes_cards_by_stripe_alone(
    make_shop: MakeShop,
) -> None:
    """With Stripe on, the form gathers a token, and only that page lets Stripe in."""
    shop = make_shop(stripe_publishable_key="pk_test_123")
    opened = await shop.open()

    page = await shop.browser.get(opened.path)
    plan = await shop.browser.get("/")

    assert 'src="https://js.stripe.com/v3/"' in page.text
    assert 'data-amount="24900"' in page.text
    assert "pm_card_" not in page.text
    assert not re.search(r'<input(?![^>]*type="hidden")', page.text)
    assert "https://js.stripe.com" in page.headers["content-security-policy"]
    assert "stripe" not in plan.headers["content-security-policy"]
    await shop.pay(opened, "ctoken_123")
    waiting = await shop.browser.get(opened.path)
    assert "stripe" not in waiting.headers["content-security-policy"]


async def test_reading_works_with_head_too(shop: Shop) -> None:
    """Monitors and link checkers ask with HEAD."""
    opened = await shop.open()

    answers: list[httpx.Response] = [
        await shop.browser.head(path) for path in ("/", opened.path, "/healthz")
    ]

    assert {answer.status_code for answer in answers} == {200}
