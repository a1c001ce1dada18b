"""What routing reads of Postgres, value by value: the rows of the sync views as records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from kemi import codec, records
from kemi.adapters.redis_tables import RECORD_TYPES
from tests.fix_postgres import Database
from tools.sync.kinds import BY_VIEW, build

DERIVED = "num:4420794620201"  # of a pilot and an extension behind it
HA1 = "2c2a671248d4d3f9d49704917ac13bdb"


@pytest.fixture
def rich(demo: Database) -> Database:
    """Return the demo world with something of everything that routing knows."""
    demo.run(Path(__file__).with_name("sql_routing.sql").read_bytes())
    return demo


def record(database: Database, view: str, name: str) -> Any:
    """Return one aggregate, built as the sync builds it."""
    query = sql.SQL("select * from sync.{} where name = %s").format(sql.Identifier(view))
    (row,) = database.connection.execute(query, (name,)).fetchall()
    return build(BY_VIEW[view], list(row[1:]))


def of_name(database: Database, table: str, name: str) -> int:
    """Return the id of the row of that name."""
    query = sql.SQL("select id from tandem.{} where name = %s").format(sql.Identifier(table))
    ((found,),) = database.connection.execute(query, (name,)).fetchall()
    return int(found)


def test_every_record_type_has_a_view() -> None:
    """What a worker may fetch, the sync writes."""
    assert {kind.record for kind in BY_VIEW.values()} >= set(RECORD_TYPES.values())


def test_a_time_set(rich: Database) -> None:
    """Spans in minutes of the week, days as numbers, each list in its order."""
    office = of_name(rich, "time_set", "office")
    assert record(rich, "time_set", f"tset:{office}") == records.TimeSet(
        office,
        "office",
        "Europe/London",
        (*(records.Span(day * 1440 + 480, day * 1440 + 1080) for day in range(5)), records.Span(7200, 8640)),
        (records.DayRange(1224, 106), records.DayRange(20260501, 20260501)),
        (records.DayRange(20261228, 20261230),),
    )


def test_a_barring_level_and_whom_it_bars(rich: Database) -> None:
    """Rules in the order in which they were made; account and line name the levels of both sides."""
    premium, uk = (of_name(rich, "barring_level", name) for name in ("no premium", "UK"))
    level = record(rich, "barring_level", f"bar:{premium}")
    assert level._replace(rules=()) == records.BarringLevel(
        premium, "no premium", False, (), of_name(rich, "time_set", "office"), True
    )
    assert [rule.pattern for rule in level.rules] == ["^44(9|87)", "^1900"]
    assert record(rich, "barring_level", f"bar:{uk}").is_whitelist
    alpha = record(rich, "account", "acct:5")
    assert (alpha.barring_id, alpha.own_barring_id) == (premium, uk)
    alice, bob = (record(rich, "subscriber", f"sub:{user}@a.example") for user in ("alice", "bob"))
    assert (alice.barring_id, alice.own_barring_id) == (uk, 0)
    assert (bob.barring_id, bob.own_barring_id) == (0, premium)


def test_what_accounts_and_lines_say(rich: Database) -> None:
    """Block lists, carriers, losses, attempts; hidden numbers and regions; an account says nothing by default."""
    alpha, beta = (record(rich, "account", f"acct:{number}") for number in (5, 6))
    assert alpha[15:] == (("anonymous", "4420*"), ("44[89]*",), "own_only", -1, 3, 0, 600, "relay")
    assert alpha.routing == ("quality", "share")
    assert beta[13:] == (0, 0, (), (), "all", 0, 0, 0, 600, "")
    bob = record(rich, "subscriber", "sub:bob@a.example")
    assert bob[13:18] == (("49?9*",), ("1*",), True, "london", records.Lock.ALL)
    assert record(rich, "sip_domain", "dom:b.example").region == "bavaria"


def test_a_server_with_everything(rich: Database) -> None:
    """Its name stands for the lowest address; identity, login and hunt rules are records of their own."""
    group = record(rich, "peering_group", "pg:2")
    assert (group.share, group.may_return) == (60, True)
    plain, named, unknown = group.servers
    assert plain == records.PeerServer(plain.id, "blue", "127.0.1.2", 5080, "udp", 10, True)
    assert named == records.PeerServer(
        named.id, "by name", "192.0.2.9", 5070, "tcp", 10, True, 0, "tcp:[2001:db8::1]:5060", True, 30, 5, 40, 6000,
        True, "rn", (records.HuntRule(404, "continue"), records.HuntRule(480, "stop", 486, "Busy Here")),
        records.Identity(False, "own", ("ppi", "rpid"), "sip.us.example"),
        records.Login("trunk7", "blue.example", HA1, 600, "trunk7"),
    )  # fmt: skip
    assert unknown.address == ""
    assert record(rich, "peers", "peers") == records.Peers((2,))


def test_calls_come_from_every_address_of_a_name(rich: Database) -> None:
    """Whichever of them a call is sent to, calls from all of them are the carrier's."""
    for address in ("192.0.2.9", "192.0.2.10"):
        (source,) = record(rich, "sources", f"src:{address}/32").entries
        assert source.group_id == 2
    rich.run("select world.resolved('by name', '2001:db8::7')")
    assert record(rich, "masks", "masks") == records.Masks((32,), (128,))
    assert record(rich, "peering_group", "pg:2").servers[1].address == "2001:db8::7"
    rich.run("select world.resolved('by name')")
    assert record(rich, "masks", "masks") == records.Masks((32,), ())
    assert record(rich, "peering_group", "pg:2").servers[1].address == ""


