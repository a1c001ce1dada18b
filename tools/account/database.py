"""One connection for a command, and one way in which it says what the database refuses."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from tools.database_url import checked
from tools.errors import OperatorError

Connection = psycopg.Connection[TupleRow]


@contextmanager
def connected(database_url: str) -> Iterator[Connection]:
    """Connect and close; what the database refuses becomes an OperatorError with its own sentence."""
    try:
        with psycopg.connect(
            checked(database_url), autocommit=True, connect_timeout=10, application_name="tandem account"
        ) as made:
            yield made
    except psycopg.Error as error:
        said = error.diag.message_primary or str(error).strip()
        if isinstance(error, psycopg.OperationalError) and not error.sqlstate:
            raise OperatorError(f"DATABASE_URL leads to no database: {said}") from error
        if error.diag.constraint_name:  # named by the rule that it is
            said = f"refused: {error.diag.constraint_name.replace('_', ' ')}"
        raise OperatorError(said) from error


@contextmanager
def acting(connection: Connection, account_id: int | None, actor: str) -> Iterator[str]:
    """Open a transaction in the name of a person, for the audit; yield that name.

    account_id: whom they act for; None = the root. actor: "" = the login name.
    """
    name = actor or getpass.getuser()
    with connection.transaction():
        root = "(select id from tandem.account where kind = 'root')"
        who = root if account_id is None else "%s"
        arguments: tuple[Any, ...] = (name,) if account_id is None else (account_id, name)
        connection.execute(f"select tandem.act_as_v1({who}, %s)".encode(), arguments)
        yield name


def posted(connection: Connection, function: LiteralString, arguments: Sequence[object]) -> tuple[UUID, bool]:
    """Call a function that posts a transaction; return that transaction, and whether it was posted just now.

    False: the same request was posted before. To be asked in the transaction that posts, whose time the entries bear.
    """
    txn: UUID = connection.execute(function, arguments).fetchall()[0][0]
    new = "select exists (select from tandem.ledger_entry e where e.txn_id = %s and e.posted_at = now())"
    return txn, bool(connection.execute(new, (txn,)).fetchall()[0][0])
