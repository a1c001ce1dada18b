"""What a client meant to do and what it was told, in a file of its own that outlives it.

Rule 1: an intent is in the file before it is sent, an answer before anything is done because of it. A killed process
loses nothing that it has written; the machine is not among the victims.
Rule 2: nobody but its client writes a file; the checker reads it when all is over. A torn last line is no line.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgpack

from kemi.adapters.redis_operations import Operation

MS_PER_S: Final = 1000
INTENT: Final = "i"
ANSWER: Final = "a"
LENGTH: Final = struct.Struct("<I")  # of a line, before it


class Intent(NamedTuple):
    """An operation that is about to be sent. kind: reserve, answer, extend, part, settle, release, note, late, adopt.

    asked_ms: monotonic, comparable between processes. billed_s, prices: what the operation says; () where it says none.
    """

    asked_ms: int
    rid: str
    op_id: str
    kind: str
    seq: int
    funds: tuple[str, ...] = ()
    billed_s: int = 0
    prices: tuple[int, ...] = ()


class Answer(NamedTuple):
    """What Redis said. code: class of the result, or "lost" where no answer came. text: reason of a refusal.

    asked_ms: when it was asked, so which Redis has answered: a busy client reads what one has said after its death.
    opseq: number of operations that Redis had applied then, 0 where it says none.
    """

    asked_ms: int
    rid: str
    op_id: str
    kind: str
    code: str
    granted_s: int = 0
    opseq: int = 0
    text: str = ""


class Journal:
    """A client's file. path: made where it is not there."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def write(self, lines: Sequence[Intent | Answer]) -> None:
        """Put lines into the file, in one write: it is there for the kernel whatever becomes of this process."""
        os.write(self._file, b"".join(_packed(line) for line in lines))


def now_ms() -> int:
    """Return the monotonic clock of the machine, the same in every process."""
    return int(time.monotonic() * MS_PER_S)


def kind_of(operation: Operation) -> str:
    """Return an operation's name in the journal."""
    return type(operation).__name__.lower()


def read(path: Path) -> Iterator[Intent | Answer]:
    """Yield the lines of a file, oldest first, up to a torn one."""
    data = path.read_bytes()
    at = 0
    while at + LENGTH.size <= len(data):
        (size,) = LENGTH.unpack_from(data, at)
        at += LENGTH.size + size
        if at > len(data):
            return
        yield _line(data[at - size : at])


def _line(packed: bytes) -> Intent | Answer:
    row: Any = msgpack.unpackb(packed)
    if row[0] == ANSWER:
        return Answer(*row[1:])
    asked_ms, rid, op_id, kind, seq, funds, billed_s, prices = row[1:]
    return Intent(asked_ms, rid, op_id, kind, seq, tuple(funds), billed_s, tuple(prices))


def _packed(line: Intent | Answer) -> bytes:
    row = msgpack.packb([INTENT if isinstance(line, Intent) else ANSWER, *line])
    return LENGTH.pack(len(row)) + row
