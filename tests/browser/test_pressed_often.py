"""People press twice, open the page twice, and go back."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.visiting import CHECKOUT, CONFIRMING, SUCCESS, Charges, Visitor

_ONE = Charges(succeeded=1, payment_intents=1)


def _assert_settled(visitor: Visitor, page: Page) -> None:
    visitor.see(SUCCESS, page=page)
    expect(visitor.pay_button(page)).to_have_count(0)


def test_a_double_click_on_pay_is_one_charge(visitor: Visitor) -> None:
    """Both clicks are one press."""
    visitor.open_checkout()
    visitor.pay_button().dblclick()

    _assert_settled(visitor, visitor.page)
    assert visitor.charges() == _ONE


def test_a_pressed_button_looks_pressed(visitor: Visitor) -> None:
    """While the answer is on its way, the button says so and takes no second press."""
    visitor.open_checkout()
    pressed = visitor.page.evaluate(
        """() => {
          const form = document.querySelector("form[action$='/pay']");
          const presses = [];
          form.addEventListener("submit", (event) => setTimeout(() => {
            presses.push(event.defaultPrevented);
          }));
          document.addEventListener("submit", (event) => {
            presses.push(event.defaultPrevented);
            event.preventDefault();
          });
          const button = form.querySelector("button");
          form.requestSubmit(button);
          form.requestSubmit(button);
          return [...presses, button.textContent, button.ariaDisabled];
        }"""
    )

    assert pressed == [False, True, "Paying…", "true"]


def test_pay_pressed_in_two_tabs_is_one_charge(visitor: Visitor) -> None:
    """The tab that came second shows the same payment, not another."""
    visitor.open_checkout()
    second = visitor.context.new_page()
    second.goto(visitor.address)
    with visitor.hold_charge() as held:
        visitor.pay()
        held.wait()
        visitor.pay(page=second)
        visitor.see(CONFIRMING, page=second)
        visitor.look("confirming", page=second)

    _assert_settled(visitor, visitor.page)
    _assert_settled(visitor, second)
    assert visitor.charges() == _ONE


def test_back_after_success_offers_no_payment(visitor: Visitor) -> None:
    """Whatever the browser kept, the checkout's address shows what is true now."""
    visitor.buy()
    # The page before, at the same address, is the one that held the form.
    visitor.page.go_back(wait_until="commit")
    assert visitor.page.url == visitor.address
    _assert_settled(visitor, visitor.page)
    visitor.page.go_back(wait_until="commit")
    visitor.see(CHECKOUT)
    assert visitor.page.url != visitor.address
    visitor.page.go_forward(wait_until="commit")

    _assert_settled(visitor, visitor.page)
    assert visitor.charges() == _ONE


def test_the_pay_form_kept_in_an_old_tab_pays_nothing_more(visitor: Visitor) -> None:
    """A tab that still shows the form leads its press to the finished purchase."""
    visitor.open_checkout()
    old = visitor.context.new_page()
    old.goto(visitor.address)
    visitor.pay()
    visitor.see(SUCCESS)
    visitor.pay(page=old)

    _assert_settled(visitor, old)
    assert visitor.charges() == _ONE


def test_pay_pressed_in_two_browsers_is_one_charge(
    visitor: Visitor, visit: Visit
) -> None:
    """A phone and a laptop with the same address share one payment."""
    visitor.open_checkout()
    other = visit()
    other.page.goto(visitor.address)
    with visitor.hold_charge() as held:
        visitor.pay()
        held.wait()
        visitor.pay(page=other.page)
        visitor.see(CONFIRMING, page=other.page)

    _assert_settled(visitor, visitor.page)
    _assert_settled(visitor, other.page)
    assert visitor.charges() == _ONE


def test_on_a_slow_line_the_press_shows_and_a_second_one_waits(
    visitor: Visitor,
) -> None:
    """Until the answer comes the button says so; impatience sends nothing more."""
    visitor.open_checkout()
    presses: list[str] = []
    visitor.page.on("request", lambda request: presses.append(request.url))
    # Read before the browser can have heard anything: as on a line that takes minutes.
    shown = visitor.page.evaluate(
        """() => {
          const button = document.querySelector("form[action$='/pay'] button");
          button.click();
          button.click();
          return [button.textContent, button.ariaDisabled];
        }"""
    )

    assert shown == ["Paying…", "true"]
    _assert_settled(visitor, visitor.page)
    assert presses.count(f"{visitor.address}/pay") == 1
    assert visitor.charges() == _ONE


def test_a_form_in_another_tab_gives_way_when_it_comes_to_the_front(
    visitor: Visitor,
) -> None:
    """An open form learns that it was paid elsewhere, without a press or a reload."""
    visitor.open_checkout()
    old = visitor.context.new_page()
    old.goto(visitor.address)
    visitor.pay()
    visitor.see(SUCCESS)
    old.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    _assert_settled(visitor, old)
