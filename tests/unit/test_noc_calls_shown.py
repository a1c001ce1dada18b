"""How `tandem noc calls` shows a call: in lines of a usual terminal's width, its rid first."""

from __future__ import annotations

from typing import Any

import pytest

from tools.noc_calls import WIDTH, told

RID = "0123456789abcdef" * 2
NOW_MS = 10_000_000
ROW: dict[str, Any] = {
    "rid": RID, "source": "alice@a.example", "caller": "33140000000", "callee": "447700900123", "direction": "out",
    "server_id": 32, "chain": [1, 2, 3, 7], "started_ms": NOW_MS - 65_000, "answered_ms": NOW_MS - 61_000,
    "left_s": 40, "left_micros": 123_456,
}  # fmt: skip


def test_a_call_that_talks() -> None:
    assert told(ROW, NOW_MS) == [
        f"{RID}  talks 1:01  out  paid for 0:40 more",
        "  33140000000 > 447700900123, alice@a.example, accounts 1 > 2 > 3 > 7, server",
        "  32, 0.1235 left beside",
    ]


def test_a_call_that_rings_and_of_which_little_is_known() -> None:
    row = {**ROW, "answered_ms": 0, "caller": "", "server_id": 0, "chain": [], "left_s": None, "left_micros": None}
    assert told(row, NOW_MS + 3_600_000) == [f"{RID}  rings 1:01:05  out", "  (none) > 447700900123, alice@a.example"]


@pytest.mark.parametrize("length", [1, 64, 400])
def test_no_line_is_wider_and_nothing_odd_reaches_the_terminal(length: int) -> None:
    row = {**ROW, "source": "a" * length + "@example", "chain": list(range(1, 40)), "callee": "4\x1b[31m4"}
    lines = told(row, NOW_MS)
    assert all(len(line) <= WIDTH and line.isprintable() for line in lines)
