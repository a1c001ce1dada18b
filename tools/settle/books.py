"""Postgres as settlement sees it: posting, epochs, and the sums that Redis must agree with.

Rule 1: one batch is one transaction, and it commits only while the epoch row says what the caller believes (the row
is locked, shared): whoever rebuilds changes that row first, and so waits for, and then stops, every other writer.
Rule 2: an id decides whether a row is new; a row that is there already must be the very same, else `ClashError`.
Rule 3: of several events of a call the record and legs of the highest sequence stand, in whatever order they come,
those of a late end before all others.
Rule 4: the record comes first, because writing it, or trying to, locks the call: what is read of the call's entries
afterwards is complete, so a late end posts exactly the difference, once.

Locks are taken in the order of ids, so two consumers of the same events wait for each other and never deadlock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg

from kemi import keys
from tools.settle.late import Place, difference, taken_back
from tools.settle.postings import EntryRow, Plan

LOCK_ID: Final = 0x7A4DE208
"""Advisory lock of whoever rebuilds and arms; any number of processes, one at a time."""

_EPOCH: Final = "select number, state from tandem.epoch order by number desc limit 1"

_CDRS: Final = """
insert into tandem.cdr as c (
  rid, call_id, node, started_at, answered_at, ended_at, direction, source, account_id, caller, callee, outcome,
  sip_status, reason, q850, ended_by, talk_ms, billed_s, server_id, group_id, attempts, trace, config_pass, epoch, seq,
  is_late)
select rid, call_id, node, timestamptz 'epoch' + started_ms * interval '1 millisecond',
       case when answered_ms > 0 then timestamptz 'epoch' + answered_ms * interval '1 millisecond' end,
       timestamptz 'epoch' + ended_ms * interval '1 millisecond', direction, source, account_id, caller, callee,
       outcome, sip_status, reason, q850, ended_by, talk_ms, billed_s, server_id, group_id, attempts, trace,
       config_pass, epoch, seq, is_late
  from jsonb_to_recordset(%s::jsonb) as x(
    rid text, call_id text, node text, started_ms bigint, answered_ms bigint, ended_ms bigint, direction text,
    source text, account_id bigint, caller text, callee text, outcome text, sip_status integer, reason text,
    q850 integer, ended_by text, talk_ms bigint, billed_s integer, server_id bigint, group_id bigint, attempts jsonb,
    trace text[], config_pass bigint, epoch bigint, seq integer, is_late boolean)
 order by rid
on conflict (rid) do update set
  answered_at = excluded.answered_at, ended_at = excluded.ended_at, outcome = excluded.outcome,
  sip_status = excluded.sip_status, reason = excluded.reason, q850 = excluded.q850, ended_by = excluded.ended_by,
  talk_ms = excluded.talk_ms, billed_s = excluded.billed_s, server_id = excluded.server_id,
  group_id = excluded.group_id, attempts = excluded.attempts, epoch = excluded.epoch, seq = excluded.seq,
  is_late = excluded.is_late, trace = case when excluded.is_late
    then excluded.trace || format('late: corrects a record that said %%s, %%s s billed', c.outcome, c.billed_s)
    else excluded.trace end
  where (c.is_late, c.seq) < (excluded.is_late, excluded.seq)
returning rid, xmax <> 0
"""

_LEGS: Final = """
insert into tandem.cdr_leg(
  rid, level, payer_id, payee_id, currency, price_micros, tariff_id, rate_set_id, prefix, book)
select * from jsonb_to_recordset(%s::jsonb) as x(
  rid text, level integer, payer_id bigint, payee_id bigint, currency text, price_micros bigint, tariff_id bigint,
  rate_set_id bigint, prefix text, book text)
"""

_ENTRY_FIELDS: Final = """
  id uuid, txn_id uuid, account_id bigint, book text, currency text, amount_micros bigint, origin text, rid text,
  level integer, seq integer, epoch bigint, fund_n bigint, note text"""

_ENTRIES: Final = f"""
insert into tandem.ledger_entry(
  id, txn_id, account_id, book, currency, amount_micros, origin, rid, level, seq, epoch, fund_n, note, actor)
select x.*, 'settle' from jsonb_to_recordset(%s::jsonb) as x({_ENTRY_FIELDS})
 order by id
