"""`tandem tariff prices` and `tandem tariff price`: what prefixes cost now, and one of them changed at once.

Whole price lists come by `tandem import rates` and `tandem apply`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, NamedTuple

import typer
from psycopg.rows import args_row

from tools.account.amounts import decimal
from tools.account.options import Actor, As, DatabaseUrl, Json
from tools.account.tables import show_table
from tools.errors import OperatorError
from tools.printable import printable
from tools.session import Connection, Session, find_account, session
from tools.tenant import kinds
from tools.tenant.catalogue import resource
from tools.tenant.completion import rows
from tools.tenant.model import Field
from tools.tenant.naming import find_named
from tools.tenant.read import Row, again
from tools.tenant.write import told

PAGE: Final = 100
TARIFF: Final = resource("tariff")
DECIMALS: Final = 4  # of a price a minute, at least
_AMOUNT: Final = kinds.money(0, 10**12, "an amount from 0 to 1000000")
PREFIX: Final = Field(
    "prefix", kinds.matching("[1-9][0-9]{0,14}", "1 to 15 digits that do not begin with 0"), "", required=True
)
# As tandem.edit_rate_set_v1 reads them; named as on the command line where they are refused.
FIELDS: Final = {
    "per_min_micros": Field("per_minute", _AMOUNT, "", required=True),
    "first_s": Field("first_s", kinds.whole(1, 3600, "seconds"), "", default=1),
    "next_s": Field("next_s", kinds.whole(1, 3600, "seconds"), "", default=1),
    "connect_micros": Field("connect", _AMOUNT, "", default="0"),
    "min_micros": Field("minimum", _AMOUNT, "", default="0"),
}

Who = Annotated[str, typer.Argument(metavar="TARIFF", help="Its name, or its id, #5.", autocompletion=rows(TARIFF))]
Of = Annotated[str, typer.Option("--account", help="Only of this account.", autocompletion=rows(resource("account")))]
Begins = Annotated[str, typer.Argument(metavar="[PREFIX]", help="Only prefixes that begin so.")]
All = Annotated[bool, typer.Option("--all", help=f"All of them; default: the first {PAGE}.")]
Prefix = Annotated[str, typer.Argument(metavar="PREFIX", help="Beginning of the numbers that cost this.")]
PerMinute = Annotated[str, typer.Argument(metavar="[AMOUNT]", help="What a minute costs, in the tariff's currency.")]
First = Annotated[str, typer.Option("--first-s", help="Seconds charged at once. Default: 1.")]
Next = Annotated[str, typer.Option("--next-s", help="Seconds of each further increment. Default: 1.")]
Connect = Annotated[str, typer.Option(help="Fee of an answered call. Default: 0.")]
Minimum = Annotated[str, typer.Option(help="Least price of an answered call. Default: 0.")]
Forbidden = Annotated[bool, typer.Option("--forbidden", help="Nobody may call there by this tariff.")]
Nothing = Annotated[bool, typer.Option("--none", help="Take the prefix's own price away: a shorter one's counts.")]

_IN_FORCE: Final = """
select s.id, s.version from tandem.tariff t
  left join lateral (select d.rate_set_id, true as begun from tandem.tariff_deck d
                      where d.tariff_id = t.id and d.valid_from <= now()
                      order by d.valid_from desc limit 1) as deck on true
  join tandem.rate_set s on s.id = case when deck.begun then deck.rate_set_id else t.rate_set_id end
 where t.id = %s
"""
_TO_COME: Final = """
select d.valid_from, s.version from tandem.tariff_deck d left join tandem.rate_set s on s.id = d.rate_set_id
 where d.tariff_id = %s and d.valid_from > now() order by d.valid_from
"""
_PRICES: Final = """
select r.prefix::text, c.per_min_micros, c.first_s, c.next_s, c.connect_micros, c.min_micros, c.forbidden
  from tandem.rate_set s
  cross join lateral unnest(case when s.layers = '{}' then array[s.id] else s.layers end)
                     with ordinality as l(id, place)
  join tandem.rate r on r.rate_set_id = l.id
  join tandem.rate_class c on c.rate_set_id = s.id and c.idx = r.class_idx
 where s.id = %s and r.prefix ^@ %s
   and not exists (select from tandem.rate_field f
                    where f.rate_set_id = any (s.layers[:l.place - 1]) and f.field = left(r.prefix, 4))
 order by r.prefix limit %s
"""


class Price(NamedTuple):
    """What calls to numbers that begin so cost; amounts in micros, a minute, without the prices of periods."""

    prefix: str
    per_minute: int
    first_s: int
    next_s: int
    connect: int
    minimum: int
    forbidden: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it as programs read it."""
        amounts = {name: decimal(getattr(self, name), DECIMALS) for name in ("per_minute", "connect", "minimum")}
        return {**self._asdict(), **amounts}

    def as_row(self) -> dict[str, Any]:
        """Return it as people read it."""
        return {**self.as_dict(), "forbidden": "forbidden" if self.forbidden else ""}


