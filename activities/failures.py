"""Retryable or not: decided here for every activity, with the reason per kind.

Messages go into histories that anyone with the Temporal UI reads: they name the kind
and ids, and never carry the text of a database error, which quotes rows.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    NoResultFound,
    SQLAlchemyError,
)
from temporalio.exceptions import ApplicationError

from database.checkouts import CheckoutNotFound
from database.orders import ChargeDisagrees
from domain.addresses import AddressKeyMissing
from mail.facts import LetterNotDue
from mail.message import MessageRefused
from mail.sender import MailDeferred
from observability.logs import get_logger
from processor.port import MethodRefused, OutcomeUnknown, RefusedByOurFault, Throttled

_log = get_logger()


class FailureKind(StrEnum):
    """Types of the errors that workflows see; `final` ones are not repeated."""

    #: No reply, a 5xx, a 409: it may have taken effect. A read is repeated; what moves
    #: money is not, because the workflow must look first.
    OUTCOME_UNKNOWN = "OutcomeUnknown"
    #: A rate limit or a locked object: no effect. Repeated with back-off.
    THROTTLED = "Throttled"
    #: Our request or our key is wrong. Final: a person must look.
    REFUSED_BY_OUR_FAULT = "RefusedByOurFault"
    #: The processor cannot use what the buyer entered. Final: the attempt is closed and
    #: the buyer told; nobody else need look.
    METHOD_REFUSED = "MethodRefused"
    #: Another charge, or another amount, stands in the row. Final: it may be a second
    #: charge, and only a person may decide.
    CHARGE_DISAGREES = "ChargeDisagrees"
    #: The row is not there. Final: it was never committed, or the wrong database is.
    ROW_MISSING = "RowMissing"
    #: A constraint or the guard says no. Final: repeating cannot make it true.
    RULE_BROKEN = "RuleBroken"
    #: Away, locked, full, restarting. Repeated: it passes.
    DATABASE_AWAY = "DatabaseAway"
    #: The company's application said a final no. Final: its people must look.
    APPLICATION_REFUSED = "ApplicationRefused"
    #: It did not answer, or is in trouble. Repeated: it passes.
    APPLICATION_AWAY = "ApplicationAway"
    #: The mail server did not answer, or said "later". Repeated: it passes.
    MAIL_DEFERRED = "MailDeferred"
    #: The mail cannot be written: a fact in it is not usable. Final: repeating cannot
    #: mend it.
    MESSAGE_REFUSED = "MessageRefused"
    #: The secret that made an address is gone. Final: the operator must put it back.
    ADDRESS_KEY_MISSING = "AddressKeyMissing"


_KNOWN_TYPES = frozenset(kind.value for kind in FailureKind)


class ApplicationRefused(Exception):
    """The company's application answered with a final no."""


class ApplicationAway(Exception):
    """The company's application did not answer, or said that it is in trouble."""


@contextmanager
def sorted_failures(*, moves_money: bool = False) -> Iterator[None]:
    """Turn whatever an activity's body raises into an error that workflows can read.

    Args:
        moves_money: The body asks the processor to change something. An unknown outcome
            is then not repeated by Temporal, because the workflow must look first.

    Raises:
        ApplicationError: Of a `FailureKind`, or of the class name of a surprise.
    """
    try:
        yield
    except ApplicationError:
        raise
    except Exception as error:
        sorted_error = classify(error, moves_money=moves_money)
        _log.warning(
            "activity_failed",
            surprise=_where(error) if sorted_error.type not in _KNOWN_TYPES else None,
            kind=sorted_error.type,
            reason=sorted_error.message,
            is_retried=not sorted_error.non_retryable,
        )
        raise sorted_error from None


#: Kind and whether it is final, by exception; anything not named here is repeated,
#: because a bug that a deploy will fix must not lose a paid order.
_KINDS: tuple[tuple[type[Exception], FailureKind, bool], ...] = (
    (Throttled, FailureKind.THROTTLED, False),
    (MethodRefused, FailureKind.METHOD_REFUSED, True),
    (RefusedByOurFault, FailureKind.REFUSED_BY_OUR_FAULT, True),
    (AddressKeyMissing, FailureKind.ADDRESS_KEY_MISSING, True),
    (ChargeDisagrees, FailureKind.CHARGE_DISAGREES, True),
    (CheckoutNotFound, FailureKind.ROW_MISSING, True),
    (NoResultFound, FailureKind.ROW_MISSING, True),
    (ApplicationRefused, FailureKind.APPLICATION_REFUSED, True),
    (ApplicationAway, FailureKind.APPLICATION_AWAY, False),
    (MailDeferred, FailureKind.MAIL_DEFERRED, False),
    (MessageRefused, FailureKind.MESSAGE_REFUSED, True),
    (LetterNotDue, FailureKind.MESSAGE_REFUSED, True),
)


def classify(error: Exception, *, moves_money: bool) -> ApplicationError:
    """Say what kind of failure this is and whether repeating can help."""
    if isinstance(error, OutcomeUnknown):
        return _failure(FailureKind.OUTCOME_UNKNOWN, str(error), final=moves_money)
    for known, kind, final in _KINDS:
        if isinstance(error, known):
            return _failure(kind, str(error), final=final)
    if isinstance(error, SQLAlchemyError):
        return _database_failure(error)
    return ApplicationError("see the worker's log", type=type(error).__name__)


def _database_failure(error: SQLAlchemyError) -> ApplicationError:
    """Sort a database error without quoting it: its text repeats the row's values."""
    original = error.orig if isinstance(error, DBAPIError) else None
    state = getattr(original, "sqlstate", None) or type(error).__name__
    if isinstance(error, IntegrityError):
        diagnosis = getattr(original, "diag", None)
        rule = getattr(diagnosis, "constraint_name", None) or state
        return _failure(FailureKind.RULE_BROKEN, f"constraint {rule}", final=True)
    return _failure(FailureKind.DATABASE_AWAY, f"database error {state}")


def _failure(
    kind: FailureKind, message: str, *, final: bool = False
) -> ApplicationError:
    return ApplicationError(message, type=kind.value, non_retryable=final)


def _where(error: Exception) -> str:
    """Name a surprise by its place in the code: its text may quote personal data."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    place = f" at {Path(last.filename).name}:{last.lineno}" if last else ""
    return f"{type(error).__name__}{place}"
