"""The calls of a node under a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from kemi import codec
from kemi.adapters.ksr_bye import Send
from kemi.adapters.ksr_queue import (
    ByeAnswered,
    Ended,
    Failed,
    HangUp,
    Held,
    Refused,
    Started,
)
from kemi.adapters.redis_operations import (
    Answer,
    Applied,
    Extend,
    Invalid,
    Late,
    Note,
    Release,
    Replayed,
    Reservation,
    Result,
    Settle,
    Unknown,
)
from kemi.agent_calls import Calls
from kemi.agent_orders import LetGo, LookUp, Order, Outgoing, Recheck
from kemi.agent_talk import pack_legs
from kemi.core.sides import CSEQ_OURS
from kemi.records import Attempt, CallEnd, PinnedCall, Rate
from kemi.settings import Limits
from tests.fakes import calls as builders

RID = "ab" * 16
S = 1_000_000_000
NOW_MS = 1_770_000_000_000
RATE = Rate(per_min_micros=60_000, first_s=1, next_s=1)  # 1000 micros a second


def pinned(max_s: int = 14_400) -> PinnedCall:
    legs = (builders.leg(1, 5, 3, RATE), builders.leg(2, 3, 1, RATE))
    return builders.call(RID, legs)._replace(max_s=max_s)


def held(granted_s: int = 60, *, is_held: bool = True, max_s: int = 14_400) -> Held:
    return Held(RID, codec.pack(pinned(max_s)), ("5:EUR", "3:EUR"), granted_s, 120, is_held)


def started(at_ns: int = 0) -> Started:
    return Started(RID, 7, 8, builders.CALLER, builders.CALLEE, 31, (Attempt(30, 503),), at_ns, NOW_MS)


def talking(granted_s: int = 60, *, slice_s: int = 60, is_held: bool = True, max_s: int = 14_400) -> Calls:
    """Return a node with one call that was answered at 0 s."""
    known = Calls(Limits(slice_s=slice_s))
    known.hear(held(granted_s, is_held=is_held, max_s=max_s), 0, NOW_MS)
    known.hear(started(), 0, NOW_MS)
    return known


def methods(orders: Iterable[Order]) -> list[str]:
    return [order.method for order in orders if isinstance(order, Send)]


def operations(orders: Iterable[Order]) -> list[object]:
    return [order.operation for order in orders if isinstance(order, Outgoing)]


def the_extension(orders: list[Order]) -> Extend:
    (operation,) = operations(orders)
    assert isinstance(operation, Extend)
    return operation


def extend(known: Calls, at_s: float, result: Result) -> None:
    """Let an extension be due at this time and have this result."""
    sent = Outgoing(the_extension(known.due(int(at_s * S), NOW_MS)))
    orders = known.answered(sent, result, int(at_s * S))
    assert orders == ([Recheck(sent)] if isinstance(result, Invalid) else [])


def end_of(order: Order) -> CallEnd:
    assert isinstance(order, Outgoing)
    assert isinstance(order.operation, Settle | Release | Note | Late)
    return codec.unpack(CallEnd, order.operation.end)


def test_an_answer_is_marked_with_the_time_that_is_left() -> None:
    known = Calls(Limits())
    known.hear(held(), 0, NOW_MS)

    (order,) = known.hear(started(at_ns=0), int(1.5 * S), NOW_MS)

    assert isinstance(order, Outgoing)
    legs = pack_legs(started(), "")
    assert order.operation == Answer(f"{RID}:1", RID, 1, 59, server_id=31, answered_ms=NOW_MS, legs=legs)
    assert 0 < len(legs) < 1000


def test_an_extension_is_asked_for_before_the_deadline_and_prices_the_whole_call() -> None:
    known = talking()

    assert known.due(int(49.9 * S), NOW_MS) == []
    operation = the_extension(known.due(50 * S, NOW_MS))

    assert (operation.op_id, operation.seq, operation.rows[-1]) == (f"{RID}:2", 2, (120, (120_000, 120_000)))
    assert operation.rows[0].talk_s > 60
    assert operation.lease_s == 70, "until the end of the last row"


def test_a_granted_extension_moves_the_deadline_and_the_next_look() -> None:
    known = talking()
    extend(known, 50, Applied(120, 1))

    assert known.due(int(109.9 * S), NOW_MS) == []
    assert the_extension(known.due(110 * S, NOW_MS)).rows[-1].talk_s == 180


@pytest.mark.parametrize(("result", "by"), [(Applied(60, 1), "money"), (Invalid("?"), "store_down")])
def test_without_more_money_the_call_ends_at_its_deadline_on_both_sides(result: Result, by: str) -> None:
    known = talking()
    for at_s in range(50, 60):
        extend(known, at_s, result)

    assert operations(known.due(int(59.999 * S), NOW_MS)) == []
    settlement, let_go, to_caller, to_callee = known.due(60 * S, NOW_MS)

    call_id = pinned().call_id
    assert let_go == LetGo(RID, 7, 8)
    assert to_caller == Send(RID, "BYE", call_id, "sip:bob@c.example", "to", builders.CALLER, 1)
    cseq = builders.CALLER.cseq + CSEQ_OURS
    assert to_callee == Send(RID, "BYE", call_id, "sip:shown@c.example", "tag", builders.CALLEE, cseq)
    end = end_of(settlement)
    assert (end.ended_by, end.billed_s, end.talk_ms, end.server_id) == (by, 60, 60_000, 31)
    assert len(known) == 0


def test_money_that_arrives_in_time_saves_the_call() -> None:
    known = talking()
    extend(known, 50, Applied(60, 1))
    extend(known, 51, Applied(120, 2))

    assert known.due(60 * S, NOW_MS) == []


def test_a_call_for_which_redis_could_not_be_asked_does_not_end_by_money() -> None:
    known = talking()
    for at_s in range(50, 60):
        known.not_sent(the_extension(known.due(at_s * S, NOW_MS)), at_s * S)

    assert end_of(known.due(60 * S, NOW_MS)[0]).ended_by == "store_down"


def test_a_question_for_more_that_is_never_answered_does_not_end_by_money() -> None:
    known = talking()
    the_extension(known.due(50 * S, NOW_MS))

    assert end_of(known.due(60 * S, NOW_MS)[0]).ended_by == "store_down"


def test_a_refusal_stays_the_reason_through_an_outage_and_a_reload() -> None:
    known, after = talking(), Calls(Limits())
    extend(known, 50, Applied(60, 1))
    known.not_sent(the_extension(known.due(51 * S, NOW_MS)), 51 * S)
    after.restore(known.export())

    assert end_of(after.due(60 * S, NOW_MS)[0]).ended_by == "money"


def test_a_call_of_a_node_that_stood_still_ends_by_that() -> None:
    assert end_of(talking().due(100 * S, NOW_MS)[0]).ended_by == "node_lost"


def test_the_hard_maximum_ends_a_call_that_nobody_ends() -> None:
    known = talking(granted_s=60, max_s=90)
    extension = the_extension(known.due(50 * S, NOW_MS))
    known.answered(Outgoing(extension), Applied(90, 1), 50 * S)

    assert extension.rows[-1].talk_s == 90
    assert operations(known.due(int(89.9 * S), NOW_MS)) == []
    assert end_of(known.due(90 * S, NOW_MS)[0]).ended_by == "maximum"


def test_an_extension_that_redis_did_not_take_is_asked_again_with_the_same_id() -> None:
    known = talking()
    first = the_extension(known.due(50 * S, NOW_MS))
    known.not_sent(first, 50 * S)

    again = the_extension(known.due(51 * S, NOW_MS))

    assert again == first
    known.answered(Outgoing(again), Replayed(120, 1), 51 * S)
    assert known.due(60 * S, NOW_MS) == []


def test_a_short_slice_is_extended_late_and_not_all_the_time() -> None:
    known = talking(granted_s=4, slice_s=4)

    assert known.due(int(2.9 * S), NOW_MS) == []
    assert the_extension(known.due(3 * S, NOW_MS)).rows[-1].talk_s == 8


@pytest.mark.parametrize(
    ("ended_ns", "billed_s", "talk_ms"),
    [(0, 0, 0), (1, 1, 0), (S, 1, 1000), (S + 1, 2, 1000), (int(7.3 * S), 8, 7300)],
)
def test_the_end_bills_begun_seconds(ended_ns: int, billed_s: int, talk_ms: int) -> None:
    (order,) = talking().hear(Ended(RID, "callee", ended_ns, NOW_MS), ended_ns, NOW_MS)

    assert isinstance(order, Outgoing)
    assert isinstance(order.operation, Settle)
    end = end_of(order)
    assert (order.operation.billed_s, end.talk_ms, end.ended_by) == (billed_s, talk_ms, "callee")
    assert order.operation.price_micros == (billed_s * 1000, billed_s * 1000)
    assert end.attempts == (Attempt(30, 503),)


def test_a_late_bye_is_our_loss_and_counted() -> None:
    known = talking(granted_s=60)

    (order,) = known.hear(Ended(RID, "caller", int(61.5 * S), NOW_MS), int(61.5 * S), NOW_MS)

    assert isinstance(order, Outgoing)
    assert isinstance(order.operation, Settle)
    assert (order.operation.billed_s, known.overtalk_ms) == (60, 1500)


def test_a_call_ends_once() -> None:
    known = talking()
    known.hear(Ended(RID, "caller", S, NOW_MS, is_sure=True), S, NOW_MS)
    known.hear(ByeAnswered(pinned().call_id, "tag", 200, builders.CALLEE.ip), S, NOW_MS)

    assert known.hear(Ended(RID, "callee", 2 * S, NOW_MS), 2 * S, NOW_MS) == []
    assert known.hear(Failed(RID, 500, is_cancelled=False, attempts=(), ended_ms=NOW_MS), 2 * S, NOW_MS) == []
    assert known.due(200 * S, NOW_MS) == []


def test_sequences_of_a_call_rise_without_gaps() -> None:
    known = talking()
    extend(known, 50, Applied(120, 1))

    (order,) = known.hear(Ended(RID, "caller", 55 * S, NOW_MS), 55 * S, NOW_MS)

    assert isinstance(order, Outgoing)
    assert isinstance(order.operation, Settle)
    assert (order.operation.op_id, order.operation.seq) == (f"{RID}:3", 3)


def test_a_cancelled_call_is_released() -> None:
    known = Calls(Limits())
    known.hear(held(), 0, NOW_MS)

    orders = known.hear(Failed(RID, 487, is_cancelled=True, attempts=(Attempt(31, 0),), ended_ms=NOW_MS), S, NOW_MS)

    (order,) = orders
    end = end_of(order)
    assert (end.outcome, end.status, end.reason, end.ended_by) == ("cancelled", 487, "cancelled", "caller")
    assert end.attempts == (Attempt(31, 0),)


@pytest.mark.parametrize("result", [Unknown(1), Invalid("sequence 3 after 4")])
def test_an_end_that_redis_cannot_settle_is_told_as_a_late_one(result: Result) -> None:
    """Whether the reservation is gone, was ended by a sweeper, or has lost what was granted last."""
    known = talking()
    (order,) = known.hear(Ended(RID, "caller", int(7.3 * S), NOW_MS), int(7.3 * S), NOW_MS)
    assert isinstance(order, Outgoing)
    assert isinstance(order.operation, Settle)

    assert known.answered(order, result, 8 * S) == [Recheck(order)]
    (late,) = operations(known.rechecked(order, None, 8 * S, NOW_MS))

    assert late == Late(f"{RID}:3", RID, 3, order.pinned, order.operation.end)
    assert known.answered(Outgoing(late), Applied(0, 1), 8 * S) == []


@pytest.mark.parametrize("at", ["answer", "extension"])
def test_a_call_whose_hold_redis_does_not_know_is_cut_at_once(at: str) -> None:
    known = Calls(Limits())
    known.hear(held(), 0, NOW_MS)
    (sent,) = known.hear(started(), 0, NOW_MS)
    at_ns = 2 * S
    if at == "extension":
        at_ns = 50 * S
        (sent,) = known.due(at_ns, NOW_MS)
    assert isinstance(sent, Outgoing)

    assert known.answered(sent, Unknown(1), at_ns) == [Recheck(sent)]
    settlement, let_go = known.rechecked(sent, None, at_ns, NOW_MS)

    assert isinstance(let_go, LetGo)
    assert methods(known.due(at_ns, NOW_MS)) == ["BYE", "BYE"]
    assert (end_of(settlement).ended_by, end_of(settlement).billed_s) == ("lost_hold", at_ns // S)
    assert (len(known), known.cut) == (0, 1)
    assert known.answered(sent, Unknown(1), at_ns) == [], "it is cut once"
    assert known.rechecked(sent, None, at_ns, NOW_MS) == []


def test_a_release_that_redis_knows_nothing_of_is_told_all_the_same() -> None:
    known = Calls(Limits())
    known.hear(held(), 0, NOW_MS)
    (order,) = known.hear(Failed(RID, 503, is_cancelled=False, attempts=(), ended_ms=NOW_MS), S, NOW_MS)
    assert isinstance(order, Outgoing)

    assert known.answered(order, Unknown(1), S) == [Recheck(order)]
    (late,) = operations(known.rechecked(order, None, S, NOW_MS))

    assert isinstance(late, Late)
    assert (late.call, codec.unpack(CallEnd, late.end).outcome) == (order.pinned, "failed")


def test_a_refusal_never_ends_a_call_that_another_request_has() -> None:
    """Nothing is held: it is noted. Something is: that call's own end counts, not this one."""
    known = Calls(Limits())
    end = codec.pack(builders.unanswered("refused", 503, "store_down"))
    (order,) = known.hear(Refused(RID, b"pinned", end, maybe_held=True), 0, NOW_MS)
    assert isinstance(order, Outgoing)

    assert operations(known.answered(order, Unknown(1), S)) == [Note(f"{RID}:note", RID, b"pinned", end)]
    assert known.answered(order, Invalid("sequence 1 after 3"), S) == []


