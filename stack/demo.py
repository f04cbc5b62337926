"""``make demo``: the story Holdfast is built from, played on this machine and measured.

A buyer pays. The moment the processor has taken the money the worker is killed, then
the API. Everything is started again by the supervisor, and the demo counts, from
outside: the processor's log, the database, the application, the mailbox.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from typing import Any

import httpx
import psycopg
from psycopg import sql

from stack.buyer import Buyer
from stack.driver import Restart, Stack, fresh_data_folder, run_stack
from stack.errors import StackError
from stack.temporal import find_temporal_cli

EMAIL = "sam@example.com"
CARD = "pm_card_visa"

#: The processor does what `confirm` asks and keeps the reply until it is released.
CONFIRM_FAULT = {
    "action": "act_then_hold",
    "match": {"method": "POST", "path_regex": "/confirm$"},
}

#: When it is not whole by then, it is not going to be.
LIMIT_SECONDS = 60.0
#: How often the buyer presses reload.
RELOAD_SECONDS = 0.1
#: After the end, how long to watch for a second copy of anything.
AFTERMATH_SECONDS = 3.0

_TABLES = ("orders", "subscriptions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What there is of everything a purchase is made of; all must be 1."""

    charges: int
    orders: int
    subscriptions: int
    entitlements: int
    receipts: int

    @property
    def is_whole(self) -> bool:
        """Exactly one of each."""
        return set(asdict(self).values()) == {1}

    def __str__(self) -> str:
        """As the last line of the demo has them."""
        return ", ".join(
            f"{number} {name.removesuffix('s') if number == 1 else name}"
            for name, number in asdict(self).items()
        )


def count(stack: Stack) -> Counts:
    """Count from outside, each thing where it really is."""
    summary = _get(f"{stack.at.processor}/sandbox/summary")
    access = _get(f"{stack.at.application}/api/entitlements")["entitlements"]
    mails = _get(f"{stack.at.mailbox}/api/mails", to=EMAIL)["mails"]
    rows = _count_rows(stack)
    return Counts(
        charges=summary["succeeded_charges"],
        entitlements=sum(entry["grants"] for entry in access),
        receipts=sum("receipt" in (mail["kind"] or "") for mail in mails),
        **rows,
    )


def _count_rows(stack: Stack) -> dict[str, int]:
    url = stack.at.owner_database_url.replace("+psycopg", "")
    found = {}
    with psycopg.connect(url) as connection:
        for table in _TABLES:
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
            row = connection.execute(query).fetchone()
            found[table] = row[0] if row else 0
    return found


