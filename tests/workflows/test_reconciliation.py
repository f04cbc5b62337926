"""A whole run: the real database, the sandbox processor, the checkouts' workflows."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.books import BooksActivities
from activities.ledger import EngineLedger, LedgerActivities
from activities.repairs import RepairActivities
from database.checkouts import claim_payment, insert_checkout, request_payment
from database.orders import record_access, write_order
from database.reconciliation import hold, let_go, let_mail_go
from database.tables import checkouts, emails, orders
from domain.addresses import PageAddresses
from domain.identifiers import derived_id, workflow_id_of
from domain.messages import Charge, GrantEntitlement, WriteOrder
from domain.on_record import CheckoutOnRecord
from domain.reconciliation import (
    BULK_FROM,
    DiscrepancyKind,
    ReconcileInput,
    ReconcileResult,
)
from processor.stripe_adapter import StripeProcessor
from tests.conftest import Database
from tests.database.conftest import PRICE, new_checkout
from tests.sandbox.processor_server import API_KEY, Processor
from tests.specimens.records import on_record
from tests.workflows.conftest import register_attributes, start_skipping
from tests.workflows.refund_world import RefundWorld
from workflows.checkout import CheckoutWorkflow
from workflows.door import CheckoutDoor
from workflows.reconciliation import ReconciliationWorkflow

pytestmark = [pytest.mark.temporal, pytest.mark.postgres]

_QUEUE = "reconciling"
_ADDRESSES = PageAddresses("https://shop.test", ["k" * 40])
_KEY_ID = _ADDRESSES.new_token(UUID(int=0)).key_id

#: What a run without news may write: its own row, and how far it came.
_OWN_TABLES = {"reconciliation_runs", "reconciliation_state"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Processor]:
    """A sandbox processor whose books are empty."""
    processor = Processor(data=tmp_path / "processor.sqlite")
    processor.start()
    yield processor
    processor.close()


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server of this test's own: its clock must not run ahead of the database's."""
    async with await start_skipping() as environment:
        await register_attributes(environment)
        yield environment


