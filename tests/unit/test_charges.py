"""What each level pays, and what is held."""

from __future__ import annotations

from typing import Any

import pytest

from kemi import keys
from kemi.core.outcome import HoldFund
from kemi.core.rating import price
from kemi.records import Rate, RateSet
from kemi.settings import Limits
from tests.fakes.world import BOB_NUMBER, CAROL_NUMBER, CUSTOMER, DEALER, RESELLER, World, from_peer, invite


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
        lambda world, tariff_id: world.change(f"tar:{tariff_id}", currency="USD"),
    ],
)
def test_a_level_without_a_rate_refuses(account_id: int, level: int, tariff_id: int, break_it: Any) -> None:
    """Nobody would pay that part, whatever the reason: no prefix, no tariff, no classes, another currency."""
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
    assert [(fund.account_id, fund.level, fund.channels) for fund in route.hold.funds] == [
        (5, 1, 1),
        (3, 2, 1),
        (2, 3, 1),
        (8, 4, 1),
    ]
    assert all(leg.rate == Rate(0) and leg.tariff_id == 0 for leg in route.call.legs)
    assert [row.price_micros for row in route.hold.rows] == [(0, 0, 0, 0)]


def test_a_call_within_one_account_takes_its_channels_once() -> None:
    """Caller and called hang on the same chain: every fund stands in the hold once."""
    route = World().route(invite(callee=BOB_NUMBER))
    assert [fund.fund for fund in route.hold.funds] == [keys.fund(account_id, "EUR") for account_id in (5, 3, 2)]


def test_an_inbound_call_holds_the_called_chain() -> None:
    """Free, but counted where it rings."""
    route = World().route(from_peer(CAROL_NUMBER))
    assert [(leg.payer_id, leg.payee_id, leg.rate.per_min_micros) for leg in route.call.legs] == [(8, 2, 0), (2, 1, 0)]
    assert route.call.account_id == 8


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
