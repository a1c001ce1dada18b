"""`Books` over the Postgres in memory. Every method is one transaction: all of it, or nothing.

`Gate` stands where the network is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final, TypeVar

import psycopg

from kemi import keys
from tests.simulation.postgres import Postgres
from tools.settle.books import Books, Epoch, EpochMovedError, Poisoned, Posted, Windows, Written
from tools.settle.rows import Plan
from tools.settle.sums import Charged, Credit, Sums

T = TypeVar("T")
MINUTE_MS: Final = 60_000
Gate = Callable[[Callable[[], T]], T]


class MemorySums(Sums):
    """What the comparison asks Postgres. Meaning of the methods: as in Sums."""

    def __init__(self, data: Postgres, books: MemoryBooks) -> None:
        self._data = data
        self._books = books

    def is_mine(self) -> bool:
        """Take the part of the one who compares."""
        return self._books.run(self._take)

    def credits(self, after: str, limit: int) -> list[Credit]:
        """Return the funds that come next."""
        return self._books.run(lambda: self._credits(after, limit))

    def charged_at(self, numbers: Mapping[str, int], epoch: int) -> dict[str, Charged]:
        """Return what was posted up to these numbers, as of now without later events of that epoch."""
        return self._books.run(lambda: {fund: self._charged(fund, n, epoch) for fund, n in numbers.items()})

    def poisoned(self) -> int:
        """Return how many events are set aside."""
        return self._books.run(lambda: len(self._data.poison))

    def _take(self) -> bool:
        if self._data.comparing is None:
            self._data.comparing = self._books
        return self._data.comparing is self._books

    def _credits(self, after: str, limit: int) -> list[Credit]:
        later = [fund for fund in self._data.funds if not after or _place(fund) > _place(after)]
        return [Credit(fund, *self._data.credit[fund]) for fund in sorted(later, key=_place)[:limit]]

    def _charged(self, fund: str, n: int, epoch: int) -> Charged:
        sums = self._data.posted.get(fund, Posted())
        above = [
            row.amount_micros
            for (account_id, currency, entry_epoch, number), row in self._data.fund_events.items()
            if keys.fund(account_id, currency) == fund and entry_epoch == epoch and number > n
        ]
        events = sums.events - len(above) + self._data.lost[fund]
        return Charged(sums.charged_micros + sum(above), events)


class MemoryBooks(Books):
    """One connection. gate: runs a transaction, or fails as a network does. Meaning of the methods: as in Books.

    commit: raises where the transaction that has armed Redis is not committed.
    """

    def __init__(self, data: Postgres, gate: Gate[object], commit: Callable[[], None] = lambda: None) -> None:
        self._data = data
        self._gate = gate
        self._commit = commit
        self.sums = MemorySums(data, self)
        self.quality: Any = SimpleNamespace(weigh=lambda: False)  # what a server is worth moves no money
        self._leads = False

    def close(self) -> None:
        """Go away; the locks go too."""
        self.step_down()
        if self._data.comparing is self:
            self._data.comparing = None

    def post(
        self,
        plans: Sequence[Plan],
        poisoned: Sequence[Poisoned],
        believed: Epoch,
        besides: Callable[[], None] = lambda: None,
    ) -> Written:
        """Post everything, or nothing; and do `besides` with it."""

        def work() -> Written:
            written = self._post(plans, poisoned, believed)
            besides()
            return written

        return self.run(work)

    def epoch(self) -> Epoch:
        """Return the newest epoch."""
        return self.run(lambda: self._data.epoch)

    def lead(self) -> bool:
        """Take the lock of whoever rebuilds."""
        return self.run(self._lead)

    def step_down(self) -> None:
        """Give it back."""
        if self._leads:
            self._data.leader = None
            self._leads = False

    def begin_epoch(self, after: int, note: str) -> Epoch:
        """Open the next epoch. note: is kept nowhere."""
        del note
        return self.run(lambda: self._begin(after))

    def arm(self, epoch: Epoch, open_redis: Callable[[int], None]) -> None:
        """Mark the epoch as armed around `open_redis`."""
        data = self._data
        if data.epoch != epoch:
            raise EpochMovedError(f"epoch {epoch.number} is not being built any more")
        data.arming = True
        try:
            open_redis(epoch.number)
            self._commit()
        finally:
            data.arming = False
        self.run(lambda: data.epochs.append(Epoch(epoch.number, "armed")))

    def funds(self) -> list[str]:
        """Return the names of all funds."""
        return self.run(lambda: list(self._data.funds))

    def credits(self) -> dict[str, tuple[int, int]]:
        """Return fund -> version and micros."""
        return self.run(lambda: dict(self._data.credit))

    def posted(self) -> dict[str, Posted]:
        """Return fund -> what is posted."""
        return self.run(lambda: dict(self._data.posted))

    def windows(self) -> dict[str, Windows]:
        """Return fund -> what was spent in the windows in force."""
        told = self.run(self._data.windows)
        self._data.windows_told.append(told)
        return told

    def posted_events(self, fund: str) -> dict[int, int]:
        """Return event number -> micros."""
        return self.run(lambda: self._events_of(fund))

    def posted_of(self, rids: Sequence[str]) -> dict[str, dict[str, int]]:
        """Return rid -> fund -> micros that Redis charged for the call."""
        return self.run(lambda: {rid: sums for rid in rids if (sums := self._data.charged_of(rid))})

    def losses(self) -> dict[str, int]:
        """Return fund -> how many events were given up."""
        return self.run(lambda: dict(self._data.lost))

    def give_up(self, fund: str, epoch: Epoch, events: int) -> None:
        """Give events up."""
        del epoch
        self.run(lambda: self._data.lost.update({fund: events}))

    def poisoned(self) -> list[Poisoned]:
        """Return what is set aside."""
        return self.run(lambda: list(self._data.poison))

    def has_records(self, rids: Sequence[str]) -> set[str]:
        """Return those that have a record."""
        return self.run(lambda: set(rids) & self._data.cdrs.keys())

    def recorded(self, rids: Sequence[str]) -> set[tuple[str, int]]:
        """Return the events whose records stand."""
        cdrs = self._data.cdrs
        return self.run(lambda: {(rid, cdrs[rid].seq) for rid in rids if rid in cdrs and not cdrs[rid].is_late})

    def note_nodes(self, seen_ms: Mapping[str, int], opseq: int, believed: Epoch) -> None:
        """Keep the highest operation number, and who lives."""
        self.run(lambda: self._note(seen_ms, opseq, believed))

    def known_opseq(self) -> int:
        """Return it; there were no fewer than a fund has events."""
        numbers = (sums.n for sums in self._data.posted.values())
        return self.run(lambda: max(self._data.opseq, *numbers, 0))

    def nodes_alive(self) -> set[str]:
        """Return the nodes that were heard of lately."""
        last_ms = max(self._data.nodes.values(), default=0)
        return self.run(lambda: {name for name, seen_ms in self._data.nodes.items() if seen_ms > last_ms - MINUTE_MS})

    def dropped_of(self, fund: str) -> dict[int, int]:
        """Return nothing: nobody gives an event up here."""
        del fund
        return self.run(dict)

    def dropped(self) -> dict[bytes, str]:
        """Return nothing: nobody gives an event up here."""
        return self.run(dict)

    def report(self, epoch: Epoch, report: str) -> None:
        """Keep nothing of it."""
        del epoch, report

    def run(self, work: Callable[[], T]) -> T:
        """Run one transaction."""
        done: list[T] = []
        self._gate(lambda: done.append(work()))
        return done[0]

    def _post(self, plans: Sequence[Plan], poisoned: Sequence[Poisoned], believed: Epoch) -> Written:
        data = self._data
        data.insist(believed)
        added = data.write(plans)
        known = {(event.id, event.payload) for event in data.poison}
        aside = tuple(event for event in poisoned if (event.id, event.payload) not in known)
        data.poison += aside
        return Written(added, aside)

    def _lead(self) -> bool:
        if self._data.leader in (None, self):
            self._data.leader = self
            self._leads = True
        return self._leads

    def _begin(self, after: int) -> Epoch:
        data = self._data
        if data.arming:
            raise psycopg.OperationalError("lock not available")
        begun = Epoch(max(data.epoch.number, after) + 1, "building")
        data.epochs.append(begun)
        return begun

    def _events_of(self, fund: str) -> dict[int, int]:
        found: Counter[int] = Counter()
        for row in self._data.fund_events.values():
            if keys.fund(row.account_id, row.currency) == fund and row.fund_n is not None:
                found[row.fund_n] -= row.amount_micros
        return dict(found)

    def _note(self, seen_ms: Mapping[str, int], opseq: int, believed: Epoch) -> None:
        self._data.insist(believed)
        self._data.opseq = max(self._data.opseq, opseq)
        self._data.nodes |= seen_ms


def _place(fund: str) -> tuple[int, str]:
    account_id, _, currency = fund.partition(":")
    return int(account_id), currency
