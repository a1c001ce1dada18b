"""What time demands of one call that goes on: slices in advance, pay for what was talked, the end. No clock, no I/O.

Rule 1: the deadline counts from the 200. Shortly before it the next slice is asked for, as long as there may be more.
Rule 2: each part_s of its own talk a call pays, so that calls which began apart pay apart, also after a restart.
Rule 3: prices are of the whole call: a row of an extension is never below what is held, a part never beyond it.
"""

from __future__ import annotations

from typing import Final

from kemi import codec
from kemi.adapters.ksr_queue import Started
from kemi.adapters.redis_operations import Applied, Extend, Part, Replayed, Result
from kemi.agent_ends import answered_end
from kemi.agent_talk import Talk
from kemi.core.rating import charges, raised, schedule
from kemi.records import CallEnd
from kemi.settings import Limits

LEAD_MAX_S: Final = 10.0  # longer than a promoted Redis is away, so that it costs no call
LEAD_SHARE: Final = 0.25  # of a slice; a short slice is extended later, or it would be extended all the time
NS: Final = 1_000_000_000
MS: Final = 1_000_000  # nanoseconds
TALKING: Final = "talking"


def deadline_ns(talk: Talk, started: Started) -> int:
    """Return when the granted talk is over, on CLOCK_MONOTONIC."""
    return started.answered_ns + talk.granted_s * NS


def next_look_ns(talk: Talk, started: Started, limits: Limits) -> int:
    """Return when something must be done about a call: an extension, a part, or its end."""
    at_ns = min(_extend_ns(talk, started, limits), deadline_ns(talk, started))
    return min(at_ns, _part_ns(talk, started, limits)) if talk.is_held else at_ns


def due_operation(talk: Talk, started: Started, limits: Limits, now_ns: int) -> Extend | Part | None:
    """Return what is due: the next slice first, nothing when it is too early for anything."""
    if talk.is_held and talk.granted_s < talk.call.max_s and now_ns >= _extend_ns(talk, started, limits):
        return _extension(talk, started, limits, now_ns)
    if talk.is_held and now_ns >= _part_ns(talk, started, limits):
        return _part(talk, started, limits, now_ns)
    return None


def seconds_up(nanoseconds: int) -> int:
    """Return begun seconds, 0 for what is not above 0."""
    return max(0, -(-nanoseconds // NS))


def end_of(talk: Talk, started: Started, by: str, ended_ns: int, ended_ms: int) -> CallEnd:
    """Return the end of an answered call. What its parts have charged already stays charged."""
    talk_ns = max(0, ended_ns - started.answered_ns)
    billed_s = max(min(seconds_up(talk_ns), talk.granted_s), talk.posted_s)
    return answered_end(started, "answered", ended_ms, talk_ns // MS, billed_s, by)


def granted_s(result: Result) -> int:
    """Return the seconds that an operation found or left granted, 0 where it was not taken."""
    return result.granted_s if isinstance(result, Applied | Replayed) else 0


def _extend_ns(talk: Talk, started: Started, limits: Limits) -> int:
    may_extend = talk.is_held and talk.granted_s < talk.call.max_s
    lead_s = min(LEAD_MAX_S, limits.slice_s * LEAD_SHARE) if may_extend else 0.0
    return deadline_ns(talk, started) - int(lead_s * NS)


def _part_ns(talk: Talk, started: Started, limits: Limits) -> int:
    return started.answered_ns + (talk.posted_s // limits.part_s + 1) * limits.part_s * NS


def _extension(talk: Talk, started: Started, limits: Limits, now_ns: int) -> Extend:
    paid, to_s = talk.paid, min(talk.granted_s + limits.slice_s, talk.call.max_s)
    held = talk.held_micros or charges(paid, talk.granted_s, started.answered_ms)
    rows = raised(schedule(paid, talk.granted_s, to_s, started.answered_ms), held)
    left_s = seconds_up(deadline_ns(talk, started) - now_ns) + to_s - talk.granted_s
    return Extend(*talk.next_op(), rows=rows, lease_s=left_s)


def _part(talk: Talk, started: Started, limits: Limits, now_ns: int) -> Part:
    """Return the pay for all whole parts that were talked; there are several after a node was away."""
    talked_s = min((now_ns - started.answered_ns) // NS, talk.granted_s)
    billed_s = talked_s // limits.part_s * limits.part_s
    talk_ms = billed_s * 1000
    end = answered_end(started, TALKING, started.answered_ms + talk_ms, talk_ms, billed_s)
    price_micros = charges(talk.paid, billed_s, started.answered_ms)
    return Part(*talk.next_op(), billed_s, price_micros, codec.pack(end))
