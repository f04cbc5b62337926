"""What pages say and do not say, in every pair of states."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api import notices
from api.pages import Pages, checkout_page
from database.checkouts import CheckoutRow
from domain.states import (
    AccessState,
    DeclineClass,
    MoneyState,
    NotChargedReason,
)
from domain.words import masked
from tests.api.conftest import MakeShop
from tests.api.doubles import NOW, Shop, make_settings, text_of
from tests.specimens.pages import make_row

#: Words that no page may use, whatever happens.
BANNED = (
    "oops",
    "something went wrong",
    "unfortunately",
    "inconvenience",
    "try again later",
    "technical difficulties",
    "webhook",
    "workflow",
    "internal server error",
    "error",
)

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "{{ 7*7 }}{% raw %}",
    "</title><script>alert(1)</script>",
    "javascript:alert(1)//",
    "<!--<script>-->",
    "\u202egnp.exe",
    "&lt;b&gt;",
)


def every_row() -> dict[str, CheckoutRow]:
    """Return every pair of states, with every reason, decline and age that matters."""
    ages = {"now": timedelta(), "later": timedelta(minutes=5)}
    rows = {
        f"{money}-{access}-{age}": make_row(money, access, age=ages[age])
        for money, access, age in itertools.product(MoneyState, AccessState, ages)
    }
    rows |= {reason.value: make_row(reason=reason) for reason in NotChargedReason}
    return rows | {
        f"declined-{decline}": make_row(
            reason=NotChargedReason.DECLINED, decline=decline
        )
        for decline in DeclineClass
    }


def render(row: CheckoutRow) -> str:
    """Return the page of a row."""
    settings = make_settings()
    pages = Pages(settings)
    page = checkout_page(row, settings, settings.plan_by_id())
    return bytes(pages.checkout(page, row, "/c/token").body).decode()


@pytest.mark.parametrize("row", every_row().values(), ids=every_row().keys())
def test_every_pair_of_states_has_a_true_page(row: CheckoutRow) -> None:
    """No pair is without a page, and only proven "not charged" offers to pay."""
    html = render(row)

    said = text_of(html).lower()
    may_pay = row.money_state is MoneyState.NOT_CHARGED
    assert ("/pay" in html) is may_pay
    assert ('name="payment_method"' in html) is may_pay
    if not may_pay:
        assert "try again" not in said
        assert "you have not been charged" not in said
        assert "no money has been taken" not in said
    assert ("go to your bank's page" in said.replace("&#39;", "'")) is (
        row.money_state is MoneyState.ACTION_NEEDED
    )
    assert "ord-7k2m-9qxd" in said
    assert "support@acme.test" in said
    assert "09:00 to 17:00 utc" in said
    assert len(re.findall(r"<h1", html)) == 1
    assert [word for word in BANNED if word in said] == []
    title = re.search(r"<title>(.*?)</title>", html)
    assert title is not None
    assert "http-equiv" not in html


@pytest.mark.parametrize(
    ("hour", "words"),
    [(8, "We are back today at 09:00 UTC."), (12, None), (17, "on Tuesday at 09:00")],
)
def test_closed_support_says_when_it_is_back(hour: int, words: str | None) -> None:
    """Beside the hours stands the next answer, computed; nothing more while open."""
    monday = datetime(2026, 11, 23, hour, tzinfo=UTC)
    pages = Pages(make_settings(), clock=lambda: monday)
    said = text_of(bytes(pages.notice(notices.NOT_FOUND).body).decode())

    assert ("We are back" in said) is (words is not None)
    assert words is None or words in said


def test_the_success_page_has_what_a_receipt_has() -> None:
    """Amount, card, time with zone, end, reference, and the way in."""
    row = replace(
        make_row(MoneyState.CHARGED, AccessState.ACTIVE),
        access_until=datetime(2027, 11, 23, tzinfo=UTC),
        access_url="https://app.example/enter?user=1&x=2",
    )

    html = render(row)

    said = text_of(html)
    for fact in ("$249.00", "Visa ending 4242", "23 Nov 2026, 14:32 UTC"):
        assert fact in said
    assert "You&#39;re in. Your plan runs until 23 Nov 2027." in said
    assert 'href="https://app.example/enter?user=1&amp;x=2">Open Acme</a>' in html


@pytest.mark.parametrize("access", [a for a in AccessState if a != "ACTIVE"])
def test_nobody_is_sent_into_an_application_that_is_not_open(
    access: AccessState,
) -> None:
    """The way in is shown when access is open, and not before."""
    assert "Open Acme" not in render(make_row(MoneyState.CHARGED, access))


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "/path",
        "",
        None,
        "https://",
        "https:///x",
        "http://[",
        "https://bank.example/\r\nx",
        " https://bank.example",
    ],
)
def test_only_web_addresses_become_links(address: str | None) -> None:
    """An address from outside cannot run a script or lead to nowhere."""
    row = replace(make_row(MoneyState.ACTION_NEEDED), next_action_url=address)
    assert "your bank&#39;s page" not in render(row)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_person_wrote_stays_text(text: str) -> None:
    """Nothing that anybody typed or configured becomes markup on any page."""
    settings = make_settings(company_name=text, support_name=text)
    # Settings take only hours that can be counted by; pages escape them all the same.
    settings.support_hours = text
    settings.plans[0].name = text
    pages = Pages(settings)
    plan = next(iter(settings.plan_by_id().values()))
    row = replace(
        make_row(MoneyState.CHARGED, AccessState.ACTIVE),
        email=f"{text}@{text}",
        plan_name=text,
        reference_code=text,
        card_last4=text,
        card_brand=text,
    )
    page = checkout_page(row, settings, settings.plan_by_id())
    notice = notices.holding(text)

    answers = [
        pages.shop(plan, NOW, email=text, problem=text),
        pages.checkout(page, row, "/c/token"),
        pages.sign_in(problem=text),
        pages.orders(text, []),
        pages.notice(notice, request_id=text),
    ]

    for answer in answers:
        html = bytes(answer.body).decode()
        assert "<script>alert" not in html
        assert "<img" not in html
        assert "<svg" not in html
        assert "<!--" not in html
        assert 'href="javascript' not in html or text.startswith("javascript")
        assert "49{%" not in html


async def test_a_hostile_address_comes_back_as_text(shop: Shop) -> None:
    """The form returns what was typed, harmless."""
    answer = await shop.browser.post(
        "/checkouts", data={"plan": "one-year", "email": '"><script>alert(1)</script>'}
    )

    assert answer.status_code == 422
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert" in answer.text


@pytest.mark.parametrize(
    "notice",
    [
        notices.holding("/c/token"),
        notices.holding(None),
        notices.NOT_STARTED,
        notices.NO_CHECKOUT,
        notices.NOT_FOUND,
        notices.WRONG_METHOD,
        notices.TOO_LARGE,
        notices.FORM_REFUSED,
        notices.FOREIGN_FORM,
        notices.LINK_UNUSABLE,
        notices.ORDERS_HIDDEN,
        notices.too_often(5, "/"),
        notices.fault("/account", None),
    ],
    ids=lambda notice: f"{notice.status}-{notice.link}-{notice.headline}",
)
def test_notices_keep_the_wording_rules(notice: notices.Notice) -> None:
    """Short sentences, no banned word, one heading, and a way on."""
    html = bytes(Pages(make_settings()).notice(notice).body).decode()

    said = text_of(html).lower()
    assert [word for word in BANNED if word in said] == []
    assert len(re.findall(r"<h1", html)) == 1
    assert f'href="{notice.link}"' in html
    for sentence in notice.sentences:
        for part in re.split(r"(?<=[.?])\s", sentence):
            assert len(part.split()) <= 20, part


@pytest.mark.parametrize(
    ("email", "expected"),
    [("mara@example.com", "m•••@example.com"), ("m@x.io", "m•••@x.io")],
)
def test_an_address_is_masked(email: str, expected: str) -> None:
    """The owner knows the address again; a passer-by learns one letter."""
    assert masked(email) == expected


ALLOWED = {
    "open": "stage='open', money_state='NOT_CHARGED'",
    "withdrawn": "not_charged_reason='withdrawn'",
    "expired": "not_charged_reason='bank_check_expired'",
    "canceled": "not_charged_reason='canceled'",
    "requested": "stage='requested', money_state='UNKNOWN', pay_requested_at=now()",
    "late": "stage='requested', money_state='UNKNOWN',"
    " pay_requested_at=now() - interval '2 minutes'",
    **{
        f"{money}-{access}": f"stage='charged', money_state='{money}',"
        f" access_state='{access}', payment_intent_id='pi_1', charged_at=now()"
        for money in ("CHARGED", "DUPLICATE", "REFUNDING", "REFUNDED")
        for access in AccessState
    },
}


@pytest.mark.parametrize("change", ALLOWED.values(), ids=ALLOWED.keys())
async def test_every_state_that_the_database_allows_is_shown(
    make_shop: MakeShop, change: str
) -> None:
    """A real row in any state brings a page and a status that agree."""
    shop = make_shop()
    opened = await shop.open()
    shop.sql(f"UPDATE checkouts SET {change}")  # noqa: S608  # Constants above.

    page = await shop.browser.get(opened.path)
    status = await shop.browser.get(f"{opened.path}/status")

    money = shop.sql("SELECT money_state FROM checkouts")[0][0]
    assert (page.status_code, status.status_code) == (200, 200)
    assert ("/pay" in page.text) is (money == "NOT_CHARGED")
    assert f'data-version="{status.json()["version"]}"' in page.text
    follows = f'data-follow="{opened.path}/status"' in page.text
    assert follows is not status.json()["settled"]


async def test_words_whose_server_is_gone_say_when_they_were_true(shop: Shop) -> None:
    """An open page does not call old words true: the purchase goes on without it."""
    opened = await shop.open()
    await shop.pay(opened)

    page = await shop.browser.get(opened.path)
    status = (await shop.browser.get(f"{opened.path}/status")).json()
    (line,) = re.findall(
        r'id="unreachable" data-at="([^"]+)" data-says="([^"]+)"', page.text
    )

    assert re.fullmatch(r"\d+ \w+ \d{4}, \d\d:\d\d UTC", line[0])
    assert re.fullmatch(r"\d+ \w+ \d{4}, \d\d:\d\d UTC", status["read_at"])
    assert "was true on {at}, and may have moved on since." in line[1]
    assert "still true" not in page.text


async def test_the_bank_check_page_leads_to_the_bank(shop: Shop) -> None:
    """While the bank asks, the page has the way there and no second way to pay."""
    opened = await shop.open()
    await shop.pay(opened)
    shop.sql("UPDATE checkouts SET stage='charging'")
    shop.sql(
        "UPDATE checkouts SET money_state='ACTION_NEEDED',"
        " next_action_url='https://bank.example/ask?a=1&b=2'"
    )

    page = await shop.browser.get(opened.path)

    assert 'href="https://bank.example/ask?a=1&amp;b=2"' in page.text
    assert "/pay" not in page.text
