"""Which carriers may take a call."""

from __future__ import annotations

from typing import Any

import pytest

from kemi.core.again import refused_hold
from kemi.core.candidates import prefixes
from kemi.core.outcome import BEYOND_MAX, LEFT_OUT_MAX, Route
from kemi.core.pattern import WAYS_MAX, compile_pattern
from kemi.records import (
    Choice,
    Lengths,
    PeeringRule,
    PeeringRules,
    Period,
    PeriodPrice,
    PortedNumber,
    Rate,
    Span,
    TimeSet,
)
from kemi.settings import Limits
from tests.fakes.world import (
    ACME,
    ACME_1,
    ACME_2,
    BELL,
    BELL_1,
    CAROL,
    CUSTOMER,
    NEIGHBOUR,
    NOW_MS,
    OWN,
    OWN_1,
    World,
    carrier_of,
    from_trunk,
    invite,
)

LESS_ITS_OWN = "dearer than level 2 pays, less what account 2 pays itself"
ALL = {ACME_1, ACME_2, BELL_1, OWN_1}


def servers(world: World, **fields: Any) -> list[int]:
    return [target.pinned.server_id for target in world.route(invite(), **fields).targets]


def why_not(route: Route) -> dict[int, str]:
    """Return the reason by server of those left out."""
    return {choice.server_id: choice.why for choice in route.choices if choice.why and choice.server_id}


def grouped(server_ids: list[int]) -> list[set[int]]:
    """Return servers in order, those of acme together: which of the two leads is drawn."""
    found: list[set[int]] = []
    for server_id in server_ids:
        if found and found[-1] & {ACME_1, ACME_2} and server_id in {ACME_1, ACME_2}:
            found[-1].add(server_id)
        else:
            found.append({server_id})
    return found


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


TOO_MANY_WAYS = "its patterns from here on are not tried, for there are too many ways to try them"


def test_rules_that_take_too_long_are_not_tried() -> None:
    """An owner's rules together, the longest prefix first; those of another owner have ways of their own."""
    world = World()
    world.forget_rules()
    most = WAYS_MAX // compile_pattern(".*").ways
    for number in range(most):
        world.rule(PeeringRule(100 + number, ACME, "33", ".*#"))
    world.rule(PeeringRule(2, BELL, "3", "^sip:33"))
    world.rule(PeeringRule(3, OWN, "33", ".*"))
    assert servers(world) == [OWN_1]
    trace = world.route(invite()).trace
    assert "callee pattern of rule 2 does not match" in " ".join(trace)
    told = f"peering rules of account 1: {TOO_MANY_WAYS}"
    assert told in trace
    world.forget_rules()
    for number in range(most + 1):
        world.rule(PeeringRule(100 + number, ACME, "33", ".*#")._replace(block=True))
    world.rule(PeeringRule(3, OWN, "33", ".*"))
    assert told in world.route(invite()).trace
    world.forget_rules()
    world.rule(PeeringRule(1, ACME, "33", ".*#"))
    world.rule(PeeringRule(2, BELL, "3", "^sip:33"))
    assert servers(world) == [BELL_1]


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
    assert "candidate 1: server 61 (own/one) by rule 1, costs 0.021 EUR for 180 s" in world.route(invite()).trace


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
    assert (
        "prefix 3314 is a stopper: no shorter one counts for the carriers of account 1 and above"
        in world.route(invite()).trace
    )


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


def test_a_stopper_that_is_down_hides_nobody_who_is_well() -> None:
    """An exclusive route is no black hole: calls go where calls succeed."""
    world = World()
    world.rule(PeeringRule(1, BELL, "3314", stopper=True))
    route = world.route(invite(), down_servers=frozenset((BELL_1,)))
    assert {target.pinned.server_id for target in route.targets} == ALL - {BELL_1}
    assert why_not(route)[BELL_1] == "failed lately"


def test_when_everybody_is_down_a_stopper_stops() -> None:
    """Nobody is known to be well, so it is a policy again: the calls go there, and to who is nearer than its owner."""
    world = World()
    world.rule(PeeringRule(1, BELL, "3314", stopper=True))
    assert servers(world, down_servers=frozenset(ALL)) == [BELL_1, OWN_1]
    world.rule(PeeringRule(2, OWN, "331400", stopper=True))
    assert servers(world, down_servers=frozenset(ALL)) == [OWN_1]


