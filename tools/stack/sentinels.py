"""The sentinels of the private stack: three, of which two must agree that the master is gone.

What they have decided stands in their own files, which they write themselves; so a stack that starts again knows which
of its Redis servers was the master, and that one begins.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import partial
from typing import Final

from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from tools.errors import OperatorError
from tools.stack import state
from tools.stack.checks import program
from tools.stack.layout import Layout, Server
from tools.stack.parts import Part

SERVICE: Final = "tandem"
QUORUM: Final = 2
DOWN_AFTER_MS: Final = 1_000
"""Long enough for a stall of a shared disk, short enough for calls to flow again within five seconds."""
FAILOVER_TIMEOUT_MS: Final = 5_000
_MADE_FOR: Final = "made-for"
_PROBE_TIMEOUT_MS: Final = 300
_MONITOR: Final = re.compile(rf"^sentinel monitor {SERVICE} \S+ (\d+) ", re.MULTILINE)
_EPOCH: Final = re.compile(rf"^sentinel config-epoch {SERVICE} (\d+)", re.MULTILINE)


def url(layout: Layout, secret: str, user: str, password: str) -> str:
    """Return the REDIS_URL of a user. It has no `&`: `.run/env` is sourced by shells."""
    hosts = ",".join(str(server.address) for server in layout.sentinels)
    return f"sentinel://{user}:{password}@{hosts}/{SERVICE}?sentinel_password={_own_password(secret)}"


def parts(layout: Layout, env: Mapping[str, str], secret: str, password: str) -> tuple[Part, ...]:
    """Return the sentinels; none without replicas. password: of the user with which they command the servers."""
    return tuple(
        Part(
            server.name,
            (program("redis-sentinel", env), str(server.file)),
            env,
            ready=partial(agrees, layout, server, secret),
            prepare=partial(_prepare, layout, server, secret, password),
        )
        for server in layout.sentinels
    )


def master(layout: Layout) -> Server:
    """Return the Redis server that the sentinels took for the master last; the first one where there were none yet.

    Raises OperatorError where it has no place in this layout: what it holds is newer than what the others hold.
    """
    n = max((found for server in _all_sentinels(layout) if (found := _decision(server))), default=(0, 0))[1]
    if n < len(layout.redis_servers):
        return layout.redis_servers[n]
    raise OperatorError(
        f"a replica was made the master before the stack in {layout.run_dir} stopped: start it with TANDEM_REPLICAS={n}"
    )


def configuration(layout: Layout, server: Server, secret: str, password: str, first: Server) -> str:
    """Return what a sentinel starts with. first: the master.

    All know each other and the replicas at once, instead of when they have met at the master.
    """
    others = (each for each in layout.redis_servers if each != first)
    own = _own_password(secret)
    lines = (
        f"port {server.address.port}",
        f"bind {server.address.host}",
        f'dir "{server.home}"',
        "daemonize no",
        "set-proc-title no",
        f"requirepass {own}",
        f"sentinel sentinel-pass {own}",
        f"sentinel myid {_id(server)}",
        f"sentinel monitor {SERVICE} {first.address.host} {first.address.port} {QUORUM}",
        f"sentinel auth-pass {SERVICE} {password}",
        f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
        f"sentinel failover-timeout {SERVICE} {FAILOVER_TIMEOUT_MS}",
        *(f"sentinel known-replica {SERVICE} {each.address.host} {each.address.port}" for each in others),
        *(
            f"sentinel known-sentinel {SERVICE} {each.address.host} {each.address.port} {_id(each)}"
            for each in layout.sentinels
            if each != server
        ),
    )
    return "\n".join((*lines, ""))


def _prepare(layout: Layout, server: Server, secret: str, password: str) -> None:
    """Write the configuration, unless the sentinel has gone on from one for this layout."""
    server.home.mkdir(mode=0o700, exist_ok=True)
    made_for, text = server.home / _MADE_FOR, configuration(layout, server, secret, password, layout.redis_servers[0])
    if server.file.exists() and made_for.exists() and made_for.read_text() == text:
        return
    state.write_private(server.file, configuration(layout, server, secret, password, master(layout)))
    state.write_private(made_for, text)


def agrees(layout: Layout, server: Server, secret: str) -> bool:
    """Whether it sees the master, its replicas, and enough others to decide."""
    client = RedisClient(f"redis://:{_own_password(secret)}@{server.address}", _PROBE_TIMEOUT_MS)
    try:
        client.execute("SENTINEL", "CKQUORUM", SERVICE)
        return len(client.execute("SENTINEL", "REPLICAS", SERVICE)) >= layout.replicas_n
    except StoreUnavailable:
        return False
    finally:
        client.close()


def _all_sentinels(layout: Layout) -> tuple[Server, ...]:
    """Return the sentinels of this run directory, also where this layout has none."""
    return Layout(layout.run_dir, layout.listen, replicas_n=1, redis_port=layout.redis_port).sentinels


def _decision(server: Server) -> tuple[int, int] | None:
    """Return (number of the decision, number of the master) that a sentinel's files hold. Ports may change."""
    try:
        text, made_for = server.file.read_text(), (server.home / _MADE_FOR).read_text()
    except OSError:
        return None
    found, first, epoch = _MONITOR.search(text), _MONITOR.search(made_for), _EPOCH.search(text)
    return (int(epoch[1]) if epoch else 0, int(found[1]) - int(first[1])) if found and first else None


def _id(server: Server) -> str:
    """Return the sentinel's name among its like, 40 hexadecimal digits; the same at every start."""
    return hashlib.sha1(str(server.home).encode(), usedforsecurity=False).hexdigest()


def _own_password(secret: str) -> str:
    return hashlib.sha256(f"redis sentinel {secret}".encode()).hexdigest()
