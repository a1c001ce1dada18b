"""One call as the agent keeps it, and as it goes through a reload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from kemi.adapters.ksr_queue import Started
from kemi.adapters.redis_funds import Extend
from kemi.records import PinnedCall, Rate


@dataclass(slots=True)
class Talk:
    """One call that goes on. granted_s: talk time paid for. seq: of the last operation. due_ns: when to look at it."""

    call: PinnedCall
    pinned: bytes
    funds: tuple[str, ...]
    granted_s: int
    is_held: bool
    seq: int = 0
    due_ns: int = 0
    started: Started | None = None
    pending: Extend | None = None

    @property
    def rates(self) -> list[list[Rate]]:
        """Per fund, in the order of the hold, the rates that it pays."""
        return [[leg.rate for leg in self.call.legs if leg.fund == fund] for fund in self.funds]

    def next_op(self) -> tuple[str, str, int]:
        """Return operation id, rid and sequence of the next operation."""
        self.seq += 1
        return f"{self.call.rid}:{self.seq}", self.call.rid, self.seq


class Kept(NamedTuple):
    """A Talk on its way through a reload. Fields as there, in the same order, without the unpacked call."""

    pinned: bytes
    funds: tuple[str, ...]
    granted_s: int
    is_held: bool
    seq: int
    due_ns: int
    started: Started | None
    pending: Extend | None