def test_a_stopper_of_servers_that_are_all_left_out_stops_nothing() -> None:
    """Too dear, without an address, or where the call came from: it cannot be used, so it hides nobody."""
    world = World()
    world.rule(PeeringRule(1, BELL, "3314", stopper=True))
    world.tariff(304, {"33": Rate(90_000)})
    assert set(servers(world)) == ALL - {BELL_1}
    world.tariff(304, {"33": Rate(1)})
    world.change_server(BELL_1, address="")
    assert set(servers(world)) == ALL - {BELL_1}
    world.change_server(BELL_1, address="192.0.2.1")
    assert set(servers(world)) == ALL - {BELL_1}


def test_what_a_stopper_hides_is_told() -> None:
    """With its rule; what a longer prefix has led to already is not hidden."""
    world = World()
    world.rule(PeeringRule(1, BELL, "3314", stopper=True))
    told = {choice.group_id: (choice.why, choice.prefix) for choice in world.route(invite()).choices if choice.why}
    assert told == {ACME: ("hidden by stopper rule 1", "33")}


def test_a_stopper_hides_those_of_its_owner_and_above() -> None:
    """What a tenant has of his own nobody above takes away; his own stopper ends the search for all."""
    world = World()
    world.rule(PeeringRule(1, BELL, "3314", stopper=True))
    assert servers(world) == [BELL_1, OWN_1]
    world.change("acct:2", carriers="own_first")
    assert servers(world) == [OWN_1, BELL_1]
    world.rule(PeeringRule(2, OWN, "331400", stopper=True))
    assert servers(world) == [OWN_1]
    assert "prefix 331400 is a stopper: no shorter one counts" in world.route(invite()).trace


@pytest.mark.parametrize(
    ("owner_group", "left"),
    [(ACME, [ACME_1, ACME_2]), (BELL, [BELL_1]), (OWN, [OWN_1])],
)
def test_a_block_of_the_root_spares_its_tenants_carriers(owner_group: int, left: list[int]) -> None:
    """A rule of the root takes the root's carriers out of 33 and shorter; those of the reseller below stay."""
    world = World()
    world.rule(PeeringRule(1, BELL, "33", block=True))
    route = world.route(invite())
    assert [target.pinned.server_id for target in route.targets] == [OWN_1]
    told = {choice.group_id: choice.why for choice in route.choices if choice.why}
    assert told == {ACME: "blocked by rule 1", BELL: "blocked by rule 1"}
    assert "prefix 33 is blocked by rule 1 for the carriers of account 1 and above" in route.trace
    world.rule(PeeringRule(2, owner_group, "3314"))
    assert sorted(servers(world)) == sorted({OWN_1, *left})


def test_a_block_of_a_tenant_takes_all_above_it_too() -> None:
    """The reseller wants no calls to go there, by whomever; a longer prefix is an exception."""
    world = World()
    world.rule(PeeringRule(1, OWN, "3314", block=True))
    assert world.refusal(invite()).reason == "no_route"
    assert {choice.why for choice in world.refusal(invite()).choices} == {"blocked by rule 1"}
    world.rule(PeeringRule(2, BELL, "33140"))
    assert servers(world) == [BELL_1]


def test_a_block_wins_against_rules_of_its_own_prefix() -> None:
    """And the nearest owner's wins against one above: it says more."""
    world = World()
    world.rule(PeeringRule(1, OWN, "33", block=True))
    world.rule(PeeringRule(2, BELL, "33", block=True))
    assert {choice.why for choice in world.refusal(invite()).choices} == {"blocked by rule 1"}


