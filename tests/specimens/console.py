"""Every page of the console, with realistic facts and without a database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from api.staff.guard import Staff
from api.staff.pages import Enrolment, StaffPages
from api.staff.refusals import CodeNeeded
from api.staff.sign_in import REFUSED
from api.support.asking import Shown
from api.support.choices import Option
from api.support.holding import hold_options
from api.support.pages import (
    LANES,
    Alike,
    BatchPage,
    Console,
    Group,
    PaymentPage,
    ReconciliationPage,
    RunLine,
    Tab,
)
from api.support.reply_page import reply_page
from api.support.said import WORDS, Said
from api.support.views import (
    case_page,
    orphan_page,
    payment_url,
    processor_facts,
    queue_line,
)
from api.support.writing import Composed, Known, Typed
from database.audit import Among, AuditPage, Outcome, RecordedAction, StaffAction
from database.changes import Change
from database.console import Asked, CaseRow, Line, Promised, Record, Returned
from database.customer_messages import CustomerMessage
from domain.case_view import ToldMail
from domain.changes import ChangeKind
from domain.emails import EmailKind
from domain.money import Money
from domain.payments import PaymentIntent, PaymentIntentStatus
from domain.replies import Blocked, Situation, Verified, prepare, suggest
from domain.staff import Role, enrolment_uri
from domain.states import (
    AccessState,
    CaseState,
    EmailState,
    MoneyState,
    RefundState,
)
from domain.triage import Lane, Standing
from mail.replies import Remark
from mail.replies.writing import letter_of
from settings import Settings
from tests.specimens.pages import NOW, PRICE, make_row
from tests.specimens.replies import NEXT, WAITING, reply_to, with_purchase

DANA = Staff(
    staff_id=UUID(int=1),
    name="dana",
    display_name="Dana",
    role=Role.OWNER,
    session_hash=bytes(32),
    form_token="F" * 43,
    is_fresh=True,
    request_id="0d7c3f5e8a914b62",
)
READER = replace(DANA, role=Role.READ, name="rita", display_name="Rita")

CASE_ID = UUID("3f1c5a1e-52c9-5d1f-9c65-6f1f0a5c2d11")
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def _ago(**amount: float) -> datetime:
    return NOW - timedelta(**amount)


def standing(**changes: Any) -> Standing:
    """Where a paid customer without access stands."""
    values: dict[str, Any] = {
        "cause": "ApplicationAway",
        "step": "open access in the application",
        "state": CaseState.OPEN,
        "money": MoneyState.CHARGED,
        "access": AccessState.PENDING,
        "amount": PRICE,
        "since": _ago(minutes=12),
        "now": NOW,
        "promise_due_at": NOW + timedelta(minutes=48),
    }
    return Standing(**values | changes)


def case_row(email: str = "mara@example.com", **changes: Any) -> CaseRow:
    """A case as the database would tell of it."""
    owner = changes.pop("owner", None)
    reason = changes.pop("hold_reason", None)
    return CaseRow(
        case_id=CASE_ID,
        checkout_id=UUID("0c5d1c43-5c43-4b5e-8f0d-6f3f9a1d2c11"),
        payment_intent_id=None,
        reference_code="ORD-7K2M-9QXD",
        email=email,
        detail="open access in the application: ApplicationAway (no answer)",
        owner=owner,
        resolved_at=None,
        hold_reason=reason,
        standing=standing(**changes),
    )


def _orphan() -> CaseRow:
    return replace(
        case_row(
            money=None,
            access=None,
            amount=None,
            cause="ChargeWithoutCheckout",
            promise_due_at=None,
            since=_ago(hours=3),
        ),
        checkout_id=None,
        payment_intent_id="pi_3QxA7m2eZvKYlo2C0Y2mFz1b",
        reference_code=None,
        email=None,
        detail="The processor tells of a charge that is not in our records.",
    )


def cases() -> list[CaseRow]:
    """A bad morning, in the order of harm."""
    twice = {"money": MoneyState.DUPLICATE, "access": AccessState.ACTIVE}
    unknown = {"money": MoneyState.UNKNOWN, "access": AccessState.NONE}
    opened = {"access": AccessState.ACTIVE}
    late = NOW - timedelta(minutes=4)
    return [
        case_row("tom@example.com", cause="DuplicateCharge", owner="dana", **twice),
        case_row(
            "ines.aguiar@a-rather-long-company-name.example",
            cause="OutcomeStillUnknown",
            since=_ago(hours=2),
            promise_due_at=late,
            **unknown,
        ),
        case_row(),
        _orphan(),
        case_row(
            "kim@example.com",
            cause="CustomerWrote",
            owner="eli",
            promise_due_at=None,
            **opened,
        ),
        case_row(
            "ola@example.com",
            cause="RefundFailed",
            since=_ago(days=3),
            promise_due_at=None,
            **opened,
        ),
        case_row(
            "sam@example.com", cause="SomethingNew", promise_due_at=None, **opened
        ),
    ]


def _lines() -> tuple[Line, ...]:
    moves: tuple[tuple[float, dict[str, Any], dict[str, Any]], ...] = (
        (31, {}, {"stage": "open", "money": "NOT_CHARGED", "access": "NONE"}),
        (
            30,
            {"stage": "open", "money": "NOT_CHARGED"},
            {"stage": "requested", "money": "UNKNOWN", "attempt": 1},
        ),
        (
            29.9,
            {"stage": "requested", "money": "UNKNOWN"},
            {"stage": "charging", "money": "UNKNOWN"},
        ),
        (
            29.8,
            {"stage": "charging", "money": "UNKNOWN", "access": "NONE"},
            {
                "stage": "charged",
                "money": "CHARGED",
                "access": "PENDING",
                "payment_intent": "pi_3QxA7m2eZvKYlo2C0Y2mFz1b",
            },
        ),
    )
    return (
        *(
            Line(
                at=_ago(minutes=minutes),
                kind="moved",
                facts={
                    "actor": "holdfast-worker"
                    if after.get("attempt") != 1
                    else "holdfast-api",
                    "action": "checkout.moved" if before else "checkout.opened",
                    "before": before,
                    "after": after,
                },
            )
            for minutes, before, after in moves
        ),
        Line(
            at=_ago(minutes=29.7),
            kind="event",
            facts={
                "event": "payment_intent.succeeded",
                "event_id": "evt_1QxA7m2eZvKYlo2C",
            },
        ),
        Line(
            at=_ago(minutes=9),
            kind="note",
            facts={
                "author": "eli",
                "text": "Mara called. She is calm, and needs access before 16:00.",
            },
        ),
    )


MAIL = ToldMail(kind=EmailKind.RECEIVED, state=EmailState.SENT, at=_ago(minutes=27))


def record(**changes: Any) -> Record:
    """What happened around a checkout that waits for its access."""
    values: dict[str, Any] = {
        "mails": (
            MAIL,
            ToldMail(
                kind=EmailKind.RECEIPT, state=EmailState.PENDING, at=_ago(minutes=29)
            ),
        ),
        "promised": (
            Promised(due_at=NOW + timedelta(minutes=33), by_person=False, kept_at=None),
        ),
        "repairs": (),
        "returned": (),
        "payments": ("pi_3QxA7m2eZvKYlo2C0Y2mFz1b",),
        "lines": _lines(),
    }
    return Record(**values | changes)


def shown(**changes: Any) -> Shown:
    """What the processor says of a payment that was taken."""
    values: dict[str, Any] = {
        "payment_intent_id": "pi_3QxA7m2eZvKYlo2C0Y2mFz1b",
        "status": PaymentIntentStatus.SUCCEEDED,
        "price": PRICE,
        "charged_at": _ago(minutes=30),
        "card_brand": "visa",
        "card_last4": "4242",
    }
    return Shown(intent=PaymentIntent(**values | changes))


def _asked(**changes: Any) -> Asked:
    values: dict[str, Any] = {
        "repair_id": UUID(int=7),
        "actor": "dana",
        "reason": "asked for in the console",
        "requested_at": _ago(seconds=4),
        "finished_at": None,
        "outcome": None,
    }
    return Asked(**values | changes)


def _returned(state: RefundState) -> Returned:
    return Returned(
        refund_id=UUID(int=9),
        amount=Money(amount_minor=5000, currency="usd"),
        state=state,
        actor="dana",
        reason="a month lost",
        requested_at=_ago(minutes=2),
        not_before=NOW + timedelta(minutes=8),
        reference=None,
    )


def pages(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield every page by the name of its moment."""
    yield from _signing_in(settings)
    yield from _lists(settings)
    yield from _cases(settings)
    yield from _replies(settings)


