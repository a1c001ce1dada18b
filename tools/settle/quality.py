"""How carriers' servers do: what each posted call says of them, weighed so that it counts half after half an hour.

Rule 1: what counts is the set of records that stand. A call adds to `tandem.server_calls` in the transaction that
writes its record, in whole numbers by the minute in which it ended; where another record takes its place, what the
former said is taken away. So an event posted twice counts once, and neither order nor batches change anything.
Rule 2: posting only adds rows, which nobody waits for. Weighing takes them away and into `tandem.server_quality`, in a
transaction of its own, every few seconds, by one process at a time: the syncer hears of it as seldom.
Rule 3: a server that gets no calls is weighed too, once a minute, until less than half a call is left of it.

A server was not asked where it had calls enough; one that only named another one is asked again: neither counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import psycopg

from tools.settle.attempts import has_answered, second
from tools.settle.rows import AttemptRow

NOT_COUNTED: Final = frozenset({"channels", "cps", "redirect"})
MINUTE_S: Final = 60
WEIGH_LOCK: Final = 0x7A4DE20A
EVERY_S: Final = 5.0
"""Seconds between two weighings of what is new."""

_WEIGH: Final = """
with gone as (delete from tandem.server_calls returning *), added as (
  select c.server_id, sum(c.attempts * w) as attempts, sum(c.answered * w) as answered,
         sum(c.talk_ms * w) / 1000 as talk_s, sum(c.rung * w) as rung, sum(c.pdd_ms * w) as pdd_ms
    from gone c cross join lateral tandem.weight_since(c.minute_at) as w group by c.server_id)
insert into tandem.server_quality as q (server_id, attempts, answered, talk_s, rung, pdd_ms)
select s.id, greatest(0, a.attempts), greatest(0, a.answered), greatest(0, a.talk_s), greatest(0, a.rung),
       greatest(0, a.pdd_ms)
  from added a join tandem.peering_server s on s.id = a.server_id
 order by s.id
on conflict (server_id) do update set (attempts, answered, talk_s, rung, pdd_ms, at) = (
  select greatest(0, q.attempts * w + a.attempts), greatest(0, q.answered * w + a.answered),
         greatest(0, q.talk_s * w + a.talk_s), greatest(0, q.rung * w + a.rung),
         greatest(0, q.pdd_ms * w + a.pdd_ms), now()
    from added a cross join tandem.weight_since(q.at) as w where a.server_id = q.server_id)
"""
_AGE: Final = """
update tandem.server_quality q set (attempts, answered, talk_s, rung, pdd_ms, at) = (
  select q.attempts * w, q.answered * w, q.talk_s * w, q.rung * w, q.pdd_ms * w, now()
    from tandem.weight_since(q.at) as w)
 where q.at < now() - interval '1 minute'
"""
_FORGET: Final = "delete from tandem.server_quality where attempts < 0.5"  # a single call stays for half an hour


class Tried(NamedTuple):
    """What quality is made of in one try of a hunt. pdd_ms: None = it neither rang nor answered."""

    server_id: int
    status: int
    pdd_ms: int | None
    why: str


class CallsRow(NamedTuple):
    """What calls that ended in one minute say of a server. minute_at: as Postgres reads it. A minus takes back."""

    server_id: int
    minute_at: str
    attempts: int
    answered: int
    talk_ms: int
    rung: int
    pdd_ms: int


class Tally:
    """Adds up what calls say of servers."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], list[int]] = {}

    def add(self, tries: Iterable[Tried | AttemptRow], talk_ms: int, ended_ms: int, sign: int = 1) -> None:
        """Add the tries of a call; sign -1: take them away. talk_ms: of the one that was answered."""
        minute = ended_ms // (MINUTE_S * 1000)
        for each in tries:
            if not each.server_id or each.why in NOT_COUNTED:
                continue
            sums = self._found.get((each.server_id, minute))
            if sums is None:
                sums = self._found[each.server_id, minute] = [0, 0, 0, 0, 0]
            sums[0] += sign
            if has_answered(each.status):
                sums[1] += sign
                sums[2] += sign * talk_ms
            if each.pdd_ms is not None:
                sums[3] += sign
                sums[4] += sign * each.pdd_ms

    def rows(self) -> list[CallsRow]:
        """Return what was added, without what came to nothing."""
        return [
            CallsRow(server_id, f"{second(minute * MINUTE_S)}+00", *sums)
            for (server_id, minute), sums in self._found.items()
            if any(sums)
        ]


class Quality:
    """The weighing, over one connection in autocommit mode. Raises psycopg errors."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def weigh(self) -> bool:
        """Bring what is new, and the time that has passed, into the quality; False: another process is about it."""
        with self._connection.transaction():
            row = self._connection.execute("select pg_try_advisory_xact_lock(%s)", (WEIGH_LOCK,)).fetchone()
            if row is None or not row[0]:
                return False
            for statement in (_WEIGH, _AGE, _FORGET):
                self._connection.execute(statement)
        return True
