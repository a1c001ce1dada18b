"""What the NOC may ask of a node, and what it hears where that cannot be done."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kemi.adapters import ksr_noc, ksr_queue
from kemi.adapters.ksr_queue import HangUp
from tests.fakes.calls import call as pinned
from tests.fakes.ksr import FakeKsr


def ask(ksr: FakeKsr, command: str) -> Any:
    ksr_noc.serve(ksr, f"{command} t1")
    answer = ksr.tables["noc"]["reply:t1"]
    assert isinstance(answer, str)
    return json.loads(answer)


def test_an_answered_call_is_ended() -> None:
    ksr, call = FakeKsr(), pinned("r1", ())
    ksr_noc.show_call(ksr, call, answered_ms=1, server_id=31)

    assert ask(ksr, f"end {call.rid}") == {"ending": call.rid}
    assert ksr_queue.take(ksr) == HangUp(call.rid)


@pytest.mark.parametrize(("rid", "why"), [("abc", "no call abc here"), ("r" * 500, "no call " + "r" * 64 + " here")])
def test_a_call_that_this_node_does_not_follow_is_not_said_to_end(rid: str, why: str) -> None:
    ksr = FakeKsr()

    assert why in ask(ksr, f"end {rid}")["error"]
    assert ksr_queue.take(ksr) is None


def test_a_call_that_rings_is_not_said_to_end() -> None:
    ksr, call = FakeKsr(), pinned("r1", ())
    ksr_noc.show_call(ksr, call, answered_ms=0, server_id=0)

    assert "not answered yet" in ask(ksr, f"end {call.rid}")["error"]
    assert ksr_queue.take(ksr) is None
