"""`tandem report balance`: how an account's money came to be what it is, day by day, by the time of posting.

Every figure is a sum of ledger entries: opening, what came and went by hand, what calls cost, closing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from psycopg.rows import class_row

from tools.errors import OperatorError
from tools.report.columns import Cell, Column, Kind, Money
from tools.report.subject import Subject
from tools.report.sums import Sums
from tools.report.tongue import msg
from tools.report.writers import Writer, money_told
from tools.session import Session

WAYS: Final = ("day", "month")

# The sums of a fund are kept, so the opening is what there is now less what was posted since: no walk through its past.
# One statement: everything in it is of one moment.
_BALANCE: Final = """
with since as (
  select e.currency, sum(e.amount_micros) as micros
    from tandem.ledger_entry e
   where e.account_id = %(account)s and e.book = 'fund' and e.posted_at >= %(since)s
   group by e.currency
), opening as (
  select b.currency, b.balance_micros - coalesce(s.micros, 0) as micros
    from tandem.fund_balance b left join since s using (currency)
   where b.account_id = %(account)s
), line as (
  select e.currency, date_trunc(%(step)s, e.posted_at at time zone %(zone)s)::date as day,
         coalesce(sum(e.amount_micros) filter (where e.rid is null and e.amount_micros > 0), 0) as credited,
         coalesce(sum(e.amount_micros) filter (where e.rid is null and e.amount_micros < 0), 0) as debited,
         coalesce(sum(e.amount_micros) filter (where e.rid is not null), 0) as charged,
         count(distinct e.rid) as calls
    from tandem.ledger_entry e
   where e.account_id = %(account)s and e.book = 'fund' and e.posted_at >= %(since)s and e.posted_at < %(until)s
   group by 1, 2
)
select o.currency, o.micros as opening, l.day, coalesce(l.credited, 0) as credited, coalesce(l.debited, 0) as debited,
       coalesce(l.charged, 0) as charged, coalesce(l.calls, 0) as calls
  from opening o left join line l using (currency)
 order by o.currency, l.day
"""
_STEPS: Final = {
    "day": Column("day", msg("Day"), Kind.DAY, is_of_line=True),
    "month": Column("month", msg("Month"), Kind.MONTH, is_of_line=True),
}
_COLUMNS: Final = (
    Column("currency", msg("Currency"), Kind.CURRENCY, is_shown=False),
    Column("opening", msg("Opening balance"), Kind.MONEY),
    Column("credited", msg("Credits"), Kind.MONEY),
    Column("debited", msg("Debits"), Kind.MONEY),
    Column("charged", msg("Call charges"), Kind.MONEY),
    Column("calls", msg("Calls"), Kind.COUNT),
    Column("closing", msg("Closing balance"), Kind.MONEY),
)


class Line(NamedTuple):
    """What one day or month did to a fund; day None: nothing was posted. opening: of the whole time."""

    currency: str
    opening: Decimal
    day: date | None
    credited: Decimal
    debited: Decimal
    charged: Decimal
    calls: int


def balance(acting: Session, of: Subject, out: Writer, by: str) -> None:
    """Write the balance. by: of WAYS. Raises OperatorError for the root, which has no fund."""
    if by not in WAYS:
        raise OperatorError(f"by: {by[:40]!r} is not one of {', '.join(WAYS)}")
    if of.is_root:
        raise OperatorError(
            f"account: {of.account_id} {of.name!r} is the root, which is billed by nobody: it has no fund;"
            " say --account with one below it"
        )
    out.begin(of.sheet(msg("Balance"), msg("by the time of posting"), (_STEPS[by], *_COLUMNS)))
    running: dict[str, int] = {}
    sums = {name: Sums() for name in ("opening", "credited", "debited", "charged", "closing")}
    cursor = acting.connection.cursor(row_factory=class_row(Line))
    for line in cursor.execute(_BALANCE, of.arguments() | {"step": by}):
        out.row(_cells(line, running, sums))
    for currency, micros in running.items():
        sums["closing"].add({currency: micros})
    out.end(_summary(of, sums), {name: each.money for name, each in sums.items()})


def _cells(line: Line, running: dict[str, int], sums: dict[str, Sums]) -> tuple[Cell, ...]:
    """Return a row, and carry on what there is. running: currency -> micros."""
    code = line.currency
    if code not in running:
        running[code] = int(line.opening)
        sums["opening"].add({code: running[code]})
    opening = running[code]
    moved = {"credited": int(line.credited), "debited": int(line.debited), "charged": int(line.charged)}
    for name, micros in moved.items():
        sums[name].add({code: micros})
        running[code] += micros
    amounts = (Money({code: micros}) for micros in (opening, *moved.values()))
    return (line.day, code, *amounts, line.calls, Money({code: running[code]}))


def _summary(of: Subject, sums: dict[str, Sums]) -> Sequence[str]:
    say = of.tongue
    told = {"opening": msg("Opening balance"), "closing": msg("Closing balance")}
    return [say.titled(title, money_told(sums[name].money, say, of.scales)) for name, title in told.items()]
