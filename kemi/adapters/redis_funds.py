"""The money functions of Redis as methods: one round trip each, every answer a value.

Rule 1: the answer's first item must be the id that was sent; anything else means that the connection is one reply
off, and the connection is dropped.
Rule 2: nothing is retried here. After StoreUnavailable the caller repeats with the SAME operation id, or releases.

What each function does stands in functions/money/; what goes in and comes out, in redis_operations.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

import msgpack

from kemi import codec, keys
from kemi.adapters.redis_client import Argument, Fcall, FunctionFailed, RedisClient, Reply
from kemi.adapters.redis_operations import (
    FUND_STATE,
    LEGS_MAX,
    NOTHING_SPENT,
    Adopt,
    Answer,
    Applied,
    Balance,
    Extend,
    FundState,
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
    Rehold,
    Release,
    Replayed,
    Reservation,
    Result,
    Settle,
    Spent,
    Stale,
    Unarmed,
    Unknown,
    Void,
)
from kemi.core.outcome import Hold, HoldFund, HoldRow

__all__ = [
    "FUND_STATE",
    "LEGS_MAX",
    "NOTHING_SPENT",
    "Adopt",
    "Answer",
    "Applied",
    "Balance",
    "Extend",
    "FundState",
    "FundTerms",
    "Funds",
    "Held",
    "Invalid",
    "Late",
    "MoneyStatus",
    "Note",
    "Operation",
    "Page",
    "Part",
    "Refused",
    "Rehold",
    "Release",
    "Replayed",
    "Reservation",
    "Result",
    "Settle",
    "Spent",
    "Stale",
    "Unarmed",
    "Unknown",
    "Void",
]

DESCRIBE: Final = "tandem_describe_1"
DESCRIBE_FORM: Final = 4
DESCRIBED_AT_ONCE: Final = 500
NOT_ANSWERED: Final = -1
NO_FUND: Final = HoldFund("", 0, 0)


class Funds:
    """The funds of a cell. node: who asks, kept with the reservation. grace_s: how long a lease outlives its slice."""

    def __init__(self, client: RedisClient, node: str, grace_s: int) -> None:
        self._client = client
        self._node = node
        self._grace_s = grace_s
        self._questions = 0

    def reserve(
        self, op_id: str, rid: str, hold: Hold, lease_s: int, seen_pass: int, pinned: bytes
    ) -> Held | Refused | Stale | Unarmed | Void:
        """Hold the largest payable row of the schedule at every level, or nothing.

        lease_s: how long it may take until the answer is reported. seen_pass: the pass that the decision knows.
        pinned: PinnedCall bytes. Raises StoreUnavailable (the hold may exist: release it), ValueError for a hold that
        no Redis would take.
        """
        funds, _, _, sides = zip(*hold.funds, strict=True) if hold.funds else ((), (), (), ())
        ask = [
            self._node,
            self._lease_ms(lease_s),
            seen_pass,
            funds,
            sides,
            _flat(hold.rows),
            hold.asks,
            hold.turns,
        ]
        args = (op_id, rid, msgpack.packb(ask), msgpack.packb(hold.used), pinned)
        code, opseq, *rest = self._ask(Fcall("tandem_reserve_1", (keys.reservation(rid),), args))
        match code:
            case b"HELD":
                counts, turns, names = _told(rest[2:])
                return Held(rest[0], _names(names), rest[1], opseq, counts=counts, turns=turns)
            case b"REPLAYED":
                counts, turns, _ = _told(rest[2:])
                return Held(rest[0], (), rest[1], opseq, replayed=True, counts=counts, turns=turns)
            case b"REFUSED":
                fund = hold.funds[rest[1] - 1] if rest[1] else NO_FUND
                return Refused(rest[0].decode(), fund.account_id, _names(rest[3:]), rest[2], fund.fund)
            case b"STALE":
                return Stale(_names(rest[1:]), rest[0])
            case b"VOID":
                return Void(opseq)
            case b"UNARMED":
                return Unarmed(opseq)
        raise ValueError(f"hold of {rid}: {rest}")

    def batch(self, operations: Sequence[Operation]) -> list[Result]:
        """Apply operations in order, one round trip for all, and return their results in the same order.

        Raises StoreUnavailable where any answer is missing: all are to be repeated with their ids.
        """
        calls = [self._call(operation) for operation in operations]
        replies = self._client.fcalls(calls)
        return [self._result(call, reply) for call, reply in zip(calls, replies, strict=True)]

    def describe(self, rid: str) -> Reservation | None:
        """Return a reservation, also an ended one for an hour; None where Redis knows none."""
        return _reservation(self._question(DESCRIBE, rid, DESCRIBE_FORM, key=keys.reservation(rid)))

    def described(self, rids: Sequence[str]) -> dict[str, Reservation]:
        """Return those of the reservations that Redis knows, in few round trips; each is of its own moment."""
        found: dict[str, Reservation] = {}
        for start in range(0, len(rids), DESCRIBED_AT_ONCE):
            part = rids[start : start + DESCRIBED_AT_ONCE]
            calls = [Fcall(DESCRIBE, (keys.reservation(rid),), (f"{rid}:?", rid, DESCRIBE_FORM)) for rid in part]
            for rid, call, reply in zip(part, calls, self._client.fcalls(calls), strict=True):
                if isinstance(reply, FunctionFailed):
                    raise reply
                reservation = _reservation(self._echoed(call, reply))
                if reservation is not None:
                    found[rid] = reservation
        return found

    def of_node(self, node: str = "", after: str = "", limit: int = 100) -> Page:
        """Return a page of the open reservations that `node` ("" = any) carries, about `limit` (≤ 1000) looked at.

        after: of the page before, "" = the first. A page may be empty and not the last one. Reads only, also unarmed.
        """
        _, _, found_after, *rids = self._question("tandem_of_node_1", node, after or "0", limit)
        return Page(_names(rids), "" if found_after == b"0" else found_after.decode())

    def expired(self, limit: int) -> list[tuple[str, int]]:
        """Return (rid, sequence) of at most `limit` (≤ 1000) leases that are past by Redis' clock, oldest first.

        Sequence -1: a lease without its reservation; a Release removes it.
        """
        _, _, *rest = self._question("tandem_expired_1", limit)
        return [(rid.decode(), seq) for rid, seq in zip(rest[::2], rest[1::2], strict=True)]

    def status(self) -> MoneyStatus:
        """Return whether operations are taken, for which epoch, how many were, and whether calls are wanted."""
        question = self.ask_status()
        return self.told_status(question, self._client.fcall_ro(*question))

    def ask_status(self) -> Fcall:
        """Return the question of `status`, a function that only reads, to be asked beside other commands."""
        return Fcall("tandem_status_1", (), (self._next_question(),))

    def told_status(self, question: Fcall, reply: Reply) -> MoneyStatus:
        """Return what `ask_status` was answered."""
        _, opseq, epoch, armed, *later = self._echoed(question, reply)
        return MoneyStatus(epoch, armed == 1, opseq, *later)

    def balances(self, funds: Sequence[str]) -> list[Balance]:
        """Return the balances of `funds` (≥ 1) as of one moment, in their order."""
        names = [*(keys.fund_terms(fund) for fund in funds), *(keys.fund_state(fund) for fund in funds)]
        values = self._client.execute("MGET", *names)
        terms, states = values[: len(funds)], values[len(funds) :]
        return [_balance(*parts) for parts in zip(funds, terms, states, strict=True)]

    def arm(self, epoch: int) -> None:
        """Open the functions for `epoch` (≥ the last one). Needs more rights than a worker's. Raises ValueError."""
        self._command("tandem_arm_1", epoch)

    def restore_fund(
        self, fund: str, charged_micros: int, n: int, day: Spent = NOTHING_SPENT, month: Spent = NOTHING_SPENT
    ) -> None:
        """Set a fund's sum of charges, last event number and spend, only while unarmed. Raises ValueError when armed.

        day, month: the last windows that have charges.
        """
        self._command("tandem_restore_fund_1", fund, charged_micros, n, *day, *month)

    def recount(self, fund: str, held_micros: int, channels: int, channels_out: int, channels_in: int) -> None:
        """Set what a fund holds for its open reservations, only while unarmed. Raises ValueError when armed."""
        self._command("tandem_recount_1", fund, held_micros, channels, channels_out, channels_in)

    def void(self, rid: str) -> None:
        """End an open reservation without an event, only while unarmed; a recount must follow. Raises ValueError."""
        self._command("tandem_void_1", rid, key=keys.reservation(rid))

    def amend(self, rid: str, seq: int, billed_s: int, posted_micros: Sequence[int]) -> None:
        """Say what parts of an open call have charged as Postgres has it, only while unarmed. Raises ValueError.

        seq: the highest that Postgres has of this call; the reservation's own never falls. billed_s: of the last part,
        from the call's start. posted_micros: per fund of the hold, at most what is held.
        """
        args = (rid, seq, billed_s, msgpack.packb(list(posted_micros)))
        self._command("tandem_amend_1", *args, key=keys.reservation(rid))

    def rehold(self, told: Sequence[Rehold]) -> list[Result]:
        """Tell calls that go on to a Redis that is rebuilt, one round trip for all; results in the same order.

        Applied; Replayed: told before, or Redis knows it later than we do; Unarmed: that epoch is not being built;
        Invalid: never, as when it is over. Raises StoreUnavailable: all are to be told again, which is harmless.
        """
        calls = [self._rehold(each) for each in told]
        return [self._result(call, reply) for call, reply in zip(calls, self._client.fcalls(calls), strict=True)]

    def adopted(self, epoch: int, count: int) -> bool:
        """Say that this node has told all its calls, `count`; return False where that epoch is not being built."""
        code, *_ = self._ask(Fcall("tandem_adopted_1", (), (self._next_question(), self._node, epoch, count)))
        return bool(code == b"OK")

    def _rehold(self, told: Rehold) -> Fcall:
        talked_ms = NOT_ANSWERED if told.talked_ms is None else told.talked_ms
        numbers = (told.op_id, told.granted_s, talked_ms, told.server_id, told.node_answered_ms, told.billed_s)
        ask = msgpack.packb([*numbers, told.funds, told.sides, told.held, told.posted, told.place, told.joins])
        legs = told.legs if len(told.legs) <= LEGS_MAX else b""
        op_id = f"{told.op_id}:rehold@{self._node}"
        args = (told.seq, self._lease_ms(told.lease_s), self._node, told.epoch, ask, told.pinned, legs)
        return Fcall("tandem_rehold_1", (keys.reservation(told.rid),), (op_id, told.rid, *args))

    def _call(self, operation: Operation) -> Fcall:
        # Operations of two kinds or nodes must never pass for one: after a restart a sequence may be used again, and
        # two nodes may both believe that a call is theirs.
        kind = type(operation).__name__.lower()
        key, op_id = keys.reservation(operation.rid), f"{operation.op_id}:{kind}@{self._node}"
        return Fcall(f"tandem_{kind}_1", (key,), (op_id, operation.rid, *self._arguments(operation)))

    def _arguments(self, operation: Operation) -> tuple[Argument, ...]:
        """Return what follows the reservation id."""
        match operation:
            case Answer(seq=seq, lease_s=lease_s, server_id=server_id, answered_ms=answered_ms, legs=legs):
                kept = legs if len(legs) <= LEGS_MAX else b""  # the mark of the answer matters more
                held = operation.held_s, operation.held_micros
                who = msgpack.packb([operation.place, operation.joins, *held, operation.leaves])
                marks = self._node, server_id, answered_ms, kept
                found: tuple[Argument, ...] = (seq, self._lease_ms(lease_s), *marks, who)
            case Adopt(seq=seq, lease_s=lease_s):
                found = (seq, self._lease_ms(lease_s), self._node)
            case Extend(seq=seq, rows=rows, lease_s=lease_s):
                found = (seq, self._lease_ms(lease_s), self._node, msgpack.packb(_flat(rows)))
            case Part(seq=seq, billed_s=billed_s, price_micros=prices, end=end):
                found = (seq, billed_s, msgpack.packb(prices), end)
            case Settle(seq=seq, billed_s=billed_s, price_micros=prices, end=end):
                found = (seq, billed_s, msgpack.packb(prices), end)
            case Release(seq=seq, end=end):
                found = (seq, end)
            case Note(call=call, end=end):
                found = (call, end)
            case Late(seq=seq, call=call, end=end):
                found = (seq, call, end)
        return found

    def _result(self, call: Fcall, reply: Reply | FunctionFailed) -> Result:
        if isinstance(reply, FunctionFailed):
            if reply.is_bug:
                return Invalid(reply.text)
            raise reply
        code, opseq, *rest = self._echoed(call, reply)
        match code:
            case b"APPLIED":
                return Applied(rest[0], opseq)
            case b"REPLAYED":
                return Replayed(rest[0], opseq)
            case b"UNKNOWN":
                return Unknown(opseq)
            case b"UNARMED":
                return Unarmed(opseq)
        return Invalid(rest[0].decode())

    def _ask(self, call: Fcall) -> list[Reply]:
        return self._echoed(call, self._client.fcall(*call))

    def _question(self, name: str, *args: Argument, key: str = "") -> list[Reply]:
        call = Fcall(name, (key,) if key else (), (self._next_question(), *args))
        return self._echoed(call, self._client.fcall_ro(*call))

    def _command(self, name: str, *args: Argument, key: str = "") -> None:
        code, _, *rest = self._ask(Fcall(name, (key,) if key else (), (self._next_question(), *args)))
        if code != b"OK":
            raise ValueError(f"{name}: {rest[0].decode()}")

    def _next_question(self) -> str:
        self._questions += 1
        return f"q{self._questions}"

    def _echoed(self, call: Fcall, reply: Reply) -> list[Reply]:
        """Return the reply without the id. Raises StoreUnavailable when the id is not the one sent."""
        sent = str(call.args[0])
        if not isinstance(reply, list) or reply[0] != sent.encode():
            raise self._client.desynced(f"asked {sent}, got {reply!r:.60}")
        return reply[1:]

    def _lease_ms(self, lease_s: int) -> int:
        return (lease_s + self._grace_s) * 1000


