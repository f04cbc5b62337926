"""Every page that a customer can see, with realistic facts and without a database.

The tests read their words, and whoever wants to look at them renders them from here:

    settings = specimen_settings()
    for specimen in SPECIMENS:
        html = specimen.render(settings)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from api import notices
from api.notices import Notice
from api.pages import Pages, checkout_page
from database.checkouts import CheckoutRow
from domain.money import Money
from domain.plans import add_months
from domain.refunds import Returned
from domain.states import (
    MONEY_TAKEN,
    AccessState,
    DeclineClass,
    MoneyState,
    NotChargedReason,
    Stage,
)
from settings import Settings

#: The moment that all specimens are looked at.
NOW = datetime(2026, 11, 23, 14, 32, tzinfo=UTC)
PATH = "/c/Vt3kq0mB8sJ5cW1xN7yR2dH9fL6pZ4aG0uE-iT_oKQw"
PRICE = Money(amount_minor=24900, currency="usd")

_REQUEST_ID = "0d7c3f5e8a914b62"


def specimen_settings(**changes: Any) -> Settings:
    """Return the settings of a shop in its sandbox; no file is read."""
    values: dict[str, Any] = {
        "environment": "development",
        "company_name": "Acme",
        "public_url": "https://shop.example",
        "secret_keys": "a-secret-of-these-tests-0123456789abcd",
        "api_keys": "key-0123456789abcdefghijklmnopqrstuv",
        "database_url": "postgresql+psycopg://nobody@127.0.0.1:1/none",
        "stripe_api_key": "sk_test_0123456789",
        "stripe_publishable_key": None,
        "stripe_webhook_secrets": "whsec_webhook-secret-of-these-tests",
        "provisioning_url": "http://127.0.0.1:1/entitlements",
        "provisioning_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "application_url": "https://app.example/start",
    }
    return Settings(_env_file=None, **values | changes)  # type: ignore[call-arg]


def make_row(
    money: MoneyState = MoneyState.NOT_CHARGED,
    access: AccessState = AccessState.NONE,
    *,
    age: timedelta = timedelta(),
    reason: NotChargedReason | None = None,
    decline: DeclineClass | None = None,
    **changes: Any,
) -> CheckoutRow:
    """Return a row as the database would, also in pairs that it refuses.

    Args:
        money: What happened to the money.
        access: What happened to the access.
        age: How long ago Pay was pressed, and a charge made.
        reason: Why the last attempt ended without a charge.
        decline: How it was declined.
        changes: Anything else that shall differ.
    """
    asked = reason is not None or money is not MoneyState.NOT_CHARGED
    charged = money in MONEY_TAKEN
    in_flight = asked and not charged and money is not MoneyState.NOT_CHARGED
    stage = Stage.CHARGED if charged else Stage.CHARGING if in_flight else Stage.OPEN
    row = CheckoutRow(
        checkout_id=UUID("0c5d1c43-5c43-4b5e-8f0d-6f3f9a1d2c11"),
        reference_code="ORD-7K2M-9QXD",
        token_key_id="00000000",
        email="mara@example.com",
        plan_id="one-year",
        plan_name="Acme one-year plan",
        price=PRICE,
        stage=stage,
        money_state=money,
        access_state=access,
        buyer_attempt=1 if asked else 0,
        pay_requested_at=NOW - age if asked else None,
        payment_intent_id="pi_1" if charged else None,
        next_action_url="https://bank.example/ask",
        not_charged_reason=reason,
        decline_class=decline,
        charged_at=NOW - age if charged else None,
        card_brand="visa" if charged else None,
        card_last4="4242" if charged else None,
        interrupted_at=None,
        attention_at=None,
        next_message_at=None,
        created_at=NOW - age,
        now=NOW,
        order_id=None,
        access_url=None,
        access_granted_at=NOW - age if access is AccessState.ACTIVE else None,
        access_until=add_months(NOW - age, 12) if charged else None,
    )
    return replace(row, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """One page as somebody may see it.

    Attributes:
        name: A file's name without its ending; says which moment it is.
        row: The checkout; None for a page that is no checkout's.
        again: The reader came to pay what is paid.
        notice: The notice; None for a checkout's page.
        is_shop: The plan's page.
        problem: What is wrong with the typed e-mail address, on the plan's page.
        read_at: When; support need not be there.
    """

    name: str
    row: CheckoutRow | None = None
    again: bool = False
    notice: Notice | None = None
    is_shop: bool = False
    problem: str = ""
    read_at: datetime = NOW

    def render(self, settings: Settings) -> str:
        """Return the page as the shop would send it."""
        pages = Pages(settings, clock=lambda: self.read_at)
        if self.row is not None:
            plans = settings.plan_by_id()
            page = checkout_page(self.row, settings, plans, again=self.again)
            response = pages.checkout(page, self.row, PATH)
        elif self.notice is not None:
            is_fault = self.notice.status >= 500
            response = pages.notice(
                self.notice, request_id=_REQUEST_ID if is_fault else ""
            )
        else:
            plan = next(iter(settings.plan_by_id().values()))
            email = "mara@example" if self.problem else ""
            response = pages.shop(plan, NOW, email=email, problem=self.problem)
        return bytes(response.body).decode()


def _ago(**amount: float) -> timedelta:
    return timedelta(**amount)


def _declined(decline: DeclineClass) -> CheckoutRow:
    return make_row(
        reason=NotChargedReason.DECLINED, decline=decline, age=_ago(seconds=4)
    )


#: Within the half hour.
_SOON = NOW + timedelta(minutes=18)


def _checkouts() -> dict[str, CheckoutRow]:
    """Return a row for every moment of a checkout's life."""
    return {**_before_the_charge(), **_after_the_charge()}


