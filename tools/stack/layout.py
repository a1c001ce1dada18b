"""Where the private stack keeps its things, and on which addresses it listens.

Everything lies below one directory (RUN_DIR, `.run` unless set), so that two stacks never meet.
"""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tools.errors import OperatorError

PROJECT = Path(__file__).resolve().parents[2]
LISTEN_DEFAULT = "127.0.0.1:5060"
NODES_MAX = 2
REPLICAS_MAX = 2
SENTINELS = 3
"""A majority of them decides; it must not be one machine."""
PORT_MAX = 65_535
LOOPBACK = "127.0.0.1"
LOOPBACK6 = "::1"
OFF = "off"
CTL_NAME = "ctl.sock"
PG_SOCKET_NAME = ".s.PGSQL.5432"
REDIS_SOCKET_NAME = "redis.sock"
_ABOVE_SIP = 1000
_RELAY_ABOVE_SIP = 5
_MEMBERS_PORTS = 5
"""So many ports are kept for Redis servers; those of the sentinels come after them."""


class Address(NamedTuple):
    """Where SIP listens, UDP and TCP. host: an IP address, IPv6 without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return `host:port`, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Node(NamedTuple):
    """One Kamailio. name: `n1`, `n2`. home: its run-time directory. address6: where it listens too, if anywhere.

    metrics: where Prometheus reads it, None = nowhere.
    """

    name: str
    address: Address
    home: Path
    address6: Address | None = None
    metrics: Address | None = None

    @property
    def part(self) -> str:
        """Return the name of its process: the first node is plainly `kamailio`."""
        return "kamailio" if self.name == "n1" else f"kamailio-{self.name}"

    @property
    def ctl(self) -> Path:
        """Return the socket of kamcmd."""
        return self.home / CTL_NAME

    @property
    def spool(self) -> Path:
        """Return the directory where the node agent keeps what Redis does not take."""
        return self.home / "spool"

    @property
    def pid_file(self) -> Path:
        """Return the file that Kamailio writes and, left behind, trips over."""
        return self.home / "kamailio.pid"


class Server(NamedTuple):
    """One Redis server or sentinel. name: of its process. address: on TCP, used only where there are replicas."""

    name: str
    address: Address
    home: Path

    @property
    def socket(self) -> Path:
        """Return its unix socket."""
        return self.home / REDIS_SOCKET_NAME

    @property
    def file(self) -> Path:
        """Return its configuration."""
        return self.home / "redis.conf"


BESIDE = Address("", 0)
"""Stands for the loopback address of IPv6 with the ports of a loopback address of IPv4, if the machine has one."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The stack's directory and addresses. run_dir: absolute. nodes_n: how many Kamailios, 1…2.

    listen6: an address of IPv6 to listen on besides, None = there is none. replicas_n: how many Redis servers beside
    the first, 0…2; with any there are three sentinels, too. redis_port: the first of ten ports on 127.0.0.1 for those,
    0 = a thousand above that of SIP. has_relay: whether there is a relay of sound. metrics_port: on 127.0.0.1, where
    Prometheus reads the first node, the next port the second; 0 = nowhere.
    """

    run_dir: Path
    listen: Address
    nodes_n: int = 1
    listen6: Address | None = BESIDE
    replicas_n: int = 0
    redis_port: int = 0
    has_relay: bool = False
    metrics_port: int = 0

    @staticmethod
    def from_environment(env: Mapping[str, str]) -> Layout:
        """Return the layout that RUN_DIR and TANDEM_LISTEN, _LISTEN6, _NODES, _REPLICAS, _METRICS and others describe.

        Raises OperatorError that names the variable and what it may be.
        """
        run_dir = Path(env["RUN_DIR"]).absolute() if env.get("RUN_DIR") else PROJECT / ".run"
        nodes_n = _number(env, "TANDEM_NODES", 1, 1, NODES_MAX)
        replicas_n = _number(env, "TANDEM_REPLICAS", 0, 0, REPLICAS_MAX)
        redis_port = _number(env, "TANDEM_REDIS_PORT", 0, 0, PORT_MAX - 2 * _MEMBERS_PORTS)
        listen = parse_address(env.get("TANDEM_LISTEN") or LISTEN_DEFAULT)
        listen6 = _listen6(env.get("TANDEM_LISTEN6") or "")
        has_relay = _number(env, "TANDEM_RTPENGINE", 0, 0, 1) == 1
        metrics_port = _number(env, "TANDEM_METRICS", 0, 0, PORT_MAX - NODES_MAX)
        return Layout(run_dir, listen, nodes_n, listen6, replicas_n, redis_port, has_relay, metrics_port)

    @property
    def listen6_setting(self) -> str:
        """Return TANDEM_LISTEN6 of this layout."""
        return OFF if self.listen6 is None else "" if self.listen6 == BESIDE else str(self.listen6)

    @property
    def pg_data(self) -> Path:
        """Return the data directory of Postgres."""
        return self.run_dir / "pg"

    @property
    def pg_socket_dir(self) -> Path:
        """Return the directory of the only socket on which Postgres listens."""
        return self.run_dir / "pg-socket"

    @property
    def redis_dir(self) -> Path:
        """Return the directory of Redis: configuration, append-only file, socket."""
        return self.run_dir / "redis"

    @property
    def redis_socket(self) -> Path:
        """Return the socket of the first Redis, the only one unless there are replicas."""
        return self.redis_dir / REDIS_SOCKET_NAME

    @property
    def redis_servers(self) -> tuple[Server, ...]:
        """Return the Redis servers: `redis`, then the others by the name of what they are at first."""
        names = ("redis", "redis-replica", "redis-replica-2")[: self.replicas_n + 1]
        return tuple(self._server(name, n) for n, name in enumerate(names))

    @property
    def sentinels(self) -> tuple[Server, ...]:
        """Return the sentinels; none without a replica."""
        numbers = range(SENTINELS if self.replicas_n else 0)
        return tuple(self._server(f"sentinel-{n + 1}", _MEMBERS_PORTS + n) for n in numbers)

    def _server(self, name: str, n: int) -> Server:
        above = _ABOVE_SIP if self.listen.port + _ABOVE_SIP + 2 * _MEMBERS_PORTS < PORT_MAX else -_ABOVE_SIP
        first = self.redis_port or self.listen.port + above
        return Server(name, Address(LOOPBACK, first + n), self.run_dir / name)

    @property
    def relay(self) -> Address | None:
        """Return where the relay of sound takes commands, None = there is none."""
        return Address(LOOPBACK, self.listen.port + _RELAY_ABOVE_SIP) if self.has_relay else None

    @property
    def away_dir(self) -> Path:
        """Return the directory with an empty file for each process that is not started again when it dies."""
        return self.run_dir / "away"

    @property
    def log_dir(self) -> Path:
        """Return the directory with one log file per process."""
        return self.run_dir / "log"

    @property
    def state_file(self) -> Path:
        """Return the file in which the supervisor says which processes are its own."""
        return self.run_dir / "state.json"

    @property
    def env_file(self) -> Path:
        """Return the file that lets outside programs join; present while the stack is up."""
        return self.run_dir / "env"

    @property
    def lock_file(self) -> Path:
        """Return the file whose lock the supervisor holds as long as it lives."""
        return self.run_dir / "lock"

    @property
    def secret_file(self) -> Path:
        """Return the file with the cell's secret."""
        return self.run_dir / "secret"

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Return the Kamailios, on consecutive ports."""
        return tuple(self._node(n) for n in range(1, self.nodes_n + 1))

    def _node(self, n: int) -> Node:
        first6 = self.listen6
        if first6 == BESIDE:
            is_local = self.listen.host.startswith("127.") and has_ipv6()
            first6 = Address(LOOPBACK6, self.listen.port) if is_local else None
        own6 = Address(first6.host, first6.port + n - 1) if first6 else None
        own = Address(self.listen.host, self.listen.port + n - 1)
        metrics = Address(LOOPBACK, self.metrics_port + n - 1) if self.metrics_port else None
        return Node(f"n{n}", own, self.run_dir / "kamailio" / f"n{n}", own6, metrics)

    @property
    def sockets(self) -> tuple[Path, ...]:
        """Return every unix socket of the stack."""
        redis = (server.socket for server in self.redis_servers)
        return (self.pg_socket_dir / PG_SOCKET_NAME, *redis, *(node.ctl for node in self.nodes))


def has_ipv6() -> bool:
    """Whether this machine has the loopback address of IPv6."""
    with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK6, 0))
        return True
    return False


def _number(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdecimal() or not low <= int(text) <= high:
        raise OperatorError(f"{name} is {text!r}: set it to a number from {low} to {high}")
    return int(text)


def _listen6(text: str) -> Address | None:
    """Return what TANDEM_LISTEN6 says; "" = the loopback address beside one of IPv4. Raises OperatorError."""
    if text in ("", OFF):
        return BESIDE if not text else None
    address = parse_address(text, "TANDEM_LISTEN6")
    if ":" not in address.host:
        raise OperatorError(f"TANDEM_LISTEN6 is {text!r}: set it to [address]:port of IPv6, or to {OFF}")
    return address


def parse_address(text: str, name: str = "TANDEM_LISTEN") -> Address:
    """Return the address in `host:port` or `[ipv6]:port`, of the variable `name`. Raises OperatorError otherwise."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})", text)
    if not match or not 0 < int(match[3]) < PORT_MAX:
        raise OperatorError(f"{name} is {text!r}: set it to address:port, for example {LISTEN_DEFAULT}")
    return Address(match[1] or match[2], int(match[3]))


def venv_bin() -> Path:
    """Return the directory of the venv's programs, `tandem` among them."""
    return Path(sys.prefix) / "bin"
