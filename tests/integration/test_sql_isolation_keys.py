"""What tenants took by keys, names, shares, locks and wishes of their own making."""

from __future__ import annotations

from typing import Final

import pytest

from tests.fix_postgres import Database
from tests.integration.test_sql_isolation_bypasses import ALPHA, FJORD, NORTH, acting, refused
from tests.tenant_world import TenantWorld

SOUTH, BETA, GAMMA = 3, 6, 7
MADE: Final = "(select tariff_id from tandem.account where id = 5), 'EUR'"
COLUMNS: Final = "kind, name, parent_id, tariff_id, currency"
KEYED: Final = (
    f"insert into tandem.account(id, {COLUMNS}) overriding system value values (0, 'customer', 'z', 2, {MADE})",  # noqa: S608
    "insert into tandem.number(id, account_id, e164) overriding system value values (500, 2, '999990000')",
    "insert into tandem.rewrite_set(id, account_id, name) overriding system value values (-7, 2, 'x')",
    "insert into tandem.tariff(id, account_id, name, currency) overriding user value values (700, 2, 'x', 'EUR')",
    "merge into tandem.contact t using (values (9)) as s on false when not matched then"  # noqa: ISC004
    " insert (id, email) overriding system value values (9, 'a')",
    "update tandem.contact set id = default",
)


@pytest.mark.parametrize("statement", KEYED)
def test_keys_come_from_the_sequence_alone(demo: Database, statement: str) -> None:
    """One of its own choice would be nobody's (0), a removed account's with its history, or stop the sequence."""
    assert refused(demo, NORTH, statement).startswith("permission denied for table ")


def test_account_0_is_not_even_the_platforms(demo: Database) -> None:
    """Workers and calls say 0 for nobody."""
    said = demo.refused(
        "insert into tandem.account(id, parent_id, kind, name, tariff_id, currency) overriding system value"
        " select 0, 2, 'customer', 'zero', tariff_id, 'EUR' from tandem.account where id = 5"
    )
    assert "account_id_is_above_zero" in said


@pytest.mark.parametrize("table", ["account", "tariff", "rewrite_set", "time_set", "barring_level", "peering_group"])
def test_new_names_are_no_paths(demo: Database, table: str) -> None:
    """Who is called South/Gamma would be paid instead of South's Gamma; an old name of the kind stays as it is."""
    demo.run("insert into tandem.rewrite_set(account_id, name) values (2, 'x')")
    demo.run("insert into tandem.time_set(account_id, name) values (2, 'x')")
    demo.run("insert into tandem.barring_level(account_id, name, mode) values (2, 'x', 'blacklist')")
    last = f"(select max(id) from tandem.{table})"  # noqa: S608  ours
    said = demo.refused(f"update tandem.{table} set name = 'A/S' where id = {last}".encode())  # noqa: S608
    assert said == f"{table.replace('_', ' ')} 'A/S': a name has no /, which stands between the names of a path"


def _old_names(database: Database) -> None:
    """Let North have a customer and a tariff that are called as paths are written, from before names had no slash."""
    with database.connection.transaction():
        database.run("set local session_replication_role = replica")
        database.run("update tandem.account set name = 'South/Gamma' where id = 5")
        database.run("update tandem.tariff set name = 'South/retail' where account_id = 2 and name = 'retail'")


def test_a_path_is_a_path(demo_database: Database) -> None:
    """Whatever is called so; and a name with a slash that begins with nobody's name is found still."""
    _old_names(demo_database)
    world = TenantWorld(demo_database)
    assert world.json("account show South/Gamma")["id"] == GAMMA
    assert world.json("tariff show South/retail")["id"] == demo_database.one(
        "select id from tandem.tariff where account_id = 3"
    )
    assert "does not exist" in world.refused("account show South/Nobody")
    demo_database.run("select tandem.lock_v1(5, 'foreign', 'noc', 'it can be locked')")
    with demo_database.connection.transaction():
        demo_database.run("set local session_replication_role = replica")
        demo_database.run("update tandem.account set name = 'Foo A/S' where id = 5")
    assert world.json("account show 'Foo A/S'")["id"] == ALPHA
    said = world.refused("account add South/Gamma --parent North --kind customer --tariff dealer --as North")
    assert "a name has no /" in said


