"""What the syncer says of itself for the NOC: a flat JSON object, beside the heartbeat."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tools.sync.source import Source

TEXT_MAX = 500  # characters of a sentence for a screen


def written(
    source: Source, backlog: tuple[int, int], version: int, state: str, held: str, wrong: int, more: Mapping[str, Any]
) -> str:
    """Return the object as text. backlog: as Source.backlog returns it.

    state: live, repair (what is in doubt is being compared beside the passes), load, or "frozen: why". outbox: rows
    that wait, at most 10,001; outbox_s: age of the oldest. sweep_s: how long the last comparison of everything took,
    and so how old a difference may become; swept_at: Unix s of its end. drift: aggregates that differed without reason
    and were repaired, since the database was made; drift_at: of the last one. held: what only an operator may allow.
    wrong: rows that are no records. What is not known yet is left out.
    """
    rows, age_s = backlog
    kept = source.state()
    values = {
        "state": state[:TEXT_MAX],
        "fence": version >> 32,
        "pass": version,
        "outbox": rows,
        "outbox_s": age_s,
        "sweep_s": kept.sweep_s,
        "swept_at": kept.swept_at,
        "drift": kept.drift,
        "drift_at": kept.drift_at,
        "held": held[:TEXT_MAX],
        "wrong": wrong,
        **more,
    }
    return json.dumps({name: value for name, value in values.items() if value is not None})
