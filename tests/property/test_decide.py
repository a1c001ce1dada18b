"""Laws of the decision, over hostile requests, broken configuration and random markets of carriers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from kemi import keys
from kemi.core.decide import decide, decide_offline
from kemi.core.outcome import Challenge, Need, Register, Reject, Route
from kemi.core.rating import by_fund, charges
from kemi.core.request import CallRequest, Contact, Credentials, SipUri
from kemi.records import PeeringGroup, PeeringRule, PeerServer, Period, PeriodPrice, Rate, Span
from kemi.settings import Limits
from tests.fakes.world import (
    ABROAD,
    ALICE,
    ALICE_NUMBER,
    BOB_NUMBER,
    CAROL_NUMBER,
    CUSTOMER,
    NEIGHBOUR,
    NOBODY_IP,
    NOW_MS,
    PEER_IP,
    RESELLER,
    ROOT,
    TRUNK_IP,
    ColdStore,
    World,
    enrich,
    from_peer,
    from_trunk,
    invite,
    register,
    regulate,
    request,
)

LAW = settings(max_examples=150, deadline=None)
HELD_PRICE = 20_000  # what the reseller, the poorest level of the world, pays for a minute

any_text = st.one_of(
    st.sampled_from(("", "alice", "a.example", "112", "911", ABROAD, ALICE_NUMBER, BOB_NUMBER, "anonymous", "id")),
    st.text(max_size=70),
    st.text(st.characters(codec=None), max_size=12),  # surrogates, too
)
uris = st.builds(SipUri, any_text, any_text, any_text, st.integers(-1, 70_000))
hostile_requests = st.builds(
    CallRequest,
    method=st.sampled_from(("INVITE", "INVITE", "REGISTER", "OPTIONS", "")),
    call_id=any_text,
    from_tag=any_text,
    cseq=any_text,
    source_ip=st.one_of(st.sampled_from((PEER_IP, TRUNK_IP, NOBODY_IP, "::ffff:203.0.113.7")), any_text),
    source_port=st.integers(),
    transport=any_text,
    ruri=uris,
    from_uri=uris,
    to_uri=uris,
    received_ms=st.integers(-1, 1 << 50),
    credentials=st.one_of(st.none(), st.builds(Credentials, *(any_text for _ in Credentials._fields))),
    pai=any_text,
    ppi=any_text,
    rpid=any_text,
    diversion=any_text,
    privacy=any_text,
    contact=any_text,
    contacts=st.lists(st.builds(Contact, uris, st.booleans()), max_size=2).map(tuple),
)
requests = st.sampled_from(
    (
        invite(),
        invite(callee=BOB_NUMBER),
        invite(callee="112"),
        from_trunk(),
        from_trunk(caller="33199@pbx.example", privacy="id"),
        from_peer(),
        from_peer(ABROAD),
        register(),
        request(),
    )
)


NAMING: Final = ("username", "domain", "digits", "lengths")
"""Fields that the store's views make of the same columns as a record's name, or of all such names."""


@st.composite
def broken_worlds(draw: st.DrawFn) -> World:
    """Draw a world in which some records are gone or have nonsense in some fields."""
    world = World()
    if draw(st.booleans()):
        enrich(world)
    if draw(st.booleans()):
        regulate(world)
    for _ in range(draw(st.integers(0, 8))):
        name = draw(st.sampled_from(sorted(world.records)))
        record: Any = world.records[name]
        fields = [field for field in getattr(record, "_fields", ()) if field not in NAMING]
        field = draw(st.sampled_from(("", *fields)))
        world.put(
            name, record._replace(**{field: draw(_nonsense_for(field, getattr(record, field)))}) if field else None
        )
    return world


def _nonsense_for(field: str, value: object) -> st.SearchStrategy[Any]:
    """Another value of the same type: what the codec lets through. Whatever has an owner has one, if a wrong one."""
    if field == "account_id":
        return st.integers(1, 9)
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.integers(-1, 9)
    if isinstance(value, str):
        return any_text
    assert isinstance(value, tuple)
    return st.sampled_from(((), value, value * 2, value[::-1], value[1:]))


class Carrier(NamedTuple):
    """A carrier with one server, as a market is drawn. price: its deck's for a minute, None = does not sell."""

    owner_id: int
    enabled: bool
    server_enabled: bool
    rule_enabled: bool
    prefix: str
    price: int | None
    priority: int
    weight: int

    def takes(self, callee: str) -> bool:
        """Say, in the plainest words, whether alice's call may go there."""
        is_on = self.enabled and self.server_enabled and self.rule_enabled
        is_offered = callee.startswith(self.prefix) and self.owner_id in (CUSTOMER, RESELLER, ROOT)
        return is_on and is_offered and self.price is not None and self.price <= HELD_PRICE


