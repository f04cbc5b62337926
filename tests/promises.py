"""Every time that mail of ours names has its follow-up: a check to end tests with.

A promise is followed up by the next mail that leaves, or by a person who is told that
nothing followed (the case `PromiseOverdue`). One that is still to come must have
something that will speak by then: a mail that waits to leave, or the row's own time,
for which the run has a timer and the sweep looks.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg

from domain.cadence import PROMISE_GRACE
from workflows.policies import ROUND_LASTS

#: A person is told after the grace; a round of retries may come before.
SLACK = PROMISE_GRACE + ROUND_LASTS + timedelta(minutes=1)

#: Only mails that left have promised anything to anybody.
_UNKEPT = """
SELECT c.reference_code, coalesce(e.kind, 'letter'), p.due_at, c.next_message_at
  FROM promises p
  LEFT JOIN emails e ON e.email_id = p.email_id
  JOIN checkouts c ON c.checkout_id = p.checkout_id
 WHERE p.kept_at IS NULL
   AND (e.state = 'sent' OR p.reply_id IS NOT NULL)
   AND NOT EXISTS (SELECT FROM cases k WHERE k.checkout_id = p.checkout_id
                                         AND k.cause = 'PromiseOverdue')
   AND CASE WHEN p.due_at < now() THEN p.due_at + %(slack)s < now()
            ELSE coalesce(c.next_message_at > p.due_at, true)
                 AND NOT EXISTS (SELECT FROM emails w
                                  WHERE w.checkout_id = p.checkout_id
                                    AND w.state = 'pending') END
 ORDER BY p.due_at
"""


def unkept_promises(database: psycopg.Connection[Any]) -> list[str]:
    """Return a line for each promise that was not kept, or that nothing will keep."""
    found = database.execute(_UNKEPT, {"slack": SLACK}).fetchall()
    return [
        f"{reference}: the mail {kind} promised a word by {due:%d %b %H:%M}, and the "
        f"next is due {at:%d %b %H:%M}"
        if at
        else f"{reference}: the mail {kind} promised a word by {due:%d %b %H:%M}, and "
        "none is in sight"
        for reference, kind, due, at in found
    ]


def assert_no_promise_is_overdue(database: psycopg.Connection[Any]) -> None:
    """Assert that every promised time had its follow-up, or will have it."""
    assert unkept_promises(database) == []