@pytest.mark.parametrize(
    "fields",
    [
        {"enabled": False},
        {"valid_from_ms": NOW_MS + 1},
        {"valid_to_ms": NOW_MS},
        {"time_set_id": 9},
        {"callee_pattern": "^sip:44"},
        {"caller_pattern": "^sip:33"},
        {"group_id": 7},
    ],
)
def test_a_block_that_does_not_hold_blocks_nothing(fields: dict[str, Any]) -> None:
    """Disabled, out of its time, for other calls, or another tenant's."""
    world = World()
    world.put("pg:7", carrier_of(NEIGHBOUR, 7))
    rules = world.records["rules:1:33"]
    assert isinstance(rules, PeeringRules)
    world.put("rules:1:33", PeeringRules((*rules.entries, PeeringRule(1, BELL, "33", block=True)._replace(**fields))))
    assert set(servers(world)) == ALL


def test_a_block_goes_with_its_carrier() -> None:
    """Who disables a carrier expects that its rules are gone; the trace names the one that is."""
    world = World()
    world.rule(PeeringRule(1, BELL, "33", block=True))
    world.change("pg:4", enabled=False)
    assert set(servers(world)) == ALL - {BELL_1}
    assert "block rule 1 holds nothing: group 4 (bell) is disabled" in world.route(invite()).trace


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"valid_from_ms": NOW_MS + 1}, "rule 1 is not valid yet"),
        ({"valid_from_ms": NOW_MS}, ""),
        ({"valid_to_ms": NOW_MS}, "rule 1 is not valid any more"),
        ({"valid_to_ms": NOW_MS + 1}, ""),
        ({"time_set_id": 9}, "time set 9 of rule 1 does not hold now"),
        ({"time_set_id": 10}, ""),
        ({"time_set_id": 11}, "time set 11 of rule 1 does not hold now"),
    ],
)
def test_a_rule_has_its_time(fields: dict[str, Any], sentence: str) -> None:
    """From and until, and a set of times; one that does not exist never holds."""
    world = World()
    world.forget_rules()
    world.put("tset:9", TimeSet(9, "Tuesdays", "UTC", (Span(1440, 2880),)))
    world.put("tset:10", TimeSet(10, "Mondays", "UTC", (Span(0, 1440),)))
    world.rule(PeeringRule(1, BELL, "33")._replace(**fields))
    world.rule(PeeringRule(2, OWN, "33"))
    route = world.route(invite())
    assert [choice.why for choice in route.choices if choice.group_id == BELL] == [sentence]
    assert (BELL_1 in servers(world)) is (sentence == "")


@pytest.mark.parametrize("source", ["203.0.113.61", "::ffff:203.0.113.61"])
def test_a_call_does_not_go_back_where_it_came_from(source: str) -> None:
    """Unless its group takes calls back; addresses count, however they are written."""
    world = World()
    call = invite(source_ip=source)
    route = world.route(call)
    assert {target.pinned.server_id for target in route.targets} == ALL - {OWN_1}
    assert why_not(route)[OWN_1] == "the call came from it"
    assert "server 61 (own/one) skipped: the call came from it" in route.trace
    world.change("pg:6", may_return=True)
    assert OWN_1 in [target.pinned.server_id for target in world.route(call).targets]


def test_a_server_whose_name_is_not_resolved_is_left_out() -> None:
    """There is no address to send to; its neighbour is asked."""
    world = World()
    world.change_server(ACME_1, address="")
    route = world.route(invite())
    assert {target.pinned.server_id for target in route.targets} == ALL - {ACME_1}
    assert why_not(route)[ACME_1] == "its name is not resolved"


