"""A node of a broken release: asks for things about calls of others, nearly all of which must be refused as a whole.

What it asks it asks twice at times: the second one is a repetition, or as impossible as the first one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from kemi import codec
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import Adopt, Answer, Extend, Late, Operation, Part, Release, Settle
from kemi.core.outcome import HoldRow
from kemi.records import Status
from tests.fakes import calls as builders
from tests.simulation.ledger_model import AMOUNT_MAX, Transfer
from tests.simulation.oracle import Oracle

END: Final = codec.pack(builders.answered(1))
UNPROVEN: Final = codec.pack(builders.unanswered("unknown_end", 0, ""))


def act(rng: random.Random, funds: Funds, oracle: Oracle) -> str:
    """Do one thing that should not be done; return what."""
    ledger = oracle.ledger
    rid = rng.choice(list(ledger.pending))
    what = rng.randrange(20)
    if what == 0 and oracle.is_armed:
        return _refused("sets the sums of 2:EUR", lambda: funds.restore_fund("2:EUR", 0, 0))
    if what == 1:
        return _refused("arms an older epoch", lambda: funds.arm(0))
    suspended = [each for each in ledger.pending if _is_suspended(oracle, ledger.transfers[each])]
    if what in (5, 6) and suspended:
        rid = rng.choice(suspended)
        funds.batch([_longer(rng, ledger.transfers[rid])])
        return f"Extend of {rid}, which somebody may not pay any more"
    known = ledger.transfers[rid]
    make = {2: _late, 3: _rude, 4: _rude, 5: _dearest, 7: _late, 8: _late}.get(what, impossible)
    bad = make(rng, known)
    funds.batch([bad] * rng.choice((1, 2)))
    return f"{type(bad).__name__} of {rid}"


def _refused(what: str, work: Callable[[], None]) -> str:
    with suppress(ValueError):
        work()
    return what


def _is_suspended(oracle: Oracle, known: Transfer) -> bool:
    """Whether one of those who pay may not call any more."""
    found = (oracle.terms(fund) for fund in known.funds)
    return any(terms is not None and terms.status != Status.ACTIVE for terms in found)


def _longer(rng: random.Random, known: Transfer) -> Extend:
    """Ask for a second more that costs nothing: nothing but a suspended account forbids it."""
    op_id = f"{known.rid}:bad{rng.randrange(10**6)}"
    return Extend(op_id, known.rid, known.seq + 1, (HoldRow(known.granted_s + 1, known.amounts),), 30)


def _dearest(rng: random.Random, known: Transfer) -> Extend:
    """Ask for a second more at all the money that can be counted: it is there only where nothing was ever spent."""
    row = HoldRow(known.granted_s + 1, (AMOUNT_MAX,) * len(known.amounts))
    return Extend(f"{known.rid}:bad{rng.randrange(10**6)}", known.rid, known.seq + 1, (row,), 30)


def _late(rng: random.Random, known: Transfer) -> Late:
    """Tell of an end that nobody knows: it may be told with a sequence that was not used, and changes nothing."""
    seq = rng.choice((known.seq, known.seq + 1, known.seq + 1, 2**31))
    return Late(f"{known.rid}:bad{rng.randrange(10**6)}", known.rid, seq, known.call, UNPROVEN)


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
    below = tuple(max(0, amount - 1) for amount in known.posted)
    found: list[Operation] = [
        Answer(op_id, rid, seq, 30, answered_ms=-1),
        Answer(op_id, rid, seq, 30, place=-2),
        Answer(op_id, rid, seq, 30, joins=("line1:", "2:EUR")),
        Answer(op_id, rid, seq, 30, held_s=known.granted_s, held_micros=tuple(-1 for _ in known.amounts)),
        Adopt(op_id, rid, known.seq, 30),
        Adopt(op_id, rid, seq, -(10**6)),
        Part(op_id, rid, seq, granted_s + 1, known.amounts, END),
        Part(op_id, rid, seq, granted_s, dearer, END),
        Part(op_id, rid, seq, granted_s, (*known.amounts, 0), END),
        Part(op_id, rid, seq, granted_s, known.amounts, b"\xc0"),
        Part(op_id, rid, known.seq, granted_s, known.amounts, END),
    ]
    if known.state == "held":
        found += [Part(op_id, rid, seq, granted_s, known.amounts, END)] * 4
    if known.billed_s:
        found += [Part(op_id, rid, seq, known.billed_s, known.amounts, END)] * 2
        found += [Settle(op_id, rid, seq, known.billed_s - 1, known.amounts, END)] * 4
    if below != known.posted:
        found += [Part(op_id, rid, seq, granted_s, below, END), Settle(op_id, rid, seq, granted_s, below, END)] * 4
    return tuple(found)


def _rude(rng: random.Random, known: Transfer) -> Operation:
    """Return what may be done to a call of another node, though nobody should."""
    op_id, seq = f"{known.rid}:bad{rng.randrange(10**6)}", known.seq + 1
    if known.billed_s:
        return Release(op_id, known.rid, seq, UNPROVEN)
    if known.node_answered_ms:
        return Answer(op_id, known.rid, seq, 30, known.server_id, known.node_answered_ms + 1)
    return Adopt(op_id, known.rid, seq, 30)
