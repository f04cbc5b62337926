"""The support day in a real browser: from what a customer writes to a sent reply."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Locator, Page, expect

from stack.driver import Stack
from tests.browser.conftest import Visit
from tests.browser.test_console import Colleague, Hire, hire
from tests.browser.visiting import RECEIVED, SUCCESS, Visitor
from tests.durability.counting import connect_owner, get_json

__all__ = ["hire"]

WORDS = "I paid and I see nothing. Did it go through?"

#: From the search to the letter's leaving; the issue's own numbers.
MOST_SECONDS = 60
MOST_CLICKS = 5


class Hand:
    """Counts what somebody presses, and from when."""

    def __init__(self) -> None:
        self.clicks = 0
        self.began_at = time.monotonic()

    def press(self, button: Locator) -> None:
        """Press once."""
        self.clicks += 1
        button.click()

    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self.began_at


def write_to_us(customer: Visitor) -> None:
    """Write on the checkout's page, and read the acknowledgement."""
    page = customer.page
    page.locator("summary", has_text="Write to us").click()
    customer.look("page-write")
    page.get_by_label("What would you like to tell or ask us?").fill(WORDS)
    page.get_by_role("button", name="Send your message").click()
    customer.see("We have your message.")
    expect(page.locator("main")).to_contain_text(RECEIVED)
    customer.look("page-written")


@pytest.mark.parametrize("size", [(1280, 900), (390, 844)], ids=["laptop", "phone"])
def test_from_the_address_to_a_sent_reply(
    hire: Hire, visit: Visit, stack: Stack, size: tuple[int, int]
) -> None:
    """I paid, I see nothing: a minute and five presses, repaired and answered."""
    width, height = size
    dana, customer = hire(f"dora-{width}"), visit()
    page = dana.page
    page.set_viewport_size({"width": width, "height": height})
    customer.open_checkout()
    with customer.hold_access() as held:
        customer.pay()
        held.wait()
        customer.see(RECEIVED)
        write_to_us(customer)

        hand = Hand()
        page.get_by_label("Find a customer or a payment").fill(customer.email)
        hand.press(page.get_by_role("button", name="Find"))
        expect(page.get_by_text(WORDS).first).to_be_visible()
        # Their words have asked for the repair already; once more does no harm.
        expect(page.get_by_text("the shop, just now: under way")).to_be_visible()
        hand.press(page.get_by_role("button", name="Ask for it once more"))
        expect(page.get_by_role("status")).to_contain_text("repair")
    customer.page.goto(customer.address)
    customer.come_to(SUCCESS)

    _answer(dana, hand)

    assert hand.clicks <= MOST_CLICKS
    assert hand.seconds() < MOST_SECONDS
    letter = customer.open_mail(_kind_of_reply(stack, customer))
    expect(letter.locator("body")).to_contain_text("Dora")
    page.locator("summary", has_text="The letter").first.click()
    dana.visitor.look(f"console-answered-{width}")
    assert customer.charges().succeeded == 1


def _kind_of_reply(stack: Stack, customer: Visitor) -> str:
    with connect_owner(stack) as connection:
        ((reply_id,),) = connection.execute(
            "SELECT reply_id FROM replies WHERE recipient = %s", [customer.email]
        ).fetchall()
    return f"reply-{reply_id.hex}"


def _answer(dana: Colleague, hand: Hand) -> None:
    page = dana.page
    hand.press(page.get_by_role("link", name="Reply"))
    expect(page.get_by_role("heading", name="What leaves")).to_be_visible()
    expect(page.get_by_text("Yes, your payment went through").first).to_be_visible()
    hand.press(page.get_by_label("I have read the opening against what they wrote"))
    hand.press(page.get_by_role("button", name="Sign and send it"))
    expect(page.get_by_role("status")).to_contain_text("Your letter has left.")


