"""What `make chaos` will do follows from its seed."""

from __future__ import annotations

from chaos.plan import Habit, Trouble, draw
from sandbox.application.provisioning import ACTIONS as APPLICATION_ACTIONS
from sandbox.mailbox.smtp import ACTIONS as MAIL_ACTIONS
from sandbox.processor.faults import ACTIONS as PROCESSOR_ACTIONS

_LONG = draw(7, buyers=500, seconds=2_000)


def test_a_seed_draws_its_plan_again() -> None:
    """A failed run can be played again from the seed that it printed."""
    assert draw(7, buyers=500, seconds=2_000) == _LONG
    assert draw(8, buyers=500, seconds=2_000) != _LONG


def test_a_long_day_has_everything() -> None:
    """Every habit and every trouble comes up, within the day."""
    assert {shopper.habit for shopper in _LONG.shoppers} == set(Habit)
    assert {mishap.trouble for mishap in _LONG.mishaps} == set(Trouble)
    assert all(0 <= shopper.arrives_at <= 2_000 for shopper in _LONG.shoppers)
    assert all(0 < mishap.at < 2_000 for mishap in _LONG.mishaps)


def test_what_is_asked_of_the_sandbox_is_known_there() -> None:
    """No mishap is refused by the server that it is meant for."""
    known = {
        Trouble.PROCESSOR: set(PROCESSOR_ACTIONS),
        Trouble.APPLICATION: set(APPLICATION_ACTIONS),
        Trouble.MAIL: set(MAIL_ACTIONS),
    }
    for mishap in _LONG.mishaps:
        if mishap.trouble in known:
            assert mishap.asks["action"] in known[mishap.trouble]
