"""`Books` over the Postgres in memory. Every method is one transaction: all of it, or nothing.

`Gate` stands where the network is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final, TypeVar

import psycopg

from kemi import keys
from tests.simulation.postgres import Postgres
from tools.settle.books import Books, Epoch, EpochMovedError, Paid, Poisoned, Posted, Windows, Written
from tools.settle.given_up import GivenUp
from tools.settle.progress import Progress
from tools.settle.rows import Plan
from tools.settle.sums import Charged, Credit, Sums, parts
from tools.sync.marker import Marker

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
        later = [fund for fund in self._data.funds if not after or parts(fund) > parts(after)]
        return [Credit(fund, *self._data.credit[fund]) for fund in sorted(later, key=parts)[:limit]]

    def _charged(self, fund: str, n: int, epoch: int) -> Charged:
        sums = self._data.posted.get(fund, Posted())
        above = [
            row.amount_micros
            for (account_id, currency, entry_epoch, number), row in self._data.fund_events.items()
            if keys.fund(account_id, currency) == fund and entry_epoch == epoch and number > n
        ]
        events = sums.events - len(above) + self._data.lost[fund]
        return Charged(sums.charged_micros + sum(above), events)


class MemoryGivenUp(GivenUp):
    """What rebuilds give up. Meaning of the methods: as in GivenUp; no person gives an event up here."""

    def __init__(self, data: Postgres, books: MemoryBooks) -> None:
        self._data = data
        self._books = books

    def unnumbered(self) -> dict[str, Charged]:
        """Return fund -> how many events were given up."""
        return self._books.run(lambda: {fund: Charged(0, events) for fund, events in self._data.lost.items()})

    def numbered(self) -> dict[str, dict[int, int]]:
        """Return nothing."""
        return self._books.run(dict)

    def dropped(self) -> dict[bytes, str]:
        """Return nothing."""
        return self._books.run(dict)

    def add(self, fund: str, epoch: int, events: int, micros: int = 0) -> None:
        """Give events up."""
        del epoch, micros
        self._books.run(lambda: self._data.lost.update({fund: events}))

    def posted(self, events: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
        """Return those that are posted."""
        numbers = {
            (keys.fund(account_id, currency), number) for account_id, currency, _, number in self._data.fund_events
        }
        return self._books.run(lambda: set(events) & numbers)


class MemoryProgress(Progress):
    """Keeps nothing of it."""

    def __init__(self) -> None:
        pass

    def note(self, epoch: int, step: str, said: str) -> None:
        """Forget a step."""

    def report(self, epoch: int, report: str) -> None:
        """Forget what was lost."""


class MemoryBooks(Books):
    """One connection. gate: runs a transaction, or fails as a network does. Meaning of the methods: as in Books.

    commit: raises where the transaction that has armed Redis is not committed.
    """

    def __init__(self, data: Postgres, gate: Gate[object], commit: Callable[[], None] = lambda: None) -> None:
        self._data = data
        self._gate = gate
        self._commit = commit
        self.sums = MemorySums(data, self)
        self.given_up = MemoryGivenUp(data, self)
        self.progress = MemoryProgress()
        self.posting = 0
        self.quality: Any = SimpleNamespace(weigh=lambda: False)  # what a server is worth moves no money
        self.measures: Any = SimpleNamespace(step=lambda _client: 0)  # nor does what the NOC orders
        self.leads = False

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
        if self.leads:
            self._data.leader = None
            self.leads = False

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

    def paid_of(self, rids: Sequence[str]) -> dict[str, Paid]:
        """Return what Redis charged for the calls."""
        return self.run(lambda: {rid: paid for rid in rids if (paid := self._data.paid_of(rid)).seq})

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

    def register(self, seen_ms: Mapping[str, int], opseq: int) -> None:
        """Note both within the transaction that is under way."""
        self._data.opseq = max(self._data.opseq, opseq)
        self._data.nodes |= seen_ms

    def known_opseq(self) -> int:
        """Return it; there were no fewer than a fund has events."""
        numbers = (sums.n for sums in self._data.posted.values())
        return self.run(lambda: max(self._data.opseq, *numbers, 0))

    def nodes_alive(self) -> set[str]:
        """Return the nodes that were heard of lately."""
        last_ms = max(self._data.nodes.values(), default=0)
        return self.run(lambda: {name for name, seen_ms in self._data.nodes.items() if seen_ms > last_ms - MINUTE_MS})

    def nodes_seen(self) -> dict[str, int]:
        """Return when each was heard of."""
        return self.run(lambda: dict(self._data.nodes))

    def last_posting(self) -> int:
        """Return how often anybody has posted."""
        return self.run(lambda: self._data.postings)

    def history(self) -> Marker:
        """Return one that is no history of anything that sync has marked."""
        return Marker(0, 0, 0, 0)

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
        data.postings += 1
        self.posting = data.postings
        return Written(added, aside)

    def _lead(self) -> bool:
        if self._data.leader in (None, self):
            self._data.leader = self
            self.leads = True
        return self.leads

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
        self.register(seen_ms, opseq)
