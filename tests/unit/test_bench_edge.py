"""What the edge costs per call stays near what it was made to cost: KSR calls are counted, not timed."""

from __future__ import annotations

from tests.routing.bench_edge import measure

KSR_CALLS_MAX = 275
MESSAGES_MAX = 4


def test_a_call_costs_no_more_calls_of_kamailio_than_it_did() -> None:
    counted = measure()

    assert counted["ksr_calls"] <= KSR_CALLS_MAX, counted["ksr_calls_by_name"]
    assert counted["messages"] <= MESSAGES_MAX
    assert counted["opcodes"] == sum(step["opcodes"] for step in counted["steps"].values()) > 0
    assert all(step["ksr_calls"] for step in counted["steps"].values())