def test_what_an_account_shares_is_its_own_to_say(demo: Database) -> None:
    """Neither its parent says so, nor whoever makes it; the platform may."""
    sentence = "share_children is its own to say: who is below it, those above it see only if it wants"
    text = f"update tandem.account set share_children = true where id = {FJORD}"  # noqa: S608  ours
    assert refused(demo, NORTH, text) == f"account 'Fjord': {sentence}"
    made = "insert into tandem.account(parent_id, kind, name, tariff_id, currency, share_children)"
    assert refused(demo, NORTH, f"{made} values (2, 'reseller', 'New', {MADE}, true)") == f"account 'New': {sentence}"
    with acting(demo, FJORD):
        demo.run("update tandem.account set share_children = true where id = 4")
    with acting(demo, NORTH):
        assert (BETA,) in demo.run("select id from tandem.account")
    demo.run("update tandem.account set share_children = false where id = 4")


def test_who_locked_lowers(demo: Database) -> None:
    """What the platform has locked a reseller does not unlock below itself; it may only say more."""
    demo.run("select tandem.act_as_v1(1, 'noc')")
    demo.run("select tandem.lock_v1(5, 'outgoing', 'noc', 'fraud')")
    sentence = "account 5 was locked by one above this one: that one, or one above it, lowers its lock"
    for lock in ("none", "foreign", "outgoing"):
        assert refused(demo, NORTH, f"select tandem.lock_v1(5, '{lock}', 'n', 'n')") == sentence
    with acting(demo, NORTH):
        assert demo.one("select tandem.lock_v1(5, 'global', 'n', 'n')") == "outgoing"
    assert refused(demo, NORTH, "select tandem.lock_v1(5, 'outgoing', 'n', 'n')") == sentence
    demo.run("select tandem.lock_v1(5, 'none', 'noc', 'paid')")
    with acting(demo, NORTH):
        demo.run("select tandem.lock_v1(5, 'all', 'n', 'its own'), tandem.lock_v1(5, 'none', 'n', 'its own')")
        demo.run("select tandem.lock_v1(5, 'all', 'n', 'its own')")
    demo.run("select tandem.lock_v1(5, 'none', 'noc', 'one above may')")
    assert demo.one("select count(*) from tandem.account_hold") == 0


def test_who_suspended_resumes(demo: Database) -> None:
    """A reseller that suspends what is suspended takes nothing over."""
    demo.run("select tandem.suspend_account_v1(5)")
    with acting(demo, NORTH):
        demo.run("select tandem.suspend_account_v1(5)")
    assert refused(demo, NORTH, "select tandem.resume_account_v1(5)") == (
        "account 5 'Alpha' was suspended by one above this one: that one, or one above it, resumes it"
    )
    demo.run("select tandem.resume_account_v1(5)")
    with acting(demo, NORTH):
        demo.run("select tandem.suspend_account_v1(5)")
        assert demo.one("select tandem.resume_account_v1(5)") == "suspended"


def test_who_is_not_above_any_more_holds_nobody(demo: Database) -> None:
    """South locked it, and then it came below North; and a threshold's lock is anybody's above."""
    demo.run("update tandem.account set lock = 'all' where id = 5")
    demo.run("insert into tandem.account_hold(account_id, kind, set_by) values (5, 'lock', 3)")
    with acting(demo, NORTH):
        assert demo.one("select tandem.lock_v1(5, 'none', 'n', 'n')") == "all"
    demo.run("update tandem.account set lock = 'all' where id = 5")
    with acting(demo, NORTH):
        assert demo.one("select tandem.lock_v1(5, 'none', 'n', 'n')") == "all"


def _grant(database: Database, account: int, *rights: str) -> None:
    for right in rights:
        database.run(
            "insert into tandem.account_grant(account_id, right_name) values (%s, %s) on conflict do nothing",
            account, right,
        )  # fmt: skip


def _move_gamma(database: Database) -> None:
    """Let Gamma, without its lines, come from South below North."""
    database.run("delete from tandem.number where account_id = 7")
    lines = database.run("select id from tandem.subscriber where account_id = 7")
    database.run("delete from tandem.trusted_source where subscriber_id = any (%s)", [line for (line,) in lines])
    database.run("delete from tandem.subscriber where account_id = 7")
    tariff = database.one("select tariff_id from tandem.account where id = 5")
    database.run("select tandem.move_account_v1(7, 2, %s)", tariff)


def test_a_wish_is_one_of_the_parent(demo: Database) -> None:
    """What the former parent called its payment is neither told nor taken for the new one's."""
    _grant(demo, NORTH, "money")
    _grant(demo, SOUTH, "money")
    with acting(demo, SOUTH):
        first = demo.one("select tandem.move_v1(7, 123456789, 'topup', 'x', 'x', '2026-11')")
        assert demo.one("select tandem.move_v1(7, 123456789, 'topup', 'x', 'x', '2026-11')") == first
    _move_gamma(demo)
    with acting(demo, NORTH):
        second = demo.one("select tandem.move_v1(7, 123456789, 'topup', 'x', 'x', '2026-11')")
        assert demo.one("select tandem.move_v1(7, 123456789, 'topup', 'x', 'x', '2026-11')") == second
    assert first != second


