"""Judges what goes on and ends: answers, adoptions, parts, settlements, releases, and what is told afterwards."""

from __future__ import annotations

from typing import Any, Final

from kemi import codec, keys
from kemi.adapters.redis_operations import LEGS_MAX
from kemi.core.outcome import OUT
from kemi.core.rating import by_fund, charges, legs_at
from kemi.records import CallEvent, PinnedCall
from tests.simulation.comparing import SWEEP
from tests.simulation.granting import Granting
from tests.simulation.ledger_model import CLOSED_MS, Transfer
from tests.simulation.pinning import LIMITS
from tests.simulation.requests import Request, is_array
from tests.simulation.violation import require

SEQ_END: Final = 2**31
RING_MAX_MS: Final = LIMITS.ring_max_s * 1000


class Ending(Granting):
    """The part of the judge that hears of calls that were granted."""

    def _judge_answer(self, request: Request, reply: Any) -> tuple[int, None]:
        known = self._opened(request, reply)
        numbers = (request.server_id, request.lease_ms, request.answered_ms, *request.held, request.place + 1)
        is_right = (
            min(numbers) >= 0
            and len(request.legs) <= LEGS_MAX
            and all(map(keys.counts_only, (*request.joins, *request.leaves)))
        )
        if known is None or not self._applied(request, reply, known.granted_s, valid=is_right):
            return 0, None
        if known.state == "held" and not self.is_first_release:
            wanted = request.held if request.held_s == known.granted_s else ()
            known = self.ledger.answer(known, wanted, request)._replace(place=request.place)
            self._check_answered(known, request)
        now = self.redis.now_ms()
        known = known.after(request.op_id, "answer", request.seq)._replace(
            state="answered",
            node=request.node,
            lease_ms=now + request.lease_ms,
            server_id=request.server_id,
            node_answered_ms=known.node_answered_ms or request.answered_ms,
            legs=request.legs or known.legs,
            was_answered=True,
        )
        self._keep(known)
        return 1, None

    def _check_answered(self, known: Transfer, request: Request) -> None:
        """Check that what is held on pays for what is granted, where the call was answered."""
        call = codec.unpack(PinnedCall, known.call)
        legs = by_fund(legs_at(call.legs, call.targets, known.place), known.funds)
        due = charges(legs, known.granted_s, request.answered_ms)
        late = request.answered_ms - call.started_ms > RING_MAX_MS or request.answered_ms < call.started_ms
        enough = late or all(held >= price for held, price in zip(known.amounts, due, strict=True))
        if 0 <= known.place < len(call.targets):
            leads = call.targets[known.place].leads
            all_leads = {fund for target in call.targets for fund in target.leads}
            sides = dict(zip(known.funds, known.sides, strict=True))
            is_right = all(bool(sides[fund] & OUT) == (fund in leads) for fund in all_leads)
            require("who leads on", is_right, f"{known.rid}: {sides} at {known.place}, where {leads} lead")
        require("enough", enough, f"{known.rid}: {known.amounts} are held on, and it costs {due} at {known.place}")

    def _judge_adopt(self, request: Request, reply: Any) -> tuple[int, None]:
        known = self._opened(request, reply)
        if known is None or not self._applied(request, reply, known.granted_s, valid=request.lease_ms >= 0):
            return 0, None
        lease_ms = self.redis.now_ms() + request.lease_ms
        known = known.after(request.op_id, "adopt", request.seq)._replace(node=request.node, lease_ms=lease_ms)
        self._keep(known)
        return 1, None

    def _judge_part(self, request: Request, reply: Any) -> tuple[int, CallEvent | None]:
        known = self._opened(request, reply)
        if known is None:
            return 0, None
        valid = known.state == "answered" and request.billed_s > known.billed_s and _is_payable(request, known)
        if not self._applied(request, reply, known.granted_s, valid=valid):
            return 0, None
        before_s = known.billed_s
        known, moved = self.ledger.post(known, request.prices, self.redis.now_ms())
        known = known.after(request.op_id, "part", request.seq)._replace(billed_s=request.billed_s)
        self._keep(known, is_moved=False)
        return 1, self._event("part", request, moved, known.call, before_s)

    def _judge_settle(self, request: Request, reply: Any) -> tuple[int, CallEvent | None]:
        known = self._opened(request, reply)
        if known is None:
            return 0, None
        valid = request.billed_s >= known.billed_s and _is_payable(request, known)
        if not self._applied(request, reply, known.granted_s, valid=valid):
            return 0, None
        return 1, self._closed(request, known, "settled", request.prices)

    def _judge_release(self, request: Request, reply: Any) -> tuple[int, CallEvent | None]:
        if self.is_armed and request.rid not in self.ledger.transfers:
            require("unknown", reply[1] == b"UNKNOWN", f"release of nothing: {reply[1]!r}")
            self._bury(request, "void")
            return 1, None
        known = self._opened(request, reply)
        if known is None or not self._applied(request, reply, known.granted_s, valid=is_array(request.end)):
            return 0, None
        return 1, self._closed(request, known, "released", known.posted)

    def _judge_note(self, request: Request, reply: Any) -> tuple[int, CallEvent | None]:
        if self._unarmed(request, reply):
            return 0, None
        code, known = reply[1].decode(), self.ledger.transfers.get(request.rid)
        if known is not None and known.state != "void":
            again = known.state == "refused" and known.answers[0].op_id == request.op_id
            require("once", code == ("REPLAYED" if again else "INVALID"), f"note of {known.state}: {code}")
            return 0, None
        require("once", code == "APPLIED", f"note of {request.rid}: {code}")
        self._bury(request, "refused")
        return 1, self._event("refused", request, (), request.call)

    def _judge_late(self, request: Request, reply: Any) -> tuple[int, CallEvent | None]:
        if self._unarmed(request, reply):
            return 0, None
        known = self.ledger.transfers.get(request.rid)
        code, before = reply[1].decode(), known.earlier(request.op_id) if known else None
        if known and before and (known.must_remember(request.op_id) or code == "REPLAYED"):
            require("once", code == "REPLAYED" and reply[3] == before.granted_s, f"late {request.op_id!r}: {code}")
            return 0, None
        is_room = self.is_first_release or request.seq < SEQ_END
        is_next = self.is_first_release or known is None or request.seq > known.seq
        require("sequence", (code == "APPLIED") == (is_room and is_next), f"late {request.op_id!r}: {code}")
        if code != "APPLIED":
            return 0, None
        if known is None:
            self._bury(request, "void")
        else:
            again = known.after(request.op_id, "late", max(request.seq, known.seq))
            if not known.is_pending:
                again = again._replace(call=b"", legs=b"", forget_ms=self.redis.now_ms() + CLOSED_MS)
            self.ledger.store(again)
        self._count("late")
        return 1, self._event("late", request, (), request.call)

    def _judge_describe(self, request: Request, reply: Any) -> tuple[int, None]:
        """Compare what Redis tells of a reservation with what is known of it."""
        known = self.ledger.transfers.get(request.rid)
        if known is None or reply[1] != b"OK":
            require("described", known is None and reply[1] == b"UNKNOWN", f"{request.rid}: {reply[1]!r}, {known}")
            return 0, None
        state, call, granted_s, _, seq, node, lease_ms, funds, held, server_id, *later = reply[3:]
        if not later:  # asked by a node of the first release
            return 0, None
        posted, billed_s, answered_ms, legs, sides, *adopted = later
        who = [known.adopted, known.place, [fund.encode() for fund in known.joins]][: len(adopted)]
        require("described", adopted == who, f"{request.rid}: {adopted}, not {known}")
        found = (state.decode(), call, granted_s, seq, lease_ms, server_id, billed_s, answered_ms, legs, node)
        wanted: tuple[Any, ...] = (known.state, known.call, known.granted_s, known.seq, known.lease_ms, known.server_id)
        wanted += (known.billed_s, known.node_answered_ms, known.legs, known.node)
        require("described", found == wanted, f"{request.rid}: {found}, not {wanted}")
        rows = list(zip((fund.decode() for fund in funds), held, posted, sides, strict=True))
        expected = list(zip(known.funds, known.amounts, known.posted, known.sides, strict=True))
        require("described", rows == expected, f"{request.rid}: {rows}, not {expected}")
        return 0, None

    def _judge_of_node(self, request: Request, reply: Any) -> tuple[int, None]:
        """Compare a list of reservations, where it is whole, with those that are open."""
        if request.end == b"0" and reply[3] == b"0":
            open_ = (self.ledger.transfers[rid] for rid in self.ledger.pending)
            wanted = {each.rid.encode() for each in open_ if request.node in (b"", each.node)}
            require(
                "listed", set(reply[4:]) == wanted, f"of {request.node!r}: {sorted(reply[4:])}, not {sorted(wanted)}"
            )
        return 0, None

    def _closed(self, request: Request, known: Transfer, state: str, prices: tuple[int, ...]) -> CallEvent:
        self._check_sweep(request, known)
        over, moved = self.ledger.post(known, prices, self.redis.now_ms())
        self.ledger.close(over)
        over = over.after(request.op_id, request.kind, request.seq)
        over = over._replace(state=state, lease_ms=0, forget_ms=self.redis.now_ms() + CLOSED_MS)
        if SWEEP not in request.op_id:  # a sweeper only guesses; who hears the real end needs the call
            over = over._replace(call=b"", legs=b"")
        over = over._replace(joins=(), told=None)
        if state == "settled":
            over = over._replace(billed_s=request.billed_s)
        if self.is_first_release:  # which keeps nothing of what a call has paid
            over = over._replace(posted=(0,) * len(over.funds), billed_s=0)
        self.ledger.store(over)
        self._check_gone(over)
        return self._event(request.kind, request, moved, known.call, known.billed_s if state == "settled" else 0)

    def _check_sweep(self, request: Request, known: Transfer) -> None:
        """Check that a sweeper ends only what is over by true time, whatever the clock of Redis shows."""
        if SWEEP in request.op_id:
            left_us = known.until_us - self._surroundings.now_us
            is_over = left_us <= 0 or self._surroundings.may_sweep_early(known.set_us)
            guessed = request.kind == "settle" or known.state == "held"
            require("swept", guessed, f"{request.rid} is answered, and swept without a charge")
            require("swept", is_over, f"{request.rid} is swept {left_us / 1e6:.1f} s before its lease is over")


def _is_payable(request: Request, known: Transfer) -> bool:
    """Whether seconds and totals lie between what was posted and what is held."""
    if not is_array(request.end) or len(request.prices) != len(known.funds):
        return False
    triples = zip(known.posted, request.prices, known.amounts, strict=True)
    return 0 <= request.billed_s <= known.granted_s and all(low <= price <= high for low, price, high in triples)
