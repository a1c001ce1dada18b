"""What the NOC has ordered, followed by each node's agent: it stands in Redis, and the workers here hear of it.

Rule 1: what is over is let go by this node's clock, whether Redis answers or not.
Rule 2: a Redis that has lost everything ends no measure: what is known here stays until it is over, or until something
is ordered there anew.
"""

from __future__ import annotations

from kemi.adapters import ksr_measures, redis_measures
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.redis_measures import FLUSH, LOG_LEVEL, Measure, Reader
from kemi.core.measures import ALL_NODES


class MeasureWatch:
    """Of the agent of one node."""

    def __init__(self, ksr: Ksr, node: str, store: Reader) -> None:
        self._ksr = ksr
        self._node = node
        self._store = store
        self._version = 0
        self._known: list[Measure] = []
        self._level: int | None = None
        self._is_new = True

    @property
    def is_known(self) -> bool:
        """Whether it has been read what is ordered: else the workers go on with what the code before a reload told."""
        return bool(self._version)

    def follow(self, version: int, now_ms: int) -> None:
        """Read what is ordered where it has changed. version: keys.MEASURED. Raises StoreUnavailable."""
        if version and version != self._version:
            self._known = redis_measures.in_force(self._store, now_ms)
            self._version = version

    def turn(self, now_ms: int) -> str:
        """Let go what is over, obey what is new, and return what tells the workers, "" = nothing is ordered."""
        if not (self._known or self._is_new or self._level is not None):
            return ""
        known = self._known = [each for each in self._known if each.until_ms > now_ms]
        self._set_level(known)
        pairs = redis_measures.pairs(known)
        flush = max((each.at_ms for each in known if each.what.order == FLUSH), default=0)
        self._is_new = False
        return ksr_measures.news(self._ksr, pairs, str(flush or ""))

    def _set_level(self, known: list[Measure]) -> None:
        """Set the level of the log: what is ordered for this node, else what is for all."""
        levels = {each.what.value: each.told.level for each in known if each.what.order == LOG_LEVEL}
        level = levels.get(self._node, levels.get(ALL_NODES))
        if level != self._level or self._is_new:
            ksr_measures.set_level(self._ksr, level)
            self._level = level
