"""The sweeps beside the active syncer: a thread with connections of its own compares, the syncer repairs.

While anything is in doubt (after a loss, a TRUNCATE) what is in doubt is compared at full speed. Else everything is,
again and again, at a tenth of the time: a portion of some milliseconds, then nine times as long nothing.

Rule 1: the syncer never waits for it. Rule 2: trouble here only delays the next sweep; it is said in the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Final, NamedTuple

import psycopg

from kemi.adapters.redis_client import StoreUnavailable
from tools.news import News
from tools.sync.kinds import KINDS, Kind
from tools.sync.passes import Syncer
from tools.sync.source import Source
from tools.sync.store import Store
from tools.sync.sweep import Found, Sweep

IDLE: Final = 9  # times as long as a portion took
EVERY_S: Final = 10.0  # between the beginnings of two sweeps of a small world
AGAIN_S: Final = 1.0
FOUND_MAX: Final = 4  # portions that wait for the syncer
JOIN_S: Final = 2.0

log = logging.getLogger("tandem.sync.sweep")


class Over(NamedTuple):
    """The end of a sweep; why: of what it was cut short, "" = it went through."""

    why: str


class Sweeping:
    """One sweep, in a thread of its own. fast: without rest. ring: called when something was found."""

    def __init__(
        self,
        connect: Callable[[], tuple[Source, Store]],
        kinds: Sequence[Kind],
        ring: Callable[[], None],
        *,
        fast: bool,
    ) -> None:
        """Begin."""
        self._ring = ring
        self.kinds = tuple(kinds)
        self.fast = fast
        self.began = time.monotonic()
        self._connect = connect
        self._cancelled = Event()
        self._found: Queue[Found | Over] = Queue(FOUND_MAX)
        self._thread = Thread(target=self._run, name="sweep", daemon=True)
        self._thread.start()

    def next(self) -> Found | Over | None:
        """Return what was found, None where nothing is at the moment."""
        try:
            return self._found.get_nowait()
        except Empty:
            return None

    def cancel(self) -> None:
        """End it as soon as its present portion is over, at most 2 s from now; nobody asks `next` any more."""
        self._cancelled.set()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        try:
            source, store = self._connect()
            with closing(source), closing(store):
                self._compare(Sweep(source, store))
            why = ""
        except (psycopg.Error, StoreUnavailable) as error:
            why = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
        except Exception as error:
            log.exception("a sweep failed")
            why = f"{error!r}"
        self._put(Over(why))

    def _compare(self, sweep: Sweep) -> None:
        began = time.monotonic()
        for found in sweep.round(self.kinds):
            if found:
                self._put(found)
            rest_s = 0.0 if self.fast else IDLE * (time.monotonic() - began)
            if self._cancelled.wait(rest_s):
                return
            began = time.monotonic()

    def _put(self, item: Found | Over) -> None:
        while not self._cancelled.is_set():
            try:
                self._found.put(item, timeout=AGAIN_S)
            except Full:
                continue
            self._ring()
            return


class Sweeper:
    """Keeps one sweep going, and has the syncer repair what it finds."""

    def __init__(
        self, syncer: Syncer, connect: Callable[[], tuple[Source, Store]], ring: Callable[[], None] = lambda: None
    ) -> None:
        """connect: makes the connections of a sweep. ring: says from its thread that a turn has something to do."""
        self._ring = ring
        self._syncer = syncer
        self._connect = connect
        self._sweeping: Sweeping | None = None
        self._repairs: Iterator[int] | None = None  # one portion a turn: passes come between
        self._not_before = 0.0  # after trouble
        self._next_at = 0.0
        self._news = News(log)

    def turn(self) -> bool:
        """Do what there is to do now; True when that was something."""
        urgent = self._syncer.certainty.urgent
        if self._sweeping is None:
            if time.monotonic() >= (self._not_before if urgent else self._next_at):
                self._begin(urgent or KINDS, fast=bool(urgent))
            return False
        if urgent and not self._sweeping.fast:
            self.stop()
            return True
        if self._repairs and next(self._repairs, None) is not None:
            return True
        found = self._sweeping.next()
        self._repairs = self._syncer.repairs(found) if isinstance(found, Found) else None
        if isinstance(found, Over):
            self._end(self._sweeping, found)
        return found is not None

    def stop(self) -> None:
        """End the sweep that is under way."""
        if self._sweeping:
            self._sweeping.cancel()
        self._sweeping = self._repairs = None

    def _begin(self, kinds: Sequence[Kind], *, fast: bool) -> None:
        self._syncer.certainty.begin()
        self._sweeping = Sweeping(self._connect, kinds, self._ring, fast=fast)

    def _end(self, sweeping: Sweeping, over: Over) -> None:
        self._sweeping = None
        now = time.monotonic()
        if over.why:
            self._news.trouble(f"the comparison of everything was cut short, beginning again: {over.why}")
            self._not_before = self._next_at = now + AGAIN_S
            return
        self._news.good("comparing again")
        self._syncer.swept(sweeping.kinds, now - sweeping.began)
        self._next_at = sweeping.began + EVERY_S


@contextmanager
def sweeping(
    syncer: Syncer, connect: Callable[[], tuple[Source, Store]], ring: Callable[[], None]
) -> Iterator[Sweeper]:
    """Give a sweeper; end its sweep with the block."""
    sweeper = Sweeper(syncer, connect, ring)
    try:
        yield sweeper
    finally:
        sweeper.stop()
