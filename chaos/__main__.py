"""`make chaos`: buy while everything breaks, then count; exit 1 if a promise broke.

The seed is printed; `--seed` with it, and the same numbers, play the same plan again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from chaos.audit import PROMISES, Violation, audit
from chaos.evidence import Course, gather
from chaos.mishaps import Mishaps, run_command
from chaos.plan import Plan, draw
from chaos.shoppers import Outside, Visit, shop
from stack.driver import Stack, fresh_data_folder, run_stack
from tests.durability.reconciling import Drill

#: Buyers who come in a second; two cores serve about twice as many.
_BUYERS_PER_SECOND = 3.0
#: After the last mishap, how long buyers go on looking at their pages.
_PATIENCE_SECONDS = 60.0
#: By then everything has come to its end: two rounds of retries, and some.
_SETTLED_WITHIN_SECONDS = 600.0
#: The reconciliation leaves alone what is younger than a minute.
_GRACE_SECONDS = 65.0
_BANK_EVERY_SECONDS = 0.5

_OPEN_CASES = """
SELECT cause, count(*) FROM cases WHERE state = 'open' GROUP BY cause ORDER BY cause
"""
_HELD = "SELECT count(*) FROM checkouts WHERE mail_held_at IS NOT NULL"
#: From the charge until access was open, by our own rows.
_WAITS = """
SELECT extract(epoch FROM e.granted_at - c.charged_at)::float
  FROM checkouts c
  JOIN orders o USING (checkout_id)
  JOIN entitlements e USING (order_id)
 WHERE e.granted_at IS NOT NULL
"""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run came to.

    Attributes:
        violations: Every broken promise.
        mishaps: A line for each.
        charged: Checkouts with a charge.
        open_cases: What is left to people, by cause.
        mail_let_go: Mails that were held for a person, who let them go.
        waits: Seconds from charge to access: median, 99 of 100, longest.
        seconds: The whole run.
    """

    plan: Plan
    violations: list[Violation]
    mishaps: list[str]
    charged: int
    open_cases: dict[str, int]
    mail_let_go: int
    waits: tuple[float, float, float]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "ok": not self.violations,
            "seed": self.plan.seed,
            "buyers": len(self.plan.shoppers),
            "charged": self.charged,
            "violations": [asdict(violation) for violation in self.violations],
            "mishaps": self.mishaps,
            "open_cases": self.open_cases,
            "mail_let_go": self.mail_let_go,
            "charge_to_access_seconds": dict(
                zip(("p50", "p99", "most"), self.waits, strict=True)
            ),
            "seconds": self.seconds,
        }

    def lines(self) -> list[str]:
        """For people."""
        broken = {violation.promise for violation in self.violations}
        told = [
            f"  {'BROKEN' if promise.name in broken else 'kept  '}  {promise.words}"
            for promise in PROMISES
        ]
        told += [f"  {one.promise}: {one.what}" for one in self.violations]
        cases = ", ".join(f"{n} {cause}" for cause, n in self.open_cases.items())
        told.append(f"Left to people: {cases or 'nothing'}.")
        middle, late, most = self.waits
        told.append(
            f"From charge to access: {middle:.1f} s for half, {late:.1f} s for 99 of "
            f"100, {most:.1f} s at most."
        )
        verdict = "failed" if self.violations else "ok"
        told.append(
            f"chaos {verdict}: seed {self.plan.seed}, {len(self.plan.shoppers)} buyers,"
            f" {self.charged} charged, {len(self.mishaps)} mishaps,"
            f" {len(self.violations)} broken promises, {self.seconds:.0f} s"
        )
        return told


def play(stack: Stack, plan: Plan, tell: Tell) -> Report:
    """Play a plan against a running stack, and hold what came of it to the promises."""
    started = time.monotonic()
    mishaps = Mishaps(stack, plan.mishaps, tell)
    visits = [Visit(shopper=shopper) for shopper in plan.shoppers]
    day = _Day(stack, mishaps, visits, tell)
    asyncio.run(day.run(plan))
    tell("Counting …")
    evidence = gather(
        stack,
        Course(
            visits=visits,
            happened=[mishap.trouble for mishap in mishaps.done],
            not_back=mishaps.not_back,
            unsettled=day.unsettled,
            last_run=day.last_run,
        ),
    )
    drill = Drill(stack)
    return Report(
        plan=plan,
        violations=audit(evidence),
        mishaps=mishaps.log,
        charged=sum(bool(it.charges) for it in evidence.bought),
        open_cases=dict(sorted(drill.all(_OPEN_CASES))),
        mail_let_go=day.mail_let_go,
        waits=_spread([seconds for (seconds,) in drill.all(_WAITS)]),
        seconds=time.monotonic() - started,
    )


