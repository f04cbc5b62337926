"""Ids: derived, reversible, and never the same for two things."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import identifiers as ids
from domain.emails import EmailKind

CHECKOUT = UUID("11111111-2222-4333-8444-555555555555")
attempts = st.integers(1, 10)


@given(st.uuids())
def test_a_workflow_id_names_its_checkout(checkout_id: UUID) -> None:
    """The inverse of `workflow_id_of` returns what went in."""
    assert ids.checkout_id_of(ids.workflow_id_of(checkout_id)) == checkout_id


@pytest.mark.parametrize("workflow_id", ["", "order-1", "checkout-", "checkout-x"])
def test_a_foreign_workflow_id_is_refused(workflow_id: str) -> None:
    """What is not a checkout's workflow id names no checkout."""
    with pytest.raises(ValueError, match=r"workflow id|UUID"):
        ids.checkout_id_of(workflow_id)


@given(st.binary(min_size=8, max_size=32))
def test_a_reference_can_be_read_out_on_the_phone(raw: bytes) -> None:
    """No letter of a reference is taken for another one."""
    code = ids.reference_code(raw)

    assert len(code) == len("ORD-7K2M-9QXD")
    assert code.startswith("ORD-")
    assert not set(code.removeprefix("ORD-")) & set("01OIL")
    assert ids.is_reference_code(code)
    assert not ids.is_reference_code(code.lower())


def test_references_differ_where_their_bytes_do() -> None:
    """All of the eight characters are drawn from the bytes."""
    codes = {ids.reference_code(n.to_bytes(8, "big")) for n in range(5_000)}

    assert len(codes) == 5_000


@given(st.uuids(), st.uuids())
def test_derived_ids_are_stable_and_apart(one: UUID, other: UUID) -> None:
    """A second run of a step arrives at the same row; another checkout does not."""
    assert ids.derived_id(one, "order") == ids.derived_id(one, "order")
    assert ids.derived_id(one, "order") != ids.derived_id(one, "receipt")
    assert (ids.derived_id(one, "order") == ids.derived_id(other, "order")) == (
        one == other
    )


@given(attempts, attempts, st.integers(0, 5), st.integers(0, 5))
def test_a_key_is_the_same_for_a_retry_only(
    one: int, other: int, submission: int, again: int
) -> None:
    """Keys repeat for the same attempt and submission, and for nothing else."""
    first = ids.confirm_key(CHECKOUT, one, submission)
    second = ids.confirm_key(CHECKOUT, other, again)

    assert (first == second) == ((one, submission) == (other, again))
    assert len(first) <= 255


def test_keys_of_different_purposes_never_meet() -> None:
    """Create, prepare, confirm and cancel of one attempt have four keys."""
    keys = {
        ids.create_key(CHECKOUT, 1),
        ids.prepare_key(CHECKOUT, 1),
        ids.confirm_key(CHECKOUT, 1, 0),
        ids.confirm_key(CHECKOUT, 1, 1),
        ids.cancel_key(CHECKOUT, 1),
        ids.cancel_key(CHECKOUT, 1, 1),
        ids.provisioning_key(CHECKOUT, "grant"),
    }

    assert len(keys) == 7


def test_a_message_id_is_the_same_for_every_copy() -> None:
    """Two copies of one mail carry one Message-ID; two mails do not."""
    first = ids.message_id("ORD-7K2M-9QXD", "receipt", "acme.test")

    assert first == "<receipt.ord-7k2m-9qxd@acme.test>"
    assert first != ids.message_id("ORD-7K2M-9QXD", "reminder", "acme.test")


references = st.binary(min_size=8, max_size=8).map(ids.reference_code)
kinds = st.sampled_from([kind.value for kind in EmailKind])


@given(references, kinds, st.integers(1, 999_999_999))
def test_a_message_id_names_its_mail(reference: str, kind: str, sequence: int) -> None:
    """The inverse of `message_id` returns what went in."""
    written = ids.message_id(reference, kind, "acme.test", sequence)

    assert ids.mail_of(written) == ids.MailName(
        reference=reference, kind=kind, domain="acme.test", sequence=sequence
    )


@given(st.from_regex(r"<[a-z-]{1,8}\.ord-\w{4}-\w{4}(\.[0-9]{1,3})?@a\.b>"))
def test_a_mail_has_one_message_id(text: str) -> None:
    """What is read as a name of ours is written again letter for letter."""
    try:
        name = ids.mail_of(text)
    except ValueError:
        return
    assert text == ids.message_id(name.reference, name.kind, name.domain, name.sequence)


@pytest.mark.parametrize(
    "message_id",
    [
        "",
        "receipt.ord-7k2m-9qxd@acme.test",
        "<ord-7k2m-9qxd@acme.test>",
        "<receipt.ord-7k2m-9qxd>",
        "<receipt.ord-7k2m-9qxo@acme.test>",
        "<receipt.ORD-7K2M-9QXD@acme.test>",
        "<receipt.ord-7k2m-9qxd.1@acme.test>",
        "<receipt.ord-7k2m-9qxd.02@acme.test>",
        "<receipt.ord-7k2m-9qxd.٣@acme.test>",
        "<receipt.ord-7k2m-9qxd.9999999999@acme.test>",
        "<receipt.ord-7k2m-9qxd@acme.test>\n",
    ],
)
def test_a_foreign_message_id_names_nothing(message_id: str) -> None:
    """What we would not have written is not one of ours."""
    with pytest.raises(ValueError, match="not the Message-ID"):
        ids.mail_of(message_id)
