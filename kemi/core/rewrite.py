"""Numbers as they come to numbers as they go: operators' rewrite rules, and the canonical form they lead to.

Rule 1: the first matching rule, and only that one, is applied.
Rule 2: nothing here raises. A rule that cannot be used counts as not matching, and the trace says why.
Rule 3: the caller chooses what is tried, so a list is bounded as a whole: rules beyond RULES_MAX, and those whose
patterns go beyond WAYS_MAX together, cannot be used. Postgres refuses them when they are written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from kemi.core.kept import Kept
from kemi.core.pattern import WAYS_MAX, compile_pattern
from kemi.core.request import E164
from kemi.records import RewriteRule

DIGITS_MAX: Final = 64  # characters of a number that is rewritten, and of the result; patterns see more than that
RULES_MAX: Final = 500  # that one list may have
SETS_MAX: Final = 1_024  # lists of rules kept ready per process

_SEPARATORS: Final = str.maketrans("", "", "-.()")  # visual separators: RFC 3966 §3
_E164: Final = re.compile(r"[1-9][0-9]{2,14}", re.ASCII)
_ESCAPE: Final = re.compile(r"\\([1-9])")


def rewrite(rules: tuple[RewriteRule, ...], digits: str) -> tuple[str, str]:
    r"""Return `digits` rewritten by the first rule that matches, and the trace sentence, "" when none had a say.

    The sentence begins with the rule that matched, since a trail cuts long ones; then those that cannot be used.

    rules: in ascending priority. The pattern is searched, anchored only as written; what it matched, and nothing
    else, gives way to the replacement, in which \1 … \9 stand for the groups (an unused group is empty).
    digits: at most 64 printable ASCII characters, else returned as they are with a sentence.
    >>> rewrite((RewriteRule(12, 1, "^00", "+"),), "00442079460000")
    ('+442079460000', 'rule 12: 00442079460000 → +442079460000')
    """
    if len(digits) > DIGITS_MAX:
        return digits, f"not rewritten: {len(digits)} characters, at most {DIGITS_MAX} are"
    if not (digits.isascii() and digits.isprintable()):
        return digits, "not rewritten: characters that no number has"
    if not rules:
        return digits, ""
    passed_over: list[str] = []
    for rule in _READY.of(rules):
        match = rule.search(digits)
        fault = rule.fault
        if match is not None:
            result = rule.applied(match)
            if len(result) <= DIGITS_MAX:
                return result, "; ".join((f"rule {rule.id}: {digits} → {result}", *passed_over))
            fault = f"the result has {len(result)} characters"
        if fault:
            passed_over.append(f"rule {rule.id} passed over: {fault}")
    return digits, "; ".join(passed_over)


def to_e164(text: str) -> E164 | None:
    """Return the canonical number of `text`, None when it has none.

    One leading "+" and the visual separators - . ( ) are dropped; 3 … 15 digits must remain, the first 1-9.
    >>> to_e164("+44(20)7946-0000")
    '442079460000'
    """
    if len(text) > DIGITS_MAX:
        return None
    digits = text.removeprefix("+").translate(_SEPARATORS)
    return E164(digits) if _E164.fullmatch(digits) else None


def _never(_digits: str) -> None:
    """Find nothing, as a pattern does that cannot be used."""


class _Ready(NamedTuple):
    """A rule ready to be tried. search: of its pattern. pieces: text and groups by turns. fault: why it is useless."""

    id: int
    search: Callable[[str], re.Match[str] | None] = _never
    pieces: tuple[str, ...] = ()
    fault: str = ""

    def applied(self, match: re.Match[str]) -> str:
        """Return the text in which this rule's pattern was found, with what it matched replaced."""
        replacement = "".join((match[int(piece)] or "") if at % 2 else piece for at, piece in enumerate(self.pieces))
        return match.string[: match.start()] + replacement + match.string[match.end() :]


def _ready(rules: tuple[RewriteRule, ...]) -> tuple[_Ready, ...]:
    """Return the rules ready to be tried; the first that is too much, and all after it, are told by that one alone."""
    made: list[_Ready] = []
    ways = 0
    for rule in rules:
        ways += compile_pattern(rule.pattern).ways
        if len(made) == RULES_MAX:
            return (*made, _Ready(rule.id, fault=f"it and all after it: a list has at most {RULES_MAX} rules"))
        if ways > WAYS_MAX:
            return (*made, _Ready(rule.id, fault="it and all after it: too many ways to try the list"))
        made.append(_made_ready(rule))
    return tuple(made)


_READY: Final = Kept(_ready, SETS_MAX)


def _made_ready(rule: RewriteRule) -> _Ready:
    pattern = compile_pattern(rule.pattern)
    if pattern.regex is None:
        return _Ready(rule.id, fault=f"pattern refused ({pattern.fault})")
    pieces = tuple(_ESCAPE.split(rule.replacement))
    is_text = not any("\\" in text for text in pieces[::2])
    if not is_text or max((int(group) for group in pieces[1::2]), default=0) > pattern.regex.groups:
        return _Ready(rule.id, fault=f"replacement {rule.replacement!r} names a group that the pattern lacks")
    return _Ready(rule.id, pattern.regex.search, pieces)
