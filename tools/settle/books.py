"""Postgres as settlement sees it: posting, epochs, and the sums that Redis must agree with.

Rule 1: one batch is one transaction, and it commits only while the epoch row says what the caller believes (the row
is locked, shared): whoever rebuilds changes that row first, and so waits for, and then stops, every other writer.
Rule 2: what a batch writes, and in which order it locks, stands in batch.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import psycopg

from kemi import keys
from kemi.adapters.redis_operations import NOTHING_SPENT, Spent
from tools.database_url import checked
from tools.settle.batch import Batch
from tools.settle.given_up import GivenUp
from tools.settle.measures import MeasureLog
from tools.settle.progress import Progress
from tools.settle.quality import Quality
from tools.settle.rows import Plan
from tools.settle.sums import Sums, parts
from tools.sync.marker import Marker

LOCK_ID: Final = 0x7A4DE208
"""Advisory lock of whoever rebuilds and arms; any number of processes, one at a time."""

OPTIONS: Final = "-c jit=off -c work_mem=64MB"
"""Staged rows have no statistics, so the planner takes a batch for a report and compiles it, for 0.1 s; and the entries
of a batch, which triggers look at, would go through files."""

_EPOCH: Final = "select number, state from tandem.epoch order by number desc limit 1"

_POISON: Final = """
insert into tandem.event_poison(stream_id, reason, payload)
select %(id)s, %(reason)s, %(payload)s
 where not exists (select from tandem.event_poison p where p.stream_id = %(id)s and p.payload = %(payload)s)
"""

_POSTED: Final = """
select account_id, currency, charged_micros, n, events from tandem.fund_charge where events > 0
"""

_WINDOWS: Final = """
select c.account_id, c.currency, k.day_id, least(coalesce(d.spent_micros, 0), 9007199254740991),
       k.month_id, least(coalesce(m.spent_micros, 0), 9007199254740991)  -- 2^53 - 1: Redis counts no further
  from tandem.fund c
  join tandem.account a on a.id = c.account_id
 cross join lateral (
   select to_char(now() at time zone a.timezone, 'YYYYMMDD')::bigint as day_id,
          to_char(now() at time zone a.timezone, 'YYYYMM')::bigint as month_id) k
  left join tandem.fund_window d
    on (d.account_id, d.currency, d.kind, d.window_id) = (c.account_id, c.currency, 'day', k.day_id)
  left join tandem.fund_window m
    on (m.account_id, m.currency, m.kind, m.window_id) = (c.account_id, c.currency, 'month', k.month_id)
 where c.day_max_micros > 0 or c.month_max_micros > 0
"""

_NODES: Final = """
insert into tandem.node as n (name, last_seen, opseq)
select name, timestamptz 'epoch' + seen_ms * interval '1 millisecond', %s
  from unnest(%s::text[], %s::bigint[]) as x(name, seen_ms)
 order by name
on conflict (name) do update set
  last_seen = greatest(n.last_seen, excluded.last_seen), opseq = greatest(n.opseq, excluded.opseq)
"""


# A fund's event numbers are each from an operation of its own, so there were no fewer.
_KNOWN_OPSEQ: Final = """
select greatest((select max(opseq) from tandem.node), (select max(n) from tandem.fund_charge), 0)
"""

_NODES_ALIVE: Final = """
select name from tandem.node where last_seen > (select max(last_seen) from tandem.node) - interval '1 minute'
"""

_NODES_SEEN: Final = "select name, (extract(epoch from last_seen) * 1000)::bigint from tandem.node"

_HISTORY: Final = """
select (select system_identifier from pg_control_system()),
       (select oid::bigint from pg_database where datname = current_database()),
       ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint,
       (pg_current_wal_insert_lsn() - '0/0')::bigint
"""


_PAID: Final = """
select rid, account_id, currency, coalesce(-sum(amount_micros) filter (where book = 'fund'), 0)::bigint,
       coalesce(sum(amount_micros) filter (where book = 'income'), 0)::bigint, max(seq)
  from tandem.ledger_entry where origin = 'redis' and rid = any (%s) group by rid, account_id, currency
"""


class EpochMovedError(Exception):
    """The epoch row does not say what this writer believes: nothing was committed; find out who is right."""


class Epoch(NamedTuple):
    """The newest epoch. number 0: there was none yet. state: building, armed, lost."""

    number: int
    state: str


class Poisoned(NamedTuple):
    """An event set aside. id: in the stream; not unique for ever."""

    id: str
    reason: str
    payload: bytes


class Written(NamedTuple):
    """What one batch changed. added: new ledger entries. set_aside: events that were not among the poisoned before."""

    added: int
    set_aside: tuple[Poisoned, ...]


class Posted(NamedTuple):
    """What Postgres knows of one fund's charges. n: highest event number; events: how many entries."""

    charged_micros: int = 0
    n: int = 0
    events: int = 0


class Paid(NamedTuple):
    """What is posted of one call's charges. seq: the highest.

    micros: fund -> what it was charged. earned: payee and currency -> what it got for it. Both without zeros.
    """

    micros: Mapping[str, int]
    earned: Mapping[tuple[int, str], int]
    seq: int


