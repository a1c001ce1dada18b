"""The decision: what becomes of a call. The only place that knows the order of the steps.

    who → numbers → where to → may they → what it costs → candidates → hold

Rule 1: `decide` is pure and total. It sees the request and the facts, and returns a value for whatever they are.
Rule 2: it never guesses. What is not known is asked for with `Need`, all of a stage at once: first who calls, then
everything about where the call goes. So a cold cache costs two fetches and a warm one none; a call that is led to a
number, a trunk's place or a media server costs one more, since that stands with whom is called.
Rule 3: an emergency number, dialled by somebody we know, passes barring, status, money and limits. While the store is
down it passes identification too.
Rule 4: while the store is down no other call goes, except where the caller's accounts have given their word for some.
These are decided like any other, from what is cached.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain as chain_of
from typing import Final

from kemi import keys
from kemi.core import authenticate, caller_id, dialled, emergency, numbers, ported, targets
from kemi.core.barring import barred_out
from kemi.core.called import Called, Led, reached_by
from kemi.core.caller_id import NOBODY, CallerId
from kemi.core.candidates import carrier_names, carriers
from kemi.core.chains import Chain, climb, may_call
from kemi.core.charges import (
    NOTHING,
    Further,
    Legs,
    free_legs,
    inbound_legs,
    internal_legs,
    paid_legs,
)
from kemi.core.draft import Draft
from kemi.core.identity import FromPeer, FromSubscriber
from kemi.core.inbound import identify
from kemi.core.known import Uncounted, Unknown
from kemi.core.outcome import OUT, Challenge, Decision, Need, Reject, Route
from kemi.core.reach import counted
from kemi.core.request import E164, CallRequest, Facts
from kemi.core.rewrite import to_e164
from kemi.core.routes import finished, looked, to_ours
from kemi.records import EmergencyRoute

NO_NUMBER: Final = E164("")  # of who is called by an extension or a name
NOT_HELD: Final = "the store is down: nothing can be held"


def decide(
    call: CallRequest,
    facts: Facts,
    *,
    without: frozenset[int] = frozenset(),
    busy: frozenset[str] = frozenset(),
    full: frozenset[str] = frozenset(),
    unled: bool = False,
) -> Decision | Need:
    """Return what to do with an INVITE or a REGISTER, or what has to be fetched before that can be said.

    without, busy, full, unled: as in Facts, besides those.
    """
    if without or busy or full or unled:
        without, busy, full = facts.without | without, facts.busy | busy, facts.full | full
        facts = facts._replace(without=without, busy=busy, full=full, unled=facts.unled or unled)
    draft = Draft(call, facts)
    try:
        return _decided(draft)
    except Uncounted:
        return Need((), nonce_uses=True)
    except Unknown as gap:
        if facts.store_up:
            return draft.known.need(gap.name)
        return draft.refuse("store_down", f"{gap.name} is not cached")


def decide_offline(
    call: CallRequest,
    facts: Facts,
    *,
    is_down: bool = False,
) -> Decision | Need:
    """Return the decision when nothing more can be fetched: the store is down, or a fetch did not bring what it should.

    Nothing can be held either. So calls are refused, emergency calls go, and a REGISTER is decided from what is cached;
    only the uses of its nonce may still be needed. is_down: it is the store, so that accounts' word for that counts.
    """
    return decide(call, facts._replace(store_up=False, may_trust=is_down))


def _decided(draft: Draft) -> Decision:
    """Decide by what is asked. Raises Unknown, Uncounted."""
    call, facts = draft.call, draft.facts
    if facts.quarantine.sources:
        network = facts.quarantine.network_of(call.source_ip)
        if network:
            return draft.refuse("quarantined", f"source {network} is in quarantine")
    if call.method == "REGISTER":
        return authenticate.registration(draft)
    if call.method != "INVITE":
        return _no_call(draft)
    return _call(draft) if facts.store_up else _without_store(draft)


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
    short = dialled.dialled(draft.call)
    if short:
        near = _near(draft, caller, chain, shown, short)
        if isinstance(near, Route | Reject):
            return near
        if near is not None:
            return _called(draft, caller, chain, shown, near)
    callee = numbers.called_number(draft, rules, dialled.unknown(caller, short))
    if isinstance(callee, Reject):
        return callee
    return _called(draft, caller, chain, shown, callee)


def _near(
    draft: Draft, caller: FromSubscriber, chain: Chain, shown: CallerId, short: str
) -> Route | Reject | E164 | None:
    """Route what is dialled inside an account; return the number that an extension stands for, None for neither."""
    number = numbers.likely_number(draft, caller)
    expected = _where_it_may_go(draft, caller, chain, number) if number else (keys.subscriber(caller.name),)
    draft.known.expect(chain_of(dialled.names(draft, caller, short), expected), (number,) if number else ())
    found = dialled.inside(draft, caller, chain, short)
    if found is None or isinstance(found, Reject):
        return found
    if isinstance(found, dialled.Renumbered):
        draft.callee = found.number
        return found.number
    draft.callee = short
    refusal = may_call(draft, chain, caller.subscriber, NO_NUMBER, is_foreign=False)
    return refusal or _free(draft, caller, chain, shown, found)


def _called(draft: Draft, caller: FromSubscriber, chain: Chain, shown: CallerId, callee: E164) -> Route | Reject:
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


def _where_it_may_go(draft: Draft, caller: FromSubscriber, chain: Chain, callee: str) -> Iterator[str]:
    """Yield what the route of a line's call stands on."""
    yield from (keys.subscriber(caller.name), keys.number(callee), keys.EXCHANGE)
    yield from carrier_names(draft, chain, callee)


