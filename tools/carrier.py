"""`tandem carrier …`: what we owe each carrier, what we paid, how much may go there, and where it is.

Rule 1: what is owed is the sum of the carrier's ledger entries: calls raise it, payments lower it; it is never set.
Rule 2: a cap that is reached makes the router pass the carrier over, and says so in every trace; calls go on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final, NamedTuple

import typer
from psycopg import sql
from psycopg.rows import class_row

from tools.account.amounts import UNLIMITED, decimal, limit_micros, micros
from tools.account.entries import Entry, show_entries
from tools.account.options import SIGNED, Actor, Amount, As, DatabaseUrl, Json, Note, Request
from tools.account.posted import posted
from tools.account.tables import show_pairs, show_table
from tools.errors import OperatorError
from tools.resolve.command import names
from tools.session import Connection, not_there, session, shown
from tools.tenant.catalogue import resource
from tools.tenant.completion import rows

ENTRIES_SHOWN: Final = 20
FORMER: Final = "open by a former deck; pay --currency settles it"

carrier = typer.Typer(no_args_is_help=True, help="Carriers: what we owe them, payments to them, caps, names.")
carrier.command()(names)

Who = Annotated[
    str,
    typer.Argument(
        metavar="CARRIER",
        help="Its id (5 or #5), or its name where only one has it.",
        autocompletion=rows(resource("peering")),
    ),
]
Currency = Annotated[str, typer.Option(help="The deck's, which is the default, or one of a former deck.")]
Cap = Annotated[str, typer.Option(metavar="AMOUNT", help="An amount in its deck's currency, or unlimited.")]

_CARRIERS: Final = """
select g.id, g.name, g.account_id, a.name as owner, g.enabled, t.currency, c.scale,
       coalesce(o.owed_micros, 0) as owed_micros,
       case when o.day_id = to_char(here.at, 'YYYYMMDD')::integer then o.day_micros else 0 end as day_micros,
       case when o.month_id = to_char(here.at, 'YYYYMM')::integer then o.month_micros else 0 end as month_micros,
       g.owed_max_micros, g.day_max_micros, g.month_max_micros, s.spent
  from tandem.peering_group g
  join tandem.account a on a.id = g.account_id
  join tandem.tariff t on t.id = g.tariff_id
  join tandem.currency c on c.code = t.currency
  join tandem.carrier_state s on s.group_id = g.id
  cross join lateral (select now() at time zone a.timezone as at) as here
  left join tandem.carrier_owed o on o.group_id = g.id and o.currency = t.currency
"""
_OWED: Final = """
select o.group_id, o.currency, c.scale, o.owed_micros from tandem.carrier_owed o
  join tandem.currency c on c.code = o.currency where %s in (0, o.group_id) order by o.group_id, o.currency
"""
_ENTRIES: Final = """
select e.posted_at, e.id, e.txn_id, e.book, e.currency, c.scale, e.amount_micros, e.origin, coalesce(e.rid, '') as rid,
       e.note, coalesce(tandem.ledger_actor(e.id), '') as actor
  from tandem.ledger_entry e join tandem.currency c on c.code = e.currency
 where e.group_id = %s and e.book = 'carrier' order by e.posted_at desc, e.id desc limit %s
"""


class Carrier(NamedTuple):
    """A peering group with its money, as far as calls are posted. Maxima: None = unlimited.

    day_micros, month_micros: what its calls cost in the day and the month that it is for its owner. spent: which cap is
    reached, so that no more calls go there; "" = none.
    """

    id: int
    name: str
    account_id: int
    owner: str
    enabled: bool
    currency: str
    scale: int
    owed_micros: int
    day_micros: int
    month_micros: int
    owed_max_micros: int | None
    day_max_micros: int | None
    month_max_micros: int | None
    spent: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as programs read it."""
        return {
            "id": self.id,
            "name": self.name,
            "owner": self.owner,
            "enabled": self.enabled,
            "currency": self.currency,
            "owed": self.amount(self.owed_micros),
            "owed_limit": self.cap(self.owed_max_micros),
            "day": self.amount(self.day_micros),
            "day_limit": self.cap(self.day_max_micros),
            "month": self.amount(self.month_micros),
            "month_limit": self.cap(self.month_max_micros),
            "spent": self.spent,
        }

    def amount(self, value: int) -> str:
        """Return micros with the decimals of its currency."""
        return decimal(value, self.scale)

    def cap(self, value: int | None) -> str:
        """Return a cap as people read it."""
        return UNLIMITED if value is None else self.amount(value)


