"""Three outputs of the same rows: a table for people, CSV for spreadsheets, JSON for programs.

Rule 1: a row is written when it comes; nothing keeps the rows of a long report. A table, whose columns are as wide as
what stands in them, shows the first ROWS_SHOWN and says how many there are.
Rule 2: keys of JSON and CSV are the same for ever and in every language; CSV has headings of a language that was asked
for. Amounts in them are decimals with a dot, times ISO 8601 by the account's clock.
Rule 3: no text of somebody's is a formula to a spreadsheet.
Rule 4: totals have the keys and units of the columns that they are of.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import chain
from types import MappingProxyType
from typing import Any, Final, Protocol, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools.account.amounts import MICROS, decimal
from tools.printable import printable
from tools.report.columns import Cell, Column, Kind, Money, Ratio, Sheet
from tools.report.tongue import Tongue

ROWS_SHOWN: Final = 1_000
WIDTH: Final = 1_000  # of the longest line; the terminal folds what is longer than it
MINUTE_S: Final = 60
TENTH: Final = Decimal("0.1")
MINUTE_DECIMALS: Final = 2
THOUSANDTH: Final = Decimal("0.001")
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
RIGHT: Final = frozenset({Kind.COUNT, Kind.SECONDS, Kind.MINUTES, Kind.SHARE, Kind.MEAN, Kind.MONEY})
SPLIT: Final = ";"  # between amounts in several currencies of one cell

Scales = Mapping[str, int]
"""Currency -> the decimals shown at least."""


class Writer(Protocol):
    """One output. Calls come in this order: begin, row …, end."""

    def begin(self, sheet: Sheet) -> None:
        """Write what stands before the rows."""

    def row(self, cells: tuple[Cell, ...]) -> None:
        """Write a row, a cell per column."""

    def end(self, summary: Iterable[str], totals: Mapping[str, Cell]) -> None:
        """Write what stands after them. summary: lines for people. totals: key -> value for programs."""


class People:
    """A table, in the reader's language."""

    def __init__(self, tongue: Tongue, scales: Scales) -> None:
        self._tongue = tongue
        self._scales = scales
        self._count = 0
        self._columns: tuple[Column, ...] = ()
        self._has_total = False
        self._rows: list[tuple[Cell, ...]] = []

    def begin(self, sheet: Sheet) -> None:
        """Print the title; the table waits for its rows: its amounts have as many decimals as the longest."""
        typer.echo(printable(sheet.title))
        if sheet.subtitle:
            typer.echo(printable(sheet.subtitle))
        self._columns = sheet.columns
        self._has_total = sheet.has_total

    def row(self, cells: tuple[Cell, ...]) -> None:
        """Take a row in, as long as it is one of the first."""
        self._count += 1
        if self._count <= ROWS_SHOWN:
            self._rows.append(cells)

    def end(self, summary: Iterable[str], totals: Mapping[str, Cell]) -> None:
        """Print the table, what is said of all rows, and whether some are not shown."""
        if self._count:
            Console(width=WIDTH, markup=False, emoji=False, highlight=False).print(self._table(totals))
        else:
            typer.echo(self._tongue.plural("%(n)s row", "%(n)s rows", 0))
        for line in summary:
            typer.echo(printable(line))
        if self._count > ROWS_SHOWN:
            shown, count = self._tongue.number(ROWS_SHOWN), self._tongue.number(self._count)
            told = self._tongue.text("%(shown)s of %(count)s rows are shown; all of them: --csv or --json")
            typer.echo(told % {"shown": shown, "count": count})

    def _table(self, totals: Mapping[str, Cell]) -> Table:
        """Return the rows that are shown, and the line of totals where the sheet has one."""
        shown = [at for at, column in enumerate(self._columns) if column.is_shown]
        table = Table(box=None, pad_edge=False, highlight=False)
        for at in shown:
            is_right, heading = self._columns[at].kind in RIGHT, Text(self._tongue.text(self._columns[at].heading))
            table.add_column(heading, justify="right" if is_right else "left", no_wrap=is_right)
        scales = {at: self._scales_of(at) for at in shown}
        for row in self._rows:
            told = (self._told(self._columns[at], row[at], scales[at]) for at in shown)
            table.add_row(*(Text(printable(text)) for text in told))
        if self._has_total:
            told = (self._told_total(self._columns[at], totals, scales[at]) for at in shown[1:])
            table.add_row(Text(self._tongue.text("Total")), *map(Text, told))
        return table

    def _scales_of(self, at: int) -> Scales:
        """Return the decimals of a column's amounts: as many for all as the longest of them has."""
        amounts = [pair for row in self._rows if isinstance(cell := row[at], Money) for pair in cell.micros.items()]
        longest = max((max(self._scales.get(code, 2), _decimals(micros)) for code, micros in amounts), default=0)
        return {code: longest for code, _ in amounts}

    def _told_total(self, column: Column, totals: Mapping[str, Cell], scales: Scales) -> str:
        return "" if column.is_of_line else self._told(column, totals.get(column.key), scales)

    def _told(self, column: Column, cell: Cell, scales: Scales) -> str:
        match cell:
            case None | "":
                told = self._tongue.text("(none)") if column.is_of_line else ""
            case Money():
                told = money_told(cell, self._tongue, scales)
            case Ratio():
                told = self._quotient(column.kind, quotient(cell))
            case datetime():
                told = self._tongue.moment(cell)
            case date():
                told = self._tongue.month(cell) if column.kind is Kind.MONTH else self._tongue.day(cell)
            case int():
                told = self._number(column.kind, cell)
            case str():
                told = self._tongue.text(cell.replace("_", " ")) if column.kind is Kind.WORD else cell
        return told

    def _quotient(self, kind: Kind, value: Decimal | None) -> str:
        if value is None:
            return "–"
        return self._tongue.percent(value) if kind is Kind.SHARE else self._tongue.rounded(value, 1)

    def _number(self, kind: Kind, value: int) -> str:
        if kind is Kind.SECONDS:
            minutes, seconds = divmod(value, MINUTE_S)
            return f"{minutes}:{seconds:02}"
        if kind is Kind.MINUTES:
            return self._tongue.rounded(Decimal(value) / MINUTE_S, MINUTE_DECIMALS)
        return self._tongue.number(value)


