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
SAID_BY_FUNCTIONS: Final = frozenset({"status", "closed_at", "lock", "lock_note"})
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
    "forward": {"time_set_id": "time_set", "to_media_server_id": "media_server"},
    "callflow_step": {"time_set_id": "time_set", "media_server_id": "media_server"},
    "ring_group": {"overflow_media_server_id": "media_server"},
    "extension": {"media_server_id": "media_server"},
    "number": {"media_server_id": "media_server"},
}  # fmt: skip
# Columns by which a row claims what may be somebody else's, or what only accounts above say.
CLAIMS: Final[Mapping[str, tuple[str, ...]]] = {
    "subscriber": ("cli", "allowed_clis", "lock"),
    "trusted_source": ("network", "from_pattern"),
    "peering_server": ("address", "is_trusted"),
    "trunk_place": ("address",),
    "media_server": ("address",),
}
_NO_HOSTS: Final = tuple(map(ip_network, (
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3",
    "::/96", "::ffff:0:0/96", "64:ff9b::/96", "fe80::/10", "ff00::/8",
)))  # fmt: skip
_PRIVATE: Final = tuple(map(ip_network, (
    "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10",
)))  # fmt: skip
_WIDEST: Final = {4: 24, 6: 48}
# Columns by which a line, or what is a line's, would become another one's.
_OF_LINES: Final[Mapping[str, tuple[str, ...]]] = {
    "subscriber": ("account_id", "username", "sip_domain_id"),
    "number": ("subscriber_id", "account_id", "e164"),
    "trusted_source": ("subscriber_id", "network", "transport", "from_pattern"),
}
_NAMED_WITH: Final = {("number", "e164"): "numbers", ("sip_domain", "name"): "domains"}


def lets_pass(viewer: Viewer, table: str, old: Row | None, new: Row | None) -> bool:
    """Say whether a viewer other than the root may set the columns that a statement sets.

    old, new: the row before and after; None where the statement makes it, or removes it.
    """
    if table in _OF_LINES and not _spares_locked_lines(viewer, table, old, new):
        return False
    if new is None:
        return True
    changed = {column for column, value in new.items() if old is None or old[column] != value}
    if table == "account" and not _may_say(viewer, old, new, changed):
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


def _may_say(viewer: Viewer, old: Row | None, new: Row, changed: set[str]) -> bool:
    if old is None:
        return not new["share_children"]
    if changed & SAID_BY_FUNCTIONS:
        return False
    if "parent_id" in changed:  # an account moves with its balance: by a function
        return False
    if "share_children" in changed and old["id"] != viewer.id:
        return False
    if old["id"] == viewer.id and not changed <= OF_ITSELF | ROUTING:
        return False
    return not changed & ROUTING or "routing" in viewer.rights


def _is_known(viewer: Viewer, table: str, key: int | None) -> bool:
    row = viewer.world.of(table, key)
    return row is None or sees(viewer, table, row)


def _spares_locked_lines(viewer: Viewer, table: str, old: Row | None, new: Row | None) -> bool:
    """Say whether a locked line of the viewer's own keeps its account, its numbers and its trusted sources."""
    line = old["id" if table == "subscriber" else "subscriber_id"] if old else None
    is_changed = old is None or new is None or any(old[column] != new[column] for column in _OF_LINES[table])
    if not is_changed:
        return True
    if table == "trusted_source" and new is not None and _is_of_a_locked_line(viewer, new):
        return False
    return not _is_bound(viewer, line)


def _is_of_a_locked_line(viewer: Viewer, new: Row) -> bool:
    """Say whether a trusted source would overlap one of another line that is bound."""
    return any(
        _overlap(ip_network(row["network"]), ip_network(new["network"]))
        and row["subscriber_id"] != new["subscriber_id"]
        and _is_bound(viewer, row["subscriber_id"])
        for row in viewer.world.rows["trusted_source"]
    )


def _is_bound(viewer: Viewer, line: int | None) -> bool:
    row = viewer.world.of("subscriber", line)
    return row is not None and row["lock"] != "none" and row["account_id"] == viewer.id


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


def _may_be_called(viewer: Viewer, old: Row | None, new: Row, changed: set[str]) -> bool:
    if old is not None and "address" not in changed:
        return True
    wanted = ip_network(new["address"])
    return _is_free(viewer, new["address"]) and not any(_overlap(wanted, private) for private in _PRIVATE)


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


_CLAIMS: Final = {
    "subscriber": _may_be_line,
    "trusted_source": _may_be_source,
    "peering_server": _may_be_server,
    "trunk_place": _may_be_called,
    "media_server": _may_be_called,
}
