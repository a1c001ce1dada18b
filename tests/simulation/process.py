"""A process of the simulated world, and the network between it and the stores: where everything goes wrong.

At each request other processes may run first, so nothing is atomic that goes over the network twice. A request may be
lost, answered into the void, cut in the middle of its pipeline, executed twice, or long after its sender gave up.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import psycopg

from kemi.adapters.redis_client import FunctionFailed, Reply, StoreUnavailable
from tests.simulation.shim_client import Commands

T = TypeVar("T")
LATE_US: Final = 300_000_000  # how long a request may wander about: far less than a tombstone stands


class Killed(BaseException):
    """The process was killed at this point. Nobody in our code catches it."""


class Late(NamedTuple):
    """A request that is still on its way. until_us: when it is lost for good."""

    commands: Commands
    until_us: int


class Rates(NamedTuple):
    """Per request: chances of faults, and of others running in between. unmarked: that an arming is not committed."""

    lost: float = 0.015
    late: float = 0.01
    answer_lost: float = 0.0155
    cut: float = 0.005
    twice: float = 0.02
    unmarked: float = 0.3
    interleave: float = 0.1
    killed: float = 0.002


NO_FAULTS: Final = Rates(0, 0, 0, 0, 0, 0, 0, 0)
OPERATIONS: Final = frozenset(
    f"tandem_{name}_1" for name in ("reserve", "answer", "adopt", "extend", "part", "settle", "release", "note", "late")
)


class Surroundings(Protocol):
    """What a process needs of the world."""

    rng: random.Random
    rates: Rates
    late: list[Late]
    now_us: int
    first_nodes: set[str]
    pins: dict[str, Any]
    talks_on: float

    def redis_generation(self, process: Process) -> int:
        """Return which process of Redis answers; 0 = none."""

    def redis(self, commands: Commands, process: Process | None = None) -> list[Reply | FunctionFailed]:
        """Execute commands now, where `process` thinks that Redis is."""

    def hang_up(self, rid: str) -> None:
        """Let the phones of a call hear a BYE."""

    def interleave(self) -> None:
        """Let others run while a process waits."""


class Process:
    """Somebody who talks to the stores. dead: it must be started again."""

    def __init__(self, world: Surroundings, name: str) -> None:
        self.world = world
        self.name = name
        self.dead = False

    @property
    def machine(self) -> str:
        """The machine that it runs on."""
        return self.name.partition(" ")[0]

    def kill(self) -> None:
        """Let the process die where it stands."""
        self.dead = True

    def exchange(self, commands: Commands) -> list[Reply | FunctionFailed]:
        """Carry one round trip to Redis and back. Raises StoreUnavailable, Killed."""
        world, rng = self.world, self.world.rng
        generation = world.redis_generation(self)
        self.pause()
        if not generation or generation != world.redis_generation(self):
            raise StoreUnavailable("connection refused or reset", maybe_applied=False)
        fate = rng.random()
        for chance, cause in ((world.rates.lost, "lost"), (world.rates.late, "late"), (world.rates.cut, "cut")):
            fate -= chance
            if fate < 0:
                return self._fail(commands, cause)
        replies = world.redis(commands, self)
        if rng.random() < world.rates.twice:
            world.redis([words for words in commands if words[0] == "FCALL" and words[1] in OPERATIONS], self)
        if rng.random() < world.rates.answer_lost:
            raise StoreUnavailable("no answer", maybe_applied=True)
        self.pause()
        return replies

    def transact(self, work: Callable[[], T]) -> T:
        """Run one transaction of Postgres. Raises psycopg.OperationalError, also after the commit; Killed."""
        self.pause()
        rng, rates = self.world.rng, self.world.rates
        if rng.random() < rates.lost:
            raise psycopg.OperationalError("connection lost before")
        done = work()
        if rng.random() < rates.answer_lost:
            raise psycopg.OperationalError("connection lost after")
        self.pause()
        return done

    def commit(self) -> None:
        """Commit what opened Redis. Raises psycopg.OperationalError: Redis stays open, and nobody has marked it."""
        if self.world.rng.random() < self.world.rates.unmarked:
            raise psycopg.OperationalError("connection lost at the commit")

    def pause(self) -> None:
        """Let others run. Raises Killed where this process did not survive it."""
        rng, rates = self.world.rng, self.world.rates
        if rng.random() < rates.interleave:
            self.world.interleave()
        if rng.random() < rates.killed:
            self.kill()
        if self.dead:
            raise Killed(self.name)

    def _fail(self, commands: Commands, cause: str) -> list[Reply | FunctionFailed]:
        world = self.world
        if cause == "late":
            world.late.append(Late(commands, world.now_us + LATE_US))
        elif cause == "cut":
            world.redis(commands[: world.rng.randrange(len(commands))], self)
        raise StoreUnavailable(f"time-out: {cause}", maybe_applied=True)