def _replies(settings: Settings) -> Iterator[tuple[str, str]]:
    console, words = Console(settings), "I paid and I see nothing.\n\nMara"
    ready = reply_to(
        Situation.WENT_THROUGH, with_purchase(WAITING, next_message_at=NEXT)
    )
    facts = ready.facts
    blocked = prepare(Situation.MONEY_BACK, facts)
    assert isinstance(blocked, Blocked)
    known = Known(
        checkout_id=UUID(int=7),
        facts=facts,
        case_id=None,
        messages=(
            CustomerMessage(message_id=UUID(int=8), written_at=facts.now, text=words),
        ),
        replies=(),
        thread=(),
    )

    def show(**changes: Any) -> str:
        values: dict[str, Any] = {
            "known": known,
            "request": ready,
            "suggested": suggest(facts),
            "blocked": None,
            "remarks": (),
            "letter": letter_of(ready),
        }
        composed = Composed(**values | changes)
        page = reply_page(composed, Typed(), settings.support_times)
        return _html(console.reply(DANA, page))

    yield "reply", show()
    remark = Remark(rule="banned", words="“Oops”: say what happened.")
    yield "reply-remarks", show(remarks=(remark,))
    request = replace(ready, situation=Situation.MONEY_BACK)
    yield "reply-blocked", show(request=request, blocked=blocked, letter=None)
    invoice = replace(ready, situation=Situation.INVOICE)
    asked = prepare(Situation.INVOICE, facts)
    assert isinstance(asked, Blocked)
    yield "reply-invoice", show(request=invoice, blocked=asked, letter=None)


