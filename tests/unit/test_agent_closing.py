"""Ends that are not over yet: who is not known to be out gets our BYE."""

from __future__ import annotations

import pytest

from kemi.adapters.ksr_bye import Send
from kemi.adapters.ksr_queue import ByeAnswered, Ended, HangUp, LateAnswer, Moved
from kemi.agent_calls import Calls
from kemi.agent_closing import OTHERS_LEAP
from kemi.core.sides import CSEQ_OURS
from kemi.settings import Limits
from tests.fakes import calls as builders
from tests.unit.test_agent_calls import NOW_MS, RID, S, methods, pinned, talking


@pytest.mark.parametrize(
    ("is_sure", "answers", "byes"),
    [
        (True, [("tag", 200, builders.CALLEE.ip)], 0),
        (True, [("tag", 481, builders.CALLEE.ip)], 0),
        (True, [("tag", 200, "198.51.100.66")], 1),
        (True, [("to", 200, builders.CALLER.ip)], 1),
        (True, [], 1),
        (False, [("tag", 200, builders.CALLEE.ip)], 1),
        (False, [], 2),
    ],
)
def test_a_side_that_is_not_known_to_be_out_gets_our_bye(
    *, is_sure: bool, answers: list[tuple[str, int, str]], byes: int
) -> None:
    known = talking()
    known.hear(Ended(RID, "caller", S, NOW_MS, is_sure=is_sure), S, NOW_MS)
    for answer in answers:
        known.hear(ByeAnswered(pinned().call_id, *answer), S, NOW_MS)

    assert known.due(int(1.9 * S), NOW_MS) == []
    assert len(methods(known.due(2 * S, NOW_MS))) == byes


def test_a_bye_of_ours_is_repeated_with_a_rising_cseq_until_it_is_given_up() -> None:
    known = talking()
    known.hear(Ended(RID, "caller", S, NOW_MS, is_sure=True), S, NOW_MS)
    known.closings.restore(Calls(Limits()).closings.export())

    sent = [order for at_s in range(1, 60) for order in known.due(at_s * S, NOW_MS) if isinstance(order, Send)]

    assert [order.cseq for order in sent] == [builders.CALLER.cseq + CSEQ_OURS + n for n in range(4)]
    assert (known.closings.failed, len(known.closings)) == (1, 0)


def test_a_bye_that_is_refused_is_repeated_once_at_once_above_any_other_nodes_also_after_a_reload() -> None:
    """The other node's questions and BYEs have leapt over what it had not seen; then ours wait as always."""
    before = talking()
    before.hear(HangUp(RID), S, NOW_MS)
    assert len(methods(before.due(S, NOW_MS))) == 2
    known = Calls(Limits())
    known.closings.restore(before.closings.export())

    known.hear(ByeAnswered(pinned().call_id, "tag", 500, builders.CALLEE.ip), S, NOW_MS)

    (again,) = known.due(S, NOW_MS)
    assert isinstance(again, Send)
    assert (again.to, again.cseq) == (builders.CALLEE, 3 + CSEQ_OURS + OTHERS_LEAP)
    known.hear(ByeAnswered(pinned().call_id, "tag", 500, builders.CALLEE.ip), S, NOW_MS)
    later = [order for order in known.due(int(3.9 * S), NOW_MS) if isinstance(order, Send)]
    assert builders.CALLEE not in [order.to for order in later], "no storm: the next one waits"


def test_the_end_says_where_the_side_is_that_said_bye() -> None:
    """Its CSeq is that of its BYE: the other side has seen that, and ours must be above it."""
    known = talking()
    moved = builders.CALLER._replace(cseq=900_000_000)

    known.hear(Ended(RID, "caller", S, NOW_MS, side=moved), S, NOW_MS)

    sent = [order for order in known.due(3 * S, NOW_MS) if isinstance(order, Send)]
    (to_callee,) = [order for order in sent if order.to.tag == builders.CALLEE.tag]
    assert to_callee.cseq > moved.cseq


def test_our_bye_follows_where_a_side_went_and_its_cseq_never_falls() -> None:
    known = talking()
    moved = builders.CALLER._replace(cseq=9, target="sip:alice@192.0.2.7")
    known.hear(Moved(RID, "caller", moved), S, NOW_MS)
    known.hear(Moved(RID, "caller", moved._replace(cseq=4)), S, NOW_MS)
    known.hear(Moved(RID, "early/x", builders.CALLEE), S, NOW_MS)

    known.hear(HangUp(RID), S, NOW_MS)

    to_caller, to_callee = known.due(S, NOW_MS)
    assert isinstance(to_caller, Send)
    assert isinstance(to_callee, Send)
    assert (to_caller.to.target, to_callee.cseq) == ("sip:alice@192.0.2.7", 9 + CSEQ_OURS)


def test_a_late_answer_is_acknowledged_each_time_and_ended_once() -> None:
    known = Calls(Limits())
    late = LateAnswer(RID, "call", "tag", builders.CALLEE, 2)

    acks = [order for _ in range(3) for order in known.hear(late, S, NOW_MS)]

    assert methods(acks) == ["ACK"] * 3
    assert {order.cseq for order in acks if isinstance(order, Send)} == {2}
    (bye,) = known.due(S, NOW_MS)
    assert isinstance(bye, Send)
    assert (bye.method, bye.cseq, bye.is_by_hop) == ("BYE", 2 + CSEQ_OURS, True)


def test_a_call_has_no_endless_number_of_late_answers() -> None:
    known = Calls(Limits())
    for number in range(100):
        known.hear(LateAnswer(RID, "call", "tag", builders.CALLEE._replace(tag=f"t{number}"), 2), S, NOW_MS)

    assert len(known.closings) == 20
