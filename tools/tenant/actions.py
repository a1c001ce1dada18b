"""What the commands of any resource do: read what was typed, act in one transaction, say what is there now."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import typer

from tools.account.tables import show_pairs, show_table
from tools.errors import OperatorError
from tools.printable import printable
from tools.session import Session, find_account, one, session, words
from tools.tenant.catalogue import above, children
from tools.tenant.flow_tree import tree
from tools.tenant.model import ACCOUNT, Field, Plain, Resource, as_typed
from tools.tenant.naming import find_reference
from tools.tenant.read import COUNTED_MAX, Row, Where, again, count, find, page
from tools.tenant.remarks import ADDED, REMOVED, remarks
from tools.tenant.write import NOTHING, Place, add, change, remove

PAGE: Final = 100
BEGINS: Final = "begins"
WHO: Final = "who"
TO: Final = "to_account"
STEP: Final = "step"  # of a callflow: shown as a tree

_CURRENCY_OF: Final = "select t.currency from tandem.tariff t where t.id = %s"


class Given:
    """What a command was given: parameter -> value; None = not given."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def text(self, name: str) -> str:
        """Return a text, "" where it was not given."""
        return self._values.get(name) or ""

    def flag(self, name: str) -> bool:
        """Return whether a flag was given."""
        return bool(self._values.get(name))

    def said(self, of: Resource) -> dict[str, str]:
        """Return field -> text of the fields that were given, empty texts included."""
        return {each.name: self._values[each.name] for each in of.written if self._values.get(each.name) is not None}

    @property
    def limit(self) -> int | None:
        """Return how many rows are wanted at most; None = all."""
        if self.flag("everything"):
            return None
        limit: int | None = self._values.get("limit")
        return limit or (None if self.flag("as_json") else PAGE)

    def session(self) -> AbstractContextManager[Session]:
        """Open the transaction that the command acts in."""
        return session(
            self.text("database_url"), as_account=self.text("as_account"), actor=self.text("actor"),
            program="tandem",
        )  # fmt: skip


def list_rows(of: Resource, given: Given) -> None:
    """Print rows, a page of them unless more are asked for."""
    with given.session() as acting:
        where = _where(acting, of, given)._replace(begins=given.text(BEGINS))
        limit = given.limit
        found = page(acting.connection, of, where, None if limit is None else limit + 1)
        total = count(acting.connection, of, where) if limit is not None and len(found) > limit else len(found)
    found = found[:limit]
    if given.flag("as_json"):
        typer.echo(json.dumps([each.as_dict(of) for each in found]))
        return
    _table(of, found)
    if total > len(found):
        all_of_them = f"more than {COUNTED_MAX:,}" if total > COUNTED_MAX else f"{total:,}"
        typer.echo(f"{len(found):,} of {all_of_them}; --all shows the others")


def show_row(of: Resource, given: Given) -> None:
    """Print a row and the rows that belong to it."""
    with given.session() as acting:
        row = find(acting.connection, of, given.text(WHO), _where(acting, of, given))
        below = [(each, page(acting.connection, each, Where(parent_id=row.primary[0]), None)) for each in children(of)]
    if given.flag("as_json"):
        nested = {each.section: [child.as_dict(each) for child in found] for each, found in below}
        typer.echo(json.dumps({**row.as_dict(of), **nested}))
        return
    is_lent = of.lent and not row.owner
    known = {name: value for name, value in row.as_dict(of).items() if not is_lent or name in {"id", *of.lent}}
    show_pairs({name: for_people(value) for name, value in known.items()})
    for each, found in below:
        if each.name == STEP:
            typer.echo("")
            typer.echo("\n".join(printable(line) for line in tree([step.values for step in found])))
        elif found:
            typer.echo(f"\n{each.section.replace('_', ' ')}")
            _table(each, found, of_one=True)


def add_row(of: Resource, given: Given) -> None:
    """Add a row and say so."""
    texts = {**of.parts(given.text(WHO)), **given.said(of)}
    for each in of.written:
        is_found = (of.name, each.name) == (ACCOUNT, "currency")  # its tariff's
        if each.required and each.name not in texts and not is_found:
            raise OperatorError(f"{each.option}: is missing; it is {_rule(of, each)}")
    values = {name: of.field(name).typed(text) for name, text in texts.items()}
    with given.session() as acting:
        place = _place(acting, of, given)
        if of.name == ACCOUNT:
            values = _account(acting, of, place, values)
        key = add(acting, of, place, values)
        row = again(acting.connection, of, key)
        further = remarks(acting.connection, of.name, row, {ADDED})
    _said(of, row, given, "added", further)


def _rule(of: Resource, field: Field) -> str:
    """Return what a field has to be; of a reference to what is the owner's, whose."""
    if field.refers and field.reach == "own":
        return f"{one(words(field.refers))} of the {of.owner}"
    return field.kind.rule