@pytest.mark.parametrize(
    ("policy", "nearest", "expected"),
    [
        ({"acct:2": "own_first"}, False, [[OWN_1], [ACME_1, ACME_2], [BELL_1]]),
        ({"acct:2": "own_only"}, False, [[OWN_1]]),
        ({"acct:1": "own_only"}, False, [[ACME_1, ACME_2], [BELL_1], [OWN_1]]),
        ({"acct:3": "own_only"}, False, [[ACME_1, ACME_2], [BELL_1], [OWN_1]]),
        ({"acct:2": "own_only"}, True, [[OWN_1], [7]]),
        ({"acct:5": "own_first"}, True, [[7], [ACME_1, ACME_2], [BELL_1], [OWN_1]]),
        ({"acct:5": "own_first", "acct:2": "own_only"}, True, [[7], [OWN_1]]),
        ({"acct:2": "own_first"}, True, [[OWN_1], [7], [ACME_1, ACME_2], [BELL_1]]),
        ({"acct:2": "anything"}, False, [[ACME_1, ACME_2], [BELL_1], [OWN_1]]),
    ],
)
def test_a_tenant_may_prefer_its_own_carriers(policy: dict[str, str], nearest: bool, expected: list[list[int]]) -> None:
    """Before those above it, or instead; own is dearer than acme and bell, and the customer's (7) dearer still."""
    world = World()
    if nearest:
        world.carrier(carrier_of(CUSTOMER, 7), 9_000)
    for name, carriers_of_whom in policy.items():
        world.change(name, carriers=carriers_of_whom)
    assert [set(group) for group in expected] == grouped(servers(world))


@pytest.mark.parametrize(
    ("account", "pct", "is_sold"),
    [
        ("acct:1", 4, False),
        ("acct:1", 5, True),
        ("acct:1", 6, True),
        ("acct:1", -1, True),
        ("acct:2", 50, False),
        ("acct:5", 50, False),
    ],
)
def test_a_seller_may_allow_a_loss(account: str, pct: int, is_sold: bool) -> None:
    """The reseller pays the root 0.02; a carrier of 0.021 is 5 % dearer, and it is the root that may allow that."""
    world = World()
    world.tariff(304, {"33": Rate(21_000)})
    world.change(account, loss_pct=pct)
    assert (BELL_1 in servers(world)) is is_sold
    if not is_sold:
        allowed = f" (up to {pct} % allowed)" if account == "acct:1" else ""
        assert f"server 41 (bell/one) skipped: dearer than level 3 pays{allowed}" in world.route(invite()).trace


def test_any_loss_may_be_allowed_without_an_exchange_rate() -> None:
    """Then the carrier comes last: nobody can say how dear it is."""
    world = World()
    world.tariff(306, {"33": Rate(1)}, currency="JPY")
    for name in ("acct:1", "acct:3", "acct:5"):
        world.change(name, loss_pct=-1)
    assert OWN_1 not in servers(world)
    world.change("acct:2", loss_pct=-1)
    assert servers(world)[-1] == OWN_1


def test_the_nearest_account_says_how_many_are_tried() -> None:
    """Else the node; never more than 16. All candidates are told, in order."""
    world = World()
    world.change("acct:2", attempts_max=2)
    route = world.route(invite())
    assert len(route.targets) == 2
    assert [choice.server_id for choice in route.choices] == servers(World())
    assert "2 more candidates: only 2 are tried" in route.trace
    world.change("acct:5", attempts_max=3)
    assert len(servers(world)) == 3
    for number in range(100, 120):
        world.carrier(carrier_of(CUSTOMER, number), 1)
    world.change("acct:5", attempts_max=99)
    assert len(servers(world)) == 16


def test_every_carrier_that_was_weighed_is_told() -> None:
    """Those of the plan first, in its order, with what the expected call costs; then the others with the reason."""
    world = World()
    world.change_server(ACME_2, enabled=False)
    world.change("pg:4", spent="day")
    world.tariff(306, {"33": Rate(90_000)})
    assert world.route(invite()).choices == (
        Choice(30, ACME, ACME_1, "acme/one", "33", 15_000, "EUR", 180),
        Choice(60, OWN, OWN_1, "own/one", "33", 270_000, "EUR", 180, LESS_ITS_OWN),
        Choice(30, ACME, ACME_2, "acme/two", "33", 15_000, "EUR", 180, "it is disabled"),
        Choice(40, BELL, 0, "bell", "33", why="its day cap is reached"),
    )
    world.change("pg:4", enabled=False)
    world.change_server(OWN_1, enabled=False)
    assert set(world.route(invite()).choices) >= {
        Choice(40, BELL, 0, "bell", "33", why="it is disabled"),
        Choice(60, OWN, 0, "own", "33", why="it has no enabled server"),
    }


