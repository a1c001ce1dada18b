"""Loading the libraries, and what the workers' user may and may not do, on real Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kemi import codec, keys
from kemi.adapters import redis_functions
from kemi.adapters.redis_client import FunctionFailed, RedisClient
from kemi.adapters.redis_funds import Funds, FundTerms, MoneyStatus
from tests.funds_bench import EPOCH, RedisBench, hold, pinned


@pytest.fixture
def worker(redis_worker_url: str) -> Iterator[RedisClient]:
    """Connect as a worker."""
    client = RedisClient(redis_worker_url, 2_000)
    yield client
    client.close()


def test_loading_again_changes_nothing(redis_client: RedisClient) -> None:
    """An armed Redis stays armed when the sources are those that it has."""
    Funds(redis_client, "n1", 10).arm(EPOCH)
    assert redis_functions.libraries_current(redis_client)
    assert redis_functions.load(redis_client) == ()
    assert Funds(redis_client, "n1", 10).status() == MoneyStatus(EPOCH, True, 0)


def test_a_library_that_differs_or_is_missing_is_loaded(redis_client: RedisClient) -> None:
    """Only that one; the others keep what they remember."""
    Funds(redis_client, "n1", 10).arm(EPOCH)
    name = next(name for name in redis_functions.sources() if name != "tandem_money_1")
    redis_client.execute("FUNCTION", "DELETE", name)
    assert not redis_functions.libraries_current(redis_client)
    assert redis_functions.load(redis_client) == (name,)
    assert Funds(redis_client, "n1", 10).status().armed
    source = redis_functions.sources()["tandem_money_1"]
    redis_client.execute("FUNCTION", "LOAD", "REPLACE", source + "\n-- older\n")
    assert redis_functions.load(redis_client) == ("tandem_money_1",)
    assert not Funds(redis_client, "n1", 10).status().armed


def test_sources_hold_keys_instead_of_names() -> None:
    """Every key in the money library is one of kemi/keys.py."""
    source = redis_functions.sources()["tandem_money_1"]
    assert f'epoch = "{keys.EPOCH}"' in source
    assert f'local STATE = "{keys.fund_state("")}"' in source
    assert redis_functions.PLACEHOLDER.search(source) is None


def test_a_worker_may_do_what_a_call_needs(redis_client: RedisClient, worker: RedisClient) -> None:
    """Functions, reads, and its own entries in the node registry."""
    bench = RedisBench(redis_client, worker)
    bench.set_terms("11:EUR", FundTerms(1, 100))
    bench.funds.reserve("a:0", "a", hold("11:EUR", rows=((60, 60),)), 60, 0, codec.pack(pinned("a")))
    assert bench.funds.balances(["11:EUR"])[0].held_micros == 60
    assert worker.execute("GET", keys.config("acct:1")) is None
    assert worker.execute("HSET", keys.NODES, "n1", 1) == 1
    assert worker.execute("HSET", keys.SEEN, "n1", 1) == 1
    assert worker.execute("SETEX", keys.noc_answer("t"), 30, "{}") == b"OK"
    take = ("NX", "GET", "EX", 30)
    assert worker.execute("SET", keys.noc_taken("t"), "me", *take) is None
    assert worker.execute("SET", keys.noc_taken("t"), "another", *take) == b"me"
    assert worker.execute("GET", keys.noc_question("n1")) is None


@pytest.mark.parametrize(
    "words",
    [
        ("SET", keys.fund_state("11:EUR"), "x"),
        ("SET", keys.noc_question("n2"), "x"),
        ("SET", keys.noc_answer("t"), "x"),
        ("SETEX", keys.noc_question("n2"), "9", "x"),
        ("SETEX", keys.fund_state("11:EUR"), "9", "x"),
        ("DEL", keys.noc_answer("t")),
        ("MSET", keys.fund_state("11:EUR"), "x"),
        ("MSET", keys.OPSEQ, "1", keys.EPOCH, "9"),
        ("MSET", keys.OPSEQ, "1", keys.fund_terms("11:EUR"), "x"),
        ("MSET", keys.OPSEQ, "1", keys.config("acct:1"), "x"),
        ("DEL", keys.reservation("a")),
        ("UNLINK", keys.LEASES),
        ("PEXPIRE", keys.fund_state("11:EUR"), "1"),
        ("PEXPIRE", keys.EVENTS, "1"),
        ("ZADD", keys.CHANGED, "1", "acct:1"),
        ("XADD", keys.NODES, "*", "e", "x"),
        ("XTRIM", keys.EVENTS, "MAXLEN", "0"),
        ("XDEL", keys.EVENTS, "1-1"),
        ("HSET", keys.rate_hash(1), "4420", "x"),
        ("INCR", keys.OPSEQ),
        ("RENAME", keys.OPSEQ, keys.EPOCH),
        ("COPY", keys.OPSEQ, keys.EPOCH),
        ("RESTORE", keys.OPSEQ, "0", "x"),
        ("EVAL", "return redis.call('GET', 'x')", "0"),
        ("EVAL_RO", "return 1", "0"),
        ("SCRIPT", "LOAD", "return 1"),
        ("FUNCTION", "LIST"),
        ("FUNCTION", "FLUSH"),
        ("FUNCTION", "LOAD", "REPLACE", "#!lua name=tandem_money_1\n"),
        ("CONFIG", "SET", "maxmemory", "1"),
        ("CONFIG", "GET", "*"),
        ("ACL", "SETUSER", "worker", "+@all"),
        ("ACL", "LIST"),
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("SHUTDOWN", "NOSAVE"),
        ("KEYS", "*"),
        ("MONITOR",),
        ("CLIENT", "KILL", "ID", "1"),
        ("CLIENT", "PAUSE", "1000"),
        ("REPLICAOF", "NO", "ONE"),
        ("SAVE",),
        ("SUBSCRIBE", "x"),
        ("GET", "other:key"),
        ("BLPOP", keys.OPSEQ, "1"),
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_a_worker_may_do_nothing_else(worker: RedisClient, words: tuple[str, ...]) -> None:
    """Redis refuses by permission, not by accident."""
    with pytest.raises(FunctionFailed, match="no permissions"):
        worker.execute(*words)


def test_a_worker_can_neither_arm_nor_restore(redis_client: RedisClient, worker: RedisClient) -> None:
    """Both write the epoch first, which only a keeper may; nothing has changed afterwards."""
    funds = Funds(worker, "n1", 10)
    with pytest.raises(FunctionFailed, match="can't access at least one of the keys"):
        funds.arm(EPOCH)
    with pytest.raises(FunctionFailed, match="can't access at least one of the keys"):
        worker.fcall("tandem_posted_1", (), ("q", 1))
    with pytest.raises(FunctionFailed, match="can't run this command"):
        funds.restore_fund("11:EUR", 0, 0)
    assert Funds(redis_client, "n1", 10).status() == MoneyStatus(0, False, 0)
    assert redis_client.execute("KEYS", "*") == []
