"""What settlement and the nodes do to money functions in memory that lost something; funds.py is the rest of them."""

from __future__ import annotations

from collections.abc import Sequence

from kemi.adapters.redis_funds import (
    NOTHING_SPENT,
    Applied,
    FundTerms,
    Invalid,
    Rehold,
    Replayed,
    Result,
    Spent,
    Unarmed,
)
from kemi.records import CallEvent
from tests.fakes.fund_rows import OPEN, FundState, Row, told_fault, told_row


class RebuiltFunds:
    """Reservations and funds, and how they are made right again."""

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
        self.building = 0
        self.adopted_nodes: dict[str, tuple[int, int]] = {}
        self.states: dict[str, FundState] = {}
        self.turns: dict[int, int] = {}
        self._rows: dict[str, Row] = {}
        self.node = node
        self._grace_s = grace_s

    def arm(self, epoch: int) -> None:
        """Open the functions for `epoch`."""
        if epoch < max(1, self.epoch):
            raise ValueError("the epoch goes back")
        self.epoch = self.armed_epoch = epoch

    def restore_fund(
        self, fund: str, charged_micros: int, n: int, day: Spent = NOTHING_SPENT, month: Spent = NOTHING_SPENT
    ) -> None:
        """Set a fund's sums, only while unarmed."""
        self._disarmed()
        state = self.states.setdefault(fund, FundState())
        state.charged, state.n, state.day, state.month = charged_micros, n, day, month

    def recount(self, fund: str, held_micros: int, channels: int, channels_out: int, channels_in: int) -> None:
        """Set what a fund holds, only while unarmed."""
        self._disarmed()
        state = self.states.setdefault(fund, FundState())
        state.held, state.channels, state.channels_out, state.channels_in = (
            *(held_micros, channels),
            *(channels_out, channels_in),
        )

    def void(self, rid: str) -> None:
        """End an open reservation without an event, only while unarmed."""
        row = self._opened(rid)
        before = self.opseq
        self._bury(rid, "void", "void", row.seq)
        self.opseq = before

    def amend(self, rid: str, seq: int, billed_s: int, posted_micros: Sequence[int]) -> None:
        """Say what parts of an open call have charged, only while unarmed."""
        row = self._opened(rid)
        if len(posted_micros) != len(row.held) or not 0 <= billed_s <= row.granted_s or seq < 0:
            raise ValueError("one amount per fund, billed seconds within those granted, a sequence")
        if any(not 0 <= posted <= held for posted, held in zip(posted_micros, row.held, strict=True)):
            raise ValueError("an amount is within what its fund holds")
        if row.phase != "answered" and billed_s:
            raise ValueError("only an answered call pays in parts")
        row.seq, row.billed_s, row.posted = max(row.seq, seq), billed_s, tuple(posted_micros)

    def rehold(self, told: Sequence[Rehold]) -> list[Result]:
        """Take calls as this node knows them."""
        return [self._rehold(each) for each in told]

    def adopted(self, epoch: int, count: int) -> bool:
        """Hear that this node has told all."""
        if self._armed() or self.building != epoch:
            return False
        self.adopted_nodes[self.node] = epoch, count
        return True

    def _rehold(self, told: Rehold) -> Result:
        row, expiry_ms = self._rows.get(told.rid), self.now_ms + self._lease_ms(told.lease_s)
        if self._armed() or self.building != told.epoch:
            return Unarmed(self.opseq)
        fault = told_fault(told) or (f"the call was {row.phase}" if row and row.phase not in OPEN else "")
        if fault:
            return Invalid(fault)
        is_repeated = row is not None and row.adopted_epoch == told.epoch
        if row is not None and (row.seq > told.seq or (row.seq == told.seq and row.node != self.node)):
            row.adopted_epoch, is_repeated = told.epoch, True
            expiry_ms = max(expiry_ms, self.leases.get(told.rid, 0))
        else:
            row = self._rows[told.rid] = told_row(told, self.node, row, self.now_ms)
        self.leases[told.rid] = expiry_ms
        return (Replayed if is_repeated else Applied)(row.granted_s, self.opseq)

    def _disarmed(self) -> None:
        if self._armed():
            raise ValueError("only while unarmed")
        self.epoch = 0

    def _opened(self, rid: str) -> Row:
        row = self._rows.get(rid)
        if self._armed() or row is None or row.phase not in OPEN:
            raise ValueError("only while unarmed, and only what is open")
        self.epoch = 0
        return row

    def _armed(self) -> bool:
        return self.armed_epoch > 0 and self.armed_epoch == self.epoch

    def _lease_ms(self, lease_s: int) -> int:
        return (lease_s + self._grace_s) * 1000

    def _bury(self, rid: str, phase: str, op_id: str, seq: int) -> None:
        self.opseq += 1
        self._rows[rid] = Row(phase, seq=seq, ops={op_id: 0})
        self.leases.pop(rid, None)
