"""Operators' regular expressions, compiled once and safe to run in a SIP worker.

Rule 1: nothing here raises, whatever an operator wrote; a pattern that cannot be used says why.
Rule 2: a pattern runs in bounded time. Python's `re` backtracks, and a worker that hangs answers nobody, so a pattern
is accepted only when the number of ways to try it on TEXT_MAX characters stays below PATHS_MAX. The bound is read off
the parsed pattern and is conservative: `(a+)+`, `(a|ab)*` and three free quantifiers in a row are refused; a start that
floats is one of them. Patterns that one call may have to try one after the other share WAYS_MAX (sql/migrations/0025).
Rule 3: only what RE2 knows too (no look-around, back-reference, atomic or conditional group), so that RE2 can take
its place without a change of anybody's rules.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache
from re import _constants as ops  # type: ignore[attr-defined]  # the parsed form of a pattern has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

TEXT_MAX = 128  # characters that a pattern may be tried on: `sip:` + 64-character user + a usual host
PATTERN_MAX = 1023  # characters of a pattern, as Sipwise C5 allows
PATHS_MAX = 4 * (TEXT_MAX + 1) ** 2  # two free choices and a little. Worst found: 2 ms, usual: < 0.1 ms
WAYS_MAX = 8 * (TEXT_MAX + 1) ** 2  # of all patterns of one list. Worst found: 10 ms on a number, 40 ms on TEXT_MAX
COMPILED_MAX = 4096  # patterns kept compiled per process

_ONE_WAY = frozenset((ops.LITERAL, ops.NOT_LITERAL, ops.IN, ops.ANY, ops.AT))
_REPEATS = frozenset((ops.MAX_REPEAT, ops.MIN_REPEAT))
_STARTS = frozenset((ops.AT_BEGINNING, ops.AT_BEGINNING_STRING))


class Pattern(NamedTuple):
    """A compiled pattern, or `fault`: why it is refused (then `regex` is None and it matches nothing).

    ways: at most so many are there to try it on TEXT_MAX characters; PATHS_MAX at most.
    """

    regex: re.Pattern[str] | None
    fault: str = ""
    ways: int = 0

    def search(self, text: str) -> re.Match[str] | None:
        """Return the first match in `text`, anchored only as written; None for a refused pattern or a long text."""
        if self.regex is None or len(text) > TEXT_MAX:
            return None
        return self.regex.search(text)


TOO_MUCH = Pattern(None, "too many ways to try the list")
"""Stands for each pattern of a list whose ways go beyond WAYS_MAX together."""


@lru_cache(maxsize=COMPILED_MAX)
def compile_pattern(source: str) -> Pattern:
    """Return the pattern of an operator's regular expression; never raises.

    source: at most PATTERN_MAX characters; "" matches everything.
    """
    if len(source) > PATTERN_MAX:
        return Pattern(None, f"longer than {PATTERN_MAX} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an ambiguous set such as [[a] is refused everywhere alike
            tree = parser.parse(source)
            if tree.state.flags & ~(re.IGNORECASE | re.UNICODE):
                return Pattern(None, "flags other than (?i) are not allowed")
            starts = 1 if _is_anchored(tree) else TEXT_MAX + 1
            ways = starts * _paths(tree)
            if ways > PATHS_MAX:
                return Pattern(None, "nested or too many quantifiers")
            return Pattern(re.compile(source), ways=ways)
    except _UnsupportedError as unsupported:
        return Pattern(None, str(unsupported))
    except (re.error, OverflowError, RecursionError, Warning) as error:
        return Pattern(None, str(error) or type(error).__name__)


def fitting_mask(masks: Iterable[str], text: str) -> str | None:
    """Return the first shell pattern (`* ? [a-z]`) that all of `text` fits, None when none does; never raises.

    text: at most TEXT_MAX characters; a longer one fits nothing.
    """
    if len(text) > TEXT_MAX:
        return None
    return next((mask for mask in masks if _mask(mask).match(text)), None)


@lru_cache(maxsize=COMPILED_MAX)
def _mask(mask: str) -> re.Pattern[str]:
    """Return the compiled form of a shell pattern, which never tries a star twice; of one too long, what fits nothing.

    (fnmatch itself forgets all but a few hundred.)
    """
    try:
        return re.compile(translate(mask) if len(mask) <= PATTERN_MAX else r"(?!)")
    except (re.error, OverflowError, RecursionError):
        return re.compile(r"(?!)")


class _UnsupportedError(Exception):
    """The pattern uses what RE2 does not know."""


def _is_anchored(tree: Any) -> bool:
    return len(tree) > 0 and tree[0][0] is ops.AT and tree[0][1] in _STARTS


def _paths(tree: Any) -> int:
    """Return an upper bound of the ways to try `tree` from one starting point, cut at just above PATHS_MAX."""
    paths = 1
    for op, argument in tree:
        paths = min(paths * _choices(op, argument), PATHS_MAX + 1)
    return paths


def _choices(op: Any, argument: Any) -> int:
    if op in _ONE_WAY:
        return 1
    if op is ops.SUBPATTERN:
        return _paths(argument[-1])
    if op is ops.BRANCH:
        return sum(_paths(branch) for branch in argument[1])
    if op in _REPEATS:
        return _repetitions(*argument)
    raise _UnsupportedError(f"{str(op).lower().replace('_', ' ')} is not supported")


def _repetitions(low: int, high: int, body: Any) -> int:
    """Sum the ways over each possible number of rounds; a text of TEXT_MAX characters has no more rounds."""
    each = _paths(body)
    rounds = min(high, TEXT_MAX)
    total = 0
    for count in range(min(low, rounds), rounds + 1):
        total += each**count
        if total > PATHS_MAX:
            return PATHS_MAX + 1
    return total
