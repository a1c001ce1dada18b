"""What the catalogue says about the schema: every thing explained, every right meant."""

from __future__ import annotations

from typing import Final

import psycopg
import pytest

from tests.fix_postgres import Database

_UNEXPLAINED: Final = {
    "tables and views": """
        select c.oid::regclass::text from pg_class c
         where c.relnamespace in ('tandem'::regnamespace, 'sync'::regnamespace) and c.relkind in ('r', 'v')
           and obj_description(c.oid, 'pg_class') is null""",
    "columns": """
        select c.oid::regclass || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
         where c.relnamespace = 'tandem'::regnamespace and c.relkind in ('r', 'v')
           and a.attnum > 0 and not a.attisdropped and col_description(c.oid, a.attnum) is null""",
    "functions": """
        select p.oid::regprocedure::text from pg_proc p
         where p.pronamespace = 'tandem'::regnamespace and obj_description(p.oid, 'pg_proc') is null""",
    "types": """
        select t.oid::regtype::text from pg_type t
         where t.typnamespace = 'tandem'::regnamespace and t.typtype = 'd'
           and obj_description(t.oid, 'pg_type') is null""",
    "sequences": """
        select c.oid::regclass::text from pg_class c
         where c.relnamespace = 'tandem'::regnamespace and c.relkind = 'S' and c.relname like 'sync%'
           and obj_description(c.oid, 'pg_class') is null""",
}
# What each role may write. Whatever is not here it may not.
_WRITES: Final = {
    "tandem_sync": {
        "outbox": {"DELETE"},
        "generation": {"INSERT"},
        "sync_applied": {"INSERT", "DELETE"},
        "sync_state": {"UPDATE"},
        "peering_server_address": {"INSERT", "UPDATE", "DELETE"},
        "peering_server_lookup": {"INSERT", "UPDATE"},
    },
    "tandem_settle": {
        "ledger_entry": {"INSERT"},
        "cdr": {"INSERT", "UPDATE"},
        "cdr_leg": {"INSERT", "UPDATE", "DELETE"},
        "epoch": {"INSERT", "UPDATE"},
        "node": {"INSERT", "UPDATE"},
        "event_poison": {"INSERT", "DELETE"},
        "fund_loss": {"INSERT"},
        "event_dropped": {"INSERT"},
        "recovery": {"INSERT"},
        "noc_measure": {"INSERT"},
        "recovery_step": {"INSERT"},
        "posting": {"UPDATE"},
        "server_quality": {"INSERT", "UPDATE", "DELETE"},
        "cdr_attempt": {"INSERT", "DELETE"},
        "server_calls": {"INSERT", "DELETE"},
    },
}
_KEPT_BY_TRIGGERS: Final = {
    "visibility",
    "account_move",
    "account_hold",
    "fund_credit",
    "ledger_entry",
    "outbox",
    "audit",
    "migration",
    "cdr",
    "cdr_leg",
    "fund_charge",
    "fund_window",
    "fund_calendar",
    "threshold_state",
    "alert",
    "carrier_owed",
    "carrier_state",
    "ledger_unbalanced",
    "horizon",
    "fund_loss",
    "event_dropped",
    "noc_measure",
    "recovery",
    "generation",
    "sync_applied",
    "sync_state",
    "server_quality",
    "peering_server_address",
    "cdr_attempt",
    "server_calls",
    "rate_set_unused",
    "peering_server_lookup",
}
_UNUSED: Final = {  # by the demo world
    "time_set", "barring_level", "ported_number", "destinations", "user", "ring_group", "callflow", "extension",
    "media_server",
}  # fmt: skip


@pytest.mark.parametrize("what", _UNEXPLAINED)
def test_everything_is_explained(demo: Database, what: str) -> None:
    """COMMENT ON stands at every table, column, function, type and sequence."""
    assert demo.run(_UNEXPLAINED[what].encode()) == []


def test_definers_fix_their_search_path(demo: Database) -> None:
    """A function that runs with its owner's rights looks nowhere but in pg_catalog for unqualified names."""
    rows = demo.run(
        "select p.oid::regproc::text, p.proconfig from pg_proc p"
        " where p.prosecdef and p.pronamespace = 'tandem'::regnamespace"
    )
    assert rows
    assert {name for name, settings in rows if "search_path=pg_catalog, pg_temp" not in (settings or ())} == set()


