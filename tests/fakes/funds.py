"""The money functions in memory: what `Funds` answers, without Redis. tests/contract/test_funds.py holds both to it.

The test's own handles: `terms`, `states`, `turns`, `changed`, `now_ms`, `memory_full`, `events`, `leases`, `node`,
`building`, `adopted_nodes`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgpack

from kemi import codec, keys
from kemi.adapters.redis_funds import (
    LEGS_MAX,
    Adopt,
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
    Page,
    Part,
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
from kemi.adapters.redis_operations import LEFT
from kemi.core.outcome import IN, OUT, Hold, HoldRow
from kemi.records import CallEnd, CallEvent, FundPosting, PinnedCall
from tests.fakes.fund_rebuild import RebuiltFunds
from tests.fakes.fund_rows import (
    CHANGED_MAX,
    NO_LIMIT,
    OPEN,
    SEQ_END,
    SWEEP,
    FundState,
    Row,
    hold_fault,
    rows_fault,
)


class FakeFunds(RebuiltFunds):
    """`Funds` in memory."""

    def reserve(
        self, op_id: str, rid: str, hold: Hold, lease_s: int, seen_pass: int, pinned: bytes
    ) -> Held | Refused | Stale | Unarmed | Void:
        """Hold the largest payable row at every level, or nothing."""
        if not self._armed():
            return Unarmed(self.opseq)
        zeros = (0,) * len(hold.funds)
        fault = rows_fault(hold.rows, HoldRow(0, zeros)) or hold_fault(hold, pinned)
        if fault:
            raise ValueError(fault)
        if rid in self._rows:
            row = self._rows[rid]
            mine = row.phase in OPEN and next(iter(row.ops)) == op_id
            if not mine:
                return Void(self.opseq)
            return Held(row.ops[op_id], (), seen_pass, self.opseq, True, row.counts, row.turns)
        changed = self._changed_since(seen_pass)
        if changed is None or set(changed) & set(hold.used):
            return Stale(changed or (), self.config_pass)
        refusal = self._refusal(hold)
        if not isinstance(refusal, HoldRow):
            reason, at = refusal
            named = (hold.funds[at].account_id, hold.funds[at].fund) if at >= 0 else (0, "")
            return Refused(reason, named[0], changed, self.config_pass, named[1])
        counts = tuple(self.states.get(fund, FundState()).channels for fund in hold.asks)
        turns = tuple(self.turns.get(group, 0) for group in hold.turns)
        self.turns.update({group: taken + 1 for group, taken in zip(hold.turns, turns, strict=True)})
        self._grant(rid, hold, refusal)
        self._rows[rid].counts, self._rows[rid].turns = counts, turns
        self._rows[rid].pinned = pinned
        self._rows[rid].ops[op_id] = refusal.talk_s
        self.leases[rid] = self.now_ms + self._lease_ms(lease_s)
        return Held(refusal.talk_s, changed, self.config_pass, self.opseq, counts=counts, turns=turns)

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
            posted=row.posted,
            billed_s=row.billed_s,
            node_answered_ms=row.node_answered_ms,
            legs=row.legs,
            sides=row.sides,
            adopted_epoch=row.adopted_epoch,
            place=row.place,
            joins=row.joins,
        )

    def described(self, rids: Sequence[str]) -> dict[str, Reservation]:
        """Return those of the reservations that are known."""
        found = ((rid, self.describe(rid)) for rid in rids)
        return {rid: reservation for rid, reservation in found if reservation is not None}

    def of_node(self, node: str = "", after: str = "", limit: int = 100) -> Page:
        """Return a page of the open reservations of a node."""
        leases = [rid for rid in sorted(self.leases) if rid > after]
        rows = {rid: self._rows[rid] for rid in leases[:limit] if rid in self._rows}
        rids = (rid for rid, row in rows.items() if row.phase in OPEN and node in ("", row.node))
        return Page(tuple(rids), leases[limit - 1] if len(leases) > limit else "")

    def expired(self, limit: int) -> list[tuple[str, int]]:
        """Return (rid, sequence) of leases that are past, oldest first."""
        past = sorted((expiry, rid) for rid, expiry in self.leases.items() if expiry <= self.now_ms)
        return [(rid, self._rows[rid].seq if rid in self._rows else -1) for _, rid in past[:limit]]

    def status(self) -> MoneyStatus:
        """Return epoch, whether armed, operations applied."""
        return MoneyStatus(self.epoch, self._armed(), self.opseq, self.building)

    def balances(self, funds: Sequence[str]) -> list[Balance]:
        """Return the balances of `funds`."""
        states = [self.states.get(fund, FundState()) for fund in funds]
        return [
            Balance(
                *(fund, self.terms.get(fund), state.charged, state.held, state.channels, state.n),
                *(state.channels_in, state.channels_out),
                *(state.day.micros, state.day.id, state.month.micros, state.month.id),
            )
            for fund, state in zip(funds, states, strict=True)
        ]

    def _changed_since(self, seen: int) -> tuple[str, ...] | None:
        if self.config_pass and not self.has_marker:
            return None
        if seen == self.config_pass:
            return ()
        if seen > self.config_pass or seen < self.changed_low:
            return None
        names = sorted((at, name) for name, at in self.changed.items() if at > seen)
        return tuple(name for _, name in names) if len(names) <= CHANGED_MAX else None

    def _rolled(self, funds: Sequence[str]) -> list[FundState]:
        """Return copies of states, in the windows of now."""
        return [self.states.get(fund, FundState()).rolled(self._terms_of(fund), self.now_ms) for fund in funds]

    def _terms_of(self, fund: str) -> FundTerms | None:
        return self.terms.get(fund, NO_LIMIT if keys.counts_only(fund) else None)

    def _refusal(self, hold: Hold) -> tuple[str, int] | HoldRow:
        """Return (reason, place of the fund, -1 = none) or the row to grant."""
        if self.memory_full:
            return "full", -1
        names = tuple(fund.fund for fund in hold.funds)
        for at, (fund, state) in enumerate(zip(hold.funds, self._rolled(names), strict=True)):
            bar = state.bar(self._terms_of(fund.fund), fund.sides, self.now_ms)
            if bar:
                return bar, at
        for row in reversed(hold.rows):
            refusal = self._too_dear(row, names, (0,) * len(names))
            if refusal is None:
                return row
        return refusal or ("", 0)

    def _too_dear(self, row: HoldRow, funds: tuple[str, ...], held: tuple[int, ...]) -> tuple[str, int] | None:
        """Return why and where a row cannot be paid beyond what is held, None when it can."""
        for at, state in enumerate(self._rolled(funds)):
            short = state.shortage(self._terms_of(funds[at]), row.price_micros[at] - held[at])
            if short:
                return short, at
        return None

    def _grant(self, rid: str, hold: Hold, row: HoldRow) -> None:
        names = tuple(fund.fund for fund in hold.funds)
        second = self.now_ms // 1000
        self.states.update(zip(names, self._rolled(names), strict=True))
        for fund, micros in zip(hold.funds, row.price_micros, strict=True):
            state = self.states[fund.fund]
            state.held += micros
            state.take(fund.sides, 1)
            state.calls = state.calls + 1 if state.second == second else 1
            state.second = second
        self.opseq += 1
        self._rows[rid] = Row(
            "held",
            granted_s=row.talk_s,
            node=self.node,
            funds=names,
            sides=tuple(fund.sides for fund in hold.funds),
            held=row.price_micros,
            posted=(0,) * len(names),
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
            self._bury(operation.rid, "void", self._wire_id(operation), operation.seq)
        if row is not None and self._wire_id(operation) in row.ops and row.phase != "void":
            return Replayed(row.ops[self._wire_id(operation)], self.opseq)
        if row is None or row.phase not in OPEN:
            return Unknown(self.opseq)
        return self._change(operation, row)

    def _wire_id(self, operation: Operation) -> str:
        """Return the operation id, which tells kinds and nodes apart."""
        return f"{operation.op_id}:{type(operation).__name__.lower()}@{self.node}"

    def _change(self, operation: Answer | Adopt | Extend | Part | Settle | Release, row: Row) -> Result:
        if operation.seq <= row.seq:
            return Invalid(f"sequence {operation.seq} after {row.seq}")
        match operation:
            case Answer():
                return self._answer(operation, row)
            case Adopt(rid=rid, lease_s=lease_s):
                row.node = self.node
                self.leases[rid] = self.now_ms + self._lease_ms(lease_s)
                return self._applied(operation, row)
            case Extend():
                return self._extend(operation, row)
            case Part() | Settle():
                fault = row.charge_fault(operation)
                return Invalid(fault) if fault else self._pay(operation, row)
            case Release():
                return self._finish("release", operation, row, row.posted, 0)

    def _answer(self, operation: Answer, row: Row) -> Result:
        if not all(map(keys.counts_only, (*operation.joins, *operation.leaves))):
            return Invalid("only funds of lines and users join, and leave")
        if row.phase != "answered":
            self._answered_by(operation, row)
        row.phase, row.node, row.server_id = "answered", self.node, operation.server_id
        row.answered_ms = row.answered_ms or self.now_ms
        row.node_answered_ms = row.node_answered_ms or operation.answered_ms
        row.legs = operation.legs if 0 < len(operation.legs) <= LEGS_MAX else row.legs
        self.leases[operation.rid] = self.now_ms + self._lease_ms(operation.lease_s)
        return self._applied(operation, row)

    def _answered_by(self, operation: Answer, row: Row) -> None:
        """Lower what the funds hold to what the answer needs, and count the call for those who gave it."""
        row.place = operation.place
        wanted = operation.held_micros if operation.held_s == row.granted_s else ()
        if len(wanted) == len(row.funds):
            held = tuple(map(max, row.posted, map(min, row.held, wanted)))
            for fund, before, after in zip(row.funds, row.held, held, strict=True):
                self.states[fund].held -= before - after
            row.held = held
        for fund in dict.fromkeys(operation.joins):
            if fund not in row.funds:
                row.joins += (fund,)
                self.states.setdefault(fund, FundState()).take(IN, 1)
        for at, fund in enumerate(row.funds):
            before = after = row.sides[at]
            if keys.counts_only(fund) and (fund in operation.joins or operation.place >= 0):
                out = 0 if fund in operation.leaves else before & OUT
                after = (out | IN if fund in operation.joins else out) or LEFT
            self.states[fund].take(before, -1)
            self.states[fund].take(after, 1)
            row.sides = (*row.sides[:at], after, *row.sides[at + 1 :])

    def _extend(self, operation: Extend, row: Row) -> Result:
        fault = rows_fault(operation.rows, HoldRow(row.granted_s, row.held))
        if fault:
            return Invalid(fault)
        payable = (each for each in reversed(operation.rows) if not self._too_dear(each, row.funds, row.held))
        best = next(payable, None)
        if best is not None:
            self.states.update(zip(row.funds, self._rolled(row.funds), strict=True))
            for fund, micros, before in zip(row.funds, best.price_micros, row.held, strict=True):
                self.states[fund].held += micros - before
            row.granted_s, row.held = best.talk_s, best.price_micros
            short_s = operation.rows[-1].talk_s - best.talk_s
            self.leases[operation.rid] = self.now_ms + self._lease_ms(operation.lease_s) - short_s * 1000
        row.node = self.node
        return self._applied(operation, row)

    def _pay(self, operation: Part | Settle, row: Row) -> Result:
        before_s, row.billed_s = row.billed_s, operation.billed_s
        if isinstance(operation, Settle):
            return self._finish("settle", operation, row, operation.price_micros, before_s)
        postings = self._charge(row, operation.price_micros)
        self._add_event("part", operation.rid, operation.seq, postings, row.pinned, operation.end, before_s)
        return self._applied(operation, row)

    def _charge(self, row: Row, prices: tuple[int, ...]) -> tuple[FundPosting, ...]:
        postings = []
        self.states.update(zip(row.funds, self._rolled(row.funds), strict=True))
        for fund, price, posted in zip(row.funds, prices, row.posted, strict=True):
            state = self.states[fund]
            if price > posted:
                state.charge(price - posted, self.terms.get(fund))
                postings.append(FundPosting(fund, price - posted, state.n, state.charged))
        row.posted = prices
        return tuple(postings)

    def _finish(
        self, kind: str, operation: Settle | Release, row: Row, prices: tuple[int, ...], billed_before_s: int
    ) -> Result:
        postings = self._charge(row, prices)
        for fund, held, price, side in zip(row.funds, row.held, prices, row.sides, strict=True):
            self.states[fund].held -= held - price
            self.states[fund].take(side, -1)
        for fund in row.joins:
            self.states[fund].take(IN, -1)
        row.joins = ()
        self._add_event(kind, operation.rid, operation.seq, postings, row.pinned, operation.end, billed_before_s)
        row.phase = "settled" if kind == "settle" else "released"
        if SWEEP not in operation.op_id:
            row.pinned = row.legs = b""
        del self.leases[operation.rid]
        return self._applied(operation, row)

    def _note(self, operation: Note, row: Row | None) -> Result:
        if row and row.phase == "refused" and self._wire_id(operation) in row.ops:
            return Replayed(0, self.opseq)
        if row and row.phase != "void":
            return Invalid(f"the call was {row.phase}")
        self._bury(operation.rid, "refused", self._wire_id(operation), 0)
        self._add_event("refused", operation.rid, 0, (), operation.call, operation.end)
        return Applied(0, self.opseq)

    def _late(self, operation: Late, row: Row | None) -> Result:
        are_arrays = all(isinstance(msgpack.unpackb(part), list) for part in (operation.call, operation.end))
        if not are_arrays or operation.seq >= SEQ_END:
            return Invalid("the sequence is whole and below 2^31, call and end are arrays")
        if row and self._wire_id(operation) in row.ops:
            return Replayed(row.ops[self._wire_id(operation)], self.opseq)
        if row is None:
            self._bury(operation.rid, "void", self._wire_id(operation), operation.seq)
        elif operation.seq <= row.seq:
            return Invalid(f"sequence {operation.seq} after {row.seq}")
        else:
            self.opseq += 1
            row.remember(self._wire_id(operation), operation.seq)
            if row.phase not in OPEN:
                row.pinned = row.legs = b""
        self._add_event("late", operation.rid, operation.seq, (), operation.call, operation.end)
        return Applied(row.granted_s if row else 0, self.opseq)

    def _applied(self, operation: Answer | Adopt | Extend | Part | Settle | Release, row: Row) -> Applied:
        self.opseq += 1
        row.remember(self._wire_id(operation), operation.seq)
        return Applied(row.granted_s, self.opseq)

    def _add_event(
        self,
        kind: str,
        rid: str,
        seq: int,
        postings: tuple[FundPosting, ...],
        call: bytes,
        end: bytes,
        billed_before_s: int = 0,
    ) -> None:
        pinned, ended = codec.unpack(PinnedCall, call), codec.unpack(CallEnd, end)
        self.events.append(CallEvent(kind, self.epoch, rid, seq, postings, pinned, ended, billed_before_s))
