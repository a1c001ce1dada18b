"""The routing profile and the weighted draw."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from kemi.core.draft import Draft
from kemi.core.order import LEAST_COST, _ticket, draw
from kemi.records import Destination, Destinations, PeeringRule, PeerServer, Quality, Rate, ServerQuality
from tests.fakes.world import ACME, ACME_1, ACME_2, BELL, BELL_1, NOW_MS, OWN_1, ColdStore, World, invite, request

C5 = ("prefix", "priority", "weight")


def world_with(**profile: tuple[str, ...]) -> World:
    """Acme is the cheapest, bell has the longest prefix, own the best priority."""
    world = World()
    world.rule(PeeringRule(99, BELL, "3314"))
    world.change("pg:6", priority=0)
    for name, routing in profile.items():
        world.change(name.replace("_", ":"), routing=routing)
    return world


def groups(world: World) -> list[int]:
    """Return the groups of the plan in order, once each."""
    return list(dict.fromkeys(target.pinned.group_id for target in world.route(invite()).targets))


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ((), [3, 4, 6]),
        (LEAST_COST, [3, 4, 6]),
        (("prefix", "cost"), [4, 3, 6]),
        (("priority", "cost"), [6, 3, 4]),
        (("priority", "prefix"), [6, 4, 3]),
        (("quality", "cost"), [3, 4, 6]),
        (("prefix",), [4, 3, 6]),
    ],
)
def test_each_word_decides_in_its_turn(profile: tuple[str, ...], expected: list[int]) -> None:
    """The first word that tells two candidates apart decides; the last tie goes to the lower server id."""
    assert groups(world_with(acct_5=profile)) == expected


def test_the_nearest_profile_counts() -> None:
    """A customer inherits its reseller's profile, that one the root's, and any of them may have its own."""
    assert groups(world_with(acct_1=("prefix",))) == [4, 3, 6]
    assert groups(world_with(acct_1=("prefix",), acct_2=("priority", "cost"))) == [6, 3, 4]
    assert groups(world_with(acct_1=("prefix",), acct_2=("priority", "cost"), acct_5=("cost",))) == [3, 4, 6]


def test_a_word_that_nobody_knows_is_passed_over() -> None:
    """The trace says so, and the rest of the profile still counts."""
    world = world_with(acct_5=("colour", "priority", "cost"))
    assert groups(world) == [6, 3, 4]
    assert "routing profile: colour is unknown" in world.route(invite()).trace


def test_cost_is_that_of_the_expected_call() -> None:
    """Connect fee and increments count: a low rate per minute may be the dearer call, or the cheaper if it lasts."""
    world = World()
    world.tariff(300 + ACME, {"33": Rate(1_000, 1, 1, connect_micros=17_000)})
    assert groups(world) == [4, 3, 6]  # 18 000, 20 000 and 21 000 for 180 s
    world.put("dest:33", Destinations((Destination("33", 60),)))
    assert groups(world) == [4, 6, 3]
    world.put("dest:33", Destinations((Destination("33", 60), Destination("3314", 3_600))))
    assert groups(world) == [3, 4, 6]
    candidates = [sentence for sentence in world.route(invite()).trace if sentence.startswith("candidate ")]
    assert "acme/" in candidates[0]
    assert candidates[0].endswith(" by rule 30, costs 0.077 EUR for 3600 s")


def test_costs_are_compared_by_the_exchange_rate() -> None:
    """A carrier whose numbers look cheap in another currency wins only if it is; either direction of a rate will do."""
    world = World()
    world.tariff(300 + ACME, {"33": Rate(60)}, currency="XAU")
    world.exchange("XAU", "EUR", 99 * 10**9)  # 17 820 against bell's 18 000
    assert groups(world) == [3, 4, 6]
    world.exchange("XAU", "EUR", 101 * 10**9, valid_from_ms=NOW_MS)
    assert groups(world) == [4, 3, 6]
    world.records.pop("fx")
    world.exchange("EUR", "XAU", 10_200_000)
    assert groups(world) == [3, 4, 6]
    world.exchange("EUR", "XAU", 9_800_000, valid_from_ms=1)
    assert groups(world) == [4, 3, 6]
    assert any(sentence.endswith("costs 0.00018 XAU for 180 s") for sentence in world.route(invite()).trace)


def test_quality_is_asr_then_acd_then_pdd() -> None:
    """Near-equal values are equal where the record says so; the next word decides then."""
    world = World()
    world.change("acct:5", routing=("quality", "cost"))
    measured = {ACME_1: (50, 180, 2_000), ACME_2: (50, 180, 1_500), BELL_1: (60, 30, 9_000), OWN_1: (50, 195, 9_000)}
    world.put("quality", Quality(tuple(ServerQuality(server, *values) for server, values in measured.items())))
    assert [target.pinned.server_id for target in world.route(invite()).targets] == [BELL_1, OWN_1, ACME_2, ACME_1]
    world.put("quality", Quality(tuple(ServerQuality(server, 50, 180, 0) for server in measured)))
    assert groups(world) == [3, 4, 6]


def test_who_has_not_been_judged_is_as_good_as_the_median() -> None:
    """Of the carriers of this call, the better of two: bell has had too few calls, and then its cost decides."""
    world = World()
    world.change("acct:5", routing=("quality", "cost"))
    world.put("quality", Quality((ServerQuality(OWN_1, 90, 60, 0), ServerQuality(ACME_1, 40, 60, 0))))
    assert [target.pinned.server_id for target in world.route(invite()).targets] == [ACME_2, BELL_1, OWN_1, ACME_1]
    world.records.pop("quality")
    assert groups(world) == [3, 4, 6]


def test_nobody_elses_carrier_has_a_say_in_quality() -> None:
    """However good or bad: what a tenant cannot use neither moves those that it can nor is told by their order."""
    world = World()
    world.change("acct:5", routing=("quality", "cost"))
    ours = (ServerQuality(OWN_1, 90, 60, 0), ServerQuality(ACME_1, 40, 60, 0), ServerQuality(ACME_2, 60, 60, 0))
    world.put("quality", Quality(ours))
    alone = [target.pinned.server_id for target in world.route(invite()).targets]
    assert alone == [OWN_1, ACME_2, BELL_1, ACME_1]
    for asr_pct in (1, 65, 100):
        world.put("quality", Quality((*ours, *(ServerQuality(9_000 + n, asr_pct, 60, 0) for n in range(5)))))
        assert [target.pinned.server_id for target in world.route(invite()).targets] == alone


def test_the_median_is_of_those_who_are_tied() -> None:
    """By the words before: of another priority's quality nothing follows for this one."""
    world = World()
    world.change("acct:5", routing=("priority", "quality", "cost"))
    world.change("pg:6", priority=9)
    world.put("quality", Quality((ServerQuality(OWN_1, 90, 60, 0), ServerQuality(ACME_1, 40, 60, 0))))
    servers = [target.pinned.server_id for target in world.route(invite()).targets]
    assert servers == [ACME_1, ACME_2, BELL_1, OWN_1]


