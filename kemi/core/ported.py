"""Number portability: which network serves a number now.

Rule 1: the longest entry that the number begins with counts.
Rule 2: what is bought goes by the routing number: peering rules, carriers' decks, how long the call is expected to
last. What is sold goes by the number that was dialled: who calls knows no other.
Rule 3: a number whose entry cannot be used counts as not ported; the trace says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kemi import keys
from kemi.core.draft import Draft
from kemi.core.known import Known
from kemi.core.numbers import routing_number
from kemi.core.request import E164
from kemi.records import PortedNumber

ROUTING_DIGITS_MAX: Final = 24  # a routing prefix before a whole number


def names(known: Known, number: str) -> Iterator[str]:
    """Yield what has to be known to look `number` up. While the lengths are unknown, that is every beginning of it."""
    yield keys.PORTED_LENGTHS
    is_told = known.holds(keys.PORTED_LENGTHS)
    lengths = _lengths(known, number) if is_told else range(len(number), 0, -1)
    for length in lengths:
        yield keys.ported(number[:length])


def numbers(known: Known, number: str) -> Iterator[str]:
    """Yield `number`, and the one that it is routed by, as far as that is known before anything is fetched."""
    yield number
    for length in range(len(number), 0, -1):
        entry = known.cached(keys.ported(number[:length]))
        if isinstance(entry, PortedNumber):
            yield routing_number(number, entry._replace(routing=entry.routing or entry.digits))
            return


def lookup(draft: Draft, number: E164) -> PortedNumber | None:
    """Return the entry of a number that another network serves now, None for one that is where it always was."""
    for length in _lengths(draft.known, number):
        entry = draft.known.ported(number[:length])
        if entry is None:
            continue
        entry = entry._replace(routing=entry.routing or entry.digits)
        routing = routing_number(number, entry)
        if not number.startswith(entry.digits) or not _is_routable(routing):
            draft.note(f"ported number {entry.digits}: routing number {routing} cannot be used")
            return None
        draft.note(f"number {number} is ported: routed as {routing} by entry {entry.digits}")
        return entry
    return None


def _lengths(known: Known, number: str) -> tuple[int, ...]:
    lengths = known.ported_lengths()
    return tuple(length for length in lengths.lengths if 0 < length <= len(number)) if lengths else ()


def _is_routable(routing: str) -> bool:
    return 0 < len(routing) <= ROUTING_DIGITS_MAX and routing.isascii() and routing.isdecimal()
