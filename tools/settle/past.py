"""A Postgres that knows less than Redis was told: restored to the past, or a replica that lacked commits was promoted.

Calls go on with what Redis has. Settlement posts nothing: its numbers would meet those of a history that is gone. An
operator says that this Postgres is the one to go on with (`tandem recover --accept-past`); then

1. its epochs go on after those of Redis, and the retained stream is read from the beginning: what Postgres has lost is
   posted again, by unique id, while calls go on;
2. sync makes the configuration in Redis, terms of funds included, equal to this Postgres;
3. what Redis has charged and neither Postgres nor the stream knows any more is written down, fund by fund: it stays
   charged;
4. the numbers of postings go on after those that Redis was told: settlement goes on by itself.

A command that died in between is run again: nothing is done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from kemi.adapters.redis_operations import Balance
from tools.errors import OperatorError
from tools.settle.books import Books, Epoch
from tools.settle.cell import Cell
from tools.settle.poster import Outcome, post, unposted
from tools.settle.reconcile import aside
from tools.settle.stream import Stream
from tools.settle.sums import Charged


class StaysCharged(NamedTuple):
    """What Redis has charged a fund by events that nobody knows any more."""

    fund: str
    events: int
    micros: int


class Accepted(NamedTuple):
    """What became of a Postgres in the past. posted: events that it has again, as ledger entries and set aside."""

    epoch: int
    entries: int
    set_aside: int
    lost: tuple[StaysCharged, ...]


def past(books: Books, cell: Cell) -> str:
    """Return what Redis knows of Postgres' history that Postgres does not, "" = nothing."""
    redis_epoch, epoch = cell.status().epoch, books.epoch().number
    if redis_epoch > epoch:
        return f"Redis is at epoch {redis_epoch}, and Postgres knows none above {epoch}"
    told, posted = cell.posted(), books.last_posting()
    if told > posted:
        return f"Redis was told of {told} postings, and Postgres knows of {posted}"
    marked, now = cell.marker(), books.history()
    is_same = marked is not None and (marked.system, marked.database) == (now.system, now.database)
    if marked is not None and is_same and (now.lsn < marked.lsn or now.timeline < marked.timeline):
        ends = f"its log ends at byte {now.lsn} of timeline {now.timeline}"
        return f"{ends}, and Redis has seen {marked.lsn} of {marked.timeline}"
    return ""


def in_the_past(found: str) -> str:
    """Return the sentences for the operator. found: by `past`."""
    return (
        f"Postgres is in the past: {found}. It was restored, or a replica that lacked commits was promoted, or this"
        " Redis belongs to another one. An operator must decide; calls go on with what Redis has where that is armed,"
        " nothing is posted. To go on with this Postgres: tandem recover --accept-past"
    )


def accept(books: Books, cell: Cell, stream: Stream, make_equal: Callable[[], object]) -> Accepted:
    """Go on with this Postgres; the lock of whoever rebuilds is held. make_equal: lets sync make Redis equal.

    Raises OperatorError where Postgres is not in the past.
    """
    found = past(books, cell)
    if not found:
        raise OperatorError("Postgres is not in the past: nothing is to be accepted")
    status, told = cell.status(), cell.posted()
    epoch = books.take_epoch(status.epoch, armed=status.armed)
    books.progress.note(epoch.number, "past", f"Postgres is in the past: {found}; an operator accepts it")
    lost: tuple[StaysCharged, ...] = ()
    replayed = Outcome()
    if status.armed:
        replayed = _replay(books, stream, epoch)
        said = f"read the whole stream: {replayed.added} ledger entries are posted again, {replayed.poisoned} set aside"
        books.progress.note(epoch.number, "replayed", said)
    make_equal()
    books.progress.note(epoch.number, "equal", "sync has made the configuration in Redis equal to Postgres")
    if status.armed:
        _replay(books, stream, epoch)
        lost = _write_down(books, cell, stream, epoch)
    books.raise_posting(told)
    said = f"{sum(each.events for each in lost)} events of {len(lost)} funds are lost for good and stay charged"
    books.progress.note(epoch.number, "accepted", said)
    return Accepted(epoch.number, replayed.added, replayed.poisoned, lost)


def _replay(books: Books, stream: Stream, epoch: Epoch) -> Outcome:
    """Post what stands in the stream and not in Postgres."""
    total, dropped = Outcome(), books.given_up.dropped()
    for entries in stream.whole():
        total = total.plus(post(books, unposted(books, entries, dropped), epoch))
    return total


def _write_down(books: Books, cell: Cell, stream: Stream, epoch: Epoch) -> tuple[StaysCharged, ...]:
    """Write down what is charged by events that nobody knows any more, and return it.

    Calls go on: what Redis had charged at one moment is compared once all that was told by then is posted.
    """
    balances = cell.balances(books.funds())
    _replay(books, stream, epoch)
    waiting = aside(books)
    numbers = {fund: each.n for fund, each in balances.items() if each.n}
    found = []
    for fund, known in books.sums.charged_at(numbers, epoch.number).items():
        lost = _lost(balances[fund], known, waiting.charges.get(fund, {}))
        if lost.events > 0:
            found.append(lost)
            books.given_up.add(fund, epoch.number, lost.events, lost.micros)
    return tuple(found)


def _lost(balance: Balance, known: Charged, waits: Mapping[int, int]) -> StaysCharged:
    on_the_way = {number: micros for number, micros in waits.items() if number <= balance.n}
    events = balance.n - known.events - len(on_the_way)
    return StaysCharged(balance.fund, events, balance.charged_micros - known.micros - sum(on_the_way.values()))
