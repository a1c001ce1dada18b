"""The decision: what becomes of a call. The only place that knows the order of the steps.

    who → numbers → where to → may they → what it costs → candidates → hold

Rule 1: `decide` is pure and total. It sees the request and the facts, and returns a value for whatever they are.
Rule 2: it never guesses. What is not known is asked for with `Need`, all of a stage at once: first who calls, then
everything about where the call goes. So a cold cache costs two fetches and a warm one none.
Rule 3: an emergency number, dialled by somebody we know, passes barring, status, money and limits. While the store is
down it passes identification too.
Rule 4: while the store is down no other call goes, except where the caller's accounts have given their word for some.
These are decided like any other, from what is cached.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kemi import keys
from kemi.core import authenticate, caller_id, emergency, numbers, ported, targets
from kemi.core.barring import barred_in, barred_out
from kemi.core.called import Called, reached_by
from kemi.core.caller_id import NOBODY, CallerId
from kemi.core.candidates import carriers, prefixes
from kemi.core.chains import Chain, climb, may_call
from kemi.core.charges import Legs, days_end_ms, free_legs, hold_for, inbound_legs, internal_legs, paid_legs
from kemi.core.draft import Draft
from kemi.core.hunt import attempts_most
from kemi.core.identity import FromPeer, FromSubscriber
from kemi.core.inbound import identify
from kemi.core.known import Uncounted, Unknown
from kemi.core.outcome import IN, Challenge, Decision, Need, Reject, Route, Target
from kemi.core.refusals import reject
from kemi.core.request import E164, CallRequest, Facts, SipUri
from kemi.core.rewrite import to_e164
from kemi.records import EmergencyRoute

REFUSED_HOLDS: Final = {"credit": "no_credit", "status": "suspended", "void": "cancelled"}
"""How the store's word for a refused hold is told, where it is not the reason itself. Void: the caller has hung up."""

REFUSED_CALLED: Final = {
    "channels": "called_busy",
    "channels_in": "called_busy",
    "cps": "called_busy",
    "status": "called_suspended",
}
"""The same where a level refuses that is only the called number's: a caller learns nothing of another's finances."""

NOT_HELD: Final = "the store is down: nothing can be held"

STORE_REASONS: Final = frozenset(("full", "void", "unarmed", "store_down", "stale"))
"""Refusals that concern no level: they are told alike to everybody."""


def decide(call: CallRequest, facts: Facts) -> Decision | Need:
    """Return what to do with an INVITE or a REGISTER, or what has to be fetched before that can be said."""
    draft = Draft(call, facts)
    try:
        if call.method == "REGISTER":
            return authenticate.registration(draft)
        if call.method != "INVITE":
            return _no_call(draft)
        return _call(draft) if facts.store_up else _without_store(draft)
    except Uncounted:
        return Need((), nonce_uses=True)
    except Unknown as gap:
        if facts.store_up:
            return draft.known.need(gap.name)
        return draft.refuse("store_down", f"{gap.name} is not cached")


def decide_offline(call: CallRequest, facts: Facts, *, is_down: bool = False) -> Decision | Need:
    """Return the decision when nothing more can be fetched: the store is down, or a fetch did not bring what it should.

    Nothing can be held either. So calls are refused, emergency calls go, and a REGISTER is decided from what is cached;
    only the uses of its nonce may still be needed. is_down: it is the store, so that accounts' word for that counts.
    """
    return decide(call, facts._replace(store_up=False, may_trust=is_down))


def refused_place(route: Route) -> Reject:
    """Return the refusal of a call that cannot be held, and whose account has its calls without a hold already."""
    account_id = route.call.offline_id
    trace = (*route.trace, f"account {account_id} has its {route.places} calls without a hold on this node")
    call = route.call._replace(trace=trace, offline_id=0)
    refusal = reject("store_down", trace, account_id=account_id, replies=route.replies, call=call)
    return refusal._replace(weighed=route.weighed)


def refused_hold(route: Route, account_id: int, reason: str) -> Reject:
    """Return the refusal of a call whose hold was refused.

    account_id: the level that refused, 0 = none. reason: the store's word ("credit", "channels", "channels_in",
    "channels_out", "cps", "spend_day", "spend_month", "status", "full", "void"), or a reason of REFUSALS.
    """
    fund = next((fund for fund in route.hold.funds if fund.account_id == account_id), None)
    who = f"level {fund.level} account {account_id}" if fund else "the store"
    trace = (*route.trace, f"hold refused by {who}: {reason}")
    is_called = fund.sides == IN if fund else route.call.direction == "in"
    if is_called and reason not in STORE_REASONS:
        told = REFUSED_CALLED.get(reason, "called_unavailable")
    else:
        told = REFUSED_HOLDS.get(reason, reason)
    call = route.call._replace(trace=trace)
    refusal = reject(told, trace, account_id=account_id, replies=route.replies, call=call)
    return refusal._replace(weighed=route.weighed)


def _no_call(draft: Draft) -> Reject:
    return draft.refuse("method", f"{draft.call.method} starts no call")


