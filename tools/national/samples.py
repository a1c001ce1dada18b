"""Numbers that a pattern of the metadata describes: some of each of its branches, the same ones at each run."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from re import _constants as ops  # type: ignore[attr-defined]  # the parsed form of a pattern has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

SAMPLES: Final = 400
DIGITS: Final = "0123456789"


def samples(pattern: str, count: int = SAMPLES) -> Iterator[str]:
    """Yield numbers that match all of a pattern of digits, sets, groups and bounded repeats."""
    random, tree = Random(pattern), parser.parse(pattern)  # noqa: S311  no secret
    for _ in range(count):
        yield "".join(_drawn(random, tree))


def _drawn(random: Random, tree: Any) -> Iterator[str]:
    for op, argument in tree:
        if op is ops.LITERAL:
            yield chr(argument)
        elif op is ops.IN:
            yield random.choice(_digits_of(argument))
        elif op is ops.SUBPATTERN:
            yield from _drawn(random, argument[-1])
        elif op is ops.BRANCH:
            yield from _drawn(random, random.choice(argument[1]))
        elif op is ops.MAX_REPEAT:
            low, high, body = argument
            for _ in range(random.randint(low, high)):
                yield from _drawn(random, body)
        else:
            raise ValueError(f"{pattern_word(op)} is no part of a numbering plan")


def pattern_word(op: Any) -> str:
    """Return what a part of a pattern is called."""
    return str(op).lower().replace("_", " ")


def _digits_of(items: Any) -> str:
    """Return the digits in a set."""
    found: list[str] = []
    for op, argument in items:
        if op is ops.LITERAL:
            found.append(chr(argument))
        elif op is ops.RANGE:
            found += map(chr, range(argument[0], argument[1] + 1))
        elif op is ops.CATEGORY and argument is ops.CATEGORY_DIGIT:
            found += DIGITS
        else:
            raise ValueError(f"{pattern_word(op)} is no part of a set of digits")
    return "".join(found)
