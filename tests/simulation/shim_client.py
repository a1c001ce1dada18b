"""`RedisClient` whose wire is a function: what our code sees of a simulated Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kemi.adapters.redis_client import Argument, FunctionFailed, RedisClient, Reply, StoreUnavailable
from tests.simulation.redis_shim import RedisShim

Commands = Sequence[Sequence[Argument]]
Exchange = Callable[[Commands], list[Reply | FunctionFailed]]


class ShimClient(RedisClient):
    """exchange: takes the commands of one round trip; returns the replies or raises StoreUnavailable."""

    def __init__(self, exchange: Exchange) -> None:
        self._carry = exchange
        self.round_trips = 0
        self.connections = 1

    @property
    def breaker_is_open(self) -> bool:
        """The simulator has no breaker: it would only make faults rarer."""
        return False

    def available(self) -> bool:
        """Every call is tried."""
        return True

    def desynced(self, what: str) -> StoreUnavailable:
        """Return the error of an answer that belonged to something else."""
        return StoreUnavailable(f"the answer is another call's: {what}", maybe_applied=True)

    def close(self) -> None:
        """Nothing is open."""

    def _exchange(self, commands: Commands) -> list[Reply | FunctionFailed]:
        self.round_trips += 1
        return self._carry(commands)


def direct(redis: RedisShim) -> ShimClient:
    """Return a client whose requests all arrive, at once and once."""
    return ShimClient(lambda commands: [redis.execute(words) for words in commands])
