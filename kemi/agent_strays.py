"""Answers to calls that are over in our books: the lease has run out, or they were told as failed. No clock, no I/O.

Rule: nobody pays for such a call, so it is ended on both sides at once, and told as one whose hold was lost.
"""

from __future__ import annotations

from typing import Final

from kemi.adapters.ksr_queue import Ended, Started
from kemi.agent_closing import Closings, byes
from kemi.agent_orders import LetGo, LookUp, Order

LOST_HOLD: Final = "lost_hold"


def stray(started: Started, closings: Closings, now_ns: int, now_ms: int) -> list[Order]:
    """Return what ends a call that is answered though nothing is known of it. Its reservation says what is told."""
    sends = byes(started.rid, started.call_id, started.caller, started.callee)
    closings.open(sends.values(), now_ns)
    ended = Ended(started.rid, LOST_HOLD, now_ns, now_ms)
    return [LookUp(ended, started), LetGo(started.rid, started.h_entry, started.h_id)]
