"""The small world of tests/fakes/world.py in a real Redis, with carriers where a test's endpoints listen."""

from __future__ import annotations

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import Funds
from kemi.records import Masks, Source, SourceKind, Sources
from tests.fakes.config_writer import ConfigWriter
from tests.fakes.world import ACME, ACME_1, ACME_2, BELL_1, CUSTOMER, DEALER, NEIGHBOUR, OWN_1, RESELLER, TRUNK, World
from tests.sip import Endpoint

CREDIT_MICROS = 1_000_000_000
LEVELS = (CUSTOMER, DEALER, RESELLER, NEIGHBOUR)


def load_world(client: RedisClient, world: World, credit_micros: int = CREDIT_MICROS) -> ConfigWriter:
    """Apply the world with this credit in every fund, and arm. client: of the user who may do everything."""
    world.put(keys.EMERGENCY, world.emergency)
    writer = ConfigWriter(client)
    writer.load(world.records, world.rates)
    for account_id in LEVELS:
        set_credit(writer, account_id, credit_micros)
    Funds(client, "test", 0).arm(1)
    return writer


def set_credit(writer: ConfigWriter, account_id: int, credit_micros: int, version: int = 1) -> None:
    """Let the fund of an account have this much, without limits of channels or calls per second."""
    writer.write_fund(keys.fund(account_id, "EUR"), [version, credit_micros, 0, 0, 0, 0])


def welcome(world: World) -> None:
    """Let loopback addresses be known: 127.1.3.x is the trusted PBX, 127.1.4.7 is acme's first server."""
    world.put(keys.MASKS, Masks((32, 24), ()))
    pbx = Source(11, SourceKind.TRUSTED, "127.1.3.0/24", subscriber=TRUNK)
    world.put(keys.sources("127.1.3.0/24"), Sources((pbx,)))
    peer = Source(12, SourceKind.PEER, "127.1.4.7/32", group_id=ACME, server_id=ACME_1)
    world.put(keys.sources("127.1.4.7/32"), Sources((peer,)))


def place(world: World, acme_1: Endpoint, acme_2: Endpoint | None = None, bell_1: Endpoint | None = None) -> None:
    """Put the carriers' servers where these endpoints listen; a server without one is disabled."""
    for server_id, endpoint in ((ACME_1, acme_1), (ACME_2, acme_2), (BELL_1, bell_1), (OWN_1, None)):
        if endpoint is None:
            world.change_server(server_id, enabled=False)
        else:
            world.change_server(server_id, address=endpoint.host, port=endpoint.port, transport="udp", enabled=True)