def test_quality_is_read_by_those_who_ask_for_it() -> None:
    """It changes all the time: nobody else's decision may become stale by it."""
    world = World()
    assert "quality" not in world.route(invite()).hold.used
    world.change("acct:2", routing=("quality", "cost"))
    route = world.route(invite())
    assert "quality" in route.hold.used
    assert ColdStore(world).decide(invite(), rounds_max=2) == (route, 2)
    world.change("acct:2", routing=("prefix", "cost", "quality"))
    world.change_server(ACME_2, enabled=False)
    world.rule(PeeringRule(99, BELL, "3314"))
    assert "quality" not in world.route(invite()).hold.used, "prefix and cost have told all of them apart"


def test_a_share_is_that_of_a_group() -> None:
    """Its servers stay together, and the next word tells them apart."""
    world = World()
    world.change("acct:5", routing=("share", "cost"))
    for number in range(30):
        call = invite(call_id=f"call {number}")
        ordered = [target.pinned.server_id for target in world.route(call).targets]
        assert abs(ordered.index(ACME_1) - ordered.index(ACME_2)) == 1
        assert ordered.index(ACME_1) < ordered.index(ACME_2)


def test_a_share_of_nothing_comes_last() -> None:
    """A group without a share is a reserve."""
    world = World()
    world.change("acct:5", routing=("share",))
    world.change("pg:4", share=0)
    assert all(groups_of(world, number)[-1] == BELL for number in range(20))


