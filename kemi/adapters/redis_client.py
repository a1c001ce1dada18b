"""One connection to Redis per process, with a deadline on everything and a circuit breaker in front.

Rule 1: nothing is ever sent twice. A time-out means "unknown", and only the caller knows its operation id.
Rule 2: after any error the connection is dropped: what it would say next may be the answer to something else.
Rule 3: while the breaker is open the answer is immediate, so a dead Redis costs a SIP worker nothing.
Rule 4: no thread, no signal; a child after fork connects anew and never touches its parent's socket.

Where Redis is, and which of several is the master, is redis_place's matter: a connection that is dropped is looked for
anew. redis-py's client class is left out, because its pool, retries and per-call overhead are what rules 1 and 2 forbid
or do without.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple, Protocol

from redis.exceptions import BusyLoadingError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kemi.adapters.redis_place import Argument, Reply, Seconds, Wire, is_refusal, place_of
from kemi.adapters.redis_url import RedisUrlError

__all__ = [
    "Argument",
    "Breaker",
    "BreakerLike",
    "Failure",
    "Fcall",
    "Flag",
    "FunctionFailed",
    "NodeBreaker",
    "RedisClient",
    "RedisUrlError",
    "Reply",
    "StoreUnavailable",
]

FAILURES_MAX: Final = 3
PROBE_EVERY_S: Final = 0.25


class StoreUnavailable(Exception):  # noqa: N818  it says what is, not that something went wrong here
    """Redis gave no usable answer. maybe_applied: it may have done what was asked all the same."""

    def __init__(self, message: str, *, maybe_applied: bool) -> None:
        super().__init__(message)
        self.maybe_applied = maybe_applied


class FunctionFailed(StoreUnavailable):
    """Redis answered with an error reply. text: that reply, e.g. "FENCED by 7" or a permission it missed."""

    def __init__(self, text: str) -> None:
        super().__init__(text, maybe_applied=False)
        self.text = text

    @property
    def is_bug(self) -> bool:
        """Whether a function of ours broke on what it met, rather than Redis refusing to work: no use to repeat it."""
        return self.text.startswith(("user_function:", "WRONGTYPE"))


class Fcall(NamedTuple):
    """One call of a function: its name, the keys it declares, its arguments."""

    name: str
    keys: tuple[str, ...]
    args: tuple[Argument, ...]

    def words(self, verb: str = "FCALL") -> tuple[Argument, ...]:
        """Return the command as Redis reads it. verb: FCALL, or FCALL_RO for a function that only reads."""
        return (verb, self.name, len(self.keys), *self.keys, *self.args)


class Failure(Enum):
    """What a failed call says about Redis."""

    REFUSED = "nobody listens there, or nobody who is a master"
    STALLED = "no answer in the whole time"
    BROKEN = "a connection broke, or gave another call's answer"


class BreakerLike(Protocol):
    """What a client asks before it tries, and tells afterwards."""

    @property
    def is_open(self) -> bool:
        """Whether the last that was heard of Redis is bad."""

    @property
    def outage(self) -> str:
        """Name the last outage: a connection from before it is not used again."""

    def would_pass(self) -> bool:
        """Return whether a call would be let through now."""

    def succeeded(self) -> None:
        """Hear that Redis answered."""

    def failed(self, what: Failure) -> None:
        """Hear of a failure."""


class Breaker:
    """Of one process: opens after FAILURES_MAX failures in a row, or one refusal; then a probe each PROBE_EVERY_S.

    The probe is the next call that comes: it waits at most its own time-out.
    """

    def __init__(self, clock: Seconds) -> None:
        self._clock = clock
        self._failures = 0
        self._probe_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the last that was heard of Redis is bad."""
        return self._probe_at is not None

    @property
    def outage(self) -> str:
        """Return always the same: the only connection was dropped by the call that found the outage."""
        return ""

    def would_pass(self) -> bool:
        """Return whether a call would be let through now: closed, or a probe is due."""
        return self._probe_at is None or self._clock() >= self._probe_at

    def succeeded(self) -> None:
        """Close: Redis answered."""
        self._failures = 0
        self._probe_at = None

    def failed(self, what: Failure) -> None:
        """Count a failure. A refusal has not to be confirmed."""
        self._failures += 1
        if what is Failure.REFUSED or self._failures >= FAILURES_MAX or self.is_open:
            self._probe_at = self._clock() + PROBE_EVERY_S


