"""Roles, passwords and what second factors are derived from."""

from __future__ import annotations

from itertools import product
from urllib.parse import parse_qs, urlsplit

import pytest

from domain.staff import (
    Access,
    CodeSource,
    Role,
    StaffKeyMissing,
    StaffSecrets,
    enrolment_uri,
    may,
    password_problem,
)

OLD, NEW = "an-old-secret-0123456789-abcdefghij", "a-new-secret-0123456789-abcdefghijk"
SALT = bytes(range(32))


def test_each_role_goes_as_far_as_it_says() -> None:
    """Readers look, support acts, owners own; everybody may come to the door."""
    granted = {pair for pair in product(Role, Access) if may(*pair)}

    assert granted == {
        *((role, Access.PUBLIC) for role in Role),
        *((role, Access.READ) for role in Role),
        (Role.SUPPORT, Access.ACT),
        (Role.OWNER, Access.ACT),
        (Role.OWNER, Access.OWN),
    }


def test_a_second_factor_is_made_of_the_installations_secret() -> None:
    """Another salt, another secret: another factor; the database's part is not it."""
    both = StaffSecrets([NEW, OLD])
    made = {
        both.totp_secret(CodeSource(key_id=both.newest, salt=SALT)),
        both.totp_secret(CodeSource(key_id=both.newest, salt=SALT[::-1])),
        both.totp_secret(CodeSource(key_id=StaffSecrets([OLD]).newest, salt=SALT)),
    }

    assert len(made) == 3
    assert {len(secret) for secret in made} == {32}


def test_an_account_outlives_a_rotation() -> None:
    """With a new secret in front of the old, yesterday's app still fits."""
    source = CodeSource(key_id=StaffSecrets([OLD]).newest, salt=SALT)

    before = StaffSecrets([OLD])
    after = StaffSecrets([NEW, OLD])

    assert before.totp_secret(source) == after.totp_secret(source)
    assert before.browser_mark(source) == after.browser_mark(source)
    with pytest.raises(StaffKeyMissing):
        StaffSecrets([NEW]).totp_secret(source)


def test_a_browsers_mark_says_nothing_of_the_codes() -> None:
    """The cookie of a known browser is made for that purpose alone."""
    keys = StaffSecrets([NEW])
    source = CodeSource(key_id=keys.newest, salt=SALT)

    assert len(keys.browser_mark(source)) == 43
    assert keys.browser_mark(source)[:20] not in keys.totp_secret(source)


def test_apps_read_the_enrolment() -> None:
    """Issuer, account and secret stand where authenticator apps look for them."""
    uri = enrolment_uri("dana", "Acme & Söhne", "JBSWY3DPEHPK3PXP")

    parts = urlsplit(uri)
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    assert parts.path == "/Acme%20%26%20S%C3%B6hne:dana"
    assert parse_qs(parts.query) == {
        "secret": ["JBSWY3DPEHPK3PXP"],
        "issuer": ["Acme & Söhne"],
    }


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "elevenchars",
        "x" * 129,
        "aaaaaaaaaaaa",
        "abababababab",
        "abcdefghijkl",
        "987654321098"[::-1][:12],
        "password1234",
        "Passw0rd2026",
        "Qwertyuiop12",
        "HoldfastHoldfast1",
        "northwind2026",
        "dana-dana-2026",
    ],
)
def test_what_is_guessed_first_is_not_taken(password: str) -> None:
    """Short ones, patterns, the words of the lists, and names that others know."""
    assert password_problem(password, ("dana", "Northwind"))


@pytest.mark.parametrize(
    "password",
    ["five quiet otters nap", "9Xq-vv2L.t0p", "пять тихих выдр", "secret otters nap 5"],
)
def test_a_password_that_nobody_guesses_is_taken(password: str) -> None:
    """Length suffices: no demand for signs, capitals or digits."""
    assert password_problem(password, ("dana", "Northwind")) is None
