"""What Redis gives to Lua and takes from it: values, `cmsgpack` and `struct`, as far as our libraries use them.

Held to the real Redis by test_shim.py. A number is a double on the Lua side; lupa hands whole ones over as int.
"""

from __future__ import annotations

import re
import struct
from typing import Any, Final

import msgpack
from lupa.lua51 import LuaRuntime, lua_type

from kemi.adapters.redis_client import FunctionFailed

EXACT: Final = 2**53
SIGNED_END: Final = 2**63
SIGN: Final = re.compile("[BHd]|c0")
TEXT: Final = "c0"


class Status(bytes):
    """A status reply, e.g. OK."""


class LuaValues:
    """Conversions for one Lua runtime."""

    def __init__(self, lua: LuaRuntime) -> None:
        self._lua = lua

    def install(self) -> None:
        """Give the runtime `cmsgpack` and `struct`."""
        lua, names = self._lua, self._lua.globals()
        names[b"cmsgpack"] = lua.table_from(
            {
                b"pack": lambda *values: b"".join(map(packed, values)),
                b"unpack": self._unpack,
                b"unpack_one": lambda data, offset=0: self._unpack_limit(data, 1, offset),
                b"unpack_limit": self._unpack_limit,
            }
        )
        names[b"struct"] = lua.table_from({b"pack": _struct_pack, b"unpack": _struct_unpack})

    def to_lua(self, reply: object) -> Any:
        """Return a reply of Redis as `redis.call` gives it: no value is false, a status a table."""
        if isinstance(reply, Status):
            return self._lua.table_from({b"ok": bytes(reply)})
        if isinstance(reply, list):
            return self._lua.table_from([self.to_lua(item) for item in reply])
        return False if reply is None else reply

    def _decoded(self, value: object) -> Any:
        if isinstance(value, list):
            return self._lua.table_from([self._decoded(item) for item in value])
        if isinstance(value, dict):
            return self._lua.table_from({self._decoded(key): self._decoded(item) for key, item in value.items()})
        if isinstance(value, bytes):
            raise TypeError("Bad data format in input.")  # the type `bin` is younger than Redis' library
        if isinstance(value, str):
            return value.encode("utf-8", "surrogateescape")
        if isinstance(value, int) and value >= SIGNED_END:
            value -= 2 * SIGNED_END  # as Redis reads it
        return float(value) if isinstance(value, int) and abs(value) > EXACT else value

    def _unpack(self, data: bytes) -> Any:
        return self._unpack_limit(data, 0, 0)[1:]

    def _unpack_limit(self, data: bytes, limit: int, offset: int = 0) -> tuple[Any, ...]:
        """Return where the rest begins, -1 where there is none, and the values. limit 0: all."""
        unpacker = msgpack.Unpacker(unicode_errors="surrogateescape", strict_map_key=False)
        unpacker.feed(data[offset:])
        values: list[Any] = []
        after = 0
        while offset + after < len(data) and (not limit or len(values) < limit):
            values.append(self._decoded(unpacker.unpack()))
            after = unpacker.tell()
        end = offset + after
        return (-1 if end >= len(data) else end, *values)


def from_lua(value: Any) -> Any:
    """Return what a function's result is on the wire: numbers cut to integers, false as no value, true as 1."""
    if value is None or value is False:
        return None
    if value is True:
        return 1
    if isinstance(value, float):
        return int(value)
    if lua_type(value) != "table":
        return value
    if value[b"err"] is not None:
        raise FunctionFailed(value[b"err"].decode())
    if value[b"ok"] is not None:
        return bytes(value[b"ok"])
    return [from_lua(value[at]) for at in range(1, len(value) + 1)]


def argument(value: Any) -> bytes:
    """Return an argument of `redis.call` as Redis gets it. Raises TypeError for what is no string and no number."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return b"%.17g" % value
    raise TypeError("Lua redis lib command arguments must be strings or integers")


def packed(value: Any) -> bytes:
    """Return `cmsgpack.pack` of a value: whole numbers as integers, a table with rising keys as an array."""
    if isinstance(value, float) and value.is_integer() and abs(value) < SIGNED_END:
        value = int(value)
    if isinstance(value, float):
        return bytes(msgpack.packb(value))
    if isinstance(value, bytes):
        return bytes(msgpack.packb(value.decode("utf-8", "surrogateescape"), unicode_errors="surrogateescape"))
    if lua_type(value) != "table":
        return bytes(msgpack.packb(value))
    count = len(value)
    if count == len(list(value.keys())):
        return _head(count, 0x90, b"\xdc") + b"".join(packed(value[at]) for at in range(1, count + 1))
    pairs = [(key, value[key]) for key in value.keys()]  # noqa: SIM118  a Lua table
    return _head(len(pairs), 0x80, b"\xde") + b"".join(packed(part) for pair in pairs for part in pair)


def _head(count: int, short: int, long: bytes) -> bytes:
    return bytes((short | count,)) if count < 16 else long + struct.pack(">H", count)


def _struct_pack(form: bytes, *values: Any) -> bytes:
    rest = iter(values)
    texts = (next(rest) if sign == TEXT else struct.pack(f"<{sign}", next(rest)) for sign in _signs(form))
    return b"".join(texts)


def _struct_unpack(form: bytes, data: bytes, at: int = 1) -> tuple[Any, ...]:
    """Return the values, then where the rest begins. A text is as long as the number before it says, which goes."""
    found: list[Any] = []
    start = at - 1
    for sign in _signs(form):
        size = found.pop() if sign == TEXT else struct.calcsize(f"<{sign}")
        if start + size > len(data):
            raise ValueError("data string too short")
        part = data[start : start + size]
        found.append(part if sign == TEXT else struct.unpack(f"<{sign}", part)[0])
        start += size
    return (*found, start + 1)


def _signs(form: bytes) -> list[str]:
    text = form.decode()
    signs = SIGN.findall(text.removeprefix("<"))
    if not text.startswith("<") or "".join(signs) != text[1:]:
        raise ValueError(f"struct format {text!r} is not simulated")
    return signs
