"""What a benchmark says of the machine, and to the person who waits for it."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import typer

FSYNCS: Final = 50


def fsync_ms(folder: Path) -> float:
    """Return what it costs to have 8 kB on the disk below `folder`."""
    waits = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(FSYNCS):
            file.write(bytes(8_192))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            waits.append((time.perf_counter() - began) * 1e3)
    return round(statistics.median(waits), 2)


def progress() -> Callable[[str], None]:
    """Return what writes a line to stderr, with the seconds since now before it."""
    began = time.monotonic()
    return lambda line: typer.echo(f"{time.monotonic() - began:6.1f} s  {line}", err=True)
