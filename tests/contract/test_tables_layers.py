"""Rate sets that stand on others: one fetch brings, per field, what the newest layer says."""

from __future__ import annotations

from typing import Any

import pytest

from kemi import keys
from kemi.adapters.redis_client import FunctionFailed, RedisClient
from kemi.adapters.redis_tables import FETCH, Tables
from kemi.core.decide import decide
from kemi.core.outcome import Need, Route
from kemi.core.prefix import longest, pack_bucket
from kemi.records import Rate, RateSet, Tariff
from tests.fakes.config_writer import ConfigWriter
from tests.fakes.world import ABROAD, World, invite

RATES = (Rate(10), Rate(20), Rate(30))
BASE = {"4": pack_bucket({"": 0}), "44": pack_bucket({"": 1}), "4420": pack_bucket({"": 1, "7": 0})}
MIDDLE = {"4420": pack_bucket({"7": 2}), "33": pack_bucket({"": 2})}
TOP = {"44": b"", "33": pack_bucket({"": 0})}


@pytest.fixture
def writer(redis_client: RedisClient) -> ConfigWriter:
    """Write tariff 7 on set 12, which stands on 11, which stands on 10."""
    writer = ConfigWriter(redis_client)
    for number, buckets in ((10, BASE), (11, MIDDLE), (12, TOP)):
        writer.store.add_buckets(number, list(buckets.items()))
    writer.store.add_buckets(11, [("layers", b"10")])
    writer.store.add_buckets(12, [("layers", b"11,10")])
    sets: dict[str, object] = {
        "rset:10": RateSet(10, RATES),
        "rset:11": RateSet(11, RATES, (), (11, 10)),
        "rset:12": RateSet(12, RATES, (), (12, 11, 10)),
    }
    writer.write({**sets, "tar:7": Tariff(7, 1, "edited", "EUR", 12)})
    writer.finish()
    return writer


def found(tables: Tables, rate_set: int, number: str) -> tuple[str, int] | None:
    return longest(number, lambda field: tables.rates[rate_set, field])


@pytest.mark.parametrize(
    ("number", "bottom", "middle", "top"),
    [
        ("442079", ("44207", 0), ("44207", 2), ("44207", 2)),
        ("442030", ("4420", 1), ("44", 1), ("4", 0)),  # the middle has the field, without its base's shorter prefix
        ("449000", ("44", 1), ("44", 1), ("4", 0)),
        ("330000", None, ("33", 2), ("33", 0)),
        ("500000", None, None, None),
    ],
)
@pytest.mark.usefixtures("writer")
def test_the_newest_layer_that_has_a_field_decides(
    redis_client: RedisClient, number: str, bottom: object, middle: object, top: object
) -> None:
    """Whole: what a lower layer has in the same field does not count; in one round trip."""
    tables = Tables(redis_client)
    before = redis_client.round_trips
    tables.fetch(Need(("tar:7", "rset:11", "rset:10"), number))
    assert redis_client.round_trips == before + 1
    assert (found(tables, 10, number), found(tables, 11, number), found(tables, 12, number)) == (bottom, middle, top)


@pytest.mark.usefixtures("writer")
def test_buckets_are_known_by_the_set_that_was_asked_for(redis_client: RedisClient) -> None:
    """So a worker looks up one set, not eight; a field that is gone is as one that never was."""
    tables = Tables(redis_client)
    tables.fetch(Need(("tar:7",), "442079"))
    assert dict(tables.rates) == {
        (12, "4"): BASE["4"], (12, "44"): None, (12, "442"): None, (12, "4420"): MIDDLE["4420"],
    }  # fmt: skip


def test_a_set_that_is_not_there_says_nothing_of_its_buckets(writer: ConfigWriter, redis_client: RedisClient) -> None:
    """It may come back: nobody may keep in mind that it has none."""
    writer.write({"rset:12": None})
    tables = Tables(redis_client)
    tables.fetch(Need(("tar:7", "rset:99"), "442079"))
    assert dict(tables.rates) == {}
    writer.write({"rset:12": RateSet(12, RATES, (), (12, 11, 10))})
    tables.fetch(Need(("tar:7",), "442079"))
    assert found(tables, 12, "442079") == ("44207", 2)


