"""How long a call is expected to last, by where it goes: what a carrier's price of a call is told for."""

from __future__ import annotations

from bisect import bisect_right
from itertools import takewhile

from kemi.core.draft import Draft
from kemi.records import Destination


def expected_s(draft: Draft, number: str) -> int:
    """Return how long a call to `number` is expected to last, 1 … the longest call: by its longest prefix, if any."""
    limits = draft.facts.limits
    found = draft.known.destinations(number)
    entry = longest(found.entries, number) if found else None
    return max(1, min(entry.expected_s if entry else limits.expected_s, limits.max_call_s))


def longest(entries: tuple[Destination, ...], number: str) -> Destination | None:
    """Return the entry with the longest prefix of `number`. entries: rising by prefix, as Destinations are."""
    within = number
    while True:
        place = bisect_right(entries, within, key=_prefix)
        if not place:
            return None
        entry = entries[place - 1]
        if within.startswith(entry.prefix):
            return entry
        pairs = takewhile(lambda pair: pair[0] == pair[1], zip(within, entry.prefix, strict=False))
        within = "".join(digit for digit, _ in pairs)


def _prefix(entry: Destination) -> str:
    return entry.prefix
