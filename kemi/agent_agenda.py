"""When each call is to be looked at again: one time per call, the newest that was said."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from kemi.agent_talk import Talk


class Agenda:
    """Of the calls of a node."""

    def __init__(self) -> None:
        self._due: list[tuple[int, str]] = []

    def look_again(self, talk: Talk, due_ns: int) -> None:
        """Look at a call then, and not when it was said before. due_ns: CLOCK_MONOTONIC."""
        talk.due_ns = due_ns
        heapq.heappush(self._due, (due_ns, talk.call.rid))

    def next(self, talks: Mapping[str, Talk], now_ns: int) -> Talk | None:
        """Return one of the calls among `talks` whose time has come, None when there is none any more."""
        while self._due and self._due[0][0] <= now_ns:
            due_ns, rid = heapq.heappop(self._due)
            talk = talks.get(rid)
            if talk is not None and talk.due_ns == due_ns:
                return talk
        return None
