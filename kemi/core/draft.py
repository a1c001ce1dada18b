"""A decision in the making: what is asked, what is known, and the trail of what was seen.

Rule 1: a trail is for people: short sentences with ids, printable, bounded, without secrets.
Rule 2: a refusal at any step carries the trail and all that is known of the call by then: enough for a CDR.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kemi.core.known import Known
from kemi.core.mac import mac
from kemi.core.outcome import Reject, Trace, Weighed
from kemi.core.pattern import TOO_MUCH, WAYS_MAX, Pattern, compile_pattern
from kemi.core.refusals import reject
from kemi.core.request import CallRequest, Facts, reservation_id
from kemi.records import PinnedCall, PinnedLeg, PinnedTarget, ReplyOverride

HEAD_MAX: Final = 40  # sentences kept of a trail's beginning; it travels with the hold and with the CDR
TAIL_MAX: Final = 20  # and of its end, where the verdict stands
SENTENCE_MAX: Final = 200  # characters
IDENTIFIER_MAX: Final = 256  # characters of a Call-ID or tag that a CDR keeps


class Seeds(NamedTuple):
    """Two independent secrets of a call, 64 bits each: for its draws among servers, and among groups."""

    servers: int
    groups: int


class Draft:
    """One decision under way: what is known of the call by now grows with each step, `replies` as accounts do.

    direction … offline_id: as in PinnedCall. They stand here by themselves, since a new PinnedCall at each step costs
    more than most steps. weighed: the carriers, once they have been. attempts_max: how many servers may be tried.
    media: some account of either side, or of one who leads the call on, wants its sound relayed.
    caller_group: the group of the carrier that calls, 0 = none.
    came_from: the groups that have the source address among theirs, whoever the caller turned out to be.
    """

    def __init__(self, call: CallRequest, facts: Facts) -> None:
        self.call = call
        self.facts = facts
        self.known = Known(facts)
        self.replies: tuple[ReplyOverride, ...] = ()
        self.weighed = Weighed()
        self.attempts_max = facts.limits.attempts_max
        self.direction = "out"
        self.source = ""
        self.account_id = 0
        self.caller = printable(call.from_uri.user, IDENTIFIER_MAX)
        self.callee = printable(call.ruri.user, IDENTIFIER_MAX)
        self.legs: tuple[PinnedLeg, ...] = ()
        self.targets: tuple[PinnedTarget, ...] = ()
        self.emergency = False
        self.part_at_ms: tuple[int, ...] = ()
        self.routing = ""
        self.hidden = False
        self.offline_s = 0
        self.offline_id = 0
        self.media = False
        self.caller_group = 0
        self.came_from: frozenset[int] = frozenset()
        self._sentences: list[str] = []
        self._ways: dict[str, int] = {}
        self._seeds: Seeds | None = None

    @property
    def seeds(self) -> Seeds:
        """What the draws of this call depend on: repeatable on every node of a cell, and not to be guessed outside."""
        if self._seeds is None:  # not cached_property, which takes a lock
            call_id = self.call.call_id.encode("utf-8", "surrogatepass")
            random = mac(self.facts.secret, b"draw:" + call_id)
            self._seeds = Seeds(int.from_bytes(random[:8], "big"), int.from_bytes(random[8:16], "big"))
        return self._seeds

    @property
    def pinned(self) -> PinnedCall:
        """The call as it is known by now, with the trail."""
        call, facts = self.call, self.facts
        max_s = facts.limits.max_call_s
        return PinnedCall(
            rid=reservation_id(call),
            call_id=printable(call.call_id, IDENTIFIER_MAX),
            from_tag=printable(call.from_tag, IDENTIFIER_MAX),
            node=facts.node,
            started_ms=call.received_ms,
            direction=self.direction,
            source=self.source,
            account_id=self.account_id,
            caller=self.caller,
            callee=self.callee,
            max_s=min(max_s, self.offline_s) if self.offline_id else max_s,
            legs=self.legs,
            targets=self.targets,
            trace=self.trace,
            config_pass=facts.config_pass,
            emergency=self.emergency,
            part_at_ms=self.part_at_ms,
            routing=self.routing,
            hidden=self.hidden,
            left_out=self.weighed.not_tried(self.attempts_max),
            offline_s=self.offline_s,
            offline_id=self.offline_id,
        )

    @property
    def trace(self) -> Trace:
        """The sentences noted so far; of a long trail the beginning and the end."""
        noted = self._sentences
        left_out = len(noted) - HEAD_MAX - TAIL_MAX
        if left_out <= 1:
            return tuple(noted)
        return (*noted[:HEAD_MAX], f"… {left_out} sentences left out …", *noted[-TAIL_MAX:])

    def note(self, sentence: str) -> None:
        """Add a sentence to the trail; "" adds nothing."""
        if sentence:
            is_fit = len(sentence) <= SENTENCE_MAX and sentence.isprintable()
            self._sentences.append(sentence if is_fit else printable(sentence, SENTENCE_MAX))

    @property
    def mark(self) -> int:
        """Where the trail ends by now."""
        return len(self._sentences)

    def forget_since(self, mark: int) -> None:
        """Forget what was noted since, and which patterns were tried: it was a search that came to nothing."""
        del self._sentences[mark:]
        self._ways.clear()

    def told_of(self, mark: int, whom: str) -> None:
        """Let each sentence noted since begin with whom it tells of."""
        noted = self._sentences[mark:]
        del self._sentences[mark:]
        for sentence in noted:
            self.note(f"{whom}: {sentence}")

    def pattern(self, whose: str, source: str) -> Pattern:
        """Return a pattern of a list, of which one call may have to try all; what is too much of it matches nothing.

        whose: the list, as a sentence names it. Postgres takes no list that is too long for a worker.
        """
        pattern = compile_pattern(source)
        before = self._ways.get(whose, 0)
        self._ways[whose] = ways = before + pattern.ways
        if ways <= WAYS_MAX:
            return pattern
        if before <= WAYS_MAX:
            self.note(f"{whose}: its patterns from here on are not tried, for there are too many ways to try them")
        return TOO_MUCH

    def refuse(self, reason: str, sentence: str = "", account_id: int = 0) -> Reject:
        """Return the refusal for `reason`, with `sentence` as the last of the trail.

        account_id: the level that refuses, 0 = none. A REGISTER is no call, so it leaves no CDR.
        """
        self.note(sentence)
        call = self.pinned if self.call.method == "INVITE" else None
        refusal = reject(reason, self.trace, account_id=account_id, replies=self.replies, call=call)
        return refusal._replace(weighed=self.weighed, used=self.known.used)


def how_many(count: int, word: str) -> str:
    """Return a count of things as sentences name it: `1 line`, `3 lines`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def printable(text: str, length_max: int) -> str:
    """Return at most `length_max` characters of `text`, with "?" for each that a log or a file could not show."""
    cut = text[:length_max]
    return cut if cut.isprintable() else "".join(mark if mark.isprintable() else "?" for mark in cut)
