"""The terminal under a page that goes on: single keys, and signals that are never lost."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Keys:
    """Keys as they are pressed. is_over: somebody wants the end, by a signal or because there is no terminal left."""

    def __init__(self) -> None:
        self.is_over = False

    def wait(self, seconds: float) -> str:
        """Return the next key, "" when none came in time or the window changed its size."""
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        if not ready:
            return ""
        key = os.read(sys.stdin.fileno(), 1).decode("ascii", "replace")
        self.is_over = self.is_over or not key  # the other side has hung up
        return key

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Hear a signal."""
        self.is_over = True


@contextmanager
def keys() -> Iterator[Keys]:
    """Take keys one by one and unseen, and signals as wishes for the end; afterwards all is as before."""
    heard = Keys()
    before: dict[signal.Signals, Any] = {number: signal.signal(number, heard.stop) for number in ENDING}
    kept = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield heard
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, kept)
        for number, handler in before.items():
            signal.signal(number, handler)