def _get(url: str, **asked: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(url, params=asked, trust_env=False).json()
    return answer


def _post(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    reply = httpx.post(url, json=body or {}, trust_env=False, timeout=20)
    reply.raise_for_status()
    answer: dict[str, Any] = reply.json()
    return answer


class Story:
    """Tells it to a person; silent for a program."""

    def __init__(self, *, is_silent: bool) -> None:
        self._is_silent = is_silent

    def tell(self, line: str = "") -> None:
        """One plain line."""
        if not self._is_silent:
            print(line, flush=True)


def run_demo(*, as_json: bool = False) -> int:
    """Play the story; exit code 1 when the promise was not kept."""
    story = Story(is_silent=as_json)
    story.tell("Starting a shop, a card processor, a mailbox, two databases …")
    # The story names the plan's price.
    os.environ.pop("HOLDFAST_PLANS", None)
    # Minutes on a fresh machine, and the stack's own lines are not shown here.
    find_temporal_cli(story.tell)
    with fresh_data_folder() as data, run_stack(data) as stack:
        with Buyer(stack.at.shop) as buyer:
            result = _play(stack, buyer, story)
        mistakes = result.mistakes()
    if as_json:
        print(json.dumps(result.as_json()), flush=True)
    elif mistakes:
        print(f"demo failed: {' '.join(mistakes)}", flush=True)
    else:
        print(f"demo ok: {result.counts}; {result.when}", flush=True)
    return 1 if mistakes else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured.

    Attributes:
        counts: after the aftermath.
        seconds: from the crash until all was whole; None when it never was.
        headlines: what the buyer saw after the crash, each with its second.
        restarts: of the worker and the API.
    """

    counts: Counts
    seconds: float | None
    headlines: list[tuple[float, str | None]]
    restarts: list[Restart]

    @property
    def when(self) -> str:
        """How fast it was."""
        return f"whole again {self.seconds or 0:.1f} s after the crash"

    def mistakes(self) -> list[str]:
        """What went wrong, each in a sentence; empty when the promise was kept."""
        found = []
        if self.seconds is None:
            found.append(f"Not whole {LIMIT_SECONDS:.0f} s after the crash.")
        if not self.counts.is_whole:
            found.append(f"There is {self.counts}.")
        found += [
            f"The page said “{headline}” although the card was charged."
            for _, headline in self.headlines
            if headline and "not been charged" in headline
        ]
        return found

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "ok": not self.mistakes(),
            "mistakes": self.mistakes(),
            "counts": asdict(self.counts),
            "seconds_to_whole": self.seconds and round(self.seconds, 3),
            "headlines": [
                {"seconds": round(at, 3), "headline": text}
                for at, text in self.headlines
            ],
            "restarts": [asdict(restart) for restart in self.restarts],
        }


def _play(stack: Stack, buyer: Buyer, story: Story) -> Result:
    """Buy, crash, watch, count."""
    fault = _post(f"{stack.at.processor}/sandbox/faults", CONFIRM_FAULT)
    fault_address = f"{stack.at.processor}/sandbox/faults/{fault['id']}"
    story.tell(f"Sam opens the shop and goes to the checkout as {EMAIL}.")
    buyer.submit("/checkouts", email=EMAIL)
    buyer.look()
    story.tell(
        f"The page has an address of its own: {buyer.address.split('/c/')[0]}/c/…"
    )
    story.tell("Sam presses Pay.")
    buyer.submit("/pay", payment_method=CARD)
    _await_charge(fault_address)
    story.tell("The card processor has taken the $249.00. Nobody has written it down.")

    crash = time.monotonic()
    killed = {name: stack.kill(name) for name in ("worker", "api")}
    story.tell(
        f"Now: kill -9 {killed['worker']} (the worker), {killed['api']} (the API)."
    )
    # The reply goes to a dead process: it is lost, as in the evening this is about.
    _post(f"{fault_address}/release")
    first = len(buyer.seen)
    seconds = _watch(stack, buyer, crash)
    restarts = [stack.wait_restarted(name, after_pid=killed[name]) for name in killed]
    headlines = [(sight.at - crash, sight.headline) for sight in buyer.seen[first:]]
    _tell_what_happened(story, headlines, restarts)
    story.tell(
        f"Watching {AFTERMATH_SECONDS:.0f} s more for a second copy of anything …"
    )
    time.sleep(AFTERMATH_SECONDS)
    return Result(
        counts=count(stack), seconds=seconds, headlines=headlines, restarts=restarts
    )


def _await_charge(fault_address: str) -> None:
    """Return when the money has moved and the reply is being held."""
    asked = {"wait": "hit", "timeout": "30"}
    reply = httpx.get(fault_address, params=asked, trust_env=False, timeout=40)
    if reply.json()["hits"] < 1:
        raise StackError("The worker did not ask the processor to charge within 30 s.")


def _watch(stack: Stack, buyer: Buyer, crash: float) -> float | None:
    """Reload the page until all is whole; the seconds it took."""
    while time.monotonic() - crash < LIMIT_SECONDS:
        headline = buyer.look() or ""
        if headline.startswith("You're in") and count(stack).is_whole:
            return time.monotonic() - crash
        time.sleep(RELOAD_SECONDS)
    return None


def _tell_what_happened(
    story: Story, headlines: list[tuple[float, str | None]], restarts: list[Restart]
) -> None:
    for restart in restarts:
        story.tell(f"The {restart.name} was back after {restart.seconds:.1f} s.")
    story.tell("What Sam saw, reloading ten times a second:")
    for at, headline in headlines[:10]:
        story.tell(f"  {at:5.1f} s  {headline or '(no answer: the shop was down)'}")