class _Day:
    """The buyers' day: they come, things break, all comes to rest.

    Attributes:
        unsettled: Checkouts that did not come to their end in time.
        last_run: What the second reconciliation found, by kind.
        mail_let_go: Mails that a person let go.
    """

    def __init__(
        self, stack: Stack, mishaps: Mishaps, visits: list[Visit], tell: Tell
    ) -> None:
        self._stack = stack
        self._mishaps = mishaps
        self._visits = visits
        self._tell = tell
        self.unsettled = 0
        self.last_run: dict[str, int] = {}
        self.mail_let_go = 0

    async def run(self, plan: Plan) -> None:
        """Let it happen, and wait until all is quiet."""
        shoppers = {shopper.email: shopper for shopper in plan.shoppers}
        outside = Outside(self._stack, shoppers)
        closing = asyncio.Event()
        banks = asyncio.create_task(_answer_banks(outside))
        opened = time.monotonic()
        buying = [
            asyncio.create_task(self._arrive(visit, opened, outside, closing))
            for visit in self._visits
        ]
        await asyncio.to_thread(self._mishaps.run)
        await asyncio.to_thread(self._mishaps.calm)
        calm_at = time.monotonic()
        self._tell("Everything is up again; the buyers finish …")
        await asyncio.wait(buying, timeout=_PATIENCE_SECONDS)
        closing.set()
        await asyncio.gather(*buying)
        await asyncio.to_thread(self._settle, calm_at)
        banks.cancel()
        await outside.close()

    async def _arrive(
        self, visit: Visit, opened: float, outside: Outside, closing: asyncio.Event
    ) -> None:
        await asyncio.sleep(
            max(0.0, opened + visit.shopper.arrives_at - time.monotonic())
        )
        await shop(visit, self._stack, outside, closing)

    def _settle(self, calm_at: float) -> None:
        """Reconcile until everything has come to its end, then twice more."""
        drill = Drill(self._stack)
        drill.pause_schedule()
        deadline = calm_at + _SETTLED_WITHIN_SECONDS
        time.sleep(max(0.0, calm_at + _GRACE_SECONDS - time.monotonic()))
        self._reconcile(drill)
        while drill.unsettled() and time.monotonic() < deadline:
            self._tell(f"{drill.unsettled()} checkouts are on their way …")
            time.sleep(10)
            self._let_mail_go(drill)
            self._reconcile(drill)
        self.unsettled = drill.unsettled()
        self._reconcile(drill)
        self.last_run = self._reconcile(drill)

    def _reconcile(self, drill: Drill) -> dict[str, int]:
        """Carry out a run; another one may be under way, and is waited for."""
        while (result := drill.result_of(drill.start())).is_busy:
            time.sleep(0.5)
        drill.wait_repaired()
        return result.tally.found

    def _let_mail_go(self, drill: Drill) -> None:
        """Do what is left to a person after many repairs at once."""
        held = int(drill.one(_HELD))
        if held == 0:
            return
        self.mail_let_go += held
        run_command(self._stack, "reconcile", "let-mail-go")


async def _answer_banks(outside: Outside) -> None:
    while True:
        # While the processor is down, the banks wait.
        with suppress(httpx.HTTPError):
            await outside.answer_banks()
        await asyncio.sleep(_BANK_EVERY_SECONDS)


def _spread(waits: list[float]) -> tuple[float, float, float]:
    ordered = sorted(waits) or [0.0]
    return (
        round(ordered[len(ordered) // 2], 2),
        round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 2),
        round(ordered[-1], 2),
    )


def main() -> int:
    """Play a day; exit code 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this plan again")
    parser.add_argument(
        "--buyers", type=int, default=200, help="how many buy (default 200)"
    )
    parser.add_argument(
        "--seconds", type=float, help="within which they come (default: 3 a second)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="a folder to keep; `make run ARGS='--data …'` looks at it afterwards",
    )
    parser.add_argument("--plan", action="store_true", help="only print the plan")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object at the end"
    )
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    seconds = asked.seconds or asked.buyers / _BUYERS_PER_SECOND
    plan = draw(seed, buyers=asked.buyers, seconds=seconds)
    if asked.plan:
        print(json.dumps(plan.as_json(), indent=2))
        return 0
    # All buyers come from one address here, and ask for the plan sold by default.
    os.environ["HOLDFAST_RATE_LIMIT_PER_MINUTE"] = "1000000"
    os.environ.pop("HOLDFAST_PLANS", None)

    def tell(line: str) -> None:
        print(line, file=sys.stderr if asked.json else sys.stdout, flush=True)

    tell(
        f"Seed {seed}: {asked.buyers} buyers in {seconds:.0f} s, "
        f"{len(plan.mishaps)} mishaps. Starting a shop …"
    )
    folder = nullcontext(asked.data) if asked.data else fresh_data_folder()
    with folder as data, run_stack(data, "--edge") as stack:
        report = play(stack, plan, tell)
    for line in report.lines():
        tell(line)
    if asked.json:
        print(json.dumps(report.as_json(), indent=2))
    return 1 if report.violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
