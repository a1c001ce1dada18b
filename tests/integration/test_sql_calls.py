"""What a tenant may read of calls: its own, those that reach it, and nothing of who hides."""

from __future__ import annotations

import psycopg
import pytest

from tests.fix_postgres import Database

CALLS = """
insert into tandem.cdr(rid, call_id, node, started_at, ended_at, direction, source, account_id, caller, callee, outcome,
                       sip_status, reason, hidden, trace)
select v.rid, v.rid || '@ua', 'n1', now(), now(), v.direction, v.source, world.account_id(v.account), '442079460001',
       '442071234567', 'refused', 403, 'no_credit', v.hidden, '{secret}'
  from (values ('out', 'out', 'alice@a.example', 'Alpha', true), ('in', 'in', 'peer:acme', 'Beta', true),
               ('seen', 'in', 'peer:acme', 'Beta', false), ('within', 'internal', 'alice@a.example', 'Alpha', true),
               ('shown', 'internal', 'alice@a.example', 'Alpha', false))
    as v(rid, direction, source, account, hidden)
"""
LEGS = """
insert into tandem.cdr_leg(rid, level, payer_id, payee_id, currency, price_micros, book)
select r.rid, l.level, world.account_id(l.payer), 1, 'EUR', 0, 'fund'
  from (values ('within'), ('shown')) as r(rid), (values (1, 'Alpha'), (2, 'Beta')) as l(level, payer)
"""
Row = tuple[str, str, str, str]


def _seen(database: Database, name: str) -> dict[str, Row]:
    """Return rid -> caller, source, reason and the account's name, as an account reads them."""
    with database.connect("tandem_tool") as tool, tool.transaction():
        tool.execute("select tandem.act_as_v1((select id from tandem.account where name = %s), 'a test')", (name,))
        rows = tool.execute(
            "select c.rid, c.caller, c.source, c.reason, coalesce(a.name, '') from tandem.call_record c"
            " left join tandem.account a on a.id = c.account_id"
        ).fetchall()
    return {rid: (caller, source, reason, account) for rid, caller, source, reason, account in rows}


@pytest.fixture
def world(demo_database: Database) -> Database:
    """Make calls of Alpha, of the world outside to Beta, and of Alpha to Beta; hidden ones and others."""
    demo_database.run(CALLS)
    demo_database.run(LEGS)
    return demo_database


def test_the_caller_reads_his_own_calls(world: Database) -> None:
    """Hidden is he from who is called, not from himself nor from those above him."""
    own = ("442079460001", "alice@a.example", "no_credit", "Alpha")
    assert _seen(world, "Alpha") == dict.fromkeys(("out", "within", "shown"), own)
    above = _seen(world, "North")
    assert {rid: above[rid] for rid in ("out", "within", "shown")} == dict.fromkeys(("out", "within", "shown"), own)


def test_the_called_reads_no_hidden_caller(world: Database) -> None:
    """Neither his number, nor his line or carrier, nor his account, nor what was wrong with it."""
    assert _seen(world, "Beta") == {
        "in": ("anonymous", "", "no_credit", "Beta"),
        "seen": ("442079460001", "", "no_credit", "Beta"),
        "within": ("anonymous", "", "", ""),
        "shown": ("442079460001", "", "", ""),
    }


def test_the_root_reads_all(world: Database) -> None:
    """It runs the exchange: the law asks it."""
    (root,) = {name for (name,) in world.run("select name from tandem.account where kind = 'root'")}
    seen = _seen(world, root)
    assert set(seen) == {"out", "in", "seen", "within", "shown"}
    assert {caller for caller, *_ in seen.values()} == {"442079460001"}


def test_strangers_read_nothing(world: Database) -> None:
    """Nobody sees calls of accounts beside him, and without an acting account there is nothing to see."""
    assert _seen(world, "Gamma") == {}
    with world.connect("tandem_tool") as tool, pytest.raises(psycopg.errors.InsufficientPrivilege):
        tool.execute("select * from tandem.call_record")
