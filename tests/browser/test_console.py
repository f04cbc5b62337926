"""A support day in a real browser: found by e-mail, repaired by one press."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import pyotp
import pytest
from playwright.sync_api import Page, expect

from stack.driver import Stack
from stack.environment import REPOSITORY
from tests.browser.conftest import Visit
from tests.browser.visiting import RECEIVED, SUCCESS, Visitor
from tests.durability.counting import connect_owner

PASSWORD = "five quiet otters nap"


@dataclass
class Colleague:
    """Somebody of support with a browser and a telephone."""

    name: str
    visitor: Visitor
    totp: pyotp.TOTP

    @property
    def page(self) -> Page:
        return self.visitor.page

    def next_code(self) -> str:
        """The code that is shown after the present one, which has been used."""
        return self.totp.at(int(time.time()) + 30)


Hire = Callable[..., Colleague]


@pytest.fixture
def hire(stack: Stack, visit: Visit) -> Hire:
    """Makes an account on the command line and sets it up in a browser."""

    def make(name: str, role: str = "support", **options: bool) -> Colleague:
        told = subprocess.run(
            [
                *(sys.executable, "cli.py", "staff", "add", name, "--role", role),
                *("--actor", "olga", "--data", stack.at.data),
            ],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        link, secret = (
            re.search(r"\S+/support/setup/\S+", told),
            re.search(r"secret=(\w+)", told),
        )
        assert link is not None
        assert secret is not None
        visitor = visit(**options)
        totp = pyotp.TOTP(secret[1])
        page = visitor.page
        page.goto(link[0])
        page.get_by_label("The code that the app shows now").fill(totp.now())
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Set up and sign in").click()
        expect(page.get_by_text(f"Sign out {name.capitalize()}")).to_be_visible()
        return Colleague(name=name, visitor=visitor, totp=totp)

    return make


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_i_paid_and_see_nothing(hire: Hire, visit: Visit, scripts: bool) -> None:
    """From the e-mail address to the repair: two presses, and the customer is in."""
    dana = hire(f"dana-{scripts}".lower(), java_script_enabled=scripts)
    page, customer = dana.page, visit()
    customer.open_checkout()
    with customer.hold_access() as held:
        customer.pay()
        held.wait()
        customer.see(RECEIVED)

        page.get_by_label("Find a customer or a payment").fill(customer.email)
        page.get_by_role("button", name="Find").click()
        expect(page.get_by_text("The customer paid and cannot get in.")).to_be_visible()
        expect(page.get_by_text("the money was taken").first).to_be_visible()
        dana.visitor.look(f"console-case-{scripts}")
        button = page.get_by_role("button", name="access and send the receipt")
        button.click()
        expect(page.get_by_role("status")).to_contain_text("repair")
    customer.come_to(SUCCESS)

    expect(page.get_by_text(f"{dana.name}, just now:").first).to_be_visible()
    page.reload()
    expect(page.get_by_text("Processor, rows and mails agree.")).to_be_visible()
    assert customer.charges().succeeded == 1


def test_two_people_press_at_once(hire: Hire, visit: Visit, stack: Stack) -> None:
    """Both have the case open and press: one repair, and the second is told."""
    first, second, customer = hire("eli"), hire("kim"), visit()
    customer.open_checkout()
    with customer.hold_access() as held:
        customer.pay()
        held.wait()
        for colleague in (first, second):
            page = colleague.page
            page.get_by_label("Find a customer or a payment").fill(customer.email)
            page.get_by_role("button", name="Find").click()
        for colleague in (first, second):
            name = "access and send the receipt"
            colleague.page.get_by_role("button", name=name).click()

        told = second.page.get_by_role("status")
        expect(told).to_contain_text("Somebody asked for this repair before you.")
    customer.come_to(SUCCESS)

    with connect_owner(stack) as connection:
        rows = connection.execute(
            "SELECT actor FROM repairs JOIN checkouts USING (checkout_id)"
            " WHERE email = %s",
            [customer.email],
        ).fetchall()
    assert rows == [("eli",)]


def test_money_goes_back_with_a_fresh_code(
    hire: Hire, visit: Visit, stack: Stack
) -> None:
    """The code is asked for in the form; ten minutes are left to take it back."""
    olga, customer = hire("olga", "owner"), visit()
    customer.buy()
    with connect_owner(stack) as connection:
        connection.execute(
            "UPDATE staff_sessions SET code_at = now() - interval '6 minutes'"
        )
    page = olga.page
    page.get_by_label("Find a customer or a payment").fill(customer.email)
    page.get_by_role("button", name="Find").click()
    page.locator("summary", has_text="Refund").click()
    page.get_by_label("Amount, typed in full").fill("249.00")
    page.get_by_label("Why, in a sentence").fill("asked for it")
    form = page.locator("form[action$='/refund']")
    form.get_by_label("Code of your authenticator app").fill(olga.next_code())
    page.get_by_role("button", name="Give this amount back").click()
    expect(page.get_by_role("status")).to_contain_text("goes back in ten minutes")
    olga.visitor.look("console-refund")
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_role("status")).to_contain_text("Taken back.")

    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_text("asked for a refund")).to_be_visible()
    olga.visitor.look("console-audit")


def test_keys_lead_to_buttons_and_can_be_turned_off(hire: Hire) -> None:
    """A single key moves the focus and presses nothing; without keys all is there."""
    page = hire("pat").page
    page.keyboard.press("/")
    expect(page.get_by_label("Find a customer or a payment")).to_be_focused()
    page.get_by_role("button", name="Turn keys off").click()
    page.keyboard.press("/")

    expect(page.get_by_role("button", name="Turn keys on")).to_be_focused()
