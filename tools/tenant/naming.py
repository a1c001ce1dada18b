"""How rows are named: a name of one's own, of the nearest account above, `North/plus`, `../plus`, or `#5` for an id.

Rule 1: what is shown finds the same row again. Rule 2: a name comes before an id that is spelt alike; `#5` is an id.
Rule 3: only rows that the acting account sees are found; all else does not exist, in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from psycopg import sql

from tools.errors import OperatorError
from tools.session import NAMESAKES_SHOWN, Connection, begins_path, find_account, not_there, shown
from tools.tenant.catalogue import above, resource
from tools.tenant.model import Field, Resource

CANDIDATES_MAX: Final = 20  # the nearest of rows that are named alike
UNSEEN: Final = ".."  # the owner above whom the acting account does not see
# The limit keeps Postgres from reading all accounts to find a few hundred by their keys.
_PATHS: Final = """
with recursive up as (
  select a.id as of_account, a.name::text as path, a.parent_id, 1 as used
    from tandem.account a where a.id = any (%s::bigint[])
  union all
  select up.of_account, above.name || '/' || up.path, above.parent_id, up.used + 1
    from up
    cross join lateral (select a.name, a.parent_id from tandem.account a where a.id = up.parent_id limit 1) as above
)
select distinct on (of_account) of_account, path from up order by of_account, used desc
"""
_ID: Final = re.compile(r"#?([0-9]{1,18})", re.ASCII)


class Condition(NamedTuple):
    """What a row fulfils. text: SQL over `r` with a %s for the value; a text takes the type of the column."""

    text: sql.Composable
    value: object


class Candidate(NamedTuple):
    """A row that a text may mean. distance: of its owner above the account that asks; None = elsewhere, or not seen."""

    id: int
    account_id: int
    distance: int | None


def table(of: Resource, alias: str) -> sql.Composed:
    """Return `tandem.<table> <alias>` to read from."""
    return sql.SQL("tandem.{} {}").format(sql.Identifier(of.view or of.table), sql.Identifier(alias))


def column(alias: str, name: str) -> sql.Identifier:
    """Return a column of a table's alias."""
    return sql.Identifier(alias, name)


def source(of: Resource) -> tuple[sql.Composed, sql.Identifier]:
    """Return what a resource's rows `r` come from, with the rows they belong to, and the column of their owner."""
    parts, at, alias = table(of, "r"), of, "r"
    number = 0
    while (upper := above(at)) is not None:
        number += 1
        joined = f"p{number}"
        parts += sql.SQL(" join {} on {} = {}").format(
            table(upper, joined), column(joined, "id"), column(alias, at.parent_column)
        )
        at, alias = upper, joined
    return parts, column(alias, at.owner_column)


def label(of: Resource, alias: str) -> sql.Composed:
    """Return SQL for the name that a row has among those of its owner or its parent."""
    names = [of.field(name) for name in of.named_by]
    parts: list[sql.Composable] = [
        sql.SQL("(select {} from {} where {} = {})").format(
            label(resource(each.refers), "u"),
            table(resource(each.refers), "u"),
            column("u", "id"),
            column(alias, each.stored_in),
        )
        if each.refers
        else sql.SQL("{}::text").format(column(alias, each.stored_in))
        for each in names
    ]
    for place in range(len(parts) - 1, 0, -1):
        parts.insert(place, sql.Literal(of.joint))
    return sql.SQL(" || ").join(parts)


def reference(field: Field) -> sql.Composed:
    """Return SQL for a reference of the row `r`: a name, or where names are their owner's only, [owner, name]."""
    of = resource(field.refers)
    name = label(of, "x")
    if not of.is_global:
        name = sql.SQL("jsonb_build_array({}, {})").format(column("x", of.owner_column), name)
    return sql.SQL("(select {} from {} where {} = {})").format(
        name, table(of, "x"), column("x", "id"), column("r", field.stored_in)
    )


def spelt(found: Any, base: int, paths: Mapping[int, str]) -> str | None:
    """Return the plain form of what `reference` gave. base: the account that it is named from."""
    if not isinstance(found, list):
        return None if found is None else str(found)
    owner, name = found
    return str(name) if owner == base else f"{paths.get(owner, UNSEEN)}/{name}"


def paths(connection: Connection, accounts: Iterable[int]) -> dict[int, str]:
    """Return account -> its path as far as it is seen, of those that are seen: one question however many they are."""
    wanted = sorted(set(accounts))
    return dict(connection.execute(_PATHS, (wanted,)).fetchall()) if wanted else {}


def find_reference(connection: Connection, field: Field, text: str, base: int) -> int:
    """Return the id of the row that a reference names. base: the account that it is named from.

    Raises OperatorError when there is none, when several are equally near, or when it is another account's.
    """
    return find_named(connection, resource(field.refers), text, base, field.name, own_only=field.reach == "own")


