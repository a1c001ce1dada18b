"""One node of the edge on real parts for the tests of a module: Redis, Kamailio, a world, and two carriers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import Balance, Funds
from kemi.records import CallEvent
from tests.edge_world import LEVELS, load_world, place, welcome
from tests.fakes.config_writer import ConfigWriter
from tests.fakes.world import World
from tests.kamailio_node import Node, running_kamailio
from tests.redis_server import TIMEOUT_MS, RedisServer, running_redis
from tests.sip import Endpoint
from tests.wait import until

SOON_S: Final = 5.0
NOWHERE: Final = ("127.0.0.1", 9)


class Edge(NamedTuple):
    """What runs. acme, bell: the carriers' servers, cheapest first. phone: a caller's endpoint of this test."""

    node: Node
    redis: RedisServer
    admin: RedisClient
    writer: ConfigWriter
    acme: Endpoint
    bell: Endpoint

    def phone(self, host: str = "127.0.0.1") -> Endpoint:
        """Return a new endpoint that speaks to the node."""
        return Endpoint(self.node.address, host)

    def events(self, call_id: str) -> list[CallEvent]:
        """Return the events of a call so far."""
        entries = self.admin.execute("XRANGE", keys.EVENTS, "-", "+")
        events = [codec.unpack(CallEvent, fields[1]) for _, fields in entries]
        return [event for event in events if event.call.call_id == call_id]

    def event(self, call_id: str) -> CallEvent:
        """Return the one event that ends a call, waiting for it."""
        until(lambda: self.events(call_id), SOON_S, f"the event of {call_id}")
        (event,) = self.events(call_id)
        return event

    def balances(self) -> list[Balance]:
        """Return all funds of the world."""
        return Funds(self.admin, "test", 0).balances([keys.fund(account, "EUR") for account in LEVELS])

    def leases(self) -> int:
        """Return how many reservations are open."""
        return int(self.admin.execute("ZCARD", keys.LEASES))


@contextmanager
def running_edge(env: Mapping[str, str] | None = None) -> Iterator[Edge]:
    """Start all of it and end it."""
    with running_redis() as redis, Endpoint(NOWHERE) as acme, Endpoint(NOWHERE) as bell:
        admin = RedisClient(redis.url, TIMEOUT_MS)
        world = World()
        place(world, acme, None, bell)
        welcome(world)
        writer = load_world(admin, world)
        with running_kamailio(redis.worker_url, env=env) as node:
            acme.server = bell.server = node.address
            until(lambda: node.noc("status")["agent"], SOON_S, "the agent's first word")
            yield Edge(node, redis, admin, writer, acme, bell)
        admin.close()
