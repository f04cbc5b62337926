"""Whatever is broken: nobody is led into a second payment, nobody is told a guess.

Every state that the database allows meets every fault, in any order of requests. A
processor or a worker that is down shows in the API as a request that nobody moves on,
so its age is drawn too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from html import unescape
from typing import Any, NoReturn
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.pages import Pages
from domain.states import AccessState, MoneyState, NotChargedReason
from tests.api.conftest import MakeShop
from tests.api.doubles import Shop, text_of
from tests.specimens.pages import NOW, PATH, Specimen, make_row, specimen_settings

NOWHERE = "postgresql+psycopg://nobody:secret@127.0.0.1:1/none"

#: The ways in which a page asks not to pay; every other way to say it is an offer.
_WARNINGS = re.compile(
    r"(do not|don't) (need to )?pay (again|a second time)|(do not|don't) pay again yet",
    re.IGNORECASE,
)
_OFFERS = re.compile(
    r"pay again|pay a second|try again|once more|pay \$|/pay\"|payment_method",
    re.IGNORECASE,
)
_NOT_CHARGED = re.compile(
    r"not (been )?charged|no money|nothing (was|is) (charged|taken|owed)\b(?! yet)",
    re.IGNORECASE,
)

_PRESSED = "pay_requested_at = now() - $1::interval"

STATES = (
    "stage='open'",
    "stage='open', not_charged_reason='declined', decline_class='generic'",
    "stage='open', not_charged_reason='canceled'",
    "stage='open', not_charged_reason='withdrawn'",
    f"stage='requested', money_state='UNKNOWN', {_PRESSED}",
    f"stage='charging', money_state='UNKNOWN', {_PRESSED}",
    f"stage='charging', money_state='ACTION_NEEDED', {_PRESSED},"
    " next_action_url='https://bank.example/ask'",
    *(
        f"stage='charged', {_PRESSED}, money_state='{money}', access_state='{access}',"
        " payment_intent_id='pi_' || checkout_id, charged_at=now()"
        for money in ("CHARGED", "DUPLICATE", "REFUNDING", "REFUNDED")
        for access in AccessState
    ),
)

SETTINGS = specimen_settings()

FAULTS = ("none", "handler", "rendering", "database", "temporal")

REQUESTS = (
    ("GET", "{path}"),
    ("GET", "{path}?again=1"),
    ("GET", "{path}/pay"),
    ("GET", "{path}/return?redirect_status=failed"),
    ("POST", "{path}/pay"),
    ("POST", "{path}/check"),
    ("POST", "{path}/another"),
    ("POST", "/checkouts"),
    ("GET", "/"),
)

AGES = ("0 s", "30 s", "5 minutes", "19 hours")


def _offers_to_pay(html: str) -> bool:
    return bool(_OFFERS.search(_WARNINGS.sub("", unescape(html))))


def _fail(*_: object, **__: object) -> NoReturn:
    raise ValueError("a bug")


@contextmanager
def _broken(shop: Shop, fault: str) -> Iterator[None]:
    """Break one thing for a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shop.door, "is_closed", fault == "temporal")
        if fault == "handler":
            patch.setattr(shop.door, "error", ValueError("a bug"))
        if fault == "rendering":
            patch.setattr(Pages, "checkout", _fail)
        yield


async def _ask(
    browser: httpx.AsyncClient, method: str, path: str, email: str
) -> httpx.Response:
    forms: dict[str, dict[str, Any]] = {
        "/pay": {"payment_method": "pm_card_visa"},
        "/checkouts": {"plan": "one-year", "email": email},
    }
    form = next((forms[end] for end in forms if path.endswith(end)), None)
    return await browser.request(
        method, path, data=form if method == "POST" else None, follow_redirects=True
    )


