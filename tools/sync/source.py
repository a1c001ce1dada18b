"""Postgres as the syncer sees it: the lock, the outbox, the views of schema `sync`, and where its history stands.

One connection does everything, so the lock, the listening and the passes live and die together. It must be direct: a
transaction pooler would hand the session's lock to somebody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from typing import Any, Final, NamedTuple, Self

import psycopg
from psycopg import IsolationLevel, sql

from kemi.core.prefix import BUCKET_DIGITS, pack_bucket
from tools.database_url import checked
from tools.sync.kinds import BY_VIEW, Kind, build
from tools.sync.marker import Marker

LOCK_ID: Final = 0x7A4DE300  # one syncer per cell; the last two digits are the cell
CHANNEL: Final = "tandem_outbox"
ROWS_AT_ONCE: Final = 2_000  # of a server-side cursor

RESET: Final = "*"

_SESSION: Final = (
    "SET ROLE tandem_sync",  # the least rights, whoever connects
    "SET search_path = pg_catalog",
    "SET row_security = off",  # an error instead of an empty table, which would delete the world from Redis
    "SET tcp_keepalives_idle = 1",  # the lock of a syncer whose host died is free after about 3 s
    "SET tcp_keepalives_interval = 1",
    "SET tcp_keepalives_count = 2",
    f"LISTEN {CHANNEL}",
)
_MARKER: Final = """
    SELECT (SELECT system_identifier FROM pg_control_system()),
           (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
           ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint,
           (CASE WHEN %s THEN pg_current_wal_flush_lsn() ELSE pg_current_wal_insert_lsn() END - '0/0')::bigint
"""
_RATES: Final = 'SELECT prefix, class_idx FROM sync.rate WHERE rate_set_id = %s ORDER BY prefix COLLATE "C"'


class OutboxRow(NamedTuple):
    """Something has changed. key: short name, fund, or RESET: the whole kind."""

    id: int
    kind: str
    key: str


class WrongRow(NamedTuple):
    """A row of a view that is no record; why: a sentence."""

    why: str


class Source:
    """A connection to Postgres. Every method may raise psycopg.Error."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    @classmethod
    def connect(cls, url: str) -> Self:
        """Connect and listen. url: libpq's form; the role must bypass row-level security."""
        connection = psycopg.connect(checked(url), autocommit=True, connect_timeout=3, application_name="tandem sync")
        try:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            for command in _SESSION:
                connection.execute(command)
        except psycopg.Error:
            connection.close()
            raise
        return cls(connection)

    def close(self) -> None:
        """Close; a lock that is held becomes free."""
        self._connection.close()

    def try_lock(self) -> bool:
        """Become the one syncer for as long as this connection lives, unless another one is."""
        return bool(self._one("SELECT pg_try_advisory_lock(%s)", LOCK_ID))

    def snapshot(self) -> AbstractContextManager[Any]:
        """Begin a REPEATABLE READ transaction; it commits at the end of the block, unless that raises."""
        return self._connection.transaction()

    def wait(self, seconds: float) -> None:
        """Return at the next commit that wrote to the outbox, or after `seconds`."""
        for _ in self._connection.notifies(timeout=seconds, stop_after=1):
            pass

    def marker(self, *, durable: bool) -> Marker:
        """Return where the history stands: its flushed end, or (not durable) its inserted end."""
        row = self._connection.execute(_MARKER, (durable,)).fetchone()
        if row is None:
            raise psycopg.DataError("a query without FROM gave no row")
        return Marker(*map(int, row))

    def next_fence(self, above: int) -> int:
        """Draw a fence greater than `above`, the highest that Redis knows, perhaps from another database."""
        fence = int(self._one("SELECT nextval('tandem.sync_fence')"))
        if fence <= above:
            draw = "SELECT max(nextval('tandem.sync_fence')) FROM generate_series(1, %s)"
            fence = int(self._one(draw, above - fence + 1))
        return fence

    def next_pass(self) -> int:
        """Draw the number of a step."""
        return int(self._one("SELECT nextval('tandem.sync_pass')"))

    def last_pass(self) -> int:
        """Return the number drawn last, by whichever syncer; 0 when none was."""
        return int(self._one("SELECT coalesce(pg_sequence_last_value('tandem.sync_pass'), 0)"))

    def waiting(self) -> bool:
        """Tell whether the outbox names anything that this release knows."""
        return bool(self._one("SELECT EXISTS (SELECT FROM tandem.outbox WHERE kind = ANY (%s))", list(BY_VIEW)))

    def outbox(self, limit: int) -> list[OutboxRow]:
        """Return the oldest rows. Lower numbers may still appear later: delete rows by number, never up to one."""
        query = "SELECT id, kind, key FROM tandem.outbox WHERE kind = ANY (%s) ORDER BY id LIMIT %s"
        return [OutboxRow(*row) for row in self._connection.execute(query, (list(BY_VIEW), limit))]

    def delete(self, ids: Sequence[int]) -> None:
        """Delete exactly these outbox rows."""
        self._connection.execute("DELETE FROM tandem.outbox WHERE id = ANY (%s)", (list(ids),))

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

    def aggregates(self, kind: Kind, names: Sequence[str]) -> dict[str, object | WrongRow]:
        """Return the current state of those of `names` that exist."""
        query = sql.SQL("SELECT * FROM {} WHERE name = ANY (%s)").format(_view(kind))
        return dict(_built(kind, row) for row in self._connection.execute(query, (list(names),)))

    def names(self, kind: Kind) -> Iterator[str]:
        """Yield every name of a kind; needs a snapshot."""
        for (name,) in self._stream(sql.SQL("SELECT name FROM {}").format(_view(kind))):
            yield name

    def all_aggregates(self, kind: Kind) -> Iterator[tuple[str, object | WrongRow]]:
        """Yield every aggregate of a kind; needs a snapshot."""
        for row in self._stream(sql.SQL("SELECT * FROM {}").format(_view(kind))):
            yield _built(kind, row)

    def vanished(self, kind: Kind) -> list[str]:
        """Return the names in the outbox, all of it, that exist no more."""
        query = sql.SQL(
            "SELECT DISTINCT o.key FROM tandem.outbox o"
            " WHERE o.kind = %s AND NOT EXISTS (SELECT FROM {} v WHERE v.name = o.key)"
        ).format(_view(kind))
        return [name for (name,) in self._connection.execute(query, (kind.view,))]

    def buckets(self, rate_set_id: int) -> Iterator[tuple[str, bytes]]:
        """Yield (field, packed bucket) of a rate set; needs a snapshot."""
        rates = self._stream(_RATES, (rate_set_id,))
        for field, group in groupby(rates, key=lambda rate: rate[0][:BUCKET_DIGITS]):
            yield field, pack_bucket({prefix[BUCKET_DIGITS:]: class_idx for prefix, class_idx in group})

    def refresh_windows(self) -> int:
        """Do what the clock asks for: days and months move on; return how many funds and carriers that changed.

        What changed stands in the outbox like everything else. Not inside a snapshot.
        """
        return int(self._one("SELECT tandem.refresh_windows_v1()"))

    def _stream(self, query: sql.Composable | str, arguments: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        with self._connection.cursor(name="sync") as cursor:
            cursor.itersize = ROWS_AT_ONCE
            cursor.execute(query, arguments)  # type: ignore[arg-type]  # the texts above, with names from KINDS
            yield from cursor

    def _one(self, query: sql.Composable | str, *arguments: object) -> Any:
        row = self._connection.execute(query, arguments).fetchone()  # type: ignore[arg-type]  # as above
        if row is None:
            raise psycopg.DataError("a query that gives one row gave none")
        return row[0]


def _view(kind: Kind) -> sql.Identifier:
    return sql.Identifier("sync", kind.view)


def _built(kind: Kind, row: tuple[Any, ...]) -> tuple[str, object | WrongRow]:
    name, *fields = row
    try:
        return name, build(kind, fields)
    except ValueError as error:
        return name, WrongRow(str(error))
