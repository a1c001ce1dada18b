"""What was committed, in order, and so what Redis may hold: the model that random transactions are tried against.

Of every aggregate the model keeps all states that ever were committed, as the views of schema `sync` show them right
after each commit. Redis may hold any of them, but never an older one than it held before, and in the end the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.codec import unpack_config
from tests.fix_postgres import Database
from tests.sync_pair import SyncPair
from tools.sync.kinds import BY_VIEW, FUND_TERMS, KINDS, Kind, build

Name = tuple[str, str]
"""View and short name of an aggregate."""

READ_KEYS: Final = 500


class Reached(NamedTuple):
    """How far Redis was at some moment."""

    states: dict[Name, int]
    versions: dict[str, int]


class History:
    """All committed states of all aggregates of one database, and how far Redis is known to be."""

    def __init__(self, database: Database) -> None:
        """Begin with what is committed by now; Redis may hold nothing, or that."""
        self._database = database
        self._states: dict[Name, list[object | None]] = {}
        self._reached: dict[Name, int] = {}
        self._versions: dict[str, int] = {}
        self.committed()

    def committed(self) -> None:
        """Note what is there now. To be called after each commit, before anybody reads Redis."""
        now = _all(self._database)
        for name in self._states.keys() | now.keys():
            states = self._states.setdefault(name, [None])
            if states[-1] != now.get(name):
                states.append(now.get(name))

    def check(self, redis: RedisClient) -> None:
        """Fail unless Redis holds of each aggregate a committed state, and none older than the last time."""
        for kind in KINDS:
            names = [name for view, name in self._states if view == kind.view]
            for name, value in _values(redis, kind, names).items():
                self._advance(kind, name, value)
        self._pointers_hold(redis)

    def check_all_arrived(self, redis: RedisClient) -> None:
        """Fail unless Redis holds the last committed state of each aggregate."""
        self.check(redis)
        late = {name for name, states in self._states.items() if states[self._reached.get(name, 0)] != states[-1]}
        assert late == set()

    def reached(self) -> Reached:
        """Return how far Redis is."""
        return Reached(dict(self._reached), dict(self._versions))

    def go_back(self, to: Reached) -> None:
        """Redis was put back to what it was then."""
        self._reached, self._versions = dict(to.states), dict(to.versions)

    def _advance(self, kind: Kind, name: str, value: bytes | None) -> None:
        if value is not None and kind.view != FUND_TERMS:
            version = unpack_config(value).version
            assert version >= self._versions.get(name, 0), f"{name} went back to version {version}"
            self._versions[name] = version
        states, reached = self._states[kind.view, name], self._reached.get((kind.view, name), 0)
        held = kind.read(value)
        for place in range(reached, len(states)):
            if states[place] == held:
                self._reached[kind.view, name] = place
                return
        when = "an older state" if held in states else "a state that was never committed"
        raise AssertionError(f"{kind.view} {name}: Redis holds {when}: {held}; the last is {states[-1]}")

    def _pointers_hold(self, redis: RedisClient) -> None:
        """Whoever reads a tariff finds the prices that it points to, whole."""
        tariff = BY_VIEW["tariff"]
        names = [name for view, name in self._states if view == "tariff"]
        for value in _values(redis, tariff, names).values():
            record: Any = tariff.read(value)
            if record is not None and record.rate_set_id:
                held = redis.execute("GET", keys.config(keys.rate_set(record.rate_set_id)))
                assert BY_VIEW["rate_set"].read(held) is not None, f"{record} points to prices that are not there"
                assert redis.execute("HLEN", keys.rate_hash(record.rate_set_id)), f"{record} points to an empty list"


def _all(database: Database) -> dict[Name, object]:
    """Return every aggregate as the views show it, in one snapshot."""
    found: dict[Name, object] = {}
    with database.connection.transaction():
        database.connection.execute("set transaction isolation level repeatable read, read only")
        for kind in KINDS:
            query = f'select * from sync."{kind.view}"'  # noqa: S608  the kinds are ours
            for name, *fields in database.connection.execute(query.encode()):
                found[kind.view, name] = build(kind, fields)
    return found


def _values(redis: RedisClient, kind: Kind, names: list[str]) -> Mapping[str, bytes | None]:
    return dict(zip(names, redis.execute("MGET", *map(kind.key, names)), strict=True)) if names else {}


def check_equal(pair: SyncPair, history: History) -> None:
    """Fail unless both are equal, by the model and by the syncer's own comparison; rate buckets included."""
    history.check_all_arrived(pair.redis)
    pair.assert_equal()
