"""Which calls of other processes this node has to care for: its own of before a restart, and those of a silent node.

Rule 1: a node is silent when its sign of life has not moved for a while of OUR monotonic clock in which we could see
it: no step of a clock, and no outage of Redis, makes a living node dead.
Rule 2: it is no matter to be wrong. Of two nodes that follow a call Redis lets one go on, and the other hears of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kemi.adapters.ksr_queue import Ended
from kemi.adapters.redis_operations import Reservation
from kemi.agent_adoption import Moment
from kemi.agent_calls import Calls
from kemi.agent_orders import Order
from kemi.agent_outbox import Money
from kemi.agent_proofs import Proofs
from kemi.agent_slices import NODE_LOST

PAGE: Final = 100  # reservations looked at per turn
NS: Final = 1_000_000_000
BLIND_NS: Final = 3 * NS  # who has not looked for so long has seen nothing: all begin anew
SILENT_MIN_NS: Final = 2 * NS  # signs of life come every second
SILENT_MAX_NS: Final = 5 * NS


def silent_ns(grace_s: int) -> int:
    """Return how long a node may be silent. Half of the grace: then its calls end here before a sweeper ends them."""
    return min(max(grace_s * NS // 2, SILENT_MIN_NS), SILENT_MAX_NS)


class NodeWatch:
    """Follows the signs of life of all other nodes. own: our name. bound_ns: how long one may be silent."""

    def __init__(self, own: str, bound_ns: int) -> None:
        self._own = own
        self._bound_ns = bound_ns
        self._seen: dict[str, tuple[int, int]] = {}
        self.silent: set[str] = set()
        self._looked_ns = 0

    def see(self, nodes: Mapping[str, int], now_ns: int) -> list[str]:
        """Return the nodes that have just become silent. nodes: name -> last sign, of any clock. now_ns: monotonic."""
        is_blind = now_ns - self._looked_ns > BLIND_NS
        self._looked_ns = now_ns
        fallen: list[str] = []
        for node, sign in nodes.items():
            known = self._seen.get(node)
            if node == self._own or known is None or known[0] != sign:
                self._seen[node] = (sign, now_ns)
                self.silent.discard(node)
            elif is_blind:
                self._seen[node] = (sign, now_ns)
            elif now_ns - known[1] >= self._bound_ns and node not in self.silent:
                self.silent.add(node)
                fallen.append(node)
        return fallen


class Takeover:
    """What of other processes is still to be looked at, page by page."""

    def __init__(self, funds: Money, calls: Calls, node: str, grace_s: int, proofs: Proofs | None = None) -> None:
        self._funds = funds
        self.proofs = Proofs((), 0) if proofs is None else proofs
        self._calls = calls
        self._node = node
        self._watch = NodeWatch(node, silent_ns(grace_s))
        self._wanted: dict[str, str] = {node: ""}
        self._not_before_ns = 0

    def again(self, not_before_ns: int = 0) -> None:
        """Look at our own reservations and those of silent nodes once more: Redis was away, or did not listen."""
        self._wanted.update(dict.fromkeys((self._node, *self._watch.silent), ""))
        self._not_before_ns = max(self._not_before_ns, not_before_ns)

    def see(self, nodes: Mapping[str, int], now_ns: int) -> None:
        """Take in the signs of life."""
        self._wanted.update(dict.fromkeys(self._watch.see(nodes, now_ns), ""))

    def is_due(self, now_ns: int) -> bool:
        """Whether there is something to look at now."""
        return bool(self._wanted or self.proofs) and now_ns >= self._not_before_ns

    def turn(self, now: Moment) -> list[Order]:
        """Look at one page; return what asks Redis for its calls. Raises StoreUnavailable: the page comes again."""
        if self.proofs:
            return self._prove(now)
        node, after = next(iter(self._wanted.items()))
        page = self._funds.of_node(node, after, PAGE)
        found = {rid: self._funds.describe(rid) for rid in page.rids if not self._calls.knows(rid)}
        if page.after:
            self._wanted[node] = page.after
        else:
            del self._wanted[node]
        orders = [order for reservation in found.values() for order in self._calls.adopt(reservation, now)]
        if node == self._node:
            for rid, reservation in found.items():
                orders += self.proofs.given_up(rid, reservation, now.redis_ms)
        return orders

    def _prove(self, now: Moment) -> list[Order]:
        """Look at some of the calls whose answer is noted here; the others of this node come after them."""
        rids = self.proofs.first(PAGE)
        found = {rid: self._funds.describe(rid) for rid in rids if not self._calls.knows(rid)}
        orders = [order for rid, before in found.items() for order in self._proven(rid, before, now)]
        self.proofs.drop(rids)
        return orders

    def _proven(self, rid: str, before: Reservation | None, now: Moment) -> list[Order]:
        """Go on with a call of whose answer Redis has not heard; end the one that was given up meanwhile."""
        proven = self.proofs.proven(rid, before)
        if before is None or proven is None or proven == before:
            return []
        if before.state == "held":
            return self._calls.adopt(proven, now, is_told=False) if before.node == self._node else []
        ended = Ended(rid, NODE_LOST, now.ns, now.redis_ms, is_followed=False, is_relayed=False)
        return self._calls.looked_up(ended, proven, now.redis_ms, now.ns)
