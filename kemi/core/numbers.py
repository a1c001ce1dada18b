"""The numbers of a call: from what was dialled to E.164, and which rules rewrite them.

Rule 1: a subscriber's own rewrite set replaces its domain's, a server's replaces its group's; sets are never mixed.
Rule 2: outbound rewriting starts from these numbers for every candidate anew, never from what another one was sent.
"""

from __future__ import annotations

from typing import Final

from kemi.core.draft import Draft
from kemi.core.identity import Caller, FromSubscriber
from kemi.core.outcome import Reject
from kemi.core.request import E164
from kemi.core.rewrite import rewrite, to_e164
from kemi.records import PeeringGroup, PeerServer, PortedNumber, RewriteSet, Subscriber

NO_RULES: Final = RewriteSet(0, "")


def rules_from(draft: Draft, caller: Caller) -> RewriteSet:
    """Return the rewrite set that speaks the caller's dialect."""
    if isinstance(caller, FromSubscriber):
        return _rules(draft, caller.subscriber.rewrite_set_id or caller.domain.rewrite_set_id)
    return rules_towards(draft, caller.group, caller.server)


def rules_towards(draft: Draft, group: PeeringGroup, server: PeerServer) -> RewriteSet:
    """Return the rewrite set that speaks a peer's dialect."""
    return _rules(draft, server.rewrite_set_id or group.rewrite_set_id)


def rules_of_line(draft: Draft, line: Subscriber) -> RewriteSet:
    """Return the rewrite set that speaks a line's dialect: its own, else its domain's."""
    if line.rewrite_set_id:
        return _rules(draft, line.rewrite_set_id)
    domain = draft.known.sip_domain(line.domain)
    return _rules(draft, domain.rewrite_set_id if domain else 0)


def called_number(draft: Draft, rules: RewriteSet, unknown: str = "") -> E164 | Reject:
    """Return the called number in E.164, or the refusal "bad_number".

    unknown: a sentence of who is not there, where a name was dialled: what is no number either is "not_found".
    """
    dialled = draft.call.ruri.user
    result, sentence = rewrite(rules.callee_in, dialled)
    draft.note(sentence)
    number = to_e164(result)
    if number is None and unknown:
        return draft.refuse("not_found", unknown)
    if number is None:
        return draft.refuse("bad_number", f"called number {result or '(none)'} is not E.164")
    draft.callee = number
    return number


def likely_number(draft: Draft, caller: FromSubscriber) -> E164 | None:
    """Return the number that was dialled if it is one, without a word: it may be an extension."""
    return to_e164(rewrite(rules_from(draft, caller).callee_in, draft.call.ruri.user)[0])


def routing_number(callee: str, ported: PortedNumber | None) -> str:
    """Return the number by which a carrier is chosen: `callee`, its ported beginning replaced by what serves it now."""
    return callee if ported is None else f"{ported.routing}{callee[len(ported.digits) :]}"


def _rules(draft: Draft, set_id: int) -> RewriteSet:
    if not set_id:
        return NO_RULES
    found = draft.known.rewrite_set(set_id)
    if found is None:
        draft.note(f"rewrite set {set_id} does not exist: numbers are taken as they are")
    return found or NO_RULES
