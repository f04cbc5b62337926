"""Caddy alone, as the stack and production run it, before a server that may be dead."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

import httpx
import pytest

from api import notices
from api.problems import MEDIA_TYPE, ProblemBody
from api.security import _HEADERS, MOST_BODY_BYTES, MOST_MAIL_BYTES, MOST_WEBHOOK_BYTES
from stack.caddy import Edge, find_caddy
from stack.errors import StackError
from stack.places import free_port
from stack.processes import last_lines, signal_group, start
from tests.durability.watching import read_page

TOKEN = "aB3_" + "x" * 38 + "-"
#: GET is repeated for five seconds, this is not; the answers are the same.
_UNREPEATED = "POST"


@dataclass(slots=True)
class DyingServer:
    """Reads each request to its end and closes the connection without an answer.

    Attributes:
        requests: What was read, in order.
        answer: Sent instead of dying, when it is set.
    """

    port: int
    requests: list[bytes] = field(default_factory=list)
    answer: bytes = b""

    def serve(self, listener: socket.socket) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._take, args=(connection,), daemon=True).start()

    def _take(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            while head := _read_head(reader.readline):
                body = reader.read(_length(head))
                if b"transfer-encoding: chunked" in head.lower():
                    body = _read_chunks(reader)
                self.requests.append(head + body)
                if not self.answer:
                    return
                connection.sendall(self.answer)


def _read_head(readline: Callable[[], bytes]) -> bytes:
    lines = []
    while line := readline():
        lines.append(line)
        if line == b"\r\n":
            break
    return b"".join(lines)


def _read_chunks(reader: IO[bytes]) -> bytes:
    body = b""
    while size := int(reader.readline() or b"0", 16):
        body += reader.read(size)
        reader.readline()
    reader.readline()
    return body


def _length(head: bytes) -> int:
    for line in head.lower().splitlines():
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """A Caddy before a port where nobody listens, until a test does."""
    try:
        program = find_caddy()
    except StackError as error:
        pytest.skip(str(error))
    port = free_port()
    edge = Edge(
        program=program,
        folder=tmp_path_factory.mktemp("edge"),
        port=port,
        upstream_port=free_port(exclude={port}),
    )
    log = edge.folder / "edge.log"
    process = start(edge.launch(), log=log)
    deadline = time.monotonic() + 20
    while not _listens(port):
        assert process.poll() is None, last_lines(log)
        assert time.monotonic() < deadline, last_lines(log)
    yield edge
    signal_group(process.pid, signal.SIGTERM)
    process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _server(edge: Edge, answer: bytes = b"") -> Iterator[DyingServer]:
    with socket.create_server(("127.0.0.1", edge.upstream_port)) as listener:
        server = DyingServer(edge.upstream_port, answer=answer)
        threading.Thread(target=server.serve, args=(listener,), daemon=True).start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)


def _ask(
    edge: Edge, path: str, method: str = _UNREPEATED, **more: object
) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=20) as client:
        return client.request(method, f"http://127.0.0.1:{edge.port}{path}", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path", [f"/c/{TOKEN}", f"/c/{TOKEN}/pay", f"/c/{TOKEN}/check"]
)
def test_a_checkout_whose_server_is_dead_shows_the_holding_words(
    edge: Edge, path: str
) -> None:
    """Whatever was asked of it, the same true words, and a link that leads back."""
    reply = _ask(edge, path)
    page = read_page(reply, 0)

    known = notices.holding(f"/c/{TOKEN}")
    assert (page.status, page.headline) == (known.status, known.headline)
    assert all(sentence in page.text for sentence in known.sentences)
    assert f'href="/c/{TOKEN}"' in reply.text
    assert not page.claims_no_charge
    assert not page.offers_payment


@pytest.mark.parametrize(
    ("path", "headline", "link"),
    [
        ("/checkouts", notices.NOT_STARTED.headline, "/"),
        ("/", "We can't show our plan this second.", "/"),
        ("/account", notices.ORDERS_HIDDEN.headline, "/account"),
        ("/account/sign-out", notices.ORDERS_HIDDEN.headline, "/account"),
        (
            f"/account/sign-in/{TOKEN}",
            notices.ORDERS_HIDDEN.headline,
            f"/account/sign-in/{TOKEN}",
        ),
        ("/nowhere", "Please don't pay again yet.", "/"),
        ("/c/cut-off", "Please don't pay again yet.", "/"),
    ],
)
def test_every_other_address_says_what_is_true_there(
    edge: Edge, path: str, headline: str, link: str
) -> None:
    """No page of a dead server says of anybody's money what it cannot know."""
    reply = _ask(edge, path)
    page = read_page(reply, 0)

    assert (page.status, page.headline) == (503, headline)
    assert f'id="again" href="{link}"' in reply.text
    assert not page.claims_no_charge


