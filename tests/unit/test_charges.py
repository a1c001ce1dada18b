"""What each level pays, and what is held."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kemi import keys
from kemi.core.outcome import IN, OUT, HoldFund
from kemi.core.rating import charge, price
from kemi.core.request import CallRequest
from kemi.records import Band, Deck, Period, PeriodPrice, Rate, RateSet, Span
from kemi.settings import Limits
from tests.fakes.world import (
    BOB_NUMBER,
    CAROL_NUMBER,
    CUSTOMER,
    DEALER,
    NEIGHBOUR,
    NOW_MS,
    RESELLER,
    ZONES,
    World,
    from_peer,
    invite,
)


def test_every_level_pays_its_own_tariff_to_its_parent() -> None:
    """The longest prefix of each tariff is pinned with all that prices it later."""
    world = World()
    world.tariff(30, {"33": Rate(30_000), "3314": Rate(31_000, 60, 60, 100)})
    legs = world.route(invite()).call.legs
    assert [(leg.level, leg.payer_id, leg.payee_id, leg.fund) for leg in legs] == [
        (1, 5, 3, "5:EUR"),
        (2, 3, 2, "3:EUR"),
        (3, 2, 1, "2:EUR"),
    ]
    assert [(leg.tariff_id, leg.rate_set_id, leg.prefix) for leg in legs] == [
        (50, 1050, "33"),
        (30, 1030, "3314"),
        (20, 1020, "33"),
    ]
    assert legs[1].rate == Rate(31_000, 60, 60, 100)


@pytest.mark.parametrize(("account_id", "level", "tariff_id"), [(CUSTOMER, 1, 50), (DEALER, 2, 30), (RESELLER, 3, 20)])
@pytest.mark.parametrize(
    "break_it",
    [
        lambda world, tariff_id: world.tariff(tariff_id, {"34": Rate(1)}),
        lambda world, tariff_id: world.records.pop(f"tar:{tariff_id}"),
        lambda world, tariff_id: world.records.pop(f"rset:{tariff_id + 1000}"),
        lambda world, tariff_id: world.put(f"rset:{tariff_id + 1000}", RateSet(tariff_id + 1000, ())),
        lambda world, tariff_id: world.change(f"tar:{tariff_id}", rate_set_id=0),
        lambda world, tariff_id: world.change(f"tar:{tariff_id}", decks=(Deck(NOW_MS, 0),)),
    ],
)
def test_a_level_without_a_rate_refuses(account_id: int, level: int, tariff_id: int, break_it: Any) -> None:
    """Nobody would pay that part, whatever the reason: no prefix, no tariff, no classes, no prices any more."""
    world = World()
    break_it(world, tariff_id)
    refusal = world.refusal(invite())
    assert (refusal.reason, refusal.account_id) == ("no_rate", account_id)
    assert refusal.trace[-1].startswith(f"level {level} account {account_id} has ")


def test_a_forbidden_rate_refuses() -> None:
    """At any level, with the level named."""
    world = World()
    world.tariff(20, {"33": Rate(1), "331": Rate(1, forbidden=True)})
    refusal = world.refusal(invite())
    assert (refusal.reason, refusal.account_id) == ("forbidden", RESELLER)
    assert refusal.trace[-1] == "level 3 account 2 may not call it by tariff 20 prefix 331"


def test_a_price_that_no_ledger_can_say_is_refused_by_name() -> None:
    """Each leg for itself may cost what Redis can count; the sum over a fund, and what a call may cost, are bounded."""
    world = World()
    world.change("acct:2", loss_pct=-1)
    world.tariff(20, {"33": Rate(2**56)})
    refusal = world.refusal(invite())
    assert (refusal.reason, refusal.status) == ("too_dear", 403)
    world.tariff(20, {"33": Rate(2**53)})
    hold = world.route(invite()).hold
    assert hold.rows
    assert max(max(row.price_micros) for row in hold.rows) <= 2**50
    assert hold.rows[-1].talk_s < 60, "as far as a call may go"


@pytest.mark.parametrize(
    ("zones", "part_at_ms"),
    [
        (("UTC", "UTC", "UTC"), (1_770_076_800_000,)),
        (("Europe/Berlin", "UTC", "Europe/Berlin"), (1_770_073_200_000, 1_770_076_800_000)),
        (
            ("Pacific/Kiritimati", "Nowhere/At_All", "Asia/Kathmandu"),
            (1_770_026_400_000, 1_770_056_100_000, 1_770_076_800_000),
        ),
    ],
)
def test_the_ends_of_the_payers_days_are_pinned(zones: tuple[str, str, str], part_at_ms: tuple[int, ...]) -> None:
    """Midnights of every level within the longest possible call, once each; a zone that nobody knows is UTC."""
    world = World()
    for account_id, zone in zip((CUSTOMER, DEALER, RESELLER), zones, strict=True):
        world.change(f"acct:{account_id}", timezone=zone)
    assert world.route(invite(), limits=Limits(max_call_s=86_400)).call.part_at_ms == part_at_ms


def test_a_call_that_is_over_before_midnight_pins_no_day() -> None:
    """It is 02:40: with four hours at most no day ends. Nor does one matter to who pays nothing."""
    world = World()
    assert world.route(invite()).call.part_at_ms == ()
    assert world.route(from_peer(), limits=Limits(max_call_s=86_400)).call.part_at_ms == ()


def test_a_hold_has_a_row_of_prices_per_fund() -> None:
    """Cumulative prices of the first slice, in the order of the funds, up to the end of the slice."""
    world = World()
    route = world.route(invite(), limits=Limits(slice_s=40))
    assert route.hold.funds == (HoldFund("5:EUR", 5, 1), HoldFund("3:EUR", 3, 2), HoldFund("2:EUR", 2, 3))
    assert route.hold.rows[-1].talk_s == 40
    for row in route.hold.rows:
        assert row.price_micros == tuple(price(leg.rate, row.talk_s) for leg in route.call.legs)


def test_a_slice_is_never_longer_than_the_call_may_be() -> None:
    """A call of at most 30 s holds 30 s."""
    route = World().route(invite(), limits=Limits(max_call_s=30))
    assert (route.hold.rows[-1].talk_s, route.call.max_s) == (30, 30)


def test_an_internal_call_takes_a_channel_at_every_level_once() -> None:
    """Two chains that share ancestors: a leg at price 0 for every level of both, a fund row for each account."""
    route = World().route(invite(callee=CAROL_NUMBER))
    assert route.call.direction == "internal"
    assert [(leg.level, leg.payer_id) for leg in route.call.legs] == [(1, 5), (2, 3), (3, 2), (4, 8), (5, 2)]
    assert [(fund.account_id, fund.level, fund.sides) for fund in route.hold.funds] == [
        (5, 1, OUT),
        (3, 2, OUT),
        (2, 3, OUT | IN),
        (8, 4, IN),
    ]
    assert all(leg.rate == Rate(0) and leg.tariff_id == 0 for leg in route.call.legs)
    assert [row.price_micros for row in route.hold.rows] == [(0, 0, 0, 0)]


def test_a_call_within_one_account_takes_its_channels_once() -> None:
    """Caller and called hang on the same chain: every fund stands in the hold once."""
    route = World().route(invite(callee=BOB_NUMBER))
    assert [fund.fund for fund in route.hold.funds] == [keys.fund(account_id, "EUR") for account_id in (5, 3, 2)]
    assert {fund.sides for fund in route.hold.funds} == {OUT | IN}


def test_an_inbound_call_holds_the_called_chain() -> None:
    """Free, but counted where it rings."""
    route = World().route(from_peer(CAROL_NUMBER))
    assert [(leg.payer_id, leg.payee_id, leg.rate.per_min_micros) for leg in route.call.legs] == [(8, 2, 0), (2, 1, 0)]
    assert route.call.account_id == 8
    assert {fund.sides for fund in route.hold.funds} == {IN}


def test_the_deck_in_force_prices_the_call() -> None:
    """From the very millisecond on; the rate set before the first deck, the last of those begun after."""
    world = World()
    for set_id in (7001, 7002):
        world.rate_set(set_id, {"33": Rate(set_id)})
    world.change("acct:3", loss_pct=-1)
    world.change("tar:50", decks=(Deck(NOW_MS, 7001), Deck(NOW_MS + 10, 7002)))
    for received_ms, set_id in ((NOW_MS - 1, 1050), (NOW_MS, 7001), (NOW_MS + 9, 7001), (NOW_MS + 10, 7002)):
        leg = world.route(invite(received_ms=received_ms)).call.legs[0]
        assert leg.rate_set_id == set_id
        assert set_id == 1050 or leg.rate == Rate(set_id)


def test_a_tariff_in_another_currency_is_exchanged() -> None:
    """The newest rate that has begun is pinned; the payee earns dollars, the fund pays euros and a begun micro."""
    world = World()
    world.change("acct:3", loss_pct=-1)
    world.tariff(30, {"33": Rate(60_000)}, currency="USD", rounding="half_even", round_to_micros=100)
    world.exchange("USD", "EUR", 910_000_000, valid_from_ms=NOW_MS - 2)
    world.exchange("USD", "EUR", 920_000_001, valid_from_ms=NOW_MS)
    world.exchange("USD", "EUR", 930_000_000, valid_from_ms=NOW_MS + 1)
    route = world.route(invite())
    leg = route.call.legs[1]
    assert (leg.fund, leg.currency, leg.exchange_nanos) == ("3:EUR", "USD", 920_000_001)
    assert (leg.rounding, leg.round_to_micros) == ("half_even", 100)
    assert route.hold.rows[-1].price_micros[1] == charge(leg, 60, NOW_MS) == 55_201
    assert "level 2 account 3 pays 0.06 USD/min by tariff 30 prefix 33, 1 USD = 0.920000001 EUR" in route.trace
    assert "fx" in route.hold.used
    assert "fx" not in World().route(invite()).hold.used


@pytest.mark.parametrize(
    "rates", [(), (("EUR", "USD", 0),), (("USD", "EUR", NOW_MS + 1),), (("USD", "EUE", 0), ("USD", "EUS", 0))]
)
def test_without_an_exchange_rate_a_level_refuses(rates: tuple[tuple[str, str, int], ...]) -> None:
    """None entered, only the other direction, not begun, or of other currencies: what is paid is nobody's guess."""
    world = World()
    world.change("tar:30", currency="USD")
    for base, quote, valid_from_ms in rates:
        world.exchange(base, quote, 10**9, valid_from_ms)
    refusal = world.refusal(invite())
    assert (refusal.reason, refusal.status, refusal.account_id) == ("no_exchange", 403, DEALER)
    assert refusal.trace[-1] == "level 2 account 3 has EUR, tariff 30 is in USD: no exchange rate"


