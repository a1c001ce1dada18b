"""One batch of plans into Postgres, inside the caller's transaction.

Rule 1: an id decides whether a row is new; a row that is there already must be the very same, else `ClashError`.
Rule 2: of several events of a call the record, legs and tries of the highest sequence stand, in whatever order they
come, those of a late end before all others.
Rule 3: a call is locked before what is posted of it is read: by its record, which writing it, or trying to, locks;
for parts and late ends by a lock of their own besides, because a part has no record. So a late end posts exactly the
difference, once.
Rule 4: spend and thresholds are counted in the transaction that posts, from exactly the entries that were not there.
Parts count by the end of their own talk, all else of a call by the end in its record: when a late end moves that,
what was counted by the old one moves along.

Locks are taken in one order, calls by name, entries by id, funds by theirs: two consumers of the same events wait for
each other and never deadlock. Rows go through temporary tables: COPY is the only way in that keeps up with Redis.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import errors, sql

from tools.settle.late import PART_MARK, Moved, Place, difference, moved_spend, taken_back
from tools.settle.quality import CallsRow, Tally, Tried
from tools.settle.rows import FUND, AttemptRow, CdrRow, EntryRow, LegRow, Plan

CALL_LOCKS: Final = 0x7A4DE209
"""First number of the advisory locks of calls with parts or late ends; the second is the call's bucket."""

BUCKETS: Final = 256
MINUTE_MS: Final = 60_000  # no window of any time zone begins inside a minute

_STAGES: Final = """
create temporary table if not exists cdr_stage (
  rid text, call_id text, node text, started_ms bigint, answered_ms bigint, ended_ms bigint, direction text,
  source text, account_id bigint, caller text, callee text, outcome text, sip_status integer, reason text,
  q850 integer, ended_by text, talk_ms bigint, billed_s integer, server_id bigint, group_id bigint, attempts jsonb,
  trace text[], config_pass bigint, epoch bigint, seq integer, is_late boolean, refused_by bigint,
  hidden boolean, left_out jsonb
) on commit delete rows;
create temporary table if not exists entry_stage (
  id uuid, txn_id uuid, account_id bigint, book text, currency text, amount_micros bigint, origin text, rid text,
  level integer, seq integer, epoch bigint, fund_n bigint, note text, group_id bigint, actor text
) on commit delete rows
"""

_CDRS: Final = """
insert into tandem.cdr as c (
  rid, call_id, node, started_at, answered_at, ended_at, direction, source, account_id, caller, callee, outcome,
  sip_status, reason, q850, ended_by, talk_ms, billed_s, server_id, group_id, attempts, trace, config_pass, epoch, seq,
  is_late, refused_by, hidden, left_out)
select rid, call_id, node, timestamptz 'epoch' + started_ms * interval '1 millisecond',
       case when answered_ms > 0 then timestamptz 'epoch' + answered_ms * interval '1 millisecond' end,
       timestamptz 'epoch' + ended_ms * interval '1 millisecond', direction, source, account_id, caller, callee,
       outcome, sip_status, reason, q850, ended_by, talk_ms, billed_s, server_id, group_id, attempts, trace,
       config_pass, epoch, seq, is_late, refused_by, hidden, left_out
  from pg_temp.cdr_stage
 order by rid
on conflict (rid) do update set
  answered_at = excluded.answered_at, ended_at = excluded.ended_at, outcome = excluded.outcome,
  sip_status = excluded.sip_status, reason = excluded.reason, q850 = excluded.q850, ended_by = excluded.ended_by,
  talk_ms = excluded.talk_ms, billed_s = excluded.billed_s, server_id = excluded.server_id,
  group_id = excluded.group_id, attempts = excluded.attempts, epoch = excluded.epoch, seq = excluded.seq,
  is_late = excluded.is_late, refused_by = excluded.refused_by, left_out = excluded.left_out,
  trace = case when excluded.is_late
    then excluded.trace || format('late: corrects a record that said %s, %s s billed', c.outcome, c.billed_s)
    else excluded.trace end
  where (c.is_late, c.seq) < (excluded.is_late, excluded.seq)
returning rid, xmax <> 0,
  case when xmax <> 0 then (
    select (extract(epoch from before.ended_at) * 1000)::bigint from tandem.cdr before where before.rid = c.rid) end,
  case when xmax <> 0 then (select before.talk_ms from tandem.cdr before where before.rid = c.rid) end
"""

