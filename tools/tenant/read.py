"""Rows of resources as the acting account sees them, by pages, filters and names.

Rule 1: what bounds a page is asked first and by an index: the owner, the row it belongs to, the beginning of its name.
Rule 2: columns are named one by one: some of a table are secrets that the acting account may not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from psycopg import sql

from tools.errors import OperatorError
from tools.session import NAMESAKES_SHOWN, Connection, begins_path, find_account, not_there, shown
from tools.tenant.catalogue import above
from tools.tenant.model import ACCOUNT, Field, Plain, Resource
from tools.tenant.naming import (
    Condition,
    all_of,
    column,
    conditions,
    equal,
    id_of,
    label,
    paths,
    reference,
    source,
    spelt,
)

COUNTED_MAX: Final = 4_000  # rows that a page's line counts; more are "more than"

# Few enough to be sorted here: told to sort by id, Postgres would look for them in the order of ids.
_UNSORTED: Final = sql.SQL("")


class Where(NamedTuple):
    """Which rows. owner_id, parent_id: 0 = of any. begins: of the name; of a number that is no text, all of it."""

    owner_id: int = 0
    parent_id: int = 0
    begins: str = ""


class Row(NamedTuple):
    """A row. primary: values of the primary key. owner: path of its account; "" where that is not seen.

    parent: how the row that it belongs to is named; "" = it is an account's own. values: field -> plain form.
    """

    primary: tuple[Any, ...]
    owner_id: int
    owner: str
    parent_id: int
    parent: str
    values: dict[str, Plain]

    def name(self, of: Resource) -> str:
        """Return how a person names it."""
        return of.joint.join(str(self.values[name]) for name in of.named_by)

    def as_dict(self, of: Resource) -> dict[str, Any]:
        """Return it as programs read it: the keys never change, values are plain."""
        head: dict[str, Any] = {"id": self.primary[0]} if of.has_id else {}
        if of.parent:
            head |= {of.parent: self.parent, f"{of.parent}_id": self.parent_id}
        return {**head, of.owner: self.owner, f"{of.owner}_id": self.owner_id, **self.values}


def page(connection: Connection, of: Resource, where: Where, limit: int | None) -> list[Row]:
    """Return rows in the order of their positions, where they have some, and of their keys. limit: None = all."""
    places = ("position",) if "position" in of.by_name and where.parent_id else ()
    order = sql.SQL(", ").join(column("r", name) for name in (*places, *of.primary))
    if where.begins and not where.owner_id and not of.parent:
        # By bytes, as the indexes for beginnings of names have them: the first page is read and no more.
        order = sql.SQL("{}::text using ~<~, {}").format(_name(of), order)
    return _rows(connection, of, _filters(of, where), sql.SQL(" order by {}").format(order), limit)


def names(connection: Connection, of: Resource, begins: str, limit: int) -> list[str]:
    """Return names of rows that begin so, in their order."""
    tables, owner = source(of)
    condition, values = _where(_filters(of, Where(begins=begins)), owner)
    query = sql.SQL("select {} from {} where {} order by {}::text using ~<~ limit %s").format(
        label(of, "r"), tables, condition, _name(of)
    )
    return [str(name) for (name,) in connection.execute(query, (*values, limit)).fetchall()]


def count(connection: Connection, of: Resource, where: Where) -> int:
    """Return how many rows there are, at most COUNTED_MAX + 1."""
    tables, owner = source(of)
    condition, values = _where(_filters(of, where), owner)
    query = sql.SQL("select count(*) from (select from {} where {} limit %s) as counted").format(tables, condition)
    return int(connection.execute(query, (*values, COUNTED_MAX + 1)).fetchall()[0][0])


def find(connection: Connection, of: Resource, text: str, where: Where) -> Row:
    """Return the one row that a person names, by path, name, `#5` or id.

    What begins with the name of an account is a path. Raises OperatorError: there is none, or several.
    """
    filters = _filters(of, where)
    owner, name = "", text
    if not of.parent and not of.is_global and begins_path(connection, text):
        owner, _, name = text.rpartition("/")
        filters = [*filters, equal("r", of.owner_column, find_account(connection, owner, of.owner).id)]
    named = conditions(connection, of, name)
    found = _rows(connection, of, [*filters, *named], _UNSORTED, NAMESAKES_SHOWN + 1) if named else []
    if not found and not owner and (row_id := id_of(of, text)) is not None:
        found = _rows(connection, of, [*filters, equal("r", "id", row_id)], _UNSORTED, 1)
    if not found:
        raise not_there(of.typed, text)
    if len(found) > 1:
        raise OperatorError(f"{of.typed}: several are called {shown(text)}, {_told_apart(of, found)}")
    return found[0]


def again(connection: Connection, of: Resource, primary: Sequence[Any]) -> Row:
    """Return a row that was just written; nobody writes what is out of sight."""
    key = [equal("r", name, value) for name, value in zip(of.primary, primary, strict=True)]
    return _rows(connection, of, key, _UNSORTED, 1)[0]


def having(connection: Connection, of: Resource, columns: Mapping[str, Any]) -> Row | None:
    """Return the row that is seen and has these values; None where there is none."""
    found = _rows(connection, of, [equal("r", name, value) for name, value in columns.items()], _UNSORTED, 1)
    return found[0] if found else None


def first(connection: Connection, of: Resource, columns: Mapping[str, Any]) -> Row | None:
    """Return the oldest of the rows that are seen and have these values; None where there is none."""
    order = sql.SQL(" order by {}").format(sql.SQL(", ").join(column("r", name) for name in of.primary))
    found = _rows(connection, of, [equal("r", name, value) for name, value in columns.items()], order, 1)
    return found[0] if found else None


def of_any_case(connection: Connection, of: Resource, columns: Mapping[str, Any]) -> Row | None:
    """Return the row of the same owner that is seen and has this name, whatever its case; None where there is none."""
    _, owner = source(of)
    name = sql.SQL("lower({}) = lower(%s)").format(_name(of))
    mine = Condition(sql.SQL("{} = %s").format(owner), columns[of.owner_column])
    found = _rows(connection, of, [mine, Condition(name, columns[of.field(of.named_by[0]).stored_in])], _UNSORTED, 1)
    return found[0] if found else None


def _told_apart(of: Resource, found: Sequence[Row]) -> str:
    """Return how to say which of several rows is meant."""
    more = ", …" if len(found) > NAMESAKES_SHOWN else ""
    if of.has_id:
        some = sorted(found, key=lambda each: int(each.primary[0]))[:NAMESAKES_SHOWN]
        ids = ", ".join(f"#{each.primary[0]} of {each.parent or each.owner}" for each in some)
        return f"give the id: {ids}{more}"
    names = ", ".join(sorted(each.parent or each.owner for each in found[:NAMESAKES_SHOWN]))
    return f"say by --{(of.parent or of.owner).replace('_', '-')} of which: {names}{more}"


def _rows(
    connection: Connection, of: Resource, filters: Sequence[Condition], order: sql.Composable, limit: int | None
) -> list[Row]:
    tables, owner = source(of)
    upper = above(of)
    columns: list[sql.Composable] = [column("r", name) for name in of.primary]
    columns += [owner]
    columns += [column("r", of.parent_column), label(upper, "p1")] if upper else [sql.SQL("0"), sql.SQL("''")]
    columns += map(_read, of.fields)
    condition, values = _where(filters, owner)
    query = sql.SQL("select {} from {} where {}{} limit %s").format(
        sql.SQL(", ").join(columns), tables, condition, order
    )
    found = connection.execute(query, (*values, limit)).fetchall()
    seen = paths(connection, _owners(of, found))
    return [_row(of, row, seen) for row in found]


def _owners(of: Resource, found: Sequence[tuple[Any, ...]]) -> Iterator[int]:
    """Yield the accounts that rows belong to, and those whose rows they name."""
    width = len(of.primary)
    named = [width + 3 + place for place, field in enumerate(of.fields) if field.refers]
    for row in found:
        if row[width] is not None:  # the root is nobody's
            yield row[width]
        yield from (row[place][0] for place in named if isinstance(row[place], list))


def _row(of: Resource, row: tuple[Any, ...], seen: Mapping[int, str]) -> Row:
    """Return a row from what was read. seen: paths of accounts."""
    width = len(of.primary)
    primary, (owner_id, parent_id, parent), stored = row[:width], row[width : width + 3], row[width + 3 :]
    values = {}
    for field, value in zip(of.fields, stored, strict=True):
        # An account names what it may use from itself; what its parent has to own, from there.
        base = primary[0] if of.name == ACCOUNT and field.reach == "above" else owner_id
        values[field.name] = spelt(value, base, seen) if field.refers else field.shown(value)
    if of.lent and owner_id not in seen:
        values = {name: value if name in of.lent else None for name, value in values.items()}
    return Row(primary, owner_id, seen.get(owner_id, ""), parent_id, parent or "", values)


def _read(field: Field) -> sql.Composable:
    """Return SQL for what a field is made from."""
    if field.computed:
        return sql.SQL(field.computed)
    if field.rows:
        return _list(field)
    return reference(field) if field.refers else column("r", field.stored_in)


def _list(field: Field) -> sql.Composable:
    rows = field.rows
    assert rows is not None  # noqa: S101  the caller asked
    where = [sql.SQL("{} = r.id").format(column("c", rows.parent_column))]
    where += [sql.SQL("{} = {}").format(column("c", name), sql.Literal(value)) for name, value in rows.where.items()]
    return sql.SQL("(select coalesce(jsonb_agg({}), '[]') from tandem.{} c where {})").format(
        sql.SQL(rows.read),
        sql.Identifier(rows.table),
        sql.SQL(" and ").join(where),
    )


def _filters(of: Resource, where: Where) -> list[Condition]:
    found = []
    if where.owner_id:
        _, owner = source(of)
        found.append(Condition(sql.SQL("{} = %s").format(owner), where.owner_id))
    if where.parent_id:
        found.append(equal("r", of.parent_column, where.parent_id))
    if where.begins:
        # starts_with is leakproof, like is not: below a policy only the former may use an index.
        found.append(Condition(sql.SQL("{}::text ^@ %s").format(_name(of)), where.begins))
    return found


def _name(of: Resource) -> sql.Identifier:
    """Return the column that the beginning of names is looked for in."""
    return column("r", of.field(of.named_by[0]).stored_in)


def _where(filters: Sequence[Condition], owner: sql.Composable) -> tuple[sql.Composed, list[object]]:
    """Return one condition and its values. Without any: rows with an owner, which leaves out the root of accounts."""
    return all_of(filters) if filters else (sql.SQL("{} is not null").format(owner), [])
