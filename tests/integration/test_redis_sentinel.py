"""The client behind real sentinels: it finds the master, and the next one, and says what became of a call."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from kemi import codec, keys
from kemi.adapters.redis_client import Fcall, FunctionFailed, RedisClient, StoreUnavailable
from kemi.adapters.redis_funds import Funds, FundTerms, Held
from tests.funds_bench import RedisBench, hold, pinned
from tests.redis_cell import FAILOVER_S, PASSWORD, RedisCell, redis_cell
from tests.wait import until

TIMEOUT_MS = 1_000  # of a machine that others use: a call that takes 200 ms is no outage there
PATIENT_MS = 6_000  # where a share of the time is compared: the machine of the tests may be busy


@pytest.fixture
def cell() -> Iterator[RedisCell]:
    """Run a master, a replica and three sentinels."""
    with redis_cell() as running:
        yield running


@pytest.fixture
def worker(cell: RedisCell) -> Iterator[RedisClient]:
    """Connect as the workers do."""
    with closing(RedisClient(cell.worker_url, TIMEOUT_MS)) as client:
        yield client


def answers(client: RedisClient, *words: str) -> object:
    """Return the answer, None while there is none."""
    try:
        return client.execute(*words)
    except StoreUnavailable:
        return None


def writes(client: RedisClient) -> bool:
    """Whether writing works."""
    return answers(client, "HSET", keys.NODES, "n1", "1") is not None


def test_a_master_that_dies_is_replaced_and_nothing_is_sent_to_the_others() -> None:
    """Until there is a new one, calls fail with the certainty that nothing was done; the new one is not armed."""
    with redis_cell(2) as cell, closing(RedisClient(cell.worker_url, TIMEOUT_MS)) as worker:
        admin = RedisClient(cell.url, TIMEOUT_MS)
        Funds(admin, "test", 0).arm(1)
        assert writes(worker)
        cell.kill("redis")
        assert_outage(worker)
        now = cell.until_master_is_not("redis")
        until(lambda: writes(worker), FAILOVER_S, "writes at the new master")
        assert cell.ask(now, "HGET", keys.NODES, "n1") == b"1"
        assert not Funds(worker, "n1", 1).status().armed
        cell.revive("redis")
        until(lambda: cell.ask("redis", "ROLE")[0] == b"slave", FAILOVER_S, "the old master to follow")
        admin.close()


def assert_outage(client: RedisClient) -> None:
    with pytest.raises(StoreUnavailable) as failure:
        client.execute("GET", keys.OPSEQ)
    assert not failure.value.maybe_applied


def test_a_master_that_is_asked_to_step_down_costs_no_call(cell: RedisCell, worker: RedisClient) -> None:
    """Its connections end; the next call goes to the new one, over the address that the sentinels have then."""
    assert writes(worker)
    before = worker._wire
    sentinel = RedisClient(cell.sentinel_url, 2_000)
    assert sentinel.execute("SENTINEL", "FAILOVER", "tandem") == b"OK"
    sentinel.close()
    cell.until_master_is_not("redis")
    until(lambda: writes(worker), FAILOVER_S, "writes at the new master")
    assert worker._wire is not before
    assert cell.ask("redis-replica", "HGET", keys.NODES, "n1") == b"1"


def test_what_a_replica_refuses_is_an_outage_and_no_bug(cell: RedisCell) -> None:
    """A function, too; the connection is dropped, so that the next call asks who the master is."""
    at_replica = RedisClient(f"redis://:{PASSWORD}@{cell.address('redis-replica')}", TIMEOUT_MS)
    with pytest.raises(FunctionFailed, match="read only replica") as refusal:
        at_replica.execute("SET", "a", "1")
    assert (refusal.value.maybe_applied, refusal.value.is_bug) == (False, False)
    assert at_replica._wire is None
    (refused,) = at_replica.fcalls([Fcall("tandem_arm_1", (keys.EPOCH,), ("id", 1))])
    assert isinstance(refused, FunctionFailed)
    assert (refused.maybe_applied, refused.is_bug) == (False, False), refused
    at_replica.close()


def test_a_master_without_a_replica_takes_no_writes_and_says_so(cell: RedisCell, worker: RedisClient) -> None:
    """It may be the one that was replaced. Reading goes on, so the breaker stays closed."""
    admin = RedisClient(cell.url, TIMEOUT_MS)
    bench = RedisBench(admin, worker)
    bench.set_terms("11:EUR", FundTerms(1, 1_000))
    cell.kill("redis-replica")
    until(lambda: not writes(worker), FAILOVER_S, "writes to be refused")
    with pytest.raises(FunctionFailed) as refusal:
        bench.funds.reserve("a:0", "a", hold("11:EUR", rows=((60, 60),)), 60, 0, codec.pack(pinned("a")))
    assert (refusal.value.maybe_applied, refusal.value.is_bug) == (False, False), refusal.value
    assert worker.available()
    assert worker.execute("EXISTS", keys.reservation("a")) == 0
    admin.close()


def test_a_sentinel_that_hangs_or_is_gone_costs_a_part_of_a_call(cell: RedisCell) -> None:
    """The next one is asked, and first from then on."""
    cell.stall("sentinel-1")
    cell.kill("sentinel-2")
    with closing(RedisClient(cell.worker_url, PATIENT_MS)) as worker:
        began = time.monotonic()
        assert answers(worker, "PING") == b"PONG"
        assert time.monotonic() - began < PATIENT_MS / 1000
        worker.close()
        began = time.monotonic()
        assert answers(worker, "PING") == b"PONG"
        assert time.monotonic() - began < PATIENT_MS / 8_000
    cell.go_on("sentinel-1")


def test_a_replica_that_a_sentinel_takes_for_the_master_is_not_believed(cell: RedisCell) -> None:
    """A sentinel may be wrong, or late; the server itself says what it is."""
    host, port = cell.address("redis-replica").split(":")
    with lying_sentinel(host, port) as at, closing(RedisClient(f"sentinel://worker:x@{at}/tandem", TIMEOUT_MS)) as liar:
        with pytest.raises(StoreUnavailable, match=r"WRONGPASS|invalid username") as failure:
            liar.execute("PING")
        assert not failure.value.maybe_applied
    login = cell.worker_url.removeprefix("sentinel://").partition("@")[0]
    with lying_sentinel(host, port) as at, closing(RedisClient(f"sentinel://{login}@{at}/tandem", TIMEOUT_MS)) as liar:
        with pytest.raises(StoreUnavailable, match="is a slave") as failure:
            liar.execute("PING")
        assert not failure.value.maybe_applied
        assert liar.breaker_is_open


@contextmanager
def lying_sentinel(host: str, port: str) -> Iterator[str]:
    """Answer every question of a sentinel's client with this address."""
    text = f"*2\r\n${len(host)}\r\n{host}\r\n${len(port)}\r\n{port}\r\n".encode()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4_096)
                connection.sendall(text)
                connection.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield "{}:{}".format(*listener.getsockname())
        thread.join()


def test_with_wait_an_operation_counts_when_a_replica_has_it(cell: RedisCell) -> None:
    """Else it may have been applied, within the time of a call; that is no reason to take Redis for dead."""
    with closing(RedisClient(cell.worker_url, PATIENT_MS, wait_replicas=1)) as worker:
        admin = RedisClient(cell.url, TIMEOUT_MS)
        bench = RedisBench(admin, worker)
        bench.set_terms("11:EUR", FundTerms(1, 1_000))
        wanted = hold("11:EUR", rows=((60, 60),))
        assert isinstance(bench.funds.reserve("a:0", "a", wanted, 60, 0, codec.pack(pinned("a"))), Held)
        assert cell.ask("redis-replica", "EXISTS", keys.reservation("a")) == 1
        assert worker.round_trips == 1
        cell.stall("redis-replica")
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="0 of 1 replicas") as failure:
            bench.funds.reserve("b:0", "b", wanted, 60, 0, codec.pack(pinned("b")))
        assert time.monotonic() - began < PATIENT_MS / 1000
        assert failure.value.maybe_applied
        assert worker.available()
        cell.go_on("redis-replica")
        assert cell.ask("redis", "EXISTS", keys.reservation("b")) == 1
        admin.close()
