"""`tandem top`: one page of what nodes do now, again and again until q or Ctrl-C."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Final

import typer
from rich.console import Console, RenderableType
from rich.live import Live

from tools import noc_cell
from tools.errors import OperatorError, not_set
from tools.noc_ask import ask, without_error
from tools.noc_pages import AllNodes, Facts
from tools.top.answers import Ask, Asker, Node, asked
from tools.top.page import page
from tools.top.terminal import Keys, keys

DRAW_S: Final = 0.2
CTL, REDIS = "TANDEM_CTL", "REDIS_URL"

Ctls = Annotated[
    list[str] | None,
    typer.Option("--ctl", help=f"path of a node's control socket, once for each node [env var: {CTL}, of one node]"),
]
Every = Annotated[float, typer.Option(min=0.2, max=60, help="seconds between questions")]
Once = Annotated[bool, typer.Option("--once", help="print one page and end; so without a terminal")]


def top(ctl: Ctls = None, all_nodes: AllNodes = False, every: Every = 2.0, once: Once = False) -> None:
    """Show what nodes do now: calls, refusals, carriers, holds, age of the configuration; q or Ctrl-C ends it.

    Figures are of the last minute, those of carriers and refusals of five. A node that does not answer is shown as
    gone, and asked again. What the release of a node cannot tell is said. --all: those that were seen in the last day
    when it began.
    """
    if ctl and all_nodes:
        raise OperatorError("--ctl and --all: one of them")
    way, places = _through_redis(os.environ.get(REDIS, "")) if all_nodes else (ask, ctl or [os.environ.get(CTL, "")])
    if not all(places):
        raise not_set(CTL)
    console = Console()
    if once or not (console.is_terminal and sys.stdin.isatty()):
        console.print(_page([asked(way, each) for each in places], console))
        return
    askers = [Asker(way, each, every) for each in places]
    with keys() as heard, Live(console=console, screen=True, auto_refresh=False) as live:
        _go_on(askers, console, live, heard)


def _through_redis(redis_url: str) -> tuple[Ask, list[str]]:
    """Return how nodes are asked by their names, and the names of all. Raises OperatorError."""
    with noc_cell.opened(redis_url) as cell:
        names = [*cell.chosen(""), *cell.silent()]

    def ask_far(name: str, command: str) -> Facts:
        with noc_cell.opened(redis_url) as cell:  # one of its own: nodes are asked in threads
            (seen,) = cell.chosen(name)
            return without_error(cell.ask(seen, command))

    return ask_far, names


def _go_on(askers: Sequence[Asker], console: Console, live: Live, heard: Keys) -> None:
    """Draw until somebody wants the end. The size of the screen is looked at each time."""
    while not heard.is_over:
        live.update(_page([asker.node for asker in askers], console), refresh=True)
        match heard.wait(DRAW_S):
            case "q" | "Q":
                return
            case " ":
                for asker in askers:
                    asker.now()


def _page(nodes: Sequence[Node], console: Console) -> RenderableType:
    width, height = console.size
    return page(nodes, width, height, time.time_ns() // 1_000_000)
