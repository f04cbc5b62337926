"""What support can filter on in the Temporal UI: no e-mail, no name, never.

Search attributes are stored in plain text, so they carry states and a reference code.
"""

from __future__ import annotations

from typing import Any

from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    SearchAttributeUpdate,
    TypedSearchAttributes,
)

from domain.states import AccessState, MoneyState

MONEY_STATE = SearchAttributeKey.for_keyword("MoneyState")
ACCESS_STATE = SearchAttributeKey.for_keyword("AccessState")
NEEDS_ATTENTION = SearchAttributeKey.for_bool("NeedsAttention")
REFERENCE_CODE = SearchAttributeKey.for_keyword("ReferenceCode")


def at_start(reference_code: str) -> TypedSearchAttributes:
    """Return the attributes that a checkout's workflow starts with."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(MONEY_STATE, MoneyState.UNKNOWN.value),
            SearchAttributePair(ACCESS_STATE, AccessState.NONE.value),
            SearchAttributePair(NEEDS_ATTENTION, False),
            SearchAttributePair(REFERENCE_CODE, reference_code),
        ]
    )


def states(money: MoneyState, access: AccessState) -> list[SearchAttributeUpdate[Any]]:
    """Return the updates that show where money and access stand."""
    return [
        MONEY_STATE.value_set(money.value),
        ACCESS_STATE.value_set(access.value),
    ]


def attention(*, needed: bool) -> list[SearchAttributeUpdate[Any]]:
    """Return the update that puts a checkout on, or takes it off, support's list."""
    return [NEEDS_ATTENTION.value_set(needed)]