def groups_of(world: World, number: int) -> list[int]:
    targets = world.route(invite(call_id=f"call {number}")).targets
    return [target.pinned.group_id for target in targets]


def test_the_draw_follows_the_weights() -> None:
    """Weights 1, 2 and 5 of 8: first places fall as 1/8, 2/8 and 5/8, and so does the order of the rest."""
    world = World()
    world.change(f"pg:{ACME}", servers=tuple(PeerServer(n, "s", "", 0, "", n, enabled=True) for n in (1, 2, 5)))
    facts, calls = world.facts(), 4000
    firsts: Counter[int] = Counter()
    seconds_after_five: Counter[int] = Counter()
    for number in range(calls):
        draft = Draft(request(call_id=f"call {number}"), facts)
        ranked = sorted((1, 2, 5), key=lambda n: draw(draft, PeerServer(n, "s", "", 0, "", n, enabled=True)))
        firsts[ranked[0]] += 1
        seconds_after_five[ranked[1]] += ranked[0] == 5
    for weight in (1, 2, 5):
        assert firsts[weight] / calls == pytest.approx(weight / 8, abs=0.025)  # 3 standard deviations
    assert seconds_after_five[2] / firsts[5] == pytest.approx(2 / 3, abs=0.03)


def test_the_draw_is_repeatable_and_cannot_be_steered() -> None:
    """The same Call-ID gives the same ticket on every node of a cell; without the secret nobody can compute it."""
    server = PeerServer(1, "s", "", 0, "", 10, enabled=True)
    facts = World().facts()
    assert draw(Draft(invite(), facts), server) == draw(Draft(request(), facts), server)
    assert draw(Draft(invite(), facts), server) != draw(Draft(invite(), facts._replace(secret=b"other")), server)
    assert draw(Draft(invite(), facts), server) != draw(Draft(invite(), facts), server._replace(id=2))
    assert draw(Draft(request(call_id="\udcff"), facts), server) > 0


@pytest.mark.parametrize("weight", [0, -1])
def test_no_weight_comes_last(weight: int) -> None:
    """A weight of 0 is a spare: drawn when nobody else is left."""
    world = World()
    world.change("acct:5", routing=C5)
    world.change_server(BELL_1, weight=weight)
    for number in range(20):
        call = invite(call_id=f"call {number}")
        assert [target.pinned.server_id for target in world.route(call).targets][-1] == BELL_1
    spare = PeerServer(1, "s", "", 0, "", weight, enabled=True)
    assert draw(Draft(invite(), world.facts()), spare) == math.inf


def test_the_draw_decides_among_servers_of_one_group() -> None:
    """With equal weights each server of a carrier leads about every second call."""
    world = World()
    world.change("acct:5", routing=C5)
    firsts = Counter(
        next(target.pinned.server_id for target in world.route(invite(call_id=f"call {n}")).targets) for n in range(200)
    )
    assert set(firsts) == {ACME_1, ACME_2, BELL_1, OWN_1}
    assert all(25 < count < 75 for count in firsts.values())


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (1, 6_457_827_717_110_365_317),
        (2, 3_203_168_211_198_807_973),
        (3, 9_817_491_932_198_370_423),
        (4, 4_593_380_528_125_082_431),
        (5, 16_408_922_859_458_223_821),
    ],
)
def test_tickets_are_drawn_by_splitmix64(number: int, value: int) -> None:
    """Its published values for the seed 1234567: whoever reckons a draw again gets the same."""
    assert _ticket(1_234_567, number, 4) == -math.log((value + 1) / 2**64) / 4
    assert _ticket(0, 0, 1) == pytest.approx(64 * math.log(2)), "the last ticket of all is a number, too"
