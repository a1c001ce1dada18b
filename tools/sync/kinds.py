"""What is replicated: one kind per view of schema `sync`, in the order in which it is applied.

Rule 1: what others name comes first, so that a reader between two steps of a pass finds what a record leads to. The
    rate buckets of a set are written before the set itself, the set before the tariff that points to it.
Rule 2: deletions are applied last, in the opposite order.
Rule 3: between Postgres and Redis a record travels as its msgpack bytes: equal bytes are equal records, and a million
    of them are never built. Bytes that differ are looked at field by field: an older release wrote fewer fields.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from operator import itemgetter
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, get_args, get_origin, get_type_hints

from kemi import codec, keys
from kemi.adapters.redis_funds import FundTerms
from kemi.adapters.redis_tables import RECORD_TYPES

_HEAD: Final = codec.pack_config(1 << 32, None)[:-1]  # without the nil at its end; any version of ours is as long
_FIXED: Final = _HEAD[:3]  # of the head: without the version's digits


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
        """Return what stands at the key. record: it, or its bytes; None: "deleted", which is empty for a fund."""
        if self.view == FUND_TERMS:
            return b"" if record is None else _bytes(record)
        return codec.pack_config(version, None) if record is None else _head(version) + _bytes(record)

    def read(self, value: bytes | None) -> object | None:
        """Return the record of a stored value, None for an absent or deleted one. Raises ValueError."""
        if value is None:
            return None
        if self.view == FUND_TERMS:
            return codec.unpack(FundTerms, value)
        row: object = codec.unpack_config(value).row
        record: object = None if row is None else codec.build(self.record, row)
        return record

    def lives(self, value: bytes | None) -> bool:
        """Tell whether a record stands in a value; what cannot be read counts as one."""
        try:
            return self.read(value) is not None
        except ValueError:
            return True

    def difference(self, value: bytes | None, record: bytes) -> str:
        """Return how a stored value differs from the bytes of a record, "" when it does not."""
        if self._holds(value, record):
            return ""
        try:
            stored: Any = self.read(value)
        except ValueError as error:
            return f"cannot be read in Redis: {error}"
        if stored is None:
            return "is missing in Redis"
        pairs = zip(stored, codec.unpack(self.record, record), strict=True)
        fields = [self.record._fields[at] for at, (here, there) in enumerate(pairs) if here != there]
        return f"differs in {', '.join(fields)}" if fields else ""

    def _holds(self, value: bytes | None, record: bytes) -> bool:
        if value is None:
            return False
        if self.view == FUND_TERMS:
            return value == record
        return value[len(_HEAD) :] == record and value[: len(_FIXED)] == _FIXED


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
    Kind("media_server", RECORD_TYPES["media"], "media:"),
    Kind("subscriber", RECORD_TYPES["sub"], "sub:"),
    Kind("user", RECORD_TYPES["user"], "user:"),
    Kind("ring_group", RECORD_TYPES["grp"], "grp:"),
    Kind("callflow", RECORD_TYPES["flow"], "flow:"),
    Kind("extension", RECORD_TYPES["ext"], "ext:"),
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


def packed(kind: Kind, row: Sequence[Any]) -> bytes:
    """Return the bytes of the record in a row of the kind's view. Raises ValueError that names what cannot be."""
    types, nested = _plain(kind)
    if tuple(map(type, row)) == types and not (nested and any(nested(row))):
        return codec.pack(row)  # nothing nested: the row is the record
    return codec.pack(build(kind, row))


def build(kind: Kind, row: object) -> Any:
    """Return the record of a row of the kind's view. Raises ValueError that names the field which cannot be."""
    hint: Any = kind.record
    record = codec.build(kind.record, row)
    if not _fits(hint)(record):
        _check(hint, record, hint.__name__)
    return record


@lru_cache(maxsize=8)
def _head(version: int) -> bytes:
    return codec.pack_config(version, None)[:-1]


def _bytes(record: object) -> bytes:
    return record if isinstance(record, bytes) else codec.pack(record)


@cache
def _hints(kind: Any) -> tuple[tuple[str, Any], ...]:
    return tuple(get_type_hints(kind).items())


@cache
def _plain(kind: Kind) -> tuple[tuple[type[Any], ...], Callable[[Sequence[Any]], Any] | None]:
    """Return the types of a row's values when nothing optional is there, and what takes its lists out of it."""
    record: Any = kind.record
    types = tuple(_plain_type(hint) for _, hint in _hints(record))
    lists = [at for at, of in enumerate(types) if of is list]
    return types, itemgetter(*lists, *lists[:1]) if lists else None  # one twice: of a single place it gives no tuple


def _plain_type(hint: Any) -> type[Any]:
    if isinstance(hint, UnionType):
        return NoneType
    if get_origin(hint) is tuple or issubclass(hint, tuple):
        return list
    return hint  # type: ignore[no-any-return]  # a class


@cache
def _fits(hint: Any) -> Callable[[Any], bool]:
    """Return what tells fast whether a value is what `hint` says; `_check` then says where it is not."""
    if isinstance(hint, UnionType):
        inner = next(_fits(part) for part in get_args(hint) if part is not NoneType)
        return lambda value: value is None or inner(value)
    if get_origin(hint) is tuple:
        item = _fits(get_args(hint)[0])
        return lambda value: type(value) is tuple and all(map(item, value))
    if issubclass(hint, tuple):
        fields = [_fits(inner_hint) for _, inner_hint in _hints(hint)]
        return lambda value: type(value) is hint and all(fits(field) for fits, field in zip(fields, value, strict=True))
    return lambda value: type(value) is hint


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
