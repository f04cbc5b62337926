"""Impatient buyers: many presses on Pay at once, two tabs, the Back button."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from tests.durability.counting import Purchase
from tests.durability.watching import SUCCESS


def _press_at_once(purchase: Purchase, times: int) -> list[int]:
    """Press Pay from so many threads in the same moment; the statuses."""
    together = threading.Barrier(times)

    def press(_: int) -> int:
        together.wait()
        return purchase.post_pay().status_code

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(press, range(times)))


def test_an_undisturbed_purchase_is_whole(purchase: Purchase) -> None:
    """Without any trouble there is one of everything, and every page is true."""
    purchase.pay()
    purchase.wait_whole()

    purchase.assert_whole()


def test_twenty_identical_posts_at_once_are_one_charge(purchase: Purchase) -> None:
    """All twenty are led back to the page, and the card is charged once."""
    statuses = _press_at_once(purchase, 20)
    purchase.wait_whole()

    assert statuses == [303] * 20
    purchase.assert_whole()


def test_two_tabs_and_the_back_button_are_one_charge(purchase: Purchase) -> None:
    """A second tab presses too; after the end Back brings the form, pressed again."""
    statuses = _press_at_once(purchase, 2)
    purchase.wait_whole()
    pressed_again = purchase.post_pay()
    purchase.watcher.wait_for(SUCCESS)

    assert [*statuses, pressed_again.status_code] == [303, 303, 303]
    purchase.assert_whole()