@dataclass
class Shop:
    """Our rows, the processor's books, and workers for both workflows.

    Attributes:
        age: How long ago the payments of this test were made.
    """

    database: Database
    engine: AsyncEngine
    server: Processor
    environment: WorkflowEnvironment
    world: RefundWorld
    age: timedelta = timedelta(minutes=10)
    _number: int = field(default=0)

    async def reconcile(self, **asked: Any) -> ReconcileResult:
        """Carry out one run, and wait for the repairs that it asked for."""
        with self.environment.auto_time_skipping_disabled():
            result = await self.environment.client.execute_workflow(
                ReconciliationWorkflow.run,
                ReconcileInput(**asked),
                id=f"reconciliation-{uuid4()}",
                task_queue=_QUEUE,
            )
            await self._repairs_done()
        return result

    async def _repairs_done(self) -> None:
        """Wait until every repair has its outcome; each query is a workflow's turn."""
        with self.database.connect_as_owner() as connection:
            asked = connection.execute(
                "SELECT checkout_id, repair_id FROM discrepancies"
                " WHERE state = 'repairing'"
            ).fetchall()
            for checkout_id, repair_id in asked:
                handle = self.environment.client.get_workflow_handle(
                    workflow_id_of(UUID(str(checkout_id)))
                )
                while not connection.execute(
                    "SELECT 1 FROM repairs"
                    " WHERE repair_id = %s AND outcome IS NOT NULL",
                    (repair_id,),
                ).fetchone():
                    await handle.query("status")

    def paid(
        self,
        checkout_id: UUID | None,
        record: CheckoutOnRecord | None = None,
        *,
        is_sealed: bool = True,
        **more: Any,
    ) -> str:
        """Have the processor take the price; returns the PaymentIntent."""
        metadata: dict[str, str] = {}
        if record is None and checkout_id is not None:
            record = on_record(checkout_id)
        if record is not None:
            sealed = replace(record, seal="ours" if is_sealed else "another's")
            metadata = sealed.to_metadata()
        self._number += 1
        made = self.server.tell(
            "payments",
            amount=more.pop("amount", PRICE.amount_minor),
            currency="usd",
            metadata=metadata,
            created=int((datetime.now(UTC) - self.age).timestamp()),
            **more,
        )
        return str(made["payment_intent"])

    async def checkout(self, *, claimed: bool = False) -> UUID:
        """Open a checkout, or bring it to where the processor is asked."""
        new = replace(new_checkout(), token_key_id=_KEY_ID)
        async with self.engine.begin() as connection:
            await insert_checkout(connection, new)
            if claimed:
                await request_payment(connection, new.checkout_id, "pm_card_visa")
                await claim_payment(connection, new.checkout_id)
        return new.checkout_id

    async def order(self, intent: str, checkout_id: UUID) -> None:
        """Write the order of a charge."""
        charged_at = datetime.now(UTC).replace(microsecond=0) - self.age
        charge = Charge(payment_intent_id=intent, price=PRICE, charged_at=charged_at)
        async with self.engine.begin() as connection:
            await write_order(
                connection, WriteOrder(checkout_id=checkout_id, charge=charge)
            )

    async def delivered(self) -> tuple[UUID, str]:
        """Return a checkout that is paid, open and has its receipt."""
        checkout_id = await self.checkout()
        intent = self.paid(checkout_id)
        await self.order(intent, checkout_id)
        grant = GrantEntitlement(
            checkout_id=checkout_id,
            entitlement_id=derived_id(checkout_id, "entitlement"),
            was_interrupted=False,
        )
        async with self.engine.begin() as connection:
            await record_access(connection, grant, None, None)
            await connection.execute(
                update(emails)
                .where(emails.c.checkout_id == checkout_id)
                .values(state="sent", sent_at=datetime.now(UTC))
            )
        return checkout_id, intent

    async def age_rows(self) -> None:
        """Let what was just written look as if it stood there for an hour."""
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        async with self.engine.begin() as connection:
            await connection.execute(update(checkouts).values(updated_at=hour_ago))
            await connection.execute(update(orders).values(created_at=hour_ago))
        with self.database.connect_as_owner() as connection:
            connection.execute(
                "UPDATE entitlements SET granted_at = now() - interval '1 hour'"
                " WHERE granted_at IS NOT NULL"
            )

    def change(self, path: str, **form: Any) -> None:
        """Do with the processor's own API what a person does in its dashboard."""
        httpx.post(
            f"{self.server.url}/v1/{path}",
            data=form,
            headers={"authorization": f"Bearer {API_KEY}"},
            trust_env=False,
        ).raise_for_status()

    def rows(self) -> Counter[str]:
        """Return every row of every table but those that a run may write."""
        found: Counter[str] = Counter()
        with self.database.connect_as_owner() as connection:
            names = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
            for (name,) in names:
                if str(name) in _OWN_TABLES:
                    continue
                for (row,) in connection.execute(
                    f"SELECT {name}::text FROM {name}".encode()  # noqa: S608
                ):
                    found[f"{name}: {row}"] += 1
        return found