@carrier.command("list")
def list_carriers(database_url: DatabaseUrl, *, as_account: As = "", as_json: Json = False) -> None:
    """List the carriers, what we owe them, and what goes there today and this month."""
    with session(database_url, as_account=as_account, program="tandem carrier") as own:
        others = other_owed(own.connection)
        found = select_carriers(own.connection, "order by g.id")
    carriers = [{**each.as_dict(), "other_owed": _named(each, others)} for each in found]
    if as_json:
        typer.echo(json.dumps(carriers))
        return
    names = ("id", "name", "owner", "owed", "day", "month")
    shown: list[dict[str, Any]] = []
    for row in carriers:
        shown.append({**row, "state": _state(row)})
        shown += [{**row, "day": "", "month": "", **other, "state": FORMER} for other in row["other_owed"]]
    show_table({**{name: name for name in names}, "currency": "currency", "state": "state"}, shown)


@carrier.command()
def show(who: Who, database_url: DatabaseUrl, *, as_account: As = "", as_json: Json = False) -> None:
    """Show a carrier, its caps, and the last entries of what we owe it: plus raises it, minus lowers it."""
    with session(database_url, as_account=as_account, program="tandem carrier") as own:
        found = find(own.connection, who)
        cursor = own.connection.cursor(row_factory=class_row(Entry))
        entries = cursor.execute(_ENTRIES, (found.id, ENTRIES_SHOWN)).fetchall()
        row = {**found.as_dict(), "other_owed": _named(found, other_owed(own.connection, found.id))}
    if as_json:
        typer.echo(json.dumps({**row, "entries": [each.as_dict() for each in entries]}))
        return
    show_pairs(
        {
            "carrier": f"{found.id} {found.name} of {found.owner}, {_state(row)}",
            "owed": f"{row['owed']} {found.currency} of {row['owed_limit']}",
            **{f"also {each['currency']}": f"{each['owed']} {each['currency']} {FORMER}" for each in row["other_owed"]},
            "today": f"{row['day']} {found.currency} of {row['day_limit']}",
            "this month": f"{row['month']} {found.currency} of {row['month_limit']}",
        }
    )
    show_entries(entries)


