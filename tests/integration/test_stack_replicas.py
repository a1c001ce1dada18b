"""The private stack with a replica: another server takes over, what it knows survives a stop, no stale one begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from kemi.adapters.redis_place import parse_sentinel_url
from tests.fix_stack import free_address, short_directory
from tests.wait import until
from tools.errors import OperatorError
from tools.stack import plan, sentinels
from tools.stack.layout import Layout
from tools.stack.stack import Stack

PARTS = ("redis", "redis-replica", "sentinel-1", "sentinel-2", "sentinel-3")
TIMEOUT_MS = 2_000
SOON_S = 20.0


@pytest.fixture
def stack() -> Iterator[Stack]:
    """Offer the Redis servers of a stack with one replica, not started."""
    with short_directory() as folder:
        made = Stack(Layout(folder / "run", free_address(), replicas_n=1, redis_port=free_address(10).port))
        try:
            yield made
        finally:
            made.stop()


def url(stack: Stack) -> str:
    """Return the REDIS_URL of the tools."""
    return plan.environment(stack.layout)["REDIS_URL"]


def asked(stack: Stack, *words: str) -> object:
    """Return what the master answers; None while none does."""
    with closing(RedisClient(url(stack), TIMEOUT_MS)) as client, suppress(StoreUnavailable):
        return client.execute(*words)
    return None


def test_what_the_promoted_server_knows_survives_a_stop_and_it_begins_the_next_time(stack: Stack) -> None:
    """The first one may be older by what it did not live to see; a stack without a replica would begin with it."""
    stack.start(only=PARTS, tied=True)
    with closing(RedisClient(url(stack), TIMEOUT_MS)) as client:
        client.execute("SET", "before", "1")
        assert client.execute("WAIT", "1", str(TIMEOUT_MS // 2)) == 1, "the replica has it"
    stack.take_away("redis")
    until(lambda: sentinels.master(stack.layout).name == "redis-replica", SOON_S, "the replica to be promoted")
    until(lambda: "NOREPLICAS" in refusal(url(stack), "SET", "alone", "1"), SOON_S, "the new master to miss a replica")
    stack.bring_back("redis")
    stack.wait_ready()
    until(lambda: asked(stack, "SET", "after", "1") == b"OK", SOON_S, "writes at the promoted server")
    stack.stop()

    with pytest.raises(OperatorError, match="start it with TANDEM_REPLICAS=1"):
        Stack(stack.layout.__class__(stack.layout.run_dir, stack.layout.listen)).start(only=("redis",), tied=True)
    stack.start(only=PARTS, tied=True)
    assert sentinels.master(stack.layout).name == "redis-replica"
    assert asked(stack, "MGET", "before", "after", "alone") == [b"1", b"1", None]
    until(lambda: asked(stack, "SET", "again", "1") == b"OK", SOON_S, "writes")


def test_the_workers_url_is_for_the_workers_user_alone(stack: Stack) -> None:
    """Both URLs can be written into a file that shells source; on TCP nobody gets in without a password."""
    stack.start(only=PARTS, tied=True)
    values = plan.environment(stack.layout)
    for name in ("REDIS_URL", "TANDEM_WORKER_REDIS_URL"):
        assert not set(values[name]) & set("&;$ '\"`()<>|")
    worker = parse_sentinel_url(values["TANDEM_WORKER_REDIS_URL"])
    assert (worker.server["username"], len(worker.sentinels)) == ("worker", 3)
    for server in (*stack.layout.redis_servers, *stack.layout.sentinels):
        assert "uthentication required" in refusal(f"redis://{server.address}", "PING")
    assert "no permissions" in refusal(values["TANDEM_WORKER_REDIS_URL"], "SET", "a", "1")


def refusal(where: str, *words: str) -> str:
    """Return why Redis does not do it."""
    with closing(RedisClient(where, TIMEOUT_MS)) as client, pytest.raises(StoreUnavailable) as refused:
        client.execute(*words)
    return str(refused.value)
