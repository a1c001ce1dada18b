"""The stream of call events in Redis: reading as one of a group, taking over from the dead, setting free.

An entry's id orders it and says roughly when it was written, nothing else: ids repeat after a failover.
Every method raises StoreUnavailable; an entry is delivered again until it is acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgpack

from kemi import codec, keys
from kemi.adapters.redis_client import Argument, RedisClient
from kemi.records import CallEvent
from tools.settle.books import Poisoned
from tools.settle.postings import plan
from tools.settle.rows import Plan, Poison

GROUP: Final = "settle"
COUNT: Final = 2_000
FIELD: Final = b"e"
HEAD_BYTES: Final = 128  # kind, epoch, reservation and sequence of an event are within
FORGOTTEN_MS: Final = 3_600_000  # a consumer that has nothing pending and was not seen for so long is removed


class Entry(NamedTuple):
    """One entry of the stream. payload: msgpack of a CallEvent, or whatever stands there."""

    id: str
    payload: bytes


class Head(NamedTuple):
    """What an event begins with."""

    kind: str
    epoch: int
    rid: str
    seq: int


class Stream:
    """The event stream as one consumer of the group sees it. consumer: unique among living processes."""

    def __init__(self, client: RedisClient, consumer: str) -> None:
        self._client = client
        self._consumer = consumer

    def join(self) -> None:
        """Make the group, from the first entry on, where it does not exist."""
        if not self._group():
            self._client.execute("XGROUP", "CREATE", keys.EVENTS, GROUP, "0", "MKSTREAM")

    def fresh(self, block_ms: int) -> list[Entry]:
        """Return at most 2,000 entries that nobody got yet; waits up to `block_ms` for the first."""
        return told(self._client.execute(*self.ask_fresh(block_ms)))

    def ask_fresh(self, block_ms: int) -> tuple[Argument, ...]:
        """Return the command of `fresh`, to be run beside others; `told` reads its answer."""
        return self._asking(">", "BLOCK", block_ms)

    def pending(self) -> list[Entry]:
        """Return at most 2,000 of the oldest entries that this consumer got and did not acknowledge."""
        return told(self._client.execute(*self._asking("0")))

    def take_over(self, idle_ms: int) -> list[Entry]:
        """Return at most 2,000 entries that another consumer got and left alone for `idle_ms`; they are ours now."""
        reply = self._client.execute("XAUTOCLAIM", keys.EVENTS, GROUP, self._consumer, idle_ms, "0", "COUNT", COUNT)
        return _entries(reply[1])

    def acknowledge(self, entries: Sequence[Entry]) -> None:
        """Mark entries as done for the group."""
        if entries:
            self._client.execute("XACK", keys.EVENTS, GROUP, *(entry.id for entry in entries))

    def whole(self) -> Iterator[list[Entry]]:
        """Yield all entries there are, oldest first, 2,000 at a time, whatever the group has done with them."""
        return self._from("-")

    def waiting(self) -> Iterator[list[Entry]]:
        """Yield all entries that are not acknowledged, and those between them; all there are where no group is.

        What is not among them was acknowledged when this was called, so it is posted or set aside.
        """
        group = self._group()
        if not group:
            return self.whole()
        # In this order: what is delivered meanwhile comes after what was the last delivered.
        start = "(" + group[b"last-delivered-id"].decode()
        waiting = self._client.execute("XPENDING", keys.EVENTS, GROUP)
        return self._from(waiting[1].decode() if waiting[0] else start)

    def _from(self, start: str) -> Iterator[list[Entry]]:
        while True:
            entries = _entries(self._client.execute("XRANGE", keys.EVENTS, start, "+", "COUNT", COUNT))
            if entries:
                yield entries
            if len(entries) < COUNT:
                return
            start = f"({entries[-1].id}"

    def backlog(self) -> int:
        """Return how many entries wait for delivery or acknowledgement; 0 where the group does not exist."""
        group = self._group()
        return int(group.get(b"lag") or 0) + int(group.get(b"pending") or 0)

    def posted_before_ms(self) -> int:
        """Return a time of Redis: all that was written before it is acknowledged."""
        seconds, micros = self._client.execute("TIME")
        group = self._group()
        if not group:
            return 0
        waiting = self._client.execute("XPENDING", keys.EVENTS, GROUP)
        if waiting[0]:
            return _order(waiting[1].decode())[0]
        delivered = group[b"last-delivered-id"]
        is_read = group.get(b"lag") == 0 or delivered == self._last_id()
        return int(seconds) * 1000 + int(micros) // 1000 if is_read else _order(delivered.decode())[0]

    def trim(self, older_than_ms: int) -> int:
        """Remove entries that are acknowledged by the group and older than that Redis time; return how many."""
        group = self._group()
        if not group:
            return 0
        waiting = self._client.execute("XPENDING", keys.EVENTS, GROUP)
        done_before = (waiting[1] if waiting[0] else group[b"last-delivered-id"]).decode()
        limit = min(_order(done_before), (older_than_ms, 0))
        return int(self._client.execute("XTRIM", keys.EVENTS, "MINID", f"{limit[0]}-{limit[1]}"))

    def forget_the_dead(self) -> None:
        """Remove consumers that have nothing pending and were not seen for an hour: names hold process ids."""
        for row in self._client.execute("XINFO", "CONSUMERS", keys.EVENTS, GROUP):
            fields = _fields(row)
            if not fields[b"pending"] and fields[b"idle"] > FORGOTTEN_MS:
                self._client.execute("XGROUP", "DELCONSUMER", keys.EVENTS, GROUP, fields[b"name"])

    def _asking(self, after: str, *options: str | int) -> tuple[Argument, ...]:
        return ("XREADGROUP", "GROUP", GROUP, self._consumer, "COUNT", COUNT, *options, "STREAMS", keys.EVENTS, after)

    def _last_id(self) -> bytes:
        stream = _fields(self._client.execute("XINFO", "STREAM", keys.EVENTS))
        return bytes(stream[b"last-generated-id"])

    def _group(self) -> dict[bytes, Any]:
        if not self._client.execute("EXISTS", keys.EVENTS):
            return {}
        groups = (_fields(row) for row in self._client.execute("XINFO", "GROUPS", keys.EVENTS))
        return next((group for group in groups if group[b"name"] == GROUP.encode()), {})


def told(reply: Any) -> list[Entry]:
    """Return the entries that a reading was answered."""
    return _entries(reply[0][1]) if reply else []


def planned(entries: Sequence[Entry]) -> tuple[list[Plan], list[Poisoned]]:
    """Return what the entries leave in Postgres, and those that cannot be posted with their reasons."""
    plans: list[Plan] = []
    poisoned: list[Poisoned] = []
    for entry in entries:
        event = decoded(entry.payload)
        made = plan(event) if isinstance(event, CallEvent) else event
        if isinstance(made, Plan):
            plans.append(made)
        else:
            poisoned.append(Poisoned(entry.id, made.reason, entry.payload))
    return plans, poisoned


def decoded(payload: bytes) -> CallEvent | Poison:
    """Return the event of an entry, or what is wrong with its bytes. Never raises."""
    try:
        return codec.unpack(CallEvent, payload)
    except (ValueError, TypeError, RecursionError) as error:
        return Poison(f"the bytes are not a call event: {str(error) or type(error).__name__}")


def head(payload: bytes) -> Head | None:
    """Return the beginning of an event, without reading its call; None where it has none that can be stored."""
    reader = msgpack.Unpacker()
    reader.feed(payload[:HEAD_BYTES])
    try:
        reader.read_array_header()
        words = [reader.unpack() for _ in Head._fields]
    except (ValueError, msgpack.UnpackException):
        return None
    match words:
        case [str(kind), int(epoch), str(rid), int(seq)] if "\0" not in rid:  # which Postgres cannot even be asked for
            return Head(kind, epoch, rid, seq)
    return None


def _entries(rows: list[Any]) -> list[Entry]:
    """Return entries; one that was trimmed away while pending has no fields and comes as empty bytes."""
    return [Entry(entry_id.decode(), _fields(fields or []).get(FIELD, b"")) for entry_id, fields in rows]


def _fields(flat: list[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)