@pytest.mark.parametrize("name", ["holdfast-checkout", "__Host-holdfast-checkout"])
def test_who_has_a_checkout_is_led_back_to_it(edge: Edge, name: str) -> None:
    """A second tab's wish may come from a buyer whose first checkout is paid."""
    kept = {"cookie": f"other=1; {name}={TOKEN}; more=2"}
    reply = _ask(edge, "/checkouts", headers=kept)
    forged = _ask(edge, "/checkouts", headers={"cookie": f"{name}={TOKEN}x"})

    assert read_page(reply, 0).headline == notices.holding(None).headline
    assert f'id="again" href="/c/{TOKEN}"' in reply.text
    assert read_page(forged, 0).headline == notices.NOT_STARTED.headline


@pytest.mark.parametrize(
    "path",
    [
        "//elsewhere.example/c/",
        f"/c/{TOKEN}%22%3E%3Cscript%3E",
        "/%3Cscript%3Ealert(1)%3C/script%3E",
        f"/c/{TOKEN}/%22onclick=%22x",
        f"/c/{TOKEN}%0d%0aset-cookie:x",
    ],
)
def test_an_address_cannot_write_on_the_page(edge: Edge, path: str) -> None:
    """The one link leads to an address of ours, whatever the request's was."""
    reply = _ask(edge, path)

    assert reply.text.count("<script>") == 1
    assert "onclick" not in reply.text
    (again,) = [line for line in reply.text.splitlines() if 'id="again"' in line]
    assert again.split('href="')[1].split('"')[0] in {"/", f"/c/{TOKEN}"}
    assert "set-cookie" not in reply.headers


@pytest.mark.parametrize(
    "path", ["/", "/v1/checkouts", "/webhooks/stripe", "/static/x"]
)
def test_an_answer_of_the_edge_is_guarded_like_the_apis(edge: Edge, path: str) -> None:
    """The same headers, nothing kept, and word when to ask again; nothing reloads."""
    headers = _ask(edge, path).headers

    for name, value in _HEADERS.items():
        if name != "content-security-policy":
            assert headers[name] == value
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["retry-after"] == "5"
    assert headers["content-security-policy"].startswith("default-src 'none';")
    assert ("sha256-" in headers["content-security-policy"]) == (path == "/")
    assert not {"refresh", "server", "via", "etag", "last-modified"} & set(headers)


def test_what_a_browser_remembers_does_not_empty_the_page(edge: Edge) -> None:
    """Conditions and ranges that were meant for the true page are not obeyed."""
    for name, value in {
        "If-None-Match": "*",
        "If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT",
        "If-Match": '"x"',
        "Range": "bytes=0-1",
    }.items():
        reply = _ask(edge, f"/c/{TOKEN}", headers={name: value})

        assert reply.status_code == 503
        assert "</html>" in reply.text


@pytest.mark.parametrize("path", ["/v1/checkouts", "/v1", "/webhooks/stripe"])
def test_a_program_gets_a_problem(edge: Edge, path: str) -> None:
    """In the API's own shape, with what to do and a number to quote."""
    reply = _ask(edge, path)
    problem = ProblemBody.model_validate_json(reply.text)

    assert reply.headers["content-type"] == MEDIA_TYPE
    assert (reply.status_code, problem.status) == (503, 503)
    assert "unknown" in problem.detail
    assert problem.request_id
    assert f'"err_id":"{problem.request_id}"' in _log(edge)


def _log(edge: Edge) -> str:
    return (edge.folder / "edge.log").read_text()


