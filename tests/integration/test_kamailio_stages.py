"""What follows when nobody takes a call: stages of a route, one after the other, in a real Kamailio."""

from __future__ import annotations

import pytest

from kemi.core.outcome import Stage
from tests.fakes.world import ALICE, BOB, CAROL
from tests.forked import Phones, answer, call_of, cancelled, end, hang_up, refuse, ringing, told
from tests.planned_edge import PlannedEdge, line, server
from tests.sip import Endpoint


def test_who_does_not_answer_is_followed_by_the_box_after_his_time(
    planned: PlannedEdge, phones: Phones, caller: Endpoint
) -> None:
    """One is busy, one sends the call elsewhere, which is not followed, one rings: that one counts."""
    planned.route(
        [Stage(0, 2, together=True, ring_s=1, no_answer=1), Stage(2, 1)], [line(BOB), line(CAROL), server(phones.box)]
    )
    call = call_of(caller)
    invites = ringing(*phones.all)
    refuse(phones.bob_1, invites[0], 486)
    refuse(phones.carol, invites[2], 302, contact="<sip:elsewhere@127.0.0.99>")

    reason = cancelled(phones.bob_2, invites[1])
    (taken,) = ringing(phones.box)
    final = answer(phones.box, taken, call)
    hang_up(caller, final, phones.box)

    assert reason == "", "the call was missed"
    assert taken.ruri == f"sip:box7@{phones.box.at}"
    assert told(end(planned, call)) == [(0, 480, "ring"), (1, 302, ""), (2, 200, "")]
    assert end(planned, call).server_id == 0


@pytest.mark.parametrize("status", [486, 600, 603])
def test_who_is_busy_or_declines_is_followed_by_what_follows_busy(
    planned: PlannedEdge, phones: Phones, caller: Endpoint, status: int
) -> None:
    planned.route([Stage(0, 1, together=True, busy=1), Stage(1, 1)], [line(CAROL), server(phones.box)])
    call = call_of(caller)
    refuse(phones.carol, ringing(phones.carol)[0], status)

    (taken,) = ringing(phones.box)
    final = answer(phones.box, taken, call)
    hang_up(caller, final, phones.box)

    assert told(end(planned, call)) == [(0, status, ""), (1, 200, "")]


def test_who_declines_for_all_stops_the_others(planned: PlannedEdge, phones: Phones, caller: Endpoint) -> None:
    """RFC 3261 §16.7: a 6xx cancels what goes on."""
    planned.route([Stage(0, 2, together=True)], [line(BOB), line(CAROL)])
    call = call_of(caller)
    invites = ringing(*phones.all)
    heard = 0
    while heard < len(invites):  # a branch whose 180 is still on its way is cancelled later, and without a reason
        heard += caller.receive().status == 180
    refuse(phones.bob_1, invites[0], 603)

    reasons = [cancelled(phone, invite) for phone, invite in zip(phones.all[1:], invites[1:], strict=True)]

    assert call.final().status == 603
    assert reasons == ["SIP;cause=603"] * 2
    assert told(end(planned, call)) == [(0, 603, ""), (1, 0, "")]


def test_lines_without_a_phone_are_unreachable(planned: PlannedEdge, phones: Phones, caller: Endpoint) -> None:
    planned.route(
        [Stage(0, 2, together=True, unreachable=1), Stage(2, 1)], [line(ALICE), line("x@a.example"), server(phones.box)]
    )
    call = call_of(caller)

    (taken,) = ringing(phones.box)
    final = answer(phones.box, taken, call)
    hang_up(caller, final, phones.box)

    assert told(end(planned, call)) == [(0, 480, ""), (1, 480, ""), (2, 200, "")]


def test_a_line_without_a_phone_does_not_keep_the_others_from_ringing(
    planned: PlannedEdge, phones: Phones, caller: Endpoint
) -> None:
    planned.route([Stage(0, 3, together=True)], [line(ALICE), line(CAROL), line("x@a.example")])
    call = call_of(caller)
    (invite,) = ringing(phones.carol)
    final = answer(phones.carol, invite, call)
    hang_up(caller, final, phones.carol)

    assert told(end(planned, call)) == [(0, 480, ""), (2, 480, ""), (1, 200, "")]


def test_one_after_the_other_each_for_its_time(planned: PlannedEdge, phones: Phones, caller: Endpoint) -> None:
    """As a group that is called in turn: who is passed over is not asked."""
    one, two = Stage(0, 1, ring_s=1, no_answer=1), Stage(1, 2, ring_s=1, no_answer=2, passed=(1,))
    planned.route([one, two, Stage(3, 1)], [line(CAROL), line(ALICE), line(BOB), server(phones.box)])
    call = call_of(caller)
    (first,) = ringing(phones.carol)
    assert cancelled(phones.carol, first) == ""
    invites = ringing(phones.bob_1, phones.bob_2)
    for phone, invite in zip((phones.bob_1, phones.bob_2), invites, strict=True):
        cancelled(phone, invite)
    (taken,) = ringing(phones.box)
    final = answer(phones.box, taken, call)
    hang_up(caller, final, phones.box)

    assert told(end(planned, call)) == [(0, 480, "ring"), (2, 480, "ring"), (3, 200, "")]


def test_who_takes_no_calls_is_busy_without_being_asked(planned: PlannedEdge, phones: Phones, caller: Endpoint) -> None:
    planned.route([Stage(0, 0, busy=1), Stage(0, 1)], [server(phones.box)])
    call = call_of(caller)
    (taken,) = ringing(phones.box)
    final = answer(phones.box, taken, call)
    hang_up(caller, final, phones.box)
    assert told(end(planned, call)) == [(0, 200, "")]

    planned.route([Stage(0, 0)], [server(phones.box)])
    assert call_of(caller).final().status == 486


def test_the_last_stage_that_fails_tells_the_caller(planned: PlannedEdge, phones: Phones, caller: Endpoint) -> None:
    planned.route([Stage(0, 1, together=True, busy=1), Stage(1, 1)], [line(CAROL), server(phones.box)])
    call = call_of(caller)
    refuse(phones.carol, ringing(phones.carol)[0], 486)
    refuse(phones.box, ringing(phones.box)[0], 404)

    final = call.final()

    assert (final.status, final.get("Reason")) == (404, "Q.850;cause=1")
    assert (end(planned, call).outcome, end(planned, call).reason) == ("failed", "not_found")


def test_a_hundred_lines_without_a_phone_are_passed_over_in_turn(
    planned: PlannedEdge, phones: Phones, caller: Endpoint
) -> None:
    """As a large group that is called in turn on a holiday: no stage more costs a frame, or the plan its bounds."""
    absent = [line(f"absent{at}@a.example") for at in range(100)]
    turns = [Stage(at, 1, together=at % 2 == 0, unreachable=at + 1) for at in range(100)]
    planned.route([*turns, Stage(100, 1)], [*absent, server(phones.box)])
    call = call_of(caller)
    (taken,) = ringing(phones.box)
    final = answer(phones.box, taken, call)
    hang_up(caller, final, phones.box)

    assert told(end(planned, call)) == [*[(at, 480, "") for at in range(100)], (100, 200, "")]
