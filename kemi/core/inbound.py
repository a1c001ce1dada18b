"""Who is calling: peers and trusted sources by address in one total order, then digest.

Rule 1: a source that does not fit is passed over for the next, never refused; only an inbound rule with a code refuses.
Rule 2: what a source stands for must be enabled before it counts: a disabled carrier's address is nobody's.
"""

from __future__ import annotations

from functools import partial

from kemi import keys
from kemi.core import authenticate
from kemi.core.asserted import asserted_uri
from kemi.core.draft import Draft
from kemi.core.identity import Caller, FromPeer, FromSubscriber
from kemi.core.outcome import Challenge, Reject
from kemi.core.refusals import is_sendable
from kemi.core.request import CallRequest, SipUri
from kemi.core.sources import ANY_MASKS, in_order, label, networks
from kemi.records import InboundRule, PeeringGroup, Source, SourceKind


def identify(draft: Draft) -> Caller | Challenge | Reject:
    """Return who is calling, a challenge to prove it, or the refusal of an inbound rule."""
    call, known = draft.call, draft.known
    by_from = authenticate.names_of(call.from_uri)
    known.depend_on_masks(partial(networks, ANY_MASKS, call.source_ip))
    known.expect((keys.MASKS, keys.EMERGENCY, *by_from))
    masks = known.masks()
    names = networks(masks, call.source_ip) if masks else ()
    known.expect((keys.EMERGENCY, *names, *by_from))
    groups = [group for group in map(known.sources, names) if group is not None]
    if not groups:  # as for nearly every phone
        return authenticate.by_digest(draft)
    draft.came_from = frozenset(source.group_id for group in groups for source in group.entries if source.group_id)
    fitting, passed_over = in_order(groups, call.transport, str(call.from_uri))
    for sentence in passed_over:
        draft.note(sentence)
    for source in fitting:
        found = _peer(draft, source) if source.kind == SourceKind.PEER else _trusted(draft, source)
        if found is not None:
            return found
    return authenticate.by_digest(draft)


def _trusted(draft: Draft, source: Source) -> FromSubscriber | None:
    """Return the subscriber that a trusted address stands for; None when it no longer stands for one.

    A suspended subscriber is identified all the same: the call is refused as suspended, not challenged.
    """
    subscriber = draft.known.subscriber(source.subscriber)
    domain = draft.known.sip_domain(subscriber.domain) if subscriber else None
    if subscriber is None or domain is None or not domain.enabled:
        draft.note(f"{label(source)} passed over: {source.subscriber} does not exist or its domain is disabled")
        return None
    draft.note(f"{label(source)} is sub {source.subscriber}")
    return FromSubscriber(subscriber, domain)


def _peer(draft: Draft, source: Source) -> FromPeer | Reject | None:
    """Return the peer behind the address; None when it is disabled or a rule without a code passes it over."""
    group = draft.known.peering_group(source.group_id)
    server = next((server for server in group.servers if server.id == source.server_id), None) if group else None
    if group is None or server is None or not (group.enabled and server.enabled):
        draft.note(f"{label(source)} passed over: group {source.group_id} or its server is disabled")
        return None
    failing = _first_failing(draft, group)
    if failing is None:
        draft.note(f"{label(source)} is peer {group.name}")
        return FromPeer(group, server)
    unmet = f"inbound rule {failing.id} of group {group.id} ({group.name}) is not met"
    if not failing.code:
        draft.note(f"{label(source)} passed over: {unmet}")
        return None
    draft.source, draft.direction = FromPeer(group, server).name, "in"
    refusal = draft.refuse("inbound_rule", unmet)
    if not is_sendable(failing.code, failing.phrase):
        return refusal
    return refusal._replace(status=failing.code, phrase=failing.phrase)


def _first_failing(draft: Draft, group: PeeringGroup) -> InboundRule | None:
    """Return the first rule that is not met. A pattern that cannot be used never is: a broken filter lets nobody in."""
    rules = sorted(group.inbound_rules, key=lambda rule: (rule.priority, rule.id))
    whose = f"inbound rules of group {group.id}"
    return next((rule for rule in rules if not _is_met(draft, whose, rule)), None)


def _is_met(draft: Draft, whose: str, rule: InboundRule) -> bool:
    return not rule.pattern or draft.pattern(whose, rule.pattern).search(_examined(draft.call, rule)) is not None


def _examined(call: CallRequest, rule: InboundRule) -> str:
    """Return the text that the rule looks at; "" for what the request lacks."""
    uris: dict[str, SipUri | None] = {
        "from": call.from_uri,
        "to": call.to_uri,
        "ruri": call.ruri,
        "pai": asserted_uri(call.pai),
    }
    uri = uris.get(rule.field)
    if uri is None:
        return ""
    return {"user": uri.user, "domain": uri.host}.get(rule.part, str(uri))
