"""Calls that go on beyond what is held while Redis is away: how long, what asks for more, and how all of it is told."""

from __future__ import annotations

import pytest

from kemi import codec
from kemi.adapters.ksr_queue import Ended, Held
from kemi.adapters.redis_operations import Applied, Extend, Invalid, Late, Part, Replayed, Reservation, Settle, Unknown
from kemi.agent_beyond import going_on, on_whose_word
from kemi.agent_calls import Calls
from kemi.agent_orders import Order, Outgoing, Recheck
from kemi.agent_outbox import dump, load
from kemi.records import CallEnd
from kemi.settings import Limits
from tests.unit.test_agent_calls import NOW_MS, RID, S, end_of, operations, pinned, started

WORD_S = 120


def talking(offline_s: int = WORD_S, *, is_held: bool = True, max_s: int = 14_400, part_s: int = 3_600) -> Calls:
    """Return a node with one call, answered at 0 s with 60 s granted, whose payers have given their word."""
    call = pinned(max_s)._replace(offline_s=offline_s, offline_id=0 if is_held else 5)
    known = Calls(Limits(slice_s=60, part_s=part_s))
    granted_s = 60 if is_held else max_s
    known.hear(Held(RID, codec.pack(call), ("5:EUR", "3:EUR"), granted_s, 120, is_held), 0, NOW_MS)
    known.hear(started(), 0, NOW_MS)
    return known


def without_redis(known: Calls, from_s: int, to_s: int) -> list[Order]:
    """Let Redis be away for so long; return what is done besides asking for more."""
    done: list[Order] = []
    for at_s in range(from_s, to_s + 1):
        orders = known.due(at_s * S, NOW_MS)
        asked = [each for each in orders if isinstance(each, Outgoing) and isinstance(each.operation, Extend | Part)]
        for each in asked:
            assert isinstance(each.operation, Extend | Part)
            known.not_sent(each.operation, at_s * S)
        done += [order for order in orders if order not in asked]
    return done


def ask(known: Calls, at_s: int) -> Extend:
    """Return what is asked for at this time."""
    (operation,) = operations(known.due(at_s * S, NOW_MS))
    assert isinstance(operation, Extend)
    return operation


def told(known: Calls, settlement: Outgoing) -> list[CallEnd]:
    """Return the ends that Redis hears of a call: that of the Settle, and what follows it."""
    follow = known.answered(settlement, Applied(60, 9), 0)
    ends = [end_of(settlement)]
    for order in follow:
        assert isinstance(order, Outgoing)
        assert isinstance(order.operation, Late)
        assert isinstance(settlement.operation, Settle)
        assert order.operation.seq == settlement.operation.seq + 1
        assert order.operation.call == settlement.pinned
        ends.append(codec.unpack(CallEnd, order.operation.end))
    return ends


def test_a_call_goes_on_to_its_limit_and_is_then_ended_and_told_whole() -> None:
    known = talking()
    assert without_redis(known, 50, 179) == []
    assert (going_on(known.talks), known.went_on) == (1, 1)

    settlement, *_ = known.due(180 * S, NOW_MS)

    assert isinstance(settlement, Outgoing)
    assert isinstance(settlement.operation, Settle)
    assert (settlement.operation.billed_s, settlement.operation.price_micros) == (60, (60_000, 60_000)), "as held"
    held, whole = told(known, settlement)
    assert (held.billed_s, whole.billed_s, whole.talk_ms) == (60, 180, 180_000)
    assert held.ended_by == whole.ended_by == "store_down"
    assert whole.trace == ("the store was down: 120 s were talked beyond what was held",)
    assert known.overtalk_ms == 0
    assert (going_on(known.talks), len(known)) == (0, 0)


def test_a_hang_up_meanwhile_is_charged_whole_too() -> None:
    known = talking()
    without_redis(known, 50, 90)
    (settlement,) = known.hear(Ended(RID, "caller", int(90.2 * S), NOW_MS), 91 * S, NOW_MS)

    assert isinstance(settlement, Outgoing)
    assert [end.billed_s for end in told(known, settlement)] == [60, 91]


def test_a_hang_up_within_what_is_held_has_no_late_end() -> None:
    known = talking()
    without_redis(known, 50, 55)
    (settlement,) = known.hear(Ended(RID, "caller", 55 * S, NOW_MS), 55 * S, NOW_MS)

    assert isinstance(settlement, Outgoing)
    assert [end.billed_s for end in told(known, settlement)] == [55]


@pytest.mark.parametrize("offline_s", [0, WORD_S])
def test_without_a_word_or_after_a_refusal_the_slice_is_the_end(offline_s: int) -> None:
    known = talking(offline_s)
    if offline_s:
        refused = ask(known, 50)
        known.answered(Outgoing(refused), Applied(60, 1), 50 * S)
    assert without_redis(known, 51, 59) == []
    settlement = known.due(60 * S, NOW_MS)[0]

    assert end_of(settlement).ended_by == ("money" if offline_s else "store_down")
    assert isinstance(settlement, Outgoing)
    assert len(told(known, settlement)) == 1


