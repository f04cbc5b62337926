"""Webhook signatures: only fresh bytes signed by a secret of ours are believed."""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.webhook_signature import (
    TOLERANCE,
    EventRefused,
    SignatureRefused,
    parse,
    verify,
)

NOW = datetime(2026, 11, 23, 14, 32, tzinfo=UTC)
SECRET = "whsec_this-years-secret"
OLD_SECRET = "whsec_last-years-secret"
EVENT = {
    "id": "evt_1",
    "type": "payment_intent.succeeded",
    "livemode": False,
    "data": {
        "object": {
            "id": "pi_1",
            "object": "payment_intent",
            "metadata": {"checkout_id": "11111111-2222-4333-8444-555555555555"},
        }
    },
}
BODY = json.dumps(EVENT).encode()


def _header(
    body: bytes = BODY, *, secret: str = SECRET, at: datetime = NOW, scheme: str = "v1"
) -> str:
    stamp = int(at.timestamp())
    signed = f"{stamp}.".encode() + body
    digest = hmac.new(secret.encode(), signed, sha256).hexdigest()
    return f"t={stamp},{scheme}={digest}"


def test_a_good_signature_is_believed() -> None:
    """Bytes signed now by our secret pass."""
    verify(BODY, _header(), [SECRET], NOW)


def test_both_secrets_are_believed_during_a_rotation() -> None:
    """While two secrets are valid, an event signed by either passes."""
    verify(BODY, _header(secret=OLD_SECRET), [SECRET, OLD_SECRET], NOW)
    both = f"{_header(secret='whsec_other')},{_header().split(',')[1]}"
    verify(BODY, both, [SECRET], NOW)


@pytest.mark.parametrize("age", [-TOLERANCE, TOLERANCE, timedelta()])
def test_the_tolerance_is_kept_both_ways(age: timedelta) -> None:
    """Up to five minutes old or new is fresh."""
    verify(BODY, _header(at=NOW - age), [SECRET], NOW)


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (BODY, None),
        (BODY, ""),
        (BODY, "junk"),
        (BODY, "t=,v1="),
        (BODY, "t=abc,v1=00"),
        (BODY, "t=1٣,v1=00"),
        (BODY, f"t={'9' * 400},v1=00"),
        (BODY, "v1=00"),
        (BODY, f"t={int(NOW.timestamp())}"),
        (BODY, f"t={int(NOW.timestamp())},v1=é"),
        (BODY, f"{_header()},t=1"),
        (BODY, _header(secret="whsec_other")),
        (BODY, _header(scheme="v0")),
        (BODY, _header(at=NOW - TOLERANCE - timedelta(seconds=1))),
        (BODY, _header(at=NOW + TOLERANCE + timedelta(seconds=1))),
        (json.dumps(EVENT, separators=(",", ":")).encode(), _header()),
        (BODY + b" ", _header()),
        (b"", _header()),
    ],
)
def test_everything_else_is_refused(body: bytes, header: str | None) -> None:
    """Missing, malformed, wrong, old, future and re-encoded: all are refused."""
    with pytest.raises(SignatureRefused):
        verify(body, header, [SECRET], NOW)


def test_without_a_secret_nothing_is_believed() -> None:
    """An empty list of secrets closes the door."""
    with pytest.raises(SignatureRefused):
        verify(BODY, _header(), [], NOW)


@given(st.text(max_size=200))
def test_any_header_gives_one_kind_of_answer(header: str) -> None:
    """No header makes anything but a refusal."""
    with pytest.raises(SignatureRefused):
        verify(BODY, header, [SECRET], NOW)


def test_an_event_is_read_down_to_what_we_use() -> None:
    """The hint names the event, its kind and what it is about."""
    event = parse(BODY)

    assert (event.event_id, event.kind) == ("evt_1", "payment_intent.succeeded")
    assert (event.payment_intent_id, event.is_live) == ("pi_1", False)
    assert event.checkout_id == "11111111-2222-4333-8444-555555555555"


def test_an_event_of_another_object_names_its_payment() -> None:
    """A charge's or dispute's event leads to the PaymentIntent it belongs to."""
    subject = {"id": "dp_1", "object": "dispute", "payment_intent": "pi_2"}
    body = json.dumps(EVENT | {"data": {"object": subject}}).encode()

    assert parse(body).payment_intent_id == "pi_2"
    assert parse(body).checkout_id is None


def test_the_account_of_an_event_is_read() -> None:
    """Only an event of a connected account names one; ours names none."""
    of_another = json.dumps(EVENT | {"account": "acct_1"}).encode()

    assert parse(BODY).account_id is None
    assert parse(json.dumps(EVENT | {"account": None}).encode()).account_id is None
    assert parse(of_another).account_id == "acct_1"


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: json.dumps(value).encode())
)
def test_what_is_no_event_is_refused(body: bytes) -> None:
    """Signed junk is refused by one error, whatever it is."""
    with pytest.raises(EventRefused):
        parse(body)


ODD = ["", "evt_\x00", "evt_\ud800", "evt é", "evt 1", "evt\n", "x" * 256, 7, None, {}]


def _changed(where: str, value: object) -> bytes:
    subject = EVENT["data"]["object"]  # type: ignore[index]
    event: dict[str, object] = dict(EVENT)
    match where:
        case "payment":
            event["data"] = {"object": subject | {"id": value}}
        case "payment of another":
            event["data"] = {"object": {"object": "dispute", "payment_intent": value}}
        case "metadata":
            event["data"] = {"object": subject | {"metadata": {"checkout_id": value}}}
        case _:
            event[where] = value
    return json.dumps(event).encode()


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize(
    "where", ["id", "type", "payment", "payment of another", "account"]
)
def test_what_no_database_could_keep_is_refused(where: str, value: object) -> None:
    """An id is visible ASCII of a sane length; a signature is no excuse."""
    body = _changed(where, value)
    if where.startswith("payment") and not value:
        assert parse(body).payment_intent_id is None
        return
    if where == "account" and not value:
        assert parse(body).account_id is None
        return

    with pytest.raises(EventRefused):
        parse(body)


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_odd_metadata_is_no_metadata(value: object) -> None:
    """Anybody may write metadata: odd words in it do not cost us the event."""
    event = parse(_changed("metadata", value))

    assert (event.checkout_id, event.payment_intent_id) == (None, "pi_1")


@pytest.mark.parametrize("where", ["id", "type", "payment"])
def test_the_longest_id_is_taken(where: str) -> None:
    """255 characters are what the processor allows itself."""
    parse(_changed(where, "x" * 255))
