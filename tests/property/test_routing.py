"""Laws of the choice of carriers: eligibility before ranking, the order among the eligible, and fair draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kemi import keys
from kemi.core.destinations import longest
from kemi.core.draft import Draft
from kemi.core.hunt import Told, Try, after_failure
from kemi.core.order import draw, draw_group
from kemi.core.outcome import Reject, Route, Target
from kemi.core.pattern import fitting_mask
from kemi.records import (
    Attempt,
    Destination,
    Destinations,
    HuntRule,
    Lengths,
    PeeringGroup,
    PeeringRule,
    PeerServer,
    PortedNumber,
    Quality,
    Rate,
    ServerQuality,
    Span,
    TimeSet,
)
from kemi.settings import Limits
from tests.fakes.world import ABROAD, CUSTOMER, NOW_MS, RESELLER, ROOT, ColdStore, World, invite, request

LAW = settings(max_examples=150, deadline=None, suppress_health_check=(HealthCheck.too_slow,))
OWNERS: Final = (CUSTOMER, RESELLER, ROOT)  # nearest first
PAID: Final = 20_000  # a minute: what the root earns, and what is left to the reseller; the customer sells to nobody
EXPECTED_S: Final = 60
CALLS: Final = 4_000
CHI2_999: Final = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52, 6: 22.46, 7: 24.32}
"""Degrees of freedom -> what a fair draw exceeds once in a thousand times."""


class Carrier(NamedTuple):
    """A carrier with one server, as a market is drawn, in the plainest words.

    fault: what makes it unusable, "" = nothing. stopper, block: of its rule.
    """

    owner: int
    prefix: str
    price: int
    fault: str
    stopper: bool
    block: bool


FAULTS: Final = (
    *("", "", "", "", "", "", "group", "server", "rule", "down", "spent", "rate", "loss", "loop", "unresolved"),
    *("early", "late", "time", "pattern", "ported"),
)
RULE_FAULTS: Final = frozenset({"rule", "group", "early", "late", "time", "pattern"})
"""What makes a block rule void, too."""

carriers = st.builds(
    Carrier,
    owner=st.sampled_from(OWNERS),
    prefix=st.sampled_from(("", "3", "33", "3314", ABROAD)),
    price=st.sampled_from((1_000, 5_000, 19_999, PAID)),
    fault=st.sampled_from(FAULTS),
    stopper=st.booleans(),
    block=st.sampled_from((False, False, False, True)),
)
markets = st.lists(carriers, max_size=7)
profiles = st.lists(
    st.sampled_from(("prefix", "priority", "cost", "quality", "share", "weight", "colour")), max_size=5
).map(tuple)


def market(offers: Sequence[Carrier], profile: tuple[str, ...] = ()) -> World:
    """Return the world with these carriers, numbered from 1000, instead of its own."""
    world = World()
    world.forget_rules()
    world.change(keys.account(CUSTOMER), routing=profile)
    world.put("tset:9", TimeSet(9, "Tuesdays", "UTC", (Span(1440, 2880),)))  # NOW_MS is a Monday
    world.put("dest:33", Destinations((Destination("33", EXPECTED_S),)))
    world.tariff(30, {"33": Rate(2 * PAID)})
    for n, offer in enumerate(offers, 1000):
        price = PAID + 1 if offer.fault == "loss" else offer.price
        world.tariff(n, {} if offer.fault == "rate" else {"33": Rate(price)})
        world.put(keys.peering_group(n), group_of(n, offer))
        world.change(keys.account(offer.owner), owns_carriers=True)
        world.rule(rule_of(n, offer))
    return world


def group_of(n: int, offer: Carrier) -> PeeringGroup:
    address = {"loop": "192.0.2.1", "unresolved": ""}.get(offer.fault, "203.0.113.99")
    server = PeerServer(n, "s", address, 5060, "udp", n % 3, enabled=offer.fault != "server")
    group = PeeringGroup(n, f"g{n}", offer.owner, n % 2, offer.fault != "group", n, "EUR", 0, (server,))
    return group._replace(spent="day" if offer.fault == "spent" else "", share=n % 4)


def rule_of(n: int, offer: Carrier) -> PeeringRule:
    return PeeringRule(
        n,
        n,
        offer.prefix,
        callee_pattern="^sip:44" if offer.fault == "pattern" else "",
        stopper=offer.stopper,
        enabled=offer.fault != "rule",
        block=offer.block,
        valid_from_ms=NOW_MS + 1 if offer.fault == "early" else 0,
        valid_to_ms=NOW_MS if offer.fault == "late" else 0,
        time_set_id=9 if offer.fault == "time" else 0,
    )


def expected(offers: Sequence[Carrier]) -> set[int]:
    """Say, in the plainest words, which servers a call to ABROAD may be sent to."""
    numbered = dict(enumerate(offers, 1000))
    down = {n for n, offer in numbered.items() if offer.fault == "down"}
    usable = _after_stoppers(numbered, {n for n, offer in numbered.items() if _is_eligible(offer)}, set())
    return usable or _after_stoppers(numbered, set(), {n for n in down if not numbered[n].block})


def _is_eligible(offer: Carrier) -> bool:
    is_fit = offer.fault in {"", "ported"} or (offer.fault == "loss" and offer.owner == CUSTOMER)
    return is_fit and not offer.block


def _after_stoppers(numbered: dict[int, Carrier], well: set[int], down: set[int]) -> set[int]:
    """Walk from the longest prefix: blocks and usable stoppers take their owners, and those above, out of the rest."""
    reach, found = len(OWNERS), set[int]()
    for prefix in sorted({offer.prefix for offer in numbered.values()}, key=len, reverse=True):
        here = {n: offer for n, offer in numbered.items() if offer.prefix == prefix}
        blocks = [OWNERS.index(o.owner) for o in here.values() if o.block and o.fault not in RULE_FAULTS]
        reach = min((reach, *blocks))
        taken = {n for n, offer in here.items() if OWNERS.index(offer.owner) < reach and n in (well | down)}
        found |= taken
        reach = min((reach, *(OWNERS.index(here[n].owner) for n in taken if here[n].stopper)))
    return found


def plan(world: World, offers: Sequence[Carrier], **fields: Any) -> list[int]:
    """Return the servers that alice's call would try, [] when it is refused for want of a carrier."""
    down = frozenset(n for n, offer in enumerate(offers, 1000) if offer.fault == "down")
    decision = world.decide(invite(), limits=Limits(attempts_max=16), down_servers=down, **fields)
    if isinstance(decision, Reject):
        assert decision.reason == "no_route"
        return []
    assert isinstance(decision, Route)
    return [target.pinned.server_id for target in decision.targets]


