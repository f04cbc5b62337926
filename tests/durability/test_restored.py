"""The database comes back from a dump that is a hundred checkouts old."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.reconciliation import DiscrepancyKind
from stack.driver import Stack
from stack.places import DataFolder
from stack.postgres import find_programs
from tests.durability.breaking import kept_down
from tests.durability.conftest import Recoveries
from tests.durability.reconciling import Drill, Totals, visas

_BEFORE = 100
_AFTER = 100
#: Opened before the dump and paid after it: the dump says that nothing was charged.
_OPENED = 10
#: Of those before the dump, given back after it.
_REFUNDED = 3

#: Each asks for 50 repairs at the most; the last one finds nothing.
_MOST_RUNS = 8


@pytest.mark.timeout(500)
def test_restored_database_is_healed_by_reconciliation_alone(
    drill: Drill, recoveries: Recoveries, tmp_path: Path
) -> None:
    """What the dump does not know is made anew from what the processor keeps.

    Temporal knows more than the database then, and the processor most. Nobody has to
    say how far back to look: the watermark came back with the dump.
    """
    drill.buy_many(visas(_BEFORE))
    drill.wait_settled()
    drill.reconcile()
    delivered = drill.all("SELECT payment_intent_id FROM orders")
    opened = drill.open_many(_OPENED)
    _dump(drill.stack, tmp_path / "dump")
    drill.pay_many(opened, visas(_OPENED))
    drill.buy_many(visas(_AFTER))
    drill.wait_settled()
    _give_back(drill, [intent for (intent,) in sorted(delivered)[:_REFUNDED]])
    known = _identities(drill)
    with kept_down(drill.stack, "api"), kept_down(drill.stack, "worker"):
        _restore(drill.stack, tmp_path / "dump")
        missing = known - _identities(drill)
    restored_at = time.monotonic()

    runs = drill.reconcile_until_nothing(most=_MOST_RUNS)
    before = drill.rows()
    drill.reconcile()

    healed = time.monotonic() - restored_at
    recoveries[f"database restored, {_AFTER} lost: {len(runs)} runs"] = healed
    assert len(missing) == _OPENED + _AFTER
    assert _identities(drill) == known
    whole = Totals.whole(_BEFORE + _OPENED + _AFTER, with_mail=False)
    assert drill.totals(with_mail=False) == whole
    assert drill.one("SELECT count(*) FROM refunds WHERE state = 'succeeded'") == 3
    assert drill.one(_ENDED) == _REFUNDED
    assert runs[0].tally.found == {
        DiscrepancyKind.CHARGE_WITHOUT_CHECKOUT: _AFTER,
        DiscrepancyKind.CHARGE_WITHOUT_ORDER: _OPENED,
        DiscrepancyKind.REFUND_NOT_RECORDED: 2 * _REFUNDED,
    }
    assert drill.rows() == before


_ENDED = "SELECT count(*) FROM checkouts WHERE access_state = 'ENDED'"


def _identities(drill: Drill) -> set[tuple[Any, ...]]:
    """Return what must be the same again of every checkout, the buyer's address too."""
    return drill.all(
        "SELECT checkout_id, reference_code, token_hash, email, plan_id, amount_minor,"
        " currency, payment_intent_id FROM checkouts"
    )


def _give_back(drill: Drill, intents: list[str]) -> None:
    """Refund payments past us, as in the processor's dashboard."""
    key = DataFolder(Path(drill.stack.at.data)).secrets().stripe_api_key
    for intent in intents:
        httpx.post(
            f"{drill.stack.at.processor}/v1/refunds",
            data={"payment_intent": intent},
            headers={"authorization": f"Bearer {key}"},
            trust_env=False,
        ).raise_for_status()


def _dump(stack: Stack, file: Path) -> None:
    _run("pg_dump", "--format=custom", f"--file={file}", _address(stack))


def _restore(stack: Stack, file: Path) -> None:
    """Put the dump in the place of all that is there."""
    options = ("--clean", "--if-exists", "--single-transaction", "--exit-on-error")
    _run("pg_restore", *options, f"--dbname={_address(stack)}", str(file))


def _address(stack: Stack) -> str:
    return stack.at.owner_database_url.replace("+psycopg", "")


def _run(program: str, *arguments: str) -> None:
    subprocess.run([find_programs() / program, *arguments], check=True, timeout=60)
