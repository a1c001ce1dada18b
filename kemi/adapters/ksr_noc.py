"""What the NOC sees and says: `kamcmd evrexec.run noc "s:<command> <ticket>"`, then `htable.get noc reply:<ticket>`.

kamcmd gets no answer from Python: it goes through the table `noc`, under a ticket of the asker's choice, for 30 s.
Commands: COMMANDS. What takes phones away is in the node's log, with who wanted it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Final

from kemi.adapters import ksr_locations, ksr_queue
from kemi.adapters.cache import Counts
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_shared import CALLS, DRAIN, NOC, is_draining, names
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
    "shed",
)
_STATISTICS: Final = {name: f"$stat({name})" for name in COUNTERS}
COMMANDS: Final = (
    "status, counters, calls, money, peers, caches, drain on|off, end <rid>, unregister <user@domain> [<who>]"
)
AGENT: Final = "agent"
MONEY: Final = "money"
PEERS: Final = "peers"
SYNC: Final = "sync"
PROCESS: Final = "process:"
CACHE: Final = "cache:"
REPLY: Final = "reply:"
REPLY_S: Final = 30
RID_SHOWN: Final = 64  # characters of one that is none
WELL: Final = ("up", "registered")
REPLY_MAX: Final = 48_000  # characters
CALLS_MAX: Final = 200  # one reply of kamcmd holds 64 kB
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


def serve(ksr: Ksr, data: str) -> None:
    """Do what the NOC asks and leave the answer under its ticket."""
    *words, ticket = data.split() or [""]
    match words:
        case ["status"]:
            answer = _status(ksr)
        case ["counters"]:
            answer = {name: ksr.pv.geti(variable) for name, variable in _STATISTICS.items()}
        case ["calls"]:
            answer = _calls(ksr)
        case ["money"]:
            answer = {"money": _json(ksr, NOC, MONEY)}
        case ["peers"]:
            answer = _peers(ksr)
        case ["caches"]:
            answer = {"caches": _rows(ksr, CACHE)}
        case ["drain", ("on" | "off") as switch]:
            answer = {"draining": _drain(ksr, is_on=switch == "on")}
        case ["end", rid]:
            answer = _end(ksr, rid)
        case ["unregister", name, *who] if len(who) <= 1:
            answer = {"unregistered": _unregister(ksr, name, "".join(who))}
        case _:
            answer = {"error": f"commands: {COMMANDS}; then a ticket"}
    ksr.htable.sht_setxs(NOC, REPLY + ticket, json.dumps(answer), REPLY_S)


def _status(ksr: Ksr) -> dict[str, object]:
    return {
        "agent": _json(ksr, NOC, AGENT),
        "money": _json(ksr, NOC, MONEY),
        "sync": _json(ksr, NOC, SYNC),
        "processes": _rows(ksr, PROCESS),
        "draining": is_draining(ksr),
        "down_servers": names(ksr, "health"),
    }


def _drain(ksr: Ksr, *, is_on: bool) -> bool:
    """Take no new calls from now on, or take them again."""
    if is_on:
        ksr.htable.sht_sets(NOC, DRAIN, "on")
    else:
        ksr.htable.sht_rm(NOC, DRAIN)
    return is_on


def _end(ksr: Ksr, rid: str) -> dict[str, object]:
    """Let the agent end a call. An error where this node does not follow it, or where it still rings."""
    call = _json(ksr, CALLS, rid)
    if not isinstance(call, dict):
        return {"error": f"no call {rid[:RID_SHOWN]} here: it is over, or on another node; `calls` lists this one's"}
    if not call["answered_ms"]:
        return {"error": f"call {rid} is not answered yet, and ends by itself when it has rung for long enough"}
    ksr_queue.put(ksr, ksr_queue.HangUp(rid))
    return {"ending": rid}


def _unregister(ksr: Ksr, name: str, who: str) -> int:
    """Forget all phones of a line, here and, by the agent's next word, elsewhere; return how many there were."""
    count = ksr_locations.remove(ksr, name)
    ksr.notice(f"noc: unregister {name} by {who or 'nobody who said so'}: {count} taken away\n")
    ksr_locations.queue(ksr, ksr_locations.Change(name, is_all=True))
    return count


def _calls(ksr: Ksr) -> dict[str, object]:
    rids = names(ksr, CALLS)
    return {"count": len(rids), "calls": [_json(ksr, CALLS, rid) for rid in rids[:CALLS_MAX]]}


def _peers(ksr: Ksr) -> dict[str, object]:
    """Return the carriers' servers; where they are too many for one reply, those that are well are left out first."""
    known = _json(ksr, NOC, PEERS)
    rows = known if isinstance(known, dict) else {}
    kept = {kind: sorted(rows.get(kind, ()), key=lambda row: row["state"] in WELL) for kind in ("probes", "logins")}
    most = count = max(map(len, kept.values()))
    while most and len(json.dumps(kept)) > REPLY_MAX:
        most = most * 3 // 4
        kept = {kind: found[:most] for kind, found in kept.items()}
    return {**kept, "count": count}


def _rows(ksr: Ksr, prefix: str) -> list[object]:
    """Return what processes have said of themselves."""
    return [_json(ksr, NOC, name) for name in sorted(names(ksr, NOC)) if name.startswith(prefix)]


def _json(ksr: Ksr, table: str, key: str) -> object:
    value = ksr.htable.sht_get(table, key)
    return json.loads(value) if isinstance(value, str) else None
