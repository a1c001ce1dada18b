"""Redis and Postgres compared all the time, a few funds at each step, as numbers for the NOC (`keys.SETTLED`).

Rule 1: a step costs the same whatever the traffic and however many funds there are: 500 of them, and what was posted
for them since the step before. They take turns, so a round takes as many steps as there are 500s.
Rule 2: I2 is compared at the event number that Redis had when it was asked, and not before every event that was in the
stream then is posted: that is when the group has acknowledged all that was written before that time of Redis.
Rule 3: I3 is compared at equal versions. A version that stays behind for 15 s is a difference too.
Rule 4: I1 and I4 need few calls and a moment without operations; `i1_at_ms` says when there was one.

One process compares, by a lock of Postgres; whoever holds it goes on when that one dies.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from kemi import keys
from kemi.adapters.redis_operations import Balance
from kemi.records import CallEvent
from tools.settle.books import Books
from tools.settle.cell import Cell
from tools.settle.reconcile import NOTHING_TAKEN, held_by, taken
from tools.settle.stream import Stream, decoded
from tools.settle.sums import Charged, Credit, Sums, names

FUNDS_AT_ONCE: Final = 500
BEHIND_S: Final = 15.0
CALM_EVERY_S: Final = 15.0
CALM_LEASES_MAX: Final = 200
CALM_FUNDS_MAX: Final = 2_000
PATIENCE_S: Final = 60.0  # a sample whose events nobody posts is given up: the number of waiting events says why


class Sample(NamedTuple):
    """Some funds as Redis had them. at_ms: by its clock. taken_s: by ours."""

    epoch: int
    at_ms: int
    taken_s: float
    balances: Mapping[str, Balance]


class Watch:
    """The comparison of one process; nothing in it survives a new connection."""

    def __init__(self, books: Books, cell: Cell, stream: Stream) -> None:
        self._books = books
        self._sums: Sums = books.sums
        self._cell = cell
        self._stream = stream
        self._sample: Sample | None = None
        self._after = ""
        self._off: dict[str, dict[str, int]] = {"i1": {}, "i2": {}, "i3": {}, "i4": {}}
        self._behind_since_s: dict[str, float] = {}
        self._round = 0  # funds of this round so far
        self._numbers = {"funds": 0, "round_at_ms": 0, "i1_at_ms": 0}
        self._calm_not_before_s = 0.0

    def step(self) -> None:
        """Compare a little more and tell. Raises StoreUnavailable, psycopg errors."""
        if not self._sums.is_mine():
            return
        now_ms, status = self._cell.now_ms(), self._cell.status()
        if self._sample is not None and self._sample.epoch != status.epoch:
            self._sample = None
        if self._sample is not None and self._stream.posted_before_ms() > self._sample.at_ms:
            self._compare_charges(self._sample)
            self._sample = None
        elif self._sample is not None and time.monotonic() - self._sample.taken_s > PATIENCE_S:
            self._sample = None
        if self._sample is None:
            self._sample = self._next(status.epoch)
        self._compare_holds(now_ms)
        self._tell(now_ms, status.epoch)

    def _next(self, epoch: int) -> Sample:
        """Take the next funds, and compare their credits, of which both sides are at hand."""
        credit = self._sums.credits(self._after, FUNDS_AT_ONCE)
        found = self._cell.balances(names(credit)) if credit else {}
        taken_ms = self._cell.now_ms()
        for each in credit:
            self._compare_credit(each, found[each.fund])
        self._round += len(credit)
        if len(credit) == FUNDS_AT_ONCE:
            self._after = credit[-1].fund
        else:
            self._after = ""
            self._numbers |= {"funds": self._round, "round_at_ms": taken_ms}
            self._round = 0
        return Sample(epoch, taken_ms, time.monotonic(), found)

    def _compare_credit(self, credit: Credit, balance: Balance) -> None:
        terms = balance.terms
        off = credit.cred_micros - (terms.cred_micros if terms else 0)
        if terms is not None and terms.cver == credit.cver:
            self._behind_since_s.pop(credit.fund, None)
            self._note("i3", credit.fund, off)
        else:
            since_s = self._behind_since_s.setdefault(credit.fund, time.monotonic())
            if time.monotonic() - since_s > BEHIND_S:
                self._note("i3", credit.fund, off or 1)

    def _compare_charges(self, sample: Sample) -> None:
        posted = self._sums.charged_at({fund: each.n for fund, each in sample.balances.items()}, sample.epoch)
        off = {
            fund: balance.charged_micros - posted[fund].micros
            for fund, balance in sample.balances.items()
            if fund in posted and posted[fund] != Charged(balance.charged_micros, balance.n)
        }
        aside = self._set_aside(sample, off) if off else {}
        for fund in sample.balances.keys() & posted.keys():
            missing = sample.balances[fund].n - posted[fund].events - aside.get(fund, Charged(0, 0)).events
            micros = off.get(fund, 0) - aside.get(fund, Charged(0, 0)).micros
            self._note("i2", fund, micros or abs(missing))

    def _set_aside(self, sample: Sample, off: Mapping[str, int]) -> dict[str, Charged]:
        """Return fund -> what events set aside have charged it: they are on the way until somebody sees to them."""
        found: dict[str, Charged] = {}
        for event in map(decoded, (each.payload for each in self._books.poisoned())):
            for posting in event.postings if isinstance(event, CallEvent) else ():
                if posting.fund in off and posting.n <= sample.balances[posting.fund].n:
                    micros, events = found.get(posting.fund, Charged(0, 0))
                    found[posting.fund] = Charged(micros + posting.amount_micros, events + 1)
        return found

    def _compare_holds(self, now_ms: int) -> None:
        """Compare I1 and I4 if there is a moment for it."""
        few = self._numbers["funds"] <= CALM_FUNDS_MAX and self._cell.leases() <= CALM_LEASES_MAX
        if not few or time.monotonic() < self._calm_not_before_s:
            return
        self._calm_not_before_s = time.monotonic() + CALM_EVERY_S
        found = self._cell.snapshot(self._books.funds(), others_max=0, attempts_max=1)
        if not found.still:
            return
        due = taken(found.reservations.values())
        of_all = {**found.balances, **found.counters}
        holds = {fund: (held_by(balance), due.get(fund, NOTHING_TAKEN)) for fund, balance in of_all.items()}
        self._off["i1"] = {fund: has.micros - is_.micros or 1 for fund, (has, is_) in holds.items() if has != is_}
        self._off["i4"] = dict.fromkeys(found.leases.keys() - found.open().keys(), 1)
        self._numbers["i1_at_ms"] = now_ms

    def _note(self, invariant: str, fund: str, off_micros: int) -> None:
        if off_micros:
            self._off[invariant][fund] = off_micros
        else:
            self._off[invariant].pop(fund, None)

    def _tell(self, now_ms: int, epoch: int) -> None:
        off = self._off
        numbers = {
            "at_ms": now_ms,
            "epoch": epoch,
            "differences": sum(map(len, off.values())),
            **{f"{name}_micros": sum(map(abs, off[name].values())) for name in ("i1", "i2", "i3")},
            "i4": len(off["i4"]),
            **self._numbers,
            "events_waiting": self._stream.backlog(),
            "poisoned": self._sums.poisoned(),
            "expired": self._cell.leases(until_ms=now_ms),
        }
        words = [word for pair in numbers.items() for word in pair]
        self._cell.client.execute("HSET", keys.SETTLED, *words)
