"""Pages for people: the processor's front page, its request log, the bank."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.processor import intents, request_log
from sandbox.processor.errors import Json
from sandbox.processor.faults import FOR_EVER, Faults
from sandbox.processor.idempotency import Keys
from sandbox.processor.money import format_money
from sandbox.processor.timers import Timers
from sandbox.processor.webhooks import Webhooks
from sandbox.processor.work import Work, World

_SHOWN = 10
_LOGGED = 200
_HEADERS = {
    # No form-action: the bank's answer redirects to the merchant's own site.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_CONFIRM = {"method": "POST", "path_regex": "/confirm$"}
_HOUR_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Preset:
    """A common fault, one button on the front page."""

    name: str
    title: str
    text: str
    fault: Json


PRESETS = (
    Preset(
        "lose_reply",
        "Charge, then lose the reply",
        "The next confirmation moves the money, then the connection breaks before "
        "the answer is sent.",
        {"action": "act_then_drop_reply", "match": _CONFIRM},
    ),
    Preset(
        "late_reply",
        "Charge, then answer 10 seconds late",
        "The next confirmation moves the money at once and says so much later.",
        {"action": "act_then_delay", "match": _CONFIRM, "seconds": 10},
    ),
    Preset(
        "error_after",
        "Charge, then answer 500",
        "The next confirmation moves the money and answers an error, which the same "
        "idempotency key gets again for 24 hours.",
        {"action": "error_500_after", "match": _CONFIRM},
    ),
    Preset(
        "error_before",
        "Answer 500 without charging",
        "The next confirmation moves nothing and answers an error, which the same "
        "idempotency key gets again for 24 hours.",
        {"action": "error_500_before", "match": _CONFIRM},
    ),
    Preset(
        "throttle",
        "Answer “too many requests” three times",
        "The next three requests are answered 429 and do nothing.",
        {"action": "throttle", "times": 3},
    ),
    Preset(
        "refuse",
        "Refuse the next connection",
        "The next request gets no answer and does nothing.",
        {"action": "refuse"},
    ),
    Preset(
        "outage",
        "Be down until cleared",
        "Every request is answered 503 and does nothing, until you clear this.",
        {"action": "error_503", "times": FOR_EVER},
    ),
)
_WEBHOOK_PRESETS: dict[str, Json] = {
    "webhooks_normal": {
        "mode": "on",
        "duplicate": 0,
        "delay_seconds": 0,
        "shuffle": False,
    },
    "webhooks_off": {"mode": "off"},
    "webhooks_twice": {"mode": "on", "duplicate": 1},
    "webhooks_shuffled": {"mode": "on", "shuffle": True},
    "webhooks_late": {"mode": "on", "delay_seconds": 30},
}
_CLOCK_PRESETS = {"clock_hour": _HOUR_SECONDS, "clock_day": 25 * _HOUR_SECONDS}


class Pages:
    """The pages' handlers."""

    def __init__(
        self,
        world: World,
        *,
        faults: Faults,
        keys: Keys,
        timers: Timers,
        webhooks: Webhooks,
    ) -> None:
        self._world = world
        self._faults = faults
        self._keys = keys
        self._timers = timers
        self._webhooks = webhooks
        folder = Path(__file__).with_name("templates")
        self._templates = Environment(
            loader=FileSystemLoader(folder), autoescape=True, trim_blocks=True
        )
        self._templates.filters["moment"] = _moment

    def routes(self) -> list[Route]:
        """Every page."""
        return [
            Route("/", self.home, methods=["GET"]),
            Route("/", self.turn, methods=["POST"]),
            Route("/requests", self.log, methods=["GET"]),
            Route("/bank/{id}", self.bank, methods=["GET"]),
            Route("/bank/{id}", self.answer, methods=["POST"]),
            Route("/receipts/{id}", self.receipt, methods=["GET"]),
        ]

    async def home(self, _request: Request) -> Response:
        """Recent payments, the fault switches and the clock."""
        intents_shown = self._world.storage.select("payment_intent", limit=_SHOWN)
        payments = [
            {
                "id": intent["id"],
                "money": format_money(intent["amount"], intent["currency"]),
                "status": intent["status"],
                "created": intent["created"],
                "checkout_id": intent["metadata"].get("checkout_id"),
            }
            for intent in intents_shown
        ]
        faults = [
            self._faults.describe(fault)
            for fault in self._faults.all()
            if fault.remaining != 0
        ]
        return self._page(
            "home.html",
            payments=payments,
            presets=PRESETS,
            faults=faults,
            webhooks=asdict(self._world.switches.webhooks),
            clock=self._world.clock,
            summary=request_log.summary(self._world.storage),
        )

    async def turn(self, request: Request) -> Response:
        """A button of the front page was pressed."""
        form = await request.form()
        self._apply(form)
        return RedirectResponse("/", HTTPStatus.SEE_OTHER)

    def _apply(self, form: FormData) -> None:
        name = str(form.get("switch", ""))
        for preset in PRESETS:
            if preset.name == name:
                self._faults.set(preset.fault)
        if name == "clear":
            self._faults.remove(str(form.get("fault", "")) or None)
        with self._world.storage.transaction():
            if name in _WEBHOOK_PRESETS:
                self._world.switches.change_webhooks(_WEBHOOK_PRESETS[name])
            if name in _CLOCK_PRESETS:
                self._world.clock.advance(_CLOCK_PRESETS[name])
                self._keys.prune()
        self._timers.wake()
        self._webhooks.wake()

    async def log(self, _request: Request) -> Response:
        """The newest lines of the request log."""
        lines = request_log.read(self._world.storage, limit=_LOGGED)
        lines.reverse()
        return self._page("requests.html", lines=lines, limit=_LOGGED)

    async def bank(self, request: Request) -> Response:
        """The bank asks the buyer to approve or refuse."""
        return self._bank_page(request.path_params["id"])

    def _bank_page(self, challenge_id: str) -> Response:
        challenge = self._world.storage.get(challenge_id, "bank_challenge")
        if challenge is None:
            return self._message(
                "This payment is not known",
                "The address is incomplete or belongs to another sandbox.",
                status=HTTPStatus.NOT_FOUND,
            )
        intent = self._world.storage.get(challenge["payment_intent"])
        if intent is None or not intents.is_asking(intent, challenge):
            return self._void(intent, challenge)
        return self._page(
            "bank.html",
            money=format_money(intent["amount"], intent["currency"]),
            merchant=self._world.options.merchant,
            description=intent["description"],
        )

    def _void(self, intent: Json | None, challenge: Json) -> Response:
        """The bank has nothing to ask any more; say why, and offer the way back."""
        status = intent["status"] if intent else "canceled"
        if status == "canceled":
            title, text = "This payment was canceled", "You have not been charged."
        elif status in ("succeeded", "processing"):
            title, text = "This payment was approved already", "Nothing more to do."
        else:
            title = "This question is no longer open"
            text = "The shop can start the payment again."
        back = intents.return_address(challenge, intent) if intent else None
        return self._message(title, text, back=back)

    async def answer(self, request: Request) -> Response:
        """The buyer approved or refused: settle, then go back to the merchant."""
        form = await request.form()
        choice = form.get("answer")
        challenge = self._world.storage.get(request.path_params["id"], "bank_challenge")
        intent = None
        if challenge is not None:
            intent = self._world.storage.get(challenge["payment_intent"])
        is_open = intent and challenge and intents.is_asking(intent, challenge)
        if challenge is None or not is_open or choice not in ("approve", "refuse"):
            return self._bank_page(request.path_params["id"])
        with self._world.storage.transaction():
            work = Work(world=self._world)
            approved = choice == "approve"
            intent = intents.authenticate(work, challenge, approved=approved)
        self._webhooks.wake()
        back = intents.return_address(challenge, intent)
        if back is None:
            word = "approved" if approved else "refused"
            return self._message(f"You {word} the payment", "You can close this page.")
        return RedirectResponse(back, HTTPStatus.SEE_OTHER)

    async def receipt(self, request: Request) -> Response:
        """What a charge's ``receipt_url`` shows."""
        charge = self._world.storage.get(request.path_params["id"], "charge")
        if charge is None or charge["status"] != "succeeded":
            title, text = "There is no such receipt", "The address is incomplete."
            return self._message(title, text, status=HTTPStatus.NOT_FOUND)
        card = charge["payment_method_details"]["card"]
        money = format_money(charge["amount"], charge["currency"])
        text = (
            f"{money} paid to {self._world.options.merchant} with "
            f"{card['brand'].title()} ending in {card['last4']}."
        )
        return self._message("Receipt", text)

    def _message(
        self,
        title: str,
        text: str,
        *,
        back: str | None = None,
        status: int = HTTPStatus.OK,
    ) -> Response:
        return self._page(
            "message.html", status=status, title=title, text=text, back=back
        )

    def _page(
        self, name: str, *, status: int = HTTPStatus.OK, **values: Any
    ) -> Response:
        html = self._templates.get_template(name).render(values)
        return HTMLResponse(html, status, headers=_HEADERS)


def _moment(seconds: float) -> str:
    """An instant for people, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%-d %b %H:%M:%S UTC")