def _signing_in(settings: Settings) -> Iterator[tuple[str, str]]:
    doors = StaffPages(settings)
    enrolment = Enrolment(
        name="dana",
        display_name="Dana",
        uri=enrolment_uri("dana", "Acme", SECRET),
        secret=SECRET,
    )
    form = DANA.form_token
    refund = {"form_token": form, "amount": "249.00", "reason": "asked for it"}
    yield "sign-in", _html(doors.sign_in(form))
    yield (
        "sign-in-refused",
        _html(doors.sign_in(form, name="dana", case_id=str(CASE_ID), problem=REFUSED)),
    )
    yield "set-up", _html(doors.set_up(form, "/support/setup/x", enrolment))
    yield (
        "set-up-problem",
        _html(
            doors.set_up(
                form, "/support/setup/x", enrolment, problem="That code is not right."
            )
        ),
    )
    yield "code", _html(doors.code("/support/checkouts/x/refund", CodeNeeded(refund)))


def _lists(settings: Settings) -> Iterator[tuple[str, str]]:
    console = Console(settings)
    lines = [queue_line(row) for row in cases()]
    counts = {Lane.NEEDS_YOU: 7, Lane.HELD: 1, Lane.HEALING: 3, Lane.DONE: 12}

    def tabs(here: Lane, numbers: dict[Lane, int]) -> list[Tab]:
        return [
            Tab(lane=lane, name=name, count=numbers.get(lane, 0), is_here=lane is here)
            for lane, (name, _) in LANES.items()
        ]

    groups = [
        Group(name="Yours", lines=lines[:1]),
        Group(name="Free", lines=[*lines[1:4], *lines[5:]]),
        Group(name="With others", lines=lines[4:5]),
    ]
    empty = LANES[Lane.NEEDS_YOU][1]
    yield "queue", _html(console.queue(DANA, tabs(Lane.NEEDS_YOU, counts), groups, ""))
    yield (
        "queue-paused",
        _html(
            console.queue(
                READER,
                tabs(Lane.NEEDS_YOU, counts),
                groups,
                "",
                alike=[
                    Alike(
                        cause="ApplicationAway",
                        words="the application does not answer, so access stays closed",
                        count=37,
                    )
                ],
                paused="paused since 14:20 UTC by eli: the application is down",
            )
        ),
    )
    yield from _batches(console, lines)
    yield from _reconciliations(console)
    yield (
        "queue-empty",
        _html(console.queue(DANA, tabs(Lane.NEEDS_YOU, {}), [], empty)),
    )
    held = queue_line(
        case_row(
            held_until=NOW + timedelta(hours=18),
            held_at=NOW,
            hold_reason="the bank answers tomorrow",
            owner="dana",
        )
    )
    yield (
        "queue-held",
        _html(
            console.queue(
                DANA, tabs(Lane.HELD, counts), [Group(name="", lines=[held])], ""
            )
        ),
    )
    yield from _searches(console, lines)
    yield "audit", _html(console.audit(DANA, _audit_page()))
    yield (
        "not-done",
        _html(
            console.problem(
                DANA, "$300.00 is more than what is left. Nothing was sent.", "/support"
            )
        ),
    )


