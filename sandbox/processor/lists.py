"""Lists with cursors and filters, and expansion of ids into objects."""

from collections.abc import Callable, Collection
from typing import Any

from sandbox.processor import errors
from sandbox.processor.errors import Json
from sandbox.processor.parameters import Parameters
from sandbox.processor.storage import Position, Storage
from sandbox.processor.work import Call

_PAGING = frozenset({"created", "ending_before", "expand", "limit", "starting_after"})
_DEFAULT_LIMIT = 10
_MAXIMUM_LIMIT = 100
_CREATED_BOUNDS = ("gt", "gte", "lt", "lte")
#: https://docs.stripe.com/expand: "a maximum depth of four levels".
_MAXIMUM_DEPTH = 4

#: Which ids of an object can be expanded, and into what.
_EXPANDABLE = {
    "charge": {
        "customer": "customer",
        "payment_intent": "payment_intent",
        "refunds": "refund",
    },
    "dispute": {"charge": "charge", "payment_intent": "payment_intent"},
    "payment_intent": {
        "customer": "customer",
        "latest_charge": "charge",
        "payment_method": "payment_method",
    },
    "refund": {"charge": "charge", "payment_intent": "payment_intent"},
}


def lister(
    kind: str, url: str, filters: Collection[str] = ()
) -> Callable[[Call], Json]:
    """Make the handler of a list endpoint.

    Args:
        kind: The objects' kind.
        url: The endpoint's path, which the list repeats.
        filters: Parameters that are compared with the objects' own fields.
    """

    def handler(call: Call) -> Json:
        call.params.allow(_PAGING | set(filters))
        chosen = {
            # The storage keeps an event's type where others keep their status.
            "status" if name == "type" else name: call.params.text(name)
            for name in filters
        }
        return _page(call, kind, url, chosen)

    return handler


def _page(call: Call, kind: str, url: str, filters: Json) -> Json:
    params, storage = call.params, call.world.storage
    limit = _limit(params)
    newer_than = _cursor(storage, params, "ending_before", kind)
    older_than = _cursor(storage, params, "starting_after", kind)
    if newer_than is not None and older_than is not None:
        message = "Only one of these may be passed: starting_after, ending_before."
        raise errors.invalid(message)
    found = storage.select(
        kind,
        limit=limit + 1,
        oldest_first=newer_than is not None,
        before=older_than,
        after=newer_than,
        **filters,
        **_created(params),
    )
    page = found[:limit]
    if newer_than is not None:
        page.reverse()
    has_more = len(found) > limit
    return {"object": "list", "data": page, "has_more": has_more, "url": url}


def _limit(params: Parameters) -> int:
    limit = params.whole("limit")
    if limit is None:
        return _DEFAULT_LIMIT
    if not 1 <= limit <= _MAXIMUM_LIMIT:
        bound = "greater than or equal to 1"
        if limit > _MAXIMUM_LIMIT:
            bound = f"less than or equal to {_MAXIMUM_LIMIT}"
        raise errors.invalid(
            f"This value must be {bound}.",
            code="parameter_invalid_integer",
            param="limit",
        )
    return limit


def _cursor(
    storage: Storage, params: Parameters, name: str, kind: str
) -> Position | None:
    identifier = params.text(name)
    if identifier is None:
        return None
    position = storage.position(identifier, kind)
    if position is None:
        raise errors.no_such(kind, identifier, param=name, in_path=False)
    return position


def _created(params: Parameters) -> Json:
    """``created=...`` or ``created[gte]=...`` as filters of the storage."""
    sent = params.value("created")
    bounds = sent if isinstance(sent, dict) else {"created": sent}
    filters = {}
    for name, value in bounds.items():
        if name not in (*_CREATED_BOUNDS, "created"):
            raise errors.unknown_parameter(f"created[{name}]")
        filters[name] = Parameters({"created": value}).whole("created")
    return filters


def check_expansions(kind: str, params: Parameters, *, is_list: bool) -> list[str]:
    """The paths asked for, refused before anything is done when one cannot be."""
    paths = params.words("expand")
    for path in paths:
        steps = path.split(".")
        if is_list and steps[0] == "data":
            steps = steps[1:]
        if len(steps) > _MAXIMUM_DEPTH or not _is_expandable(kind, steps):
            message = f"This property cannot be expanded ({path})."
            raise errors.invalid(message, param="expand")
    return paths


def _is_expandable(kind: str, steps: list[str]) -> bool:
    for step in steps:
        if step == "data":  # Of a list inside the object, such as refunds.
            continue
        below = _EXPANDABLE.get(kind, {}).get(step)
        if below is None:
            return False
        kind = below
    return bool(steps)


def expand(storage: Storage, thing: Json, paths: list[str]) -> Json:
    """Replace ids by objects along each path; the thing itself is changed."""
    for path in paths:
        _expand(storage, thing, path.split("."))
    return thing


def _expand(storage: Storage, thing: Json, steps: list[str]) -> None:
    step, below = steps[0], steps[1:]
    if thing["object"] == "charge" and step == "refunds" and "refunds" not in thing:
        thing["refunds"] = _refunds_of(storage, thing)
    value: Any = thing.get(step)
    if isinstance(value, str):
        value = thing[step] = storage.get(value) or value
    children = value if isinstance(value, list) else [value]
    for child in children:
        if below and isinstance(child, dict):
            _expand(storage, child, below)


def _refunds_of(storage: Storage, charge: Json) -> Json:
    found = storage.select("refund", limit=_DEFAULT_LIMIT + 1, charge=charge["id"])
    return {
        "object": "list",
        "data": found[:_DEFAULT_LIMIT],
        "has_more": len(found) > _DEFAULT_LIMIT,
        "url": f"/v1/charges/{charge['id']}/refunds",
    }
