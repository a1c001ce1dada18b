"""Which nodes have told their calls, and which are waited for: values in, values out.

Rule 1: a node is waited for that was heard of within slice and grace before, by Redis' clock, or gives a sign of life
now. One of whom nothing was heard for longer has two seconds to give a sign: a clock may have stepped.
Rule 2: a node is silent that has given no sign for slice and grace of OUR monotonic clock. One that gives signs and
tells nothing, of a release before, is taken for silent after twice that: a rebuild always ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

NEW_SIGN_S: Final = 2.0  # a node that lives gives one every second


class Signs(NamedTuple):
    """What Redis has heard of nodes. redis_ms: its clock. seen: node -> when last, in its ms; asked: who told since."""

    redis_ms: int
    seen: Mapping[str, int]
    asked: frozenset[str]


class RollCall:
    """The nodes of one rebuild. expected: who is waited for. told: node -> how many calls it has told.

    silent: nodes that are waited for no more.
    """

    def __init__(self, epoch: int, known: Mapping[str, int], signs: Signs, silence_s: float, now_s: float) -> None:
        """known: node -> when Postgres heard of it last, in ms by Redis' clock."""
        self._epoch = epoch
        self._silence_s = silence_s
        self._began_s = now_s
        self._signs: dict[str, int] = dict(signs.seen)
        self._moved_s: dict[str, float] = {}
        oldest_ms = signs.redis_ms - int(silence_s * 1000)
        self._doubtful = set(known)
        self.expected = {node for node, seen_ms in known.items() if seen_ms >= oldest_ms} | signs.asked
        self.told: dict[str, int] = {}
        self.silent: tuple[str, ...] = ()

    def see(self, signs: Signs, now_s: float) -> None:
        """Take in signs of life."""
        for node, sign in signs.seen.items():
            if self._signs.get(node) != sign:
                self._moved_s[node] = now_s
            self._signs[node] = sign
        self.expected |= self._moved_s.keys() | signs.asked

    def missing(self, adopted: Mapping[str, tuple[int, int]], now_s: float) -> set[str]:
        """Return the nodes that are to be waited for. adopted: node -> epoch and calls, as it has told."""
        self.told = {node: calls for node, (epoch, calls) in adopted.items() if epoch == self._epoch}
        self.silent = tuple(sorted(node for node in self.expected - self.told.keys() if self._is_silent(node, now_s)))
        missing = self.expected - self.told.keys() - set(self.silent)
        if now_s - self._began_s < NEW_SIGN_S:
            missing |= self._doubtful - self.told.keys()
        return missing

    def _is_silent(self, node: str, now_s: float) -> bool:
        heard_s = self._moved_s.get(node, self._began_s)
        return now_s - heard_s >= self._silence_s or now_s - self._began_s >= 2 * self._silence_s
