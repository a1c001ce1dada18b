"""Where Redis is: an address that never changes, or the master that sentinels name at this moment.

redis-py gives the URL forms (unix, tcp, TLS, ACL user), the handshake and the parser. Its own Sentinel class is left
out: it retries, keeps pools, and its time-outs add up to seconds.

Rule 1: who connects says until when; all that is asked on the way (sentinels, login, role) fits into that.
Rule 2: an address of a sentinel is good for one connection. Whoever loses it asks again.
Rule 3: a server that a sentinel names is believed only when it says itself that it is a master.
Rule 4: hosts should be IP addresses: a name is looked up at each connection, and that has no deadline.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol, cast
from urllib.parse import parse_qsl, unquote

from redis.connection import Connection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kemi.adapters.redis_url import RedisUrlError

SENTINEL_PORT: Final = 26_379
STEP_MIN_S: Final = 0.001
_SCHEME: Final = "sentinel://"
_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+))(?::([0-9]{1,5}))?")
_SERVICE: Final = re.compile(r"[A-Za-z0-9_.-]+")
_QUIET: Final = {"lib_name": None, "lib_version": None}  # no CLIENT SETINFO: two round trips and a permission

Argument = str | bytes | int
Reply = Any
"""What RESP can say: bytes, int, None, or a list of these."""
Seconds = Callable[[], float]
"""A clock that never steps, as time.monotonic."""


class NoMasterError(RedisConnectionError):
    """No sentinel names a master that says itself that it is one."""


class Wire(Protocol):
    """The part of a redis-py connection that is used."""

    def connect(self) -> None:
        """Connect and log in."""

    def disconnect(self) -> None:
        """Close the socket."""

    def pack_commands(self, commands: Sequence[Sequence[Argument]]) -> list[bytes]:
        """Return commands as they go over the wire."""

    def send_packed_command(self, command: list[bytes], check_health: bool = False) -> None:
        """Send what `pack_commands` returned."""

    def can_read(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for an answer; tell whether there is one. Raises where the other side left."""

    def read_response(self) -> Reply:
        """Return the next answer. Raises ResponseError for an error reply."""


class Place(Protocol):
    """Where a client connects to."""

    def connect(self, deadline: float, clock: Seconds) -> Wire:
        """Return a new connection, logged in. deadline: on `clock`. Raises RedisError or OSError."""


class FixedPlace:
    """One address: `unix://user:password@/path.sock`, `redis://user:password@host:port/0`, `rediss://…` with TLS."""

    def __init__(self, url: str) -> None:
        """Take the address without connecting. Raises ValueError for what is none of these."""
        self._options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]

    def connect(self, deadline: float, clock: Seconds) -> Wire:
        """Give half of the time to connecting and half to logging in, so that both fit into it."""
        return _opened(self._options, max((deadline - clock()) / 2, STEP_MIN_S))


class Address(NamedTuple):
    """A TCP address. host: without brackets."""

    host: str
    port: int


class SentinelUrl(NamedTuple):
    """What `sentinel://[user[:password]@]host:port[,host:port…]/service[?…]` says.

    server: how to log in at the servers. sentinel: how to log in at the sentinels (sentinel_user, sentinel_password),
    who have no part in the servers' users.
    """

    sentinels: tuple[Address, ...]
    service: str
    server: Mapping[str, Any]
    sentinel: Mapping[str, Any]