carriers = st.builds(
    Carrier,
    owner_id=st.sampled_from((ROOT, ROOT, ROOT, RESELLER, NEIGHBOUR)),
    enabled=st.sampled_from((True, True, True, False)),
    server_enabled=st.sampled_from((True, True, True, False)),
    rule_enabled=st.sampled_from((True, True, True, False)),
    prefix=st.sampled_from(("", "3", "33", "3314", ABROAD, "34", "3315")),
    price=st.sampled_from((None, 0, 1_000, 5_000, 19_999, 20_000, 20_001, 90_000)),
    priority=st.integers(1, 3),
    weight=st.integers(0, 5),
)
markets = st.lists(carriers, max_size=6)
profiles = st.lists(st.sampled_from(("prefix", "priority", "cost", "quality", "weight", "colour")), max_size=5)


def market(offers: list[Carrier], profile: tuple[str, ...] = (), stopper: int = -1) -> World:
    """Return the world with these carriers, numbered from 1000, instead of its own. stopper: the one whose rule is."""
    world = World()
    world.forget_rules()
    world.change(keys.account(CUSTOMER), routing=profile)
    world.tariff(30, {"33": Rate(2 * HELD_PRICE)})  # as much is left to the reseller as to the root
    for n, offer in enumerate(offers, 1000):
        world.tariff(n, {} if offer.price is None else {"33": Rate(offer.price)})
        server = PeerServer(n, "s", "203.0.113.99", 5060, "udp", offer.weight, offer.server_enabled)
        group = PeeringGroup(n, f"g{n}", offer.owner_id, offer.priority, offer.enabled, n, "EUR", 0, (server,))
        world.put(keys.peering_group(n), group)
        world.change(keys.account(offer.owner_id), owns_carriers=True)
        world.rule(PeeringRule(n, n, offer.prefix, stopper=n == stopper, enabled=offer.rule_enabled))
    return world


def plan(world: World, **fields: Any) -> list[int]:
    """Return the servers that alice's call would try, [] when it is refused for want of a carrier."""
    decision = world.decide(invite(), limits=Limits(attempts_max=16), **fields)
    if isinstance(decision, Reject):
        assert decision.reason == "no_route"
        return []
    assert isinstance(decision, Route)
    return [target.pinned.server_id for target in decision.targets]


@LAW
@given(call=hostile_requests, world=broken_worlds(), data=st.data())
def test_it_never_raises(call: CallRequest, world: World, data: st.DataObject) -> None:
    """Whatever is sent and whatever is configured, known or not, the answer is a value."""
    fields = {
        "store_up": data.draw(st.booleans()),
        "draining": data.draw(st.booleans()),
        "nonce_uses": data.draw(st.integers(0, 2)),
        "down_servers": data.draw(st.frozensets(st.sampled_from((31, 32, 41)))),
    }
    assert isinstance(decide(call, world.facts(**fields)), Challenge | Reject | Register | Route)
    partly = {name: record for name, record in world.records.items() if data.draw(st.booleans())}
    assert isinstance(
        decide(call, world.facts(**fields, records=partly, rates={})), Challenge | Reject | Register | Route | Need
    )


@LAW
@given(call=requests, world=broken_worlds())
def test_a_right_request_never_raises_in_a_broken_world(call: CallRequest, world: World) -> None:
    """Requests that get far meet all of the configuration; a plan that comes out of it is complete."""
    decision = world.decide(call)
    if isinstance(decision, Route):
        assert decision.targets
        assert decision.call.targets == tuple(target.pinned for target in decision.targets)
        assert 0 < len(decision.hold.rows) <= 16
        assert all(len(row.price_micros) == len(decision.hold.funds) for row in decision.hold.rows)
        assert {leg.fund for leg in decision.call.legs} == {fund.fund for fund in decision.hold.funds}
        assert len(decision.hold.funds) <= 24


@LAW
@given(call=requests, world=broken_worlds(), data=st.data())
def test_any_cache_leads_to_the_same_decision_in_two_fetches(
    call: CallRequest, world: World, data: st.DataObject
) -> None:
    """Cold, warm, or with holes anywhere."""
    store = ColdStore(world)
    store.decide(call, rounds_max=2)
    warm = dict(store.records)
    store.records = {name: record for name, record in warm.items() if name == keys.MASKS or data.draw(st.booleans())}
    store.rates = {key: bucket for key, bucket in store.rates.items() if data.draw(st.booleans())}
    decision, _ = store.decide(call, rounds_max=2)
    assert decision == world.decide(call)


@LAW
@given(call=requests, world=broken_worlds(), data=st.data())
def test_offline_it_never_asks(call: CallRequest, world: World, data: st.DataObject) -> None:
    """With the store gone, holes in the cache are refusals; an emergency call is a route while a group is known."""
    known = {name: record for name, record in world.records.items() if data.draw(st.booleans())}
    decision = decide_offline(call, world.facts(records=known, rates={}))
    assert isinstance(decision, Challenge | Reject | Register | Route)
    if isinstance(decision, Route):
        assert decision.emergency


