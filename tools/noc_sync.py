"""How the configuration in Redis stands, for `tandem noc status`: its age, its pass, what the syncer is at.

The words are those that `tandem sync` writes to `keys.SYNC_STATUS`, shown as they are; the age is ours to reckon.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from kemi.adapters import redis_sync
from tools import noc_status

OLD_S: Final = 5  # the syncer gives a sign of life twice a second, and its successor takes over within two
LIVE: Final = "live"


def told(by_node: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a node has read of it, grown older since by this machine's clock; nothing where it read nothing."""
    if not by_node or redis_sync.AGE not in by_node:
        return {}
    since_ms = max(0, time.time_ns() // 1_000_000 - by_node["unix_ms"])
    rest = {name: value for name, value in by_node.items() if name not in (redis_sync.AGE, "unix_ms")}
    return {redis_sync.AGE: by_node[redis_sync.AGE] + since_ms, **rest}


def lines(sync: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to show, by name."""
    if not sync:
        return {"configuration": "no `tandem sync` has ever run on this Redis, or this node has not asked yet"}
    rest = {name: value for name, value in sync.items() if name != redis_sync.AGE}
    if isinstance(rest.get("pass"), int):
        rest["pass"] = noc_status.short(rest["pass"])
    return {"as old as": f"{sync[redis_sync.AGE] / 1000:.1f} s", **rest}


def alarms(sync: Mapping[str, Any]) -> list[str]:
    """Return what is wrong, a sentence each."""
    found = []
    if sync and sync[redis_sync.AGE] > OLD_S * 1000:
        age_s = sync[redis_sync.AGE] // 1000
        found.append(f"the configuration is frozen, {age_s} s old: no `tandem sync` is at work on this Redis")
    if sync.get("held"):
        found.append(f"changes are held back: {sync['held']}")
    if sync.get("state", LIVE) != LIVE:
        found.append(f"not all of the configuration is known to be right yet: the syncer is at its {sync['state']}")
    return found