class Flag(Protocol):
    """Says to all processes of a node that Redis is down. It goes by itself after some seconds, or is cleared."""

    def is_set(self) -> bool:
        """Return whether Redis counts as down."""

    def set(self) -> None:
        """Say that Redis is down, for some seconds from now."""

    def outage(self) -> str:
        """Return a text that is another one after each outage."""

    def clear(self) -> None:
        """Say that Redis is up."""


class NodeBreaker:
    """Of all processes of a node: what one of them has found out, no other one waits for.

    One refusal or one stalled call opens it: the node's prober (redis_probe) looks again within a twentieth of a
    second, so a false alarm costs less than a second stalled call would. It alone closes it.
    """

    def __init__(self, flag: Flag) -> None:
        self._flag = flag
        self._broken = 0

    @property
    def is_open(self) -> bool:
        """Whether Redis counts as down on this node."""
        return self._flag.is_set()

    @property
    def outage(self) -> str:
        """Name the last outage. Somebody else may have found it, and another server may be the master since."""
        return self._flag.outage()

    def would_pass(self) -> bool:
        """Return whether Redis counts as up."""
        return not self._flag.is_set()

    def succeeded(self) -> None:
        """Forget connections that broke. What others have found out stands."""
        self._broken = 0

    def failed(self, what: Failure) -> None:
        """Open, unless it was a connection that broke: that says nothing of the next one, unless it happens again."""
        self._broken += 1
        if what is not Failure.BROKEN or self._broken >= FAILURES_MAX:
            self._broken = 0
            self._flag.set()


