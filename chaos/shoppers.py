"""The buyers: each with a browser, in a hurry, and remembering all that was said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from chaos.plan import Habit, Shopper
from stack.driver import Stack
from stack.places import DataFolder
from tests.durability.watching import SUCCESS, Sighting, no_answer, read_page

_VISA = "pm_card_visa"
_DECLINED = "pm_card_chargeDeclined"
_ASKS = "pm_card_threeDSecure2Required"

#: What a buyer tries, in turn: the next after a press that came to nothing.
_CARDS = {
    Habit.SECOND_CARD: (_DECLINED, _VISA, _VISA, _VISA),
    Habit.DECLINED: (_DECLINED,),
    Habit.BANK_YES: (_ASKS, _ASKS, _ASKS),
    Habit.BANK_NO: (_ASKS,),
    Habit.LOOKS: (),
}
_PERSISTENT = (_VISA,) * 4

#: Between two looks at the page.
_LOOK_EVERY_SECONDS = 0.8
#: Presses at the same moment by somebody hasty.
_HASTY_PRESSES = 3
#: Nobody presses more often than this, however often the server dies under it.
_MOST_PRESSES = 8
#: Looks after all is well, to see that it stays so.
_LINGERS = 2

_PATIENCE = httpx.Timeout(10, connect=2)


@dataclass(slots=True, kw_only=True)
class Visit:
    """What became of one buyer.

    Attributes:
        shopper: Who.
        address: Of their checkout's page; empty when they never got one.
        sightings: Every look at the page, in order.
        accepted: A press was answered as taken (303).
        refused: Answers to a press that were none of the shop's own: status codes.
        taken_back_at: Epoch seconds when the processor gave the money back.
    """

    shopper: Shopper
    address: str = ""
    sightings: list[Sighting] = field(default_factory=list)
    accepted: bool = False
    refused: list[int] = field(default_factory=list)
    taken_back_at: float | None = None


class Outside:
    """The bank and the processor's dashboard, as people use them."""

    def __init__(self, stack: Stack, shoppers: dict[str, Shopper]) -> None:
        self._shoppers = shoppers
        self._key = DataFolder(Path(stack.at.data)).secrets().stripe_api_key
        self._http = httpx.AsyncClient(
            base_url=stack.at.processor, trust_env=False, timeout=10
        )

    async def close(self) -> None:
        """Leave."""
        await self._http.aclose()

    async def answer_banks(self) -> None:
        """Answer what banks ask now, each buyer as is their habit."""
        for intent in await self._intents():
            if intent["status"] != "requires_action":
                continue
            shopper = self._shoppers[intent["metadata"]["email"]]
            said = "failed" if shopper.habit is Habit.BANK_NO else "succeeded"
            # Another 4xx: the bank was answered, or closed, in between.
            await self._http.post(
                f"/sandbox/payment_intents/{intent['id']}/settle",
                json={"outcome": said},
            )

    async def give_back(self, email: str) -> float | None:
        """Refund what this buyer paid; None when the processor has not done it."""
        paid = [
            intent["id"]
            for intent in await self._intents()
            if intent["status"] == "succeeded" and intent["metadata"]["email"] == email
        ]
        at = time.time()
        for intent in paid:
            reply = await self._http.post(
                "/v1/refunds",
                data={"payment_intent": intent},
                headers={
                    "authorization": f"Bearer {self._key}",
                    "idempotency-key": f"dashboard-{intent}",
                },
            )
            if reply.is_success:
                return at
        return None

    async def _intents(self) -> list[dict[str, Any]]:
        reply = await self._http.get("/sandbox/payment_intents")
        reply.raise_for_status()
        found: list[dict[str, Any]] = reply.json()["data"]
        return found


async def shop(
    visit: Visit, stack: Stack, outside: Outside, closing: asyncio.Event
) -> None:
    """Buy as the shopper does, until all is well, they leave, or the day is over."""
    at = stack.at.shop
    async with httpx.AsyncClient(
        base_url=at,
        headers={"Origin": at},
        trust_env=False,
        timeout=_PATIENCE,
        verify=False,  # noqa: S501  # Plain HTTP; loading authorities takes 20 ms.
    ) as browser:
        if visit.shopper.habit is Habit.EMBEDDED:
            await _Embedded(visit, browser, stack.at.api_key, closing).run()
        else:
            await _Errand(visit, browser, outside, closing).run()