def test_a_stopper_that_is_down_stops_when_all_are() -> None:
    """In so many words: the trace is what a person reads at night."""
    world = World()
    world.rule(PeeringRule(99, ACME, "3314", stopper=True))
    route = world.route(invite(), down_servers=frozenset(ALL))
    assert "every candidate failed lately: tried all the same" in route.trace
    assert {target.pinned.group_id for target in route.targets} == {ACME, OWN}, "nobody stops a nearer account's own"
    assert {choice.why for choice in route.choices if choice.why} == {"hidden by a stopper"}


def test_a_group_that_is_gone_is_told_by_its_number() -> None:
    """Nobody knows its name, and of somebody else's nobody is told it."""
    world = World()
    world.records.pop("pg:4")
    assert Choice(40, BELL, 0, "", "33", why="account 1 has no group 4") in world.route(invite()).choices


def test_a_group_that_has_not_the_ported_number_is_told_once() -> None:
    """However many rules lead to it."""
    world = World()
    world.rule(PeeringRule(99, BELL, "3314"))
    world.put("lnplens", Lengths((11,)))
    world.put("lnp:33140000000", PortedNumber("33140000000", "33140000000", ACME))
    choices = world.route(invite()).choices
    assert [choice.prefix for choice in choices if choice.group_id == BELL] == ["3314"]


def test_the_record_of_a_call_keeps_those_that_were_not_tried() -> None:
    """Those left out with the reason, then candidates beyond what may be tried; of very many the first."""
    world = World()
    world.change("acct:2", attempts_max=2)
    world.change("pg:4", spent="day")
    route = world.route(invite())
    kept = route.call.left_out
    assert [choice.name for choice in kept] == ["bell", "own/one"]
    assert [choice.why for choice in kept] == ["its day cap is reached", "only 2 are tried"]
    assert {target.name for target in route.call.targets} == {"acme/one", "acme/two"}
    world.change("acct:2", attempts_max=3)
    assert not [sentence for sentence in world.route(invite()).trace if "more candidates" in sentence]
    for deck in (303, 306):
        world.tariff(deck, {"33": Rate(90_000_000)})
    refusal = world.refusal(invite())
    assert refusal.call is not None
    assert refusal.call.left_out == refusal.choices
    world.forget_rules()
    for number in range(LEFT_OUT_MAX + 2):
        world.rule(PeeringRule(100 + number, BELL, "33"))
    refusal = world.refusal(invite())
    assert refusal.call is not None
    assert len(refusal.choices) == LEFT_OUT_MAX + 2
    assert refusal.call.left_out == (
        *refusal.choices[:LEFT_OUT_MAX],
        Choice(0, 0, 0, "", "", why="2 more were left out"),
    )


def test_a_record_names_few_candidates_that_came_too_late() -> None:
    """Reasons are what people ask for: they keep their places, the last choice counts the rest."""
    weighed = World().route(invite()).weighed
    many = weighed._replace(candidates=weighed.candidates * 10, left_out=(Choice(1, 2, 3, "bell", "", why="asleep"),))
    reason, *beyond, rest = many.not_tried(2)
    assert reason.why == "asleep"
    assert [choice.why for choice in beyond] == ["only 2 are tried"] * BEYOND_MAX
    assert rest.why == f"{len(many.candidates) - 2 - BEYOND_MAX} more were left out"
    full = many._replace(left_out=many.left_out * LEFT_OUT_MAX).not_tried(2)
    assert [choice.why for choice in full[:-1]] == ["asleep"] * LEFT_OUT_MAX


def test_a_refusal_tells_them_too() -> None:
    """Also when it was the money that refused."""
    world = World()
    for deck in (303, 304, 306):
        world.tariff(deck, {"33": Rate(90_000)})
    refusal = world.refusal(invite())
    assert {choice.server_id for choice in refusal.choices} == ALL
    assert {choice.why for choice in refusal.choices} == {"dearer than level 3 pays", LESS_ITS_OWN}
    route = World().route(invite())
    assert refused_hold(route, 5, "credit").choices == route.choices


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


def test_no_owner_sells_at_a_loss() -> None:
    """A carrier dearer than what its owner earns is left out, though the customer pays more than enough."""
    world = World()
    world.tariff(304, {"33": Rate(20_001)})
    assert BELL_1 not in servers(world)
    assert "server 41 (bell/one) skipped: dearer than level 3 pays" in world.route(invite()).trace


