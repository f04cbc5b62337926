"""Bringing what was found wrong to the on-call desk.

A finding is a row, written in the commit that opened its case; the desk's workflow has
it when this has run once without an error. Each replica may do all of it at any time:
the desk counts a finding once, however often it is told.
"""

from __future__ import annotations

from api.parts import Parts
from database.oncall import list_findings_to_tell, mark_findings_told

#: Findings per round; a flock of two hundred is told within a few seconds.
_BATCH = 100


async def pass_findings_on(parts: Parts) -> None:
    """Tell the desk what it does not know yet.

    Raises:
        RecordsUnavailable: The rows wait.
        DoorClosed: The desk may have them; they are told again.
    """
    if parts.desk is None:
        return
    findings = await parts.records.read(lambda c: list_findings_to_tell(c, _BATCH))
    if not findings:
        return
    await parts.desk.report(findings)
    await parts.records.write(lambda c: mark_findings_told(c, findings))
