"""The sandbox's demo application: opens access once, for whoever signs."""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from sandbox.application.store import AccessStore
from stack.places import free_port
from tests.stack.servers import server

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True)
class Acme:
    http: httpx.Client

    def call(
        self,
        webhook_id: str = "msg_1",
        *,
        secret: str = SECRET,
        at: datetime | None = None,
        **changes: Any,
    ) -> httpx.Response:
        now = at or datetime.now(UTC)
        body = json.dumps(_granted(**changes))
        return self.http.post(
            "/holdfast/entitlements",
            content=body,
            headers={
                "webhook-id": webhook_id,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": Webhook(secret).sign(webhook_id, now, body),
            },
        )

    def arm(self, **fault: Any) -> str:
        reply = self.http.post("/sandbox/faults", json=fault)
        assert reply.status_code == 201, reply.text
        return str(reply.json()["id"])

    def seen(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.get("/api/entitlements").json()
        return answer


def _granted(**changes: Any) -> dict[str, Any]:
    data = {
        "entitlement_id": "ent_1",
        "order_reference": "ORD-7K2M",
        "email": "dana@example.com",
        "plan": "year",
        "starts_at": "2026-11-23T14:32:00+00:00",
        "ends_at": "2027-11-23T14:32:00+00:00",
    }
    body = {"type": "entitlement.granted", "timestamp": "2026-11-23T14:32:00Z"}
    return {**body, "data": data, **changes}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    """One application for all tests of this file."""
    folder = tmp_path_factory.mktemp("application")
    port = free_port()
    home = f"http://127.0.0.1:{port}"
    with (
        server(*_command(port, folder), home=home, log=folder / "log"),
        httpx.Client(base_url=home, trust_env=False, timeout=20) as client,
    ):
        yield Acme(client)


def _command(port: int, folder: Path) -> list[str]:
    return [
        *("sandbox.application", "--port", str(port), "--secret", SECRET),
        *("--data", str(folder / "application.db")),
    ]


@pytest.fixture
def acme(running: Acme) -> Acme:
    """The application with nobody in it, behaving well."""
    running.http.delete("/api/entitlements")
    running.http.delete("/sandbox/faults")
    return running


def test_signed_call_opens_access(acme: Acme) -> None:
    """A signed call answers with an address that lets the buyer in."""
    reply = acme.call()

    welcome = acme.http.get(reply.json()["access_url"])
    assert reply.status_code == 200
    assert welcome.status_code == 200
    assert "You’re in." in welcome.text
    assert "23 Nov 2027" in welcome.text


def test_same_webhook_again_changes_nothing(acme: Acme) -> None:
    """A repeated call gets the first answer, and its effect counts once."""
    first, second = acme.call(), acme.call()

    (entry,) = acme.seen()["entitlements"]
    assert second.json() == first.json()
    assert (entry["calls"], entry["grants"]) == (2, 1)


def test_second_webhook_for_one_entitlement_is_seen_as_a_second_grant(
    acme: Acme,
) -> None:
    """A sender that forgets its idempotency key is caught by the count."""
    first, second = acme.call("msg_1"), acme.call("msg_2")

    (entry,) = acme.seen()["entitlements"]
    assert second.json() == first.json()
    assert entry["grants"] == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "whsec_" + "A" * 32},
        {"at": datetime.now(UTC) - timedelta(minutes=10)},
    ],
    ids=["another secret", "too old"],
)
def test_call_that_is_not_signed_by_us_is_refused(
    acme: Acme, wrong: dict[str, Any]
) -> None:
    """Nobody opens access without the secret, nor with an old recording."""
    reply = acme.call(**wrong)

    assert reply.status_code == 401
    assert acme.seen() == {"entitlements": [], "calls": 0, "rejected": 1}


def test_call_without_or_with_broken_signature_is_refused(acme: Acme) -> None:
    """Missing and malformed headers are a refusal, never a crash."""
    broken = {
        "webhook-id": "msg_1",
        "webhook-timestamp": "now",
        "webhook-signature": "nonsense",
    }
    for headers in ({}, broken, {**broken, "webhook-timestamp": "1"}):
        reply = acme.http.post("/holdfast/entitlements", json={}, headers=headers)
        assert reply.status_code == 401