class _Errand:
    """One buyer on the way."""

    def __init__(
        self,
        visit: Visit,
        browser: httpx.AsyncClient,
        outside: Outside,
        closing: asyncio.Event,
    ) -> None:
        self._visit = visit
        self._browser = browser
        self._outside = outside
        self._closing = closing
        self._cards = list(_CARDS.get(visit.shopper.habit, _PERSISTENT))
        self._presses = 0
        #: The press with the first card was taken.
        self._is_taken = False

    async def run(self) -> None:
        """Open the checkout, press, and look."""
        await self._open()
        lingers = _LINGERS
        while not self._closing.is_set() and self._visit.address:
            look = await self._look()
            if look.status == httpx.codes.OK and look.offers_payment:
                if not await self._press():
                    return
            elif look.headline.startswith(SUCCESS):
                lingers -= 1
                if lingers == 0:
                    await self._end()
                    return
            await self._pause()

    async def _open(self) -> None:
        wanted = {"plan": "one-year", "email": self._visit.shopper.email}
        while not self._closing.is_set():
            reply = await _tried(lambda: self._browser.post("/checkouts", data=wanted))
            if reply is not None and reply.status_code == httpx.codes.SEE_OTHER:
                page = reply.headers["location"]
                self._visit.address = str(self._browser.base_url.join(page))
                return
            await self._pause()

    async def _look(self) -> Sighting:
        began_at = time.time()
        try:
            look = read_page(await self._browser.get(self._visit.address), began_at)
        except httpx.TransportError as error:
            look = no_answer(error, began_at)
        self._visit.sightings.append(look)
        return look

    async def _press(self) -> bool:
        """Press Pay, or return False: this buyer leaves."""
        if self._is_taken:
            self._cards.pop(0)
            self._is_taken = False
        if not self._cards or self._presses >= _MOST_PRESSES:
            return False
        is_hasty = self._visit.shopper.habit is Habit.HASTY
        presses = _HASTY_PRESSES if is_hasty else 1
        self._presses += 1
        answers = await asyncio.gather(*(self._press_once() for _ in range(presses)))
        for answer in answers:
            if answer is None:
                continue
            if answer.status_code == httpx.codes.SEE_OTHER:
                self._visit.accepted = self._is_taken = True
            else:
                self._visit.refused.append(answer.status_code)
        return True

    async def _press_once(self) -> httpx.Response | None:
        form = {"payment_method": self._cards[0]}
        pay = f"{self._visit.address}/pay"
        return await _tried(lambda: self._browser.post(pay, data=form))

    async def _end(self) -> None:
        """Do what the buyer does who has got what they paid for."""
        if self._visit.shopper.habit is not Habit.REFUNDED:
            return
        while not self._closing.is_set() and self._visit.taken_back_at is None:
            try:
                email = self._visit.shopper.email
                self._visit.taken_back_at = await self._outside.give_back(email)
            except httpx.HTTPError:
                await self._pause()

    async def _pause(self) -> None:
        await _pause(self._closing)


class _Embedded:
    """The company's own server, which buys for one buyer through the JSON API.

    Every request is repeated until it is answered: each is safe to repeat.
    """

    def __init__(
        self,
        visit: Visit,
        browser: httpx.AsyncClient,
        api_key: str,
        closing: asyncio.Event,
    ) -> None:
        self._visit = visit
        self._browser = browser
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._closing = closing

    async def run(self) -> None:
        """Open the checkout, pay it, and follow it until access is there."""
        email = self._visit.shopper.email
        checkout = await self._answered(
            "POST",
            "/v1/checkouts",
            {"plan": "one-year", "email": email},
            key=f"order-{self._visit.shopper.number}",
        )
        if checkout is None:
            return
        self._visit.address = checkout["url"]
        path = f"/v1/checkouts/{checkout['checkout_id']}"
        paid = await self._answered("POST", f"{path}/pay", {"payment_method": _VISA})
        self._visit.accepted = paid is not None
        while not self._closing.is_set():
            state = await self._look(path)
            if state is not None and state["headline"].startswith(SUCCESS):
                return
            await _pause(self._closing)

    async def _answered(
        self, method: str, path: str, body: dict[str, str], *, key: str | None = None
    ) -> dict[str, Any] | None:
        """Repeat until it is answered as done; None when the day is over."""
        headers = self._headers | ({"Idempotency-Key": key} if key else {})
        while not self._closing.is_set():
            reply = await _tried(
                lambda: self._browser.request(method, path, json=body, headers=headers)
            )
            if reply is not None and reply.is_success:
                found: dict[str, Any] = reply.json()
                return found
            if reply is not None and not reply.is_server_error:
                self._visit.refused.append(reply.status_code)
            await _pause(self._closing)
        return None

    async def _look(self, path: str) -> dict[str, Any] | None:
        """Read the typed state; its words are held to the truth as a page's are."""
        began_at = time.time()
        reply = await _tried(lambda: self._browser.get(path, headers=self._headers))
        if reply is None or not reply.is_success:
            return None
        state: dict[str, Any] = reply.json()
        self._visit.sightings.append(
            Sighting(
                began_at=began_at,
                ended_at=time.time(),
                status=reply.status_code,
                headline=state["headline"],
                offers_payment=state["may_pay"],
                text=" ".join([state["headline"], *state["sentences"]]),
            )
        )
        return state


async def _pause(closing: asyncio.Event) -> None:
    """Wait for the next look, or for the end of the day."""
    with suppress(TimeoutError):
        await asyncio.wait_for(closing.wait(), _LOOK_EVERY_SECONDS)


async def _tried(
    send: Callable[[], Awaitable[httpx.Response]],
) -> httpx.Response | None:
    """Return the answer; None when there was none."""
    try:
        return await send()
    except httpx.TransportError:
        return None
