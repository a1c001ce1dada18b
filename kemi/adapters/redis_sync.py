"""How the configuration in Redis stands, as its syncer last said and as Redis' own clock says how long ago that was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from kemi import keys
from kemi.adapters.redis_client import Argument

AGE = "age_ms"
QUESTION = ("MGET", keys.HEARTBEAT, keys.SYNC_STATUS)


class Store(Protocol):
    """What is needed of redis_client.RedisClient."""

    def execute(self, *words: Argument) -> Any:
        """Run one command. Raises StoreUnavailable."""


def read(client: Store) -> Mapping[str, object]:
    """Return what the syncer told with its last sign of life, and its age in milliseconds; nothing where none has been.

    Raises StoreUnavailable.
    """
    seconds, micros = client.execute("TIME")
    return told(client.execute(*QUESTION), int(seconds) * 1000 + int(micros) // 1000)


def told(answer: Sequence[bytes | None], now_ms: int) -> Mapping[str, object]:
    """Return what `read` does. answer: to QUESTION. now_ms: by Redis' clock."""
    beat, status = answer
    return {} if beat is None else {AGE: max(0, now_ms - int(beat)), **_object(status)}


def _object(text: bytes | None) -> dict[str, object]:
    """Return a JSON object; an empty one for anything else: what is shown to people stops nobody."""
    try:
        value = json.loads(text or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
