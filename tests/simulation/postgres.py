"""Postgres in memory: the tables that settlement writes and the constraints of the schema; as tools/settle/batch.py."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import psycopg
from psycopg import errors

from kemi import keys
from kemi.adapters.redis_operations import Spent
from tests.simulation.windows import DAY_MS, MONTH_MS, window_id
from tools.settle.batch import ClashError
from tools.settle.books import Epoch, EpochMovedError, Paid, Poisoned, Posted, Windows
from tools.settle.late import Place, difference, taken_back
from tools.settle.rows import FUND, INCOME, CdrRow, EntryRow, LegRow, Plan

NOTHING: Final[Mapping[object, EntryRow]] = MappingProxyType({})
TOLD_KEPT: Final = 4
Timed = list[tuple[EntryRow, int]]


class Postgres:
    """The data. posted: fund -> what Redis charged it. fund_events: those entries by their event numbers.

    spent: (fund, "day" or "month", window) -> what calls have charged there, by their ends. lost: fund -> how many of
    its events were given up. postings: how often anybody has posted. nodes: name -> when it was heard of. capped: funds
    with a cap on spend. now_ms: its clock.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.epochs: list[Epoch] = []
        self.entries: dict[object, EntryRow] = {}
        self.posted: dict[str, Posted] = {}
        self.spent: Counter[tuple[str, str, int]] = Counter()
        self.lost: Counter[str] = Counter()
        self.fund_events: dict[tuple[int, str, int, int], EntryRow] = {}
        self.entries_of: dict[str, list[EntryRow]] = {}
        self.cdrs: dict[str, CdrRow] = {}
        self.legs: dict[str, tuple[LegRow, ...]] = {}
        self.poison: list[Poisoned] = []
        self.funds: list[str] = []
        self.credit: dict[str, tuple[int, int]] = {}
        self.opseq = 0
        self.postings = 0
        self.nodes: dict[str, int] = {}
        self.capped: set[str] = set()
        self.windows_told: deque[dict[str, Windows]] = deque(maxlen=TOLD_KEPT)
        self.leader: object = None
        self.comparing: object = None
        self.arming = False

    @property
    def epoch(self) -> Epoch:
        """The newest epoch."""
        return self.epochs[-1] if self.epochs else Epoch(0, "lost")

    def insist(self, believed: Epoch) -> None:
        """Raise EpochMovedError unless the epoch row says so; OperationalError while another holds that row."""
        if self.arming:
            raise psycopg.OperationalError("lock not available")
        if self.epoch != believed:
            raise EpochMovedError(f"Postgres does not say that epoch {believed.number} is {believed.state}")

    def write(self, plans: Sequence[Plan]) -> int:
        """Write all that is not there; return how many entries that were. Raises ClashError and integrity errors."""
        standing = self._standing(plans)
        charged = [(row, each.ended_ms) for each in plans if not each.is_late for row in each.entries]
        new = self._new_entries(row for row, _ in charged)
        posted: Timed = []
        for row, at_ms in charged:
            if row.id in new and row.id not in {known.id for known, _ in posted}:
                posted.append((row, at_ms))
        made = self._corrections(standing, posted, new)
        corrections = self._new_entries((row for row, _ in made), new)
        self._add({**new, **corrections})
        for rid, each in standing.items():
            if each.cdr is not None:
                self.cdrs[rid] = each.cdr
                self.legs[rid] = each.legs
        self._count([*posted, *((row, at_ms) for row, at_ms in made if row.id in corrections)])
        return len(new) + len(corrections)

    def windows(self) -> dict[str, Windows]:
        """Return fund -> what was spent in the windows that are in force by our clock, of those with a cap."""
        now_ms = self._now_ms()
        day, month = window_id(now_ms, DAY_MS), window_id(now_ms, MONTH_MS)
        return {
            fund: Windows(Spent(day, self.spent[fund, "day", day]), Spent(month, self.spent[fund, "month", month]))
            for fund in self.posted
            if fund in self.capped
        }

    def charged_of(self, rid: str) -> dict[str, int]:
        """Return fund -> what Redis charged it for a call, without zeros."""
        found: Counter[str] = Counter()
        for row in self.entries_of.get(rid, ()):
            if row.fund_n is not None:
                found[keys.fund(row.account_id, row.currency)] -= row.amount_micros
        return {fund: micros for fund, micros in found.items() if micros}

    def paid_of(self, rid: str) -> Paid:
        """Return what Redis charged for a call, and the highest sequence of that."""
        rows = [row for row in self.entries_of.get(rid, ()) if row.origin == "redis"]
        earned: Counter[tuple[int, str]] = Counter()
        for row in rows:
            if row.book == INCOME:
                earned[row.account_id, row.currency] += row.amount_micros
        known = {payee: micros for payee, micros in earned.items() if micros}
        return Paid(self.charged_of(rid), known, max((row.seq for row in rows), default=0))

    def _standing(self, plans: Sequence[Plan]) -> dict[str, Plan]:
        """Return rid -> the plan of every record that is written or replaced now."""
        found: dict[str, Plan] = {}
        for each in plans:
            if each.cdr is None:
                continue
            known = found.get(each.rid)
            before = known.cdr if known else self.cdrs.get(each.rid)
            if before is None or rank(before) < rank(each.cdr):
                found[each.rid] = each
        return found

    def _corrections(self, standing: Mapping[str, Plan], posted: Timed, new: Mapping[object, EntryRow]) -> Timed:
        """Return what late ends add to `posted`, the entries of other events that were not there before."""
        made: Timed = []
        for rid, each in standing.items():
            if each.is_late:
                made += [(row, each.ended_ms) for row in difference(each, self._sums(rid, new))]
        strays = [(row, at_ms) for row, at_ms in posted if row.rid not in standing and self._is_corrected(row.rid)]
        back = taken_back([row for row, _ in strays])
        return [*made, *zip(back, (at_ms for _, at_ms in strays), strict=True)]

    def _is_corrected(self, rid: str) -> bool:
        return rid in self.cdrs and self.cdrs[rid].is_late

    def _sums(self, rid: str, new: Mapping[object, EntryRow]) -> dict[Place, int]:
        sums: Counter[Place] = Counter()
        for row in (*self.entries_of.get(rid, ()), *(row for row in new.values() if row.rid == rid)):
            sums[Place.of(row)] += row.amount_micros
        return dict(sums)

    def _new_entries(
        self, rows: Iterable[EntryRow], besides: Mapping[object, EntryRow] = NOTHING
    ) -> dict[object, EntryRow]:
        """Return the entries that are not there yet. Raises ClashError, UniqueViolation, CheckViolation."""
        new: dict[object, EntryRow] = {}
        numbers: set[tuple[int, str, int, int]] = set()
        for row in rows:
            known = self.entries.get(row.id) or besides.get(row.id) or new.get(row.id)
            if known is not None:
                if _identity(known) != _identity(row):
                    raise ClashError(f"reservation {row.rid} is in the ledger with other amounts")
                continue
            new[row.id] = row
            if row.fund_n is not None:
                place = (row.account_id, row.currency, row.epoch, row.fund_n)
                if place in numbers or place in self.fund_events:
                    raise errors.UniqueViolation(f"a_fund_event_is_posted_once {place}")
                numbers.add(place)
        sums: Counter[tuple[object, str]] = Counter()
        for row in new.values():
            sums[row.txn_id, row.currency] += row.amount_micros
        if any(sums.values()):
            raise errors.CheckViolation(f"a transaction does not sum to zero: {sums}")
        return new

    def _add(self, new: Mapping[object, EntryRow]) -> None:
        """Store entries, and count those that Redis charged to a fund."""
        self.entries |= new
        for row in new.values():
            self.entries_of.setdefault(row.rid, []).append(row)
            if row.fund_n is not None:
                self.fund_events[row.account_id, row.currency, row.epoch, row.fund_n] = row
                fund = keys.fund(row.account_id, row.currency)
                sums = self.posted.get(fund, Posted())
                charged = sums.charged_micros - row.amount_micros
                self.posted[fund] = Posted(charged, max(sums.n, row.fund_n), sums.events + 1)

    def _count(self, posted: Timed) -> None:
        for row, at_ms in posted:
            if row.book == FUND:
                fund = keys.fund(row.account_id, row.currency)
                self.spent[fund, "day", window_id(at_ms, DAY_MS)] -= row.amount_micros
                self.spent[fund, "month", window_id(at_ms, MONTH_MS)] -= row.amount_micros


def rank(cdr: CdrRow) -> tuple[bool, int]:
    """Return what decides whose record stands: the greater one's."""
    return cdr.is_late, cdr.seq


def _identity(row: EntryRow) -> tuple[object, ...]:
    return row.account_id, row.currency, row.amount_micros, row.epoch, row.fund_n
