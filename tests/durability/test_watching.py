"""The watcher itself: it must notice a lie, or it proves nothing."""

from __future__ import annotations

import pytest

from tests.durability.watching import (
    CONFIRMING,
    HOLDING,
    RECEIVED,
    SUCCESS,
    WITHDRAWN,
    Sighting,
    assert_truthful,
)

_CHARGED_AT = 100.0


def _look(
    headline: str,
    *,
    began_at: float,
    status: int | None = 200,
    offers_payment: bool = False,
    trouble: str = "",
) -> Sighting:
    return Sighting(
        began_at=began_at,
        ended_at=began_at + 0.5,
        status=status,
        headline=headline,
        offers_payment=offers_payment,
        text=headline,
        trouble=trouble,
    )


def test_a_true_story_is_accepted() -> None:
    """Offered, confirming, holding, down, received, in: each at a time it was true."""
    story = [
        _look("Acme one-year plan", began_at=90, offers_payment=True),
        # Asked for before the charge, answered after it.
        _look(WITHDRAWN, began_at=99.8),
        _look(CONFIRMING, began_at=101),
        _look(HOLDING, began_at=102, status=503),
        _look("", began_at=103, status=None, trouble="ConnectError"),
        _look(RECEIVED, began_at=104),
        _look(SUCCESS, began_at=105),
    ]

    assert_truthful(story, _CHARGED_AT)


@pytest.mark.parametrize(
    "story",
    [
        [_look(WITHDRAWN, began_at=101)],
        [_look("Acme one-year plan", began_at=101, offers_payment=True)],
        [_look(RECEIVED, began_at=99)],
        [_look(SUCCESS, began_at=99)],
        [_look(RECEIVED, began_at=101), _look(CONFIRMING, began_at=102)],
        [_look(SUCCESS, began_at=101), _look(RECEIVED, began_at=102)],
        [_look("Internal Server Error", began_at=101, status=500)],
        [_look("Traceback (most recent call last)", began_at=99)],
        [_look("", began_at=101, status=None, trouble="ReadTimeout")],
        [],
    ],
    ids=[
        "not charged, after the charge",
        "pay form, after the charge",
        "received, before the charge",
        "in, before the charge",
        "received, taken back",
        "in, taken back",
        "error page of other words",
        "stack trace",
        "kept waiting",
        "nobody looked",
    ],
)
def test_a_lie_is_noticed(story: list[Sighting]) -> None:
    """Each kind of untrue page fails the test that saw it."""
    with pytest.raises(AssertionError):
        assert_truthful(story, _CHARGED_AT)


def test_received_without_any_charge_is_noticed() -> None:
    """Where the processor knows of no charge, no page may speak of one."""
    with pytest.raises(AssertionError):
        assert_truthful([_look(RECEIVED, began_at=1)], None)
