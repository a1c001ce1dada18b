"""A syncer without Postgres: applies records of a test's choice to a real Redis through the real functions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Final

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from tools.sync.kinds import BY_VIEW, KINDS, Kind
from tools.sync.marker import Marker
from tools.sync.store import Change, Store

MARKER: Final = Marker(system=1, database=2, timeline=1, lsn=100)


class ConfigWriter:
    """Takes over with `fence`; every write is a step with a pass number of its own, from `first_pass`.

    marker: of the Postgres that this would be.
    """

    def __init__(self, client: RedisClient, fence: int = 1, first_pass: int = 1, marker: Marker = MARKER) -> None:
        self.marker = marker
        self.store = Store(client)
        self._passes = itertools.count(first_pass)
        self.store.begin(fence)

    def write(self, records: Mapping[str, object | None]) -> int:
        """Apply records by short name, None = deleted; return how many Redis left alone."""
        changes = [Change(kind_of(name), name, record) for name, record in records.items()]
        return self.store.apply(changes, self._passes.__next__)

    def write_fund(self, fund: str, terms: object | None) -> int:
        """Apply the terms of a fund, None = deleted; return how many Redis left alone."""
        return self.store.apply([Change(BY_VIEW["fund_terms"], fund, terms)], self._passes.__next__)

    def finish(self) -> None:
        """End a pass: from the first one on, readers use what stands there."""
        self.store.commit(self.marker)

    def finish_load(self) -> None:
        """End a full load: readers drop everything."""
        self.store.commit(self.marker, next(self._passes))

    def load(self, records: Mapping[str, object], rates: Mapping[tuple[int, str], bytes]) -> None:
        """Apply a whole world."""
        for (rate_set_id, field), bucket in rates.items():
            self.store.add_buckets(rate_set_id, [(field, bucket)])
        self.write(records)
        self.finish()


def kind_of(name: str) -> Kind:
    """Return the kind of a short key name."""
    word = name.partition(":")[0]
    return next(kind for kind in KINDS if kind.prefix.partition(":")[0] == word)


def stored_pass(client: RedisClient) -> int:
    """Return PASS."""
    return int(client.execute("GET", keys.PASS) or 0)
