"""The outbox names every value of Redis that a statement touched: found by comparing the views before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from tests.fix_postgres import Database
from tools.sync.rest import CHANNEL, LOCK_ID

# A rate set and its rates are immutable once ready: its change to ready is the one change there is.
SILENT = {
    ("rate_set", "rate_class"),
    ("rate_set", "rate_period"),
    ("rate_set", "rate_class_period"),
    ("rate", "rate"),
    ("rate", "rate_set"),
    ("rate", "rate_field"),
}

ONES = {("masks", "masks"), ("peers", "peers")}  # what any change of a carrier may change

LONG_DISABLED = b"""
update tandem.peering_group set enabled = false, disabled_at = now() - interval '31 days' where name = %s
"""
_DEPENDENCIES = """
select distinct view.relname, used.relname
  from pg_depend d
  join pg_rewrite r on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass
  join pg_class view on view.oid = r.ev_class
  join pg_class used on used.oid = d.refobjid and d.refclassid = 'pg_class'::regclass
 where view.relnamespace = 'sync'::regnamespace and used.relnamespace = 'tandem'::regnamespace and used.relkind = 'r'
"""
_FEEDS = """
select c.relname::text, t.tgname, t.tgargs
  from pg_trigger t join pg_class c on c.oid = t.tgrelid where t.tgname like 'outbox\\_%' and t.tgenabled = 'O'
"""
CHANGES = [
    change
    for change in Path(__file__).with_name("sql_changes.sql").read_text(encoding="utf-8").split("\n\n")
    if not change.startswith("--")
]


def _views(database: Database) -> list[str]:
    return [
        name for (name,) in database.run("select viewname from pg_views where schemaname = 'sync'") if name != "rate"
    ]


def _state(database: Database) -> dict[tuple[str, str], Any]:
    """Return (view, name) -> row, of all views."""
    return {
        (view, name): row
        for view in _views(database)
        for name, *row in database.connection.execute(sql.SQL("select * from sync.{}").format(sql.Identifier(view)))
    }


def test_every_dependency_is_fed(demo: Database) -> None:
    """Each table that a view reads has triggers on every kind of change that name this view."""
    feeds: dict[tuple[str, str], set[str]] = {}
    for table, trigger, arguments in demo.run(_FEEDS):
        for kind in bytes(arguments).decode().split("\0")[0:-1:2]:
            feeds.setdefault((kind, table), set()).add(trigger)
    dependencies = set(demo.run(_DEPENDENCIES)) - SILENT
    assert {kind for kind, _ in feeds} == set(_views(demo))
    assert dependencies <= feeds.keys()
    for triggers in feeds.values():
        assert triggers == {"outbox_insert", "outbox_update", "outbox_delete", "outbox_truncate"}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_in_the_outbox(demo: Database, change: str) -> None:
    """Every row of every view that the change made, altered or removed is named, and something did change."""
    demo.outbox()
    before = _state(demo)
    demo.run(change.encode())
    after = _state(demo)
    touched = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert touched
    assert touched <= demo.outbox()


def test_renamed_domain(demo: Database) -> None:
    """A renamed domain names its subscribers by the old and the new address, and all that mentions them."""
    demo.outbox()
    demo.run("update tandem.sip_domain set name = 'c.example' where name = 'b.example'")
    assert demo.outbox() == {
        ("sip_domain", "dom:b.example"),
        ("sip_domain", "dom:c.example"),
        ("subscriber", "sub:carol@b.example"),
        ("subscriber", "sub:carol@c.example"),
        ("subscriber", "sub:dave@b.example"),
        ("subscriber", "sub:dave@c.example"),
        ("number", "num:49891234001"),
    }


def test_moved_address(demo: Database) -> None:
    """A server's old and new networks are named, with the masks and its group."""
    demo.outbox()
    demo.run("update tandem.peering_server set address = '127.0.1.9', aliases = '{127.0.9.0/24}' where id = 1")
    assert demo.outbox() == {
        ("peering_group", "pg:1"),
        ("sources", "src:127.0.1.1/32"),
        ("sources", "src:127.0.1.9/32"),
        ("sources", "src:127.0.9.0/24"),
        *ONES,
    }


def test_first_and_last_carrier(demo: Database) -> None:
    """A carrier that comes or goes names its owner's account, and its rules go with it; one that changes does not."""
    demo.run("select world.carrier_of('North', 'spare', '127.0.1.8', 5080, '44', '0.001')")
    demo.run(LONG_DISABLED, "spare")
    demo.run("delete from tandem.peering_group where name = 'spare'")
    deck = demo.one("select id from tandem.tariff where name = 'deck of spare'")
    demo.outbox()
    demo.run("insert into tandem.peering_group(account_id, name, tariff_id) values (2, 'own', %s)", deck)
    group = demo.one("select id from tandem.peering_group where name = 'own'")
    assert demo.outbox() == {("peering_group", f"pg:{group}"), ("account", "acct:2"), *ONES}
    demo.run("insert into tandem.peering_rule(group_id, callee_prefix) values (%s, '44'), (%s, '')", group, group)
    assert demo.outbox() == {("peering_rules", "rules:2:44"), ("peering_rules", "rules:2:")}
    demo.run("update tandem.peering_group set priority = 7 where name = 'own'")
    assert demo.outbox() == {("peering_group", f"pg:{group}"), *ONES}
    demo.run(LONG_DISABLED, "own")
    demo.outbox()
    demo.run("delete from tandem.peering_group where name = 'own'")
    assert demo.outbox() == {
        ("peering_group", f"pg:{group}"),
        ("account", "acct:2"),
        *ONES,
        ("peering_rules", "rules:2:44"),
        ("peering_rules", "rules:2:"),
    }


