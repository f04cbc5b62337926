"""Staff accounts from the command line: the only way to make, reset or close one.

Accounts are made with the owning role, which the application's processes do not have.
No password is typed or printed here: whoever gets the one-time link chooses it.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from database.audit import StaffAction, record_action
from database.staff import (
    SETUP_VALID_FOR,
    NewCredentials,
    NoSuchStaff,
    StaffExists,
    StaffRow,
    add_staff,
    disable_staff,
    list_staff,
    reset_staff,
)
from domain.addresses import token_digest
from domain.staff import (
    STAFF_NAME,
    CodeSource,
    Role,
    StaffSecrets,
    enrolment_uri,
)
from operating.database import DatabaseAway, in_transaction
from settings import Settings, SettingsError

_TOKEN_BYTES = 32
_SALT_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What making an account takes.

    Attributes:
        owner_url: PostgreSQL of the owning role.
        secret_keys: The installation's secrets, newest first.
        public_url: Where the console is.
        company_name: What the authenticator app shows.
    """

    owner_url: str
    secret_keys: tuple[str, ...]
    public_url: str
    company_name: str

    @classmethod
    def of(cls, settings: Settings) -> Installation:
        """Take it from the settings.

        Raises:
            SettingsError: The owning role's address is not among them.
        """
        if settings.migration_database_url is None:
            msg = (
                "HOLDFAST_MIGRATION_DATABASE_URL is not set: accounts are made with "
                "the owning role, which the application does not have."
            )
            raise SettingsError(msg)
        return cls(
            owner_url=settings.migration_database_url.get_secret_value(),
            secret_keys=tuple(key.get_secret_value() for key in settings.secret_keys),
            public_url=settings.public_url,
            company_name=settings.company_name,
        )


def add(
    at: Installation, *, name: str, display_name: str, role: str, actor: str
) -> int:
    """Make an account; returns the exit code and says how it is set up."""
    if not STAFF_NAME.fullmatch(name):
        return _fail(
            "A name is 2 to 31 small letters, digits and hyphens, and begins with a "
            "letter: dana"
        )
    drawn = _Drawn.draw(at)

    async def work(connection: AsyncConnection) -> None:
        await add_staff(
            connection,
            name=name,
            display_name=display_name or name.capitalize(),
            role=Role(role),
            credentials=drawn.credentials,
        )
        await _write_down(connection, actor, "account.added", name, role=role)

    return _run(at, work, lambda: f"{name} ({role}) is made.\n{drawn.told(at, name)}")


def reset(at: Installation, *, name: str, actor: str) -> int:
    """Take password, codes and sessions away; returns the exit code."""
    drawn = _Drawn.draw(at)

    async def work(connection: AsyncConnection) -> None:
        await reset_staff(connection, name, drawn.credentials)
        await _write_down(connection, actor, "account.reset", name)

    return _run(
        at,
        work,
        lambda: (
            f"{name} is signed out everywhere. The old password and codes open "
            f"nothing.\n{drawn.told(at, name)}"
        ),
    )


def disable(at: Installation, *, name: str, actor: str) -> int:
    """Close an account; returns the exit code."""

    async def work(connection: AsyncConnection) -> None:
        await disable_staff(connection, name)
        await _write_down(connection, actor, "account.disabled", name)

    return _run(
        at,
        work,
        lambda: (
            f"{name} is signed out everywhere and cannot sign in. What was done "
            f"stays in the audit. Open it again with: cli.py staff reset {name}"
        ),
    )


def show_all(database_url: str) -> int:
    """List the accounts; returns the exit code."""
    rows = in_transaction(database_url, list_staff)
    lines = [_line(row) for row in rows] or ["There is no account. Make one: staff add"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """Fresh credentials, and the one time that they are told."""

    token: str
    totp_secret: str
    credentials: NewCredentials

    @classmethod
    def draw(cls, at: Installation) -> _Drawn:
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        keys = StaffSecrets(at.secret_keys)
        source = CodeSource(key_id=keys.newest, salt=secrets.token_bytes(_SALT_BYTES))
        return cls(
            token=token,
            totp_secret=keys.totp_secret(source),
            credentials=NewCredentials(source=source, setup_hash=token_digest(token)),
        )

    def told(self, at: Installation, name: str) -> str:
        hours = int(SETUP_VALID_FOR.total_seconds()) // 3600
        uri = enrolment_uri(name, at.company_name, self.totp_secret)
        return (
            f"Give {name} this link; it works once, within {hours} hours:\n"
            f"  {at.public_url}/support/setup/{self.token}\n"
            "It asks for a password and shows the account for an authenticator app, "
            "which is also:\n"
            f"  {uri}"
        )


async def _write_down(
    connection: AsyncConnection, actor: str, action: str, name: str, role: str = ""
) -> None:
    about = {"account": name} | ({"role": role} if role else {})
    await record_action(
        connection,
        StaffAction(actor=actor, role=None, action=action, about=about),
    )


def _run(
    at: Installation,
    work: Callable[[AsyncConnection], Awaitable[None]],
    said: Callable[[], str],
) -> int:
    try:
        in_transaction(at.owner_url, work)
    except NoSuchStaff as error:
        return _fail(f"No account is called {error}. See: cli.py staff list")
    except StaffExists as error:
        return _fail(
            f"{error} exists, or existed: the audit names people by it. Open it again "
            f"with: cli.py staff reset {error}"
        )
    except DatabaseAway as error:
        return _fail(str(error))
    sys.stdout.write(f"{said()}\n")
    return 0


def _fail(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 1


def _line(row: StaffRow) -> str:
    if row.is_disabled:
        state = "closed"
    elif row.password_hash is not None:
        seen = row.last_seen_at
        state = f"last seen {_at(seen)}" if seen else "never signed in"
    elif row.setup_until is not None and row.setup_until > datetime.now(UTC):
        state = f"may be set up until {_at(row.setup_until)}"
    else:
        state = "the set-up link is too old: staff reset"
    return f"{row.name:20} {row.role:8} {row.display_name:20} {state}"


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%d %b %Y, %H:%M} UTC"
