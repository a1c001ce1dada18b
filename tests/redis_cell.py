"""A private cell of Redis servers for tests: a master, its replicas, three sentinels that decide quickly."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from kemi.adapters import redis_functions
from kemi.adapters.redis_client import FunctionFailed, RedisClient, StoreUnavailable
from tests.fix_stack import free_address
from tests.redis_server import TIMEOUT_MS
from tests.wait import until
from tools.stack import redis_server, sentinels
from tools.stack.layout import Address, Layout, Server
from tools.stack.sentinels import SERVICE

READY_S: Final = 15.0
FAILOVER_S: Final = 15.0
DOWN_AFTER_MS: Final = 300
PORTS: Final = 8
SECRET: Final = "secret of the tests"
PASSWORD: Final = redis_server.password(SECRET, "default")


class RedisCell:
    """Its servers by name: redis, redis-replica, …, sentinel-1 to sentinel-3. All listen on TCP, on free ports."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.url = redis_server.admin_url(layout, SECRET)
        self.worker_url = redis_server.worker_url(layout, SECRET)

    def start(self) -> None:
        """Start all and wait until they know each other; load the functions."""
        for server in self._layout.redis_servers:
            self.revive(server.name)
        until(self._follow, READY_S, "the replicas to follow")
        for server in self._layout.sentinels:
            self._start_sentinel(server)
        until(self._agree, READY_S, "the sentinels to agree")
        until(self._load, READY_S, "the master to count its replica as a good one")
        until(self._have_functions, READY_S, "the replicas to have the functions")

    def stop(self) -> None:
        """End all."""
        for process in self._processes.values():
            process.kill()
            process.wait()

    def revive(self, name: str) -> None:
        """Start a Redis server, as a replica of whom the sentinels take for the master."""
        server = self._server(name)
        server.home.mkdir(exist_ok=True)
        acl = redis_functions.worker_acl(redis_server.password(SECRET, redis_server.WORKER))
        server.file.write_text(redis_server.configuration(self._layout, server, SECRET, acl))
        self._run(server, ["redis-server", str(server.file)])
        until(lambda: self.ask(name, "PING") == b"PONG", READY_S, f"{name} to answer")

    def kill(self, name: str) -> None:
        """End one as a crash would."""
        self._processes[name].kill()
        self._processes[name].wait()

    def stall(self, name: str) -> None:
        """Stop the process of one; its connections stay open."""
        os.kill(self._processes[name].pid, signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        """Let one go on that was stopped."""
        os.kill(self._processes[name].pid, signal.SIGCONT)

    def ask(self, name: str, *words: str) -> Any:
        """Return the answer of this very server, None while it gives none."""
        client = RedisClient(f"redis://:{PASSWORD}@{self._server(name).address}", TIMEOUT_MS)
        try:
            return client.execute(*words)
        except StoreUnavailable:
            return None
        finally:
            client.close()

    @property
    def sentinel_url(self) -> str:
        """Name the first sentinel, as one of its own clients."""
        where, _, password = self.url.partition("?sentinel_password=")
        return f"redis://:{password}@{where.partition('@')[2].partition(',')[0]}"

    def address(self, name: str) -> str:
        """Return host:port of a server."""
        return str(self._server(name).address)

    def master(self) -> str:
        """Return the name of the server that the sentinels take for the master."""
        return sentinels.master(self._layout).name

    def until_master_is_not(self, name: str) -> str:
        """Wait until another one is the master, and takes writes or waits for a replica; return its name."""
        until(lambda: self.master() != name, FAILOVER_S, f"another master than {name}")
        return self.master()

    def _server(self, name: str) -> Server:
        return next(each for each in self._layout.redis_servers if each.name == name)

    def _start_sentinel(self, server: Server) -> None:
        server.home.mkdir()
        text = sentinels.configuration(self._layout, server, SECRET, PASSWORD, self._layout.redis_servers[0])
        text += f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
        server.file.write_text(text)
        (server.home / "made-for").write_text(text)
        self._run(server, ["redis-sentinel", str(server.file)])

    def _run(self, server: Server, words: list[str]) -> None:
        with (server.home / "log").open("ab") as log:
            self._processes[server.name] = subprocess.Popen(words, stdout=log, stderr=log)

    def _load(self) -> bool:
        """Load the functions, as soon as the master takes writes: a replica counts from its first sign of life on."""
        client = RedisClient(self.url, TIMEOUT_MS)
        try:
            redis_functions.load(client)
        except FunctionFailed as error:
            if not error.text.startswith("NOREPLICAS"):
                raise
            return False
        finally:
            client.close()
        return True

    def _have_functions(self) -> bool:
        """Tell whether whoever is promoted has them: replication is asynchronous, and the master may die at once."""
        return all(self.ask(server.name, "FUNCTION", "LIST") for server in self._layout.redis_servers)

    def _follow(self) -> bool:
        roles = [self.ask(server.name, "ROLE") for server in self._layout.redis_servers[1:]]
        return all(role and role[3] == b"connected" for role in roles)

    def _agree(self) -> bool:
        return all(sentinels.agrees(self._layout, server, SECRET) for server in self._layout.sentinels)


@contextmanager
def redis_cell(replicas_n: int = 1) -> Iterator[RedisCell]:
    """Run one and end it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tdm-")))
        cell = RedisCell(
            Layout(folder, Address("127.0.0.1", 5060), replicas_n=replicas_n, redis_port=free_address(PORTS).port)
        )
        stack.callback(cell.stop)
        cell.start()
        yield cell
