"""Calls that were forwarded, and lines that answer among others: what the agent tells, holds and charges for them."""

from __future__ import annotations

from typing import Final, TypeVar

from kemi import codec
from kemi.adapters.ksr_queue import Ended, Held, Started
from kemi.adapters.redis_operations import (
    LEFT,
    Answer,
    Applied,
    Extend,
    Invalid,
    Late,
    Part,
    Rehold,
    Reservation,
    Settle,
)
from kemi.agent_adoption import Moment
from kemi.agent_calls import Calls
from kemi.agent_orders import Order, Outgoing
from kemi.agent_outbox import dump, load
from kemi.agent_rebuild import Charge, told_charge, told_talk
from kemi.agent_talk import Talk, kept, unkept
from kemi.core.outcome import IN, OUT
from kemi.records import CallEnd, PinnedCall, PinnedTarget, Rate
from kemi.settings import Limits
from tests.fakes import calls as builders

Kind = TypeVar("Kind")
RID: Final = "ab" * 16
S: Final = 1_000_000_000
NOW_MS: Final = 1_770_000_000_000
RATE: Final = Rate(per_min_micros=60_000, first_s=1, next_s=1)  # 1000 micros a second
LINE: Final = "line5:"
USER: Final = "user7:"
OWN: Final = "line9:"
FUNDS: Final = ("5:EUR", "6:EUR", LINE, OWN)
SIDES: Final = (OUT, OUT, IN, OUT)
PHONE, MOBILE, OTHER = range(3)
TARGETS: Final = (
    PinnedTarget(0, 0, "desk@a.example", joins=(LINE, USER)),
    builders.carrier(31, 1)._replace(forwards=(1,)),
    PinnedTarget(0, 0, "other@a.example", joins=(OWN,)),
)
LEGS: Final = (builders.leg(1, 5, 1, RATE), builders.leg(2, 6, 1, RATE)._replace(forward=1))
CALL: Final = builders.call(RID, LEGS, TARGETS)._replace(max_s=14_400)


def held(granted_s: int = 60) -> Held:
    """Return a hold that pays for the caller and for the forward."""
    micros = (granted_s * 1000, granted_s * 1000, 0, 0)
    return Held(RID, codec.pack(CALL), FUNDS, granted_s, 120, True, micros, SIDES)


def started(place: int) -> Started:
    """Return the answer at a place."""
    server_id = CALL.targets[place].server_id if place >= 0 else 0
    return Started(RID, 7, 8, builders.CALLER, builders.CALLEE, server_id, (), 0, NOW_MS, place=place)


def talking(place: int) -> tuple[Calls, Answer]:
    """Return a node with one call that was answered there, and what it tells Redis of that."""
    known = Calls(Limits(slice_s=60, part_s=40), "n1", "boot")
    known.hear(held(), 0, NOW_MS)
    (mark,) = known.hear(started(place), 0, NOW_MS)
    return known, operation(mark, Answer)


def operation(order: Order, kind: type[Kind]) -> Kind:
    """Return the operation of an order."""
    assert isinstance(order, Outgoing)
    assert isinstance(order.operation, kind)
    return order.operation


def test_an_answer_says_where_and_by_whom_and_what_that_costs() -> None:
    """What is held for the forward comes free at once where the phone answers."""
    _, mark = talking(PHONE)
    assert (mark.place, mark.joins, mark.held_s, mark.held_micros) == (PHONE, (LINE, USER), 60, (60_000, 0, 0, 0))
    _, mark = talking(MOBILE)
    assert (mark.place, mark.joins, mark.held_micros) == (MOBILE, (), (60_000, 60_000, 0, 0))


def test_an_answer_of_nobody_knows_where_is_paid_by_no_forwarder() -> None:
    """As a release before tells it: nothing is proven of a forward."""
    _, mark = talking(-1)
    assert (mark.place, mark.joins, mark.held_micros) == (-1, (), (60_000, 0, 0, 0))


