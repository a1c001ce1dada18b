"""The replicated tables as one process sees them: a bounded cache over Redis, filled by one round trip per need.

Rule 1: a name is known (a record, or None where Redis holds none) or unknown; unknown is asked for, never guessed.
Rule 2: `seen_pass` is never ahead of a record that is held (proof: functions/config.lua). Whatever changed since is
    dropped before `seen_pass` moves.
Rule 3: rate buckets belong to immutable sets: they are dropped only when everything is.
Rule 4: what an emergency call needs is pinned, and served also when it is old if Redis does not answer.

It knows nothing of decisions, money or SIP.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from cachetools import LRUCache

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient
from kemi.core.outcome import Need
from kemi.core.prefix import BUCKET_DIGITS
from kemi.records import (
    Account,
    BarringLevel,
    Destinations,
    Emergency,
    Exchange,
    Lengths,
    Masks,
    Number,
    PeeringGroup,
    PeeringRules,
    Peers,
    PortedNumber,
    Quality,
    RateSet,
    RewriteSet,
    SipDomain,
    Sources,
    Subscriber,
    Tariff,
    TimeSet,
)

RECORD_TYPES: Final[Mapping[str, type[Any]]] = MappingProxyType(
    {
        "acct": Account,
        "dom": SipDomain,
        "sub": Subscriber,
        "src": Sources,
        "masks": Masks,
        "num": Number,
        "rws": RewriteSet,
        "pg": PeeringGroup,
        "rules": PeeringRules,
        "tar": Tariff,
        "rset": RateSet,
        "emergency": Emergency,
        "fx": Exchange,
        "tset": TimeSet,
        "bar": BarringLevel,
        "lnp": PortedNumber,
        "lnplens": Lengths,
        "dest": Destinations,
        "quality": Quality,
        "peers": Peers,
    }
)
"""First word of a short key name -> the record that stands there."""

RECORDS_MAX: Final = 100_000  # ≈ 100 MB of records in the worst case: 1 kB each, built
RATES_MAX: Final = 200_000
DROPPED_MAX: Final = 1_000  # kept aside until their successor is read; one answer of Redis names at most so many
FETCH_RECORDS_MAX: Final = 512  # functions/config.lua RECORDS_MAX
FETCH: Final = "tandem_fetch_1"
HELD_MARK, HELD_SEPARATOR = "?", "\x1f"  # functions/config.lua tandem_fetch_1


def record_type(name: str) -> type[Any]:
    """Return the type of the record at a short name such as `acct:7`. Raises ValueError for any other text."""
    kind = RECORD_TYPES.get(name.partition(":")[0])
    if kind is None:
        raise ValueError(f"{name!r} is not the short name of a record")
    return kind


class Tables:
    """One process's view of the configuration. Not shared between processes or threads."""

    def __init__(self, client: RedisClient, *, records_max: int = RECORDS_MAX, rates_max: int = RATES_MAX) -> None:
        """Start empty, without asking Redis.

        records_max, rates_max: entries kept, least recently used go first; at least as many as one fetch may bring.
        """
        if records_max < FETCH_RECORDS_MAX or rates_max < FETCH_RECORDS_MAX * BUCKET_DIGITS:
            raise ValueError(
                f"a cache of {records_max} records and {rates_max} rates cannot hold what one fetch brings"
            )
        self._client = client
        self._records: LRUCache[str, object | None] = LRUCache(records_max)
        self._rates: LRUCache[tuple[int, str], bytes | None] = LRUCache(rates_max)
        self._pinned: dict[str, object | None] = {}
        self._old: set[str] = set()
        self._dropped: LRUCache[str, object | None] = LRUCache(DROPPED_MAX)
        self.seen_pass = 0
        self.unreadable: dict[str, str] = {}
        self.records: Mapping[str, object] = _Known(self._records, self._pinned, self._servable)
        self.rates: Mapping[tuple[int, str], bytes | None] = MappingProxyType(self._rates)

    @property
    def emergency(self) -> Emergency:
        """The emergency numbers last heard of; empty before `load_pinned`. Stays when Redis dies."""
        table = self._pinned.get(keys.EMERGENCY)
        return table if isinstance(table, Emergency) else Emergency(())

    @property
    def refresh_due(self) -> bool:
        """True when something pinned has changed; the next fetch, of whatever, brings it."""
        return bool(self._old)

    def load_pinned(self) -> tuple[Emergency, Masks]:
        """Fetch the emergency table with its groups, and the masks, and keep them whatever the cache drops.

        Raises StoreUnavailable. Both are empty where Redis holds none.
        """
        self.fetch(Need((keys.EMERGENCY, keys.MASKS)))
        masks = self._pinned.get(keys.MASKS)
        return self.emergency, masks if isinstance(masks, Masks) else Masks((), ())

    def known(self, names: Iterable[str]) -> Mapping[str, object]:
        """Return those of `names` that are known, each with its record or None."""
        return {name: self.records[name] for name in names if name in self.records}

    def fetch(self, need: Need) -> None:
        """Learn `need.keys`, all that they lead to, and the rate buckets of `need.digits`, in one round trip.

        What of `need.held` has changed since the last one comes with them, instead of being dropped and asked for next.
        Buckets come for every tariff or rate set reached, so a need for digits names its tariffs. Names that stay
        unknown afterwards: nothing is loaded in Redis, more than 512 records were reached, or a newer release wrote
        them (then `unreadable` says so and an older record is kept). Raises StoreUnavailable; then nothing changed.
        """
        names = dict.fromkeys((*need.keys, *self._old))
        held = HELD_SEPARATOR.join(name for name in need.held if HELD_SEPARATOR not in name)
        reply = self._client.fcall_ro(
            FETCH,
            (),
            (self.seen_pass, need.digits, *names, *((HELD_MARK + held,) if held else ())),
        )
        new_pass, everything, changed, records, buckets = reply
        if everything:
            self.clear()
        if not int(new_pass):
            return
        self.invalidate((name.decode() for name in changed), int(new_pass))
        for name, value in zip(records[::2], records[1::2], strict=True):
            self._learn(name.decode(), value)
        for set_id, field, bucket in zip(buckets[::3], buckets[1::3], buckets[2::3], strict=True):
            self._rates[int(set_id), field.decode()] = bucket
        self._pin()

    def invalidate(self, names: Iterable[str], new_pass: int) -> None:
        """Drop `names`, which must be all that changed since `seen_pass`, and move it to `new_pass`.

        A pass lower than the one seen means another Redis, or one that was rolled back: everything goes.
        """
        if new_pass < self.seen_pass:
            self.clear()
        for name in names:
            if name in self._records:
                self._dropped[name] = self._records.pop(name)
            if name in self._pinned:
                self._old.add(name)
        self.seen_pass = new_pass

    def clear(self) -> None:
        """Drop everything. What is pinned is served on only while Redis does not answer, until it is fetched again."""
        self._records.clear()
        self._rates.clear()
        self._dropped.clear()
        self._old.update(self._pinned)
        self.unreadable.clear()
        self.seen_pass = 0

    def _learn(self, name: str, value: bytes | None) -> None:
        try:
            record = _record(name, value)
        except ValueError as error:
            self.unreadable[name] = str(error)
            if name in self._dropped:
                self._records[name] = self._dropped[name]
            return
        self.unreadable.pop(name, None)
        self._dropped.pop(name, None)
        self._records[name] = record
        self._old.discard(name)
        if name in self._pinned:
            self._pinned[name] = record

    def _pin(self) -> None:
        """Keep what an emergency call needs apart from the cache, as far as it is known."""
        for name in (keys.MASKS, keys.EMERGENCY):
            if name in self._records:
                self._pinned[name] = self._records[name]
        wanted = {keys.MASKS, keys.EMERGENCY}
        for name in {keys.peering_group(group) for route in self.emergency.routes for group in route.group_ids}:
            group = self._records.get(name, self._pinned.get(name))
            wanted.add(name)
            wanted.update(_group_links(group) if isinstance(group, PeeringGroup) else ())
        for name in wanted & self._records.keys():
            self._pinned[name] = self._records[name]
        for name in self._pinned.keys() - wanted:
            del self._pinned[name]
            self._old.discard(name)

    def _servable(self, name: str) -> bool:
        return name not in self._old or not self._client.available()


