"""The configuration as it was, out of the audit trail: no row of the tables is touched, not even for a moment.

Each table that has changed since is copied into a temporary one, and there every row gets back the image that it had:
the one before its first later change. The views of schema sync are then read over these copies.

Rule 1: what is not in the trail stays as it is now: secrets, money, measured quality, what names of servers stand for
(peering_server_address), and the rates of sets that have been deleted since, which are gone.
Rule 2: what a later migration added has its default in rows that are gone by now, and today's value in others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from tools.errors import OperatorError

COPY_PREFIX: Final = "then_"

_GENERATION: Final = """
    SELECT config_pass, applied_at, snapshot FROM tandem.generation WHERE config_pass <= %s
     ORDER BY config_pass DESC LIMIT 1
"""
# The first change of each row that the generation did not have: what stood before it is what stood then.
_LATER: Final = """
    CREATE TEMPORARY TABLE later_change ON COMMIT DROP AS
    SELECT DISTINCT ON (a.table_name, a.key) a.table_name, a.key, a.action, a.before
      FROM tandem.audit a
     WHERE CASE WHEN a.xid IS NULL OR %(snapshot)s::pg_snapshot IS NULL THEN a.at > %(applied_at)s
                ELSE NOT pg_visible_in_snapshot(a.xid, %(snapshot)s::pg_snapshot) END
     ORDER BY a.table_name, a.key, a.id
"""
_KEY: Final = """
    SELECT split_part(encode(t.tgargs, 'escape'), '\\000', 1) FROM pg_trigger t
     WHERE t.tgrelid = format('tandem.%%I', %s::text)::regclass AND t.tgname = 'audit_insert'
"""
_VIEWS: Final = """
    SELECT c.relname, pg_get_viewdef(c.oid) FROM pg_class c
     WHERE c.relnamespace = 'sync'::regnamespace AND c.relkind = 'v'
"""


class Past(NamedTuple):
    """A generation that was found. views: of schema sync, as SQL over what was then. tables: changed since."""

    config_pass: int
    applied_at: datetime
    views: dict[str, str]
    tables: tuple[str, ...]


def rewind(connection: psycopg.Connection[Any], generation: int) -> Past:
    """Return the configuration of a generation, or of the last one noted before it.

    It lives as long as the transaction. Raises OperatorError and psycopg errors.
    """
    found = connection.execute(_GENERATION, (generation,)).fetchone()
    if found is None:
        raise OperatorError(f"generation {generation} is not known: nothing that old is noted")
    config_pass, applied_at, snapshot = found
    connection.execute(_LATER, {"snapshot": snapshot, "applied_at": applied_at})
    connection.execute("CREATE INDEX ON pg_temp.later_change(table_name, key)")
    tables = [name for (name,) in connection.execute("SELECT DISTINCT table_name FROM pg_temp.later_change")]
    emptied = connection.execute("SELECT table_name FROM pg_temp.later_change WHERE action = 'truncate'").fetchone()
    if emptied is not None:
        raise OperatorError(f"generation {generation} cannot be had: table {emptied[0]} was truncated since")
    for table in tables:
        _restore(connection, table)
    return Past(config_pass, applied_at, _views_over(connection, tables), tuple(sorted(tables)))


def _restore(connection: psycopg.Connection[Any], table: str) -> None:
    """Make the copy of a table, with the rows of then."""
    row = connection.execute(_KEY, (table,)).fetchone()
    if row is None:
        raise OperatorError(f"table {table} has an audit trail without a trigger that writes it")
    live, copy = sql.Identifier("tandem", table), sql.Identifier("pg_temp", COPY_PREFIX + table)
    key = sql.SQL("({})::text").format(sql.SQL(row[0]))
    parts = {
        "name": sql.Identifier(COPY_PREFIX + table),
        "live": live,
        "copy": copy,
        "table": sql.Literal(table),
        "key": key,
    }
    # Without constraints: images of the past obey the rules of the past, and lack secrets.
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {name} (LIKE {live} INCLUDING DEFAULTS) ON COMMIT DROP").format(**parts)
    )
    _drop_not_null(connection, table)
    connection.execute(
        sql.SQL(
            "INSERT INTO {copy} SELECT * FROM {live} AS r"
            " WHERE NOT EXISTS (SELECT FROM pg_temp.later_change c WHERE c.table_name = {table} AND c.key = {key})"
        ).format(**parts)
    )
    # A row that is still there keeps what its image does not tell; one that is gone gets defaults.
    connection.execute(
        sql.SQL(
            "INSERT INTO {copy} SELECT (jsonb_populate_record(r, c.before)).* FROM pg_temp.later_change c"
            " JOIN {live} AS r ON {key} = c.key WHERE c.table_name = {table} AND c.action <> 'insert'"
        ).format(**parts)
    )
    _insert_gone(connection, parts, table)


def _drop_not_null(connection: psycopg.Connection[Any], table: str) -> None:
    columns = _columns(connection, table)
    drops = sql.SQL(", ").join(
        sql.SQL("ALTER COLUMN {} DROP NOT NULL").format(sql.Identifier(name)) for name in columns
    )
    connection.execute(sql.SQL("ALTER TABLE {} {}").format(sql.Identifier("pg_temp", COPY_PREFIX + table), drops))


def _columns(connection: psycopg.Connection[Any], table: str) -> list[str]:
    query = (
        "SELECT attname FROM pg_attribute WHERE attrelid = format('tandem.%%I', %s::text)::regclass"
        " AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )
    return [name for (name,) in connection.execute(query, (table,))]


def _insert_gone(connection: psycopg.Connection[Any], parts: dict[str, Any], table: str) -> None:
    """Bring back the rows that are not there any more, by the columns that their images have."""
    gone = connection.execute(
        sql.SQL(
            "SELECT DISTINCT array(SELECT jsonb_object_keys(c.before) AS name ORDER BY name)"
            " FROM pg_temp.later_change c WHERE c.table_name = {table} AND c.action <> 'insert'"
            " AND NOT EXISTS (SELECT FROM {live} AS r WHERE {key} = c.key)"
        ).format(**parts)
    ).fetchall()
    known = set(_columns(connection, table))
    for (names,) in gone:
        columns = sql.SQL(", ").join(sql.Identifier(name) for name in names if name in known)
        connection.execute(
            sql.SQL(
                "INSERT INTO {copy} ({columns}) SELECT {columns} FROM ("
                " SELECT (jsonb_populate_record(NULL::{live}, c.before)).* FROM pg_temp.later_change c"
                " WHERE c.table_name = {table} AND c.action <> 'insert'"
                " AND array(SELECT jsonb_object_keys(c.before) AS name ORDER BY name) = {names}"
                " AND NOT EXISTS (SELECT FROM {live} AS r WHERE {key} = c.key)) AS image"
            ).format(columns=columns, names=sql.Literal(names), **parts)
        )


def _views_over(connection: psycopg.Connection[Any], tables: Sequence[str]) -> dict[str, str]:
    """Return the views of schema sync that read one of the tables, over their copies."""
    if not tables:
        return {}
    named = re.compile(r"\btandem\.(" + "|".join(map(re.escape, tables)) + r")\b(?!\s*\()")
    views: dict[str, str] = {}
    connection.execute("SET LOCAL search_path = pg_catalog")  # then Postgres writes every name with its schema
    for view, text in connection.execute(_VIEWS).fetchall():
        over = named.sub(rf"pg_temp.{COPY_PREFIX}\1", text.rstrip().removesuffix(";"))
        if over != text.rstrip().removesuffix(";"):
            views[view] = over
    return views
