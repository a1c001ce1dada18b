"""The one fenced syncer at work: how it begins, a pass, a repair, a full load, and what makes it stop and ask.

A pass is one REPEATABLE READ transaction: read outbox rows and the current state of what they name, apply, delete
exactly those rows, commit. Killed anywhere, it leaves the rows behind; the next pass applies a state that is as new or
newer, with a greater version. Row versions would not do: two transactions on one row commit in either order.

A repair is a pass whose names come from a sweep instead of the outbox. Passes are serial and each has a snapshot of its
own, so whichever writes an aggregate last has seen it last.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Event
from typing import Any, Final, NamedTuple

from kemi import keys
from tools.sync.batches import batches
from tools.sync.certainty import Certainty
from tools.sync.compare import differing
from tools.sync.kinds import BY_VIEW, KINDS, RATE_SET, Kind
from tools.sync.marker import FrozenError, Marker, Start, how_to_start
from tools.sync.rate_loader import RateLoader
from tools.sync.rates import Rates
from tools.sync.source import RESET, OutboxRow, Source, WrongRow
from tools.sync.status import written
from tools.sync.store import READ_KEYS, STEP_KEYS, Change, Store
from tools.sync.sweep import Found, sorted_out

ROWS_MAX: Final = 5_000  # outbox rows of one pass
LOAD_CHANGES: Final = 10 * STEP_KEYS  # held in memory at once during a full load
BRAKE_ROWS: Final = 50
BRAKE_PERCENT: Final = 5
GENERATION_S: Final = 1  # between two generations that are noted; replaying calls needs no finer ones
LIFE_S: Final = 0.5  # between two signs of life in a load

log = logging.getLogger("tandem.sync")

_EXPLAINED: Final = {
    Start.RESUME: "Redis is as the last syncer left it",
    Start.REPAIR: "Redis lost steps, or Postgres has a new timeline; comparing everything beside the passes",
    Start.REPLACE: "Redis is empty, or holds another database or another past of this one; loading everything",
}


class StoppedError(Exception):
    """The process was told to stop in the middle of a load."""


class Plan(NamedTuple):
    """What a pass does, in order. removals come last and in the opposite order of kinds. dropped: rate sets gone."""

    upserts: list[Change]
    removals: list[Change]
    dropped: list[str]


class Syncer:
    """Holds the lock already; from `start` on the fence too.

    Every method may raise psycopg.Error, StoreUnavailable, FencedError, LostError: then drop both connections and begin
    again. FrozenError: Redis stays as it is until an operator decides.
    """

    def __init__(self, source: Source, store: Store, *, accept: bool, stop: Event | None = None) -> None:
        """accept: an operator has allowed mass deletion and a restored past. stop: ends a load that is under way."""
        self._source = source
        self._store = store
        self._rates = Rates(source, store)
        self._accept = accept
        self._stop = stop or Event()
        self._said_at = 0.0
        self._noted = self._forgotten = 0
        self._note_at = 0.0
        self.more: Callable[[], dict[str, Any]] = dict  # what others add to the status
        self.wrong: dict[str, str] = {}
        self.holds = False  # something in the outbox waits for rates, whose loader rings when they are there
        self.certainty = Certainty()

    def start(self) -> None:
        """Take over from whoever synced before; where it is not certain that all is equal, have it compared."""
        last_pass, state = self._source.last_pass(), self._source.state()
        fence = self._source.next_fence(self._store.fence())
        redis_version, stored = self._store.begin(fence)
        now = self._source.marker(durable=False)
        how = how_to_start(stored, now, redis_version, state.version, last_pass, accept_past=self._accept)
        log.info("active with fence %d: %s", fence, _EXPLAINED[how])
        if how is Start.REPLACE:
            self._load()
        elif how is Start.REPAIR or self._accept:
            self._doubt(KINDS)
            # What a reader holds may be of steps that Redis lost: from here on it holds only what stands there now.
            self._store.commit(self._source.marker(durable=True), self._source.next_pass())
        else:
            self._doubt(state.unsure)
        self.beat()

    def load_beside(self, loader: RateLoader) -> None:
        """Leave rate sets that are too large for a pass to `loader`."""
        self._rates = Rates(self._source, self._store, loader)
        self.more = loader.status

    def beat(self) -> bool:
        """Say that the syncer lives, and find out whether Redis is as it was left; return whether changes wait."""
        marker, backlog = self._source.marker(durable=True), self._source.backlog()
        self._store.commit(marker, status=self._status("repair" if self.unsure else "live", backlog))
        if self._store.version != self._forgotten:
            self._forgotten = self._store.version
            self._source.forget_old_passes()
        if self._is_generation_due():
            with self._source.snapshot():
                if not self._source.waiting():  # so Redis has all that this snapshot sees
                    self._note_generation()
        return backlog[0] > 0

    def freeze(self, why: FrozenError) -> None:
        """Say for the NOC why nothing goes on."""
        self._store.say(self._status(f"frozen: {why}"))

    @property
    def unsure(self) -> tuple[Kind, ...]:
        """Kinds that must be compared before Redis counts as equal."""
        return self.certainty.unsure

    def run_pass(self) -> bool:
        """Apply what the outbox names; False when it names nothing that can be applied now."""
        self._source.draw_passes()
        held = self._rates.held
        with self._source.outbox(ROWS_MAX, without=held) as rows:
            ready = self._rates.ready(rows) if rows or held else []
            self.holds = bool(held) or len(ready) < len(rows)
            if not ready:
                return False
            reset = [kind for kind in KINDS if any(row.key == RESET for row in ready if row.kind == kind.view)]
            if reset:
                self._doubt((*self.unsure, *reset))
            self._apply(self._plan(ready), self._source.seen())
            self.certainty.came((row.kind, row.key) for row in ready)
            if not held and len(rows) == len(ready) < ROWS_MAX and self._is_generation_due():
                self._note_generation()
            self._source.finish([row.id for row in ready], self._store.version)
        return True

    def repairs(self, found: Found) -> Iterator[int]:
        """Put right what a sweep has found, as far as it is so; yield how many aggregates were, some hundreds a time.

        What the outbox names is left to its pass: it differs because it has changed.
        """
        if not found.gone or self._may_go(found):
            for some in batches(found.names, READ_KEYS):
                yield self._repair(found._replace(names=some))

    def swept(self, kinds: Sequence[Kind], seconds: float) -> None:
        """Note that all of `kinds` were compared, and what was found was repaired, as far as it was allowed."""
        was = self.unsure
        self.certainty.swept(kinds)
        with self._source.snapshot():
            if len(kinds) == len(KINDS):
                self._source.note_sweep(seconds)
            if was != self.unsure:
                self._source.note_unsure(self.unsure)
        if was and not self.unsure:
            log.info("all compared and equal, %d repaired in %.1f s", self.certainty.repaired, seconds)
            self.certainty.repaired = 0

    def _plan(self, rows: Sequence[OutboxRow]) -> Plan:
        plan = Plan([], [], [])
        for kind in KINDS:
            names = sorted({row.key for row in rows if row.kind == kind.view} - {RESET})
            if not names:
                continue
            found = self._source.aggregates(kind, names)
            missing = [name for name in names if name not in found]
            gone = self._store.living(kind, missing)
            if len(gone) > BRAKE_ROWS:  # the outbox may hold more of the same deletion than this pass takes
                self._brake(kind, self._store.living(kind, self._source.vanished(kind)))
            plan.upserts.extend(self._upserts(kind, found.items()))
            plan.removals[:0] = [Change(kind, name, None) for name in gone]
            if kind.view == RATE_SET:
                plan.dropped.extend(missing)
        return plan

    def _apply(self, plan: Plan, marker: Marker) -> None:
        sets = [change.name for change in plan.upserts if change.kind.view == RATE_SET]
        if sets:
            self._rates.write(sets)
        left_alone = self._store.apply((*plan.upserts, *plan.removals), self._source.next_pass, marker)
        if left_alone:
            log.error("%d values in Redis are newer than any pass of this syncer; run tandem sync --verify", left_alone)
        if plan.dropped:
            self._rates.drop(plan.dropped)

    def _repair(self, found: Found) -> int:
        kind = found.kind
        self._source.draw_passes()
        with self._source.snapshot():
            waiting = self._source.waiting_keys(kind, found.names)
            rows = [OutboxRow(0, kind.view, name) for name in found.names if not waiting & {RESET, name}]
            names = [row.key for row in self._rates.ready(rows)]
            left_out = [row.key for row in rows if row.key not in set(names)]
            if left_out:  # until the rates that it leads to are loaded
                self._source.again(kind, left_out)
                self.certainty.leave(kind, left_out)
                self._doubt((*self.unsure, kind))
            there = self._source.aggregates(kind, names)
            missing = [name for name in names if name not in there] if found.gone else []
            changes = [*self._changes(kind, there.items())]
            removals = [Change(kind, name, None) for name in self._store.living(kind, missing)]
            count = len(changes) + len(removals)
            if not count:
                return 0
            plan = Plan(changes, removals, missing if kind.view == RATE_SET else [])
            self._apply(plan, self._source.marker(durable=True))
            self._source.done((), self._store.version)
            self.certainty.repaired += count
            if kind not in self.unsure:
                self._source.note_drift(count)
                example = (*changes, *removals)[0].name
                log.warning("%d of %s differed and were repaired, for example %s", count, kind.view, example)
        return count

    def _may_go(self, found: Found) -> bool:
        """Tell whether so many may be removed; if not, an operator is told, and everything else goes on."""
        try:
            self._brake(found.kind, found.names)
        except FrozenError as error:
            self.certainty.hold(found.kind, error)
            return False
        self.certainty.release(found.kind)
        return True

    def _doubt(self, kinds: Iterable[Kind]) -> None:
        """Have `kinds` compared, by the next syncer if this one dies."""
        self.certainty.doubt(kinds)
        self._source.note_unsure(self.unsure)

    def _load(self) -> None:
        """Make Redis equal to one snapshot, whatever it holds; workers use nothing of it meanwhile."""
        began, count = time.monotonic(), 0
        self._doubt(KINDS)
        self._live()
        self._source.draw_passes()
        with self._source.snapshot():
            gone = self._strangers()
            self._store.forget()
            self._rates.renew_world()  # while nobody can fetch: what readers hold of any rate set is of another world
            number = self._source.next_pass()
            for kind in KINDS:
                if kind.view == RATE_SET:
                    self._rates.load(self._source.names(kind), self._live)
                changes = self._rows(kind, self._source.all_aggregates(kind), gone[kind])
                for some in batches(changes, LOAD_CHANGES):
                    self._store.load(some, number)
                    count += len(some)
                    self._live()
            removals = [Change(kind, name, None) for kind in reversed(KINDS) for name in gone[kind]]
            self._store.apply(removals, self._source.next_pass)
            self._rates.drop(gone[BY_VIEW[RATE_SET]])
            self._store.commit(self._source.marker(durable=True), self._source.next_pass())
            self._note_generation()
            self._source.delete_seen()
            self._source.note_unsure(())
            self._source.done((), self._store.version)
        self.certainty = Certainty()
        log.info("all equal: %d written, %d removed in %.1f s", count, len(removals), time.monotonic() - began)

    def _live(self) -> None:
        """Say in a load that it goes on. Raises StoppedError when it should not."""
        if self._stop.is_set():
            raise StoppedError
        if time.monotonic() >= self._said_at + LIFE_S:
            self._said_at = time.monotonic()
            self._store.say(self._status("load"))

    def _strangers(self) -> dict[Kind, list[str]]:
        """Return what stands only in Redis. Raises FrozenError where that is much."""
        gone: dict[Kind, list[str]] = {kind: [] for kind in KINDS}
        for page in self._store.pages(f"{keys.TAG}*"):
            for kind, names in sorted_out(page):
                existing = self._source.existing(kind, names)
                gone[kind] += self._store.living(kind, [name for name in names if name not in existing])
        for kind, names in gone.items():
            self._brake(kind, names)
        return gone

    def _rows(self, kind: Kind, rows: Iterable[tuple[str, bytes | WrongRow]], gone: list[str]) -> Iterable[Change]:
        """Yield rows as changes; of a wrong one nothing may stay, it would be another world's."""
        for name, record in rows:
            if isinstance(record, WrongRow):
                self._is_wrong(name, record)
                gone += self._store.living(kind, [name])
            else:
                yield Change(kind, name, record)

    def _upserts(self, kind: Kind, rows: Iterable[tuple[str, bytes | WrongRow]]) -> Iterable[Change]:
        """Yield `rows` as changes. Many rows make one of a kind: most changes to them leave it as it is."""
        if kind.is_one:
            return self._changes(kind, rows)
        return (Change(kind, name, record) for name, record in self._right(rows))

    def _changes(self, kind: Kind, rows: Iterable[tuple[str, bytes | WrongRow]]) -> Iterable[Change]:
        """Yield what brings Redis to `rows`."""
        for difference in differing(self._store, kind, self._right(rows)):
            yield Change(kind, difference.name, difference.record)

    def _right(self, rows: Iterable[tuple[str, bytes | WrongRow]]) -> Iterable[tuple[str, bytes]]:
        """Pass on rows that are records. Of a wrong one Redis keeps what it has: one tenant's row stops nobody else."""
        for name, record in rows:
            if isinstance(record, WrongRow):
                self._is_wrong(name, record)
            else:
                self.wrong.pop(name, None)
                yield name, record

    def _is_wrong(self, name: str, row: WrongRow) -> None:
        if self.wrong.get(name) != row.why:
            log.error("%s is wrong in Postgres, Redis keeps its last state: %s", name, row.why)
        self.wrong[name] = row.why

    def _is_generation_due(self) -> bool:
        """Tell whether what Redis has now should be noted; not while it may lack something that was committed."""
        return not self.unsure and self._store.version > self._noted and time.monotonic() >= self._note_at

    def _note_generation(self) -> None:
        """Remember what Redis has now; inside a snapshot all of which it has."""
        self._noted, self._note_at = self._store.version, time.monotonic() + GENERATION_S
        self._source.note_generation(self._noted)

    def _status(self, state: str, backlog: tuple[int, int] | None = None) -> str:
        held, wrong = self.certainty.held_text, len(self.wrong)
        waits = backlog or self._source.backlog()
        return written(self._source, waits, self._store.version, state, held, wrong, self.more())

    def _brake(self, kind: Kind, gone: Sequence[str]) -> None:
        """Raise FrozenError when deleting `gone` would take more than 5 % of a kind, and more than 50."""
        if self._accept or len(gone) <= BRAKE_ROWS:
            return
        if kind.view == RATE_SET:  # one that nobody uses any more leaves Redis, and stays in Postgres
            retired = self._source.retired(gone)
            gone = [name for name in gone if name not in retired]
            if len(gone) <= BRAKE_ROWS:
                return
        total = self._source.count(kind) + len(gone)
        if len(gone) * 100 > total * BRAKE_PERCENT:
            raise FrozenError(
                f"{len(gone)} of {total} in {kind.view} would be deleted from Redis, for example {gone[0]}; more than "
                f"{BRAKE_PERCENT} % wants an operator. Configuration in Redis is frozen; calls go on with it. "
                "If that is meant: tandem sync --once --yes"
            )
