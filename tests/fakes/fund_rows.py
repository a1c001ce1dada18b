"""What the money functions in memory keep, and the rules of what a fund can pay; funds.py works with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgpack

from kemi import keys
from kemi.adapters.redis_funds import LEGS_MAX, NOTHING_SPENT, FundTerms, Part, Rehold, Settle, Spent
from kemi.adapters.redis_operations import LEFT
from kemi.core.outcome import IN, OUT, Hold, HoldRow
from kemi.records import Status, Window

OPS_KEPT = 4
CHANGED_MAX = 512
AMOUNT_END = 2**53
SEQ_END = 2**31
SWEEP = ":sweep:"
OPEN = ("held", "answered")
FUNDS_MAX = 32
ASKS_MAX = 64
TURNS_MAX = 8
NO_LIMIT = FundTerms(0, 0, -1)


@dataclass
class FundState:
    """Redis' part of a fund."""

    charged: int = 0
    held: int = 0
    channels: int = 0
    n: int = 0
    second: int = 0
    calls: int = 0
    channels_in: int = 0
    channels_out: int = 0
    day: Spent = NOTHING_SPENT
    month: Spent = NOTHING_SPENT
    opening: int = 0

    def rolled(self, terms: FundTerms | None, now_ms: int) -> FundState:
        """Return a copy with windows, those in force, where there is a cap on spend."""
        if terms is None or not (terms.day_max_micros or terms.month_max_micros):
            return replace(self)
        opened, day, month = terms.opening, self.day, self.month
        if opened is not None and opened.version > self.opening:
            day = _begun(day, _in_force(terms.days, now_ms), opened.day_id, opened.day_micros)
            month = _begun(month, _in_force(terms.months, now_ms), opened.month_id, opened.month_micros)
            return replace(self, day=day, month=month, opening=opened.version)
        return replace(self, day=_rolled(day, terms.days, now_ms), month=_rolled(month, terms.months, now_ms))

    def take(self, side: int, count: int) -> None:
        """Take `count` channels of a side, or give back -`count`."""
        self.channels += count * (side != LEFT)
        self.channels_out += count * bool(side & OUT)
        self.channels_in += count * bool(side & IN)

    def charge(self, micros: int, terms: FundTerms | None) -> None:
        """Move `micros` (> 0) from the hold to the charges, also to those of the windows where there is a cap."""
        self.charged += micros
        self.held -= micros
        self.n += 1
        if terms is not None and (terms.day_max_micros or terms.month_max_micros):
            self.day = self.day._replace(micros=self.day.micros + micros)
            self.month = self.month._replace(micros=self.month.micros + micros)

    def spendable(self, terms: FundTerms | None) -> float | None:
        """Return what credit allows, None where no call goes on at all."""
        if terms is None or terms.status != Status.ACTIVE:
            return None
        if terms.credit_limit_micros < 0:
            return float("inf")
        return terms.cred_micros - self.charged - self.held + terms.credit_limit_micros

    def bar(self, terms: FundTerms | None, side: int, now_ms: int) -> str:
        """Return what forbids a new call whatever it costs, or ""."""
        if terms is None or terms.status != Status.ACTIVE:
            return "status"
        if terms.channels_max and self.channels >= terms.channels_max:
            return "channels"
        if side & IN and terms.channels_in_max and self.channels_in >= terms.channels_in_max:
            return "channels_in"
        if side & OUT and terms.channels_out_max and self.channels_out >= terms.channels_out_max:
            return "channels_out"
        if terms.cps_max and self.second == now_ms // 1000 and self.calls >= terms.cps_max:
            return "cps"
        return ""

    def shortage(self, terms: FundTerms | None, more: int) -> str:
        """Return why `more` cannot be held in the windows that are open, or ""."""
        spendable = self.spendable(terms)
        if self.charged + self.held + more >= AMOUNT_END:
            return "full"
        if terms is None or spendable is None:
            return "status"
        after = self.held + more
        short = (
            ("credit", more > spendable),
            ("spend_day", 0 < terms.day_max_micros < self.day.micros + after),
            ("spend_month", 0 < terms.month_max_micros < self.month.micros + after),
        )
        return next((reason for reason, is_short in short if is_short and more), "")