def test_a_call_without_forwards_is_marked_as_ever() -> None:
    """It holds on what it holds: nothing was held for others."""
    known = Calls(Limits())
    plain = CALL._replace(legs=LEGS[:1])
    known.hear(held()._replace(pinned=codec.pack(plain)), 0, NOW_MS)
    (mark,) = known.hear(started(PHONE), 0, NOW_MS)
    assert operation(mark, Answer).held_micros == ()


def test_slices_parts_and_the_end_cost_what_the_place_costs() -> None:
    """The forwarder pays where his forward was answered, to the micro, and nowhere else."""
    for place, forwarded in ((PHONE, 0), (MOBILE, 1)):
        known, _ = talking(place)
        (order,) = known.due(50 * S, NOW_MS)
        more = operation(order, Extend)
        assert more.rows[-1].price_micros == (120_000, 120_000 * forwarded, 0, 0)
        known.answered(Outgoing(more), Applied(120, 2), 50 * S)
        (order,) = known.due(51 * S, NOW_MS)
        part = operation(order, Part)
        assert part.price_micros == (40_000, 40_000 * forwarded, 0, 0)
        assert codec.unpack(CallEnd, part.end).place == place
        known.answered(Outgoing(part), Applied(120, 3), 51 * S)
        orders = known.hear(Ended(RID, "caller", 70 * S, NOW_MS + 70_000, is_sure=True), 70 * S, NOW_MS + 70_000)
        end = operation(orders[-1], Settle)
        assert end.price_micros == (70_000, 70_000 * forwarded, 0, 0)
        assert codec.unpack(CallEnd, end.end).place == place


def test_a_hold_that_the_answer_did_not_lower_is_known_again() -> None:
    """Redis did not take the mark, say for its sequence: extensions are asked from what is held really."""
    known, mark = talking(PHONE)
    sent = Outgoing(mark)
    known.answered(sent, Invalid("sequence 1 after 1"), S)
    micros = (60_000, 60_000, 0, 0)
    found = Reservation(codec.pack(CALL), FUNDS, 60, micros, 0, 1, "held", "n1", 1, sides=SIDES)
    (again,) = known.rechecked(sent, found, S, NOW_MS)
    assert operation(again, Answer).seq == 2
    (order,) = known.due(50 * S, NOW_MS)
    assert operation(order, Extend).rows[-1].price_micros == (120_000, 60_000, 0, 0)


def talk_at(place: int) -> Talk:
    """Return a call that talks, as its node has it."""
    known, _ = talking(place)
    (talk,) = known.talks
    return talk


def test_a_rebuild_is_told_who_counts_the_call() -> None:
    """Those who answered beside the hold; and of the hold, who was called and did not answer counts it no more."""
    told = told_talk(talk_at(PHONE), 9, "boot", Moment(S, NOW_MS))
    assert (told.place, told.joins, told.sides, told.held) == (PHONE, (USER,), SIDES, (60_000, 0, 0, 0))
    told = told_talk(talk_at(MOBILE), 9, "boot", Moment(S, NOW_MS))
    assert (told.place, told.joins, told.sides) == (MOBILE, (), (OUT, OUT, LEFT, OUT))
    told = told_talk(talk_at(OTHER), 9, "boot", Moment(S, NOW_MS))
    assert (told.joins, told.sides) == ((), (OUT, OUT, LEFT, OUT | IN))
    told = told_talk(talk_at(-1), 9, "boot", Moment(S, NOW_MS))
    assert (told.place, told.joins, told.sides) == (-1, (), SIDES)


def test_a_call_that_rings_is_told_with_all_that_it_holds() -> None:
    """Nobody has answered: it may still be forwarded."""
    known = Calls(Limits())
    known.hear(held(), 0, NOW_MS)
    told = told_talk(known.talks[0], 9, "boot", Moment(S, NOW_MS))
    assert (told.place, told.joins, told.sides, told.held) == (-1, (), SIDES, (60_000, 60_000, 0, 0))


