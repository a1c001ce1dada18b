"""The life of a syncer process: connect, stand by, follow, begin again.

Of all processes one holds the lock. When it dies Postgres frees the lock and the next one, asking every 0.25 s, draws a
higher fence: from then on Redis refuses the old one, should it live after all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from threading import Event
from typing import Final, NamedTuple

import psycopg

from kemi.adapters import redis_functions
from kemi.adapters.redis_client import StoreUnavailable
from tools.errors import OperatorError
from tools.news import News
from tools.resolve.work import resolving
from tools.sync.marker import FrozenError
from tools.sync.passes import Syncer
from tools.sync.source import Source
from tools.sync.store import FencedError, LostError, Store

POLL_S: Final = 0.02  # behind NOTIFY, which a lost connection or a pooler may swallow
BEAT_S: Final = 0.5
REFRESH_S: Final = 60  # how late a carrier's new day may begin; funds know their days in advance
STANDBY_S: Final = 0.25
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
    """Sync until `stop` is set, or with `once` until the outbox is empty.

    Never returns because of an outage. Raises OperatorError with `once` only: for an outage, a freeze, a wrong row.
    """
    news = News(log)
    while not stop.is_set():
        try:
            if _session(options, stop, news):
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
    with connections(options) as (source, store), ExitStack() as beside:
        if not _lead(options, source, stop):
            return True
        redis_functions.load(store.client)
        syncer = Syncer(source, store, accept=options.accept)
        syncer.start()
        news.good("back to work")
        if not options.once:
            beside.enter_context(resolving(options.database_url))
        beat_at = time.monotonic() + BEAT_S
        refresh_at = time.monotonic()
        while not stop.is_set():
            if time.monotonic() >= refresh_at:
                source.refresh_windows()
                refresh_at = time.monotonic() + REFRESH_S
            if syncer.run_pass():
                continue
            if options.once:
                _complain(syncer)
                return True
            if time.monotonic() >= beat_at:
                syncer.beat()
                beat_at = time.monotonic() + BEAT_S
            source.wait(POLL_S)
    return True


def _lead(options: Options, source: Source, stop: Event) -> bool:
    """Wait for the lock; False when there is no need of it: told to stop, or another one has emptied the outbox."""
    if source.try_lock():
        return True
    log.info("another syncer is active, standing by")
    while not stop.wait(STANDBY_S):
        if source.try_lock():
            return True
        if options.once and not source.waiting():
            return False
    return False


@contextmanager
def connections(options: Options) -> Iterator[tuple[Source, Store]]:
    """Connect to both, close both."""
    with closing(Source.connect(options.database_url)) as source, closing(Store.connect(options.redis_url)) as store:
        yield source, store


def _complain(syncer: Syncer) -> None:
    if syncer.wrong:
        rows = "; ".join(f"{name}: {why}" for name, why in list(syncer.wrong.items())[:WRONG_MAX])
        raise OperatorError(f"{len(syncer.wrong)} wrong in Postgres, Redis keeps their last state: {rows}")


def _give_up_if(once: bool, error: OperatorError) -> None:
    if once:
        raise error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