def test_a_call_that_may_cross_a_boundary_is_pinned_with_both_prices() -> None:
    """And held, before the answer, at the dearest that it may become; far from a boundary nothing is pinned but one."""
    world = World()
    at = datetime.fromtimestamp(NOW_MS / 1000, UTC).astimezone(ZONES["Europe/Berlin"])
    minute = at.weekday() * 1440 + at.hour * 60 + at.minute  # 03:40 of a Monday: 0 s of the minute
    peak = Period("peak", (Span(minute + 2, minute + 3),))
    world.rate_set(1050, {"33": Rate(60_000, 1, 1, 0, periods=(PeriodPrice(0, 6_000_000, 50),))}, (peak,))
    world.change("tar:50", timezone="Europe/Berlin")
    route = world.route(invite(), limits=Limits(ring_max_s=120))
    leg = route.call.legs[0]
    assert leg.rate == Rate(60_000)
    assert leg.bands == (Band(NOW_MS + 120_000, 60_000), Band(NOW_MS + 180_000, 6_000_000, 50), Band(0, 60_000))
    assert route.hold.rows[-1].price_micros[0] == 6_000_050
    told = "pays 0.06 EUR/min by tariff 50 prefix 33, then 6.00 EUR/min from Mon 03:42, 0.06 EUR/min from Mon 03:43"
    assert f"level 1 account 5 {told} (Europe/Berlin)" in route.trace
    assert world.route(invite(), limits=Limits(ring_max_s=1)).hold.rows[-1].price_micros[0] == 60_000
    assert world.route(invite(received_ms=NOW_MS + 120_000)).call.legs[0].rate == Rate(6_000_000, connect_micros=50)
    assert world.route(invite(received_ms=NOW_MS + 180_000)).call.legs[0].bands == ()


