"""What is stored in the simulated Redis, held against the reference model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgpack

from kemi import codec, keys
from kemi.adapters.redis_operations import FundState, FundTerms, Spent
from kemi.records import CallEvent
from tests.simulation.ledger_model import (
    AMOUNT_MAX,
    CLOSED_MS,
    NO_LIMIT,
    Account,
    Answered,
    Ledger,
    Transfer,
    has_caps,
    shortages,
)
from tests.simulation.redis_shim import RedisShim
from tests.simulation.requests import Request
from tests.simulation.stored import Stored
from tests.simulation.violation import Violation, require

SWEEP: Final = b":sweep:"  # two sweepers may see one call differently; the first one ends it
FIRST_TERMS: Final = 6  # of the first release
EventName = tuple[int, str, int, str]


class Surroundings(Protocol):
    """What the oracle knows of the world. now_us: time as it really goes, which no clock step moves."""

    now_us: int

    def check_armed(self, oracle: Any) -> None:
        """Compare a Redis, as its judge knows it, with the books. Raises Violation."""

    def carried_by(self, node: str) -> frozenset[str]:
        """Return the calls with a hold that a node carries."""

    def check_restored(self, fund: str, state: FundState) -> None:
        """Compare the spend that a fund begins with with the books. Raises Violation."""

    def may_sweep_early(self, set_us: int) -> bool:
        """Whether nobody could know how long ago a lease was set."""


class Comparing:
    """The state of the judge of one Redis, and what is compared after each operation.

    epoch: for which Redis was armed, None = not since its start. events: every event that ever was, also lost ones.
    told: those that Redis has not lost. applied: how often each kind of operation was applied, so that a run can say
    what it has tried. is_first_release: the functions know no sides, windows and parts.
    """

    def __init__(self, redis: RedisShim, surroundings: Surroundings) -> None:
        """Judge `redis` in the world around it."""
        self._surroundings = surroundings
        self.redis = redis
        self.stored = Stored(redis)
        self.ledger = Ledger(redis.journal, self.terms)
        self.epoch: int | None = None
        self.events: dict[EventName, CallEvent] = {}
        self.told: dict[EventName, None] = {}
        self.applied: dict[str, int] = {}
        self.is_first_release = False
        self._now_max_ms = 0

    def terms(self, fund: str) -> FundTerms | None:
        """Return a fund's terms as far as the functions read them."""
        terms = self.stored.terms(fund)
        if self.is_first_release:
            return FundTerms(*terms[:FIRST_TERMS]) if terms else None
        return NO_LIMIT if terms is None and keys.counts_only(fund) else terms

    @property
    def is_armed(self) -> bool:
        """Whether Redis has to take operations: armed since its start, and for the epoch that the key says."""
        return self.epoch is not None and self.stored.epoch == self.epoch

    def _unarmed(self, request: Request, reply: Any) -> bool:
        """Return whether operations are refused now; then this one has to be."""
        require(
            "armed",
            self.is_armed == (reply[1] != b"UNARMED"),
            f"{request.kind} {request.op_id!r}: {reply[1]!r}, armed for {self.epoch}",
        )
        return not self.is_armed

    def _applied(self, request: Request, reply: Any, granted_s: int | None, *, valid: bool) -> bool:
        """Return whether the operation had to be applied, and was."""
        code = reply[1].decode()
        expected = "APPLIED" if valid else "INVALID"
        require("validated", code == expected, f"{request.kind} {request.op_id!r}: {reply[1:]}")
        if valid and granted_s is not None:
            require("granted", reply[3] == granted_s, f"{request.op_id!r}: {reply[3]} s of {granted_s}")
        if valid:
            self._count(request.kind)
        return valid

    def _largest(
        self, funds: tuple[str, ...], rows: tuple[tuple[int, ...], ...], held: tuple[int, ...]
    ) -> tuple[int, ...] | None:
        """Return the largest row that every fund can pay on top of what it holds, None when there is none."""
        return next((row for row in reversed(rows) if not any(self._short(funds, row, held))), None)

    def _short(self, funds: tuple[str, ...], row: tuple[int, ...], held: tuple[int, ...]) -> list[set[str]]:
        """Return per fund why it cannot pay the row."""
        now_ms = self.redis.now_ms()
        return [
            shortages(self.ledger.account(fund), self.terms(fund), now - then, now_ms)
            for fund, now, then in zip(funds, row[1:], held, strict=True)
        ]

    def _check_row(self, request: Request, row: tuple[int, ...] | None, granted_s: int) -> None:
        what = f"{request.kind} {request.op_id.decode()}: {granted_s} s"
        require("overdraft", row is not None and granted_s <= row[0], f"{what}, payable is {row and row[0]}")
        require("largest", row is not None and granted_s == row[0], f"{what}, payable is {row and row[0]}")

    def _keep(self, transfer: Transfer, *, is_moved: bool = True) -> None:
        """Keep a pending transfer, after its lease was moved, or was not."""
        if is_moved:
            left_ms = transfer.lease_ms - self.redis.now_ms()
            now_us = self._surroundings.now_us
            transfer = transfer._replace(set_us=now_us, until_us=now_us + left_ms * 1000)
        self.ledger.store(transfer)
        found = self.stored.leases.get(transfer.rid.encode())
        require("lease", found == transfer.lease_ms, f"{transfer.rid}: lease {found}, not {transfer.lease_ms}")

    def _bury(self, request: Request, state: str) -> None:
        answers = (Answered(request.op_id, request.kind, 0),)
        forget_ms = self.redis.now_ms() + CLOSED_MS
        buried = Transfer(request.rid, state, request.seq, answers=answers, forget_ms=forget_ms)
        self.ledger.store(buried)
        self._check_gone(buried)
        self._count(state)

    def _event(
        self, kind: str, request: Request, moved: Sequence[Sequence[Any]], call: bytes, before_s: int = 0
    ) -> CallEvent:
        call_, end = msgpack.unpackb(call), msgpack.unpackb(request.end)
        row: Any = [kind, self.epoch, request.rid, request.seq, moved, call_, end, before_s]
        return codec.build(CallEvent, row)

    def _check_gone(self, transfer: Transfer) -> None:
        leases = self.stored.leases
        require("lease", transfer.rid.encode() not in leases, f"{transfer.rid} is {transfer.state} and has a lease")

    def _check_opseq(self, request: Request, reply: Any, expected: int) -> None:
        found = self.stored.opseq
        require("opseq", found == expected, f"{request.kind} {reply[1]!r}: {found} operations, not {expected}")
        if reply[1] != b"INVALID":
            require("opseq", reply[2] == found, f"{request.kind} answered opseq {reply[2]} of {found}")

    def _check_event(self, before: int, expected: CallEvent | None) -> None:
        added = list(self.stored.events().values())[before:]
        found = [codec.unpack(CallEvent, fields[1]) for fields in added]
        require("event", found == ([expected] if expected else []), f"told {found}, not {expected}")
        if expected is not None:
            name = (expected.epoch, expected.rid, expected.seq, expected.kind)
            self.events[name] = expected
            self.redis.journal.put(self.told, name, None)

    def _check_sums(self) -> None:
        """Compare every fund's stored sums with the model: I1, I2, and that no balance went below zero by a grant."""
        for fund, account in self.ledger.accounts.items():
            found = self.stored.sums(fund)
            if found[:4] != (account.posted, account.pending, account.channels, account.n):
                require("I1 hold", found.held_micros == account.pending, f"{fund}: {found}, not {account}")
                require("I1 channels", found.channels == account.channels, f"{fund}: {found}, not {account}")
                require("I2 charges", found.charged_micros == account.posted, f"{fund}: {found}, not {account}")
                require("I2 numbers", found.n == account.n, f"{fund}: {found}, not {account}")
            if (found.channels_out, found.channels_in) != (account.channels_out, account.channels_in):
                raise Violation("I1 sides", f"{fund}: {found}, not {account}")
            if account.is_counted:
                self._check_windows(fund, account, found)
        leases = self.stored.leases
        require(
            "I4", len(leases) == len(self.ledger.pending), f"{len(leases)} leases, {len(self.ledger.pending)} calls"
        )

    def _check_windows(self, fund: str, account: Account, found: FundState) -> None:
        """Compare what was spent in the windows of a fund with caps, to the window: none rolls but by an operation."""
        if not has_caps(self.terms(fund)):
            return
        stored = (_bounded(found.day), _bounded(found.month), found.opening)
        known = (_bounded(account.day), _bounded(account.month), account.opening)
        require("windows", stored == known, f"{fund}: {found}, not {account}")

    def _recollect(self, rid: str) -> None:
        """Forget what Redis may have forgotten by now, and nothing else."""
        now_ms = self.redis.clock_ms()
        self._now_max_ms = max(self._now_max_ms, now_ms)
        known = self.ledger.transfers.get(rid)
        if known is None or known.is_pending:
            return
        is_stored = self.stored.has_reservation(rid)
        require("tombstone", is_stored or known.forget_ms <= self._now_max_ms, f"{rid} is {known.state}, and forgotten")
        if not is_stored or known.forget_ms <= now_ms:
            self.ledger.forget(rid)

    def _count(self, kind: str) -> None:
        self.applied[kind] = self.applied.get(kind, 0) + 1


def _bounded(spent: Spent) -> Spent:
    """Return what was spent, where it is above all caps only that it is so: doubles lose a micro there.

    With what Postgres alone has charged, which an opening brings, a window may hold more than a fund may be charged.
    """
    return spent._replace(micros=min(spent.micros, AMOUNT_MAX + 1))
