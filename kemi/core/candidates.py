"""Which carriers may take a call.

Rule 1: eligibility comes before any ranking. What is disabled, or does not sell the destination, is gone before
prefixes, stoppers and costs are compared; else a disabled rule with a long prefix or a stopper is a black hole.
Rule 2: a stopper ends the search for shorter prefixes if its own rule is eligible. It is a policy ("these calls go here
or nowhere"), so servers that are down for the moment do not lift it.
Rule 3: no level sells at a loss: a carrier dearer than what any level pays is left out. So is one whose price cannot be
told in a level's currency: nobody could say that it is no loss.
Rule 4: a server that failed lately is left out while another is left; when none is, it is tried after all, for a memory
of failure is a guess, and refusing would make it certain.
Rule 5: only carriers of the caller's own accounts, root included, are asked for. Those of other tenants cost nothing
here, and no trace tells of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kemi.core.amounts import per_minute
from kemi.core.chains import Chain
from kemi.core.charges import carrier_leg
from kemi.core.draft import Draft
from kemi.core.exchange import compared
from kemi.core.order import COMPARED_S, Candidate, in_order
from kemi.core.pattern import compile_pattern
from kemi.core.rating import cost
from kemi.core.request import E164
from kemi.records import PeeringGroup, PeeringRule, PeerServer, PinnedLeg


def carriers(draft: Draft, chain: Chain, legs: tuple[PinnedLeg, ...], caller: str, callee: E164) -> list[Candidate]:
    """Return the candidates in hunting order, not yet cut to how many are tried. [] = no carrier may take the call.

    legs: what the levels pay. caller: URI of the caller, as caller patterns see it.
    """
    affordable = _without_loss(draft, _eligible(draft, chain, caller, callee), legs)
    ordered = in_order(draft, _healthy(draft, affordable), chain.routing)
    for place, candidate in enumerate(ordered, 1):
        draft.note(
            f"candidate {place}: {label(candidate)} by rule {candidate.rule.id},"
            f" costs {per_minute(candidate.minute_micros, candidate.cost.currency)}"
        )
    return ordered


def prefixes(callee: str) -> tuple[str, ...]:
    """Return every prefix of the number, longest first, down to "": the ones that a peering rule may have."""
    return tuple(callee[:length] for length in range(len(callee), -1, -1))


def label(candidate: Candidate) -> str:
    """Return how a trace names a candidate: `server 7 (acme/lon1)`."""
    return f"server {candidate.server.id} ({candidate.group.name}/{candidate.server.name})"


def _eligible(draft: Draft, chain: Chain, caller: str, callee: E164) -> list[Candidate]:
    """Return the servers of every eligible rule, each group by its longest prefix, until a stopper."""
    found: dict[int, list[Candidate]] = {}
    for prefix in prefixes(callee):
        eligible = [
            (rule, _of_rule(draft, owner_id, rule, caller, callee)) for owner_id, rule in _rules(draft, chain, prefix)
        ]
        for rule, candidates in eligible:
            if candidates:
                found.setdefault(rule.group_id, candidates)
        if any(rule.stopper for rule, candidates in eligible if candidates):
            draft.note(f"prefix {prefix or '(any)'} is a stopper: no shorter one counts")
            break
    return [candidate for candidates in found.values() for candidate in candidates]


def _rules(draft: Draft, chain: Chain, prefix: str) -> Iterator[tuple[int, PeeringRule]]:
    """Yield the rules with exactly this prefix, each with the owner that it stands under, nearest owner first."""
    for owner_id in chain.carrier_owners:
        rules = draft.known.peering_rules(owner_id, prefix)
        for rule in rules.entries if rules else ():
            yield owner_id, rule


def _of_rule(draft: Draft, owner_id: int, rule: PeeringRule, caller: str, callee: E164) -> list[Candidate]:
    """Return the enabled servers of an eligible rule; [] with a sentence when it is not eligible.

    A group of anybody but the owner of the rule is none: Postgres has no such rule, and a trace would name a foreigner.
    """
    group = draft.known.peering_group(rule.group_id)
    if group is None or group.account_id != owner_id:
        draft.note(f"rule {rule.id} not eligible: account {owner_id} has no group {rule.group_id}")
        return []
    servers = [server for server in group.servers if server.enabled]
    fault = _fault(rule, group, caller, f"sip:{callee}@{draft.call.ruri.host}") or _unserved(servers)
    leg = carrier_leg(draft, group, callee) if not fault else None
    if leg is None:
        draft.note(f"group {group.id} ({group.name}) not eligible: {fault or f'no rate for {callee} in its deck'}")
        return []
    minute = cost(leg, COMPARED_S, draft.call.received_ms)
    return [Candidate(rule, group, server, leg, minute, minute) for server in servers]


def _fault(rule: PeeringRule, group: PeeringGroup, caller: str, callee: str) -> str:
    """Return why the rule does not take this call, "" when it does."""
    faults = (
        (not rule.enabled, f"rule {rule.id} is disabled"),
        (not group.enabled, "it is disabled"),
        (bool(group.spent), f"its {group.spent} cap is reached"),
        (not _fits(rule.callee_pattern, callee), f"callee pattern of rule {rule.id} does not match"),
        (not _fits(rule.caller_pattern, caller), f"caller pattern of rule {rule.id} does not match"),
    )
    return next((sentence for is_unfit, sentence in faults if is_unfit), "")


def _fits(pattern: str, uri: str) -> bool:
    """Whether the URI matches; no pattern fits all, one that cannot be used fits none."""
    return not pattern or compile_pattern(pattern).search(uri) is not None


def _unserved(servers: list[PeerServer]) -> str:
    return "" if servers else "it has no enabled server"


class _Paid(NamedTuple):
    """What a level pays for a minute that begins now."""

    level: int
    currency: str
    micros: int


def _without_loss(draft: Draft, candidates: Iterable[Candidate], legs: tuple[PinnedLeg, ...]) -> list[Candidate]:
    """Return the candidates that no level would sell at a loss, each compared in what the uppermost level pays in."""
    now_ms = draft.call.received_ms
    paid = [_Paid(leg.level, leg.currency, cost(leg, COMPARED_S, now_ms)) for leg in legs]
    kept: list[Candidate] = []
    for candidate in candidates:
        fault, micros = _loss(draft, candidate, paid)
        if fault:
            draft.note(f"{label(candidate)} skipped: {fault}")
        else:
            kept.append(candidate._replace(compared_micros=micros))
    return kept


def _loss(draft: Draft, candidate: Candidate, paid: Iterable[_Paid]) -> tuple[str, int]:
    """Return why a candidate would be sold at a loss, "" = it would not, and a minute in the last level's currency."""
    base, micros = candidate.cost.currency, candidate.minute_micros
    for level, currency, level_micros in paid:
        told = compared(draft, candidate.minute_micros, base, currency)
        if told is None:
            return f"no exchange rate between {base} and {currency}, which level {level} pays in", 0
        if told > level_micros:
            return f"dearer than level {level} pays", 0
        micros = told
    return "", micros


def _healthy(draft: Draft, candidates: list[Candidate]) -> list[Candidate]:
    down = draft.facts.down_servers
    healthy = [candidate for candidate in candidates if candidate.server.id not in down]
    if not healthy and candidates:
        draft.note("every candidate failed lately: tried all the same")
        return candidates
    for candidate in candidates:
        if candidate.server.id in down:
            draft.note(f"{label(candidate)} skipped: failed lately")
    return healthy
