"""One whole stack per test session: Postgres, Redis, sync, settle, Kamailio; free port, directory of its own.

It ends with the session, also when pytest is killed.
"""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count, product
from pathlib import Path

import pytest

from tests.scratch import short_home
from tools.stack.layout import LOOPBACK6, Address, Layout, has_ipv6
from tools.stack.stack import Stack

HOST = "127.0.0.1"
PORTS = range(20_000, 30_000)
"""Below the kernel's ephemeral ports, so that no other socket gets one between the search and the start."""
SHARES = 4
"""Into so many parts the ports are cut, one for each process of `pytest -n`: nor may another process's test get one."""
BLOCK = 10
"""So many ports are given at once, and the next ones the next time: nor may this process's other tests get one."""
_turns = count(secrets.randbelow(len(PORTS)))
SHORT = {"TANDEM_SLICE_S": "4", "TANDEM_GRACE_S": "3", "TANDEM_REDIS_TIMEOUT_MS": "500", "TANDEM_SHED_DELAY_MS": "0"}
"""Leases that end soon, and patience with a Redis that fsyncs every write, and with workers, on a busy machine.

A variable that is set outside wins.
"""


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Run the session's stack. Tests leave it running and bring worlds of their own."""
    with short_directory() as folder:
        running = Stack(Layout(folder / "run", free_address(), has_relay=True), {**SHORT, **_settings(os.environ)})
        running.start(tied=True)
        try:
            yield running
        finally:
            running.stop()


@contextmanager
def short_directory() -> Iterator[Path]:
    """Make a directory for a run directory: private, and with a path short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="tdm-", dir=short_home(), ignore_cleanup_errors=True) as name:
        yield Path(name)


def free_address(nodes_n: int = 1) -> Address:
    """Return a local address with `nodes_n` (up to BLOCK) free consecutive ports, UDP and TCP, IPv4 and IPv6."""
    own = _share(os.environ)
    for _ in range(100):
        first = own[next(_turns) * BLOCK % len(own)]
        if all(_free(port) for port in range(first, first + nodes_n)):
            return Address(HOST, first)
    raise AssertionError("no free port on this machine")


def _share(env: Mapping[str, str]) -> range:
    """Return the ports of this process: all of them unless it is one of several."""
    name = env.get("PYTEST_XDIST_WORKER", "")  # gw0, gw1, …; one that died is followed by one of the next number
    number = int(name.removeprefix("gw") or 0) % SHARES
    size = len(PORTS) // SHARES
    return PORTS[number * size : (number + 1) * size] if name else PORTS


def _free(port: int) -> bool:
    hosts = {socket.AF_INET: HOST, **({socket.AF_INET6: LOOPBACK6} if has_ipv6() else {})}
    for family, kind in product(hosts, (socket.SOCK_DGRAM, socket.SOCK_STREAM)):
        with socket.socket(family, kind) as probe:
            try:
                probe.bind((hosts[family], port))
            except OSError:
                return False
    return True


def _settings(env: Mapping[str, str]) -> dict[str, str]:
    return {name: env[name] for name in SHORT if name in env}
