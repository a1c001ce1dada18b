"""Emergency numbers: which they are, and where they go.

Rule 1: they are recognised as dialled, before any rewriting: 112 is no E.164 number, and no rule may make it one.
Rule 2: they are told to carriers as dialled too, or as their route says, with the caller in E.164: nothing here needs a
rewrite set, because nothing that might be missing from a cold cache may be needed.
Rule 3: a dead server is tried last, never left out; a full one is tried as if it were not; and whatever one of them
answers, the next one is asked. While an enabled server is left, the call is not lost.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from kemi import keys
from kemi.core.draft import Draft
from kemi.core.identity import FromSubscriber
from kemi.core.order import draw
from kemi.records import Emergency, EmergencyRoute, PeeringGroup, PeerServer

SERVERS_MAX: Final = 16  # more than an ordinary call tries, yet a bounded plan


def route_for(table: Emergency, domain: str, region: str | None, dialled: str) -> EmergencyRoute | None:
    """Return the route of an emergency number: the domain's own one, else the region's, else the one for everywhere.

    region: "" = none in particular; None = it cannot be told, for the store is down. Then the first regional one serves
    where nothing else does: another region's centre answers, and can pass the call on.
    """
    routes = [route for route in table.routes if route.number == dialled]
    general = [route for route in routes if not route.domain]
    ranked = (
        next((route for route in routes if domain and route.domain == domain), None),
        next((route for route in general if region and route.region == region), None),
        next((route for route in general if not route.region), None),
        general[0] if general and region is None else None,
    )
    return next((route for route in ranked if route is not None), None)


def of_line(draft: Draft, caller: FromSubscriber) -> EmergencyRoute | None:
    """Return the route of what a line of ours has dialled, None where that is no emergency number of its."""
    table = draft.known.emergency() or Emergency(())
    return route_for(table, caller.subscriber.domain, caller.region, draft.call.ruri.user)


def claimed_region(draft: Draft) -> str | None:
    """Return the region of whom the From names, as far as it is cached; None = it cannot be told.

    For a caller who cannot be identified, because the store is down.
    """
    uri, known = draft.call.from_uri, draft.known
    name = f"{uri.user}@{uri.host}"
    if not known.holds(keys.sip_domain(uri.host)):
        return None
    domain = known.sip_domain(uri.host)
    subscriber = known.subscriber(name) if known.holds(keys.subscriber(name)) else None
    region = (subscriber.region if subscriber else "") or (domain.region if domain else "")
    return region if region or subscriber else None


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
        usable = sorted((server for server in group.servers if _is_usable(draft, server)), key=partial(draw, draft))
        found.extend((group, server) for server in usable)
    found.sort(key=lambda candidate: candidate[1].id in draft.facts.down_servers)  # stable: the rest keeps its order
    return found[:SERVERS_MAX]


def _is_usable(draft: Draft, server: PeerServer) -> bool:
    if server.enabled and not server.address:
        draft.note(f"server {server.id} passed over: its name is not resolved")
    return server.enabled and bool(server.address)