@carrier.command(context_settings=SIGNED)
def pay(  # noqa: PLR0913  one parameter per option
    who: Who, amount: Amount, database_url: DatabaseUrl, *,
    note: Note, actor: Actor = "", currency: Currency = "", request: Request = "",
    as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Write down that a carrier was paid: what we owe it falls by so much, and may fall below zero."""
    value = micros(amount)
    with session(database_url, as_account=as_account, actor=actor, program="tandem carrier") as own:
        before = in_currency(own.connection, find(own.connection, who), currency)
        txn, moved = posted(
            own.connection,
            "select tandem.pay_carrier_v1(%s, %s, %s, %s, %s, %s)",
            (before.id, value, note, own.actor, request or None, before.currency),
        )
        after = in_currency(own.connection, find(own.connection, str(before.id)), before.currency)
    owed = {"before": before.amount(before.owed_micros), "after": after.amount(after.owed_micros)}
    if as_json:
        head = {"txn": str(txn), "carrier": after.id, "name": after.name, "currency": after.currency}
        typer.echo(json.dumps({**head, **owed, "moved": moved}))
        return
    text = f"owed {owed['before']} → {owed['after']} {after.currency}"
    if not moved:
        text = f"owed {owed['after']} {after.currency}; this request was posted before and moves nothing"
    typer.echo(f"carrier {after.id} {after.name}: {text}\ntransaction {txn}")


@carrier.command()
def limit(  # noqa: PLR0913  one parameter per option
    who: Who, database_url: DatabaseUrl, *,
    owed: Cap = "", day: Cap = "", month: Cap = "", actor: Actor = "", as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Set what we may owe a carrier, and what may go there in a day or a month, and show it.

    0 owed: only what was paid in advance may be used up.

    A cap is looked at when calls are posted: at their end, and after each hour of talk (TANDEM_PART_S). A reached one
    ends no call; seconds later it keeps new ones away. So it may be passed by what the calls cost that the carrier has
    at that moment, to their ends: calls at a time × longest call × dearest minute. Set it that much lower.
    """
    caps = {"owed": owed, "day": day, "month": month}
    changes = {
        f"{name}_max_micros": limit_micros(text, name, zero=name == "owed") for name, text in caps.items() if text
    }
    with session(database_url, as_account=as_account, actor=actor, program="tandem carrier") as own:
        found = find(own.connection, who)
        if changes:
            columns = [sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in changes.items()]
            statement = sql.SQL("update tandem.peering_group set {} where id = {}")
            if not own.connection.execute(statement.format(sql.SQL(", ").join(columns), found.id)).rowcount:
                raise OperatorError(f"carrier: {found.id} {found.name!r} is seen, and not yours to change")
            found = find(own.connection, str(found.id))
    row = found.as_dict()
    if as_json:
        typer.echo(json.dumps(row))
        return
    limits = ", ".join(f"{name} {row[f'{name}_limit']}" for name in caps)
    typer.echo(f"carrier {found.id} {found.name}, {found.currency}: {limits}")


def find(connection: Connection, who: str) -> Carrier:
    """Return the carrier with this id, or this name. Raises OperatorError when there is none, or several."""
    digits = who.removeprefix("#")
    by_id = digits.isascii() and digits.isdecimal()
    where = "where g.id = %s" if by_id else "where g.name = %s order by g.id"
    found = select_carriers(connection, where, int(digits[:18]) if by_id else who)
    if not found:
        raise not_there("carrier", who)
    if len(found) > 1:
        ids = ", ".join(f"{each.id} of {each.owner}" for each in found)
        raise OperatorError(f"carrier: {len(found)} are called {shown(who)}, give the id: {ids}")
    return found[0]


def other_owed(connection: Connection, group_id: int = 0) -> dict[int, list[tuple[str, int, int]]]:
    """Return carrier -> (currency, its scale, micros) of each currency that calls or payments were in. 0 = of all."""
    found: dict[int, list[tuple[str, int, int]]] = {}
    for owner, *owed in connection.execute(_OWED, (group_id,)).fetchall():
        found.setdefault(owner, []).append((owed[0], owed[1], owed[2]))
    return found


def in_currency(connection: Connection, found: Carrier, currency: str) -> Carrier:
    """Return the carrier with what is owed in a currency; "" = its deck's. Raises OperatorError for another one."""
    if currency in {"", found.currency}:
        return found
    for code, scale, owed in other_owed(connection, found.id).get(found.id, []):
        if code == currency:
            return found._replace(currency=code, scale=scale, owed_micros=owed)
    rule = f"is not that of the deck of carrier {found.id}, {found.currency}, and nothing was ever owed in it"
    raise OperatorError(f"currency: {currency[:40]!r} {rule}")


def _named(found: Carrier, owed: dict[int, list[tuple[str, int, int]]]) -> list[dict[str, str]]:
    """Return what is open in other currencies than the deck's, as programs read it."""
    return [
        {"currency": code, "owed": decimal(value, scale)}
        for code, scale, value in owed.get(found.id, [])
        if value and code != found.currency
    ]


def select_carriers(connection: Connection, where: str, *parameters: int | str) -> Sequence[Carrier]:
    """Return the carriers that a clause of ours selects."""
    cursor = connection.cursor(row_factory=class_row(Carrier))
    return cursor.execute(f"{_CARRIERS} {where}".encode(), parameters).fetchall()


def _state(row: dict[str, Any]) -> str:
    """Return whether calls go to a carrier, for people."""
    if not row["enabled"]:
        return "disabled"
    cap = "owed" if row["spent"] == "balance" else row["spent"]
    return f"passed over: {cap} cap reached" if cap else "enabled"