def test_two_minutes_of_clock_difference_are_no_hindrance(acme: Acme) -> None:
    """A clock two minutes off keeps nobody out."""
    assert acme.call(at=datetime.now(UTC) + timedelta(minutes=2)).status_code == 200


@pytest.mark.parametrize("changes", [{"type": "other"}, {"data": {}}, {"data": 1}])
def test_signed_nonsense_is_refused_with_a_sentence(
    acme: Acme, changes: dict[str, Any]
) -> None:
    """A call that cannot be understood says why and opens nothing."""
    reply = acme.call(**changes)

    assert reply.status_code == 422
    assert reply.json()["error"]
    assert acme.seen()["entitlements"] == []


def test_ended_access_is_closed(acme: Acme) -> None:
    """After access has ended the welcome page lets nobody in."""
    address = acme.call().json()["access_url"]

    acme.call("msg_2", type="entitlement.ended")

    assert acme.http.get(address).status_code == 403
    assert acme.seen()["entitlements"][0]["state"] == "ended"


def test_call_that_was_held_up_opens_nothing_that_has_ended(acme: Acme) -> None:
    """Access that ended before it was ever opened stays closed, whatever comes late."""
    acme.call("msg_2", type="entitlement.ended")

    late = acme.call()

    assert late.status_code == 200
    assert acme.http.get(late.json()["access_url"]).status_code == 403


@pytest.mark.parametrize(("action", "status"), [("error_500", 500), ("gone_410", 410)])
def test_scripted_failure_does_nothing_once(
    acme: Acme, action: str, status: int
) -> None:
    """A scripted failure opens nothing, and the next call works."""
    acme.arm(action=action, order_reference="ORD-7K2M")

    assert acme.call().status_code == status
    assert acme.seen()["entitlements"] == []
    assert acme.call().status_code == 200


def _changed(number: object, **facts: Any) -> dict[str, Any]:
    data = {**_granted()["data"], "change": number, **facts}
    return {"type": "entitlement.changed", "data": data}


def test_a_change_is_followed_once(acme: Acme) -> None:
    """Address and end move, the welcome page shows them, and its link stays."""
    welcome = acme.call().json()["access_url"]
    moved = {"email": "kim@example.com", "ends_at": "2027-12-07T14:32:00+00:00"}

    for _ in range(2):
        reply = acme.call("msg_2", **_changed(1, **moved))

    (entry,) = acme.seen()["entitlements"]
    assert (reply.status_code, reply.json()) == (200, {"changed": "ent_1"})
    assert (entry["email"], entry["change"]) == ("kim@example.com", 1)
    assert (entry["grants"], entry["changes"]) == (1, 1)
    assert entry["access_url"] == welcome
    page = acme.http.get(welcome).text
    assert "7 Dec 2027" in page
    assert "k•••@example.com" in page
    assert "· changed" in acme.http.get("/").text


def test_a_change_that_comes_late_undoes_nothing(acme: Acme) -> None:
    """A lower number, or the same under another id, is answered and not followed."""
    acme.call()
    acme.call("msg_3", **_changed(2, email="new@example.com"))

    late = acme.call("msg_2", **_changed(1, email="old@example.com"))
    same = acme.call("msg_4", **_changed(2, email="old@example.com"))

    (entry,) = acme.seen()["entitlements"]
    assert (late.status_code, same.status_code) == (200, 200)
    assert (entry["email"], entry["changes"]) == ("new@example.com", 1)


def test_a_change_reopens_nothing(acme: Acme) -> None:
    """What has ended stays ended, and a late call to open it has nothing to undo."""
    acme.call()
    acme.call("msg_2", type="entitlement.ended")
    acme.call("msg_3", **_changed(1))

    (entry,) = acme.seen()["entitlements"]
    assert (entry["state"], entry["changes"]) == ("ended", 0)


