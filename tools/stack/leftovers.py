"""What a killed supervisor left: its processes are ended, other people's are not touched.

A process is ours if the state file names it (boot, pid, start time), if its environment carries our mark with this
run directory, or if it is the postmaster that works inside our data directory.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from tools.errors import OperatorError
from tools.stack import state
from tools.stack.layout import Layout
from tools.stack.process import Identity, alive, identity, marked, send
from tools.wait import DeadlineError, until

POLITE_S = 10.0
KILLED_S = 5.0


def clean(layout: Layout) -> int:
    """End every process that an earlier supervisor of this run directory left. The caller holds the lock.

    Returns how many there were. Raises OperatorError when one belongs to another user or cannot be ended.
    """
    found = _found(layout)
    _signal_all(found, signal.SIGTERM)
    postmaster = _postmaster(layout.pg_data)
    if postmaster:
        _signal_all({postmaster}, signal.SIGINT)  # SIGTERM would wait for its clients
        found.add(postmaster)
    with suppress(DeadlineError):
        until(lambda: not any(map(alive, found)), POLITE_S, "the left processes to end")
    try:
        until(lambda: not _killed(layout, found), KILLED_S, "the left processes to die")
    except DeadlineError as error:
        pids = ", ".join(str(who.pid) for who in found if alive(who))
        raise OperatorError(f"processes {pids} of an earlier stack in {layout.run_dir} do not end: end them") from error
    layout.state_file.unlink(missing_ok=True)
    layout.env_file.unlink(missing_ok=True)
    return len(found)


def _killed(layout: Layout, found: set[Identity]) -> bool:
    """Kill what still lives, children included that were born meanwhile; add these. Return whether there was any."""
    found |= _found(layout)
    living = {who for who in found if alive(who)}
    _signal_all(living, signal.SIGKILL)
    return bool(living)


def _found(layout: Layout) -> set[Identity]:
    recorded = state.read(layout.state_file)
    processes = {row.who for row in recorded.processes if row.who} if recorded else set()
    return {who for who in processes | set(marked(layout.run_dir)) if who.pid != os.getpid() and alive(who)}


def _postmaster(data: Path) -> Identity | None:
    with suppress(FileNotFoundError, ValueError, IndexError):
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        if (Path("/proc") / str(pid) / "cwd").samefile(data):
            return identity(pid)
    return None


def _signal_all(found: set[Identity], number: signal.Signals) -> None:
    for who in found:
        try:
            send(who, number)
        except PermissionError as error:
            raise OperatorError(
                f"process {who.pid} of an earlier stack belongs to another user: stop it as that user or as root"
            ) from error