def test_another_name_stands_for_nothing_yet(rich: Database) -> None:
    """What the former name stood for is forgotten at once."""
    rich.run("update tandem.peering_server set host = 'new.blue.example' where name = 'by name'")
    assert record(rich, "peering_group", "pg:2").servers[1].address == ""


def test_peers_are_those_that_are_asked(rich: Database) -> None:
    """Probed or registered with, and enabled."""
    rich.run("select world.peer_option('crown/crown', 'probe', 'true')")
    assert record(rich, "peers", "peers").group_ids == (2, 3)
    rich.run("update tandem.peering_server set probe = false, enabled = name <> 'crown'")
    assert record(rich, "peers", "peers").group_ids == (2,)
    rich.run("update tandem.peering_group set enabled = false")
    assert record(rich, "peers", "peers").group_ids == ()


def test_a_rule_with_its_times(rich: Database) -> None:
    """Validity in Unix milliseconds, 0 = open; block and time set."""
    (rule,) = record(rich, "peering_rules", "rules:1:442").entries
    assert rule == records.PeeringRule(
        rule.id, 2, "442", "", "", False, True, True, 1_767_225_600_000, 1_798_761_600_000,
        of_name(rich, "time_set", "office"),
    )  # fmt: skip
    assert record(rich, "peering_rules", "rules:1:").entries[0][7:] == (False, 0, 0, 0)


def test_ported_numbers(rich: Database) -> None:
    """Each by its digits, and which lengths there are, longest first."""
    assert record(rich, "ported_number", "lnp:442071234567") == records.PortedNumber("442071234567", "449901", 1)
    assert record(rich, "ported_number", "lnp:4420") == records.PortedNumber("4420", "4499")
    assert record(rich, "ported_lengths", "lnplens") == records.Lengths((12, 4))
    rich.run("delete from tandem.ported_number")
    assert record(rich, "ported_lengths", "lnplens") == records.Lengths(())


def test_lengths_are_found_by_an_index(rich: Database) -> None:
    """Among millions of numbers too: one probe a length."""
    rich.run("set local enable_seqscan = off")
    plan = "\n".join(line for (line,) in rich.run("explain select * from sync.ported_lengths"))
    assert "ported_number_by_length" in plan


def test_destinations(rich: Database) -> None:
    """By the first two digits, with the single digit below each."""
    four = records.Destination("4", 180)
    assert record(rich, "destinations", "dest:44").entries == (four, records.Destination("4420", 95))
    assert record(rich, "destinations", "dest:49").entries == (four, records.Destination("49", 60))
    assert record(rich, "destinations", "dest:41").entries == (four,)


