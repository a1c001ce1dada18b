"""How many calls each server of a carrier has from this node, and how many it is sent a second. Shared memory only.

Rule 1: a call takes a place at a server when it is tried there, and gives it back when the attempt or the call ends.
Rule 2: table `busy` says which call has a place where; table `channels` counts them. A count that got lost, since two
processes met or one was killed, is put right by the agent: twice the same difference is no call that comes or goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_shared import BUSY, CHANNELS, names
from kemi.core.outcome import ServerLimits

RATE: Final = "cps"


def take(ksr: Ksr, rid: str, server_id: int, limits: ServerLimits, unix_ms: int) -> str:
    """Let a call have a place at a server. Return "", else what it has enough of: "channels" or "cps"."""
    server = str(server_id)
    if ksr.htable.sht_inc(CHANNELS, server) > limits.channels_max > 0:
        ksr.htable.sht_dec(CHANNELS, server)
        return "channels"
    if limits.cps_max and _in_this_second(ksr, server, unix_ms // 1_000) > limits.cps_max:
        ksr.htable.sht_dec(CHANNELS, server)
        return "cps"
    ksr.htable.sht_sets(BUSY, rid, server)
    return ""


def release(ksr: Ksr, rid: str) -> None:
    """Give back the place of a call, if it has one."""
    server = ksr.htable.sht_get(BUSY, rid)
    if server is not None:
        ksr.htable.sht_rm(BUSY, rid)
        ksr.htable.sht_dec(CHANNELS, str(server))


def _in_this_second(ksr: Ksr, server: str, second: int) -> int:
    return ksr.htable.sht_inc(RATE, f"{server}:{second}")


class Reconciler:
    """The agent's: compares the tables with the calls that it follows."""

    def __init__(self) -> None:
        self._strays: set[str] = set()
        self._off: dict[str, int] = {}
        self.healed = 0

    def turn(self, ksr: Ksr, calls: Mapping[str, int]) -> None:
        """Put right what has been wrong twice. calls: rid -> server of each call, 0 = it rings, or talks to a phone."""
        self._rows(ksr, calls)
        self._counts(ksr)

    def _rows(self, ksr: Ksr, calls: Mapping[str, int]) -> None:
        rows = set(names(ksr, BUSY))
        strays = rows - calls.keys()
        for rid in strays & self._strays:
            release(ksr, rid)
            self.healed += 1
        self._strays = strays
        for rid, server_id in calls.items():
            if server_id and rid not in rows:  # adopted: another process let it in
                ksr.htable.sht_inc(CHANNELS, str(server_id))
                ksr.htable.sht_sets(BUSY, rid, str(server_id))

    def _counts(self, ksr: Ksr) -> None:
        true = Counter(server for rid in names(ksr, BUSY) if (server := str(ksr.htable.sht_get(BUSY, rid) or "")))
        off: dict[str, int] = {}
        for server in {*true, *names(ksr, CHANNELS)}:
            counted = ksr.htable.sht_get(CHANNELS, server)
            difference = true[server] - (counted if isinstance(counted, int) else 0)
            if not difference:
                continue
            if self._off.get(server) == difference:
                _adjust(ksr, server, difference)
                self.healed += 1
            else:
                off[server] = difference
        self._off = off


def _adjust(ksr: Ksr, server: str, difference: int) -> None:
    """Change a count step by step: a set would undo what other processes count meanwhile."""
    step = ksr.htable.sht_inc if difference > 0 else ksr.htable.sht_dec
    for _ in range(abs(difference)):
        step(CHANNELS, server)
