"""The private stack of a proof: real Postgres and Redis, `tandem sync`, `tandem settle`, clients; all may be killed.

Nobody restarts anything but the proof itself, so that every death is one it knows of.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import psycopg

from kemi import keys
from kemi.adapters import redis_functions
from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import MoneyStatus
from tools.errors import OperatorError
from tools.prove.client import Task
from tools.prove.world import ACCOUNTS, BY_NAME, CARRIER, DOLLAR, DOLLARS_PER_EURO, EURO, ROOT, Places
from tools.stack import postgres
from tools.stack.checks import program
from tools.stack.child import Child
from tools.stack.layout import PROJECT, Layout, parse_address, venv_bin
from tools.wait import until

TIMEOUT_MS: Final = 2_000
LEASE_S: Final = 3
GRACE_S: Final = 1
START_S: Final = 60.0
COMMAND_S: Final = 300
WORKER: Final = "worker"
PASSWORD: Final = "prove"  # noqa: S105  of a server that lives for minutes in a private directory
MAXMEMORY_BYTES: Final = 8_000_000_000
NO_VICTIM: Final = {"fsync": "off", "shared_buffers": "256MB", "max_wal_size": "4GB"}
"""Postgres is no victim, and its disk is not what is proven."""
REDIS_OPTIONS: Final = {
    "port": "0",
    "save": '""',
    "daemonize": "no",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "auto-aof-rewrite-percentage": "0",  # the proof reads the log from its beginning
    "maxmemory": str(MAXMEMORY_BYTES),
    "maxmemory-policy": "noeviction",
}


class Servers:
    """All processes. folder: of the run, short enough for a socket's path. consumers: how many `tandem settle`.

    postgres_options: settings of Postgres beside those of the stack.
    """

    def __init__(
        self, folder: Path, consumers: int, postgres_options: Mapping[str, str] = MappingProxyType(NO_VICTIM)
    ) -> None:
        self._postgres_options = postgres_options
        self.layout = Layout(folder, parse_address("127.0.0.1:5060"))
        self.consumers = consumers
        self.database_url = postgres.database_url(self.layout)
        self.redis_url = f"unix://{self.layout.redis_socket}?db=0"
        self.worker_url = f"unix://{WORKER}:{PASSWORD}@{self.layout.redis_socket}?db=0"
        self.aof_folder = self.layout.redis_dir / "appendonlydir"
        own = {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}
        times = {"TANDEM_SLICE_S": str(LEASE_S), "TANDEM_GRACE_S": str(GRACE_S), "TANDEM_EVENT_RETENTION_S": "60"}
        self._env = {**os.environ, **own, **times, "PYTHONUNBUFFERED": "1"}
        self._children: dict[str, Child] = {}
        self._clients: dict[int, Task] = {}

    def start(self, seed_world: Callable[[psycopg.Connection[Any]], None]) -> None:
        """Start everything but the clients; `seed_world` fills the database."""
        self.start_stores()
        with self.database() as connection:
            seed_world(connection)
        self.start_sync()
        for number in range(self.consumers):
            self.start_consumer(number)
        until(lambda: self.status().armed, START_S, "Redis to be armed")

    def start_stores(self) -> None:
        """Start an empty, migrated Postgres and an empty Redis with our functions."""
        for folder in (self.layout.log_dir, self.layout.redis_dir):
            folder.mkdir(parents=True)
        self._start_postgres()
        self.tandem("migrate")
        self._write_redis_conf()
        self.start_redis()
        client = self.redis()
        redis_functions.load(client)
        client.close()

    def stop(self) -> None:
        """End everything, Postgres last; files stay."""
        for name in sorted(self._children, key=lambda each: each == "postgres"):
            child = self._children[name]
            child.send(signal.SIGINT if name == "postgres" else signal.SIGKILL)
            if name == "postgres":
                until(child.ended, START_S, "Postgres to stop")
            child.reap()

    def kill(self, name: str) -> None:
        """Kill -9 one process and wait until it is gone. name: redis, sync, settle-<n>, client-<n>."""
        child = self._children.pop(name)
        child.send(signal.SIGKILL)
        until(child.ended, START_S, f"{name} to die")
        child.reap()

    def runs(self, name: str) -> bool:
        """Return whether a process runs."""
        return name in self._children and not self._children[name].ended()

    def reaped(self, name: str) -> tuple[bool, str]:
        """Take a process that has ended off the list: whether it succeeded, and its last words."""
        child = self._children.pop(name)
        child.reap()
        return child.succeeded(), child.last_words()

    def names(self) -> list[str]:
        """Return the names of all processes that were started and not killed."""
        return list(self._children)

    def start_redis(self) -> None:
        """Start Redis on what is in its folder and wait until it answers."""
        self.layout.redis_socket.unlink(missing_ok=True)
        self._run("redis", (program("redis-server", self._env), str(self.layout.redis_dir / "redis.conf")))
        until(self._redis_answers, START_S, "Redis to answer")

    def start_sync(self) -> None:
        """Start `tandem sync`."""
        self._run("sync", (str(venv_bin() / "tandem"), "sync"))

    def start_consumer(self, number: int) -> None:
        """Start one `tandem settle`."""
        self._run(f"settle-{number}", (str(venv_bin() / "tandem"), "settle"))

    def start_client(self, task: Task) -> None:
        """Start an incarnation of a client."""
        self._run(f"client-{task.slot}", (str(venv_bin() / "python"), "-m", "tools.prove.client", json.dumps(task)))

    def tandem(self, *words: str, may_fail: bool = False) -> str:
        """Run a command of `tandem` to its end and return what it printed. Raises OperatorError where it fails."""
        done = subprocess.run(
            [str(venv_bin() / "tandem"), *words],
            env=self._env, cwd=PROJECT, capture_output=True, text=True, timeout=COMMAND_S, check=False,
        )  # fmt: skip
        if done.returncode and not may_fail:
            raise OperatorError(f"tandem {' '.join(words)} failed: {(done.stdout + done.stderr).strip()[-1500:]}")
        return done.stdout

    def database(self) -> psycopg.Connection[Any]:
        """Connect to the database, in autocommit mode; the caller closes."""
        return psycopg.connect(self.database_url, autocommit=True)

    def redis(self) -> RedisClient:
        """Return an administrator's client with a closed breaker."""
        return RedisClient(self.redis_url, TIMEOUT_MS)

    def status(self) -> MoneyStatus:
        """Return the state of the money functions. Raises StoreUnavailable."""
        client = self.redis()
        try:
            return Funds(client, "prove", GRACE_S).status()
        finally:
            client.close()

    def tail_of_log(self, name: str, size: int = 4_000) -> str:
        """Return the end of a process's log."""
        with (self.layout.log_dir / name).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - size))
            return log.read().decode(errors="replace")

    def _run(self, name: str, argv: tuple[str, ...]) -> None:
        self._children[name] = Child(argv, self._env, self.layout.log_dir / name, signal.SIGTERM)

    def _start_postgres(self) -> None:
        part = postgres.part(self.layout, self._env)
        part.prepare()
        options = [word for name, value in self._postgres_options.items() for word in ("-c", f"{name}={value}")]
        self._run("postgres", (*part.argv, *options))
        until(part.ready, START_S, "Postgres to answer")
        postgres.create_database(self.layout)

    def _write_redis_conf(self) -> None:
        own = {"unixsocket": str(self.layout.redis_socket), "dir": str(self.layout.redis_dir)}
        lines = [f"{name} {value}" for name, value in {**REDIS_OPTIONS, **own}.items()]
        acl = " ".join(redis_functions.worker_acl(PASSWORD))
        (self.layout.redis_dir / "redis.conf").write_text("\n".join([*lines, f"user {WORKER} {acl}", ""]))

    def _redis_answers(self) -> bool:
        client = self.redis()
        try:
            return bool(client.execute("PING") == b"PONG")
        except StoreUnavailable:
            return False
        finally:
            client.close()


