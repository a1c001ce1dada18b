"""A Redis as a prober sees it, that stalls and goes as a test wants, and the flag that a node's processes share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kemi.adapters.redis_place import Argument, Reply, Seconds


class FakeFlag:
    """redis_client.Flag without shared memory. clock: in seconds."""

    LIFE_S: Final = 2.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = 0.0
        self._outages = 0

    def is_set(self) -> bool:
        """Return whether it is set and has not gone."""
        return self._clock() < self._until

    def outage(self) -> str:
        """Return how many outages there were."""
        return str(self._outages)

    def set(self) -> None:
        """Set it for LIFE_S."""
        self._outages += not self.is_set()
        self._until = self._clock() + self.LIFE_S

    def clear(self) -> None:
        """Take it away."""
        self._until = 0.0


class FakeWire:
    """A connection to a FakePlace. It answers what was sent as soon as nothing holds it up."""

    def __init__(self, place: FakePlace) -> None:
        self._place = place
        self._waiting = 0

    def connect(self) -> None:
        """Do nothing: `FakePlace.connect` has."""

    def disconnect(self) -> None:
        """Forget what waits."""
        self._waiting = 0

    def pack_commands(self, commands: Sequence[Sequence[Argument]]) -> list[bytes]:
        """Return one byte a command."""
        return [b"." for _ in commands]

    def send_packed_command(self, command: list[bytes], check_health: bool = False) -> None:
        """Take commands. Raises where nobody listens any more."""
        assert not check_health
        self._place.refuse()
        self._waiting += len(command)

    def can_read(self, timeout: float) -> bool:
        """Tell whether an answer is there; a prober never waits for one."""
        assert timeout == 0
        self._place.refuse()
        return self._waiting > 0 and not self._place.stalled

    def read_response(self) -> Reply:
        """Answer one command."""
        self._waiting -= 1
        if self._place.error:
            raise ResponseError(self._place.error)
        return b"PONG"


class FakePlace:
    """stalled: connections get no answer. gone: nobody listens. error: what it answers with instead of PONG."""

    def __init__(self) -> None:
        self.stalled = False
        self.gone = False
        self.error = ""
        self.connects = 0

    def connect(self, deadline: float, clock: Seconds) -> FakeWire:
        """Log in."""
        assert clock() < deadline
        self.refuse()
        self.connects += 1
        if self.stalled:
            raise RedisTimeoutError("no answer to the login")
        return FakeWire(self)

    def refuse(self) -> None:
        """Raise where nobody listens."""
        if self.gone:
            raise RedisConnectionError("refused")
