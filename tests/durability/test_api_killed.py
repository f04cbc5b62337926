"""The API dies by SIGKILL in the middle of the press on Pay."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import httpx
import pytest

from stack.driver import Stack
from tests.durability.breaking import RowLocked, frozen, kept_down, wait_until
from tests.durability.conftest import Recoveries
from tests.durability.counting import Purchase


def _without_temporal(stack: Stack, how: str) -> AbstractContextManager[None]:
    if how == "frozen":
        return frozen(stack.pid("temporal"))
    return kept_down(stack, "temporal")


@pytest.mark.parametrize("temporal", ["frozen", "down"])
def test_killed_between_the_row_and_the_start_is_started_later(
    stack: Stack, purchase: Purchase, recoveries: Recoveries, temporal: str
) -> None:
    """The row is durable, so the next API's starter loop starts what it finds."""
    with _without_temporal(stack, temporal), ThreadPoolExecutor(1) as thread:
        post = thread.submit(purchase.post_pay)
        wait_until(lambda: purchase.row("stage") == "requested", "the row")
        killed = stack.kill("api")
        died_at = time.monotonic()
        with pytest.raises(httpx.TransportError):
            post.result()

    seconds = purchase.wait_whole() - died_at
    stack.wait_restarted("api", after_pid=killed)

    recoveries[f"API killed before the start, Temporal {temporal}"] = seconds
    purchase.assert_whole()


def test_killed_before_the_row_leaves_a_page_that_is_true(
    stack: Stack, purchase: Purchase
) -> None:
    """The buyer reloads, and pays again exactly when the page offers it."""
    with RowLocked(purchase) as row, ThreadPoolExecutor(1) as thread:
        post = thread.submit(purchase.post_pay)
        row.wait()
        killed = stack.kill("api")
        with pytest.raises(httpx.TransportError):
            post.result()
    stack.wait_restarted("api", after_pid=killed)
    back_at = time.time()
    page = purchase.watcher.wait_until(
        lambda look: look.began_at >= back_at and look.status == httpx.codes.OK,
        limit_seconds=10,
        what="a page of the restarted API",
    )

    if page.offers_payment:
        purchase.pay()
    purchase.wait_whole()

    purchase.assert_whole()
