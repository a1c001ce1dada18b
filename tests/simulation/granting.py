"""Judges what gives: a call asks for its hold, and for more of it."""

from __future__ import annotations

from typing import Any

from kemi import codec
from kemi.core.rating import alternatives, by_fund, charges
from kemi.records import PinnedCall
from tests.simulation.comparing import SWEEP, Comparing
from tests.simulation.ledger_model import Answered, Transfer, bars
from tests.simulation.redis_shim import RedisShim
from tests.simulation.requests import Request, rows_fault, split_rows
from tests.simulation.violation import require


class Granting(Comparing):
    """The part of the judge that hears reserve and extend."""

    def __init__(self, redis: RedisShim, surroundings: Any) -> None:
        super().__init__(redis, surroundings)
        self._memory_seen: dict[int, set[bool]] = {}

    def _judge_reserve(self, request: Request, reply: Any) -> tuple[int, None]:
        if self._unarmed(request, reply):
            return 0, None
        code, known = reply[1].decode(), self.ledger.transfers.get(request.rid)
        if request.fault:
            require("validated", code == "INVALID", f"{request.rid} with bad {request.fault}: {code}")
            return 0, None
        if known is not None:
            self._judge_repeated(request, known, code, reply)
            return 0, None
        require("validated", code != "INVALID", f"{request.rid}: {reply[-1]!r}")
        stale = self.stored.must_be_stale(request.seen_pass, request.used)
        require("stale", stale == (code == "STALE"), f"{request.rid} seen {request.seen_pass}: {code}, stale {stale}")
        if stale:
            return 0, None
        if code == "REFUSED":
            self._judge_refusal(request, reply[3].decode(), reply[4])
            return 0, None
        require("once", code == "HELD", f"{request.rid} was never asked for: {code}")
        self._judge_grant(request, reply[3], reply[5:6])
        return 1, None

    def _judge_repeated(self, request: Request, known: Transfer, code: str, reply: Any) -> None:
        if known.is_pending and known.answers[0].op_id == request.op_id:
            require("once", code in ("HELD", "REPLAYED"), f"{request.rid} is held: {code}")
            require("once", reply[3] == known.answers[0].granted_s, f"{request.rid}: another answer, {reply[3]} s")
            require("told", _told(reply[5:6]) == known.told, f"{request.rid}: told {reply[5:6]}, before {known.told}")
        else:
            require("void", code == "VOID", f"{request.rid} is {known.state}: {code}")

    def _judge_refusal(self, request: Request, reason: str, position: int) -> None:
        """Check that the fund at `position` refuses for that reason, and none before it for any."""
        if reason == "full" and position == 0:
            require("memory", True in self._memory(), f"{request.rid}: refused, but there is memory")
            return
        require("memory", self._memory() != {True}, f"{request.rid}: {reason} instead of full")
        barred = self._bars(request)
        if not any(barred):
            barred = self._short(request.funds, request.rows[0], (0,) * len(request.funds))
        require("level", 1 <= position <= len(request.funds), f"{request.rid}: level {position}")
        what = f"{request.rid}: {reason} at level {position}, true is {barred}"
        require("refused", reason in barred[position - 1], what)
        require("level", not any(barred[: position - 1]), what)
        self._count(reason)

    def _judge_told(self, request: Request, told: list[list[int]] | None) -> None:
        """Check what a hold tells of others: as of the moment before it."""
        now_ms = self.redis.now_ms()
        counts = [self.ledger.account(fund).channels for fund in request.asks]
        turns = [self.ledger.turn(group, now_ms) for group in request.turns]
        wanted = [counts, turns] if (counts or turns) and not self.is_first_release else None
        require("told", told == wanted, f"{request.rid}: told {told}, not {wanted}")
        self.ledger.take_turns(request.turns, now_ms)

    def _judge_grant(self, request: Request, granted_s: int, more: list[Any]) -> None:
        self._judge_told(request, _told(more))
        require("memory", self._memory() != {True}, f"{request.rid}: held at full memory")
        newer = self.stored.newer_than(request.seen_pass, request.used)
        require("stale", not newer, f"{request.rid} held, seen {request.seen_pass}, but {newer} changed since")
        for fund, barred in zip(request.funds, self._bars(request), strict=True):
            require("refused" if not barred else min(barred), not barred, f"{request.rid} held, though {fund} {barred}")
        row = self._largest(request.funds, request.rows, (0,) * len(request.funds))
        self._check_row(request, row, granted_s)
        now = self.redis.now_ms()
        transfer = Transfer(
            rid=request.rid,
            state="held",
            granted_s=granted_s,
            funds=request.funds,
            sides=self._sides(request),
            amounts=next((each[1:] for each in request.rows if each[0] == granted_s), ()),
            posted=(0,) * len(request.funds),
            lease_ms=now + request.lease_ms,
            call=request.call,
            node=request.node,
            answers=(Answered(request.op_id, "reserve", granted_s),),
            told=_told(more),
        )
        self._check_enough(transfer)
        self.ledger.reserve(transfer, now)
        self._keep(transfer)
        self._count("reserve")

    def _check_enough(self, transfer: Transfer) -> None:
        """Check that what is held pays for the seconds that are granted, by the prices that the call has pinned."""
        call = codec.unpack(PinnedCall, transfer.call)
        ways = [by_fund(way, transfer.funds) for way in alternatives(call.legs, call.targets)]
        costs = [charges(way, transfer.granted_s, call.started_ms) for way in ways]
        due = tuple(max(prices) for prices in zip(*costs, strict=True))
        enough = all(held >= price for held, price in zip(transfer.amounts, due, strict=True))
        require(
            "enough",
            enough,
            f"{transfer.rid}: {transfer.amounts} are held for {transfer.granted_s} s, which cost {due}",
        )

    def _bars(self, request: Request) -> list[set[str]]:
        second = self.redis.now_ms() // 1000
        pairs = zip(request.funds, self._sides(request), strict=True)
        return [bars(self.ledger.account(fund), self.terms(fund), sides, second) for fund, sides in pairs]

    def _sides(self, request: Request) -> tuple[int, ...]:
        return (0,) * len(request.sides) if self.is_first_release else request.sides

    def _memory(self) -> set[bool]:
        """Return how full the memory may be said to be: the functions ask once a second."""
        seen = self._memory_seen.setdefault(self.redis.now_ms() // 1000, set())
        seen.add(self.redis.memory_is_full)
        return seen

    def _opened(self, request: Request, reply: Any) -> Transfer | None:
        """Return the transfer that an operation has to be applied to; None when that is not so, after judging why."""
        if self._unarmed(request, reply):
            return None
        code, known = reply[1].decode(), self.ledger.transfers.get(request.rid)
        what = f"{request.kind} {request.op_id.decode()} of {known.state if known else 'nothing'}: {code}"
        if known is None:
            require("unknown", code == "UNKNOWN", what)
            return None
        before = known.earlier(request.op_id) if known.state != "void" else None
        if before and (known.must_remember(request.op_id) or code == "REPLAYED"):
            require("once", code == "REPLAYED" and reply[3] == before.granted_s, f"{what}, first {before}")
            alike = request.kind == before.kind or SWEEP in request.op_id
            require("replay", alike, f"{what}, but that id was of {before}")
            return None
        if not known.is_pending:
            require("closed", code == "UNKNOWN", what)
            return None
        if request.seq <= known.seq:
            require("sequence", code == "INVALID", f"{what}, after {known.seq}")
            return None
        return known

    def _judge_extend(self, request: Request, reply: Any) -> tuple[int, None]:
        known = self._opened(request, reply)
        if known is None:
            return 0, None
        rows = split_rows(request, len(known.funds))
        valid = request.lease_ms >= 0 and not rows_fault(rows, (known.granted_s, *known.amounts))
        if not self._applied(request, reply, None, valid=valid):
            return 0, None
        row = self._largest(known.funds, rows, known.amounts)
        granted_s = reply[3]
        self._check_row(request, row or (known.granted_s, *known.amounts), granted_s)
        if row is not None:
            lease_ms = self.redis.now_ms() + request.lease_ms - (rows[-1][0] - granted_s) * 1000
            known = self.ledger.raise_to(known, row[1:], self.redis.now_ms())
            known = known._replace(granted_s=granted_s, lease_ms=lease_ms)
        known = known.after(request.op_id, "extend", request.seq)._replace(node=request.node)
        self._keep(known, is_moved=row is not None)
        return 1, None


def _told(more: list[Any]) -> list[list[int]] | None:
    """Return what a hold tells of others, None where it is the first of the changed names, or nothing."""
    return more[0] if more and isinstance(more[0], list) else None
