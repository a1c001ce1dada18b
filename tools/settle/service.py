"""The life of a settle process: connect, rebuild if that is due, post, sweep, begin again after any outage.

Any number may run: events are shared out by the group, arming and rebuilding by a lock, sweeping by operation ids.
While Postgres or Redis is away nothing is acknowledged, so nothing is lost: events wait in the stream.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Final, NamedTuple

import psycopg

from kemi.adapters.redis_client import FunctionFailed, RedisClient, StoreUnavailable
from kemi.adapters.redis_funds import Funds
from tools.errors import OperatorError
from tools.news import News
from tools.settle.books import Books, Epoch, EpochMovedError
from tools.settle.cell import NOTHING_HEARD, Cell, Heard
from tools.settle.poster import Outcome, post, unposted
from tools.settle.quality import EVERY_S
from tools.settle.rebuild import Rebuild
from tools.settle.stream import Entry, Stream
from tools.settle.sweeper import LeaseWatch, Sweeper
from tools.settle.watch import Watch

log = logging.getLogger("tandem.settle")

POLL_S: Final = 0.2
BLOCK_MS: Final = 500  # an event ends it at once
GATHER_S: Final = 0.4  # between two small batches: a transaction costs the same for one call as for ten
GATHERED_MIN: Final = 200  # events of a batch that is not small: more wait already
BEAT_S: Final = 1.0
NOTE_S: Final = 5.0  # between two notes of nodes that live and have nothing new to tell
BUILDING_POLL_S: Final = 0.05  # calls wait
REDIS_TIMEOUT_MS: Final = 2_000  # a primary that hangs is left after that
NODE: Final = "settle"  # who works on a reservation, as Redis notes it; our operations end them, so it is never asked
MINUTE_S: Final = 60.0
GC_AFTER: Final = (
    200_000  # a batch is 100,000 small tuples that hold no cycle: looking for one takes a fifth of the time
)


class Options(NamedTuple):
    """Where to work. slice_s, grace_s: the nodes' settings; how long a lease at most goes without being moved.

    retention_s: how long posted events stay in the stream: longer than the recovery point of Postgres. idle_s: how long
    a consumer may sit on events before others take them over; one that is only slow posts them too, which is harmless.
    compare_s: between two steps of the comparison of money; 0 = never. patience_s: how long a single run waits for a
    rebuild: for sync, and for nodes to tell their calls.
    """

    database_url: str
    redis_url: str
    slice_s: int = 60
    grace_s: int = 10
    retention_s: int = 86_400
    idle_s: int = 5
    compare_s: int = 2
    patience_s: int = 120


class Parts(NamedTuple):
    """Both stores over fresh connections."""

    books: Books
    cell: Cell
    stream: Stream


@contextmanager
def connections(options: Options) -> Iterator[Parts]:
    """Connect to both, close both. Raises StoreUnavailable, psycopg.OperationalError."""
    client = RedisClient(options.redis_url, REDIS_TIMEOUT_MS)
    books = Books.open(options.database_url)
    try:
        funds = Funds(client, NODE, options.grace_s)
        yield Parts(books, Cell(client, funds), Stream(client, f"{socket.gethostname()}:{os.getpid()}"))
    finally:
        books.close()
        client.close()


def serve(options: Options, stop: Event) -> None:
    """Work until `stop` is set; outages are waited out."""
    news = News(log)
    watch = LeaseWatch(options.slice_s + options.grace_s)
    gc.set_threshold(GC_AFTER)
    log.info("settle begins; retention of events %s s", options.retention_s)
    while not stop.is_set():
        try:
            with connections(options) as parts:
                _Session(parts, options, watch).work(stop, news)
        except EpochMovedError as error:
            log.info("%s: looking again", error)
        except (StoreUnavailable, psycopg.Error) as error:
            if isinstance(error, StoreUnavailable):
                watch.forget()
            news.trouble(f"{_trouble(error)}; events wait in the stream")
        stop.wait(POLL_S)
    log.info("settle ends; what is not posted stays in the stream")


def run_once(options: Options) -> Outcome:
    """Arm if that is due, post all that waits, sweep once. Raises OperatorError where that cannot be done."""
    try:
        with connections(options) as parts:
            return _Session(parts, options, LeaseWatch(options.slice_s + options.grace_s)).drain()
    except (StoreUnavailable, psycopg.Error, EpochMovedError) as error:
        raise OperatorError(_trouble(error)) from error


def reread(options: Options) -> Outcome:
    """Post the whole stream again: what Postgres has is left alone. Raises OperatorError as `run_once`."""
    try:
        with connections(options) as parts:
            return _Session(parts, options, LeaseWatch(options.slice_s + options.grace_s)).reread()
    except (StoreUnavailable, psycopg.Error, EpochMovedError) as error:
        raise OperatorError(_trouble(error)) from error


class _Chore:
    """Something done every so often. every_s: seconds between two times. first_s: seconds until the first time."""

    def __init__(self, every_s: float, first_s: float = 0.0) -> None:
        self._every_s = every_s
        self._next_s = time.monotonic() + first_s

    def is_due(self) -> bool:
        """Return whether it is time, and count from now."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._every_s
        return True