class SentinelPlace:
    """The master of a service, as the sentinels know it."""

    def __init__(self, url: SentinelUrl) -> None:
        self._url = url
        self._sentinels = deque(url.sentinels)

    def connect(self, deadline: float, clock: Seconds) -> Wire:
        """Ask the sentinels in turn, connect to the master that one names, and have it say that it is one.

        The sentinels get half of the time, together. Raises NoMasterError where none names one, or it denies it.
        """
        host, port = self._master(clock() + (deadline - clock()) / 2, clock)
        options = {**self._url.server, "host": host, "port": port}
        wire = _opened(options, max((deadline - clock()) / 2, STEP_MIN_S))
        try:
            role = _asked(wire, max(deadline - clock(), STEP_MIN_S), "ROLE")[0]
        except (RedisError, OSError):
            wire.disconnect()
            raise
        if role != b"master":
            wire.disconnect()
            raise NoMasterError(f"{host}:{port}, which a sentinel takes for the master, is a {role.decode()}")
        return wire

    def _master(self, deadline: float, clock: Seconds) -> Address:
        """Return where the master is. A sentinel that cannot say is asked last from now on."""
        share_s = (deadline - clock()) / 2
        why = "no time was left"
        for _ in self._url.sentinels:
            left_s = min(deadline - clock(), share_s)
            if left_s < STEP_MIN_S:
                break
            try:
                return self._told(self._sentinels[0], left_s)
            except (RedisError, OSError) as error:
                why = str(error)
                self._sentinels.rotate(-1)
        raise NoMasterError(f"no sentinel names the master of {self._url.service}: {why}")

    def _told(self, sentinel: Address, time_s: float) -> Address:
        with _open({**self._url.sentinel, **sentinel._asdict()}, time_s / 2) as wire:
            found = _asked(wire, time_s / 2, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._url.service)
        if found is None:
            raise NoMasterError(f"{sentinel.host}:{sentinel.port} knows no {self._url.service}")
        return Address(found[0].decode(), int(found[1]))


def place_of(url: str) -> Place:
    """Return the place that a REDIS_URL names. Raises RedisUrlError, which does not repeat it."""
    try:
        return SentinelPlace(parse_sentinel_url(url)) if url.startswith(_SCHEME) else FixedPlace(url)
    except ValueError:
        raise RedisUrlError(
            "REDIS_URL is neither redis://user:password@host nor unix://user:password@path nor "
            "sentinel://user:password@host:port,host:port/service"
        ) from None


def parse_sentinel_url(url: str) -> SentinelUrl:
    """Return what the URL says. Raises ValueError."""
    where, _, query = url.removeprefix(_SCHEME).partition("?")
    authority, _, service = where.rpartition("/")
    login, _, hosts = authority.rpartition("@")
    user, _, password = login.partition(":")
    options = dict(parse_qsl(query, strict_parsing=True)) if query else {}
    database = int(options.pop("db", "0"))
    own = _login(options.pop("sentinel_user", ""), options.pop("sentinel_password", ""))
    if options or not _SERVICE.fullmatch(service) or "/" in hosts or database < 0:
        raise ValueError("no sentinel URL")
    sentinels = tuple(_address(text) for text in hosts.split(","))
    return SentinelUrl(sentinels, service, {**_login(unquote(user), unquote(password)), "db": database}, own)


def _address(text: str) -> Address:
    match = _HOST.fullmatch(text)
    if not match or not 0 < int(match[3] or SENTINEL_PORT) < 2**16:
        raise ValueError("no address of a sentinel")
    return Address(match[1] or match[2], int(match[3] or SENTINEL_PORT))


def _login(user: str, password: str) -> dict[str, Any]:
    return {"username": user or None, "password": password or None}


def _opened(options: Mapping[str, Any], step_s: float) -> Wire:
    """Return a connection that has logged in. step_s: for connecting, and for each answer of the login."""
    rest = dict(options)
    make = rest.pop("connection_class", Connection)
    wire = cast("Wire", make(**rest, **_QUIET, socket_timeout=step_s, socket_connect_timeout=step_s))
    wire.connect()
    return wire


@contextmanager
def _open(options: Mapping[str, Any], step_s: float) -> Iterator[Wire]:
    wire = _opened(options, step_s)
    try:
        yield wire
    finally:
        wire.disconnect()


def _asked(wire: Wire, time_s: float, *words: Argument) -> Reply:
    wire.send_packed_command(wire.pack_commands([words]), check_health=False)
    if not wire.can_read(time_s):
        raise RedisTimeoutError(f"no answer to {words[0]!s}")
    return wire.read_response()


def is_refusal(error: Exception) -> bool:
    """Return whether there is nobody to talk to, which no further attempt has to confirm.

    redis-py hides the system's error behind its own.
    """
    refusals = (ConnectionRefusedError, FileNotFoundError)
    if isinstance(error, NoMasterError):
        return True
    return isinstance(error, RedisConnectionError) and isinstance(error.__context__, refusals)
