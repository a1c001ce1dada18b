"""`tandem report margin`: what calls brought an account, what they cost it, and the difference, per currency.

Only the account itself learns its margin, and the platform; whoever is above it sees prices, not what is left of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from psycopg.rows import class_row

from tools.errors import OperatorError
from tools.report.columns import Cell, Column, Kind, Money
from tools.report.places import place
from tools.report.subject import Subject
from tools.report.sums import Sums
from tools.report.tongue import msg
from tools.report.writers import Writer, money_told
from tools.session import Session, shown

WAYS: Final = ("day", "destination", "account", "carrier")

# Whole amounts of micros, of any size: sums of jsonb numbers are numeric.
_MARGIN: Final = """
select case when %(by_day)s then (c.ended_at at time zone %(zone)s)::date end as day,
       case when %(by_destination)s then c.prefix else '' end as prefix,
       case when %(by_account)s then c.account else '' end as account,
       case when %(by_carrier)s then c.carrier else '' end as carrier,
       m.currency, count(distinct c.rid) as calls, sum(m.earned) as earned, sum(m.paid) as paid, sum(m.cost) as cost
  from tandem.calls_v1(%(account)s, %(since)s, %(until)s) as c
  cross join lateral (
    select key as currency, value::numeric as earned, 0::numeric as paid, 0::numeric as cost
      from jsonb_each_text(c.sold)
    union all select key, 0, value::numeric, 0 from jsonb_each_text(c.paid)
    union all select key, 0, 0, value::numeric from jsonb_each_text(c.cost)) as m
 group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
"""


class Line(NamedTuple):
    """What the calls of one day, destination, account and carrier did in one currency; "" where that is not asked."""

    day: date | None
    prefix: str
    account: str
    carrier: str
    currency: str
    calls: int
    earned: Decimal
    paid: Decimal
    cost: Decimal


def margin(acting: Session, of: Subject, out: Writer, by: Sequence[str]) -> None:
    """Write the margin. Raises OperatorError for that of another account."""
    check_ways(by, WAYS)
    if not of.is_own:
        raise OperatorError(f"account: the margin of {shown(of.name)} is known to it alone; see --account of your own")
    out.begin(of.sheet(msg("Margin"), msg("by the end of the call"), (*by_columns(by), *_COLUMNS)))
    arguments = of.arguments() | {f"by_{way}": way in by for way in WAYS}
    sums = {name: Sums() for name in ("earned", "paid", "cost", "margin")}
    cursor = acting.connection.cursor(row_factory=class_row(Line))
    for line in cursor.execute(_MARGIN, arguments):
        amounts = {"earned": int(line.earned), "paid": int(line.paid), "cost": int(line.cost)}
        amounts["margin"] = amounts["earned"] - amounts["paid"] - amounts["cost"]
        for name, micros in amounts.items():
            sums[name].add({line.currency: micros})
        prices = (Money({line.currency: micros}) for micros in amounts.values())
        where = by_cells(of, by, line.day, line.prefix, line.account, line.carrier)
        out.row((*where, line.currency, line.calls, *prices))
    say = of.tongue
    told = (say.titled(_HEADINGS[name], money_told(each.money, say, of.scales)) for name, each in sums.items())
    out.end(told if sums["margin"].money.micros else (), {name: each.money for name, each in sums.items()})


def check_ways(by: Sequence[str], ways: Sequence[str]) -> None:
    """Raise OperatorError for a way to split a report that it does not know."""
    for way in by:
        if way not in ways:
            raise OperatorError(f"by: {shown(way)} is not one of {', '.join(ways)}")


def by_columns(by: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns that say what a line is of, always in one order."""
    made = {
        "day": (Column("day", msg("Day"), Kind.DAY, is_of_line=True),),
        "destination": (
            Column("prefix", msg("Prefix"), Kind.TEXT, is_of_line=True),
            Column("destination", msg("Destination"), Kind.TEXT),
        ),
        "account": (Column("account", msg("Account"), Kind.TEXT, is_of_line=True),),
        "carrier": (Column("carrier", msg("Carrier"), Kind.TEXT, is_of_line=True),),
    }
    return tuple(column for way, columns in made.items() if way in by for column in columns)


def by_cells(
    of: Subject, by: Sequence[str], day: date | None, prefix: str, account: str, carrier: str
) -> tuple[Cell, ...]:
    """Return the cells of by_columns."""
    made: dict[str, tuple[Cell, ...]] = {
        "day": (day,),
        "destination": (prefix, place(prefix, of.tongue)),
        "account": (account,),
        "carrier": (carrier,),
    }
    return tuple(cell for way, cells in made.items() if way in by for cell in cells)


_HEADINGS: Final = {
    "earned": msg("Revenue"),
    "paid": msg("Cost"),
    "cost": msg("Carrier cost"),
    "margin": msg("Margin"),
}
_COLUMNS: Final = (
    Column("currency", msg("Currency"), Kind.CURRENCY, is_shown=False),
    Column("calls", msg("Calls"), Kind.COUNT),
    *(Column(key, heading, Kind.MONEY) for key, heading in _HEADINGS.items()),
)
