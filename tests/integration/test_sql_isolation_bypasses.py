"""Ways round what is guarded: plain SQL for functions, names for addresses, new lines for locked ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, LiteralString

import psycopg
import pytest

from tests.fix_postgres import Database
from tests.tenant_world import TenantWorld

NORTH, FJORD, ALPHA = 2, 4, 5
LINE: Final = "(select id from tandem.subscriber where username = '{}')"


@contextmanager
def acting(database: Database, account_id: int) -> Iterator[None]:
    """Be a tenant for a while; what it changed stays."""
    with database.connection.transaction():
        database.run("select tandem.act_as_v1(%s, 'a test')", account_id)
        database.run("set local role tandem_tenant")
        yield
        database.run("reset role")


def refused(database: Database, account_id: int, statement: str) -> str:
    """Return the sentence with which a tenant's statement is refused."""
    with pytest.raises(psycopg.Error) as error, acting(database, account_id):
        database.run(statement.encode())
    return error.value.diag.message_primary or ""


@pytest.mark.parametrize(
    "column", ["status = 'closed'", "status = 'suspended'", "closed_at = now() - interval '1 year'"]
)
def test_an_account_is_closed_by_its_function(demo: Database, column: str) -> None:
    """Which closes all below it, takes rights and numbers, and says when; a column does nothing of it."""
    said = refused(demo, NORTH, f"update tandem.account set {column} where id = 5")  # noqa: S608  ours
    assert said == (
        "account 5 'Alpha' is suspended, resumed and closed by tandem.suspend_account_v1, resume_account_v1 and"
        " close_account_v1, with all below it"
    )
    made = "insert into tandem.account(kind, name, parent_id, tariff_id, currency, status) select 'customer', 'New', 2,"
    assert "close_account_v1" in refused(
        demo, NORTH, f"{made} min(id), 'EUR', 'closed' from tandem.tariff where account_id = 2"
    )
    with acting(demo, NORTH):
        assert demo.one("select tandem.suspend_account_v1(5)") == "active"
        assert demo.one("select tandem.resume_account_v1(5)") == "suspended"


@pytest.mark.parametrize("column", ["lock = 'all'", "lock_note = 'for nothing'"])
def test_an_account_is_locked_by_its_function(demo: Database, column: str) -> None:
    """Which says who and why; and what it said stays."""
    said = refused(demo, NORTH, f"update tandem.account set {column} where id = 5")  # noqa: S608  ours
    assert said == "account 5 'Alpha' is locked and unlocked by tandem.lock_v1, which says who and why"
    demo.run("update tandem.account set lock = 'foreign' where id = 5")  # an operator may


CARRIERS: Final[LiteralString] = "select id, name from tandem.peering_group"


def test_carriers_above_are_a_name(demo: Database) -> None:
    """Neither priority nor share nor caps of them: their rows are not read, and what stands for them has no more."""
    above = demo.one("select id from tandem.peering_group where name = 'acme'")
    with acting(demo, NORTH):
        assert demo.run(CARRIERS) == []
        record = "select id, name, enabled, priority, share, tariff_id from tandem.carrier_record where id = %s"
        assert demo.run(record, above) == [(above, "acme", True, None, None, None)]
        assert demo.one("select tandem.names_carrier(array(select id from tandem.peering_server))") == []
    demo.run("delete from tandem.account_grant where right_name = 'carriers_seen'")
    with acting(demo, NORTH):
        assert demo.run("select id from tandem.carrier_record") == []
    assert demo.one("select count(*) from tandem.carrier_record") == demo.one(
        "select count(*) from tandem.peering_group"
    )


def test_carriers_above_are_listed_by_name(demo: Database) -> None:
    world = TenantWorld(demo)
    listed = {row["name"]: row for row in world.json("peering list --as North")}
    assert (listed["acme"]["enabled"], listed["acme"]["priority"], listed["acme"]["tariff"]) == (True, None, None)
    assert "priority" not in world.run("peering show acme --as North")
    assert "does not exist" in world.refused("peering set acme --priority 3 --as Alpha")


def _tenants_server(database: Database, host: str = "sip.north.example") -> int:
    database.run("insert into tandem.account_grant(account_id, right_name) values (2, 'carriers_own')")
    database.run("select world.carrier_of('North', 'ours', '192.0.2.10', 5080, '44', '0.003')")
    return int(database.one("select world.server_named('ours', 'named', %s, 5060)", host))


NOWHERE: Final = (
    "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.9.9.9", "169.254.169.254", "224.0.0.1", "240.0.0.1", "255.255.255.255",  # noqa: S104
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "fe80::1", "ff02::1",
)  # fmt: skip