def test_what_redis_did_not_take_for_another_reason_is_no_outage() -> None:
    known = talking()
    for at_s in range(50, 60):
        known.answered(Outgoing(ask(known, at_s)), Invalid("?"), at_s * S)

    assert end_of(known.due(60 * S, NOW_MS)[0]).billed_s == 60


def test_when_redis_is_back_the_next_grant_covers_what_was_talked() -> None:
    """What was asked for before is asked once more, for Redis may have it; then for all that was talked since."""
    known = talking()
    without_redis(known, 50, 150)
    first = ask(known, 151)
    assert first.rows[-1].talk_s == 120
    known.answered(Outgoing(first), Replayed(120, 1), 151 * S)
    second = ask(known, 151)
    assert (second.rows[0].talk_s > 120, second.rows[-1].talk_s, second.lease_s) == (True, 211, 60)
    known.answered(Outgoing(second), Applied(211, 2), 151 * S)

    assert going_on(known.talks) == 0
    assert known.due(200 * S, NOW_MS) == []
    assert ask(known, 201).rows[-1].talk_s == 271
    (settlement,) = known.hear(Ended(RID, "caller", 202 * S, NOW_MS), 202 * S, NOW_MS)
    assert isinstance(settlement, Outgoing)
    assert [end.billed_s for end in told(known, settlement)] == [202], "all of it was held"


@pytest.mark.parametrize("granted_s", [60, 100])
def test_when_redis_is_back_and_refuses_the_call_ends_at_once_and_is_charged_whole(granted_s: int) -> None:
    known = talking()
    without_redis(known, 50, 150)
    known.answered(Outgoing(ask(known, 151)), Applied(granted_s, 1), 151 * S)
    settlement = known.due(int(151.05 * S), NOW_MS)[0]

    assert isinstance(settlement, Outgoing)
    assert isinstance(settlement.operation, Settle)
    assert settlement.operation.billed_s == granted_s
    whole = told(known, settlement)[1]
    assert (whole.billed_s, whole.ended_by) == (152, "money")


def test_the_next_outage_begins_anew() -> None:
    known = talking()
    without_redis(known, 50, 70)
    known.answered(Outgoing(ask(known, 71)), Applied(120, 1), 71 * S)
    assert without_redis(known, 110, 239) == []

    assert end_of(known.due(240 * S, NOW_MS)[0]).ended_by == "store_down"
    assert known.went_on == 2


def test_the_hard_maximum_holds() -> None:
    known = talking(max_s=100)
    assert without_redis(known, 50, 99) == []
    settlement = known.due(100 * S, NOW_MS)[0]

    assert isinstance(settlement, Outgoing)
    assert told(known, settlement)[1].billed_s == 100


def test_a_part_that_waits_keeps_nobody_from_going_on() -> None:
    """One operation is on its way at a time: of an outage that a part meets, the extension never hears."""
    known = talking(part_s=45)
    assert without_redis(known, 45, 170) == []
    assert going_on(known.talks) == 1


def test_a_reload_goes_on_with_it() -> None:
    known, after = talking(), Calls(Limits(slice_s=60))
    without_redis(known, 50, 90)
    after.restore(known.export())
    assert without_redis(after, 91, 179) == []

    settlement = after.due(180 * S, NOW_MS)[0]
    assert isinstance(settlement, Outgoing)
    assert [end.billed_s for end in told(after, settlement)] == [60, 180]


def test_an_end_that_redis_does_not_know_is_told_whole_at_once() -> None:
    """A sweeper, or a Redis that lost it: one late end, with all that was talked."""
    known = talking()
    without_redis(known, 50, 90)
    (settlement,) = known.hear(Ended(RID, "caller", 90 * S, NOW_MS), 90 * S, NOW_MS)
    assert isinstance(settlement, Outgoing)
    assert known.answered(settlement, Unknown(1), 0) == [Recheck(settlement)]
    gone: Reservation | None = None
    (late,) = known.rechecked(settlement, gone, 0, NOW_MS)

    assert isinstance(late, Outgoing)
    assert isinstance(late.operation, Late)
    assert codec.unpack(CallEnd, late.operation.end).billed_s == 90


def test_the_whole_end_comes_back_from_a_spool() -> None:
    known = talking()
    without_redis(known, 50, 90)
    (settlement,) = known.hear(Ended(RID, "caller", 90 * S, NOW_MS), 90 * S, NOW_MS)
    assert isinstance(settlement, Outgoing)
    assert load(*dump(settlement)) == settlement


def test_a_call_without_a_hold_ends_at_its_limit_and_is_told_as_a_late_end() -> None:
    known = talking(is_held=False, max_s=300)
    assert on_whose_word(known.talks) == {RID: 5}
    assert known.due(299 * S, NOW_MS) == []
    closing = known.due(300 * S, NOW_MS)[0]
    assert isinstance(closing, Outgoing)
    assert known.answered(closing, Unknown(1), 0) == [Recheck(closing)]
    (late,) = known.rechecked(closing, None, 0, NOW_MS)

    assert isinstance(late, Outgoing)
    assert isinstance(late.operation, Late)
    end = codec.unpack(CallEnd, late.operation.end)
    assert (end.outcome, end.billed_s, end.ended_by) == ("answered", 300, "maximum")
    assert on_whose_word(known.talks) == {}
