"""What is replicated: one kind per view of schema `sync`, in the order in which it is applied.

Rule 1: what others name comes first, so that a reader between two steps of a pass finds what a record leads to. The
    rate buckets of a set are written before the set itself, the set before the tariff that points to it.
Rule 2: deletions are applied last, in the opposite order.
"""

from __future__ import annotations

from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, get_args, get_origin, get_type_hints

from kemi import codec, keys
from kemi.adapters.redis_funds import FundTerms
from kemi.adapters.redis_tables import RECORD_TYPES


class Kind(NamedTuple):
    """view: below schema `sync`, and the outbox's word for it. record: what a row is. prefix: of its names in Redis."""

    view: str
    record: type[Any]
    prefix: str

    @property
    def is_one(self) -> bool:
        """True for a kind of one aggregate, whose name is the prefix."""
        return bool(self.prefix) and not self.prefix.endswith(":")

    def key(self, name: str) -> str:
        """Return the Redis key of the aggregate `name`."""
        return keys.fund_terms(name) if self.view == FUND_TERMS else keys.config(name)

    def value(self, version: int, record: object | None) -> bytes:
        """Return what stands at the key. No record: the value that says "deleted"; of a fund it is empty."""
        if self.view == FUND_TERMS:
            return b"" if record is None else codec.pack(record)
        return codec.pack_config(version, record)

    def read(self, value: bytes | None) -> object | None:
        """Return the record of a stored value, None for an absent or deleted one. Raises ValueError."""
        if value is None:
            return None
        if self.view == FUND_TERMS:
            return codec.unpack(FundTerms, value)
        row: object = codec.unpack_config(value).row
        record: object = None if row is None else codec.build(self.record, row)
        return record


FUND_TERMS: Final = "fund_terms"
RATE_SET: Final = "rate_set"

KINDS: Final = (
    Kind("rewrite_set", RECORD_TYPES["rws"], "rws:"),
    Kind(RATE_SET, RECORD_TYPES["rset"], "rset:"),
    Kind("exchange", RECORD_TYPES["fx"], keys.EXCHANGE),
    Kind("tariff", RECORD_TYPES["tar"], "tar:"),
    Kind(FUND_TERMS, FundTerms, ""),
    Kind("time_set", RECORD_TYPES["tset"], "tset:"),
    Kind("barring_level", RECORD_TYPES["bar"], "bar:"),
    Kind("account", RECORD_TYPES["acct"], "acct:"),
    Kind("sip_domain", RECORD_TYPES["dom"], "dom:"),
    Kind("subscriber", RECORD_TYPES["sub"], "sub:"),
    Kind("number", RECORD_TYPES["num"], "num:"),
    Kind("peering_group", RECORD_TYPES["pg"], "pg:"),
    Kind("peering_rules", RECORD_TYPES["rules"], "rules:"),
    Kind("peers", RECORD_TYPES["peers"], keys.PEERS),
    Kind("ported_number", RECORD_TYPES["lnp"], "lnp:"),
    Kind("ported_lengths", RECORD_TYPES["lnplens"], keys.PORTED_LENGTHS),
    Kind("destinations", RECORD_TYPES["dest"], "dest:"),
    Kind("quality", RECORD_TYPES["quality"], keys.QUALITY),
    Kind("sources", RECORD_TYPES["src"], "src:"),
    Kind("masks", RECORD_TYPES["masks"], keys.MASKS),
    Kind("emergency", RECORD_TYPES["emergency"], keys.EMERGENCY),
)
BY_VIEW: Final = {kind.view: kind for kind in KINDS}


def build(kind: Kind, row: object) -> Any:
    """Return the record of a row of the kind's view. Raises ValueError that names the field which cannot be."""
    record = codec.build(kind.record, row)
    _check(kind.record, record, kind.record.__name__)
    return record


@cache
def _hints(kind: type[Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(get_type_hints(kind).items())


def _check(hint: Any, value: object, where: str) -> None:
    """Raise ValueError unless `value` is what `hint` says; `where`: how the message calls it."""
    if isinstance(hint, UnionType):
        inner = [part for part in get_args(hint) if part is not NoneType]
        if value is not None:
            _check(inner[0], value, where)
    elif get_origin(hint) is tuple and isinstance(value, tuple):
        for item in value:
            _check(get_args(hint)[0], item, f"{where}[]")
    elif isinstance(hint, type) and issubclass(hint, tuple) and isinstance(value, hint):
        for (name, inner_hint), field in zip(_hints(hint), value, strict=True):
            _check(inner_hint, field, f"{where}.{name}")
    elif type(value) is not hint:  # a bool is no int here: workers of another release may tell them apart
        raise ValueError(f"{where} is {value!r}, wanted {getattr(hint, '__name__', hint)}")
