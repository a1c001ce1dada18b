"""The life of a syncer process: connect, stand by, follow, begin again.

Of all processes one holds the lock. When it dies Postgres frees the lock and the next one, asking every 0.1 s, draws a
higher fence: from then on Redis refuses the old one, should it live after all. It goes on where that one was: what
Postgres has as applied is in Redis, and the outbox names the rest. An operator's `--once --yes` goes first: the running
one steps aside for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from threading import Event
from typing import Final, NamedTuple

import psycopg

from kemi.adapters import redis_functions
from kemi.adapters.redis_client import StoreUnavailable
from tools.errors import OperatorError
from tools.news import News
from tools.resolve.work import resolving
from tools.sync.kinds import Kind
from tools.sync.marker import FrozenError
from tools.sync.passes import StoppedError, Syncer
from tools.sync.rate_loader import RateLoader
from tools.sync.source import Source
from tools.sync.store import FencedError, LostError, Store
from tools.sync.sweep import Sweep
from tools.sync.sweeper import Sweeper, sweeping

BEAT_S: Final = 0.5  # also the poll behind NOTIFY, which a lost connection or a pooler may swallow
REFRESH_S: Final = 60  # how late a carrier's new day may begin; funds know their days in advance
STANDBY_S: Final = 0.1
AGAIN_S: Final = 0.5
FROZEN_S: Final = 10  # the lock is free meanwhile, for the operator's `--once --yes`
WRONG_MAX: Final = 20  # wrong rows that an operator is told of

log = logging.getLogger("tandem.sync")


class Options(NamedTuple):
    """once: stop when the outbox is empty. accept: an operator allows mass deletion and a restored past."""

    database_url: str
    redis_url: str
    once: bool = False
    accept: bool = False


def follow(options: Options, stop: Event) -> None:
    """Sync until `stop` is set, or with `once` until the outbox is empty and nothing is in doubt.

    Never returns because of an outage. Raises OperatorError with `once` only: for an outage, a freeze, a wrong row.
    """
    news = News(log)
    while not stop.is_set():
        try:
            if _session(options, stop, news):
                return
        except StoppedError:
            return
        except FrozenError as error:
            _give_up_if(options.once, error)
            news.trouble(str(error))
            stop.wait(FROZEN_S)
        except (FencedError, LostError) as error:
            news.trouble(f"{error}; beginning again")
        except (psycopg.Error, StoreUnavailable) as error:
            where = "Redis" if isinstance(error, StoreUnavailable) else "Postgres"
            text = f"{where} does not do its part: {_first_line(error)}"
            _give_up_if(options.once, OperatorError(text))
            news.trouble(f"{text}; configuration in Redis stays as it is, trying again")
            stop.wait(AGAIN_S)


def _session(options: Options, stop: Event, news: News) -> bool:
    """Work over one pair of connections; True when there is nothing more to do."""
    with connections(options) as (source, store):
        if not _lead(options, source, stop):
            return True
        redis_functions.load(store.client)
        syncer = Syncer(source, store, accept=options.accept, stop=stop)
        try:
            syncer.start()
            news.good("back to work")
            if options.once:
                _run_once(options, source, syncer)
                return True
            with (
                resolving(options.database_url),
                RateLoader(options.database_url, options.redis_url, store.own_fence, source.ring) as loader,
                sweeping(syncer, lambda: beside(options), source.ring) as sweeper,
            ):
                syncer.load_beside(loader)
                if syncer.unsure:
                    loader.hurry()
                return _serve(source, syncer, sweeper, stop)
        except FrozenError as error:
            with suppress(StoreUnavailable, FencedError):
                syncer.freeze(error)
            raise


def _serve(source: Source, syncer: Syncer, sweeper: Sweeper, stop: Event) -> bool:
    """Follow until `stop` is set; False when somebody else goes first."""
    beat, refresh, news = Every(BEAT_S), Every(REFRESH_S), True
    while not stop.is_set():
        if refresh.is_due():
            source.refresh_windows()
        if beat.is_due():
            if source.is_another_first():
                log.info("an operator's run goes first, stepping aside")
                return False
            news = syncer.beat() or news
        has_passed = news and syncer.run_pass()
        has_swept = sweeper.turn()
        news = has_passed or source.wait(0.0 if has_swept else beat.left_s()) or syncer.holds
    return True


def _run_once(options: Options, source: Source, syncer: Syncer) -> None:
    """Apply all that waits and compare all that is in doubt. Raises OperatorError for what is left."""
    source.refresh_windows()
    while True:
        while syncer.run_pass():
            pass
        doubts = syncer.unsure
        if not doubts:
            break
        _sweep_at_once(options, syncer, doubts)
        if syncer.certainty.held_text:
            raise FrozenError(syncer.certainty.held_text)
    syncer.beat()
    if syncer.wrong:
        rows = "; ".join(f"{name}: {why}" for name, why in list(syncer.wrong.items())[:WRONG_MAX])
        raise OperatorError(f"{len(syncer.wrong)} wrong in Postgres, Redis keeps their last state: {rows}")


def _sweep_at_once(options: Options, syncer: Syncer, kinds: Sequence[Kind]) -> None:
    syncer.certainty.begin()
    began = time.monotonic()
    source, store = beside(options)
    with closing(source), closing(store):
        for found in Sweep(source, store).round(kinds):
            for _ in syncer.repairs(found) if found else ():
                pass
            while syncer.run_pass():
                pass
    syncer.swept(kinds, time.monotonic() - began)


class Every:
    """Tells when something is to be done again. At once the first time."""

    def __init__(self, seconds: float) -> None:
        """seconds: between two times."""
        self._seconds = seconds
        self._due_at = 0.0

    def left_s(self) -> float:
        """Return for how many seconds it is not."""
        return max(0.0, self._due_at - time.monotonic())

    def is_due(self) -> bool:
        """Tell it; once every so often it is."""
        now = time.monotonic()
        if now < self._due_at:
            return False
        self._due_at = now + self._seconds
        return True


def _lead(options: Options, source: Source, stop: Event) -> bool:
    """Wait for the lock; False when there is no need of it: told to stop, or another one has emptied the outbox."""
    if options.accept:
        source.go_first()
    if _is_free(options, source):
        return True
    log.info("another syncer is active, standing by")
    while not stop.wait(STANDBY_S):
        if _is_free(options, source):
            return True
        if options.once and not options.accept and not source.waiting():
            return False
    return False


def _is_free(options: Options, source: Source) -> bool:
    return (options.accept or not source.is_another_first()) and source.try_lock()


@contextmanager
def connections(options: Options) -> Iterator[tuple[Source, Store]]:
    """Connect to both, close both."""
    with closing(Source.connect(options.database_url)) as source, closing(Store.connect(options.redis_url)) as store:
        yield source, store


def beside(options: Options) -> tuple[Source, Store]:
    """Connect to both once more, only to read; the caller closes."""
    source = Source.connect(options.database_url, name="tandem sync sweep", listen=False)
    return source, Store.connect(options.redis_url)


def _give_up_if(once: bool, error: OperatorError) -> None:
    if once:
        raise error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
