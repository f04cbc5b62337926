"""What will happen, drawn from a seed: who buys how, and what breaks when.

The same seed, number of buyers and length draw the same plan. The machines that carry
it out are real, so what comes of it may differ from run to run.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Habit(StrEnum):
    """How somebody buys."""

    ONCE = "presses Pay once"
    HASTY = "presses Pay three times at the same moment"
    SECOND_CARD = "is declined, and takes another card"
    DECLINED = "is declined, and leaves"
    BANK_YES = "says yes to the bank"
    BANK_NO = "says no to the bank, and leaves"
    LOOKS = "never presses Pay"
    REFUNDED = "gets the money back past us, in the processor's dashboard"
    EMBEDDED = "buys in the company's own shop, through the JSON API"


class Trouble(StrEnum):
    """What can break."""

    KILL = "killed"
    FREEZE = "frozen"
    DOWN = "down"
    CUT = "every connection to it cut"
    PROCESSOR = "processor misbehaves"
    APPLICATION = "application misbehaves"
    MAIL = "mail server misbehaves"
    WEBHOOKS = "webhooks misbehave"
    LOST_RUN = "a workflow terminated"
    REPAIR = "support repairs what needs none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shopper:
    """One buyer.

    Attributes:
        number: Counts from 0; the address is made of it.
        habit: How they buy.
        arrives_at: Seconds after the shop opened.
    """

    number: int
    habit: Habit
    arrives_at: float

    @property
    def email(self) -> str:
        """Their address, their own."""
        return f"shopper-{self.number}@example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """One thing that goes wrong.

    Attributes:
        at: Seconds after the shop opened.
        trouble: What kind.
        targets: The children of the stack that it meets; empty for the others.
        seconds: How long it lasts, where it lasts.
        asks: What is asked of a fault switch, by name.
    """

    at: float
    trouble: Trouble
    targets: tuple[str, ...] = ()
    seconds: float = 0.0
    asks: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """A line for people."""
        whom = " and ".join(self.targets)
        what = ", ".join(f"{name} {value}" for name, value in self.asks.items())
        lasts = f"for {self.seconds:.1f} s" if self.seconds else ""
        return " ".join(part for part in (whom, self.trouble, lasts, what) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that will happen, in the order of time."""

    seed: int
    seconds: float
    shoppers: tuple[Shopper, ...]
    mishaps: tuple[Mishap, ...]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


#: Of a hundred buyers.
_HABITS = {
    Habit.ONCE: 36,
    Habit.HASTY: 16,
    Habit.SECOND_CARD: 9,
    Habit.DECLINED: 4,
    Habit.BANK_YES: 10,
    Habit.BANK_NO: 4,
    Habit.LOOKS: 4,
    Habit.REFUNDED: 7,
    Habit.EMBEDDED: 10,
}

#: Of a hundred mishaps. A terminated run is left to the reconciliation, which leaves
#: bulk repairs to people: a few of them, not many.
_TROUBLES = {
    Trouble.KILL: 27,
    Trouble.FREEZE: 8,
    Trouble.DOWN: 12,
    Trouble.CUT: 6,
    Trouble.PROCESSOR: 20,
    Trouble.APPLICATION: 9,
    Trouble.MAIL: 6,
    Trouble.WEBHOOKS: 6,
    Trouble.LOST_RUN: 3,
    Trouble.REPAIR: 3,
}

#: Whom a trouble meets; all of a line at once.
_TARGETS: dict[Trouble, tuple[tuple[str, ...], ...]] = {
    Trouble.KILL: (
        ("worker",),
        ("worker",),
        ("api",),
        ("temporal",),
        ("postgres",),
        ("edge",),
        ("worker", "api"),
        ("temporal", "worker"),
        ("api", "postgres"),
    ),
    Trouble.FREEZE: (("worker",), ("temporal",), ("application",)),
    Trouble.DOWN: (
        ("worker",),
        ("temporal",),
        ("postgres",),
        ("processor",),
        ("application",),
        ("mailbox",),
    ),
    Trouble.CUT: (("postgres",),),
}

#: How long it lasts, in seconds, at least and at most.
_LASTS = {
    Trouble.KILL: (0.0, 0.0),
    # Longer than an activity may take, so that another try begins beside it.
    Trouble.FREEZE: (2.0, 14.0),
    Trouble.DOWN: (0.5, 6.0),
    Trouble.CUT: (0.0, 0.0),
    Trouble.WEBHOOKS: (3.0, 12.0),
}

#: What a fault switch may be asked for.
_ACTIONS = {
    Trouble.PROCESSOR: (
        "act_then_drop_reply",
        "act_then_delay",
        "delay",
        "refuse",
        "throttle",
        "lock_timeout",
        "error_500_before",
        "error_500_after",
        "error_503",
    ),
    Trouble.APPLICATION: ("error_500", "refuse", "delay", "act_then_drop_reply"),
    Trouble.MAIL: ("accept_then_drop_before_250", "temporary_451", "delay"),
}
_PROCESSOR_PATHS = ("/confirm$", "/payment_intents$", "/payment_intents", "/v1/")
_OF_WEBHOOKS = (
    {"mode": "off"},
    {"duplicate": 2, "shuffle": True},
    {"delay_seconds": 3.0},
)

#: Between two mishaps.
_PAUSE_SECONDS = (0.8, 5.0)


def draw(seed: int, *, buyers: int, seconds: float) -> Plan:
    """Draw a plan.

    Args:
        seed: The same draws the same.
        buyers: How many come.
        seconds: Within which they come, and something breaks.
    """
    chance = random.Random(seed)  # noqa: S311  # A plan, not a secret.
    habits = chance.choices(list(_HABITS), list(_HABITS.values()), k=buyers)
    arrivals = sorted(chance.uniform(0, seconds) for _ in range(buyers))
    shoppers = tuple(
        Shopper(number=number, habit=habit, arrives_at=at)
        for number, (habit, at) in enumerate(zip(habits, arrivals, strict=True))
    )
    mishaps = []
    at = chance.uniform(*_PAUSE_SECONDS)
    while at < seconds:
        mishaps.append(_mishap(chance, at))
        at += chance.uniform(*_PAUSE_SECONDS)
    return Plan(seed=seed, seconds=seconds, shoppers=shoppers, mishaps=tuple(mishaps))


def _mishap(chance: random.Random, at: float) -> Mishap:
    (trouble,) = chance.choices(list(_TROUBLES), list(_TROUBLES.values()))
    if trouble in _TARGETS:
        targets = chance.choice(_TARGETS[trouble])
        seconds = chance.uniform(*_LASTS[trouble])
        return Mishap(at=at, trouble=trouble, targets=targets, seconds=seconds)
    if trouble is Trouble.WEBHOOKS:
        seconds = chance.uniform(*_LASTS[trouble])
        asks = dict(chance.choice(_OF_WEBHOOKS))
        return Mishap(at=at, trouble=trouble, seconds=seconds, asks=asks)
    asks = _switch(chance, trouble) if trouble in _ACTIONS else {}
    return Mishap(at=at, trouble=trouble, asks=asks)


def _switch(chance: random.Random, trouble: Trouble) -> dict[str, Any]:
    asks: dict[str, Any] = {
        "action": chance.choice(_ACTIONS[trouble]),
        "times": chance.randint(1, 6),
    }
    if "delay" in asks["action"]:
        asks["seconds"] = round(chance.uniform(0.5, 14), 1)
    if trouble is Trouble.PROCESSOR:
        path = chance.choice(_PROCESSOR_PATHS)
        asks["match"] = {"method": "POST", "path_regex": path}
    return asks
