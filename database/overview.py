"""The operator's overview: how many checkouts stand where, and what is overdue."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from database.pauses import Pause, read_pause
from database.tables import checkouts, pause_waiters, promises
from domain.states import AccessState, MoneyState


@dataclass(frozen=True, slots=True, kw_only=True)
class StateCount:
    """How many checkouts stand in one pair of states."""

    money: MoneyState
    access: AccessState
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What an operator looks at first.

    Attributes:
        pause: The pause that lasts; None while payments are taken.
        checkouts: One entry for each pair of states that occurs.
        need_attention: Checkouts that a person is needed for, or may be soon.
        promises_overdue: Promised words whose time has passed.
        waiting_for_reopening: Buyers who are still to be told that it is open again.
    """

    pause: Pause | None
    checkouts: tuple[StateCount, ...]
    need_attention: int
    promises_overdue: int
    waiting_for_reopening: int


async def read_overview(connection: AsyncConnection) -> Overview:
    """Count what stands now."""
    pairs = await connection.execute(
        select(
            checkouts.c.money_state, checkouts.c.access_state, func.count().label("n")
        )
        .group_by(checkouts.c.money_state, checkouts.c.access_state)
        .order_by(checkouts.c.money_state, checkouts.c.access_state)
    )
    counts = await connection.execute(
        select(
            select(func.count())
            .select_from(checkouts)
            .where(checkouts.c.attention_at.is_not(None))
            .scalar_subquery()
            .label("need_attention"),
            select(func.count())
            .select_from(promises)
            .where(
                promises.c.kept_at.is_(None),
                promises.c.due_at < func.clock_timestamp(),
            )
            .scalar_subquery()
            .label("promises_overdue"),
            select(func.count())
            .select_from(pause_waiters)
            .where(pause_waiters.c.told_at.is_(None))
            .scalar_subquery()
            .label("waiting_for_reopening"),
        )
    )
    row = counts.one()
    return Overview(
        pause=await read_pause(connection),
        checkouts=tuple(
            StateCount(
                money=MoneyState(pair.money_state),
                access=AccessState(pair.access_state),
                count=pair.n,
            )
            for pair in pairs
        ),
        need_attention=row.need_attention,
        promises_overdue=row.promises_overdue,
        waiting_for_reopening=row.waiting_for_reopening,
    )
