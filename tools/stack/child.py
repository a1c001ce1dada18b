"""One process of ours: started in a session of its own, ended with everything that it started."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from tools.stack.layout import PROJECT
from tools.stack.process import Identity, identity

LOG_BYTES_MAX = 20_000_000
LAST_WORDS_LINES = 12
LAST_WORDS_BYTES = 8_000
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Make orphaned descendants children of this process, so that none gets lost."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int, number: signal.Signals) -> None:
    """Have the kernel send this process `number` when its parent, the process `parent`, dies.

    For a parent that is dead already, the signal comes at once.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


class Child:
    """A running process. It leads a session and a process group that carry its pid."""

    def __init__(self, argv: tuple[str, ...], env: Mapping[str, str], log: Path, stop_signal: signal.Signals) -> None:
        """Start `argv` from the project's root with `env`, output appended to `log`. Raises OSError."""
        rotate(log)
        self._log = log
        with log.open("ab") as output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(
                argv,
                cwd=PROJECT,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_in_child(os.getpid(), stop_signal),  # noqa: PLW1509  the supervisor has one thread
            )
        found = identity(self._process.pid)
        self.who = found or Identity(self._process.pid, 0, "")  # gone at once: nobody will ever match

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def ended(self) -> bool:
        """Whether the process is dead, reaped or not."""
        if self._process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process while it is not reaped."""
        if self._process.returncode is None:
            os.kill(self.pid, number)

    def remind(self, number: signal.Signals) -> None:
        """Send a signal to the whole process group while its leader is not reaped."""
        if self._process.returncode is None:
            os.killpg(self.pid, number)

    def reap(self) -> str:
        """End what is left of the process group, then the process itself. Returns how it ended, as a sentence.

        The unreaped leader keeps the group's number from being given to anybody else.
        """
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        code = self._process.returncode
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    def succeeded(self) -> bool:
        """Whether the reaped process ended with status 0."""
        return self._process.returncode == 0

    def last_words(self) -> str:
        """Return the last lines that this process wrote to its log."""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read()[-LAST_WORDS_BYTES:].decode(errors="replace").splitlines()
        return "\n".join([line for line in lines if line.strip()][-LAST_WORDS_LINES:])


def rotate(log: Path) -> None:
    """Move a log that has grown too long aside, over the one that was moved before."""
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".old"))


def _in_child(parent: int, stop_signal: signal.Signals) -> Callable[[], None]:
    """Return what runs between fork and exec.

    The supervisor blocks signals, its children must not. Should the supervisor be killed, they are asked to stop.
    """

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        die_with(parent, stop_signal)

    return prepare
