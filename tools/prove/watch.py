"""What Redis did, read from its own log while it did it: the only witness that sees every single grant.

Rule 1: no grant makes a fund's available money negative, nor passes its channels, nor is made while it is suspended.
Each write of a fund's state is compared with the terms that stood when it was made; the log has both, in one order.
Rule 2: what a cut took away never happened: events behind the cut are taken back.

Money that is restored before Redis is armed is no grant; arming and restoring show in the log by the epoch's key.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgpack

from kemi import codec, keys
from kemi.adapters.redis_operations import FUND_STATE, FundTerms
from kemi.records import Status
from tools.prove.aof import Command, Words

STATE: Final = keys.fund_state("").encode()
TERMS: Final = keys.FUND_TERMS_PREFIX.encode()
EPOCH: Final = keys.EPOCH.encode()
EVENTS: Final = keys.EVENTS.encode()
UNLIMITED: Final = -1
ENDS: Final = frozenset({"settle", "release"})
CHARGED, HELD, CHANNELS = 1, 2, 3  # places in FUND_STATE


class Breach(NamedTuple):
    """A grant that a fund's terms forbid. micros: how far below zero it went; 0 = it was no money."""

    fund: str
    micros: int
    what: str


class Event(NamedTuple):
    """An event of the stream. offset: its place in the newest file. numbers: fund -> number of the event."""

    offset: int
    rid: str
    seq: int
    is_end: bool
    numbers: tuple[tuple[str, int], ...]


class Watch:
    """Follows the log. breaches: in their order. ended: rid -> sequences of the events that ended it.

    cut, cut_numbers: of events that a cut took away, rid -> sequences of ends, and fund -> event numbers.
    """

    def __init__(self) -> None:
        self.breaches: list[Breach] = []
        self.ended: dict[str, list[int]] = {}
        self.cut: dict[str, list[int]] = {}
        self.cut_numbers: dict[str, set[int]] = {}
        self.grants = 0
        self._used: dict[bytes, tuple[float, float]] = {}
        self._terms: dict[bytes, FundTerms] = {}
        self._armed = False
        self._transaction: list[Words] | None = None
        self._recent: list[Event] = []

    def take(self, fresh: Iterable[Command]) -> int:
        """Take in commands; return where the last whole transaction ends, 0 where none does."""
        end = 0
        for words, at in fresh:
            verb = words[0].upper()
            if verb == b"MULTI":
                self._transaction = []
            elif verb == b"EXEC":
                for each in self._transaction or ():
                    self._apply(each, at)
                self._transaction = None
                end = at
            elif self._transaction is not None:
                self._transaction.append(words)
            else:
                self._apply(words, at)
                end = at
        return end

    def rolled_back(self, offset: int) -> None:
        """Take back what stands behind `offset` of the newest file; begin anew with what Redis has read."""
        for event in self._recent:
            if event.offset > offset:
                if event.is_end:
                    self.ended[event.rid].remove(event.seq)
                    self.cut.setdefault(event.rid, []).append(event.seq)
                for fund, number in event.numbers:
                    self.cut_numbers.setdefault(fund, set()).add(number)
        self._recent.clear()
        self._transaction = None
        self._armed = False

    def new_file(self) -> None:
        """Hear that Redis has begun another file: what stands in the old one stays."""
        self._recent.clear()

    def stands(self, states: dict[str, bytes | None], terms: dict[str, bytes | None]) -> None:
        """Take what Redis holds at the place from which the log is read on. Both: fund -> bytes."""
        self._used = {fund.encode(): _used(state) for fund, state in states.items() if state}
        self._terms = {fund.encode(): codec.unpack(FundTerms, row) for fund, row in terms.items() if row}

    def _apply(self, words: Words, at: int) -> None:
        match words[0].upper():
            case b"MSET":
                for name, value in zip(words[1::2], words[2::2], strict=True):
                    self._set(name, value)
            case b"SET":
                self._set(words[1], words[2])
            case b"DEL" | b"UNLINK":
                for name in words[1:]:
                    self._gone(name)
            case b"XADD" if words[1] == EVENTS:
                self._event(words[-1], at)
            case b"FLUSHALL":
                self._used.clear()
                self._terms.clear()
                self._armed = False

    def _set(self, name: bytes, value: bytes) -> None:
        if name.startswith(STATE):
            self._state(name[len(STATE) :], value)
        elif name.startswith(TERMS):
            self._terms[name[len(TERMS) :]] = codec.unpack(FundTerms, value)
        elif name == EPOCH:
            self._armed = True

    def _gone(self, name: bytes) -> None:
        if name == EPOCH:
            self._armed = False
        elif name.startswith(TERMS):
            self._terms.pop(name[len(TERMS) :], None)
        elif name.startswith(STATE):
            self._used.pop(name[len(STATE) :], None)

    def _state(self, fund: bytes, packed: bytes) -> None:
        """Compare a fund's new state with the one before: more used is a grant, and a grant must be paid for."""
        used, channels = _used(packed)
        used_before, channels_before = self._used.get(fund, (0.0, 0.0))
        self._used[fund] = used, channels
        if not self._armed or (used <= used_before and channels <= channels_before):
            return
        self.grants += 1
        terms = self._terms.get(fund)
        if terms is None and keys.counts_only(fund.decode()):
            return  # a line or user without terms has no limit
        if terms is None or terms.status != Status.ACTIVE:
            self.breaches.append(Breach(fund.decode(), 0, "granted though it is not active"))
            return
        left = terms.cred_micros + terms.credit_limit_micros - used
        if used > used_before and terms.credit_limit_micros != UNLIMITED and left < 0:
            self.breaches.append(Breach(fund.decode(), int(-left), "granted more than there is"))
        if terms.channels_max and channels_before < channels > terms.channels_max:
            self.breaches.append(Breach(fund.decode(), 0, f"{channels:.0f} channels of {terms.channels_max}"))

    def _event(self, payload: bytes, at: int) -> None:
        row: Any = msgpack.unpackb(payload)
        kind, _epoch, rid, seq, postings = row[:5]
        if kind in ENDS:
            self.ended.setdefault(rid, []).append(seq)
        self._recent.append(Event(at, rid, seq, kind in ENDS, tuple((fund, n) for fund, _, n, _ in postings)))


def _used(state: bytes) -> tuple[float, float]:
    """Return what a fund has charged and holds together, and its channels."""
    fields = FUND_STATE.unpack_from(state)
    return fields[CHARGED] + fields[HELD], fields[CHANNELS]