def find_named(
    connection: Connection, of: Resource, text: str, base: int, called: str, *, own_only: bool = False
) -> int:
    """Return the id of the row of accounts that a text names: a tariff, a carrier, a set … by name, path or `#5`.

    base: the account that it is named from. called: the field or option, for errors. own_only: only of that account.
    Raises OperatorError when there is none, when several are equally near, or when it is another account's.
    """
    found = candidates(connection, of, text, base)
    if not found:
        raise not_there(called, text)
    if own_only:
        own = [each for each in found if each.distance == 0]
        if not own:
            raise OperatorError(f"{called}: {shown(text)} is another account's; it has to be one of the same account")
        found = own
    nearest = [each for each in found if each.distance == found[0].distance]
    if len(nearest) > 1:
        first = nearest[:NAMESAKES_SHOWN]
        seen = paths(connection, (each.account_id for each in first))
        ids = ", ".join(f"#{each.id} of {seen.get(each.account_id, UNSEEN)}" for each in first)
        raise OperatorError(f"{called}: several are called {shown(text)}, give the id or a path: {ids}")
    return nearest[0].id


def candidates(connection: Connection, of: Resource, text: str, base: int) -> list[Candidate]:
    """Return the rows of accounts that a text may mean, nearest first: by path and name, by name, or by id.

    What begins with the name of an account is no name: some have one with a / from former releases.
    """
    found: list[Candidate] = []
    may_be_path = "/" in text and not of.is_global
    if may_be_path:
        owner, _, name = text.rpartition("/")
        found = _by_path(connection, of, owner, name, base)
    if not found and not (may_be_path and begins_path(connection, text)):
        named = conditions(connection, of, text)
        found = _matching(connection, of, named, base) if named else []
    if not found and (row_id := id_of(of, text)) is not None:
        found = _matching(connection, of, [equal("r", "id", row_id)], base)
    return found


def id_of(of: Resource, text: str) -> int | None:
    """Return the id that a text says, None where it says none."""
    match = _ID.fullmatch(text)
    if match is None or not of.has_id or not (of.bare_ids or text.startswith("#")):
        return None
    return int(match[1])


def equal(alias: str, name: str, value: object) -> Condition:
    """Return that a column has a value."""
    return Condition(sql.SQL("{} = %s").format(column(alias, name)), value)


def all_of(conditions: Iterable[Condition]) -> tuple[sql.Composed, list[object]]:
    """Return one condition and its values."""
    found = list(conditions)
    return sql.SQL(" and ").join(each.text for each in found), [each.value for each in found]


def conditions(connection: Connection, of: Resource, text: str) -> list[Condition]:
    """Return what a row named by a text fulfils; nothing where no row could be named so."""
    found: list[Condition] = []
    for name, part in of.parts(text).items():
        field = of.field(name)
        try:
            stored = field.typed(part)
            if field.refers:
                stored = find_reference(connection, field, part, 0)
        except OperatorError:
            return []
        found.append(equal("r", field.stored_in, str(stored)))
    return found


def _by_path(connection: Connection, of: Resource, owner: str, name: str, base: int) -> list[Candidate]:
    named = conditions(connection, of, name)
    if not named:
        return []
    if owner == UNSEEN:
        found = _anywhere(connection, of, named)
        seen = paths(connection, (each.account_id for each in found))
        return [each for each in found if each.account_id not in seen]
    try:
        account = find_account(connection, owner)
    except OperatorError:
        return []
    return _matching(connection, of, [*named, equal("r", of.owner_column, account.id)], base)


def _matching(connection: Connection, of: Resource, named: list[Condition], base: int) -> list[Candidate]:
    """Return rows of the account and of those above that are seen, nearest first; others only where there are none."""
    where, values = all_of(named)
    # The limit keeps Postgres from comparing all rows that are called so with all accounts that are seen.
    near = sql.SQL(
        "select r.id, {owner}, link.distance from tandem.chain(%s) as link cross join lateral ("
        "select r.id, {owner} from {table} where {owner} = link.account_id and {where} order by r.id limit {most}"
        ") as r order by link.distance, r.id limit {most}"
    ).format(owner=column("r", of.owner_column), table=table(of, "r"), where=where, most=sql.Literal(CANDIDATES_MAX))
    rows: list[Any] = connection.execute(near, (base, *values)).fetchall()
    return [Candidate(*row) for row in rows] or _anywhere(connection, of, named)


def _anywhere(connection: Connection, of: Resource, named: list[Condition]) -> list[Candidate]:
    """Return rows whosoever they are; how far above their owner is, is not said."""
    where, values = all_of(named)
    query = sql.SQL("select r.id, {owner}, null from {table} where {where} order by r.id limit %s").format(
        owner=column("r", of.owner_column), table=table(of, "r"), where=where
    )
    rows: list[Any] = connection.execute(query, (*values, CANDIDATES_MAX)).fetchall()
    return [Candidate(*row) for row in rows]
