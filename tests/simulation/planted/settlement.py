"""Bugs in the hold that the core computes, in settlement, and in the rebuild."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kemi import keys
from kemi.agent_rebuild import Rebuild as AgentRebuild
from kemi.core import charges, rating
from kemi.core.outcome import Hold, HoldFund
from kemi.core.rating import schedule
from tests.simulation import postgres
from tests.simulation.memory_books import MemoryBooks
from tests.simulation.planted.forms import Replacement
from tools.settle import entries as ledger_entries
from tools.settle import poster, postings, service, slow, stream, sweeper
from tools.settle.books import Epoch
from tools.settle.cell import Cell
from tools.settle.rebuild import Rebuild
from tools.settle.rollcall import RollCall
from tools.settle.rows import Names, Plan
from tools.settle.slow import Slow
from tools.settle.stream import Stream


def _unmerged(draft: Any, out_legs: Any, in_legs: Any, attempts: int, _: Any = None) -> Hold:
    """Every leg its own fund row, as if nobody shared an ancestor."""
    hold, legs = _hold_for(draft, out_legs, in_legs, attempts), (*out_legs, *in_legs)
    rows = schedule([[leg] for leg in legs], 0, hold.rows[-1].talk_s, draft.call.received_ms)
    return hold._replace(funds=tuple(HoldFund(leg.fund, leg.payer_id, leg.level) for leg in legs), rows=rows)


def _dearest_leg_only(draft: Any, out_legs: Any, in_legs: Any, attempts: int, _: Any = None) -> Hold:
    """Let a shared ancestor's row hold the price of one leg instead of the sum."""
    hold = _hold_for(draft, out_legs, in_legs, attempts)
    first = {leg.fund: leg for leg in reversed((*out_legs, *in_legs))}
    return hold._replace(rows=schedule([[first[fund.fund]] for fund in hold.funds], 0, hold.rows[-1].talk_s, 0))


def _acknowledged_first() -> Any:
    posted = service._Session._post

    def post(session: Any, epoch: Any, entries: Sequence[Any], *heard: Any) -> None:
        session._stream.acknowledge(entries)
        posted(session, epoch, entries, *heard)

    return post


def _each_id_once() -> Any:
    """Whoever has seen a stream id takes the next entry with it for the same one."""
    seen: set[str] = set()

    def planned(entries: Sequence[Any]) -> Any:
        new = [entry for entry in entries if entry.id not in seen]
        seen.update(entry.id for entry in entries)
        return _planned(new)

    return planned


def _each_call_once() -> Any:
    """Take the first event of a call for all of them."""
    seen: set[str] = set()

    def plan(event: Any) -> Any:
        made = _plan(event)
        if isinstance(made, Plan) and made.rid in seen:
            return made._replace(entries=())
        seen.add(event.rid)
        return made

    return plan


def _released_always() -> Any:
    def ending(rid: str, seq: int, found: Any, signs: Any) -> Any:
        return _ending(rid, seq, found and found._replace(state="held"), signs)

    return ending