def _before_the_charge() -> dict[str, CheckoutRow]:
    unknown = MoneyState.UNKNOWN
    declines = {f"declined-{d.replace('_', '-')}": _declined(d) for d in DeclineClass}
    others = [r for r in NotChargedReason if r is not NotChargedReason.DECLINED]
    not_charged = {
        f"not-charged-{reason.replace('_', '-')}": make_row(
            reason=reason,
            age=_ago(minutes=31),
            proven_at=NOW - timedelta(minutes=1),
        )
        for reason in others
    }
    return {
        "checkout": make_row(),
        "paused": make_row(paused_at=NOW - timedelta(hours=12, minutes=22)),
        **declines,
        **not_charged,
        "tries-used-up": replace(_declined(DeclineClass.GENERIC), buyer_attempt=10),
        "confirming": make_row(unknown, age=_ago(seconds=1)),
        "confirming-longer": make_row(
            unknown, age=_ago(seconds=12), next_message_at=NOW + timedelta(minutes=5)
        ),
        "unknown": make_row(
            unknown,
            age=_ago(minutes=3),
            asked_at=NOW - timedelta(minutes=1),
            next_message_at=_SOON,
        ),
        "unknown-next-day": make_row(
            unknown,
            age=_ago(hours=13),
            asked_at=NOW - timedelta(minutes=41),
            next_message_at=NOW + timedelta(hours=10),
        ),
        "unknown-longer": make_row(
            unknown,
            age=_ago(hours=20, minutes=40),
            asked_at=NOW - timedelta(minutes=41),
            next_message_at=_SOON,
        ),
        "bank-check": make_row(MoneyState.ACTION_NEEDED, age=_ago(minutes=2)),
    }


def _after_the_charge() -> dict[str, CheckoutRow]:
    charged, active = MoneyState.CHARGED, AccessState.ACTIVE
    pending, ended = AccessState.PENDING, AccessState.ENDED
    back = Returned(
        amount=PRICE,
        at=NOW - timedelta(minutes=3),
        reference="24011346328000012345678",
    )
    part = replace(back, amount=Money(amount_minor=5000, currency="usd"))
    return {
        "received": make_row(charged, pending, age=_ago(seconds=2)),
        "received-late": make_row(
            charged, pending, age=_ago(minutes=4), next_message_at=_SOON
        ),
        "success": make_row(charged, active, age=_ago(seconds=3)),
        "success-late": make_row(
            charged, active, age=_ago(minutes=40), access_granted_at=NOW
        ),
        "success-after-duplicate": make_row(
            charged, active, age=_ago(minutes=9), second_returned=back
        ),
        "success-after-partial-refund": make_row(
            charged, active, age=_ago(days=12), returned=part
        ),
        "charged-twice": make_row(
            MoneyState.DUPLICATE, active, age=_ago(minutes=2), next_message_at=_SOON
        ),
        "charged-twice-returned": make_row(
            MoneyState.DUPLICATE, active, age=_ago(minutes=9), second_returned=back
        ),
        "charged-twice-after-the-plan": make_row(
            MoneyState.DUPLICATE, ended, age=_ago(days=366), second_returned=back
        ),
        "refunding": make_row(MoneyState.REFUNDING, ended, age=_ago(days=3)),
        "refunded": make_row(
            MoneyState.REFUNDED, ended, age=_ago(days=3), returned=back
        ),
        "ended": make_row(charged, ended, age=_ago(days=366)),
    }


def _notices() -> dict[str, Notice]:
    return {
        "holding": notices.holding(PATH),
        "holding-without-address": notices.holding(None),
        "fault-at-a-checkout": notices.fault(PATH, PATH),
        "fault-elsewhere": notices.fault("/account", None),
        "not-started": notices.NOT_STARTED,
        "no-checkout": notices.NO_CHECKOUT,
        "not-found": notices.NOT_FOUND,
        "wrong-method": notices.WRONG_METHOD,
        "too-large": notices.TOO_LARGE,
        "form-refused": notices.refused_form(PATH),
        "foreign-form": notices.FOREIGN_FORM,
        "link-unusable": notices.LINK_UNUSABLE,
        "orders-hidden": notices.ORDERS_HIDDEN,
        "too-often": notices.too_often(5, PATH),
    }


def _all() -> tuple[Specimen, ...]:
    rows = _checkouts()
    return (
        Specimen(name="shop", is_shop=True),
        Specimen(
            name="shop-problem",
            is_shop=True,
            problem="The part after the @-sign should have a period, "
            "as in example.com.",
        ),
        *(Specimen(name=name, row=row) for name, row in rows.items()),
        Specimen(
            name="received-late-at-night",
            row=rows["received-late"],
            read_at=NOW + timedelta(hours=9),
        ),
        *(
            Specimen(name=f"already-paid-{name}", row=rows[name], again=True)
            for name in ("success", "received", "ended", "success-after-duplicate")
        ),
        *(Specimen(name=name, notice=notice) for name, notice in _notices().items()),
    )


#: Every page, in the order of a purchase; names are unique.
SPECIMENS = _all()
