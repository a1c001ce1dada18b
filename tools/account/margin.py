"""`tandem account margin`: what calls brought an account and what they cost it, per currency.

Its own tariff says what it pays, whatever it charges those below it; the difference is its margin. It is read from the
payments of the calls, not kept anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import typer
from psycopg.rows import class_row

from tools.account.amounts import decimal
from tools.account.entries import period
from tools.account.find import Account, find
from tools.account.options import As, DatabaseUrl, Json, Since, Until, Who
from tools.account.tables import show_table
from tools.errors import OperatorError
from tools.session import Connection, session

_MARGIN: Final = """
with call as materialized (
  select c.rid, c.paid, c.sold, c.cost from tandem.calls_v1(%(account)s, %(since)s, %(until)s) c
), part as (
  select call.rid, p.key as currency, p.value::bigint as earned, 0::bigint as paid, 0::bigint as carriers
    from call cross join jsonb_each_text(call.sold) as p
  union all
  select call.rid, p.key, 0, p.value::bigint, 0 from call cross join jsonb_each_text(call.paid) as p
  union all
  select call.rid, p.key, 0, 0, p.value::bigint from call cross join jsonb_each_text(call.cost) as p
)
select part.currency, c.scale, count(distinct part.rid) as calls, sum(part.earned)::bigint as earned_micros,
       sum(part.paid)::bigint as paid_micros, sum(part.carriers)::bigint as carriers_micros
  from part join tandem.currency c on c.code = part.currency group by part.currency, c.scale order by part.currency
"""


class Margin(NamedTuple):
    """What the calls of some time did for an account in one currency.

    earned: from those below it. paid: to its parent. carriers: to carriers of its own.
    """

    currency: str
    scale: int
    calls: int
    earned_micros: int
    paid_micros: int
    carriers_micros: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as programs read it."""
        margin = self.earned_micros - self.paid_micros - self.carriers_micros
        return {
            "currency": self.currency,
            "calls": self.calls,
            "earned": decimal(self.earned_micros, self.scale),
            "paid": decimal(self.paid_micros, self.scale),
            "carriers": decimal(self.carriers_micros, self.scale),
            "margin": decimal(margin, self.scale),
        }


def margin(
    who: Who, database_url: DatabaseUrl, *, since: Since, until: Until = "", as_account: As = "", as_json: Json = False
) -> None:
    """Show what an account earned by calls, what it paid for them, and the difference; by the end of the call."""
    with session(database_url, as_account=as_account, program="tandem account") as own:
        account = find(own.connection, who)
        if account.id != own.account_id and not own.is_root:
            raise OperatorError(f"account: {account.id} {account.name!r} is not who acts; its margin is its own affair")
        rows = [each.as_dict() for each in margins(own.connection, account, *period(account, since, until))]
    if as_json:
        typer.echo(json.dumps({"account": account.id, "name": account.name, "currencies": rows}))
        return
    columns = ("calls", "earned", "paid", "carriers", "margin")
    show_table({**{name: name for name in columns}, "currency": "currency"}, rows)


def margins(connection: Connection, account: Account, since: datetime, until: datetime) -> Sequence[Margin]:
    """Return the account's margin per currency over the calls that ended from `since` on and before `until`."""
    arguments = {"account": account.id, "since": since, "until": until}
    cursor = connection.cursor(row_factory=class_row(Margin))
    return cursor.execute(_MARGIN, arguments).fetchall()
