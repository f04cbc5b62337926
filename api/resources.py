"""What `/v1` answers with: checkouts and entitlements, as typed values and words."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Self
from uuid import UUID

from pydantic import BaseModel, Field

from api.pages import open_url, view_of
from api.parts import Parts
from database.accounts import EntitlementRow
from database.checkouts import MOST_BUYER_ATTEMPTS, CheckoutRow
from domain.addresses import AddressKeyMissing
from domain.customer_view import Page, ToDo
from domain.links import web_address
from domain.states import AccessState, EntitlementState, MoneyState

#: Hexadecimal digits of a version; two states of one checkout must not share one.
_VERSION_LENGTH = 16


class CheckoutResource(BaseModel):
    """A checkout as it stands: two typed states, and the words for the buyer."""

    checkout_id: UUID
    reference_code: str = Field(examples=["ORD-7K2M-9QXD"])
    url: str | None = Field(
        description="The buyer's page. Null if its secret left the settings."
    )
    plan: str
    amount_minor: int = Field(description="In minor units: 24900 is $249.00.")
    currency: str = Field(description="Lower-case ISO 4217.", examples=["usd"])
    money_state: MoneyState
    access_state: AccessState
    page: Page
    headline: str = Field(description="The money fact, in the buyer's words.")
    sentences: list[str] = Field(description="What to do, and what happens next.")
    what_to_do: ToDo = Field(
        description="The same as a value. `pay` and nothing else asks for money; "
        "`nothing` while we work, and when all is done."
    )
    may_pay: bool = Field(
        description="Offer to pay only while this is true: no charge is possible then."
    )
    is_settled: bool = Field(
        description="Nothing changes by waiting: only the buyer, or time, moves it on."
    )
    next_message_at: datetime | None = Field(
        description="By when we write to the buyer next; null without such a promise."
    )
    asked_at: datetime | None = Field(
        description="When we last asked the card processor, while it is not known "
        "whether the payment went through."
    )
    paused_at: datetime | None = Field(
        description="Since when no new payments are taken, while they would be offered "
        "otherwise. The buyer is written to once, when they are again."
    )
    next_action_url: str | None = Field(
        description="Where the buyer answers the bank, while `ACTION_NEEDED`."
    )
    access_url: str | None = Field(description="Where the buyer gets in, once active.")
    created_at: datetime
    charged_at: datetime | None
    access_until: datetime | None
    version: str = Field(
        description="Another one for everything that differs above.",
        examples=["9f86d081884c7d65"],
    )

    @classmethod
    def of(cls, row: CheckoutRow, parts: Parts) -> Self:
        """Describe a row."""
        view = view_of(row)
        used_up = row.buyer_attempt >= MOST_BUYER_ATTEMPTS
        resource = cls(
            checkout_id=row.checkout_id,
            reference_code=row.reference_code,
            url=_address(row, parts),
            plan=row.plan_id,
            amount_minor=row.price.amount_minor,
            currency=row.price.currency,
            money_state=row.money_state,
            access_state=row.access_state,
            page=view.page,
            headline=view.headline,
            sentences=list(view.sentences),
            what_to_do=ToDo.NOTHING if used_up and view.pay_label else view.to_do,
            may_pay=view.pay_label is not None and not used_up,
            is_settled=view.is_settled,
            next_message_at=view.next_message_at,
            asked_at=row.asked_at if view.page is Page.UNKNOWN else None,
            paused_at=row.paused_at if view.page is Page.PAUSED else None,
            next_action_url=web_address(row.next_action_url),
            access_url=open_url(row, parts.settings),
            created_at=row.created_at,
            charged_at=row.charged_at,
            access_until=row.access_until,
            version="",
        )
        digest = sha256(resource.model_dump_json().encode()).hexdigest()
        return resource.model_copy(update={"version": digest[:_VERSION_LENGTH]})


class EntitlementResource(BaseModel):
    """What one order opened."""

    order_reference: str = Field(examples=["ORD-7K2M-9QXD"])
    plan: str
    state: EntitlementState
    starts_at: datetime
    ends_at: datetime

    @classmethod
    def of(cls, row: EntitlementRow) -> Self:
        """Describe a row."""
        return cls(
            order_reference=row.reference_code,
            plan=row.plan_id,
            state=row.state,
            starts_at=row.starts_at,
            ends_at=row.ends_at,
        )


def _address(row: CheckoutRow, parts: Parts) -> str | None:
    try:
        return parts.addresses.page(row.checkout_id, row.token_key_id)
    except AddressKeyMissing:
        return None
