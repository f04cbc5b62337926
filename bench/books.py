"""A processor's books of any size, made from numbers: no page is kept.

Every payment has a number, and all that is known of it follows from that number: its
ids, its second, what was planted at it. So a million payments take no memory, and the
rows of our side (`bench.rows`) agree with them but for what was planted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import md5
from typing import NoReturn
from uuid import UUID

from domain.identifiers import reference_code
from domain.messages import (
    CancelPaymentIntent,
    ConfirmPaymentIntent,
    CreatePaymentIntent,
    PreparePaymentIntent,
)
from domain.money import Money
from domain.on_record import CheckoutOnRecord
from domain.payments import (
    ListCharges,
    ListMade,
    Page,
    PaymentIntent,
    PaymentIntentStatus,
    ProcessorCharge,
)
from domain.reconciliation import DiscrepancyKind as Kind
from domain.refunds import (
    Dispute,
    ListDisputesMade,
    ListRefundsMade,
    Refund,
    RefundPaymentIntent,
    RefundStatus,
)
from processor.port import RefusedByOurFault

PRICE = Money(amount_minor=24900, currency="usd")
GIVEN_MINOR = 100
#: What the processor says of every dispute here.
DISPUTE_STATUS = "under_review"

#: Planted in turn.
KINDS = tuple(Kind)

#: Among payments that agree: every so many have a refund, and a dispute, on both sides.
REFUND_EVERY, DISPUTE_EVERY = 200, 2_000
#: Every so many objects of the list of charges are declined: they moved no money.
DECLINED_EVERY = 50
#: Of every thousand objects, so many are made in one second: more than two pages.
_BLOCK, _RUSH = 1_000, 250
#: The others come so many a second.
_A_SECOND = 3

#: Checkouts whose buyers left, as a share of the payments; so many of them with a
#: PaymentIntent that was canceled since.
LEFT_SHARE, LEFT_WITH_INTENT = 0.01, 20

_NO_CHARGE = frozenset({Kind.ORDER_WITHOUT_CHARGE, Kind.STUCK_CHECKOUT})
_KEY_ID = "01234567"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A difference that was planted at a payment.

    Attributes:
        variant: 0 or 1: each kind comes in two shapes.
    """

    kind: Kind
    variant: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """All payments, of both sides.

    Args:
        payments: How many, differences among them.
        differences: How many are planted, at most a quarter of the payments.
        began_at: The second of the oldest object.
    """

    payments: int
    differences: int
    began_at: int
    planted: dict[int, Planted] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        stride = self.payments // self.differences
        planted = {
            # The payment before belongs to the same stride, so it agrees.
            turn * stride + 1 + turn * 7 % (stride - 2): Planted(
                kind=KINDS[turn % len(KINDS)], variant=turn // len(KINDS) % 2
            )
            for turn in range(self.differences)
        }
        object.__setattr__(self, "planted", planted)

    @property
    def left(self) -> range:
        """Numbers of the checkouts whose buyers left; no payment has them."""
        return range(
            self.payments, self.payments + max(1, int(self.payments * LEFT_SHARE))
        )

    @property
    def objects(self) -> int:
        """Objects in the list of charges, declined ones and gaps counted."""
        return self.payments + (self.payments - 1) // (DECLINED_EVERY - 1)

    def second_of(self, place: int) -> int:
        """Return when the object at a place of the list was made, oldest first."""
        block, within = divmod(place, _BLOCK)
        later = 0 if within < _RUSH else 1 + (within - _RUSH) // _A_SECOND
        return self.began_at + block * seconds_of(_BLOCK) + later

    def charged_at(self, number: int) -> datetime:
        """Return when a payment was made."""
        place = number + number // (DECLINED_EVERY - 1)
        return datetime.fromtimestamp(self.second_of(place), UTC)

    def has_charge(self, number: int) -> bool:
        """Whether the processor has a charge of this number."""
        planted = self.planted.get(number)
        return planted is None or planted.kind not in _NO_CHARGE

    def is_refunded(self, number: int) -> bool:
        """Whether the processor gave a part of it back."""
        planted = self.planted.get(number)
        if planted is not None:
            return planted.kind is Kind.REFUND_NOT_RECORDED
        return number % REFUND_EVERY == REFUND_EVERY // 2

    def is_disputed(self, number: int) -> bool:
        """Whether the buyer's bank disputes it."""
        planted = self.planted.get(number)
        if planted is not None:
            return planted.kind is Kind.DISPUTE_OPENED
        return number % DISPUTE_EVERY == DISPUTE_EVERY // 4

    def expected(self) -> set[tuple[str, str]]:
        """Return kind and subject of every difference that a run must find.

        A refund, or a dispute, that we have no row of shows twice: at its charge and in
        its own list.
        """
        found = set()
        for number, planted in self.planted.items():
            found |= {
                (planted.kind.value, subject) for subject in _subjects(number, planted)
            }
        return found


