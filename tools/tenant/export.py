"""`tandem export`: an account as a file that `tandem apply` takes; applied as it is, it changes nothing.

Passwords are not in it: only their hashes are known, and these go nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

import typer
import yaml
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tools.account.options import Actor, As, DatabaseUrl
from tools.database_url import checked
from tools.errors import OperatorError
from tools.printable import printable
from tools.session import Session, find_account, session
from tools.tenant import prices
from tools.tenant.catalogue import resource as resource_of
from tools.tenant.completion import rows as rows_of
from tools.tenant.described import DESCRIBED, NONE, PRICES, SECRET, VERSION, default_of, is_word, sections_of
from tools.tenant.model import ACCOUNT, Field, Resource
from tools.tenant.prices import PriceList
from tools.tenant.references import Names, called
from tools.tenant.stored import Found, World, everything, read_world
from tools.tenant.stored_prices import RATES_MAX
from tools.tenant.world import Address, Outside, Path, Stored

Who = Annotated[
    str,
    typer.Argument(
        metavar="[ACCOUNT]",
        help="Its id (5 or #5), its name, or a path; default: the acting account.",
        autocompletion=rows_of(resource_of(ACCOUNT)),
    ),
]
Subtree = Annotated[bool, typer.Option("--subtree", help="Also the accounts below it, as far as they are seen.")]
Full = Annotated[bool, typer.Option("--full", help="Also what is as by default.")]
RatesMax = Annotated[int, typer.Option(min=0, help="Longer price lists are left out: they say `imported`.")]

_WIDTH: Final = 110
_FLOW_MAX: Final = 90  # characters of a mapping that stands in one line
_PATH: Final = "select tandem.account_path_v1(a.parent_id) from tandem.account a where a.id = %s"
_SNAPSHOT: Final = r"-c default_transaction_isolation=repeatable\ read -c default_transaction_read_only=on"
_HEAD: Final = """\
# Account {name}. `tandem apply FILE` makes it so again; what is not said here stays as it is.
# Passwords, balances, calls, and whether an account is locked, suspended or closed are in no such file.
"""


class _Dumper(yaml.SafeDumper):
    """Writes amounts as numbers, and short mappings in one line."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  the library's signature
        """Return True: what occurs twice is written twice."""
        return True


class _Short(dict[str, Any]):
    """A mapping that stands in one line."""


class _Words(list[Any]):
    """A list of scalars, in one line where they fit."""


def _amount(dumper: yaml.SafeDumper, value: Decimal) -> yaml.Node:
    text = f"{value:f}"
    kept = text.rstrip("0").rstrip(".") if "." in text else text
    return dumper.represent_scalar("tag:yaml.org,2002:float" if "." in kept else "tag:yaml.org,2002:int", kept)


def _short(dumper: yaml.SafeDumper, value: _Short) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=True)


def _words(dumper: yaml.SafeDumper, value: _Words) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)


_Dumper.add_representer(Decimal, _amount)
_Dumper.add_representer(_Short, _short)
_Dumper.add_representer(_Words, _words)


def export(
    database_url: DatabaseUrl, who: Who = "", *,
    subtree: Subtree = False, full: Full = False, rates_max: RatesMax = RATES_MAX, as_account: As = "",
    actor: Actor = "",
) -> None:  # fmt: skip
    """Write an account as a file: all that `tandem apply` can make, and no secrets."""
    with session(_snapshot(database_url), as_account=as_account, actor=actor, program="tandem export") as acting:
        text = exported(acting, who or str(acting.account_id), subtree=subtree, full=full, rates_max=rates_max)
    typer.echo(text, nl=False)


def _snapshot(database_url: str) -> str:
    """Return the address with one view of everything for the whole transaction, which writes nothing."""
    before = conninfo_to_dict(checked(database_url)).get("options") or ""
    return make_conninfo(database_url, options=f"{before} {_SNAPSHOT}".strip())


def exported(acting: Session, who: str, *, subtree: bool, full: bool, rates_max: int = RATES_MAX) -> str:
    """Return an account as YAML. Raises OperatorError where it is not seen."""
    found = find_account(acting.connection, who)
    scope = everything(subtree=subtree)
    world = read_world(acting.connection, Found(found.id, found.parent_id), scope, rates_max)
    writer = _Writer(world, Names(acting.connection, world, scope), full=full, subtree=subtree)
    described = writer.document(found.name)
    head: dict[str, Any] = {"tandem": int(VERSION)}
    ((path,),) = acting.connection.execute(_PATH, (found.id,)).fetchall()
    if path and found.id != acting.account_id:
        head["below"] = path
    dumped = yaml.dump(
        {**head, "account": described}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH
    )
    left_out = "".join(f"# Left out, as no file may say it: {printable(each)}\n" for each in writer.left_out)
    return _HEAD.format(name=found.name) + left_out + dumped


