"""One connection to Redis per process, with a deadline on everything and a circuit breaker in front.

Rule 1: nothing is ever sent twice. A time-out means "unknown", and only the caller knows its operation id.
Rule 2: after any error the connection is dropped: what it would say next may be the answer to something else.
Rule 3: while the breaker is open the answer is immediate, so a dead Redis costs a SIP worker nothing.
Rule 4: no thread, no signal; a child after fork connects anew and never touches its parent's socket.

redis-py gives the URL forms (unix, tcp, TLS, ACL user), the handshake and the parser; its client class is left out,
because its pool, retries and per-call overhead are what rules 1 and 2 forbid or do without.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol, cast

from redis.connection import Connection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

FAILURES_MAX: Final = 3
PROBE_EVERY_S: Final = 1.0
REFUSALS: Final = (ConnectionRefusedError, FileNotFoundError)

Argument = str | bytes | int
Reply = Any
"""What RESP can say: bytes, int, None, or a list of these."""


class RedisUrlError(ValueError):
    """The address of Redis cannot be read; it may hold a password, so the message does not show it."""


class StoreUnavailable(Exception):  # noqa: N818  the name that the rooms agreed on
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


class _Wire(Protocol):
    """The part of a redis-py connection that is used."""

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def pack_commands(self, commands: Sequence[Sequence[Argument]]) -> list[bytes]: ...
    def send_packed_command(self, command: list[bytes], check_health: bool = ...) -> None: ...
    def can_read(self, timeout: float) -> bool: ...
    def read_response(self) -> Reply: ...


class Breaker:
    """Opens after FAILURES_MAX failures in a row, or one refused connection; then one probe per PROBE_EVERY_S.

    The probe is the next call that comes: it waits at most its own time-out.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._probe_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the last that was heard of Redis is bad."""
        return self._probe_at is not None

    def would_pass(self) -> bool:
        """Return whether a call would be let through now: closed, or a probe is due."""
        return self._probe_at is None or self._clock() >= self._probe_at

    def succeeded(self) -> None:
        """Close: Redis answered."""
        self._failures = 0
        self._probe_at = None

    def failed(self, *, refused: bool) -> None:
        """Count a failure. refused: nobody listens, which no further attempt has to confirm."""
        self._failures += 1
        if refused or self._failures >= FAILURES_MAX or self.is_open:
            self._probe_at = self._clock() + PROBE_EVERY_S


class RedisClient:
    """Calls functions and reads. All methods raise StoreUnavailable; none takes longer than about `timeout_ms`.

    url: `unix://user:password@/path.sock`, `redis://user:password@host:port/0`. timeout_ms: for the whole call,
    connecting included. round_trips: exchanges that were answered or waited for; handshakes are not counted.
    """

    def __init__(self, url: str, timeout_ms: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Take where Redis is, without connecting. Raises RedisUrlError, which does not repeat the URL."""
        try:
            self._options = parse_url(url)  # type: ignore[no-untyped-call]
        except ValueError:
            raise RedisUrlError(
                "REDIS_URL is neither redis://user:password@host nor unix://user:password@path"
            ) from None
        self._timeout_s = timeout_ms / 1000
        self._clock = clock
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._wire: _Wire | None = None
        self._breaker = Breaker(self._clock)
        self.round_trips = 0

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
        return _raised(self._exchange([Fcall(name, tuple(keys), tuple(args)).words()])[0])

    def fcall_ro(self, name: str, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
        """Call a function that is registered as reading only; a replica may answer, keys need read rights only."""
        return _raised(self._exchange([Fcall(name, tuple(keys), tuple(args)).words("FCALL_RO")])[0])

    def fcalls(self, calls: Sequence[Fcall]) -> list[Reply | FunctionFailed]:
        """Call functions in order in one round trip. An error reply takes the place of that call's answer."""
        return self._exchange([call.words() for call in calls]) if calls else []

    def execute(self, *words: Argument) -> Reply:
        """Run one command, e.g. `execute("MGET", key, key)`. Raises FunctionFailed for an error reply."""
        return _raised(self._exchange([words])[0])

    def desynced(self, what: str) -> StoreUnavailable:
        """Drop the connection whose answer belonged to something else; returns the error to raise."""
        self.close()
        self._breaker.failed(refused=False)
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
            wire = self._connected()
            packed = wire.pack_commands(commands)
            sent = True
            self.round_trips += 1
            wire.send_packed_command(packed, check_health=False)
            replies = [self._read(wire, deadline) for _ in commands]
        except (RedisError, OSError) as error:
            self.close()
            self._breaker.failed(refused=not sent and _is_refusal(error))
            raise StoreUnavailable(f"{type(error).__name__}: {error}", maybe_applied=sent) from error
        except BaseException:
            self.close()
            raise
        self._breaker.succeeded()
        if any(isinstance(reply, FunctionFailed) for reply in replies):
            self.close()
        return replies

    def _connected(self) -> _Wire:
        """Return the connection. Connecting and logging in get half the time each, so that both fit into it.

        One that Redis closed while it was idle (restart, failover, timeout) is replaced first: nothing was sent on it.
        """
        if self._wire is not None and _is_stale(self._wire):
            self.close()
        if self._wire is None:
            options = dict(self._options)
            make = options.pop("connection_class", Connection)
            half_s = self._timeout_s / 2
            quiet = {"lib_name": None, "lib_version": None}  # no CLIENT SETINFO: two round trips and a permission
            wire = cast("_Wire", make(**options, **quiet, socket_timeout=half_s, socket_connect_timeout=half_s))
            wire.connect()
            self._wire = wire
        return self._wire

    def _read(self, wire: _Wire, deadline: float) -> Reply | FunctionFailed:
        if not wire.can_read(max(deadline - self._clock(), 0.001)):
            raise RedisTimeoutError(f"no answer in {self._timeout_s * 1000:.0f} ms")
        try:
            return wire.read_response()
        except ResponseError as error:
            return FunctionFailed(f"{error}")


def _is_stale(wire: _Wire) -> bool:
    """Return whether an idle connection has ended, or has an answer that nobody waits for."""
    try:
        return wire.can_read(0)
    except (RedisError, OSError):
        return True


def _raised(reply: Reply | FunctionFailed) -> Reply:
    if isinstance(reply, FunctionFailed):
        raise reply
    return reply


def _is_refusal(error: Exception) -> bool:
    """Return whether nobody listens there. redis-py hides the system's error behind its own."""
    return isinstance(error, RedisConnectionError) and isinstance(error.__context__, REFUSALS)