@pytest.fixture
async def shop(
    engine: AsyncEngine,
    database: Database,
    server: Processor,
    skipping: WorkflowEnvironment,
) -> AsyncIterator[Shop]:
    """A shop whose processor has made nothing yet."""
    processor = StripeProcessor(API_KEY, _ADDRESSES, api_base=server.url)
    world = RefundWorld(
        engine=engine,
        checkout_id=uuid4(),
        clock=skipping.get_current_time,
        bank=processor,  # type: ignore[arg-type]
    )

    def digest(record: CheckoutOnRecord) -> bytes:
        return record.checkout_id.bytes * 2

    def is_vouched_for(record: CheckoutOnRecord) -> bool:
        return record.seal == "ours"

    ledger = EngineLedger(engine, digest, is_vouched_for, is_account_shared=False)
    books, own = BooksActivities(processor, ledger), LedgerActivities(engine)
    repairs = RepairActivities(CheckoutDoor(skipping.client, _QUEUE).request_repair)
    async with AsyncExitStack() as parts:
        parts.push_async_callback(processor.close)
        await parts.enter_async_context(
            Worker(
                skipping.client,
                task_queue=_QUEUE,
                workflows=[CheckoutWorkflow, ReconciliationWorkflow],
                activities=[
                    *world.activities,
                    books.compare_pages,
                    books.ask_about_intents,
                    own.begin_run,
                    own.look_locally,
                    own.decide,
                    own.finish_run,
                    repairs.ask_for_repairs,
                ],
                graceful_shutdown_timeout=timedelta(seconds=1),
            )
        )
        yield Shop(
            database=database,
            engine=engine,
            server=server,
            environment=skipping,
            world=world,
        )


async def plant_one_of_each(shop: Shop) -> None:
    """Plant one difference of every kind, among checkouts that agree."""
    for _ in range(3):
        await shop.delivered()
    without_order = await shop.checkout()
    shop.paid(without_order)
    lost = uuid4()
    shop.paid(lost, on_record(lost, reference_code="ORD-7777-7777"))
    shop.paid(None)
    mismatch = await shop.checkout()
    shop.paid(mismatch, amount=PRICE.amount_minor + 1)
    twice, _ = await shop.delivered()
    shop.paid(twice)
    _, refunded = await shop.delivered()
    shop.change("refunds", payment_intent=refunded, amount=100)
    _, disputed = await shop.delivered()
    shop.server.tell("disputes", payment_intent=disputed)
    await shop.order("pi_never_was", await shop.checkout())
    without_access = await shop.checkout()
    await shop.order(shop.paid(without_access), without_access)
    without_receipt, _ = await shop.delivered()
    async with shop.engine.begin() as connection:
        await connection.execute(
            update(emails)
            .where(emails.c.checkout_id == without_receipt)
            .values(state="pending", sent_at=None)
        )
    await shop.checkout(claimed=True)
    await shop.age_rows()


async def test_every_kind_is_found_and_nothing_else(shop: Shop) -> None:
    """Each kind of difference is found in its first run, and what agrees is not."""
    await plant_one_of_each(shop)

    result = await shop.reconcile(is_dry=True)

    found = dict(result.tally.found)
    # The order without charge has no access either; a dry run does not know of the one
    # when it looks for the other.
    assert found.pop(DiscrepancyKind.ORDER_WITHOUT_ACCESS) == 2
    others = set(DiscrepancyKind) - {DiscrepancyKind.ORDER_WITHOUT_ACCESS}
    assert found == dict.fromkeys(others, 1)


async def test_dry_run_writes_nothing(shop: Shop) -> None:
    """A dry run tells what it would find, and leaves every row as it was."""
    await plant_one_of_each(shop)
    before = shop.rows()

    result = await shop.reconcile(is_dry=True)

    assert result.is_dry
    assert result.tally.examples
    assert shop.rows() == before


async def test_charge_without_order_is_delivered(shop: Shop) -> None:
    """A charge that our row knows nothing of becomes order, access and receipt."""
    checkout_id = await shop.checkout()
    shop.paid(checkout_id)

    result = await shop.reconcile()

    assert result.repairs == 1
    assert _stands(shop, checkout_id) == ("CHARGED", "ACTIVE", True)


async def test_lost_checkout_is_made_again_and_delivered(shop: Shop) -> None:
    """A charge with no row at all becomes the checkout that it was, delivered."""
    lost = uuid4()
    record = on_record(lost)
    intent = shop.paid(lost, record)

    result = await shop.reconcile()

    assert result.tally.found == {DiscrepancyKind.CHARGE_WITHOUT_CHECKOUT: 1}
    assert _stands(shop, lost) == ("CHARGED", "ACTIVE", True)
    with shop.database.connect_as_owner() as connection:
        row = connection.execute(
            "SELECT reference_code, email, payment_intent_id FROM checkouts"
        ).fetchone()
    assert row == (record.reference_code, record.email, intent)