def _reservation(answer: list[Reply]) -> Reservation | None:
    """Return what DESCRIBE answers, None where Redis knows no such reservation."""
    code, _, *rest = answer
    if code != b"OK":
        return None
    state, pinned, granted_s, answered_ms, seq, node, lease_ms, funds, held, server_id, *later = rest
    posted, billed_s, node_answered_ms, legs, sides, adopted_epoch, *latest = later
    place, joins = latest or (-1, [])  # functions of the release before know no answerer
    return Reservation(
        pinned=pinned,
        funds=_names(funds),
        granted_s=granted_s,
        held=tuple(held),
        answered_ms=answered_ms,
        seq=seq,
        state=state.decode(),
        node=node.decode(),
        lease_ms=lease_ms,
        server_id=server_id,
        posted=tuple(posted),
        billed_s=billed_s,
        node_answered_ms=node_answered_ms,
        legs=legs,
        sides=tuple(sides),
        adopted_epoch=adopted_epoch,
        place=place,
        joins=_names(joins),
    )


def _told(rest: list[Reply]) -> tuple[tuple[int, ...], tuple[int, ...], list[Reply]]:
    """Return what a hold tells of others, and what follows: functions of the release before tell nothing."""
    if not rest or not isinstance(rest[0], list):
        return (), (), rest
    counts, turns = rest[0]
    return tuple(counts), tuple(turns), rest[1:]


def _flat(rows: tuple[HoldRow, ...]) -> list[int]:
    if not rows:
        return []
    talk_s, price_micros = zip(*rows, strict=True)
    return list(chain.from_iterable(zip(talk_s, *zip(*price_micros, strict=True), strict=True)))


def _names(items: list[bytes]) -> tuple[str, ...]:
    return tuple(item.decode() for item in items)


def _balance(fund: str, terms: bytes | None, state: bytes | None) -> Balance:
    found = FundState.unpack(state) if state else FundState()
    return Balance(
        fund,
        codec.unpack(FundTerms, terms) if terms else None,
        charged_micros=found.charged_micros,
        held_micros=found.held_micros,
        channels=found.channels,
        n=found.n,
        channels_in=found.channels_in,
        channels_out=found.channels_out,
        day_spent_micros=found.day.micros,
        day_id=found.day.id,
        month_spent_micros=found.month.micros,
        month_id=found.month.id,
    )