def _call(draft: Draft) -> Decision:
    dialled = draft.call.ruri.user
    if draft.facts.draining and not emergency.is_one_somewhere(draft.facts.emergency, dialled):
        return draft.refuse("draining", "node takes no new calls")
    caller = identify(draft)
    if isinstance(caller, Challenge | Reject):
        return caller
    draft.source = caller.name
    return _from_peer(draft, caller) if isinstance(caller, FromPeer) else _from_subscriber(draft, caller)


def _from_subscriber(draft: Draft, caller: FromSubscriber) -> Decision:
    draft.account_id = account_id = caller.subscriber.account_id
    chain = climb(draft, account_id)
    draft.replies = chain.replies if chain else ()
    urgent = emergency.of_line(draft, caller)
    if urgent is not None:
        return _emergency(draft, urgent, caller, chain)
    if draft.facts.draining:
        return draft.refuse("draining", "node takes no new calls")
    if chain is None:
        return draft.refuse("misconfigured", f"account {account_id} hangs nowhere in the tree", account_id)
    return _ordinary(draft, caller, chain)


def _ordinary(draft: Draft, caller: FromSubscriber, chain: Chain) -> Route | Reject:
    draft.offline_s = chain.offline_s
    rules = numbers.rules_from(draft, caller)
    shown = caller_id.of_subscriber(draft, caller, rules)
    if isinstance(shown, Reject):
        return shown
    draft.caller, draft.hidden = shown.number, shown.anonymous
    callee = numbers.called_number(draft, rules)
    if isinstance(callee, Reject):
        return callee

    draft.known.expect(_where_it_may_go(draft, caller, chain, callee), ported.numbers(draft.known, callee))
    called = reached_by(draft, callee)
    if isinstance(called, Reject):
        return called
    refusal = may_call(draft, chain, caller.subscriber, callee, is_foreign=called is None)
    refusal = refusal or barred_out(draft, chain, caller.subscriber, callee, is_ours=called is not None)
    if refusal is not None:
        return refusal
    if called is not None:
        return _internal(draft, caller, chain, shown, called, callee)
    return _outbound(draft, caller, chain, shown, callee)


def _where_it_may_go(draft: Draft, caller: FromSubscriber, chain: Chain, callee: E164) -> Iterator[str]:
    """Yield what the route of a line's call stands on. Carriers are chosen by the routing number of a ported one."""
    yield from (keys.subscriber(caller.name), keys.number(callee), keys.EXCHANGE)
    yield from ported.names(draft.known, callee)
    if "quality" in chain.routing:
        yield keys.QUALITY
    for number in ported.numbers(draft.known, callee):
        yield keys.destinations(number)
        for owner in chain.carrier_owners:
            yield from (keys.peering_rules(owner.id, prefix) for prefix in prefixes(number))


def _from_peer(draft: Draft, caller: FromPeer) -> Decision:
    """Decide a call from a peer. It reaches our numbers and nothing else: nobody would pay for transit.

    A tenant's own carrier reaches the numbers of that tenant's subtree only.
    """
    draft.direction = "in"
    rules = numbers.rules_from(draft, caller)
    shown = caller_id.of_peer(draft, caller, rules)
    draft.caller, draft.hidden = shown.number, shown.anonymous
    callee = numbers.called_number(draft, rules)
    if isinstance(callee, Reject):
        return callee
    draft.known.expect((keys.number(callee), keys.EXCHANGE), (callee,))
    called = reached_by(draft, callee)
    if isinstance(called, Reject):
        return called
    if called is None or not called.chain.is_under(caller.group.account_id):
        return draft.refuse("not_found", f"number {callee} is not reached by {caller.name}")
    draft.replies = called.chain.replies
    draft.offline_s = called.chain.offline_s
    draft.account_id = called.subscriber.account_id
    refusal = barred_in(draft, called, shown)
    if refusal is not None:
        return refusal
    in_legs = inbound_legs(draft, called.chain, callee)
    if isinstance(in_legs, Reject):
        return in_legs
    return _route(draft, (), in_legs, [targets.to_phone(draft, called, shown)], shown)


def _internal(
    draft: Draft, caller: FromSubscriber, chain: Chain, shown: CallerId, called: Called, callee: E164
) -> Route | Reject:
    """Route from line to line of ours: free unless a tariff says otherwise, but a channel on both chains."""
    draft.direction = "internal"
    refusal = barred_in(draft, called, shown)
    if refusal is not None:
        return refusal
    out_legs = internal_legs(draft, chain, called.chain, callee)
    if isinstance(out_legs, Reject):
        return out_legs
    in_legs = inbound_legs(draft, called.chain, callee, below=len(chain.levels))
    if isinstance(in_legs, Reject):
        return in_legs
    if any(leg.tariff_id for leg in in_legs):
        draft.offline_s = 0  # the called pays too, and the caller's accounts cannot give his word
    phone = targets.to_phone(draft, called, shown)
    return _route(draft, out_legs, in_legs, [phone], shown, caller.domain.name)


