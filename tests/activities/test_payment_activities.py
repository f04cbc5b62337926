"""The processor is told of a checkout what the database says, and nobody else is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.exceptions import ApplicationError

from activities.failures import FailureKind
from activities.payments import PaymentActivities
from database.engine import make_engine
from database.rebuilding import read_record
from domain.messages import ConfirmPaymentIntent, CreatePaymentIntent
from domain.on_record import CheckoutOnRecord
from domain.payments import PaymentIntent
from processor.stripe_adapter import StripeProcessor
from tests.activities.conftest import ADDRESSES, EMAIL, PRICE, Paid, run
from tests.sandbox.processor_server import API_KEY, Processor

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processor]:
    """A sandbox processor of this module's own."""
    processor = Processor(data=tmp_path_factory.mktemp("told") / "processor.sqlite")
    processor.start()
    yield processor
    processor.close()


@dataclass
class Told:
    """The activities on a real database and a real server."""

    engine: AsyncEngine
    processor: StripeProcessor

    @property
    def activities(self) -> PaymentActivities:
        """Return what the worker makes."""
        return PaymentActivities(self.processor, self.read)

    async def read(self, checkout_id: UUID, buyer_attempt: int) -> CheckoutOnRecord:
        """Read as the worker's reader does."""
        async with self.engine.begin() as connection:
            return await read_record(connection, checkout_id, buyer_attempt)

    async def create(self, checkout_id: UUID) -> PaymentIntent:
        """Run the activity for the first attempt of a checkout."""
        request = CreatePaymentIntent(
            checkout_id=checkout_id,
            reference_code="ORD-7K2M-9QXD",
            buyer_attempt=1,
            price=PRICE,
        )
        return await run(self.activities.create_payment_intent, request)


@pytest.fixture
async def told(engine: AsyncEngine, server: Processor) -> AsyncIterator[Told]:
    """The activities, and the processor that they tell."""
    processor = StripeProcessor(API_KEY, ADDRESSES, api_base=server.url)
    yield Told(engine, processor)
    await processor.close()


async def test_charge_says_whose_it_is(
    told: Told, server: Processor, paid: Paid
) -> None:
    """All that a lost row had is on the PaymentIntent, and copied to its charge."""
    intent = await told.create(paid.checkout_id)
    await run(
        told.activities.confirm_payment_intent,
        ConfirmPaymentIntent(
            checkout_id=paid.checkout_id,
            payment_intent_id=intent.payment_intent_id,
            buyer_attempt=1,
            payment_method="pm_card_visa",
            token_key_id=ADDRESSES.new_token(paid.checkout_id).key_id,
        ),
    )

    client = server.client()
    found = client.v1.payment_intents.retrieve(
        intent.payment_intent_id, {"expand": ["latest_charge"]}
    ).to_dict()
    for thing in (found, found["latest_charge"]):
        record = CheckoutOnRecord.from_metadata(thing["metadata"])
        assert record == await told.read(paid.checkout_id, 1)
        assert record.email == EMAIL


async def test_repeated_creation_says_the_same_and_is_one(
    told: Told, server: Processor, paid: Paid
) -> None:
    """The processor takes the repeat under its key: not one byte is another."""
    first, second = [await told.create(paid.checkout_id) for _ in range(2)]

    assert first == second
    lines = server.get("requests", payment_intent=first.payment_intent_id)["data"]
    assert len({line["body_sha256"] for line in lines}) == 1
    assert [line["replayed"] for line in lines] == [False, True]


async def test_what_goes_into_a_history_does_not_name_the_buyer(
    told: Told, paid: Paid
) -> None:
    """Neither the answer nor a refusal carries what the processor was told."""
    assert EMAIL not in repr(await told.create(paid.checkout_id))

    with pytest.raises(ApplicationError) as failure:
        await told.create(uuid4())
    assert failure.value.type == FailureKind.ROW_MISSING
    assert failure.value.non_retryable


async def test_database_that_is_away_is_waited_for(
    told: Told, server: Processor, paid: Paid
) -> None:
    """Without the row nothing is sent, and Temporal repeats the step."""
    nowhere = "postgresql+psycopg://app@127.0.0.1:9/none"
    before = server.get("summary")["requests"]
    away = make_engine(nowhere, pool_size=1, application_name="tests")

    with pytest.raises(ApplicationError) as failure:
        await Told(away, told.processor).create(paid.checkout_id)

    assert failure.value.type == FailureKind.DATABASE_AWAY
    assert not failure.value.non_retryable
    assert server.get("summary")["requests"] == before
    await away.dispose()
