"""Postgres as the syncer sees it: the lock, the outbox, the views of schema `sync`, and where its history stands.

One connection does everything that a pass needs, so the lock, the listening and the passes live and die together. It
must be direct: a transaction pooler would hand the session's lock to somebody else. The sweep has a second one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, LiteralString, NamedTuple, Self

import psycopg
from psycopg import IsolationLevel, sql
from psycopg.pq import TransactionStatus
from psycopg.types.string import TextLoader

from kemi import keys
from tools.database_url import checked
from tools.sync.kinds import BY_VIEW, KINDS, Kind, packed
from tools.sync.lookups import lookup
from tools.sync.marker import Marker
from tools.sync.rest import CHANNEL, Rest
from tools.sync.window import Window

LOCK_ID: Final = 0x7A4DE300  # one syncer per cell; the last two digits are the cell
OPERATOR_LOCK_ID: Final = 0x7A4DE400  # held by an operator's run that wants to go first
STALLED_S: Final = 10  # a syncer that says nothing to Postgres for so long is stalled: another one takes over
ROWS_AT_ONCE: Final = 2_000  # of a server-side cursor
PASSES_MIN: Final = 64  # more than one pass takes
PASSES_AT_ONCE: Final = 64

RESET: Final = "*"

_WAYS_FOR_ALL: Final = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin")  # to read a whole table
_SESSION: Final = (
    "SET ROLE tandem_sync",  # the least rights, whoever connects
    "SET search_path = pg_catalog",
    "SET row_security = off",  # an error instead of an empty table, which would delete the world from Redis
    # A lookup of a few names takes less time than its planning, so plans are kept. One that was made while a table was
    # small must be right when it is not: by indexes, row by row.
    "SET plan_cache_mode = force_generic_plan",
    "SET jit = off",
    *(f"SET {way} = off" for way in _WAYS_FOR_ALL),
    "SET client_connection_check_interval = 250",  # a syncer killed within a long query frees the lock all the same
    "SET tcp_keepalives_idle = 1",  # the lock of a syncer whose host died is free after about 3 s
    "SET tcp_keepalives_interval = 1",
    "SET tcp_keepalives_count = 2",
)
_PLACE: Final = """
    SELECT (SELECT system_identifier FROM pg_control_system()),
           (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
           ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint
"""
_END: Final = {
    True: "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint",
    False: "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint",
}
_STATE: Final = """
    SELECT coalesce((SELECT version FROM tandem.sync_applied ORDER BY version DESC LIMIT 1), 0),
           s.unsure, s.drift, extract(epoch FROM s.drift_at)::bigint, extract(epoch FROM s.swept_at)::bigint, s.sweep_s
      FROM tandem.sync_state s WHERE s.cell = %s
"""
_OUTBOX: Final = """
    SELECT id, kind, key, (pg_current_wal_flush_lsn() - '0/0')::bigint
      FROM tandem.outbox
     WHERE id >= %s AND kind = ANY (%s) AND (kind, key) NOT IN (SELECT * FROM unnest(%s::text[], %s::text[]))
     ORDER BY id LIMIT %s
"""
_READ_ALL: Final = "SELECT " + ", ".join(f"set_config('{way}', 'on', true)" for way in _WAYS_FOR_ALL)
# A crash of Postgres may take the end of a pass back: its rows are there again then, and applied once more.
_BEGIN: Final = ("BEGIN ISOLATION LEVEL REPEATABLE READ", "SET LOCAL synchronous_commit = off")
_DONE: Final = """
    WITH done AS (DELETE FROM tandem.outbox WHERE id = ANY (%s))
    INSERT INTO tandem.sync_applied(version) VALUES (%s) ON CONFLICT DO NOTHING
"""
_UNFINISHED: Final = (TransactionStatus.INTRANS, TransactionStatus.INERROR)
_BACKLOG: Final = """
    SELECT (SELECT count(*) FROM (SELECT FROM tandem.outbox LIMIT 10001) AS oldest),
           coalesce((SELECT extract(epoch FROM now() - created_at) FROM tandem.outbox ORDER BY id LIMIT 1), 0)::bigint
"""


class OutboxRow(NamedTuple):
    """Something has changed. key: short name, fund, or RESET: the whole kind."""

    id: int
    kind: str
    key: str


class WrongRow(NamedTuple):
    """A row of a view that is no record; why: a sentence."""

    why: str


class State(NamedTuple):
    """What syncers leave in Postgres. version: of the last pass applied and committed, 0 = none.

    unsure: kinds that must be compared. drift: aggregates repaired so far. The rest: Unix s and s, None = not yet.
    """

    version: int
    unsure: tuple[Kind, ...]
    drift: int
    drift_at: int | None
    swept_at: int | None
    sweep_s: int | None


class Source:
    """A connection to Postgres. Every method may raise psycopg.Error."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._place: tuple[int, int, int] | None = None
        self._passes: deque[int] = deque()
        self._window = Window()
        self._rest = Rest(connection)
        self.ring = self._rest.ring  # lets `wait` return: another thread has something for this one
        self._from = 0
        self._end = 0

    @classmethod
    def connect(cls, url: str, *, name: str = "tandem sync", listen: bool = True) -> Self:
        """Connect, and listen for news. url: libpq's form; the role must bypass row-level security."""
        connection = psycopg.connect(checked(url), autocommit=True, connect_timeout=3, application_name=name)
        try:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.adapters.register_loader("cidr", TextLoader)  # only to find rows by; an object costs 15 µs
            for command in (*_SESSION, *(_active() if listen else ())):
                connection.execute(command.encode())
        except psycopg.Error:
            connection.close()
            raise
        return cls(connection)

    def close(self) -> None:
        """Close; a lock that is held becomes free."""
        self._connection.close()
        self._rest.close()

    def try_lock(self) -> bool:
        """Become the one syncer for as long as this connection lives, unless another one is."""
        return bool(self._one("SELECT pg_try_advisory_lock(%s)", LOCK_ID))

    def go_first(self) -> None:
        """Make a running syncer step aside until this connection is closed; any number may want that."""
        self._one("SELECT pg_advisory_lock_shared(%s) IS NULL", OPERATOR_LOCK_ID)

    def is_another_first(self) -> bool:
        """Tell whether somebody wants to go first."""
        return not self._one("SELECT pg_try_advisory_xact_lock(%s)", OPERATOR_LOCK_ID)

    def snapshot(self) -> AbstractContextManager[Any]:
        """Begin a REPEATABLE READ transaction; it commits at the end of the block, unless that raises."""
        return self._connection.transaction()

    def wait(self, seconds: float) -> bool:
        """Return at a commit to the outbox (True), a ring, or after `seconds`. Only after a look that found nothing."""
        return self._rest.wait(seconds)

    def marker(self, *, durable: bool) -> Marker:
        """Return where the history stands: its flushed end, or (not durable) its inserted end."""
        return self._marker(int(self._one(_END[durable])))

    def last_pass(self) -> int:
        """Return the highest number that was ever drawn for a step; 0 when none was."""
        return int(self._one("SELECT coalesce(pg_sequence_last_value('tandem.sync_pass'), 0)"))

    def next_fence(self, above: int) -> int:
        """Draw a fence greater than `above`, the highest that Redis knows, perhaps from another database."""
        fence = int(self._one("SELECT nextval('tandem.sync_fence')"))
        if fence <= above:
            draw = "SELECT max(nextval('tandem.sync_fence')) FROM generate_series(1, %s)"
            fence = int(self._one(draw, above - fence + 1))
        return fence

    def draw_passes(self) -> None:
        """Have numbers for a pass. Before its snapshot: a crash of Postgres then takes none of them back."""
        while len(self._passes) < PASSES_MIN:
            query = "SELECT nextval('tandem.sync_pass') FROM generate_series(1, %s)"
            self._passes.extend(number for (number,) in self._connection.execute(query, (PASSES_AT_ONCE,)))

    def next_pass(self) -> int:
        """Return a number for a step, higher than any before."""
        if not self._passes:
            self.draw_passes()
        return self._passes.popleft()

    def state(self) -> State:
        """Return what the last syncer left."""
        version, unsure, *rest = self._row(_STATE, keys.CELL)
        return State(int(version), tuple(kind for kind in KINDS if kind.view in unsure), *rest)

    def note_unsure(self, kinds: Sequence[Kind]) -> None:
        """Remember that these kinds, and no others, must be compared."""
        query = "UPDATE tandem.sync_state SET unsure = %s WHERE cell = %s"
        self._connection.execute(query, ([kind.view for kind in kinds], keys.CELL))

    def note_drift(self, count: int) -> None:
        """Remember that so many aggregates more were repaired."""
        query = "UPDATE tandem.sync_state SET drift = drift + %s, drift_at = now() WHERE cell = %s"
        self._connection.execute(query, (count, keys.CELL))

    def note_sweep(self, seconds: float) -> None:
        """Remember that everything was compared, and how long it took."""
        query = "UPDATE tandem.sync_state SET swept_at = now(), sweep_s = %s WHERE cell = %s"
        self._connection.execute(query, (round(seconds), keys.CELL))

    def waiting(self) -> bool:
        """Tell whether the outbox names anything that this release knows."""
        self._from = self._window.first()
        query = "SELECT EXISTS (SELECT FROM tandem.outbox WHERE id >= %s AND kind = ANY (%s))"
        return bool(self._one(query, self._from, list(BY_VIEW)))

    def backlog(self) -> tuple[int, int]:
        """Return how many rows wait in the outbox, at most 10,001, and for how many seconds the oldest of them has."""
        rows, age_s = self._row(_BACKLOG)
        return int(rows), max(int(age_s), 0)

    @contextmanager
    def outbox(self, limit: int, without: Collection[tuple[str, str]] = ()) -> Iterator[list[OutboxRow]]:
        """Begin a snapshot with the oldest rows; `finish` commits it, the end of the block undoes what is not finished.

        In one round trip, as the end is. without: (kind, key) that nobody can apply yet. Lower numbers may still appear
        later: delete rows by number, never up to one.
        """
        left_out = [kind for kind, _ in without], [key for _, key in without]
        self._from = self._window.first()
        with self._connection.pipeline():
            for command in _BEGIN:
                self._connection.execute(command)
            found = self._connection.execute(_OUTBOX, (self._from, list(BY_VIEW), *left_out, limit))
        try:
            rows = found.fetchall()
            if rows:
                self._window.saw(rows[0][0])
                self._end = int(rows[0][3])
            yield [OutboxRow(*row[:3]) for row in rows]
        finally:
            if self._connection.info.transaction_status in _UNFINISHED:
                self._connection.execute("ROLLBACK")

    def finish(self, ids: Sequence[int], version: int) -> None:
        """Do what `done` does, and commit the snapshot of `outbox`."""
        with self._connection.pipeline():
            self.done(ids, version)
            self._connection.execute("COMMIT")
            self._rest.wake()

    def seen(self) -> Marker:
        """Return the flushed end when `outbox` last gave rows."""
        return self._marker(self._end)

    def waiting_keys(self, kind: Kind, names: Sequence[str]) -> set[str]:
        """Return those of `names`, and RESET, that stand in the outbox."""
        query = "SELECT key FROM tandem.outbox WHERE kind = %s AND key = ANY (%s)"
        return {key for (key,) in self._connection.execute(query, (kind.view, [*names, RESET]))}

    def again(self, kind: Kind, names: Sequence[str]) -> None:
        """Put aggregates into the outbox: a later pass is to write them."""
        self._connection.execute("SELECT tandem.renew_v1(%s, %s)", (kind.view, list(names)))

    def done(self, ids: Sequence[int], version: int) -> None:
        """Delete exactly these outbox rows; `version` is what Redis now has."""
        self._connection.execute(_DONE, (list(ids), version))

    def forget_old_passes(self) -> None:
        """Remove what passes before the last one left."""
        self._connection.execute(
            "DELETE FROM tandem.sync_applied WHERE version < (SELECT max(version) FROM tandem.sync_applied)"
        )

    def delete_seen(self) -> None:
        """Delete every outbox row that the current snapshot sees, of a kind that this release knows."""
        self._connection.execute("DELETE FROM tandem.outbox WHERE kind = ANY (%s)", (list(BY_VIEW),))

    def note_generation(self, version: int) -> None:
        """Remember that Redis holds, as `version`, what the present snapshot sees."""
        query = "INSERT INTO tandem.generation(config_pass) VALUES (%s) ON CONFLICT DO NOTHING"
        self._connection.execute(query, (version,))

    def count(self, kind: Kind) -> int:
        """Return how many aggregates of a kind there are."""
        return int(self._one(sql.SQL("SELECT count(*) FROM {}").format(_view(kind))))

    def aggregates(self, kind: Kind, names: Sequence[str]) -> dict[str, bytes | WrongRow]:
        """Return the bytes of those of `names` that exist, as they are now."""
        rows = self._find("SELECT v.* FROM {} v WHERE {} AND v.name = ANY (%s)", kind, names)
        return dict(_built(kind, row) for row in rows)

    def names(self, kind: Kind) -> Iterator[str]:
        """Yield every name of a kind; needs a snapshot."""
        for (name,) in self.stream(sql.SQL("SELECT name FROM {}").format(_view(kind))):
            yield name

    def held_names(self, kind: Kind, size: int) -> Iterator[list[str]]:
        """Yield every name of a kind in lists, as it was when the first one was asked for; keeps no snapshot open.

        A snapshot of minutes would keep the dead rows of the outbox alive, and each pass would read past them.
        """
        with self._connection.cursor(name="names", withhold=True) as cursor:
            with self.snapshot():
                self._read_all()
                cursor.execute(sql.SQL("SELECT name FROM {}").format(_view(kind)))
            is_more = True
            while is_more and (rows := cursor.fetchmany(size)):
                yield [name for (name,) in rows]
                is_more = len(rows) == size

    def all_aggregates(self, kind: Kind) -> Iterator[tuple[str, bytes | WrongRow]]:
        """Yield every aggregate of a kind; needs a snapshot."""
        for row in self.stream(sql.SQL("SELECT * FROM {}").format(_view(kind))):
            yield _built(kind, row)

    def existing(self, kind: Kind, names: Sequence[str]) -> set[str]:
        """Return those of `names` that exist."""
        return {name for (name,) in self._find("SELECT v.name FROM {} v WHERE {} AND v.name = ANY (%s)", kind, names)}

    def retired(self, names: Sequence[str]) -> set[str]:
        """Return those of `names`, of rate sets, that Postgres still has, but not for Redis."""
        query = "SELECT 'rset:' || id FROM tandem.rate_set WHERE retired AND 'rset:' || id = ANY (%s)"
        return {name for (name,) in self._connection.execute(query, (list(names),))}

    def vanished(self, kind: Kind) -> list[str]:
        """Return the names in the outbox, all of it, that exist no more."""
        query = sql.SQL(
            "SELECT DISTINCT o.key FROM tandem.outbox o"
            " WHERE o.kind = %s AND NOT EXISTS (SELECT FROM {} v WHERE v.name = o.key)"
        ).format(_view(kind))
        return [name for (name,) in self._connection.execute(query, (kind.view,))]

    def refresh_windows(self) -> int:
        """Do what the clock asks for: windows move on, rate sets that nobody uses leave; return how many changed.

        What changed stands in the outbox like everything else. Not inside a snapshot.
        """
        return int(self._one("SELECT tandem.refresh_windows_v1()")) + int(
            self._one("SELECT tandem.retire_rate_sets_v1()")
        )

    def rows(self, query: str, arguments: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query all at once, as bytes where the column is."""
        return self._connection.execute(query.encode(), arguments, binary=True).fetchall()

    def stream(self, query: sql.Composable | str, arguments: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query through a server-side cursor; needs a snapshot."""
        self._read_all()
        with self._connection.cursor(name="sync") as cursor:
            cursor.execute(query, arguments)  # type: ignore[arg-type]  # the texts above, with names from KINDS
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                yield from rows

    def _read_all(self) -> None:
        """Allow for the rest of the snapshot what suits whole tables."""
        self._connection.execute(_READ_ALL.encode())

    def _find(self, text: LiteralString, kind: Kind, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        found = lookup(kind)
        query = sql.SQL(text).format(_view(kind), sql.SQL(found.condition))
        yield from self._connection.execute(query, (*found.columns(names), list(names)))

    def _marker(self, lsn: int) -> Marker:
        """Return the marker at `lsn`. The rest is the same for as long as a connection lives."""
        if self._place is None:
            system, database, timeline = map(int, self._row(_PLACE))
            self._place = system, database, timeline
        return Marker(*self._place, lsn)

    def _row(self, query: sql.Composable | str, *arguments: object) -> tuple[Any, ...]:
        row = self._connection.execute(query, arguments).fetchone()  # type: ignore[arg-type]  # as above
        if row is None:
            raise psycopg.DataError("a query that gives one row gave none")
        return tuple(row)

    def _one(self, query: sql.Composable | str, *arguments: object) -> Any:
        return self._row(query, *arguments)[0]


def _active() -> tuple[str, ...]:
    """Return what a connection that may lead says first. A stalled process must not keep the lock."""
    limits = (f"SET {what}_session_timeout = '{STALLED_S}s'" for what in ("idle", "idle_in_transaction"))
    return (f"LISTEN {CHANNEL}", *limits)


def _view(kind: Kind) -> sql.Identifier:
    return sql.Identifier("sync", kind.view)


def _built(kind: Kind, row: tuple[Any, ...]) -> tuple[str, bytes | WrongRow]:
    """Return name and bytes of a row; columns beyond the record's fields only help to find it."""
    name = row[0]
    try:
        return name, packed(kind, row[1 : 1 + len(kind.record._fields)])
    except ValueError as error:
        return name, WrongRow(str(error))
