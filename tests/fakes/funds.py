"""The money functions in memory: what `Funds` answers, without Redis. tests/contract/test_funds.py holds both to it.

The test's own handles: `terms`, `states`, `changed`, `now_ms`, `memory_full`, `events`, `leases`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgpack

from kemi import codec
from kemi.adapters.redis_funds import (
    Answer,
    Applied,
    Balance,
    Extend,
    FundTerms,
    Held,
    Invalid,
    Late,
    MoneyStatus,
    Note,
    Operation,
    Refused,
    Release,
    Replayed,
    Reservation,
    Result,
    Settle,
    Stale,
    Unarmed,
    Unknown,
    Void,
)
from kemi.core.outcome import Hold, HoldRow
from kemi.records import CallEnd, CallEvent, FundPosting, PinnedCall, Status

OPS_KEPT = 4
CHANGED_MAX = 512
AMOUNT_END = 2**53
SWEEP = ":sweep:"
OPEN = ("held", "answered")


@dataclass
class FundState:
    """Redis' part of a fund."""

    charged: int = 0
    held: int = 0
    channels: int = 0
    n: int = 0
    second: int = 0
    calls: int = 0


@dataclass
class Row:
    """A reservation. ops: operation id -> seconds that it answered, the reserve first."""

    phase: str
    seq: int = 0
    granted_s: int = 0
    answered_ms: int = 0
    node: str = ""
    funds: tuple[str, ...] = ()
    channels: tuple[int, ...] = ()
    held: tuple[int, ...] = ()
    pinned: bytes = b""
    server_id: int = 0
    ops: dict[str, int] = field(default_factory=dict)

    def remember(self, op_id: str, seq: int) -> None:
        """Keep the answer of an operation, forgetting the oldest but the reserve's."""
        if len(self.ops) > OPS_KEPT:
            del self.ops[list(self.ops)[1]]
        self.seq = seq
        self.ops[op_id] = self.granted_s


