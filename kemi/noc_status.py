"""How a node is: its agent, its processes, its configuration, its carriers' servers; and draining it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kemi import noc_table
from kemi.adapters import ksr_locations, ksr_noc
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_shared import DRAIN, HEALTH, NOC, StoreFlag, is_draining, names
from kemi.noc_command import LINE_FORM, WHO_MAX, Answer, Command, Desk, UsageError

_STATISTICS: Final = {name: f"$stat({name})" for name in ksr_noc.COUNTERS}


def _status(desk: Desk, _words: Sequence[str]) -> Answer:
    ksr = desk.ksr
    return {
        "agent": noc_table.value(ksr, NOC, ksr_noc.AGENT),
        "money": noc_table.value(ksr, NOC, ksr_noc.MONEY),
        "sync": noc_table.value(ksr, NOC, ksr_noc.SYNC),
        "processes": _processes(ksr),
        "draining": is_draining(ksr),
        "down_servers": names(ksr, HEALTH),
    }


def _processes(ksr: Ksr) -> list[Answer]:
    """Return a row per process: its code, and what it has seen and done since it served calls.

    generation: of the configuration, None before its first call. hit_rate: share of reads that its cache answered.
    """
    caches = {row["pid"]: row for row in noc_table.rows(ksr, ksr_noc.CACHE)}
    errors = {row["pid"]: row for row in noc_table.rows(ksr, ksr_noc.ERROR)}
    breaker = "open" if StoreFlag(ksr).is_set() else "closed"  # all processes of a node share one
    return [
        {
            **row,
            "generation": caches.get(row["pid"], {}).get("generation"),
            "hit_rate": _hit_rate(caches.get(row["pid"], {})),
            "breaker": breaker,
            "last_error": errors.get(row["pid"], {}).get("what"),
            "last_error_ms": errors.get(row["pid"], {}).get("unix_ms"),
        }
        for row in noc_table.rows(ksr, ksr_noc.PROCESS)
    ]


def _hit_rate(counts: Mapping[str, Any]) -> float | None:
    hits = counts.get("record_hits", 0) + counts.get("rate_hits", 0)
    reads = hits + counts.get("record_misses", 0) + counts.get("rate_misses", 0)
    return round(hits / reads, 4) if reads else None


def _counters(desk: Desk, _words: Sequence[str]) -> Answer:
    return {name: desk.ksr.pv.geti(variable) for name, variable in _STATISTICS.items()}


def _money(desk: Desk, _words: Sequence[str]) -> Answer:
    return {"money": noc_table.value(desk.ksr, NOC, ksr_noc.MONEY)}


def _peers(desk: Desk, _words: Sequence[str]) -> Answer:
    """Return the carriers' servers, those in trouble first."""
    known = noc_table.value(desk.ksr, NOC, ksr_noc.PEERS)
    rows = known if isinstance(known, dict) else {}
    kept = {
        kind: sorted(rows.get(kind, ()), key=lambda row: row["state"] in ksr_noc.WELL) for kind in ("probes", "logins")
    }
    return {**kept, "count": max(map(len, kept.values()))}


def _caches(desk: Desk, _words: Sequence[str]) -> Answer:
    return {"caches": noc_table.rows(desk.ksr, ksr_noc.CACHE)}


def _drain(desk: Desk, words: Sequence[str]) -> Answer:
    """Take no new calls from now on, or take them again."""
    match words:
        case ["on"]:
            desk.ksr.htable.sht_sets(NOC, DRAIN, "on")
        case ["off"]:
            desk.ksr.htable.sht_rm(NOC, DRAIN)
        case _:
            raise UsageError("say on or off")
    return {"draining": words[0] == "on"}


def _unregister(desk: Desk, words: Sequence[str]) -> Answer:
    """Forget all phones of a line, here and, by the agent's next word, elsewhere."""
    match words:
        case [name]:
            who = "nobody who said so"
        case [name, who]:
            pass
        case _:
            raise UsageError("say whose phones")
    if not LINE_FORM.fullmatch(name) or len(who) > WHO_MAX:
        raise UsageError(f"say a line as user@domain, and who in at most {WHO_MAX} characters")
    count = ksr_locations.remove(desk.ksr, name)
    desk.ksr.notice(f"noc: unregister {name} by {who}: {count} taken away\n")
    ksr_locations.queue(desk.ksr, ksr_locations.Change(name, is_all=True))
    return {"unregistered": count}


COMMANDS: Final[tuple[Command, ...]] = (
    Command("status", "status", "Agent, configuration, processes and their code, drain, servers passed over.", _status),
    Command("counters", "counters", "The counters since the node started.", _counters),
    Command("money", "money", "The last comparison of the money in Redis and in Postgres.", _money),
    Command("peers", "peers", "Carriers' servers: what they answer, and where we are registered.", _peers),
    Command("caches", "caches", "The caches of the configuration, per process.", _caches),
    Command("drain", "drain on|off", "Take no new calls, or take them again.", _drain),
    Command("unregister", "unregister <user@domain> [<who>]", "Take all phones of a line away.", _unregister),
)