@LAW
@given(offers=markets, profile=profiles)
def test_the_plan_is_what_may_be_used_in_some_order(offers: list[Carrier], profile: tuple[str, ...]) -> None:
    """Whatever the faults, stoppers, blocks and profile are: nothing is lost or doubled, or in it that may not be."""
    assert sorted(plan(market(offers, profile), offers)) == sorted(expected(offers))


@LAW
@given(
    offers=markets,
    usable=carriers,
    fault=st.sampled_from(("group", "server", "rule", "down", "spent", "rate", "loss", "loop", "unresolved", "time")),
)
def test_no_unusable_route_hides_a_usable_one(offers: list[Carrier], usable: Carrier, fault: str) -> None:
    """The black hole: an exclusive route with the longest prefix that is disabled, sick, unpriced or dear."""
    good = usable._replace(fault="", block=False)
    market_before = [*(offer._replace(block=False) for offer in offers), good]
    hole = Carrier(RESELLER if fault == "loss" else CUSTOMER, ABROAD, 1, fault, stopper=True, block=False)
    with_hole = [*market_before, hole]
    assert plan(market(with_hole), with_hole) == plan(market(market_before), market_before) != []


@LAW
@given(offers=markets, profile=profiles)
def test_every_server_is_told_once(offers: list[Carrier], profile: tuple[str, ...]) -> None:
    """Those of the plan first, in its order and without a reason; every other with one."""
    world = market(offers, profile)
    down = frozenset(n for n, offer in enumerate(offers, 1000) if offer.fault == "down")
    decision = world.decide(invite(), limits=Limits(attempts_max=16), down_servers=down)
    assert isinstance(decision, Route | Reject)
    kept = [choice.server_id for choice in decision.choices if not choice.why]
    assert kept == plan(world, offers)
    assert all(choice.why for choice in decision.choices[len(kept) :])
    told = Counter(choice.group_id for choice in decision.choices)
    assert told == Counter(n for n, offer in enumerate(offers, 1000) if not offer.block)


