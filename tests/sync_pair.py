"""A Postgres and a Redis that a syncer keeps equal: what the tests of the sync drive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, Final

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from tests.fakes.config_writer import kind_of
from tests.fix_postgres import Database
from tests.wait import until
from tools.sync.compare import Verdict, verify
from tools.sync.follow import Options, connections, follow
from tools.sync.kinds import BY_VIEW

ROOT: Final = Path(__file__).resolve().parents[1]
SYNC: Final = (sys.executable, "-c", "import typer; from tools.sync.command import sync; typer.run(sync)")
DEADLINE_S: Final = 10.0


class SyncPair:
    """`database` is the truth, `redis` an administrator's client of what must become equal to it."""

    def __init__(self, database: Database, redis: RedisClient, redis_url: str) -> None:
        self.database = database
        self.redis = redis
        self.redis_url = redis_url

    def sql(self, statement: str, *arguments: object) -> list[Any]:
        """Run one statement in a transaction of its own; return its rows, if it has any."""
        cursor = self.database.connection.execute(statement, arguments or None)
        return cursor.fetchall() if cursor.description else []

    def options(self, *, once: bool = True, accept: bool = False) -> Options:
        """Return the options of a syncer between the two."""
        return Options(self.database.dsn, self.redis_url, once=once, accept=accept)

    def once(self, *, accept: bool = False) -> None:
        """Sync until the outbox is empty. Raises OperatorError."""
        follow(self.options(accept=accept), Event())

    def verify(self) -> Verdict:
        """Compare everything."""
        with connections(self.options()) as (source, store):
            return verify(source, store)

    def assert_equal(self) -> None:
        """Fail with the differences, if there are any."""
        verdict = self.verify()
        assert verdict.differences == ()
        assert verdict.aggregates > 0

    def record(self, name: str) -> Any:
        """Return the record that Redis holds under a short name, None where it holds none."""
        kind = kind_of(name)
        return kind.read(self.redis.execute("GET", kind.key(name)))

    def terms(self, fund: str) -> Any:
        """Return the terms of a fund in Redis."""
        return BY_VIEW["fund_terms"].read(self.redis.execute("GET", keys.fund_terms(fund)))

    def pass_and_fence(self) -> tuple[int, int]:
        """Return PASS and the fence in Redis."""
        got, fence = self.redis.execute("MGET", keys.PASS, keys.FENCE)
        return int(got or 0), int(fence or 0)

    @contextmanager
    def syncer(self, *options: str) -> Iterator[subprocess.Popen[str]]:
        """Run `tandem sync` as a process of its own; it is killed at the end."""
        env = {**os.environ, "DATABASE_URL": self.database.dsn, "REDIS_URL": self.redis_url}
        with subprocess.Popen((*SYNC, *options), env=env, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def service(self) -> Iterator[None]:
        """Run a syncer in a thread of this process, where a test may change its constants; it has taken over."""
        stop = Event()
        _, before = self.pass_and_fence()
        with ThreadPoolExecutor(1) as threads:
            syncer = threads.submit(follow, self.options(once=False), stop)
            try:
                self.wait_for(lambda: syncer.done() or self.pass_and_fence()[1] > before, "the syncer to take over")
                yield
            finally:
                stop.set()
            syncer.result()

    def status(self) -> dict[str, Any]:
        """Return what the syncer says of itself; empty before it has said anything."""
        text = self.redis.execute("GET", keys.SYNC_STATUS)
        return dict(json.loads(text)) if text else {}

    @contextmanager
    def active_syncer(self) -> Iterator[subprocess.Popen[str]]:
        """Run one that has taken over."""
        _, before = self.pass_and_fence()
        with self.syncer() as process:
            self.wait_for(
                lambda: self.pass_and_fence()[1] > before and self.outbox_is_empty(), "the syncer to take over"
            )
            yield process

    def outbox_is_empty(self) -> bool:
        """Tell whether everything that was committed has been applied."""
        return self.sql("select not exists (select from tandem.outbox)") == [(True,)]

    @staticmethod
    def wait_for(condition: Any, what: str, deadline_s: float = DEADLINE_S) -> None:
        """Wait until `condition()` holds."""
        until(condition, deadline_s, what)