@pytest.mark.parametrize("address", NOWHERE)
def test_what_is_no_host_of_others(demo: Database, address: str) -> None:
    """A tenant's server is not there: by its address, by an alias, nor by a name."""
    server = _tenants_server(demo)
    refusal = f"server: the address '{psycopg_host(demo, address)}' is not available"
    for column in ("address = '{}'", "aliases = array['{}'::cidr]"):
        text = f"update tandem.peering_server set {column.format(address)} where name = 'ours'"  # noqa: S608  ours
        assert refused(demo, NORTH, text) == refusal
    written = "insert into tandem.peering_server_address(server_id, address) values (%s, %s)"
    assert demo.refused(written, server, address) == "the address is not available"


def psycopg_host(database: Database, address: str) -> str:
    """Return an address as Postgres writes it."""
    return str(database.one("select host(%s::inet)", address))


def test_a_name_is_no_way_to_others_addresses(demo: Database) -> None:
    """Judged as the tenant's own word would be: not where those are whom it does not see, and told in no more words."""
    server = _tenants_server(demo)
    demo.run("select world.trusted('carol@b.example', '203.0.113.9', 'udp')")
    demo.run("select world.trusted('alice@a.example', '203.0.113.77', 'udp')")
    demo.run("select world.carrier_of('North', 'second', '192.0.2.20', 5080, '44', '0.003')")
    written = "insert into tandem.peering_server_address(server_id, address) values (%s, %s)"
    acme = demo.one("select host(address) from tandem.peering_server where name = 'acme'")
    for address in (acme, "203.0.113.9", "203.0.113.77", "192.0.2.20"):
        assert demo.refused(written, server, address) == "the address is not available"
    demo.run(written, server, "198.51.100.9")
    assert demo.one("select count(*) from tandem.peering_server_address where server_id = %s", server) == 1
    named = demo.one("select world.server_named('acme', 'looped', 'sip.acme.example', 5060)")
    demo.run(written, named, "127.0.1.77")  # the platform's own may be here


MEDIA: Final = "insert into tandem.media_server(account_id, name, address, port) values (2, 'ivr', '{}', {})"


@pytest.mark.parametrize("address", ["10.0.0.5", "172.31.0.1", "192.168.1.1", "100.64.0.9", "fd00::1"])
def test_private_networks_are_the_platforms(demo: Database, address: str) -> None:
    """A node that connects there writes what a caller chose to whoever listens."""
    said = refused(demo, NORTH, MEDIA.format(address, 0))
    assert said == f"media server: {address} is a private address; calls are sent there only where the platform says so"
    demo.run(MEDIA.format(address, 0).encode())  # an operator may
    with acting(demo, NORTH):
        demo.run("update tandem.media_server set name = 'voice' where name = 'ivr'")  # and it stays


@pytest.mark.parametrize("port", [5432, 6379, 6432, 16379, 26379])
def test_no_calls_to_the_port_of_a_database(demo: Database, port: int) -> None:
    assert refused(demo, NORTH, MEDIA.format("198.51.100.7", port)) == f"media server: the port {port} is not available"
    with acting(demo, NORTH):
        demo.run(MEDIA.format("198.51.100.7", 5070).encode())
    change = f"update tandem.media_server set port = {port}"  # noqa: S608  ours
    assert refused(demo, NORTH, change) == f"media server: the port {port} is not available"


def test_a_carrier_is_not_where_calls_of_others_go(demo: Database) -> None:
    """Whoever came first; it would take them for ours. Of its own account it is that account's affair."""
    with acting(demo, NORTH):
        demo.run(MEDIA.format("198.51.100.7", 0).encode())
    demo.run("update tandem.subscriber set kind = 'ip_trunk' where username = 'bob'")
    demo.run(
        "insert into tandem.trunk_place(subscriber_id, address)"
        " select id, '198.51.100.8' from tandem.subscriber where username = 'bob'"
    )
    account = demo.one("select account_id from tandem.subscriber where username = 'bob'")
    place = demo.one("select id from tandem.trunk_place where address = '198.51.100.8'")
    ivr = demo.one("select id from tandem.media_server where name = 'ivr'")
    change = "update tandem.peering_server set address = %s where name = 'acme'"
    assert demo.refused(change, "198.51.100.7") == (
        f"server 'acme': 198.51.100.7 is the address of media server {ivr} 'ivr' of account 2,"
        " whose calls would go to the carrier"
    )
    assert demo.refused("update tandem.peering_server set aliases = '{198.51.100.0/24}' where name = 'acme'")
    assert demo.refused(change, "198.51.100.8") == (
        f"server 'acme': 198.51.100.8 is the address of place {place} of trunk 'bob' of account {account},"
        " whose calls would go to the carrier"
    )
    demo.run(change, "198.51.100.9")
    _tenants_server(demo)
    demo.run("update tandem.peering_server set is_trusted = false where name = 'ours'")
    said = refused(demo, NORTH, "update tandem.peering_server set address = '198.51.100.8' where name = 'ours'")
    assert said == "server 'ours': the address '198.51.100.8' is not available"
    with acting(demo, NORTH):
        demo.run("update tandem.peering_server set address = '198.51.100.7' where name = 'ours'")


