"""functions/measures.lua on a real Redis, as the workers' user: what is ordered stands until it is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kemi import keys
from kemi.adapters import redis_measures
from kemi.adapters.redis_client import FunctionFailed, RedisClient
from kemi.adapters.redis_measures import MOST, Measure, Told, What
from tests.wait import until

ANN = Told("ann", "n1", "why — not")
ACCOUNT = What("quarantine", "account", "7")
LINE = What("trace", "line", "alice@a.example")


@pytest.fixture
def worker(redis_client: RedisClient, redis_worker_url: str) -> Iterator[RedisClient]:
    """Connect as a worker, to an empty Redis."""
    assert redis_client.available()
    client = RedisClient(redis_worker_url, 2_000)
    yield client
    client.close()


def now_ms(client: RedisClient) -> int:
    seconds, micros = client.execute("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


def version(client: RedisClient) -> int:
    return int(client.execute("GET", keys.MEASURED) or 0)


def test_what_is_ordered_is_read_with_who_and_why(worker: RedisClient) -> None:
    before_ms = now_ms(worker)
    until_ms = redis_measures.put(worker, ACCOUNT, 60, ANN)
    assert before_ms + 60_000 <= until_ms <= now_ms(worker) + 60_000
    assert redis_measures.in_force(worker, before_ms) == [Measure(ACCOUNT, until_ms, until_ms - 60_000, ANN)]
    assert redis_measures.in_force(worker, until_ms) == [], "it is over"
    assert version(worker) >= before_ms


def test_a_redis_that_begins_anew_says_no_version_again(worker: RedisClient, redis_client: RedisClient) -> None:
    """Else the agents, who know that version, would not read the first order that is given afterwards."""
    redis_measures.put(worker, ACCOUNT, 60, ANN)
    before, after_ms = version(worker), now_ms(worker)
    redis_client.execute("DEL", keys.MEASURED, keys.MEASURES, keys.MEASURE_LOG)
    until(lambda: now_ms(worker) > after_ms, 10, "the next millisecond")
    redis_measures.put(worker, ACCOUNT, 60, ANN)
    assert version(worker) > before


def test_an_order_is_given_another_end(worker: RedisClient) -> None:
    redis_measures.put(worker, ACCOUNT, 60, ANN)
    before = version(worker)
    until_ms = redis_measures.put(worker, ACCOUNT, 5, Told("bob", "n2"))
    (found,) = redis_measures.in_force(worker, now_ms(worker))
    assert (found.until_ms, found.told.who) == (until_ms, "bob")
    assert version(worker) > before


def test_an_order_is_ended_before_its_time_and_only_once(worker: RedisClient) -> None:
    redis_measures.put(worker, ACCOUNT, 60, ANN)
    before = version(worker)
    assert redis_measures.release(worker, ACCOUNT, ANN)
    assert not redis_measures.release(worker, ACCOUNT, ANN)
    assert redis_measures.in_force(worker, 0) == []
    assert version(worker) > before
    assert [entry.act for entry in redis_measures.entries(worker, redis_measures.BEGINNING)] == ["begin", "end"]


def test_what_is_over_goes_with_the_next_order_and_cannot_be_ended(worker: RedisClient) -> None:
    over = What("quarantine", "server", "1")
    end_ms = redis_measures.put(worker, over, 1, ANN)
    until(lambda: now_ms(worker) > end_ms, 10, "its end")
    assert not redis_measures.release(worker, over, ANN)
    redis_measures.put(worker, over, 1, ANN)
    end_ms = redis_measures.put(worker, What("quarantine", "server", "2"), 1, ANN)
    until(lambda: now_ms(worker) > end_ms, 10, "their end")
    redis_measures.put(worker, ACCOUNT, 60, ANN)
    assert [each.what for each in redis_measures.in_force(worker, 0)] == [ACCOUNT]


def test_there_are_only_so_many_of_an_order(worker: RedisClient) -> None:
    for n in range(MOST["trace"]):
        assert redis_measures.put(worker, What("trace", "prefix", f"49{n}"), 60, ANN)
    before = version(worker)
    assert redis_measures.put(worker, LINE, 60, ANN) == 0
    assert version(worker) == before, "nothing is written"
    assert redis_measures.put(worker, What("trace", "prefix", "490"), 60, ANN), "one that is there may last longer"
    assert redis_measures.put(worker, ACCOUNT, 60, ANN), "another order has room of its own"


def test_all_caches_may_be_emptied_whatever_single_records_were_forgotten(worker: RedisClient) -> None:
    for n in range(MOST["flush"]):
        assert redis_measures.put(worker, What("flush", "record", f"acct:{n}"), 60, ANN)
    assert redis_measures.put(worker, What("flush", "record", "acct:999"), 60, ANN) == 0
    for _ in range(2):
        assert redis_measures.put(worker, What("flush", "caches", "*"), 60, ANN)


def test_what_a_newer_release_wrote_is_left_out(worker: RedisClient, redis_client: RedisClient) -> None:
    for field, value in (
        ("moon full 1", "9 1 {}"),
        ("quarantine account 8", "soon"),
        ("x", "y"),
        ("trace line z", "99 1 []"),
    ):
        redis_client.execute("HSET", keys.MEASURES, field, value)
    redis_measures.put(worker, ACCOUNT, 60, ANN)
    assert [each.what for each in redis_measures.in_force(worker, 0)] == [ACCOUNT]


@pytest.mark.parametrize(
    "words",
    [
        ("DEL", keys.MEASURES),
        ("DEL", keys.MEASURED),
        ("XTRIM", keys.MEASURE_LOG, "MAXLEN", "0"),
        ("INCR", keys.MEASURES),
        ("HDEL", keys.NODES, "n1"),
    ],
)
def test_a_worker_may_write_them_in_no_other_way(worker: RedisClient, words: tuple[str, ...]) -> None:
    with pytest.raises(FunctionFailed, match="no permissions"):
        worker.execute(*words)
