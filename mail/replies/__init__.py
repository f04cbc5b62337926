"""Replies: the letters that a person signs, one for each of eighteen situations.

draft = prepare(situation, facts)            # domain.replies: a draft, or Blocked
opening = suggested_opening(draft, company)  # shown; to be confirmed or changed
remarks = check_reply(request)               # while they type
message = write_reply(request)               # the mail, once nothing is wrong
"""

from __future__ import annotations

from mail.replies.lint import Remark
from mail.replies.writing import (
    ReplyRefused,
    ReplyRequest,
    check_reply,
    kept_of,
    suggested_opening,
    write_reply,
)

__all__ = [
    "Remark",
    "ReplyRefused",
    "ReplyRequest",
    "check_reply",
    "kept_of",
    "suggested_opening",
    "write_reply",
]
