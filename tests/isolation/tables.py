"""What the tests must know of each table to ask about its rows: key, who writes it, how to make another row of one.

A table that is not here fails the suite: say here what it is, and in oracle.py whose it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tests.isolation.oracle import PARENT, Row, World

Values = dict[str, Any]
Fresh = Callable[[World, Row], Values | None]


class Table(NamedTuple):
    """Facts of a table.

    key: columns of the primary key, or of what is unique. verbs: what the tools' role may do: of "i", "u", "d".
    owner: the column that says which account's a row is; None: none does, or its parent row does (oracle.PARENT).
    other: another column, and a value that no row has.
    fresh: columns and values that make a copy of a row a new one; None: there cannot be another one.
    taken: a unique key that says nothing of the owner: who inserts it again takes what another one has.
    unique: whether the key is unique, so that a second row conflicts with the first.
    """

    name: str
    key: tuple[str, ...]
    verbs: str
    owner: str | None
    other: tuple[str, Any]
    fresh: Fresh
    taken: tuple[str, ...] = ()
    unique: bool = True

    @property
    def belongs(self) -> tuple[str, str] | None:
        """Return the column that says whose a row is, and the table that it names."""
        return PARENT.get(self.name) or (self.owner and (self.owner, "account")) or None


def _prefixed(column: str, with_text: str) -> Fresh:
    return lambda _world, row: {column: f"{with_text}{row[column]}"}


def _named(column: str = "name") -> Fresh:
    return _prefixed(column, "new")


def _as(**values: Any) -> Fresh:
    return lambda _world, _row: dict(values)


def _never(_world: World, _row: Row) -> None:
    return None


def _below_a_parent(_world: World, row: Row) -> Values | None:
    return None if row["parent_id"] is None else {"name": f"new{row['name']}"}


def _right_to_give(world: World, row: Row) -> Values | None:
    """Return a right that the account has not and its parent has; None when there is none."""
    parent = world.by_id["account"][row["account_id"]]["parent_id"]
    grants = world.rows["account_grant"]
    has = {each["right_name"] for each in grants if each["account_id"] == row["account_id"]}
    given = {each["right_name"] for each in grants if each["account_id"] == parent or row["parent_id"] is None}
    return {"right_name": min(given - has)} if given - has else None


def _new_time(_world: World, row: Row) -> Values:
    return {"valid_from": f"20{50 + int(row.get('tariff_id', 0)) % 40}-01-01T00:00:00+00:00"}


def _other_id(column: str) -> Fresh:
    return lambda _world, row: {column: row[column] + 1000}


def _idle_user(world: World, row: Row) -> int:
    users = world.rows["user"]
    return int(next(each["id"] for each in users if each["account_id"] == row["account_id"] and each["name"] == "idle"))


def _new_member(world: World, row: Row) -> Values:
    return {"position": 77, "subscriber_id": None, "user_id": _idle_user(world, row)}


def _new_extension(world: World, row: Row) -> Values:
    return {"dialled": "201", "user_id": _idle_user(world, row)}


_REJECTING: Final = {
    "position": 77, "kind": "reject", "status": 480, "time_set_id": None, "otherwise": None, "user_id": None,
}  # fmt: skip
_ACCOUNT: Final = "account_id"
_ID: Final = ("id",)
_FUND: Final = ("account_id", "currency")
_AT: Final = "2001-01-01T00:00:00+00:00"

TABLES: Final = (
    Table("account", _ID, "iu", "parent_id", ("language", "fr"), _below_a_parent),
    Table("account_grant", ("account_id", "right_name"), "id", _ACCOUNT, ("created_at", _AT), _right_to_give),
    Table("contact", _ID, "iud", _ACCOUNT, ("name", "other"), _as()),
    Table("number", _ID, "iud", _ACCOUNT, ("status", "suspended"), _prefixed("e164", "9"), ("e164",)),
    Table("sip_domain", _ID, "iud", _ACCOUNT, ("enabled", False), _named(), ("name",)),
    Table("rewrite_set", _ID, "iud", _ACCOUNT, ("created_at", _AT), _named()),
    Table("rewrite_rule", _ID, "iud", None, ("replacement", "9"), _as(priority=77)),
    Table("time_set", _ID, "iud", _ACCOUNT, ("timezone", "Europe/Paris"), _named()),
    Table("time_set_span", ("time_set_id", "span"), "iud", None, ("span", "[1,2)"), _as(span="[3,4)")),
    Table("time_set_day", ("time_set_id", "kind", "first_day", "last_day"), "iud", None,
          ("last_day", 1231), _as(kind="open")),
    Table("barring_level", _ID, "iud", _ACCOUNT, ("mode", "whitelist"), _named()),
    Table("barring_rule", _ID, "iud", None, ("pattern", "^33"), _as(pattern="^49")),
    Table("subscriber", _ID, "iud", _ACCOUNT, ("status", "suspended"), _named("username")),
    Table("trusted_source", _ID, "iud", None, ("enabled", False),
          lambda _, row: {"network": f"10.1.{row['id']}.1/32"}, ("network", "transport", "from_pattern")),
    Table("trunk_place", _ID, "iud", None, ("weight", 7), lambda _, row: {"address": f"198.18.1.{row['id']}"}),
    Table("forward", _ID, "iud", None, ("created_at", _AT), _as(priority=77)),
    Table("user", _ID, "iud", _ACCOUNT, ("dnd", True), _named()),
    Table("ring_group", _ID, "iud", _ACCOUNT, ("total_s", 7), _named()),
    Table("ring_group_member", _ID, "iud", None, ("ring_s", 7), _new_member),
    Table("media_server", _ID, "iud", _ACCOUNT, ("port", 7), _named()),
    Table("callflow", _ID, "iud", _ACCOUNT, ("created_at", _AT), _named()),
    Table("callflow_step", _ID, "iud", None, ("created_at", _AT), _as(**_REJECTING)),
    Table("extension", _ID, "iud", _ACCOUNT, ("created_at", _AT), _new_extension),
    Table("reply_override", ("account_id", "reason"), "iud", _ACCOUNT, ("phrase", "other"), _as(reason="barred")),
    Table("threshold", _ID, "iud", _ACCOUNT, ("lock", "all"), _as(amount_micros=77)),
    Table("threshold_state", ("threshold_id",), "", None, ("is_crossed", True), _other_id("threshold_id")),
    Table("alert", _ID, "", _ACCOUNT, ("value_micros", 7), _as()),
    Table("fund", _FUND, "iu", _ACCOUNT, ("channels_max", 7), _as(currency="CHF")),
    Table("fund_credit", _FUND, "", _ACCOUNT, ("cver", 77), _as(currency="CHF")),
    Table("fund_charge", _FUND, "", _ACCOUNT, ("n", 77), _as(currency="CHF")),
    Table("fund_calendar", _FUND, "", _ACCOUNT, ("opening_version", 77), _as(currency="CHF")),
    Table("fund_window", (*_FUND, "kind", "window_id"), "", _ACCOUNT, ("spent_micros", 7), _as(currency="CHF")),
    Table("fund_loss", _ID, "", _ACCOUNT, ("amount_micros", 7), _as(fund_n=77)),
    Table("tariff", _ID, "iud", _ACCOUNT, ("rounding", "down"), _named()),
    Table("tariff_deck", ("tariff_id", "valid_from"), "iud", None, ("created_at", _AT), _new_time),
    Table("rate_set", _ID, "iud", None, ("version", 77), _as(version=78)),
    Table("rate_class", ("rate_set_id", "idx"), "iud", None, ("first_s", 7), _as(idx=7)),
    Table("rate_period", ("rate_set_id", "idx"), "iud", None, ("name", "other"), _as(idx=7, name="new")),
    Table("rate_class_period", ("rate_set_id", "class_idx", "period_idx"), "iud", None,
          ("connect_micros", 7), _as(period_idx=7)),
    Table("rate_field", ("rate_set_id", "field"), "iud", None, ("field", "7"), _as(field="8")),
    Table("rate", ("rate_set_id", "prefix"), "iud", None, ("class_idx", 7), _as(prefix="77")),
    Table("peering_group", _ID, "iu", _ACCOUNT, ("priority", 7), _named()),
    Table("peering_server", _ID, "iud", None, ("weight", 7),
          lambda _, row: {"name": "new", "address": f"192.0.3.{row['id']}", "is_trusted": False},
          ("address", "port", "transport")),
    Table("peering_rule", _ID, "iud", None, ("description", "other"), _as(callee_prefix="77")),
    Table("inbound_rule", _ID, "iud", None, ("enabled", False), _as(priority=77)),
    Table("hunt_rule", ("server_id", "status"), "iud", None, ("action", "continue"), _as(status=603)),
    Table("peering_server_address", ("server_id", "address"), "", None, ("resolved_at", _AT),
          lambda _, row: {"address": f"198.51.101.{row['server_id']}"}),
    Table("peering_server_lookup", ("server_id",), "", None, ("fault", "other"), _other_id("server_id")),
    Table("server_quality", ("server_id",), "", None, ("rung", 7), _other_id("server_id")),
    Table("server_calls", ("server_id", "minute_at"), "", None, ("rung", 7), _as(minute_at=_AT), unique=False),
    Table("carrier_owed", ("group_id", "currency"), "", None, ("owed_micros", 7), _as(currency="CHF")),
    Table("carrier_state", ("group_id",), "", None, ("spent", "day"), _other_id("group_id")),
    Table("import_file", _ID, "", None, ("undone_at", _AT), _as()),
    Table("import_change", ("import_id", "key"), "", None, ("before", {"x": 7}), _as(key=7)),
    Table("ported_number", ("digits",), "iud", None, ("routing", "77"), _as(digits="7", routing="8")),
    Table("emergency_route", _ID, "iud", None, ("routing", "77"), _as(number="911")),
    Table("destination", ("prefix",), "iud", None, ("expected_s", 7), _prefixed("prefix", "7")),
    Table("exchange_rate", ("base", "quote", "valid_from"), "iud", None, ("rate", 2), _as(base="CHF", quote="GBP")),
    Table("currency", ("code",), "", None, ("scale", 3), lambda _, row: {"code": row["code"][::-1]}),
    Table("horizon", ("at",), "", None, ("at", _AT), _never),
    Table("ledger_entry", _ID, "", _ACCOUNT, ("note", "other"),
          lambda _, row: {"id": row["id"][::-1].replace("-", "")}),
    Table("cdr", ("rid",), "", _ACCOUNT, ("outcome", "failed"), _named("rid")),
    Table("cdr_attempt", ("rid", "n"), "", None, ("why", "other"), _as(n=7)),
    Table("cdr_leg", ("rid", "level", "book"), "", "payer_id", ("prefix", "7"), _other_id("level")),
    Table("audit", _ID, "", _ACCOUNT, ("actor", "other"), _as()),
    Table("account_hold", ("account_id", "kind"), "", None, ("set_by", 1), _as(account_id=1)),
    Table("account_move", ("account_id",), "", None, ("moved_at", _AT), _as(account_id=1)),
    Table("visibility", ("viewer_id", "account_id"), "", None, ("account_id", 1), _as(account_id=1)),
    Table("outbox", _ID, "", None, ("key", "other"), _as()),
    Table("sync_applied", ("version",), "", None, ("at", _AT), _as(version=7)),
    Table("sync_state", ("cell",), "", None, ("drift", 7), _as(cell=7)),
    Table("epoch", ("number",), "", None, ("note", "other"), _as(number=7)),
    Table("node", ("name",), "", None, ("boot_id", "other"), _named()),
    Table("recovery", ("epoch",), "", None, ("created_at", _AT), _as(epoch=7)),
    Table("recovery_step", _ID, "", None, ("said", "other"), _as()),
    Table("event_poison", _ID, "", None, ("note", "other"), _as()),
    Table("event_dropped", ("digest",), "", None, ("note", "other"), _as(digest="\\x" + "7" * 64)),
    Table("noc_measure", ("stream_id",), "", None, ("why", "other"), _as(stream_id="7-7")),
    Table("posting", ("is_one",), "", None, ("number", 77), _never),
    Table("generation", ("config_pass",), "", None, ("applied_at", _AT), _as(config_pass=7)),
    Table("migration", ("name",), "", None, ("applied_at", _AT), _named()),
    Table("ledger_unbalanced", _ID, "", None, ("txn_id", "00000000-0000-0000-0000-000000000007"), _as()),
    Table("rate_set_unused", ("rate_set_id",), "", None, ("since", _AT), _other_id("rate_set_id")),
)  # fmt: skip
