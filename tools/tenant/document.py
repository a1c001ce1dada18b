"""A file as rows that are wanted: every key is known, every value is of its kind, or there is a fault with its line.

Nothing here asks a database: whom a reference names, and whether a name is free, is found out later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from tools.errors import OperatorError
from tools.session import shown
from tools.tenant import prices
from tools.tenant.described import (
    DESCRIBED,
    IMPORTED,
    NONE,
    PRICES,
    SECRET,
    VERSION,
    default_of,
    is_word,
    sections_of,
)
from tools.tenant.faults import Faults, Place
from tools.tenant.model import Field, Resource
from tools.tenant.passwords import MOST
from tools.tenant.world import Address, Named, Path, Row, Wanted
from tools.tenant.yaml_tree import Entries, Items, Node, Text

_HEAD: Final = ("tandem", "below", "account")


class Password:
    """A password as somebody wrote it; no text of ours ever has it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        """Return that there is one."""
        return "<password>"


class Document(NamedTuple):
    """A file. below: path of the account that the described one stands below, "" = it is not said. top: its row."""

    below: str
    top: Row
    wanted: Wanted


class _Reader:
    """Collects rows and faults on the way through the tree."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.rows: dict[Address, Row] = {}
        self.sections: set[tuple[str, Path | Address]] = set()

    def account(self, node: Node, under: Path, place: Place) -> Row | None:
        """Read an account with all that it has; None when it has no name."""
        row = self.row(DESCRIBED["account"], node, under, under, place)
        if row is None or not isinstance(node, Entries):
            return None
        path = (*under, str(row.at.key[0]))
        for section, resource in sections_of("account").items():
            said = node.get(section)
            if said is not None:
                self.section(resource, said, path, path, place.at(said.line, _label(resource, row)))
        return row

    def section(self, resource: Resource, node: Node, under: Path | Address, owner: Path, place: Place) -> None:
        """Read a list of rows."""
        if not isinstance(node, Items):
            self.faults.add(place, f"{resource.section}: is not a list")
            return
        self.sections.add((resource.name, under))
        for each in node.nodes:
            here = Place(each.line, place.path)
            if resource.name == "account":
                self.account(each, owner, here)
            else:
                self.row(resource, each, under, owner, here)

    def row(self, resource: Resource, node: Node, under: Path | Address, owner: Path, place: Place) -> Row | None:
        """Read a row with the rows that belong to it; None after a fault in its key."""
        if isinstance(node, Text) and is_word(resource):
            node = Entries(((Text(resource.written[0].name, plain=True, line=node.line), node),), node.line)
        if not isinstance(node, Entries):
            self.faults.add(place, f"{resource.section}: is not a mapping of {', '.join(_names(resource))}")
            return None
        here = place.at(node.line, _written_label(resource, node))
        values = dict(self._values(resource, node, here))
        key = tuple(_key_value(resource, name, values) for name in resource.key)
        if any(value is None and resource.field(name).required for name, value in zip(resource.key, key, strict=True)):
            missing = [name for name, value in zip(resource.key, key, strict=True) if value is None]
            if not any(node.get(name) for name in missing):
                self.faults.add(here, f"{', '.join(missing)}: is missing")
            return None
        at = Address(resource.name, () if resource.is_global else under, key)
        values |= {each.name: default_of(each) for each in resource.displaced(values)}
        row = Row(at, under, owner, values, here)
        if at in self.rows:
            self.faults.add(here, f"is in line {self.rows[at].place.line} already")
            return None
        self.rows[at] = row
        if resource.name != "account":
            for section, inner in sections_of(resource.name).items():
                said = node.get(section)
                if said is not None:
                    self.section(inner, said, at, owner, here.at(said.line))
        return row

    def _values(self, resource: Resource, node: Entries, place: Place) -> Iterator[tuple[str, Any]]:
        fields = {field.name: field for field in resource.written}
        sections = sections_of(resource.name)
        for key, said in node.pairs:
            here = place.at(key.line)
            if key.value in fields:
                yield from self._value(fields[key.value], said, here)
            elif key.value not in sections:
                near = get_close_matches(key.value, [*fields, *sections], 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join([*fields, *sections])}"
                self.faults.add(here, f"unknown key {shown(key.value)}; {hint}")

    def _value(self, field: Field, node: Node, place: Place) -> Iterator[tuple[str, Any]]:
        """Yield the field with its value, nothing after a fault."""
        if field.kind is PRICES:
            yield from self._prices(field, node, place)
        elif field.kind is SECRET:
            if isinstance(node, Text) and 1 <= len(node.value) <= MOST and not node.is_null:
                yield field.name, Password(node.value)
            else:
                self.faults.add(place, f"{field.name}: is not {field.kind.rule}")  # never what it is
        else:
            try:
                value = _plain(field, node)
                stored = field.read(value)
            except OperatorError as error:
                self.faults.add(place, str(error))
                return
            plain = field.shown(stored)
            yield field.name, Named(field.refers, str(plain)) if field.refers and plain is not None else plain

    def _prices(self, field: Field, node: Node, place: Place) -> Iterator[tuple[str, Any]]:
        if isinstance(node, Text):
            if node.value == NONE:
                yield field.name, None
            elif node.value == IMPORTED:
                yield field.name, IMPORTED
            else:
                self.faults.add(place, f"{field.name}: {shown(node.value)} is not {field.kind.rule}")
            return
        found = prices.read(self.faults, node, place.at(node.line, field.name))
        if found is not None:
            yield field.name, found


def read_document(node: Node, faults: Faults) -> Document | None:
    """Return what a file describes; None when there is too little of it to go on. Its faults are added."""
    if not isinstance(node, Entries):
        faults.add(Place(node.line, ""), "is not a mapping of tandem, below and account")
        return None
    for key, _ in node.pairs:
        if key.value not in _HEAD:
            faults.add(Place(key.line, ""), f"unknown key {shown(key.value)}; known are {', '.join(_HEAD)}")
    version, below, account = (node.get(name) for name in _HEAD)
    if not isinstance(version, Text) or version.value != VERSION:
        line = version.line if version else node.line
        faults.add(Place(line, "tandem"), f"is not {VERSION}, the version of this format")
    if not isinstance(below, Text | None):
        faults.add(Place(below.line, "below"), "is not the path of an account, such as Tandem/North")
        below = None
    if account is None:
        faults.add(Place(node.line, "account"), "is missing; it is a mapping that describes the account")
        return None
    reader = _Reader(faults)
    top = reader.account(account, (), Place(account.line, ""))
    if top is None:
        return None
    said = below.value if below is not None and not below.is_null else ""
    return Document(said, top, Wanted(reader.rows, frozenset(reader.sections)))


def in_force(wanted: Wanted, now: datetime) -> Wanted:
    """Return what is wanted at a moment: of the decks that have begun the newest is the prices of its tariff.

    So that a file goes on meaning the same when one of its decks begins.
    """
    rows = dict(wanted.rows)
    begun: dict[Address, tuple[datetime, Any]] = {}
    for at, row in wanted.rows.items():
        begin = datetime.fromisoformat(str(at.key[0])) if at.resource == "deck" else None
        if begin is None or begin > now:
            continue
        del rows[at]
        assert isinstance(row.under, Address)  # noqa: S101  a deck is a tariff's
        if "prices" in row.values and (row.under not in begun or begun[row.under][0] < begin):
            begun[row.under] = (begin, row.values["prices"])
    for at, (_, said) in begun.items():
        row = rows[at]
        rows[at] = row._replace(values={**row.values, "prices": said})
    return wanted._replace(rows=rows)


def _plain(field: Field, node: Node) -> Any:
    """Return the plain form of what is written. Raises OperatorError where a list, a mapping or a text is none."""
    wants_list = field.kind.schema.get("type") == "array"
    if isinstance(node, Text):
        if node.is_null:
            return None
        if not wants_list:
            return field.kind.parse(node.value)
    elif isinstance(node, Items) and wants_list:
        texts = [each.value for each in node.nodes if isinstance(each, Text)]
        if len(texts) == len(node.nodes):
            return texts
    what = shown(node.value) if isinstance(node, Text) else "a list" if isinstance(node, Items) else "a mapping"
    raise OperatorError(f"{field.name}: {what} is not {field.kind.rule}")


def _key_value(resource: Resource, name: str, values: Mapping[str, Any]) -> Any:
    """Return a field of a key as addresses have it: the text of a reference, the default of what is not said."""
    field = resource.field(name)
    if name not in values:
        return None if field.required else field.shown(field.read(None))
    value = values[name]
    return value.text if isinstance(value, Named) else value


def _label(resource: Resource, row: Row) -> str:
    return f"{row.at.resource} {shown(str(row.at.key[0]))}" if resource else ""


def _written_label(resource: Resource, node: Entries) -> str:
    """Return how a person finds a row in the file: its kind and its name, as far as it is written."""
    said = [node.get(name) for name in resource.named_by]
    name = resource.joint.join(each.value for each in said if isinstance(each, Text))
    return f"{resource.name} {shown(name)}" if name else resource.name


def _names(resource: Resource) -> list[str]:
    return [*(field.name for field in resource.written), *sections_of(resource.name)]