def _from_peer(draft: Draft, caller: FromPeer) -> Decision:
    """Decide a call from a peer. It reaches our numbers and nothing else: nobody would pay for transit.

    A tenant's own carrier reaches the numbers of that tenant's subtree only.
    """
    draft.direction = "in"
    draft.caller_group = caller.group.id
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
    draft.account_id = called.chain.levels[0].id
    reach = looked(draft, called, shown, callee)
    if isinstance(reach, Reject):
        return reach
    in_legs = inbound_legs(draft, called.chain, callee)
    if isinstance(in_legs, Reject):
        return in_legs
    return to_ours(draft, (), in_legs, reach, shown)


def _internal(
    draft: Draft, caller: FromSubscriber, chain: Chain, shown: CallerId, called: Called | Led, callee: E164
) -> Route | Reject:
    """Route from line to line of ours: free unless a tariff says otherwise, but a channel on both chains."""
    draft.direction = "internal"
    reach = looked(draft, called, shown, callee)
    if isinstance(reach, Reject):
        return reach
    out_legs = internal_legs(draft, chain, called.chain, callee)
    if isinstance(out_legs, Reject):
        return out_legs
    in_legs = inbound_legs(draft, called.chain, callee, below=len(chain.levels))
    if isinstance(in_legs, Reject):
        return in_legs
    if any(leg.tariff_id for leg in in_legs):
        draft.offline_s = 0  # the called pays too, and the caller's accounts cannot give his word
    return to_ours(draft, out_legs, in_legs, reach, shown, caller)


def _free(draft: Draft, caller: FromSubscriber, chain: Chain, shown: CallerId, called: Called | Led) -> Route | Reject:
    """Route inside an account: free whatever its tariffs say, for no number was dialled that could have a price."""
    draft.direction = "internal"
    reach = looked(draft, called, shown, "")
    if isinstance(reach, Reject):
        return reach
    in_legs = free_legs(called.chain, len(chain.levels))
    return to_ours(draft, free_legs(chain), in_legs, reach, shown, caller)


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
    written: targets.Dialects = {}
    attempts = [targets.to_carrier(draft, candidate, shown, host, callee, entry, written) for candidate in tried]
    own = caller.subscriber.counted
    further = Further(counted=counted(caller.subscriber, OUT)) if own else NOTHING
    return finished(draft, legs, (), attempts, shown, host, further)


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
    return finished(draft, legs, (), attempts, shown, host)
