"""From which number on the outbox is looked at: the beginning once a second, what was seen 10 s ago in between.

While somebody's long transaction keeps deleted rows alive, each look from the beginning reads past all of them.
Numbers are given in the order of time, so a row below the window is of a transaction that was open for longer than
10 s: it waits up to a second more.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Final

LATE_S: Final = 10
LOOK_S: Final = 1  # between two looks from the beginning
SEEN_S: Final = 0.5


class Window:
    """From which number on to look next."""

    def __init__(self) -> None:
        """Begin with a look from the beginning."""
        self._seen: deque[tuple[float, int]] = deque()  # when, and the least number in the half second from then on
        self._look_at = 0.0

    def first(self) -> int:
        """Return the least number to look for now; 0: from the beginning."""
        now = time.monotonic()
        while len(self._seen) > 1 and self._seen[1][0] < now - LATE_S:
            self._seen.popleft()
        if now >= self._look_at or not self._seen or self._seen[0][0] > now - LATE_S:
            self._look_at = now + LOOK_S
            return 0
        return min(number for _, number in self._seen)

    def saw(self, number: int) -> None:
        """Note the least number of the rows that were seen."""
        now = time.monotonic()
        if self._seen and self._seen[-1][0] > now - SEEN_S:
            since, least = self._seen.pop()
            self._seen.append((since, min(number, least)))
        else:
            self._seen.append((now, number))
