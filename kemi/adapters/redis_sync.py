"""How the configuration in Redis stands, as its syncer last said and as Redis' own clock says how long ago that was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from kemi import keys
from kemi.adapters.redis_client import Argument

AGE = "age_ms"


class Store(Protocol):
    """What is needed of redis_client.RedisClient."""

    def execute(self, *words: Argument) -> Any:
        """Run one command. Raises StoreUnavailable."""


def read(client: Store) -> Mapping[str, object]:
    """Return what the syncer told with its last sign of life, and its age in milliseconds; nothing where none has been.

    Raises StoreUnavailable.
    """
    beat, told = client.execute("MGET", keys.HEARTBEAT, keys.SYNC_STATUS)
    if beat is None:
        return {}
    seconds, micros = client.execute("TIME")
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    return {AGE: max(0, now_ms - int(beat)), **_object(told)}


def _object(text: bytes | None) -> dict[str, object]:
    """Return a JSON object; an empty one for anything else: what is shown to people stops nobody."""
    try:
        value = json.loads(text or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
