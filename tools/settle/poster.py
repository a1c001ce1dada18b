"""Entries of the stream into Postgres, a batch at a time; what cannot be stored is set aside alone, never the batch.

Only data that Postgres refuses makes an event poison. An outage, a missing right or a missing table does not: then
nothing is committed, nothing acknowledged, and the same entries come again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

import psycopg
from psycopg import errors

from tools.settle.batch import ClashError
from tools.settle.books import Books, Epoch, Poisoned
from tools.settle.entries import LATE, PART
from tools.settle.stream import Entry, head, planned

log = logging.getLogger("tandem.settle")

WORDS_MAX: Final = 60
# psycopg counts what is too long for an index among the outages, which would be waited for with all that comes after.
UNSTORABLE: Final = (psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded, ClashError)


class Outcome(NamedTuple):
    """What became of entries. added: new ledger entries. poisoned: events newly set aside."""

    entries: int = 0
    added: int = 0
    poisoned: int = 0

    def plus(self, other: Outcome) -> Outcome:
        """Return the sum of both."""
        return Outcome(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def post(
    books: Books, entries: Sequence[Entry], believed: Epoch, besides: Callable[[], None] = lambda: None
) -> Outcome:
    """Post entries while Postgres says `believed`. Raises EpochMovedError, psycopg errors of outages.

    A batch with an event that cannot be stored is halved until that event is alone. besides: done in each transaction.
    """
    plans, poisoned = planned(entries)
    try:
        written = books.post(plans, poisoned, believed, besides)
    except UNSTORABLE as error:
        if len(entries) > 1:
            half = len(entries) // 2
            first = post(books, entries[:half], believed, besides)
            return first.plus(post(books, entries[half:], believed, besides))
        written = books.post([], [Poisoned(entries[0].id, sentence(error), entries[0].payload)], believed, besides)
    for event in written.set_aside:
        log.error("event %s is set aside in tandem.event_poison: %s", event.id, event.reason)
    return Outcome(len(entries), written.added, len(written.set_aside))


def unposted(books: Books, entries: Sequence[Entry], dropped: Collection[bytes]) -> list[Entry]:
    """Return the entries without those whose record stands, and without those that a person has given up.

    For reading again what was read before: a day's events are many. dropped: SHA-256 of the bytes given up.
    """
    heads = [head(entry.payload) for entry in entries]
    known = books.recorded([each.rid for each in heads if each is not None])
    return [
        entry
        for entry, each in zip(entries, heads, strict=True)
        if (each is None or each.kind in {LATE, PART} or (each.rid, each.seq) not in known)
        and not (dropped and sha256(entry.payload).digest() in dropped)
    ]


def sentence(error: Exception) -> str:
    """Return what Postgres says is wrong with the row, with its detail, in one line."""
    return " ".join(str(error).split()[:WORDS_MAX]) or type(error).__name__
