"""Ends the reservations that nobody speaks for any more: their node died, or forgot them.

Rule 1: a lease is due when Redis' clock has passed it AND our own monotonic clock has, counted from when we first saw
that very lease. A clock that steps forward therefore kills no live call: its node moves the lease in time.
Rule 2: operation ids `<rid>:sweep:<sequence>` belong to sweepers alone; several of them apply each once. The sequence
is the next after the one seen: where the node moved meanwhile, the operation is refused.

Answered: the granted talk is charged and the record says `estimated`. Not answered as far as Redis knows: nothing is
charged. The record says `unknown_end`, whether the node lives or not: it may have died between the answer and its mark
and live again, or its word of the answer was lost.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from kemi import codec
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import Applied, Operation, Release, Reservation, Settle, sweep_id
from kemi.core.rating import by_fund, charges, legs_at
from kemi.records import CallEnd, PinnedCall

log = logging.getLogger("tandem.settle")

EXPIRED_AT_ONCE: Final = 1000
NODE_SILENT_MS: Final = 10_000  # agents report every second; one that has not for so long is taken for dead
OPEN: Final = frozenset({"held", "answered"})


class Sight(NamedTuple):
    """A lease as first seen. due_s: when it is over by our own clock."""

    expiry_ms: int
    due_s: float


class LeaseWatch:
    """Follows leases by our own clock, from some time before their end. Pure.

    ttl_s: how long a lease is watched that was past already when first seen: nothing tells then how long ago it was
    moved, so it gets the longest time in which a living node moves it.
    """

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._seen: dict[str, Sight] = {}

    def see(self, leases: Mapping[str, int], redis_ms: int, now_s: float) -> None:
        """Take in all leases that are over or soon will be.

        leases: rid -> expiry in Redis ms. now_s: our own monotonic clock.
        """
        before, self._seen = self._seen, {}
        for rid, expiry_ms in leases.items():
            known = before.get(rid)
            if known is None or known.expiry_ms != expiry_ms:
                left_s = (expiry_ms - redis_ms) / 1000
                known = Sight(expiry_ms, now_s + (left_s if left_s > 0 else self._ttl_s))
            self._seen[rid] = known

    def forget(self) -> None:
        """Watch all leases anew: Redis was away, so nobody could move them."""
        self._seen.clear()

    def is_due(self, rid: str, now_s: float) -> bool:
        """Return whether the lease is over by our own clock; False for one never seen."""
        known = self._seen.get(rid)
        return known is not None and now_s >= known.due_s


class Signs(NamedTuple):
    """Who may still be alive, as Redis says at one moment. leases: those that are over, or will soon be.

    nodes: name -> last seen in Redis ms.
    """

    redis_ms: int
    leases: Mapping[str, int]
    nodes: Mapping[str, int]


class Sweeper:
    """One sweep after another over one signs."""

    def __init__(self, funds: Funds, watch: LeaseWatch, read: Callable[[], Signs], clock: Callable[[], float]) -> None:
        """Work over `funds`. read: what Redis says now. clock: monotonic seconds."""
        self._funds = funds
        self._watch = watch
        self._read = read
        self._clock = clock

    def sweep(self) -> int:
        """End what is due and return how many reservations were ended now. Raises StoreUnavailable."""
        signs = self._read()
        self._watch.see(signs.leases, signs.redis_ms, self._clock())
        if all(expiry_ms > signs.redis_ms for expiry_ms in signs.leases.values()):
            return 0
        due = [
            (rid, seq) for rid, seq in self._funds.expired(EXPIRED_AT_ONCE) if self._watch.is_due(rid, self._clock())
        ]
        operations = [ending(rid, seq, self._funds.describe(rid), signs) for rid, seq in due]
        results = self._funds.batch(operations) if operations else []
        for operation, result in zip(operations, results, strict=True):
            if isinstance(result, Applied):
                log.warning("lease of %s ended and nobody moved it: %s", operation.rid, _what(operation))
            else:
                log.info("lease of %s ended, but %s", operation.rid, result)
        return sum(isinstance(result, Applied) for result in results)


def ending(rid: str, seq: int, found: Reservation | None, signs: Signs) -> Operation:
    """Return the operation that ends a reservation whose lease is over.

    seq: as seen with the lease; -1 where the lease stands alone, which a release removes.
    """
    op_id = sweep_id(rid, seq + 1)
    pinned = _pinned(found)
    if found is None or pinned is None:
        return Release(op_id, rid, seq + 1, codec.pack(_end(signs, "unknown_end", "lease", "no call stands behind it")))
    if found.state == "answered":
        answered_ms = found.node_answered_ms or found.answered_ms
        billed_s, prices = _payable(found, pinned, answered_ms)
        end = _estimated(found, answered_ms, billed_s)
        return Settle(op_id, rid, seq + 1, billed_s, prices, codec.pack(end))
    silent_ms = signs.redis_ms - signs.nodes.get(found.node, 0)
    if silent_ms > NODE_SILENT_MS:
        end = _end(signs, "unknown_end", "node_lost", f"node {found.node} fell silent before it told of an answer")
    else:
        end = _end(signs, "unknown_end", "lease", f"node {found.node} lives and never told of an answer")
    return Release(op_id, rid, seq + 1, codec.pack(end))


def _pinned(found: Reservation | None) -> PinnedCall | None:
    """Return the call; None where nothing readable is pinned: then nothing can be priced, so nothing is charged."""
    if found is None or found.state not in OPEN:
        return None
    try:
        return codec.unpack(PinnedCall, found.pinned)
    except ValueError:
        log.exception("the pinned call of a reservation cannot be read; it is released without a charge")
        return None


def _payable(found: Reservation, pinned: PinnedCall, answered_ms: int) -> tuple[int, tuple[int, ...]]:
    """Return the granted seconds and what they cost each fund in all, what parts have charged included.

    Fewer seconds where the hold does not pay for all of them, as when Redis alone knows the time of the answer, and a
    dearer hour began meanwhile: whoever asks for more than is held gets nothing, for ever.
    """
    legs = by_fund(legs_at(pinned.legs, pinned.targets, found.place), found.funds)
    prices = charges(legs, found.granted_s, answered_ms)
    if all(price <= held for price, held in zip(prices, found.held, strict=True)):
        return found.granted_s, prices

    def is_too_dear(talk_s: int) -> bool:
        return any(price > held for price, held in zip(charges(legs, talk_s, answered_ms), found.held, strict=True))

    first_too_dear_s = bisect_left(range(found.granted_s + 1), x=True, key=is_too_dear)
    billed_s = max(found.billed_s, first_too_dear_s - 1)
    return billed_s, charges(legs, billed_s, answered_ms)


def _estimated(found: Reservation, answered_ms: int, billed_s: int) -> CallEnd:
    """Return the end of an answered call that nobody ended: it counts as talked to the end of what was granted."""
    talk_ms = billed_s * 1000
    return CallEnd(
        outcome="estimated",
        ended_ms=answered_ms + talk_ms,
        answered_ms=answered_ms,
        talk_ms=talk_ms,
        billed_s=billed_s,
        status=200,
        reason="",
        q850=0,
        ended_by="sweeper",
        server_id=found.server_id,
        place=found.place,
        trace=(f"node {found.node} fell silent; charged the {billed_s} s that were granted",),
    )


def _end(signs: Signs, outcome: str, reason: str, sentence: str) -> CallEnd:
    return CallEnd(
        outcome=outcome,
        ended_ms=signs.redis_ms,
        answered_ms=0,
        talk_ms=0,
        billed_s=0,
        status=0,
        reason=reason,
        q850=0,
        ended_by="sweeper",
        trace=(sentence,),
    )


def _what(operation: Operation) -> str:
    if isinstance(operation, Settle):
        return f"charged the {operation.billed_s} s that were granted"
    return "released, nothing charged"
