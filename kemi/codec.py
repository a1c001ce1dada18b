"""Record <-> msgpack bytes.

Every configuration value is `[SCHEMA_VERSION, version, row]`. A reader that meets a higher schema says so and
keeps what it has. Rows of older writers are shorter: missing fields take their defaults.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgpack

SCHEMA_VERSION = 1
ANNOTATIONS = "annotations.json"
"""Beside this file in a build: class -> its fields' annotations, as the sources write them."""

_PACKER = msgpack.Packer(unicode_errors="surrogatepass")

R = TypeVar("R")


class UnknownSchemaError(ValueError):
    """The value was written by a newer release than this one."""


class Versioned(NamedTuple):
    """A configuration value as it stands in Redis. version: (fence << 32) | pass of its writer. row: None = deleted."""

    version: int
    row: list[Any] | None


def pack(record: object) -> bytes:
    """Return the msgpack array of a record; nested records become nested arrays."""
    return msgpack.packb(record)


def unpack(kind: type[R], data: bytes) -> R:
    """Return the record of type `kind` that `pack` wrote, this release's or an older one's.

    Raises ValueError when the bytes are not such a record.
    """
    return build(kind, msgpack.unpackb(data))


def write(record: object) -> str:
    """Return a record as text without odd characters, for Kamailio's memory; `read` reads it.

    What a phone sent as no character stays what it is.
    """
    packed: bytes = _PACKER.pack(record)
    return packed.hex()


def read(kind: type[R], text: str) -> R:
    """Return the record that `write` wrote, or the release before, which wrote JSON. Raises ValueError likewise."""
    if text[:1] == "[":
        return build(kind, json.loads(text))
    return build(kind, msgpack.unpackb(bytes.fromhex(text), unicode_errors="surrogatepass"))


def pack_config(version: int, record: object) -> bytes:
    """Return `[SCHEMA_VERSION, version, row]`, the form of every configuration value."""
    return msgpack.packb([SCHEMA_VERSION, version, record])


def unpack_config(data: bytes) -> Versioned:
    """Return version and raw row. Raises UnknownSchemaError for a newer schema, ValueError for other bytes."""
    value = msgpack.unpackb(data)
    if not isinstance(value, list) or len(value) != 3 or not isinstance(value[0], int):  # noqa: PLR2004  the three fields named above
        msg = "a configuration value is [schema, version, row]"
        raise ValueError(msg)
    schema, version, row = value
    if schema > SCHEMA_VERSION:
        msg = f"schema {schema} is newer than {SCHEMA_VERSION}"
        raise UnknownSchemaError(msg)
    return Versioned(version, row)


def build(kind: type[R], row: object) -> R:
    """Return a record of `kind` from its decoded array. Extra fields of a newer writer are ignored."""
    made: R = _maker(kind)(row)
    return made


_MAKERS: dict[type[Any], Callable[[Any], Any]] = {}


def _maker(kind: type[Any]) -> Callable[[Any], Any]:
    """Return what turns a decoded array into a record of `kind`."""
    if kind not in _MAKERS:  # the record types are few and fixed: worked out once each
        _MAKERS[kind] = _new_maker(kind)
    return _MAKERS[kind]


def _new_maker(kind: type[Any]) -> Callable[[Any], Any]:
    """Make it. A settlement decodes 5,000 events of 20 records a second, so nothing is looked up twice."""
    size, defaults = len(kind._fields), tuple(kind._field_defaults.values())
    least = size - len(defaults)
    makers = [(place, _builder(hint)) for place, hint in enumerate(_hints(kind))]
    nested = [(place, make) for place, make in makers if make is not None]

    def make_record(row: Any) -> Any:
        if not isinstance(row, (list, tuple)):
            msg = f"{kind.__name__} is an array, got {type(row).__name__}"
            raise ValueError(msg)  # noqa: TRY004  one error type for bad bytes
        values, given = list(row[:size]), len(row)
        if given < least:
            msg = f"{kind.__name__} has at least {least} fields, got {given}"
            raise ValueError(msg)
        try:
            for place, make in nested:
                if place < given:
                    values[place] = make(values[place])
        except TypeError as error:
            msg = f"{kind.__name__}: {error}"
            raise ValueError(msg) from error
        if given < size:
            values += defaults[given - least :]
        return tuple.__new__(kind, values)

    return make_record


def _hints(kind: type[Any]) -> list[Any]:
    """Return the types of a record's fields. A compiled class has forgotten them: its build has noted them."""
    noted = _noted().get(f"{kind.__module__}.{kind.__qualname__}")
    if noted is None:
        return list(get_type_hints(kind).values())
    names = vars(sys.modules[kind.__module__])
    return [get_type_hints(SimpleNamespace(__annotations__={"field": told}), names)["field"] for told in noted]


@cache
def _noted() -> dict[str, list[str]]:
    path = Path(__file__).with_name(ANNOTATIONS)
    found: dict[str, list[str]] = json.loads(path.read_bytes()) if path.exists() else {}
    return found


def _builder(hint: Any) -> Callable[[Any], Any] | None:
    """Return what turns a decoded value into `hint`, or None where it already is one."""
    if isinstance(hint, UnionType):
        inner = next(_builder(part) for part in get_args(hint) if part is not NoneType)
        return (lambda value: None if value is None else inner(value)) if inner else None
    if get_origin(hint) is tuple:
        item = _builder(get_args(hint)[0])
        return (lambda value: tuple([item(part) for part in value])) if item else tuple
    if isinstance(hint, type) and issubclass(hint, tuple):
        return _maker(hint)
    return None