def seconds_of(objects: int) -> int:
    """Return how many seconds so many objects take, or a little more."""
    blocks = -(-objects // _BLOCK)
    return blocks * (1 + (_BLOCK - _RUSH) // _A_SECOND)


def _subjects(number: int, planted: Planted) -> set[str]:
    intent = intent_of(number)
    is_known = bool(planted.variant)
    match planted.kind:
        case Kind.REFUND_NOT_RECORDED:
            of_list = f"{refund_of(number)}:succeeded"
            return {of_list} if is_known else {of_list, f"{intent}:{GIVEN_MINOR}"}
        case Kind.DISPUTE_OPENED:
            of_list = f"{dispute_of(number)}:{DISPUTE_STATUS}"
            return {of_list} if is_known else {of_list, intent}
        case Kind.FOREIGN_CHARGE:
            return {charge_of_place(number) if planted.variant else intent}
        case Kind.ORDER_WITHOUT_ACCESS | Kind.ORDER_WITHOUT_RECEIPT:
            return {str(checkout_of(number))}
        case Kind.STUCK_CHECKOUT:
            return {f"{checkout_of(number)}:1"}
    return {intent}


def checkout_of(number: int) -> UUID:
    """Return a checkout's id: as scattered as a random one."""
    return UUID(bytes=_scattered(number, "checkout"), version=4)


def intent_of(number: int) -> str:
    """Return a PaymentIntent's id; `number_of` is the inverse."""
    return f"pi_{_scattered(number, 'intent').hex()[:12]}{number:012x}"


def number_of(payment_intent_id: str) -> int:
    """Return the number in a PaymentIntent's id."""
    return int(payment_intent_id[-12:], 16)


def refund_of(number: int) -> str:
    """Return the id of a payment's refund."""
    return f"re_{number:012x}"


def dispute_of(number: int) -> str:
    """Return the id of a payment's dispute."""
    return f"du_{number:012x}"


def charge_of_place(number: int) -> str:
    """Return the id of a payment's charge: its place in the list."""
    return _charge_id(number + number // (DECLINED_EVERY - 1))


def reference_of(number: int) -> str:
    """Return a checkout's reference code."""
    return reference_code(number.to_bytes(8, "big"))


def _charge_id(place: int) -> str:
    return f"ch_{place:012x}"


def _scattered(number: int, word: str) -> bytes:
    return md5(f"{word}{number}".encode(), usedforsecurity=False).digest()


class NumberedBooks:
    """`PaymentProcessor` and `ProcessorBooks` over `Numbers`; only reading works.

    Pages are as the real adapter's: newest first, a hundred objects at the most, the
    declined among them left out, a cursor that names the last object, a closed span.
    """

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        every = range(numbers.payments)
        self._refunded = [number for number in every if numbers.is_refunded(number)]
        self._disputed = [number for number in every if numbers.is_disputed(number)]

    async def list_charges(self, request: ListCharges) -> Page[ProcessorCharge]:
        """Return a page of the charges that moved money, with their checkouts' records.

        Raises:
            RefusedByOurFault: The cursor names no charge.
        """
        places = list(self._objects(request))
        shown = places[: request.limit]
        charges = tuple(
            self._charge(number) for number in map(_number_at, shown) if number >= 0
        )
        return Page(
            made=charges,
            next_cursor=_charge_id(shown[-1]) if len(places) > len(shown) else None,
            oldest_at=self._time(shown[-1]) if shown else None,
        )

    async def list_refunds_made(self, request: ListRefundsMade) -> Page[Refund]:
        """Return a page of refunds."""
        shown, has_more = self._listed(self._refunded, request)
        return Page(
            made=tuple(self._refund(number) for number in shown),
            next_cursor=refund_of(shown[-1]) if has_more else None,
            oldest_at=self._numbers.charged_at(shown[-1]) if shown else None,
        )

    async def list_disputes_made(self, request: ListDisputesMade) -> Page[Dispute]:
        """Return a page of disputes."""
        shown, has_more = self._listed(self._disputed, request)
        return Page(
            made=tuple(self._dispute(number) for number in shown),
            next_cursor=dispute_of(shown[-1]) if has_more else None,
            oldest_at=self._numbers.charged_at(shown[-1]) if shown else None,
        )

    async def look_up(self, payment_intent_id: str) -> PaymentIntent:
        """Return a PaymentIntent as it stands.

        Raises:
            RefusedByOurFault: There is none, for every second order without charge.
        """
        number = number_of(payment_intent_id)
        planted = self._numbers.planted.get(number)
        status = PaymentIntentStatus.SUCCEEDED
        if number >= self._numbers.payments:
            status = PaymentIntentStatus.CANCELED
        elif planted is not None and planted.kind is Kind.STUCK_CHECKOUT:
            status = PaymentIntentStatus.PROCESSING
        elif planted is not None and planted.kind is Kind.ORDER_WITHOUT_CHARGE:
            if planted.variant:
                raise RefusedByOurFault("resource_missing")
            status = PaymentIntentStatus.CANCELED
        return PaymentIntent(
            payment_intent_id=payment_intent_id, status=status, price=PRICE
        )

    def _objects(self, request: ListMade) -> Iterator[int]:
        """Yield the places of a page and one more, newest first."""
        numbers = self._numbers
        if request.starting_after is not None:
            newest = int(request.starting_after.removeprefix("ch_"), 16) - 1
            if not 0 <= newest < numbers.objects:
                raise RefusedByOurFault("resource_missing")
        else:
            newest = self._first_at(request.created_before) - 1
        yielded = 0
        for place in range(newest, self._first_at(request.created_from) - 1, -1):
            number = _number_at(place)
            if number >= 0 and not numbers.has_charge(number):
                continue
            yield place
            yielded += 1
            if yielded > request.limit:
                return

    def _first_at(self, instant: datetime) -> int:
        """Return the place of the first object made at an instant or later."""
        return bisect_left(
            range(self._numbers.objects),
            instant.timestamp(),
            key=self._numbers.second_of,
        )

    def _listed(self, of: list[int], request: ListMade) -> tuple[list[int], bool]:
        """Return the numbers on a page, newest first, and whether more follow."""
        begin = bisect_left(of, request.created_from, key=self._numbers.charged_at)
        end = bisect_left(of, request.created_before, key=self._numbers.charged_at)
        if request.starting_after is not None:
            end = bisect_left(of, int(request.starting_after[3:], 16))
        first = max(begin, end - request.limit)
        return of[first:end][::-1], first > begin

    def _time(self, place: int) -> datetime:
        return datetime.fromtimestamp(self._numbers.second_of(place), UTC)

    def _charge(self, number: int) -> ProcessorCharge:
        numbers = self._numbers
        planted = numbers.planted.get(number)
        kind = planted.kind if planted else None
        is_named = kind is not Kind.FOREIGN_CHARGE
        has_intent = is_named or not (planted and planted.variant)
        owner = number - 1 if kind is Kind.DUPLICATE_CHARGE else number
        wrong = 1 if kind is Kind.AMOUNT_MISMATCH else 0
        return ProcessorCharge(
            charge_id=charge_of_place(number),
            payment_intent_id=intent_of(number) if has_intent else None,
            amount=Money(amount_minor=PRICE.amount_minor + wrong, currency="usd"),
            refunded_minor=GIVEN_MINOR if numbers.is_refunded(number) else 0,
            is_disputed=numbers.is_disputed(number),
            charged_at=numbers.charged_at(number),
            checkout_id=checkout_of(owner) if is_named else None,
            on_record=self._record(owner) if is_named else None,
            card_brand="visa",
            card_last4="4242",
        )

    def _record(self, number: int) -> CheckoutOnRecord:
        return CheckoutOnRecord(
            checkout_id=checkout_of(number),
            reference_code=reference_of(number),
            buyer_attempt=1,
            plan_id="one-year",
            plan_name="One year",
            plan_months=12,
            price=PRICE,
            token_key_id=_KEY_ID,
            email=f"buyer{number}@example.com",
            created_at=self._numbers.charged_at(number) - timedelta(minutes=1),
        )

    def _refund(self, number: int) -> Refund:
        return Refund(
            processor_refund_id=refund_of(number),
            payment_intent_id=intent_of(number),
            amount=Money(amount_minor=GIVEN_MINOR, currency="usd"),
            status=RefundStatus.SUCCEEDED,
            created_at=self._numbers.charged_at(number),
        )

    def _dispute(self, number: int) -> Dispute:
        return Dispute(
            dispute_id=dispute_of(number),
            payment_intent_id=intent_of(number),
            amount=PRICE,
            reason="fraudulent",
            status=DISPUTE_STATUS,
            opened_at=self._numbers.charged_at(number),
        )

    async def create(
        self, request: CreatePaymentIntent, record: CheckoutOnRecord
    ) -> PaymentIntent:
        """Refuse: nothing is bought here."""
        _only_books(request, record)

    async def prepare(self, request: PreparePaymentIntent) -> PaymentIntent:
        """Refuse."""
        _only_books(request)

    async def confirm(self, request: ConfirmPaymentIntent) -> PaymentIntent:
        """Refuse."""
        _only_books(request)

    async def cancel(self, request: CancelPaymentIntent) -> PaymentIntent:
        """Refuse."""
        _only_books(request)

    async def refund(self, request: RefundPaymentIntent) -> Refund:
        """Refuse."""
        _only_books(request)

    async def list_refunds(self, payment_intent_id: str) -> list[Refund]:
        """Refuse: the comparison reads all refunds at once."""
        _only_books(payment_intent_id)

    async def list_disputes(self, payment_intent_id: str) -> list[Dispute]:
        """Refuse: the comparison reads all disputes at once."""
        _only_books(payment_intent_id)


def _only_books(*asked: object) -> NoReturn:
    raise NotImplementedError(*asked)


def _number_at(place: int) -> int:
    """Return the payment at a place; -1 for a declined one."""
    block, within = divmod(place, DECLINED_EVERY)
    return -1 if within == DECLINED_EVERY - 1 else place - block
