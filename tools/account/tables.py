"""Tables for people: what stands in a cell is never read as markup, never cut, and no terminal obeys it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Table

from tools.printable import printable

WIDTH: Final = 1_000  # of the longest line; the terminal folds what is longer than it
RIGHT: Final = frozenset(
    {"amount", "balance", "credit limit", "owed", "day", "month", "earned", "paid", "margin", "value"}
)


def show_table(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows. columns: key of a row -> heading."""
    table = Table(box=None, pad_edge=False)
    for heading in columns.values():
        table.add_column(heading.strip(), justify="right" if heading in RIGHT else "left", no_wrap=heading in RIGHT)
    for row in rows:
        table.add_row(*("" if row[key] is None else printable(str(row[key])) for key in columns))
    Console(width=WIDTH, markup=False, emoji=False, highlight=False).print(table)


def show_pairs(rows: Mapping[str, object]) -> None:
    """Print names and values, one pair a line."""
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        typer.echo(f"{name.replace('_', ' '):{width}}  {printable(str(value))}")
