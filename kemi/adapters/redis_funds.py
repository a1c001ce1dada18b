"""The money functions of Redis as methods: one round trip each, every answer a value.

Rule 1: the answer's first item must be the id that was sent; anything else means that the connection is one reply
off, and the connection is dropped.
Rule 2: nothing is retried here. After StoreUnavailable the caller repeats with the SAME operation id, or releases.
Rule 3: a reservation id and its operation ids are unique for ever; sequences rise within a reservation, 0 = reserve.

What each function does stands in functions/money.lua.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

import msgpack

from kemi import keys
from kemi.adapters.redis_client import Argument, Fcall, FunctionFailed, RedisClient, Reply
from kemi.core.outcome import Hold, HoldRow
from kemi.records import Status

FUND_STATE: Final = struct.Struct("<B6d")


class Held(NamedTuple):
    """All levels hold `granted_s` seconds of talk. changed: drop these names, then the view is that of config_pass.

    replayed: the hold is an earlier request's; whoever asks with the same id gets no second one.
    """

    granted_s: int
    changed: tuple[str, ...]
    config_pass: int
    opseq: int
    replayed: bool = False


class Refused(NamedTuple):
    """Nothing is held. reason: credit, channels, cps, status, full. account_id: the level, 0 = the store itself."""

    reason: str
    account_id: int
    changed: tuple[str, ...]
    config_pass: int


class Stale(NamedTuple):
    """Nothing is held: the decision used a name that has changed since. No name in `changed`: drop everything."""

    changed: tuple[str, ...]
    config_pass: int


class Void(NamedTuple):
    """Nothing is held, and never will be under this id: it was released, settled or refused before."""

    opseq: int


class Unarmed(NamedTuple):
    """Redis may have lost operations; nothing is applied until it is armed again."""

    opseq: int


class Applied(NamedTuple):
    """The operation took place now. granted_s: seconds of talk that the reservation holds in all."""

    granted_s: int
    opseq: int


class Replayed(NamedTuple):
    """The operation took place before; granted_s is what it answered then."""

    granted_s: int
    opseq: int


class Unknown(NamedTuple):
    """Redis does not hold this reservation: what it would have charged is posted in Postgres."""

    opseq: int


class Invalid(NamedTuple):
    """The operation can never be applied; text says why."""

    text: str


class Answer(NamedTuple):
    """The call was answered. lease_s: seconds from now until the granted talk ends; grace comes on top.

    server_id: who answered, 0 for a phone of ours; what is owed to a carrier must be known when its call has no end.
    """

    op_id: str
    rid: str
    seq: int
    lease_s: int
    server_id: int = 0


class Extend(NamedTuple):
    """Hold more. rows: cumulative from the call's start, beyond the granted seconds. lease_s: to the last row's end."""

    op_id: str
    rid: str
    seq: int
    rows: tuple[HoldRow, ...]
    lease_s: int


class Settle(NamedTuple):
    """The call ended after an answer. price_micros: per fund of the hold, at most what it holds. end: CallEnd bytes."""

    op_id: str
    rid: str
    seq: int
    billed_s: int
    price_micros: tuple[int, ...]
    end: bytes


class Release(NamedTuple):
    """The call ended unanswered, or nobody knows whether it was held. end: CallEnd bytes."""

    op_id: str
    rid: str
    seq: int
    end: bytes


class Note(NamedTuple):
    """A call for which nothing was held. call, end: PinnedCall and CallEnd bytes."""

    op_id: str
    rid: str
    call: bytes
    end: bytes


class Late(NamedTuple):
    """How a call ended of which Redis holds nothing any more, or nothing that fits: told, and charged in Postgres.

    seq: above all others of this call that its node has used. call, end: PinnedCall and CallEnd bytes.
    """

    op_id: str
    rid: str
    seq: int
    call: bytes
    end: bytes


Operation = Answer | Extend | Settle | Release | Note | Late
Result = Applied | Replayed | Unknown | Unarmed | Invalid


class Reservation(NamedTuple):
    """A reservation as it stands. state: held, answered, settled, released, void, refused.

    pinned: PinnedCall bytes, empty once ended, except where a sweeper ended it: the real end may yet come. held:
    micros per fund, in the order of funds. node: the last that worked on it. lease_ms: expiry by Redis' clock, 0 = no
    lease. server_id: who answered, 0 = nobody or a phone.
    """

    pinned: bytes
    funds: tuple[str, ...]
    granted_s: int
    held: tuple[int, ...]
    answered_ms: int
    seq: int
    state: str
    node: str
    lease_ms: int
    server_id: int = 0


class MoneyStatus(NamedTuple):
    """epoch: of the key, 0 = none. armed: operations are taken. opseq: operations applied so far."""

    epoch: int
    armed: bool
    opseq: int


class FundTerms(NamedTuple):
    """Postgres' part of a fund, as the sync writes it: a msgpack array in this order.

    cver: version of cred. credit_limit_micros: -1 = unlimited. status: of kemi/records.py. maxima: 0 = unlimited.
    """

    cver: int
    cred_micros: int
    credit_limit_micros: int = 0
    status: int = Status.ACTIVE
    channels_max: int = 0
    cps_max: int = 0


class Balance(NamedTuple):
    """One fund, both owners' parts as of one moment. terms None: none have come. n: number of its last event."""

    fund: str
    terms: FundTerms | None
    charged_micros: int
    held_micros: int
    channels: int
    n: int


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
        ask = [
            self._node,
            self._lease_ms(lease_s),
            seen_pass,
            [fund.fund for fund in hold.funds],
            [fund.channels for fund in hold.funds],
            _flat(hold.rows),
        ]
        args = (op_id, rid, msgpack.packb(ask), msgpack.packb(hold.used), pinned)
        code, opseq, *rest = self._ask(Fcall("tandem_reserve_1", (keys.reservation(rid),), args))
        match code:
            case b"HELD":
                return Held(rest[0], _names(rest[2:]), rest[1], opseq)
            case b"REPLAYED":
                return Held(rest[0], (), rest[1], opseq, replayed=True)
            case b"REFUSED":
                account_id = hold.funds[rest[1] - 1].account_id if rest[1] else 0
                return Refused(rest[0].decode(), account_id, _names(rest[3:]), rest[2])
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
        code, _, *rest = self._question("tandem_describe_1", rid, key=keys.reservation(rid))
        if code != b"OK":
            return None
        state, pinned, granted_s, answered_ms, seq, node, lease_ms, funds, held, server_id = rest
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
        )

    def expired(self, limit: int) -> list[tuple[str, int]]:
        """Return (rid, sequence) of at most `limit` (≤ 1000) leases that are past by Redis' clock, oldest first.

        Sequence -1: a lease without its reservation; a Release removes it.
        """
        _, _, *rest = self._question("tandem_expired_1", limit)
        return [(rid.decode(), seq) for rid, seq in zip(rest[::2], rest[1::2], strict=True)]

    def status(self) -> MoneyStatus:
        """Return whether operations are taken, for which epoch, and how many were."""
        _, opseq, epoch, armed = self._question("tandem_status_1")
        return MoneyStatus(epoch, armed == 1, opseq)

    def balances(self, funds: Sequence[str]) -> list[Balance]:
        """Return the balances of `funds` (≥ 1) as of one moment, in their order."""
        names = [*(keys.fund_terms(fund) for fund in funds), *(keys.fund_state(fund) for fund in funds)]
        values = self._client.execute("MGET", *names)
        terms, states = values[: len(funds)], values[len(funds) :]
        return [_balance(*parts) for parts in zip(funds, terms, states, strict=True)]

    def arm(self, epoch: int) -> None:
        """Open the functions for `epoch` (≥ the last one). Needs more rights than a worker's. Raises ValueError."""
        self._command("tandem_arm_1", epoch)

    def restore_fund(self, fund: str, charged_micros: int, n: int) -> None:
        """Set a fund's sum of charges and last event number, only while unarmed. Raises ValueError when armed."""
        self._command("tandem_restore_fund_1", fund, charged_micros, n)

    def _call(self, operation: Operation) -> Fcall:
        head: tuple[Argument, ...] = (operation.op_id, operation.rid)
        key = (keys.reservation(operation.rid),)
        match operation:
            case Answer(seq=seq, lease_s=lease_s, server_id=server_id):
                tail = (self._lease_ms(lease_s), self._node, server_id)
                return Fcall("tandem_answer_1", key, (*head, seq, *tail))
            case Extend(seq=seq, rows=rows, lease_s=lease_s):
                more = (self._lease_ms(lease_s), self._node, msgpack.packb(_flat(rows)))
                return Fcall("tandem_extend_1", key, (*head, seq, *more))
            case Settle(seq=seq, billed_s=billed_s, price_micros=prices, end=end):
                return Fcall("tandem_settle_1", key, (*head, seq, billed_s, msgpack.packb(prices), end))
            case Release(seq=seq, end=end):
                return Fcall("tandem_release_1", key, (*head, seq, end))
            case Note(call=call, end=end):
                return Fcall("tandem_note_1", key, (*head, call, end))
            case Late(seq=seq, call=call, end=end):
                return Fcall("tandem_late_1", key, (*head, seq, call, end))

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

    def _command(self, name: str, *args: Argument) -> None:
        code, _, *rest = self._ask(Fcall(name, (), (self._next_question(), *args)))
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


def _flat(rows: tuple[HoldRow, ...]) -> list[int]:
    return list(chain.from_iterable((row.talk_s, *row.price_micros) for row in rows))


def _names(items: list[bytes]) -> tuple[str, ...]:
    return tuple(item.decode() for item in items)


def _balance(fund: str, terms: bytes | None, state: bytes | None) -> Balance:
    row: Any = msgpack.unpackb(terms) if terms else None
    parts: tuple[Any, ...] = FUND_STATE.unpack_from(state) if state else (0,) * 7
    charged, held, channels, n = (int(part) for part in parts[1:5])
    return Balance(fund, FundTerms(*row) if row else None, charged, held, channels, n)
