"""A node of a broken release: asks for things that must be refused as a whole, about calls of others."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from kemi import codec
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import Adopt, Answer, Extend, Late, Operation, Part, Release, Settle
from kemi.core.outcome import HoldRow
from tests.fakes import calls as builders
from tests.simulation.ledger_model import Transfer
from tests.simulation.oracle import Oracle

END: Final = codec.pack(builders.answered(1))
UNPROVEN: Final = codec.pack(builders.unanswered("unknown_end", 0, ""))


def act(rng: random.Random, funds: Funds, oracle: Oracle) -> str:
    """Do one thing that must be refused; return what."""
    ledger = oracle.ledger
    rid = rng.choice(list(ledger.pending))
    what = rng.randrange(20)
    if what == 0 and oracle.is_armed:
        return _refused("sets the sums of 2:EUR", lambda: funds.restore_fund("2:EUR", 0, 0))
    if what == 1:
        return _refused("arms an older epoch", lambda: funds.arm(0))
    bad = _late(rng, ledger.transfers[rid]) if what == 2 else impossible(rng, ledger.transfers[rid])
    funds.batch([bad])
    return f"{type(bad).__name__} of {rid}"


def _refused(what: str, work: Callable[[], None]) -> str:
    with suppress(ValueError):
        work()
    return what


def _late(rng: random.Random, known: Transfer) -> Late:
    """Tell of an end that nobody knows, with a sequence that was used before: it may be told, and changes nothing."""
    return Late(f"{known.rid}:bad{rng.randrange(10**6)}", known.rid, 1, known.call, UNPROVEN)


def impossible(rng: random.Random, known: Transfer) -> Operation:
    """Return an operation on an open reservation that no state of it allows."""
    op_id, rid, seq = f"{known.rid}:bad{rng.randrange(10**6)}", known.rid, known.seq + 1
    dearer = tuple(amount + 1 for amount in known.amounts)
    cheaper = tuple(max(0, amount - 1) for amount in known.amounts)
    later = known.granted_s + 1
    choices: tuple[Operation, ...] = (
        Settle(op_id, rid, seq, known.granted_s, dearer, END),
        Settle(op_id, rid, seq, later, known.amounts, END),
        Settle(op_id, rid, seq, -1, known.amounts, END),
        Settle(op_id, rid, seq, 0, (*known.amounts, 0), END),
        Settle(op_id, rid, seq, 0, tuple(-1 for _ in known.amounts), END),
        Settle(op_id, rid, known.seq, 0, known.amounts, END),
        Release(op_id, rid, known.seq, END),
        Release(op_id, rid, seq, b"\xc0"),
        Answer(op_id, rid, known.seq, 30),
        Answer(op_id, rid, seq, -(10**6)),
        Answer(op_id, rid, seq, 30, -1),
        Extend(op_id, rid, seq, (HoldRow(known.granted_s, dearer),), 30),
        Extend(op_id, rid, seq, (HoldRow(later, tuple(2**53 for _ in known.amounts)),), 30),
        Extend(op_id, rid, seq, (HoldRow(later, known.amounts), HoldRow(later, known.amounts)), 30),
        Extend(op_id, rid, seq, (HoldRow(later, (*known.amounts, 0)),), 30),
        *((Extend(op_id, rid, seq, (HoldRow(later, cheaper),), 30),) if cheaper != known.amounts else ()),
        Extend(op_id, rid, seq, (), 30),
        *_impossible_since_parts(op_id, known),
    )
    return rng.choice(choices)


def _impossible_since_parts(op_id: str, known: Transfer) -> tuple[Operation, ...]:
    """Return the same for what the first release had not."""
    rid, seq, granted_s = known.rid, known.seq + 1, known.granted_s
    dearer = tuple(amount + 1 for amount in known.amounts)
    below = tuple(amount - 1 for amount in known.posted)
    return (
        Answer(op_id, rid, seq, 30, answered_ms=-1),
        Adopt(op_id, rid, known.seq, 30),
        Adopt(op_id, rid, seq, -(10**6)),
        Part(op_id, rid, seq, known.billed_s, known.amounts, END),
        Part(op_id, rid, seq, granted_s + 1, known.amounts, END),
        Part(op_id, rid, seq, granted_s, dearer, END),
        Part(op_id, rid, seq, granted_s, below, END),
        Part(op_id, rid, seq, granted_s, (*known.amounts, 0), END),
        Part(op_id, rid, seq, granted_s, known.amounts, b"\xc0"),
        Part(op_id, rid, known.seq, granted_s, known.amounts, END),
        Settle(op_id, rid, seq, granted_s, below, END),
        Settle(op_id, rid, seq, known.billed_s - 1, known.amounts, END),
    )
