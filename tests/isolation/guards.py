"""What triggers add to the policies, by the same brute force: columns that need a right, or somebody else to say them.

Rule 1: a policy judges a row as a whole; what is here depends on which columns a statement sets.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    return all(
        _is_known(viewer, target, new[column])
        for column, target in REFERENCES.get(table, {}).items()
        if column in changed
    )


def _may_say(viewer: Viewer, old: Row | None, changed: set[str]) -> bool:
    if old is None:
        return True
    if old["id"] == viewer.id and not changed <= OF_ITSELF | ROUTING:
        return False
    return not changed & ROUTING or "routing" in viewer.rights


def _is_known(viewer: Viewer, table: str, key: int | None) -> bool:
    row = viewer.world.of(table, key)
    return row is None or sees(viewer, table, row)
