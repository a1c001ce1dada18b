"""Choosing and showing calls, for `tandem noc calls` and `tandem noc end`."""

from __future__ import annotations

import re
import textwrap
import time
from typing import Annotated, Final

import typer

from tools.errors import OperatorError
from tools.noc_pages import Facts, Page
from tools.printable import counted, printable

AGAIN_S: Final = 0.2
AGAIN_MAX: Final = 3
WORD: Final = re.compile(r"[^\s\"\x00-\x1f]{1,128}")
WIDTH: Final = 80
_MICROS: Final = 1_000_000

_SAID: Final = "account=N server=N caller=… callee=… source=… older=SECONDS state=ringing|talking"
Filters = Annotated[list[str] | None, typer.Argument(metavar="[FILTER]…", help=f"{_SAID} limit=N")]
Which = Annotated[list[str], typer.Argument(metavar="RID|FILTER…", help=f"as `tandem noc calls` shows it, or {_SAID}")]


def words(given: list[str] | None) -> list[str]:
    """Return the filters in the node's words, which judges them. Raises OperatorError for what is not one word."""
    for word in given or ():
        if not WORD.fullmatch(word):
            raise OperatorError(f"{word!r} is not one word of at most 128 characters")
    return given or []


def page(answer: Facts) -> Page:
    """Return how calls are shown; what ended while the list was written is left out."""

    def draw() -> None:
        rows = [row for row in answer["calls"] if row is not None]
        shown = "" if answer["count"] <= len(rows) else f", {len(rows)} shown"
        typer.echo(f"{counted(answer['count'], 'call')}{shown}")
        now_ms = time.time_ns() // 1_000_000
        for row in rows:
            typer.echo("\n".join(told(row, now_ms)))

    return Page(answer, draw)


def told(row: Facts, now_ms: int) -> list[str]:
    """Return a call in lines of a usual terminal's width: its rid, as `end` takes it, first. now_ms: Unix time."""
    answered_ms = row["answered_ms"]
    state = f"talks {_clock(now_ms - answered_ms)}" if answered_ms else f"rings {_clock(now_ms - row['started_ms'])}"
    left_s, left = row.get("left_s"), row.get("left_micros")
    paid = [f"paid for {_clock(left_s * 1_000)}{' more' if answered_ms else ''}"] if left_s is not None else []
    money = [f"{left / _MICROS:.4f} left beside"] if left is not None else []
    who = [
        f"{row['caller'] or '(none)'} > {row['callee'] or '(none)'}",
        row["source"],
        *([f"accounts {' > '.join(map(str, row['chain']))}"] if row.get("chain") else []),
        *([f"server {row['server_id']}"] if row["server_id"] else []),
    ]
    head = "  ".join([row["rid"], state, row["direction"], *paid])
    rest = textwrap.wrap(printable(", ".join([*who, *money])), WIDTH, initial_indent="  ", subsequent_indent="  ")
    return [printable(head), *rest]


def _clock(duration_ms: int) -> str:
    """Return a duration as h:mm:ss or m:ss."""
    minutes, seconds = divmod(max(0, duration_ms) // 1_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