_ENTRIES: Final = """
insert into tandem.ledger_entry(
  id, txn_id, account_id, book, currency, amount_micros, origin, rid, level, seq, epoch, fund_n, note, group_id, actor)
select id, txn_id, account_id, book, currency, amount_micros, origin, rid, level, seq, epoch, fund_n, note, group_id,
       actor
  from pg_temp.entry_stage
 order by id
on conflict (id) do nothing
"""

_CLASH: Final = """
select s.rid from pg_temp.entry_stage s join tandem.ledger_entry e using (id)
 where (e.account_id, e.currency, e.amount_micros, e.epoch, e.fund_n)
       is distinct from (s.account_id, s.currency, s.amount_micros, s.epoch, s.fund_n)
 limit 1
"""

_NEW: Final = """
select s.id from pg_temp.entry_stage s join tandem.ledger_entry e using (id)
 where e.xmin = pg_current_xact_id()::xid
"""

_FORGOTTEN: Final = """
delete from tandem.cdr_attempt where rid = any (%s) returning rid, server_id, status, pdd_ms, why
"""

_SUMS: Final = """
select rid, account_id, book, currency, level, group_id, sum(amount_micros)::bigint,
       coalesce(sum(amount_micros) filter (where note not like %s), 0)::bigint
  from tandem.ledger_entry where rid = any (%s) group by rid, account_id, book, currency, level, group_id
"""


_ENTRY_LINE: Final = "\t".join(["%s"] * len(EntryRow._fields)) + "\n"
_LEG_LINE: Final = "\t".join(["%s"] * len(LegRow._fields)) + "\n"
_ATTEMPT_LINE: Final = "\t".join(["%s"] * len(AttemptRow._fields)) + "\n"
_SERVER_LINE: Final = "\t".join(["%s"] * len(CallsRow._fields)) + "\n"
_CALL_LINE: Final = "\t".join(["%s"] * len(CdrRow._fields)) + "\n"
_ATTEMPTS: Final = CdrRow._fields.index("attempts")


class _Written(NamedTuple):
    """A record that was written. existed: it takes the place of one; ended_ms, talk_ms: what that one said.

    They are None also of a record that somebody else has committed meanwhile.
    """

    rid: str
    existed: bool
    ended_ms: int | None
    talk_ms: int | None


class ClashError(Exception):
    """An id stands in the ledger with other contents: a reservation id was used for two calls. Nothing committed."""


