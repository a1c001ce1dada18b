"""Every 200 in a file before the agent hears of it: what a node that was killed still knows of its answered calls.

Rule 1: one line per answered call, one write, no waiting for the disk: the page cache outlives the process.
Rule 2: a file is for one minute of CLOCK_MONOTONIC. The agent removes those whose calls are all told; after a reboot of
the machine the names of before mean nothing, so every file is read.
Rule 3: it may be missing, torn or old; then a call's answer is not proven, and nothing else is wrong.
"""

from __future__ import annotations

import os
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from kemi import codec
from kemi.adapters.ksr_queue import Started

NAME: Final = "answers."
MINUTE_NS: Final = 60_000_000_000
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Noted(NamedTuple):
    """An answer. boot_id: of the clock of started.answered_ns."""

    boot_id: str
    started: Started


def this_boot() -> str:
    """Return the id of this boot of this machine, "" = not known."""
    return BOOT_ID.read_text(encoding="ascii").strip() if BOOT_ID.exists() else ""


class Journal:
    """Where one process notes answers. folder: made when missing."""

    def __init__(self, folder: str, boot_id: str, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """Touch nothing: what opens a file may be forked later. clock: monotonic ns."""
        self._folder = Path(folder)
        self._boot_id = boot_id
        self._clock = clock
        self._minute = -1
        self._file = -1

    def note(self, started: Started) -> None:
        """Write an answer down. Raises OSError; a line that was not written whole is left out by the reader."""
        minute = self._clock() // MINUTE_NS
        if minute != self._minute:
            self._open(minute)
        os.write(self._file, b64encode(codec.pack(Noted(self._boot_id, started))) + b"\n")

    def _open(self, minute: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{NAME}{minute}"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._minute = file, minute


def noted(folder: str) -> Iterator[Noted]:
    """Return all answers that stand in files; what cannot be read is left out."""
    for path in sorted(Path(folder).glob(f"{NAME}*")):
        for line in _lines(path):
            try:
                yield codec.unpack(Noted, b64decode(line, validate=True))
            except (ValueError, TypeError):
                continue


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\n")
    except OSError:
        return []


def forget_told(folder: str, now_ns: int) -> None:
    """Remove the files of minutes that are long over, and of another boot. now_ns: monotonic. Raises OSError."""
    minute = now_ns // MINUTE_NS
    for path in Path(folder).glob(f"{NAME}*"):
        if path.name not in (f"{NAME}{minute}", f"{NAME}{minute - 1}"):
            path.unlink(missing_ok=True)
