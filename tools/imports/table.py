"""From the rows of a file to those below its heading, which may stand below a letterhead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple, TypeVar

from tools.errors import OperatorError
from tools.imports import columns
from tools.imports.columns import Columns, Synonyms
from tools.imports.faults import BadValueError
from tools.imports.source import Row

Value = TypeVar("Value")

LETTERHEAD_MAX: Final = 50  # rows that are looked at for a heading


class Kind(NamedTuple):
    """What a kind of file has. needs: of each of these groups one field at least."""

    synonyms: Synonyms
    needs: Sequence[Sequence[str]]


class Layout(NamedTuple):
    """How a file is laid out, as options say it. mapped: of columns.parse_map."""

    mapped: Mapping[str, str]
    has_heading: bool = True


class CellError(Exception):
    """A cell that breaks a rule. Never leaves tools.imports."""

    def __init__(self, field: str, value: str, rule: str) -> None:
        super().__init__(rule)
        self.field = field
        self.value = value
        self.rule = rule


class Table(NamedTuple):
    """A file below its heading. heading_line: 0 = it has none."""

    columns: Columns
    rows: Iterator[Row]
    heading_line: int

    def cell(self, row: Row, field: str) -> str:
        """Return the text of a cell without blanks around it; "" where there is no such column, or no such cell."""
        place = self.columns.places.get(field, -1)
        return row.cells[place].strip() if 0 <= place < len(row.cells) else ""

    def check_width(self, row: Row) -> None:
        """Raise CellError for a row with more cells than the heading: a comma in a price may be what parts them."""
        width = len(self.columns.names)
        if len(row.cells) > width and any(cell.strip() for cell in row.cells[width:]):
            rule = f"the row has {len(row.cells)} cells and the heading {width}; is a decimal comma the delimiter?"
            raise CellError("", ",".join(row.cells), rule)


def opened(rows: Iterator[Row], kind: Kind, layout: Layout) -> Table:
    """Return the table of a file. Raises OperatorError where no heading is found, or a needed column is not there."""
    if not layout.has_heading:
        first = next(rows, None)
        if first is None:
            raise OperatorError("file: it has no rows")
        found = columns.without_heading(len(first.cells), layout.mapped)
        _check_needs(found, kind)
        return Table(found, chain([first], rows), 0)
    seen: list[Row] = []
    refusals: list[tuple[int, OperatorError]] = []
    for row in rows:
        try:
            found = columns.find(row.cells, kind.synonyms, layout.mapped)
            if not _lacking(found, kind):
                return Table(found, rows, row.line)
        except OperatorError as error:
            refusals.append((_words(row), error))
        seen.append(row)
        if len(seen) == LETTERHEAD_MAX:
            break
    if refusals:
        raise max(refusals, key=lambda refusal: refusal[0])[1]
    if not seen:
        raise OperatorError("file: it has no rows")
    likeliest = max(seen, key=_words)
    _check_needs(columns.find(likeliest.cells, kind.synonyms, layout.mapped), kind)
    raise AssertionError(likeliest)  # a row that lacks nothing is the heading


def read(field: str, text: str, function: Callable[[str], Value]) -> Value:
    """Return what a function makes of a cell. Raises CellError in place of its BadValueError."""
    try:
        return function(text)
    except BadValueError as error:
        raise CellError(field, text, str(error)) from error


def _words(row: Row) -> int:
    """Return how many cells of a row have letters: most in a heading."""
    return sum(any(char.isalpha() for char in cell) for cell in row.cells)


def _lacking(found: Columns, kind: Kind) -> Sequence[str] | None:
    return next((group for group in kind.needs if not any(found.has(field) for field in group)), None)


def _check_needs(found: Columns, kind: Kind) -> None:
    lacking = _lacking(found, kind)
    if lacking:
        there = ", ".join(repr(name[: columns.SHOWN * 2]) for name in found.names[: columns.SHOWN])
        raise OperatorError(
            f"file: no column is the {' or '.join(lacking)}; say --map {lacking[0]}=COLUMN; there are {there}"
        )