def _money_at(shop: Shop, answer: httpx.Response) -> MoneyState | None:
    """Return the money state of the checkout whose page an answer is."""
    found = re.match(r"/c/([^/?]+)", answer.url.path)
    if found is None:
        return None
    digest = hashlib.sha256(found[1].encode()).digest()
    rows = shop.sql("SELECT money_state FROM checkouts WHERE token_hash=%s", digest)
    return MoneyState(rows[0][0])


def _assert_true(shop: Shop, answer: httpx.Response) -> None:
    """Assert that an answer claims and offers only what its row proves."""
    said = text_of(answer.text)
    assert len(re.findall(r"<h1", answer.text)) == 1
    money = _money_at(shop, answer)
    if money is not None and money is not MoneyState.NOT_CHARGED:
        assert not _offers_to_pay(answer.text), said
        assert not re.search(r"you have not been charged", said, re.I), said
    if answer.status_code >= 500 and "data-state=" not in answer.text:
        # Nothing was read of a row, so nothing may be claimed: this browser has a
        # checkout that may have been charged, and is led to it.
        assert "You have not been charged" not in said
        assert not _offers_to_pay(answer.text), said
        assert 'href="/c/' in answer.text


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    state=st.sampled_from(STATES),
    age=st.sampled_from(AGES),
    steps=st.lists(
        st.tuples(st.sampled_from(REQUESTS), st.sampled_from(FAULTS)),
        min_size=1,
        max_size=4,
    ),
)
async def test_no_fault_leads_into_a_second_payment(
    make_shop: MakeShop,
    state: str,
    age: str,
    steps: list[tuple[tuple[str, str], str]],
) -> None:
    """No order of requests and faults offers to pay while a charge may exist."""
    shop, dark = make_shop(), make_shop(database_url=NOWHERE)
    email = f"mara-{uuid4().hex}@example.com"
    opened = await shop.open(email)
    dark.browser.cookies.update(shop.browser.cookies)
    if state.startswith("stage='charging'"):
        shop.sql(
            "UPDATE checkouts SET stage='requested', money_state='UNKNOWN',"
            " pay_requested_at=now() WHERE checkout_id=%s",
            opened.checkout_id,
        )
    shop.sql(
        f"UPDATE checkouts SET {state.replace('$1', repr(age))}"  # noqa: S608  # Constants.
        " WHERE checkout_id=%s",
        opened.checkout_id,
    )

    for (method, path), fault in steps:
        target = dark if fault == "database" else shop
        with _broken(target, fault):
            where = path.format(path=opened.path)
            answer = await _ask(target.browser, method, where, email)
        if not (answer.url.path == "/" and answer.status_code == 200):
            _assert_true(shop, answer)


@settings(max_examples=300, deadline=None)
@given(
    money=st.sampled_from(MoneyState),
    access=st.sampled_from(AccessState),
    reason=st.none() | st.sampled_from(NotChargedReason),
    again=st.booleans(),
    is_paused=st.booleans(),
    seconds=st.integers(min_value=0, max_value=90_000),
    promised=st.none() | st.integers(min_value=-90_000, max_value=90_000),
)
def test_no_row_of_any_kind_is_shown_as_another(
    *,
    money: MoneyState,
    access: AccessState,
    reason: NotChargedReason | None,
    again: bool,
    is_paused: bool,
    seconds: int,
    promised: int | None,
) -> None:
    """Also pairs that the database refuses never bring a false page."""
    at = None if promised is None else NOW + timedelta(seconds=promised)
    row = make_row(
        money,
        access,
        reason=reason,
        age=timedelta(seconds=seconds),
        next_message_at=at,
        paused_at=NOW if is_paused else None,
    )

    html = Specimen(name="any", row=row, again=again).render(SETTINGS)

    may_pay = money is MoneyState.NOT_CHARGED and not is_paused
    assert (f'action="{PATH}/pay"' in html) is may_pay
    if money is not MoneyState.NOT_CHARGED:
        assert not _offers_to_pay(html)
        assert "You have not been charged" not in html
    elif reason is None and not is_paused:
        assert not _NOT_CHARGED.search(text_of(html))
