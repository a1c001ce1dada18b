"""What telling of a late end promises, against real Redis and the fake with the same tests."""

from __future__ import annotations

import pytest

from kemi import codec
from kemi.adapters.redis_funds import (
    Answer,
    Applied,
    Invalid,
    Late,
    Note,
    Operation,
    Release,
    Replayed,
    Settle,
)
from kemi.records import CallEnd, CallEvent
from tests.funds_bench import CUSTOMER, EPOCH, RESELLER, Bench, chain, ended, pinned, reserve, rich


def late(rid: str, seq: int) -> Late:
    """Return the end of an answered call under the operation id of its sequence."""
    return Late(f"{rid}:{seq}", rid, seq, codec.pack(pinned(rid)), ended())


@pytest.mark.parametrize("before", ["nothing", "tombstone", "open", "settled", "refused"])
def test_a_late_end_is_told_once_whatever_became_of_its_reservation(bench: Bench, before: str) -> None:
    """No money moves, no hold, no lease: the event alone."""
    rich(bench, CUSTOMER, RESELLER)
    if before in ("open", "settled"):
        reserve(bench, "a", chain())
    first: dict[str, list[Operation]] = {
        "tombstone": [Release("a:1", "a", 1, ended("failed"))],
        "settled": [Settle("a:1", "a", 1, 30, (300, 200), ended())],
        "refused": [Note("a:note", "a", codec.pack(pinned("a")), ended("refused"))],
    }
    bench.funds.batch(first.get(before, []))
    funds, told = bench.funds.balances([CUSTOMER, RESELLER]), len(bench.events())

    results = bench.funds.batch([late("a", 3), late("a", 3)])

    assert [type(result) for result in results] == [Applied, Replayed]
    assert bench.funds.balances([CUSTOMER, RESELLER]) == funds
    assert bench.events()[told:] == [
        CallEvent("late", EPOCH, "a", 3, (), pinned("a"), codec.unpack(CallEnd, ended())),
    ]


@pytest.mark.parametrize("before", ["tombstone", "open", "settled"])
def test_a_late_end_has_a_sequence_of_its_own_and_leaves_room_for_others(bench: Bench, before: str) -> None:
    """A used one would be another event's id in Postgres; a huge one would shut out whatever ends the call."""
    rich(bench, CUSTOMER, RESELLER)
    if before != "tombstone":
        reserve(bench, "a", chain())
    first: dict[str, Operation] = {
        "tombstone": Release("a:2", "a", 2, ended("failed")),
        "open": Answer("a:2", "a", 2, 60),
        "settled": Settle("a:2", "a", 2, 30, (300, 200), ended()),
    }
    bench.funds.batch([first[before]])
    told = len(bench.events())

    results = bench.funds.batch([late("a", 1), late("a", 2), late("a", 2**31), late("a", 2**53 - 1)])

    assert [type(result) for result in results] == [Invalid] * 4
    assert len(bench.events()) == told
    assert [type(result) for result in bench.funds.batch([late("a", 2**31 - 1)])] == [Applied]


def test_what_ends_an_open_reservation_after_its_late_end_has_a_higher_sequence(bench: Bench) -> None:
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    bench.funds.batch([late("a", 3)])
    same, next_ = (Settle(f"a:sweep:{seq}", "a", seq, 120, (1200, 800), ended()) for seq in (3, 4))
    assert [type(result) for result in bench.funds.batch([same, next_])] == [Invalid, Applied]


def test_a_reservation_that_a_sweeper_ended_keeps_its_call_until_the_real_end(bench: Bench) -> None:
    """Who hears the BYE later knows neither prices nor levels otherwise."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    bench.funds.batch([Answer("a:1", "a", 1, 60), Settle("a:sweep:2", "a", 2, 120, (1200, 800), ended())])
    closed = bench.funds.describe("a")
    bench.funds.batch([late("a", 3)])
    corrected = bench.funds.describe("a")
    assert closed is not None
    assert corrected is not None
    assert (closed.state, closed.pinned) == ("settled", codec.pack(pinned("a")))
    assert (corrected.state, corrected.pinned) == ("settled", b"")


def test_a_late_end_must_fit_an_event(bench: Bench) -> None:
    """Spliced into an event, other bytes would make it unreadable for ever."""
    for wrong in (late("a", 3)._replace(call=b"\xc0"), late("a", 3)._replace(end=b"\xc0")):
        (got,) = bench.funds.batch([wrong])
        assert isinstance(got, Invalid)
    assert bench.events() == []