def test_hard_words_are_told_beside_the_field(hire: Hire, visit: Visit) -> None:
    """While somebody types: what may not leave is said, and the preview follows."""
    rosa, customer = hire("rosa"), visit()
    customer.buy()
    page = rosa.page
    _open_editor(page, customer)
    rosa.visitor.look("console-reply")

    opening = page.get_by_label("The opening: yours")
    opening.fill("We apologize for any inconvenience!")
    expect(page.locator("#remarks")).to_contain_text("“inconvenience”")
    rosa.visitor.look("console-reply-lint")

    words = "Yes, we have your $249.00. You don't need to do anything."
    opening.fill(words)
    expect(page.locator("#leaves")).to_contain_text(words)
    expect(page.locator("#remarks")).not_to_contain_text("“inconvenience”")
    page.get_by_role("button", name="Sign and send it").click()
    expect(page.get_by_role("status")).to_contain_text("Your letter has left.")


def test_without_scripts_a_changed_letter_is_shown_first(
    hire: Hire, visit: Visit
) -> None:
    """What leaves was on the page before: a press after an edit shows it."""
    nora, customer = hire("nora", java_script_enabled=False), visit()
    customer.buy()
    page = nora.page
    _open_editor(page, customer)

    words = "Yes, we have your $249.00. You don't need to do anything."
    page.get_by_label("The opening: yours").fill(words)
    page.get_by_role("button", name="Sign and send it").click()
    expect(page.get_by_text("press once more")).to_be_visible()
    nora.visitor.look("console-reply-no-scripts")
    page.get_by_role("button", name="Sign and send it").click()
    expect(page.get_by_role("status")).to_contain_text("Your letter has left.")


def test_a_letter_that_waits_says_for_what(hire: Hire, visit: Visit) -> None:
    """A refund that nobody made cannot be told; the letter names it and where to go."""
    vera, customer = hire("vera"), visit()
    customer.buy()
    page = vera.page
    _open_editor(page, customer)

    page.get_by_role("link", name="Money back").click()

    expect(page.get_by_role("alert")).to_contain_text(
        "A refund that the processor took"
    )
    vera.visitor.look("console-reply-blocked")
    page.locator("summary", has_text="All other letters").click()
    page.get_by_role("link", name="Still unknown").click()
    expect(page.get_by_role("alert")).to_contain_text("This letter would not be true.")
    vera.visitor.look("console-reply-untrue")


def test_what_is_changed_reaches_everybody(
    hire: Hire, visit: Visit, stack: Stack
) -> None:
    """Address and days: old mailbox, application and letter say what the rows say."""
    zoe, customer = hire("zoe"), visit()
    customer.buy()
    page, new = zoe.page, f"new-{customer.email}"
    page.get_by_label("Find a customer or a payment").fill(customer.email)
    page.get_by_role("button", name="Find").click()

    page.locator("summary", has_text="Correct the address").click()
    page.get_by_label("The right address").fill(new)
    page.get_by_label("How we know that who writes").select_option("card_and_day")
    page.get_by_label("What was wrong with the old one").fill("a letter was missing")
    zoe.visitor.look("console-address")
    page.get_by_role("button", name="Send their mail to this address").click()
    expect(page.get_by_role("status")).to_contain_text("goes to the new address")
    notice = customer.open_mail("address-changed")
    expect(notice.locator("body")).to_contain_text("The e-mail address of order")

    page.locator("summary", has_text="Add days").click()
    page.get_by_label("How many days").fill("14")
    page.get_by_label("Why they get them").fill("lost an evening")
    zoe.visitor.look("console-days")
    page.get_by_role("button", name="Add these days").click()
    expect(page.get_by_role("status")).to_contain_text("The days are added.")
    expect(page.get_by_text("the application knows")).to_have_count(2)
    known = get_json(f"{stack.at.application}/api/entitlements", email=new)
    assert [one["changes"] for one in known["entitlements"]] == [2]

    page.get_by_role("link", name="Reply").click()
    page.get_by_role("link", name="Days for the wait").click()
    page.get_by_label("I have read the opening against what they wrote").click()
    page.get_by_role("button", name="Sign and send it").click()
    expect(page.get_by_role("status")).to_contain_text("Your letter has left.")


def _open_editor(page: Page, customer: Visitor) -> None:
    page.get_by_label("Find a customer or a payment").fill(customer.email)
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name="Reply").click()
