"""The client against a real Redis that is stopped, gone, slow, or one reply off."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer

import pytest

from kemi import codec
from kemi.adapters.redis_client import Fcall, FunctionFailed, NodeBreaker, RedisClient, StoreUnavailable
from kemi.adapters.redis_funds import Answer, Funds, FundTerms, Held, Release, Settle
from tests.fakes.redis_wire import FakeFlag
from tests.fix_stack import free_address
from tests.funds_bench import RedisBench, ended, hold, pinned
from tests.redis_server import RedisServer, running_redis
from tests.wait import until

TIMEOUT_MS = 1_000  # of a machine that others use: a call that takes 80 ms is no outage there
WORKERS_MS = 80
ANSWER_MAX_S = 0.1


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Run a Redis of this test's own, to be stopped and killed."""
    with running_redis() as running:
        yield running


@pytest.fixture
def client(server: RedisServer) -> Iterator[RedisClient]:
    """Connect as the workers' user."""
    connected = RedisClient(server.worker_url, TIMEOUT_MS)
    assert connected.execute("PING") == b"PONG"
    yield connected
    connected.close()


@contextmanager
def stalled(server: RedisServer) -> Iterator[None]:
    """Stop the server's process, connections open, and let it go on afterwards."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def failing_s(client: RedisClient) -> float:
    """Return how long a call takes to fail."""
    start = time.monotonic()
    with pytest.raises(StoreUnavailable):
        client.execute("GET", "{0}epoch")
    return time.monotonic() - start


def answers(client: RedisClient) -> bool:
    """Tell whether Redis answers, in time."""
    with suppress(StoreUnavailable):
        return client.available() and client.execute("PING") == b"PONG"
    return False


def test_a_stalled_redis_is_answered_within_100_ms_then_at_once(server: RedisServer) -> None:
    """With a time-out of 80 ms; the second failure is a login that gets no answer. Three failures open the breaker."""
    client = RedisClient(server.worker_url, WORKERS_MS)
    until(lambda: answers(client), 5, "the first answer")
    with stalled(server):
        waits_s = [failing_s(client) for _ in range(3)]
        assert min(waits_s) < ANSWER_MAX_S
        assert client.breaker_is_open
        assert not client.available()
        assert min(failing_s(client) for _ in range(5)) < 0.005
    until(lambda: answers(client), 5, "the probe to find Redis again")
    assert not client.breaker_is_open
    client.close()


def test_a_dead_redis_opens_the_breaker_at_once(server: RedisServer, client: RedisClient) -> None:
    """One broken and one refused connection, each long before the time-out; then nothing is tried for a second."""
    os.kill(server.pid, signal.SIGKILL)
    os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)  # a dying process still listens for a moment
    waits_s = [failing_s(client), failing_s(client)]
    assert max(waits_s) < TIMEOUT_MS / 2_000
    assert client.breaker_is_open


def test_a_timed_out_command_is_applied_at_most_once(server: RedisServer, client: RedisClient) -> None:
    """The error says that it may have been applied; nothing was sent again behind the caller's back."""
    with stalled(server):
        with pytest.raises(StoreUnavailable) as failure:
            client.execute("HSET", "{0}nodes", "n1", "1")
        assert failure.value.maybe_applied
    admin = RedisClient(server.url, 2_000)
    until(lambda: admin.execute("HGET", "{0}nodes", "n1") == b"1", 5, "the stalled command to be applied")
    calls = next(line for line in admin.execute("INFO", "commandstats").split() if line.startswith(b"cmdstat_hset:"))
    admin.close()
    assert calls.startswith(b"cmdstat_hset:calls=1,")


def test_a_late_reply_is_never_taken_for_another(server: RedisServer, client: RedisClient) -> None:
    """The connection that timed out is dropped with the reply that comes over it later."""
    admin = RedisClient(server.url, 2_000)
    admin.execute("SET", "{0}opseq", "5")
    with stalled(server), pytest.raises(StoreUnavailable):
        client.execute("GET", "{0}opseq")
    assert admin.execute("PING") == b"PONG"
    admin.close()
    assert client.execute("GET", "{0}none") is None


def test_a_connection_that_redis_closed_while_idle_costs_no_call(server: RedisServer, client: RedisClient) -> None:
    """After a restart, a failover or an idle time-out the first call goes over a new connection."""
    admin = RedisClient(server.url, TIMEOUT_MS)
    assert admin.execute("CLIENT", "KILL", "USER", "worker") == 1
    admin.close()
    assert client.execute("PING") == b"PONG"


def test_a_connection_from_before_an_outage_is_not_used_again(server: RedisServer) -> None:
    """Whoever found the outage: the server at its other end may not be the master any more."""
    flag = FakeFlag(time.monotonic)
    client = RedisClient(server.worker_url, TIMEOUT_MS, breaker=NodeBreaker(flag))
    assert client.execute("PING") == b"PONG"
    before = client._wire
    assert client.execute("PING") == b"PONG"
    assert client._wire is before
    flag.set()
    flag.clear()
    assert client.execute("PING") == b"PONG"
    assert client._wire is not before
    client.close()


