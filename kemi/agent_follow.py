"""How Redis and its money are, as the agent hears it each turn, and how the agent says that its node lives.

Rule 1: the question of every turn rides on the prober's connection, which nobody waits for. Only where no prober has
answered the agent asks by itself.
Rule 2: the sign of life and all that is read beside it are one round trip after the one that asks for the time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from kemi import keys
from kemi.adapters import redis_sync
from kemi.agent_ports import Store

QUESTION: Final = ("MGET", keys.PASS, keys.EPOCH, keys.BUILDING, keys.MEASURED)
WHOLE: Final = re.compile(rb"-?[0-9]{1,18}")
MICROS_PER_MS: Final = 1_000


class Standing(NamedTuple):
    """config_pass: version of the configuration. epoch: that Redis is armed for; building: that is built; 0 = none.

    measured: version of what the NOC orders, 0 = nothing.
    """

    config_pass: int
    epoch: int
    building: int
    measured: int


class Beat(NamedTuple):
    """What a sign of life was answered. nodes: name -> when last heard of, in Redis ms. money, sync: for the NOC.

    now_ms: Redis' time.
    """

    nodes: Mapping[str, int]
    money: Mapping[str, int]
    sync: Mapping[str, object]
    now_ms: int


def standing(numbers: Sequence[bytes | None]) -> Standing:
    """Return what QUESTION was answered. Raises ValueError where that is something else."""
    config_pass, epoch, building, measured = (int(number or 0) for number in numbers)
    return Standing(config_pass, epoch, building, measured)


def redis_ms(time: Sequence[Any]) -> int:
    """Return what TIME was answered as milliseconds."""
    seconds, micros = time
    return int(seconds) * 1000 + int(micros) // MICROS_PER_MS


def beat(client: Store, node: str, opseq: int) -> Beat:
    """Tell the cell that the node lives, and which operation was answered to it. Raises StoreUnavailable."""
    now_ms = redis_ms(client.execute("TIME"))
    *_, nodes, settled, synced = client.executes(
        (
            ("HSET", keys.SEEN, node, opseq),
            ("HSET", keys.NODES, node, now_ms),
            ("HGETALL", keys.NODES),
            ("HGETALL", keys.SETTLED),
            redis_sync.QUESTION,
        )
    )
    return Beat(_numbers(nodes), _numbers(settled), redis_sync.told(synced, now_ms), now_ms)


def _numbers(flat: Sequence[bytes]) -> dict[str, int]:
    """Return a hash of whole numbers; what is none is left out."""
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return {name.decode(): int(value) for name, value in pairs if WHOLE.fullmatch(value)}
