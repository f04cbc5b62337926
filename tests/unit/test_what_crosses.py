"""What crosses a Temporal boundary: ids and states, never a person."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from temporalio.activity import _Definition as ActivityDefinition

import activities
from domain.messages import CreatePaymentIntent
from domain.on_record import CheckoutOnRecord
from domain.payments import Page, ProcessorCharge

#: Types whose values name a customer, and words for fields that do.
PERSONAL_TYPES = {CheckoutOnRecord}
PERSONAL_WORDS = {"email", "address", "token", "name"}


def defined() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Return every activity, with the name that histories know it by."""
    for module in pkgutil.iter_modules(activities.__path__):
        loaded = importlib.import_module(f"activities.{module.name}")
        for _, kind in inspect.getmembers(loaded, inspect.isclass):
            if kind.__module__ != loaded.__name__:
                continue
            for _, method in inspect.getmembers(kind, inspect.isfunction):
                definition = ActivityDefinition.from_callable(method)
                if definition is not None:
                    yield str(definition.name), method


def personal(kind: object, path: str) -> Iterator[str]:
    """Return what in a type names a person, by its path."""
    if kind in PERSONAL_TYPES:
        yield path
    for argument in typing.get_args(kind):
        yield from personal(argument, path)
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return
    hints = typing.get_type_hints(kind)
    for field in fields(kind):
        inside = f"{path}.{field.name}"
        if PERSONAL_WORDS & {field.name}:
            yield inside
        yield from personal(hints[field.name], inside)


ACTIVITIES = dict(defined())


@pytest.mark.parametrize("name", sorted(ACTIVITIES))
def test_no_activity_is_told_or_tells_who_the_customer_is(name: str) -> None:
    """Arguments and results of all activities stand in histories for weeks."""
    hints = typing.get_type_hints(ACTIVITIES[name])

    assert [place for key, kind in hints.items() for place in personal(kind, key)] == []


def test_the_walk_sees_what_it_looks_for() -> None:
    """A record deep in a page is found; a message of ours is not taken for one."""
    assert list(personal(Page[ProcessorCharge], "page")) == [
        "page.on_record",
        "page.on_record.email",
    ]
    assert list(personal(CreatePaymentIntent, "request")) == []
    assert len(ACTIVITIES) > 20