def test_an_emergency_call_without_a_hold_has_no_extension_and_no_charge() -> None:
    known = Calls(Limits())
    known.hear(held(14_400, is_held=False), 0, NOW_MS)

    assert known.hear(started(), 0, NOW_MS) == []
    assert known.due(10_000 * S, NOW_MS) == []
    (order,) = known.hear(Ended(RID, "caller", 90 * S, NOW_MS), 90 * S, NOW_MS)

    assert isinstance(order, Outgoing)
    assert isinstance(order.operation, Release), "a tombstone first: the hold may have been made after all"
    end = end_of(order)
    assert (end.outcome, end.billed_s) == ("answered", 90)


def test_a_late_end_that_somebody_else_was_faster_than_is_told_with_the_next_sequence() -> None:
    """One that is refused for another reason is not: it would be refused for ever, and is kept for people."""
    known = Calls(Limits())
    sent = Outgoing(Late(f"{RID}:4", RID, 4, codec.pack(pinned()), b"end"), codec.pack(pinned()))
    row = Reservation(b"", (), 0, (), 0, 7, "settled", "n2", 0)

    assert known.answered(sent, Applied(0, 1), S) == []
    assert known.answered(sent, Invalid("the sequence is whole and below 2^31, call and end are arrays"), S) == []
    assert known.answered(sent, Invalid("sequence 4 after 7"), S) == [Recheck(sent)]

    (again,) = operations(known.rechecked(sent, row, S, NOW_MS))
    assert again == Late(f"{RID}:8", RID, 8, codec.pack(pinned()), b"end")


