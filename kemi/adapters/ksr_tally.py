"""The counts of a node in Kamailio's table `noc`: the agent leaves them there, the NOC's commands read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_shared import NOC

COUNTED: Final = ("round_trips", "challenged", "registered", "shed")
_STATISTICS: Final = {name: f"$stat({name})" for name in COUNTED}


def publish(ksr: Ksr, what: str, window: str, answer: Mapping[str, object]) -> None:
    """Say how it goes. what, window: words of the NOC's command."""
    ksr.htable.sht_sets(NOC, _key(what, window), json.dumps(answer))


def published(ksr: Ksr, what: str, window: str) -> dict[str, Any] | None:
    """Return what was said last, None where nothing was yet."""
    value = ksr.htable.sht_get(NOC, _key(what, window))
    found: dict[str, Any] | None = json.loads(value) if isinstance(value, str) else None
    return found


def statistics(ksr: Ksr) -> dict[str, int]:
    """Return those of Kamailio's counters that workers keep and that windows are made of."""
    return {name: ksr.pv.geti(variable) for name, variable in _STATISTICS.items()}


def _key(what: str, window: str) -> str:
    return f"tally:{what}:{window}"
