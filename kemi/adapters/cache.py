"""What one process keeps of Redis: records by short name and rate buckets, in one budget of memory.

Rule 1: what was not read for longest goes first, whichever kind it is. So records and rates share the budget as calls
read them.
Rule 2: nothing goes while a decision stands on it: `trim` is for the time between two of them. A decision that stands
on more than fits has all of it, and the next one begins smaller.
Rule 3: rate sets and buckets never change in one world (a database and its history), so they are dropped with that
world only. A rate set that is absent may come, and a record may always change.

Sizes are those of the packed bytes times what was measured of their decoded form; what the allocator and the caches of
the interpreter add to it is not counted. It knows nothing of Redis.
"""

from __future__ import annotations

import gc
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

from kemi.records import RateSet

K = TypeVar("K")

Bucket = tuple[int, str]
"""Rate set id, and the first ≤ 4 digits."""

CACHE_BYTES: Final = 64 << 20
CACHE_BYTES_MIN: Final = 1 << 20

# Measured with tracemalloc on CPython 3.11 over the records of tests/fakes/world.py: the entry with its name, then for
# each packed byte. Records are small objects; long texts cost little more than their bytes, prices are objects all of
# them (tests/unit/test_cache.py measures again).
RECORD_BYTES: Final = 250
BYTES_EACH: Final = 9
BYTES_EACH_OF: Final = MappingProxyType({"rset": 15, "sub": 4, "num": 4, "dom": 4})
BUCKET_BYTES: Final = 290

FREED: Final = 500  # entries of what was dropped at once, per decision: half a millisecond
SETTLED: Final = 2_000  # entries that come before the garbage collector forgets them


def record_bytes(name: str, packed_bytes: int) -> int:
    """Return what a record takes. packed_bytes: of its value in Redis, 0 = known to be absent."""
    return RECORD_BYTES + BYTES_EACH_OF.get(name.partition(":")[0], BYTES_EACH) * packed_bytes


def bucket_bytes(bucket: bytes | None) -> int:
    """Return what a bucket takes; None: known to be absent."""
    return BUCKET_BYTES + (len(bucket) if bucket else 0)


class Counts(NamedTuple):
    """How a cache does, since its process began.

    hits: reads that it answered; misses: entries that had to be fetched. evictions: entries that went for want of room.
    """

    records: int
    rates: int
    bytes: int
    bytes_max: int
    record_hits: int
    record_misses: int
    rate_hits: int
    rate_misses: int
    evictions: int


