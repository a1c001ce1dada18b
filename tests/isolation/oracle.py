"""Who may see and change what, by brute force over a snapshot of all rows: from the rules, not from the SQL.

Rule 1: nothing here knows a policy, a function or a trigger of the database; it is given rows and answers yes or no.
Rule 2: an answer looks at one row, one viewer and the tree, slowly and obviously.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

Row = dict[str, Any]

# The tables whose rows belong to another row, and the column that names it.
PARENT: Final[Mapping[str, tuple[str, str]]] = {
    "rewrite_rule": ("rewrite_set_id", "rewrite_set"),
    "time_set_span": ("time_set_id", "time_set"),
    "time_set_day": ("time_set_id", "time_set"),
    "barring_rule": ("barring_level_id", "barring_level"),
    "trusted_source": ("subscriber_id", "subscriber"),
    "trunk_place": ("subscriber_id", "subscriber"),
    "forward": ("subscriber_id", "subscriber"),  # there are none of users here
    "ring_group_member": ("ring_group_id", "ring_group"),
    "callflow_step": ("callflow_id", "callflow"),
    "threshold_state": ("threshold_id", "threshold"),
    "tariff_deck": ("tariff_id", "tariff"),
    "rate_set": ("tariff_id", "tariff"),
    "rate_class": ("rate_set_id", "rate_set"),
    "rate_period": ("rate_set_id", "rate_set"),
    "rate_class_period": ("rate_set_id", "rate_set"),
    "rate_field": ("rate_set_id", "rate_set"),
    "rate": ("rate_set_id", "rate_set"),
    "peering_server": ("group_id", "peering_group"),
    "peering_rule": ("group_id", "peering_group"),
    "inbound_rule": ("group_id", "peering_group"),
    "carrier_owed": ("group_id", "peering_group"),
    "carrier_state": ("group_id", "peering_group"),
    "peering_server_address": ("server_id", "peering_server"),
    "peering_server_lookup": ("server_id", "peering_server"),
    "hunt_rule": ("server_id", "peering_server"),
    "server_quality": ("server_id", "peering_server"),
    "server_calls": ("server_id", "peering_server"),
    "import_change": ("import_id", "import_file"),
}
_OF_THE_PLATFORM: Final = frozenset({
    "ported_number", "emergency_route", "cdr", "cdr_attempt", "visibility", "outbox", "sync_applied", "sync_state",
    "epoch", "node", "recovery", "recovery_step", "event_poison", "event_dropped", "posting", "generation", "migration",
    "noc_measure",
    "ledger_unbalanced", "rate_set_unused", "account_move", "account_hold",
})  # fmt: skip
_OF_EVERYBODY: Final = frozenset({"currency", "destination", "exchange_rate", "horizon"})
_PRICES: Final = frozenset({
    "tariff", "tariff_deck", "rate_set", "rate_class", "rate_period", "rate_class_period", "rate_field", "rate",
})  # fmt: skip
_CARRIERS: Final = frozenset({
    "peering_group", "peering_server", "peering_rule", "inbound_rule", "carrier_owed", "carrier_state",
    "peering_server_address", "peering_server_lookup", "hunt_rule", "server_quality", "server_calls",
})  # fmt: skip
_PEOPLE: Final = frozenset({
    "user", "ring_group", "ring_group_member", "media_server", "callflow", "callflow_step", "extension", "forward",
})  # fmt: skip
# What accounts may use without having it, and who names it.
_USERS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "rewrite_set": dict.fromkeys(("sip_domain", "subscriber", "peering_group", "peering_server"), ("rewrite_set_id",)),
    "barring_level": dict.fromkeys(("account", "subscriber"), ("barring_id", "own_barring_id")),
    "time_set": dict.fromkeys(("peering_rule", "forward", "callflow_step"), ("time_set_id",)),
}


class World(NamedTuple):
    """Every row of every table, and the account that is the root. by_id: rows of tables whose key is `id`."""

    rows: Mapping[str, tuple[Row, ...]]
    by_id: Mapping[str, Mapping[int, Row]]

    def of(self, table: str, key: int | None) -> Row | None:
        """Return the row of this id; None when there is none."""
        return None if key is None else self.by_id[table].get(key)

    def above(self, account: int) -> Iterator[int]:
        """Yield the account and all above it, the root last."""
        here: int | None = account
        while here is not None:
            yield here
            here = self.by_id["account"][here]["parent_id"]

    def owner(self, table: str, row: Row) -> int | None:
        """Return whose row it is; None for one of the platform, or one that hangs on nothing."""
        if table == "account":
            return int(row["id"])
        while table in PARENT:
            column, upper = PARENT[table]
            found = self.of(upper, row[column])
            if found is None:
                return None
            table, row = upper, found
        owner = row["payer_id" if table == "cdr_leg" else "account_id"]
        return None if owner is None else int(owner)


class Viewer(NamedTuple):
    """An acting account, with what it sees and what it was granted."""

    world: World
    id: int
    is_root: bool
    visible: frozenset[int]
    above: frozenset[int]
    rights: frozenset[str]


def look(world: World, account: int) -> Viewer:
    """Return an account as a viewer: it sees itself, its children, and below those that share, each step of the way."""
    rights = frozenset(row["right_name"] for row in world.rows["account_grant"] if row["account_id"] == account)
    is_root = world.by_id["account"][account]["parent_id"] is None
    visible = frozenset(each for each in world.by_id["account"] if is_root or _is_open(world, account, each))
    return Viewer(world, account, is_root, visible, frozenset(world.above(account)) - {account}, rights)


def _is_open(world: World, viewer: int, account: int) -> bool:
    path = list(world.above(account))
    if viewer not in path:
        return False
    between = path[1 : path.index(viewer)] if viewer != account else []
    return all(world.by_id["account"][each]["share_children"] for each in between)


def sees(viewer: Viewer, table: str, row: Row) -> bool:
    """Say whether a viewer other than the root may read a row."""
    world = viewer.world
    if table in _OF_THE_PLATFORM or table in _OF_EVERYBODY:
        return table in _OF_EVERYBODY
    if table in _HISTORY:
        return _HISTORY[table](viewer, row)
    if table == "account" and row["id"] not in world.by_id[table]:
        return _would_be_seen(viewer, row)
    return world.owner(table, row) in viewer.visible or _is_part_or_lent(viewer, table, row)


def _is_part_or_lent(viewer: Viewer, table: str, row: Row) -> bool:
    """Say whether a row of somebody who is not visible belongs to one that is read, or concerns the viewer."""
    world = viewer.world
    if table in PARENT and table not in _CARRIERS:
        column, upper = PARENT[table]
        parent = world.of(upper, row[column])
        in_hand = table == "rate_set" and row["state"] != "ready"  # prices that nobody pays yet are their maker's
        return parent is not None and not in_hand and sees(viewer, upper, parent)
    return _is_lent(viewer, table, row)


def _since(viewer: Viewer, account: int) -> datetime:
    """Return since when what happens to an account is told to a viewer: since it sees it without a break."""
    rows = viewer.world.rows["visibility"]
    found = (row["since"] for row in rows if (row["viewer_id"], row["account_id"]) == (viewer.id, account))
    since = next(found, None)
    return datetime.fromisoformat(since) if since else _EVER


def _is_told(viewer: Viewer, row: Row) -> bool:
    if row["account_id"] not in viewer.visible:
        return False
    at = row["at"] if "at" in row else row["created_at"]
    return datetime.fromisoformat(at) >= _since(viewer, row["account_id"])


def _is_window_told(viewer: Viewer, row: Row) -> bool:
    """Say whether a day or a month began, by its number, after the day or the month in which the account came."""
    return row["account_id"] in viewer.visible and _begins_later(row["window_id"], _since(viewer, row["account_id"]))


def _is_opening_told(viewer: Viewer, row: Row) -> bool:
    since = _since(viewer, row["account_id"])
    is_told = row["opening_version"] == 0 or _begins_later(row["opening_month_id"], since)
    return is_told and row["account_id"] in viewer.visible


def _begins_later(window: int, since: datetime) -> bool:
    """window: 20261122 or 202611; the accounts of these worlds live by UTC."""
    if since == _EVER:
        return True
    at = since.astimezone(UTC)
    return window > (int(at.strftime("%Y%m%d")) if window > _A_MONTH_MAX else int(at.strftime("%Y%m")))


_EVER: Final = datetime.min.replace(tzinfo=UTC)
_A_MONTH_MAX: Final = 999_999


def _sees_leg(viewer: Viewer, row: Row) -> bool:
    """Say whether a payment is the viewer's to know: its own, or one between accounts that it saw both then."""
    if row["payer_id"] == viewer.id:
        return True
    sides = {row["payer_id"], row["payee_id"]}
    at = datetime.fromisoformat(row["created_at"])
    return row["book"] == "fund" and (
        row["payee_id"] == viewer.id or (sides <= viewer.visible and all(at >= _since(viewer, side) for side in sides))
    )