def seed_world(connection: psycopg.Connection[Any]) -> None:
    """Make the tenants, by the words of sql/seed/world.sql."""
    connection.execute((PROJECT / "sql" / "seed" / "world.sql").read_bytes())
    connection.execute("select world.root(%s)", (ROOT,))
    connection.execute("select world.exchange(%s, %s, %s)", (EURO, DOLLAR, DOLLARS_PER_EURO))
    with_tariff: set[str] = set()
    for account in ACCOUNTS:
        if account.parent not in with_tariff:
            with_tariff.add(account.parent)
            currency = BY_NAME[account.parent].currency if account.parent != ROOT else EURO
            connection.execute("select world.tariff(%s, 'std', %s, '44', '0.06')", (account.parent, currency))
        kind = "customer" if account.is_customer else "reseller"
        connection.execute(
            f"select world.{kind}(%s, %s, 'std', %s, %s, %s)",
            (account.name, account.parent, account.opening, account.credit_limit, account.currency),
        )
        connection.execute(
            "select world.limits(%s, channels => %s, channels_in => %s, cps => %s, day => %s)",
            (account.name, account.channels, account.channels_in, account.cps, account.day),
        )
    connection.execute("select world.carrier(%s, '192.0.2.1', 5080, '44', '0.012')", (CARRIER,))


def places(connection: psycopg.Connection[Any]) -> Places:
    """Return the ids that the database gave."""
    accounts = dict(connection.execute("select name, id from tandem.account").fetchall())
    row = connection.execute("select group_id, id from tandem.peering_server limit 1").fetchone()
    if row is None:
        raise OperatorError("the world of the proof has no carrier")
    return Places(accounts, *row)


def fund_bytes(client: RedisClient, funds: list[str]) -> tuple[dict[str, bytes | None], dict[str, bytes | None]]:
    """Return the states and the terms of funds as Redis holds them."""
    states = client.execute("MGET", *(keys.fund_state(fund) for fund in funds))
    terms = client.execute("MGET", *(keys.fund_terms(fund) for fund in funds))
    return dict(zip(funds, states, strict=True)), dict(zip(funds, terms, strict=True))
