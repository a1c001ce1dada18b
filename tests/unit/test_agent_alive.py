"""Calls of our own whose sides are gone: asked seldom, ended only when neither side gives a sign of life twice."""

from __future__ import annotations

import pytest

from kemi.adapters.ksr_bye import Send
from kemi.adapters.ksr_queue import Ended, ProbeAnswered
from kemi.agent_alive import LOOK_NS, WAIT_NS
from kemi.agent_calls import Calls
from kemi.agent_orders import Order
from kemi.settings import Limits
from tests.fakes import calls as builders
from tests.unit.test_agent_calls import NOW_MS, RID, S, end_of, held, operations, started

ALIVE_S = 900
LOOK_S, WAIT_S = LOOK_NS // S, WAIT_NS // S


class Node:
    """One call that was answered at 0 s and may talk all day, under a clock that goes by seconds."""

    def __init__(self, alive_s: int = ALIVE_S) -> None:
        self.calls = Calls(Limits(alive_s=alive_s, max_call_s=86_400, part_s=86_400))
        self.calls.hear(held(86_400, max_s=86_400), 0, NOW_MS)
        self.calls.hear(started(), 0, NOW_MS)
        self.now_s = 0

    def until(self, at_s: int) -> list[Order]:
        """Let time pass and return what comes of it."""
        orders: list[Order] = []
        while self.now_s < at_s:
            self.now_s += 1
            orders += self.calls.due(self.now_s * S, NOW_MS + self.now_s * 1_000)
        return orders

    def answer(self, question: Send, status: int) -> list[Order]:
        """Answer a question now."""
        told = ProbeAnswered(question.call_id, question.from_tag, status, "", question.cseq)
        return self.calls.hear(told, self.now_s * S, NOW_MS)


def questions(orders: list[Order]) -> list[Send]:
    return [order for order in orders if isinstance(order, Send) and order.method == "OPTIONS"]


def test_both_sides_are_asked_once_in_a_while_with_a_cseq_that_was_seen() -> None:
    node = Node()
    assert node.until(ALIVE_S - 1) == []
    asked = questions(node.until(ALIVE_S + LOOK_S))
    assert [(each.to, each.cseq) for each in asked] == [
        (builders.CALLER, builders.CALLEE.cseq),
        (builders.CALLEE, builders.CALLER.cseq),
    ]
    node.answer(asked[0], 200)
    assert questions(node.until(2 * ALIVE_S - 1)) == []
    assert len(questions(node.until(2 * ALIVE_S + LOOK_S))) == 2


@pytest.mark.parametrize("statuses", [(None, None), (481, 481), (408, None)])
def test_a_call_without_a_sign_of_life_is_ended_and_paid(statuses: tuple[int | None, int | None]) -> None:
    node = Node()
    orders: list[Order] = []
    for _ in range(2):
        asked = questions(node.until(node.now_s + ALIVE_S + LOOK_S if not orders else node.now_s + WAIT_S + LOOK_S))
        assert len(asked) == 2
        orders += asked
        for question, status in zip(asked, statuses, strict=True):
            assert status is None or node.answer(question, status) == []
    over = node.until(node.now_s + WAIT_S + LOOK_S)
    (told,) = [order for order in over if operations([order])]
    end = end_of(told)
    assert (end.outcome, end.ended_by, end.billed_s) == ("answered", "silent", (end.talk_ms + 999) // 1000)
    assert end.talk_ms >= ALIVE_S * 1_000
    assert {order.to for order in over if isinstance(order, Send)} == {builders.CALLER, builders.CALLEE}
    assert len(node.calls) == 0


@pytest.mark.parametrize("status", [200, 405, 500, 486])
@pytest.mark.parametrize("side", [0, 1])
def test_any_answer_of_one_side_is_a_sign_of_life(side: int, status: int) -> None:
    node = Node()
    asked = questions(node.until(ALIVE_S + LOOK_S))
    node.answer(asked[1 - side], 481)
    again = questions(node.until(node.now_s + WAIT_S + LOOK_S))
    assert len(again) == 2
    node.answer(again[side], status)
    assert node.until(node.now_s + 3 * WAIT_S) == []
    assert node.calls.get(RID) is not None


def test_nobody_is_asked_where_that_is_off_or_the_call_is_over() -> None:
    assert Node(0).until(3 * ALIVE_S) == []
    node = Node()
    node.until(ALIVE_S + LOOK_S)
    node.calls.hear(Ended(RID, "caller", node.now_s * S, NOW_MS, is_sure=True), node.now_s * S, NOW_MS)
    assert questions(node.until(4 * ALIVE_S)) == []


def test_a_callee_whose_tag_is_the_callers_ends_his_call_like_any_other() -> None:
    """Both questions have one Call-ID and one tag then, and stand as one: nobody gets out of paying by that."""
    node = Node()
    node.calls = Calls(Limits(alive_s=ALIVE_S, max_call_s=86_400, part_s=86_400))
    node.calls.hear(held(86_400, max_s=86_400), 0, NOW_MS)
    callee = builders.CALLEE._replace(tag=builders.CALLER.tag)
    node.calls.hear(started()._replace(callee=callee), 0, NOW_MS)
    asked = questions(node.until(ALIVE_S + LOOK_S))
    assert [each.from_tag for each in asked] == [builders.CALLER.tag] * 2
    told = node.calls.hear(Ended(RID, "caller", node.now_s * S, NOW_MS, is_sure=True), node.now_s * S, NOW_MS)
    assert len(operations(told)) == 1


def test_a_reload_forgets_no_call() -> None:
    node, after = Node(), Node()
    node.until(ALIVE_S - 10)
    after.calls, after.now_s = Calls(Limits(alive_s=ALIVE_S, max_call_s=86_400, part_s=86_400)), node.now_s
    after.calls.restore(node.calls.export())
    assert len(questions(after.until(ALIVE_S + LOOK_S))) == 2