class _Known(Mapping[str, object]):
    """Read-only: the cache, and beneath it what is pinned."""

    def __init__(
        self, cached: LRUCache[str, object | None], pinned: Mapping[str, object | None], servable: Any
    ) -> None:
        self._cached = cached
        self._pinned = pinned
        self._servable = servable

    def __getitem__(self, name: str) -> Any:
        if name in self._pinned and self._servable(name):
            return self._pinned[name]
        return self._cached[name]

    def __contains__(self, name: object) -> bool:
        return name in self._cached or (name in self._pinned and self._servable(name))

    def __iter__(self) -> Iterator[str]:
        return iter({**dict.fromkeys(self._cached), **dict.fromkeys(filter(self._servable, self._pinned))})

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _group_links(group: PeeringGroup) -> tuple[str, ...]:
    rewrite_sets = (group.rewrite_set_id, *(server.rewrite_set_id for server in group.servers))
    return (keys.account(group.account_id), keys.tariff(group.tariff_id), *map(keys.rewrite_set, rewrite_sets))


def _record(name: str, value: bytes | None) -> object | None:
    """Return the record of a stored value, None for an absent or deleted one. Raises ValueError."""
    if value is None:
        return None
    row: Any = codec.unpack_config(value).row
    return None if row is None else codec.build(record_type(name), row)
