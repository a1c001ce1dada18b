"""The append-only file of Redis: its commands one by one, and a cut at the end of one.

Redis writes each function's changes as one transaction, MULTI … EXEC, in the order in which they took place. A file
that ends inside a transaction loses that transaction when Redis reads it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

CRLF: Final = b"\r\n"
LINE_MAX: Final = 32  # of a header: a star or dollar and a number
READ_BYTES: Final = 8_000_000

Words = list[bytes]


class Command(NamedTuple):
    """One command. end: offset behind it."""

    words: Words
    end: int


class TornFileError(ValueError):
    """What stands there is no command: nobody but Redis has written it, so it was read from a wrong place."""


def commands(data: bytes, start: int = 0) -> Iterator[Command]:
    """Yield the commands in `data` from `start`, the beginning of one, up to the last that is whole.

    Raises TornFileError. Annotations of time, lines that begin with #, are passed over.
    """
    at = start
    while True:
        made = _command(data, at)
        if made is None:
            return
        at = made.end
        if made.words:
            yield made


def _command(data: bytes, at: int) -> Command | None:
    end = data.find(CRLF, at)
    if end < 0:
        return None
    if data[at : at + 1] == b"#":
        return Command([], end + 2)
    if data[at : at + 1] != b"*" or end - at > LINE_MAX:
        raise TornFileError(f"no command at {at}: {data[at : at + LINE_MAX]!r}")
    words: Words = []
    count, at = int(data[at + 1 : end]), end + 2
    for _ in range(count):
        end = data.find(CRLF, at)
        if end < 0:
            return None
        begin = end + 2
        at = begin + int(data[at + 1 : end]) + 2
        if at > len(data):
            return None
        words.append(data[begin : at - 2])
    return Command(words, at)


class Cut(NamedTuple):
    """A file that was cut. at: its length now. sound: where its last whole transaction ends; Redis keeps up to it."""

    at: int
    sound: int


def cut(path: Path, known_end: int, wanted: int) -> Cut:
    """Cut a file at the first command that ends at `wanted` bytes or later, or not at all where none does.

    known_end: where some transaction before that ends.
    """
    with path.open("rb") as file:
        file.seek(known_end)
        data = file.read()
    at = sound = known_end
    is_open = False
    for words, end in commands(data):
        at = known_end + end
        is_open = words[0].upper() == b"MULTI" or (is_open and words[0].upper() != b"EXEC")
        sound = sound if is_open else at
        if at >= wanted:
            break
    os.truncate(path, at)
    return Cut(at, sound)


class Tail:
    """Reads what Redis adds to its newest file. folder: with the files; names end in .<number>.incr.aof."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number, self.path = self._newest()
        self._file = self.path.open("rb")  # kept open: Redis removes a file that it has rewritten
        self.offset = 0

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def fresh(self) -> Iterator[Command]:
        """Yield the commands that came since the last time; `end` is their place in the file."""
        while True:
            base = self.offset
            self._file.seek(base)
            for words, end in commands(self._file.read(READ_BYTES)):
                self.offset = base + end
                yield Command(words, self.offset)
            if self.offset == base:
                return

    def newer(self) -> bool:
        """Return whether Redis writes another file by now. What stands in the old one by then is all of it."""
        return self._newest()[0] != self._number

    def move_on(self) -> None:
        """Go on with the newest file."""
        self._file.close()
        self._number, self.path = self._newest()
        self._file = self.path.open("rb")
        self.offset = 0

    def _newest(self) -> tuple[int, Path]:
        return max((int(path.name.split(".")[-3]), path) for path in self._folder.glob("*.incr.aof"))
