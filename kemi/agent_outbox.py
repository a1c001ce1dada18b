"""What the agent has to tell Redis, in order: from memory while Redis answers, through the spool while it does not.

Rule 1: nothing that must arrive leaves the memory before Redis has answered or the spool has it on disk.
Rule 2: while the spool is not empty, what is new waits behind it: operations of a call keep their order.
Rule 3: what may be asked again is never spooled: extensions, parts, adoptions. Nobody talks on a hold that was not
granted, and later it is worth nothing.
Rule 4: what became of a reservation is asked only while Redis is armed: one that is being made right may not know of it
yet, and nobody would ask again.
Rule 5: one entry never stops the others. What cannot be read, applied or followed up is counted and kept among the
dead letters; only Redis being away, or our own disk, holds everything up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Final, NamedTuple, Protocol, TypeVar

from kemi import codec
from kemi.adapters.redis_client import FunctionFailed, StoreUnavailable
from kemi.adapters.redis_operations import (
    Adopt,
    Answer,
    Extend,
    Invalid,
    Late,
    MoneyStatus,
    Note,
    Operation,
    Page,
    Part,
    Release,
    Reservation,
    Result,
    Settle,
    Unarmed,
    Unknown,
)
from kemi.adapters.spool import Spool
from kemi.agent_orders import Entry, LookUp, Outgoing, Recheck

BATCH_MAX: Final = 64  # operations per round trip: about 2 ms of Redis
ROUNDS_MAX: Final = 16  # round trips per turn, so that a turn stays far below a second
REST_NS: Final = 200_000_000  # after Redis took nothing; the answer marks have a second
LOOK_UP: Final = "adopt"  # spools of before know it by this name
RECHECK: Final = "recheck"
KINDS: Final[dict[str, type[Operation]]] = {
    "answer": Answer,
    "settle": Settle,
    "release": Release,
    "note": Note,
    "late": Late,
}
_NAMES: Final = {kind: name for name, kind in KINDS.items()}

Passing = Extend | Part | Adopt
Kind = TypeVar("Kind", Outgoing, Recheck)


class _Packed(NamedTuple):
    """An Outgoing as spooled."""

    operation: bytes
    pinned: bytes
    whole: bytes = b""
    funds: tuple[str, ...] = ()


class _Spooled(NamedTuple):
    """A line of a spool, inside another one."""

    kind: str
    body: bytes


class Money(Protocol):
    """What the agent needs of redis_funds.Funds."""

    def batch(self, operations: Sequence[Operation], /) -> list[Result]:
        """Apply operations in order. Raises StoreUnavailable where any answer is missing."""

    def describe(self, rid: str, /) -> Reservation | None:
        """Return a reservation. Raises StoreUnavailable."""

    def described(self, rids: Sequence[str], /) -> dict[str, Reservation]:
        """Return the reservations that Redis knows. Raises StoreUnavailable."""

    def status(self) -> MoneyStatus:
        """Return whether operations are taken. Raises StoreUnavailable."""

    def of_node(self, node: str, after: str, limit: int, /) -> Page:
        """Return some open reservations of a node. Raises StoreUnavailable."""


class Listener(Protocol):
    """Who learns what Redis said."""

    def answered(self, sent: Outgoing, result: Result) -> Iterable[Entry]:
        """Hear a result; return what follows from it."""

    def not_sent(self, operation: Passing) -> None:
        """Hear that an operation which is never spooled was not asked for; it is gone."""

    def asked(self, question: LookUp) -> Iterable[Entry]:
        """Ask Redis and return what follows from the answer. May raise StoreUnavailable."""

    def rechecked(self, sent: Outgoing, found: Reservation | None) -> Iterable[Entry]:
        """Hear what became of the reservation of an operation that Redis did not take; return what follows."""

    def buried(self, what: str) -> None:
        """Hear that something is kept among the dead letters, and why."""


class Outbox:
    """The agent's only way to the money functions. funds, spool: this node's."""

    def __init__(self, funds: Money, spool: Spool, listener: Listener) -> None:
        self._funds = funds
        self._spool = spool
        self._listener = listener
        self._fresh: deque[Entry] = deque()
        self._rest_until_ns = 0
        self.opseq = 0
        self.opseq_lost = 0
        self.invalid = 0
        self.spooled = 0
        self.last_error = ""

    def __len__(self) -> int:
        return len(self._fresh) + len(self._spool)

    @property
    def on_disk(self) -> int:
        """How many entries wait on disk."""
        return len(self._spool)

    def add(self, entries: Iterable[Entry]) -> None:
        """Take what has to be told."""
        self._fresh.extend(entries)

    def settlements(self) -> list[tuple[Outgoing, int]]:
        """Return the ends that wait and will charge something; what cannot be read is left out.

        With each, the highest sequence of its call that Redis may have answered: all that wait are above it.
        """
        found: list[Entry] = [*self._fresh]
        for kind, body in self._spool.head(len(self._spool)):
            with suppress(ValueError, TypeError):
                found.append(load(kind, body))
        waiting = [(each, each.operation) for each in found if isinstance(each, Outgoing)]
        known: dict[str, int] = {}
        for _, operation in waiting:
            if not isinstance(operation, Note):
                known[operation.rid] = min(known.get(operation.rid, operation.seq), operation.seq - 1)
        return [(sent, known[operation.rid]) for sent, operation in waiting if isinstance(operation, Settle)]

    def flush(self, now_ns: int) -> None:
        """Tell Redis all that it takes now; put the rest on disk. now_ns: monotonic.

        Raises OSError when the spool cannot be written; nothing is lost then, it is tried again with the next turn.
        """
        if now_ns < self._rest_until_ns:
            self._put_aside()
            return
        try:
            for _ in range(ROUNDS_MAX):
                if not self._one_round():
                    return
        except StoreUnavailable as error:
            self.last_error = str(error)
            self._rest_until_ns = now_ns + REST_NS
            self._put_aside()

    def export(self) -> list[tuple[str, bytes]]:
        """Return what waits in memory, for the code that takes over after a reload. The rest is asked again anyway."""
        return [dump(entry) for entry in self._fresh if _is_kept(entry)]

    def restore(self, exported: list[tuple[str, bytes]]) -> None:
        """Take over what `export` of the code before returned."""
        self._fresh.extend(load(kind, body) for kind, body in exported)

    def _one_round(self) -> bool:
        """Tell Redis the oldest entries. Return whether there were any."""
        if len(self._spool):
            done = self._replay()
        else:
            waiting = list(islice(self._fresh, BATCH_MAX))
            done = self._tell(waiting) if waiting else 0
            for _ in range(done):
                self._fresh.popleft()
        return done > 0

    def _replay(self) -> int:
        """Tell Redis the oldest entries on disk."""
        readable: list[Entry] = []
        for kind, body in self._spool.head(BATCH_MAX):
            try:
                readable.append(load(kind, body))
            except (ValueError, TypeError) as error:
                if readable:
                    break
                self.invalid += 1
                self._bury(kind, body, str(error))
                self._spool.drop(1)
                return 1
        before = len(self._fresh)
        done = self._tell(readable)
        follow = [self._fresh.pop() for _ in range(len(self._fresh) - before)]
        if follow:  # what was on disk stays there until all of it is told
            self._spool.append(dump(entry) for entry in reversed(follow))
        self._spool.drop(done)
        return done

    def _tell(self, waiting: list[Entry]) -> int:
        """Tell Redis the first of `waiting`; return how many are done. Raises StoreUnavailable when none is."""
        first = waiting[0]
        if not isinstance(first, Outgoing) and not self._funds.status().armed:
            raise StoreUnavailable("unarmed", maybe_applied=False)
        if isinstance(first, LookUp):
            with self._apart(first):
                self._fresh.extend(self._listener.asked(first))
            return 1
        if isinstance(first, Recheck):
            return self._recheck(_leading(waiting, Recheck))
        batch = _leading(waiting, Outgoing)
        try:
            results = self._funds.batch([entry.operation for entry in batch])
        except Exception as error:
            if len(batch) > 1 and _is_its_own(error):
                return self._tell([first])
            with self._apart(first):
                raise
            return 1
        for done, (sent, result) in enumerate(zip(batch, results, strict=True)):
            if isinstance(result, Unarmed):
                if done:
                    return done
                raise StoreUnavailable("unarmed", maybe_applied=False)
            with self._apart(sent):
                self._hear(sent, result)
        return len(batch)

    def _recheck(self, batch: list[Recheck]) -> int:
        """Ask what became of these reservations, in one round trip; return how many are done."""
        try:
            found = self._funds.described([each.sent.operation.rid for each in batch])
        except Exception as error:
            if len(batch) > 1 and _is_its_own(error):
                return self._recheck(batch[:1])
            with self._apart(batch[0]):
                raise
            return 1
        for each in batch:
            with self._apart(each):
                self._fresh.extend(self._listener.rechecked(each.sent, found.get(each.sent.operation.rid)))
        return len(batch)

    def _hear(self, sent: Outgoing, result: Result) -> None:
        if isinstance(result, Invalid):
            self.invalid += 1
            self.last_error = f"{type(sent.operation).__name__} {sent.operation.op_id}: {result.text}"
        else:
            self._watch(result.opseq)
        follow = list(self._listener.answered(sent, result))
        self._fresh.extend(follow)
        if not follow and _is_unheard(sent.operation, result):
            why = result.text if isinstance(result, Invalid) else "Redis does not know the reservation"
            self._bury(*dump(sent), f"{sent.operation.op_id}: {why}")

    @contextmanager
    def _apart(self, entry: Entry) -> Iterator[None]:
        """Keep what goes wrong with one entry from the others."""
        try:
            yield
        except Exception as error:
            if not _is_its_own(error):
                raise
            self.invalid += 1
            if _is_kept(entry):
                self._bury(*dump(entry), f"{type(error).__name__}: {error}")

    def _bury(self, kind: str, body: bytes, why: str) -> None:
        """Keep an entry among the dead letters. Raises OSError."""
        self._spool.bury(kind, body)
        self.last_error = why
        self._listener.buried(f"{kind}: {why}")

    def _watch(self, opseq: int) -> None:
        """Keep the highest operation number seen: a lower one means that Redis has lost acknowledged operations."""
        if opseq < self.opseq:
            self.opseq_lost = max(self.opseq_lost, self.opseq - opseq)
        self.opseq = max(self.opseq, opseq)

    def _put_aside(self) -> None:
        kept = [dump(entry) for entry in self._fresh if _is_kept(entry)]
        if kept:
            self._spool.append(kept)
            self.spooled += len(kept)
        gone = [entry for entry in self._fresh if not _is_kept(entry)]
        self._fresh.clear()
        for entry in gone:
            if isinstance(entry, Outgoing) and isinstance(entry.operation, Passing):
                self._listener.not_sent(entry.operation)


def _leading(waiting: list[Entry], kind: type[Kind]) -> list[Kind]:
    """Return the entries before the first of another kind."""
    batch: list[Kind] = []
    for entry in waiting:
        if not isinstance(entry, kind):
            break
        batch.append(entry)
    return batch


def _is_its_own(error: Exception) -> bool:
    """Return whether the entry is to blame: neither Redis, nor the disk."""
    if isinstance(error, FunctionFailed):
        return error.is_bug
    return not isinstance(error, StoreUnavailable | OSError)


def _is_unheard(operation: Operation, result: Result) -> bool:
    """Return whether Redis did not take the end of a call."""
    return isinstance(operation, Settle | Release | Note | Late) and isinstance(result, Invalid | Unknown)


def _is_kept(entry: Entry) -> bool:
    if isinstance(entry, Recheck):
        return _is_kept(entry.sent)
    return not (isinstance(entry, Outgoing) and isinstance(entry.operation, Passing))


def dump(entry: Entry) -> tuple[str, bytes]:
    """Return an entry as a spool keeps it."""
    if isinstance(entry, LookUp):
        return LOOK_UP, codec.pack(entry)
    if isinstance(entry, Recheck):
        return RECHECK, codec.pack(dump(entry.sent))
    packed = _Packed(codec.pack(entry.operation), entry.pinned, entry.whole, entry.funds)
    return _NAMES[type(entry.operation)], codec.pack(packed)


def load(kind: str, body: bytes) -> Entry:
    """Return the entry that `dump` wrote. Raises ValueError for anything else."""
    if kind == LOOK_UP:
        return codec.unpack(LookUp, body)
    if kind == RECHECK:
        return Recheck(_outgoing(*codec.unpack(_Spooled, body)))
    return _outgoing(kind, body)


def _outgoing(kind: str, body: bytes) -> Outgoing:
    if kind not in KINDS:
        raise ValueError(f"no entry of a spool: {kind!r}")
    packed = codec.unpack(_Packed, body)
    return Outgoing(codec.unpack(KINDS[kind], packed.operation), packed.pinned, packed.whole, packed.funds)
