"""The auditor of `make chaos` overlooks nothing: each kind of damage is planted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.audit import MOST_EVENTS, PROMISES, Bought, Charge, Evidence, audit

_PRICE = 24_900

_PAID = Bought(
    name="ORD-PAID-0001",
    stage="charged",
    money="CHARGED",
    access="ACTIVE",
    amount=_PRICE,
    charges=(Charge(amount=_PRICE),),
    orders=1,
    subscriptions=1,
    active=1,
    grants=1,
    has_access=True,
    receipts=1,
    mails=(1,),
    is_accepted=True,
    attempts=1,
)

_GIVEN_BACK = replace(
    _PAID,
    access="ENDED",
    charges=(Charge(amount=_PRICE, refunded=_PRICE),),
    refunded=_PRICE,
    active=0,
    has_access=False,
    mails=(1, 1),
)

_LEFT = Bought(
    name="ORD-LEFT-0001",
    stage="open",
    money="NOT_CHARGED",
    access="NONE",
    amount=_PRICE,
    is_accepted=True,
    attempts=1,
)

_SOUND = Evidence(bought=(_PAID, _GIVEN_BACK, _LEFT))

_ONE_OF_THEM: dict[str, tuple[str, Bought]] = {
    "charged twice": (
        "charge",
        replace(_PAID, charges=(Charge(amount=_PRICE), Charge(amount=_PRICE))),
    ),
    "charged another amount": (
        "amount",
        replace(_PAID, charges=(Charge(amount=_PRICE - 1),)),
    ),
    "charged, and the row does not know": ("lost", replace(_PAID, stage="open")),
    "charged, without an order": ("lost", replace(_PAID, orders=0)),
    "charged, without a subscription": ("lost", replace(_PAID, subscriptions=0)),
    "charged by our word alone": ("ghost", replace(_PAID, charges=())),
    "granted without a charge": ("ghost", replace(_LEFT, grants=1)),
    "paid, and our row has no access": ("access", replace(_PAID, active=0)),
    "paid, and not let in": ("access", replace(_PAID, has_access=False)),
    "granted twice": ("access", replace(_PAID, grants=2)),
    "given back, and still let in": ("access", replace(_GIVEN_BACK, has_access=True)),
    "given back, and we do not know": ("refund", replace(_GIVEN_BACK, refunded=0)),
    "we say given back": ("refund", replace(_PAID, refunded=_PRICE)),
    "a lie": ("truth", replace(_PAID, lies=("3.1 s: charged, but it says not",))),
    "no receipt": ("mail", replace(_PAID, receipts=0)),
    "two receipts": ("mail", replace(_PAID, receipts=2)),
    "a receipt for nothing": ("mail", replace(_LEFT, receipts=1)),
    "copies that differ": ("mail", replace(_PAID, altered=1)),
    "a copy without a reason": ("mail", replace(_PAID, mails=(2,))),
    "in doubt, and nobody is told": (
        "settled",
        replace(_LEFT, stage="charging", money="UNKNOWN"),
    ),
    "could be charged again": ("closed", replace(_PAID, may_take=1)),
    "over, and could still be charged": ("closed", replace(_LEFT, may_take=1)),
    "a press that was taken and lost": ("taken", replace(_LEFT, attempts=0)),
}

_ALL_OF_IT: dict[str, tuple[str, Evidence]] = {
    "a charge that is nobody's": ("lost", replace(_SOUND, orphans=1)),
    "not at an end": ("settled", replace(_SOUND, unsettled=1)),
    "never saw a page": ("taken", replace(_SOUND, without_page=1)),
    "a key for two requests": ("keys", replace(_SOUND, reused_keys=("the key …",))),
    "an event that waits": ("queues", replace(_SOUND, waiting_events=1)),
    "a repair without an outcome": ("queues", replace(_SOUND, unanswered=1)),
    "a workflow that waits for nothing": ("queues", replace(_SOUND, idle=1)),
    "a long history": ("histories", replace(_SOUND, longest_history=MOST_EVENTS + 1)),
    "a history that does not replay": (
        "histories",
        replace(_SOUND, replay_failures=("run 7 does not replay",)),
    ),
    "books that still differ": ("books", replace(_SOUND, last_run={"orphan": 1})),
    "a promised word": ("word", replace(_SOUND, unkept_promises=("ORD-1: …",))),
    "a log that tells": ("quiet", replace(_SOUND, leaks=("the API's log …",))),
    "a child that stayed away": ("back", replace(_SOUND, not_back=("api …",))),
}


def test_sound_evidence_breaks_no_promise() -> None:
    """What is as it should be is not called broken."""
    assert audit(_SOUND) == []


@pytest.mark.parametrize(
    ("promise", "damaged"), _ONE_OF_THEM.values(), ids=_ONE_OF_THEM
)
def test_damage_to_one_purchase_is_found(promise: str, damaged: Bought) -> None:
    """Among sound purchases one damaged one is found, named, and under its promise."""
    found = audit(replace(_SOUND, bought=(*_SOUND.bought, damaged)))

    assert promise in {violation.promise for violation in found}
    assert all(damaged.name in violation.what for violation in found)


@pytest.mark.parametrize(("promise", "damaged"), _ALL_OF_IT.values(), ids=_ALL_OF_IT)
def test_damage_to_the_whole_is_found(promise: str, damaged: Evidence) -> None:
    """What is wrong with the shop as a whole is found under its promise, once."""
    assert [violation.promise for violation in audit(damaged)] == [promise]


def test_a_copy_of_a_mail_is_allowed_as_often_as_acknowledgements_may_be_lost() -> None:
    """A second copy is no damage after a disturbance, a third one is."""
    twice = replace(_SOUND, bought=(replace(_PAID, mails=(2,)),), disturbances=1)
    thrice = replace(_SOUND, bought=(replace(_PAID, mails=(3,)),), disturbances=1)

    assert audit(twice) == []
    assert [violation.promise for violation in audit(thrice)] == ["mail"]


def test_every_promise_can_be_broken() -> None:
    """No promise is listed that nothing here can break."""
    planted = {promise for promise, _ in (*_ONE_OF_THEM.values(), *_ALL_OF_IT.values())}

    assert planted == {promise.name for promise in PROMISES}
