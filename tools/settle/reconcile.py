"""Whether Redis and Postgres agree on the money: the invariants of the protocol, as differences and numbers.

I1  a fund's hold and channels are those of the open reservations
I2  a fund's charges are those posted in Postgres, on the way or given up, and its event numbers have no gap
I3  a fund's credit is Postgres' credit of the same version
I4  every granted reservation is open, with a lease, or ended, with a record

I2 is compared at the event number that Redis had, I3 at the version that it had: balances that move are never
compared. I1 and I4 need a moment without operations; where traffic leaves none, the report says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Final, NamedTuple

from kemi.adapters.redis_operations import LEFT, Balance, Reservation
from kemi.core.outcome import IN, OUT
from kemi.records import CallEvent
from tools.settle.books import Books, Posted
from tools.settle.cell import Cell, Snapshot
from tools.settle.stream import Stream, decoded
from tools.settle.sums import Charged
from tools.settle.sweeper import OPEN

SYNC_DEADLINE_S: Final = 3.0
NUMBERS_SHOWN: Final = 5
POISON_SHOWN: Final = 100
ENDED_MAX: Final = 5_000  # ended reservations looked at; each costs a round trip
ENDED: Final = frozenset({"settled", "released"})
NOTHING_POSTED: Final = Posted()
NOTHING_LOST: Final = Charged(0, 0)


class Report(NamedTuple):
    """What agrees and what does not. numbers: a sentence for each invariant."""

    funds: int
    differences: tuple[str, ...]
    numbers: tuple[str, ...]


class Waiting(NamedTuple):
    """Events on the way: not acknowledged, or set aside. charges: fund -> event number -> micros. rids: their calls."""

    charges: Mapping[str, Mapping[int, int]]
    rids: frozenset[str]


def reconcile(books: Books, cell: Cell, stream: Stream) -> Report:
    """Compare everything. Raises StoreUnavailable and psycopg errors.

    Waits up to 3 s for credits that tandem sync is bringing just now.
    """
    names = books.funds()
    found = cell.snapshot(names, ENDED_MAX, counters=cell.counters())
    waiting = on_the_way(books, stream)
    charges = charge_differences(books, found.balances, waiting)
    credits_ = _settled_credit_differences(books, cell, names)
    epoch, status = books.epoch(), cell.status()
    armed = "armed" if status.armed else "not armed: calls are refused"
    state = f"Redis is at epoch {status.epoch}, {armed}; Postgres says epoch {epoch.number} is {epoch.state}"
    holds = hold_differences(found) if found.still else []
    grants = _grant_differences(books, found, waiting) if found.still else []
    differences = (*holds, *charges, *credits_, *grants, *_poison_differences(books))
    return Report(len(names), differences, (state, *_numbers(found)))


def on_the_way(books: Books, stream: Stream) -> Waiting:
    """Return all charges that nobody has acknowledged in the stream, posted or not, or that are set aside.

    What is acknowledged must be in Postgres; where it is not, Postgres has lost it, and that is a difference.
    """
    payloads = [event.payload for event in books.poisoned()]
    payloads += [entry.payload for entries in stream.waiting() for entry in entries]
    return _waiting(payloads)


def aside(books: Books) -> Waiting:
    """Return what is set aside: all that is on the way once the whole stream is posted, and nobody adds to it."""
    return _waiting(event.payload for event in books.poisoned())


def _waiting(payloads: Iterable[bytes]) -> Waiting:
    charges: dict[str, dict[int, int]] = {}
    rids: set[str] = set()
    for event in map(decoded, payloads):
        if isinstance(event, CallEvent):
            rids.add(event.rid)
            for posting in event.postings:
                charges.setdefault(posting.fund, {})[posting.n] = posting.amount_micros
    return Waiting(charges, frozenset(rids))


def charge_differences(
    books: Books, balances: Mapping[str, Balance], waiting: Waiting, *, is_still: bool = False
) -> list[str]:
    """Return where I2 does not hold. waiting: read after `balances`, or an event between them is missed.

    is_still: nobody adds events, so one above the number that Redis has is not a newer one: Redis has lost it.
    """
    posted, losses, given_up = books.posted(), books.given_up.unnumbered(), books.given_up.numbered()
    unclear = [
        balance
        for fund, balance in balances.items()
        if posted.get(fund, NOTHING_POSTED) != Posted(balance.charged_micros, balance.n, balance.n)
    ]
    found = []
    for each in unclear:
        aside_of = {**waiting.charges.get(each.fund, {}), **given_up.get(each.fund, {})}
        known = {**aside_of, **books.posted_events(each.fund)}
        counted = {number: micros for number, micros in known.items() if is_still or number <= each.n}
        found.append(_charge_difference(each, counted, losses.get(each.fund, NOTHING_LOST)))
    return [difference for difference in found if difference]


class Known(NamedTuple):
    """What anybody knows of a fund's charges. n: highest event number. events: how many are known. lost: given up."""

    micros: int
    n: int
    events: int
    lost: int


