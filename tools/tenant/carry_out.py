"""Steps as statements: a plan written in one transaction, and what the database refuses told with the file's line.

Rule: this module decides nothing; what it cannot write as it stands undoes everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Final

import psycopg
from psycopg import sql

from tools.errors import OperatorError
from tools.session import Session, refusal
from tools.tenant import stored_prices
from tools.tenant.described import DESCRIBED, LIMIT, PRICES, SECRET
from tools.tenant.difference import Change
from tools.tenant.model import ACCOUNT, Field, Resource
from tools.tenant.order import Step
from tools.tenant.passwords import Hashes
from tools.tenant.prices import PriceList
from tools.tenant.references import called
from tools.tenant.stored import World
from tools.tenant.world import Address, Outside, Path
from tools.tenant.write import told, write_lists

BATCH: Final = 500  # rows of a statement: the longest has some 15 columns, of 65535 values that a statement may have

_PARK: Final = """
update tandem.peering_server set address = null, aliases = '{}', host = 'moved-' || id || '.invalid' where id = %s
"""
_IN_FORCE: Final = """
select exists (select from tandem.tariff_deck d where d.tariff_id = %s and d.valid_from <= now())
"""
_NEW_DECK: Final = """
insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (%(tariff)s, now(), %(set)s)
on conflict on constraint two_decks_do_not_begin_together do update set rate_set_id = excluded.rate_set_id
"""
_PARENT_LACKS: Final = "an_account_gives_at_most_what_it_has"
_NAME: Final = "select a.name from tandem.account a where a.id = %s"
_FUND: Final = "select from tandem.fund f where f.account_id = %s and f.currency = %s"
_CHILD: Final = "select a.id from tandem.account a where a.parent_id = %s and a.name = %s"


def carry_out(acting: Session, steps: Sequence[Step], world: World, file: str) -> None:
    """Write the steps. file: named in what is refused. Raises OperatorError."""
    writer = _Writer(acting, world)
    for batch in _batches(steps):
        if len(batch) > 1 and _wrote_together(acting, writer, batch):
            continue
        for step in batch:  # one by one, so that what is refused has its line
            with _placed(acting, step, world, file):
                writer.write(step)


def _batches(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    """Yield steps as they come, and new rows with the same columns together."""
    for _, alike in groupby(steps, lambda step: (step.action, step.change.at.resource, step.names)):
        batch = list(alike)
        resource = DESCRIBED[batch[0].change.at.resource]
        fields = [resource.field(name) for name in batch[0].names]
        is_plain = batch[0].action == "add" and resource.name not in {ACCOUNT, LIMIT.name}
        size = BATCH if is_plain and not any(each.rows or each.kind is PRICES for each in fields) else 1
        yield from (batch[start : start + size] for start in range(0, len(batch), size))


def _wrote_together(acting: Session, writer: _Writer, batch: Sequence[Step]) -> bool:
    """Write new rows with one statement; return False, with nothing written, where the database refuses some.

    Raises psycopg.OperationalError where somebody else is in the way, or the database is gone: one by one is no better.
    """
    try:
        with acting.connection.transaction():
            writer.add_together(batch)
    except psycopg.OperationalError:
        raise
    except psycopg.Error:
        return False
    return True


@contextmanager
def _placed(acting: Session, step: Step, world: World, file: str) -> Iterator[None]:
    """Say with file and line what the database refuses."""
    resource = DESCRIBED[step.change.at.resource]
    stored = step.change.stored
    gone = stored.primary[0] if stored and step.action == "remove" and resource.has_id else 0
    try:
        with told(acting, resource, _as_tried(resource, step), gone=gone):
            yield
    except psycopg.Error as error:
        raise _at(step.change, file, str(refusal(error, is_root=acting.is_root))) from error
    except OperatorError as error:
        why = error.__cause__
        lacks = isinstance(why, psycopg.Error) and why.diag.constraint_name == _PARENT_LACKS
        raise _at(step.change, file, _not_given(acting, step, world) if lacks else str(error)) from error


def _not_given(acting: Session, step: Step, world: World) -> str:
    """Return the sentence about a right that the account above has not."""
    row = step.change.row
    assert row is not None  # noqa: S101  only new rights lack anything
    above = row.owner[-2:-1] or acting.connection.execute(_NAME, (world.found.parent_id,)).fetchone()
    has_not = f"{above[0] if above else 'the account'} above it does not have it"
    return f"right: {called(row.at)!r} cannot be given to {row.owner[-1]}: {has_not}"


def _at(change: Change, file: str, said: str) -> OperatorError:
    if change.row is None:
        return OperatorError(f"{file}: {change.at.resource} {called(change.at)}, which it leaves out: {said}")
    return OperatorError(f"{file}:{change.row.place.line}: {change.row.place.path}: {said}")


def _as_tried(resource: Resource, step: Step) -> dict[str, Any]:
    """Return field -> stored form, of a reference its name, for the sentence about a refusal; no secrets."""
    row = step.change.row or step.change.stored
    tried: dict[str, Any] = {}
    for field in resource.written:
        value = None if row is None else row.values.get(field.name)
        if value is None or field.kind is PRICES or field.kind is SECRET:
            continue
        if field.refers:
            tried[field.name] = called(value) if isinstance(value, Address) else ""
        else:
            tried[field.name] = field.read(value)
    return tried


class _Writer:
    """Knows the keys of rows that are there, and learns those of new ones."""

    def __init__(self, acting: Session, world: World) -> None:
        self._acting = acting
        self._connection = acting.connection
        self._world = world
        self._accounts: dict[Path, int] = dict(world.ids)
        self._keys: dict[Address, tuple[Any, ...]] = {at: row.primary for at, row in world.current.rows.items()}

    def write(self, step: Step) -> None:
        """Write one step. Raises psycopg errors and OperatorError."""
        change = step.change
        resource = DESCRIBED[change.at.resource]
        if step.action == "park":
            self._connection.execute(_PARK, self._keys[change.at])
        elif step.action == "remove":
            self._remove(resource, self._keys[change.at])
        elif step.action == "add" and resource.name == LIMIT.name and self._has_fund(change.at):
            self._set(resource, step)
        elif step.action == "add":
            self._add(resource, step)
        else:
            self._set(resource, step)

    def _remove(self, resource: Resource, key: Sequence[Any]) -> None:
        """Delete a row that may have gone with another one. Raises OperatorError where it is seen only."""
        named = (sql.Identifier(resource.table), _where(resource))
        if not self._connection.execute(sql.SQL("delete from tandem.{} where {}").format(*named), key).rowcount:
            seen = self._connection.execute(sql.SQL("select from tandem.{} where {}").format(*named), key)
            if seen.fetchone() is not None:
                raise OperatorError("not yours to change")

    def _has_fund(self, at: Address) -> bool:
        """Whether the fund of new limits is there: one comes with the account."""
        assert not isinstance(at.scope, Address)  # noqa: S101  it is an account's
        key = (self._upper(at.scope), *at.key)
        self._keys[at] = key
        return self._connection.execute(_FUND, key).fetchone() is not None

    def add_together(self, batch: Sequence[Step]) -> None:
        """Write new rows of one resource with the same columns. Raises psycopg errors."""
        resource = DESCRIBED[batch[0].change.at.resource]
        rows = []
        for step in batch:
            row = step.change.row
            assert row is not None  # noqa: S101  it is new
            columns, _ = self._columns(resource, step)
            rows.append(columns | {resource.parent_column or resource.owner_column: self._upper(row.under)})
        values = sql.SQL("({})").format(sql.SQL(", ").join(sql.Placeholder() * len(rows[0])))
        query = sql.SQL("insert into tandem.{} ({}) values {} returning {}").format(
            sql.Identifier(resource.table),
            sql.SQL(", ").join(map(sql.Identifier, rows[0])),
            sql.SQL(", ").join([values] * len(rows)),
            sql.SQL(", ").join(map(sql.Identifier, resource.primary)),
        )
        keys = self._connection.execute(query, [value for row in rows for value in row.values()]).fetchall()
        # Rows of VALUES are written, and returned, in their order.
        self._keys |= {step.change.at: key for step, key in zip(batch, keys, strict=True)}

    def _add(self, resource: Resource, step: Step) -> None:
        row = step.change.row
        assert row is not None  # noqa: S101  it is new
        columns, lists = self._columns(resource, step)
        upper = self._upper(row.under)
        columns |= {resource.parent_column or resource.owner_column: upper}
        returned = () if resource.name == ACCOUNT else resource.primary  # a policy sees a new account only afterwards
        query = sql.SQL("insert into tandem.{} ({}) values ({})").format(
            sql.Identifier(resource.table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join(sql.Placeholder() * len(columns)),
        )
        if returned:
            query += sql.SQL(" returning {}").format(sql.SQL(", ").join(map(sql.Identifier, returned)))
        made = self._connection.execute(query, list(columns.values()))
        if returned:
            self._keys[row.at] = made.fetchall()[0]
        else:
            path = (*row.owner, str(row.at.key[0]))
            self._accounts[path] = self._connection.execute(_CHILD, (upper, path[-1])).fetchall()[0][0]
            self._keys[row.at] = (self._accounts[path],)
        write_lists(self._connection, resource, self._keys[row.at][0], lists)

    def _set(self, resource: Resource, step: Step) -> None:
        row = step.change.row
        assert row is not None  # noqa: S101  it is wanted
        columns, lists = self._columns(resource, step)
        if step.moves:
            columns |= {resource.parent_column or resource.owner_column: self._upper(row.under)}
        key = self._keys[row.at]
        if columns:
            assignments = [sql.SQL("{} = %s").format(sql.Identifier(name)) for name in columns]
            query = sql.SQL("update tandem.{} set {} where {}").format(
                sql.Identifier(resource.table), sql.SQL(", ").join(assignments), _where(resource)
            )
            self._touch(query, [*columns.values(), *key])
        write_lists(self._connection, resource, key[0], lists)

    def _touch(self, query: sql.Composed, values: Sequence[Any]) -> None:
        """Write to a row that is seen. Raises OperatorError where it is seen only."""
        if not self._connection.execute(query, values).rowcount:
            raise OperatorError("not yours to change")

    def _upper(self, under: Path | Address) -> int:
        """Return the id of the account or the row that a row belongs to."""
        if isinstance(under, Address):
            return int(self._keys[under][0])
        if not under:
            assert self._world.found.parent_id is not None  # noqa: S101  the root is never made by a file
            return self._world.found.parent_id
        return self._accounts[under]

    def _columns(self, resource: Resource, step: Step) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return column -> value of what stands in the row, and the lists that are tables of their own."""
        row = step.change.row
        assert row is not None  # noqa: S101  it is wanted
        columns: dict[str, Any] = {}
        lists: dict[str, Any] = {}
        for name in step.names:
            field, value = resource.field(name), row.values[name]
            if isinstance(value, Hashes):
                columns |= _hash_columns(resource, value)
            elif field.kind is PRICES:
                columns |= self._price_columns(resource, field, row.at, row.under, value)
            elif isinstance(value, Address):
                columns[field.stored_in] = self._keys[value][0]
            elif isinstance(value, Outside):
                columns[field.stored_in] = value.id
            elif field.rows is not None:
                lists[name] = field.read(value)
            else:
                columns[field.stored_in] = None if field.refers and value is None else field.read(value)
        if resource.name == "server" and "login_username" in columns and columns["login_username"] is None:
            columns["login_ha1"] = None  # a login goes as a whole
        return columns, lists

    def _price_columns(
        self, resource: Resource, field: Field, at: Address, under: Path | Address, prices: PriceList | str | None
    ) -> dict[str, Any]:
        """Return the column that names a new rate set; {} where a deck was made, or where nothing changes."""
        if isinstance(prices, str):  # imported: whatever they are, they stay
            return {}
        tariff = at if resource.name == "tariff" else under
        assert isinstance(tariff, Address)  # noqa: S101  a deck is a tariff's
        tariff_id = self._keys[tariff][0]
        made = None if prices is None else stored_prices.write(self._connection, tariff_id, prices)
        ((begun,),) = self._connection.execute(_IN_FORCE, (tariff_id,)).fetchall()
        if resource.name == "tariff" and field.name == "prices" and begun:
            self._connection.execute(_NEW_DECK, {"tariff": tariff_id, "set": made})
            return {}
        return {field.stored_in: made}


def _hash_columns(resource: Resource, made: Hashes) -> dict[str, Any]:
    if resource.name == "server":
        return {"login_ha1": made.md5}
    return {"ha1_md5": made.md5, "ha1_sha256": made.sha256}


def _where(resource: Resource) -> sql.Composed:
    return sql.SQL(" and ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in resource.primary)
