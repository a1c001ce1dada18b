"""What processes have used of the CPU, as the scheduler counts it: to the nanosecond, not in ticks.

Live threads are read from /proc/<pid>/task/<tid>/schedstat. A process that has ended is gone from there, but what it
used is in its parent's account of the children that it has waited for (cutime and cstime in /proc/<pid>/stat, in ticks
of 10 ms over all such children together): all parents here (Kamailio, Postgres, Redis) wait for theirs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

PROC: Final = Path("/proc")
_NS_PER_TICK: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Used(NamedTuple):
    """One live process. group: under what it is counted. own_ns: its live threads. ended_ns: children it waited for."""

    group: str
    own_ns: int
    ended_ns: int


Sample = Mapping[int, Used]
"""All processes of one side at one moment, by pid."""


def tree(root: int, proc: Path = PROC) -> list[int]:
    """Return a process with all its descendants, itself first; empty when it is gone."""
    below: dict[int, list[int]] = {}
    for entry in proc.iterdir():
        if entry.name.isdecimal() and (fields := _stat(entry)):
            below.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root] if (proc / str(root)).exists() else []
    for pid in found:  # it grows while it is read
        found += below.get(pid, [])
    return found


def sample(roots: Mapping[str, int], roles: Mapping[int, str], proc: Path = PROC) -> Sample:
    """Return what each process below the roots has used so far.

    roots: group and pid of its first process. roles: a better group for single processes.
    """
    return {
        pid: Used(roles.get(pid, group), _live_ns(proc / str(pid)), _ended_ns(proc / str(pid)))
        for group, root in roots.items()
        for pid in tree(root, proc)
    }


def spent(before: Sample, after: Sample) -> dict[str, int]:
    """Return the nanoseconds used between two samples, by group.

    Who ended in between is in an account of his parent's since then, with what he had used before: that is taken off.
    """
    used: dict[str, int] = {}
    for pid, now in after.items():
        then = before.get(pid, Used(now.group, 0, 0))
        used[now.group] = used.get(now.group, 0) + now.own_ns - then.own_ns + now.ended_ns - then.ended_ns
    for pid in before.keys() - after.keys():
        gone = before[pid]
        used[gone.group] = used.get(gone.group, 0) - gone.own_ns - gone.ended_ns
    return used


def per_call_us(used: Mapping[str, int], calls: int) -> dict[str, float]:
    """Return microseconds per call, the dearest group first."""
    return {group: round(ns / 1e3 / calls, 1) for group, ns in sorted(used.items(), key=lambda each: -each[1])}


def _live_ns(home: Path) -> int:
    total = 0
    for thread in _entries(home / "task"):
        with suppress(OSError):
            total += int((thread / "schedstat").read_text().split()[0])
    return total


def _ended_ns(home: Path) -> int:
    fields = _stat(home)
    return (int(fields[13]) + int(fields[14])) * _NS_PER_TICK if fields else 0


def _entries(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _stat(home: Path) -> list[str]:
    """Return the fields from the state on, behind the name, which may hold blanks and brackets."""
    try:
        return (home / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
