"""What Redis did not take, on disk, in order, until it does.

Rule 1: `append` returns only when the bytes are on the disk.
Rule 2: entries leave from the front, and the file is cut when all have left; so after a crash some are offered once
more, which their operation ids make harmless.
Rule 3: a torn last line, from a crash during a write, is left out and counted; no entry before it is lost.
Rule 4: what can never be told goes to the file `dead` beside it, in the same form, for people: put its lines into the
spool of a node that is down, and it tries them again.

One line per entry: its kind, then base64 of its msgpack. One process writes a spool.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final

NAME: Final = "spool"
DEAD: Final = "dead"


class Spool:
    """The spool of one node. folder: made when missing. Every method may raise OSError (disk full, no permission)."""

    def __init__(self, folder: str) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._file = os.open(Path(folder) / NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._dead = Path(folder) / DEAD
        self.torn = 0
        self.dead = self._dead.read_bytes().count(b"\n") if self._dead.exists() else 0
        self._read()

    def __len__(self) -> int:
        return len(self._waiting)

    def append(self, entries: Iterable[tuple[str, bytes]]) -> None:
        """Write (kind, bytes) pairs behind the others and wait for the disk. kind: one word."""
        new = list(entries)
        data = b"".join(_line(kind, body) for kind, body in new)
        size = os.fstat(self._file).st_size
        try:
            _write_all(self._file, data)
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, size)
            raise
        self._waiting.extend(new)

    def head(self, count: int) -> list[tuple[str, bytes]]:
        """Return the oldest entries, at most `count`, without taking them away."""
        return list(islice(self._waiting, count))

    def drop(self, count: int) -> None:
        """Take the oldest `count` entries away."""
        for _ in range(count):
            self._waiting.popleft()
        if not self._waiting:
            os.ftruncate(self._file, 0)
            os.fsync(self._file)

    def bury(self, kind: str, body: bytes) -> None:
        """Write what can never be told behind the other dead letters, count it, and wait for the disk."""
        file = os.open(self._dead, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _write_all(file, _line(kind, body))
            os.fsync(file)
        finally:
            os.close(file)
        self.dead += 1

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _read(self) -> None:
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            lines = file.read().split(b"\n")
        whole = lines[:-1]
        for line in whole:
            entry = _entry(line)
            if entry is None:
                self.torn += 1
            else:
                self._waiting.append(entry)
        if lines[-1]:
            self.torn += 1
            _write_all(self._file, b"\n")


def _line(kind: str, body: bytes) -> bytes:
    return f"{kind} {b64encode(body).decode()}\n".encode()


def _entry(line: bytes) -> tuple[str, bytes] | None:
    kind, _, body = line.partition(b" ")
    try:
        return kind.decode("ascii"), b64decode(body, validate=True)
    except ValueError:
        return None


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
