"""What `tandem explain` tells of a call that is led from one to the next."""

from __future__ import annotations

import pytest

from kemi import keys
from kemi.adapters.redis_funds import Balance, FundTerms
from kemi.adapters.redis_purses import Purse
from kemi.core.outcome import IN, OUT, Reject, Route
from kemi.records import Callflow, Forward, Number, Step
from tests.fakes.world import ABROAD, BOB, BOB_NUMBER, CAROL, CUSTOMER, World, invite
from tools.explain.data import as_data, candidates, levels, stages
from tools.explain.show import show
from tools.explain.whatif import Answer


def answer(route: Route) -> Answer:
    """Return what would have been found, without funds."""
    return Answer(route, route, (), {}, 7, 1)


def forwarded() -> Route:
    """Return carol's call to bob, who forwards abroad when he does not answer."""
    world = World()
    world.change(keys.subscriber(BOB), forwards=(Forward(5, "no_answer", keys.number(ABROAD)),), ring_s=20)
    return world.route(invite(CAROL, callee=BOB_NUMBER))


def test_programs_read_what_follows_what() -> None:
    """Places from 1; 0 = the call ends there."""
    found = answer(forwarded())
    first, second = stages(found)
    assert (first["targets"], first["together"], first["ring_s"]) == ([BOB], True, 20)
    assert (first["busy"], first["no_answer"], first["unreachable"]) == (0, 2, 0)
    assert (second["together"], second["busy"], second["targets"][0].partition("/")[0]) == (False, 0, "acme")
    assert as_data(found)["stages"] == [first, second]
    assert "stages" not in as_data(answer(World().route(invite())))


def test_phones_and_the_forwards_carriers_are_candidates_alike() -> None:
    """The phones first, then carriers with their prices; what pays for the forward says so."""
    found = answer(forwarded())
    names = [each["name"] for each in candidates(found)]
    assert names[0] == BOB
    assert {name.partition("/")[0] for name in names[1:]} == {"acme", "bell", "own"}
    assert [level.side for level in levels(found)] == ["out"] * 2 + ["in"] * 3 + ["leap 1"] * 3


def test_people_read_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A table, with a rejection as what it is."""
    world = World()
    steps = (Step("ring", keys.subscriber(BOB), ring_s=15), Step("reject", status=480, phrase="Closed"))
    world.put(keys.callflow(3), Callflow(3, CUSTOMER, "main", steps))
    world.put(keys.number("442070000300"), Number("442070000300", CUSTOMER, 0, "", keys.callflow(3)))
    show(answer(world.route(invite(CAROL, callee="442070000300"))))
    told = capsys.readouterr().out
    assert "Stages: what rings after what" in told
    assert "15 s" in told
    assert "480 Closed" in told
    assert "→ 2" in told


def test_a_call_without_a_route_has_no_carriers_of_a_forward_that_is_never_made() -> None:
    """What was weighed for it is in the trace and among those left out."""
    route = forwarded()
    refused = Reject("called_unavailable", 480, "Gone", 20, 0, 0, (), route.call, route.weighed)
    assert any(not choice.why for choice in refused.choices)
    assert list(candidates(Answer(refused, None, (), {}, 7, 1))) == []


def test_the_fund_of_a_line_shows_calls_and_no_money(capsys: pytest.CaptureFixture[str]) -> None:
    """One with terms; one without bounds nothing and is not shown."""
    terms = FundTerms(1, 0, -1, channels_max=3, channels_in_max=1)
    counting = Balance("line7:", terms, charged_micros=0, held_micros=0, channels=2, channels_in=1, n=0)
    purses = (
        Purse(CUSTOMER, 0, IN, counting, 60),
        Purse(CUSTOMER, 0, IN, counting._replace(fund="user4:", terms=None), 60),
        Purse(CUSTOMER, 1, OUT, counting._replace(fund="5:EUR", terms=terms._replace(channels_in_max=0)), 60),
    )
    show(answer(forwarded())._replace(purses=purses))
    told = [line for line in capsys.readouterr().out.splitlines() if ":" in line and "│" in line]
    line, account = ([cell.strip() for cell in row.split("│")[1:-1]] for row in told[-2:])
    assert line == ["", "in", "line7:", "", "", "", "", "", "2 of 3, in 1 of 1", ""]
    assert account[2:4] == ["5:EUR", "0.00"]
    assert account[-3:] == ["unlimited", "2 of 3", "60 s"]
