"""What must be true before the first process starts; each failure says what is wrong and what to do."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.errors import OperatorError
from tools.stack.layout import CTL_NAME, Address, Layout
from tools.stack.process import owner_of_port

SOCKET_PATH_BYTES_MAX = 107
"""A unix socket's path, sun_path of unix(7) without its closing zero."""
CTL_PATH_BYTES_MAX = 104
"""What Kamailio 5.6.3's ctl module and kamcmd take (measured)."""
NEW_WORLD_BYTES = 400_000_000
"""Free disk for a new database: 40 MB of catalogues, write-ahead log, append-only file, logs, and room to work."""
OLD_WORLD_BYTES = 150_000_000
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PG_BIN = Path("/usr/lib/postgresql/15/bin")
PYTHON_BASE = "/usr"


def program(name: str, env: Mapping[str, str]) -> str:
    """Return the path of a server program: from PATH, else from the system's directories.

    Raises OperatorError when it is nowhere.
    """
    path = f"{env.get('PATH', '')}:{SYSTEM_PATH}"
    found = str(PG_BIN / name) if name == "postgres" and (PG_BIN / name).exists() else shutil.which(name, path=path)
    if not found:
        raise OperatorError(f"{name} is not installed: run `make setup`, as root")
    return found


def versions(env: Mapping[str, str]) -> None:
    """Check that the servers are of the versions that Tandem was measured on. Raises OperatorError."""
    _version(program("kamailio", env), "-v", r"kamailio (\S+)", r"5\.6\.", "Kamailio 5.6")
    _version(program("redis-server", env), "--version", r" v=(\S+)", r"7\.", "Redis 7")
    _version(program("postgres", env), "--version", r"\(PostgreSQL\) (\S+)", r"15\.", "PostgreSQL 15")


def interpreter(base: str = sys.base_prefix, version: tuple[int, ...] = sys.version_info[:2]) -> None:
    """Check that the venv stands on the Python that Kamailio embeds. Raises OperatorError.

    base: the prefix of the interpreter with which the venv was made.
    """
    if base != PYTHON_BASE or version != (3, 11):
        raise OperatorError(
            f"this venv stands on Python {version[0]}.{version[1]} in {base}, and Kamailio embeds Debian's 3.11 in "
            f"{PYTHON_BASE}: remove .venv and run `make setup`"
        )


def socket_paths(layout: Layout) -> None:
    """Check that every unix socket's path fits. Raises OperatorError that names the one furthest from it."""
    excess, longest, bound = max((_excess_bytes(path), path, _bound_bytes(path)) for path in layout.sockets)
    if excess > 0:
        raise OperatorError(
            f"the socket path {longest} has {bound + excess} bytes and {bound} is the most that works: "
            f"set RUN_DIR to a directory whose path is {excess} bytes shorter, or more"
        )


def ports(layout: Layout) -> None:
    """Check that every SIP address is free, UDP and TCP. Raises OperatorError that names who has it."""
    for node in layout.nodes:
        for kind, number in (("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)):
            _bind(node.address, kind, number)
            if node.address6:
                _bind(node.address6, kind, number)
        if node.metrics:
            _bind(node.metrics, "tcp", socket.SOCK_STREAM, "TANDEM_METRICS")
    if layout.relay:
        _bind(layout.relay, "udp", socket.SOCK_DGRAM, "TANDEM_LISTEN")


def redis_ports(layout: Layout) -> None:
    """Check that the ports of Redis servers with replicas are free. Raises OperatorError that names who has one."""
    for server in (*layout.redis_servers, *layout.sentinels) if layout.replicas_n else ():
        _bind(server.address, "tcp", socket.SOCK_STREAM, "TANDEM_REDIS_PORT")


def disk(layout: Layout, free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free) -> None:
    """Check that the disk has room for the stack to start. Raises OperatorError."""
    needed = OLD_WORLD_BYTES if (layout.pg_data / "PG_VERSION").exists() else NEW_WORLD_BYTES
    free = free_bytes(layout.run_dir)
    if free < needed:
        raise OperatorError(
            f"the disk of {layout.run_dir} has {free // 1_000_000} MB free and the stack needs "
            f"{needed // 1_000_000} MB: free some space, or set RUN_DIR to a directory on another disk"
        )


def directory(layout: Layout) -> None:
    """Make the run directory, or check that it can be written. Raises OperatorError."""
    try:
        layout.log_dir.mkdir(parents=True, exist_ok=True)
        probe = layout.run_dir / "writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OperatorError(
            f"cannot write {layout.run_dir} ({error.strerror}): run as its owner, or set RUN_DIR to another directory"
        ) from error


def _bound_bytes(socket_path: Path) -> int:
    return CTL_PATH_BYTES_MAX if socket_path.name == CTL_NAME else SOCKET_PATH_BYTES_MAX


def _excess_bytes(socket_path: Path) -> int:
    return len(os.fsencode(socket_path)) - _bound_bytes(socket_path)


def _version(path: str, option: str, pattern: str, wanted: str, name: str) -> None:
    result = subprocess.run([path, option], capture_output=True, text=True, timeout=20, check=False)
    match = re.search(pattern, result.stdout)
    if not match:
        raise OperatorError(f"{path} does not say its version: install {name} of Debian 12 with `make setup`")
    if not re.match(wanted, match[1]):
        raise OperatorError(
            f"{path} is version {match[1]} and Tandem needs {name}: put Debian 12's first on PATH, "
            "or install it with `make setup`"
        )


def _bind(address: Address, kind: str, number: socket.SocketKind, setting: str = "") -> None:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, number) as probe:
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # [::] beside 0.0.0.0, as Kamailio does
        if kind == "tcp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections do not hold a port
        try:
            probe.bind((address.host, address.port))
            if kind == "tcp":
                probe.listen(1)
        except OSError as error:
            raise OperatorError(_bind_failure(address, kind, error, setting)) from error


def _bind_failure(address: Address, kind: str, error: OSError, setting: str) -> str:
    name = setting or ("TANDEM_LISTEN6" if ":" in address.host else "TANDEM_LISTEN")
    if error.errno == errno.EADDRINUSE:
        owner = owner_of_port(kind, address.port)
        taken = f" by {owner}" if owner else ""
        return (
            f"{kind.upper()} port {address.port} on {address.host} is taken{taken}: "
            f"stop that, or set {name} to a free {'port' if setting else 'address:port'}"
        )
    if error.errno == errno.EACCES:
        return f"{kind.upper()} port {address.port} needs root: set {name} to a port above 1023"
    return f"cannot listen on {address} ({error.strerror}): set {name} to an address of this machine"
