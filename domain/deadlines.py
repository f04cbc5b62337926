"""The times that pages promise and workflows keep, and the ladders of waiting."""

from __future__ import annotations

from datetime import timedelta

#: After a minute a person needs words, not a spinner: the page says what is not known.
CONFIRMING_FOR = timedelta(seconds=60)

#: Nobody watches a page for longer than this without the permission to leave. From here
#: on the page says that a mail will come.
#: https://www.nngroup.com/articles/response-times-3-important-limits/
MAY_LEAVE_AFTER = timedelta(seconds=10)

#: Later than this after the charge, the buyer may have met a blank or an error page.
SMOOTH_WITHIN = timedelta(seconds=10)

#: Banks let their own question lapse after 10 to 15 minutes; twice that is generous.
BANK_CHECK_FOR = timedelta(minutes=30)

#: The processor may drop idempotency keys after 24 hours, and a repeat would then be a
#: new request; four hours are kept for the cancellation itself.
#: https://docs.stripe.com/api/idempotent_requests
UNKNOWN_FOR = timedelta(hours=20)

#: A request to pay that no workflow claimed within this is taken back.
WITHDRAW_AFTER = timedelta(minutes=2)

#: For so long the processor is asked to take a request of which it has nothing yet. Not
#: so long that a mail would have to say "we do not know": this much we do know.
PREPARE_WITHIN = timedelta(minutes=3)

#: What the mail server puts off for so long is given up, as mail servers do with each
#: other: a person finds another way. https://www.rfc-editor.org/rfc/rfc5321 4.5.4.1
GIVE_MAIL_UP_AFTER = timedelta(days=5)


def rung(ladder: tuple[timedelta, ...], index: int) -> timedelta:
    """Return a ladder's wait at this rung; the last one repeats."""
    return ladder[min(index, len(ladder) - 1)]


def in_words(duration: timedelta) -> str:
    """Write a whole number of hours or minutes: `20 hours`, `30 minutes`."""
    minutes = int(duration.total_seconds()) // 60
    if minutes % 60 == 0:
        hours = minutes // 60
        return "1 hour" if hours == 1 else f"{hours} hours"
    return "1 minute" if minutes == 1 else f"{minutes} minutes"
