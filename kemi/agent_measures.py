"""What the NOC has ordered, followed by each node's agent: it stands in Redis, and the workers here hear of it.

Rule 1: what is over is let go whether Redis answers or not: by Redis' clock, as the node knows it from the last answer
and its own monotonic clock. A node whose date is wrong ends nothing early or late.
Rule 2: a Redis that has lost everything ends no measure: what is known here stays until it is over, or until something
is ordered there anew. A reload of the code loses none either.
"""

from __future__ import annotations

import json
from typing import Final

from kemi.adapters import ksr_measures, redis_measures
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.redis_measures import FLUSH, LOG_LEVEL, Measure, Reader, Told, What
from kemi.core.measures import ALL_NODES

NS_PER_MS: Final = 1_000_000
AGAIN_NS: Final = 1_000_000_000  # a log level that could not be set is set again no sooner


class MeasureWatch:
    """Of the agent of one node. now_ns, here and below: CLOCK_MONOTONIC, which a reload does not touch."""

    def __init__(self, ksr: Ksr, node: str, store: Reader) -> None:
        self._ksr = ksr
        self._node = node
        self._store = store
        self._version = 0
        self._ahead_ms = 0
        self._known: list[Measure] = []
        self._level: int | None = None
        self._is_new = True
        self._level_at_ns = 0

    @property
    def is_known(self) -> bool:
        """Whether it has been read what is ordered: else the workers go on with what the code before a reload told."""
        return bool(self._version)

    def follow(self, version: int, now_ns: int) -> None:
        """Read what is ordered where it has changed. version: keys.MEASURED. Raises StoreUnavailable."""
        if version and version != self._version:
            now_ms = redis_measures.clock_ms(self._store)
            self._known = redis_measures.in_force(self._store, now_ms)
            self._version = version
            self.see(now_ms, now_ns)

    def see(self, redis_ms: int, now_ns: int) -> None:
        """Hear what time it is by Redis, Unix ms."""
        self._ahead_ms = redis_ms - now_ns // NS_PER_MS

    def turn(self, now_ns: int) -> str:
        """Let go what is over, and return what tells the workers, "" = nothing is ordered."""
        if not self._known:
            return ""
        redis_ms = now_ns // NS_PER_MS + self._ahead_ms
        known = self._known = [each for each in self._known if each.until_ms > redis_ms]
        flushes = [
            (each.at_ms, "" if each.what.value == ALL_NODES else each.what.value)
            for each in known
            if each.what.order == FLUSH
        ]
        return ksr_measures.news(self._ksr, redis_measures.pairs(known), flushes)

    def set_level(self, now_ns: int) -> None:
        """Set the level of the log: what is ordered for this node, else what is for all. Apart: it may fail."""
        levels = {each.what.value: each.told.level for each in self._known if each.what.order == LOG_LEVEL}
        level = levels.get(self._node, levels.get(ALL_NODES))
        if (level != self._level or self._is_new) and now_ns >= self._level_at_ns:
            self._level_at_ns = now_ns + AGAIN_NS
            ksr_measures.set_level(self._ksr, level)
            self._level, self._is_new, self._level_at_ns = level, False, 0

    def export(self) -> bytes:
        """Return what is known as bytes, for the code after a reload."""
        return json.dumps([self._version, self._ahead_ms, self._known]).encode()

    def restore(self, exported: bytes) -> None:
        """Take over what `export` of the code before returned, b"" = it had none. Raises ValueError for other bytes."""
        if exported:
            self._version, self._ahead_ms, rows = json.loads(exported)
            self._known = [Measure(What(*what), until_ms, at_ms, Told(*told)) for what, until_ms, at_ms, told in rows]
