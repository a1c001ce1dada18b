"""What the NOC has ordered for all nodes, in Redis: functions/measures.lua from Python.

Rule 1: a measure ends by itself, by Redis' clock; who reads says what time it is.
Rule 2: what cannot be read, since a newer release wrote it, is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from kemi import keys
from kemi.adapters.redis_client import Reply
from kemi.adapters.redis_place import Argument
from kemi.core.measures import Quarantine, measures

QUARANTINE: Final = "quarantine"
TRACE: Final = "trace"
LOG_LEVEL: Final = "loglevel"
FLUSH: Final = "flush"
CACHES, RECORD = "caches", "record"
"""What an order FLUSH is about: all that workers keep, or one record."""
MOST: Final = {QUARANTINE: 100, TRACE: 20, LOG_LEVEL: 100, FLUSH: 50}
"""How many measures of an order may be in force. Workers get them as one value of Kamailio's shared memory."""
AT_ONCE: Final = 500
MS: Final = 1_000
BEGINNING: Final = "0-0"
ACTS: Final = ("begin", "end")


class Reader(Protocol):
    """What is needed of redis_client.RedisClient to read. Raises StoreUnavailable."""

    def execute(self, *words: Argument) -> Reply:
        """Run one command."""


class Store(Reader, Protocol):
    """And to write."""

    def fcall(self, name: str, keys: Sequence[str], args: Sequence[Argument], /) -> Reply:
        """Call a function."""


class What(NamedTuple):
    """What a measure is about. order: one of MOST. kind, value: `account` `7`, `prefix` `4930`, `node` `n1`."""

    order: str
    kind: str
    value: str


class Told(NamedTuple):
    """Who ordered it, at which node, and why. level: of the log, of an order LOG_LEVEL."""

    who: str
    node: str
    why: str = ""
    level: int = 0


class Measure(NamedTuple):
    """A measure as it stands in Redis. until_ms, at_ms: Unix ms of its end and its beginning, by Redis' clock."""

    what: What
    until_ms: int
    at_ms: int
    told: Told


class Entry(NamedTuple):
    """What was ordered, as the log has it. act: begin or end, "" = nobody can read it. until_ms: as in Measure."""

    id: str
    act: str
    what: What
    until_ms: int
    told: Told


def put(store: Store, what: What, for_s: int, told: Told) -> int:
    """Begin a measure, or let one last longer or shorter; return the Unix ms of its end, 0 = there are too many."""
    most = MOST[what.order] + (what.kind == CACHES)  # there is one such; all may be forgotten always
    words = (*what, for_s * MS, most, json.dumps(told._asdict()))
    return int(store.fcall("tandem_measure_put_1", (), words))


def release(store: Store, what: What, told: Told) -> bool:
    """End a measure before its time; return whether there was one."""
    return bool(store.fcall("tandem_measure_release_1", (), (*what, json.dumps(told._asdict()))))


def clock_ms(store: Reader) -> int:
    """Return Redis' time, Unix ms: what measures end by."""
    seconds, micros = store.execute("TIME")
    return int(seconds) * MS + int(micros) // MS


def in_force(store: Reader, now_ms: int) -> list[Measure]:
    """Return the measures that are not over. now_ms: as by clock_ms."""
    flat = store.execute("HGETALL", keys.MEASURES)
    found = map(_measure, flat[::2], flat[1::2])
    return sorted(each for each in found if each is not None and each.until_ms > now_ms)


def pairs(found: Iterable[Measure]) -> list[tuple[str, str]]:
    """Return (kind, value) of what workers must know."""
    return [each.what[1:] for each in found if each.what.order in (QUARANTINE, TRACE)]


def quarantine(store: Reader, now_ms: int) -> Quarantine:
    """Return what is in quarantine, as a decision looks at it."""
    return measures(pairs(in_force(store, now_ms))).quarantine


def entries(store: Reader, after: str) -> list[Entry]:
    """Return what was ordered after an entry, oldest first, at most AT_ONCE; one that cannot be read has no act."""
    found = store.execute("XRANGE", keys.MEASURE_LOG, f"({after}", "+", "COUNT", AT_ONCE)
    return [_entry(at.decode(), words) for at, words in found]


def newest(store: Reader) -> str:
    """Return the last entry's id, BEGINNING where there is none."""
    found = store.execute("XREVRANGE", keys.MEASURE_LOG, "+", "-", "COUNT", 1)
    return str(found[0][0].decode()) if found else BEGINNING


def told_of(text: str) -> Told:
    """Return who ordered a measure. Raises ValueError."""
    row = json.loads(text)
    if not isinstance(row, dict):
        raise ValueError(f"{text[:64]!r} is no JSON object")  # noqa: TRY004  wrong data, not a wrong type
    who, node, why = (str(row.get(name, "")) for name in ("who", "node", "why"))
    return Told(who, node, why, int(row.get("level", 0)))


def _entry(at: str, words: Sequence[bytes]) -> Entry:
    try:
        row = {name.decode(): value.decode() for name, value in zip(words[::2], words[1::2], strict=True)}
        act = row["act"] if row["act"] in ACTS else ""
        what = What(row["order"], row["kind"], row["value"])
        return Entry(at, act, what, int(row["until"]), told_of(row["told"]))
    except (ValueError, TypeError, KeyError):
        return Entry(at, "", What("", "", ""), 0, Told("", ""))


def _measure(field: bytes, value: bytes) -> Measure | None:
    try:
        order, kind, of = field.decode().split(" ", 2)
        until_ms, at_ms, told = value.decode().split(" ", 2)
        return Measure(What(order, kind, of), int(until_ms), int(at_ms), told_of(told)) if order in MOST else None
    except (ValueError, TypeError):
        return None
