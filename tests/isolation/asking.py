"""The statements that are asked about a table: every verb on some of its rows, as text, with the rows that it is about.

Rule 1: a statement is well formed and would do something: with no policy and no trigger it changes exactly one row.
Rule 2: it names its row by the key, so what it may not see it does not find.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, Final, LiteralString, NamedTuple

from psycopg import sql
from psycopg.types.json import Jsonb

from tests.fix_postgres import Database
from tests.isolation import oracle
from tests.isolation.guards import CLAIMS, REFERENCES
from tests.isolation.oracle import Row, Viewer, World
from tests.isolation.tables import TABLES, Table

ROWS: Final = 1  # of a table, beside one of each account that matters
VALUES_MAX: Final = 3  # that a column is set to: of the accounts that are asked for
KEY: Final = "@key"  # a row's key as text, beside its columns
_NEW_ID: Final = 10**9
_UPDATE: Final[LiteralString] = "update {table} as t set {set} where {where}"


class Ask(NamedTuple):
    """A statement. needs: the verbs of tables.py that it takes. old, new: its row, as it was and as it would be."""

    verb: str
    table: str
    needs: str
    text: str
    old: Row | None
    new: Row | None

    def is_allowed(self, viewer: Viewer, table: Table) -> bool:
        """Say by the rules whether it does anything for this viewer."""
        if not set(self.needs) <= set(table.verbs):
            return False
        if viewer.is_root:
            return True
        found = (
            []
            if self.verb in ("insert", "insert by merge")
            else [row for row in (self.old, self.new) if row is not None]
        )
        return all(self._is_step_allowed(viewer, need) for need in self.needs) and all(
            oracle.sees(viewer, self.table, row) for row in found
        )

    def _is_step_allowed(self, viewer: Viewer, need: str) -> bool:
        if need == "i":
            assert self.new
            return oracle.adds(viewer, self.table, self.new)
        assert self.old
        if need == "d":
            return oracle.removes(viewer, self.table, self.old)
        assert self.new
        return oracle.changes(viewer, self.table, self.old, self.new)


def snapshot(database: Database) -> World:
    """Return all rows of all tables, read with no policy in force; columns that Postgres computes are left out."""
    rows = {table.name: tuple(row for (row,) in database.run(_text(
        "select to_jsonb(t) - 'ways' || jsonb_build_object({at}, {key}) from {table} as t", table, at=KEY).encode()))
        for table in TABLES}  # fmt: skip
    return World(rows, {table: {row["id"]: row for row in found if "id" in row} for table, found in rows.items()})


def reading(table: Table) -> str:
    """Return the statement that gives the keys of all rows of a table."""
    return _text("with w as (select {key} as k from {table} as t) select array_agg(k) from w", table)


def blindly(table: Table) -> dict[str, str]:
    """Return statements that look at no row: the policies of their verb alone say which rows they change."""
    column, value = table.other
    return {
        "u": _text("update {table} set {set}", table, set=_assignments({column: value})),
        "d": _text("delete from {table}", table),
    }


def sneaking(group: int, account: int) -> str:
    """Return the statement that adds a rule to a carrier and says that it is another account's."""
    return sql.SQL(
        "insert into tandem.peering_rule(group_id, account_id, callee_prefix) values ({}, {}, '99')"
    ).format(group, account).as_string(None)  # fmt: skip


def asks(world: World, table: Table, favourites: Sequence[int], chance: random.Random) -> list[Ask]:
    """Return every verb on some rows of the table. favourites: accounts of which there is a row, if they have one."""
    rows = list(world.rows[table.name])
    chosen = chance.sample(rows, min(ROWS, len(rows)))
    if table.belongs:
        firsts = (_first_of(world, table.name, account) for account in favourites)
        chosen += [row for row in firsts if row and row not in chosen]
    return [ask for row in chosen for ask in _about(world, table, row, favourites)]


def columns_of(world: World, table: Table, favourites: Sequence[int]) -> Iterator[Ask]:
    """Yield updates of single columns: each of an account, and each that names a row, to what another row has there."""
    names = (
        [*world.rows["account"][0]]
        if table.name == "account"
        else [*REFERENCES.get(table.name, ()), *CLAIMS.get(table.name, ())]
    )
    rows = [row for account in favourites if table.belongs and (row := _first_of(world, table.name, account))]
    for row in rows:
        for column in set(names) - {KEY, *table.key}:
            values = {repr(other[column]): other[column] for other in rows if other[column] != row[column]}
            for value in list(values.values())[:VALUES_MAX]:
                new = row | {column: value}
                text = _text(
                    "update {table} as t set {column} = s.{column}"
                    " from jsonb_populate_record(null::{table}, {row}) as s where {where}",
                    table, column=sql.Identifier(column), row=Jsonb({column: value}), where=_where(table, row),
                )  # fmt: skip
                yield Ask(f"update of {column}", table.name, "u", text, row, new)


def _about(world: World, table: Table, row: Row, favourites: Sequence[int]) -> Iterator[Ask]:
    yield from _inserts(world, table, row)
    yield from _updates(world, table, row, favourites)
    yield from _deletes(table, row)
    yield from _upserts(world, table, row, favourites)


