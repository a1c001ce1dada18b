"""Every prefix of every price and rule, in order, once.

Sorted as text, a prefix comes before the longer ones below it. So what holds at a prefix is a stack, as deep as a
number is long, and a million rates pass through without being kept. A call is decided only where its prices or rules
are others than anywhere before; all prefixes that are alike share the answer.

Rule: a prefix is told of only where numbers below it are left that no longer prefix answers for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import groupby
from typing import Any, Final, NamedTuple

import psycopg
from cachetools import LRUCache

from kemi import keys
from kemi.records import RateSet
from kemi.settings import Limits
from tools.lint_routes.asking import Told, told_of
from tools.lint_routes.findings import Findings
from tools.lint_routes.subjects import Carriers, Subject
from tools.sql_tables import SqlTables

ROWS_AT_ONCE: Final = 10_000  # of the cursor
KNOWN_MAX: Final = 100_000  # answers remembered, ≈ 50 MB
DIGITS: Final = 15  # of the longest number: a prefix of n digits stands for 10^(15 - n) of them

_RATES: Final = """
    SELECT r.prefix, r.rate_set_id, r.class_idx FROM sync.rate r
     WHERE r.rate_set_id = ANY (%s) ORDER BY r.prefix COLLATE "C"
"""


class _Event(NamedTuple):
    """Something that begins to hold at a prefix. set_id: a rate set, or minus the owner of rules."""

    prefix: str
    set_id: int
    class_index: int


class _Frame:
    """A prefix that is open. before: what held above it. bad: what is wrong there, by subject. left: of its numbers."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.before: dict[int, int | None] = {}
        self.bad: dict[int, tuple[Told, ...]] = {}
        self.answered: set[int] = set()
        self.covered: dict[int, int] = {}

    @property
    def numbers(self) -> int:
        return int(10 ** (DIGITS - len(self.prefix)))


class Sweep:
    """One walk. Subjects are told apart by their place in the sequence."""

    def __init__(self, tables: SqlTables, carriers: Carriers, subjects: Sequence[Subject], limits: Limits) -> None:
        """Prepare; nothing is read yet."""
        self._tables = tables
        self._carriers = carriers
        self._subjects = subjects
        self._limits = limits
        self._watchers: dict[int, list[int]] = {}
        for place, subject in enumerate(subjects):
            for watched in {*subject.chain, *subject.decks, *(-owner for owner in subject.owners)}:
                self._watchers.setdefault(watched, []).append(place)
        self._holds: dict[int, int] = {}
        self._known: LRUCache[tuple[Any, ...], tuple[Told, ...]] = LRUCache(KNOWN_MAX)
        self._open: list[_Frame] = []

    def run(self, connection: psycopg.Connection[Any], findings: Findings) -> None:
        """Walk through all prefixes, and add what is wrong. Raises psycopg errors."""
        for prefix, events in groupby(self._events(connection), key=lambda event: event.prefix):
            self._close_beside(prefix, findings)
            self._open_at(prefix, events)
        self._close_beside(None, findings)

    def _events(self, connection: psycopg.Connection[Any]) -> Iterator[_Event]:
        """Yield what begins where, by prefix: rates as they come from Postgres, and rules."""
        rules = sorted(
            _Event(prefix, -owner, len(prefix))
            for owner, prefixes in self._carriers.prefixes.items()
            for prefix in prefixes
        )
        sets = [watched for watched in self._watchers if watched > 0]
        with connection.cursor(name="lint_rates") as cursor:
            cursor.itersize = ROWS_AT_ONCE
            cursor.execute(_RATES, (sets,))
            yield from merge(map(_Event._make, cursor), rules, key=lambda event: event.prefix)

    def _open_at(self, prefix: str, events: Iterable[_Event]) -> None:
        frame = _Frame(prefix)
        self._open.append(frame)
        touched: set[int] = set()
        for event in events:
            frame.before.setdefault(event.set_id, self._holds.get(event.set_id))
            self._holds[event.set_id] = event.class_index
            touched.update(self._watchers.get(event.set_id, ()))
        for place in touched if prefix else ():
            self._answer(frame, place)

    def _answer(self, frame: _Frame, place: int) -> None:
        """Find out what becomes of the subject's calls to the prefix, if anybody may call it at all."""
        subject, holds = self._subjects[place], self._holds
        if holds.get(subject.sells) is None or self._is_forbidden(subject.sells):
            return
        frame.answered.add(place)
        sets = (*subject.chain, *subject.decks)
        rules = tuple(holds.get(-owner) for owner in subject.owners)
        alike = (place, *map(holds.get, sets), *self._rule_paths(subject, rules), self._destination(frame.prefix))
        told = self._known.get(alike)
        if told is None:
            classes = {each: holds[each] for each in sets if each in holds}
            told = told_of(self._tables, subject, frame.prefix, classes, self._limits)
            self._known[alike] = told
        if told:
            frame.bad[place] = told

    def _rule_paths(self, subject: Subject, lengths: Iterable[int | None]) -> Iterator[str | None]:
        """Yield, per owner, the longest prefix with rules: it says which shorter ones have some, too."""
        current = self._open[-1].prefix
        for _, length in zip(subject.owners, lengths, strict=True):
            yield None if length is None else current[:length]

    def _destination(self, prefix: str) -> str:
        """Return which expected length holds at a prefix, by the prefix that says so."""
        known = self._carriers.destinations
        return next((prefix[:length] for length in range(len(prefix), 0, -1) if prefix[:length] in known), "")

    def _is_forbidden(self, set_id: int) -> bool:
        rates = self._tables.records.get(keys.rate_set(set_id))
        class_index = self._holds.get(set_id)
        if not isinstance(rates, RateSet) or class_index is None or class_index >= len(rates.rates):
            return True
        return rates.rates[class_index].forbidden

    def _close_beside(self, prefix: str | None, findings: Findings) -> None:
        """Close the prefixes below which `prefix` does not stand; None closes all."""
        while self._open and (prefix is None or not prefix.startswith(self._open[-1].prefix)):
            frame = self._open.pop()
            for each in self._left_bad(frame):
                findings.add(each.at(frame.prefix))
            for set_id, before in frame.before.items():
                if before is None:
                    del self._holds[set_id]
                else:
                    self._holds[set_id] = before
            if self._open:
                self._hand_up(frame, self._open[-1])

    def _left_bad(self, frame: _Frame) -> Iterator[Told]:
        """Yield what is wrong with numbers that no longer prefix answers for; of several times the first."""
        seen: set[tuple[int, str, str]] = set()
        for place in sorted(frame.bad):  # of an account that is asked for now, then the times to come
            if frame.covered.get(place, 0) >= frame.numbers:
                continue
            account_id = self._subjects[place].account.id
            yield from (each for each in frame.bad[place] if (account_id, each.kind, each.who) not in seen)
            seen.update((account_id, each.kind, each.who) for each in frame.bad[place])

    @staticmethod
    def _hand_up(frame: _Frame, above: _Frame) -> None:
        """Tell the prefix above how many of its numbers are answered for."""
        for place in frame.answered | frame.covered.keys():
            numbers = frame.numbers if place in frame.answered else frame.covered[place]
            above.covered[place] = above.covered.get(place, 0) + numbers
