"""Which carriers may take a call."""

from __future__ import annotations

from typing import Any

import pytest

from kemi.core.candidates import prefixes
from kemi.records import PeeringRule, Period, PeriodPrice, Rate, Span
from kemi.settings import Limits
from tests.fakes.world import (
    ACME_1,
    ACME_2,
    BELL,
    BELL_1,
    CAROL,
    CUSTOMER,
    NEIGHBOUR,
    OWN,
    OWN_1,
    World,
    carrier_of,
    from_trunk,
    invite,
)

ALL = {ACME_1, ACME_2, BELL_1, OWN_1}


def servers(world: World, **fields: Any) -> list[int]:
    return [target.pinned.server_id for target in world.route(invite(), **fields).targets]


def test_the_cheapest_carrier_comes_first() -> None:
    """The profile of a tenant that states none is least cost."""
    assert set(servers(World())[:2]) == {ACME_1, ACME_2}
    assert servers(World())[2:] == [BELL_1, OWN_1]


@pytest.mark.parametrize(
    ("change", "gone", "sentence"),
    [
        (lambda world: world.change("pg:3", enabled=False), {ACME_1, ACME_2}, "it is disabled"),
        (lambda world: world.change("pg:4", servers=()), {BELL_1}, "it has no enabled server"),
        (lambda world: world.change_server(BELL_1, enabled=False), {BELL_1}, "it has no enabled server"),
        (lambda world: world.records.pop("pg:4"), {BELL_1}, "rule 40 not eligible: account 1 has no group 4"),
        (lambda world: world.records.pop("tar:304"), {BELL_1}, "no rate for 33140000000 in its deck"),
        (lambda world: world.tariff(304, {"34": Rate(1)}), {BELL_1}, "no rate for 33140000000 in its deck"),
        (
            lambda world: world.tariff(304, {"33": Rate(1, forbidden=True)}),
            {BELL_1},
            "no rate for 33140000000 in its deck",
        ),
        (
            lambda world: world.change("pg:6", account_id=NEIGHBOUR),
            {OWN_1},
            "rule 60 not eligible: account 2 has no group 6",
        ),
    ],
)
def test_what_is_not_eligible_is_gone_with_a_reason(change: Any, gone: set[int], sentence: str) -> None:
    """Every carrier that was not used is explained."""
    world = World()
    change(world)
    assert set(servers(world)) == ALL - gone
    assert any(sentence in entry for entry in world.route(invite()).trace)


def test_a_disabled_server_leaves_its_neighbours() -> None:
    """Only the group without any enabled server is out."""
    world = World()
    world.change_server(ACME_1, enabled=False)
    assert set(servers(world)) == ALL - {ACME_1}


@pytest.mark.parametrize(
    ("fields", "eligible"),
    [
        ({"enabled": False}, False),
        ({"callee_pattern": "^sip:3314"}, True),
        ({"callee_pattern": "@sip\\.example$"}, True),
        ({"callee_pattern": "^sip:3315"}, False),
        ({"callee_pattern": "("}, False),
        ({"caller_pattern": "^sip:4420"}, True),
        ({"caller_pattern": "@a\\.example$"}, True),
        ({"caller_pattern": "^sip:33"}, False),
    ],
)
def test_a_rule_takes_what_it_describes(fields: dict[str, Any], eligible: bool) -> None:
    """Prefix, both patterns and the switch must fit; a broken pattern fits nothing."""
    world = World()
    world.forget_rules()
    world.rule(PeeringRule(1, BELL, "33")._replace(**fields))
    world.rule(PeeringRule(2, OWN, "33"))
    assert (BELL_1 in servers(world)) is eligible


def test_a_long_host_is_no_obstacle_to_a_rule_without_patterns() -> None:
    """Patterns see at most so many characters; a rule that has none does not look."""
    call = from_trunk()
    world = World()
    assert world.route(call._replace(ruri=call.ruri._replace(host="x" * 250))).targets


def test_prefixes_go_from_the_whole_number_to_any() -> None:
    """At most 16 keys for a number of 15 digits."""
    assert prefixes("331") == ("331", "33", "3", "")
    assert len(prefixes("1" * 15)) == 16


def test_a_rule_for_all_numbers_counts() -> None:
    """The empty prefix is a prefix."""
    world = World()
    world.forget_rules()
    world.rule(PeeringRule(1, BELL, ""))
    assert servers(world) == [BELL_1]


