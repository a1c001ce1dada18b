"""Who is killed when, and by how much the log of Redis is cut: from the seed alone, so a run can be asked for again."""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

CLIENT: Final = "client"
CONSUMER: Final = "consumer"
SYNC: Final = "sync"
REDIS: Final = "redis"
CUT: Final = "cut"
CUT_MS_MAX: Final = 2_000
FIRST, LAST = 0.05, 0.95  # of the operations: something stands before the first blow, and something follows the last


class Blow(NamedTuple):
    """One kill -9. at_ops: when so many operations were sent. cut_ms: what a cut takes.

    victim: which of its kind; with a death of Redis, which consumer dies too while Redis comes back, -1 = none.
    """

    at_ops: int
    kind: str
    victim: int = 0
    cut_ms: int = 0


def plan(seed: int, ops: int, clients: int, consumers: int) -> tuple[Blow, ...]:
    """Return the blows of a run in their order.

    Deaths of Redis are spread evenly, every second one with a cut: each needs a recovery that others may disturb.
    """
    rng = Random(f"blows {seed}")  # noqa: S311  a plan, no secret
    blows: list[Blow] = []
    deaths = _between(2, ops // 60_000, 14)
    for number in range(deaths):
        at_ops = int(ops * (FIRST + (LAST - FIRST) * (number + rng.uniform(0.2, 0.8)) / deaths))
        is_cut = number % 2 == 1
        cut_ms = rng.randint(0, CUT_MS_MAX) if is_cut else 0
        blows.append(Blow(at_ops, CUT if is_cut else REDIS, rng.randrange(-1, consumers), cut_ms))
    for kind, count, victims in (
        (CLIENT, _between(3, ops // 20_000, 60), clients),
        (CONSUMER, _between(2, ops // 40_000, 30), consumers),
        (SYNC, _between(1, ops // 80_000, 15), 1),
    ):
        blows += [Blow(int(ops * rng.uniform(FIRST, LAST)), kind, rng.randrange(victims)) for _ in range(count)]
    return tuple(sorted(blows))


def _between(low: int, wanted: int, high: int) -> int:
    return max(low, min(wanted, high))
