"""Counts by name over the last minute, five minutes and hour, and since the start. Pure: the time comes in.

Rule 1: what is asked for is ready: each count is added to every window at once, and taken off when its bucket leaves.
What is counted again and again until somebody asks is added up first.
Rule 2: memory is bounded: names and fields beyond so many are counted together, as OTHER.
A window is whole buckets, the one that is filled now among them: so it reaches back up to BUCKET_S less than it says.
"""

from __future__ import annotations

import json
from typing import Final

BUCKET_S: Final = 10
SPANS_S: Final = (60, 300, 3_600)
START: Final = 0  # the window since the start
OTHER: Final = "other"
FIELDS_MAX: Final = 64
FRESH_MAX: Final = 256
_LONGEST: Final = SPANS_S[-1] // BUCKET_S

Counts = dict[str, dict[str, int]]
"""Name -> field -> count."""


class Tally:
    """Counts of one kind. names_max: how many names an hour may have, and as many since the start."""

    def __init__(self, names_max: int, started_s: int) -> None:
        """Begin. started_s: the time; here and below whole seconds of a clock that never goes back."""
        self._names_max = names_max
        self.started_s = started_s
        self._now = started_s // BUCKET_S
        self._buckets: dict[int, Counts] = {}
        self._peaks: dict[int, Counts] = {}
        self._most: Counts = {}
        self._sums: dict[int, Counts] = {span_s: {} for span_s in (*SPANS_S, START)}
        self._fresh: dict[tuple[str, str], int] = {}

    def add(self, now_s: int, name: str, field: str, count: int = 1) -> None:
        """Count."""
        if count <= 0:
            return
        self._advance(now_s)
        what = (name, field)
        self._fresh[what] = self._fresh.get(what, 0) + count
        if len(self._fresh) >= FRESH_MAX:
            self._add_up()

    def peak(self, now_s: int, name: str, field: str, value: int) -> None:
        """Note a value of which the largest counts. Only for names and fields of which there are few."""
        self._advance(now_s)
        for counts in (self._most, self._peaks.setdefault(self._now, {})):
            fields = counts.setdefault(name, {})
            fields[field] = max(value, fields.get(field, value))

    def read(self, now_s: int, span_s: int) -> Counts:
        """Return the counts of a window; the caller changes nothing in them. span_s: of SPANS_S, or START."""
        self._advance(now_s)
        self._add_up()
        return self._sums[span_s]

    def largest(self, now_s: int, span_s: int, name: str, field: str) -> int:
        """Return the largest value noted in a window, 0 = none."""
        self._advance(now_s)
        first = self._now - span_s // BUCKET_S
        within = [self._most] if span_s == START else [each for at, each in self._peaks.items() if at > first]
        return max((each.get(name, {}).get(field, 0) for each in within), default=0)

    def covered_s(self, now_s: int, span_s: int) -> int:
        """Return how many seconds a window covers by now, at least one."""
        since = self.started_s
        if span_s != START:
            since = max(since, (now_s // BUCKET_S + 1) * BUCKET_S - span_s)
        return max(1, now_s - since)

    def export(self) -> bytes:
        """Return all as bytes, for the code after a reload."""
        self._add_up()
        kept = [self.started_s, self._now, self._buckets, self._peaks, self._most, self._sums[START]]
        return json.dumps(kept).encode()

    def restore(self, exported: bytes) -> None:
        """Take over what `export` of the code before returned. Raises ValueError for other bytes."""
        self._fresh = {}
        self.started_s, self._now, buckets, peaks, self._most, start = json.loads(exported)
        self._buckets, self._peaks = ({int(at): counts for at, counts in kept.items()} for kept in (buckets, peaks))
        self._sums = {span_s: {} for span_s in SPANS_S} | {START: start}
        for at, counts in self._buckets.items():
            for span_s in SPANS_S:
                if at > self._now - span_s // BUCKET_S:
                    _merge(self._sums[span_s], counts, 1)

    def _advance(self, now_s: int) -> None:
        """Let the buckets go that a window has left behind."""
        before, at = self._now, now_s // BUCKET_S
        if at <= before:
            return
        self._add_up()
        self._now = at
        for span_s in SPANS_S:
            size = span_s // BUCKET_S
            if self._now - before >= size:
                self._sums[span_s] = {}
                continue
            for at in range(before - size + 1, self._now - size + 1):
                _merge(self._sums[span_s], self._buckets.get(at, {}), -1)
        for kept in (self._buckets, self._peaks):
            for at in [at for at in kept if at <= self._now - _LONGEST]:
                del kept[at]

    def _add_up(self) -> None:
        """Add what is fresh to its bucket and to every window."""
        fresh, self._fresh = self._fresh, {}
        for (name, field), count in fresh.items():
            _add(self._sums[START], *self._admitted(self._sums[START], name, field), count)
            admitted = self._admitted(self._sums[SPANS_S[-1]], name, field)
            _add(self._buckets.setdefault(self._now, {}), *admitted, count)
            for span_s in SPANS_S:
                _add(self._sums[span_s], *admitted, count)

    def _admitted(self, counts: Counts, name: str, field: str) -> tuple[str, str]:
        """Return under what to count: OTHER where there are too many names or fields already."""
        if name not in counts and len(counts) >= self._names_max:
            name = OTHER
        fields = counts.get(name, {})
        return name, field if field in fields or len(fields) < FIELDS_MAX else OTHER


def _add(counts: Counts, name: str, field: str, count: int) -> None:
    """Add, and keep nothing that is 0."""
    fields = counts.setdefault(name, {})
    fields[field] = fields.get(field, 0) + count
    if not fields[field]:
        del fields[field]
        if not fields:
            del counts[name]


def _merge(counts: Counts, other: Counts, sign: int) -> None:
    for name, fields in other.items():
        for field, count in fields.items():
            _add(counts, name, field, sign * count)
