"""What a node tells through its control socket of processes, memory and tables."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, Final, NamedTuple

from tools import noc_ask
from tools.errors import OperatorError

_PROCESS: Final = re.compile(r"PID: (\d+)\s+DSC: (.*)")
_PKG: Final = re.compile(r"pid: (\d+)\s+rank: .*\s+used: (\d+)")
_SHM: Final = re.compile(r"\stotal: (\d+)\s.*?\sused: (\d+)\s.*?\smax_used: (\d+)\s", re.DOTALL)
_TABLE: Final = re.compile(r"name: (\w+)\s+slots: \d+\s+all: (\d+)")


class Shared(NamedTuple):
    """Shared memory of a node, in bytes. most: used at once since its start."""

    total: int
    used: int
    most: int


class Control:
    """A node's control socket."""

    def __init__(self, path: str) -> None:
        """Take its path, also with `unix:` before it."""
        self._path = path

    def processes(self) -> dict[int, str]:
        """Return what each process of the node does, by pid: "udp receiver child=0 sock=127.0.0.1:5060"."""
        return {int(pid): role.strip() for pid, role in _PROCESS.findall(self._ask("core.psx"))}

    def package(self) -> dict[int, int]:
        """Return the bytes of its own that Kamailio has given out in each process, by pid."""
        return {int(pid): int(used) for pid, used in _PKG.findall(self._ask("pkg.stats"))}

    def shared(self) -> Shared:
        """Return how much shared memory there is, and how much of it is in use."""
        found = _SHM.search(self._ask("core.shmmem"))
        if found is None:
            raise OperatorError(f"{self._path}: core.shmmem tells no memory in use")
        return Shared(*map(int, found.groups()))

    def tables(self) -> dict[str, int]:
        """Return how many entries each table has."""
        return {name: int(count) for name, count in _TABLE.findall(self._ask("htable.stats"))}

    def blocks(self) -> dict[int, int]:
        """Return the blocks of memory that Python has given out in each worker, by pid; none where it does not say."""
        rows: list[dict[str, Any]] = noc_ask.ask(self._path, "caches")["caches"]
        return {int(row["pid"]): int(row["blocks"]) for row in rows if "blocks" in row}

    def calls(self) -> list[dict[str, Any]]:
        """Return the calls that go on, at most 200."""
        rows: list[dict[str, Any] | None] = noc_ask.ask(self._path, "calls")["calls"]
        return [row for row in rows if row is not None]

    def end(self, rid: str) -> bool:
        """Let the node end a call; return whether it will: not one that is over, or not answered yet."""
        with suppress(OperatorError):
            return "ending" in noc_ask.ask(self._path, f"end {rid}")
        return False

    def _ask(self, command: str) -> str:
        return noc_ask.kamcmd(self._path, command)
