"""Judges what makes a Redis right again: what settlement sets, what nodes tell, and the arming."""

from __future__ import annotations

from typing import Any

from tests.simulation.comparing import Surroundings
from tests.simulation.ending import Ending
from tests.simulation.ledger_model import Answered, Transfer
from tests.simulation.redis_shim import RedisShim
from tests.simulation.requests import Request
from tests.simulation.violation import require


class Rebuilding(Ending):
    """The part of the judge that hears of repairs.

    was_armed: whether Redis had to take operations when the last command came: some take its epoch away. told: node ->
    the epoch for which it has told its calls, and which these are.
    """

    def __init__(self, redis: RedisShim, surroundings: Surroundings) -> None:
        super().__init__(redis, surroundings)
        self.was_armed = False
        self.told_by: dict[str, tuple[int, frozenset[str]]] = {}

    def _judge_rehold(self, request: Request, reply: Any) -> tuple[int, None]:
        code, known = reply[1].decode(), self.ledger.transfers.get(request.rid)
        what = f"rehold of {request.rid}, {known.state if known else 'unknown'}: {code}"
        if self.was_armed or self.stored.building != request.epoch:
            require("armed", code == "UNARMED", what)
            return 0, None
        if known is not None and not known.is_pending:
            require("closed", code == "INVALID", what)
            return 0, None
        is_later = known is not None and (known.seq, known.node) > (request.seq, known.node)
        is_other = known is not None and known.seq == request.seq and known.node != request.node
        is_again = known is not None and known.adopted == request.epoch
        require("told", code == ("REPLAYED" if is_later or is_other or is_again else "APPLIED"), what)
        lease_ms = self.redis.now_ms() + request.lease_ms
        if known is not None and (is_later or is_other):
            told = known._replace(adopted=request.epoch, lease_ms=max(lease_ms, known.lease_ms))
        else:
            told = _told(request, known, lease_ms)
        self.ledger.hold_again(told)
        self._keep(told)
        self._count("rehold")
        return 0, None

    def _judge_adopted(self, request: Request, reply: Any) -> tuple[int, None]:
        is_asked = not self.was_armed and self.stored.building == request.epoch
        what = f"{request.node!r} has told epoch {request.epoch}: {reply[1]!r}"
        require("armed", is_asked == (reply[1] == b"OK"), what)
        if is_asked:
            node = request.node.decode()
            self.told_by[node] = (request.epoch, self._surroundings.carried_by(node))
        return 0, None

    def _judge_amend(self, request: Request, reply: Any) -> tuple[int, None]:
        known = self.ledger.transfers.get(request.rid)
        is_due = not self.was_armed and known is not None and known.is_pending
        require("amended", is_due == (reply[1] == b"OK"), f"{request.rid} is {known and known.state}: {reply[1:]!r}")
        if known is not None and is_due:
            seq = max(known.seq, request.seq)
            self.ledger.store(known._replace(seq=seq, billed_s=request.billed_s, posted=request.prices))
            self._count("amend")
        return 0, None

    def _judge_arm(self, _: Request, reply: Any) -> tuple[int, None]:
        if reply[1] == b"OK":
            self.epoch = self.stored.epoch
            self._surroundings.check_armed(self)
        return 0, None

    def _judge_void(self, request: Request, reply: Any) -> tuple[int, None]:
        known = self.ledger.transfers.get(request.rid)
        is_due = not self.was_armed and known is not None and known.is_pending
        require("voided", is_due == (reply[1] == b"OK"), f"{request.rid} is {known and known.state}: {reply[1]!r}")
        if known is not None and is_due:
            self._bury(request._replace(kind="void", seq=known.seq), "void")
            self.ledger.note_void(request.rid)
        return 0, None

    def _judge_recount(self, request: Request, reply: Any) -> tuple[int, None]:
        require("armed", not (self.was_armed and reply[1] == b"OK"), f"{request.rid} is recounted while armed")
        if reply[1] == b"OK":
            taken = self.ledger.taken(request.rid)
            require("recounted", request.numbers == taken, f"{request.rid}: {request.numbers}, not {taken}")
            self.ledger.recount(request.rid, taken)
        return 0, None

    def _judge_restore_fund(self, request: Request, reply: Any) -> tuple[int, None]:
        fund = request.rid
        require("armed", not (self.was_armed and reply[1] == b"OK"), f"the sums of {fund} were set while armed")
        if reply[1] == b"OK":
            charged, n, *windows = request.numbers
            found = self.stored.sums(fund)
            kept = [*found.day, *found.month][: len(windows)]
            same = (found.charged_micros, found.n, *kept) == (charged, n, *windows)
            require("restored", same, f"{fund}: {found}, not {request.numbers}")
            self.ledger.restore(fund, charged, n, found.day, found.month)
            self._surroundings.check_restored(fund, found)
        return 0, None


def _told(request: Request, known: Transfer | None, lease_ms: int) -> Transfer:
    """Return a call as its node tells it; what Redis knows of answers stays."""
    (granted_s,) = request.numbers
    return Transfer(
        rid=request.rid,
        state="answered" if request.is_answered else "held",
        seq=request.seq,
        granted_s=granted_s,
        funds=request.funds,
        sides=request.sides,
        amounts=request.held,
        posted=request.prices,
        billed_s=request.billed_s,
        lease_ms=lease_ms,
        call=request.call,
        node=request.node,
        server_id=request.server_id,
        node_answered_ms=request.answered_ms,
        was_answered=request.is_answered,
        legs=request.legs,
        answers=known.answers if known else (Answered(request.end, "reserve", granted_s),),
        adopted=request.epoch,
        place=request.place,
        joins=request.joins,
        told=known.told if known else None,
    )
