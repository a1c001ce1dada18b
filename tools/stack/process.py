"""Which process is which: a pid alone names nobody once the process that had it is gone.

A process is (boot, pid, start time). It is ours when the supervisor recorded it, or when its environment carries
MARK with our run directory: no shell that merely read `.run/env` has that.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

MARK = "TANDEM_SUPERVISED"
"""Environment variable of every process of a stack; value: the absolute run directory."""
PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Identity(NamedTuple):
    """One process, never mistaken for a later one with its pid. started: clock ticks since boot. boot: boot id."""

    pid: int
    started: int
    boot: str


class Usage(NamedTuple):
    """What a process and its descendants use. cpu_s: since they started. memory_bytes: proportional set size."""

    cpu_s: float
    memory_bytes: int


class _Stat(NamedTuple):
    state: str
    parent: int
    cpu_ticks: int
    started: int


def boot_id() -> str:
    """Return the kernel's name of this boot."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def identity(pid: int) -> Identity | None:
    """Return who has `pid` now; None when nobody has it, or only a zombie."""
    stat = _stat(pid)
    return None if stat is None or stat.state in "ZX" else Identity(pid, stat.started, boot_id())


def alive(who: Identity) -> bool:
    """Whether exactly this process still runs."""
    return identity(who.pid) == who


def send(who: Identity, number: signal.Signals) -> None:
    """Send a signal to exactly this process; nothing happens when it is gone.

    The descriptor pins the process, so its pid cannot change hands between the check and the signal.
    Raises PermissionError when it belongs to somebody else.
    """
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(who.pid)
        try:
            if alive(who):
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


def marked(run_dir: Path) -> list[Identity]:
    """Return the processes whose environment says that they belong to the stack in `run_dir`."""
    wanted = os.fsencode(f"{MARK}={run_dir}")
    return [who for pid in _pids() if wanted in _environment(pid) and (who := identity(pid))]


def children(pid: int) -> list[int]:
    """Return the pids of the direct children of `pid`, zombies included."""
    return [child for child in _pids() if (stat := _stat(child)) and stat.parent == pid]


def usage(pid: int) -> Usage:
    """Return what the process and all its descendants use; zero for one that is gone."""
    parents = {child: stat for child in _pids() if (stat := _stat(child))}
    tree, grown = {pid}, True
    while grown:
        more = {child for child, stat in parents.items() if stat.parent in tree} - tree
        tree |= more
        grown = bool(more)
    ticks = sum(parents[member].cpu_ticks for member in tree if member in parents)
    return Usage(ticks / _TICKS_PER_S, sum(map(_memory_bytes, tree)))


def seconds_since(started: int) -> float:
    """Return how long ago a process began that started `started` ticks after boot."""
    return float((PROC / "uptime").read_text().split()[0]) - started / _TICKS_PER_S


def owner_of_port(kind: str, port: int) -> str:
    """Return `name (pid n)` of who holds a local port, "" when that cannot be seen. kind: udp or tcp."""
    inodes = set(_socket_inodes(kind, port))
    for pid in _pids():
        with suppress(OSError):
            for link in (PROC / str(pid) / "fd").iterdir():
                if str(link.readlink()).removeprefix("socket:[").removesuffix("]") in inodes:
                    return f"{(PROC / str(pid) / 'comm').read_text().strip()} (pid {pid})"
    return ""


def _socket_inodes(kind: str, port: int) -> Iterator[str]:
    wanted_states = {"udp": ("07",), "tcp": ("0A",)}[kind]
    for table in (PROC / "net" / kind, PROC / "net" / f"{kind}6"):
        with suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if int(fields[1].rpartition(":")[2], 16) == port and fields[3] in wanted_states:
                    yield fields[9]


def _pids() -> Iterable[int]:
    return [int(entry) for entry in os.listdir(PROC) if entry.isdecimal()]  # noqa: PTH208  names, not paths


def _stat(pid: int) -> _Stat | None:
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    return _Stat(fields[0], int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[19]))


def _environment(pid: int) -> list[bytes]:
    try:
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _memory_bytes(pid: int) -> int:
    with suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
