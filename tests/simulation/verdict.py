"""What has to be true of the books: of every entry when it comes, of everything when it is calm, and at the end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from kemi import codec, keys
from kemi.records import CallEvent
from tests.simulation.calm import unrest
from tests.simulation.postgres import rank
from tests.simulation.violation import require
from tools.settle.postings import plan
from tools.settle.rows import COST, FUND, INCOME, CdrRow, EntryRow, Plan

if TYPE_CHECKING:
    from tests.simulation.world import World

ENDS: Final = frozenset({"settle", "release"})
PART: Final = "part"
UNPROVEN: Final = frozenset({"unknown_end", "refused"})
CHARGING: Final = ("settle", PART)


def check_books(world: World) -> None:
    """Check what is new in Postgres: each charge is one that Redis made, with that number, once."""
    data, oracle = world.data, world.oracle
    new = list(data.fund_events.values())[oracle.books_seen :]
    oracle.books_seen += len(new)
    for row in new:
        _check_charge(world, row)
    for event in data.poison[oracle.poison_seen :]:
        told = codec.unpack(CallEvent, event.payload)
        is_known = not told.postings or world.is_disputed(told)
        require("poison", is_known, f"{told.kind} of {told.rid} moved money and is set aside: {event.reason}")
    oracle.poison_seen = len(data.poison)


def _check_charge(world: World, row: EntryRow) -> None:
    fund = keys.fund(row.account_id, row.currency)
    names = [(row.epoch, row.rid, row.seq, kind) for kind in CHARGING]
    event = next((world.oracle.events[name] for name in names if name in world.oracle.events), None)
    require("posted", event is not None, f"{row.rid} seq {row.seq} was never charged, and is posted")
    found = [each for each in event.postings if each.fund == fund] if event else []
    require("posted", len(found) == 1 and found[0].n == row.fund_n, f"{row.rid} {fund}: event {row.fund_n}, {found}")
    require("posted", found[0].amount_micros == -row.amount_micros, f"{row.rid} {fund}: {row.amount_micros}, {found}")


def check_calm(world: World) -> None:
    """Check a world in which nothing is on its way: I2 and I3 hold exactly, each end has its record."""
    check_books(world)
    if world.disputes():
        return
    waits = unrest(world)
    require("calm", not waits, waits)
    data, ledger = world.data, world.oracle.ledger
    for fund, account in ledger.accounts.items():
        posted = data.posted.get(fund)
        sums = (posted.charged_micros, posted.n) if posted else (0, 0)
        require("I2 books", sums == (account.posted, account.n), f"{fund}: Postgres has {sums}, Redis {account}")
        if posted and posted.events < posted.n:
            _check_gaps(world, fund, posted.n)
    for fund, terms in world.configuration.terms.items():
        require(
            "I3", world.oracle.stored.terms(fund) == terms, f"{fund}: {world.oracle.stored.terms(fund)}, not {terms}"
        )
    _check_records(world)
    _check_acknowledged(world)
    _check_legs(world)


def _check_gaps(world: World, fund: str, n: int) -> None:
    """Check that what is missing among a fund's event numbers is what Redis has lost."""
    numbers = {row.fund_n for row in world.data.fund_events.values() if keys.fund(row.account_id, row.currency) == fund}
    lost = {
        posting.n
        for name, event in world.oracle.events.items()
        for posting in event.postings
        if posting.fund == fund and name not in world.oracle.told
    }
    missing = sorted(set(range(1, n + 1)) - numbers)
    require("I2 gaps", set(missing) <= lost, f"{fund}: {missing} are missing, lost were {sorted(lost)}")


def _check_acknowledged(world: World) -> None:
    """Every charge that Redis has taken is posted, also where Redis has lost it: its node, alive, has told it again."""
    poisoned = {event.rid for event in world.aside()}
    for node in world.nodes:
        for rid in node.acknowledged:
            found = world.data.cdrs.get(rid)
            is_proven = rid in poisoned or (found is not None and found.outcome not in UNPROVEN)
            require("acknowledged", is_proven, f"{node.name} was told that {rid} is charged: {found and found.outcome}")
        node.acknowledged.clear()