def _inserts(world: World, table: Table, row: Row) -> Iterator[Ask]:
    values = table.fresh(world, row)
    if values is None:
        return
    new = row | values
    said = new
    if _is_numbered(table):
        said = {column: value for column, value in new.items() if column != "id"}
        new |= {"id": _NEW_ID}
    columns = _columns(said)
    parts = {"columns": columns, "row": Jsonb(_plain(said)), "source": _prefixed("s", said)}
    insert: LiteralString = (
        "insert into {table} ({columns}) select {columns} from jsonb_populate_record(null::{table}, {row})"
    )
    yield Ask("insert", table.name, "i", _text(insert, table, **parts), None, new)
    returning: LiteralString = f"with w as ({insert} returning 1) select array_agg('x'::text) from w"  # noqa: S608
    yield Ask("insert returning", table.name, "i", _text(returning, table, **parts), None, new)
    merge: LiteralString = (
        "merge into {table} as t using jsonb_populate_record(null::{table}, {row}) as s on false"
        " when not matched then insert ({columns}) values ({source})"
    )
    yield Ask("insert by merge", table.name, "i", _text(merge, table, **parts), None, new)


def _is_numbered(table: Table) -> bool:
    """Return whether the key comes from a sequence, so that no tenant gives it."""
    return table.key == ("id",) and table.name != "ledger_entry"


def _updates(world: World, table: Table, row: Row, favourites: Sequence[int]) -> Iterator[Ask]:
    column, value = table.other
    new = row | {column: value}
    parts = {"set": _assignments({column: value}), "where": _where(table, row)}
    yield Ask("update", table.name, "u", _text(_UPDATE, table, **parts), row, new)
    returning: LiteralString = (
        "with w as (update {table} as t set {set} where {where} returning {key}) select array_agg('x'::text) from w"
    )
    yield Ask("update returning", table.name, "u", _text(returning, table, **parts), row, new)
    merge: LiteralString = (
        "merge into {table} as t using (values (1)) as s(one) on {where} when matched then update set {set}"
    )
    yield Ask("update by merge", table.name, "u", _text(merge, table, **parts), row, new)
    for values in _moves(world, table, row, favourites):
        text = _text(_UPDATE, table, set=_assignments(values), where=_where(table, row))
        yield Ask("update of the owner", table.name, "u", text, row, row | values)


def _moves(world: World, table: Table, row: Row, favourites: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield what makes a row another account's: the column that says so, and what keeps it equal to that and unique."""
    if table.belongs is None:
        return
    column, upper = table.belongs
    if table.key == (column,) or (table.name == "account" and row[column] is None):
        return
    for account in favourites:
        target = world.by_id[upper].get(account) if upper == "account" else _first_of(world, upper, account)
        if target is None or target["id"] in (row[column], row.get("id") if table.name == "account" else None):
            continue
        values = {column: target["id"]} | (
            {"account_id": account} if upper != "account" and "account_id" in row else {}
        )
        fresh = table.fresh(world, row | values)
        if fresh is not None:
            yield {each: value for each, value in fresh.items() if each not in table.taken} | values


def _deletes(table: Table, row: Row) -> Iterator[Ask]:
    where = _where(table, row)
    yield Ask("delete", table.name, "d", _text("delete from {table} as t where {where}", table, where=where), row, None)
    returning: LiteralString = (
        "with w as (delete from {table} as t where {where} returning {key}) select array_agg('x'::text) from w"
    )
    yield Ask("delete returning", table.name, "d", _text(returning, table, where=where), row, None)
    merge: LiteralString = "merge into {table} as t using (values (1)) as s(one) on {where} when matched then delete"
    yield Ask("delete by merge", table.name, "d", _text(merge, table, where=where), row, None)


def _upserts(world: World, table: Table, row: Row, favourites: Sequence[int]) -> Iterator[Ask]:
    """Yield INSERT … ON CONFLICT: the row itself again, and the row again as another account's."""
    if table.unique and table.other[0] not in table.key and not _is_numbered(table):
        column, value = table.other
        yield Ask("insert on conflict", table.name, "iu",
                  _upsert(table, row, table.key, {column: value}), row, row | {column: value})  # fmt: skip
    if table.taken:
        for values in _moves(world, table, row, favourites):
            proposed = {column: value for column, value in (row | values).items() if column != "id"}
            text = _upsert(table, proposed, table.taken, values)
            yield Ask("taking by insert on conflict", table.name, "iu", text, row, row | values)


def _upsert(table: Table, proposed: Row, arbiter: Sequence[str], values: dict[str, Any]) -> str:
    return _text(
        "insert into {table} as t ({columns}) select {columns}"
        " from jsonb_populate_record(null::{table}, {row}) on conflict ({arbiter}) do update set {set}",
        table, columns=_columns(proposed), row=Jsonb(_plain(proposed)), set=_assignments(values),
        arbiter=sql.SQL(", ").join(map(sql.Identifier, arbiter)),
    )  # fmt: skip


def _first_of(world: World, table: str, account: int) -> Row | None:
    return next((row for row in world.rows[table] if world.owner(table, row) == account), None)


def _plain(row: Row) -> dict[str, Any]:
    return {column: value for column, value in row.items() if column != KEY}


def _columns(row: Row) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column) for column in _plain(row))


def _prefixed(alias: str, row: Row) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(alias, column) for column in _plain(row))


def _assignments(values: dict[str, Any]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(c), _literal(v)) for c, v in values.items())


def _literal(value: Any) -> sql.Literal:
    return sql.Literal(Jsonb(value) if isinstance(value, dict) else value)


def _where(table: Table, row: Row) -> sql.Composed:
    return sql.SQL(" and ").join(
        sql.SQL("{} = {}").format(sql.Identifier("t", column), sql.Literal(row[column])) for column in table.key
    )


def _text(template: LiteralString, table: Table, **parts: Any) -> str:
    """Return a statement about a table: {table}, {key} as text, and parts that are SQL or values."""
    named = {name: part if isinstance(part, sql.Composable) else sql.Literal(part) for name, part in parts.items()}
    key = sql.SQL("concat_ws('/', {})").format(sql.SQL(", ").join(sql.Identifier("t", column) for column in table.key))
    return sql.SQL(template).format(table=sql.Identifier("tandem", table.name), key=key, **named).as_string(None)
