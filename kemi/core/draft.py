"""A decision in the making: what is asked, what is known, and the trail of what was seen.

Rule 1: a trail is for people: short sentences with ids, printable, bounded, without secrets.
Rule 2: a refusal at any step carries the trail and all that is known of the call by then: enough for a CDR.
"""

from __future__ import annotations

from typing import Final

from kemi.core.known import Known
from kemi.core.outcome import Reject, Trace
from kemi.core.refusals import reject
from kemi.core.request import CallRequest, Facts, reservation_id
from kemi.records import PinnedCall, ReplyOverride

HEAD_MAX: Final = 40  # sentences kept of a trail's beginning; it travels with the hold and with the CDR
TAIL_MAX: Final = 20  # and of its end, where the verdict stands
SENTENCE_MAX: Final = 200  # characters
IDENTIFIER_MAX: Final = 256  # characters of a Call-ID or tag that a CDR keeps


class Draft:
    """One decision under way. `pinned` grows as more of the call becomes known; `replies` as accounts do."""

    def __init__(self, call: CallRequest, facts: Facts) -> None:
        self.call = call
        self.facts = facts
        self.known = Known(facts)
        self.replies: tuple[ReplyOverride, ...] = ()
        self.pinned = PinnedCall(
            rid=reservation_id(call),
            call_id=printable(call.call_id, IDENTIFIER_MAX),
            from_tag=printable(call.from_tag, IDENTIFIER_MAX),
            node=facts.node,
            started_ms=call.received_ms,
            direction="out",
            source="",
            account_id=0,
            caller=printable(call.from_uri.user, IDENTIFIER_MAX),
            callee=printable(call.ruri.user, IDENTIFIER_MAX),
            max_s=facts.limits.max_call_s,
            legs=(),
            targets=(),
            trace=(),
            config_pass=facts.config_pass,
        )
        self._sentences: list[str] = []

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
            self._sentences.append(printable(sentence, SENTENCE_MAX))

    def refuse(self, reason: str, sentence: str = "", account_id: int = 0) -> Reject:
        """Return the refusal for `reason`, with `sentence` as the last of the trail.

        account_id: the level that refuses, 0 = none. A REGISTER is no call, so it leaves no CDR.
        """
        self.note(sentence)
        call = self.pinned._replace(trace=self.trace) if self.call.method == "INVITE" else None
        return reject(reason, self.trace, account_id=account_id, replies=self.replies, call=call)


def printable(text: str, length_max: int) -> str:
    """Return at most `length_max` characters of `text`, with "?" for each that a log or a file could not show."""
    cut = text[:length_max]
    return cut if cut.isprintable() else "".join(mark if mark.isprintable() else "?" for mark in cut)
