"""How `tandem noc` asks and shows: one node through its control socket, or nodes through Redis; tables and JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tools import noc_cell
from tools.errors import OperatorError
from tools.noc_ask import without_error
from tools.printable import printable

Ctl = Annotated[str, typer.Option("--ctl", envvar="TANDEM_CTL", help="path of the node's control socket")]
Node = Annotated[str, typer.Option("--node", help="ask the node of this name, through REDIS_URL")]
AllNodes = Annotated[bool, typer.Option("--all", help="ask all nodes that are seen, through REDIS_URL")]
Json = Annotated[bool, typer.Option("--json", help="for programs")]
Facts = dict[str, Any]
Ask = Callable[[str, str], Facts]
ALARMS: Final = "alarms"


class Where(NamedTuple):
    """Whom to ask: through a control socket, or by name, or all."""

    ctl: str
    node: str = ""
    is_all: bool = False

    @property
    def is_far(self) -> bool:
        """Whether the question goes through Redis."""
        return bool(self.node) or self.is_all


class Page(NamedTuple):
    """One answer as it is shown. facts: for programs; an entry "alarms" that is not empty ends the command with 1."""

    facts: Facts
    draw: Callable[[], None]


def serve(where: Where, ask: Ask, command: str, page: Callable[[Facts], Page], *, as_json: bool = False) -> None:
    """Ask and show. ask: through the control socket. Exits 1 where a page has alarms, or one of several nodes fails."""
    if where.node and where.is_all:
        raise OperatorError("--node and --all: one of them")
    if where.is_far:
        _serve_far(where, command, page, as_json=as_json)
    elif _shown(page(ask(where.ctl, command)), as_json=as_json):
        raise typer.Exit(1)


def _serve_far(where: Where, command: str, page: Callable[[Facts], Page], *, as_json: bool) -> None:
    with noc_cell.opened(os.environ.get("REDIS_URL", "")) as cell:
        if where.node:
            (name,) = cell.chosen(where.node)
            if _shown(page(without_error(cell.ask(name, command))), as_json=as_json):
                raise typer.Exit(1)
            return
        pages: dict[str, Page | str] = {}
        for name in cell.chosen(""):
            try:
                pages[name] = page(without_error(cell.ask(name, command)))
            except OperatorError as error:
                pages[name] = str(error)
        pages.update(dict.fromkeys(cell.silent(), "silent: it does not say any more that it lives"))
    if _all_shown(pages, as_json=as_json):
        raise typer.Exit(1)


def _all_shown(pages: Mapping[str, Page | str], *, as_json: bool) -> bool:
    """Show what several nodes said; return whether anything is wrong."""
    if as_json:
        print_json({"nodes": {name: {"error": each} if isinstance(each, str) else each.facts
                              for name, each in pages.items()}})  # fmt: skip
    is_wrong = False
    for name, each in pages.items():
        is_wrong |= isinstance(each, str) or bool(each.facts.get(ALARMS))
        if as_json:
            continue
        typer.echo(f"node {name}" if isinstance(each, Page) else f"node {name}: {each}")
        if isinstance(each, Page):
            _shown(each, as_json=False)
    return is_wrong


def _shown(page: Page, *, as_json: bool) -> bool:
    if as_json:
        print_json(page.facts)
    else:
        page.draw()
        for alarm in page.facts.get(ALARMS, ()):
            typer.echo(f"ALARM: {alarm}")
    return bool(page.facts.get(ALARMS))


def plain(answer: Facts) -> Page:
    """Return an answer as it is."""
    return Page(answer, lambda: print_json(answer))


def print_json(answer: object) -> None:
    """Print JSON on one line."""
    typer.echo(json.dumps(answer))


def print_rows(title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print a table; what a row does not have is empty."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    Console().print(table)


def print_pairs(title: str, rows: Mapping[str, Any]) -> None:
    """Print names and values."""
    table = Table(title=title, show_header=False)
    for name, value in rows.items():
        table.add_row(name, _cell(value))
    Console().print(table)


def _cell(value: object) -> str:
    return "" if value is None else escape(printable(str(value)))
