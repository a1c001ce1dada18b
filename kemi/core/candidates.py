"""Which carriers may take a call, and in which order they are tried.

Rule 1: eligibility comes before any ranking. What is disabled, does not sell the destination, or would be a loss, is
gone before prefixes, stoppers and costs are compared; else a disabled rule with a long prefix is a black hole.
Rule 2: a stopper ends the search for shorter prefixes if it leaves a server that is usable now; for the carriers of its
owner and of those above him, as a block does: no parent takes away what a tenant has of his own. One whose servers
failed lately stops nothing while others are well; when nothing is, it stops again.
Rule 3: a block rule takes all carriers of its owner, and of those above him, out of its prefix and the shorter ones. It
needs no usable server, but one of a disabled group is gone with the group.
Rule 4: a server that failed lately is left out while another is left; when none is, it is tried after all, for a memory
of failure is a guess, and refusing would make it certain.
Rule 5: only carriers of the caller's own accounts, root included, are asked for. Those of other tenants cost nothing
here, and no trace tells of them.
Rule 6: whatever is left out is told, with the reason, as a Choice. A group that a longer prefix has led to already is
not weighed again.
Rule 7: the only carrier of a ported number counts if it may take this call. If not, the routing number alone decides:
an entry that nobody here can follow is no reason to lose the call, and names no carrier of others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from kemi import keys
from kemi.core.amounts import amount
from kemi.core.chains import Chain
from kemi.core.destinations import expected_s
from kemi.core.draft import Draft
from kemi.core.numbers import routing_number
from kemi.core.offers import Asked, Guard, Offer, Offers, rule_fault
from kemi.core.order import in_order
from kemi.core.outcome import Candidate, Reject, Weighed
from kemi.core.ported import names as ported_names
from kemi.core.ported import numbers as ported_numbers
from kemi.core.request import E164
from kemi.records import Choice, PeeringGroup, PeeringRule, PeerServer, PinnedLeg, PortedNumber


def carriers(
    draft: Draft,
    chain: Chain,
    legs: tuple[PinnedLeg, ...],
    caller: str,
    callee: E164,
    ported: PortedNumber | None = None,
) -> list[Candidate] | Reject:
    """Return the candidates in hunting order, as many as are tried; or the refusal "no_route".

    legs: what the levels pay. caller: URI of the caller, as caller patterns see it. What was weighed stands in
    draft.weighed afterwards.
    """
    number = routing_number(callee, ported)
    asked = Asked(number, caller, f"sip:{number}@{draft.call.ruri.host}", expected_s(draft, number))
    guard = Guard(draft, chain, legs, asked.call_s)
    loser_id, loss = guard.first_loss()
    if loss:
        return draft.refuse("no_route", loss, loser_id)
    search = _searched(draft, chain, asked, Offers(draft, asked, guard), ported.group_id if ported else 0)
    ordered = in_order(draft, search.found, chain.routing)
    draft.weighed = Weighed(tuple(ordered), tuple(search.left_out), asked.call_s)
    tried = ordered[: draft.attempts_max]
    _tell(draft, tried, asked.call_s)
    if len(ordered) > len(tried):
        draft.note(f"{len(ordered) - len(tried)} more candidates: only {len(tried)} are tried")
    return tried or draft.refuse("no_route", f"no carrier takes {number}")


def carrier_names(draft: Draft, chain: Chain, callee: str) -> Iterator[str]:
    """Yield what the carriers for `callee` stand on. They are chosen by the routing number of a ported one."""
    yield from ported_names(draft.known, callee)
    if "quality" in chain.routing:
        yield keys.QUALITY
    for number in ported_numbers(draft.known, callee):
        yield keys.destinations(number)
        for owner in chain.carrier_owners:
            yield from (keys.peering_rules(owner.id, prefix) for prefix in prefixes(number))


def prefixes(number: str) -> tuple[str, ...]:
    """Return every prefix of the number, longest first, down to "": the ones that a peering rule may have."""
    return (*tuple(accumulate(number))[::-1], "")


def label(group: PeeringGroup, server: PeerServer) -> str:
    """Return how a trace names a server: `server 7 (acme/lon1)`."""
    return f"server {server.id} ({group.name}/{server.name})"


def _searched(draft: Draft, chain: Chain, asked: Asked, offers: Offers, only_id: int) -> _Search:
    """Return the finished search; of one group alone, if that has servers for this call. only_id: 0 = any group."""
    if only_id:
        mark = draft.mark
        search = _Search(draft, chain, asked, offers, only_id)
        search.look_at(prefixes(asked.number))
        if search.found:
            return search
        draft.forget_since(mark)
        draft.note("number is ported to a carrier that takes no such call: chosen by its routing number")
    search = _Search(draft, chain, asked, offers)
    search.look_at(prefixes(asked.number))
    return search


def _tell(draft: Draft, tried: list[Candidate], call_s: int) -> None:
    for place, (rule, group, server, leg, micros, _, _) in enumerate(tried, 1):
        costs = amount(micros, leg.currency)
        draft.note(f"candidate {place}: {label(group, server)} by rule {rule.id}, costs {costs} for {call_s} s")


def _choice(
    rule: PeeringRule,
    group: PeeringGroup,
    server: PeerServer | None,
    why: str,
    micros: int = 0,
    currency: str = "",
    call_s: int = 0,
) -> Choice:
    name = f"{group.name}/{server.name}" if server else group.name
    server_id = server.id if server else 0
    return Choice(rule.id, group.id, server_id, name, rule.callee_prefix, micros, currency, call_s, why)


class _Search:
    """The walk over the prefixes of a number, the longest first. left_out: what was weighed and may not be tried.

    found: the servers to choose among, afterwards. only_id: the only group that counts, 0 = all.
    reach: how many of the owners still count. hidden: for each owner why shorter prefixes do not, "" = they do.
    down_until: for each how many of the servers that failed lately there were when a stopper had no others, -1 = none.
    """

    def __init__(self, draft: Draft, chain: Chain, asked: Asked, offers: Offers, only_id: int = 0) -> None:
        self._draft = draft
        self._known = draft.known
        self._asked = asked
        self._offers = offers
        self._owners = [account.id for account in chain.carrier_owners]
        self._whose = [f"peering rules of account {owner_id}" for owner_id in self._owners]
        own_first = [n for n, account in enumerate(chain.carrier_owners, 1) if account.carriers == "own_first"]
        self._first = min(own_first, default=len(self._owners))
        self._reach = len(self._owners)
        self._only_id = only_id
        self._blocked = ""
        self._hidden = [""] * self._reach
        self._taken: set[int] = set()
        self._well_groups: set[int] = set()
        self._well: list[Candidate] = []
        self._down: list[tuple[int, Candidate]] = []
        self._down_until = [-1] * self._reach
        self._are_down = draft.facts.down_servers
        self.left_out: list[Choice] = []
        self.found: list[Candidate] = []

    def look_at(self, prefixes: Sequence[str]) -> None:
        """Weigh the rules with exactly these prefixes, the longest first."""
        at_prefix: dict[int, list[tuple[int, PeeringRule]]] = {}
        for place, of_owner in self._known.peering_rules(self._owners, prefixes):
            prefix, owner = divmod(place, len(self._owners))
            at_prefix.setdefault(prefix, []).extend([(owner, rule) for rule in of_owner.entries])
        for prefix, rules in at_prefix.items():
            self._weigh(prefixes[prefix], rules)
        self.found = self._usable()

    def _weigh(self, prefix: str, rules: list[tuple[int, PeeringRule]]) -> None:
        """Weigh the rules of a prefix, each with the place of its owner, the nearest owner first."""
        if any(rule.block for _, rule in rules):
            self._block(prefix, rules)
        stoppers: list[tuple[int, PeeringRule]] = []
        for owner, rule in rules:
            if self._take(owner, rule) and rule.stopper:
                stoppers.append((owner, rule))
        for owner, rule in stoppers:
            self._stop(prefix, owner, rule)

    def _stop(self, prefix: str, owner: int, stopper: PeeringRule) -> None:
        """Hide the shorter prefixes of the stopper's owner and of those above; while it is down, if nobody is well."""
        if stopper.group_id not in self._well_groups:
            for each in range(owner, len(self._owners)):
                if self._down_until[each] < 0:
                    self._down_until[each] = len(self._down)
            return
        if all(self._hidden[owner:]):
            return
        for each in range(owner, len(self._owners)):
            self._hidden[each] = self._hidden[each] or f"hidden by stopper rule {stopper.id}"
        whose = f" for the carriers of account {self._owners[owner]} and above" if owner else ""
        self._draft.note(f"prefix {prefix or '(any)'} is a stopper: no shorter one counts{whose}")

    def _usable(self) -> list[Candidate]:
        """Return the servers to choose among: those that are well, else those that failed lately."""
        if self._well:
            for _, candidate in self._down:
                self._skip(candidate, "failed lately")
            return self._well
        if self._down:
            self._draft.note("every candidate failed lately: tried all the same")
        found: list[Candidate] = []
        for place, (owner, candidate) in enumerate(self._down):
            if 0 <= self._down_until[owner] <= place:
                self._skip(candidate, "hidden by a stopper")
            else:
                found.append(candidate)
        return found

    def _block(self, prefix: str, rules: list[tuple[int, PeeringRule]]) -> None:
        """Let the nearest block rule that holds take its owner, and those above, out of the search."""
        for owner, rule in rules:
            if not rule.block or owner >= self._reach or self._hidden[owner]:
                continue
            group = self._group(owner, rule)
            if group is None or rule_fault(self._draft, self._whose[owner], rule, self._asked):
                continue
            if not group.enabled:
                self._draft.note(f"block rule {rule.id} holds nothing: group {group.id} ({group.name}) is disabled")
                continue
            self._reach, self._blocked = owner, f"blocked by rule {rule.id}"
            whose = f"account {self._owners[owner]} and above"
            self._draft.note(f"prefix {prefix or '(any)'} is blocked by rule {rule.id} for the carriers of {whose}")
            return

    def _group(self, owner: int, rule: PeeringRule) -> PeeringGroup | None:
        """Return the group of a rule. One of anybody but its owner is none: a trace would name a foreigner."""
        group = self._known.peering_group(rule.group_id)
        return group if group is not None and group.account_id == self._owners[owner] else None

    def _take(self, owner: int, rule: PeeringRule) -> bool:
        """Take the servers of an eligible rule as candidates; tell whether it has any that can be sent to."""
        if rule.block:
            return False
        group = self._group(owner, rule)
        if group is None:
            fault = f"account {self._owners[owner]} has no group {rule.group_id}"
            self._draft.note(f"rule {rule.id} not eligible: {fault}")
            self.left_out.append(Choice(rule.id, rule.group_id, 0, "", rule.callee_prefix, why=fault))
            return False
        if self._only_id and self._only_id != group.id:
            return self._leave_to(rule, group)
        out_of_reach = self._hidden[owner] or (self._blocked if owner >= self._reach else "")
        if out_of_reach:
            if group.id not in self._taken:
                self.left_out.append(_choice(rule, group, None, out_of_reach))
            return False
        offer = rule_fault(self._draft, self._whose[owner], rule, self._asked) or self._offers.of(group)
        if isinstance(offer, str):
            self._draft.note(f"group {group.id} ({group.name}) not eligible: {offer}")
            self.left_out.append(_choice(rule, group, None, offer))
            return False
        if group.id not in self._taken:
            self._taken.add(group.id)
            self._add(rule, group, offer, owner)
        return bool(offer.servers)

    def _leave_to(self, rule: PeeringRule, group: PeeringGroup) -> bool:
        """Leave out a group that does not serve the ported number."""
        if group.id not in self._taken:
            self._taken.add(group.id)
            only = self._known.peering_group(self._only_id)
            why = f"number is ported to group {self._only_id} ({only.name if only else ''})"
            self._draft.note(f"group {group.id} ({group.name}) not eligible: {why}")
            self.left_out.append(_choice(rule, group, None, why))
        return False

    def _add(self, rule: PeeringRule, group: PeeringGroup, offer: Offer, owner: int) -> None:
        """Add what a group offers: each server where it belongs."""
        is_first = owner < self._first
        servers, left_out, leg, micros, compared_micros = offer
        for server, why in left_out:
            self._draft.note(f"{label(group, server)} skipped: {why}")
            self.left_out.append(_choice(rule, group, server, why, micros, leg.currency, self._asked.call_s))
        candidates = [Candidate(rule, group, server, leg, micros, compared_micros, is_first) for server in servers]
        are_down = self._are_down
        well = [each for each in candidates if each.server.id not in are_down] if are_down else candidates
        self._well += well
        if len(well) < len(candidates):
            self._down += [(owner, each) for each in candidates if each.server.id in are_down]
        if well:
            self._well_groups.add(group.id)

    def _skip(self, candidate: Candidate, why: str) -> None:
        rule, group, server, leg, micros = candidate[:5]
        self._draft.note(f"{label(group, server)} skipped: {why}")
        self.left_out.append(_choice(rule, group, server, why, micros, leg.currency, self._asked.call_s))