class _Writer:
    """Describes rows. left_out: values that `tandem apply` refuses, from releases that did not; there they stay."""

    def __init__(self, world: World, names: Names, *, full: bool, subtree: bool) -> None:
        self._names = names
        self._full = full
        self._subtree = subtree
        self.left_out: list[str] = []
        self._lists: dict[tuple[str, Path | Address], list[Stored]] = {}
        for stored in world.current.rows.values():
            self._lists.setdefault((stored.at.resource, stored.under), []).append(stored)
        for rows in self._lists.values():
            rows.sort(key=_in_order)

    def document(self, name: str) -> dict[str, Any]:
        """Return the described account."""
        (top,) = self._lists[ACCOUNT, ()]
        return self._account(top, (name,))

    def _account(self, stored: Stored, path: Path) -> dict[str, Any]:
        found = dict(self._fields(DESCRIBED[ACCOUNT], stored))
        for section, resource in sections_of(ACCOUNT).items():
            rows = self._lists.get((resource.name, path), [])
            if resource.name != ACCOUNT:
                found |= self._section(section, resource, rows)
            elif self._subtree and (rows or self._full):
                found[section] = [self._account(row, (*path, str(row.at.key[0]))) for row in rows]
        return found

    def _section(self, section: str, resource: Resource, rows: list[Stored]) -> dict[str, Any]:
        """Return section -> list; {} for a list without rows, unless everything is written."""
        for row in rows:
            if len(row.at.key) > len(resource.key):
                raise OperatorError(f"{resource.name}: two are called {row.at.key[0]!r}; give one another name first")
        if not rows and not self._full:
            return {}
        return {section: _Words(self._word(resource, row) for row in rows) if is_word(resource)
                else [self._row(resource, row) for row in rows]}  # fmt: skip

    def _word(self, resource: Resource, row: Stored) -> Any:
        return row.values[resource.written[0].name]

    def _row(self, resource: Resource, row: Stored) -> dict[str, Any]:
        found = dict(self._fields(resource, row))
        nested: dict[str, Any] = {}
        for section, inner in sections_of(resource.name).items():
            nested |= self._section(section, inner, self._lists.get((inner.name, row.at), []))
        short = not nested and all(not isinstance(value, dict | list) for value in found.values())
        if short and sum(len(name) + len(str(value)) + 4 for name, value in found.items()) <= _FLOW_MAX:
            return _Short(found)
        return found | nested

    def _fields(self, resource: Resource, row: Stored) -> Iterator[tuple[str, Any]]:
        for field in resource.written:
            if field.kind is SECRET:
                continue
            value = row.values[field.name]
            if field.kind is PRICES:
                if value is not None or self._full or resource.name == "deck":
                    yield field.name, _price_list(value)
            elif field.required or self._is_written(resource, field, row):
                yield field.name, self._plain(field, value, row)

    def _is_written(self, resource: Resource, field: Field, row: Stored) -> bool:
        """Whether a value is in the file; one for which the file would be refused is among those left out."""
        value = row.values[field.name]
        if value == default_of(field):
            return self._full
        if field.refers:
            return True
        try:
            field.read(value)
        except OperatorError as error:
            self.left_out.append(f"{resource.one} {called(row.at)}: {error}")
            return False
        return True

    def _plain(self, field: Field, value: Any, row: Stored) -> Any:
        if isinstance(value, Address | Outside):
            return self._names.text(field, value, row)
        return _Words(value) if isinstance(value, list) else value


def _in_order(row: Stored) -> list[tuple[bool, str | int]]:
    """Return where a row stands in its list: by its key, whatever the order in which rows were made."""
    return [(isinstance(part, str), part) if isinstance(part, str | int) else (True, "") for part in row.at.key]


def _price_list(value: PriceList | str | None) -> Any:
    if not isinstance(value, PriceList):
        return NONE if value is None else value
    said: Mapping[str, Any] = prices.written(value)
    rates = {prefix: _Short(price) if isinstance(price, dict) else price for prefix, price in said["rates"].items()}
    periods = [_Short({**period, "times": _Words(period["times"])}) for period in said.get("periods", ())]
    return {**({"periods": periods} if periods else {}), "rates": rates}