def known_charges(books: Books, waiting: Waiting) -> dict[str, Known]:
    """Return fund -> what is posted, on the way or given up; funds without any are left out.

    In one question for all of them: a fund may have a million events, and calls wait. Only where its numbers have gaps,
    or two masters have given out the same ones, they are looked at.
    """
    posted, losses, given_up = books.posted(), books.given_up.unnumbered(), books.given_up.numbered()
    more = {
        fund: {**waiting.charges.get(fund, {}), **given_up.get(fund, {})}
        for fund in waiting.charges.keys() | given_up.keys()
    }
    there = books.given_up.posted({(fund, number) for fund, numbers in more.items() for number in numbers})
    found: dict[str, Known] = {}
    for fund in sorted({*posted, *more, *losses}):
        sums, lost = posted.get(fund, NOTHING_POSTED), losses.get(fund, NOTHING_LOST)
        new = {number: micros for number, micros in more.get(fund, {}).items() if (fund, number) not in there}
        micros = sums.charged_micros + sum(new.values()) + lost.micros
        events = len(new) + (sums.n if sums.events == sums.n else len(books.posted_events(fund)))
        found[fund] = Known(micros, max((sums.n, *new, events + lost.events)), events, lost.events)
    return found


def _charge_difference(balance: Balance, counted: Mapping[int, int], lost: Charged) -> str:
    """Return how a fund's charges differ at the event number that Redis had, "" when they do not.

    lost: what was given up by events whose numbers nobody knows.
    """
    total = sum(counted.values()) + lost.micros
    if total == balance.charged_micros and len(counted) + lost.events == balance.n:
        return ""
    missing = [number for number in range(1, balance.n + 1) if number not in counted]
    gap = f"; missing are event {_listed(missing)}" if len(missing) > lost.events else ""
    given_up = f" and {lost.events} that were given up as lost" if lost.events else ""
    return (
        f"I2: fund {balance.fund}: Redis has charged {balance.charged_micros} micros in {balance.n} events,"
        f" Postgres and the events on the way have {total} in {len(counted)}{given_up}{gap}"
    )


class Taken(NamedTuple):
    """What a fund's open reservations take. micros: held, less what parts have charged."""

    micros: int = 0
    channels: int = 0
    channels_in: int = 0
    channels_out: int = 0

    def plus(self, micros: int, sides: int) -> Taken:
        """Return the sum with one more reservation."""
        return Taken(
            self.micros + micros,
            self.channels + (sides != LEFT),
            self.channels_in + (sides & IN > 0),
            self.channels_out + (sides & OUT > 0),
        )


NOTHING_TAKEN: Final = Taken()


def taken(reservations: Iterable[Reservation]) -> dict[str, Taken]:
    """Return fund -> what those of the reservations take that are open."""
    found: dict[str, Taken] = {}
    for each in reservations:
        if each.state in OPEN:
            rows = zip_longest(each.funds, each.held, each.posted, each.sides, fillvalue=0)
            for fund, held, posted, sides in rows:
                found[str(fund)] = found.get(str(fund), NOTHING_TAKEN).plus(int(held) - int(posted), int(sides))
            for fund in each.joins:
                found[fund] = found.get(fund, NOTHING_TAKEN).plus(0, IN)
    return found


def hold_differences(found: Snapshot) -> list[str]:
    """Return where I1 does not hold, by the names of the funds. found: of one moment."""
    due = taken(found.reservations.values())
    return [
        f"I1: fund {fund}: holds {_words(has)}, its open reservations {_words(due.get(fund, NOTHING_TAKEN))}"
        for fund, balance in sorted({**found.balances, **found.counters}.items())
        if (has := held_by(balance)) != due.get(fund, NOTHING_TAKEN)
    ]