def _check_records(world: World) -> None:
    """Every grant is open or has ended in one event, and what was told of a call stands in its record."""
    ledger = world.oracle.ledger
    ends = Counter(rid for _, rid, _, kind in world.oracle.told if kind in ENDS)
    for rid, grants in ledger.grants.items():
        over = ends[rid] + (rid in ledger.pending)
        require("I4", over == grants, f"{rid} was granted {grants} times, ended {ends[rid]} times")
    wanted: dict[str, CdrRow] = {}
    aside = {(event.rid, event.seq, event.kind) for event in world.aside()}
    for name in world.oracle.told:
        if name[1:] in aside:
            continue
        made = plan(world.oracle.events[name])
        before = wanted.get(name[1])
        if isinstance(made, Plan) and made.cdr and (before is None or rank(before) < rank(made.cdr)):
            wanted[name[1]] = made.cdr
    for rid, cdr in wanted.items():
        found = world.data.cdrs.get(rid)
        is_it = found is not None and rank(found) >= rank(cdr)
        require("record", is_it, f"{rid}: the record is {found and found.outcome}, not {cdr.outcome} of seq {cdr.seq}")
    poisoned = {event.rid for event in world.aside()}
    for _, rid, _, kind in world.oracle.told:
        is_kept = kind == PART or rid in world.data.cdrs or rid in poisoned
        require("record", is_kept, f"{rid} ended and has no record")


def _check_legs(world: World) -> None:
    """Check that what a record says that each level paid is what the level was charged, and its payee has earned."""
    sums: Counter[tuple[str, str, int, str]] = Counter()
    for row in world.data.entries.values():
        if row.book in (FUND, INCOME, COST):
            sums[row.rid, row.book, row.account_id, row.currency] += row.amount_micros
    posted = {(row.epoch, row.rid, row.seq) for row in world.data.fund_events.values()}
    paid_apart = {  # parts that Redis has lost before they were posted: their charge is a gap in the numbers
        rid
        for (epoch, rid, seq, kind), event in world.oracle.events.items()
        if kind == PART and event.postings and (epoch, rid, seq) not in posted
    }
    # Of a call that has paid a part, an end that knows nothing of it leaves the charge, and a record without it.
    parted = {rid for _, rid, _, kind in world.oracle.events if kind == PART}
    paid_apart |= {rid for rid in parted if rid in world.data.cdrs and world.data.cdrs[rid].outcome in UNPROVEN}
    # Two masters may both end a call: then the record is one end's, and the ledger has both.
    settled = Counter(rid for _, rid, _, kind in world.oracle.events if kind == "settle")
    paid_apart |= {rid for rid, ends in settled.items() if ends > 1}
    for rid, legs in world.data.legs.items():
        if rid in paid_apart or rid in world.oracle.ledger.pending:
            continue
        due: Counter[tuple[str, str, int, str]] = Counter()
        for leg in legs:
            if leg.book == FUND and leg.charged_micros is not None and leg.fund_currency:
                due[rid, FUND, leg.payer_id, leg.fund_currency] -= leg.charged_micros
                due[rid, INCOME, leg.payee_id, leg.currency] += leg.price_micros
            elif leg.book == COST:
                due[rid, COST, leg.payer_id, leg.currency] -= leg.price_micros
        if world.data.cdrs[rid].is_late:  # what else was posted of the call is taken back
            due.update({place: 0 for place in sums if place[0] == rid})
        for place, micros in due.items():
            require("legs", sums[place] == micros, f"{place}: its legs say {micros}, the ledger {sums[place]}")


def check_end(world: World) -> None:
    """Check the world after all nodes died: no hold, no channel, no lease is left of any call."""
    check_calm(world)
    if world.disputes():
        return
    pending = list(world.oracle.ledger.pending)
    require("stuck", not pending, f"held for ever: {pending}")
    for fund, account in world.oracle.ledger.accounts.items():
        require("stuck", not account.pending and not account.channels, f"{fund}: {account}")
