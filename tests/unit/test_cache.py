"""The budget of memory that records and rates share."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from weakref import WeakSet

import pytest

from kemi import codec
from kemi.adapters.cache import CACHE_BYTES_MIN, FREED, SETTLED, Cache, bucket_bytes, record_bytes
from kemi.adapters.redis_tables import record_type
from kemi.records import Rate, RateSet
from tests.fakes.world import World, enrich, regulate

MANY = 100


def new_cache() -> Cache:
    nothing: dict[str, object | None] = {}
    return Cache(CACHE_BYTES_MIN, nothing.__getitem__)


def taken_bytes(put: Callable[[Cache, int], None]) -> float:
    """Return what an entry takes in truth: `put` puts the entry of a number."""
    cache = new_cache()
    put(cache, 0)
    tracemalloc.start()
    try:
        for number in range(1, MANY + 1):
            put(cache, number)
        return tracemalloc.get_traced_memory()[0] / MANY
    finally:
        tracemalloc.stop()


def test_records_take_what_is_reckoned() -> None:
    """Over the kinds of a world: the sum within a quarter, and no kind at more than twice or less than half."""
    world = World()
    enrich(world)
    regulate(world)
    world.put("rset:1000", RateSet(1000, tuple(Rate(10_000 + 37 * n, 60, 60, 1_000 + n) for n in range(100))))
    truth = reckoned = 0.0
    for name, record in world.records.items():
        packed = codec.pack_config(1 << 32, record)

        def put(cache: Cache, number: int, name: str = name, packed: bytes = packed) -> None:
            row = codec.unpack_config(packed).row
            cache.put(f"{name}{number:08}", codec.build(record_type(name), row), len(packed))

        taken, said = taken_bytes(put), record_bytes(name, len(packed))
        assert said / 2 < taken < said * 2, f"{name}: {len(packed)} packed bytes are {taken}, reckoned with {said}"
        truth, reckoned = truth + taken, reckoned + said
    assert reckoned * 0.75 < truth < reckoned * 1.25


@pytest.mark.parametrize("size", [None, 8, 60, 3_000])
def test_buckets_take_what_is_reckoned(size: int | None) -> None:
    """Also one that is known to be absent. Fields are shared, as readers intern them."""
    fields = tuple(str(1_000 + n) for n in range(9))

    def put(cache: Cache, number: int) -> None:
        cache.put_bucket((1_000 + number, fields[number % 9]), None if size is None else bytes([number % 256]) * size)

    taken, said = taken_bytes(put), bucket_bytes(b"x" * size if size else None)
    assert said * 0.7 < taken < said * 1.3


def test_what_was_not_read_for_longest_goes_first_whatever_it_is() -> None:
    """Records and rates share one budget; what goes, goes when it is told to, and is counted."""
    cache = new_cache()
    size = bucket_bytes(b"x" * 10_000)
    for number in range(150):
        cache.put_bucket((number, "33"), b"x" * 10_000)
        cache.put(f"num:{number}", None, 0)
    assert cache.rates[0, "33"]
    assert cache.records["num:1"] is None
    assert cache.counts.evictions == 0
    assert cache.counts.bytes == 150 * (size + record_bytes("num:1", 0))

    cache.trim()

    counts = cache.counts
    assert CACHE_BYTES_MIN - size - 1_000 < counts.bytes <= CACHE_BYTES_MIN
    assert counts.evictions == 300 - counts.records - counts.rates
    assert (0, "33") in cache.rates
    assert (1, "33") not in cache.rates
    assert "num:1" in cache.records
    assert "num:0" not in cache.records
    assert {(number, "33") for number in range(60, 150)} <= cache.rates.keys()


def test_an_entry_that_changes_its_size_is_counted_anew() -> None:
    """And one that is dropped, in whatever way, is not counted any more."""
    cache = new_cache()
    for packed in (100, 10_000, 1):
        cache.put("acct:1", "a", packed)
        assert cache.counts.bytes == record_bytes("acct:1", packed)
    cache.put("acct:2", "b", 5)
    assert cache.take("acct:1") == "a"
    cache.forget()
    cache.put("rset:1", RateSet(1, ()), 5)
    cache.put_bucket((1, "3"), None)
    cache.forget()
    assert (cache.counts.records, cache.counts.rates) == (1, 1)
    cache.forget_rates()
    assert (cache.counts.bytes, cache.counts.records, cache.counts.rates) == (0, 0, 0)


class Thing:
    """A record whose end can be seen."""


def test_what_is_dropped_at_once_is_freed_little_by_little() -> None:
    """Nobody sees it any more, and no call waits until it is gone; what came again meanwhile is not taken with it."""
    cache = new_cache()
    alive: WeakSet[Thing] = WeakSet()
    for number in range(2 * FREED):
        thing = Thing()
        alive.add(thing)
        cache.put(f"acct:{number}", thing, 10)
    del thing
    cache.forget()
    assert (len(cache.records), cache.counts.bytes, len(alive)) == (0, 0, 2 * FREED)
    for number in range(0, 2 * FREED, 10):
        cache.put(f"acct:{number}", "again", 10)
    counts = cache.counts
    for left in (FREED, 0):
        cache.trim()
        assert len(alive) == left
    assert cache.counts == counts
    assert cache.records[f"acct:{FREED}"] == "again"


def test_what_was_dropped_at_once_takes_no_place() -> None:
    """What comes after it has all the room; an older bucket that stayed is the first to go."""
    cache = new_cache()
    size = record_bytes("acct:1", 100)
    fits = CACHE_BYTES_MIN // size
    for number in range(fits):
        cache.put(f"acct:{number}", "old", 100)
    cache.put_bucket((5, "33"), b"x" * 2_000)
    cache.forget()
    for number in range(fits, 2 * fits):
        cache.put(f"acct:{number}", "new", 100)
    cache.trim()
    assert set(cache.records) == {f"acct:{number}" for number in range(fits, 2 * fits)}
    assert (5, "33") not in cache.rates
    assert cache.counts.evictions == 1


def test_what_came_again_is_as_young_as_that() -> None:
    """Though it stood in the order before it was dropped with everything."""
    cache = new_cache()
    cache.put("acct:1", "old", 100)
    cache.forget()
    for number in range(CACHE_BYTES_MIN // record_bytes("num:1", 0)):
        cache.put(f"num:{number}", None, 0)
    cache.put("acct:1", "again", 100)
    cache.trim()
    assert "acct:1" in cache.records
    assert "num:0" not in cache.records


def test_a_large_cache_is_nothing_to_the_garbage_collector() -> None:
    """A full collection looks at everything that is not frozen, while a call waits."""
    cache = new_cache()
    before = gc.get_freeze_count()
    try:
        for number in range(SETTLED):
            cache.put(f"acct:{number}", Rate(number), 1)
        cache.trim()
        assert gc.get_freeze_count() > before + SETTLED
        frozen = gc.get_freeze_count()
        cache.trim()
        assert gc.get_freeze_count() <= frozen
    finally:
        gc.unfreeze()


def test_a_key_of_no_kind_is_not_there() -> None:
    """Readers ask for whatever a record names."""
    cache = new_cache()
    assert "acct:1" not in cache.records
    assert cache.records.get("acct:1") is None
    with pytest.raises(KeyError):
        _ = cache.rates[1, "33"]


def test_many_reads_at_once_are_reads() -> None:
    """They count, make young what they read, and answer from beneath; what is not known raises."""
    cache = new_cache()
    for number in range(10):
        cache.put(f"num:{number}", None, CACHE_BYTES_MIN // 60)
    assert cache.records.many(["num:0", "num:2"]) == [None, None]
    assert cache.counts.record_hits == 2
    with pytest.raises(KeyError):
        cache.records.many(["num:0", "num:unknown"])
    assert list(cache._order)[-1] == "num:0"
    assert list(cache._order)[-2] == "num:2"
