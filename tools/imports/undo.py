"""`tandem import list` and `undo`: what came in, and how it goes again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final, LiteralString, NamedTuple

import psycopg
import typer
from psycopg import sql
from psycopg.rows import class_row, dict_row

from tools.account.tables import show_table
from tools.errors import OperatorError
from tools.imports.run import Who
from tools.printable import printable
from tools.session import Connection, Session, not_there, session

SHOWN: Final = 100
_LIST: Final = """
select f.id, f.created_at, f.kind, f.target, a.name as account, f.file_name as file, f.lines, f.undone_at,
       made.actor, undone.actor as undone_by
  from tandem.import_file f
  join tandem.account a on a.id = f.account_id
  left join tandem.audit_record made
         on made.table_name = 'import_file' and made.key = f.id::text and made.action = 'insert'
  left join tandem.audit_record undone
         on undone.table_name = 'import_file' and undone.key = f.id::text and undone.action = 'update'
 order by f.id desc limit %s
"""
_FILE: Final = "select id, kind, target, undone_at from tandem.import_file where id = %s"
_END: Final = "select tandem.end_import_v1(%s)"
_IMPORTER: Final = """
select a.id, a.kind = 'root' from tandem.audit u left join tandem.account a on a.id = u.acting_account_id
 where u.table_name = 'import_file' and u.key = %s::text and u.action = 'insert'
"""
_DIFFERS: Final = sql.SQL("""
select coalesce(c.after, c.before) ->> {name} from tandem.import_change c
  left join {table} r on r.id = c.key
 where c.import_id = %(id)s and to_jsonb(r) is distinct from c.after order by c.key limit 1
""")
_LACKS: Final = sql.SQL("""
select coalesce(c.before, c.after) ->> {name} from tandem.import_change c
  left join {table} r on r.id = c.key
 where c.import_id = %(id)s and to_jsonb(r) is distinct from c.before order by c.key limit 1
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
_INSERT: Final = sql.SQL("""
insert into {table}(id, {columns}) overriding system value
select c.id, {values} from tandem.import_change i cross join lateral jsonb_populate_record(null::{table}, i.before) as c
 where i.import_id = %(id)s and i.after is null
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
    "numbers": Kept("number", "e164", "number", ("account_id", "e164", "status", "subscriber_id", "created_at")),
}  # fmt: skip


class Import(NamedTuple):
    """An import of before."""

    id: int
    kind: str
    target: str
    undone_at: datetime | None


def list_imports(who: Who, *, every: bool, as_json: bool) -> None:
    """Print imports. Raises OperatorError."""
    with session(who.database_url, as_account=who.as_account, actor=who.actor, program="tandem import") as acting:
        cursor = acting.connection.cursor(row_factory=dict_row)
        found = cursor.execute(_LIST, (None if every else SHOWN + 1,)).fetchall()
        total = len(found)
        if not every and total > SHOWN:
            found = found[:SHOWN]
            ((total,),) = acting.connection.execute("select count(*) from tandem.import_file").fetchall()
    shown = [{**row, "created_at": _time(row["created_at"]), "undone_at": _time(row["undone_at"])} for row in found]
    if as_json:
        typer.echo(json.dumps(shown))
        return
    for row in shown:
        row["state"] = _undone(row["undone_at"], row["undone_by"])
    heads = ("id", "created_at", "kind", "target", "account", "file", "lines", "actor", "state")
    show_table({head: head.replace("created_at", "at") for head in heads}, shown)
    if total > len(found):
        typer.echo(f"{len(found)} of {total:,}; --all shows all")


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
            _ask_importer(acting, found)
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
    for statement in (_DELETE, _UPDATE, _INSERT):
        connection.execute(statement.format(**words), {"id": found.id})
    lacking = connection.execute(_LACKS.format(**words), {"id": found.id}).fetchone()
    if lacking is not None:
        raise OperatorError(
            f"import: {found.id} cannot be undone: {kept.word} {lacking[0]!r} does not become what it was"
        )


def _ask_importer(acting: Session, found: Import) -> None:
    """Try the undo as the account that imported: it is not to write by somebody else's hand what it may not itself.

    Raises OperatorError where that one may not, any more, or is gone.
    """
    connection = acting.connection
    refused = OperatorError(
        f"import: {found.id} cannot be undone: the account that imported it may not write this itself"
    )
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("set local role tandem_tool")
            ((account_id, is_root),) = connection.execute(_IMPORTER, (found.id,)).fetchall() or [(None, False)]
            if is_root or account_id == acting.account_id:
                return
            if account_id is None:
                raise refused
            connection.execute("select tandem.act_as_v1(%s, %s)", (account_id, acting.actor))
            connection.execute("set local role tandem_tenant")
            _restore(connection, found, KEPT[found.kind])
    except psycopg.Error as error:  # its words are for the importer
        raise refused from error


def _undone(at: str | None, by: str | None) -> str:
    """Return what became of an import, for people; nobody is named who is not seen."""
    return f"undone {at}{f' by {by}' if by else ''}" if at else ""


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")