@LAW
@given(
    call=st.sampled_from((invite(), invite(callee=BOB_NUMBER), invite(callee=CAROL_NUMBER), from_peer(CAROL_NUMBER))),
    onnet=st.sampled_from(("free", "other", "all")),
    boundary_s=st.integers(-600, 14_400),
    rang=st.fractions(0, 1),
    talked=st.fractions(0, 1),
)
def test_whenever_the_answer_comes_the_hold_pays(
    call: CallRequest, onnet: str, boundary_s: int, rang: Fraction, talked: Fraction
) -> None:
    """Over periods, currencies and both chains: what a call is charged within a row was held for that row."""
    world, limits = World(), Limits()
    enrich(world)
    world.change(keys.tariff(50), onnet=onnet, decks=(), timezone="UTC")
    at_s = NOW_MS // 1000 + boundary_s
    minute = (at_s + 3 * 86_400) // 60 % 10_080
    dear = Period("dear", (Span(minute, min(minute + 2, 10_080)),))
    rate = Rate(50_000, 1, 1, 100, periods=(PeriodPrice(0, 3_000_000, 70_000),))
    world.rate_set(1050, {"33": rate, "44": rate}, (dear,))
    route = world.route(call, limits=limits)
    answered_ms = NOW_MS + int(len(route.targets) * (3 + limits.ring_max_s) * 1000 * rang)
    paid = by_fund(route.call.legs, [fund.fund for fund in route.hold.funds])
    for row in route.hold.rows:
        for talk_s in (row.talk_s, int(row.talk_s * talked)):
            charged = charges(paid, talk_s, answered_ms)
            assert all(micros <= held for micros, held in zip(charged, row.price_micros, strict=True))


@LAW
@given(offers=markets, profile=profiles)
def test_a_plan_is_the_eligible_carriers_in_some_order(offers: list[Carrier], profile: list[str]) -> None:
    """None is lost or doubled, and nothing disabled, foreign, unsold or dearer than a level pays is among them."""
    eligible = [n for n, offer in enumerate(offers, 1000) if offer.takes(ABROAD)]
    assert sorted(plan(market(offers, tuple(profile)))) == eligible


@LAW
@given(offers=markets, dear=carriers)
def test_a_dearer_carrier_never_changes_the_first(offers: list[Carrier], dear: Carrier) -> None:
    """By least cost, whoever costs more than the best changes nothing about who is best."""
    before = plan(market(offers))
    best = min((offer.price or 0 for offer in offers if offer.takes(ABROAD)), default=None)
    if best is None:
        return
    after = plan(market([*offers, dear._replace(price=best + 1)]))
    assert after[0] == before[0]


@LAW
@given(offers=markets, added=carriers, profile=profiles)
def test_nobody_changes_the_order_among_others(offers: list[Carrier], added: Carrier, profile: list[str]) -> None:
    """A carrier that comes or goes leaves all others in the order that they had, the weighted draw included."""
    before = plan(market(offers, tuple(profile)))
    newcomer = 1000 + len(offers)
    assert [n for n in plan(market([*offers, added], tuple(profile))) if n != newcomer] == before


@LAW
@given(offers=markets, stopper=st.integers(1000, 1005))
def test_an_eligible_stopper_leaves_no_shorter_prefix(offers: list[Carrier], stopper: int) -> None:
    """It hides carriers of its owner and of those above. And one that is not eligible leaves all."""
    eligible = {n: offer for n, offer in enumerate(offers, 1000) if offer.takes(ABROAD)}
    limit = len(eligible[stopper].prefix) if stopper in eligible else 0
    hidden = (ROOT,) if stopper in eligible and eligible[stopper].owner_id == ROOT else (RESELLER, ROOT)
    expected = {n for n, offer in eligible.items() if len(offer.prefix) >= limit or offer.owner_id not in hidden}
    if stopper - 1000 < len(offers) and offers[stopper - 1000].price in (20_001, 90_000):
        return  # eligible by configuration, left out as a loss: tests/unit/test_candidates.py
    assert set(plan(market(offers, stopper=stopper))) == expected


@LAW
@given(offers=markets, down=st.frozensets(st.integers(1000, 1005)))
def test_health_only_chooses_among_the_eligible(offers: list[Carrier], down: frozenset[int]) -> None:
    """Servers that failed lately are left out, unless nothing else is left."""
    eligible = plan(market(offers))
    healthy = [n for n in eligible if n not in down]
    assert plan(market(offers), down_servers=down) == (healthy or eligible)


@LAW
@given(tariff_id=st.sampled_from((20, 30, 50)), offers=markets)
def test_a_level_without_a_rate_refuses_whatever_the_carriers_are(tariff_id: int, offers: list[Carrier]) -> None:
    """Nobody would pay that level's part."""
    world = market(offers)
    world.tariff(tariff_id, {"34": Rate(1)})
    assert world.refusal(invite()).reason == "no_rate"


@LAW
@given(call_id=st.text(max_size=40))
def test_the_same_call_has_the_same_plan(call_id: str) -> None:
    """On every node, every time; another secret would make another draw."""
    world = market([Carrier(ROOT, True, True, True, "33", 1_000, 1, 1) for _ in range(4)], ("weight",))
    call = invite(ALICE, call_id=call_id)
    assert world.route(call) == world.route(call)
    assert world.route(call, node="n2").targets == world.route(call).targets
