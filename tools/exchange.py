"""`tandem exchange …`: what one currency costs in another, from when on.

A rate is pinned in a call when the call begins; a later rate changes no call that was begun, nor anything posted.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import typer
from psycopg.rows import dict_row

from tools.account.amounts import moment
from tools.account.options import Actor, As, DatabaseUrl, Json
from tools.account.tables import show_table
from tools.errors import OperatorError
from tools.session import Connection, session

NANOS_MAX: Final = 9_000_000 * 10**9
YEARS: Final = range(2000, 2100)
_DECIMALS: Final = 9
_RATE: Final = re.compile(rf"([0-9]{{1,8}})(?:\.([0-9]{{1,{_DECIMALS}}}))?")

exchange = typer.Typer(no_args_is_help=True, help="Exchange rates between currencies.")

Base = Annotated[str, typer.Argument(metavar="BASE", help="Of which one unit …")]
Quote = Annotated[str, typer.Argument(metavar="QUOTE", help="… costs so many of this one.")]
RateText = Annotated[str, typer.Argument(metavar="RATE", help="Such as 1.0825, with at most 9 decimals.")]
From = Annotated[str, typer.Option("--from", help="Date, or date and time, in UTC unless it says; default: now.")]
Every = Annotated[bool, typer.Option("--all", help="Also those that newer ones have replaced.")]

_LIST: Final = """
select base, quote, rate, valid_from, in_force from (
  select r.base, r.quote, r.rate, r.valid_from,
         r.valid_from <= now() and not exists (
           select from tandem.exchange_rate n where (n.base, n.quote) = (r.base, r.quote)
              and n.valid_from > r.valid_from and n.valid_from <= now()) as in_force
    from tandem.exchange_rate r) as x
 where %s or in_force or valid_from > now() order by base, quote, valid_from
"""
_SET: Final = """
insert into tandem.exchange_rate(base, quote, valid_from, rate)
values (%s, %s, coalesce(%s, now()), %s)
on conflict do nothing returning valid_from
"""


@exchange.command("list")
def list_rates(database_url: DatabaseUrl, *, every: Every = False, as_account: As = "", as_json: Json = False) -> None:
    """List the exchange rates in force and those to come."""
    with session(database_url, as_account=as_account, program="tandem exchange") as own:
        cursor = own.connection.cursor(row_factory=dict_row)
        rows = [_row(row) for row in cursor.execute(_LIST, (every,)).fetchall()]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    now = _time(datetime.now(UTC))
    for row in rows:
        row["state"] = "in force" if row["in_force"] else "to come" if row["valid_from"] > now else "replaced"
    show_table({"base": "1 of", "rate": "is", "quote": "of", "valid_from": "from", "state": "state"}, rows)


@exchange.command("set")
def set_rate(  # noqa: PLR0913  one parameter per option
    base: Base, quote: Quote, rate: RateText, database_url: DatabaseUrl, *,
    since: From = "", actor: Actor = "", as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Say what one unit of BASE costs in QUOTE from a time on. The way back is a rate of its own."""
    number = rate_of(rate)
    if base == quote:
        raise OperatorError(f"quote: {quote!r} is the base; a currency needs no rate to itself")
    begin = moment(since, "from", UTC) if since else None
    if begin and begin.year not in YEARS:
        raise OperatorError(f"from: {since} is not in the years {YEARS[0]} to {YEARS[-1]}")
    with session(database_url, as_account=as_account, actor=actor, program="tandem exchange") as own:
        for field, code in (("base", base), ("quote", quote)):
            check_currency(own.connection, code, field)
        row = own.connection.execute(_SET, (base, quote, begin, number)).fetchone()
    if row is None:
        raise OperatorError(f"from: another rate of {base} in {quote} begins at {since or 'this moment'} already")
    made = {"base": base, "quote": quote, "rate": shown(number), "valid_from": _time(row[0])}
    if as_json:
        typer.echo(json.dumps(made))
    else:
        typer.echo(f"1 {base} is {made['rate']} {quote} from {made['valid_from']} on")


def rate_of(text: str) -> Decimal:
    """Return an exchange rate exactly: above 0, at most 9 decimals and 9 million. Raises OperatorError."""
    match = _RATE.fullmatch(text)
    if match is None:
        rule = f"a decimal number such as 1.0825, with at most {_DECIMALS} decimals"
        raise OperatorError(f"rate: {text[:40]!r} is not {rule}")
    nanos = int(match[1]) * 10**_DECIMALS + int((match[2] or "").ljust(_DECIMALS, "0"))
    if not 1 <= nanos <= NANOS_MAX:
        raise OperatorError(f"rate: {text} is not above 0 and at most {shown(Decimal(NANOS_MAX).scaleb(-_DECIMALS))}")
    return Decimal(nanos).scaleb(-_DECIMALS)


def shown(rate: Decimal) -> str:
    """Return a rate exactly, without zeros at its end."""
    whole, _, part = f"{rate:f}".partition(".")
    part = part.rstrip("0")
    return f"{whole}.{part}" if part else whole


def check_currency(connection: Connection, code: str, field: str) -> None:
    """Raise OperatorError unless the currency is known."""
    known = [row[0] for row in connection.execute("select code from tandem.currency order by code").fetchall()]
    if code not in known:
        raise OperatorError(f"{field}: {code[:40]!r} is not one of the currencies {', '.join(known)}")


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "rate": shown(row["rate"]), "valid_from": _time(row["valid_from"])}


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")