class Windows(NamedTuple):
    """What calls have spent in the day and the month that are in force."""

    day: Spent
    month: Spent


NOTHING_PAID: Final = Paid({}, {}, 0)
NO_WINDOWS: Final = Windows(NOTHING_SPENT, NOTHING_SPENT)


class Books:
    """Postgres over one connection, in autocommit mode. All methods raise psycopg errors.

    posting: number of the last transaction in which this connection has posted, 0 = none. leads: whether it has the
    lock of whoever rebuilds.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._batch = Batch(connection)
        self.sums = Sums(connection)
        self.quality = Quality(connection)
        self.given_up = GivenUp(connection)
        self.progress = Progress(connection)
        self.measures = MeasureLog(connection)
        self.posting = 0
        self.leads = False

    @staticmethod
    def open(database_url: str) -> Books:
        """Connect. Raises psycopg.OperationalError."""
        return Books(
            psycopg.connect(checked(database_url), autocommit=True, application_name="tandem settle", options=OPTIONS)
        )

    def close(self) -> None:
        """Close the connection; its locks go with it."""
        self._connection.close()

    def post(
        self,
        plans: Sequence[Plan],
        poisoned: Sequence[Poisoned],
        believed: Epoch,
        besides: Callable[[], None] = lambda: None,
    ) -> Written:
        """Post everything in one transaction, do `besides` in it, and return what was new.

        Raises EpochMovedError, batch.ClashError; psycopg's DataError or IntegrityError where a row cannot be stored.
        """
        self._batch.prepare()
        with self._connection.transaction():
            self._insist(believed)
            added = self._batch.write(plans)
            aside = tuple(event for event in poisoned if self._connection.execute(_POISON, event._asdict()).rowcount)
            besides()
            posting = self._one("update tandem.posting set number = number + 1 returning number")
        self.posting = int(posting)
        return Written(added, aside)

    def epoch(self) -> Epoch:
        """Return the newest epoch."""
        return self._epoch("")

    def lead(self) -> bool:
        """Take the lock of whoever rebuilds; True when it is this connection's now, or was already."""
        self.leads = self.leads or bool(self._one("select pg_try_advisory_lock(%s)", (LOCK_ID,)))
        return self.leads

    def step_down(self) -> None:
        """Give the lock of whoever rebuilds back, if it is this connection's."""
        if self.leads:
            self._connection.execute("select pg_advisory_unlock(%s)", (LOCK_ID,))
            self.leads = False

    def begin_epoch(self, after: int, note: str) -> Epoch:
        """Open the next epoch, above `after` and all others, as `building`, and close what was open.

        From the commit on nobody who believes in an older epoch can post. Waits for those who are posting.
        """
        with self._connection.transaction():
            number = max(self._epoch(" for update").number, after) + 1
            self._connection.execute("update tandem.epoch set state = 'lost' where state in ('armed', 'building')")
            self._connection.execute(
                "insert into tandem.epoch(number, state, note) values (%s, 'building', %s)", (number, note)
            )
        return Epoch(number, "building")

    def arm(self, epoch: Epoch, open_redis: Callable[[int], None]) -> None:
        """Mark the epoch as armed around `open_redis(number)`: nobody can begin another epoch in between.

        Raises EpochMovedError when it is not being built any more; what `open_redis` raises undoes the mark.
        """
        with self._connection.transaction():
            if self._epoch(" for update") != epoch:
                raise EpochMovedError(f"epoch {epoch.number} is not being built any more")
            self._connection.execute(
                "update tandem.epoch set state = 'armed', armed_at = now() where number = %s", (epoch.number,)
            )
            open_redis(epoch.number)

    def funds(self) -> list[str]:
        """Return the names of all funds."""
        rows = self._connection.execute("select account_id, currency from tandem.fund order by account_id, currency")
        return [keys.fund(account_id, currency) for account_id, currency in rows]

    def credits(self) -> dict[str, tuple[int, int]]:
        """Return fund -> (version, micros) of its credit."""
        rows = self._connection.execute("select account_id, currency, cver, cred_micros from tandem.fund_credit")
        return {keys.fund(account_id, currency): (cver, cred) for account_id, currency, cver, cred in rows}

    def posted(self) -> dict[str, Posted]:
        """Return fund -> what is posted of its charges by calls; funds without any are left out."""
        rows = self._connection.execute(_POSTED)
        return {keys.fund(account_id, currency): Posted(*sums) for account_id, currency, *sums in rows}

    def windows(self) -> dict[str, Windows]:
        """Return fund -> what calls have spent in the day and month in force, of funds that have a cap on either."""
        rows = self._connection.execute(_WINDOWS)
        return {
            keys.fund(account_id, currency): Windows(Spent(day_id, day), Spent(month_id, month))
            for account_id, currency, day_id, day, month_id, month in rows
        }

    def posted_events(self, fund: str) -> dict[int, int]:
        """Return event number -> micros of one fund's charges by calls, added up over the epochs."""
        rows = self._connection.execute(
            "select fund_n, -sum(amount_micros)::bigint from tandem.ledger_entry where book = 'fund'"
            " and origin = 'redis' and account_id = %s and currency = %s group by fund_n",
            parts(fund),
        )
        return dict(rows.fetchall())

    def paid_of(self, rids: Sequence[str]) -> dict[str, Paid]:
        """Return rid -> what Redis charged for the call, as posted; calls of which nothing is posted are left out."""
        rows = self._connection.execute(_PAID, (list(rids),))
        found: dict[str, Paid] = {}
        for rid, account_id, currency, micros, income, seq in rows:
            before = found.get(rid, NOTHING_PAID)
            paid = {**before.micros, keys.fund(account_id, currency): micros} if micros else before.micros
            earned = {**before.earned, (account_id, currency): income} if income else before.earned
            found[rid] = Paid(paid, earned, max(before.seq, seq))
        return found

    def poisoned(self) -> list[Poisoned]:
        """Return the events that are set aside, oldest first."""
        rows = self._connection.execute("select stream_id, reason, payload from tandem.event_poison order by id")
        return [Poisoned(stream_id, reason, bytes(payload)) for stream_id, reason, payload in rows]

    def has_records(self, rids: Sequence[str]) -> set[str]:
        """Return those of `rids` that have a call record."""
        rows = self._connection.execute("select rid from tandem.cdr where rid = any (%s)", (list(rids),))
        return {rid for (rid,) in rows}

    def recorded(self, rids: Sequence[str]) -> set[tuple[str, int]]:
        """Return (rid, sequence) of the events whose records stand for those calls; late ends are left out.

        The record is written with all that its event leaves, so nothing of that event is missing.
        """
        rows = self._connection.execute(
            "select rid, seq from tandem.cdr where rid = any (%s) and not is_late", (list(rids),)
        )
        return {(rid, seq) for rid, seq in rows}

    def note_nodes(self, seen_ms: Mapping[str, int], opseq: int, believed: Epoch) -> None:
        """Register the nodes that Redis has heard of, and the highest operation number. EpochMovedError as `post`."""
        with self._connection.transaction():
            self._insist(believed)
            self.register(seen_ms, opseq)

    def register(self, seen_ms: Mapping[str, int], opseq: int) -> None:
        """Do what `note_nodes` does, within the transaction of `post`."""
        self._connection.execute(_NODES, (opseq, list(seen_ms), list(seen_ms.values())))

    def known_opseq(self) -> int:
        """Return the highest operation number of Redis that is known to have been answered; it never goes down."""
        return int(self._one(_KNOWN_OPSEQ))

    def nodes_alive(self) -> set[str]:
        """Return the nodes that were heard of when last any was, or up to a minute before."""
        return {name for (name,) in self._connection.execute(_NODES_ALIVE)}

    def nodes_seen(self) -> dict[str, int]:
        """Return node -> when it was last heard of, in ms by Redis' clock, of all nodes that ever were."""
        return dict(self._connection.execute(_NODES_SEEN).fetchall())

    def last_posting(self) -> int:
        """Return the number of the last transaction in which anybody has posted."""
        return int(self._one("select number from tandem.posting"))

    def raise_posting(self, number: int) -> None:
        """Let the numbers of postings go on after `number`, if they are below."""
        self._connection.execute("update tandem.posting set number = greatest(number, %s)", (number,))

    def history(self) -> Marker:
        """Return where the history of this Postgres stands, as sync marks it in Redis."""
        row = self._row(_HISTORY)
        return Marker(*map(int, row or ()))

    def take_epoch(self, number: int, *, armed: bool) -> Epoch:
        """Let the newest epoch be `number`, which Redis has and this Postgres has lost, or what is above it."""
        with self._connection.transaction():
            known = self._epoch(" for update")
            if known.number > number or (known == Epoch(number, "armed") and armed):
                return known
            self._connection.execute("update tandem.epoch set state = 'lost' where state in ('armed', 'building')")
            state = "armed" if armed else "lost"
            self._connection.execute(
                "insert into tandem.epoch(number, state, armed_at, note)"
                " values (%s, %s, case when %s then now() end, 'taken from Redis: Postgres was in the past')"
                " on conflict (number) do update set state = excluded.state, armed_at = excluded.armed_at",
                (number, state, armed),
            )
        return Epoch(number, state)

    def _insist(self, believed: Epoch) -> None:
        """Lock the epoch row, shared. Raises EpochMovedError unless it says what the caller believes."""
        if self._epoch(" for share") != believed:
            raise EpochMovedError(f"Postgres does not say that epoch {believed.number} is {believed.state}")

    def _epoch(self, lock: str) -> Epoch:
        row = self._row(_EPOCH + lock)
        return Epoch(*row) if row else Epoch(0, "lost")

    def _one(self, query: str, parameters: tuple[Any, ...] = ()) -> Any:
        row = self._row(query, parameters)
        return row[0] if row else None

    def _row(self, query: str, parameters: tuple[Any, ...] = ()) -> tuple[Any, ...] | None:
        return self._connection.execute(query, parameters).fetchone()
