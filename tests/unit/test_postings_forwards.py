"""What a forwarded call leaves in Postgres: the legs of the place that answered, and nothing of the others."""

from __future__ import annotations

from typing import Final

import pytest

from kemi import codec
from kemi.adapters.redis_operations import Reservation, Settle
from kemi.records import Attempt, CallEnd, PinnedTarget
from tests.fakes import calls
from tools.settle.books import Paid
from tools.settle.postings import plan
from tools.settle.reconcile import Taken, taken
from tools.settle.rows import Plan, Poison
from tools.settle.slow import as_paid
from tools.settle.sweeper import Signs, ending

PHONE: Final = PinnedTarget(0, 0, "desk@a.example", joins=("line5:",))
OWN: Final = calls.carrier(7, 1)
FORWARDED: Final = calls.carrier(7, 6)._replace(group_id=99, forwards=(1,))
BOTH: Final = calls.carrier(8, 6)._replace(forwards=(1, 2))
LEGS: Final = (
    calls.leg(1, 5, 2),
    calls.leg(2, 6, 3)._replace(forward=1),
    calls.leg(3, 8, 3)._replace(forward=2),
)
CALL: Final = calls.call("r1", LEGS, (PHONE, OWN, FORWARDED, BOTH))


def answered(place: int, server_id: int, talk_s: int = 60) -> CallEnd:
    """Return the end of a call that was answered there."""
    return calls.answered(talk_s, server_id)._replace(place=place)


def made(end: CallEnd) -> Plan:
    """Return what the settled call leaves."""
    found = plan(calls.settled(CALL, end))
    assert isinstance(found, Plan), found
    return found


@pytest.mark.parametrize(
    ("place", "server_id", "levels", "group_id", "owner"),
    [(0, 0, [1], 0, 0), (1, 7, [1], 70, 1), (2, 7, [1, 2], 99, 6), (3, 8, [1, 2, 3], 80, 6), (-1, 7, [1], 70, 1)],
)
def test_only_who_led_the_call_there_pays(
    place: int, server_id: int, levels: list[int], group_id: int, owner: int
) -> None:
    """Legs of the record and entries alike; the carrier is that of the place, also where one server stands twice."""
    found = made(answered(place, server_id))
    assert [leg.level for leg in found.legs if leg.book == "fund"] == levels
    assert sorted({entry.level for entry in found.entries if entry.book == "fund"}) == levels
    assert found.cdr is not None
    assert found.cdr.group_id == group_id
    assert {leg.payer_id for leg in found.legs if leg.book == "cost"} == ({owner} if owner else set())
    assert not sum(entry.amount_micros for entry in found.entries)


def test_a_call_that_nobody_answered_names_no_forwarder() -> None:
    """Its record has the legs that are paid wherever it goes, at nothing."""
    event = calls.settled(CALL, calls.unanswered("failed", 486, ""))._replace(kind="release")
    found = plan(event)
    assert isinstance(found, Plan)
    assert [(leg.level, leg.charged_micros) for leg in found.legs] == [(1, 0)]


def test_a_forwarder_who_was_charged_for_a_call_that_did_not_reach_him_is_poison() -> None:
    """Redis has charged by another place than the end says."""
    event = calls.settled(CALL, answered(2, 7))._replace(end=answered(0, 0))
    found = plan(event)
    assert isinstance(found, Poison)
    assert found.reason.startswith("fund 6:EUR is posted")


def test_a_late_end_and_a_part_know_the_place_too() -> None:
    """What a late end costs is what the place costs; a part charges the forwarder as it goes on."""
    late = plan(calls.late(CALL, answered(2, 7)))
    assert isinstance(late, Plan)
    assert sorted({entry.level for entry in late.entries if entry.book == "fund"}) == [1, 2]
    part = plan(calls.paid("part", CALL, answered(2, 7, 40)._replace(outcome="talking"), 0, None, None, 1, 2))
    assert isinstance(part, Plan)
    assert sorted({entry.level for entry in part.entries if entry.book == "fund"}) == [1, 2]


def test_a_place_that_no_call_has_is_poison_and_one_beyond_the_targets_is_none() -> None:
    """A broken writer's; nobody is charged for a forward by it."""
    assert isinstance(plan(calls.settled(CALL, answered(-2, 7))), Poison)
    assert [leg.level for leg in made(answered(9, 7)).legs if leg.book == "fund"] == [1]


def test_a_try_keeps_its_place() -> None:
    """Of several that rang at once; null where an older node told none."""
    tried = Attempt(0, 0, place=0), Attempt(0, 486, place=3), Attempt(7, 200)
    found = made(answered(2, 7)._replace(attempts=tried))
    assert [row.place for row in found.attempts] == [0, 3, None]
    assert isinstance(plan(calls.settled(CALL, answered(2, 7)._replace(attempts=(Attempt(0, 0, place=-2),)))), Poison)


def reservation(place: int) -> Reservation:
    """Return the open reservation of the call, answered there; 60 s are held for all places."""
    prices = tuple(calls.fund_prices(CALL, 60, place=3).values())
    return Reservation(
        codec.pack(CALL),
        ("5:EUR", "6:EUR", "8:EUR", "line9:"),
        60,
        (*prices, 0),
        calls.STARTED_MS + 2_000,
        3,
        "answered",
        "n1",
        1,
        7,
        (0, 0, 0, 0),
        node_answered_ms=calls.STARTED_MS + 2_000,
        sides=(1, 1, 1, 2),
        place=place,
        joins=("line5:",),
    )


def test_a_sweeper_charges_by_the_place() -> None:
    """And its estimate says it, so that settlement prices it alike."""
    for place in (0, 2, 3):
        operation = ending("r1", 3, reservation(place), Signs(calls.STARTED_MS, {}, {}))
        assert isinstance(operation, Settle)
        due = calls.fund_prices(CALL, 60, place=place)
        assert operation.price_micros == (due["5:EUR"], due.get("6:EUR", 0), due.get("8:EUR", 0), 0)
        assert codec.unpack(CallEnd, operation.end).place == place


def test_a_rebuild_finds_the_seconds_that_parts_have_paid_by_the_place() -> None:
    """Behind the forward the forwarder has paid too; where he has and should not, no talk costs what is posted."""
    due = calls.fund_prices(CALL, 30, place=2)
    paid = Paid(due, {(2, "EUR"): due["5:EUR"], (3, "EUR"): due["6:EUR"]}, 2)
    found = as_paid(reservation(2), paid)
    assert found is not None
    assert (found.billed_s, found.posted) == (30, (due["5:EUR"], due["6:EUR"], 0, 0))
    assert as_paid(reservation(0), paid) is None


def test_who_has_joined_takes_a_channel_in() -> None:
    """As the open reservations say, by which funds are counted anew."""
    counted = taken([reservation(0)])
    assert counted["line5:"] == Taken(0, 1, 1, 0)
    assert counted["line9:"] == Taken(0, 1, 1, 0)
    left = taken([reservation(2)._replace(sides=(1, 1, 1, 4))])
    assert left["line9:"] == Taken(0, 0, 0, 0)
