"""The looking up of names beside the active syncer, in a thread and over a connection of its own.

Rule 1: the syncer never waits for it. What it finds goes through Postgres and its outbox like everything else.
Rule 2: one question at a time; a name is asked again when its TTL is over, one in trouble after 5 s, then ever less
often, up to a minute. Those that answered last time come first, then new ones, then those that wait longest; and of the
latter two only a few between two looks: however many are silent, they hold up no name that answers for long.
Rule 3: trouble changes nothing but what is said: the last known addresses stay.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from threading import Event, Thread
from typing import Final, NamedTuple

import dns.resolver
import psycopg

from tools.news import News
from tools.resolve.book import NameBook, Server
from tools.resolve.lookup import (
    TTL_MIN_S,
    Address,
    asks_itself,
    look_up,
    machines_resolver,
    own_hosts,
    resolver_from,
    without_ours,
)

POLL_S: Final = 1.0  # how late a new name is seen
AGAIN_S: Final = 1.0
TROUBLE_MAX_S: Final = 60
AT_ONCE: Final = 20  # names between two looks at which there are
UNSURE_AT_ONCE: Final = 2  # of these, names that have not answered last time: each may take two seconds
NAMED_MAX: Final = 5
JOIN_S: Final = 0.5  # a question may be on its way; the thread ends with the process in any case

log = logging.getLogger("tandem.resolve")


class Plan(NamedTuple):
    """When a server's name is asked next. due_s: monotonic. faults: how often in a row it was in trouble; -1: new."""

    server: Server
    due_s: float
    faults: int = -1
    fault: str = ""


@contextmanager
def resolving(database_url: str, env: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Keep the addresses of servers with names up to date while the block runs.

    env: TANDEM_RESOLVER says whom to ask, TANDEM_LISTEN, _LISTEN6 and _LISTEN_MORE what is our own. Raises
    OperatorError where the first cannot be read.
    """
    resolver = resolver_from(env)
    stop = Event()
    thread = Thread(target=keep, args=(database_url, resolver, stop, own_hosts(env)), name="resolve", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(JOIN_S)


def keep(
    database_url: str,
    resolver: dns.resolver.Resolver | None,
    stop: Event,
    own: frozenset[Address] = frozenset(),
) -> None:
    """Look names up until `stop` is set; outages are waited out.

    resolver: None = as the machine does. own: addresses at which we listen.
    """
    news = News(log)
    while not stop.is_set():
        try:
            with closing(NameBook.connect(database_url)) as book:
                _Round(book, resolver, news, own).work(stop)
        except (psycopg.Error, dns.resolver.NoResolverConfiguration) as error:
            text = str(error).strip().partition("\n")[0]
            news.trouble(f"names of servers are not looked up: {text or type(error).__name__}")
        except Exception:  # whatever a packet made of it: names must be looked up again
            log.exception("names of servers are not looked up for a moment")
        stop.wait(AGAIN_S)


def next_turn(due: Sequence[Plan]) -> list[Plan]:
    """Return which of the names that are due are asked before the next look, in order."""
    waiting = sorted(due, key=lambda plan: plan.due_s)
    sure = [plan for plan in waiting if plan.faults == 0]
    unsure = sorted((plan for plan in waiting if plan.faults), key=lambda plan: plan.faults > 0)
    return [*sure[: AT_ONCE - UNSURE_AT_ONCE], *unsure[:UNSURE_AT_ONCE]]


class _Round:
    """Work over one connection."""

    def __init__(
        self, book: NameBook, resolver: dns.resolver.Resolver | None, news: News, own: frozenset[Address]
    ) -> None:
        self._own = own
        self._book = book
        self._resolver = resolver
        self._news = news
        self._plans: dict[int, Plan] = {}

    def work(self, stop: Event) -> None:
        """Go on until `stop` is set. Raises psycopg errors."""
        while not stop.is_set():
            now_s = time.monotonic()
            before = self._plans
            self._plans = {
                server.id: before[server.id]
                if server.id in before and before[server.id].server == server
                else Plan(server, now_s)
                for server in self._book.servers()
            }
            due = [plan for plan in self._plans.values() if plan.due_s <= now_s]
            turn = next_turn(due)
            for plan in turn:
                if stop.is_set():
                    return
                self._plans[plan.server.id] = self._looked_up(plan)
            self._tell()
            if len(turn) == len(due):
                stop.wait(POLL_S)

    def _looked_up(self, plan: Plan) -> Plan:
        """Look a name up, keep what is found, and return when it is asked again."""
        server = plan.server
        if self._resolver is None:
            self._resolver = machines_resolver()
        found = look_up(self._resolver, server.host, server.port, server.transport)
        found = without_ours(found, self._own, may_loop=asks_itself(self._resolver))
        fault = self._book.note(server, found)
        faults = max(plan.faults, 0) + 1 if found.fault else 0
        wait_s = min(TTL_MIN_S * 2 ** min(max(plan.faults, 0), 8), TROUBLE_MAX_S) if found.fault else found.ttl_s
        return Plan(server, time.monotonic() + wait_s, faults, fault)

    def _tell(self) -> None:
        faults = [plan.fault for plan in self._plans.values() if plan.fault]
        if faults:
            more = f"; and {len(faults) - NAMED_MAX} more" if len(faults) > NAMED_MAX else ""
            self._news.trouble(f"last known addresses stay in force: {'; '.join(faults[:NAMED_MAX])}{more}")
        else:
            self._news.good("all names of servers are found again")
