"""How many calls each server of a carrier has from this node, and how many it is sent a second. Shared memory only.

And how many calls each account has here that go without a hold, because the store was down when they began.

Rule 1: a call takes a place at a server when it is tried there, and gives it back when the attempt or the call ends.
Rule 2: table `busy` says which call has a place where; table `channels` counts them. Tables `unheld` and `offline` do
the same for accounts. A count that got lost, since two processes met or one was killed, is put right by the agent:
twice the same difference is no call that comes or goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_shared import BUSY, CHANNELS, OFFLINE, UNHELD, names
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
    """Give back the place that a call has at a server, if it has one."""
    _give_back(ksr, rid, BUSY, CHANNELS)


def let_in(ksr: Ksr, rid: str, account_id: int, most: int) -> bool:
    """Let a call that cannot be held have one of the account's places; False where `most` calls have them."""
    account = str(account_id)
    if ksr.htable.sht_inc(OFFLINE, account) > most:
        ksr.htable.sht_dec(OFFLINE, account)
        return False
    ksr.htable.sht_sets(UNHELD, rid, account)
    return True


def let_go(ksr: Ksr, rid: str) -> None:
    """Give back all places of a call that is over."""
    release(ksr, rid)
    _give_back(ksr, rid, UNHELD, OFFLINE)


def _give_back(ksr: Ksr, rid: str, rows: str, counts: str) -> None:
    name = ksr.htable.sht_get(rows, rid)
    if name is not None:
        ksr.htable.sht_rm(rows, rid)
        ksr.htable.sht_dec(counts, str(name))


def _in_this_second(ksr: Ksr, server: str, second: int) -> int:
    return ksr.htable.sht_inc(RATE, f"{server}:{second}")


class Reconciler:
    """The agent's: compares two tables that belong together with the calls that it follows."""

    def __init__(self, rows: str = BUSY, counts: str = CHANNELS) -> None:
        self._of_calls = rows
        self._totals = counts
        self._strays: set[str] = set()
        self._off: dict[str, int] = {}
        self.healed = 0

    def turn(self, ksr: Ksr, calls: Mapping[str, int]) -> None:
        """Put right what has been wrong twice.

        calls: rid -> server, or account, of each call; 0 = none: it rings, or talks to a phone, or has a hold.
        """
        self._rows(ksr, calls)
        self._counts(ksr)

    def _rows(self, ksr: Ksr, calls: Mapping[str, int]) -> None:
        rows = set(names(ksr, self._of_calls))
        strays = rows - calls.keys()
        for rid in strays & self._strays:
            _give_back(ksr, rid, self._of_calls, self._totals)
            self.healed += 1
        self._strays = strays
        for rid, place_id in calls.items():
            if place_id and rid not in rows:  # adopted: another process let it in
                ksr.htable.sht_inc(self._totals, str(place_id))
                ksr.htable.sht_sets(self._of_calls, rid, str(place_id))

    def _counts(self, ksr: Ksr) -> None:
        rows, counts = self._of_calls, self._totals
        true = Counter(name for rid in names(ksr, rows) if (name := str(ksr.htable.sht_get(rows, rid) or "")))
        off: dict[str, int] = {}
        for name in {*true, *names(ksr, counts)}:
            counted = ksr.htable.sht_get(counts, name)
            difference = true[name] - (counted if isinstance(counted, int) else 0)
            if not difference:
                continue
            if self._off.get(name) == difference:
                _adjust(ksr, counts, name, difference)
                self.healed += 1
            else:
                off[name] = difference
        self._off = off


def _adjust(ksr: Ksr, table: str, name: str, difference: int) -> None:
    """Change a count step by step: a set would undo what other processes count meanwhile."""
    step = ksr.htable.sht_inc if difference > 0 else ksr.htable.sht_dec
    for _ in range(abs(difference)):
        step(table, name)