def prices(
    who: Who, database_url: DatabaseUrl, begins: Begins = "", *,
    account: Of = "", everything: All = False, as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Show what prefixes cost now by a tariff, and when other prices begin."""
    with session(database_url, as_account=as_account) as acting:
        tariff = _tariff(acting, who, account)
        found = acting.connection.execute(_IN_FORCE, tariff.primary).fetchone()
        most = None if everything or as_json else PAGE + 1
        said = _prices(acting.connection, found[0], begins, most) if found else []
        come = acting.connection.execute(_TO_COME, tariff.primary).fetchall()
    if as_json:
        head = {"version": found[1] if found else None, "to_come": [_deck_as_dict(*each) for each in come]}
        typer.echo(json.dumps({**tariff.as_dict(TARIFF), **head, "prices": [each.as_dict() for each in said]}))
        return
    lines = [f"version {found[1]} is in force" if found else "no prices now", *(_deck(*each) for each in come)]
    typer.echo(printable(f"{_called(tariff)}, {tariff.values['currency']}: {'; '.join(lines)}"))
    shown = said if everything else said[:PAGE]
    show_table({name: name.replace("_", " ") for name in Price._fields}, [each.as_row() for each in shown])
    if len(said) > len(shown):
        typer.echo(f"the first {PAGE}; --all shows the others")


def price(  # noqa: PLR0913  one parameter per option
    who: Who, prefix: Prefix, database_url: DatabaseUrl, per_minute: PerMinute = "", *,
    first_s: First = "", next_s: Next = "", connect: Connect = "", minimum: Minimum = "", forbidden: Forbidden = False,
    none: Nothing = False, account: Of = "", as_account: As = "", actor: Actor = "",
) -> None:  # fmt: skip
    """Set what calls to numbers that begin so cost, from the next call on. What is not said is as by default.

    Decks that begin later keep their own prices; prices by time of week come by `tandem apply` only.
    """
    if [bool(per_minute), forbidden, none].count(True) != 1:
        raise OperatorError("price: say one of an amount per minute, --forbidden and --none")
    texts = (per_minute or "0", first_s, next_s, connect, minimum)
    values = {name: field.typed(text) for (name, field), text in zip(FIELDS.items(), texts, strict=True)}
    edit = {"prefix": PREFIX.typed(prefix), "price": None if none else {**values, "forbidden": forbidden}}
    with session(database_url, as_account=as_account, actor=actor) as acting:
        tariff = _tariff(acting, who, account)
        if none and not _has_price(acting.connection, tariff, prefix):
            raise OperatorError(f"prefix: {prefix!r} has no price of its own in {tariff.name(TARIFF)}")
        with told(acting, TARIFF, {}):
            acting.connection.execute("select tandem.set_rates_v1(%s, %s)", (*tariff.primary, json.dumps([edit])))
    typer.echo(printable(f"{_called(tariff)}: {prefix} {_sentence(edit['price'], tariff)}"))


def _tariff(acting: Session, who: str, account: str) -> Row:
    """Return the tariff that a text names, of the account where one is said. Raises OperatorError."""
    base = find_account(acting.connection, account).id if account else acting.account_id
    found = find_named(acting.connection, TARIFF, who, base, TARIFF.name, own_only=bool(account))
    return again(acting.connection, TARIFF, (found,))


def _has_price(connection: Connection, tariff: Row, prefix: str) -> bool:
    """Whether a tariff has a price for just this prefix now."""
    found = connection.execute(_IN_FORCE, tariff.primary).fetchone()
    return found is not None and [each.prefix for each in _prices(connection, found[0], prefix, 1)] == [prefix]


def _prices(connection: Connection, rate_set: int, begins: str, most: int | None) -> list[Price]:
    cursor = connection.cursor(row_factory=args_row(Price))
    return cursor.execute(_PRICES, (rate_set, begins, most)).fetchall()


def _called(tariff: Row) -> str:
    whose = f" of {tariff.owner}" if tariff.owner else ""
    return f"tariff #{tariff.primary[0]} {tariff.name(TARIFF)}{whose}"


def _deck(at: datetime, version: int | None) -> str:
    return f"{f'version {version}' if version else 'no prices'} from {at.astimezone(UTC).isoformat()}"


def _deck_as_dict(at: datetime, version: int | None) -> dict[str, Any]:
    return {"from": at.astimezone(UTC).isoformat(), "version": version}


def _sentence(values: Mapping[str, Any] | None, tariff: Row) -> str:
    """Return a price that was set, for people. values: as tandem.set_rates_v1 reads them."""
    if values is None:
        return "has no price of its own"
    if values["forbidden"]:
        return "is forbidden"
    micros = {name: decimal(values[name], DECIMALS) for name in ("per_min_micros", "connect_micros", "min_micros")}
    more = [f"{values['first_s']}/{values['next_s']} s"]
    more += [f"connect {micros['connect_micros']}"] if values["connect_micros"] else []
    more += [f"at least {micros['min_micros']}"] if values["min_micros"] else []
    return f"costs {micros['per_min_micros']} {tariff.values['currency']} a minute, {', '.join(more)}"
