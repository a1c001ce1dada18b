"""One node of the edge on real parts for the tests of a module: Redis, Kamailio, a world, and two carriers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import Balance, Funds
from kemi.records import CallEnd, CallEvent
from tests.edge_world import LEVELS, load_world, place, welcome
from tests.fakes.config_writer import ConfigWriter
from tests.fakes.world import ACME, BELL, World
from tests.kamailio_node import ROOT, Node, running_kamailio
from tests.redis_server import TIMEOUT_MS, RedisServer, running_redis
from tests.sip import Endpoint
from tests.wait import DeadlineError, until

SOON_S: Final = 10.0
IDLE_S: Final = 45.0
"""A machine that stands still for a while makes an agent ask Redis what became of a call, and again."""
NOWHERE: Final = ("127.0.0.1", 9)
ACME_HOST, BELL_HOST = "127.0.0.11", "127.0.0.12"  # not where callers are: a call never goes back to where it came from


class Edge(NamedTuple):
    """What runs. acme, bell: the carriers' servers, cheapest first. phone: a caller's endpoint of this test."""

    node: Node
    redis: RedisServer
    admin: RedisClient
    writer: ConfigWriter
    acme: Endpoint
    bell: Endpoint
    world: World

    def change(self, server_id: int, **fields: Any) -> None:
        """Give a server of acme or bell other values, from the next call on."""
        self.world.change_server(server_id, **fields)
        names = [keys.peering_group(group) for group in (ACME, BELL)]
        self.writer.write({name: self.world.records[name] for name in names})
        self.writer.finish()

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

    def item(self, table: str, key: str) -> int:
        """Return a number from a table of the node, 0 where there is none."""
        try:
            text = self.node.kamcmd("htable.get", table, f"s:{key}")
        except subprocess.CalledProcessError:
            return 0
        return int(text.partition("value: ")[2].split()[0])

    def balances(self) -> list[Balance]:
        """Return all funds of the world."""
        return Funds(self.admin, "test", 0).balances([keys.fund(account, "EUR") for account in LEVELS])

    def leases(self) -> int:
        """Return how many reservations are open."""
        return int(self.admin.execute("ZCARD", keys.LEASES))

    def wait_idle(self) -> None:
        """Return when nothing is held any more. Raises AssertionError that tells what is, and how the agent is."""
        try:
            until(lambda: self.leases() == 0, IDLE_S, "all leases to be gone")
        except DeadlineError as error:
            funds = Funds(self.admin, "test", 0)
            held = [funds.describe(rid.decode()) for rid in self.admin.execute("ZRANGE", keys.LEASES, 0, -1)]
            raise AssertionError(f"{error}: {held}; {self.node.noc('status')['agent']}") from error


def tried(end: CallEnd) -> list[tuple[int, int, str]]:
    """Return server, status and word of each attempt."""
    return [(each.server_id, each.status, each.why) for each in end.attempts]


@contextmanager
def running_edge(
    env: Mapping[str, str] | None = None,
    *,
    more: str = "",
    root: Path = ROOT,
    relay: str = "",
    defines: Mapping[str, int] | None = None,
) -> Iterator[Edge]:
    """Start all of it and end it. more: a further socket of the node. root: a copy of the project. Others: as there."""
    with running_redis() as redis, Endpoint(NOWHERE, ACME_HOST) as acme, Endpoint(NOWHERE, BELL_HOST) as bell:
        admin = RedisClient(redis.url, TIMEOUT_MS)
        world = World()
        place(world, acme, None, bell)
        welcome(world)
        writer = load_world(admin, world)
        with running_kamailio(redis.worker_url, env=env, more=more, root=root, relay=relay, defines=defines) as node:
            acme.server = bell.server = node.address
            until(lambda: node.noc("status")["agent"], SOON_S, "the agent's first word")
            yield Edge(node, redis, admin, writer, acme, bell, world)
        admin.close()