def test_price_classes_are_not_sent_again(writer: ConfigWriter, redis_client: RedisClient) -> None:
    """Of a set that a reader has, one more bucket comes alone; once it has changed, it comes with it."""
    tables = Tables(redis_client)
    tables.fetch(Need(("tar:7",), "442079"))

    def names(seen: int) -> list[bytes]:
        reply: Any = redis_client.fcall_ro(FETCH, (), (seen, "33", "tar:7", "?rset:12\x1facct:1"))
        assert bytes(reply[4][1]) == b"3"
        return [bytes(name) for name in reply[3][::2]]

    seen = tables.seen_pass
    assert names(seen) == [b"tar:7"]
    writer.write({"rset:12": RateSet(12, RATES[:2], (), (12, 11, 10))})
    assert set(names(seen)) == {b"tar:7", b"rset:12"}
    tables.fetch(Need(("tar:7",), "33", held=("rset:12",)))
    assert tables.records["rset:12"] == RateSet(12, RATES[:2], (), (12, 11, 10))


@pytest.mark.parametrize("depth", [2, 8])
def test_layers_cost_no_fetch(redis_client: RedisClient, depth: int) -> None:
    """A cold call decides the same, after as many fetches, when each of its rate sets stands on others."""
    world, flat = World(), World()
    layered = ConfigWriter(redis_client)
    for (number, field), bucket in world.rates.items():
        below = [number * 100 + place for place in range(1, depth)]
        layered.store.add_buckets(below[len(field) % len(below)], [(field, bucket)])
        layered.store.add_buckets(number, [("layers", ",".join(map(str, below)).encode())])
    layered.write(world.records)
    layered.finish()
    call, tables = invite(callee=ABROAD), Tables(redis_client)
    facts = world.facts(records=tables.records, rates=tables.rates)
    fetches, decision = 0, decide(call, facts)
    while isinstance(decision, Need):
        tables.fetch(decision)
        fetches, decision = fetches + 1, decide(call, facts)
    assert isinstance(decision, Route)
    assert decision == flat.decide(call)
    assert fetches <= 2


def test_mended_buckets_reach_whoever_has_the_wrong_ones(writer: ConfigWriter, redis_client: RedisClient) -> None:
    """Readers keep buckets for ever, so a bucket that was wrong makes another world of all of them."""
    tables = Tables(redis_client)
    tables.fetch(Need(("tar:7",), "442079"))
    right = pack_bucket({"7": 1})
    writer.store.fenced("tandem_mend_rates_1", (keys.rate_hash(11),), (1, "4420", right, "33"))
    assert redis_client.execute("HGET", keys.rate_hash(11), "4420") == right
    assert redis_client.execute("HEXISTS", keys.rate_hash(11), "33") == 0
    tables.fetch(Need(("acct:1",)))
    assert (12, "4420") not in tables.rates
    tables.fetch(Need(("tar:7",), "442079"))
    assert found(tables, 12, "442079") == ("44207", 1)


def test_an_older_syncer_mends_nothing(writer: ConfigWriter, redis_client: RedisClient) -> None:
    """The fence counts for buckets, too."""
    ConfigWriter(redis_client, fence=2)
    with pytest.raises(Exception, match="fence 1 is refused"):
        writer.store.fenced("tandem_mend_rates_1", (keys.rate_hash(11),), (0, "33"))
    with pytest.raises(Exception, match="fence 1 is refused"):
        writer.store.add_buckets(11, [("1", b"")])
    assert redis_client.execute("HEXISTS", keys.rate_hash(11), "33") == 1


def test_workers_may_not_write_rates(redis_worker_url: str) -> None:
    """Their user calls none of the syncer's functions."""
    worker = RedisClient(redis_worker_url, 1_000)
    for name in ("tandem_rates_1", "tandem_mend_rates_1"):
        with pytest.raises(FunctionFailed, match="no permissions"):
            worker.fcall(name, (keys.rate_hash(11),), (9, 0, "33"))
    worker.close()
