"""Staff for the tests of the console: accounts made as an operator makes them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pyotp

from database.engine import make_engine
from database.staff import NewCredentials, add_staff, find_staff
from domain.addresses import token_digest
from domain.staff import CodeSource, Role
from tests.api.doubles import Shop

PASSWORD = "five quiet otters nap"


@dataclass(kw_only=True)
class Colleague:
    """Somebody with an account, a telephone and a browser."""

    shop: Shop
    name: str
    role: Role
    source: CodeSource
    setup_path: str
    browser: httpx.AsyncClient

    def code(self) -> str:
        """What the telephone shows now."""
        secret = self.shop.parts.staff_secrets.totp_secret(self.source)
        return pyotp.TOTP(secret).at(self.shop.clock.now)

    async def post(
        self, path: str, page: str | None = None, **fields: str
    ) -> httpx.Response:
        """Open a page and send its form, to the page's own address by default."""
        shown = await self.browser.get(page or path)
        sent = {"form_token": form_token_of(shown.text)} | seen_by(shown.text, path)
        return await self.browser.post(path, data=sent | fields)

    async def set_up(self, **changes: str) -> httpx.Response:
        """Make the account theirs."""
        fields = {"password": PASSWORD, "code": self.code()} | changes
        return await self.post(self.setup_path, **fields)

    async def sign_in(self, **changes: str) -> httpx.Response:
        """Sign in with the next code."""
        fields = {"name": self.name, "password": PASSWORD} | changes
        if "code" not in fields:
            self.shop.clock.move(seconds=30)
            fields["code"] = self.code()
        return await self.post("/support/sign-in", **fields)

    def new_browser(self) -> None:
        """Sit down at another computer."""
        self.browser = self.shop.new_browser()


def form_token_of(html: str) -> str:
    """Return the token that a page's forms carry."""
    found = re.search(r'name="form_token" value="([^"]+)"', html)
    return found[1] if found else ""


def seen_by(html: str, path: str) -> dict[str, str]:
    """Return what the page's form for an address says that the page showed."""
    form = re.search(rf'action="{re.escape(path)}".*?</form>', html, re.DOTALL)
    fields = r'type="hidden" name="(seen|count)" value="([^"]+)"'
    return dict(re.findall(fields, form[0])) if form else {}


async def hire(
    shop: Shop, name: str = "dana", role: Role = Role.SUPPORT, *, is_set_up: bool = True
) -> Colleague:
    """Make an account; by default its owner is signed in."""
    token = secrets.token_urlsafe(32)
    source = CodeSource(
        key_id=shop.parts.staff_secrets.newest, salt=secrets.token_bytes(32)
    )
    engine = make_engine(
        shop.database.owner_url, pool_size=1, application_name="tests of staff"
    )
    async with engine.begin() as connection:
        await add_staff(
            connection,
            name=name,
            display_name=name.capitalize(),
            role=role,
            credentials=NewCredentials(source=source, setup_hash=token_digest(token)),
        )
        assert await find_staff(connection, name) is not None
    await engine.dispose()
    colleague = Colleague(
        shop=shop,
        name=name,
        role=role,
        source=source,
        setup_path=f"/support/setup/{token}",
        browser=shop.new_browser(),
    )
    if is_set_up:
        answer = await colleague.set_up()
        assert answer.status_code == 303, answer.text
    return colleague


def actions(shop: Shop) -> list[tuple[str, str, str, Mapping[str, Any]]]:
    """Return what the audit has, oldest first: actor, action, outcome, about."""
    return [
        (str(actor), str(action), str(outcome), about)
        for actor, action, outcome, about in shop.sql(
            "SELECT actor, action, outcome, about FROM staff_actions ORDER BY action_id"
        )
    ]
