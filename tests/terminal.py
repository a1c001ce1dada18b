"""A program in a terminal of its own: what stands on its screen, and keys that are pressed there."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Final

import pyte

from tests.wait import until

END_S: Final = 20.0


class Terminal:
    """The screen of a running program. exit_code: None while it runs, negative for a signal."""

    def __init__(self, pid: int, descriptor: int, width: int, height: int) -> None:
        self._pid = pid
        self._descriptor = descriptor
        self._screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self._screen)
        self.written = b""
        self.exit_code: int | None = None

    @property
    def lines(self) -> list[str]:
        """Return what stands on the screen now."""
        self._read()
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """Return the same as one text."""
        return "\n".join(self.lines)

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed, as it does when nobody has changed it."""
        return bool(termios.tcgetattr(self._descriptor)[3] & termios.ECHO)

    def press(self, keys: str) -> None:
        r"""Type something. \x03 is Ctrl-C."""
        os.write(self._descriptor, keys.encode())

    def resize(self, width: int, height: int) -> None:
        """Make the window larger or smaller, as a person would with the mouse."""
        self._read()
        self._screen.resize(height, width)
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def kill(self, number: signal.Signals) -> None:
        """Send the program a signal."""
        os.kill(self._pid, number)

    def wait(self) -> int:
        """Return the program's exit code when it has ended."""
        until(self._has_ended, END_S, "the program in the terminal to end")
        assert self.exit_code is not None
        return self.exit_code

    def _has_ended(self) -> bool:
        self._read()
        if self.exit_code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
        return self.exit_code is not None

    def _read(self) -> None:
        """Read what the program has written so far; for half a second at most, for it may go on writing."""
        stop = monotonic() + 0.5
        with suppress(OSError):  # it has ended
            while monotonic() < stop and select.select([self._descriptor], [], [], 0)[0]:
                data = os.read(self._descriptor, 65_536)
                self.written += data
                self._stream.feed(data)

    def close(self) -> None:
        """End the program if it still runs."""
        if not self._has_ended():
            self.kill(signal.SIGKILL)
            self.wait()
        os.close(self._descriptor)


def _others() -> dict[str, str]:
    """Return the environment without the size of another terminal, as a process of `pytest -n` has it."""
    return {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}


@contextmanager
def in_terminal(words: Sequence[str], env: Mapping[str, str], width: int = 100, height: int = 30) -> Iterator[Terminal]:
    """Run a program in a terminal of this size. env: settings beside PATH and such."""
    pid, descriptor = pty.fork()
    if not pid:
        try:
            os.execvpe(words[0], list(words), {**_others(), "TERM": "xterm", **env})  # noqa: S606  our own program
        finally:
            os._exit(127)
    terminal = Terminal(pid, descriptor, width, height)
    try:
        terminal.resize(width, height)
        yield terminal
    finally:
        terminal.close()
