"""Whose name is asked next: however many are silent, those that answer are not held up."""

from __future__ import annotations

from tools.resolve.book import Server
from tools.resolve.work import AT_ONCE, UNSURE_AT_ONCE, Plan, next_turn


def plan(number: int, faults: int, due_s: float = 0.0) -> Plan:
    return Plan(Server(number, f"h{number}.example", 5060, "udp"), due_s, faults)


def test_names_that_answer_come_first() -> None:
    """Then new ones, then those that wait longest; of the latter two only a few."""
    silent = [plan(number, 9, float(number)) for number in range(150)]
    new, good = plan(500, -1, 1000.0), plan(501, 0, 1001.0)
    turn = next_turn([*silent, new, good])
    assert turn == [good, new, silent[0]]
    assert len(next_turn(silent)) == UNSURE_AT_ONCE


def test_a_turn_is_short() -> None:
    """There may be others to look up by then."""
    good = [plan(number, 0, float(-number)) for number in range(150)]
    turn = next_turn(good)
    assert len(turn) == AT_ONCE - UNSURE_AT_ONCE
    assert turn[0] == good[-1]
