"""What can befall the stores of a running stack: emptied, of an old copy, replaced, promoted behind, in the past."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kemi import keys
from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from kemi.adapters.redis_funds import Funds
from tests.fix_stack import free_address
from tests.wait import until
from tools.stack import plan, process
from tools.stack.stack import Stack

TIMEOUT_MS: Final = 2_000
GONE_S: Final = 15
LINK_S: Final = 15


class Disasters:
    """Over one stack. Every copy is of files, as an operator or a broken disk would leave them."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder

    def takes_calls(self) -> bool:
        """Return whether Redis answers, takes operations, and has a configuration."""
        client = self._client()
        try:
            return Funds(client, "test", 0).status().armed and bool(client.execute("EXISTS", keys.MARKER))
        except StoreUnavailable:
            return False
        finally:
            client.close()

    def marked(self) -> int:
        """Return how many open calls are known to have been answered."""
        client = self._client()
        try:
            rids = [rid.decode() for rid in client.execute("ZRANGE", keys.LEASES, 0, -1)]
            found = Funds(client, "test", 0).described(rids) if rids else {}
            return sum(each.state == "answered" for each in found.values())
        finally:
            client.close()

    def empty_redis(self) -> None:
        """Let somebody type FLUSHALL."""
        self._ask("FLUSHALL")

    def copy(self, part: str) -> Path:
        """Return a copy of a store as it is now; the store is away for a moment."""
        copy = self._folder / f"{part}-copy"
        with self.without(part):
            _copied(self._home(part), copy)
        return copy

    def put_back(self, part: str, copy: Path | None) -> None:
        """Let a store begin again with what an old copy of it has; None: with nothing, for Redis alone."""
        home = self._home(part)
        with self.without(part):
            if part == "redis":
                shutil.rmtree(home / "appendonlydir")
                if copy is not None:
                    _copied(copy / "appendonlydir", home / "appendonlydir")
            elif copy is not None:
                shutil.rmtree(home)
                _copied(copy, home)

    @contextmanager
    def without(self, *parts: str) -> Iterator[None]:
        """Kill parts as accidents do, with all their processes, and keep them away meanwhile."""
        for part in parts:
            self._take_away(part)
        try:
            yield
        finally:
            for part in parts:
                self._stack.bring_back(part)

    @contextmanager
    def promoted_behind(self) -> Iterator[None]:
        """Let Redis become what a replica was at the beginning of the block, which loses its primary now."""
        first, second = (str(free_address().port) for _ in range(2))
        self._ask("CONFIG", "SET", "port", first)
        home = self._folder / "replica"
        home.mkdir()
        words = ["redis-server", "--port", second, "--bind", "127.0.0.1", "--dir", str(home), "--save", "",
                 "--replicaof", "127.0.0.1", first, "--logfile", str(home / "log")]  # fmt: skip
        with subprocess.Popen(words) as replica:
            client = RedisClient(f"redis://127.0.0.1:{second}/0", TIMEOUT_MS)
            try:
                until(lambda: _is_linked(client), LINK_S, "the replica to have everything")
                client.execute("REPLICAOF", "NO", "ONE")
                yield
                self._ask("REPLICAOF", "127.0.0.1", second)
                until(lambda: _is_linked(self._client()), LINK_S, "Redis to have what the replica has")
                self._ask("REPLICAOF", "NO", "ONE")
            finally:
                client.close()
                replica.kill()
        self._ask("CONFIG", "SET", "port", "0")

    def _take_away(self, part: str) -> None:
        tree = [self._stack.pid(part)]
        for pid in tree:
            tree += process.children(pid)
        who = [found for found in map(process.identity, tree) if found is not None]
        self._stack.take_away(part)
        until(lambda: not any(map(process.alive, who)), GONE_S, f"{part} to be gone")

    def _home(self, part: str) -> Path:
        layout = self._stack.layout
        return layout.pg_data if part == "postgres" else layout.redis_servers[0].home

    def _client(self) -> RedisClient:
        return RedisClient(plan.environment(self._stack.layout)["REDIS_URL"], TIMEOUT_MS)

    def _ask(self, *words: str) -> None:
        client = self._client()
        client.execute(*words)
        client.close()


def _is_linked(client: RedisClient) -> bool:
    try:
        return b"master_link_status:up" in client.execute("INFO", "replication")
    except StoreUnavailable:
        return False


def _copied(source: Path, target: Path) -> None:
    """Copy a folder with owners and rights: Postgres runs as another user."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
