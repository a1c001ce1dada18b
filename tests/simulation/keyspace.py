"""Keys of a simulated Redis: strings, hashes and sorted sets, the commands that Tandem uses, with undo.

Held to the real Redis by test_shim.py. Nothing here is tolerant: an option that is not simulated raises.
"""

from __future__ import annotations

import math
from binascii import crc32
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any, Final

from tests.simulation.journal import Journal
from tests.simulation.lua_values import Status

OK: Final = Status(b"OK")
Command = Callable[..., Any]


class Keyspace:
    """All keys but streams. now_ms: the clock of Redis. journal: history of all changes."""

    def __init__(self, journal: Journal, now_ms: Callable[[], int]) -> None:
        self.journal = journal
        self.now_ms = now_ms
        self.strings: dict[bytes, bytes] = {}
        self.hashes: dict[bytes, dict[bytes, bytes]] = {}
        self.sorted_sets: dict[bytes, dict[bytes, float]] = {}
        self._expiry_ms: dict[bytes, int] = {}

    def commands(self) -> Iterator[tuple[bytes, Command]]:
        """Yield name and implementation of every command."""
        for name in dir(self):
            if name.startswith("_do_"):
                yield name.removeprefix("_do_").upper().encode(), getattr(self, name)

    def take(self, other: Keyspace) -> None:
        """Become what `other` is now."""
        self.strings, self.hashes = dict(other.strings), deepcopy(other.hashes)
        self.sorted_sets, self._expiry_ms = deepcopy(other.sorted_sets), dict(other._expiry_ms)

    def clear(self) -> None:
        """Remove every key, for good."""
        for container in (self.strings, self.hashes, self.sorted_sets, self._expiry_ms):
            container.clear()

    def _do_get(self, key: bytes) -> bytes | None:
        self._expire(key)
        return self.strings.get(key)

    def _do_mget(self, *keys: bytes) -> list[bytes | None]:
        return [self._do_get(key) for key in keys]

    def _do_set(self, key: bytes, value: bytes) -> Status:
        self.journal.put(self.strings, key, value)
        self.journal.drop(self._expiry_ms, key)
        return OK

    def _do_mset(self, *pairs: bytes) -> Status:
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            self._do_set(key, value)
        return OK

    def _do_del(self, *keys: bytes) -> int:
        return sum(self._remove(key) for key in keys)

    def _do_unlink(self, *keys: bytes) -> int:
        return self._do_del(*keys)

    def _do_exists(self, *keys: bytes) -> int:
        return sum(self._has(key) for key in keys)

    def _do_pexpire(self, key: bytes, milliseconds: bytes) -> int:
        if not self._has(key):
            return 0
        self.journal.put(self._expiry_ms, key, self.now_ms() + int(milliseconds))
        return 1

    def _do_scan(self, cursor: bytes, *options: bytes) -> list[Any]:
        """All names at once: a guarantee that is within what SCAN promises."""
        words = dict(zip(options[::2], options[1::2], strict=True))
        pattern = words[b"MATCH"].replace(b"[^", b"[!")
        names = [*self.strings, *self.hashes, *self.sorted_sets] if cursor == b"0" else []
        return [b"0", [name for name in names if fnmatchcase(name, pattern) and self._has(name)]]

    def _do_hget(self, key: bytes, field: bytes) -> bytes | None:
        return self.hashes.get(key, {}).get(field)

    def _do_hmget(self, key: bytes, *fields: bytes) -> list[bytes | None]:
        return [self._do_hget(key, field) for field in fields]

    def _do_hgetall(self, key: bytes) -> list[bytes]:
        return [part for pair in self.hashes.get(key, {}).items() for part in pair]

    def _do_hset(self, key: bytes, *pairs: bytes) -> int:
        fields = self._container(self.hashes, key)
        new = sum(field not in fields for field in dict.fromkeys(pairs[::2]))
        for field, value in zip(pairs[::2], pairs[1::2], strict=True):
            self.journal.put(fields, field, value)
        return new

    def _do_zadd(self, key: bytes, *words: bytes) -> int:
        members, is_rising = self._container(self.sorted_sets, key), words[0] == b"GT"
        pairs = words[is_rising:]
        added = 0
        for score, member in zip(map(float, pairs[::2]), pairs[1::2], strict=True):
            added += member not in members
            if not is_rising or score > members.get(member, -math.inf):
                self.journal.put(members, member, score)
        return added

    def _do_zrem(self, key: bytes, *members: bytes) -> int:
        found = self.sorted_sets.get(key, {})
        removed = sum(self.journal.drop(found, member) for member in members)
        self._tidy(self.sorted_sets, key)
        return removed

    def _do_zscore(self, key: bytes, member: bytes) -> bytes | None:
        score = self.sorted_sets.get(key, {}).get(member)
        return None if score is None else number(score)

    def _do_zcard(self, key: bytes) -> int:
        return len(self.sorted_sets.get(key, {}))

    def _do_zcount(self, key: bytes, low: bytes, high: bytes) -> int:
        return len(self._between(key, low, high))

    def _do_zpopmin(self, key: bytes, count: bytes) -> list[bytes]:
        gone = self._ordered(key)[: int(count)]
        self._do_zrem(key, *(member for member, _ in gone))
        return [part for member, score in gone for part in (member, number(score))]

    def _do_zrange(self, key: bytes, first: bytes, last: bytes, *options: bytes) -> list[bytes]:
        stop = int(last) + 1 if int(last) >= 0 else len(self._ordered(key)) + int(last) + 1
        found = self._ordered(key)[int(first) : stop]
        if options == (b"WITHSCORES",):
            return [part for member, score in found for part in (member, number(score))]
        return [member for member, _ in found]

    def _do_zrangebyscore(self, key: bytes, low: bytes, high: bytes, *limit: bytes) -> list[bytes]:
        found = self._between(key, low, high)
        if limit:
            _, offset, count = limit
            found = found[int(offset) : int(offset) + int(count)]
        return found

    def _do_zscan(self, key: bytes, cursor: bytes, *options: bytes) -> list[Any]:
        """Walk in the order of a hash, so that who stays is met, whoever comes and goes."""
        words = dict(zip(options[::2], options[1::2], strict=True))
        members = self.sorted_sets.get(key, {})
        places = sorted((crc32(member) or 1, member) for member in members)
        left = [each for each in places if each[0] >= int(cursor)]
        page = left[: int(words[b"COUNT"])]
        page += [each for each in left[len(page) :] if page and each[0] == page[-1][0]]
        after = left[len(page)][0] if len(page) < len(left) else 0
        return [b"%d" % after, [part for _, member in page for part in (member, number(members[member]))]]

    def _between(self, key: bytes, low: bytes, high: bytes) -> list[bytes]:
        above, below = _bound(low), _bound(high)
        return [
            member
            for member, score in self._ordered(key)
            if (above[0] < score or (above[0] == score and above[1]))
            and (score < below[0] or (below[0] == score and below[1]))
        ]

    def _ordered(self, key: bytes) -> list[tuple[bytes, float]]:
        return sorted(self.sorted_sets.get(key, {}).items(), key=lambda pair: (pair[1], pair[0]))

    def _container(self, all_: dict[bytes, dict[bytes, Any]], key: bytes) -> dict[bytes, Any]:
        if key not in all_:
            self.journal.put(all_, key, {})
        return all_[key]

    def _tidy(self, all_: dict[bytes, dict[bytes, Any]], key: bytes) -> None:
        if key in all_ and not all_[key]:
            self.journal.drop(all_, key)

    def _containers(self) -> Iterable[dict[bytes, Any]]:
        return self.strings, self.hashes, self.sorted_sets

    def _has(self, key: bytes) -> bool:
        self._expire(key)
        return any(key in container for container in self._containers())

    def _remove(self, key: bytes) -> bool:
        return self._has(key) and self._forget(key)

    def _forget(self, key: bytes) -> bool:
        self.journal.drop(self._expiry_ms, key)
        return sum(self.journal.drop(container, key) for container in self._containers()) > 0

    def _expire(self, key: bytes) -> None:
        if key in self._expiry_ms and self._expiry_ms[key] <= self.now_ms():
            self._forget(key)


def number(score: float) -> bytes:
    """Return a score as Redis writes it."""
    return b"%d" % int(score) if score.is_integer() else b"%.17g" % score


def _bound(text: bytes) -> tuple[float, bool]:
    """Return the bound, and whether it counts itself."""
    return (float(text[1:]), False) if text.startswith(b"(") else (float(text), True)