on conflict (id) do nothing
returning id
"""  # noqa: S608  only constants of this module

_CLASH: Final = f"""
select x.rid from jsonb_to_recordset(%s::jsonb) as x({_ENTRY_FIELDS}) join tandem.ledger_entry e using (id)
 where (e.account_id, e.currency, e.amount_micros, e.epoch, e.fund_n)
       is distinct from (x.account_id, x.currency, x.amount_micros, x.epoch, x.fund_n)
 limit 1
"""  # noqa: S608  only constants of this module

_SUMS: Final = """
select rid, account_id, book, currency, level, sum(amount_micros)::bigint
  from tandem.ledger_entry where rid = any (%s) group by rid, account_id, book, currency, level
"""

_POISON: Final = """
insert into tandem.event_poison(stream_id, reason, payload)
select %(id)s, %(reason)s, %(payload)s
 where not exists (select from tandem.event_poison p where p.stream_id = %(id)s and p.payload = %(payload)s)
"""

_POSTED: Final = """
select account_id, currency, -sum(amount_micros)::bigint, max(fund_n), count(*)
  from tandem.ledger_entry where book = 'fund' and origin = 'redis' group by account_id, currency
"""

_NODES: Final = """
insert into tandem.node as n (name, last_seen, opseq)
select name, timestamptz 'epoch' + seen_ms * interval '1 millisecond', %s
  from unnest(%s::text[], %s::bigint[]) as x(name, seen_ms)
 order by name
on conflict (name) do update set
  last_seen = greatest(n.last_seen, excluded.last_seen), opseq = greatest(n.opseq, excluded.opseq)