def test_selling_at_cost_is_no_loss() -> None:
    """Equal prices pass: of a carrier, and of the account above together with one of its own."""
    world = World()
    world.tariff(304, {"33": Rate(20_000)})
    world.tariff(306, {"33": Rate(10_000)})
    assert {BELL_1, OWN_1} <= set(servers(world))
    world.tariff(306, {"33": Rate(10_001)})
    assert OWN_1 not in servers(world)


def test_an_own_carrier_is_nothing_to_those_above() -> None:
    """They earn their fee, however little it is beside what the owner pays his carrier."""
    world = World()
    world.tariff(20, {"33": Rate(1)})
    world.change("acct:2", carriers="own_only")
    assert servers(world) == [OWN_1]
    world.carrier(carrier_of(CUSTOMER, 7), 10_000_000)
    assert 7 in servers(world)


@pytest.mark.parametrize(("pct", "is_sold"), [(0, False), (19, False), (20, True), (-1, True)])
def test_a_level_that_sells_below_what_it_pays_refuses_the_call(pct: int, is_sold: bool) -> None:
    """Whoever carries it: the reseller earns 0.025 and pays 0.03 itself."""
    world = World()
    world.tariff(30, {"33": Rate(25_000)})
    world.tariff(20, {"33": Rate(30_000)})
    world.change("acct:2", loss_pct=pct)
    if is_sold:
        assert {ACME_1, ACME_2, BELL_1} <= set(servers(world))
        return
    refusal = world.refusal(invite())
    allowed = f" (up to {pct} % allowed)" if pct else ""
    assert (refusal.reason, refusal.account_id) == ("no_route", 2)
    sentence = "account 2 (account 2) sells at 0.075 EUR what it buys at 0.09 EUR for 180 s"
    assert refusal.trace[-1] == sentence + allowed


def test_levels_in_currencies_that_nobody_can_compare_may_lose() -> None:
    """So the call is refused, unless the account in between takes any loss; with a rate it is judged."""
    for nanos, is_sold in ((0, False), (600_000_000, True), (599_999_999, False)):
        world = World()
        world.change("acct:5", currency="USD")
        world.tariff(50, {"33": Rate(50_000)}, currency="USD")
        if nanos:
            world.exchange("USD", "EUR", nanos)
        if is_sold:
            assert world.route(invite()).targets
            continue
        refusal = world.refusal(invite())
        said = (
            "sells at 0.15 USD what it buys at 0.09 EUR" if nanos else "earns USD and pays 0.09 EUR: no exchange rate"
        )
        assert refusal.account_id == 3
        assert f"account 3 (account 3) {said}" in refusal.trace[-1]
        world.change("acct:3", loss_pct=-1)
        assert world.route(invite()).targets


def test_the_loss_of_an_expected_call_counts() -> None:
    """A connect fee makes a carrier dear, whatever its price per minute."""
    world = World()
    world.tariff(306, {"33": Rate(1, connect_micros=60_000)})
    assert OWN_1 not in servers(world)


def test_a_currency_that_nobody_can_compare_is_passed_over() -> None:
    """Without an exchange rate a sale might be a loss, and nobody could say how great."""
    world = World()
    world.tariff(306, {"33": Rate(1)}, currency="JPY")
    assert OWN_1 not in servers(world)
    sentence = "server 61 (own/one) skipped: no exchange rate between JPY and EUR, which level 2 pays in"
    assert sentence in world.route(invite()).trace


@pytest.mark.parametrize(("nanos", "is_sold"), [(1_000_000_000, True), (1_000_000_001, False)])
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
    world.rate_set(1306, {"33": Rate(1, periods=(PeriodPrice(0, 10_001),))}, (always,))
    assert OWN_1 not in servers(world)
    world.rate_set(1306, {"33": Rate(99_999, periods=(PeriodPrice(0, 10_000),))}, (always,))
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
    assert sum("skipped: dearer than level" in entry for entry in refusal.trace) == 4


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