@LAW
@given(
    offers=markets, added=carriers, profile=profiles, judged=st.dictionaries(st.integers(1000, 1007), st.integers(0, 3))
)
def test_nobody_changes_the_order_among_others(
    offers: list[Carrier], added: Carrier, profile: tuple[str, ...], judged: dict[int, int]
) -> None:
    """One that comes or goes leaves all others in the order that they had: draws, shares and quality included.

    Unless he was judged: then those who were not may be placed anew.
    """
    plain = [offer._replace(stopper=False, block=False) for offer in offers]
    newcomer = added._replace(stopper=False, block=False, fault="")
    quality = Quality(tuple(ServerQuality(n, asr, 60, 0) for n, asr in judged.items() if n != 1000 + len(plain)))
    before, after = market(plain, profile), market([*plain, newcomer], profile)
    for world in (before, after):
        world.put("quality", quality)
    well = plan(before, plain)
    if any(offer.fault == "down" for offer in plain):
        return  # who is down counts only while nobody is well
    assert [n for n in plan(after, [*plain, newcomer]) if n != 1000 + len(plain)] == well


@LAW
@given(offers=markets, policy=st.sampled_from(("own_first", "own_only")), place=st.integers(0, 2), profile=profiles)
def test_own_carriers_come_first_or_alone(
    offers: list[Carrier], policy: str, place: int, profile: tuple[str, ...]
) -> None:
    """Whatever the profile says; nothing is tried that would not be without the policy."""
    plain = [offer._replace(stopper=False, block=False, fault="") for offer in offers]
    world = market(plain, profile)
    ordinary = plan(world, plain)
    world.change(keys.account(OWNERS[place]), carriers=policy)
    is_own = {n: OWNERS.index(offer.owner) <= place for n, offer in enumerate(plain, 1000)}
    own = [n for n in ordinary if is_own[n]]
    others = [n for n in ordinary if not is_own[n]]
    owns_some = any(OWNERS.index(offer.owner) == place for offer in plain) or OWNERS[place] != CUSTOMER
    if not owns_some:
        assert plan(world, plain) == ordinary
    elif policy == "own_only":
        assert plan(world, plain) == own
    else:
        assert plan(world, plain) == [*own, *others]


@LAW
@given(
    offers=markets,
    entry=st.one_of(
        st.none(),
        st.builds(PortedNumber, st.sampled_from(("33", "3314", ABROAD)), st.sampled_from(("", "33", "4915", "331499"))),
    ),
)
def test_a_cold_cache_takes_two_fetches(offers: list[Carrier], entry: PortedNumber | None) -> None:
    """Ported or not, with times and destinations; the decision is that of a warm one."""
    world = market(offers, ("quality", "cost", "share"))
    if entry is not None:
        world.put(keys.ported(entry.digits), entry)
        world.put(keys.PORTED_LENGTHS, Lengths((11, 4, 2)))
    decision, rounds = ColdStore(world).decide(invite(), rounds_max=2)
    assert decision == world.decide(invite())
    assert rounds == 2


def chi2(counted: Counter[int], weights: dict[int, int], draws: int) -> float:
    whole = sum(weights.values())
    return sum((counted[n] - draws * w / whole) ** 2 / (draws * w / whole) for n, w in weights.items())


@pytest.mark.parametrize("weights", [(1, 1), (1, 2), (1, 2, 5), (10, 20, 30, 40), (1, 99), (7, 7, 7, 7, 7, 7, 7, 7)])
@pytest.mark.parametrize("word", ["weight", "share"])
def test_the_draws_are_fair(weights: tuple[int, ...], word: str) -> None:
    """By χ²: first places fall in proportion, and so do second places among the rest."""
    facts, by_id = World().facts(), dict(enumerate(weights, 1))
    firsts, seconds = Counter[int](), {n: Counter[int]() for n in by_id}
    for number in range(CALLS):
        draft = Draft(request(call_id=f"call {number}"), facts)
        first, second, *_ = sorted(by_id, key=lambda n: _ticket(draft, word, n, by_id[n]))
        firsts[first] += 1
        seconds[first][second] += 1
    assert chi2(firsts, by_id, CALLS) < CHI2_999[len(weights) - 1]
    for n, counted in seconds.items():
        rest = {other: weight for other, weight in by_id.items() if other != n}
        if len(rest) > 1 and counted.total() * min(rest.values()) > 5 * sum(rest.values()):
            assert chi2(counted, rest, counted.total()) < CHI2_999[len(rest) - 1]


