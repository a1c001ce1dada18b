"""Accounts themselves, what they warn of, and tariffs."""

from __future__ import annotations

from typing import Final

from tools.tenant import kinds
from tools.tenant.model import Field, Resource

CRITERIA: Final = ("prefix", "priority", "cost", "quality", "share", "weight")

ACCOUNT: Final = Resource(
    name="account",
    section="accounts",
    words=("account",),
    table="account",
    help="Resellers and customers, each below another account.",
    fields=(
        Field("name", kinds.LABEL, "Unique below its parent.", required=True, listed=True),
        Field(
            "kind", kinds.one_of("reseller", "customer"), "A reseller has others below it.", required=True, listed=True,
        ),
        Field(
            "tariff", kinds.NAMED, "What its parent charges it: a tariff of the parent.", column="tariff_id",
            refers="tariff", reach="own", required=True, listed=True,
        ),
        Field("currency", kinds.CURRENCY, "What it pays in.", required=True, listed=True),
        Field("timezone", kinds.TIMEZONE, "For days and months.", default="UTC"),
        Field("language", kinds.LANGUAGE, "For invoices, notices and reports: en, fr, ru or fr-CA.", default="en"),
        Field("contact", kinds.NAMED, "Whom invoices go to.", column="contact_id", refers="contact"),
        Field(
            "routing", kinds.several(kinds.one_of(*CRITERIA), f"a list of {', '.join(CRITERIA)}"),
            "How carriers are ordered; empty = as above.", default=[],
        ),
        Field(
            "carriers", kinds.one_of("all", "own_first", "own_only"), "Whose carriers are used, where it has some.",
            default="all",
        ),
        Field("loss_pct", kinds.whole(-1, 1000, "per cent"), "How much dearer a call may be; -1 = any.", default=0),
        Field("attempts_max", kinds.whole(0, 16), "Servers tried per call; 0 = as above.", default=0),
        Field("barred", kinds.PREFIXES, "What nobody below may call.", default=[]),
        Field("barring", kinds.NAMED, "Barring level set from above.", column="barring_id", refers="barring"),
        Field("own_barring", kinds.NAMED, "Barring level set by itself.", column="own_barring_id", refers="barring"),
        Field("blocked_in", kinds.CALLER_GLOBS, "Who may not call it.", default=[]),
        Field("blocked_out", kinds.GLOBS, "Whom it may not call.", default=[]),
        Field("share_children", kinds.YES_NO, "Whether those above see its accounts.", default=False),
        Field("overcommit_pct", kinds.whole(0, 1000, "per cent"), "How far credits below may exceed its balance."),
        Field("offline_calls", kinds.whole(0, 10_000), "Calls at a time while the money cannot be asked."),
        Field("offline_s", kinds.whole(1, 14_400, "seconds"), "How long such a call may last.", default=600),
        Field(
            "media", kinds.one_of("", "relay", "direct"), "Whether sound goes through our relay; default: as above.",
            default="",
        ),
    ),
    key=("name",),
    named_by=("name",),
    owner="parent",
    owner_column="parent_id",
    stays="its calls and its money are history; close it",
)  # fmt: skip
THRESHOLD: Final = Resource(
    name="threshold",
    section="thresholds",
    words=("account", "threshold"),
    table="threshold",
    help="Balances and spends that give an alert, and may lock.",
    fields=(
        Field("currency", kinds.CURRENCY, "Of which fund.", required=True, fixed=True, listed=True),
        Field(
            "kind", kinds.one_of("balance", "day", "month"), "What is watched.", required=True, fixed=True, listed=True,
        ),
        Field(
            "amount", kinds.money(-(2**50), 2**50, "an amount such as 12.50"), "Where it is crossed.",
            column="amount_micros", required=True, fixed=True, listed=True,
        ),
        Field("lock", kinds.one_of("foreign", "outgoing", "all", "global"), "Lock that is set then.", listed=True),
    ),
    key=("currency", "kind", "amount"),
    named_by=("kind",),
)  # fmt: skip
TARIFF: Final = Resource(
    name="tariff",
    section="tariffs",
    words=("tariff",),
    table="tariff",
    help="Price lists: what an account charges those below it, or what a carrier charges the account.",
    fields=(
        Field("name", kinds.LABEL, "Unique in its account.", required=True, listed=True),
        Field("currency", kinds.CURRENCY, "Of all its prices, for ever.", required=True, fixed=True, listed=True),
        Field("timezone", kinds.TIMEZONE, "Whose week its periods mean.", default="UTC", listed=True),
        Field(
            "rounding", kinds.one_of("up", "down", "half_up", "half_even"), "How the price of a call is rounded.",
            default="up", listed=True,
        ),
        Field(
            "round_to", kinds.LEAST_UNIT, "To whole multiples of this amount.", column="round_to_micros",
            default="0.000001", listed=True,
        ),
        Field(
            "onnet", kinds.one_of("free", "other", "all"), "Which calls between our lines cost: none, to others, all.",
            default="free", listed=True,
        ),
    ),
    key=("name",),
    named_by=("name",),
)  # fmt: skip
