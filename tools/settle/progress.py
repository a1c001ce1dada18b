"""How a rebuild gets on, for whoever looks: its steps as rows, and what it found lost."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.rows import class_row

ARMED: Final = "armed"

# The last rebuild: all steps since Redis was opened the time before.
_LAST: Final = """
select epoch, step, said, at from tandem.recovery_step
 where id > coalesce((select max(id) from tandem.recovery_step
                       where step = 'armed' and id < (select max(id) from tandem.recovery_step)), 0)
 order by id
"""


class Step(NamedTuple):
    """One step. epoch: that is being built."""

    epoch: int
    step: str
    said: str
    at: datetime


class Progress:
    """Over one connection, in autocommit mode. All methods raise psycopg errors."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def note(self, epoch: int, step: str, said: str) -> None:
        """Write a step down."""
        self._connection.execute(
            "insert into tandem.recovery_step(epoch, step, said) values (%s, %s, %s)", (epoch, step, said)
        )

    def report(self, epoch: int, report: str) -> None:
        """Keep what the rebuild that opens `epoch` found lost. report: JSON."""
        self._connection.execute("insert into tandem.recovery(epoch, report) values (%s, %s)", (epoch, report))

    def last(self) -> list[Step]:
        """Return the steps of the rebuild under way, else of the last one, in order; all epochs that it began."""
        return self._connection.cursor(row_factory=class_row(Step)).execute(_LAST).fetchall()

    def reported(self, epochs: list[int]) -> list[Any]:
        """Return what the rebuilds that were to open these epochs found lost, as objects, the oldest first."""
        rows = self._connection.execute(
            "select report from tandem.recovery where epoch = any (%s) order by epoch", (epochs,)
        )
        return [report for (report,) in rows]
