"""`tandem noc traffic|times|carriers|tenants|refusals`: what nodes have counted lately, as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Final

import typer

from tools import noc_ask, noc_pages
from tools.errors import OperatorError
from tools.noc_pages import AllNodes, Ctl, Facts, Json, Node, Page, Where, print_pairs, print_rows

WINDOWS: Final = ("60", "300", "3600", "start")
ROWS: Final = 20
TIMES: Final = ("stage", "count", "p50_us", "p95_us", "p99_us", "max_us")
CARRIERS: Final = ("server_id", "attempts", "answers", "asr", "acd_s", "pdd_ms", "running", "failures")
TENANTS: Final = ("account", "calls", "refused", "reasons")

Window = Annotated[str, typer.Argument(metavar="[60|300|3600|start]", help="the last so many seconds, or since start")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="rows, the busiest first")]


def add_to(noc: typer.Typer) -> None:
    """Add the commands."""
    for command in (traffic, times, carriers, tenants, refusals):
        noc.command()(command)


def traffic(
    window: Window = "300", ctl: Ctl = "", node: Node = "", all_nodes: AllNodes = False, as_json: Json = False
) -> None:  # fmt: skip
    """Show how many calls came and what became of them, ASR, ACD and calls a second."""
    _serve(Where(ctl, node, all_nodes), f"traffic {_checked(window)}", _traffic, as_json=as_json)


def times(
    window: Window = "300", ctl: Ctl = "", node: Node = "", all_nodes: AllNodes = False, as_json: Json = False
) -> None:  # fmt: skip
    """Show how long workers took to read, decide, hold and send calls, in microseconds."""
    page = _tables("times of calls in workers", stages=TIMES)
    _serve(Where(ctl, node, all_nodes), f"times {_checked(window)}", page, as_json=as_json)


def carriers(
    window: Window = "300",
    limit: Limit = ROWS,
    ctl: Ctl = "",
    node: Node = "",
    all_nodes: AllNodes = False,
    as_json: Json = False,
) -> None:
    """Show how carriers' servers did: attempts, answers, ASR, ACD, PDD, failures, calls now."""
    command = f"carriers {_checked(window)} {limit}"
    _serve(Where(ctl, node, all_nodes), command, _tables("carriers' servers", carriers=CARRIERS), as_json=as_json)


def tenants(
    window: Window = "300",
    limit: Limit = ROWS,
    ctl: Ctl = "",
    node: Node = "",
    all_nodes: AllNodes = False,
    as_json: Json = False,
) -> None:
    """Show the accounts that called most, and why calls of theirs were refused."""
    command = f"tenants {_checked(window)} {limit}"
    _serve(Where(ctl, node, all_nodes), command, _tables("tenants", tenants=TENANTS), as_json=as_json)


def refusals(
    window: Window = "300",
    limit: Limit = ROWS,
    ctl: Ctl = "",
    node: Node = "",
    all_nodes: AllNodes = False,
    as_json: Json = False,
) -> None:
    """Show why calls were refused, and the addresses that those came from."""
    page = _tables("refusals", reasons=("reason", "count"), sources=("address", "count", "reason"))
    _serve(Where(ctl, node, all_nodes), f"refusals {_checked(window)} {limit}", page, as_json=as_json)


def _checked(window: str) -> str:
    if window not in WINDOWS:
        raise OperatorError(f"{window!r} is no window: say one of {', '.join(WINDOWS)}")
    return window


def _serve(where: Where, command: str, page: Callable[[Facts], Page], *, as_json: bool) -> None:
    noc_pages.serve(where, noc_ask.ask, command, page, as_json=as_json)


def _traffic(answer: Facts) -> Page:
    return Page(answer, lambda: print_pairs(f"traffic, {answer['window_s']} s", _texts(answer)))


def _tables(title: str, **columns: Sequence[str]) -> Callable[[Facts], Page]:
    """Return what shows an answer: a table of each of these lists."""

    def page(answer: Facts) -> Page:
        def draw() -> None:
            for name, each in columns.items():
                what = title if name != "sources" else "where from"
                print_rows(f"{what}, {answer['window_s']} s", [_texts(row) for row in answer[name]], each)

        return Page(answer, draw)

    return page


def _texts(row: Facts) -> Facts:
    return {name: _text(name, value) for name, value in row.items()}


def _text(name: str, value: object) -> object:
    """Return a value as people read it: a share in percent, counts by word with the most first."""
    if name == "asr" and isinstance(value, float | int):
        return f"{100 * value:.1f} %"
    if name in ("account", "server_id") and not value:
        return "others"
    if isinstance(value, dict):
        return ", ".join(f"{word} {count}" for word, count in sorted(value.items(), key=lambda pair: -pair[1]))
    return value
