"""The reconciliation from the command line: run it, look at it, hold it, let mail go.

Part of `cli.py`. A run is the same workflow that the schedule starts.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError

from database import reconciliation
from database.audit import digest_of, record_action
from database.reconciliation import Reconciled
from domain.reconciliation import ReconcileInput, ReconcileResult, Trigger
from operating.address import ShopAddress
from operating.database import NotDone, in_transaction
from operating.recording import did
from workflows.door import TASK_QUEUE, connect
from workflows.schedule import start_run

#: A first run over years of payments takes a while; it can be followed in Temporal.
_WAIT_SECONDS = 30 * 60


def run(
    shop: ShopAddress,
    *,
    actor: str,
    is_dry: bool,
    is_deep: bool,
    since: datetime | None,
    as_json: bool,
) -> None:
    """Carry out a run, and say what it found.

    Raises:
        DatabaseAway: The database did not answer; nothing was compared.
        NotDone: Temporal did not answer, another run is under way, or it failed.
    """
    asked = ReconcileInput(
        run_id=uuid4(),
        trigger=Trigger.PERSON,
        actor=actor,
        is_dry=is_dry,
        is_deep=is_deep,
        since=since.replace(tzinfo=since.tzinfo or UTC) if since else None,
    )
    action = did(
        actor,
        "reconciliation.asked",
        run=str(asked.run_id),
        deep=is_deep,
        dry=is_dry,
        since=asked.since.isoformat() if asked.since else None,
    )
    # First, as the console does: whatever becomes of the run, it was asked for.
    in_transaction(shop.database_url, lambda c: record_action(c, action))
    result = asyncio.run(_run(shop, asked))
    if result.is_busy:
        raise NotDone(
            "Another run is under way. Nothing was done: give this again in three "
            "minutes; one that has died is taken over by then."
        )
    _say(_told(result), _result_as_json(result), as_json=as_json)


async def _run(shop: ShopAddress, asked: ReconcileInput) -> ReconcileResult:
    try:
        async with asyncio.timeout(_WAIT_SECONDS):
            client = await connect(
                shop.temporal_address, shop.temporal_namespace, lazy=False
            )
            handle = await start_run(client, asked, TASK_QUEUE)
            return await handle.result()
    except (RPCError, RuntimeError) as error:
        raise NotDone("Temporal does not answer; nothing was compared.") from error
    except TimeoutError as error:
        raise NotDone(
            "The run goes on, and this command waits no longer: reconcile status"
        ) from error
    except WorkflowFailureError as error:
        raise NotDone(
            f"The run failed and the next begins where it began: {error.cause}"
        ) from error


def status(database_url: str, *, as_json: bool) -> None:
    """Say how far the processor and we have been compared."""
    found = in_transaction(database_url, reconciliation.read_reconciled)
    _say(_standing(found), _standing_as_json(found), as_json=as_json)


def hold(database_url: str, *, actor: str, reason: str, as_json: bool) -> None:
    """Turn the kill switch on: find and tell, and ask for no repair."""

    async def work(connection: AsyncConnection) -> bool:
        is_new = await reconciliation.hold(connection, actor, reason)
        action = did(
            actor,
            "reconciliation.held",
            is_new=is_new,
            reason_sha256=digest_of(reason),
        )
        await record_action(connection, action)
        return is_new

    is_new = in_transaction(database_url, work)
    text = (
        "No repair is asked for until: reconcile release"
        if is_new
        else "It was held already."
    )
    _say(text, {"is_new": is_new}, as_json=as_json)


def release(database_url: str, *, actor: str, as_json: bool) -> None:
    """Turn the kill switch off; the next run asks for what was withheld."""

    async def work(connection: AsyncConnection) -> bool:
        is_new = await reconciliation.let_go(connection)
        action = did(actor, "reconciliation.released", is_new=is_new)
        await record_action(connection, action)
        return is_new

    is_new = in_transaction(database_url, work)
    text = "Repairs are asked for again." if is_new else "It was not held."
    _say(text, {"is_new": is_new}, as_json=as_json)


def let_mail_go(database_url: str, *, actor: str, as_json: bool) -> None:
    """Let the mails of a bulk repair leave."""

    async def work(connection: AsyncConnection) -> int:
        held = await reconciliation.let_mail_go(connection)
        action = did(actor, "mail.let_go", checkouts=held.count)
        await record_action(connection, action)
        return held.count

    count = in_transaction(database_url, work)
    text = (
        f"The mails of {count} checkouts leave within minutes."
        if count
        else "No mail was held."
    )
    _say(text, {"released": count}, as_json=as_json)


def _told(result: ReconcileResult) -> str:
    tally = result.tally
    lines = [f"{tally.compared:8}  objects of the processor compared"]
    lines += [f"{count:8}  {kind}" for kind, count in tally.found.items()]
    if not tally.found:
        lines.append("Nothing differs.")
    if tally.examples:
        lines += ["", *tally.examples]
    lines.append("")
    if result.is_dry:
        lines.append("A dry run: nothing was written, and no repair was asked for.")
    else:
        lines.append(
            f"{result.repairs} repairs asked for, {result.cases} cases opened, "
            f"{result.withheld} withheld."
        )
    return "\n".join([*lines, *result.warnings])


def _result_as_json(result: ReconcileResult) -> dict[str, Any]:
    return {
        "run_id": str(result.run_id),
        "is_dry": result.is_dry,
        "compared": result.tally.compared,
        "found": result.tally.found,
        "examples": list(result.tally.examples),
        "repairs": result.repairs,
        "cases": result.cases,
        "withheld": result.withheld,
        "warnings": list(result.warnings),
    }


def _standing(found: Reconciled) -> str:
    late = (
        " That is late because it is held."
        if found.held is not None
        else " That is late: look at the worker and at Temporal."
    )
    until = (
        "No run has finished yet."
        if found.watermark_at is None
        else f"Compared until {_at(found.watermark_at)}."
    )
    lines = [until + late if found.is_late else until]
    if found.held is not None:
        lines.append(
            f"No repair is asked for since {_at(found.held.since)}, by "
            f"{found.held.actor}: {found.held.reason}"
        )
    lines += [f"{count:8}  {kind}" for kind, count in found.last_found.items()]
    lines += found.last_warnings
    if found.mail_held.count:
        lines.append(
            f"The mails of {found.mail_held.count} checkouts are held. Look at them, "
            "then: reconcile let-mail-go"
        )
    return "\n".join(lines)


def _standing_as_json(found: Reconciled) -> dict[str, Any]:
    return {
        "watermark_at": found.watermark_at.isoformat() if found.watermark_at else None,
        "age_seconds": found.age.total_seconds(),
        "is_late": found.is_late,
        "held_by": found.held.actor if found.held else None,
        "held_reason": found.held.reason if found.held else None,
        "mail_held": found.mail_held.count,
        "last_found": found.last_found,
        "last_warnings": list(found.last_warnings),
    }


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%d %b %Y, %H:%M} UTC"


def _say(text: str, content: dict[str, Any], *, as_json: bool) -> None:
    sys.stdout.write((json.dumps(content) if as_json else text) + "\n")
