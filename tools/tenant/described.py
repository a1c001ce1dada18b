"""What a file describes: every resource of the catalogue, and what only a file says beside them.

Rule 1: a resource that is added to the catalogue is in the file, in its schema and in its export with no word here.
Rule 2: money, locks and status of accounts and what has happened are no configuration: no file says or undoes them.
"""

from __future__ import annotations

from typing import Any, Final

from tools.account.amounts import MICROS_MAX, UNLIMITED
from tools.tenant import kinds
from tools.tenant.catalogue import RESOURCES
from tools.tenant.catalogue import resource as resource_of
from tools.tenant.model import Field, Kind, Plain, Resource

VERSION: Final = "1"  # of the format
IMPORTED: Final = "imported"
NONE: Final = "none"
RIGHTS: Final = (
    "accounts", "prices", "money", "carriers_seen", "carriers_own", "domains", "numbers", "routing", "callflows",
)  # fmt: skip

_AMOUNT_SCHEMA: Final = {"type": ["number", "string"], "pattern": r"^[0-9]{1,7}(\.[0-9]{1,6})?$", "minimum": 0}
_PRICE_SCHEMA: Final = {
    "anyOf": [
        {"const": "forbidden"},
        _AMOUNT_SCHEMA,
        {
            "type": "object",
            "required": ["per_minute"],
            "additionalProperties": False,
            "properties": {
                "per_minute": _AMOUNT_SCHEMA,
                "first_s": {"type": "integer", "minimum": 1, "maximum": 3600},
                "next_s": {"type": "integer", "minimum": 1, "maximum": 3600},
                "connect": _AMOUNT_SCHEMA,
                "minimum": _AMOUNT_SCHEMA,
                "periods": {
                    "type": "object",
                    "additionalProperties": {
                        "anyOf": [
                            _AMOUNT_SCHEMA,
                            {
                                "type": "object",
                                "required": ["per_minute"],
                                "additionalProperties": False,
                                "properties": {"per_minute": _AMOUNT_SCHEMA, "connect": _AMOUNT_SCHEMA},
                            },
                        ]
                    },
                },
            },
        },
    ]
}
_LIST_SCHEMA: Final = {
    "anyOf": [
        {"enum": [IMPORTED, NONE]},
        {
            "type": "object",
            "required": ["rates"],
            "additionalProperties": False,
            "properties": {
                "periods": {
                    "type": "array",
                    "maxItems": 16,
                    "items": {
                        "type": "object",
                        "required": ["name", "times"],
                        "additionalProperties": False,
                        "properties": {
                            "name": {"type": "string", "minLength": 1, "maxLength": 64},
                            "times": {"type": "array", "minItems": 1, "items": {"type": "string"}},
                        },
                    },
                },
                "rates": {
                    "type": "object",
                    "propertyNames": {"pattern": "^[1-9][0-9]{0,14}$"},
                    "additionalProperties": _PRICE_SCHEMA,
                },
            },
        },
    ]
}


def _never(value: Any) -> Any:
    """Refuse: such values are read by their own code, never from a command line."""
    raise ValueError(f"cannot be given as {type(value).__name__}")


PRICES: Final = Kind(f"a price list, the word {IMPORTED} or the word {NONE}", _LIST_SCHEMA, _never)
SECRET: Final = Kind("a password of 1 to 128 characters", {"type": "string", "minLength": 1, "maxLength": 128}, _never)


def _or_unlimited(kind: Kind, stored: int) -> Kind:
    """Return a kind that has the word unlimited besides. stored: what that word is in the database."""

    def check(value: Any) -> Any:
        return stored if value == UNLIMITED else kind.check(value)

    def plain(value: Any) -> Plain:
        return UNLIMITED if value == stored else kind.plain(value)

    schema = {"anyOf": [{"const": UNLIMITED}, dict(kind.schema)]}
    return Kind(f"{kind.rule} or {UNLIMITED}", schema, check, plain, kind.parse)


_CALLS: Final = _or_unlimited(kinds.whole(1, 1_000_000), 0)
_SPEND: Final = _or_unlimited(kinds.money(1, MICROS_MAX, "an amount above 0 such as 12.50"), 0)
_CREDIT: Final = _or_unlimited(kinds.money(0, MICROS_MAX, "an amount of 0 or above such as 12.50"), -1)
_CAP: Final = kinds.money(1, MICROS_MAX, "an amount above 0 such as 12.50")
_OWED: Final = kinds.money(0, MICROS_MAX, "an amount of 0 or above such as 12.50")

