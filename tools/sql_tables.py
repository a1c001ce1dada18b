"""The configuration as Postgres has it, in the form in which nodes have it: what tools decide by without Redis.

Rule 1: records come through the views that `tandem sync` reads, so a decision made here is that of a node whose Redis
is equal to this transaction.
Rule 2: many calls are decided together. Each round asks Postgres for everything that any of them still needs, a
statement per kind, so the cost of a round hardly depends on their number.
Rule 3: rates stay in Postgres but for the buckets that some call looks into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import psycopg
from psycopg import sql

from kemi import keys
from kemi.adapters.zones import Zones
from kemi.core.decide import decide
from kemi.core.links import links
from kemi.core.outcome import Decision, Need
from kemi.core.prefix import bucket_fields, pack_bucket
from kemi.core.request import CallRequest, Facts
from kemi.records import Emergency, RateSet
from kemi.settings import Limits
from tools.errors import OperatorError
from tools.sync.kinds import KINDS, Kind, build

ROUNDS_MAX: Final = 16  # a node stops after two; here nothing follows the links before they are known
NODE: Final = "tool"

_BUCKETS: Final = """
    SELECT w.set_id, w.field, r.prefix, r.class_idx
      FROM unnest(%s::bigint[], %s::text[]) AS w(set_id, field)
      CROSS JOIN LATERAL tandem.rates_of_field(w.set_id, w.field) AS r
     ORDER BY w.set_id, w.field
"""
_KINDS: Final[Mapping[str, Kind]] = {kind.prefix.removesuffix(":"): kind for kind in KINDS if kind.prefix}

Adjust = Callable[[object], object]
"""What a tool makes of each record before anything is decided by it."""


class SqlTables:
    """One transaction's view of the configuration. It has to be one that sees a single snapshot.

    views: SQL that stands for a view of schema sync, by its name; the view itself where there is none.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        *,
        views: Mapping[str, str] | None = None,
        adjust: Adjust | None = None,
    ) -> None:
        """Start empty but for the emergency numbers. Raises psycopg errors."""
        self._connection = connection
        self._views = views or {}
        self._adjust = adjust
        self.records: dict[str, object | None] = {}
        self.rates: dict[tuple[int, str], bytes | None] = {}
        self.unreadable: dict[str, str] = {}
        self.fetch([Need((keys.EMERGENCY, keys.MASKS))])

    def facts(self, secret: bytes, limits: Limits) -> Facts:
        """Return what is known, for decisions. Each right answer to a challenge counts as its first use."""
        emergency = self.records.get(keys.EMERGENCY)
        return Facts(
            records=self.records,
            rates=self.rates,
            node=NODE,
            secret=secret,
            limits=limits,
            emergency=emergency if isinstance(emergency, Emergency) else Emergency(()),
            nonce_uses=1,
            zones=Zones(),
        )

    def fetch(self, needs: Sequence[Need]) -> None:
        """Learn what the needs name, all that it leads to, and the rate buckets of their digits."""
        waiting = dict.fromkeys(name for need in needs for name in need.keys)
        while waiting:
            self._learn([name for name in waiting if name not in self.records])
            waiting = dict.fromkeys(
                name for known in waiting for name in links(self.records[known]) if name not in self.records
            )
        wanted: dict[tuple[int, str], None] = {}
        for need in needs:
            if need.digits:
                wanted |= dict.fromkeys(self._buckets_of(need))
        self._learn_buckets([bucket for bucket in wanted if bucket not in self.rates])

    def load(self, view: str) -> dict[str, object]:
        """Learn every record of a kind, and return them by name."""
        kind = next(kind for kind in KINDS if kind.view == view)
        query = sql.SQL("SELECT * FROM {}").format(self._from(view))
        found = {name: self._built(kind, name, fields) for name, *fields in self._connection.execute(query, ())}
        self.records.update(found)
        return {name: record for name, record in found.items() if record is not None}

    def _learn(self, names: Sequence[str]) -> None:
        by_kind: dict[Kind, list[str]] = {}
        for name in names:
            self.records[name] = None
            kind = _KINDS.get(name.partition(":")[0])
            if kind is not None:
                by_kind.setdefault(kind, []).append(name)
        for kind, some in by_kind.items():
            query = sql.SQL("SELECT * FROM {} WHERE name = ANY (%s)").format(self._from(kind.view))
            for name, *fields in self._connection.execute(query, (some,)):
                self.records[name] = self._built(kind, name, fields)

    def _built(self, kind: Kind, name: str, fields: Sequence[object]) -> object | None:
        """Return the record of a row; None for one that the sync would not take either, and say why."""
        try:
            record: object = build(kind, fields)
        except ValueError as error:
            self.unreadable[name] = str(error)
            return None
        return self._adjust(record) if self._adjust else record

    def _from(self, view: str) -> sql.Composable:
        if view in self._views:
            return sql.SQL("({}) AS v").format(sql.SQL(self._views[view].replace("%", "%%")))
        return sql.Identifier("sync", view)

    def _buckets_of(self, need: Need) -> Iterable[tuple[int, str]]:
        """Yield the buckets of every rate set that the need leads to."""
        waiting, seen = list(need.keys), set[str]()
        fields = [field for number in need.digits.split(",") for field in bucket_fields(number)]
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            record = self.records.get(name)
            if isinstance(record, RateSet):
                yield from ((record.id, field) for field in fields)
            waiting.extend(links(record))

    def _learn_buckets(self, wanted: Sequence[tuple[int, str]]) -> None:
        if not wanted:
            return
        self.rates.update(dict.fromkeys(wanted))
        arguments = ([set_id for set_id, _ in wanted], [field for _, field in wanted])
        with self._connection.cursor() as cursor:
            rows = cursor.stream(_BUCKETS, arguments)
            for (set_id, field), group in groupby(rows, key=lambda row: (row[0], row[1])):
                suffixes = {prefix[len(field) :]: class_index for _, _, prefix, class_index in group}
                self.rates[set_id, field] = pack_bucket(suffixes)


def decide_all(tables: SqlTables, calls: Sequence[CallRequest], secret: bytes, limits: Limits) -> list[Decision]:
    """Return the decision for each call. Raises psycopg errors, and OperatorError where a record cannot be had."""
    facts = tables.facts(secret, limits)
    decided: dict[int, Decision] = {}
    for _ in range(ROUNDS_MAX):
        needs: list[Need] = []
        for place, call in enumerate(calls):
            if place not in decided:
                decision = decide(call, facts)
                if isinstance(decision, Need):
                    needs.append(decision)
                else:
                    decided[place] = decision
        if not needs:
            return [decided[place] for place in range(len(calls))]
        tables.fetch(needs)
    named = ", ".join(dict.fromkeys(name for need in needs for name in need.keys))
    raise OperatorError(f"still unknown after {ROUNDS_MAX} fetches: {named}")
