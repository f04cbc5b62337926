"""The process itself: started, signalled and asked over real sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from statistics import median

import httpx
import pytest

from tests.api.doubles import API_KEY, WEBHOOK_SECRET, Shop
from tests.conftest import Database

ROOT = Path(__file__).parents[2]
FORM = {"plan": "one-year", "email": "mara@example.com"}


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An API process of the test's own."""

    process: subprocess.Popen[str]
    port: int
    metrics_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self, number: signal.Signals) -> tuple[int, float, str]:
        """Signal it; return exit code, seconds and what it wrote."""
        started = time.monotonic()
        self.process.send_signal(number)
        _, text = self.process.communicate(timeout=20)
        return self.process.returncode, time.monotonic() - started, text


def environment(database_url: str, **changes: str) -> dict[str, str]:
    """Return what an operator would set; nothing of this machine's leaks in."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONUNBUFFERED": "1",
        "HOLDFAST_ENV_FILE": "",
        "HOLDFAST_ENVIRONMENT": "development",
        "HOLDFAST_SECRET_KEYS": "a-secret-of-these-tests-0123456789abcd",
        "HOLDFAST_API_KEYS": API_KEY,
        "HOLDFAST_DATABASE_URL": database_url,
        "HOLDFAST_PUBLIC_URL": "http://127.0.0.1:8000",
        "HOLDFAST_PROVISIONING_URL": "http://127.0.0.1:1/entitlements",
        "HOLDFAST_PROVISIONING_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "HOLDFAST_APPLICATION_URL": "http://127.0.0.1:1",
        "HOLDFAST_RATE_LIMIT_PER_MINUTE": "5",
        "TEMPORAL_ADDRESS": "127.0.0.1:1",
        "STRIPE_API_KEY": "sk_test_0123456789",
        "STRIPE_API_BASE": "http://127.0.0.1:1",
        "STRIPE_WEBHOOK_SECRETS": WEBHOOK_SECRET,
    } | changes


def run(settings: dict[str, str]) -> subprocess.Popen[str]:
    """Start the API as an operator does."""
    return subprocess.Popen(
        [sys.executable, "-m", "api"],
        cwd=ROOT,
        env=settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def start(database: Database) -> Iterator[Callable[..., Running]]:
    """Starts API processes and ends them."""
    running: list[Running] = []

    def start(**changes: str) -> Running:
        port, metrics_port = free_port(), free_port()
        settings = environment(
            database.app_url,
            HOLDFAST_API_PORT=str(port),
            HOLDFAST_API_METRICS_PORT=str(metrics_port),
            **changes,
        )
        one = Running(process=run(settings), port=port, metrics_port=metrics_port)
        running.append(one)
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"{one.url}/healthz", trust_env=False)
                return one
            except httpx.TransportError:
                assert one.process.poll() is None, one.process.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.05)

    yield start
    for one in running:
        one.process.kill()
        one.process.communicate()


def client(running: Running, **headers: str) -> httpx.Client:
    """Return a browser at the running shop."""
    return httpx.Client(
        base_url=running.url,
        trust_env=False,
        headers={"sec-fetch-site": "same-origin"} | headers,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_order(
    start: Callable[..., Running], number: signal.Signals
) -> None:
    """Within five seconds, with exit code 0, and with open connections too."""
    running = start()
    with client(running) as browser:
        browser.get("/")

        code, seconds, text = running.stop(number)

    assert (code, seconds < 5) == (0, True)
    assert "Traceback" not in text


def test_an_open_stream_ends_in_order_with_the_process(
    start: Callable[..., Running],
) -> None:
    """A deployment does not wait for who follows: a whole answer, exit code 0."""
    running = start()
    key = {"authorization": f"Bearer {API_KEY}"}
    with client(running, **key) as browser:
        opened = browser.post(
            "/v1/checkouts", json=FORM, headers={"idempotency-key": "1"}
        )
        path = f"/v1/checkouts/{opened.json()['checkout_id']}"
        browser.post(f"{path}/pay", json={"payment_method": "pm_card_visa"})
        with browser.stream("GET", f"{path}/events") as stream:
            lines = stream.iter_lines()
            assert next(line for line in lines if line.startswith("event:"))
            code, seconds, text = running.stop(signal.SIGTERM)
            # Read to its end: a stream that was cut off would raise here.
            rest = list(lines)

    assert (code, seconds < 5) == (0, True)
    assert not [line for line in rest if line.startswith("event:")]
    assert "Cancel" not in text
    assert "Traceback" not in text


def test_a_client_that_hangs_up_leaves_no_follower(
    start: Callable[..., Running],
) -> None:
    """Over a real socket too: the place is free once the connection is closed."""
    running = start()
    key = {"authorization": f"Bearer {API_KEY}"}
    with client(running, **key) as browser:
        opened = browser.post(
            "/v1/checkouts", json=FORM, headers={"idempotency-key": "1"}
        )
        path = f"/v1/checkouts/{opened.json()['checkout_id']}"
        browser.post(f"{path}/pay", json={"payment_method": "pm_card_visa"})
        with browser.stream("GET", f"{path}/events") as stream:
            lines = stream.iter_lines()
            assert next(line for line in lines if line.startswith("event:"))
            assert followers(running) == 1
    deadline = time.monotonic() + 10
    while followers(running):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def followers(running: Running) -> float:
    """Return how many clients follow a checkout, as the metrics say."""
    text = httpx.get(f"http://127.0.0.1:{running.metrics_port}", trust_env=False).text
    (line,) = (
        one for one in text.splitlines() if one.startswith("holdfast_followers ")
    )
    return float(line.split()[1])


def test_a_purchase_begins_with_temporal_down(start: Callable[..., Running]) -> None:
    """Open and Pay answer at once while Temporal is away; the rows keep the wish."""
    running = start()
    with client(running) as browser:
        path = browser.post("/checkouts", data=FORM).headers["location"]
        started = time.monotonic()
        paid = browser.post(f"{path}/pay", data={"payment_method": "pm_card_visa"})
        seconds = time.monotonic() - started
        page = browser.get(path)

    assert paid.status_code == HTTPStatus.SEE_OTHER
    assert seconds < 2
    assert "We are confirming your $249.00" in page.text
    assert "server" not in page.headers


def test_wrong_settings_are_told_in_sentences() -> None:
    """No traceback and no secret: which setting, what is wrong, exit code 2."""
    settings = environment("x", HOLDFAST_SECRET_KEYS="short-secret")
    del settings["HOLDFAST_PUBLIC_URL"]

    process = run(settings)
    _, text = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "HOLDFAST_PUBLIC_URL" in text
    assert "Traceback" not in text
    assert "short-secret" not in text


def test_a_taken_metrics_port_is_told_in_a_sentence(database: Database) -> None:
    """A second process on the same port says so and ends."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = run(environment(database.app_url, HOLDFAST_API_METRICS_PORT=port))
        _, text = process.communicate(timeout=30)

    assert process.returncode == 2
    assert port in text
    assert "Traceback" not in text


