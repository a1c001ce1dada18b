"""Names of servers: from a DNS server over UDP into Postgres and, through the syncer, to the workers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread

import pytest
from typer.testing import CliRunner

from kemi.adapters.redis_client import RedisClient
from tests.dns_responder import Responder, responder
from tests.fix_postgres import Database, load_seed
from tests.sync_pair import SyncPair
from tests.tenant_world import TenantWorld
from tests.wait import until
from tools.carrier import carrier
from tools.errors import OperatorError
from tools.resolve import lookup, work
from tools.resolve.lookup import resolver_from
from tools.resolve.work import keep, resolving

DEADLINE_S = 20.0
WORLD = """
select world.root('Tandem');
select world.tariff('Tandem', 'wholesale', 'EUR', '44', '0.03');
select world.carrier('acme', '198.51.100.1', 5060, '44', '0.012');
select world.carrier('zeta', '203.0.113.1', 5060, '44', '0.012');
"""
NAMED = """
insert into tandem.peering_server(group_id, name, host, port, transport)
select id, %s, %s, %s, 'udp' from tandem.peering_group where name = 'acme' returning id
"""
ADDRESSES = "select host(address) from tandem.peering_server_address where server_id = %s order by address"
FAULT = "select fault from tandem.peering_server_lookup where server_id = %s"


@pytest.fixture
def dns_server() -> Iterator[Responder]:
    with responder() as made:
        yield made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let names be asked again within moments, not minutes."""
    monkeypatch.setattr(work, "POLL_S", 0.02)
    monkeypatch.setattr(work, "AGAIN_S", 0.02)
    monkeypatch.setattr(work, "TTL_MIN_S", 0.05)
    monkeypatch.setattr(work, "TROUBLE_MAX_S", 0.1)
    monkeypatch.setattr(lookup, "TTL_MIN_S", 0.05)
    monkeypatch.setattr(lookup, "TRY_S", 0.1)
    monkeypatch.setattr(lookup, "LIFETIME_S", 0.2)


@pytest.fixture
def world(database: Database) -> Database:
    """Make two carriers with addresses."""
    load_seed(database.connection, "world.sql")
    database.run(WORLD.encode())
    return database


