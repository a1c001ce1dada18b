"""What `tandem settle` found when it compared the money last, for `tandem noc money`: in words, and what is an alarm.

The numbers are those that settlement writes to `keys.SETTLED`; a node passes on what it has read there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from kemi import keys
from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from tools.errors import OperatorError

TIMEOUT_MS: Final = 5_000
STEP_OLD_S: Final = 60  # a step takes a second or so
ROUND_OLD_S: Final = 900  # a round of a million funds in steps of 500 takes longer: then this is the figure to raise

_WRONG: Final = {
    "differences": "differences between Redis and Postgres: `tandem settle --verify` lists them",
    "poisoned": "events of calls are set aside and not posted: `tandem settle --verify` lists them",
}
_LINES: Final = {
    "differences": "differences",
    "i1_micros": "I1: micros held without a call, or not held for one",
    "i2_micros": "I2: micros charged in Redis and not posted, or the reverse",
    "i3_micros": "I3: micros credited in Postgres and not in Redis, or the reverse",
    "i4": "I4: leases without a reservation",
    "funds": "funds in the last round",
    "events_waiting": "events of calls that wait to be posted",
    "poisoned": "events set aside",
    "expired": "leases past their end, which the sweeper looks at",
    "epoch": "epoch",
}
_TIMES: Final = {
    "at_ms": "compared",
    "round_at_ms": "every fund compared",
    "i1_at_ms": "I1 and I4, which need a moment of calm, compared",
}


class Told(NamedTuple):
    """The numbers, by their names; none where settlement never told. now_ms: Unix time, by the clock they go by."""

    numbers: Mapping[str, int]
    now_ms: int

    def age_s(self, name: str) -> int:
        """Return how long ago a time was."""
        return max(0, self.now_ms - self.numbers[name]) // 1000


def from_redis(redis_url: str) -> Told:
    """Return what settlement told, by Redis' own clock. Raises OperatorError where Redis does not answer."""
    client = RedisClient(redis_url, TIMEOUT_MS)
    try:
        words = client.execute("HGETALL", keys.SETTLED)
        seconds, micros = client.execute("TIME")
    except StoreUnavailable as error:
        raise OperatorError(f"REDIS_URL: Redis does not answer: {error}") from error
    finally:
        client.close()
    numbers = {name.decode(): int(number) for name, number in zip(words[::2], words[1::2], strict=True)}
    return Told(numbers, int(seconds) * 1000 + int(micros) // 1000)


def from_node(answer: Mapping[str, Any]) -> Told:
    """Return what a node has read of it, by this machine's clock."""
    numbers = {name: int(number) for name, number in (answer["money"] or {}).items()}
    return Told(numbers, time.time_ns() // 1_000_000)


def alarms(told: Told) -> list[str]:
    """Return what is wrong, a sentence each."""
    if "at_ms" not in told.numbers:
        return ["the money was never compared: no `tandem settle` has run on this Redis"]
    found = []
    if told.age_s("at_ms") > STEP_OLD_S:
        found.append(f"the last comparison is {told.age_s('at_ms')} s old: does `tandem settle` run?")
    elif told.numbers.get("round_at_ms") and told.age_s("round_at_ms") > ROUND_OLD_S:
        found.append(f"no round over all funds ended for {told.age_s('round_at_ms')} s: are events being posted?")
    return found + [f"{told.numbers[name]} {what}" for name, what in _WRONG.items() if told.numbers.get(name)]


def lines(told: Told) -> dict[str, object]:
    """Return name -> value in words; a number of which no words are known keeps its name."""
    rows: dict[str, object] = {}
    for name, what in _TIMES.items():
        if name in told.numbers:
            rows[what] = f"{told.age_s(name)} s ago" if told.numbers[name] else "not yet"
    return rows | {_LINES.get(name, name): number for name, number in told.numbers.items() if name not in _TIMES}