def test_a_call_that_nobody_could_pay_any_longer_ends_with_its_slice() -> None:
    """The next increment would cost more than a call may: nothing is asked for, at the deadline it is over."""
    dear = (builders.leg(1, 5, 3, Rate(per_min_micros=2**50, first_s=60, next_s=60)),)
    call = builders.call(RID, dear)
    known = Calls(Limits(slice_s=60))
    known.hear(Held(RID, codec.pack(call), ("5:EUR",), 60, 120, True), 0, NOW_MS)
    known.hear(started(), 0, NOW_MS)

    assert known.due(50 * S, NOW_MS) == []
    assert known.due(59 * S, NOW_MS) == []
    orders = known.due(60 * S, NOW_MS)

    assert (end_of(orders[0]).ended_by, end_of(orders[0]).billed_s) == ("maximum", 60)


def test_a_refused_call_is_noted_and_released_first_when_redis_may_hold_it() -> None:
    known = Calls(Limits())
    end = codec.pack(builders.unanswered("refused", 503, "store_down"))
    sure = Refused(RID, b"pinned", end)

    assert operations(known.hear(sure, 0, NOW_MS)) == [Note(f"{RID}:note", RID, b"pinned", end)]
    assert operations(known.hear(sure._replace(maybe_held=True), 0, NOW_MS)) == [Release(f"{RID}:1", RID, 1, end)]


