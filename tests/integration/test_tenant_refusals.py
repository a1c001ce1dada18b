"""What commands refuse: one sentence with field, value and rule each; nothing is changed; tenants learn nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.fix_postgres import DEMO, Database, PostgresServer
from tests.tenant_world import TenantWorld, Told, told

REFUSED: Final = told(Path(__file__).with_name("tenant_refusals.txt"))
_CHANGES: Final = b"select count(*) from tandem.audit"

# What North may do in the demo world, and must not learn of South, of the root, or of what it may only see.
AS_NORTH: Final = (
    ("domain add b.example", "domain: name 'b.example' is not available"),
    ("number add 49891234001", "number: number '49891234001' is not available"),
    ("subscriber show carol@b.example", "subscriber: 'carol@b.example' does not exist"),
    ("subscriber show '#6'", "subscriber: '#6' does not exist"),
    ("subscriber show '#999'", "subscriber: '#999' does not exist"),
    ("subscriber list --account South", "account: 'South' does not exist"),
    ("subscriber list --account 3", "account: '3' does not exist"),
    ("subscriber list --account Nobody", "account: 'Nobody' does not exist"),
    ("number set 442079460001 --to South", "to: 'South' does not exist"),
    ("domain show b.example", "domain: 'b.example' does not exist"),
    ("rewrite-set show plus", "rewrite-set: 'plus' does not exist"),
    ("domain set a.example --rewrite-set plus", "rewrite-set: 'plus' does not exist"),
    ("tariff show 'deck of acme'", "tariff: 'deck of acme' does not exist"),
    ("peering server list --peering Nobody", "peering: 'Nobody' does not exist"),
    ("tariff add retail --account North --currency EUR", "tariff: name 'retail' exists already: #6 of North"),
    ("peering add own --tariff dealer", "carriers_own: not granted to account 2 'North'"),
)


@pytest.fixture(scope="module")
def one_world(postgres_server: PostgresServer) -> Iterator[TenantWorld]:
    """Make one world for all that is refused."""
    with postgres_server.clone(DEMO) as database:
        yield TenantWorld(database)


@pytest.fixture
def world(one_world: TenantWorld) -> Iterator[TenantWorld]:
    """Yield a world that is afterwards as it was."""
    before = one_world.database.run(_CHANGES)
    yield one_world
    assert one_world.database.run(_CHANGES) == before


@pytest.mark.parametrize("each", REFUSED, ids=lambda each: each.line)
def test_a_refusal_says_field_value_and_rule(world: TenantWorld, each: Told) -> None:
    assert world.refused(each.line, each.stdin) == each.says


@pytest.mark.parametrize(("line", "sentence"), AS_NORTH, ids=[line for line, _ in AS_NORTH])
def test_a_tenant_learns_nothing_of_others(world: TenantWorld, line: str, sentence: str) -> None:
    assert world.refused(f"{line} --as North") == sentence


def test_a_tenant_is_not_told_who_has_an_address(demo_database: Database) -> None:
    world = TenantWorld(demo_database)
    demo_database.run("insert into tandem.account_grant(account_id, right_name) values (2, 'carriers_own')")
    world.run("tariff add deck --currency EUR --as North")
    world.run("peering add own --tariff deck --as North")
    server = "peering server add s1 --peering own --address 192.0.2.9 --as North"
    assert world.refused(server) == (
        "server 's1': is_trusted is the platform's to say, for the address that it trusts; give it as no"
    )
    world.run(f"{server} --is-trusted no")
    taken = world.refused("peering server add s2 --peering own --address 127.0.1.2 --as North")
    assert taken == "server: an address or network of it is not available"
    demo_database.run("insert into tandem.trusted_source(subscriber_id, network) values (6, '10.9.0.0/24')")
    tie = world.refused("trusted add 10.9.0.0/24 --subscriber alice@a.example --as North")
    assert tie == "trusted: an address or network of it is not available"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "callflow step add 10 --callflow Main --kind ring",
            "step: kind 'ring': a ring names a line or user or group and other kinds do not",
        ),
        (
            "callflow step add 10 --callflow Main --kind ring --user Eva --number 4420",
            "step: kind 'ring', number '4420': a forward names a number and other kinds do not",
        ),
        (
            "callflow step add 10 --callflow Main --kind time --time-set office --otherwise 20 --ring-s 5",
            "step: kind 'time', ring_s 5: only a ring has ring_s",
        ),
        (
            "callflow step add 10 --callflow Main --kind reject",
            "step: kind 'reject', status nothing: a reject has a status and other kinds do not",
        ),
        (
            "callflow step add 10 --callflow Main --kind forward --number 112",
            "callflow step: number '112' is an emergency number, to which no call is led",
        ),
        (
            "extension add 112 --account Alpha --user Eva",
            "extension '112': it is an emergency number, which is called first",
        ),
        ("user add eva --account Alpha", "user: name 'eva' exists already as 'Eva': #1 of Tandem/North/Alpha"),
        ("user add Eva --account Alpha", "user: name 'Eva' exists already: #1 of Tandem/North/Alpha"),
    ],
)
def test_people_and_their_callflows(demo_database: Database, line: str, sentence: str) -> None:
    """Only what the rule is about is named, and of a name of one's own that it is there."""
    demo_database.run("select world.user('Eva', 'Alpha'), world.callflow('Main', 'Alpha')")
    world = TenantWorld(demo_database)
    world.run("time-set add office --account Alpha --weekly 'Mon-Fri 08:00-18:00'")
    assert world.refused(line) == sentence


