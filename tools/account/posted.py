"""How a function of the database says what it posted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from tools.session import Connection


def posted(connection: Connection, function: LiteralString, arguments: Sequence[object]) -> tuple[UUID, bool]:
    """Call a function that posts a transaction; return that transaction, and whether it was posted just now.

    False: the same request was posted before. To be asked in the transaction that posts, whose time the entries bear.
    """
    txn: UUID = connection.execute(function, arguments).fetchall()[0][0]
    new = "select exists (select from tandem.ledger_entry e where e.txn_id = %s and e.posted_at = now())"
    return txn, bool(connection.execute(new, (txn,)).fetchall()[0][0])