def test_the_noc_ends_an_answered_call() -> None:
    known = talking()

    settlement, let_go = known.hear(HangUp(RID), int(2.5 * S), NOW_MS)

    assert isinstance(let_go, LetGo)
    assert methods(known.due(int(2.5 * S), NOW_MS)) == ["BYE", "BYE"]
    assert (end_of(settlement).ended_by, end_of(settlement).billed_s) == ("noc", 3)
    assert known.hear(HangUp("no such call"), S, NOW_MS) == []


def test_an_unknown_end_is_looked_up_and_an_old_one_is_not() -> None:
    known = Calls(Limits())
    ended = Ended(RID, "caller", 5 * S, NOW_MS)

    assert known.hear(ended, 5 * S, NOW_MS) == [LookUp(ended)]
    answered_ms = NOW_MS - 4_200
    row = Reservation(
        codec.pack(pinned()), ("5:EUR", "3:EUR"), 60, (60_000, 60_000), answered_ms, 4, "answered", "n2", 0
    )
    (order,) = known.looked_up(ended, row, NOW_MS, 5 * S)
    assert isinstance(order, Outgoing)
    assert isinstance(order.operation, Settle)
    assert (order.operation.seq, order.operation.billed_s, order.operation.price_micros) == (5, 5, (5000, 5000))
    assert known.hear(ended, 5 * S, NOW_MS) == []