def test_a_charge_that_waits_is_told_by_the_funds_of_its_hold() -> None:
    """Also through the spool; one that was spooled by a release before had no more funds than its legs."""
    known, _ = talking(MOBILE)
    (*_, sent) = known.hear(Ended(RID, "caller", 30 * S, NOW_MS + 30_000, is_sure=True), 30 * S, NOW_MS + 30_000)
    assert isinstance(sent, Outgoing)
    back = load(*dump(sent))
    assert back == sent
    told = told_charge(Charge(sent, 1, None), 9)
    assert isinstance(told, Rehold)
    assert (told.funds, told.held, told.place) == (FUNDS, (30_000, 30_000, 0, 0), MOBILE)
    plain = CALL._replace(legs=LEGS[:1])
    before = Outgoing(Settle(f"{RID}:2", RID, 2, 30, (30_000,), operation(sent, Settle).end), codec.pack(plain))
    told = told_charge(Charge(before, 1, None), 9)
    assert isinstance(told, Rehold)
    assert told.funds == ("5:EUR",)


def test_a_call_goes_through_a_reload_and_what_an_older_release_kept_is_read() -> None:
    """The place is part of the answer; who kept it before kept none."""
    talk = talk_at(MOBILE)
    assert unkept(kept(talk)).paid == talk.paid
    old = codec.unpack(Started, codec.pack(tuple(started(MOBILE))[:-2]))
    assert (old.place, old.answered_ms) == (-1, NOW_MS)
    assert codec.unpack(Answer, codec.pack((f"{RID}:1", RID, 1, 60, 31, NOW_MS, b""))).place == -1


def test_an_adopter_charges_by_the_place_that_redis_has() -> None:
    """Another node's call, whose end is heard here."""
    known = Calls(Limits(), "n2", "boot")
    found = Reservation(
        *(codec.pack(CALL), FUNDS, 60, (60_000, 60_000, 0, 0), NOW_MS, 1, "answered", "n1", 1, 31, (0, 0, 0, 0)),
        node_answered_ms=NOW_MS,
        sides=SIDES,
        place=MOBILE,
    )
    ended = Ended(RID, "caller", 20 * S, NOW_MS + 20_000, is_followed=False)
    (order,) = known.looked_up(ended, found, NOW_MS + 20_000, 20 * S)
    assert operation(order, Settle).price_micros == (20_000, 20_000, 0, 0)
    over = found._replace(state="settled", pinned=codec.pack(CALL))
    (order,) = Calls(Limits(), "n3", "boot").looked_up(ended, over, NOW_MS + 20_000, 20 * S)
    assert codec.unpack(CallEnd, operation(order, Late).end).place == MOBILE
    assert codec.unpack(PinnedCall, found.pinned).targets == TARGETS


def test_an_answer_says_who_leads_the_call_on_no_more() -> None:
    """Where it is answered behind a forward its line goes on to count it; adopted or told again, it stays so."""
    targets = (TARGETS[PHONE], TARGETS[MOBILE]._replace(leads=(LINE,)), TARGETS[OTHER]._replace(leads=(USER,)))
    funds, sides = ("5:EUR", LINE, USER, OWN), (OUT, OUT | IN, OUT, OUT)
    call = CALL._replace(targets=targets)
    expected = {
        PHONE: ((LINE, USER), (OUT, IN, IN, OUT)),
        MOBILE: ((USER,), (OUT, OUT, LEFT, OUT)),
        OTHER: ((LINE,), (OUT, LEFT, OUT, OUT | IN)),
    }
    for place, (leaves, after) in expected.items():
        known = Calls(Limits(slice_s=60), "n1", "boot")
        known.hear(held()._replace(pinned=codec.pack(call), funds=funds, sides=sides), 0, NOW_MS)
        (mark,) = known.hear(started(place), 0, NOW_MS)
        assert operation(mark, Answer).leaves == leaves
        talk = Talk(call, b"", funds, 60, True, started=started(place), sides=sides)
        assert talk.sides_now == after
        talk.sides = after
        assert talk.sides_now == after
    assert Talk(call, b"", funds, 60, True, started=started(-1), sides=sides).left == ()
