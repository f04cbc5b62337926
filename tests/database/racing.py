"""What the tests of races share: seeds, dice, and races that run side by side."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

SEEDS = 500
#: Races that run side by side. Each wants up to five connections; the engine has 20.
AT_ONCE = 4


def dice(seed: int) -> random.Random:
    """Return dice that fall the same for the same seed."""
    return random.Random(seed)  # noqa: S311  # A test's chance, no secret.


async def breathe(dice: random.Random) -> None:
    """Let the others go first, or not, as the seed says."""
    for _ in range(dice.randrange(6)):
        await asyncio.sleep(0)


async def for_every_seed(
    race: Callable[[int], Awaitable[None]], *, at_once: int = AT_ONCE
) -> None:
    """Run a race for every seed, some of them side by side."""
    for start in range(0, SEEDS, at_once):
        batch = range(start, min(start + at_once, SEEDS))
        await asyncio.gather(*(race(seed) for seed in batch))