def test_a_line_says_what_is_its_accounts_to_say(demo_database: Database) -> None:
    """Numbers of others, patterns and locks are not; whether a number is a stranger's or nobody's is not told."""
    world = TenantWorld(demo_database)
    for number in ("49891234001", "442079460777"):
        refusal = world.refused(f"subscriber set alice@a.example --cli {number} --as Alpha")
        assert refusal == f"subscriber 'alice': number '{number}' is not available to be shown"
    assert world.refused("subscriber set alice@a.example --allowed-clis '4420*' --as Alpha") == (
        "subscriber 'alice': its own account does not allow it the pattern '4420*': those above it do"
    )
    assert world.refused("subscriber set alice@a.example --lock all --as Alpha") == (
        "subscriber 'alice': its own account does not say its lock and barring: those above it do"
    )
    wide = world.refused("trusted add 10.0.0.0/8 --subscriber alice@a.example --as Alpha")
    assert wide == "trusted source: network 10.0.0.0/8 is wider than /24 (IPv4) or /48 (IPv6)"


def test_what_is_only_seen_is_not_changed(demo_database: Database) -> None:
    """A customer sees the domain of its lines, which is its parent's."""
    world = TenantWorld(demo_database)
    assert "a.example" in world.run("domain list --as Alpha")
    assert world.refused("domain set a.example --region x --as Alpha") == "domain: 'a.example' is not yours to change"
    new = "account add Kiosk --kind customer --tariff retail --as Alpha"
    assert world.refused(new) == "accounts: not granted to account 5 'Alpha'"
    assert world.refused("domain remove a.example --as Alpha") == "domains: not granted to account 5 'Alpha'"


def test_a_tenant_works_on_what_is_its_own(demo_database: Database) -> None:
    world = TenantWorld(demo_database)
    assert "eva@a.example of North/Alpha: added" in world.run("subscriber add eva@a.example --account Alpha --as North")
    assert "eva@a.example: password set" in world.run("subscriber passwd eva --as North", "correct horse battery\n")
    assert "North/Alpha → North/Fjord, subscriber" in world.run(
        "number set 442079460001 --to Fjord --subscriber '' --as North"
    )
    assert [row["account"] for row in world.json("domain list --as Alpha")] == [""]
    assert {row["account"] for row in world.json("subscriber list --as North")} == {"North/Alpha"}


def test_a_row_that_would_be_out_of_sight_is_not_given_away(demo_database: Database) -> None:
    """A root's order is no tenant's: Fjord, that North does not see below, keeps what it has."""
    world = TenantWorld(demo_database)
    assert world.refused("contact set noc@north.example --to Beta --as North") == "to: 'Beta' does not exist"


def test_what_has_no_id_is_told_apart_by_whose_it_is(demo_database: Database) -> None:
    world = TenantWorld(demo_database)
    for account in ("North", "South"):
        world.run(f"reply add no_credit --account {account} --status 402 --phrase Empty")
        world.run(f"peering hunt add 503 --server {'acme' if account == 'North' else 'blue'} --action stop")
    several = "several are called"
    assert world.refused("reply show no_credit") == (
        f"reply: {several} 'no_credit', say by --account of which: Tandem/North, Tandem/South"
    )
    assert world.refused("peering hunt show 503") == f"hunt: {several} '503', say by --server of which: acme, blue"
    assert "Tandem/South" in world.run("reply show no_credit --account South")


def test_a_reference_that_means_several_rows_alike_is_not_guessed(demo_database: Database) -> None:
    world = TenantWorld(demo_database)
    ids = [world.json("contact add twin@a.example --account Alpha")["id"] for _ in range(2)]
    ways = ", ".join(f"#{number} of Tandem/North/Alpha" for number in ids)
    assert world.refused("contract set Alpha --contact twin@a.example") == (
        f"contact: several are called 'twin@a.example', give the id or a path: {ways}"
    )
    assert "nothing → twin@a.example" in world.run(f"contract set Alpha --contact '#{ids[1]}'")


def test_a_currency_that_nobody_knows_is_refused_by_its_name(demo_database: Database) -> None:
    world = TenantWorld(demo_database)
    line = "account add Kiosk --parent North --kind customer --tariff retail --currency XXX"
    assert "'XXX'" in world.refused(line)


def test_a_new_account_pays_in_its_tariffs_currency(demo_database: Database) -> None:
    world = TenantWorld(demo_database)
    assert world.json("account add Kiosk --parent North --kind customer --tariff retail")["currency"] == "EUR"


def test_what_is_lent_from_above_is_named_without_its_owner(demo_database: Database) -> None:
    """North uses a rewrite set of the root, which it does not see; what it reads of it, it may say again."""
    world = TenantWorld(demo_database)
    world.run("domain set a.example --rewrite-set plus")
    stored = demo_database.one("select rewrite_set_id from tandem.sip_domain where name = 'a.example'")
    assert world.json("domain show a.example --as North")["rewrite_set"] == "../plus"
    world.run("domain set a.example --rewrite-set '' --as North")
    assert (
        world.refused("domain set a.example --rewrite-set ../plus --as North")
        == "rewrite-set: '../plus' does not exist"
    )
    world.run("domain set a.example --rewrite-set plus")
    world.run("rewrite-set add plus --account North")
    assert "nothing changed" in world.run("domain set a.example --rewrite-set ../plus --as North")
    assert demo_database.one("select rewrite_set_id from tandem.sip_domain where name = 'a.example'") == stored
    assert "../plus → plus" in world.run("domain set a.example --rewrite-set plus --as North")
