"""`tandem report traffic`: how many calls, how many were answered, for how long, and how soon they rang.

By carrier a line counts tries at that carrier: one that answers 503 was tried, though another one took the call. All
other lines count calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final, LiteralString, NamedTuple

from psycopg.rows import class_row

from tools.report.columns import Cell, Column, Kind, Ratio
from tools.report.margin import WAYS, by_cells, by_columns, check_ways
from tools.report.subject import Subject
from tools.report.tongue import msg
from tools.report.writers import Writer
from tools.session import Session

SECOND_MS: Final = 1_000

_LINES: Final[LiteralString] = """
select case when %(by_day)s then (c.ended_at at time zone %(zone)s)::date end as day,
       case when %(by_destination)s then c.prefix else '' end as prefix,
       case when %(by_account)s then c.account else '' end as account,
       case when %(by_carrier)s then c.carrier else '' end as carrier,
       count(*) as attempts, count(*) filter (where c.is_answered) as answered,
       coalesce(sum(c.talk_ms), 0)::bigint as talk_ms, coalesce(sum(c.billed_s), 0)::bigint as billed_s,
       coalesce(sum(c.pdd_ms), 0)::bigint as pdd_ms, count(c.pdd_ms) as rung
"""
_OF_CALLS: Final[LiteralString] = """
  from (select *, answered_at is not null as is_answered from tandem.calls_v1(%(account)s, %(since)s, %(until)s)) as c
 group by 1, 2, 3, 4 order by 1, 2, 3, 4
"""
_OF_TRIES: Final[LiteralString] = """
  from (select *, answered as is_answered from tandem.tries_v1(%(account)s, %(since)s, %(until)s)) as c
 group by 1, 2, 3, 4 order by 1, 2, 3, 4
"""
_COLUMNS: Final = (
    Column("attempts", msg("Attempts"), Kind.COUNT),
    Column("answered", msg("Answered calls"), Kind.COUNT),
    Column("asr", msg("Answer-seizure ratio (ASR)"), Kind.SHARE),
    Column("acd_s", msg("Average call duration, s (ACD)"), Kind.MEAN),
    Column("pdd_s", msg("Post-dial delay, s (PDD)"), Kind.MEAN),
    Column("talk_min", msg("Talk minutes"), Kind.MINUTES),
    Column("billed_min", msg("Billed minutes"), Kind.MINUTES),
)


class Line(NamedTuple):
    """The calls, or tries, of one day, destination, account and carrier. rung: those of which pdd_ms is the sum."""

    day: date | None
    prefix: str
    account: str
    carrier: str
    attempts: int
    answered: int
    talk_ms: int
    billed_s: int
    pdd_ms: int
    rung: int

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The figures."""
        return (
            self.attempts,
            self.answered,
            Ratio(self.answered, self.attempts),
            Ratio(self.talk_ms, self.answered * SECOND_MS),
            Ratio(self.pdd_ms, self.rung * SECOND_MS),
            -(-self.talk_ms // SECOND_MS),
            self.billed_s,
        )

    def with_figures(self, other: Line) -> Line:
        """Return this line and another as one; what it is of stays."""
        return self._replace(
            attempts=self.attempts + other.attempts,
            answered=self.answered + other.answered,
            talk_ms=self.talk_ms + other.talk_ms,
            billed_s=self.billed_s + other.billed_s,
            pdd_ms=self.pdd_ms + other.pdd_ms,
            rung=self.rung + other.rung,
        )


def traffic(acting: Session, of: Subject, out: Writer, by: Sequence[str]) -> None:
    """Write the traffic. by: of WAYS, what each line is of; () = one line for all."""
    check_ways(by, WAYS)
    note = msg("tries at carriers, by the end of the call") if "carrier" in by else msg("by the end of the call")
    sheet = of.sheet(msg("Traffic"), note, (*by_columns(by), *_COLUMNS))
    out.begin(sheet._replace(has_total=bool(by)))
    arguments = of.arguments() | {f"by_{way}": way in by for way in WAYS}
    cursor = acting.connection.cursor(row_factory=class_row(Line))
    total = Line(None, "", "", "", 0, 0, 0, 0, 0, 0)
    for line in cursor.execute(_LINES + (_OF_TRIES if "carrier" in by else _OF_CALLS), arguments):
        out.row((*by_cells(of, by, line.day, line.prefix, line.account, line.carrier), *line.cells))
        total = total.with_figures(line)
    out.end((), {column.key: cell for column, cell in zip(_COLUMNS, total.cells, strict=True)})
