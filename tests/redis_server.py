"""A private Redis for tests: unix socket only, own folder, our functions and the workers' user in it."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from kemi.adapters import redis_functions
from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from tests.wait import until

START_S = 10.0
TIMEOUT_MS = 2_000
WORKER_PASSWORD = "worker-of-the-tests"
OPTIONS = (
    "--port",
    "0",
    "--save",
    "",
    "--appendonly",
    "no",
    "--maxmemory-policy",
    "noeviction",
    "--loglevel",
    "warning",
)


class RedisServer(NamedTuple):
    """A running server. url: of the user who may do all. worker_url: of the workers' user. pid: for signals."""

    url: str
    worker_url: str
    pid: int
    folder: Path


@contextmanager
def running_redis(*options: str) -> Iterator[RedisServer]:
    """Start a private redis-server with our functions and the workers' user, and end it; options: of redis-server."""
    with tempfile.TemporaryDirectory(prefix="tandem-redis-") as name:
        folder = Path(name)
        socket = folder / "redis.sock"
        words = ["redis-server", *OPTIONS, "--dir", name, "--unixsocket", str(socket), *options]
        with (folder / "log").open("wb") as log, subprocess.Popen(words, stdout=log, stderr=log) as process:
            try:
                url = f"unix://{socket}"
                _prepare(url)
                worker_url = f"unix://worker:{WORKER_PASSWORD}@{socket}"
                yield RedisServer(url, worker_url, process.pid, folder)
            finally:
                process.kill()


class MortalRedis:
    """A server that a test kills, stops and starts again on what it had written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.worker_url = f"unix://worker:{WORKER_PASSWORD}@{self.socket}"

    def start(self) -> None:
        """Start it and wait until it answers, with our functions and the workers' user."""
        words = ["redis-server", *OPTIONS, "--dir", str(self._folder), "--unixsocket", str(self.socket)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*words, "--appendonly", "yes"], stdout=log, stderr=log)
        _prepare(self.url)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stall(self) -> None:
        """Stop its process; its connections stay open."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a stopped process go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def told(self) -> RedisServer:
        """Return it as one that runs."""
        assert self._process is not None
        return RedisServer(self.url, self.worker_url, self._process.pid, self._folder)


@contextmanager
def mortal_redis() -> Iterator[MortalRedis]:
    """Run such a server."""
    with tempfile.TemporaryDirectory(prefix="tandem-redis-") as name:
        redis = MortalRedis(Path(name))
        try:
            redis.start()
            yield redis
        finally:
            redis.kill()


def empty(client: RedisClient) -> None:
    """Remove every key, the memory limit, and what the functions remember; load them anew."""
    client.execute("CONFIG", "SET", "maxmemory", "0")
    client.execute("FLUSHALL")
    client.execute("FUNCTION", "FLUSH")
    redis_functions.load(client)


def _prepare(url: str) -> None:
    until(lambda: _answers(url), START_S, f"redis-server at {url}")
    client = RedisClient(url, TIMEOUT_MS)
    client.execute("ACL", "SETUSER", "worker", *redis_functions.worker_acl(WORKER_PASSWORD))
    redis_functions.load(client)
    client.close()


def _answers(url: str) -> bool:
    """Try with a new client, whose breaker is closed."""
    client = RedisClient(url, TIMEOUT_MS)
    try:
        return bool(client.execute("PING") == b"PONG")
    except StoreUnavailable:
        return False
    finally:
        client.close()
