"""Triggers of outbox, audit and locks: each has a function of its own, and its kept plans stay right."""

from __future__ import annotations

from typing import Final

import psycopg
import pytest

from tests.fix_postgres import Database

_BODIES: Final = """
select t.tgrelid::regclass || '.' || t.tgname, p.prosrc,
       case split_part(p.proname, '_', 1)
         when 'outbox' then tandem.outbox_body(e.event, a.arguments)
         when 'audit' then tandem.audit_body(c.relname, e.event, a.arguments[1], a.arguments[2])
         else tandem.lock_parents_body(e.event, a.arguments)
       end
  from pg_trigger t
  join pg_class c on c.oid = t.tgrelid
  join pg_proc p on p.oid = t.tgfoid
  cross join lateral (select substring(p.proname from '_(insert|update|delete|truncate)_of_')) as e(event)
  cross join lateral (select tandem.trigger_arguments(t.tgargs)) as a(arguments)
 where t.tgname ~ '^(outbox|audit|lock_parents)_' or t.tgname = 'keep_deleted'
"""
_RIGHTS: Final = """
select p.proname from pg_proc p
 where p.proname ~ '^(outbox|audit|lock_parents)_.*_of_' and p.pronamespace = 'tandem'::regnamespace
   and (not p.prosecdef or has_function_privilege('tandem_tool', p.oid, 'execute'))
"""
_STRAY: Final = """
select p.proname from pg_proc p
 where p.proname ~ '^(outbox|audit|lock_parents)_.*_of_' and p.pronamespace = 'tandem'::regnamespace
   and not exists (select from pg_trigger t where t.tgfoid = p.oid)
"""
_READ: Final = """
select relname, seq_scan from pg_stat_xact_user_tables
 where schemaname = 'tandem' and relname in ('subscriber', 'number', 'trusted_source', 'sip_domain')
"""
_MANY: Final = """
with made as (
  insert into tandem.subscriber(account_id, sip_domain_id, username)
  select account_id, sip_domain_id, 'many' || n from tandem.subscriber, generate_series(1, 3000) as n
   where username = 'alice'
  returning id, account_id)
insert into tandem.number(account_id, e164, subscriber_id)
select account_id, (4900000000 + id)::text, id from made
"""


def _audited(database: Database) -> list[tuple[object, ...]]:
    return database.run("select action, key, changed from tandem.audit where table_name = 'subscriber' order by id")


def test_what_each_trigger_does_is_what_it_says(demo: Database) -> None:
    """Its function is the one made from the arguments that stand at it; none is left over, nobody may call it."""
    bodies = demo.run(_BODIES)
    assert len({name for name, *_ in bodies}) == len(bodies) > 200
    assert {name for name, is_there, wanted in bodies if is_there != wanted} == set()
    assert demo.run(_STRAY) == []
    assert demo.run(_RIGHTS) == []


def test_rows_of_each_kind_of_change(demo: Database) -> None:
    """An insert, a renaming, an update that changes nothing, and a delete: names in the outbox, rows in the audit."""
    first = len(_audited(demo))
    demo.outbox()
    demo.run("insert into tandem.subscriber(account_id, sip_domain_id, username)"
             " select account_id, sip_domain_id, unnest('{eve,eva}'::text[]) from tandem.subscriber"
             " where username = 'alice'")  # fmt: skip
    assert demo.outbox() == {("subscriber", "sub:eve@a.example"), ("subscriber", "sub:eva@a.example")}
    demo.run("update tandem.subscriber set username = 'adam', ha1_md5 = null where username = 'eve'")
    assert demo.outbox() == {("subscriber", "sub:eve@a.example"), ("subscriber", "sub:adam@a.example")}
    demo.run("update tandem.subscriber set username = username where username = 'adam'")
    assert demo.outbox() == {("subscriber", "sub:adam@a.example")}
    demo.run("delete from tandem.subscriber where username in ('adam', 'eva')")
    assert demo.outbox() == {("subscriber", "sub:adam@a.example"), ("subscriber", "sub:eva@a.example")}
    rows = [(action, changed) for action, _, changed in _audited(demo)[first:]]
    assert rows == [("insert", [])] * 2 + [("update", ["username"])] + [("delete", [])] * 2


def test_truncated(demo: Database) -> None:
    """One row says it in the audit, and the whole of each kind in the outbox."""
    demo.outbox()
    demo.run("truncate tandem.subscriber cascade")
    assert {("subscriber", "*"), ("number", "*"), ("sources", "*")} <= demo.outbox()
    assert _audited(demo)[-1] == ("truncate", "*", [])


def test_plans_of_large_statements_suit_small_ones(demo: Database) -> None:
    """After thousands of rows in one statement the session's kept plans still look up one row by indexes."""
    demo.run(_MANY)
    demo.run("update tandem.subscriber set clir = not clir where username ~ '^many'")
    demo.run("update tandem.number set status = 'suspended' where e164 ~ '^49000'")
    read = dict(demo.run(_READ))
    demo.run("update tandem.subscriber set clir = not clir where id = 1")
    demo.run("update tandem.number set status = 'active' where id = 1")
    assert dict(demo.run(_READ)) == read


def test_a_new_column_is_audited_at_once(demo: Database) -> None:
    """A session that has plans from before a table changed sees the table as it is."""
    demo.run("update tandem.subscriber set clir = not clir where username = 'alice'")
    demo.run("alter table tandem.subscriber add column test_note text default 'x'")
    demo.run("update tandem.subscriber set test_note = 'y' where username = 'alice'")
    assert _audited(demo)[-1][-1] == ["test_note"]


@pytest.mark.parametrize(
    "change",
    [
        "update tandem.subscriber set account_id = 3 where username = 'bob'",
        "update tandem.peering_rule set group_id = %(other)s where time_set_id is not null",
    ],
)
def test_a_change_of_owner_is_a_change_of_reach(demo: Database, change: str) -> None:
    """Whose a row is counts as much as what it names, also where another trigger takes it from the group."""
    other = demo.one("select world.carrier_of('South', 'spare', '127.0.1.8', 5080, '44', '0.001')")
    demo.run("insert into tandem.time_set(account_id, name) values (2, 'day')")
    own = demo.one("select world.carrier_of('North', 'own', '127.0.1.9', 5080, '44', '0.001')")
    demo.run("insert into tandem.peering_rule(group_id, callee_prefix, time_set_id)"
             " select %s, '44', id from tandem.time_set where name = 'day'", own)  # fmt: skip
    with pytest.raises(psycopg.errors.CheckViolation, match="which is not account"), demo.connection.transaction():
        demo.connection.execute(change.encode(), {"other": other})
