"""What triggers add to the policies, by the same brute force: columns that need a right, or somebody else to say them.

Rule 1: a policy judges a row as a whole; what is here depends on which columns a statement sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from tests.isolation.oracle import Row, Viewer, sees

# What an account may say of itself; routing only with the right to it, which it needs for accounts below, too.
OF_ITSELF: Final = frozenset(
    {"contact_id", "own_barring_id", "blocked_in", "blocked_out", "share_children", "language"},
)
ROUTING: Final = frozenset({"routing", "carriers", "loss_pct", "attempts_max"})
# Columns that name what may belong to an account above: only what the viewer knows of can be named.
REFERENCES: Final[Mapping[str, Mapping[str, str]]] = {
    "account": {"contact_id": "contact", "barring_id": "barring_level", "own_barring_id": "barring_level"},
    "barring_level": {"time_set_id": "time_set"},
    "sip_domain": {"rewrite_set_id": "rewrite_set"},
    "subscriber": {"sip_domain_id": "sip_domain", "rewrite_set_id": "rewrite_set", "barring_id": "barring_level",
                   "own_barring_id": "barring_level"},
    "peering_group": {"contact_id": "contact", "rewrite_set_id": "rewrite_set"},
    "peering_server": {"rewrite_set_id": "rewrite_set"},
    "peering_rule": {"time_set_id": "time_set"},
}  # fmt: skip
# Columns by which a row claims what may be somebody else's, or what only accounts above say.
CLAIMS: Final[Mapping[str, tuple[str, ...]]] = {
    "subscriber": ("cli", "allowed_clis", "lock"),
    "trusted_source": ("network", "from_pattern"),
    "peering_server": ("address", "is_trusted"),
}
_NO_HOSTS: Final = tuple(map(ip_network, (
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/128", "::1/128", "fe80::/10", "ff00::/8",
)))  # fmt: skip
_WIDEST: Final = {4: 24, 6: 48}
_NAMED_WITH: Final = {("number", "e164"): "numbers", ("sip_domain", "name"): "domains"}


def lets_pass(viewer: Viewer, table: str, old: Row | None, new: Row | None) -> bool:
    """Say whether a viewer other than the root may set the columns that a statement sets.

    old, new: the row before and after; None where the statement makes it, or removes it.
    """
    if new is None:
        return True
    changed = {column for column, value in new.items() if old is None or old[column] != value}
    if table == "account" and not _may_say(viewer, old, changed):
        return False
    if any((table, column) in _NAMED_WITH and _NAMED_WITH[table, column] not in viewer.rights for column in changed):
        return False
    if table in CLAIMS and not _CLAIMS[table](viewer, old, new, changed):
        return False
    return all(
        _is_known(viewer, target, new[column])
        for column, target in REFERENCES.get(table, {}).items()
        if column in changed
    )


def _may_say(viewer: Viewer, old: Row | None, changed: set[str]) -> bool:
    if old is None:
        return True
    if "parent_id" in changed:  # an account moves with its balance: by a function
        return False
    if old["id"] == viewer.id and not changed <= OF_ITSELF | ROUTING:
        return False
    return not changed & ROUTING or "routing" in viewer.rights


def _is_known(viewer: Viewer, table: str, key: int | None) -> bool:
    row = viewer.world.of(table, key)
    return row is None or sees(viewer, table, row)


def _may_be_line(viewer: Viewer, old: Row | None, new: Row, changed: set[str]) -> bool:
    """Say whether what a line is bound by, and shows of itself, is the viewer's to say."""
    before = old or {"account_id": None, "lock": "none", "barring_id": None, "cli": None, "allowed_clis": []}
    is_own = viewer.id in (before["account_id"], new["account_id"])
    if is_own and any(new[column] != before[column] for column in ("lock", "barring_id")):
        return False
    shown = {*new["allowed_clis"], new["cli"]} - {*before["allowed_clis"], before["cli"], None}
    return all(_may_show(viewer, number, is_own=is_own) for number in shown if {"cli", "allowed_clis"} & changed)


def _may_show(viewer: Viewer, number: str, *, is_own: bool) -> bool:
    if not number.isdecimal():
        return not is_own
    holders = [row["account_id"] for row in viewer.world.rows["number"] if row["e164"] == number]
    return holders[0] in viewer.visible if holders else "numbers" in viewer.rights


def _may_be_source(viewer: Viewer, old: Row | None, new: Row, changed: set[str]) -> bool:
    if old is not None and not changed & {"network", "transport", "from_pattern"}:
        return True
    return _is_free(viewer, new["network"])


def _may_be_server(viewer: Viewer, old: Row | None, new: Row, changed: set[str]) -> bool:
    if new["is_trusted"] and changed & {"is_trusted", "address", "host", "aliases"}:
        return False
    before = _written(old) if old else ()
    return all(_is_free(viewer, network) for network in _written(new) if network not in before)


def _written(server: Row) -> list[str]:
    return [*([server["address"]] if server["address"] else []), *server["aliases"]]


def _is_free(viewer: Viewer, network: str) -> bool:
    """Say whether calls from there are nobody's whom the viewer does not see, and whether it is narrow enough."""
    wanted = ip_network(network)
    if wanted.prefixlen < _WIDEST[wanted.version]:
        return False
    return not any(_overlap(wanted, taken) for taken in (*_NO_HOSTS, *_taken(viewer)))


def _taken(viewer: Viewer) -> Iterator[IPv4Network | IPv6Network]:
    world = viewer.world
    for table in ("trusted_source", "peering_server", "peering_server_address"):
        for row in world.rows[table]:
            if world.owner(table, row) not in viewer.visible:
                texts = _written(row) if table == "peering_server" else [row.get("network") or row["address"]]
                yield from map(ip_network, texts)


def _overlap(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    return one.version == other.version and one.overlaps(other)


_CLAIMS: Final = {"subscriber": _may_be_line, "trusted_source": _may_be_source, "peering_server": _may_be_server}