def test_quality_in_steps(rich: Database) -> None:
    """Rounded to 5 %, 15 s and 500 ms; a server with fewer than 20 calls is not judged; none answered is 0."""
    acme, named = (of_name(rich, "peering_server", name) for name in ("acme", "by name"))
    assert record(rich, "quality", "quality").servers == (
        records.ServerQuality(acme, 50, 120, 2_500),
        records.ServerQuality(named, 0, 0, 0),
    )
    rich.run("update tandem.server_quality set answered = 1e-300, rung = 1e-300, talk_s = 1e9, pdd_ms = 1e9")
    assert [server[1:] for server in record(rich, "quality", "quality").servers] == [(0, 0, 0)] * 2
    rich.run("update tandem.server_quality set answered = 200, rung = 1, talk_s = 1e300")
    assert [server[1:] for server in record(rich, "quality", "quality").servers] == [(100, 86_400, 180_000)] * 2
    rich.run("update tandem.server_quality set attempts = 19.9")
    assert record(rich, "quality", "quality").servers == ()


def test_emergency_numbers_of_a_region(rich: Database) -> None:
    """With the carriers in their order, the region, and what is called instead."""
    routes = record(rich, "emergency", "emergency").routes
    assert routes == (
        records.EmergencyRoute("", "112", (1, 2)),
        records.EmergencyRoute("", "911", (1, 2)),
        records.EmergencyRoute("", "110", (2, 1), "bavaria", "4989110"),
    )


def test_rewriting_of_routing_numbers(rich: Database) -> None:
    """They are lists of their own."""
    plus = record(rich, "rewrite_set", f"rws:{of_name(rich, 'rewrite_set', 'plus')}")
    assert [rule.replacement for rule in plus.callee_lnp] == ["+"]
    assert [rule.replacement for rule in plus.caller_lnp] == ["00"]


def test_what_the_release_before_wrote_means_the_same(rich: Database) -> None:
    """A row without anything new builds the record that a shorter row of the release before decodes to."""
    crown = record(rich, "peering_group", "pg:3")
    older = [list(field) if isinstance(field, tuple) else field for field in crown[:11]]
    older[8] = [list(server[:8]) for server in crown.servers]
    assert codec.build(records.PeeringGroup, older) == crown


def test_options_are_checked(demo: Database) -> None:
    """A word for what there is not, or for more than one thing, says so."""
    assert "world: account has no colour" in demo.refused("select world.account_option('Alpha', 'colour', 'red')")
    assert "world: 0 servers are called x" in demo.refused("select world.peer_option('x', 'port', '1')")
    assert "is no span of the week" in demo.refused("select world.time_set('North', 'x', 'UTC', '{Mo-Xx}')")
    assert "is no day and no range" in demo.refused("select world.time_set('North', 'x', 'UTC', '{}', '{26-12-24}')")
    assert "0 barring levels are called x" in demo.refused("select world.bar('Alpha', 'x')")
    assert "not by me" in demo.refused("select world.bar('Alpha', null, 'me')")


def test_numbers_behind_a_pilot_that_takes_no_calls(rich: Database) -> None:
    """They stand and fall with its own: suspended, or locked for calls to it."""
    assert record(rich, "number", DERIVED).status == records.Status.ACTIVE
    for setting, value, status in (("status", "suspended", 1), ("lock", "all", 1), ("lock", "outgoing", 0)):
        rich.run(f"select world.subscriber_option('head@a.example', '{setting}', '{value}');".encode())
        assert record(rich, "number", DERIVED).status == status
        rest = {"status": "active", "lock": "none"}[setting]
        rich.run(f"select world.subscriber_option('head@a.example', '{setting}', '{rest}');".encode())


def test_a_number_behind_two_pilots_is_that_of_the_longer_one(rich: Database) -> None:
    """Whoever has which extensions: one name has one row."""
    rich.run(
        b"select world.subscriber('next@a.example', 'Alpha'),"
        b" world.subscriber_option('next@a.example', 'kind', 'pilot'),"
        b" world.number('44207946202', 'Alpha', 'next@a.example'), world.extension('01', 'Alpha', 'user:Eva');"
    )
    eva = of_name(rich, "user", "Eva")
    assert record(rich, "number", DERIVED).to == f"user:{eva}"
