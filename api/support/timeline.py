"""What happened, in plain words, a line each; raw ids stay with the line, folded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from api.support.choices import HOW_VERIFIED
from database.changes import Change
from database.console import Asked, Line, Returned
from database.replies import ReplyRow
from domain.case_view import ToldMail
from domain.changes import ChangeKind
from domain.emails import EmailKind
from domain.states import EmailState, RefundState
from domain.words import day_in_words, masked


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One line of the timeline.

    Attributes:
        who: Who did it, as a person would say.
        words: What happened.
        raw: Ids and states for a deep look; empty when there are none.
        letter: The whole text of a letter, folded; empty for all else.
    """

    at: datetime
    who: str
    words: str
    raw: str = ""
    letter: str = ""


MAILS: dict[EmailKind, str] = {
    EmailKind.RECEIPT: "the receipt",
    EmailKind.RECEIVED: "“we received your money”",
    EmailKind.RECEIVED_STILL: "“access still takes longer”",
    EmailKind.RECEIVED_PERSON: "“a person opens it by hand”",
    EmailKind.CHECKING: "“we don't know yet”",
    EmailKind.CHECKING_STILL: "“we still don't know”",
    EmailKind.CHECKING_PERSON: "“a person looks into it”",
    EmailKind.CHECKING_LATE: "“the answer is late”",
    EmailKind.BANK_CHECK: "“your bank wants to confirm it is you”",
    EmailKind.NOT_CHARGED: "“you were not charged”",
    EmailKind.DECLINED: "the way on after the decline",
    EmailKind.CHARGED_TWICE: "“the second payment goes back”",
    EmailKind.REFUNDED: "“your money goes back”",
    EmailKind.REFUND_FAILED: "“your refund came back to us”",
    EmailKind.REFUND_ARRIVED: "“has the money arrived?”",
    EmailKind.GOT_IN: "“did you get in?”",
    EmailKind.ENDING_IN_30: "the notice 30 days before the end",
    EmailKind.ENDING_IN_7: "the notice 7 days before the end",
    EmailKind.OPEN_AGAIN: "“payments are taken again”",
    EmailKind.ADDRESS_CHANGED: "the notice to the old address",
}

_MAIL_STATES = {
    EmailState.PENDING: "{mail} is owed and has not left",
    EmailState.SENT: "{mail} was sent",
    EmailState.FAILED: "{mail} did not arrive",
    EmailState.NEEDLESS: "{mail} was not sent: it had stopped being true",
}

_EVENTS = {
    "payment_intent.succeeded": "the processor told us: the money was taken",
    "payment_intent.payment_failed": "the processor told us: declined",
    "payment_intent.canceled": "the processor told us: closed",
    "payment_intent.requires_action": "the processor told us: the bank asks",
    "payment_intent.processing": "the processor told us: the bank is at it",
    "charge.refunded": "the processor told us: money went back",
    "refund.updated": "the processor told us: a refund moved",
    "refund.failed": "the processor told us: a refund failed",
    "charge.dispute.created": "the processor told us: the bank disputes it",
    "charge.dispute.updated": "the processor told us: the dispute moved",
    "charge.dispute.closed": "the processor told us: the dispute is decided",
}

_REFUNDS = {
    RefundState.REQUESTED: "can still be taken back",
    RefundState.SUBMITTING: "the processor is being asked",
    RefundState.PENDING: "the bank is at it",
    RefundState.SUCCEEDED: "returned",
    RefundState.FAILED: "came back to us",
    RefundState.CANCELED: "taken back before it was sent",
}

#: What the rows call our own processes.
_MACHINES = {
    "holdfast-api": "the shop",
    "holdfast-worker": "the machine",
    "holdfast-cli": "the command line",
}

_ACCESS = {"PENDING": "waits to be opened", "ACTIVE": "is open", "ENDED": "has ended"}
_MONEY = {
    "UNKNOWN": "it is not known yet whether money moved",
    "ACTION_NEEDED": "the bank wants to ask the customer",
    "CHARGED": "the money was taken",
    "DUPLICATE": "the money was taken twice",
    "REFUNDING": "the money is on its way back",
    "REFUNDED": "the money was returned",
}


def tell(line: Line) -> Told:
    """Put a line in words."""
    who, words, raw = _TELLERS[line.kind](line.facts)
    reply: ReplyRow | None = line.facts.get("reply")
    letter = "" if reply is None else reply.body
    return Told(at=line.at, who=who, words=words, raw=raw, letter=letter)


def actor_in_words(actor: str) -> str:
    """Name who did it: a colleague by their name, a process of ours by what it is."""
    return _MACHINES.get(actor, actor)


def refund_in_words(state: RefundState) -> str:
    """Say how far a refund has come."""
    return _REFUNDS[state]


def mail_in_words(mail: ToldMail) -> str:
    """Say what became of a mail."""
    said = _MAIL_STATES[mail.state].format(mail=MAILS[mail.kind])
    return said[0].upper() + said[1:]