"""


class EpochMovedError(Exception):
    """The epoch row does not say what this writer believes: nothing was committed; find out who is right."""


class ClashError(Exception):
    """An id stands in the ledger with other contents: a reservation id was used for two calls. Nothing committed."""


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


class Books:
    """Postgres over one connection, in autocommit mode. All methods raise psycopg errors."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._leads = False

    @staticmethod
    def open(database_url: str) -> Books:
        """Connect. Raises psycopg.OperationalError."""
        return Books(psycopg.connect(database_url, autocommit=True, application_name="tandem settle"))

    def close(self) -> None:
        """Close the connection; its locks go with it."""
        self._connection.close()

    def post(self, plans: Sequence[Plan], poisoned: Sequence[Poisoned], believed: Epoch) -> Written:
        """Post everything in one transaction and return what was new.

        Raises EpochMovedError, ClashError; psycopg's DataError or IntegrityError where a row cannot be stored.
        """
        with self._connection.transaction():
            self._insist(believed)
            standing = self._post_calls(plans)
            new = self._post_entries([entry for each in plans if not each.cdr.is_late for entry in each.entries])
            added = len(new) + len(self._post_entries(self._corrections(plans, standing, new)))
            aside = tuple(event for event in poisoned if self._connection.execute(_POISON, event._asdict()).rowcount)
        return Written(added, aside)

    def epoch(self) -> Epoch:
        """Return the newest epoch."""
        return self._epoch("")

    def lead(self) -> bool:
        """Take the lock of whoever rebuilds; True when it is this connection's now, or was already."""
        self._leads = self._leads or bool(self._one("select pg_try_advisory_lock(%s)", (LOCK_ID,)))
        return self._leads

    def step_down(self) -> None:
        """Give the lock of whoever rebuilds back, if it is this connection's."""
        if self._leads:
            self._connection.execute("select pg_advisory_unlock(%s)", (LOCK_ID,))
            self._leads = False

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

    def posted_events(self, fund: str) -> dict[int, int]:
        """Return event number -> micros of one fund's charges by calls, added up over the epochs."""
        account_id, _, currency = fund.partition(":")
        rows = self._connection.execute(
            "select fund_n, -sum(amount_micros)::bigint from tandem.ledger_entry where book = 'fund'"
            " and origin = 'redis' and account_id = %s and currency = %s group by fund_n",
            (int(account_id), currency),
        )
        return dict(rows.fetchall())

    def poisoned(self) -> list[Poisoned]:
        """Return the events that are set aside, oldest first."""
        rows = self._connection.execute("select stream_id, reason, payload from tandem.event_poison order by id")
        return [Poisoned(stream_id, reason, bytes(payload)) for stream_id, reason, payload in rows]

    def has_records(self, rids: Sequence[str]) -> set[str]:
        """Return those of `rids` that have a call record."""
        rows = self._connection.execute("select rid from tandem.cdr where rid = any (%s)", (list(rids),))
        return {rid for (rid,) in rows}

    def note_nodes(self, seen_ms: Mapping[str, int], opseq: int, believed: Epoch) -> None:
        """Register the nodes that Redis has heard of, and the highest operation number. EpochMovedError as `post`."""
        with self._connection.transaction():
            self._insist(believed)
            self._connection.execute(_NODES, (opseq, list(seen_ms), list(seen_ms.values())))

    def known_opseq(self) -> int:
        """Return the highest operation number of Redis that is known to have been answered."""
        return int(self._one("select coalesce(max(opseq), 0) from tandem.node"))

    def forget_opseq(self) -> None:
        """Begin counting operations anew: Redis begins from nothing."""
        self._connection.execute("update tandem.node set opseq = 0")

    def _insist(self, believed: Epoch) -> None:
        """Lock the epoch row, shared. Raises EpochMovedError unless it says what the caller believes."""
        if self._epoch(" for share") != believed:
            raise EpochMovedError(f"Postgres does not say that epoch {believed.number} is {believed.state}")

    def _epoch(self, lock: str) -> Epoch:
        row = self._row(_EPOCH + lock)
        return Epoch(*row) if row else Epoch(0, "lost")

    def _post_entries(self, entries: Iterable[EntryRow]) -> set[UUID]:
        """Return the ids of those entries that were not there."""
        rows = _json(entries)
        if rows == "[]":
            return set()
        added = {entry_id for (entry_id,) in self._connection.execute(_ENTRIES, (rows,))}
        clash = self._row(_CLASH, (rows,))
        if clash:
            raise ClashError(f"reservation {clash[0]} is in the ledger with other amounts: its id was used twice")
        return added

    def _corrections(
        self, plans: Sequence[Plan], standing: Mapping[str, Plan], new: Collection[UUID]
    ) -> list[EntryRow]:
        """Return what late ends add to `new`, the entries of other events that were not there before.

        standing: rid -> whose record stands since now. All in one statement, so that funds are locked in one order.
        """
        late = [each for rid, each in standing.items() if each.cdr.is_late]
        posted: dict[str, dict[Place, int]] = {each.cdr.rid: {} for each in late}
        for rid, *place, micros in self._connection.execute(_SUMS, (list(posted),)) if late else ():
            posted[rid][Place(*place)] = micros
        made = [entry for each in late for entry in difference(each, posted[each.cdr.rid])]
        strays = [entry for each in plans for entry in each.entries if entry.id in new and entry.rid not in standing]
        corrected = self._corrected({entry.rid for entry in strays})
        return [*made, *taken_back([entry for entry in strays if entry.rid in corrected])]

    def _corrected(self, rids: Collection[str]) -> set[str]:
        """Return those of `rids` whose record is a late end's."""
        if not rids:
            return set()
        rows = self._connection.execute("select rid from tandem.cdr where is_late and rid = any (%s)", (list(rids),))
        return {rid for (rid,) in rows}

    def _post_calls(self, plans: Sequence[Plan]) -> dict[str, Plan]:
        """Return rid -> the plan of every record that is written or replaced now."""
        latest: dict[str, Plan] = {}
        for each in plans:
            before = latest.get(each.cdr.rid)
            if before is None or (before.cdr.is_late, before.cdr.seq) < (each.cdr.is_late, each.cdr.seq):
                latest[each.cdr.rid] = each
        written = dict(self._connection.execute(_CDRS, (_json(each.cdr for each in latest.values()),)).fetchall())
        replaced = [rid for rid, existed in written.items() if existed]
        if replaced:
            self._connection.execute("delete from tandem.cdr_leg where rid = any (%s)", (replaced,))
        self._connection.execute(_LEGS, (_json(leg for rid in written for leg in latest[rid].legs),))
        return {rid: latest[rid] for rid in written}

    def _one(self, query: str, parameters: tuple[Any, ...] = ()) -> Any:
        row = self._row(query, parameters)
        return row[0] if row else None

    def _row(self, query: str, parameters: tuple[Any, ...] = ()) -> tuple[Any, ...] | None:
        return self._connection.execute(query, parameters).fetchone()


def _json(rows: Iterable[Any]) -> str:
    """Return NamedTuples as a JSON array of objects; ids as text, tuples as arrays."""
    return json.dumps([row._asdict() for row in rows], default=str)
