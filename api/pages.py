"""Rendering: facts in, HTML out. The words about money come from `customer_view`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from api.notices import Notice
from api.sandbox_methods import SANDBOX_METHODS
from api.static_files import address_of
from database.checkouts import MOST_BUYER_ATTEMPTS, CheckoutRow
from domain.cadence import LATE_AFTER
from domain.customer_view import CustomerFacts, CustomerView, Page, customer_view
from domain.links import web_address
from domain.plans import Plan, add_months
from domain.states import AccessState, MoneyState
from domain.words import (
    at_in_words,
    card_in_words,
    day_in_words,
    masked,
    moment_in_words,
)
from settings import Settings

_TEMPLATES = Path(__file__).parent / "templates"

#: The pages on which the moment of the press is of interest: its outcome is open.
_OPEN_ENDED = {Page.CONFIRMING, Page.UNKNOWN, Page.BANK_CHECK}

#: What Stripe.js needs beyond our own policy, on the pay page alone.
#: https://docs.stripe.com/security/guide#content-security-policy
_STRIPE_POLICY = (
    "default-src 'none'; script-src 'self' https://js.stripe.com; style-src 'self'; "
    "img-src 'self' data: https://*.stripe.com; "
    "connect-src 'self' https://api.stripe.com; "
    "frame-src https://js.stripe.com https://hooks.stripe.com; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
)


def _machine_time() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What is for sale, as a page writes it."""

    plan_id: str
    name: str
    price: str
    months: str
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutPage:
    """Everything that a checkout's page shows, and so all that a change can be in.

    Attributes:
        view: The words.
        offer: What would be bought; only while it can be.
        email: Masked: whoever holds the address need not be the buyer.
        may_pay: Show the pay form.
        is_used_up: Paying would be offered, but the tries are used up.
        may_buy_another: Offer one more of the same to who has just paid it.
        again: The reader came to pay what is paid; part of the page's address.
        pressed_at: When Pay was pressed; only while its outcome is open.
        open_url: Where the application is entered, once access is open.
        bank_url: Where the bank's question is answered, while it waits.
    """

    view: CustomerView
    offer: Offer | None
    reference_code: str
    plan_name: str
    price: str
    email: str
    card: str | None
    charged_at: str | None
    access_until: str | None
    may_pay: bool
    is_used_up: bool
    may_buy_another: bool
    again: bool
    pressed_at: str | None
    open_url: str | None
    bank_url: str | None

    @property
    def version(self) -> str:
        """Changes when anything on the page does."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """One purchase on the account page."""

    headline: str
    reference_code: str
    plan_name: str
    price: str
    charged_at: str | None
    access_until: str | None
    open_url: str | None


class Pages:
    """The templates with what all of them need.

    Args:
        settings: Names, addresses and keys that pages show.
        clock: Tells whether somebody is in support just now.
    """

    def __init__(
        self, settings: Settings, clock: Callable[[], datetime] = _machine_time
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._templates = load_templates(settings)

    def shop(
        self,
        plan: Plan,
        now: datetime,
        *,
        email: str = "",
        problem: str = "",
        paused_at: datetime | None = None,
    ) -> HTMLResponse:
        """Show what is for sale; with a problem, what is wrong with the e-mail.

        In a pause the form stays: whoever leaves an address is written to at its end.
        """
        return self._render(
            "shop.html",
            422 if problem else 200,
            offer=offer(plan, now),
            descriptor=self._settings.statement_descriptor,
            email=email,
            problem=problem,
            paused=paused_at and at_in_words(paused_at, now=now),
        )

    def checkout(
        self,
        page: CheckoutPage,
        row: CheckoutRow,
        path: str,
        *,
        status: int = 200,
        request_id: str = "",
    ) -> HTMLResponse:
        """Show a checkout as it stands; after a fault with the number to quote."""
        key = self._settings.stripe_publishable_key
        response = self._render(
            "checkout.html",
            status,
            page=page,
            path=path,
            stripe_key=key,
            row=row,
            read_at=moment_in_words(row.now),
            request_id=request_id,
            sandbox_methods=SANDBOX_METHODS,
            public_url=self._settings.public_url,
            descriptor=self._settings.statement_descriptor,
        )
        if key and page.may_pay:
            response.headers["content-security-policy"] = _STRIPE_POLICY
        return response

    def notice(self, notice: Notice, *, request_id: str = "") -> HTMLResponse:
        """Show a notice."""
        response = self._render(
            "notice.html", notice.status, notice=notice, request_id=request_id
        )
        if notice.retry_after_seconds is not None:
            response.headers["retry-after"] = str(notice.retry_after_seconds)
        return response

    def sign_in(
        self, *, email: str = "", problem: str = "", status: int = 200
    ) -> HTMLResponse:
        """Ask for the address that a link shall go to; what was typed stays there."""
        return self._render("sign_in.html", status, email=email, problem=problem)

    def link_asked(self) -> HTMLResponse:
        """Say the same to everybody, customer or not."""
        return self._render("link_asked.html", 200)

    def sign_in_button(self, path: str) -> HTMLResponse:
        """Offer the button that uses a link; mail scanners only look at links."""
        return self._render("sign_in_button.html", 200, path=path)

    def orders(self, email: str, orders: list[OrderLine]) -> HTMLResponse:
        """Show what a customer bought."""
        return self._render("orders.html", 200, email=email, orders=orders)

    def _render(self, template: str, status: int, **facts: Any) -> HTMLResponse:
        text = self._templates.get_template(template).render(
            **facts, support_back=self._support_back()
        )
        return HTMLResponse(text, status)

    def _support_back(self) -> str | None:
        """Write when support is back; None while it is there."""
        return self._settings.support_times.back_in_words(self._clock())


def load_templates(settings: Settings) -> Environment:
    """Return the templates with what all of them need."""
    templates = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        # Everything a person typed is text, whatever the file is called.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.filters["sentences"] = _sentences
    templates.globals.update(
        company=settings.company_name,
        support_email=settings.support_email,
        support_hours=settings.support_hours,
        static=address_of,
    )
    return templates


def checkout_page(
    row: CheckoutRow,
    settings: Settings,
    plans: dict[str, Plan],
    *,
    again: bool = False,
) -> CheckoutPage:
    """Turn a row into everything its page says.

    Args:
        row: What is known.
        settings: Where the application is entered.
        plans: What is for sale now.
        again: The reader came to pay what is paid.
    """
    view = view_of(row, again=again)
    plan = plans.get(row.plan_id)
    is_used_up = view.pay_label is not None and row.buyer_attempt >= MOST_BUYER_ATTEMPTS
    may_pay = view.pay_label is not None and not is_used_up
    return CheckoutPage(
        view=view,
        offer=offer(plan, row.now) if plan and may_pay else None,
        reference_code=row.reference_code,
        plan_name=row.plan_name,
        price=str(row.price),
        email=masked(row.email),
        card=card_in_words(row.card_brand, row.card_last4),
        charged_at=_moment(row.charged_at),
        access_until=_access_until(row),
        may_pay=may_pay,
        is_used_up=is_used_up,
        may_buy_another=view.page is Page.ALREADY_PAID and plan is not None,
        again=again,
        pressed_at=_moment(row.pay_requested_at) if view.page in _OPEN_ENDED else None,
        open_url=open_url(row, settings),
        bank_url=web_address(row.next_action_url) if view.bank_check else None,
    )


def view_of(row: CheckoutRow, *, again: bool = False) -> CustomerView:
    """Say what is true for a row."""
    return customer_view(
        CustomerFacts(
            money=row.money_state,
            access=row.access_state,
            price=row.price,
            plan_name=row.plan_name,
            now=row.now,
            pay_requested_at=row.pay_requested_at,
            bank_answered_at=row.bank_answered_at,
            reason=row.not_charged_reason,
            decline=row.decline_class,
            charged_at=row.charged_at,
            access_until=row.access_until,
            was_late=_was_late(row),
            proven_at=row.proven_at,
            asked_at=row.asked_at,
            next_message_at=row.next_message_at,
            paused_at=row.paused_at,
            returned=row.returned,
            second_returned=row.second_returned,
            email_masked=masked(row.email),
            asked_again=again,
        )
    )


def _access_until(row: CheckoutRow) -> str | None:
    """Write when the access ends; one that went with its money has no such day."""
    is_over = row.access_state is AccessState.ENDED
    is_returned = is_over and row.money_state is not MoneyState.CHARGED
    return None if is_returned else _day(row.access_until)


def _was_late(row: CheckoutRow) -> bool | None:
    if row.charged_at is None or row.access_granted_at is None:
        return None
    return row.access_granted_at - row.charged_at > LATE_AFTER


def order_line(row: CheckoutRow, settings: Settings) -> OrderLine:
    """Turn a row into a line of the account page."""
    return OrderLine(
        headline=view_of(row).title,
        reference_code=row.reference_code,
        plan_name=row.plan_name,
        price=str(row.price),
        charged_at=_moment(row.charged_at),
        access_until=_access_until(row),
        open_url=open_url(row, settings),
    )


def offer(plan: Plan, now: datetime) -> Offer:
    """Write out a plan that would be bought now."""
    return Offer(
        plan_id=plan.plan_id,
        name=plan.name,
        price=str(plan.price),
        months="1 month" if plan.months == 1 else f"{plan.months} months",
        until=day_in_words(add_months(now, plan.months)),
    )


def open_url(row: CheckoutRow, settings: Settings) -> str | None:
    """Return where the application is entered; None until access is open."""
    if row.access_state is not AccessState.ACTIVE:
        return None
    return web_address(row.access_url) or settings.application_url


def _sentences(words: str) -> list[str]:
    return re.split(r"(?<=[.?]) (?=[A-Z])", words)


def _moment(at: datetime | None) -> str | None:
    return None if at is None else moment_in_words(at)


def _day(at: datetime | None) -> str | None:
    return None if at is None else day_in_words(at)
