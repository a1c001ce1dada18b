"""functions/config.lua on a real Redis: who may write, which value wins, what a reader is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kemi import codec, keys
from kemi.adapters.redis_client import FunctionFailed, RedisClient, StoreUnavailable
from kemi.adapters.redis_funds import FundTerms
from kemi.records import Masks, Tariff
from tests.fakes.config_writer import MARKER, ConfigWriter, stored_pass
from tools.sync.marker import Marker
from tools.sync.store import STEP_KEYS, FencedError, LostError, Store

KEEP = 100_000
TERMS = FundTerms(3, 20_000_000, -1, 0, 10, 0)


def tariff(number: int, name: str = "retail") -> dict[str, object | None]:
    return {keys.tariff(number): Tariff(number, 1, name, "EUR", 7)}


def stored(client: RedisClient, number: int) -> codec.Versioned:
    return codec.unpack_config(client.execute("GET", keys.config(keys.tariff(number))))


def named(redis_client: RedisClient, number: int) -> str:
    row = stored(redis_client, number).row
    assert row is not None
    return str(row[2])


def fetch(client: RedisClient, seen: int, *names: str) -> tuple[int, bool, set[bytes]]:
    """Return pass, whether to drop everything, and the changed names."""
    new_pass, everything, changed, *_ = client.fcall_ro("tandem_fetch_1", (), (seen, "", *names))
    return int(new_pass), bool(everything), set(changed)


def test_a_value_carries_the_version_of_its_step(redis_client: RedisClient) -> None:
    """Version = (fence << 32) | pass, exact beyond 32 bits, in the value, in PASS and in CHANGED."""
    writer = ConfigWriter(redis_client, fence=2_000_000, first_pass=4_000_000_000)
    writer.write(tariff(1))
    version = (2_000_000 << 32) | 4_000_000_000
    assert stored(redis_client, 1).version == version
    assert stored_pass(redis_client) == version
    assert int(redis_client.execute("ZSCORE", keys.CHANGED, "tar:1")) == version


def test_a_superseded_syncer_is_refused_everywhere(redis_client: RedisClient) -> None:
    """After another one took over with a higher fence no function of the old one writes anything."""
    old = ConfigWriter(redis_client, fence=1)
    old.write(tariff(1, "old"))
    new = ConfigWriter(redis_client, fence=2)
    before = redis_client.execute("GET", keys.config("tar:1"))
    attempts: tuple[Callable[[], object], ...] = (
        lambda: old.write(tariff(1, "late")),
        lambda: old.store.add_buckets(7, [("44", b"x")]),
        lambda: old.store.drop_buckets(7),
        old.store.forget,
        old.finish,
        old.finish_load,
        lambda: old.store.begin(1),
    )
    for attempt in attempts:
        with pytest.raises(FencedError, match="FENCED by 2"):
            attempt()
    assert redis_client.execute("GET", keys.config("tar:1")) == before
    new.write(tariff(1, "new"))
    assert named(redis_client, 1) == "new"


def test_a_syncer_notices_that_redis_lost_what_it_wrote(redis_client: RedisClient) -> None:
    """Emptied or rolled back between two passes: the next write, or sign of life, is refused."""
    writer = ConfigWriter(redis_client)
    writer.write(tariff(1))
    redis_client.execute("FLUSHALL")
    with pytest.raises(LostError):
        writer.finish()
    with pytest.raises(LostError):
        writer.write(tariff(1))
    assert redis_client.execute("DBSIZE") == 0
    writer.store.add_buckets(7, [("44", b"x")])  # nobody reads a set before its record: what is in Redis is no matter


def test_an_older_version_never_overwrites(redis_client: RedisClient) -> None:
    """A stored version that is not lower stays, whatever brought it there; so does that of a deleted value."""
    writer = ConfigWriter(redis_client)
    far = codec.pack_config(9 << 32, tariff(1, "newer")["tar:1"])
    redis_client.execute("SET", keys.config("tar:1"), far)
    redis_client.execute("SET", keys.config("tar:2"), codec.pack_config(9 << 32, None))
    assert writer.write(tariff(1) | tariff(2) | tariff(3)) == 2
    assert named(redis_client, 1) == "newer"
    assert stored(redis_client, 2).row is None
    assert named(redis_client, 3) == "retail"


def test_a_step_with_a_used_version_is_refused(redis_client: RedisClient) -> None:
    """A pass number counts once: were it to come again, readers that saw it would miss the second step."""
    ConfigWriter(redis_client, fence=1, first_pass=5).write(tariff(1))
    again = ConfigWriter(redis_client, fence=1, first_pass=5)
    with pytest.raises(FunctionFailed, match="OLD"):
        again.write(tariff(2))


def test_a_deleted_record_keeps_its_version(redis_client: RedisClient) -> None:
    """[schema, version, nil]: absent for readers, and still newer than what came before it."""
    writer = ConfigWriter(redis_client)
    writer.write(tariff(1))
    writer.write({"tar:1": None})
    assert stored(redis_client, 1) == codec.Versioned((1 << 32) | 2, None)  # deleted


def test_terms_of_a_fund_keep_their_version_elsewhere(redis_client: RedisClient) -> None:
    """The money functions read a bare array; a deleted fund has no key, and its version stays in a hash."""
    writer = ConfigWriter(redis_client)
    writer.write_fund("5:EUR", TERMS)
    assert codec.unpack(FundTerms, redis_client.execute("GET", keys.fund_terms("5:EUR"))) == TERMS
    assert redis_client.execute("ZCARD", keys.CHANGED) == 0  # nobody caches terms
    writer.write_fund("5:EUR", None)
    assert redis_client.execute("GET", keys.fund_terms("5:EUR")) is None
    redis_client.execute("HSET", keys.FUND_VERSIONS, "5:EUR", str(9 << 32))
    assert writer.write_fund("5:EUR", TERMS) == 1
    assert redis_client.execute("GET", keys.fund_terms("5:EUR")) is None


def test_many_changes_go_in_steps(redis_client: RedisClient) -> None:
    """At most 100 keys block Redis at a time; each step is a pass of its own for readers."""
    writer = ConfigWriter(redis_client)
    everything: dict[str, object | None] = {}
    for number in range(1, 2 * STEP_KEYS + 2):
        everything |= tariff(number)
    writer.write(everything)
    scores = redis_client.execute("ZRANGE", keys.CHANGED, "0", "-1", "WITHSCORES")[1::2]
    assert {int(score) & 0xFFFFFFFF for score in scores} == {1, 2, 3}


def test_nothing_is_served_before_the_first_load_ends(redis_client: RedisClient) -> None:
    """Pass 0 and no records: half a world would refuse calls for wrong reasons, or price them wrongly."""
    writer = ConfigWriter(redis_client)
    writer.write(tariff(1))
    assert redis_client.fcall_ro("tandem_fetch_1", (), (0, "", "tar:1")) == [b"0", 1, [], [], [], b""]
    writer.finish()
    assert fetch(redis_client, 0, "tar:1") == (stored_pass(redis_client), False, set())
    writer.store.forget()
    assert fetch(redis_client, 7, "tar:1") == (0, True, set())


def test_a_reader_is_told_what_changed_since(redis_client: RedisClient) -> None:
    """Exactly the names written after the pass that it has seen."""
    writer = ConfigWriter(redis_client)
    writer.write(tariff(1))
    writer.finish()
    seen, everything, changed = fetch(redis_client, 0)
    assert (everything, changed) == (False, set())
    writer.write(tariff(2))
    writer.write({"masks": Masks((32,), ())})
    now, everything, changed = fetch(redis_client, seen)
    assert (everything, changed) == (False, {b"tar:2", b"masks"})
    assert fetch(redis_client, now) == (now, False, set())


@pytest.mark.parametrize("what", ["full load", "ahead of Redis", "too far behind", "too much"])
def test_a_reader_is_told_to_drop_everything(redis_client: RedisClient, what: str) -> None:
    """After a full load; when this Redis is older than the reader; when names were forgotten; when the list is long."""
    writer = ConfigWriter(redis_client)
    writer.write(tariff(1))
    writer.finish()
    seen, _, _ = fetch(redis_client, 0)
    if what == "full load":
        writer.finish_load()
    elif what == "ahead of Redis":
        seen += 1
    elif what == "too far behind":
        redis_client.execute("SET", keys.CHANGED_LOW, str(seen + 1))
        redis_client.execute("SET", keys.PASS, str(seen + 2))
    else:
        writer.write({f"tar:{number}": tariff(number)[f"tar:{number}"] for number in range(2, 1_003)})
    assert fetch(redis_client, seen)[1]
    assert not fetch(redis_client, stored_pass(redis_client))[1]


def test_old_names_are_forgotten_with_a_mark(redis_client: RedisClient) -> None:
    """CHANGED keeps 100,000 names; a reader that has not seen the forgotten ones drops everything, others do not."""
    for start in range(0, KEEP, 10_000):
        flat = [part for at in range(start, start + 10_000) for part in (str(at + 1), f"sub:{at}@a")]
        redis_client.execute("ZADD", keys.CHANGED, *flat)
    writer = ConfigWriter(redis_client)
    writer.write(tariff(1) | tariff(2))
    writer.finish()
    assert redis_client.execute("ZCARD", keys.CHANGED) == KEEP
    assert int(redis_client.execute("GET", keys.CHANGED_LOW)) == 2
    redis_client.execute("ZREMRANGEBYSCORE", keys.CHANGED, "10", str(KEEP))
    assert fetch(redis_client, 1)[1]
    assert fetch(redis_client, 2)[2] == {*(f"sub:{at}@a".encode() for at in range(2, 9)), b"tar:1", b"tar:2"}


def test_the_marker_and_the_heartbeat_are_kept(redis_client: RedisClient) -> None:
    """The next syncer learns where Postgres stood; the NOC sees when the syncer was last alive, by Redis' clock."""
    ConfigWriter(redis_client).finish()
    seconds, micros = redis_client.execute("TIME")
    assert abs(int(redis_client.execute("GET", keys.HEARTBEAT)) - (int(seconds) * 1000 + int(micros) // 1000)) < 1000
    assert Store(redis_client).begin(2) == (0, MARKER)
    assert Marker.parse("no marker at all") is None


def test_the_workers_user_reads_and_cannot_write(redis_client: RedisClient, redis_worker_url: str) -> None:
    """A worker may fetch; the functions of the syncer fail for it."""
    ConfigWriter(redis_client).finish()
    worker = RedisClient(redis_worker_url, 2_000)
    assert fetch(worker, 0, "tar:1")[0] == 0
    with pytest.raises(StoreUnavailable, match=r"permission|can't (run|access)"):
        worker.fcall("tandem_apply_1", (keys.config("tar:1"),), (1, 0, (1 << 32) | 1, b"x"))
    with pytest.raises(StoreUnavailable, match=r"permission|can't (run|access)"):
        worker.fcall("tandem_begin_1", (), (99, 1))
    worker.close()
    assert redis_client.execute("GET", keys.config("tar:1")) is None