def test_a_group_counts_by_its_longest_prefix() -> None:
    """A carrier that several rules lead to is one candidate, ranked by the best of them."""
    world = World()
    world.change("acct:5", routing=("prefix", "cost"))
    world.rule(PeeringRule(1, OWN, "3314"))
    assert servers(world)[0] == OWN_1
    assert sorted(servers(world)) == sorted(ALL)
    assert "candidate 1: server 61 (own/one) by rule 1, costs 0.007 EUR/min" in world.route(invite()).trace


def test_a_second_rule_may_be_the_eligible_one() -> None:
    """A rule that does not fit leaves its group to the next rule."""
    world = World()
    world.forget_rules()
    world.rule(PeeringRule(1, BELL, "33", enabled=False))
    world.rule(PeeringRule(2, BELL, "33"))
    assert servers(world) == [BELL_1]


def test_a_stopper_ends_the_search_for_shorter_prefixes() -> None:
    """Rules of the same length still count."""
    world = World()
    world.rule(PeeringRule(1, BELL, "3314", stopper=True))
    world.rule(PeeringRule(2, OWN, "3314"))
    assert servers(world) == [BELL_1, OWN_1]
    assert "prefix 3314 is a stopper: no shorter one counts" in world.route(invite()).trace


@pytest.mark.parametrize(
    "change",
    [
        lambda world: world.change("pg:4", enabled=False),
        lambda world: world.change_server(BELL_1, enabled=False),
        lambda world: world.change("pg:4", account_id=NEIGHBOUR),
        lambda world: world.tariff(304, {"34": Rate(1)}),
    ],
)
def test_a_stopper_that_is_not_eligible_stops_nothing(change: Any) -> None:
    """Eligibility comes before ranking: a disabled rule with a long prefix is no black hole."""
    world = World()
    world.rule(PeeringRule(1, BELL, "3314", stopper=True))
    change(world)
    assert {ACME_1, ACME_2} <= set(servers(world))


def test_a_stopper_that_is_down_still_stops() -> None:
    """It is a policy, not a preference: the calls go there or nowhere."""
    world = World()
    world.rule(PeeringRule(1, BELL, "3314", stopper=True))
    assert servers(world, down_servers=frozenset((BELL_1,))) == [BELL_1]


def test_a_tenants_carrier_serves_its_subtree_only() -> None:
    """Reseller 2 and all below it may use its own carrier; a sibling's is foreign."""
    world = World()
    assert OWN_1 in [target.pinned.server_id for target in world.route(invite(CAROL)).targets]
    world.carrier(carrier_of(CUSTOMER, 7), 1_000)
    assert 7 in servers(world)
    assert 7 not in [target.pinned.server_id for target in world.route(invite(CAROL)).targets]


def test_nobody_sees_a_neighbours_carrier() -> None:
    """Neither the trace of a route or of a refusal, nor what the hold is told, names another tenant's carrier."""
    world = World()
    world.carrier(carrier_of(NEIGHBOUR, 7), 1_000)
    world.carrier(carrier_of(NEIGHBOUR, 9)._replace(enabled=False), 1_000, "33")
    route = world.route(invite())
    assert not [sentence for sentence in route.trace if "carrier" in sentence or "account 8" in sentence]
    assert not {name for name in route.hold.used if name.startswith(("rules:8:", "pg:7", "pg:9", "acct:8"))}
    world.forget_rules()
    world.rule(PeeringRule(1, 7, "33"))
    assert world.refusal(invite()).trace[-1] == "no carrier takes 33140000000"
    assert not [sentence for sentence in world.refusal(invite()).trace if "7" in sentence.split()]
    assert 7 in [target.pinned.server_id for target in world.route(invite(CAROL)).targets]


def test_an_account_that_owns_no_carriers_is_not_asked_for_rules() -> None:
    """The first carrier of a tenant changes its account, whose record every call of the tenant has used."""
    world = World()
    assert "acct:5" in world.route(invite()).hold.used
    world.carrier(carrier_of(CUSTOMER, 7), 1_000)
    world.change("acct:5", owns_carriers=False)
    route = world.route(invite())
    assert not {name for name in route.hold.used if name.startswith("rules:5:")}
    assert 7 not in [target.pinned.server_id for target in route.targets]


