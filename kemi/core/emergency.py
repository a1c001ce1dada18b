"""Emergency numbers: which they are, and where they go.

Rule 1: they are recognised as dialled, before any rewriting: 112 is no E.164 number, and no rule may make it one.
Rule 2: they are told to carriers as dialled too, with the caller in E.164: nothing here needs a rewrite set, because
nothing that might be missing from a cold cache may be needed.
Rule 3: a dead server is tried last, never left out.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from kemi import keys
from kemi.core.draft import Draft
from kemi.core.order import draw
from kemi.records import Emergency, EmergencyRoute, PeeringGroup, PeerServer

SERVERS_MAX: Final = 16  # more than an ordinary call tries, yet a bounded plan


def route_for(table: Emergency, domain: str, dialled: str) -> EmergencyRoute | None:
    """Return the route of an emergency number: the domain's own one, else the one for everywhere."""
    routes = {route.domain: route for route in table.routes if route.number == dialled}
    return routes.get(domain) or routes.get("")


def is_one_somewhere(table: Emergency, dialled: str) -> bool:
    """Whether some domain has this emergency number: not to be shed before we know who is calling."""
    return any(route.number == dialled for route in table.routes)


def servers(draft: Draft, route: EmergencyRoute) -> list[tuple[PeeringGroup, PeerServer]]:
    """Return the servers to try: healthy ones first, then groups in the order of the route, then by draw.

    While the store is down, groups that are not cached are passed over.
    """
    found: list[tuple[PeeringGroup, PeerServer]] = []
    for group_id in route.group_ids:
        if not draft.facts.store_up and not draft.known.holds(keys.peering_group(group_id)):
            draft.note(f"group {group_id} passed over: not cached")
            continue
        group = draft.known.peering_group(group_id)
        if group is None or not group.enabled:
            draft.note(f"group {group_id} passed over: disabled")
            continue
        enabled = sorted((server for server in group.servers if server.enabled), key=partial(draw, draft))
        found.extend((group, server) for server in enabled)
    found.sort(key=lambda candidate: candidate[1].id in draft.facts.down_servers)  # stable: the rest keeps its order
    return found[:SERVERS_MAX]
