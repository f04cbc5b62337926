"""Customers' addresses: unguessable, never stored, and safe to rotate."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.addresses import (
    AddressKeyMissing,
    PageAddresses,
    is_token,
    token_digest,
)

OLD = "o" * 16 + "ld-secret-of-last-year"
NEW = "n" * 16 + "ew-secret-of-this-year"
SHOP = "https://shop.acme.test"
CHECKOUT = UUID("11111111-2222-4333-8444-555555555555")


@given(st.uuids())
def test_a_token_is_43_url_safe_characters(checkout_id: UUID) -> None:
    """256 bits in an address that needs no escaping."""
    token = PageAddresses(SHOP, [NEW]).new_token(checkout_id)

    assert len(token.token) == 43
    assert set(token.token) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )


def test_an_old_address_survives_the_rotation_of_the_secret() -> None:
    """With the new secret in front, an old checkout keeps its address."""
    before = PageAddresses(SHOP, [OLD])
    old = before.new_token(CHECKOUT)
    after = PageAddresses(SHOP, [NEW, OLD])

    assert after.page(CHECKOUT, old.key_id) == f"{SHOP}/c/{old.token}"
    assert after.new_token(CHECKOUT).token != old.token
    assert after.new_token(CHECKOUT).key_id != old.key_id


def test_a_dropped_secret_is_named_by_its_id() -> None:
    """Without its secret an address cannot be made, and the error says which one."""
    old = PageAddresses(SHOP, [OLD]).new_token(CHECKOUT)

    with pytest.raises(AddressKeyMissing, match=old.key_id):
        PageAddresses(SHOP, [NEW]).page(CHECKOUT, old.key_id)


def test_neither_key_id_nor_digest_shows_the_secret() -> None:
    """What is stored opens no page."""
    token = PageAddresses(SHOP, [NEW]).new_token(CHECKOUT)

    assert token.key_id not in NEW
    assert token.token.encode() not in token_digest(token.token)
    assert len(token_digest(token.token)) == 32


def test_the_bank_sends_the_buyer_back_to_the_same_page() -> None:
    """The way back from the bank lies under the checkout's own address."""
    addresses = PageAddresses(SHOP, [NEW])
    key_id = addresses.new_token(CHECKOUT).key_id

    assert addresses.bank_return(CHECKOUT, key_id) == (
        addresses.page(CHECKOUT, key_id) + "/return"
    )


def test_digest_of_a_lost_row_is_that_of_the_token() -> None:
    """A row made anew is found by the address that the buyer was given before."""
    before = PageAddresses(SHOP, [OLD])
    old = before.new_token(CHECKOUT)

    after = PageAddresses(SHOP, [NEW, OLD])

    assert after.digest(CHECKOUT, old.key_id) == token_digest(old.token)
    with pytest.raises(AddressKeyMissing):
        PageAddresses(SHOP, [NEW]).digest(CHECKOUT, old.key_id)


@pytest.mark.parametrize("text", ["", "x" * 42, "x" * 44, "x" * 42 + "/", "é" * 43])
def test_what_cannot_be_a_token_of_ours_is_told_by_its_form(text: str) -> None:
    """No row is looked for under a text that we cannot have written."""
    ours = PageAddresses("https://shop.test", ["s" * 32]).new_token(UUID(int=1))

    assert is_token(ours.token)
    assert not is_token(text)
    assert not is_token(f"{ours.token}\n")
