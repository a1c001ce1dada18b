"""Choosing and showing calls, for `tandem noc calls` and `tandem noc end`."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

from tools.errors import OperatorError
from tools.noc_pages import Facts, Page, print_rows
from tools.printable import counted

AGAIN_S: Final = 0.2
AGAIN_MAX: Final = 3
WORD: Final = re.compile(r"[^\s\"\x00-\x1f]{1,128}")
COLUMNS: Final = (
    *("rid", "source", "caller", "callee", "direction", "server_id", "chain"),
    *("answered_ms", "left_s", "left_micros"),
)
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
        rows = [{**row, **_texts(row)} for row in answer["calls"] if row is not None]
        shown = "" if answer["count"] <= len(rows) else f", {len(rows)} shown"
        print_rows(f"{counted(answer['count'], 'call')}{shown}", rows, COLUMNS)

    return Page(answer, draw)


def _texts(row: Facts) -> Facts:
    left = row.get("left_micros")
    return {
        "chain": " > ".join(map(str, row.get("chain", ()))),
        "left_micros": None if left is None else f"{left / _MICROS:.4f}",
        "answered_ms": row["answered_ms"] or "rings",
    }