def test_a_change_of_what_is_not_known_opens_it(acme: Acme) -> None:
    """The call tells everything, so an application that lost a row has it again."""
    acme.call("msg_2", **_changed(1, email="kim@example.com"))

    late = acme.call()

    (entry,) = acme.seen()["entitlements"]
    assert (entry["state"], entry["email"]) == ("active", "kim@example.com")
    assert acme.http.get(late.json()["access_url"]).status_code == 200


@pytest.mark.parametrize("number", [None, 0, -1, True, "1", 1.5])
def test_a_change_counts(acme: Acme, number: object) -> None:
    """Without its number it cannot be put in order, so it is refused."""
    assert acme.call("msg_2", **_changed(number)).status_code == 422


def test_a_file_of_an_older_release_is_taken_on(tmp_path: Path) -> None:
    """What was granted before changes were counted can be changed now."""
    path = tmp_path / "application.db"
    store = AccessStore(path)
    store.grant("msg_1", _granted()["data"])
    store.close()
    with sqlite3.connect(path) as old:
        old.execute("ALTER TABLE entitlements DROP COLUMN change")
    old.close()

    again = AccessStore(path)
    again.change("msg_2", {**_granted()["data"], "change": 1, "email": "k@x.example"})

    assert [(one.email, one.change) for one in again.all()] == [("k@x.example", 1)]
    again.close()


@pytest.mark.parametrize(
    ("action", "grants"), [("refuse", 0), ("act_then_drop_reply", 1)]
)
def test_cut_connection_leaves_the_caller_in_doubt(
    acme: Acme, action: str, grants: int
) -> None:
    """The caller hears nothing, whether the call had its effect or not."""
    acme.arm(action=action)

    with pytest.raises(httpx.RemoteProtocolError):
        acme.call()

    assert len(acme.seen()["entitlements"]) == grants


@pytest.mark.parametrize(
    ("action", "granted"), [("hold_then_act", 0), ("act_then_hold", 1)]
)
def test_hold_shows_the_moment_before_and_after_the_effect(
    acme: Acme, action: str, granted: int
) -> None:
    """A test can stand right before or right after the moment access opens."""
    fault = acme.arm(action=action)
    caller = threading.Thread(target=acme.call)
    caller.start()

    asked = {"wait": "hit", "timeout": "10"}
    seen = acme.http.get(f"/sandbox/faults/{fault}", params=asked).json()
    open_while_held = len(acme.seen()["entitlements"])
    acme.http.post(f"/sandbox/faults/{fault}/release")
    caller.join(10)

    assert (seen["hits"], seen["held"]) == (1, 1)
    assert open_while_held == granted
    assert len(acme.seen()["entitlements"]) == 1


def test_delay_ends_by_itself(acme: Acme) -> None:
    """A delayed call works, late."""
    acme.arm(action="delay", seconds=0.1)

    reply = acme.call()

    assert reply.status_code == 200
    assert reply.elapsed >= timedelta(seconds=0.1)


def test_public_page_shows_no_address(acme: Acme) -> None:
    """Who has access is shown with the e-mail address masked."""
    acme.call()

    page = acme.http.get("/").text

    assert "d•••@example.com" in page
    assert "dana@" not in page


def test_unknown_welcome_link_opens_nothing(acme: Acme) -> None:
    """A guessed link is answered calmly with 404."""
    reply = acme.http.get("/welcome/guess")

    assert reply.status_code == 404
    assert "opens nothing" in reply.text


def test_access_survives_a_killed_application(tmp_path: Path) -> None:
    """Access that was confirmed is there after kill -9 and a new start."""
    port = free_port()
    home, log = f"http://127.0.0.1:{port}", tmp_path / "log"
    command = _command(port, tmp_path)
    with (
        httpx.Client(base_url=home, trust_env=False) as client,
        server(*command, home=home, log=log) as first,
    ):
        address = Acme(client).call().json()["access_url"]
        os.kill(first.pid, 9)
        first.wait()

    with server(*command, home=home, log=log):
        assert httpx.get(address, trust_env=False).status_code == 200
