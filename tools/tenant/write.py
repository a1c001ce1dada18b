"""Rows added, changed and removed; and what the database refuses, in the words of the resource's fields.

Rule: a refusal names field, value and rule. What belongs to somebody else is "not available" or "does not exist".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from tools.errors import OperatorError
from tools.session import Connection, Session, not_there, one, refusal, shown, words
from tools.tenant.catalogue import RESOURCES, resource
from tools.tenant.kinds import CURRENCY
from tools.tenant.model import ACCOUNT, Field, Resource, as_typed
from tools.tenant.naming import candidates, find_reference, paths
from tools.tenant.read import Row, first, having, of_any_case

NOTHING: Final = "nothing"
NAMED_MAX: Final = 3  # fields that a refusal shows whether they are said or not

_COLUMNS: Final = """
select array_agg(a.attname::text order by a.attnum)
  from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = any (c.conkey)
 where c.conrelid = format('tandem.%%I', %s::text)::regclass and c.conname = %s
"""


class Place(NamedTuple):
    """Where a new row belongs. owner_id: its account. parent_id: the row that it belongs to, 0 = the account alone."""

    owner_id: int
    parent_id: int = 0


class Tried(NamedTuple):
    """A row as it was tried. columns: column -> value. base: the account that references are named from."""

    columns: Mapping[str, Any]
    base: int
    is_new: bool = False


def add(session: Session, of: Resource, place: Place, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Insert a row; return its primary key.

    values: field -> stored form, of a reference its text. What is not there is as by default. Raises OperatorError.
    """
    lists = {name: value for name, value in values.items() if of.field(name).rows}
    columns = _columns(session.connection, of, values, place.owner_id, place.owner_id)
    columns |= {of.parent_column: place.parent_id} if of.parent else {of.owner_column: place.owner_id}
    query = sql.SQL("insert into tandem.{} ({}) values ({}) returning {}").format(
        sql.Identifier(of.table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(sql.Placeholder() * len(columns)),
        sql.SQL(", ").join(map(sql.Identifier, of.primary)),
    )
    _insist_on_currency(session.connection, of, values)
    with told(session, of, values, Tried(columns, place.owner_id, is_new=True)):
        key: tuple[Any, ...] = session.connection.execute(query, list(columns.values())).fetchall()[0]
        write_lists(session.connection, of, key[0], lists)
    return key


def change(session: Session, of: Resource, row: Row, values: Mapping[str, Any], owner_id: int = 0) -> None:
    """Update a row. values: as for `add`. owner_id: who gets it, 0 = it stays. Raises OperatorError."""
    lists = {name: value for name, value in values.items() if of.field(name).rows}
    own = owner_id or row.owner_id
    columns = _columns(session.connection, of, values, own, row.primary[0] if of.name == ACCOUNT else own)
    columns |= {of.owner_column: owner_id} if owner_id else {}
    _insist_on_currency(session.connection, of, values)
    if owner_id:
        _insist_on_taking_along(of, row, values)
    base = row.primary[0] if of.name == ACCOUNT else own
    with told(session, of, {**_stored(of, row), **values}, Tried(_held(of, row, own) | columns, base)):
        if columns:
            assignments = [sql.SQL("{} = %s").format(sql.Identifier(name)) for name in columns]
            query = sql.SQL("update tandem.{} set {} where {}").format(
                sql.Identifier(of.table), sql.SQL(", ").join(assignments), _key(of)
            )
            touch(session.connection, of, row, query, [*columns.values(), *row.primary])
        write_lists(session.connection, of, row.primary[0], lists)


def remove(session: Session, of: Resource, row: Row) -> None:
    """Delete a row and what belongs to it. Raises OperatorError, also for what never goes."""
    if of.stays:
        raise OperatorError(f"{of.typed}: {shown(row.name(of))} is not removed: {of.stays}")
    query = sql.SQL("delete from tandem.{} where {}").format(sql.Identifier(of.table), _key(of))
    with told(session, of, _stored(of, row), gone=row.primary[0] if of.has_id else 0):
        touch(session.connection, of, row, query, list(row.primary))


@contextmanager
def told(
    session: Session, of: Resource, values: Mapping[str, Any], tried: Tried | None = None, *, gone: int = 0
) -> Iterator[None]:
    """Say what the database refuses in the words of a resource. values: field -> stored form, as tried.

    tried: the row itself, where more can be said of it: which one is there already, as far as that is seen.
    gone: id of the row where it goes, to say what still names it; 0 = it does not go, or has none.
    Undoes what was tried and leaves the transaction usable. Raises OperatorError.
    """
    try:
        with session.connection.transaction():
            yield
    except psycopg.errors.UniqueViolation as error:
        if tried and (taken := _exists(session.connection, of, values, tried.columns, error.diag.constraint_name)):
            raise taken from error
        raise _not_available(session, of, values, error) from error
    except psycopg.errors.ForeignKeyViolation as error:
        raise _not_there(session, of, values, error, gone) from error
    except psycopg.errors.IntegrityError as error:
        if not (rule := error.diag.constraint_name):
            if tried and (elsewhere := _of_another(session.connection, of, values, tried)):
                raise elsewhere from error
            raise refusal(error, is_root=session.is_root) from error
        named = _named(session.connection, of, values, rule)
        raise OperatorError(f"{of.typed}: {f'{named}: ' if named else ''}{words(rule)}") from error


def _exists(
    connection: Connection, of: Resource, values: Mapping[str, Any], columns: Mapping[str, Any], constraint: str | None
) -> OperatorError | None:
    """Return the error that tells which row is there already; None where the acting account sees none such.

    What has no constraint is a trigger's to say, which looks at the key of what is unique everywhere.
    """
    if constraint:
        ((key,),) = connection.execute(_COLUMNS, (of.table, constraint)).fetchall()
    else:
        key = [of.field(name).stored_in for name in of.key] if of.is_global and of.parent else []
    defaults = {each.stored_in: each.read(None) for each in of.written if not each.required}
    held = {**defaults, **columns}
    if not key and constraint and of.owner_column in held:  # an index over a name whatever its case
        found = of_any_case(connection, of, held)
    elif not key or any(held.get(name) is None for name in key):
        return None
    else:
        found = having(connection, of, {name: held[name] for name in key})
    if found is None:
        return None
    whose = found.parent or found.owner
    number = f" #{found.primary[0]}" if of.has_id else ""
    parts = ((each, values.get(each)) for each in of.key)
    named = _named(connection, of, values, constraint) or ", ".join(f"{name} {shown(str(v))}" for name, v in parts if v)
    spelt = f" as {shown(found.name(of))}" if not key else ""
    return OperatorError(f"{of.typed}: {named} exists already{spelt}:{number}{f' of {whose}' if whose else ''}")


def _of_another(connection: Connection, of: Resource, values: Mapping[str, Any], tried: Tried) -> OperatorError | None:
    """Return the error of a reference to what belongs to an account beside or below; None where none is seen."""
    for each in of.written:
        text = values.get(each.name)
        if not each.refers or each.reach == "own" or not text:
            continue
        found = candidates(connection, resource(each.refers), text, tried.base)
        if not found or found[0].distance is not None:
            continue
        owner = paths(connection, [found[0].account_id]).get(found[0].account_id)
        if owner:
            option = tried.is_new and not of.parent
            where = (
                f"say --{of.owner} with an account at or below it" if option else "only it and those below may use it"
            )
            return OperatorError(f"{each.option}: {shown(text)} belongs to {owner}; {where}")
    return None


def _insist_on_currency(connection: Connection, of: Resource, values: Mapping[str, Any]) -> None:
    """Raise OperatorError for a currency that the platform does not have."""
    for name, code in values.items():
        if of.field(name).kind is not CURRENCY or code is None:
            continue
        if not connection.execute("select from tandem.currency c where c.code = %s", (code,)).fetchall():
            raise not_there(name, code)


def _held(of: Resource, row: Row, owner_id: int) -> dict[str, Any]:
    """Return column -> value of what a row holds, without its references. owner_id: whose it is, or will be."""
    held = {each.stored_in: each.read(row.values[each.name]) for each in of.written if _is_plain(each, row)}
    return held | ({of.parent_column: row.parent_id} if of.parent else {of.owner_column: owner_id})


def _is_plain(field: Field, row: Row) -> bool:
    return not field.refers and not field.rows and row.values[field.name] is not None


def _not_available(
    session: Session, of: Resource, values: Mapping[str, Any], error: psycopg.errors.UniqueViolation
) -> OperatorError:
    """Return the error of what is taken, by whomever."""
    if named := _named(session.connection, of, values, error.diag.constraint_name):
        return OperatorError(f"{of.typed}: {named} is not available")
    if error.diag.constraint_name:  # an index over a name whatever its case
        return OperatorError(f"{of.typed}: {_called(of, values)} is there already, in another case")
    if session.is_root:  # a trigger names both sides
        return refusal(error, is_root=True)
    return OperatorError(f"{of.typed}: an address or network of it is not available")


def _not_there(
    session: Session, of: Resource, values: Mapping[str, Any], error: psycopg.errors.ForeignKeyViolation, gone: int
) -> OperatorError:
    """Return the error of what is named and not there, or of what goes while it is named. gone: id of what goes."""
    if (error.diag.message_primary or "").startswith("update or delete"):
        user = _user(session.connection, error.diag.table_name or "", error.diag.constraint_name, gone)
        return OperatorError(f"{of.typed}: {_called(of, values)} is still in use by {user}")
    named = _named(session.connection, of, values, error.diag.constraint_name)
    return OperatorError(f"{of.typed}: {named} does not exist") if named else refusal(error, is_root=session.is_root)


def _user(connection: Connection, table: str, constraint: str | None, gone: int) -> str:
    """Return the first row of a table that names the one which goes; of rows that are not seen only what they are."""
    users = [each for each in RESOURCES if each.table == table]
    if not users:
        return one(words(table))
    ((columns,),) = connection.execute(_COLUMNS, (table, constraint)).fetchall()
    named = next((name for name in columns or () if name != "account_id"), "")  # which stands beside what it names
    for each in users if named and gone else ():
        found = first(connection, each, {named: gone})
        if found is not None and found.values[each.named_by[0]] is not None:
            return f"{each.one} {shown(found.name(each))}{f' of {found.parent}' if found.parent else ''}"
    return one(users[0].one)


def _called(of: Resource, values: Mapping[str, Any]) -> str:
    return shown(of.joint.join(str(values.get(name, "")) for name in of.named_by))


def _named(connection: Connection, of: Resource, values: Mapping[str, Any], constraint: str | None) -> str:
    """Return the fields that a constraint is about, with their values; "" where it is about none."""
    if not constraint:
        return ""
    ((columns,),) = connection.execute(_COLUMNS, (of.table, constraint)).fetchall()
    fields = [each for each in of.written if each.stored_in in (columns or ()) and not each.rows]
    told = [f"{each.name} {_spelt(each, values.get(each.name))}" for each in fields]
    if len(fields) <= NAMED_MAX:
        return ", ".join(told)
    said = [text for each, text in zip(fields, told, strict=True) if values.get(each.name) is not None]
    return ", ".join(said) or f"none of {', '.join(each.name for each in fields)} is said"


def _spelt(field: Field, stored: Any) -> str:
    plain = stored if field.refers else field.shown(field.read(None) if stored is None else stored)
    if plain is None:
        return NOTHING
    return str(plain) if isinstance(plain, int) and not isinstance(plain, bool) else shown(as_typed(plain))


def _insist_on_taking_along(of: Resource, row: Row, values: Mapping[str, Any]) -> None:
    """Raise OperatorError for a row that goes to another account and still names what stays behind."""
    for each in of.written:
        if each.reach == "own" and each.refers and row.values[each.name] is not None and each.name not in values:
            left = f"{each.option} {shown(str(row.values[each.name]))}"
            raise OperatorError(f"{of.typed}: {left} stays behind; say another one, or --{each.option} '' for none")


def _columns(connection: Connection, of: Resource, values: Mapping[str, Any], own: int, nearest: int) -> dict[str, Any]:
    """Return column -> value of what stands in the row itself. own, nearest: whence references are named, by reach."""
    columns = {}
    for name, stored in values.items():
        field = of.field(name)
        if field.rows:
            continue
        value = stored
        if field.refers and stored is not None:
            typed = field._replace(name=field.option)  # so a refusal names it
            value = find_reference(connection, typed, stored, own if field.reach == "own" else nearest)
        columns[field.stored_in] = value
    return columns


def touch(connection: Connection, of: Resource, row: Row, query: sql.SQL | sql.Composed, values: list[Any]) -> None:
    """Write to a row that is seen. Raises OperatorError where it is seen only."""
    if not connection.execute(query, values).rowcount:
        raise OperatorError(f"{of.typed}: {shown(row.name(of))} is not yours to change")


def _key(of: Resource) -> sql.Composed:
    return sql.SQL(" and ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in of.primary)


def _stored(of: Resource, row: Row) -> dict[str, Any]:
    """Return what a row holds as it is written: field -> stored form, of a reference its text."""
    return {
        each.name: row.values[each.name] if each.refers else each.read(row.values[each.name])
        for each in of.written
        if row.values[each.name] is not None
    }


def write_lists(connection: Connection, of: Resource, row_id: int, lists: Mapping[str, Any]) -> None:
    """Make lists that are tables of their own hold these items and no others."""
    for name, items in lists.items():
        rows = of.field(name).rows
        assert rows is not None  # noqa: S101  chosen by it
        where = {rows.parent_column: row_id, **rows.where}
        gone = sql.SQL("delete from tandem.{} where {}").format(
            sql.Identifier(rows.table),
            sql.SQL(" and ").join(sql.SQL("{} = %s").format(sql.Identifier(each)) for each in where),
        )
        connection.execute(gone, list(where.values()))
        come = sql.SQL("insert into tandem.{} ({}) values ({}, {})").format(
            sql.Identifier(rows.table),
            sql.SQL(", ").join(map(sql.Identifier, (*where, *rows.columns))),
            sql.SQL(", ").join(sql.Placeholder() * len(where)),
            sql.SQL(rows.values),
        )
        with connection.cursor() as cursor:
            cursor.executemany(come, [(*where.values(), *item) for item in items])