def test_an_unknown_time_zone_is_told_and_counts_as_utc() -> None:
    """A node without that table routes on; the trace tells who looks for the reason of a price."""
    world = World()
    world.rate_set(1050, {"33": Rate(70_000, periods=(PeriodPrice(0, 90_000),))}, (Period("all", (Span(0, 10_080),)),))
    world.change("tar:50", timezone="Mars/Olympus")
    route = world.route(invite())
    assert route.call.legs[0].rate.per_min_micros == 90_000
    assert "tariff 50: time zone Mars/Olympus is unknown here, UTC counts" in route.trace


@pytest.mark.parametrize(
    ("onnet", "callee", "is_paid"),
    [
        ("free", CAROL_NUMBER, False),
        ("other", CAROL_NUMBER, True),
        ("other", BOB_NUMBER, False),
        ("all", BOB_NUMBER, True),
        ("sideways", CAROL_NUMBER, False),
    ],
)
def test_a_tariff_says_what_calls_between_our_lines_cost(onnet: str, callee: str, is_paid: bool) -> None:
    """Level by level: only the dealer's tariff says it here. The called chain pays nothing."""
    world = World()
    world.change("tar:30", onnet=onnet)
    route = world.route(invite(callee=callee))
    assert [leg.payer_id for leg in route.call.legs if leg.tariff_id] == ([DEALER] if is_paid else [])
    held = dict(zip((fund.fund for fund in route.hold.funds), route.hold.rows[-1].price_micros, strict=True))
    assert held.pop("3:EUR") == (30_000 if is_paid else 0)
    assert not any(held.values())


