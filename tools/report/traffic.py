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
    Column("answered", msg("Answered"), Kind.COUNT),
    Column("asr", msg("Answered of all (ASR)"), Kind.SHARE),
    Column("acd_s", msg("Mean length, s (ACD)"), Kind.MEAN),
    Column("pdd_s", msg("Until it rings, s (PDD)"), Kind.MEAN),
    Column("talk_min", msg("Minutes talked"), Kind.MINUTES),
    Column("billed_min", msg("Minutes billed"), Kind.MINUTES),
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


def traffic(acting: Session, of: Subject, out: Writer, by: Sequence[str]) -> None:
    """Write the traffic. by: of WAYS, what each line is of; () = one line for all."""
    check_ways(by, WAYS)
    note = msg("tries at carriers, by the end of the call") if "carrier" in by else msg("by the end of the call")
    out.begin(of.sheet(msg("Traffic"), note, (*by_columns(by), *_COLUMNS)))
    arguments = of.arguments() | {f"by_{way}": way in by for way in WAYS}
    cursor = acting.connection.cursor(row_factory=class_row(Line))
    attempts = answered = talk_ms = billed_s = 0
    for line in cursor.execute(_LINES + (_OF_TRIES if "carrier" in by else _OF_CALLS), arguments):
        out.row((*by_cells(of, by, line.day, line.prefix, line.account, line.carrier), *line.cells))
        attempts, answered = attempts + line.attempts, answered + line.answered
        talk_ms, billed_s = talk_ms + line.talk_ms, billed_s + line.billed_s
    told = of.tongue.plural("%(n)s attempt", "%(n)s attempts", attempts)
    totals: dict[str, Cell] = {"attempts": attempts, "answered": answered, "talk_ms": talk_ms, "billed_s": billed_s}
    out.end((told,), totals)
