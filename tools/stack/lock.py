"""One supervisor per run directory: whoever holds the lock, and the kernel drops it when the holder dies."""

from __future__ import annotations

import fcntl
import os
from types import TracebackType
from typing import Self

from tools.errors import OperatorError
from tools.stack import state
from tools.stack.layout import Layout


class Lock:
    """The lock of a run directory, held between `with` and its end."""

    def __init__(self, layout: Layout) -> None:
        """Take whose lock it is; the run directory must exist."""
        self._layout = layout
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take the lock. Raises OperatorError when a supervisor that lives has it."""
        self._descriptor = os.open(self._layout.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            found = state.read(self._layout.state_file)
            who = f" (pid {found.supervisor.pid})" if found else ""
            raise OperatorError(
                f"a stack already runs in {self._layout.run_dir}{who}: `make down` stops it, "
                "or set RUN_DIR and TANDEM_LISTEN for a second one"
            ) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give the lock back."""
        os.close(self._descriptor)

    def lost(self) -> bool:
        """Whether the file that this lock is on is no longer the run directory's."""
        try:
            return not os.path.samestat(os.fstat(self._descriptor), self._layout.lock_file.stat())
        except FileNotFoundError:
            return True