def _moved(facts: dict[str, Any]) -> tuple[str, str, str]:
    before, after = facts["before"], facts["after"]
    who = actor_in_words(facts["actor"])
    raw = f"{facts['action']}: {_states(before)} → {_states(after)}"
    if facts["action"] == "subscription.moved":
        return who, _plan_moved(before, after), raw
    if str(facts["action"]).startswith("refund."):
        return who, _refund_moved(after), raw
    return who, _checkout_moved(before, after), raw


def _checkout_moved(before: dict[str, Any], after: dict[str, Any]) -> str:
    if not before:
        return "a checkout was opened"
    if after.get("stage") == "requested":
        return f"Pay was pressed (try {after.get('attempt')})"
    money, access = after.get("money"), after.get("access")
    said = []
    if money != before.get("money"):
        proof = after.get("reason")
        not_charged = f"proven: nothing was charged ({proof})"
        said.append(_MONEY.get(str(money), not_charged))
    if access != before.get("access") and str(access) in _ACCESS:
        said.append(f"access {_ACCESS[str(access)]}")
    if not said and after.get("stage") == "charging":
        said.append("the charge was begun")
    return ", ".join(said) or "a detail changed"


def _plan_moved(before: dict[str, Any], after: dict[str, Any]) -> str:
    if before.get("state") != after.get("state"):
        return "the plan has ended"
    until = day_in_words(datetime.fromisoformat(after["ends_at"]))
    return f"the plan runs until {until}"


def _refund_moved(after: dict[str, Any]) -> str:
    try:
        state = RefundState(str(after.get("state")))
    except ValueError:
        return "a refund moved"
    return f"a refund: {_REFUNDS[state]}"


def _states(facts: dict[str, Any]) -> str:
    shown = (facts.get(key) for key in ("stage", "money", "access", "state"))
    words = " ".join(str(one) for one in shown if one)
    ids = (facts.get(key) for key in ("payment_intent", "refund", "processor_refund"))
    return " ".join((words or "nothing", *(str(one) for one in ids if one)))


def _mail(facts: dict[str, Any]) -> tuple[str, str, str]:
    mail: ToldMail = facts["mail"]
    return "mail", mail_in_words(mail), f"{mail.kind} {mail.state}"


def _event(facts: dict[str, Any]) -> tuple[str, str, str]:
    kind = str(facts["event"])
    words = _EVENTS.get(kind, "the processor told us something")
    return "processor", words, f"{kind} {facts['event_id']}"


def _repair(facts: dict[str, Any]) -> tuple[str, str, str]:
    asked: Asked = facts["asked"]
    end = asked.outcome or "under way"
    who = actor_in_words(asked.actor)
    return who, f"asked for a repair: {end}", f"repair {asked.repair_id}"


def _refund(facts: dict[str, Any]) -> tuple[str, str, str]:
    one: Returned = facts["returned"]
    words = f"asked for {one.amount} to go back: {_REFUNDS[one.state]}"
    return one.actor, words, f"refund {one.refund_id} {one.reference or ''}".strip()


def _changed(facts: dict[str, Any]) -> tuple[str, str, str]:
    change: Change = facts["change"]
    match change.kind:
        case ChangeKind.DAYS:
            days = "1 day" if change.days == 1 else f"{change.days} days"
            what = f"added {days} to the plan"
        case ChangeKind.ADDRESS:
            verified = {one.value: one.name for one in HOW_VERIFIED}
            old, new = masked(change.old_email), masked(change.new_email)
            how = verified.get(str(change.verified), "")
            what = f"corrected the address from {old} to {new}; {how}"
        case _:
            assert_never(change.kind)
    known = "; the application knows" if change.told_at else ""
    raw = f"change {change.number} {change.change_id}"
    return change.actor, f"{what}: {change.reason}{known}", raw


def _note(facts: dict[str, Any]) -> tuple[str, str, str]:
    return str(facts["author"]), f"noted: {facts['text']}", ""


def _wrote(facts: dict[str, Any]) -> tuple[str, str, str]:
    return "the customer", f"wrote: {facts['text']}", ""


def _reply(facts: dict[str, Any]) -> tuple[str, str, str]:
    reply: ReplyRow = facts["reply"]
    if reply.refused is not None:
        end = f"it did not arrive ({reply.refused})"
    elif reply.sent_at is None:
        end = "the mail server has not taken it yet"
    else:
        end = "it has left"
    words = f"answered, “{reply.subject}”: {end}"
    return reply.author, words, f"{reply.situation} {reply.message_id}"


_TELLERS: dict[str, Callable[[dict[str, Any]], tuple[str, str, str]]] = {
    "moved": _moved,
    "mail": _mail,
    "event": _event,
    "repair": _repair,
    "refund": _refund,
    "changed": _changed,
    "note": _note,
    "wrote": _wrote,
    "reply": _reply,
}
