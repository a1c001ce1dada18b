"""What the money functions are asked, and what they answer, as values; redis_funds.py carries them.

Rule 1: a reservation id and its operation ids are unique for ever; sequences rise within a reservation, 0 = reserve.
Rule 2: a hold and every price are totals of the whole call: rows, settlements and parts of it alike.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from kemi.core.outcome import HoldRow
from kemi.records import Opening, Status, Window

LEGS_MAX: Final = 4096
LEFT: Final = 4
"""In place of the sides of a line or user that was called, once somebody else has answered: it has no channel more."""

FUND_STATE: Final = struct.Struct("<B6d")  # the layout of the first release, which all others begin with
FUND_SIDES: Final = struct.Struct("<2d")
FUND_WINDOWS: Final = struct.Struct("<5d")


def sweep_id(rid: str, seq: int) -> str:
    """Return the operation id of who ends a call on a guess; its form tells the money functions that it is one."""
    return f"{rid}:sweep:{seq}"


def reserve_id(rid: str) -> str:
    """Return the operation id of a call's reserve."""
    return f"{rid}:0"


class Held(NamedTuple):
    """All levels hold `granted_s` seconds of talk. changed: drop these names, then the view is that of config_pass.

    replayed: the hold is an earlier request's; whoever asks with the same id gets no second one. counts: open calls of
    each asked fund, this one not among them. turns: of each group asked for, how many calls took its turn before. Both
    in the order of the hold, () where a store of an older release does not say.
    """

    granted_s: int
    changed: tuple[str, ...]
    config_pass: int
    opseq: int
    replayed: bool = False
    counts: tuple[int, ...] = ()
    turns: tuple[int, ...] = ()


class Refused(NamedTuple):
    """Nothing is held. reason: status, channels, channels_in, channels_out, cps, credit, spend_day, spend_month, full.

    account_id: the level that refuses, the nearest one that does; 0 = the store itself, which is full. fund: its fund,
    "" = the store itself.
    """

    reason: str
    account_id: int
    changed: tuple[str, ...]
    config_pass: int
    fund: str = ""


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
    answered_ms: Unix time of the 200 on the node's clock, what prices by time of day count from; the first one stays.
    legs: what another node needs to end the call on the wire, opaque; more than LEGS_MAX bytes are not kept, and b""
    leaves what is kept. place: of the target that answered, among those of the call; -1 = not known. joins: funds of
    lines and users that count the call from now on, without a look at their limits; those of the hold count it once,
    and where the place is known, those that were called and are not named count it no more.
    held_micros: per fund of the hold what held_s seconds cost where that target answered, in order to hold no more; ()
    = all of it is needed. Where other seconds are held by now it stays. leaves: funds of lines and users of the hold
    that would have led the call elsewhere, and count it no more as one that they lead on.
    """

    op_id: str
    rid: str
    seq: int
    lease_s: int
    server_id: int = 0
    answered_ms: int = 0
    legs: bytes = b""
    place: int = -1
    joins: tuple[str, ...] = ()
    held_s: int = 0
    held_micros: tuple[int, ...] = ()
    leaves: tuple[str, ...] = ()


class Extend(NamedTuple):
    """Hold more. rows: cumulative from the call's start, beyond the granted seconds. lease_s: to the last row's end."""

    op_id: str
    rid: str
    seq: int
    rows: tuple[HoldRow, ...]
    lease_s: int


class Part(NamedTuple):
    """The call goes on, and pays what it has talked. end: CallEnd bytes of the talk so far.

    billed_s: from the call's start; above those of every part before, at most the granted ones. price_micros: of all of
    them per fund of the hold, at least what was charged before, at most what is held. Charged is the difference.
    """

    op_id: str
    rid: str
    seq: int
    billed_s: int
    price_micros: tuple[int, ...]
    end: bytes


class Adopt(NamedTuple):
    """The asking node carries the call on. lease_s: as in Answer. Of two with one sequence the second gets Invalid."""

    op_id: str
    rid: str
    seq: int
    lease_s: int


class Settle(NamedTuple):
    """The call ended after an answer. end: CallEnd bytes.

    billed_s, price_micros: of the whole call, as in Part; what its parts have charged is not charged again.
    """

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

    seq: above all others of this call, below 2^31. call, end: PinnedCall and CallEnd bytes.
    """

    op_id: str
    rid: str
    seq: int
    call: bytes
    end: bytes


class Rehold(NamedTuple):
    """A call that goes on as its node knows it, for a Redis that lost it or part of it: taken only during a rebuild.

    op_id: of its reserve, whose repetitions get their answer. seq: the highest that Redis is known to have answered.
    epoch: that is being built. lease_s: as in Answer. talked_ms: since the answer, None = it rings. Else as in
    Reservation; sides 0 where nobody knows them; none of `joins` is among the funds.
    """

    op_id: str
    rid: str
    seq: int
    epoch: int
    lease_s: int
    pinned: bytes
    funds: tuple[str, ...]
    sides: tuple[int, ...]
    granted_s: int
    held: tuple[int, ...]
    posted: tuple[int, ...]
    billed_s: int = 0
    talked_ms: int | None = None
    server_id: int = 0
    node_answered_ms: int = 0
    legs: bytes = b""
    place: int = -1
    joins: tuple[str, ...] = ()