def _ticket(draft: Draft, word: str, n: int, weight: int) -> float:
    if word == "weight":
        return draw(draft, PeerServer(n, "s", "", 0, "", weight, enabled=True))
    return draw_group(draft, PeeringGroup(n, "g", 1, 1, True, 0, "EUR", share=weight))


def test_a_share_does_not_depend_on_how_many_servers_a_group_has() -> None:
    """A carrier with four servers and one with a single one, each for half of the calls."""
    world = World()
    world.change(keys.account(CUSTOMER), routing=("share", "weight"))
    servers = tuple(PeerServer(n, "s", "203.0.113.99", 5060, "udp", 1, enabled=True) for n in range(901, 905))
    world.change("pg:3", servers=servers)
    world.change("pg:6", enabled=False)
    counted = Counter(world.route(invite(call_id=f"call {n}")).targets[0].pinned.group_id for n in range(600))
    assert chi2(counted, {3: 1, 4: 1}, 600) < CHI2_999[1]


TARGETS: Final = World().route(invite()).targets
statuses = st.one_of(st.integers(300, 699), st.sampled_from((408, 480, 486, 503, 0, -1, 9999)))
rules = st.lists(
    st.builds(
        HuntRule, statuses, st.sampled_from(("stop", "continue", "?")), statuses, st.sampled_from(("", "Told", "\r"))
    ),
    max_size=3,
).map(tuple)


@LAW
@given(
    tables=st.lists(rules, min_size=4, max_size=4),
    redirects=st.booleans(),
    said=st.lists(
        st.tuples(statuses, st.sampled_from(("", "", "ring", "pdd", "channels", "cps", "unreachable"))),
        min_size=12,
        max_size=12,
    ),
    contact=st.one_of(st.text(max_size=40), st.just("<sip:4930@203.0.113.8>")),
)
def test_a_hunt_ends_and_tells_what_can_be_told(
    tables: list[tuple[HuntRule, ...]], redirects: bool, said: list[tuple[int, str]], contact: str
) -> None:
    """No server is asked twice but after a redirection, at most three of these; no challenge reaches the caller."""
    plan = [
        target._replace(limits=target.limits._replace(hunt=table, redirects=redirects, hosts=("203.0.113.8",)))
        for target, table in zip(TARGETS, tables, strict=True)
    ]
    attempts, current, redirected = list[Attempt](), 0, 0
    for status, why in said:
        attempts.append(Attempt(plan[current].pinned.server_id, status, why=why))
        step = after_failure(tuple(plan), current, tuple(attempts), contact)
        if isinstance(step, Told):
            assert 400 <= step.status <= 699
            assert step.status not in {401, 407}
            assert step.phrase.isprintable()
            assert step.phrase
            return
        redirected += _follow(plan, attempts, current, step)
        current = step.place
        assert redirected <= 3
    raise AssertionError("four servers and three redirections were more than twelve attempts")


def _follow(plan: list[Target], attempts: list[Attempt], current: int, step: Try) -> bool:
    assert step.place >= current
    if step.place == current:
        attempts[-1] = attempts[-1]._replace(why="redirect")
        plan[current] = step.target
        return True
    assert plan[step.place].pinned.server_id not in {attempt.server_id for attempt in attempts}
    return False


@LAW
@given(mask=st.text("ab*?[]-!\\", max_size=12), text=st.text("ab-]", max_size=40))
def test_a_shell_pattern_never_raises(mask: str, text: str) -> None:
    """Whatever an operator wrote; the text itself fits when it has no sign of a pattern."""
    assert fitting_mask((mask,), text) in {mask, None}
    if not set(text) & set("[]"):
        assert fitting_mask((text,), text) == text


@LAW
@given(prefixes=st.frozensets(st.text("012", max_size=6), max_size=12), number=st.text("012", max_size=6))
def test_a_destination_is_what_trying_all_prefixes_finds(prefixes: frozenset[str], number: str) -> None:
    """Whatever lies between."""
    found = longest(tuple(Destination(prefix, 1) for prefix in sorted(prefixes)), number)
    fitting = [prefix for prefix in prefixes if number.startswith(prefix)]
    assert (found.prefix if found else None) == max(fitting, key=len, default=None)
