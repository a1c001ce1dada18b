"""Reading of facts."""

from __future__ import annotations

import pytest

from kemi.core.known import Known, Unknown
from kemi.records import Account, Emergency, EmergencyRoute, RateSet
from tests.fakes.world import ABROAD, World, invite


def test_every_name_looked_at_is_remembered() -> None:
    """Also a name that is known to be absent: its coming into being would change the decision."""
    known = Known(World().facts())
    assert known.account(5) is not None
    assert known.number("1") is None
    assert known.account(5) is not None
    assert known.used == ("acct:5", "num:1")


def test_what_nobody_has_fetched_stops_the_decision() -> None:
    """An unknown record is not an absent one."""
    known = Known(World().facts(records={}))
    with pytest.raises(Unknown, match="acct:5"):
        known.account(5)


def test_a_record_of_another_type_is_absent() -> None:
    """A store that answers nonsense makes nobody's account."""
    known = Known(World().facts(records={"acct:5": RateSet(5, ())}))
    assert known.account(5) is None


def test_the_emergency_table_is_read_like_any_record() -> None:
    """So the hold answers STALE when it has changed; the one that facts hold apart is for when nothing can be read."""
    world = World()
    known = Known(world.facts(emergency=Emergency(())))
    assert known.emergency() == world.emergency
    assert known.used == ("emergency",)
    with pytest.raises(Unknown, match="emergency"):
        Known(world.facts(records={})).emergency()
    assert world.route(invite(callee="112"), emergency=Emergency(())).emergency
    assert not world.route(invite(), emergency=Emergency((EmergencyRoute("", ABROAD, (3,)),))).emergency
    assert "emergency" in world.route(invite()).hold.used


def test_a_need_covers_what_is_expected() -> None:
    """The gap that was met, and all other gaps of the stage, in one Need with the stage's digits."""
    world = World()
    records = {name: record for name, record in world.records.items() if isinstance(record, Account)}
    known = Known(world.facts(records=records, rates={}))
    known.expect(("acct:5", "num:33"), ("33",))
    need = known.need("rules:1:3")
    assert set(need.keys) == {"tar:50", "tar:30", "tar:20", "num:33", "rules:1:3"}
    assert need.digits == "33"


def test_an_unknown_bucket_is_asked_for_by_its_tariff() -> None:
    """Rates have no short names; an empty bucket is known."""
    known = Known(World().facts(rates={(1050, "33"): None, (1050, "3"): None}))
    assert known.longest_rate(50, 1050, "33") is None
    with pytest.raises(Unknown, match="tar:50"):
        known.longest_rate(50, 1050, "34")
    assert known.holds("acct:5")
