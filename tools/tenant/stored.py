"""What a database has of what a file describes: one query a resource, whatever the number of accounts.

Rule 1: only lists that the file says are read, and rows elsewhere that have a name which the file wants.
Rule 2: no hash is read; whether a password is the stored one, the database says (secrets.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from psycopg import sql

from tools.session import Connection, Session, find_account
from tools.tenant import stored_prices
from tools.tenant.described import DESCRIBED, PRICES, SECRET, sections_of
from tools.tenant.document import Document
from tools.tenant.model import ACCOUNT, Field, Resource
from tools.tenant.naming import column, label, paths, table
from tools.tenant.world import Address, Current, Outside, Path, Row, Stored, Wanted

_IN_FORCE: Final = sql.SQL(
    "case when exists (select from tandem.tariff_deck d where d.tariff_id = r.id and d.valid_from <= now())"
    " then (select d.rate_set_id from tandem.tariff_deck d where d.tariff_id = r.id and d.valid_from <= now()"
    " order by d.valid_from desc limit 1) else r.rate_set_id end"
)
_CHILD: Final = "select a.id from tandem.account a where a.parent_id = %s and a.name = %s"


class Scope(NamedTuple):
    """What to read. says: whether a list of an account or a row is read; describes: whether an account's lists are.

    rows: what has a key that may be taken elsewhere.
    """

    says: Callable[[str, Path | Address], bool]
    describes: Callable[[Address], bool]
    rows: Mapping[Address, Row]


class Found(NamedTuple):
    """Where the described account is. top_id None: it is not there yet. parent_id None: it is the root."""

    top_id: int | None
    parent_id: int | None


class World(NamedTuple):
    """What was read. ids: of accounts by path. addresses: (resource, id) -> address, of rows that have an id."""

    found: Found
    ids: Mapping[Path, int]
    current: Current
    addresses: Mapping[tuple[str, int], Address]


class _Raw(NamedTuple):
    """A row as it was read. upper: id of its account or parent row. words: field -> name of what it refers to."""

    primary: tuple[Any, ...]
    upper: int
    stored: Mapping[str, Any]
    words: Mapping[str, str]


class _Kept(NamedTuple):
    """A row with its place in the world; its references are ids still."""

    resource: Resource
    under: Path | Address
    owner: Path
    raw: _Raw
    elsewhere: str


def find_top(acting: Session, document: Document) -> Found:
    """Return where the described account is, or is to be made. Raises OperatorError where that is nowhere."""
    name = str(document.top.at.key[0])
    connection = acting.connection
    if not document.below and name == acting.name:
        own = connection.execute("select parent_id from tandem.account where id = %s", (acting.account_id,))
        return Found(acting.account_id, own.fetchall()[0][0])
    parent_id = find_account(connection, document.below, "below").id if document.below else acting.account_id
    found = connection.execute(_CHILD, (parent_id, name)).fetchone()
    return Found(None if found is None else found[0], parent_id)


def scope_of(wanted: Wanted) -> Scope:
    """Return what has to be read for the lists of a file."""
    return Scope(lambda name, under: (name, under) in wanted.sections, lambda at: at in wanted.rows, wanted.rows)


def everything(*, subtree: bool) -> Scope:
    """Return the scope of all that an account has. subtree: also of the accounts below it."""
    return Scope(lambda name, _: subtree or name != ACCOUNT, lambda _: True, {})


def read_world(connection: Connection, found: Found, scope: Scope, rates_max: int) -> World:
    """Read what the lists have now. rates_max: a longer price list is not read, and equals none."""
    reader = _Reader(connection, found, scope)
    reader.read()
    return World(found, reader.ids, Current(dict(reader.rows(rates_max))), reader.addresses)


class _Reader:
    def __init__(self, connection: Connection, found: Found, scope: Scope) -> None:
        self._connection = connection
        self._found = found
        self._scope = scope
        self._kept: dict[Address, _Kept] = {}
        self.ids: dict[Path, int] = {}
        self.addresses: dict[tuple[str, int], Address] = {}

    def read(self) -> None:
        """Read accounts, then what they have, then what others have of what is wanted."""
        self._accounts()
        for resource in sections_of("account").values():
            if resource.name != "account":
                self._owned(resource)
        for resource in DESCRIBED.values():
            if resource.is_global:
                self._elsewhere(resource)

    def _accounts(self) -> None:
        """Read the described account, and level by level those in lists of accounts that are said."""
        account = DESCRIBED["account"]
        if self._found.top_id is None:
            return
        level: list[Path] = []
        for raw in self._take(account, _any_of("id", [self._found.top_id])):
            level = [self._keep_account(account, raw, ())]
        while level:
            said = {self.ids[path]: path for path in level if self._scope.says(ACCOUNT, path)}
            raws = self._take(account, _any_of("parent_id", list(said))) if said else []
            below = [self._keep_account(account, raw, said[raw.upper]) for raw in raws]
            level = [path for path in below if path in self.ids]

    def _keep_account(self, account: Resource, raw: _Raw, under: Path) -> Path:
        at = self._keep(account, raw, under, under)
        path = (*under, str(at.key[0]))
        if self._scope.describes(at):
            self.ids[path] = raw.primary[0]
        return path

    def _owned(self, resource: Resource) -> None:
        said = {key: path for path, key in self.ids.items() if self._scope.says(resource.name, path)}
        if not said:
            return
        for raw in self._take(resource, _any_of(resource.owner_column, list(said))):
            self._keep(resource, raw, said[raw.upper], said[raw.upper])
        self._children(resource)

    def _children(self, resource: Resource) -> None:
        for inner in sections_of(resource.name).values():
            parents = {
                kept.raw.primary[0]: at
                for at, kept in self._kept.items()
                if at.resource == resource.name and self._scope.says(inner.name, at)
            }
            for raw in self._take(inner, _any_of(inner.parent_column, list(parents))) if parents else []:
                under = parents[raw.upper]
                self._keep(inner, raw, under, self._kept[under].owner)
            self._children(inner)

    def _elsewhere(self, resource: Resource) -> None:
        """Read rows of other lists that have the key of a row which is wanted."""
        missing = [at for at in self._scope.rows if at.resource == resource.name and at not in self._kept]
        if not missing:
            return
        conditions = [
            _key_is_any(resource.field(name), list({at.key[place] for at in missing}))
            for place, name in enumerate(resource.key)
        ]
        described = {key: path for path, key in self.ids.items()}
        raws = self._take(resource, sql.SQL(" and ").join(conditions))
        found = [raw for raw in raws if _address(resource, raw, ()) in self._scope.rows]
        owners = {} if resource.parent else paths(self._connection, [raw.upper for raw in found])
        for raw in found:
            under = self.addresses.get((resource.parent, raw.upper)) if resource.parent else described.get(raw.upper)
            if under is None:
                self._keep(resource, raw, (), (), owners.get(raw.upper) or "another account")
            else:
                self._keep(resource, raw, under, self._kept[under].owner if isinstance(under, Address) else under)

    def _keep(self, resource: Resource, raw: _Raw, under: Path | Address, owner: Path, elsewhere: str = "") -> Address:
        at = _address(resource, raw, () if resource.is_global else under)
        if at in self._kept:  # only of contacts: nothing makes their addresses unique
            at = at._replace(key=(*at.key, raw.primary[0]))
        self._kept[at] = _Kept(resource, under, owner, raw, elsewhere)
        if resource.has_id:
            self.addresses[resource.name, raw.primary[0]] = at
        return at

    def rows(self, rates_max: int) -> Iterator[tuple[Address, Stored]]:
        """Yield what was read with all references and price lists found."""
        sets = {
            kept.raw.stored[field.name]
            for kept in self._kept.values()
            for field in kept.resource.fields
            if field.kind is PRICES
        }
        lists = stored_prices.read(self._connection, [each for each in sets if each is not None], rates_max)
        for at, kept in self._kept.items():
            values = {
                field.name: self._value(field, kept.raw.stored[field.name], lists)
                for field in kept.resource.written
                if field.kind is not SECRET
            }
            yield at, Stored(at, kept.under, kept.owner, values, kept.raw.primary, kept.elsewhere)

    def _value(self, field: Field, stored: Any, lists: Mapping[int, Any]) -> Any:
        if stored is None:
            return None
        if field.refers:
            return self.addresses.get((field.refers, stored), Outside(field.refers, stored))
        return lists[stored] if field.kind is PRICES else field.shown(stored)

    def _take(self, resource: Resource, where: sql.Composable) -> Sequence[_Raw]:
        fields = [field for field in resource.written if field.kind is not SECRET]
        words = [field for field in fields if field.refers and field.name in resource.key]
        upper = column("r", resource.parent_column or resource.owner_column)
        columns: list[sql.Composable] = [*(column("r", name) for name in resource.primary), upper]
        columns += [_read(resource, field) for field in fields]
        columns += [_word(field) for field in words]
        order = sql.SQL(", ").join(column("r", name) for name in resource.primary)
        only = sql.SQL(" and r.valid_from > now()") if resource.name == "deck" else sql.SQL("")
        query = sql.SQL("select {} from {} where {}{} order by {}").format(
            sql.SQL(", ").join(columns), table(resource, "r"), where, only, order
        )
        width = len(resource.primary)
        values, named = slice(width + 1, width + 1 + len(fields)), slice(width + 1 + len(fields), None)
        return [
            _Raw(
                row[:width], row[width],
                dict(zip((field.name for field in fields), row[values], strict=True)),
                dict(zip((field.name for field in words), row[named], strict=True)),
            )
            for row in self._connection.execute(query).fetchall()
        ]  # fmt: skip


def _address(resource: Resource, raw: _Raw, scope: Path | Address) -> Address:
    fields = (resource.field(name) for name in resource.key)
    key = (
        raw.words[field.name] if field.refers else field.shown(raw.stored[field.name])
        for field in fields
    )  # fmt: skip
    return Address(resource.name, scope, tuple(key))


def _read(resource: Resource, field: Field) -> sql.Composable:
    """Return SQL for what a field is made from."""
    if field.rows is not None:
        where = [sql.SQL("{} = r.id").format(column("c", field.rows.parent_column))]
        where += [
            sql.SQL("{} = {}").format(column("c", name), sql.Literal(is_)) for name, is_ in field.rows.where.items()
        ]
        return sql.SQL("(select coalesce(jsonb_agg({}), '[]') from tandem.{} c where {})").format(
            sql.SQL(field.rows.read),
            sql.Identifier(field.rows.table),
            sql.SQL(" and ").join(where),
        )
    if resource.name == "tariff" and field.name == "prices":
        return _IN_FORCE
    return column("r", field.stored_in)


def _word(field: Field) -> sql.Composable:
    """Return SQL for the name of what a field refers to, as keys have it."""
    of = DESCRIBED[field.refers]
    return sql.SQL("(select {} from {} where u.id = {})").format(
        label(of, "u"), table(of, "u"), column("r", field.stored_in)
    )


def _any_of(name: str, ids: Sequence[int]) -> sql.Composed:
    return sql.SQL("{} = any ({}::bigint[])").format(column("r", name), sql.Literal(list(ids)))


def _key_is_any(field: Field, values: Sequence[Any]) -> sql.Composed:
    """Return SQL for a key field that is one of some plain values; a reference by the name of what it refers to."""
    if field.refers:
        of = DESCRIBED[field.refers]
        return sql.SQL("{} in (select u.id from {} where {} = any ({}::text[]))").format(
            column("r", field.stored_in), table(of, "u"), label(of, "u"), sql.Literal([str(each) for each in values])
        )
    # Unknown literals take the column's own type, so that its index is used.
    texts = sql.SQL(", ").join(sql.Literal(str(each)) for each in values)
    return sql.SQL("{} in ({})").format(column("r", field.stored_in), texts)
