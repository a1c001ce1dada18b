"""What is given up: events that Redis has charged and Postgres will never have.

Rule 1: what a person has given up, or what a Postgres in the past has lost for good, stays charged in Redis: it is
written down with its amount. What a rebuild that restored Redis could not find is charged nowhere: with amount 0.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from typing import Any, Final

import psycopg

from kemi import keys
from kemi.records import CallEvent, FundPosting
from tools.settle.sums import Charged, parts

_POSTED: Final = """
select x.account_id, x.currency, x.n
  from unnest(%s::bigint[], %s::text[], %s::bigint[]) as x(account_id, currency, n)
 where exists (
   select from tandem.ledger_entry e
    where e.book = 'fund' and e.origin = 'redis' and e.account_id = x.account_id and e.currency = x.currency
      and e.fund_n = x.n)
"""


class GivenUp:
    """Over one connection, in autocommit mode. All methods raise psycopg errors."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def unnumbered(self) -> dict[str, Charged]:
        """Return fund -> what was given up of it by events whose numbers nobody knows."""
        rows = self._connection.execute(
            "select account_id, currency, sum(amount_micros)::bigint, sum(events)::bigint from tandem.fund_loss"
            " where fund_n is null group by account_id, currency"
        )
        return {keys.fund(account_id, currency): Charged(*sums) for account_id, currency, *sums in rows}

    def numbered(self) -> dict[str, dict[int, int]]:
        """Return fund -> event number -> micros of the events that a person has given up: Redis has charged them."""
        rows = self._connection.execute(
            "select account_id, currency, fund_n, amount_micros from tandem.fund_loss where fund_n is not null"
        )
        found: dict[str, dict[int, int]] = {}
        for account_id, currency, number, micros in rows:
            found.setdefault(keys.fund(account_id, currency), {})[number] = micros
        return found

    def add(self, fund: str, epoch: int, events: int, micros: int = 0) -> None:
        """Write down that so many events of a fund are lost. micros: what stays charged for them."""
        self._connection.execute(
            "insert into tandem.fund_loss(account_id, currency, epoch, events, amount_micros)"
            " values (%s, %s, %s, %s, %s)",
            (*parts(fund), epoch, events, micros),
        )

    def dropped(self) -> dict[bytes, str]:
        """Return SHA-256 of its bytes -> reservation of every event that a person has given up."""
        return dict(self._connection.execute("select digest, rid from tandem.event_dropped").fetchall())

    def drop(self, payload: bytes, event: CallEvent | None, epoch: int, note: str) -> None:
        """Write down that an event is given up, and what it has charged; in a transaction of the caller.

        event: of those bytes; None: they are none, so whom it charged is not known. What is posted is left out.
        """
        self._connection.execute(
            "insert into tandem.event_dropped(digest, rid, note) values (%s, %s, %s) on conflict do nothing",
            (sha256(payload).digest(), event.rid if event else "", note),
        )
        postings: tuple[FundPosting, ...] = event.postings if event else ()
        posted = self.posted({(each.fund, each.n) for each in postings})
        for each in postings:
            if (each.fund, each.n) not in posted:
                self._connection.execute(
                    "insert into tandem.fund_loss(account_id, currency, epoch, fund_n, events, amount_micros)"
                    " values (%s, %s, %s, %s, 1, %s) on conflict do nothing",
                    (*parts(each.fund), epoch, each.n, each.amount_micros),
                )

    def posted(self, events: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
        """Return those of the events, (fund, number), that are posted."""
        if not events:
            return set()
        accounts, currencies = zip(*(parts(fund) for fund, _ in events), strict=True)
        values = (list(accounts), list(currencies), [number for _, number in events])
        rows = self._connection.execute(_POSTED, values)
        return {(keys.fund(account_id, currency), number) for account_id, currency, number in rows}