@dataclass
class Row:
    """A reservation. ops: operation id on the wire -> seconds answered, oldest first; the first is the reserve's.

    counts, turns: what its reserve was told.
    """

    phase: str
    seq: int = 0
    granted_s: int = 0
    answered_ms: int = 0
    node: str = ""
    funds: tuple[str, ...] = ()
    sides: tuple[int, ...] = ()
    held: tuple[int, ...] = ()
    posted: tuple[int, ...] = ()
    billed_s: int = 0
    pinned: bytes = b""
    server_id: int = 0
    node_answered_ms: int = 0
    legs: bytes = b""
    adopted_epoch: int = 0
    place: int = -1
    joins: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    turns: tuple[int, ...] = ()
    ops: dict[str, int] = field(default_factory=dict)

    def remember(self, op_id: str, seq: int) -> None:
        """Keep the answer of an operation, forgetting the oldest but the reserve's."""
        if len(self.ops) > OPS_KEPT:
            del self.ops[list(self.ops)[1]]
        self.seq = seq
        self.ops[op_id] = self.granted_s

    def charge_fault(self, operation: Part | Settle) -> str:
        """Return what is wrong with the price of the call so far, or ""."""
        prices = operation.price_micros
        if len(prices) != len(self.funds):
            return "one price per fund"
        if not self.billed_s <= operation.billed_s <= self.granted_s:
            return "billed seconds are within those granted, and not below those that parts have charged"
        if any(not then <= price <= held for then, price, held in zip(self.posted, prices, self.held, strict=True)):
            return "a price is within what its fund holds, and not below what parts have charged"
        if isinstance(operation, Part) and (self.phase != "answered" or operation.billed_s == self.billed_s):
            return "only an answered call pays in parts, and each has more billed seconds"
        return "" if isinstance(msgpack.unpackb(operation.end), list) else "the end is an array"


def told_row(told: Rehold, node: str, known: Row | None, now_ms: int) -> Row:
    """Return a reservation as its node tells it. known: what was there."""
    seen_ms = known.answered_ms if known else 0
    return Row(
        "held" if told.talked_ms is None else "answered",
        seq=told.seq,
        granted_s=told.granted_s,
        answered_ms=0 if told.talked_ms is None else seen_ms or now_ms - told.talked_ms,
        node=node,
        funds=told.funds,
        sides=told.sides,
        held=told.held,
        posted=told.posted,
        billed_s=told.billed_s,
        pinned=told.pinned,
        server_id=told.server_id,
        node_answered_ms=told.node_answered_ms,
        legs=told.legs if len(told.legs) <= LEGS_MAX else b"",
        adopted_epoch=told.epoch,
        place=told.place,
        joins=told.joins,
        counts=known.counts if known else (),
        turns=known.turns if known else (),
        ops=known.ops if known else {told.op_id: told.granted_s},
    )


def told_fault(told: Rehold) -> str:
    """Return what is wrong with what a node tells of a call, or ""."""
    if not len(told.funds) == len(told.sides) == len(told.held) == len(told.posted) == len(set(told.funds)):
        return "funds are merged, each with its side, what it holds and what parts have charged"
    if any(not 0 <= posted <= held < AMOUNT_END for posted, held in zip(told.posted, told.held, strict=True)):
        return "an amount is whole, and within what its fund holds"
    if not set(told.sides) <= {0, OUT, IN, OUT | IN, LEFT} or not 0 <= told.billed_s <= told.granted_s:
        return "a side is out, in, both or not known; billed seconds are within those granted"
    left = [fund for fund, side in zip(told.funds, told.sides, strict=True) if side == LEFT]
    if not all(map(keys.counts_only, left)):
        return "only lines and users leave a call"
    if set(told.joins) & set(told.funds) or not all(map(keys.counts_only, told.joins)):
        return "funds that have joined are of lines and users, and merged"
    return "" if isinstance(msgpack.unpackb(told.pinned), list) else "the pinned call is an array"


def hold_fault(hold: Hold, pinned: bytes) -> str:
    """Return what is wrong with a hold besides its rows, or ""."""
    names = {fund.fund for fund in hold.funds}
    if not isinstance(msgpack.unpackb(pinned), list):
        return "the pinned call is an array"
    if not all(fund.sides in (OUT, IN, OUT | IN) for fund in hold.funds):
        return "a side is out, in or both"
    if len(hold.asks) > ASKS_MAX or len(hold.turns) > TURNS_MAX:
        return "at most 64 funds are asked for, and 8 turns"
    return "" if len(names) == len(hold.funds) <= FUNDS_MAX else "at most 32 funds, merged"


def rows_fault(rows: tuple[HoldRow, ...], floor: HoldRow) -> str:
    """Return what is wrong with a schedule above `floor`, or ""."""
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


def _in_force(windows: Sequence[Window], now_ms: int) -> int:
    """Return the id of the first window that has not ended, else of the last one known, 0 where none is."""
    ids = [window.id for window in windows if window.end_ms > now_ms] or [window.id for window in windows][-1:]
    return ids[0] if ids else 0


def _rolled(spent: Spent, windows: Sequence[Window], now_ms: int) -> Spent:
    """Return the window in force; never an older one."""
    now_id = _in_force(windows, now_ms)
    return Spent(now_id, 0) if now_id > spent.id else spent


def _begun(spent: Spent, now_id: int, opened_id: int, opened_micros: int) -> Spent:
    """Return the window in force with the most that anybody knows to be spent in it."""
    own, opened = spent.micros if spent.id == now_id else 0, opened_micros if opened_id == now_id else 0
    return Spent(now_id, max(own, opened))