def test_nothing_was_sent_while_the_breaker_is_open() -> None:
    """Who gets this error need not release anything."""
    client = RedisClient("unix:///nonexistent/redis.sock", TIMEOUT_MS)
    for _ in range(2):
        with pytest.raises(StoreUnavailable) as failure:
            client.execute("PING")
        assert not failure.value.maybe_applied
    assert client.breaker_is_open
    assert client.round_trips == 0


def test_tcp_works_as_unix_sockets_do() -> None:
    """The same user over TCP, in database 0."""
    port = free_address().port
    with running_redis("--port", str(port), "--bind", "127.0.0.1") as server:
        login = server.worker_url.removeprefix("unix://").split("@")[0]
        client = RedisClient(f"redis://{login}@127.0.0.1:{port}/0", TIMEOUT_MS)
        assert client.execute("PING") == b"PONG"
        client.close()


def test_a_child_after_fork_has_its_own_connection(redis_worker_url: str) -> None:
    """Parent and child go on, each over its own socket."""
    client = RedisClient(redis_worker_url, 2_000)
    assert client.execute("PING") == b"PONG"
    socket_before = client._wire
    child = os.fork()
    if child == 0:
        healthy = client.execute("GET", "{0}none") is None and client._wire is not socket_before
        os._exit(0 if healthy and client.round_trips == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.execute("PING") == b"PONG"
    assert client._wire is socket_before
    assert client.round_trips == 2
    client.close()


def test_an_error_reply_is_told_apart_from_no_reply(redis_client: RedisClient) -> None:
    """Its text is kept; in a batch it takes the place of one answer. A function that broke is known as such."""
    with pytest.raises(FunctionFailed, match="Function not found") as failure:
        redis_client.fcall("tandem_nothing_1", (), ())
    assert not failure.value.is_bug
    good, bad = redis_client.fcalls(
        [Fcall("tandem_status_1", (), ("q",)), Fcall("tandem_answer_1", ("{0}r:a",), ("id",))]
    )
    assert isinstance(good, list)
    assert isinstance(bad, list)
    (broken,) = redis_client.fcalls([Fcall("tandem_expired_1", (), ("id", "many"))])
    assert isinstance(broken, FunctionFailed)
    assert broken.is_bug
    assert redis_client.available()


def test_a_connection_that_is_one_reply_off_is_found_and_dropped(server: RedisServer) -> None:
    """Each answer carries the id of its operation; a foreign one raises, and the next call is right again.

    The server is stopped while both commands leave: the foreign answer is not there yet when the second is sent.
    """
    admin, worker = RedisClient(server.url, 2_000), RedisClient(server.worker_url, 2_000)
    bench = RedisBench(admin, worker)
    bench.set_terms("11:EUR", FundTerms(1, 1_000))
    wanted = hold("11:EUR", rows=((60, 60),))
    assert isinstance(bench.funds.reserve("a:0", "a", wanted, 60, 0, codec.pack(pinned("a"))), Held)
    wire = worker._wire
    assert wire is not None
    os.kill(server.pid, signal.SIGSTOP)
    wire.send_packed_command(wire.pack_commands([Fcall("tandem_status_1", (), ("other",)).words()]))
    go_on = Timer(0.1, os.kill, (server.pid, signal.SIGCONT))
    go_on.start()
    with pytest.raises(StoreUnavailable, match="another call's") as failure:
        bench.funds.batch([Answer("a:1", "a", 1, 60)])
    go_on.join()
    assert failure.value.maybe_applied
    assert bench.funds.status().armed
    worker.close()
    admin.close()


def test_an_answer_that_nobody_waits_for_is_never_taken_for_the_next(client: RedisClient) -> None:
    """What lies on an idle connection is dropped with it."""
    assert client._wire is not None
    client._wire.send_packed_command(client._wire.pack_commands([("ECHO", "stray")]))
    until(lambda: client._wire is not None and client._wire.can_read(0), 2, "the stray answer")
    assert client.execute("PING") == b"PONG"


def test_every_method_costs_one_round_trip(redis_client: RedisClient, redis_worker_url: str) -> None:
    """A reserve is one, and so is a batch of any size."""
    worker = RedisClient(redis_worker_url, 2_000)
    bench = RedisBench(redis_client, worker)
    bench.set_terms("11:EUR", FundTerms(1, 1_000))
    bench.funds.reserve("a:0", "a", hold("11:EUR", rows=((60, 60),)), 60, 0, codec.pack(pinned("a")))
    assert worker.round_trips == 1
    bench.funds.batch([Answer("a:1", "a", 1, 60), Settle("a:2", "a", 2, 6, (6,), ended()), Release("b", "b", 1, b"")])
    assert worker.round_trips == 2
    assert isinstance(bench.funds, Funds)
    assert bench.funds.batch([]) == []
    bench.funds.describe("a")
    bench.funds.expired(10)
    assert worker.round_trips == 4
    worker.close()
