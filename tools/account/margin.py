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
from tools.account.database import Connection, connected
from tools.account.entries import period
from tools.account.find import Account, find
from tools.account.options import DatabaseUrl, Json, Since, Until, Who
from tools.account.tables import show_table

# A leg is written when its call has ended; a day is room for clocks that differ. It bounds the scan of the index.
_MARGIN: Final = """
with leg as (
  select l.rid, l.currency, l.price_micros as earned, 0::bigint as paid, 0::bigint as carriers
    from tandem.cdr_leg l
   where l.payee_id = %(account)s and l.book = 'fund' and l.created_at >= %(since)s - interval '1 day'
  union all
  select l.rid, coalesce(l.fund_currency, l.currency), 0,
         case l.book when 'fund' then coalesce(l.charged_micros, l.price_micros) else 0 end,
         case l.book when 'cost' then l.price_micros else 0 end
    from tandem.cdr_leg l
   where l.payer_id = %(account)s and l.created_at >= %(since)s - interval '1 day'
)
select leg.currency, c.scale, count(distinct leg.rid) as calls, sum(leg.earned)::bigint as earned_micros,
       sum(leg.paid)::bigint as paid_micros, sum(leg.carriers)::bigint as carriers_micros
  from leg join tandem.cdr d on d.rid = leg.rid join tandem.currency c on c.code = leg.currency
 where d.ended_at >= %(since)s and d.ended_at < %(until)s
 group by leg.currency, c.scale order by leg.currency
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


def margin(who: Who, database_url: DatabaseUrl, *, since: Since, until: Until = "", as_json: Json = False) -> None:
    """Show what an account earned by calls, what it paid for them, and the difference; by the end of the call."""
    with connected(database_url) as connection:
        account = find(connection, who)
        rows = [each.as_dict() for each in margins(connection, account, *period(account, since, until))]
    if as_json:
        typer.echo(json.dumps({"account": account.id, "name": account.name, "currencies": rows}))
        return
    columns = ("calls", "earned", "paid", "carriers", "margin")
    show_table({**{name: name for name in columns}, "currency": ""}, rows)


def margins(connection: Connection, account: Account, since: datetime, until: datetime) -> Sequence[Margin]:
    """Return the account's margin per currency over the calls that ended from `since` on and before `until`."""
    arguments = {"account": account.id, "since": since, "until": until}
    cursor = connection.cursor(row_factory=class_row(Margin))
    return cursor.execute(_MARGIN, arguments).fetchall()
