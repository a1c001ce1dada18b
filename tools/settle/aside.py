"""Events that were set aside: seen, posted after all, or given up, by a person, with a trace of who and why.

Rule 1: an event leaves the table only in the transaction that posts it or that writes down why it is given up; the
audit keeps its bytes.
Rule 2: what an event that is given up has charged stays charged in Redis, and is written down in tandem.fund_loss, so
that it is a difference no more. Where the bytes are no event nobody knows it: the gap in the numbers stays a difference
until a recovery counts it as lost.
Rule 3: an event that is given up does not come back where the stream is read again (tandem.event_dropped).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.rows import class_row

from kemi.records import CallEvent
from tools.errors import OperatorError
from tools.settle.books import Books, Epoch
from tools.settle.poster import UNSTORABLE, sentence
from tools.settle.postings import plan
from tools.settle.rows import Plan
from tools.settle.stream import decoded

_FIELDS: Final = "id, stream_id, reason, payload, created_at"


class Aside(NamedTuple):
    """An event set aside. id: of the table, unique for ever, which stream_id is not."""

    id: int
    stream_id: str
    reason: str
    payload: bytes
    created_at: datetime


class Shelf:
    """The events set aside, over one connection in autocommit mode. Raises psycopg errors."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def list(self, limit: int) -> list[Aside]:
        """Return at most `limit` of them, the oldest first."""
        cursor = self._connection.cursor(row_factory=class_row(Aside))
        return cursor.execute(f"select {_FIELDS} from tandem.event_poison order by id limit %s", (limit,)).fetchall()  # noqa: S608  a constant

    def show(self, event_id: int) -> Aside:
        """Return one. Raises OperatorError when it is not there."""
        cursor = self._connection.cursor(row_factory=class_row(Aside))
        found = cursor.execute(f"select {_FIELDS} from tandem.event_poison where id = %s", (event_id,)).fetchone()  # noqa: S608  a constant
        if found is None:
            raise OperatorError(f"no event {event_id} is set aside; `tandem settle poison list` shows those that are")
        return found

    def replay(self, event_id: int, actor: str) -> int:
        """Post an event after all, and return how many ledger entries are new.

        Raises OperatorError with the reason where it still cannot be posted.
        """
        made = _plan(self.show(event_id))
        books = Books(self._connection)
        try:
            return books.post([made], [], self._armed(books), lambda: self._take(event_id, actor, "posted")).added
        except UNSTORABLE as error:
            raise OperatorError(f"event {event_id} still cannot be posted: {sentence(error)}") from error

    def drop(self, event_id: int, actor: str, note: str) -> CallEvent | None:
        """Give an event up, and return it, None where its bytes are none. note: why."""
        if not note.strip():
            raise OperatorError("giving an event up loses what it charged: --note says why")
        payload = self.show(event_id).payload
        found = decoded(payload)
        event = found if isinstance(found, CallEvent) else None
        books = Books(self._connection)
        with self._connection.transaction():
            self._take(event_id, actor, note)
            books.given_up.drop(payload, event, books.epoch().number, note)
        return event

    def _take(self, event_id: int, actor: str, note: str) -> None:
        """Remove an event; the audit keeps it, with the note."""
        root = "(select id from tandem.account where kind = 'root')"
        self._connection.execute(f"select tandem.act_as_v1({root}, %s)", (actor,))
        self._connection.execute("update tandem.event_poison set note = %s where id = %s", (note, event_id))
        if not self._connection.execute("delete from tandem.event_poison where id = %s", (event_id,)).rowcount:
            raise OperatorError(f"event {event_id} is not set aside any more: somebody else has seen to it")

    def _armed(self, books: Books) -> Epoch:
        epoch = books.epoch()
        if epoch.state != "armed":
            raise OperatorError(f"epoch {epoch.number} is {epoch.state}: events are posted when it is armed")
        return epoch


def _plan(event: Aside) -> Plan:
    found = decoded(event.payload)
    made = plan(found) if isinstance(found, CallEvent) else found
    if not isinstance(made, Plan):
        raise OperatorError(f"event {event.id} still cannot be posted: {made.reason}")
    return made