@pytest.mark.parametrize("port", [5432, 6379, 26379])
def test_no_server_at_the_port_of_a_database(demo: Database, port: int) -> None:
    _tenants_server(demo)
    said = refused(demo, NORTH, f"update tandem.peering_server set port = {port} where name = 'named'")  # noqa: S608  ours
    assert said == f"server 'named': the port {port} is not available"
    demo.run("update tandem.peering_server set port = %s where name = 'named'", port)


def _locked_line(database: Database) -> None:
    """Let North have locked alice of Alpha, who has a number and a trusted source; bob is another line of Alpha."""
    database.run("select world.subscriber('bob2@a.example', 'Alpha', 'bob-secret')")
    database.run("select world.trusted('alice@a.example', '203.0.113.77', 'udp')")
    with acting(database, NORTH):
        database.run("update tandem.subscriber set lock = 'outgoing' where username = 'alice'")


BOUND: Final = (
    "subscriber 'alice' is locked by an account above it: its numbers and trusted sources stay with it,"
    " and it stays in its account under its name"
)
ADDED: Final = "insert into tandem.trusted_source(subscriber_id, network, from_pattern)"
MOVES: Final = (
    f"update tandem.number set subscriber_id = {LINE.format('bob2')} where subscriber_id = {LINE.format('alice')}",  # noqa: S608
    f"update tandem.number set subscriber_id = null where subscriber_id = {LINE.format('alice')}",  # noqa: S608
    f"update tandem.trusted_source set subscriber_id = {LINE.format('bob2')} where network = '203.0.113.77/32'",  # noqa: S608
    "update tandem.trusted_source set network = '203.0.113.78/32' where network = '203.0.113.77/32'",
    "delete from tandem.trusted_source where network = '203.0.113.77/32'",
    f"{ADDED} values ({LINE.format('bob2')}, '203.0.113.77/32', '^sip:')",
    f"{ADDED} values ({LINE.format('bob2')}, '203.0.113.0/24', '^sip:')",
    "delete from tandem.subscriber where username = 'alice'",
)


@pytest.mark.parametrize("statement", MOVES)
def test_what_a_locked_line_has_stays_with_it(demo: Database, statement: str) -> None:
    """For the account that the lock binds; those above it do as they like, and without a lock the account too."""
    _locked_line(demo)
    assert refused(demo, ALPHA, statement) == BOUND
    with demo.connection.transaction(force_rollback=True), acting(demo, NORTH):
        demo.connection.execute("savepoint here")
        try:
            demo.run(statement.encode())
        except psycopg.errors.ForeignKeyViolation:  # a line that has a number
            demo.connection.execute("rollback to here")
    demo.run("update tandem.subscriber set lock = 'none' where username = 'alice'")
    with acting(demo, ALPHA):
        demo.connection.execute("savepoint here")
        try:
            demo.run(statement.encode())
        except psycopg.errors.ForeignKeyViolation:
            demo.connection.execute("rollback to here")


def test_a_locked_line_does_not_leave_the_account(demo: Database) -> None:
    """Below another one its own account would be above it, and could lift the lock."""
    demo.run("select world.domain('f.example', 'Fjord'), world.subscriber('finn@f.example', 'Fjord', 'secret')")
    demo.run("update tandem.subscriber set lock = 'all' where username = 'finn'")
    below = "(select id from tandem.account where parent_id = 4 limit 1)"
    text = f"update tandem.subscriber set account_id = {below} where username = 'finn'"  # noqa: S608  ours
    assert "it stays in its account" in refused(demo, FJORD, text)


def test_the_rest_of_a_locked_line_is_its_accounts(demo_database: Database) -> None:
    demo = demo_database
    _locked_line(demo)
    with acting(demo, ALPHA):
        demo.run("update tandem.subscriber set clir = true where username = 'alice'")
        demo.run("update tandem.number set status = 'suspended'")
        demo.run("update tandem.trusted_source set enabled = false")
    world = TenantWorld(demo)
    said = world.refused("number set 442079460001 --subscriber bob2@a.example --as Alpha")
    assert said.endswith(BOUND)
    assert json.loads(world.run("subscriber show alice@a.example --as Alpha --json"))["lock"] == "outgoing"