def _outbound(draft: Draft, caller: FromSubscriber, chain: Chain, shown: CallerId, callee: E164) -> Route | Reject:
    draft.attempts_max = chain.attempts_max(draft.facts.limits.attempts_max)
    entry = ported.lookup(draft, callee)
    routing = numbers.routing_number(callee, entry)
    if routing != callee:
        draft.routing = routing
    legs = paid_legs(draft, chain, callee)
    if isinstance(legs, Reject):
        return legs
    host = caller.domain.name
    tried = carriers(draft, chain, legs, f"sip:{shown.number}@{host}", callee, entry)
    if isinstance(tried, Reject):
        return tried
    attempts = [targets.to_carrier(draft, candidate, shown, host, callee, entry) for candidate in tried]
    return _route(draft, legs, (), attempts, shown, host)


def _emergency(draft: Draft, urgent: EmergencyRoute, caller: FromSubscriber, chain: Chain | None) -> Route | Reject:
    """Route an emergency call. The caller is known, and nothing else about him matters; channels count if they can."""
    names = (keys.peering_group(group_id) for group_id in urgent.group_ids)
    draft.known.expect((keys.subscriber(caller.name), *names))
    shown = caller_id.to_call_back(draft, caller.subscriber, numbers.rules_from(draft, caller))
    return _emergency_route(draft, urgent, shown, caller.domain.name, free_legs(chain) if chain else ())


def _without_store(draft: Draft) -> Decision:
    call = draft.call
    region = emergency.claimed_region(draft)
    urgent = emergency.route_for(draft.facts.emergency, call.from_uri.host, region, call.ruri.user)
    if urgent is None:
        return _without_hold(draft) if draft.facts.may_trust else draft.refuse("store_down", NOT_HELD)
    draft.note("the store is down: the caller is not identified")
    return _emergency_route(draft, urgent, NOBODY, call.from_uri.host, ())


def _without_hold(draft: Draft) -> Decision:
    """Decide a call that cannot be held: it goes where the caller's accounts have given their word for some calls.

    All others get one answer, which says nothing of who they are. Carriers' calls are among them: nobody of ours would
    have promised to pay.
    """
    before = draft.mark
    caller = identify(draft)
    chain = _chain_of(draft, caller)
    account = chain.offline if chain else None
    if isinstance(caller, FromPeer | Reject) or chain is None or account is None:
        draft.forget_since(before)
        return draft.refuse("store_down", NOT_HELD)
    if isinstance(caller, Challenge):
        return caller
    draft.source, draft.account_id, draft.replies = caller.name, caller.subscriber.account_id, chain.replies
    if draft.facts.draining:
        return draft.refuse("draining", "node takes no new calls")
    draft.offline_id = account.id
    places, most_s = account.offline_calls, account.offline_s
    draft.note(f"the store is down: account {account.id} lets in {places} calls at a time, each of at most {most_s} s")
    decision = _ordinary(draft, caller, chain)
    if not isinstance(decision, Route):
        return decision
    if not draft.offline_s:
        return draft.refuse("store_down", "the called would have to pay too, and nothing can be held")
    return decision._replace(places=places)


def _chain_of(draft: Draft, caller: FromSubscriber | FromPeer | Challenge | Reject) -> Chain | None:
    """Return the chain of a line, or of the line that somebody says to be who has to prove it; None: neither."""
    if isinstance(caller, FromSubscriber):
        return climb(draft, caller.subscriber.account_id)
    if not isinstance(caller, Challenge):
        return None
    claimed = draft.known.subscriber(authenticate.address_of_record(draft.call.from_uri))
    return climb(draft, claimed.account_id) if claimed else None


def _emergency_route(draft: Draft, urgent: EmergencyRoute, shown: CallerId, host: str, legs: Legs) -> Route | Reject:
    draft.note(f"emergency number {urgent.number}: barring, status, money and limits do not count")
    draft.caller = shown.number or to_e164(draft.call.from_uri.user) or draft.caller
    draft.callee, draft.emergency = urgent.number, True
    draft.offline_s = draft.facts.limits.max_call_s
    servers = emergency.servers(draft, urgent)
    attempts = [targets.to_emergency(group, server, urgent, shown, host) for group, server in servers]
    if not attempts:
        return draft.refuse("no_route", f"emergency number {urgent.number} has no server")
    return _route(draft, legs, (), attempts, shown, host)


def _route(
    draft: Draft, out_legs: Legs, in_legs: Legs, attempts: list[Target], shown: CallerId, host: str = ""
) -> Route | Reject:
    """Return the finished decision: the call as pinned, what it has to hold, and where it goes.

    out_legs, in_legs: what the caller's chain pays, and the called number's. host: the caller's domain, "" = that of
    the From.
    """
    most = attempts_most(tuple(attempts))
    hold, legs = hold_for(draft, out_legs, in_legs, most), (*out_legs, *in_legs)
    if not hold.rows:
        return draft.refuse("too_dear", "the first increment costs a level more than any call may")
    draft.legs, draft.targets = legs, tuple([attempt.pinned for attempt in attempts])
    draft.part_at_ms = days_end_ms(draft, legs, most)
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
    )
