"""The one fenced syncer at work: how it begins, a pass, a full load, and what makes it stop and ask.

A pass is one REPEATABLE READ transaction: read outbox rows and the current state of what they name, apply, delete
exactly those rows, commit. Killed anywhere, it leaves the rows behind; the next pass applies a state that is as new or
newer, with a greater version. Row versions would not do: two transactions on one row commit in either order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from tools.sync.compare import batches, differing, differing_buckets, rate_set_id, surplus
from tools.sync.kinds import KINDS, RATE_SET, Kind
from tools.sync.marker import FrozenError, Start, how_to_start
from tools.sync.source import RESET, OutboxRow, Source, WrongRow
from tools.sync.store import STEP_KEYS, Change, Store

ROWS_MAX: Final = 5_000  # outbox rows of one pass
LOAD_CHANGES: Final = 10 * STEP_KEYS  # held in memory at once during a full load
BRAKE_ROWS: Final = 50
BRAKE_PERCENT: Final = 5
PASS_MASK: Final = 0xFFFFFFFF
GENERATION_S: Final = 1  # between two generations that are noted; replaying calls needs no finer ones

log = logging.getLogger("tandem.sync")

_EXPLAINED: Final = {
    Start.RESUME: "Redis is as the last syncer left it",
    Start.REPAIR: "Redis or the last syncer stopped inside a pass, or Postgres has a new timeline; making all equal",
    Start.REPLACE: "Redis is empty or holds another database; loading everything",
}


class Plan(NamedTuple):
    """What a pass does, in order. removals come last and in the opposite order of kinds."""

    upserts: list[Change]
    removals: list[Change]


class Syncer:
    """Holds the lock already; from `start` on the fence too.

    Every method may raise psycopg.Error, StoreUnavailable, FencedError, LostError: then drop both connections and begin
    again. FrozenError: Redis stays as it is until an operator decides.
    """

    def __init__(self, source: Source, store: Store, *, accept: bool) -> None:
        """accept: an operator has allowed mass deletion and a restored past."""
        self._source = source
        self._store = store
        self._accept = accept
        self.wrong: dict[str, str] = {}
        self._noted = 0
        self._note_at = 0.0

    def start(self) -> None:
        """Take over from whoever synced before; make everything equal where that is not certain."""
        fence = self._source.next_fence(self._store.fence())
        redis_pass, stored = self._store.begin(fence)
        how = how_to_start(
            stored,
            self._source.marker(durable=False),
            redis_pass & PASS_MASK,
            self._source.last_pass(),
            accept_past=self._accept,
        )
        log.info("active with fence %d: %s", fence, _EXPLAINED[how])
        if how is Start.RESUME:
            self.beat()
        else:
            self._load(forget=how is Start.REPLACE)

    def beat(self) -> None:
        """Say that the syncer lives, and find out whether Redis is as it was left."""
        self._store.commit(self._source.marker(durable=True))
        if self._is_generation_due():
            with self._source.snapshot():
                if not self._source.waiting():  # so Redis has all that this snapshot sees
                    self._note_generation()

    def run_pass(self) -> bool:
        """Apply what the outbox names; False when it names nothing."""
        if not self._source.waiting():
            return False
        with self._source.snapshot():
            rows = self._source.outbox(ROWS_MAX)
            plan = self._plan(rows)
            self._write_buckets(plan.upserts)
            self._apply(plan.upserts)
            self._apply(plan.removals)
            self._drop_buckets(plan.removals)
            self._store.commit(self._source.marker(durable=True))
            self._source.delete([row.id for row in rows])
            if len(rows) < ROWS_MAX and self._is_generation_due():
                self._note_generation()
        return True

    def _plan(self, rows: Sequence[OutboxRow]) -> Plan:
        plan = Plan([], [])
        for kind in KINDS:
            names = sorted({row.key for row in rows if row.kind == kind.view})
            if RESET in names:
                gone = surplus(self._source, self._store, kind)
                self._brake(kind, gone)
                plan.upserts.extend(self._changes(kind, self._source.all_aggregates(kind)))
            elif names:
                found = self._source.aggregates(kind, names)
                gone = self._store.living(kind, [name for name in names if name not in found])
                if len(gone) > BRAKE_ROWS:  # the outbox may hold more of the same deletion than this pass takes
                    self._brake(kind, self._store.living(kind, self._source.vanished(kind)))
                plan.upserts.extend(self._upserts(kind, found.items()))
            else:
                continue
            plan.removals[:0] = [Change(kind, name, None) for name in gone]
        return plan

    def _load(self, *, forget: bool) -> None:
        """Make Redis equal to one snapshot, whatever it holds. forget: workers use nothing of it meanwhile."""
        began, written = time.monotonic(), 0
        with self._source.snapshot():
            gone = {kind: surplus(self._source, self._store, kind) for kind in KINDS}
            for kind, names in gone.items():
                self._brake(kind, names)
            if forget:
                self._store.forget()
            for kind in KINDS:
                if kind.view == RATE_SET:
                    self._load_buckets(kind)
                for some in batches(self._changes(kind, self._source.all_aggregates(kind)), LOAD_CHANGES):
                    self._apply(some)
                    written += len(some)
            removals = [Change(kind, name, None) for kind in reversed(KINDS) for name in gone[kind]]
            self._apply(removals)
            self._drop_buckets(removals)
            self._store.commit(self._source.marker(durable=True), self._source.next_pass())
            self._note_generation()
            self._source.delete_seen()
        log.info("all equal: %d written, %d removed in %.1f s", written, len(removals), time.monotonic() - began)

    def _load_buckets(self, kind: Kind) -> None:
        """Write the buckets of every rate set; remove those of sets that Postgres does not have."""
        known = {rate_set_id(name) for name in self._source.names(kind)}
        for number in known:
            self._complete_buckets(number)
        for number in set(self._store.rate_sets()) - known:
            self._store.drop_buckets(number)

    def _write_buckets(self, upserts: Iterable[Change]) -> None:
        for change in upserts:
            if change.kind.view == RATE_SET:
                self._complete_buckets(rate_set_id(change.name))

    def _drop_buckets(self, removals: Iterable[Change]) -> None:
        for change in removals:
            if change.kind.view == RATE_SET:
                self._store.drop_buckets(rate_set_id(change.name))

    def _complete_buckets(self, number: int) -> None:
        lacking, foreign = differing_buckets(self._source, self._store, number)
        if foreign:  # nobody but a stranger writes such: begin the set anew
            self._store.drop_buckets(number)
            lacking = list(self._source.buckets(number))
        for some in batches(lacking, STEP_KEYS):
            self._store.add_buckets(number, some)

    def _upserts(self, kind: Kind, rows: Iterable[tuple[str, object | WrongRow]]) -> Iterable[Change]:
        """Yield `rows` as changes. Many rows make one of a kind: most changes to them leave it as it is."""
        if kind.is_one:
            return self._changes(kind, rows)
        return (Change(kind, name, record) for name, record in self._right(rows))

    def _changes(self, kind: Kind, rows: Iterable[tuple[str, object | WrongRow]]) -> Iterable[Change]:
        """Yield what brings Redis to `rows`."""
        for difference in differing(self._store, kind, self._right(rows)):
            yield Change(kind, difference.name, difference.record)

    def _right(self, rows: Iterable[tuple[str, object | WrongRow]]) -> Iterable[tuple[str, object]]:
        """Pass on rows that are records. Of a wrong one Redis keeps what it has: one tenant's row stops nobody else."""
        for name, record in rows:
            if isinstance(record, WrongRow):
                self.wrong[name] = record.why
                log.error("%s is wrong in Postgres, Redis keeps its last state: %s", name, record.why)
            else:
                self.wrong.pop(name, None)
                yield name, record

    def _apply(self, changes: Sequence[Change]) -> None:
        left_alone = self._store.apply(changes, self._source.next_pass)
        if left_alone:
            log.error("%d values in Redis are newer than any pass of this syncer; run tandem sync --verify", left_alone)

    def _is_generation_due(self) -> bool:
        return self._store.version > self._noted and time.monotonic() >= self._note_at

    def _note_generation(self) -> None:
        """Remember what Redis has now; inside a snapshot all of which it has."""
        self._noted, self._note_at = self._store.version, time.monotonic() + GENERATION_S
        self._source.note_generation(self._noted)

    def _brake(self, kind: Kind, gone: Sequence[str]) -> None:
        """Raise FrozenError when deleting `gone` would take more than 5 % of a kind, and more than 50."""
        if self._accept or len(gone) <= BRAKE_ROWS:
            return
        total = self._source.count(kind) + len(gone)
        if len(gone) * 100 > total * BRAKE_PERCENT:
            raise FrozenError(
                f"{len(gone)} of {total} in {kind.view} would be deleted from Redis, for example {gone[0]}; more than "
                f"{BRAKE_PERCENT} % wants an operator. Configuration in Redis is frozen; calls go on with it. "
                "If that is meant: tandem sync --once --yes"
            )
