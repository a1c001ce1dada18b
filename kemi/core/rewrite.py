"""Numbers as they come to numbers as they go: operators' rewrite rules, and the canonical form they lead to.

Rule 1: the first matching rule, and only that one, is applied.
Rule 2: nothing here raises. A rule that cannot be used counts as not matching, and the trace says why.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from kemi.core.pattern import COMPILED_MAX, compile_pattern
from kemi.core.request import E164
from kemi.records import RewriteRule

DIGITS_MAX: Final = 64  # characters of a number that is rewritten, and of the result

_SEPARATORS: Final = str.maketrans("", "", "-.()")  # visual separators: RFC 3966 §3
_E164: Final = re.compile(r"[1-9][0-9]{2,14}", re.ASCII)
_ESCAPE: Final = re.compile(r"\\([1-9])")


def rewrite(rules: tuple[RewriteRule, ...], digits: str) -> tuple[str, str]:
    r"""Return `digits` rewritten by the first rule that matches, and the trace sentence, "" when none had a say.

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
    passed_over: list[str] = []
    for rule in rules:
        result, fault = _apply(rule, digits)
        if result is not None:
            return result, "; ".join((*passed_over, f"rule {rule.id}: {digits} → {result}"))
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


def _apply(rule: RewriteRule, digits: str) -> tuple[str | None, str]:
    """Return (result, ""), or (None, fault), the fault "" where the rule simply does not match."""
    pattern = compile_pattern(rule.pattern)
    if pattern.regex is None:
        return None, f"pattern refused ({pattern.fault})"
    pieces = _pieces(rule.replacement)
    if pieces is None or max((int(group) for group in pieces[1::2]), default=0) > pattern.regex.groups:
        return None, f"replacement {rule.replacement!r} names a group that the pattern lacks"
    match = pattern.search(digits)
    if match is None:
        return None, ""
    replacement = "".join((match[int(piece)] or "") if at % 2 else piece for at, piece in enumerate(pieces))
    result = digits[: match.start()] + replacement + digits[match.end() :]
    if len(result) > DIGITS_MAX:
        return None, f"the result has {len(result)} characters"
    return result, ""


@lru_cache(maxsize=COMPILED_MAX)
def _pieces(replacement: str) -> tuple[str, ...] | None:
    """Return text and group numbers by turns; None when a backslash is not followed by 1 … 9."""
    pieces = tuple(_ESCAPE.split(replacement))
    return None if any("\\" in text for text in pieces[::2]) else pieces
