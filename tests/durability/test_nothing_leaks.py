"""What the product leaves behind about a buyer: ids everywhere, the person nowhere."""

from __future__ import annotations

import asyncio
from uuid import UUID

import httpx
from temporalio.client import Client

from domain.identifiers import workflow_id_of
from stack.driver import Stack
from tests.durability.breaking import processor_fault
from tests.durability.counting import Purchase, get_json


def test_logs_histories_and_metrics_hold_no_person_and_no_secret(
    stack: Stack, purchase: Purchase
) -> None:
    """After a purchase with trouble, no trace of ours but the rows says who bought.

    The processor is told. Its first answer is lost, so it is told a second time, in the
    same words, or it would refuse.
    """
    with (
        processor_fault(purchase, "act_then_drop_reply", path="/payment_intents$"),
        processor_fault(purchase, "act_then_drop_reply"),
    ):
        purchase.pay()
        purchase.wait_whole()
    (intent,) = get_json(
        f"{stack.at.processor}/sandbox/payment_intents",
        checkout_id=str(purchase.checkout_id),
    )["data"]
    assert intent["metadata"]["email"] == purchase.email
    secret_things = {
        "the buyer's address": purchase.email,
        "the token of the page": purchase.address.rpartition("/c/")[2],
        "the processor's key": "sk_test_",
        "a signing secret": "whsec_",
        "the address that opens the account": "/welcome/",
        "the database's password": stack.at.database_url.split(":")[2].split("@")[0],
        "the API key": stack.at.api_key,
    }

    traces = {
        "the API's log": stack.log("api").encode(),
        "the worker's log": stack.log("worker").encode(),
        "the API's metrics": _get(stack.at.api_metrics),
        "the worker's metrics": _get(stack.at.worker_metrics),
        "the history": asyncio.run(_history(stack, purchase.checkout_id)),
    }

    # The scan can see: each trace but the metrics names the checkout.
    for where in ("the API's log", "the worker's log", "the history"):
        assert str(purchase.checkout_id).encode() in traces[where]
    found = [
        f"{what} in {where}"
        for what, text in secret_things.items()
        for where, trace in traces.items()
        if text.encode() in trace
    ]
    assert found == []


def _get(url: str) -> bytes:
    return httpx.get(url, trust_env=False).raise_for_status().content


async def _history(stack: Stack, checkout_id: UUID) -> bytes:
    client = await Client.connect(
        stack.at.temporal_address, namespace=stack.at.temporal_namespace
    )
    handle = client.get_workflow_handle(workflow_id_of(checkout_id))
    history = await handle.fetch_history()
    description = await handle.describe()
    return b"".join(
        [
            *(event.SerializeToString() for event in history.events),
            description.raw_description.SerializeToString(),
        ]
    )