class RedisClient:
    """Calls functions and reads. All methods raise StoreUnavailable; none takes longer than about `timeout_ms`.

    url: as redis_place reads it: `unix://user:password@/path.sock`, `redis://user:password@host:port/0`, `rediss://…`,
    `sentinel://user:password@host:port,host:port/service`. timeout_ms: for the whole call, connecting included.
    breaker: one that other processes share; else it has its own. wait_replicas: how many replicas must have what
    `fcall` and `fcalls` wrote before it counts as done; they get half of the time.
    round_trips: exchanges that were answered or waited for; handshakes are not counted. connections: how many were
    made; behind another one may be another Redis.
    """

    _wait: tuple[str, int, int] | None = None

    def __init__(
        self,
        url: str,
        timeout_ms: int,
        clock: Seconds = time.monotonic,
        breaker: BreakerLike | None = None,
        wait_replicas: int = 0,
    ) -> None:
        """Take where Redis is, without connecting. Raises RedisUrlError, which does not repeat the URL."""
        self._place = place_of(url)
        self._timeout_s = timeout_ms / 1000
        self._clock = clock
        self._shared_breaker = breaker
        if wait_replicas:
            self._wait = ("WAIT", wait_replicas, max(timeout_ms // 2, 1))
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._wire: Wire | None = None
        self._outage = ""
        self._breaker: BreakerLike = self._shared_breaker or Breaker(self._clock)
        self.round_trips = 0
        self.connections = 0

    @property
    def breaker_is_open(self) -> bool:
        """Whether Redis counts as down, for the NOC."""
        return self._breaker.is_open

    def available(self) -> bool:
        """Return whether a call would be tried now. False: it would fail at once."""
        self._notice_fork()
        return self._breaker.would_pass()

    def fcall(self, name: str, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
        """Call a function. Raises FunctionFailed where it answers with an error."""
        return _raised(self.fcalls([Fcall(name, tuple(keys), tuple(args))])[0])

    def fcall_ro(self, name: str, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
        """Call a function that is registered as reading only; keys need read rights only."""
        return _raised(self._exchange([Fcall(name, tuple(keys), tuple(args)).words("FCALL_RO")])[0])

    def fcalls(self, calls: Sequence[Fcall]) -> list[Reply | FunctionFailed]:
        """Call functions in order in one round trip. An error reply takes the place of that call's answer.

        Raises StoreUnavailable (maybe_applied) where fewer replicas than asked for say in time that they have it.
        """
        if not calls:
            return []
        commands: list[Sequence[Argument]] = [call.words() for call in calls]
        if self._wait is None:
            return self._exchange(commands)
        *replies, copies = self._exchange([*commands, self._wait])
        if isinstance(copies, FunctionFailed):
            raise StoreUnavailable(f"WAIT: {copies.text}", maybe_applied=True)
        if copies < self._wait[1]:
            raise StoreUnavailable(f"{copies} of {self._wait[1]} replicas have it", maybe_applied=True)
        return replies

    def execute(self, *words: Argument) -> Reply:
        """Run one command, e.g. `execute("MGET", key, key)`. Raises FunctionFailed for an error reply."""
        return _raised(self._exchange([words])[0])

    def executes(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        """Run commands in order in one round trip. Raises FunctionFailed for the first error reply, all being done."""
        return [_raised(reply) for reply in self._exchange(commands)]

    def desynced(self, what: str) -> StoreUnavailable:
        """Drop the connection whose answer belonged to something else; returns the error to raise."""
        self.close()
        self._breaker.failed(Failure.BROKEN)
        return StoreUnavailable(f"the answer is another call's: {what}", maybe_applied=True)

    def close(self) -> None:
        """Drop the connection; the next call connects anew."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.disconnect()

    def _notice_fork(self) -> None:
        if self._pid != os.getpid():
            self.close()  # redis-py only closes its descriptor in a child, it does not shut the parent's socket down
            self._start()

    def _exchange(self, commands: Sequence[Sequence[Argument]]) -> list[Reply | FunctionFailed]:
        self._notice_fork()
        if not self._breaker.would_pass():
            raise StoreUnavailable("Redis counts as down", maybe_applied=False)
        deadline = self._clock() + self._timeout_s
        sent = False
        try:
            wire = self._connected(deadline)
            packed = wire.pack_commands(commands)
            sent = True
            self.round_trips += 1
            wire.send_packed_command(packed, check_health=False)
            replies = [self._read(wire, deadline) for _ in commands]
        except (RedisError, OSError) as error:
            self.close()
            self._breaker.failed(_failure(error, sent=sent))
            raise StoreUnavailable(f"{type(error).__name__}: {error}", maybe_applied=sent) from error
        except BaseException:
            self.close()
            raise
        self._breaker.succeeded()
        if any(isinstance(reply, FunctionFailed) for reply in replies):
            self.close()  # it may be the wrong one to ask: a replica, or a master that may not write
        return replies

    def _connected(self, deadline: float) -> Wire:
        """Return the connection.

        One that Redis closed while it was idle (restart, failover, timeout) is replaced first: nothing was sent on it.
        So is one from before an outage: a frozen master that goes on does not know yet that it was replaced.
        """
        outage = self._breaker.outage
        if self._wire is not None and (outage != self._outage or _is_stale(self._wire)):
            self.close()
        if self._wire is None:
            self._wire = self._place.connect(deadline, self._clock)
            self.connections += 1
            self._outage = outage
        return self._wire

    def _read(self, wire: Wire, deadline: float) -> Reply | FunctionFailed:
        if not wire.can_read(max(deadline - self._clock(), 0.001)):
            raise RedisTimeoutError(f"no answer in {self._timeout_s * 1000:.0f} ms")
        try:
            return wire.read_response()
        except (ResponseError, BusyLoadingError) as error:
            return FunctionFailed(f"{error}")


def _failure(error: Exception, *, sent: bool) -> Failure:
    if not sent and is_refusal(error):
        return Failure.REFUSED
    return Failure.STALLED if isinstance(error, RedisTimeoutError | TimeoutError) else Failure.BROKEN


def _is_stale(wire: Wire) -> bool:
    """Return whether an idle connection has ended, or has an answer that nobody waits for."""
    try:
        return wire.can_read(0)
    except (RedisError, OSError):
        return True


def _raised(reply: Reply | FunctionFailed) -> Reply:
    if isinstance(reply, FunctionFailed):
        raise reply
    return reply
