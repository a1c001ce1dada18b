"""The private Redis: every write on disk before it is answered, a user of their own for workers.

Alone it has one unix socket and nothing else. With replicas the servers listen on the loopback address too, so the user
who may do everything has a password there, and who the master is, sentinels say.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from tools.stack import sentinels, state
from tools.stack.checks import program
from tools.stack.layout import Layout, Server
from tools.stack.parts import Part

WORKER: Final = "worker"
MAXMEMORY_BYTES: Final = 1_000_000_000
"""Ten million rates (154 MB), a million subscribers (250 MB), and the calls; reserve refuses at 80 %."""
_PROBE_TIMEOUT_MS: Final = 300


def admin_url(layout: Layout, secret: str) -> str:
    """Return the URL for the tools, which may do anything."""
    if layout.replicas_n:
        return sentinels.url(layout, secret, "default", password(secret, "default"))
    return f"unix://{quote(str(layout.redis_socket))}?db=0"


def worker_url(layout: Layout, secret: str) -> str:
    """Return the URL for Kamailio's workers, who may call our functions and read."""
    if layout.replicas_n:
        return sentinels.url(layout, secret, WORKER, password(secret, WORKER))
    return f"unix://{WORKER}:{password(secret, WORKER)}@{quote(str(layout.redis_socket))}?db=0"


def password(secret: str, user: str) -> str:
    """Return a user's password, which follows from the cell's secret."""
    return hmac.new(secret.encode(), f"redis {user}".encode(), hashlib.sha256).hexdigest()


def parts(layout: Layout, env: Mapping[str, str], secret: str, worker_acl: Iterable[str]) -> tuple[Part, ...]:
    """Return the servers, the master first, and their sentinels. worker_acl: the rules of the workers' user."""
    acl = tuple(worker_acl)
    first = sentinels.master(layout)
    members = sorted(layout.redis_servers, key=lambda server: server != first)
    return (
        *(_part(layout, server, env, secret, acl) for server in members),
        *sentinels.parts(layout, env, secret, password(secret, "default")),
    )


def ask(url: str, *words: str) -> Any:
    """Return the answer to one command, None when there is none at once."""
    client = RedisClient(url, _PROBE_TIMEOUT_MS)
    try:
        return client.execute(*words)
    except StoreUnavailable:
        return None
    finally:
        client.close()


def _part(layout: Layout, server: Server, env: Mapping[str, str], secret: str, acl: Iterable[str]) -> Part:
    def prepare() -> None:
        server.home.mkdir(mode=0o700, exist_ok=True)
        server.socket.unlink(missing_ok=True)
        state.write_private(server.file, configuration(layout, server, secret, acl))

    return Part(
        server.name,
        (program("redis-server", env), str(server.file)),
        env,
        ready=partial(_serves, layout, server, secret),
        prepare=prepare,
        stop_s=20,
    )


def configuration(layout: Layout, server: Server, secret: str, worker_acl: Iterable[str]) -> str:
    """Return what a server starts with. worker_acl: the rules of the workers' user."""
    return "\n".join(
        (
            *(_together(layout, server, secret) if layout.replicas_n else ("port 0",)),
            f'unixsocket "{server.socket}"',
            "unixsocketperm 700",
            f'dir "{server.home}"',
            "daemonize no",
            "set-proc-title no",  # the title would overwrite the mark by which a left process is known as ours
            'save ""',
            "appendonly yes",
            "appendfsync always",
            f"maxmemory {MAXMEMORY_BYTES}",
            "maxmemory-policy noeviction",
            f"user {WORKER} {' '.join(worker_acl)}",
            "",
        )
    )


def _together(layout: Layout, server: Server, secret: str) -> tuple[str, ...]:
    """Return what a server needs that has replicas, or is one.

    A master that has no replica any more takes no writes: it may be the one that was replaced, and nobody told it. So
    what it still grants is lost with it is bounded by max-lag, and the loss of the only replica stops the cell.
    """
    own, master = password(secret, "default"), sentinels.master(layout)
    return (
        f"port {server.address.port}",
        f"bind {server.address.host}",
        f"user default on >{own} ~* &* +@all",
        f"masterauth {own}",
        "min-replicas-to-write 1",
        "min-replicas-max-lag 1",
        "repl-diskless-sync-delay 0",
        "repl-backlog-size 64mb",
        *((f"replicaof {master.address.host} {master.address.port}",) if server != master else ()),
    )


def _serves(layout: Layout, server: Server, secret: str) -> bool:
    """Whether it serves: while it still reads its append-only file it answers PING with LOADING, which is an error.

    A replica serves once it has what its master has.
    """
    login = f"default:{password(secret, 'default')}@" if layout.replicas_n else ""
    url = f"unix://{login}{quote(str(server.socket))}?db=0"
    role = ask(url, "ROLE") if ask(url, "PING") == b"PONG" else None
    return bool(role and (role[0] == b"master" or role[3] == b"connected"))
