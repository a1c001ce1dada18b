"""The NOC's desk of a node: `kamcmd evrexec.run noc "s:<command> <ticket>"`, then `htable.get noc s:reply:<ticket>`.

kamcmd gets no answer from Python: it goes through the table `noc`, under a ticket of the asker's choice, for 30 s.
An answer that is too long for one reply of kamcmd comes in pages: `reply:<ticket>` says {"page": 1, "pages": N, …},
the others are `reply:<ticket>:2` and so on. Rows are never cut in two. Without `pages` the answer is whole.
The commands are in the modules `noc_*`; the agent answers other nodes' askers with the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from kemi import noc_calls, noc_explain, noc_measures, noc_status, noc_tallies
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_shared import NOC
from kemi.noc_command import Answer, Command, Desk, UsageError
from kemi.settings import Settings

REPLY: Final = "reply:"
REPLY_S: Final = 30
PAGE_MAX: Final = 30_000  # bytes; kamcmd's own limit is 32 KiB where nobody has raised it
ROOM_MIN: Final = 4_000  # bytes for rows
SHOWN: Final = 64  # characters of a word that is no command, and of a ticket


def _help(_desk: Desk, _words: Sequence[str]) -> Answer:
    return {"commands": [{"usage": each.usage, "help": each.help} for each in COMMANDS]}


COMMANDS: Final[tuple[Command, ...]] = (
    Command("help", "help", "Say which commands there are.", _help),
    *noc_status.COMMANDS,
    *noc_calls.COMMANDS,
    *noc_measures.COMMANDS,
    *noc_explain.COMMANDS,
    *noc_tallies.COMMANDS,
)
_BY_NAME: Final = {command.name: command for command in COMMANDS}


def serve(ksr: Ksr, settings: Settings, data: object, now_ns: int, unix_ms: int) -> None:
    """Do what the NOC asks and leave the answer under its ticket. data: kamcmd makes a lone number an int."""
    *words, ticket = str(data).split() or [""]
    key = REPLY + ticket[:SHOWN]
    for at, page in enumerate(pages(answer(Desk(ksr, settings, now_ns, unix_ms), words)), start=1):
        ksr.htable.sht_setxs(NOC, key if at == 1 else f"{key}:{at}", page, REPLY_S)


def answer(desk: Desk, words: Sequence[str]) -> Answer:
    """Do what these words say; what is wrong with them is the answer's "error"."""
    if not words:
        return {"error": f"say a command, then a ticket: {_usages()}"}
    command = _BY_NAME.get(words[0])
    if command is None:
        return {"error": f"no command {words[0][:SHOWN]}; commands: {_usages()}; then a ticket"}
    try:
        return command.serve(desk, _readable(words[1:]))
    except UsageError as error:
        return {"error": f"{error}; usage: {command.usage}"}


def _readable(words: Sequence[str]) -> Sequence[str]:
    """Return words without a zero byte or half a character, which Kamailio takes from nobody. Raises UsageError."""
    if not all(map(str.isprintable, words)):
        raise UsageError("not all characters of it are printable")
    return words


def pages(whole: Answer) -> list[str]:
    """Return an answer as JSON, in pages of at most PAGE_MAX bytes. A row that fits no page is null."""
    text = json.dumps(whole)
    if len(text) <= PAGE_MAX:
        return [text]
    rest = {name: value for name, value in whole.items() if not isinstance(value, list)}
    room = PAGE_MAX - len(json.dumps({"page": 0, "pages": 0, **rest})) - 16  # digits of both numbers
    if room < ROOM_MIN or len(rest) == len(whole):
        return [json.dumps({"error": "the answer is too long"})]
    cut = _cut({name: value for name, value in whole.items() if isinstance(value, list)}, room)
    numbered = ({"page": at, "pages": len(cut), **(rest if at == 1 else {})} for at in range(1, len(cut) + 1))
    return [json.dumps({**head, **rows}) for head, rows in zip(numbered, cut, strict=True)]


def _cut(lists: dict[str, list[object]], room: int) -> list[dict[str, list[object]]]:
    """Deal rows out to pages of `room` bytes each; every page names all the lists."""
    cut: list[dict[str, list[object]]] = []
    whole_page = free = room - len(json.dumps({name: [] for name in lists}))
    for name, rows in lists.items():
        for row in rows:
            size = len(json.dumps(row)) + 2  # with its comma
            kept, size = (row, size) if size <= whole_page else (None, 6)
            if not cut or size > free:
                cut.append({each: [] for each in lists})
                free = whole_page
            cut[-1][name].append(kept)
            free -= size
    return cut


def _usages() -> str:
    return ", ".join(command.usage for command in COMMANDS)
