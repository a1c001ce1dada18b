"""A thread beside the passes that carries rates: what is too large for a pass, and the continuous comparison.

Rule 1: a set is never changed, so this needs nothing of the passes but the fence; a pass waits for nothing of this.
Rule 2: it takes its time: two thirds of it for a set that is wanted, a tenth for comparing. Calls come first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from threading import Event, Lock, Thread
from typing import Final, Self

import psycopg

from kemi import keys
from kemi.adapters.redis_client import StoreUnavailable
from tools.sync.rates import Portion, Rates
from tools.sync.source import Source
from tools.sync.store import FencedError, Store

LOAD_REST: Final = 0.5  # seconds of rest for each second of work
SWEEP_REST: Final = 9.0
ROUND_S: Final = 60.0  # a round of comparing begins no sooner after the one before; few rates take no time
REST_MAX_S: Final = 5.0
AGAIN_S: Final = 0.5  # after an outage
TOO_LARGE_S: Final = 60.0  # until a set that did not fit is tried again

_ALL_SETS: Final = "SELECT id FROM sync.rate_set ORDER BY id"

log = logging.getLogger("tandem.sync")


class RateLoader:
    """Loads and compares for as long as it is entered. Its methods are for the thread of the passes."""

    def __init__(self, database_url: str, redis_url: str, fence: int, ring: Callable[[], None] = lambda: None) -> None:
        """Prepare; fence: that of the active syncer, whose part this is. ring: wakes it when a set is complete."""
        self._ring = ring
        self._database_url = database_url
        self._redis_url = redis_url
        self._fence = fence
        self._thread = Thread(target=self._run, name="rates", daemon=True)
        self._lock = Lock()
        self._stop = Event()
        self._news = Event()
        self._wanted: dict[int, object] = {}  # set -> the wish: after `forget` the same set is another one
        self._complete: set[int] = set()
        self._too_large: dict[int, float] = {}  # sets that did not fit -> when to try again
        self._strangers: frozenset[int] = frozenset()
        self._failure: Exception | None = None
        self._drift = 0
        self._sweep_s = 0.0
        self._asked = 0  # how often a round in a hurry was asked for
        self._hurried = 0  # up to which of these there has been one
        self.rounds = 0

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it within a portion, and wait for that."""
        self._stop.set()
        self._news.set()
        self._thread.join()

    def want(self, number: int) -> None:
        """Have a set loaded, after those that are wanted already."""
        with self._lock:
            self._wanted.setdefault(number, object())
        self._news.set()

    def waiting(self) -> frozenset[int]:
        """Return the sets that are wanted and not complete yet. Raises what stopped the thread, if anything did."""
        if self._failure:
            raise self._failure
        with self._lock:
            return frozenset(self._wanted)

    def known(self) -> frozenset[int]:
        """Return the sets that are wanted, and those that were completed here."""
        with self._lock:
            return frozenset(self._wanted) | frozenset(self._complete)

    def forget(self, number: int) -> None:
        """Note that the buckets of a set are gone, also those that are being written."""
        with self._lock:
            self._complete.discard(number)
            self._wanted.pop(number, None)

    def take_strangers(self) -> frozenset[int]:
        """Return, once, the sets that had buckets in Redis when Postgres had no such set for it."""
        taken, self._strangers = self._strangers, frozenset()
        return taken

    def hurry(self) -> None:
        """Compare all sets now and without rest, once: Redis may have lost something."""
        self._asked += 1
        self._news.set()

    @property
    def is_running(self) -> bool:
        """False once it has ended, by itself or because it was told to."""
        return self._thread.is_alive()

    def status(self) -> dict[str, float]:
        """Return how it does, for the NOC.

        Sets that wait, those of them that do not fit into Redis, buckets mended so far, seconds of the last round.
        """
        return {
            "rates_waiting": len(self._wanted),
            "rates_too_large": len(self._too_large),
            "rates_drift": self._drift,
            "rates_sweep_s": round(self._sweep_s, 1),
        }

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._session()
            except FencedError as error:
                log.warning("rates are left to another syncer: %s", error)
                return
            except (psycopg.Error, StoreUnavailable) as error:
                log.warning("rates wait: %s", str(error).strip().partition("\n")[0])
                self._stop.wait(AGAIN_S)
            except Exception as error:  # noqa: BLE001  told to the passes, which end with it
                self._failure = error
                return

    def _session(self) -> None:
        """Work over a pair of connections until it breaks, or until told to stop."""
        source = Source.connect(self._database_url, name="tandem sync rates", listen=False)
        with closing(source), closing(Store.connect(self._redis_url)) as store:
            store.begin(self._fence)
            rates = Rates(source, store)
            while not self._stop.is_set():
                next_round, asked = time.monotonic() + ROUND_S, self._asked
                if self._work_off(rates, self._round(source, rates), asked):
                    self._hurried = asked
                while not self._stop.is_set() and self._asked == asked and time.monotonic() < next_round:
                    self._load_wanted(rates)
                    self._rest(next_round - time.monotonic())

    def _work_off(self, rates: Rates, sweep: Iterator[None], asked: int) -> bool:
        """Go through a round, loading in between what is wanted; False when another one is asked for first."""
        rest = SWEEP_REST if asked == self._hurried else 0.0
        while not self._stop.is_set() and asked == self._asked:
            self._load_wanted(rates)
            began = time.monotonic()
            if next(sweep, self) is self:
                return True
            self._rest((time.monotonic() - began) * rest)
        return False

    def _load_wanted(self, rates: Rates) -> None:
        while (first := self._first()) is not None:
            (number, wish), began = first, time.monotonic()
            log.info("loading rate set %d", number)
            for _ in self._paced(rates.complete(number)):
                if self._stop.is_set() or self._wanted.get(number) is not wish:
                    break
                if not rates.is_room_left():
                    self._put_off(rates, number)
                    break
            else:
                self._completed(number, wish)
                log.info("rate set %d is complete after %.1f s", number, time.monotonic() - began)

    def _first(self) -> tuple[int, object] | None:
        """Return the first set to load, with the wish for it; those that did not fit wait their time."""
        with self._lock:
            self._too_large = {number: at for number, at in self._too_large.items() if number in self._wanted}
            due = (wish for wish in self._wanted.items() if self._too_large.get(wish[0], 0.0) <= time.monotonic())
            return None if self._stop.is_set() else next(due, None)

    def _put_off(self, rates: Rates, number: int) -> None:
        """Give back the memory of a set that does not fit; it is tried again, others may have gone meanwhile."""
        rates.drop([keys.rate_set(number)])
        with self._lock:
            self._too_large[number] = time.monotonic() + TOO_LARGE_S
        log.error("rate set %d does not fit into the memory of Redis; tariffs keep the prices that they have", number)

    def _completed(self, number: int, wish: object) -> None:
        with self._lock:
            if self._wanted.get(number) is wish:
                del self._wanted[number]
                self._complete.add(number)
        self._ring()

    def _paced(self, portions: Iterable[int]) -> Iterator[None]:
        began = time.monotonic()
        for _ in portions:
            self._stop.wait(min(REST_MAX_S, (time.monotonic() - began) * LOAD_REST))
            yield
            began = time.monotonic()

    def _round(self, source: Source, rates: Rates) -> Iterator[None]:
        """Compare all sets that readers use, a portion at a time; mend what differs, and tell what is too much."""
        began = time.monotonic()
        for (number,) in source.rows(_ALL_SETS):
            if rates.is_read(number):
                for portion in rates.compare(number):
                    self._mend(rates, portion)
                    yield
        stored = set(rates.stored_numbers())  # before Postgres is asked: what it has not had since then is too much
        self._strangers = frozenset(stored.difference(number for (number,) in source.rows(_ALL_SETS)))
        self._sweep_s = time.monotonic() - began
        self.rounds += 1

    def _mend(self, rates: Rates, portion: Portion) -> None:
        mended = rates.mend(portion)
        if mended:
            self._drift += mended
            log.error("%d buckets of %s were not as in Postgres; mended", mended, keys.rate_set(portion.number))

    def _rest(self, seconds: float) -> None:
        """Wait, unless something is wanted meanwhile."""
        self._news.wait(min(REST_MAX_S, max(0.0, seconds)))
        self._news.clear()
