"""What a carrier offers for one call, or why it offers nothing.

Rule 1: a rule takes a call when it is enabled, valid, its time set holds, and its patterns match; a group, when it is
enabled, may get more money, sells the destination in its own deck, and has a server that can be sent to.
Rule 2: a carrier's price is that of a call of the expected length, with everything that its deck says; so is what the
levels pay. No account sells at a loss greater than it allows: it earns what the level below pays, and spends what it
pays its own parent, and the carrier where that is its own. The first part is the same for all carriers, so it refuses
the call. A carrier whose price cannot be told in the currency that its owner earns is left out: nobody could say that
it is no loss.
Rule 3: a call never goes back to the peer that it came from, whichever of its addresses that was, unless the group
allows that.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kemi.core.amounts import amount
from kemi.core.chains import Chain
from kemi.core.charges import carrier_leg
from kemi.core.draft import Draft
from kemi.core.exchange import compared
from kemi.core.kept import Kept
from kemi.core.rating import cost
from kemi.core.sources import same_address
from kemi.core.time_sets import holds_now
from kemi.records import Account, PeeringGroup, PeeringRule, PeerServer, PinnedLeg

PERCENT: Final = 100
GROUPS_KEPT: Final = 4_096  # of which it is kept what can be sent to, per process, < 1 kB each
IN_QUARANTINE: Final = "it is in quarantine"
INCOMPARABLE: Final = 2**62  # micros: behind every carrier whose price can be told


class Asked(NamedTuple):
    """What carriers are asked for. number: by which they are chosen. caller, callee: URIs as patterns see them.

    call_s: how long the call is expected to last.
    """

    number: str
    caller: str
    callee: str
    call_s: int


Servers = tuple[PeerServer, ...]
LeftOut = tuple[tuple[PeerServer, str], ...]


class Offer(NamedTuple):
    """What a group offers.

    cost, expected_micros, compared_micros: as in Candidate. servers: that can be sent to. left_out: other servers, each
    with the reason.
    """

    servers: Servers
    left_out: LeftOut
    cost: PinnedLeg
    expected_micros: int
    compared_micros: int


def rule_fault(draft: Draft, whose: str, rule: PeeringRule, asked: Asked) -> str:
    """Return why a rule does not hold for this call, "" when it does. whose: the rules that it is one of."""
    now_ms = draft.call.received_ms
    if not rule.enabled:
        return f"rule {rule.id} is disabled"
    if rule.valid_from_ms > now_ms or 0 < rule.valid_to_ms <= now_ms:
        return f"rule {rule.id} is not valid {'yet' if rule.valid_from_ms > now_ms else 'any more'}"
    if rule.callee_pattern and not draft.pattern(whose, rule.callee_pattern).search(asked.callee):
        return f"callee pattern of rule {rule.id} does not match"
    if rule.caller_pattern and not draft.pattern(whose, rule.caller_pattern).search(asked.caller):
        return f"caller pattern of rule {rule.id} does not match"
    if rule.time_set_id and not holds_now(draft, rule.time_set_id):
        return f"time set {rule.time_set_id} of rule {rule.id} does not hold now"
    return ""


class Offers:
    """What the groups offer for one call. Each is asked once, however many rules lead to it."""

    def __init__(self, draft: Draft, asked: Asked, guard: Guard) -> None:
        """Ask under the guard of what the levels pay."""
        self._draft = draft
        self._asked = asked
        self._now_ms = draft.call.received_ms
        self._guard = guard
        self._quarantine = draft.facts.quarantine
        self._came_from, self._source = draft.came_from, draft.call.source_ip
        self._is_v6 = ":" in self._source
        self._by_group: dict[int, Offer | str] = {}

    def of(self, group: PeeringGroup) -> Offer | str:
        """Return what the group offers, or why it offers nothing."""
        offer = self._by_group.get(group.id)
        if offer is None:
            offer = self._by_group[group.id] = self._asked_of(group)
        return offer

    def _asked_of(self, group: PeeringGroup) -> Offer | str:
        if not group.enabled:
            return "it is disabled"
        if group.id in self._quarantine.carriers:
            return IN_QUARANTINE
        if group.spent:
            return f"its {group.spent} cap is reached"
        return self._priced(group)

    def _priced(self, group: PeeringGroup) -> Offer | str:
        servers, left_out = self._servers(group)
        if self._quarantine.servers:
            servers, left_out = self._without_quarantined(servers, left_out)
        if not servers and not left_out:
            return "it has no enabled server"
        leg = carrier_leg(self._draft, group, self._asked.number)
        if leg is None:
            return f"no rate for {self._asked.number} in its deck"
        micros = cost(leg, self._asked.call_s, self._now_ms)
        loss, told = self._guard.judge(group.account_id, micros, leg.currency)
        if loss:
            left_out = (*left_out, *((server, loss) for server in servers))
            servers = ()
        return Offer(servers, left_out, leg, micros, told)

    def _without_quarantined(self, servers: Servers, left_out: LeftOut) -> tuple[Servers, LeftOut]:
        """Return the servers that are in no quarantine, and the others with the reason."""
        held = tuple((server, IN_QUARANTINE) for server in servers if server.id in self._quarantine.servers)
        kept = tuple(server for server in servers if server.id not in self._quarantine.servers)
        return kept, (*left_out, *held)

    def _servers(self, group: PeeringGroup) -> tuple[Servers, LeftOut]:
        """Return the servers that can be sent to, and the others with the reason; none at all where none is enabled."""
        servers, left_out, addresses, is_v6 = _SENDABLE.of(group)
        source = self._source
        if not (source in addresses or group.id in self._came_from):
            is_plain = not is_v6 and not self._is_v6
            if is_plain or not any(same_address(address, source) for address in addresses):
                return servers, left_out
        if group.may_return or not servers:
            return servers, left_out
        return (), tuple((server, _server_fault(server)) for server in group.servers)


class _Sendable(NamedTuple):
    """The servers of a group that can be sent to, whatever the call, and the others with the reason.

    addresses: of all of them. is_v6: whether one is of IPv6. Only these, and IPv4 within them, have several spellings.
    """

    servers: Servers
    left_out: LeftOut
    addresses: frozenset[str]
    is_v6: bool


def _sendable(group: PeeringGroup) -> _Sendable:
    servers = tuple(server for server in group.servers if server.enabled and server.address)
    is_open = any(server.enabled for server in group.servers)
    left_out = tuple((server, _server_fault(server)) for server in group.servers if server not in servers)
    addresses = frozenset(server.address for server in group.servers if server.address)
    return _Sendable(servers, left_out if is_open else (), addresses, any(":" in address for address in addresses))


_SENDABLE: Final = Kept(_sendable, GROUPS_KEPT)


def _server_fault(server: PeerServer) -> str:
    """Return why a server cannot be sent to that has been found unusable."""
    if not server.enabled:
        return "it is disabled"
    return "the call came from it" if server.address else "its name is not resolved"


class _Seller(NamedTuple):
    """An account that is paid for the expected call by the level below it. level: of that one.

    income, outlay: what it earns, and what it pays its own parent, micros of `currency`, in which it earns; None = no
    exchange rate tells. outlay_told: as its tariff says it. spare_hundredths: what a carrier of its own may cost, of a
    micro.
    """

    account: Account
    level: int
    currency: str
    income: int
    outlay: int | None
    outlay_told: str
    spare_hundredths: int

    def fault(self, call_s: int) -> str:
        """Say how it loses whoever carries the call, "" when it does not."""
        if self.account.loss_pct < 0:
            return ""
        name = f"account {self.account.id} ({self.account.name})"
        if self.outlay is None:
            return (
                f"{name} earns {self.currency} and pays {self.outlay_told}: no exchange rate, it might sell at a loss"
            )
        if self.spare_hundredths >= 0:
            return ""
        sells = amount(self.income, self.currency)
        return f"{name} sells at {sells} what it buys at {self.outlay_told} for {call_s} s{self._allowed}"

    @property
    def too_dear(self) -> str:
        """Say how a carrier of its own is too dear."""
        own = f", less what account {self.account.id} pays itself" if self.outlay else ""
        return f"dearer than level {self.level} pays{own}{self._allowed}"

    @property
    def _allowed(self) -> str:
        loss_pct = self.account.loss_pct
        return f" (up to {loss_pct} % allowed)" if loss_pct else ""


class Guard:
    """Keeps every account from selling at a loss. The line's own account sells to nobody: it may pay what it likes."""

    def __init__(self, draft: Draft, chain: Chain, legs: tuple[PinnedLeg, ...], call_s: int) -> None:
        """Take what the levels pay, the nearest to the caller first, for a call of call_s seconds."""
        now_ms = draft.call.received_ms
        self._draft = draft
        self._call_s = call_s
        self._legs = legs
        self._costs = [cost(leg, call_s, now_ms) for leg in legs]
        self._accounts = (*chain.levels, chain.root)
        self._currency = legs[-1].currency
        self._sellers: dict[int, _Seller | None] = {}

    def first_loss(self) -> tuple[int, str]:
        """Return the nearest account that loses whoever carries the call, and how; (0, "") = none does."""
        legs, costs = self._legs, self._costs
        for at in range(1, len(legs)):
            if costs[at] <= costs[at - 1] and legs[at].currency == legs[at - 1].currency:
                continue
            seller = self._seller(at)
            fault = seller.fault(self._call_s)
            if fault:
                return seller.account.id, fault
        return 0, ""

    def judge(self, owner_id: int, micros: int, base: str) -> tuple[str, int]:
        """Return why the owner would lose by a carrier's price, "" = it would not, and about what it is to the root.

        That is: in the currency that the root earns, in which all carriers are compared.
        """
        try:
            seller = self._sellers[owner_id]
        except KeyError:
            seller = self._sellers[owner_id] = self._seller_called(owner_id)
        if seller is not None:
            if base == seller.currency == self._currency and micros * PERCENT <= seller.spare_hundredths:
                return "", micros
            told = micros if base == seller.currency else compared(self._draft, micros, base, seller.currency)
            if told is None:
                return f"no exchange rate between {base} and {seller.currency}, which level {seller.level} pays in", 0
            if told * PERCENT > seller.spare_hundredths:
                return seller.too_dear, told
        common = micros if base == self._currency else compared(self._draft, micros, base, self._currency)
        return "", INCOMPARABLE if common is None else common

    def _seller_called(self, owner_id: int) -> _Seller | None:
        """Return the owner of a carrier as far as it sells and takes not any loss."""
        places = (at for at in range(1, len(self._accounts)) if self._accounts[at].id == owner_id)
        at = next(places, 0)
        return self._seller(at) if at and self._accounts[at].loss_pct >= 0 else None

    def _seller(self, at: int) -> _Seller:
        """Return the account at a place of the chain, above the first."""
        account, below = self._accounts[at], self._legs[at - 1]
        outlay: int | None = 0
        told = ""
        if at < len(self._legs):
            above, micros = self._legs[at], self._costs[at]
            told = amount(micros, above.currency)
            outlay = compared(self._draft, micros, above.currency, below.currency)
        income, allowed = self._costs[at - 1], PERCENT + account.loss_pct
        spare = income * allowed - (outlay or 0) * PERCENT
        return _Seller(account, below.level, below.currency, income, outlay, told, spare)
