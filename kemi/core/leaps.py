"""Forwards to numbers: who pays for them, and which carriers take those that leave.

Rule 1: the forwarder's chain carries and pays it by its own tariffs, as if the forwarder had called: its status, locks,
barring and block lists count. So do the limits on calls of all lines and users that led the call there, also where
another one, a callflow or a number of ours came between. To a number of ours it is a call between lines, with a channel
on both.
Rule 2: a forward that may not be made, or cannot be paid for, is left out with a sentence. The rest of the call goes.
Rule 3: what one of them needs is needed for all at once, so that they cost one fetch together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain as chain_of
from typing import Final, NamedTuple

from kemi import keys
from kemi.core import ported
from kemi.core.barring import barred_out
from kemi.core.callees import told
from kemi.core.caller_id import CallerId
from kemi.core.candidates import carrier_names, carriers
from kemi.core.chains import may_call
from kemi.core.charges import Legs, inbound_legs, internal_legs, paid_legs
from kemi.core.draft import Draft
from kemi.core.outcome import Reject, Target
from kemi.core.pieces import Leap, Path
from kemi.core.targets import Dialects, to_carrier

FUNDS_MAX: Final = 28  # of one hold, besides those of the lines and users that call and are called; the store takes 32


class Carried(NamedTuple):
    """A forward that can be made. targets: the carriers' servers of one that leaves, in hunting order."""

    out_legs: Legs
    in_legs: Legs
    targets: tuple[Target, ...] = ()


def carried(
    draft: Draft, leaps: Sequence[Leap], paths: dict[int, Path], shown: CallerId, before: Legs, later: Sequence[str]
) -> dict[int, Carried]:
    """Return the forwards that can be made, by number. paths: of those that leave. before: the call's other legs.

    later: names that what comes afterwards stands on; they are fetched along.
    """
    found: dict[int, Carried] = {}
    if not leaps:
        return found
    draft.known.expect(chain_of(_names(draft, leaps), later), _numbers(draft, leaps))
    funds = {leg.fund for leg in before}
    below = len(before)
    for leap in leaps:
        mark, whom = draft.mark, f"leap {leap.n} of account {leap.forwarder.chain.levels[0].id}"
        paid = _paid(draft, leap, below)
        if paid is not None:
            mark = draft.mark  # what its levels pay is told as of every call
            paid = _carried(draft, leap, paid, shown, paths, funds)
        draft.told_of(mark, whom)
        if paid is not None:
            funds |= _funds(leap, paid)
            below += len(paid.out_legs) + len(paid.in_legs)
            found[leap.n] = paid
    return found


def _carried(
    draft: Draft, leap: Leap, paid: Carried, shown: CallerId, paths: dict[int, Path], funds: set[str]
) -> Carried | None:
    """Return how a forward that is paid for is made, None when it is left out; the last sentence says why."""
    first = paid.out_legs[0]
    draft.note(f"number {leap.number} is paid by level {first.level} account {first.payer_id}")
    if len(funds | _funds(leap, paid)) > FUNDS_MAX:
        draft.note(f"left out: more than {FUNDS_MAX} accounts would have to pay")
        return None
    if leap.called is not None:
        return paid
    targets = _sent(draft, leap, paid.out_legs, shown, paths[leap.n])
    if not targets:
        draft.note("left out: nobody takes it")
        return None
    return paid._replace(targets=targets)


def is_full(draft: Draft, leap: Leap) -> bool:
    """Tell whether one of those who led the call to a forward leads on as many calls as it may."""
    full = draft.facts.full
    return bool(full) and any(row.fund in full for row in leap.leads)


def _funds(leap: Leap, paid: Carried) -> frozenset[str]:
    return frozenset((*(row.fund for row in leap.leads), *(leg.fund for leg in (*paid.out_legs, *paid.in_legs))))


def _names(draft: Draft, leaps: Sequence[Leap]) -> Iterator[str]:
    yield keys.EXCHANGE
    for leap in leaps:
        for chain in (leap.forwarder.chain, leap.called):
            yield from (keys.account(account.id) for account in (chain.levels if chain else ()))
        if leap.called is None:
            yield from carrier_names(draft, leap.forwarder.chain, leap.number)


def _numbers(draft: Draft, leaps: Sequence[Leap]) -> Iterator[str]:
    for leap in leaps:
        if leap.called is None:
            yield from ported.numbers(draft.known, leap.number)
        else:
            yield leap.number


def _paid(draft: Draft, leap: Leap, below: int) -> Carried | None:
    """Return what the levels pay for a forward, None when it is left out; a sentence has said why."""
    by, number = leap.forwarder, leap.number
    levels = (*by.chain.levels, *(leap.called.levels if leap.called else ()))
    poor = next((account.id for account in levels if account.id in draft.facts.without), 0)
    if poor:
        draft.note(f"left out: account {poor} cannot pay for it")
        return None
    if is_full(draft, leap):
        # Who is in the way may be another account's, and whoever reads of this forward need not know him.
        is_own = not draft.facts.full.isdisjoint(by.counted)
        draft.note(f"left out: {by.name if is_own else 'who leads there'} has as many calls as it may")
        return None
    if draft.facts.unled:
        draft.note("left out: too many others could not be made")
        return None
    if draft.offline_id:
        draft.note("left out: nothing can be held for it")
        return None
    is_ours = leap.called is not None
    refusal = may_call(draft, by.chain, by.subscriber, number, is_foreign=not is_ours)
    refusal = refusal or barred_out(draft, by.chain, by.subscriber, number, is_ours=is_ours)
    legs = refusal or _legs(draft, leap, below)
    if isinstance(legs, Reject):
        draft.note("left out: it may not be made")
        return None
    return legs


def _legs(draft: Draft, leap: Leap, below: int) -> Carried | Reject:
    by, number = leap.forwarder, leap.number
    if leap.called is None:
        paid = paid_legs(draft, by.chain, number, below)
        return paid if isinstance(paid, Reject) else Carried(_of(leap, paid), ())
    out = internal_legs(draft, by.chain, leap.called, number, below)
    if isinstance(out, Reject):
        return out
    into = inbound_legs(draft, leap.called, number, below + len(out))
    return into if isinstance(into, Reject) else Carried(_of(leap, out), _of(leap, into))


def _of(leap: Leap, legs: Legs) -> Legs:
    return tuple([leg._replace(forward=leap.n) for leg in legs])


def _sent(draft: Draft, leap: Leap, legs: Legs, shown: CallerId, path: Path) -> tuple[Target, ...]:
    """Return the attempts at carriers' servers that a forward which leaves makes, none when no carrier takes it."""
    by, number, weighed = leap.forwarder, leap.number, draft.weighed
    own_max, host = draft.attempts_max, by.host or draft.call.ruri.host
    draft.attempts_max = by.chain.attempts_max(draft.facts.limits.attempts_max)
    entry = ported.lookup(draft, number)
    caller = told(shown, path)._replace(own=by.number)
    tried = carriers(draft, by.chain, legs, f"sip:{shown.number}@{host}", number, entry)
    draft.weighed = weighed.beside(draft.weighed, draft.attempts_max)
    draft.attempts_max = own_max
    if isinstance(tried, Reject):
        return ()
    written: Dialects = {}
    targets = [to_carrier(draft, candidate, caller, host, number, entry, written) for candidate in tried]
    return tuple(target._replace(pinned=target.pinned._replace(forwards=path.forwards)) for target in targets)
