"""`tandem subscriber registrations`: whose phones the acting account is told of."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from kemi import keys
from kemi.adapters import redis_locations
from kemi.adapters.redis_client import RedisClient
from kemi.records import Location
from tests.fix_postgres import Database
from tests.redis_server import TIMEOUT_MS, RedisServer, running_redis
from tests.tenant_world import TenantWorld
from tools.errors import OperatorError

COMMAND = "subscriber registrations"


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """Run a Redis of this module's own."""
    with running_redis() as running:
        yield running


def location(user: str, seconds: int) -> Location:
    now_s = int(time.time())
    return Location(
        f"sip:{user}@192.168.7.9:5060", "sip:203.0.113.7:1024", "", now_s + seconds, 500, "call-1", 1, "phone [bold]",
        "udp:192.0.2.1:5060", "", 0, now_s, "n1",
    )  # fmt: skip


def register(redis: RedisServer, line: str, *seconds: int) -> None:
    client = RedisClient(redis.worker_url, TIMEOUT_MS)
    found = [location(f"p{at}", each) for at, each in enumerate(seconds)]
    redis_locations.put(client, line, "n1", int(time.time()) - 100, found)
    client.close()


def test_each_account_is_told_of_the_lines_that_it_sees(demo_database: Database, redis: RedisServer) -> None:
    world = TenantWorld(demo_database)
    lines = [f"{row['username']}@{row['domain']}" for row in world.json("subscriber list --json")]
    for line in lines:
        register(redis, line, 60, -5)
    told = json.loads(world.run(f"{COMMAND} --json", REDIS_URL=redis.url))
    assert sorted(row["line"] for row in told) == sorted(lines), "what has expired is not told"
    assert 0 < told[0]["seconds"] <= 60
    assert {(row["received"], row["node"], row["q"]) for row in told} == {("sip:203.0.113.7:1024", "n1", 0.5)}
    assert "phone [bold]" in world.run(f"{COMMAND} {lines[0]}", REDIS_URL=redis.url)
    below = [row for row in world.json("subscriber list --json") if row["account"] != "Tandem"]
    viewer = below[0]["account"]
    seen = {f"{row['username']}@{row['domain']}" for row in world.json(f"subscriber list --as {viewer} --json")}
    as_viewer = json.loads(world.run(f"{COMMAND} --as {viewer} --json", REDIS_URL=redis.url))
    assert {row["line"] for row in as_viewer} == seen
    hidden = next(line for line in lines if line not in seen)
    with pytest.raises(OperatorError, match="does not exist"):
        world.run(f"{COMMAND} {hidden} --as {viewer}", REDIS_URL=redis.url)


def test_only_so_many_are_listed(demo_database: Database, redis: RedisServer) -> None:
    """A page of them for people, all where they are asked for; what is no line of ours any more is not told."""
    world = TenantWorld(demo_database)
    register(redis, "alice@a.example", *range(60, 62))
    register(redis, "bob@a.example", 60)
    register(redis, "gone@a.example", 60)
    every = json.loads(world.run(f"{COMMAND} --json", REDIS_URL=redis.url))
    assert "gone@a.example" not in {row["line"] for row in every}
    told = world.run(f"{COMMAND} --limit 1", REDIS_URL=redis.url)
    lines = len({row["line"] for row in every})
    assert told.splitlines()[-1] == f"the first 1 phone of {lines} lines; --all shows the others"
    one = world.run(f"{COMMAND} alice@A.example --limit 1", REDIS_URL=redis.url)
    assert one.splitlines()[-1] == "the first 1 phone of 1 line; --all shows the others"
    assert len(json.loads(world.run(f"{COMMAND} --json --limit 2", REDIS_URL=redis.url))) == 2
    whole = world.run(f"{COMMAND} --all", REDIS_URL=redis.url)
    assert whole.count("203.0.113.7:1024") == len(every)
    assert "--all" not in whole


def test_lines_that_are_not_registered_are_not_asked_for(
    demo_database: Database, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(redis, "alice@a.example", 60)
    asked: list[str] = []

    def read(_client: RedisClient, names: list[str], _now_s: int) -> dict[str, tuple[Location, ...]]:
        asked.extend(names)
        return dict.fromkeys(names, ())

    monkeypatch.setattr(redis_locations, "read", read)
    client = RedisClient(redis.url, TIMEOUT_MS)
    client.execute("DEL", keys.REGISTERED)
    client.close()
    TenantWorld(demo_database).run(COMMAND, REDIS_URL=redis.url)
    assert asked == []
    register(redis, "alice@a.example", 60)
    TenantWorld(demo_database).run(COMMAND, REDIS_URL=redis.url)
    assert asked == ["alice@a.example"]


def test_without_redis_it_says_so(demo_database: Database) -> None:
    with pytest.raises(OperatorError, match="REDIS_URL: Redis does not answer"):
        TenantWorld(demo_database).run(COMMAND, REDIS_URL="unix:///nonexistent/redis.sock")
    with pytest.raises(OperatorError, match="REDIS_URL"):
        TenantWorld(demo_database).run(COMMAND)