def test_the_log_tells_no_secret_address(edge: Edge) -> None:
    """A checkout's address opens it, so it stands in no log; nor does the caller's."""
    _ask(edge, f"/c/{TOKEN}", headers={"Cookie": "session=secret"})

    lines = [json.loads(line) for line in _log(edge).splitlines()]
    assert any(line.get("logger", "").startswith("http.log.access") for line in lines)
    for secret in (TOKEN, "session=secret", '"remote_ip"'):
        assert secret not in _log(edge)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("body", [b"", b"payment_method=pm_card_visa"])
def test_what_is_not_reading_reaches_the_server_once(
    edge: Edge, method: str, body: bytes
) -> None:
    """A server that dies over a request never gets it again, key or no key."""
    with _server(edge) as server:
        began = time.monotonic()
        reply = _ask(
            edge,
            "/v1/checkouts/x/pay",
            method,
            content=body,
            headers={"Idempotency-Key": "key"},
        )

    assert len(server.requests) == 1
    assert reply.status_code == 503
    assert time.monotonic() - began < 1


def test_a_used_connection_does_not_make_a_second_press(edge: Edge) -> None:
    """Requests that went well leave no connection on which the next is sent again."""
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with _server(edge, answer=ok) as server:
        for method in ("GET", "POST"):
            assert _ask(edge, f"/c/{TOKEN}/pay", method).status_code == 200
        server.answer = b""
        headers = {"Idempotency-Key": "key"}
        reply = _ask(edge, f"/c/{TOKEN}/pay", headers=headers)

    presses = [one for one in server.requests if one.startswith(b"POST")]
    assert (reply.status_code, len(presses)) == (503, 2)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_waits_for_a_server_that_comes_back(edge: Edge, method: str) -> None:
    """Whoever reloads while the server starts sees its page, and no error."""
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    replies: list[httpx.Response] = []
    reading = threading.Thread(target=lambda: replies.append(_ask(edge, "/", method)))
    with _server(edge) as server:
        reading.start()
        while not server.requests:
            assert reading.is_alive()
        server.answer = ok
        reading.join()

    assert [reply.status_code for reply in replies] == [200]


def test_reading_gives_up_after_some_seconds(edge: Edge) -> None:
    """A server that stays away costs five seconds, then the honest page."""
    began = time.monotonic()
    reply = _ask(edge, f"/c/{TOKEN}", "GET")

    assert 4.5 < time.monotonic() - began < 7
    assert read_page(reply, 0).headline == notices.holding(None).headline


def test_a_caller_cannot_name_its_own_address(edge: Edge) -> None:
    """What the API believes of the caller is what the edge saw itself."""
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with _server(edge, answer=ok) as server:
        _ask(edge, "/", headers={"X-Forwarded-For": "203.0.113.7"})

    (request,) = server.requests
    assert b"X-Forwarded-For: 127.0.0.1\r\n" in request
    assert b"203.0.113.7" not in request


@pytest.mark.parametrize("path", ["/metrics", "/metrics/x", "/readyz", "//metrics"])
def test_the_inside_stays_inside(edge: Edge, path: str) -> None:
    """Metrics and the state of the database are not asked through the edge."""
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with _server(edge, answer=ok) as server:
        reply = _ask(edge, path, "GET")

    assert (reply.status_code, server.requests) == (404, [])


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/checkouts", MOST_BODY_BYTES),
        ("/webhooks/stripe", MOST_WEBHOOK_BYTES),
        ("/v1/mail", MOST_MAIL_BYTES),
    ],
)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_long_bodies_end_at_the_edge(
    edge: Edge, path: str, most: int, *, is_chunked: bool
) -> None:
    """The edge has the API's limits, and says so instead of the holding page."""
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    body = b"x" * (most + 1)
    with _server(edge, answer=ok):
        content = iter([body]) if is_chunked else body
        refused = _ask(edge, path, content=content)
        taken = _ask(edge, path, content=body[:-1])

    assert (refused.status_code, taken.status_code) == (413, 200)
    words = "256 KiB for a mail" if "/v1" in path else "Nothing of it was kept"
    assert words in refused.text
    assert "retry-after" not in refused.headers
