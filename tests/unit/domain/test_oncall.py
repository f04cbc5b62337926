"""What may wake somebody: the four questions, kind by kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.alerts import (
    WORDS,
    CaseCount,
    DigestFacts,
    digest_body,
    digest_title,
    lasting,
    sums_of,
    title_of,
)
from domain.oncall import (
    RULES,
    FindingKind,
    Hour,
    Incident,
    Level,
    Waiting,
    decide,
    gate_of,
    kind_of_case,
    lead_of,
    severity_of,
)
from domain.reconciliation import MENDED_BY_STEPS, DiscrepancyKind, cause_of
from domain.states import AccessState, MoneyState

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
NIGHT = Hour(now=NOW, is_working=False)
DAY = Hour(now=NOW, is_working=True)


def incident(
    kind: FindingKind,
    count: int = 1,
    *,
    minutes: int = 12,
    number: int = 1,
    error: str = "ApplicationAway",
    found: int | None = None,
) -> Incident:
    """An incident with so many customers who have waited for so long."""
    found_at = NOW - timedelta(minutes=minutes if found is None else found)
    return Incident(
        incident_id=UUID(int=number),
        kind=kind,
        step="open access in the application",
        error=error,
        opened_at=found_at,
        gathers_from=found_at,
        grew_at=found_at,
        waiting=tuple(
            Waiting(
                finding_id=UUID(int=1000 * number + one),
                subject=f"checkout-{number}-{one}",
                since=NOW - timedelta(minutes=minutes),
                found_at=found_at,
                amount_minor=24900,
                currency="usd",
            )
            for one in range(count)
        ),
    )


@pytest.mark.parametrize("kind", FindingKind)
def test_every_kind_has_a_rule_and_words(kind: FindingKind) -> None:
    """Nothing can be found for which nobody has decided how loud it is."""
    rule, words = RULES[kind], WORDS[kind]

    assert words.doing.endswith(".")
    if rule.page_from is not None:
        # The machine's safe action must help against all that may wake somebody.
        assert rule.selling_on_harms
        assert rule.harms_now
        assert rule.can_be_mended_at_night


@pytest.mark.parametrize(
    ("kind", "count", "minutes", "level"),
    [
        (FindingKind.PAID_WITHOUT_ACCESS, 1, 12, Level.DIGEST),
        (FindingKind.PAID_WITHOUT_ACCESS, 1, 30, Level.PUSH),
        (FindingKind.PAID_WITHOUT_ACCESS, 4, 600, Level.PUSH),
        (FindingKind.PAID_WITHOUT_ACCESS, 5, 9, Level.DIGEST),
        (FindingKind.PAID_WITHOUT_ACCESS, 5, 10, Level.PAGE),
        (FindingKind.CHARGED_TWICE, 1, 1, Level.PUSH),
        (FindingKind.CHARGED_TWICE, 2, 1, Level.PAGE),
        (FindingKind.CHARGE_WITHOUT_ORDER, 4, 60, Level.PUSH),
        (FindingKind.CHARGE_WITHOUT_ORDER, 5, 10, Level.PAGE),
        (FindingKind.KEY_LEAKED, 1, 0, Level.PAGE),
        (FindingKind.OUTCOME_UNKNOWN, 200, 59, Level.DIGEST),
        (FindingKind.OUTCOME_UNKNOWN, 200, 60, Level.PUSH),
        (FindingKind.REFUND_FAILED, 1, 0, Level.PUSH),
        (FindingKind.DISPUTE_OPENED, 9, 0, Level.PUSH),
        (FindingKind.MAIL_BOUNCED, 50, 0, Level.PUSH),
        (FindingKind.BOOKS_DIFFER, 1, 0, Level.PUSH),
        (FindingKind.RECONCILIATION_LATE, 1, 0, Level.PUSH),
        (FindingKind.WEBHOOKS_SILENT, 1, 0, Level.PUSH),
        (FindingKind.SALES_LOST, 1, 0, Level.PUSH),
        (FindingKind.RECORDS_AWAY, 1, 4, Level.DIGEST),
        (FindingKind.RECORDS_AWAY, 1, 5, Level.PUSH),
        (FindingKind.DRILL_OVERDUE, 1, 0, Level.PUSH),
        (FindingKind.CUSTOMER_WROTE, 30, 600, Level.DIGEST),
        (FindingKind.STEP_STUCK, 30, 600, Level.DIGEST),
    ],
)
def test_how_bad_it_is(
    kind: FindingKind, count: int, minutes: int, level: Level
) -> None:
    """The thresholds of the paper, at their edges."""
    assert severity_of(incident(kind, count, minutes=minutes), None, NOW) is level


def test_one_charged_twice_after_the_pause_is_worth_a_page() -> None:
    """The pause was to stop exactly this, and has not."""
    one = incident(FindingKind.CHARGED_TWICE, 1, minutes=1)
    paused_at = NOW - timedelta(minutes=5)

    assert severity_of(one, paused_at, NOW) is Level.PAGE
    assert gate_of(one, paused_at, NOW).is_open


@pytest.mark.parametrize(
    ("what", "shut", "expected"),
    [
        (incident(FindingKind.PAID_WITHOUT_ACCESS, 5), None, True),
        # Nobody new for a quarter of an hour: it does not grow.
        (incident(FindingKind.PAID_WITHOUT_ACCESS, 5, minutes=15), None, False),
        # Paused after the last one came: it cannot grow.
        (incident(FindingKind.PAID_WITHOUT_ACCESS, 5), 1, False),
        (incident(FindingKind.PAID_WITHOUT_ACCESS, 5), 20, True),
        # Nobody here can mend the processor.
        (incident(FindingKind.OUTCOME_UNKNOWN, 500, minutes=1), None, False),
        (incident(FindingKind.DISPUTE_OPENED, 500, minutes=1), None, False),
    ],
)
def test_the_four_questions_of_the_night(
    what: Incident, shut: int | None, expected: bool
) -> None:
    """One no is enough to let somebody sleep."""
    paused_at = None if shut is None else NOW - timedelta(minutes=shut)

    assert gate_of(what, paused_at, NOW).is_open is expected


ANY = st.builds(
    incident,
    st.sampled_from(FindingKind),
    st.integers(min_value=0, max_value=8),
    minutes=st.integers(min_value=0, max_value=90),
    number=st.integers(min_value=1, max_value=30),
    error=st.sampled_from(["ApplicationAway", "OutcomeUnknown", "KeyError", ""]),
)
PAUSES = st.none() | st.integers(0, 60).map(lambda m: NOW - timedelta(minutes=m))


@given(st.lists(ANY, max_size=8, unique_by=lambda one: one.incident_id), PAUSES)
def test_nobody_is_woken_unless_all_four_are_yes(
    incidents: list[Incident], paused_at: datetime | None
) -> None:
    """At night there is a page with an open gate, and nothing else that is heard."""
    night = Hour(now=NOW, is_working=False, paused_at=paused_at)
    for one in incidents:
        decided = decide(one, incidents, night)
        assert decided.level is not Level.PUSH
        assert decided.level <= decided.severity
        if decided.level is Level.PAGE:
            assert gate_of(one, paused_at, NOW).is_open


@given(
    st.lists(ANY, min_size=1, max_size=8, unique_by=lambda one: one.incident_id),
    st.booleans(),
)
def test_a_consequence_is_never_louder_than_its_lead(
    incidents: list[Incident], is_working: bool
) -> None:
    """Following leads one after another ends at one that is told by itself."""
    hour = Hour(now=NOW, is_working=is_working)
    for one in incidents:
        seen = {one.incident_id}
        lead = lead_of(one, incidents, hour)
        while lead is not None:
            assert lead.incident_id not in seen
            seen.add(lead.incident_id)
            lead = lead_of(lead, incidents, hour)
    loudest = max(decide(one, [one], hour).level for one in incidents)
    assert max(decide(one, incidents, hour).level for one in incidents) == loudest


@given(
    st.sampled_from([*MoneyState, None]),
    st.sampled_from([*AccessState, None]),
    st.text(max_size=20),
)
def test_every_case_means_something(
    money: MoneyState | None, access: AccessState | None, cause: str
) -> None:
    """A cause that nobody has thought of is read from money and access."""
    assert kind_of_case(cause, money, access) in FindingKind


@pytest.mark.parametrize(
    ("cause", "money", "access", "kind"),
    [
        ("ApplicationAway", "CHARGED", "PENDING", FindingKind.PAID_WITHOUT_ACCESS),
        ("DatabaseAway", "CHARGED", "NONE", FindingKind.PAID_WITHOUT_ACCESS),
        ("MailDeferred", "CHARGED", "ACTIVE", FindingKind.STEP_STUCK),
        ("MailDeferred", "CHARGED", "ENDED", FindingKind.STEP_STUCK),
        ("OutcomeUnknown", "UNKNOWN", "NONE", FindingKind.OUTCOME_UNKNOWN),
        ("RefusedByOurFault", "DUPLICATE", "ACTIVE", FindingKind.CHARGED_TWICE),
        ("MailBounced", "CHARGED", "ACTIVE", FindingKind.MAIL_BOUNCED),
        ("DisputeOpened", "CHARGED", "ACTIVE", FindingKind.DISPUTE_OPENED),
    ],
)
def test_a_case_is_read_by_its_customers_harm(
    cause: str, money: str, access: str, kind: FindingKind
) -> None:
    """The same failure is another matter before and after the charge."""
    assert kind_of_case(cause, MoneyState(money), AccessState(access)) is kind


#: What each difference is at the desk where neither money nor access is known, as with
#: a payment that no checkout of ours stands for.
_OF_DIFFERENCES = {
    DiscrepancyKind.CHARGE_WITHOUT_ORDER: FindingKind.CHARGE_WITHOUT_ORDER,
    DiscrepancyKind.CHARGE_WITHOUT_CHECKOUT: FindingKind.CHARGE_WITHOUT_ORDER,
    DiscrepancyKind.FOREIGN_CHARGE: FindingKind.CHARGE_WITHOUT_ORDER,
    DiscrepancyKind.AMOUNT_MISMATCH: FindingKind.BOOKS_DIFFER,
    DiscrepancyKind.DUPLICATE_CHARGE: FindingKind.CHARGED_TWICE,
    DiscrepancyKind.REFUND_NOT_RECORDED: FindingKind.BOOKS_DIFFER,
    DiscrepancyKind.DISPUTE_OPENED: FindingKind.DISPUTE_OPENED,
    DiscrepancyKind.ORDER_WITHOUT_CHARGE: FindingKind.BOOKS_DIFFER,
    # These three are read from the checkout, which they always have.
    DiscrepancyKind.ORDER_WITHOUT_ACCESS: FindingKind.STEP_STUCK,
    DiscrepancyKind.ORDER_WITHOUT_RECEIPT: FindingKind.STEP_STUCK,
    DiscrepancyKind.STUCK_CHECKOUT: FindingKind.STEP_STUCK,
}


@pytest.mark.parametrize("kind", DiscrepancyKind)
def test_every_difference_is_as_loud_as_its_harm(kind: DiscrepancyKind) -> None:
    """What a comparison finds is told, even of a payment that names nobody of ours."""
    found = kind_of_case(cause_of(kind), None, None)

    assert found is _OF_DIFFERENCES[kind]
    if kind not in MENDED_BY_STEPS:
        # Only a person settles it, and a digest alone is read too late for that.
        alone = incident(found, 1, minutes=0)
        assert severity_of(alone, None, NOW) >= Level.PUSH


def test_a_flock_of_charges_that_name_nobody_is_worth_a_page() -> None:
    """Another shop on our key, or lost metadata: buyers pay and nobody serves them."""
    kind = kind_of_case(cause_of(DiscrepancyKind.FOREIGN_CHARGE), None, None)

    assert severity_of(incident(kind, 5), None, NOW) is Level.PAGE


@pytest.mark.parametrize(
    ("what", "title"),
    [
        (
            incident(FindingKind.PAID_WITHOUT_ACCESS, 3),
            "3 customers, $747.00, paid, without access, oldest 12 min",
        ),
        (
            incident(FindingKind.CHARGED_TWICE, 1, minutes=180),
            "1 customer, $249.00, charged twice, oldest 3 h",
        ),
        (
            incident(FindingKind.REFUND_FAILED, 2, minutes=60 * 72),
            "2 refunds, $498.00, not arrived, oldest 3 days",
        ),
    ],
)
def test_a_title_begins_with_a_number_and_a_noun(what: Incident, title: str) -> None:
    """How many, how much, what, how long: readable on a locked screen."""
    assert title_of(what, NOW) == title


def test_each_currency_has_its_sum() -> None:
    """Dollars and euros are not added up, and one customer counts once."""
    one, two = incident(FindingKind.PAID_WITHOUT_ACCESS, 2).waiting
    euros = Waiting(
        finding_id=UUID(int=9),
        subject="other",
        since=NOW,
        found_at=NOW,
        amount_minor=500,
        currency="eur",
    )
    assert sums_of([one, one, two, euros]) == "€5.00 + $498.00"


@pytest.mark.parametrize("words", WORDS.values())
def test_the_words_blame_nobody_and_shout_at_nobody(words: object) -> None:
    """The house's voice holds at night, too."""
    text = str(words).lower()
    for banned in ("oops", "unfortunately", "technical", "went wrong", "failed", "!"):
        assert banned not in text


@pytest.mark.parametrize(("cases", "without_order"), list(product((0, 1, 5), (0, 2))))
def test_the_digest_says_what_is_so(cases: int, without_order: int) -> None:
    """Also when nothing is; the budget is shown each morning."""
    facts = DigestFacts(
        answers=True,
        payments=14,
        orders=14 - without_order,
        without_order=without_order,
        waiting=(CaseCount(step="write the order", cause="KeyError", count=cases),)
        if cases
        else (),
        pages_this_month=2,
        drilled_at=NOW - timedelta(days=3),
    )
    body = digest_body(
        facts, (), night_pages_a_month=2, link="https://s", now=NOW, zone=UTC
    )

    assert digest_title(facts).startswith(f"{cases} case")
    assert ("all matched" in digest_title(facts)) == (without_order == 0)
    assert ("Nobody is waiting." in body) == (cases == 0)
    assert "Pages at night this month: 2 of 2. The budget is spent" in body
    assert "Channels rehearsed 3 days ago." in body
    assert body.count("https://") == 1


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=400)))
def test_a_span_is_short(span: timedelta) -> None:
    """Two words, whatever the span."""
    assert len(lasting(span).split()) == 2
