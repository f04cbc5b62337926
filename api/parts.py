"""What the API is made of: everything that a request may reach, chosen once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Protocol
from uuid import UUID

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request

from api.background import Background
from api.followers import Followers
from api.limits import Limits, make_limits
from api.pages import Pages
from api.records import Records
from api.staff.credentials import Passwords
from domain.addresses import PageAddresses
from domain.messages import CheckoutInput, PayRequest, RepairRequest
from domain.oncall import Finding
from domain.payments import PaymentIntent
from domain.plans import Plan
from domain.reconciliation import ReconcileInput
from domain.refunds import Refund, RefundRequest
from domain.staff import StaffSecrets
from mail.facts import Company
from settings import Settings

if TYPE_CHECKING:
    from api.staff.pages import StaffPages
    from api.support.pages import Console


class Door(Protocol):
    """The way to a checkout's workflow; `workflows.door.CheckoutDoor` is the real one.

    Each call comes back within a second. `DoorClosed` means unknown, never failed.
    """

    async def pay(self, request: PayRequest) -> None:
        """Have the requested attempt carried out; safe to repeat."""

    async def look_again(self, checkout_id: UUID) -> bool:
        """Hint that the processor has news; False when nobody listens any more."""

    async def is_running(self, checkout_id: UUID) -> bool:
        """Say whether a workflow looks after a checkout; tells it nothing."""

    async def request_repair(
        self, checkout: CheckoutInput, repair: RepairRequest
    ) -> None:
        """Have a checkout put right, its workflow running, ended or lost."""

    async def request_refund(
        self, checkout: CheckoutInput, refund: RefundRequest
    ) -> None:
        """Have a refund tended whose row is written."""

    async def reconcile(self, asked: ReconcileInput) -> None:
        """Begin a run of the reconciliation; the same `run_id` twice is one run."""

    async def is_open(self) -> bool:
        """Say whether Temporal answers."""


class Desk(Protocol):
    """The way to the on-call desk; `workflows.desk.OnCallDesk` is the real one."""

    async def report(self, findings: Sequence[Finding]) -> None:
        """Tell of what is wrong; safe to repeat. `DoorClosed` means unknown."""


class Processor(Protocol):
    """What the console asks the processor while somebody waits. It changes nothing.

    Any call may raise whatever its adapter raises; the page then says so.
    """

    async def look_up(self, payment_intent_id: str) -> PaymentIntent:
        """Return a PaymentIntent as it stands now."""

    async def list_refunds(self, payment_intent_id: str) -> list[Refund]:
        """Return every refund of a PaymentIntent, newest first."""


class Mailer(Protocol):
    """Sends the mails that the API sends itself."""

    async def send_sign_in_link(self, to: str, link: str) -> None:
        """Send a customer the link to their account.

        Raises:
            Exception: The mail server did not take it. The customer asks again.
        """

    async def send_letter(self, message: EmailMessage) -> None:
        """Hand over a letter that a person signed.

        Raises:
            mail.sender.MailRefused: A final no.
            mail.sender.MailDeferred: Hand it over again, later.
        """


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of one API process; tests put doubles in.

    Attributes:
        settings: Validated settings.
        engine: PostgreSQL, connected on first use.
        door: The way to the workflows.
        mailer: Sends sign-in links, and letters that a person signed.
        clock: The time now, aware UTC.
        desk: The way to the on-call desk; None where findings are left in their rows.
        processor: What the console asks; None where it has no way there.
    """

    settings: Settings
    engine: AsyncEngine
    door: Door
    mailer: Mailer
    clock: Callable[[], datetime]
    desk: Desk | None = None
    processor: Processor | None = None

    @cached_property
    def records(self) -> Records:
        """The database with a deadline."""
        return Records(self.engine)

    @cached_property
    def addresses(self) -> PageAddresses:
        """Makes the addresses of checkouts."""
        return PageAddresses(self.settings.public_url, self._secrets())

    @cached_property
    def plans(self) -> dict[str, Plan]:
        """What is for sale."""
        return self.settings.plan_by_id()

    @cached_property
    def pages(self) -> Pages:
        """Renders pages."""
        return Pages(self.settings)

    @cached_property
    def staff_pages(self) -> StaffPages:
        """Renders the console's pages around signing in."""
        from api.staff.pages import StaffPages

        return StaffPages(self.settings)

    @cached_property
    def console(self) -> Console:
        """Renders the console's pages about cases."""
        from api.support.pages import Console

        return Console(self.settings)

    @cached_property
    def company(self) -> Company:
        """For whom letters are signed."""
        return Company.of(self.settings)

    @cached_property
    def staff_secrets(self) -> StaffSecrets:
        """Makes the secrets of staff's codes."""
        return StaffSecrets(self._secrets())

    @cached_property
    def passwords(self) -> Passwords:
        """Digests passwords of staff."""
        return Passwords()

    def _secrets(self) -> list[str]:
        return [key.get_secret_value() for key in self.settings.secret_keys]

    @cached_property
    def limits(self) -> Limits:
        """How often a caller may do a thing."""
        return make_limits(self.settings.rate_limit_per_minute)

    @cached_property
    def followers(self) -> Followers:
        """Who follows a checkout just now."""
        return Followers()

    @cached_property
    def background(self) -> Background:
        """Work that no request waits for."""
        return Background()


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


#: How a route asks for the parts.
TheParts = Annotated[Parts, Depends(_parts)]