Operation = Answer | Extend | Part | Adopt | Settle | Release | Note | Late
Result = Applied | Replayed | Unknown | Unarmed | Invalid


class Reservation(NamedTuple):
    """A reservation as it stands. state: held, answered, settled, released, void, refused.

    pinned: PinnedCall bytes, empty once ended, except where a sweeper ended it: the real end may yet come. held: micros
    per fund, in the order of funds, for all the granted seconds; posted: how many of these its parts have charged, so
    that its fund still holds the difference. billed_s: seconds that the parts have charged. node: the last that worked
    on it. lease_ms: expiry by Redis' clock, 0 = no lease. server_id: who answered, 0 = nobody or a phone. answered_ms:
    when Redis heard of the answer; node_answered_ms: when the node saw it, 0 = not answered, or by an older release.
    legs: as in Answer. sides: as in HoldFund; 0 = held by an older release, one channel without a side. adopted_epoch:
    of the rebuild that its node told it to, 0 = it was never lost. place: as in Answer. joins: funds beside those of
    the hold that count the call since its answer, one channel in each.
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
    posted: tuple[int, ...] = ()
    billed_s: int = 0
    node_answered_ms: int = 0
    legs: bytes = b""
    sides: tuple[int, ...] = ()
    adopted_epoch: int = 0
    place: int = -1
    joins: tuple[str, ...] = ()


class Page(NamedTuple):
    """Some of the open reservations. after: ask with it for the next page; "" = these were the last.

    A reservation that is open all the time stands on at least one of the pages, one whose lease moves perhaps on two.
    """

    rids: tuple[str, ...]
    after: str


class MoneyStatus(NamedTuple):
    """epoch: of the key, 0 = none. armed: operations are taken. opseq: operations applied so far.

    building: the epoch for which nodes are to tell their calls, 0 = none.
    """

    epoch: int
    armed: bool
    opseq: int
    building: int = 0


class FundTerms(NamedTuple):
    """Postgres' part of a fund, as the sync writes it: a msgpack array in this order.

    cver: version of cred. credit_limit_micros: -1 = unlimited. status: of kemi/records. Maxima: 0 = unlimited;
    channels_max counts calls of either side, day_max_micros and month_max_micros what the window charged and what is
    held. days, months: the windows that are known, rising; needed where there is such a maximum, else (). opening: what
    they begin with, None where there is no such maximum. A line's or user's fund has maxima of channels alone: its
    credit is 0 and its limit -1; where it has no terms at all it has no limit.
    """

    cver: int
    cred_micros: int
    credit_limit_micros: int = 0
    status: int = Status.ACTIVE
    channels_max: int = 0
    cps_max: int = 0
    channels_in_max: int = 0
    channels_out_max: int = 0
    day_max_micros: int = 0
    month_max_micros: int = 0
    days: tuple[Window, ...] = ()
    months: tuple[Window, ...] = ()
    opening: Opening | None = None


class Spent(NamedTuple):
    """What calls have charged in the day or month `id`; id 0: in none."""

    id: int = 0
    micros: int = 0


NOTHING_SPENT: Final = Spent()


class FundState(NamedTuple):
    """Redis' part of a fund. second, calls: how many calls were granted in that second of Redis. Else as in Balance.

    opening: version of the one that the windows began with, 0 = none.
    """

    charged_micros: int = 0
    held_micros: int = 0
    channels: int = 0
    n: int = 0
    second: int = 0
    calls: int = 0
    channels_out: int = 0
    channels_in: int = 0
    day: Spent = NOTHING_SPENT
    month: Spent = NOTHING_SPENT
    opening: int = 0

    @classmethod
    def unpack(cls, state: bytes) -> FundState:
        """Read the bytes that the money functions keep: sides are missing in old ones, windows where nobody counts."""
        charged, held, channels, n, second, calls = map(int, FUND_STATE.unpack_from(state)[1:])
        rest = state[FUND_STATE.size :]
        out, in_ = map(int, FUND_SIDES.unpack_from(rest)) if len(rest) >= FUND_SIDES.size else (0, 0)
        rest = rest[FUND_SIDES.size :]
        windows = FUND_WINDOWS.unpack_from(rest) if len(rest) >= FUND_WINDOWS.size else (0,) * 5
        day_id, day, month_id, month, opening = map(int, windows)
        spent = Spent(day_id, day), Spent(month_id, month)
        return cls(charged, held, channels, n, second, calls, out, in_, *spent, opening)


class Balance(NamedTuple):
    """One fund, both owners' parts as of one moment. terms None: none have come. n: number of its last event.

    day, month: as of the last hold or charge, so of a window that may be over; counted only where terms have windows.
    """

    fund: str
    terms: FundTerms | None
    charged_micros: int
    held_micros: int
    channels: int
    n: int
    channels_in: int = 0
    channels_out: int = 0
    day_spent_micros: int = 0
    day_id: int = 0
    month_spent_micros: int = 0
    month_id: int = 0
