"""Whom a name in a file means, and how a row is named in a file.

Rule 1: the nearest wins: a row of the account itself, then of the accounts above; those of the file first.
Rule 2: what is written as the name of a row is found again under that name.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from itertools import chain
from typing import Any

from psycopg import sql

from tools.errors import OperatorError
from tools.session import Connection, not_there
from tools.tenant.described import DESCRIBED
from tools.tenant.faults import Faults
from tools.tenant.model import ACCOUNT, Field, Resource
from tools.tenant.naming import UNSEEN, column, find_reference, label, paths, table
from tools.tenant.stored import Scope, World
from tools.tenant.world import Address, Named, Outside, Path, Row, Stored, Target, Wanted


class Names:
    """What rows are called: those that a file wants and those that were read.

    gone: those of them that a plan removes; they mean nothing any more.
    """

    def __init__(self, connection: Connection, world: World, scope: Scope, gone: Container[Address] = ()) -> None:
        self._connection = connection
        self._world = world
        self._scope = scope
        self._named: dict[tuple[str, Path, str], Address] = {}
        self._outsiders: dict[Outside, tuple[str, str]] = {}
        self._asked: dict[tuple[str, str, int], Target | OperatorError] = {}
        rows: Iterator[Row | Stored] = chain(world.current.rows.values(), scope.rows.values())
        for row in rows:
            resource = DESCRIBED[row.at.resource]
            if not resource.parent and row.at not in gone:
                self._named[row.at.resource, _scope(resource, row), called(row.at)] = row.at

    def resolved(self, wanted: Wanted, faults: Faults) -> Wanted:
        """Return what is wanted with every name replaced by the row that it means; what means none is a fault."""
        rows = {}
        for at, row in wanted.rows.items():
            values: dict[str, Any] = {}
            for name, value in row.values.items():
                if not isinstance(value, Named):
                    values[name] = value
                    continue
                try:
                    values[name] = self.find(DESCRIBED[at.resource].field(name), value.text, row)
                except OperatorError as error:
                    faults.add(row.place, str(error))
                    values[name] = value  # it is there, and wrong: not missing, too
            rows[at] = row._replace(values=values)
        return wanted._replace(rows=rows)

    def find(self, field: Field, text: str, row: Row | Stored) -> Target:
        """Return the row that a text means in a field of a row. Raises OperatorError where it means none."""
        of = DESCRIBED[field.refers]
        base = base_of(field, row)
        if of.is_global:
            return self._named.get((of.name, (), text)) or self._outer(field, text, row, self._nearest(base))
        for path in _upwards(base, only=field.reach == "own"):
            found = self._named.get((of.name, path, text))
            if found is not None:
                return found
            if path in self._world.ids and not self._scope.says(of.name, path):
                try:
                    return self._ask(field, text, self._world.ids[path])
                except OperatorError:
                    continue
        found = self._by_path(of, text)
        if found is None and base and field.reach == "own":
            raise not_there(field.name, text)
        return found or self._outer(field, text, row, self._world.found.parent_id or 0)

    def _outer(self, field: Field, text: str, row: Row | Stored, account_id: int) -> Target:
        """Return a row that is not described: the one that is named now, or what the database knows by the name.

        account_id: from where on it is looked for, upwards; 0 = nowhere.

        What is named now comes first: an account does not see whose its tariff is, so it could not find it again.
        """
        stored = self._world.current.rows.get(row.at)
        now = None if stored is None else stored.values.get(field.name)
        if isinstance(now, Outside):
            plain, path = self._of_outside(now)
            if text in {plain, f"{path}/{plain}"}:
                return now
        if not account_id:
            raise not_there(field.name, text)
        return self._ask(field, text, account_id)

    def _by_path(self, of: Resource, text: str) -> Address | None:
        """Return the row that a path and a name mean, such as Tandem/North/plus, among those of the file."""
        owner, _, name = text.rpartition("/")
        for path in self._world.ids if owner else ():
            said = "/".join(path)
            if owner == said or owner.endswith(f"/{said}"):
                found = self._named.get((of.name, path, name))
                if found is not None:
                    return found
        return None

    def _ask(self, field: Field, text: str, account_id: int) -> Target:
        """Return what the database knows by a name. Raises OperatorError."""
        asked = (f"{field.refers} {field.reach}", text, account_id)
        if asked not in self._asked:
            try:
                key = find_reference(self._connection, field, text, account_id)
                self._asked[asked] = self._world.addresses.get((field.refers, key), Outside(field.refers, key))
            except OperatorError as error:
                self._asked[asked] = error
        found = self._asked[asked]
        if isinstance(found, OperatorError):
            raise not_there(field.name, text) if str(found).endswith("does not exist") else found
        return found

    def _nearest(self, base: Path) -> int:
        """Return the id of the nearest account of a path that is there; 0 = there is none, not even above."""
        for path in _upwards(base, only=False):
            if path in self._world.ids:
                return self._world.ids[path]
        return self._world.found.parent_id or 0

    def text(self, field: Field, target: Target, row: Row | Stored) -> str:
        """Return how a file names a row in a field of another one: the plain name where that is found again."""
        if isinstance(target, Outside):
            return self._outside(field, target, row)
        plain = called(target)
        try:
            if self.find(field, plain, row) == target:
                return plain
        except OperatorError:
            pass
        stored = self._world.current.rows[target]
        return "/".join((*stored.owner, plain))

    def name(self, target: Target) -> str:
        """Return what a person calls a row, for a plan."""
        return called(target) if isinstance(target, Address) else self._of_outside(target)[0]

    def _outside(self, field: Field, target: Outside, row: Row | Stored) -> str:
        plain, path = self._of_outside(target)
        try:
            if self.find(field, plain, row) == target:
                return plain
        except OperatorError:
            pass
        return f"{path}/{plain}"

    def _of_outside(self, target: Outside) -> tuple[str, str]:
        """Return the name of a row that is not described, and the path of its account."""
        if target not in self._outsiders:
            of = DESCRIBED[target.resource]
            owner = column("x", of.owner_column)
            query = sql.SQL("select {}, {} from {} where x.id = {}").format(
                label(of, "x"), owner, table(of, "x"), sql.Literal(target.id)
            )
            row = self._connection.execute(query).fetchone()
            path = paths(self._connection, [row[1]]).get(row[1]) if row else None
            self._outsiders[target] = (str(row[0]) if row else f"#{target.id}", path or UNSEEN)
        return self._outsiders[target]


def called(at: Address) -> str:
    """Return what a person calls a row among those of its account."""
    resource = DESCRIBED[at.resource]
    key = dict(zip(resource.key, at.key, strict=False))
    return resource.joint.join(str(key.get(name, "")) for name in resource.named_by)


def base_of(field: Field, row: Row | Stored) -> Path:
    """Return the account that a reference is named from: an account itself, or the one that the row belongs to."""
    if row.at.resource == ACCOUNT and field.reach == "above":
        return (*row.owner, str(row.at.key[0]))
    return row.owner


def _scope(resource: Resource, row: Row | Stored) -> Path:
    return () if resource.is_global else row.owner


def _upwards(path: Path, *, only: bool) -> Iterator[Path]:
    """Yield a path and those above it, nearest first. only: nothing above."""
    yield path
    for depth in range(len(path) - 1, 0, -1) if not only else ():
        yield path[:depth]
