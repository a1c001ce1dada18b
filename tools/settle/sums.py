"""What Postgres says of many funds at once, in bounded time: the other side of the continuous comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import psycopg

from kemi import keys

COMPARE_LOCK_ID: Final = 0x7A4DE20A
"""Advisory lock of the one process that compares."""

ABOVE_MAX: Final = 50_000  # entries of a fund that came since it was looked at; one with more is left for the next time

_CREDITS: Final = """
select account_id, currency, cver, cred_micros from tandem.fund_credit
 where (account_id, currency) > (%s, %s) order by account_id, currency limit %s
"""

_CHARGES: Final = """
select x.account_id, x.currency, c.charged_micros - above.micros + given_up.micros,
       c.events - above.events + given_up.events, above.events
  from unnest(%s::bigint[], %s::text[], %s::bigint[]) as x(account_id, currency, n)
  join tandem.fund_charge c using (account_id, currency)
 cross join lateral (
   select coalesce(-sum(e.amount_micros), 0)::bigint as micros, count(*) as events
     from (select amount_micros from tandem.ledger_entry e
            where e.book = 'fund' and e.origin = 'redis' and e.account_id = x.account_id and e.currency = x.currency
              and e.epoch = %s and e.fund_n > x.n limit %s) e) above
 cross join lateral (
   select coalesce(sum(l.amount_micros), 0)::bigint as micros, coalesce(sum(l.events), 0)::bigint as events
     from tandem.fund_loss l
    where l.account_id = x.account_id and l.currency = x.currency and (l.fund_n is null or l.fund_n <= x.n)) given_up
"""


class Credit(NamedTuple):
    """A fund's credit and its version."""

    fund: str
    cver: int
    cred_micros: int


class Charged(NamedTuple):
    """What is posted of a fund's charges up to an event number, or given up. events: how many."""

    micros: int
    events: int


class Sums:
    """Sums over one connection, in autocommit mode. All methods raise psycopg errors."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._is_mine = False

    def is_mine(self) -> bool:
        """Take the part of the one who compares; True when it is this connection's now, or was already."""
        if not self._is_mine:
            row = self._connection.execute("select pg_try_advisory_lock(%s)", (COMPARE_LOCK_ID,)).fetchone()
            self._is_mine = bool(row and row[0])
        return self._is_mine

    def credits(self, after: str, limit: int) -> list[Credit]:
        """Return at most `limit` funds after `after` ("" = from the first), in their order."""
        account_id, currency = parts(after) if after else (0, "")
        rows = self._connection.execute(_CREDITS, (account_id, currency, limit))
        return [Credit(keys.fund(account_id, currency), *credit) for account_id, currency, *credit in rows]

    def charged_at(self, numbers: Mapping[str, int], epoch: int) -> dict[str, Charged]:
        """Return fund -> what is posted up to its event number in `numbers`, all that came in epoch `epoch` left out.

        A fund that has more than 50,000 later ones is not in it.
        """
        named = [parts(fund) for fund in numbers]
        accounts, currencies = [name[0] for name in named], [name[1] for name in named]
        values = (accounts, currencies, list(numbers.values()), epoch, ABOVE_MAX + 1)
        return {
            keys.fund(account_id, currency): Charged(micros, events)
            for account_id, currency, micros, events, above in self._connection.execute(_CHARGES, values)
            if above <= ABOVE_MAX
        }

    def poisoned(self) -> int:
        """Return how many events are set aside."""
        row = self._connection.execute("select count(*) from tandem.event_poison").fetchone()
        return int(row[0]) if row else 0


def parts(fund: str) -> tuple[int, str]:
    """Return account and currency of a fund's name."""
    account_id, _, currency = fund.partition(":")
    return int(account_id), currency


def names(credit: Sequence[Credit]) -> list[str]:
    """Return the funds."""
    return [each.fund for each in credit]