def _sees_entry(viewer: Viewer, row: Row) -> bool:
    """Say whether an entry is the viewer's to know: of its own books, or of the fund of an account that it sees.

    Of the latter only what was posted since the viewer came to see the account.
    """
    if row["account_id"] == viewer.id:
        return True
    if row["book"] != "fund" or row["account_id"] not in viewer.visible:
        return False
    return datetime.fromisoformat(row["posted_at"]) >= _since(viewer, row["account_id"])


def _sees_change(viewer: Viewer, row: Row) -> bool:
    """Say whether the viewer may know of the import that a kept row belongs to."""
    return _is_told(viewer, viewer.world.by_id["import_file"][row["import_id"]])


# What happened to accounts: of one that came to be seen by a move, what was before is not told.
_HISTORY: Final[Mapping[str, Callable[[Viewer, Row], bool]]] = {
    "cdr_leg": _sees_leg,
    "ledger_entry": _sees_entry,
    "alert": _is_told,
    "audit": _is_told,
    "fund_loss": _is_told,
    "import_file": _is_told,
    "import_change": _sees_change,
    "fund_window": _is_window_told,
    "fund_calendar": _is_opening_told,
}


def _is_lent(viewer: Viewer, table: str, row: Row) -> bool:
    """Say whether a row of somebody who is not visible is the viewer's to know, because it concerns it."""
    if table in ("sip_domain", "media_server"):
        return row["account_id"] in viewer.above
    if table == "tariff":
        return any(each["tariff_id"] == row["id"] for each in _visible_rows(viewer, "account"))
    if table in _USERS:
        return row["id"] in set(_used(viewer, table))
    return False