def test_a_wish_of_before_this_release_is_known(demo: Database) -> None:
    """The parent was no part of its name: it is found under the old one, as long as it was that parent's."""
    old = demo.one("select tandem.posting_id_v1('topup 7 old')")
    demo.run(
        "insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin, note, actor)"
        " select tandem.posting_id_v1(%s::text || s.book), %s, s.id, trim(s.book), 'EUR', s.micros, 'pg', 'n', 'a'"
        " from (values (7, ' fund', 5), (3, ' cash', -5)) as s(id, book, micros)",
        str(old), old,
    )  # fmt: skip
    assert demo.one("select tandem.move_v1(7, 5, 'topup', 'x', 'x', 'old')") == old
    _move_gamma(demo)
    assert demo.one("select tandem.move_v1(7, 5, 'topup', 'x', 'x', 'old')") != old


def test_the_actor_of_money_is_no_word_of_a_tenant(demo: Database) -> None:
    _grant(demo, SOUTH, "money")
    with acting(demo, SOUTH):
        moved = demo.one("select tandem.move_v1(7, 1000000, 'credit', 'goodwill', 'root@platform')")
        demo.one("select tandem.reverse_v1(%s, 'n', 'root@platform')", moved)
    said = demo.run("select distinct actor from tandem.ledger_entry where %s in (txn_id, reverses)", moved)
    assert said == [("a test",)]


def test_the_balance_of_a_move_is_not_reversed(demo: Database) -> None:
    """Both parents' books would be wrong by it; and what is no carrier's wants the right money."""
    _grant(demo, NORTH, "carriers_own", "money")
    demo.run("select tandem.move_v1(7, 5000000, 'topup', 'n', 'a')")
    _move_gamma(demo)
    txn = demo.one("select txn_id from tandem.ledger_entry where note like '% came with its balance'")
    assert demo.refused("select tandem.reverse_v1(%s, 'n', 'forged')", txn) == (
        f"transaction {txn} is the balance that came along with an account that moved: move the account back instead"
    )


def test_windows_of_accounts_that_are_not_seen(demo: Database) -> None:
    with acting(demo, NORTH):
        for account in (GAMMA, 99):
            assert demo.one("select tandem.is_window_since(%s, 20261122, '2026-11-21')", account) is None
        assert demo.one("select tandem.is_window_since(5, 20261122, '2026-11-21')") is True


def test_a_locked_line_keeps_its_name(demo: Database) -> None:
    """Its account would make another one of that name, without the lock."""
    demo.run("update tandem.subscriber set lock = 'global' where username = 'alice'")
    said = refused(demo, ALPHA, "update tandem.subscriber set username = 'old-alice' where username = 'alice'")
    assert said.endswith("it stays in its account under its name")


def test_a_tenants_source_keeps_no_carrier_of_the_platform_out(demo: Database) -> None:
    """What an operator wrote does; a tenant's word is not known to be true."""
    server = demo.one("select world.server_named('acme', 'named', 'sip.acme.example', 5060)")
    written = "insert into tandem.peering_server_address(server_id, address) values (%s, %s)"
    with acting(demo, ALPHA):
        demo.run(
            "insert into tandem.trusted_source(subscriber_id, network, transport, is_vouched)"
            " select id, '203.0.113.128/25', 'udp', true from tandem.subscriber where username = 'alice'"
        )
    demo.run(written, server, "203.0.113.130")
    demo.run("select world.trusted('alice@a.example', '203.0.113.7', 'udp')")
    assert "lies in network 203.0.113.7/32 of trusted source" in demo.refused(written, server, "203.0.113.7")
    demo.run("update tandem.trusted_source set is_vouched = true where network = '203.0.113.128/25'")
    assert "lies in network" in demo.refused(written, server, "203.0.113.131")


def test_a_tenant_has_a_hundred_names_of_servers(demo: Database) -> None:
    _grant(demo, NORTH, "carriers_own")
    demo.run("select world.carrier_of('North', 'ours', '192.0.2.10', 5080, '44', '0.003')")
    made = (
        "insert into tandem.peering_server(group_id, name, host, port, is_trusted) select id, 'h' || n,"
        " 'h' || n || '.silent.example', 5060, false from tandem.peering_group, generate_series(1, {}) as n"
        " where name = 'ours'"
    )
    assert refused(demo, NORTH, made.format(101)) == (
        "server 'h101': its account has 100 servers with names, and may have no more"
    )
    with acting(demo, NORTH):
        demo.run(made.format(100).encode())