def test_an_end_that_a_sweeper_guessed_is_corrected_by_whoever_hears_the_real_one() -> None:
    """The reservation is closed, but keeps its call for an hour; what is unproven corrects nothing."""
    known, ended = Calls(Limits()), Ended(RID, "caller", 0, NOW_MS)
    packed = codec.pack(pinned())
    row = Reservation(packed, ("5:EUR", "3:EUR"), 60, (0, 0), NOW_MS - 41_500, 4, "settled", "n2", 0, server_id=31)

    (late,) = known.looked_up(ended, row, NOW_MS, 0)

    assert isinstance(late, Outgoing)
    assert isinstance(late.operation, Late)
    assert (late.operation.seq, late.operation.call) == (5, packed)
    assert (end_of(late).outcome, end_of(late).billed_s, end_of(late).server_id) == ("answered", 42, 31)
    assert known.looked_up(ended, row._replace(answered_ms=0, state="released"), NOW_MS, 0) == []
    assert known.looked_up(ended, row._replace(pinned=b""), NOW_MS, 0) == []


def test_an_adopted_call_pays_no_more_than_was_granted_and_nothing_unproven() -> None:
    known, ended = Calls(Limits()), Ended(RID, "caller", 0, NOW_MS)
    row = Reservation(
        codec.pack(pinned()), ("5:EUR", "3:EUR"), 60, (60_000, 60_000), NOW_MS - 90_000, 4, "answered", "n2", 0
    )

    (long,) = known.looked_up(ended, row, NOW_MS, 0)
    (unproven,) = known.looked_up(ended, row._replace(answered_ms=0, state="held"), NOW_MS, 0)

    assert end_of(long).billed_s == 60
    assert (end_of(unproven).outcome, end_of(unproven).billed_s) == ("unknown_end", 0)
    assert known.looked_up(ended, row._replace(state="settled", pinned=b""), NOW_MS, 0) == []
    assert known.looked_up(ended, None, NOW_MS, 0) == []


