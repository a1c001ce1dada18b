"""The private Redis: one unix socket, every write on disk before it is answered, a user of their own for workers."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from tools.stack import state
from tools.stack.checks import program
from tools.stack.layout import Layout
from tools.stack.parts import Part

WORKER = "worker"
MAXMEMORY_BYTES = 1_000_000_000
"""Ten million rates (154 MB), a million subscribers (250 MB), and the calls; reserve refuses at 80 %."""
_PROBE_TIMEOUT_MS = 300


def admin_url(layout: Layout) -> str:
    """Return the URL for the tools, which may do anything."""
    return f"unix://{quote(str(layout.redis_socket))}?db=0"


def worker_url(layout: Layout, secret: str) -> str:
    """Return the URL for Kamailio's workers, who may call our functions and read."""
    return f"unix://{WORKER}:{worker_password(secret)}@{quote(str(layout.redis_socket))}?db=0"


def worker_password(secret: str) -> str:
    """Return the workers' password, which follows from the cell's secret."""
    return hmac.new(secret.encode(), b"redis worker", hashlib.sha256).hexdigest()


def part(layout: Layout, env: Mapping[str, str], worker_acl: Iterable[str]) -> Part:
    """Return the server. worker_acl: the rules of the workers' user."""
    file = layout.redis_dir / "redis.conf"
    return Part(
        "redis",
        (program("redis-server", env), str(file)),
        env,
        ready=partial(_answers, layout),
        prepare=lambda: _prepare(layout, _configuration(layout, worker_acl)),
        stop_s=20,
    )


def ask(layout: Layout, *words: str) -> Any:
    """Return the answer to one command, None when there is none at once."""
    client = RedisClient(admin_url(layout), _PROBE_TIMEOUT_MS)
    try:
        return client.execute(*words)
    except StoreUnavailable:
        return None
    finally:
        client.close()


def _configuration(layout: Layout, worker_acl: Iterable[str]) -> str:
    return "\n".join(
        (
            "port 0",
            f'unixsocket "{layout.redis_socket}"',
            "unixsocketperm 700",
            f'dir "{layout.redis_dir}"',
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


def _prepare(layout: Layout, configuration: str) -> None:
    layout.redis_dir.mkdir(mode=0o700, exist_ok=True)
    layout.redis_socket.unlink(missing_ok=True)
    state.write_private(layout.redis_dir / "redis.conf", configuration)


def _answers(layout: Layout) -> bool:
    """Whether it serves: while it still reads its append-only file it answers LOADING, which is an error."""
    return bool(ask(layout, "PING") == b"PONG")
