"""The clock of API and worker is two minutes off; everybody else's is right."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from stack.driver import Stack, fresh_data_folder, run_stack
from tests.durability.breaking import kept_down
from tests.durability.counting import Purchase, get_json, open_purchase
from tests.durability.watching import CONFIRMING, read_page

_COMPILER = shutil.which("cc")

pytestmark = [
    pytest.mark.skipif(
        sys.platform != "linux" or _COMPILER is None,
        reason="Putting one process's clock off needs Linux and a C compiler.",
    ),
    pytest.mark.timeout(180),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What puts a clock off, compiled."""
    target = tmp_path_factory.mktemp("clock") / "clock_off.so"
    source = Path(__file__).with_name("clock_off.c")
    subprocess.run(
        [_COMPILER or "cc", "-shared", "-fPIC", "-O1", "-o", target, source, "-ldl"],
        check=True,
    )
    return target


@pytest.fixture(params=[120, -120], ids=["fast", "slow"])
def stack_off(library: Path, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack of its own whose API and worker are two minutes fast, or slow."""
    seconds = str(request.param)
    program = ("-m", "tests.durability.run_with_clock_off", str(library), seconds)
    with fresh_data_folder() as data, run_stack(data, program=program) as running:
        assert _clock_of_the_api(running) == pytest.approx(request.param, abs=5)
        yield running


def test_clock_two_minutes_off_changes_nothing(stack_off: Stack) -> None:
    """Requests are not withdrawn early, events are taken, links open, all is whole."""
    with open_purchase(stack_off) as purchase:
        with kept_down(stack_off, "temporal"):
            assert purchase.post_pay().status_code == httpx.codes.SEE_OTHER
            # Two rounds of the loop that withdraws what is older than two minutes.
            purchase.watcher.wait_for(CONFIRMING)
            purchase.watcher.wait_seconds(2.5)
            assert purchase.row("stage") == "requested"
        purchase.wait_whole()

        purchase.assert_whole()
        assert _refused_deliveries(purchase) == []
        assert "You're in" in _orders_page(purchase)


def _clock_of_the_api(stack: Stack) -> float:
    """Return how far the API's clock is ahead, by the instant on its log's lines."""
    httpx.get(f"{stack.at.shop}/readyz", trust_env=False)
    lines = re.findall(r"^(\d{4}-\S+Z)", stack.log("api"), re.MULTILINE)
    return (datetime.fromisoformat(lines[-1]) - datetime.now(UTC)).total_seconds()


def _refused_deliveries(purchase: Purchase) -> list[object]:
    """Return what the API or the application did not take, because of its time."""
    at = purchase.stack.at
    found = get_json(f"{at.processor}/sandbox/deliveries", wait="settled", timeout="10")
    refused = [d for d in found["data"] if d["last_status"] != httpx.codes.OK]
    calls = get_json(f"{at.application}/api/entitlements")
    return [*refused, *(["application"] * calls["rejected"])]


def _orders_page(purchase: Purchase) -> str:
    """Sign in by the link in a mail, as a customer does; the page with the orders."""
    at = purchase.stack.at
    with httpx.Client(
        trust_env=False, follow_redirects=True, headers={"Origin": at.shop}
    ) as browser:
        browser.get(f"{at.shop}/account")
        browser.post(f"{at.shop}/account/sign-in", data={"email": purchase.email})
        found = get_json(f"{at.mailbox}/api/mails/wait", to=purchase.email, count="2")
        link = re.search(r"http\S+/account/sign-in/\S+", found["mails"][-1]["text"])
        assert link is not None
        return read_page(browser.post(link[0]), time.time()).text
