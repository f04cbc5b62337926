"""The states: what may follow what, and which money a stage may show."""

from __future__ import annotations

from domain.states import (
    MONEY_OF_STAGE,
    MONEY_TAKEN,
    NEXT_STAGES,
    MoneyState,
    Stage,
)


def test_every_stage_and_every_money_state_has_its_place() -> None:
    """No stage is without rules, and each money state can be shown by some stage."""
    assert set(NEXT_STAGES) == set(MONEY_OF_STAGE) == set(Stage)
    assert frozenset().union(*MONEY_OF_STAGE.values()) == set(MoneyState)


def test_a_charge_is_reached_from_everywhere_and_never_left() -> None:
    """A charge that the processor shows is true, whatever our row said before."""
    assert NEXT_STAGES[Stage.CHARGED] == frozenset()
    for stage in set(Stage) - {Stage.CHARGED}:
        assert Stage.CHARGED in NEXT_STAGES[stage]


def test_not_charged_is_shown_by_one_stage_alone() -> None:
    """Only a checkout that asks nothing of the processor may be called not charged."""
    shows = [s for s in Stage if MoneyState.NOT_CHARGED in MONEY_OF_STAGE[s]]

    assert shows == [Stage.OPEN]
    assert MoneyState.NOT_CHARGED not in MONEY_TAKEN
    assert MoneyState.UNKNOWN not in MONEY_TAKEN