def test_a_taken_port_ends_the_process(database: Database) -> None:
    """A process that cannot listen does not stay around half alive."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = run(
            environment(
                database.app_url,
                HOLDFAST_API_PORT=str(taken.getsockname()[1]),
                HOLDFAST_API_METRICS_PORT=str(free_port()),
            )
        )
        _, text = process.communicate(timeout=30)

    assert process.returncode != 0
    assert "Traceback" not in text


def test_metrics_are_served_on_their_own_port_alone(
    start: Callable[..., Running],
) -> None:
    """The customers' port shows no metrics; the other one counts by route template."""
    running = start()
    with client(running) as browser:
        path = browser.post("/checkouts", data=FORM).headers["location"]
        browser.get(path)
        outside = browser.get("/metrics")
    inside = httpx.get(f"http://127.0.0.1:{running.metrics_port}", trust_env=False)

    assert outside.status_code == 404
    assert 'route="/c/{token}"' in inside.text
    assert 'holdfast_pages_shown_total{page="checkout"} 1.0' in inside.text
    assert path not in inside.text


def flood(browser: httpx.Client) -> list[int]:
    """Open seven checkouts, each time claiming another address."""
    return [
        browser.post(
            "/checkouts", data=FORM, headers={"x-forwarded-for": f"203.0.113.{number}"}
        ).status_code
        for number in range(7)
    ]


def test_a_forwarded_address_counts_from_a_trusted_proxy_alone(
    start: Callable[..., Running],
) -> None:
    """A stranger's X-Forwarded-For is not believed; the edge's is."""
    strangers = start(HOLDFAST_TRUSTED_PROXIES="192.0.2.1")
    edge = start(HOLDFAST_TRUSTED_PROXIES="127.0.0.1")
    with client(strangers) as stranger, client(edge) as proxy:
        assert flood(stranger) == [303] * 5 + [429] * 2
        assert flood(proxy) == [303] * 7


def test_a_long_body_in_pieces_is_cut_off(start: Callable[..., Running]) -> None:
    """An endless body without an announced length is cut off, not read to its end."""
    running = start()
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1600):
            sent += 65536
            yield b"x" * 65536

    with client(running) as browser:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        try:
            answer = browser.post("/checkouts", content=pieces(), headers=kind)
        except httpx.TransportError:
            pass  # The server hung up while we were still sending.
        else:
            assert answer.status_code == 413
        assert sent < 1600 * 65536
        assert browser.get("/").status_code == 200


def test_strangers_cannot_time_who_is_a_customer(
    start: Callable[..., Running], shop: Shop
) -> None:
    """Over 40 pairs, known and unknown addresses differ by < 5 ms in the median."""
    running = start()
    shop.sql(
        "INSERT INTO checkouts (checkout_id, reference_code, token_hash, token_key_id,"
        " email, plan_id, plan_name, plan_months, amount_minor, currency, stage,"
        " money_state, payment_intent_id, charged_at)"
        " SELECT gen_random_uuid(), 'ORD-' || n, sha256(n::text::bytea), 'k',"
        " 'known' || n / 4 || '.' || mod(n, 4) || '@example.com', 'one-year', 'x', 12,"
        " 24900, 'usd', 'charged', 'CHARGED', 'pi_' || n, now()"
        " FROM generate_series(0, 39) n"
    )
    longer: list[float] = []
    for number in range(10):
        # Another caller each time, so that no window fills up.
        with client(running, **{"x-forwarded-for": f"203.0.113.{number}"}) as browser:
            for turn in range(4):
                # Pairs, each the other way round than the one before: what slows the
                # machine down for a while slows both.
                names = ("known", "other") if turn % 2 else ("other", "known")
                took: dict[str, float] = {}
                for name in names:
                    email = f"{name}{number}.{turn}@example.com"
                    started = time.perf_counter()
                    answer = browser.post("/account/sign-in", data={"email": email})
                    took[name] = time.perf_counter() - started
                    assert answer.status_code == 200
                longer.append(took["known"] - took["other"])

    assert abs(median(longer)) < 0.005
