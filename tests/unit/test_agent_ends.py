"""Calls that have ended are remembered for a time, and never too many of them."""

from __future__ import annotations

from kemi.agent_ends import ENDED_MAX, ENDED_S, NS, Past


def test_an_ended_call_is_remembered_for_a_time_and_then_forgotten() -> None:
    past = Past()
    past.look(7 * ENDED_S * NS)
    past.add("a")
    past.look((8 * ENDED_S - 1) * NS)
    past.add("b")
    past.look(8 * ENDED_S * NS)
    assert "a" in past
    assert "b" in past
    past.look(9 * ENDED_S * NS - 1)
    assert "a" in past
    past.look(9 * ENDED_S * NS)
    assert "a" not in past
    assert "b" not in past


def test_of_many_that_end_at_once_the_last_are_remembered() -> None:
    past = Past()
    rids = [str(n) for n in range(3 * ENDED_MAX)]
    for rid in rids:
        past.add(rid)
    known = [rid for rid in rids if rid in past]
    assert known == rids[-len(known) :]
    assert ENDED_MAX <= len(known) <= 2 * ENDED_MAX
