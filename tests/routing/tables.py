"""The files of cases: sections, each a world with a line for every call in it.

world base                      the file stands on this world (worlds/base.world)
+ rule 31 3314 to acme stopper  and adds this to it; under a heading: for that section only
== A stopper hides shorter prefixes
who | to | with | verdict | carriers | because
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from tests.routing.entities import Entities, TextError, changed, parse, uncommented

HERE: Final = Path(__file__).parent
COLUMNS: Final = ("who", "to", "with", "verdict", "carriers", "because")

_BAR: Final = re.compile(r"(?:^|\s)\|(?=\s|$)")  # one with space around it: patterns have others
_CHANGE: Final = re.compile(r"([^=]+)\.([a-z0-9_]+)=(.*)", re.DOTALL)
_SETTING: Final = re.compile(r"([a-z_]+)=(.*)", re.DOTALL)
_GONE: Final = re.compile(r"-([A-Za-z].*)")
_CLAIM_END: Final = re.compile(r";\s+")


class Line(NamedTuple):
    """One line of a table: where it stands, what is asked, in which world, and what is expected.

    settings: of the call and the node; world: with the line's own changes made.
    """

    place: str
    text: str
    title: str
    cells: tuple[str, ...]
    settings: dict[str, str]
    world: Entities

    def cell(self, number: int) -> str:
        """Return a column's text, "" for one that the line leaves out."""
        return self.cells[number] if number < len(self.cells) else ""

    @property
    def claims(self) -> tuple[str, ...]:
        """What the last column claims, one by one."""
        return tuple(part.strip() for part in _CLAIM_END.split(self.cell(len(COLUMNS) - 1)) if part.strip())


@cache
def world(name: str) -> Entities:
    """Return a world by the name of its file."""
    return parse((HERE / "worlds" / f"{name}.world").read_text().splitlines(), {})


def lines(folder: str) -> Iterator[Line]:
    """Return every line of every table in a folder, in order."""
    for path in sorted((HERE / folder).glob("*.cases")):
        yield from of_file(path)


class _Reader:
    """Reads one file; the world grows with its lines. Of a section's own additions nothing is left after it."""

    def __init__(self) -> None:
        self._of_file: Entities = {}
        self._of_section: Entities | None = None
        self._title = ""

    def line(self, place: str, text: str) -> Line | None:
        """Return the line of a table, None for one that says something else."""
        if text.startswith("world "):
            self._of_file = world(text.removeprefix("world ").strip())
        elif text.startswith("== "):
            self._title, self._of_section = text.removeprefix("== "), self._of_file
        elif text.startswith("+ ") and self._of_section is None:
            self._of_file = parse((text.removeprefix("+ "),), self._of_file)
        elif text.startswith("+ "):
            self._of_section = parse((text.removeprefix("+ "),), self._of_section or {})
        elif not text.startswith(f"{COLUMNS[0]} "):
            if "|" not in text:
                raise TextError("neither a table's line, nor a heading, nor a part of the world")
            return _line(place, text, self._title, self._of_file if self._of_section is None else self._of_section)
        return None


def of_file(path: Path) -> Iterator[Line]:
    """Return every line of one file's tables, in order. Raises TextError that names the line which cannot be read."""
    reader = _Reader()
    for number, raw in enumerate(path.read_text().splitlines(), 1):
        text, place = uncommented(raw), f"{path.stem}:{number}"
        try:
            line = reader.line(place, text) if text else None
        except (TextError, ValueError, KeyError) as error:
            raise TextError(f"{place}: {text}: {error}") from error
        if line is not None:
            yield line


def _line(place: str, text: str, title: str, entities: Entities) -> Line:
    cells = tuple(cell.strip() for cell in _BAR.split(text))
    settings: dict[str, str] = {}
    changes: list[tuple[str, str, str]] = []
    for word in shlex.split(cells[2]) if len(cells) > COLUMNS.index("with") else ():
        gone, change, setting = _GONE.fullmatch(word), _CHANGE.fullmatch(word), _SETTING.fullmatch(word)
        if gone:
            changes.append((gone[1], "", ""))
        elif setting:
            settings[setting[1]] = setting[2]
        elif change:
            changes.append((change[1], change[2], change[3]))
        else:
            raise TextError(f"{word} is neither a setting, nor a change of the world")
    return Line(place, text, title, cells, settings, changed(entities, changes))