async def test_nobodys_charge_is_a_case_at_the_second_sighting(shop: Shop) -> None:
    """A person is bothered only when the next run sees the same."""
    intent = shop.paid(None)

    first = await shop.reconcile()
    after_first = _cases(shop)
    second = await shop.reconcile()

    assert (first.cases, second.cases) == (0, 1)
    assert after_first == []
    assert _cases(shop) == [(intent, "ForeignCharge", "open")]


@pytest.mark.parametrize("is_lost", [True, False], ids=["no row", "open row"])
async def test_metadata_of_another_hand_delivers_nothing(
    shop: Shop, is_lost: bool
) -> None:
    """Whoever can write metadata at the processor gets no access and no mail by it."""
    checkout_id = uuid4() if is_lost else await shop.checkout()
    shop.paid(checkout_id, on_record(checkout_id), is_sealed=False)

    await shop.reconcile()
    await shop.reconcile()

    assert len(_cases(shop)) == 1
    assert shop.world.mails == []
    assert shop.world.application == {}


async def test_charge_that_was_given_back_is_not_delivered(shop: Shop) -> None:
    """Money that went back before there was an order buys no access; a person looks."""
    checkout_id = await shop.checkout()
    intent = shop.paid(checkout_id)
    shop.change("refunds", payment_intent=intent)

    await shop.reconcile()
    await shop.reconcile()

    assert shop.world.application == {}
    assert [cause for _, cause, _ in _cases(shop)] == ["AmountMismatch"]


async def test_payment_that_the_processor_does_not_know_stops_no_run(
    shop: Shop,
) -> None:
    """One row that cannot be asked about must not keep all others from being found."""
    unknown = await shop.checkout(claimed=True)
    async with shop.engine.begin() as connection:
        await connection.execute(
            update(checkouts)
            .where(checkouts.c.checkout_id == unknown)
            .values(payment_intent_id="pi_of_another_account")
        )
    await shop.age_rows()
    bought = await shop.checkout()
    shop.paid(bought)

    result = await shop.reconcile(is_dry=True)

    assert result.tally.found[DiscrepancyKind.CHARGE_WITHOUT_ORDER] == 1


async def test_run_from_an_instant_of_its_own_leaves_no_gap(shop: Shop) -> None:
    """What lies between the last run and `since` is still to be compared afterwards."""
    with shop.database.connect_as_owner() as connection:
        connection.execute(
            "UPDATE reconciliation_state SET watermark_at = now() - interval '3 days'"
        )
    shop.age = timedelta(days=2)
    checkout_id = await shop.checkout()
    shop.paid(checkout_id)

    await shop.reconcile(since=datetime.now(UTC) - timedelta(days=1))
    after_since = _stands(shop, checkout_id)
    await shop.reconcile()

    assert after_since == ("NOT_CHARGED", "NONE", False)
    assert _stands(shop, checkout_id) == ("CHARGED", "ACTIVE", True)


async def test_run_after_the_repairs_writes_nothing(shop: Shop) -> None:
    """When all is put right, or with a person, another run changes no row."""
    await plant_one_of_each(shop)
    await shop.reconcile()
    await shop.reconcile()
    before = shop.rows()

    result = await shop.reconcile()

    assert (result.repairs, result.cases) == (0, 0)
    assert shop.rows() == before


async def test_kill_switch_withholds_and_lets_go(shop: Shop) -> None:
    """While it is on, differences are noted and nothing is asked for; then it is."""
    checkout_id = await shop.checkout()
    shop.paid(checkout_id)
    async with shop.engine.begin() as connection:
        await hold(connection, "dana", "I want to look first")

    held = await shop.reconcile()
    after_held = _stands(shop, checkout_id)
    async with shop.engine.begin() as connection:
        await let_go(connection)
    released = await shop.reconcile()

    assert (held.repairs, held.withheld) == (0, 1)
    assert after_held == ("NOT_CHARGED", "NONE", False)
    assert released.repairs == 1
    assert _stands(shop, checkout_id) == ("CHARGED", "ACTIVE", True)