LIMIT: Final = Resource(
    name="limit",
    section="limits",
    words=(),
    table="fund",
    help="What an account may owe, spend and talk, by currency; the fund itself comes with the account.",
    fields=(
        Field("currency", kinds.CURRENCY, "Of which fund.", required=True, fixed=True),
        Field("credit_limit", _CREDIT, "How far below zero calls may bring it; 0 = prepaid.",
              column="credit_limit_micros", default="0"),
        Field("channels", _CALLS, "Calls at a time.", column="channels_max", default=UNLIMITED),
        Field("channels_in", _CALLS, "Of these, calls to it.", column="channels_in_max", default=UNLIMITED),
        Field("channels_out", _CALLS, "Of these, calls from it.", column="channels_out_max", default=UNLIMITED),
        Field("cps", _CALLS, "New calls a second.", column="cps_max", default=UNLIMITED),
        Field("spend_day", _SPEND, "What calls of a day may cost.", column="day_max_micros", default=UNLIMITED),
        Field("spend_month", _SPEND, "What calls of a month may cost.", column="month_max_micros", default=UNLIMITED),
    ),
    key=("currency",),
    named_by=("currency",),
    primary=("account_id", "currency"),
    stays="limits stay with the account",
)  # fmt: skip
RIGHT: Final = Resource(
    name="right",
    section="rights",
    words=(),
    table="account_grant",
    help="What the account may do itself; at most what the account above it may.",
    fields=(
        Field("right", kinds.one_of(*RIGHTS), "Which.", column="right_name", required=True, fixed=True),
    ),
    key=("right",),
    named_by=("right",),
    primary=("account_id", "right_name"),
)  # fmt: skip
DECK: Final = Resource(
    name="deck",
    section="decks",
    words=(),
    table="tariff_deck",
    help="Prices to come; those of decks that have begun are the prices in force.",
    fields=(
        Field("from", kinds.MOMENT, "In force from then on.", column="valid_from", required=True, fixed=True),
        Field("prices", PRICES, "What calls cost then.", column="rate_set_id", required=True),
    ),
    key=("from",),
    named_by=("from",),
    parent="tariff",
    parent_column="tariff_id",
    primary=("tariff_id", "valid_from"),
)

_USER_RULE: Final = '1 to 128 characters without : and "'
_REALM_RULE: Final = '1 to 128 characters without " and \\'
_ACCOUNT: Final = resource_of("account").by_name
_FURTHER: Final[dict[str, tuple[Field, ...]]] = {
    "account": (  # the root is described too, once it is there: it has neither a parent nor a tariff of one
        _ACCOUNT["kind"]._replace(
            kind=kinds.one_of("root", "reseller", "customer")._replace(rule="one of reseller, customer"),
            help="A reseller has others below it; root is the platform, which no file makes.",
        ),
        _ACCOUNT["tariff"]._replace(required=False),
    ),
    "tariff": (
        Field("prices", PRICES, "What calls cost now.", column="rate_set_id"),
        Field("inbound_prices", PRICES, "What calls to a number cost.", column="inbound_rate_set_id"),
    ),
    "subscriber": (Field("password", SECRET, "Only its hashes are kept, and never exported."),),
    "peering": (
        Field("owed_limit", _OWED, "As soon as so much is owed it gets no calls.", column="owed_max_micros"),
        Field("day_limit", _CAP, "As soon as a day has cost so much.", column="day_max_micros"),
        Field("month_limit", _CAP, "As soon as a month has cost so much.", column="month_max_micros"),
    ),
    "server": (
        Field("login_username", kinds.matching('[^\\x00-\\x1f\\x7f-\\x9f":]{1,128}', _USER_RULE),
              "Our user name there."),
        Field("login_realm", kinds.matching(r'[^\x00-\x1f\x7f-\x9f"\\]{1,128}', _REALM_RULE),
              "Realm in which that holds."),
        Field("login_password", SECRET, "Only its hash is kept, and never exported."),
    ),
}  # fmt: skip
_SECTIONS: Final = {"peering": "peering_groups"}  # `carriers` of an account says whose carriers it uses

# In the order of a file: what others name comes first, so that a person reads it from above.
_ORDER: Final = (
    "contact", "limit", "threshold", "right", "rewrite_set", "time_set", "barring", "tariff", "domain", "media_server",
    "user", "subscriber", "group", "callflow", "extension", "number", "peering", "reply",
)  # fmt: skip


def _complete(resource: Resource) -> Resource:
    """Return a resource with what only a file says: fields of its own, and others in the place of those so named."""
    further = {field.name: field for field in _FURTHER.get(resource.name, ())}
    fields = [further.pop(field.name, field) for field in resource.fields]
    section = _SECTIONS.get(resource.name, resource.section)
    return resource._replace(fields=(*fields, *further.values()), section=section)


def _place(resource: Resource) -> int:
    if resource.name == "account":  # accounts below come last: they have all of this once more
        return len(_ORDER) + 1
    return _ORDER.index(resource.name) if resource.name in _ORDER else len(_ORDER)


DESCRIBED: Final = {
    each.name: each for each in sorted([_complete(each) for each in (*RESOURCES, LIMIT, RIGHT, DECK)], key=_place)
}


def sections_of(parent: str) -> dict[str, Resource]:
    """Return section -> resource of the lists that stand below a row. parent: "" or "account" = an account's."""
    above = "" if parent == "account" else parent
    return {each.section: each for each in DESCRIBED.values() if each.parent == above}


def is_word(resource: Resource) -> bool:
    """Whether a row is one word, so that a file says it without the name of its only field."""
    return len(resource.written) == 1 and not sections_of(resource.name)


def default_of(field: Field) -> Plain:
    """Return the plain form of a field that nobody has said."""
    return None if field.default is None else field.shown(field.read(None))