def test_an_unanswered_call_is_forgotten_after_its_lease() -> None:
    known = Calls(Limits())
    known.hear(held(), 0, NOW_MS)

    assert known.due(179 * S, NOW_MS) == []
    assert len(known) == 1
    assert known.due(180 * S, NOW_MS) == []
    assert len(known) == 0


def test_a_reload_changes_nothing_for_the_calls() -> None:
    known = talking()
    first = the_extension(known.due(50 * S, NOW_MS))
    fresh = Calls(Limits())

    fresh.restore(known.export())

    fresh.answered(Outgoing(first), Applied(120, 1), 51 * S)
    assert fresh.due(60 * S, NOW_MS) == []
    assert the_extension(fresh.due(110 * S, NOW_MS)).seq == 3


def test_a_reason_that_we_know_better_than_the_status_says_is_told() -> None:
    """A phone that is not registered was never asked: 480 alone would sound as if it had not answered."""
    known = Calls(Limits())
    known.hear(held(), 0, NOW_MS)

    failed = Failed(RID, 480, is_cancelled=False, attempts=(), ended_ms=NOW_MS, reason="offline")
    (order,) = known.hear(failed, S, NOW_MS)

    end = end_of(order)
    assert (end.outcome, end.status, end.reason, end.q850) == ("failed", 480, "offline", 20)


def test_an_end_that_is_not_of_a_followed_dialog_never_ends_a_live_call() -> None:
    known = talking()

    assert known.hear(Ended(RID, "caller", S, NOW_MS, is_followed=False), S, NOW_MS) == []
    assert len(known) == 1


def test_the_end_of_a_call_that_nobody_answered_releases_it() -> None:
    known = Calls(Limits())
    known.hear(held(), 0, NOW_MS)

    (order,) = known.hear(Ended(RID, "", S, NOW_MS), S, NOW_MS)

    assert end_of(order).outcome == "cancelled"


@pytest.mark.parametrize("state", ["held", "settled"])
def test_an_answer_that_nobody_pays_for_is_ended_on_both_sides_and_told(state: str) -> None:
    """Its lease was over when it came: it must neither go on nor leave no record."""
    known = Calls(Limits())
    late = started(at_ns=5 * S)._replace(call_id="call")

    (question, let_go) = known.hear(late, 5 * S, NOW_MS)
    sends = known.due(5 * S, NOW_MS)

    assert isinstance(question, LookUp)
    assert let_go == LetGo(RID, 7, 8)
    assert methods(sends) == ["BYE", "BYE"]
    assert {send.call_id for send in sends if isinstance(send, Send)} == {"call"}
    row = Reservation(codec.pack(pinned()), ("5:EUR", "3:EUR"), 60, (60_000, 60_000), 0, 3, state, "n1", 0)
    (order,) = known.looked_up(question.ended, row, NOW_MS, 6 * S, question.started)
    end = end_of(order)
    assert isinstance(order, Outgoing)
    assert isinstance(order.operation, Settle if state == "held" else Late)
    assert (end.outcome, end.ended_by, end.server_id) == ("answered", "lost_hold", 31)
    assert known.hear(Ended(RID, "caller", 7 * S, NOW_MS), 7 * S, NOW_MS) == [], "it is told once"
