"""What processes leave in shared-memory tables for the NOC to see. kemi/noc.py answers from there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Final

from kemi.adapters.cache import Counts
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_shared import CALLS, NOC
from kemi.records import PinnedCall

COUNTERS: Final = (
    "invites",
    "routed",
    "refused",
    "challenged",
    "malformed",
    "registered",
    "attempts",
    "exceptions",
    "stale_decisions",
    "store_unavailable",
    "emergency",
    "unheld",
    "went_on",
    "relayed",
    "media_lost",
    "round_trips",
    "agent_round_trips",
    "agent_lost",
    "ended_by_agent",
    "overtalk_ms",
    "spooled",
    "bye_failed",
)
AGENT: Final = "agent"
MONEY: Final = "money"
PEERS: Final = "peers"
SYNC: Final = "sync"
PROCESS: Final = "process:"
CACHE: Final = "cache:"
WELL: Final = ("up", "registered")
SHOWN_NS: Final = 1_000_000_000


def publish_process(ksr: Ksr, rank: int, pid: int, load_state: str) -> None:
    """Say which code a process runs. rank: Kamailio's; timers share −1, so the pid is the name."""
    ksr.htable.sht_sets(NOC, f"{PROCESS}{pid}", json.dumps({"rank": rank, "pid": pid, "code": load_state}))


def publish_agent(ksr: Ksr, status: Mapping[str, object]) -> None:
    """Say how the node agent is."""
    ksr.htable.sht_sets(NOC, AGENT, json.dumps(status))


def publish_money(ksr: Ksr, numbers: Mapping[str, int]) -> None:
    """Say how settlement finds the money, as it last told Redis; nothing where it has never spoken."""
    if numbers:
        ksr.htable.sht_sets(NOC, MONEY, json.dumps(numbers))


def publish_sync(ksr: Ksr, told: Mapping[str, object], unix_ms: int) -> None:
    """Say how the configuration in Redis stands. unix_ms: when that was read; later it is so much older."""
    ksr.htable.sht_sets(NOC, SYNC, json.dumps({**told, "unix_ms": unix_ms}))


class CacheReport:
    """How the cache of this process does, and its memory, told at most once a second.

    Who serves no calls has nothing new to say. blocks: what Python has allocated here (a leak shows in it).
    """

    def __init__(self, ksr: Ksr) -> None:
        self._ksr = ksr
        self._again_ns = 0

    def show(self, counts: Counts, now_ns: int) -> None:
        """Say it, if it is time. now_ns: CLOCK_MONOTONIC."""
        if now_ns >= self._again_ns:
            self._again_ns = now_ns + SHOWN_NS
            pid = os.getpid()
            told = {"pid": pid, "blocks": sys.getallocatedblocks(), **counts._asdict()}
            self._ksr.htable.sht_sets(NOC, f"{CACHE}{pid}", json.dumps(told))


def publish_peers(ksr: Ksr, rows: Mapping[str, object]) -> None:
    """Say how carriers' servers are: what they answer to OPTIONS, and where we are registered."""
    ksr.htable.sht_sets(NOC, PEERS, json.dumps(rows))


def show_call(ksr: Ksr, call: PinnedCall, answered_ms: int, server_id: int) -> None:
    """Put a call into the table of calls. answered_ms: Unix time, 0 = it rings."""
    row = {
        "rid": call.rid,
        "call_id": call.call_id,
        "caller": call.caller,
        "callee": call.callee,
        "source": call.source,
        "direction": call.direction,
        "started_ms": call.started_ms,
        "answered_ms": answered_ms,
        "server_id": server_id,
    }
    ksr.htable.sht_sets(CALLS, call.rid, json.dumps(row))


def hide_call(ksr: Ksr, rid: str) -> None:
    """Take a call out of the table of calls."""
    ksr.htable.sht_rm(CALLS, rid)