def _reconciliations(console: Console) -> Iterator[tuple[str, str]]:
    quiet = RunLine(
        began="14:30 UTC",
        told="212 compared, nothing differs",
        who="by the schedule",
        found=(),
    )
    found = replace(
        quiet,
        began="14:25 UTC",
        told="219 compared, 13 differ, 12 repairs asked for, 1 case opened",
        found=(
            "12 × charged at the processor, and no order here",
            "1 × a charge that names no checkout of ours",
        ),
    )
    deep = replace(quiet, began="02:10 UTC", who="four months back, by the schedule")
    page = ReconciliationPage(
        compared_until="14:30 UTC",
        age="2 min",
        is_late=False,
        held="",
        mail_held=0,
        samples=(),
        warnings=(),
        runs=(quiet, found, deep),
    )
    yield "reconciliation", _html(console.reconciliation(DANA, page))
    troubled = replace(
        page,
        age="26 min",
        is_late=True,
        held="since 14:04 UTC by eli: it repairs what is not broken",
        mail_held=12,
        samples=[(f"/support/checkouts/{n}", f"ORD-7K2M-9QX{n}") for n in range(2, 7)],
        warnings=("webhooks look broken: no event arrived for 12 of 13 charges",),
    )
    words = WORDS[Said.REPAIRS_HELD]
    yield (
        "reconciliation-held",
        _html(console.reconciliation(DANA, troubled, words)),
    )
    empty = replace(page, compared_until="", age="", runs=())
    yield "reconciliation-first", _html(console.reconciliation(READER, empty))


def _batches(console: Console, lines: list[Any]) -> Iterator[tuple[str, str]]:
    page = BatchPage(
        cause="ApplicationAway",
        words="the application does not answer, so access stays closed",
        count=37,
        more=0,
        total="$9,213.00",
        samples=lines[:5],
        effects=[("Give each access and send the receipt", 37)],
        is_stale=False,
    )
    told = "36 repairs are under way. This list empties as they end."
    yield "batch", _html(console.batch(DANA, page))
    yield "batch-stale", _html(console.batch(DANA, replace(page, is_stale=True)))
    yield "batch-empty", _html(console.batch(DANA, replace(page, count=0, told=told)))


def _searches(console: Console, lines: list[Any]) -> Iterator[tuple[str, str]]:
    def found(query: str, shown_lines: list[Any], payment: str | None, ok: bool) -> str:
        return _html(
            console.found(DANA, query, shown_lines, payment=payment, is_understood=ok)
        )

    yield "found", found("4242 23 Nov", lines[1:3], None, True)
    yield "found-nothing", found("mara@example.org", [], None, True)
    yield "found-no-payment", found("pi_3QxA", [], "pi_3QxA", True)
    yield "found-not-understood", found("where is it", [], None, False)
    yield (
        "payment",
        _html(
            console.payment(
                DANA,
                PaymentPage(
                    payment_intent_id="pi_3QxA7m2eZvKYlo2C0Y2mFz1b",
                    facts=processor_facts(shown(), NOW),
                    why_not="",
                    checkout_path=None,
                    case_path=None,
                    payment_url="https://dashboard.stripe.com/test/payments/pi_3QxA",
                    may_open=True,
                ),
            )
        ),
    )


def _cases(settings: Settings) -> Iterator[tuple[str, str]]:
    console = Console(settings)
    people = [Option(value="eli", name="Eli"), Option(value="kim", name="Kim")]
    holds = hold_options(NOW, settings.support_times)
    waiting = make_row(
        MoneyState.CHARGED,
        AccessState.PENDING,
        age=timedelta(minutes=30),
        next_message_at=NOW + timedelta(minutes=33),
    )

    def show(page: Any, staff: Staff = DANA, said: str = "") -> str:
        return _html(
            console.case(staff, page, said=said, colleagues=people, holds=holds)
        )

    case, full = case_row(), record()
    yield "case", show(case_page(case, waiting, full, shown(), settings))
    yield (
        "case-claimed",
        show(
            case_page(replace(case, owner="dana"), waiting, full, shown(), settings),
            said=WORDS[Said.CLAIMED],
        ),
    )
    yield "case-reader", show(case_page(case, waiting, full, shown(), settings), READER)
    repairing = record(repairs=(_asked(),))
    yield (
        "case-repairing",
        show(
            case_page(case, waiting, repairing, shown(), settings),
            said=WORDS[Said.REPAIR_ASKED],
        ),
    )
    yield from _other_cases(settings, show)