class _Session:
    """Work over one pair of connections; ends with the first error."""

    def __init__(self, parts: Parts, options: Options, watch: LeaseWatch) -> None:
        self._books, self._cell, self._stream = parts
        self._options = options
        self._rebuild = Rebuild(*parts, options.slice_s + options.grace_s)
        self._sweeper = Sweeper(self._cell.funds, watch, self._cell.signs, time.monotonic)
        self._total = Outcome()
        self._swept = 0
        self._joined = False
        self._unsure = True  # something may be pending for us: from before, or after a batch that failed
        self._believed: Epoch | None = None  # asked of both, and Redis has said the same since
        self._heard = NOTHING_HEARD
        self._noted, self._noted_s = NOTHING_HEARD, 0.0
        self._beat, self._tidy = _Chore(BEAT_S), _Chore(MINUTE_S)
        self._claim = _Chore(max(BEAT_S, options.idle_s / 2))
        self._watch = Watch(*parts) if options.compare_s else None
        self._compare = _Chore(options.compare_s)
        self._weigh = _Chore(EVERY_S)
        self._report = _Chore(MINUTE_S, first_s=MINUTE_S)

    def work(self, stop: Event, news: News) -> None:
        """Go on until `stop` is set. Raises StoreUnavailable, psycopg errors, EpochMovedError."""
        while not stop.is_set():
            epoch = self._armed()
            news.good("Postgres and Redis answer again")
            if epoch is None:
                stop.wait(POLL_S if self._rebuild.is_stuck else BUILDING_POLL_S)
                continue
            began_s = time.monotonic()
            is_small = 0 < self._consume(epoch, BLOCK_MS) < GATHERED_MIN
            self._chores(epoch)
            if is_small:
                stop.wait(max(0.0, GATHER_S - (time.monotonic() - began_s)))
        self._say()

    def drain(self) -> Outcome:
        """Post all that waits, sweep once, and return what was done. Raises OperatorError when it cannot be armed."""
        epoch = self._armed_at_last()
        self._post(epoch, self._stream.take_over(self._options.idle_s * 1000))
        self._sweeper.sweep()
        while self._unsure or self._stream.backlog():
            if not self._consume(epoch, block_ms=1):
                break  # what is left waits for a consumer that lives
        self._books.quality.weigh()
        while self._books.measures.step(self._cell.client):
            continue
        return self._total

    def reread(self) -> Outcome:
        """Post what stands in the stream and not in Postgres, acknowledged or not; return what was looked at."""
        epoch = self._armed_at_last()
        total, dropped = Outcome(), self._books.given_up.dropped()
        for entries in self._stream.whole():
            total = total.plus(post(self._books, unposted(self._books, entries, dropped), epoch))
        return total

    def _armed(self) -> Epoch | None:
        """Return the epoch that Redis and Postgres agree on, after arming if that is due; None while it cannot be.

        Both are asked once a second; in between every batch hears what Redis says, and Postgres takes no other epoch.
        """
        if self._believed is not None:
            return self._believed
        epoch = self._rebuild.armed()
        if epoch is None:
            self._joined = False  # the group may have gone with everything else
            epoch = self._rebuild.step()
        if epoch is not None and not self._joined:
            self._rebuild.news.good("Redis is armed, calls are taken again")
            self._stream.join()
            self._joined = True
        self._believed = epoch
        return epoch

    def _armed_at_last(self) -> Epoch:
        """Return the epoch that is armed, after a rebuild if one is due. Raises OperatorError where that gets stuck."""
        deadline_s = time.monotonic() + self._options.patience_s
        while True:
            epoch = self._armed()
            if epoch is not None:
                return epoch
            if self._rebuild.is_stuck or time.monotonic() > deadline_s:
                raise OperatorError(self._rebuild.news.text)
            time.sleep(BUILDING_POLL_S)

    def _consume(self, epoch: Epoch, block_ms: int) -> int:
        """Post the next batch; return how many events it had, 0 also where Redis is not armed for `epoch` any more."""
        entries = self._stream.pending() if self._unsure else []
        self._unsure = bool(entries)
        if entries:
            self._post(epoch, entries)
            return len(entries)
        entries, self._heard = self._cell.taken(self._stream, block_ms)
        if not self._is_armed_for(epoch):
            self._believed, self._unsure = None, True
            return 0
        self._post(epoch, entries, self._heard)
        return len(entries)

    def _is_armed_for(self, epoch: Epoch) -> bool:
        status = self._heard.status
        return status.armed and status.epoch == epoch.number

    def _post(self, epoch: Epoch, entries: Sequence[Entry], heard: Heard | None = None) -> None:
        """Post entries. heard: after they were read."""
        if entries:
            # In the same transaction: Postgres must never know an event of an operation whose number it does not know
            # (rebuild, FAST).
            self._heard = heard or self._cell.heard()
            self._total = self._total.plus(post(self._books, entries, epoch, self._register))
            self._noted, self._noted_s = self._heard, time.monotonic()
            self._cell.note_posted(self._books.posting)  # before Redis may forget the events: see past.py
            self._stream.acknowledge(entries)

    def _register(self) -> None:
        """Register nodes, and the highest operation number: Redis' own, for no node has seen a higher one."""
        self._books.register(self._heard.nodes, self._heard.status.opseq)

    def _note(self, epoch: Epoch) -> None:
        """Register what was heard last, where that is new, or was noted a while ago."""
        heard, noted = self._heard, self._noted
        age_s = time.monotonic() - self._noted_s
        is_new = heard.nodes.keys() != noted.nodes.keys() or heard.status.opseq != noted.status.opseq
        if age_s >= NOTE_S or (is_new and age_s >= BEAT_S):
            self._books.note_nodes(heard.nodes, heard.status.opseq, epoch)
            self._noted, self._noted_s = heard, time.monotonic()

    def _chores(self, epoch: Epoch) -> None:
        if self._beat.is_due():
            self._believed = None
            self._swept += self._sweeper.sweep()
            self._note(epoch)
            self._books.measures.step(self._cell.client)
        if self._watch is not None and self._compare.is_due():
            self._watch.step()
        if self._weigh.is_due():
            self._books.quality.weigh()
        if self._claim.is_due():
            self._post(epoch, self._stream.take_over(self._options.idle_s * 1000))
        if self._tidy.is_due():
            self._stream.trim(self._cell.now_ms() - self._options.retention_s * 1000)
            self._stream.forget_the_dead()
        if self._report.is_due():
            self._say()

    def _say(self) -> None:
        """Log what was done since the last time."""
        log.info(
            "%s events posted, %s new ledger entries, %s events set aside, %s dead leases ended; %s events wait",
            *self._total,
            self._swept,
            self._stream.backlog(),
        )
        self._total, self._swept = Outcome(), 0


def _trouble(error: Exception) -> str:
    """Return who does not do its part and what it says, in one line."""
    where = "Redis" if isinstance(error, StoreUnavailable) else "Postgres"
    away = psycopg.OperationalError if where == "Postgres" else StoreUnavailable
    answered = isinstance(error, FunctionFailed) or not isinstance(error, away)
    text = str(error).strip().partition("\n")[0] or type(error).__name__
    return f"{where} {'refuses' if answered else 'does not answer'}: {text}"