class Reading(Mapping[K, Any], Generic[K]):
    """What is there of one kind, read-only. A read moves the entry to the end of those that go first.

    beneath: answers for what is not there; raises KeyError for what is not known.
    """

    __slots__ = ("_beneath", "_touch", "_values", "hits")

    def __init__(self, values: Mapping[K, Any], touch: Callable[[K], None], beneath: Callable[[K], Any]) -> None:
        self._values = values
        self._touch = touch
        self._beneath = beneath
        self.hits = 0

    def __getitem__(self, key: K) -> Any:
        try:
            value = self._values[key]
        except KeyError:
            value = self._beneath(key)
        else:
            self._touch(key)
        self.hits += 1
        return value

    def many(self, wanted: list[K]) -> list[Any]:
        """Return what is there at each of the keys: a read of each, in less time. Raises KeyError as those would."""
        try:
            found = list(map(self._values.__getitem__, wanted))
        except KeyError:
            return [self[key] for key in wanted]
        deque(map(self._touch, wanted), maxlen=0)
        self.hits += len(found)
        return found

    def __contains__(self, key: object) -> bool:
        if key in self._values:
            return True
        try:
            self._beneath(cast("K", key))
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[K]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Cache:
    """Entries in the order of their last use. `records` and `rates` are what readers see.

    bytes_max: kept between two decisions, at least CACHE_BYTES_MIN. beneath: as in Reading, for records.
    """

    def __init__(self, bytes_max: int, beneath: Callable[[str], object | None]) -> None:
        if bytes_max < CACHE_BYTES_MIN:
            raise ValueError(f"a cache of {bytes_max} bytes cannot hold what a decision stands on")
        self._bytes_max = bytes_max
        self._bytes = 0
        self._rate_bytes = 0
        self._record_misses = 0
        self._rate_misses = 0
        self._evictions = 0
        self._settled = 0
        self._graves: list[dict[Any, Any]] = []
        self._of_records: dict[str, object | None] = {}
        self._of_rates: dict[Bucket, bytes | None] = {}
        self._order: OrderedDict[str | Bucket, int] = OrderedDict()
        self.records: Reading[str] = Reading(self._of_records, self._order.move_to_end, beneath)
        self.rates: Reading[Bucket] = Reading(self._of_rates, self._order.move_to_end, _unknown)

    @property
    def counts(self) -> Counts:
        """How it does."""
        return Counts(
            records=len(self._of_records),
            rates=len(self._of_rates),
            bytes=self._bytes,
            bytes_max=self._bytes_max,
            record_hits=self.records.hits,
            record_misses=self._record_misses,
            rate_hits=self.rates.hits,
            rate_misses=self._rate_misses,
            evictions=self._evictions,
        )

    def holds(self, name: str) -> bool:
        """Whether a record is here, or known to be absent: this is no read."""
        return name in self._of_records

    def peek(self, name: str) -> object | None:
        """Return a record that is here, else None: this is no read."""
        return self._of_records.get(name)

    def put(self, name: str, record: object | None, packed_bytes: int) -> None:
        """Keep a record. packed_bytes: as in record_bytes."""
        if name in self._of_records:
            self.take(name)
        else:
            self._record_misses += 1
        size = record_bytes(name, packed_bytes)
        self._of_records[name] = record
        self._enter(name, size)

    def put_bucket(self, key: Bucket, bucket: bytes | None) -> None:
        """Keep a bucket."""
        if key in self._of_rates:
            self._take_bucket(key)
        else:
            self._rate_misses += 1
        size = bucket_bytes(bucket)
        self._of_rates[key] = bucket
        self._rate_bytes += size
        self._enter(key, size)

    def take(self, name: str) -> object | None:
        """Drop a record that is here, and return it."""
        self._bytes -= self._order.pop(name)
        return self._of_records.pop(name)

    def forget(self) -> None:
        """Drop all but rate sets and their buckets, which are true as long as the world is the same."""
        sets = self._sets()
        self._bury(self._of_records)
        self._of_records.update(sets)
        self._bytes = self._rate_bytes + sum(self._order[name] for name in sets)

    def forget_rates(self) -> None:
        """Drop rate sets and buckets: the world is another."""
        for name in self._sets():
            self.take(name)
        self._bury(self._of_rates)
        self._bytes -= self._rate_bytes
        self._rate_bytes = 0

    def trim(self) -> None:
        """Let go of what was not read for longest, until the rest fits. Not while a decision is made: rule 2."""
        self._free_some()
        while self._bytes > self._bytes_max:
            key = next(iter(self._order))
            if key in self._of_records:
                self.take(key)
                self._evictions += 1
            elif key in self._of_rates:
                self._take_bucket(key)
                self._evictions += 1
            else:
                del self._order[key]  # buried, and counted no more
        self._settle()

    def _enter(self, key: str | Bucket, size: int) -> None:
        """Count an entry that has come, as the last one used."""
        self._order.pop(key, None)  # what is buried still has its place
        self._order[key] = size
        self._bytes += size

    def _take_bucket(self, key: Bucket) -> None:
        size = self._order.pop(key)
        self._bytes -= size
        self._rate_bytes -= size
        del self._of_rates[key]

    def _sets(self) -> dict[str, object | None]:
        return {name: record for name, record in self._of_records.items() if isinstance(record, RateSet)}

    def _bury(self, table: dict[Any, Any]) -> None:
        """Empty a table at once, though it takes time to free what was in it."""
        self._graves.append(table.copy())
        table.clear()

    def _free_some(self) -> None:
        """Free some of what was dropped at once: no call waits until a hundred thousand objects are gone."""
        if not self._graves:
            return
        grave = self._graves[-1]
        for _ in range(min(FREED, len(grave))):
            key, _ = grave.popitem()
            if key not in self._of_records and key not in self._of_rates:
                self._order.pop(key, None)
        if not grave:
            self._graves.pop()

    def _settle(self) -> None:
        """Take what is kept out of the garbage collector's sight, now and then.

        It would look at a full cache of some hundred thousand objects for a tenth of a second, in the middle of a call.
        They hold no cycles. What a decision left behind is collected first, so that it is not kept for ever.
        """
        came = self._record_misses + self._rate_misses
        if came - self._settled >= SETTLED:
            self._settled = came
            gc.collect(1)
            gc.freeze()


def _unknown(key: Bucket) -> None:
    raise KeyError(key)