def held_by(balance: Balance) -> Taken:
    """Return what a fund says that is taken from it."""
    return Taken(balance.held_micros, balance.channels, balance.channels_in, balance.channels_out)


def _words(each: Taken) -> str:
    return f"{each.micros} micros on {each.channels} channels ({each.channels_in} in, {each.channels_out} out)"


def _settled_credit_differences(books: Books, cell: Cell, names: Sequence[str]) -> list[str]:
    """Return where I3 does not hold, after giving the sync time to bring what was changed just now."""
    deadline = time.monotonic() + SYNC_DEADLINE_S
    while True:
        found = list(_credit_differences(books.credits(), cell.balances(names)))
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _credit_differences(credit: Mapping[str, tuple[int, int]], balances: Mapping[str, Balance]) -> Iterator[str]:
    for fund, balance in balances.items():
        version, micros = credit.get(fund, (0, 0))
        if balance.terms is None:
            yield f"I3: fund {fund}: Redis has no terms of it; is tandem sync running?"
        elif balance.terms.cver != version:
            yield f"I3: fund {fund}: Redis knows version {balance.terms.cver} of its credit, Postgres {version}"
        elif balance.terms.cred_micros != micros:
            yield f"I3: fund {fund}: credit is {balance.terms.cred_micros} micros in Redis, {micros} in Postgres"


def credit_faults(credit: Mapping[str, tuple[int, int]], balances: Mapping[str, Balance]) -> list[str]:
    """Return where I3 does not hold at equal versions; a version that sync is bringing just now is no fault."""
    known = {
        fund: each
        for fund, each in balances.items()
        if each.terms is not None and each.terms.cver == credit.get(fund, (0, 0))[0]
    }
    return list(_credit_differences(credit, known))


def _grant_differences(books: Books, found: Snapshot, waiting: Waiting) -> list[str]:
    """Return where I4 does not hold, among the reservations looked at."""
    open_ = found.open().keys()
    ended = {rid for rid, each in found.reservations.items() if each.state in ENDED}
    unknown = ended - waiting.rids - set(books.given_up.dropped().values())
    lost = unknown - books.has_records(sorted(unknown))
    return [
        *(
            f"I4: reservation {rid} is open and has no lease: nothing would end it"
            for rid in sorted(open_ - found.leases.keys())
        ),
        *(f"I4: lease {rid} stands for no open reservation" for rid in sorted(found.leases.keys() - open_)),
        *(f"I4: reservation {rid} ended and left neither event nor record" for rid in sorted(lost)),
    ]


def _poison_differences(books: Books) -> Iterator[str]:
    """Yield the events that are set aside; their charges count as on the way until somebody has seen to them."""
    poisoned = books.poisoned()
    for event in poisoned[:POISON_SHOWN]:
        yield f"event {event.id} is set aside in tandem.event_poison: {event.reason}"
    if len(poisoned) > POISON_SHOWN:
        yield f"{len(poisoned) - POISON_SHOWN} more events are set aside in tandem.event_poison"


def _numbers(found: Snapshot) -> Iterator[str]:
    balances = found.balances.values()
    states = [reservation.state for reservation in found.reservations.values()]
    open_count = sum(state in OPEN for state in states)
    ended_count = sum(state in ENDED for state in states)
    if found.still:
        held, channels = sum(each.held_micros for each in balances), sum(each.channels for each in balances)
        yield f"I1: {held} micros and {channels} channels are held, by {open_count} open reservations"
    else:
        yield "I1, I4: not compared, calls leave no moment without an operation; ask again when it is calmer"
    charged, events = sum(each.charged_micros for each in balances), sum(each.n for each in balances)
    yield f"I2: {charged} micros are charged, in {events} events"
    yield f"I3: {sum(each.terms.cred_micros for each in balances if each.terms)} micros are credited"
    yield f"I4: {open_count + ended_count} grants of the last hour = {open_count} open + {ended_count} ended"


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:NUMBERS_SHOWN])
    return f"{shown} and {len(numbers) - NUMBERS_SHOWN} more" if len(numbers) > NUMBERS_SHOWN else shown
