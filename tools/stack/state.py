"""What the supervisor says about itself: read by status and down, and by the next start after a kill."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tools.errors import OperatorError
from tools.stack.process import Identity

_SECRET_BYTES = 32


class ProcessState(NamedTuple):
    """One part. who: its process, None while it waits to be started again. ready: whether it serves.

    restarts: how often it was started again after it died.
    """

    name: str
    who: Identity | None
    restarts: int
    ready: bool


class State(NamedTuple):
    """The stack. phase: starting, up or stopping."""

    supervisor: Identity
    phase: str
    processes: tuple[ProcessState, ...]

    def process(self, name: str) -> ProcessState | None:
        """Return the part of that name, None when there is none."""
        return next((row for row in self.processes if row.name == name), None)


def write(path: Path, state: State) -> None:
    """Replace the file in one step, so that a reader never sees half of it."""
    write_private(path, json.dumps(state) + "\n")


def read(path: Path) -> State | None:
    """Return what the file says; None when there is none or a full disk cut it short.

    Raises OperatorError when it is another user's.
    """
    try:
        with suppress(FileNotFoundError, ValueError, TypeError):
            supervisor, phase, processes = json.loads(path.read_text())
            return State(Identity(*supervisor), phase, tuple(_process(*row) for row in processes))
    except PermissionError as error:
        raise OperatorError(f"the stack in {path.parent} is another user's: ask as that user or as root") from error
    return None


def write_private(path: Path, text: str) -> None:
    """Replace a file that only its owner may read."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def secret(path: Path) -> str:
    """Return the secret of this cell's nodes, made once. Raises OperatorError when it is another user's."""
    try:
        if not path.exists():
            write_private(path, secrets.token_hex(_SECRET_BYTES) + "\n")
        return path.read_text().strip()
    except PermissionError as error:
        raise OperatorError(f"the stack in {path.parent} is another user's: ask as that user or as root") from error


def write_env(path: Path, values: Mapping[str, str]) -> None:
    """Write `NAME=value` lines that a shell can source.

    No quotes: plain readers of such files take them as part of the value. The values are URLs and paths whose
    special characters are percent-encoded, so none are needed.
    """
    lines = ["# Join the running stack: set -a; . this file; set +a"]
    lines += [f"{name}={value}" for name, value in values.items()]
    write_private(path, "\n".join(lines) + "\n")


def read_env(path: Path) -> dict[str, str]:
    """Return the values of a file that `write_env` wrote; empty when there is none that this user may read."""
    with suppress(FileNotFoundError, PermissionError):
        lines = path.read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {}


def _process(name: str, who: list[Any] | None, restarts: int, ready: bool) -> ProcessState:
    return ProcessState(name, Identity(*who) if who else None, restarts, ready)