def test_a_rule_that_changes_hands(demo: Database) -> None:
    """A rule given to another owner's carrier is named by the old and the new owner."""
    own = demo.one("select world.carrier_of('North', 'own', '127.0.1.8', 5080, '44', '0.001')")
    demo.run("insert into tandem.peering_rule(group_id, callee_prefix) values (1, '44')")
    demo.outbox()
    demo.run("update tandem.peering_rule set group_id = %s where callee_prefix = '44'", own)
    assert demo.outbox() == {("peering_rules", "rules:1:44"), ("peering_rules", "rules:2:44")}


def test_suspended_account(demo: Database) -> None:
    """Suspending a reseller touches its own values only, however many accounts are below it."""
    demo.outbox()
    demo.run("update tandem.account set status = 'suspended' where name = 'North'")
    assert demo.outbox() == {("account", "acct:2"), ("fund_terms", "2:EUR")}


def test_rates_are_silent(demo: Database) -> None:
    """Loading rates writes nothing; the set becoming ready is one row, the pointer another (and the carrier's)."""
    demo.outbox()
    made = demo.one("insert into tandem.rate_set(tariff_id, version) values (4, 2) returning id")
    demo.run("insert into tandem.rate_class(rate_set_id, idx, per_min_micros) values (%s, 0, 5)", made)
    with demo.connection.cursor().copy("copy tandem.rate from stdin") as copy:
        for prefix in range(1000, 2000):
            copy.write_row((made, str(prefix), 0))
    assert demo.outbox() == set()
    demo.run("update tandem.rate_set set state = 'ready' where id = %s", made)
    assert demo.outbox() == {("rate_set", f"rset:{made}")}
    demo.run("update tandem.tariff set rate_set_id = %s where id = 4", made)
    assert demo.outbox() == {("tariff", "tar:4")}


def test_truncate_is_a_reset(demo: Database) -> None:
    """TRUNCATE names no rows: it says * for every kind that the table feeds."""
    demo.outbox()
    demo.run("truncate tandem.trusted_source")
    assert demo.outbox() == {("sources", "*"), ("masks", "*")}


def test_one_notification_per_statement(demo_database: Database) -> None:
    """Any number of rows wakes the syncer once; a statement that finds no row does not, nor any while it is awake."""
    with demo_database.connect() as syncer:
        syncer.execute(f"listen {CHANNEL}")
        demo_database.run("update tandem.subscriber set status = 'suspended'")
        syncer.execute("select pg_advisory_lock(%s)", (LOCK_ID,))
        demo_database.run("update tandem.subscriber set status = 'active'")
        demo_database.run("update tandem.subscriber set status = 'active' where username = 'nobody'")
        demo_database.run(f"notify {CHANNEL}, 'end'")
        assert [notice.payload for notice in syncer.notifies(timeout=10, stop_after=2)] == ["", "end"]


def test_a_syncer_does_not_fall_asleep_while_one_commits_that_does_not_notify(demo_database: Database) -> None:
    with demo_database.connect() as syncer, demo_database.connect() as writer:
        with writer.transaction():
            writer.execute("update tandem.subscriber set status = 'suspended'")
            assert syncer.execute("select pg_try_advisory_lock(%s)", (LOCK_ID,)).fetchone() == (False,)
        assert syncer.execute("select pg_try_advisory_lock(%s)", (LOCK_ID,)).fetchone() == (True,)


def test_what_a_name_stands_for(demo: Database) -> None:
    """A server's resolved address names its source and its group; a server that goes takes them with it."""
    demo.run("select world.server_named('acme', 'by name', 'sbc.acme.example', 5060)")
    demo.outbox()
    resolved = {("peering_group", "pg:1"), ("sources", "src:192.0.2.9/32"), ("masks", "masks")}
    demo.run("select world.resolved('by name', '192.0.2.9')")
    assert demo.outbox() == resolved
    demo.run("update tandem.peering_server_address set resolved_at = now()")
    assert demo.outbox() == resolved
    demo.run("update tandem.peering_server set enabled = false where name = 'by name'")
    assert demo.outbox() == resolved | ONES
    demo.run("delete from tandem.peering_server where name = 'by name'")
    assert demo.outbox() == resolved | ONES


def test_a_destination_of_one_digit(demo: Database) -> None:
    """It stands in the ten records that its numbers are looked up in; a longer one in one."""
    demo.outbox()
    demo.run("select world.destination('4', 180), world.destination('4420', 95)")
    assert demo.outbox() == {("destinations", f"dest:4{digit}") for digit in range(10)}
    demo.run("select world.destination('4420', 96)")
    assert demo.outbox() == {("destinations", "dest:44")}
