"""Stripe's endpoints that this processor has."""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.processor import disputes, errors, intents, methods, objects, refunds
from sandbox.processor.errors import Json
from sandbox.processor.lists import lister
from sandbox.processor.work import Call

Handler = Callable[[Call], Json]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint.

    Attributes:
        handler: What it does.
        kind: The kind of object it answers with, or lists.
        is_list: True when it lists.
    """

    handler: Handler
    kind: str
    is_list: bool = False


def _retriever(kind: str, noun: str, param: str) -> Handler:
    def handler(call: Call) -> Json:
        call.params.allow({"expand"})
        found = call.world.storage.get(call.path_id, kind)
        if found is None:
            raise errors.no_such(noun, call.path_id, param=param, in_path=True)
        call.intent_id = found.get("payment_intent")
        return found

    return handler


def _create_customer(call: Call) -> Json:
    names = ("description", "email", "name", "phone")
    call.params.allow({*names, "expand", "metadata"})
    fields = {name: call.params.text(name) for name in names}
    customer = objects.customer(call, **fields, metadata=call.params.metadata())
    call.save(customer)
    call.emit("customer.created", customer)
    return customer


def _listing(kind: str, resource: str, *filters: str) -> Route:
    return Route(lister(kind, f"/v1/{resource}", filters), kind, is_list=True)


_INTENT = "payment_intent"
_ROUTES: dict[tuple[str, str], Route] = {
    ("POST", "payment_intents"): Route(intents.create, _INTENT),
    ("GET", "payment_intents"): _listing(_INTENT, "payment_intents", "customer"),
    ("GET", "payment_intents/*"): Route(intents.retrieve, _INTENT),
    ("POST", "payment_intents/*"): Route(intents.update, _INTENT),
    ("POST", "payment_intents/*/confirm"): Route(intents.confirm, _INTENT),
    ("POST", "payment_intents/*/cancel"): Route(intents.cancel, _INTENT),
    ("GET", "charges"): _listing("charge", "charges", "customer", "payment_intent"),
    ("GET", "charges/*"): Route(_retriever("charge", "charge", "charge"), "charge"),
    ("POST", "refunds"): Route(refunds.create, "refund"),
    ("GET", "refunds"): _listing("refund", "refunds", "charge", "payment_intent"),
    ("GET", "refunds/*"): Route(refunds.retrieve, "refund"),
    ("POST", "refunds/*"): Route(refunds.update, "refund"),
    ("GET", "disputes"): _listing("dispute", "disputes", "charge", "payment_intent"),
    ("GET", "disputes/*"): Route(disputes.retrieve, "dispute"),
    ("GET", "events"): _listing("event", "events", "type"),
    ("GET", "events/*"): Route(_retriever("event", "event", "id"), "event"),
    ("POST", "customers"): Route(_create_customer, "customer"),
    ("GET", "customers/*"): Route(_retriever("customer", "customer", "id"), "customer"),
    ("GET", "payment_methods/*"): Route(methods.retrieve, "payment_method"),
    ("GET", "confirmation_tokens/*"): Route(
        methods.retrieve_token, "confirmation_token"
    ),
    ("POST", "test_helpers/confirmation_tokens"): Route(
        methods.create_token, "confirmation_token"
    ),
}


def find(method: str, path: str) -> tuple[Route, str]:
    """The endpoint for a request and the id in its path, or Stripe's 404."""
    resource = path.removeprefix("/v1/").rstrip("/")
    route = _ROUTES.get((method, resource))
    if route is not None:
        return route, ""
    name, _, rest = resource.partition("/")
    identifier, slash, verb = rest.partition("/")
    route = _ROUTES.get((method, f"{name}/*{slash}{verb}"))
    if route is None:
        raise errors.unrecognized_url(method, path)
    return route, identifier