def test_no_level_sells_at_a_loss() -> None:
    """A carrier dearer than what any level pays is left out, though the customer pays more than enough."""
    world = World()
    world.tariff(20, {"33": Rate(6_500)})
    assert OWN_1 not in servers(world)
    assert "server 61 (own/one) skipped: dearer than level 3 pays" in world.route(invite()).trace


def test_selling_at_cost_is_no_loss() -> None:
    """Equal prices pass."""
    world = World()
    world.tariff(20, {"33": Rate(7_000)})
    assert OWN_1 in servers(world)


def test_the_loss_of_a_minute_counts() -> None:
    """A connect fee makes a carrier dear, whatever its price per minute."""
    world = World()
    world.tariff(306, {"33": Rate(1, connect_micros=20_001)})
    assert OWN_1 not in servers(world)


def test_a_currency_that_nobody_can_compare_is_passed_over() -> None:
    """Without an exchange rate a sale might be a loss, and nobody could say how great."""
    world = World()
    world.tariff(306, {"33": Rate(1)}, currency="JPY")
    assert OWN_1 not in servers(world)
    sentence = "server 61 (own/one) skipped: no exchange rate between JPY and EUR, which level 1 pays in"
    assert sentence in world.route(invite()).trace


@pytest.mark.parametrize(("nanos", "is_sold"), [(2_000_000_000, True), (2_000_000_001, False)])
def test_a_loss_is_one_in_any_currency(nanos: int, is_sold: bool) -> None:
    """A carrier paid in dollars against a level that pays in euros."""
    world = World()
    world.tariff(306, {"33": Rate(10_000)}, currency="USD")
    world.exchange("USD", "EUR", nanos)
    assert (OWN_1 in servers(world)) == is_sold


def test_a_loss_is_one_by_the_prices_of_now() -> None:
    """Periods and rounding count: what a carrier charges and what a level pays at this time of the week."""
    world = World()
    always = Period("always", (Span(0, 10_080),))
    world.rate_set(1306, {"33": Rate(1, periods=(PeriodPrice(0, 20_001),))}, (always,))
    assert OWN_1 not in servers(world)
    world.rate_set(1306, {"33": Rate(99_999, periods=(PeriodPrice(0, 20_000),))}, (always,))
    assert OWN_1 in servers(world)
    world.change("tar:306", round_to_micros=1_000_000)
    assert OWN_1 not in servers(world)


@pytest.mark.parametrize("cap", ["balance", "day", "month"])
def test_a_carrier_that_may_get_no_more_money_is_left_out(cap: str) -> None:
    """The trace says which cap it was; an emergency call goes there all the same."""
    world = World()
    world.change("pg:4", spent=cap)
    assert BELL_1 not in servers(world)
    assert f"group 4 (bell) not eligible: its {cap} cap is reached" in world.route(invite()).trace
    assert BELL_1 in [target.pinned.server_id for target in world.route(invite(callee="112")).targets]


def test_no_carrier_left_is_no_route() -> None:
    """All reasons stand in the trace."""
    world = World()
    for deck in (303, 304, 306):
        world.tariff(deck, {"33": Rate(90_000)})
    refusal = world.refusal(invite())
    assert (refusal.reason, refusal.status) == ("no_route", 404)
    assert sum("skipped: dearer than level 1 pays" in entry for entry in refusal.trace) == 4


def test_a_server_that_failed_lately_is_passed_over() -> None:
    """The call goes where calls succeed."""
    world = World()
    down = frozenset((ACME_1, BELL_1))
    assert servers(world, down_servers=down) == [ACME_2, OWN_1]
    assert "server 31 (acme/one) skipped: failed lately" in world.route(invite(), down_servers=down).trace


def test_when_all_failed_lately_they_are_tried() -> None:
    """A memory of failure is a guess; refusing would make it certain."""
    world = World()
    assert set(servers(world, down_servers=frozenset(ALL))) == ALL


def test_a_hunt_has_a_bound() -> None:
    """Only so many candidates are tried, the best ones."""
    world = World()
    limits = Limits(attempts_max=3)
    assert servers(world, limits=limits) == servers(world)[:3]
    assert len(world.route(invite(), limits=limits).call.targets) == 3