def _other_cases(settings: Settings, show: Any) -> Iterator[tuple[str, str]]:
    unknown = case_row(
        money=MoneyState.UNKNOWN, access=AccessState.NONE, cause="OutcomeUnknown"
    )
    dark = Shown(why_not="It could not be asked: no answer in 3 seconds.")
    yield (
        "case-unknown",
        show(
            case_page(
                unknown,
                make_row(MoneyState.UNKNOWN, age=timedelta(minutes=12)),
                record(mails=(), promised=()),
                dark,
                settings,
            )
        ),
    )
    done = make_row(
        MoneyState.CHARGED,
        AccessState.ACTIVE,
        age=timedelta(days=2),
        order_id=UUID(int=4),
    )
    sent = ToldMail(kind=EmailKind.RECEIPT, state=EmailState.SENT, at=_ago(days=2))
    refunding = record(
        mails=(sent,),
        promised=(),
        returned=(_returned(RefundState.REQUESTED),),
        repairs=(_asked(finished_at=NOW, outcome="opened access, sent the receipt"),),
    )
    yield (
        "case-done",
        show(
            case_page(
                case_row(state=CaseState.RESOLVED, access=AccessState.ACTIVE),
                done,
                refunding,
                shown(charged_at=_ago(days=2)),
                settings,
            ),
            replace(DANA, is_fresh=False),
            WORDS[Said.REPAIR_DONE],
        ),
    )
    yield "checkout", show(case_page(None, done, refunding, shown(), settings))
    yield (
        "case-changed",
        show(
            case_page(
                case_row(cause="CustomerWrote", access=AccessState.ACTIVE),
                done,
                _changed(sent),
                shown(charged_at=_ago(days=2)),
                settings,
            ),
            replace(DANA, role=Role.SUPPORT, is_fresh=False),
            WORDS[Said.ADDRESS_CORRECTED],
        ),
    )
    yield "case-orphan", show(orphan_page(_orphan(), (), shown(), settings))
    assert payment_url(settings, None) is None


def _changed(receipt: ToldMail) -> Record:
    """A purchase whose address was put right, and whose plan was made longer."""
    notice = ToldMail(
        kind=EmailKind.ADDRESS_CHANGED, state=EmailState.SENT, at=_ago(minutes=4)
    )
    changes = (
        Change(
            change_id=UUID(int=11),
            sequence=1,
            number=1795454820000,
            kind=ChangeKind.ADDRESS,
            actor="dana",
            reason="a letter was missing",
            created_at=_ago(minutes=5),
            told_at=_ago(minutes=4),
            old_email="mara@exmaple.com",
            new_email="mara@example.com",
            verified=Verified.CARD_AND_DAY,
        ),
        Change(
            change_id=UUID(int=12),
            sequence=2,
            number=1795455060000,
            kind=ChangeKind.DAYS,
            actor="dana",
            reason="lost an evening",
            created_at=_ago(minutes=1),
            days=14,
        ),
    )
    return record(
        mails=(receipt, notice),
        promised=(),
        changes=changes,
        lines=tuple(
            Line(at=one.created_at, kind="changed", facts={"change": one})
            for one in changes
        ),
    )


def _audit_page() -> AuditPage:
    def one(number: int, action: str, outcome: Outcome, **about: Any) -> RecordedAction:
        return RecordedAction(
            action_id=number,
            at=datetime(2026, 11, 23, 14, number, tzinfo=UTC),
            action=StaffAction(
                actor="dana",
                role="support",
                action=action,
                outcome=outcome,
                case_id=CASE_ID if number % 2 else None,
                request_id="0d7c3f5e8a914b62",
                about=about,
            ),
        )

    return AuditPage(
        among=Among.DEEDS,
        actions=(
            one(33, "refund.asked", Outcome.DONE, amount_minor=24900, currency="usd"),
            one(31, "repair.asked", Outcome.DONE, is_new=True),
            one(30, "refused", Outcome.REFUSED, why="role"),
        ),
        sign_ins=27,
        older=30,
    )


def _html(response: Any) -> str:
    return bytes(response.body).decode()
