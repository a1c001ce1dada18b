"""What Redis has lost is noticed before it is opened, by whoever knows of it: Postgres, or a node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from tests.fix_postgres import Database
from tests.redis_server import TIMEOUT_MS, empty
from tests.settle_pair import SettlePair
from tools.errors import OperatorError
from tools.settle.service import connections
from tools.settle.slow import Recovery, Slow


@pytest.fixture
def pair(database: Database, redis_client: RedisClient, redis_url: str) -> SettlePair:
    """Bring a small world into both stores; nothing is armed."""
    return SettlePair(database, redis_client, redis_url)


def test_an_emptied_redis_stays_closed_until_an_operator_acts(pair: SettlePair) -> None:
    """It has lost holds of running calls, and ends that were not posted: that is no fresh start."""
    pair.once()
    pair.redis.execute("HSET", keys.NODES, "n1", 1)
    pair.hold(pair.pinned())
    pair.place(5)
    pair.once()
    before = pair.balance("North")
    pair.place(6)
    empty(pair.redis)
    pair.refill()
    with pytest.raises(OperatorError, match="operator must act, Redis is empty and once answered 4: 4 are lost"):
        pair.once()
    assert not pair.is_armed()
    done = recovered(pair)
    assert (done.operations_lost, done.kept, done.events_lost) == (4, 0, 0)
    assert pair.balance("North") == before._replace(held_micros=0, channels=0, channels_out=0)
    assert [row["operations_lost"] for (row,) in pair.sql("select report from tandem.recovery")] == [4]
    pair.place(8)
    pair.once()
    assert (pair.balance("Alpha").n, pair.charged()["Alpha"]) == (2, 13_000)
    pair.assert_agreed()


def test_a_recovered_redis_counts_operations_on(pair: SettlePair) -> None:
    """Emptied twice: what was lost the first time is not lost again, and what nodes have seen stays true."""
    pair.once()
    pair.redis.execute("HSET", keys.NODES, "n1", 1)
    pair.place(5)
    pair.once()
    for lost in (3, 6):
        empty(pair.redis)
        pair.refill()
        assert recovered(pair).operations_lost == lost
        assert pair.funds.status().opseq == lost
        pair.redis.execute("DEL", keys.EPOCH)
        pair.once()
        pair.redis.execute("HSET", keys.NODES, "n1", 1)
        pair.place(5)
        pair.once()
    pair.assert_agreed()


def test_what_only_a_node_has_seen_keeps_redis_closed(pair: SettlePair) -> None:
    """The tail since settlement looked last: Redis agrees with Postgres without it, and a node was answered more."""
    pair.once()
    pair.redis.execute("HSET", keys.NODES, "n1", 1_770_000_000_000)
    pair.redis.execute("HSET", keys.SEEN, "n1", 1_000)  # of before: rolled back with the rest, it proves nothing
    pair.place(7)
    pair.once()
    pair.redis.execute("DEL", keys.EPOCH)
    with node_that_has_seen(pair, 3):
        pair.once()
    pair.redis.execute("DEL", keys.EPOCH)
    with (
        node_that_has_seen(pair, 5),
        pytest.raises(OperatorError, match="has applied 3 operations and once answered 5: 2 are lost"),
    ):
        pair.once()
    assert recovered(pair).operations_lost == 2
    pair.assert_agreed()


@contextmanager
def node_that_has_seen(pair: SettlePair, opseq: int) -> Iterator[None]:
    """Let a node tell its highest operation number, again and again."""
    stop = Event()

    def tell() -> None:
        client = RedisClient(pair.redis_url, TIMEOUT_MS)
        while not stop.wait(0.05):
            client.execute("HSET", keys.SEEN, "n1", opseq)
        client.close()

    node = Thread(target=tell)
    node.start()
    try:
        yield
    finally:
        stop.set()
        node.join()


def recovered(pair: SettlePair) -> Recovery:
    with connections(pair.options()) as parts:
        return Slow(*parts).recover()
