"""What the agent's shell needs from outside, besides Kamailio: the clocks, Redis, who looks after Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from kemi.adapters import journal
from kemi.adapters.redis_client import Argument


class Clock(NamedTuple):
    """What time it is. monotonic_ns: CLOCK_MONOTONIC; unix_ns: the date. boot_id: of the machine; "" = not known."""

    monotonic_ns: Callable[[], int] = time.monotonic_ns
    unix_ns: Callable[[], int] = time.time_ns
    boot_id: str = ""


def this_machine() -> Clock:
    """Return the clock of this machine."""
    return Clock(boot_id=journal.this_boot())


class Store(Protocol):
    """What the agent needs of redis_client.RedisClient."""

    round_trips: int
    connections: int

    @property
    def breaker_is_open(self) -> bool:
        """Whether Redis counts as down."""

    def available(self) -> bool:
        """Tell whether a call would be tried now."""

    def execute(self, *words: Argument) -> Any:
        """Run one command. Raises StoreUnavailable."""

    def executes(self, commands: Sequence[Sequence[Argument]], /) -> list[Any]:
        """Run commands in one round trip. Raises StoreUnavailable."""

    def close(self) -> None:
        """Drop the connection."""


class Prober(Protocol):
    """What the agent needs of redis_probe.Probe."""

    def turn(self) -> Any:
        """Find out whether Redis answers, without waiting; return the answer to its question, if one has come."""

    def close(self) -> None:
        """Drop the connection."""