async def test_bulk_repair_delivers_and_mails_nobody(shop: Shop) -> None:
    """Ten charges at once are delivered; no mail leaves until a person lets it go."""
    bought = [await shop.checkout() for _ in range(BULK_FROM)]
    for checkout_id in bought:
        shop.paid(checkout_id)

    result = await shop.reconcile()

    assert result.repairs == BULK_FROM
    assert any("mail" in warning for warning in result.warnings)
    assert {_stands(shop, one) for one in bought} == {("CHARGED", "ACTIVE", False)}
    assert shop.world.mails == []
    # Nor does the next run call that a missing receipt.
    await shop.age_rows()
    assert (await shop.reconcile()).tally.found == {}
    async with shop.engine.begin() as connection:
        assert (await let_mail_go(connection)).count == BULK_FROM
    released = await shop.reconcile()
    assert released.tally.found == {DiscrepancyKind.ORDER_WITHOUT_RECEIPT: BULK_FROM}
    assert {_stands(shop, one) for one in bought} == {("CHARGED", "ACTIVE", True)}


async def test_run_under_way_keeps_others_out_and_a_dead_one_does_not(
    shop: Shop,
) -> None:
    """Two runs never overlap; one that shows no life is taken over."""
    run_id = uuid4()
    with shop.database.connect_as_owner() as connection:
        connection.execute(
            "INSERT INTO reconciliation_runs"
            " (run_id, trigger, actor, is_deep, compare_from, compare_before)"
            " VALUES (%s, 'schedule', 'schedule', false, "
            " now() - interval '1 hour', now())",
            (run_id,),
        )
        busy = await shop.reconcile()
        connection.execute(
            "UPDATE reconciliation_runs SET touched_at = now() - interval '5 minutes'"
        )
        taken_over = await shop.reconcile()
        states = connection.execute(
            "SELECT run_id, state FROM reconciliation_runs ORDER BY started_at"
        ).fetchall()

    assert busy.is_busy
    assert not taken_over.is_busy
    assert states == [(run_id, "lost"), (taken_over.run_id, "finished")]


async def test_watermark_moves_and_every_charge_is_compared_once_more(
    shop: Shop,
) -> None:
    """A run goes back to the watermark, less the overlap, however long ago that was."""
    await shop.delivered()
    first = await shop.reconcile()
    with shop.database.connect_as_owner() as connection:
        connection.execute(
            "UPDATE reconciliation_state SET watermark_at = now() - interval '3 days'"
        )
    shop.age = timedelta(days=2)
    checkout_id = await shop.checkout()
    shop.paid(checkout_id)

    second = await shop.reconcile()

    assert first.tally.charges == 1
    assert second.tally.found == {DiscrepancyKind.CHARGE_WITHOUT_ORDER: 1}
    assert _stands(shop, checkout_id) == ("CHARGED", "ACTIVE", True)


def _stands(shop: Shop, checkout_id: UUID) -> tuple[object, ...]:
    """Return money, access, and whether the receipt has left."""
    with shop.database.connect_as_owner() as connection:
        found = connection.execute(
            "SELECT money_state, access_state, EXISTS (SELECT FROM emails AS e WHERE"
            " e.checkout_id = c.checkout_id AND kind = 'receipt' AND state = 'sent')"
            " FROM checkouts AS c WHERE checkout_id = %s",
            (checkout_id,),
        ).fetchone()
    assert found is not None
    return found


def _cases(shop: Shop) -> list[tuple[object, ...]]:
    with shop.database.connect_as_owner() as connection:
        return connection.execute(
            "SELECT payment_intent_id, cause, state FROM cases"
        ).fetchall()
