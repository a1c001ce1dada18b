"""The settle processes with their real session."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Final

import psycopg

from kemi.adapters.redis_client import StoreUnavailable
from kemi.adapters.redis_funds import Funds
from tests.simulation.memory_books import MemoryBooks
from tests.simulation.postgres import Postgres
from tests.simulation.process import Process, Surroundings
from tests.simulation.shim_client import Exchange, ShimClient
from tools.settle.books import EpochMovedError
from tools.settle.cell import Cell
from tools.settle.service import Options, Parts, _Session
from tools.settle.stream import Stream
from tools.settle.sweeper import LeaseWatch

GRACE_S: Final = 10
OPTIONS: Final = Options("", "", slice_s=30, grace_s=GRACE_S, retention_s=1_800, idle_s=5, compare_s=2)
OUTAGES: Final = (StoreUnavailable, psycopg.OperationalError, EpochMovedError)


class Settler(Process):
    """One `tandem settle`. crashes: how often it ended with an error that it does not handle; it is started again."""

    def __init__(self, world: Surroundings, name: str, data: Postgres) -> None:
        super().__init__(world, name)
        self._data = data
        self._starts = 0
        self._session: _Session | None = None
        self._books: MemoryBooks | None = None
        self._watch = LeaseWatch(OPTIONS.slice_s + OPTIONS.grace_s)
        self.began_us = world.now_us
        self.crashes = 0

    @property
    def news(self) -> str:
        """What it says about arming, "" = nothing."""
        return self._session._rebuild.news.text if self._session is not None else ""

    def kill(self) -> None:
        """Let it die; its connections, and the lock, go with it."""
        super().kill()
        self._hang_up()

    def look(self, redis: Exchange) -> None:
        """Look at the leases, as it does every second."""
        client = ShimClient(redis)
        signs = Cell(client, Funds(client, "settle", GRACE_S)).signs()
        self._watch.see(signs.leases, signs.redis_ms, self.world.now_us / 1_000_000)

    def step(self) -> None:
        """Do one turn of its life. Raises Killed."""
        if self.dead:
            self.dead = False
            self.began_us = self.world.now_us
            self._watch = LeaseWatch(OPTIONS.slice_s + OPTIONS.grace_s)
        try:
            session = self._session or self._connect()
            epoch = session._armed()
            if epoch is not None:
                session._consume(epoch, 0)
                session._chores(epoch)
        except OUTAGES:
            self._hang_up()
        except ValueError:
            self.crashes += 1
            self.kill()

    def _connect(self) -> _Session:
        self._starts += 1
        client = ShimClient(self.exchange)
        self._books = MemoryBooks(self._data, self.transact, self.commit)
        stream = Stream(client, f"{self.name}:{self._starts}")
        parts = Parts(self._books, Cell(client, Funds(client, "settle", GRACE_S)), stream)
        self._session = _Session(parts, OPTIONS, self._watch)
        return self._session

    def _hang_up(self) -> None:
        if self._books is not None:
            self._books.close()
        self._books = self._session = None


class VirtualTime(SimpleNamespace):
    """What settlement sees as the module `time`."""

    def __init__(self, world: Surroundings) -> None:
        super().__init__(monotonic=lambda: world.now_us / 1_000_000, sleep=self._sleep)
        self._world = world

    def _sleep(self, seconds: float) -> None:
        self._world.now_us += int(seconds * 1_000_000)
        self._world.interleave()
