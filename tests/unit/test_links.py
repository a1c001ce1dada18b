"""What leads to what, and what one Need asks for."""

from __future__ import annotations

import pytest

from kemi import keys
from kemi.core.links import links, missing
from kemi.core.outcome import Need
from kemi.records import (
    Account,
    BarringLevel,
    Deck,
    Masks,
    Number,
    PeeringRule,
    PeeringRules,
    Peers,
    PortedNumber,
    RateSet,
    Subscriber,
    Tariff,
    TimeSet,
)
from tests.fakes.world import ABROAD, ALICE, World

WORLD = World()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sub:alice@a.example", {"acct:5", "dom:a.example"}),
        ("acct:5", {"acct:3", "tar:50"}),
        ("acct:1", set()),
        ("dom:a.example", {"rws:1"}),
        ("num:442070000001", {"sub:alice@a.example"}),
        ("src:198.51.100.0/24", {"sub:trunk@a.example"}),
        ("src:203.0.113.7/32", {"pg:3"}),
        ("rules:1:33", {"pg:3", "pg:4"}),
        ("pg:3", {"tar:303", "rws:2"}),
        ("pg:4", {"tar:304"}),
        ("tar:50", {"rset:1050"}),
    ],
)
def test_a_record_leads_to_what_it_names(name: str, expected: set[str]) -> None:
    """Links are names of other records; 0 and "" lead nowhere."""
    assert set(links(WORLD.records[name])) == expected


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (Subscriber(8, "al", "a.example", 5, 0, "", "", "", barring_id=1), {"acct:5", "dom:a.example", "bar:1"}),
        (Subscriber(8, "al", "a.example", 5, 0, "", "", "", own_barring_id=2), {"acct:5", "dom:a.example", "bar:2"}),
        (Account(1, 0, 0, 0, "Root", "EUR", 0, "UTC", barring_id=3, own_barring_id=4), {"bar:3", "bar:4"}),
        (BarringLevel(1, "level", False, time_set_id=6), {"tset:6"}),
        (BarringLevel(1, "level", False), set()),
        (PeeringRules((PeeringRule(1, 3, ""), PeeringRule(2, 4, "", time_set_id=6))), {"pg:3", "pg:4", "tset:6"}),
        (PortedNumber("331", "33991", 3), {"pg:3"}),
        (PortedNumber("331", "33991"), set()),
        (Peers((3, 4)), {"pg:3", "pg:4"}),
        (TimeSet(6, "times", "UTC"), set()),
    ],
)
def test_levels_times_and_ports(record: object, expected: set[str]) -> None:
    """Barring levels come with whom they bar, time sets with what they limit, a port's carrier with the port."""
    assert set(links(record)) == expected


@pytest.mark.parametrize("record", [None, RateSet(1, ()), Masks((), ()), Number("1", 5, 0, ""), ("acct", 5), 5])
def test_what_names_nothing_leads_nowhere(record: object) -> None:
    """Ends of chains, absent records and foreign values have no links."""
    assert links(record) == ()


def test_a_need_names_every_gap_at_once() -> None:
    """Whatever a cache has lost below known records is found by walking them."""
    known = {name: record for name, record in WORLD.records.items() if name not in ("acct:2", "rws:1", "rset:1030")}
    need = missing((keys.subscriber(ALICE), "num:1"), known, {}, "")
    assert set(need.keys) == {"num:1", "acct:2", "rws:1", "tar:30"} | {"rset:1030"}


def test_a_tariff_is_named_again_for_its_rates() -> None:
    """Rates come with their tariff, so a tariff without a bucket of the digits is asked for though it is known."""
    rates = {(1050, field): b"" for field in ("3", "33", "331", "3314")}
    need = missing(("acct:5",), WORLD.records, rates, ABROAD)
    assert set(need.keys) == {"tar:30", "tar:20"}
    assert need.digits == ABROAD


def test_a_tariff_leads_to_every_set_that_may_price_a_call() -> None:
    """The one it points to, those of its decks and the inbound one, once each; 0 leads nowhere."""
    decks = (Deck(1, 8), Deck(2, 0), Deck(3, 7))
    tariff = Tariff(1, 2, "retail", "EUR", 7, inbound_rate_set_id=9, decks=decks)
    assert links(tariff) == ("rset:7", "rset:9", "rset:8")
    assert links(Tariff(1, 2, "new", "EUR", 0)) == ()
    records = {"tar:1": tariff, "rset:7": RateSet(7, ()), "rset:8": RateSet(8, ()), "rset:9": RateSet(9, ())}
    rates = {(set_id, "4"): b"" for set_id in (7, 8, 9)}
    assert missing(("tar:1",), records, rates, "4") == Need((), "4")
    for set_id in (7, 8, 9):
        fewer = {place: bucket for place, bucket in rates.items() if place[0] != set_id}
        assert missing(("tar:1",), records, fewer, "4").keys == ("tar:1",)


def test_a_set_that_is_not_there_has_no_buckets() -> None:
    """Nothing is asked for twice: the next fetch could not say more of it either."""
    records = {"tar:1": Tariff(1, 2, "retail", "EUR", 7), "rset:7": None}
    assert missing(("tar:1",), records, {}, "44") == Need((), "44")


def test_nothing_missing_is_an_empty_need() -> None:
    """All of a closed set of records is known."""
    assert missing(("sub:alice@a.example",), WORLD.records, {}, "") == Need(())