class FakeFunds:
    """`Funds` in memory."""

    def __init__(self, node: str = "n1", grace_s: int = 10) -> None:
        self.terms: dict[str, FundTerms] = {}
        self.changed: dict[str, int] = {}
        self.config_pass = 0
        self.changed_low = 0
        self.has_marker = True
        self.now_ms = 1_700_000_000_000
        self.memory_full = False
        self.events: list[CallEvent] = []
        self.leases: dict[str, int] = {}
        self.epoch = 0
        self.armed_epoch = 0
        self.opseq = 0
        self.states: dict[str, FundState] = {}
        self._rows: dict[str, Row] = {}
        self._node = node
        self._grace_s = grace_s

    def reserve(
        self, op_id: str, rid: str, hold: Hold, lease_s: int, seen_pass: int, pinned: bytes
    ) -> Held | Refused | Stale | Unarmed | Void:
        """Hold the largest payable row at every level, or nothing."""
        if not self._armed():
            return Unarmed(self.opseq)
        zeros = (0,) * len(hold.funds)
        fault = _rows_fault(hold.rows, HoldRow(0, zeros)) or _hold_fault(hold, pinned)
        if fault:
            raise ValueError(fault)
        if rid in self._rows:
            row = self._rows[rid]
            mine = row.phase in OPEN and next(iter(row.ops)) == op_id
            return Held(row.ops[op_id], (), seen_pass, self.opseq, replayed=True) if mine else Void(self.opseq)
        changed = self._changed_since(seen_pass)
        if changed is None or set(changed) & set(hold.used):
            return Stale(changed or (), self.config_pass)
        refusal = self._refusal(hold)
        if not isinstance(refusal, HoldRow):
            reason, account_id = refusal
            return Refused(reason, account_id, changed, self.config_pass)
        self._grant(rid, hold, refusal)
        self._rows[rid].pinned = pinned
        self._rows[rid].ops[op_id] = refusal.talk_s
        self.leases[rid] = self.now_ms + self._lease_ms(lease_s)
        return Held(refusal.talk_s, changed, self.config_pass, self.opseq)

    def batch(self, operations: Sequence[Operation]) -> list[Result]:
        """Apply operations in order."""
        return [self._apply(operation) for operation in operations]

    def describe(self, rid: str) -> Reservation | None:
        """Return a reservation, None where there is none."""
        row = self._rows.get(rid)
        if row is None:
            return None
        return Reservation(
            pinned=row.pinned,
            funds=row.funds,
            granted_s=row.granted_s,
            held=row.held,
            answered_ms=row.answered_ms,
            seq=row.seq,
            state=row.phase,
            node=row.node,
            lease_ms=self.leases.get(rid, 0),
            server_id=row.server_id,
        )

    def expired(self, limit: int) -> list[tuple[str, int]]:
        """Return (rid, sequence) of leases that are past, oldest first."""
        past = sorted((expiry, rid) for rid, expiry in self.leases.items() if expiry <= self.now_ms)
        return [(rid, self._rows[rid].seq if rid in self._rows else -1) for _, rid in past[:limit]]

    def status(self) -> MoneyStatus:
        """Return epoch, whether armed, operations applied."""
        return MoneyStatus(self.epoch, self._armed(), self.opseq)

    def balances(self, funds: Sequence[str]) -> list[Balance]:
        """Return the balances of `funds`."""
        states = [self.states.get(fund, FundState()) for fund in funds]
        return [
            Balance(fund, self.terms.get(fund), state.charged, state.held, state.channels, state.n)
            for fund, state in zip(funds, states, strict=True)
        ]

    def arm(self, epoch: int) -> None:
        """Open the functions for `epoch`."""
        if epoch < max(1, self.epoch):
            raise ValueError("the epoch goes back")
        self.epoch = self.armed_epoch = epoch

    def restore_fund(self, fund: str, charged_micros: int, n: int) -> None:
        """Set a fund's sums, only while unarmed."""
        if self._armed():
            raise ValueError("only while unarmed")
        self.epoch = 0
        state = self.states.setdefault(fund, FundState())
        state.charged, state.n = charged_micros, n

    def _armed(self) -> bool:
        return self.armed_epoch > 0 and self.armed_epoch == self.epoch

    def _lease_ms(self, lease_s: int) -> int:
        return (lease_s + self._grace_s) * 1000

    def _changed_since(self, seen: int) -> tuple[str, ...] | None:
        if self.config_pass and not self.has_marker:
            return None
        if seen == self.config_pass:
            return ()
        if seen > self.config_pass or seen < self.changed_low:
            return None
        names = sorted((at, name) for name, at in self.changed.items() if at > seen)
        return tuple(name for _, name in names) if len(names) <= CHANGED_MAX else None

    def _spendable(self, fund: str) -> float | None:
        terms, state = self.terms.get(fund), self.states.get(fund, FundState())
        if terms is None or terms.status != Status.ACTIVE:
            return None
        if terms.credit_limit_micros < 0:
            return float("inf")
        return terms.cred_micros - state.charged - state.held + terms.credit_limit_micros

    def _refusal(self, hold: Hold) -> tuple[str, int] | HoldRow:
        """Return (reason, account) or the row to grant."""
        if self.memory_full:
            return "full", 0
        for fund in hold.funds:
            terms, state = self.terms.get(fund.fund), self.states.get(fund.fund, FundState())
            if terms is None or terms.status != Status.ACTIVE:
                return "status", fund.account_id
            if terms.channels_max and state.channels + fund.channels > terms.channels_max:
                return "channels", fund.account_id
            if terms.cps_max and state.second == self.now_ms // 1000 and state.calls >= terms.cps_max:
                return "cps", fund.account_id
        names = tuple(fund.fund for fund in hold.funds)
        for row in reversed(hold.rows):
            refusal = self._too_dear(row, names, (0,) * len(names))
            if refusal is None:
                return row
        reason, position = refusal or ("", 0)
        return reason, hold.funds[position].account_id

    def _too_dear(self, row: HoldRow, funds: tuple[str, ...], held: tuple[int, ...]) -> tuple[str, int] | None:
        """Return why and where a row cannot be paid beyond what is held, None when it can."""
        for at, fund in enumerate(funds):
            more, spendable = row.price_micros[at] - held[at], self._spendable(fund)
            state = self.states.get(fund, FundState())
            if state.charged + state.held + more >= AMOUNT_END:
                return "full", at
            if spendable is None or 0 < more > spendable:
                return "credit", at
        return None

    def _grant(self, rid: str, hold: Hold, row: HoldRow) -> None:
        for fund, micros in zip(hold.funds, row.price_micros, strict=True):
            state = self.states.setdefault(fund.fund, FundState())
            second = self.now_ms // 1000
            state.held += micros
            state.channels += fund.channels
            state.calls = state.calls + 1 if state.second == second else 1
            state.second = second
        self.opseq += 1
        self._rows[rid] = Row(
            "held",
            granted_s=row.talk_s,
            node=self._node,
            funds=tuple(fund.fund for fund in hold.funds),
            channels=tuple(fund.channels for fund in hold.funds),
            held=row.price_micros,
        )

    def _apply(self, operation: Operation) -> Result:
        row = self._rows.get(operation.rid)
        if not self._armed():
            return Unarmed(self.opseq)
        if isinstance(operation, Note):
            return self._note(operation, row)
        if isinstance(operation, Late):
            return self._late(operation, row)
        if row is None and isinstance(operation, Release):
            self._bury(operation.rid, "void", operation.op_id, operation.seq)
        if row is not None and operation.op_id in row.ops and row.phase != "void":
            return Replayed(row.ops[operation.op_id], self.opseq)
        if row is None or row.phase not in OPEN:
            return Unknown(self.opseq)
        return self._change(operation, row)

    def _change(self, operation: Answer | Extend | Settle | Release, row: Row) -> Result:
        if operation.seq <= row.seq:
            return Invalid(f"sequence {operation.seq} after {row.seq}")
        match operation:
            case Answer():
                return self._answer(operation, row)
            case Extend():
                return self._extend(operation, row)
            case Settle():
                return self._settle(operation, row)
            case Release():
                return self._finish("release", operation, row, (0,) * len(row.funds))

    def _answer(self, operation: Answer, row: Row) -> Result:
        row.phase, row.node, row.server_id = "answered", self._node, operation.server_id
        row.answered_ms = row.answered_ms or self.now_ms
        self.leases[operation.rid] = self.now_ms + self._lease_ms(operation.lease_s)
        return self._applied(operation, row)

    def _extend(self, operation: Extend, row: Row) -> Result:
        fault = _rows_fault(operation.rows, HoldRow(row.granted_s, row.held))
        if fault:
            return Invalid(fault)
        payable = (each for each in reversed(operation.rows) if not self._too_dear(each, row.funds, row.held))
        best = next(payable, None)
        if best is not None:
            for fund, micros, before in zip(row.funds, best.price_micros, row.held, strict=True):
                self.states[fund].held += micros - before
            row.granted_s, row.held = best.talk_s, best.price_micros
            short_s = operation.rows[-1].talk_s - best.talk_s
            self.leases[operation.rid] = self.now_ms + self._lease_ms(operation.lease_s) - short_s * 1000
        row.node = self._node
        return self._applied(operation, row)

    def _settle(self, operation: Settle, row: Row) -> Result:
        if len(operation.price_micros) != len(row.funds):
            return Invalid("one price per fund")
        if not 0 <= operation.billed_s <= row.granted_s:
            return Invalid("billed seconds are within those granted")
        if any(not 0 <= price <= held for price, held in zip(operation.price_micros, row.held, strict=True)):
            return Invalid("a price is within what its fund holds")
        return self._finish("settle", operation, row, operation.price_micros)

    def _finish(self, kind: str, operation: Settle | Release, row: Row, prices: tuple[int, ...]) -> Result:
        postings = []
        for at, fund in enumerate(row.funds):
            state = self.states[fund]
            state.held -= row.held[at]
            state.channels -= row.channels[at]
            if prices[at]:
                state.charged += prices[at]
                state.n += 1
                postings.append(FundPosting(fund, prices[at], state.n, state.charged))
        self._add_event(kind, operation.rid, operation.seq, tuple(postings), row.pinned, operation.end)
        row.phase = "settled" if kind == "settle" else "released"
        row.pinned = row.pinned if SWEEP in operation.op_id else b""
        del self.leases[operation.rid]
        return self._applied(operation, row)

    def _note(self, operation: Note, row: Row | None) -> Result:
        if row and row.phase == "refused" and operation.op_id in row.ops:
            return Replayed(0, self.opseq)
        if row and row.phase != "void":
            return Invalid(f"the call was {row.phase}")
        self._bury(operation.rid, "refused", operation.op_id, 0)
        self._add_event("refused", operation.rid, 0, (), operation.call, operation.end)
        return Applied(0, self.opseq)

    def _late(self, operation: Late, row: Row | None) -> Result:
        if not all(isinstance(msgpack.unpackb(part), list) for part in (operation.call, operation.end)):
            return Invalid("the sequence is whole, call and end are arrays")
        if row and operation.op_id in row.ops:
            return Replayed(row.ops[operation.op_id], self.opseq)
        if row is None:
            self._bury(operation.rid, "void", operation.op_id, operation.seq)
        else:
            self.opseq += 1
            row.remember(operation.op_id, max(operation.seq, row.seq))
            row.pinned = row.pinned if row.phase in OPEN else b""
        self._add_event("late", operation.rid, operation.seq, (), operation.call, operation.end)
        return Applied(row.granted_s if row else 0, self.opseq)

    def _applied(self, operation: Answer | Extend | Settle | Release, row: Row) -> Applied:
        self.opseq += 1
        row.remember(operation.op_id, operation.seq)
        return Applied(row.granted_s, self.opseq)

    def _bury(self, rid: str, phase: str, op_id: str, seq: int) -> None:
        self.opseq += 1
        self._rows[rid] = Row(phase, seq=seq, ops={op_id: 0})
        self.leases.pop(rid, None)

    def _add_event(
        self, kind: str, rid: str, seq: int, postings: tuple[FundPosting, ...], call: bytes, end: bytes
    ) -> None:
        pinned, ended = codec.unpack(PinnedCall, call), codec.unpack(CallEnd, end)
        self.events.append(CallEvent(kind, self.epoch, rid, seq, postings, pinned, ended))


def _hold_fault(hold: Hold, pinned: bytes) -> str:
    names = {fund.fund for fund in hold.funds}
    if not isinstance(msgpack.unpackb(pinned), list):
        return "the pinned call is an array"
    return "" if len(names) == len(hold.funds) <= 24 else "at most 24 funds, merged"


def _rows_fault(rows: tuple[HoldRow, ...], floor: HoldRow) -> str:
    if not 1 <= len(rows) <= 16:
        return "a schedule has 1 to 16 rows"
    before = floor
    for row in rows:
        if row.talk_s <= before.talk_s or len(row.price_micros) != len(before.price_micros):
            return "a schedule's seconds rise"
        if any(
            now < then or now >= AMOUNT_END for now, then in zip(row.price_micros, before.price_micros, strict=True)
        ):
            return "a schedule's numbers are whole, below 2^53 and do not fall"
        before = row
    return ""
