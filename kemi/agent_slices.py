"""What time demands of one call that goes on: slices in advance, pay for what was talked, the end. No clock, no I/O.

Rule 1: the deadline counts from the 200. Shortly before it the next slice is asked for, as long as there may be more.
Rule 2: each part_s of its own talk a call pays, so that calls which began apart pay apart, also after a restart; and
shortly before a payer's day ends, so that its windows count what was talked in them.
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
DAY_LEAD_MS: Final = 1_000  # before the end of a day: Redis counts by its own clock, when it hears of the part
NS: Final = 1_000_000_000
MS: Final = 1_000_000  # nanoseconds
TALKING: Final = "talking"
MAXIMUM: Final = "maximum"
MONEY: Final = "money"
STORE_DOWN: Final = "store_down"
NODE_LOST: Final = "node_lost"


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
        extension = _extension(talk, started, limits, now_ns)
        if extension is not None:
            return extension
        talk.call = talk.call._replace(max_s=talk.granted_s)  # no more can be paid by anybody, ever
    if talk.is_held and now_ns >= _part_ns(talk, started, limits):
        return _part(talk, started, limits, now_ns)
    return None


def seconds_up(nanoseconds: int) -> int:
    """Return begun seconds, 0 for what is not above 0."""
    return max(0, -(-nanoseconds // NS))


def end_of(talk: Talk, started: Started, by: str, ended_ns: int, ended_ms: int) -> CallEnd:
    """Return the end of an answered call. What its parts have charged already stays charged."""
    talk_ns = max(0, ended_ns - started.answered_ns)
    billed_s = max(min(seconds_up(talk_ns), max(talk.granted_s, talk.until_s)), talk.posted_s)
    end = answered_end(started, "answered", ended_ms, talk_ns // MS, billed_s, by)
    beyond_s = billed_s - talk.granted_s
    if beyond_s <= 0:
        return end
    return end._replace(trace=(f"the store was down: {beyond_s} s were talked beyond what was held",))


def extended(talk: Talk, operation: Extend, result: Result) -> bool:
    """Take in what Redis says to an extension; tell whether it granted more talk.

    A refusal stays the reason, whatever keeps us from asking once more.
    """
    if not isinstance(result, Applied | Replayed):
        talk.unextended = talk.unextended or STORE_DOWN
        return False
    if result.granted_s <= talk.granted_s:
        talk.unextended = MONEY
        return False
    talk.granted_s = result.granted_s
    talk.held_micros = next((row.price_micros for row in operation.rows if row.talk_s == talk.granted_s), ())
    return True


def out_of_time(talk: Talk) -> str:
    """Return what ends a call whose granted talk is over, in the words of CallEnd.ended_by.

    A call for which nobody asked in time was not followed then: its node was dead, or stood still.
    """
    if talk.granted_s >= talk.call.max_s:
        return MAXIMUM
    return talk.unextended or (STORE_DOWN if talk.pending else NODE_LOST)


def _extend_ns(talk: Talk, started: Started, limits: Limits) -> int:
    may_extend = talk.is_held and talk.granted_s < talk.call.max_s
    lead_s = min(LEAD_MAX_S, limits.slice_s * LEAD_SHARE) if may_extend else 0.0
    return deadline_ns(talk, started) - int(lead_s * NS)


def _part_ns(talk: Talk, started: Started, limits: Limits) -> int:
    part_s, day_s = (talk.posted_s // limits.part_s + 1) * limits.part_s, _day_s(talk, started)
    return started.answered_ns + (min(part_s, day_s) if day_s else part_s) * NS


def _day_s(talk: Talk, started: Started) -> int:
    """Return how many seconds are talked just before the next end of a day, 0 where none lies ahead."""
    ends_s = ((at_ms - DAY_LEAD_MS - started.answered_ms) // 1000 for at_ms in talk.call.part_at_ms)
    return next((end_s for end_s in ends_s if end_s > talk.posted_s), 0)


def _extension(talk: Talk, started: Started, limits: Limits, now_ns: int) -> Extend | None:
    """Return what asks for the next slice; None: its first increment costs more than any call may."""
    talked_s = (now_ns - started.answered_ns) // NS
    paid, to_s = talk.paid, min(max(talk.granted_s, talked_s) + limits.slice_s, talk.call.max_s)
    held = talk.held_micros or charges(paid, talk.granted_s, started.answered_ms)
    rows = raised(schedule(paid, talk.granted_s, to_s, started.answered_ms), held)
    if not rows:
        return None
    left_s = seconds_up(started.answered_ns + rows[-1].talk_s * NS - now_ns)
    return Extend(*talk.next_op(), rows=rows, lease_s=left_s)


def _part(talk: Talk, started: Started, limits: Limits, now_ns: int) -> Part:
    """Return the pay for all whole parts that were talked, there are several after a node was away.

    Over the end of a day it goes in two: what was talked before has to be counted there.
    """
    talked_s, day_s = min((now_ns - started.answered_ns) // NS, talk.granted_s), _day_s(talk, started)
    billed_s = day_s if 0 < day_s <= talked_s else talked_s // limits.part_s * limits.part_s
    talk_ms = billed_s * 1000
    end = answered_end(started, TALKING, started.answered_ms + talk_ms, talk_ms, billed_s)
    price_micros = charges(talk.paid, billed_s, started.answered_ms)
    return Part(*talk.next_op(), billed_s, price_micros, codec.pack(end))
