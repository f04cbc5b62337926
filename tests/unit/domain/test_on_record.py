"""What the processor has on record: read back whole, or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identifiers import reference_code
from domain.money import Money
from domain.on_record import CheckoutOnRecord
from tests.specimens.records import on_record

CHECKOUT = UUID("11111111-2222-4333-8444-555555555555")

zones = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
#: What a column can hold, and a value of metadata.
texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    min_size=1,
    max_size=500,
)
records = st.builds(
    CheckoutOnRecord,
    checkout_id=st.uuids(),
    reference_code=st.binary(min_size=8, max_size=8).map(reference_code),
    buyer_attempt=st.integers(1, 1_000),
    plan_id=st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True),
    plan_name=texts,
    plan_months=st.integers(1, 1_200),
    price=st.builds(
        Money,
        amount_minor=st.integers(1, 10**15),
        currency=st.from_regex(r"[a-z]{3}", fullmatch=True),
    ),
    token_key_id=st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
    email=st.emails().filter(lambda email: len(email) <= 254),
    created_at=st.datetimes(
        min_value=datetime(2000, 1, 1),  # noqa: DTZ001  # The zone is drawn apart.
        max_value=datetime(2200, 1, 1),  # noqa: DTZ001
        timezones=zones,
    ),
)


@given(records)
def test_record_comes_back_as_it_went(record: CheckoutOnRecord) -> None:
    """What the processor was told makes the same checkout again."""
    assert CheckoutOnRecord.from_metadata(record.to_metadata()) == record


@given(records)
def test_record_is_within_the_processor_s_limits(record: CheckoutOnRecord) -> None:
    """At most 50 keys of 40 characters, with values of 1 to 500."""
    metadata = record.to_metadata()

    assert len(metadata) <= 50
    assert all(len(name) <= 40 for name in metadata)
    assert all(0 < len(text) <= 500 for text in metadata.values())


@given(records, zones)
def test_equal_records_say_the_same_words(
    record: CheckoutOnRecord, zone: timezone
) -> None:
    """A worker in another time zone repeats the request byte for byte."""
    elsewhere = replace(record, created_at=record.created_at.astimezone(zone))

    assert list(elsewhere.to_metadata().items()) == list(record.to_metadata().items())


@given(records, st.data())
def test_record_with_a_gap_is_none(
    record: CheckoutOnRecord, data: st.DataObject
) -> None:
    """Half a record makes no row."""
    metadata = record.to_metadata()
    del metadata[data.draw(st.sampled_from(sorted(metadata)))]

    assert CheckoutOnRecord.from_metadata(metadata) is None


@given(
    st.dictionaries(
        st.sampled_from(sorted(on_record(CHECKOUT).to_metadata())) | st.text(),
        st.text() | st.none() | st.integers() | st.floats() | st.lists(st.text()),
    )
)
def test_reading_never_raises(metadata: dict[str, object]) -> None:
    """Whatever somebody wrote in the dashboard, it is a record or it is none."""
    changed = {**on_record(CHECKOUT).to_metadata(), **metadata}

    for written in (metadata, changed):
        found = CheckoutOnRecord.from_metadata(written)
        assert found is None or isinstance(found, CheckoutOnRecord)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("checkout_id", "order-17"),
        ("reference_code", "ord-7k2m-9qxd"),
        ("reference_code", "ORD-7K2M-9QX0"),
        ("buyer_attempt", "0"),
        ("buyer_attempt", "-1"),
        ("buyer_attempt", "１"),
        ("buyer_attempt", "1_0"),
        ("buyer_attempt", "9" * 5_000),
        ("plan_id", ""),
        ("plan_name", "a\0b"),
        ("plan_name", "\ud800"),
        ("plan_name", "a" * 501),
        ("plan_months", "2147483648"),
        ("amount_minor", "249.00"),
        ("currency", "USD"),
        ("token_key_id", ""),
        ("email", "mara"),
        ("email", "mara@example.com\nBcc: all@example.com"),
        ("email", "mara@example.com, dana@example.com"),
        ("email", f"{'m' * 250}@example.com"),
        ("created_at", "yesterday"),
        ("created_at", "2026-11-23T14:32:00"),
        ("created_at", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_what_a_row_could_not_hold_is_no_record(name: str, text: str) -> None:
    """One value that we never write, and the whole of it is not believed."""
    metadata = {**on_record(CHECKOUT).to_metadata(), name: text}

    assert CheckoutOnRecord.from_metadata(metadata) is None


def test_long_plan_name_is_cut_and_sells_all_the_same() -> None:
    """A limit of the processor's never stops a sale."""
    record = replace(on_record(CHECKOUT), plan_name="a" * 600)

    assert record.to_metadata()["plan_name"] == "a" * 500


def test_record_does_not_name_the_buyer_by_accident() -> None:
    """A log line or a traceback that shows a record shows no address."""
    record = on_record(CHECKOUT)

    assert record.created_at.tzinfo is UTC
    assert record.email not in repr(record)
