"""What the agent leaves in the table of calls for the NOC: who pays, and for how long it is paid."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kemi import noc
from tests.unit.test_agent import FUND, START_MS, World, rid


@pytest.fixture
def world(tmp_path: Any) -> World:
    """Give a node that grants a minute at a time."""
    return World(tmp_path)


def shown(world: World) -> dict[str, Any]:
    """Return the only call as the NOC sees it now."""
    now_ms = START_MS + world.now_ns // 1_000_000
    noc.serve(world.ksr, world.settings, "calls t", world.now_ns, now_ms)
    (row,) = json.loads(str(world.ksr.tables["noc"]["reply:t"]))["calls"]
    return dict(row)


def test_a_call_is_shown_with_what_it_holds_and_an_extension_shows(world: World) -> None:
    world.hear(world.call(rid()))
    world.run(0.1)
    ringing = shown(world)
    world.hear(world.answer(rid()))
    world.run(5)
    first = shown(world)
    world.run(70)
    later = shown(world)
    talk = world.agent._calls.get(rid())
    assert talk
    assert (ringing["left_s"], ringing["answered_ms"]) == (60, 0)
    assert ringing["chain"][-1] == talk.call.account_id
    assert 50 <= first["left_s"] < 60
    assert talk.granted_s > 60
    assert later["left_s"] == talk.granted_s - (START_MS + world.now_ns // 1_000_000 - later["answered_ms"]) // 1000
    assert [(each["fund"], each["held_micros"]) for each in later["levels"]] == [(FUND, talk.held_micros[0])]
    assert later["levels"] != first["levels"]
