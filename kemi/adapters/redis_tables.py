"""The replicated tables as one process sees them: a bounded cache over Redis, filled by one round trip per need.

Rule 1: a name is known (a record, or None where Redis holds none) or unknown; unknown is asked for, never guessed.
Rule 2: `seen_pass` is never ahead of a record that is held (proof: functions/config.lua). Whatever changed since is
    dropped before `seen_pass` moves.
Rule 3: rate sets and their buckets are immutable within a world, a database and its history: they outlive "everything
    has changed", and go with their world, or for want of room. A rate set that is named as changed is asked for again;
    its buckets stay.
Rule 4: what an emergency call needs is pinned, and served also when it is old if Redis does not answer.

It knows nothing of decisions, money or SIP.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from sys import intern
from types import MappingProxyType
from typing import Any, Final, Protocol

from cachetools import LRUCache

from kemi import codec, keys
from kemi.adapters.cache import CACHE_BYTES, Cache, Counts
from kemi.adapters.redis_client import Argument, Reply
from kemi.core.outcome import Need
from kemi.records import (
    Account,
    BarringLevel,
    Callflow,
    Destinations,
    Emergency,
    Exchange,
    Extension,
    Lengths,
    Masks,
    MediaServer,
    Number,
    PeeringGroup,
    PeeringRules,
    Peers,
    PortedNumber,
    Quality,
    RateSet,
    RewriteSet,
    RingGroup,
    SipDomain,
    Sources,
    Subscriber,
    Tariff,
    TimeSet,
    User,
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
        "user": User,
        "grp": RingGroup,
        "flow": Callflow,
        "ext": Extension,
        "media": MediaServer,
    }
)
"""First word of a short key name -> the record that stands there."""

DROPPED_MAX: Final = 1_000  # kept aside until their successor is read; one answer of Redis names at most so many
FETCH: Final = "tandem_fetch_1"
HELD_MARK, HELD_SEPARATOR = "?", "\x1f"  # functions/config.lua tandem_fetch_1


def record_type(name: str) -> type[Any]:
    """Return the type of the record at a short name such as `acct:7`. Raises ValueError for any other text."""
    kind = RECORD_TYPES.get(name.partition(":")[0])
    if kind is None:
        raise ValueError(f"{name!r} is not the short name of a record")
    return kind


class Store(Protocol):
    """What is needed of redis_client.RedisClient."""

    def available(self) -> bool:
        """Tell whether a call would be tried now."""

    def fcall_ro(self, name: str, keys: Sequence[str], args: Sequence[Argument], /) -> Reply:
        """Call a function that only reads. Raises StoreUnavailable."""


class Tables:
    """One process's view of the configuration. Not shared between processes or threads."""

    def __init__(self, client: Store, cache_bytes: int = CACHE_BYTES) -> None:
        """Start empty, without asking Redis. cache_bytes: what is kept, besides what is pinned."""
        self._client = client
        self._cache = Cache(cache_bytes, self._pinned_one)
        self._pinned: dict[str, object | None] = {}
        self._old: set[str] = set()
        self._dropped: LRUCache[str, object | None] = LRUCache(DROPPED_MAX)
        self._world = ""
        self.seen_pass = 0
        self.unreadable: dict[str, str] = {}
        self.records: Mapping[str, object] = self._cache.records
        self.rates: Mapping[tuple[int, str], bytes | None] = self._cache.rates

    @property
    def emergency(self) -> Emergency:
        """The emergency numbers last heard of; empty before `load_pinned`. Stays when Redis dies.

        For a decision without Redis: with it the table is a record like the others, and unknown once it is old.
        """
        table = self._pinned.get(keys.EMERGENCY)
        return table if isinstance(table, Emergency) else Emergency(())

    @property
    def standing(self) -> tuple[int, str]:
        """What is held is true of: a pass, and a world. While both are the same, nothing has changed."""
        return self.seen_pass, self._world

    @property
    def counts(self) -> Counts:
        """How the cache does."""
        return self._cache.counts

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
        new_pass, everything, changed, records, buckets, *world = reply
        if everything:
            self.clear()
        if not int(new_pass):
            return
        self._enter(world[0].decode() if world else "", is_sure=not everything)
        self.invalidate((name.decode() for name in changed), int(new_pass))
        for name, value in zip(records[::2], records[1::2], strict=True):
            self._learn(name.decode(), value)
        self._learn_buckets(buckets)
        self._pin()

    def invalidate(self, names: Iterable[str], new_pass: int) -> None:
        """Drop `names`, which must be all that changed since `seen_pass`, and move it to `new_pass`.

        A pass lower than the one seen means another Redis, or one that was rolled back: everything goes.
        """
        if new_pass < self.seen_pass:
            self.clear()
        for name in names:
            if self._cache.holds(name):
                self._dropped[name] = self._cache.take(name)
            if name in self._pinned:
                self._old.add(name)
        self.seen_pass = new_pass

    def clear(self) -> None:
        """Drop everything that can change. What is pinned is served on only while Redis does not answer."""
        self._cache.forget()
        self._dropped.clear()
        self._old.update(self._pinned)
        self.unreadable.clear()
        self.seen_pass = 0

    def flush(self) -> None:
        """Drop everything that can be fetched again, rates too."""
        self.clear()
        self._cache.forget_rates()

    def forget(self, names: Iterable[str]) -> None:
        """Drop these records, to be asked for anew. Buckets of rates stay."""
        for name in names:
            if self._cache.holds(name):
                self._cache.take(name)
            self._dropped.pop(name, None)
            self.unreadable.pop(name, None)
            if name in self._pinned:
                self._old.add(name)

    def trim(self) -> None:
        """Let go of what does not fit and was not read for longest. Not while a decision is made: it needs all."""
        self._cache.trim()

    def _enter(self, world: str, *, is_sure: bool) -> None:
        """Note in which world Redis stands; rates of another one are other rates.

        "": functions of the release before do not say it; then only is_sure, that all is as before, keeps the rates.
        """
        if world != self._world or not (world or is_sure):
            self._cache.forget_rates()
            self._world = world

    def _learn(self, name: str, value: bytes | None) -> None:
        try:
            record = _record(name, value)
        except ValueError as error:
            self.unreadable[name] = str(error)
            if name in self._dropped and value is not None:
                self._cache.put(name, self._dropped[name], len(value))
            return
        self.unreadable.pop(name, None)
        self._dropped.pop(name, None)
        self._cache.put(name, record, len(value or b""))
        self._old.discard(name)
        if name in self._pinned:
            self._pinned[name] = record

    def _learn_buckets(self, buckets: list[Any]) -> None:
        """Keep buckets. Only those of sets that are there come: of an absent one nothing would be true for ever."""
        ids = {packed_id: int(packed_id) for packed_id in buckets[::3]}
        for packed_id, field, bucket in zip(buckets[::3], buckets[1::3], buckets[2::3], strict=True):
            self._cache.put_bucket((ids[packed_id], intern(field.decode())), bucket)  # there are 11,110 fields

    def _pin(self) -> None:
        """Keep what an emergency call needs apart from the cache, as far as it is known."""
        cache = self._cache
        for name in (keys.MASKS, keys.EMERGENCY):
            if cache.holds(name):
                self._pinned[name] = cache.peek(name)
        wanted = {keys.MASKS, keys.EMERGENCY}
        for name in {keys.peering_group(group) for route in self.emergency.routes for group in route.group_ids}:
            group = cache.peek(name) if cache.holds(name) else self._pinned.get(name)
            wanted.add(name)
            wanted.update(_group_links(group) if isinstance(group, PeeringGroup) else ())
        for name in filter(cache.holds, wanted):
            self._pinned[name] = cache.peek(name)
        for name in self._pinned.keys() - wanted:
            del self._pinned[name]
            self._old.discard(name)

    def _pinned_one(self, name: str) -> object | None:
        """Return what is pinned under a name that the cache does not hold, unless it is old and Redis can be asked."""
        record = self._pinned[name]
        if name in self._old and self._client.available():
            raise KeyError(name)
        return record


def _group_links(group: PeeringGroup) -> tuple[str, ...]:
    rewrite_sets = (group.rewrite_set_id, *(server.rewrite_set_id for server in group.servers))
    return (keys.account(group.account_id), keys.tariff(group.tariff_id), *map(keys.rewrite_set, rewrite_sets))


def _record(name: str, value: bytes | None) -> object | None:
    """Return the record of a stored value, None for an absent or deleted one. Raises ValueError."""
    if value is None:
        return None
    row: Any = codec.unpack_config(value).row
    return None if row is None else codec.build(record_type(name), row)
