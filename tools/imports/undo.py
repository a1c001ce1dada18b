"""`tandem import undo`: how what came in goes again, by the rights of whoever undoes it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final, LiteralString, NamedTuple

import typer
from psycopg import sql
from psycopg.rows import class_row

from tools.errors import OperatorError
from tools.imports.run import Who
from tools.printable import printable
from tools.session import Connection, not_there, session

_FILE: Final = "select id, kind, target, undone_at from tandem.import_file where id = %s"
_END: Final = "select tandem.end_import_v1(%s)"
_RETURN: Final = "select tandem.return_rows_v1(%s)"  # under the keys that they had, which nobody else may give
# A row that was noted by a release before has fewer columns: of each new one it has nothing.
_DIFFERS: Final = sql.SQL("""
select coalesce(c.after, c.before) ->> {name} from tandem.import_change c
  left join {table} r on r.id = c.key
 where c.import_id = %(id)s
   and to_jsonb(r) is distinct from
       case when c.after is not null then to_jsonb(jsonb_populate_record(null::{table}, c.after)) end
 order by c.key limit 1
""")
_LACKS: Final = sql.SQL("""
select coalesce(c.before, c.after) ->> {name} from tandem.import_change c
  left join {table} r on r.id = c.key
 where c.import_id = %(id)s
   and to_jsonb(r) is distinct from
       case when c.before is not null then to_jsonb(jsonb_populate_record(null::{table}, c.before)) end
 order by c.key limit 1
""")
_LOCK: Final = sql.SQL("""
select from {table} r where r.id in (select c.key from tandem.import_change c where c.import_id = %(id)s)
 order by r.id for update
""")
_DELETE: Final = sql.SQL("""
delete from {table} r using tandem.import_change c where c.import_id = %(id)s and r.id = c.key and c.before is null
""")
_UPDATE: Final = sql.SQL("""
update {table} r set ({columns}) = row({values})
  from (select i.key, b.*
          from tandem.import_change i cross join lateral jsonb_populate_record(null::{table}, i.before) as b
         where i.import_id = %(id)s and i.before is not null and i.after is not null) as c
 where r.id = c.key
""")


class Kept(NamedTuple):
    """How the rows of a kind of import are kept. name: the column that people know a row by."""

    table: str
    name: str
    word: LiteralString
    columns: tuple[str, ...]


KEPT: Final = {
    "routes": Kept("peering_rule", "callee_prefix", "route", (
        "group_id", "callee_prefix", "callee_pattern", "caller_pattern", "stopper", "enabled", "created_at",
        "description", "block", "valid_from", "valid_to", "time_set_id",
    )),
    "numbers": Kept("number", "e164", "number", (
        "account_id", "e164", "status", "subscriber_id", "created_at", "user_id", "ring_group_id", "callflow_id",
        "media_server_id", "media_user",
    )),
}  # fmt: skip


class Import(NamedTuple):
    """An import of before."""

    id: int
    kind: str
    target: str
    undone_at: datetime | None


def undo_import(who: Who, number: int, *, as_json: bool) -> None:
    """Undo an import. Raises OperatorError where there is none, where it is undone, or where something stands on it."""
    with session(who.database_url, as_account=who.as_account, actor=who.actor, program="tandem import") as acting:
        connection = acting.connection
        found = connection.cursor(row_factory=class_row(Import)).execute(_FILE, (number,)).fetchone()
        if found is None:
            raise not_there("import", str(number))
        if found.undone_at is not None:
            raise OperatorError(f"import: {number} was undone already")
        if found.kind == "rates":
            connection.execute("select tandem.undo_rates_v1(%s)", (number,))
        else:
            connection.execute(_END, (number,))
            _restore(connection, found, KEPT[found.kind])
    if as_json:
        typer.echo(json.dumps({"undone": number, "kind": found.kind, "target": found.target}))
    else:
        typer.echo(f"import {number} of {found.kind} is undone: {printable(found.target)} has what it had before")


def _restore(connection: Connection, found: Import, kept: Kept) -> None:
    """Bring back the rows that an import changed.

    Raises OperatorError where one of them is no more as it left it, or is not the acting account's to write.
    """
    connection.execute("set local timezone = 'UTC'")  # as the rows were noted
    table = sql.Identifier("tandem", kept.table)
    columns = sql.SQL(", ").join(map(sql.Identifier, kept.columns))
    values = sql.SQL(", ").join(sql.Identifier("c", column) for column in kept.columns)
    words = {"table": table, "name": sql.Literal(kept.name), "columns": columns, "values": values}
    connection.execute(_LOCK.format(**words), {"id": found.id})
    changed = connection.execute(_DIFFERS.format(**words), {"id": found.id}).fetchone()
    if changed is not None:
        raise OperatorError(f"import: {found.id} cannot be undone: {kept.word} {changed[0]!r} was changed after it")
    for statement in (_DELETE, _UPDATE):
        connection.execute(statement.format(**words), {"id": found.id})
    connection.execute(_RETURN, (found.id,))
    lacking = connection.execute(_LACKS.format(**words), {"id": found.id}).fetchone()
    if lacking is not None:
        raise OperatorError(
            f"import: {found.id} cannot be undone: {kept.word} {lacking[0]!r} does not become what it was"
        )
