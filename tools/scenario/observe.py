"""What really happened to a call: its record, its payments, its leases, and what each far end received."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg
from psycopg.rows import namedtuple_row

from kemi import keys
from kemi.adapters.redis_client import RedisClient

REDIS_TIMEOUT_MS = 5_000

_RECORD = """
select c.rid, c.outcome, c.sip_status, c.reason, c.ended_by, c.billed_s, c.talk_ms, c.trace,
       coalesce(s.name, '') as carrier
  from tandem.cdr c
  left join tandem.peering_server s on s.id = c.server_id
 where c.call_id = %s
"""

_ATTEMPTS = """
select concat_ws(' ', coalesce(s.name, '#' || a.place, '?'), a.status, nullif(a.why, '')) as attempt
  from tandem.cdr_attempt a
  left join tandem.peering_server s on s.id = a.server_id
 where a.rid = %s
 order by a.n
"""

_LEGS = """
select l.level, payer.name as payer, payee.name as payee, l.price_micros, l.currency,
       coalesce(l.charged_micros, l.price_micros) as charged_micros, coalesce(l.fund_currency, l.currency) as charged_in
  from tandem.cdr_leg l
  join tandem.account payer on payer.id = l.payer_id
  join tandem.account payee on payee.id = l.payee_id
 where l.rid = %s
 order by l.level
"""

_UNBALANCED = """
select currency, sum(amount_micros) as micros
  from tandem.ledger_entry where rid = %s group by currency having sum(amount_micros) <> 0
"""

_LEDGER = """
select currency, count(*) as entries, sum(amount_micros) as micros from tandem.ledger_entry group by currency
"""

_REFILL = """
select tandem.topup_v1(b.account_id, o.micros - b.balance_micros, 'back to the opening balance', 'scenarios')
  from tandem.fund_balance b
  join tandem.account a on a.id = b.account_id
  cross join lateral (
    select coalesce(sum(e.amount_micros), 0)::bigint as micros from tandem.ledger_entry e
     where e.account_id = b.account_id and e.book = 'fund' and e.note = 'opening balance'
  ) o
 where starts_with(a.name, %s) and o.micros <> b.balance_micros
"""


class Record(NamedTuple):
    """The call detail record with its payments.

    attempts: "<server> <status> <word>", in order; "#<place among the call's targets>" stands for phones and servers
    that are no carrier's. legs: (level, payer, payee, micros, currency, micros that its fund paid, their currency).
    """

    rid: str
    outcome: str
    status: int
    reason: str
    ended_by: str
    billed_s: int
    talk_ms: int
    carrier: str
    trace: tuple[str, ...]
    attempts: tuple[str, ...]
    legs: tuple[tuple[int, str, str, int, str, int, str], ...]
    unbalanced: tuple[tuple[str, int], ...]
    leased: bool


class Watch:
    """Reads Postgres and Redis of a running stack; changes nothing."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        """Connect to Postgres, and to Redis with the first question. Raises their connection errors."""
        self._database = psycopg.connect(database_url, autocommit=True, row_factory=namedtuple_row)
        self._redis = RedisClient(redis_url, REDIS_TIMEOUT_MS)

    def record(self, call_id: str) -> Record | None:
        """Return what is known of the call, or None while no record has arrived."""
        row: Any = self._database.execute(_RECORD, (call_id,)).fetchone()
        if row is None:
            return None
        legs: Any = self._database.execute(_LEGS, (row.rid,)).fetchall()
        attempts: Any = self._database.execute(_ATTEMPTS, (row.rid,)).fetchall()
        unbalanced: Any = self._database.execute(_UNBALANCED, (row.rid,)).fetchall()
        return Record(
            rid=row.rid,
            outcome=row.outcome,
            status=row.sip_status,
            reason=row.reason,
            ended_by=row.ended_by,
            billed_s=row.billed_s,
            talk_ms=row.talk_ms,
            carrier=row.carrier,
            trace=tuple(row.trace),
            attempts=tuple(each.attempt for each in attempts),
            legs=tuple(tuple(leg) for leg in legs),
            unbalanced=tuple(tuple(sum_) for sum_ in unbalanced),
            leased=self._redis.execute("ZSCORE", keys.LEASES, row.rid) is not None,
        )

    def ledger(self) -> tuple[tuple[str, int, int], ...]:
        """Return (currency, number of entries, sum in micros) of the whole ledger."""
        rows: Any = self._database.execute(_LEDGER).fetchall()
        return tuple((row.currency, int(row.entries), int(row.micros)) for row in rows)

    def unsynced(self) -> int:
        """Return how many changes of configuration have not reached Redis yet."""
        row: Any = self._database.execute("select count(*) as n from tandem.outbox").fetchone()
        return int(row.n)

    def leases(self) -> int:
        """Return how many reservations are open."""
        return int(self._redis.execute("ZCARD", keys.LEASES))

    def load_world(self, accounts: str, sql: str) -> None:
        """Run a world's SQL in one transaction; a world that is there only gets its opening balances back.

        accounts: what the names of its accounts begin with. Raises psycopg errors for bad SQL.
        """
        with self._database.transaction():
            known = self._database.execute("select from tandem.account where starts_with(name, %s)", (accounts,))
            if known.fetchone() is None:
                self._database.execute(sql)  # a file of the project, not user data
            else:
                self._database.execute(_REFILL, (accounts,))

    def close(self) -> None:
        """Close both connections."""
        self._database.close()
        self._redis.close()
