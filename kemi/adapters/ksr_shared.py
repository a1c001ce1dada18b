"""What all processes of a node remember together, in shared-memory tables that forget by themselves."""

from __future__ import annotations

import time
from typing import Final

from kemi.adapters.ksr_api import Ksr
from kemi.core import health
from kemi.core.digest import has_count, nonce_state
from kemi.core.request import CallRequest

LOOPS_MAX: Final = 10  # INVITEs of one Call-ID within 30 s: a challenge, a hunt through us, no more
NOC: Final = "noc"
DRAIN: Final = "drain"
CONFIGURATION: Final = "configuration"  # its pass, as text: KSR knows no integers of 64 bits
CALLS: Final = "calls"
CHANNELS: Final = "channels"
BUSY: Final = "busy"
UNHELD: Final = "unheld"
OFFLINE: Final = "offline"
TURNS: Final = "turns"
HEALTH: Final = "health"
PROVEN: Final = "proven"
SICK: Final = "down"  # by its answers to calls
SILENT: Final = "silent"  # by its answers to our OPTIONS
PROVEN_S: Final = 60  # who has answered a call so lately is up, whatever becomes of OPTIONS
SILENT_S: Final = 12  # the agent says so again every 5 s
STORE: Final = "store"
DOWN: Final = "down"
OUTAGE: Final = "outage"
DOWN_S: Final = 2  # the agent says so again every turn; without it somebody tries after that
_SOCKET: Final = "$fs"
_KEYS: Final = {name: f"$shtitkey({name})" for name in (HEALTH, CALLS, NOC, CHANNELS, BUSY, UNHELD, OFFLINE)}
"""Pseudo-variables of the iterators; a fixed set, since each is cached for ever."""


def is_loop(ksr: Ksr, call_id: str) -> bool:
    """Count this INVITE and tell whether its Call-ID came too often."""
    return ksr.htable.sht_inc("loops", call_id) > LOOPS_MAX


def is_known_call(ksr: Ksr, rid: str) -> bool:
    """Tell whether the agent follows a call with this reservation: then a new transaction of it is a merged request."""
    return ksr.htable.sht_get(CALLS, rid) is not None


def nonce_uses(ksr: Ksr, request: CallRequest, secret: bytes, expire_s: int) -> int:
    """Count this use of a nonce and return how often it came; 0 without a nonce of ours that is still good.

    To be asked only once the response is known to be right: a nonce of ours is free for the asking, so whoever could
    have its counts noted without a password would fill the table. A key has 41 characters.
    """
    credentials = request.credentials
    if credentials is None or not has_count(credentials):
        return 0
    if nonce_state(secret, credentials.nonce, request.received_ms, expire_s, request.source_ip) != "ok":
        return 0
    key = f"{credentials.nonce}:{credentials.nc.lower()}"
    uses = ksr.htable.sht_inc("nonce", key)
    ksr.htable.sht_setex("nonce", key, expire_s)
    return uses


def take_turn(ksr: Ksr, group_id: int) -> int:
    """Take a group's turn on this node alone, while the store is down; return how many took it here before."""
    return max(0, ksr.htable.sht_inc(TURNS, str(group_id)) - 1)


def count_failure(ksr: Ksr, server_id: int, status: int, why: str = "") -> None:
    """Let a server that fails again and again be passed over for a while."""
    if not health.counts_against(status, why):
        return
    server = str(server_id)
    if ksr.htable.sht_inc("failing", server) >= health.FAILURES_MAX:
        ksr.htable.sht_setxs(HEALTH, server, SICK, health.DOWN_S)


def forgive(ksr: Ksr, server_id: int) -> None:
    """Forget the failures of a server that answered a call."""
    server = str(server_id)
    ksr.htable.sht_rm("failing", server)
    ksr.htable.sht_rm(HEALTH, server)
    ksr.htable.sht_setxs(PROVEN, server, "1", PROVEN_S)


def pass_over(ksr: Ksr, server_id: int) -> None:
    """Let a server that does not answer our OPTIONS be passed over, unless it answers calls."""
    server = str(server_id)
    if ksr.htable.sht_get(PROVEN, server) is None and ksr.htable.sht_get(HEALTH, server) != SICK:
        ksr.htable.sht_setxs(HEALTH, server, SILENT, SILENT_S)


def welcome_back(ksr: Ksr, server_id: int) -> None:
    """Let a server that answers our OPTIONS again have calls. What calls said of it stays until that is forgotten."""
    if ksr.htable.sht_get(HEALTH, str(server_id)) == SILENT:
        ksr.htable.sht_rm(HEALTH, str(server_id))


def send_from(ksr: Ksr, socket: str, otherwise: str = "") -> bool:
    """Send what leaves next from this socket of ours. Return whether we have it.

    otherwise: where none is given; the stack chooses where that is none of ours either.
    """
    if not socket:
        if not (otherwise and _has(ksr, otherwise)):
            ksr.pv.unset(_SOCKET)
        return True
    return _has(ksr, socket)


def _has(ksr: Ksr, socket: str) -> bool:
    """Choose a socket. One that is not ours is said once: sockets do not come while the node runs."""
    unknown = f"no socket {socket}"
    if ksr.htable.sht_get(NOC, unknown) is not None:
        return False
    if ksr.pv.sets(_SOCKET, socket) and ksr.pv.gete(_SOCKET):
        return True
    ksr.htable.sht_sets(NOC, unknown, "1")
    ksr.err(f"{unknown} here\n")
    return False


def down_servers(ksr: Ksr) -> frozenset[int]:
    """Return the servers that are passed over now."""
    return frozenset(int(key) for key in names(ksr, HEALTH))


def is_draining(ksr: Ksr) -> bool:
    """Tell whether the NOC has asked this node to take no new calls."""
    return ksr.htable.sht_get(NOC, DRAIN) is not None


def publish_pass(ksr: Ksr, config_pass: int, news: str = "") -> None:
    """Tell all workers which version of the configuration stands in Redis. news: of ksr_measures, which reads both."""
    ksr.htable.sht_sets(NOC, CONFIGURATION, f"{config_pass} {news}" if news else str(config_pass))


def names(ksr: Ksr, table: str, maximum: int = 100_000) -> list[str]:
    """Return the keys of a table, at most `maximum`."""
    found: list[str] = []
    ksr.htable.sht_iterator_start(table, table)
    try:
        while len(found) < maximum and ksr.htable.sht_iterator_next(table) > 0:
            found.append(str(ksr.pv.gete(_KEYS[table])))
    finally:
        ksr.htable.sht_iterator_end(table)
    return found


class StoreFlag:
    """Says to all processes of this node that Redis is down: redis_client.Flag."""

    def __init__(self, ksr: Ksr) -> None:
        self._ksr = ksr

    def is_set(self) -> bool:
        """Return whether Redis counts as down."""
        return self._ksr.htable.sht_get(STORE, DOWN) is not None

    def set(self) -> None:
        """Say that Redis is down; forgotten after DOWN_S to DOWN_S + 1 seconds."""
        if not self.is_set():
            self._ksr.htable.sht_sets(NOC, OUTAGE, str(time.monotonic_ns()))
        self._ksr.htable.sht_setxs(STORE, DOWN, "1", DOWN_S)

    def outage(self) -> str:
        """Return when the last outage was found, "" before the first."""
        return str(self._ksr.htable.sht_get(NOC, OUTAGE) or "")

    def clear(self) -> None:
        """Say that Redis is up."""
        self._ksr.htable.sht_rm(STORE, DOWN)
