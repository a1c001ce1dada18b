"""Two sessions at once: one holds what another waits for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from tests.fix_postgres import Database
from tests.wait import until

DEADLINE_S: Final = 10.0

_WAITING: Final = (
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
)


@contextmanager
def held(database: Database, statement: bytes, *values: object) -> Iterator[psycopg.Connection[Any]]:
    """Run a statement in a transaction that stays open until the end, and commits then."""
    with database.connect() as connection:
        connection.autocommit = False
        connection.execute(statement, values)
        yield connection
        connection.commit()


def until_one_waits(database: Database) -> None:
    """Wait until a session of this database waits for a lock."""
    until(lambda: database.one(_WAITING) == 1, DEADLINE_S, "a session to wait for a lock")