def _account(acting: Session, of: Resource, place: Place, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a new account, which pays in its tariff's currency where none is said.

    Raises OperatorError, also for an acting account that may not have new ones below it.
    """
    if not acting.connection.execute("select tandem.acting_may('accounts')").fetchall()[0][0]:
        raise OperatorError(f"accounts: not granted to account {acting.account_id} {acting.name!r}")
    if "currency" in values:
        return dict(values)
    tariff_id = find_reference(acting.connection, of.field("tariff"), values["tariff"], place.owner_id)
    ((currency,),) = acting.connection.execute(_CURRENCY_OF, (tariff_id,)).fetchall()
    return {**values, "currency": currency}


def set_row(of: Resource, given: Given) -> None:
    """Change what was said of a row and say what changed."""
    values = {name: of.field(name).typed(text) for name, text in given.said(of).items()}
    values |= {each.name: each.read(None) for each in of.displaced(values)}
    if not values and not given.text(TO):
        options = ", ".join(f"--{each.option}" for each in of.written if not each.fixed)
        raise OperatorError(f"{of.typed}: nothing to change is said; say some of {options}")
    with given.session() as acting:
        before = find(acting.connection, of, given.text(WHO), _where(acting, of, given))
        owner_id = find_account(acting.connection, given.text(TO), "to").id if given.text(TO) else 0
        change(acting, of, before, values, owner_id)
        row = again(acting.connection, of, before.primary)
        further = remarks(acting.connection, of.name, row, _changed(of, before, row))
    _said(of, row, given, _difference(of, before, row) or "nothing changed, it was so already", further)


def remove_row(of: Resource, given: Given) -> None:
    """Remove a row and say what went with it."""
    with given.session() as acting:
        row = find(acting.connection, of, given.text(WHO), _where(acting, of, given))
        gone = {each.section: count(acting.connection, each, Where(parent_id=row.primary[0])) for each in children(of)}
        remove(acting, of, row)
        further = remarks(acting.connection, of.name, row, {REMOVED})
    with_it = ", ".join(f"{section.replace('_', ' ')} {number}" for section, number in gone.items() if number)
    _said(of, row, given, f"removed{f'; with it: {with_it}' if with_it else ''}", further)


def _where(acting: Session, of: Resource, given: Given) -> Where:
    """Return which rows are meant, by the options that say whose. Raises OperatorError."""
    owner_id = find_account(acting.connection, given.text(of.owner)).id if given.text(of.owner) else 0
    upper = above(of)
    if upper is None or not given.text(of.parent):
        return Where(owner_id)
    parent = find(acting.connection, upper, given.text(of.parent), Where(owner_id))
    return Where(owner_id, parent.primary[0])


def _place(acting: Session, of: Resource, given: Given) -> Place:
    """Return where a new row belongs. Raises OperatorError."""
    upper = above(of)
    if upper is None:
        owner = given.text(of.owner)
        return Place(find_account(acting.connection, owner, of.owner).id if owner else acting.account_id)
    if not given.text(of.parent):
        raise OperatorError(
            f"{of.parent.replace('_', '-')}: is missing; it is the {upper.words[-1]} that it belongs to"
        )
    parent = find(acting.connection, upper, given.text(of.parent), Where())
    return Place(parent.owner_id, parent.primary[0])


def _said(of: Resource, row: Row, given: Given, what: str, further: Sequence[str]) -> None:
    """Print what happened to a row, and what else is to be said of it; for programs, the row."""
    if given.flag("as_json"):
        typer.echo(json.dumps(row.as_dict(of)))
        return
    number = f" #{row.primary[0]}" if of.has_id else ""
    name = row.name(of) or "''"
    typer.echo(printable(f"{of.told}{number} {name} of {row.parent or row.owner}: {what}"))
    for sentence in further:
        typer.echo(sentence)


def _table(of: Resource, found: Sequence[Row], *, of_one: bool = False) -> None:
    """Print rows for people. of_one: all belong to one row, which needs no saying."""
    upper = above(of)
    head = {"id": "id"} if of.has_id else {}
    if upper is not None and not of_one:
        head[upper.name] = upper.words[-1]
    if upper is None:
        head[of.owner] = of.owner
    columns = {**head, **{each.name: each.name.replace("_", " ") for each in of.fields if each.listed}}
    rows = [{name: for_people(value) for name, value in row.as_dict(of).items()} for row in found]
    show_table(columns, rows)


def for_people(value: Plain) -> str:
    """Return a plain value as people read it."""
    return ", ".join(value) if isinstance(value, list) else "" if value is None else as_typed(value)


def _changed(of: Resource, before: Row, after: Row) -> set[str]:
    """Return the fields that became others."""
    return {each.name for each in of.written if before.values[each.name] != after.values[each.name]}


def _difference(of: Resource, before: Row, after: Row) -> str:
    """Return what changed, for people."""
    old, new = ({of.owner: row.owner, **row.values} for row in (before, after))
    return ", ".join(
        f"{name} {for_people(old[name]) or NOTHING} → {for_people(new[name]) or NOTHING}"
        for name in (of.owner, *(each.name for each in of.written))
        if old[name] != new[name]
    )
