"""How long a call is expected to last."""

from __future__ import annotations

from kemi.core.destinations import expected_s
from kemi.core.draft import Draft
from kemi.records import Destination, Destinations
from kemi.settings import Limits
from tests.fakes.world import ABROAD, World, invite


def test_the_longest_prefix_counts() -> None:
    """33140000000 is Paris, not France; what no prefix fits lasts as long as any call."""
    world = World()
    draft = Draft(invite(), world.facts())
    assert expected_s(draft, ABROAD) == 180
    world.put("dest:33", Destinations((Destination("33", 60), Destination("331", 90), Destination("3315", 5))))
    assert expected_s(draft, ABROAD) == 90
    assert expected_s(draft, "33200000000") == 60
    assert "dest:33" in draft.known.used


def test_it_is_a_possible_length() -> None:
    """At least a second, and no longer than a call may last."""
    world = World()
    world.put("dest:33", Destinations((Destination("33", 0),)))
    assert expected_s(Draft(invite(), world.facts()), ABROAD) == 1
    world.put("dest:33", Destinations((Destination("33", 99_999),)))
    assert expected_s(Draft(invite(), world.facts(limits=Limits(max_call_s=600))), ABROAD) == 600
