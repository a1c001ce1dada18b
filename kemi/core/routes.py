"""From what a call reaches and what it costs to the finished decision.

Rule: a plain line takes the short way; nearly all calls to lines of ours are to such.
"""

from __future__ import annotations

from collections.abc import Iterator

from kemi.core import caller_id, targets
from kemi.core.barring import barred_in
from kemi.core.called import Called, Led
from kemi.core.caller_id import CallerId
from kemi.core.charges import NOTHING, Further, Legs, days_end_ms, hold_for
from kemi.core.draft import Draft
from kemi.core.hunt import attempts_most
from kemi.core.identity import FromSubscriber
from kemi.core.outcome import OUT, Reject, Route, Target
from kemi.core.reach import Reach, counted, is_plain
from kemi.core.request import SipUri
from kemi.records import AccountKind


def looked(draft: Draft, called: Called | Led, shown: CallerId, number: str) -> Called | Reach | Reject:
    """Return whom the call reaches: a plain line as it is, all else followed to its end; or who takes no such call."""
    if isinstance(called, Called) and is_plain(called.subscriber):
        return barred_in(draft, called, shown) or called
    reach = Reach(draft, shown)
    return reach.look(called, number) or reach


def to_ours(
    draft: Draft,
    out_legs: Legs,
    in_legs: Legs,
    reach: Called | Reach,
    shown: CallerId,
    caller: FromSubscriber | None = None,
) -> Route | Reject:
    """Route to whom the call reaches among ours. caller: None for a peer."""
    host = caller.domain.name if caller else ""
    own = counted(caller.subscriber, OUT) if caller and caller.subscriber.counted else ()
    if isinstance(reach, Called):
        further = Further(counted=own) if own else NOTHING
        return finished(draft, out_legs, in_legs, [targets.to_phone(draft, reach, shown)], shown, host, further)
    reached = reach.reached((*out_legs, *in_legs), tuple([each.fund for each in own]))
    if isinstance(reached, Reject):
        return reached
    further = reached.further
    if any(leg.tariff_id for leg in (*further.out_legs, *further.in_legs)):
        draft.offline_s = 0  # as above
    staged = reached.staged
    route = finished(
        draft, out_legs, in_legs, list(staged.targets), shown, host, further._replace(counted=own + further.counted)
    )
    if isinstance(route, Reject):
        return route
    return route._replace(stages=staged.stages, turns=staged.turns, waits_s=staged.waits_s)


def finished(
    draft: Draft,
    out_legs: Legs,
    in_legs: Legs,
    attempts: list[Target],
    shown: CallerId,
    host: str = "",
    further: Further = NOTHING,
) -> Route | Reject:
    """Return the finished decision: the call as pinned, what it has to hold, and where it goes.

    out_legs, in_legs: what the caller's chain pays, and the called number's. host: the caller's domain, "" = that of
    the From. further: what else is held.
    """
    most = attempts_most(tuple(attempts))
    hold = hold_for(draft, out_legs, in_legs, most, further)
    legs = (*out_legs, *in_legs, *further.out_legs, *further.in_legs)
    if not hold.rows:
        return draft.refuse("too_dear", "the first increment costs a level more than any call may")
    draft.legs, draft.targets = legs, tuple([attempt.pinned for attempt in attempts])
    draft.part_at_ms = days_end_ms(draft, legs, most, further.waits_s)
    draft.note("its sound goes through the relay" if draft.media else "")
    pinned = draft.pinned
    return Route(
        call=pinned,
        hold=hold,
        targets=tuple(attempts),
        caller_uri=SipUri("sip", shown.number or caller_id.ANONYMOUS, host or draft.call.from_uri.host),
        ring_max_s=draft.facts.limits.ring_max_s,
        trace=pinned.trace,
        emergency=draft.emergency,
        replies=draft.replies,
        weighed=draft.weighed,
        media=draft.media,
        caller_group=draft.caller_group,
        gateways=tuple(_gateways(draft)) if draft.media and not draft.emergency else (),
    )


def _gateways(draft: Draft) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield of each carrier of the call that a tenant owns its group and where its servers are.

    A carrier of the root's may have gateways that we do not know. An emergency call, which may be decided without the
    owners, goes to carriers that an operator has named.
    """
    for group_id in dict.fromkeys((draft.caller_group, *(target.group_id for target in draft.targets))):
        group = draft.known.peering_group(group_id) if group_id else None
        owner = draft.known.account(group.account_id) if group else None
        if group and (owner is None or owner.kind != AccountKind.ROOT):
            yield group.id, tuple(server.address for server in group.servers if server.address)