def test_views_run_with_the_readers_rights(demo: Database) -> None:
    """A view that ran with its owner's rights would be a hole in, or empty behind, the coming row policies."""
    rows = demo.run("select oid::regclass::text, reloptions from pg_class where relkind = 'v' and relnamespace in"
                        " ('sync'::regnamespace, 'tandem'::regnamespace)")  # fmt: skip
    assert {name for name, options in rows if options != ["security_invoker=true"]} == set()


def test_who_owns_it(demo: Database) -> None:
    """Everything belongs to tandem_owner, whoever ran the migrations."""
    assert demo.run(
        "select distinct pg_get_userbyid(relowner) from pg_class where relnamespace in"
        " ('sync'::regnamespace, 'tandem'::regnamespace) and relkind in ('r', 'v', 'S')"
    ) == [("tandem_owner",)]


@pytest.mark.parametrize("role", _WRITES)
def test_what_a_role_may_write(demo: Database, role: str) -> None:
    """Sync and settle write exactly what they are for, and nobody may truncate."""
    writes: dict[str, set[str]] = {}
    for table, right in demo.run(
        "select c.relname, r from pg_class c, unnest(array['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) as r"
        " where c.relnamespace = 'tandem'::regnamespace and c.relkind = 'r' and has_table_privilege(%s, c.oid, r)",
        role,
    ):
        writes.setdefault(table, set()).add(right)
    assert writes == _WRITES[role]


def test_what_tools_may_not_write(demo: Database) -> None:
    """Operators' commands cannot touch what triggers keep, nor post money by hand."""
    for table in _KEPT_BY_TRIGGERS:
        for right in ("INSERT", "UPDATE", "DELETE", "TRUNCATE"):
            assert not demo.one("select has_table_privilege('tandem_tool', 'tandem.' || %s, %s)", table, right), table


def test_tools_configure_and_top_up(demo_database: Database) -> None:
    """The tool's role makes an account, moves it, and credits it: the triggers write with their owner's rights."""
    demo_database.outbox()
    with demo_database.connect("tandem_tool") as tool:
        tool.execute(
            "insert into tandem.account(kind, name, parent_id, tariff_id, currency)"
            " values ('customer', 'T', 2, 6, 'EUR')"
        )
        tool.execute("select tandem.topup_v1(max(id), 5, 'note', 'ann') from tandem.account where name = 'T'")
        tool.execute("delete from tandem.subscriber where username = 'dave'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            tool.execute("insert into tandem.fund_credit values (1, 'EUR', 1, 1)")
    assert {kind for kind, _ in demo_database.outbox()} == {"account", "fund_terms", "subscriber"}


def test_settle_posts(demo_database: Database) -> None:
    """The settle role posts a call with its CDR, and cannot top up."""
    with demo_database.connect("tandem_settle") as settle:
        settle.execute(
            "insert into tandem.cdr(rid, call_id, node, started_at, ended_at, direction, source, account_id, caller,"
            " callee, outcome, sip_status)"
            " values ('r1', 'c', 'n1', now(), now(), 'out', 's', 5, '', '', 'answered', 200)"
            " on conflict (rid) do update set outcome = excluded.outcome"
        )
        settle.execute(
            "insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin, rid, level,"
            " seq, epoch, fund_n)"
            " values (md5('a')::uuid, md5('t')::uuid, 5, 'fund', 'EUR', 0, 'redis', 'r1', 1, 1, 1, 1)"
            " on conflict do nothing"
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            settle.execute("select tandem.topup_v1(5, 5, 'note', 'me')")


def test_sync_reads_and_clears(demo_database: Database) -> None:
    """The sync role reads every view with row security off, draws passes, and deletes what it has applied."""
    with demo_database.connect("tandem_sync") as sync:
        sync.execute("set row_security = off")
        for view, query in demo_database.run(
            "select viewname, format('select count(*) from sync.%I', viewname) from pg_views where schemaname = 'sync'"
        ):
            row = sync.execute(query.encode()).fetchone()
            assert row is not None
            assert (row[0] > 0) is (view not in _UNUSED), view
        assert sync.execute("select nextval('tandem.sync_fence'), nextval('tandem.sync_pass')").fetchone() == (1, 1)
        assert sync.execute("delete from tandem.outbox").rowcount > 0
    assert demo_database.one("select rolbypassrls from pg_roles where rolname = 'tandem_sync'")
