"""The dead-server minute: the API dies behind Caddy, and nobody sees a blank page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from stack.caddy import find_caddy
from stack.driver import Stack, fresh_data_folder, run_stack
from stack.errors import StackError
from tests.durability.breaking import RowLocked, frozen, kept_down, wait_until
from tests.durability.conftest import Recoveries
from tests.durability.counting import Purchase
from tests.durability.watching import HOLDING, Sighting, read_page

_BANNED = (
    "oops", "went wrong", "inconvenience", "unfortunately", "try again", "technical",
    "gateway", "error", "traceback", "not been charged",
)  # fmt: skip

#: The Caddyfile's `lb_try_duration` less one of its intervals: a restart that takes
#: longer, as on a busy machine, shows readers the holding page meanwhile.
_EDGE_WAITS_SECONDS = 4.75


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack with the edge in front, for the tests of this file."""
    try:
        find_caddy()
    except StackError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOLDFAST_RATE_LIMIT_PER_MINUTE", "100000")
        with fresh_data_folder() as data, run_stack(data, "--edge") as running:
            yield running


def _assert_honest(purchase: Purchase, reply: httpx.Response) -> None:
    """Assert that it says what is known and where to look, and no more."""
    page = read_page(reply, 0)
    path = httpx.URL(purchase.address).path

    assert (page.status, page.headline) == (503, HOLDING)
    assert f'href="{path}"' in reply.text
    assert not page.offers_payment
    assert [phrase for phrase in _BANNED if phrase in page.text.lower()] == []


def _true_page(purchase: Purchase, since: float) -> Sighting:
    return purchase.watcher.wait_until(
        lambda look: look.began_at >= since and look.status == httpx.codes.OK,
        limit_seconds=30,
        what="a page of the restarted API",
    )


def test_killed_between_the_row_and_the_answer(
    stack: Stack, purchase: Purchase, recoveries: Recoveries
) -> None:
    """The press is durable, the answer is lost; within a second the page is honest.

    Temporal is frozen, so that the API is caught after its commit, still waiting to
    pass the press on.
    """
    with frozen(stack.pid("temporal")), ThreadPoolExecutor(1) as thread:
        post = thread.submit(purchase.post_pay)
        wait_until(lambda: purchase.row("stage") == "requested", "the row")
        killed, died_at, clock = stack.kill("api"), time.monotonic(), time.time()
        reply = post.result()
        to_holding = time.monotonic() - died_at
        restart = stack.wait_restarted("api", after_pid=killed)
        to_page = _true_page(purchase, clock).ended_at - clock
    whole = purchase.wait_whole() - died_at

    _assert_honest(purchase, reply)
    assert to_holding < 1
    assert to_page - restart.seconds < 5
    recoveries["edge: API killed in mid-POST, to the holding page"] = to_holding
    recoveries["edge: API killed in mid-POST, to the API's restart"] = restart.seconds
    recoveries["edge: API killed in mid-POST, to the true page"] = to_page
    recoveries["edge: API killed in mid-POST, until whole"] = whole
    purchase.assert_whole()


def test_nobody_who_reloads_meanwhile_sees_anything_else(
    stack: Stack, purchase: Purchase
) -> None:
    """A reader is kept waiting for the short restart, and is shown the normal page."""
    killed = stack.kill("api")
    began = time.monotonic()
    reply = httpx.get(purchase.address, trust_env=False, timeout=10)
    waited = time.monotonic() - began
    restart = stack.wait_restarted("api", after_pid=killed)

    is_short = restart.seconds < _EDGE_WAITS_SECONDS
    if is_short or reply.status_code == httpx.codes.OK:
        assert reply.status_code == httpx.codes.OK
        assert "Pay $249.00" in reply.text
    else:
        _assert_honest(purchase, reply)
    assert waited < restart.seconds + 1
    purchase.pay()
    purchase.wait_whole()
    statuses = {look.status for look in purchase.watcher.sightings}
    assert statuses <= ({200} if is_short else {200, 503})
    purchase.assert_whole()


def test_a_press_on_a_dead_server_waits_for_nothing_and_is_not_kept(
    stack: Stack, purchase: Purchase
) -> None:
    """The honest page comes at once, and the press is never made by the edge later."""
    with kept_down(stack, "api", roughly=True):
        began = time.monotonic()
        reply = purchase.post_pay()
        waited = time.monotonic() - began
    page = _true_page(purchase, time.time())

    _assert_honest(purchase, reply)
    assert waited < 1
    assert page.offers_payment
    assert purchase.row("stage") == "open"
    purchase.pay()
    purchase.wait_whole()
    purchase.assert_whole()


def test_killed_before_the_row_is_pressed_once_more_by_a_person_alone(
    stack: Stack, purchase: Purchase
) -> None:
    """The edge does not repeat the press; what the page then offers decides."""
    with RowLocked(purchase) as row, ThreadPoolExecutor(1) as thread:
        post = thread.submit(purchase.post_pay)
        row.wait()
        killed, clock = stack.kill("api"), time.time()
        reply = post.result()
        _assert_honest(purchase, reply)
    stack.wait_restarted("api", after_pid=killed)

    page = _true_page(purchase, clock)
    if page.offers_payment:
        purchase.pay()
    purchase.wait_whole()
    purchase.assert_whole()


def test_a_killed_edge_is_back_at_once(stack: Stack, purchase: Purchase) -> None:
    """It holds no state: the same address works again, and the purchase never knew."""
    restart = stack.kill_and_wait("edge")

    assert restart.seconds < 5
    purchase.pay()
    purchase.wait_whole()
    purchase.assert_whole()
