"""Reading a reply before it leaves: what it may not say, and why.

The letters are linted in tests; here it is for what a person typed, in the minute in
which they typed it, perhaps at night. Each remark says what to do about it. What we
wrote ourselves is never refused for its words: a long name of a company, or a subject
in capitals, must not keep a letter from a customer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from domain.replies import Purchase, ReplyFacts, Situation, proof_of_no_charge, times_of
from domain.states import MONEY_TAKEN, AccessState, MoneyState
from domain.words import BANKS, by_in_words
from mail.replies import words
from mail.replies.letter import PersonalLetter

#: More words in one breath are not understood by who is afraid.
MOST_WORDS_IN_A_SENTENCE = 20
#: School years, by `grade`. Whole letters stay below 4; two sentences with an amount
#: and a time in them read a little harder.
MOST_GRADE = 8.0
#: What fits on two screens of a phone; the lines of what happened do not count.
MOST_WORDS = 175

#: What our pages and mails never say either, and what to say instead.
INSTEAD: tuple[tuple[str, str], ...] = (
    (r"oops", "say what happened"),
    (r"something went wrong", "say what happened"),
    (r"inconvenience", "say what it cost them: “You paid and got a blank page”"),
    (r"apologi[sz]e|apologies", "say “I am sorry”, once"),
    (r"unfortunately", "leave it out; the fact is enough"),
    (r"technical", "say what broke, in plain words"),
    (r"\bsystem\b|\bserver error\b|\berror code\b|\b50\d\b", "say what broke"),
    (r"webhook|workflow|order record|database|idempoten", "say it in their words"),
    (r"try again later", "say what they must do, which may be nothing"),
    (r"contact us to resolve", "resolve it, or say who does"),
    (r"stripe|our (payment )?provider", "say “the card processor”; we own the trouble"),
    (
        r"valued customer|we value|rest assured|kindly|as per|at the earliest",
        "say it as you would across a table",
    ),
    (
        r"being processed|your request (is|has|will)|escalated|forwarded to",
        "say what was done, by whom and when",
    ),
    (r"policy|terms and conditions", "say what you do for them"),
    (r"noreply|unsubscribe|maintenance", "leave it out"),
    (
        r"you (should have|failed to|forgot|must have|entered the wrong)",
        "never blame; say what is so now",
    ),
    (r"!", "end the sentence with a full stop"),
)

#: A sentence that hurries past its own promise.
_VAGUE = re.compile(
    r"\b(soon|shortly|in a moment|as soon as possible|asap|eod|immediately|"
    r"(?<!work )right away|later today|tonight|tomorrow|this (afternoon|evening)|"
    r"(this|next) (week|month)|(end|close) of (the )?(business|day|week)|"
    r"by (noon|midnight|then)|within|(will|shall|\w+'ll)\b[^.]{0,60}\btoday|"
    r"in (half an?|an?|one|two|three|four|five|a few|a couple of|some|\d+) "
    r"((business|working) )?(min|minute|hour|day|week|month)s?|"
    r"(by|until|before|on|next) (next )?(mon|tues|wednes|thurs|fri|satur|sun)day)\b",
    re.IGNORECASE,
)
#: What was is said with a weekday as well: `on Friday at 18:10 UTC`.
_PAST_DAY = re.compile(r"\bon [A-Z][a-z]+day(,| at) \d\d:\d\d UTC")
_CLOCK = re.compile(r"\b\d{1,2}:\d\d\b")
_DAY = re.compile(
    r"\b(\d{1,2}) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\b"
)
_BY_TIME = re.compile(r"\b(?:by|before|until|at the latest) (\d{1,2}:\d\d)")
_BY_DAY = re.compile(rf"\b(?:by|before) (?={_DAY.pattern})")
_AMOUNT = re.compile(r"[$€£]\s?\d[\d.,]*\d|(?<![:\d])\b\d[\d.,]*\d (?!UTC)[A-Z]{3}\b")
_REFERENCE = re.compile(r"\bORD-\w{4}-\w{4}\b", re.IGNORECASE)
_URL = re.compile(r"https?://|www\.", re.IGNORECASE)
_HOLE = re.compile(r"\[[^\]]*\]|\{[^}]*\}|<[^>]+>|\bTODO\b|\bXXX\b|_{3,}|\.{4,}")
_CARD_ASKED = re.compile(
    r"\b(send|attach|mail|upload|photo|picture|screenshot)\b.*\b(card|cvc|password)\b",
    re.IGNORECASE,
)
_NOT = re.compile(r"\b(never|not|don't|nothing|no)\b", re.IGNORECASE)
_NO_CHARGE = re.compile(
    r"(not|n't|never) (been |yet been )?(charged|taken|debited)(?! (you )?twice)|"
    r"(did not|didn't|have not|haven't|never) (charge|take|debit)|"
    r"nothing (was|has been|is|got) (charged|taken|debited)|without being charged|"
    r"no (money|payment|charge) (was|has|have|moved|left|went)",
    re.IGNORECASE,
)
_ONCE = re.compile(
    r"(not|n't|never) (been )?(charged|pay|paid|charge) (you )?twice|"
    r"(only|just) (one|a single) (payment|charge)|charged (you )?(only )?once",
    re.IGNORECASE,
)
_TWICE = re.compile(r"(?<!not )(?<!n't )(?<!never )charged (you )?twice", re.IGNORECASE)
_RECEIVED = re.compile(
    r"(received|got|have) your ([$€£]?\d|payment|money)|"
    r"payment (went through|arrived|reached us)|you (have )?paid\b",
    re.IGNORECASE,
)
_RETURNED = re.compile(
    r"\b(returned|refunded|sent back|went back|on its way back)\b", re.IGNORECASE
)
_IS_IN = re.compile(r"you'?re in\b|you are in\b|access is (open|ready)", re.IGNORECASE)
_NOT_TO_PAY = re.compile(
    r"(don't|do not|need not|not need to) (need to )?pay (again|a second time)",
    re.IGNORECASE,
)
_PAY_AGAIN = re.compile(
    r"pay again|pay now|try again|once more|another card|retry|pay a second time",
    re.IGNORECASE,
)
_LATE_MONEY = re.compile(r"\bpending\b|\bfail(ed|ure|s)?\b", re.IGNORECASE)
_END = re.compile(r"(?<=[.?!])\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Why a letter does not leave as it is.

    Attributes:
        rule: The rule's name, for tests and for folding remarks.
        words: What is wrong and what to do, for the person at the desk.
    """

    rule: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A letter beside its facts.

    Attributes:
        situation: What it answers.
        facts: What is known.
        letter: All of it.
        typed: What a person wrote: the opening unless it is ours, what broke, what
            changed, the lines.
        named: A name that a person typed. It is somebody's own, so no word of it is
            banned; but nothing in it may be a hole or an address.
    """

    situation: Situation
    facts: ReplyFacts
    letter: PersonalLetter
    typed: tuple[str, ...]
    named: str = ""

    @property
    def purchase(self) -> Purchase | None:
        """The purchase that may be spoken of; none in a letter that tells nothing."""
        is_private = self.situation is Situation.SOMEBODY_ELSE
        return None if is_private else self.facts.purchase

    @property
    def opening(self) -> tuple[str, ...]:
        """The sentences of the opening."""
        return tuple(sentences_in(*self.letter.opening))

    @property
    def prose(self) -> str:
        """All that is read as sentences."""
        return " ".join(self.letter.prose)


def lint(reading: Reading) -> tuple[Remark, ...]:
    """Return every remark on a letter; none when it may leave."""
    found = [remark for rule in _RULES for remark in rule(reading)]
    return tuple(dict.fromkeys(found))


def sentences_in(*paragraphs: str) -> list[str]:
    """Split paragraphs into sentences."""
    return [
        sentence
        for paragraph in paragraphs
        for sentence in _END.split(paragraph.strip())
        if sentence
    ]


def grade(*paragraphs: str) -> float:
    """Return the school year that reads this: the Automated Readability Index.

    It counts characters and words only, so it needs no dictionary. Senter and Smith,
    "Automated Readability Index", 1967.
    """
    sentences = sentences_in(*paragraphs)
    found = [word for sentence in sentences for word in sentence.split()]
    if not found:
        return 0.0
    characters = sum(len(re.findall(r"\w", word)) for word in found)
    per_word, per_sentence = characters / len(found), len(found) / len(sentences)
    return 4.71 * per_word + 0.5 * per_sentence - 21.43


def _banned(reading: Reading) -> Iterator[Remark]:
    for pattern, instead in INSTEAD:
        found = re.search(pattern, " ".join(reading.typed), re.IGNORECASE)
        if found:
            yield Remark(rule="banned", words=f"“{found[0]}”: {instead}.")


def _holes(reading: Reading) -> Iterator[Remark]:
    for text in (*reading.typed, reading.named):
        found = _HOLE.search(text)
        if found:
            yield Remark(
                rule="hole",
                words=f"“{found[0]}” is not filled in. Write what belongs there.",
            )


def _links(reading: Reading) -> Iterator[Remark]:
    if any(_URL.search(text) for text in (*reading.typed, reading.named)):
        yield Remark(
            rule="link",
            words="Leave addresses out: the button has the right one, and nobody shall "
            "learn to trust others.",
        )


def _order(reading: Reading) -> Iterator[Remark]:
    """The money first, then what they must do; the letter itself says what we do."""
    bought = reading.purchase
    if len(reading.opening) < 2:  # noqa: PLR2004  # The fact, and what to do.
        yield Remark(
            rule="to-do",
            words="Say in the second sentence what they must do; “nothing” is an "
            "answer too.",
        )
    if bought is None or not reading.opening:
        return
    known = _known_amounts(reading.facts, bought)
    if not any(amount in reading.opening[0] for amount in known):
        yield Remark(
            rule="money-first",
            words=f"Begin with the money: name {bought.price} in the first sentence.",
        )


def _known_amounts(facts: ReplyFacts, bought: Purchase) -> set[str]:
    known = {str(bought.price)}
    known |= {str(one.amount) for one in facts.refunds}
    for second in (False, True):
        if facts.returned(second=second):
            known.add(str(words.returned(facts, second=second).amount))
    if facts.dispute is not None:
        known.add(str(facts.dispute.amount))
    return known | {amount.removesuffix(".00") for amount in known}


def _amounts(reading: Reading) -> Iterator[Remark]:
    """No amount that the facts do not hold."""
    facts, bought = reading.facts, reading.purchase
    if bought is None:
        return
    known = _known_amounts(facts, bought)
    for text in reading.typed:
        for amount in _AMOUNT.findall(text):
            if amount not in known:
                yield Remark(
                    rule="amount",
                    words=f"“{amount}” is no amount of this purchase. "
                    f"Known are {', '.join(sorted(known))}.",
                )


def _privacy(reading: Reading) -> Iterator[Remark]:
    """A letter to somebody unknown tells nothing of a purchase."""
    if reading.situation is not Situation.SOMEBODY_ELSE:
        return
    said = " ".join(reading.typed)
    bought = reading.facts.purchase
    secrets = [bought.card_last4, bought.plan_name] if bought else []
    if (
        _AMOUNT.search(said)
        or _REFERENCE.search(said)
        or any(secret and secret in said for secret in secrets)
    ):
        yield Remark(
            rule="private",
            words="This goes to somebody we do not know. Name no amount, card, plan or "
            "reference.",
        )


def _times(reading: Reading) -> Iterator[Remark]:
    """No time that no fact holds, and no "by" but the one that something keeps."""
    facts = reading.facts
    moments = [moment.astimezone(UTC) for moment in times_of(facts)]
    clocks = {f"{moment:%H:%M}" for moment in moments}
    days = {f"{moment.day} {moment:%b}" for moment in moments}
    kept = _kept(facts)
    by = f"{kept.astimezone(UTC):%H:%M}" if kept else None
    for text in reading.typed:
        said = [clock for clock in _CLOCK.findall(text) if clock not in clocks]
        said += [day for day in map(" ".join, _DAY.findall(text)) if day not in days]
        yield from (Remark(rule="time", words=_only(time, facts)) for time in said)
        said = [f"by {clock}" for clock in _BY_TIME.findall(text) if clock != by]
        said += _other_days(text, kept)
        vague = _VAGUE.search(_PAST_DAY.sub("", text).replace(BANKS, ""))
        said += [vague[0]] if vague else []
        yield from (Remark(rule="promise", words=_only(time, facts)) for time in said)


def _other_days(text: str, kept: datetime | None) -> list[str]:
    """Return the days that are promised and are not the one that is kept."""
    day = f"{kept.astimezone(UTC).day} {kept.astimezone(UTC):%b}" if kept else None
    named = [
        " ".join(_DAY.findall(text[found.start() :])[0])
        for found in _BY_DAY.finditer(text)
    ]
    return [f"by {one}" for one in named if one != day]


def _only(said: str, facts: ReplyFacts) -> str:
    promised = _kept(facts)
    if promised is None:
        return (
            f"“{said}”: nothing keeps this time. Hold the case until a time, "
            "then the letter can name it."
        )
    by = by_in_words(promised, now=facts.now)
    return f"“{said}”: nothing keeps this time. What is kept is: by {by}."


def _kept(facts: ReplyFacts) -> datetime | None:
    promised = facts.next_message_at
    return promised if promised is not None and promised > facts.now else None


def _claims(reading: Reading) -> Iterator[Remark]:
    """No claim about money or access that its facts do not prove."""
    bought = reading.purchase
    if bought is None:
        return
    for text in reading.typed:
        for rule, pattern, is_proven, said in _CLAIMS:
            if pattern.search(text) and not is_proven(reading.facts, bought):
                yield Remark(rule=rule, words=said)


def _pay_again(reading: Reading) -> Iterator[Remark]:
    bought = reading.purchase
    if bought is None or bought.money is MoneyState.NOT_CHARGED:
        return
    for text in reading.typed:
        if _PAY_AGAIN.search(_NOT_TO_PAY.sub("", text)):
            yield Remark(
                rule="pay-again",
                words="They may have paid already. Never ask them to pay, or to try "
                "again, before it is proven that nothing was charged.",
            )
        if bought.money in MONEY_TAKEN and _LATE_MONEY.search(text):
            yield Remark(
                rule="taken",
                words="The money was taken: it is neither “pending” nor “failed”. "
                "Say what happened to it.",
            )


def _card(reading: Reading) -> Iterator[Remark]:
    for sentence in sentences_in(*reading.typed):
        if _CARD_ASKED.search(sentence) and not _NOT.search(sentence):
            yield Remark(
                rule="card",
                words="Never ask for a card's number or picture. Its last four digits "
                "and the day of the payment are enough.",
            )


def _ease(reading: Reading) -> Iterator[Remark]:
    for sentence in sentences_in(*reading.typed):
        count = len(sentence.split())
        if count > MOST_WORDS_IN_A_SENTENCE:
            yield Remark(
                rule="long-sentence",
                words=f"{count} words in one sentence: cut “{sentence[:60]}…” in two.",
            )
    if any(grade(text) > MOST_GRADE for text in reading.typed):
        yield Remark(
            rule="ease", words="Hard to read. Use shorter words, as you would aloud."
        )


def _length(reading: Reading) -> Iterator[Remark]:
    letter = reading.letter
    count = len(" ".join((*letter.opening, *letter.paragraphs, *letter.after)).split())
    if count > MOST_WORDS:
        yield Remark(
            rule="length",
            words=f"{count} words are too many for who is worried; {MOST_WORDS} are "
            "enough. Shorten the opening.",
        )


def _sorry(reading: Reading) -> Iterator[Remark]:
    count = len(re.findall(r"\bsorry\b", reading.prose, re.IGNORECASE))
    if count > 1 and re.search(r"\bsorry\b", " ".join(reading.typed), re.IGNORECASE):
        yield Remark(
            rule="sorry", words="“Sorry” stands in it already. Said twice, it is less."
        )


_Proof = Callable[[ReplyFacts, Purchase], bool]

#: A claim, how it is recognised, what proves it, and what to say to who typed it.
_CLAIMS: tuple[tuple[str, re.Pattern[str], _Proof, str], ...] = (
    (
        "not-charged",
        _NO_CHARGE,
        lambda facts, bought: proof_of_no_charge(bought, facts.now) is not None,
        "Nothing proves that no money was taken. Ask the processor first, or say that "
        "we do not know yet.",
    ),
    (
        "once",
        _ONCE,
        lambda _, bought: bought.payments_shown == 1,
        "Nobody has counted the payments yet. Ask the processor first.",
    ),
    (
        "twice",
        _TWICE,
        lambda facts, bought: (
            bought.money is MoneyState.DUPLICATE or bool(facts.returned(second=True))
        ),
        "Nothing proves a second charge. Ask the processor first.",
    ),
    (
        "received",
        _RECEIVED,
        lambda _, bought: bought.money in MONEY_TAKEN,
        "Nothing proves that the money arrived. Ask the processor first.",
    ),
    (
        "returned",
        _RETURNED,
        lambda facts, _: bool(facts.refunds),
        "No refund was taken by the processor yet. Refund from the case first.",
    ),
    (
        "open",
        _IS_IN,
        lambda _, bought: bought.access is AccessState.ACTIVE,
        "Access is not open yet. Ask for a repair first.",
    ),
)

_RULES: tuple[Callable[[Reading], Iterator[Remark]], ...] = (
    _order,
    _claims,
    _pay_again,
    _privacy,
    _amounts,
    _times,
    _card,
    _banned,
    _holes,
    _links,
    _sorry,
    _ease,
    _length,
)