@contextmanager
def looking_up(database: Database, server: Responder) -> Iterator[None]:
    """Look names up as beside an active syncer."""
    stop = Event()
    thread = Thread(target=keep, args=(database.dsn, resolver_from({"TANDEM_RESOLVER": server.place}), stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def named(database: Database, host: str, name: str = "named", port: int = 5060) -> int:
    return int(database.one(NAMED, name, host, port))


def addresses(database: Database, server_id: int) -> list[str]:
    return [text for (text,) in database.run(ADDRESSES, server_id)]


def fault(database: Database, server_id: int) -> str | None:
    rows = database.run(FAULT, server_id)
    return rows[0][0] if rows else None


def until_stands(database: Database, server_id: int, *expected: str) -> None:
    until(lambda: addresses(database, server_id) == list(expected), DEADLINE_S, f"addresses {expected}")


def until_said(database: Database, server_id: int, words: str) -> None:
    until(lambda: words in (fault(database, server_id) or ""), DEADLINE_S, f"the fault {words!r}")


def test_addresses_come_change_and_stay_when_nothing_changes(world: Database, dns_server: Responder) -> None:
    """What is as it was is not written again: the outbox hears of changes only."""
    dns_server.has("sip.acme.example", "A", "198.51.100.7", "198.51.100.8")
    server_id = named(world, "sip.acme.example")
    with looking_up(world, dns_server):
        until_stands(world, server_id, "198.51.100.7", "198.51.100.8")
        dns_server.has("sip.acme.example", "A", "198.51.100.7", "198.51.100.8", ttl_s=0)
        world.run("update tandem.peering_server set port = 5070 where id = %s", server_id)  # asked at once
        world.outbox()
        asked = dns_server.asked["sip.acme.example"]
        until(lambda: dns_server.asked["sip.acme.example"] > asked + 4, DEADLINE_S, "it to be asked again")
        assert world.outbox() == set()
        dns_server.has("sip.acme.example", "A", "198.51.100.9", ttl_s=0)
        until_stands(world, server_id, "198.51.100.9")
    assert fault(world, server_id) == ""
    assert {("sources", "src:198.51.100.9/32"), ("sources", "src:198.51.100.7/32")} <= world.outbox()


def test_what_is_known_stays_while_dns_is_in_trouble(world: Database, dns_server: Responder) -> None:
    """Silence, a failure and a name that is gone: each is said, none takes an address away."""
    dns_server.has("sip.acme.example", "A", "198.51.100.7", ttl_s=0)
    server_id = named(world, "sip.acme.example")
    with looking_up(world, dns_server):
        until_stands(world, server_id, "198.51.100.7")
        dns_server.is_silent = True
        until_said(world, server_id, "DNS does not answer")
        dns_server.is_silent = False
        dns_server.failing.add("sip.acme.example")
        until_said(world, server_id, "SERVFAIL")
        dns_server.failing.clear()
        dns_server.zone.clear()
        until_said(world, server_id, "does not exist")
        assert addresses(world, server_id) == ["198.51.100.7"]
        dns_server.has("sip.acme.example", "A", "198.51.100.8", ttl_s=0)
        until_stands(world, server_id, "198.51.100.8")
        until(lambda: fault(world, server_id) == "", DEADLINE_S, "all to be well")


def test_a_family_that_dns_says_nothing_of_stays(world: Database, dns_server: Responder) -> None:
    server_id = named(world, "sip.acme.example")
    with looking_up(world, dns_server):
        dns_server.has("sip.acme.example", "AAAA", "2001:db8::1", ttl_s=0)
        dns_server.has("sip.acme.example", "A", "198.51.100.7", ttl_s=0)
        until_stands(world, server_id, "198.51.100.7", "2001:db8::1")
        dns_server.has("sip.acme.example", "AAAA", ttl_s=0)  # it has none any more, and that is certain
        until_stands(world, server_id, "198.51.100.7")


def test_an_address_of_another_carrier_is_refused_and_the_others_count(world: Database, dns_server: Responder) -> None:
    """A carrier cannot take over another one's calls by its DNS."""
    dns_server.has("sip.acme.example", "A", "203.0.113.1", "198.51.100.7", ttl_s=0)
    server_id = named(world, "sip.acme.example")
    with looking_up(world, dns_server):
        until_stands(world, server_id, "198.51.100.7")
        until_said(world, server_id, "203.0.113.1 is left out")
        dns_server.has("sip.acme.example", "A", "203.0.113.1", ttl_s=0)
        asked = dns_server.asked["sip.acme.example"]
        until(lambda: dns_server.asked["sip.acme.example"] > asked + 3, DEADLINE_S, "it to be asked again")
    assert addresses(world, server_id) == ["198.51.100.7"]


def test_a_trusted_sources_calls_stay_its_own(world: Database, dns_server: Responder) -> None:
    """Whoever controls a carrier's zone must not take over a tenant's PBX, whichever of them was there first."""
    world.run(
        "select world.reseller('North', 'Tandem', 'wholesale', 500), world.domain('a.example', 'North'),"
        " world.subscriber('desk@a.example', 'North'), world.trusted('desk@a.example', '203.0.113.64')"
    )
    dns_server.has("sip.acme.example", "A", "203.0.113.64", "203.0.113.65", "239.1.1.1", ttl_s=0)
    server_id = named(world, "sip.acme.example")
    with looking_up(world, dns_server):
        until_stands(world, server_id, "203.0.113.65")
        until_said(world, server_id, "203.0.113.64/32 of trusted source")
        until_said(world, server_id, "239.1.1.1 is the address of no host")
        world.run("select world.trusted('desk@a.example', '203.0.113.65')")
        until_stands(world, server_id)
        until_said(world, server_id, "203.0.113.65/32 of trusted source")


def test_a_name_does_not_stand_for_ourselves(world: Database, dns_server: Responder) -> None:
    """Our own address never; others of the loopback where a resolver on it is asked, as here."""
    dns_server.has("sip.acme.example", "A", "127.0.0.1", "127.0.1.7", ttl_s=0)
    server_id = named(world, "sip.acme.example")
    env = {"TANDEM_RESOLVER": dns_server.place, "TANDEM_LISTEN": "127.0.0.1:5060", "TANDEM_LISTEN6": "off"}
    with resolving(world.dsn, env):
        until_stands(world, server_id, "127.0.1.7")
        until_said(world, server_id, "127.0.0.1 refused: a name must not stand for ourselves")


def test_another_name_is_looked_up_at_once_and_one_that_went_no_more(world: Database, dns_server: Responder) -> None:
    dns_server.has("old.acme.example", "A", "198.51.100.7", ttl_s=3600)
    dns_server.has("new.acme.example", "A", "198.51.100.8", ttl_s=3600)
    server_id = named(world, "old.acme.example")
    with looking_up(world, dns_server):
        until_stands(world, server_id, "198.51.100.7")
        world.run("update tandem.peering_server set host = 'new.acme.example' where id = %s", server_id)
        until_stands(world, server_id, "198.51.100.8")
        world.run("delete from tandem.peering_server where id = %s", server_id)
        other = named(world, "old.acme.example", "other")
        until_stands(world, other, "198.51.100.7")
    assert dns_server.asked["new.acme.example"] == 2  # A and AAAA, once


def test_one_name_without_an_answer_holds_up_no_other(world: Database, dns_server: Responder) -> None:
    dns_server.failing.add("dead.acme.example")
    named(world, "dead.acme.example", "dead")
    dns_server.has("sip.acme.example", "A", "198.51.100.7")
    server_id = named(world, "sip.acme.example")
    with looking_up(world, dns_server):
        until_stands(world, server_id, "198.51.100.7")


def test_a_postgres_that_went_away_is_waited_for(world: Database, dns_server: Responder) -> None:
    dns_server.has("sip.acme.example", "A", "198.51.100.7", ttl_s=0)
    server_id = named(world, "sip.acme.example")
    with looking_up(world, dns_server):
        until_stands(world, server_id, "198.51.100.7")
        world.run("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tandem resolve'")
        dns_server.has("sip.acme.example", "A", "198.51.100.8", ttl_s=0)
        until_stands(world, server_id, "198.51.100.8")


def test_the_active_syncer_brings_addresses_to_the_workers(
    world: Database, dns_server: Responder, redis_client: RedisClient, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a DNS that never answers holds up no pass."""
    dns_server.has("sip.acme.example", "A", "198.51.100.7", ttl_s=1)
    server_id = named(world, "sip.acme.example")
    group_id = world.one("select group_id from tandem.peering_server where id = %s", server_id)
    monkeypatch.setenv("TANDEM_RESOLVER", dns_server.place)
    pair = SyncPair(world, redis_client, redis_url)

    def sent_to() -> list[str]:
        record = pair.record(f"pg:{group_id}")
        return [server.address for server in record.servers if server.id == server_id] if record else []

    with pair.active_syncer():
        until(lambda: sent_to() == ["198.51.100.7"], DEADLINE_S, "the address to reach Redis")
        dns_server.is_silent = True
        named(world, "silent.acme.example", "silent")
        until(lambda: dns_server.asked["silent.acme.example"] > 0, DEADLINE_S, "the silence to be heard")
        slowest_s = 0.0
        for weight in range(20, 30):
            began_s = time.monotonic()
            world.run("update tandem.peering_server set weight = %s where id = %s", weight, server_id)
            until(partial(_weighs, pair, group_id, server_id, weight), DEADLINE_S, "a pass")
            slowest_s = max(slowest_s, time.monotonic() - began_s)
        assert slowest_s < lookup.LIFETIME_S + 5
        assert sent_to() == ["198.51.100.7"]


def _weighs(pair: SyncPair, group_id: int, server_id: int, weight: int) -> bool:
    return any((each.id, each.weight) == (server_id, weight) for each in pair.record(f"pg:{group_id}").servers)


def test_a_resolver_that_cannot_be_read_stops_the_syncer_with_a_sentence(world: Database) -> None:
    with (
        pytest.raises(OperatorError, match="TANDEM_RESOLVER"),
        resolving(world.dsn, {"TANDEM_RESOLVER": "dns.example"}),
    ):
        pass


def test_the_operator_sees_which_names_stand_for_nothing(world: Database, dns_server: Responder) -> None:
    """Found, in trouble with known addresses, in trouble without any, and never looked up."""
    dns_server.has("a.acme.example", "A", "198.51.100.7", ttl_s=0)
    dns_server.has("b.acme.example", "A", "198.51.100.8", ttl_s=0)
    first, second = named(world, "a.acme.example", "a"), named(world, "b.acme.example", "b")
    third = named(world, "c.acme.example", "c")
    with looking_up(world, dns_server):
        until_stands(world, first, "198.51.100.7")
        until_stands(world, second, "198.51.100.8")
        del dns_server.zone["b.acme.example", "A"]
        until_said(world, second, "does not exist")
        until_said(world, third, "does not exist")
    named(world, "d.acme.example", "d")
    env = {"DATABASE_URL": world.server.dsn(world.name, "tandem_tool")}
    told = json.loads(CliRunner().invoke(carrier, ("names", "--json"), env=env, catch_exceptions=False).output)
    assert [(row["server"], row["addresses"], row["fault"]) for row in told] == [
        ("a", ["198.51.100.7"], ""),
        ("b", ["198.51.100.8"], "b.acme.example does not exist"),
        ("c", [], "c.acme.example does not exist"),
        ("d", [], "not looked up yet: tandem sync does it"),
    ]
    shown = CliRunner().invoke(carrier, ("names",), env=env, catch_exceptions=False).output
    assert "b.acme.example does not exist; the last addresses stay, since" in shown
    assert "c.acme.example does not exist; it gets no calls, since" in shown


def test_a_tenants_name_stands_for_what_it_could_write_itself(world: Database, dns_server: Responder) -> None:
    """What is not available is left out, in these words and no more; the name's others stay, and the root's."""
    world.run(
        "select world.reseller('North', 'Tandem', 'wholesale', 5), world.tariff('North', 'r', 'EUR', '44', '0.06')"
    )
    world.run("select world.carrier_of('North', 'ours', '192.0.2.1', 5060, '44', '0.012')")
    bad = ("127.0.0.1", "169.254.7.7", "203.0.113.1", "224.0.0.5")
    dns_server.has("sip.north.example", "A", *bad, "198.51.100.40", ttl_s=0)
    dns_server.has("sip.acme.example", "A", "127.0.1.40", ttl_s=0)
    ours = int(world.one("select world.server_named('ours', 'named', 'sip.north.example', 5060)"))
    theirs = named(world, "sip.acme.example", "looped")
    with looking_up(world, dns_server):
        until_stands(world, ours, "198.51.100.40")
        until_stands(world, theirs, "127.0.1.40")
        until_said(world, ours, "224.0.0.5 is left out")
    expected = "; ".join(f"{address} is left out: the address is not available" for address in bad)
    assert fault(world, ours) == expected
    env = {"DATABASE_URL": world.server.dsn(world.name, "tandem_tool"), "TANDEM_AS": "North"}
    told = json.loads(CliRunner().invoke(carrier, ("names", "--json"), env=env, catch_exceptions=False).output)
    assert [(row["server"], row["addresses"], row["fault"]) for row in told] == [("named", ["198.51.100.40"], expected)]
    assert TenantWorld(world).json("peering server show named --as North")["left_out"] == expected
