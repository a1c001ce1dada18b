"""Ends what the benchmark has started when the benchmark is gone, however: what stands still ends by no other signal.

A process of its own (`python -m tools.bench.calls.guard FOLDER…`) that waits until its input ends, which is when the
benchmark closes it or dies. Then all processes that carry the mark of these directories are killed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tools.stack import process
from tools.stack.layout import PROJECT

END_S: Final = 30
ROUNDS: Final = 3
"""Who was just starting somebody else is found with him the next time."""


@contextmanager
def guarded(folders: Sequence[Path]) -> Iterator[None]:
    """Let nothing that carries the mark of these directories outlive the block."""
    command = [sys.executable, "-m", "tools.bench.calls.guard", *map(str, folders)]
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=PROJECT, start_new_session=True)
    try:
        yield
    finally:
        assert watcher.stdin is not None  # noqa: S101  it was asked for
        watcher.stdin.close()
        watcher.wait(END_S)


def kill(folders: Sequence[Path]) -> int:
    """Kill who carries the mark of one of these directories; return how many there were."""
    found = {who for _ in range(ROUNDS) for folder in folders for who in _killed(folder)}
    return len(found)


def _killed(folder: Path) -> list[process.Identity]:
    marked = process.marked(folder)
    for who in marked:
        process.send(who, signal.SIGKILL)
    return marked


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the benchmark's, which then closes our input
    sys.stdin.read()
    kill([Path(word) for word in sys.argv[1:]])
