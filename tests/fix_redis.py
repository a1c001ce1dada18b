"""Fixtures of a real, private Redis: one server per session, emptied for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kemi.adapters.redis_client import RedisClient
from tests.funds_bench import Bench, FakeBench, RedisBench
from tests.redis_server import TIMEOUT_MS, RedisServer, empty, running_redis


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Run the session's Redis. Tests take `redis_url`, which empties it first."""
    with running_redis() as server:
        yield server


@pytest.fixture
def redis_client(redis_server: RedisServer) -> Iterator[RedisClient]:
    """Connect as the user who may do everything, to an empty Redis with current functions, unarmed."""
    client = RedisClient(redis_server.url, TIMEOUT_MS)
    empty(client)
    yield client
    client.close()


@pytest.fixture
def redis_url(redis_server: RedisServer, redis_client: RedisClient) -> str:
    """Name the user who may do everything, on an empty Redis with current functions, unarmed."""
    assert redis_client.available()
    return redis_server.url


@pytest.fixture
def redis_worker_url(redis_server: RedisServer, redis_client: RedisClient) -> str:
    """Name the workers' user, on an empty Redis with current functions, unarmed."""
    assert redis_client.available()
    return redis_server.worker_url


@pytest.fixture(params=["fake", "redis"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Offer the store: the fake, then real Redis through the workers' user."""
    if request.param == "fake":
        yield FakeBench()
        return
    url = request.getfixturevalue("redis_worker_url")
    worker = RedisClient(url, TIMEOUT_MS)
    yield RedisBench(request.getfixturevalue("redis_client"), worker)
    worker.close()