def _half_the_income() -> Any:
    def row(maker: Any, leg: Any, book: str, currency: str, micros: int, fund_n: int | None = None) -> Any:
        return _row(maker, leg, book, currency, micros // 2 if book == "income" else micros, fund_n)

    return row


def _trusting() -> Any:
    """Believe what Redis says of its epoch."""

    def armed(rebuild: Any) -> Any:
        status = rebuild._cell.status()
        return Epoch(status.epoch, "armed") if status.armed else None

    return armed


def _deaf_after_all() -> Any:
    """Hear the nodes, and sort the reservations out as if none had told."""
    finish = Slow._finish

    def finished(slow: Any, roll: Any) -> None:
        roll.missing = lambda *_: roll.told.clear()
        finish(slow, roll)

    return finished


def _told_too_late() -> Any:
    """Want calls until the arming, and wait a little after the reservations are read."""
    sort_out = Slow._sort_out

    def sorted_out(rebuild: Any, roll: Any) -> Any:
        rebuild._cell.client.execute("SET", keys.BUILDING, rebuild._epoch.number)
        found = sort_out(rebuild, roll)
        for _ in range(10):  # others have their turns
            rebuild._cell.now_ms()
        return found

    return sorted_out


def _nothing_spent() -> Any:
    def windows(books: Any) -> Any:
        _windows(books)
        return {}

    return windows


def _at_the_time_of_redis() -> Any:
    def ending(rid: str, seq: int, found: Any, signs: Any) -> Any:
        return _ending(rid, seq, found and found._replace(node_answered_ms=0), signs)

    return ending


def _wrong_carrier() -> Any:
    """Post what the carrier is owed for what was billed, not for what it carried, and again with each part."""

    def owed(event: Any) -> Any:
        return _owed(event._replace(kind="settle"))

    return owed


_hold_for, _planned, _plan, _ending, _row, _owed, _priced, _windows = (
    charges.hold_for,
    stream.planned,
    postings.plan,
    sweeper.ending,
    ledger_entries._Maker.row,
    ledger_entries.owed,
    ledger_entries._priced,
    MemoryBooks.windows,
)

SETTLEMENT: Final[Mapping[str, tuple[Replacement, ...]]] = {
    "every forward is paid for": (Replacement(ledger_entries, "legs_at", lambda: lambda legs, *_: tuple(legs)),),
    "lines are not counted again": (Replacement(Cell, "counters", lambda: lambda _: []),),
    "shared ancestors are not merged": (Replacement(charges, "hold_for", lambda: _unmerged),),
    "a shared ancestor holds for one leg only": (Replacement(charges, "hold_for", lambda: _dearest_leg_only),),
    "acknowledged before the commit": (Replacement(service._Session, "_post", _acknowledged_first),),
    "stream ids tell events apart": (Replacement(poster, "planned", _each_id_once),),
    "only the first event of a call is posted": (Replacement(stream, "plan", _each_call_once),),
    "entries get new ids each time": (Replacement(Names, "entry", lambda: lambda *_: str(uuid.uuid4())),),
    "income is not what was paid": (Replacement(ledger_entries._Maker, "row", _half_the_income),),
    "what is pending is never taken over": (Replacement(Stream, "take_over", lambda: lambda *_: []),),
    "the sweeper trusts the clock of Redis": (Replacement(sweeper.LeaseWatch, "is_due", lambda: lambda *_: True),),
    "the sweeper releases answered calls": (Replacement(sweeper, "ending", _released_always),),
    "a Redis that lost operations is armed": (Replacement(Rebuild, "_loss", lambda: lambda _: ""),),
    "a rebuild counts nothing again": (
        Replacement(Slow, "_count", lambda: lambda *_: ()),
        Replacement(Rebuild, "_differences", lambda: lambda _: []),
    ),
    "a rebuild leaves parts as they were found": (Replacement(slow, "as_paid", lambda: lambda found, _: found),),
    "a rebuild waits for no node": (Replacement(RollCall, "missing", lambda: lambda *_: set()),),
    "a rebuild keeps what its node does not know": (Replacement(Slow, "_finish", _deaf_after_all),),
    "a rebuild brings no charges": (
        Replacement(Cell, "restore", lambda: lambda *_: None),
        Replacement(Rebuild, "_differences", lambda: lambda _: []),
    ),
    "a rebuild counts operations from where Redis was": (Replacement(Cell, "raise_opseq", lambda: lambda *_: None),),
    "nodes may tell until the arming": (
        Replacement(Slow, "_sort_out", _told_too_late),
        Replacement(Rebuild, "_differences", lambda: lambda _: []),
    ),
    "a node does not tell its ends again": (Replacement(AgentRebuild, "again", lambda: lambda *_: []),),
    "a node says that it has told before it has": (
        Replacement(AgentRebuild, "_look_for_more", lambda: lambda *_: None),
    ),
    "a late end posts its whole price": (
        Replacement(postgres, "difference", lambda: lambda each, _: list(each.entries)),
    ),
    "the ledger forgets the exchange rate": (Replacement(ledger_entries, "charge", lambda: rating.cost),),
    "parts are posted as if nothing was paid before": (
        Replacement(
            ledger_entries, "_priced", lambda: lambda leg, event: _priced(leg, event._replace(billed_before_s=0))
        ),
    ),
    "a carrier is owed with each part": (Replacement(postings, "owed", _wrong_carrier),),
    "the sweeper takes the time of Redis for that of the answer": (
        Replacement(sweeper, "ending", _at_the_time_of_redis),
    ),
    "spend is restored as nothing": (Replacement(MemoryBooks, "windows", _nothing_spent),),
    "settlement believes the epoch of Redis": (Replacement(Rebuild, "armed", _trusting),),
    "an event after the late end stays posted": (Replacement(postgres, "taken_back", lambda: lambda _: []),),
}