class Batch:
    """Writes batches over one connection, whose temporary tables it makes."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._prepared = False

    def prepare(self) -> None:
        """Make what `write` needs; outside of a transaction, whose end could take it away again."""
        if not self._prepared:
            self._connection.execute(_STAGES)
            self._prepared = True

    def write(self, plans: Sequence[Plan]) -> int:
        """Write all that is not there yet and return how many ledger entries that were. Raises ClashError."""
        self._lock_calls({each.rid for each in plans if each.is_late or each.cdr is None})
        standing, ended_ms = self._write_calls(plans)
        charged = [(entry, each.ended_ms) for each in plans if not each.is_late for entry in each.entries]
        fresh = len(standing) == len({each.rid for each in plans if each.cdr is not None})
        new = self._write_entries([entry for entry, _ in charged], fresh=fresh)
        posted = charged if new is None else list({e.id: (e, at_ms) for e, at_ms in charged if e.id in new}.values())
        corrections, moved = self._corrections(standing, ended_ms, posted)
        if corrections:
            self._connection.execute("truncate pg_temp.entry_stage")
            self._write_entries([entry for entry, _ in corrections], fresh=False)
            posted += corrections
        self._count(posted, moved, plans)
        return len(posted)

    def _lock_calls(self, rids: Collection[str]) -> None:
        """Make all who post parts or late ends of the same calls wait for each other."""
        buckets = sorted({_bucket(rid) for rid in rids})
        if buckets:
            self._connection.execute(
                "select pg_advisory_xact_lock(%s, bucket) from unnest(%s::integer[]) as bucket", (CALL_LOCKS, buckets)
            )

    def _write_calls(self, plans: Sequence[Plan]) -> tuple[dict[str, Plan], dict[str, int]]:
        """Return rid -> the plan of every record that is written or replaced now.

        And rid -> when the call ended by the record before, where a late end replaces one (which is not known for one
        that somebody else has committed meanwhile).
        """
        latest: dict[str, Plan] = {}
        for each in plans:
            if each.cdr is not None:
                before = latest.get(each.rid)
                if before is None or _rank(before) < _rank(each):
                    latest[each.rid] = each
        if not latest:
            return {}, {}
        self._copy_calls(each.cdr for each in latest.values() if each.cdr is not None)
        written = [_Written(*row) for row in self._connection.execute(_CDRS)]
        tally = Tally()
        self._forget([each for each in written if each.existed], tally)
        standing = {each.rid: latest[each.rid] for each in written}
        unknown = {each.rid for each in written if each.existed and each.ended_ms is None}
        legs = (leg for each in standing.values() for leg in each.legs)
        self._copy("tandem.cdr_leg", LegRow._fields, _LEG_LINE, legs)
        self._write_attempts(standing.values(), tally, unknown)
        return standing, {each.rid: each.ended_ms for each in written if each.ended_ms}

    def _forget(self, replaced: Sequence[_Written], tally: Tally) -> None:
        """Remove what stood beside records that are replaced, and what it said of servers."""
        if not replaced:
            return
        rids = [each.rid for each in replaced]
        self._connection.execute("delete from tandem.cdr_leg where rid = any (%s)", (rids,))
        tried: defaultdict[str, list[Tried]] = defaultdict(list)
        for rid, *values in self._connection.execute(_FORGOTTEN, (rids,)):
            tried[rid].append(Tried(*values))
        for each in replaced:
            if each.ended_ms is not None:
                tally.add(tried[each.rid], each.talk_ms or 0, each.ended_ms, sign=-1)

    def _write_attempts(self, plans: Collection[Plan], tally: Tally, unknown: Collection[str]) -> None:
        """Write the tries of calls whose records stand since now, and what these say of servers.

        unknown: calls of which is not known what their record before said of servers; that stays.
        """
        rows: list[AttemptRow] = []
        for each in plans:
            if each.attempts and each.cdr is not None:
                rows += each.attempts
                if each.rid not in unknown:
                    tally.add(each.attempts, each.cdr.talk_ms, each.ended_ms)
        if rows:
            self._copy("tandem.cdr_attempt", AttemptRow._fields, _ATTEMPT_LINE, rows)
        said = tally.rows()
        if said:
            self._copy("tandem.server_calls", CallsRow._fields, _SERVER_LINE, said)

    def _write_entries(self, entries: Sequence[EntryRow], *, fresh: bool) -> set[str] | None:
        """Write those that are not there, and return their ids; None: none of them was there.

        fresh: probably none is. Then they go in at once, without a look at what is there, in half the time.
        """
        if not entries or (fresh and self._write_fresh(entries)):
            return None
        self._copy("pg_temp.entry_stage", EntryRow._fields, _ENTRY_LINE, entries)
        if self._connection.execute(_ENTRIES).rowcount == len(entries):
            return None
        clash = self._connection.execute(_CLASH).fetchone()
        if clash:
            raise ClashError(f"reservation {clash[0]} is in the ledger with other amounts: its id was used twice")
        return {str(entry_id) for (entry_id,) in self._connection.execute(_NEW)}

    def _write_fresh(self, entries: Sequence[EntryRow]) -> bool:
        """Write entries of which none is there; False: one was, and nothing is written.

        Their calls are locked, so whoever has the same ones has ended, and nobody waits for us with them in hand.
        """
        try:
            with self._connection.transaction():
                self._copy("tandem.ledger_entry", EntryRow._fields, _ENTRY_LINE, entries)
        except errors.UniqueViolation:
            return False
        return True

    def _corrections(
        self, standing: Mapping[str, Plan], ended_ms: Mapping[str, int], posted: Sequence[tuple[EntryRow, int]]
    ) -> tuple[list[tuple[EntryRow, int]], list[Moved]]:
        """Return what late ends add to `posted`, the entries of other events that were not there before.

        And which spend they move to other windows. standing: rid -> whose record stands since now; ended_ms: rid -> the
        end by the record before. All in one statement, so that funds are locked in one order. The numbers beside the
        entries are the times when the talk ended that they are about.
        """
        late = [each for each in standing.values() if each.is_late]
        sums: dict[str, dict[Place, int]] = {each.rid: {} for each in late}
        ends: dict[str, dict[Place, int]] = {each.rid: {} for each in late}
        of_parts = f"{PART_MARK}%"
        for rid, *place, micros, at_end in self._connection.execute(_SUMS, (of_parts, list(sums))) if late else ():
            sums[rid][Place(*place)] = micros
            ends[rid][Place(*place)] = at_end
        moved = [each for plan in late for each in moved_spend(plan, ends[plan.rid], ended_ms.get(plan.rid), posted)]
        made = [(entry, each.ended_ms) for each in late for entry in difference(each, sums[each.rid])]
        strays = [(entry, at_ms) for entry, at_ms in posted if entry.rid not in standing]
        corrected = self._corrected({entry.rid for entry, _ in strays})
        back = [(entry, at_ms) for entry, at_ms in strays if entry.rid in corrected]
        again = zip(taken_back([entry for entry, _ in back]), (at_ms for _, at_ms in back), strict=True)
        return [*made, *again], moved

    def _corrected(self, rids: Collection[str]) -> set[str]:
        """Return those of `rids` whose record is a late end's."""
        if not rids:
            return set()
        rows = self._connection.execute("select rid from tandem.cdr where is_late and rid = any (%s)", (list(rids),))
        return {rid for (rid,) in rows}

    def _count(self, posted: Iterable[tuple[EntryRow, int]], moved: Iterable[Moved], plans: Iterable[Plan]) -> None:
        """Count what funds have spent in their windows, and tell of the thresholds that they have crossed."""
        spent: defaultdict[tuple[int, str, int], int] = defaultdict(int)
        for entry, at_ms in posted:
            if entry.book == FUND:
                spent[entry.account_id, entry.currency, at_ms - at_ms % MINUTE_MS] -= entry.amount_micros
        for each in moved:
            spent[each.account_id, each.currency, each.from_ms - each.from_ms % MINUTE_MS] -= each.micros
            spent[each.account_id, each.currency, each.to_ms - each.to_ms % MINUTE_MS] += each.micros
        entries: list[dict[str, object]] = [
            {"account_id": account_id, "currency": currency, "amount_micros": micros, "at_ms": at_ms}
            for (account_id, currency, at_ms), micros in sorted(spent.items())
        ]
        if entries:
            self._connection.execute("select tandem.count_spend_v1(%s::jsonb)", (json.dumps(entries),))
        hits = sorted({each.cap_hit for each in plans if each.cap_hit is not None})
        entries += [
            {"account_id": hit.account_id, "currency": hit.currency, "refused": hit.kind, "at_ms": hit.at_ms}
            for hit in hits
        ]
        if entries:
            self._connection.execute("select tandem.check_thresholds_v1(%s::jsonb)", (json.dumps(entries),))

    def _copy(self, table: str, columns: Sequence[str], line: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Write rows whose text needs no escape (postings.py makes sure). line: their format."""
        into = sql.SQL("copy {} ({}) from stdin (null 'None')").format(
            sql.Identifier(*table.split(".")), _names(columns)
        )
        with self._connection.cursor() as cursor, cursor.copy(into) as copy:
            copy.write("".join([line % row for row in rows]))

    def _copy_calls(self, rows: Iterable[CdrRow]) -> None:
        """Write records to their stage: those whose text needs no escape in one piece, the few others by themselves."""
        into = sql.SQL("copy pg_temp.cdr_stage ({}) from stdin").format(_names(CdrRow._fields))
        lines: list[str] = []
        others: list[CdrRow] = []
        for row in rows:
            line = _call_line(row)
            if line:
                lines.append(line)
            else:
                others.append(row)
        with self._connection.cursor() as cursor, cursor.copy(into) as copy:
            copy.write("".join(lines))
            for row in others:
                _write_escaped(copy, row)


def _write_escaped(copy: psycopg.Copy, row: CdrRow) -> None:
    """Write a record by itself. Raises DataError where a value is of a kind that no column has."""
    try:
        copy.write_row((*row[:_ATTEMPTS], json.dumps(row.attempts), list(row.trace), *row[_ATTEMPTS + 2 :]))
    except psycopg.ProgrammingError as error:  # psycopg's word for it, and for a missing table
        raise psycopg.DataError(str(error)) from error


def _call_line(row: CdrRow) -> str:
    """Return a record as COPY reads it, "" where some of its text needs an escape, or is not what its field holds."""
    trace = '{"' + '","'.join(row.trace) + '"}' if row.trace else "{}"
    line = _CALL_LINE % (*row[:_ATTEMPTS], json.dumps(row.attempts), trace, *row[_ATTEMPTS + 2 :])
    is_plain = (
        trace.count('"') == 2 * len(row.trace)
        and line.count("\t") == len(row) - 1
        and line.count("\n") == 1
        and "\\" not in line
        and "\r" not in line
    )
    return line if is_plain else ""


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _rank(each: Plan) -> tuple[bool, int]:
    """Return what decides whose record stands: the greater one's."""
    return each.is_late, each.cdr.seq if each.cdr else 0


def _bucket(rid: str) -> int:
    """Return one of few numbers: so many locks at most are held at once, whatever the batch."""
    return sum(rid.encode()) % BUCKETS