class Csv:
    """Comma separated values. is_told: the headings are of the language that was asked for."""

    def __init__(self, tongue: Tongue, scales: Scales, *, is_told: bool, out: TextIO | None = None) -> None:
        self._tongue = tongue
        self._scales = scales
        self._is_told = is_told
        self._writer = csv.writer(out or sys.stdout, lineterminator="\n")
        self._kinds: list[Kind] = []

    def begin(self, sheet: Sheet) -> None:
        """Write the line of headings; an amount has a column for its currency beside it."""
        self._kinds = [column.kind for column in sheet.columns]
        self._writer.writerow(list(chain.from_iterable(map(self._headings, sheet.columns))))

    def row(self, cells: tuple[Cell, ...]) -> None:
        """Write a line."""
        told = (self._told(kind, cell) for kind, cell in zip(self._kinds, cells, strict=True))
        self._writer.writerow(list(chain.from_iterable(told)))

    def end(self, summary: Iterable[str], totals: Mapping[str, Cell]) -> None:
        """Write nothing: every line is a row."""
        del summary, totals

    def _headings(self, column: Column) -> list[str]:
        if not self._is_told:
            return [column.key, f"{column.key}_currency"] if column.kind is Kind.MONEY else [column.key]
        heading = self._tongue.text(column.heading)
        return [heading, f"{heading} ({self._tongue.text('Currency')})"] if column.kind is Kind.MONEY else [heading]

    def _told(self, kind: Kind, cell: Cell) -> list[str]:
        if isinstance(cell, Money):
            amounts = [decimal(micros, self._scales.get(code, 2)) for code, micros in cell.micros.items()]
            return [SPLIT.join(amounts), SPLIT.join(cell.micros)]
        value = plain(kind, cell, self._tongue, self._scales)
        text = "" if value is None else str(value)
        return [f"'{text}" if kind is Kind.TEXT and text.startswith(FORMULA) else text]


class Json:
    """One JSON object: what it is of, `rows`, a line each, and `totals`."""

    def __init__(self, tongue: Tongue, scales: Scales, out: TextIO | None = None) -> None:
        self._tongue = tongue
        self._scales = scales
        self._out = out or sys.stdout
        self._columns: tuple[Column, ...] = ()
        self._before = "\n"

    def begin(self, sheet: Sheet) -> None:
        """Write the head, and open the list of rows."""
        self._columns = sheet.columns
        head = json.dumps(dict(sheet.head), ensure_ascii=False)
        self._out.write(f'{head[:-1]}, "rows": [')

    def row(self, cells: tuple[Cell, ...]) -> None:
        """Write an object on a line of its own."""
        pairs = zip(self._columns, cells, strict=True)
        told = {column.key: plain(column.kind, cell, self._tongue, self._scales) for column, cell in pairs}
        self._out.write(f"{self._before}{json.dumps(told, ensure_ascii=False)}")
        self._before = ",\n"

    def end(self, summary: Iterable[str], totals: Mapping[str, Cell]) -> None:
        """Close the list and write the totals."""
        del summary
        kinds = {column.key: column.kind for column in self._columns}
        told = {
            key: plain(kinds.get(key, Kind.COUNT), cell, self._tongue, self._scales) for key, cell in totals.items()
        }
        self._out.write(f'\n], "totals": {json.dumps(told, ensure_ascii=False)}}}\n')


def money_told(money: Money, tongue: Tongue, scales: Scales) -> str:
    """Return amounts for people: `0,06 EUR`, or several with a plus between."""
    amounts = (f"{tongue.amount(micros, scales.get(code, 2))} {code}" for code, micros in sorted(money.micros.items()))
    return " + ".join(amounts)


def _decimals(micros: int) -> int:
    """Return how many decimals an amount needs to be exact."""
    return len(f"{abs(micros) % MICROS:06}".rstrip("0"))


def quotient(ratio: Ratio) -> Decimal | None:
    """Return the quotient, None where there is nothing to divide by."""
    return Decimal(ratio.above) / ratio.below if ratio.below else None


def plain(kind: Kind, cell: Cell, tongue: Tongue, scales: Scales) -> Any:
    """Return a cell as programs read it: text, whole number, decimal as text; of amounts an object by currency."""
    match cell:
        case Money():
            return {code: decimal(micros, scales.get(code, 2)) for code, micros in sorted(cell.micros.items())}
        case Ratio():
            value = quotient(cell)
            step = _STEPS.get(kind, TENTH)
            return None if value is None else str(value.quantize(step, ROUND_HALF_EVEN))
        case datetime():
            return cell.astimezone(tongue.zone).isoformat(timespec="milliseconds")
        case date():
            return f"{cell:%Y-%m}" if kind is Kind.MONTH else cell.isoformat()
        case int() if kind is Kind.MINUTES:
            return str((Decimal(cell) / MINUTE_S).quantize(THOUSANDTH, ROUND_HALF_EVEN))
    return cell


_STEPS: Final[Mapping[Kind, Decimal]] = MappingProxyType({Kind.SHARE: THOUSANDTH, Kind.MEAN: TENTH})

Make = Callable[[Tongue, Scales], Writer]
