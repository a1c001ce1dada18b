"""`tandem report cdr`: every call of an account that ended in a time, one by one, with what it paid and earned.

The rows come through a cursor of the server: a report of millions of calls needs no more memory than a short one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg.rows import class_row

from tools.report.columns import Cell, Column, Kind
from tools.report.subject import Subject
from tools.report.sums import Sums, money
from tools.report.tongue import msg
from tools.report.writers import Writer, money_told
from tools.session import Session

FETCHED: Final = 1_000  # rows a round trip brings

_CALLS: Final = """
select started_at, answered_at, ended_at, direction, account_id, account, source, caller, callee, outcome, sip_status,
       reason, q850, ended_by, talk_ms, billed_s, prefix, carrier, pdd_ms, paid, sold, cost, rid, call_id
  from tandem.calls_v1(%(account)s, %(since)s, %(until)s)
"""

COLUMNS: Final = (
    Column("started_at", msg("Start"), Kind.MOMENT),
    Column("answered_at", msg("Answered"), Kind.MOMENT, is_shown=False),
    Column("ended_at", msg("End"), Kind.MOMENT, is_shown=False),
    Column("direction", msg("Direction"), Kind.WORD),
    Column("account_id", msg("Account ID"), Kind.COUNT, is_shown=False),
    Column("account", msg("Account"), Kind.TEXT),
    Column("source", msg("Line"), Kind.TEXT, is_shown=False),
    Column("caller", msg("Caller"), Kind.TEXT),
    Column("callee", msg("Called"), Kind.TEXT),
    Column("outcome", msg("Outcome"), Kind.WORD),
    Column("sip_status", msg("SIP status"), Kind.COUNT),
    Column("reason", msg("Reason"), Kind.TEXT, is_shown=False),
    Column("q850", "Q.850", Kind.COUNT, is_shown=False),
    Column("ended_by", msg("Ended by"), Kind.TEXT, is_shown=False),
    Column("talk_ms", msg("Talk time, ms"), Kind.COUNT, is_shown=False),
    Column("billed_s", msg("Billed"), Kind.SECONDS),
    Column("prefix", msg("Prefix"), Kind.TEXT, is_shown=False),
    Column("carrier", msg("Carrier"), Kind.TEXT),
    Column("pdd_ms", msg("Post-dial delay, ms (PDD)"), Kind.COUNT, is_shown=False),
    Column("paid", msg("Cost"), Kind.MONEY),
    Column("sold", msg("Sale price"), Kind.MONEY),
    Column("cost", msg("Carrier cost"), Kind.MONEY),
    Column("rid", msg("CDR ID"), Kind.TEXT, is_shown=False),
    Column("call_id", "Call-ID", Kind.TEXT, is_shown=False),
)

WORDS: Final = (
    msg("out"), msg("in"), msg("internal"), msg("answered"), msg("cancelled"), msg("failed"), msg("refused"),
    msg("estimated"), msg("unknown end"), msg("talking"),
)  # fmt: skip
"""What stands in the columns of words, as people read it, for the catalogues."""


class Call(NamedTuple):
    """A call as tandem.calls_v1 tells of it; paid, sold, cost: currency -> micros."""

    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime
    direction: str
    account_id: int
    account: str
    source: str
    caller: str
    callee: str
    outcome: str
    sip_status: int
    reason: str
    q850: int
    ended_by: str
    talk_ms: int
    billed_s: int
    prefix: str
    carrier: str
    pdd_ms: int | None
    paid: dict[str, Any]
    sold: dict[str, Any]
    cost: dict[str, Any]
    rid: str
    call_id: str

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The call as a row."""
        prices = {"paid": money(self.paid), "sold": money(self.sold), "cost": money(self.cost)}
        return tuple((self._asdict() | prices).values())


def calls(acting: Session, of: Subject, out: Writer) -> None:
    """Write every call, and the sums."""
    out.begin(of.sheet(msg("Calls"), msg("by the end of the call"), COLUMNS))
    count, billed_s = 0, 0
    sums = {name: Sums() for name in ("paid", "sold", "cost")}
    for call in _streamed(acting, of):
        out.row(call.cells)
        count += 1
        billed_s += call.billed_s
        for name, amounts in (("paid", call.paid), ("sold", call.sold), ("cost", call.cost)):
            sums[name].add(amounts)
    totals: dict[str, Cell] = {
        "calls": count,
        "billed_s": billed_s,
        **{name: sum_.money for name, sum_ in sums.items()},
    }
    out.end(_summary(of, count, sums), totals)


def _streamed(acting: Session, of: Subject) -> Iterator[Call]:
    with acting.connection.cursor("report_calls", row_factory=class_row(Call)) as cursor:
        cursor.itersize = FETCHED
        yield from cursor.execute(_CALLS, of.arguments())


def _summary(of: Subject, count: int, sums: dict[str, Sums]) -> Iterator[str]:
    say = of.tongue
    if count:
        yield say.plural("%(n)s call", "%(n)s calls", count)
    told = {"paid": msg("Cost"), "sold": msg("Sale price"), "cost": msg("Carrier cost")}
    for name, title in told.items():
        if sums[name].money.micros:
            yield say.titled(title, money_told(sums[name].money, say, of.scales))
