"""Streams of a simulated Redis with their consumer groups: the commands that settlement uses, with undo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from kemi.adapters.redis_client import FunctionFailed
from tests.simulation.journal import Journal
from tests.simulation.keyspace import OK, Command
from tests.simulation.lua_values import Status

Id = tuple[int, int]
FIRST: Final[Id] = (0, 0)


class Pending(NamedTuple):
    """An entry that was delivered and not acknowledged."""

    consumer: bytes
    since_ms: int


class Group:
    """A consumer group. marks: `last` -> id of the last entry delivered. consumers: name -> last seen, ms."""

    def __init__(self) -> None:
        self.marks: dict[str, Id] = {"last": FIRST}
        self.pending: dict[Id, Pending] = {}
        self.consumers: dict[bytes, int] = {}


class Stream:
    """One stream. marks: `last` -> the highest id given out."""

    def __init__(self) -> None:
        self.marks: dict[str, Id] = {"last": FIRST}
        self.entries: dict[Id, list[bytes]] = {}
        self.groups: dict[bytes, Group] = {}

    def after(self, low: Id, count: int) -> list[Id]:
        """Return the ids above `low`, oldest first."""
        return sorted(each for each in self.entries if each > low)[:count]


class Streams:
    """All streams."""

    def __init__(self, journal: Journal, now_ms: Callable[[], int]) -> None:
        self._journal = journal
        self._now_ms = now_ms
        self.streams: dict[bytes, Stream] = {}

    def commands(self) -> Iterator[tuple[bytes, Command]]:
        """Yield name and implementation of every command."""
        for name in dir(self):
            if name.startswith("_do_"):
                yield name.removeprefix("_do_").upper().encode(), getattr(self, name)

    def clear(self) -> None:
        """Remove every stream, for good."""
        self.streams.clear()

    def _do_xadd(self, key: bytes, new: bytes, *fields: bytes) -> bytes:
        if new != b"*":
            raise NotImplementedError("XADD with an id")
        stream = self._stream(key)
        last = stream.marks["last"]
        now = (self._now_ms(), 0)
        made = now if now > last else (last[0], last[1] + 1)
        self._journal.put(stream.marks, "last", made)
        self._journal.put(stream.entries, made, list(fields))
        return _text(made)

    def _do_xrange(self, key: bytes, low: bytes, high: bytes, *options: bytes) -> list[Any]:
        if high != b"+" or options[:1] not in ((), (b"COUNT",)):
            raise NotImplementedError("XRANGE to an end")
        stream = self.streams.get(key)
        below = FIRST if low == b"-" else _id(low.removeprefix(b"("))
        if low != b"-" and not low.startswith(b"("):
            below = below[0], below[1] - 1
        if stream is None:
            return []
        count = int(options[1]) if options else len(stream.entries)
        return [[_text(each), stream.entries[each]] for each in stream.after(below, count)]

    def _do_xinfo(self, what: bytes, key: bytes, group: bytes = b"") -> list[Any]:
        if what == b"GROUPS":
            found = self.streams.get(key)
            if found is None:
                raise FunctionFailed("ERR no such key")
            return [self._described(name, each, found) for name, each in found.groups.items()]
        known = self._group(key, group)
        now = self._now_ms()
        return [
            [
                *(b"name", name, b"pending", sum(each.consumer == name for each in known.pending.values())),
                *(b"idle", max(0, now - seen_ms)),
            ]
            for name, seen_ms in known.consumers.items()
        ]

    def _do_xgroup(self, what: bytes, key: bytes, group: bytes, *words: bytes) -> Status | int:
        if what == b"DELCONSUMER":
            known = self._group(key, group)
            held = [each for each, pending in known.pending.items() if pending.consumer == words[0]]
            for each in held:
                self._journal.drop(known.pending, each)
            self._journal.drop(known.consumers, words[0])
            return len(held)
        if what != b"CREATE" or words != (b"0", b"MKSTREAM"):
            raise NotImplementedError(f"XGROUP {what!r} {words!r}")
        if group in self._stream(key).groups:
            raise FunctionFailed("BUSYGROUP Consumer Group name already exists")
        self._journal.put(self._stream(key).groups, group, Group())
        return OK

    def _do_xreadgroup(self, *words: bytes) -> list[Any] | None:
        _, name, consumer, _, count, *options, _, key, after = words
        if options[:1] not in ([], [b"BLOCK"]):
            raise NotImplementedError(f"XREADGROUP {options!r}")
        stream, group = self._stream_of(key, name), self._group(key, name)
        self._journal.put(group.consumers, consumer, self._now_ms())
        if after != b">":
            mine = sorted(each for each, pending in group.pending.items() if pending.consumer == consumer)
            return [[key, [[_text(each), stream.entries.get(each)] for each in mine[: int(count)]]]]
        found = stream.after(group.marks["last"], int(count))
        for each in found:
            self._journal.put(group.pending, each, Pending(consumer, self._now_ms()))
            self._journal.put(group.marks, "last", each)
        return [[key, [[_text(each), stream.entries[each]] for each in found]]] if found else None

    def _do_xautoclaim(self, key: bytes, name: bytes, consumer: bytes, idle: bytes, *words: bytes) -> list[Any]:
        start, _, count = words
        stream, group = self._stream_of(key, name), self._group(key, name)
        now = self._now_ms()
        self._journal.put(group.consumers, consumer, now)
        due = sorted(
            each
            for each, pending in group.pending.items()
            if each >= _id(start) and now - pending.since_ms >= int(idle)
        )[: int(count)]
        gone = [each for each in due if each not in stream.entries]
        for each in gone:
            self._journal.drop(group.pending, each)
        kept = [each for each in due if each in stream.entries]
        for each in kept:
            self._journal.put(group.pending, each, Pending(consumer, now))
        return [b"0-0", [[_text(each), stream.entries[each]] for each in kept], [_text(each) for each in gone]]

    def _do_xack(self, key: bytes, name: bytes, *ids: bytes) -> int:
        stream = self.streams.get(key)
        group = stream.groups.get(name) if stream else None
        return sum(self._journal.drop(group.pending, _id(each)) for each in ids) if group else 0

    def _do_xpending(self, key: bytes, name: bytes) -> list[Any]:
        group = self._group(key, name)
        ids = sorted(group.pending)
        if not ids:
            return [0, None, None, None]
        holders = [pending.consumer for pending in group.pending.values()]
        shares = [[each, b"%d" % holders.count(each)] for each in sorted(set(holders))]
        return [len(ids), _text(ids[0]), _text(ids[-1]), shares]

    def _do_xtrim(self, key: bytes, how: bytes, low: bytes) -> int:
        if how != b"MINID":
            raise NotImplementedError(f"XTRIM {how!r}")
        stream = self.streams.get(key)
        old = [each for each in stream.entries if each < _id(low)] if stream else []
        return sum(self._journal.drop(stream.entries, each) for each in old) if stream else 0

    def _described(self, name: bytes, group: Group, stream: Stream) -> list[Any]:
        return [
            *(b"name", name, b"pending", len(group.pending)),
            *(b"last-delivered-id", _text(group.marks["last"])),
            *(b"lag", len(stream.after(group.marks["last"], len(stream.entries)))),
        ]

    def _stream(self, key: bytes) -> Stream:
        if key not in self.streams:
            self._journal.put(self.streams, key, Stream())
        return self.streams[key]

    def _stream_of(self, key: bytes, group: bytes) -> Stream:
        self._group(key, group)
        return self.streams[key]

    def _group(self, key: bytes, name: bytes) -> Group:
        stream = self.streams.get(key)
        if stream is None or name not in stream.groups:
            raise FunctionFailed(f"NOGROUP No such key '{key.decode()}' or consumer group '{name.decode()}'")
        return stream.groups[name]


def _id(text: bytes) -> Id:
    milliseconds, _, count = text.partition(b"-")
    return int(milliseconds), int(count or 0)


def _text(each: Id) -> bytes:
    return b"%d-%d" % each