def test_a_call_on_net_that_has_to_be_paid_needs_a_rate() -> None:
    """As a call out does, with the level named."""
    world = World()
    world.tariff(30, {"33": Rate(1)}, onnet="all")
    assert world.refusal(invite(callee=BOB_NUMBER)).reason == "no_rate"
    world.tariff(30, {"44": Rate(1, forbidden=True)}, onnet="all")
    assert world.refusal(invite(callee=BOB_NUMBER)).reason == "forbidden"


def inbound_world() -> World:
    """Carol's customer pays 7000 a minute for calls to 44208, its reseller 90 for calls to 44."""
    world = World()
    world.put(keys.account(NEIGHBOUR), world.records["acct:8"]._replace(tariff_id=55))  # type: ignore[attr-defined]
    world.tariff(55, {"33": Rate(1)}, inbound_rate_set_id=7001)
    world.rate_set(7001, {"44": Rate(1), "44208": Rate(7_000, connect_micros=3)})
    world.change("tar:20", inbound_rate_set_id=7002)
    world.rate_set(7002, {"44": Rate(90)})
    return world


@pytest.mark.parametrize("call", [from_peer(CAROL_NUMBER), invite(callee=CAROL_NUMBER)])
def test_the_called_number_pays_where_its_tariffs_say_so(call: CallRequest) -> None:
    """At each level by its own inbound rates, from a carrier and from a line of ours alike."""
    route = inbound_world().route(call)
    paid = [
        (leg.payer_id, leg.payee_id, leg.tariff_id, leg.prefix, leg.rate) for leg in route.call.legs if leg.tariff_id
    ]
    assert paid == [(8, 2, 55, "44208", Rate(7_000, connect_micros=3)), (2, 1, 20, "44", Rate(90))]
    held = dict(zip((fund.fund for fund in route.hold.funds), route.hold.rows[-1].price_micros, strict=True))
    assert (held["8:EUR"], held["2:EUR"]) == (7_003, 90)


def test_both_chains_pay_in_one_hold() -> None:
    """The shared reseller pays for the call and for the number, in one row; levels count on."""
    world = inbound_world()
    for tariff_id in (20, 50):
        world.change(f"tar:{tariff_id}", onnet="other")
    route = world.route(invite(callee=CAROL_NUMBER))
    assert [(leg.level, leg.payer_id, leg.tariff_id) for leg in route.call.legs] == [
        (1, 5, 50),
        (2, 3, 0),
        (3, 2, 20),
        (4, 8, 55),
        (5, 2, 20),
    ]
    assert [fund.fund for fund in route.hold.funds] == ["5:EUR", "3:EUR", "2:EUR", "8:EUR"]
    assert route.hold.rows[-1].price_micros == (50_000, 0, 20_000 + 90, 7_003)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda world: world.rate_set(7002, {"44": Rate(1, forbidden=True)}),
            f"account 2 takes no calls to {CAROL_NUMBER} by tariff 20 prefix 44",
        ),
        (
            lambda world: world.change("tar:20", currency="USD"),
            "account 2 has EUR, tariff 20 is in USD: no exchange rate",
        ),
    ],
)
def test_what_is_wrong_above_the_called_is_not_the_callers_business(change: Any, sentence: str) -> None:
    """He is told that the number cannot be reached; the trace, and the level in the CDR, say why."""
    world = inbound_world()
    change(world)
    for call in (from_peer(CAROL_NUMBER), invite(callee=CAROL_NUMBER)):
        refusal = world.refusal(call)
        assert (refusal.reason, refusal.account_id) == ("called_unavailable", RESELLER)
        assert refusal.trace[-1].endswith(sentence)


def test_without_an_inbound_rate_for_the_number_a_level_pays_nothing() -> None:
    """An inbound rate set prices what it names: a toll-free number, and no other."""
    world = inbound_world()
    world.rate_set(7001, {"44800": Rate(7_000)})
    assert [leg.tariff_id for leg in world.route(from_peer(CAROL_NUMBER)).call.legs] == [0, 20]


def test_the_hold_names_all_that_was_looked_at() -> None:
    """What exists and what was found absent: a change of either makes the decision stale."""
    used = World().route(invite()).hold.used
    assert {"sub:alice@a.example", "acct:1", "tar:50", "rset:1050", "pg:6", "num:33140000000", "rules:2:3"} <= {*used}
    assert len(used) == len({*used})


def test_a_carriers_price_is_pinned_on_its_owner() -> None:
    """The owner of the interconnection pays; Redis holds nothing for it."""
    targets = {target.group_id: target for target in World().route(invite()).call.targets}
    for group_id, owner_id in ((3, 1), (6, 2)):
        cost = targets[group_id].cost
        assert cost is not None
        assert (cost.payer_id, cost.payee_id, cost.fund, cost.level) == (owner_id, owner_id, "", 0)
        assert (cost.tariff_id, cost.prefix) == (300 + group_id, "33")