def _visible_rows(viewer: Viewer, table: str) -> Iterator[Row]:
    return (row for row in viewer.world.rows[table] if viewer.world.owner(table, row) in viewer.visible)


def _used(viewer: Viewer, table: str) -> Iterator[int | None]:
    """Yield the ids of what visible accounts, and the lines, domains and carriers of these, use of this table."""
    for user, columns in _USERS[table].items():
        for row in _visible_rows(viewer, user):
            yield from (row[column] for column in columns)
    if table == "time_set":
        levels = viewer.world.rows["barring_level"]
        yield from (row["time_set_id"] for row in levels if sees(viewer, "barring_level", row))


def adds(viewer: Viewer, table: str, row: Row) -> bool:
    """Say whether a viewer other than the root may insert a row."""
    if table == "account":
        return "accounts" in viewer.rights and _would_be_seen(viewer, row)
    return _may_make(viewer, table) and _owns(viewer, table, row)


def _may_make(viewer: Viewer, table: str) -> bool:
    """Say whether domains and numbers come and go by this viewer."""
    return {"sip_domain": "domains", "number": "numbers"}.get(table, "") in {*viewer.rights, ""}


def _would_be_seen(viewer: Viewer, account: Row) -> bool:
    """Say whether an account below this parent is one that the viewer sees: nobody makes what it loses sight of."""
    parent = viewer.world.of("account", account["parent_id"])
    return parent is not None and (
        parent["id"] == viewer.id or (parent["id"] in viewer.visible and parent["share_children"])
    )


def removes(viewer: Viewer, table: str, row: Row) -> bool:
    """Say whether a viewer other than the root may delete a row; an account is removed by a function alone."""
    return _may_make(viewer, table) and _owns(viewer, table, row)


def changes(viewer: Viewer, table: str, old: Row, new: Row) -> bool:
    """Say whether a viewer other than the root may make one row of another; what guards add to it is in `guards`."""
    if table == "account":
        return old["id"] in viewer.visible and (new["id"] == viewer.id or _would_be_seen(viewer, new))
    return _owns(viewer, table, old) and _owns(viewer, table, new)


def _owns(viewer: Viewer, table: str, row: Row) -> bool:
    """Say whether a row is one that the viewer may write, as far as its owner and the viewer's rights decide."""
    if table in _OF_THE_PLATFORM or table in _OF_EVERYBODY:
        return False
    owner = viewer.world.owner(table, row)
    if owner not in viewer.visible or (owner == viewer.id and _comes_from_above(table, row)):
        return False
    if table == "fund":
        return "money" in viewer.rights
    if table in _PRICES:
        return "prices" in viewer.rights
    if table in _PEOPLE:
        return "callflows" in viewer.rights
    return table not in _CARRIERS or "carriers_own" in viewer.rights


def _comes_from_above(table: str, row: Row) -> bool:
    """Say whether an account cannot say this of itself: what it may owe, what it may do, what locks it."""
    return table in ("fund", "account_grant") or (table == "threshold" and row["lock"] is not None)
